//! Changes of a call that is up: re-INVITE and UPDATE, both ways (RFC 3261 section 14, RFC 3311, RFC 6141), and the
//! refreshes of its session timer (RFC 4028).

use super::request::Request;
use super::{Call, Role, State, Timer, timer, warning};
use crate::cause;
use crate::endpoint::{Answer, Endpoint, Purpose};
use crate::message::{Message, Method, Name, description};
use crate::policy::HoldBy;
use crate::sdp::{Agreed, Misfit, Session};
use crate::transport::Peer;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tapi::{Cause, DisconnectMode, ErrorCode, Time};
use tspi::{Refusal, Report};

/// How often a change is tried again after a collision.
const MAX_COLLISIONS: u32 = 6;
/// When a refresh that failed for another reason is tried again.
const REFRESH_AGAIN: Duration = Duration::from_secs(10);

/// What a change of ours is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Want {
    /// Hold, or no longer.
    Hold(bool),
    /// Our address is another: nothing else changes.
    Address,
    /// Nothing but that the session lives on.
    Refresh,
}

/// A change of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Change {
    want: Want,
    /// Whether the far end's answer to an UPDATE sent us to re-INVITE.
    by_invite: bool,
    /// How often it collided, or was too short.
    tries: u32,
}

/// What is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Modify {
    /// Nothing.
    Idle,
    /// Our request is out, with what the session will be when it is accepted; none: it describes nothing.
    Ours { tx: u64, proposed: Option<Box<Session>>, change: Change },
    /// It collided with theirs: it is sent again later.
    Waiting(Change),
    /// They asked for an offer: our 200 has it, their ACK will have the answer.
    Theirs { proposed: Box<Session> },
}

impl Call {
    /// Whether a hold or an unhold can begin now, or as soon as an ACK comes.
    pub fn may_hold(&self, hold: bool) -> Result<(), Refusal> {
        let refuse = |code, text: &str| Err(Refusal::new(code, format!("call {}: {text}", self.id)));
        match (&self.state, &self.modify, &self.session) {
            (State::Confirmed, _, _) if matches!(self.queued, Some(Want::Hold(_))) => {
                refuse(ErrorCode::ResourceUnavail, "another change of it is under way")
            }
            (State::Confirmed, Modify::Idle | Modify::Theirs { .. }, Some(session)) if session.holds() == hold => {
                refuse(ErrorCode::InvalCallState, if hold { "is held already" } else { "is not held" })
            }
            (State::Confirmed, Modify::Idle | Modify::Theirs { .. }, Some(_)) => Ok(()),
            (State::Confirmed, Modify::Ours { change, .. } | Modify::Waiting(change), Some(session))
                if !matches!(change.want, Want::Hold(_)) && session.holds() != hold =>
            {
                Ok(())
            }
            (State::Confirmed, ..) => refuse(ErrorCode::ResourceUnavail, "another change of it is under way"),
            _ => refuse(ErrorCode::InvalCallState, "is not connected"),
        }
    }

    /// Holds, or no longer: at once, or once what is under way is over. The reply is given before.
    pub fn hold(&mut self, ep: &mut Endpoint, now: Time, hold: bool) {
        self.queued = Some(Want::Hold(hold));
        self.start_queued(ep, now);
    }

    /// Begins what waited.
    pub(super) fn start_queued(&mut self, ep: &mut Endpoint, now: Time) {
        if self.state == State::Confirmed
            && self.modify == Modify::Idle
            && self.awaited.is_none()
            && let Some(want) = self.queued.take()
            && (want != Want::Address || self.is_outside(ep))
        {
            self.change(ep, now, Change { want, by_invite: false, tries: 0 });
        }
    }

    /// The session is to be refreshed: a change that is under way does it too.
    pub(super) fn refresh(&mut self, ep: &mut Endpoint, now: Time) {
        if self.state != State::Confirmed {
            return;
        }
        if self.modify != Modify::Idle || self.awaited.is_some() {
            return self.deadlines.set(Timer::Refresh, now + REFRESH_AGAIN);
        }
        self.change(ep, now, Change { want: Want::Refresh, by_invite: false, tries: 0 });
    }

