//! What clients ask. The answer to a request is its one reply; what becomes of it is told by events.

mod control;
mod fields;
mod service;

pub use control::*;
pub use service::*;

use crate::{
    AddressId, BearerMode, CallId, LineId, LineStateKind, MediaMode, Names, OperationId, Privilege, ProgressTone, reply,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

/// A request with the type of its reply: the typed face of one method.
pub trait Method: Serialize + DeserializeOwned {
    /// The method's name on the wire.
    const NAME: &'static str;
    /// What the server answers when the request was taken.
    type Reply: DeserializeOwned + Serialize;
    /// The request as one of all.
    fn into_request(self) -> Request;
}

macro_rules! requests {
    ($($(#[$meta:meta])* $variant:ident = $name:literal => $reply:ty;)*) => {
        /// Any request.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "method", content = "params")]
        pub enum Request {
            $($(#[$meta])* #[serde(rename = $name)] $variant($variant),)*
        }

        impl Request {
            /// Every method's name.
            pub const METHODS: &'static [&'static str] = &[$($name),*];

            /// Names of the parameters that a method takes; none for a method that is not known.
            pub fn params(method: &str) -> &'static [&'static str] {
                match method {
                    $($name => fields::names::<$variant>(),)*
                    _ => &[],
                }
            }

            /// Names of the members of what a method replies; none for a method that is not known.
            pub fn reply(method: &str) -> &'static [&'static str] {
                match method {
                    $($name => fields::names::<$reply>(),)*
                    _ => &[],
                }
            }

            /// This request's method.
            pub fn method(&self) -> &'static str {
                match self { $(Request::$variant(_) => $name,)* }
            }

            /// Reads a request from its method and parameters; absent parameters are an empty object.
            ///
            /// # Errors
            /// [`DecodeError::UnknownMethod`], or [`DecodeError::Params`] with what serde found wrong.
            pub fn decode(method: &str, params: Option<&RawValue>) -> Result<Request, DecodeError> {
                let params = params.map_or("{}", RawValue::get);
                match method {
                    $($name => serde_json::from_str(params).map(Request::$variant).map_err(DecodeError::Params),)*
                    _ => Err(DecodeError::UnknownMethod),
                }
            }
        }

        $(impl Method for $variant {
            const NAME: &'static str = $name;
            type Reply = $reply;
            fn into_request(self) -> Request {
                Request::$variant(self)
            }
        })*
    };
}

/// Why a request could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// No such method.
    #[error("unknown method")]
    UnknownMethod,
    /// The parameters do not fit the method.
    #[error("{0}")]
    Params(serde_json::Error),
}

