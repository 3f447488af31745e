//! Commands of the server, and the answers of the modem to ours.

use super::*;
use crate::analogue::words;
use crate::cause;
use crate::dial;
use crate::profile::ReleaseWhen;
use crate::response::Accepts;
use tapi::{AnswerEvidence, ErrorCode, OperationId};
use tspi::{CallParams, LocalMedia, Taken};

/// A call that the network does not let go of is asked for so often again before the modem is recovered.
const RELEASE_TRIES: usize = 4;

impl Cellular {
    /// Places a call. It is taken when `ATD` is written.
    pub(crate) fn make_call(
        &mut self,
        context: &mut Context<'_>,
        id: CommandId,
        to: &str,
        params: &CallParams,
        media: &LocalMedia,
    ) {
        let number = match dial::scan(to, context.profile, context.office, params.block_id) {
            Ok(dialled) => dialled.number,
            Err(refusal) => return context.out.reply(id, Err(refusal)),
        };
        if !context.cellular.allow_emergency && context.cellular.emergency_numbers.contains(&number) {
            let text = "this line does not dial emergency numbers: allow_emergency of its configuration lets it";
            return context.out.refuse(id, ErrorCode::OperationUnavail, text);
        }
        let releasing = self.calls.iter().any(|call| matches!(call.stage, Stage::Releasing { .. }));
        let free = self.calls.iter().all(|call| matches!(call.stage, Stage::Held | Stage::Releasing { .. }));
        // The calls of a conference are held as one.
        let held = |multiparty| {
            let held = |call: &&CellCall| call.stage == Stage::Held && call.multiparty == multiparty;
            self.calls.iter().filter(held).count()
        };
        if !free || held(false) + held(true).min(1) > 1 || self.announced.is_some() || self.next.is_some() {
            return context.out.refuse(id, ErrorCode::CallUnavail, "the line is in use");
        }
        let stream = match media {
            LocalMedia::Frames { stream } => Some(*stream),
            LocalMedia::Rtp(_) | LocalMedia::None => None,
        };
        let cell = cell_of(context);
        let template = cell.dial_withheld.as_ref().filter(|_| params.block_id).unwrap_or(&cell.dial);
        let command = template.replace("{n}", &number);
        let order = Order { id, command, stream, until: context.now + Duration::from_secs(10) };
        if releasing {
            self.next = Some(order);
        } else {
            self.dial(context, order);
        }
    }

    fn dial(&mut self, context: &mut Context<'_>, order: Order) {
        let call = context.out.new_call();
        let ask =
            Ask::new(order.command, Purpose::CellDial(call), context.profile.timeouts_ms.dial).accepts(Accepts::Call);
        self.hint = None;
        self.audio.prepare_ahead(context);
        let stage = Stage::Ordered { id: order.id };
        self.calls.push(CellCall::new(call, stage, order.stream, context.now));
        context.ask(ask);
        self.audio.prepare(context);
    }

    /// Dials what waits, once nothing is in its way.
    pub(super) fn dial_next(&mut self, context: &mut Context<'_>) {
        if self.next.is_some()
            && !self.calls.iter().any(|call| matches!(call.stage, Stage::Releasing { .. }))
            && let Some(order) = self.next.take()
        {
            self.dial(context, order);
        }
    }

    pub(crate) fn accept(&mut self, context: &mut Context<'_>, id: CommandId, call: CallRef) {
        match self.find(call) {
            Some(known) if known.stage == Stage::Offered => {
                context.out.done(id);
                context.out.report(call, Report::Accepted);
            }
            _ => context.out.refuse(id, ErrorCode::InvalCallState, "the call does not ring"),
        }
    }

    /// Answers. Another call that is active is held by it.
    pub(crate) fn answer(&mut self, context: &mut Context<'_>, id: CommandId, call: CallRef, media: &LocalMedia) {
        let other = self.calls.iter().any(|known| known.stage == Stage::Active);
        let cell = cell_of(context);
        if self.find(call).is_some_and(|known| known.stage == Stage::Offered) {
            self.audio.prepare_ahead(context);
        }
        match self.find(call) {
            Some(known) if known.stage == Stage::Offered => {
                if let LocalMedia::Frames { stream } = media {
                    known.stream = Some(*stream);
                }
                known.stage = Stage::Answering { id };
                let text = if other { &cell.swap } else { &cell.answer };
                let wait = context.profile.timeouts_ms.answer;
                context.ask(Ask::new(text, Purpose::CellAnswer(call), wait).accepts(Accepts::Call));
                self.audio.prepare(context);
            }
            _ => context.out.refuse(id, ErrorCode::InvalCallState, "the call does not ring"),
        }
    }

