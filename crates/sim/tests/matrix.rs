//! Every family of modems through every scenario, over a clean line, one cut at every byte, a noisy, a slow, a late and a
//! talkative one, in virtual time. A run that fails is named; `TAPI_MATRIX=family/scenario/line/seed` runs it again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails shows why")]

mod desk;

use desk::{Desk, FAMILIES, NUMBER, Stage, busy, caller, device, is_cellular, last_line};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;
use tapi::request::{
    CallCompleteTransfer, CallDial, CallHold, CallMonitorDigits, CallSendDigits, CallSetupTransfer, CallSwapHold,
    CallUnhold, LineDevice, LineSelector,
};
use tapi::{
    AddressId, AnswerEvidence, CallId, CallState, DeviceEvent, DeviceRequest, DisconnectMode, EventBody, PartyFlag,
    Reply, Request, TransferMode,
};
use tapi_sim::exchange::{Deed, Delay, Direction, Event, Faults, Recall, Spoil};
use tapi_sim::modem::{analogue, cellular};

/// Those that carry no audio to a computer and tell no digits.
const HEARS_NO_DIGITS: [&str; 2] = ["sara", "wavecom"];

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

/// Lines that modems tell without being asked, and that mean nothing for calls. Two of them look like answers to commands
/// of ours, and one like the beginning of a caller's identity: a message waits.
const CELLULAR_NEWS: &str =
    "+CREG: 1\n^RSSI: 18\n+CGEV: ME PDN ACT 1\n^MODE: 5,4\n+CTZV: +04\n+QIND: \"csq\",20,99\n*PSUTTZ: 26,11,22";
const ANALOGUE_NEWS: &str = "MESG = 82030B01FF70\nLINE-IN-USE\nMESG\n\u{10}T";
/// What they tell beside while a call is offered.
const CELLULAR_RING: &str = "RING\n+CRING: VOICE\n";
const ANALOGUE_RING: &str = "RING\n";

/// What is wrong, for text that goes to the host. A late answer comes after one and after three times the time that a
/// command is waited for; `run` tells which.
fn faults(line: &str, family: &str, run: u64) -> Faults {
    let cellular = is_cellular(family);
    let unsolicited = if cellular { CELLULAR_NEWS } else { ANALOGUE_NEWS }.to_string();
    let spoil = Spoil { doubled_cr_permille: 300, bare_permille: 200, half_echo_permille: 300, ..Spoil::default() };
    let late = |permille, secs| Delay { permille, by: Duration::from_secs(secs) };
    match line {
        "split" => Faults { split: true, ..Faults::default() },
        "noisy" => Faults { noise_permille: 300, spoil, ..Faults::default() },
        "slow" => Faults {
            pace: Duration::from_millis(10),
            stall: Delay { permille: 100, by: Duration::from_millis(300) },
            ..Faults::default()
        },
        "late" if run.is_multiple_of(2) => Faults { late: late(40, 4), ..Faults::default() },
        "late" => Faults { late: late(15, 10), ..Faults::default() },
        "storm" => {
            let chatter = Duration::from_millis(1_500);
            Faults { unsolicited_permille: 700, chatter, unsolicited, ..Faults::default() }
        }
        _ => Faults::default(),
    }
}

/// A talkative modem tells of a ring at every opportunity while it rings.
fn rings(desk: &mut Desk, on: bool) {
    let cellular = is_cellular(desk.family);
    if desk.faults.unsolicited.is_empty() {
        return;
    }
    let ring = if cellular { CELLULAR_RING } else { ANALOGUE_RING };
    let news = if cellular { CELLULAR_NEWS } else { ANALOGUE_NEWS };
    desk.faults.unsolicited = if on { format!("{ring}{news}") } else { news.to_string() };
    desk.spoil();
}

/// A subscriber hangs up, whose call the modem tells of no longer.
fn hang_up(desk: &mut Desk, number: &str) {
    rings(desk, false);
    desk.world.in_exchange(|now, exchange| exchange.hang_up(now, number)).unwrap();
}

fn desk(family: &'static str, line: &str, seed: u64, office: &str) -> Desk {
    Desk::over(family, faults(line, family, seed), seed, office)
}

/// A number of a run, for its sample and its chances (FNV-1a).
fn number(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([b'/']));
    bytes.fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn answered(desk: &mut Desk) {
    let call = desk.call_out("4930300");
    desk.world.await_state(desk.app, call, "connected");
    assert!(desk.saw(|event| matches!(event, Event::Answered { subscriber, .. } if subscriber == "4930300")));
    let answered_by = desk.world.snapshot(desk.app).calls.into_iter().find(|known| known.info.call == call);
    assert_eq!(answered_by.unwrap().info.answered_by, Some(evidence(desk.family)));
    desk.world.run_for(Duration::from_secs(2));
    desk.exchange(|now, exchange| exchange.hang_up(now, "4930300").unwrap());
    desk.ended(call, &[DisconnectMode::Normal]);
}

