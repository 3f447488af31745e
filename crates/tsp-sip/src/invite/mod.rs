//! Calls: one INVITE dialog each, of either side (RFC 3261 sections 9, 12 to 15; RFC 5407 for the races).
//!
//! ```text
//!  we call:    Resolving ─► Calling ─► Proceeding ─► Ringing ─────────┬─► Confirmed ─► Ending ─► Ended
//!                             └ drop ─► CancelHeld ─1xx─► Cancelled ──┘ (2xx after all: ACK, BYE)
//!  they call:  Offered ─► Alerting ─► Answering ─ACK─► Confirmed
//! ```
//! What the server sees of a call is a machine of its own, [`Standing`]: it is released once, while the signalling above
//! may still go on.

mod modify;
mod uac;
mod uas;

pub(crate) use uac::{Outgoing, destination};
pub(crate) use uas::warning;

use crate::cause;
use crate::dialog::Dialog;
use crate::endpoint::{Answer, Endpoint, Owner, Purpose, Wake};
use crate::message::{Message, Method};
use crate::sdp::{Agreed, Session};
use crate::transaction::Deadlines;
use modify::Modify;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tapi::{Cause, DisconnectMode, ErrorCode, Time};
use tspi::{CallRef, Event, LocalMedia, LocalRtp, ReleasedBy, RemoteMedia, Report};

/// Where the signalling of a call is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    /// A name is looked up; nothing is sent yet.
    Resolving,
    /// INVITE is out, nothing came back.
    Calling,
    /// A provisional response came.
    Proceeding,
    /// The far end alerts.
    Ringing,
    /// Dropped before any response: CANCEL waits for one (RFC 3261 section 9.1).
    CancelHeld,
    /// CANCEL is sent.
    Cancelled,
    /// An INVITE came; 100 is sent.
    Offered,
    /// 180 is sent.
    Alerting,
    /// 200 is sent; its ACK is awaited.
    Answering,
    /// Both sides talk.
    Confirmed,
    /// BYE is sent.
    Ending,
    /// Over.
    Ended,
}

/// What the server knows of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Standing {
    /// It lives.
    Live,
    /// Its end is reported.
    Released,
    /// The server has forgotten it.
    Closed,
}

/// A call's own deadlines, beside those of its transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Timer {
    /// 2xx is sent again until ACK comes (RFC 3261 section 13.3.1.4).
    Success,
    /// ACK never came.
    NoAck,
    /// No final response came after CANCEL.
    GiveUp,
    /// The wait after a collision is over (RFC 3261 section 14.1).
    Glare,
}

/// Who placed the call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Role {
    /// We did.
    Caller(Outgoing),
    /// They did, with this description.
    Called { offer: Option<crate::message::Octets> },
}

/// A 2xx of ours that is repeated until its ACK comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Awaited {
    tx: u64,
    cseq: u32,
    interval: Duration,
}

/// A call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Call {
    pub id: u64,
    pub line: u32,
    pub state: State,
    pub standing: Standing,
    pub role: Role,
    /// The transaction of its first INVITE, ours or theirs.
    invite: Option<u64>,
    dialog: Option<Dialog>,
    session: Option<Session>,
    modify: Modify,
    awaited: Option<Awaited>,
    deadlines: Deadlines<Timer>,
    wake: Option<Time>,
    /// Name in the table of dialogs.
    key: Option<String>,
}

/// A call's name in the table of dialogs.
pub(crate) fn dialog_key(call_id: &str, local_tag: &str) -> String {
    [call_id, " ", local_tag].concat()
}

/// Our end of a call's audio, which must be RTP.
pub(crate) fn rtp(media: LocalMedia) -> Option<LocalRtp> {
    match media {
        LocalMedia::Rtp(local) if !local.formats.is_empty() => Some(local),
        _ => None,
    }
}

impl Call {
    fn new(id: u64, line: u32, state: State, role: Role) -> Call {
        Call {
            id,
            line,
            state,
            standing: Standing::Live,
            role,
            invite: None,
            dialog: None,
            session: None,
            modify: Modify::Idle,
            awaited: None,
            deadlines: Deadlines::default(),
            wake: None,
            key: None,
        }
    }

    /// Whether nobody needs it any more.
    pub fn is_done(&self) -> bool {
        self.state == State::Ended && self.standing == Standing::Closed
    }

    /// Whether a request belongs to its dialog.
    pub fn owns(&self, request: &Message<'_>) -> bool {
        self.dialog.as_ref().is_some_and(|dialog| dialog.owns(request))
    }

    /// Whether a request from this address may be for it although the address is no peer's.
    pub fn hears(&self, ip: std::net::IpAddr) -> bool {
        self.dialog.as_ref().is_some_and(|dialog| dialog.heard_from.ip() == ip || dialog.hop_ip() == Some(ip))
    }

