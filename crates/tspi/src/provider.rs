//! The provider's trait and what crosses it.

use crate::{CallRef, Command, Event, Frame, StreamId};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use tapi::Time;

/// A provider's own name for one of its ports: a UDP socket, a serial port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PortId(pub u32);

impl PortId {
    /// The first of the names that a shell gives to connections it accepted; a provider's own are below.
    pub const ACCEPTED: PortId = PortId(1 << 31);
}

/// How a connection is protected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Security {
    /// Not at all.
    Plain,
    /// By TLS, to a peer whose certificate is for this name.
    Tls {
        /// The name (RFC 5922: the domain of the next hop's URI, not what the domain name system made of it).
        name: String,
    },
}

/// A question to the domain name system.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Query {
    /// The name, without a dot at its end.
    pub name: String,
    /// What is asked of it.
    pub kind: RecordKind,
}

/// What is asked of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordKind {
    /// Its services (RFC 3403).
    Naptr,
    /// Where a service is (RFC 2782).
    Srv,
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
}

/// What the domain name system said; aliases are followed already.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Records {
    /// The records, in the order in which they came.
    pub records: Vec<Record>,
    /// For how many seconds they hold: the smallest time to live among them.
    pub ttl_s: u32,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// NAPTR: order, preference, flags, service, replacement.
    Naptr {
        /// Lower ones first; a match ends the search at its order.
        order: u16,
        /// Lower ones first within an order.
        preference: u16,
        /// `s`, `a`, `u`.
        flags: String,
        /// `SIP+D2U`, `SIPS+D2T`.
        service: String,
        /// The next name to ask for.
        replacement: String,
    },
    /// SRV.
    Srv {
        /// Lower ones first.
        priority: u16,
        /// Share among those of the same priority.
        weight: u16,
        /// The port.
        port: u16,
        /// The host.
        target: String,
    },
    /// A or AAAA.
    Address(std::net::IpAddr),
}

/// Why the domain name system had no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LookupError {
    /// The name does not exist (NXDOMAIN), or has no such record: for so many seconds.
    None {
        /// How long that holds.
        ttl_s: u32,
    },
    /// The server failed (SERVFAIL).
    ServerFailed,
    /// The server would not (REFUSED).
    Refused,
    /// No server answered in time.
    Timeout,
}

/// A device or an account that owns lines. Pure: it sees bytes and times, never sockets.
///
/// A shell feeds one input at a time, drains all outputs after each, and waits until the next input or the deadline.
pub trait Provider {
    /// Takes one input.
    fn handle(&mut self, now: Time, input: Input<'_>);
    /// Gives the next output, until there is none.
    fn poll_output(&mut self) -> Option<Output>;
    /// When it wants [`Input::Timeout`] at the latest.
    fn poll_timeout(&self) -> Option<Time>;
}

/// What goes into a provider.
#[derive(Debug)]
pub enum Input<'a> {
    /// A command of the server.
    Command(Command),
    /// A datagram arrived.
    Datagram {
        /// At which port.
        port: PortId,
        /// Where from.
        from: SocketAddr,
        /// The datagram.
        bytes: &'a [u8],
    },
    /// Bytes arrived on a stream-like port, cut anywhere.
    Bytes {
        /// At which port.
        port: PortId,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// The media provider wants 20 ms of audio sent.
    Frame {
        /// Of which stream.
        stream: StreamId,
        /// The audio.
        frame: &'a Frame,
    },
    /// A port that was asked for is open.
    Opened {
        /// Which.
        port: PortId,
    },
    /// A port could not be opened, or is gone: unplugged, closed by the other end.
    Closed {
        /// Which.
        port: PortId,
        /// Why, in words.
        reason: &'a str,
    },
    /// A connection that was asked for with [`Output::Connect`] is there.
    Connected {
        /// Which.
        port: PortId,
        /// Our end of it.
        local: SocketAddr,
    },
    /// Somebody connected to a listening port. The shell names the connection, from [`PortId::ACCEPTED`] on.
    Accepted {
        /// The listening port.
        listener: PortId,
        /// The connection.
        port: PortId,
        /// Our end of it.
        local: SocketAddr,
        /// The other end.
        from: SocketAddr,
        /// Names its certificate was verified to be for; none: no certificate.
        names: &'a [String],
    },
    /// What [`Output::Lookup`] asked for.
    Found {
        /// What was asked.
        query: &'a Query,
        /// What the domain name system said.
        result: &'a Result<Records, LookupError>,
    },
    /// How busy the server is, told when it changes: while it is, a provider takes no new calls in from the network.
    Load {
        /// Whether more waits for the server than it gets through.
        busy: bool,
    },
    /// The application that has a call in passthrough wrote these bytes: they go to the device as they are.
    Raw {
        /// Which call.
        call: CallRef,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// The deadline passed. Also the first input of all: the provider opens its ports and tells its lines.
    Timeout,
}

/// What comes out of a provider.
#[allow(clippy::large_enum_variant, reason = "a frame is moved once and never allocated")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// An event for the server.
    Event(Event),
    /// A datagram to send.
    Datagram {
        /// From which port.
        port: PortId,
        /// Where to.
        to: SocketAddr,
        /// The datagram.
        bytes: Vec<u8>,
    },
    /// Bytes to write to a stream-like port, in order.
    Write {
        /// To which port.
        port: PortId,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// 20 ms of audio that was heard.
    Frame {
        /// For which stream.
        stream: StreamId,
        /// The audio.
        frame: Frame,
    },
    /// Bytes of the device for the application that has this call in passthrough. The shell makes the descriptor when the
    /// call is answered and closes it when the call is released.
    Raw {
        /// Which call.
        call: CallRef,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Open a port; answered by [`Input::Opened`] or [`Input::Closed`].
    Open {
        /// Which.
        port: PortId,
    },
    /// Close a port, dropping what is not yet written; not answered.
    Close {
        /// Which.
        port: PortId,
    },
    /// Lower or raise DTR of a serial port. A port without modem lines ignores it.
    Dtr {
        /// Which.
        port: PortId,
        /// Whether DTR is up.
        up: bool,
    },
    /// Bytes 0x11 and 0x13 are data from now on, or XON and XOFF again. A port without software flow control ignores it.
    SoftFlow {
        /// Which.
        port: PortId,
        /// Whether they are XON and XOFF.
        on: bool,
    },
    /// Connect to somewhere; answered by [`Input::Connected`] or [`Input::Closed`]. The provider names the connection, below
    /// [`PortId::ACCEPTED`]; it is written to and closed as any stream-like port.
    Connect {
        /// Its name.
        port: PortId,
        /// Where to.
        to: SocketAddr,
        /// How it is protected.
        security: Security,
    },
    /// Ask the domain name system; answered by [`Input::Found`].
    Lookup {
        /// What.
        query: Query,
    },
}