/// From what an answer is concluded: the network tells it; the modem's result is all there is; or the far end's voice is
/// heard, by the modem itself or in the audio.
fn evidence(family: &str) -> AnswerEvidence {
    match family {
        "rockwell" => AnswerEvidence::ResultCode,
        family if is_cellular(family) => AnswerEvidence::Signalled,
        _ => AnswerEvidence::VoiceDetected,
    }
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
    // What a talkative modem tells is true.
    let news = |desk: &mut Desk, status: u8| {
        desk.faults.unsolicited = desk.faults.unsolicited.replacen("+CREG: 1", "+CREG: 2", 1);
        desk.faults.unsolicited = desk.faults.unsolicited.replacen("+CREG: 2", &format!("+CREG: {status}"), 1);
        desk.spoil();
    };
    news(desk, 2);
    desk.exchange(|now, exchange| exchange.registration(now, NUMBER, 2).unwrap());
    desk.world.run_for(Duration::from_secs(40));
    if desk.world.make_call(desk.app, desk.line, "4930300").is_ok() {
        desk.world.broken("a call was placed without a network");
    }
    desk.exchange(|now, exchange| exchange.registration(now, NUMBER, 1).unwrap());
    news(desk, 1);
    desk.world.run_for(Duration::from_secs(40));
}

fn incoming(desk: &mut Desk) {
    let call = desk.call_in("4930304");
    rings(desk, true);
    assert_eq!(caller(desk, call).address.as_deref(), Some("4930304"));
    desk.world.answer(desk.app, call);
    desk.world.await_state(desk.app, call, "connected");
    rings(desk, false);
    assert!(desk.saw(|event| matches!(event, Event::Answered { from, .. } if from == "4930304")));
    desk.world.run_for(Duration::from_secs(2));
    desk.drop_it(call);
}

fn withheld(desk: &mut Desk) {
    let call = desk.call_in("4930303");
    rings(desk, true);
    let caller = caller(desk, call);
    assert!(caller.flags.contains(&PartyFlag::Blocked), "{caller:?}");
    hang_up(desk, "4930303");
    desk.ended(call, &[DisconnectMode::Cancelled]);
}

fn gives_up(desk: &mut Desk) {
    let call = desk.call_in("4930304");
    rings(desk, true);
    desk.world.run_for(Duration::from_secs(8));
    hang_up(desk, "4930304");
    desk.ended(call, &[DisconnectMode::Cancelled]);
}

fn drop_while(desk: &mut Desk, stage: Stage) {
    let call = desk.reach(stage).expect("a call");
    rings(desk, stage == Stage::Offered);
    desk.drop_it(call);
    if stage == Stage::Offered {
        rings(desk, false);
        let _ = desk.world.in_exchange(|now, exchange| exchange.hang_up(now, "4930302"));
    }
    desk.world.run_for(Duration::from_secs(10));
}

