//! Whether samples of eight bits are what the modem's label says: the silence of a line tells. One vendor's "unsigned PCM"
//! is µ-law on the wire.

use crate::SampleFormat;
use serde::{Deserialize, Serialize};
use tspi::CallRef;

/// Bytes that are looked at together: 100 ms.
const WINDOW: u32 = 800;
/// Windows that may go by without silence before nothing is concluded.
const PATIENCE: u32 = 50;
/// So many of a window are near silence when it is silent.
const SILENT: u32 = WINDOW / 20 * 19;
/// Steps from zero that still are silence.
const NEAR: u8 = 8;
const FORMATS: [SampleFormat; 4] = [SampleFormat::U8, SampleFormat::Ulaw, SampleFormat::Alaw, SampleFormat::S8];

/// Listens for silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Calibration {
    /// So many bytes of this window were heard, so many of them near the silence of each format; windows before it.
    Listening { bytes: u32, near: [u32; 4], above: u32, windows: u32 },
    /// It is known, or cannot be.
    Done,
}

impl Calibration {
    /// For a stream of this format.
    pub(crate) fn of(format: SampleFormat, wanted: bool) -> Calibration {
        if wanted && FORMATS.contains(&format) { Calibration::afresh(0) } else { Calibration::Done }
    }

    fn afresh(windows: u32) -> Calibration {
        Calibration::Listening { bytes: 0, near: [0; 4], above: 0, windows }
    }

    /// Takes a byte of a stream that is thought to be of this format. What it is, where it is another one.
    #[inline]
    pub(crate) fn push(&mut self, format: SampleFormat, byte: u8) -> Option<SampleFormat> {
        let Calibration::Listening { bytes, near, above, windows } = self else { return None };
        *bytes += 1;
        for (count, format) in near.iter_mut().zip(FORMATS) {
            *count += u32::from(is_near(format, byte));
        }
        *above += u32::from(byte < 0x80);
        if *bytes < WINDOW {
            return None;
        }
        let (near, above, windows) = (*near, *above, *windows + 1);
        *self = if windows < PATIENCE { Calibration::afresh(windows) } else { Calibration::Done };
        let silent = |at: &usize| near.get(*at).is_some_and(|count| *count >= SILENT);
        let fit: Vec<SampleFormat> =
            (0..FORMATS.len()).filter(silent).filter_map(|at| FORMATS.get(at).copied()).collect();
        // µ-law may be 0xFF throughout, and what lost its eighth bit 0x00: a signed line has samples of either sign.
        let either = (WINDOW / 20..=SILENT).contains(&above);
        let fit: Vec<SampleFormat> = fit.into_iter().filter(|fit| *fit != SampleFormat::S8 || either).collect();
        match fit.as_slice() {
            [] => None,
            fit if fit.contains(&format) => {
                *self = Calibration::Done;
                None
            }
            [other] => {
                *self = Calibration::Done;
                Some(*other)
            }
            _ => None,
        }
    }
}

/// A format that one call's silence told and no other call's yet: samples may have been damaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Suspect {
    #[default]
    None,
    /// It holds for this call.
    Of(CallRef, SampleFormat),
}

impl Suspect {
    /// The format of a stream of this call on a line of that format.
    pub(crate) fn in_call(self, call: CallRef, line: SampleFormat) -> SampleFormat {
        match self {
            Suspect::Of(known, format) if known == call => format,
            _ => line,
        }
    }

    /// The silence of this call told a format. That of the line from now on.
    pub(crate) fn found(&mut self, call: CallRef, format: SampleFormat, line: SampleFormat) -> SampleFormat {
        let before = std::mem::take(self);
        match before {
            _ if format == line => line,
            Suspect::Of(known, same) if known != call && same == format => format,
            Suspect::Of(known, same) if known == call && same == format => {
                *self = before;
                line
            }
            _ => {
                *self = Suspect::Of(call, format);
                line
            }
        }
    }
}

