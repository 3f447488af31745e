//! Calls between loopback lines, as applications live them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails shows why")]

use std::time::Duration;
use tapi::request::{CallAccept, CallDrop, CallHold, CallMonitorDigits, CallSendDigits, CallUnhold};
use tapi::{CallId, CallState, ConnectedMode, DisconnectMode, End, ErrorCode, EventBody, Request};
use tapi_sim::world::{AppId, Setup, World};

/// Two applications with a line each.
fn two_apps(setup: Setup) -> (World, [AppId; 2], tapi::LineId) {
    let mut world = World::new(setup);
    world.start_loopback("loopback", 2);
    let caller = world.open_app("caller", 0);
    let called = world.open_app("called", 0);
    let line = world.open_line(caller, "loopback:0");
    world.open_line(called, "loopback:1");
    (world, [caller, called], line)
}

fn connected(world: &mut World, [caller, called]: [AppId; 2], line: tapi::LineId) -> [CallId; 2] {
    let ours = world.make_call(caller, line, "loopback:1").unwrap();
    let theirs = world.await_offer(called);
    world.answer(called, theirs);
    world.await_state(caller, ours, "connected");
    world.await_state(called, theirs, "connected");
    [ours, theirs]
}

fn names(states: &[CallState]) -> Vec<&str> {
    states.iter().map(CallState::name).collect()
}

#[test]
fn a_call_lives_and_ends_at_both_ends() {
    let (mut world, [caller, called], line) = two_apps(Setup::default());
    let ours = world.make_call(caller, line, "loopback:1").unwrap();
    let theirs = world.await_offer(called);
    let snapshot = world.snapshot(called);
    assert_eq!(snapshot.calls[0].info.caller.address.as_deref(), Some("loopback:0"));
    assert_eq!(world.snapshot(caller).calls[0].info.network_id, snapshot.calls[0].info.network_id);
    world.expect(called, Request::CallAccept(CallAccept { call: theirs, early_media: false }));
    world.await_state(caller, ours, "ringback");
    world.answer(called, theirs);
    world.await_state(caller, ours, "connected");
    world.drop_call(called, theirs);
    let last = world.await_state(caller, ours, "disconnected");
    assert_eq!(last, CallState::Disconnected(DisconnectMode::Normal));
    world.drop_call(caller, ours);
    world.await_state(caller, ours, "idle");
    assert_eq!(names(&world.app(caller).states(ours)), ["proceeding", "ringback", "connected", "disconnected", "idle"]);
    assert_eq!(names(&world.app(called).states(theirs)), ["offering", "accepted", "connected", "idle"]);
    world.assert_nothing_left();
}

#[test]
fn busy_no_answer_and_refusal_are_told_by_their_modes() {
    let (mut world, [caller, called], line) = two_apps(Setup::default());
    for (number, mode) in [
        ("busy", DisconnectMode::Busy),
        ("noanswer", DisconnectMode::NoAnswer),
        ("reject", DisconnectMode::Reject),
        ("7", DisconnectMode::BadAddress),
    ] {
        let call = world.make_call(caller, line, number).unwrap();
        assert_eq!(world.await_state(caller, call, "disconnected"), CallState::Disconnected(mode), "{number}");
        world.drop_call(caller, call);
    }
    let call = world.make_call(caller, line, "1").unwrap();
    let offered = world.await_offer(called);
    let reason = Some(DisconnectMode::DoNotDisturb);
    world.expect(called, Request::CallDrop(CallDrop { call: offered, reason }));
    let last = world.await_state(caller, call, "disconnected");
    assert_eq!(last, CallState::Disconnected(DisconnectMode::DoNotDisturb));
    world.drop_call(caller, call);
    world.assert_nothing_left();
}

