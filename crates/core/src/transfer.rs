//! Transfers: by the network where it can, by bridging where it cannot; and those that the far end asks for.

use crate::Server;
use crate::call::{Flexible, Purpose, Target, Transferring, Why};
use crate::consult::Plan;
use crate::pending::{Asker, What};
use crate::server::Timer;
use std::time::Duration;
use tapi::{
    AddressId, CallId, CallState, Cause, DisconnectMode, Error, ErrorCode, EventBody, InfoKind, Names, Privilege,
    Reply, SessionId, Time, TransferPhase, TransferWay, reply,
};
use tspi::{Action, TransferRequest};

/// How long a far end waits that asked to be transferred.
const ASKED: Duration = Duration::from_secs(30);

impl Server {
    /// Has the network transfer a call.
    pub(crate) fn transfer_by_network(
        &mut self,
        now: Time,
        asker: Option<Asker>,
        id: CallId,
        target: Target,
        or_bridge: Flexible,
    ) -> Result<(), Error> {
        let consultation = match &target {
            Target::Consultation(consultation) => self.calls.get(consultation).map(|call| call.reference),
            Target::Address(_) => None,
        };
        let call =
            self.calls.get_mut(&id).ok_or_else(|| ErrorCode::InvalCallHandle.because(format!("no call {id}")))?;
        if call.control.transfer.is_some() {
            return Err(ErrorCode::InvalCallState.because(format!("call {id} is being transferred")));
        }
        let reference = call.reference;
        let action = match (&target, consultation) {
            (Target::Address(to), _) => Action::BlindTransfer { call: reference, to: to.clone() },
            (Target::Consultation(_), Some(consultation)) => Action::CompleteTransfer { call: reference, consultation },
            (Target::Consultation(id), None) => {
                return Err(ErrorCode::InvalConsultCallHandle.because(format!("no call {id}")));
            }
        };
        call.control.transfer = Some(Transferring { target, or_bridge });
        let (provider, line) = (call.provider, call.info.line);
        self.command(now, asker, (provider, line), What::Transfer(id), action);
        Ok(())
    }

    /// The network took the transfer, or would not.
    pub(crate) fn transfer_taken(&mut self, now: Time, asker: Option<Asker>, id: CallId, result: Result<(), Error>) {
        let error = match result {
            Ok(()) => return self.answer_transferring(asker, TransferWay::Network, None),
            Err(error) => error,
        };
        let transfer = self.calls.get_mut(&id).and_then(|call| call.control.transfer.take());
        match transfer {
            Some(Transferring { target, or_bridge: Flexible::OrBridge })
                if error.code == ErrorCode::OperationUnavail =>
            {
                if let Err(error) = self.transfer_by_bridge(now, asker, id, target) {
                    self.answer_done(asker, Some(error));
                }
            }
            _ => self.answer_done(asker, Some(error)),
        }
    }

    pub(crate) fn answer_transferring(&mut self, asker: Option<Asker>, how: TransferWay, conference: Option<CallId>) {
        if let Some(asker) = asker {
            self.answer(asker, Ok(Reply::Transferring(reply::Transferring { how, conference })));
        }
    }

    /// Transfers a call by placing one of our own, or by joining it with its consultation call.
    pub(crate) fn transfer_by_bridge(
        &mut self,
        now: Time,
        asker: Option<Asker>,
        id: CallId,
        target: Target,
    ) -> Result<(), Error> {
        let no_audio = |id: CallId| ErrorCode::OperationUnavail.because(format!("call {id} has no audio to bridge"));
        let call = self.calls.get(&id).filter(|call| call.stream.is_some()).ok_or_else(|| no_audio(id))?;
        match target {
            Target::Address(to) => {
                let purpose = Purpose::Leg { of: id, why: Why::Transfer };
                let address = AddressId(0);
                let plan = Plan { line: call.info.line, to, address, block_id: false, comment: None, purpose };
                self.place(now, asker, plan)
            }
            Target::Consultation(consultation) => {
                let other = self.calls.get(&consultation).filter(|other| other.stream.is_some());
                other.filter(|other| !other.state.is_over()).ok_or_else(|| no_audio(consultation))?;
                self.answer_transferring(asker, TransferWay::Bridge, None);
                if let Some(other) = self.calls.get_mut(&consultation) {
                    other.control.consults = None;
                }
                self.await_join(now, id, consultation, Why::Transfer);
                Ok(())
            }
        }
    }

    /// What the network says of a transfer.
    pub(crate) fn transfer_progress(&mut self, now: Time, id: CallId, text: String) {
        let with = self.transfer_with(id);
        let (phase, how) = (TransferPhase::Progress, TransferWay::Network);
        self.emit_transfer_text(now, (id, with), phase, how, (Some(text), None));
    }

    fn transfer_with(&self, id: CallId) -> Option<CallId> {
        match self.calls.get(&id)?.control.transfer.as_ref()?.target {
            Target::Consultation(with) => Some(with),
            Target::Address(_) => None,
        }
    }

