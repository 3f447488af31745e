//! Server transactions: their messages around the machines.

use super::{Endpoint, MAX_TRANSACTIONS, Wake};
use crate::message::{ALLOW, Draft, Message, Method, Name, Octets, Reject, Via};
use crate::transaction::server_invite::{self, ServerInvite};
use crate::transaction::server_non_invite::{self, ServerNonInvite};
use crate::transaction::{ServerAct, ServerEvent, Timing};
use crate::transport::{Peer, Transport};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use tapi::Time;

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Machine {
    Invite(ServerInvite),
    NonInvite(ServerNonInvite),
}

/// A request of a peer's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Server {
    line: u32,
    call: Option<u64>,
    key: String,
    merged: Option<String>,
    machine: Machine,
    reply_to: Peer,
    /// The port of its sender's Via: where a new connection is made to if that of the request is gone.
    via_port: u16,
    /// Whether it was for a `sips` URI.
    secure: bool,
    echo: Echo,
    response: Octets,
    wake: Option<Time>,
}

/// What every response repeats of its request (RFC 3261 section 8.2.6.2), until the final one is written.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Echo {
    /// Via, From, Call-ID and CSeq, as lines.
    lines: Octets,
    to: Octets,
    to_has_tag: bool,
    /// Record-Route, as lines.
    routes: Octets,
}

/// A response that is to be sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub status: u16,
    pub reason: Option<String>,
    /// Our tag, where the request's To has none.
    pub tag: Option<String>,
    pub headers: Vec<(&'static str, String)>,
    /// Whether it makes or changes a dialog.
    pub dialog: bool,
    pub body: Option<Vec<u8>>,
}

