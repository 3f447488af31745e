use super::after;
use tapi::{
    AnswerEvidence, BusyMode, CallState, Cause, ConnectedMode, DialtoneMode, DisconnectMode, OfferingMode, SpecialInfo,
};
use tspi::{ReleasedBy, Report};

fn reports() -> [Report; 16] {
    [
        Report::Offered,
        Report::Accepted,
        Report::Dialtone(DialtoneMode::Special),
        Report::Dialing,
        Report::Proceeding,
        Report::PeerRings,
        Report::Busy(BusyMode::Trunk),
        Report::SpecialInfo(SpecialInfo::Reorder),
        Report::Answered(AnswerEvidence::Signalled),
        Report::Held,
        Report::Retrieved,
        Report::PeerHeld,
        Report::PeerRetrieved,
        Report::Unchanged { reason: "refused".into() },
        Report::Released { by: ReleasedBy::Local, cause: Cause::new(DisconnectMode::Normal) },
        Report::Released { by: ReleasedBy::Remote, cause: Cause::new(DisconnectMode::Busy) },
    ]
}

/// One letter a state: what a report leads to, `.` for no change.
fn letter(next: Option<CallState>) -> char {
    match next {
        None => '.',
        Some(CallState::Idle) => 'I',
        Some(CallState::Offering(OfferingMode::Active)) => 'O',
        Some(CallState::Accepted) => 'A',
        Some(CallState::Dialtone(DialtoneMode::Special)) => 'T',
        Some(CallState::Dialing) => 'D',
        Some(CallState::Proceeding) => 'P',
        Some(CallState::Ringback) => 'R',
        Some(CallState::Busy(BusyMode::Trunk)) => 'B',
        Some(CallState::SpecialInfo(SpecialInfo::Reorder)) => 'S',
        Some(CallState::Connected(ConnectedMode::Active)) => 'C',
        Some(CallState::Connected(ConnectedMode::ActiveHeld)) => 'c',
        Some(CallState::Connected(ConnectedMode::InactiveHeld)) => 'i',
        Some(CallState::Connected(ConnectedMode::Inactive)) => 'n',
        Some(CallState::OnHold) => 'H',
        Some(CallState::Disconnected(DisconnectMode::Busy)) => 'X',
        Some(other) => panic!("a state that no report leads to: {other}"),
    }
}

#[test]
fn every_pair_of_state_and_report() {
    // Columns: Offered Accepted Dialtone Dialing Proceeding PeerRings Busy SpecialInfo Answered Held Retrieved PeerHeld
    // PeerRetrieved Unchanged Released(local) Released(remote).
    let table = [
        ("idle", "................"),
        ("offering", ".A......C.....IX"),
        ("accepted", "........C.....IX"),
        ("dialtone", "..TDPRBSC.....IX"),
        ("dialing", "..T.PRBSC.....IX"),
        ("ringback", "..TDP.BSC.....IX"),
        ("busy", "..TDPRBSC.....IX"),
        ("special_info", "..TDPRBSC.....IX"),
        ("connected", "......BS.H.c..IX"),
        ("proceeding", "..TD.RBSC.....IX"),
        ("on_hold", "..........C...IX"),
        ("conferenced", "..............IX"),
        ("on_hold_pend_conf", "..........C...IX"),
        ("on_hold_pend_transfer", "..........C...IX"),
        ("disconnected", "..............I."),
        ("unknown", "OATDPRBSCHC...IX"),
    ];
    for (state, (name, row)) in CallState::all().into_iter().zip(table) {
        assert_eq!(state.name(), name);
        let found: String = reports().iter().map(|report| letter(after(&state, report))).collect();
        assert_eq!(found, row, "{state}");
    }
}

#[test]
fn the_modes_of_connected() {
    let connected = |mode| CallState::Connected(mode);
    for (mode, held, retrieved) in [
        (ConnectedMode::Active, 'c', '.'),
        (ConnectedMode::Confirmed, 'c', '.'),
        (ConnectedMode::ActiveHeld, '.', 'C'),
        (ConnectedMode::Inactive, 'i', '.'),
        (ConnectedMode::InactiveHeld, '.', 'n'),
    ] {
        assert_eq!(letter(after(&connected(mode.clone()), &Report::PeerHeld)), held);
        assert_eq!(letter(after(&connected(mode), &Report::PeerRetrieved)), retrieved);
    }
}

#[test]
fn a_report_of_the_same_state_and_mode_changes_nothing_and_of_another_mode_does() {
    let busy = CallState::Busy(BusyMode::Unknown);
    assert_eq!(after(&busy, &Report::Busy(BusyMode::Unknown)), None);
    assert_eq!(after(&busy, &Report::Busy(BusyMode::Station)), Some(CallState::Busy(BusyMode::Station)));
}

#[test]
fn nothing_leaves_idle_whatever_its_history() {
    for report in reports() {
        assert_eq!(after(&CallState::Idle, &report), None);
    }
}
