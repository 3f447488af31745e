//! Telephone events (RFC 4733), both ways.

use serde::{Deserialize, Serialize};
use std::time::Duration;
use tapi::Time;
use tspi::media::FRAME_SAMPLES;

const DIGITS: &[u8; 16] = b"0123456789*#ABCD";
/// The longest duration that a packet can tell; a longer event is sent in segments (RFC 4733 section 2.5.1.3).
const SEGMENT: u32 = 0xffff;
/// Volume of what is sent, in -dBm0.
const VOLUME: u8 = 10;
/// How often the end is told (RFC 4733 section 2.5.1.4).
const END_PACKETS: u8 = 3;
/// Without packets for so long an event is over: three of the slowest senders' packets.
const SILENCE: Duration = Duration::from_millis(160);
/// Packets of an earlier event may come so late, in samples and in time.
const STALE_SAMPLES: u32 = 5 * 8000;
const STALE: Duration = Duration::from_secs(1);
/// The least time for which a digit is passed on as a tone.
const SHORTEST_TONE: Duration = Duration::from_millis(60);

/// The event code of a digit.
pub fn code_of(digit: char) -> Option<u8> {
    let digit = digit.to_ascii_uppercase();
    DIGITS.iter().position(|other| char::from(*other) == digit).map(|code| code as u8)
}

/// The digit of an event code.
pub fn digit_of(code: u8) -> Option<char> {
    DIGITS.get(usize::from(code)).map(|digit| char::from(*digit))
}

/// One packet of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventPacket {
    /// On the first packet of an event.
    pub marker: bool,
    /// When the event, or this segment of it, began.
    pub timestamp: u32,
    /// The four octets of RFC 4733 section 2.3.
    pub payload: [u8; 4],
    /// Duration so far, in samples.
    pub duration: u16,
}

/// One event that is being sent, a packet every 20 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventSender {
    code: u8,
    /// Of the segment.
    timestamp: u32,
    /// In samples, of the segment.
    elapsed: u32,
    /// Samples still to come; `None` until [`finish`](EventSender::finish).
    remaining: Option<u32>,
    /// Ticks of the RTP clock in a sample at 8 kHz.
    scale: u32,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    First,
    Going,
    Ending { left: u8 },
}

impl EventSender {
    /// An event that begins at `timestamp` and lasts so many samples, or until it is finished.
    pub fn new(code: u8, timestamp: u32, samples: Option<u32>) -> EventSender {
        EventSender { code, timestamp, elapsed: 0, remaining: samples, scale: 1, step: Step::First }
    }

    /// Counts durations by an RTP clock of so many times 8 kHz (RFC 4733 section 2.1): 6 beside Opus.
    pub fn with_clock(mut self, scale: u32) -> EventSender {
        self.scale = scale.clamp(1, 6);
        self.remaining = self.remaining.map(|remaining| remaining.saturating_mul(self.scale));
        self
    }

    /// It lasts no longer.
    pub fn finish(&mut self) {
        self.remaining = Some(0);
    }

    /// The packet for the next 20 ms; `None` when all was said.
    pub fn step(&mut self) -> Option<EventPacket> {
        let marker = self.step == Step::First;
        match self.step {
            Step::Ending { left: 0 } => return None,
            Step::Ending { left } => {
                self.step = Step::Ending { left: left - 1 };
                return Some(self.packet(false, true));
            }
            Step::First | Step::Going => {}
        }
        if self.elapsed == SEGMENT {
            self.timestamp = self.timestamp.wrapping_add(SEGMENT);
            self.elapsed = 0;
        }
        let frame = FRAME_SAMPLES as u32 * self.scale;
        let grow = frame.min(self.remaining.unwrap_or(frame)).min(SEGMENT - self.elapsed);
        self.elapsed += grow;
        self.remaining = self.remaining.map(|remaining| remaining - grow);
        self.step = Step::Going;
        let end = self.remaining == Some(0);
        if end {
            self.step = Step::Ending { left: END_PACKETS - 1 };
        }
        Some(self.packet(marker, end))
    }

    fn packet(&self, marker: bool, end: bool) -> EventPacket {
        let duration = self.elapsed.min(SEGMENT) as u16;
        let [high, low] = duration.to_be_bytes();
        let flags = if end { 0x80 | VOLUME } else { VOLUME };
        EventPacket { marker, timestamp: self.timestamp, payload: [self.code, flags, high, low], duration }
    }
}

/// The event that is being received. It is known by its timestamp, so neither the marker nor any end packet is needed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventReceiver {
    current: Option<Current>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Current {
    code: u8,
    timestamp: u32,
    duration: u16,
    began: Time,
    heard: Time,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    /// It goes on.
    Sounding,
    /// It is over: more of its packets say nothing new.
    Over,
}

impl EventReceiver {
    /// Takes an event's packet; gives the digit that begins with it. A digit is told at its leading edge, as
    /// LINEDIGITMODE_DTMF is: some senders do not end one before the next is pressed.
    pub fn packet(&mut self, now: Time, timestamp: u32, marker: bool, payload: &[u8]) -> Option<char> {
        let &[code, flags, high, low, ..] = payload else { return None };
        let digit = digit_of(code)?;
        let duration = u16::from_be_bytes([high, low]);
        let phase = if flags & 0x80 != 0 { Phase::Over } else { Phase::Sounding };
        let Some(current) = self.current.as_mut().filter(|current| current.is_same(timestamp, code, marker)) else {
            if self.current.as_ref().is_some_and(|current| current.is_stale(now, timestamp)) {
                return None;
            }
            self.current = Some(Current { code, timestamp, duration, began: now, heard: now, phase });
            return Some(digit);
        };
        if timestamp != current.timestamp {
            current.timestamp = timestamp;
            current.duration = 0;
        }
        current.heard = now;
        current.duration = current.duration.max(duration);
        if phase == Phase::Over {
            current.phase = Phase::Over;
        }
        None
    }

    /// Ends an event of which nothing was heard for some time.
    pub fn timeout(&mut self, now: Time) {
        if let Some(current) = self.current.as_mut().filter(|current| now.since(current.heard) >= SILENCE) {
            current.phase = Phase::Over;
        }
    }

    /// Forgets what goes on: the source is another one now.
    pub fn flush(&mut self) {
        self.current = None;
    }

    /// Whether an event goes on.
    pub fn is_open(&self) -> bool {
        self.current.is_some_and(|current| current.phase == Phase::Sounding)
    }

    /// The digit that sounds now, for a far end that hears no events, with when it began.
    pub fn sounding(&self, now: Time) -> Option<(char, Time)> {
        let current = self.current?;
        let sounds = current.phase == Phase::Sounding || now < current.began + SHORTEST_TONE;
        if sounds { Some((digit_of(current.code)?, current.began)) } else { None }
    }
}

impl Current {
    /// The same event, or its next segment.
    fn is_same(&self, timestamp: u32, code: u8, marker: bool) -> bool {
        let ahead = timestamp.wrapping_sub(self.timestamp);
        ahead == 0 || (!marker && code == self.code && ahead == SEGMENT && u32::from(self.duration) > SEGMENT - 4000)
    }

    fn is_stale(&self, now: Time, timestamp: u32) -> bool {
        let behind = self.timestamp.wrapping_sub(timestamp);
        (1..STALE_SAMPLES).contains(&behind) && now.since(self.heard) < STALE
    }
}

#[cfg(test)]
mod tests;
