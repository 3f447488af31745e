//! The DLE machine of V.253: what a voice modem says between its samples, and how samples are shielded from it.
//!
//! ```text
//!            byte                 DLE              DLE, SUB (twice)
//!  Data ───────────► data   Data ─────► Shielded ─────────────────► data 0x10, back to Data
//!                                          │ ETX ─► End    / ─► a digit begins    ~ ─► the digit is told
//!                                          │ X ─► Report … DLE . ─► back to Data
//!                                          └ other ─► Code
//! ```
//! A run of DLEs is taken in pairs, so that an odd one is the shield of what follows it (`10 10 10 03` is one byte 0x10,
//! then the end). The machine keeps its place wherever the bytes are cut.

use serde::{Deserialize, Serialize};

/// Data link escape.
pub(crate) const DLE: u8 = 0x10;
const ETX: u8 = 0x03;
const SUB: u8 = 0x1A;
/// While a digit is shielded it is repeated this often (V.253).
const REPEAT_MS: u32 = 70;
/// The longest complex report: caller id of 255 octets in hexadecimal.
const LONGEST_REPORT: u16 = 560;

/// What the decoder makes of a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A byte of data.
    Data(u8),
    /// Two bytes 0x10 (`DLE SUB`).
    TwoEscapes,
    /// A digit of the far end, with its length where the modem told it.
    Digit(char, Option<u32>),
    /// Any other event, by its code.
    Code(u8),
    /// A byte of a complex report.
    Report(u8),
    /// The stream is over (`DLE ETX`).
    End,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    #[default]
    Data,
    /// After a DLE.
    Shielded,
    /// Inside `DLE X` … `DLE .`, so many bytes of it.
    Report(u16),
    /// After a DLE inside a report.
    ReportShielded(u16),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Tone {
    #[default]
    Bare,
    /// After `DLE /`.
    Begun,
    /// The digit, and how often it was told.
    Holding(char, u32),
}

/// The decoder: takes one byte, gives at most one [`Heard`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decoder {
    state: State,
    tone: Tone,
}

impl Decoder {
    /// A decoder at the beginning of data.
    pub fn new() -> Decoder {
        Decoder::default()
    }

    /// Takes a byte.
    #[inline]
    pub fn push(&mut self, byte: u8) -> Option<Heard> {
        match (self.state, byte) {
            (State::Data, DLE) => {
                self.state = State::Shielded;
                None
            }
            (State::Data, _) => Some(Heard::Data(byte)),
            (State::Shielded, b'X') => {
                self.state = State::Report(0);
                None
            }
            (State::Shielded, _) => {
                self.state = State::Data;
                self.shielded(byte)
            }
            (State::Report(length), DLE) => {
                self.state = State::ReportShielded(length);
                None
            }
            (State::Report(length), _) => Some(self.reported(length, byte)),
            (State::ReportShielded(_), b'.') => {
                self.state = State::Data;
                // A report ends its last line itself; where a modem forgets to, this does.
                Some(Heard::Report(b'\n'))
            }
            (State::ReportShielded(_), ETX) => {
                self.state = State::Data;
                Some(Heard::End)
            }
            (State::ReportShielded(length), _) => Some(self.reported(length, byte)),
        }
    }

    /// A byte of a report. One that is longer than any report has lost its end, and what comes is data again.
    fn reported(&mut self, length: u16, byte: u8) -> Heard {
        if length >= LONGEST_REPORT {
            self.state = State::Data;
            return Heard::Report(b'\n');
        }
        self.state = State::Report(length + 1);
        Heard::Report(byte)
    }

    fn shielded(&mut self, code: u8) -> Option<Heard> {
        match code {
            DLE => Some(Heard::Data(DLE)),
            SUB => Some(Heard::TwoEscapes),
            ETX => {
                self.tone = Tone::Bare;
                Some(Heard::End)
            }
            b'/' => {
                let before = self.told();
                self.tone = Tone::Begun;
                before
            }
            b'~' | 0x7F => {
                let digit = self.told();
                self.tone = Tone::Bare;
                digit
            }
            b'0'..=b'9' | b'A'..=b'D' | b'*' | b'#' => self.digit(char::from(code)),
            _ => Some(Heard::Code(code)),
        }
    }

