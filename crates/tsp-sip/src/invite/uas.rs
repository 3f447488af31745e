//! Calls that come in (RFC 3261 section 13.3).

use super::{Call, Role, Standing, State};
use crate::cause;
use crate::dialog::Dialog;
use crate::endpoint::{Answer, Endpoint};
use crate::message::{Message, NameAddr, Scheme, Uri, description};
use crate::sdp::Session;
use crate::transport::Peer;
use tapi::{AnswerEvidence, CallOrigin, Cause, DisconnectMode, ErrorCode, Party, Time};
use tspi::{CallFacts, CallRef, Event, LineRef, LocalRtp, Refusal, ReleasedBy, Report};

impl Call {
    /// A call out of an INVITE that was found good; its transaction is begun. `None` when it makes no dialog.
    pub fn offered(
        ep: &mut Endpoint,
        now: Time,
        (id, line, tx): (u64, u32, u64),
        (message, bytes): (&Message<'_>, &[u8]),
        from: Peer,
    ) -> Option<Call> {
        let tag = ep.random.token(12);
        let dialog = Dialog::of_request(message, &tag, from)?;
        let offer = description(message).map(Into::into);
        let mut call = Call::new(id, line, State::Offered, Role::Called { offer });
        call.list(ep, &dialog.call_id, &tag);
        call.dialog = Some(dialog);
        call.invite = Some(tx);
        ep.open.insert(id);
        ep.emit(Event::NewCall { line: LineRef(line), call: CallRef(id), facts: Box::new(facts(message)) });
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
        let contact = ep.contact(self.line);
        self.state = State::Alerting;
        self.answer_invite(ep, now, Answer { dialog: true, ..Answer::new(180) }.with("Contact", contact));
        self.report(ep, Report::Accepted);
    }

    /// Answers it: 200 with our description. When the two sides do not fit it is refused with 488, and over.
    pub fn answer(&mut self, ep: &mut Endpoint, now: Time, local: LocalRtp, taken: tspi::CommandId) {
        let Role::Called { offer } = &self.role else {
            return;
        };
        let mut session = Session::new(ep.random.next_u64(), local, &ep.policy(self.line));
        let description = match offer {
            Some(offer) => session.answer(&offer.0, &mut ep.random).map(|(body, _)| body),
            None => Ok(session.offer(&mut ep.random)),
        };
        let body = match description {
            Ok(body) => body,
            Err(misfit) => {
                let text = misfit.to_string();
                ep.reply(taken, Err(Refusal::new(ErrorCode::OperationFailed, &text)));
                self.answer_invite(ep, now, Answer::new(488).with("Warning", warning(ep, &text)));
                self.state = State::Ended;
                let cause = Cause::new(DisconnectMode::Incompatible).with_text(text);
                return self.release(ep, ReleasedBy::Remote, cause);
            }
        };
        ep.reply(taken, Ok(tspi::Taken::Done));
        let contact = ep.contact(self.line);
        let answer = Answer { dialog: true, body: Some(body), ..Answer::new(200) };
        self.answer_invite(ep, now, answer.with("Contact", contact).abilities());
        self.state = State::Answering;
        let agreed = session.agreed().cloned();
        self.session = Some(session);
        self.role = Role::Called { offer: None };
        if let (Some(tx), Some(cseq)) = (self.invite, self.dialog.as_ref().and_then(|dialog| dialog.remote_cseq)) {
            self.await_ack(ep, now, tx, cseq);
        }
        if let Some(agreed) = agreed {
            self.report_media(ep, &agreed);
        }
    }

    /// The ACK to the first 200: the call is up.
    pub(super) fn on_first_ack(&mut self, ep: &mut Endpoint, now: Time, message: &Message<'_>) {
        self.state = State::Confirmed;
        if self.standing != Standing::Live {
            return self.bye(ep, now);
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

fn facts(message: &Message<'_>) -> CallFacts {
    let target = message.uri().and_then(|uri| party(uri, None));
    CallFacts {
        address: Some(0),
        origin: Some(CallOrigin::External),
        caller: message.from().map(|from| caller(&from)),
        called: target.or_else(|| message.to().and_then(|to| party(to.uri, None))),
        network_id: message.call_id().map(str::to_owned),
        ..CallFacts::default()
    }
}

fn caller(from: &NameAddr<'_>) -> Party {
    let hidden = from.parsed().is_some_and(|uri| {
        uri.host.eq_ignore_ascii_case("anonymous.invalid")
            || uri.user.is_some_and(|user| user.eq_ignore_ascii_case("anonymous"))
    });
    if hidden {
        return Party::blocked();
    }
    party(from.uri, from.name()).unwrap_or_default()
}

/// A number as a number, anything else as its URI.
fn party(text: &str, name: Option<String>) -> Option<Party> {
    let uri = Uri::parse(text).ok()?;
    let user = uri.user_text();
    let number = user.filter(|user| {
        let digits = user.chars().any(|character| character.is_ascii_digit());
        digits && user.chars().all(|character| character.is_ascii_digit() || "+*#-.()".contains(character))
    });
    let address = match (uri.scheme, number) {
        (_, Some(number)) => number,
        (Scheme::Sip | Scheme::Sips, None) => {
            text.split([';', '?']).next().unwrap_or(text).chars().filter(|character| !character.is_control()).collect()
        }
        _ => text.to_owned(),
    };
    Some(Party::new(Some(address), name))
}
