//! What can be done with a call now: a table by state, cut to what the line can do and to what the session may do.

use tapi::{CallState, ConnectedMode, Feature, LineCaps, LineFlag, Names, Privilege};
use tspi::{DigitsBy, MediaWire};

/// Whether audio can be sent and received: a call with a stream that is connected, or whose far end already sends
/// (early media).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audio {
    /// No stream, or nothing at its other end yet.
    None,
    /// No stream, but a provider that sends digits by itself, and a connected call.
    Digits,
    /// A stream, and somebody at its other end.
    Flows,
}

/// What needs audio.
const MEDIA: [Feature; 7] = [
    Feature::GenerateDigits,
    Feature::GenerateTone,
    Feature::Play,
    Feature::Record,
    Feature::Bridge,
    Feature::Part,
    Feature::Audio,
];

/// What the server does with calls that have audio, where the network does not.
const SERVED: [Feature; 10] = [
    Feature::GatherDigits,
    Feature::BlindTransfer,
    Feature::SetupTransfer,
    Feature::CompleteTransfer,
    Feature::SetupConference,
    Feature::PrepareAddToConference,
    Feature::AddToConference,
    Feature::RemoveFromConference,
    Feature::AcceptTransfer,
    Feature::RejectTransfer,
];

/// What needs no more than a handle on a call that is not over.
const MONITORING: [Feature; 3] = [Feature::MonitorDigits, Feature::MonitorTones, Feature::MonitorMedia];

/// What a line can do: what its provider says, and what the media provider adds where the line has audio.
pub fn with_media(mut provider: Names<Feature>, wire: MediaWire, digits: DigitsBy) -> Names<Feature> {
    if wire != MediaWire::None {
        let ours = |feature: &Feature| *feature != Feature::GenerateDigits || digits == DigitsBy::Media;
        provider.extend(MEDIA.into_iter().filter(ours));
        provider.extend(MONITORING);
        provider.extend(SERVED);
    }
    if provider.contains(&Feature::Hold) && provider.contains(&Feature::Unhold) {
        provider.insert(Feature::SwapHold);
    }
    provider
}

/// The same, for a line whose provider says what it can do.
pub fn add_media(caps: &mut LineCaps, wire: MediaWire, digits: DigitsBy) {
    let wire = if caps.flags.contains(&LineFlag::Silent) { MediaWire::None } else { wire };
    caps.call_features = with_media(std::mem::take(&mut caps.call_features), wire, digits);
}

/// What can be done with a conference that this server mixes.
pub fn of_conference() -> Names<Feature> {
    let own = [
        Feature::Drop,
        Feature::Unhold,
        Feature::PrepareAddToConference,
        Feature::AddToConference,
        Feature::GatherDigits,
        Feature::GenerateDigits,
        Feature::GenerateTone,
        Feature::Play,
        Feature::Record,
        Feature::Audio,
    ];
    own.into_iter().chain(MONITORING).collect()
}

/// Whether `feature` fits `state`, whatever the line can do.
pub fn fits(state: &CallState, audio: Audio, feature: &Feature) -> bool {
    if state.is_over() {
        return *feature == Feature::Drop && *state != CallState::Idle;
    }
    match feature {
        Feature::Drop => true,
        Feature::Accept => matches!(state, CallState::Offering(_)),
        Feature::Answer => matches!(state, CallState::Offering(_) | CallState::Accepted),
        Feature::Hold => matches!(
            state,
            CallState::Connected(ConnectedMode::Active | ConnectedMode::ActiveHeld | ConnectedMode::Confirmed)
        ),
        Feature::Unhold => is_held(state),
        Feature::MonitorDigits | Feature::MonitorTones | Feature::MonitorMedia | Feature::GatherDigits => true,
        Feature::Redirect => matches!(state, CallState::Offering(_)),
        Feature::Dial => matches!(state, CallState::Dialtone(_) | CallState::Dialing),
        Feature::BlindTransfer => matches!(state, CallState::Connected(_)),
        Feature::SetupTransfer | Feature::SetupConference => {
            matches!(state, CallState::Connected(_) | CallState::OnHold)
        }
        Feature::SwapHold => matches!(state, CallState::Connected(_)) || is_held(state),
        Feature::CompleteTransfer => {
            matches!(
                state,
                CallState::Connected(_)
                    | CallState::Ringback
                    | CallState::Busy(_)
                    | CallState::Proceeding
                    | CallState::OnHold
                    | CallState::OnHoldPendTransfer
            )
        }
        Feature::PrepareAddToConference => matches!(state, CallState::Connected(_) | CallState::OnHoldPendConf),
        Feature::AddToConference => {
            matches!(state, CallState::Connected(_) | CallState::Ringback | CallState::Proceeding) || is_held(state)
        }
        Feature::RemoveFromConference => matches!(state, CallState::Conferenced),
        Feature::AcceptTransfer | Feature::RejectTransfer => {
            matches!(state, CallState::Connected(_) | CallState::Conferenced) || is_held(state)
        }
        Feature::GenerateDigits => audio != Audio::None,
        feature if MEDIA.contains(feature) => audio == Audio::Flows,
        _ => false,
    }
}

