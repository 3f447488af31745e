//! Server to provider.

use crate::{CallRef, LineRef, LocalMedia};
use serde::{Deserialize, Serialize};
use tapi::{BearerMode, DeviceRequest, DisconnectMode, ErrorCode, ForwardRule, OperationId, ProgressTone};

/// The server's name for a command, positive and unique among the outstanding ones (TSPI's dwRequestID; never the
/// client's own id).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CommandId(pub u64);

/// One command. It is answered by exactly one [`crate::Event::Reply`] with its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Its id.
    pub id: CommandId,
    /// What to do.
    pub action: Action,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Place a call (TSPI_lineMakeCall). The reply is [`Taken::Call`].
    MakeCall {
        /// On which line.
        line: LineRef,
        /// To where, as the application wrote it. The provider checks it before anything is dialled.
        to: String,
        /// Details.
        params: CallParams,
        /// Our end of its audio.
        media: LocalMedia,
    },
    /// Let an offered call alert (TSPI_lineAccept).
    Accept {
        /// Which call.
        call: CallRef,
    },
    /// Let the far end hear us before an offered call is answered (a 183 with a description: in-band ringing, an
    /// announcement). [`Action::Answer`] with the same media follows, or [`Action::Drop`].
    Progress {
        /// Which call.
        call: CallRef,
        /// Our end of its audio.
        media: LocalMedia,
    },
    /// Answer an offered call (TSPI_lineAnswer).
    Answer {
        /// Which call.
        call: CallRef,
        /// Our end of its audio.
        media: LocalMedia,
    },
    /// End a call, whatever its state (TSPI_lineDrop).
    Drop {
        /// Which call.
        call: CallRef,
        /// Why, where the network can carry it (a call not yet answered).
        reason: Option<DisconnectMode>,
    },
    /// Hold (TSPI_lineHold). [`crate::Report::Held`] tells that it is done.
    Hold {
        /// Which call.
        call: CallRef,
    },
    /// Retrieve (TSPI_lineUnhold). [`crate::Report::Retrieved`] tells that it is done.
    Unhold {
        /// Which call.
        call: CallRef,
    },
    /// Send digits (TSPI_lineGenerateDigits), on lines whose digits the provider sends.
    /// [`crate::Event::DigitsSent`] ends it.
    SendDigits {
        /// Which call.
        call: CallRef,
        /// The server's name for the run of digits.
        operation: OperationId,
        /// `0`-`9`, `A`-`D`, `*`, `#`; a comma is a pause of two seconds.
        digits: String,
        /// Length of a digit in milliseconds.
        duration_ms: Option<u32>,
    },
    /// Send further digits of a number that was begun (lineDial).
    Dial {
        /// Which call.
        call: CallRef,
        /// The digits, with dial modifiers.
        to: String,
    },
    /// Send an offered call elsewhere (lineRedirect): a 302, an explicit deflection.
    Redirect {
        /// Which call.
        call: CallRef,
        /// To where.
        to: String,
    },
    /// Hold one call and retrieve the other in one step (lineSwapHold). Refused with OPERATIONUNAVAIL where the network
    /// knows no such step: the server then holds and retrieves.
    SwapHold {
        /// The active call.
        active: CallRef,
        /// The held one.
        held: CallRef,
    },
    /// Have the network transfer a call (lineBlindTransfer): a REFER. What became of it is told by
    /// [`crate::Report::TransferProgress`], [`crate::Report::Transferred`] or [`crate::Report::TransferFailed`].
    BlindTransfer {
        /// Which call.
        call: CallRef,
        /// To where.
        to: String,
    },
    /// Have the network join the far ends of two calls of ours (lineCompleteTransfer): a REFER with Replaces, an explicit
    /// call transfer. The same reports follow, on `call`.
    CompleteTransfer {
        /// The call that is transferred.
        call: CallRef,
        /// The call with the one it is transferred to.
        consultation: CallRef,
    },
    /// Do what the far end asked with [`crate::Event::TransferRequested`]: place the call it wants. The reply is
    /// [`Taken::Call`]; the far end is told what becomes of it.
    AcceptTransfer {
        /// Which call asked.
        call: CallRef,
        /// Our end of the new call's audio.
        media: LocalMedia,
    },
    /// Decline it.
    RejectTransfer {
        /// Which call asked.
        call: CallRef,
    },
    /// Have the network mix calls of one line (`+CHLD=3`). Refused with OPERATIONUNAVAIL where it cannot: the server then
    /// mixes itself.
    Conference {
        /// The calls: one active, the others held or in the conference already.
        calls: Vec<CallRef>,
    },
    /// Take one call out of the network's conference; the others are held (`+CHLD=2x`).
    LeaveConference {
        /// Which.
        call: CallRef,
    },
    /// Have the network forward a line's calls (lineForward); no rules: no longer. Refused with OPERATIONUNAVAIL where it
    /// cannot: the server then forwards itself.
    Forward {
        /// Which line.
        line: LineRef,
        /// The rules, all of them.
        rules: Vec<ForwardRule>,
    },
    /// Something that only some devices have (lineDevSpecific): text messages, supplementary service codes, a PIN.
    Device {
        /// Which line.
        line: LineRef,
        /// What.
        request: DeviceRequest,
    },
    /// The media provider heard this in the far end's audio, after [`crate::Event::Listen`].
    Heard {
        /// Which call.
        call: CallRef,
        /// What.
        tone: ProgressTone,
    },
    /// Nobody has a handle on the call any more: forget it (TSPI_lineCloseCall). It is idle.
    CloseCall {
        /// Which call.
        call: CallRef,
    },
    /// End every call, leave the network, put every device on hook. The reply comes when that is done, and the lines
    /// are out of service then.
    Shutdown,
}

/// Details of a call to place (LINECALLPARAMS).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallParams {
    /// Number of the address on the line.
    pub address: u32,
    /// Withhold our identity.
    pub block_id: bool,
    /// What connection is wanted; none: voice.
    pub bearer: Option<BearerMode>,
    /// The application's socket of a call in passthrough: the shell keeps it for the call, providers do not look at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub descriptor: Option<crate::media::DescriptorId>,
}

/// What a taken command made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Taken {
    /// Nothing new.
    Done,
    /// This call.
    Call(CallRef),
}

/// Why a provider or its device would not. The server turns it into the client's error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Which error it becomes.
    pub code: ErrorCode,
    /// Which, what and why, in lower case.
    pub text: String,
}

impl Refusal {
    /// A refusal.
    pub fn new(code: ErrorCode, text: impl std::fmt::Display) -> Refusal {
        Refusal { code, text: text.to_string() }
    }
}
