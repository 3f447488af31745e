//! What a story does to the world, and what it looks at.

use super::{AnyProvider, App, Connection, Peer, Recording, Running, View, Way, Work, World};
use crate::exchange::Exchange;
use crate::net::Net;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tapi::request::{
    CallAnswer, CallDrop, CallMake, CallPlay, CallRecord, ClientOpen, ClientResume, LineOpen, LineSelector, StateGet,
};
use tapi::{
    AddressId, CallId, CallState, Error, EventBody, LineId, Names, OperationId, PlaySource, Privilege, RecordSink,
    Reply, Request, RequestId, Time, reply,
};
use tapi_core::{ClientId, Input, Peer as Credentials, ProviderId};
use tsp_modem::transcript::{Numbers, Recorder};
use tspi::media::DescriptorId;

/// The world's name for an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AppId(pub usize);

/// Tables in the state of providers that are empty when no call is left.
const TABLES: &[&str] = &["calls", "transactions", "clients", "servers", "dialogs", "streams", "operations"];

/// How long a story waits for a reply.
const PATIENCE: Duration = Duration::from_secs(40);

impl World {
    /// Connects an application that has not opened a session.
    pub fn connect(&mut self) -> AppId {
        let id = AppId(self.apps.len());
        let client = self.new_client(id);
        self.apps.push(App::new(client));
        id
    }

    fn new_client(&mut self, id: AppId) -> ClientId {
        let client = ClientId(self.next_client);
        self.next_client += 1;
        self.clients.insert(client, id);
        let peer = Credentials {
            uid: 1_000,
            gid: 1_000,
            groups: Vec::new(),
            pid: 100 + i32::try_from(id.0).unwrap_or_default(),
        };
        self.queues.push(Way::AppToServer(client), Work::Server(Input::ClientConnected { client, peer }));
        client
    }

    /// Connects an application with a session that outlives its connection for so long.
    pub fn open_app(&mut self, name: &str, linger_ms: u64) -> AppId {
        let id = self.connect();
        self.ask(id, Request::ClientOpen(ClientOpen { app: name.into(), api: None, linger_ms }))
            .unwrap_or_else(|error| self.broken(&format!("{name} cannot open a session: {error}")));
        id
    }

    /// The connection of an application is lost.
    pub fn disconnect(&mut self, id: AppId) {
        self.lose(id, false);
    }

    /// An application does not read and is cut off: its session lingers.
    pub fn overrun(&mut self, id: AppId) {
        self.lose(id, true);
    }

    fn lose(&mut self, id: AppId, overrun: bool) {
        let app = &mut self.apps[id.0];
        if app.connection == Connection::Up {
            app.connection = Connection::Left;
            let client = app.client;
            self.queues.forget(Way::ServerToApp(client));
            self.queues.push(Way::AppToServer(client), Work::Server(Input::ClientGone { client, overrun }));
        }
    }

    /// An application comes back with its token and the last event that it saw.
    ///
    /// # Errors
    /// The session is gone.
    pub fn resume(&mut self, id: AppId) -> Result<Reply, Error> {
        self.settle();
        self.reconnect(id);
        let app = &self.apps[id.0];
        let token = app.opened.as_ref().map(|opened| opened.token.clone()).unwrap_or_default();
        let since = app.last();
        self.ask(id, Request::ClientResume(ClientResume { token, since }))
    }

    /// An application has a new connection, and has not said who it is.
    pub fn reconnect(&mut self, id: AppId) {
        let client = self.new_client(id);
        let app = &mut self.apps[id.0];
        app.reconnected(client);
    }

    /// Sends a request, without waiting for its reply.
    pub fn send(&mut self, id: AppId, request: Request, descriptor: Option<DescriptorId>) -> RequestId {
        let app = &mut self.apps[id.0];
        let (client, request_id) = (app.client, app.ask(request.clone()));
        let input = Input::Request { client, id: request_id, request, descriptor };
        self.queues.push(Way::AppToServer(client), Work::Server(input));
        request_id
    }

