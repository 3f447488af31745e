//! Requests that wait for a provider: each is answered exactly once.

use crate::call::{Dials, Draft, Flexible};
use crate::consult::Plan;
use crate::media::Kind;
use crate::server::Timer;
use crate::{ClientId, Output, ProviderId, Server};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tapi::{
    CallId, CallState, Error, ErrorCode, ForwardRule, InfoKind, LineId, Names, OperationId, Reply, RequestId,
    SessionId, Time, reply,
};
use tspi::{Action, Command, CommandId, Refusal, Taken};

/// How long a provider may take to take a command.
const COMMAND_DEADLINE: Duration = Duration::from_secs(20);

/// Who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asker {
    /// The connection on which it was asked; none once a restart cut it: numbers of connections begin anew then.
    pub(crate) client: Option<ClientId>,
    pub(crate) session: SessionId,
    pub(crate) id: RequestId,
}

/// A command that its provider has not answered.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Pending {
    /// Nobody when the server itself wants it, or the one who asked is gone.
    pub(crate) asker: Option<Asker>,
    pub(crate) provider: ProviderId,
    pub(crate) line: LineId,
    pub(crate) what: What,
    pub(crate) deadline: Time,
}

/// What was asked.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum What {
    /// To place this call: it exists once that is taken.
    Make(Box<Draft>),
    /// To answer.
    Answer(CallId),
    /// To end a call.
    Drop(CallId),
    /// To dial a further part of a number.
    Dial { call: CallId, to: String },
    /// To send digits.
    Digits(OperationId),
    /// To hold a call before another is placed.
    SetupHold(Box<Plan>),
    /// No command: the plan waits until its call is held.
    Setup(Box<Plan>),
    /// To swap two calls in one step.
    Swap { active: CallId, held: CallId },
    /// To hold the active one of two that are swapped.
    SwapHold(CallId),
    /// To retrieve the held one.
    SwapUnhold(CallId),
    /// To have the network transfer a call.
    Transfer(CallId),
    /// To send an incoming call elsewhere, as a policy or a rule says.
    Forward { call: CallId, to: String, line: Option<String>, or_bridge: Flexible },
    /// To have the network take a call into a conference.
    Conference { conference: CallId, call: CallId },
    /// To have the network make a conference of two.
    ConferenceOf { a: CallId, b: CallId },
    /// To have the network forward a line's calls.
    Rules { line: LineId, rules: Vec<ForwardRule> },
    /// Accept, hold, unhold: the reply is all there is to it.
    Plain,
}

impl Server {
    /// Sends a command that is answered.
    pub(crate) fn command(
        &mut self,
        now: Time,
        asker: Option<Asker>,
        (provider, line): (ProviderId, LineId),
        what: What,
        action: Action,
    ) -> CommandId {
        let id = CommandId(self.fresh_id());
        let deadline = now + COMMAND_DEADLINE;
        self.timers.insert((deadline, Timer::Command(id)));
        if let Some(asker) = asker {
            if let Some(session) = self.sessions.get_mut(&asker.session) {
                session.commands.insert(id);
            }
            if let Some(client) = asker.client.and_then(|client| self.clients.get_mut(&client)) {
                client.outstanding.insert(asker.id);
            }
        }
        if let (What::Make(_), Some(provider)) = (&what, self.providers.get_mut(&provider)) {
            provider.making += 1;
        }
        self.pending.insert(id, Pending { asker, provider, line, what, deadline });
        self.output(Output::Command { provider, command: Command { id, action } });
        id
    }

    /// Keeps a request that waits for what a provider reports.
    pub(crate) fn wait_for(
        &mut self,
        now: Time,
        asker: Option<Asker>,
        (provider, line): (ProviderId, LineId),
        what: What,
    ) -> CommandId {
        let id = CommandId(self.fresh_id());
        let deadline = now + COMMAND_DEADLINE;
        self.timers.insert((deadline, Timer::Command(id)));
        if let Some(session) = asker.and_then(|asker| self.sessions.get_mut(&asker.session)) {
            session.commands.insert(id);
        }
        self.pending.insert(id, Pending { asker, provider, line, what, deadline });
        id
    }

    /// What a request waited for is here.
    pub(crate) fn take_waiting(&mut self, id: CommandId) -> Option<(Option<Asker>, What)> {
        self.take_pending(id).map(|pending| (pending.asker, pending.what))
    }

