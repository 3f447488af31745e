//! Datagrams that come in.

use super::{Course, MAX_CALLS, Sip};
use crate::auth::Verdict;
use crate::endpoint::{Answer, server_key};
use crate::invite::{Call, dialog_key};
use crate::message::{Message, Method, Unreadable, Uri, check, description, scan};
use crate::sdp::Session;
use crate::transaction::ServerEvent;
use crate::transport::{Peer, stun};
use tapi::Time;

impl Sip {
    pub(super) fn datagram(&mut self, now: Time, from: Peer, bytes: &[u8]) {
        self.endpoint.counters.received += 1;
        if !self.may_speak(now, from, bytes) {
            return;
        }
        if from.connection.is_none() && stun::is_stun(bytes) {
            return self.endpoint.on_stun(now, from.address, bytes);
        }
        let message = match scan(bytes) {
            Ok(message) => message,
            Err(Unreadable::KeepAlive) => {
                self.endpoint.counters.keep_alives += 1;
                return;
            }
            Err(Unreadable::TooLong | Unreadable::NotSip) => {
                self.endpoint.counters.unreadable += 1;
                return;
            }
        };
        match message.method() {
            None => self.on_response(now, &message, from, bytes),
            Some(method) => self.on_request(now, &message, &method, from, bytes),
        }
    }

    /// The line that a request is for: one that knows the sender, rather one whose user is called.
    fn line_of(&self, message: &Message<'_>, from: Peer) -> Option<u32> {
        let user = message.uri().and_then(|uri| Uri::parse(uri).ok()).and_then(|uri| uri.user_text());
        let mut first = None;
        for (at, line) in self.endpoint.lines.iter().enumerate().filter(|(_, line)| line.knows(from.address)) {
            if user.as_deref() == Some(&line.config.user) {
                return u32::try_from(at).ok();
            }
            first = first.or(u32::try_from(at).ok());
        }
        first
    }

    /// The call whose dialog a request names.
    fn call_of(&self, message: &Message<'_>) -> Option<u64> {
        let key = dialog_key(message.call_id()?, message.to_tag()?);
        self.endpoint.dialogs.get(&key).copied().filter(|call| self.calls.get(call).is_some_and(|c| c.owns(message)))
    }

    pub(super) fn on_request(&mut self, now: Time, message: &Message<'_>, method: &Method, from: Peer, bytes: &[u8]) {
        let call = self.call_of(message);
        let heard = call.and_then(|call| self.calls.get(&call)).filter(|call| call.hears(from.ip()));
        let Some(line) = heard.map(|call| call.line).or_else(|| self.line_of(message, from)) else {
            self.endpoint.counters.strangers += 1;
            return;
        };
        let key = server_key(message, if *method == Method::Ack { &Method::Invite } else { method });
        if let Some(tx) = key.as_deref().and_then(|key| self.endpoint.known_server(key)) {
            let owner = self.endpoint.server_call(tx).or(call);
            self.endpoint.trace(line, owner, from.address, bytes);
            let event = if *method == Method::Ack { ServerEvent::Ack } else { ServerEvent::Retransmit };
            return self.endpoint.server_event(now, tx, event);
        }
        if *method == Method::Ack {
            self.endpoint.trace(line, call, from.address, bytes);
            if let Some(call) = call.filter(|_| check(message).is_ok()) {
                self.with_call(call, |call, ep| call.on_ack(ep, now, message));
            }
            return;
        }
        let Some(tx) = key.and_then(|key| self.endpoint.serve(key, message, from, (line, call))) else {
            self.endpoint.counters.unreadable += 1;
            return;
        };
        if *method == Method::Invite && message.to_tag().is_none() {
            return self.on_new_invite(now, message, (tx, line), from, bytes);
        }
        let cancelled = if *method == Method::Cancel { self.cancelled(message) } else { None };
        self.endpoint.trace(line, call.or(cancelled), from.address, bytes);
        self.act(now, message, (tx, line), (call, cancelled));
    }

    /// Acts on a request that is new and begins no call.
    fn act(
        &mut self,
        now: Time,
        message: &Message<'_>,
        (tx, line): (u64, u32),
        (call, cancelled): (Option<u64>, Option<u64>),
    ) {
        let tag = self.endpoint.random.token(12);
        if let Err(reject) = check(message) {
            self.endpoint.counters.refused += 1;
            return self.endpoint.respond(now, tx, Answer::from(reject).tag(&tag));
        }
        match (message.method(), call, cancelled) {
            (Some(Method::Cancel), _, Some(call)) => {
                self.endpoint.respond(now, tx, Answer::new(200).tag(&tag));
                self.with_call(call, |call, ep| call.on_cancel(ep, now, message));
            }
            (Some(Method::Cancel), _, None) => {
                let status = if self.cancels_something(message) { 200 } else { 481 };
                self.endpoint.respond(now, tx, Answer::new(status).tag(&tag));
            }
            (_, Some(call), _) => self.with_call(call, |call, ep| call.on_request(ep, now, tx, message)),
            (Some(Method::Notify), None, _) => self.on_notify(now, message, tx, line),
            (_, None, _) if message.to_tag().is_some() => self.endpoint.respond(now, tx, Answer::new(481)),
            (_, None, _) if self.endpoint.is_merged(tx) => {
                self.endpoint.respond(now, tx, Answer::new(482).tag(&tag));
            }
            (Some(Method::Options), ..) => {
                let answer =
                    self.authorise(now, message, line).map_or_else(|answer| answer, |()| Answer::new(200).abilities());
                self.endpoint.respond(now, tx, answer.tag(&tag));
            }
            (Some(Method::Refer), ..) => self.endpoint.respond(now, tx, Answer::new(403).tag(&tag)),
            _ => self.endpoint.respond(now, tx, Answer::new(481).tag(&tag)),
        }
    }

