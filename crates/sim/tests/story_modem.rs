//! Calls over modems, through the simulated exchange.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails shows why")]

use std::time::Duration;
use tapi::request::{CallHold, CallMake, CallMonitorDigits, CallSendDigits, CallTrace, CallUnhold, LineSelector};
use tapi::{
    AddressId, AnswerEvidence, CallId, CallState, DisconnectMode, ErrorCode, LineId, PartyFlag, Reply, Request,
};
use tapi_sim::exchange::{Event, ModemId};
use tapi_sim::modem::{analogue, cellular};
use tapi_sim::world::{AppId, Setup, World};

const NUMBER: &str = "4930100";
const PROFILES: [&str; 2] = ["v253", "27007"];

struct Office {
    world: World,
    app: AppId,
    line: LineId,
    modem: ModemId,
}

/// A modem line with subscribers around it: one answers and echoes, one is busy, one never answers.
fn office(profile: &str, setup: Setup) -> Office {
    let mut world = World::new(setup);
    for (number, behaviour) in [
        ("4930300", "echo,answer:1s"),
        ("4930301", "busy"),
        ("4930302", "never"),
        ("4930303", "tone:440,answer:1s"),
        ("4930304", "silence,answer:1s"),
    ] {
        let behaviour = behaviour.parse().unwrap_or_else(|error| panic!("{behaviour}: {error}"));
        world.in_exchange(|_, exchange| exchange.subscribe(number, behaviour));
    }
    let (_, modem) = match profile {
        "v253" => {
            let device = Box::new(analogue::Analogue::new(analogue::Persona::v253()));
            world.start_modem("one", NUMBER, profile, device)
        }
        _ => {
            let device = Box::new(cellular::Cellular::new(cellular::Persona::generic()));
            world.start_modem("one", NUMBER, profile, device)
        }
    };
    let app = world.open_app("app", 0);
    let line = world.open_line(app, "modem:one");
    Office { world, app, line, modem }
}

fn answered(world: &World, number: &str) -> bool {
    world
        .exchange_log
        .iter()
        .any(|(_, event)| matches!(event, Event::Answered { subscriber, .. } if subscriber == number))
}

fn hung_up(world: &World, number: &str) -> bool {
    world.exchange_log.iter().any(|(_, event)| matches!(event, Event::HungUp { subscriber } if subscriber == number))
}

#[test]
fn an_incoming_call_shows_who_calls_is_answered_and_cleared_by_the_caller() {
    for profile in PROFILES {
        let Office { mut world, app, .. } = office(profile, Setup::default());
        world.in_exchange(|now, exchange| exchange.call(now, "4930304", NUMBER)).unwrap();
        let call = world.await_offer(app);
        // On a two-wire line the identity comes between the first two rings.
        let known = |world: &mut World| {
            let info = world.snapshot(app).calls.into_iter().find(|known| known.info.call == call).unwrap().info;
            info.caller.address
        };
        let mut caller = known(&mut world);
        for _ in 0..80 {
            if caller.is_some() {
                break;
            }
            world.run_for(Duration::from_millis(100));
            caller = known(&mut world);
        }
        assert_eq!(caller.as_deref(), Some("4930304"), "{profile}");
        world.answer(app, call);
        world.await_state(app, call, "connected");
        assert!(answered(&world, NUMBER), "{profile}: the exchange did not see the answer");
        world.expect(app, Request::CallMonitorDigits(CallMonitorDigits { call, on: true }));
        world.run_for(Duration::from_secs(2));
        world.in_exchange(|now, exchange| exchange.dtmf(now, "4930304", "5#")).unwrap();
        world.run_for(Duration::from_secs(3));
        // A V.253 modem hears digits itself; a dongle hands over audio, and the media provider listens for tones in that.
        assert_eq!(world.digits(app, call), "5#", "{profile}");
        world.in_exchange(|now, exchange| exchange.hang_up(now, "4930304")).unwrap();
        world.await_state(app, call, "disconnected");
        world.drop_call(app, call);
        world.assert_nothing_left();
    }
}

