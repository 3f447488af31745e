//! Every fault of the simulator against the driver: each kind that `tapi-exchange --list-faults` has, families of modems
//! and scenarios, sampled by seed. In the end there is no ghost call, every request was answered, the line is back by
//! itself and a call ends with the right mode. `TAPI_FAULTS=kind/family/scenario/seed` runs one again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails shows why")]

mod desk;

use desk::{Desk, FAMILIES, NUMBER, busy, caller, is_cellular, last_line};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::time::Duration;
use tapi::request::CallAnswer;
use tapi::{CallId, CallState, DisconnectMode, Request};
use tapi_sim::exchange::{Event, Faults, TROUBLES, Trouble};

/// What a fault may do to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    /// Nothing: calls are as on a clean line.
    None,
    /// What a call comes to is chance.
    Any,
    /// A call that is up is over, for this reason; one that is not may come to something else.
    Ends(&'static [DisconnectMode]),
}

/// A modem that is gone; a network that is.
const GONE: Harm = Harm::Ends(&[DisconnectMode::Unavail]);
const LOST: Harm = Harm::Ends(&[DisconnectMode::Unavail, DisconnectMode::OutOfOrder, DisconnectMode::Unreachable]);

fn harm(kind: &str, family: &str) -> Harm {
    let cellular = is_cellular(family);
    match kind {
        "clean" | "echo" | "half-echo" | "bad-echo" | "split" | "coalesced" | "slow" | "crawl" | "late" | "framing"
        | "suspend" | "cts" | "twice" | "xoff" | "storm" | "silent" | "skew" => Harm::None,
        // What is wrong with samples is no matter of a modem with a port of its own for them.
        "direct" | "clipped" | "garbage" | "escapes" | "unplug-playing" | "unplug-recording" | "unplug-code"
        | "seven-bits"
            if cellular =>
        {
            Harm::None
        }
        // A card and a network are a mobile's; so are lines that tell ends, where the call list tells them too.
        "sim" | "network" if !cellular => Harm::None,
        "sim" | "network" => LOST,
        "restart" | "unplug-dialling" | "unplug-alerting" => GONE,
        _ => Harm::Any,
    }
}

