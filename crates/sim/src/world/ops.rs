//! Random operations: applications, peers and subscribers do anything at any time, and what must hold must hold.
//!
//! [`generate`] makes operations from a seed, [`run`] runs them, [`check`] does both and, when something breaks, makes the
//! list as short as it can and prints it ready to paste into a test.

mod control;
mod generate;

pub use generate::generate;

use super::{AppId, Connection, Peer, Policy, Setup, View, World};
use crate::modem::{analogue, cellular};
use crate::net::Conditions;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use tapi::request::{
    CallAccept, CallAnswer, CallBridge, CallDeallocate, CallDrop, CallHold, CallList, CallMake, CallMonitorDigits,
    CallMonitorTones, CallPart, CallPlay, CallRecord, CallSendDigits, CallSetPrivilege, CallStop, CallTone, CallUnhold,
    ClientClose, ClientOpen, ClientResume, LineClose, LineOpen, LineSelector, StateGet,
};
use tapi::{
    AddressId, CallId, DisconnectMode, EventBody, LineId, Names, OperationId, PlaySource, Privilege, RecordSink, Reply,
    Request,
};
use tapi_core::ProviderId;
use tspi::Random;

/// Where calls are made to.
const NUMBERS: [&str; 10] = [
    "loopback:0",
    "loopback:1",
    "busy",
    "noanswer",
    "reject",
    "sip:bob@192.0.2.9",
    "4930300",
    "4930301",
    "4930302",
    "no number at all",
];

/// The lines, by their permanent names.
pub const LINES: [&str; 5] = ["loopback:0", "loopback:1", "sip:trunk", "modem:analogue", "modem:cellular"];

/// Numbers of the two modems.
const MODEMS: [&str; 2] = ["4930100", "4930200"];

/// One thing that somebody does. Everything is a number, taken modulo how many there are, so that a list of operations
/// stays meaningful when some are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named after the request or the deed; `app`, `line`, `call`, `to` are picks")]
pub enum Op {
    Open { app: u8 },
    Resume { app: u8 },
    Close { app: u8 },
    Die { app: u8 },
    Overrun { app: u8 },
    OpenLine { app: u8, line: u8, privilege: u8 },
    CloseLine { app: u8, line: u8 },
    Make { app: u8, line: u8, to: u8 },
    Accept { app: u8, call: u8 },
    Answer { app: u8, call: u8 },
    Drop { app: u8, call: u8, reason: u8 },
    Deallocate { app: u8, call: u8 },
    Hold { app: u8, call: u8 },
    Unhold { app: u8, call: u8 },
    Digits { app: u8, call: u8 },
    Tone { app: u8, call: u8 },
    Play { app: u8, call: u8 },
    Record { app: u8, call: u8 },
    Stop { app: u8, call: u8, operation: u8 },
    Monitor { app: u8, call: u8, on: u8 },
    Bridge { app: u8, call: u8, with: u8 },
    Part { app: u8, call: u8 },
    Privilege { app: u8, call: u8, owner: u8 },
    List { app: u8 },
    Snapshot { app: u8 },
    Early { app: u8, call: u8 },
    Blind { app: u8, call: u8, to: u8, how: u8 },
    Consult { app: u8, call: u8, to: u8 },
    Complete { app: u8, call: u8, with: u8, how: u8 },
    Redirect { app: u8, call: u8, to: u8 },
    Swap { app: u8, call: u8, with: u8 },
    Decide { app: u8, call: u8, accept: u8 },
    Handoff { app: u8, call: u8, to: u8 },
    Device { app: u8, line: u8, what: u8 },
    Confer { app: u8, call: u8, to: u8 },
    Prepare { app: u8, call: u8, to: u8 },
    AddTo { app: u8, call: u8, with: u8 },
    RemoveFrom { app: u8, call: u8 },
    PeerRefers { call: u8 },
    PeerOnRefer { policy: u8 },
    PeerCalls,
    PeerHangsUp { call: u8 },
    PeerHolds { call: u8, hold: u8 },
    PeerPolicy { policy: u8 },
    SubscriberCalls { modem: u8 },
    SubscriberHangsUp { subscriber: u8 },
    SubscriberPresses { subscriber: u8 },
    Unplug { modem: u8 },
    Plug { modem: u8 },
    Kill,
    Restart,
    Wait { tenths: u8 },
}