    /// Brings its deadline into the common order, and takes it out of the tables when it is over. To be called after
    /// everything.
    pub fn settle(&mut self, ep: &mut Endpoint) {
        if self.state == State::Ended {
            self.deadlines.clear_all();
            if let Some(key) = self.key.take().filter(|key| ep.dialogs.get(key) == Some(&self.id)) {
                ep.dialogs.remove(&key);
            }
            self.dialog = None;
            self.session = None;
            self.awaited = None;
        }
        ep.wakes.set(Wake::Call(self.id), &mut self.wake, self.deadlines.next());
    }

    fn owner(&self, purpose: Purpose) -> Owner {
        Owner { line: self.line, call: Some(self.id), purpose }
    }

    fn list(&mut self, ep: &mut Endpoint, call_id: &str, local_tag: &str) {
        let key = dialog_key(call_id, local_tag);
        ep.dialogs.insert(key.clone(), self.id);
        self.key = Some(key);
    }

    fn report(&self, ep: &mut Endpoint, report: Report) {
        if self.standing == Standing::Live {
            ep.report(self.id, report);
        }
    }

    fn report_media(&self, ep: &mut Endpoint, agreed: &Agreed) {
        if self.standing == Standing::Live {
            let remote = RemoteMedia::Rtp(agreed.remote.clone());
            ep.emit(Event::Media { call: CallRef(self.id), remote });
        }
    }

    /// Reports the end, once.
    fn release(&mut self, ep: &mut Endpoint, by: ReleasedBy, cause: Cause) {
        if self.standing == Standing::Live {
            self.standing = Standing::Released;
            if let Some(line) = ep.lines.get_mut(self.line as usize) {
                line.live = line.live.saturating_sub(1);
            }
            ep.report(self.id, Report::Released { by, cause });
        }
    }

    /// The signalling is over, and the far end or the network ended it.
    fn end(&mut self, ep: &mut Endpoint, cause: Cause) {
        self.state = State::Ended;
        self.release(ep, ReleasedBy::Remote, cause);
    }

    /// Hangs up. Without a dialog there is nobody to tell.
    fn bye(&mut self, ep: &mut Endpoint, now: Time) {
        self.deadlines.clear_all();
        self.awaited = None;
        self.modify = Modify::Idle;
        let Some(dialog) = &mut self.dialog else {
            self.state = State::Ended;
            return;
        };
        dialog.local_cseq += 1;
        let (via, branch) = ep.via();
        let bytes = ep.finish(dialog.request(&Method::Bye, dialog.local_cseq, &via), None);
        let to = dialog.next_hop();
        self.state = State::Ending;
        ep.request(now, self.owner(Purpose::Bye), Method::Bye, &branch, to, bytes);
    }

    /// Our own failure to go on with a call that is up: the far end is told, the server too.
    fn break_off(&mut self, ep: &mut Endpoint, now: Time, cause: Cause) {
        self.bye(ep, now);
        self.release(ep, ReleasedBy::Remote, cause);
    }

    /// Ends the call on command, whatever its state. The reply is given before.
    pub fn hang_up(&mut self, ep: &mut Endpoint, now: Time, reason: Option<DisconnectMode>) {
        match self.state {
            State::Resolving => self.state = State::Ended,
            State::Calling => {
                self.state = State::CancelHeld;
                if let Some(tx) = self.invite {
                    ep.withdraw(tx);
                }
            }
            State::Proceeding | State::Ringing => self.send_cancel(ep, now),
            State::Offered | State::Alerting => {
                let answer = Answer::new(cause::status_of(reason.as_ref()));
                self.answer_invite(ep, now, answer);
                self.state = State::Ended;
            }
            State::Confirmed => self.bye(ep, now),
            // BYE must wait for ACK (RFC 3261 section 15).
            State::Answering => {}
            State::CancelHeld | State::Cancelled | State::Ending | State::Ended => {}
        }
        self.release(ep, ReleasedBy::Local, Cause::new(reason.unwrap_or(DisconnectMode::Normal)));
    }

    /// Nothing goes in or out any more: the server hears of it now, the far end as far as it can be told.
    pub fn lose(&mut self, ep: &mut Endpoint, now: Time, why: &str) {
        self.stop_resolving(ep, ErrorCode::InvalLineState, why);
        self.release(ep, ReleasedBy::Remote, Cause::new(DisconnectMode::Unavail).with_text(why));
        self.hang_up(ep, now, Some(DisconnectMode::Unavail));
    }

    /// The server forgets the call.
    pub fn close(&mut self, ep: &mut Endpoint, now: Time) {
        if self.standing == Standing::Live {
            self.hang_up(ep, now, None);
        }
        self.standing = Standing::Closed;
        ep.open.remove(&self.id);
    }

