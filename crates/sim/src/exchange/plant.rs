//! The exchange as a whole: its modems, its lines, its clock.

use super::call::{Call, State};
use super::deed::Snares;
use super::link::{Direction, Faults, Link};
use super::meter::DtmfDetector;
use super::recall::Recalled;
use super::robot::{Behaviour, Robot};
use super::tone::{Cadence, Player};
use super::{BoxedDevice, Config, Event, ModemId, OrderError, Output};
use crate::modem::{Access, CallRef, Effect, Kind, Signal};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tapi::Time;
use tspi::Random;

/// How long a modem that starts anew is gone from its bus.
const AWAY: Duration = Duration::from_secs(4);

/// Whether a modem has power and a cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plug {
    In,
    Out,
}

/// An attached modem.
pub(super) struct Modem {
    name: String,
    pub(super) device: BoxedDevice,
    plug: Plug,
    /// It is pulled or plugged then by itself.
    pub(super) power: Option<(Time, Plug)>,
    pub(super) line: usize,
    /// What waits to happen to it.
    pub(super) snares: Snares,
    pub(super) to_modem: Vec<Link>,
    pub(super) to_host: Vec<Link>,
}

/// Whose a line is.
pub(super) enum Owner {
    /// A modem's on two wires.
    TwoWire { modem: usize, wires: Loop },
    /// A cellular modem's.
    Cellular { modem: usize, waiting: Waiting },
    /// A subscriber that is no modem.
    Robot { robot: Box<Robot>, due: Option<Time> },
}

/// Whether a second call is offered to a cellular modem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    Off,
    On,
}

/// The states of a two-wire line.
pub(super) enum Loop {
    /// On hook.
    OnHook,
    /// On hook and ringing; the next step of the cadence is due then.
    Ringing { call: u32, due: Time, step: RingStep },
    /// Off hook; digits are taken. Dial tone until the first one.
    Dialling { tone: Option<Cadence>, digits: String, detector: DtmfDetector, due: Option<Time>, withheld: bool },
    /// In a call, or waiting for one.
    InCall(u32),
    /// A tone until it is on hook.
    Tone(Cadence),
    /// The far end hung up: the loop is broken then, or mended.
    Clearing { due: Time, step: ClearStep },
}

/// Steps of the ringing cadence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RingStep {
    /// The identity was sent, and the first burst comes.
    Before,
    /// The first burst goes on.
    First,
    /// The identity is sent at the end of this.
    Identity,
    /// A pause, of this number in the cadence: a burst follows.
    Pause(usize),
    /// A burst, of this number.
    Burst(usize),
}

/// Steps of clearing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClearStep {
    /// The break comes.
    Before,
    /// The loop is broken.
    Broken,
}

/// A subscriber's line.
pub(super) struct Line {
    pub(super) number: String,
    pub(super) owner: Owner,
    /// A call on two wires that was put aside by a flash.
    pub(super) aside: Option<u32>,
    /// Whether the one aside is joined with the one the line is in.
    pub(super) joined: bool,
    /// A register recall waits for its digit.
    pub(super) recalled: Recalled,
    /// A call that knocks at two wires in use, and what its subscriber hears of it.
    pub(super) knocking: Option<u32>,
    pub(super) beep: Player,
    /// Whether a second call may come in on two wires.
    pub(super) waits: bool,
    /// Where calls are sent, by reason: to which number, after how many seconds.
    pub(super) forwards: BTreeMap<u8, (String, u32)>,
    /// How much longer a call takes since the modem changes over to another network for it.
    pub(super) fallback: Duration,
    /// Microseconds of a frame by its own clock.
    pub(super) period: u64,
    pub(super) next_frame: Option<Time>,
}

/// A public exchange with everything that is attached to it.
pub struct Exchange {
    pub(super) config: Config,
    pub(super) random: Random,
    pub(super) modems: Vec<Modem>,
    pub(super) lines: Vec<Line>,
    pub(super) calls: BTreeMap<u32, Call>,
    pub(super) next_call: u32,
    out: VecDeque<Output>,
}

impl Exchange {
    /// An exchange without subscribers.
    pub fn new(config: Config) -> Exchange {
        let random = Random::from_number(config.seed);
        let (modems, lines, calls, out) = (Vec::new(), Vec::new(), BTreeMap::new(), VecDeque::new());
        Exchange { config, random, modems, lines, calls, next_call: 1, out }
    }