/// Whether we hold the call.
pub fn is_held(state: &CallState) -> bool {
    matches!(state, CallState::OnHold | CallState::OnHoldPendConf | CallState::OnHoldPendTransfer)
}

/// Whether audio flows in `state`, given a stream, whether its far end is known, and who sends digits.
pub fn audio(state: &CallState, stream: bool, far_end_known: bool, digits: DigitsBy) -> Audio {
    let flows = match state {
        CallState::Connected(_) | CallState::Conferenced => true,
        CallState::OnHold | CallState::OnHoldPendConf | CallState::OnHoldPendTransfer => false,
        CallState::Idle | CallState::Disconnected(_) | CallState::Offering(_) => false,
        _ => far_end_known,
    };
    match (flows, stream, digits) {
        (true, true, _) => Audio::Flows,
        (true, false, DigitsBy::Provider) => Audio::Digits,
        _ => Audio::None,
    }
}

/// What a session with `privilege` can do with a call now.
pub fn features(state: &CallState, audio: Audio, caps: &Names<Feature>, privilege: &Privilege) -> Names<Feature> {
    let may = |feature: &&Feature| match privilege {
        Privilege::Owner => true,
        Privilege::Monitor => MONITORING.contains(feature),
        _ => false,
    };
    caps.iter().filter(may).filter(|feature| fits(state, audio, feature)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Feature; 13] = [
        Feature::Accept,
        Feature::Answer,
        Feature::Drop,
        Feature::Hold,
        Feature::Unhold,
        Feature::GenerateDigits,
        Feature::GenerateTone,
        Feature::MonitorDigits,
        Feature::MonitorTones,
        Feature::Play,
        Feature::Record,
        Feature::Bridge,
        Feature::Part,
    ];

    fn row(state: &CallState, audio: Audio, privilege: Privilege) -> String {
        let caps = Names::from(ALL);
        let features = features(state, audio, &caps, &privilege);
        ALL.iter().map(|feature| if features.contains(feature) { 'x' } else { '.' }).collect()
    }

    #[test]
    fn an_owner_by_state() {
        // Columns: Accept Answer Drop Hold Unhold | digits tone | monitors | Play Record Bridge Part.
        let table = [
            ("idle", "............."),
            ("offering", "xxx....xx...."),
            ("accepted", ".xx....xx...."),
            ("dialtone", "..x....xx...."),
            ("dialing", "..x....xx...."),
            ("ringback", "..x....xx...."),
            ("busy", "..x....xx...."),
            ("special_info", "..x....xx...."),
            ("connected", "..xx.xxxxxxxx"),
            ("proceeding", "..x....xx...."),
            ("on_hold", "..x.x..xx...."),
            ("conferenced", "..x..xxxxxxxx"),
            ("on_hold_pend_conf", "..x.x..xx...."),
            ("on_hold_pend_transfer", "..x.x..xx...."),
            ("disconnected", "..x.........."),
            ("unknown", "..x....xx...."),
        ];
        for (state, (name, expected)) in CallState::all().into_iter().zip(table) {
            assert_eq!(state.name(), name);
            let audio = audio(&state, true, false, DigitsBy::Media);
            assert_eq!(row(&state, audio, Privilege::Owner), expected, "{name}");
        }
    }

    #[test]
    fn early_media_can_be_used_and_a_monitor_only_listens() {
        let ringback = CallState::Ringback;
        let early = audio(&ringback, true, true, DigitsBy::Media);
        assert_eq!(row(&ringback, early, Privilege::Owner), "..x..xxxxxxxx");
        assert_eq!(row(&ringback, early, Privilege::Monitor), ".......xx....");
        assert_eq!(row(&ringback, early, Privilege::None), ".............");
        assert_eq!(audio(&ringback, false, true, DigitsBy::Media), Audio::None);
    }

    #[test]
    fn what_the_line_cannot_do_is_not_offered() {
        let connected = CallState::Connected(ConnectedMode::Active);
        let caps = Names::from([Feature::Drop]);
        assert_eq!(features(&connected, Audio::Flows, &caps, &Privilege::Owner), caps);
    }

    #[test]
    fn a_line_without_audio_whose_provider_sends_digits_can_send_digits_and_no_more() {
        let connected = CallState::Connected(ConnectedMode::Active);
        let digits = audio(&connected, false, false, DigitsBy::Provider);
        assert_eq!(row(&connected, digits, Privilege::Owner), "..xx.x.xx....");
        let caps = with_media(Names::from([Feature::Drop]), MediaWire::None, DigitsBy::Provider);
        assert_eq!(caps, Names::from([Feature::Drop]));
        // One whose modem carries no audio is such a line, until it does again.
        let own = Names::from([Feature::Drop]);
        for (flags, plays) in [(Names::from([LineFlag::Silent]), false), (Names::new(), true)] {
            let mut caps = LineCaps {
                bearer_modes: Names::new(),
                media_modes: Names::new(),
                call_features: own.clone(),
                flags,
                max_calls: 1,
                max_held_calls: 0,
            };
            add_media(&mut caps, MediaWire::Frames, DigitsBy::Media);
            assert_eq!(caps.call_features.contains(&Feature::Play), plays);
        }
    }
}
