//! A provider's ports: UDP sockets, serial ports, and the looking up of names.

mod datagrams;
mod dns;
mod lock;
mod plug;
mod serial;
mod streams;
mod tls;

use crate::config::{NetworkConfig, TlsConfig};
pub use datagrams::Inbound;
use dns::Dns;
use serde::{Deserialize, Serialize};
pub use serial::Serial;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::task::{Context, Poll};
use streams::{Listening, News, Out, Streams};
use tls::Tls;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tspi::{LookupError, PortId, Query, Records, Security};

/// Reads all files of TLS and says what is wrong with them.
pub fn check_tls(config: &TlsConfig) -> Result<(), String> {
    Tls::check(config)
}

/// Names that may be looked up at one time.
const MAX_LOOKUPS: usize = 64;

/// What a port is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Spec {
    /// A UDP socket bound to this address.
    Udp(SocketAddr),
    /// A port that takes connections.
    Listen {
        /// Where.
        address: SocketAddr,
        /// Whether connections are under TLS.
        secured: bool,
    },
    /// A serial port.
    Serial {
        /// Its device.
        device: PathBuf,
        /// Its speed in bit/s.
        baud: u32,
        /// Its flow control.
        flow: tsp_modem::profile::Flow,
        /// Where lock files are, where they are written.
        #[serde(default)]
        locks: Option<PathBuf>,
    },
}

/// An open port.
#[derive(Debug)]
pub enum Port {
    /// A UDP socket.
    Udp(UdpSocket),
    /// A serial port.
    Serial(Serial),
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Port::Udp(socket) => socket.as_fd(),
            Port::Serial(serial) => serial.as_fd(),
        }
    }
}

/// Something arrived.
#[derive(Debug)]
pub enum Ready {
    /// Datagrams, in the room for them.
    Datagrams { port: PortId },
    /// Bytes, in the room for them.
    Bytes { port: PortId, length: usize },
    /// A port is open.
    Opened { port: PortId },
    /// A port is gone.
    Closed { port: PortId, reason: String },
    /// A connection that was asked for is there.
    Connected { port: PortId, local: SocketAddr },
    /// Somebody connected.
    Accepted { listener: PortId, port: PortId, local: SocketAddr, from: SocketAddr, names: Vec<String> },
    /// Bytes came over a connection.
    Heard { port: PortId, bytes: Vec<u8> },
    /// A name was looked up.
    Found { query: Query, result: Result<Records, LookupError> },
}

enum Done {
    Opened(PortId, io::Result<Port>),
    Listens(PortId, io::Result<TcpListener>),
    Found(Query, Result<Records, LookupError>),
}

/// All ports of one provider.
pub struct Ports {
    specs: BTreeMap<PortId, Spec>,
    /// Bound before the provider asked for it, so that its address is known and a conflict is told at the start.
    bound: BTreeMap<PortId, UdpSocket>,
    open: BTreeMap<PortId, Port>,
    waiting: VecDeque<Ready>,
    /// Datagrams of this turn, by port.
    outgoing: BTreeMap<PortId, Vec<(SocketAddr, Vec<u8>)>>,
    work: JoinSet<Done>,
    opening: BTreeSet<PortId>,
    resolving: BTreeSet<Query>,
    dns: Dns,
    streams: Streams,
    news: mpsc::Receiver<News>,
    /// Where bytes for connections go.
    connections: BTreeMap<PortId, Out>,
    listening: BTreeMap<PortId, Listening>,
    plugged: Plugged,
    /// Serial ports that the provider wants to have.
    asked: BTreeSet<PortId>,
}

/// Whether the device of the serial ports is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plugged {
    /// Nobody says.
    Unknown,
    /// It is not, for this reason.
    No(&'static str),
    /// It is, for the so manieth time.
    Yes(u64),
}

impl Ports {
    /// Ports as they are described; none is open.
    pub fn new(specs: BTreeMap<PortId, Spec>, network: &NetworkConfig) -> Ports {
        let (streams, news) = Streams::new(Tls::new(network.tls.clone()));
        Ports {
            specs,
            bound: BTreeMap::new(),
            open: BTreeMap::new(),
            waiting: VecDeque::new(),
            outgoing: BTreeMap::new(),
            work: JoinSet::new(),
            opening: BTreeSet::new(),
            resolving: BTreeSet::new(),
            dns: Dns::new(&network.nameservers),
            streams,
            news,
            connections: BTreeMap::new(),
            listening: BTreeMap::new(),
            plugged: Plugged::Unknown,
            asked: BTreeSet::new(),
        }
    }

    /// The port that is a UDP socket, where there is one: the first.
    pub fn udp(&self) -> Option<PortId> {
        self.specs.iter().find(|(_, spec)| matches!(spec, Spec::Udp(_))).map(|(port, _)| *port)
    }

    /// A socket for a port, before it is asked for.
    pub fn bind(&mut self, port: PortId, socket: UdpSocket) {
        self.bound.insert(port, socket);
    }

