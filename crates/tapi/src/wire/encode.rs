//! Frames into bytes.

use super::{Hello, RpcError};
use crate::{Error, Event, Method, Reply, Request, RequestId};
use serde::Serialize;

#[derive(Serialize)]
struct Notification<'a, P> {
    jsonrpc: &'a str,
    method: &'a str,
    params: P,
}

#[derive(Serialize)]
struct Answer<'a, R> {
    jsonrpc: &'a str,
    id: Option<RequestId>,
    #[serde(flatten)]
    outcome: Outcome<R>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome<R> {
    Result(R),
    Error(RpcError),
}

#[derive(Serialize)]
struct DeliveredRef<'a> {
    prev: u64,
    #[serde(flatten)]
    event: &'a Event,
}

#[derive(Serialize)]
struct Asked<'a, M> {
    jsonrpc: &'a str,
    id: RequestId,
    method: &'a str,
    params: &'a M,
}

#[derive(Serialize)]
struct AnyAsked<'a> {
    jsonrpc: &'a str,
    id: RequestId,
    #[serde(flatten)]
    request: &'a Request,
}

/// Appends the greeting.
pub fn encode_hello(buf: &mut Vec<u8>, hello: &Hello) {
    line(buf, &Notification { jsonrpc: "2.0", method: "hello", params: hello });
}

/// Appends the answer to a request.
pub fn encode_reply(buf: &mut Vec<u8>, id: RequestId, result: &Result<Reply, Error>) {
    let outcome = match result {
        Ok(reply) => Outcome::Result(reply),
        Err(error) => Outcome::Error(RpcError::from(error)),
    };
    line(buf, &Answer { jsonrpc: "2.0", id: Some(id), outcome });
}

/// Appends an event, with the number of the event that this session was sent before it.
pub fn encode_event(buf: &mut Vec<u8>, prev: u64, event: &Event) {
    line(buf, &Notification { jsonrpc: "2.0", method: "event", params: DeliveredRef { prev, event } });
}

/// Appends the answer to a line that was no request: `code` is one of [`super::rpc`], `id` what could be read of it.
pub fn encode_rpc_error(buf: &mut Vec<u8>, id: Option<RequestId>, code: i32, message: &str) {
    encode_refusal(buf, id, &RpcError::new(code, message));
}

/// Appends an error as it is: what [`super::decode_request`] found wrong.
pub fn encode_refusal(buf: &mut Vec<u8>, id: Option<RequestId>, error: &RpcError) {
    line(buf, &Answer::<()> { jsonrpc: "2.0", id, outcome: Outcome::Error(error.clone()) });
}

/// Appends a request.
pub fn encode_request<M: Method>(buf: &mut Vec<u8>, id: RequestId, request: &M) {
    line(buf, &Asked { jsonrpc: "2.0", id, method: M::NAME, params: request });
}

/// Appends a request of any method.
pub fn encode_any_request(buf: &mut Vec<u8>, id: RequestId, request: &Request) {
    line(buf, &AnyAsked { jsonrpc: "2.0", id, request });
}

/// JSON leaves no raw line feed in a text, so one object is one line.
fn line(buf: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(&mut *buf, value).expect("frames have text keys only, and a vector takes every byte");
    buf.push(b'\n');
}
