//! Connections: who is at the other end, what waits to be written, when one is given up.

use super::{Framer, Framing, Peer, Piece, Transport};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;
use tapi::Time;
use tspi::{Output, PortId, Security};

/// The first name of a connection of ours; ports that listen are below.
const FIRST: u32 = 16;
/// Most connections at one time.
const MAX_CONNECTIONS: usize = 4_096;
/// Most of one address.
const MAX_OF_ONE: usize = 512;
/// Most bytes that wait for a connection to come about.
const MAX_WAITING: usize = 1 << 20;
/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(4);
/// How long a message may take to arrive whole, and an accepted connection to say anything.
const WHOLE: Duration = Duration::from_secs(10);
/// How long a connection lives on which nothing happens.
const IDLE: Duration = Duration::from_secs(900);
/// How long the far end may take to answer a ping, where it is known to answer them (RFC 5626 section 4.4.1).
const PONG: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    /// It is asked for; these bytes wait.
    Connecting { waiting: Vec<u8> },
    /// It is there.
    Open,
}

/// A connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Connection {
    state: State,
    transport: Transport,
    remote: SocketAddr,
    /// The name that its certificate was verified for; empty without one.
    name: String,
    framer: Framer,
    /// When its state began.
    began: Time,
    /// When something last came or went.
    used: Time,
    /// When a message began that is not whole.
    amid: Option<Time>,
    /// When a ping went out that is not answered.
    pinged: Option<Time>,
    /// Whether the far end ever answered a ping.
    answers_pings: bool,
    /// Whether a whole message ever came.
    spoke: bool,
    wake: Option<Time>,
}

/// What came over a connection.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A message.
    Message(Vec<u8>),
    /// A message without a length; the connection must be closed after its answer.
    Unframed(Vec<u8>),
    /// A sign of life.
    KeepAlive,
    /// Nonsense: the connection must be closed.
    Nonsense,
}

/// All connections of a user agent.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Connections {
    table: BTreeMap<PortId, Connection>,
    last: u32,
}

impl Connections {
    /// An open connection, or one that comes about, to somebody: by address, way and verified name.
    fn find(&self, transport: Transport, remote: SocketAddr, name: &str) -> Option<PortId> {
        let mut known = self.table.iter().filter(|(_, known)| known.transport == transport && known.remote == remote);
        known
            .find(|(_, known)| transport == Transport::Tcp || known.name.eq_ignore_ascii_case(name))
            .map(|(port, _)| *port)
    }

    /// Whether a connection is there or comes about.
    pub fn is_there(&self, port: PortId) -> bool {
        self.table.contains_key(&port)
    }

    /// Who is at the other end.
    pub fn peer(&self, port: PortId) -> Option<Peer> {
        let known = self.table.get(&port)?;
        Some(Peer { transport: known.transport, address: known.remote, connection: Some(port) })
    }

    /// A connection to somebody, known or new.
    pub fn reach(
        &mut self,
        now: Time,
        (transport, remote): (Transport, SocketAddr),
        name: &str,
        outputs: &mut VecDeque<Output>,
    ) -> Option<PortId> {
        if let Some(port) = self.find(transport, remote, name) {
            return Some(port);
        }
        if self.table.len() >= MAX_CONNECTIONS {
            return None;
        }
        let port = loop {
            self.last = if self.last < FIRST || self.last >= PortId::ACCEPTED.0 - 1 { FIRST } else { self.last + 1 };
            if !self.table.contains_key(&PortId(self.last)) {
                break PortId(self.last);
            }
        };
        let security =
            if transport == Transport::Tls { Security::Tls { name: name.to_owned() } } else { Security::Plain };
        outputs.push_back(Output::Connect { port, to: remote, security });
        let state = State::Connecting { waiting: Vec::new() };
        self.table.insert(port, Connection::new(now, state, transport, remote, name));
        Some(port)
    }

    /// Somebody connected. False: it is one too many.
    pub fn accept(
        &mut self,
        now: Time,
        port: PortId,
        transport: Transport,
        from: SocketAddr,
        names: &[String],
    ) -> bool {
        let of_one = self.table.values().filter(|known| known.remote.ip() == from.ip()).count();
        if self.table.len() >= MAX_CONNECTIONS || of_one >= MAX_OF_ONE {
            return false;
        }
        let name = names.first().map_or("", String::as_str);
        self.table.insert(port, Connection::new(now, State::Open, transport, from, name));
        true
    }

    /// A connection came about: what waited is written.
    pub fn connected(&mut self, now: Time, port: PortId, outputs: &mut VecDeque<Output>) {
        let Some(known) = self.table.get_mut(&port) else {
            return outputs.push_back(Output::Close { port });
        };
        known.spoke = true;
        (known.began, known.used) = (now, now);
        if let State::Connecting { waiting } = std::mem::replace(&mut known.state, State::Open)
            && !waiting.is_empty()
        {
            outputs.push_back(Output::Write { port, bytes: waiting });
        }
    }