    /// Sends re-INVITE or UPDATE.
    fn change(&mut self, ep: &mut Endpoint, now: Time, change: Change) {
        let policy = ep.policy(self.line);
        let Some(session) = &self.session else { return };
        let update = self.takes_update && !change.by_invite;
        let (update, proposed, body) = match change.want {
            Want::Refresh if update => (true, None, None),
            Want::Refresh => (false, Some(Box::new(session.clone())), Some(session.again())),
            Want::Hold(_) | Want::Address => {
                let mut proposed = Box::new(session.clone());
                match change.want {
                    Want::Hold(hold) => proposed.set_hold(hold),
                    Want::Address | Want::Refresh => proposed.moved(),
                }
                let body = proposed.offer(&mut ep.random);
                (update && policy.hold_by == HoldBy::Update, Some(proposed), Some(body))
            }
        };
        let (method, purpose) =
            if update { (Method::Update, Purpose::Update) } else { (Method::Invite, Purpose::Reinvite) };
        let mut request = Request::new(method, purpose).with("Supported", super::supported(&policy));
        request.headers.extend(self.timer_headers(&policy));
        if let Some(tx) = self.send(ep, now, request.sdp(body)) {
            self.modify = Modify::Ours { tx, proposed, change };
        }
    }

    /// A response to our re-INVITE or UPDATE.
    pub(super) fn on_change_response(
        &mut self,
        ep: &mut Endpoint,
        now: Time,
        tx: u64,
        message: &Message<'_>,
        from: Peer,
    ) {
        let status = message.status().unwrap_or_default();
        if status < 200 {
            return;
        }
        let Modify::Ours { tx: ours, proposed, change } = self.modify.clone() else {
            // The call was ended meanwhile; a late 2xx is acknowledged all the same.
            return super::acknowledge::late(ep, tx, message, from);
        };
        if ours != tx {
            return super::acknowledge::late(ep, tx, message, from);
        }
        self.modify = Modify::Idle;
        if status < 300 {
            return self.on_change_success(ep, now, tx, message, (proposed, change));
        }
        if let (Some(proposed), Some(session)) = (&proposed, &mut self.session) {
            session.burn(proposed);
        }
        self.on_change_failure(ep, now, message, change);
        self.start_queued(ep, now);
    }

    fn on_change_failure(&mut self, ep: &mut Endpoint, now: Time, message: &Message<'_>, change: Change) {
        let status = message.status().unwrap_or_default();
        let update = message.cseq().is_some_and(|cseq| cseq.method == Method::Update);
        let tries = change.tries + 1;
        match (status, timer::min_se(message)) {
            (491, _) if tries <= MAX_COLLISIONS => self.back_off(ep, now, Change { tries, ..change }),
            (422, Some(least)) if tries <= timer::MAX_TOO_SHORT => {
                self.min_se_s = self.min_se_s.max(least);
                self.change(ep, now, Change { tries, ..change });
            }
            // Not with this method, or not without asking somebody (RFC 3311 section 5.2).
            (405 | 501 | 504, _) if update && !change.by_invite => {
                self.takes_update &= status == 504;
                self.change(ep, now, Change { by_invite: true, ..change });
            }
            _ if ends_the_call(status) => {
                let cause = cause::of(message, true);
                self.break_off(ep, now, cause);
            }
            _ => match change.want {
                Want::Hold(_) => {
                    let reason = format!("the far end refused the change: {}", message.summary());
                    self.report(ep, Report::Unchanged { reason });
                }
                Want::Address => {}
                Want::Refresh => {
                    let told = message
                        .text(Name::RetryAfter)
                        .and_then(|text| text.split([';', '(', ' ']).next()?.parse().ok());
                    self.deadlines.set(Timer::Refresh, now + told.map_or(REFRESH_AGAIN, Duration::from_secs));
                }
            },
        }
    }

