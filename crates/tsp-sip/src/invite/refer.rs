//! Transfers that we ask for: REFER (RFC 3515, RFC 7647), with Replaces for a consultation call (RFC 5589), and what the far
//! end tells of it.
//!
//! ```text
//!  Asked ─2xx, or NOTIFY first─► Watched ─final fragment─► told, and the call hung up or as it was
//!    └ refused ─► told                └ nothing for 64·T1, or no longer than the subscription ─► told
//! ```
//! The subscription shares the call's dialog (RFC 5057): it outlives a BYE, and its end ends nothing else.

use super::referred::Referred;
use super::request::Request;
use super::{Call, Standing, State, Timer};
use crate::cause;
use crate::endpoint::{Answer, Endpoint, Purpose, Relay};
use crate::message::{Message, Method, Name, Octets, Params, content_type_is};
use crate::policy::Transfers;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tapi::{Cause, DisconnectMode, ErrorCode, Time};
use tspi::{Refusal, ReleasedBy, Report};

/// The event package of REFER.
pub(super) const PACKAGE: &str = "refer";
/// The type of its news (RFC 3420).
pub(super) const FRAGMENT: &str = "message/sipfrag";
/// Longest subscription that is believed.
const LONGEST: Duration = Duration::from_secs(600);
/// How long the far end of a consultation call has to end it itself.
const SUPERSEDED: Duration = Duration::from_secs(4);

/// A call's part in transfers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Transfer {
    able: Able,
    /// The one that we asked for.
    pub(super) ours: Option<Box<Referral>>,
    /// Whether one that was taken was given up: news without a name may be its.
    adrift: bool,
    /// The one that the far end asked for.
    pub(super) theirs: Option<Box<Referred>>,
    /// How many subscriptions the far end had.
    pub(super) watched: u32,
    /// At whose wish this call was placed.
    placed: Option<Box<Placed>>,
}

/// A call that was placed at the wish of the far end of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Placed {
    of: u64,
    /// Header lines of its INVITE.
    lines: Octets,
}

impl Transfer {
    /// The call was placed at the wish of another's far end.
    pub(super) fn placed(&mut self, of: u64, lines: Octets) {
        self.placed = Some(Box::new(Placed { of, lines }));
    }

    /// Header lines of the INVITE.
    pub(super) fn lines(&self) -> Option<&Octets> {
        self.placed.as_ref().map(|placed| &placed.lines)
    }

    /// The call whose far end wanted this one.
    pub(super) fn of(&self) -> Option<u64> {
        self.placed.as_ref().map(|placed| placed.of)
    }
}

/// A transfer that we asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Referral {
    phase: Phase,
    tx: u64,
    /// Number of the REFER: its subscription's name.
    id: u32,
    /// Our call with the one it is transferred to.
    consultation: Option<u64>,
}

/// How far a transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Phase {
    /// REFER is out.
    Asked,
    /// It was taken.
    Watched,
}

/// What is known of the far end's part in transfers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Able {
    /// Whether it takes REFER; none: it does not say.
    refer: Option<bool>,
    /// Whether it takes Replaces.
    replaces: Option<bool>,
}

/// What the Event header of a NOTIFY says.
fn event<'m>(message: &'m Message<'_>) -> (Option<&'m str>, Option<u32>) {
    let value = message.text(Name::Other("Event")).or_else(|| message.text(Name::Other("o"))).unwrap_or_default();
    let (package, params) = value.split_once(';').unwrap_or((value, ""));
    let id = Params::of(params.as_bytes()).text("id").and_then(|id| id.parse().ok());
    (Some(package.trim()).filter(|package| !package.is_empty()), id)
}

/// Status and words of the first line of a fragment.
fn fragment(body: &[u8]) -> Option<(u16, String)> {
    let line = body.split(|&byte| byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line.get(..line.len().min(256))?).into_owned();
    let rest = line.trim().strip_prefix("SIP/2.0 ")?.trim_start();
    let (status, words) = rest.split_once(' ').unwrap_or((rest, ""));
    let status: u16 = status.parse().ok().filter(|status| (100..700).contains(status))?;
    let words: String = words.trim().chars().filter(|character| !character.is_control()).collect();
    Some((status, words))
}

/// How a subscription stands.
enum Subscription {
    /// It goes on, for so long where that is said.
    Active(Option<Duration>),
    Terminated,
}

fn subscription(message: &Message<'_>) -> Option<Subscription> {
    let value = message.text(Name::Other("Subscription-State"))?;
    let (state, params) = value.split_once(';').unwrap_or((value, ""));
    let state = state.trim();
    if state.is_empty() {
        return None;
    }
    if state.eq_ignore_ascii_case("terminated") {
        return Some(Subscription::Terminated);
    }
    let expires = Params::of(params.as_bytes()).text("expires").and_then(|text| text.parse().ok());
    Some(Subscription::Active(expires.map(Duration::from_secs)))
}

