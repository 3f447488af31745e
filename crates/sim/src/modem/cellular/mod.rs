//! A simulated GSM modem with voice (3GPP TS 27.007).
//!
//! Two serial ports: [`crate::modem::AT_PORT`] takes commands and gives results and unsolicited lines;
//! [`crate::modem::AUDIO_PORT`] carries signed 16-bit little-endian audio at 8 kHz, 320 bytes each 20 ms both ways while
//! a call has audio. The modem's clock paces it: what the host does not write in time is silence. Audio that the host
//! writes while there is no call is dropped.

mod calls;
mod command;
mod message;
mod pdu;
mod persona;
mod service;

pub use pdu::Part;
pub use persona::{Audio, Codes, EarlyRelease, Gate, Lasts, Moment, News, Order, Persona, When};

use super::at::{Typed, Typist};
use super::{AUDIO_PORT, Access, Device, Effect, Kind, Signal};
use crate::exchange::meter::{DtmfDetector, Key};
use calls::Calls;
use message::Messages;
use service::{Session, Sim};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tapi::Time;
use tspi::Frame;

/// What the host has set.
#[derive(Clone, Debug)]
struct Settings {
    echo: u32,
    verbose: u32,
    quiet: u32,
    errors: u32,
    registration: u32,
    line_identity: u32,
    ring_kind: u32,
    connected_identity: u32,
    waiting_told: u32,
    services_told: u32,
    hang_up_by_ath: u32,
    digit_tenths: u32,
    /// S-registers that were written.
    registers: BTreeMap<u8, u8>,
    /// Parameters that are kept and read back and have no effect.
    kept: BTreeMap<&'static str, String>,
}

impl Settings {
    fn new(persona: &Persona) -> Settings {
        Settings {
            echo: 1,
            verbose: 1,
            quiet: 0,
            errors: 0,
            registration: 0,
            line_identity: 0,
            ring_kind: 0,
            connected_identity: 0,
            waiting_told: 0,
            services_told: 0,
            hang_up_by_ath: 0,
            digit_tenths: 1,
            registers: BTreeMap::new(),
            kept: command::KEPT
                .iter()
                .map(|(name, value, _)| (*name, (*value).to_string()))
                .chain(persona.keeps.iter().map(|(name, value)| (*name, (*value).to_string())))
                .collect(),
        }
    }
}

/// The modem.
#[derive(Clone, Debug)]
pub struct Cellular {
    persona: Persona,
    settings: Settings,
    typist: Typist,
    info: String,
    calls: Calls,
    messages: Messages,
    sim: Sim,
    /// When it was first spoken to.
    awake: Option<Time>,
    /// It answers nothing any more.
    wedged: bool,
    /// Frames of audio since it was ordered.
    frames: u32,
    registration: u8,
    level: u8,
    /// Whether audio was ordered, and how often an order will be refused.
    voice: bool,
    refusals: u32,
    session: Option<Session>,
    /// Whether the network waits for an answer to what it said to a code.
    asks: bool,
    /// Forwarding by reason: whether it is active, to which number, after how many seconds.
    forwards: BTreeMap<u8, (bool, String, u32)>,
    detector: DtmfDetector,
    /// When the next ring is told.
    ring: Option<Time>,
    /// Text on its way.
    text: VecDeque<(Time, Vec<u8>)>,
    /// Audio that the host wrote.
    audio: VecDeque<u8>,
    reads_audio: bool,
    out: VecDeque<Effect>,
}

/// Audio that is taken ahead: 200 ms.
const AUDIO: usize = 3_200;

impl Cellular {
    /// A modem that was just switched on.
    pub fn new(persona: Persona) -> Cellular {
        Cellular {
            settings: Settings::new(&persona),
            typist: Typist::default(),
            info: String::new(),
            calls: Calls::default(),
            messages: Messages::default(),
            sim: Sim::new(persona.sim),
            awake: None,
            wedged: false,
            frames: 0,
            registration: persona.registration,
            level: persona.signal,
            voice: false,
            refusals: 0,
            session: None,
            asks: false,
            forwards: BTreeMap::new(),
            detector: DtmfDetector::default(),
            ring: None,
            text: VecDeque::new(),
            audio: VecDeque::new(),
            reads_audio: true,
            out: VecDeque::new(),
            persona,
        }
    }

    fn write(&mut self, at: Time, text: &[u8]) {
        let at = self.text.back().map_or(at, |(last, _)| at.max(*last));
        if !text.is_empty() {
            self.text.push_back((at, text.to_vec()));
        }
    }

    /// A line that nobody asked for.
    fn unsolicited(&mut self, now: Time, text: &str) {
        if self.settings.quiet == 0 {
            self.write(now, format!("\r\n{text}\r\n").as_bytes());
        }
    }

