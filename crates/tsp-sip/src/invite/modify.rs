//! Changes of a call that is up: re-INVITE, both ways (RFC 3261 section 14, RFC 6141).

use super::uas::warning;
use super::{Call, Role, State, Timer};
use crate::cause;
use crate::endpoint::{Answer, Endpoint, Purpose};
use crate::message::{ALLOW, Message, Method, description};
use crate::sdp::{Misfit, Session};
use crate::transport::Peer;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tapi::{ErrorCode, Time};
use tspi::{Refusal, Report};

/// How often a re-INVITE is tried again after a collision.
const MAX_COLLISIONS: u32 = 6;

/// What is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Modify {
    /// Nothing.
    Idle,
    /// Our re-INVITE is out, with what the session will be when it is accepted.
    Ours { tx: u64, proposed: Box<Session>, collisions: u32 },
    /// It collided with theirs: it is sent again later.
    Waiting { hold: bool, collisions: u32 },
    /// They asked for an offer: our 200 has it, their ACK will have the answer.
    Theirs { proposed: Box<Session> },
}

impl Call {
    /// Whether a hold or an unhold can begin now.
    pub fn may_hold(&self, hold: bool) -> Result<(), Refusal> {
        let refuse = |code, text: &str| Err(Refusal::new(code, format!("call {}: {text}", self.id)));
        match (&self.state, &self.modify, &self.session) {
            (State::Confirmed, Modify::Idle, Some(session)) if session.holds() == hold => {
                refuse(ErrorCode::InvalCallState, if hold { "is held already" } else { "is not held" })
            }
            (State::Confirmed, Modify::Idle, Some(_)) if self.awaited.is_some() => {
                refuse(ErrorCode::ResourceUnavail, "a change by the far end is under way")
            }
            (State::Confirmed, Modify::Idle, Some(_)) => Ok(()),
            (State::Confirmed, ..) => refuse(ErrorCode::ResourceUnavail, "another change of it is under way"),
            _ => refuse(ErrorCode::InvalCallState, "is not connected"),
        }
    }

    /// Sends a re-INVITE. The reply is given before.
    pub fn hold(&mut self, ep: &mut Endpoint, now: Time, hold: bool) {
        self.reinvite(ep, now, hold, 0);
    }

    fn reinvite(&mut self, ep: &mut Endpoint, now: Time, hold: bool, collisions: u32) {
        let (Some(session), Some(dialog)) = (&self.session, &mut self.dialog) else {
            return;
        };
        let mut proposed = Box::new(session.clone());
        proposed.set_hold(hold);
        let offer = proposed.offer(&mut ep.random);
        dialog.local_cseq += 1;
        let (via, branch) = ep.via();
        let draft = dialog.request(&Method::Invite, dialog.local_cseq, &via);
        let draft = draft.header("Contact", ep.contact(self.line)).header("Allow", ALLOW);
        let bytes = ep.finish(draft, Some(&offer));
        let to = dialog.next_hop();
        let tx = ep.request(now, self.owner(Purpose::Reinvite), Method::Invite, &branch, to, bytes);
        self.modify = Modify::Ours { tx, proposed, collisions };
    }

    /// A response to our re-INVITE.
    pub(super) fn on_reinvite_response(
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
        let Modify::Ours { tx: ours, proposed, collisions } = self.modify.clone() else {
            // The call was ended meanwhile; a late 2xx is acknowledged all the same.
            return self.acknowledge_late(ep, now, tx, message, from);
        };
        if ours != tx {
            return self.acknowledge_late(ep, now, tx, message, from);
        }
        self.modify = Modify::Idle;
        let hold = proposed.holds();
        match status {
            200..=299 => self.on_reinvite_success(ep, now, tx, message, *proposed),
            491 if collisions < MAX_COLLISIONS => self.back_off(ep, now, hold, collisions + 1),
            _ if ends_the_call(status) => {
                let cause = cause::of(message, true);
                self.break_off(ep, now, cause);
            }
            _ => {
                let reason = format!("the far end refused the change: {}", message.summary());
                self.report(ep, Report::Unchanged { reason });
            }
        }
    }

    fn acknowledge_late(&mut self, ep: &mut Endpoint, _now: Time, tx: u64, message: &Message<'_>, from: Peer) {
        if message.status().is_some_and(|status| status < 300)
            && let Some(tag) = message.from_tag()
            && let Some(dialog) = crate::dialog::Dialog::of_response(message, tag, from)
        {
            self.send_ack(ep, tx, &dialog);
        }
    }

