//! Requests that make, answer, hold, end and look at calls.

use super::transfer::{check_address, check_comment};
use super::{Answer, Outcome};
use crate::Server;
use crate::call::{Call, Held, Presence, Purpose};
use crate::consult::Plan;
use crate::pending::{Asker, What};
use tapi::request::{CallAccept, CallDrop, CallList, CallMake, CallSetPrivilege, CallTrace};
use tapi::{
    BearerMode, CallId, CallState, ConnectedMode, Error, ErrorCode, Feature, InfoKind, LineFlag, LineId, Names,
    Privilege, Reply, Right, SessionId, Time, reply,
};
use tspi::media::DescriptorId;
use tspi::{Action, LocalMedia};

impl Server {
    pub(super) fn call_make(
        &mut self,
        now: Time,
        asker: Asker,
        make: CallMake,
        file: &mut Option<DescriptorId>,
    ) -> Outcome {
        let id = self.opened_line(asker.session, &make.line)?;
        self.allow(asker.session, id, &Right::Originate)?;
        match make.bearer {
            None | Some(BearerMode::Voice) => {}
            Some(BearerMode::Passthrough) => return self.call_through(now, asker, id, make, file),
            Some(other) => return Err(ErrorCode::BearerModeUnavail.because(format!("no line has bearer {other}"))),
        }
        check_address(&make.to)?;
        check_comment(make.comment.as_deref())?;
        let CallMake { to, address, block_id, comment, .. } = make;
        self.place(now, Some(asker), Plan { line: id, to, address, block_id, comment, purpose: Purpose::Direct })?;
        Ok(Answer::Later)
    }

    /// Sends a command about a call whose reply is all there is to it.
    pub(super) fn plain(&mut self, now: Time, asker: Asker, call: CallId, action: Action) -> Outcome {
        let call = self.owned(asker.session, call)?;
        let (provider, line) = (call.provider, call.info.line);
        self.command(now, Some(asker), (provider, line), What::Plain, action);
        Ok(Answer::Later)
    }

    pub(super) fn call_accept(&mut self, now: Time, asker: Asker, accept: &CallAccept) -> Outcome {
        let id = accept.call;
        let call = self.controlled(asker.session, id, &Feature::Accept)?;
        let (provider, line, reference) = (call.provider, call.info.line, call.reference);
        if !accept.early_media {
            return self.plain(now, asker, id, Action::Accept { call: reference });
        }
        let description = &self.in_service(line)?.description;
        if !description.caps.flags.contains(&LineFlag::EarlyMedia) {
            let why = format!("line {} carries no audio before a call is answered", description.name);
            return Err(ErrorCode::OperationUnavail.because(why));
        }
        let wire = description.media;
        let stream = match self.calls.get(&id).and_then(|call| call.stream.clone()) {
            Some(stream) => Some(stream),
            None => self.open_stream(provider, wire, id)?,
        };
        let media = stream.as_ref().map_or(LocalMedia::None, |stream| stream.local.clone());
        self.command(now, Some(asker), (provider, line), What::Plain, Action::Progress { call: reference, media });
        if let Some(call) = self.calls.get_mut(&id) {
            call.stream = stream;
        }
        Ok(Answer::Later)
    }

    pub(super) fn call_answer(&mut self, now: Time, asker: Asker, id: CallId) -> Outcome {
        self.controlled(asker.session, id, &Feature::Answer)?;
        self.answer_call(now, id, Some(asker))?;
        Ok(Answer::Later)
    }

    /// Answers a call, for an application or of the server's own accord.
    pub(crate) fn answer_call(&mut self, now: Time, id: CallId, asker: Option<Asker>) -> Result<(), Error> {
        let call = self.calls.get(&id).ok_or_else(|| ErrorCode::InvalCallHandle.because(format!("no call {id}")))?;
        if call.answering.is_some() {
            return Err(ErrorCode::InvalCallState.because(format!("call {id} is being answered")));
        }
        let (provider, line, reference) = (call.provider, call.info.line, call.reference);
        let wire = self.in_service(line)?.description.media;
        let stream = match &call.stream {
            Some(stream) => Some(stream.clone()),
            None => self.open_stream(provider, wire, id)?,
        };
        let media = stream.as_ref().map_or(LocalMedia::None, |stream| stream.local.clone());
        let action = Action::Answer { call: reference, media };
        let command = self.command(now, asker, (provider, line), What::Answer(id), action);
        if let Some(call) = self.calls.get_mut(&id) {
            (call.stream, call.answering) = (stream, Some(command));
        }
        Ok(())
    }

    /// A call that the far end ended is idle at once: the provider has nothing left to do with it.
    pub(super) fn call_drop(&mut self, now: Time, asker: Asker, drop: CallDrop) -> Outcome {
        let call = self.controlled(asker.session, drop.call, &Feature::Drop)?;
        if call.state.is_over() {
            self.enter(now, drop.call, CallState::Idle);
            return Ok(Answer::DONE);
        }
        self.drop_call(now, drop.call, Some(asker), drop.reason);
        Ok(Answer::Later)
    }

    /// Frees this session's handle; what it began on the call is stopped. The call goes on, without an owner if need
    /// be (TAPI 2.0 and later); one that the far end ended is idle once its last owner is gone.
    pub(super) fn call_deallocate(&mut self, now: Time, session: SessionId, id: CallId) -> Outcome {
        self.handled(session, id)?;
        self.stop_operations(id, |operation| operation.session == session);
        self.remove_handle(now, session, id);
        self.settle(now, id);
        Ok(Answer::DONE)
    }

