//! G.711: µ-law and A-law by table. Samples are signed 16 bits; the recommendation's 14 (µ) and 13 (A) bits are their
//! upper ones.

use serde::{Deserialize, Serialize};
use tspi::media::{Codec, FRAME_SAMPLES, Frame};

/// Which of the two laws.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Law {
    /// µ-law, RTP's PCMU.
    Mu,
    /// A-law, RTP's PCMA.
    A,
}

impl Law {
    /// The law of a codec, where it has one.
    pub fn of(codec: &Codec) -> Option<Law> {
        match codec {
            Codec::Pcmu => Some(Law::Mu),
            Codec::Pcma => Some(Law::A),
            _ => None,
        }
    }

    /// One octet's sample.
    #[inline]
    pub fn decode(self, octet: u8) -> i16 {
        match self {
            Law::Mu => MU_DECODE[usize::from(octet)],
            Law::A => A_DECODE[usize::from(octet)],
        }
    }

    /// One sample's octet.
    #[inline]
    pub fn encode(self, sample: i16) -> u8 {
        match self {
            Law::Mu => {
                let sign = if sample < 0 { 0x80 } else { 0 };
                MU_ENCODE[usize::from(sample.unsigned_abs() >> 2).min(MU_ENCODE.len() - 1)] ^ sign
            }
            Law::A => {
                // Without a branch: signs of audio cannot be foretold.
                let negative = (sample >> 15) as u16;
                A_ENCODE[usize::from((sample as u16 ^ negative) >> 4)] ^ (negative as u8 & 0x80)
            }
        }
    }

    /// Decodes octets, as many as there is room for.
    pub fn decode_all(self, octets: &[u8], out: &mut [i16]) {
        let table = match self {
            Law::Mu => &MU_DECODE,
            Law::A => &A_DECODE,
        };
        out.iter_mut().zip(octets).for_each(|(sample, octet)| *sample = table[usize::from(*octet)]);
    }

    /// Encodes samples, as many as there is room for.
    pub fn encode_all(self, samples: &[i16], out: &mut [u8]) {
        match self {
            Law::Mu => out.iter_mut().zip(samples).for_each(|(octet, sample)| *octet = Law::Mu.encode(*sample)),
            Law::A => out.iter_mut().zip(samples).for_each(|(octet, sample)| *octet = Law::A.encode(*sample)),
        }
    }

    /// The octets of a frame.
    pub fn encode_frame(self, frame: &Frame) -> [u8; FRAME_SAMPLES] {
        let mut octets = [0; FRAME_SAMPLES];
        for (octet, sample) in octets.iter_mut().zip(frame.0) {
            *octet = self.encode(sample);
        }
        octets
    }

    /// Converts an octet of this law into one of `to`.
    #[inline]
    pub fn convert(self, to: Law, octet: u8) -> u8 {
        match (self, to) {
            (Law::Mu, Law::A) => MU_TO_A[usize::from(octet)],
            (Law::A, Law::Mu) => A_TO_MU[usize::from(octet)],
            _ => octet,
        }
    }
}

const MU_DECODE: [i16; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        let inverted = !(code as u8);
        let exponent = (inverted >> 4) & 7;
        let mantissa = (inverted & 15) as i16;
        let magnitude = (((mantissa << 3) + 132) << exponent) - 132;
        table[code] = if inverted & 0x80 == 0 { magnitude } else { -magnitude };
        code += 1;
    }
    table
};

const A_DECODE: [i16; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        let even = code as u8 ^ 0x55;
        let exponent = (even >> 4) & 7;
        let mantissa = ((even & 15) as i16) << 4;
        let magnitude = if exponent == 0 { mantissa + 8 } else { (mantissa + 0x108) << (exponent - 1) };
        table[code] = if even & 0x80 == 0 { -magnitude } else { magnitude };
        code += 1;
    }
    table
};

/// Octets of positive samples by their upper bits; the sign bit is the caller's.
const MU_ENCODE: [u8; 8192] = {
    let mut table = [0; 8192];
    let mut index = 0;
    while index < 8192 {
        let clipped = if index > 32635 >> 2 { 32635 } else { (index as u32) << 2 };
        let biased = clipped + 132;
        let exponent = 24 - biased.leading_zeros();
        let mantissa = (biased >> (exponent + 3)) & 15;
        table[index] = !((exponent << 4) | mantissa) as u8;
        index += 1;
    }
    table
};

const A_ENCODE: [u8; 2048] = {
    let mut table = [0; 2048];
    let mut index = 0;
    while index < 2048 {
        let bits = 32 - (index as u32).leading_zeros();
        let code = if bits < 6 { index } else { ((bits as usize - 4) << 4) | ((index >> (bits - 5)) & 15) };
        table[index] = (code as u8 | 0x80) ^ 0x55;
        index += 1;
    }
    table
};

