//! Commands of the server, and the answers of the modem to ours.

use super::*;

impl Analogue {
    /// Places a call. It is taken when `ATD` is written.
    pub(crate) fn make_call(
        &mut self,
        context: &mut Context<'_>,
        id: CommandId,
        to: &str,
        params: &CallParams,
        media: &LocalMedia,
    ) {
        let dialled = match dial::scan(to, context.profile, context.office, params.block_id) {
            Ok(dialled) => dialled,
            Err(refusal) => return context.out.reply(id, Err(refusal)),
        };
        let order = Order { id, dialled, stream: stream_of(media) };
        match &mut self.phase {
            Phase::OnHook { .. } if matches!(self.other, Other::None) => self.prepare(context, order),
            // Beside the held call.
            Phase::Parked if self.errands.is_empty() && matches!(self.duplex, Duplex::Closed) => {
                self.go_blind(context);
                self.dial_order(context, order);
            }
            Phase::HangingUp { next: next @ None } => *next = Some(order),
            _ => context.out.refuse(id, ErrorCode::CallUnavail, "the line is in use"),
        }
    }

    fn prepare(&mut self, context: &mut Context<'_>, order: Order) {
        self.enter(context);
        self.dial_order(context, order);
    }

    fn dial_order(&mut self, context: &mut Context<'_>, order: Order) {
        let text = self.dial_text(context, &order.dialled);
        dial(context, &text);
        self.phase = Phase::Preparing { order };
    }

    /// Into voice mode, with the samples carried as agreed.
    fn enter(&self, context: &mut Context<'_>) {
        let voice = voice_of(context);
        context.plain(&voice.enter, Purpose::Enter);
        for command in &voice.setup {
            context.plain(command, Purpose::Aside);
        }
        if let Some(method) = &self.method {
            context.plain(&method.vsm, Purpose::Aside);
        }
    }

    /// Answers the call that rings. It is taken when the answering command is written.
    pub(crate) fn answer(&mut self, context: &mut Context<'_>, id: CommandId, call: CallRef, media: &LocalMedia) {
        if matches!(&self.other, Other::Waiting(knock) if knock.call == call) {
            return self.answer_waiting(context, id, media);
        }
        match std::mem::replace(&mut self.phase, Phase::on_hook()) {
            Phase::Ringing(ringing) if ringing.call == call => {
                self.enter(context);
                let ask = Ask::new(&voice_of(context).answer, Purpose::Answer, context.profile.timeouts_ms.answer);
                context.ask(ask.accepts(Accepts::Call));
                self.phase = Phase::Answering { ringing, id, stream: stream_of(media) };
            }
            phase => {
                self.phase = phase;
                context.out.refuse(id, ErrorCode::InvalCallState, "the call does not ring");
            }
        }
    }

    /// The call alerts already: an analogue line has nothing to send.
    pub(crate) fn accept(&mut self, context: &mut Context<'_>, id: CommandId, call: CallRef) {
        match (&self.phase, &self.other) {
            (Phase::Ringing(Ringing { call: ours, .. }), _) | (_, Other::Waiting(Knock { call: ours, .. }))
                if *ours == call =>
            {
                context.out.done(id);
                context.out.report(call, Report::Accepted);
            }
            _ => context.out.refuse(id, ErrorCode::InvalCallState, "the call does not ring"),
        }
    }

    /// Ends the call, whatever it does. One that only rings is left to ring out: the line has no way to refuse it.
    pub(crate) fn drop_call(&mut self, context: &mut Context<'_>, call: CallRef) {
        match (self.call() == Some(call), &self.other) {
            // Off hook for a held call alone: on hook it is over.
            (false, Other::Held(held, _)) if held.call == call && self.call().is_none() => {
                self.other = Other::None;
                let cause = Cause::new(DisconnectMode::Normal);
                context.out.report(call, Report::Released { by: ReleasedBy::Local, cause });
                if let Phase::Preparing { order } = &self.phase {
                    context.out.refuse(order.id, ErrorCode::OperationFailed, "the held call was dropped");
                }
                return self.hang_up(context);
            }
            (_, Other::Held(..) | Other::Joined(_)) => {
                if self.call() == Some(call) || self.other.call() == Some(call) {
                    self.drop_one(context, call);
                }
                return;
            }
            (false, other) => {
                if other.call() == Some(call) {
                    self.drop_one(context, call);
                }
                return;
            }
            (true, _) => {}
        }
        if let Phase::Answering { id, .. } = &self.phase {
            context.out.refuse(*id, ErrorCode::OperationFailed, "the call was dropped");
        }
        let cause = Cause::new(DisconnectMode::Normal);
        context.out.report(call, Report::Released { by: ReleasedBy::Local, cause });
        match &self.phase {
            Phase::Ringing(ringing) => self.phase = Phase::Ignoring { last: ringing.last },
            _ => self.hang_up(context),
        }
    }

