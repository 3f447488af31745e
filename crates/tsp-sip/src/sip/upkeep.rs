//! What a line keeps up by itself: its binding at a registrar, the probe of its peer, its mailbox, its limits.

use super::Sip;
use crate::account::Mwi;
use crate::admission::Rate;
use crate::endpoint::{Answer, Endpoint, Owner, Purpose, Wake};
use crate::message::{Message, Name, content_type_is};
use crate::qualify::Probe;
use crate::registration::{Registration, retry_after};
use crate::subscription::{self, Mailbox, PACKAGE, SUMMARY};
use crate::transport::Peer;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tapi::{Service, Time};
use tspi::{Event, LineChange, LineRef};

/// A line's own affairs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Upkeep {
    registration: Option<Registration>,
    probe: Option<Probe>,
    mailbox: Option<Mailbox>,
    /// The peer asked for no calls until then.
    shut: Option<(Time, String)>,
    /// New calls, theirs and ours.
    pub theirs: Rate,
    pub ours: Rate,
    messages_wait: Option<bool>,
    told: Option<Service>,
    wake: Option<Time>,
}

impl Upkeep {
    pub fn all(endpoint: &mut Endpoint) -> Vec<Upkeep> {
        let accounts: Vec<_> = endpoint.lines.iter().map(|line| line.config.account.clone()).collect();
        (0..).zip(accounts).map(|(line, account)| Upkeep::one(endpoint, line, &account)).collect()
    }

    fn one(endpoint: &mut Endpoint, line: u32, account: &crate::Account) -> Upkeep {
        let random = &mut endpoint.random;
        Upkeep {
            registration: account.register.as_ref().map(|register| Registration::new(random, line, register)),
            probe: account.qualify_s.map(|seconds| Probe::new(random, line, seconds)),
            mailbox: match account.mwi {
                Mwi::Subscribe { expires_s } => Some(Mailbox::new(random, line, expires_s)),
                Mwi::Off | Mwi::Unsolicited => None,
            },
            ..Upkeep::default()
        }
    }

    /// Why the line cannot be used; none: it can.
    pub fn out(&self) -> Option<String> {
        let registration = self.registration.as_ref().and_then(Registration::out);
        let shut = || self.shut.as_ref().map(|(_, reason)| reason.clone());
        registration.or_else(shut).or_else(|| self.probe.as_ref().and_then(Probe::out))
    }

    fn deadline(&self) -> Option<Time> {
        let all = [
            self.registration.as_ref().and_then(Registration::deadline),
            self.probe.as_ref().and_then(Probe::deadline),
            self.mailbox.as_ref().and_then(Mailbox::deadline),
            self.shut.as_ref().map(|(until, _)| *until),
        ];
        all.into_iter().flatten().min()
    }

    fn on_open(&mut self, ep: &mut Endpoint, now: Time) {
        self.registration.iter_mut().for_each(|it| it.on_open(ep, now));
        self.probe.iter_mut().for_each(|it| it.on_open(ep, now));
        self.mailbox.iter_mut().for_each(|it| it.on_open(ep, now));
    }

    fn on_wake(&mut self, ep: &mut Endpoint, now: Time) {
        self.wake = None;
        self.shut = self.shut.take().filter(|(until, _)| *until > now);
        self.registration.iter_mut().for_each(|it| it.on_wake(ep, now));
        self.probe.iter_mut().for_each(|it| it.on_wake(ep, now));
        self.mailbox.iter_mut().for_each(|it| it.on_wake(ep, now));
    }

    fn leave(&mut self, ep: &mut Endpoint, now: Time) {
        self.shut = None;
        self.registration.iter_mut().for_each(|it| it.leave(ep, now));
        self.probe.iter_mut().for_each(Probe::leave);
        self.mailbox.iter_mut().for_each(Mailbox::leave);
    }
}

impl Sip {
    /// Does something with a line's affairs, and tells what became of its service.
    pub(super) fn with_upkeep(&mut self, line: u32, work: impl FnOnce(&mut Upkeep, &mut Endpoint)) {
        let Some(upkeep) = self.upkeep.get_mut(line as usize) else {
            return;
        };
        work(upkeep, &mut self.endpoint);
        let next = upkeep.deadline();
        self.endpoint.wakes.set(Wake::Upkeep(line), &mut upkeep.wake, next);
        self.tell_change(line);
    }

