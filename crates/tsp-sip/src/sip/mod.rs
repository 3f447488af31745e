//! The provider: commands, ports, deadlines. Datagrams are in [`receive`].

mod command;
mod keep;
mod receive;
mod reconfigure;
mod streams;
mod transfer;
mod upkeep;

use crate::auth::Gate;
use crate::endpoint::{Challenged, Endpoint, Outcome, Purpose, Wake};
use crate::invite::Call;
use crate::message::Message;
use crate::transport::Peer;
use crate::{Config, Counters, PORT};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tapi::{Service, Time};
use tspi::{CommandId, Event, Input, LineRef, Output, Provider};
use upkeep::Upkeep;

/// How long after a failure the port is opened again.
const REOPEN: Duration = Duration::from_secs(5);
/// How long calls outlive their port: time for one attempt to open it again.
const OUTLIVE: Duration = Duration::from_secs(8);
/// How long a stop waits for its last transactions.
const STOP: Duration = Duration::from_secs(2);
/// Most calls that are kept, those included whose signalling only ends.
pub(crate) const MAX_CALLS: usize = 65_536;

/// Where the socket is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Port {
    /// Nothing happened yet.
    New,
    /// It was asked for.
    Opening,
    /// It is there.
    Open,
    /// It is gone; it is asked for again later.
    Closed { reason: String },
    /// Its address cannot be used.
    Unusable { reason: String },
}

/// Whether the provider goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Course {
    /// It does.
    Running,
    /// It ends its calls for this command.
    Stopping { command: CommandId },
    /// It is done.
    Stopped,
}

/// A SIP user agent with its lines.
///
/// Its whole state but the outputs that were not drained yet is a serde value: drain [`Provider::poll_output`] before
/// serialising.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sip {
    endpoint: Endpoint,
    /// Each in a box of its own: nodes of the map are half empty as a rule, and calls are big.
    calls: BTreeMap<u64, Box<Call>>,
    upkeep: Vec<Upkeep>,
    gate: Gate,
    last_call: u64,
    port: Port,
    course: Course,
    /// Ports that listen, and could not be opened.
    deaf: BTreeSet<tspi::PortId>,
    listen_wake: Option<Time>,
    port_wake: Option<Time>,
    lost_wake: Option<Time>,
    stop_wake: Option<Time>,
    #[serde(skip)]
    keeping: keep::Keeping,
}

impl Sip {
    /// A user agent with the configured lines; `seed` is chance from the operating system.
    pub fn new(config: Config, seed: [u8; 32]) -> Sip {
        let mut endpoint = Endpoint::new(config, seed);
        let upkeep = Upkeep::all(&mut endpoint);
        let gate = Gate::new(&mut endpoint.random);
        Sip {
            endpoint,
            calls: BTreeMap::new(),
            upkeep,
            gate,
            last_call: 0,
            port: Port::New,
            course: Course::Running,
            deaf: BTreeSet::new(),
            listen_wake: None,
            port_wake: None,
            lost_wake: None,
            stop_wake: None,
            keeping: keep::Keeping::default(),
        }
    }

    /// What happened and concerns no call.
    pub fn counters(&self) -> Counters {
        self.endpoint.counters
    }

    /// Calls that are kept, those included whose signalling only ends.
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    /// Transactions under way, those included that only wait for repetitions.
    pub fn transactions(&self) -> usize {
        self.endpoint.transactions()
    }

    /// Whether nothing is left of any call: no call, no transaction, no deadline.
    pub fn is_idle(&self) -> bool {
        self.calls.is_empty() && self.endpoint.is_quiet() && self.endpoint.wakes.next().is_none()
    }

    fn start(&mut self, now: Time) {
        let listen = self.endpoint.config.listen;
        self.port = if listen.ip().is_unspecified() || listen.port() == 0 {
            let reason = format!("listen address {listen} is not one that peers can reach");
            Port::Unusable { reason }
        } else {
            Port::Opening
        };
        for at in 0..self.endpoint.lines.len() {
            let service = self.service(at);
            self.note_told(at, &service);
            if let (Ok(line), Some(config)) = (u32::try_from(at), self.endpoint.lines.get(at)) {
                let description = Box::new(config.description(service));
                self.endpoint.emit(Event::LineAdded { line: LineRef(line), description });
            }
        }
        if self.port == Port::Opening {
            self.open_ports();
            self.endpoint.begin_upkeep(now);
        }
    }

