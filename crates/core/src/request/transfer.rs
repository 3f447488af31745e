//! Requests that move calls: redirect, dial, swap, transfer, conference, hand over.

use super::{Answer, Outcome};
use crate::Server;
use crate::call::{Consultation, Flexible, Handle, Purpose, Target};
use crate::consult::Plan;
use crate::features::is_held;
use crate::pending::{Asker, What};
use tapi::request::{
    CallAddToConference, CallBlindTransfer, CallCompleteTransfer, CallDial, CallHandoff, CallPrepareAdd, CallRedirect,
    CallSetAppData, CallSetupConference, CallSetupTransfer, CallSwapHold,
};
use tapi::{
    AddressId, CallId, CallState, Error, ErrorCode, Feature, HandoffTarget, InfoKind, LineId, LineSelector, Names,
    Privilege, Reply, Right, SessionId, Time, TransferMode, TransferWay, reply,
};
use tspi::{Action, LocalMedia};

/// Longest destination and longest comment, in bytes.
pub(super) const MAX_TEXT: usize = 1_024;

/// Longest data of an application, in bytes.
const MAX_DATA: usize = 4_096;

/// Refuses what cannot be an address.
pub(super) fn check_address(to: &str) -> Result<(), Error> {
    if to.len() > MAX_TEXT || to.chars().any(char::is_control) {
        return Err(ErrorCode::InvalAddress.because("the destination is too long or has control characters"));
    }
    Ok(())
}

impl Server {
    pub(super) fn call_redirect(&mut self, now: Time, asker: Asker, redirect: CallRedirect) -> Outcome {
        let call = self.controlled(asker.session, redirect.call, &Feature::Redirect)?;
        let (reference, line) = (call.reference, call.info.line);
        check_address(&redirect.to)?;
        self.allow(asker.session, line, &Right::Originate)?;
        self.plain(now, asker, redirect.call, Action::Redirect { call: reference, to: redirect.to })
    }

    pub(super) fn call_dial(&mut self, now: Time, asker: Asker, dial: CallDial) -> Outcome {
        let call = self.controlled(asker.session, dial.call, &Feature::Dial)?;
        let (provider, line, reference) = (call.provider, call.info.line, call.reference);
        check_address(&dial.to)?;
        let what = What::Dial { call: dial.call, to: dial.to.clone() };
        self.command(now, Some(asker), (provider, line), what, Action::Dial { call: reference, to: dial.to });
        Ok(Answer::Later)
    }

    pub(super) fn call_swap_hold(&mut self, now: Time, asker: Asker, swap: &CallSwapHold) -> Outcome {
        let (active, held) = (swap.call, swap.with);
        let one = self.controlled(asker.session, active, &Feature::SwapHold)?;
        let other = self.controlled(asker.session, held, &Feature::SwapHold)?;
        if !matches!(one.state, CallState::Connected(_)) || one.control.swap.is_some() {
            return Err(ErrorCode::InvalCallState.because(format!("call {active} is {}: not active", one.state)));
        }
        if !is_held(&other.state) || other.control.conference.is_some() {
            return Err(ErrorCode::InvalCallState.because(format!("call {held} is {}: not held", other.state)));
        }
        let (provider, line) = (one.provider, one.info.line);
        if other.provider == provider {
            let action = Action::SwapHold { active: one.reference, held: other.reference };
            self.command(now, Some(asker), (provider, line), What::Swap { active, held }, action);
        } else {
            self.swap_by_steps(now, Some(asker), active, held);
        }
        Ok(Answer::Later)
    }

    pub(super) fn call_blind_transfer(&mut self, now: Time, asker: Asker, blind: CallBlindTransfer) -> Outcome {
        let call = self.controlled(asker.session, blind.call, &Feature::BlindTransfer)?;
        let line = call.info.line;
        check_address(&blind.to)?;
        self.allow(asker.session, line, &Right::Originate)?;
        self.in_service(line)?;
        self.transfer(now, asker, blind.call, Target::Address(blind.to), blind.how.as_ref())
    }

