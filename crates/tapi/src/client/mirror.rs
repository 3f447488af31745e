//! What the server shows to a session, kept up to date.

use crate::reply::Snapshot;
use crate::{Call, CallId, Delivered, EventBody, Generation, Line, LineId, Privilege};
use std::collections::BTreeMap;

/// Lines and calls as they stand: a snapshot, and every event after it applied.
///
/// Snapshot and events may overlap: what the snapshot contains already is not applied again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mirror {
    generation: Option<Generation>,
    seq: u64,
    lines: BTreeMap<LineId, Line>,
    calls: BTreeMap<CallId, Call>,
}

impl Mirror {
    /// Shows nothing yet.
    pub fn new() -> Mirror {
        Mirror::default()
    }

    /// The generation of the snapshot, once there was one.
    pub fn generation(&self) -> Option<Generation> {
        self.generation
    }

    /// The last event that is contained.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The lines, by id.
    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        self.lines.values()
    }

    /// The calls this session has a handle on, oldest first.
    pub fn calls(&self) -> impl Iterator<Item = &Call> {
        self.calls.values()
    }

    /// One line.
    pub fn line(&self, line: LineId) -> Option<&Line> {
        self.lines.get(&line)
    }

    /// One call.
    pub fn call(&self, call: CallId) -> Option<&Call> {
        self.calls.get(&call)
    }

    /// Starts anew from a snapshot, or from what a list said: the newest word counts.
    pub fn restart(&mut self, snapshot: Snapshot) {
        self.generation = Some(snapshot.generation);
        self.seq = snapshot.seq;
        self.lines = snapshot.lines.into_iter().map(|line| (line.line, line)).collect();
        self.calls = snapshot.calls.into_iter().map(|call| (call.info.call, call)).collect();
    }

    /// A call as a reply showed it (`call.get`, `call.list`).
    pub fn note_call(&mut self, call: Call) {
        self.calls.insert(call.info.call, call);
    }

    /// A handle was given up (`call.deallocate`): no event tells of it.
    pub fn forget_call(&mut self, call: CallId) {
        self.calls.remove(&call);
    }

    /// Applies one event. `false` when it is contained already.
    pub fn apply(&mut self, delivered: &Delivered) -> bool {
        let event = &delivered.event;
        if event.seq <= self.seq {
            return false;
        }
        self.seq = event.seq;
        match &event.body {
            EventBody::LineAdded { line } => {
                self.lines.insert(line.line, Line::clone(line));
            }
            EventBody::LineRemoved { line, .. } => {
                self.lines.remove(line);
                self.calls.retain(|_, call| call.info.line != *line);
            }
            EventBody::LineClosed { line, .. } => self.calls.retain(|_, call| call.info.line != *line),
            EventBody::LineState { line, status, .. } => {
                if let Some(line) = self.lines.get_mut(line) {
                    line.status = status.clone();
                }
            }
            EventBody::CallNew { call } => self.note_call(Call::clone(call)),
            EventBody::CallInfo { info, .. } => {
                if let Some(call) = self.calls.get_mut(&info.call) {
                    call.info = crate::CallInfo::clone(info);
                }
            }
            EventBody::CallState { .. } => self.call_state(delivered),
            EventBody::CallDigit { .. }
            | EventBody::CallTone { .. }
            | EventBody::CallGenerated { .. }
            | EventBody::CallPlayed { .. }
            | EventBody::CallRecorded { .. }
            | EventBody::CallGathered { .. }
            | EventBody::CallAudioEnded { .. }
            | EventBody::CallProgress { .. }
            | EventBody::CallTransfer { .. }
            | EventBody::CallTransferRequested { .. }
            | EventBody::LineDevice { .. }
            | EventBody::Unrecognized => {}
        }
        true
    }

    fn call_state(&mut self, delivered: &Delivered) {
        let event = &delivered.event;
        let EventBody::CallState { call, state, features, privilege, cause, .. } = &event.body else { return };
        let Some(call) = self.calls.get_mut(call) else { return };
        if call.status.state != *state {
            call.status.entered = event.time;
            call.status.entered_wall = event.wall;
        }
        call.status.state = state.clone();
        call.status.features = features.clone();
        if let Some(privilege) = privilege {
            call.status.privilege = Privilege::clone(privilege);
        }
        if cause.is_some() {
            call.info.cause.clone_from(cause);
        }
    }
}

#[cfg(test)]
mod tests;