    /// Attaches a modem, with power on, at a line of its own with this number.
    pub fn attach(&mut self, name: &str, number: &str, device: BoxedDevice) -> ModemId {
        let modem = self.modems.len();
        let owner = match device.access() {
            Access::TwoWire => Owner::TwoWire { modem, wires: Loop::OnHook },
            Access::Cellular => Owner::Cellular { modem, waiting: Waiting::Off },
        };
        let line = self.add_line(number, owner);
        let links = || (0..device.ports()).map(|_| Link::new()).collect();
        let (to_modem, to_host) = (links(), links());
        let power = None;
        let snares = Snares::default();
        let name = name.to_string();
        self.modems.push(Modem { name, device, plug: Plug::In, power, line, snares, to_modem, to_host });
        ModemId(modem as u32)
    }

    /// Adds a subscriber that is no modem. The same number again replaces what it does from its next call on.
    pub fn subscribe(&mut self, number: &str, behaviour: Behaviour) {
        match self.lines.iter_mut().find(|line| line.number == number).map(|line| &mut line.owner) {
            Some(Owner::Robot { robot, .. }) => robot.behaviour = behaviour,
            Some(_) => {}
            None => {
                let owner = Owner::Robot { robot: Box::new(Robot::new(behaviour)), due: None };
                self.add_line(number, owner);
            }
        }
    }

    fn add_line(&mut self, number: &str, owner: Owner) -> usize {
        self.lines.push(Line {
            number: number.to_string(),
            owner,
            aside: None,
            joined: false,
            recalled: Recalled::No,
            knocking: None,
            beep: Player::default(),
            waits: false,
            forwards: BTreeMap::new(),
            fallback: Duration::ZERO,
            period: 20_000,
            next_frame: None,
        });
        self.lines.len() - 1
    }

    /// Lets a line's audio clock run fast (positive) or slow, in parts per million.
    pub fn skew(&mut self, number: &str, ppm: i32) -> Result<(), OrderError> {
        let line = self.line_of(number)?;
        let period = 20_000 - i64::from(ppm.clamp(-100_000, 100_000)) * 20_000 / 1_000_000;
        self.lines[line].period = u64::try_from(period).unwrap_or(20_000);
        Ok(())
    }

    /// Makes one direction of a port's link faulty, or sound again.
    pub fn faults(&mut self, modem: ModemId, port: u32, direction: Direction, faults: Faults) {
        let Some(modem) = self.modems.get_mut(modem.0 as usize) else { return };
        let links = match direction {
            Direction::ToModem => &mut modem.to_modem,
            Direction::ToHost => &mut modem.to_host,
        };
        if let Some(link) = links.get_mut(port as usize) {
            link.spoil(faults);
        }
    }

    /// The modem of that name.
    pub fn modem(&self, name: &str) -> Option<ModemId> {
        self.modems.iter().position(|modem| modem.name == name).map(|at| ModemId(at as u32))
    }

    /// The name of a modem.
    pub fn name(&self, modem: ModemId) -> Option<&str> {
        self.modems.get(modem.0 as usize).map(|modem| modem.name.as_str())
    }

    /// How many calls there are, in whatever state.
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    /// Whether every line is on hook and every call is over.
    pub fn is_quiet(&self) -> bool {
        let on_hook =
            |line: &Line| !matches!(&line.owner, Owner::TwoWire { wires, .. } if !matches!(wires, Loop::OnHook));
        self.calls.is_empty() && self.lines.iter().all(on_hook)
    }

    /// The host wrote bytes to a port.
    pub fn bytes(&mut self, now: Time, modem: ModemId, port: u32, bytes: &[u8]) {
        self.timeout(now);
        let Some(at) = self.modems.get_mut(modem.0 as usize) else { return };
        if at.plug == Plug::In
            && let Some(link) = at.to_modem.get_mut(port as usize)
        {
            link.push(now, Kind::Stream, bytes, &mut self.random);
            if port == 0 {
                self.echo(now, modem.0 as usize, bytes);
                self.watch(now, modem.0 as usize, bytes);
            }
            self.feed(now, modem.0 as usize);
            self.settle(now);
        }
    }

    /// How many bytes a port takes now without holding them back (flow control).
    pub fn room(&self, modem: ModemId, port: u32) -> usize {
        let Some(modem) = self.modems.get(modem.0 as usize) else { return 0 };
        let waiting = modem.to_modem.get(port as usize).is_some_and(|link| link.due().is_some());
        if waiting { 0 } else { modem.device.room(port) }
    }

    /// Whether the host takes bytes from a port: one that does not lets the modem's receive buffer overrun.
    pub fn host_reads(&mut self, modem: ModemId, port: u32, reads: bool) {
        if let Some(modem) = self.modems.get_mut(modem.0 as usize) {
            modem.device.host_reads(port, reads);
        }
    }