    /// Transfers by whom it was asked for.
    fn transfer(&mut self, now: Time, asker: Asker, id: CallId, target: Target, how: Option<&TransferWay>) -> Outcome {
        let or_bridge = match how {
            None => Flexible::OrBridge,
            Some(TransferWay::Network) => Flexible::NetworkOnly,
            Some(TransferWay::Bridge) => {
                let at_once = matches!(target, Target::Consultation(_));
                self.transfer_by_bridge(now, Some(asker), id, target)?;
                return Ok(if at_once { Answer::Told } else { Answer::Later });
            }
            Some(other) => return Err(ErrorCode::InvalParam.because(format!("there is no way {other}"))),
        };
        self.transfer_by_network(now, Some(asker), id, target, or_bridge)?;
        Ok(Answer::Later)
    }

    pub(super) fn call_setup_transfer(&mut self, now: Time, asker: Asker, setup: CallSetupTransfer) -> Outcome {
        let call = self.controlled(asker.session, setup.call, &Feature::SetupTransfer)?;
        let own = call.info.line;
        let line = self.originating(asker.session, setup.line.as_ref(), own)?;
        check_address(&setup.to)?;
        check_comment(setup.comment.as_deref())?;
        let purpose = Purpose::Consultation { of: setup.call, kind: Consultation::Transfer };
        let (to, address, comment) = (setup.to, setup.address, setup.comment);
        self.consult(now, asker, setup.call, Plan { line, to, address, block_id: false, comment, purpose })?;
        Ok(Answer::Later)
    }

    /// The line on which a further call goes out: an open one, or that of the call it is for.
    fn originating(&self, session: SessionId, line: Option<&LineSelector>, own: LineId) -> Result<LineId, Error> {
        let line = match line {
            Some(line) => self.opened_line(session, line)?,
            None => own,
        };
        self.allow(session, line, &Right::Originate)?;
        Ok(line)
    }

    pub(super) fn call_complete_transfer(
        &mut self,
        now: Time,
        asker: Asker,
        complete: &CallCompleteTransfer,
    ) -> Outcome {
        let (id, consultation) = (complete.call, complete.consultation);
        if id == consultation {
            return Err(ErrorCode::TargetSelf.because(format!("call {id} is its own consultation call")));
        }
        let call = self.controlled(asker.session, id, &Feature::CompleteTransfer)?;
        if !is_held(&call.state) {
            return Err(ErrorCode::InvalCallState.because(format!("call {id} is {}: not held", call.state)));
        }
        let provider = call.provider;
        let other = self.controlled(asker.session, consultation, &Feature::CompleteTransfer)?;
        let same = other.provider == provider;
        if complete.mode == TransferMode::Conference {
            let at_once = !self.on_one_line(id, consultation);
            self.conference_of(now, asker, id, consultation)?;
            return Ok(if at_once { Answer::Told } else { Answer::Later });
        }
        let target = Target::Consultation(consultation);
        match &complete.how {
            Some(TransferWay::Network) if !same => {
                Err(ErrorCode::OperationUnavail.because("the calls are not of one provider: no network joins them"))
            }
            None if !same => self.transfer(now, asker, id, target, Some(&TransferWay::Bridge)),
            how => self.transfer(now, asker, id, target, how.as_ref()),
        }
    }

    fn on_one_line(&self, a: CallId, b: CallId) -> bool {
        let line = |id| self.calls.get(&id).map(|call| call.info.line);
        line(a) == line(b)
    }

    pub(super) fn call_accept_transfer(&mut self, now: Time, asker: Asker, id: CallId) -> Outcome {
        let call = self.asked(asker.session, id)?;
        let (provider, line, reference) = (call.provider, call.info.line, call.reference);
        self.allow(asker.session, line, &Right::Originate)?;
        let wire = self.in_service(line)?.description.media;
        let mut info = crate::provider::blank(line, String::new());
        info.call = CallId(self.fresh_id());
        let stream = self.open_stream(provider, wire, info.call)?;
        let Some(request) = self.take_asked(id) else { return Err(no_request(id)) };
        let media = stream.as_ref().map_or(LocalMedia::None, |stream| stream.local.clone());
        let purpose = Purpose::Accepted { of: id };
        let (address, comment) = (AddressId(0), None);
        let plan = Plan { line, to: request.to, address, block_id: false, comment, purpose: purpose.clone() };
        let name = self.lines.by_id.get(&line).map(|line| line.description.name.clone()).unwrap_or_default();
        info.line_name = name;
        info.media_mode = self.calls.get(&id).map(|call| call.info.media_mode.clone()).unwrap_or_default();
        let info = self.outbound(info, Some(asker.session), plan);
        self.count_making(line, 1);
        let draft = crate::call::Draft { info, stream, purpose };
        let action = Action::AcceptTransfer { call: reference, media };
        self.command(now, Some(asker), (provider, line), What::Make(Box::new(draft)), action);
        Ok(Answer::Later)
    }