    /// Ends the runs of digits of a call.
    pub(crate) fn stop_digits(&mut self, out: &mut crate::context::Out, call: CallRef) {
        self.digits.call_ends(out, call);
    }

    /// Ends a call, whatever it does.
    pub(crate) fn drop_call(&mut self, context: &mut Context<'_>, call: CallRef) {
        self.digits.call_ends(context.out, call);
        let Some(known) = self.find(call) else { return };
        let before = known.stage.clone();
        match before {
            Stage::Releasing { .. } | Stage::Ordered { .. } => return,
            Stage::Answering { id } => context.out.refuse(id, ErrorCode::OperationFailed, "the call was dropped"),
            _ => {}
        }
        known.stage = Stage::Releasing { since: context.now, tries: 0 };
        known.wish = None;
        let waits = cell_of(context).release_one_when == ReleaseWhen::Alerting;
        if waits && matches!(before, Stage::Dialled | Stage::Proceeding) {
            known.not_before = Some(context.now + ALERTING);
        }
        let cause = Cause::new(DisconnectMode::Normal);
        context.out.report(call, Report::Released { by: ReleasedBy::Local, cause });
        if matches!(before, Stage::Ending { .. }) {
            self.calls.retain(|known| known.call != call);
            return self.after_end(context);
        }
        if let Some(Purpose::CellDial(dialled) | Purpose::CellAnswer(dialled)) = context.chat.in_flight()
            && *dialled == call
        {
            context.chat.abort(context.now);
        }
        match (before, self.rejection(context, call)) {
            (Stage::Offered, Some(command)) => {
                let wait = context.profile.timeouts_ms.hangup;
                context.ask(Ask::new(command, Purpose::CellRelease(call), wait));
                self.soon(context);
            }
            (before, _) => self.release(context, call, before == Stage::Offered),
        }
        self.tell_media(context);
    }

    /// What refuses a ringing call that is the only one.
    fn rejection(&self, context: &Context<'_>, call: CallRef) -> Option<String> {
        let [CellCall { call: only, index: Some(index), .. }] = self.calls.as_slice() else { return None };
        let template = cell_of(context).reject.as_ref().filter(|_| *only == call)?;
        Some(template.replace("{i}", &index.to_string()))
    }

    /// Asks the network to let go of a call: of it alone where others go on.
    pub(super) fn release(&mut self, context: &mut Context<'_>, call: CallRef, waiting: bool) {
        let others =
            self.calls.iter().any(|known| known.call != call && !matches!(known.stage, Stage::Releasing { .. }));
        let cell = cell_of(context);
        let now = context.now;
        let Some(known) = self.find(call) else { return };
        let Stage::Releasing { since, tries } = &mut known.stage else { return };
        if others && known.not_before.is_some_and(|at| now < at) {
            *since = now;
            return self.poll_by(now + millis(cell.poll_ms.setup));
        }
        let command = match (others, known.index) {
            (true, _) if waiting => Some(cell.reject_waiting.clone()),
            (true, Some(index)) => Some(cell.release_one.replace("{i}", &index.to_string())),
            // Only the list tells which one it is.
            (true, None) => None,
            (false, _) => cell.hangup.get(*tries % cell.hangup.len().max(1)).cloned(),
        };
        *since = context.now;
        *tries += 1;
        if *tries > RELEASE_TRIES {
            return context.fail("a call cannot be ended");
        }
        if let Some(command) = command {
            let wait = context.profile.timeouts_ms.hangup;
            context.ask(Ask::new(command, Purpose::CellRelease(call), wait));
        }
        self.soon(context);
    }

