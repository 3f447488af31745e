//! The second call of an analogue line: one that waits, is held, or is joined with the first by the exchange, which is
//! asked by register recall. What can be asked, and how, is data ([`crate::Office`]).
//!
//! ```text
//!            Hold ─► Parked ── MakeCall ─► Dialling … Connected ──┐
//!  Connected ┤          └─ Unhold (back) ─► Connected             ├─ swap, join, transfer, end the one or the other
//!            └─ waiting tone ─► Waiting ── Answer ─► Connected ───┘
//! ```
//! Each is an errand: the stream ends, the recall and its code are sent, and a stream begins again. The exchange confirms
//! nothing; what is told is that the modem sent it.

use super::*;
use std::collections::VecDeque;

/// The line's other call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Other {
    /// There is none.
    #[default]
    None,
    /// It waits: its tone was heard.
    Waiting(Knock),
    /// It waited and was refused; its tone may still come.
    Refused { last: Time },
    /// The exchange holds it.
    Held(Talk, Beside),
    /// The exchange joined it with the active one.
    Joined(Talk),
}

/// How there came to be two calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Beside {
    /// The second one was placed.
    Placed,
    /// It waited.
    Waited,
}

/// What the exchange is asked for, one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Wish {
    /// Hold the active call.
    Hold,
    /// Retrieve the held one; the active one ends, where there is one.
    Back,
    /// Hold the active one, retrieve the held one.
    Swap,
    /// Hold the active one, answer the one that waits, with this stream.
    AnswerWaiting(Option<StreamId>),
    /// Refuse the one that waits.
    RejectWaiting,
    /// End the active one, retrieve the held one.
    EndActive,
    /// End the held one, by this code: it is told to be over already.
    EndHeld(String),
    /// Join all.
    Join,
    /// Join the far ends.
    Transfer,
}

/// The errands that wait, and the one under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Errands {
    pub(super) waiting: VecDeque<Wish>,
    pub(super) asked: Option<Wish>,
}

impl Errands {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.asked.is_none()
    }
}

impl Other {
    pub(super) fn call(&self) -> Option<CallRef> {
        match self {
            Other::None | Other::Refused { .. } => None,
            Other::Waiting(knock) => Some(knock.call),
            Other::Held(talk, _) | Other::Joined(talk) => Some(talk.call),
        }
    }
}

impl Analogue {
    /// Holds the active call: dial tone comes.
    pub(crate) fn hold(&mut self, context: &mut Context<'_>, id: CommandId, call: CallRef) {
        if context.office.hold.is_empty() {
            return context.out.refuse(id, ErrorCode::OperationUnavail, "the line's exchange holds no call");
        }
        let active = matches!(&self.phase, Phase::Connected { talk } if talk.call == call);
        let text = match (&self.other, active && self.errands.is_empty()) {
            (Other::None | Other::Refused { .. }, true) => {
                context.out.done(id);
                return self.want(context, Wish::Hold);
            }
            (Other::Waiting(_), true) => "another call waits: a recall would answer it",
            (Other::Held(..), true) => "another call is held: swap them",
            (Other::Joined(_), true) => "the call is joined with another one",
            (_, false) => "the call is not connected",
        };
        context.out.refuse(id, ErrorCode::InvalCallState, text);
    }

    /// Retrieves the held call.
    pub(crate) fn unhold(&mut self, context: &mut Context<'_>, id: CommandId, call: CallRef) {
        let held = matches!(&self.other, Other::Held(talk, _) if talk.call == call);
        let text = match &self.phase {
            _ if !held => "the call is not held",
            Phase::Parked if self.errands.is_empty() && !context.office.back.is_empty() => {
                context.out.done(id);
                return self.want(context, Wish::Back);
            }
            Phase::Parked => "the line is busy with it",
            _ => "another call is active: swap them",
        };
        context.out.refuse(id, ErrorCode::InvalCallState, text);
    }

