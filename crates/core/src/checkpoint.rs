//! What must outlive a crash, entry by entry: written when it changed, read back by the next process.
//!
//! A planned restart hands the whole [`Server`] over. A crash hands over nothing, so the shell keeps a journal: after each
//! input and before any output of it is acted on, it asks for what changed and writes it down. Nobody has then seen
//! anything that a recovered server does not know. What only matters to the process itself (requests under way,
//! connections, traces) is not kept; what can be concluded from the rest (ports, streams, counts, timers) neither.

use crate::call::{Call, Presence, Trace};
use crate::conference::Mixing;
use crate::line::{Counts, Line, Open};
use crate::media::{Operation, Ports};
use crate::policy::Standing;
use crate::rights::Grant;
use crate::server::Timer;
use crate::session::{Kept, Session};
use crate::{Config, Peer, ProviderId, Server};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use tapi::{
    CallId, Cause, DisconnectMode, End, ForwardRule, Generation, LineFeature, LineId, MediaMode, Names, OperationId,
    SessionId, Time,
};
use tspi::media::Command as Media;
use tspi::{CallRef, LineDescription, LineRef, ReleasedBy, Report};

/// What kind of entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum EntryKind {
    /// The server's own numbers: one entry.
    Head = 0,
    /// An application.
    Session = 1,
    /// A line.
    Line = 2,
    /// A call.
    Call = 3,
    /// A playback, a recording, a tone, a run of digits.
    Operation = 4,
    /// An event that can be sent again.
    Event = 5,
}

impl EntryKind {
    /// The kind of this number.
    pub fn from_number(number: u8) -> Option<EntryKind> {
        let all = [Self::Head, Self::Session, Self::Line, Self::Call, Self::Operation, Self::Event];
        all.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// The name of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryKey {
    /// Its kind.
    pub kind: EntryKind,
    /// Its number among its kind.
    pub number: u64,
}

/// The server's own numbers.
#[derive(Serialize, Deserialize)]
struct Head {
    generation: Generation,
    next_id: u64,
    seq: u64,
    opens: u64,
    /// What was set while the server runs.
    #[serde(default)]
    standing: BTreeMap<String, Standing>,
    #[serde(default)]
    priorities: BTreeMap<MediaMode, Vec<String>>,
}

/// An application without its calls and operations, which know whose they are.
#[derive(Serialize)]
struct SessionEntry<'a> {
    peer: &'a Peer,
    granted: &'a [Grant],
    app: &'a str,
    token: &'a str,
    linger_ms: u64,
    last_seq: u64,
    lines: &'a BTreeSet<LineId>,
}

impl<'a> From<&'a Session> for SessionEntry<'a> {
    fn from(session: &'a Session) -> SessionEntry<'a> {
        let Session { peer, granted, app, token, linger_ms, last_seq, lines, .. } = session;
        SessionEntry { peer, granted, app, token, linger_ms: *linger_ms, last_seq: *last_seq, lines }
    }
}

/// A line without its calls.
#[derive(Serialize, Deserialize)]
struct LineEntry {
    provider: String,
    reference: LineRef,
    description: LineDescription,
    signal: Option<u8>,
    operator: Option<String>,
    message_waiting: Option<bool>,
    #[serde(default)]
    forwarding: Vec<ForwardRule>,
    /// What its provider said can be done with it.
    #[serde(default)]
    able: Option<Names<LineFeature>>,
    opens: BTreeMap<SessionId, Open>,
}

/// What was written last, so that only news are written.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// The head's last event, next id and count of opens.
    head: Option<(u64, u64, u64)>,
    /// The last event.
    seq: u64,
    /// The first event that is written and not taken back.
    oldest: u64,
    /// Lines, as they were written.
    lines: BTreeMap<LineId, Vec<u8>>,
}

/// Why entries give no server.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// There is no head: the journal was never begun.
    #[error("there is no head entry")]
    NoHead,
    /// An entry cannot be read.
    #[error("entry {kind:?} {number} cannot be read: {source}")]
    Entry {
        /// Its kind.
        kind: EntryKind,
        /// Its number.
        number: u64,
        /// Why.
        source: serde_json::Error,
    },
}