    /// Sends a request and runs until it is answered.
    ///
    /// # Errors
    /// What the server answered.
    pub fn ask(&mut self, id: AppId, request: Request) -> Result<Reply, Error> {
        self.ask_with(id, request, None)
    }

    /// The same with a file.
    ///
    /// # Errors
    /// What the server answered.
    pub fn ask_with(&mut self, id: AppId, request: Request, file: Option<DescriptorId>) -> Result<Reply, Error> {
        let text = format!("{request:?}");
        let request = self.send(id, request, file);
        let answered = |world: &World| world.apps[id.0].replies.contains_key(&request);
        if !self.run_to(PATIENCE, answered) {
            self.broken(&format!("{id:?} got no answer to {text}"));
        }
        self.apps[id.0].replies.get(&request).cloned().unwrap_or_else(|| self.broken("the reply is gone"))
    }

    /// Waits until a line of this name is there and in service, and opens it as owner and monitor.
    pub fn open_line(&mut self, id: AppId, name: &str) -> LineId {
        let both = Names::from([Privilege::Owner, Privilege::Monitor]);
        self.open_line_as(id, name, both)
    }

    /// The same with these privileges.
    pub fn open_line_as(&mut self, id: AppId, name: &str, privileges: Names<Privilege>) -> LineId {
        self.await_line(id, name);
        let line = LineSelector::Name(name.into());
        match self.ask(id, Request::LineOpen(LineOpen { line, privileges, media_modes: Names::new() })) {
            Ok(Reply::LineOpened(opened)) => opened.line,
            other => self.broken(&format!("{name} cannot be opened: {other:?}")),
        }
    }

    /// Runs until a line of this name is in service.
    pub fn await_line(&mut self, id: AppId, name: &str) {
        let limit = self.now + PATIENCE;
        while self.now < limit {
            let snapshot = self.snapshot(id);
            if snapshot.lines.iter().any(|line| line.name == name && line.status.service.is_in()) {
                return;
            }
            self.run_for(Duration::from_millis(100));
        }
        let lines = self.snapshot(id).lines;
        self.broken(&format!("line {name} did not come into service: {lines:?}"));
    }

    /// Everything that an application may see; what it was told is compared with it.
    pub fn snapshot(&mut self, id: AppId) -> reply::Snapshot {
        match self.ask(id, Request::StateGet(StateGet {})) {
            Ok(Reply::Snapshot(snapshot)) => snapshot,
            other => self.broken(&format!("no snapshot: {other:?}")),
        }
    }

    /// Places a call.
    ///
    /// # Errors
    /// What the server answered.
    pub fn make_call(&mut self, id: AppId, line: LineId, to: &str) -> Result<CallId, Error> {
        let (line, address) = (LineSelector::Id(line), AddressId(0));
        let request = CallMake { line, to: to.into(), address, block_id: false, comment: None, bearer: None };
        match self.ask(id, Request::CallMake(request))? {
            Reply::Made(made) => Ok(made.call),
            other => self.broken(&format!("call.make answered {other:?}")),
        }
    }

    /// Answers a call, and expects that it is taken.
    pub fn answer(&mut self, id: AppId, call: CallId) {
        self.expect(id, Request::CallAnswer(CallAnswer { call }));
    }

    /// Drops a call, and expects that it is taken.
    pub fn drop_call(&mut self, id: AppId, call: CallId) {
        self.expect(id, Request::CallDrop(CallDrop { call, reason: None }));
    }

    /// Sends a request that must be taken.
    pub fn expect(&mut self, id: AppId, request: Request) -> Reply {
        let text = format!("{request:?}");
        self.ask(id, request).unwrap_or_else(|error| self.broken(&format!("{text} was refused: {error}")))
    }

    /// A file with these samples, to be played.
    pub fn file(&mut self, samples: &[i16]) -> DescriptorId {
        let descriptor = self.descriptor();
        self.media.files.insert(descriptor, Arc::from(samples));
        descriptor
    }

