//! Consultation: a call is held, then another is placed; and two calls are swapped.
//!
//! ```text
//! Hold(a) → taken → Held → MakeCall → taken: the request is answered, a: OnHoldPendTransfer, the new call begins
//!                     └── Unchanged, over ──┘── refused: the request is refused, a is retrieved
//! ```

use crate::Server;
use crate::call::{Consultation, Draft, Held, Purpose};
use crate::pending::{Asker, What};
use crate::provider::{blank, media_mode};
use serde::{Deserialize, Serialize};
use tapi::{
    AddressId, CallId, CallInfo, CallOrigin, CallReason, CallState, Error, ErrorCode, Feature, LineId, Names, Party,
    SessionId, Time,
};
use tspi::{Action, CallParams, LocalMedia};

/// A call to be placed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) line: LineId,
    pub(crate) to: String,
    pub(crate) address: AddressId,
    pub(crate) block_id: bool,
    pub(crate) comment: Option<String>,
    pub(crate) purpose: Purpose,
}

impl Plan {
    /// The call that is held meanwhile, if it is one to ask somebody.
    pub(crate) fn consults(&self) -> Option<CallId> {
        match self.purpose {
            Purpose::Consultation { of, .. } => Some(of),
            _ => None,
        }
    }
}

impl Server {
    /// Places a call.
    pub(crate) fn place(&mut self, now: Time, asker: Option<Asker>, plan: Plan) -> Result<(), Error> {
        let id = plan.line;
        let line = self.in_service(id)?;
        let name = &line.description.name;
        let addresses = line.description.addresses.len().max(1);
        if usize::try_from(plan.address.0).is_ok_and(|address| address >= addresses) {
            let why = format!("line {name} has {addresses} addresses, no number {}", plan.address.0);
            return Err(ErrorCode::InvalAddressId.because(why));
        }
        if !line.can_make() {
            let calls = line.description.caps.max_calls;
            return Err(ErrorCode::CallUnavail.because(format!("all {calls} calls of line {name} are in use")));
        }
        let (provider, reference, wire) = (line.provider, line.reference, line.description.media);
        let mut info = blank(id, name.clone());
        info.media_mode = Names::from([media_mode(&line.description.caps.media_modes)]);
        info.call = CallId(self.fresh_id());
        let stream = self.open_stream(provider, wire, info.call)?;
        let media = stream.as_ref().map_or(LocalMedia::None, |stream| stream.local.clone());
        let params = CallParams { address: plan.address.0, block_id: plan.block_id, ..CallParams::default() };
        let action = Action::MakeCall { line: reference, to: plan.to.clone(), params, media };
        let purpose = plan.purpose.clone();
        let info = self.outbound(info, asker.map(|asker| asker.session), plan);
        self.count_making(id, 1);
        let draft = Draft { info, stream, purpose };
        self.command(now, asker, (provider, id), What::Make(Box::new(draft)), action);
        Ok(())
    }

    pub(crate) fn outbound(&self, info: CallInfo, maker: Option<SessionId>, plan: Plan) -> CallInfo {
        let uid = self.uid(info.call);
        let (related, reason) = match plan.purpose {
            Purpose::Direct => (None, CallReason::Direct),
            Purpose::Consultation { of, .. } => (Some(of), CallReason::Direct),
            Purpose::Leg { of, .. } | Purpose::Accepted { of } => (Some(of), CallReason::Transfer),
        };
        let joins = matches!(plan.purpose, Purpose::Leg { .. } | Purpose::Accepted { .. });
        let of = related.and_then(|of| self.calls.get(&of));
        let conversation = of.filter(|_| joins).map(|of| of.info.conversation.clone());
        let inherited = of.filter(|_| maker.is_none()).and_then(|of| of.info.app.clone());
        CallInfo {
            conversation: conversation.unwrap_or_else(|| uid.clone()),
            uid,
            address: plan.address,
            origin: CallOrigin::Outbound,
            reason,
            related,
            caller: if plan.block_id { Party::blocked() } else { Party::unavailable() },
            called: Party::new(Some(plan.to), None),
            app: maker.and_then(|maker| self.sessions.get(&maker)).map(|session| session.app.clone()).or(inherited),
            comment: plan.comment,
            ..info
        }
    }

    /// Holds a call, then places the one that its plan says; at once when it is held already.
    pub(crate) fn consult(&mut self, now: Time, asker: Asker, of: CallId, plan: Plan) -> Result<(), Error> {
        let call = self.calls.get(&of).ok_or_else(|| ErrorCode::InvalCallHandle.because(format!("no call {of}")))?;
        if call.control.setup.is_some() {
            return Err(ErrorCode::InvalCallState.because(format!("call {of} is being held for another consultation")));
        }
        let held = crate::features::is_held(&call.state);
        let line = self.in_service(call.info.line)?;
        let can_hold = line.description.caps.call_features.contains(&Feature::Hold);
        if held || !can_hold || call.control.conference.is_some() {
            return self.place(now, Some(asker), plan);
        }
        let (provider, reference, line) = (call.provider, call.reference, call.info.line);
        self.in_service(plan.line)?;
        let action = Action::Hold { call: reference };
        let id = self.command(now, Some(asker), (provider, line), What::SetupHold(Box::new(plan)), action);
        if let Some(call) = self.calls.get_mut(&of) {
            call.control.setup = Some(id);
        }
        Ok(())
    }