    fn digit(&mut self, digit: char) -> Option<Heard> {
        match self.tone {
            Tone::Bare => Some(Heard::Digit(digit, None)),
            Tone::Begun => {
                self.tone = Tone::Holding(digit, 1);
                None
            }
            Tone::Holding(held, times) if held == digit => {
                self.tone = Tone::Holding(held, times.saturating_add(1));
                None
            }
            Tone::Holding(..) => {
                let before = self.told();
                self.tone = Tone::Holding(digit, 1);
                before
            }
        }
    }

    /// The digit that is held, told once.
    fn told(&self) -> Option<Heard> {
        match self.tone {
            Tone::Holding(digit, times) => Some(Heard::Digit(digit, Some(times.saturating_mul(REPEAT_MS)))),
            Tone::Bare | Tone::Begun => None,
        }
    }
}

/// Appends data for the modem: every byte 0x10 is doubled.
pub fn encode(data: &[u8], stream: &mut Vec<u8>) {
    for byte in data {
        stream.push(*byte);
        if *byte == DLE {
            stream.push(DLE);
        }
    }
}

/// What a voice modem tells by a code (V.253; `profile.events` says where a chip set differs).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VoiceEvent {
    /// Ring.
    Ring,
    /// Ringback tone.
    Ringback,
    /// Dial tone.
    DialTone,
    /// Stuttering dial tone: messages wait.
    StutterDialTone,
    /// Busy tone.
    Busy,
    /// Reorder tone, fast busy.
    Reorder,
    /// 2100 Hz of a fax or data modem.
    AnswerTone,
    /// 2225 Hz of a data modem.
    DataAnswer,
    /// 1100 Hz of a calling fax.
    FaxCalling,
    /// 1300 Hz of a calling data modem.
    DataCalling,
    /// V.21 flags of a fax.
    FaxPreamble,
    /// Voice energy.
    Voice,
    /// No voice since the beginning.
    Silence,
    /// Voice, and then none.
    Quiet,
    /// The loop current was interrupted: the far end hung up.
    LoopBreak,
    /// The polarity was reversed.
    Polarity,
    /// Local phone on hook.
    HandsetOnHook,
    /// Local phone off hook.
    HandsetOffHook,
    /// Extension on hook.
    ExtOnHook,
    /// Extension off hook.
    ExtOffHook,
    /// Call waiting tone.
    CallWaiting,
    /// Text phone.
    Tdd,
    /// Special information tones.
    Sit,
    /// Bong tone.
    Bong,
    /// Timing mark.
    Timing,
    /// The modem had nothing to play.
    Underrun,
    /// We did not read in time.
    Overrun,
    /// Go on.
    Xon,
    /// Wait.
    Xoff,
    /// Data that the modem cannot play.
    BadFormat,
    /// Data was lost.
    LostData,
    /// The stream was cleared.
    Cancelled,
    /// Nothing that matters to us.
    Ignored,
}

