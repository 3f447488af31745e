//! The provider's trait and what crosses it.

use crate::{Command, Event, Frame, StreamId};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use tapi::Time;

/// A provider's own name for one of its ports: a UDP socket, a serial port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PortId(pub u32);

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
    /// A name was looked up.
    Resolved {
        /// The name.
        name: &'a str,
        /// Its addresses, or why there are none.
        result: Result<&'a [SocketAddr], &'a str>,
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
    /// Look up a host name (with port); answered by [`Input::Resolved`].
    Resolve {
        /// `host:port`.
        name: String,
    },
}
