//! Digits in the audio itself: DTMF (ITU-T Q.23), by the limits that Q.24 collects.
//!
//! | | taken | not taken |
//! |---|---|---|
//! | frequency | off by up to 1.5 % | off by 3.5 % and more |
//! | level of each | -27 dBm0 and more | below -34 dBm0 |
//! | high group beside low group | -8 to +4 dB | beyond -12 or +8 dB |
//! | length | 40 ms and more | less than 24 ms |
//! | interruption | up to 10 ms is none | 40 ms is a pause |
//!
//! Every 10 ms the eight frequencies are correlated with 10 ms of sound. Two such halves give a window of 20 ms; the turn
//! of the phase between them gives the frequencies' errors. Against voices the two tones must hold most of the energy.

use super::{Complex, energy, goertzel};
use crate::tone::{PEAK_0_DBM0, bits};
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;
use tspi::media::Frame;

const LOW: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
const HIGH: [f64; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
const KEYS: [[char; 4]; 4] = [['1', '2', '3', 'A'], ['4', '5', '6', 'B'], ['7', '8', '9', 'C'], ['*', '0', '#', 'D']];
/// Samples in half a window.
const HALF: usize = 80;
/// Least level of either tone, in dBm0.
const LEAST_DBM0: f64 = -32.0;
/// High group beside low group, in decibels.
const TWIST: std::ops::RangeInclusive<f64> = -9.5..=5.5;
/// The strongest of a group stands out by so many decibels.
const DOMINANCE_DB: f64 = 7.0;
/// Part of the energy that the two tones must hold.
const PURITY: f64 = 0.7;
/// Greatest error of a frequency.
const DEVIATION: f64 = 0.026;
/// Length from which a digit counts, in milliseconds.
const LEAST_MS: f64 = 32.0;
/// Halves without the digit after which it is over.
const PAUSE_HALVES: u32 = 3;

/// Listens for digits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dtmf {
    /// The half before.
    before: Half,
    state: State,
}

/// What 10 ms had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Half {
    low: [Complex; 4],
    high: [Complex; 4],
    #[serde(with = "bits")]
    energy: f64,
}

/// What a window of two halves showed.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Seen {
    digit: char,
    /// Amplitudes of the two tones added, in each half.
    halves: [f64; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Quiet,
    /// Seen, but not for long enough.
    Likely {
        digit: char,
        /// Of amplitudes.
        #[serde(with = "bits")]
        sum: f64,
        #[serde(with = "bits")]
        peak: f64,
    },
    /// Told. So many halves it was not seen.
    Sounding {
        digit: char,
        missed: u32,
    },
}

impl Default for Dtmf {
    fn default() -> Dtmf {
        Dtmf::new()
    }
}

impl Dtmf {
    /// After silence.
    pub fn new() -> Dtmf {
        Dtmf { before: Half::default(), state: State::Quiet }
    }

    /// The digit that sounds, from when it was told.
    pub fn sounding(&self) -> Option<char> {
        match self.state {
            State::Sounding { digit, .. } => Some(digit),
            State::Quiet | State::Likely { .. } => None,
        }
    }

    /// Takes 20 ms; gives the digit that began.
    pub fn frame(&mut self, frame: &Frame) -> Option<char> {
        let mut told = None;
        for samples in frame.0.chunks_exact(HALF) {
            let half = Half::of(samples);
            let seen = seen(&self.before, &half);
            self.before = half;
            told = self.step(seen).or(told);
        }
        told
    }

