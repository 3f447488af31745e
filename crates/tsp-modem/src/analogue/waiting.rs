//! A call that waits while another one is connected: told by its tone, by a caller id of type 2, or both.

use super::second::Wish;
use super::*;

/// A call that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Knock {
    pub(super) call: CallRef,
    pub(super) caller: CallerId,
    /// Its tone was heard last.
    pub(super) last: Time,
}

impl Analogue {
    /// The tone of a waiting call was heard.
    pub(super) fn knock(&mut self, context: &mut Context<'_>) {
        if context.office.answer_waiting.is_empty() {
            return;
        }
        let now = context.now;
        match (&mut self.other, &self.phase) {
            (Other::Waiting(knock), _) => knock.last = now,
            (Other::Refused { last }, _) => *last = now,
            (Other::None, Phase::Connected { .. }) => drop(self.new_knock(context, CallerId::default())),
            _ => {}
        }
    }

    fn new_knock(&mut self, context: &mut Context<'_>, caller: CallerId) -> CallRef {
        let call = context.out.new_call();
        let facts = CallFacts { origin: Some(CallOrigin::Inbound), ..facts_of(&caller) };
        context.out.event(Event::NewCall { line: LINE, call, facts: Box::new(facts) });
        context.out.report(call, Report::Offered);
        self.other = Other::Waiting(Knock { call, caller, last: context.now });
        call
    }

    /// A line of caller id while a call is connected (type 2): of the one that waits.
    pub(super) fn knocking_id(&mut self, context: &mut Context<'_>, line: &str) -> bool {
        let cid = &context.profile.cid;
        let words = Words { private: &cid.private, outside: &cid.outside };
        match &mut self.other {
            Other::Waiting(knock) => {
                let before = facts_of(&knock.caller);
                if !knock.caller.line(line, words) {
                    return false;
                }
                let after = facts_of(&knock.caller);
                if after != before {
                    context.out.facts(knock.call, after);
                }
                true
            }
            // Some modems tell who waits, and not that somebody does.
            Other::None if !context.office.answer_waiting.is_empty() => {
                let mut caller = CallerId::default();
                let told = caller.line(line, words);
                if told && caller.party().is_some() {
                    self.new_knock(context, caller);
                }
                told
            }
            _ => false,
        }
    }

    /// Answers the call that waits.
    pub(super) fn answer_waiting(&mut self, context: &mut Context<'_>, id: CommandId, media: &LocalMedia) {
        if !matches!(self.phase, Phase::Connected { .. }) || !self.errands.is_empty() {
            return context.out.refuse(id, ErrorCode::InvalCallState, "the line is between two calls");
        }
        context.out.done(id);
        self.want(context, Wish::AnswerWaiting(stream_of(media)));
    }

    /// When the one that waits is taken for gone.
    pub(super) fn knock_until(&self, context_gone: Duration, ring_gone: Duration) -> Option<Time> {
        let gone = if matches!(self.phase, Phase::OnHook { .. }) { ring_gone } else { context_gone };
        match &self.other {
            Other::Waiting(Knock { last, .. }) | Other::Refused { last } => Some(*last + gone),
            _ => None,
        }
    }

    /// Nothing was heard of the one that waits for long enough.
    pub(super) fn knock_gone(&mut self, context: &mut Context<'_>) {
        // The recall that answers it is under way.
        if matches!(self.errands.asked, Some(Wish::AnswerWaiting(_))) {
            return;
        }
        self.errands.waiting.retain(|wish| !matches!(wish, Wish::AnswerWaiting(_)));
        if let Some(call) = std::mem::take(&mut self.other).call() {
            let cause = Cause::new(DisconnectMode::Cancelled).with_text("it waits no longer");
            context.out.report(call, Report::Released { by: ReleasedBy::Remote, cause });
        }
    }
}
