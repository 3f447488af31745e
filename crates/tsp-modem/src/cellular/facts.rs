//! From the call list to facts about calls.

use super::*;
use crate::cause;
use crate::clcc::{Difference, Entry, Status};
use tapi::{AnswerEvidence, CallOrigin, PartyFlag};
use tspi::{CallFacts, Direction, RemoteMedia};

/// A call that was dialled is listed after so long.
const LISTED: Duration = Duration::from_millis(400);
/// The network is asked why a call ended for so long.
const CAUSE_WAIT_MS: u32 = 2_000;
/// A call that we ended and that still stands after this is ended once more.
const STILL_THERE: Duration = Duration::from_secs(8);

impl Cellular {
    pub(super) fn list_read(&mut self, context: &mut Context<'_>, lines: &[String], outcome: &Outcome) {
        self.poll = Poll::Off;
        if matches!(outcome, Outcome::Final(result) if result.is_ok()) {
            self.errors = 0;
            let list: Vec<Entry> = lines.iter().filter_map(|line| clcc::parse(line)).collect();
            let ended = self.hint.is_some();
            for difference in self.table.update(list.clone(), ended) {
                self.difference(context, difference);
            }
            self.reconcile(context, &list);
        } else {
            self.errors = self.errors.saturating_add(1);
            self.without_list(context);
        }
        self.dial_next(context);
        self.schedule(context);
    }

    fn difference(&mut self, context: &mut Context<'_>, difference: Difference) {
        match difference {
            Difference::Appeared(entry) => self.appeared(context, &entry),
            Difference::Changed(entry) => self.changed(context, &entry),
            Difference::Named(entry) => {
                if let Some(call) = self.calls.iter_mut().find(|call| call.index == Some(entry.index)) {
                    let anonymous = call.caller.as_ref().is_none_or(|party| party.address.is_none());
                    if entry.incoming && anonymous {
                        name(context, call, Party::new(entry.number, None));
                    }
                }
            }
            Difference::Gone(index) => {
                let gone = self.calls.iter().find(|call| call.index == Some(index)).map(|call| call.call);
                if let Some(call) = gone {
                    let hint = self.hint.take_if(|hint| hint.index.is_none_or(|told| told == index));
                    self.gone(context, call, hint.map_or(Cause::new(DisconnectMode::Unknown), |hint| hint.cause));
                }
            }
        }
    }

    fn appeared(&mut self, context: &mut Context<'_>, entry: &Entry) {
        // News may have told its number before the list did.
        if self.calls.iter().any(|call| call.index == Some(entry.index)) {
            return self.changed(context, entry);
        }
        let ours = self.calls.iter_mut().find(|call| {
            let incoming = matches!(call.stage, Stage::Offered | Stage::Answering { .. });
            let outgoing = matches!(call.stage, Stage::Dialled | Stage::Proceeding | Stage::Alerting | Stage::Active);
            call.index.is_none()
                && (matches!(call.stage, Stage::Releasing { .. }) || if entry.incoming { incoming } else { outgoing })
        });
        match ours {
            Some(call) => {
                call.index = Some(entry.index);
                self.changed(context, entry);
            }
            None if matches!(entry.status, Status::Incoming | Status::Waiting) && self.leaving == Leaving::No => {
                self.offer(context, Some(entry));
            }
            // A call that nobody here knows: made before we came, or by mistake. The line is ours.
            None => {
                let call = context.out.new_call();
                let stage = Stage::Releasing { since: context.now, tries: 0 };
                let mut stray = CellCall::new(call, stage, None, context.now);
                stray.index = Some(entry.index);
                self.calls.push(stray);
                self.release(context, call, false);
            }
        }
    }

    /// A call comes in.
    fn offer(&mut self, context: &mut Context<'_>, entry: Option<&Entry>) {
        let announced = self.announced.take().unwrap_or_default();
        let number = entry.and_then(|entry| entry.number.clone());
        let caller = announced.caller.or(number.map(|number| Party::new(Some(number), None)));
        let call = context.out.new_call();
        let mut known = CellCall::new(call, Stage::Offered, None, context.now);
        known.index = entry.map(|entry| entry.index);
        known.caller.clone_from(&caller);
        known.called.clone_from(&announced.called);
        self.calls.push(known);
        let Announced { called, reason, .. } = announced;
        let facts = CallFacts { origin: Some(CallOrigin::Inbound), caller, called, reason, ..CallFacts::default() };
        context.out.event(Event::NewCall { line: LINE, call, facts: Box::new(facts) });
        context.out.report(call, Report::Offered);
        self.audio.prepare_ahead(context);
    }