    /// An empty file.
    pub fn descriptor(&mut self) -> DescriptorId {
        let descriptor = DescriptorId(self.next_descriptor);
        self.next_descriptor += 1;
        self.media.given.insert(descriptor);
        descriptor
    }

    /// Plays samples into a call.
    ///
    /// # Errors
    /// What the server answered.
    pub fn play(&mut self, id: AppId, call: CallId, samples: &[i16]) -> Result<OperationId, Error> {
        let file = self.file(samples);
        let request = CallPlay { call, source: PlaySource::Descriptor, repeat: false };
        self.started(id, Request::CallPlay(request), Some(file))
    }

    /// Records a call into a new file.
    ///
    /// # Errors
    /// What the server answered.
    pub fn record(&mut self, id: AppId, call: CallId) -> Result<(OperationId, DescriptorId), Error> {
        let file = self.descriptor();
        let request = CallRecord { call, sink: RecordSink::Descriptor, max_ms: None };
        Ok((self.started(id, Request::CallRecord(request), Some(file))?, file))
    }

    /// Sends a request that starts an operation.
    ///
    /// # Errors
    /// What the server answered.
    pub fn started(&mut self, id: AppId, request: Request, file: Option<DescriptorId>) -> Result<OperationId, Error> {
        match self.ask_with(id, request, file)? {
            Reply::Started(started) => Ok(started.operation),
            other => self.broken(&format!("an operation was answered {other:?}")),
        }
    }

    /// Runs until an application was told that a call is in a state of this name.
    pub fn await_state(&mut self, id: AppId, call: CallId, state: &str) -> CallState {
        let is_so = |world: &World| world.apps[id.0].state(call).is_some_and(|now| now.name() == state);
        if !self.run_to(PATIENCE * 2, is_so) {
            let states = self.apps[id.0].states(call);
            self.broken(&format!("call {call} did not come to be {state}: {states:?}"));
        }
        self.apps[id.0].state(call).cloned().unwrap_or(CallState::Unknown)
    }

    /// Runs until an application was told of a call that is offered to it, and returns the newest.
    pub fn await_offer(&mut self, id: AppId) -> CallId {
        let offered = |world: &World| {
            let is_offered = |view: &View| matches!(view.state, Some(CallState::Offering(_)));
            world.apps[id.0].calls.iter().rev().find(|(_, view)| is_offered(view)).map(|(call, _)| *call)
        };
        if !self.run_to(PATIENCE, |world| offered(world).is_some()) {
            self.broken(&format!("no call was offered to {id:?}"));
        }
        offered(self).unwrap_or_else(|| self.broken("the offered call is gone"))
    }

    /// Runs until an application was told an event like this.
    pub fn await_event(&mut self, id: AppId, what: &str, is_it: impl Fn(&EventBody) -> bool) -> EventBody {
        let find = |world: &World| {
            world.apps[id.0].events.iter().map(|told| &told.event.body).find(|body| is_it(body)).cloned()
        };
        if !self.run_to(PATIENCE, |world| find(world).is_some()) {
            self.broken(&format!("{id:?} was not told: {what}"));
        }
        find(self).unwrap_or_else(|| self.broken("the event is gone"))
    }

    /// The line of this name that any application was told of last.
    pub fn line_named(&self, name: &str) -> Option<LineId> {
        self.lines.get(name).copied()
    }

    /// The digits that an application was told on a call.
    pub fn digits(&self, id: AppId, call: CallId) -> String {
        let digit = |body: &EventBody| match body {
            EventBody::CallDigit { call: of, digit, .. } if *of == call => Some(*digit),
            _ => None,
        };
        self.apps[id.0].events.iter().filter_map(|told| digit(&told.event.body)).collect()
    }

    /// An application.
    pub fn app(&self, id: AppId) -> &App {
        &self.apps[id.0]
    }