    /// Sends a command whose answer does not matter.
    pub(crate) fn notify(&mut self, provider: ProviderId, action: Action) {
        if provider == ProviderId::SERVER {
            return;
        }
        let id = CommandId(self.fresh_id());
        self.output(Output::Command { provider, command: Command { id, action } });
    }

    /// Nobody waits for this command any more. Gives who did.
    pub(crate) fn orphan_command(&mut self, id: CommandId) -> Option<Asker> {
        let asker = self.pending.get_mut(&id)?.asker.take()?;
        if let Some(session) = self.sessions.get_mut(&asker.session) {
            session.commands.remove(&id);
        }
        Some(asker)
    }

    fn take_pending(&mut self, id: CommandId) -> Option<Pending> {
        let pending = self.pending.remove(&id)?;
        self.timers.remove(&(pending.deadline, Timer::Command(id)));
        if let Some(session) = pending.asker.and_then(|asker| self.sessions.get_mut(&asker.session)) {
            session.commands.remove(&id);
        }
        if let (What::Make(_), Some(provider)) = (&pending.what, self.providers.get_mut(&pending.provider)) {
            provider.making = provider.making.saturating_sub(1);
        }
        Some(pending)
    }

    /// A provider answered.
    pub(crate) fn completed(&mut self, now: Time, provider: ProviderId, id: CommandId, result: Result<Taken, Refusal>) {
        if self.pending.get(&id).is_none_or(|pending| pending.provider != provider) {
            return self.completed_late(provider, &result);
        }
        let Some(Pending { asker, line, what, .. }) = self.take_pending(id) else { return };
        let result = result.map_err(|refusal| Error::new(refusal.code, refusal.text));
        match what {
            What::Make(draft) => match result {
                Ok(Taken::Call(reference)) => self.made(now, provider, asker, *draft, reference),
                Ok(Taken::Done) => {
                    let error = ErrorCode::OperationFailed.because(format!("line {line}: the provider made no call"));
                    self.not_made(now, provider, asker, *draft, error);
                }
                Err(error) => self.not_made(now, provider, asker, *draft, error),
            },
            What::Answer(call) => self.answer_completed(now, asker, call, id, result.err()),
            What::Drop(call) => self.drop_completed(now, asker, call, result.err()),
            What::Digits(operation) => self.digits_completed(asker, operation, result.err()),
            What::Plain => self.answer_done(asker, result.err()),
            What::Dial { call, to } => self.part_taken(now, asker, (call, &to), result.err()),
            what => self.stepped(now, asker, what, result.map(|_| ())),
        }
    }

    /// A step of something that takes several was taken, or was not.
    fn stepped(&mut self, now: Time, asker: Option<Asker>, what: What, result: Result<(), Error>) {
        match what {
            What::SetupHold(plan) => self.setup_taken(now, asker, plan, result),
            What::Setup(plan) => {
                if let Some(call) = plan.consults().and_then(|of| self.calls.get_mut(&of)) {
                    call.control.setup = None;
                }
                self.answer_done(asker, result.err());
            }
            What::Swap { active, held } => match result {
                Err(error) if error.code == ErrorCode::OperationUnavail => self.swap_by_steps(now, asker, active, held),
                result => self.answer_done(asker, result.err()),
            },
            What::SwapHold(active) => {
                if result.is_err()
                    && let Some(call) = self.calls.get_mut(&active)
                {
                    call.control.swap = None;
                }
                self.answer_done(asker, result.err());
            }
            What::SwapUnhold(held) => {
                if result.is_err() {
                    self.swap_restores(now, held);
                }
            }
            What::Transfer(call) => self.transfer_taken(now, asker, call, result),
            What::Forward { call, to, line, or_bridge } => {
                self.forward_taken(now, (call, to, line), or_bridge, result.err());
            }
            What::Conference { conference, call } => self.conference_taken(now, asker, (conference, call), result),
            What::ConferenceOf { a, b } => self.conference_of_taken(now, asker, (a, b), result),
            What::Rules { line, rules } => self.rules_taken(now, asker, line, rules, result),
            What::Make(_) | What::Answer(_) | What::Drop(_) | What::Dial { .. } | What::Digits(_) | What::Plain => {}
        }
    }

    /// An answer to nothing: if it made a call, nobody wants that call any more.
    fn completed_late(&mut self, provider: ProviderId, result: &Result<Taken, Refusal>) {
        let Ok(Taken::Call(call)) = result else { return };
        if self.providers.get(&provider).is_some_and(|provider| !provider.calls.contains_key(call)) {
            self.notify(provider, Action::Drop { call: *call, reason: None });
            self.notify(provider, Action::CloseCall { call: *call });
        }
    }

