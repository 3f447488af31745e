//! Transfers that the far end asks for: its REFER, the server's decision, and the news that it gets of the new call.
//!
//! ```text
//!  202, NOTIFY 100 ─► Undecided ─accepted─► Placing ─final response to the new INVITE─► Telling ─► gone
//!                        └ rejected, or the call ends ─ 603 ────────────────────────────► Telling
//! ```
//! 202 is sent before the decision, which a person may take: a request other than INVITE must be answered within 32 s
//! (RFC 4320). So a rejection is news of the subscription, `SIP/2.0 603 Decline`; the REFER itself is refused only where
//! nobody need be asked.

use super::refer::{PACKAGE, unsubscribed};
use super::replaces::{Replaces, header_of};
use super::request::Request;
use super::{Call, Standing, State, Timer};
use crate::endpoint::{Answer, Endpoint, Purpose, Relay};
use crate::message::{Message, Method, Name, NameAddr, Octets, Scheme, Uri, vocabulary};
use crate::policy::Refer;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tapi::{Cause, Time};
use tspi::{CallRef, Event, Report, TransferRequest};

/// How long news is given.
const SUBSCRIPTION: Duration = Duration::from_secs(300);
/// Longest Referred-By that is copied, in bytes.
const MAX_BY: usize = 1_024;

/// A transfer that the far end asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Referred {
    stage: Stage,
    watch: Watch,
    until: Time,
    order: Order,
    /// The NOTIFY that is out.
    out: Option<u64>,
    /// What is told next.
    next: Option<(u16, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    /// The server is asked.
    Undecided,
    /// The new call is on its way.
    Placing,
    /// The last news is told.
    Telling,
}

/// Who hears of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Watch {
    Nobody,
    /// The first subscription of the dialog has no name.
    First,
    /// The others are named by the number of their REFER.
    Named(u32),
}

/// What is to be called instead, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    pub to: String,
    /// The values of the headers that the new INVITE has.
    pub replaces: Option<String>,
    pub by: Option<Octets>,
    /// Whether the one that is called must have Replaces.
    pub required: bool,
}

impl Order {
    /// The header lines that the new INVITE has.
    pub fn lines(&self) -> Vec<u8> {
        let mut lines = Vec::new();
        let mut push = |name: &str, value: &[u8]| {
            lines.extend_from_slice(name.as_bytes());
            lines.extend_from_slice(value);
            lines.extend_from_slice(b"\r\n");
        };
        if let Some(replaces) = &self.replaces {
            push("Replaces: ", replaces.as_bytes());
        }
        if self.required {
            push("Require: ", b"replaces");
        }
        if let Some(by) = &self.by {
            push("Referred-By: ", &by.0);
        }
        lines
    }
}

fn bad(reason: &str) -> Answer {
    Answer { reason: Some(format!("Bad Request - {reason}")), ..Answer::new(400) }
}

/// What a REFER asks for; an answer where nobody need be asked.
fn order(ep: &Endpoint, line: u32, message: &Message<'_>) -> Result<Order, Answer> {
    let mut values = message.values(Name::ReferTo);
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(bad("exactly one Refer-To"));
    };
    let target = NameAddr::parse(value).ok_or_else(|| bad("unreadable Refer-To"))?;
    let uri = target.parsed().ok_or_else(|| bad("unreadable Refer-To"))?;
    if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips | Scheme::Tel) {
        return Err(Answer::new(416));
    }
    // Only calls are placed at the wish of another.
    if uri.param("method").is_some_and(|method| method != "INVITE") {
        return Err(Answer::new(403));
    }
    let replaces = header_of(&uri, "Replaces").map_err(|()| bad("more than one Replaces"))?;
    let replaces = match replaces.map(|value| Replaces::parse(value.as_bytes())) {
        Some(None) => return Err(bad("unreadable Replaces")),
        Some(Some(replaces)) => Some(replaces.value()),
        None => None,
    };
    let required = replaces.is_some() && header_of(&uri, "Require").ok().flatten().is_some_and(|tag| tag == "replaces");
    let to = without_method(target.uri.split('?').next().unwrap_or_default());
    let ours = ep.lines.get(line as usize).ok_or_else(|| Answer::new(481))?;
    if ep.is_own(&uri) {
        return Err(Answer::new(482));
    }
    super::destination(&ours.config, &to).map_err(|_| Answer::new(403))?;
    let mut by = message.lines(Name::ReferredBy);
    let by = match (by.next(), by.next()) {
        (_, Some(_)) => return Err(bad("more than one Referred-By")),
        (by, None) => by.filter(|by| by.len() <= MAX_BY && NameAddr::parse(by).is_some()).map(Octets::from),
    };
    Ok(Order { to, replaces, by, required })
}

