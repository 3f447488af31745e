//! What an application did wrong, or could not have: a closed set with stable codes (LINEERR_*).

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! codes {
    ($($(#[$meta:meta])* $variant:ident = $name:literal, $number:literal;)*) => {
        /// Why a request was refused: TAPI's LINEERR constant of the same name and number.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[repr(u32)]
        pub enum ErrorCode {
            $($(#[$meta])* #[serde(rename = $name)] $variant = $number,)*
        }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$variant),*];

            /// The name without its `LINEERR_`, as it stands on the wire.
            pub const fn name(self) -> &'static str {
                match self { $(ErrorCode::$variant => $name,)* }
            }

            /// TAPI's number.
            pub const fn number(self) -> u32 {
                self as u32
            }
        }
    };
}

codes! {
    /// The line is open already, or a file is held by somebody else.
    Allocated = "ALLOCATED", 0x8000_0001;
    /// There is no such line.
    BadDeviceId = "BADDEVICEID", 0x8000_0002;
    /// The line does not have the asked bearer mode.
    BearerModeUnavail = "BEARERMODEUNAVAIL", 0x8000_0003;
    /// All call appearances of the line are in use.
    CallUnavail = "CALLUNAVAIL", 0x8000_0005;
    /// The conference takes no more calls.
    ConferenceFull = "CONFERENCEFULL", 0x8000_0007;
    /// The dial string asks for billing tone (`$`) and the line cannot detect it.
    DialBilling = "DIALBILLING", 0x8000_0008;
    /// The dial string asks for dial tone (`W`) and the line cannot detect it.
    DialDialtone = "DIALDIALTONE", 0x8000_0009;
    /// The dial string asks for a prompt (`?`).
    DialPrompt = "DIALPROMPT", 0x8000_000A;
    /// The dial string asks for quiet answer (`@`) and the line cannot detect it.
    DialQuiet = "DIALQUIET", 0x8000_000B;
    /// No common version of the protocol.
    IncompatibleApiVersion = "INCOMPATIBLEAPIVERSION", 0x8000_000C;
    /// The resource is used by something else.
    InUse = "INUSE", 0x8000_000F;
    /// The destination cannot be read as an address of this line.
    InvalAddress = "INVALADDRESS", 0x8000_0010;
    /// The line has no such address.
    InvalAddressId = "INVALADDRESSID", 0x8000_0011;
    /// No `client.open` yet, or the session is gone.
    InvalAppHandle = "INVALAPPHANDLE", 0x8000_0014;
    /// There is no such call, or this session has no handle on it.
    InvalCallHandle = "INVALCALLHANDLE", 0x8000_0018;
    /// The call parameters do not fit together.
    InvalCallParams = "INVALCALLPARAMS", 0x8000_0019;
    /// The privilege is not one that can be asked here.
    InvalCallPrivilege = "INVALCALLPRIVILEGE", 0x8000_001A;
    /// The call is in a state in which this cannot be done.
    InvalCallState = "INVALCALLSTATE", 0x8000_001C;
    /// The call is no conference, or in none.
    InvalConfCallHandle = "INVALCONFCALLHANDLE", 0x8000_0020;
    /// The call is no consultation call of the other one.
    InvalConsultCallHandle = "INVALCONSULTCALLHANDLE", 0x8000_0021;
    /// A digit that cannot be sent or waited for.
    InvalDigitList = "INVALDIGITLIST", 0x8000_0026;
    /// The line cannot send or detect digits in this mode.
    InvalDigitMode = "INVALDIGITMODE", 0x8000_0027;
    /// This session has not opened the line.
    InvalLineHandle = "INVALLINEHANDLE", 0x8000_002B;
    /// The line is out of service, or its device is not there.
    InvalLineState = "INVALLINESTATE", 0x8000_002C;
    /// The media mode is not one the line has.
    InvalMediaMode = "INVALMEDIAMODE", 0x8000_002F;
    /// A parameter is missing, of the wrong type, or out of range.
    InvalParam = "INVALPARAM", 0x8000_0032;
    /// A time-out that cannot be kept.
    InvalTimeout = "INVALTIMEOUT", 0x8000_003B;
    /// A tone that cannot be made or detected.
    InvalTone = "INVALTONE", 0x8000_003C;
    /// The line was removed.
    NoDevice = "NODEVICE", 0x8000_0042;
    /// The provider of the line is not running.
    NoDriver = "NODRIVER", 0x8000_0043;
    /// Out of memory, or over a limit of the daemon's own.
    NoMem = "NOMEM", 0x8000_0044;
    /// The operation needs OWNER, and this session has less.
    NotOwner = "NOTOWNER", 0x8000_0046;
    /// The peer may not use the server, or not for this.
    NotRegistered = "NOTREGISTERED", 0x8000_0047;
    /// It was tried, and it failed; the text says how.
    OperationFailed = "OPERATIONFAILED", 0x8000_0048;
    /// The line cannot do this at all.
    OperationUnavail = "OPERATIONUNAVAIL", 0x8000_0049;
    /// Something is short for the moment (ports, bandwidth, a busy device); trying again may work.
    ResourceUnavail = "RESOURCEUNAVAIL", 0x8000_004B;
    /// Too many requests are outstanding.
    RequestOverrun = "REQUESTOVERRUN", 0x8000_004C;
    /// No application that a call can be given to.
    TargetNotFound = "TARGETNOTFOUND", 0x8000_004E;
    /// The call is its own target.
    TargetSelf = "TARGETSELF", 0x8000_004F;
    /// The server does not know this method.
    InvalFeature = "INVALFEATURE", 0x8000_0055;
    /// The far end or the device went away while the request was under way.
    Disconnected = "DISCONNECTED", 0x8000_0060;
    /// The server is stopping.
    ServiceNotRunning = "SERVICE_NOT_RUNNING", 0x8000_0061;
}

/// A refused request: a stable code for programs, and a sentence in lower case for people that says what and which.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message} ({})", .code.name())]
pub struct Error {
    /// Why, as a code.
    pub code: ErrorCode,
    /// Why, in words.
    pub message: String,
}

impl Error {
    /// An error with its words.
    pub fn new(code: ErrorCode, message: impl fmt::Display) -> Error {
        Error { code, message: message.to_string() }
    }
}

impl ErrorCode {
    /// This code with words: `InvalCallState.because("call 7 is idle")`.
    pub fn because(self, message: impl fmt::Display) -> Error {
        Error::new(self, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_tapis_numbers_and_stay_what_they_are() {
        assert_eq!(ErrorCode::InvalCallState.number(), 0x8000_001C);
        assert_eq!(ErrorCode::NotOwner.number(), 0x8000_0046);
        assert_eq!(ErrorCode::ServiceNotRunning.number(), 0x8000_0061);
        let mut numbers: Vec<u32> = ErrorCode::ALL.iter().map(|code| code.number()).collect();
        numbers.dedup();
        assert_eq!(numbers.len(), ErrorCode::ALL.len());
    }

    #[test]
    fn an_error_reads_as_a_sentence_with_its_code() {
        let error = ErrorCode::InvalCallState.because("call 7 is idle");
        assert_eq!(error.to_string(), "call 7 is idle (INVALCALLSTATE)");
    }
}