/// Whether a message says that there is no subscription (RFC 4488 section 4).
pub(super) fn unsubscribed(message: &Message<'_>) -> bool {
    let value = message.text(Name::ReferSub).unwrap_or_default();
    value.split(';').next().is_some_and(|value| value.trim().eq_ignore_ascii_case("false"))
}

impl Call {
    /// What a message says of the far end's part in transfers.
    pub(super) fn learn_abilities(&mut self, message: &Message<'_>) {
        if message.lines(Name::Allow).next().is_some() {
            self.transfer.able.refer = Some(message.has_tag(Name::Allow, "REFER"));
        }
        if message.lines(Name::Supported).next().is_some() {
            self.transfer.able.replaces = Some(message.has_tag(Name::Supported, "replaces"));
        }
    }

    /// Whether the far end may be asked to call somebody else.
    pub fn may_refer(&self, policy: Transfers) -> Result<(), Refusal> {
        let refuse = |code, text: &str| Err(Refusal::new(code, format!("call {}: {text}", self.id)));
        match (&self.state, policy, self.transfer.able.refer, &self.transfer.ours) {
            (State::Confirmed, Transfers::Bridge, ..) => {
                refuse(ErrorCode::OperationUnavail, "the line's peers are not asked to transfer calls")
            }
            (State::Confirmed, _, Some(false), _) => refuse(ErrorCode::OperationUnavail, "the far end takes no REFER"),
            (State::Confirmed, .., Some(_)) => refuse(ErrorCode::ResourceUnavail, "it is being transferred already"),
            (State::Confirmed, ..) => Ok(()),
            _ => refuse(ErrorCode::InvalCallState, "is not connected"),
        }
    }

    /// The value of Refer-To that joins somebody with the far end of this call, a consultation.
    pub fn consulted(&self) -> Result<String, Refusal> {
        let refuse = |text: &str| Err(Refusal::new(ErrorCode::OperationUnavail, format!("call {}: {text}", self.id)));
        match (self.transfer.able.replaces, self.replacement()) {
            (Some(false), Some(_)) => refuse("its far end takes no Replaces"),
            (_, Some(to)) => Ok(to),
            // A call that rings cannot be replaced by whoever did not place it (RFC 3891 section 3).
            (_, None) => refuse("is not answered: the network cannot join it"),
        }
    }

    /// Asks the far end to call somebody else. The reply is given before.
    pub fn refer(&mut self, ep: &mut Endpoint, now: Time, to: String, consultation: Option<u64>) {
        let policy = ep.policy(self.line);
        let Some(line) = ep.lines.get(self.line as usize) else { return };
        let by = format!("<sip:{}@{}>", line.config.user, line.config.domain);
        let mut request = Request::new(Method::Refer, Purpose::Refer)
            .with("Refer-To", to)
            .with("Referred-By", by)
            .with("Supported", super::supported(&policy));
        if policy.transfers == Transfers::ReferUnwatched {
            request = request.with("Refer-Sub", "false");
        }
        let Some(tx) = self.send(ep, now, request) else { return };
        let id = self.dialog.as_ref().map_or(0, |dialog| dialog.local_cseq);
        self.transfer.ours = Some(Box::new(Referral { phase: Phase::Asked, tx, id, consultation }));
    }

    /// The REFER was sent again with this number.
    pub(super) fn refer_renumbered(&mut self, number: u32) {
        if let Some(referral) = &mut self.transfer.ours {
            referral.id = number;
        }
    }

    /// A final response to our REFER.
    pub(super) fn on_refer_response(&mut self, ep: &mut Endpoint, now: Time, tx: u64, message: &Message<'_>) {
        let status = message.status().unwrap_or_default();
        let Some(referral) = self.transfer.ours.as_mut().filter(|referral| referral.tx == tx) else { return };
        match (status, referral.phase) {
            (200..=299, _) if unsubscribed(message) => self.transferred(ep, now),
            (200..=299, Phase::Asked) => {
                referral.phase = Phase::Watched;
                self.deadlines.set(Timer::Refer, now + ep.timing().life());
            }
            (200..=299, Phase::Watched) => {}
            _ => {
                let unsupported = matches!(status, 403 | 405 | 420 | 489 | 501 | 603);
                self.not_transferred(ep, cause::of(message, false), unsupported);
                // There is no such dialog (RFC 5057 section 5.1).
                if status == 481 && self.state == State::Confirmed {
                    self.break_off(ep, now, cause::of(message, true));
                }
            }
        }
    }

    /// No answer to our REFER: where news of it came, it was taken all the same.
    pub(super) fn on_refer_timeout(&mut self, ep: &mut Endpoint) {
        if self.transfer.ours.as_ref().is_some_and(|referral| referral.phase == Phase::Asked) {
            let text = "no answer to the REFER";
            self.not_transferred(ep, Cause::new(DisconnectMode::TempFailure).with_text(text), false);
        }
    }

