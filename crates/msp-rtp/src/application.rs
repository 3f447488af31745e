//! Audio of an application: it may come in bursts and is played at the pace of the tick. Between its frames it may put
//! marks, to be told when they are reached; it may ask how much waits, and drop that.

use crate::resample::Converter;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use tapi::OperationId;
use tspi::media::{Ask, AudioFrame, Rate, Told};

/// Frames that wait at most: half a second, or what the application asks for, up to a minute. Beyond it the oldest are
/// dropped, so that no delay stays.
pub(crate) const CAP: usize = 25;
const MOST: usize = 3000;
/// Frames that are waited for after the queue ran empty, and ticks that are waited at most.
const PREFILL: usize = 2;
/// Marks that wait at most; one more is told as cleared.
const MARKS: usize = 64;

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
    #[serde(skip)]
    marks: Marks,
    limit: usize,
}

/// Marks among the frames, and what is to be told.
#[derive(Clone, Debug, Default)]
struct Marks {
    /// Frames that were given, and that wait no longer.
    given: u64,
    gone: u64,
    /// Each with the frames that were given before it.
    waiting: VecDeque<(u64, u32)>,
    told: VecDeque<Told>,
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
        let marks = Marks::default();
        let playout = Playout::Filling(0);
        Application { operation, rate, to_rate, ticks: 0, dropped: 0, playout, waiting, marks, limit: CAP }
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
        if self.waiting.len() >= self.limit && self.waiting.pop_front().is_some() {
            self.dropped += 1;
            self.marks.gone += 1;
        }
        self.waiting.push_back(*frame);
        self.marks.given += 1;
    }

    /// Takes what the application asks.
    pub fn ask(&mut self, ask: Ask) {
        match ask {
            Ask::Mark(number) if self.marks.waiting.len() >= MARKS => self.marks.tell(Told::Cleared(number)),
            Ask::Mark(number) => self.marks.waiting.push_back((self.marks.given, number)),
            Ask::Clear => {
                self.waiting.clear();
                self.marks.gone = self.marks.given;
                while let Some((_, number)) = self.marks.waiting.pop_front() {
                    self.marks.tell(Told::Cleared(number));
                }
            }
            Ask::Depth => self.marks.tell(Told::Depth(self.waiting.len() as u32 * 20)),
            Ask::Limit(millis) => self.limit = (millis as usize / 20).clamp(PREFILL, MOST),
        }
    }

    /// The next thing that the application is to be told.
    pub fn told(&mut self) -> Option<Told> {
        self.marks.told.pop_front()
    }

    /// The next 20 ms, where there are.
    pub fn step(&mut self) -> Option<AudioFrame> {
        self.ticks += 1;
        self.marks.reach();
        self.playout = match self.playout {
            Playout::Filling(_) if self.waiting.is_empty() => Playout::Filling(0),
            Playout::Filling(ticks) if self.waiting.len() < PREFILL && ticks < PREFILL => Playout::Filling(ticks + 1),
            Playout::Filling(_) => Playout::Playing,
            Playout::Playing if self.waiting.is_empty() => Playout::Filling(0),
            Playout::Playing => Playout::Playing,
        };
        match self.playout {
            Playout::Playing => self.waiting.pop_front().inspect(|_| self.marks.gone += 1),
            Playout::Filling(_) => None,
        }
    }
}

impl Marks {
    /// Marks that have no frame before them any more were played: they are looked at when the next frame is due.
    fn reach(&mut self) {
        while let Some((_, number)) = self.waiting.front().copied().filter(|(before, _)| *before <= self.gone) {
            self.waiting.pop_front();
            self.tell(Told::Played(number));
        }
    }

    /// What is not taken does not pile up.
    fn tell(&mut self, told: Told) {
        if self.told.len() < 2 * MARKS {
            self.told.push_back(told);
        }
    }
}
