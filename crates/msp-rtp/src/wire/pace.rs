//! Packet times other than 20 ms: audio is held until a packet is full.

use serde::{Deserialize, Serialize};
use tspi::media::{FRAME_SAMPLES, Frame};

/// Samples of the longest packet: 60 ms.
pub(crate) const MAX_SAMPLES: usize = 480;
/// Samples of a millisecond.
const MS: usize = 8;

/// Audio that waits for its packet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Pace {
    /// Samples in a packet.
    samples: usize,
    /// Ticks of the RTP clock in a sample.
    scale: u32,
    held: Vec<i16>,
    /// Timestamp of the first that is held.
    start: u32,
}

impl Pace {
    pub fn new() -> Pace {
        Pace { samples: FRAME_SAMPLES, scale: 1, held: Vec::new(), start: 0 }
    }

    /// Sets the packet time: 10 to 60 ms, in steps of 10.
    pub fn set(&mut self, ptime_ms: u32, scale: u32) {
        self.scale = scale;
        self.samples = (ptime_ms.clamp(10, 60) / 10 * 10) as usize * MS;
    }

    pub fn ptime_ms(&self) -> u32 {
        (self.samples / MS) as u32
    }

    /// Whether each frame is a packet.
    pub fn is_plain(&self) -> bool {
        self.samples == FRAME_SAMPLES && self.held.is_empty()
    }

    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Whether a frame that begins at `timestamp` follows what is held.
    pub fn follows(&self, timestamp: u32) -> bool {
        self.held.is_empty() || self.start.wrapping_add(self.held.len() as u32 * self.scale) == timestamp
    }

    /// Holds a frame that begins at `timestamp`.
    pub fn push(&mut self, timestamp: u32, frame: &Frame) {
        if self.held.is_empty() {
            self.start = timestamp;
            self.held.reserve(MAX_SAMPLES + FRAME_SAMPLES);
        }
        self.held.extend_from_slice(&frame.0);
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
        self.start = start.wrapping_add(count as u32 * self.scale);
        Some((start, count))
    }
}
