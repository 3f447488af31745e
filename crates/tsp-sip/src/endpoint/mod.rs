//! What all calls share: transactions, deadlines, the way out.

mod client;
mod retry;
mod search;
mod server;
mod upkeep;
mod wake;
mod way;

pub(crate) use client::{Client, Outcome};
pub(crate) use retry::Challenged;
pub(crate) use search::Notice;
pub(crate) use server::{Answer, Server, key as server_key};
pub(crate) use wake::{Wake, Wakes};

use crate::line::Line;
use crate::locate::{Cache, Dead};
use crate::message::{Draft, Message, Method};
use crate::transaction::Timing;
use crate::transport::{Buckets, Connections, External, Peer, Target, Transport};
use crate::{Config, Counters};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use tapi::{Service, Time};
use tspi::{CallRef, CommandId, Event, LineRef, Output, PortId, Random, Refusal, Report, Taken, Traced};

/// The provider's UDP socket.
pub const PORT: PortId = PortId(0);
/// Where connections are accepted.
pub const TCP_PORT: PortId = PortId(1);
/// Where connections under TLS are accepted.
pub const TLS_PORT: PortId = PortId(2);

/// Most transactions at one time, either way.
pub(crate) const MAX_TRANSACTIONS: usize = if cfg!(test) { 64 } else { 131_072 };

/// Most calls whose last messages are told as theirs after the server closed them: fewer than the server remembers, so that
/// none is told of a call that it has to take for one to come.
const MOST_CLOSED: usize = 16;

/// To whom a transaction belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub line: u32,
    pub call: Option<u64>,
    pub purpose: Purpose,
}

/// What a transaction of ours is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Purpose {
    Invite,
    Reinvite,
    Cancel,
    Bye,
    /// An INVITE to a target that was given up for another one.
    Left,
    Prack,
    Update,
    Info,
    Refer,
    Notify,
    /// The line's registration.
    Register,
    /// Whether the peer is there.
    Probe,
    /// The line's mailbox.
    Subscribe,
    /// Nobody waits for the outcome.
    Stray,
}

/// What one call has to tell another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Relay {
    /// The call that was placed at its far end's wish got this far: status and words.
    Progress(u16, String),
    /// Its far end talks to another.
    Superseded,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    pub config: Config,
    pub lines: Vec<Line>,
    pub random: Random,
    pub counters: Counters,
    pub wakes: Wakes,
    /// Calls by Call-ID and our own tag.
    pub dialogs: BTreeMap<String, u64>,
    /// Names of dialogs that ended.
    pub ended: crate::invite::EndedDialogs,
    /// Calls that the server has not closed.
    pub open: BTreeSet<u64>,
    /// Calls that it closed last: what still crosses the wire for them is told as theirs.
    closed: VecDeque<u64>,
    clients: BTreeMap<u64, Client>,
    client_keys: BTreeMap<String, u64>,
    servers: BTreeMap<u64, Server>,
    server_keys: BTreeMap<String, u64>,
    merged: BTreeMap<String, u64>,
    last_transaction: u64,
    /// Where the search for a transaction that can be forgotten goes on: it never begins anew at the oldest, so that a
    /// full table costs no more than a table that is not.
    client_hand: u64,
    server_hand: u64,
    /// Bytes of responses in `servers`.
    kept_bytes: usize,
    /// Our own address as text.
    here: String,
    /// The time of the latest input.
    pub now: Time,
    /// Whether the server has more to do than it gets through.
    #[serde(default)]
    pub busy: bool,
    pub connections: Connections,
    pub cache: Cache,
    pub dead: Dead,
    pub external: External,
    pub buckets: Buckets,
    /// Requests whose target is looked for.
    locating: BTreeSet<u64>,
    probe: upkeep::Probe,
    stun_wake: Option<Time>,
    peers_wake: Option<Time>,
    keep_alive_wake: Option<Time>,
    /// Connections that are gone; drained after every input.
    #[serde(skip)]
    pub cuts: Vec<tspi::PortId>,
    /// What owners of requests are to hear; drained after every input.
    #[serde(skip)]
    pub notices: VecDeque<Notice>,
    /// What calls have to tell one another; drained after every input.
    #[serde(skip)]
    pub relays: VecDeque<(u64, Relay)>,
    #[serde(skip)]
    last_peer: Option<(SocketAddr, String)>,
    #[serde(skip)]
    pub outputs: VecDeque<Output>,
}