    /// No answer to our re-INVITE or UPDATE.
    pub(super) fn on_change_timeout(&mut self, ep: &mut Endpoint, now: Time) {
        if self.state == State::Confirmed {
            let text = "no answer to the change or refresh of the call";
            self.break_off(ep, now, Cause::new(DisconnectMode::TempFailure).with_text(text));
        }
    }

    fn on_change_success(
        &mut self,
        ep: &mut Endpoint,
        now: Time,
        tx: u64,
        message: &Message<'_>,
        (proposed, change): (Option<Box<Session>>, Change),
    ) {
        if let Some(dialog) = &mut self.dialog {
            dialog.refresh(message);
        }
        if message.cseq().is_some_and(|cseq| cseq.method == Method::Invite) {
            self.send_ack(ep, tx, message, None);
        }
        self.learn(ep, message);
        self.timer_agreed(&ep.policy(self.line), now, message);
        let was_held = self.peer_holds();
        let taken = proposed.map(|mut proposed| {
            proposed.accept(description(message).unwrap_or_default()).map(|agreed| (proposed, agreed))
        });
        match taken {
            None => {}
            Some(Ok((proposed, agreed))) => {
                let done = if proposed.holds() { Report::Held } else { Report::Retrieved };
                self.session = Some(*proposed);
                self.report_media(ep, &agreed);
                if let Want::Hold(_) = change.want {
                    self.report(ep, done);
                }
                self.report_peer_hold(ep, was_held);
            }
            Some(Err(misfit)) => {
                // The far end believes in a session that we cannot have (RFC 6141 section 3.3).
                let text = format!("the answer to our offer does not fit: {misfit}");
                return self.break_off(ep, now, Cause::new(DisconnectMode::Incompatible).with_text(text));
            }
        }
        self.start_queued(ep, now);
    }

    fn peer_holds(&self) -> bool {
        self.session.as_ref().and_then(Session::agreed).is_some_and(|agreed| agreed.held_by_peer)
    }

    /// While we hold, the answer says nothing about whether the far end holds too: only a description of its own does.
    fn report_peer_hold(&self, ep: &mut Endpoint, was: bool) {
        match (was, self.peer_holds()) {
            (false, true) => self.report(ep, Report::PeerHeld),
            (true, false) => self.report(ep, Report::PeerRetrieved),
            _ => {}
        }
    }

    /// 491: the owner of the Call-ID waits 2.1 to 4 s, the other side 0 to 2 s, in steps of 10 ms.
    fn back_off(&mut self, ep: &mut Endpoint, now: Time, change: Change) {
        let millis = match self.role {
            Role::Caller(_) => 2_100 + 10 * ep.random.below(191),
            Role::Called { .. } => 10 * ep.random.below(201),
        };
        self.modify = Modify::Waiting(change);
        self.deadlines.set(Timer::Glare, now + Duration::from_millis(millis));
    }

    pub(super) fn on_glare_over(&mut self, ep: &mut Endpoint, now: Time) {
        let Modify::Waiting(change) = self.modify else {
            return;
        };
        if self.state != State::Confirmed {
            return;
        }
        if self.awaited.is_some() {
            // Their change is not acknowledged yet.
            self.deadlines.set(Timer::Glare, now + ep.timing().t1);
            return;
        }
        self.change(ep, now, change);
    }

    /// Why an offer of theirs cannot be looked at now: ours is out, or theirs is not answered yet (RFC 3311 section 5.2).
    fn collision(&self, ep: &mut Endpoint) -> Option<Answer> {
        match &self.modify {
            Modify::Ours { proposed: Some(_), .. } => Some(Answer::new(491)),
            Modify::Theirs { .. } => {
                let seconds = ep.random.below(11).to_string();
                Some(Answer::new(500).with("Retry-After", seconds))
            }
            Modify::Ours { proposed: None, .. } | Modify::Idle | Modify::Waiting(_) => None,
        }
    }

