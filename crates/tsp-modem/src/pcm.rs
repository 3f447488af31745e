//! Samples as modems carry them, to and from signed 16 bits.

use serde::{Deserialize, Serialize};

/// How a modem's stream carries a sample (`+VSM`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SampleFormat {
    /// 8 bits, unsigned, linear: silence is 0x80.
    U8,
    /// G.711 µ-law.
    Ulaw,
    /// G.711 A-law.
    Alaw,
    /// Signed 16 bits, low byte first.
    S16le,
    /// 8 bits, signed, linear: silence is 0.
    S8,
    /// IMA ADPCM, two samples a byte. Analogue modems only.
    Ima4,
}

impl SampleFormat {
    /// Bytes of a sample; 1 where several share one.
    pub(crate) fn width(self) -> usize {
        match self {
            SampleFormat::S16le => 2,
            SampleFormat::U8 | SampleFormat::S8 | SampleFormat::Ulaw | SampleFormat::Alaw | SampleFormat::Ima4 => 1,
        }
    }

    /// Appends a sample. One of ADPCM follows from those before it: see [`crate::coder`].
    pub(crate) fn encode(self, sample: i16, bytes: &mut Vec<u8>) {
        match self {
            SampleFormat::Ima4 => {}
            SampleFormat::S8 => bytes.push(((i32::from(sample) + 128).min(32_767) >> 8) as u8),
            SampleFormat::U8 => bytes.push((((i32::from(sample) + 128).min(32_767) >> 8) + 128) as u8),
            SampleFormat::Ulaw => bytes.push(ulaw(sample)),
            SampleFormat::Alaw => bytes.push(alaw(sample)),
            SampleFormat::S16le => bytes.extend_from_slice(&sample.to_le_bytes()),
        }
    }
}

/// Cuts a stream of bytes into samples, wherever the bytes were cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unpacker {
    format: SampleFormat,
    low: Option<u8>,
}

impl Unpacker {
    pub(crate) fn new(format: SampleFormat) -> Unpacker {
        Unpacker { format, low: None }
    }

    /// Takes a byte; gives the sample that it completes.
    pub(crate) fn push(&mut self, byte: u8) -> Option<i16> {
        match self.format {
            SampleFormat::Ima4 => None,
            SampleFormat::S8 => Some(i16::from(byte as i8) << 8),
            SampleFormat::U8 => Some((i16::from(byte) - 128) << 8),
            SampleFormat::Ulaw => Some(from_ulaw(byte)),
            SampleFormat::Alaw => Some(from_alaw(byte)),
            SampleFormat::S16le => match self.low.take() {
                Some(low) => Some(i16::from_le_bytes([low, byte])),
                None => {
                    self.low = Some(byte);
                    None
                }
            },
        }
    }
}

/// G.711 table 2a.
fn ulaw(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let biased = i32::from(sample).abs().min(32_635) + 0x84;
    let exponent = 24 - biased.leading_zeros() as i32;
    let mantissa = (biased >> (exponent + 3)) & 0x0F;
    !((sign | (exponent << 4) | mantissa) as u8)
}

/// G.711 table 2b.
fn from_ulaw(byte: u8) -> i16 {
    let code = i32::from(!byte);
    let magnitude = (((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4);
    (if code & 0x80 != 0 { 0x84 - magnitude } else { magnitude - 0x84 }) as i16
}

/// G.711 table 1a.
fn alaw(sample: i16) -> u8 {
    let (mask, magnitude) = if sample >= 0 { (0xD5, i32::from(sample)) } else { (0x55, -i32::from(sample) - 1) };
    let code = if magnitude < 256 {
        magnitude >> 4
    } else {
        let exponent = 24 - magnitude.leading_zeros() as i32;
        (exponent << 4) | ((magnitude >> (exponent + 3)) & 0x0F)
    };
    (code as u8) ^ mask
}

/// G.711 table 1b.
fn from_alaw(byte: u8) -> i16 {
    let code = i32::from(byte ^ 0x55);
    let low = (code & 0x0F) << 4;
    let magnitude = match (code & 0x70) >> 4 {
        0 => low + 8,
        segment => (low + 0x108) << (segment - 1),
    };
    (if code & 0x80 != 0 { magnitude } else { -magnitude }) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_what_modems_call_silence() {
        for (format, byte) in
            [(SampleFormat::U8, 0x80), (SampleFormat::S8, 0), (SampleFormat::Ulaw, 0xFF), (SampleFormat::Alaw, 0xD5)]
        {
            let mut bytes = Vec::new();
            format.encode(0, &mut bytes);
            assert_eq!(bytes, [byte], "{format:?}");
        }
    }

    #[test]
    fn every_sample_comes_back_within_the_step_of_its_format() {
        for format in [SampleFormat::U8, SampleFormat::S8, SampleFormat::Ulaw, SampleFormat::Alaw, SampleFormat::S16le]
        {
            for sample in (i16::MIN..=i16::MAX).step_by(7) {
                let mut bytes = Vec::new();
                format.encode(sample, &mut bytes);
                assert_eq!(bytes.len(), format.width());
                let mut unpacker = Unpacker::new(format);
                let back = bytes.iter().filter_map(|byte| unpacker.push(*byte)).next().unwrap();
                let error = (i32::from(back) - i32::from(sample)).abs();
                let step = match format {
                    SampleFormat::S16le => 0,
                    SampleFormat::U8 | SampleFormat::S8 | SampleFormat::Ima4 => 256,
                    SampleFormat::Ulaw | SampleFormat::Alaw => 16 + i32::from(sample).abs() / 16,
                };
                assert!(error <= step, "{format:?} {sample} came back as {back}");
            }
        }
    }

    #[test]
    fn codes_of_g711_are_its_own_inverse() {
        for byte in 0..=255u8 {
            assert_eq!(alaw(from_alaw(byte)), byte);
            // Negative zero of the µ-law comes back as zero.
            assert_eq!(ulaw(from_ulaw(byte)), if byte == 0x7F { 0xFF } else { byte });
        }
    }
}