    /// Pulls a modem out: its ports are gone, its line is on hook, its calls are over.
    pub fn unplug(&mut self, now: Time, modem: ModemId) {
        self.timeout(now);
        self.pull(now, modem.0 as usize);
        self.settle(now);
    }

    /// Plugs a modem in: it starts afresh.
    pub fn plug(&mut self, now: Time, modem: ModemId) {
        self.timeout(now);
        self.insert(now, modem);
        self.settle(now);
    }

    fn insert(&mut self, now: Time, modem: ModemId) {
        let Some(at) = self.modems.get_mut(modem.0 as usize).filter(|at| at.plug == Plug::Out) else { return };
        at.plug = Plug::In;
        let name = at.name.clone();
        self.out.push_back(Output::Plugged(modem));
        self.tell(now, Event::Plugged { modem: name });
        self.modems[modem.0 as usize].device.powered(now);
        self.drain(now, modem.0 as usize);
    }

    /// What happens to modems by itself: pulled, or plugged in.
    fn power(&mut self, now: Time) {
        for modem in 0..self.modems.len() {
            match self.modems[modem].power {
                Some((due, Plug::Out)) if due <= now => {
                    self.pull(now, modem);
                    self.modems[modem].power = Some((now + AWAY, Plug::In));
                }
                Some((due, Plug::In)) if due <= now => {
                    self.modems[modem].power = None;
                    self.insert(now, ModemId(modem as u32));
                }
                _ => {}
            }
        }
    }

    fn pull(&mut self, now: Time, modem: usize) {
        let Some(at) = self.modems.get_mut(modem).filter(|at| at.plug == Plug::In) else { return };
        at.plug = Plug::Out;
        at.device.reset();
        at.to_modem.iter_mut().chain(&mut at.to_host).for_each(Link::clear);
        let (line, name) = (at.line, at.name.clone());
        self.abandon(now, line);
        self.out.push_back(Output::Unplugged(ModemId(modem as u32)));
        self.tell(now, Event::Unplugged { modem: name });
    }

    /// The deadline passed, or time went on: all that was due until now happens, each at its own time.
    pub fn timeout(&mut self, now: Time) {
        while let Some(due) = self.poll_timeout().filter(|due| *due <= now) {
            self.step(due);
            self.settle(due);
        }
    }

    fn step(&mut self, now: Time) {
        self.deeds(now);
        self.power(now);
        for modem in 0..self.modems.len() {
            if self.modems[modem].plug == Plug::Out {
                continue;
            }
            self.deliver(now, modem);
            self.feed(now, modem);
            if self.modems[modem].device.poll_timeout().is_some_and(|due| due <= now) {
                self.modems[modem].device.timeout(now);
                self.drain(now, modem);
            }
        }
        self.switch(now);
        for line in 0..self.lines.len() {
            if let Some(due) = self.lines[line].next_frame.filter(|due| *due <= now) {
                self.lines[line].next_frame = Some(Time(due.0 + self.lines[line].period));
                self.audio(now, line);
            }
        }
    }

    /// When [`Exchange::timeout`] is wanted at the latest.
    pub fn poll_timeout(&self) -> Option<Time> {
        let modems = self.modems.iter().filter(|modem| modem.plug == Plug::In).flat_map(|modem| {
            let to_host = modem.to_host.iter().filter_map(Link::due);
            let ports = modem.to_modem.iter().zip(0..);
            let to_modem = ports.filter(|(_, port)| modem.device.room(*port) > 0).filter_map(|(link, _)| link.due());
            to_host.chain(to_modem).chain(modem.device.poll_timeout())
        });
        let lines = self.lines.iter().flat_map(|line| line.next_frame.into_iter().chain(line.owner.due()));
        let calls = self.calls.values().filter_map(|call| match call.state {
            State::Routing { due, .. } | State::Alerting { due } => Some(due),
            State::Talking => None,
        });
        let power = self.modems.iter().filter_map(|modem| modem.power.map(|(due, _)| due));
        let deeds = self.modems.iter().filter_map(|modem| modem.snares.due());
        modems.chain(lines).chain(calls).chain(power).chain(deeds).min()
    }

