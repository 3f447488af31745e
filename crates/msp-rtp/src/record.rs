//! Recordings: both directions side by side, handed on a second at a time so that writing costs the streams nothing.

use crate::generate::Pace;
use serde::{Deserialize, Serialize};
use tapi::OperationId;
use tspi::media::{FRAME_SAMPLES, Frame};

/// Frames that are handed on at once: what a killed process loses of a recording at most.
const BLOCK: u64 = 50;

/// A recording.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub operation: OperationId,
    max_ms: Option<u64>,
    frames: u64,
    pub pace: Pace,
    /// Recorded and not handed on yet.
    block: Vec<i16>,
    /// Frames after which it is handed on.
    due: u64,
    /// Frames that were handed on before the last block.
    safe: u64,
}

impl Record {
    /// The first block is shorter by chance of its number, so that recordings that begin together are not written together.
    pub fn new(operation: OperationId, max_ms: Option<u64>) -> Record {
        let due = operation.0 % BLOCK + 1;
        Record { operation, max_ms, frames: 0, pace: Pace::Runs, block: Vec::new(), due, safe: 0 }
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
    pub fn take(&mut self, received: &Frame, sent: &Frame) -> Option<Vec<i16>> {
        if self.pace == Pace::Stands {
            return None;
        }
        self.frames += 1;
        if self.block.capacity() == 0 {
            self.block.reserve_exact((self.due.saturating_sub(self.frames) as usize + 1) * 2 * FRAME_SAMPLES);
        }
        self.block.extend(received.0.iter().zip(&sent.0).flat_map(|(received, sent)| [*received, *sent]));
        if self.frames < self.due {
            return None;
        }
        self.safe = self.frames.saturating_sub(frames_in(&self.block));
        self.due = self.frames + BLOCK;
        self.rest()
    }

    /// What was not handed on yet.
    pub fn rest(&mut self) -> Option<Vec<i16>> {
        Some(std::mem::take(&mut self.block)).filter(|block| !block.is_empty())
    }
}

fn frames_in(block: &[i16]) -> u64 {
    (block.len() / (2 * FRAME_SAMPLES)) as u64
}
