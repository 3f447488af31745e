//! Messages out of a stream (RFC 3261 section 18.3, RFC 5626 section 3.5.1).

use crate::message::MAX_DATAGRAM;
use memchr::memchr;
use serde::{Deserialize, Serialize};

/// Longest head of a message in a stream, in bytes: start line and headers.
pub const MAX_HEAD: usize = MAX_DATAGRAM;

/// What a stream holds next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A whole message.
    Message(Vec<u8>),
    /// The far end asks whether we are there: two line ends.
    Ping,
    /// The far end is there: one line end.
    Pong,
}

/// Why a stream cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Framing {
    /// This message does not say how long it is, or says nonsense: where the next one begins is not known.
    NoLength(Vec<u8>),
    /// Longer than any message may be.
    TooLong,
}

/// Cuts a stream into messages. Bytes come in any portions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Framer {
    held: Vec<u8>,
    /// How far the end of the head was looked for already.
    seen: usize,
    /// A line end came last: another one makes a ping of it, however they were cut.
    ended: bool,
}

impl Framer {
    /// Takes bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// Whether a message has begun and is not whole.
    pub fn is_amid(&self) -> bool {
        self.held.iter().any(|byte| !matches!(byte, b'\r' | b'\n'))
    }

    /// The next piece that is whole. After an error nothing more can be read.
    pub fn next_piece(&mut self) -> Result<Option<Piece>, Framing> {
        if self.seen == 0 {
            match self.held.as_slice() {
                [b'\r', b'\n', b'\r', b'\n', ..] => return Ok(Some(self.drop_ends(4, Piece::Ping))),
                [b'\r', b'\n', ..] if self.ended => return Ok(Some(self.drop_ends(2, Piece::Ping))),
                [b'\r', b'\n'] => return Ok(Some(self.drop_ends(2, Piece::Pong))),
                [b'\r', b'\n', b'\r'] | [b'\r'] => return Ok(None),
                [b'\r', b'\n', ..] => return Ok(Some(self.drop_ends(2, Piece::Pong))),
                [b'\n', ..] => return Ok(Some(self.drop_ends(1, Piece::Pong))),
                [] => return Ok(None),
                _ => self.ended = false,
            }
        }
        let Some(head) = self.head() else {
            return if self.held.len() > MAX_HEAD { Err(Framing::TooLong) } else { Ok(None) };
        };
        if head > MAX_HEAD {
            return Err(Framing::TooLong);
        }
        let text = self.held.get(..head).unwrap_or_default();
        let Some(length) = content_length(text) else {
            return Err(Framing::NoLength(std::mem::take(&mut self.held)));
        };
        let whole = head.saturating_add(length);
        if whole > MAX_DATAGRAM {
            return Err(Framing::TooLong);
        }
        if self.held.len() < whole {
            return Ok(None);
        }
        let rest = self.held.split_off(whole);
        self.seen = 0;
        Ok(Some(Piece::Message(std::mem::replace(&mut self.held, rest))))
    }

    fn drop_ends(&mut self, count: usize, piece: Piece) -> Piece {
        self.held.drain(..count);
        self.ended = piece == Piece::Pong;
        piece
    }

    /// Length of the head with the empty line behind it.
    fn head(&mut self) -> Option<usize> {
        let mut at = self.seen;
        while let Some(length) = self.held.get(at..).and_then(|rest| memchr(b'\n', rest)) {
            let line = self.held.get(at..at + length).unwrap_or_default();
            at += length + 1;
            if at > 2 && matches!(line, b"" | b"\r") {
                return Some(at);
            }
            self.seen = at;
        }
        None
    }
}

/// The value of Content-Length, where there is one and it is a number; several must agree.
fn content_length(head: &[u8]) -> Option<usize> {
    let mut found = None;
    for line in head.split(|&byte| byte == b'\n').skip(1) {
        let Some(colon) = memchr(b':', line) else {
            continue;
        };
        let name = line.get(..colon)?.trim_ascii_end();
        if !name.eq_ignore_ascii_case(b"content-length") && !name.eq_ignore_ascii_case(b"l") {
            continue;
        }
        let value = std::str::from_utf8(line.get(colon + 1..)?.trim_ascii()).ok()?;
        let number = Some(value).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()?;
        if found.is_some_and(|known| known != number) {
            return None;
        }
        found = Some(number);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &[u8] = b"OPTIONS sip:a SIP/2.0\r\nVia: x\r\nl : 3\r\n\r\nabc";
    const TWO: &[u8] = b"SIP/2.0 200 OK\nContent-Length: 0\n\n";

    fn pieces(portions: &[&[u8]]) -> (Vec<Piece>, Option<Framing>) {
        let mut framer = Framer::default();
        let mut found = Vec::new();
        for portion in portions {
            framer.push(portion);
            loop {
                match framer.next_piece() {
                    Ok(Some(piece)) => found.push(piece),
                    Ok(None) => break,
                    Err(error) => return (found, Some(error)),
                }
            }
        }
        (found, None)
    }

    #[test]
    fn messages_are_found_however_the_stream_is_cut() {
        let stream = [ONE, TWO, ONE].concat();
        let wanted = [ONE, TWO, ONE].map(|text| Piece::Message(text.to_vec()));
        for size in 1..=stream.len() {
            let portions: Vec<&[u8]> = stream.chunks(size).collect();
            assert_eq!(pieces(&portions), (wanted.to_vec(), None), "in portions of {size}");
        }
    }

    #[test]
    fn line_ends_between_messages_are_pings_and_pongs() {
        let stream = [b"\r\n\r\n", ONE, b"\r\n", TWO].concat();
        let message = |text: &[u8]| Piece::Message(text.to_vec());
        assert_eq!(pieces(&[&stream]).0, [Piece::Ping, message(ONE), Piece::Pong, message(TWO)]);
        assert_eq!(pieces(&[b"\r\n\r\n"]).0, [Piece::Ping]);
        assert_eq!(pieces(&[b"\r\n"]).0, [Piece::Pong]);
        assert_eq!(pieces(&[b"\r", b"\n", b"\r", b"\n"]).0, [Piece::Pong, Piece::Ping], "byte by byte");
    }

    #[test]
    fn without_a_length_nothing_more_can_be_read() {
        for head in [
            "OPTIONS sip:a SIP/2.0\r\nVia: x\r\n\r\n",
            "OPTIONS sip:a SIP/2.0\r\nl: 1\r\nContent-Length: 2\r\n\r\n",
            "OPTIONS sip:a SIP/2.0\r\nl: -1\r\n\r\n",
            "OPTIONS sip:a SIP/2.0\r\nl: 99999999999999999999999\r\n\r\n",
        ] {
            assert_eq!(pieces(&[head.as_bytes()]).1, Some(Framing::NoLength(head.as_bytes().to_vec())));
        }
        let large = "OPTIONS sip:a SIP/2.0\r\nl: 70000\r\n\r\n";
        assert_eq!(pieces(&[large.as_bytes()]).1, Some(Framing::TooLong));
        assert_eq!(pieces(&[&vec![b'x'; MAX_HEAD + 1]]).1, Some(Framing::TooLong));
    }
}