    /// The time for news of the transfer is over.
    pub(super) fn on_refer_unheard(&mut self, ep: &mut Endpoint) {
        let text = "the far end told nothing of the transfer's outcome";
        self.not_transferred(ep, Cause::new(DisconnectMode::TempFailure).with_text(text), false);
    }

    /// Their NOTIFY.
    pub(super) fn on_notify(&mut self, ep: &mut Endpoint, now: Time, tx: u64, message: &Message<'_>) {
        let (package, id) = event(message);
        if package != Some(PACKAGE) {
            return ep.respond(now, tx, Answer::new(489).with("Allow-Events", PACKAGE));
        }
        let adrift = self.transfer.adrift;
        let known = self.transfer.ours.as_mut().filter(|ours| id.map_or(!adrift, |id| id == ours.id));
        let Some(referral) = known else {
            return ep.respond(now, tx, Answer::new(481));
        };
        let Some(state) = subscription(message) else {
            let reason = Some("Bad Request - no Subscription-State".to_owned());
            return ep.respond(now, tx, Answer { reason, ..Answer::new(400) });
        };
        let typed = message.first(Name::ContentType).is_some_and(|kind| content_type_is(kind, FRAGMENT));
        if !message.body.is_empty() && !typed {
            return ep.respond(now, tx, Answer::new(415).with("Accept", FRAGMENT));
        }
        referral.phase = Phase::Watched;
        ep.respond(now, tx, Answer::new(200));
        match (fragment(message.body), state) {
            (Some((200..=299, _)), _) => self.transferred(ep, now),
            (Some((status @ 300.., words)), _) => {
                let text = if words.is_empty() { status.to_string() } else { words };
                let cause = Cause { sip: Some(status), ..Cause::new(cause::of_status(status, false)).with_text(text) };
                // The one that was called has no such extension, and was not disturbed.
                self.not_transferred(ep, cause, status == 420);
            }
            (_, Subscription::Terminated) => self.on_refer_unheard(ep),
            (news, Subscription::Active(expires)) => {
                let life = ep.timing().life();
                let wait = expires.map_or(life, |expires| expires.max(life)).min(LONGEST);
                self.deadlines.set(Timer::Refer, now + wait);
                if let Some((status, words)) = news {
                    self.report(ep, Report::TransferProgress { text: format!("{status} {words}").trim().to_owned() });
                }
            }
        }
    }

    /// The far ends talk to one another: the call is over.
    fn transferred(&mut self, ep: &mut Endpoint, now: Time) {
        let Some(referral) = self.transfer.ours.take() else { return };
        self.deadlines.clear(Timer::Refer);
        if let Some(consultation) = referral.consultation {
            ep.relays.push_back((consultation, Relay::Superseded));
        }
        self.report_outcome(ep, Report::Transferred);
        if self.state == State::Confirmed {
            self.bye(ep, now, &DisconnectMode::Normal);
            self.release(ep, ReleasedBy::Local, Cause::new(DisconnectMode::Normal).with_text("transferred"));
        }
    }

    /// The transfer failed: the call is as it was.
    fn not_transferred(&mut self, ep: &mut Endpoint, cause: Cause, unsupported: bool) {
        let Some(referral) = self.transfer.ours.take() else { return };
        self.deadlines.clear(Timer::Refer);
        // News of one that was taken may still come.
        self.transfer.adrift |= referral.phase == Phase::Watched;
        let unsupported = unsupported && self.state == State::Confirmed;
        self.report_outcome(ep, Report::TransferFailed { cause, unsupported });
    }

    /// The call is over as soon as nothing else uses its dialog. To be called after everything.
    pub(super) fn settle_transfer(&mut self) {
        let used = self.transfer.ours.is_some() || self.transfer.theirs.as_ref().is_some_and(|theirs| theirs.lives());
        match (&self.state, used && self.dialog.is_some()) {
            (State::Ended, true) => {
                self.deadlines.keep_only(&[Timer::Refer, Timer::Referred]);
                self.state = State::Lingering;
            }
            (State::Lingering, false) => self.state = State::Ended,
            _ => {}
        }
    }

    /// An outcome is told even when the call is over, as long as somebody keeps it.
    fn report_outcome(&self, ep: &mut Endpoint, report: Report) {
        if self.standing != Standing::Closed {
            ep.report(self.id, report);
        }
    }

    /// Somebody else is in our place: the far end ends the call, or we do.
    pub(super) fn superseded(&mut self, now: Time) {
        if self.state == State::Confirmed {
            self.deadlines.set(Timer::Superseded, now + SUPERSEDED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_begin_with_a_status_line() {
        assert_eq!(fragment(b"SIP/2.0 180 Ringing\r\nTo: <sip:b>\r\n"), Some((180, "Ringing".to_owned())));
        assert_eq!(fragment(b"SIP/2.0 200"), Some((200, String::new())));
        for bad in [&b""[..], b"180 Ringing", b"SIP/2.0 99 x", b"SIP/2.0 700 x", b"SIP/2.0 OK", b"\xff\xfe"] {
            assert_eq!(fragment(bad), None);
        }
    }
}
