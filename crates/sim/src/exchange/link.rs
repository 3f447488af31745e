//! The serial link between a host and a modem's port, and what can go wrong on it.

use super::fault::Spoil;
use crate::modem::Kind;
use std::collections::VecDeque;
use std::time::Duration;
use tapi::Time;
use tspi::Random;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the host to the modem.
    ToModem,
    /// From the modem to the host.
    ToHost,
}

/// A chance in a thousand, and how long it lasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delay {
    /// Chance in a thousand, for each piece that is sent.
    pub permille: u32,
    /// How long.
    pub by: Duration,
}

/// What is wrong with one direction of a link. The default is nothing. Chances come from the exchange's seed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Every byte arrives on its own.
    pub split: bool,
    /// Time that each byte of text takes (a slow line; 0: none). What a stream carries goes at its own pace.
    pub pace: Duration,
    /// Bytes are gathered for so long and arrive in one piece (0: not).
    pub coalesce: Duration,
    /// A piece of text is cut at a random place, and the rest stalls.
    pub stall: Delay,
    /// A piece of text, and all after it, is late.
    pub late: Delay,
    /// Chance in a thousand that an unsolicited line is put into a response, between two of its lines. Text only.
    pub unsolicited_permille: u32,
    /// An unsolicited line comes about so often by itself while no stream runs (0: never).
    pub chatter: Duration,
    /// The unsolicited lines, which take turns: one each line, without CR.
    pub unsolicited: String,
    /// Chance in a thousand, for each line of text, of a byte before it that is no text: NUL, or one above 0x7F.
    pub noise_permille: u32,
    /// Chance in a thousand for each byte to be lost.
    pub drop_permille: u32,
    /// What is done to the bytes themselves.
    pub spoil: Spoil,
    /// The modem is unplugged after so many bytes went this way.
    pub unplug_after: Option<u64>,
}

/// Bytes that a link holds at most; more are lost.
const CAPACITY: usize = 65_536;

/// One direction of a link.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) faults: Faults,
    queue: VecDeque<(Time, Vec<u8>)>,
    held: usize,
    last: Time,
    passed: u64,
    /// Nothing arrives before.
    hushed: Time,
    /// What is put in before is lost.
    muted: Time,
    /// The next piece is late by so much.
    lag: Duration,
    /// Bytes lost since the queue was full.
    pub(super) lost: u64,
    carries: Carries,
    /// Unsolicited lines so far, and when the next one comes by itself.
    told: usize,
    chatter: Option<Time>,
}

/// What was put in last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carries {
    Text,
    /// Samples: a line among them would be taken for more of them.
    Stream,
}

impl Link {
    pub(super) fn new() -> Link {
        Link {
            carries: Carries::Text,
            told: 0,
            chatter: None,
            faults: Faults::default(),
            queue: VecDeque::new(),
            held: 0,
            last: Time::ZERO,
            passed: 0,
            hushed: Time::ZERO,
            muted: Time::ZERO,
            lag: Duration::ZERO,
            lost: 0,
        }
    }

    /// Forgets what is under way.
    pub(super) fn clear(&mut self) {
        self.queue.clear();
        self.held = 0;
        self.passed = 0;
        self.faults.unplug_after = None;
        (self.hushed, self.muted) = (Time::ZERO, Time::ZERO);
        (self.carries, self.chatter) = (Carries::Text, None);
        self.lag = Duration::ZERO;
    }

    /// Makes it faulty, or sound again.
    pub(super) fn spoil(&mut self, faults: Faults) {
        (self.faults, self.chatter) = (faults, None);
    }

    /// The next piece is late by so much, and what follows it with it.
    pub(super) fn lag(&mut self, by: Duration) {
        self.lag = by;
    }

    /// Nothing arrives before that time, and then all that waited.
    pub(super) fn hush(&mut self, until: Time) {
        self.hushed = self.hushed.max(until);
    }

    /// What is put in before that time is lost.
    pub(super) fn mute(&mut self, until: Time) {
        self.muted = self.muted.max(until);
    }

    /// Puts bytes in.
    pub(super) fn push(&mut self, now: Time, kind: Kind, bytes: &[u8], random: &mut Random) {
        let mut bytes = bytes.to_vec();
        if self.held + bytes.len() > CAPACITY {
            self.lost += bytes.len() as u64;
            return;
        }
        if now < self.muted {
            return;
        }
        let streams = kind == Kind::Stream || bytes.windows(7).any(|word| word == b"CONNECT");
        self.carries = if streams { Carries::Stream } else { Carries::Text };
        self.faults.spoil.apply(kind, &mut bytes, random);
        if kind == Kind::Text {
            self.interrupt(&mut bytes, random);
            self.noise(&mut bytes, random);
        }
        if self.faults.drop_permille > 0 {
            bytes.retain(|_| random.below(1_000) >= u64::from(self.faults.drop_permille));
        }
        let mut at = (now + std::mem::take(&mut self.lag)).max(self.last).max(self.hushed);
        if kind == Kind::Text && chance(self.faults.late, random) {
            at += self.faults.late.by;
        }
        if kind == Kind::Text && bytes.len() > 1 && chance(self.faults.stall, random) {
            let cut = 1 + random.below(bytes.len() as u64 - 1) as usize;
            let rest = bytes.split_off(cut);
            self.schedule(at, kind, bytes);
            at = at.max(self.last) + self.faults.stall.by;
            bytes = rest;
        }
        self.schedule(at, kind, bytes);
    }