type Scenario = (&'static str, fn(&mut Desk, Harm));

const SCENARIOS: [Scenario; 4] = [("out", out), ("busy", engaged), ("in", incoming), ("gives-up", gives_up)];

fn state(desk: &Desk, call: CallId) -> Option<&CallState> {
    desk.world.app(desk.app).state(call)
}

/// Runs until a call is over, or in this state, and at most for so long.
fn until(desk: &mut Desk, call: CallId, name: &str, seconds: u64) -> bool {
    let app = desk.app;
    let is = |now: &CallState| now.name() == name || now.is_over();
    desk.world.run_to(Duration::from_secs(seconds), |world| world.app(app).state(call).is_some_and(is));
    state(desk, call).is_some_and(|now| now.name() == name)
}

/// How a call ended, if it did.
fn over(desk: &Desk, call: CallId) -> Option<DisconnectMode> {
    match state(desk, call) {
        Some(CallState::Disconnected(mode)) => Some(mode.clone()),
        _ => None,
    }
}

/// The far end hung up, or something else ends the call: it does, as it must.
fn ends(desk: &mut Desk, call: CallId, harm: Harm, mode: &[DisconnectMode]) {
    let ended = until(desk, call, "disconnected", 60);
    let how = over(desk, call);
    match harm {
        Harm::Any if !ended => {}
        Harm::None => assert!(how.as_ref().is_some_and(|how| mode.contains(how)), "it ended as {how:?}, not {mode:?}"),
        Harm::Any => {}
        Harm::Ends(because) => assert!(
            how.as_ref().is_some_and(|how| because.contains(how) || mode.contains(how)),
            "it ended as {how:?}, not as one of {because:?} or {mode:?}"
        ),
    }
    desk.world.drop_call(desk.app, call);
}

fn hang_up(desk: &mut Desk, number: &str) {
    desk.exchange(|now, exchange| drop(exchange.hang_up(now, number)));
}

/// What the fault itself ended is over for its reason.
fn broken(desk: &Desk, call: CallId, harm: Harm) {
    if let Harm::Ends(because) = harm {
        let how = over(desk, call);
        assert!(
            how.as_ref().is_some_and(|how| because.contains(how)),
            "it ended as {how:?}, not as one of {because:?}"
        );
    }
}

/// A call that is answered, goes on for a while, and is ended at the other side.
fn out(desk: &mut Desk, harm: Harm) {
    let call = match desk.world.make_call(desk.app, desk.line, "4930300") {
        Ok(call) => call,
        Err(error) => return assert_eq!(harm, Harm::Any, "{error:?}"),
    };
    let connected = until(desk, call, "connected", 60);
    assert!(connected || harm != Harm::None, "it did not come about: {:?}", state(desk, call));
    desk.world.run_for(Duration::from_secs(8));
    broken(desk, call, harm);
    hang_up(desk, "4930300");
    ends(desk, call, harm, &[DisconnectMode::Normal]);
}

fn engaged(desk: &mut Desk, harm: Harm) {
    match desk.world.make_call(desk.app, desk.line, "4930301") {
        Ok(call) => ends(desk, call, harm, &[DisconnectMode::Busy]),
        Err(error) => assert_eq!(harm, Harm::Any, "{error:?}"),
    }
}

fn offered(desk: &mut Desk, harm: Harm) -> Option<CallId> {
    desk.exchange(|now, exchange| exchange.call(now, "4930304", NUMBER).unwrap());
    if harm == Harm::None {
        return Some(desk.world.await_offer(desk.app));
    }
    let app = desk.app;
    let offer = |world: &tapi_sim::world::World| {
        let calls = &world.app(app).calls;
        calls.iter().find(|(_, view)| matches!(view.state, Some(CallState::Offering(_)))).map(|(call, _)| *call)
    };
    desk.world.run_to(Duration::from_secs(12), |world| offer(world).is_some());
    offer(&desk.world)
}

/// A call that comes in, is answered, goes on for a while, and is ended here.
fn incoming(desk: &mut Desk, harm: Harm) {
    if let Some(call) = offered(desk, harm) {
        if harm == Harm::None {
            assert_eq!(caller(desk, call).address.as_deref(), Some("4930304"));
        }
        let answered = desk.world.ask(desk.app, Request::CallAnswer(CallAnswer { call }));
        assert!(answered.is_ok() || harm != Harm::None, "{answered:?}");
        let connected = answered.is_ok() && until(desk, call, "connected", 40);
        assert!(connected || harm != Harm::None, "it was not answered: {:?}", state(desk, call));
        desk.world.run_for(Duration::from_secs(8));
        broken(desk, call, harm);
        if state(desk, call).is_some_and(|now| *now != CallState::Idle) {
            desk.drop_it(call);
        }
    }
    desk.world.run_for(Duration::from_secs(2));
    hang_up(desk, "4930304");
}

/// A caller that gives up before anybody answers.
fn gives_up(desk: &mut Desk, harm: Harm) {
    let call = offered(desk, harm);
    desk.world.run_for(Duration::from_secs(6));
    hang_up(desk, "4930304");
    if let Some(call) = call {
        let harm = if matches!(harm, Harm::Ends(_)) { Harm::Any } else { harm };
        ends(desk, call, harm, &[DisconnectMode::Cancelled, DisconnectMode::Normal, DisconnectMode::Unknown]);
    }
}

/// The fault is mended, and what it left is seen to: nothing.
fn mended(desk: &mut Desk, kind: &str) {
    let modem = desk.modem;
    desk.exchange(|_, exchange| exchange.trouble(modem, &Trouble::default()).unwrap());
    if is_cellular(desk.family) {
        desk.exchange(|now, exchange| {
            exchange.insert_sim(now, NUMBER).unwrap();
            exchange.registration(now, NUMBER, 1).unwrap();
        });
    }
    desk.world.run_for(Duration::from_secs(45));
    for call in desk.world.snapshot(desk.app).calls {
        let damaged = matches!(kind, "lossy" | "flipped" | "inserted" | "noisy" | "seven-bits" | "parity" | "dead");
        // The bytes that told its end were other ones: nobody but its owner can tell.
        assert!(damaged || call.status.state.is_over(), "a ghost: {call:?}");
        desk.world.drop_call(desk.app, call.info.call);
    }
    desk.world.await_line(desk.app, "modem:one");
    busy(desk);
    desk.ends();
}

fn tried(kind: &str, family: &'static str, scenario: &Scenario, seed: u64) {
    let mut desk = Desk::over(family, Faults::default(), seed, "pbx");
    let (modem, trouble) = (desk.modem, Trouble::named(kind).expect("a kind"));
    desk.exchange(|_, exchange| exchange.trouble(modem, &trouble).unwrap());
    scenario.1(&mut desk, harm(kind, family));
    mended(&mut desk, kind);
}

/// Whether the sample of this seed has this run: one in four of a kind, of every scenario three families.
fn sampled(kind: usize, family: usize, scenario: usize, seed: u64) -> bool {
    ((kind + family + scenario) as u64 + seed).is_multiple_of(4)
}

/// Kinds of one part of the list: what is tried in one test.
fn part(which: usize) {
    let wanted = std::env::var("TAPI_FAULTS").ok();
    let seeds: u64 = std::env::var("TAPI_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let (mut runs, mut failed) = (0, Vec::new());
    for (at, (kind, _)) in TROUBLES.iter().enumerate().filter(|(_, (kind, _))| *kind != "clean") {
        if at % PARTS != which {
            continue;
        }
        let (mut families, mut scenarios) = (Vec::new(), Vec::new());
        for seed in 1..=seeds {
            for (which, (family, _)) in FAMILIES.into_iter().enumerate() {
                for (place, scenario) in SCENARIOS.iter().enumerate() {
                    let name = format!("{kind}/{family}/{}/{seed}", scenario.0);
                    let mine = wanted.as_ref().map_or(sampled(at, which, place, seed), |one| *one == name);
                    if !mine {
                        continue;
                    }
                    (runs, families, scenarios) =
                        (runs + 1, [families, vec![family]].concat(), [scenarios, vec![scenario.0]].concat());
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| tried(kind, family, scenario, seed))) {
                        failed.push(format!("TAPI_FAULTS={name}: {}", last_line(&*panic)));
                    }
                }
            }
        }
        families.dedup();
        scenarios.sort_unstable();
        scenarios.dedup();
        assert!(
            wanted.is_some() || families.len() >= 4 && scenarios.len() == SCENARIOS.len(),
            "{kind}: {families:?} {scenarios:?}"
        );
    }
    assert!(failed.is_empty(), "{} of {runs} runs failed:\n{}", failed.len(), failed.join("\n"));
}