    /// Where lock files of serial ports are.
    pub fn locks(&self, port: PortId) -> Option<&Path> {
        match self.specs.get(&port) {
            Some(Spec::Serial { locks, .. }) => locks.as_deref(),
            _ => None,
        }
    }

    /// A port that is open already, as the provider knows.
    pub fn restore(&mut self, port: PortId, open: Port) {
        self.asked.insert(port);
        self.open.insert(port, open);
    }

    /// A port that the provider believes open, and which did not come through a restart.
    pub fn lost(&mut self, port: PortId, reason: &str) {
        self.waiting.push_back(Ready::Closed { port, reason: reason.to_string() });
    }

    /// The open ports.
    pub fn iter(&self) -> impl Iterator<Item = (PortId, &Port)> {
        self.open.iter().map(|(id, port)| (*id, port))
    }

    /// Whether nothing is left to be told at once.
    pub fn is_quiet(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Ports that are being opened, and names that are being looked up.
    pub fn under_way(&self) -> (Vec<PortId>, Vec<Query>) {
        // What listens is bound anew: nothing is lost by it.
        let opening = self.opening.iter().chain(self.listening.keys()).copied();
        (opening.collect(), self.resolving.iter().cloned().collect())
    }

    /// Connections, which end with this process.
    pub fn connections(&self) -> Vec<PortId> {
        self.connections.keys().copied().collect()
    }

    /// Opens a port; told by [`Ready::Opened`] or [`Ready::Closed`].
    pub fn open(&mut self, port: PortId) {
        if matches!(self.specs.get(&port), Some(Spec::Serial { .. })) {
            self.asked.insert(port);
            if let Plugged::No(reason) = self.plugged {
                let reason = reason.to_string();
                return self.waiting.push_back(Ready::Closed { port, reason });
            }
            // It is ours alone: a second attempt would find it taken by the first.
            if self.opening.contains(&port) {
                return;
            }
        }
        self.flush();
        self.open.remove(&port);
        if let Some(socket) = self.bound.remove(&port) {
            self.open.insert(port, Port::Udp(socket));
            self.waiting.push_back(Ready::Opened { port });
            return;
        }
        let Some(spec) = self.specs.get(&port).cloned() else {
            let reason = format!("there is no port {}", port.0);
            self.waiting.push_back(Ready::Closed { port, reason });
            return;
        };
        self.opening.insert(port);
        if let Spec::Listen { address, .. } = spec {
            self.listening.remove(&port);
            self.work.spawn(async move { Done::Listens(port, Streams::listen(port, address).await) });
            return;
        }
        self.work.spawn(async move {
            let opened = match spec {
                Spec::Listen { .. } => Err(io::Error::other("a port that listens is opened otherwise")),
                Spec::Udp(address) => UdpSocket::bind(address).await.map(Port::Udp),
                Spec::Serial { device, baud, flow, locks } => {
                    Serial::open(device, baud, flow, locks).await.map(Port::Serial)
                }
            };
            Done::Opened(port, opened)
        });
    }

    /// Closes a port.
    pub fn close(&mut self, port: PortId) {
        self.flush();
        self.open.remove(&port);
        self.opening.remove(&port);
        self.asked.remove(&port);
        self.connections.remove(&port);
        self.listening.remove(&port);
    }

    /// Connects; told by [`Ready::Connected`] or [`Ready::Closed`].
    pub fn connect(&mut self, port: PortId, to: SocketAddr, security: Security) {
        self.connections.insert(port, self.streams.connect(port, to, security));
    }

    /// Takes a datagram, which [`Ports::flush`] sends.
    pub fn send(&mut self, port: PortId, to: SocketAddr, bytes: Vec<u8>) {
        self.outgoing.entry(port).or_default().push((to, bytes));
    }

    /// Sends all datagrams of this turn.
    pub fn flush(&mut self) {
        for (port, datagrams) in &mut self.outgoing {
            if let Some(Port::Udp(socket)) = self.open.get(port) {
                datagrams::send(socket, datagrams);
            }
            datagrams.clear();
        }
    }

    /// Writes to a serial port or a connection, in order.
    pub fn write(&mut self, port: PortId, bytes: Vec<u8>) {
        if let Some(out) = self.connections.get(&port) {
            if out.try_send(bytes).is_err() {
                self.failed(port, &io::Error::other("the far end does not take what is written"));
            }
        } else if let Some(Port::Serial(serial)) = self.open.get_mut(&port)
            && let Err(error) = serial.write(&bytes)
        {
            self.failed(port, &error);
        }
    }

    /// Raises or lowers DTR, where the port has it.
    pub fn set_dtr(&mut self, port: PortId, up: bool) {
        if let Some(Port::Serial(serial)) = self.open.get(&port)
            && let Err(error) = crate::sys::set_dtr(serial, up)
        {
            tracing::debug!(%error, port = port.0, "DTR cannot be set");
        }
    }

    /// Lets XON and XOFF pass as data, or not any more, where the port is configured to have them.
    pub fn soft_flow(&mut self, port: PortId, on: bool) {
        let soft = matches!(self.specs.get(&port), Some(Spec::Serial { flow: tsp_modem::profile::Flow::Xonxoff, .. }));
        if let Some(Port::Serial(serial)) = self.open.get(&port).filter(|_| soft)
            && let Err(error) = serial.soft_flow(on)
        {
            tracing::warn!(%error, port = port.0, "XON/XOFF cannot be set: audio may be cut");
        }
    }

    /// Asks the domain name system.
    pub fn look_up(&mut self, query: Query) {
        if self.resolving.len() >= MAX_LOOKUPS {
            self.waiting.push_back(Ready::Found { query, result: Err(LookupError::Refused) });
        } else if self.resolving.insert(query.clone()) {
            let dns = self.dns.clone();
            self.work.spawn(async move {
                let found = dns.look_up(&query).await;
                Done::Found(query, found)
            });
        }
    }

    fn failed(&mut self, port: PortId, error: &io::Error) {
        self.open.remove(&port);
        self.connections.remove(&port);
        self.waiting.push_back(Ready::Closed { port, reason: error.to_string() });
    }

    /// Waits until something arrived. Nothing is lost when this is given up half-way.
    pub async fn next(&mut self, inbound: &mut Inbound) -> Ready {
        poll_fn(|context| self.poll(context, inbound)).await
    }

    fn poll(&mut self, context: &mut Context<'_>, inbound: &mut Inbound) -> Poll<Ready> {
        if let Some(ready) = self.waiting.pop_front() {
            return Poll::Ready(ready);
        }
        while let Poll::Ready(Some(done)) = self.work.poll_join_next(context) {
            if let Some(ready) = done.ok().and_then(|done| self.done(done)) {
                return Poll::Ready(ready);
            }
        }
        while let Poll::Ready(Some(news)) = self.news.poll_recv(context) {
            if let Some(ready) = self.told(news) {
                return Poll::Ready(ready);
            }
        }
        let mut failed = None;
        for (&id, port) in &mut self.open {
            let polled = match port {
                Port::Serial(serial) => {
                    let bytes = serial.poll(context, inbound.bytes_mut());
                    bytes.map_ok(|length| Ready::Bytes { port: id, length })
                }
                Port::Udp(socket) => inbound.poll(socket, context).map_ok(|()| Ready::Datagrams { port: id }),
            };
            match polled {
                Poll::Pending => {}
                Poll::Ready(Ok(ready)) => return Poll::Ready(ready),
                Poll::Ready(Err(error)) => failed = Some((id, error)),
            }
        }
        match failed {
            Some((port, error)) => {
                self.open.remove(&port);
                Poll::Ready(Ready::Closed { port, reason: error.to_string() })
            }
            None => Poll::Pending,
        }
    }

    /// News of a connection that is closed already are nobody's.
    fn told(&mut self, news: News) -> Option<Ready> {
        match news {
            News::Connected { port, local } if self.connections.contains_key(&port) => {
                Some(Ready::Connected { port, local })
            }
            News::Bytes { port, bytes } if self.connections.contains_key(&port) => Some(Ready::Heard { port, bytes }),
            News::Accepted { listener, port, local, from, names, out } if self.listening.contains_key(&listener) => {
                self.connections.insert(port, out);
                Some(Ready::Accepted { listener, port, local, from, names })
            }
            News::Closed { port, reason } => self.connections.remove(&port).map(|_| Ready::Closed { port, reason }),
            News::Connected { .. } | News::Bytes { .. } | News::Accepted { .. } => None,
        }
    }

    fn listens(&mut self, port: PortId, result: io::Result<TcpListener>) -> Option<Ready> {
        if !self.opening.remove(&port) {
            return None;
        }
        let secured = matches!(self.specs.get(&port), Some(Spec::Listen { secured: true, .. }));
        Some(match result {
            Ok(socket) => {
                self.listening.insert(port, self.streams.accept(port, socket, secured));
                Ready::Opened { port }
            }
            Err(error) => Ready::Closed { port, reason: error.to_string() },
        })
    }

    fn done(&mut self, done: Done) -> Option<Ready> {
        match done {
            Done::Listens(port, result) => self.listens(port, result),
            Done::Opened(port, result) => {
                // Closed again in the meantime: nobody waits for it.
                if !self.opening.remove(&port) {
                    return None;
                }
                Some(match result {
                    Ok(open) => {
                        self.open.insert(port, open);
                        Ready::Opened { port }
                    }
                    Err(error) => Ready::Closed { port, reason: error.to_string() },
                })
            }
            Done::Found(query, result) => {
                self.resolving.remove(&query);
                Some(Ready::Found { query, result })
            }
        }
    }
}
