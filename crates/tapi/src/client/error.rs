//! What can go wrong between a client and the daemon.

use crate::{Error, ErrorCode};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a client's call did not bring a reply or an event.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection could be made.
    #[error("{path}: cannot reach the daemon: {source}; {hint}", path = .path.display(), hint = hint(.source))]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The connection ended. The session may be taken up again with `resume`.
    #[error("{path}: connection lost: {reason}; resume the session, or open a new one", path = .path.display())]
    Lost {
        /// The socket.
        path: PathBuf,
        /// How.
        reason: String,
    },
    /// No answer in time. The request may still be carried out.
    #[error("{path}: no answer to {what} within {after:?}; see whether the daemon is stuck", path = .path.display())]
    Timeout {
        /// The socket.
        path: PathBuf,
        /// Method, or `hello`.
        what: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// The server read the request and refused it.
    #[error(transparent)]
    Refused(#[from] Error),
    /// The server could not read the request: it speaks another version of the protocol.
    #[error("{path}: {method} was not understood: {message} ({code}); compare the versions of both", path = .path.display())]
    NotUnderstood {
        /// The socket.
        path: PathBuf,
        /// The method.
        method: &'static str,
        /// JSON-RPC's code, one of [`crate::wire::rpc`].
        code: i32,
        /// The server's words.
        message: String,
    },
    /// What came is not this protocol.
    #[error("{path}: this is not the daemon's protocol: {what}; see whether the socket is the right one", path = .path.display())]
    Protocol {
        /// The socket.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Events are missing. The session goes on; take a snapshot with `state.get`.
    #[error("events between {seen} and {prev} are missing; take a snapshot with state.get")]
    Gap {
        /// The last event that came.
        seen: u64,
        /// The one that the server says it sent before the next.
        prev: u64,
    },
    /// More than [`super::MAX_WAITING_EVENTS`] events wait to be taken: the connection was given up.
    #[error("too many events wait to be taken; take them more often, then resume the session")]
    Overrun,
    /// There is no session to take up: none was opened, or it was closed.
    #[error("there is no session; open one with client.open")]
    NoSession,
    /// The server does not know the session any more (it was restarted, or the session lingered for too long).
    #[error("the session is gone: {0}; open a new one with client.open")]
    SessionGone(Error),
    /// The descriptor given with `wake_on` became readable.
    #[error("interrupted")]
    Interrupted,
}

impl ClientError {
    /// The code of a refusal.
    pub fn refusal(&self) -> Option<ErrorCode> {
        match self {
            ClientError::Refused(error) | ClientError::SessionGone(error) => Some(error.code),
            _ => None,
        }
    }

    /// Whether trying to connect again may help.
    pub fn is_disconnect(&self) -> bool {
        match self {
            ClientError::Unreachable { source, .. } => source.kind() != io::ErrorKind::PermissionDenied,
            ClientError::Lost { .. } | ClientError::Overrun => true,
            _ => false,
        }
    }
}

/// What to do about a socket that cannot be connected to.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "start it (systemctl start tapid), or name its socket",
        io::ErrorKind::ConnectionRefused => "the socket is there and nobody listens: start it (systemctl start tapid)",
        io::ErrorKind::PermissionDenied => "join the group that owns the socket, then log in again",
        _ => "see whether it runs (systemctl status tapid)",
    }
}
