//! What an analogue line and its modem do beside a plain call: keys pressed while the modem turns round, firmwares that
//! carry no samples, bursts of a ring, two calls that no code takes apart.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails shows why")]

use std::time::Duration;
use tapi::request::{
    CallDial, CallDrop, CallHold, CallMonitorDigits, CallSendDigits, LineSelector, LineSetStatusMessages,
};
use tapi::{CallId, CallState, ErrorCode, EventBody, Feature, LineId, LineStateKind, Request};
use tapi_sim::exchange::Event;
use tapi_sim::modem::analogue::{Analogue, Coding, Method, Persona};
use tapi_sim::world::{AppId, Setup, World};
use tsp_modem::Office;

const NUMBER: &str = "4930100";

/// A line with this modem at an exchange with these services, and subscribers around it.
fn line(persona: Persona, office: &str) -> (World, AppId, LineId) {
    let mut world = World::new(Setup::default());
    for (number, words) in [("4930300", "tone:800,answer:1s"), ("4930304", "silence,answer:1s")] {
        world.in_exchange(|_, exchange| exchange.subscribe(number, words.parse().unwrap()));
    }
    let office = Office::named(office).unwrap();
    world.start_modem_at("one", NUMBER, "v253", Box::new(Analogue::new(persona)), office);
    let app = world.open_app("app", 0);
    let line = world.open_line(app, "modem:one");
    (world, app, line)
}

fn called(world: &mut World, app: AppId) -> CallId {
    world.in_exchange(|now, exchange| exchange.call(now, "4930304", NUMBER)).unwrap();
    world.await_offer(app)
}

fn features(world: &mut World, app: AppId, call: CallId) -> tapi::Names<Feature> {
    let calls = world.snapshot(app).calls;
    calls.into_iter().find(|known| known.info.call == call).unwrap().status.features
}

#[test]
fn keys_that_a_caller_presses_while_the_modem_turns_round_are_all_told() {
    let (mut world, app, _) = line(Persona { duplex: false, ..Persona::v253() }, "none");
    let call = called(&mut world, app);
    world.answer(app, call);
    world.await_state(app, call, "connected");
    world.expect(app, Request::CallMonitorDigits(CallMonitorDigits { call, on: true }));
    world.run_for(Duration::from_secs(1));
    // What we play turns the modem round, and back; the caller types through it.
    let request = CallSendDigits { call, digits: "99".into(), duration_ms: Some(200) };
    world.started(app, Request::CallSendDigits(request), None).unwrap();
    world.in_exchange(|now, exchange| exchange.dtmf(now, "4930304", "1234567890123456")).unwrap();
    world.run_for(Duration::from_secs(8));
    assert_eq!(world.digits(app, call), "1234567890123456");
    world.drop_call(app, call);
    world.assert_nothing_left();
}

#[test]
fn a_modem_that_carries_no_samples_we_know_has_calls_without_audio() {
    const METHODS: [Method; 1] = [Method::new(4, "ADPCM", Coding::Unsigned8)];
    let (mut world, app, _) = line(Persona { methods: &METHODS, ..Persona::v253() }, "none");
    let call = called(&mut world, app);
    world.answer(app, call);
    world.await_state(app, call, "connected");
    assert!(!features(&mut world, app, call).contains(&Feature::Play));
    world.expect(app, Request::CallMonitorDigits(CallMonitorDigits { call, on: true }));
    world.in_exchange(|now, exchange| exchange.dtmf(now, "4930304", "5#")).unwrap();
    world.run_for(Duration::from_secs(2));
    assert_eq!(world.digits(app, call), "5#", "its codes tell them");
    world.in_exchange(|now, exchange| exchange.hang_up(now, "4930304")).unwrap();
    world.await_state(app, call, "disconnected");
    world.drop_call(app, call);
    world.assert_nothing_left();
}

