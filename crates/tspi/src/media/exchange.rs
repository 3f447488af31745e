//! What goes into a media provider and what comes out: packets, frames, files and times.

use super::{AudioFrame, Command, DescriptorId, Event, Frame, Rate, StreamId};
use std::net::SocketAddr;
use std::sync::Arc;
use tapi::{End, OperationId, Time};

/// A datagram that is built in place: no allocation for a packet.
#[derive(Clone, Copy)]
pub struct Packet {
    len: u16,
    bytes: [u8; Packet::CAPACITY],
}

impl Packet {
    /// Longest packet: 60 ms of G.711 with its header, and some.
    pub const CAPACITY: usize = 512;

    /// An empty packet.
    pub const fn new() -> Packet {
        Packet { len: 0, bytes: [0; Packet::CAPACITY] }
    }

    /// A copy of `bytes`; `None` when they are too many.
    pub fn copy_of(bytes: &[u8]) -> Option<Packet> {
        let mut packet = Packet::new();
        packet.buffer().get_mut(..bytes.len())?.copy_from_slice(bytes);
        packet.set_len(bytes.len());
        Some(packet)
    }

    /// The whole room, to write into.
    pub fn buffer(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Sets how much of the room is used; more than there is counts as all.
    pub fn set_len(&mut self, len: usize) {
        self.len = len.min(Packet::CAPACITY) as u16;
    }

    /// What is to be sent.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl Default for Packet {
    fn default() -> Packet {
        Packet::new()
    }
}

impl std::fmt::Debug for Packet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Packet({} bytes)", self.len)
    }
}

/// What an application asks about the audio that it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Tell when all that was given before was sent.
    Mark(u32),
    /// Drop what waits.
    Clear,
    /// Tell how much waits.
    Depth,
    /// Let so many milliseconds wait before the oldest are dropped.
    Limit(u32),
}

/// What an application is told of the audio that it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// All before this mark was sent.
    Played(u32),
    /// What was before this mark was dropped, as it asked.
    Cleared(u32),
    /// So many milliseconds wait.
    Depth(u32),
}

/// What goes into a media provider.
#[derive(Debug)]
pub enum Input<'a> {
    /// A command of the server.
    Command(Command),
    /// A datagram arrived at a stream's port.
    Packet {
        /// Which stream.
        stream: StreamId,
        /// Where from.
        from: SocketAddr,
        /// The datagram.
        bytes: &'a [u8],
    },
    /// A datagram arrived at a stream's RTCP port ([`super::LocalRtp::rtcp_port`]).
    Control {
        /// Which stream.
        stream: StreamId,
        /// Where from.
        from: SocketAddr,
        /// The datagram.
        bytes: &'a [u8],
    },
    /// A service provider heard 20 ms of audio.
    Frame {
        /// Which stream.
        stream: StreamId,
        /// The audio.
        frame: &'a Frame,
    },
    /// An application's socket gave 20 ms of audio, at its rate.
    ApplicationFrame {
        /// Of which operation.
        operation: OperationId,
        /// The audio.
        frame: &'a AudioFrame,
    },
    /// An application's socket gave a message that is not audio.
    ApplicationAsks {
        /// Of which operation.
        operation: OperationId,
        /// What it asks.
        ask: Ask,
    },
    /// A file to play was read: mono.
    Loaded {
        /// For which operation.
        operation: OperationId,
        /// Its samples.
        samples: Arc<[i16]>,
        /// How many of them make a second.
        rate: Rate,
    },
    /// A file could not be read, or not be written to any longer.
    Failed {
        /// For which operation.
        operation: OperationId,
        /// How it ends: `failed` or `disk_full`.
        end: End,
    },
    /// The deadline passed.
    Timeout,
}

/// What comes out of a media provider.
#[allow(clippy::large_enum_variant, reason = "packets and frames are moved once and never allocated")]
#[derive(Debug)]
pub enum Output {
    /// An event for the server.
    Event(Event),
    /// A datagram to send from a stream's port.
    Packet {
        /// Which stream.
        stream: StreamId,
        /// Where to.
        to: SocketAddr,
        /// The datagram.
        packet: Packet,
    },
    /// A datagram to send from a stream's RTCP port ([`super::LocalRtp::rtcp_port`]), or its RTP port where it has none.
    Control {
        /// Which stream.
        stream: StreamId,
        /// Where to.
        to: SocketAddr,
        /// The datagram.
        packet: Packet,
    },
    /// 20 ms of audio for a service provider to send.
    Frame {
        /// Which stream.
        stream: StreamId,
        /// The audio.
        frame: Frame,
    },
    /// Carry audio between this socket and the operation, until told that it ends; [`Input::Failed`] with `done` when the
    /// other end is closed.
    ApplicationBegins {
        /// For which operation.
        operation: OperationId,
        /// The socket.
        descriptor: DescriptorId,
        /// Samples a second on it.
        rate: Rate,
    },
    /// 20 ms of audio for an application, every 20 ms, at its rate.
    ApplicationFrame {
        /// For which operation.
        operation: OperationId,
        /// What was received.
        frame: AudioFrame,
    },
    /// Tell an application this.
    ApplicationTold {
        /// For which operation.
        operation: OperationId,
        /// What.
        told: Told,
    },
    /// The application's audio is over: close the socket.
    ApplicationEnds {
        /// For which operation.
        operation: OperationId,
    },
    /// Read this file and answer [`Input::Loaded`] or [`Input::Failed`].
    Load {
        /// For which operation.
        operation: OperationId,
        /// The file.
        descriptor: DescriptorId,
        /// The highest rate that is of use.
        rate: Rate,
    },
    /// Begin a recording in this file.
    RecordingBegins {
        /// For which operation.
        operation: OperationId,
        /// The file.
        descriptor: DescriptorId,
        /// Samples a second in each of its two channels.
        rate: Rate,
    },
    /// The next second of a recording, or less.
    Recorded {
        /// For which operation.
        operation: OperationId,
        /// By turns a sample that was received and one that was sent, each in little endian, as a WAV file has them.
        octets: Vec<u8>,
    },
    /// The recording is over: make the file complete.
    RecordingEnds {
        /// For which operation.
        operation: OperationId,
    },
}

/// A provider of call audio, pure: it sees packets, frames and times, never sockets or files.
pub trait MediaProvider {
    /// Takes one input.
    fn handle(&mut self, now: Time, input: Input<'_>);
    /// Gives the next output, until there is none.
    fn poll_output(&mut self) -> Option<Output>;
    /// When it wants [`Input::Timeout`] at the latest.
    fn poll_timeout(&self) -> Option<Time>;
}