    /// Ends whatever there is, for good.
    pub(crate) fn shut_down(&mut self, context: &mut Context<'_>) {
        if let Some(call) = std::mem::take(&mut self.other).call() {
            let cause = Cause::new(DisconnectMode::Normal);
            context.out.report(call, Report::Released { by: ReleasedBy::Local, cause });
        }
        if let Some(call) = self.call() {
            return self.drop_call(context, call);
        }
        match &mut self.phase {
            Phase::Preparing { .. } | Phase::Parked | Phase::Abandoned => self.hang_up(context),
            Phase::HangingUp { next } => *next = None,
            _ => {}
        }
    }

    /// On hook: the stream is ended first, or the dialling.
    pub(super) fn hang_up(&mut self, context: &mut Context<'_>) {
        context.chat.forget_queue();
        self.errands = Errands::default();
        self.phase = Phase::HangingUp { next: None };
        match std::mem::replace(&mut self.duplex, Duplex::Closed) {
            Duplex::Open(flow) => {
                self.duplex = Duplex::Ending { flow, tries: 0 };
                self.end_stream(context);
            }
            Duplex::Starting if context.chat.in_flight() == Some(&Purpose::StreamStart) => {
                self.duplex = Duplex::Starting;
            }
            duplex @ (Duplex::Ending { .. } | Duplex::Closing) => self.duplex = duplex,
            Duplex::Closed | Duplex::Starting => {
                if let Some(Purpose::Dial | Purpose::Answer) = context.chat.in_flight() {
                    context.chat.abort(context.now);
                }
                self.on_hook(context);
            }
        }
    }

    pub(super) fn on_hook(&mut self, context: &mut Context<'_>) {
        self.duplex = Duplex::Closed;
        self.waiting = Waiting::default();
        if self.way == Way::Play {
            self.way = Way::Listen;
        }
        let voice = voice_of(context);
        let wait = context.profile.timeouts_ms.hangup;
        if std::mem::replace(&mut self.listens, Listens::ForDialTone) == Listens::Blind {
            context.plain(&voice.blind_off, Purpose::Aside);
        }
        for command in &voice.hangup {
            context.ask(Ask::new(command, Purpose::HangUp, wait));
        }
        context.plain(&voice.leave, Purpose::Leave);
    }

    /// A command of ours goes out now.
    pub(crate) fn sent(&mut self, context: &mut Context<'_>, purpose: &Purpose) {
        match (purpose, &self.phase) {
            (Purpose::Dial, Phase::Preparing { order }) => {
                let call = context.out.new_call();
                context.out.reply(order.id, Ok(Taken::Call(call)));
                context.out.report(call, Report::Dialing);
                let reversal = Reversal::of_placed(context.office);
                let talk = Talk { reversal, ..Talk::new(call, order.stream, context.now) };
                self.phase = Phase::Dialling { talk, rest: Rest::after(&order.dialled) };
            }
            (Purpose::Answer, Phase::Answering { id, .. }) => context.out.done(*id),
            _ => {}
        }
    }

    /// A command of ours ended.
    pub(crate) fn done(&mut self, context: &mut Context<'_>, purpose: &Purpose, text: &str, outcome: &Outcome) {
        match purpose {
            Purpose::Enter => self.entered(context, text, outcome),
            Purpose::Dial => self.dialled(context, text, outcome),
            Purpose::Answer => self.answer_done(context, text, outcome),
            Purpose::Recall => self.recalled(context, text, outcome),
            Purpose::StreamStart => self.stream_started(context, text, outcome),
            Purpose::StreamEnd => self.stream_end_done(context, outcome),
            Purpose::StreamOver => self.stream_over(context, outcome),
            Purpose::PlayOver => self.play_over(context, outcome),
            Purpose::HangUp | Purpose::Leave if *outcome == Outcome::TimedOut => {
                context.fail(format!("no answer to {text}: the line may be off hook"));
            }
            Purpose::Leave => self.left(context),
            _ => {}
        }
    }

    fn entered(&mut self, context: &mut Context<'_>, text: &str, outcome: &Outcome) {
        if matches!(outcome, Outcome::Final(result) if result.is_ok()) {
            return;
        }
        let why = format!("{text}: {}", words(outcome));
        match std::mem::replace(&mut self.phase, Phase::on_hook()) {
            Phase::Preparing { order } => {
                context.out.refuse(order.id, ErrorCode::OperationFailed, why);
                self.hang_up(context);
            }
            Phase::Answering { ringing, id, .. } => {
                context.out.refuse(id, ErrorCode::OperationFailed, why);
                context.chat.forget_queue();
                context.plain(&voice_of(context).leave, Purpose::Aside);
                self.phase = Phase::Ringing(ringing);
            }
            phase => self.phase = phase,
        }
    }

