//! Tones of call progress by their frequencies and cadences, fax tones, voice and silence.
//!
//! A frame of 20 ms fits a set of frequencies where these hold nearly all of its energy. Frequencies that lie closer
//! than a frame can tell apart count as one. How long a set sounds and how long it is quiet after are held against the
//! cadences of one country, or of all that are known where none is named: then the tone with the better fit counts, and
//! with equal fits the one that more countries have.
//!
//! What is told, when: a steady tone after 2.2 s (2 100 Hz: 0.5 s); 1 100 Hz after 0.4 s; a cadence of less than 2 s once
//! it came twice, of one sound three times; a longer one once all but its last pause came, and 0.7 s of that; the special information tone with
//! its third part; a voice after 160 ms of sound that is no tone; silence after 1 s behind a voice, after 6 s elsewhere,
//! which is longer than the pause of any ringing tone. The same is not told twice in a row. Waiting tones are not looked
//! for: nobody who waits for an answer hears them.

use super::{energy, goertzel};
use crate::progress::{COUNTRIES, Country, Stretch};
use crate::tone::{PEAK_0_DBM0, ddbm0};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use tapi::{ProgressTone, ToneLevel};
use tspi::media::{FRAME_SAMPLES, Frame};

const FRAME_MS: u32 = 20;
/// Least level of a tone, and of a voice, in dBm0.
const TONE_DBM0: f64 = -40.0;
const VOICE_DBM0: f64 = -38.0;
/// Below this it is silent.
const SILENT_DBM0: f64 = -46.0;
/// Part of the energy that a set's frequencies must hold, and each of two.
const PURITY: f64 = 0.75;
const LEAST_PART: f64 = 0.12;
/// Frequencies closer than this are one, in hertz.
const CLOSE_HZ: u32 = 60;
/// A tone may be missed for so many frames (modulation, a lost packet).
const BRIDGED: u32 = 1;
/// Stretches that are remembered.
const MEMORY: usize = 16;
/// Relative and absolute error of a time that still fits.
const TOLERANCE: f64 = 0.17;
const TOLERANCE_MS: f64 = 45.0;
/// A cadence of less than this must come twice, and have three sounds.
const SHORT_MS: u32 = 2000;
/// Of the last pause of a longer one, so much must have passed.
const PAUSE_MS: u32 = 700;
const STEADY_MS: u32 = 2200;
const FAX_ANSWER_MS: u32 = 500;
const FAX_CALLING_MS: u32 = 400;
const SPECIAL_MS: u32 = 180;
/// Of the last eight frames so many must be voice.
const VOICE_FRAMES: u32 = 7;
const SILENCE_AFTER_VOICE_MS: u32 = 1000;
const SILENCE_MS: u32 = 6000;
const CADENCED: [ProgressTone; 4] =
    [ProgressTone::Dial, ProgressTone::Ringback, ProgressTone::Busy, ProgressTone::Congestion];

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What.
    pub tone: ProgressTone,
    /// Frequencies with their levels; for voice and silence the level of the whole, under 0 Hz.
    pub measured: Vec<ToneLevel>,
}

/// A stretch of one sound, or of quiet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Heard {
    /// The sets that fitted all along; 0: quiet.
    sets: u32,
    ms: u32,
}

/// Listens for progress.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    country: Option<String>,
    /// Completed stretches, newest last; no two quiet ones in a row.
    past: VecDeque<Heard>,
    now: Heard,
    /// Frames in which the tone of `now` was missed.
    missed: u32,
    /// A bit for each of the last eight frames: whether it was like a voice.
    voice: u8,
    silent_ms: u32,
    /// What was told last.
    told: Option<ProgressTone>,
    /// Levels of the last frame that had a tone, in tenths of dBm0.
    levels: Vec<ToneLevel>,
}

/// The sets of frequencies that are looked for, as they are measured; special ones first.
const SETS: [&[u32]; 12] =
    [&[950], &[1400], &[1800], &[1100], &[2100], &[350, 440], &[400], &[425], &[440], &[460], &[480, 620], &[350, 450]];
const SIT: [u32; 3] = [1, 2, 4];
const FAX_CALLING: u32 = 8;
const FAX_ANSWER: u32 = 16;

/// The set that a stretch of a cadence is measured by.
fn set_of(stretch: &Stretch) -> u32 {
    let mut merged: Vec<u32> = Vec::with_capacity(2);
    for hz in stretch.hz {
        match merged.last_mut() {
            Some(last) if hz.abs_diff(*last) < CLOSE_HZ => *last = (*last + hz) / 2,
            _ => merged.push(*hz),
        }
    }
    // The nearest that is measured.
    let distance = |set: &[u32]| -> Option<u32> {
        (set.len() == merged.len()).then(|| set.iter().zip(&merged).map(|(a, b)| a.abs_diff(*b)).sum())
    };
    let nearest = SETS.iter().enumerate().filter_map(|(n, set)| Some((distance(set)?, n))).min();
    nearest.map_or(0, |(_, number)| 1 << number)
}