fn digits(desk: &mut Desk) {
    let call = desk.call_out("4930304");
    desk.world.await_state(desk.app, call, "connected");
    desk.world.run_for(Duration::from_secs(1));
    let request = CallSendDigits { call, digits: "159#".into(), duration_ms: None };
    let operation = desk.world.started(desk.app, Request::CallSendDigits(request), None).unwrap();
    let is_end = |body: &EventBody| matches!(body, EventBody::CallGenerated { operation: of, .. } if *of == operation);
    desk.world.await_event(desk.app, "the end of its digits", is_end);
    // A modem that turns round plays them afterwards.
    let late = desk.faults.late.permille > 0;
    desk.world.run_for(Duration::from_secs(if late { 15 } else { 5 }));
    let sent: String = desk
        .world
        .exchange_log
        .iter()
        .filter_map(|(_, event)| if let Event::Digit { digit, .. } = event { Some(*digit) } else { None })
        .collect();
    if sent != "159#" {
        desk.world.broken(&format!("`159#` was sent as `{sent}`"));
    }
    let monitor = Request::CallMonitorDigits(CallMonitorDigits { call, on: true });
    if HEARS_NO_DIGITS.contains(&desk.family) {
        let error = desk.world.ask(desk.app, monitor).unwrap_err();
        assert_eq!(error.code, tapi::ErrorCode::OperationUnavail, "{error}");
    } else {
        desk.world.expect(desk.app, monitor);
        // Until a late answer began the audio nobody hears what is pressed.
        desk.world.run_for(Duration::from_secs(if late { 30 } else { 2 }));
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
    desk.back();
    assert_eq!(desk.world.line_named("modem:one"), Some(desk.line), "another line");
    busy(desk);
}

fn reset(desk: &mut Desk) {
    let call = desk.reach(Stage::Connected).expect("a call");
    let modem = desk.modem;
    desk.exchange(|now, exchange| exchange.restart(now, modem));
    desk.ended(call, &[DisconnectMode::Unavail]);
    desk.world.run_for(Duration::from_secs(5));
    desk.back();
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

/// How a run went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Went {
    /// As on a clean line.
    Well,
    /// The modem was silent for longer than the driver waits, and the application was told that.
    GivenUp,
}

fn play(family: &'static str, scenario: &Scenario, line: &str, seed: u64) -> Went {
    let run = number(&[family, scenario.0, line, &seed.to_string()]);
    let mut desk = desk(family, line, run, office(scenario.0));
    let mut went = Went::Well;
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (scenario.2)(&mut desk))) {
        // Whether an answer that comes after its time still finds its call is chance: where it does not, that must be
        // told, and the line must come back.
        match desk.told_of_silence() {
            Some(told) if line == "late" => println!("{family}/{}/{line}/{seed} was given up: {told}", scenario.0),
            _ => resume_unwind(panic),
        }
        went = Went::GivenUp;
        desk.picks_up_the_pieces();
    }
    desk.ends();
    went
}

/// Runs one; the reason when it failed.
fn run(family: &'static str, scenario: &Scenario, line: &str, seed: u64) -> Result<Went, String> {
    catch_unwind(AssertUnwindSafe(|| play(family, scenario, line, seed))).map_err(|panic| last_line(&*panic))
}

fn fits(scenario: &Scenario, family: &str) -> bool {
    match scenario.1 {
        Kind::Any => true,
        Kind::Analogue => !is_cellular(family),
        Kind::Cellular => is_cellular(family),
    }
}

/// Chances to be taken: `TAPI_SEEDS=n` for 1 to n, `TAPI_SEEDS=m-n` for m to n.
fn seeds(usual: u64) -> std::ops::RangeInclusive<u64> {
    let Ok(wanted) = std::env::var("TAPI_SEEDS") else { return 1..=usual };
    let (from, to) = wanted.split_once('-').unwrap_or(("1", &wanted));
    from.parse().expect("a number")..=to.parse().expect("a number")
}

fn family(name: &'static str) {
    if let Ok(wanted) = std::env::var("TAPI_MATRIX") {
        let parts: Vec<&str> = wanted.split('/').collect();
        if let [family, scenario, line, seed] = parts.as_slice()
            && *family == name
        {
            let scenario = SCENARIOS.iter().find(|(of, ..)| of == scenario).expect("a scenario");
            play(name, scenario, line, seed.parse().expect("a seed"));
        }
        return;
    }
    let seeds = seeds(1);
    let first = *seeds.start();
    let mut failed = Vec::new();
    let mut runs = [0u32; LINES.len()];
    let mut given_up = 0;
    for seed in seeds {
        for (line, runs) in LINES.iter().zip(&mut runs) {
            // Nothing is left to chance there.
            if seed > first && matches!(*line, "clean" | "split") {
                continue;
            }
            for scenario in SCENARIOS.iter().filter(|scenario| fits(scenario, name)) {
                *runs += 1;
                match run(name, scenario, line, seed) {
                    Ok(Went::Well) => {}
                    Ok(Went::GivenUp) => given_up += 1,
                    Err(why) => failed.push(format!("TAPI_MATRIX={name}/{}/{line}/{seed}: {why}", scenario.0)),
                }
            }
        }
    }
    assert!(runs.iter().all(|runs| *runs > 5), "a line was left out: {LINES:?} {runs:?}");
    println!("{name}: {runs:?} runs over {LINES:?}, {given_up} late ones given up");
    assert!(given_up * 3 <= runs[4], "{given_up} of {} runs over a late line were given up", runs[4]);
    let all: u32 = runs.iter().sum();
    assert!(failed.is_empty(), "{} of {all} runs failed:\n{}", failed.len(), failed.join("\n"));
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
    busy(&mut desk);
    desk.ends();
}

#[test]
fn lost_and_flipped_bytes_leave_no_ghost_and_no_request_without_reply() {
    let wanted = std::env::var("TAPI_DAMAGED").ok();
    let mut failed = Vec::new();
    for seed in seeds(2) {
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