    /// The next unsolicited line.
    fn news(&mut self) -> Option<String> {
        let line = self.faults.unsolicited.lines().cycle().nth(self.told)?;
        self.told = (self.told + 1) % self.faults.unsolicited.lines().count().max(1);
        Some(format!("{line}\r\n"))
    }

    /// Puts an unsolicited line before one of the lines of a response.
    fn interrupt(&mut self, bytes: &mut Vec<u8>, random: &mut Random) {
        if !happens(self.faults.unsolicited_permille, random) {
            return;
        }
        let begins = begins(bytes);
        // What is no line, an echo, is left alone.
        let Some(at) = begins.get(random.below(begins.len().max(1) as u64) as usize).copied() else { return };
        if let Some(line) = self.news() {
            bytes.splice(at..at, line.into_bytes());
        }
    }

    /// Puts bytes that are no text before lines.
    fn noise(&self, bytes: &mut Vec<u8>, random: &mut Random) {
        if self.faults.noise_permille == 0 {
            return;
        }
        for at in begins(bytes).into_iter().rev() {
            if happens(self.faults.noise_permille, random) {
                bytes.insert(at, if random.below(2) == 0 { 0 } else { 0x80 | random.below(0x80) as u8 });
            }
        }
    }

    /// What the modem says by itself, once its time has come.
    pub(super) fn chat(&mut self, now: Time, random: &mut Random) {
        let begins = self.chatter.is_none();
        if self.faults.chatter == Duration::ZERO || self.chatter.is_some_and(|due| now < due) {
            return;
        }
        let about = u64::try_from(self.faults.chatter.as_micros()).unwrap_or(u64::MAX);
        self.chatter = Some(now + Duration::from_micros(about / 2 + random.below(about.max(1))));
        if !begins
            && self.carries == Carries::Text
            && let Some(line) = self.news()
        {
            let at = now.max(self.last).max(self.hushed);
            self.schedule(at, Kind::Text, format!("\r\n{line}").into_bytes());
        }
    }

    fn schedule(&mut self, at: Time, kind: Kind, bytes: Vec<u8>) {
        let mut at = at;
        if self.faults.coalesce > Duration::ZERO {
            match self.queue.back_mut() {
                Some((_, waiting)) => {
                    self.held += bytes.len();
                    waiting.extend(bytes);
                    return;
                }
                None => at += self.faults.coalesce,
            }
        }
        let pace = if kind == Kind::Text { self.faults.pace } else { Duration::ZERO };
        if self.faults.split || pace > Duration::ZERO {
            for byte in bytes {
                at += pace;
                self.append(at, vec![byte]);
            }
        } else {
            self.append(at, bytes);
        }
    }

    fn append(&mut self, at: Time, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.held += bytes.len();
            self.last = at;
            self.queue.push_back((at, bytes));
        }
    }

    /// When the next bytes arrive.
    pub(super) fn due(&self) -> Option<Time> {
        self.queue.front().map(|(at, _)| *at).into_iter().chain(self.chatter).min()
    }

    /// At most `room` bytes that have arrived.
    pub(super) fn pop(&mut self, now: Time, room: usize) -> Option<Vec<u8>> {
        let (at, bytes) = self.queue.front_mut()?;
        if *at > now || room == 0 {
            return None;
        }
        let rest = bytes.split_off(room.min(bytes.len()));
        let taken = std::mem::replace(bytes, rest);
        if bytes.is_empty() {
            self.queue.pop_front();
        }
        self.held -= taken.len();
        self.passed += taken.len() as u64;
        Some(taken)
    }

    /// Whether so many bytes went over it that the modem is pulled out.
    pub(super) fn is_broken(&self) -> bool {
        self.faults.unplug_after.is_some_and(|limit| self.passed >= limit)
    }
}

fn chance(delay: Delay, random: &mut Random) -> bool {
    happens(delay.permille, random)
}

fn happens(permille: u32, random: &mut Random) -> bool {
    permille > 0 && random.below(1_000) < u64::from(permille)
}

/// Where lines of text begin.
fn begins(bytes: &[u8]) -> Vec<usize> {
    let is_end = |byte: u8| byte == b'\r' || byte == b'\n';
    let begins = |at: &usize| *at > 0 && bytes[*at - 1] == b'\n' && !is_end(bytes[*at]);
    (0..bytes.len()).filter(begins).collect()
}