impl Progress {
    /// Whose tones it listens for.
    pub fn country(&self) -> Option<&str> {
        self.country.as_deref()
    }

    /// Listens for the tones of one country, or of all.
    pub fn new(country: Option<&str>) -> Progress {
        Progress {
            country: country.map(str::to_owned),
            past: VecDeque::with_capacity(MEMORY + 1),
            now: Heard { sets: 0, ms: 0 },
            missed: 0,
            voice: 0,
            silent_ms: 0,
            told: None,
            levels: Vec::new(),
        }
    }

    /// Takes 20 ms; gives what it completes.
    pub fn frame(&mut self, frame: &Frame) -> Option<Found> {
        let power = energy(&frame.0) / FRAME_SAMPLES as f64;
        let dbm0 = 10.0 * (2.0 * power / (PEAK_0_DBM0 * PEAK_0_DBM0)).max(1e-12).log10();
        let sets = if dbm0 >= TONE_DBM0 { self.fitting(frame, power) } else { 0 };
        self.follow(sets);
        let like_voice = sets == 0 && dbm0 >= VOICE_DBM0;
        self.voice = (self.voice << 1) | u8::from(like_voice);
        if self.voice & 0b111 == 0b111 {
            // What sounded before was no part of a cadence, or it is over.
            self.past.clear();
            self.now = Heard { sets: 0, ms: 0 };
        }
        self.silent_ms = if dbm0 < SILENT_DBM0 { self.silent_ms.saturating_add(FRAME_MS) } else { 0 };
        let found = self.recognised()?;
        if self.told.as_ref() == Some(&found) {
            return None;
        }
        let whole = || vec![ToneLevel { hz: 0, level_ddbm0: ddbm0((2.0 * power).sqrt()) }];
        let measured = match found {
            ProgressTone::Voice | ProgressTone::Silence => whole(),
            _ => self.levels.clone(),
        };
        self.told = Some(found.clone());
        Some(Found { tone: found, measured })
    }

    /// Which sets hold the frame's energy.
    fn fitting(&mut self, frame: &Frame, power: f64) -> u32 {
        // Halves of a frame: two frequencies that beat against each other are one that swells, not none. Those of a pair
        // that is told apart need the whole.
        let square = |hz: u32, block: usize| {
            let power = |samples: &[i16]| goertzel(samples, f64::from(hz)).power();
            let sum: f64 = frame.0.chunks_exact(block).map(power).sum();
            2.0 * sum / (block * FRAME_SAMPLES) as f64
        };
        let (mut sets, mut best) = (0, 0.0);
        for (number, set) in SETS.iter().enumerate() {
            let block = if set.len() > 1 { FRAME_SAMPLES } else { FRAME_SAMPLES / 2 };
            let (mut sum, mut least) = (0.0, f64::MAX);
            for hz in *set {
                let part = square(*hz, block);
                sum += part;
                least = part.min(least);
            }
            // Sines that are close leak into each other and out of a short frame.
            if sum < PURITY * power || (set.len() > 1 && least < LEAST_PART * power) {
                continue;
            }
            sets |= 1 << number;
            if sum > best {
                best = sum;
                self.levels.clear();
                let level = |hz: &u32| ToneLevel { hz: *hz, level_ddbm0: ddbm0((2.0 * square(*hz, block)).sqrt()) };
                self.levels.extend(set.iter().map(level));
            }
        }
        sets
    }

    /// Goes on with the stretch that sounds, or begins one.
    fn follow(&mut self, sets: u32) {
        let both = self.now.sets & sets;
        let goes_on = if self.now.sets == 0 { sets == 0 } else { both != 0 };
        if goes_on {
            self.now = Heard { sets: both, ms: self.now.ms + FRAME_MS * (self.missed + 1) };
            self.missed = 0;
        } else if self.missed < BRIDGED && self.now.ms > 0 {
            self.missed += 1;
        } else {
            let missed_ms = FRAME_MS * self.missed;
            self.past.push_back(self.now);
            if self.past.len() > MEMORY {
                self.past.pop_front();
            }
            self.now = Heard { sets, ms: FRAME_MS + missed_ms };
            self.missed = 0;
        }
    }