    fn dialled(&mut self, context: &mut Context<'_>, text: &str, outcome: &Outcome) {
        if matches!(self.phase, Phase::Abandoned) {
            self.phase = Phase::Parked;
            return self.go_on(context);
        }
        let Phase::Dialling { talk, rest } = &self.phase else { return };
        let (talk, rest) = (talk.clone(), rest.clone());
        let voice = voice_of(context);
        let ours = text.ends_with(';');
        if !ours && voice.dial.ends_with(';') && !matches!(outcome, Outcome::Final(FinalResult::Error(_))) {
            self.supervision = Supervision::Modem;
        }
        match outcome {
            Outcome::Final(result) if voice.dial_ok.iter().any(|ok| ok == result.text()) => {
                if let Some(rest) = rest {
                    self.part_dialled(context, talk, rest);
                } else if ours {
                    context.out.report(talk.call, Report::Proceeding);
                    self.listen(context, talk.call, true);
                    self.phase = Phase::Supervising { talk: Talk { since: context.now, ..talk } };
                    self.start_stream(context);
                } else {
                    self.answered(context, AnswerEvidence::ResultCode);
                }
            }
            // Nothing was dialled: the modem has to listen for the answer itself.
            Outcome::Final(FinalResult::Error(_)) if ours && rest.is_none() => {
                dial(context, text.trim_end_matches(';'))
            }
            // In data mode it hears no command: only DTR ends that.
            Outcome::Final(result @ FinalResult::Connect) => {
                self.released(context, cause::of_result(result, false));
                context.fail("a data modem answered, and ours is connected to it");
            }
            Outcome::Final(result) => {
                if *result == FinalResult::Busy {
                    context.out.report(talk.call, Report::Busy(BusyMode::Station));
                }
                self.released(context, cause::of_result(result, talk.ringback.is_some()));
            }
            Outcome::TimedOut => {
                let text = format!("no final result within {} ms", context.profile.timeouts_ms.dial);
                self.released(context, Cause::new(DisconnectMode::NoAnswer).with_text(text));
            }
        }
    }

    /// A part of the number is dialled: what is there of the rest follows, or is waited for.
    fn part_dialled(&mut self, context: &mut Context<'_>, talk: Talk, rest: Rest) {
        if rest.number.is_empty() {
            let until = context.now + Duration::from_millis(u64::from(context.profile.timeouts_ms.dial));
            self.phase = Phase::Partial { talk, until };
        } else {
            self.dial_part(context, talk, &Dialled { number: rest.number, more: rest.more });
        }
    }

    fn answer_done(&mut self, context: &mut Context<'_>, text: &str, outcome: &Outcome) {
        let Phase::Answering { ringing, stream, .. } = &self.phase else { return };
        let (call, stream) = (ringing.call, *stream);
        match outcome {
            Outcome::Final(result) if voice_of(context).answer_ok.iter().any(|ok| ok == result.text()) => {
                context.out.report(call, Report::Answered(AnswerEvidence::Local));
                let talk = Talk::new(call, stream, context.now);
                self.phase = Phase::Connected { talk };
                self.listen_for_its_end(context, call);
                self.start_stream(context);
            }
            outcome => {
                let mode = match outcome {
                    Outcome::Final(FinalResult::NoCarrier) => DisconnectMode::Cancelled,
                    _ => DisconnectMode::Unavail,
                };
                self.released(context, Cause::new(mode).with_text(format!("{text}: {}", words(outcome))));
            }
        }
    }

    /// The line is on hook.
    fn left(&mut self, context: &mut Context<'_>) {
        if let Phase::HangingUp { next } = &mut self.phase {
            let next = next.take();
            self.phase = Phase::on_hook();
            match (&mut self.other, next) {
                (Other::None, Some(order)) => self.prepare(context, order),
                (Other::None, None) => {}
                (_, Some(order)) => context.out.refuse(order.id, ErrorCode::CallUnavail, "another call rings"),
                // The one that waited rings now.
                (Other::Waiting(knock), None) => knock.last = context.now,
                (Other::Refused { .. }, None) => {
                    self.other = Other::None;
                    self.phase = Phase::Ignoring { last: context.now };
                }
                (Other::Held(..) | Other::Joined(_), None) => self.other = Other::None,
            }
        }
    }
}

pub(super) fn dial(context: &mut Context<'_>, text: &str) {
    let ask = Ask::new(text, Purpose::Dial, context.profile.timeouts_ms.dial);
    context.ask(ask.accepts(Accepts::Call));
}

impl Talk {
    pub(super) fn new(call: CallRef, stream: Option<StreamId>, now: Time) -> Talk {
        Talk {
            call,
            stream,
            ringback: None,
            busy: None,
            announced: None,
            since: now,
            restarts: 0,
            loud: now,
            recalled: None,
            ringing: None,
            reversal: Reversal::default(),
        }
    }
}

pub(crate) fn words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Final(result) => result.text().to_owned(),
        Outcome::TimedOut => "no answer in time".to_owned(),
    }
}
