//! Packet loss concealment in the manner of G.711 Appendix I: the last pitch period goes on, from one more period after
//! each 10 ms, and fades from 10 ms on until it is silent at 60 ms; where packets come again they are faded into what was
//! made up. The appendix delays all audio by 3.75 ms to smooth the first seam too; this does not delay.

use serde::{Deserialize, Serialize};
use tspi::media::Rate;

/// Pitch periods that are looked for, in samples: 66 to 200 Hz. This and what follows is for 8 kHz.
const PITCH: std::ops::RangeInclusive<usize> = 40..=120;
/// Samples that are compared for a pitch.
const COMPARED: usize = 160;
/// Samples kept: three periods of the longest, and a quarter of one to join them.
const HISTORY: usize = 3 * 120 + 30;
/// 10 ms.
const STEP: usize = 80;
/// Steps after which it is silent.
const SILENT: usize = 6;
/// Samples that are faded at once, at either rate.
const MAX_FADE: usize = 2 * STEP;

/// Conceals losses in a stream of samples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plc {
    rate: Rate,
    /// What was played last, newest last.
    history: Vec<i16>,
    /// The history as it was when the loss began, and what is repeated of it: room of their own, so that no loss
    /// allocates.
    before: Vec<i16>,
    periods: Vec<i16>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Good,
    /// Samples are made up.
    Lost {
        pitch: usize,
        /// Samples made up so far.
        made: usize,
        /// Which of the repeated samples is next.
        at: usize,
    },
}

impl Default for Plc {
    fn default() -> Plc {
        Plc::new(Rate::Narrow)
    }
}

impl Plc {
    /// After silence.
    pub fn new(rate: Rate) -> Plc {
        let length = HISTORY * rate.factor();
        let (before, periods) = (Vec::with_capacity(length), Vec::with_capacity(length));
        Plc { rate, history: vec![0; length], before, periods, state: State::Good }
    }

    /// So many samples at 8 kHz, at the rate that there is.
    fn scaled(&self, samples: usize) -> usize {
        samples * self.rate.factor()
    }

    /// Takes samples that came. After a loss the first of them are faded in.
    pub fn good(&mut self, samples: &mut [i16]) {
        if let State::Lost { pitch, made, .. } = self.state {
            // A quarter of a period, and 4 ms more for each 10 ms of loss.
            let step = self.scaled(STEP);
            let longer = (made.saturating_sub(1) / step) * self.scaled(32);
            let fade = (pitch / 4 + longer).min(step).min(samples.len());
            let mut other = [0; MAX_FADE];
            let other = &mut other[..fade];
            self.make_up(other);
            for (n, (sample, other)) in samples.iter_mut().zip(other).enumerate() {
                *sample = faded(*other, *sample, n + 1, fade + 1);
            }
            self.state = State::Good;
        }
        self.keep(samples);
    }

    /// Makes samples up.
    pub fn conceal(&mut self, out: &mut [i16]) {
        if self.state == State::Good {
            self.before.clear();
            self.before.extend_from_slice(&self.history);
            let pitch = self.pitch();
            self.repeat(pitch, 1);
            self.state = State::Lost { pitch, made: 0, at: 0 };
        }
        self.make_up(out);
        self.keep(out);
    }

    /// Nothing of what came before goes on.
    pub fn reset(&mut self) {
        self.history.fill(0);
        self.state = State::Good;
    }

    fn keep(&mut self, samples: &[i16]) {
        let samples = samples.get(samples.len().saturating_sub(self.history.len())..).unwrap_or_default();
        let start = self.history.len() - samples.len();
        self.history.copy_within(samples.len().., 0);
        if let Some(end) = self.history.get_mut(start..) {
            end.copy_from_slice(samples);
        }
    }

    fn make_up(&mut self, out: &mut [i16]) {
        let State::Lost { pitch, mut made, mut at } = self.state else { return };
        let step = self.scaled(STEP);
        let silent = SILENT * step;
        for sample in out {
            // After 10 and 20 ms one period more is taken, lest it buzz.
            if made == step || made == 2 * step {
                self.repeat(pitch, made / step + 1);
                at %= pitch;
            }
            let left = silent.saturating_sub(made.max(step)) as i32;
            let repeated = self.periods.get(at).copied().unwrap_or(0);
            *sample = (i32::from(repeated) * left / (silent - step) as i32) as i16;
            at = (at + 1) % self.periods.len().max(1);
            made = (made + 1).min(silent);
        }
        self.state = State::Lost { pitch, made, at };
    }

