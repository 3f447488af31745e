//! Provisional responses that are delivered reliably, and PRACK (RFC 3262), both roles.

use super::early::Early;
use super::request::{Request, send};
use super::{Call, Role, State, Timer};
use crate::endpoint::{Answer, Endpoint, Purpose};
use crate::message::{Message, Method, Name, Octets, description};
use crate::policy::Reliable;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tapi::{Cause, DisconnectMode, Time};
use tspi::ReleasedBy;

/// Most provisional responses that wait for the PRACK of the one before.
const MAX_WAITING: usize = 4;

/// What the called side keeps of its reliable responses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Provisionals {
    /// Whether the caller takes them.
    pub able: bool,
    /// Whether the caller takes nothing else.
    pub required: bool,
    /// Number of the last one; 0: none yet.
    rseq: u32,
    /// The one whose PRACK is awaited.
    out: Option<Out>,
    waiting: Vec<(u16, Option<Octets>)>,
    /// The body of a 2xx that waits for a PRACK.
    success: Option<Option<Octets>>,
    /// Whether a description went out reliably and PRACK came: the 2xx needs none.
    pub sealed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Out {
    rseq: u32,
    interval: Duration,
    described: bool,
}

impl Provisionals {
    /// Whether a PRACK must come before a 2xx may go.
    pub fn holds_success(&self) -> bool {
        self.out.as_ref().is_some_and(|out| out.described) || self.waiting.iter().any(|(_, body)| body.is_some())
    }

    /// Whether a 2xx waits already.
    pub fn success_waits(&self) -> bool {
        self.success.is_some()
    }
}

impl Call {
    /// Sends a provisional response: reliably where both sides want it so.
    pub(super) fn provisional(&mut self, ep: &mut Endpoint, now: Time, status: u16, body: Option<Vec<u8>>) {
        let answer = self.early_answer(ep, status, body.clone());
        if !self.provisionals.able {
            return self.answer_invite(ep, now, answer);
        }
        // The first reliable one to an INVITE without a description must offer (section 5): without media of ours there is
        // nothing to offer yet.
        if body.is_none() && self.session.is_none() && matches!(self.role, Role::Called { offer: None, .. }) {
            if !self.provisionals.required {
                self.answer_invite(ep, now, answer);
            }
            return;
        }
        if self.provisionals.out.is_some() {
            if self.provisionals.waiting.len() < MAX_WAITING {
                self.provisionals.waiting.push((status, body.map(Octets::from)));
            }
            return;
        }
        let first = 1 + u32::try_from(ep.random.below(1 << 30)).unwrap_or(0);
        let rseq = if self.provisionals.rseq == 0 { first } else { self.provisionals.rseq + 1 };
        let interval = ep.timing().t1;
        self.provisionals.rseq = rseq;
        self.provisionals.out = Some(Out { rseq, interval, described: body.is_some() });
        self.answer_invite(ep, now, answer.with("Require", "100rel").with("RSeq", rseq.to_string()));
        self.deadlines.set(Timer::Provisional, now + interval);
        self.deadlines.set(Timer::NoPrack, now + ep.timing().life());
    }

    fn early_answer(&self, ep: &Endpoint, status: u16, body: Option<Vec<u8>>) -> Answer {
        let contact = ep.contact(self.line);
        let answer = Answer { dialog: true, body, ..Answer::new(status) };
        answer.with("Contact", contact).with("Allow", crate::message::ALLOW)
    }

    /// No PRACK yet: once more, ever slower; T2 is no bound here (section 3).
    pub(super) fn repeat_provisional(&mut self, ep: &mut Endpoint, now: Time) {
        if let (Some(out), Some(tx)) = (&mut self.provisionals.out, self.invite) {
            out.interval *= 2;
            self.deadlines.set(Timer::Provisional, now + out.interval);
            ep.respond_again(tx);
        }
    }

    /// No PRACK at all: the INVITE is refused.
    pub(super) fn on_no_prack(&mut self, ep: &mut Endpoint, now: Time) {
        self.deadlines.clear(Timer::Provisional);
        if matches!(self.state, State::Offered | State::Alerting) {
            self.answer_invite(ep, now, Answer::new(504));
            self.state = State::Ended;
            let text = "the PRACK to our provisional response never arrived";
            self.release(ep, ReleasedBy::Remote, Cause::new(DisconnectMode::TempFailure).with_text(text));
        }
    }

    /// A final response is on its way: what was provisional is not sent again.
    pub(super) fn end_provisionals(&mut self) {
        self.deadlines.clear(Timer::Provisional);
        self.deadlines.clear(Timer::NoPrack);
        self.provisionals.waiting.clear();
    }

    /// A 2xx that must wait for a PRACK.
    pub(super) fn withhold(&mut self, body: Option<Vec<u8>>) {
        self.provisionals.success = Some(body.map(Octets::from));
    }

