//! Automatic gain for modems that hand over eight linear bits: what is quiet there is lifted before it is coded again.

use serde::{Deserialize, Serialize};

/// One, in steps of a 256th.
const ONE: u32 = 256;
/// The most that is added: 18 dB.
const MOST: u32 = 8 * ONE;
/// Peaks are brought to about so much, of 32767.
const TARGET: u32 = 12_000;
/// Below that it is noise, which is not lifted further: two steps of eight bits.
const NOISE: u32 = 600;
/// Frames of 20 ms over which the gain rises.
const RISE: u32 = 25;

/// The gain as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Agc {
    gain: u32,
}

impl Agc {
    /// No gain yet.
    pub(crate) fn new() -> Agc {
        Agc { gain: ONE }
    }

    /// Lifts 20 ms: at once down, slowly up.
    pub(crate) fn lift(&mut self, samples: &mut [i16]) {
        let peak = samples.iter().map(|sample| u32::from(sample.unsigned_abs())).max().unwrap_or(0);
        let before = self.gain;
        if peak >= NOISE {
            let wanted = (TARGET * ONE / peak).clamp(ONE, MOST);
            self.gain = if wanted < before { wanted } else { before + (wanted - before).div_ceil(RISE) };
        }
        // No step upwards inside what is heard.
        let (from, count) = (before.min(self.gain), samples.len().max(1) as u32);
        for (at, sample) in samples.iter_mut().enumerate() {
            let gain = from + (self.gain - from) * at as u32 / count;
            let lifted = i64::from(*sample) * i64::from(gain) / i64::from(ONE);
            *sample = lifted.clamp(i64::from(i16::MIN), i64::from(i16::MAX)) as i16;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peak_after(level: i16, seconds: u32) -> u16 {
        let mut agc = Agc::new();
        let mut peak = 0;
        for _ in 0..seconds * 50 {
            let mut frame: Vec<i16> = (0..160).map(|n| if n % 8 < 4 { level } else { -level }).collect();
            agc.lift(&mut frame);
            peak = frame.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
        }
        peak
    }

    #[test]
    fn quiet_voices_are_lifted_and_loud_ones_and_noise_are_not() {
        assert!((11_000..=12_100).contains(&peak_after(2_000, 4)), "{}", peak_after(2_000, 4));
        assert_eq!(peak_after(700, 4), 700 * 8);
        assert_eq!(peak_after(20_000, 4), 20_000);
        assert_eq!(peak_after(300, 4), 300);
        // It comes slowly.
        let mut agc = Agc::new();
        let mut frame = [2_000; 160];
        agc.lift(&mut frame);
        assert!(frame.iter().all(|sample| *sample < 2_500));
    }

    #[test]
    fn what_becomes_loud_is_not_cut() {
        let mut agc = Agc::new();
        (0..200).for_each(|_| agc.lift(&mut [1_500; 160]));
        let mut frame = [25_000; 160];
        agc.lift(&mut frame);
        assert!(frame.iter().all(|sample| *sample == 25_000), "{frame:?}");
    }
}
