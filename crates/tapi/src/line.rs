//! What is known of a line: its capabilities (LINEDEVCAPS, LINEADDRESSCAPS) and its status (LINEDEVSTATUS).

use crate::{BearerMode, Feature, ForwardRule, LineId, MediaMode, Names, Right, open_names};
use serde::{Deserialize, Serialize};

open_names! {
    /// What can be done with a line now (LINEFEATURE).
    pub enum LineFeature {
        /// Place a call.
        MakeCall = "make_call",
        /// Have its calls forwarded.
        Forward = "forward",
    }
}

open_names! {
    /// Peculiarities of a line (LINEDEVCAPFLAGS, LINEADDRCAPFLAGS).
    pub enum LineFlag {
        /// Calls are dropped when the last session closes the line.
        CloseDrop = "close_drop",
        /// The line can detect dial tone (`W` in a dial string).
        DialDialtone = "dial_dialtone",
        /// The line can detect a quiet answer (`@`).
        DialQuiet = "dial_quiet",
        /// The line can detect billing tone (`$`).
        DialBilling = "dial_billing",
        /// Accepting a call makes it alert at the far end.
        AcceptToAlert = "accept_to_alert",
        /// "Connected" may be a guess: the network does not signal answers.
        AnswerGuessed = "answer_guessed",
        /// A call can be accepted with audio: the caller hears us before it is answered.
        EarlyMedia = "early_media",
        /// Its calls carry no audio, as things are.
        Silent = "silent",
    }
}

open_names! {
    /// Kinds of change that a session can ask to be told about (LINEDEVSTATE). All are off until asked for.
    pub enum LineStateKind {
        /// The line rings.
        Ringing = "ringing",
        /// The line came into service.
        InService = "in_service",
        /// The line went out of service.
        OutOfService = "out_of_service",
        /// A session opened the line.
        Open = "open",
        /// A session closed the line.
        Close = "close",
        /// The number of calls changed.
        NumCalls = "num_calls",
        /// Signal level changed.
        Signal = "signal",
        /// Messages wait, or no longer.
        MessageWaiting = "message_waiting",
        /// The capabilities changed.
        CapsChange = "caps_change",
        /// The addresses changed.
        Addresses = "addresses",
        /// How its calls are forwarded changed.
        Forwarding = "forwarding",
        /// What can be done with it now changed (LINEADDRESSSTATE).
        Features = "features",
    }
}

/// What a line can ever do (LINEDEVCAPS and LINEADDRESSCAPS).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineCaps {
    /// Connections it offers.
    pub bearer_modes: Names<BearerMode>,
    /// Media it carries.
    pub media_modes: Names<MediaMode>,
    /// What can ever be done with its calls.
    pub call_features: Names<Feature>,
    /// Its peculiarities.
    pub flags: Names<LineFlag>,
    /// Calls at one time, held ones included.
    pub max_calls: u32,
    /// Held calls at one time.
    pub max_held_calls: u32,
}

/// Whether a line can be used, and if not why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "service", rename_all = "snake_case")]
pub enum Service {
    /// Ready.
    In,
    /// Not ready.
    Out {
        /// Why, in words: `no answer to AT+FCLASS=8 within 3 s`.
        reason: String,
    },
}

impl Service {
    /// Whether the line can be used.
    pub fn is_in(&self) -> bool {
        matches!(self, Service::In)
    }
}

/// What a line does now (LINEDEVSTATUS).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineStatus {
    /// Whether it can be used.
    #[serde(flatten)]
    pub service: Service,
    /// Sessions that have it open.
    pub opens: u32,
    /// Calls that are neither idle nor held.
    pub active_calls: u32,
    /// Held calls.
    pub held_calls: u32,
    /// What can be done with it now.
    pub features: Names<LineFeature>,
    /// Signal level in percent, for radio lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<u8>,
    /// Network operator, for radio lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// Whether messages wait, where the line can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_waiting: Option<bool>,
    /// How its calls are forwarded, by the network or by this server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forwarding: Vec<ForwardRule>,
}

/// A line whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The line, in this generation of the server.
    pub line: LineId,
    /// Its permanent name, the same after every restart (`sip:alice@example.org`, `modem:usb-1-2`).
    pub name: String,
    /// The provider's name.
    pub provider: String,
    /// What the device or account says of itself.
    pub description: String,
    /// Its addresses: numbers or URIs, by [`crate::AddressId`].
    pub addresses: Vec<String>,
    /// What it can do.
    pub caps: LineCaps,
    /// What it does.
    pub status: LineStatus,
    /// What the session that asks may do with it.
    #[serde(default, skip_serializing_if = "Names::is_empty")]
    pub rights: Names<Right>,
}
