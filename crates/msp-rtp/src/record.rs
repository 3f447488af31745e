//! Recordings: both directions side by side, handed on a second at a time so that writing costs the streams nothing.

use crate::generate::Pace;
use crate::resample::Converter;
use serde::{Deserialize, Serialize};
use tapi::OperationId;
use tspi::media::{AudioFrame, Rate};

/// Frames that are handed on at once: what a killed process loses of a recording at most.
const BLOCK: u64 = 50;

/// A recording.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub operation: OperationId,
    max_ms: Option<u64>,
    frames: u64,
    pub pace: Pace,
    rate: Rate,
    received: Converter,
    sent: Converter,
    /// Recorded and not handed on yet.
    block: Vec<u8>,
    /// Frames after which it is handed on.
    due: u64,
    /// Frames that were handed on before the last block.
    safe: u64,
}

impl Record {
    /// The first block is shorter by chance of its number, so that recordings that begin together are not written together.
    pub fn new(operation: OperationId, max_ms: Option<u64>, rate: Rate) -> Record {
        let (due, received, sent) = (operation.0 % BLOCK + 1, Converter::default(), Converter::default());
        Record { operation, max_ms, frames: 0, pace: Pace::Runs, rate, received, sent, block: Vec::new(), due, safe: 0 }
    }

    pub fn millis(&self) -> u64 {
        self.frames * 20
    }

    /// How much of it was written where the last block could not be.
    pub fn safe_millis(&self) -> u64 {
        self.safe * 20
    }

    /// Whether there is as much as was asked for.
    pub fn is_full(&self) -> bool {
        self.max_ms.is_some_and(|max_ms| self.millis() >= max_ms)
    }

    /// Takes 20 ms, unless it stands still; gives what is to be handed on.
    pub fn take(&mut self, received: &AudioFrame, sent: &AudioFrame) -> Option<Vec<u8>> {
        if self.pace == Pace::Stands {
            return None;
        }
        self.frames += 1;
        if self.block.capacity() == 0 {
            let frames = self.due.saturating_sub(self.frames) as usize + 1;
            self.block.reserve_exact(frames * self.frame_octets());
        }
        let (left, right) = (self.received.convert(received, self.rate), self.sent.convert(sent, self.rate));
        let start = self.block.len();
        self.block.resize(start + self.frame_octets(), 0);
        let room = self.block.get_mut(start..).unwrap_or_default();
        for ((octets, left), right) in room.chunks_exact_mut(4).zip(left.samples()).zip(right.samples()) {
            let both = u32::from(left.cast_unsigned()) | u32::from(right.cast_unsigned()) << 16;
            octets.copy_from_slice(&both.to_le_bytes());
        }
        if self.frames < self.due {
            return None;
        }
        self.safe = self.frames.saturating_sub((self.block.len() / self.frame_octets()) as u64);
        self.due = self.frames + BLOCK;
        self.rest()
    }

    /// What was not handed on yet.
    pub fn rest(&mut self) -> Option<Vec<u8>> {
        Some(std::mem::take(&mut self.block)).filter(|block| !block.is_empty())
    }

    /// Octets of both channels in 20 ms.
    fn frame_octets(&self) -> usize {
        4 * self.rate.frame_samples()
    }
}
