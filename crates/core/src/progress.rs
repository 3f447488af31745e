//! What becomes of a call: how it is presented, enters a state, ends, and loses its handles.

use crate::after::after;
use crate::call::{Call, Consultation, Dials, Draft, Handle, Held, Presence, Purpose, Why};
use crate::media::Kind;
use crate::pending::{Asker, What};
use crate::server::{Life, Timer};
use crate::{ProviderId, Server};
use std::time::Duration;
use tapi::{
    CallId, CallState, Cause, DisconnectMode, End, Error, ErrorCode, EventBody, GatherEnd, InfoKind, LineId,
    LineStateKind, Names, OperationId, Privilege, Reply, SessionId, Time, TransferPhase, TransferWay, reply,
};
use tspi::{Action, CallRef, Report};

impl Server {
    /// A fact about a call.
    pub(crate) fn report(&mut self, now: Time, id: CallId, report: Report) {
        if self.noted(now, id, &report) {
            return;
        }
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(next) = after(&call.state, &report) else { return };
        let (held, left) = (report == Report::Held, report == Report::Unconferenced);
        match report {
            Report::Answered(evidence) => call.info.answered_by = Some(evidence),
            // The far end's reason outlives the release that we add to it.
            Report::Released { cause, .. } if !call.state.is_over() => call.info.cause = Some(cause),
            _ => {}
        }
        self.enter(now, id, next);
        if held {
            self.swap_goes_on(now, id);
        }
        if left {
            self.leave_conference(now, id);
        }
    }

    /// What a report says beside the state. Whether that is all there is to it.
    fn noted(&mut self, now: Time, id: CallId, report: &Report) -> bool {
        let Some(call) = self.calls.get_mut(&id) else { return true };
        match report {
            Report::Held => {
                call.control.held = Held::ByNetwork;
                self.setup_goes_on(now, id)
            }
            Report::Retrieved => {
                (call.control.held, call.control.restore) = (Held::No, None);
                false
            }
            Report::Unchanged { reason } => {
                (call.control.swap, call.control.enters) = (None, None);
                self.setup_fails(now, id, ErrorCode::OperationFailed.because(reason));
                self.swap_restores(now, id);
                false
            }
            Report::TransferProgress { text } => {
                self.transfer_progress(now, id, text.clone());
                true
            }
            Report::Transferred => {
                self.transfer_done(now, id);
                true
            }
            Report::TransferFailed { cause, unsupported } => {
                self.transfer_failed(now, id, cause.clone(), *unsupported);
                true
            }
            Report::Conferenced => {
                self.conferenced(now, id);
                false
            }
            _ => false,
        }
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
            self.setup_fails(now, id, ErrorCode::Disconnected.because(format!("call {id} is over")));
            self.close_media(now, id);
            self.end_provider_digits(now, id);
        }
        let wall = self.wall(now);
        let Some(call) = self.calls.get_mut(&id) else { return };
        let before = std::mem::replace(&mut call.state, state.clone());
        (call.entered, call.entered_wall) = (now, wall);
        let (line, presence) = (call.info.line, call.presence);
        let of_provider = call.provider != ProviderId::SERVER;
        let counts = self.lines.by_id.get(&line).map(|line| line.counts);
        if of_provider {
            self.count_call(line, Some(&before), Some(&state));
        }
        if presence == Presence::Found && !state.is_over() {
            self.present(now, id);
        }
        self.emit_state(now, id, |_| true);
        self.ledger_state(now, wall, id);
        if self.lines.by_id.get(&line).map(|line| line.counts) != counts {
            self.emit_line_state(now, line, LineStateKind::NumCalls, None);
        }
        self.follow(now, id);
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
        if let Some(gathering) = self.gathering(id) {
            self.gather_ended(now, gathering, GatherEnd::CallEnded);
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
        self.write_record(id);
        let Some(mut call) = self.calls.remove(&id) else { return };
        let reference = (call.provider, call.reference);
        self.past.keep(id, reference, call.info.line, std::mem::take(&mut call.trace));
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
        if call.provider != ProviderId::SERVER {
            self.count_call(call.info.line, Some(&call.state), None);
        }
        if let Some(line) = self.lines.by_id.get_mut(&call.info.line) {
            line.calls.remove(&id);
        }
    }

