//! Client transactions: their messages around the machines.

use super::{Endpoint, MAX_TRANSACTIONS, Owner, Wake};
use crate::message::{Draft, Message, Method, Name, Octets, Via, scan};
use crate::transaction::client_invite::{self, ClientInvite};
use crate::transaction::client_non_invite::{self, ClientNonInvite};
use crate::transaction::{ClientAct, ClientEvent};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use tapi::Time;

/// Most tags whose ACK is kept.
const MAX_FORKS: usize = 32;

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Machine {
    Invite(ClientInvite),
    NonInvite(ClientNonInvite),
}

/// A request of ours.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Client {
    pub owner: Owner,
    key: String,
    machine: Machine,
    to: SocketAddr,
    /// The request, until a final response came.
    request: Octets,
    /// ACKs that were sent, by the tag that they answer.
    acks: BTreeMap<String, (SocketAddr, Octets)>,
    wake: Option<Time>,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The response is for its owner.
    Response,
    /// None came.
    Timeout,
}

impl Client {
    pub fn keep_ack(&mut self, tag: &str, to: SocketAddr, ack: &[u8]) {
        if self.acks.len() < MAX_FORKS {
            self.acks.insert(tag.to_owned(), (to, ack.into()));
        }
    }

    fn on(&mut self, now: Time, event: ClientEvent, timing: &crate::transaction::Timing) -> Vec<ClientAct> {
        match &mut self.machine {
            Machine::Invite(machine) => machine.on(now, event, timing),
            Machine::NonInvite(machine) => machine.on(now, event, timing),
        }
    }

    fn next(&self) -> Option<Time> {
        match &self.machine {
            Machine::Invite(machine) => machine.deadlines.next(),
            Machine::NonInvite(machine) => machine.deadlines.next(),
        }
    }

    fn expired(&mut self, now: Time) -> Option<ClientEvent> {
        let timer = match &mut self.machine {
            Machine::Invite(machine) => machine.deadlines.expired(now),
            Machine::NonInvite(machine) => machine.deadlines.expired(now),
        };
        timer.map(ClientEvent::Timer)
    }

    fn is_over(&self) -> bool {
        match &self.machine {
            Machine::Invite(machine) => machine.state == client_invite::State::Terminated,
            Machine::NonInvite(machine) => machine.state == client_non_invite::State::Terminated,
        }
    }

    /// Whether its request is answered for good, and only repetitions are waited for.
    fn is_settled(&self) -> bool {
        match &self.machine {
            Machine::Invite(machine) => {
                !matches!(machine.state, client_invite::State::Calling | client_invite::State::Proceeding)
            }
            Machine::NonInvite(machine) => machine.state == client_non_invite::State::Completed,
        }
    }
}

fn key(branch: &str, method: &Method) -> String {
    [branch, " ", method.as_str()].concat()
}

impl Endpoint {
    /// Sends a request as a new transaction.
    pub fn request(
        &mut self,
        now: Time,
        owner: Owner,
        method: Method,
        branch: &str,
        to: SocketAddr,
        bytes: Vec<u8>,
    ) -> u64 {
        self.make_room_for_client();
        let id = self.next_transaction();
        let timing = self.timing();
        let machine = match method {
            Method::Invite => Machine::Invite(ClientInvite::new(now, &timing)),
            _ => Machine::NonInvite(ClientNonInvite::new(now, &timing)),
        };
        let key = key(branch, &method);
        self.transmit((owner.line, owner.call), to, bytes.clone());
        let acks = BTreeMap::new();
        let mut client = Client { owner, key, machine, to, request: bytes.into(), acks, wake: None };
        let next = client.next();
        self.wakes.set(Wake::Client(id), &mut client.wake, next);
        self.client_keys.insert(client.key.clone(), id);
        self.clients.insert(id, client);
        id
    }

    /// Sends CANCEL for an INVITE of ours (RFC 3261 section 9.1): its URI, Via, From, To, Call-ID, number and Routes.
    pub fn cancel(&mut self, now: Time, tx: u64, owner: Owner) {
        let Some(client) = self.clients.get(&tx) else {
            return;
        };
        let to = client.to;
        let cancel = scan(&client.request.0).ok().and_then(|invite| like(&invite, &Method::Cancel, None));
        let Some((draft, branch)) = cancel else {
            return;
        };
        let bytes = draft.finish(None);
        self.request(now, owner, Method::Cancel, &branch, to, bytes);
    }

    /// Whose transaction it is.
    pub fn owner_of(&self, tx: u64) -> Option<Owner> {
        self.clients.get(&tx).map(|client| client.owner)
    }

    /// Forgets a transaction: what comes for it later is nobody's.
    pub fn abandon(&mut self, tx: u64) {
        self.remove_client(tx);
    }