/// The world in which operations happen, with what they need to be found again.
struct Stage {
    world: World,
    loopback: ProviderId,
    modems: [crate::exchange::ModemId; 2],
    peer: usize,
    operations: Vec<(usize, OperationId)>,
}

/// A number that fits the line, but for the last pick, which fits none.
fn number(line: u8, to: u8) -> &'static str {
    let fitting = match LINES[usize::from(line) % LINES.len()] {
        "sip:trunk" => 5..6,
        "modem:analogue" | "modem:cellular" => 6..9,
        _ => 0..5,
    };
    let (to, fitting) = (usize::from(to), &NUMBERS[fitting]);
    match NUMBERS.get(to % NUMBERS.len()) {
        Some(last) if *last == NUMBERS[9] => last,
        _ => fitting[to % fitting.len()],
    }
}

/// Runs operations in a fresh world; at the end everybody leaves, and nothing may be left.
///
/// # Panics
/// With what is broken.
pub fn run(setup: Setup, ops: &[Op]) -> Coverage {
    let mut stage = Stage::new(setup);
    for op in ops {
        stage.world.note(format!("== {op:?}"));
        stage.act(*op);
    }
    let coverage = stage.coverage();
    stage.end();
    coverage
}

/// What happened in a run: calls by line and state, as owners were told. Operations that do nothing prove nothing.
pub type Coverage = BTreeMap<(&'static str, &'static str), u32>;

/// The world for a seed: every other one with a bad network and work done by chance, every eighth with a snapshot and a
/// restore after each step.
pub fn setup(seed: u64) -> Setup {
    let bad = seed % 2 == 1;
    Setup {
        seed,
        net: if bad { Conditions::BAD } else { Conditions::LAN },
        order: if bad { super::Order::Chance(Random::from_number(seed ^ 0xabcd)) } else { super::Order::Arrival },
        snapshots: seed.is_multiple_of(8),
        rtp_ports: vec![40_000, 40_002, 40_004],
        ..Setup::default()
    }
}

/// Generates and runs a seed. What breaks is made short and printed.
///
/// # Panics
/// When something breaks, with the operations that break it.
pub fn check(seed: u64, count: usize) -> Coverage {
    let attempt = |ops: &[Op]| catch_unwind(AssertUnwindSafe(|| run(setup(seed), ops)));
    let mut ops = generate(seed, count);
    if let Ok(coverage) = attempt(&ops) {
        return coverage;
    }
    let fails = |ops: &[Op]| attempt(ops).is_err();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let mut length = ops.len() / 2;
    while length > 0 {
        let mut at = 0;
        while at < ops.len() {
            let mut fewer = ops.clone();
            fewer.drain(at..(at + length).min(ops.len()));
            if fails(&fewer) {
                ops = fewer;
            } else {
                at += length;
            }
        }
        length /= 2;
    }
    std::panic::set_hook(hook);
    let lines: Vec<String> = ops.iter().map(|op| format!("    Op::{op:?},")).collect();
    eprintln!("seed {seed} breaks with\n\nrun(setup({seed}), &[\n{}\n]);\n", lines.join("\n"));
    run(setup(seed), &ops);
    panic!("seed {seed} breaks, but not every time");
}

