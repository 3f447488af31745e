//! Applications: their connections, their sessions, and what becomes of either.

use crate::pending::Asker;
use crate::rights::Grant;
use crate::server::{Life, Timer};
use crate::{ClientId, Output, Peer, Server};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tapi::request::{ClientOpen, ClientResume};
use tapi::{CallId, Error, ErrorCode, Event, LineId, OperationId, Reply, RequestId, SessionId, Time, reply, wire};
use tspi::CommandId;

/// Longest that a session outlives its connection.
const MAX_LINGER_MS: u64 = 60_000;

/// How long a session outlives a connection that it did not close itself: a cut, or a restart of the server.
const CUT_LINGER_MS: u64 = 10_000;

/// Sessions at one time.
const MAX_SESSIONS: usize = 4_096;

/// Longest name of an application, in bytes.
const MAX_APP: usize = 256;

/// A connection.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Client {
    pub(crate) peer: Peer,
    /// What an authority of the shell's allowed it, beside the rules.
    #[serde(default)]
    pub(crate) granted: Vec<Grant>,
    pub(crate) session: Option<SessionId>,
    /// Requests whose answer depends on a provider.
    pub(crate) outstanding: BTreeSet<RequestId>,
}

/// An application's registration.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Session {
    /// Who it belongs to.
    pub(crate) peer: Peer,
    /// What an authority of the shell's allowed it, beside the rules.
    #[serde(default)]
    pub(crate) granted: Vec<Grant>,
    pub(crate) app: String,
    pub(crate) token: String,
    pub(crate) linger_ms: u64,
    pub(crate) client: Option<ClientId>,
    /// The last event it was told.
    pub(crate) last_seq: u64,
    /// Lines it opened.
    pub(crate) lines: BTreeSet<LineId>,
    /// Calls it has a handle on.
    #[serde(default)]
    pub(crate) calls: BTreeSet<CallId>,
    /// Operations it began.
    #[serde(default)]
    pub(crate) operations: BTreeSet<OperationId>,
    /// Its requests that wait for a provider.
    #[serde(default)]
    pub(crate) commands: BTreeSet<CommandId>,
    /// When it dies, while it has no connection.
    pub(crate) lingers_until: Option<Time>,
}

/// An event that can be sent again.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) event: Arc<Event>,
    pub(crate) audience: Vec<SessionId>,
}

impl Server {
    pub(crate) fn client_connected(&mut self, client: ClientId, peer: Peer) {
        self.clients.insert(client, Client { peer, granted: Vec::new(), session: None, outstanding: BTreeSet::new() });
    }

    pub(crate) fn client_gone(&mut self, now: Time, client: ClientId, overrun: bool) {
        let Some(session) = self.clients.remove(&client).and_then(|gone| gone.session) else { return };
        let Some(lonely) = self.sessions.get_mut(&session) else { return };
        lonely.client = None;
        let linger = if overrun { lonely.linger_ms.max(CUT_LINGER_MS) } else { lonely.linger_ms };
        if linger == 0 {
            self.end_session(now, session);
        } else {
            self.linger(now, session, linger);
        }
    }

    fn linger(&mut self, now: Time, session: SessionId, millis: u64) {
        let until = now + Duration::from_millis(millis);
        if let Some(lonely) = self.sessions.get_mut(&session) {
            if let Some(before) = lonely.lingers_until.replace(until) {
                self.timers.remove(&(before, Timer::Linger(session)));
            }
            self.timers.insert((until, Timer::Linger(session)));
        }
    }

    /// All connections are gone with the process that held them; their sessions wait to be taken up again.
    pub(crate) fn restored(&mut self, now: Time) {
        self.clients.clear();
        for asker in self.pending.values_mut().filter_map(|pending| pending.asker.as_mut()) {
            asker.client = None;
        }
        let sessions: Vec<(SessionId, u64)> =
            self.sessions.iter().map(|(id, session)| (*id, session.linger_ms.max(CUT_LINGER_MS))).collect();
        for (session, millis) in sessions {
            if let Some(lonely) = self.sessions.get_mut(&session) {
                lonely.client = None;
            }
            self.linger(now, session, millis);
        }
    }

    pub(crate) fn linger_over(&mut self, now: Time, session: SessionId) {
        let lonely = self.sessions.get(&session).is_some_and(|session| session.client.is_none());
        if lonely {
            self.end_session(now, session);
        }
    }

    pub(crate) fn client_open(&mut self, client: ClientId, open: ClientOpen) -> Result<Reply, Error> {
        self.unregistered(client)?;
        if let Some((major, minor)) = open.api
            && major != wire::API_VERSION.0
        {
            let (ours, our_minor) = wire::API_VERSION;
            let why = format!("version {major}.{minor} was asked for, and this server speaks {ours}.{our_minor}");
            return Err(ErrorCode::IncompatibleApiVersion.because(why));
        }
        if open.app.len() > MAX_APP {
            return Err(ErrorCode::InvalParam.because(format!("app is longer than {MAX_APP} bytes")));
        }
        if self.sessions.len() >= MAX_SESSIONS {
            return Err(ErrorCode::NoMem.because(format!("there are {MAX_SESSIONS} sessions already")));
        }
        let id = SessionId(self.fresh_id());
        let token = self.random.token(26);
        self.tokens.insert(token.clone(), id);
        let known = self.clients.get(&client).map(|client| (client.peer.clone(), client.granted.clone()));
        let (peer, granted) = known.ok_or_else(|| ErrorCode::InvalAppHandle.because("this connection is not known"))?;
        let session = Session {
            peer,
            granted,
            app: open.app,
            token: token.clone(),
            linger_ms: open.linger_ms.min(MAX_LINGER_MS),
            client: Some(client),
            last_seq: 0,
            lines: BTreeSet::new(),
            calls: BTreeSet::new(),
            operations: BTreeSet::new(),
            commands: BTreeSet::new(),
            lingers_until: None,
        };
        self.sessions.insert(id, session);
        if let Some(client) = self.clients.get_mut(&client) {
            client.session = Some(id);
        }
        Ok(self.opened(id, token))
    }