    fn on_reinvite_success(
        &mut self,
        ep: &mut Endpoint,
        now: Time,
        tx: u64,
        message: &Message<'_>,
        mut proposed: Session,
    ) {
        let Some(mut dialog) = self.dialog.take() else {
            return;
        };
        dialog.refresh(message);
        self.send_ack(ep, tx, &dialog);
        self.dialog = Some(dialog);
        let was_held = self.peer_holds();
        match proposed.accept(description(message).unwrap_or_default()) {
            Ok(agreed) => {
                let done = if proposed.holds() { Report::Held } else { Report::Retrieved };
                self.session = Some(proposed);
                self.report_media(ep, &agreed);
                self.report(ep, done);
                self.report_peer_hold(ep, was_held);
            }
            Err(misfit) => {
                // The far end believes in a session that we cannot have (RFC 6141 section 3.3).
                let text = format!("the answer to the re-INVITE does not fit: {misfit}");
                let cause = tapi::Cause::new(tapi::DisconnectMode::Incompatible).with_text(text);
                self.break_off(ep, now, cause);
            }
        }
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
    fn back_off(&mut self, ep: &mut Endpoint, now: Time, hold: bool, collisions: u32) {
        let millis = match self.role {
            Role::Caller(_) => 2_100 + 10 * ep.random.below(191),
            Role::Called { .. } => 10 * ep.random.below(201),
        };
        self.modify = Modify::Waiting { hold, collisions };
        self.deadlines.set(Timer::Glare, now + Duration::from_millis(millis));
    }

    pub(super) fn on_glare_over(&mut self, ep: &mut Endpoint, now: Time) {
        let Modify::Waiting { hold, collisions } = self.modify else {
            return;
        };
        if self.state == State::Confirmed {
            self.reinvite(ep, now, hold, collisions);
        }
    }

    /// Their re-INVITE.
    pub(super) fn on_reinvite(&mut self, ep: &mut Endpoint, now: Time, tx: u64, message: &Message<'_>) {
        if self.state != State::Confirmed {
            // Before our 200 is acknowledged, or while a BYE of ours is out.
            let status = if self.state == State::Ending { 481 } else { 491 };
            return ep.respond(now, tx, Answer::new(status));
        }
        match &self.modify {
            Modify::Ours { .. } => return ep.respond(now, tx, Answer::new(491)),
            Modify::Theirs { .. } => {
                let seconds = ep.random.below(11).to_string();
                return ep.respond(now, tx, Answer::new(500).with("Retry-After", seconds));
            }
            Modify::Idle | Modify::Waiting { .. } => {}
        }
        let was_held = self.peer_holds();
        let Some(session) = &self.session else {
            return ep.respond(now, tx, Answer::new(500));
        };
        let mut proposed = Box::new(session.clone());
        let answered = if description(message).is_none() {
            Ok((proposed.offer(&mut ep.random), None))
        } else {
            proposed
                .answer(description(message).unwrap_or_default(), &mut ep.random)
                .map(|(body, agreed)| (body, Some(agreed)))
        };
        let (body, agreed) = match answered {
            Ok(answered) => answered,
            Err(misfit) => return self.refuse_change(ep, now, tx, misfit),
        };
        if let Some(dialog) = &mut self.dialog {
            dialog.refresh(message);
        }
        let contact = ep.contact(self.line);
        let answer = Answer { dialog: true, body: Some(body), ..Answer::new(200) };
        ep.respond(now, tx, answer.with("Contact", contact).abilities());
        if let Some(cseq) = message.cseq() {
            self.await_ack(ep, now, tx, cseq.number);
        }
        match agreed {
            None => {
                if matches!(self.modify, Modify::Waiting { .. }) {
                    self.deadlines.clear(Timer::Glare);
                    let reason = "the far end asked for a new offer first".to_owned();
                    self.report(ep, Report::Unchanged { reason });
                }
                self.modify = Modify::Theirs { proposed };
            }
            Some(agreed) => {
                let changed = session_changed(self.session.as_ref(), &proposed);
                self.session = Some(*proposed);
                if changed {
                    self.report_media(ep, &agreed);
                }
                self.report_peer_hold(ep, was_held);
            }
        }
    }

    /// What was agreed stays (RFC 3261 section 14.2).
    fn refuse_change(&mut self, ep: &mut Endpoint, now: Time, tx: u64, misfit: Misfit) {
        let warning = warning(ep, &misfit.to_string());
        ep.respond(now, tx, Answer::new(488).with("Warning", warning));
    }

    /// ACK to our 200 to a re-INVITE.
    pub(super) fn on_modify_ack(&mut self, ep: &mut Endpoint, now: Time, message: &Message<'_>) {
        let Modify::Theirs { proposed } = &self.modify else {
            return;
        };
        let mut session = (**proposed).clone();
        self.modify = Modify::Idle;
        let was_held = self.peer_holds();
        match session.accept(description(message).unwrap_or_default()) {
            Ok(agreed) => {
                self.session = Some(session);
                self.report_media(ep, &agreed);
                self.report_peer_hold(ep, was_held);
            }
            Err(misfit) => {
                let text = format!("no answer to our offer came with the ACK: {misfit}");
                let cause = tapi::Cause::new(tapi::DisconnectMode::Incompatible).with_text(text);
                self.break_off(ep, now, cause);
            }
        }
    }
}

fn session_changed(before: Option<&Session>, after: &Session) -> bool {
    before.and_then(Session::agreed) != after.agreed()
}

/// Statuses that end the dialog or its call, not only the request (RFC 5057 section 5.1).
fn ends_the_call(status: u16) -> bool {
    matches!(status, 404 | 405 | 408 | 410 | 416 | 480..=485 | 489 | 501 | 502 | 604)
}