#[test]
fn hold_is_seen_at_both_ends() {
    let (mut world, [caller, called], line) = two_apps(Setup::default());
    let [ours, theirs] = connected(&mut world, [caller, called], line);
    world.expect(caller, Request::CallHold(CallHold { call: ours }));
    world.await_state(caller, ours, "on_hold");
    world.settle();
    assert_eq!(world.app(called).state(theirs), Some(&CallState::Connected(ConnectedMode::ActiveHeld)));
    world.expect(caller, Request::CallUnhold(CallUnhold { call: ours }));
    world.await_state(caller, ours, "connected");
    world.settle();
    assert_eq!(world.app(called).state(theirs), Some(&CallState::Connected(ConnectedMode::Active)));
    world.drop_call(caller, ours);
    world.await_state(called, theirs, "disconnected");
    world.drop_call(called, theirs);
    world.assert_nothing_left();
}

#[test]
fn digits_are_heard_by_who_asked_for_them() {
    let (mut world, [caller, called], line) = two_apps(Setup::default());
    let [ours, theirs] = connected(&mut world, [caller, called], line);
    world.expect(called, Request::CallMonitorDigits(CallMonitorDigits { call: theirs, on: true }));
    let request = CallSendDigits { call: ours, digits: "123#".into(), duration_ms: None };
    let operation = world.started(caller, Request::CallSendDigits(request), None).unwrap();
    let ended = world.await_event(
        caller,
        "the digits were sent",
        |body| matches!(body, EventBody::CallGenerated { operation: of, .. } if *of == operation),
    );
    assert_eq!(ended, EventBody::CallGenerated { call: ours, operation, end: End::Done });
    assert_eq!(world.digits(called, theirs), "123#");
    world.drop_call(caller, ours);
    world.await_state(called, theirs, "disconnected");
    world.drop_call(called, theirs);
    world.assert_nothing_left();
}

#[test]
fn what_is_played_at_one_end_is_recorded_at_the_other() {
    let (mut world, [caller, called], line) = two_apps(Setup::default());
    let [ours, theirs] = connected(&mut world, [caller, called], line);
    let (_, file) = world.record(called, theirs).unwrap();
    let tone: Vec<i16> = (0..8_000)
        .map(|at| ((f64::from(at) * 440.0 / 8_000.0 * std::f64::consts::TAU).sin() * 8_000.0) as i16)
        .collect();
    let playback = world.play(caller, ours, &tone).unwrap();
    world.await_event(caller, "the playback ended", |body| {
        matches!(body, EventBody::CallPlayed { operation, end: End::Done, played_ms: 1_000, .. } if *operation == playback)
    });
    world.run_for(Duration::from_secs(1));
    world.drop_call(caller, ours);
    world.await_event(called, "the recording ended", |body| matches!(body, EventBody::CallRecorded { .. }));
    world.drop_call(called, theirs);
    let recording = world.recording(file).unwrap();
    assert!(recording.complete);
    let heard: Vec<i16> = recording.frames.iter().flat_map(|(received, _)| received.0).collect();
    let loud = heard.iter().filter(|sample| sample.abs() > 4_000).count();
    assert!((4_000..=6_000).contains(&loud), "two thirds of a sine lie above half of its peak: {loud} of 8000");
    world.assert_nothing_left();
}

#[test]
fn a_full_disk_ends_the_recording_and_not_the_call() {
    let (mut world, [caller, called], line) = two_apps(Setup::default());
    let [ours, theirs] = connected(&mut world, [caller, called], line);
    world.set_disk(Some(100));
    let (recording, file) = world.record(called, theirs).unwrap();
    let ended = world.await_event(called, "the recording ended", |body| matches!(body, EventBody::CallRecorded { .. }));
    let EventBody::CallRecorded { operation, end, recorded_ms, .. } = ended else { panic!("{ended:?}") };
    assert_eq!((operation, end), (recording, End::DiskFull));
    assert!((900..=2_000).contains(&recorded_ms), "{recorded_ms} ms were written of two seconds");
    assert!(world.recording(file).unwrap().complete);
    assert_eq!(world.app(called).state(theirs).map(CallState::name), Some("connected"));
    world.drop_call(caller, ours);
    world.await_state(called, theirs, "disconnected");
    world.drop_call(called, theirs);
    world.assert_nothing_left();
}

