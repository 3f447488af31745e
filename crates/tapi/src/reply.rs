//! What the server answers to a request that it took.

use crate::{
    Call, CallId, Generation, IncomingPolicy, Line, LineId, MediaMode, OperationId, SessionId, TraceEntry, TransferWay,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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

/// A line's trace (`line.trace`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineTrace {
    /// The entries, oldest first.
    pub entries: Vec<TraceEntry>,
    /// How many older ones were let go.
    pub forgotten: u64,
    /// Calls of the line that are over and forgotten, but for their traces (`call.trace`), oldest first.
    pub ended: Vec<CallId>,
}

/// A transfer is under way (`call.blind_transfer`, `call.complete_transfer`). Where the network turns out to be unable,
/// the server may go on by bridging: the event `call.transfer` says by whom it is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transferring {
    /// By whom.
    pub how: TransferWay,
    /// The conference that the calls became, where that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conference: Option<CallId>,
}

/// A conference exists (`call.setup_conference`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConferenceMade {
    /// The conference, a call of its own.
    pub conference: CallId,
    /// The call of the next party, where one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consultation: Option<CallId>,
}

/// Calls are forwarded (`line.forward`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forwarding {
    /// By whom.
    pub how: TransferWay,
}

/// What becomes of a call that nobody takes (`line.get_policy`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The policy.
    pub policy: IncomingPolicy,
}

/// Who is offered new calls first (`client.get_priority`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Priorities {
    /// Names of applications by medium, the first to be asked first.
    pub priorities: BTreeMap<MediaMode, Vec<String>>,
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
    LineTrace(LineTrace),
    Transferring(Transferring),
    ConferenceMade(ConferenceMade),
    Forwarding(Forwarding),
    Policy(Policy),
    Priorities(Priorities),
    Done(Done),
}
