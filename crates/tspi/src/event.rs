//! Provider to server: replies and facts.

use crate::{CommandId, MediaWire, Refusal, RemoteMedia, Taken};
use serde::{Deserialize, Serialize};
use tapi::{
    AnswerEvidence, BusyMode, CallOrigin, CallReason, Cause, DeviceEvent, DialtoneMode, ForwardRule, LineCaps,
    LineFeature, Names, OperationId, Party, Service, SpecialInfo,
};

/// A provider's own name for one of its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LineRef(pub u32);

/// A provider's own name for a call, never used again while it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallRef(pub u64);

/// What a provider tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The one answer to a command (ASYNC_COMPLETION).
    Reply {
        /// Which command.
        id: CommandId,
        /// Taken, or refused with the reason.
        result: Result<Taken, Refusal>,
    },
    /// A line appeared (LINE_CREATE).
    LineAdded {
        /// The provider's name for it.
        line: LineRef,
        /// What it is.
        description: Box<LineDescription>,
    },
    /// A line is gone for good (LINE_REMOVE).
    LineRemoved {
        /// Which.
        line: LineRef,
        /// Why.
        reason: String,
    },
    /// Something about a line changed (LINE_LINEDEVSTATE).
    LineChanged {
        /// Which.
        line: LineRef,
        /// What.
        change: LineChange,
    },
    /// A line rings: one event a ring.
    Ringing {
        /// Which.
        line: LineRef,
        /// Number of the ring, from 0.
        count: u32,
        /// Pattern of a distinctive ring, from 1.
        pattern: u32,
    },
    /// A call that the provider found (LINE_NEWCALL).
    NewCall {
        /// On which line.
        line: LineRef,
        /// The provider's name for it.
        call: CallRef,
        /// What is known of it.
        facts: Box<CallFacts>,
    },
    /// A fact about a call.
    Call {
        /// Which.
        call: CallRef,
        /// The fact.
        report: Report,
    },
    /// More became known of a call (LINE_CALLINFO): what is `None` stays as it was.
    CallInfo {
        /// Which.
        call: CallRef,
        /// What is known now.
        facts: Box<CallFacts>,
    },
    /// The far end's side of the audio became known, or changed.
    Media {
        /// Which call.
        call: CallRef,
        /// Where and how.
        remote: RemoteMedia,
    },
    /// The far end sent a digit, and the provider heard it.
    Digit {
        /// Which call.
        call: CallRef,
        /// `0`-`9`, `A`-`D`, `*`, `#`.
        digit: char,
        /// Its length in milliseconds, where it is known.
        duration_ms: Option<u32>,
    },
    /// A run of digits was sent, or could not be.
    DigitsSent {
        /// Which call.
        call: CallRef,
        /// The server's name for the run.
        operation: OperationId,
        /// Whether all of them went out.
        complete: bool,
    },
    /// The far end asks us to talk to somebody else instead (a REFER that came in). Until [`crate::Action::AcceptTransfer`]
    /// or [`crate::Action::RejectTransfer`] answers, it waits; there is one at a time for a call.
    TransferRequested {
        /// Which call.
        call: CallRef,
        /// What it asks.
        request: Box<TransferRequest>,
    },
    /// The provider wants to be told what is heard of call progress in the far end's audio, with [`crate::Action::Heard`]: its
    /// device does not tell.
    Listen {
        /// Which call.
        call: CallRef,
        /// Whether it does, from now on.
        on: bool,
    },
    /// Something that only some devices have happened.
    Device {
        /// On which line.
        line: LineRef,
        /// What.
        event: Box<DeviceEvent>,
    },
    /// Something crossed the wire for a call, or for the line as a whole.
    Trace {
        /// Which line.
        line: LineRef,
        /// Which call, where it belongs to one.
        call: Option<CallRef>,
        /// What: boxed, since most events are small.
        entry: Box<Traced>,
    },
}

/// What crossed the wire. Credentials are already cut out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traced {
    /// Whether we sent it.
    pub sent: bool,
    /// The other end.
    pub peer: String,
    /// One line.
    pub summary: String,
    /// The whole of it, where it is more than the line.
    pub text: Option<String>,
}

