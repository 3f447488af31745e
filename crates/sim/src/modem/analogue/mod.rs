//! A simulated V.253 voice modem on a two-wire line.
//!
//! It has one serial port. Commands are those of ITU-T V.250 and V.253; see [`Persona`] for what differs between
//! firmwares. It dials with real DTMF (or pulses), hears the exchange's tones with filters of its own, and its transmit
//! and receive buffers have real fill levels: a host that writes too slowly gets `<DLE>u`, one that does not read `<DLE>o`.
//!
//! States: `Command` (taking commands) → `Responding` (a result is on its way) → `Command` or `Streaming`;
//! `Command` → `Dialling`, `Toning`, `Training` (a data handshake that nobody answers) → `Responding`.

mod burst;
mod command;
mod dial;
mod identity;
mod persona;
mod rate;
mod rockwell;
mod settings;
mod stream;
mod watch;

pub use persona::{Cancel, Coding, Dialect, Digits, Framing, IdentityStyle, Listing, Method, Persona, RingReport};

use super::at::{Command, Typed, Typist};
use super::{Access, Act, Device, Effect, Kind, Signal};
use crate::exchange::meter::DtmfDetector;
use crate::exchange::tone::Player;
use burst::Bursts;
use dial::Dial;
use settings::Settings;
use std::collections::VecDeque;
use std::time::Duration;
use stream::{DLE, ETX, Over, Stream, Way};
use tapi::Time;
use tspi::Frame;
use watch::Watch;

/// Characters that a modem ignores after a command line that can be aborted (V.250 6.3.1 asks for 125 ms).
const DEAF: Duration = Duration::from_millis(125);

/// What follows a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Command,
    Stream(Way),
}

/// What the modem is at.
#[derive(Clone, Debug)]
enum Mode {
    Command,
    Responding { due: Time, text: Vec<u8>, then: Then },
    Dialling(Box<Dial>),
    Toning(Player),
    Training { since: Time, until: Time },
    Streaming(Box<Stream>),
}

/// Whether it has seized the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hook {
    On,
    Off,
}

/// Final result codes, with their numbers (V.250 6.3.1, V.253).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Final {
    Ok,
    Connect,
    NoCarrier,
    Error,
    NoDialtone,
    Busy,
    NoAnswer,
    Answered,
    Streamed,
}

/// The modem.
#[derive(Clone, Debug)]
pub struct Analogue {
    persona: Persona,
    settings: Settings,
    typist: Typist,
    /// Typed while it was busy.
    typed: VecDeque<u8>,
    mode: Mode,
    hook: Hook,
    rest: VecDeque<Command>,
    info: Vec<u8>,
    watch: Watch,
    rings: u32,
    /// Tones of a caller's identity, and what they told so far.
    on_hook: DtmfDetector,
    told: String,
    bursts: Bursts,
    last_dialled: String,
    reads: bool,
    active: Time,
    out: VecDeque<Effect>,
}

/// Bytes that wait while it is busy.
const TYPED: usize = 4_096;

impl Analogue {
    /// A modem that was just switched on.
    pub fn new(persona: Persona) -> Analogue {
        Analogue {
            settings: Settings::new(&persona),
            persona,
            typist: Typist::default(),
            typed: VecDeque::new(),
            mode: Mode::Command,
            hook: Hook::On,
            rest: VecDeque::new(),
            info: Vec::new(),
            watch: Watch::new(),
            rings: 0,
            on_hook: DtmfDetector::default(),
            told: String::new(),
            bursts: Bursts::default(),
            last_dialled: String::new(),
            reads: true,
            active: Time::ZERO,
            out: VecDeque::new(),
        }
    }