    /// Takes the last `count` periods to be repeated, their end faded into what came before their beginning.
    fn repeat(&mut self, pitch: usize, count: usize) {
        let (length, join) = (pitch * count, pitch / 4);
        let start = self.before.len().saturating_sub(length);
        self.periods.clear();
        self.periods.extend_from_slice(self.before.get(start..).unwrap_or_default());
        let earlier = self.before.get(start.saturating_sub(join)..start).unwrap_or_default();
        let end = self.periods.iter_mut().skip(length - join);
        for (n, (sample, before)) in end.zip(earlier).enumerate() {
            *sample = faded(*sample, *before, n + 1, join + 1);
        }
    }

    /// The lag at which what was heard last is most like what came before it.
    fn pitch(&self) -> usize {
        let (length, compared) = (self.history.len(), self.scaled(COMPARED));
        let recent = self.history.get(length - compared..).unwrap_or_default();
        let likeness = |lag: usize| {
            let earlier = self.history.get(length - compared - lag..length - lag).unwrap_or_default();
            let (mut product, mut energy) = (0i64, 1i64);
            for (one, other) in recent.iter().zip(earlier) {
                product += i64::from(*one) * i64::from(*other);
                energy += i64::from(*other) * i64::from(*other);
            }
            // Normalised, as the square with its sign.
            let product = product as f64;
            product * product.abs() / energy as f64
        };
        let periods = self.scaled(*PITCH.start())..=self.scaled(*PITCH.end());
        let best = |lags: &mut dyn Iterator<Item = usize>| {
            lags.map(|lag| (lag, likeness(lag)))
                .fold((*periods.start(), f64::MIN), |best, other| if other.1 > best.1 { other } else { best })
        };
        // Lags 250 µs apart, then those beside the best.
        let apart = self.scaled(2);
        let (rough, _) = best(&mut periods.clone().step_by(apart));
        let beside = rough.saturating_sub(apart - 1)..=rough + apart - 1;
        let (lag, _) = best(&mut beside.filter(|lag| periods.contains(lag)));
        lag
    }
}