#[test]
fn an_outgoing_call_is_answered_heard_and_ended_by_us() {
    for profile in PROFILES {
        let Office { mut world, app, line, .. } = office(profile, Setup::default());
        let call = world.make_call(app, line, "4930304").unwrap();
        world.await_state(app, call, "connected");
        world.run_for(Duration::from_secs(2));
        let request = CallSendDigits { call, digits: "19".into(), duration_ms: None };
        world.started(app, Request::CallSendDigits(request), None).unwrap();
        world.run_for(Duration::from_secs(3));
        let digits: String = world
            .exchange_log
            .iter()
            .filter_map(|(_, event)| if let Event::Digit { digit, .. } = event { Some(*digit) } else { None })
            .collect();
        assert_eq!(digits, "19", "{profile}");
        world.drop_call(app, call);
        world.await_state(app, call, "idle");
        world.run_for(Duration::from_secs(5));
        assert!(hung_up(&world, NUMBER), "{profile}: the modem is not on hook");
        world.assert_nothing_left();
    }
}

#[test]
fn busy_and_no_answer_are_told() {
    for profile in PROFILES {
        let Office { mut world, app, line, .. } = office(profile, Setup::default());
        let call = world.make_call(app, line, "4930301").unwrap();
        let limit = |world: &World| {
            world.app(app).state(call).is_some_and(|state| matches!(state, CallState::Busy(_)) || state.is_over())
        };
        assert!(world.run_to(Duration::from_secs(60), limit), "{profile}: {:?}", world.app(app).states(call));
        let busy = matches!(
            world.app(app).state(call),
            Some(CallState::Busy(_) | CallState::Disconnected(DisconnectMode::Busy))
        );
        assert!(busy, "{profile}: {:?}", world.app(app).states(call));
        world.drop_call(app, call);
        world.run_for(Duration::from_secs(10));

        let call = world.make_call(app, line, "4930302").unwrap();
        world.run_for(Duration::from_secs(20));
        assert!(!answered(&world, "4930302"));
        let state = world.app(app).state(call).cloned().unwrap();
        assert!(!matches!(state, CallState::Connected(_)), "{profile}: nobody answered, and it is {state}");
        world.drop_call(app, call);
        world.assert_nothing_left();
    }
}

#[test]
fn a_modem_that_is_unplugged_in_mid_call_ends_the_call_and_comes_back() {
    for profile in PROFILES {
        let Office { mut world, app, line, modem } = office(profile, Setup::default());
        let call = world.make_call(app, line, "4930304").unwrap();
        world.await_state(app, call, "connected");
        world.run_for(Duration::from_secs(1));
        world.in_exchange(|now, exchange| exchange.unplug(now, modem));
        let last = world.await_state(app, call, "disconnected");
        assert_eq!(last, CallState::Disconnected(DisconnectMode::Unavail), "{profile}");
        assert!(world.make_call(app, line, "4930304").is_err(), "{profile}: a call on a line without a modem");
        world.drop_call(app, call);
        // Plugged in again it is the same line, under the same name, in service, and it takes the next call.
        world.in_exchange(|now, exchange| exchange.plug(now, modem));
        world.await_line(app, "modem:one");
        assert_eq!(world.line_named("modem:one"), Some(line), "{profile}: another line");
        let call = world.make_call(app, line, "4930304").unwrap();
        world.await_state(app, call, "connected");
        world.drop_call(app, call);
        world.run_for(Duration::from_secs(20));
        world.in_exchange(|now, exchange| exchange.call(now, "4930304", NUMBER)).unwrap();
        let call = world.await_offer(app);
        world.answer(app, call);
        world.await_state(app, call, "connected");
        world.drop_call(app, call);
        world.assert_nothing_left();
    }
}

#[test]
fn an_application_that_dies_leaves_the_modem_on_hook() {
    for profile in PROFILES {
        let Office { mut world, app, line, .. } = office(profile, Setup::default());
        let call = world.make_call(app, line, "4930304").unwrap();
        world.await_state(app, call, "connected");
        world.disconnect(app);
        world.run_for(Duration::from_secs(5));
        assert!(hung_up(&world, NUMBER), "{profile}: the modem is not on hook");
        world.assert_nothing_left();
    }
}

