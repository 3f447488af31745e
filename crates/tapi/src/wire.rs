//! The frames of the socket protocol: JSON-RPC 2.0, one object a line.

use crate::{Delivered, Error, ErrorCode, Generation, RequestId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Version of the protocol: major and minor.
pub const API_VERSION: (u32, u32) = (1, 0);

/// Longest line that the server takes, in bytes, its line feed included.
pub const MAX_LINE: usize = 1 << 20;

/// The first line of a connection, from the server.
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

/// A line from a client, before its parameters are read.
#[derive(Debug, Deserialize)]
pub struct RawRequest<'a> {
    /// The client's name for the request.
    pub id: Option<RequestId>,
    /// The method.
    pub method: std::borrow::Cow<'a, str>,
    /// The parameters, unread.
    #[serde(borrow, default)]
    pub params: Option<&'a RawValue>,
}

/// JSON-RPC's own error codes, for what is wrong before a request is one.
pub mod rpc {
    /// The line is not JSON.
    pub const PARSE: i32 = -32_700;
    /// The object is not a request.
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