    pub(crate) fn hold(&mut self, context: &mut Context<'_>, id: CommandId, call: CallRef, held: bool) {
        let waiting = self.calls.iter().any(|known| matches!(known.stage, Stage::Offered | Stage::Answering { .. }));
        let cell = cell_of(context);
        let wanted = if held { Stage::Active } else { Stage::Held };
        match self.find(call) {
            Some(known) if known.stage == wanted && known.wish.is_none() && !waiting => {
                known.wish = Some((held, context.now + WISH));
                context.ask(Ask::new(&cell.swap, Purpose::CellSwap(call), context.profile.timeouts_ms.hangup));
                // Written or not yet, it is the network that decides: the list tells.
                context.out.done(id);
            }
            Some(_) if waiting => {
                context.out.refuse(id, ErrorCode::InvalCallState, "the call that waits would be answered by it");
            }
            _ => {
                let text = if held { "the call is not active" } else { "the call is not held" };
                context.out.refuse(id, ErrorCode::InvalCallState, text);
            }
        }
    }

    pub(crate) fn send_digits(
        &mut self,
        context: &mut Context<'_>,
        id: CommandId,
        call: CallRef,
        operation: OperationId,
        digits: &str,
        duration_ms: Option<u32>,
    ) {
        let good = |digit: char| matches!(digit, '0'..='9' | 'A'..='D' | '*' | '#' | ',');
        let active = self.find(call).is_some_and(|known| known.stage == Stage::Active);
        if !active {
            context.out.refuse(id, ErrorCode::InvalCallState, "the call is not active");
        } else if digits.is_empty() || digits.len() > digits::LONGEST_RUN || !digits.chars().all(good) {
            context.out.refuse(id, ErrorCode::InvalDigitList, "digits are 0-9, A-D, *, # and the comma");
        } else if self.digits.is_full() {
            context.out.refuse(id, ErrorCode::ResourceUnavail, "too many runs of digits wait");
        } else {
            context.out.done(id);
            let index = self.find(call).and_then(|known| known.index).unwrap_or(1);
            self.digits.begin(context, digits::Run::new(call, index, operation, digits, duration_ms));
        }
    }

    /// Ends all calls for good.
    pub(crate) fn shut_down(&mut self, context: &mut Context<'_>) {
        self.leaving = Leaving::Yes;
        self.next = None;
        self.announced = None;
        self.calls.retain(|call| !matches!(call.stage, Stage::Ordered { .. }));
        context.chat.forget_queue();
        if self.poll == Poll::Asked && context.chat.in_flight() != Some(&Purpose::CallList) {
            self.poll = Poll::At(context.now);
        }
        let calls: Vec<CallRef> = self.calls.iter().map(|call| call.call).collect();
        for call in calls {
            self.drop_call(context, call);
        }
    }

    /// A command of ours goes out now.
    pub(crate) fn sent(&mut self, context: &mut Context<'_>, purpose: &Purpose) {
        let now = context.now;
        match purpose {
            Purpose::CellDial(call) => {
                if let Some(known) = self.find(*call)
                    && let Stage::Ordered { id } = known.stage
                {
                    known.stage = Stage::Dialled;
                    known.since = now;
                    context.out.reply(id, Ok(Taken::Call(*call)));
                    context.out.report(*call, Report::Dialing);
                }
            }
            Purpose::CellAnswer(call) => {
                if let Some(CellCall { stage: Stage::Answering { id }, .. }) = self.find(*call) {
                    context.out.done(*id);
                }
            }
            _ => {}
        }
    }

    /// A command of ours ended.
    pub(crate) fn done(
        &mut self,
        context: &mut Context<'_>,
        purpose: &Purpose,
        text: &str,
        lines: &[String],
        outcome: &Outcome,
    ) {
        match purpose {
            Purpose::CallList => self.list_read(context, lines, outcome),
            Purpose::CellDial(call) => self.dialled(context, *call, outcome),
            Purpose::CellAnswer(call) => self.answer_done(context, *call, text, outcome),
            Purpose::CellRelease(call) => self.release_done(context, *call, outcome),
            Purpose::CellSwap(call) => match outcome {
                Outcome::Final(result) if result.is_ok() => self.soon(context),
                outcome => self.unchanged(context, *call, &format!("{text}: {}", words(outcome))),
            },
            Purpose::CellConference => match outcome {
                Outcome::Final(result) if result.is_ok() => self.soon(context),
                outcome => self.not_joined(context, &format!("{text}: {}", words(outcome))),
            },
            Purpose::CellTransfer(_) => self.transfer_done(context, text, outcome),
            Purpose::CellDeflect(call) => self.deflected(context, *call, text, outcome),
            Purpose::CellCause(call) => self.cause_read(context, *call, lines),
            Purpose::Digit => self.digits.done(context, outcome),
            Purpose::AudioStart => self.audio.begun(context, outcome),
            _ => self.line_done(context, purpose, text, lines, outcome),
        }
    }