/// How the answer was concluded, and how long after it: what each far end does, beside the answer itself.
#[test]
fn an_answer_is_concluded_from_what_is_heard() {
    for (behaviour, evidence, within_ms) in [
        ("tone:440,answer:500ms", AnswerEvidence::VoiceDetected, 600),
        ("tone:440,answer:7s", AnswerEvidence::VoiceDetected, 600),
        // No ringback at all: it answers before the first burst is told.
        ("tone:1000,answer:0ms", AnswerEvidence::VoiceDetected, 600),
        // Nothing is said: the next burst does not come, or no burst came.
        ("silence,answer:500ms", AnswerEvidence::RingbackGone, 6_500),
        ("silence,answer:0ms", AnswerEvidence::Timer, 10_200),
    ] {
        let Office { mut world, app, line, .. } = office("v253", Setup::default());
        world.in_exchange(|_, exchange| exchange.subscribe("4930310", behaviour.parse().unwrap()));
        let call = world.make_call(app, line, "4930310").unwrap();
        world.await_state(app, call, "connected");
        let connected = world.now();
        let is_answer = |event: &Event| matches!(event, Event::Answered { .. });
        let answer = world.exchange_log.iter().find(|(_, event)| is_answer(event)).unwrap().0;
        let after = connected.since(answer);
        println!("{behaviour}: connected {after:?} after the answer, by {evidence}");
        assert!(after <= Duration::from_millis(within_ms), "{behaviour}: {after:?} after the answer");
        let info = world.snapshot(app).calls.into_iter().find(|known| known.info.call == call).unwrap().info;
        assert_eq!(info.answered_by, Some(evidence), "{behaviour}");
        let rang = world.app(app).states(call).contains(&CallState::Ringback);
        assert_eq!(rang, !behaviour.ends_with(":0ms"), "{behaviour}: {:?}", world.app(app).states(call));
        world.drop_call(app, call);
        world.assert_nothing_left();
    }
}

/// Who heard it: modems that listen for the far end's voice while they place a call tell it (`<DLE>v`), in whichever stream
/// runs; for the others the audio is listened to; and one that leaves nothing to us says `VCON`.
#[test]
fn a_modem_that_hears_the_far_ends_voice_tells_the_answer_and_that_is_seen() {
    use AnswerEvidence::{ResultCode, RingbackGone, VoiceDetected};
    let deaf = analogue::Persona { never: b"v", ..analogue::Persona::v253() };
    for (persona, profile, far_end, evidence, shown, within_ms) in [
        (analogue::Persona::v253(), "v253", "tone:700", VoiceDetected, "<DLE>v", 400),
        (analogue::Persona::agere(), "agere-lucent", "tone:700", VoiceDetected, "<DLE>v", 400),
        (analogue::Persona::smartlink(), "smartlink", "tone:700", VoiceDetected, "<DLE>v", 400),
        (analogue::Persona::cx93001(), "conexant-cx93001", "tone:700", VoiceDetected, "heard in the audio: voice", 600),
        (analogue::Persona::usr5637(), "usr5637", "tone:700", VoiceDetected, "heard in the audio: voice", 600),
        (analogue::Persona::rockwell(), "rockwell-hashv", "tone:700", ResultCode, "VCON", 10_500),
        // Nothing that could be heard: too soft a voice, none, or a modem whose masks lack it.
        (analogue::Persona::v253(), "v253", "tone:700@-500", RingbackGone, "<DLE>r", 6_500),
        (analogue::Persona::agere(), "agere-lucent", "silence", RingbackGone, "<DLE>r", 6_500),
        (deaf, "v253", "tone:700", RingbackGone, "<DLE>r", 6_500),
    ] {
        let name = format!("{} at {far_end}", persona.name);
        let mut world = World::new(Setup { snapshots: false, ..Setup::default() });
        let behaviour = format!("{far_end},answer:5s").parse().unwrap();
        world.in_exchange(|_, exchange| exchange.subscribe("4930310", behaviour));
        world.start_modem("one", NUMBER, profile, Box::new(analogue::Analogue::new(persona)));
        let app = world.open_app("app", 0);
        let line = world.open_line(app, "modem:one");
        let call = world.make_call(app, line, "4930310").unwrap();
        world.await_state(app, call, "connected");
        let connected = world.now();
        let is_answer = |event: &Event| matches!(event, Event::Answered { .. });
        let answer = world.exchange_log.iter().find(|(_, event)| is_answer(event)).unwrap().0;
        let after = connected.since(answer);
        assert!(after <= Duration::from_millis(within_ms), "{name}: {after:?} after the answer");
        let info = world.snapshot(app).calls.into_iter().find(|known| known.info.call == call).unwrap().info;
        assert_eq!(info.answered_by, Some(evidence), "{name}");
        let trace = match world.expect(app, Request::CallTrace(CallTrace { call, full: false })) {
            Reply::Trace(trace) => trace.entries.into_iter().map(|entry| entry.summary).collect::<Vec<_>>(),
            reply => panic!("{reply:?}"),
        };
        assert!(trace.iter().any(|summary| summary == shown), "{name}: {trace:?}");
        let told = trace.iter().any(|summary| summary == "<DLE>v");
        assert_eq!(told, shown == "<DLE>v", "{name}: {trace:?}");
        world.drop_call(app, call);
        world.assert_nothing_left();
    }
}

