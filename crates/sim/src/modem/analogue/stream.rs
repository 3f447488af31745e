//! The audio streams between modem and host, with what is shielded by DLE (V.253 clause 9, Annex A).

use super::persona::{Cancel, Coding, Method};
use super::rate::Converter;
use std::collections::VecDeque;
use tspi::Frame;

pub(super) const DLE: u8 = 0x10;
pub(super) const ETX: u8 = 0x03;
const SUB: u8 = 0x1a;
const ESC: u8 = 0x1b;
const CAN: u8 = 0x18;

/// Which streams run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// `+VTX`.
    Transmit,
    /// `+VRX`.
    Receive,
    /// `+VTR`.
    Duplex,
}

/// Where the transmit stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    /// Nothing came yet.
    Waiting,
    /// It plays.
    Playing,
    /// It ran dry, which was told.
    Dry,
    /// The host paused it.
    Paused,
    /// The host ended it: what is buffered is played out.
    Ending,
}

/// How the stream state ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// The transmit stream was played out.
    Played,
    /// The receive stream, or both, were ended: `<DLE><ETX>` precedes the result.
    Ended,
}

/// Both streams.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    way: Way,
    coding: Coding,
    capacity: usize,
    /// Whether a bare character other than DLE ends a recording.
    bare: bool,
    cancel: Cancel,
    speaking: Converter,
    hearing: Converter,
    shielded: bool,
    sending: Sending,
    to_line: VecDeque<u8>,
    to_host: VecDeque<u8>,
    over: Option<Over>,
    overrun: bool,
}

impl Stream {
    pub(super) fn new(way: Way, method: Method, capacity: usize, bare: bool, cancel: Cancel) -> Stream {
        Stream {
            way,
            coding: method.coding,
            capacity,
            bare,
            cancel,
            speaking: Converter::new(method.rate, 8_000),
            hearing: Converter::new(8_000, method.rate),
            shielded: false,
            sending: Sending::Waiting,
            to_line: VecDeque::new(),
            to_host: VecDeque::new(),
            over: None,
            overrun: false,
        }
    }

    pub(super) fn receives(&self) -> bool {
        self.way != Way::Transmit
    }

    /// Bytes that flow control lets pass.
    pub(super) fn room(&self) -> usize {
        if self.over.is_some() { 0 } else { self.capacity.saturating_sub(self.to_line.len()) }
    }

    /// Takes a byte of the host.
    pub(super) fn take(&mut self, byte: u8) {
        if !std::mem::take(&mut self.shielded) {
            match byte {
                DLE => self.shielded = true,
                b'!' if self.bare && self.way == Way::Receive => self.over = Some(Over::Ended),
                byte => self.sample(byte),
            }
            return;
        }
        match (byte, self.way) {
            (DLE, _) => self.sample(DLE),
            (SUB, _) => {
                self.sample(DLE);
                self.sample(DLE);
            }
            (ETX, Way::Transmit | Way::Duplex) => self.sending = Sending::Ending,
            (CAN, Way::Transmit | Way::Duplex) => {
                self.to_line.clear();
                if self.cancel == Cancel::Ends && self.way == Way::Transmit {
                    self.over = Some(Over::Played);
                }
            }
            (b'!', Way::Receive | Way::Duplex) => {
                self.to_host.clear();
                self.over = Some(Over::Ended);
            }
            (ESC, Way::Receive | Way::Duplex) | (b'^', Way::Duplex) => self.over = Some(Over::Ended),
            (b'p', Way::Transmit | Way::Duplex) => self.sending = Sending::Paused,
            (b'r', Way::Transmit | Way::Duplex) if self.sending == Sending::Paused => self.sending = Sending::Playing,
            _ => {}
        }
    }

    fn sample(&mut self, byte: u8) {
        if self.way == Way::Receive || self.sending == Sending::Ending {
            return;
        }
        if self.to_line.len() < self.capacity {
            self.to_line.push_back(byte);
        }
        if matches!(self.sending, Sending::Waiting | Sending::Dry) {
            self.sending = Sending::Playing;
        }
    }

    /// The next 20 ms for the line.
    pub(super) fn say(&mut self) -> Frame {
        let mut frame = Frame::SILENCE;
        if matches!(self.sending, Sending::Waiting | Sending::Paused | Sending::Dry) {
            return frame;
        }
        let (coding, bytes) = (self.coding, &mut self.to_line);
        for sample in &mut frame.0 {
            match self.speaking.next(|| decode(coding, bytes)) {
                Some(value) => *sample = value,
                None => {
                    self.ran_dry();
                    break;
                }
            }
        }
        frame
    }

    fn ran_dry(&mut self) {
        match self.sending {
            Sending::Ending if self.way == Way::Transmit => self.over = Some(Over::Played),
            Sending::Playing => {
                self.sending = Sending::Dry;
                self.tell(b'u');
            }
            _ => {}
        }
    }

    /// 20 ms of the line.
    pub(super) fn hear(&mut self, frame: &Frame) {
        if !self.receives() || self.over.is_some() {
            return;
        }
        if self.to_host.len() >= self.capacity {
            if !std::mem::replace(&mut self.overrun, true) {
                self.tell(b'o');
            }
            return;
        }
        self.overrun = false;
        let mut heard = frame.0.into_iter();
        while let Some(sample) = self.hearing.next(|| heard.next()) {
            let (bytes, count) = encode(self.coding, sample);
            for byte in &bytes[..count] {
                self.to_host.push_back(*byte);
                if *byte == DLE {
                    self.to_host.push_back(DLE);
                }
            }
        }
    }

