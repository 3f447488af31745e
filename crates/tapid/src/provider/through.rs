//! A call in passthrough: what the modem says goes to the application's socket as it is, and back. Both ways are bounded: an
//! application that does not read is cut off, and one that writes faster than the modem takes it waits.

use crate::sys;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;
use tapi::DisconnectMode;
use tokio::io::unix::AsyncFd;
use tspi::{Action, CallRef, Command, CommandId, Event, Report, Taken};

/// Bytes of the modem that may wait for the application: at 115200 bit/s those of 22 s.
const MOST_UNREAD: usize = 256 << 10;

/// With more bytes than these waiting for the modem, the application's are left in its socket.
const MOST_UNWRITTEN: usize = 8 << 10;

/// How soon it is looked again whether the modem took them.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The shell's own commands, whose replies are its own too.
const OWN: CommandId = CommandId(u64::MAX - 1);

/// Sockets that wait for their calls: there are no more than commands on the way.
const MOST_EXPECTED: usize = 64;

/// Whether somebody else must know of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Nobody must.
    Ours,
    /// The server must.
    Servers,
}

/// The calls in passthrough of one provider.
#[derive(Debug, Default)]
pub struct Through {
    /// Sockets by the commands that make their calls.
    expected: BTreeMap<CommandId, OwnedFd>,
    call: Option<Open>,
}

#[derive(Debug)]
struct Open {
    call: CallRef,
    socket: AsyncFd<OwnedFd>,
    unread: VecDeque<u8>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Bytes cross.
    Open,
    /// The application closed its end, or does not read: the call is to be ended.
    Over,
    /// It is being ended.
    Ending,
}

impl Through {
    /// The call that this command makes is this socket's.
    pub fn expect(&mut self, id: CommandId, socket: OwnedFd) {
        if self.expected.len() < MOST_EXPECTED {
            self.expected.insert(id, socket);
        }
    }

    /// Follows what the provider says.
    pub fn event(&mut self, event: &Event) -> Whose {
        match event {
            Event::Reply { id: OWN, .. } => return Whose::Ours,
            Event::Reply { id, result } => {
                if let (Some(socket), Ok(Taken::Call(call))) = (self.expected.remove(id), result) {
                    self.open(*call, socket);
                }
            }
            Event::Call { call, report: Report::Released { .. } } => {
                self.call.take_if(|open| open.call == *call);
            }
            _ => {}
        }
        Whose::Servers
    }

    /// Whether there is a call.
    pub fn is_open(&self) -> bool {
        self.call.is_some()
    }

    fn open(&mut self, call: CallRef, socket: OwnedFd) {
        match watched(socket) {
            Ok(socket) => self.call = Some(Open { call, socket, unread: VecDeque::new(), state: State::Open }),
            Err(error) => tracing::error!(%error, "the socket of a call in passthrough cannot be used"),
        }
    }

    /// Bytes of the modem for the application.
    pub fn write(&mut self, call: CallRef, bytes: &[u8]) {
        let Some(open) = self.call.as_mut().filter(|open| open.call == call && open.state == State::Open) else {
            return;
        };
        open.unread.extend(bytes);
        if open.flush().is_err() || open.unread.len() > MOST_UNREAD {
            tracing::warn!("the application of a call in passthrough does not read: the call is ended");
            open.state = State::Over;
        }
    }

    /// Waits for what the application says; `unwritten` bytes still wait for the modem. None: it is done. Nothing is lost
    /// when this is given up half-way.
    pub async fn next(&mut self, unwritten: usize) -> Option<(CallRef, Vec<u8>)> {
        let Some(open) = self.call.as_mut().filter(|open| open.state != State::Ending) else {
            return std::future::pending().await;
        };
        if open.state == State::Over {
            return None;
        }
        if unwritten > MOST_UNWRITTEN {
            tokio::time::sleep(LOOK_AGAIN).await;
            return Some((open.call, Vec::new()));
        }
        loop {
            let wants = if open.unread.is_empty() {
                tokio::io::Interest::READABLE
            } else {
                tokio::io::Interest::READABLE | tokio::io::Interest::WRITABLE
            };
            let Ok(mut guard) = open.socket.ready(wants).await else { return None };
            if guard.ready().is_writable() && !open.unread.is_empty() {
                match flush(guard.get_inner(), &mut open.unread) {
                    Ok(Flushed::All) => {}
                    Ok(Flushed::Full) => guard.clear_ready_matching(tokio::io::Ready::WRITABLE),
                    Err(_) => return None,
                }
            }
            if guard.ready().is_readable() {
                let mut bytes = vec![0; 4_096];
                match recv(guard.get_inner().as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT) {
                    Ok(0) => return None,
                    Ok(count) => {
                        bytes.truncate(count);
                        return Some((open.call, bytes));
                    }
                    Err(Errno::EAGAIN) => guard.clear_ready_matching(tokio::io::Ready::READABLE),
                    Err(Errno::EINTR) => {}
                    Err(_) => return None,
                }
            }
        }
    }

    /// The application is done: what ends the call.
    pub fn end(&mut self) -> Option<Command> {
        let open = self.call.as_mut()?;
        open.state = State::Ending;
        Some(Command { id: OWN, action: Action::Drop { call: open.call, reason: Some(DisconnectMode::Normal) } })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flushed {
    All,
    Full,
}

impl Open {
    fn flush(&mut self) -> io::Result<Flushed> {
        flush(self.socket.get_ref(), &mut self.unread)
    }
}

fn flush(socket: &OwnedFd, unread: &mut VecDeque<u8>) -> io::Result<Flushed> {
    while !unread.is_empty() {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        match send(socket.as_raw_fd(), unread.as_slices().0, flags) {
            Ok(count) => drop(unread.drain(..count)),
            Err(Errno::EAGAIN) => return Ok(Flushed::Full),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Flushed::All)
}

fn watched(socket: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    rustix::io::ioctl_fionbio(&socket, true)?;
    sys::watched(socket)
}
