//! Calls: one INVITE dialog each, of either side (RFC 3261 sections 9, 12 to 15; RFC 5407 for the races).
//!
//! ```text
//!  we call:    Resolving ─► Calling ─► Proceeding ─► Ringing ─────────┬─► Confirmed ─► Ending ─► Ended
//!                             └ drop ─► CancelHeld ─1xx─► Cancelled ──┘ (2xx after all: ACK, BYE)
//!  they call:  Offered ─► Alerting ─► Answering ─ACK─► Confirmed
//! ```
//! Each concern has its file: `early` and `reliable` for what comes before the answer, `modify` for changes of a session,
//! `timer` for its refreshes, `identity` for the parties, `info` for digits; `request` parts requests by method.
//!
//! What the server sees of a call is a machine of its own, [`Standing`]: it is released once, while the signalling above
//! may still go on.

mod acknowledge;
mod early;
mod extensions;
mod identity;
mod info;
mod modify;
mod readdress;
mod refer;
mod referred;
mod reliable;
mod replaces;
mod request;
mod timer;
mod uac;
mod uas;

pub(crate) use extensions::{admissible, extensions, supported};
pub(crate) use refer::Transfer;
pub(crate) use referred::Order;
pub(crate) use replaces::{EndedDialogs, replaces};
pub(crate) use uac::{Outgoing, destination};
pub(crate) use uas::warning;

use crate::cause;
use crate::dialog::Dialog;
use crate::endpoint::{Answer, Endpoint, Owner, Purpose, Wake};
use crate::message::{Message, Method};
use crate::sdp::{Agreed, Session};
use crate::transaction::Deadlines;
use acknowledge::Awaited;
use early::Early;
use info::Run;
use modify::Modify;
use reliable::Provisionals;
use request::Request;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use tapi::{Cause, DisconnectMode, ErrorCode, Party, Time};
use timer::SessionTimer;
use tspi::{CallRef, Event, LocalMedia, LocalRtp, ReleasedBy, RemoteMedia, RemoteRtp, Report};

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
    /// The call is over; a transfer that shares its dialog is not.
    Lingering,
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
    /// A reliable provisional response is sent again until its PRACK comes (RFC 3262 section 3).
    Provisional,
    /// PRACK never came.
    NoPrack,
    /// The session is to be refreshed (RFC 4028 section 10).
    Refresh,
    /// Nobody refreshed the session.
    Expire,
    /// The next digit is to be sent.
    Digit,
    /// A transfer of ours is to be heard of.
    Refer,
    /// A transfer of theirs is to be over.
    Referred,
    /// The far end talks to another, and has not ended this call.
    Superseded,
}