/// A URI without its `method` parameter, which no Request-URI has.
fn without_method(uri: &str) -> String {
    let mut parts = uri.split(';');
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts.filter(|part| part.split('=').next().is_none_or(|name| !name.eq_ignore_ascii_case("method"))) {
        kept.push(';');
        kept.push_str(part);
    }
    kept
}

impl Call {
    /// Their REFER.
    pub(super) fn on_refer(&mut self, ep: &mut Endpoint, now: Time, tx: u64, message: &Message<'_>) {
        let (Some(cseq), Some(dialog)) = (message.cseq(), &mut self.dialog) else { return };
        if matches!(self.state, State::Ending | State::Ended | State::Lingering) || self.standing != Standing::Live {
            return ep.respond(now, tx, Answer::new(481));
        }
        if self.state != State::Confirmed || self.transfer.theirs.is_some() {
            return ep.respond(now, tx, Answer::new(491));
        }
        let policy = ep.policy(self.line);
        if policy.refer == Refer::Refuse {
            return ep.respond(now, tx, Answer::new(603));
        }
        let order = match order(ep, self.line, message) {
            Ok(order) => order,
            Err(answer) => return ep.respond(now, tx, answer),
        };
        dialog.refresh(message);
        let (to, attended) = (order.to.clone(), order.replaces.is_some());
        let by = order.by.as_ref().and_then(|by| NameAddr::parse(&by.0));
        let by = by.and_then(|by| super::identity::party(by.uri, by.name()));
        let mut answer = Answer::new(202).with("Contact", ep.contact(self.line));
        let watch = match (unsubscribed(message), self.transfer.watched) {
            (true, _) => Watch::Nobody,
            (false, 0) => Watch::First,
            (false, _) => Watch::Named(cseq.number),
        };
        if watch == Watch::Nobody {
            answer = Answer { status: 200, ..answer }.with("Refer-Sub", "false").with("Supported", "norefersub");
        } else {
            self.transfer.watched += 1;
        }
        let until = now + SUBSCRIPTION;
        let referred = Referred { stage: Stage::Undecided, watch, until, order, out: None, next: None };
        self.transfer.theirs = Some(Box::new(referred));
        self.deadlines.set(Timer::Referred, until);
        ep.respond(now, tx, answer);
        self.tell_referrer(ep, now, 100, "Trying");
        let request = Box::new(TransferRequest { to, by, attended });
        ep.emit(Event::TransferRequested { call: CallRef(self.id), request });
    }

    /// What was asked for, where the server has not decided.
    pub fn order(&self) -> Option<&Order> {
        self.transfer.theirs.as_ref().filter(|theirs| theirs.stage == Stage::Undecided).map(|theirs| &theirs.order)
    }

    /// The new call is on its way.
    pub fn placing(&mut self) {
        if let Some(theirs) = &mut self.transfer.theirs {
            theirs.stage = Stage::Placing;
        }
    }

    /// Nobody does what was asked: told, where it was not decided.
    pub fn decline(&mut self, ep: &mut Endpoint, now: Time) {
        if self.order().is_some() {
            self.tell_referrer(ep, now, 603, "Decline");
        }
    }

    /// What became of the new call.
    pub fn on_relay(&mut self, ep: &mut Endpoint, now: Time, relay: &Relay) {
        match relay {
            Relay::Superseded => self.superseded(now),
            Relay::Progress(status, words) => {
                if self.transfer.theirs.as_ref().is_some_and(|theirs| theirs.stage == Stage::Placing) {
                    self.tell_referrer(ep, now, *status, words);
                }
            }
        }
    }

