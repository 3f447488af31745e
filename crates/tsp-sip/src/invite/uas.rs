//! Calls that come in (RFC 3261 section 13.3).

use super::identity::facts;
use super::{Call, Role, Standing, State};
use crate::cause;
use crate::dialog::Dialog;
use crate::endpoint::{Answer, Endpoint};
use crate::message::{Message, Name, description};
use crate::policy::Reliable;
use crate::sdp::Session;
use crate::transport::Peer;
use tapi::{AnswerEvidence, Cause, DisconnectMode, ErrorCode, Time};
use tspi::{CallFacts, CallRef, CommandId, Event, LineRef, LocalRtp, Refusal, ReleasedBy, Report, Taken};

impl Call {
    /// A call out of an INVITE that was found good; its transaction is begun. `None` when it makes no dialog.
    pub fn offered(
        ep: &mut Endpoint,
        now: Time,
        (id, line, tx): (u64, u32, u64),
        (message, bytes): (&Message<'_>, &[u8]),
        (from, replaced): (Peer, Option<u64>),
    ) -> Option<Call> {
        let tag = ep.random.token(12);
        let dialog = Dialog::of_request(message, &tag, from)?;
        let offer = description(message).map(Into::into);
        let cseq = message.cseq()?.number;
        let policy = ep.policy(line);
        let mut call = Call::new(id, line, State::Offered, Role::Called { offer, cseq });
        let required = message.has_tag(Name::Require, "100rel");
        call.provisionals.required = required;
        call.provisionals.able =
            policy.reliable != Reliable::Off && (required || message.has_tag(Name::Supported, "100rel"));
        call.takes_update = message.has_tag(Name::Allow, "UPDATE");
        call.learn_abilities(message);
        call.timer = call.timer_answer(&policy, message).unwrap_or_default();
        call.list(ep, &dialog.call_id, &tag);
        call.dialog = Some(dialog);
        call.invite = Some(tx);
        ep.open.insert(id);
        ep.emit(Event::NewCall {
            line: LineRef(line),
            call: CallRef(id),
            facts: Box::new(CallFacts { replaces: replaced.map(CallRef), ..facts(message, policy.trust_identity) }),
        });
        call.report(ep, Report::Offered);
        ep.trace(line, Some(id), from.address, bytes);
        ep.assign(tx, id);
        ep.respond(now, tx, Answer::new(100));
        Some(call)
    }

    /// Sends a response to the first INVITE, with our tag.
    pub(super) fn answer_invite(&mut self, ep: &mut Endpoint, now: Time, answer: Answer) {
        if let (Some(tx), Some(dialog)) = (self.invite, &self.dialog) {
            ep.respond(now, tx, answer.tag(&dialog.local_tag));
        }
    }

    /// Lets it alert. The reply is given before.
    pub fn accept(&mut self, ep: &mut Endpoint, now: Time) {
        self.state = State::Alerting;
        self.provisional(ep, now, 180, None);
        self.report(ep, Report::Accepted);
    }

    /// Lets the far end hear us before the answer: 183 with our description.
    pub fn progress(&mut self, ep: &mut Endpoint, now: Time, local: LocalRtp, taken: CommandId) {
        let unable = matches!(self.role, Role::Called { offer: None, .. }) && !self.provisionals.able;
        let refusal = match (&self.session, unable) {
            (Some(_), _) => Some("call has its media already"),
            // An offer must not go in a response that may be lost (RFC 3261 section 13.2.1).
            (None, true) => Some("the caller offers no media and takes no reliable provisional responses"),
            (None, false) => None,
        };
        if let Some(text) = refusal {
            return ep.reply(taken, Err(Refusal::new(ErrorCode::OperationUnavail, text)));
        }
        let Some(body) = self.describe(ep, now, local, taken) else {
            return;
        };
        let news = self.state == State::Offered;
        self.state = State::Alerting;
        self.provisional(ep, now, 183, Some(body));
        if news {
            self.report(ep, Report::Accepted);
        }
        self.report_agreed(ep);
    }

    fn report_agreed(&mut self, ep: &mut Endpoint) {
        if let Some(agreed) = self.session.as_ref().and_then(Session::agreed).cloned() {
            self.report_media(ep, &agreed);
        }
    }

    /// Our description: the answer to the offer of the INVITE, else an offer; the command is replied to. When the two sides
    /// do not fit the call is refused with 488, and over.
    fn describe(&mut self, ep: &mut Endpoint, now: Time, local: LocalRtp, taken: CommandId) -> Option<Vec<u8>> {
        let Role::Called { offer, .. } = &self.role else {
            return None;
        };
        let mut session = Session::new(ep.random.next_u64(), local, &ep.policy(self.line));
        let description = match offer {
            Some(offer) => session.answer(&offer.0, &mut ep.random).map(|(body, _)| body),
            None => Ok(session.offer(&mut ep.random)),
        };
        match description {
            Ok(body) => {
                ep.reply(taken, Ok(Taken::Done));
                self.session = Some(session);
                Some(body)
            }
            Err(misfit) => {
                let text = misfit.to_string();
                ep.reply(taken, Err(Refusal::new(ErrorCode::OperationFailed, &text)));
                self.answer_invite(ep, now, Answer::new(488).with("Warning", warning(ep, &text)));
                self.state = State::Ended;
                let cause = Cause::new(DisconnectMode::Incompatible).with_text(text);
                self.release(ep, ReleasedBy::Remote, cause);
                None
            }
        }
    }

    /// Answers it: 200 with our description, as far as none went before; it waits for the PRACK of one that is on its way
    /// (RFC 3262 section 3).
    pub fn answer(&mut self, ep: &mut Endpoint, now: Time, local: LocalRtp, taken: CommandId) {
        if self.provisionals.success_waits() {
            let text = "call is being answered already";
            return ep.reply(taken, Err(Refusal::new(ErrorCode::InvalCallState, text)));
        }
        let body = match &self.session {
            Some(session) => {
                let body = session.again();
                ep.reply(taken, Ok(Taken::Done));
                Some(body).filter(|_| !self.provisionals.sealed)
            }
            None => match self.describe(ep, now, local, taken) {
                Some(body) => Some(body),
                None => return,
            },
        };
        if self.provisionals.holds_success() {
            return self.withhold(body);
        }
        self.succeed(ep, now, body);
    }

    /// Sends the 200.
    pub(super) fn succeed(&mut self, ep: &mut Endpoint, now: Time, body: Option<Vec<u8>>) {
        let contact = ep.contact(self.line);
        let mut answer = Answer { dialog: true, body, ..Answer::new(200) }.with("Contact", contact);
        answer = answer.abilities_of(&super::supported(&ep.policy(self.line)));
        let who = ep.lines.get(self.line as usize);
        let who = who.and_then(|line| super::identity::ours(&line.config, false, false));
        // A preferred identity is for requests (RFC 3325 section 9.2).
        let who = who.filter(|(name, _)| *name != "P-Preferred-Identity");
        answer.headers.extend(super::timer::answer_lines(self.timer.take()).into_iter().chain(who));
        self.answer_invite(ep, now, answer);
        self.end_provisionals();
        self.state = State::Answering;
        let Role::Called { cseq, .. } = self.role else {
            return;
        };
        self.role = Role::Called { offer: None, cseq };
        if let Some(tx) = self.invite {
            self.await_ack(ep, now, tx, cseq);
        }
        self.wind_up(now);
        self.report_agreed(ep);
    }

    /// Sends the caller elsewhere: 302 (RFC 3261 section 8.3) with Diversion.
    pub fn redirect(&mut self, ep: &mut Endpoint, now: Time, uri: &str) {
        let line = ep.lines.get(self.line as usize).map(|line| line.config.clone());
        let mut answer = Answer::new(302).with("Contact", format!("<{uri}>"));
        if let Some(line) = line {
            let by = format!("<sip:{}@{}>;reason=unconditional;counter=1;privacy=off", line.user, line.domain);
            answer = answer.with("Diversion", by);
        }
        self.answer_invite(ep, now, answer);
        self.end_provisionals();
        self.state = State::Ended;
        let redirection = super::identity::party(uri, None);
        self.tell(ep, CallFacts { redirection, ..CallFacts::default() });
        self.release(ep, ReleasedBy::Local, Cause::new(DisconnectMode::Forwarded));
    }

    /// The ACK to the first 200: the call is up.
    pub(super) fn on_first_ack(&mut self, ep: &mut Endpoint, now: Time, message: &Message<'_>) {
        self.state = State::Confirmed;
        if self.standing != Standing::Live {
            return self.bye(ep, now, &DisconnectMode::Normal);
        }
        let Some(session) = &mut self.session else {
            return;
        };
        let fresh = session.agreed().is_none();
        let agreed = match session.agreed().cloned() {
            Some(agreed) => Ok(agreed),
            None => session.accept(description(message).unwrap_or_default()),
        };
        match agreed {
            Ok(agreed) => {
                if fresh {
                    self.report_media(ep, &agreed);
                }
                self.report(ep, Report::Answered(AnswerEvidence::Local));
                if agreed.held_by_peer {
                    self.report(ep, Report::PeerHeld);
                }
            }
            Err(misfit) => {
                let text = format!("no answer to our offer came with the ACK: {misfit}");
                self.break_off(ep, now, Cause::new(DisconnectMode::Incompatible).with_text(text));
            }
        }
    }

    /// CANCEL for the first INVITE; the CANCEL itself is answered already.
    pub fn on_cancel(&mut self, ep: &mut Endpoint, now: Time, message: &Message<'_>) {
        if matches!(self.state, State::Offered | State::Alerting) {
            self.answer_invite(ep, now, Answer::new(487));
            self.end(ep, cause::of_cancel(message));
        }
    }
}

/// The words that go with a 488 (RFC 3261 section 20.43).
pub(crate) fn warning(ep: &Endpoint, text: &str) -> String {
    format!("304 {} {}", ep.config.listen, crate::message::quote(text))
}
