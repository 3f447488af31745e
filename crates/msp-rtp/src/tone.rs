//! Tones: made without a break in phase, and measured by Goertzel's algorithm.

use serde::{Deserialize, Serialize};
use std::f64::consts::{PI, SQRT_2};
use tapi::ToneLevel;
use tspi::media::{FRAME_SAMPLES, Frame};

/// Peak of a sine of 0 dBm0: full scale is 3.14 dBm0 (G.711 section 3, A-law).
pub const PEAK_0_DBM0: f64 = 22_827.0;
/// The rate of all audio here, in hertz.
pub const RATE: u32 = 8000;
/// Frequencies in a tone at most.
pub const MAX_FREQUENCIES: usize = 4;
/// Frequencies that one meter measures at most.
pub const MAX_MEASURED: usize = 8;
/// What a meter says of silence, in tenths of dBm0.
pub const SILENCE_DDBM0: i32 = -990;
/// Samples that a meter measures at once: ten times a second.
const BLOCK: u32 = 800;

/// Sines, added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tone {
    /// Of each, in turns of 2³².
    phases: [u32; MAX_FREQUENCIES],
    steps: [u32; MAX_FREQUENCIES],
    /// Peak of each, as the bits of a float: a snapshot must not round.
    amplitudes: [u64; MAX_FREQUENCIES],
    count: usize,
}

impl Tone {
    /// One to four frequencies in hertz, each with its level in dBm0. `None`: too many, or no such frequency at 8 kHz.
    pub fn new(parts: &[(u32, f64)]) -> Option<Tone> {
        let possible = parts.iter().all(|(hz, _)| (1..RATE / 2).contains(hz));
        if !possible || parts.is_empty() || parts.len() > MAX_FREQUENCIES {
            return None;
        }
        let (mut steps, mut amplitudes) = ([0; MAX_FREQUENCIES], [0; MAX_FREQUENCIES]);
        for ((step, amplitude), (hz, level)) in steps.iter_mut().zip(&mut amplitudes).zip(parts) {
            *step = ((u64::from(*hz) << 32) / u64::from(RATE)) as u32;
            *amplitude = (PEAK_0_DBM0 * 10f64.powf(level.clamp(-90.0, 3.0) / 20.0)).to_bits();
        }
        Some(Tone { phases: [0; MAX_FREQUENCIES], steps, amplitudes, count: parts.len() })
    }

    /// The tone of a digit: low group -8 dBm0, high group -6 dBm0 (Q.23 and common practice).
    pub fn of_digit(digit: char) -> Option<Tone> {
        const KEYS: [&str; 4] = ["123A", "456B", "789C", "*0#D"];
        const LOW: [u32; 4] = [697, 770, 852, 941];
        const HIGH: [u32; 4] = [1209, 1336, 1477, 1633];
        let digit = digit.to_ascii_uppercase();
        let (row, column) = KEYS.iter().enumerate().find_map(|(row, keys)| Some((row, keys.find(digit)?)))?;
        Tone::new(&[(*LOW.get(row)?, -8.0), (*HIGH.get(column)?, -6.0)])
    }

    /// The next 20 ms.
    pub fn frame(&mut self) -> Frame {
        let mut frame = Frame::SILENCE;
        self.fill(&mut frame.0);
        frame
    }

    /// The next samples, 20 ms at most.
    pub fn fill(&mut self, samples: &mut [i16]) {
        let mut room = [0f64; FRAME_SAMPLES];
        let count = samples.len().min(FRAME_SAMPLES);
        let mixed = &mut room[..count];
        let parts = self.phases.iter_mut().zip(&self.steps).zip(&self.amplitudes).take(self.count);
        for ((phase, step), amplitude) in parts {
            let amplitude = f64::from_bits(*amplitude);
            for sample in &mut *mixed {
                *sample += amplitude * (f64::from(*phase) * (2.0 * PI / 4_294_967_296.0)).sin();
                *phase = phase.wrapping_add(*step);
            }
        }
        for (sample, mixed) in samples.iter_mut().zip(mixed) {
            *sample = mixed.round().clamp(-32_767.0, 32_767.0) as i16;
        }
    }
}

/// What a meter measured in 100 ms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// One entry for each asked frequency.
    pub tones: Vec<ToneLevel>,
    /// Level of the whole signal in tenths of dBm0.
    pub level_ddbm0: i32,
}

/// Measures some frequencies, and the whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meter {
    filters: Vec<Filter>,
    #[serde(with = "bits")]
    energy: f64,
    samples: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Filter {
    hz: u32,
    #[serde(with = "bits")]
    coefficient: f64,
    #[serde(with = "bits")]
    one: f64,
    #[serde(with = "bits")]
    two: f64,
}

/// Floats as their bits: text would round them.
pub(crate) mod bits {
    use serde::{Deserialize, Deserializer, Serializer};

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
    pub(crate) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(value.to_bits())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        u64::deserialize(deserializer).map(f64::from_bits)
    }
}