    /// Their re-INVITE.
    pub(super) fn on_reinvite(&mut self, ep: &mut Endpoint, now: Time, tx: u64, message: &Message<'_>) {
        if self.state != State::Confirmed {
            // Before our 200 is acknowledged, or while a BYE of ours is out.
            let status = if matches!(self.state, State::Ending | State::Lingering | State::Ended) { 481 } else { 491 };
            return ep.respond(now, tx, Answer::new(status));
        }
        if let Some(answer) = self.collision(ep) {
            return ep.respond(now, tx, answer);
        }
        let Some((proposed, body, agreed)) = self.propose(ep, now, tx, message) else {
            return;
        };
        let Some(lines) = self.renew(ep, now, tx, message) else {
            return;
        };
        let answer = Answer { dialog: true, body: Some(body), ..Answer::new(200) };
        self.accept_change(ep, now, tx, answer, lines);
        if let Some(cseq) = message.cseq() {
            self.await_ack(ep, now, tx, cseq.number);
        }
        match agreed {
            None => {
                if let Modify::Waiting(change) = self.modify {
                    self.deadlines.clear(Timer::Glare);
                    if change.want != Want::Refresh {
                        self.queued = Some(change.want);
                    }
                }
                self.modify = Modify::Theirs { proposed };
            }
            Some(agreed) => self.adopt(ep, *proposed, &agreed),
        }
    }

    /// Their UPDATE, in a call that is up or not yet.
    pub(super) fn on_update(&mut self, ep: &mut Endpoint, now: Time, tx: u64, message: &Message<'_>) {
        if matches!(self.state, State::Ending | State::Ended) {
            return ep.respond(now, tx, Answer::new(481));
        }
        if description(message).is_none() {
            if let Some(lines) = self.renew(ep, now, tx, message) {
                self.accept_change(ep, now, tx, Answer::new(200), lines);
            }
            return;
        }
        if let Some(answer) = self.unready(ep, message) {
            return ep.respond(now, tx, answer);
        }
        if self.dialog.is_none() {
            return self.on_early_update(ep, now, tx, message);
        }
        let Some((proposed, body, Some(agreed))) = self.propose(ep, now, tx, message) else {
            return;
        };
        let Some(lines) = self.renew(ep, now, tx, message) else {
            return;
        };
        self.accept_change(ep, now, tx, Answer { body: Some(body), ..Answer::new(200) }, lines);
        self.adopt(ep, *proposed, &agreed);
    }

    /// Why an offer in an UPDATE cannot be looked at now: the exchange of the INVITE is not over.
    fn unready(&self, ep: &mut Endpoint, message: &Message<'_>) -> Option<Answer> {
        let later = |ep: &mut Endpoint| Some(Answer::new(500).with("Retry-After", ep.random.below(11).to_string()));
        match (&self.state, &self.role) {
            (State::Confirmed, _) => self.collision(ep),
            (State::Offered | State::Alerting, _) => {
                match self.session.as_ref().map(|session| session.agreed().is_some()) {
                    Some(true) if self.provisionals.sealed => None,
                    // Our own offer is out.
                    Some(false) => Some(Answer::new(491)),
                    _ => later(ep),
                }
            }
            (State::Answering, _) if self.session.as_ref().is_some_and(|session| session.agreed().is_none()) => {
                Some(Answer::new(491))
            }
            (State::Answering, _) => None,
            (_, Role::Caller(_)) => match self.early.get(message.from_tag().unwrap_or_default()) {
                Some(early) if early.sealed => None,
                // Our offer in the INVITE is not answered reliably.
                Some(_) => Some(Answer::new(491)),
                None => Some(Answer::new(481)),
            },
            _ => later(ep),
        }
    }

    /// An offer in an UPDATE of a branch that has not answered the call yet.
    fn on_early_update(&mut self, ep: &mut Endpoint, now: Time, tx: u64, message: &Message<'_>) {
        let Some(early) = self.early.get_mut(message.from_tag().unwrap_or_default()) else {
            return ep.respond(now, tx, Answer::new(481));
        };
        match early.session.answer(description(message).unwrap_or_default(), &mut ep.random) {
            Ok((body, agreed)) => {
                let Some(lines) = self.renew(ep, now, tx, message) else { return };
                self.accept_change(ep, now, tx, Answer { body: Some(body), ..Answer::new(200) }, lines);
                self.report_media(ep, &agreed);
            }
            Err(misfit) => self.refuse_change(ep, now, tx, misfit),
        }
    }

