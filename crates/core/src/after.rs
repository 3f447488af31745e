//! The call state machine: one function over a state and a report.
//!
//! ```text
//! made here:  Unknown → Dialtone → Dialing → Proceeding → Ringback → Connected     any of them may be left out
//!                          └── Busy, SpecialInfo: the call still exists ──┘
//! found:      Unknown → Offering → Accepted → Connected
//! hold:       Connected(active) ⇄ OnHold          the far end holds us: Connected(active) ⇄ Connected(active_held)
//! conference: Connected, OnHold → Conferenced → Connected        a member that its conference holds stays Conferenced
//! end:        any → Released by us → Idle         any → Released by the far end → Disconnected(mode) → Idle
//! ```
//!
//! TAPI prescribes no sequence: a report is the truth of the moment, so while a call is being set up each report of a
//! stage is taken, a step back too (a number that turns out to be too short, a second trunk that is tried). What is
//! ignored is what cannot be: set-up of a call that is answered, an offer of a call that was made here.

use tapi::{CallState, ConnectedMode, OfferingMode};
use tspi::{ReleasedBy, Report};

/// The state that follows `state` on `report`; `None` when the report changes nothing.
///
/// Nothing leaves [`CallState::Idle`], and only a release of ours leaves [`CallState::Disconnected`].
pub fn after(state: &CallState, report: &Report) -> Option<CallState> {
    let next = match report {
        Report::Offered => offered(state),
        Report::Accepted => accepted(state),
        Report::Dialtone(mode) => setting_up(state, CallState::Dialtone(mode.clone())),
        Report::Dialing => setting_up(state, CallState::Dialing),
        Report::Proceeding => setting_up(state, CallState::Proceeding),
        Report::PeerRings => setting_up(state, CallState::Ringback),
        Report::Busy(mode) => failing(state, CallState::Busy(mode.clone())),
        Report::SpecialInfo(kind) => failing(state, CallState::SpecialInfo(kind.clone())),
        Report::Answered(_) => answered(state),
        Report::Held => held(state),
        Report::Retrieved => retrieved(state),
        Report::PeerHeld => peer_held(state),
        Report::PeerRetrieved => peer_retrieved(state),
        Report::Unchanged { .. } => None,
        Report::TransferProgress { .. } | Report::Transferred | Report::TransferFailed { .. } => None,
        Report::Conferenced => conferenced(state),
        Report::Unconferenced => unconferenced(state),
        Report::Released { by: ReleasedBy::Local, .. } => Some(CallState::Idle),
        Report::Released { by: ReleasedBy::Remote, cause } => {
            (!state.is_over()).then(|| CallState::Disconnected(cause.mode.clone()))
        }
    };
    next.filter(|next| next != state && *state != CallState::Idle)
}

fn offered(state: &CallState) -> Option<CallState> {
    matches!(state, CallState::Unknown).then_some(CallState::Offering(OfferingMode::Active))
}

fn accepted(state: &CallState) -> Option<CallState> {
    matches!(state, CallState::Unknown | CallState::Offering(_)).then_some(CallState::Accepted)
}

/// Whether a call that was made here is not answered yet, or its state is not known.
fn is_setting_up(state: &CallState) -> bool {
    match state {
        CallState::Dialtone(_) | CallState::Dialing | CallState::Proceeding | CallState::Ringback => true,
        CallState::Busy(_) | CallState::SpecialInfo(_) | CallState::Unknown => true,
        CallState::Idle | CallState::Offering(_) | CallState::Accepted | CallState::Connected(_) => false,
        CallState::OnHold | CallState::Conferenced | CallState::Disconnected(_) => false,
        CallState::OnHoldPendConf | CallState::OnHoldPendTransfer => false,
    }
}

fn setting_up(state: &CallState, next: CallState) -> Option<CallState> {
    is_setting_up(state).then_some(next)
}

/// Busy tone and information tones also correct a "connected" that was only concluded.
fn failing(state: &CallState, next: CallState) -> Option<CallState> {
    (is_setting_up(state) || matches!(state, CallState::Connected(_))).then_some(next)
}

fn answered(state: &CallState) -> Option<CallState> {
    let can = is_setting_up(state) || matches!(state, CallState::Offering(_) | CallState::Accepted);
    can.then_some(CallState::Connected(ConnectedMode::Active))
}

fn held(state: &CallState) -> Option<CallState> {
    matches!(state, CallState::Connected(_) | CallState::Unknown).then_some(CallState::OnHold)
}

/// Whether the far end still holds us is not remembered: a provider reports it again after the retrieval.
fn retrieved(state: &CallState) -> Option<CallState> {
    let can = matches!(
        state,
        CallState::OnHold | CallState::OnHoldPendConf | CallState::OnHoldPendTransfer | CallState::Unknown
    );
    can.then_some(CallState::Connected(ConnectedMode::Active))
}

fn conferenced(state: &CallState) -> Option<CallState> {
    let can = matches!(
        state,
        CallState::Connected(_) | CallState::OnHold | CallState::OnHoldPendConf | CallState::OnHoldPendTransfer
    );
    can.then_some(CallState::Conferenced)
}

/// Active, unless the next report says that it is held.
fn unconferenced(state: &CallState) -> Option<CallState> {
    matches!(state, CallState::Conferenced).then_some(CallState::Connected(ConnectedMode::Active))
}

fn peer_held(state: &CallState) -> Option<CallState> {
    match state {
        CallState::Connected(ConnectedMode::Inactive | ConnectedMode::InactiveHeld) => {
            Some(CallState::Connected(ConnectedMode::InactiveHeld))
        }
        CallState::Connected(_) => Some(CallState::Connected(ConnectedMode::ActiveHeld)),
        _ => None,
    }
}

fn peer_retrieved(state: &CallState) -> Option<CallState> {
    match state {
        CallState::Connected(ConnectedMode::ActiveHeld) => Some(CallState::Connected(ConnectedMode::Active)),
        CallState::Connected(ConnectedMode::InactiveHeld) => Some(CallState::Connected(ConnectedMode::Inactive)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
