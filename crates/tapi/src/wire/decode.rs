//! Bytes into frames.

use super::{Hello, RpcError, RpcErrorData, rpc};
use crate::request::DecodeError;
use crate::{Delivered, Event, EventBody, Request, RequestId, Time};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The members of any frame, unread.
#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow, default)]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// Reads one line of a client.
///
/// Members that a request does not have are skipped, at any depth and without recursion; values that are read may nest
/// 128 deep. `jsonrpc` may be left out. An `id` is needed, a whole number, as every request is answered.
///
/// # Errors
/// What to answer with [`super::encode_refusal`], and the request's id where it could be read.
pub fn decode_request(line: &[u8]) -> Result<(RequestId, Request), (Option<RequestId>, RpcError)> {
    let text = std::str::from_utf8(line)
        .map_err(|error| (None, RpcError::new(rpc::PARSE, format_args!("line is not UTF-8: {error}"))))?;
    let frame = frame(text).map_err(|error| (None, error))?;
    let invalid = |id, message: &str| (id, RpcError::new(rpc::INVALID_REQUEST, message));
    let id = frame.id.and_then(|id| serde_json::from_str::<RequestId>(id.get()).ok());
    if frame.jsonrpc.is_some_and(|version| version.get() != "\"2.0\"") {
        return Err(invalid(id, "jsonrpc must be \"2.0\""));
    }
    let Some(id) = id else {
        return Err(invalid(None, "id must be a whole number from 0"));
    };
    let Some(method) = frame.method.and_then(|method| serde_json::from_str::<String>(method.get()).ok()) else {
        return Err(invalid(Some(id), "method must be a text"));
    };
    let params = frame.params.filter(|params| params.get() != "null");
    if params.is_some_and(|params| !params.get().starts_with('{')) {
        return Err((Some(id), RpcError::new(rpc::INVALID_PARAMS, format_args!("{method}: params must be an object"))));
    }
    match Request::decode(&method, params) {
        Ok(request) => Ok((id, request)),
        Err(DecodeError::UnknownMethod) => {
            let shown: String = method.chars().take(80).collect();
            let message = format!("there is no method {shown:?}");
            Err((Some(id), RpcError::new(rpc::UNKNOWN_METHOD, message)))
        }
        Err(DecodeError::Params(error)) => {
            Err((Some(id), RpcError::new(rpc::INVALID_PARAMS, format_args!("{method}: {error}"))))
        }
    }
}

/// A line from the server.
#[derive(Clone, Debug)]
pub enum ServerLine {
    /// The greeting.
    Hello(Hello),
    /// The answer to a request.
    Response {
        /// Which; nothing where the server could not read it.
        id: Option<RequestId>,
        /// The reply, unread, or why not.
        result: Result<Box<RawValue>, RpcError>,
    },
    /// An event. One of a kind that this version does not know is [`EventBody::Unrecognized`].
    Event(Box<Delivered>),
    /// A notification that this version does not know.
    Other {
        /// Its method.
        method: String,
    },
}

/// A line of the server's that makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum ServerLineError {
    /// Not JSON, or not an object.
    #[error("{0}")]
    Json(String),
    /// Neither a response nor a notification.
    #[error("line is neither a response nor a notification")]
    Shape,
    /// A known notification without the members that it must have.
    #[error("{method}: {error}")]
    Params {
        /// Which.
        method: String,
        /// What is wrong.
        error: serde_json::Error,
    },
}

/// Reads one line of the server, tolerantly: what a newer server says beyond this version is passed over.
///
/// # Errors
/// [`ServerLineError`]
pub fn decode_server_line(line: &[u8]) -> Result<ServerLine, ServerLineError> {
    let text = std::str::from_utf8(line).map_err(|error| ServerLineError::Json(format!("not UTF-8: {error}")))?;
    let frame = frame(text).map_err(|error| ServerLineError::Json(error.message))?;
    if let Some(method) = frame.method {
        let method: String = serde_json::from_str(method.get()).map_err(|_| ServerLineError::Shape)?;
        let params = frame.params.map_or("{}", RawValue::get);
        return match method.as_str() {
            "hello" => serde_json::from_str(params).map(ServerLine::Hello),
            "event" => event(params).map(|event| ServerLine::Event(Box::new(event))),
            _ => return Ok(ServerLine::Other { method }),
        }
        .map_err(|error| ServerLineError::Params { method, error });
    }
    let id = frame.id.and_then(|id| serde_json::from_str::<RequestId>(id.get()).ok());
    let result = match (frame.error, frame.result) {
        (Some(error), _) => Err(rpc_error(error)?),
        (None, Some(result)) => Ok(result.to_owned()),
        (None, None) => return Err(ServerLineError::Shape),
    };
    Ok(ServerLine::Response { id, result })
}

/// One JSON object. Serde would also read a struct from an array; JSON-RPC's batches are not served.
fn frame(text: &str) -> Result<Frame<'_>, RpcError> {
    let object = text.trim_start().starts_with('{');
    match serde_json::from_str(text) {
        Ok(frame) if object => Ok(frame),
        Err(error) if error.is_syntax() || error.is_eof() => {
            Err(RpcError::new(rpc::PARSE, format_args!("line is not JSON: {error}")))
        }
        Err(error) if object => Err(RpcError::new(rpc::INVALID_REQUEST, error)),
        _ => Err(RpcError::new(rpc::INVALID_REQUEST, "line is not an object")),
    }
}

/// An event, or at least its number: what cannot be read must not look like a gap.
fn event(params: &str) -> Result<Delivered, serde_json::Error> {
    #[derive(Deserialize)]
    struct Header {
        prev: u64,
        seq: u64,
        time: Time,
        wall: u64,
    }
    serde_json::from_str(params).or_else(|_| {
        let Header { prev, seq, time, wall } = serde_json::from_str(params)?;
        Ok(Delivered { prev, event: Event { seq, time, wall, body: EventBody::Unrecognized } })
    })
}

/// An error object; a code of TAPI's that this version does not know becomes part of the words.
fn rpc_error(error: &RawValue) -> Result<RpcError, ServerLineError> {
    #[derive(Deserialize)]
    struct Loose<'a> {
        code: i32,
        #[serde(default)]
        message: String,
        #[serde(borrow, default)]
        data: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Named {
        lineerr: String,
    }
    let Loose { code, mut message, data } =
        serde_json::from_str(error.get()).map_err(|error| ServerLineError::Json(error.to_string()))?;
    let known = data.and_then(|data| serde_json::from_str::<RpcErrorData>(data.get()).ok());
    if let (None, Some(data)) = (&known, data)
        && let Ok(Named { lineerr }) = serde_json::from_str(data.get())
    {
        message = format!("{message} ({lineerr})");
    }
    Ok(RpcError { code, message, data: known })
}
