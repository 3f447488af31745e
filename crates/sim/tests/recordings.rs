//! From a modem to its transcript, and from the transcript to a modem again: the driver is told the same by both.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails shows why")]

mod desk;

use desk::{NUMBER, device};
use std::time::Duration;
use tapi::CallId;
use tapi_sim::exchange::BoxedDevice;
use tapi_sim::replay::Replay;
use tapi_sim::world::{AppId, Setup, World};
use tsp_modem::Office;
use tsp_modem::transcript::Numbers;

const CALLEE: &str = "4930300";
const CALLER: &str = "4930304";

/// What an application was told: the states of each call, and who called.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    out: Vec<String>,
    incoming: Vec<String>,
    caller: Option<String>,
}

fn states(world: &World, app: AppId, call: CallId) -> Vec<String> {
    world.app(app).states(call).iter().map(ToString::to_string).collect()
}

/// A call is made, answered and ended at the other side; another one comes in, is answered, and is ended here.
fn story(profile: &str, modem: BoxedDevice, to: &str) -> (Told, String) {
    let mut world = World::new(Setup { snapshots: false, ..Setup::default() });
    world.in_exchange(|_, exchange| {
        exchange.subscribe(CALLEE, "tone:800,answer:2s,hangup:5s".parse().unwrap());
        exchange.subscribe(CALLER, "silence".parse().unwrap());
    });
    let (provider, _) = world.start_modem_at("one", NUMBER, profile, modem, Office::default());
    world.transcribe(provider, Numbers::Hidden);
    let app = world.open_app("app", 0);
    let line = world.open_line(app, "modem:one");
    world.run_for(Duration::from_secs(2));
    let out = world.make_call(app, line, to).unwrap();
    world.await_state(app, out, "connected");
    world.await_state(app, out, "disconnected");
    world.drop_call(app, out);
    world.await_state(app, out, "idle");
    world.run_for(Duration::from_secs(5));
    // A replay has no line: there the transcript rings.
    drop(world.in_exchange(|now, exchange| exchange.call(now, CALLER, NUMBER)));
    let incoming = world.await_offer(app);
    world.run_for(Duration::from_secs(5));
    let calls = world.snapshot(app).calls;
    let caller = calls.into_iter().find(|call| call.info.call == incoming).unwrap().info.caller.address;
    world.answer(app, incoming);
    world.await_state(app, incoming, "connected");
    world.run_for(Duration::from_secs(3));
    world.drop_call(app, incoming);
    world.await_state(app, incoming, "idle");
    world.run_for(Duration::from_secs(5));
    let told = Told { out: states(&world, app, out), incoming: states(&world, app, incoming), caller };
    (told, world.transcript().to_string())
}

fn replays(family: &str, profile: &str) {
    let (told, transcript) = story(profile, device(family), CALLEE);
    assert_eq!(told.caller.as_deref(), Some(CALLER));
    assert!(!transcript.contains(CALLEE) && !transcript.contains(CALLER), "{transcript}");
    let to = transcript.lines().find_map(|line| line.strip_prefix("$ make ")).expect("a call that was made");
    let replay = Replay::new(&transcript).unwrap_or_else(|error| panic!("{error}:\n{transcript}"));
    let (again, _) = story(profile, Box::new(replay), to);
    assert_eq!((again.out, again.incoming), (told.out, told.incoming), "{transcript}");
    let other = again.caller.expect("a caller");
    assert!(other.len() == CALLER.len() && transcript.contains(&other), "{other}");
}

#[test]
fn an_analogue_modem_is_its_transcript() {
    replays("v253", "v253");
}

#[test]
fn a_modem_of_one_direction_at_a_time_is_its_transcript() {
    replays("usr5637", "usr5637");
}

#[test]
fn a_cellular_modem_is_its_transcript() {
    replays("generic", "27007");
}
