//! Every family of modems through every scenario, over a clean line, one cut at every byte, a slow, a late, a badly framed
//! and a talkative one, in virtual time. A run that fails is named; `TAPI_MATRIX=family/scenario/line/seed` runs it again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails shows why")]

mod desk;

use desk::{Desk, FAMILIES, NUMBER, Stage, busy, caller, device, is_cellular, last_line};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use tapi::request::{
    CallCompleteTransfer, CallDial, CallHold, CallMonitorDigits, CallSendDigits, CallSetupTransfer, CallSwapHold,
    CallUnhold, LineDevice, LineSelector,
};
use tapi::{
    AddressId, CallId, CallState, DeviceEvent, DeviceRequest, DisconnectMode, EventBody, PartyFlag, Reply, Request,
    TransferMode,
};
use tapi_sim::exchange::{Deed, Delay, Direction, Event, Faults, Recall, Spoil};
use tapi_sim::modem::{analogue, cellular};

/// What is wrong with the link between host and modem.
const LINES: [&str; 6] = ["clean", "split", "noisy", "slow", "late", "storm"];

type Scenario = (&'static str, Kind, fn(&mut Desk));

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Any,
    Analogue,
    Cellular,
}

const SCENARIOS: [Scenario; 27] = [
    ("answered", Kind::Any, answered),
    ("busy", Kind::Any, busy),
    ("no-answer", Kind::Any, no_answer),
    ("no-dial-tone", Kind::Analogue, no_dial_tone),
    ("no-service", Kind::Cellular, no_service),
    ("incoming", Kind::Any, incoming),
    ("withheld", Kind::Any, withheld),
    ("gives-up", Kind::Any, gives_up),
    ("drop-dialling", Kind::Any, |desk| drop_while(desk, Stage::Dialling)),
    ("drop-ringing", Kind::Any, |desk| drop_while(desk, Stage::Alerting)),
    ("drop-offered", Kind::Any, |desk| drop_while(desk, Stage::Offered)),
    ("digits", Kind::Any, digits),
    ("unplug-idle", Kind::Any, |desk| unplug_while(desk, Stage::Idle)),
    ("unplug-dialling", Kind::Any, |desk| unplug_while(desk, Stage::Dialling)),
    ("unplug-ringing", Kind::Any, |desk| unplug_while(desk, Stage::Alerting)),
    ("unplug-offered", Kind::Any, |desk| unplug_while(desk, Stage::Offered)),
    ("unplug-connected", Kind::Any, |desk| unplug_while(desk, Stage::Connected)),
    ("reset", Kind::Any, reset),
    ("hold", Kind::Analogue, recall_hold),
    ("call-waiting", Kind::Analogue, recall_waiting),
    ("consultation", Kind::Analogue, recall_consultation),
    ("three-way", Kind::Analogue, recall_three_way),
    ("parts", Kind::Analogue, parts),
    ("waiting", Kind::Cellular, waiting),
    ("swap", Kind::Cellular, swap),
    ("message", Kind::Cellular, message),
    ("code", Kind::Cellular, code),
];

fn desk(family: &'static str, line: &str, seed: u64, office: &str) -> Desk {
    Desk::over(family, faults(line, family), seed, office)
}

/// What is wrong, for text that goes to the host.
fn faults(line: &str, family: &str) -> Faults {
    let unsolicited = if is_cellular(family) { "+CREG: 1" } else { "MESG" }.to_string();
    let spoil = Spoil { doubled_cr_permille: 300, bare_permille: 200, half_echo_permille: 300, ..Spoil::default() };
    match line {
        "split" => Faults { split: true, ..Faults::default() },
        "noisy" => Faults { spoil: Spoil { insert_permille: 0, ..spoil }, ..Faults::default() },
        "slow" => Faults { stall: Delay { permille: 300, by: Duration::from_millis(300) }, ..Faults::default() },
        "late" => Faults { late: Delay { permille: 100, by: Duration::from_millis(1_500) }, ..Faults::default() },
        "storm" => Faults { unsolicited_permille: 700, unsolicited, ..Faults::default() },
        _ => Faults::default(),
    }
}

fn answered(desk: &mut Desk) {
    let call = desk.call_out("4930300");
    desk.world.await_state(desk.app, call, "connected");
    assert!(desk.saw(|event| matches!(event, Event::Answered { subscriber, .. } if subscriber == "4930300")));
    desk.world.run_for(Duration::from_secs(2));
    desk.exchange(|now, exchange| exchange.hang_up(now, "4930300").unwrap());
    desk.ended(call, &[DisconnectMode::Normal]);
}

