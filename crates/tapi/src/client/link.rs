//! One connection's bookkeeping, without input or output: bytes in, bytes out, replies and events between.

use super::ClientError;
use crate::wire::{self, Hello, Lines, RpcError, ServerLine};
use crate::{Delivered, ErrorCode, Method, RequestId, reply};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Most events that wait to be taken, several times as many as the server keeps for a replay unless it is told to keep
/// more. A client that leaves more is disconnected by itself.
pub const MAX_WAITING_EVENTS: usize = 65_536;

/// A line of the server's may be longer than one of a client's: a snapshot of a large server is one line.
const MAX_SERVER_LINE: usize = 1 << 28;

type Answer = Result<Box<RawValue>, RpcError>;

/// What waits to be taken by the application.
#[derive(Debug)]
enum Item {
    Event(Box<Delivered>),
    Gap { seen: u64, prev: u64 },
}

/// A line on its way out.
#[derive(Debug)]
struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
    descriptor: Option<OwnedFd>,
}

/// A request whose answer nobody took yet.
#[derive(Debug)]
struct Asked {
    method: &'static str,
    answer: Option<Answer>,
}

/// The state of a client that does not depend on how it waits.
#[derive(Debug)]
pub(super) struct Link {
    path: PathBuf,
    lines: Lines,
    outgoing: VecDeque<Outgoing>,
    hello: Option<Hello>,
    /// Of the connection before, until there is a new one.
    earlier_hello: Option<Hello>,
    last_id: u64,
    /// Requests without an answer, and answers that were not taken.
    asked: BTreeMap<RequestId, Asked>,
    items: VecDeque<Item>,
    session: Session,
}

/// What replies say of the session, noted when they arrive and before the events behind them.
#[derive(Debug, Default)]
struct Session {
    /// The last event that came.
    seen: u64,
    token: Option<String>,
}

impl Session {
    fn note(&mut self, method: &str, result: &RawValue) -> Result<(), serde_json::Error> {
        #[derive(Deserialize)]
        struct At {
            seq: u64,
        }
        match method {
            "client.open" => {
                let opened: reply::Opened = serde_json::from_str(result.get())?;
                *self = Session { seen: opened.seq, token: Some(opened.token) };
            }
            "client.resume" => {
                self.token = Some(serde_json::from_str::<reply::Opened>(result.get())?.token);
            }
            "client.close" => self.token = None,
            "state.get" => self.seen = self.seen.max(serde_json::from_str::<At>(result.get())?.seq),
            _ => {}
        }
        Ok(())
    }
}

