//! Between 8 kHz and 16 kHz: a half-band filter, flat to 3.6 kHz, 69 dB down from 4.6 kHz on. Whole numbers, so that a
//! snapshot is exact.

use serde::{Deserialize, Serialize};
use tspi::media::{AudioFrame, Frame, Rate, WIDE_SAMPLES};

/// Half the coefficients, the outer ones, of each history.
const SIDE: usize = 16;
/// Every second coefficient, of 2¹⁵ (a windowed sinc, Kaiser's window, beta 6); the others are nought and the middle one is
/// a half.
const TAPS: [i16; 2 * SIDE] = [
    -8, 18, -34, 56, -88, 132, -191, 268, -369, 502, -680, 930, -1306, 1951, -3395, 10406, 10406, -3395, 1951, -1306,
    930, -680, 502, -369, 268, -191, 132, -88, 56, -34, 18, -8,
];
/// Samples of a history that are worked on at once.
const BLOCK: usize = 160;

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

/// A history and what follows it in one row, so that a filter only moves along it.
struct Row([i16; 2 * SIDE + BLOCK]);

impl Row {
    /// Samples beyond a block are left out.
    fn new(history: &History, samples: impl Iterator<Item = i16>) -> Row {
        let mut row = [0; 2 * SIDE + BLOCK];
        let (past, room) = row.split_at_mut(2 * SIDE);
        past.copy_from_slice(history);
        room.iter_mut().zip(samples).for_each(|(room, sample)| *room = sample);
        Row(row)
    }

    /// The history after so many samples.
    fn after(&self, samples: usize) -> &History {
        self.0.get(samples..).and_then(<[i16]>::first_chunk).expect("a block has so many")
    }
}

/// The coefficients over a history.
fn sides(history: &History) -> i32 {
    history.iter().zip(&TAPS).map(|(sample, tap)| i32::from(*sample) * i32::from(*tap)).sum()
}

/// Brings frames of either rate to one. Its state is that of the filter that is in use, if one is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Converter {
    /// The last frame had the rate that was wanted.
    #[default]
    Plain,
    /// It had too low a rate.
    Up(Up),
    /// It had too high a rate.
    Down(Down),
}

impl Converter {
    /// The same 20 ms at this rate.
    pub fn convert(&mut self, frame: &AudioFrame, rate: Rate) -> AudioFrame {
        match (frame, rate) {
            (AudioFrame::Narrow(narrow), Rate::Wide) => AudioFrame::Wide(self.wide(narrow)),
            (AudioFrame::Wide(_), Rate::Narrow) => AudioFrame::Narrow(self.narrow(frame)),
            (AudioFrame::Narrow(_), Rate::Narrow) | (AudioFrame::Wide(_), Rate::Wide) => {
                *self = Converter::Plain;
                *frame
            }
        }
    }

    /// The same 20 ms at 8 kHz.
    pub fn narrow(&mut self, frame: &AudioFrame) -> Frame {
        let samples = match frame {
            AudioFrame::Narrow(frame) => {
                *self = Converter::Plain;
                return *frame;
            }
            AudioFrame::Wide(samples) => samples,
        };
        let mut down = match std::mem::take(self) {
            Converter::Down(down) => down,
            Converter::Plain | Converter::Up(_) => Down::default(),
        };
        let mut frame = Frame::SILENCE;
        down.process(samples, &mut frame.0);
        *self = Converter::Down(down);
        frame
    }

    fn wide(&mut self, frame: &Frame) -> [i16; WIDE_SAMPLES] {
        let mut up = match std::mem::take(self) {
            Converter::Up(up) => up,
            Converter::Plain | Converter::Down(_) => Up::default(),
        };
        let mut samples = [0; WIDE_SAMPLES];
        up.process(&frame.0, &mut samples);
        *self = Converter::Up(up);
        samples
    }
}

fn clipped(value: i32) -> i16 {
    value.clamp(-32_767, 32_767) as i16
}

impl Up {
    /// Twice as many samples; what has no room in `out` is lost.
    pub fn process(&mut self, samples: &[i16], out: &mut [i16]) {
        for (samples, out) in samples.chunks(BLOCK).zip(out.chunks_mut(2 * BLOCK)) {
            let row = Row::new(&self.past, samples.iter().copied());
            for (n, pair) in out.chunks_exact_mut(2).take(samples.len()).enumerate() {
                let history = row.after(n + 1);
                let between = clipped((sides(history) + (1 << 13)) >> 14);
                if let [first, second] = pair {
                    (*first, *second) = (history[SIDE - 1], between);
                }
            }
            self.past = *row.after(samples.len());
        }
    }
}

impl Down {
    /// Half as many samples; what has no room in `out` is lost.
    pub fn process(&mut self, samples: &[i16], out: &mut [i16]) {
        for (samples, out) in samples.chunks(2 * BLOCK).zip(out.chunks_mut(BLOCK)) {
            let count = samples.len() / 2;
            let even = Row::new(&self.even, samples.iter().step_by(2).copied());
            let odd = Row::new(&self.odd, samples.iter().skip(1).step_by(2).copied());
            for (n, out) in out.iter_mut().take(count).enumerate() {
                let middle = i32::from(even.after(n + 1)[SIDE - 1]) << 14;
                *out = clipped((sides(odd.after(n)) + middle + (1 << 14)) >> 15);
            }
            (self.even, self.odd) = (*even.after(count), *odd.after(count));
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