/// Whether a byte is about zero in this format.
fn is_near(format: SampleFormat, byte: u8) -> bool {
    match format {
        SampleFormat::U8 => byte.abs_diff(0x80) <= NEAR,
        SampleFormat::S8 => byte.cast_signed().unsigned_abs() <= NEAR,
        SampleFormat::Ulaw => !byte & 0x7F <= NEAR,
        SampleFormat::Alaw => (byte ^ 0x55) & 0x7F <= NEAR,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(declared: SampleFormat, bytes: impl Iterator<Item = u8>) -> Option<SampleFormat> {
        let mut calibration = Calibration::of(declared, true);
        bytes.into_iter().find_map(|byte| calibration.push(declared, byte))
    }

    #[test]
    fn silence_tells_the_format() {
        use SampleFormat::{Alaw, S8, U8, Ulaw};
        let noise = |n: usize| (n * 7 % 5) as u8;
        type Sound = Box<dyn Fn(usize) -> u8>;
        let sounds: [(SampleFormat, Sound); 6] = [
            (U8, Box::new(move |n| 0x7E + noise(n))),
            (U8, Box::new(|_| 0x80)),
            (Ulaw, Box::new(|_| 0xFF)),
            (Ulaw, Box::new(move |n| if n % 3 == 0 { 0x7F - noise(n) } else { 0xFF - noise(n) })),
            (Alaw, Box::new(move |n| (0xD5 ^ (n as u8 & 0x83)) | 0x50)),
            (S8, Box::new(move |n| noise(n).wrapping_sub(2))),
        ];
        for (is, sound) in sounds {
            for declared in FORMATS {
                // A second of speech before it changes nothing.
                let speech = (0..8_000).map(|n| (128.0 + 100.0 * (n as f64 / 7.3).sin()) as u8);
                let expected = (is != declared).then_some(is);
                let told = found(declared, speech.chain((0..2_000).map(&sound)));
                assert_eq!(told, expected, "{is:?} said to be {declared:?}");
            }
        }
    }

    #[test]
    fn what_one_call_told_holds_for_it_and_what_two_told_for_the_line() {
        use SampleFormat::{S8, U8, Ulaw};
        let [one, two, three] = [1, 2, 3].map(CallRef);
        let mut suspect = Suspect::default();
        assert_eq!(suspect.found(one, Ulaw, U8), U8);
        assert_eq!((suspect.in_call(one, U8), suspect.in_call(two, U8)), (Ulaw, U8));
        // The next stream of the same call is no second witness.
        assert_eq!(suspect.found(one, Ulaw, U8), U8);
        assert_eq!(suspect.found(two, S8, U8), U8);
        assert_eq!((suspect.in_call(two, U8), suspect.in_call(three, U8)), (S8, U8));
        assert_eq!(suspect.found(three, S8, U8), S8);
        assert_eq!(suspect, Suspect::None);
        // It was nothing.
        assert_eq!(suspect.found(one, Ulaw, S8), S8);
        assert_eq!(suspect.found(one, S8, S8), S8);
        assert_eq!(suspect.in_call(one, S8), S8);
    }

    #[test]
    fn what_is_ambiguous_is_as_it_was_told() {
        use SampleFormat::{S8, S16le, U8, Ulaw};
        // A modem that idles at 0x7F.
        assert_eq!(found(U8, std::iter::repeat_n(0x7F, 2_000)), None);
        assert_eq!(found(Ulaw, std::iter::repeat_n(0x7F, 2_000)), None);
        // The silence of unsigned samples on a link of seven bits.
        assert_eq!(found(U8, std::iter::repeat_n(0x80 & 0x7F, 2_000)), None);
        assert_eq!(Calibration::of(S16le, true), Calibration::Done);
        assert_eq!(Calibration::of(S8, false), Calibration::Done);
        let speech = |n: usize| (128.0 + 100.0 * (n as f64 / 7.3).sin()) as u8;
        assert_eq!(found(U8, (0..80_000).map(speech)), None);
    }
}
