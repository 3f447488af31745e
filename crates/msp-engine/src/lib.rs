//! The media threads: sockets, epoll and the 20 ms clock around `msp-rtp`.
//!
//! # Threads
//! One media thread owns the streams: sockets, playout buffers and joins, as one [`msp_rtp::Msp`]. It waits in `epoll`
//! for datagrams, for commands (an eventfd) and for the tick (a timerfd at absolute times), makes plain calls, takes no
//! lock and allocates nothing for a packet. It never touches a file: one thread reads files to play, another writes
//! recordings from a bounded queue.
//!
//! One thread carries some thousand streams. Everything that belongs to it is a shard (`shard.rs`), and [`Engine`]
//! addresses shards by stream: more threads need a rule that puts the streams of a join into one shard, nothing else here.
//!
//! The thread asks for a better nice value and goes on without; a real-time policy is the service manager's to give
//! (`CPUSchedulingPolicy=` of the unit).

#![forbid(unsafe_code)]

mod application;
mod counters;
mod load;
mod record;
mod shard;

pub use counters::Counters;

use counters::Shared;
use shard::{Message, Rings, Shard, Waker};
use std::io;
use std::net::{IpAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use tspi::media::{Command, DescriptorId, Event, Frame, StreamId};

/// Frames in each ring of a [`FramePort`]: half a second.
pub const RING_FRAMES: usize = 25;

/// What an engine starts with.
#[derive(Debug)]
pub struct EngineConfig {
    /// The address that the sockets are bound to.
    pub address: IpAddr,
    /// The sockets, with their ports; see [`bind`].
    pub sockets: Vec<(u16, UdpSocket)>,
    /// Chance from the operating system. Not used where `state` is given.
    pub seed: [u8; 32],
    /// How datagrams are marked (RFC 2474): 0 to 63; 46, expedited forwarding, is usual for calls.
    pub dscp: u8,
    /// What an earlier engine left at [`Engine::stop`]. Its playbacks and recordings end with `restarted`; its streams
    /// of frames want new rings ([`Engine::frames`]).
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
#[derive(Debug, Default)]
pub struct Stopped {
    /// Streams and joins, for [`EngineConfig::state`]. Empty where the media thread had died.
    pub state: Vec<u8>,
    /// The sockets, still bound.
    pub sockets: Vec<(u16, UdpSocket)>,
}

/// The provider's end of a stream of frames. What does not fit in a full ring is dropped by whoever pushes.
#[derive(Debug)]
pub struct FramePort {
    /// Frames that the provider heard.
    pub heard: rtrb::Producer<Frame>,
    /// Frames for the provider to send: one every 20 ms.
    pub to_send: rtrb::Consumer<Frame>,
}

/// The running media threads. Dropping it stops them as [`Engine::stop`] does.
#[derive(Debug)]
pub struct Engine {
    messages: Sender<Message>,
    waker: Waker,
    counters: Arc<Shared>,
    left: Receiver<Stopped>,
    thread: Option<JoinHandle<()>>,
}

impl Engine {
    /// Starts the threads. `on_event` is called on the media thread: it must not block.
    pub fn start(config: EngineConfig, on_event: Box<dyn Fn(Event) + Send>) -> Result<Engine, EngineError> {
        tracing::debug!(address = %config.address, sockets = config.sockets.len(), "media engine starts");
        let (messages, inbox) = channel();
        let waker = Waker::new()?;
        let counters = Arc::new(Shared::default());
        let shard = Shard::new(config, on_event, (messages.clone(), inbox), waker.clone(), counters.clone())?;
        let (leave, left) = channel();
        let thread = std::thread::Builder::new().name("media".into()).spawn(move || {
            // The receiver is kept until the thread has ended.
            let _ = leave.send(shard.run());
        })?;
        Ok(Engine { messages, waker, counters, left, thread: Some(thread) })
    }

    /// Hands the media provider a command.
    pub fn command(&self, command: Command) {
        self.tell(Message::Command(command));
    }

    /// Hands over an open file, before the command that names it.
    pub fn give(&self, descriptor: DescriptorId, file: OwnedFd) {
        self.tell(Message::Give(descriptor, file));
    }

    /// Closes a file that no command will name.
    pub fn discard(&self, descriptor: DescriptorId) {
        self.tell(Message::Discard(descriptor));
    }

    /// Makes the rings of a stream of frames, before it is opened. `notify` is called on the media thread whenever there
    /// is a frame to send: it must not block.
    pub fn frames(&self, stream: StreamId, notify: Box<dyn Fn() + Send>) -> FramePort {
        let (heard, from_provider) = rtrb::RingBuffer::new(RING_FRAMES);
        let (to_provider, to_send) = rtrb::RingBuffer::new(RING_FRAMES);
        self.tell(Message::Frames(stream, Rings { from_provider, to_provider, notify }));
        FramePort { heard, to_send }
    }

    /// Stops: recordings are finished and all events told, then everything ends.
    pub fn stop(mut self) -> Stopped {
        self.end()
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        self.counters.read()
    }

    fn tell(&self, message: Message) {
        // A thread that has died is told of at `stop`.
        if self.messages.send(message).is_ok() {
            self.waker.wake();
        }
    }

    fn end(&mut self) -> Stopped {
        let Some(thread) = self.thread.take() else { return Stopped::default() };
        self.tell(Message::Stop);
        let stopped = self.left.recv().unwrap_or_default();
        if thread.join().is_err() {
            tracing::error!("the media thread had died");
        }
        stopped
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end();
    }
}

/// Binds non-blocking sockets for RTP, one for each port. Port 0 asks the system for one; the port that was given is told.
pub fn bind(address: IpAddr, ports: impl Iterator<Item = u16>) -> io::Result<Vec<(u16, UdpSocket)>> {
    ports
        .map(|port| {
            let socket = UdpSocket::bind((address, port))?;
            socket.set_nonblocking(true)?;
            Ok((socket.local_addr()?.port(), socket))
        })
        .collect()
}

/// Binds sockets for RTP and for RTCP: at each of these even ports and at its successor (RFC 3550 section 11). Port 0 asks
/// the system for a pair. RTP comes before its RTCP.
pub fn bind_pairs(address: IpAddr, ports: impl Iterator<Item = u16>) -> io::Result<Vec<(u16, UdpSocket)>> {
    let mut sockets = Vec::new();
    for port in ports {
        sockets.extend(if port == 0 { any_pair(address)? } else { bind(address, [port, port | 1].into_iter())? });
    }
    Ok(sockets)
}

/// Pairs that are asked for at most: half of what the system gives is odd, or has a neighbour.
const ATTEMPTS: usize = 200;

fn any_pair(address: IpAddr) -> io::Result<Vec<(u16, UdpSocket)>> {
    for _ in 0..ATTEMPTS {
        let first = bind(address, std::iter::once(0))?;
        let Some((port, _)) = first.first().filter(|(port, _)| port % 2 == 0) else { continue };
        if let Ok(second) = bind(address, std::iter::once(port + 1)) {
            return Ok(first.into_iter().chain(second).collect());
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "no two neighbouring ports are free"))
}
