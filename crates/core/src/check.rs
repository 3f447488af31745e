//! What must hold after every input, for tests and the simulator.

use crate::call::Call;
use crate::{ProviderId, Server};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use tapi::{CallId, CallState, Privilege};

/// How much of everything there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Connections.
    pub clients: usize,
    /// Sessions, lingering ones included.
    pub sessions: usize,
    /// Running providers.
    pub providers: usize,
    /// Lines.
    pub lines: usize,
    /// Calls, idle ones included that somebody has a handle on.
    pub calls: usize,
    /// Calls that are neither disconnected nor idle.
    pub live_calls: usize,
    /// Requests and own commands that wait for a provider.
    pub pending: usize,
    /// Streams.
    pub streams: usize,
    /// RTP ports in use.
    pub ports_in_use: usize,
    /// Playbacks, recordings, tones and runs of digits that have not ended.
    pub operations: usize,
    /// Deadlines.
    pub timers: usize,
    /// Events kept for replay.
    pub kept_events: usize,
    /// Events of providers that fitted nothing, since the start.
    pub unexpected: u64,
}

impl Server {
    /// How much of everything there is.
    pub fn summary(&self) -> Summary {
        Summary {
            clients: self.clients.len(),
            sessions: self.sessions.len(),
            providers: self.providers.len(),
            lines: self.lines.by_id.len(),
            calls: self.calls.len(),
            live_calls: self.calls.values().filter(|call| !call.state.is_over()).count(),
            pending: self.pending.len(),
            streams: self.streams.len(),
            ports_in_use: self.ports.total - self.ports.free.len().min(self.ports.total),
            operations: self.operations.len(),
            timers: self.timers.len(),
            kept_events: self.kept.len(),
            unexpected: self.unexpected,
        }
    }

    /// Whether nothing is left of any call: no call, stream, port, operation or command.
    pub fn is_empty_of_calls(&self) -> bool {
        let Summary { calls, pending, streams, ports_in_use, operations, .. } = self.summary();
        calls == 0 && pending == 0 && streams == 0 && ports_in_use == 0 && operations == 0
    }

    /// Checks what must hold between inputs.
    ///
    /// # Errors
    /// The first thing that does not hold, in words.
    pub fn check(&self) -> Result<(), String> {
        for (id, call) in &self.calls {
            self.check_call(*id, call).map_err(|what| format!("call {id}: {what}"))?;
        }
        self.check_sessions()?;
        self.check_lines()?;
        self.check_media()?;
        self.check_pending()
    }

    fn check_call(&self, id: CallId, call: &Call) -> Result<(), String> {
        hold(call.info.call == id, "has another id")?;
        let line = self.lines.by_id.get(&call.info.line).ok_or("its line is gone")?;
        hold(line.calls.contains(&id), "its line does not know it")?;
        if call.provider != ProviderId::SERVER {
            let provider = self.providers.get(&call.provider).ok_or("its provider is gone")?;
            hold(provider.calls.get(&call.reference) == Some(&id), "its provider's name leads elsewhere")?;
        }
        self.check_control(id, call)?;
        for session in call.handles.keys() {
            let session = self.sessions.get(session).ok_or("a handle of a session that is gone")?;
            hold(session.calls.contains(&id), "a session does not know its handle")?;
        }
        let owners = call.with_privilege(&Privilege::Owner).count();
        hold(owners as u64 == u64::from(call.info.owners), "its owners are miscounted")?;
        hold(owners + call.with_privilege(&Privilege::Monitor).count() == call.handles.len(), "a handle is neither")?;
        hold(!(call.state.is_over() && call.stream.is_some()), "is over and has a stream")?;
        hold(!(call.state.is_over() && call.info.bridged.is_some()), "is over and bridged")?;
        hold(call.state != CallState::Idle || !call.handles.is_empty(), "is idle without handles")?;
        hold((call.state == CallState::Idle) == call.idle_until.is_some(), "its grace does not fit its state")?;
        let ownerless = matches!(call.state, CallState::Disconnected(_)) && owners == 0;
        hold(!ownerless, "is disconnected without an owner")?;
        if let Some(other) = call.info.bridged {
            let back = self.calls.get(&other).and_then(|other| other.info.bridged);
            hold(back == Some(id), "its bridge is one-sided")?;
            hold(call.stream.is_some(), "is bridged without a stream")?;
        }
        for operation in &call.operations {
            let known = self.operations.get(operation).ok_or("an operation that is not known")?;
            hold(known.call == id, "an operation of another call")?;
        }
        Ok(())
    }