requests! {
    /// Register the application (lineInitializeEx). Everything else needs it first.
    ClientOpen = "client.open" => reply::Opened;
    /// Take up a session after its connection was lost: the same handles, and every event since `since`.
    ClientResume = "client.resume" => reply::Opened;
    /// End the session (lineShutdown): closes every line.
    ClientClose = "client.close" => reply::Done;
    /// Everything this session may see, at one moment of the event sequence.
    StateGet = "state.get" => reply::Snapshot;
    /// All lines (lineInitializeEx, lineGetDevCaps, lineGetLineDevStatus).
    LineList = "line.list" => reply::Lines;
    /// Open a line (lineOpen). Opening it again replaces the privilege and media modes.
    LineOpen = "line.open" => reply::LineOpened;
    /// Close a line (lineClose): calls that this session alone owns are dropped.
    LineClose = "line.close" => reply::Done;
    /// Choose which changes of an open line are told (lineSetStatusMessages). None at first.
    LineSetStatusMessages = "line.set_status_messages" => reply::Done;
    /// Place a call (lineMakeCall). Taken means that the call exists, not that it is answered.
    CallMake = "call.make" => reply::Made;
    /// Take responsibility for an offered call; it alerts at the far end (lineAccept).
    CallAccept = "call.accept" => reply::Done;
    /// Answer (lineAnswer).
    CallAnswer = "call.answer" => reply::Done;
    /// Hang up, abandon or reject (lineDrop). The handle stays.
    CallDrop = "call.drop" => reply::Done;
    /// Give up this session's handle (lineDeallocateCall). The call itself is not touched.
    CallDeallocate = "call.deallocate" => reply::Done;
    /// Hold (lineHold).
    CallHold = "call.hold" => reply::Done;
    /// Retrieve (lineUnhold).
    CallUnhold = "call.unhold" => reply::Done;
    /// Facts and status of one call (lineGetCallInfo, lineGetCallStatus).
    CallGet = "call.get" => crate::Call;
    /// Calls on the lines this session opened; gives a MONITOR handle where it has none (lineGetNewCalls).
    CallList = "call.list" => reply::Calls;
    /// Change this session's privilege on a call (lineSetCallPrivilege).
    CallSetPrivilege = "call.set_privilege" => reply::Done;
    /// Send digits to the far end (lineGenerateDigits). The event `call.generated` ends it.
    CallSendDigits = "call.send_digits" => reply::Started;
    /// Report the far end's digits as `call.digit` events, or no longer (lineMonitorDigits).
    CallMonitorDigits = "call.monitor_digits" => reply::Done;
    /// Make a tone (lineGenerateTone). The event `call.generated` ends it.
    CallTone = "call.tone" => reply::Started;
    /// Measure tones in what the far end sends, as `call.tone` events, or no longer (lineMonitorTones).
    CallMonitorTones = "call.monitor_tones" => reply::Done;
    /// Play a file (file playback terminal). The event `call.played` ends it.
    CallPlay = "call.play" => reply::Started;
    /// Record into a file (file recording terminal). The event `call.recorded` ends it.
    CallRecord = "call.record" => reply::Started;
    /// End a playback, a recording, a tone or a run of digits before its time.
    CallStop = "call.stop" => reply::Done;
    /// Join the audio of two calls.
    CallBridge = "call.bridge" => reply::Done;
    /// Take a bridge apart.
    CallPart = "call.part" => reply::Done;
    /// The SIP ladder or AT transcript of a call.
    CallTrace = "call.trace" => reply::Trace;
    /// Send an offered call elsewhere (lineRedirect). The call is idle once the network took it.
    CallRedirect = "call.redirect" => reply::Done;
    /// Dial more digits while a call is being set up (lineDial).
    CallDial = "call.dial" => reply::Done;
    /// Hold one call and retrieve another (lineSwapHold): in one step of the network where it has one, else one after the
    /// other; where the second cannot be retrieved, the first is.
    CallSwapHold = "call.swap_hold" => reply::Done;
    /// Transfer without asking (lineBlindTransfer): by the network, else by a call of the server's own that is joined once
    /// it is answered. The event `call.transfer` tells what became of it.
    CallBlindTransfer = "call.blind_transfer" => reply::Transferring;
    /// Hold a call and place a consultation call (lineSetupTransfer).
    CallSetupTransfer = "call.setup_transfer" => reply::Made;
    /// Join the two (lineCompleteTransfer): by the network, else here; or into a conference of three.
    CallCompleteTransfer = "call.complete_transfer" => reply::Transferring;
    /// Do what the far end asked with `call.transfer_requested`. The new call has the owners of the old one.
    CallAcceptTransfer = "call.accept_transfer" => reply::Made;
    /// Decline it.
    CallRejectTransfer = "call.reject_transfer" => reply::Done;
    /// Make a conference of a call (lineSetupConference), and place the call of its next party where one is named.
    CallSetupConference = "call.setup_conference" => reply::ConferenceMade;
    /// Place the call of a conference's next party (linePrepareAddToConference).
    CallPrepareAdd = "call.prepare_add_to_conference" => reply::Made;
    /// Take a call into a conference (lineAddToConference).
    CallAddToConference = "call.add_to_conference" => reply::Done;
    /// Take a call out of its conference (lineRemoveFromConference).
    CallRemoveFromConference = "call.remove_from_conference" => reply::Done;
    /// Collect digits of the far end (lineGatherDigits). The event `call.gathered` ends it.
    CallGatherDigits = "call.gather_digits" => reply::Started;
    /// Let a playback or a recording stand still.
    CallPause = "call.pause" => reply::Done;
    /// Let it go on.
    CallResume = "call.resume" => reply::Done;
    /// Tell call-progress tones, fax tones and voices as `call.progress` events, or no longer (lineMonitorMedia).
    CallMonitorMedia = "call.monitor_media" => reply::Done;
    /// Speak and hear through a passed socket. The event `call.audio_ended` ends it.
    CallAudio = "call.audio" => reply::Started;
    /// Give a call to another application (lineHandoff).
    CallHandoff = "call.handoff" => reply::Done;
    /// Set the application's own words and data (lineSetAppSpecific, lineSetCallData).
    CallSetAppData = "call.set_app_data" => reply::Done;
    /// Have a line's calls forwarded (lineForward): all rules, in place of those before.
    LineForward = "line.forward" => reply::Forwarding;
    /// Something that only some devices have (lineDevSpecific). The event `line.device` tells what became of it.
    LineDevice = "line.device" => reply::Done;
    /// What crossed the wire for a line itself: registrations, probes, calls that were refused.
    LineTrace = "line.trace" => reply::LineTrace;
    /// What becomes of an incoming call of the line that no application takes.
    LineSetPolicy = "line.set_policy" => reply::Done;
    /// The same, asked.
    LineGetPolicy = "line.get_policy" => reply::Policy;
    /// An application's place among those that are offered new calls (lineSetAppPriority).
    ClientSetPriority = "client.set_priority" => reply::Done;
    /// The order as it is (lineGetAppPriority).
    ClientGetPriority = "client.get_priority" => reply::Priorities;
}