/// What a line is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineDescription {
    /// Permanent name.
    pub name: String,
    /// What the device or account says of itself.
    pub description: String,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// What it can do.
    pub caps: LineCaps,
    /// Whether it is ready.
    pub service: Service,
    /// What its audio runs over.
    pub media: MediaWire,
    /// Who sends its digits.
    pub digits: DigitsBy,
}

/// Who sends a line's digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DigitsBy {
    /// The provider, with [`crate::Action::SendDigits`] (`+VTS` of a GSM dongle).
    Provider,
    /// The media provider: telephone events where they are agreed, tones elsewhere.
    Media,
}

/// What changed about a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineChange {
    /// It is ready, or not.
    Service(Service),
    /// Signal level in percent.
    Signal(u8),
    /// The operator's name.
    Operator(String),
    /// Whether messages wait.
    MessageWaiting(bool),
    /// What it can do, once the device told.
    Caps(Box<LineCaps>),
    /// Its addresses, once the network told.
    Addresses(Vec<String>),
    /// How its calls are forwarded by the network.
    Forwarding(Vec<ForwardRule>),
    /// What can be done with it now, as far as the provider alone can tell: a line that takes no call for a while although
    /// it is in service and has none to spare says so. All can, until it does.
    Features(Names<LineFeature>),
}

/// What is known of a call beside its state. `None`: not told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallFacts {
    /// Number of the address on the line.
    pub address: Option<u32>,
    /// Where it comes from.
    pub origin: Option<CallOrigin>,
    /// Who calls.
    pub caller: Option<Party>,
    /// Who was called.
    pub called: Option<Party>,
    /// Who was reached.
    pub connected: Option<Party>,
    /// Who sent it on.
    pub redirecting: Option<Party>,
    /// Where it was sent on to.
    pub redirection: Option<Party>,
    /// The network's own name for it (a SIP Call-ID).
    pub network_id: Option<String>,
    /// When the network says that it came, by its own clock: `MM-DDTHH:MM`, with a year before it or (caller id of analogue
    /// lines) without.
    pub network_time: Option<String>,
    /// Why it was made.
    pub reason: Option<CallReason>,
    /// The call whose place it takes (an INVITE with Replaces): the server answers the new one in the old one's stead.
    pub replaces: Option<CallRef>,
}

/// What a far end asks that wants to transfer us.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferRequest {
    /// To whom, as [`crate::Action::MakeCall`] would take it.
    pub to: String,
    /// Who asks, where it is said.
    pub by: Option<Party>,
    /// Whether we are to take the place of a call that exists (a consultation transfer).
    pub attended: bool,
}

/// A fact about a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// It is presented to us.
    Offered,
    /// Our acceptance went out: it alerts.
    Accepted,
    /// Dial tone.
    Dialtone(DialtoneMode),
    /// Digits go out.
    Dialing,
    /// The network works on it.
    Proceeding,
    /// The far end alerts.
    PeerRings,
    /// Busy was heard or signalled, and the call still exists.
    Busy(BusyMode),
    /// Special information tones.
    SpecialInfo(SpecialInfo),
    /// It is answered, by the far end or by us.
    Answered(AnswerEvidence),
    /// We hold it now.
    Held,
    /// We hold it no longer.
    Retrieved,
    /// The far end holds us.
    PeerHeld,
    /// The far end holds us no longer.
    PeerRetrieved,
    /// The network works on a transfer we asked for.
    TransferProgress {
        /// What it said, in words: `180 Ringing`.
        text: String,
    },
    /// A transfer we asked for is done: the far ends talk to one another. [`Report::Released`] follows.
    Transferred,
    /// A transfer we asked for failed; the call is as it was.
    TransferFailed {
        /// Why.
        cause: Cause,
        /// The far end cannot do it at all: another way may be tried.
        unsupported: bool,
    },
    /// It is in the network's conference now.
    Conferenced,
    /// It left the network's conference, and is held or active as the next report says.
    Unconferenced,
    /// What was asked did not happen (a hold or an unhold that was taken and then refused by the network): the call is
    /// as it was.
    Unchanged {
        /// Why, in words.
        reason: String,
    },
    /// It is over.
    Released {
        /// Who ended it.
        by: ReleasedBy,
        /// Why.
        cause: Cause,
    },
}

/// Who ended a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleasedBy {
    /// We did, on command: the call is idle.
    Local,
    /// The far end, the network or the device: the call is disconnected until its owner drops it.
    Remote,
}
