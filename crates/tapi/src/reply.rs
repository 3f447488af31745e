//! What the server answers to a request that it took.

use crate::{Call, CallId, Generation, Line, LineId, OperationId, SessionId, TraceEntry};
use serde::{Deserialize, Serialize};

/// Taken; there is nothing more to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {}

/// A session exists (`client.open`, `client.resume`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// The session.
    pub session: SessionId,
    /// The secret to take it up again with.
    pub token: String,
    /// The generation that sequence numbers belong to.
    pub generation: Generation,
    /// The last event before this reply.
    pub seq: u64,
}

/// Everything a session may see, as after event `seq` (`state.get`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The generation that `seq` belongs to.
    pub generation: Generation,
    /// The last event that is contained.
    pub seq: u64,
    /// All lines.
    pub lines: Vec<Line>,
    /// The calls that this session has a handle on.
    pub calls: Vec<Call>,
}

/// All lines (`line.list`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lines {
    /// The lines, in the order in which they came.
    pub lines: Vec<Line>,
}

/// The line is open (`line.open`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineOpened {
    /// Its id.
    pub line: LineId,
}

/// A call exists (`call.make`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Its id.
    pub call: CallId,
}

/// Calls (`call.list`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    /// The calls, oldest first.
    pub calls: Vec<Call>,
}

/// A media operation began; an event will end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Its id, in the event that ends it and for `call.stop`.
    pub operation: OperationId,
}

/// A call's trace (`call.trace`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The entries, oldest first.
    pub entries: Vec<TraceEntry>,
    /// How many older ones were let go.
    pub forgotten: u64,
}

/// Any reply to a taken request, as the server makes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[allow(missing_docs, reason = "each variant is the type it holds")]
pub enum Reply {
    Opened(Opened),
    Snapshot(Snapshot),
    Lines(Lines),
    LineOpened(LineOpened),
    Made(Made),
    Calls(Calls),
    Call(Box<Call>),
    Started(Started),
    Trace(Trace),
    Done(Done),
}