    fn lines(&self) -> std::ops::Range<u32> {
        0..u32::try_from(self.upkeep.len()).unwrap_or(u32::MAX)
    }

    fn tell_change(&mut self, line: u32) {
        let service = self.service(line as usize);
        let told = self.upkeep.get_mut(line as usize).map(|upkeep| &mut upkeep.told);
        if let Some(told) = told.filter(|told| told.as_ref() != Some(&service)) {
            *told = Some(service.clone());
            self.endpoint.service(line as usize, service);
        }
    }

    /// Notes what was told with the news of the line itself.
    pub(super) fn note_told(&mut self, line: usize, service: &Service) {
        if let Some(upkeep) = self.upkeep.get_mut(line) {
            upkeep.told = Some(service.clone());
        }
    }

    /// The way to the network is there.
    pub(super) fn upkeep_opened(&mut self, now: Time) {
        for line in self.lines() {
            self.with_upkeep(line, |upkeep, ep| upkeep.on_open(ep, now));
        }
    }

    /// A line's account has changed: its affairs begin anew.
    pub(super) fn renew_upkeep(&mut self, now: Time, at: usize) {
        let Ok(line) = u32::try_from(at) else { return };
        let Some(account) = self.endpoint.lines.get(at).map(|line| line.config.account.clone()) else { return };
        let renewed = Upkeep::one(&mut self.endpoint, line, &account);
        if let Some(upkeep) = self.upkeep.get_mut(at) {
            let wake = upkeep.wake;
            *upkeep = Upkeep { wake, ..renewed };
        }
        if self.port == super::Port::Open {
            self.with_upkeep(line, |upkeep, ep| upkeep.on_open(ep, now));
        }
    }

    /// Our address from outside is another: registrars and the far ends of calls are told.
    pub(super) fn hear_of_address(&mut self, now: Time) {
        if !self.endpoint.external.take_news() {
            return;
        }
        for line in self.lines() {
            self.with_upkeep(line, |upkeep, ep| upkeep.registration.iter_mut().for_each(|it| it.on_moved(ep, now)));
        }
        for call in self.calls.keys().copied().collect::<Vec<u64>>() {
            self.with_call(call, |call, ep| call.readdress(ep, now));
        }
    }

    /// Connections are gone: registrars may have been at their other ends.
    pub(super) fn hear_of_cuts(&mut self, now: Time) {
        for port in std::mem::take(&mut self.endpoint.cuts) {
            for line in self.lines().filter(|_| self.course == super::Course::Running).collect::<Vec<u32>>() {
                self.with_upkeep(line, |upkeep, ep| {
                    upkeep.registration.iter_mut().for_each(|it| it.on_cut(ep, now, port));
                });
            }
        }
    }

    pub(super) fn upkeep_woke(&mut self, now: Time, line: u32) {
        self.with_upkeep(line, |upkeep, ep| upkeep.on_wake(ep, now));
    }

    /// Removes the bindings: the provider stops.
    pub(super) fn upkeep_leaves(&mut self, now: Time) {
        for line in self.lines() {
            self.with_upkeep(line, |upkeep, ep| upkeep.leave(ep, now));
        }
    }

    pub(super) fn upkeep_is_gone(&self) -> bool {
        self.upkeep.iter().all(|upkeep| upkeep.registration.as_ref().is_none_or(Registration::is_gone))
    }

    /// A response to a request of a line's own.
    pub(super) fn upkeep_response(&mut self, now: Time, (tx, owner): (u64, Owner), message: &Message<'_>, from: Peer) {
        self.with_upkeep(owner.line, |upkeep, ep| match owner.purpose {
            Purpose::Register => {
                upkeep.registration.iter_mut().for_each(|it| it.on_response(ep, now, tx, message, from))
            }
            Purpose::Probe => {
                let returned = upkeep.probe.as_mut().is_some_and(|it| it.on_response(now, tx, message));
                if returned {
                    upkeep.registration.iter_mut().for_each(|it| it.on_return(ep, now));
                }
            }
            Purpose::Subscribe => {
                upkeep.mailbox.iter_mut().for_each(|it| it.on_response(ep, now, tx, message, from));
            }
            _ => {}
        });
    }

