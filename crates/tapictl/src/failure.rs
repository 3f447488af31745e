//! Exit codes, and errors that end with a next step.

use serde_json::json;
use std::process::ExitCode;
use tapi::client::ClientError;
use tapi::{DisconnectMode, ErrorCode};

/// What the exit code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// Done.
    Done = 0,
    /// It was tried, and it failed.
    Failed = 1,
    /// The command line is wrong (clap's own code, too).
    Usage = 2,
    /// No such line or call.
    NoSuchObject = 3,
    /// Not permitted.
    NotPermitted = 4,
    /// The daemon is not reachable.
    NotReachable = 5,
    /// It took too long.
    Timeout = 6,
    /// The far end is busy or did not answer.
    NoAnswer = 7,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> ExitCode {
        ExitCode::from(code as u8)
    }
}

/// What ends a command before its time.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub code: Code,
    /// What is wrong, in lower case. Empty: there is nothing to say.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// TAPI's reason, where the server refused.
    pub reason: Option<ErrorCode>,
}

impl Failure {
    pub fn new(code: Code, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into(), hint: None, reason: None }
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// The reader of our output went away, as `head` does: nothing is wrong.
    pub fn reader_gone() -> Failure {
        Failure::new(Code::Done, "")
    }

    /// Ctrl-C, again: what was begun may go on.
    pub fn interrupted() -> Failure {
        Failure::new(Code::Failed, "interrupted").with_hint("tapictl calls, which shows what goes on")
    }

    /// Writes it to the standard error, as a sentence or as JSON.
    pub fn tell(&self, json: bool) {
        if self.message.is_empty() {
            return;
        }
        if json {
            let (code, message, hint) = (self.code as u8, &self.message, &self.hint);
            let reason = self.reason.map(ErrorCode::name);
            eprintln!("{}", json!({"error": {"exit": code, "message": message, "hint": hint, "lineerr": reason}}));
            return;
        }
        eprintln!("tapictl: {}", crate::out::clean(&self.message));
        if let Some(hint) = &self.hint {
            eprintln!("  try: {}", crate::out::clean(hint));
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        let code = match &error {
            ClientError::Unreachable { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                Code::NotPermitted
            }
            ClientError::Unreachable { .. } | ClientError::Lost { .. } => Code::NotReachable,
            ClientError::Timeout { .. } => Code::Timeout,
            ClientError::Refused(refusal) => of_refusal(refusal.code),
            _ => Code::Failed,
        };
        let reason = error.refusal();
        let hint = match &error {
            // Their words end with one.
            ClientError::SessionGone(_) | ClientError::NoSession => None,
            _ => reason.map(|reason| next_step(reason).to_owned()),
        };
        match &error {
            ClientError::Unreachable { path, source } => {
                let message = format!("{}: cannot reach the daemon: {source}", path.display());
                Failure::new(code, message).with_hint(at_the_door(code))
            }
            _ => Failure { code, message: error.to_string(), hint, reason },
        }
    }
}

fn of_refusal(code: ErrorCode) -> Code {
    match code {
        ErrorCode::BadDeviceId
        | ErrorCode::NoDevice
        | ErrorCode::InvalCallHandle
        | ErrorCode::InvalLineHandle
        | ErrorCode::InvalAddressId => Code::NoSuchObject,
        ErrorCode::NotOwner | ErrorCode::NotRegistered => Code::NotPermitted,
        ErrorCode::ServiceNotRunning => Code::NotReachable,
        _ => Code::Failed,
    }
}

/// What usually helps before there is a connection.
fn at_the_door(code: Code) -> &'static str {
    match code {
        Code::NotPermitted => "asking the administrator to name you in allow_users or allow_groups",
        _ => "systemctl status tapid, or --socket PATH (or TAPID_SOCKET) if it listens elsewhere",
    }
}

/// What usually helps after a refusal.
fn next_step(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::BadDeviceId | ErrorCode::NoDevice => "tapictl lines",
        ErrorCode::InvalCallHandle | ErrorCode::Disconnected => "tapictl calls",
        ErrorCode::InvalCallState => "tapictl call ID, which shows what can be done with it now",
        ErrorCode::InvalLineState | ErrorCode::NoDriver => "tapictl lines, which shows why a line is out of service",
        ErrorCode::CallUnavail => "tapictl calls, and hang up one of them",
        ErrorCode::NotOwner | ErrorCode::NotRegistered => "asking the administrator to allow it for your user or group",
        ErrorCode::OperationUnavail => "tapictl lines --json, which shows what each line can do",
        ErrorCode::ResourceUnavail | ErrorCode::RequestOverrun => "once more in a moment",
        ErrorCode::InvalDigitList => "digits 0-9, A-D, * and #; a comma is a pause",
        ErrorCode::NoMem => "closing some of the programs that are connected to the daemon",
        ErrorCode::IncompatibleApiVersion => "a tapictl of the daemon's version (tapictl --version)",
        ErrorCode::InvalParam => "tapictl help, which shows what each command takes",
        ErrorCode::InvalAddress => "digits, tel:+49301234 or sip:user@host as the number",
        ErrorCode::ServiceNotRunning => "once more when the daemon is up again (systemctl status tapid)",
        _ => "journalctl -u tapid, which may say more",
    }
}

/// How a call ended that was never answered.
pub fn of_disconnect(mode: &DisconnectMode) -> Code {
    match mode {
        DisconnectMode::Busy | DisconnectMode::NoAnswer | DisconnectMode::Reject | DisconnectMode::DoNotDisturb => {
            Code::NoAnswer
        }
        _ => Code::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_says_who_can_do_something_about_it() {
        let refused = |code: ErrorCode| Failure::from(ClientError::Refused(code.because("no"))).code;
        assert_eq!(refused(ErrorCode::InvalCallHandle), Code::NoSuchObject);
        assert_eq!(refused(ErrorCode::NotOwner), Code::NotPermitted);
        assert_eq!(refused(ErrorCode::InvalCallState), Code::Failed);
        let unreachable = |kind: std::io::ErrorKind| {
            let source = std::io::Error::from(kind);
            Failure::from(ClientError::Unreachable { path: "/nowhere".into(), source }).code
        };
        assert_eq!(unreachable(std::io::ErrorKind::NotFound), Code::NotReachable);
        assert_eq!(unreachable(std::io::ErrorKind::PermissionDenied), Code::NotPermitted);
        assert_eq!(of_disconnect(&DisconnectMode::Busy), Code::NoAnswer);
        assert_eq!(of_disconnect(&DisconnectMode::Unreachable), Code::Failed);
    }

    #[test]
    fn a_closed_door_is_not_an_absent_daemon() {
        let source = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let failure = Failure::from(ClientError::Unreachable { path: "/run/s".into(), source });
        assert_eq!(failure.message, "/run/s: cannot reach the daemon: permission denied");
        assert!(failure.hint.unwrap().contains("allow_groups"));
    }

    #[test]
    fn a_refusal_ends_with_a_next_step() {
        let failure = Failure::from(ClientError::Refused(ErrorCode::InvalCallState.because("call 7 is idle")));
        assert_eq!(failure.message, "call 7 is idle (INVALCALLSTATE)");
        assert!(failure.hint.unwrap().starts_with("tapictl call"));
        for code in ErrorCode::ALL {
            assert!(Failure::from(ClientError::Refused(code.because("no"))).hint.is_some(), "{code:?}");
        }
    }
}