    /// Whether there is an active call and a held one, and nothing under way.
    fn two(&self, one: CallRef, other: CallRef) -> bool {
        let active = matches!(&self.phase, Phase::Connected { talk } if talk.call == one || talk.call == other);
        let held = matches!(&self.other, Other::Held(talk, _) if talk.call == one || talk.call == other);
        active && held && one != other && self.errands.is_empty()
    }

    /// Holds one and retrieves the other.
    pub(crate) fn swap_hold(&mut self, context: &mut Context<'_>, id: CommandId, active: CallRef, held: CallRef) {
        if self.swap_code(context.office).is_empty() {
            // Holding and retrieving one after the other does not do it either.
            return context.out.refuse(id, ErrorCode::OperationFailed, "the line's exchange swaps no calls");
        }
        if !self.two(active, held) {
            return context.out.refuse(id, ErrorCode::InvalCallState, "needs an active call and a held one");
        }
        context.out.done(id);
        self.want(context, Wish::Swap);
    }

    /// Has the exchange join two calls and us. Two calls on one pair of wires cannot be mixed here.
    pub(crate) fn conference(&mut self, context: &mut Context<'_>, id: CommandId, calls: &[CallRef]) {
        if context.office.conference.is_empty() {
            return context.out.refuse(id, ErrorCode::OperationFailed, "the line's exchange joins no calls");
        }
        match calls {
            [one, other] if self.two(*one, *other) => {
                context.out.done(id);
                self.want(context, Wish::Join);
            }
            _ => context.out.refuse(id, ErrorCode::InvalCallState, "needs an active call and a held one"),
        }
    }

    /// Has the exchange join the far ends of two calls.
    pub(crate) fn complete_transfer(
        &mut self,
        context: &mut Context<'_>,
        id: CommandId,
        call: CallRef,
        consultation: CallRef,
    ) {
        if context.office.transfer.is_empty() {
            return context.out.refuse(id, ErrorCode::OperationFailed, "the line's exchange transfers no call");
        }
        // Before the answer the exchange would hear the recall as the end of the consultation.
        if !self.two(call, consultation) {
            let text = "needs a held call and an active one that is answered";
            return context.out.refuse(id, ErrorCode::InvalCallState, text);
        }
        context.out.done(id);
        if context.office.transfer == "hook" { self.transferred(context) } else { self.want(context, Wish::Transfer) }
    }

    fn transferred(&mut self, context: &mut Context<'_>) {
        let (Some(active), Other::Held(held, _)) = (self.call(), std::mem::take(&mut self.other)) else { return };
        context.out.report(held.call, Report::Transferred);
        for call in [held.call, active] {
            let cause = Cause::new(DisconnectMode::Normal).with_text("the far ends were joined");
            context.out.report(call, Report::Released { by: ReleasedBy::Remote, cause });
        }
        self.hang_up(context);
    }

    /// Asks the exchange for something, once the stream has ended.
    pub(super) fn want(&mut self, context: &mut Context<'_>, wish: Wish) {
        self.errands.waiting.push_back(wish);
        match std::mem::replace(&mut self.duplex, Duplex::Closed) {
            Duplex::Open(flow) => {
                self.duplex = Duplex::Ending { flow, tries: 0 };
                self.end_stream(context);
            }
            Duplex::Closed => {
                if matches!(self.phase, Phase::Connected { .. } | Phase::Supervising { .. } | Phase::Parked) {
                    self.run_errand(context);
                }
            }
            duplex => self.duplex = duplex,
        }
    }