    fn ring(&mut self, now: Time) {
        let Some(leg) = self.calls.incoming() else {
            self.ring = None;
            return;
        };
        let (number, kind, validity) = leg.identity();
        let clip = format!("+CLIP: \"{number}\",{kind},,,,{validity}");
        self.ring = Some(now + self.persona.ring_every);
        self.unsolicited(now, if self.settings.ring_kind == 1 { "+CRING: VOICE" } else { "RING" });
        if self.settings.line_identity == 1 {
            self.unsolicited(now, &clip);
        }
        self.beside_the_ring(now);
    }

    fn has_call(&self) -> bool {
        self.calls.has_audio()
    }
}

impl Device for Cellular {
    fn access(&self) -> Access {
        Access::Cellular
    }

    fn ports(&self) -> u32 {
        if self.persona.audio == Audio::None { 1 } else { 2 }
    }

    fn bytes(&mut self, now: Time, port: u32, bytes: &[u8]) {
        if port == AUDIO_PORT {
            if self.carries() {
                let room = AUDIO.saturating_sub(self.audio.len()).min(bytes.len());
                self.audio.extend(&bytes[..room]);
            }
            return;
        }
        if self.wedged {
            return;
        }
        let mut echo = Vec::new();
        for byte in bytes {
            if self.prompted(now, *byte) {
                continue;
            }
            if self.settings.echo == 1 {
                echo.push(*byte);
            }
            match self.typist.take(*byte, 13, 8) {
                Typed::More => continue,
                Typed::TooLong => {
                    self.write(now, &std::mem::take(&mut echo));
                    self.finish(now, command::Final::Error(100));
                }
                Typed::Line(line) => {
                    self.write(now, &std::mem::take(&mut echo));
                    self.execute(now, &line);
                }
            }
        }
        self.write(now, &echo);
        self.timeout(now);
    }

    fn room(&self, port: u32) -> usize {
        match port {
            AUDIO_PORT if self.carries() => AUDIO.saturating_sub(self.audio.len()),
            _ => 4_096,
        }
    }

    fn host_reads(&mut self, port: u32, reads: bool) {
        if port == AUDIO_PORT {
            self.reads_audio = reads;
        }
    }

    fn signal(&mut self, now: Time, signal: Signal) {
        self.network(now, signal);
        self.timeout(now);
    }

    fn frame(&mut self, now: Time, heard: &Frame) -> Frame {
        if let Some(Key::Down(digit)) = self.detector.hear(heard) {
            self.digit_heard(now, digit);
        }
        if !self.carries() || self.persona.audio_frames.is_some_and(|most| self.frames >= most) {
            self.timeout(now);
            return Frame::SILENCE;
        }
        self.frames = self.frames.saturating_add(1);
        if self.reads_audio {
            let bytes = heard.0.iter().flat_map(|sample| sample.to_le_bytes()).collect();
            self.out.push_back(Effect::Bytes { port: AUDIO_PORT, kind: Kind::Stream, bytes });
        }
        let mut said = Frame::SILENCE;
        if self.audio.len() >= 2 * said.0.len() {
            for sample in &mut said.0 {
                if let (Some(low), Some(high)) = (self.audio.pop_front(), self.audio.pop_front()) {
                    *sample = i16::from_le_bytes([low, high]);
                }
            }
        }
        self.timeout(now);
        said
    }

    fn timeout(&mut self, now: Time) {
        self.answer_code(now);
        while self.text.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, bytes)) = self.text.pop_front() {
                self.out.push_back(Effect::Bytes { port: 0, kind: Kind::Text, bytes });
            }
        }
        if self.ring.is_some_and(|due| due <= now) {
            self.ring(now);
            self.timeout(now);
        }
    }

    fn reset(&mut self) {
        // What the network keeps outlives the modem's power.
        let (forwards, registration, messages) =
            (std::mem::take(&mut self.forwards), self.registration, std::mem::take(&mut self.messages).after_reset());
        let (sim, level) = (self.sim, self.level);
        *self = Cellular::new(self.persona.clone());
        (self.forwards, self.registration, self.messages, self.level) = (forwards, registration, messages, level);
        if sim == Sim::Absent {
            self.sim = sim;
        }
    }

    fn powered(&mut self, now: Time) {
        for (millis, text) in self.persona.boot {
            self.write(now + Duration::from_millis(*millis), format!("\r\n{text}\r\n").as_bytes());
        }
    }

    fn poll_output(&mut self) -> Option<Effect> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.text.front().map(|(at, _)| *at).into_iter().chain(self.ring).chain(self.session_due()).min()
    }
}