fn no_answer(desk: &mut Desk) {
    let call = desk.call_out("4930302");
    desk.world.run_for(Duration::from_secs(15));
    assert!(!desk.saw(|event| matches!(event, Event::Answered { .. })));
    desk.drop_it(call);
}

fn no_dial_tone(desk: &mut Desk) {
    desk.exchange(|_, exchange| exchange.dead(true));
    let call = desk.call_out("4930300");
    desk.ended(call, &[DisconnectMode::NoDialtone]);
    desk.exchange(|_, exchange| exchange.dead(false));
}

fn no_service(desk: &mut Desk) {
    desk.exchange(|now, exchange| exchange.registration(now, NUMBER, 2).unwrap());
    desk.world.run_for(Duration::from_secs(40));
    assert!(desk.world.make_call(desk.app, desk.line, "4930300").is_err(), "there is no network");
    desk.exchange(|now, exchange| exchange.registration(now, NUMBER, 1).unwrap());
    desk.world.run_for(Duration::from_secs(40));
}

fn incoming(desk: &mut Desk) {
    let call = desk.call_in("4930304");
    assert_eq!(caller(desk, call).address.as_deref(), Some("4930304"));
    desk.world.answer(desk.app, call);
    desk.world.await_state(desk.app, call, "connected");
    assert!(desk.saw(|event| matches!(event, Event::Answered { from, .. } if from == "4930304")));
    desk.world.run_for(Duration::from_secs(2));
    desk.drop_it(call);
}

fn withheld(desk: &mut Desk) {
    let call = desk.call_in("4930303");
    let caller = caller(desk, call);
    assert!(caller.flags.contains(&PartyFlag::Blocked), "{caller:?}");
    desk.exchange(|now, exchange| exchange.hang_up(now, "4930303").unwrap());
    desk.world.await_state(desk.app, call, "disconnected");
    desk.world.drop_call(desk.app, call);
}

fn gives_up(desk: &mut Desk) {
    let call = desk.call_in("4930304");
    desk.world.run_for(Duration::from_secs(8));
    desk.exchange(|now, exchange| exchange.hang_up(now, "4930304").unwrap());
    desk.world.await_state(desk.app, call, "disconnected");
    desk.world.drop_call(desk.app, call);
}

fn drop_while(desk: &mut Desk, stage: Stage) {
    let call = desk.reach(stage).expect("a call");
    desk.drop_it(call);
    if stage == Stage::Offered {
        let _ = desk.world.in_exchange(|now, exchange| exchange.hang_up(now, "4930302"));
    }
    desk.world.run_for(Duration::from_secs(10));
}

fn digits(desk: &mut Desk) {
    let call = desk.call_out("4930304");
    desk.world.await_state(desk.app, call, "connected");
    desk.world.run_for(Duration::from_secs(1));
    let request = CallSendDigits { call, digits: "159#".into(), duration_ms: None };
    desk.world.started(desk.app, Request::CallSendDigits(request), None).unwrap();
    desk.world.run_for(Duration::from_secs(10));
    let sent: String = desk
        .world
        .exchange_log
        .iter()
        .filter_map(|(_, event)| if let Event::Digit { digit, .. } = event { Some(*digit) } else { None })
        .collect();
    assert_eq!(sent, "159#");
    let monitor = CallMonitorDigits { call, on: true };
    if desk.world.ask(desk.app, Request::CallMonitorDigits(monitor)).is_ok() {
        desk.world.run_for(Duration::from_secs(2));
        desk.exchange(|now, exchange| exchange.dtmf(now, "4930304", "73").unwrap());
        desk.world.run_for(Duration::from_secs(6));
        assert_eq!(desk.world.digits(desk.app, call), "73");
    }
    desk.drop_it(call);
}

fn unplug_while(desk: &mut Desk, stage: Stage) {
    let call = desk.reach(stage);
    let modem = desk.modem;
    desk.exchange(|now, exchange| exchange.unplug(now, modem));
    if let Some(call) = call {
        desk.ended(call, &[DisconnectMode::Unavail]);
    }
    if stage == Stage::Offered {
        let _ = desk.world.in_exchange(|now, exchange| exchange.hang_up(now, "4930302"));
    }
    desk.world.run_for(Duration::from_secs(1));
    let snapshot = desk.world.snapshot(desk.app);
    let line = snapshot.lines.iter().find(|line| line.name == "modem:one").unwrap();
    assert!(!line.status.service.is_in(), "in service without a modem");
    desk.exchange(|now, exchange| exchange.plug(now, modem));
    desk.spoil();
    desk.world.await_line(desk.app, "modem:one");
    assert_eq!(desk.world.line_named("modem:one"), Some(desk.line), "another line");
    busy(desk);
}

