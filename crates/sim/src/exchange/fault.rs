//! Faults of content: what a bad cable, a bad driver or a bad firmware does to bytes and lines, and what happens at a
//! command.

use super::plant::{Exchange, Plug};
use super::{ModemId, OrderError};
use crate::modem::Kind;
use std::time::Duration;
use tapi::Time;
use tspi::Random;

/// What is done to the bytes of one direction. Chances are in a thousand; the default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spoil {
    /// A byte has one bit turned over.
    pub flip_permille: u32,
    /// A byte that nobody sent is put before one.
    pub insert_permille: u32,
    /// What the line does to every byte.
    pub mask: Mask,
    /// A piece of text loses its leading CR LF.
    pub bare_permille: u32,
    /// Each CR of a piece of text comes twice.
    pub doubled_cr_permille: u32,
    /// An `OK` comes twice.
    pub twice_permille: u32,
    /// An `OK` does not come.
    pub lost_ok_permille: u32,
    /// In place of an `OK` comes this.
    pub refuses_permille: u32,
    /// That: `ERROR`, `COMMAND NOT SUPPORT`, `+CME ERROR: 515`.
    pub refusal: String,
    /// Echoed text loses its second half.
    pub half_echo_permille: u32,
    /// Lines with this in them are lost.
    pub lost_line: Option<String>,
    /// XOFF and XON are strewn into text.
    pub xoff_permille: u32,
    /// What becomes of audio.
    pub audio: AudioFault,
}

/// What a wrong line setting does to every byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mask {
    /// Nothing.
    #[default]
    None,
    /// The eighth bit is lost.
    SevenBits,
    /// The eighth bit is even parity.
    Parity,
}

/// What becomes of the bytes of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AudioFault {
    /// Nothing.
    #[default]
    None,
    /// None comes between these times.
    Stops(Time, Time),
    /// Every byte is this (0x10: as hard for a DLE decoder as can be; 0xff: clipped).
    Always(u8),
    /// Noise.
    Noise,
}

/// What happens at a command, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// What the modem says from then on is late by so much.
    Late(Duration),
    /// The modem says nothing for so long, and then all at once.
    Hush(Duration),
    /// What it says in this time is lost.
    Mute(Duration),
    /// It is pulled out.
    Unplug,
    /// It starts anew.
    Restart,
}

/// A deed that waits for its command.
#[derive(Clone, Debug)]
pub(super) struct Trap {
    /// Part of a command line.
    needle: String,
    deed: Deed,
}

/// Longest line that is watched for.
const LINE: usize = 256;

fn happens(permille: u32, random: &mut Random) -> bool {
    permille > 0 && random.below(1_000) < u64::from(permille)
}

impl Spoil {
    /// Does to a piece what is to be done.
    pub(super) fn apply(&self, now: Time, kind: Kind, bytes: &mut Vec<u8>, random: &mut Random) {
        match kind {
            Kind::Text => self.text(bytes, random),
            Kind::Stream => self.stream(now, bytes, random),
        }
        if self.flip_permille == 0 && self.insert_permille == 0 && self.mask == Mask::None {
            return;
        }
        let mut spoilt = Vec::with_capacity(bytes.len());
        for byte in bytes.drain(..) {
            if happens(self.insert_permille, random) {
                spoilt.push(random.below(256) as u8);
            }
            let flipped = if happens(self.flip_permille, random) { byte ^ 1 << random.below(8) } else { byte };
            spoilt.push(match self.mask {
                Mask::None => flipped,
                Mask::SevenBits => flipped & 0x7f,
                Mask::Parity => flipped & 0x7f | if (flipped & 0x7f).count_ones() % 2 == 1 { 0x80 } else { 0 },
            });
        }
        *bytes = spoilt;
    }

