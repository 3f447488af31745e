//! Samples of the server (8 kHz, 16 bits) to and from the bytes of a modem's stream, whatever its format and rate.

use crate::ima::Ima;
use crate::pcm::{SampleFormat, Unpacker};
use crate::resample::Resampler;
use serde::{Deserialize, Serialize};

/// Samples a second on our side.
const OURS: u32 = 8_000;

/// Both directions of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Coder {
    format: SampleFormat,
    unpacker: Unpacker,
    from: Ima,
    to: Ima,
    /// The first code of a byte that waits for the second one.
    half: Option<u8>,
    rate_in: Resampler,
    rate_out: Resampler,
}

impl Coder {
    /// A stream of this format at so many samples a second.
    pub(crate) fn new(format: SampleFormat, rate: u32) -> Coder {
        Coder {
            format,
            unpacker: Unpacker::new(format),
            from: Ima::default(),
            to: Ima::default(),
            half: None,
            rate_in: Resampler::new(rate, OURS),
            rate_out: Resampler::new(OURS, rate),
        }
    }

    /// Takes a byte of the modem; appends the samples that follow from it.
    pub(crate) fn decode(&mut self, byte: u8, samples: &mut Vec<i16>) {
        if self.format == SampleFormat::Ima4 {
            for code in [byte & 0x0F, byte >> 4] {
                let sample = self.from.decode(code);
                self.rate_in.push(sample, samples);
            }
        } else if let Some(sample) = self.unpacker.push(byte) {
            self.rate_in.push(sample, samples);
        }
    }

    /// Appends the bytes for samples.
    pub(crate) fn encode(&mut self, samples: &[i16], bytes: &mut Vec<u8>) {
        let mut theirs = Vec::with_capacity(samples.len() * 2);
        samples.iter().for_each(|sample| self.rate_out.push(*sample, &mut theirs));
        for sample in theirs {
            if self.format != SampleFormat::Ima4 {
                self.format.encode(sample, bytes);
                continue;
            }
            let code = self.to.encode(sample);
            match self.half.take() {
                None => self.half = Some(code),
                Some(low) => bytes.push(low | (code << 4)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_crosses_every_format_at_every_rate() {
        use SampleFormat::{Alaw, Ima4, S8, S16le, U8, Ulaw};
        for format in [U8, S8, Ulaw, Alaw, S16le, Ima4] {
            for rate in [7_200, 8_000, 9_600, 11_025, 16_000] {
                let (mut to, mut from) = (Coder::new(format, rate), Coder::new(format, rate));
                let (mut bytes, mut back) = (Vec::new(), Vec::new());
                let tone = |n: u32| (12_000.0 * (f64::from(n) * 0.5).sin()) as i16;
                let sent: Vec<i16> = (0..8_000).map(tone).collect();
                sent.chunks(160).for_each(|frame| to.encode(frame, &mut bytes));
                bytes.iter().for_each(|byte| from.decode(*byte, &mut back));
                assert!(back.len().abs_diff(sent.len()) < 8, "{format:?} {rate}: {}", back.len());
                // The best of all delays up to 10 ms.
                let error = |delay: usize| {
                    let pairs = sent[400..7_000].iter().zip(&back[400 + delay..]);
                    let (mut signal, mut noise) = (0.0, 0.0);
                    pairs.for_each(|(sent, back)| {
                        signal += f64::from(*sent).powi(2);
                        noise += (f64::from(*sent) - f64::from(*back)).powi(2);
                    });
                    signal / noise
                };
                let ratio = (0..80).map(error).fold(0.0, f64::max);
                assert!(ratio > 30.0, "{format:?} {rate}: {ratio}");
            }
        }
    }
}
