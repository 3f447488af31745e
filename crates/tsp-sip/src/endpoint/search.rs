//! Requests on their way to a target: located, sent, and sent to the next candidate when one fails (RFC 3263 section 4.3).

use super::client::{Client, Machine, key};
use super::way::MAX_UDP_REQUEST;
use super::{Endpoint, Outcome, Owner, Purpose, Wake};
use crate::auth::Rounds;
use crate::locate::{Candidate, Destination, Located};
use crate::message::{Method, Octets};
use crate::transaction::Timer;
use crate::transaction::client_invite::ClientInvite;
use crate::transaction::client_non_invite::ClientNonInvite;
use crate::transport::{Peer, Transport};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use tapi::Time;

/// How long a search may take.
const SEARCH: Duration = Duration::from_secs(15);

/// What is kept of a request while there is more than one way to go.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Search {
    pub(super) to: Destination,
    method: Method,
    branch: String,
    /// The request as it was written.
    template: Octets,
    /// Who else may be tried.
    rest: Vec<Candidate>,
    /// When the next is tried, if nothing came back.
    pub(super) patience: Option<Time>,
}

/// Something about a request that its owner hears without asking.
#[derive(Clone, Debug)]
pub(crate) struct Notice {
    pub tx: u64,
    pub owner: Owner,
    pub outcome: Outcome,
    /// How much had been put out before it happened.
    pub before: usize,
}

impl Endpoint {
    /// Begins a request whose way is not known yet.
    pub(super) fn seek(
        &mut self,
        id: u64,
        owner: Owner,
        (method, branch): (Method, &str),
        to: Destination,
        bytes: Vec<u8>,
    ) {
        let search = Search {
            to,
            branch: branch.to_owned(),
            template: bytes.into(),
            rest: Vec::new(),
            patience: None,
            method: method.clone(),
        };
        let client = Client {
            owner,
            key: key(branch, &method),
            machine: Machine::Locating(self.now + SEARCH),
            to: None,
            request: Octets::default(),
            acks: BTreeMap::new(),
            wake: None,
            search: Some(Box::new(search)),
            rounds: Rounds::default(),
            proofs: Octets::default(),
        };
        self.clients.insert(id, client);
        self.advance(id);
    }

    /// Goes on with a search as far as what is known allows.
    fn advance(&mut self, id: u64) {
        let Some(search) = self.clients.get(&id).and_then(|client| client.search.as_ref()) else {
            self.locating.remove(&id);
            return;
        };
        let (to, large) = (search.to.clone(), search.template.0.len() > MAX_UDP_REQUEST);
        match self.locate(&to) {
            Located::Ready(candidates) => {
                self.locating.remove(&id);
                let mut rest = with_streams(candidates, large && to.transport.is_none());
                self.dead.sort(self.now, &mut rest);
                if let Some(search) = self.clients.get_mut(&id).and_then(|client| client.search.as_mut()) {
                    search.rest = rest;
                }
                let owner = self.clients.get(&id).map(|client| client.owner);
                let before = self.outputs.len();
                if !self.go(id) {
                    self.unsent(id, "no connection can be made");
                } else if let Some(owner) = owner {
                    self.notices.push_back(Notice { tx: id, owner, outcome: Outcome::Sent, before });
                }
            }
            Located::Wait(queries) => {
                self.locating.insert(id);
                for query in queries {
                    self.cache.ask(self.now, query, &mut self.outputs);
                }
                self.settle_client(id);
            }
            Located::Nowhere(why) => self.unsent(id, &why),
        }
    }

    /// An answer of the domain name system came: everybody who waits looks again.
    pub(super) fn look_again(&mut self) {
        for id in self.locating.iter().copied().collect::<Vec<u64>>() {
            self.advance(id);
        }
    }

    /// A request will not be sent: its owner hears why.
    pub(super) fn unsent(&mut self, id: u64, why: &str) {
        if let Some(client) = self.clients.get(&id) {
            let outcome = Outcome::Unsent(why.to_owned());
            let before = self.outputs.len();
            self.notices.push_back(Notice { tx: id, owner: client.owner, outcome, before });
        }
        self.remove_client(id);
    }

    /// Sends the request to the next candidate, as a new transaction with a branch of its own. False: there is none.
    fn go(&mut self, id: u64) -> bool {
        loop {
            let again = self.clients.get(&id).is_some_and(|client| client.to.is_some());
            let branch = again.then(|| ["z9hG4bK", &self.random.token(20)].concat());
            let Some(client) = self.clients.get_mut(&id) else {
                return false;
            };
            let Some(search) = client.search.as_mut().filter(|search| !search.rest.is_empty()) else {
                return false;
            };
            let next = search.rest.remove(0);
            let branch = branch.unwrap_or_else(|| search.branch.clone());
            let Some(peer) = self.way(next.transport, next.address, &next.name) else {
                self.dead.bury(self.now, next.transport, next.address, None);
                continue;
            };
            self.launch(id, peer, &branch);
            return true;
        }
    }