impl VoiceEvent {
    /// V.253's meaning of a code.
    pub fn of(code: u8) -> VoiceEvent {
        match code {
            b'R' => VoiceEvent::Ring,
            b'r' => VoiceEvent::Ringback,
            b'd' => VoiceEvent::DialTone,
            b'i' => VoiceEvent::StutterDialTone,
            b'b' => VoiceEvent::Busy,
            b'K' => VoiceEvent::Reorder,
            b'a' => VoiceEvent::AnswerTone,
            b'f' => VoiceEvent::DataAnswer,
            b'c' => VoiceEvent::FaxCalling,
            b'e' => VoiceEvent::DataCalling,
            b'm' => VoiceEvent::FaxPreamble,
            b'V' | b'v' => VoiceEvent::Voice,
            b's' => VoiceEvent::Silence,
            b'q' => VoiceEvent::Quiet,
            b'l' => VoiceEvent::LoopBreak,
            b'L' => VoiceEvent::Polarity,
            b'h' => VoiceEvent::HandsetOnHook,
            b'H' => VoiceEvent::HandsetOffHook,
            b'p' => VoiceEvent::ExtOnHook,
            b'P' => VoiceEvent::ExtOffHook,
            b'w' => VoiceEvent::CallWaiting,
            b't' => VoiceEvent::Tdd,
            b'J' => VoiceEvent::Sit,
            b'$' => VoiceEvent::Bong,
            b'T' => VoiceEvent::Timing,
            b'u' => VoiceEvent::Underrun,
            b'o' => VoiceEvent::Overrun,
            b'Q' => VoiceEvent::Xon,
            b'S' => VoiceEvent::Xoff,
            b'E' => VoiceEvent::BadFormat,
            b'Y' => VoiceEvent::LostData,
            0x18 | 0x14 => VoiceEvent::Cancelled,
            _ => VoiceEvent::Ignored,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(bytes: &[u8]) -> Vec<Heard> {
        let mut decoder = Decoder::new();
        bytes.iter().filter_map(|byte| decoder.push(*byte)).collect()
    }

    #[test]
    fn codes_between_samples() {
        use Heard::*;
        for (bytes, expected) in [
            (&b"ab"[..], vec![Data(b'a'), Data(b'b')]),
            (&[DLE, DLE], vec![Data(DLE)]),
            (&[DLE, SUB], vec![TwoEscapes]),
            (&[DLE, DLE, DLE, ETX], vec![Data(DLE), End]),
            (&[DLE, ETX, b'O', b'K'], vec![End, Data(b'O'), Data(b'K')]),
            (&[DLE, b'b', DLE, b'd'], vec![Code(b'b'), Code(b'd')]),
            (&[DLE, b'5', DLE, b'5'], vec![Digit('5', None), Digit('5', None)]),
            (&[DLE, b'/', DLE, b'5', DLE, b'5', DLE, b'~'], vec![Digit('5', Some(140))]),
            (
                &[DLE, b'/', DLE, b'5', DLE, b'/', DLE, b'6', DLE, 0x7F],
                vec![Digit('5', Some(70)), Digit('6', Some(70))],
            ),
            (&[DLE, b'/', DLE, b'1', DLE, b'2', DLE, b'~'], vec![Digit('1', Some(70)), Digit('2', Some(70))]),
            (&[DLE, b'/', DLE, b'~', DLE, b'#'], vec![Digit('#', None)]),
            (&[DLE, b'u', b'\r'], vec![Code(b'u'), Data(b'\r')]),
            (&[DLE, b'X', b'A', DLE, b'.', b'z'], vec![Report(b'A'), Report(b'\n'), Data(b'z')]),
        ] {
            assert_eq!(heard(bytes), expected, "{bytes:02x?}");
        }
    }

    #[test]
    fn a_report_whose_end_is_lost_does_not_swallow_the_audio() {
        let mut bytes = vec![DLE, b'X'];
        bytes.extend([0x80; 2_000]);
        bytes.extend([DLE, b'5']);
        let heard = heard(&bytes);
        let data = heard.iter().filter(|heard| matches!(heard, Heard::Data(_))).count();
        assert_eq!(data, 2_000 - usize::from(LONGEST_REPORT) - 1);
        assert_eq!(heard.get(usize::from(LONGEST_REPORT)), Some(&Heard::Report(b'\n')));
        assert_eq!(heard.last(), Some(&Heard::Digit('5', None)));
        // The longest caller id fits.
        let report = [b"MESG=".as_slice(), &[b'0'; 2 * 258], b"\r\n"].concat();
        assert!(report.len() < usize::from(LONGEST_REPORT));
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let data: Vec<u8> = (0..=255).chain([DLE, DLE, DLE]).collect();
        let mut stream = Vec::new();
        encode(&data, &mut stream);
        let back: Vec<u8> = heard(&stream)
            .into_iter()
            .map(|heard| match heard {
                Heard::Data(byte) => byte,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(back, data);
    }
}