    /// Goes on with what waits. `false`: nothing does.
    pub(super) fn run_errand(&mut self, context: &mut Context<'_>) -> bool {
        if self.errands.asked.is_some() {
            return true;
        }
        let Some(wish) = self.errands.waiting.pop_front() else { return false };
        let office = context.office;
        let code = match &wish {
            Wish::Hold => office.hold.clone(),
            Wish::Back => office.back.clone(),
            Wish::Swap => self.swap_code(office).to_owned(),
            Wish::AnswerWaiting(_) => office.answer_waiting.clone(),
            Wish::RejectWaiting => office.reject_waiting.clone(),
            Wish::EndActive => self.end_active_code(office),
            Wish::EndHeld(code) => code.clone(),
            Wish::Join => office.conference.clone(),
            Wish::Transfer => office.transfer.clone(),
        };
        self.errands.asked = Some(wish);
        let voice = voice_of(context);
        let text = if code == "!" && !voice.flash.is_empty() {
            voice.flash.clone()
        } else {
            self.go_blind(context);
            format!("{};", voice.dial.replace("{n}", &code).trim_end_matches(';'))
        };
        // A digit, or a pause, takes two seconds at the most.
        let wait = context.profile.timeouts_ms.default + 2_000 * code.len() as u32;
        context.ask(Ask::new(text, Purpose::Recall, wait).accepts(Accepts::Call));
        true
    }

    /// The modem sent what was asked, or could not.
    pub(super) fn recalled(&mut self, context: &mut Context<'_>, text: &str, outcome: &Outcome) {
        let Some(wish) = self.errands.asked.take() else { return };
        match outcome {
            Outcome::Final(result) if result.is_ok() => self.granted(context, wish),
            Outcome::Final(result @ (FinalResult::NoCarrier | FinalResult::Busy | FinalResult::NoDialtone)) => {
                return self.all_gone(context, Cause::new(DisconnectMode::Normal).with_text(result.text()));
            }
            outcome => self.denied(context, &wish, &format!("{text}: {}", words(outcome))),
        }
        self.go_on(context);
    }

    /// The stream goes on, where there is somebody to talk to, or the next errand.
    pub(super) fn go_on(&mut self, context: &mut Context<'_>) {
        let talks = matches!(self.phase, Phase::Connected { .. } | Phase::Supervising { .. });
        if (talks || matches!(self.phase, Phase::Parked)) && self.run_errand(context) {
            return;
        }
        if talks && matches!(self.duplex, Duplex::Closed) {
            self.start_stream(context);
        }
    }

    fn granted(&mut self, context: &mut Context<'_>, wish: Wish) {
        let other = std::mem::take(&mut self.other);
        match (wish, std::mem::replace(&mut self.phase, Phase::Parked), other) {
            (Wish::Hold, Phase::Connected { talk }, _) => {
                context.out.report(talk.call, Report::Held);
                self.other = Other::Held(talk, Beside::Placed);
            }
            (Wish::Back | Wish::EndActive, _, Other::Held(held, _)) => {
                context.out.report(held.call, Report::Retrieved);
                self.phase = Phase::Connected { talk: held };
            }
            (Wish::Swap, Phase::Connected { talk }, Other::Held(held, beside)) => {
                context.out.report(talk.call, Report::Held);
                context.out.report(held.call, Report::Retrieved);
                self.other = Other::Held(talk, beside);
                self.phase = Phase::Connected { talk: held };
            }
            (Wish::AnswerWaiting(stream), Phase::Connected { talk }, Other::Waiting(knock)) => {
                context.out.report(talk.call, Report::Held);
                context.out.report(knock.call, Report::Answered(AnswerEvidence::Local));
                self.other = Other::Held(talk, Beside::Waited);
                self.listen_for_its_end(context, knock.call);
                self.phase = Phase::Connected { talk: Talk::new(knock.call, stream, context.now) };
            }
            (Wish::Join, Phase::Connected { talk }, Other::Held(held, _)) => {
                context.out.report(held.call, Report::Conferenced);
                context.out.report(talk.call, Report::Conferenced);
                self.phase = Phase::Connected { talk };
                self.other = Other::Joined(held);
            }
            (Wish::Transfer, phase, other) => {
                (self.phase, self.other) = (phase, other);
                self.transferred(context);
            }
            (Wish::RejectWaiting | Wish::EndHeld(_), phase, _) => self.phase = phase,
            (_, phase, other) => (self.phase, self.other) = (phase, other),
        }
        if let Phase::Connected { talk } = &mut self.phase {
            talk.recalled = Some(context.now);
        }
        for call in [self.call(), self.other.call()].into_iter().flatten() {
            self.told_media.take_if(|told| *told == call);
        }
    }