impl Answer {
    pub fn new(status: u16) -> Answer {
        Answer { status, ..Answer::default() }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Answer {
        self.headers.push((name, value.into()));
        self
    }

    pub fn tag(mut self, tag: &str) -> Answer {
        self.tag = Some(tag.to_owned());
        self
    }

    /// What an OPTIONS is told.
    pub fn abilities(self) -> Answer {
        self.abilities_of("100rel, timer, 199, replaces, norefersub")
    }

    /// The same where less is supported.
    pub fn abilities_of(self, supported: &str) -> Answer {
        self.with("Allow", ALLOW).with("Accept", "application/sdp").with("Supported", supported)
    }
}

impl From<Reject> for Answer {
    fn from(reject: Reject) -> Answer {
        Answer { status: reject.status, reason: reject.reason, headers: reject.headers, ..Answer::default() }
    }
}

impl Server {
    fn on(&mut self, now: Time, event: ServerEvent, timing: &Timing) -> Vec<ServerAct> {
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

    fn expired(&mut self, now: Time) -> Option<ServerEvent> {
        let timer = match &mut self.machine {
            Machine::Invite(machine) => machine.deadlines.expired(now),
            Machine::NonInvite(machine) => machine.deadlines.expired(now),
        };
        timer.map(ServerEvent::Timer)
    }

    fn is_over(&self) -> bool {
        match &self.machine {
            Machine::Invite(machine) => machine.state == server_invite::State::Terminated,
            Machine::NonInvite(machine) => machine.state == server_non_invite::State::Terminated,
        }
    }

    fn is_settled(&self) -> bool {
        match &self.machine {
            Machine::Invite(machine) => machine.state != server_invite::State::Proceeding,
            Machine::NonInvite(machine) => machine.state == server_non_invite::State::Completed,
        }
    }
}

/// Where responses go: over the connection of the request; else to the source when asked so (RFC 3581), else to the source's
/// address with the port of Via (RFC 3261 section 18.2.2).
fn reply_to(via: &Via<'_>, from: Peer) -> Peer {
    if from.transport.is_reliable() || via.params.first("rport").is_some() {
        return from;
    }
    Peer::udp(SocketAddr::new(from.ip(), via_port(via, from.transport)))
}

fn via_port(via: &Via<'_>, transport: Transport) -> u16 {
    via.port.filter(|port| *port != 0).unwrap_or(transport.default_port())
}

/// Longest name of a transaction that is kept, in bytes. Names of real peers are a tenth of it.
const MAX_KEY: usize = 4_096;
/// Most bytes of responses that are kept to be repeated.
const MAX_KEPT: usize = if cfg!(test) { 1 << 20 } else { 128 << 20 };

/// The name of a transaction (RFC 3261 section 17.2.3); ACK and CANCEL are sought by the name of their INVITE. `None`: the
/// request has none, or one that is out of all bounds.
pub(crate) fn key(message: &Message<'_>, method: &Method) -> Option<String> {
    if message.call_id().map_or(0, str::len) + message.from_tag().map_or(0, str::len) > MAX_KEY {
        return None;
    }
    any_key(message, method).filter(|key| key.len() <= MAX_KEY)
}

fn any_key(message: &Message<'_>, method: &Method) -> Option<String> {
    let via = message.via()?;
    if let Some(branch) = via.unique_branch() {
        let port = via.port.unwrap_or(5060).to_string();
        let mut key = [branch, " ", via.host, ":", &port, " ", method.as_str()].concat();
        key.get_mut(branch.len()..branch.len() + 1 + via.host.len())?.make_ascii_lowercase();
        return Some(key);
    }
    // A peer of RFC 2543.
    let first = String::from_utf8_lossy(message.values(Name::Via).next()?).into_owned();
    let tag = message.from_tag().unwrap_or_default();
    Some(format!("2543 {} {tag} {} {} {first} {method}", message.uri()?, message.call_id()?, message.cseq()?.number))
}

fn merged_key(message: &Message<'_>) -> Option<String> {
    if message.to_tag().is_some() || message.method()? == Method::Cancel {
        return None;
    }
    let cseq = message.cseq()?;
    let number = cseq.number.to_string();
    let tag = message.from_tag().unwrap_or_default();
    Some([tag, " ", message.call_id()?, " ", &number, " ", cseq.method.as_str()].concat())
}

impl Echo {
    fn of(message: &Message<'_>, from: Peer) -> Echo {
        let mut lines = Vec::with_capacity(512);
        let mut push = |name: &str, value: &[u8]| {
            lines.extend_from_slice(name.as_bytes());
            lines.extend_from_slice(b": ");
            lines.extend_from_slice(value);
            lines.extend_from_slice(b"\r\n");
        };
        for (at, value) in message.values(Name::Via).enumerate() {
            match Via::parse(value).filter(|_| at == 0) {
                Some(via) => push("Via", &answered(value, &via, from)),
                None => push("Via", value),
            }
        }
        for name in [Name::From, Name::CallId, Name::CSeq] {
            if let Some(value) = message.first(name) {
                push(name.as_str(), value);
            }
        }
        let mut routes = Vec::new();
        for value in message.lines(Name::RecordRoute) {
            routes.extend_from_slice(b"Record-Route: ");
            routes.extend_from_slice(value);
            routes.extend_from_slice(b"\r\n");
        }
        let to = message.first(Name::To).unwrap_or_default().into();
        Echo { lines: lines.into(), to, to_has_tag: message.to_tag().is_some(), routes: routes.into() }
    }
}

/// The topmost Via with what we saw: `received` and the value of `rport`.
fn answered(value: &[u8], via: &Via<'_>, from: Peer) -> Vec<u8> {
    let end = value.iter().position(|&byte| byte == b';').unwrap_or(value.len());
    let mut text = value.get(..end).unwrap_or_default().to_vec();
    for (name, value) in via.params.iter() {
        if name.eq_ignore_ascii_case(b"received") || name.eq_ignore_ascii_case(b"rport") {
            continue;
        }
        text.push(b';');
        text.extend_from_slice(name);
        if !value.is_empty() {
            text.push(b'=');
            text.extend_from_slice(value);
        }
    }
    let wants_port = via.params.first("rport").is_some();
    if wants_port || via.host.parse() != Ok(from.ip()) {
        text.extend_from_slice(b";received=");
        text.extend_from_slice(from.ip().to_string().as_bytes());
    }
    if wants_port {
        text.extend_from_slice(b";rport=");
        text.extend_from_slice(from.address.port().to_string().as_bytes());
    }
    text
}

impl Endpoint {
    /// The transaction that a request repeats.
    pub fn known_server(&self, key: &str) -> Option<u64> {
        self.server_keys.get(key).copied()
    }