    fn changed(&mut self, context: &mut Context<'_>, entry: &Entry) {
        let Some(known) = self.calls.iter_mut().find(|call| call.index == Some(entry.index)) else { return };
        let call = known.call;
        let left = known.multiparty && !entry.multiparty;
        let entered = !known.multiparty && entry.multiparty;
        if left {
            known.multiparty = false;
            context.out.report(call, Report::Unconferenced);
        }
        match (&known.stage, entry.status) {
            (Stage::Active, Status::Active) if left => context.out.report(call, Report::Retrieved),
            (Stage::Held, Status::Held) if left => context.out.report(call, Report::Held),
            (Stage::Dialled, Status::Dialling) => {
                known.stage = Stage::Proceeding;
                context.out.report(call, Report::Proceeding);
            }
            (Stage::Dialled | Stage::Proceeding, Status::Alerting) => {
                known.stage = Stage::Alerting;
                context.out.report(call, Report::PeerRings);
            }
            (Stage::Dialled | Stage::Proceeding | Stage::Alerting, Status::Active) => {
                self.answered(context, call, AnswerEvidence::Signalled);
            }
            (Stage::Answering { .. } | Stage::Offered, Status::Active) => {
                self.answered(context, call, AnswerEvidence::Local);
            }
            (Stage::Releasing { .. }, Status::Alerting | Status::Active) => self.may_be_released(context, call),
            (Stage::Active, Status::Held) => {
                known.stage = Stage::Held;
                known.wish = None;
                context.out.report(call, Report::Held);
                self.tell_media(context);
            }
            (Stage::Held, Status::Active) => {
                known.stage = Stage::Active;
                known.wish = None;
                context.out.report(call, Report::Retrieved);
                self.tell_media(context);
            }
            _ => {}
        }
        if let Some(known) =
            self.find(call).filter(|known| entered && matches!(known.stage, Stage::Active | Stage::Held))
        {
            known.multiparty = true;
            context.out.report(call, Report::Conferenced);
        }
        self.joined();
    }

    /// A call that was dropped too early to be released alerts.
    pub(super) fn may_be_released(&mut self, context: &mut Context<'_>, call: CallRef) {
        if self.find(call).and_then(|known| known.not_before.take()).is_some() {
            self.release(context, call, false);
        }
    }

    /// A call is in the list no longer. What the modem said of its end is worth more than a guess.
    fn gone(&mut self, context: &mut Context<'_>, call: CallRef, cause: Cause) {
        if self.ends_by_transfer(context, call) {
            return;
        }
        let open = |call: &CellCall| {
            matches!(call.stage, Stage::Dialled | Stage::Proceeding | Stage::Alerting | Stage::Active | Stage::Held)
        };
        match self.find(call) {
            Some(known) if cause.q850.is_some() && open(known) => self.released(context, call, cause),
            _ => self.ending(context, call, cause.mode),
        }
    }

    /// What a good list says beyond its differences.
    fn reconcile(&mut self, context: &mut Context<'_>, list: &[Entry]) {
        let now = context.now;
        let unlisted = |call: &CellCall| call.index.is_none();
        if list.is_empty() {
            self.joining = None;
            self.never_listed(context);
            // What was rung for is not there (any more): the next ring asks again.
            if self.announced.as_ref().is_some_and(|announced| now.since(announced.last) > Duration::from_secs(2)) {
                self.announced = None;
            }
        }
        // Dropped before it was ever listed: a list without strays ends it.
        self.calls.retain(|call| {
            !(unlisted(call) && matches!(call.stage, Stage::Releasing { since, .. } if now > since) && list.is_empty())
        });
        let failed = self
            .calls
            .iter()
            .find(|call| unlisted(call) && call.stage == Stage::Dialled && now.since(call.since) >= UNLISTED);
        if let Some(call) = failed.map(|call| call.call) {
            let cause = Cause::new(DisconnectMode::TempFailure).with_text("dialled, and in no call list for 8 s");
            self.ask_cause(context, call, cause);
        }
        let standing = self
            .calls
            .iter()
            .find(|call| matches!(call.stage, Stage::Releasing { since, .. } if now.since(since) >= STILL_THERE));
        if let Some(call) = standing.map(|call| call.call) {
            self.release(context, call, false);
        }
    }

    /// The list is empty. A call that was dialled and never listed may have been listed a little later, unless the modem said
    /// that it ended.
    fn never_listed(&mut self, context: &mut Context<'_>) {
        let lone = match self.calls.as_slice() {
            [CellCall { call, index: None, stage: Stage::Dialled, since, .. }] => Some((*call, *since)),
            _ => None,
        };
        match lone {
            Some((_, since)) if context.now.since(since) < LISTED => {}
            Some((call, _)) => {
                if let Some(hint) = self.hint.take() {
                    self.ending(context, call, hint.cause.mode);
                }
            }
            None => self.hint = None,
        }
    }

    /// The list cannot be read.
    fn without_list(&mut self, context: &mut Context<'_>) {
        if self.announced.is_some() && !self.calls.iter().any(|call| call.stage == Stage::Offered) {
            self.offer(context, None);
        }
        let gone = millis(context.profile.timeouts_ms.ring_gone);
        let stale = self.calls.iter().find(|call| {
            call.stage == Stage::Offered && call.index.is_none() && context.now.since(call.last_ring) >= gone
        });
        if let Some(call) = stale.map(|call| call.call) {
            self.ending(context, call, DisconnectMode::Cancelled);
        }
    }