#[test]
fn the_death_of_an_application_ends_its_calls_and_the_other_end_is_told() {
    let (mut world, [caller, called], line) = two_apps(Setup::default());
    let [_, theirs] = connected(&mut world, [caller, called], line);
    world.disconnect(caller);
    world.await_state(called, theirs, "disconnected");
    world.drop_call(called, theirs);
    world.assert_nothing_left();
}

#[test]
fn an_application_that_comes_back_is_told_everything_it_missed() {
    let mut world = World::new(Setup::default());
    world.start_loopback("loopback", 2);
    let caller = world.open_app("caller", 0);
    let called = world.open_app("called", 30_000);
    let line = world.open_line(caller, "loopback:0");
    world.open_line(called, "loopback:1");
    let [ours, theirs] = connected(&mut world, [caller, called], line);
    world.disconnect(called);
    world.run_for(Duration::from_secs(5));
    world.expect(caller, Request::CallHold(CallHold { call: ours }));
    world.await_state(caller, ours, "on_hold");
    world.resume(called).unwrap();
    world.settle();
    assert_eq!(world.app(called).state(theirs), Some(&CallState::Connected(ConnectedMode::ActiveHeld)));
    world.snapshot(called);
    // The second time it stays away for too long.
    world.disconnect(called);
    world.run_for(Duration::from_secs(31));
    assert_eq!(world.app(caller).state(ours).map(CallState::name), Some("disconnected"));
    assert!(world.resume(called).is_err());
    world.drop_call(caller, ours);
    world.assert_nothing_left();
}

#[test]
fn the_death_of_a_provider_ends_its_calls_and_it_may_come_back() {
    let mut world = World::new(Setup::default());
    let provider = world.start_loopback("loopback", 2);
    let caller = world.open_app("caller", 0);
    let line = world.open_line(caller, "loopback:0");
    let call = world.make_call(caller, line, "noanswer").unwrap();
    world.await_state(caller, call, "ringback");
    world.kill_provider(provider, "it crashed");
    let last = world.await_state(caller, call, "disconnected");
    assert_eq!(last, CallState::Disconnected(DisconnectMode::Unavail));
    assert!(world.make_call(caller, line, "1").is_err());
    // The line was closed with it, and that voids its calls.
    let gone = world.ask(caller, Request::CallDrop(CallDrop { call, reason: None })).unwrap_err();
    assert_eq!(gone.code, ErrorCode::InvalCallHandle);
    world.restart_loopback(provider, "loopback", 2);
    let line = world.open_line(caller, "loopback:0");
    let call = world.make_call(caller, line, "busy").unwrap();
    world.await_state(caller, call, "busy");
    world.drop_call(caller, call);
    world.assert_nothing_left();
}

#[test]
fn a_restart_that_keeps_the_state_keeps_the_call_and_ends_the_playback() {
    let (mut world, [caller, called], line) = two_apps(Setup::default());
    let [ours, theirs] = connected(&mut world, [caller, called], line);
    let playback = world.play(caller, ours, &[1_000; 80_000]).unwrap();
    world.run_for(Duration::from_secs(1));
    world.restart();
    world.resume(caller).unwrap();
    world.resume(called).unwrap();
    world.await_event(
        caller,
        "the playback ended",
        |body| matches!(body, EventBody::CallPlayed { operation, end: End::Restarted, .. } if *operation == playback),
    );
    assert_eq!(world.snapshot(caller).calls[0].status.state.name(), "connected");
    world.drop_call(caller, ours);
    world.await_state(called, theirs, "disconnected");
    world.drop_call(called, theirs);
    world.assert_nothing_left();
}