impl Server {
    /// Gives `keep` every entry that changed since the last time, with its value or without one when it is gone.
    pub fn checkpoint(&mut self, mut keep: impl FnMut(EntryKey, Option<&[u8]>)) {
        let mut buffer = Vec::with_capacity(2_048);
        let mut write = |kind, number, value: Option<&dyn erased::Json>| {
            buffer.clear();
            let written = value.is_some_and(|value| value.write(&mut buffer));
            keep(EntryKey { kind, number }, written.then_some(&buffer));
        };
        for id in self.sessions.touched() {
            let session = self.sessions.get(&id).map(SessionEntry::from);
            write(EntryKind::Session, id.0, session.as_ref().map(|session| session as _));
        }
        for id in self.calls.touched() {
            let trace = self.calls.untouched(&id).map(|call| std::mem::take(&mut call.trace));
            let told = self.calls.get(&id).filter(|call| call.presence == Presence::Told);
            write(EntryKind::Call, id.0, told.map(|call| call as _));
            if let (Some(call), Some(trace)) = (self.calls.untouched(&id), trace) {
                call.trace = trace;
            }
        }
        for id in self.operations.touched() {
            write(EntryKind::Operation, id.0, self.operations.get(&id).map(|operation| operation as _));
        }
        self.checkpoint_lines(&mut keep);
        self.checkpoint_events(&mut keep);
    }

    /// Lines are touched by each of their calls: only those whose entry differs are news.
    fn checkpoint_lines(&mut self, keep: &mut impl FnMut(EntryKey, Option<&[u8]>)) {
        for id in self.lines.by_id.touched() {
            let key = EntryKey { kind: EntryKind::Line, number: id.0 };
            let Some(line) = self.lines.by_id.untouched(&id) else {
                self.written.lines.remove(&id);
                keep(key, None);
                continue;
            };
            let provider = self.providers.get(&line.provider).map(|provider| provider.name.clone()).unwrap_or_default();
            let entry = LineEntry {
                provider,
                reference: line.reference,
                description: line.description.clone(),
                signal: line.signal,
                operator: line.operator.clone(),
                message_waiting: line.message_waiting,
                forwarding: line.forwarding.clone(),
                able: line.able.clone(),
                opens: std::mem::take(&mut line.opens),
            };
            let bytes = serde_json::to_vec(&entry).unwrap_or_default();
            line.opens = entry.opens;
            if self.written.lines.get(&id) != Some(&bytes) {
                keep(key, Some(&bytes));
                self.written.lines.insert(id, bytes);
            }
        }
    }

    fn checkpoint_events(&mut self, keep: &mut impl FnMut(EntryKey, Option<&[u8]>)) {
        // Those that made room for newer ones, as far as they were written.
        let gone = self.written.oldest.max(1)..self.oldest_kept().min(self.written.seq + 1);
        gone.for_each(|number| keep(EntryKey { kind: EntryKind::Event, number }, None));
        self.written.oldest = self.oldest_kept();
        let start = self.kept.partition_point(|kept| kept.event.seq <= self.written.seq);
        for kept in self.kept.range(start..) {
            if let Ok(bytes) = serde_json::to_vec(kept) {
                keep(EntryKey { kind: EntryKind::Event, number: kept.event.seq }, Some(&bytes));
            }
        }
        self.written.seq = self.seq;
        let (next_id, seq, opens) = (self.next_id, self.seq, self.lines.opens);
        if self.written.head.replace((seq, next_id, opens)) != Some((seq, next_id, opens)) {
            let (standing, priorities) = (self.standing.clone(), self.priorities.clone());
            let head = Head { generation: self.config.generation, next_id, seq, opens, standing, priorities };
            if let Ok(bytes) = serde_json::to_vec(&head) {
                keep(EntryKey { kind: EntryKind::Head, number: 0 }, Some(&bytes));
            }
        }
    }

    /// Everything counts as changed: the next checkpoint is a whole one.
    pub fn begin_checkpoints(&mut self) {
        self.sessions.touch_all();
        self.calls.touch_all();
        self.operations.touch_all();
        self.lines.by_id.touch_all();
        self.written = Written { oldest: self.oldest_kept(), ..Written::default() };
    }

    /// Nobody writes any more.
    pub fn end_checkpoints(&mut self) {
        self.sessions.forget_touched();
        self.calls.forget_touched();
        self.operations.forget_touched();
        self.lines.by_id.forget_touched();
    }

