use crate::app::App;
use crate::daemon::{Daemon, free_port};
use crate::sipp::Sipp;
use std::collections::BTreeMap;
use tapi::request::{
    CallAccept, CallAnswer, CallDeallocate, CallDrop, CallGet, CallHold, CallMake, CallTrace, CallUnhold, LineList,
};
use tapi::{AddressId, CallState, DisconnectMode, EventBody, LineSelector};

pub fn make(app: &mut App, to: &str) -> tapi::CallId {
    app.ask(CallMake {
        line: LineSelector::Name("sip:trunk".into()),
        to: to.into(),
        address: AddressId(0),
        block_id: false,
        comment: None,
        bearer: None,
    })
    .call
}

#[test]
fn twenty_callers_are_answered_and_hang_up() {
    let daemon = Daemon::start(None);
    let mut app = App::new(&daemon.socket());
    let sipp = Sipp::caller(daemon.directory.path(), "caller", daemon.sip, &["-m", "20", "-r", "10", "-d", "500"]);
    let mut states: BTreeMap<_, Vec<String>> = BTreeMap::new();
    let mut over = 0;
    while over < 20 {
        let (call, state) = app.wait("state", |body| match body {
            EventBody::CallState { call, state, .. } => Some((*call, state.clone())),
            _ => None,
        });
        states.entry(call).or_default().push(state.to_string());
        match state {
            CallState::Offering(_) => drop(app.ask(CallAnswer { call })),
            CallState::Disconnected(_) => drop(app.ask(CallDrop { call, reason: None })),
            CallState::Idle => {
                app.ask(CallDeallocate { call });
                over += 1;
            }
            _ => {}
        }
    }
    sipp.finish();
    assert_eq!(states.len(), 20);
    for (call, states) in states {
        assert_eq!(states, ["offering (active)", "connected (active)", "disconnected (normal)", "idle"], "call {call}");
    }
}

#[test]
fn the_callers_name_and_the_ladder_are_there() {
    let daemon = Daemon::start(None);
    let mut app = App::new(&daemon.socket());
    let sipp = Sipp::caller(daemon.directory.path(), "caller", daemon.sip, &["-m", "1", "-d", "300"]);
    let call = app.offered();
    let info = app.ask(CallGet { call }).info;
    assert_eq!(info.caller.name.as_deref(), Some("Sipp \"the\" tester"));
    assert!(info.caller.address.as_deref().unwrap_or_default().starts_with("sip:sipp@127.0.0.1"), "{:?}", info.caller);
    app.ask(CallAnswer { call });
    app.states_to(call, "disconnected");
    let ladder: Vec<String> = app
        .ask(CallTrace { call, full: false })
        .entries
        .iter()
        .map(|entry| {
            format!("{} {}", if entry.sent { "→" } else { "←" }, entry.summary.split(' ').next().unwrap_or_default())
        })
        .collect();
    assert_eq!(ladder, ["← INVITE", "→ 100", "→ 200", "← ACK", "← BYE", "→ 200"]);
    app.ask(CallDrop { call, reason: None });
    sipp.finish();
}

#[test]
fn a_caller_that_holds_is_seen_to_hold() {
    let daemon = Daemon::start(None);
    let mut app = App::new(&daemon.socket());
    let sipp = Sipp::caller(daemon.directory.path(), "caller_holds", daemon.sip, &["-m", "1"]);
    let call = app.offered();
    app.ask(CallAnswer { call });
    let states = app.wait_for_hang_up(call);
    assert_eq!(
        states,
        ["connected (active)", "connected (active_held)", "connected (active)", "disconnected (normal)"]
    );
    sipp.finish();
}

#[test]
fn a_caller_that_gives_up_ends_the_call_as_cancelled() {
    let daemon = Daemon::start(None);
    let mut app = App::new(&daemon.socket());
    let sipp = Sipp::caller(daemon.directory.path(), "caller_gives_up", daemon.sip, &["-m", "1"]);
    let call = app.offered();
    app.ask(CallAccept { call, early_media: false });
    assert_eq!(app.wait_for_hang_up(call), ["accepted", "disconnected (cancelled)"]);
    sipp.finish();
}

