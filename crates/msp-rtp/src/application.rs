//! Audio of an application: it may come in bursts and is played at the pace of the tick.

use crate::resample::Converter;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use tapi::OperationId;
use tspi::media::{AudioFrame, Rate};

/// Frames that wait at most: half a second. Beyond it the oldest are dropped, so that no delay stays.
pub(crate) const CAP: usize = 25;
/// Frames that are waited for after the queue ran empty, and ticks that are waited at most.
const PREFILL: usize = 2;

/// The operation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Application {
    pub operation: OperationId,
    rate: Rate,
    to_rate: Converter,
    ticks: u64,
    /// Frames dropped.
    pub dropped: u64,
    playout: Playout,
    /// An application's socket does not outlive a restart, so what waits is not kept.
    #[serde(skip)]
    waiting: VecDeque<AudioFrame>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Playout {
    /// Waits for some frames, so many ticks already since the first.
    Filling(usize),
    Playing,
}

impl Application {
    pub fn new(operation: OperationId, rate: Rate) -> Application {
        let (waiting, to_rate) = (VecDeque::with_capacity(CAP), Converter::default());
        Application { operation, rate, to_rate, ticks: 0, dropped: 0, playout: Playout::Filling(0), waiting }
    }

    /// What the far end said, for the application.
    pub fn heard(&mut self, frame: &AudioFrame) -> AudioFrame {
        self.to_rate.convert(frame, self.rate)
    }

    pub fn millis(&self) -> u64 {
        self.ticks * 20
    }

    /// Takes a frame of the application.
    pub fn push(&mut self, frame: &AudioFrame) {
        if self.waiting.len() >= CAP {
            self.waiting.pop_front();
            self.dropped += 1;
        }
        self.waiting.push_back(*frame);
    }

    /// The next 20 ms, where there are.
    pub fn step(&mut self) -> Option<AudioFrame> {
        self.ticks += 1;
        self.playout = match self.playout {
            Playout::Filling(_) if self.waiting.is_empty() => Playout::Filling(0),
            Playout::Filling(ticks) if self.waiting.len() < PREFILL && ticks < PREFILL => Playout::Filling(ticks + 1),
            Playout::Filling(_) => Playout::Playing,
            Playout::Playing if self.waiting.is_empty() => Playout::Filling(0),
            Playout::Playing => Playout::Playing,
        };
        match self.playout {
            Playout::Playing => self.waiting.pop_front(),
            Playout::Filling(_) => None,
        }
    }
}