#[test]
fn every_persona_of_an_analogue_modem_can_be_supervised() {
    let profiles = ["v253", "conexant-cx93001", "usr5637", "agere-lucent", "smartlink", "rockwell-hashv"];
    assert_eq!(analogue::Persona::all().len(), profiles.len());
    for (persona, profile) in analogue::Persona::all().into_iter().zip(profiles) {
        // The one that carries both directions also as one that does not.
        let half = persona.duplex.then(|| analogue::Persona { duplex: false, ..persona.clone() });
        for persona in [Some(persona), half].into_iter().flatten() {
            let name = format!("{}, duplex {}", persona.name, persona.duplex);
            let mut world = World::new(Setup::default());
            for (number, behaviour) in [("4930301", "busy"), ("4930303", "tone:440,answer:1s")] {
                world.in_exchange(|_, exchange| exchange.subscribe(number, behaviour.parse().unwrap()));
            }
            world.start_modem("one", NUMBER, profile, Box::new(analogue::Analogue::new(persona)));
            let app = world.open_app("app", 0);
            let line = world.open_line(app, "modem:one");
            let call = world.make_call(app, line, "4930303").unwrap();
            world.await_state(app, call, "connected");
            // #V modems wait for the answer themselves, and say VCON then: nobody else hears the ringback.
            let rang = world.app(app).states(call).contains(&CallState::Ringback);
            assert_eq!(rang, profile != "rockwell-hashv", "{name}");
            world.drop_call(app, call);
            world.run_for(Duration::from_secs(5));
            let call = world.make_call(app, line, "4930301").unwrap();
            let last = world.await_state(app, call, "disconnected");
            assert_eq!(last, CallState::Disconnected(DisconnectMode::Busy), "{name}");
            world.drop_call(app, call);
            world.assert_nothing_left();
        }
    }
}

fn make_withheld(world: &mut World, app: AppId, line: LineId, to: &str) -> Result<CallId, tapi::Error> {
    let (line, address) = (LineSelector::Id(line), AddressId(0));
    let request = CallMake { line, to: to.into(), address, block_id: true, comment: None, bearer: None };
    world.ask(app, Request::CallMake(request)).map(|reply| match reply {
        Reply::Made(made) => made.call,
        other => panic!("{other:?}"),
    })
}

