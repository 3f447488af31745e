//! What goes on beside the calls: connections and their deadlines, signs of life, our address from outside, names of peers.

use super::{Endpoint, PORT, Wake};
use crate::ExternalAddress;
use crate::locate::{Destination, Located};
use crate::message::Via;
use crate::transport::stun::{self, Stun, TransactionId};
use crate::transport::{Peer, Transport, Woke};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tapi::Time;
use tspi::{LookupError, Output, PortId, Query, Record, RecordKind, Records};

/// Between two requests to the STUN server: less than the 30 s for which the strictest translations remember a way.
const STUN_EVERY: Duration = Duration::from_secs(25);
/// The first wait for its answer; it doubles (RFC 8489 section 6.2.1).
const STUN_WAIT: Duration = Duration::from_millis(500);
/// How often it is asked before it is left alone for a while.
const STUN_TRIES: u32 = 7;
/// How soon the names of peers are looked up again after a failure.
const PEERS_AGAIN: Duration = Duration::from_secs(30);
/// Most addresses that are kept of the names of one line's peers.
const MAX_NAMED: usize = 256;

/// The conversation with the STUN server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Probe {
    /// Nothing is asked now.
    #[default]
    Idle,
    /// It was asked, so often.
    Asked { id: TransactionId, tries: u32 },
}