    /// An event code, in its place between the samples.
    pub(super) fn tell(&mut self, code: u8) {
        self.to_host.extend([DLE, code]);
    }

    /// A complex report, in its place between the samples.
    pub(super) fn report(&mut self, text: &str) {
        self.tell(b'X');
        self.to_host.extend(text.bytes());
        self.tell(b'.');
    }

    /// At most so many bytes for the host.
    pub(super) fn read(&mut self, budget: usize) -> Vec<u8> {
        let count = budget.min(self.to_host.len());
        self.to_host.drain(..count).collect()
    }

    /// How it ended, once all that was buffered went out.
    pub(super) fn over(&self) -> Option<Over> {
        self.over.filter(|_| self.to_host.is_empty())
    }
}

fn decode(coding: Coding, bytes: &mut VecDeque<u8>) -> Option<i16> {
    if bytes.len() < coding.bytes() {
        return None;
    }
    let byte = bytes.pop_front()?;
    Some(match coding {
        Coding::Unsigned8 => (i16::from(byte) - 128) * 256,
        Coding::Signed8 => i16::from(byte.cast_signed()) * 256,
        Coding::ULaw => ulaw_to_linear(byte),
        Coding::ALaw => alaw_to_linear(byte),
        Coding::Linear16 => i16::from_le_bytes([byte, bytes.pop_front()?]),
    })
}

fn encode(coding: Coding, sample: i16) -> ([u8; 2], usize) {
    // Rounded to the nearest step of eight bits.
    let eight = (i32::from(sample) + 128).div_euclid(256).clamp(-128, 127);
    match coding {
        Coding::Unsigned8 => ([(eight + 128) as u8, 0], 1),
        Coding::Signed8 => ([(eight as i8).cast_unsigned(), 0], 1),
        Coding::ULaw => ([linear_to_ulaw(sample), 0], 1),
        Coding::ALaw => ([linear_to_alaw(sample), 0], 1),
        Coding::Linear16 => (sample.to_le_bytes(), 2),
    }
}

/// ITU-T G.711 µ-law: 8 segments of 16 steps, bits inverted.
fn ulaw_to_linear(byte: u8) -> i16 {
    let code = !byte;
    let (segment, step) = (i32::from(code >> 4 & 7), i32::from(code & 15));
    let magnitude = ((2 * step + 33) << (segment + 2)) - 132;
    (if code & 0x80 == 0 { magnitude } else { -magnitude }) as i16
}

fn linear_to_ulaw(sample: i16) -> u8 {
    let magnitude = i32::from(sample).abs().min(32_635) + 132;
    let segment = 24 - magnitude.leading_zeros() as i32;
    let step = (magnitude >> (segment + 3)) & 15;
    let sign = if sample < 0 { 0x80 } else { 0 };
    !((sign | (segment << 4) | step) as u8)
}

/// ITU-T G.711 A-law: 8 segments of 16 steps, even bits inverted.
fn alaw_to_linear(byte: u8) -> i16 {
    let code = byte ^ 0x55;
    let (segment, step) = (i32::from(code >> 4 & 7), i32::from(code & 15));
    let magnitude = if segment == 0 { 16 * step + 8 } else { (16 * step + 264) << (segment - 1) };
    (if code & 0x80 == 0 { -magnitude } else { magnitude }) as i16
}

fn linear_to_alaw(sample: i16) -> u8 {
    let (sign, magnitude) = if sample >= 0 { (0x80, i32::from(sample)) } else { (0, -i32::from(sample) - 1) };
    let magnitude = magnitude.clamp(0, 32_767);
    let segment = (24 - magnitude.leading_zeros() as i32).max(0);
    let step = if segment == 0 { magnitude >> 4 } else { magnitude >> (segment + 3) } & 15;
    ((sign | (segment << 4) | step) ^ 0x55) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g711_gives_back_its_own_values() {
        for byte in 0..=255u8 {
            let back = linear_to_ulaw(ulaw_to_linear(byte));
            assert!(back == byte || (byte == 0x7f && back == 0xff), "{byte:02x} {back:02x}");
            assert_eq!(linear_to_alaw(alaw_to_linear(byte)), byte);
        }
        assert_eq!((ulaw_to_linear(0x80), ulaw_to_linear(0x00)), (32_124, -32_124));
        assert_eq!((alaw_to_linear(0xaa), alaw_to_linear(0xd5)), (32_256, 8));
        assert_eq!((linear_to_ulaw(0), linear_to_alaw(0)), (0xff, 0xd5));
    }

    #[test]
    fn shielded_bytes_are_data_or_orders() {
        let mut stream = Stream::new(Way::Transmit, Method::new(1, "", Coding::Unsigned8), 100, false, Cancel::Clears);
        for byte in [0x80, DLE, DLE, DLE, SUB, DLE, DLE, DLE, ETX, 1] {
            stream.take(byte);
        }
        assert_eq!(stream.to_line, [0x80, DLE, DLE, DLE, DLE]);
        assert_eq!(stream.over(), None);
        stream.say();
        assert_eq!(stream.over(), Some(Over::Played));
    }
}
