//! Transcripts: what crosses the ports of a modem and what it is told to do, as a small text that people read and tests
//! replay. docs/adding-a-modem.md has the format.

use crate::AT_PORT;
use crate::redact::Private;
use crate::voice::{Decoder, Heard};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::time::Duration;
use tapi::Time;
use tspi::{Action, Event, Input, Output};

/// Samples are written this often, where nothing else is.
const SAMPLES_WAIT: Duration = Duration::from_secs(1);
/// A sample of a frame that may turn a modem round which carries one direction at a time (of 32767).
const LOUD: u16 = 400;
/// The longest line that is put together.
const LONGEST: usize = 4_096;
/// Whether numbers, names and PINs are written as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Numbers {
    /// As they are.
    Kept,
    /// Each is another one of the same length, the same one throughout.
    Hidden,
}

/// Writes a transcript: give it every input before the modem has it, and every output of the modem.
#[derive(Clone, Debug)]
pub struct Recorder {
    private: Private,
    /// When the last line was written.
    last: Option<Time>,
    decoder: Decoder,
    place: Place,
    line: String,
    /// Samples of the line since the last entry.
    samples: usize,
    marked: bool,
    /// Whether the last command begins a stream to the line alone.
    plays: bool,
    /// Whether a stream goes one way at a time, and the last loud frame that was to be played then.
    ways: Ways,
    loud: Option<Time>,
}

/// Which ways streams go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ways {
    Both,
    /// What is to be played decides when it turns.
    OneAtATime,
}

/// What bytes of the port are now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Lines,
    /// After `CONNECT`, until the end of a stream.
    Stream,
}

impl Recorder {
    /// A recorder.
    pub fn new(numbers: Numbers) -> Recorder {
        Recorder {
            private: Private::new(numbers),
            last: None,
            decoder: Decoder::new(),
            place: Place::Lines,
            line: String::new(),
            samples: 0,
            marked: false,
            plays: false,
            ways: Ways::Both,
            loud: None,
        }
    }

    /// What an input adds.
    pub fn input(&mut self, now: Time, input: &Input<'_>) -> String {
        let mut text = String::new();
        match input {
            Input::Bytes { port: AT_PORT, bytes } => {
                bytes.iter().for_each(|byte| self.byte(now, *byte, &mut text));
                // A stream without samples would be taken for dead.
                if self.samples > 0 && self.last.is_none_or(|last| now.since(last) >= SAMPLES_WAIT) {
                    self.entry(now, "", &mut text);
                }
            }
            Input::Opened { port } => self.entry(now, &format!("= opened {}", port.0), &mut text),
            Input::Closed { port, reason } => {
                self.entry(now, &format!("= closed {} {reason}", port.0), &mut text);
            }
            Input::Frame { frame, .. }
                if self.ways == Ways::OneAtATime && frame.0.iter().any(|sample| sample.unsigned_abs() >= LOUD) =>
            {
                self.loud = Some(now);
            }
            Input::Timeout if self.last.is_none() => self.entry(now, "= timeout", &mut text),
            Input::Command(command) => {
                if let Some(words) = words(&command.action) {
                    let words = self.private.hide(&words);
                    self.entry(now, &format!("$ {words}"), &mut text);
                }
            }
            _ => {}
        }
        text
    }

    /// What an output adds. Samples that were written are left out, and events are `! *`: what is told is for the reader to
    /// fill in.
    pub fn output(&mut self, now: Time, output: &Output) -> String {
        let mut text = String::new();
        match output {
            Output::Event(Event::Trace { .. }) | Output::Frame { .. } | Output::SoftFlow { .. } => {}
            Output::Event(_) | Output::Open { .. } | Output::Close { .. } | Output::Dtr { .. } => {
                self.entry(now, "! *", &mut text);
            }
            Output::Write { port: AT_PORT, bytes } => self.wrote(now, bytes, &mut text),
            _ => {}
        }
        text
    }

    fn wrote(&mut self, now: Time, bytes: &[u8], text: &mut String) {
        let shown = match bytes {
            b"\r" => "<CR>".to_owned(),
            [b'A', b'T', line @ .., b'\r'] => {
                let line = format!("AT{}", String::from_utf8_lossy(line));
                // Commands are written outside streams alone, however the last one ended.
                self.place = Place::Lines;
                self.plays = line.to_ascii_uppercase().ends_with("VTX");
                self.ways = match line.to_ascii_uppercase() {
                    upper if upper.ends_with("VRX") || upper.ends_with("VTX") => Ways::OneAtATime,
                    upper if upper.ends_with("VTR") => Ways::Both,
                    _ => self.ways,
                };
                self.marked = line.starts_with("ATS10=") && line.ends_with("S10?");
                if self.marked { "mark".to_owned() } else { self.private.hide(&line) }
            }
            [0x10, code, rest @ ..] if *code != 0x10 && rest.len() <= 2 => {
                bytes.iter().map(|byte| shown(*byte)).collect()
            }
            [b'!'] => "!".to_owned(),
            _ => return,
        };
        self.entry(now, &format!("> {shown}"), text);
    }

