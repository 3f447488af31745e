//! Who calls whom, and who sent it on: From, P-Asserted-Identity and Privacy (RFC 3323, RFC 3325), Remote-Party-ID,
//! Diversion (RFC 5806), History-Info (RFC 7044 with the causes of RFC 4458).

use super::{Call, Role, Standing};
use crate::LineConfig;
use crate::endpoint::Endpoint;
use crate::message::{Message, Name, NameAddr, Scheme, Uri, unescape};
use crate::policy::Identity;
use tapi::{CallOrigin, CallReason, Party};
use tspi::{CallFacts, CallRef, Event};

/// Most entries of History-Info that are read.
const MAX_HISTORY: usize = 32;

/// What an INVITE tells of its call.
pub(super) fn facts(message: &Message<'_>, trusted: bool) -> CallFacts {
    let target = message.uri().and_then(|uri| party(uri, None));
    let called = target.or_else(|| message.to().and_then(|to| party(to.uri, None)));
    let sent_on = diversion(message).or_else(|| history(message));
    CallFacts {
        address: Some(0),
        origin: Some(CallOrigin::External),
        caller: Some(caller(message, trusted)),
        redirection: called.clone().filter(|_| sent_on.is_some()),
        called,
        network_id: message.call_id().map(str::to_owned),
        reason: Some(sent_on.as_ref().map_or(CallReason::Direct, |(_, reason)| reason.clone())),
        redirecting: sent_on.map(|(party, _)| party),
        ..CallFacts::default()
    }
}

fn caller(message: &Message<'_>, trusted: bool) -> Party {
    if wants_privacy(message) {
        return Party::blocked();
    }
    let told = if trusted { asserted(message) } else { None };
    told.or_else(|| message.from().map(|from| from_party(&from))).unwrap_or_default()
}

/// Privacy of the identity, by whatever value asks for it (RFC 3323 section 4.2, RFC 3325 section 9.3).
fn wants_privacy(message: &Message<'_>) -> bool {
    let values = message.lines(Name::Privacy).flat_map(|line| line.split(|&byte| byte == b';' || byte == b','));
    let mut values = values.map(<[u8]>::trim_ascii);
    values.any(|value| [&b"id"[..], b"user", b"header"].iter().any(|known| value.eq_ignore_ascii_case(known)))
}

/// The identity that a trusted network vouches for: a SIP URI before a `tel` one, since it may have a name.
fn asserted(message: &Message<'_>) -> Option<Party> {
    let mut identities = message.values(Name::PAssertedIdentity).filter_map(NameAddr::parse);
    if let Some(first) = identities.next() {
        return party(first.uri, first.name().or_else(|| identities.find_map(|other| other.name())));
    }
    let remote = message.values(Name::RemotePartyId).find_map(NameAddr::parse)?;
    let hidden = remote.params.text("privacy").is_some_and(|privacy| !privacy.eq_ignore_ascii_case("off"));
    if hidden { Some(Party::blocked()) } else { party(remote.uri, remote.name()) }
}