    /// What calls have with one another leads both ways, and to calls that go on.
    fn check_control(&self, id: CallId, call: &Call) -> Result<(), String> {
        let control = &call.control;
        hold(control.conference.is_some() == (call.provider == ProviderId::SERVER), "is half a conference")?;
        if let Some((with, _)) = control.joining {
            let back = self.calls.get(&with).and_then(|with| with.control.awaits);
            hold(back == Some(id), "is to be joined with a call that does not know it")?;
            hold(!call.state.is_over(), "is over and to be joined")?;
        }
        if let Some(other) = control.tied {
            let back = self.calls.get(&other).and_then(|other| other.control.tied);
            hold(back == Some(id), "is tied to a call that does not know it")?;
            hold(!call.state.is_over(), "is over and tied")?;
        }
        if let Some(conference) = call.info.conference {
            let parent = self.calls.get(&conference).and_then(|parent| parent.control.conference.as_ref());
            hold(parent.is_some_and(|parent| parent.members.contains(&id)), "is no member of its conference")?;
            hold(!call.state.is_over() && call.info.bridged.is_none(), "is a member, and over or bridged")?;
        }
        for member in control.conference.iter().flat_map(|conference| &conference.members) {
            let of = self.calls.get(member).and_then(|member| member.info.conference);
            hold(of == Some(id), "has a member that does not know it")?;
        }
        let members = control.conference.as_ref().map_or(0, |conference| conference.members.len());
        hold(members == 0 || !call.state.is_over(), "is a conference that is over and has members")?;
        if let Some((_, until)) = control.asked {
            hold(self.timers.contains(&(until, crate::server::Timer::Asked(id))), "waits for ever for a transfer")?;
        }
        if let Some(setup) = control.setup {
            hold(self.pending.contains_key(&setup), "is set up for nothing")?;
        }
        Ok(())
    }

    fn check_sessions(&self) -> Result<(), String> {
        for (id, session) in &self.sessions {
            let name = |what: &str| format!("session {id}: {what}");
            hold(self.tokens.get(&session.token) == Some(id), &name("its token leads elsewhere"))?;
            hold(session.last_seq <= self.seq, &name("was told an event that is still to come"))?;
            match session.client {
                Some(client) => {
                    let client = self.clients.get(&client);
                    hold(client.is_some_and(|client| client.session == Some(*id)), &name("is not its client's"))?;
                    hold(session.lingers_until.is_none(), &name("lingers with a client"))?;
                }
                None => hold(session.lingers_until.is_some(), &name("lives for ever without a client"))?,
            }
            let handles = |call: &CallId| self.calls.get(call).is_some_and(|call| call.handles.contains_key(id));
            hold(session.calls.iter().all(handles), &name("a handle on a call that is gone"))?;
            let open = |line| self.lines.by_id.get(line).is_some_and(|line| line.opens.contains_key(id));
            hold(session.lines.iter().all(open), &name("a line that is not open"))?;
            hold(session.commands.iter().all(|id| self.pending.contains_key(id)), &name("waits for nothing"))?;
            let known = |operation| self.operations.contains_key(operation);
            hold(session.operations.iter().all(known), &name("an operation that is not known"))?;
        }
        hold(self.tokens.len() == self.sessions.len(), "a token without a session")
    }

