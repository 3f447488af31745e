//! Client transactions: their messages around the machines.

use super::retry::{Again, Challenged};
use super::search::Search;
use super::{Endpoint, MAX_TRANSACTIONS, Owner, Wake};
use crate::auth::Rounds;
use crate::message::{Draft, Message, Method, Name, Octets, Via, scan};
use crate::transaction::client_invite::{self, ClientInvite};
use crate::transaction::client_non_invite::{self, ClientNonInvite};
use crate::transaction::{ClientAct, ClientEvent};
use crate::transport::{Peer, Target, Transport};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use tapi::Time;

/// Most tags whose ACK is kept.
const MAX_FORKS: usize = 32;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Machine {
    /// Its target is looked for, until then.
    Locating(Time),
    Invite(ClientInvite),
    NonInvite(ClientNonInvite),
}

/// A request of ours.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Client {
    pub owner: Owner,
    pub(super) key: String,
    pub(super) machine: Machine,
    /// Who has it; nobody while its target is looked for.
    pub(super) to: Option<Peer>,
    /// The request, until a final response came.
    pub(super) request: Octets,
    /// ACKs that were sent, by the tag that they answer.
    pub(super) acks: BTreeMap<String, (Peer, Octets)>,
    pub(super) wake: Option<Time>,
    /// While there are other candidates.
    pub(super) search: Option<Box<Search>>,
    /// What it was challenged for before.
    pub(super) rounds: Rounds,
    /// Its credentials, as header lines: the ACK to a 2xx repeats them.
    pub(super) proofs: Octets,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It went out, after its target was found.
    Sent,
    /// It could not be sent, or its connection broke, for this reason.
    Unsent(String),
    /// The response is for its owner.
    Response,
    /// The response asks for credentials; where there are none, it is for its owner.
    Challenged(Box<Challenged>),
    /// None came.
    Timeout,
}

impl Client {
    pub fn keep_ack(&mut self, tag: &str, to: Peer, ack: &[u8]) {
        if self.acks.len() < MAX_FORKS {
            self.acks.insert(tag.to_owned(), (to, ack.into()));
        }
    }

    fn challenged(&self) -> Option<Challenged> {
        let request = self.request.clone();
        Some(Challenged { owner: self.owner, to: self.to?, request, rounds: self.rounds.clone() })
    }

    fn on(&mut self, now: Time, event: ClientEvent, timing: &crate::transaction::Timing) -> Vec<ClientAct> {
        match &mut self.machine {
            Machine::Locating(_) => Vec::new(),
            Machine::Invite(machine) => machine.on(now, event, timing),
            Machine::NonInvite(machine) => machine.on(now, event, timing),
        }
    }

    fn next(&self) -> Option<Time> {
        let machine = match &self.machine {
            Machine::Locating(until) => Some(*until),
            Machine::Invite(machine) => machine.deadlines.next(),
            Machine::NonInvite(machine) => machine.deadlines.next(),
        };
        [machine, self.search.as_ref().and_then(|search| search.patience)].into_iter().flatten().min()
    }

    fn expired(&mut self, now: Time) -> Option<ClientEvent> {
        let timer = match &mut self.machine {
            Machine::Locating(_) => None,
            Machine::Invite(machine) => machine.deadlines.expired(now),
            Machine::NonInvite(machine) => machine.deadlines.expired(now),
        };
        timer.map(ClientEvent::Timer)
    }

    fn is_over(&self) -> bool {
        match &self.machine {
            Machine::Locating(_) => false,
            Machine::Invite(machine) => machine.state == client_invite::State::Terminated,
            Machine::NonInvite(machine) => machine.state == client_non_invite::State::Terminated,
        }
    }

    /// Whether its request is answered for good, and only repetitions are waited for.
    pub(super) fn is_settled(&self) -> bool {
        match &self.machine {
            Machine::Locating(_) => false,
            Machine::Invite(machine) => {
                !matches!(machine.state, client_invite::State::Calling | client_invite::State::Proceeding)
            }
            Machine::NonInvite(machine) => machine.state == client_non_invite::State::Completed,
        }
    }

    /// Whether nothing came back yet: another candidate may be tried.
    pub(super) fn is_unanswered(&self) -> bool {
        match &self.machine {
            Machine::Locating(_) => false,
            Machine::Invite(machine) => machine.state == client_invite::State::Calling,
            Machine::NonInvite(machine) => machine.state == client_non_invite::State::Trying,
        }
    }

    fn transport(&self) -> Transport {
        self.to.map_or(Transport::Udp, |to| to.transport)
    }
}

pub(super) fn key(branch: &str, method: &Method) -> String {
    [branch, " ", method.as_str()].concat()
}