    /// What the session becomes by their request: our description, and what is agreed where theirs was an offer. Refused
    /// with 488 where it does not fit: what was agreed stays (RFC 3261 section 14.2).
    fn propose(
        &mut self,
        ep: &mut Endpoint,
        now: Time,
        tx: u64,
        message: &Message<'_>,
    ) -> Option<(Box<Session>, Vec<u8>, Option<Agreed>)> {
        let Some(session) = &self.session else {
            ep.respond(now, tx, Answer::new(500));
            return None;
        };
        let mut proposed = Box::new(session.clone());
        let answered = match description(message) {
            None => Ok((proposed.offer(&mut ep.random), None)),
            Some(offer) => proposed.answer(offer, &mut ep.random).map(|(body, agreed)| (body, Some(agreed))),
        };
        match answered {
            Ok((body, agreed)) => Some((proposed, body, agreed)),
            Err(misfit) => {
                self.refuse_change(ep, now, tx, misfit);
                None
            }
        }
    }

    fn refuse_change(&mut self, ep: &mut Endpoint, now: Time, tx: u64, misfit: Misfit) {
        let warning = warning(ep, &misfit.to_string());
        ep.respond(now, tx, Answer::new(488).with("Warning", warning));
    }

    /// What every change of theirs refreshes: the target, what is known of them, the session timer. `None`: their timer is
    /// too short, and the request is refused.
    fn renew(&mut self, ep: &mut Endpoint, now: Time, tx: u64, message: &Message<'_>) -> Option<Option<String>> {
        let policy = ep.policy(self.line);
        // Before the call is answered the timer is the INVITE's matter.
        let lines = if self.state == State::Confirmed || self.state == State::Answering {
            match self.timer_answer(&policy, message) {
                Ok(lines) => {
                    self.wind_up(now);
                    lines
                }
                Err(answer) => {
                    ep.respond(now, tx, answer);
                    return None;
                }
            }
        } else {
            None
        };
        let early = self.early.get_mut(message.from_tag().unwrap_or_default());
        if let Some(dialog) = self.dialog.as_mut().or_else(|| early.and_then(|early| early.dialog.as_mut())) {
            dialog.refresh(message);
        }
        self.learn(ep, message);
        Some(lines)
    }

    fn accept_change(&mut self, ep: &mut Endpoint, now: Time, tx: u64, answer: Answer, timer: Option<String>) {
        let mut answer = answer.with("Contact", ep.contact(self.line));
        answer = answer.abilities_of(&super::supported(&ep.policy(self.line)));
        answer.headers.extend(timer::answer_lines(timer));
        ep.respond(now, tx, answer);
    }

    /// What they changed is in force.
    fn adopt(&mut self, ep: &mut Endpoint, session: Session, agreed: &Agreed) {
        let was_held = self.peer_holds();
        self.session = Some(session);
        self.report_media(ep, agreed);
        if self.state == State::Confirmed {
            self.report_peer_hold(ep, was_held);
        }
    }

    /// ACK to our 200 to a re-INVITE.
    pub(super) fn on_modify_ack(&mut self, ep: &mut Endpoint, now: Time, message: &Message<'_>) {
        let Modify::Theirs { proposed } = &self.modify else {
            return;
        };
        let mut session = (**proposed).clone();
        self.modify = Modify::Idle;
        match session.accept(description(message).unwrap_or_default()) {
            Ok(agreed) => self.adopt(ep, session, &agreed),
            Err(misfit) => {
                let text = format!("no answer to our offer came with the ACK: {misfit}");
                self.break_off(ep, now, Cause::new(DisconnectMode::Incompatible).with_text(text));
            }
        }
    }
}

/// Statuses that end the dialog or its call, not only the request (RFC 5057 section 5.1).
fn ends_the_call(status: u16) -> bool {
    matches!(status, 404 | 405 | 408 | 410 | 416 | 480..=485 | 489 | 501 | 502 | 604)
}