    pub(super) fn call_reject_transfer(&mut self, now: Time, asker: Asker, id: CallId) -> Outcome {
        let call = self.asked(asker.session, id)?.reference;
        self.take_asked(id);
        self.plain(now, asker, id, Action::RejectTransfer { call })
    }

    fn asked(&self, session: SessionId, id: CallId) -> Result<&crate::call::Call, Error> {
        let call = self.owned(session, id)?;
        if call.control.asked.is_none() {
            return Err(no_request(id));
        }
        Ok(call)
    }

    pub(super) fn call_setup_conference(&mut self, now: Time, asker: Asker, setup: CallSetupConference) -> Outcome {
        let id = setup.call;
        let call = self.controlled(asker.session, id, &Feature::SetupConference)?;
        if call.control.conference.is_some() || call.info.conference.is_some() {
            return Err(ErrorCode::InvalCallState.because(format!("call {id} is in a conference already")));
        }
        let own = call.info.line;
        if let Some(to) = setup.to {
            let line = self.originating(asker.session, None, own)?;
            check_address(&to)?;
            let purpose = Purpose::Consultation { of: id, kind: Consultation::Conference };
            let (address, comment) = (AddressId(0), None);
            self.consult(now, asker, id, Plan { line, to, address, block_id: false, comment, purpose })?;
            return Ok(Answer::Later);
        }
        let made = self.make_conference(now, id, asker.session);
        let conference = made.ok_or_else(|| ErrorCode::InvalCallHandle.because(format!("there is no call {id}")))?;
        self.tell_made(now, conference, asker.session, true);
        self.enroll(now, conference, id);
        Ok(Answer::Now(Reply::ConferenceMade(reply::ConferenceMade { conference, consultation: None })))
    }

    pub(super) fn call_prepare_add(&mut self, now: Time, asker: Asker, prepare: CallPrepareAdd) -> Outcome {
        let conference = prepare.conference;
        let call = self.controlled(asker.session, conference, &Feature::PrepareAddToConference)?;
        let own = call.info.line;
        let line = self.originating(asker.session, prepare.line.as_ref(), own)?;
        check_address(&prepare.to)?;
        let purpose = Purpose::Consultation { of: conference, kind: Consultation::Add };
        let (address, comment) = (AddressId(0), None);
        self.place(now, Some(asker), Plan { line, to: prepare.to, address, block_id: false, comment, purpose })?;
        Ok(Answer::Later)
    }

    pub(super) fn call_add_to_conference(&mut self, now: Time, asker: Asker, add: &CallAddToConference) -> Outcome {
        let conference = self.controlled(asker.session, add.conference, &Feature::AddToConference)?;
        if conference.control.conference.is_none() {
            let why = format!("call {} is no conference", add.conference);
            return Err(ErrorCode::InvalConfCallHandle.because(why));
        }
        let call = self.controlled(asker.session, add.call, &Feature::AddToConference)?;
        if call.control.conference.is_some() || call.info.conference.is_some() || call.control.enters.is_some() {
            return Err(ErrorCode::InvalCallState.because(format!("call {} is in a conference already", add.call)));
        }
        match self.add_member(now, asker, add.conference, add.call)? {
            crate::conference::Added::Later => Ok(Answer::Later),
            crate::conference::Added::Now => Ok(Answer::Told),
        }
    }

