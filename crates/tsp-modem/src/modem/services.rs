//! Commands that only one kind of line can take.

use super::*;

impl Modem {
    /// Services of the network, which only a cellular line has.
    pub(super) fn service_command(&mut self, now: Time, id: CommandId, action: &Action) {
        if self.life != Life::Ready && !matches!(action, Action::SendDigits { .. }) {
            return self.out.refuse(id, ErrorCode::InvalLineState, "the line is not ready");
        }
        self.with(now, |calls, context| match (calls, action) {
            (Calls::Cellular(cellular), Action::Redirect { call, to }) => cellular.redirect(context, id, *call, to),
            (Calls::Cellular(cellular), Action::SwapHold { active, held }) => {
                cellular.swap_hold(context, id, *active, *held);
            }
            (Calls::Cellular(cellular), Action::CompleteTransfer { call, consultation }) => {
                cellular.complete_transfer(context, id, *call, *consultation);
            }
            (Calls::Cellular(cellular), Action::Conference { calls }) => cellular.conference(context, id, calls),
            (Calls::Cellular(cellular), Action::LeaveConference { call }) => {
                cellular.leave_conference(context, id, *call);
            }
            (Calls::Cellular(cellular), Action::Forward { rules, .. }) => cellular.forward(context, id, rules),
            (Calls::Cellular(cellular), Action::Device { request, .. }) => cellular.device(context, id, request),
            (Calls::Cellular(cellular), Action::SendDigits { call, operation, digits, duration_ms }) => {
                cellular.send_digits(context, id, *call, *operation, digits, *duration_ms);
            }
            (Calls::Analogue(analogue), Action::SwapHold { active, held }) => {
                analogue.swap_hold(context, id, *active, *held);
            }
            (Calls::Analogue(analogue), Action::CompleteTransfer { call, consultation }) => {
                analogue.complete_transfer(context, id, *call, *consultation);
            }
            (Calls::Analogue(analogue), Action::Conference { calls }) => analogue.conference(context, id, calls),
            (Calls::Analogue(analogue), Action::Dial { call, to }) => analogue.dial_more(context, id, *call, to),
            (Calls::Analogue(_), Action::SendDigits { .. }) => {
                let text = "the digits of this line are tones in its audio";
                context.out.refuse(id, ErrorCode::OperationUnavail, text);
            }
            _ => context.out.refuse(id, ErrorCode::OperationUnavail, "this line cannot do that"),
        });
    }

    /// Dropping a call that is over already is done. Its runs of digits end before the reply, since nothing may come between
    /// that and the release.
    pub(super) fn drop_asked(&mut self, now: Time, id: CommandId, call: CallRef) {
        if let Calls::Cellular(cellular) = &mut self.calls {
            cellular.stop_digits(&mut self.out, call);
        }
        let kept = self.with(now, |calls, context| match calls {
            Calls::Analogue(analogue) => analogue.cannot_drop(context, call),
            Calls::Cellular(_) => None,
        });
        if let Some(text) = kept {
            return self.out.refuse(id, ErrorCode::OperationUnavail, text);
        }
        self.out.done(id);
        self.drop_call(now, call);
    }

    pub(super) fn hold(&mut self, now: Time, id: CommandId, call: CallRef, held: bool) {
        self.with(now, |calls, context| match calls {
            Calls::Cellular(cellular) => cellular.hold(context, id, call, held),
            Calls::Analogue(analogue) if held => analogue.hold(context, id, call),
            Calls::Analogue(analogue) => analogue.unhold(context, id, call),
        });
    }

    /// Tells whether a call can be placed now, where the server cannot know: it counts calls.
    pub(super) fn tell_able(&mut self) {
        let able = match (&self.life, &self.calls) {
            (Life::Through(_), Calls::Cellular(_)) => false,
            (Life::Ready, Calls::Analogue(analogue)) => analogue.able(&self.config.office),
            _ => true,
        };
        self.out.set_able(able);
    }

    /// Samples may look like XON and XOFF.
    pub(super) fn tell_raw(&mut self) {
        let raw = match &self.calls {
            Calls::Analogue(analogue) => analogue.hears_samples(),
            Calls::Cellular(_) => false,
        };
        self.out.set_raw(raw);
    }

    /// Whether calls can be placed; refused with the reason where not.
    pub(super) fn usable(&mut self, id: CommandId) -> bool {
        if let (Life::Ready, Some(Service::In)) = (&self.life, self.out.service()) {
            return true;
        }
        if matches!(self.life, Life::Through(_)) {
            self.out.refuse(id, ErrorCode::CallUnavail, "the line is in passthrough");
            return false;
        }
        let reason = match self.out.service() {
            Some(Service::Out { reason }) => reason.clone(),
            _ => "the line is not ready".to_owned(),
        };
        self.out.refuse(id, ErrorCode::InvalLineState, reason);
        false
    }
}