    fn launch(&mut self, id: u64, peer: Peer, branch: &str) {
        let timing = self.timing_of(peer.transport);
        let now = self.now;
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        let Some(search) = client.search.as_mut() else {
            return;
        };
        let own = self.lines.get(client.owner.line as usize).is_some_and(|line| line.aims_at(&search.to));
        let last = search.rest.is_empty();
        let changed = branch != search.branch || peer.transport != Transport::Udp;
        let (method, secure) = (search.method.clone(), search.to.secure);
        search.patience = (!last).then(|| now + timing.t1 * 16);
        let template = if last { std::mem::take(&mut search.template) } else { search.template.clone() };
        client.machine = match method {
            Method::Invite => Machine::Invite(ClientInvite::new(now, &timing)),
            _ => Machine::NonInvite(ClientNonInvite::new(now, &timing)),
        };
        if last {
            client.search = None;
        }
        client.to = Some(peer);
        let about = (client.owner.line, client.owner.call);
        let old = std::mem::replace(&mut client.key, key(branch, &method));
        self.client_keys.remove(&old);
        self.client_keys.insert(key(branch, &method), id);
        if let Some(line) = self.lines.get_mut(about.0 as usize)
            && own
        {
            line.learn(peer.ip());
        }
        let bytes = self.dressed(about.0, &peer, secure, changed.then_some(branch), template.0);
        if let Some(client) = self.clients.get_mut(&id) {
            client.request = bytes.clone().into();
        }
        self.transmit(about, peer, bytes);
        self.settle_client(id);
    }

    /// A candidate failed: the next one is tried. False: there is none, and the failure is the request's.
    pub(super) fn fail_over(&mut self, id: u64) -> bool {
        let more = self.clients.get(&id).and_then(|client| client.search.as_ref());
        if more.is_none_or(|search| search.rest.is_empty()) {
            return false;
        }
        self.leave_behind(id);
        self.counters.failovers += 1;
        self.go(id)
    }

    /// An INVITE may still be answered by a candidate that was given up: a 2xx is acknowledged and ended then, a failure
    /// acknowledged.
    fn leave_behind(&mut self, id: u64) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        let Machine::Invite(machine) = &mut client.machine else {
            return;
        };
        machine.deadlines.clear(Timer::A);
        let left = Client {
            owner: Owner { call: None, purpose: Purpose::Left, ..client.owner },
            key: client.key.clone(),
            machine: client.machine.clone(),
            to: client.to,
            request: std::mem::take(&mut client.request),
            acks: std::mem::take(&mut client.acks),
            wake: None,
            search: None,
            rounds: Rounds::default(),
            proofs: Octets::default(),
        };
        // The name in the table goes with the one that is left.
        client.key.push('*');
        let other = self.next_transaction();
        self.client_keys.insert(left.key.clone(), other);
        self.clients.insert(other, left);
        self.settle_client(other);
    }

    /// No other candidate is tried any more. True: nothing was sent, and the request is forgotten.
    pub fn withdraw(&mut self, tx: u64) -> bool {
        let Some(client) = self.clients.get_mut(&tx) else {
            return false;
        };
        if let Machine::Locating(_) = client.machine {
            self.remove_client(tx);
            return true;
        }
        client.search = None;
        self.settle_client(tx);
        false
    }

    /// A connection failed under the requests that went over it.
    pub fn cut_off(&mut self, connection: tspi::PortId, why: &str) {
        let over = |client: &Client| client.to.is_some_and(|to| to.connection == Some(connection));
        let hit: Vec<u64> =
            self.clients.iter().filter(|(_, client)| over(client) && !client.is_settled()).map(|(id, _)| *id).collect();
        for id in hit {
            let Some(to) = self.clients.get(&id).and_then(|client| client.to) else {
                continue;
            };
            self.dead.bury(self.now, to.transport, to.address, None);
            let waits = self.clients.get(&id).is_some_and(Client::is_unanswered);
            if waits && !self.fail_over(id) {
                self.unsent(id, why);
            }
        }
        self.cuts.push(connection);
        let mut held = self.connections.forget(connection);
        self.wakes.set(Wake::Connection(connection.0), &mut held, None);
    }

    /// A target that was given up says after all that it works on the INVITE: it is told to stop.
    pub fn cancel_left(&mut self, now: Time, tx: u64) {
        if let Some(client) = self.clients.get_mut(&tx) {
            client.owner.purpose = Purpose::Invite;
            let owner = Owner { purpose: Purpose::Stray, ..client.owner };
            self.cancel(now, tx, owner, None);
        }
    }
}

/// A request that is too large for a datagram goes over TCP, and by datagram after all when nobody listens there (RFC 3261
/// section 18.1.1).
fn with_streams(candidates: Vec<Candidate>, large: bool) -> Vec<Candidate> {
    if !large {
        return candidates;
    }
    let both = |candidate: Candidate| {
        let stream = Candidate { transport: Transport::Tcp, ..candidate.clone() };
        let stream = (candidate.transport == Transport::Udp).then_some(stream);
        stream.into_iter().chain([candidate])
    };
    candidates.into_iter().flat_map(both).collect()
}