    /// Writes, or keeps for later. False: there is no such connection, or too much waits for it.
    pub fn write(&mut self, now: Time, port: PortId, bytes: Vec<u8>, outputs: &mut VecDeque<Output>) -> bool {
        let Some(known) = self.table.get_mut(&port) else {
            return false;
        };
        known.used = now;
        match &mut known.state {
            State::Open => outputs.push_back(Output::Write { port, bytes }),
            State::Connecting { waiting } if waiting.len().saturating_add(bytes.len()) > MAX_WAITING => return false,
            State::Connecting { waiting } => waiting.extend_from_slice(&bytes),
        }
        true
    }

    /// Takes bytes; [`Connections::heard`] says what they are.
    pub fn push(&mut self, now: Time, port: PortId, bytes: &[u8]) {
        if let Some(known) = self.table.get_mut(&port) {
            known.used = now;
            known.framer.push(bytes);
        }
    }

    /// The next thing that came. Pings are answered.
    pub fn heard(&mut self, now: Time, port: PortId, outputs: &mut VecDeque<Output>) -> Option<Heard> {
        let known = self.table.get_mut(&port)?;
        let heard = match known.framer.next_piece() {
            Ok(Some(Piece::Message(bytes))) => {
                known.spoke = true;
                known.amid = None;
                Heard::Message(bytes)
            }
            Ok(Some(Piece::Ping)) => {
                outputs.push_back(Output::Write { port, bytes: b"\r\n".to_vec() });
                Heard::KeepAlive
            }
            Ok(Some(Piece::Pong)) => {
                known.answers_pings |= known.pinged.take().is_some();
                Heard::KeepAlive
            }
            Ok(None) => {
                known.amid = if known.framer.is_amid() { known.amid.or(Some(now)) } else { None };
                return None;
            }
            Err(Framing::NoLength(bytes)) => Heard::Unframed(bytes),
            Err(Framing::TooLong) => Heard::Nonsense,
        };
        Some(heard)
    }

    /// A connection is gone. False: it was not known.
    pub fn forget(&mut self, port: PortId) -> Option<Time> {
        self.table.remove(&port).and_then(|known| known.wake)
    }

    /// The deadline that is kept, to be moved by the owner of all deadlines, and where it belongs.
    pub fn deadline(&mut self, port: PortId, ping: Option<Duration>) -> Option<(&mut Option<Time>, Time)> {
        let known = self.table.get_mut(&port)?;
        let at = known.deadline(ping);
        Some((&mut known.wake, at))
    }

    /// A deadline passed: what is to be done with the connection.
    pub fn woke(&mut self, now: Time, port: PortId, ping: Option<Duration>) -> Woke {
        let Some(known) = self.table.get_mut(&port) else {
            return Woke::Nothing;
        };
        known.wake = None;
        match known.trouble(now) {
            Some(why) => Woke::GiveUp(why),
            None if ping
                .is_some_and(|every| known.is_open() && known.pinged.is_none() && now >= known.used + every) =>
            {
                known.used = now;
                known.pinged = Some(now);
                Woke::Ping
            }
            None => Woke::Nothing,
        }
    }
}

/// What a deadline means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woke {
    Nothing,
    Ping,
    GiveUp(&'static str),
}

impl Connection {
    fn new(now: Time, state: State, transport: Transport, remote: SocketAddr, name: &str) -> Connection {
        Connection {
            state,
            transport,
            remote,
            name: name.to_owned(),
            framer: Framer::default(),
            began: now,
            used: now,
            amid: None,
            pinged: None,
            answers_pings: false,
            spoke: false,
            wake: None,
        }
    }

    fn is_open(&self) -> bool {
        self.state == State::Open
    }

    fn limits(&self) -> [Option<(Time, &'static str)>; 4] {
        let connecting = !self.is_open();
        [
            connecting.then(|| (self.began + CONNECT, "it did not come about in time")),
            (!connecting && !self.spoke)
                .then(|| (self.began + WHOLE, "nothing was said on it"))
                .or(self.amid.map(|since| (since + WHOLE, "a message did not arrive whole in time"))),
            self.pinged.filter(|_| self.answers_pings).map(|at| (at + PONG, "a ping was not answered")),
            Some((self.used + IDLE, "nothing happened on it")),
        ]
    }

    fn trouble(&self, now: Time) -> Option<&'static str> {
        self.limits().into_iter().flatten().find(|(at, _)| *at <= now).map(|(_, why)| why)
    }

    fn deadline(&self, ping: Option<Duration>) -> Time {
        let pings = ping.filter(|_| self.is_open() && self.pinged.is_none()).map(|every| self.used + every);
        let limits = self.limits().into_iter().flatten().map(|(at, _)| at);
        limits.chain(pings).min().unwrap_or(self.used + IDLE)
    }
}