impl Endpoint {
    pub fn new(config: Config, seed: [u8; 32]) -> Endpoint {
        let lines = config.lines.iter().cloned().map(Line::new).collect();
        let here = config.listen.to_string();
        let external = External::new(&config);
        Endpoint {
            config,
            lines,
            random: Random::from_seed(seed),
            counters: Counters::default(),
            wakes: Wakes::default(),
            dialogs: BTreeMap::new(),
            ended: Default::default(),
            open: BTreeSet::new(),
            closed: VecDeque::new(),
            clients: BTreeMap::new(),
            client_keys: BTreeMap::new(),
            servers: BTreeMap::new(),
            server_keys: BTreeMap::new(),
            merged: BTreeMap::new(),
            last_transaction: 0,
            client_hand: 0,
            server_hand: 0,
            kept_bytes: 0,
            here,
            now: Time::ZERO,
            busy: false,
            connections: Connections::default(),
            cache: Cache::default(),
            dead: Dead::default(),
            external,
            buckets: Buckets::default(),
            locating: BTreeSet::new(),
            probe: upkeep::Probe::default(),
            stun_wake: None,
            peers_wake: None,
            keep_alive_wake: None,
            cuts: Vec::new(),
            notices: VecDeque::new(),
            relays: VecDeque::new(),
            last_peer: None,
            outputs: VecDeque::new(),
        }
    }

    pub fn timing(&self) -> Timing {
        Timing::udp(self.config.timers)
    }

    /// The values of a way: over a connection nothing is repeated.
    pub fn timing_of(&self, transport: Transport) -> Timing {
        Timing { reliable: transport.is_reliable(), ..self.timing() }
    }

    /// Whether nothing is under way.
    pub fn is_quiet(&self) -> bool {
        self.clients.is_empty() && self.servers.is_empty()
    }

    /// Transactions now, of either kind.
    pub fn transactions(&self) -> usize {
        self.clients.len() + self.servers.len()
    }

    fn next_transaction(&mut self) -> u64 {
        self.last_transaction += 1;
        self.last_transaction
    }

    pub fn emit(&mut self, event: Event) {
        // A server that is busy already is not told of what it does not get.
        if self.busy && matches!(event, Event::Trace { call: None, .. }) {
            return;
        }
        self.outputs.push_back(Output::Event(event));
    }

    pub fn reply(&mut self, id: CommandId, result: Result<Taken, Refusal>) {
        self.emit(Event::Reply { id, result });
    }

    pub fn report(&mut self, call: u64, report: Report) {
        self.emit(Event::Call { call: CallRef(call), report });
    }

    pub fn service(&mut self, line: usize, service: Service) {
        let line = LineRef(u32::try_from(line).unwrap_or(u32::MAX));
        self.emit(Event::LineChanged { line, change: tspi::LineChange::Service(service) });
    }

    /// The server closed a call.
    pub fn call_closed(&mut self, call: u64) {
        if self.open.remove(&call) {
            self.closed.truncate(MOST_CLOSED - 1);
            self.closed.push_front(call);
        }
    }

    /// Tells what arrived for a line, and for a call that the server knows or just closed.
    pub fn trace(&mut self, line: u32, call: Option<u64>, peer: SocketAddr, bytes: &[u8]) {
        let trace = self.traced(line, call, false, peer, bytes);
        self.emit(trace);
    }

    fn traced(&mut self, line: u32, call: Option<u64>, sent: bool, peer: SocketAddr, bytes: &[u8]) -> Event {
        let call = call.filter(|call| self.open.contains(call) || self.closed.contains(call)).map(CallRef);
        let (summary, text) = told(bytes);
        let entry = Box::new(Traced { sent, peer: self.text_of(peer), summary, text: Some(text) });
        Event::Trace { line: LineRef(line), call, entry }
    }

    /// An address as text. Peers are few, and the one that was heard last is nearly always the one that is meant.
    fn text_of(&mut self, peer: SocketAddr) -> String {
        match &self.last_peer {
            Some((known, text)) if *known == peer => text.clone(),
            _ => self.last_peer.insert((peer, peer.to_string())).1.clone(),
        }
    }

    /// A Via for a new request of ours, and its branch.
    pub fn via(&mut self) -> (String, String) {
        let branch = ["z9hG4bK", &self.random.token(20)].concat();
        (["SIP/2.0/UDP ", &self.here, ";branch=", &branch, ";rport"].concat(), branch)
    }

    /// Whether a host is our own address, as we write it.
    fn is_here(&self, host: &str) -> bool {
        self.here.strip_prefix(host).is_some_and(|rest| rest.starts_with(':'))
    }

    /// How a line's calls are made.
    pub fn policy(&self, line: u32) -> crate::CallPolicy {
        self.lines.get(line as usize).map(|line| line.config.calls.clone()).unwrap_or_default()
    }

    /// Our Contact.
    pub fn contact(&self, line: u32) -> String {
        ["<", &self.contact_uri(line), ">"].concat()
    }

    /// The URI in it, with the address that we listen at: what somebody is told instead is put in on the way out.
    pub fn contact_uri(&self, line: u32) -> String {
        let line = self.lines.get(line as usize);
        let user = line.map_or("", |line| line.config.user.as_str());
        ["sip:", user, "@", &self.here].concat()
    }

    /// Ends a request with what all of ours carry.
    pub fn finish(&self, draft: Draft, body: Option<&[u8]>) -> Vec<u8> {
        self.finish_with(draft, body.map(|body| ("application/sdp", body)))
    }