    fn send(&mut self, kind: Kind, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.out.push_back(Effect::Bytes { port: 0, kind, bytes });
        }
    }

    /// A line that nobody asked for.
    fn unsolicited(&mut self, text: &str, number: &str) {
        let lead = self.persona.lead;
        let line = if self.settings.verbose == 0 { format!("{number}\r") } else { format!("{lead}{text}\r\n") };
        if self.settings.quiet == 0 {
            self.send(Kind::Text, line.into_bytes());
        }
    }

    /// An event code, when it is not masked.
    fn event(&mut self, code: u8) {
        if self.settings.class != 8 || !self.settings.reports(code) || self.persona.never.contains(&code) {
            return;
        }
        match &mut self.mode {
            Mode::Streaming(stream) => stream.tell(code),
            Mode::Dialling(_) | Mode::Training { .. } => {}
            Mode::Responding { text, .. } => text.extend([DLE, code]),
            Mode::Command | Mode::Toning(_) => self.send(Kind::Stream, vec![DLE, code]),
        }
    }

    fn seize(&mut self) {
        if self.hook == Hook::On {
            self.hook = Hook::Off;
            self.watch = Watch::new();
            self.out.push_back(Effect::Act(Act::OffHook));
        }
        self.settings.label = self.persona.line_label;
    }

    fn hang_up(&mut self) {
        if self.hook == Hook::Off {
            self.hook = Hook::On;
            self.out.push_back(Effect::Act(Act::OnHook));
        }
        self.settings.label = 0;
        self.rings = 0;
    }

    /// Ends a command line with a result.
    fn finish(&mut self, now: Time, result: Final) {
        self.finish_then(now, result, Then::Command);
    }

    fn finish_then(&mut self, now: Time, result: Final, then: Then) {
        self.rest.clear();
        let mut text = std::mem::take(&mut self.info);
        let told = !text.is_empty();
        let (words, number) = self.words(result);
        if self.settings.quiet == 0 {
            let glued = told && self.persona.framing == Framing::Glued;
            text.extend(match (self.settings.verbose, glued) {
                (0, _) => format!("{number}\r").into_bytes(),
                (_, true) => format!("{words}\r\n").into_bytes(),
                (_, false) => format!("{}{words}\r\n", self.persona.lead).into_bytes(),
            });
        }
        let due = now + Duration::from_millis(self.persona.latency_ms);
        self.mode = Mode::Responding { due, text, then };
    }

    fn words(&self, result: Final) -> (&'static str, u8) {
        match result {
            Final::Ok => ("OK", 0),
            Final::Connect => ("CONNECT", 1),
            Final::NoCarrier => ("NO CARRIER", 3),
            Final::Error => ("ERROR", 4),
            Final::NoDialtone => ("NO DIALTONE", 6),
            Final::Busy => ("BUSY", 7),
            Final::NoAnswer => ("NO ANSWER", 8),
            Final::Answered => (self.persona.answer_result, 0),
            Final::Streamed => (self.persona.stream_result, 0),
        }
    }

    /// A byte of the host in command state.
    fn command_byte(&mut self, now: Time, byte: u8) {
        if self.settings.echo == 1 {
            self.send(Kind::Text, vec![byte]);
        }
        match self.typist.take(byte, self.settings.register(3), self.settings.register(5)) {
            Typed::More => {}
            Typed::TooLong => self.finish(now, Final::Error),
            Typed::Line(line) => self.execute(now, &line),
        }
    }

    /// Feeds what was typed ahead, as far as the state takes it.
    fn feed(&mut self, now: Time) {
        while let Some(byte) = self.typed.front().copied() {
            match &mut self.mode {
                Mode::Command => self.command_byte(now, byte),
                Mode::Streaming(stream) if stream.room() > 0 => stream.take(byte),
                Mode::Streaming(stream) if stream.over().is_none() => break,
                Mode::Streaming(_) | Mode::Responding { .. } | Mode::Toning(_) => break,
                Mode::Dialling(_) | Mode::Training { .. } => self.abort(now),
            }
            self.typed.pop_front();
        }
        self.merge_echo();
    }

    /// Echoed characters of one piece leave in one piece.
    fn merge_echo(&mut self) {
        let mut merged: VecDeque<Effect> = VecDeque::new();
        for effect in self.out.drain(..) {
            match (merged.back_mut(), effect) {
                (
                    Some(Effect::Bytes { kind: Kind::Text, bytes: before, .. }),
                    Effect::Bytes { kind: Kind::Text, bytes, .. },
                ) => before.extend(bytes),
                (_, effect) => merged.push_back(effect),
            }
        }
        self.out = merged;
    }

    /// Any character ends a dial or a handshake (V.250 5.6.1).
    fn abort(&mut self, now: Time) {
        let since = match &self.mode {
            Mode::Dialling(dial) => dial.since(),
            Mode::Training { since, .. } => *since,
            _ => return,
        };
        if now.since(since) >= DEAF {
            self.hang_up();
            self.finish(now, Final::NoCarrier);
        }
    }

    fn start(&mut self, then: Then) {
        self.mode = match then {
            Then::Command => Mode::Command,
            Then::Stream(way) => {
                self.watch.begin();
                let bare = self.persona.dialect == Dialect::Rockwell;
                let Persona { buffer, cancel, .. } = self.persona;
                Mode::Streaming(Box::new(Stream::new(way, self.settings.method, buffer, bare, cancel)))
            }
        };
    }

    /// A ring: told, and answered when S0 says so.
    fn ring(&mut self, now: Time) {
        if self.hook == Hook::Off {
            return;
        }
        self.rings += 1;
        match (self.settings.class, self.persona.ring) {
            (8, RingReport::Code) => self.event(b'R'),
            _ if matches!(self.mode, Mode::Command) => self.unsolicited("RING", "2"),
            _ => {}
        }
        let answer_after = u32::from(self.settings.register(0));
        if answer_after > 0 && self.rings >= answer_after && matches!(self.mode, Mode::Command) {
            self.answer(now);
        }
    }

    fn stream_over(&mut self, now: Time, over: Over) {
        if over == Over::Ended {
            self.send(Kind::Stream, vec![DLE, ETX]);
        }
        self.finish(now, Final::Streamed);
    }

    /// Sends what the streams have for the host, no faster than the port goes.
    fn pump(&mut self, now: Time) {
        let budget = if self.reads { self.persona.host_rate as usize / 50 } else { 0 };
        let Mode::Streaming(stream) = &mut self.mode else { return };
        let bytes = stream.read(budget);
        let over = stream.over();
        self.send(Kind::Stream, bytes);
        if let Some(over) = over {
            self.stream_over(now, over);
        }
    }

    fn idle_until(&self) -> Option<Time> {
        let seconds = self.settings.inactivity;
        let waits = matches!(self.mode, Mode::Command) && self.settings.class == 8 && seconds > 0;
        waits.then(|| self.active + Duration::from_secs(u64::from(seconds)))
    }
}

