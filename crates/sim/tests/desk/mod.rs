//! A desk with a modem of some family in a small world, driven by its profile: the common parts of tests that try many.

#![allow(dead_code, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test that fails shows why")]

use std::time::Duration;
use tapi::request::{CallDrop, CallTrace, LineSelector, LineTrace};
use tapi::{CallId, CallState, DisconnectMode, End, EventBody, LineId, PartyFlag, Reply, Request};
use tapi_sim::exchange::{BoxedDevice, Direction, Event, Faults, ModemId};
use tapi_sim::modem::{analogue, cellular};
use tapi_sim::world::{AppId, Setup, World};
use tsp_modem::Office;

pub const NUMBER: &str = "4930100";

/// Who can be called, and what they do.
pub const SUBSCRIBERS: [(&str, &str); 5] = [
    ("4930300", "tone:800,answer:2s"),
    ("4930301", "busy"),
    ("4930302", "never"),
    ("4930303", "silence,withheld,answer:2s"),
    ("4930304", "silence"),
];

/// Families of the simulator, and the profiles that drive them.
pub const FAMILIES: [(&str, &str); 12] = [
    ("v253", "v253"),
    ("cx93001", "conexant-cx93001"),
    ("usr5637", "usr5637"),
    ("agere", "agere-lucent"),
    ("smartlink", "smartlink"),
    ("rockwell", "rockwell-hashv"),
    ("generic", "27007"),
    ("e1550", "huawei-e1550"),
    ("ec25", "quectel-ec2x"),
    ("sim7600", "simcom-sim7600"),
    ("sara", "ublox-sara"),
    ("wavecom", "wavecom-legacy"),
];

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Idle,
    Dialling,
    Alerting,
    Offered,
    Connected,
}

pub struct Desk {
    pub world: World,
    pub app: AppId,
    pub line: LineId,
    pub modem: ModemId,
    pub family: &'static str,
    pub faults: Faults,
}

pub fn device(family: &str) -> BoxedDevice {
    match analogue::Persona::named(family) {
        Some(persona) => Box::new(analogue::Analogue::new(persona)),
        None => Box::new(cellular::Cellular::new(cellular::Persona::named(family).expect("a family"))),
    }
}

pub fn is_cellular(family: &str) -> bool {
    cellular::Persona::named(family).is_some()
}

impl Desk {
    /// At an exchange with these services, over a link with these faults to the host.
    pub fn over(family: &'static str, faults: Faults, seed: u64, office: &str) -> Desk {
        let office = Office::named(office).expect("services");
        let mut world = World::new(Setup { seed, snapshots: false, ..Setup::default() });
        for (number, words) in SUBSCRIBERS {
            world.in_exchange(|_, exchange| exchange.subscribe(number, words.parse().unwrap()));
        }
        let profile = FAMILIES.iter().find(|(name, _)| *name == family).unwrap().1;
        // Its exchange has the services of a PBX; scenarios that need others say so.
        let office = if is_cellular(family) { Office::default() } else { office };
        let (_, modem) = world.start_modem_at("one", NUMBER, profile, device(family), office);
        let mut desk = Desk { world, app: AppId(0), line: LineId(0), modem, family, faults };
        desk.spoil();
        desk.app = desk.world.open_app("app", 0);
        desk.back();
        desk.line = desk.world.open_line(desk.app, "modem:one");
        desk
    }

    /// The link to the host becomes faulty; where it cuts at every byte, so do the other way and the port with audio.
    pub fn spoil(&mut self) {
        let (modem, faults) = (self.modem, self.faults.clone());
        self.world.in_exchange(|_, exchange| {
            let split = Faults { split: faults.split, ..Faults::default() };
            for (port, way) in [(0, Direction::ToModem), (1, Direction::ToHost), (1, Direction::ToModem)] {
                exchange.faults(modem, port, way, split.clone());
            }
            exchange.faults(modem, 0, Direction::ToHost, faults);
        });
    }

    pub fn exchange(&mut self, what: impl Fn(tapi::Time, &mut tapi_sim::exchange::Exchange)) {
        self.world.in_exchange(|now, exchange| what(now, exchange));
    }

    pub fn call_in(&mut self, from: &'static str) -> CallId {
        self.exchange(|now, exchange| exchange.call(now, from, NUMBER).unwrap());
        self.world.await_offer(self.app)
    }

    pub fn call_out(&mut self, to: &str) -> CallId {
        self.world.make_call(self.app, self.line, to).unwrap()
    }

    pub fn ended(&mut self, call: CallId, mode: &[DisconnectMode]) {
        match self.world.await_state(self.app, call, "disconnected") {
            CallState::Disconnected(how) if mode.contains(&how) => {}
            state => panic!("it ended as {state}, not as one of {mode:?}"),
        }
        self.world.drop_call(self.app, call);
    }

    pub fn drop_it(&mut self, call: CallId) {
        self.world.drop_call(self.app, call);
        self.world.await_state(self.app, call, "idle");
    }

    pub fn saw(&self, wanted: impl Fn(&Event) -> bool) -> bool {
        self.world.exchange_log.iter().any(|(_, event)| wanted(event))
    }

