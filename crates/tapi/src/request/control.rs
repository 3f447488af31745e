//! Parameters of transfers, conferences and what else moves calls about.

use crate::{AddressId, CallId, HandoffTarget, LineSelector, MediaMode, OperationId, TransferMode, TransferWay};
use serde::{Deserialize, Serialize};

/// Parameters of `call.redirect`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRedirect {
    /// Which call, `offering`.
    pub call: CallId,
    /// To where.
    pub to: String,
}

/// Parameters of `call.dial`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallDial {
    /// Which call.
    pub call: CallId,
    /// Further digits, with dial modifiers; `;` at the end: more to come.
    pub to: String,
}

/// Parameters of `call.swap_hold`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallSwapHold {
    /// The active call.
    pub call: CallId,
    /// The held one.
    pub with: CallId,
}

/// Parameters of `call.blind_transfer`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallBlindTransfer {
    /// Which call.
    pub call: CallId,
    /// To where.
    pub to: String,
    /// By whom alone. Absent: by the network where it can, else by bridging.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub how: Option<TransferWay>,
}

/// Parameters of `call.setup_transfer`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallSetupTransfer {
    /// Which call, `connected` or held.
    pub call: CallId,
    /// Whom to ask.
    pub to: String,
    /// On which open line. Absent: the call's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<LineSelector>,
    /// From which address of that line.
    #[serde(default)]
    pub address: AddressId,
    /// Words of the application, kept with the consultation call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// Parameters of `call.complete_transfer`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallCompleteTransfer {
    /// The call that is transferred: held.
    pub call: CallId,
    /// The call with the one it goes to.
    pub consultation: CallId,
    /// What they become. Absent: a transfer.
    #[serde(default)]
    pub mode: TransferMode,
    /// By whom alone. Absent: by the network where it can, else here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub how: Option<TransferWay>,
}

/// Parameters of `call.accept_transfer`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallAcceptTransfer {
    /// Which call asked.
    pub call: CallId,
}

/// Parameters of `call.reject_transfer`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRejectTransfer {
    /// Which call asked.
    pub call: CallId,
}

/// Parameters of `call.setup_conference`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallSetupConference {
    /// The first member, `connected` or held.
    pub call: CallId,
    /// The next party: its call is placed on the first one's line. Absent: calls are added as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// Parameters of `call.prepare_add_to_conference`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallPrepareAdd {
    /// The conference.
    pub conference: CallId,
    /// The next party.
    pub to: String,
    /// On which open line. Absent: the conference's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<LineSelector>,
}

/// Parameters of `call.add_to_conference`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallAddToConference {
    /// The conference.
    pub conference: CallId,
    /// Which call.
    pub call: CallId,
}

/// Parameters of `call.remove_from_conference`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRemoveFromConference {
    /// Which call.
    pub call: CallId,
}

/// Parameters of `call.gather_digits` (lineGatherDigits).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallGatherDigits {
    /// Which call.
    pub call: CallId,
    /// How many digits at most, 1 to 256.
    pub count: u32,
    /// Digits that end it; the one that did is the last of those gathered.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub termination: String,
    /// How long to wait for the first digit, in milliseconds, 250 to 600 000. Absent: as long as the call lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_ms: Option<u32>,
    /// How long to wait for each further digit, the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inter_ms: Option<u32>,
}

/// Parameters of `call.pause`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallPause {
    /// Which call.
    pub call: CallId,
    /// Which playback or recording on it.
    pub operation: OperationId,
}

/// Parameters of `call.resume`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallResume {
    /// Which call.
    pub call: CallId,
    /// Which playback or recording on it.
    pub operation: OperationId,
}

/// Parameters of `call.monitor_media`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallMonitorMedia {
    /// Which call.
    pub call: CallId,
    /// On or off.
    pub on: bool,
}

/// Parameters of `call.audio`. One end of a Unix socket that keeps the borders of messages comes with the request: frames
/// of 20 ms, signed 16 bits in little endian, cross it both ways.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallAudio {
    /// Which call.
    pub call: CallId,
    /// Samples a second on the socket: 8 000 or 16 000. Absent: 8 000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
}

/// Parameters of `call.handoff`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallHandoff {
    /// Which call.
    pub call: CallId,
    /// To whom.
    pub to: HandoffTarget,
}

/// Parameters of `call.set_app_data`. What is absent stays as it is; an empty text takes it away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallSetAppData {
    /// Which call.
    pub call: CallId,
    /// Words, at most 1 024 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Data, at most 4 096 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
}

/// Parameters of `client.set_priority`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientSetPriority {
    /// Which application, by its name. Absent: the one that asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// For calls of which medium. Absent: interactive voice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_mode: Option<MediaMode>,
    /// Its place: 1 is the first to be offered a call, 0 takes it off the list.
    pub place: u32,
}

/// Parameters of `client.get_priority`: none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientGetPriority {}
