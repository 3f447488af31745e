//! What the server tells without being asked.

use crate::{
    Call, CallId, CallInfo, CallState, Cause, DeviceEvent, Feature, GatherEnd, Line, LineId, LineStateKind, LineStatus,
    Names, OperationId, Party, Privilege, ProgressTone, Time, TransferPhase, TransferWay, open_names,
};
use serde::{Deserialize, Serialize};

/// One event, as every session that it concerns sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its number: global, without gaps within a generation of the server's state.
    pub seq: u64,
    /// When, on the node's monotonic clock, in microseconds.
    pub time: Time,
    /// The same moment on the wall clock: microseconds since 1970 UTC.
    pub wall: u64,
    /// What happened.
    #[serde(flatten)]
    pub body: EventBody,
}

/// An event as it is delivered: with the number of the event that this session was sent before it. Equal to the last
/// one seen, it proves that nothing is missing between the two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// The event that this session was sent before; 0 for the first.
    pub prev: u64,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind")]
pub enum EventBody {
    /// A line appeared (LINE_CREATE). To every session.
    #[serde(rename = "line.added")]
    LineAdded {
        /// The line.
        line: Box<Line>,
    },
    /// A line is gone (LINE_REMOVE). To every session; `line.closed` comes before it where it was open.
    #[serde(rename = "line.removed")]
    LineRemoved {
        /// The line.
        line: LineId,
        /// Why.
        reason: String,
    },
    /// A line was closed by the server; its calls are gone for this session (LINE_CLOSE).
    #[serde(rename = "line.closed")]
    LineClosed {
        /// The line.
        line: LineId,
        /// Why.
        reason: String,
    },
    /// A line's status changed (LINE_LINEDEVSTATE). To sessions that asked for this kind of change.
    #[serde(rename = "line.state")]
    LineState {
        /// The line.
        line: LineId,
        /// What changed.
        change: LineStateKind,
        /// For `ringing`: number of the ring from 0, and its pattern from 1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ring: Option<Ring>,
        /// The status as it is now.
        status: LineStatus,
    },
    /// A handle that was not asked for (LINE_APPNEWCALL). The call's state follows at once.
    #[serde(rename = "call.new")]
    CallNew {
        /// The call, with this session's privilege.
        call: Box<Call>,
    },
    /// A call's state (LINE_CALLSTATE).
    #[serde(rename = "call.state")]
    CallState {
        /// The call.
        call: CallId,
        /// The line it is on.
        line: LineId,
        /// The state, and its mode.
        #[serde(flatten)]
        state: CallState,
        /// What this session can do with the call now.
        features: Names<Feature>,
        /// This session's privilege, when it was given or changed by this event.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        privilege: Option<Privilege>,
        /// Why, for `disconnected` and `idle`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<Cause>,
    },
    /// Facts of a call changed (LINE_CALLINFO).
    #[serde(rename = "call.info")]
    CallInfo {
        /// What changed.
        changed: Names<InfoKind>,
        /// The facts as they are now.
        info: Box<CallInfo>,
    },
    /// The far end sent a digit (LINE_MONITORDIGITS).
    #[serde(rename = "call.digit")]
    CallDigit {
        /// The call.
        call: CallId,
        /// `0`-`9`, `A`-`D`, `*`, `#`.
        digit: char,
        /// Length in milliseconds, where it is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        duration_ms: Option<u32>,
    },
    /// Tones were measured in what the far end sends (LINE_MONITORTONE): ten times a second while asked for.
    #[serde(rename = "call.tone")]
    CallTone {
        /// The call.
        call: CallId,
        /// One entry for each asked frequency.
        tones: Vec<ToneLevel>,
        /// Level of the whole signal in tenths of dBm0.
        level_ddbm0: i32,
    },
    /// A tone or a run of digits ended (LINE_GENERATE).
    #[serde(rename = "call.generated")]
    CallGenerated {
        /// The call.
        call: CallId,
        /// The operation.
        operation: OperationId,
        /// How it ended.
        end: End,
    },
    /// A playback ended.
    #[serde(rename = "call.played")]
    CallPlayed {
        /// The call.
        call: CallId,
        /// The operation.
        operation: OperationId,
        /// How it ended.
        end: End,
        /// How much was played, in milliseconds.
        played_ms: u64,
    },
    /// A recording ended. The file is complete.
    #[serde(rename = "call.recorded")]
    CallRecorded {
        /// The call.
        call: CallId,
        /// The operation.
        operation: OperationId,
        /// How it ended.
        end: End,
        /// How much was recorded, in milliseconds.
        recorded_ms: u64,
    },
    /// The gathering of digits ended (LINE_GATHERDIGITS).
    #[serde(rename = "call.gathered")]
    CallGathered {
        /// The call.
        call: CallId,
        /// The operation.
        operation: OperationId,
        /// The digits, with the one that ended it.
        digits: String,
        /// Why it ended.
        end: GatherEnd,
    },
    /// An application's audio ended.
    #[serde(rename = "call.audio_ended")]
    CallAudioEnded {
        /// The call.
        call: CallId,
        /// The operation.
        operation: OperationId,
        /// How it ended.
        end: End,
        /// How long it lasted, in milliseconds.
        audio_ms: u64,
    },
    /// A tone of call progress, a fax tone or a voice was recognised (LINE_MONITORMEDIA).
    #[serde(rename = "call.progress")]
    CallProgress {
        /// The call.
        call: CallId,
        /// What.
        tone: ProgressTone,
        /// What was measured.
        measured: Vec<ToneLevel>,
    },
    /// How a transfer stands.
    #[serde(rename = "call.transfer")]
    CallTransfer {
        /// The call that is transferred.
        call: CallId,
        /// How it stands.
        phase: TransferPhase,
        /// By whom it is done.
        how: TransferWay,
        /// The call it is joined with, where there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        with: Option<CallId>,
        /// What the network said on its way: `180 Ringing`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        /// Why it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<Cause>,
    },
    /// The far end asks us to talk to somebody else. Unless `call.accept_transfer` answers within 30 s, it is declined.
    #[serde(rename = "call.transfer_requested")]
    CallTransferRequested {
        /// The call that asks.
        call: CallId,
        /// To whom.
        to: String,
        /// Who asks, where it is said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Party>,
        /// Whether we are to take the place of a call that exists (a consultation transfer).
        attended: bool,
    },
    /// Something that only some devices have happened (LINE_DEVSPECIFIC).
    #[serde(rename = "line.device")]
    LineDevice {
        /// The line.
        line: LineId,
        /// What.
        event: DeviceEvent,
    },
    /// A kind that this version does not know.
    #[serde(other, rename = "unrecognized")]
    Unrecognized,
}