impl Stage {
    fn new(setup: Setup) -> Stage {
        let mut world = World::new(setup);
        let peer_address = SocketAddr::from(([192, 0, 2, 9], 5060));
        let loopback = world.start_loopback("loopback", 2);
        world.start_sip(5060, "sip:trunk", peer_address);
        let trunk = SocketAddr::new(super::SERVER, 5060);
        let peer = world.add_peer(Peer::new(peer_address, trunk, Policy::Answer(Duration::from_secs(1))));
        let two_wire = Box::new(analogue::Analogue::new(analogue::Persona::v253()));
        let (_, first) = world.start_modem("analogue", MODEMS[0], "v253", two_wire);
        let (_, second) = world.start_modem(
            "cellular",
            MODEMS[1],
            "27007",
            Box::new(cellular::Cellular::new(cellular::Persona::generic())),
        );
        for (number, behaviour) in [("4930300", "echo,answer:500ms"), ("4930301", "busy"), ("4930302", "never")] {
            if let Ok(behaviour) = behaviour.parse() {
                world.in_exchange(|_, exchange| exchange.subscribe(number, behaviour));
            }
        }
        world.run_for(Duration::from_secs(10));
        let mut stage = Stage { world, loopback, modems: [first, second], peer, operations: Vec::new() };
        (0..3).for_each(|_| {
            stage.world.connect();
        });
        for app in 0..3u8 {
            stage.act(Op::Open { app });
            stage.act(Op::Snapshot { app });
            stage.world.settle();
            for line in 0..LINES.len() as u8 {
                stage.act(Op::OpenLine { app, line, privilege: if app == 2 { 1 } else { 3 } });
            }
        }
        stage.world.settle();
        stage
    }

    fn call(&self, app: u8, pick: u8) -> CallId {
        // The newest first, and most often one that is not over: that is what most happens to.
        let goes_on = |view: &View| view.state.as_ref().is_none_or(|state| !state.is_over());
        let all = &self.world.app(AppId(app.into())).calls;
        let calls: Vec<CallId> =
            all.iter().rev().filter(|(_, view)| pick == 3 || goes_on(view)).map(|(call, _)| *call).collect();
        calls.get(usize::from(pick) % calls.len().max(1)).copied().unwrap_or(CallId(999_999))
    }

    fn line(&self, pick: u8) -> LineId {
        let name = LINES[usize::from(pick) % LINES.len()];
        self.world.line_named(name).unwrap_or(LineId(999_998))
    }

    fn send(&mut self, app: u8, request: Request) {
        let id = AppId(app.into());
        if self.world.app(id).connection == Connection::Up {
            let with_file = matches!(request, Request::CallPlay(_) | Request::CallRecord(_));
            let file = with_file.then(|| self.world.file(&[1_000; 8_000]));
            self.world.send(id, request, file);
        }
    }

    fn act(&mut self, op: Op) {
        match op {
            Op::Open { app } => {
                let linger_ms = u64::from(app) * 5_000;
                self.back(app, Request::ClientOpen(ClientOpen { app: format!("app{app}"), api: None, linger_ms }));
            }
            Op::Resume { app } => {
                let known = self.world.app(AppId(app.into()));
                let token = known.opened.as_ref().map(|opened| opened.token.clone()).unwrap_or_default();
                let since = known.last();
                self.back(app, Request::ClientResume(ClientResume { token, since }));
            }
            Op::Close { app } => self.send(app, Request::ClientClose(ClientClose {})),
            Op::Die { app } => self.world.disconnect(AppId(app.into())),
            Op::Overrun { app } => self.world.overrun(AppId(app.into())),
            Op::OpenLine { app, line, privilege } => {
                let all = [Privilege::None, Privilege::Monitor, Privilege::Owner, Privilege::Owner];
                let mut privileges = Names::from([all[usize::from(privilege % 4)].clone()]);
                if privilege % 4 == 3 {
                    privileges.insert(Privilege::Monitor);
                }
                let line = LineSelector::Id(self.line(line));
                self.send(app, Request::LineOpen(LineOpen { line, privileges, media_modes: Names::new() }));
            }
            Op::CloseLine { app, line } => {
                let line = LineSelector::Id(self.line(line));
                self.send(app, Request::LineClose(LineClose { line }));
            }
            Op::Make { app, line: line_pick, to } => {
                let line = LineSelector::Id(self.line(line_pick));
                let (to, address) = (number(line_pick, to).into(), AddressId(0));
                let request = CallMake { line, to, address, block_id: false, comment: None, bearer: None };
                self.send(app, Request::CallMake(request));
            }
            Op::List { app } => self.send(app, Request::CallList(CallList { line: None })),
            Op::Snapshot { app } => self.send(app, Request::StateGet(StateGet {})),
            Op::Wait { tenths: 0 } => self.world.settle(),
            Op::Wait { tenths } => self.world.run_for(Duration::from_millis(u64::from(tenths) * 100)),
            other => self.on_call(other),
        }
        self.collect();
    }

