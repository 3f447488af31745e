//! The exchange in real time, with each port of a modem on a pseudo-terminal or a socket.
//!
//! A pseudo-terminal has no modem-control lines, so there is no DTR; its flow control is the modem's own room: a port that
//! is full is not read, so the host's writes block as they would at a USB endpoint that answers NAK.

use crate::exchange::{Event, Exchange, ModemId, Output};
use crate::modem::AUDIO_PORT;
use crate::socket::{Address, Socket};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tapi::Time;

/// Bytes that wait for a host that does not read commands' results or a voice stream; the modem's own buffers overrun
/// beyond.
const UNREAD: u64 = 3_200;
/// The same for a port of raw audio: 100 ms, so that a host that opens it late hears the present.
const UNREAD_AUDIO: u64 = 1_600;

/// A pseudo-terminal in raw mode, seen from the device's side.
#[derive(Debug)]
pub struct Pty {
    master: OwnedFd,
    // Kept open, so that the master does not report a hang-up while no host has it open.
    slave: OwnedFd,
    path: PathBuf,
}

impl Pty {
    /// Opens one.
    pub fn open() -> io::Result<Pty> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?;
        let path = PathBuf::from(String::from_utf8_lossy(name.as_bytes()).into_owned());
        let slave = rustix::fs::open(&path, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
        let mut attributes = tcgetattr(&slave)?;
        attributes.make_raw();
        tcsetattr(&slave, OptionalActions::Now, &attributes)?;
        rustix::io::ioctl_fionbio(&master, true)?;
        Ok(Pty { master, slave, path })
    }

    /// The terminal that a host opens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that the host has not read.
    fn unread(&self) -> u64 {
        rustix::io::ioctl_fionread(&self.slave).unwrap_or(0)
    }

    fn read(&self, room: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; room.min(4_096)];
        match rustix::io::read(&self.master, &mut bytes) {
            Ok(count) => bytes.truncate(count),
            Err(Errno::AGAIN | Errno::INTR | Errno::IO) => bytes.clear(),
            Err(error) => return Err(error.into()),
        }
        Ok(bytes)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match rustix::io::write(&self.master, bytes) {
            Ok(count) => Ok(count),
            Err(Errno::AGAIN | Errno::INTR | Errno::IO) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}

/// What carries the bytes of a port.
#[derive(Debug)]
enum Wire {
    Pty(Pty),
    Socket(Socket),
}

impl Wire {
    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Wire::Pty(pty) => pty.master.as_fd(),
            Wire::Socket(socket) => socket.fd(),
        }
    }

    /// Bytes that the host has not read, as far as that can be seen.
    fn unread(&self) -> u64 {
        match self {
            Wire::Pty(pty) => pty.unread(),
            Wire::Socket(_) => 0,
        }
    }

    fn read(&mut self, room: usize) -> io::Result<Vec<u8>> {
        match self {
            Wire::Pty(pty) => pty.read(room),
            Wire::Socket(socket) => socket.read(room),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Wire::Pty(pty) => pty.write(bytes),
            Wire::Socket(socket) => Ok(socket.write(bytes)),
        }
    }

    /// Whether it must be watched even when the modem takes nothing: a host may come.
    fn awaits_host(&self) -> bool {
        matches!(self, Wire::Socket(socket) if !socket.is_connected())
    }
}

/// One port of a modem.
#[derive(Debug)]
struct Port {
    modem: ModemId,
    port: u32,
    link: PathBuf,
    address: Option<Address>,
    /// None while the modem is unplugged.
    wire: Option<Wire>,
    unread: VecDeque<u8>,
}

/// What a step of the world outside brought.
#[derive(Debug)]
pub enum Happened {
    /// Something in the exchange, and when.
    Event(Time, Event),
    /// The descriptor that was watched too can be read, or is closed.
    Readable,
}

/// An exchange with its modems on pseudo-terminals, reachable by symbolic links in a directory.
pub struct Bench {
    /// The exchange: give it orders with [`Bench::now`].
    pub exchange: Exchange,
    began: Instant,
    /// How far the clock leapt ahead.
    ahead: Duration,
    ports: Vec<Port>,
}

impl Bench {
    /// Opens a pseudo-terminal for each port, and makes `DIR/NAME` (port 0) and `DIR/NAME-audio` (port 1).
    ///
    /// # Errors
    /// When a terminal or a link cannot be made: the text says which.
    pub fn new(exchange: Exchange, modems: &[(ModemId, u32)], dir: &Path) -> io::Result<Bench> {
        Bench::with_sockets(exchange, modems, dir, &BTreeMap::new())
    }

    /// The same, with some ports, named as their links would be, on sockets.
    ///
    /// # Errors
    /// When a terminal, a link or a socket cannot be made: the text says which.
    pub fn with_sockets(
        exchange: Exchange,
        modems: &[(ModemId, u32)],
        dir: &Path,
        sockets: &BTreeMap<String, Address>,
    ) -> io::Result<Bench> {
        std::fs::create_dir_all(dir).map_err(|error| explain(dir, &error))?;
        let mut bench = Bench { exchange, began: Instant::now(), ahead: Duration::ZERO, ports: Vec::new() };
        for (modem, ports) in modems {
            let name = bench.exchange.name(*modem).unwrap_or("modem").to_string();
            for port in 0..*ports {
                let name = if port == 0 { name.clone() } else { format!("{name}-audio") };
                let (link, address) = (dir.join(&name), sockets.get(&name).cloned());
                let unread = VecDeque::new();
                let mut port = Port { modem: *modem, port, link, address, wire: None, unread };
                port.open()?;
                bench.ports.push(port);
            }
        }
        Ok(bench)
    }