    pub(super) fn call_hold(&mut self, now: Time, asker: Asker, id: CallId) -> Outcome {
        let call = self.controlled(asker.session, id, &Feature::Hold)?;
        let (reference, line) = (call.reference, self.in_service(call.info.line)?);
        let room = line.description.caps.max_held_calls;
        if line.counts.held >= room {
            let name = &line.description.name;
            return Err(ErrorCode::ResourceUnavail.because(format!("line {name} can hold {room} calls")));
        }
        self.plain(now, asker, id, Action::Hold { call: reference })
    }

    pub(super) fn call_unhold(&mut self, now: Time, asker: Asker, id: CallId) -> Outcome {
        let call = self.controlled(asker.session, id, &Feature::Unhold)?;
        if call.control.held != Held::ByNetwork
            && (call.control.held == Held::Here || call.control.conference.is_some())
        {
            let id = call.info.call;
            return Ok(self.unhold_here(now, id));
        }
        let (reference, line) = (call.reference, call.info.line);
        self.in_service(line)?;
        self.plain(now, asker, id, Action::Unhold { call: reference })
    }

    /// Nobody but the server held it.
    fn unhold_here(&mut self, now: Time, id: CallId) -> Answer {
        if let Some(call) = self.calls.get_mut(&id) {
            call.control.held = Held::No;
        }
        self.enter(now, id, CallState::Connected(ConnectedMode::Active));
        Answer::DONE
    }

    pub(super) fn call_get(&self, session: SessionId, id: CallId) -> Outcome {
        let (call, privilege) = self.handled(session, id)?;
        Ok(Answer::Now(Reply::Call(Box::new(self.view_call(call, privilege)))))
    }

    /// The calls on lines that this session opened. What it had no handle on, it monitors from now on.
    pub(super) fn call_list(&mut self, now: Time, session: SessionId, list: CallList) -> Outcome {
        let lines: Vec<LineId> = match &list.line {
            Some(line) => vec![self.opened_line(session, line)?],
            None => self.sessions.get(&session).into_iter().flat_map(|session| session.lines.clone()).collect(),
        };
        if let (Some(_), Some(line)) = (&list.line, lines.first()) {
            self.allow(session, *line, &Right::Monitor)?;
        }
        let may = |line: &LineId| self.permits(session, *line, &Right::Monitor);
        let lines: Vec<LineId> = lines.into_iter().filter(may).collect();
        let on_lines = lines.iter().filter_map(|line| self.lines.by_id.get(line)).flat_map(|line| &line.calls);
        let told = |id: &&CallId| self.calls.get(id).is_some_and(|call| call.presence == Presence::Told);
        let mut ids: Vec<CallId> = on_lines.filter(told).copied().collect();
        ids.sort_unstable();
        let mut calls = Vec::with_capacity(ids.len());
        for id in ids {
            calls.extend(self.listed(now, session, id));
        }
        Ok(Answer::Now(Reply::Calls(reply::Calls { calls })))
    }

    fn listed(&mut self, now: Time, session: SessionId, id: CallId) -> Option<tapi::Call> {
        let call = self.calls.get(&id)?;
        if !call.handles.contains_key(&session) {
            // An idle call that this session never had is no news.
            if call.state == CallState::Idle {
                return None;
            }
            self.give_handle(session, id, Privilege::Monitor);
            if let Some(handle) = self.calls.get_mut(&id).and_then(|call| call.handles.get_mut(&session)) {
                handle.told = true;
            }
            self.emit_info(now, id, Names::from([InfoKind::Monitors]), Some(session));
        }
        let call = self.calls.get(&id)?;
        call.handles.get(&session).map(|handle| self.view_call(call, &handle.privilege))
    }

    pub(super) fn call_set_privilege(&mut self, now: Time, session: SessionId, set: CallSetPrivilege) -> Outcome {
        let (call, privilege) = self.handled(session, set.call)?;
        let changed = match (privilege, &set.privilege) {
            (Privilege::Monitor, Privilege::Owner) => {
                let line = self.lines.by_id.get(&call.info.line);
                if line.is_none_or(|line| !line.opens.contains_key(&session)) {
                    let why = format!("this session has not opened line {}", call.info.line);
                    return Err(ErrorCode::InvalLineHandle.because(why));
                }
                self.allow(session, call.info.line, &Right::Own)?;
                [InfoKind::OwnersIncreased, InfoKind::Monitors]
            }
            (Privilege::Owner, Privilege::Monitor) => {
                if call.info.owners <= 1 && call.state != CallState::Idle {
                    let why = format!("call {} is {} and has no other owner", set.call, call.state);
                    return Err(ErrorCode::InvalCallState.because(why));
                }
                [InfoKind::OwnersDecreased, InfoKind::Monitors]
            }
            (own, asked) if own == asked => return Ok(Answer::DONE),
            (_, asked) => {
                return Err(ErrorCode::InvalCallPrivilege.because(format!("{asked} cannot be asked for")));
            }
        };
        if let Some(call) = self.calls.get_mut(&set.call) {
            if let Some(handle) = call.handles.get_mut(&session) {
                handle.privilege = set.privilege;
            }
            call.recount();
        }
        self.emit_info(now, set.call, Names::from(changed), Some(session));
        Ok(Answer::DONE)
    }

    pub(super) fn call_trace(&self, session: SessionId, trace: &CallTrace) -> Outcome {
        if let Some(past) = self.past_trace(session, trace.call, trace.full) {
            return Ok(Answer::Now(past));
        }
        let (call, _): (&Call, _) = self.handled(session, trace.call)?;
        let entries = crate::past::shown(call.trace.entries.iter(), trace.full);
        Ok(Answer::Now(Reply::Trace(reply::Trace { entries, forgotten: call.trace.forgotten })))
    }
}