    fn step(&mut self, seen: Option<Seen>) -> Option<char> {
        let (state, told) = match (self.state, seen) {
            (State::Quiet, None) | (State::Likely { .. }, None) => (State::Quiet, None),
            (State::Likely { digit, sum, peak }, Some(seen)) if seen.digit == digit => {
                let [_, newer] = seen.halves;
                let (sum, peak) = (sum + newer, peak.max(newer));
                // A half that is filled in part has the amplitude in part.
                if 10.0 * sum / peak.max(1.0) >= LEAST_MS {
                    (State::Sounding { digit, missed: 0 }, Some(digit))
                } else {
                    (State::Likely { digit, sum, peak }, None)
                }
            }
            (State::Quiet | State::Likely { .. }, Some(seen)) => {
                let [older, newer] = seen.halves;
                (State::Likely { digit: seen.digit, sum: older + newer, peak: older.max(newer) }, None)
            }
            (State::Sounding { digit, .. }, Some(seen)) if seen.digit == digit => {
                (State::Sounding { digit, missed: 0 }, None)
            }
            (State::Sounding { digit, missed }, _) if missed + 1 < PAUSE_HALVES => {
                (State::Sounding { digit, missed: missed + 1 }, None)
            }
            (State::Sounding { .. }, Some(seen)) => {
                let [older, newer] = seen.halves;
                (State::Likely { digit: seen.digit, sum: older + newer, peak: older.max(newer) }, None)
            }
            (State::Sounding { .. }, None) => (State::Quiet, None),
        };
        self.state = state;
        told
    }
}

impl Half {
    fn of(samples: &[i16]) -> Half {
        let energy = energy(samples);
        // Below this no tone can be loud enough.
        let least = HALF as f64 * level(LEAST_DBM0 - 6.0).powi(2) / 2.0;
        if energy < least {
            return Half { energy, ..Half::default() };
        }
        Half { low: LOW.map(|hz| goertzel(samples, hz)), high: HIGH.map(|hz| goertzel(samples, hz)), energy }
    }
}

/// Peak of a sine.
fn level(dbm0: f64) -> f64 {
    PEAK_0_DBM0 * 10f64.powf(dbm0 / 20.0)
}

/// A tone in a window.
struct Partial {
    number: usize,
    /// Squares of its amplitude in each half.
    halves: [f64; 2],
}

impl Partial {
    fn power(&self) -> f64 {
        (self.halves[0] + self.halves[1]) / 2.0
    }
}

/// The strongest of a group, where it stands out and its frequency is right.
fn strongest(group: &[f64; 4], before: &[Complex; 4], now: &[Complex; 4]) -> Option<Partial> {
    let turn = |hz: f64| 2.0 * PI * hz * HALF as f64 / 8000.0;
    // Both halves as one block: twice the resolution.
    let together: [f64; 4] = std::array::from_fn(|n| before[n].plus(now[n].turned(-turn(group[n]))).power());
    let number = (0..4).max_by(|a, b| together[*a].total_cmp(&together[*b]))?;
    let second = (0..4).filter(|n| *n != number).map(|n| together[n]).fold(0.0, f64::max);
    if together[number] < second * 10f64.powf(DOMINANCE_DB / 10.0) {
        return None;
    }
    let hz = group[number];
    let angle = now[number].turned(-turn(hz)).angle_from(before[number]);
    let error = angle * 8000.0 / (2.0 * PI * HALF as f64);
    if error.abs() > DEVIATION * hz {
        return None;
    }
    // What an error of the frequency takes off the correlation.
    let x = PI * error * HALF as f64 / 8000.0;
    let loss = if x.abs() < 1e-6 { 1.0 } else { x.sin() / x };
    let square = |part: Complex| part.power() * (2.0 / HALF as f64 / loss).powi(2);
    Some(Partial { number, halves: [square(before[number]), square(now[number])] })
}

fn seen(before: &Half, now: &Half) -> Option<Seen> {
    let low = strongest(&LOW, &before.low, &now.low)?;
    let high = strongest(&HIGH, &before.high, &now.high)?;
    let least = level(LEAST_DBM0).powi(2);
    // A half that is filled in part must not decide on the level.
    let loudest = |partial: &Partial| partial.halves[0].max(partial.halves[1]);
    if loudest(&low) < least || loudest(&high) < least {
        return None;
    }
    if !TWIST.contains(&(10.0 * (high.power() / low.power()).log10())) {
        return None;
    }
    let tones = (low.power() + high.power()) * HALF as f64;
    if tones < PURITY * (before.energy + now.energy) {
        return None;
    }
    let amplitude = |half: usize| low.halves[half].sqrt() + high.halves[half].sqrt();
    let digit = *KEYS.get(low.number)?.get(high.number)?;
    Some(Seen { digit, halves: [amplitude(0), amplitude(1)] })
}

#[cfg(test)]
#[path = "dtmf_tests.rs"]
mod tests;
