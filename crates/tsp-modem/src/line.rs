//! From bytes to lines: the byte-wise assembler under the AT engine. V.250 5.7 puts a response between CR LF pairs;
//! modems keep to that only roughly.

use serde::{Deserialize, Serialize};

/// The longest line that is kept, in bytes.
pub(crate) const LONGEST: usize = 4096;

/// Puts lines together, one byte at a time. CR or LF ends a line; empty lines, NULs, XON and XOFF are dropped; a line that grows
/// beyond [`LONGEST`] is dropped whole, up to the next CR or LF.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Assembler {
    partial: Vec<u8>,
    state: State,
    /// Lines that were too long.
    pub(crate) overlong: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    #[default]
    Collecting,
    /// Inside a line that is too long.
    Skipping,
}

impl Assembler {
    /// Takes a byte; gives the line that it ends.
    pub(crate) fn push(&mut self, byte: u8) -> Option<String> {
        match (self.state, byte) {
            (_, 0 | 0x11 | 0x13) => None,
            (State::Skipping, b'\r' | b'\n') => {
                self.state = State::Collecting;
                None
            }
            (State::Skipping, _) => None,
            (State::Collecting, b'\r' | b'\n') => self.take(),
            (State::Collecting, _) if self.partial.len() >= LONGEST => {
                self.partial.clear();
                self.overlong += 1;
                self.state = State::Skipping;
                None
            }
            (State::Collecting, _) => {
                self.partial.push(byte);
                None
            }
        }
    }

    /// Whether nothing of a line came yet, noise aside.
    pub(crate) fn is_empty(&self) -> bool {
        self.state == State::Collecting && self.partial.iter().all(|byte| !byte.is_ascii())
    }

    /// Forgets what was begun.
    pub(crate) fn clear(&mut self) {
        self.partial.clear();
        self.state = State::Collecting;
    }

    /// The line so far, without blanks at its ends. Bytes above 0x7F become the characters of Latin-1; before a line they
    /// are noise.
    fn take(&mut self) -> Option<String> {
        let line: String = self.partial.iter().copied().skip_while(|byte| !byte.is_ascii()).map(char::from).collect();
        self.partial.clear();
        let line = line.trim();
        (!line.is_empty()).then(|| line.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<String> {
        let mut assembler = Assembler::default();
        bytes.iter().filter_map(|byte| assembler.push(*byte)).collect()
    }

    #[test]
    fn every_framing_of_the_field_gives_the_same_lines() {
        for bytes in [
            &b"\r\nRING\r\n\r\nOK\r\n"[..],
            b"RING\r\nOK\r\n",
            b"\nRING\r\nOK\r",
            b"\r\nRING\r\r\n\r\nOK\r\r\n",
            b"\0\r\nRI\0NG\r\n\r\nOK\r\n\0",
            b"\xff\r\n\xfeRING\r\n\x80\r\n\0\xff\xaaOK\r\n",
            b"\x13\x11RING\r\n\x13\r\nO\x11K\r\n",
        ] {
            assert_eq!(lines(bytes), ["RING", "OK"], "{bytes:?}");
        }
    }

    #[test]
    fn noise_alone_is_not_the_beginning_of_a_line() {
        let mut assembler = Assembler::default();
        for (byte, empty) in [(0, true), (0xff, true), (b'>', false), (b'\r', true)] {
            assembler.push(byte);
            assert_eq!(assembler.is_empty(), empty, "{byte:#x}");
        }
    }

    #[test]
    fn a_line_without_end_is_dropped_and_the_next_one_is_whole() {
        let mut bytes = vec![b'x'; 3 * LONGEST];
        bytes.extend_from_slice(b"\r\nOK\r\n");
        assert_eq!(lines(&bytes), ["OK"]);
    }

    #[test]
    fn high_bytes_are_kept_as_characters() {
        assert_eq!(lines(b"+COPS: 0,0,\"T\xe9l\xe9\"\r\n"), ["+COPS: 0,0,\"Télé\""]);
    }
}
