//! Profiles: what differs between chip sets and firmwares, as data in TOML.
//!
//! The keys are documented at the fields here. A key that does not exist is an error, and so is a value out of its range:
//! every error tells line and column.

use crate::{SampleFormat, VoiceEvent};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

mod analogue;
mod catalogue;
mod cell;
mod identify;
mod inherit;
mod lint;
mod recover;

pub use catalogue::{Catalogue, CatalogueError};
pub use cell::{
    CallNews, Cell, DigitNews, NewsState, Pace, Poll, ReadyWhen, ReleaseWhen, Sms, UssdCharset, VoiceCheck,
};
pub use identify::{Clues, Match, Question};
pub use recover::Recover;

/// How a family of modems wants to be spoken to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its name.
    pub id: String,
    /// The family, for people.
    pub description: String,
    /// Analogue or cellular.
    pub kind: Kind,
    /// What of it was seen on real devices, and what was not.
    #[serde(default)]
    pub confirmed: String,
    /// Of several profiles that match a device the one with the highest score is taken.
    #[serde(default)]
    pub score: u32,
    /// What a device of this family shows of itself; one of them is enough. Not inherited, nor is the score.
    #[serde(default, rename = "match", skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<Match>,
    /// The serial line and the telephone line.
    #[serde(default)]
    pub line: LineSection,
    /// Times in milliseconds.
    #[serde(default)]
    pub timeouts_ms: Timeouts,
    /// The first commands.
    pub init: Init,
    /// Voice commands of an analogue modem.
    #[serde(default)]
    pub voice: Option<Voice>,
    /// Audio of an analogue modem.
    #[serde(default)]
    pub audio: Option<Audio>,
    /// Codes whose meaning differs from V.253's.
    #[serde(default)]
    pub events: BTreeMap<char, VoiceEvent>,
    /// Caller id of an analogue modem.
    #[serde(default)]
    pub cid: CallerIdWords,
    /// Call control of a cellular modem.
    #[serde(default)]
    pub cell: Option<Cell>,
    /// What to do with a modem that does not answer.
    #[serde(default)]
    pub recover: Recover,
}

/// Analogue or cellular.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A voice modem on a telephone line.
    Analogue,
    /// A dongle or module in a mobile network.
    Cellular,
}

/// The serial line and the telephone line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LineSection {
    /// Speed of the serial port in bit/s.
    pub dte_speed: u32,
    /// Its flow control.
    pub flow: Flow,
    /// Time between opening the port and the first command.
    pub settle_ms: u32,
    /// Which of the ttys of a USB device are what, by the numbers of their interfaces; the first that fits counts.
    pub ports: Vec<UsbPorts>,
    /// The modem detects dial tone (`W`).
    pub dialtone: bool,
    /// The modem detects a quiet answer (`@`).
    pub quiet: bool,
    /// The modem detects billing tone (`$`).
    pub billing: bool,
}

impl Default for LineSection {
    fn default() -> LineSection {
        LineSection {
            dte_speed: 115_200,
            flow: Flow::Rtscts,
            settle_ms: 100,
            ports: Vec::new(),
            dialtone: false,
            quiet: false,
            billing: false,
        }
    }
}

/// The ttys of a USB device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsbPorts {
    /// Of devices like this (`vvvv:pppp`, `*` for anything); absent: of any.
    #[serde(default)]
    pub usb: Option<String>,
    /// Number of the interface that takes AT commands.
    pub at: u8,
    /// Number of the one that carries audio.
    #[serde(default)]
    pub audio: Option<u8>,
}

/// Flow control of a serial port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flow {
    /// RTS and CTS.
    Rtscts,
    /// XON and XOFF.
    Xonxoff,
    /// None.
    None,
}

/// Times in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// An ordinary command.
    pub default: u32,
    /// The answer to `AT`, when asking whether the modem still answers.
    pub probe: u32,
    /// Dialling, until the final result, and where the answer is ours to conclude, from then until an answer.
    pub dial: u32,
    /// Answering.
    pub answer: u32,
    /// Hanging up.
    pub hangup: u32,
    /// A command that was aborted, and the end of a stream.
    pub abort: u32,
    /// Between a final result and the next command.
    pub inter_cmd: u32,
    /// Without a ring for so long, an unanswered call is gone.
    pub ring_gone: u32,
    /// A number that comes beside the ring (`+CLIP`) is waited for so long.
    pub clip: u32,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            default: 3_000,
            probe: 1_500,
            dial: 90_000,
            answer: 12_000,
            hangup: 8_000,
            abort: 500,
            inter_cmd: 20,
            ring_gone: 10_000,
            clip: 200,
        }
    }
}