    /// Whether a line can be used.
    fn service(&self, line: usize) -> Service {
        let out = |reason: &str| Service::Out { reason: reason.to_owned() };
        match (&self.course, &self.port) {
            (Course::Stopping { .. } | Course::Stopped, _) => return out("stopped"),
            (_, Port::Closed { reason } | Port::Unusable { reason }) => return out(reason),
            (_, Port::New | Port::Opening | Port::Open) => {}
        }
        if let Some(reason) = self.endpoint.lines.get(line).and_then(crate::line::Line::trouble) {
            return Service::Out { reason };
        }
        match self.upkeep.get(line).and_then(Upkeep::out) {
            Some(reason) => Service::Out { reason },
            None => Service::In,
        }
    }

    fn tell_service(&mut self) {
        for line in 0..self.endpoint.lines.len() {
            let service = self.service(line);
            self.note_told(line, &service);
            self.endpoint.service(line, service);
        }
    }

    fn on_closed(&mut self, now: Time, reason: &str) {
        let unusable = matches!(self.port, Port::Unusable { .. });
        let reason = format!("udp {}: {reason}", self.endpoint.config.listen);
        let news = !matches!(self.port, Port::Closed { .. });
        if unusable {
            return;
        }
        self.port = Port::Closed { reason };
        if news {
            self.tell_service();
            self.endpoint.wakes.set(Wake::Lost, &mut self.lost_wake, Some(now + OUTLIVE));
        }
        self.endpoint.wakes.set(Wake::Port, &mut self.port_wake, Some(now + REOPEN));
    }

    fn on_opened(&mut self, now: Time) {
        let was_closed = matches!(self.port, Port::Closed { .. });
        self.port = Port::Open;
        self.endpoint.wakes.set(Wake::Port, &mut self.port_wake, None);
        self.endpoint.wakes.set(Wake::Lost, &mut self.lost_wake, None);
        if was_closed {
            self.tell_service();
        }
        if self.course == Course::Running {
            self.upkeep_opened(now);
        }
    }

    /// The port has been gone too long: the server hears that its calls are over. Far ends hear it if the port comes back
    /// while our requests and answers are still sent again.
    fn on_lost(&mut self, now: Time) {
        self.lost_wake = None;
        let Port::Closed { reason } = &self.port else {
            return;
        };
        let reason = reason.clone();
        for call in self.calls.keys().copied().collect::<Vec<u64>>() {
            self.with_call(call, |call, ep| call.lose(ep, now, &reason));
        }
    }

    fn on_timeout(&mut self, now: Time) {
        if self.port == Port::New {
            self.start(now);
        }
        while let Some(wake) = self.endpoint.wakes.expired(now) {
            match wake {
                Wake::Client(id) => {
                    if let Some((owner, Outcome::Timeout)) = self.endpoint.client_woke(now, id) {
                        match owner.call {
                            Some(call) => self.with_call(call, |call, ep| call.on_timeout(ep, now, owner.purpose)),
                            None => self.upkeep_failed(now, (id, owner), None),
                        }
                    }
                }
                Wake::Server(id) => self.endpoint.server_woke(now, id),
                Wake::Call(id) => self.with_call(id, |call, ep| call.on_wake(ep, now)),
                Wake::Upkeep(line) => self.upkeep_woke(now, line),
                Wake::Port => {
                    self.port_wake = None;
                    self.endpoint.outputs.push_back(Output::Open { port: PORT });
                    // Asked again even if nobody answers.
                    self.endpoint.wakes.set(Wake::Port, &mut self.port_wake, Some(now + REOPEN));
                }
                Wake::Connection(port) => self.endpoint.connection_woke(now, tspi::PortId(port)),
                Wake::KeepAlive => self.endpoint.keep_alive(now),
                Wake::Stun => self.endpoint.stun_woke(now),
                Wake::Peers => self.endpoint.look_up_peers(now),
                Wake::Listen => self.listen_again(),
                Wake::Lost => self.on_lost(now),
                Wake::Stop => {
                    self.stop_wake = None;
                    self.finish_stop();
                }
            }
        }
    }

