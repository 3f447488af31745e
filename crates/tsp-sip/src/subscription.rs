//! The state of a mailbox (RFC 3842) by a subscription that is kept (RFC 6665).

use crate::dialog::Dialog;
use crate::endpoint::{Endpoint, Owner, Purpose};
use crate::locate::Destination;
use crate::message::{Draft, Message, Method, Name, Params};
use crate::registration::{back_off, retry_after};
use crate::transport::{Peer, Target};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tapi::Time;
use tspi::Random;

/// The event package.
pub(crate) const PACKAGE: &str = "message-summary";
/// The type of its news.
pub(crate) const SUMMARY: &str = "application/simple-message-summary";
/// The wait after a first failure, in seconds.
const RETRY_S: u64 = 30;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    Idle,
    Asking { tx: u64 },
    Active { refresh: Time },
    Waiting { until: Time },
    Gone,
}

/// A line's subscription to its mailbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mailbox {
    state: State,
    line: u32,
    expires_s: u32,
    call_id: String,
    tag: String,
    cseq: u32,
    failures: u32,
    dialog: Option<Dialog>,
    heard: Option<u32>,
}

impl Mailbox {
    pub fn new(random: &mut Random, line: u32, expires_s: u32) -> Mailbox {
        Mailbox {
            state: State::Idle,
            line,
            expires_s,
            call_id: random.token(24),
            tag: random.token(12),
            cseq: 0,
            failures: 0,
            dialog: None,
            heard: None,
        }
    }

    pub fn deadline(&self) -> Option<Time> {
        match &self.state {
            State::Idle | State::Asking { .. } | State::Gone => None,
            State::Active { refresh } => Some(*refresh),
            State::Waiting { until } => Some(*until),
        }
    }

    pub fn on_open(&mut self, ep: &mut Endpoint, now: Time) {
        if matches!(self.state, State::Idle | State::Waiting { .. }) {
            self.seek(ep, now);
        }
    }

    pub fn on_wake(&mut self, ep: &mut Endpoint, now: Time) {
        match self.state {
            State::Active { refresh } if refresh <= now => match self.dialog.as_ref().map(Dialog::next_hop) {
                Some(to) => self.ask(ep, now, to),
                None => self.seek(ep, now),
            },
            State::Waiting { until } if until <= now => self.seek(ep, now),
            _ => {}
        }
    }

    fn seek(&mut self, ep: &mut Endpoint, now: Time) {
        match ep.lines.get(self.line as usize).and_then(|line| line.config.outbound()).and_then(Destination::parse) {
            Some(to) => self.ask(ep, now, to.into()),
            None => self.fail(&mut ep.random, now, None),
        }
    }

    fn ask(&mut self, ep: &mut Endpoint, now: Time, to: Target) {
        let Some(line) = ep.lines.get(self.line as usize) else {
            return;
        };
        let uri = format!("sip:{}@{}", line.config.user, line.config.domain);
        let routes = line.reach.service_route.clone();
        self.cseq = self.cseq.saturating_add(1);
        let (via, branch) = ep.via();
        let draft = match &mut self.dialog {
            Some(dialog) => {
                dialog.local_cseq = self.cseq;
                dialog.request(&Method::Subscribe, self.cseq, &via)
            }
            None => {
                let mut draft = Draft::request(&Method::Subscribe, &uri)
                    .header("Via", via)
                    .header("Max-Forwards", "70")
                    .header("From", format!("<{uri}>;tag={}", self.tag))
                    .header("To", format!("<{uri}>"))
                    .header("Call-ID", &self.call_id)
                    .header("CSeq", format!("{} SUBSCRIBE", self.cseq));
                for route in routes {
                    draft.push("Route", route);
                }
                draft
            }
        };
        let draft = draft
            .header("Contact", ep.contact(self.line))
            .header("Event", PACKAGE)
            .header("Accept", SUMMARY)
            .header("Expires", self.expires_s.to_string());
        let bytes = ep.finish(draft, None);
        let owner = Owner { line: self.line, call: None, purpose: Purpose::Subscribe };
        self.state = State::Asking { tx: ep.request(now, owner, Method::Subscribe, &branch, to, bytes) };
    }

    /// The number of the request that is sent again with credentials.
    pub fn next_cseq(&mut self) -> Option<u32> {
        self.cseq = self.cseq.saturating_add(1);
        if let Some(dialog) = &mut self.dialog {
            dialog.local_cseq = self.cseq;
        }
        Some(self.cseq)
    }