impl Endpoint {
    /// How long a way may be silent before a sign of life is sent.
    fn ping_every(&self) -> Option<Duration> {
        let seconds = self.config.transports.keepalive_s;
        (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)))
    }

    /// Brings a connection's deadline into the common order.
    pub fn watch(&mut self, port: PortId) {
        let ping = self.ping_every();
        if let Some((held, at)) = self.connections.deadline(port, ping) {
            self.wakes.set(Wake::Connection(port.0), held, Some(at));
        }
    }

    /// A connection's deadline passed.
    pub fn connection_woke(&mut self, now: Time, port: PortId) {
        let ping = self.ping_every();
        match self.connections.woke(now, port, ping) {
            Woke::Nothing => self.watch(port),
            Woke::Ping => {
                self.outputs.push_back(Output::Write { port, bytes: b"\r\n\r\n".to_vec() });
                self.watch(port);
            }
            Woke::GiveUp(why) => self.close(port, why),
        }
    }

    /// Closes a connection; requests that went over it go elsewhere.
    pub fn close(&mut self, port: PortId, why: &str) {
        self.outputs.push_back(Output::Close { port });
        self.cut_off(port, why);
    }

    /// Begins what goes on all the time.
    pub fn begin_upkeep(&mut self, now: Time) {
        self.wakes.set(Wake::Stun, &mut self.stun_wake, self.config.transports.stun.is_some().then_some(now));
        let named = self.lines.iter().any(|line| line.names().next().is_some());
        self.wakes.set(Wake::Peers, &mut self.peers_wake, named.then_some(now));
        let ping = self.ping_every().map(|every| now + every);
        self.wakes.set(Wake::KeepAlive, &mut self.keep_alive_wake, ping);
    }

    /// Datagrams that keep the way to our proxies open.
    pub fn keep_alive(&mut self, now: Time) {
        self.keep_alive_wake = None;
        let peers: BTreeSet<SocketAddr> = self.lines.iter().filter_map(|line| line.flow).collect();
        for to in peers {
            self.outputs.push_back(Output::Datagram { port: PORT, to, bytes: b"\r\n\r\n".to_vec() });
        }
        let ping = self.ping_every().map(|every| now + every);
        self.wakes.set(Wake::KeepAlive, &mut self.keep_alive_wake, ping);
    }

    /// Asks the STUN server, again or anew.
    pub fn stun_woke(&mut self, now: Time) {
        self.stun_wake = None;
        let Some(mut to) = self.config.transports.stun.as_deref().and_then(Destination::parse) else {
            return;
        };
        to.port = to.port.or(Some(3_478));
        to.transport = Some(Transport::Udp);
        let (wait, probe) = match (self.locate(&to), &self.probe) {
            (Located::Wait(queries), _) => {
                for query in queries {
                    self.cache.ask(now, query, &mut self.outputs);
                }
                (Duration::from_secs(2), Probe::Idle)
            }
            (Located::Nowhere(_), _) => (STUN_EVERY, Probe::Idle),
            (Located::Ready(_), Probe::Asked { tries, .. }) if *tries >= STUN_TRIES => (STUN_EVERY, Probe::Idle),
            (Located::Ready(candidates), probe) => {
                let (id, tries) = match probe {
                    Probe::Asked { id, tries } => (*id, *tries),
                    Probe::Idle => (self.stun_id(), 0),
                };
                if let Some(first) = candidates.first() {
                    let bytes = stun::request(&id);
                    self.outputs.push_back(Output::Datagram { port: PORT, to: first.address, bytes });
                }
                (STUN_WAIT * 2u32.saturating_pow(tries), Probe::Asked { id, tries: tries + 1 })
            }
        };
        self.probe = probe;
        self.wakes.set(Wake::Stun, &mut self.stun_wake, Some(now + wait));
    }

    fn stun_id(&mut self) -> TransactionId {
        let mut id = [0; 12];
        let words = [self.random.next_u64(), self.random.next_u64()];
        for (byte, from) in id.iter_mut().zip(words.iter().flat_map(|word| word.to_be_bytes())) {
            *byte = from;
        }
        id
    }

    /// A STUN message came: a peer's question is answered, the answer to ours is learned from.
    pub fn on_stun(&mut self, now: Time, from: SocketAddr, bytes: &[u8]) {
        match (stun::read(bytes), &self.probe) {
            (Some(Stun::Request(id)), _) if self.lines.iter().any(|line| line.knows(from)) => {
                let bytes = stun::success(&id, from);
                self.counters.keep_alives += 1;
                self.outputs.push_back(Output::Datagram { port: PORT, to: from, bytes });
            }
            (Some(Stun::Success(id, seen)), Probe::Asked { id: asked, .. }) if id == *asked => {
                self.probe = Probe::Idle;
                self.external.learn(seen, true);
                self.wakes.set(Wake::Stun, &mut self.stun_wake, Some(now + STUN_EVERY));
            }
            _ => self.counters.unreadable += 1,
        }
    }

    /// A far end outside says in our Via how it sees us (RFC 3581).
    pub(super) fn learn_from(&mut self, via: &Via<'_>, from: Peer) {
        let learns = self.config.transports.external_address == ExternalAddress::Learned
            && self.config.transports.stun.is_none()
            && from.transport == Transport::Udp
            && !self.external.is_local(from.ip());
        if !learns {
            return;
        }
        let ip = via.params.text("received").and_then(|text| text.trim_matches(['[', ']']).parse::<IpAddr>().ok());
        let port = via.params.text("rport").and_then(|text| text.parse().ok());
        if let (Some(ip), Some(port)) = (ip, port) {
            self.external.learn(SocketAddr::new(ip, port), false);
        }
    }

    /// Looks up the names among the peers, and again when what was found no longer holds.
    pub fn look_up_peers(&mut self, now: Time) {
        self.peers_wake = None;
        let mut next = now + Duration::from_secs(86_400);
        for at in 0..self.lines.len() {
            let names: Vec<String> = self.lines.get(at).into_iter().flat_map(|line| line.names()).collect();
            let (mut found, mut whole) = (Vec::new(), true);
            for name in names {
                whole &= self.addresses_of(now, &name, &mut found, &mut next);
            }
            found.truncate(MAX_NAMED);
            if let Some(line) = self.lines.get_mut(at).filter(|_| whole) {
                line.named = found;
            }
        }
        self.wakes.set(Wake::Peers, &mut self.peers_wake, Some(next.max(now + Duration::from_secs(1))));
    }

    /// Every address that a name stands for: its own, and those of its SIP servers. False: answers are missing, or the name
    /// servers failed; what was known stays.
    fn addresses_of(&mut self, now: Time, name: &str, found: &mut Vec<IpAddr>, next: &mut Time) -> bool {
        let query = |name: String, kind| Query { name, kind };
        let mut hosts = vec![name.to_owned()];
        let mut whole = true;
        for service in ["_sip._udp", "_sip._tcp", "_sips._tcp"] {
            let asked = query(format!("{service}.{name}"), RecordKind::Srv);
            match self.known_or_asked(now, asked, next) {
                Some(Ok(records)) => {
                    for record in records.records {
                        if let Record::Srv { target, .. } = record
                            && hosts.len() < 64
                        {
                            hosts.push(target.trim_end_matches('.').to_owned());
                        }
                    }
                }
                Some(Err(_)) => {}
                None => whole = false,
            }
        }
        for host in hosts.into_iter().filter(|host| !host.is_empty()) {
            for kind in [RecordKind::A, RecordKind::Aaaa] {
                match self.known_or_asked(now, query(host.clone(), kind), next) {
                    Some(Ok(records)) => {
                        found.extend(records.records.iter().filter_map(|record| match record {
                            Record::Address(ip) => Some(*ip),
                            _ => None,
                        }));
                    }
                    Some(Err(LookupError::None { .. })) => {}
                    Some(Err(_)) => {
                        whole = false;
                        *next = (*next).min(now + PEERS_AGAIN);
                    }
                    None => whole = false,
                }
            }
        }
        whole
    }

    fn known_or_asked(&mut self, now: Time, query: Query, next: &mut Time) -> Option<Result<Records, LookupError>> {
        match self.cache.find(now, &query).cloned() {
            Some(result) => {
                *next = (*next).min(self.cache.until(&query).unwrap_or(now + PEERS_AGAIN));
                Some(result)
            }
            None => {
                self.cache.ask(now, query, &mut self.outputs);
                *next = (*next).min(now + PEERS_AGAIN);
                None
            }
        }
    }

    /// The domain name system answered.
    pub fn found(&mut self, now: Time, query: &Query, result: &Result<Records, LookupError>) {
        self.cache.put(now, query, result.clone());
        self.look_again();
        if self.lines.iter().any(|line| line.names().next().is_some()) {
            self.look_up_peers(now);
        }
        if self.probe == Probe::Idle
            && self.stun_wake.is_some()
            && self.config.transports.stun.is_some()
            && self.stun_waits(query)
        {
            self.wakes.set(Wake::Stun, &mut self.stun_wake, Some(now));
        }
    }

    fn stun_waits(&self, query: &Query) -> bool {
        let host = self.config.transports.stun.as_deref().and_then(Destination::parse).map(|to| to.host);
        host.as_deref() == Some(query.name.as_str())
    }
}