/// A line by its id or by its permanent name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LineSelector {
    /// By id.
    Id(LineId),
    /// By permanent name.
    Name(String),
}

/// Parameters of `client.open`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientOpen {
    /// The application's name, for people.
    pub app: String,
    /// Protocol version the client was written for: major and minor. Absent: the server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<(u32, u32)>,
    /// How long the session outlives a lost connection, in milliseconds (at most 60 000). With 0 the loss of the
    /// connection is the death of the application.
    #[serde(default)]
    pub linger_ms: u64,
}

/// Parameters of `client.resume`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientResume {
    /// The secret that `client.open` answered.
    pub token: String,
    /// The last event that was seen; those after it are sent again.
    pub since: u64,
}

/// Parameters of `client.close`: none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientClose {}

/// Parameters of `state.get`: none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateGet {}

/// Parameters of `line.list`: none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineList {}

/// Parameters of `line.open`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineOpen {
    /// Which line.
    pub line: LineSelector,
    /// What is asked on its calls: any of `monitor` and `owner`; empty or `none` to make calls only.
    #[serde(default)]
    pub privileges: Names<Privilege>,
    /// Media this session takes new calls for. Empty: interactive voice.
    #[serde(default)]
    pub media_modes: Names<MediaMode>,
}

/// Parameters of `line.close`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineClose {
    /// Which line.
    pub line: LineSelector,
}

/// Parameters of `line.set_status_messages`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineSetStatusMessages {
    /// Which line; it must be open.
    pub line: LineSelector,
    /// The changes to be told, all of them.
    pub states: Names<LineStateKind>,
}

/// Parameters of `call.make` (LINECALLPARAMS).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallMake {
    /// On which line; it must be open.
    pub line: LineSelector,
    /// Destination: digits with dial modifiers, `tel:` or `sip:`.
    pub to: String,
    /// From which address of the line.
    #[serde(default)]
    pub address: AddressId,
    /// Withhold our identity (LINECALLPARAMFLAGS_BLOCKID).
    #[serde(default)]
    pub block_id: bool,
    /// Words of the application, kept with the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// The kind of connection (LINECALLPARAMS dwBearerMode); voice when absent. `passthrough` dials nothing: bytes cross between
    /// the device and the Unix stream socket that comes with the request, until the call is idle. It needs the right to
    /// administer the line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer: Option<BearerMode>,
}

macro_rules! on_call {
    ($($(#[$meta:meta])* $name:ident),* $(,)?) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $name {
            /// Which call.
            pub call: CallId,
        }
    )*};
}