    /// A file that was recorded.
    pub fn recording(&self, file: DescriptorId) -> Option<&Recording> {
        self.media.recordings.get(&file)
    }

    /// So many frames fit into a recording; none: the disk is large.
    pub fn set_disk(&mut self, frames: Option<usize>) {
        self.media.disk_frames = frames;
    }

    /// The network.
    pub fn net(&mut self) -> &mut Net {
        &mut self.net
    }

    /// From now on what crosses the ports of a provider's modem is written down, as a daemon with `transcript = true` does.
    pub fn transcribe(&mut self, id: ProviderId, numbers: Numbers) {
        self.recorder = Some((id, Recorder::new(numbers), String::new()));
    }

    /// What was written down.
    pub fn transcript(&self) -> &str {
        self.recorder.as_ref().map_or("", |(_, _, text)| text)
    }

    /// Something is done in the exchange.
    pub fn in_exchange<R>(&mut self, what: impl FnOnce(Time, &mut Exchange) -> R) -> R {
        let result = what(self.now, &mut self.exchange);
        self.drain_exchange();
        result
    }

    /// A peer does something.
    pub fn with_peer<R>(&mut self, at: usize, what: impl FnOnce(Time, &mut Peer) -> R) -> R {
        let result = what(self.now, &mut self.peers[at]);
        self.drain_peer(at);
        result
    }

    /// A peer.
    pub fn peer(&self, at: usize) -> &Peer {
        &self.peers[at]
    }

    /// A running provider.
    pub fn running(&self, id: ProviderId) -> Option<&Running> {
        self.providers.get(&id)
    }

    /// Runs until what is over is forgotten, and sees that nothing is left: no calls, nothing pending, no streams, no
    /// operations, no files, no transactions.
    ///
    /// # Panics
    /// With what is left.
    pub fn assert_nothing_left(&mut self) {
        self.run_for(Duration::from_secs(100));
        for app in &self.apps {
            if let Err(what) = app.settled() {
                self.broken(&what);
            }
        }
        for (id, running) in &self.providers {
            if running.rules.live_calls() > 0 {
                self.broken(&format!("provider {} has calls: {:?}", id.0, running.provider));
            }
            // A modem has one machine and no tables.
            if !matches!(running.provider, AnyProvider::Modem(_)) {
                let state = serde_json::to_value(&running.provider).unwrap_or_default();
                self.nothing_in(&format!("provider {}", id.0), &state, TABLES);
            }
        }
        if !self.server.is_empty_of_calls() {
            self.broken(&format!("the server has something left: {:?}", self.server.summary()));
        }
        let media = serde_json::to_value(&self.media.msp).unwrap_or_default();
        self.nothing_in("the media provider", &media, TABLES);
        if !self.media.owners.is_empty() || !self.media.operations.is_empty() {
            self.broken(&format!("streams are open: {:?}, {:?}", self.media.owners, self.media.operations));
        }
        if !self.media.given.is_empty() || !self.media.writing.is_empty() {
            self.broken(&format!("files are open: {:?}, {:?}", self.media.given, self.media.writing));
        }
        if self.exchange.calls() > 0 {
            self.broken("the exchange has calls");
        }
    }

    /// No table of one of these names, however deep in the state, has anything in it.
    fn nothing_in(&self, whose: &str, state: &Value, tables: &[&str]) {
        match state {
            Value::Object(fields) => {
                // What was configured is no table, whatever its keys are named.
                for (name, value) in fields.iter().filter(|(name, _)| *name != "config") {
                    let filled = value.as_array().is_some_and(|list| !list.is_empty())
                        || value.as_object().is_some_and(|map| !map.is_empty());
                    if filled && tables.contains(&name.as_str()) {
                        self.broken(&format!("{whose} has {name} left: {value}"));
                    }
                    self.nothing_in(whose, value, tables);
                }
            }
            Value::Array(list) => list.iter().for_each(|value| self.nothing_in(whose, value, tables)),
            _ => (),
        }
    }
}