    /// Asks the provider to end a call.
    pub(crate) fn drop_call(&mut self, now: Time, id: CallId, asker: Option<Asker>, reason: Option<DisconnectMode>) {
        let Some(call) = self.calls.get(&id) else { return };
        if call.control.conference.is_some() {
            return self.drop_conference(now, id, asker);
        }
        let (provider, line, call) = (call.provider, call.info.line, call.reference);
        self.command(now, asker, (provider, line), What::Drop(id), Action::Drop { call, reason });
    }

    pub(crate) fn give_handle(&mut self, session: SessionId, id: CallId, privilege: Privilege) {
        let (Some(call), Some(own)) = (self.calls.get_mut(&id), self.sessions.get_mut(&session)) else { return };
        call.handles.insert(session, Box::new(Handle::new(privilege)));
        call.recount();
        own.calls.insert(id);
    }

    pub(crate) fn emit_new(
        &mut self,
        now: Time,
        id: CallId,
        privilege: Privilege,
        audience: impl IntoIterator<Item = SessionId>,
    ) {
        let mut audience = audience.into_iter().peekable();
        if let Some(call) = self.calls.get(&id).filter(|_| audience.peek().is_some()) {
            let view = Box::new(self.view_call(call, &privilege));
            self.emit(now, EventBody::CallNew { call: view }, audience);
        }
    }

    /// Tells a call's state to those of its sessions that `which` picks: to each with its own features, and with its
    /// privilege the first time.
    pub(crate) fn emit_state(&mut self, now: Time, id: CallId, which: impl Fn(SessionId) -> bool) {
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
        self.emit_info_but(now, id, &changed, by.as_slice());
    }

    /// The same, to all but these.
    pub(crate) fn emit_info_but(&mut self, now: Time, id: CallId, changed: &Names<InfoKind>, but: &[SessionId]) {
        let Some(call) = self.calls.get(&id).filter(|call| call.state != CallState::Idle) else { return };
        let audience: Vec<SessionId> = call.handles.keys().copied().filter(|session| !but.contains(session)).collect();
        let changed = changed.clone();
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
        self.detect(id);
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
        let goes_on = call.control.tied.is_some();
        if privilege == Some(Privilege::Owner) && call.info.owners == 0 && !call.state.is_over() && !goes_on {
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
            return self.not_made(now, provider, asker, draft, error);
        }
        self.count_making(line, -1);
        let mut call = Call::new(now, self.wall(now), draft.info, (provider, reference), Presence::Told);
        call.stream = draft.stream;
        call.control.dials = call.info.called.address.as_deref().map_or(Dials::Whole, Dials::of);
        self.insert_call(call);
        self.made_for(now, asker, id, draft.purpose);
        if self.life == Life::Stopping {
            self.hang_up(now, id);
        }
        self.emit_line_state(now, line, LineStateKind::NumCalls, None);
        self.take_early(now, provider, reference);
    }