const MU_TO_A: [u8; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        let sample = MU_DECODE[code];
        table[code] = if code < 0x80 {
            A_ENCODE[(!sample.saturating_sub(if sample == 0 { 1 } else { 0 }) as u16 >> 4) as usize] ^ 0x80
        } else {
            A_ENCODE[(sample as u16 >> 4) as usize]
        };
        code += 1;
    }
    table
};

const A_TO_MU: [u8; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        let sample = A_DECODE[code];
        let sign = if sample < 0 { 0x80 } else { 0 };
        let index = (sample.unsigned_abs() >> 2) as usize;
        table[code] = MU_ENCODE[if index < 8192 { index } else { 8191 }] ^ sign;
        code += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    /// The value of a code by G.711's definition of chords and steps, in floating point.
    fn by_definition(law: Law, octet: u8) -> f64 {
        match law {
            Law::Mu => {
                let code = 255 - octet;
                let chord = f64::from((code >> 4) & 7);
                let value = 4.0 * (2f64.powf(chord) * (2.0 * f64::from(code & 15) + 33.0) - 33.0);
                if octet & 0x80 == 0 { -value } else { value }
            }
            Law::A => {
                let code = octet ^ 0x55;
                let chord = f64::from((code >> 4) & 7);
                let step = f64::from(code & 15);
                let value =
                    if chord == 0.0 { 2.0 * step + 1.0 } else { 2f64.powf(chord - 1.0) * (2.0 * step + 33.0) } * 8.0;
                if code & 0x80 == 0 { -value } else { value }
            }
        }
    }

    #[test]
    fn every_code_decodes_to_the_recommendations_value_and_back() {
        for law in [Law::Mu, Law::A] {
            for octet in 0..=255 {
                assert_eq!(f64::from(law.decode(octet)), by_definition(law, octet), "{law:?} {octet:#x}");
                let again = law.encode(law.decode(octet));
                // µ-law has two zeros.
                assert_eq!(again, if (law, octet) == (Law::Mu, 0x7f) { 0xff } else { octet }, "{law:?} {octet:#x}");
            }
        }
    }

    /// The decision values of G.711 tables 1 and 2, scaled to 16 bits: where a chord begins, and its step.
    fn decision_values(law: Law) -> Vec<u32> {
        let chords: [(u32, u32); 8] = match law {
            Law::Mu => [(0, 2), (31, 4), (95, 8), (223, 16), (479, 32), (991, 64), (2015, 128), (4063, 256)],
            Law::A => [(0, 2), (32, 2), (64, 4), (128, 8), (256, 16), (512, 32), (1024, 64), (2048, 128)],
        };
        let scale = if law == Law::Mu { 4 } else { 8 };
        let value = |begin: u32, step: u32, n: u32| (begin + step * n) * scale;
        let mut values: Vec<u32> = chords.iter().flat_map(|(b, s)| (0..16).map(|n| value(*b, *s, n))).collect();
        if law == Law::Mu {
            // The first step of µ-law's first chord is half as long.
            values[1..16].iter_mut().for_each(|value| *value -= scale);
        }
        values
    }

    #[test]
    fn every_sample_is_quantised_at_the_recommendations_decision_values() {
        for law in [Law::Mu, Law::A] {
            let values = decision_values(law);
            for sample in i16::MIN..=i16::MAX {
                let magnitude = match law {
                    Law::A if sample < 0 => u32::from(!sample as u16),
                    _ => u32::from(sample.unsigned_abs()),
                };
                let number = values.partition_point(|value| *value <= magnitude) as u8 - 1;
                let sign = if sample < 0 { 0x80 } else { 0 };
                let octet = if law == Law::Mu { !number ^ sign } else { (number | 0x80) ^ 0x55 ^ sign };
                assert_eq!(law.encode(sample), octet, "{law:?} {sample}");
            }
        }
    }

    #[test]
    fn conversion_keeps_sign_and_stays_within_a_step() {
        for octet in 0..=255u8 {
            for (from, to) in [(Law::Mu, Law::A), (Law::A, Law::Mu)] {
                let (before, after) = (from.decode(octet), to.decode(from.convert(to, octet)));
                assert!(i32::from(before) * i32::from(after) >= 0, "{from:?} {octet:#x}");
                let step = f64::from(before).abs() / 16.0 + 16.0;
                assert!((f64::from(before) - f64::from(after)).abs() <= step, "{from:?} {octet:#x}: {before} {after}");
            }
        }
        assert_eq!(Law::A.convert(Law::A, 0x12), 0x12);
    }
}