    /// The server that such entries were written by; its sessions wait to be taken up. `providers` are those of this process by name; what belongs to one
    /// that is no more is left out. [`crate::Input::Recovered`] comes next, once the providers were started.
    ///
    /// # Errors
    /// An entry cannot be read, or there is no head.
    pub fn recover(
        now: Time,
        config: Config,
        providers: &[(ProviderId, String)],
        entries: impl IntoIterator<Item = (EntryKey, Vec<u8>)>,
    ) -> Result<Server, RecoverError> {
        let mut server = Server::new(config);
        let (mut head, mut lines, mut calls) = (None, Vec::new(), Vec::new());
        for (EntryKey { kind, number }, bytes) in entries {
            let failed = |source| RecoverError::Entry { kind, number, source };
            match kind {
                EntryKind::Head => head = Some(serde_json::from_slice::<Head>(&bytes).map_err(failed)?),
                EntryKind::Session => {
                    let session: Session = serde_json::from_slice(&bytes).map_err(failed)?;
                    server.recover_session(SessionId(number), session);
                }
                EntryKind::Line => {
                    lines.push((LineId(number), serde_json::from_slice::<LineEntry>(&bytes).map_err(failed)?));
                }
                EntryKind::Call => {
                    calls.push((CallId(number), serde_json::from_slice::<Call>(&bytes).map_err(failed)?))
                }
                EntryKind::Operation => {
                    let operation: Operation = serde_json::from_slice(&bytes).map_err(failed)?;
                    server.operations.insert(OperationId(number), operation);
                }
                EntryKind::Event => {
                    server.kept.push_back(serde_json::from_slice::<Kept>(&bytes).map_err(failed)?);
                }
            }
        }
        let head = head.ok_or(RecoverError::NoHead)?;
        server.config.generation = head.generation;
        (server.next_id, server.seq, server.lines.opens) = (head.next_id.max(server.next_id), head.seq, head.opens);
        (server.standing, server.priorities) = (head.standing, head.priorities);
        server.kept.make_contiguous().sort_by_key(|kept| kept.event.seq);
        server.recover_lines(providers, lines);
        server.recover_calls(calls);
        server.recover_references();
        server.restored(now);
        server.begin_checkpoints();
        Ok(server)
    }

    fn recover_session(&mut self, id: SessionId, mut session: Session) {
        session.client = None;
        session.lingers_until = None;
        self.tokens.insert(session.token.clone(), id);
        self.sessions.insert(id, session);
    }

    fn recover_lines(&mut self, providers: &[(ProviderId, String)], lines: Vec<(LineId, LineEntry)>) {
        for (id, name) in providers {
            self.provider_started(*id, name.clone());
        }
        for (id, entry) in lines {
            let Some((provider, _)) = providers.iter().find(|(_, name)| *name == entry.provider) else { continue };
            let Some(known) = self.providers.get_mut(provider) else { continue };
            known.lines.insert(entry.reference, id);
            self.lines.by_name.entry(entry.description.name.clone()).or_insert(id);
            let line = Line {
                id,
                provider: *provider,
                reference: entry.reference,
                description: entry.description,
                signal: entry.signal,
                operator: entry.operator,
                message_waiting: entry.message_waiting,
                forwarding: entry.forwarding,
                able: entry.able,
                opens: entry.opens,
                calls: BTreeSet::new(),
                counts: Counts::default(),
            };
            self.lines.by_id.insert(id, line);
        }
    }

    fn recover_calls(&mut self, calls: Vec<(CallId, Call)>) {
        let mut used = BTreeSet::new();
        for (id, mut call) in calls {
            let Some(line) = self.lines.by_id.get_mut(&call.info.line) else { continue };
            let Some(provider) = self.providers.get_mut(&line.provider) else { continue };
            if call.control.conference.is_none() {
                call.provider = line.provider;
                if let Some(count) = line.counts.of(&call.state) {
                    *count += 1;
                }
                provider.calls.insert(call.reference, id);
            }
            call.answering = None;
            call.trace = Trace::default();
            line.calls.insert(id);
            if let Some(stream) = &call.stream {
                self.streams.insert(stream.id, id);
                used.extend(stream.port());
            }
            if let Some(until) = call.idle_until {
                self.timers.insert((until, Timer::Idle(id)));
            }
            self.calls.insert(id, call);
        }
        let mut ports: BTreeSet<u16> = self.config.rtp_ports.iter().copied().collect();
        let total = ports.len();
        ports.retain(|port| !used.contains(port));
        self.ports = Ports { total, free: ports.into_iter().collect(), paired: self.ports.paired.clone() };
    }

