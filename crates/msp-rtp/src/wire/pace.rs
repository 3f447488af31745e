//! Packet times other than 20 ms: audio is held until a packet is full.

use serde::{Deserialize, Serialize};
use tspi::media::{AudioFrame, FRAME_SAMPLES, Rate};

/// Samples of the longest packet: 60 ms at 16 kHz.
pub(crate) const MAX_SAMPLES: usize = 960;
/// Samples of a millisecond at 8 kHz.
const MS: usize = 8;

/// Audio that waits for its packet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Pace {
    /// Samples in a packet.
    samples: usize,
    rate: Rate,
    /// Ticks of the RTP clock in a sample at 8 kHz.
    scale: u32,
    held: Vec<i16>,
    /// Timestamp of the first that is held.
    start: u32,
}

impl Pace {
    pub fn new() -> Pace {
        Pace { samples: FRAME_SAMPLES, rate: Rate::Narrow, scale: 1, held: Vec::new(), start: 0 }
    }

    /// Sets the packet time: 10 to 60 ms, in steps of 10. What is held at another rate is forgotten.
    pub fn set(&mut self, ptime_ms: u32, rate: Rate, scale: u32) {
        if self.rate != rate {
            self.held.clear();
        }
        (self.rate, self.scale) = (rate, scale);
        self.samples = (ptime_ms.clamp(10, 60) / 10 * 10) as usize * MS * rate.factor();
    }

    pub fn ptime_ms(&self) -> u32 {
        (self.samples / MS / self.rate.factor()) as u32
    }

    /// Ticks of the RTP clock in so many samples.
    fn ticks(&self, samples: usize) -> u32 {
        (samples / self.rate.factor()) as u32 * self.scale
    }

    /// Whether each frame is a packet.
    pub fn is_plain(&self) -> bool {
        self.samples == self.rate.frame_samples() && self.held.is_empty()
    }

    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Whether a frame that begins at `timestamp` follows what is held.
    pub fn follows(&self, timestamp: u32) -> bool {
        self.held.is_empty() || self.start.wrapping_add(self.ticks(self.held.len())) == timestamp
    }

    /// Holds a frame that begins at `timestamp`.
    pub fn push(&mut self, timestamp: u32, frame: &AudioFrame) {
        if self.held.is_empty() {
            self.start = timestamp;
            self.held.reserve(MAX_SAMPLES + self.rate.frame_samples());
        }
        self.held.extend_from_slice(frame.samples());
    }

    /// A full packet's samples with their timestamp, or with `rest` whatever is held.
    pub fn take(&mut self, rest: bool, room: &mut [i16; MAX_SAMPLES]) -> Option<(u32, usize)> {
        let count = if rest { self.held.len().min(self.samples) } else { self.samples };
        if count == 0 || self.held.len() < count {
            return None;
        }
        room.get_mut(..count)?.copy_from_slice(self.held.get(..count)?);
        self.held.drain(..count);
        let start = self.start;
        self.start = start.wrapping_add(self.ticks(count));
        Some((start, count))
    }
}