    fn byte(&mut self, now: Time, byte: u8, text: &mut String) {
        match self.decoder.push(byte) {
            None => {}
            Some(Heard::Data(_)) if self.place == Place::Stream => self.samples += 1,
            Some(Heard::TwoEscapes) => self.samples += 2,
            Some(Heard::Report(byte)) if self.place == Place::Stream => self.report(now, byte, text),
            Some(Heard::Data(byte) | Heard::Report(byte)) => self.character(now, byte, text),
            Some(Heard::End) => {
                self.place = Place::Lines;
                self.entry(now, "<< 10 03", text);
            }
            Some(Heard::Digit(digit, _)) => self.entry(now, &format!("<< 10 {:02X}", digit as u32 & 0xFF), text),
            Some(Heard::Code(code)) => self.entry(now, &format!("<< 10 {code:02X}"), text),
        }
    }

    /// A byte of a complex report inside a stream: each line of it is written as a report of its own.
    fn report(&mut self, now: Time, byte: u8, text: &mut String) {
        if !matches!(byte, b'\r' | b'\n') {
            if self.line.len() < LONGEST {
                self.line.push(char::from(byte));
            }
            return;
        }
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            let hidden = self.private.hide(&line);
            let bytes: Vec<String> = hidden.bytes().map(|byte| format!("{byte:02X}")).collect();
            self.entry(now, &format!("<< 10 58 {} 0D 0A 10 2E", bytes.join(" ")), text);
        }
    }

    fn character(&mut self, now: Time, byte: u8, text: &mut String) {
        if !matches!(byte, b'\r' | b'\n') {
            if byte != 0 && self.line.len() < LONGEST {
                self.line.push(char::from(byte));
            }
            return;
        }
        let line = std::mem::take(&mut self.line);
        let line = line.trim();
        if line.is_empty() {
            return;
        }
        // In a stream to the line the modem says lines and codes.
        if (line == "CONNECT" || line.starts_with("CONNECT ")) && !self.plays {
            self.place = Place::Stream;
        }
        let mark = self.marked && line.bytes().all(|byte| byte.is_ascii_digit());
        let shown = if mark { "mark".to_owned() } else { self.private.hide(line) };
        self.entry(now, &format!("< {shown}"), text);
    }

    fn entry(&mut self, now: Time, entry: &str, text: &mut String) {
        if let Some(at) = self.loud.take() {
            self.at(at, "= frame", text);
        }
        self.at(now, entry, text);
    }

    fn at(&mut self, now: Time, entry: &str, text: &mut String) {
        let passed = self.last.map_or(0, |last| now.since(last).as_millis());
        if passed > 0 {
            let _ = writeln!(text, "@ {passed}");
        }
        if self.samples > 0 {
            let _ = writeln!(text, "<< 80*{}", std::mem::take(&mut self.samples));
        }
        self.last = Some(now);
        if !entry.is_empty() {
            let _ = writeln!(text, "{entry}");
        }
    }
}

/// A command of the server as transcripts write it.
fn words(action: &Action) -> Option<String> {
    Some(match action {
        Action::MakeCall { to, params, .. } => {
            let plain: String = to.chars().filter(|c| !" -.()".contains(*c)).collect();
            format!("{} {plain}", if params.block_id { "hide" } else { "make" })
        }
        Action::Answer { call, .. } => format!("answer {}", call.0),
        Action::Accept { call } => format!("accept {}", call.0),
        Action::Drop { call, .. } => format!("drop {}", call.0),
        Action::Hold { call } => format!("hold {}", call.0),
        Action::Unhold { call } => format!("unhold {}", call.0),
        Action::Dial { call, to } => format!("dial {} {to}", call.0),
        Action::SwapHold { active, held } => format!("swap {} {}", active.0, held.0),
        Action::CompleteTransfer { call, consultation } => format!("transfer {} {}", call.0, consultation.0),
        Action::Conference { calls } => {
            let calls: Vec<String> = calls.iter().map(|call| call.0.to_string()).collect();
            format!("conference {}", calls.join(" "))
        }
        Action::Heard { call, tone } => format!("heard {} {tone}", call.0),
        Action::CloseCall { call } => format!("close {}", call.0),
        Action::Shutdown => "shutdown".to_owned(),
        _ => return None,
    })
}

fn shown(byte: u8) -> String {
    match byte {
        0x10 => "<DLE>".to_owned(),
        0x03 => "<ETX>".to_owned(),
        0x18 => "<CAN>".to_owned(),
        0x1B => "<ESC>".to_owned(),
        other => char::from(other).to_string(),
    }
}