    /// The line comes back into service; over a bad line that takes several attempts.
    pub fn back(&mut self) {
        for _ in 0..300 {
            let lines = self.world.snapshot(self.app).lines;
            if lines.iter().any(|line| line.name == "modem:one" && line.status.service.is_in()) {
                return;
            }
            self.world.run_for(Duration::from_secs(1));
        }
        panic!("out of service for five minutes");
    }

    /// What the application was told of answers of the modem that did not come in time: the line out of service, a
    /// request refused, digits that were not sent.
    pub fn told_of_silence(&mut self) -> Option<String> {
        let line = LineSelector::Id(self.line);
        let Ok(Reply::LineTrace(trace)) = self.world.ask(self.app, Request::LineTrace(LineTrace { line, full: false }))
        else {
            return None;
        };
        // A stream that was begun again: what was to be played or heard meanwhile is lost.
        let calls = self.world.snapshot(self.app).calls.into_iter().map(|known| known.info.call);
        let traces: Vec<Reply> = calls
            .filter_map(|call| self.world.ask(self.app, Request::CallTrace(CallTrace { call, full: false })).ok())
            .collect();
        let begun_late = traces.into_iter().find_map(|reply| match reply {
            Reply::Trace(trace) => trace
                .entries
                .into_iter()
                .map(|entry| entry.summary)
                .find(|summary| summary.starts_with("AT+V") && summary.ends_with("no answer in time")),
            _ => None,
        });
        let app = self.world.app(self.app);
        let out = trace.entries.into_iter().map(|entry| entry.summary).find(|summary| {
            let reason = summary.strip_prefix("out of service: ");
            reason.is_some_and(|reason| reason.contains("answer") || reason.contains("does not end"))
        });
        let refused = app.replies.values().find_map(|reply| {
            let error = reply.as_ref().err().filter(|error| error.message.contains("no answer in time"));
            error.map(|error| error.message.clone())
        });
        let ended = app.events.iter().find_map(|told| match &told.event.body {
            EventBody::CallState { cause: Some(cause), .. } if cause.mode == DisconnectMode::Unavail => {
                cause.text.clone().filter(|text| text.contains("answer") || text.contains("does not end"))
            }
            _ => None,
        });
        let unsent = app
            .events
            .iter()
            .any(|told| matches!(told.event.body, EventBody::CallGenerated { ref end, .. } if *end != End::Done));
        out.or(refused).or(ended).or(begun_late).or(unsent.then(|| "digits were not sent".to_string()))
    }

    fn drop_all(&mut self) {
        for call in self.world.snapshot(self.app).calls {
            let call = call.info.call;
            drop(self.world.ask(self.app, Request::CallDrop(CallDrop { call, reason: None })));
        }
    }

    /// Whatever it came to: everybody hangs up, and the line is good for a call over a sound link.
    pub fn picks_up_the_pieces(&mut self) {
        self.faults = Faults::default();
        self.spoil();
        let modem = self.modem;
        self.exchange(|now, exchange| {
            exchange.plug(now, modem);
            exchange.dead(false);
            drop(exchange.registration(now, NUMBER, 1));
        });
        self.drop_all();
        self.world.run_for(Duration::from_secs(30));
        for number in SUBSCRIBERS {
            self.exchange(|now, exchange| drop(exchange.hang_up(now, number.0)));
        }
        self.world.run_for(Duration::from_secs(60));
        self.drop_all();
        self.back();
        busy(self);
    }

    /// The line is as it was before: it takes a call, and nothing is left of what was.
    pub fn ends(&mut self) {
        self.back();
        let calls = self.world.snapshot(self.app).calls;
        let alive: Vec<_> = calls.iter().filter(|known| !known.status.state.is_over()).collect();
        assert!(alive.is_empty(), "ghosts: {alive:?}");
        self.world.assert_nothing_left();
        assert!(self.world.in_exchange(|_, exchange| exchange.is_quiet()), "a line is off hook");
    }

    pub fn reach(&mut self, stage: Stage) -> Option<CallId> {
        match stage {
            Stage::Idle => None,
            Stage::Dialling => {
                let call = self.call_out("4930302");
                self.world.run_for(Duration::from_millis(300));
                Some(call)
            }
            Stage::Alerting => {
                let call = self.call_out("4930302");
                self.world.run_for(Duration::from_secs(7));
                Some(call)
            }
            Stage::Offered => Some(self.call_in("4930302")),
            Stage::Connected => {
                let call = self.call_out("4930300");
                self.world.await_state(self.app, call, "connected");
                self.world.run_for(Duration::from_millis(500));
                Some(call)
            }
        }
    }
}

pub fn busy(desk: &mut Desk) {
    let call = desk.call_out("4930301");
    desk.ended(call, &[DisconnectMode::Busy]);
}

pub fn caller(desk: &mut Desk, call: CallId) -> tapi::Party {
    let mut party = tapi::Party::default();
    for _ in 0..80 {
        let calls = desk.world.snapshot(desk.app).calls;
        party = calls.into_iter().find(|known| known.info.call == call).unwrap().info.caller;
        if party.address.is_some() || party.flags.contains(&PartyFlag::Blocked) {
            break;
        }
        desk.world.run_for(Duration::from_millis(100));
    }
    party
}

/// What a panic says in the end.
pub fn last_line(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_string())).unwrap_or_default();
    text.trim().lines().last().unwrap_or_default().chars().take(400).collect()
}
