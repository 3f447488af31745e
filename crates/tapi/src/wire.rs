//! The frames of the socket protocol: JSON-RPC 2.0, one object a line. What they mean stands in the
//! [crate's documentation](crate).
//!
//! The server's side uses [`Lines`], [`decode_request`], [`encode_hello`], [`encode_reply`], [`encode_event`] and
//! [`encode_rpc_error`]; the client's side [`Lines`], [`encode_request`] and [`decode_server_line`]. All of them append
//! whole lines, line feed included, and none of them panics, whatever the peer sends.

mod decode;
mod encode;
mod lines;

pub use decode::{ServerLine, ServerLineError, decode_request, decode_server_line};
pub use encode::{
    encode_any_request, encode_event, encode_hello, encode_refusal, encode_reply, encode_request, encode_rpc_error,
};
pub use lines::{Lines, TooLong};

use crate::{Delivered, Error, ErrorCode, Generation, PlaySource, RecordSink, Request, request};
use serde::{Deserialize, Serialize};

/// Version of the protocol: major and minor.
pub const API_VERSION: (u32, u32) = (1, 0);

/// Longest line that the server takes, in bytes, its line feed included.
pub const MAX_LINE: usize = 1 << 20;

/// Most descriptors that a connection may have sent without a request having claimed them.
pub const MAX_UNCLAIMED_DESCRIPTORS: usize = 8;

/// Where the daemon listens, unless it is told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/tapid/api.sock";

/// The first line of a connection, from the server: the parameters of the notification `hello`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Version of the daemon.
    pub tapid: String,
    /// Version of the protocol.
    pub api: (u32, u32),
    /// Generation of the server's state.
    pub generation: Generation,
    /// The last event.
    pub seq: u64,
    /// Longest line that the server takes.
    pub max_line: usize,
}

/// JSON-RPC's own error codes, for what is wrong before a request is one.
pub mod rpc {
    /// The line is not JSON.
    pub const PARSE: i32 = -32_700;
    /// The line is not an object, lacks what a request needs, or is longer than [`MAX_LINE`](super::MAX_LINE).
    pub const INVALID_REQUEST: i32 = -32_600;
    /// No such method.
    pub const UNKNOWN_METHOD: i32 = -32_601;
    /// The parameters do not fit the method.
    pub const INVALID_PARAMS: i32 = -32_602;
    /// The request was read and refused: `data` says why.
    pub const REFUSED: i32 = -32_000;
}

/// JSON-RPC's error object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RpcError {
    /// One of [`rpc`].
    pub code: i32,
    /// Words.
    pub message: String,
    /// The reason as TAPI names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<RpcErrorData>,
}

impl RpcError {
    /// An error of the connection itself, with one of the codes of [`rpc`].
    pub fn new(code: i32, message: impl std::fmt::Display) -> RpcError {
        RpcError { code, message: message.to_string(), data: None }
    }

    /// The reason as TAPI names it, where the request was read and refused.
    pub fn refusal(&self) -> Option<Error> {
        self.data.as_ref().map(|data| Error { code: data.lineerr, message: self.message.clone() })
    }
}

impl std::fmt::Display for RpcError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.data {
            Some(data) => write!(f, "{} ({})", self.message, data.lineerr.name()),
            None => write!(f, "{} ({})", self.message, self.code),
        }
    }
}

/// The reason of a refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RpcErrorData {
    /// Name: `INVALCALLSTATE`.
    pub lineerr: ErrorCode,
    /// Number: `0x8000001c`.
    pub hex: String,
}

impl From<&Error> for RpcError {
    fn from(error: &Error) -> RpcError {
        RpcError {
            code: rpc::REFUSED,
            message: error.message.clone(),
            data: Some(RpcErrorData { lineerr: error.code, hex: format!("0x{:08x}", error.code.number()) }),
        }
    }
}

/// A line from the server that carries an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventLine {
    /// Always `2.0`.
    pub jsonrpc: String,
    /// Always `event`.
    pub method: String,
    /// The event.
    pub params: Delivered,
}

/// Whether a request names a descriptor that came with its line.
///
/// # Descriptors
/// A request that passes a file carries exactly one descriptor by `SCM_RIGHTS` on the first byte of its own line: the
/// whole line, or at least its beginning, is one `sendmsg`. The kernel delivers the descriptor no later than that byte,
/// though perhaps in one read with lines before it. So the server keeps descriptors in the order of their arrival, a
/// request that names one takes the oldest, and once no part of a line is waiting ([`Lines::is_empty`]) those that
/// nobody claimed are closed, as they belonged to lines that named none. More than [`MAX_UNCLAIMED_DESCRIPTORS`] at
/// once are closed too.
pub fn names_descriptor(request: &Request) -> bool {
    match request {
        Request::CallPlay(request::CallPlay { source, .. }) => matches!(source, PlaySource::Descriptor),
        Request::CallRecord(request::CallRecord { sink, .. }) => matches!(sink, RecordSink::Descriptor),
        Request::CallAudio(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
