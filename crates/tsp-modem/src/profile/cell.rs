//! What differs between cellular modems.

use crate::SampleFormat;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Call control of a cellular modem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// Dials `{n}`.
    pub dial: String,
    /// Dials `{n}` with our number withheld for this call (27.007 6.2: `I`); absent: the line cannot.
    #[serde(default)]
    pub dial_withheld: Option<String>,
    /// Answers.
    pub answer: String,
    /// Ends all calls: tried in this order.
    pub hangup: Vec<String>,
    /// Ends call `{i}` while others go on.
    pub release_one: String,
    /// From when on it may be sent for a call that we dialled.
    #[serde(default)]
    pub release_one_when: ReleaseWhen,
    /// Refuses a ringing call `{i}` while there is no other; absent, or refused: `hangup`.
    #[serde(default)]
    pub reject: Option<String>,
    /// Refuses a waiting call while another goes on.
    pub reject_waiting: String,
    /// Holds the active calls, and retrieves the held or accepts the waiting one.
    pub swap: String,
    /// Joins the held calls and the active one (27.007 7.13); absent: the line cannot.
    #[serde(default)]
    pub conference: Option<String>,
    /// Holds all calls but `{i}`: takes it out of the conference; absent: the line cannot.
    #[serde(default)]
    pub split: Option<String>,
    /// Joins the far ends of the two calls and leaves; absent: the line cannot.
    #[serde(default)]
    pub transfer: Option<String>,
    /// Sends the ringing call to `{n}`; absent: the line cannot.
    #[serde(default)]
    pub deflect: Option<String>,
    /// The forwarding command of 27.007 7.11, without its parameters; absent: the line cannot.
    #[serde(default)]
    pub forward: Option<String>,
    /// Sends the digit `{c}`.
    pub dtmf: String,
    /// Sets the length of a digit to `{d}` tenths of a second; empty: it cannot.
    #[serde(default)]
    pub dtmf_length: String,
    /// Between a digit and the next.
    pub dtmf_gap_ms: u32,
    /// Between a digit and the same one again, where that must be longer; 0: no longer.
    #[serde(default)]
    pub dtmf_same_gap_ms: u32,
    /// The far end's digits as the modem tells them; a line may tell one. Where there is none, they are found in the audio.
    #[serde(default)]
    pub digits_heard: Vec<DigitNews>,
    /// What the modem tells of calls by itself. It makes known calls go on sooner than the list would; it makes none.
    #[serde(default)]
    pub news: Vec<CallNews>,
    /// Times between readings of the call list.
    #[serde(default)]
    pub poll_ms: Poll,
    /// Asks why the last call ended; empty: it cannot.
    #[serde(default = "ceer")]
    pub cause: String,
    /// Registrations to ask for: any of them puts the line in service.
    #[serde(default = "creg")]
    pub registration: Vec<String>,
    /// Asks for our own number, where the configuration does not tell it; empty: it cannot.
    #[serde(default)]
    pub own_number: String,
    /// Asks for the number of the SIM card; the first that is taken is used.
    #[serde(default)]
    pub iccid: Vec<String>,
    /// Whether the device carries voice at all; absent: it does.
    #[serde(default)]
    pub voice_check: Option<VoiceCheck>,
    /// Unsolicited signal level, 0 to 31 in its first field.
    #[serde(default)]
    pub signal_news: Vec<String>,
    /// Lines by which a module tells that it started: it must be told everything anew.
    #[serde(default = "boot")]
    pub boot: Vec<String>,
    /// Text messages; absent: none.
    #[serde(default)]
    pub sms: Option<Sms>,
    /// How supplementary service codes are written; absent: none.
    #[serde(default)]
    pub ussd: Option<UssdCharset>,
    /// Sent when a call is dialled or answered, before it is connected: audio that must be ready by then.
    #[serde(default)]
    pub audio_ready: Vec<String>,
    /// Whether that goes out behind the command that dials or answers, or before it.
    #[serde(default)]
    pub audio_ready_when: ReadyWhen,
    /// Sent when a call is connected, to begin its audio.
    #[serde(default)]
    pub audio_start: Vec<String>,
    /// How often a refused `audio_start` is sent again, every [`Cell::audio_retry_ms`].
    #[serde(default)]
    pub audio_retries: u32,
    /// Time between two attempts at it.
    #[serde(default = "retry_ms")]
    pub audio_retry_ms: u32,
    /// Sent when the last call ended.
    #[serde(default)]
    pub audio_stop: Vec<String>,
    /// How samples are carried on the audio port, at 8 kHz.
    pub audio_fmt: SampleFormat,
    /// Whose clock the audio port goes by.
    #[serde(default)]
    pub audio_pace: Pace,
    /// What a person should know of it: firmware, VoLTE, what was seen on a real device and what was not.
    #[serde(default)]
    pub notes: String,
}