on_call! {
    /// Parameters of `call.answer`.
    CallAnswer,
    /// Parameters of `call.deallocate`.
    CallDeallocate,
    /// Parameters of `call.hold`.
    CallHold,
    /// Parameters of `call.unhold`.
    CallUnhold,
    /// Parameters of `call.get`.
    CallGet,
    /// Parameters of `call.part`.
    CallPart,
}

/// Parameters of `call.accept`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallAccept {
    /// Which call.
    pub call: CallId,
    /// Whether the caller is to hear us before the call is answered: an announcement, ringing of our own. Where the line's
    /// flags have `early_media`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub early_media: bool,
}

/// Parameters of `call.trace`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallTrace {
    /// Which call.
    pub call: CallId,
    /// Whole messages, and not their first lines only.
    #[serde(default)]
    pub full: bool,
}

/// Parameters of `call.drop`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallDrop {
    /// Which call.
    pub call: CallId,
    /// Why, for a call not yet answered: `busy`, `reject`, `no_answer`, `do_not_disturb`, `bad_address`… Absent: `reject`
    /// before the answer, a normal clearing after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<crate::DisconnectMode>,
}

/// Parameters of `call.list`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallList {
    /// Only this line. Absent: all lines this session opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<LineSelector>,
}

/// Parameters of `call.set_privilege`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallSetPrivilege {
    /// Which call.
    pub call: CallId,
    /// `monitor` or `owner`.
    pub privilege: Privilege,
}

/// Parameters of `call.send_digits`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallSendDigits {
    /// Which call.
    pub call: CallId,
    /// `0`-`9`, `A`-`D`, `*`, `#`; a comma is a pause of two seconds. Others are left out (TAPI ignores them too).
    pub digits: String,
    /// Length of a digit in milliseconds, 40 to 5 000. Absent: the line's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u32>,
}

/// Parameters of `call.monitor_digits`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallMonitorDigits {
    /// Which call.
    pub call: CallId,
    /// On or off.
    pub on: bool,
}

/// Parameters of `call.tone` (LINEGENERATETONE).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallTone {
    /// Which call.
    pub call: CallId,
    /// One to four frequencies in hertz, 100 to 3 900. Empty where a tone is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hz: Vec<u32>,
    /// A tone of call progress with its country's frequencies and cadence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<ProgressTone>,
    /// Its country, two letters of ISO 3166. Absent: the server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Length in milliseconds, 1 to 600 000; of a named tone 0 too: until stopped.
    #[serde(default)]
    pub duration_ms: u32,
    /// Level of each frequency in dBm0, −60 to 0. Absent: −10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level_dbm0: Option<i32>,
}

/// Parameters of `call.monitor_tones` (LINEMONITORTONE).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallMonitorTones {
    /// Which call.
    pub call: CallId,
    /// Frequencies to look for in hertz, at most eight. Empty: no longer.
    pub hz: Vec<u32>,
}

/// Where audio to play comes from. The server opens no path of a client's choosing with its own rights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlaySource {
    /// A WAV file below one of the configured directories, by its relative path.
    File(String),
    /// The descriptor passed with this request.
    Descriptor,
}

/// Parameters of `call.play`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallPlay {
    /// Which call.
    pub call: CallId,
    /// What.
    pub source: PlaySource,
    /// Again and again until stopped.
    #[serde(default)]
    pub repeat: bool,
}

/// Where a recording goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordSink {
    /// A new WAV file below the configured directory, by its relative path. An existing one is not overwritten.
    File(String),
    /// The descriptor passed with this request.
    Descriptor,
}

/// Parameters of `call.record`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    /// Which call.
    pub call: CallId,
    /// Where to.
    pub sink: RecordSink,
    /// End after so many milliseconds. Absent: when stopped or when the call ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_ms: Option<u64>,
}

/// Parameters of `call.stop`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallStop {
    /// Which call.
    pub call: CallId,
    /// Which operation on it.
    pub operation: OperationId,
}

/// Parameters of `call.bridge`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallBridge {
    /// One call.
    pub call: CallId,
    /// The other. The same call again is an echo.
    pub with: CallId,
}