    /// The call that a transaction is about, where there is one.
    pub fn server_call(&self, id: u64) -> Option<u64> {
        self.servers.get(&id).and_then(|server| server.call)
    }

    /// Whether a request came twice on different ways (RFC 3261 section 8.2.2.2).
    pub fn is_merged(&self, tx: u64) -> bool {
        let key = self.servers.get(&tx).and_then(|server| server.merged.as_ref());
        key.and_then(|key| self.merged.get(key)).is_some_and(|first| *first != tx)
    }

    /// Begins a transaction for a request, whose [`key`] it is.
    pub fn serve(
        &mut self,
        key: String,
        message: &Message<'_>,
        from: Peer,
        (line, call): (u32, Option<u64>),
    ) -> Option<u64> {
        let method = message.method()?;
        let via = message.via()?;
        self.make_room_for_server();
        let id = self.next_transaction();
        let machine = match method {
            Method::Invite => Machine::Invite(ServerInvite::new(&self.timing_of(from.transport))),
            _ => Machine::NonInvite(ServerNonInvite::new()),
        };
        let merged = merged_key(message);
        let server = Server {
            line,
            call,
            key,
            merged,
            machine,
            reply_to: reply_to(&via, from),
            via_port: via_port(&via, from.transport),
            secure: message
                .uri()
                .is_some_and(|uri| uri.get(..5).is_some_and(|begin| begin.eq_ignore_ascii_case("sips:"))),
            echo: Echo::of(message, from),
            response: Octets::default(),
            wake: None,
        };
        self.server_keys.insert(server.key.clone(), id);
        if let Some(key) = &server.merged {
            self.merged.entry(key.clone()).or_insert(id);
        }
        self.servers.insert(id, server);
        Some(id)
    }

    /// Gives a transaction to a call.
    pub fn assign(&mut self, id: u64, call: u64) {
        if let Some(server) = self.servers.get_mut(&id) {
            server.call = Some(call);
        }
    }

    /// Sends a response.
    pub fn respond(&mut self, now: Time, id: u64, answer: Answer) {
        let Some(server) = self.servers.get(&id).filter(|server| !server.is_settled()) else {
            return;
        };
        let (line, reply_to, secure) = (server.line, server.reply_to, server.secure);
        let timing = self.timing_of(reply_to.transport);
        let bytes = write(&server.echo, &answer, &self.config.user_agent);
        let bytes = self.dressed(line, &reply_to, secure, None, bytes);
        let Some(server) = self.servers.get_mut(&id) else {
            return;
        };
        let event = match answer.status {
            100..=199 => ServerEvent::Provisional,
            200..=299 => ServerEvent::Success,
            _ => ServerEvent::Failure,
        };
        self.kept_bytes = self.kept_bytes.saturating_sub(server.response.0.len());
        server.response = bytes.into();
        server.response.0.shrink_to_fit();
        self.kept_bytes += server.response.0.len();
        let acts = server.on(now, event, &timing);
        if server.is_settled() {
            server.echo = Echo::default();
        }
        self.act_server(id, &acts);
        while self.kept_bytes > MAX_KEPT && self.evict_server() {}
    }

    /// Sends the 2xx to an INVITE again: the call does so until ACK comes.
    pub fn respond_again(&mut self, id: u64) {
        self.counters.retransmits += 1;
        self.act_server(id, &[ServerAct::Resend]);
    }

    /// A request came again, or ACK to a failure came.
    pub fn server_event(&mut self, now: Time, id: u64, event: ServerEvent) {
        let timing = self.timing_of_server(id);
        if let Some(server) = self.servers.get_mut(&id) {
            let acts = server.on(now, event, &timing);
            self.act_server(id, &acts);
        }
    }