    /// Answers who asked for a call, and gives the call to those whom it concerns.
    fn made_for(&mut self, now: Time, asker: Option<Asker>, id: CallId, purpose: Purpose) {
        match (purpose, asker) {
            (Purpose::Leg { of, why }, asker) => {
                self.answer_transferring(asker, TransferWay::Bridge, None);
                self.inherit(now, of, id, None);
                if self.calls.get(&of).is_some_and(|of| !of.state.is_over()) {
                    self.await_join(now, of, id, why);
                } else {
                    self.hang_up(now, id);
                }
            }
            // Whoever wanted it is gone.
            (Purpose::Direct | Purpose::Accepted { .. }, None) => self.drop_call(now, id, None, None),
            (Purpose::Consultation { of, .. }, None) => {
                self.drop_call(now, id, None, None);
                self.setup_undone(now, of);
            }
            (Purpose::Direct, Some(asker)) => {
                let delivered = self.answer(asker, Ok(Reply::Made(reply::Made { call: id })));
                self.tell_made(now, id, asker.session, delivered);
            }
            (Purpose::Accepted { of }, Some(asker)) => {
                let delivered = self.answer(asker, Ok(Reply::Made(reply::Made { call: id })));
                self.inherit(now, of, id, delivered.then_some(asker.session));
                if let Some(call) = self.calls.get_mut(&id) {
                    call.control.replaces = Some(of);
                }
            }
            (Purpose::Consultation { of, kind: Consultation::Conference }, Some(asker)) => {
                self.conference_prepared(now, asker, of, id);
            }
            (Purpose::Consultation { of, kind }, Some(asker)) => {
                let delivered = self.answer(asker, Ok(Reply::Made(reply::Made { call: id })));
                self.consultation_made(now, of, kind, id);
                self.tell_made(now, id, asker.session, delivered);
            }
        }
    }

    /// A conference of the held call, with the call of its next party.
    fn conference_prepared(&mut self, now: Time, asker: Asker, of: CallId, id: CallId) {
        let live = self.calls.get(&of).is_some_and(|call| !call.state.is_over());
        let conference = if live { self.make_conference(now, of, asker.session) } else { None };
        let Some(conference) = conference else {
            self.answer(asker, Err(ErrorCode::Disconnected.because(format!("call {of} is over"))));
            return self.drop_call(now, id, None, None);
        };
        let made = reply::ConferenceMade { conference, consultation: Some(id) };
        let delivered = self.answer(asker, Ok(Reply::ConferenceMade(made)));
        self.tell_made(now, conference, asker.session, delivered);
        self.consultation_made(now, conference, Consultation::Conference, id);
        self.enroll(now, conference, of);
        self.tell_made(now, id, asker.session, delivered);
    }

    pub(crate) fn insert_call(&mut self, call: Call) {
        let (id, line) = (call.info.call, call.info.line);
        if let Some(provider) = self.providers.get_mut(&call.provider) {
            provider.calls.insert(call.reference, id);
        }
        if let Some(line) = self.lines.by_id.get_mut(&line) {
            line.calls.insert(id);
        }
        if call.provider != ProviderId::SERVER {
            self.count_call(line, None, Some(&call.state));
        }
        self.calls.insert(id, call);
    }

    /// Monitors learn of a call that somebody else made: it exists, its state is to come. So does the one who made it,
    /// when the connection on which it asked is gone.
    pub(crate) fn tell_made(&mut self, now: Time, id: CallId, maker: SessionId, delivered: bool) {
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
    pub(crate) fn not_made(
        &mut self,
        now: Time,
        provider: ProviderId,
        asker: Option<Asker>,
        draft: Draft,
        error: Error,
    ) {
        self.count_making(draft.info.line, -1);
        if let Some(stream) = &draft.stream {
            self.release_stream(provider, stream);
        }
        let mode = DisconnectMode::Unavail;
        let cause = Cause::new(mode.clone()).with_text(error.message.clone());
        let asked = asker.is_some();
        if let Some(asker) = asker {
            self.answer(asker, Err(error));
        }
        self.forget_early(provider);
        match draft.purpose {
            Purpose::Consultation { of, .. } => self.setup_undone(now, of),
            Purpose::Leg { of, why: Why::Forward } => {
                if self.calls.get(&of).is_some_and(|of| !of.state.is_over()) {
                    self.drop_call(now, of, None, Some(mode));
                }
            }
            Purpose::Leg { of, why: Why::Transfer } if !asked => {
                self.emit_transfer(now, of, TransferPhase::Failed, TransferWay::Bridge, None, Some(cause));
            }
            Purpose::Direct | Purpose::Leg { .. } | Purpose::Accepted { .. } => {}
        }
    }

    pub(crate) fn count_making(&mut self, line: LineId, by: i32) {
        if let Some(line) = self.lines.by_id.get_mut(&line) {
            line.counts.making = line.counts.making.saturating_add_signed(by);
        }
    }
}