    fn opened(&self, session: SessionId, token: String) -> Reply {
        Reply::Opened(reply::Opened { session, token, generation: self.config.generation, seq: self.seq })
    }

    fn unregistered(&self, client: ClientId) -> Result<(), Error> {
        match self.clients.get(&client).and_then(|client| client.session) {
            Some(_) => Err(ErrorCode::InUse.because("this connection has a session already")),
            None => Ok(()),
        }
    }

    /// Takes up a session. When the events after `since` are not kept any more the session is taken up all the same,
    /// and the error tells that the client needs a snapshot.
    pub(crate) fn client_resume(&mut self, client: ClientId, resume: ClientResume) -> Result<Reply, Error> {
        let Some(id) = self.tokens.get(&resume.token).copied() else {
            return Err(ErrorCode::InvalAppHandle.because("there is no session of this token"));
        };
        let already = self.clients.get(&client).and_then(|client| client.session);
        if already.is_some() && already != Some(id) {
            self.unregistered(client)?;
        }
        if resume.since > self.seq {
            let why = format!("event {} is still to come: the last one is {}", resume.since, self.seq);
            return Err(ErrorCode::InvalParam.because(why));
        }
        self.attach(client, id);
        let (oldest, last) = (self.oldest_kept(), self.sessions.get(&id).map_or(0, |session| session.last_seq));
        if resume.since.saturating_add(1) < oldest && last > resume.since {
            let missing = resume.since + 1;
            let why = format!("event {missing} is no longer kept; take a snapshot (oldest: {oldest})");
            return Err(ErrorCode::ResourceUnavail.because(why));
        }
        self.replay(id, resume.since);
        Ok(self.opened(id, resume.token))
    }

    fn attach(&mut self, client: ClientId, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if let Some(until) = session.lingers_until.take() {
            self.timers.remove(&(until, Timer::Linger(id)));
        }
        let before = session.client.replace(client);
        if let Some(now) = self.clients.get_mut(&client) {
            now.session = Some(id);
            session.granted.clone_from(&now.granted);
        }
        if let Some(before) = before.filter(|before| *before != client) {
            if let Some(old) = self.clients.get_mut(&before) {
                old.session = None;
            }
            let reason = "the session was taken up on another connection".to_owned();
            self.output(Output::CloseClient { client: before, reason });
        }
    }

    /// `client.close`: its requests under way are answered, then it is as if the application had died.
    pub(crate) fn client_close(&mut self, now: Time, asker: Asker) -> Result<Reply, Error> {
        let commands = self.sessions.get(&asker.session).map(|session| session.commands.clone()).unwrap_or_default();
        for command in commands {
            if let Some(cancelled) = self.orphan_command(command) {
                let error = ErrorCode::OperationFailed.because("the session was closed");
                self.answer(cancelled, Err(error));
            }
        }
        self.end_session(now, asker.session);
        Ok(Reply::Done(reply::Done {}))
    }

    /// The application is no more: its rights end, calls that it alone owned are dropped, what it began is stopped.
    pub(crate) fn end_session(&mut self, now: Time, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let (commands, lines) = (std::mem::take(&mut session.commands), session.lines.clone());
        for command in commands {
            if let Some(pending) = self.pending.get_mut(&command) {
                pending.asker = None;
            }
        }
        for line in lines {
            self.close_line_of(now, id, line);
        }
        // A line closed before its calls were over leaves none behind; be sure.
        let calls: Vec<CallId> = self.sessions.get(&id).into_iter().flat_map(|session| session.calls.clone()).collect();
        for call in calls {
            self.abandon(now, id, call);
        }
        let operations: Vec<OperationId> =
            self.sessions.get(&id).into_iter().flat_map(|session| session.operations.clone()).collect();
        for operation in operations {
            self.forget_operation(operation);
        }
        let Some(session) = self.sessions.remove(&id) else { return };
        self.tokens.remove(&session.token);
        if let Some(until) = session.lingers_until {
            self.timers.remove(&(until, Timer::Linger(id)));
        }
        if let Some(client) = session.client.and_then(|client| self.clients.get_mut(&client)) {
            client.session = None;
        }
    }

    /// The session of a connection, for everything but `client.open` and `client.resume`.
    pub(crate) fn registered(&self, client: ClientId) -> Result<SessionId, Error> {
        self.running()?;
        let session = self.clients.get(&client).and_then(|client| client.session);
        session.ok_or_else(|| ErrorCode::InvalAppHandle.because("client.open comes first"))
    }

    pub(crate) fn running(&self) -> Result<(), Error> {
        match self.life {
            Life::Running => Ok(()),
            Life::Stopping => Err(ErrorCode::ServiceNotRunning.because("the server is stopping")),
        }
    }
}
