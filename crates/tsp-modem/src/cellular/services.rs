//! Supplementary services with calls (3GPP TS 22.030, 27.007 7.13 and 7.14): swap, conference, transfer, deflection.

use super::*;
use crate::analogue::words;
use crate::dial;
use tapi::ErrorCode;

/// Calls that are to be joined, until when the list must show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Joining {
    calls: Vec<CallRef>,
    /// Whether they are to be in the conference, or out of it.
    joined: bool,
    pub(super) until: Time,
}

/// A transfer that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Transfer {
    call: CallRef,
    consultation: CallRef,
}

impl Cellular {
    fn stage_of(&self, call: CallRef) -> Option<&Stage> {
        self.calls.iter().find(|known| known.call == call).map(|known| &known.stage)
    }

    /// Whether a service that touches every call can be asked for now: none rings, none is between two states.
    fn settled(&self) -> bool {
        let busy = |call: &CellCall| {
            call.wish.is_some()
                || !matches!(call.stage, Stage::Active | Stage::Held | Stage::Alerting | Stage::Ending { .. })
        };
        self.joining.is_none() && self.transfer.is_none() && !self.calls.iter().any(busy)
    }

    /// Holds one and retrieves the other in one step.
    pub(crate) fn swap_hold(&mut self, context: &mut Context<'_>, id: CommandId, active: CallRef, held: CallRef) {
        let right = self.stage_of(active) == Some(&Stage::Active) && self.stage_of(held) == Some(&Stage::Held);
        if !right || !self.settled() {
            return context.out.refuse(
                id,
                ErrorCode::InvalCallState,
                "needs an active call and a held one, and none that rings",
            );
        }
        let until = context.now + WISH;
        for known in &mut self.calls {
            if known.call == active || known.call == held {
                known.wish = Some((known.call == active, until));
            }
        }
        let ask = Ask::new(&cell_of(context).swap, Purpose::CellSwap(active), context.profile.timeouts_ms.hangup);
        context.ask(ask);
        context.out.done(id);
    }

    /// Has the network mix calls.
    pub(crate) fn conference(&mut self, context: &mut Context<'_>, id: CommandId, calls: &[CallRef]) {
        let Some(command) = cell_of(context).conference.clone() else {
            return context.out.refuse(id, ErrorCode::OperationUnavail, "this line has no conference in the network");
        };
        let up = |call: &CallRef| matches!(self.stage_of(*call), Some(Stage::Active | Stage::Held));
        let both = self.calls.iter().any(|call| call.stage == Stage::Active)
            && self.calls.iter().any(|call| call.stage == Stage::Held);
        // The network joins all calls there are: each of them must be meant.
        let all = self.calls.iter().all(|known| calls.contains(&known.call));
        if calls.len() < 2 || !calls.iter().all(up) || !both || !all || !self.settled() {
            let text = "a conference in the network needs all calls of the line: active ones and held ones";
            return context.out.refuse(id, ErrorCode::InvalCallState, text);
        }
        self.join(context, calls.to_vec(), true, &command);
        context.out.done(id);
    }

    /// Takes one call out of the conference; the others are held.
    pub(crate) fn leave_conference(&mut self, context: &mut Context<'_>, id: CommandId, call: CallRef) {
        let Some(template) = cell_of(context).split.clone() else {
            return context.out.refuse(id, ErrorCode::OperationUnavail, "this line cannot take a conference apart");
        };
        let settled = self.settled();
        match self.find(call) {
            Some(CellCall { multiparty: true, index: Some(index), stage: Stage::Active, .. }) if settled => {
                let command = template.replace("{i}", &index.to_string());
                self.join(context, vec![call], false, &command);
                context.out.done(id);
            }
            _ => context.out.refuse(id, ErrorCode::InvalCallState, "the call is in no active conference"),
        }
    }

    fn join(&mut self, context: &mut Context<'_>, calls: Vec<CallRef>, joined: bool, command: &str) {
        self.joining = Some(Joining { calls, joined, until: context.now + WISH });
        context.ask(Ask::new(command, Purpose::CellConference, context.profile.timeouts_ms.hangup));
    }

    /// What was asked for may show in the list by now.
    pub(super) fn joined(&mut self) {
        let reached = self.joining.as_ref().is_some_and(|joining| {
            let there = |call: &CallRef| {
                self.calls.iter().any(|known| known.call == *call && known.multiparty == joining.joined)
            };
            joining.calls.iter().all(there)
        });
        if reached {
            self.joining = None;
        }
    }

    /// It did not happen: the calls are told that they are as they were.
    pub(super) fn not_joined(&mut self, context: &mut Context<'_>, reason: &str) {
        let Some(joining) = self.joining.take() else { return };
        for call in joining.calls {
            if self.calls.iter().any(|known| known.call == call && known.multiparty != joining.joined) {
                context.out.report(call, Report::Unchanged { reason: reason.to_owned() });
            }
        }
    }