    /// What concerns the line and none of its calls.
    fn line_done(
        &mut self,
        context: &mut Context<'_>,
        purpose: &Purpose,
        text: &str,
        lines: &[String],
        outcome: &Outcome,
    ) {
        match purpose {
            Purpose::Forward | Purpose::ForwardRead => self.forwarding.done(context, text, lines, outcome),
            Purpose::SmsSend | Purpose::SmsRead => self.sms.done(context, purpose, lines, outcome),
            Purpose::Ussd => self.ussd.done(context, outcome),
            Purpose::Late => self.late.done(context, outcome),
            purpose => {
                let woken = self.network.done(context, purpose, lines, outcome);
                self.sim_ready(context, woken);
            }
        }
    }

    fn dialled(&mut self, context: &mut Context<'_>, call: CallRef, outcome: &Outcome) {
        let rang = match self.find(call).map(|known| &known.stage) {
            Some(Stage::Dialled | Stage::Proceeding) => false,
            Some(Stage::Alerting) => true,
            _ => return,
        };
        match outcome {
            // `OK` says that it was accepted; without an answer the list decides.
            Outcome::Final(FinalResult::Ok) | Outcome::TimedOut => self.soon(context),
            Outcome::Final(FinalResult::Connect | FinalResult::Vcon) => {
                self.answered(context, call, AnswerEvidence::ResultCode);
                self.soon(context);
            }
            Outcome::Final(result) => {
                if *result == FinalResult::Busy {
                    context.out.report(call, Report::Busy(tapi::BusyMode::Station));
                }
                self.ask_cause(context, call, cause::of_result(result, rang));
            }
        }
    }

    fn answer_done(&mut self, context: &mut Context<'_>, call: CallRef, text: &str, outcome: &Outcome) {
        let Some(known) = self.find(call) else { return };
        if !matches!(known.stage, Stage::Answering { .. }) {
            return;
        }
        match outcome {
            Outcome::Final(FinalResult::Ok | FinalResult::Connect | FinalResult::Vcon) => {
                self.answered(context, call, AnswerEvidence::Local);
            }
            outcome => {
                known.stage = Stage::Offered;
                if matches!(outcome, Outcome::Final(FinalResult::NoCarrier)) {
                    self.hint = Some(Hint::of(DisconnectMode::Cancelled));
                }
                let reason = format!("{text}: {}", words(outcome));
                context.out.report(call, Report::Unchanged { reason });
            }
        }
        self.soon(context);
    }

    fn release_done(&mut self, context: &mut Context<'_>, call: CallRef, outcome: &Outcome) {
        let released = matches!(outcome, Outcome::Final(result) if result.is_ok());
        let Some(CellCall { stage: Stage::Releasing { .. }, .. }) = self.find(call) else { return };
        if released {
            self.hint = Some(Hint::of(DisconnectMode::Normal));
            if self.errors > LIST_ERRORS {
                // Without a list the word of the modem is all there is.
                self.calls.retain(|known| known.call != call);
                return self.after_end(context);
            }
            self.soon(context);
        } else {
            self.release(context, call, false);
        }
    }

    /// The far end answered, or we did.
    pub(super) fn answered(&mut self, context: &mut Context<'_>, call: CallRef, evidence: AnswerEvidence) {
        if let Some(known) = self.find(call) {
            known.stage = Stage::Active;
            context.out.report(call, Report::Answered(evidence));
        }
        self.audio.start(context);
        self.tell_media(context);
    }
}

impl CellCall {
    pub(super) fn new(call: CallRef, stage: Stage, stream: Option<StreamId>, now: Time) -> CellCall {
        CellCall {
            call,
            stage,
            index: None,
            not_before: None,
            stream,
            caller: None,
            called: None,
            why: None,
            since: now,
            last_ring: now,
            wish: None,
            multiparty: false,
            far_held: false,
            told: None,
        }
    }
}
