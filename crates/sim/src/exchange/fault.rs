//! Faults of content: what a bad cable, a bad driver or a bad firmware does to bytes, lines and samples.
//! [`super::deed`] has what happens at a command or a time.

use super::plant::Exchange;
use crate::modem::Kind;
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
    /// Command lines come back, although the modem was told not to echo.
    pub echo: Echo,
    /// Lines with one of these in them are lost.
    pub lost_lines: Vec<String>,
    /// A line that nobody asked for comes in the middle of another one.
    pub inside_permille: u32,
    /// That, without CR and LF.
    pub inside: String,
    /// A piece of text is read by another process.
    pub stolen_permille: u32,
    /// XOFF and XON are strewn into text.
    pub xoff_permille: u32,
    /// What becomes of audio.
    pub audio: AudioFault,
}

/// What comes back of a command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Echo {
    /// Nothing, but what the modem echoes.
    #[default]
    None,
    /// All of it.
    Whole,
    /// Its first half.
    Half,
    /// All of it, with one character another one.
    Mangled,
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
    /// Every sample is made of this byte (0x10: as hard for a DLE decoder as can be; 0xc0: a direct current).
    Always(u8),
    /// Every sample is the loudest of its sign.
    Clipped,
    /// Noise.
    Noise,
}

fn happens(permille: u32, random: &mut Random) -> bool {
    permille > 0 && random.below(1_000) < u64::from(permille)
}