    /// The same with a body of any type.
    pub fn finish_with(&self, draft: Draft, content: Option<(&str, &[u8])>) -> Vec<u8> {
        let agent = &self.config.user_agent;
        let draft = if agent.is_empty() { draft } else { draft.header("User-Agent", agent) };
        draft.finish(content)
    }

    /// Sends ACK to a 2xx: no transaction of its own, sent again whenever the 2xx comes again.
    pub fn acknowledge(&mut self, tx: u64, tag: &str, to: impl Into<Target>, ack: Vec<u8>) {
        let Some(to) = self.at_once(&to.into()).or_else(|| self.clients.get(&tx).and_then(|client| client.to)) else {
            self.counters.unsent += 1;
            return;
        };
        let branch = crate::message::scan(&ack).ok().and_then(|ack| ack.via()?.branch().map(str::to_owned));
        let branch = branch.filter(|_| to.transport != Transport::Udp);
        let line = self.clients.get(&tx).map_or(u32::MAX, |client| client.owner.line);
        let ack = self.dressed(line, &to, false, branch.as_deref(), ack);
        let owner = self.clients.get_mut(&tx).map(|client| {
            client.keep_ack(tag, to, &ack);
            client.owner
        });
        match owner {
            Some(owner) => self.transmit((owner.line, owner.call), to, ack),
            None => self.put_out(to, ack),
        }
    }

    /// A 2xx that no call wants (another branch of a fork, or too late): it is acknowledged, and its dialog ended
    /// (RFC 3261 section 13.2.2.4).
    pub fn refuse_success(&mut self, now: Time, tx: u64, response: &Message<'_>, from: Peer) {
        let Some(owner) = self.clients.get(&tx).map(|client| client.owner) else {
            return;
        };
        let Some(local_tag) = response.from_tag() else {
            return;
        };
        let Some(dialog) = crate::dialog::Dialog::of_response(response, local_tag, from) else {
            return;
        };
        let to = dialog.next_hop();
        let (via, _) = self.via();
        let ack = self.finish(dialog.request(&Method::Ack, dialog.local_cseq, &via), None);
        self.acknowledge(tx, dialog.remote_tag.as_deref().unwrap_or_default(), to.clone(), ack);
        let (via, branch) = self.via();
        let bye = self.finish(dialog.request(&Method::Bye, dialog.local_cseq + 1, &via), None);
        self.request(now, Owner { purpose: Purpose::Stray, ..owner }, Method::Bye, &branch, to, bye);
    }
}

/// The one line and the whole text of a message, credentials cut out.
fn told(bytes: &[u8]) -> (String, String) {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(bytes),
    };
    // Line ends before a message are none of its own (RFC 3261 section 7.5).
    let whole = text.trim_start_matches(['\r', '\n']);
    let first = whole.lines().next().unwrap_or_default().trim_end();
    let summary = first.strip_prefix("SIP/2.0 ").or_else(|| first.strip_suffix(" SIP/2.0")).unwrap_or(first);
    (summary.to_owned(), cut_keys(cut_credentials(whole)))
}

/// Master keys of SRTP (RFC 4568) are secrets too.
fn cut_keys(text: String) -> String {
    if !text.contains("inline:") {
        return text;
    }
    let cut = |line: &str| match line.split_once("inline:") {
        Some((begin, _)) if line.starts_with("a=crypto:") => [begin, "inline:[cut]\r\n"].concat(),
        _ => line.to_owned(),
    };
    text.split_inclusive('\n').map(cut).collect()
}

fn cut_credentials(text: &str) -> String {
    if !has_credentials(text) {
        return text.to_owned();
    }
    let mut kept = String::with_capacity(text.len());
    let (mut inside, mut headers) = (false, true);
    for line in text.split_inclusive('\n') {
        headers &= !line.trim_end().is_empty();
        inside = headers && (inside && line.starts_with([' ', '\t']) || names_credentials(line));
        match line.split_once(':') {
            Some((name, _)) if inside && names_credentials(line) => {
                kept.push_str(name);
                kept.push_str(": [cut]\r\n");
            }
            _ if inside => {}
            _ => kept.push_str(line),
        }
    }
    kept
}

/// Whether a header line begins as one with credentials does.
fn has_credentials(text: &str) -> bool {
    let mut begin = 0;
    while let Some(line) = text.get(begin..)
        && let Some(length) = memchr::memchr(b'\n', line.as_bytes())
    {
        if matches!(line.get(..length), Some("" | "\r")) {
            return false;
        }
        if names_credentials(line) {
            return true;
        }
        begin += length + 1;
    }
    false
}

fn names_credentials(line: &str) -> bool {
    if !line.starts_with(['a', 'A', 'p', 'P']) {
        return false;
    }
    let name = line.split(':').next().unwrap_or_default().trim();
    name.eq_ignore_ascii_case("authorization") || name.eq_ignore_ascii_case("proxy-authorization")
}

#[cfg(test)]
mod tests;