    /// Comes back on a new connection if the old one is gone.
    fn back(&mut self, app: u8, request: Request) {
        let id = AppId(app.into());
        if self.world.app(id).connection != Connection::Up {
            self.world.settle();
            self.world.reconnect(id);
        }
        self.send(app, request);
    }

    fn on_call(&mut self, op: Op) {
        let (app, request) = match op {
            Op::Accept { app, call } => {
                (app, Request::CallAccept(CallAccept { call: self.call(app, call), early_media: false }))
            }
            Op::Early { app, call } => {
                (app, Request::CallAccept(CallAccept { call: self.offered(app, call), early_media: true }))
            }
            Op::Answer { app, call } => (app, Request::CallAnswer(CallAnswer { call: self.offered(app, call) })),
            Op::Drop { app, call, reason } => {
                let reasons = [None, Some(DisconnectMode::Busy), Some(DisconnectMode::Reject)];
                let reason = reasons[usize::from(reason % 3)].clone();
                (app, Request::CallDrop(CallDrop { call: self.call(app, call), reason }))
            }
            Op::Deallocate { app, call } => {
                (app, Request::CallDeallocate(CallDeallocate { call: self.call(app, call) }))
            }
            Op::Hold { app, call } => (app, Request::CallHold(CallHold { call: self.call(app, call) })),
            Op::Unhold { app, call } => (app, Request::CallUnhold(CallUnhold { call: self.call(app, call) })),
            Op::Bridge { app, call, with } => {
                let (call, with) = (self.call(app, call), self.call(app, with));
                (app, Request::CallBridge(CallBridge { call, with }))
            }
            Op::Part { app, call } => (app, Request::CallPart(CallPart { call: self.call(app, call) })),
            Op::Privilege { app, call, owner } => {
                let privilege = if owner == 0 { Privilege::Monitor } else { Privilege::Owner };
                (app, Request::CallSetPrivilege(CallSetPrivilege { call: self.call(app, call), privilege }))
            }
            other => return self.media(other),
        };
        self.send(app, request);
    }

    fn media(&mut self, op: Op) {
        let (app, request) = match op {
            Op::Digits { app, call } => {
                let request = CallSendDigits { call: self.call(app, call), digits: "12#".into(), duration_ms: None };
                (app, Request::CallSendDigits(request))
            }
            Op::Tone { app, call } => {
                let (call, hz) = (self.call(app, call), vec![1_000]);
                (
                    app,
                    Request::CallTone(CallTone {
                        call,
                        hz,
                        named: None,
                        country: None,
                        duration_ms: 300,
                        level_dbm0: None,
                    }),
                )
            }
            Op::Play { app, call } => {
                let source = PlaySource::Descriptor;
                (app, Request::CallPlay(CallPlay { call: self.call(app, call), source, repeat: false }))
            }
            Op::Record { app, call } => {
                let sink = RecordSink::Descriptor;
                (app, Request::CallRecord(CallRecord { call: self.call(app, call), sink, max_ms: Some(2_000) }))
            }
            Op::Stop { app, call, operation } => {
                let at = usize::from(operation) % self.operations.len().max(1);
                let operation = self.operations.get(at).map_or(OperationId(999_997), |(_, operation)| *operation);
                (app, Request::CallStop(CallStop { call: self.call(app, call), operation }))
            }
            Op::Monitor { app, call, on } if call % 2 == 0 => {
                let request = CallMonitorDigits { call: self.call(app, call), on: on == 1 };
                (app, Request::CallMonitorDigits(request))
            }
            Op::Monitor { app, call, on } => {
                let hz = if on == 1 { vec![440, 1_000] } else { Vec::new() };
                (app, Request::CallMonitorTones(CallMonitorTones { call: self.call(app, call), hz }))
            }
            other => return self.far(other),
        };
        self.send(app, request);
    }