impl Meter {
    /// Of these frequencies in hertz; those past the eighth are not measured.
    pub fn new(hz: &[u32]) -> Meter {
        let filter = |hz: &u32| {
            let turn = f64::from((*hz).min(RATE / 2)) / f64::from(RATE);
            Filter { hz: *hz, coefficient: 2.0 * (2.0 * PI * turn).cos(), one: 0.0, two: 0.0 }
        };
        Meter { filters: hz.iter().take(MAX_MEASURED).map(filter).collect(), energy: 0.0, samples: 0 }
    }

    /// Takes 20 ms; gives what was measured once 100 ms are full.
    pub fn frame(&mut self, frame: &Frame) -> Option<Measured> {
        for sample in frame.0 {
            let sample = f64::from(sample);
            self.energy += sample * sample;
            for filter in &mut self.filters {
                let next = sample + filter.coefficient * filter.one - filter.two;
                filter.two = filter.one;
                filter.one = next;
            }
        }
        self.samples += FRAME_SAMPLES as u32;
        if self.samples < BLOCK {
            return None;
        }
        let tones = self.filters.iter().map(Filter::level).collect();
        let level_ddbm0 = ddbm0((self.energy / f64::from(self.samples)).sqrt() * SQRT_2);
        self.energy = 0.0;
        self.samples = 0;
        for filter in &mut self.filters {
            filter.one = 0.0;
            filter.two = 0.0;
        }
        Some(Measured { tones, level_ddbm0 })
    }
}

impl Filter {
    fn level(&self) -> ToneLevel {
        let power = self.one * self.one + self.two * self.two - self.coefficient * self.one * self.two;
        let peak = 2.0 * power.max(0.0).sqrt() / f64::from(BLOCK);
        let known = (1..RATE / 2).contains(&self.hz);
        ToneLevel { hz: self.hz, level_ddbm0: if known { ddbm0(peak) } else { SILENCE_DDBM0 } }
    }
}

/// Tenths of dBm0 of a sine of this peak.
pub(crate) fn ddbm0(peak: f64) -> i32 {
    if peak < 0.25 {
        return SILENCE_DDBM0;
    }
    ((200.0 * (peak / PEAK_0_DBM0).log10()).round() as i32).max(SILENCE_DDBM0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::g711::Law;

    fn measure(hz: &[u32], mut frame: impl FnMut() -> Frame) -> Measured {
        let mut meter = Meter::new(hz);
        loop {
            if let Some(measured) = meter.frame(&frame()) {
                return measured;
            }
        }
    }

    #[test]
    fn the_recommendations_test_sequence_measures_0_dbm0_at_1_khz() {
        // G.711 tables 5 and 6.
        let sequences = [
            (Law::A, [0x34, 0x21, 0x21, 0x34, 0xb4, 0xa1, 0xa1, 0xb4]),
            (Law::Mu, [0x1e, 0x0b, 0x0b, 0x1e, 0x9e, 0x8b, 0x8b, 0x9e]),
        ];
        for (law, octets) in sequences {
            let measured = measure(&[1000, 2000], || Frame(std::array::from_fn(|n| law.decode(octets[n % 8]))));
            assert!(measured.tones[0].level_ddbm0.abs() <= 1, "{law:?} {measured:?}");
            assert!(measured.level_ddbm0.abs() <= 1, "{law:?} {measured:?}");
            assert!(measured.tones[1].level_ddbm0 < -400, "{law:?} {measured:?}");
        }
    }

    #[test]
    fn what_is_made_is_what_is_measured_also_over_g711() {
        for (hz, level) in [(300, -10.0), (425, -20.0), (1004, 0.0), (3400, -35.0)] {
            for law in [Law::Mu, Law::A] {
                let mut tone = Tone::new(&[(hz, level)]).unwrap();
                let measured = measure(&[hz], || Frame(tone.frame().0.map(|sample| law.decode(law.encode(sample)))));
                let error = f64::from(measured.tones[0].level_ddbm0) - level * 10.0;
                assert!(error.abs() <= 5.0, "{law:?} {hz} Hz at {level} dBm0 gave {measured:?}");
            }
        }
    }

    #[test]
    fn bounds_of_a_tone_and_of_a_meter() {
        assert_eq!(Tone::new(&[]), None);
        assert_eq!(Tone::new(&[(0, 0.0)]), None);
        assert_eq!(Tone::new(&[(4000, 0.0)]), None);
        assert_eq!(Tone::new(&[(440, 0.0); 5]), None);
        assert_eq!(Tone::of_digit('x'), None);
        let measured = measure(&[100, 0, 5000, 4, 5, 6, 7, 8, 9, 10], || Frame::SILENCE);
        assert_eq!(measured.tones.len(), MAX_MEASURED);
        assert!(measured.tones.iter().all(|tone| tone.level_ddbm0 == SILENCE_DDBM0));
        assert_eq!(measured.level_ddbm0, SILENCE_DDBM0);
    }
}