#[test]
fn a_withheld_number_is_not_seen_and_a_line_that_cannot_withhold_it_does_not_dial() {
    let Office { mut world, app, line: analogue, .. } = office("v253", Setup::default());
    let dongle = Box::new(cellular::Cellular::new(cellular::Persona::generic()));
    world.start_modem("two", "4930200", "27007", dongle);
    let cellular = world.open_line(app, "modem:two");
    for withheld in [true, false] {
        let call = if withheld {
            make_withheld(&mut world, app, cellular, NUMBER).unwrap()
        } else {
            world.make_call(app, cellular, NUMBER).unwrap()
        };
        let offered = world.await_offer(app);
        world.run_for(Duration::from_secs(4));
        let info = world.snapshot(app).calls.into_iter().find(|known| known.info.call == offered).unwrap().info;
        assert_eq!(info.caller.flags.contains(&PartyFlag::Blocked), withheld, "{:?}", info.caller);
        assert_eq!(info.caller.address.as_deref(), (!withheld).then_some("4930200"));
        world.drop_call(app, offered);
        world.drop_call(app, call);
        world.run_for(Duration::from_secs(20));
    }
    let error = make_withheld(&mut world, app, analogue, "4930304").unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalCallParams, "{error}");
    assert!(!world.exchange_log.iter().any(|(_, event)| matches!(event, Event::Called { to, .. } if to == "4930304")));
    world.assert_nothing_left();
}

#[test]
fn a_call_on_a_gsm_line_is_held_and_comes_back() {
    let Office { mut world, app, line, .. } = office("27007", Setup::default());
    let call = world.make_call(app, line, "4930303").unwrap();
    world.await_state(app, call, "connected");
    for _ in 0..2 {
        world.expect(app, Request::CallHold(CallHold { call }));
        world.await_state(app, call, "on_hold");
        world.run_for(Duration::from_secs(3));
        world.expect(app, Request::CallUnhold(CallUnhold { call }));
        world.await_state(app, call, "connected");
        world.run_for(Duration::from_secs(3));
    }
    world.drop_call(app, call);
    world.run_for(Duration::from_secs(3));
    assert!(hung_up(&world, NUMBER));
    world.assert_nothing_left();
}

/// A GSM line has two calls at most. Whether a second one comes in is the network's matter (call waiting): without that
/// service its caller hears busy; with it the call is offered, and answering it holds the first.
#[test]
fn a_second_call_on_a_gsm_line_waits_and_is_refused_or_answered() {
    let mut plain = office("27007", Setup::default());
    let first = plain.world.make_call(plain.app, plain.line, "4930303").unwrap();
    plain.world.await_state(plain.app, first, "connected");
    plain.world.in_exchange(|now, exchange| exchange.call(now, "4930304", NUMBER)).unwrap();
    plain.world.run_for(Duration::from_secs(10));
    let busy = |event: &Event| matches!(event, Event::Failed { from, cause: 17, .. } if from == "4930304");
    assert!(plain.world.exchange_log.iter().any(|(_, event)| busy(event)));
    assert!(matches!(plain.world.app(plain.app).state(first), Some(CallState::Connected(_))));
    plain.world.drop_call(plain.app, first);
    plain.world.assert_nothing_left();

    let Office { mut world, app, line, modem } = office("27007", Setup::default());
    // The subscriber has ordered the service: here another program on the port does it, whose answer is none of ours.
    world.in_exchange(|now, exchange| exchange.bytes(now, modem, 0, b"AT+CCWA=1,1\r"));
    let first = world.make_call(app, line, "4930303").unwrap();
    world.await_state(app, first, "connected");
    // Refused: the first call goes on.
    world.in_exchange(|now, exchange| exchange.call(now, "4930304", NUMBER)).unwrap();
    let second = world.await_offer(app);
    assert_eq!(world.app(app).state(second).map(|state| state.name()), Some("offering"));
    world.drop_call(app, second);
    world.run_for(Duration::from_secs(8));
    assert!(matches!(world.app(app).state(first), Some(CallState::Connected(_))));
    assert!(!answered(&world, NUMBER), "it was refused");
    // Answered: the first one is held; after the second one it comes back.
    world.in_exchange(|now, exchange| exchange.call(now, "4930304", NUMBER)).unwrap();
    let second = world.await_offer(app);
    world.answer(app, second);
    world.await_state(app, second, "connected");
    world.await_state(app, first, "on_hold");
    world.in_exchange(|now, exchange| exchange.hang_up(now, "4930304")).unwrap();
    world.await_state(app, second, "disconnected");
    world.drop_call(app, second);
    world.expect(app, Request::CallUnhold(CallUnhold { call: first }));
    world.await_state(app, first, "connected");
    world.drop_call(app, first);
    world.run_for(Duration::from_secs(5));
    world.assert_nothing_left();
}
