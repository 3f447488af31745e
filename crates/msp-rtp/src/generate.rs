//! What a stream makes itself: runs of digits, tones, playbacks. Each gives 20 ms at a time until it is done.

use crate::event::{EventPacket, EventSender, code_of};
use crate::tone::Tone;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tapi::OperationId;
use tspi::media::{FRAME_SAMPLES, Frame};

const FRAME_MS: u64 = 20;
/// Length of a digit in milliseconds where none is asked, and the bounds of what may be asked.
const DIGIT_MS: u32 = 100;
const DIGIT_MS_BOUNDS: std::ops::RangeInclusive<u32> = 40..=600_000;
/// Silence after a digit, in frames.
const GAP_FRAMES: u32 = 5;
/// A comma, in frames.
const PAUSE_FRAMES: u32 = 100;
/// Digits in a run at most.
const MAX_DIGITS: usize = 1024;
/// Frequencies' levels are kept within this, in dBm0.
const LEVELS: std::ops::RangeInclusive<i32> = -60..=3;

/// 20 ms of something.
#[allow(clippy::large_enum_variant, reason = "moved once and never allocated")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Sound {
    /// Audio.
    Audio(Frame),
    /// An event in place of audio.
    Event(EventPacket),
}

/// An operation that makes sound.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Generate {
    pub operation: OperationId,
    /// Frames so far.
    frames: u64,
    kind: Kind,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Tone {
        tone: Tone,
        /// Samples to come.
        left: u64,
    },
    Digits {
        digits: Vec<char>,
        next: usize,
        /// Of a digit.
        samples: u32,
        step: Step,
    },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    Quiet { frames: u32 },
    Tone { tone: Tone, left: u64 },
    Event(EventSender),
}

impl Generate {
    /// A tone; `None` where it cannot be made.
    pub fn tone(operation: OperationId, hz: &[u32], duration_ms: u32, level_dbm0: i32) -> Option<Generate> {
        let level = f64::from(level_dbm0.clamp(*LEVELS.start(), *LEVELS.end()));
        let mut parts = Vec::with_capacity(hz.len().min(8));
        parts.extend(hz.iter().take(8).map(|hz| (*hz, level)));
        let kind = Kind::Tone { tone: Tone::new(&parts)?, left: u64::from(duration_ms) * 8 };
        Some(Generate { operation, frames: 0, kind })
    }

    /// A run of digits; `None` where there is something else in it.
    pub fn digits(operation: OperationId, digits: &str, duration_ms: Option<u32>) -> Option<Generate> {
        let digits: Vec<char> = digits.chars().take(MAX_DIGITS + 1).collect();
        if digits.len() > MAX_DIGITS || !digits.iter().all(|digit| *digit == ',' || code_of(*digit).is_some()) {
            return None;
        }
        let ms = duration_ms.unwrap_or(DIGIT_MS).clamp(*DIGIT_MS_BOUNDS.start(), *DIGIT_MS_BOUNDS.end());
        let kind = Kind::Digits { digits, next: 0, samples: ms * 8, step: Step::Quiet { frames: 0 } };
        Some(Generate { operation, frames: 0, kind })
    }

    /// How much there was so far.
    pub fn millis(&self) -> u64 {
        self.frames * FRAME_MS
    }

    /// The next 20 ms, which begin at `timestamp`; digits as events where `events`. `None`: it is done.
    pub fn step(&mut self, timestamp: u32, events: bool) -> Option<Sound> {
        let sound = match &mut self.kind {
            Kind::Tone { tone, left } => part_of(tone, left).map(Sound::Audio),
            Kind::Digits { digits, next, samples, step } => loop {
                if let Some(sound) = step.step() {
                    break Some(sound);
                }
                // A digit is followed by silence, so that two of the same stay two.
                if !matches!(step, Step::Quiet { .. }) {
                    *step = Step::Quiet { frames: GAP_FRAMES };
                    continue;
                }
                let Some(digit) = digits.get(*next) else { break None };
                *next += 1;
                *step = Step::of(*digit, *samples, timestamp, events);
            },
        };
        self.frames += u64::from(sound.is_some());
        sound
    }
}

impl Step {
    fn of(digit: char, samples: u32, timestamp: u32, events: bool) -> Step {
        match (code_of(digit), Tone::of_digit(digit)) {
            (Some(code), _) if events => Step::Event(EventSender::new(code, timestamp, Some(samples))),
            (Some(_), Some(tone)) => Step::Tone { tone, left: u64::from(samples) },
            _ => Step::Quiet { frames: PAUSE_FRAMES },
        }
    }

    fn step(&mut self) -> Option<Sound> {
        match self {
            Step::Quiet { frames: 0 } => None,
            Step::Quiet { frames } => {
                *frames -= 1;
                Some(Sound::Audio(Frame::SILENCE))
            }
            Step::Tone { tone, left } => part_of(tone, left).map(Sound::Audio),
            Step::Event(sender) => sender.step().map(Sound::Event),
        }
    }
}

/// A frame of a tone of which so many samples are left.
fn part_of(tone: &mut Tone, left: &mut u64) -> Option<Frame> {
    if *left == 0 {
        return None;
    }
    let mut frame = tone.frame();
    if let Some(rest) = usize::try_from(*left).ok().and_then(|left| frame.0.get_mut(left..)) {
        rest.fill(0);
    }
    *left = left.saturating_sub(FRAME_SAMPLES as u64);
    Some(frame)
}

/// A playback.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Play {
    pub operation: OperationId,
    repeat: bool,
    frames: u64,
    state: PlayState,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PlayState {
    /// The file is being read.
    Loading,
    /// The samples are not part of a snapshot: after one the playback ends.
    Playing {
        #[serde(skip)]
        samples: Option<Arc<[i16]>>,
        position: usize,
    },
}

impl Play {
    pub fn new(operation: OperationId, repeat: bool) -> Play {
        Play { operation, repeat, frames: 0, state: PlayState::Loading }
    }

    pub fn load(&mut self, samples: Arc<[i16]>) {
        self.state = PlayState::Playing { samples: Some(samples), position: 0 };
    }

    pub fn is_playing(&self) -> bool {
        matches!(self.state, PlayState::Playing { .. })
    }

    pub fn millis(&self) -> u64 {
        self.frames * FRAME_MS
    }

    /// The next 20 ms; `None`: it is done. What is repeated has no gap.
    pub fn step(&mut self) -> Option<Frame> {
        let PlayState::Playing { samples: Some(samples), position } = &mut self.state else { return None };
        samples.get(*position)?;
        let mut frame = Frame::SILENCE;
        for sample in &mut frame.0 {
            let Some(played) = samples.get(*position) else { break };
            *sample = *played;
            *position += 1;
            if self.repeat && *position == samples.len() {
                *position = 0;
            }
        }
        self.frames += 1;
        Some(frame)
    }
}