    /// Does something with a call, and brings the tables in order behind it.
    fn with_call(&mut self, id: u64, work: impl FnOnce(&mut Call, &mut Endpoint)) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        self.keeping.touch(id);
        work(call, &mut self.endpoint);
        call.settle(&mut self.endpoint);
        if call.is_done() {
            self.calls.remove(&id);
        }
    }

    fn on_response(&mut self, now: Time, message: &Message<'_>, from: Peer, bytes: &[u8]) {
        let Some((tx, outcome)) = self.endpoint.response(now, message, from, bytes) else {
            self.endpoint.counters.stray_responses += 1;
            return;
        };
        let owner = match outcome {
            Some(Outcome::Challenged(challenged)) if self.prove(now, (tx, &challenged), message, from) => return,
            Some(Outcome::Challenged(challenged)) => Some(challenged.owner),
            Some(Outcome::Response) => self.endpoint.owner_of(tx),
            Some(Outcome::Timeout | Outcome::Sent | Outcome::Unsent(_)) | None => None,
        };
        if let Some(owner) = owner {
            self.heed(now, owner, message);
            if matches!(owner.purpose, Purpose::Register | Purpose::Probe | Purpose::Subscribe) {
                return self.upkeep_response(now, (tx, owner), message, from);
            }
            let known = owner.call.is_some_and(|call| self.calls.contains_key(&call));
            match owner.call.filter(|_| known) {
                Some(call) => {
                    self.with_call(call, |call, ep| call.on_response(ep, now, (tx, owner.purpose), message, from));
                }
                None => self.on_orphan(now, tx, owner.purpose, message, from),
            }
        }
    }

    /// Sends a challenged request again with credentials, where there are any for it.
    fn prove(&mut self, now: Time, challenged: (u64, &Challenged), message: &Message<'_>, from: Peer) -> bool {
        let owner = challenged.1.owner;
        let (calls, upkeep) = (&mut self.calls, &mut self.upkeep[..]);
        let number = |last| Sip::next_cseq(calls, upkeep, owner, last);
        self.endpoint.answer_challenge(now, challenged, (message, from), number)
    }

    /// A response for a call that is forgotten: only a 2xx to an INVITE still has to be dealt with.
    fn on_orphan(&mut self, now: Time, tx: u64, purpose: Purpose, message: &Message<'_>, from: Peer) {
        let success = message.status().is_some_and(|status| (200..300).contains(&status));
        match purpose {
            Purpose::Invite | Purpose::Left if success => self.endpoint.refuse_success(now, tx, message, from),
            Purpose::Left if message.status().is_some_and(|status| status < 200) => {
                self.endpoint.cancel_left(now, tx);
            }
            _ => {}
        }
    }

    fn finish_stop(&mut self) {
        if let Course::Stopping { command } = self.course {
            self.course = Course::Stopped;
            self.endpoint.wakes.set(Wake::Stop, &mut self.stop_wake, None);
            self.tell_service();
            self.endpoint.reply(command, Ok(tspi::Taken::Done));
        }
    }

    /// A stop is over once no call's signalling goes on.
    fn check_stop(&mut self) {
        let over = |call: &Call| matches!(call.state, crate::invite::State::Ended | crate::invite::State::Lingering);
        if matches!(self.course, Course::Stopping { .. })
            && self.calls.values().all(|call| over(call))
            && self.upkeep_is_gone()
        {
            self.finish_stop();
        }
    }
}

impl Provider for Sip {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        self.endpoint.now = self.endpoint.now.max(now);
        match input {
            Input::Command(command) => self.command(now, command),
            Input::Datagram { port: PORT, from, bytes } => self.datagram(now, Peer::udp(from), bytes),
            Input::Opened { port: PORT } => self.on_opened(now),
            Input::Closed { port: PORT, reason } => self.on_closed(now, reason),
            Input::Bytes { port, bytes } => self.on_bytes(now, port, bytes),
            Input::Connected { port, .. } => self.on_connected(now, port),
            Input::Accepted { listener, port, from, names, .. } => self.on_accepted(now, (listener, port), from, names),
            Input::Closed { port, reason } => self.on_cut(now, port, reason),
            Input::Found { query, result } => self.endpoint.found(now, query, result),
            Input::Load { busy } => self.endpoint.busy = busy,
            Input::Timeout => self.on_timeout(now),
            Input::Datagram { .. } | Input::Raw { .. } | Input::Opened { .. } | Input::Frame { .. } => {}
        }
        self.hear_of_address(now);
        self.hear_of_cuts(now);
        self.hear_notices(now);
        while self.relay(now) {
            self.hear_notices(now);
        }
        self.check_stop();
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.endpoint.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Time> {
        if self.port == Port::New { Some(Time::ZERO) } else { self.endpoint.wakes.next() }
    }
}