/// Who placed the call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Role {
    /// We did.
    Caller(Outgoing),
    /// They did, with this description and this number.
    Called { offer: Option<crate::message::Octets>, cseq: u32 },
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
    /// Branches of a fork, by the far end's tag, until one answers.
    early: BTreeMap<String, Early>,
    provisionals: Provisionals,
    modify: Modify,
    /// A change that waits for an ACK, or for another to be over.
    queued: Option<modify::Want>,
    session_timer: SessionTimer,
    /// What our 200 will say of it.
    timer: Option<String>,
    /// The shortest timer that the far end takes, in seconds.
    min_se_s: u32,
    /// Whether the far end takes UPDATE.
    takes_update: bool,
    /// Where audio goes, as it was told last.
    heard: Option<Box<RemoteRtp>>,
    /// Who the far end is, as it was told last.
    far: Option<Box<Party>>,
    /// Digits that are sent with INFO.
    runs: VecDeque<Run>,
    transfer: Transfer,
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
            early: BTreeMap::new(),
            provisionals: Provisionals::default(),
            modify: Modify::Idle,
            queued: None,
            session_timer: SessionTimer::Off,
            timer: None,
            min_se_s: 0,
            takes_update: false,
            heard: None,
            far: None,
            runs: VecDeque::new(),
            transfer: Transfer::default(),
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

    /// Takes it up after a crash. Of its transactions nothing is left, so nothing of it is under way.
    pub fn recover(&mut self, ep: &mut Endpoint) {
        (self.invite, self.awaited, self.queued, self.wake) = (None, None, None, None);
        self.early.clear();
        self.provisionals = Provisionals::default();
        self.modify = Modify::Idle;
        self.runs.clear();
        self.transfer = Transfer::default();
        self.deadlines.keep_only(&[Timer::Refresh, Timer::Expire]);
        if let Some(key) = &self.key {
            ep.dialogs.insert(key.clone(), self.id);
        }
        ep.open.insert(self.id);
        if let Some(line) = ep.lines.get_mut(self.line as usize).filter(|_| self.standing == Standing::Live) {
            line.live = line.live.saturating_add(1);
        }
    }

    /// The server knows nothing of it: it is hung up, and nobody hears of that.
    pub fn hang_up_unknown(&mut self, ep: &mut Endpoint, now: Time) {
        if let Some(line) = ep.lines.get_mut(self.line as usize).filter(|_| self.standing == Standing::Live) {
            line.live = line.live.saturating_sub(1);
        }
        self.standing = Standing::Closed;
        ep.open.remove(&self.id);
        self.hang_up(ep, now, None);
    }

    /// Whether a request belongs to its dialog.
    pub fn owns(&self, request: &Message<'_>) -> bool {
        match &self.dialog {
            Some(dialog) => dialog.owns(request),
            None => self.early.contains_key(request.from_tag().unwrap_or_default()),
        }
    }

    /// Whether a request from this address may be for it although the address is no peer's.
    pub fn hears(&self, ip: std::net::IpAddr) -> bool {
        let early = self.early.values().filter_map(|early| early.dialog.as_ref());
        early.chain(&self.dialog).any(|dialog| dialog.heard_from.ip() == ip || dialog.hop_ip() == Some(ip))
    }

    /// Brings its deadline into the common order, and takes it out of the tables when it is over. To be called after
    /// everything.
    pub fn settle(&mut self, ep: &mut Endpoint) {
        self.settle_transfer();
        if self.state == State::Ended {
            self.deadlines.clear_all();
            if let Some(key) = self.key.take().filter(|key| ep.dialogs.get(key) == Some(&self.id)) {
                ep.dialogs.remove(&key);
                ep.ended.add(key);
            }
            self.end_runs(ep);
            self.early.clear();
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
            self.relay(ep, &report);
            ep.report(self.id, report);
        }
    }

    /// Tells where audio goes, when that is news: a refreshed session restarts nothing.
    fn report_media(&mut self, ep: &mut Endpoint, agreed: &Agreed) {
        if self.heard.as_deref() == Some(&agreed.remote) {
            return;
        }
        self.heard = Some(Box::new(agreed.remote.clone()));
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
            let report = Report::Released { by, cause };
            self.relay(ep, &report);
            ep.report(self.id, report);
        }
    }

    /// The signalling is over, and the far end or the network ended it.
    fn end(&mut self, ep: &mut Endpoint, cause: Cause) {
        self.state = State::Ended;
        self.release(ep, ReleasedBy::Remote, cause);
    }

    /// Hangs up. Without a dialog there is nobody to tell.
    fn bye(&mut self, ep: &mut Endpoint, now: Time, why: &DisconnectMode) {
        self.end_runs(ep);
        self.deadlines.keep_only(&[Timer::Refer, Timer::Referred]);
        self.awaited = None;
        self.modify = Modify::Idle;
        self.queued = None;
        let mut request = Request::new(Method::Bye, Purpose::Bye);
        if let Some(reason) = cause::reason_of(why) {
            request = request.with("Reason", reason);
        }
        self.state = if self.send(ep, now, request).is_some() { State::Ending } else { State::Ended };
    }

    /// Our own failure to go on with a call that is up: the far end is told, the server too.
    fn break_off(&mut self, ep: &mut Endpoint, now: Time, cause: Cause) {
        self.bye(ep, now, &cause.mode);
        self.release(ep, ReleasedBy::Remote, cause);
    }

    /// Ends the call on command, whatever its state. The reply is given before.
    pub fn hang_up(&mut self, ep: &mut Endpoint, now: Time, reason: Option<DisconnectMode>) {
        self.decline(ep, now);
        match self.state {
            State::Resolving => self.state = State::Ended,
            State::Calling => {
                self.state = State::CancelHeld;
                if let Some(tx) = self.invite {
                    ep.withdraw(tx);
                }
            }
            State::Proceeding | State::Ringing => self.send_cancel(ep, now, reason.as_ref()),
            State::Offered | State::Alerting => {
                let mut answer = Answer::new(cause::status_of(reason.as_ref()));
                if let Some(reason) = reason.as_ref().and_then(cause::reason_of) {
                    answer = answer.with("Reason", reason);
                }
                self.answer_invite(ep, now, answer);
                self.state = State::Ended;
            }
            State::Confirmed => self.bye(ep, now, reason.as_ref().unwrap_or(&DisconnectMode::Normal)),
            // BYE must wait for ACK (RFC 3261 section 15).
            State::Answering => {}
            State::CancelHeld | State::Cancelled | State::Ending | State::Lingering | State::Ended => {}
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
        ep.call_closed(self.id);
    }

    /// The number of a request that is sent again with credentials in place of number `last`; none: nobody wants it any more.
    pub fn next_cseq(&mut self, purpose: Purpose, last: u32) -> Option<u32> {
        if purpose == Purpose::Invite {
            let wanted = !matches!(self.state, State::CancelHeld | State::Cancelled | State::Ended);
            if let (true, Role::Caller(outgoing)) = (wanted, &mut self.role) {
                outgoing.cseq = last + 1;
            }
            return wanted.then_some(last + 1);
        }
        match &mut self.dialog {
            Some(dialog) => {
                dialog.local_cseq += 1;
                let number = dialog.local_cseq;
                if purpose == Purpose::Refer {
                    self.refer_renumbered(number);
                }
                Some(number)
            }
            None => {
                let early = self.early.values_mut().filter_map(|early| early.dialog.as_mut());
                for dialog in early.filter(|dialog| dialog.local_cseq == last) {
                    dialog.local_cseq += 1;
                }
                Some(last + 1)
            }
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
                Timer::Provisional => self.repeat_provisional(ep, now),
                Timer::NoPrack => self.on_no_prack(ep, now),
                Timer::Refresh => self.refresh(ep, now),
                Timer::Expire => self.on_expired(ep, now),
                Timer::Digit => self.next_digit(ep, now),
                Timer::Refer => self.on_refer_unheard(ep),
                Timer::Referred => self.on_referred_expired(ep, now),
                Timer::Superseded => self.hang_up(ep, now, None),
            }
        }
    }

    fn on_bye(&mut self, ep: &mut Endpoint, now: Time, tx: u64, message: &Message<'_>) {
        ep.respond(now, tx, Answer::new(200));
        if matches!(self.state, State::Offered | State::Alerting) {
            self.answer_invite(ep, now, Answer::new(487));
        }
        self.decline(ep, now);
        // Our own BYE may cross theirs: its transaction ends by itself.
        self.end(ep, cause::of(message, true));
    }
}

#[cfg(test)]
mod tests;