fn reset(desk: &mut Desk) {
    let call = desk.reach(Stage::Connected).expect("a call");
    let modem = desk.modem;
    desk.exchange(|now, exchange| exchange.restart(now, modem));
    desk.ended(call, &[DisconnectMode::Unavail]);
    desk.world.run_for(Duration::from_secs(5));
    desk.world.await_line(desk.app, "modem:one");
    busy(desk);
}

fn second_call(desk: &mut Desk) -> [CallId; 2] {
    desk.exchange(|_, exchange| exchange.waiting(NUMBER, true).unwrap());
    let first = desk.reach(Stage::Connected).expect("a call");
    let second = desk.call_in("4930304");
    desk.world.answer(desk.app, second);
    desk.world.await_state(desk.app, second, "connected");
    desk.world.await_state(desk.app, first, "on_hold");
    [first, second]
}

fn waiting(desk: &mut Desk) {
    let [first, second] = second_call(desk);
    desk.exchange(|now, exchange| exchange.hang_up(now, "4930304").unwrap());
    desk.ended(second, &[DisconnectMode::Normal]);
    desk.world.expect(desk.app, Request::CallUnhold(CallUnhold { call: first }));
    desk.world.await_state(desk.app, first, "connected");
    desk.world.expect(desk.app, Request::CallHold(CallHold { call: first }));
    desk.world.await_state(desk.app, first, "on_hold");
    desk.drop_it(first);
}

fn swap(desk: &mut Desk) {
    let [first, second] = second_call(desk);
    desk.world.expect(desk.app, Request::CallSwapHold(CallSwapHold { call: second, with: first }));
    desk.world.await_state(desk.app, first, "connected");
    desk.world.await_state(desk.app, second, "on_hold");
    desk.exchange(|now, exchange| exchange.hang_up(now, "4930300").unwrap());
    desk.ended(first, &[DisconnectMode::Normal]);
    desk.drop_it(second);
}

/// Hold and retrieve by register recall.
fn recall_hold(desk: &mut Desk) {
    let call = desk.reach(Stage::Connected).expect("a call");
    desk.world.expect(desk.app, Request::CallHold(CallHold { call }));
    desk.world.await_state(desk.app, call, "on_hold");
    desk.world.run_for(Duration::from_secs(3));
    desk.world.expect(desk.app, Request::CallUnhold(CallUnhold { call }));
    desk.world.await_state(desk.app, call, "connected");
    desk.world.run_for(Duration::from_secs(3));
    desk.exchange(|now, exchange| exchange.hang_up(now, "4930300").unwrap());
    desk.ended(call, &[DisconnectMode::Normal]);
}

/// A second call that is heard to wait: answered, swapped, and the first one retrieved when the second is over.
fn recall_waiting(desk: &mut Desk) {
    desk.exchange(|_, exchange| {
        exchange.waiting(NUMBER, true).unwrap();
        exchange.recall(Recall::Digits);
    });
    let first = desk.reach(Stage::Connected).expect("a call");
    let second = desk.call_in("4930304");
    if desk.family == "v253" {
        assert_eq!(caller(desk, second).address.as_deref(), Some("4930304"));
    }
    desk.world.answer(desk.app, second);
    desk.world.await_state(desk.app, second, "connected");
    desk.world.await_state(desk.app, first, "on_hold");
    assert!(desk.saw(|event| matches!(event, Event::Answered { from, .. } if from == "4930304")));
    desk.world.run_for(Duration::from_secs(2));
    desk.world.expect(desk.app, Request::CallSwapHold(CallSwapHold { call: second, with: first }));
    desk.world.await_state(desk.app, first, "connected");
    desk.world.await_state(desk.app, second, "on_hold");
    desk.world.run_for(Duration::from_secs(2));
    // The one is ended alone, and the line goes on with the other.
    desk.drop_it(first);
    desk.world.await_state(desk.app, second, "connected");
    desk.world.run_for(Duration::from_secs(2));
    desk.exchange(|now, exchange| exchange.hang_up(now, "4930304").unwrap());
    desk.ended(second, &[DisconnectMode::Normal]);
}