impl Spoil {
    /// Does to a piece what is to be done.
    pub(super) fn apply(&self, kind: Kind, bytes: &mut Vec<u8>, random: &mut Random) {
        if kind == Kind::Text {
            self.text(bytes, random);
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
        if happens(self.stolen_permille, random) {
            text.clear();
        }
        for lost in &self.lost_lines {
            if text.contains(lost.as_str()) {
                text = text.split_inclusive('\n').filter(|line| !line.contains(lost.as_str())).collect();
            }
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
        if happens(self.inside_permille, random) {
            self.interrupt(&mut text);
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

    /// Puts the other line into the middle of the first one that is long enough to have one.
    fn interrupt(&self, text: &mut String) {
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            let middle = at + line.len() / 2;
            if line.trim().len() >= 4 && text.is_char_boundary(middle) {
                text.insert_str(middle, &format!("\r\n{}\r\n", self.inside));
                return;
            }
            at += line.len();
        }
    }
}

/// Where in a shielded stream the last byte was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Shield {
    #[default]
    Samples,
    /// DLE: a code follows, or the second of a pair.
    Escape,
    /// Text between `<DLE>X` and `<DLE>.`.
    Report,
    /// DLE inside of that.
    ReportEscape,
}

impl Shield {
    /// Takes a byte; whether it, or the pair that it completes, is a sample.
    pub(super) fn take(&mut self, byte: u8) -> Option<u8> {
        let (next, sample) = match (*self, byte) {
            (Shield::Samples, 0x10) => (Shield::Escape, None),
            (Shield::Samples, byte) => (Shield::Samples, Some(byte)),
            (Shield::Escape, 0x10) => (Shield::Samples, Some(0x10)),
            (Shield::Escape, b'X') => (Shield::Report, None),
            (Shield::Escape, _) => (Shield::Samples, None),
            (Shield::Report, 0x10) => (Shield::ReportEscape, None),
            (Shield::Report, _) => (Shield::Report, None),
            (Shield::ReportEscape, b'.' | 0x03) => (Shield::Samples, None),
            (Shield::ReportEscape, _) => (Shield::Report, None),
        };
        *self = next;
        sample
    }
}

impl AudioFault {
    fn sample(self, now: Time, byte: u8, random: &mut Random) -> Option<u8> {
        match self {
            AudioFault::Stops(from, to) if (from..to).contains(&now) => None,
            AudioFault::None | AudioFault::Stops(..) => Some(byte),
            AudioFault::Always(byte) => Some(byte),
            AudioFault::Clipped => Some(if byte & 0x80 == 0 { 0 } else { 0xff }),
            AudioFault::Noise => Some(random.below(256) as u8),
        }
    }

    /// Samples with what is shielded in them: codes stay where they are.
    fn shielded(self, now: Time, shield: &mut Shield, bytes: &mut Vec<u8>, random: &mut Random) {
        let mut spoilt = Vec::with_capacity(bytes.len());
        for byte in bytes.drain(..) {
            let before = *shield;
            let sample = shield.take(byte);
            match (sample, before, *shield) {
                (Some(sample), ..) => {
                    let Some(sample) = self.sample(now, sample, random) else { continue };
                    spoilt.push(sample);
                    if sample == 0x10 {
                        spoilt.push(0x10);
                    }
                }
                // What follows decides.
                (None, Shield::Samples, Shield::Escape) => {}
                (None, Shield::Escape, _) => spoilt.extend([0x10, byte]),
                _ => spoilt.push(byte),
            }
        }
        *bytes = spoilt;
    }

    /// Samples of 16 bits, low byte first.
    fn raw(self, now: Time, bytes: &mut Vec<u8>, random: &mut Random) {
        if let AudioFault::Clipped = self {
            for pair in bytes.chunks_exact_mut(2) {
                let sample = if pair[1] & 0x80 == 0 { i16::MAX } else { i16::MIN };
                pair.copy_from_slice(&sample.to_le_bytes());
            }
            return;
        }
        *bytes = bytes.drain(..).filter_map(|byte| self.sample(now, byte, random)).collect();
    }
}

impl Exchange {
    /// Spoils what a modem says as samples.
    pub(super) fn spoil_audio(&mut self, now: Time, modem: usize, port: usize, bytes: &mut Vec<u8>) {
        let at = &mut self.modems[modem];
        let Some(link) = at.to_host.get(port) else { return };
        match (link.faults.spoil.audio, port) {
            (AudioFault::None, _) => at.snares.shield = Shield::default(),
            (fault, 0) => fault.shielded(now, &mut at.snares.shield, bytes, &mut self.random),
            (fault, _) => fault.raw(now, bytes, &mut self.random),
        }
    }

    /// The link gives back a command line that the host wrote.
    pub(super) fn echo(&mut self, now: Time, modem: usize, bytes: &[u8]) {
        let Some(link) = self.modems[modem].to_host.first_mut() else { return };
        let line = bytes.starts_with(b"AT") && bytes.is_ascii() && bytes.ends_with(b"\r");
        let mut echo = bytes.to_vec();
        match link.faults.spoil.echo {
            _ if !line => return,
            Echo::None => return,
            Echo::Whole => {}
            Echo::Half => echo.truncate(bytes.len() / 2),
            Echo::Mangled => echo[bytes.len() / 2] ^= 1,
        }
        link.push(now, Kind::Text, &echo, &mut self.random);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spoilt_samples_leave_codes_where_they_are() {
        let mut random = Random::from_number(1);
        let heard = [0x80, 0x10, 0x10, 0x10, b'b', 0x7f, 0x10, b'X', b'A', 0x10, b'.', 0x81, 0x10, 0x03];
        for (fault, spoilt) in [
            (AudioFault::Always(0xc0), vec![0xc0, 0xc0, 0x10, b'b', 0xc0, 0x10, b'X', b'A', 0x10, b'.', 0xc0, 0x10, 3]),
            (AudioFault::Clipped, vec![0xff, 0, 0x10, b'b', 0, 0x10, b'X', b'A', 0x10, b'.', 0xff, 0x10, 3]),
            (AudioFault::Stops(Time(1), Time(3)), vec![0x10, b'b', 0x10, b'X', b'A', 0x10, b'.', 0x10, 3]),
        ] {
            // However it is cut.
            for size in 1..heard.len() {
                let (mut shield, mut said) = (Shield::default(), Vec::new());
                for piece in heard.chunks(size) {
                    let mut bytes = piece.to_vec();
                    fault.shielded(Time(2), &mut shield, &mut bytes, &mut random);
                    said.extend(bytes);
                }
                assert_eq!(said, spoilt, "{fault:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn a_line_comes_in_the_middle_of_another() {
        let spoil = Spoil { inside_permille: 1_000, inside: "RING".into(), ..Spoil::default() };
        let mut bytes = b"\r\n+CSQ: 20\r\n\r\nOK\r\n".to_vec();
        spoil.apply(Kind::Text, &mut bytes, &mut Random::from_number(1));
        assert_eq!(bytes, b"\r\n+CSQ:\r\nRING\r\n 20\r\n\r\nOK\r\n");
    }
}