    /// Whether a response is one to a request of ours; the transaction and what its owner gets.
    pub fn response(
        &mut self,
        now: Time,
        message: &Message<'_>,
        from: SocketAddr,
        bytes: &[u8],
    ) -> Option<(u64, Option<Outcome>)> {
        let via = message.via()?;
        let cseq = message.cseq()?;
        if message.fault.is_some() || message.values(Name::Via).count() != 1 || !self.is_ours(&via) {
            return None;
        }
        let id = *self.client_keys.get(&key(via.branch()?, &cseq.method))?;
        let owner = self.clients.get(&id)?.owner;
        self.trace(owner.line, owner.call, from, bytes);
        let status = message.status()?;
        let event = match status {
            100..=199 => ClientEvent::Provisional,
            200..=299 => ClientEvent::Success,
            _ => ClientEvent::Failure,
        };
        let tag = message.to_tag().unwrap_or_default();
        let timing = self.timing();
        let client = self.clients.get_mut(&id)?;
        let acts = client.on(now, event, &timing);
        if event == ClientEvent::Success
            && let Some((to, ack)) = client.acks.get(tag).cloned()
        {
            self.counters.retransmits += 1;
            self.transmit((owner.line, owner.call), to, ack.0);
            return Some((id, None));
        }
        let mut outcome = None;
        for act in acts {
            match act {
                ClientAct::Ack => self.acknowledge_failure(id, message),
                ClientAct::Pass => outcome = Some(Outcome::Response),
                ClientAct::Resend | ClientAct::Timeout | ClientAct::Unsent => {}
            }
        }
        self.settle_client(id);
        Some((id, outcome))
    }

    fn is_ours(&self, via: &Via<'_>) -> bool {
        let listen = self.config.listen;
        let same = || via.host.parse() == Ok(listen.ip());
        via.port.unwrap_or(5060) == listen.port() && (self.is_here(via.host) || same())
    }

    /// ACK to a 3xx to 6xx belongs to the transaction (RFC 3261 section 17.1.1.3).
    fn acknowledge_failure(&mut self, id: u64, response: &Message<'_>) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        let (owner, again) = (client.owner, client.acks.contains_key(""));
        if !again {
            let bytes = std::mem::take(&mut client.request);
            let ack = scan(&bytes.0).ok().and_then(|invite| like(&invite, &Method::Ack, response.first(Name::To)));
            if let Some((draft, _)) = ack {
                let ack = draft.finish(None);
                client.keep_ack("", client.to, &ack);
            }
        }
        let Some((to, ack)) = self.clients.get(&id).and_then(|client| client.acks.get("").cloned()) else {
            return;
        };
        self.counters.retransmits += u64::from(again);
        self.transmit((owner.line, owner.call), to, ack.0);
    }

    /// A transaction's deadline passed.
    pub fn client_woke(&mut self, now: Time, id: u64) -> Option<(Owner, Outcome)> {
        let timing = self.timing();
        let client = self.clients.get_mut(&id)?;
        client.wake = None;
        let owner = client.owner;
        let mut outcome = None;
        while let Some(client) = self.clients.get_mut(&id)
            && let Some(event) = client.expired(now)
        {
            let (to, acts) = (client.to, client.on(now, event, &timing));
            for act in acts {
                match act {
                    ClientAct::Resend => {
                        let bytes = self.clients.get(&id).map(|client| client.request.clone()).unwrap_or_default();
                        self.counters.retransmits += 1;
                        self.transmit((owner.line, owner.call), to, bytes.0);
                    }
                    ClientAct::Timeout => outcome = Some((owner, Outcome::Timeout)),
                    ClientAct::Ack | ClientAct::Pass | ClientAct::Unsent => {}
                }
            }
        }
        self.settle_client(id);
        outcome
    }

    fn settle_client(&mut self, id: u64) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        if client.is_over() {
            self.remove_client(id);
            return;
        }
        if client.is_settled() {
            client.request = Octets::default();
        }
        let next = client.next();
        self.wakes.set(Wake::Client(id), &mut client.wake, next);
    }

    fn remove_client(&mut self, id: u64) {
        if let Some(mut client) = self.clients.remove(&id) {
            self.wakes.set(Wake::Client(id), &mut client.wake, None);
            if self.client_keys.get(&client.key) == Some(&id) {
                self.client_keys.remove(&client.key);
            }
        }
    }

    /// One that only waits for repetitions makes room, the oldest first; else the oldest of all.
    fn make_room_for_client(&mut self) {
        if self.clients.len() < MAX_TRANSACTIONS {
            return;
        }
        let hand = self.client_hand;
        let mut round = self.clients.range(hand..).chain(self.clients.range(..hand));
        let settled = round.find(|(_, client)| client.is_settled()).map(|(id, _)| *id);
        if let Some(id) = settled.or_else(|| self.clients.keys().next().copied()) {
            self.client_hand = id + 1;
            self.counters.evicted += 1;
            self.remove_client(id);
        }
    }
}

/// CANCEL or ACK to an INVITE: the same but for the method, one Via, and for ACK the To of the response.
fn like(invite: &Message<'_>, method: &Method, to: Option<&[u8]>) -> Option<(Draft, String)> {
    let branch = invite.via()?.branch()?.to_owned();
    let cseq = invite.cseq()?.number;
    let mut draft = Draft::request(method, invite.uri()?)
        .header("Via", invite.first(Name::Via)?)
        .header("Max-Forwards", "70")
        .header("From", invite.first(Name::From)?)
        .header("To", to.or(invite.first(Name::To))?)
        .header("Call-ID", invite.first(Name::CallId)?)
        .header("CSeq", format!("{cseq} {method}"));
    for route in invite.lines(Name::Route) {
        draft.push("Route", route);
    }
    Some((draft, branch))
}