    fn text(&self, bytes: &mut Vec<u8>, random: &mut Random) {
        let echo = !bytes.contains(&b'\n');
        if echo && bytes.len() > 2 && happens(self.half_echo_permille, random) {
            bytes.truncate(bytes.len() / 2);
        }
        let mut text = String::from_utf8_lossy(bytes).into_owned();
        let before = text.clone();
        if let Some(lost) = &self.lost_line
            && text.contains(lost.as_str())
        {
            text = text.split_inclusive('\n').filter(|line| !line.contains(lost.as_str())).collect();
        }
        if text.ends_with("\r\nOK\r\n") {
            let body = text.len() - 6;
            if happens(self.lost_ok_permille, random) {
                text.truncate(body);
            } else if happens(self.refuses_permille, random) {
                text = format!("\r\n{}\r\n", self.refusal);
            } else if happens(self.twice_permille, random) {
                text.push_str("\r\nOK\r\n");
            }
        }
        if text.starts_with("\r\n") && happens(self.bare_permille, random) {
            text.drain(..2);
        }
        if happens(self.doubled_cr_permille, random) {
            text = text.replace('\r', "\r\r");
        }
        if happens(self.xoff_permille, random) {
            text = format!("\u{13}\u{11}{text}");
        }
        // Bytes that are no text stay as they are.
        if text != before {
            *bytes = text.into_bytes();
        }
    }

    fn stream(&self, now: Time, bytes: &mut Vec<u8>, random: &mut Random) {
        match self.audio {
            AudioFault::None => {}
            AudioFault::Stops(from, to) if (from..to).contains(&now) => bytes.clear(),
            AudioFault::Stops(..) => {}
            // Codes keep their place: they are no samples.
            AudioFault::Always(byte) if !bytes.contains(&0x10) || byte != 0x10 => bytes.fill(byte),
            AudioFault::Always(_) => {}
            AudioFault::Noise if !bytes.contains(&0x10) => {
                bytes.iter_mut().for_each(|byte| *byte = 0x11 + random.below(0xe0) as u8);
            }
            AudioFault::Noise => {}
        }
    }
}

impl Exchange {
    /// When a modem reads a command line with this in it, so it happens, once. Deeds of one modem wait side by side.
    ///
    /// # Errors
    /// No such modem.
    pub fn at_command(&mut self, modem: ModemId, needle: &str, deed: Deed) -> Result<(), OrderError> {
        let at = self.modems.get_mut(modem.0 as usize).ok_or_else(|| OrderError::Unknown(modem.0.to_string()))?;
        at.traps.push(Trap { needle: needle.to_string(), deed });
        Ok(())
    }

    /// No deed waits any more.
    pub fn disarm(&mut self, modem: ModemId) {
        if let Some(modem) = self.modems.get_mut(modem.0 as usize) {
            modem.traps.clear();
        }
    }

    /// The host wrote bytes to a command port: does a deed wait for them?
    pub(super) fn spring(&mut self, now: Time, modem: usize, bytes: &[u8]) {
        let at = &mut self.modems[modem];
        if at.traps.is_empty() {
            at.typed.clear();
            return;
        }
        let mut deeds = Vec::new();
        for byte in bytes {
            if *byte != b'\r' {
                if at.typed.len() < LINE {
                    at.typed.push(*byte as char);
                }
                continue;
            }
            let line = std::mem::take(&mut at.typed);
            if let Some(found) = at.traps.iter().position(|trap| line.contains(&trap.needle)) {
                deeds.push(at.traps.remove(found).deed);
            }
        }
        for deed in deeds {
            let links = &mut self.modems[modem].to_host;
            match deed {
                Deed::Late(by) | Deed::Hush(by) => links.iter_mut().for_each(|link| link.hush(now + by)),
                Deed::Mute(by) => links.iter_mut().for_each(|link| link.mute(now + by)),
                Deed::Unplug => self.modems[modem].power = Some((now, Plug::Out)),
                Deed::Restart => self.modems[modem].power = Some((now + Duration::from_millis(200), Plug::Out)),
            }
        }
    }
}
