//! What a stream makes itself: runs of digits, tones, playbacks. Each gives 20 ms at a time until it is done.

use crate::event::{EventPacket, EventSender, code_of};
use crate::progress::{Country, Stretch};
use crate::tone::Tone;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tapi::{OperationId, ProgressTone};
use tspi::media::{AudioFrame, FRAME_SAMPLES, Frame, Rate};

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
    Audio(AudioFrame),
    /// An event in place of audio.
    Event(EventPacket),
}

impl From<Frame> for Sound {
    fn from(frame: Frame) -> Sound {
        Sound::Audio(frame.into())
    }
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
    Cadence(Cadence),
}

/// A tone of call progress that sounds.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Cadence {
    country: String,
    name: ProgressTone,
    /// Which stretch, and samples of it so far.
    stretch: usize,
    done: u64,
    tone: Tone,
    /// Samples to come; none: without end.
    left: Option<u64>,
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

    /// A tone of call progress; `None` for what is no tone.
    pub fn progress(
        operation: OperationId,
        country: &str,
        name: ProgressTone,
        duration_ms: Option<u32>,
    ) -> Option<Generate> {
        let tone = tone_of(Country::named(country).cadence(&name).first()?)?;
        let left = duration_ms.map(|ms| u64::from(ms) * 8);
        let country = Country::named(country).name.to_owned();
        let kind = Kind::Cadence(Cadence { country, name, stretch: 0, done: 0, tone, left });
        Some(Generate { operation, frames: 0, kind })
    }

    /// How much there was so far.
    pub fn millis(&self) -> u64 {
        self.frames * FRAME_MS
    }

    /// The next 20 ms, which begin at `timestamp`; digits as events where there are `events`, with so many ticks of their clock in a sample. `None`: it is done.
    pub fn step(&mut self, timestamp: u32, events: Option<u32>) -> Option<Sound> {
        let sound = match &mut self.kind {
            Kind::Tone { tone, left } => part_of(tone, left).map(Sound::from),
            Kind::Cadence(cadence) => cadence.step().map(Sound::from),
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
    fn of(digit: char, samples: u32, timestamp: u32, events: Option<u32>) -> Step {
        match (code_of(digit), events, Tone::of_digit(digit)) {
            (Some(code), Some(scale), _) => {
                Step::Event(EventSender::new(code, timestamp, Some(samples)).with_clock(scale))
            }
            (Some(_), None, Some(tone)) => Step::Tone { tone, left: u64::from(samples) },
            _ => Step::Quiet { frames: PAUSE_FRAMES },
        }
    }

    fn step(&mut self) -> Option<Sound> {
        match self {
            Step::Quiet { frames: 0 } => None,
            Step::Quiet { frames } => {
                *frames -= 1;
                Some(Sound::Audio(AudioFrame::SILENCE))
            }
            Step::Tone { tone, left } => part_of(tone, left).map(Sound::from),
            Step::Event(sender) => sender.step().map(Sound::Event),
        }
    }
}

fn tone_of(stretch: &Stretch) -> Option<Tone> {
    let mut parts = [(0, 0.0); 4];
    let count = stretch.hz.len().min(parts.len());
    parts.iter_mut().zip(stretch.hz).for_each(|(part, hz)| *part = (*hz, stretch.level_dbm0()));
    Tone::new(parts.get(..count)?)
}

impl Cadence {
    /// The next 20 ms; `None`: it is done.
    fn step(&mut self) -> Option<Frame> {
        let mut frame = Frame::SILENCE;
        let wanted = self.left.map_or(FRAME_SAMPLES, |left| left.min(FRAME_SAMPLES as u64) as usize);
        if wanted == 0 {
            return None;
        }
        self.left = self.left.map(|left| left - wanted as u64);
        let cadence = Country::named(&self.country).cadence(&self.name);
        let mut at = 0;
        while at < wanted {
            let stretch = cadence.get(self.stretch % cadence.len().max(1))?;
            let on = if stretch.on_ms == 0 { u64::MAX } else { u64::from(stretch.on_ms) * 8 };
            let end = on.saturating_add(u64::from(stretch.off_ms) * 8);
            let room = frame.0.get_mut(at..wanted)?;
            let border = if self.done < on { on } else { end };
            let count = room.len().min(usize::try_from(border - self.done).unwrap_or(usize::MAX));
            if self.done < on {
                self.tone.fill(room.get_mut(..count)?);
            }
            at += count;
            self.done += count as u64;
            if self.done == end {
                self.stretch = (self.stretch + 1) % cadence.len();
                self.done = 0;
                self.tone = tone_of(cadence.get(self.stretch)?)?;
            }
        }
        Some(frame)
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
    pub pace: Pace,
    state: PlayState,
}

/// Whether an operation goes on or stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Pace {
    Runs,
    Stands,
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
        rate: Rate,
        position: usize,
    },
}

impl Play {
    pub fn new(operation: OperationId, repeat: bool) -> Play {
        Play { operation, repeat, frames: 0, pace: Pace::Runs, state: PlayState::Loading }
    }

    pub fn load(&mut self, samples: Arc<[i16]>, rate: Rate) {
        self.state = PlayState::Playing { samples: Some(samples), rate, position: 0 };
    }

    pub fn is_playing(&self) -> bool {
        matches!(self.state, PlayState::Playing { .. })
    }

    pub fn millis(&self) -> u64 {
        self.frames * FRAME_MS
    }

    /// The next 20 ms, silence while it stands; `None`: it is done. What is repeated has no gap.
    pub fn step(&mut self) -> Option<AudioFrame> {
        let PlayState::Playing { samples: Some(samples), rate, position } = &mut self.state else { return None };
        samples.get(*position)?;
        if self.pace == Pace::Stands {
            return Some(AudioFrame::silence(*rate));
        }
        let mut frame = AudioFrame::silence(*rate);
        let mut room = frame.samples_mut();
        while let Some(rest) = samples.get(*position..).filter(|rest| !rest.is_empty() && !room.is_empty()) {
            let (now, later) = room.split_at_mut(rest.len().min(room.len()));
            now.copy_from_slice(rest.get(..now.len()).unwrap_or_default());
            *position += now.len();
            if self.repeat && *position == samples.len() {
                *position = 0;
            }
            room = later;
        }
        self.frames += 1;
        Some(frame)
    }
}