fn consult(desk: &mut Desk, call: CallId, to: &str) -> CallId {
    let request = CallSetupTransfer { call, to: to.into(), line: None, address: AddressId(0), comment: None };
    let consultation = match desk.world.expect(desk.app, Request::CallSetupTransfer(request)) {
        Reply::Made(made) => made.call,
        reply => panic!("{reply:?}"),
    };
    desk.world.await_state(desk.app, consultation, "connected");
    consultation
}

/// The extension of a PBX transfers a call by going on hook.
fn recall_consultation(desk: &mut Desk) {
    let call = desk.reach(Stage::Connected).expect("a call");
    let consultation = consult(desk, call, "4930304");
    let complete = CallCompleteTransfer { call, consultation, mode: TransferMode::Transfer, how: None };
    desk.world.expect(desk.app, Request::CallCompleteTransfer(complete));
    desk.ended(call, &[DisconnectMode::Normal]);
    desk.ended(consultation, &[DisconnectMode::Normal]);
    desk.world.run_for(Duration::from_secs(5));
    assert!(desk.saw(|event| matches!(event, Event::Transferred { .. })), "nobody was transferred");
    desk.exchange(|now, exchange| exchange.hang_up(now, "4930300").unwrap());
}

/// The exchange joins three.
fn recall_three_way(desk: &mut Desk) {
    desk.exchange(|_, exchange| exchange.recall(Recall::Digits));
    let call = desk.reach(Stage::Connected).expect("a call");
    let consultation = consult(desk, call, "4930304");
    let complete = CallCompleteTransfer { call, consultation, mode: TransferMode::Conference, how: None };
    let conference = match desk.world.expect(desk.app, Request::CallCompleteTransfer(complete)) {
        Reply::Transferring(done) => done.conference.expect("a conference"),
        reply => panic!("{reply:?}"),
    };
    desk.world.await_state(desk.app, conference, "connected");
    desk.world.run_for(Duration::from_secs(4));
    // The one that is silent hears the other's tone.
    assert!(
        desk.saw(|event| matches!(event, Event::Heard { subscriber, hz: 780..=820, .. } if subscriber == "4930304")),
        "they do not hear one another"
    );
    desk.drop_it(conference);
    for call in [call, consultation] {
        desk.world.await_state(desk.app, call, "idle");
    }
}

/// A number that is dialled in parts.
fn parts(desk: &mut Desk) {
    let call = desk.call_out("4930;");
    for part in ["3;", "00"] {
        desk.world.run_for(Duration::from_secs(1));
        desk.world.expect(desk.app, Request::CallDial(CallDial { call, to: part.into() }));
    }
    desk.world.await_state(desk.app, call, "connected");
    assert!(desk.saw(|event| matches!(event, Event::Answered { subscriber, .. } if subscriber == "4930300")));
    desk.drop_it(call);
}

fn ask_device(desk: &mut Desk, request: DeviceRequest) {
    let line = LineSelector::Id(desk.line);
    desk.world.expect(desk.app, Request::LineDevice(LineDevice { line, request }));
}

/// The profile for any modem has neither messages nor codes: it says so.
fn has_none(desk: &mut Desk) {
    let line = LineSelector::Id(desk.line);
    let request = DeviceRequest::Ussd { text: "*100#".into() };
    let error = desk.world.ask(desk.app, Request::LineDevice(LineDevice { line, request })).unwrap_err();
    assert_eq!(error.code, tapi::ErrorCode::OperationUnavail);
}

fn told(desk: &mut Desk, what: &str, is_it: impl Fn(&DeviceEvent) -> bool) {
    desk.world.await_event(desk.app, what, |body| matches!(body, EventBody::LineDevice { event, .. } if is_it(event)));
}

fn message(desk: &mut Desk) {
    if desk.family == "generic" {
        return has_none(desk);
    }
    // The store is read before it is told of what comes.
    desk.world.run_for(Duration::from_secs(20));
    let long = "Schöne Grüße aus der Ferne, ".repeat(8);
    let text = long.clone();
    desk.exchange(|now, exchange| {
        exchange.message(now, "4930300", NUMBER, "hello [there] €5").unwrap();
        exchange.message(now, "4930300", NUMBER, &text).unwrap();
    });
    for wanted in ["hello [there] €5", &long] {
        told(desk, wanted, |event| matches!(event, DeviceEvent::MessageReceived { text, .. } if text == wanted));
    }
    let request = DeviceRequest::SendMessage { to: "+4930300".into(), text: "answer @ once".into() };
    ask_device(desk, request);
    told(desk, "sent", |event| matches!(event, DeviceEvent::MessageSent { error: None, .. }));
    assert!(desk.saw(|event| matches!(event, Event::Message { text, .. } if text == "answer @ once")));
}

