//! From one sample rate to another: a bank of windowed-sinc filters, one for each place between two samples. Rates are
//! whole numbers, so that no drift gathers however long it runs.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Samples that one output sample is made of.
const TAPS: usize = 24;
/// What 1 is in a coefficient.
const ONE: f64 = 16_384.0;

/// A stream from one rate to another.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Resampler {
    from: u32,
    to: u32,
    /// How far the next output lies behind the newest input, in parts of `to`.
    place: u32,
    past: VecDeque<i16>,
    /// Follows from the rates: not kept.
    #[serde(skip)]
    bank: Vec<[i32; TAPS]>,
}

impl PartialEq for Resampler {
    fn eq(&self, other: &Resampler) -> bool {
        (self.from, self.to, self.place, &self.past) == (other.from, other.to, other.place, &other.past)
    }
}

impl Eq for Resampler {}

impl Resampler {
    /// From so many samples a second to so many.
    pub(crate) fn new(from: u32, to: u32) -> Resampler {
        let divisor = gcd(from.max(1), to.max(1));
        let (from, to) = (from.max(1) / divisor, to.max(1) / divisor);
        Resampler { from, to, place: 0, past: VecDeque::from(vec![0; TAPS]), bank: Vec::new() }
    }

    /// Takes a sample; appends those that follow from it.
    pub(crate) fn push(&mut self, sample: i16, out: &mut Vec<i16>) {
        if self.from == self.to {
            return out.push(sample);
        }
        if self.bank.is_empty() {
            self.bank = bank(self.from, self.to);
        }
        self.past.pop_front();
        self.past.push_back(sample);
        while self.place < self.to {
            let Some(taps) = self.bank.get(self.place as usize) else { break };
            let sum: i64 = taps.iter().zip(&self.past).map(|(tap, past)| i64::from(*tap) * i64::from(*past)).sum();
            out.push((sum >> 14).clamp(-32_768, 32_767) as i16);
            self.place += self.from;
        }
        self.place -= self.to;
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The filters: number `p` looks `p / to` samples past the middle of what it is given.
fn bank(from: u32, to: u32) -> Vec<[i32; TAPS]> {
    // What lies above half the lower rate would fold back.
    let cut = (f64::from(to) / f64::from(from)).min(1.0) * 0.94;
    let half = TAPS as f64 / 2.0;
    let filter = |place: u32| {
        let middle = half - 1.0 + f64::from(place) / f64::from(to);
        let weight = |tap: usize| {
            let off = tap as f64 - middle;
            let window = 0.5 + 0.5 * (std::f64::consts::PI * off / half).cos();
            let x = std::f64::consts::PI * off * cut;
            let sinc = if x.abs() < 1e-9 { 1.0 } else { x.sin() / x };
            if off.abs() < half { window * sinc * cut } else { 0.0 }
        };
        let weights: [f64; TAPS] = std::array::from_fn(weight);
        let sum: f64 = weights.iter().sum();
        weights.map(|weight| (weight / sum * ONE).round() as i32)
    };
    (0..to).map(filter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tones_keep_their_pitch_and_level() {
        for (from, to) in
            [(7_200, 8_000), (8_000, 7_200), (11_025, 8_000), (8_000, 11_025), (16_000, 8_000), (8_000, 16_000)]
        {
            for hertz in [300.0, 1_000.0, 2_500.0] {
                let mut resampler = Resampler::new(from, to);
                let mut out = Vec::new();
                for n in 0..from {
                    let angle = 2.0 * std::f64::consts::PI * hertz * f64::from(n) / f64::from(from);
                    resampler.push((10_000.0 * angle.sin()) as i16, &mut out);
                }
                assert!(out.len().abs_diff(to as usize) <= 1, "{from} {to}: {}", out.len());
                // Projected on the tone and its quadrature: what is left is noise.
                let steady = &out[200..out.len() - 200];
                let (mut sine, mut cosine, mut power) = (0.0, 0.0, 0.0);
                for (n, sample) in steady.iter().enumerate() {
                    let angle = 2.0 * std::f64::consts::PI * hertz * n as f64 / f64::from(to);
                    let sample = f64::from(*sample);
                    sine += sample * angle.sin();
                    cosine += sample * angle.cos();
                    power += sample * sample;
                }
                let tone = 2.0 * (sine * sine + cosine * cosine) / steady.len() as f64;
                assert!(tone / power > 0.999, "{from} {to} {hertz}: purity {}", tone / power);
                let level = (2.0 * power / steady.len() as f64).sqrt();
                assert!((level - 10_000.0).abs() < 1_500.0, "{from} {to} {hertz}: level {level}");
            }
        }
    }

    #[test]
    fn nothing_is_lost_in_an_hour() {
        let mut resampler = Resampler::new(11_025, 8_000);
        let (mut out, mut count) = (Vec::new(), 0usize);
        for _ in 0..60 {
            (0..11_025).for_each(|_| resampler.push(0, &mut out));
            count += out.len();
            out.clear();
        }
        assert!(count.abs_diff(60 * 8_000) <= 1, "{count}");
    }
}