    /// A transaction's deadline passed.
    pub fn server_woke(&mut self, now: Time, id: u64) {
        let timing = self.timing_of_server(id);
        if let Some(server) = self.servers.get_mut(&id) {
            server.wake = None;
        }
        while let Some(server) = self.servers.get_mut(&id)
            && let Some(event) = server.expired(now)
        {
            let acts = server.on(now, event, &timing);
            self.act_server(id, &acts);
        }
        self.act_server(id, &[]);
    }

    fn timing_of_server(&self, id: u64) -> Timing {
        self.timing_of(self.servers.get(&id).map_or(Transport::Udp, |server| server.reply_to.transport))
    }

    /// Where a response goes now: over a new connection if that of the request is gone (RFC 3261 section 18.2.2).
    fn way_back(&mut self, id: u64) -> Option<Peer> {
        let server = self.servers.get(&id)?;
        let (to, port) = (server.reply_to, server.via_port);
        if self.is_open(&to) {
            return Some(to);
        }
        let to = self.way(to.transport, SocketAddr::new(to.ip(), port), &to.ip().to_string())?;
        if let Some(server) = self.servers.get_mut(&id) {
            server.reply_to = to;
        }
        Some(to)
    }

    fn act_server(&mut self, id: u64, acts: &[ServerAct]) {
        for act in acts {
            let Some(server) = self.servers.get(&id) else {
                return;
            };
            if !matches!(act, ServerAct::Send | ServerAct::Resend) || server.response.is_empty() {
                continue;
            }
            let (about, bytes) = ((server.line, server.call), server.response.0.clone());
            self.counters.retransmits += u64::from(*act == ServerAct::Resend);
            match self.way_back(id) {
                Some(to) => self.transmit(about, to, bytes),
                None => self.counters.unsent += 1,
            }
        }
        let Some(server) = self.servers.get_mut(&id) else {
            return;
        };
        if server.is_over() {
            self.remove_server(id);
            return;
        }
        let next = server.next();
        self.wakes.set(Wake::Server(id), &mut server.wake, next);
    }

    fn remove_server(&mut self, id: u64) {
        let Some(mut server) = self.servers.remove(&id) else {
            return;
        };
        self.wakes.set(Wake::Server(id), &mut server.wake, None);
        self.kept_bytes = self.kept_bytes.saturating_sub(server.response.0.len());
        if self.server_keys.get(&server.key) == Some(&id) {
            self.server_keys.remove(&server.key);
        }
        if let Some(key) = server.merged.filter(|key| self.merged.get(key) == Some(&id)) {
            self.merged.remove(&key);
        }
    }

    fn make_room_for_server(&mut self) {
        if self.servers.len() >= MAX_TRANSACTIONS {
            self.evict_server();
        }
    }

    /// One that only waits for repetitions makes room, the oldest first; else the oldest of all.
    fn evict_server(&mut self) -> bool {
        let hand = self.server_hand;
        let mut round = self.servers.range(hand..).chain(self.servers.range(..hand));
        let settled = round.find(|(_, server)| server.is_settled()).map(|(id, _)| *id);
        let Some(id) = settled.or_else(|| self.servers.keys().next().copied()) else {
            return false;
        };
        self.server_hand = id + 1;
        self.counters.evicted += 1;
        self.remove_server(id);
        true
    }
}

fn write(echo: &Echo, answer: &Answer, agent: &str) -> Vec<u8> {
    let mut to = echo.to.0.clone();
    if let Some(tag) = answer.tag.as_ref().filter(|_| !echo.to_has_tag && answer.status != 100) {
        to.extend_from_slice(b";tag=");
        to.extend_from_slice(tag.as_bytes());
    }
    let mut draft = Draft::response(answer.status, answer.reason.as_deref()).raw(&echo.lines).header("To", to);
    if answer.dialog {
        draft = draft.raw(&echo.routes);
    }
    for (name, value) in &answer.headers {
        draft.push(name, value);
    }
    if !agent.is_empty() {
        draft.push("Server", agent);
    }
    draft.finish(answer.body.as_deref().map(|body| ("application/sdp", body)))
}