impl Device for Analogue {
    fn access(&self) -> Access {
        Access::TwoWire
    }

    fn ports(&self) -> u32 {
        1
    }

    fn bytes(&mut self, now: Time, _port: u32, bytes: &[u8]) {
        self.active = now;
        self.typed.extend(bytes);
        self.typed.truncate(TYPED);
        self.feed(now);
        self.pump_if_over(now);
    }

    fn room(&self, _port: u32) -> usize {
        match &self.mode {
            Mode::Streaming(stream) => stream.room().saturating_sub(self.typed.len()),
            _ => TYPED.saturating_sub(self.typed.len()),
        }
    }

    fn host_reads(&mut self, _port: u32, reads: bool) {
        self.reads = reads;
    }

    fn signal(&mut self, now: Time, signal: Signal) {
        match signal {
            Signal::RingBegins if self.burst_begins(now) => {}
            Signal::RingBegins => self.ring(now),
            Signal::RingEnds => self.burst_ends(now),
            Signal::CallerId { message, date, identity } => self.caller(message, date, &identity),
            Signal::LoopBreak if matches!(self.mode, Mode::Dialling(_) | Mode::Training { .. }) => {
                self.hang_up();
                self.finish(now, Final::NoCarrier);
            }
            Signal::LoopBreak => self.event(b'l'),
            Signal::Knock => self.event(b'w'),
            Signal::WaitingId { date, identity } => self.waiting(date, &identity),
            _ => {}
        }
    }

    fn frame(&mut self, now: Time, heard: &Frame) -> Frame {
        let silence = match &self.mode {
            Mode::Streaming(stream) if stream.receives() => self.settings.silence_frames(),
            _ => 0,
        };
        if self.hook == Hook::On && self.persona.tone_identity {
            self.tone_caller(heard);
        }
        let codes = self.watch.hear(heard, self.persona.digits, silence, self.settings.quiet());
        let mut said = Frame::SILENCE;
        match &mut self.mode {
            Mode::Streaming(stream) => {
                stream.hear(heard);
                said = stream.say();
            }
            Mode::Toning(player) => match player.frame() {
                Some(frame) => said = frame,
                None => self.run(now),
            },
            Mode::Dialling(_) => said = self.dial_frame(now),
            _ => {}
        }
        if self.hook == Hook::Off {
            codes.into_iter().for_each(|code| self.event(code));
        }
        self.pump(now);
        self.feed(now);
        said
    }

    fn timeout(&mut self, now: Time) {
        self.burst_due(now);
        let idle = self.idle_until().is_some_and(|due| due <= now);
        match &mut self.mode {
            Mode::Responding { due, text, then } if *due <= now => {
                let (text, then) = (std::mem::take(text), *then);
                self.send(Kind::Text, text);
                self.start(then);
                self.active = now;
            }
            Mode::Training { until, .. } if *until <= now => {
                self.hang_up();
                self.finish(now, Final::NoCarrier);
            }
            Mode::Command if idle => {
                self.hang_up();
                self.settings.class = 0;
            }
            _ => {}
        }
        self.feed(now);
        self.pump_if_over(now);
    }

    fn reset(&mut self) {
        *self = Analogue::new(self.persona.clone());
    }

    fn poll_output(&mut self) -> Option<Effect> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Time> {
        let mode = match &self.mode {
            Mode::Responding { due, .. } => Some(*due),
            Mode::Training { until, .. } => Some(*until),
            Mode::Command => self.idle_until(),
            _ => None,
        };
        [mode, self.bursts.due].into_iter().flatten().min()
    }
}

impl Analogue {
    /// An ended stream gives its result at once, not at the next frame.
    fn pump_if_over(&mut self, now: Time) {
        if matches!(&self.mode, Mode::Streaming(stream) if stream.room() == 0 && stream.over().is_some()) {
            self.pump(now);
        }
    }
}