#[test]
fn a_busy_callee_is_busy() {
    let port = free_port();
    let daemon = Daemon::start(Some(port));
    let mut app = App::new(&daemon.socket());
    let sipp = Sipp::callee(daemon.directory.path(), "callee_busy", port);
    let call = make(&mut app, "200");
    let states = app.states_to(call, "disconnected");
    assert_eq!(states.last().map(String::as_str), Some("disconnected (busy)"), "{states:?}");
    let cause = app.ask(CallGet { call }).info.cause.unwrap();
    assert_eq!((cause.mode, cause.sip), (DisconnectMode::Busy, Some(486)));
    sipp.finish();
}

#[test]
fn a_callee_rings_answers_and_hangs_up() {
    let port = free_port();
    let daemon = Daemon::start(Some(port));
    let mut app = App::new(&daemon.socket());
    let sipp = Sipp::callee(daemon.directory.path(), "callee_hangs_up", port);
    let call = make(&mut app, "200");
    let states = app.states_to(call, "disconnected");
    let tail: Vec<&str> = states.iter().rev().take(3).rev().map(String::as_str).collect();
    assert_eq!(tail, ["ringback", "connected (active)", "disconnected (normal)"], "{states:?}");
    let cause = app.ask(CallGet { call }).info.cause.unwrap();
    assert_eq!(cause.q850, Some(16), "the Reason header is there");
    sipp.finish();
}

#[test]
fn we_hold_and_retrieve_and_hang_up_on_sipps_own_callee() {
    let port = free_port();
    let daemon = Daemon::start(Some(port));
    let mut app = App::new(&daemon.socket());
    let sipp = Sipp::callee(daemon.directory.path(), "callee_is_held", port);
    let call = make(&mut app, "200");
    app.states_to(call, "connected");
    app.ask(CallHold { call });
    assert_eq!(app.state(call), CallState::OnHold);
    app.ask(CallUnhold { call });
    assert_eq!(app.state(call).name(), "connected");
    app.hang_up(call);
    sipp.finish();
    let line = &app.ask(LineList {}).lines[0];
    assert_eq!((line.status.active_calls, line.status.held_calls), (0, 0), "nothing is left on the line");
}

#[test]
fn a_ring_is_acknowledged_and_a_session_refreshed_by_the_caller() {
    let daemon = Daemon::start(None);
    let mut app = App::new(&daemon.socket());
    let sipp = Sipp::caller(daemon.directory.path(), "caller_acknowledges", daemon.sip, &["-m", "1"]);
    let call = app.offered();
    app.ask(CallAccept { call, early_media: false });
    // The scenario waits for the answer to its PRACK first.
    let acknowledged = |app: &mut App| {
        let entries = app.ask(CallTrace { call, full: false }).entries;
        entries.iter().any(|entry| entry.summary.starts_with("PRACK"))
    };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !acknowledged(&mut app) {
        assert!(std::time::Instant::now() < deadline, "no PRACK");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    app.ask(CallAnswer { call });
    let states = app.wait_for_hang_up(call);
    assert_eq!(states, ["accepted", "connected (active)", "disconnected (normal)"]);
    sipp.finish();
}

#[test]
fn a_caller_without_an_offer_gets_one() {
    let daemon = Daemon::start(None);
    let mut app = App::new(&daemon.socket());
    let sipp = Sipp::caller(daemon.directory.path(), "caller_offers_nothing", daemon.sip, &["-m", "1"]);
    let call = app.offered();
    app.ask(CallAnswer { call });
    assert_eq!(app.wait_for_hang_up(call), ["connected (active)", "disconnected (normal)"]);
    sipp.finish();
}

#[test]
fn a_callee_offers_and_rings_reliably_where_the_line_offers_late() {
    let port = free_port();
    let daemon = Daemon::start_with(Some(port), "offer = \"late\"\nreliable = \"supported\"\n");
    let mut app = App::new(&daemon.socket());
    let sipp = Sipp::callee(daemon.directory.path(), "callee_offers", port);
    let call = make(&mut app, "200");
    app.states_to(call, "connected");
    app.hang_up(call);
    sipp.finish();
}

#[test]
fn a_session_that_is_too_short_is_asked_for_again() {
    let port = free_port();
    let daemon = Daemon::start(Some(port));
    let mut app = App::new(&daemon.socket());
    let sipp = Sipp::callee(daemon.directory.path(), "callee_asks_longer", port);
    let call = make(&mut app, "200");
    app.states_to(call, "connected");
    app.hang_up(call);
    sipp.finish();
}
