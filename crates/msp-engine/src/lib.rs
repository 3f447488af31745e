//! The media threads: sockets, epoll and the 20 ms clock around `msp-rtp`.
//!
//! # Threads
//! Each media thread owns streams: sockets, playout buffers and joins, as one [`msp_rtp::Msp`]. It waits in `epoll` for
//! datagrams, for commands (an eventfd) and for the tick (a timerfd at absolute times), makes plain calls, takes no lock
//! and allocates nothing for a packet. It never touches a file: one thread reads files to play, another writes recordings
//! from a bounded queue.
//!
//! An index (`index.rs`), which commands go by and packets never, tells which thread has which stream: a new one goes to
//! the thread with the fewest. Streams that are joined or mixed are brought to one thread, that of the lower number, with
//! their sockets and whatever goes on in them (`shard/moving.rs`): within one 20 ms, nothing is lost but a frame of a mixer.
//!
//! A thread asks for `SCHED_RR` ([`EngineConfig::realtime`]) or for a better nice value, and goes on without.

#![forbid(unsafe_code)]

mod application;
mod counters;
mod files;
mod index;
mod load;
mod priority;
mod record;
mod shard;

pub use counters::Counters;

use counters::Shared;
use files::Files;
use index::{Index, Known, Way};
use msp_rtp::Msp;
use shard::{Begin, Left, Rings, Shard, Sockets, Waker};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, UdpSocket};
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use tspi::Random;
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
    /// Media threads; none: as many as there are cores.
    pub threads: Option<NonZeroUsize>,
    /// Whether they ask for real-time priority.
    pub realtime: bool,
    /// Least and most delay of the playout buffers, in milliseconds: [`JITTER_MS`] is usual.
    pub jitter_ms: (u32, u32),
}

/// Delay of playout buffers: what suits the far ends of a public net.
pub const JITTER_MS: (u32, u32) = (20, 200);

/// Who is told events: any media thread calls it, so it must not block.
pub type OnEvent = Arc<dyn Fn(Event) + Send + Sync>;

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
    index: Arc<Index>,
    sockets: Option<Arc<Sockets>>,
    counters: Vec<Arc<Shared>>,
    threads: Vec<JoinHandle<Left>>,
    files: Option<Files>,
    file_threads: Vec<JoinHandle<()>>,
}