    /// What leads to something that was not recovered leads nowhere.
    fn recover_references(&mut self) {
        let (calls, lines, operations) = (&self.calls, &self.lines.by_id, &self.operations);
        let handles = calls.iter().flat_map(|(id, call)| call.handles.keys().map(|session| (*session, *id)));
        for (session, call) in handles {
            self.sessions.get_mut(&session).map(|session| session.calls.insert(call));
        }
        for (id, operation) in operations {
            self.sessions.get_mut(&operation.session).map(|session| session.operations.insert(*id));
        }
        for id in self.sessions.keys().copied().collect::<Vec<SessionId>>() {
            let Some(session) = self.sessions.get_mut(&id) else { continue };
            session.lines.retain(|line| lines.get(line).is_some_and(|line| line.opens.contains_key(&id)));
        }
        let sessions = &self.sessions;
        for id in self.lines.by_id.keys().copied().collect::<Vec<LineId>>() {
            let Some(line) = self.lines.by_id.get_mut(&id) else { continue };
            line.opens.retain(|session, _| sessions.contains_key(session));
        }
        let present: BTreeSet<CallId> = self.calls.keys().copied().collect();
        let timers = &mut self.timers;
        for id in &present {
            let Some(call) = self.calls.get_mut(id) else { continue };
            call.handles.retain(|session, _| sessions.contains_key(session));
            call.operations.retain(|operation| operations.contains_key(operation));
            call.info.bridged = call.info.bridged.filter(|other| present.contains(other));
            call.recover_control(&present);
            timers.extend(call.timers(*id));
            call.recount();
        }
        let lost: Vec<OperationId> = self
            .operations
            .iter()
            .filter(|(_, operation)| !present.contains(&operation.call) || !sessions.contains_key(&operation.session))
            .map(|(id, _)| *id)
            .collect();
        for id in lost {
            let Some(operation) = self.operations.remove(&id) else { continue };
            self.sessions.get_mut(&operation.session).map(|session| session.operations.remove(&id));
            self.calls.get_mut(&operation.call).map(|call| call.operations.remove(&id));
        }
    }

    /// The providers of the new process still have these calls. Everything else is over; what goes on is told to the
    /// media provider, which knows nothing yet.
    pub(crate) fn recovered(&mut self, now: Time, calls: &[(ProviderId, CallRef)]) {
        for operation in self.operations.keys().copied().collect::<Vec<OperationId>>() {
            self.operation_ended(now, operation, End::Restarted, 0);
        }
        self.reopen_streams();
        let gone: Vec<CallId> = self
            .calls
            .iter()
            .filter(|(_, call)| call.provider != ProviderId::SERVER && !call.state.is_over())
            .filter(|(_, call)| !calls.contains(&(call.provider, call.reference)))
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            let cause = Cause::new(DisconnectMode::TempFailure).with_text("the server ended unexpectedly");
            self.report(now, id, Report::Released { by: ReleasedBy::Remote, cause });
        }
    }

    /// Tells the media provider of every stream, its far end and what it is joined with.
    fn reopen_streams(&mut self) {
        let mut commands = Vec::new();
        for (id, call) in &self.calls {
            let Some(stream) = &call.stream else { continue };
            commands.push((call.provider, Media::Open { local: stream.local.clone() }));
            if let Some(remote) = &stream.remote {
                commands.push((call.provider, Media::Connect { stream: stream.id, remote: remote.clone() }));
            }
            let hz = call.monitored_tones();
            if !hz.is_empty() {
                commands.push((call.provider, Media::MonitorTones { stream: stream.id, hz }));
            }
            let conference = call.info.conference.or(Some(*id)).and_then(|id| self.calls.get(&id));
            let mixing = conference.and_then(|call| call.control.conference.as_ref()).map(|own| own.mixing);
            if let Some(Mixing::Here(mixer)) = mixing {
                commands.push((call.provider, Media::Mix { stream: stream.id, mixer }));
            }
            // Each pair once, when the second of the two is open.
            let other = call.info.bridged.filter(|other| other <= id).and_then(|other| self.calls.get(&other));
            if let Some(other) = other.and_then(|other| other.stream.as_ref()) {
                commands.push((call.provider, Media::Join { a: other.id, b: stream.id }));
            }
        }
        for (provider, command) in commands {
            self.media(provider, command);
        }
    }

    /// The calls of a provider that are answered: those that it must still have after a crash, or end.
    pub fn established(&self, provider: ProviderId) -> BTreeSet<CallRef> {
        let established = |call: &&Call| !call.state.is_over() && call.info.answered_by.is_some();
        let of = self.calls.values().filter(|call| call.provider == provider).filter(established);
        of.map(|call| call.reference).collect()
    }
}

/// Entries of different types behind one writer.
mod erased {
    use serde::Serialize;

    pub(super) trait Json {
        fn write(&self, into: &mut Vec<u8>) -> bool;
    }

    impl<T: Serialize> Json for T {
        fn write(&self, into: &mut Vec<u8>) -> bool {
            serde_json::to_writer(into, self).is_ok()
        }
    }
}