    /// No response came to a request of a line's own, or it could not be sent for this reason. A probe gives up by itself.
    pub(super) fn upkeep_failed(&mut self, now: Time, (tx, owner): (u64, Owner), why: Option<&str>) {
        self.with_upkeep(owner.line, |upkeep, ep| match owner.purpose {
            Purpose::Register => upkeep.registration.iter_mut().for_each(|it| it.on_no_response(ep, now, tx, why)),
            Purpose::Subscribe => upkeep.mailbox.iter_mut().for_each(|it| it.on_no_response(ep, now, tx)),
            Purpose::Probe => {
                let why = why.unwrap_or("no answer");
                upkeep.probe.iter_mut().for_each(|it| it.on_unsent(now, tx, why));
            }
            _ => {}
        });
    }

    /// The number of a challenged request when it is sent again.
    pub(super) fn next_cseq(
        calls: &mut std::collections::BTreeMap<u64, Box<crate::invite::Call>>,
        upkeep: &mut [Upkeep],
        owner: Owner,
        last: u32,
    ) -> Option<u32> {
        let affairs = upkeep.get_mut(owner.line as usize);
        match owner.purpose {
            Purpose::Register => affairs?.registration.as_mut()?.next_cseq(),
            Purpose::Subscribe => affairs?.mailbox.as_mut()?.next_cseq(),
            // A peer that asks for credentials is there, and that was the question.
            Purpose::Probe | Purpose::Cancel => None,
            Purpose::Stray => Some(last + 1),
            _ => match owner.call.and_then(|call| calls.get_mut(&call)) {
                Some(call) => call.next_cseq(owner.purpose, last),
                None => Some(last + 1),
            },
        }
    }

    /// A peer that is too busy for a call names the time when it is not (RFC 3261 section 21.5.4).
    pub(super) fn heed(&mut self, now: Time, owner: Owner, message: &Message<'_>) {
        let busy = owner.purpose == Purpose::Invite && message.status() == Some(503);
        let Some(seconds) = retry_after(message).filter(|_| busy) else {
            return;
        };
        let reason = format!("the peer asks to wait {seconds} s: {}", message.summary());
        let until = now + Duration::from_secs(seconds);
        self.with_upkeep(owner.line, |upkeep, _| upkeep.shut = Some((until, reason)));
    }

    /// A NOTIFY outside the dialogs of calls.
    pub(super) fn on_notify(&mut self, now: Time, message: &Message<'_>, tx: u64, line: u32) {
        let answer = self.notified(now, message, line);
        let tag = self.endpoint.random.token(12);
        self.endpoint.respond(now, tx, answer.tag(&tag));
    }

    fn notified(&mut self, now: Time, message: &Message<'_>, line: u32) -> Answer {
        if subscription::package(message) == Some("refer") {
            // Of a transfer that is over.
            return Answer::new(481);
        }
        if subscription::package(message) != Some(PACKAGE) {
            return Answer::new(489).with("Allow-Events", PACKAGE);
        }
        let own = self.upkeep.iter().position(|upkeep| upkeep.mailbox.as_ref().is_some_and(|it| it.owns(message)));
        let own = own.and_then(|at| u32::try_from(at).ok());
        let unasked = self.endpoint.lines.get(line as usize).is_some_and(|l| l.config.account.mwi == Mwi::Unsolicited);
        if own.is_none() && !unasked {
            return Answer::new(481);
        }
        let summary = message.first(Name::ContentType).is_some_and(|kind| content_type_is(kind, SUMMARY));
        if !message.body.is_empty() && !summary {
            return Answer::new(415).with("Accept", SUMMARY);
        }
        let mut fresh = true;
        if let Some(own) = own {
            self.with_upkeep(own, |upkeep, ep| {
                fresh = upkeep.mailbox.as_mut().is_some_and(|it| it.on_notify(ep, now, message));
            });
        }
        if !fresh {
            return Answer { reason: Some("CSeq Out Of Order".to_owned()), ..Answer::new(500) };
        }
        if let Some(wait) = subscription::waiting(message.body) {
            self.tell_messages(own.unwrap_or(line), wait);
        }
        Answer::new(200)
    }

    fn tell_messages(&mut self, line: u32, wait: bool) {
        let known = self.upkeep.get_mut(line as usize).map(|upkeep| &mut upkeep.messages_wait);
        if let Some(known) = known.filter(|known| **known != Some(wait)) {
            *known = Some(wait);
            self.endpoint.emit(Event::LineChanged { line: LineRef(line), change: LineChange::MessageWaiting(wait) });
        }
    }
}