    /// The next output, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    pub(super) fn tell(&mut self, at: Time, event: Event) {
        self.out.push_back(Output::Event { at, event });
    }

    /// Gives a modem what has arrived for it.
    pub(super) fn feed(&mut self, now: Time, modem: usize) {
        for port in 0..self.modems[modem].to_modem.len() {
            loop {
                let at = &mut self.modems[modem];
                let room = at.device.room(port as u32);
                let Some(bytes) = at.to_modem[port].pop(now, room) else { break };
                let broken = at.to_modem[port].is_broken();
                at.device.bytes(now, port as u32, &bytes);
                self.drain(now, modem);
                if broken {
                    return self.pull(now, modem);
                }
            }
        }
    }

    /// Gives the host what has arrived for it.
    fn deliver(&mut self, now: Time, modem: usize) {
        for port in 0..self.modems[modem].to_host.len() {
            self.modems[modem].to_host[port].chat(now, &mut self.random);
            while let Some(mut bytes) = self.modems[modem].to_host[port].pop(now, usize::MAX) {
                let cut = self.modems[modem].snares.cut(port, &mut bytes);
                let broken = cut || self.modems[modem].to_host[port].is_broken();
                self.out.push_back(Output::Bytes { modem: ModemId(modem as u32), port: port as u32, bytes });
                if cut {
                    self.modems[modem].power = Some((now, Plug::Out));
                }
                if broken {
                    return self.pull(now, modem);
                }
            }
        }
    }

    /// Takes what a modem puts out.
    pub(super) fn drain(&mut self, now: Time, modem: usize) {
        while let Some(effect) = self.modems[modem].device.poll_output() {
            let line = self.modems[modem].line;
            match effect {
                Effect::Bytes { port, kind, mut bytes } if self.modems[modem].plug == Plug::In => {
                    if kind == Kind::Stream {
                        self.spoil_audio(now, modem, port as usize, &mut bytes);
                    }
                    if let Some(link) = self.modems[modem].to_host.get_mut(port as usize) {
                        link.push(now, kind, &bytes, &mut self.random);
                    }
                }
                Effect::Bytes { .. } => {}
                Effect::Act(act) => self.act(now, line, act),
            }
        }
        self.deliver(now, modem);
    }

    pub(super) fn signal(&mut self, now: Time, line: usize, signal: Signal) {
        let modem = match &self.lines[line].owner {
            Owner::TwoWire { modem, .. } | Owner::Cellular { modem, .. } => *modem,
            Owner::Robot { .. } => return,
        };
        if self.modems[modem].plug == Plug::In {
            self.modems[modem].device.signal(now, signal);
            self.drain(now, modem);
        }
    }

    pub(super) fn is_plugged(&self, modem: usize) -> bool {
        self.modems[modem].plug == Plug::In
    }

    pub(super) fn line_of(&self, number: &str) -> Result<usize, OrderError> {
        let at = self.lines.iter().position(|line| line.number == number);
        at.ok_or_else(|| OrderError::Unknown(number.to_string()))
    }

    pub(super) fn call_of(&self, line: usize) -> Option<u32> {
        self.calls.iter().find(|(_, call)| call.has(line)).map(|(id, _)| *id)
    }

    /// The call that a device knows by this name.
    pub(super) fn call_named(&mut self, line: usize, name: CallRef) -> Option<u32> {
        let named = |call: &mut Call| call.party(line).is_some_and(|party| party.call == name);
        self.calls.iter_mut().find_map(|(id, call)| named(call).then_some(*id))
    }

    /// Starts and stops the lines' audio clocks.
    pub(super) fn settle(&mut self, now: Time) {
        for line in 0..self.lines.len() {
            let busy = self.has_audio(line);
            let at = &mut self.lines[line];
            match (busy, at.next_frame) {
                (true, None) => at.next_frame = Some(Time((now.0 / 20_000 + 1) * 20_000)),
                (false, Some(_)) => at.next_frame = None,
                _ => {}
            }
        }
    }

    fn has_audio(&self, line: usize) -> bool {
        let sounds = |call: &Call| call.has(line) && call.sounds(line);
        match &self.lines[line].owner {
            Owner::TwoWire { wires: Loop::OnHook | Loop::Ringing { .. }, .. } => !self.lines[line].beep.is_empty(),
            Owner::TwoWire { .. } => true,
            Owner::Cellular { .. } => self.calls.values().any(sounds),
            Owner::Robot { .. } => self.calls.values().any(|call| sounds(call) && call.state == State::Talking),
        }
    }
}

impl Owner {
    fn due(&self) -> Option<Time> {
        match self {
            Owner::TwoWire { wires: Loop::Ringing { due, .. } | Loop::Clearing { due, .. }, .. } => Some(*due),
            Owner::TwoWire { wires: Loop::Dialling { due, .. }, .. } => *due,
            Owner::Robot { due, .. } => *due,
            _ => None,
        }
    }
}
