//! What waits to be processed: one queue for each way between two parts of the world.

use crate::exchange::ModemId;
use crate::net::Datagram;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use tapi::{Error, Event, Reply, RequestId};
use tapi_core::{ClientId, ProviderId};
use tspi::media::{self, StreamId};
use tspi::{Frame, PortId, Random};

/// In which order waiting work is done.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one in a world")]
pub enum Order {
    /// As it came.
    Arrival,
    /// As it came on each way, and by chance between them: as between tasks and processes.
    Chance(Random),
}

/// One thing to process.
#[derive(Debug)]
pub enum Work {
    /// An input of the server.
    Server(tapi_core::Input),
    /// An input of a provider.
    Provider(ProviderId, ProviderInput),
    /// An input of the media provider.
    Media(MediaInput),
    /// A line for an application.
    App(ClientId, ToApp),
    /// A datagram at somebody's address.
    Datagram(Datagram),
    /// Bytes for a modem.
    Modem(ModemId, u32, Vec<u8>),
}

/// What a provider takes, owned.
#[derive(Debug)]
#[allow(missing_docs, reason = "each is the input of the same name of `tspi::Input`")]
pub enum ProviderInput {
    Command(tspi::Command),
    Datagram { port: PortId, from: SocketAddr, bytes: Vec<u8> },
    Bytes { port: PortId, bytes: Vec<u8> },
    Frame { stream: StreamId, frame: Box<Frame> },
    Opened { port: PortId },
    Closed { port: PortId, reason: String },
    Found { query: tspi::Query, result: Result<tspi::Records, tspi::LookupError> },
    Timeout,
}

impl ProviderInput {
    /// As the provider takes it.
    pub fn as_input(&self) -> tspi::Input<'_> {
        match self {
            ProviderInput::Command(command) => tspi::Input::Command(command.clone()),
            ProviderInput::Datagram { port, from, bytes } => tspi::Input::Datagram { port: *port, from: *from, bytes },
            ProviderInput::Bytes { port, bytes } => tspi::Input::Bytes { port: *port, bytes },
            ProviderInput::Frame { stream, frame } => tspi::Input::Frame { stream: *stream, frame },
            ProviderInput::Opened { port } => tspi::Input::Opened { port: *port },
            ProviderInput::Closed { port, reason } => tspi::Input::Closed { port: *port, reason },
            ProviderInput::Found { query, result } => tspi::Input::Found { query, result },
            ProviderInput::Timeout => tspi::Input::Timeout,
        }
    }
}

/// What the media provider takes, owned.
#[derive(Debug)]
#[allow(missing_docs, reason = "each is the input of the same name of `tspi::media::Input`")]
pub enum MediaInput {
    Command(media::Command),
    Packet { stream: StreamId, from: SocketAddr, bytes: Vec<u8> },
    Control { stream: StreamId, from: SocketAddr, bytes: Vec<u8> },
    Frame { stream: StreamId, frame: Box<Frame> },
    Loaded { operation: tapi::OperationId, samples: Arc<[i16]> },
    Failed { operation: tapi::OperationId, end: tapi::End },
}

impl MediaInput {
    /// As the media provider takes it.
    pub fn as_input(&self) -> media::Input<'_> {
        match self {
            MediaInput::Command(command) => media::Input::Command(command.clone()),
            MediaInput::Packet { stream, from, bytes } => media::Input::Packet { stream: *stream, from: *from, bytes },
            MediaInput::Control { stream, from, bytes } => {
                media::Input::Control { stream: *stream, from: *from, bytes }
            }
            MediaInput::Frame { stream, frame } => media::Input::Frame { stream: *stream, frame },
            MediaInput::Loaded { operation, samples } => {
                media::Input::Loaded { operation: *operation, samples: Arc::clone(samples), rate: media::Rate::Narrow }
            }
            MediaInput::Failed { operation, end } => media::Input::Failed { operation: *operation, end: end.clone() },
        }
    }
}

/// What the server sends an application.
#[derive(Debug)]
pub enum ToApp {
    /// A reply.
    Reply(RequestId, Box<Result<Reply, Error>>),
    /// An event, with the one before it.
    Event(u64, Arc<Event>),
    /// The connection is closed.
    Closed(String),
}

/// A way between two parts: what is put in comes out in the same order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "named after their two ends")]
pub enum Way {
    AppToServer(ClientId),
    ServerToApp(ClientId),
    ServerToProvider(ProviderId),
    ProviderToServer(ProviderId),
    ServerToMedia,
    MediaToServer,
    MediaToProvider(ProviderId),
    ProviderToMedia(ProviderId),
    FilesToMedia,
    WireToProvider(ProviderId),
    WireToModem(ModemId, u32),
    Net,
}

/// All that waits.
#[derive(Debug)]
pub struct Queues {
    order: Order,
    next: u64,
    ways: BTreeMap<Way, VecDeque<(u64, Work)>>,
}

impl Queues {
    /// Nothing waits.
    pub fn new(order: Order) -> Queues {
        Queues { order, next: 0, ways: BTreeMap::new() }
    }

    /// Puts work on a way.
    pub fn push(&mut self, way: Way, work: Work) {
        self.ways.entry(way).or_default().push_back((self.next, work));
        self.next += 1;
    }

    /// Takes the next.
    pub fn pop(&mut self) -> Option<Work> {
        let way = match &mut self.order {
            Order::Arrival => *self.ways.iter().min_by_key(|(_, queue)| queue.front().map(|(number, _)| *number))?.0,
            Order::Chance(random) => {
                let at = random.below(self.ways.len() as u64);
                *self.ways.keys().nth(usize::try_from(at).ok()?)?
            }
        };
        let queue = self.ways.get_mut(&way)?;
        let (_, work) = queue.pop_front()?;
        if queue.is_empty() {
            self.ways.remove(&way);
        }
        Some(work)
    }

    /// Forgets what waits on a way: its reader is gone.
    pub fn forget(&mut self, way: Way) {
        self.ways.remove(&way);
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.ways.is_empty()
    }
}