    /// The hold was taken: wait until it is done.
    pub(crate) fn setup_taken(&mut self, now: Time, asker: Option<Asker>, plan: Box<Plan>, result: Result<(), Error>) {
        let Some(of) = plan.consults() else { return };
        let call = self.calls.get_mut(&of).map(|call| {
            call.control.setup = None;
            (call.provider, call.info.line, call.control.held)
        });
        if let Err(error) = result {
            return self.answer_done(asker, Some(error));
        }
        let Some((provider, line, held)) = call else { return };
        if held == Held::ByNetwork {
            return self.setup_held(now, asker, *plan);
        }
        let id = self.wait_for(now, asker, (provider, line), What::Setup(plan));
        if let Some(call) = self.calls.get_mut(&of) {
            call.control.setup = Some(id);
        }
    }

    /// The call is held: place the other one.
    fn setup_held(&mut self, now: Time, asker: Option<Asker>, plan: Plan) {
        let of = plan.consults();
        let Some(live) = asker else {
            // Whoever wanted it is gone.
            return of.map_or((), |of| self.setup_undone(now, of));
        };
        if let Err(error) = self.place(now, asker, plan) {
            self.answer(live, Err(error));
            if let Some(of) = of {
                self.setup_undone(now, of);
            }
        }
    }

    /// No consultation came of it: the call is retrieved.
    pub(crate) fn setup_undone(&mut self, now: Time, of: CallId) {
        let connected = self.calls.get(&of).is_some_and(|call| matches!(call.state, CallState::Connected(_)));
        if connected {
            self.retrieve(now, of);
        }
    }

    /// A call that waits to be held is.
    pub(crate) fn setup_goes_on(&mut self, now: Time, of: CallId) -> bool {
        let Some(id) = self.calls.get(&of).and_then(|call| call.control.setup) else { return false };
        let waits = self.pending.get(&id).is_some_and(|pending| matches!(pending.what, What::Setup(_)));
        if !waits {
            // The reply is still to come, and finds that it is held.
            return true;
        }
        if let Some(call) = self.calls.get_mut(&of) {
            call.control.setup = None;
        }
        if let Some((asker, What::Setup(plan))) = self.take_waiting(id) {
            self.setup_held(now, asker, *plan);
        }
        true
    }

    /// A call that waits to be held will not be.
    pub(crate) fn setup_fails(&mut self, now: Time, of: CallId, error: Error) {
        let setup = self.calls.get_mut(&of).and_then(|call| call.control.setup.take());
        if let Some(id) = setup {
            self.fail_command(now, id, error);
        }
    }

    /// The consultation call exists.
    pub(crate) fn consultation_made(&mut self, now: Time, of: CallId, kind: Consultation, id: CallId) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.control.consults = Some(of);
        }
        let held = self.calls.get_mut(&of).filter(|call| !call.state.is_over());
        let Some(held) = held else { return };
        if held.control.held == Held::No && held.control.conference.is_none() {
            held.control.held = Held::Here;
        }
        match kind {
            Consultation::Transfer => {
                self.part(now, of);
                self.enter(now, of, CallState::OnHoldPendTransfer);
            }
            Consultation::Add => self.enter(now, of, CallState::OnHoldPendConf),
            Consultation::Conference => {}
        }
    }

    /// The consultation call is over: a conference goes on with those that it has.
    pub(crate) fn consultation_over(&mut self, now: Time, of: CallId) {
        let Some(call) = self.calls.get(&of) else { return };
        if call.control.conference.as_ref().is_some_and(|conference| conference.members.len() > 1) {
            self.enter(now, of, CallState::Connected(tapi::ConnectedMode::Active));
        }
    }

    /// Holds one call and retrieves the other, one after the other.
    pub(crate) fn swap_by_steps(&mut self, now: Time, asker: Option<Asker>, active: CallId, held: CallId) {
        let Some(call) = self.calls.get_mut(&active) else {
            return self.answer_done(asker, Some(ErrorCode::InvalCallHandle.because(format!("no call {active}"))));
        };
        call.control.swap = Some(held);
        let (provider, line, reference) = (call.provider, call.info.line, call.reference);
        self.command(now, asker, (provider, line), What::SwapHold(active), Action::Hold { call: reference });
    }

    /// The active call is held now: retrieve the other.
    pub(crate) fn swap_goes_on(&mut self, now: Time, active: CallId) {
        let Some(held) = self.calls.get_mut(&active).and_then(|call| call.control.swap.take()) else { return };
        let Some(call) = self.calls.get_mut(&held).filter(|call| !call.state.is_over()) else {
            return self.retrieve(now, active);
        };
        if call.control.held != Held::ByNetwork {
            return self.retrieve(now, held);
        }
        call.control.restore = Some(active);
        let (provider, line, reference) = (call.provider, call.info.line, call.reference);
        self.command(now, None, (provider, line), What::SwapUnhold(held), Action::Unhold { call: reference });
    }

    /// The other cannot be retrieved: the first one is.
    pub(crate) fn swap_restores(&mut self, now: Time, held: CallId) {
        let restore = self.calls.get_mut(&held).and_then(|call| call.control.restore.take());
        if let Some(active) = restore.filter(|active| self.calls.contains_key(active)) {
            self.retrieve(now, active);
        }
    }
}
