//! IMA ADPCM: four bits a sample, the first one in the low half of a byte (IMA Recommended Practices for digital audio,
//! 1992), as voice modems that follow V.253 carry it.

use serde::{Deserialize, Serialize};

const STEPS: [i32; 89] = [
    7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 19, 21, 23, 25, 28, 31, 34, 37, 41, 45, 50, 55, 60, 66, 73, 80, 88, 97, 107,
    118, 130, 143, 157, 173, 190, 209, 230, 253, 279, 307, 337, 371, 408, 449, 494, 544, 598, 658, 724, 796, 876, 963,
    1060, 1166, 1282, 1411, 1552, 1707, 1878, 2066, 2272, 2499, 2749, 3024, 3327, 3660, 4026, 4428, 4871, 5358, 5894,
    6484, 7132, 7845, 8630, 9493, 10442, 11487, 12635, 13899, 15289, 16818, 18500, 20350, 22385, 24623, 27086, 29794,
    32767,
];
const MOVES: [i32; 8] = [-1, -1, -1, -1, 2, 4, 6, 8];

/// One direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ima {
    predicted: i32,
    index: usize,
}

impl Ima {
    fn step(&self) -> i32 {
        STEPS.get(self.index).copied().unwrap_or(32_767)
    }

    /// The sample of a code of four bits.
    pub(crate) fn decode(&mut self, code: u8) -> i16 {
        let step = self.step();
        let bit = |mask: u8, part: i32| if code & mask == 0 { 0 } else { part };
        let change = (step >> 3) + bit(4, step) + bit(2, step >> 1) + bit(1, step >> 2);
        let moved = if code & 8 == 0 { self.predicted + change } else { self.predicted - change };
        self.predicted = moved.clamp(-32_768, 32_767);
        let index = self.index as i32 + MOVES[usize::from(code & 7)];
        self.index = index.clamp(0, STEPS.len() as i32 - 1) as usize;
        self.predicted as i16
    }

    /// The code of a sample.
    pub(crate) fn encode(&mut self, sample: i16) -> u8 {
        let step = self.step();
        let off = i32::from(sample) - self.predicted;
        let (sign, mut rest) = if off < 0 { (8, -off) } else { (0, off) };
        let mut code = 0;
        for (mask, part) in [(4, step), (2, step >> 1), (1, step >> 2)] {
            if rest >= part {
                code |= mask;
                rest -= part;
            }
        }
        self.decode(code | sign);
        code | sign
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_comes_back() {
        let (mut to, mut from) = (Ima::default(), Ima::default());
        let (mut signal, mut noise) = (0.0, 0.0);
        for n in 0..8_000 {
            let sample = (8_000.0 * (f64::from(n) * 0.4).sin()) as i16;
            let back = from.decode(to.encode(sample));
            if n > 200 {
                signal += f64::from(sample).powi(2);
                noise += (f64::from(back) - f64::from(sample)).powi(2);
            }
        }
        assert!(signal / noise > 100.0, "{}", signal / noise);
    }

    #[test]
    fn any_codes_stay_in_range() {
        let mut from = Ima::default();
        for code in (0..4_000).map(|n: u32| (n * 7 % 16) as u8).chain([7; 200]).chain([15; 200]) {
            from.decode(code);
        }
    }
}