fn code(desk: &mut Desk) {
    if desk.family == "generic" {
        return has_none(desk);
    }
    desk.world.run_for(Duration::from_secs(10));
    ask_device(desk, DeviceRequest::Ussd { text: "*100#".into() });
    let balance =
        |event: &DeviceEvent| matches!(event, DeviceEvent::Ussd { text, more: false } if text == "Balance: 12.34");
    told(desk, "a balance", balance);
    ask_device(desk, DeviceRequest::Ussd { text: "*101#".into() });
    told(desk, "a question", |event| matches!(event, DeviceEvent::Ussd { more: true, .. }));
    ask_device(desk, DeviceRequest::Ussd { text: "1".into() });
    told(desk, "an answer", |event| matches!(event, DeviceEvent::Ussd { text, .. } if text == "You said 1"));
}

/// The services of the exchange that a scenario needs.
fn office(scenario: &str) -> &'static str {
    if matches!(scenario, "call-waiting" | "three-way") { "etsi" } else { "pbx" }
}

/// Runs one; the reason when it failed.
fn run(family: &'static str, scenario: &Scenario, line: &str, seed: u64) -> Result<(), String> {
    let run = || {
        let mut desk = desk(family, line, seed, office(scenario.0));
        (scenario.2)(&mut desk);
        desk.ends();
    };
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| last_line(&*panic))
}

/// Whether the sample of runs over bad lines has this one: one in three, others for each seed.
fn sampled(place: usize, line: &str, seed: u64) -> bool {
    matches!(line, "clean" | "split") || (place as u64 + seed).is_multiple_of(3)
}

