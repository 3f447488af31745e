//! A simulated GSM modem with voice (3GPP TS 27.007).
//!
//! Two serial ports: [`crate::modem::AT_PORT`] takes commands and gives results and unsolicited lines;
//! [`crate::modem::AUDIO_PORT`] carries signed 16-bit little-endian audio at 8 kHz, 320 bytes each 20 ms both ways while
//! a call has audio. The modem's clock paces it: what the host does not write in time is silence. Audio that the host
//! writes while there is no call is dropped.

mod calls;
mod command;

use super::at::{Typed, Typist};
use super::{AUDIO_PORT, Access, Device, Effect, Kind, Signal};
use calls::Calls;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tapi::Time;
use tspi::Frame;

/// What one modem and its SIM are like.
#[derive(Clone, Debug)]
pub struct Persona {
    /// `+CGMI`.
    pub manufacturer: &'static str,
    /// `+CGMM`.
    pub model: &'static str,
    /// `+CGMR`.
    pub revision: &'static str,
    /// `+CGSN`.
    pub imei: String,
    /// `+CIMI`.
    pub imsi: String,
    /// `+CNUM`.
    pub number: Option<String>,
    /// `+CPIN?`: `READY`, `SIM PIN`, or empty for no SIM.
    pub sim: &'static str,
    /// `+CREG` status: 1 home, 5 roaming, 2 searching.
    pub registration: u8,
    /// `+COPS`.
    pub operator: &'static str,
    /// `+CSQ`: 0 to 31, or 99.
    pub signal: u8,
    /// Time from a command to its result.
    pub latency: Duration,
    /// Time between two `RING`.
    pub ring_every: Duration,
}

impl Persona {
    /// A modem that does what 27.007 says, with a SIM, at home.
    pub fn generic() -> Persona {
        Persona {
            manufacturer: "tapi-exchange",
            model: "Simulated 27.007 modem",
            revision: "1.0",
            imei: "490154203237518".into(),
            imsi: "262019876543210".into(),
            number: None,
            sim: "READY",
            registration: 1,
            operator: "Simnet",
            signal: 20,
            latency: Duration::from_millis(8),
            ring_every: Duration::from_secs(3),
        }
    }
}

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
    fn new() -> Settings {
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
            kept: command::KEPT.iter().map(|(name, value, _)| (*name, (*value).to_string())).collect(),
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
            persona,
            settings: Settings::new(),
            typist: Typist::default(),
            info: String::new(),
            calls: Calls::default(),
            ring: None,
            text: VecDeque::new(),
            audio: VecDeque::new(),
            reads_audio: true,
            out: VecDeque::new(),
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
        2
    }

    fn bytes(&mut self, now: Time, port: u32, bytes: &[u8]) {
        if port == AUDIO_PORT {
            if self.has_call() {
                let room = AUDIO.saturating_sub(self.audio.len()).min(bytes.len());
                self.audio.extend(&bytes[..room]);
            }
            return;
        }
        let mut echo = Vec::new();
        for byte in bytes {
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
            AUDIO_PORT if self.has_call() => AUDIO.saturating_sub(self.audio.len()),
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
        *self = Cellular::new(self.persona.clone());
    }

    fn poll_output(&mut self) -> Option<Effect> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.text.front().map(|(at, _)| *at).into_iter().chain(self.ring).min()
    }
}
