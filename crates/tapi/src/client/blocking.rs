//! A client that waits.
//!
//! ```no_run
//! use tapi::client::blocking::Client;
//! use tapi::request::{ClientOpen, LineList};
//!
//! let mut client = Client::connect(tapi::wire::DEFAULT_SOCKET)?;
//! client.call(ClientOpen { app: "example".into(), ..ClientOpen::default() })?;
//! for line in client.call(LineList {})?.lines {
//!     println!("{}", line.name);
//! }
//! # Ok::<(), tapi::client::ClientError>(())
//! ```

use super::link::Link;
use super::{ClientError, Resumed};
use crate::request::ClientResume;
use crate::wire::Hello;
use crate::{Delivered, Method, RequestId};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long an answer is waited for, unless it is set otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A connection to the daemon, and the session on it.
#[derive(Debug)]
pub struct Client {
    link: Link,
    stream: UnixStream,
    wake: Option<OwnedFd>,
    timeout: Duration,
}

/// A request that was sent and whose answer is to come.
#[derive(Debug)]
#[must_use = "the answer is taken with `Client::reply`"]
pub struct Pending<M> {
    id: RequestId,
    method: std::marker::PhantomData<fn() -> M>,
}

impl Client {
    /// Connects, and reads the greeting.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`], [`ClientError::Timeout`] without a greeting, [`ClientError::Protocol`].
    pub fn connect(path: impl AsRef<Path>) -> Result<Client, ClientError> {
        Client::connect_within(path, DEFAULT_TIMEOUT)
    }