    pub fn on_response(&mut self, ep: &mut Endpoint, now: Time, tx: u64, message: &Message<'_>, from: Peer) {
        let status = message.status().unwrap_or_default();
        if !matches!(self.state, State::Asking { tx: ours } if ours == tx) || status < 200 {
            return;
        }
        match status {
            200..=299 => {
                let granted = message.text(Name::Other("Expires")).and_then(|text| text.trim().parse().ok());
                if self.dialog.is_none() {
                    self.dialog = Dialog::of_response(message, &self.tag, from);
                }
                self.failures = 0;
                self.hold(now, granted.unwrap_or(self.expires_s));
            }
            423 => {
                let least: Option<u32> = message.text(Name::Other("Min-Expires")).and_then(|text| text.parse().ok());
                match least.filter(|least| *least > self.expires_s) {
                    Some(least) => {
                        self.expires_s = least;
                        self.seek(ep, now);
                    }
                    None => self.fail(&mut ep.random, now, None),
                }
            }
            // The notifier has forgotten it.
            404 | 481 if self.dialog.is_some() => {
                self.renew(&mut ep.random);
                self.seek(ep, now);
            }
            _ => self.fail(&mut ep.random, now, retry_after(message)),
        }
    }

    fn hold(&mut self, now: Time, granted: u32) {
        let margin = (granted / 10).max(30.min(granted / 2));
        self.state = State::Active { refresh: now + Duration::from_secs(u64::from(granted.max(2) - margin)) };
    }

    pub fn on_no_response(&mut self, ep: &mut Endpoint, now: Time, tx: u64) {
        if matches!(self.state, State::Asking { tx: ours } if ours == tx) {
            self.fail(&mut ep.random, now, None);
        }
    }

    /// A new subscription takes the place of this one.
    fn renew(&mut self, random: &mut Random) {
        self.dialog = None;
        self.heard = None;
        self.call_id = random.token(24);
        self.tag = random.token(12);
    }

    fn fail(&mut self, random: &mut Random, now: Time, seconds: Option<u64>) {
        self.renew(random);
        let wait = seconds.map_or_else(|| back_off(random, RETRY_S, self.failures), Duration::from_secs);
        self.failures = self.failures.saturating_add(1);
        self.state = State::Waiting { until: now + wait };
    }

    /// Whether a NOTIFY is one of this subscription's; it may come before the answer to SUBSCRIBE.
    pub fn owns(&self, notify: &Message<'_>) -> bool {
        let live = matches!(self.state, State::Asking { .. } | State::Active { .. });
        live && notify.call_id() == Some(&self.call_id) && notify.to_tag() == Some(&self.tag)
    }

    /// Whether the NOTIFY is newer than the last; takes what it says of the subscription.
    pub fn on_notify(&mut self, ep: &mut Endpoint, now: Time, notify: &Message<'_>) -> bool {
        let number = notify.cseq().map(|cseq| cseq.number);
        if self.heard >= number {
            return false;
        }
        self.heard = number;
        let value = notify.first(Name::Other("Subscription-State")).unwrap_or_default();
        let end = value.iter().position(|&byte| byte == b';').unwrap_or(value.len());
        let (state, params) = value.split_at(end);
        let params = Params::of(params.get(1..).unwrap_or_default());
        if state.trim_ascii().eq_ignore_ascii_case(b"terminated") {
            self.on_terminated(ep, now, &params);
        } else if let (State::Active { .. }, Some(seconds)) = (&self.state, number_of(&params, "expires")) {
            self.hold(now, seconds);
        }
        true
    }

    /// RFC 6665 section 4.1.3: what each reason asks of the subscriber.
    fn on_terminated(&mut self, ep: &mut Endpoint, now: Time, params: &Params<'_>) {
        let after = number_of(params, "retry-after").map(u64::from);
        match params.text("reason").unwrap_or_default() {
            "deactivated" | "timeout" => {
                self.renew(&mut ep.random);
                self.state = State::Waiting { until: now + Duration::from_secs(after.unwrap_or(1).min(86_400)) };
            }
            _ => self.fail(&mut ep.random, now, after.map(|seconds| seconds.clamp(1, 86_400))),
        }
    }

    pub fn leave(&mut self) {
        self.state = State::Gone;
    }
}

fn number_of(params: &Params<'_>, name: &str) -> Option<u32> {
    params.text(name).and_then(|text| text.parse().ok())
}

/// The package that a NOTIFY is about.
pub(crate) fn package<'m>(message: &'m Message<'_>) -> Option<&'m str> {
    let value = message.text(Name::Other("Event")).or_else(|| message.text(Name::Other("o")))?;
    value.split(';').next().map(str::trim)
}

/// Whether messages wait (RFC 3842 section 5.2).
pub(crate) fn waiting(body: &[u8]) -> Option<bool> {
    let text = String::from_utf8_lossy(body);
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = lines.find(|(name, _)| name.trim().eq_ignore_ascii_case("Messages-Waiting"))?;
    match value.trim().to_ascii_lowercase().as_str() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}
