//! What the network tells of a call beside its state: the caller's name (`+CNAP`), the number that was called (`+CDIP`), and
//! the notifications of supplementary services (`+CSSI`, `+CSSU`; 27.007 7.30, 7.9, 7.17).

use super::*;
use crate::clcc::dialable;
use crate::profile::NewsState;
use crate::response::fields;
use tapi::{CallReason, PartyFlag};
use tspi::CallFacts;

/// The longest name that is kept.
const LONGEST: usize = 80;
/// A call that ends within this time of its dialling, without a reason, was not let into the network.
const AT_ONCE: Duration = Duration::from_millis(1_500);

impl Cellular {
    /// Takes such a line.
    pub(super) fn told_beside(&mut self, context: &mut Context<'_>, line: &str) {
        if let Some(rest) = after(line, "+CNAP:") {
            self.caller_named(context, &fields(rest));
        } else if let Some(rest) = after(line, "+CDIP:") {
            self.number_called(context, &fields(rest));
        } else if let Some(rest) = after(line, "+CSSU:") {
            self.notified(context, &fields(rest));
        } else if let Some(rest) = after(line, "+CSSI:") {
            self.notified_of_ours(context, fields(rest).first().map_or("", String::as_str));
        }
    }

    /// `+CNAP: <name>[,<validity>]`: 0 valid, 1 withheld, 2 not available.
    fn caller_named(&mut self, context: &mut Context<'_>, fields: &[String]) {
        let valid = matches!(fields.get(1).map(String::as_str), None | Some("" | "0"));
        let Some(name) = fields.first().filter(|name| valid && !name.is_empty() && name.len() <= LONGEST) else {
            return;
        };
        if let Some(call) = self.calls.iter_mut().find(|call| call.stage == Stage::Offered) {
            let party = with_name(call.caller.clone(), name);
            facts::name(context, call, party);
        } else if let Some(announced) = &mut self.announced {
            announced.caller = Some(with_name(announced.caller.take(), name));
        }
    }

    /// `+CDIP: <number>,<type>[,<subaddress>,<its type>]`.
    fn number_called(&mut self, context: &mut Context<'_>, fields: &[String]) {
        let kind = fields.get(1).and_then(|kind| kind.parse().ok());
        let Some(number) = fields.first().and_then(|digits| dialable(digits, kind)) else { return };
        let called = Some(Party::new(Some(number), None));
        if let Some(call) = self.calls.iter_mut().find(|call| call.stage == Stage::Offered) {
            if call.called != called {
                call.called.clone_from(&called);
                context.out.facts(call.call, CallFacts { called, ..CallFacts::default() });
            }
        } else if let Some(announced) = &mut self.announced {
            announced.called = called;
        }
    }

    /// `+CSSU` of 27.007 7.17, of which these concern a call: 0 it was forwarded to us, 2 the far end holds us, 3 no longer,
    /// 8 it was joined to somebody else, 9 it was deflected to us. What others say shows in the list.
    fn notified(&mut self, context: &mut Context<'_>, fields: &[String]) {
        match fields.first().map_or("", String::as_str) {
            "0" | "9" => {
                let reason = Some(CallReason::Redirect);
                if let Some(call) = self.calls.iter().find(|call| call.stage == Stage::Offered) {
                    context.out.facts(call.call, CallFacts { reason, ..CallFacts::default() });
                } else if let Some(announced) = &mut self.announced {
                    announced.reason = reason;
                }
            }
            "2" => self.far_hold(context, None, NewsState::RemoteHeld),
            "3" => self.far_hold(context, None, NewsState::RemoteRetrieved),
            "8" => {
                let kind = fields.get(3).and_then(|kind| kind.parse().ok());
                let number = fields.get(2).and_then(|digits| dialable(digits, kind));
                let call = self.meant(None, |stage| *stage == Stage::Active);
                if let (Some(number), Some(call)) = (number, call) {
                    let connected = Some(Party::new(Some(number), None));
                    context.out.facts(call, CallFacts { connected, ..CallFacts::default() });
                }
            }
            _ => {}
        }
    }

    /// `+CSSI` of 27.007 7.17, about a call that we dial: 2 it was forwarded, 8 it was deflected; 5 our calls are barred, 6 the
    /// far end's are. The others end nothing and have no name in TAPI: the trace has them.
    fn notified_of_ours(&mut self, context: &mut Context<'_>, code: &str) {
        let ours = |stage: &Stage| matches!(stage, Stage::Dialled | Stage::Proceeding | Stage::Alerting);
        let Some(known) = self.calls.iter_mut().find(|call| ours(&call.stage)) else { return };
        let barred = |text: &str| Some(Cause::new(DisconnectMode::Blocked).with_text(text));
        match code {
            "2" | "8" => {
                let redirection = Some(Party::unavailable());
                context.out.facts(known.call, CallFacts { redirection, ..CallFacts::default() });
            }
            "5" => known.why = barred("calls from this line are barred in the network"),
            "6" => known.why = barred("the far end's incoming calls are barred in the network"),
            _ => {}
        }
    }

    /// A call is over; what explains it where the network gives no reason.
    pub(super) fn explain(&mut self, context: &Context<'_>, call: CallRef) {
        let text = self.network.refusal();
        let Some(known) = self.find(call) else { return };
        let young = context.now.since(known.since) < AT_ONCE;
        if young && known.why.is_none() && matches!(known.stage, Stage::Dialled | Stage::Proceeding) {
            known.why = Some(Cause::new(DisconnectMode::Unavail).with_text(text));
        }
    }
}

/// The cause, with what explains it where it says nothing.
pub(super) fn explained(cause: Cause, why: Option<Cause>) -> Cause {
    match why {
        Some(Cause { mode, text: Some(text), .. }) if cause.mode == DisconnectMode::Unknown && cause.q850.is_none() => {
            let said = cause.text.as_ref().map_or(text.clone(), |said| format!("{text} ({said})"));
            Cause { mode, text: Some(said), ..cause }
        }
        _ => cause,
    }
}

fn with_name(party: Option<Party>, name: &str) -> Party {
    let mut party = party.unwrap_or_else(Party::unknown);
    party.flags.remove(&PartyFlag::Unknown);
    party.flags.insert(PartyFlag::Name);
    party.name = Some(name.to_owned());
    party
}
