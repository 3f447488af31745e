//! A modem's port as a stream socket that one host at a time may connect to: TCP, or a Unix socket of the abstract
//! namespace.

use rustix::fd::{AsFd, BorrowedFd};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener, UnixStream};
use std::str::FromStr;

/// Where a port is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A TCP port.
    Tcp(SocketAddr),
    /// A Unix socket of the abstract namespace: this name behind a NUL.
    Abstract(String),
}

impl FromStr for Address {
    type Err = String;

    /// `tcp:HOST:PORT` or `abstract:NAME`.
    fn from_str(text: &str) -> Result<Address, String> {
        match text.split_once(':') {
            Some(("tcp", address)) => {
                address.parse().map(Address::Tcp).map_err(|_| format!("`{address}`: expected ADDRESS:PORT"))
            }
            Some(("abstract", name)) if !name.is_empty() && name.len() < 100 => Ok(Address::Abstract(name.into())),
            _ => Err(format!("`{text}`: expected tcp:ADDRESS:PORT or abstract:NAME")),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Tcp(address) => write!(f, "tcp:{address}"),
            Address::Abstract(name) => write!(f, "abstract:{name}"),
        }
    }
}

#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A listening socket and the host that is connected to it, if one is.
#[derive(Debug)]
pub(crate) struct Socket {
    address: Address,
    listener: Listener,
    stream: Option<Stream>,
}

impl Socket {
    pub(crate) fn listen(address: &Address) -> io::Result<Socket> {
        let (listener, address) = match address {
            Address::Tcp(address) => {
                let listener = TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                let address = Address::Tcp(listener.local_addr()?);
                (Listener::Tcp(listener), address)
            }
            Address::Abstract(name) => {
                let listener = UnixListener::bind_addr(&UnixAddress::from_abstract_name(name)?)?;
                listener.set_nonblocking(true)?;
                (Listener::Unix(listener), address.clone())
            }
        };
        Ok(Socket { address, listener, stream: None })
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.stream.is_some()
    }

    /// What to wait for: the host's bytes, or a host.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        match (&self.stream, &self.listener) {
            (Some(Stream::Tcp(stream)), _) => stream.as_fd(),
            (Some(Stream::Unix(stream)), _) => stream.as_fd(),
            (None, Listener::Tcp(listener)) => listener.as_fd(),
            (None, Listener::Unix(listener)) => listener.as_fd(),
        }
    }

    /// Takes the host that waits, if none is connected.
    fn accept(&mut self) -> io::Result<()> {
        let taken = match &self.listener {
            Listener::Tcp(listener) => listener.accept().and_then(|(stream, _)| {
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }),
            Listener::Unix(listener) => listener.accept().and_then(|(stream, _)| {
                stream.set_nonblocking(true)?;
                Ok(Stream::Unix(stream))
            }),
        };
        match taken {
            Ok(stream) => self.stream = Some(stream),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionAborted) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    pub(crate) fn read(&mut self, room: usize) -> io::Result<Vec<u8>> {
        if self.stream.is_none() {
            self.accept()?;
        }
        let mut bytes = vec![0; room.min(4_096)];
        let count = match &mut self.stream {
            Some(Stream::Tcp(stream)) => stream.read(&mut bytes),
            Some(Stream::Unix(stream)) => stream.read(&mut bytes),
            None => return Ok(Vec::new()),
        };
        match count {
            Ok(0) | Err(_) if !bytes.is_empty() && !is_waiting(&count) => {
                self.stream = None;
                bytes.clear();
            }
            Ok(count) => bytes.truncate(count),
            Err(_) => bytes.clear(),
        }
        Ok(bytes)
    }

    /// Bytes that were taken: all when nobody is connected, as on a line without a host.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> usize {
        let count = match &mut self.stream {
            Some(Stream::Tcp(stream)) => stream.write(bytes),
            Some(Stream::Unix(stream)) => stream.write(bytes),
            None => return bytes.len(),
        };
        if let Err(error) = &count
            && !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
        {
            self.stream = None;
        }
        count.unwrap_or(0)
    }
}

fn is_waiting(count: &io::Result<usize>) -> bool {
    count.as_ref().is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted))
}