    /// Their PRACK.
    pub(super) fn on_prack(&mut self, ep: &mut Endpoint, now: Time, tx: u64, message: &Message<'_>) {
        let expected = self.provisionals.out.as_ref().map(|out| out.rseq);
        let cseq = if let Role::Called { cseq, .. } = &self.role { Some(*cseq) } else { None };
        let told = message.text(Name::RAck).and_then(rack);
        let (Some(rseq), Some(cseq), Some(told)) = (expected, cseq, told) else {
            return ep.respond(now, tx, Answer::new(481));
        };
        if told != (rseq, cseq) {
            return ep.respond(now, tx, Answer::new(481));
        }
        let described = self.provisionals.out.take().is_some_and(|out| out.described);
        self.deadlines.clear(Timer::Provisional);
        self.deadlines.clear(Timer::NoPrack);
        let answer = self.prack_answer(ep, described, message);
        self.provisionals.sealed |= described;
        ep.respond(now, tx, answer);
        if !matches!(self.state, State::Offered | State::Alerting) {
            return;
        }
        if !self.provisionals.waiting.is_empty() {
            let (status, body) = self.provisionals.waiting.remove(0);
            return self.provisional(ep, now, status, body.map(|body| body.0));
        }
        if let Some(body) = self.provisionals.success.take() {
            let body = if self.provisionals.sealed { None } else { body.map(|body| body.0) };
            self.succeed(ep, now, body);
        }
    }

    /// The description in a PRACK is the answer to our offer, or a new offer (section 5).
    fn prack_answer(&mut self, ep: &mut Endpoint, described: bool, message: &Message<'_>) -> Answer {
        let Some(theirs) = description(message) else {
            return Answer::new(200);
        };
        let Some(session) = self.session.as_mut().filter(|_| described || self.provisionals.sealed) else {
            return Answer::new(488).with("Warning", super::warning(ep, "an offer of the INVITE is not answered yet"));
        };
        let taken = if session.agreed().is_none() {
            session.accept(theirs).map(|agreed| (None, agreed))
        } else {
            session.answer(theirs, &mut ep.random).map(|(body, agreed)| (Some(body), agreed))
        };
        match taken {
            Ok((body, agreed)) => {
                self.report_media(ep, &agreed);
                Answer { body, ..Answer::new(200) }
            }
            Err(misfit) => Answer::new(488).with("Warning", super::warning(ep, &misfit.to_string())),
        }
    }

    /// A provisional response to our INVITE that wants a PRACK: whether it is the next one of its dialog.
    pub(super) fn is_next(policy: Reliable, early: &mut Early, message: &Message<'_>) -> Option<bool> {
        if policy == Reliable::Off || !message.has_tag(Name::Require, "100rel") || early.dialog.is_none() {
            return Some(false);
        }
        let rseq: u32 = message.text(Name::RSeq)?.trim().parse().ok().filter(|rseq| *rseq != 0)?;
        // One that came before, or after a gap, is left alone: the far end sends it again.
        if early.rseq.is_some_and(|last| last.checked_add(1) != Some(rseq)) {
            return None;
        }
        early.rseq = Some(rseq);
        Some(true)
    }

    /// Sends PRACK, with our answer where the response had an offer.
    pub(super) fn send_prack(
        &mut self,
        ep: &mut Endpoint,
        now: Time,
        tag: &str,
        message: &Message<'_>,
        body: Option<Vec<u8>>,
    ) {
        let about = (self.line, self.id);
        let Some(early) = self.early.get_mut(tag) else { return };
        if let (Some(dialog), Some(rseq), Some(cseq)) = (&mut early.dialog, early.rseq, message.cseq()) {
            let request =
                Request::new(Method::Prack, Purpose::Prack).with("RAck", format!("{rseq} {} INVITE", cseq.number));
            send(ep, now, about, dialog, request.sdp(body));
        }
    }

    /// Our PRACK was refused, or lost: the early dialog cannot be kept in step, unless the call was answered meanwhile.
    pub(super) fn on_prack_refused(&mut self, ep: &mut Endpoint, now: Time, status: u16) {
        if matches!(self.state, State::Proceeding | State::Ringing) && matches!(status, 408 | 481) {
            self.send_cancel(ep, now, None);
            let text = format!("our PRACK was answered with {status}");
            self.release(ep, ReleasedBy::Remote, Cause::new(DisconnectMode::TempFailure).with_text(text));
        }
    }
}

/// `RSeq CSeq INVITE`.
fn rack(text: &str) -> Option<(u32, u32)> {
    let mut words = text.split_whitespace();
    let (rseq, cseq) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    (words.next() == Some("INVITE") && words.next().is_none()).then_some((rseq, cseq))
}
