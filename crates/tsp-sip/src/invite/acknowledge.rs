//! A 2xx of ours is sent again until its ACK comes (RFC 3261 section 13.3.1.4).

use super::{Call, State, Timer};
use crate::endpoint::Endpoint;
use crate::message::{Message, Method};
use crate::transport::Peer;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tapi::Time;

/// A 2xx of ours that is repeated until its ACK comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Awaited {
    tx: u64,
    cseq: u32,
    interval: Duration,
}

impl Call {
    /// Begins to repeat a 2xx until its ACK comes.
    pub(super) fn await_ack(&mut self, ep: &Endpoint, now: Time, tx: u64, cseq: u32) {
        let timing = ep.timing();
        self.awaited = Some(Awaited { tx, cseq, interval: timing.t1 });
        self.deadlines.set(Timer::Success, now + timing.t1);
        self.deadlines.set(Timer::NoAck, now + timing.life());
    }

    pub(super) fn repeat_success(&mut self, ep: &mut Endpoint, now: Time) {
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
        self.start_queued(ep, now);
    }
}

/// A 2xx to a change of a call that was ended meanwhile is acknowledged all the same.
pub(super) fn late(ep: &mut Endpoint, tx: u64, message: &Message<'_>, from: Peer) {
    if let (Some(200..=299), Some(tag), Some(cseq)) = (message.status(), message.from_tag(), message.cseq())
        && cseq.method == Method::Invite
        && let Some(dialog) = crate::dialog::Dialog::of_response(message, tag, from)
    {
        super::uac::acknowledge(ep, tx, &dialog, cseq.number, None);
    }
}