    fn check_lines(&self) -> Result<(), String> {
        for (id, line) in &self.lines.by_id {
            let name = |what: &str| format!("line {id}: {what}");
            let provider = self.providers.get(&line.provider).ok_or_else(|| name("its provider is gone"))?;
            hold(provider.lines.get(&line.reference) == Some(id), &name("its provider's name leads elsewhere"))?;
            hold(line.calls.iter().all(|call| self.calls.contains_key(call)), &name("a call that is gone"))?;
            let opens = |session| self.sessions.get(session).is_some_and(|session| session.lines.contains(id));
            hold(line.opens.keys().all(opens), &name("is open to a session that does not know it"))?;
            let mut counts = crate::line::Counts { making: line.counts.making, ..Default::default() };
            let of_provider = |call: &&Call| call.provider != ProviderId::SERVER;
            for call in line.calls.iter().filter_map(|call| self.calls.get(call)).filter(of_provider) {
                if let Some(count) = counts.of(&call.state) {
                    *count += 1;
                }
            }
            hold(counts == line.counts, &name("its calls are miscounted"))?;
            let making = self.drafts().filter(|draft| draft.info.line == *id).count();
            hold(making as u64 == u64::from(line.counts.making), &name("calls being made are miscounted"))?;
        }
        Ok(())
    }

    fn check_media(&self) -> Result<(), String> {
        let of_calls = self.calls.values().filter_map(|call| Some((call.info.call, call.stream.as_ref()?)));
        let of_drafts = self.drafts().filter_map(|draft| Some((draft.info.call, draft.stream.as_ref()?)));
        let mut streams = BTreeMap::new();
        let mut ports: Vec<u16> = self.ports.free.iter().copied().collect();
        for (call, stream) in of_calls.chain(of_drafts) {
            streams.insert(stream.id, call);
            ports.extend(stream.port());
        }
        hold(streams == self.streams, "streams and calls do not fit")?;
        let distinct: BTreeSet<u16> = ports.iter().copied().collect();
        hold(distinct.len() == ports.len(), "a port is used twice")?;
        hold(ports.len() == self.ports.total, "a port is lost")?;
        for (id, operation) in &self.operations {
            let session = self.sessions.get(&operation.session);
            let known = session.is_some_and(|session| session.operations.contains(id));
            let ours = operation.session == crate::policy::NOBODY && self.calls.contains_key(&operation.call);
            hold(known || ours, &format!("operation {id}: its session is gone"))?;
        }
        let gathered = |id: &tapi::OperationId| self.operations.contains_key(id);
        hold(self.gathers.keys().all(gathered), "digits are gathered for nobody")?;
        let ended = |(id, call): (&tspi::StreamId, &CallId)| {
            self.calls.get(call).is_some_and(|call| call.ledger.stream == Some(*id))
        };
        hold(self.ended_streams.iter().all(ended), "a stream that is over belongs to no call")?;
        Ok(())
    }

    fn check_pending(&self) -> Result<(), String> {
        for (id, pending) in &self.pending {
            let name = |what: &str| format!("command {}: {what}", id.0);
            hold(self.providers.contains_key(&pending.provider), &name("its provider is gone"))?;
            hold(self.timers.contains(&(pending.deadline, crate::server::Timer::Command(*id))), &name("no deadline"))?;
            if let Some(asker) = pending.asker {
                let session = self.sessions.get(&asker.session).ok_or_else(|| name("its session is gone"))?;
                hold(session.commands.contains(id), &name("its session does not know it"))?;
            }
        }
        hold(self.kept.len() <= self.config.replay_events, "too many events are kept")
    }

    fn drafts(&self) -> impl Iterator<Item = &crate::call::Draft> {
        self.pending.values().filter_map(|pending| match &pending.what {
            crate::pending::What::Make(draft) => Some(&**draft),
            _ => None,
        })
    }
}

fn hold(what: bool, otherwise: &str) -> Result<(), String> {
    if what { Ok(()) } else { Err(otherwise.to_owned()) }
}