    pub(super) fn call_remove_from_conference(&mut self, now: Time, asker: Asker, id: CallId) -> Outcome {
        let call = self.controlled(asker.session, id, &Feature::RemoveFromConference)?;
        let reference = call.reference;
        let Some(conference) = call.info.conference else {
            return Err(ErrorCode::InvalConfCallHandle.because(format!("call {id} is in no conference of this server")));
        };
        if self.conference(conference).is_some_and(|own| own.mixing == crate::conference::Mixing::Network) {
            return self.plain(now, asker, id, Action::LeaveConference { call: reference });
        }
        self.leave_conference(now, id);
        Ok(Answer::DONE)
    }

    pub(super) fn call_handoff(&mut self, now: Time, asker: Asker, handoff: &CallHandoff) -> Outcome {
        let id = handoff.call;
        let (line, app) = {
            let call = self.owned(asker.session, id)?;
            (call.info.line, self.sessions.get(&asker.session).map(|session| session.app.clone()))
        };
        let not_found = || ErrorCode::TargetNotFound.because(format!("no such application owns calls of line {line}"));
        let target = match &handoff.to {
            // To oneself by name succeeds, as TAPI has it.
            HandoffTarget::App(name) if app.as_ref() == Some(name) => return Ok(Answer::DONE),
            HandoffTarget::App(name) => {
                let opens = self.lines.by_id.get(&line).into_iter().flat_map(|line| &line.opens);
                let named = opens.filter(|(session, open)| {
                    let is_it = self.sessions.get(session).is_some_and(|session| session.app == *name);
                    is_it && open.privileges.contains(&Privilege::Owner)
                });
                named.min_by_key(|(_, open)| open.order).map(|(session, _)| *session).ok_or_else(not_found)?
            }
            HandoffTarget::MediaMode(mode) => {
                let modes = Names::from([mode.clone()]);
                match self.first_owner(line, &modes, Some(asker.session)) {
                    Some(target) => target,
                    None if self.first_owner(line, &modes, None).is_some() => {
                        let why = format!("no other application takes {mode} on line {line}");
                        return Err(ErrorCode::TargetSelf.because(why));
                    }
                    None => return Err(not_found()),
                }
            }
        };
        self.hand_over(now, id, target, asker.session);
        Ok(Answer::DONE)
    }

    /// Another session owns the call too; the giver keeps what it has.
    fn hand_over(&mut self, now: Time, id: CallId, target: SessionId, giver: SessionId) {
        let known = self.calls.get(&id).is_some_and(|call| call.handles.contains_key(&target));
        if known {
            if let Some(call) = self.calls.get_mut(&id) {
                if let Some(handle) = call.handles.get_mut(&target) {
                    let Handle { privilege, told, .. } = &mut **handle;
                    (*privilege, *told) = (Privilege::Owner, false);
                }
                call.recount();
            }
        } else {
            self.give_handle(target, id, Privilege::Owner);
            self.emit_new(now, id, Privilege::Owner, [target]);
        }
        self.emit_state(now, id, |session| session == target);
        self.emit_info_but(now, id, &Names::from([InfoKind::OwnersIncreased]), &[giver, target]);
    }

    pub(super) fn call_set_app_data(&mut self, now: Time, session: SessionId, set: CallSetAppData) -> Outcome {
        self.owned(session, set.call)?;
        check_comment(set.comment.as_deref())?;
        if set.data.as_ref().is_some_and(|data| data.len() > MAX_DATA) {
            return Err(ErrorCode::InvalParam.because(format!("data is longer than {MAX_DATA} bytes")));
        }
        if let Some(call) = self.calls.get_mut(&set.call) {
            for (told, kept) in [(set.comment, &mut call.info.comment), (set.data, &mut call.info.app_data)] {
                if let Some(text) = told {
                    *kept = Some(text).filter(|text| !text.is_empty());
                }
            }
        }
        self.emit_info(now, set.call, Names::from([InfoKind::AppData]), Some(session));
        Ok(Answer::DONE)
    }
}

pub(super) fn check_comment(comment: Option<&str>) -> Result<(), Error> {
    if comment.is_some_and(|comment| comment.len() > MAX_TEXT) {
        return Err(ErrorCode::InvalParam.because(format!("comment is longer than {MAX_TEXT} bytes")));
    }
    Ok(())
}

fn no_request(id: CallId) -> Error {
    ErrorCode::InvalCallState.because(format!("the far end of call {id} asks for no transfer"))
}