/// From `one` to `other`: `part` of `whole` is the other.
fn faded(one: i16, other: i16, part: usize, whole: usize) -> i16 {
    let (part, whole) = (part as i32, whole.max(1) as i32);
    ((i32::from(one) * (whole - part) + i32::from(other) * part) / whole) as i16
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::PI;

    /// Like a voice: a pulse train through two resonances, its pitch gliding.
    fn voice(count: usize) -> Vec<i16> {
        let (mut phase, mut past) = (0.0f64, [[0.0f64; 2]; 2]);
        let formants = [(600.0, 0.97), (1700.0, 0.94)];
        (0..count)
            .map(|n| {
                let pitch = 110.0 + 15.0 * (2.0 * PI * 1.3 * n as f64 / 8000.0).sin();
                phase += pitch / 8000.0;
                let mut sample = if phase >= 1.0 { 3000.0 } else { 0.0 };
                phase = phase.fract();
                for ((hz, radius), past) in formants.iter().zip(&mut past) {
                    let next =
                        sample + 2.0 * radius * (2.0 * PI * hz / 8000.0f64).cos() * past[0] - radius * radius * past[1];
                    *past = [next, past[0]];
                    sample = next * 0.35;
                }
                sample.clamp(-30_000.0, 30_000.0) as i16
            })
            .collect()
    }

    /// Signal to error in decibels.
    fn quality(signal: &[i16], heard: &[i16]) -> f64 {
        let power: f64 = signal.iter().map(|s| f64::from(*s).powi(2)).sum();
        let error: f64 = signal.iter().zip(heard).map(|(s, h)| (f64::from(*s) - f64::from(*h)).powi(2)).sum();
        10.0 * (power / error.max(1.0)).log10()
    }

    /// Frames of 20 ms, of which every `nth` is lost: what is heard.
    fn lossy(signal: &[i16], nth: usize) -> (Vec<i16>, Vec<i16>) {
        let (mut plc, mut concealed, mut silent) = (Plc::default(), Vec::new(), Vec::new());
        for (n, frame) in signal.chunks_exact(160).enumerate() {
            let (mut one, mut other) = (frame.to_vec(), frame.to_vec());
            if n % nth == nth - 1 {
                plc.conceal(&mut one);
                other.fill(0);
            } else {
                plc.good(&mut one);
            }
            concealed.extend(one);
            silent.extend(other);
        }
        (concealed, silent)
    }

    /// How far the levels of the bands are from those of the signal, in the lost frames: the mean in decibels.
    fn distance(signal: &[i16], heard: &[i16], nth: usize) -> f64 {
        let levels = |frame: &[i16]| -> Vec<f64> {
            (0..8)
                .map(|band| {
                    let part = |hz: f64| {
                        let (mut re, mut im) = (0.0, 0.0);
                        for (n, sample) in frame.iter().enumerate() {
                            let turn = 2.0 * PI * hz * n as f64 / 8000.0;
                            re += f64::from(*sample) * turn.cos();
                            im += f64::from(*sample) * turn.sin();
                        }
                        re * re + im * im
                    };
                    let power: f64 = (0..8).map(|n| part(200.0 + f64::from(band * 8 + n) * 50.0)).sum();
                    10.0 * (power / 160.0).max(1e4).log10()
                })
                .collect()
        };
        let lost = signal.chunks_exact(160).zip(heard.chunks_exact(160)).skip(nth - 1).step_by(nth);
        let errors: Vec<f64> = lost
            .flat_map(|(one, other)| levels(one).into_iter().zip(levels(other)).map(|(a, b)| (a - b).abs()))
            .collect();
        errors.iter().sum::<f64>() / errors.len() as f64
    }

    #[test]
    fn what_is_made_up_sounds_like_the_voice_and_silence_does_not() {
        let signal = voice(16_000);
        for nth in [20, 10, 5] {
            let (concealed, silent) = lossy(&signal, nth);
            let (near, far) = (distance(&signal, &concealed, nth), distance(&signal, &silent, nth));
            assert!(near < 5.0 && far > 3.0 * near, "one of {nth}: {near:.1} dB off, silence {far:.1} dB");
        }
    }

    #[test]
    fn a_tone_goes_on_and_has_no_clicks() {
        let tone: Vec<i16> =
            (0..4800).map(|n| (8000.0 * (2.0 * PI * 200.0 * f64::from(n) / 8000.0).sin()) as i16).collect();
        let (concealed, silent) = lossy(&tone, 8);
        assert!(quality(&tone, &concealed) > 20.0, "{}", quality(&tone, &concealed));
        let jump = |heard: &[i16]| heard.windows(2).map(|pair| (i32::from(pair[0]) - i32::from(pair[1])).abs()).max();
        assert!(jump(&concealed) < Some(2000) && jump(&silent) >= jump(&concealed), "{:?}", jump(&concealed));
    }

    #[test]
    fn a_long_loss_fades_to_silence_within_60_ms() {
        let mut plc = Plc::default();
        let mut signal = voice(1600);
        plc.good(&mut signal);
        let mut lost = vec![1; 800];
        // In pieces of any length.
        lost.chunks_mut(37).for_each(|chunk| plc.conceal(chunk));
        assert!(lost[..80].iter().any(|sample| sample.unsigned_abs() > 500));
        assert!(lost[480..].iter().all(|sample| *sample == 0));
        let mut after = voice(160);
        plc.good(&mut after);
        assert_eq!(after[80..], voice(160)[80..], "it is faded in within 10 ms");
    }

    #[test]
    fn the_extremes_do_not_overflow() {
        let mut plc = Plc::default();
        plc.good(&mut [i16::MIN; 400]);
        plc.conceal(&mut [0; 1000]);
        plc.good(&mut [i16::MAX; 1]);
        plc.good(&mut []);
        plc.conceal(&mut []);
        plc.reset();
    }
}