    fn far(&mut self, op: Op) {
        let peer = self.peer;
        let live = self.world.peer(peer).live();
        let nth = |call: u8| live.get(usize::from(call) % live.len().max(1)).cloned().unwrap_or_default();
        let subscriber = |pick: u8| ["4930300", "4930301", "4930302"][usize::from(pick % 3)];
        match op {
            Op::PeerCalls => {
                self.world.with_peer(peer, |now, peer| peer.invite(now, "office"));
            }
            Op::PeerHangsUp { call } => self.world.with_peer(peer, |now, peer| peer.hang_up(now, &nth(call))),
            Op::PeerHolds { call, hold } => {
                self.world.with_peer(peer, |now, peer| peer.hold(now, &nth(call), hold == 1));
            }
            Op::PeerPolicy { policy } => {
                let policies =
                    [Policy::Answer(Duration::from_millis(300)), Policy::Ring, Policy::Refuse("486 Busy Here".into())];
                self.world.with_peer(peer, |_, peer| peer.policy = policies[usize::from(policy % 3)].clone());
            }
            // Orders that do not fit what the subscriber does are refused, which changes nothing.
            Op::SubscriberCalls { modem } => {
                let to = MODEMS[usize::from(modem % 2)];
                let _refused = self.world.in_exchange(|now, exchange| exchange.call(now, "4930300", to));
            }
            Op::SubscriberHangsUp { subscriber: pick } => {
                let number = subscriber(pick);
                let _refused = self.world.in_exchange(|now, exchange| exchange.hang_up(now, number));
            }
            Op::SubscriberPresses { subscriber: pick } => {
                let number = subscriber(pick);
                let _refused = self.world.in_exchange(|now, exchange| exchange.dtmf(now, number, "5"));
            }
            Op::Unplug { modem } => {
                let modem = self.modems[usize::from(modem % 2)];
                self.world.in_exchange(|now, exchange| exchange.unplug(now, modem));
            }
            Op::Plug { modem } => {
                let modem = self.modems[usize::from(modem % 2)];
                self.world.in_exchange(|now, exchange| exchange.plug(now, modem));
            }
            Op::Kill if self.world.running(self.loopback).is_some() => {
                self.world.kill_provider(self.loopback, "it crashed");
            }
            Op::Restart if self.world.running(self.loopback).is_none() => {
                self.world.settle();
                self.world.restart_loopback(self.loopback, "loopback", 2);
            }
            Op::Kill | Op::Restart => (),
            other => self.control(other),
        }
    }

    /// A call that is offered, if there is one.
    fn offered(&self, app: u8, pick: u8) -> CallId {
        let is_offered = |view: &View| view.state.as_ref().is_some_and(|state| state.name() == "offering");
        let calls = &self.world.app(AppId(app.into())).calls;
        let found = calls.iter().find(|(_, view)| is_offered(view)).map(|(call, _)| *call);
        found.unwrap_or_else(|| self.call(app, pick))
    }

    /// Notes the operations that began.
    fn collect(&mut self) {
        for app in 0..3 {
            let replies = &self.world.app(AppId(app)).replies;
            let began = replies.values().filter_map(|reply| match reply {
                Ok(Reply::Started(started)) => Some((app, started.operation)),
                _ => None,
            });
            let began: Vec<_> = began.filter(|entry| !self.operations.contains(entry)).collect();
            self.operations.extend(began);
        }
    }

    fn coverage(&self) -> Coverage {
        let mut coverage = Coverage::new();
        for told in self.world.app(AppId(0)).events.iter().chain(&self.world.app(AppId(1)).events) {
            let EventBody::CallState { line, state, .. } = &told.event.body else { continue };
            let name = LINES.into_iter().find(|name| self.world.line_named(name) == Some(*line));
            *coverage.entry((name.unwrap_or("a line of the past"), state.name())).or_default() += 1;
        }
        coverage
    }

    /// Everybody leaves.
    fn end(mut self) {
        self.world.note("== the end".into());
        self.world.net().set_conditions(Conditions::LAN);
        self.world.settle();
        for app in 0..3 {
            self.world.disconnect(AppId(app));
        }
        for number in ["4930300", "4930301", "4930302"] {
            let _refused = self.world.in_exchange(|now, exchange| exchange.hang_up(now, number));
        }
        let peer = self.peer;
        for _ in 0..3 {
            for call in self.world.peer(peer).live() {
                self.world.with_peer(peer, |now, peer| peer.hang_up(now, &call));
            }
            self.world.run_for(Duration::from_secs(20));
        }
        self.world.assert_nothing_left();
    }
}