fn ceer() -> String {
    "AT+CEER".to_owned()
}

fn creg() -> Vec<String> {
    vec!["+CREG".to_owned()]
}

fn boot() -> Vec<String> {
    vec!["RDY".to_owned()]
}

fn retry_ms() -> u32 {
    300
}

/// Times between readings of the call list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Poll {
    /// While a call is set up.
    pub setup: u32,
    /// While one rings here.
    pub ringing: u32,
    /// While one is up.
    pub active: u32,
    /// After an action of ours.
    pub action: u32,
    /// Registration and signal, while nothing happens.
    pub status: u32,
}

impl Default for Poll {
    fn default() -> Poll {
        Poll { setup: 500, ringing: 2_000, active: 5_000, action: 250, status: 30_000 }
    }
}

/// Whose clock an audio port goes by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pace {
    /// The modem's: as many bytes are written as are read.
    #[default]
    Modem,
    /// Ours: a frame is written when one is there, a little longer or shorter so that as much is written as was read.
    Host,
}

/// How a device is asked whether it carries voice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VoiceCheck {
    /// The question. Where it is refused, the device carries none; where nothing is answered, nobody knows.
    pub ask: String,
    /// How the answer begins.
    pub prefix: String,
    /// What its first field is where it carries voice.
    pub able: Vec<String>,
}

/// From when on one call of several may be released.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReleaseWhen {
    /// As soon as its number in the list is known.
    #[default]
    Listed,
    /// Once the far end alerts: before that some firmware answers nothing any more.
    Alerting,
}

/// When audio is made ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadyWhen {
    /// Behind the command that dials or answers, for each call.
    #[default]
    Behind,
    /// When a call rings, or before it is dialled; once until the last one is over.
    Before,
}

/// Text messages (3GPP TS 27.005).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sms {
    /// Sent once the SIM is ready; each may be refused.
    pub setup: Vec<String>,
    /// Lines that tell that the store is full begin so.
    pub full: Vec<String>,
    /// Whether the network is asked to tell when a message reached its receiver.
    pub reports: bool,
}

/// How `+CUSD` writes text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UssdCharset {
    /// As it is read.
    Text,
    /// GSM 7 bits, packed, in hexadecimal.
    Packed,
    /// UCS-2 in hexadecimal.
    Ucs2,
}

/// A line by which a modem tells a digit of the far end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DigitNews {
    /// How it begins.
    pub prefix: String,
    /// Whether the digit is written as the decimal code of its character (`53` is `5`).
    #[serde(default)]
    pub code: bool,
}

/// What a modem says that a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NewsState {
    /// The network works on it.
    Dialling,
    /// The far end alerts.
    Alerting,
    /// It is connected, or retrieved.
    Active,
    /// It is held.
    Held,
    /// It comes in, or waits.
    Incoming,
    /// It is over.
    Ended,
    /// The far end holds us.
    RemoteHeld,
    /// The far end holds us no longer.
    RemoteRetrieved,
}

/// A line by which a modem tells what a call does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallNews {
    /// How it begins; the fields are what follows.
    pub prefix: String,
    /// Number of the field (from 0) that has the call's number in the list; absent: it tells none.
    #[serde(default)]
    pub call: Option<usize>,
    /// What it means, whatever its fields say.
    #[serde(default)]
    pub means: Option<NewsState>,
    /// Number of the field that tells the state.
    #[serde(default)]
    pub state: Option<usize>,
    /// What that field means.
    #[serde(default)]
    pub states: BTreeMap<String, NewsState>,
    /// Number of the field with a Q.850 cause, in news of an end.
    #[serde(default)]
    pub cause: Option<usize>,
}

impl Cell {
    /// The first thing in it that cannot be: the key, and why.
    pub(super) fn fault(&self) -> Option<(&'static str, String)> {
        let none = self.hangup.is_empty().then(|| ("cell.hangup", "no command hangs up".to_owned()));
        none.or_else(|| self.news_fault()).or_else(|| self.poll_fault())
    }

    fn news_fault(&self) -> Option<(&'static str, String)> {
        let bad = self.news.iter().find(|news| {
            let mapped = news.state.is_some() && !news.states.is_empty();
            news.prefix.is_empty() || news.means.is_some() == mapped
        })?;
        Some(("cell.news", format!("{:?} needs either means, or state and states", bad.prefix)))
    }

    fn poll_fault(&self) -> Option<(&'static str, String)> {
        let Poll { setup, ringing, active, action, status } = self.poll_ms;
        let bad = [setup, ringing, active, action, status].into_iter().find(|ms| !(100..=600_000).contains(ms))?;
        Some(("cell.poll_ms", format!("{bad} ms: must be between 100 and 600000")))
    }
}
