//! Connections, and what came over them.

use super::{REOPEN, Sip};
use crate::endpoint::{Outcome, TCP_PORT, TLS_PORT, Wake};
use crate::transport::{Heard, Peer, Transport};
use std::collections::VecDeque;
use std::net::SocketAddr;
use tapi::Time;
use tspi::{Output, PortId};

/// Requests a second that are looked at of an address that no line knows: it may be the far end of a call.
const STRANGERS_PER_S: u32 = 50;

impl Sip {
    /// Asks for the ports that are configured.
    pub(super) fn open_ports(&mut self) {
        let transports = &self.endpoint.config.transports;
        let streams = [(TCP_PORT, transports.tcp), (TLS_PORT, transports.tls)];
        self.endpoint.outputs.push_back(Output::Open { port: crate::PORT });
        for (port, _) in streams.into_iter().filter(|(_, address)| address.is_some()) {
            self.endpoint.outputs.push_back(Output::Open { port });
        }
    }

    /// Whether a source may be looked at now: nobody takes the time of the others.
    pub(super) fn may_speak(&mut self, now: Time, from: Peer, bytes: &[u8]) -> bool {
        let known = self.endpoint.lines.iter().any(|line| line.knows(from.address));
        let rate = match (known, self.endpoint.config.transports.requests_per_s) {
            (true, 0) => return true,
            (true, rate) => rate,
            // Answers to our own requests may come from anybody, and as many as there are requests.
            (false, _) if bytes.starts_with(b"SIP/") => return true,
            (false, _) => STRANGERS_PER_S,
        };
        let may = self.endpoint.buckets.take(now, from.ip(), rate);
        self.endpoint.counters.floods += u64::from(!may);
        may
    }

    pub(super) fn on_accepted(
        &mut self,
        now: Time,
        (listener, port): (PortId, PortId),
        from: SocketAddr,
        names: &[String],
    ) {
        let transport = if listener == TLS_PORT { Transport::Tls } else { Transport::Tcp };
        let known = self.endpoint.lines.iter().any(|line| line.knows(from));
        if !known && !self.calls.values().any(|call| call.hears(from.ip())) {
            self.endpoint.counters.strangers += 1;
            return self.endpoint.outputs.push_back(Output::Close { port });
        }
        if self.endpoint.connections.accept(now, port, transport, from, names) {
            self.endpoint.watch(port);
        } else {
            self.endpoint.counters.closed += 1;
            self.endpoint.outputs.push_back(Output::Close { port });
        }
    }

    pub(super) fn on_connected(&mut self, now: Time, port: PortId) {
        self.endpoint.connections.connected(now, port, &mut self.endpoint.outputs);
        self.endpoint.watch(port);
    }

    /// A connection is gone, or a port that listens.
    pub(super) fn on_cut(&mut self, now: Time, port: PortId, reason: &str) {
        if port == TCP_PORT || port == TLS_PORT {
            return self.on_deaf(now, port);
        }
        self.endpoint.cut_off(port, reason);
    }

    /// A port that listens could not be opened: it is asked for again.
    fn on_deaf(&mut self, now: Time, port: PortId) {
        self.deaf.insert(port);
        self.endpoint.wakes.set(Wake::Listen, &mut self.listen_wake, Some(now + REOPEN));
    }

    pub(super) fn listen_again(&mut self) {
        self.listen_wake = None;
        for port in std::mem::take(&mut self.deaf) {
            self.endpoint.outputs.push_back(Output::Open { port });
        }
    }

    pub(super) fn on_bytes(&mut self, now: Time, port: PortId, bytes: &[u8]) {
        let Some(peer) = self.endpoint.connections.peer(port) else {
            return self.endpoint.outputs.push_back(Output::Close { port });
        };
        self.endpoint.connections.push(now, port, bytes);
        while let Some(heard) = self.endpoint.connections.heard(now, port, &mut self.endpoint.outputs) {
            match heard {
                Heard::Message(bytes) => self.datagram(now, peer, &bytes),
                Heard::KeepAlive => self.endpoint.counters.keep_alives += 1,
                Heard::Unframed(bytes) => {
                    self.unframed(now, peer, bytes);
                    return self.give_up(port, "a message without Content-Length");
                }
                Heard::Nonsense => return self.give_up(port, "a message longer than any"),
            }
        }
        self.endpoint.watch(port);
    }

    fn give_up(&mut self, port: PortId, why: &str) {
        self.endpoint.counters.closed += 1;
        self.endpoint.close(port, why);
    }

    /// A request that does not say where it ends is told so (RFC 3261 section 18.3).
    fn unframed(&mut self, now: Time, peer: Peer, bytes: Vec<u8>) {
        let Ok(mut message) = crate::message::scan(&bytes) else {
            return;
        };
        message.fault = Some("no usable Content-Length on a stream");
        if let Some(method) = message.method() {
            self.on_request(now, &message, &method, peer, &bytes);
        }
    }

    /// Tells owners what became of their requests. That a call is taken is said before its first message is shown.
    pub(super) fn hear_notices(&mut self, now: Time) {
        let mut shift = 0;
        while let Some(notice) = self.endpoint.notices.pop_front() {
            let Some(call) = notice.owner.call else {
                if let Outcome::Unsent(why) = &notice.outcome {
                    self.upkeep_failed(now, (notice.tx, notice.owner), Some(why));
                }
                continue;
            };
            let outputs = &mut self.endpoint.outputs;
            let at = notice.before.saturating_add(shift).min(outputs.len());
            let later = if notice.outcome == Outcome::Sent { outputs.split_off(at) } else { VecDeque::new() };
            let before = outputs.len();
            self.with_call(call, |call, ep| match &notice.outcome {
                Outcome::Sent => call.on_sent(ep),
                Outcome::Unsent(why) => call.on_unsent(ep, now, notice.owner.purpose, why),
                Outcome::Response | Outcome::Challenged(_) | Outcome::Timeout => {}
            });
            if notice.outcome == Outcome::Sent {
                shift += self.endpoint.outputs.len() - before;
                self.endpoint.outputs.extend(later);
            }
        }
    }
}
