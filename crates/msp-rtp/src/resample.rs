//! Between 8 kHz and 16 kHz: a half-band filter, flat to 3.6 kHz, 69 dB down from 4.6 kHz on. Whole numbers, so that a
//! snapshot is exact.

use serde::{Deserialize, Serialize};

/// Every second coefficient from the middle outwards, of 2¹⁵ (a windowed sinc, Kaiser's window, beta 6); the others are
/// nought and the middle one is a half.
const TAPS: [i32; 16] = [10406, -3395, 1951, -1306, 930, -680, 502, -369, 268, -191, 132, -88, 56, -34, 18, -8];
const SIDE: usize = TAPS.len();

/// 8 kHz to 16 kHz.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Up {
    past: History,
}

/// 16 kHz to 8 kHz.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Down {
    /// Samples of even and of odd number.
    even: History,
    odd: History,
}

/// The last samples, newest last.
type History = [i16; 2 * SIDE];

fn push(history: &mut History, sample: i16) {
    history.rotate_left(1);
    if let Some(last) = history.last_mut() {
        *last = sample;
    }
}

/// The outer coefficients over a history.
fn sides(history: &History) -> i32 {
    let (older, newer) = history.split_at(SIDE);
    let pairs = older.iter().rev().zip(newer).zip(TAPS);
    pairs.map(|((older, newer), tap)| tap * (i32::from(*older) + i32::from(*newer))).sum()
}

fn clipped(value: i32) -> i16 {
    value.clamp(-32_767, 32_767) as i16
}

impl Up {
    /// Twice as many samples; what has no room in `out` is lost.
    pub fn process(&mut self, samples: &[i16], out: &mut [i16]) {
        for (sample, pair) in samples.iter().zip(out.chunks_exact_mut(2)) {
            push(&mut self.past, *sample);
            let between = clipped((sides(&self.past) + (1 << 13)) >> 14);
            if let [first, second] = pair {
                (*first, *second) = (self.past[SIDE - 1], between);
            }
        }
    }
}

impl Down {
    /// Half as many samples; what has no room in `out` is lost.
    pub fn process(&mut self, samples: &[i16], out: &mut [i16]) {
        for (pair, out) in samples.chunks_exact(2).zip(out) {
            let [first, second] = pair else { continue };
            push(&mut self.even, *first);
            *out = clipped((sides(&self.odd) + (i32::from(self.even[SIDE - 1]) << 14) + (1 << 14)) >> 15);
            push(&mut self.odd, *second);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::PEAK_0_DBM0;
    use std::f64::consts::PI;

    fn sine(hz: f64, rate: f64, count: usize) -> Vec<i16> {
        (0..count).map(|n| (PEAK_0_DBM0 * 0.2 * (2.0 * PI * hz * n as f64 / rate).sin()) as i16).collect()
    }

    /// Level of a frequency in decibels, beside the sine above.
    fn level(samples: &[i16], hz: f64, rate: f64) -> f64 {
        let (mut re, mut im) = (0.0, 0.0);
        for (n, sample) in samples.iter().enumerate() {
            let turn = 2.0 * PI * hz * n as f64 / rate;
            re += f64::from(*sample) * turn.cos();
            im += f64::from(*sample) * turn.sin();
        }
        20.0 * (2.0 * re.hypot(im) / samples.len() as f64 / (PEAK_0_DBM0 * 0.2)).max(1e-6).log10()
    }

    #[test]
    fn up_keeps_what_there_is_and_makes_no_images() {
        for hz in [100.0, 1000.0, 3400.0] {
            let mut out = vec![0; 3200];
            Up::default().process(&sine(hz, 8000.0, 1600), &mut out);
            assert!(level(&out[800..2400], hz, 16_000.0).abs() < 0.2, "{hz}");
            assert!(level(&out[800..2400], 8000.0 - hz, 16_000.0) < -35.0, "{hz}");
        }
    }

    #[test]
    fn down_keeps_the_lower_band_and_folds_nothing() {
        for hz in [100.0, 1000.0, 3400.0] {
            let mut out = vec![0; 1600];
            Down::default().process(&sine(hz, 16_000.0, 3200), &mut out);
            assert!(level(&out[400..1200], hz, 8000.0).abs() < 0.2, "{hz}");
        }
        for hz in [4700.0, 5000.0, 7000.0] {
            let mut out = vec![0; 1600];
            Down::default().process(&sine(hz, 16_000.0, 3200), &mut out);
            assert!(level(&out[400..1200], 8000.0 - hz, 8000.0) < -55.0, "{hz}");
        }
    }

    #[test]
    fn full_scale_does_not_wrap() {
        let square: Vec<i16> = (0..800).map(|n| if n / 20 % 2 == 0 { i16::MAX } else { i16::MIN }).collect();
        let (mut up, mut down) = (vec![0; 1600], vec![0; 800]);
        Up::default().process(&square, &mut up);
        Down::default().process(&up, &mut down);
        let wrong = down.iter().skip(60).enumerate().filter(|(n, s)| n % 20 == 10 && s.unsigned_abs() < 20_000).count();
        assert_eq!(wrong, 0);
    }
}