impl Engine {
    /// Starts the threads. `on_event` is called on media threads: it must not block.
    pub fn start(config: EngineConfig, on_event: OnEvent) -> Result<Engine, EngineError> {
        let EngineConfig { address, sockets, seed, dscp, state, threads, realtime, jitter_ms } = config;
        let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let count = threads.unwrap_or(cores).get().min(MAX_THREADS);
        tracing::debug!(%address, sockets = sockets.len(), threads = count, "media engine starts");
        let sockets = Arc::new(Sockets::new(sockets, dscp)?);
        let (mut parts, known) = parts(state, seed, count)?;
        parts.iter_mut().for_each(|msp| msp.set_playout(jitter_ms.0, jitter_ms.1));
        let (mut ways, mut inboxes) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let (messages, inbox) = channel();
            let waker = Waker::new()?;
            inboxes.push((inbox, waker.clone()));
            ways.push(Way { messages, waker });
        }
        let index = Arc::new(Index::new(ways, sockets.clone(), known));
        let (files, work) = Files::new();
        let mut engine = Engine {
            index,
            sockets: Some(sockets.clone()),
            counters: Vec::new(),
            threads: Vec::new(),
            files: Some(files.clone()),
            file_threads: Vec::new(),
        };
        engine.file_threads.extend(work.start(&engine.index)?);
        for (number, ((inbox, waker), msp)) in inboxes.into_iter().zip(parts).enumerate() {
            let shared = Arc::new(Shared::default());
            engine.counters.push(shared.clone());
            let (sockets, on_event, files) = (sockets.clone(), on_event.clone(), files.clone());
            let begin = Begin { number, count, msp, sockets, on_event, inbox, waker, files, shared, realtime };
            let shard = Shard::new(begin)?;
            let thread = std::thread::Builder::new().name(format!("media-{number}"));
            engine.threads.push(thread.spawn(move || shard.run())?);
        }
        Ok(engine)
    }

    /// Hands the media provider a command.
    pub fn command(&self, command: Command) {
        self.index.command(command);
    }

    /// Hands over an open file, before the command that names it.
    pub fn give(&self, descriptor: DescriptorId, file: OwnedFd) {
        self.index.give(descriptor, file);
    }

    /// Closes a file that no command will name.
    pub fn discard(&self, descriptor: DescriptorId) {
        self.index.discard(descriptor);
    }

    /// Makes the rings of a stream of frames, before it is opened. `notify` is called on the media thread whenever there
    /// is a frame to send: it must not block.
    pub fn frames(&self, stream: StreamId, notify: Box<dyn Fn() + Send>) -> FramePort {
        let (heard, from_provider) = rtrb::RingBuffer::new(RING_FRAMES);
        let (to_provider, to_send) = rtrb::RingBuffer::new(RING_FRAMES);
        self.index.frames(stream, Rings { from_provider, to_provider, notify });
        FramePort { heard, to_send }
    }

    /// Stops: recordings are finished and all events told, then everything ends.
    pub fn stop(mut self) -> Stopped {
        self.end()
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        self.counters.iter().fold(Counters::default(), |all, shared| all.plus(shared.read()))
    }

    fn end(&mut self) -> Stopped {
        let Some(sockets) = self.sockets.take() else { return Stopped::default() };
        self.index.stop();
        let left = self.threads.drain(..).filter_map(|thread| ended(thread, "a media thread had died"));
        let left: Vec<Left> = left.collect();
        // Now nobody asks the threads of files for anything.
        self.files = None;
        for thread in self.file_threads.drain(..) {
            ended(thread, "a thread that reads or writes audio files had died");
        }
        let now = shard::now();
        let all = left.into_iter().map(Left::finish).reduce(|mut all, other| {
            all.merge(now, other);
            all
        });
        let state = all
            .map(|msp| serde_json::to_vec(&msp))
            .and_then(|state| state.map_err(|error| tracing::error!(%error, "media state cannot be kept")).ok());
        let sockets = Arc::into_inner(sockets).map(Sockets::into_bound).unwrap_or_default();
        Stopped { state: state.unwrap_or_default(), sockets }
    }
}

/// What a thread left; none where it died.
fn ended<T>(thread: JoinHandle<T>, death: &str) -> Option<T> {
    thread.join().map_err(|_| tracing::error!("{death}")).ok()
}

/// More threads than this would be a mistake.
const MAX_THREADS: usize = 64;

/// A provider for each thread: what an earlier engine left, spread evenly, or nothing.
fn parts(state: Option<Vec<u8>>, seed: [u8; 32], count: usize) -> Result<(Vec<Msp>, Vec<Known>), EngineError> {
    let mut random = Random::from_seed(seed);
    let mut fresh = || {
        let mut seed = [0; 32];
        seed.chunks_exact_mut(4).for_each(|word| word.copy_from_slice(&random.next_u32().to_le_bytes()));
        Msp::new(seed)
    };
    let Some(state) = state else { return Ok(((0..count).map(|_| fresh()).collect(), Vec::new())) };
    let mut first: Msp = serde_json::from_slice(&state).map_err(|error| EngineError::State(error.to_string()))?;
    first.restored();
    let rtp: BTreeMap<StreamId, Option<u16>> = first.streams().collect();
    let rtcp: BTreeMap<StreamId, u16> = first.control_ports().collect();
    let groups = first.groups();
    let mut parts: Vec<Msp> = (1..count).map(|_| fresh()).collect();
    parts.insert(0, first);
    let (mut load, mut known) = (vec![0usize; count], Vec::new());
    for group in groups {
        let thread = load.iter().enumerate().min_by_key(|(_, load)| **load).map_or(0, |(thread, _)| thread);
        load.get_mut(thread).into_iter().for_each(|load| *load += group.len());
        let streams: Vec<StreamId> = group.iter().map(|(stream, _)| *stream).collect();
        if let [first, others @ ..] = parts.as_mut_slice()
            && let Some(other) = thread.checked_sub(1).and_then(|number| others.get_mut(number))
        {
            first.share(shard::now(), &streams, other);
        }
        known.extend(group.into_iter().map(|(stream, mixer)| {
            let ports = [rtp.get(&stream).copied().flatten(), rtcp.get(&stream).copied()];
            Known { stream, mixer, thread, ports }
        }));
    }
    Ok((parts, known))
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
