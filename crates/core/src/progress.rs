//! What becomes of a call: how it is presented, enters a state, ends, and loses its handles.

use crate::after::after;
use crate::call::{Call, Draft, Handle, Presence};
use crate::media::Kind;
use crate::pending::{Asker, What};
use crate::server::{Life, Timer};
use crate::{ProviderId, Server};
use std::time::Duration;
use tapi::{
    CallId, CallState, DisconnectMode, End, Error, ErrorCode, EventBody, InfoKind, LineId, LineStateKind, Names,
    OperationId, Privilege, Reply, SessionId, Time, reply,
};
use tspi::{Action, CallRef, Report};

impl Server {
    /// A fact about a call.
    pub(crate) fn report(&mut self, now: Time, id: CallId, report: Report) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(next) = after(&call.state, &report) else { return };
        match report {
            Report::Answered(evidence) => call.info.answered_by = Some(evidence),
            // The far end's reason outlives the release that we add to it.
            Report::Released { cause, .. } if !call.state.is_over() => call.info.cause = Some(cause),
            _ => {}
        }
        self.enter(now, id, next);
    }

    /// A call enters a state, with all that follows.
    pub(crate) fn enter(&mut self, now: Time, id: CallId, state: CallState) {
        self.change_state(now, id, state);
        self.settle(now, id);
    }

    /// A call enters a state: its media end with it, its sessions are told.
    pub(crate) fn change_state(&mut self, now: Time, id: CallId, state: CallState) {
        let unchanged = |call: &Call| call.state == state || call.state == CallState::Idle;
        if self.calls.get(&id).is_none_or(unchanged) {
            return;
        }
        if state.is_over() {
            self.close_media(now, id);
            self.end_provider_digits(now, id);
        }
        let wall = self.wall(now);
        let Some(call) = self.calls.get_mut(&id) else { return };
        let before = std::mem::replace(&mut call.state, state.clone());
        (call.entered, call.entered_wall) = (now, wall);
        let (line, presence) = (call.info.line, call.presence);
        let counts = self.lines.by_id.get(&line).map(|line| line.counts);
        self.count_call(line, Some(&before), Some(&state));
        if presence == Presence::Found && !state.is_over() {
            self.present(now, id);
        }
        self.emit_state(now, id, |_| true);
        if self.lines.by_id.get(&line).map(|line| line.counts) != counts {
            self.emit_line_state(now, line, LineStateKind::NumCalls, None);
        }
    }

    /// Digits that a provider was sending do not go on after the call.
    fn end_provider_digits(&mut self, now: Time, id: CallId) {
        let Some(call) = self.calls.get(&id) else { return };
        let runs: Vec<OperationId> = call
            .operations
            .iter()
            .filter(|id| self.operations.get(id).is_some_and(|operation| operation.kind == Kind::ProviderDigits))
            .copied()
            .collect();
        for run in runs {
            self.operation_ended(now, run, End::CallEnded, 0);
        }
    }

    /// What is left to do in the state as it is: a disconnected call that nobody owns is idle; an idle one that nobody
    /// has a handle on is forgotten, another after its grace.
    pub(crate) fn settle(&mut self, now: Time, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        match call.state {
            CallState::Disconnected(_) if call.info.owners == 0 => {
                self.change_state(now, id, CallState::Idle);
                self.settle(now, id);
            }
            CallState::Idle if call.handles.is_empty() => self.close_call(id),
            CallState::Idle if call.idle_until.is_none() => {
                let until = now + Duration::from_millis(self.config.idle_grace_ms);
                call.idle_until = Some(until);
                self.timers.insert((until, Timer::Idle(id)));
            }
            _ => {}
        }
    }

    /// Nobody deallocated an idle call in time.
    pub(crate) fn idle_grace_over(&mut self, now: Time, id: CallId) {
        let Some(call) = self.calls.get(&id) else { return };
        let sessions: Vec<SessionId> = call.handles.keys().copied().collect();
        for session in sessions {
            self.remove_handle(now, session, id);
        }
        self.settle(now, id);
    }

    /// Nobody has a handle on an idle call: the provider may forget it too.
    fn close_call(&mut self, id: CallId) {
        let Some(call) = self.calls.get(&id) else { return };
        let (provider, reference) = (call.provider, call.reference);
        self.remove_call(id);
        self.notify(provider, Action::CloseCall { call: reference });
    }

    /// Takes a call out of every index.
    pub(crate) fn remove_call(&mut self, id: CallId) {
        let Some(call) = self.calls.remove(&id) else { return };
        if let Some(until) = call.idle_until {
            self.timers.remove(&(until, Timer::Idle(id)));
        }
        for session in call.handles.keys() {
            if let Some(session) = self.sessions.get_mut(session) {
                session.calls.remove(&id);
            }
        }
        if let Some(provider) = self.providers.get_mut(&call.provider) {
            provider.calls.remove(&call.reference);
        }
        self.count_call(call.info.line, Some(&call.state), None);
        if let Some(line) = self.lines.by_id.get_mut(&call.info.line) {
            line.calls.remove(&id);
        }
    }

    /// Asks the provider to end a call.
    pub(crate) fn drop_call(&mut self, now: Time, id: CallId, asker: Option<Asker>, reason: Option<DisconnectMode>) {
        let Some(call) = self.calls.get(&id) else { return };
        let (provider, line, call) = (call.provider, call.info.line, call.reference);
        self.command(now, asker, (provider, line), What::Drop(id), Action::Drop { call, reason });
    }

    /// Presents a call that its provider found: one owner, every monitor. A call that nobody wants is dropped.
    fn present(&mut self, now: Time, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.presence = Presence::Told;
        let Some(line) = self.lines.by_id.get(&call.info.line) else { return };
        let suits = |privileges: &Names<Privilege>, modes: &Names<_>| {
            privileges.contains(&Privilege::Owner) && !modes.is_disjoint(&call.info.media_mode)
        };
        let candidates = line.opens.iter().filter(|(_, open)| suits(&open.privileges, &open.media_modes));
        let owner = candidates.min_by_key(|(_, open)| open.order).map(|(session, _)| *session);
        let monitors: Vec<SessionId> = line
            .opens
            .iter()
            .filter(|(session, open)| open.privileges.contains(&Privilege::Monitor) && Some(**session) != owner)
            .map(|(session, _)| *session)
            .collect();
        let app = owner.and_then(|owner| self.sessions.get(&owner)).map(|session| session.app.clone());
        call.info.app = app;
        if self.life == Life::Stopping || (owner.is_none() && monitors.is_empty()) {
            return self.drop_call(now, id, None, None);
        }
        if let Some(owner) = owner {
            self.give_handle(owner, id, Privilege::Owner);
        }
        for monitor in &monitors {
            self.give_handle(*monitor, id, Privilege::Monitor);
        }
        self.emit_new(now, id, Privilege::Owner, owner);
        self.emit_new(now, id, Privilege::Monitor, monitors);
    }

    pub(crate) fn give_handle(&mut self, session: SessionId, id: CallId, privilege: Privilege) {
        let (Some(call), Some(own)) = (self.calls.get_mut(&id), self.sessions.get_mut(&session)) else { return };
        call.handles.insert(session, Handle::new(privilege));
        call.recount();
        own.calls.insert(id);
    }

    fn emit_new(&mut self, now: Time, id: CallId, privilege: Privilege, audience: impl IntoIterator<Item = SessionId>) {
        let mut audience = audience.into_iter().peekable();
        if let Some(call) = self.calls.get(&id).filter(|_| audience.peek().is_some()) {
            let view = Box::new(self.view_call(call, &privilege));
            self.emit(now, EventBody::CallNew { call: view }, audience);
        }
    }

    /// Tells a call's state to those of its sessions that `which` picks: to each with its own features, and with its
    /// privilege the first time.
    fn emit_state(&mut self, now: Time, id: CallId, which: impl Fn(SessionId) -> bool) {
        for privilege in [Privilege::Owner, Privilege::Monitor] {
            for told in [false, true] {
                let Some(call) = self.calls.get_mut(&id) else { return };
                let mut audience = Vec::new();
                for (session, handle) in &mut call.handles {
                    if handle.privilege == privilege && handle.told == told && which(*session) {
                        audience.push(*session);
                    }
                }
                if audience.is_empty() {
                    continue;
                }
                let Some(call) = self.calls.get(&id) else { return };
                let body = EventBody::CallState {
                    call: id,
                    line: call.info.line,
                    state: call.state.clone(),
                    features: self.features_of(call, &privilege),
                    privilege: (!told).then(|| privilege.clone()),
                    cause: call.info.cause.clone().filter(|_| call.state.is_over()),
                };
                self.emit(now, body, audience);
            }
        }
        let Some(call) = self.calls.get_mut(&id) else { return };
        for (_, handle) in call.handles.iter_mut().filter(|(session, _)| which(**session)) {
            handle.told = true;
        }
    }

    /// Tells that facts of a call changed, to all but the one who changed them. Of an idle call nothing is told.
    pub(crate) fn emit_info(&mut self, now: Time, id: CallId, changed: Names<InfoKind>, by: Option<SessionId>) {
        let Some(call) = self.calls.get(&id).filter(|call| call.state != CallState::Idle) else { return };
        let audience: Vec<SessionId> = call.handles.keys().copied().filter(|session| Some(*session) != by).collect();
        if !audience.is_empty() && !changed.is_empty() {
            let info = Box::new(call.info.clone());
            self.emit(now, EventBody::CallInfo { changed, info }, audience);
        }
    }

    /// A session's handle ends; the call is not touched. Gives the privilege it had.
    pub(crate) fn remove_handle(&mut self, now: Time, session: SessionId, id: CallId) -> Option<Privilege> {
        if let Some(own) = self.sessions.get_mut(&session) {
            own.calls.remove(&id);
        }
        let call = self.calls.get_mut(&id)?;
        let tones = call.monitored_tones();
        let handle = call.handles.remove(&session)?;
        call.recount();
        self.retune(id, &tones);
        let owned = handle.privilege == Privilege::Owner;
        let kind = if owned { InfoKind::OwnersDecreased } else { InfoKind::Monitors };
        self.emit_info(now, id, Names::from([kind]), Some(session));
        Some(handle.privilege)
    }

    /// A session goes, or closes the line: what it began on the call is stopped, and a call that it alone owned is
    /// dropped.
    pub(crate) fn abandon(&mut self, now: Time, session: SessionId, id: CallId) {
        for operation in self.stop_operations(id, |operation| operation.session == session) {
            self.forget_operation(operation);
        }
        let privilege = self.remove_handle(now, session, id);
        let Some(call) = self.calls.get(&id) else { return };
        if privilege == Some(Privilege::Owner) && call.info.owners == 0 && !call.state.is_over() {
            self.drop_call(now, id, None, None);
        }
        self.settle(now, id);
    }

    /// A provider took a call that was asked for. It exists now: the one who asked is answered before anybody is told.
    pub(crate) fn made(
        &mut self,
        now: Time,
        provider: ProviderId,
        asker: Option<Asker>,
        draft: Draft,
        reference: CallRef,
    ) {
        let (id, line) = (draft.info.call, draft.info.line);
        let known = self.providers.get(&provider).is_some_and(|provider| provider.calls.contains_key(&reference));
        if known {
            let error = ErrorCode::OperationFailed.because(format!("line {line}: the provider named an older call"));
            return self.not_made(provider, asker, draft, error);
        }
        self.count_making(line, -1);
        let mut call = Call::new(now, self.wall(now), draft.info, (provider, reference), Presence::Told);
        call.stream = draft.stream;
        self.insert_call(call);
        let delivered = asker.is_some_and(|asker| self.answer(asker, Ok(Reply::Made(reply::Made { call: id }))));
        match asker {
            Some(asker) => self.tell_made(now, id, asker.session, delivered),
            None => self.drop_call(now, id, None, None),
        }
        if asker.is_some() && self.life == Life::Stopping {
            self.drop_call(now, id, None, None);
        }
        self.emit_line_state(now, line, LineStateKind::NumCalls, None);
        self.take_early(now, provider, reference);
    }

    pub(crate) fn insert_call(&mut self, call: Call) {
        let (id, line) = (call.info.call, call.info.line);
        if let Some(provider) = self.providers.get_mut(&call.provider) {
            provider.calls.insert(call.reference, id);
        }
        if let Some(line) = self.lines.by_id.get_mut(&line) {
            line.calls.insert(id);
        }
        self.count_call(line, None, Some(&call.state));
        self.calls.insert(id, call);
    }

    /// Monitors learn of a call that somebody else made: it exists, its state is to come. So does the one who made it,
    /// when the connection on which it asked is gone.
    fn tell_made(&mut self, now: Time, id: CallId, maker: SessionId, delivered: bool) {
        self.give_handle(maker, id, Privilege::Owner);
        let Some(line) = self.calls.get(&id).and_then(|call| self.lines.by_id.get(&call.info.line)) else { return };
        let monitors: Vec<SessionId> = line
            .opens
            .iter()
            .filter(|(session, open)| open.privileges.contains(&Privilege::Monitor) && **session != maker)
            .map(|(session, _)| *session)
            .collect();
        for monitor in &monitors {
            self.give_handle(*monitor, id, Privilege::Monitor);
        }
        if !delivered {
            self.emit_new(now, id, Privilege::Owner, [maker]);
        }
        self.emit_new(now, id, Privilege::Monitor, monitors);
        self.emit_state(now, id, |session| session != maker || !delivered);
    }

    /// A call that was asked for was refused: it never existed.
    pub(crate) fn not_made(&mut self, provider: ProviderId, asker: Option<Asker>, draft: Draft, error: Error) {
        self.count_making(draft.info.line, -1);
        if let Some(stream) = &draft.stream {
            self.release_stream(provider, stream);
        }
        if let Some(asker) = asker {
            self.answer(asker, Err(error));
        }
        self.forget_early(provider);
    }

    pub(crate) fn count_making(&mut self, line: LineId, by: i32) {
        if let Some(line) = self.lines.by_id.get_mut(&line) {
            line.counts.making = line.counts.making.saturating_add_signed(by);
        }
    }
}