#[test]
fn bursts_of_a_ring_are_its_pattern_and_the_exchanges_time_is_told() {
    for (cadence, wanted) in [(&[2_000, 4_000][..], 1), (&[800, 400, 800, 4_000], 2), (&[500, 5_500], 5)] {
        let (mut world, app, line) = line(Persona { distinctive: true, ..Persona::v253() }, "none");
        let cadence: &'static [u32] = Vec::leak(cadence.to_vec());
        world.in_exchange(|_, exchange| exchange.ringing(cadence));
        let states = tapi::Names::from([LineStateKind::Ringing]);
        world.expect(
            app,
            Request::LineSetStatusMessages(LineSetStatusMessages { line: LineSelector::Id(line), states }),
        );
        let call = called(&mut world, app);
        let is_ring = |body: &EventBody| matches!(body, EventBody::LineState { ring: Some(_), .. });
        let EventBody::LineState { ring: Some(ring), .. } = world.await_event(app, "a ring", is_ring) else { panic!() };
        assert_eq!(ring.pattern, wanted, "{cadence:?}");
        world.run_for(Duration::from_secs(8));
        let info = world.snapshot(app).calls.into_iter().find(|known| known.info.call == call).unwrap().info;
        assert_eq!(info.caller.address.as_deref(), Some("4930304"));
        let time = info.network_time.unwrap();
        assert_eq!((time.len(), &time[4..5], &time[10..11]), (16, "-", "T"), "{time}");
        world.answer(app, call);
        world.await_state(app, call, "connected");
        world.drop_call(app, call);
        world.assert_nothing_left();
    }
}

#[test]
fn two_calls_that_no_code_takes_apart_go_on_until_both_are_to_end() {
    let (mut world, app, line) = line(Persona::v253(), "pbx");
    let first = world.make_call(app, line, "4930300").unwrap();
    world.await_state(app, first, "connected");
    world.expect(app, Request::CallHold(CallHold { call: first }));
    world.await_state(app, first, "on_hold");
    let second = world.make_call(app, line, "4930304").unwrap();
    world.await_state(app, second, "connected");
    world.run_for(Duration::from_secs(2));
    let drop = |call| Request::CallDrop(CallDrop { call, reason: None });
    let refused = world.ask(app, drop(second)).unwrap_err();
    assert_eq!(refused.code, ErrorCode::OperationUnavail, "{refused}");
    world.run_for(Duration::from_secs(2));
    assert!(matches!(world.app(app).state(second), Some(CallState::Connected(_))));
    assert!(matches!(world.app(app).state(first), Some(CallState::OnHold)));
    let hung_up = |world: &World| {
        let gone = |event: &Event| matches!(event, Event::HungUp { subscriber } if subscriber == NUMBER);
        world.exchange_log.iter().any(|(_, event)| gone(event))
    };
    assert!(!hung_up(&world));
    world.expect(app, drop(first));
    for call in [first, second] {
        world.await_state(app, call, "idle");
    }
    world.run_for(Duration::from_secs(5));
    world.in_exchange(|now, exchange| exchange.hang_up(now, "4930300")).unwrap();
    world.assert_nothing_left();
}

#[test]
fn further_digits_are_offered_while_a_number_is_dialled_in_parts() {
    let (mut world, app, line) = line(Persona::v253(), "none");
    let call = world.make_call(app, line, "49303;").unwrap();
    world.run_for(Duration::from_secs(3));
    assert_eq!(world.app(app).state(call), Some(&CallState::Dialing));
    assert!(features(&mut world, app, call).contains(&Feature::Dial));
    world.expect(app, Request::CallDial(CallDial { call, to: "00".into() }));
    assert!(!features(&mut world, app, call).contains(&Feature::Dial));
    world.await_state(app, call, "connected");
    world.drop_call(app, call);
    world.run_for(Duration::from_secs(5));
    let call = world.make_call(app, line, "4930300").unwrap();
    assert!(!features(&mut world, app, call).contains(&Feature::Dial), "all of it is dialled");
    world.await_state(app, call, "connected");
    world.drop_call(app, call);
    world.assert_nothing_left();
}
