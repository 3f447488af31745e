//! Supervision by the audio alone: a modem that tells neither voice nor tones nor breaks of the loop, on a line that signals
//! nothing else.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails shows why")]

use std::time::Duration;
use tapi::request::CallTrace;
use tapi::{AnswerEvidence, CallId, CallState, DisconnectMode, Reply, Request};
use tapi_sim::exchange::Clearing;
use tapi_sim::modem::analogue::{Analogue, Persona};
use tapi_sim::world::{AppId, Setup, World};

const DEAF: &[u8] = b"vdKbrliJ";

fn world(subscriber: &str) -> (World, AppId) {
    let mut world = World::new(Setup { snapshots: false, ..Setup::default() });
    world.in_exchange(|_, exchange| {
        exchange.clearing(Clearing::BusyTone);
        exchange.subscribe("4930300", subscriber.parse().unwrap());
    });
    let device = Box::new(Analogue::new(Persona { never: DEAF, ..Persona::usr5637() }));
    world.start_modem("one", "4930100", "usr5637", device);
    let app = world.open_app("app", 0);
    (world, app)
}

fn evidence(world: &mut World, app: AppId, call: CallId) -> Option<AnswerEvidence> {
    let calls = world.snapshot(app).calls;
    calls.into_iter().find(|known| known.info.call == call).unwrap().info.answered_by
}

#[test]
fn answer_and_end_are_heard_in_the_audio() {
    let (mut world, app) = world("silence,answer:9s");
    let line = world.open_line(app, "modem:one");
    let call = world.make_call(app, line, "4930300").unwrap();
    world.await_state(app, call, "ringback");
    world.await_state(app, call, "connected");
    assert_eq!(evidence(&mut world, app, call), Some(AnswerEvidence::RingbackGone));
    let trace = match world.expect(app, Request::CallTrace(CallTrace { call, full: false })) {
        Reply::Trace(trace) => trace.entries.iter().map(|entry| entry.summary.clone()).collect::<Vec<_>>().join("\n"),
        reply => panic!("{reply:?}"),
    };
    assert!(trace.contains("heard in the audio: ringback\n"), "{trace}");
    assert!(trace.contains("heard in the audio: silence"), "{trace}");
    world.run_for(Duration::from_secs(2));
    world.in_exchange(|now, exchange| exchange.hang_up(now, "4930300").unwrap());
    let state = world.await_state(app, call, "disconnected");
    assert_eq!(state, CallState::Disconnected(DisconnectMode::Normal));
    world.drop_call(app, call);
    world.run_for(Duration::from_secs(5));
    world.assert_nothing_left();
}

#[test]
fn engaged_is_heard_in_the_audio() {
    let (mut world, app) = world("busy");
    let line = world.open_line(app, "modem:one");
    let call = world.make_call(app, line, "4930300").unwrap();
    let state = world.await_state(app, call, "disconnected");
    assert_eq!(state, CallState::Disconnected(DisconnectMode::Busy));
    world.drop_call(app, call);
}
