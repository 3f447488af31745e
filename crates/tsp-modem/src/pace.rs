//! Between two clocks: samples that come at one, and go at another one a little faster or slower.
//!
//! What waits is kept near a set level by reading a little faster or slower than one sample a sample, between samples, on a
//! cubic through the four around, where it must. A modem's clock is off by some tens of parts in a million; at 1000 nobody
//! hears it. A burst that leaves the level far too high would take half a minute to drain so: of that, a piece is left out.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// What is kept waiting, in samples: 30 ms.
const LEVEL: i64 = 240;
/// After it ran dry, so many must be there before it goes on: 20 ms.
const BEGIN: usize = 160;
/// The most that waits: 300 ms. Beyond it the oldest are dropped.
const MOST: usize = 2_400;
/// So much above the level, in the mean, is left out: 40 ms.
const SURPLUS: i64 = 320;
/// One sample, as a step.
const ONE: i64 = 1 << 24;
/// The most that a step differs from one: 1000 parts in a million.
const LIMIT: i64 = ONE / 1_000;
/// A deviation of the level is taken back within about so many samples: 2 s.
const HORIZON: i64 = 16_000;
/// The level is a mean over so many readings.
const SMOOTH: i64 = 64;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    /// Silence, until enough is there.
    #[default]
    Dry,
    Flowing,
}

/// The queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pacer {
    state: State,
    waiting: VecDeque<i16>,
    /// The two samples before the first that waits.
    earlier: i16,
    before: i16,
    /// How far behind it the next one is read, in parts of [`ONE`].
    phase: i64,
    /// Mean level, times [`SMOOTH`].
    level: i64,
    /// Samples of silence that were made up while it flowed.
    pub(crate) made_up: u64,
    /// Samples that were dropped.
    pub(crate) dropped: u64,
}

impl Pacer {
    /// Samples come in.
    pub(crate) fn push(&mut self, samples: &[i16]) {
        self.waiting.extend(samples);
        let excess = self.waiting.len().saturating_sub(MOST);
        self.waiting.drain(..excess);
        self.dropped += excess as u64;
    }

    /// So many go out.
    pub(crate) fn pull(&mut self, count: usize, mut out: impl FnMut(i16)) {
        if self.state == State::Dry && self.waiting.len() >= BEGIN {
            self.state = State::Flowing;
            self.level = LEVEL * SMOOTH;
        }
        if self.state == State::Dry {
            (0..count).for_each(|_| out(0));
            return;
        }
        let here = self.waiting.len() as i64 - count as i64 / 2;
        self.level += here - self.level / SMOOTH;
        let mut off = self.level / SMOOTH - LEVEL;
        if off > SURPLUS {
            let excess = usize::try_from(off).unwrap_or(0).min(self.waiting.len().saturating_sub(count));
            self.waiting.drain(..excess);
            self.dropped += excess as u64;
            self.level -= excess as i64 * SMOOTH;
            off = 0;
        }
        let step = ONE + (off * ONE / HORIZON).clamp(-LIMIT, LIMIT);
        for _ in 0..count {
            match self.next(step) {
                Some(sample) => out(sample),
                None => {
                    self.state = State::Dry;
                    self.made_up += 1;
                    out(0);
                }
            }
        }
    }

    /// The next sample, read on the cubic (Catmull-Rom) through the four around it.
    fn next(&mut self, step: i64) -> Option<i16> {
        let after = i64::from(*self.waiting.front()?);
        let later = self.waiting.get(1).map_or(after, |sample| i64::from(*sample));
        let (earlier, before) = (i64::from(self.earlier), i64::from(self.before));
        let cubic = 3 * (before - after) + later - earlier;
        let square = 2 * earlier - 5 * before + 4 * after - later;
        let slope = (cubic * self.phase / ONE + square) * self.phase / ONE + after - earlier;
        let sample = before + slope * self.phase / (2 * ONE);
        self.phase += step;
        while self.phase >= ONE {
            self.earlier = self.before;
            self.before = self.waiting.pop_front()?;
            self.phase -= ONE;
        }
        Some(sample.clamp(i64::from(i16::MIN), i64::from(i16::MAX)) as i16)
    }

    /// Forgets what waits.
    pub(crate) fn clear(&mut self) {
        *self = Pacer { made_up: self.made_up, dropped: self.dropped, ..Pacer::default() };
    }

    #[cfg(test)]
    fn waits(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten minutes: frames at our clock, reads of 20 ms at the modem's.
    fn run(ppm: i64) -> (Pacer, Vec<i16>, usize) {
        let (mut pacer, mut out, mut most) = (Pacer::default(), Vec::new(), 0);
        let mut phase = 0f64;
        let (mut ours, mut modems) = (0i64, 7_000_000i64);
        let period = 20_000_000 - 20_000_000 * ppm / 1_000_000;
        while ours < 600_000_000_000 {
            if ours <= modems {
                let frame: Vec<i16> = (0..160)
                    .map(|_| {
                        phase += std::f64::consts::TAU * 1_000.0 / 8_000.0;
                        (phase.sin() * 8_000.0) as i16
                    })
                    .collect();
                pacer.push(&frame);
                ours += 20_000_000;
            } else {
                pacer.pull(160, |sample| out.push(sample));
                modems += period;
            }
            most = most.max(pacer.waits());
        }
        (pacer, out, most)
    }

    #[test]
    fn ten_minutes_beside_a_skewed_clock_lose_nothing() {
        for ppm in [-200, -50, 0, 50, 200] {
            let (pacer, out, most) = run(ppm);
            assert_eq!((pacer.made_up, pacer.dropped), (0, 0), "{ppm} ppm");
            assert!(most <= 640, "{ppm} ppm: {most} samples waited");
            // The tone goes on without a step anywhere: 1 kHz at 8 kHz moves by 6 200 at most.
            let worst = out.windows(2).skip(400).map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs()).max();
            assert!(worst.unwrap() < 6_400, "{ppm} ppm: {worst:?}");
        }
    }

    #[test]
    fn a_tone_between_the_samples_keeps_its_level() {
        let (_, out, _) = run(200);
        // A second in each of whose tenths the readings fall between other places.
        for piece in out[400_000..408_000].chunks(800) {
            let power: f64 = piece.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / 800.0;
            let db = 10.0 * (power / (8_000f64.powi(2) / 2.0)).log10();
            assert!(db.abs() < 0.15, "{db} dB");
        }
    }

    #[test]
    fn a_burst_is_no_delay_for_long() {
        let mut pacer = Pacer::default();
        pacer.push(&[100; 2_000]);
        for _ in 0..150 {
            pacer.push(&[100; 160]);
            pacer.pull(160, |_| ());
        }
        assert!(pacer.waits() <= 640, "{} samples still wait after three seconds", pacer.waits());
        assert_eq!(pacer.made_up, 0);
    }

    #[test]
    fn what_ran_dry_is_silent_and_goes_on() {
        let mut pacer = Pacer::default();
        let mut out = Vec::new();
        pacer.push(&[100; 160]);
        pacer.pull(320, |sample| out.push(sample));
        assert_eq!(out.len(), 320);
        assert_eq!(out.last(), Some(&0));
        pacer.push(&[100; 320]);
        out.clear();
        pacer.pull(160, |sample| out.push(sample));
        assert_eq!(out.last(), Some(&100));
    }
}
