//! A client for tokio. It has no task of its own: what arrives is read while a method of it is awaited.
//!
//! ```no_run
//! # async fn example() -> Result<(), tapi::client::ClientError> {
//! use tapi::client::tokio::Client;
//! use tapi::request::{ClientOpen, LineOpen};
//! use tapi::{LineSelector, Names, Privilege};
//!
//! let mut client = Client::connect(tapi::wire::DEFAULT_SOCKET).await?;
//! client.call(ClientOpen { app: "example".into(), ..ClientOpen::default() }).await?;
//! let line = LineSelector::Name("sip:trunk".into());
//! let privileges = Names::from([Privilege::Owner]);
//! client.call(LineOpen { line, privileges, media_modes: Names::new() }).await?;
//! loop {
//!     println!("{:?}", client.next_event().await?);
//! }
//! # }
//! ```

use super::link::Link;
use super::{ClientError, Resumed};
use crate::request::ClientResume;
use crate::wire::Hello;
use crate::{Delivered, Method, RequestId};
use ::tokio::io::Interest;
use ::tokio::net::UnixStream;
use ::tokio::time::{Instant, sleep_until, timeout_at};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

/// How long an answer is waited for, unless it is set otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A connection to the daemon, and the session on it. The runtime needs its input, output and time drivers.
#[derive(Debug)]
pub struct Client {
    link: Link,
    stream: UnixStream,
    timeout: Duration,
}

/// A request that was submitted and whose answer is to come.
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
    pub async fn connect(path: impl AsRef<Path>) -> Result<Client, ClientError> {
        Client::connect_within(path, DEFAULT_TIMEOUT).await
    }

    /// The same, and waits at most `timeout` for the greeting and for every answer.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn connect_within(path: impl AsRef<Path>, timeout: Duration) -> Result<Client, ClientError> {
        let path = path.as_ref();
        let stream = open(path).await?;
        let mut client = Client { link: Link::new(path), stream, timeout };
        client.greeting().await?;
        Ok(client)
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
    /// When this future is dropped the request is carried out all the same, and its answer is passed over.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when the server refuses; [`ClientError::Timeout`], [`ClientError::Lost`] when no
    /// answer came.
    pub async fn call<M: Method>(&mut self, request: M) -> Result<M::Reply, ClientError> {
        let pending = self.submit(request);
        self.reply(pending).await
    }

    /// The same with a file for the server: the request names it (`"descriptor"`).
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn call_with_descriptor<M: Method>(
        &mut self,
        request: M,
        file: OwnedFd,
    ) -> Result<M::Reply, ClientError> {
        let id = self.link.ask(&request, Some(file));
        self.reply(Pending::<M> { id, method: std::marker::PhantomData }).await
    }

    /// Queues a request, so that several are under way; it leaves while any method of this client is awaited.
    pub fn submit<M: Method>(&mut self, request: M) -> Pending<M> {
        Pending { id: self.link.ask(&request, None), method: std::marker::PhantomData }
    }

    /// Waits for the answer to a request that was submitted.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn reply<M: Method>(&mut self, pending: Pending<M>) -> Result<M::Reply, ClientError> {
        let deadline = after(self.timeout);
        loop {
            if let Some(answer) = self.link.answer::<M>(pending.id) {
                return answer;
            }
            match timeout_at(deadline, self.progress()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    self.link.forget(pending.id);
                    return Err(error);
                }
                Err(_) => {
                    self.link.forget(pending.id);
                    return Err(self.timed_out(M::NAME));
                }
            }
        }
    }

    /// The next event. It may be dropped at any time, in `select!` for instance, and nothing is lost.
    ///
    /// # Errors
    /// [`ClientError::Gap`], once, before the event after a gap; [`ClientError::Lost`].
    pub async fn next_event(&mut self) -> Result<Delivered, ClientError> {
        loop {
            if let Some(event) = self.link.next_event() {
                return event;
            }
            self.progress().await?;
        }
    }

    /// Connects again and takes up the session where it stood. Requests that were under way have no answer.
    ///
    /// # Errors
    /// [`ClientError::NoSession`]; [`ClientError::SessionGone`]: open a new one; those of [`Client::connect`].
    pub async fn resume(&mut self) -> Result<Resumed, ClientError> {
        let token = self.link.token().ok_or(ClientError::NoSession)?.to_owned();
        self.stream = open(self.link.path()).await?;
        self.link.reconnected();
        self.greeting().await?;
        match self.call(ClientResume { token: token.clone(), since: self.link.seen() }).await {
            Ok(_) => Ok(Resumed::Continued),
            Err(error) => {
                let since = self.link.resume_refused(error)?;
                self.link.forget_events(since);
                self.call(ClientResume { token, since }).await?;
                Ok(Resumed::SnapshotNeeded)
            }
        }
    }

    /// The same, tried again with growing pauses (20 ms to 1 s) for as long as the daemon is being restarted.
    ///
    /// # Errors
    /// As [`Client::resume`], at the latest after `limit`.
    pub async fn resume_within(&mut self, limit: Duration) -> Result<Resumed, ClientError> {
        let deadline = after(limit);
        let mut pause = FIRST_PAUSE;
        loop {
            match self.resume().await {
                Err(error) if error.is_disconnect() && after(Duration::ZERO) < deadline => {
                    sleep_until(after(pause).min(deadline)).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                other => return other,
            }
        }
    }

    async fn greeting(&mut self) -> Result<(), ClientError> {
        let deadline = after(self.timeout);
        while !self.link.is_greeted() {
            match timeout_at(deadline, self.progress()).await {
                Ok(done) => done?,
                Err(_) => return Err(self.timed_out("hello")),
            }
        }
        Ok(())
    }

    /// Waits until something was read or written. It may be dropped: bytes are taken without waiting in between.
    async fn progress(&mut self) -> Result<(), ClientError> {
        let interest = match self.link.wants_to_write() {
            true => Interest::READABLE | Interest::WRITABLE,
            false => Interest::READABLE,
        };
        let ready = self.stream.ready(interest).await.map_err(|error| self.lost(error))?;
        if ready.is_writable() && self.link.wants_to_write() {
            let (stream, link) = (&self.stream, &mut self.link);
            match stream.try_io(Interest::WRITABLE, || link.write(stream.as_fd())) {
                Err(error) if !is_passing(&error) && !ready.is_readable() => return Err(self.lost(error)),
                _ => {}
            }
        }
        if ready.is_readable() || ready.is_read_closed() { self.fill() } else { Ok(()) }
    }

    fn fill(&mut self) -> Result<(), ClientError> {
        let mut piece = [0; 16_384];
        match self.stream.try_read(&mut piece) {
            Ok(0) => Err(self.lost("the daemon closed it")),
            Ok(count) => self.link.read(piece.get(..count).unwrap_or_default()),
            Err(error) if is_passing(&error) => Ok(()),
            Err(error) => Err(self.lost(error)),
        }
    }

    fn lost(&self, reason: impl ToString) -> ClientError {
        ClientError::Lost { path: self.link.path().to_owned(), reason: reason.to_string() }
    }

    fn timed_out(&self, what: &'static str) -> ClientError {
        ClientError::Timeout { path: self.link.path().to_owned(), what, after: self.timeout }
    }
}

async fn open(path: &Path) -> Result<UnixStream, ClientError> {
    UnixStream::connect(path).await.map_err(|source| ClientError::Unreachable { path: path.to_owned(), source })
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Far ahead at most: tokio's deadlines end some thirty years from now.
fn after(duration: Duration) -> Instant {
    Instant::now() + duration.min(Duration::from_secs(86_400 * 365))
}