    /// The exchange's time now.
    pub fn now(&self) -> Time {
        Time(u64::try_from((self.began.elapsed() + self.ahead).as_micros()).unwrap_or(u64::MAX))
    }

    /// The clock leaps ahead: all that would have been due meanwhile is due now.
    pub fn jump(&mut self, by: Duration) {
        self.ahead += by.min(Duration::from_secs(86_400));
    }

    /// Links and what they lead to.
    pub fn links(&self) -> Vec<(PathBuf, PathBuf)> {
        let port = |port: &Port| match &port.wire {
            Some(Wire::Pty(pty)) => Some((port.link.clone(), pty.path().to_path_buf())),
            _ => None,
        };
        self.ports.iter().filter_map(port).collect()
    }

    /// Ports on sockets, named as their links would be, and where they are.
    pub fn sockets(&self) -> Vec<(String, Address)> {
        let port = |port: &Port| match &port.wire {
            Some(Wire::Socket(socket)) => {
                Some((port.link.file_name()?.to_string_lossy().into_owned(), socket.address().clone()))
            }
            _ => None,
        };
        self.ports.iter().filter_map(port).collect()
    }

    /// Waits for bytes, for `also`, or for the exchange's deadline; carries everything on, and tells what happened.
    ///
    /// # Errors
    /// When the operating system refuses to wait, read, write or open.
    pub fn step(&mut self, also: Option<BorrowedFd<'_>>, limit: Duration) -> io::Result<Vec<Happened>> {
        let readable = self.wait(also, limit)?;
        let now = self.now();
        self.exchange.timeout(now);
        for at in 0..self.ports.len() {
            let Port { modem, port, .. } = self.ports[at];
            let room = self.exchange.room(modem, port);
            if let Some(wire) = &mut self.ports[at].wire
                && (room > 0 || wire.awaits_host())
            {
                let bytes = wire.read(room)?;
                self.exchange.bytes(now, modem, port, &bytes);
            }
        }
        let mut happened = self.carry()?;
        if readable {
            happened.push(Happened::Readable);
        }
        Ok(happened)
    }

    /// Carries the exchange's outputs to the terminals.
    ///
    /// # Errors
    /// When a terminal cannot be written or opened.
    pub fn carry(&mut self) -> io::Result<Vec<Happened>> {
        let mut happened = Vec::new();
        while let Some(output) = self.exchange.poll_output() {
            match output {
                Output::Event { at, event } => happened.push(Happened::Event(at, event)),
                Output::Bytes { modem, port, bytes } => {
                    for at in self.ports.iter_mut().filter(|at| at.modem == modem && at.port == port) {
                        at.unread.extend(&bytes);
                    }
                }
                Output::Unplugged(modem) => {
                    for port in self.ports.iter_mut().filter(|port| port.modem == modem) {
                        port.wire = None;
                        port.unread.clear();
                        if port.address.is_none() {
                            let _ = std::fs::remove_file(&port.link);
                        }
                    }
                }
                Output::Plugged(modem) => {
                    for port in self.ports.iter_mut().filter(|port| port.modem == modem) {
                        port.open()?;
                    }
                }
            }
        }
        for port in &mut self.ports {
            port.flush()?;
            let limit = if port.port == AUDIO_PORT { UNREAD_AUDIO } else { UNREAD };
            let unread = port.unread.len() as u64 + port.wire.as_ref().map_or(0, Wire::unread);
            self.exchange.host_reads(port.modem, port.port, unread < limit);
        }
        Ok(happened)
    }

    /// Whether `also` can be read.
    fn wait(&self, also: Option<BorrowedFd<'_>>, limit: Duration) -> io::Result<bool> {
        let due = self.exchange.poll_timeout().map_or(limit, |due| due.since(self.now()).min(limit));
        let mut watched = Vec::new();
        for port in &self.ports {
            let Some(wire) = &port.wire else { continue };
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, wire.awaits_host() || self.exchange.room(port.modem, port.port) > 0);
            flags.set(PollFlags::OUT, !port.unread.is_empty());
            watched.push(PollFd::from_borrowed_fd(wire.fd(), flags));
        }
        let own = watched.len();
        watched.extend(also.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        let timeout =
            Timespec { tv_sec: due.as_secs().min(3_600).cast_signed(), tv_nsec: i64::from(due.subsec_nanos()) };
        match poll(&mut watched, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(watched.get(own).is_some_and(|fd| !fd.revents().is_empty()))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for port in self.ports.iter().filter(|port| matches!(port.wire, Some(Wire::Pty(_)))) {
            let _ = std::fs::remove_file(&port.link);
        }
    }
}

impl Port {
    fn open(&mut self) -> io::Result<()> {
        self.wire = Some(match &self.address {
            None => Wire::Pty(open_linked(&self.link)?),
            Some(address) => {
                let opened = Socket::listen(address);
                let socket = opened.map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))?;
                self.address = Some(socket.address().clone());
                Wire::Socket(socket)
            }
        });
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let Some(wire) = &mut self.wire else { return Ok(()) };
        while !self.unread.is_empty() {
            let count = wire.write(self.unread.as_slices().0)?;
            self.unread.drain(..count);
            if count == 0 {
                break;
            }
        }
        Ok(())
    }
}

fn explain(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Opens a terminal and makes the link to it, in place of one that an earlier run left.
fn open_linked(link: &Path) -> io::Result<Pty> {
    let pty = Pty::open()?;
    if link.is_symlink() {
        std::fs::remove_file(link).map_err(|error| explain(link, &error))?;
    }
    symlink(pty.path(), link).map_err(|error| explain(link, &error))?;
    Ok(pty)
}
