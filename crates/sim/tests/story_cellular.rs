//! What modules and sticks in a mobile network do to their drivers: cards that wake up late or want a PIN, firmware that a
//! command kills, audio that stops.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails shows why")]

use std::collections::BTreeMap;
use std::time::Duration;
use tapi::request::{CallHold, CallUnhold};
use tapi::{CallId, LineId, PartyFlag, Request};
use tapi_sim::exchange::{ModemId, meter};
use tapi_sim::modem::cellular::{Cellular, Persona};
use tapi_sim::modem::{AT_PORT, AUDIO_PORT};
use tapi_sim::world::{AnyProvider, AppId, Plug, Setup, World};

const NUMBER: &str = "4930100";

struct Bench {
    world: World,
    app: AppId,
    line: LineId,
    modem: ModemId,
}

fn bench(persona: Persona, profile: &str, pin: Option<&str>) -> Bench {
    let mut world = World::new(Setup { snapshots: false, ..Setup::default() });
    for (number, words) in [
        ("4930300", "tone:800,answer:1s"),
        ("4930302", "never"),
        ("4930303", "silence,withheld"),
        ("4930305", "tone:500,answer:5s"),
    ] {
        world.in_exchange(|_, exchange| exchange.subscribe(number, words.parse().unwrap()));
    }
    let modem = world.in_exchange(|_, exchange| exchange.attach("one", NUMBER, Box::new(Cellular::new(persona))));
    let mut config = tsp_modem::Config {
        name: "one".into(),
        line_name: "modem:one".into(),
        audio: true,
        ..tsp_modem::Config::default()
    };
    config.cellular.pin = pin.map(|pin| pin.to_owned().try_into().unwrap());
    let profile = tsp_modem::Profile::builtin(profile).unwrap();
    let plugs = BTreeMap::from([
        (tsp_modem::AT_PORT, Plug::Serial(modem, AT_PORT)),
        (tsp_modem::AUDIO_PORT, Plug::Serial(modem, AUDIO_PORT)),
    ]);
    world.start("one", AnyProvider::Modem(Box::new(tsp_modem::Modem::new(config, profile))), plugs);
    let app = world.open_app("app", 0);
    let line = world.open_line(app, "modem:one");
    Bench { world, app, line, modem }
}

impl Bench {
    /// Somebody who withholds the number calls: only `+CLIP` tells that.
    fn withheld_call(&mut self) {
        self.world.in_exchange(|now, exchange| exchange.call(now, "4930303", NUMBER)).unwrap();
        let call = self.world.await_offer(self.app);
        self.world.run_for(Duration::from_secs(4));
        let info = self.world.snapshot(self.app).calls.into_iter().find(|known| known.info.call == call).unwrap().info;
        assert!(info.caller.flags.contains(&PartyFlag::Blocked), "{:?}", info.caller);
        self.world.drop_call(self.app, call);
        self.world.await_state(self.app, call, "idle");
        self.world.run_for(Duration::from_secs(10));
    }

    fn connected(&mut self, to: &str) -> CallId {
        let call = self.world.make_call(self.app, self.line, to).unwrap();
        self.world.await_state(self.app, call, "connected");
        call
    }
}

#[test]
fn a_card_that_wakes_up_late_costs_nothing() {
    let persona = Persona { card_after: Duration::from_secs(6), ..Persona::generic() };
    let mut bench = bench(persona, "27007", None);
    bench.world.run_for(Duration::from_secs(5));
    bench.withheld_call();
    bench.world.assert_nothing_left();
}

#[test]
fn a_pin_is_entered_after_every_start_and_what_it_locked_is_set_up_then() {
    let persona = Persona { sim: "SIM PIN", pin: ("4711".into(), "12345678".into()), ..Persona::e1550() };
    let mut bench = bench(persona, "huawei-e1550", Some("4711"));
    bench.withheld_call();
    for _ in 0..3 {
        let modem = bench.modem;
        bench.world.in_exchange(|now, exchange| exchange.unplug(now, modem));
        bench.world.run_for(Duration::from_secs(2));
        bench.world.in_exchange(|now, exchange| exchange.plug(now, modem));
        bench.world.run_for(Duration::from_secs(30));
        bench.withheld_call();
    }
    bench.world.assert_nothing_left();
}

#[test]
fn a_second_call_that_is_dropped_early_does_not_wedge_the_stick() {
    let mut bench = bench(Persona::e1550(), "huawei-e1550", None);
    let first = bench.connected("4930300");
    bench.world.run_for(Duration::from_secs(3));
    bench.world.expect(bench.app, Request::CallHold(CallHold { call: first }));
    bench.world.await_state(bench.app, first, "on_hold");
    let second = bench.world.make_call(bench.app, bench.line, "4930302").unwrap();
    bench.world.await_state(bench.app, second, "proceeding");
    bench.world.drop_call(bench.app, second);
    bench.world.run_for(Duration::from_secs(10));
    bench.world.expect(bench.app, Request::CallUnhold(CallUnhold { call: first }));
    bench.world.await_state(bench.app, first, "connected");
    bench.world.drop_call(bench.app, first);
    bench.world.await_state(bench.app, first, "idle");
    bench.world.run_for(Duration::from_secs(10));
    let third = bench.connected("4930300");
    bench.world.drop_call(bench.app, third);
    bench.world.run_for(Duration::from_secs(10));
    bench.world.assert_nothing_left();
}

#[test]
fn audio_that_stops_is_begun_again() {
    for (persona, profile) in [(Persona::e1550(), "huawei-e1550"), (Persona::sim7600(), "simcom-sim7600")] {
        let persona = Persona { audio_frames: Some(100), ..persona };
        let mut bench = bench(persona, profile, None);
        let call = bench.connected("4930300");
        let (_, file) = bench.world.record(bench.app, call).unwrap();
        bench.world.run_for(Duration::from_secs(6));
        let samples: Vec<i16> =
            bench.world.recording(file).unwrap().frames.iter().flat_map(|(heard, _)| heard.0).collect();
        let heard: Vec<bool> = samples.chunks(1_600).map(|part| meter::power_at(part, 800.0) > 1e5).collect();
        let stop = heard.iter().position(|heard| !heard).unwrap_or_else(|| panic!("{profile}: it did not stop"));
        let gap = heard[stop..].iter().take_while(|heard| !**heard).count();
        assert!(stop > 1 && (5..=14).contains(&gap) && stop + gap < heard.len(), "{profile}: {heard:?}");
        bench.world.drop_call(bench.app, call);
        bench.world.run_for(Duration::from_secs(10));
        bench.world.assert_nothing_left();
    }
}

#[test]
fn a_stick_without_voice_is_no_line_for_calls() {
    let persona = Persona { keeps: &[("^CURC", "1"), ("^USSDMODE", "1")], ..Persona::e1550() };
    let mut world = World::new(Setup { snapshots: false, ..Setup::default() });
    let (_, _) = world.start_modem("one", NUMBER, "huawei-e1550", Box::new(Cellular::new(persona)));
    let app = world.open_app("app", 0);
    world.run_for(Duration::from_secs(10));
    let lines = world.snapshot(app).lines;
    let shown = format!("{:?}", lines.iter().map(|line| &line.status.service).collect::<Vec<_>>());
    assert!(shown.contains("carries no voice calls"), "{shown}");
}