impl Link {
    pub(super) fn new(path: &Path) -> Link {
        Link {
            path: path.to_owned(),
            lines: Lines::with_max(MAX_SERVER_LINE),
            outgoing: VecDeque::new(),
            hello: None,
            earlier_hello: None,
            last_id: 0,
            asked: BTreeMap::new(),
            items: VecDeque::new(),
            session: Session::default(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The latest greeting.
    pub(super) fn hello(&self) -> Option<&Hello> {
        self.hello.as_ref().or(self.earlier_hello.as_ref())
    }

    /// Whether this connection had its greeting.
    pub(super) fn is_greeted(&self) -> bool {
        self.hello.is_some()
    }

    pub(super) fn seen(&self) -> u64 {
        self.session.seen
    }

    pub(super) fn token(&self) -> Option<&str> {
        self.session.token.as_deref()
    }

    /// A new connection takes the place of the old one: events that came stay, requests under way are forgotten.
    pub(super) fn reconnected(&mut self) {
        self.lines = Lines::with_max(MAX_SERVER_LINE);
        self.outgoing.clear();
        self.asked.clear();
        self.earlier_hello = self.hello.take().or(self.earlier_hello.take());
    }

    /// What waits is older than a snapshot that must be taken anyway.
    pub(super) fn forget_events(&mut self, seen: u64) {
        self.items.clear();
        self.session.seen = seen;
    }

    /// Queues a request.
    pub(super) fn ask<M: Method>(&mut self, request: &M, descriptor: Option<OwnedFd>) -> RequestId {
        self.last_id += 1;
        let id = RequestId(self.last_id);
        let mut bytes = Vec::new();
        wire::encode_request(&mut bytes, id, request);
        self.outgoing.push_back(Outgoing { bytes, sent: 0, descriptor });
        self.asked.insert(id, Asked { method: M::NAME, answer: None });
        id
    }

    /// Nobody waits for this answer any more.
    pub(super) fn forget(&mut self, id: RequestId) {
        self.asked.remove(&id);
    }

    pub(super) fn wants_to_write(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Writes as much as the socket takes; a descriptor goes with the first byte of its line.
    ///
    /// # Errors
    /// The socket's own, `WouldBlock` among them.
    pub(super) fn write(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        while let Some(line) = self.outgoing.front_mut() {
            let rest = line.bytes.get(line.sent..).unwrap_or_default();
            let count = match &line.descriptor {
                Some(descriptor) if line.sent == 0 => send_with_descriptor(socket, rest, descriptor.as_fd())?,
                _ => rustix::net::send(socket, rest, rustix::net::SendFlags::NOSIGNAL)?,
            };
            line.sent += count;
            if line.sent >= line.bytes.len() {
                self.outgoing.pop_front();
            }
        }
        Ok(())
    }

    /// Takes what was read.
    ///
    /// # Errors
    /// [`ClientError::Protocol`] and [`ClientError::Overrun`]: the connection is of no use any more.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        self.lines.push(bytes);
        loop {
            let line = match self.lines.next_line() {
                None => return Ok(()),
                Some(Ok(line)) => wire::decode_server_line(line).map_err(|error| error.to_string()),
                Some(Err(error)) => Err(error.to_string()),
            };
            let line = line.map_err(|what| ClientError::Protocol { path: self.path.clone(), what })?;
            self.take(line)?;
        }
    }

    fn take(&mut self, line: ServerLine) -> Result<(), ClientError> {
        match line {
            ServerLine::Hello(hello) => self.hello = Some(hello),
            ServerLine::Response { id: Some(id), result } => {
                let Some(asked) = self.asked.get_mut(&id) else { return Ok(()) };
                let method = asked.method;
                let noted = result.as_ref().map_or(Ok(()), |result| self.session.note(method, result));
                asked.answer = Some(result);
                return noted.map_err(|error| self.bad_reply(method, &error));
            }
            ServerLine::Response { id: None, result } => {
                // A server that turns us away at the door says why, and has no request to answer.
                if let Some(refusal) = result.as_ref().err().and_then(RpcError::refusal) {
                    return Err(ClientError::Refused(refusal));
                }
                let what = result.map_or_else(|error| error.to_string(), |_| "an answer without an id".to_owned());
                return Err(ClientError::Protocol { path: self.path.clone(), what });
            }
            ServerLine::Event(event) => return self.event(event),
            ServerLine::Other { .. } => {}
        }
        Ok(())
    }

    fn event(&mut self, delivered: Box<Delivered>) -> Result<(), ClientError> {
        if delivered.event.seq <= self.session.seen {
            return Ok(());
        }
        if self.items.len() >= MAX_WAITING_EVENTS {
            return Err(ClientError::Overrun);
        }
        if delivered.prev > self.session.seen {
            self.items.push_back(Item::Gap { seen: self.session.seen, prev: delivered.prev });
        }
        self.session.seen = delivered.event.seq;
        self.items.push_back(Item::Event(delivered));
        Ok(())
    }

    /// The next event, or the news of a gap before it.
    pub(super) fn next_event(&mut self) -> Option<Result<Delivered, ClientError>> {
        Some(match self.items.pop_front()? {
            Item::Event(event) => Ok(*event),
            Item::Gap { seen, prev } => Err(ClientError::Gap { seen, prev }),
        })
    }

    /// The answer to a request, once it came.
    pub(super) fn answer<M: Method>(&mut self, id: RequestId) -> Option<Result<M::Reply, ClientError>> {
        self.asked.get(&id)?.answer.as_ref()?;
        let answer = self.asked.remove(&id)?.answer?;
        Some(match answer {
            Ok(result) => serde_json::from_str(result.get()).map_err(|error| self.bad_reply(M::NAME, &error)),
            Err(error) => Err(match error.refusal() {
                Some(error) => ClientError::Refused(error),
                None => {
                    let RpcError { code, message, .. } = error;
                    ClientError::NotUnderstood { path: self.path.clone(), method: M::NAME, code, message }
                }
            }),
        })
    }

    fn bad_reply(&self, method: &str, error: &serde_json::Error) -> ClientError {
        ClientError::Protocol { path: self.path.clone(), what: format!("reply to {method}: {error}") }
    }

    /// What became of `client.resume`: the event to ask again from when the ones after `since` are not kept any more.
    pub(super) fn resume_refused(&mut self, error: ClientError) -> Result<u64, ClientError> {
        match error {
            ClientError::Refused(error) if error.code == ErrorCode::InvalAppHandle => {
                self.session.token = None;
                Err(ClientError::SessionGone(error))
            }
            ClientError::Refused(_) => Ok(self.hello.as_ref().map_or(self.session.seen, |hello| hello.seq)),
            other => Err(other),
        }
    }
}

/// The whole line if the socket has room, else its beginning: the descriptor goes with its first byte.
fn send_with_descriptor(socket: BorrowedFd<'_>, bytes: &[u8], descriptor: BorrowedFd<'_>) -> io::Result<usize> {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    if !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("no room for the descriptor"));
    }
    Ok(sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL)?)
}