/// The first commands. In each, `|` separates alternatives: the next is tried where one is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Init {
    /// The commands, in order.
    pub seq: Vec<String>,
    /// Numbers (from 1) of those that may be refused.
    #[serde(default)]
    pub optional: Vec<usize>,
    /// How often one without an answer is sent again.
    #[serde(default)]
    pub retry: u32,
}

/// Voice commands of an analogue modem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Voice {
    /// Into voice mode.
    pub enter: String,
    /// Out of it.
    pub leave: String,
    /// After entering, before anything else; each may be refused.
    #[serde(default)]
    pub setup: Vec<String>,
    /// In voice mode, when the modem is made ready: has rings told with their bursts (`DRON=`, `DROF=`), or their patterns in
    /// the vendor's words. `|` separates alternatives, all may be refused; empty: it is not asked.
    #[serde(default)]
    pub distinctive: String,
    /// Goes off hook and answers.
    pub answer: String,
    /// Which final results mean that it did.
    pub answer_ok: Vec<String>,
    /// Goes on hook.
    pub hangup: Vec<String>,
    /// Dials `{n}`. With `;` at its end the modem dials and leaves the rest to us: see `supervise`. Where the modem refuses
    /// that, it is sent again without `;`.
    pub dial: String,
    /// Sends a register recall while off hook; empty: it is dialled, as `!`.
    #[serde(default)]
    pub flash: String,
    /// Has the modem dial without waiting for dial tone, for digits that follow others; empty: it never waits off hook.
    #[serde(default)]
    pub blind_on: String,
    /// Has it wait again.
    #[serde(default)]
    pub blind_off: String,
    /// What is dialled before the number to withhold our own; absent: the line cannot.
    #[serde(default)]
    pub block_prefix: Option<String>,
    /// Which final results mean that it was answered (or, with `;`, dialled).
    pub dial_ok: Vec<String>,
    /// How an answer is concluded where the modem does not.
    #[serde(default)]
    pub supervise: Supervise,
}

/// When the audio of a call is listened to for voice and tones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Listen {
    /// Never: the modem tells all of it.
    Never,
    /// Until it is answered.
    SetUp,
    /// As long as it lasts: its end shows in tones too.
    Calls,
}

/// How an answer is concluded from what is heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Supervise {
    /// Ringback that is not told again for so long went away: somebody answered. Must be longer than the time from one burst
    /// to the next (6 s in North America), since many modems tell each burst once.
    pub ringback_gone_ms: u32,
    /// No ringback at all for so long, and no other tone: taken for answered.
    pub no_ringback_ms: u32,
    /// When the audio itself is listened to, since the modem does not tell voice or tones.
    pub listen: Listen,
}

impl Default for Supervise {
    fn default() -> Supervise {
        Supervise { ringback_gone_ms: 6_500, no_ringback_ms: 10_000, listen: Listen::Never }
    }
}

/// Audio of an analogue modem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audio {
    /// Lists the ways to carry samples (`AT+VSM=?`): those that are known by name are tried before `methods`. Empty: the
    /// list is not to be trusted, or there is none.
    #[serde(default)]
    pub list: String,
    /// Ways to carry samples; the first that the modem takes is used.
    pub methods: Vec<Method>,
    /// Begins a stream in both directions; empty: the modem has none.
    #[serde(default)]
    pub duplex: String,
    /// Ends it: bytes in hexadecimal.
    #[serde(default)]
    pub end_duplex: Bytes,
    /// Begins a stream from the line, where there is none in both directions; empty: the modem has none.
    #[serde(default)]
    pub record: String,
    /// Ends it.
    #[serde(default)]
    pub end_record: Bytes,
    /// Begins a stream to the line; empty: the modem has none.
    #[serde(default)]
    pub play: String,
    /// Ends it, when all is played.
    #[serde(default)]
    pub end_play: Bytes,
    /// Ends it at once.
    #[serde(default)]
    pub abort_play: Bytes,
    /// One way at a time: a sample of so much is loud (of 32767).
    #[serde(default = "loud_level")]
    pub loud_level: u16,
    /// One way at a time: without anything loud to be played for so long the modem listens again.
    #[serde(default = "turn_ms")]
    pub turn_ms: u32,
    /// The most that is written ahead of the modem.
    pub max_queue_ms: u32,
    /// A stream that is silent on the serial port for so long is dead; 0: never.
    pub dead_ms: u32,
    /// Samples of eight bits are what the silence of the line says, whatever the label is called.
    #[serde(default = "calibrate")]
    pub calibrate: bool,
    /// What is heard is lifted where it is quiet: eight linear bits leave little of it.
    #[serde(default)]
    pub agc: bool,
}