    pub(crate) fn transfer_done(&mut self, now: Time, id: CallId) {
        let with = self.transfer_with(id);
        let conversation = self.calls.get_mut(&id).map(|call| {
            call.control.transfer = None;
            call.info.conversation.clone()
        });
        if let (Some(other), Some(conversation)) = (with.and_then(|with| self.calls.get_mut(&with)), conversation) {
            other.info.conversation = conversation;
        }
        self.emit_transfer(now, id, TransferPhase::Done, TransferWay::Network, with, None);
    }

    pub(crate) fn transfer_failed(&mut self, now: Time, id: CallId, cause: Cause, unsupported: bool) {
        let with = self.transfer_with(id);
        let transfer = self.calls.get_mut(&id).and_then(|call| call.control.transfer.take());
        let Some(transfer) = transfer else { return };
        if unsupported && transfer.or_bridge == Flexible::OrBridge {
            let text = "the network cannot: bridging".to_owned();
            let (phase, how) = (TransferPhase::Progress, TransferWay::Bridge);
            self.emit_transfer_text(now, (id, with), phase, how.clone(), (Some(text), None));
            match self.transfer_by_bridge(now, None, id, transfer.target) {
                Ok(()) => return,
                Err(error) => {
                    let cause = Cause::new(DisconnectMode::Unavail).with_text(error.message);
                    return self.emit_transfer(now, id, TransferPhase::Failed, how, with, Some(cause));
                }
            }
        }
        self.emit_transfer(now, id, TransferPhase::Failed, TransferWay::Network, with, Some(cause));
    }

    /// The far end asks us to talk to somebody else. Nobody to decide: it is declined.
    pub(crate) fn transfer_requested(&mut self, now: Time, id: CallId, request: TransferRequest) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let owners: Vec<SessionId> = call.with_privilege(&Privilege::Owner).collect();
        let (provider, reference) = (call.provider, call.reference);
        if owners.is_empty() || call.state.is_over() || call.control.asked.is_some() {
            return self.notify(provider, Action::RejectTransfer { call: reference });
        }
        let until = now + ASKED;
        let TransferRequest { to, by, attended } = request.clone();
        call.control.asked = Some((Box::new(request), until));
        self.timers.insert((until, Timer::Asked(id)));
        self.emit(now, EventBody::CallTransferRequested { call: id, to, by, attended }, owners);
    }

    /// Takes what the far end asked, to answer it.
    pub(crate) fn take_asked(&mut self, id: CallId) -> Option<TransferRequest> {
        let (request, until) = self.calls.get_mut(&id)?.control.asked.take()?;
        self.timers.remove(&(until, Timer::Asked(id)));
        Some(*request)
    }

    pub(crate) fn asked_expired(&mut self, _now: Time, id: CallId) {
        if self.take_asked(id).is_some()
            && let Some(call) = self.calls.get(&id)
        {
            let (provider, call) = (call.provider, call.reference);
            self.notify(provider, Action::RejectTransfer { call });
        }
    }

    /// Gives a new call to those who have a handle on another.
    pub(crate) fn inherit(&mut self, now: Time, of: CallId, id: CallId, maker: Option<SessionId>) {
        let heirs: Vec<(SessionId, Privilege)> = self.calls.get(&of).map_or_else(Vec::new, |of| {
            of.handles.iter().map(|(session, handle)| (*session, handle.privilege.clone())).collect()
        });
        for (session, privilege) in &heirs {
            self.give_handle(*session, id, privilege.clone());
        }
        if let Some(maker) = maker {
            self.give_handle(maker, id, Privilege::Owner);
        }
        for privilege in [Privilege::Owner, Privilege::Monitor] {
            let own = heirs.iter().filter(|(session, own)| *own == privilege && Some(*session) != maker);
            let audience: Vec<SessionId> = own.map(|(session, _)| *session).collect();
            self.emit_new(now, id, privilege, audience);
        }
        self.emit_state(now, id, |session| Some(session) != maker);
    }

    /// A call that came in to take another's place.
    pub(crate) fn replaces(&mut self, now: Time, old: CallId, new: CallId) {
        let Some(gone) = self.calls.get(&old) else { return };
        let (conversation, app) = (gone.info.conversation.clone(), gone.info.app.clone());
        let reason = gone.state.clone();
        let answered = matches!(
            gone.state,
            CallState::Connected(_)
                | CallState::OnHold
                | CallState::OnHoldPendTransfer
                | CallState::OnHoldPendConf
                | CallState::Conferenced
        );
        if let Some(call) = self.calls.get_mut(&new) {
            let told = Some(call.info.reason.clone()).filter(|told| *told != tapi::CallReason::Direct);
            call.info.reason = Self::reason_of_replacement(told, &reason);
            (call.info.related, call.info.conversation, call.info.app) = (Some(old), conversation, app);
            call.control.replaces = Some(old);
            call.presence = crate::call::Presence::Told;
        }
        self.inherit(now, old, new, None);
        if let Some(gone) = self.calls.get_mut(&old) {
            gone.info.related.get_or_insert(new);
        }
        self.emit_info(now, old, Names::from([InfoKind::Rest]), None);
        if answered {
            // What goes wrong with it is told by its state.
            let _ = self.answer_call(now, new, None);
        }
    }
}