    fn denied(&mut self, context: &mut Context<'_>, wish: &Wish, reason: &str) {
        match wish {
            // The call was told to be over: so is all there is.
            Wish::Back if !matches!(self.phase, Phase::Parked) => {}
            Wish::EndActive | Wish::EndHeld(_) => {}
            Wish::RejectWaiting => return self.other = Other::Refused { last: context.now },
            Wish::Transfer => {
                if let Some(call) = self.other.call() {
                    let cause = Cause::new(DisconnectMode::TempFailure).with_text(reason);
                    context.out.report(call, Report::TransferFailed { cause, unsupported: false });
                }
                return;
            }
            Wish::Hold | Wish::Back | Wish::Swap | Wish::AnswerWaiting(_) | Wish::Join => {
                for call in [self.call(), self.other.call()].into_iter().flatten() {
                    context.out.trace(Some(call), false, context.name, reason);
                    context.out.report(call, Report::Unchanged { reason: reason.to_owned() });
                }
                return;
            }
        }
        self.all_gone(context, Cause::new(DisconnectMode::Unavail).with_text(reason));
    }

    /// Everything on the line is over, by the far ends, the network or the modem.
    pub(super) fn all_gone(&mut self, context: &mut Context<'_>, cause: Cause) {
        if !matches!(self.other, Other::Waiting(_) | Other::Refused { .. })
            && let Some(call) = std::mem::take(&mut self.other).call()
        {
            context.out.report(call, Report::Released { by: ReleasedBy::Remote, cause: cause.clone() });
        }
        if let Some(call) = self.call() {
            context.out.report(call, Report::Released { by: ReleasedBy::Remote, cause });
        }
        self.hang_up(context);
    }

    /// The active call is over, and told to be: the line goes on with the held one, or on hook.
    pub(super) fn leave_active(&mut self, context: &mut Context<'_>) {
        if !matches!(self.other, Other::Held(..)) {
            return self.hang_up(context);
        }
        self.errands.waiting.clear();
        self.phase = Phase::Parked;
        match std::mem::replace(&mut self.duplex, Duplex::Closed) {
            Duplex::Open(flow) => {
                self.duplex = Duplex::Ending { flow, tries: 0 };
                self.end_stream(context);
            }
            duplex => self.duplex = duplex,
        }
    }

    /// One of two calls is dropped.
    pub(super) fn drop_one(&mut self, context: &mut Context<'_>, call: CallRef) {
        let office = context.office;
        let released = Report::Released { by: ReleasedBy::Local, cause: Cause::new(DisconnectMode::Normal) };
        let active = self.call() == Some(call);
        context.out.report(call, released);
        if let (Other::Waiting(Knock { last, .. }), false) = (&self.other, active) {
            self.other = Other::Refused { last: *last };
            let talks = matches!(self.phase, Phase::Connected { .. });
            if talks && !office.reject_waiting.is_empty() {
                self.want(context, Wish::RejectWaiting);
            }
            return;
        }
        match self.ends_alone(office, call) {
            Some(wish @ Wish::EndHeld(_)) => {
                self.other = Other::None;
                self.want(context, wish);
            }
            Some(wish) => self.leave_for(context, wish),
            None => self.rest_goes_too(context, call),
        }
    }

    /// The active call is told to be over; the exchange is asked to go on with the held one.
    fn leave_for(&mut self, context: &mut Context<'_>, wish: Wish) {
        self.errands.waiting.clear();
        let dialling = matches!(self.phase, Phase::Dialling { .. });
        if dialling && context.chat.in_flight() == Some(&Purpose::Dial) {
            // Whatever is sent now would end the dialling, and the line would go on hook with the held call.
            self.phase = Phase::Abandoned;
            return self.errands.waiting.push_back(wish);
        }
        self.phase = Phase::Parked;
        self.want(context, wish);
    }
}
