//! Calls that are sent elsewhere: redirection of an offered one, and transfers as a network does them.

use super::{Call, Loopback, State, Timer};
use crate::setup::Destination;
use tapi::{CallReason, Cause, DisconnectMode, ErrorCode, Party, Time};
use tspi::{CallFacts, CallRef, CommandId, Event, LineRef, Refusal, ReleasedBy, Report, Taken};

/// How long whoever is sent elsewhere waits there.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

impl Loopback {
    /// An offered call is sent elsewhere, as with 302 of SIP or deflection of GSM.
    pub(super) fn redirect(&mut self, now: Time, id: CommandId, call: CallRef, to: &str) -> Result<(), Refusal> {
        let destination = self.destination(to)?;
        let found = self.call(call, |state| matches!(state, State::Offered | State::Accepted(_)))?;
        let (line, caller) = (found.line, found.peer);
        self.taken(id, Taken::Done);
        self.release(call, ReleasedBy::Local, Cause::new(DisconnectMode::Forwarded));
        if let Some(caller) = caller {
            self.send_on(now, caller, &destination, (line, to, CallReason::Redirect));
        }
        Ok(())
    }

    /// The far end of a call is sent elsewhere.
    pub(super) fn blind_transfer(&mut self, now: Time, id: CommandId, call: CallRef, to: &str) -> Result<(), Refusal> {
        let destination = self.destination(to)?;
        let found = self.call(call, |state| matches!(state, State::Active | State::Held))?;
        let (line, peer) = (found.line, found.peer);
        self.taken(id, Taken::Done);
        let failed = match &destination {
            Destination::Busy => Some(DisconnectMode::Busy),
            Destination::Line(other) if self.is_full(*other) => Some(DisconnectMode::Busy),
            Destination::Reject => Some(DisconnectMode::Reject),
            Destination::Nobody => Some(DisconnectMode::BadAddress),
            Destination::Line(_) | Destination::NoAnswer => None,
        };
        if let Some(mode) = failed {
            self.report(call, Report::TransferFailed { cause: Cause::new(mode), unsupported: false });
            return Ok(());
        }
        self.report(call, Report::Transferred);
        self.release(call, ReleasedBy::Local, Cause::new(DisconnectMode::Normal));
        if let Some(peer) = peer {
            self.send_on(now, peer, &destination, (line, to, CallReason::Transfer));
        }
        Ok(())
    }

    /// The far ends of two calls talk to one another; the second may still wait for its answer.
    pub(super) fn complete_transfer(
        &mut self,
        id: CommandId,
        call: CallRef,
        consultation: CallRef,
    ) -> Result<(), Refusal> {
        if call == consultation {
            return Err(Refusal::new(ErrorCode::TargetSelf, "a call is no consultation of itself"));
        }
        let waits = |state: &State| matches!(state, State::Active | State::Held | State::Calling(_));
        let other = self.call(consultation, waits)?.peer;
        let peer = self.call(call, |state| matches!(state, State::Active | State::Held))?.peer;
        let (Some(peer), Some(other)) = (peer, other) else {
            return Err(Refusal::new(ErrorCode::InvalCallState, "there is nobody at the other end"));
        };
        self.taken(id, Taken::Done);
        self.report(call, Report::Transferred);
        for own in [call, consultation] {
            self.release(own, ReleasedBy::Local, Cause::new(DisconnectMode::Normal));
        }
        self.pair(peer, other);
        for (end, with) in [(peer, other), (other, peer)] {
            let party = self.calls.get(&with).map(|with| self.party(with.line));
            let facts = CallFacts { connected: party, ..CallFacts::default() };
            self.event(Event::CallInfo { call: end, facts: Box::new(facts) });
            self.tell_media(end);
            self.retrieve(end, with);
        }
        Ok(())
    }

    /// Who was held by the one that left is held no longer.
    fn retrieve(&mut self, end: CallRef, with: CallRef) {
        let active = |call: &CallRef| self.calls.get(call).is_some_and(|call| call.state == State::Active);
        if active(&end) && active(&with) {
            self.report(end, Report::PeerRetrieved);
        }
    }

    /// A call goes on to another destination, away from this line.
    fn send_on(
        &mut self,
        now: Time,
        call: CallRef,
        to: &Destination,
        (from, number, reason): (LineRef, &str, CallReason),
    ) {
        let Some(Call { line, state, .. }) = self.calls.get(&call) else { return };
        let (caller, waiting) = (self.party(*line), matches!(state, State::Calling(_)));
        let redirecting = Some(self.party(from));
        let redirection = Some(Party::new(Some(number.to_owned()), None));
        if let Some(end) = self.calls.get_mut(&call) {
            end.peer = None;
            end.timers.insert(Timer::GiveUp, now + PATIENCE);
        }
        let facts = CallFacts { redirecting: redirecting.clone(), redirection, ..CallFacts::default() };
        self.event(Event::CallInfo { call, facts: Box::new(facts) });
        self.tell_media(call);
        let over = match to {
            Destination::Line(other) if !self.is_full(*other) => {
                self.offer_from(
                    call,
                    *other,
                    caller,
                    CallFacts { redirecting, reason: Some(reason), ..Default::default() },
                );
                None
            }
            Destination::NoAnswer => None,
            Destination::Line(_) | Destination::Busy => Some(DisconnectMode::Busy),
            Destination::Reject => Some(DisconnectMode::Reject),
            Destination::Nobody => Some(DisconnectMode::BadAddress),
        };
        if let Some(mode) = over {
            self.release(call, ReleasedBy::Remote, Cause::new(mode));
        } else if waiting && matches!(to, Destination::NoAnswer) {
            self.report(call, Report::PeerRings);
        }
    }
}