impl Audio {
    /// Whether something is to be heard in a frame.
    pub(crate) fn loud(&self, frame: &tspi::Frame) -> bool {
        frame.0.iter().any(|sample| sample.unsigned_abs() >= self.loud_level)
    }
}

fn loud_level() -> u16 {
    400
}

fn calibrate() -> bool {
    true
}

fn turn_ms() -> u32 {
    800
}

/// A way to carry samples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Method {
    /// The command that chooses it; several at semicolons where it takes more than one.
    pub vsm: String,
    /// How a sample is carried.
    pub fmt: SampleFormat,
    /// Samples a second: 7200, 8000, 9600, 11025 or 16000.
    pub rate: u32,
}

/// Bytes, written in hexadecimal: `10 5e`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bytes(pub Vec<u8>);

impl TryFrom<String> for Bytes {
    type Error = String;
    fn try_from(text: String) -> Result<Bytes, String> {
        let byte = |word: &str| u8::from_str_radix(word, 16).map_err(|_| format!("{word:?} is no byte in hexadecimal"));
        text.split_whitespace().map(byte).collect::<Result<_, _>>().map(Bytes)
    }
}

impl From<Bytes> for String {
    fn from(bytes: Bytes) -> String {
        bytes.0.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
    }
}

/// Words of an analogue modem's caller id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CallerIdWords {
    /// The caller withholds it.
    pub private: Vec<String>,
    /// The network does not have it.
    pub outside: Vec<String>,
    /// A line of five or more digits alone is the caller's number.
    pub bare_digits: bool,
}

impl Default for CallerIdWords {
    fn default() -> CallerIdWords {
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect();
        CallerIdWords {
            private: words(&["P", "PRIVATE", "ANONYMOUS"]),
            outside: words(&["O", "OUT OF AREA", "UNAVAILABLE"]),
            bare_digits: false,
        }
    }
}

/// A profile that cannot be used, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileError {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl std::fmt::Display for ProfileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for ProfileError {}

impl Profile {
    /// A profile that comes with the crate: `v253` (analogue, V.253), `27007` (cellular, 3GPP TS 27.007), …
    pub fn builtin(id: &str) -> Option<Profile> {
        Catalogue::builtin().named(id).cloned()
    }

    /// Reads a profile and checks it. With `inherits = "v253"` it changes that built-in profile: tables are merged, key by
    /// key, and anything else (lists too) replaces what was there.
    pub fn parse(toml: &str) -> Result<Profile, ProfileError> {
        Catalogue::builtin().parse(toml)
    }

    /// Which ttys of this device are what, where the profile knows.
    pub fn ports(&self, clues: &Clues) -> Option<&UsbPorts> {
        self.line.ports.iter().find(|ports| ports.usb.as_ref().is_none_or(|like| clues.is_usb(like)))
    }

    /// The first thing in it that cannot be: the key, and why.
    fn fault(&self) -> Option<(&'static str, String)> {
        if let Some(fault) = self.lint() {
            return Some(fault);
        }
        if let Some(number) = self.init.optional.iter().find(|number| !(1..=self.init.seq.len()).contains(number)) {
            return Some(("init.optional", format!("there is no command {number} in init.seq")));
        }
        match self.kind {
            Kind::Analogue => self.analogue_fault(),
            Kind::Cellular if self.cell.is_none() => Some(("kind", "a cellular profile needs [cell]".to_owned())),
            Kind::Cellular => self.cell.as_ref()?.fault(),
        }
    }
}

fn error_at(toml: &str, offset: usize, message: &str) -> ProfileError {
    let before = toml.get(..offset).unwrap_or(toml);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    ProfileError { line, column, message: message.trim().to_owned() }
}

#[cfg(test)]
mod tests;
