//! What the host has set.

use super::persona::{Coding, Method, Persona};
use crate::exchange::meter::QUIET;
use crate::modem::Identity;
use std::collections::BTreeMap;

/// Parameters, with the defaults of V.250 and V.253.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) echo: u32,
    pub(super) verbose: u32,
    pub(super) quiet: u32,
    /// `X`: what is listened for when dialling.
    pub(super) progress: u32,
    pub(super) class: u32,
    /// `+VLS`.
    pub(super) label: u32,
    pub(super) method: Method,
    /// `+VSD`: sensitivity, interval in 0.1 s.
    pub(super) silence: (u32, u32),
    /// `+VTD` in 0.01 s.
    pub(super) tone: u32,
    /// `+VCID`.
    pub(super) identity: u32,
    /// `+VIT` in seconds.
    pub(super) inactivity: u32,
    /// `+VNH`.
    pub(super) no_hang_up: u32,
    /// `+VRA` in 0.1 s.
    pub(super) ringback_gone: u32,
    /// `+VRN` in seconds.
    pub(super) ringback_never: u32,
    mask: Vec<u8>,
    registers: BTreeMap<u8, u8>,
    /// Parameters that are kept and read back and have no effect.
    pub(super) kept: BTreeMap<&'static str, String>,
}

/// Parameters that are kept and read back and have no effect: name, default, range, whether class 8 is needed.
pub(super) const KEPT: [(&str, &str, &str); 14] = [
    ("+VGR", "128", "(121-131)"),
    ("+VGT", "128", "(121-131)"),
    ("+VGM", "128", "(121-131)"),
    ("+VGS", "128", "(121-131)"),
    ("+VDT", "0,0", "(0,1),(0-255)"),
    ("+VDR", "0,0", "(0,1),(0-255)"),
    ("+VBT", "192,320", "(192),(320)"),
    ("+VPR", "0", "(0-48)"),
    ("+VPP", "0", "(0)"),
    ("+VSP", "0", "(0)"),
    ("+VDX", "0", "(0)"),
    ("+IFC", "2,2", "(0-2),(0-2)"),
    ("+IPR", "0", "(0,9600,19200,38400,57600,115200)"),
    ("+FLO", "2", "(0-2)"),
];

/// Event numbers of V.253 by code: bit 0 of the mask is the leftmost.
const EVENTS: [(&[u8], u8); 19] = [
    (b"R", 3),
    (b"/0123456789ABCD*#~", 4),
    (b"o", 5),
    (b"c", 6),
    (b"e", 7),
    (b"hH", 8),
    (b"s", 9),
    (b"q", 10),
    (b"l", 13),
    (b"L", 14),
    (b"w", 15),
    (b"r", 18),
    (b"b", 19),
    (b"d", 20),
    (b"K", 21),
    (b"u", 23),
    (b"a", 25),
    (b"f", 26),
    (b"v", 27),
];

impl Settings {
    pub(super) fn new(persona: &Persona) -> Settings {
        const REGISTERS: [(u8, u8); 14] = [
            (0, 0),
            (1, 0),
            (2, 43),
            (3, 13),
            (4, 10),
            (5, 8),
            (6, 2),
            (7, 60),
            (8, 2),
            (10, 14),
            (11, 95),
            (12, 50),
            (29, 70),
            (30, 0),
        ];
        let fallback = Method::new(1, "UNSIGNED PCM", Coding::Unsigned8);
        Settings {
            echo: 1,
            verbose: 1,
            quiet: 0,
            progress: 4,
            class: 0,
            label: 0,
            method: persona.methods.first().copied().unwrap_or(fallback),
            silence: (128, 50),
            tone: 100,
            identity: 0,
            inactivity: 0,
            no_hang_up: 0,
            ringback_gone: 50,
            ringback_never: 10,
            mask: vec![15; 9],
            registers: BTreeMap::from(REGISTERS),
            kept: KEPT.iter().map(|(name, value, _)| (*name, (*value).to_string())).collect(),
        }
    }

    /// `+VIP`: the voice parameters' defaults; the rest stays.
    pub(super) fn voice_defaults(&mut self, persona: &Persona) {
        let fresh = Settings::new(persona);
        let kept = Settings { echo: self.echo, verbose: self.verbose, quiet: self.quiet, ..fresh };
        let registers = std::mem::take(&mut self.registers);
        let (class, label, progress) = (self.class, self.label, self.progress);
        *self = Settings { class, label, progress, registers, ..kept };
    }

    pub(super) fn register(&self, number: u8) -> u8 {
        self.registers.get(&number).copied().unwrap_or(0)
    }

    pub(super) fn set_register(&mut self, number: u8, value: u8) {
        self.registers.insert(number, value);
    }

    /// Whether an event code is reported.
    pub(super) fn reports(&self, code: u8) -> bool {
        let Some((_, bit)) = EVENTS.iter().find(|(codes, _)| codes.contains(&code)) else { return true };
        let digit = self.mask.get(usize::from(bit / 4)).copied().unwrap_or(0);
        digit & (8 >> (bit % 4)) != 0
    }

    /// `+VEM=`: hexadecimal digits, the first holds events 0 to 3.
    pub(super) fn set_mask(&mut self, text: &str) -> Option<()> {
        let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
        self.mask = digits.filter(|digits| (1..=9).contains(&digits.len()))?;
        Some(())
    }

    pub(super) fn mask(&self) -> String {
        self.mask.iter().map(|digit| format!("{digit:X}")).collect()
    }

    /// Mean square below which what is no tone counts as silence: -45 dBm0, and with a sensitivity of `+VSD` above its usual
    /// 128 a decibel more for each 8.
    pub(super) fn quiet(&self) -> f64 {
        QUIET * 10f64.powf(f64::from(self.silence.0.saturating_sub(128)) / 80.0)
    }

    /// Frames of silence until it is told; 0 when it is not.
    pub(super) fn silence_frames(&self) -> u32 {
        if self.silence.0 == 0 { 0 } else { self.silence.1 * 5 }
    }
}

/// A caller's identity in single data message format, as hexadecimal digits: its date and number, or why there is none.
pub(super) fn single_data_message(date: &str, time: &str, identity: &Identity) -> String {
    let number = match identity {
        Identity::Known { number, .. } => number,
        Identity::Private => "P",
        Identity::OutOfArea => "O",
    };
    framed(0x04, &date.bytes().chain(time.bytes()).chain(number.bytes().take(50)).collect::<Vec<u8>>())
}

/// A message with its type, length and checksum, as hexadecimal digits.
fn framed(kind: u8, body: &[u8]) -> String {
    let mut message = vec![kind, body.len() as u8];
    message.extend(body);
    let sum = message.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    message.push(0u8.wrapping_sub(sum));
    message.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// A caller's identity in multiple data message format, as hexadecimal digits (Bellcore GR-30, `MESG`).
pub(super) fn multiple_data_message(date: &str, time: &str, identity: &Identity) -> String {
    let mut body = vec![0x01, 8];
    body.extend(date.bytes().chain(time.bytes()));
    let mut add = |tag: u8, text: &str| {
        let text: Vec<u8> = text.bytes().take(50).collect();
        body.extend([tag, text.len() as u8]);
        body.extend(text);
    };
    match identity {
        Identity::Known { number, name } => {
            add(0x02, number);
            if let Some(name) = name {
                add(0x07, name);
            }
        }
        Identity::Private => add(0x04, "P"),
        Identity::OutOfArea => add(0x04, "O"),
    }
    framed(0x80, &body)
}