impl Endpoint {
    /// Sends a request as a new transaction: the one way out for every request of ours, whatever its method.
    ///
    /// `to` is a [`Peer`] that is known, or a [`Destination`](crate::locate::Destination): the next hop as a URI, a Route or
    /// a configured proxy names it. A destination is located (RFC 3263), which may take a while; the transport is chosen,
    /// a connection made or reused, and the next candidate tried, with a new branch, when one gives no answer, answers 503
    /// or cannot be reached. `bytes` is the request with [`Endpoint::via`] as its first header and [`Endpoint::contact`] in
    /// its Contact: both are rewritten for the way that is taken. The name of the transaction stays the same over all
    /// candidates. Its owner hears of responses, of the timeout of the last candidate, and by [`Outcome::Sent`] and
    /// [`Outcome::Unsent`] of a search that ended well or badly.
    pub fn request(
        &mut self,
        now: Time,
        owner: Owner,
        method: Method,
        branch: &str,
        to: impl Into<Target>,
        bytes: Vec<u8>,
    ) -> u64 {
        self.now = self.now.max(now);
        self.make_room_for_client();
        let id = self.next_transaction();
        let target = to.into();
        let to = match (target.known, target.find) {
            (Some(known), _) if self.is_open(&known) => known,
            (_, Some(find)) => {
                self.seek(id, owner, (method, branch), find, bytes);
                return id;
            }
            (Some(known), None) => {
                let way = self.way(known.transport, known.address, &known.ip().to_string());
                way.unwrap_or(known)
            }
            (None, None) => return id,
        };
        self.begin(now, id, owner, method, branch, to, bytes);
        id
    }

    #[allow(clippy::too_many_arguments, reason = "everything that a transaction begins with")]
    fn begin(&mut self, now: Time, id: u64, owner: Owner, method: Method, branch: &str, to: Peer, bytes: Vec<u8>) {
        let timing = self.timing_of(to.transport);
        let machine = match method {
            Method::Invite => Machine::Invite(ClientInvite::new(now, &timing)),
            _ => Machine::NonInvite(ClientNonInvite::new(now, &timing)),
        };
        let branch_of_way = Some(branch).filter(|_| to.transport != Transport::Udp);
        let bytes = self.dressed(owner.line, &to, false, branch_of_way, bytes);
        let key = key(branch, &method);
        self.transmit((owner.line, owner.call), to, bytes.clone());
        let acks = BTreeMap::new();
        let mut client = Client {
            owner,
            key,
            machine,
            to: Some(to),
            request: bytes.into(),
            acks,
            wake: None,
            search: None,
            rounds: Rounds::default(),
            proofs: Octets::default(),
        };
        let next = client.next();
        self.wakes.set(Wake::Client(id), &mut client.wake, next);
        self.client_keys.insert(client.key.clone(), id);
        self.clients.insert(id, client);
    }

    /// Sends a request again that was challenged, under the name it had. The challenged one goes on under another: it must
    /// still acknowledge what comes again.
    pub(super) fn begin_again(&mut self, now: Time, tx: u64, again: Again) {
        if let Some(mut old) = self.clients.remove(&tx) {
            self.wakes.set(Wake::Client(tx), &mut old.wake, None);
            old.owner.purpose = super::Purpose::Stray;
            let name = self.next_transaction();
            let next = old.next();
            self.wakes.set(Wake::Client(name), &mut old.wake, next);
            self.client_keys.insert(old.key.clone(), name);
            self.clients.insert(name, old);
        }
        let Again { owner, method, branch, to, bytes, rounds, proofs } = again;
        let to = if self.is_open(&to) { Some(to) } else { self.way(to.transport, to.address, &to.ip().to_string()) };
        let to = to.unwrap_or(again.to);
        self.begin(now, tx, owner, method, &branch, to, bytes);
        if let Some(client) = self.clients.get_mut(&tx) {
            client.rounds = rounds;
            client.proofs = proofs;
        }
    }

    /// The header lines with which a request proved who we are.
    pub fn proofs(&self, tx: u64) -> Octets {
        self.clients.get(&tx).map(|client| client.proofs.clone()).unwrap_or_default()
    }