    /// A response to a request of this call.
    pub fn on_response(
        &mut self,
        ep: &mut Endpoint,
        now: Time,
        (tx, purpose): (u64, Purpose),
        message: &Message<'_>,
        from: crate::transport::Peer,
    ) {
        let status = message.status().unwrap_or_default();
        match purpose {
            Purpose::Invite => self.on_invite_response(ep, now, tx, message, from),
            Purpose::Reinvite => self.on_reinvite_response(ep, now, tx, message, from),
            Purpose::Bye if status >= 200 => self.on_bye_over(),
            Purpose::Bye | Purpose::Cancel | Purpose::Left | Purpose::Stray => {}
        }
    }

    /// A request of this call got no answer.
    pub fn on_timeout(&mut self, ep: &mut Endpoint, now: Time, purpose: Purpose) {
        match purpose {
            Purpose::Invite => self.on_invite_timeout(ep),
            Purpose::Reinvite => {
                let text = "no answer to the re-INVITE";
                self.break_off(ep, now, Cause::new(DisconnectMode::TempFailure).with_text(text));
            }
            Purpose::Bye => self.on_bye_over(),
            Purpose::Cancel | Purpose::Left | Purpose::Stray => {}
        }
    }

    /// A request of this call could not be sent, or its connection broke before an answer came.
    pub fn on_unsent(&mut self, ep: &mut Endpoint, now: Time, purpose: Purpose, why: &str) {
        match purpose {
            Purpose::Invite => self.on_invite_unsent(ep, why),
            _ => self.on_timeout(ep, now, purpose),
        }
    }

    fn on_bye_over(&mut self) {
        if self.state == State::Ending {
            self.state = State::Ended;
        }
    }

    /// A deadline of the call passed.
    pub fn on_wake(&mut self, ep: &mut Endpoint, now: Time) {
        self.wake = None;
        while let Some(timer) = self.deadlines.expired(now) {
            match timer {
                Timer::Success => self.repeat_success(ep, now),
                Timer::NoAck => {
                    let text = "the ACK to our 200 never arrived";
                    self.break_off(ep, now, Cause::new(DisconnectMode::TempFailure).with_text(text));
                }
                Timer::GiveUp => {
                    if let Some(tx) = self.invite.take() {
                        ep.abandon(tx);
                    }
                    self.state = State::Ended;
                }
                Timer::Glare => self.on_glare_over(ep, now),
            }
        }
    }

    /// A request within the dialog, already in a transaction.
    pub fn on_request(&mut self, ep: &mut Endpoint, now: Time, tx: u64, message: &Message<'_>) {
        let (Some(dialog), Some(cseq)) = (&mut self.dialog, message.cseq()) else {
            return ep.respond(now, tx, Answer::new(481));
        };
        if dialog.remote_cseq.is_some_and(|last| cseq.number <= last) {
            let answer = Answer { reason: Some("CSeq Out Of Order".to_owned()), ..Answer::new(500) };
            return ep.respond(now, tx, answer);
        }
        dialog.remote_cseq = Some(cseq.number);
        match cseq.method {
            Method::Bye => self.on_bye(ep, now, tx, message),
            Method::Invite => self.on_reinvite(ep, now, tx, message),
            Method::Options => ep.respond(now, tx, Answer::new(200).abilities()),
            _ => ep.respond(now, tx, Answer::new(405).with("Allow", crate::message::ALLOW)),
        }
    }

    fn on_bye(&mut self, ep: &mut Endpoint, now: Time, tx: u64, message: &Message<'_>) {
        ep.respond(now, tx, Answer::new(200));
        if matches!(self.state, State::Offered | State::Alerting) {
            self.answer_invite(ep, now, Answer::new(487));
        }
        // Our own BYE may cross theirs: its transaction ends by itself.
        self.end(ep, cause::of(message, true));
    }

    /// Begins to repeat a 2xx until its ACK comes.
    fn await_ack(&mut self, ep: &Endpoint, now: Time, tx: u64, cseq: u32) {
        let timing = ep.timing();
        self.awaited = Some(Awaited { tx, cseq, interval: timing.t1 });
        self.deadlines.set(Timer::Success, now + timing.t1);
        self.deadlines.set(Timer::NoAck, now + timing.life());
    }

    fn repeat_success(&mut self, ep: &mut Endpoint, now: Time) {
        let timing = ep.timing();
        if let Some(awaited) = &mut self.awaited {
            awaited.interval = timing.doubled(awaited.interval);
            self.deadlines.set(Timer::Success, now + awaited.interval);
            ep.respond_again(awaited.tx);
        }
    }

    /// An ACK that no transaction wanted: the one to our 2xx.
    pub fn on_ack(&mut self, ep: &mut Endpoint, now: Time, message: &Message<'_>) {
        let number = message.cseq().map(|cseq| cseq.number);
        if self.awaited.is_none_or(|awaited| Some(awaited.cseq) != number) {
            return;
        }
        self.awaited = None;
        self.deadlines.clear(Timer::Success);
        self.deadlines.clear(Timer::NoAck);
        match self.state {
            State::Answering => self.on_first_ack(ep, now, message),
            State::Confirmed => self.on_modify_ack(ep, now, message),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