fn family(name: &'static str) {
    if let Ok(wanted) = std::env::var("TAPI_MATRIX") {
        let parts: Vec<&str> = wanted.split('/').collect();
        if let [family, scenario, line, seed] = parts.as_slice()
            && *family == name
        {
            let scenario = SCENARIOS.iter().find(|(of, ..)| of == scenario).expect("a scenario");
            let mut desk = desk(name, line, seed.parse().expect("a seed"), office(scenario.0));
            (scenario.2)(&mut desk);
            desk.ends();
        }
        return;
    }
    let seeds: u64 = std::env::var("TAPI_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let mut failed = Vec::new();
    let mut place = 0;
    for seed in 1..=seeds {
        for scenario in &SCENARIOS {
            let fits = match scenario.1 {
                Kind::Any => true,
                Kind::Analogue => !is_cellular(name),
                Kind::Cellular => is_cellular(name),
            };
            for line in LINES.iter().filter(|_| fits) {
                place += 1;
                if sampled(place, line, seed)
                    && let Err(why) = run(name, scenario, line, seed)
                {
                    failed.push(format!("TAPI_MATRIX={name}/{}/{line}/{seed}: {why}", scenario.0));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{} of {place} runs failed:\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn every_family_is_driven_by_a_profile() {
    for (family, _) in FAMILIES {
        drop(device(family));
    }
    let known = analogue::Persona::all().len() + cellular::Persona::all().len();
    assert_eq!(known, FAMILIES.len(), "each family of the simulator is in the matrix");
}

/// What a modem says is late by more than the driver waits for it, at the commands of a call.
#[test]
fn answers_that_come_too_late_leave_no_ghost_and_no_request_without_reply() {
    for (family, needle) in [
        ("generic", "ATD"),
        ("e1550", "^DDSETEX"),
        ("generic", "+CHUP"),
        ("v253", "ATD"),
        ("v253", "+VTR"),
        ("usr5637", "+VRX"),
    ] {
        for (deed, name) in [
            (Deed::Hush(Duration::from_secs(4)), "4 s late"),
            (Deed::Hush(Duration::from_secs(12)), "12 s late"),
            (Deed::Mute(Duration::from_secs(2)), "lost"),
        ] {
            let run = || {
                let mut desk = desk(family, "clean", 1, "pbx");
                let modem = desk.modem;
                desk.exchange(|_, exchange| exchange.at_command(modem, needle, deed).unwrap());
                let call = desk.call_out("4930300");
                desk.world.run_for(Duration::from_secs(30));
                desk.world.drop_call(desk.app, call);
                desk.world.run_for(Duration::from_secs(120));
                desk.exchange(|now, exchange| drop(exchange.hang_up(now, "4930300")));
                desk.world.run_for(Duration::from_secs(60));
                desk.exchange(|_, exchange| exchange.disarm(modem));
                desk.world.await_line(desk.app, "modem:one");
                busy(&mut desk);
                desk.ends();
            };
            assert!(catch_unwind(AssertUnwindSafe(run)).is_ok(), "{family}: {needle}: {name}");
        }
    }
}

/// Bytes that are lost and bits that are turned over, both ways, in commands, answers and samples. What a call comes to then
/// is chance; but every request is answered, every call ends, and the line comes back by itself.
fn damaged(family: &'static str, seed: u64) {
    let mut desk = desk(family, "clean", seed, "pbx");
    desk.world.await_line(desk.app, "modem:one");
    let modem = desk.modem;
    let bad = Faults {
        drop_permille: 3,
        spoil: Spoil { flip_permille: 3, insert_permille: 1, ..Spoil::default() },
        ..Faults::default()
    };
    desk.exchange(|_, exchange| {
        for way in [Direction::ToHost, Direction::ToModem] {
            exchange.faults(modem, 0, way, bad.clone());
        }
    });
    for round in 0..3 {
        let made = desk.world.make_call(desk.app, desk.line, ["4930300", "4930301", "4930304"][round]);
        desk.world.run_for(Duration::from_secs(12));
        if let Ok(call) = made {
            desk.world.drop_call(desk.app, call);
        }
        desk.world.run_for(Duration::from_secs(8));
        desk.exchange(|now, exchange| drop(exchange.call(now, "4930302", NUMBER)));
        desk.world.run_for(Duration::from_secs(6));
        for call in desk.world.snapshot(desk.app).calls {
            if matches!(call.status.state, CallState::Offering(_)) {
                let answer = Request::CallAnswer(tapi::request::CallAnswer { call: call.info.call });
                drop(desk.world.ask(desk.app, answer));
            }
        }
        desk.world.run_for(Duration::from_secs(6));
        desk.exchange(|now, exchange| drop(exchange.hang_up(now, "4930302")));
        desk.world.run_for(Duration::from_secs(15));
    }
    desk.exchange(|_, exchange| {
        for way in [Direction::ToHost, Direction::ToModem] {
            exchange.faults(modem, 0, way, Faults::default());
        }
    });
    desk.world.run_for(Duration::from_secs(60));
    for call in desk.world.snapshot(desk.app).calls {
        // One whose end was lost: nobody but its owner can tell.
        desk.world.drop_call(desk.app, call.info.call);
    }
    for number in ["4930300", "4930302", "4930304"] {
        desk.exchange(|now, exchange| drop(exchange.hang_up(now, number)));
    }
    desk.world.run_for(Duration::from_secs(90));
    desk.world.await_line(desk.app, "modem:one");
    // A parameter of the modem may be another one than was sent: it may hear busy tone and call it an answer.
    let call = desk.call_out("4930301");
    desk.ended(call, &[DisconnectMode::Busy, DisconnectMode::Normal]);
    desk.ends();
}

#[test]
fn lost_and_flipped_bytes_leave_no_ghost_and_no_request_without_reply() {
    let wanted = std::env::var("TAPI_DAMAGED").ok();
    let mut failed = Vec::new();
    let seeds: u64 = std::env::var("TAPI_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    for seed in 1..=seeds {
        for (family, _) in FAMILIES {
            let name = format!("{family}/{seed}");
            if wanted.as_ref().is_some_and(|wanted| *wanted != name) {
                continue;
            }
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| damaged(family, seed))) {
                failed.push(format!("TAPI_DAMAGED={name}: {}", last_line(&*panic)));
            }
        }
    }
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
}

macro_rules! families {
    ($($test:ident $name:literal),*) => {
        $(#[test] fn $test() { family($name); })*
    };
}

families!(
    a_v253_modem "v253", a_conexant_controller "cx93001", a_us_robotics_5637 "usr5637", a_lucent_modem "agere",
    a_soft_modem "smartlink", a_rockwell_modem "rockwell", a_27007_modem "generic", a_huawei_stick "e1550",
    a_quectel_module "ec25", a_simcom_module "sim7600", a_ublox_module "sara", a_wavecom_terminal "wavecom"
);