    /// Joins the far ends of two calls, and leaves.
    pub(crate) fn complete_transfer(
        &mut self,
        context: &mut Context<'_>,
        id: CommandId,
        call: CallRef,
        consultation: CallRef,
    ) {
        let Some(command) = cell_of(context).transfer.clone() else {
            return context.out.refuse(id, ErrorCode::OperationUnavail, "the network joins no calls of this line");
        };
        let stages = (self.stage_of(call), self.stage_of(consultation));
        let right = matches!(
            stages,
            (Some(Stage::Held), Some(Stage::Active | Stage::Alerting)) | (Some(Stage::Active), Some(Stage::Held))
        );
        if !right || self.calls.len() != 2 || !self.settled() {
            return context.out.refuse(
                id,
                ErrorCode::InvalCallState,
                "needs a held call and an active one, and no third",
            );
        }
        self.transfer = Some(Transfer { call, consultation });
        let wait = context.profile.timeouts_ms.hangup.max(15_000);
        context.ask(Ask::new(command, Purpose::CellTransfer(call), wait).accepts(crate::response::Accepts::Call));
        context.out.done(id);
    }

    pub(super) fn transfer_done(&mut self, context: &mut Context<'_>, text: &str, outcome: &Outcome) {
        let Some(transfer) = self.transfer.take() else { return };
        // The calls may be over before the modem says so: `NO CARRIER` is the end of them, and no refusal.
        if matches!(outcome, Outcome::Final(FinalResult::Ok | FinalResult::NoCarrier)) {
            return self.transferred(context, transfer);
        }
        let unsupported = matches!(outcome, Outcome::Final(_));
        let cause = Cause::new(DisconnectMode::TempFailure).with_text(format!("{text}: {}", words(outcome)));
        context.out.report(transfer.call, Report::TransferFailed { cause, unsupported });
        self.soon(context);
    }

    fn transferred(&mut self, context: &mut Context<'_>, transfer: Transfer) {
        context.out.report(transfer.call, Report::Transferred);
        for call in [transfer.call, transfer.consultation] {
            self.digits.call_ends(context.out, call);
            if let Some(known) = self.find(call) {
                known.stage = Stage::Releasing { since: context.now, tries: 0 };
                let cause = Cause::new(DisconnectMode::Normal).with_text("the far ends were joined");
                context.out.report(call, Report::Released { by: ReleasedBy::Remote, cause });
            }
        }
        self.hint = Some(Hint::of(DisconnectMode::Normal));
        self.tell_media(context);
        self.soon(context);
    }

    /// Whether the end of this call is the transfer that was asked for.
    pub(super) fn ends_by_transfer(&mut self, context: &mut Context<'_>, call: CallRef) -> bool {
        let ours = self.transfer.take_if(|transfer| transfer.call == call || transfer.consultation == call);
        if let Some(transfer) = ours {
            self.transferred(context, transfer);
            self.calls.retain(|known| known.call != call);
            self.after_end(context);
        }
        ours.is_some()
    }

    /// Sends a ringing call elsewhere.
    pub(crate) fn redirect(&mut self, context: &mut Context<'_>, id: CommandId, call: CallRef, to: &str) {
        let Some(template) = cell_of(context).deflect.clone() else {
            return context.out.refuse(id, ErrorCode::OperationUnavail, "this line cannot send a call elsewhere");
        };
        let number = match dial::scan(to, context.profile, context.office, false) {
            Ok(dialled) => dialled.number,
            Err(refusal) => return context.out.reply(id, Err(refusal)),
        };
        if self.stage_of(call) != Some(&Stage::Offered) {
            return context.out.refuse(id, ErrorCode::InvalCallState, "the call does not ring");
        }
        let kind = if number.starts_with('+') { "145" } else { "129" };
        let command = template.replace("{n}", &number).replace("{t}", kind);
        context.ask(Ask::new(command, Purpose::CellDeflect(call), context.profile.timeouts_ms.hangup));
        context.out.done(id);
    }

    pub(super) fn deflected(&mut self, context: &mut Context<'_>, call: CallRef, text: &str, outcome: &Outcome) {
        let now = context.now;
        let Some(known) = self.find(call) else { return };
        if known.stage != Stage::Offered {
            return;
        }
        if matches!(outcome, Outcome::Final(result) if result.is_ok()) {
            known.stage = Stage::Releasing { since: now, tries: 0 };
            let cause = Cause::new(DisconnectMode::Forwarded);
            context.out.report(call, Report::Released { by: ReleasedBy::Local, cause });
        } else {
            let reason = format!("{text}: {}", words(outcome));
            context.out.report(call, Report::Unchanged { reason });
        }
        self.soon(context);
    }
}