    /// The same, and waits at most `timeout` for the greeting and for every answer.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub fn connect_within(path: impl AsRef<Path>, timeout: Duration) -> Result<Client, ClientError> {
        let path = path.as_ref();
        let stream = open(path)?;
        let mut client = Client { link: Link::new(path), stream, wake: None, timeout };
        client.greeting()?;
        Ok(client)
    }

    /// Ends every wait with [`ClientError::Interrupted`] while this descriptor is readable (a signal's, a timer's).
    pub fn wake_on(&mut self, descriptor: OwnedFd) {
        self.wake = Some(descriptor);
    }

    /// The greeting of this connection; of the one before while a `resume` did not get so far.
    pub fn hello(&self) -> &Hello {
        self.link.hello().expect("a client is made only with its greeting, and keeps the latest")
    }

    /// The last event that came: what `client.resume` goes on from.
    pub fn seen(&self) -> u64 {
        self.link.seen()
    }

    /// Asks, and waits for the answer. Events that come first wait for [`Client::next_event`].
    ///
    /// # Errors
    /// [`ClientError::Refused`] when the server refuses; [`ClientError::Timeout`], [`ClientError::Lost`],
    /// [`ClientError::Interrupted`] when no answer came.
    pub fn call<M: Method>(&mut self, request: M) -> Result<M::Reply, ClientError> {
        let pending = self.submit(request)?;
        self.reply(pending)
    }

    /// The same with a file for the server: the request names it (`"descriptor"`).
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn call_with_descriptor<M: Method>(&mut self, request: M, file: OwnedFd) -> Result<M::Reply, ClientError> {
        let id = self.link.ask(&request, Some(file));
        self.flush()?;
        self.reply(Pending::<M> { id, method: std::marker::PhantomData })
    }

    /// Asks without waiting, so that several requests are under way.
    ///
    /// # Errors
    /// [`ClientError::Lost`]
    pub fn submit<M: Method>(&mut self, request: M) -> Result<Pending<M>, ClientError> {
        let id = self.link.ask(&request, None);
        self.flush()?;
        Ok(Pending { id, method: std::marker::PhantomData })
    }

    /// Waits for the answer to a request that was submitted.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn reply<M: Method>(&mut self, pending: Pending<M>) -> Result<M::Reply, ClientError> {
        let deadline = after(self.timeout);
        loop {
            if let Some(answer) = self.link.answer::<M>(pending.id) {
                return answer;
            }
            match self.wait(deadline) {
                Ok(true) => {}
                Ok(false) => {
                    self.link.forget(pending.id);
                    return Err(self.timed_out(M::NAME));
                }
                Err(error) => {
                    self.link.forget(pending.id);
                    return Err(error);
                }
            }
        }
    }

    /// The next event; nothing when none came in `timeout`. Without a timeout it waits for as long as it takes, with a
    /// timeout of zero it takes what is there.
    ///
    /// # Errors
    /// [`ClientError::Gap`], once, before the event after a gap; [`ClientError::Lost`]; [`ClientError::Interrupted`].
    pub fn next_event(&mut self, timeout: Option<Duration>) -> Result<Option<Delivered>, ClientError> {
        let deadline = timeout.and_then(after);
        loop {
            if let Some(event) = self.link.next_event() {
                return event.map(Some);
            }
            if !self.wait(deadline)? {
                return Ok(None);
            }
        }
    }

    /// Connects again and takes up the session where it stood. Requests that were under way have no answer.
    ///
    /// # Errors
    /// [`ClientError::NoSession`]; [`ClientError::SessionGone`]: open a new one; those of [`Client::connect`].
    pub fn resume(&mut self) -> Result<Resumed, ClientError> {
        let token = self.link.token().ok_or(ClientError::NoSession)?.to_owned();
        self.stream = open(self.link.path())?;
        self.link.reconnected();
        self.greeting()?;
        match self.call(ClientResume { token: token.clone(), since: self.link.seen() }) {
            Ok(_) => Ok(Resumed::Continued),
            Err(error) => {
                let since = self.link.resume_refused(error)?;
                self.link.forget_events(since);
                self.call(ClientResume { token, since })?;
                Ok(Resumed::SnapshotNeeded)
            }
        }
    }

    /// The same, tried again with growing pauses (20 ms to 1 s) for as long as the daemon is being restarted.
    ///
    /// # Errors
    /// As [`Client::resume`], at the latest after `limit`.
    pub fn resume_within(&mut self, limit: Duration) -> Result<Resumed, ClientError> {
        let deadline = after(limit);
        let mut pause = FIRST_PAUSE;
        loop {
            match self.resume() {
                Err(error) if error.is_disconnect() && left(deadline) != Some(Duration::ZERO) => {
                    self.sleep(left(deadline).map_or(pause, |left| pause.min(left)))?;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                other => return other,
            }
        }
    }

    fn greeting(&mut self) -> Result<(), ClientError> {
        let deadline = after(self.timeout);
        while !self.link.is_greeted() {
            if !self.wait(deadline)? {
                return Err(self.timed_out("hello"));
            }
        }
        Ok(())
    }

    /// Writes what waits to be written, and reads meanwhile: a server that waits for us must not wait for ever.
    fn flush(&mut self) -> Result<(), ClientError> {
        let deadline = after(self.timeout);
        loop {
            match self.link.write(self.stream.as_fd()) {
                Ok(()) => return Ok(()),
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(self.lost_while_writing(&error)),
            }
            if !self.wait(deadline)? {
                return Err(self.timed_out("a request"));
            }
        }
    }

    /// Waits until something was read (or can be written, where that is wanted); `false` when the deadline passed.
    fn wait(&mut self, deadline: Option<Instant>) -> Result<bool, ClientError> {
        let mut interest = PollFlags::IN;
        interest.set(PollFlags::OUT, self.link.wants_to_write());
        let mut sources = vec![PollFd::new(&self.stream, interest)];
        sources.extend(self.wake.as_ref().map(|wake| PollFd::new(wake, PollFlags::IN)));
        let count = match poll(&mut sources, left(deadline).and_then(timespec).as_ref()) {
            Ok(count) => count,
            Err(rustix::io::Errno::INTR) => return Ok(true),
            Err(error) => return Err(self.lost(io::Error::from(error))),
        };
        if count == 0 {
            return Ok(false);
        }
        if sources.get(1).is_some_and(|wake| !wake.revents().is_empty()) {
            return Err(ClientError::Interrupted);
        }
        match sources.first().is_some_and(|stream| stream.revents() != PollFlags::OUT) {
            true => self.fill().map(|()| true),
            false => Ok(true),
        }
    }

    /// Reads what there is.
    fn fill(&mut self) -> Result<(), ClientError> {
        let mut piece = [0; 16_384];
        match self.stream.read(&mut piece) {
            Ok(0) => Err(self.lost("the daemon closed it")),
            Ok(count) => self.link.read(piece.get(..count).unwrap_or_default()),
            Err(error) if is_passing(&error) => Ok(()),
            Err(error) => Err(self.lost(error)),
        }
    }

    /// A daemon that closed the connection may have said why before.
    fn lost_while_writing(&mut self, error: &io::Error) -> ClientError {
        for _ in 0..64 {
            if let Err(error) = self.fill() {
                return error;
            }
        }
        self.lost(error)
    }

    fn sleep(&self, pause: Duration) -> Result<(), ClientError> {
        let mut sources: Vec<PollFd<'_>> =
            self.wake.as_ref().map(|wake| PollFd::new(wake, PollFlags::IN)).into_iter().collect();
        match poll(&mut sources, timespec(pause).as_ref()) {
            Ok(count) if count > 0 => Err(ClientError::Interrupted),
            _ => Ok(()),
        }
    }

    fn lost(&self, reason: impl ToString) -> ClientError {
        ClientError::Lost { path: self.link.path().to_owned(), reason: reason.to_string() }
    }

    fn timed_out(&self, what: &'static str) -> ClientError {
        ClientError::Timeout { path: self.link.path().to_owned(), what, after: self.timeout }
    }
}

fn open(path: &Path) -> Result<UnixStream, ClientError> {
    let unreachable = |source| ClientError::Unreachable { path: path.to_owned(), source };
    let stream = UnixStream::connect(path).map_err(unreachable)?;
    stream.set_nonblocking(true).map_err(unreachable)?;
    Ok(stream)
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[allow(clippy::disallowed_methods, reason = "this module waits: it is the shell of an application")]
fn now() -> Instant {
    Instant::now()
}

/// A deadline so far ahead that it cannot be told is none.
fn after(duration: Duration) -> Option<Instant> {
    now().checked_add(duration)
}

fn left(deadline: Option<Instant>) -> Option<Duration> {
    deadline.map(|deadline| deadline.saturating_duration_since(now()))
}

fn timespec(duration: Duration) -> Option<Timespec> {
    Timespec::try_from(duration).ok()
}
