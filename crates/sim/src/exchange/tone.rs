//! Tones: the exchange's own, DTMF, and levels in dBm0.

use std::collections::VecDeque;
use std::f64::consts::TAU;
use tspi::Frame;
use tspi::media::FRAME_SAMPLES;

/// Samples a second.
pub const RATE: f64 = 8_000.0;
/// Root mean square of 16-bit samples at 0 dBm0: the digital milliwatt of ITU-T G.711 table 5, decoded.
pub const RMS_0DBM0: f64 = 16_020.0;
/// The level that stands for silence, in tenths of dBm0.
pub const SILENCE_DDBM0: i32 = -900;

/// The peak of a sine at a level in tenths of dBm0.
pub fn peak(level_ddbm0: i32) -> f64 {
    RMS_0DBM0 * std::f64::consts::SQRT_2 * 10f64.powf(f64::from(level_ddbm0) / 200.0)
}

/// The level of a mean square of samples, in tenths of dBm0, never below [`SILENCE_DDBM0`].
pub fn level_ddbm0(mean_square: f64) -> i32 {
    if mean_square < 1e-3 {
        return SILENCE_DDBM0;
    }
    let level = 100.0 * (mean_square / (RMS_0DBM0 * RMS_0DBM0)).log10();
    (level.round() as i32).max(SILENCE_DDBM0)
}

/// One or two frequencies for a while.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segment {
    /// Frequencies in Hz; 0 for none.
    pub hz: [f64; 2],
    /// Level of each, in tenths of dBm0.
    pub level_ddbm0: i32,
    /// How long, in samples.
    pub samples: u32,
}

impl Segment {
    /// A segment of `millis`.
    pub const fn new(f1: f64, f2: f64, level_ddbm0: i32, millis: u32) -> Segment {
        Segment { hz: [f1, f2], level_ddbm0, samples: millis * 8 }
    }

    /// Silence of `millis`.
    pub const fn silence(millis: u32) -> Segment {
        Segment::new(0.0, 0.0, SILENCE_DDBM0, millis)
    }

    /// A DTMF digit (ITU-T Q.23), both frequencies at -8 dBm0.
    pub fn digit(digit: char, millis: u32) -> Option<Segment> {
        let (row, column) = dtmf(digit)?;
        Some(Segment::new(row, column, -80, millis))
    }
}

/// Rows of the DTMF keypad in Hz.
pub const ROWS: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
/// Columns of the DTMF keypad in Hz.
pub const COLUMNS: [f64; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
/// The keypad.
pub const KEYS: [[char; 4]; 4] =
    [['1', '2', '3', 'A'], ['4', '5', '6', 'B'], ['7', '8', '9', 'C'], ['*', '0', '#', 'D']];

/// The frequencies of a digit.
pub fn dtmf(digit: char) -> Option<(f64, f64)> {
    for (row, keys) in ROWS.iter().zip(KEYS) {
        for (column, key) in COLUMNS.iter().zip(keys) {
            if key == digit.to_ascii_uppercase() {
                return Some((*row, *column));
            }
        }
    }
    None
}

/// An oscillator of two frequencies that keeps its phase from frame to frame.
#[derive(Clone, Debug, Default)]
struct Oscillator {
    phase: [f64; 2],
}

impl Oscillator {
    fn sample(&mut self, segment: &Segment) -> i16 {
        let peak = peak(segment.level_ddbm0);
        let mut sum = 0.0;
        for (phase, hz) in self.phase.iter_mut().zip(segment.hz) {
            if hz > 0.0 {
                sum += peak * phase.sin();
                *phase = (*phase + TAU * hz / RATE) % TAU;
            }
        }
        sum.round().clamp(-32_768.0, 32_767.0) as i16
    }
}

/// A tone of the exchange, from its beginning.
#[derive(Clone, Debug)]
pub struct Cadence {
    segments: &'static [Segment],
    at: usize,
    done: u32,
    oscillator: Oscillator,
}

impl Cadence {
    /// The tone, from its beginning.
    pub fn new(segments: &'static [Segment]) -> Cadence {
        Cadence { segments, at: 0, done: 0, oscillator: Oscillator::default() }
    }

    /// The next 20 ms.
    pub fn frame(&mut self) -> Frame {
        let segments = self.segments;
        let mut frame = Frame::SILENCE;
        for sample in &mut frame.0 {
            let segment = &segments[self.at % segments.len()];
            *sample = self.oscillator.sample(segment);
            self.done += 1;
            if self.done >= segment.samples {
                self.done = 0;
                self.at = (self.at + 1) % segments.len();
            }
        }
        frame
    }
}

/// A queue of segments that is played once.
#[derive(Clone, Debug, Default)]
pub struct Player {
    queue: VecDeque<Segment>,
    oscillator: Oscillator,
}

impl Player {
    /// Adds a segment.
    pub fn push(&mut self, segment: Segment) {
        if segment.samples > 0 {
            self.queue.push_back(segment);
        }
    }

    /// Adds a DTMF digit and the gap after it; nothing for what is no digit.
    pub fn digit(&mut self, digit: char, on_ms: u32, off_ms: u32) {
        if let Some(segment) = Segment::digit(digit, on_ms) {
            self.push(segment);
            self.push(Segment::silence(off_ms));
        }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Drops what is left.
    pub fn clear(&mut self) {
        self.queue.clear();
    }

    /// The next 20 ms; `None` when nothing was left.
    pub fn frame(&mut self) -> Option<Frame> {
        if self.queue.is_empty() {
            return None;
        }
        let mut frame = Frame::SILENCE;
        for sample in &mut frame.0 {
            let Some(segment) = self.queue.front_mut() else { break };
            *sample = self.oscillator.sample(segment);
            segment.samples -= 1;
            if segment.samples == 0 {
                self.queue.pop_front();
                self.oscillator = Oscillator::default();
            }
        }
        Some(frame)
    }
}

/// A tone without end.
#[derive(Clone, Debug)]
pub struct Steady {
    segment: Segment,
    oscillator: Oscillator,
}

impl Steady {
    /// A sine.
    pub fn new(hz: f64, level_ddbm0: i32) -> Steady {
        Steady { segment: Segment::new(hz, 0.0, level_ddbm0, 20), oscillator: Oscillator::default() }
    }

    /// The next 20 ms.
    pub fn frame(&mut self) -> Frame {
        let mut frame = Frame::SILENCE;
        for sample in &mut frame.0 {
            *sample = self.oscillator.sample(&self.segment);
        }
        frame
    }
}

/// Adds one frame to another, without wrapping.
pub fn mix(into: &mut Frame, other: &Frame) {
    for (sample, more) in into.0.iter_mut().zip(other.0) {
        *sample = sample.saturating_add(more);
    }
}

/// Milliseconds of a frame.
pub const FRAME_MS: u32 = (FRAME_SAMPLES / 8) as u32;