    fn recognised(&self) -> Option<ProgressTone> {
        if self.now.sets & FAX_ANSWER != 0 && self.now.ms >= FAX_ANSWER_MS {
            return Some(ProgressTone::FaxAnswer);
        }
        if self.now.sets & FAX_CALLING != 0 && self.now.ms >= FAX_CALLING_MS {
            return Some(ProgressTone::FaxCalling);
        }
        if self.is_special() {
            return Some(ProgressTone::SpecialInfo);
        }
        if let Some(tone) = self.cadence() {
            return Some(tone);
        }
        if self.voice.count_ones() >= VOICE_FRAMES {
            return Some(ProgressTone::Voice);
        }
        let after_voice = self.told == Some(ProgressTone::Voice);
        let enough = if after_voice { SILENCE_AFTER_VOICE_MS } else { SILENCE_MS };
        (self.silent_ms >= enough).then_some(ProgressTone::Silence)
    }

    fn is_special(&self) -> bool {
        let [first, second, third] = SIT;
        // The parts follow at once or after a short gap.
        let mut parts = self.past.iter().rev().filter(|heard| heard.sets != 0 || heard.ms > 100);
        let is = |heard: Option<&Heard>, set: u32| {
            heard.is_some_and(|heard| heard.sets & set != 0 && (200..=460).contains(&heard.ms))
        };
        self.now.sets & third != 0 && self.now.ms >= SPECIAL_MS && is(parts.next(), second) && is(parts.next(), first)
    }

    /// The tone whose cadence fits best.
    fn cadence(&self) -> Option<ProgressTone> {
        let countries = || COUNTRIES.iter().filter(|country| self.is_listened(country));
        let mut best: Option<(f64, usize, ProgressTone)> = None;
        for tone in CADENCED {
            let fits: Vec<f64> = countries().filter_map(|country| self.fit(country.cadence(&tone))).collect();
            let Some(error) = fits.iter().copied().min_by(f64::total_cmp) else { continue };
            // Errors are of whole frames: what differs by less is equal.
            let votes = fits.iter().filter(|other| **other - error < 0.02).count();
            let better = best
                .as_ref()
                .is_none_or(|(other, count, _)| error < other - 0.02 || (error < other + 0.02 && votes > *count));
            if better {
                best = Some((error, votes, tone));
            }
        }
        best.map(|(_, _, tone)| tone)
    }

    fn is_listened(&self, country: &Country) -> bool {
        self.country.as_ref().is_none_or(|name| Country::named(name).name == country.name)
    }

    /// How well a cadence fits what was heard: the mean relative error of its times.
    fn fit(&self, cadence: &[Stretch]) -> Option<f64> {
        let first = cadence.first()?;
        if first.on_ms == 0 {
            return (self.now.sets & set_of(first) != 0 && self.now.ms >= STEADY_MS).then_some(0.0);
        }
        let cycle: u32 = cadence.iter().map(|stretch| stretch.on_ms + stretch.off_ms).sum();
        (0..cadence.len()).filter_map(|start| self.fit_from(cadence, start, cycle)).min_by(f64::total_cmp)
    }

    /// The same where the newest completed stretch of sound is the one of this number.
    fn fit_from(&self, cadence: &[Stretch], newest: usize, cycle: u32) -> Option<f64> {
        let count = cadence.len();
        let stretch = |back: usize| cadence.get((newest + count * MEMORY - back) % count);
        let wanted = if cycle < SHORT_MS { (count * 2).max(3) } else { count };
        let mut parts = self.past.iter().rev();
        let mut error = 0.0;
        // The pause after the newest sound: it may be going on, or be over where the next sound has begun.
        if cycle < SHORT_MS {
            let pause = if self.now.sets == 0 { None } else { parts.next() };
            error += apart(pause.filter(|pause| pause.sets == 0)?.ms, stretch(0)?.off_ms)?;
        } else if newest + 1 != count || self.now.sets != 0 || self.now.ms < PAUSE_MS.min(stretch(0)?.off_ms) {
            return None;
        } else if self.now.ms > stretch(0)?.off_ms {
            // It goes on for too long: the tone is over.
            apart(self.now.ms, stretch(0)?.off_ms)?;
        }
        for back in 0..wanted {
            let stretch = stretch(back)?;
            if back > 0 {
                error += apart(parts.next().filter(|pause| pause.sets == 0)?.ms, stretch.off_ms)?;
            }
            let sound = parts.next().filter(|sound| sound.sets & set_of(stretch) != 0)?;
            error += apart(sound.ms, stretch.on_ms)?;
        }
        Some(error / (2 * wanted) as f64)
    }
}

/// The relative error of a time; `None` where it does not fit.
fn apart(heard_ms: u32, wanted_ms: u32) -> Option<f64> {
    let (heard, wanted) = (f64::from(heard_ms), f64::from(wanted_ms));
    let error = (heard - wanted).abs();
    (error <= (wanted * TOLERANCE).max(TOLERANCE_MS)).then(|| error / wanted.max(1.0))
}

#[cfg(test)]
#[path = "progress_tests.rs"]
mod tests;
