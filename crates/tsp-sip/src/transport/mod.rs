//! How messages travel (RFC 3261 section 18): which transport, whose address, over which connection.

mod connections;
mod dress;
mod external;
mod flood;
mod framing;
pub mod stun;

pub(crate) use connections::{Connections, Heard, Woke};
pub(crate) use dress::{Dress, dress};
pub(crate) use external::{External, is_private};
pub(crate) use flood::Buckets;
pub use framing::{Framer, Framing, Piece};

use crate::locate::Destination;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use tspi::PortId;

/// A way for messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// Datagrams.
    #[default]
    Udp,
    /// A plain stream.
    Tcp,
    /// A stream under TLS.
    Tls,
}

impl Transport {
    /// As Via has it.
    pub fn token(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
        }
    }

    /// As a URI's `transport` parameter has it.
    pub fn param(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
        }
    }

    /// Out of a Via or a parameter.
    pub fn parse(text: &str) -> Option<Transport> {
        [Transport::Udp, Transport::Tcp, Transport::Tls]
            .into_iter()
            .find(|known| text.eq_ignore_ascii_case(known.param()))
    }

    /// Whether it repeats what is lost.
    pub fn is_reliable(self) -> bool {
        self != Transport::Udp
    }

    /// The port where none is written.
    pub fn default_port(self) -> u16 {
        if self == Transport::Tls { 5061 } else { 5060 }
    }
}

/// Somebody at the other end of a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Peer {
    /// The way.
    pub transport: Transport,
    /// The address.
    pub address: SocketAddr,
    /// The connection, where there is one.
    pub connection: Option<PortId>,
}

impl Peer {
    /// Reached by datagrams.
    pub fn udp(address: SocketAddr) -> Peer {
        Peer { transport: Transport::Udp, address, connection: None }
    }

    /// Its address without the port.
    pub fn ip(&self) -> IpAddr {
        self.address.ip()
    }
}

/// Where a request goes: to somebody known, or to a destination that is to be located (RFC 3263).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Target {
    /// Taken as it is when it is reached by datagrams or when its connection is open.
    pub known: Option<Peer>,
    /// Located otherwise.
    pub find: Option<Destination>,
}

impl From<Peer> for Target {
    fn from(peer: Peer) -> Target {
        Target { known: Some(peer), find: None }
    }
}

impl From<Destination> for Target {
    fn from(destination: Destination) -> Target {
        Target { known: None, find: Some(destination) }
    }
}