    /// Tells how the new call is getting on: one NOTIFY at a time, so that none overtakes another.
    fn tell_referrer(&mut self, ep: &mut Endpoint, now: Time, status: u16, words: &str) {
        let Some(theirs) = &mut self.transfer.theirs else { return };
        if status >= 200 {
            theirs.stage = Stage::Telling;
        }
        if theirs.out.is_some() {
            theirs.next = Some((status, words.to_owned()));
            return;
        }
        let event = match theirs.watch {
            Watch::Nobody => {
                if status >= 200 {
                    self.forget_referred();
                }
                return;
            }
            Watch::First => PACKAGE.to_owned(),
            Watch::Named(id) => format!("{PACKAGE};id={id}"),
        };
        let state = if status >= 200 {
            "terminated;reason=noresource".to_owned()
        } else {
            format!("active;expires={}", theirs.until.since(now).as_secs())
        };
        let mut request =
            Request::new(Method::Notify, Purpose::Notify).with("Event", event).with("Subscription-State", state);
        let body = format!("SIP/2.0 {status} {words}\r\n").into_bytes();
        request.content = Some(("message/sipfrag;version=2.0", body));
        let out = self.send(ep, now, request);
        if let Some(theirs) = &mut self.transfer.theirs {
            theirs.out = out;
        }
    }

    /// A NOTIFY of ours is answered, or is not; `gone`: nobody subscribes any more.
    pub(super) fn on_notify_over(&mut self, ep: &mut Endpoint, now: Time, tx: u64, gone: bool) {
        let Some(theirs) = self.transfer.theirs.as_mut().filter(|theirs| theirs.out == Some(tx)) else { return };
        theirs.out = None;
        if gone {
            // The call that is on its way goes on.
            theirs.watch = Watch::Nobody;
        }
        match (theirs.next.take(), theirs.stage) {
            (Some((status, words)), _) => self.tell_referrer(ep, now, status, &words),
            (None, Stage::Telling) => self.forget_referred(),
            (None, Stage::Undecided | Stage::Placing) => {}
        }
    }

    /// No answer to a NOTIFY of ours.
    pub(super) fn on_notify_timeout(&mut self, ep: &mut Endpoint, now: Time) {
        if let Some(tx) = self.transfer.theirs.as_ref().and_then(|theirs| theirs.out) {
            self.on_notify_over(ep, now, tx, true);
        }
    }

    /// The subscription is over before the new call was answered.
    pub(super) fn on_referred_expired(&mut self, ep: &mut Endpoint, now: Time) {
        match self.transfer.theirs.as_ref().map(|theirs| theirs.stage) {
            Some(Stage::Undecided | Stage::Placing) => self.tell_referrer(ep, now, 408, "Request Timeout"),
            Some(Stage::Telling) => self.forget_referred(),
            None => {}
        }
    }

    fn forget_referred(&mut self) {
        self.transfer.theirs = None;
        self.deadlines.clear(Timer::Referred);
    }

    /// What the one that asked for this call is to hear of a report.
    pub(super) fn relay(&self, ep: &mut Endpoint, report: &Report) {
        let Some(of) = self.transfer.of() else { return };
        let relay = match report {
            Report::PeerRings => Relay::Progress(180, "Ringing".to_owned()),
            Report::Answered(_) => Relay::Progress(200, "OK".to_owned()),
            Report::Released { cause, .. } => relay_of(cause),
            _ => return,
        };
        ep.relays.push_back((of, relay));
    }
}

impl Call {
    /// The one that asked for this call is told that it was never placed.
    pub(super) fn relay_unplaced(&self, ep: &mut Endpoint) {
        if let Some(of) = self.transfer.of() {
            ep.relays.push_back((of, Relay::Progress(503, "Service Unavailable".to_owned())));
        }
    }
}

/// The final status that tells this cause.
fn relay_of(cause: &Cause) -> Relay {
    let status = cause.sip.filter(|status| (300..700).contains(status));
    let status = status.unwrap_or_else(|| match cause.mode {
        tapi::DisconnectMode::Normal | tapi::DisconnectMode::Cancelled => 487,
        tapi::DisconnectMode::Unreachable => 408,
        ref mode => crate::cause::status_of(Some(mode)),
    });
    Relay::Progress(status, vocabulary::reason(status).into_owned())
}

/// Whether an answer to NOTIFY ends the subscription (RFC 6665 section 4.2.2, RFC 5057 section 5.1).
pub(super) fn ends_subscription(status: u16) -> bool {
    matches!(status, 404 | 405 | 408 | 410 | 416 | 480..=485 | 489 | 501 | 604)
}

impl Referred {
    /// Whether it is a use of the dialog that outlives the call.
    pub(super) fn lives(&self) -> bool {
        self.watch != Watch::Nobody
    }
}

impl Endpoint {
    /// Whether a URI leads to ourselves.
    fn is_own(&self, uri: &Uri<'_>) -> bool {
        let port = uri.port.unwrap_or(5060);
        uri.address() == Some(self.config.listen.ip()) && port == self.config.listen.port()
    }
}