    /// Whether a CANCEL names an INVITE that we know, however it ended.
    fn cancels_something(&self, message: &Message<'_>) -> bool {
        self.cancelled_invite(message).is_some()
    }

    fn cancelled_invite(&self, message: &Message<'_>) -> Option<u64> {
        self.endpoint.known_server(&server_key(message, &Method::Invite)?)
    }

    /// The call whose INVITE a CANCEL names.
    fn cancelled(&self, message: &Message<'_>) -> Option<u64> {
        self.endpoint.server_call(self.cancelled_invite(message)?)
    }

    /// An INVITE that asks for a new call. Its trace follows the news of the call.
    fn on_new_invite(&mut self, now: Time, message: &Message<'_>, (tx, line): (u64, u32), from: Peer, bytes: &[u8]) {
        let id = self.last_call + 1;
        let call = self.admit(now, message, tx, line).and_then(|replaced| {
            let unusable = || Answer { reason: Some("Bad Request - unusable Contact".to_owned()), ..Answer::new(400) };
            Call::offered(&mut self.endpoint, now, (id, line, tx), (message, bytes), (from, replaced))
                .ok_or_else(unusable)
        });
        match call {
            Ok(mut call) => {
                self.last_call = id;
                if let Some(line) = self.endpoint.lines.get_mut(line as usize) {
                    line.live += 1;
                }
                call.settle(&mut self.endpoint);
                self.calls.insert(id, Box::new(call));
            }
            Err(answer) => {
                self.endpoint.counters.refused += u64::from(answer.status != 486);
                self.endpoint.trace(line, None, from.address, bytes);
                let tag = self.endpoint.random.token(12);
                self.endpoint.respond(now, tx, answer.tag(&tag));
            }
        }
    }

    /// Whether the sender is one of those that the line asks to prove who they are.
    fn authorise(&mut self, now: Time, message: &Message<'_>, line: u32) -> Result<(), Answer> {
        let Some(config) = self.endpoint.lines.get(line as usize).map(|line| &line.config) else {
            return Ok(());
        };
        if config.account.require_auth.is_empty() {
            return Ok(());
        }
        let random = &mut self.endpoint.random;
        match self.gate.judge(now, random, (&config.account, &config.domain), message) {
            Verdict::Pass => Ok(()),
            Verdict::Challenge(values) => {
                let answer = |answer: Answer, value| answer.with("WWW-Authenticate", value);
                Err(values.into_iter().fold(Answer::new(401), answer))
            }
        }
    }

    /// Whether a call may begin, and the one whose place it takes.
    fn admit(&mut self, now: Time, message: &Message<'_>, tx: u64, line: u32) -> Result<Option<u64>, Answer> {
        check(message)?;
        if self.endpoint.is_merged(tx) {
            return Err(Answer::new(482));
        }
        if self.course != Course::Running {
            return Err(Answer::new(503));
        }
        if self.calls.len() >= MAX_CALLS {
            return Err(Answer::new(503).with("Retry-After", "10"));
        }
        if self.endpoint.busy {
            self.endpoint.counters.overloads += 1;
            // Not all of them come back in the same second.
            let seconds = 1 + self.endpoint.random.below(10);
            return Err(Answer::new(503).with("Retry-After", seconds.to_string()));
        }
        self.authorise(now, message, line)?;
        let replaced = self.replaced(message, line)?;
        let known = self.endpoint.lines.get(line as usize).ok_or_else(|| Answer::new(404))?;
        let user = message.uri().and_then(|uri| Uri::parse(uri).ok()).and_then(|uri| uri.user_text());
        if !crate::admission::serves(&known.config, user.as_deref()) {
            return Err(Answer::new(404));
        }
        if known.live >= known.config.max_calls.saturating_add(u32::from(replaced.is_some())) {
            return Err(Answer::new(503).with("Retry-After", "5"));
        }
        let rate = known.config.account.calls_per_s;
        if !self.upkeep.get_mut(line as usize).is_none_or(|upkeep| upkeep.theirs.admits(now, rate)) {
            return Err(Answer::new(503).with("Retry-After", "1"));
        }
        crate::invite::admissible(&known.config.calls, message)?;
        // A body that is no description passed as optional: it is left alone.
        if let Some(offer) = description(message)
            && let Err(misfit) = Session::fits(offer, &known.config.calls, self.endpoint.config.listen.is_ipv4())
        {
            let warning = crate::invite::warning(&self.endpoint, &misfit.to_string());
            return Err(Answer::new(488).with("Warning", warning));
        }
        Ok(replaced)
    }
}