    /// A call is over: why?
    pub(super) fn ending(&mut self, context: &mut Context<'_>, call: CallRef, hint: DisconnectMode) {
        let Some(known) = self.find(call) else { return };
        let mode = match (&known.stage, hint) {
            (Stage::Releasing { .. }, _) => {
                self.calls.retain(|known| known.call != call);
                return self.after_end(context);
            }
            (Stage::Ending { .. } | Stage::Ordered { .. }, _) => return,
            (Stage::Offered | Stage::Answering { .. }, _) => DisconnectMode::Cancelled,
            (Stage::Active | Stage::Held, _) => DisconnectMode::Normal,
            (Stage::Alerting, DisconnectMode::Unknown) => DisconnectMode::NoAnswer,
            (_, hint) => hint,
        };
        if mode == DisconnectMode::Cancelled {
            return self.released(context, call, Cause::new(mode).with_text("the caller gave up"));
        }
        self.ask_cause(context, call, Cause::new(mode));
    }

    pub(super) fn ask_cause(&mut self, context: &mut Context<'_>, call: CallRef, cause: Cause) {
        self.explain(context, call);
        if let Some(known) = self.find(call) {
            known.stage = Stage::Ending { cause };
        }
        self.tell_media(context);
        let question = &cell_of(context).cause;
        let ask = Ask::new(question, Purpose::CellCause(call), CAUSE_WAIT_MS).expects("+CEER:");
        if question.is_empty() || !context.ask(ask) {
            self.cause_read(context, call, &[]);
        }
    }

    pub(super) fn cause_read(&mut self, context: &mut Context<'_>, call: CallRef, lines: &[String]) {
        let Some(CellCall { stage: Stage::Ending { cause }, why, .. }) = self.find(call) else { return };
        let (known, why) = (cause.clone(), why.take());
        let cause = lines.iter().fold(known, |cause, line| cause::with_ceer(cause, line));
        let cause = supplementary::explained(cause, why);
        self.released(context, call, cause);
    }

    fn released(&mut self, context: &mut Context<'_>, call: CallRef, cause: Cause) {
        self.digits.call_ends(context.out, call);
        self.calls.retain(|known| known.call != call);
        self.tell_media(context);
        context.out.report(call, Report::Released { by: ReleasedBy::Remote, cause });
        self.after_end(context);
    }

    pub(super) fn after_end(&mut self, context: &mut Context<'_>) {
        if self.calls.is_empty() {
            self.audio.stop(context);
        }
        self.dial_next(context);
    }

    /// A hold or a retrieval did not happen.
    pub(super) fn unchanged(&mut self, context: &mut Context<'_>, call: CallRef, reason: &str) {
        if let Some(known) = self.find(call)
            && known.wish.take().is_some()
        {
            context.out.report(call, Report::Unchanged { reason: reason.to_owned() });
        }
    }

    pub(super) fn wishes(&mut self, context: &mut Context<'_>) {
        let late = self.calls.iter().find(|call| call.wish.as_ref().is_some_and(|(_, until)| context.now >= *until));
        if let Some(call) = late.map(|call| call.call) {
            self.unchanged(context, call, "the call list does not show it");
        }
    }

    /// The audio port carries the call that is active; which way each call's audio flows is told where it changed.
    pub(super) fn tell_media(&mut self, context: &mut Context<'_>) {
        let active = self.calls.iter().find(|call| call.stage == Stage::Active);
        let (call, stream) = active.map_or((None, None), |call| (Some(call.call), call.stream));
        let stream = stream.filter(|_| self.audio.is_open());
        self.audio.carry(context, call, stream);
        for known in &mut self.calls {
            let direction = match known.stage {
                Stage::Active if known.stream.is_some() && known.stream == stream => Direction::SendRecv,
                Stage::Active | Stage::Held => Direction::Inactive,
                _ => continue,
            };
            if known.told.replace(direction) != Some(direction) && context.audio {
                let remote = RemoteMedia::Frames { direction };
                context.out.event(Event::Media { call: known.call, remote });
            }
        }
    }
}

/// The same caller as before, told once more without its name, keeps it.
pub(super) fn named_as(party: Party, before: Option<&Party>) -> Party {
    match before {
        Some(before) if party.name.is_none() && before.name.is_some() => {
            let mut party = party;
            party.flags.remove(&PartyFlag::Unknown);
            party.flags.insert(PartyFlag::Name);
            party.name.clone_from(&before.name);
            party
        }
        _ => party,
    }
}

/// More became known of who calls.
pub(super) fn name(context: &mut Context<'_>, call: &mut CellCall, party: Party) {
    let party = named_as(party, call.caller.as_ref());
    let nothing = party.flags.contains(&PartyFlag::Unknown);
    if nothing || call.caller.as_ref() == Some(&party) {
        return;
    }
    call.caller = Some(party.clone());
    context.out.facts(call.call, CallFacts { caller: Some(party), ..CallFacts::default() });
}
