//! The media threads: sockets, epoll and the 20 ms clock around `msp-rtp`.

#![forbid(unsafe_code)]

use std::io;
use std::net::{IpAddr, UdpSocket};
use std::os::fd::OwnedFd;
use tspi::media::{Command, DescriptorId, Event, Frame, StreamId};

/// What an engine starts with.
#[derive(Debug)]
pub struct EngineConfig {
    /// The address that the sockets are bound to.
    pub address: IpAddr,
    /// The sockets, with their ports; see [`bind`].
    pub sockets: Vec<(u16, UdpSocket)>,
    /// Chance from the operating system. Not used where `state` is given.
    pub seed: [u8; 32],
    /// What an earlier engine left at [`Engine::stop`].
    pub state: Option<Vec<u8>>,
}

/// Why an engine does not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The operating system refused something.
    #[error("media engine: {0}")]
    Io(#[from] io::Error),
    /// The state of an earlier engine cannot be read.
    #[error("media engine: state of the earlier run: {0}")]
    State(String),
}

/// What an engine leaves.
#[derive(Debug)]
pub struct Stopped {
    /// Streams and joins, for [`EngineConfig::state`].
    pub state: Vec<u8>,
    /// The sockets, still bound.
    pub sockets: Vec<(u16, UdpSocket)>,
}

/// The provider's end of a stream of frames.
#[derive(Debug)]
pub struct FramePort {
    /// Frames that the provider heard.
    pub heard: rtrb::Producer<Frame>,
    /// Frames for the provider to send.
    pub to_send: rtrb::Consumer<Frame>,
}

/// What an engine counted since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {}

/// The running media threads.
pub struct Engine {}

impl Engine {
    /// Starts the threads. `on_event` is called on the media thread: it must not block.
    pub fn start(config: EngineConfig, on_event: Box<dyn Fn(Event) + Send>) -> Result<Engine, EngineError> {
        let _ = (config, on_event);
        Ok(Engine {})
    }

    /// Hands the media provider a command.
    pub fn command(&self, command: Command) {
        let _ = command;
    }

    /// Hands over an open file, before the command that names it.
    pub fn give(&self, descriptor: DescriptorId, file: OwnedFd) {
        let _ = (descriptor, file);
    }

    /// Closes a file that no command will name.
    pub fn discard(&self, descriptor: DescriptorId) {
        let _ = descriptor;
    }

    /// Makes the rings of a stream of frames, before it is opened.
    pub fn frames(&self, stream: StreamId, notify: Box<dyn Fn() + Send>) -> FramePort {
        let _ = (stream, notify);
        FramePort { heard: rtrb::RingBuffer::new(25).0, to_send: rtrb::RingBuffer::new(25).1 }
    }

    /// Stops: recordings are finished, then everything ends.
    pub fn stop(self) -> Stopped {
        Stopped { state: Vec::new(), sockets: Vec::new() }
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        Counters::default()
    }
}

/// Binds non-blocking sockets for RTP, one for each port.
pub fn bind(address: IpAddr, ports: impl Iterator<Item = u16>) -> io::Result<Vec<(u16, UdpSocket)>> {
    ports
        .map(|port| {
            let socket = UdpSocket::bind((address, port))?;
            socket.set_nonblocking(true)?;
            Ok((port, socket))
        })
        .collect()
}
