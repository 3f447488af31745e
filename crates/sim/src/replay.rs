//! A modem out of a transcript: it says what a real one said when it was recorded (`docs/adding-a-modem.md` has the format).
//!
//! It goes through the transcript as the host does: when the host sends what was sent then, it answers what was answered,
//! and what followed comes with the same pauses. A command at another place is answered as it was answered first; one
//! that the transcript does not have with `ERROR`. It has no line: whom it calls does not ring.

use crate::modem::{Access, Device, Effect, Kind, Signal};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tapi::Time;
use tspi::Frame;

/// A step of a transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// The host sends this, without its CR when it is a command line.
    Host(Vec<u8>),
    /// The modem says this.
    Says(Kind, Vec<u8>),
    /// So much time passes.
    Passes(Duration),
}

/// Bytes of the host that are kept.
const TYPED: usize = 512;
/// Most bytes of one entry.
const LONGEST: usize = 1 << 20;

/// What cannot be replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayError {
    /// In which line, from 1.
    pub line: usize,
    /// Why.
    pub reason: String,
}

impl std::fmt::Display for ReplayError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

impl std::error::Error for ReplayError {}

/// The modem.
#[derive(Clone, Debug)]
pub struct Replay {
    steps: Vec<Step>,
    /// The first answer to each command.
    answers: BTreeMap<Vec<u8>, Vec<u8>>,
    at: usize,
    due: Option<Time>,
    typed: Vec<u8>,
    /// Commands of the host that had another place than the transcript's.
    astray: u64,
    out: VecDeque<Effect>,
}

impl Replay {
    /// Reads a transcript.
    ///
    /// # Errors
    /// The first line that is not of the format.
    pub fn new(text: &str) -> Result<Replay, ReplayError> {
        let mut steps = Vec::new();
        for (line, number) in text.lines().zip(1..) {
            let wrong = |reason: &str| ReplayError { line: number, reason: reason.to_string() };
            let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
            match mark {
                ">" if rest == "mark" => {}
                "<" if rest == "mark" => {}
                ">" => steps.push(Step::Host(named(rest).ok_or_else(|| wrong("no such character"))?)),
                "<" => steps.push(Step::Says(Kind::Text, format!("\r\n{rest}\r\n").into_bytes())),
                "<<" => {
                    let bytes = bytes(rest).ok_or_else(|| wrong("bytes are hexadecimal, and perhaps `*N`"))?;
                    steps.push(Step::Says(Kind::Stream, bytes));
                }
                "@" => {
                    let millis = rest.trim().parse().map_err(|_| wrong("milliseconds are a whole number"))?;
                    steps.push(Step::Passes(Duration::from_millis(millis)));
                }
                // What the server was told or did is its own matter.
                "" | "$" | "!" | "=" | "profile" | "include" | "mark" => {}
                other if other.starts_with('#') => {}
                other => return Err(wrong(&format!("`{other}` begins no line of a transcript"))),
            }
        }
        let answers = answers(&steps);
        let (typed, out) = (Vec::new(), VecDeque::new());
        Ok(Replay { steps, answers, at: 0, due: None, typed, astray: 0, out })
    }

    /// How many commands came at another place than in the transcript, or are not in it.
    pub fn astray(&self) -> u64 {
        self.astray
    }

    fn send(&mut self, kind: Kind, bytes: Vec<u8>) {
        self.out.push_back(Effect::Bytes { port: 0, kind, bytes });
    }

    /// What the transcript waits for the host to send.
    fn awaited(&self) -> Option<usize> {
        let rest = self.steps.iter().enumerate().skip(self.at);
        rest.into_iter().find(|(_, step)| matches!(step, Step::Host(_))).map(|(at, _)| at)
    }

    /// Goes on until the host or time is awaited. A pause before a word of the host is the host's.
    fn go(&mut self, now: Time) {
        while let Some(step) = self.steps.get(self.at).cloned() {
            match step {
                Step::Host(_) => return,
                Step::Passes(_) if matches!(self.steps.get(self.at + 1), Some(Step::Host(_)) | None) => {}
                Step::Passes(wait) => {
                    let due = *self.due.get_or_insert(now + wait);
                    if due > now {
                        return;
                    }
                    self.due = None;
                }
                Step::Says(kind, bytes) => self.send(kind, bytes),
            }
            self.at += 1;
        }
    }

    /// The host sent what the transcript has at this place: whatever was to come before comes now.
    fn reached(&mut self, now: Time, place: usize) {
        let skipped = self.steps[self.at..place].iter().filter_map(|step| match step {
            Step::Says(kind, bytes) => Some(Effect::Bytes { port: 0, kind: *kind, bytes: bytes.clone() }),
            _ => None,
        });
        self.out.extend(skipped);
        (self.at, self.due) = (place + 1, None);
        self.typed.clear();
        self.go(now);
    }

    fn line(&mut self, now: Time) {
        let line = std::mem::take(&mut self.typed);
        let text = String::from_utf8_lossy(&line).trim().to_string();
        if text.is_empty() {
            return;
        }
        // The driver's own question where it is.
        if let Some(number) = text.strip_prefix("ATS10=").and_then(|rest| rest.strip_suffix("S10?")) {
            let answer = format!("\r\n{number:0>3}\r\n\r\nOK\r\n");
            return self.send(Kind::Text, answer.into_bytes());
        }
        if let Some(place) = self.awaited()
            && matches!(&self.steps[place], Step::Host(wanted) if wanted == text.as_bytes())
        {
            return self.reached(now, place);
        }
        self.astray += 1;
        let unknown = if text.eq_ignore_ascii_case("at") { b"\r\nOK\r\n".as_slice() } else { b"\r\nERROR\r\n" };
        let answer = self.answers.get(text.as_bytes()).cloned().unwrap_or_else(|| unknown.to_vec());
        self.send(Kind::Text, answer);
    }
}