    /// Sends CANCEL for an INVITE of ours (RFC 3261 section 9.1): its URI, Via, From, To, Call-ID, number and Routes.
    pub fn cancel(&mut self, now: Time, tx: u64, owner: Owner, reason: Option<String>) {
        let Some(client) = self.clients.get(&tx) else {
            return;
        };
        let Some(to) = client.to else {
            return;
        };
        let cancel = scan(&client.request.0).ok().and_then(|invite| like(&invite, &Method::Cancel, None));
        let Some((mut draft, branch)) = cancel else {
            return;
        };
        if let Some(reason) = reason {
            draft.push("Reason", reason);
        }
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
        from: Peer,
        bytes: &[u8],
    ) -> Option<(u64, Option<Outcome>)> {
        let via = message.via()?;
        let cseq = message.cseq()?;
        if message.fault.is_some() || message.values(Name::Via).count() != 1 || !self.is_ours(&via) {
            return None;
        }
        let id = *self.client_keys.get(&key(via.branch()?, &cseq.method))?;
        let owner = self.clients.get(&id)?.owner;
        self.trace(owner.line, owner.call, from.address, bytes);
        self.learn_from(&via, from);
        let status = message.status()?;
        let event = match status {
            100..=199 => ClientEvent::Provisional,
            200..=299 => ClientEvent::Success,
            _ => ClientEvent::Failure,
        };
        let tag = message.to_tag().unwrap_or_default();
        let client = self.clients.get_mut(&id)?;
        let unanswered = client.is_unanswered();
        let to = client.to;
        let told = (owner.purpose == super::Purpose::Register && status >= 200)
            .then(|| contact_in(&client.request.0))
            .flatten();
        if let Some(line) = self.lines.get_mut(owner.line as usize).filter(|_| told.is_some()) {
            line.reach.told = told;
        }
        let timing = self.timing_of(from.transport);
        let client = self.clients.get_mut(&id)?;
        let challenged = if matches!(status, 401 | 407) { client.challenged() } else { None };
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
                ClientAct::Pass => {
                    let challenged = challenged.clone().map(|it| Outcome::Challenged(Box::new(it)));
                    outcome = Some(challenged.unwrap_or(Outcome::Response));
                }
                ClientAct::Resend | ClientAct::Timeout | ClientAct::Unsent => {}
            }
        }
        if let Some(to) = to {
            self.judge(owner.line, to, message, status);
        }
        if status == 503 && unanswered && self.fail_over(id) {
            return Some((id, None));
        }
        if let Some(client) = self.clients.get_mut(&id) {
            // Whoever answered is the one.
            client.search = None;
        }
        self.settle_client(id);
        Some((id, outcome))
    }

    /// What an answer says of who gave it.
    fn judge(&mut self, line: u32, to: Peer, message: &Message<'_>, status: u16) {
        if status == 503 {
            let seconds = message.text(Name::RetryAfter).and_then(|text| {
                text.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok())
            });
            self.dead.bury(self.now, to.transport, to.address, seconds.map(Duration::from_secs));
        } else {
            self.dead.raise(to.transport, to.address);
            if to.transport == Transport::Udp
                && let Some(line) = self.lines.get_mut(line as usize)
            {
                line.flow = Some(to.address);
            }
        }
    }

    fn is_ours(&self, via: &Via<'_>) -> bool {
        let default = Transport::parse(via.transport).map_or(5060, Transport::default_port);
        let port = via.port.unwrap_or(default);
        [Transport::Udp, Transport::Tcp, Transport::Tls].into_iter().any(|way| {
            let here = self.here_of(way);
            here.port() == port && (self.is_here(via.host) || via.host.parse() == Ok(here.ip()))
        })
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
            if let (Some((draft, _)), Some(to)) = (ack, client.to) {
                let ack = draft.finish(None);
                client.keep_ack("", to, &ack);
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
        let client = self.clients.get_mut(&id)?;
        client.wake = None;
        let (owner, timing) = (client.owner, self.timing_of(self.clients.get(&id)?.transport()));
        if self.is_out_of_patience(now, id) {
            return None;
        }
        let mut outcome = None;
        while let Some(client) = self.clients.get_mut(&id)
            && let Some(event) = client.expired(now)
        {
            let (to, unanswered) = (client.to, client.is_unanswered());
            for act in client.on(now, event, &timing) {
                match (act, to) {
                    (ClientAct::Resend, Some(to)) => {
                        let bytes = self.clients.get(&id).map(|client| client.request.clone()).unwrap_or_default();
                        self.counters.retransmits += 1;
                        self.transmit((owner.line, owner.call), to, bytes.0);
                    }
                    (ClientAct::Timeout, Some(to)) => {
                        if unanswered {
                            self.dead.bury(now, to.transport, to.address, None);
                        }
                        outcome = Some((owner, Outcome::Timeout));
                    }
                    _ => {}
                }
            }
        }
        self.settle_client(id);
        outcome
    }

    /// Whether a search or a candidate took too long, and what follows is done.
    fn is_out_of_patience(&mut self, now: Time, id: u64) -> bool {
        let Some(client) = self.clients.get(&id) else {
            return true;
        };
        if matches!(client.machine, Machine::Locating(until) if until <= now) {
            self.unsent(id, "no answer from the name server in time");
            return true;
        }
        let over = client.search.as_ref().and_then(|search| search.patience).is_some_and(|until| until <= now);
        match client.to.filter(|_| over && client.is_unanswered()) {
            Some(to) => {
                self.dead.bury(now, to.transport, to.address, None);
                self.fail_over(id)
            }
            None => false,
        }
    }

    pub(super) fn settle_client(&mut self, id: u64) {
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

    pub(super) fn remove_client(&mut self, id: u64) {
        self.locating.remove(&id);
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
    for name in [Name::Route, Name::Authorization, Name::ProxyAuthorization] {
        for line in invite.lines(name) {
            draft.push(name.as_str(), line);
        }
    }
    Some((draft, branch))
}

/// The Contact of a request as it went out.
fn contact_in(request: &[u8]) -> Option<String> {
    let message = crate::message::scan(request).ok()?;
    let value = message.values(Name::Contact).next()?;
    Some(format!("<{}>", crate::message::NameAddr::parse(value)?.uri))
}