    /// The provider did not answer in time.
    pub(crate) fn command_expired(&mut self, now: Time, id: CommandId) {
        let seconds = COMMAND_DEADLINE.as_secs();
        let error = ErrorCode::OperationFailed.because(format!("the provider did not answer within {seconds} s"));
        self.fail_command(now, id, error);
    }

    /// The provider will not answer any more.
    pub(crate) fn fail_command(&mut self, now: Time, id: CommandId, error: Error) {
        let Some(pending) = self.take_pending(id) else { return };
        match pending.what {
            What::Make(draft) => self.not_made(now, pending.provider, pending.asker, *draft, error),
            What::Answer(call) => {
                if let Some(call) = self.calls.get_mut(&call).filter(|call| call.answering == Some(id)) {
                    // Its answer may still be on its way: the port stays open for it.
                    call.answering = None;
                }
                self.answer_done(pending.asker, Some(error));
            }
            What::Drop(call) => self.drop_completed(now, pending.asker, call, Some(error)),
            What::Digits(operation) => self.digits_completed(pending.asker, operation, Some(error)),
            What::Dial { .. } | What::Plain => self.answer_done(pending.asker, Some(error)),
            what => self.stepped(now, pending.asker, what, Err(error)),
        }
    }

    /// Answers that it is taken, or why not.
    pub(crate) fn answer_done(&mut self, asker: Option<Asker>, error: Option<Error>) {
        if let Some(asker) = asker {
            self.answer(asker, error.map_or(Ok(Reply::Done(reply::Done {})), Err));
        }
    }

    fn answer_completed(
        &mut self,
        now: Time,
        asker: Option<Asker>,
        id: CallId,
        command: CommandId,
        error: Option<Error>,
    ) {
        let refused = error.is_some();
        self.answer_done(asker, error);
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.answering == Some(command)) else { return };
        call.answering = None;
        if refused && matches!(call.state, CallState::Offering(_) | CallState::Accepted) {
            self.close_media(now, id);
            // Nobody else would end a call that the server answers by itself.
            if asker.is_none() && self.calls.get(&id).is_some_and(|call| call.info.owners == 0) {
                self.hang_up(now, id);
            }
        }
    }

    /// A part of a number was dialled, or was not.
    fn part_taken(&mut self, now: Time, asker: Option<Asker>, (id, to): (CallId, &str), error: Option<Error>) {
        let taken = error.is_none();
        self.answer_done(asker, error);
        let Some(call) = self.calls.get_mut(&id).filter(|_| taken) else { return };
        if let Some(called) = &mut call.info.called.address {
            let begun = called.trim_end_matches(';').len();
            called.truncate(begun);
            called.push_str(to);
        }
        call.control.dials = Dials::of(to);
        // What can be done with it follows from that: no state is told twice.
        self.emit_info(now, id, Names::from([InfoKind::CalledId]), None);
    }

    /// What its owner wanted gone is gone, whether the far end or we were first; and what nobody owns may not stay
    /// because its provider will not let go.
    fn drop_completed(&mut self, now: Time, asker: Option<Asker>, id: CallId, error: Option<Error>) {
        let call = self.calls.get(&id);
        let ownerless = call.is_some_and(|call| call.info.owners == 0);
        let state = call.map(|call| call.state.clone());
        let error = error.filter(|_| state.as_ref().is_some_and(|state| !state.is_over()));
        let give_up = asker.is_none() && ownerless && error.is_some();
        self.answer_done(asker, error);
        if give_up || matches!(state, Some(CallState::Disconnected(_))) {
            self.enter(now, id, CallState::Idle);
        }
    }

    fn digits_completed(&mut self, asker: Option<Asker>, operation: OperationId, error: Option<Error>) {
        if error.is_some() {
            self.forget_operation(operation);
        }
        if let Some(asker) = asker {
            let started = Reply::Started(reply::Started { operation });
            self.answer(asker, error.map_or(Ok(started), Err));
        }
    }

    /// Whether `operation` is a run of digits that a provider sends.
    pub(crate) fn is_provider_digits(&self, operation: OperationId) -> bool {
        self.operations.get(&operation).is_some_and(|operation| operation.kind == Kind::ProviderDigits)
    }
}