fn from_party(from: &NameAddr<'_>) -> Party {
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
pub(super) fn party(text: &str, name: Option<String>) -> Option<Party> {
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

/// The last that sent the call on, and why: the topmost Diversion (RFC 5806 section 5).
fn diversion(message: &Message<'_>) -> Option<(Party, CallReason)> {
    let last = message.values(Name::Diversion).find_map(NameAddr::parse)?;
    let hidden = last.params.text("privacy").is_some_and(|p| !p.trim_matches('"').eq_ignore_ascii_case("off"));
    let by = if hidden { Party::blocked() } else { party(last.uri, last.name()).unwrap_or_default() };
    let reason = last.params.text("reason").unwrap_or_default().trim_matches('"').to_ascii_lowercase();
    let reason = match reason.as_str() {
        "user-busy" => CallReason::ForwardedBusy,
        "no-answer" => CallReason::ForwardedNoAnswer,
        "unconditional" => CallReason::ForwardedUncond,
        _ => CallReason::Redirect,
    };
    Some((by, reason))
}

/// The same out of History-Info: the entry before the last one that names a cause, or that names why it was left.
fn history(message: &Message<'_>) -> Option<(Party, CallReason)> {
    let entries: Vec<NameAddr<'_>> =
        message.values(Name::HistoryInfo).filter_map(NameAddr::parse).take(MAX_HISTORY).collect();
    let cause_at = |at: usize| {
        let here = entries.get(at).and_then(NameAddr::parsed);
        let before = at.checked_sub(1).and_then(|at| entries.get(at)).and_then(NameAddr::parsed);
        let target = here.and_then(|uri| uri.param("cause")?.parse::<u16>().ok());
        target.or_else(|| before.and_then(|uri| left_for(uri.headers)))
    };
    let (at, cause) = (1..entries.len()).rev().find_map(|at| Some((at, cause_at(at)?)))?;
    let by = entries.get(at - 1)?;
    let hidden = by.parsed().is_some_and(|uri| uri.headers.to_ascii_lowercase().contains("privacy="));
    let by = if hidden { Party::blocked() } else { party(by.uri, by.name()).unwrap_or_default() };
    let reason = match cause {
        486 | 600 => CallReason::ForwardedBusy,
        408 | 480 | 487 => CallReason::ForwardedNoAnswer,
        302 => CallReason::ForwardedUncond,
        _ => CallReason::Redirect,
    };
    Some((by, reason))
}

/// `Reason=SIP%3Bcause%3D486` among the headers of a URI.
fn left_for(headers: &str) -> Option<u16> {
    let reason = headers.split('&').find_map(|header| {
        let (name, value) = header.split_once('=')?;
        name.eq_ignore_ascii_case("reason").then_some(value)
    })?;
    let reason = unescape(reason).to_ascii_lowercase();
    let (protocol, params) = reason.split_once(';')?;
    let cause = params.split(';').find_map(|param| param.trim().strip_prefix("cause="))?;
    (protocol.trim() == "sip").then(|| cause.trim().parse().ok()).flatten()
}

/// The header that says who we are, where the line has one.
pub(super) fn ours(line: &LineConfig, private: bool, calling: bool) -> Option<(&'static str, String)> {
    let uri = format!("<sip:{}@{}>", line.user, line.domain);
    match line.calls.identity {
        Identity::None => None,
        Identity::Asserted => Some(("P-Asserted-Identity", uri)),
        Identity::Preferred => Some(("P-Preferred-Identity", uri)),
        Identity::RemoteParty => {
            let party = if calling { "calling" } else { "called" };
            let privacy = if private { "full" } else { "off" };
            Some(("Remote-Party-ID", format!("{uri};party={party};screen=yes;privacy={privacy}")))
        }
    }
}

impl Call {
    /// Who the far end is now, where the line believes it: told when it is news.
    pub(super) fn learn_identity(&mut self, ep: &mut Endpoint, message: &Message<'_>) {
        let trusted = ep.lines.get(self.line as usize).is_some_and(|line| line.config.calls.trust_identity);
        let Some(told) = asserted(message).filter(|_| trusted) else {
            return;
        };
        let told = if wants_privacy(message) { Party::blocked() } else { told };
        if self.far.as_deref() == Some(&told) {
            return;
        }
        let facts = match self.role {
            Role::Caller(_) => CallFacts { connected: Some(told.clone()), ..CallFacts::default() },
            Role::Called { .. } => CallFacts { caller: Some(told.clone()), ..CallFacts::default() },
        };
        self.far = Some(Box::new(told));
        self.tell(ep, facts);
    }

    /// Tells what became known of the call.
    pub(super) fn tell(&self, ep: &mut Endpoint, facts: CallFacts) {
        if self.standing == Standing::Live {
            ep.emit(Event::CallInfo { call: CallRef(self.id), facts: Box::new(facts) });
        }
    }
}
