//! Whether a peer is there: OPTIONS at intervals (RFC 3261 section 11).

use crate::endpoint::{Endpoint, Owner, Purpose};
use crate::locate::Destination;
use crate::message::{Draft, Message, Method};
use crate::registration::retry_after;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tapi::Time;
use tspi::Random;

/// What is known of the peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Health {
    Unknown,
    Alive,
    Dead { reason: String },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    Idle,
    Asking {
        tx: u64,
        give_up: Time,
    },
    /// The next probe is sent at this time.
    Resting {
        until: Time,
    },
    /// The provider stops.
    Gone,
}

/// A line's probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Probe {
    state: State,
    health: Health,
    line: u32,
    interval_s: u32,
    call_id: String,
    cseq: u32,
}

impl Probe {
    pub fn new(random: &mut Random, line: u32, interval_s: u32) -> Probe {
        let call_id = random.token(24);
        Probe { state: State::Idle, health: Health::Unknown, line, interval_s, call_id, cseq: 0 }
    }

    /// Why the line cannot be used; none: it can.
    pub fn out(&self) -> Option<String> {
        match &self.health {
            Health::Unknown => Some("the peer has not answered OPTIONS yet".to_owned()),
            Health::Alive => None,
            Health::Dead { reason } => Some(reason.clone()),
        }
    }

    pub fn deadline(&self) -> Option<Time> {
        match &self.state {
            State::Idle | State::Gone => None,
            State::Asking { give_up, .. } => Some(*give_up),
            State::Resting { until } => Some(*until),
        }
    }

    pub fn on_open(&mut self, ep: &mut Endpoint, now: Time) {
        if matches!(self.state, State::Idle | State::Resting { .. }) {
            self.seek(ep, now);
        }
    }

    pub fn on_wake(&mut self, ep: &mut Endpoint, now: Time) {
        match self.state {
            State::Resting { until } if until <= now => self.seek(ep, now),
            State::Asking { tx, give_up } if give_up <= now => {
                ep.abandon(tx);
                self.rest(now, Health::Dead { reason: "the peer does not answer OPTIONS".to_owned() }, None);
            }
            _ => {}
        }
    }

    fn seek(&mut self, ep: &mut Endpoint, now: Time) {
        match ep.lines.get(self.line as usize).and_then(|line| line.config.outbound()).and_then(Destination::parse) {
            Some(to) => self.ask(ep, now, to),
            None => self.rest(now, Health::Dead { reason: "the line has no proxy to probe".to_owned() }, None),
        }
    }

    /// The probe could not be sent.
    pub fn on_unsent(&mut self, now: Time, tx: u64, why: &str) {
        if matches!(self.state, State::Asking { tx: ours, .. } if ours == tx) {
            self.rest(now, Health::Dead { reason: format!("the peer is not reached: {why}") }, None);
        }
    }

    fn ask(&mut self, ep: &mut Endpoint, now: Time, to: Destination) {
        let Some(line) = ep.lines.get(self.line as usize) else {
            return;
        };
        let (user, domain) = (line.config.user.clone(), line.config.domain.clone());
        self.cseq = self.cseq.saturating_add(1);
        let (via, branch) = ep.via();
        let draft = Draft::request(&Method::Options, &format!("sip:{domain}"))
            .header("Via", via)
            .header("Max-Forwards", "70")
            .header("From", format!("<sip:{user}@{domain}>;tag={}", ep.random.token(12)))
            .header("To", format!("<sip:{domain}>"))
            .header("Call-ID", &self.call_id)
            .header("CSeq", format!("{} OPTIONS", self.cseq))
            .header("Contact", ep.contact(self.line))
            .header("Accept", "application/sdp");
        let bytes = ep.finish(draft, None);
        let owner = Owner { line: self.line, call: None, purpose: Purpose::Probe };
        let tx = ep.request(now, owner, Method::Options, &branch, to, bytes);
        // Four datagrams over UDP; a connection that is not there by then is no use for a call either.
        let patience = Duration::from_millis(ep.config.timers.t1_ms * 8);
        self.state = State::Asking { tx, give_up: now + patience };
    }

    /// 200 to 499 is said by somebody who is there, other than 408, which a proxy says for somebody who is not. True: the
    /// peer is back after it was gone.
    pub fn on_response(&mut self, now: Time, tx: u64, message: &Message<'_>) -> bool {
        let status = message.status().unwrap_or_default();
        if !matches!(self.state, State::Asking { tx: ours, .. } if ours == tx) || status < 200 {
            return false;
        }
        let health = match status {
            408 => Health::Dead { reason: format!("the peer is not there: {}", message.summary()) },
            200..=499 | 501 => Health::Alive,
            _ => Health::Dead { reason: format!("the peer takes no calls: {}", message.summary()) },
        };
        let back = matches!((&self.health, &health), (Health::Dead { .. }, Health::Alive));
        self.rest(now, health, retry_after(message));
        back
    }

    fn rest(&mut self, now: Time, health: Health, at_least_s: Option<u64>) {
        let seconds = u64::from(self.interval_s).max(at_least_s.unwrap_or(0));
        self.health = health;
        self.state = State::Resting { until: now + Duration::from_secs(seconds) };
    }

    pub fn leave(&mut self) {
        self.state = State::Gone;
    }
}