const PARTS: usize = 4;

#[test]
fn faults_leave_no_ghost_and_no_request_without_reply_1() {
    part(0);
}

#[test]
fn faults_leave_no_ghost_and_no_request_without_reply_2() {
    part(1);
}

#[test]
fn faults_leave_no_ghost_and_no_request_without_reply_3() {
    part(2);
}

#[test]
fn faults_leave_no_ghost_and_no_request_without_reply_4() {
    part(3);
}

/// The network hands each call over to another one first; the clock leaps ahead in a call.
#[test]
fn calls_outlive_slow_networks_and_leaping_clocks() {
    for family in ["generic", "e1550", "ec25", "sara"] {
        let mut desk = Desk::over(family, Faults::default(), 1, "pbx");
        desk.exchange(|_, exchange| exchange.fallback(NUMBER, Duration::from_secs(6)).unwrap());
        out(&mut desk, Harm::None);
        incoming(&mut desk, Harm::None);
        mended(&mut desk, "fallback");
    }
    for family in ["v253", "usr5637", "generic", "ec25"] {
        for leap in [3, 30] {
            let mut desk = Desk::over(family, Faults::default(), 1, "pbx");
            let call = desk.call_out("4930300");
            desk.world.await_state(desk.app, call, "connected");
            desk.world.run_for(Duration::from_secs(2));
            desk.world.jump(Duration::from_secs(leap));
            desk.world.run_for(Duration::from_secs(2));
            hang_up(&mut desk, "4930300");
            ends(&mut desk, call, if leap < 10 { Harm::None } else { Harm::Any }, &[DisconnectMode::Normal]);
            mended(&mut desk, "jump");
        }
    }
}

/// An answer that the caller no longer hears.
#[test]
fn a_caller_that_hangs_up_while_the_answer_is_on_its_way_leaves_a_line_on_hook() {
    for (family, _) in FAMILIES {
        let mut desk = Desk::over(family, Faults::default(), 1, "pbx");
        let (modem, trouble) = (desk.modem, Trouble::named("gone").unwrap());
        desk.exchange(|_, exchange| exchange.trouble(modem, &trouble).unwrap());
        let call = desk.call_in("4930304");
        desk.world.ask(desk.app, Request::CallAnswer(CallAnswer { call })).ok();
        assert!(!desk.saw(|event| matches!(event, Event::Answered { .. })), "{family}");
        until(&mut desk, call, "disconnected", 90);
        assert!(over(&desk, call).is_some(), "{family}: a ghost: {:?}", state(&desk, call));
        desk.world.drop_call(desk.app, call);
        mended(&mut desk, "gone");
    }
}

#[test]
fn every_fault_can_be_had_from_the_command_line_by_name_and_by_seed() {
    let exchange = env!("CARGO_BIN_EXE_tapi-exchange");
    let listed = Command::new(exchange).arg("--list-faults").output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let names: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, TROUBLES.map(|(name, _)| name));
    let dir = std::env::temp_dir().join(format!("tapi-faults-{}", std::process::id()));
    let run = |seed: &str, orders: &str| {
        let mut command = Command::new(exchange);
        command.args(["--seed", seed, "--analogue", "4930100", "--faults", "analogue0=any", "--link-dir"]).arg(&dir);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        process.stdin.take().unwrap().write_all(orders.as_bytes()).unwrap();
        String::from_utf8(process.wait_with_output().unwrap().stdout).unwrap()
    };
    let orders: String = names.iter().map(|name| format!("faults analogue0 {name}\n")).collect();
    let all = run("1", &orders);
    assert_eq!(all.matches("\"ordered\"").count(), names.len(), "{all}");
    let any = |seed| {
        let told = run(seed, &"faults analogue0 any\n".repeat(5));
        let kind =
            |line: &str| line.split("\"kind\":\"").nth(1).map(|rest| rest.split('"').next().unwrap().to_string());
        told.lines().filter_map(kind).collect::<Vec<_>>()
    };
    assert_eq!(any("7"), any("7"), "the same seed, the same faults");
    assert_eq!(any("7").len(), 5);
    assert_ne!(any("7"), any("8"));
    let refused = run("1", "faults analogue0 nonsense\nfaults nobody slow\n");
    assert_eq!(refused.matches("\"error\"").count(), 2, "{refused}");
    std::fs::remove_dir_all(&dir).ok();
}
