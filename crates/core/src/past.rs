//! What crossed the wire beside calls that are there: for calls that are forgotten, and for lines themselves.

use crate::call::Trace;
use crate::{ProviderId, Server};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tapi::request::LineTrace;
use tapi::{CallId, Error, LineId, Reply, Right, SessionId, Time, TraceEntry, reply};
use tspi::CallRef;

/// Most calls that are remembered.
const CALLS: usize = 64;
/// Most text of theirs, in bytes.
const BYTES: usize = 512 * 1024;
/// How long after its last message another one may come: as long as a transaction of SIP lasts (RFC 3261 17.1.1.2, timer B).
const LATEST: Duration = Duration::from_secs(32);

/// What is remembered.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Past {
    /// Oldest first.
    ended: VecDeque<Ended>,
    /// Bytes of text in the traces of `ended`.
    bytes: usize,
    lines: BTreeMap<LineId, OfLine>,
}

/// A call that is forgotten.
#[derive(Debug, Serialize, Deserialize)]
struct Ended {
    call: CallId,
    /// What its provider calls it.
    reference: (ProviderId, CallRef),
    line: LineId,
    trace: Trace,
}

/// A line's own messages. Probes come often, and push out nothing else.
#[derive(Debug, Default, Serialize, Deserialize)]
struct OfLine {
    probes: Trace,
    others: Trace,
}

impl Past {
    /// A call is forgotten.
    pub(crate) fn keep(&mut self, call: CallId, reference: (ProviderId, CallRef), line: LineId, trace: Trace) {
        if trace.entries.is_empty() {
            return;
        }
        self.bytes += trace.bytes;
        self.ended.push_back(Ended { call, reference, line, trace });
        self.bound();
    }

    /// Whether messages of a call that is forgotten may still come, such as the answer to our BYE.
    pub(crate) fn expects(&self, now: Time, reference: (ProviderId, CallRef)) -> bool {
        let ended = self.ended.iter().rfind(|ended| ended.reference == reference);
        let last = ended.and_then(|ended| ended.trace.entries.back());
        last.is_some_and(|entry| now.since(entry.time) < LATEST)
    }

    /// One of them.
    pub(crate) fn add_late(&mut self, reference: (ProviderId, CallRef), entry: TraceEntry) {
        let Some(ended) = self.ended.iter_mut().rfind(|ended| ended.reference == reference) else { return };
        self.bytes -= ended.trace.bytes;
        ended.trace.add(entry);
        self.bytes += ended.trace.bytes;
        self.bound();
    }

    fn bound(&mut self) {
        while self.ended.len() > CALLS || self.bytes > BYTES {
            let Some(oldest) = self.ended.pop_front() else { break };
            self.bytes -= oldest.trace.bytes;
        }
    }

    /// A message of a line's own.
    pub(crate) fn add(&mut self, line: LineId, entry: TraceEntry) {
        let of_line = self.lines.entry(line).or_default();
        let trace = if is_probe(&entry) { &mut of_line.probes } else { &mut of_line.others };
        trace.add(entry);
    }

    /// A line is gone.
    pub(crate) fn forget(&mut self, line: LineId) {
        self.lines.remove(&line);
    }

    fn call(&self, call: CallId) -> Option<&Ended> {
        self.ended.iter().rfind(|ended| ended.call == call)
    }
}

/// Whether a message only asks whether somebody is there, or answers that.
fn is_probe(entry: &TraceEntry) -> bool {
    let asks = |text: &str| {
        let lines = text.lines().take_while(|line| !line.is_empty());
        lines.into_iter().any(|line| line.starts_with("CSeq:") && line.ends_with(" OPTIONS"))
    };
    entry.summary.starts_with("OPTIONS ") || entry.text.as_deref().is_some_and(asks)
}

/// Entries as they are shown.
pub(crate) fn shown<'a>(entries: impl Iterator<Item = &'a TraceEntry>, full: bool) -> Vec<TraceEntry> {
    let shown = |entry: &TraceEntry| TraceEntry { text: entry.text.clone().filter(|_| full), ..entry.clone() };
    entries.map(shown).collect()
}

impl Server {
    /// The trace of a call that is forgotten, for those who may watch its line.
    pub(crate) fn past_trace(&self, session: SessionId, call: CallId, full: bool) -> Option<Reply> {
        let ended = self.past.call(call)?;
        if !self.permits(session, ended.line, &Right::Monitor) {
            return None;
        }
        let Trace { entries, forgotten, .. } = &ended.trace;
        Some(Reply::Trace(reply::Trace { entries: shown(entries.iter(), full), forgotten: *forgotten }))
    }

    /// What crossed the wire for a line itself, and which of its calls that are over are remembered.
    pub(crate) fn line_trace(&self, session: SessionId, trace: &LineTrace) -> Result<Reply, Error> {
        let line = self.seen_line(session, &trace.line)?;
        self.allow(session, line, &Right::Monitor)?;
        let of_line = self.past.lines.get(&line);
        let both = of_line.map(|of_line| [&of_line.others, &of_line.probes]);
        let mut entries = shown(both.iter().flatten().flat_map(|trace| &trace.entries), trace.full);
        entries.sort_by_key(|entry| entry.time);
        let ended = self.past.ended.iter().filter(|ended| ended.line == line).map(|ended| ended.call).collect();
        let forgotten = of_line.map_or(0, |of_line| of_line.others.forgotten);
        Ok(Reply::LineTrace(reply::LineTrace { entries, forgotten, ended }))
    }
}
