//! Sessions on the bus: taken up again, cut off, and what the policy kit takes back.

use crate::bus::OnBus;
use crate::daemon::PATIENCE;
use crate::tests::{Watcher, id};
use nix::sys::signal::Signal;
use serde_json::json;
use std::time::Instant;
use tapi::request::LineSetStatusMessages;
use tapi::request::{CallAccept, CallSetPrivilege, LineClose, LineOpen};
use tapi::{CallId, EventBody, LineSelector, Names, Privilege};

/// The call that a line of the watcher's is offered.
fn offered(watcher: &mut Watcher, line: &str) -> CallId {
    let is = |body: &EventBody| match body {
        EventBody::CallNew { call } if call.info.line_name == line => Some(call.info.call),
        _ => None,
    };
    watcher.wait("offered call", |seen| is(&seen.event.body).is_some());
    watcher.seen.iter().find_map(|seen| is(&seen.event.body)).unwrap()
}

#[test]
fn a_session_whose_name_vanished_is_taken_up_from_another() {
    let on_bus = OnBus::start("");
    let mut watcher = Watcher::open(&on_bus.daemon.socket());
    let mut first = on_bus.acts(&["linger"], None);
    let placed = first.tells();
    let call = id(&placed["call"]);
    first.kill();
    let called = offered(&mut watcher, "loopback:1");
    watcher.client.call(CallSetPrivilege { call: called, privilege: Privilege::Owner }).unwrap();
    watcher.client.call(CallAccept { call: called, early_media: false }).unwrap();
    watcher.until(call, "ringback");
    let (token, seq) = (placed["token"].as_str().unwrap(), placed["seq"].to_string());
    let mut second = on_bus.acts(&["resume", token, &seq, placed["call"].as_str().unwrap()], None);
    assert_eq!(second.tells(), json!({ "step": "ended" }));
    watcher.until(call, "idle");
    let states = watcher.seen.iter().filter(|seen| match &seen.event.body {
        EventBody::CallState { call: of, state, .. } => *of == call && state.name() == "idle",
        _ => false,
    });
    assert_eq!(states.count(), 1, "it lived until it was hung up");
}

#[test]
fn a_client_that_does_not_read_is_cut_off_and_told() {
    let on_bus = OnBus::start("");
    let mut watcher = Watcher::open(&on_bus.daemon.socket());
    let mut deaf = on_bus.acts(&["deaf"], None);
    let call = id(&deaf.tells()["call"]);
    deaf.signal(Signal::SIGSTOP);
    // Each opening and each closing of a line is told to those who have it open.
    let line = LineSelector::Name("loopback:0".into());
    watcher.client.call(LineSetStatusMessages { line: line.clone(), states: Names::new() }).unwrap();
    let mut other = Watcher::open(&on_bus.daemon.socket());
    let deadline = Instant::now() + PATIENCE * 6;
    let cut = |log: &str| log.contains("overrun");
    for turn in 0.. {
        if turn % 100 == 0 && cut(&on_bus.daemon.directory.read("log")) {
            break;
        }
        assert!(Instant::now() < deadline && turn < 20_000, "nobody was cut off");
        let privileges = Names::from([Privilege::Monitor]);
        other.client.call(LineClose { line: line.clone() }).unwrap();
        other.client.call(LineOpen { line: line.clone(), privileges, media_modes: Names::new() }).unwrap();
    }
    watcher.until(call, "idle");
    deaf.signal(Signal::SIGCONT);
    let said = deaf.tells();
    assert_eq!(said["step"], "cut off");
    let told = said["told"].as_u64().unwrap();
    assert!((4_096..12_000).contains(&told), "what waited was sent before: {told}");
}

#[test]
fn what_the_policy_kit_takes_back_is_gone() {
    assert!(nix::unistd::geteuid().is_root(), "this test becomes another user: run it as root");
    let on_bus = OnBus::start("");
    let mut authority = on_bus.python(&["authority", "see", "monitor"], None);
    assert_eq!(authority.tells()["step"], "ready");
    let mut watched = on_bus.acts(&["watched"], Some(65_534));
    assert_eq!(watched.tells(), json!({ "step": "opened" }));
    authority.signal(Signal::SIGHUP);
    let refused = watched.tells();
    assert_eq!(refused["step"], "refused");
    assert_eq!(refused["error"], "org.tapid.Telephony1.Error.BadDeviceId", "what may not be seen is not there");
}
