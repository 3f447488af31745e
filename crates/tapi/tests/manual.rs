//! The manual speaks of the protocol as it is: its sessions are read by the code, its tables leave nothing out.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use serde_json::Value;
use std::collections::BTreeMap;
use tapi::wire::{ServerLine, decode_request, decode_server_line, encode_any_request};
use tapi::{ErrorCode, EventBody, Request, RequestId, reply};

const CRATE: &str = include_str!("../src/lib.rs");
const SESSION: &str = include_str!("../doc/session.txt");
const API: &str = include_str!("../../../docs/api.md");

const EVENTS: [&str; 13] = [
    "line.added",
    "line.removed",
    "line.closed",
    "line.state",
    "call.new",
    "call.state",
    "call.info",
    "call.digit",
    "call.tone",
    "call.generated",
    "call.played",
    "call.recorded",
    "hello",
];

/// Reads a reply as its type and writes it again: nothing in it may be unknown to the type.
fn again<T: serde::de::DeserializeOwned + serde::Serialize>(text: &str) -> Value {
    serde_json::to_value(serde_json::from_str::<T>(text).unwrap()).unwrap()
}

fn reply_again(request: &Request, text: &str) -> Value {
    match request {
        Request::ClientOpen(_) | Request::ClientResume(_) => again::<reply::Opened>(text),
        Request::StateGet(_) => again::<reply::Snapshot>(text),
        Request::LineList(_) => again::<reply::Lines>(text),
        Request::LineOpen(_) => again::<reply::LineOpened>(text),
        Request::CallMake(_) => again::<reply::Made>(text),
        Request::CallList(_) => again::<reply::Calls>(text),
        Request::CallGet(_) => again::<tapi::Call>(text),
        Request::CallPlay(_) | Request::CallRecord(_) | Request::CallSendDigits(_) | Request::CallTone(_) => {
            again::<reply::Started>(text)
        }
        Request::CallTrace(_) => again::<reply::Trace>(text),
        Request::LineTrace(_) => again::<reply::LineTrace>(text),
        _ => again::<reply::Done>(text),
    }
}

/// Reads a session line by line as both sides would: every request is known, answered once, and every reply fits.
fn replay(session: &str) -> (usize, usize) {
    let mut asked: BTreeMap<RequestId, Request> = BTreeMap::new();
    let (mut requests, mut events, mut seen) = (0, 0, 0);
    for line in session.lines() {
        if let Some(line) = line.strip_prefix("C: ") {
            let (id, request) = decode_request(line.as_bytes()).unwrap_or_else(|error| panic!("{line}: {error:?}"));
            let mut written = Vec::new();
            encode_any_request(&mut written, id, &request);
            let (written, read): (Value, Value) =
                (serde_json::from_slice(&written).unwrap(), serde_json::from_str(line).unwrap());
            let stray = |key: &&String| written["params"].get(key.as_str()).is_none();
            let params = read["params"].as_object().into_iter().flat_map(|params| params.keys());
            assert_eq!(params.filter(stray).count(), 0, "a member that the method does not have: {line}");
            assert!(asked.insert(id, request).is_none(), "{line}");
            requests += 1;
        } else if let Some(line) = line.strip_prefix("S: ") {
            let read: Value = serde_json::from_str(line).unwrap();
            match decode_server_line(line.as_bytes()).unwrap_or_else(|error| panic!("{line}: {error}")) {
                ServerLine::Hello(hello) => assert_eq!(serde_json::to_value(hello).unwrap(), read["params"]),
                ServerLine::Response { id, result } => {
                    let request = asked.remove(&id.unwrap()).expect("an answer to a request");
                    match result {
                        Ok(result) => assert_eq!(reply_again(&request, result.get()), read["result"], "{line}"),
                        Err(error) => assert_eq!(serde_json::to_value(error).unwrap(), read["error"], "{line}"),
                    }
                }
                ServerLine::Event(delivered) => {
                    assert_ne!(delivered.event.body, EventBody::Unrecognized, "{line}");
                    assert_eq!(delivered.prev, seen, "{line}");
                    seen = delivered.event.seq;
                    assert_eq!(serde_json::to_value(delivered).unwrap(), read["params"], "{line}");
                    events += 1;
                }
                ServerLine::Other { method } => panic!("{method} is not known"),
            }
        }
    }
    assert!(asked.is_empty(), "never answered: {asked:?}");
    (requests, events)
}

#[test]
fn the_worked_session_is_what_both_sides_say() {
    assert_eq!(replay(SESSION), (10, 7));
}

#[test]
fn the_session_in_the_guide_is_the_same() {
    assert!(API.contains(SESSION), "docs/api.md carries crates/tapi/doc/session.txt as it is");
}

#[test]
fn the_requests_of_the_guide_are_requests() {
    let mut seen = 0;
    for text in API.split('\'').filter(|text| text.starts_with(r#"{"id":"#)) {
        let text = text.trim_end_matches("\\n");
        decode_request(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        seen += 1;
    }
    assert!(seen >= 6, "{seen} requests in shell lines");
}

#[test]
fn the_tables_leave_nothing_out() {
    for (name, text) in [("the crate's documentation", CRATE), ("docs/api.md", API)] {
        for method in Request::METHODS {
            assert!(text.contains(&format!("`{method}`")), "{name} does not mention {method}");
        }
        for event in EVENTS {
            assert!(text.contains(&format!("`{event}`")), "{name} does not mention {event}");
        }
    }
    for code in ErrorCode::ALL {
        let row = format!("`{}` | `0x{:08x}`", code.name(), code.number());
        assert!(API.contains(&row), "docs/api.md does not have the row {row}");
    }
}
