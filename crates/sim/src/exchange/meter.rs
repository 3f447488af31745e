//! Measuring what is heard: Goertzel filters, DTMF, call progress tones, frequency and level.

use super::tone::{COLUMNS, KEYS, RATE, ROWS, level_ddbm0};
use std::f64::consts::TAU;
use tspi::Frame;

/// The mean square that a sine of this frequency contributes to the samples (Goertzel's algorithm).
pub fn power_at(samples: &[i16], hz: f64) -> f64 {
    let coefficient = 2.0 * (TAU * hz / RATE).cos();
    let (mut one, mut two) = (0.0, 0.0);
    for sample in samples {
        let zero = f64::from(*sample) + coefficient * one - two;
        two = one;
        one = zero;
    }
    let n = samples.len().max(1) as f64;
    let squared = one * one + two * two - coefficient * one * two;
    2.0 * squared / (n * n)
}

/// Mean square of samples.
pub fn mean_square(samples: &[i16]) -> f64 {
    let sum: f64 = samples.iter().map(|sample| f64::from(*sample) * f64::from(*sample)).sum();
    sum / samples.len().max(1) as f64
}

/// Mean square below which a line counts as silent: -45 dBm0.
pub(crate) const QUIET: f64 = 8_115.0;

fn loudest(samples: &[i16], bank: &[f64; 4]) -> (usize, f64) {
    let mut best = (0, 0.0);
    for (at, hz) in bank.iter().enumerate() {
        let power = power_at(samples, *hz);
        if power > best.1 {
            best = (at, power);
        }
    }
    best
}

/// The DTMF digit that fills these samples, if one does: two frequencies that hold most of the power, neither more than
/// 9 dB above the other.
pub fn digit_in(samples: &[i16]) -> Option<char> {
    let total = mean_square(samples);
    if total < QUIET {
        return None;
    }
    let (row, low) = loudest(samples, &ROWS);
    let (column, high) = loudest(samples, &COLUMNS);
    let twist = low.max(high) / low.min(high).max(1.0);
    (low + high > 0.7 * total && twist < 8.0).then(|| KEYS[row][column])
}

/// What a [`DtmfDetector`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A digit began.
    Down(char),
    /// A digit ended after so many milliseconds.
    Up(char, u32),
}

/// Finds DTMF digits: two like frames begin one, two unlike ones end it.
#[derive(Clone, Debug, Default)]
pub struct DtmfDetector {
    last: Option<char>,
    pressed: Option<(char, u32)>,
}

impl DtmfDetector {
    /// Takes 20 ms.
    pub fn hear(&mut self, frame: &Frame) -> Option<Key> {
        let now = digit_in(&frame.0);
        let before = std::mem::replace(&mut self.last, now);
        match self.pressed {
            None if now.is_some() && now == before => {
                let digit = now?;
                self.pressed = Some((digit, 2));
                Some(Key::Down(digit))
            }
            None => None,
            Some((digit, frames)) if now == Some(digit) => {
                self.pressed = Some((digit, frames + 1));
                None
            }
            Some((digit, frames)) if before != Some(digit) => {
                self.pressed = None;
                Some(Key::Up(digit, frames * 20))
            }
            Some(_) => None,
        }
    }
}

/// What a line sounds like for 40 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sound {
    /// Nothing.
    Quiet,
    /// 350 + 440 Hz.
    Dial,
    /// 440 + 480 Hz.
    Ringback,
    /// 480 + 620 Hz.
    Busy,
    /// 425 or 400 Hz alone: any call progress tone of many countries.
    Single,
    /// 1100 Hz: a calling fax.
    FaxCalling,
    /// 1300 Hz: a calling modem.
    DataCalling,
    /// 2100 Hz: a fax or modem that answers.
    Answer,
    /// 2225 Hz: a Bell modem that answers.
    BellAnswer,
    /// A DTMF digit.
    Digit,
    /// Anything else.
    Voice,
}

/// Tells sounds apart, over the last 40 ms.
#[derive(Clone, Debug, Default)]
pub struct Ear {
    window: Vec<i16>,
}

impl Ear {
    /// Takes 20 ms and tells what the last 40 ms were.
    pub fn hear(&mut self, frame: &Frame) -> Sound {
        if self.window.len() >= 320 {
            self.window.drain(..160);
        }
        self.window.extend_from_slice(&frame.0);
        self.sound()
    }