impl EventBody {
    /// Every kind's name on the wire, that of an unknown one aside.
    pub const KINDS: &'static [&'static str] = &[
        "line.added",
        "line.removed",
        "line.closed",
        "line.state",
        "call.new",
        "call.state",
        "call.info",
        "call.digit",
        "call.tone",
        "call.generated",
        "call.played",
        "call.recorded",
        "call.gathered",
        "call.audio_ended",
        "call.progress",
        "call.transfer",
        "call.transfer_requested",
        "line.device",
    ];

    /// The kind's name on the wire.
    pub fn kind(&self) -> &'static str {
        match self {
            EventBody::LineAdded { .. } => "line.added",
            EventBody::LineRemoved { .. } => "line.removed",
            EventBody::LineClosed { .. } => "line.closed",
            EventBody::LineState { .. } => "line.state",
            EventBody::CallNew { .. } => "call.new",
            EventBody::CallState { .. } => "call.state",
            EventBody::CallInfo { .. } => "call.info",
            EventBody::CallDigit { .. } => "call.digit",
            EventBody::CallTone { .. } => "call.tone",
            EventBody::CallGenerated { .. } => "call.generated",
            EventBody::CallPlayed { .. } => "call.played",
            EventBody::CallRecorded { .. } => "call.recorded",
            EventBody::CallGathered { .. } => "call.gathered",
            EventBody::CallAudioEnded { .. } => "call.audio_ended",
            EventBody::CallProgress { .. } => "call.progress",
            EventBody::CallTransfer { .. } => "call.transfer",
            EventBody::CallTransferRequested { .. } => "call.transfer_requested",
            EventBody::LineDevice { .. } => "line.device",
            EventBody::Unrecognized => "unrecognized",
        }
    }

    /// The call that the event is about.
    pub fn call(&self) -> Option<CallId> {
        match self {
            EventBody::CallNew { call } => Some(call.info.call),
            EventBody::CallInfo { info, .. } => Some(info.call),
            EventBody::CallState { call, .. }
            | EventBody::CallDigit { call, .. }
            | EventBody::CallTone { call, .. }
            | EventBody::CallGenerated { call, .. }
            | EventBody::CallPlayed { call, .. }
            | EventBody::CallGathered { call, .. }
            | EventBody::CallAudioEnded { call, .. }
            | EventBody::CallProgress { call, .. }
            | EventBody::CallTransfer { call, .. }
            | EventBody::CallTransferRequested { call, .. }
            | EventBody::CallRecorded { call, .. } => Some(*call),
            _ => None,
        }
    }
}

/// One ring of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ring {
    /// Number of the ring, from 0.
    pub count: u32,
    /// Pattern of a distinctive ring, from 1.
    pub pattern: u32,
}

/// Level of one frequency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToneLevel {
    /// The frequency in hertz.
    pub hz: u32,
    /// Its level in tenths of dBm0.
    pub level_ddbm0: i32,
}

open_names! {
    /// How a media operation ended.
    pub enum End {
        /// It ran to its end.
        Done = "done",
        /// It was stopped or replaced.
        Cancelled = "cancelled",
        /// The call ended.
        CallEnded = "call_ended",
        /// The disk is full.
        DiskFull = "disk_full",
        /// The file or the stream failed.
        Failed = "failed",
        /// The server was restarted and could not carry it over.
        Restarted = "restarted",
    }
}

open_names! {
    /// Which facts of a call changed (LINECALLINFOSTATE).
    pub enum InfoKind {
        /// Who calls.
        CallerId = "caller_id",
        /// Who was called.
        CalledId = "called_id",
        /// Who was reached.
        ConnectedId = "connected_id",
        /// Where it was sent on to.
        RedirectionId = "redirection_id",
        /// Who sent it on.
        RedirectingId = "redirecting_id",
        /// More owners.
        OwnersIncreased = "owners_increased",
        /// Fewer owners.
        OwnersDecreased = "owners_decreased",
        /// The number of monitors.
        Monitors = "monitors",
        /// The audio: codec, far end, direction.
        Media = "media",
        /// The call it is joined with.
        Bridge = "bridge",
        /// The conference it is in.
        Conference = "conference",
        /// The application's words and data.
        AppData = "app_data",
        /// The provider's own name for it.
        NetworkId = "network_id",
        /// Anything else.
        Rest = "other",
    }
}