/// What follows the first of each command, up to the first pause or the host's next word.
fn answers(steps: &[Step]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut answers = BTreeMap::new();
    for (at, step) in steps.iter().enumerate() {
        let Step::Host(sent) = step else { continue };
        let mut answer = Vec::new();
        for step in &steps[at + 1..] {
            match step {
                Step::Says(Kind::Text, bytes) => answer.extend(bytes),
                Step::Passes(wait) if answer.is_empty() && *wait < Duration::from_secs(1) => {}
                _ => break,
            }
        }
        if !answer.is_empty() {
            answers.entry(sent.clone()).or_insert(answer);
        }
    }
    answers
}

/// Text in which control characters have their names: `<DLE>!`.
fn named(text: &str) -> Option<Vec<u8>> {
    const NAMES: [(&str, u8); 8] = [
        ("CR", 0x0d),
        ("DLE", 0x10),
        ("ETX", 0x03),
        ("CAN", 0x18),
        ("ESC", 0x1b),
        ("SUB", 0x1a),
        ("DC4", 0x14),
        ("FS", 0x1c),
    ];
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if first == '<'
            && let Some((name, after)) = rest[1..].split_once('>')
        {
            let known = NAMES.iter().find(|(known, _)| *known == name).map(|(_, byte)| *byte);
            bytes.push(known.or_else(|| u8::from_str_radix(name, 16).ok())?);
            rest = after;
        } else {
            bytes.extend(first.to_string().bytes());
            rest = &rest[first.len_utf8()..];
        }
    }
    Some(bytes)
}

/// Bytes as hexadecimal numbers; `80*160` is one a hundred and sixty times.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for word in text.split_whitespace() {
        let (byte, times) = word.split_once('*').unwrap_or((word, "1"));
        let (byte, times) = (u8::from_str_radix(byte, 16).ok()?, times.parse::<usize>().ok()?);
        if bytes.len() + times > LONGEST {
            return None;
        }
        bytes.resize(bytes.len() + times, byte);
    }
    Some(bytes)
}

impl Device for Replay {
    fn access(&self) -> Access {
        Access::TwoWire
    }

    fn ports(&self) -> u32 {
        1
    }

    fn bytes(&mut self, now: Time, _port: u32, bytes: &[u8]) {
        for byte in bytes {
            // An order in a stream has no CR behind it; samples before it do not matter.
            self.typed.push(*byte);
            if self.typed.len() > TYPED {
                self.typed.drain(..TYPED / 2);
            }
            let order = self.awaited().filter(|place| match &self.steps[*place] {
                Step::Host(wanted) => !wanted.starts_with(b"AT") && self.typed.ends_with(wanted),
                _ => false,
            });
            match order {
                Some(place) => self.reached(now, place),
                None if *byte == b'\r' => {
                    self.typed.pop();
                    self.line(now);
                }
                None => {}
            }
        }
    }

    fn room(&self, _port: u32) -> usize {
        4_096
    }

    fn host_reads(&mut self, _port: u32, _reads: bool) {}

    fn signal(&mut self, _now: Time, _signal: Signal) {}

    fn frame(&mut self, _now: Time, _heard: &Frame) -> Frame {
        Frame::SILENCE
    }

    fn timeout(&mut self, now: Time) {
        self.go(now);
    }

    fn reset(&mut self) {
        (self.at, self.due) = (0, None);
        self.typed.clear();
    }

    fn poll_output(&mut self) -> Option<Effect> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(modem: &mut Replay) -> String {
        let mut text = Vec::new();
        while let Some(Effect::Bytes { bytes, .. }) = modem.poll_output() {
            text.extend(bytes);
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    #[test]
    fn it_says_what_was_recorded_when_it_was() {
        let text = "# a desk\n> ATI3\n@ 40\n< V1\n< OK\n@ 900\n> AT+FCLASS=8\n< OK\n@ 2000\n< RING\n> ATA\n< CONNECT\n\
                    << 80*3 10 73\n> <DLE>!\n<< 10 03\n< OK\n";
        let mut modem = Replay::new(text).unwrap();
        modem.bytes(Time::ZERO, 0, b"ATI3\r");
        assert_eq!(modem.poll_timeout(), Some(Time::from_millis(40)));
        modem.timeout(Time::from_millis(40));
        assert_eq!(said(&mut modem), "\r\nV1\r\n\r\nOK\r\n");
        modem.bytes(Time::from_millis(50), 0, b"AT+NEW\rATS10=7S10?\rATI3\rAT+FCLASS=8\r");
        assert_eq!(said(&mut modem), "\r\nERROR\r\n\r\n007\r\n\r\nOK\r\n\r\nV1\r\n\r\nOK\r\n\r\nOK\r\n");
        assert_eq!(modem.astray(), 2);
        modem.timeout(Time::from_millis(2_050));
        assert_eq!(said(&mut modem), "\r\nRING\r\n");
        modem.bytes(Time::from_millis(3_000), 0, b"ATA\r");
        assert_eq!(said(&mut modem).as_bytes(), "\r\nCONNECT\r\n\u{fffd}\u{fffd}\u{fffd}\u{10}s".as_bytes());
        modem.bytes(Time::from_millis(3_100), 0, b"\x10!");
        assert_eq!(said(&mut modem), "\u{10}\u{3}\r\nOK\r\n");
        assert_eq!(Replay::new("> AT\n? what\n").unwrap_err().line, 2);
    }
}