    fn sound(&self) -> Sound {
        const PAIRS: [(f64, f64, Sound); 4] = [
            (350.0, 440.0, Sound::Dial),
            (440.0, 480.0, Sound::Ringback),
            (400.0, 450.0, Sound::Ringback),
            (480.0, 620.0, Sound::Busy),
        ];
        const SINGLE: [(f64, Sound); 6] = [
            (425.0, Sound::Single),
            (400.0, Sound::Single),
            (1100.0, Sound::FaxCalling),
            (1300.0, Sound::DataCalling),
            (2100.0, Sound::Answer),
            (2225.0, Sound::BellAnswer),
        ];
        let recent = &self.window[self.window.len().saturating_sub(160)..];
        if mean_square(recent) < QUIET {
            return Sound::Quiet;
        }
        let total = mean_square(&self.window);
        for (low, high, sound) in PAIRS {
            let (one, two) = (power_at(&self.window, low), power_at(&self.window, high));
            if one > 0.15 * total && two > 0.15 * total && one + two > 0.6 * total {
                return sound;
            }
        }
        for (hz, sound) in SINGLE {
            if power_at(&self.window, hz) > 0.8 * total {
                return sound;
            }
        }
        if digit_in(recent).is_some() { Sound::Digit } else { Sound::Voice }
    }
}

/// What a second of audio was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Frequency in Hz from zero crossings; 0 when silent.
    pub hz: u32,
    /// Level in tenths of dBm0.
    pub level_ddbm0: i32,
}

/// Frequency and level of these samples.
pub fn read(samples: &[i16]) -> Reading {
    let power = mean_square(samples);
    let level = level_ddbm0(power);
    let hz = if level < -500 { 0 } else { crossings(samples, power.sqrt() * 0.5) };
    Reading { hz, level_ddbm0: level }
}

/// Frequency by the upward crossings of zero, counted only after a swing below `-swing`.
fn crossings(samples: &[i16], swing: f64) -> u32 {
    let mut armed = false;
    let (mut first, mut last, mut count) = (None, 0.0, 0u32);
    for (at, pair) in samples.windows(2).enumerate() {
        let (before, after) = (f64::from(pair[0]), f64::from(pair[1]));
        if before < -swing {
            armed = true;
        }
        if armed && before < 0.0 && after >= 0.0 {
            let moment = at as f64 + before / (before - after);
            match first {
                None => first = Some(moment),
                Some(_) => count += 1,
            }
            last = moment;
            armed = false;
        }
    }
    match first {
        Some(first) if count > 0 => (f64::from(count) * RATE / (last - first)).round() as u32,
        _ => 0,
    }
}

/// How a steady tone came through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steadiness {
    /// Frames of 20 ms between its first and its last that hold it.
    pub held: usize,
    /// Those that do not.
    pub holes: usize,
    /// How often it skips: its phase is not where its frequency had taken it.
    pub slips: usize,
}

/// By so much of a turn a phase may move in 20 ms: clocks that differ by hundreds of parts in a million move it by less.
const TURN: f64 = 0.06;

/// How steady a tone of this frequency is in these frames. A frame left out or told twice is a slip where 20 ms are no whole number of the
/// tone's periods: 1012 Hz has 20.24.
pub fn steadiness(frames: &[Frame], hz: f64) -> Steadiness {
    let phases: Vec<Option<f64>> = frames.iter().enumerate().map(|(at, frame)| phase(at, &frame.0, hz)).collect();
    let first = phases.iter().position(Option::is_some).unwrap_or(phases.len());
    let last = phases.iter().rposition(Option::is_some).map_or(first, |last| last + 1);
    let mut steady = Steadiness::default();
    let (mut before, mut slipping) = (None::<f64>, false);
    for phase in phases.get(first..last).unwrap_or_default() {
        let Some(phase) = phase else {
            steady.holes += 1;
            continue;
        };
        steady.held += 1;
        let moved = before.map_or(0.0, |before| phase - before);
        let slips = (moved - moved.round()).abs() > TURN;
        // What skips within a frame moves the phases of two.
        steady.slips += usize::from(slips && !slipping);
        (before, slipping) = (Some(*phase), slips);
    }
    steady
}

/// Where in its turn a tone is that fills a frame, beside an oscillator that runs from the first frame on.
fn phase(at: usize, samples: &[i16], hz: f64) -> Option<f64> {
    if power_at(samples, hz) < mean_square(samples) / 2.0 || mean_square(samples) < QUIET {
        return None;
    }
    let start = at * samples.len();
    let (mut sine, mut cosine) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let turned = (TAU * hz * (start + n) as f64 / RATE).sin_cos();
        sine += f64::from(*sample) * turned.0;
        cosine += f64::from(*sample) * turned.1;
    }
    Some(cosine.atan2(sine) / TAU)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::tone::Steady;

    #[test]
    fn frames_left_out_told_twice_and_silent_are_counted() {
        let mut tone = Steady::new(1_012.0, -160);
        let mut frames: Vec<Frame> = (0..100).map(|_| tone.frame()).collect();
        assert_eq!(steadiness(&frames, 1_012.0), Steadiness { held: 100, holes: 0, slips: 0 });
        frames.remove(70);
        frames.insert(40, frames[40]);
        frames[20] = Frame::SILENCE;
        frames.push(Frame::SILENCE);
        assert_eq!(steadiness(&frames, 1_012.0), Steadiness { held: 99, holes: 1, slips: 2 });
        assert_eq!(steadiness(&[], 1_012.0), Steadiness::default());
    }
}
