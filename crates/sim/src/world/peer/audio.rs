//! The audio of a peer's call: RTP packets made and read byte by byte, µ-law by its definition.

use crate::exchange::tone::Steady;
use std::collections::VecDeque;
use std::time::Duration;
use tapi::Time;
use tspi::Frame;

/// One packet.
const PACKET: Duration = Duration::from_millis(20);
/// Packets of one digit.
const DIGIT_PACKETS: u16 = 5;
/// The keypad, by event number.
const KEYS: &[u8; 16] = b"0123456789*#ABCD";

/// Both directions of a call's audio.
#[derive(Debug)]
pub struct Audio {
    next: Option<Time>,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    tone: Option<(Steady, Time)>,
    digits: VecDeque<(u8, u16)>,
    /// What was heard, with its time of arrival.
    pub heard: Vec<(Time, Frame)>,
    /// Digits that were heard as telephone events.
    pub heard_digits: String,
    last_event: Option<u32>,
    /// Payload type of telephone events.
    pub events: Option<u8>,
    ours: u8,
}

impl Audio {
    /// Silence. `ours` is the payload type of telephone events in our own description.
    pub fn new(ssrc: u32, ours: u8) -> Audio {
        Audio {
            next: None,
            sequence: 1,
            timestamp: 1_000,
            ssrc,
            tone: None,
            digits: VecDeque::new(),
            heard: Vec::new(),
            heard_digits: String::new(),
            last_event: None,
            events: None,
            ours,
        }
    }

    /// Begins to send, if it does not.
    pub fn start(&mut self, now: Time) {
        self.next.get_or_insert(now);
    }

    /// Sends no longer.
    pub fn stop(&mut self) {
        self.next = None;
    }

    /// Sends a tone from the next packet on.
    pub fn play(&mut self, now: Time, hz: f64, level_ddbm0: i32, duration: Duration) {
        self.tone = Some((Steady::new(hz, level_ddbm0), now + duration));
    }

    /// Sends a digit as a telephone event.
    pub fn press(&mut self, digit: char) {
        let event = KEYS.iter().position(|key| char::from(*key) == digit).and_then(|at| u8::try_from(at).ok());
        self.digits.extend(event.map(|event| (event, 0)));
    }

    /// When the next packet is due.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.next
    }

    /// The packet that is due.
    pub fn packet(&mut self, now: Time) -> Option<Vec<u8>> {
        let due = self.next.filter(|due| *due <= now)?;
        self.next = Some(due + PACKET);
        self.timestamp = self.timestamp.wrapping_add(160);
        self.sequence = self.sequence.wrapping_add(1);
        if let (Some(&(event, sent)), Some(payload_type)) = (self.digits.front(), self.events) {
            return Some(self.digit_packet(event, sent, payload_type));
        }
        let frame = match &mut self.tone {
            Some((tone, until)) if now < *until => tone.frame(),
            _ => Frame::SILENCE,
        };
        let mut packet = self.head(0, self.timestamp);
        packet.extend(frame.0.iter().map(|sample| ulaw(*sample)));
        Some(packet)
    }

    /// RFC 4733: the time stamp stays that of the beginning, the duration grows, the end is marked.
    fn digit_packet(&mut self, event: u8, sent: u16, payload_type: u8) -> Vec<u8> {
        let begin = self.timestamp.wrapping_sub(160 * u32::from(sent));
        let over = sent + 1 >= DIGIT_PACKETS;
        let duration = 160 * (sent + 1).min(DIGIT_PACKETS);
        let mut packet = self.head(payload_type, begin);
        packet.extend([event, if over { 0x80 | 10 } else { 10 }]);
        packet.extend(duration.to_be_bytes());
        // Three packets tell the end.
        if sent + 1 >= DIGIT_PACKETS + 2 {
            self.digits.pop_front();
        } else if let Some(front) = self.digits.front_mut() {
            front.1 += 1;
        }
        packet
    }

    fn head(&self, payload_type: u8, timestamp: u32) -> Vec<u8> {
        let mut head = vec![0x80, payload_type];
        head.extend(self.sequence.to_be_bytes());
        head.extend(timestamp.to_be_bytes());
        head.extend(self.ssrc.to_be_bytes());
        head
    }

    /// A packet arrived.
    pub fn hear(&mut self, now: Time, packet: &[u8]) {
        let (Some(payload_type), Some(payload)) = (packet.get(1).map(|byte| byte & 0x7f), packet.get(12..)) else {
            return;
        };
        if payload_type == 0 && payload.len() == 160 {
            let mut frame = Frame::SILENCE;
            for (sample, byte) in frame.0.iter_mut().zip(payload) {
                *sample = linear(*byte);
            }
            self.heard.push((now, frame));
        }
        if payload_type == self.ours
            && let (Some(event), Some(stamp)) = (payload.first(), packet.get(4..8))
        {
            let stamp = u32::from_be_bytes([stamp[0], stamp[1], stamp[2], stamp[3]]);
            if self.last_event.replace(stamp) != Some(stamp) {
                self.heard_digits.extend(KEYS.get(usize::from(*event)).map(|key| char::from(*key)));
            }
        }
    }
}

/// ITU-T G.711 µ-law, from 16 bits: sign, position of the highest bit over the bias, and the four bits below it.
fn ulaw(sample: i16) -> u8 {
    let magnitude = (i32::from(sample).abs() >> 2).min(8_158) + 33;
    let segment = 31 - magnitude.leading_zeros() - 5;
    let step = (magnitude >> (segment + 1)) & 0x0f;
    let code = (segment << 4) as u8 | step as u8;
    !(if sample < 0 { code | 0x80 } else { code })
}

fn linear(code: u8) -> i16 {
    let code = !code;
    let magnitude = (((i32::from(code & 0x0f) << 1) + 33) << ((code >> 4) & 7)) - 33;
    let sample = (magnitude << 2) as i16;
    if code & 0x80 == 0 { sample } else { -sample }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mu_law_gives_the_sample_back_within_its_step() {
        for sample in (-32_000..32_000i16).step_by(37) {
            let error = i32::from(linear(ulaw(sample))) - i32::from(sample);
            assert!(error.abs() <= 16 + i32::from(sample).abs() / 30, "{sample}: {error}");
        }
        assert_eq!((ulaw(0), linear(0xff), linear(0x80), linear(0x00)), (0xff, 0, 32_124, -32_124));
    }
}
