//! The core task: the one owner of all telephony state.
//!
//! It takes messages from clients, providers and the media threads, and hands out what the server says. It never waits
//! for any of them: a client that does not read is cut off, a provider that does not take its commands is stuck.

mod ending;
mod keeping;
mod ledger;
mod message;
mod services;

use crate::clock::{self, Alarm};
use crate::files::Created;
use crate::files::Directories;
use crate::journal::Journal;
use crate::outbox::Overrun;
use crate::provider::ToProvider;
use crate::sink::Sink;
use ending::Phase;
pub use ending::{Ending, Late, ParkedCore};
use ledger::Ledger;
pub use message::{Message, PassedFile};
use msp_engine::Engine;
use serde::{Deserialize, Serialize};
use services::Services;
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use tapi::{Request, RequestId};
use tapi_core::{ClientId, Input, Output, Peer, ProviderId, Server};
use tokio::sync::{Notify, mpsc};
use tspi::media::{self, DescriptorId};
use tspi::{Action, CommandId, LocalMedia, StreamId};

/// How often the wall clock is looked at.
const WALL_CLOCK_EVERY: std::time::Duration = std::time::Duration::from_secs(10);

/// How far the wall clock may be off before the server is told, in microseconds.
const WALL_CLOCK_STEP: u64 = 10_000;

/// What is logged of a client that is cut off.
const CUT_OFF: &str = "overrun: client does not read, its outbox is full: cut off";

/// Messages that are taken in one turn: before what the server says is handed out, and the deadline looked at again.
const TURN: usize = 64;

impl Wire {
    /// The port of a socket.
    pub fn rtp_port(self) -> Option<u16> {
        match self {
            Wire::Rtp(port) => Some(port),
            Wire::Frames(_) => None,
        }
    }
}

/// What carries a stream: kept so that a new process finds its sockets and rings again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wire {
    /// The socket of this port.
    Rtp(u16),
    /// The frames of this provider.
    Frames(ProviderId),
}

#[derive(Debug)]
struct Running {
    run: u64,
    name: String,
    inbox: mpsc::Sender<ToProvider>,
    frames: Arc<Notify>,
}

/// The core task's state.
pub struct Core {
    server: Server,
    engine: Engine,
    media: mpsc::UnboundedReceiver<media::Event>,
    messages: mpsc::Receiver<Message>,
    clients: BTreeMap<ClientId, Sink>,
    providers: BTreeMap<ProviderId, Running>,
    streams: BTreeMap<StreamId, Wire>,
    outstanding: BTreeSet<(ProviderId, CommandId)>,
    created: BTreeMap<DescriptorId, Created>,
    /// Sockets of calls in passthrough whose commands are not on their way yet.
    through: BTreeMap<DescriptorId, OwnedFd>,
    /// Providers that did not take a command: they are stopped once what the server says now is handed out.
    stuck: Vec<ProviderId>,
    services: Services,
    ledger: Ledger,
    directories: Arc<Directories>,
    /// Files that policies name, opened elsewhere.
    opening: tokio::task::JoinSet<(tapi::CallId, Result<OwnedFd, String>)>,
    next_descriptor: u64,
    wall_offset: u64,
    phase: Phase,
    journal: Option<Journal>,
    pulse: keeping::Pulse,
    /// What was said to providers and media that are parked already.
    late: Late,
}

/// What the core starts with.
pub struct Start {
    /// The state.
    pub server: Server,
    /// The media threads.
    pub engine: Engine,
    /// What they say.
    pub media: mpsc::UnboundedReceiver<media::Event>,
    /// What everybody else says.
    pub messages: mpsc::Receiver<Message>,
    /// Streams that exist already.
    pub streams: BTreeMap<StreamId, Wire>,
    /// Commands that are not yet answered.
    pub outstanding: BTreeSet<(ProviderId, CommandId)>,
    /// The first name for a descriptor.
    pub first_descriptor: u64,
    /// What the server was told of the wall clock.
    pub wall_offset: u64,
    /// Where the files of policies lie.
    pub directories: Arc<Directories>,
    /// The file that ended calls are written into.
    pub ledger: Option<std::path::PathBuf>,
    /// Where what must outlive a crash is written.
    pub journal: Option<Journal>,
}

impl Core {
    /// A core that goes on from there.
    pub fn new(start: Start) -> Core {
        Core {
            server: start.server,
            engine: start.engine,
            media: start.media,
            messages: start.messages,
            clients: BTreeMap::new(),
            providers: BTreeMap::new(),
            streams: start.streams,
            outstanding: start.outstanding,
            created: BTreeMap::new(),
            through: BTreeMap::new(),
            stuck: Vec::new(),
            services: Services::default(),
            ledger: Ledger::new(start.ledger),
            directories: start.directories,
            opening: tokio::task::JoinSet::new(),
            next_descriptor: start.first_descriptor,
            wall_offset: start.wall_offset,
            phase: Phase::Running,
            journal: start.journal,
            pulse: keeping::Pulse::default(),
            late: Late::default(),
        }
    }

    /// Runs until the daemon ends. `inputs` are what the server is told first.
    pub async fn run(mut self, inputs: Vec<Input>) -> Ending {
        for input in inputs {
            self.tell(input);
        }
        let mut wall_clock = tokio::time::interval(WALL_CLOCK_EVERY);
        let mut pulse = tokio::time::interval(keeping::Pulse::interval());
        let mut alarm = Alarm::new();
        loop {
            self.settle();
            if let Some(outcome) = self.advance_phase() {
                return self.end(outcome).await;
            }
            alarm.set(self.deadline());
            tokio::select! {
                biased;
                () = alarm.rings() => self.timeout(),
                Some(event) = self.media.recv() => self.tell(Input::Media(event)),
                message = self.messages.recv() => match message {
                    Some(message) => self.take(message),
                    None => return self.end(ending::Outcome::Stopped).await,
                },
                Some(Ok((call, file))) = self.opening.join_next() => self.opened(call, file),
                _ = wall_clock.tick() => self.look_at_wall_clock(),
                _ = pulse.tick() => self.take_pulse(),
            }
            for _ in 1..TURN {
                let Ok(message) = self.messages.try_recv() else { break };
                self.take(message);
            }
        }
    }

    /// Tells the server. What it says waits for the end of the turn: one record of the journal, one wake-up of each
    /// client and provider for all that waited.
    fn tell(&mut self, input: Input) {
        self.server.handle(clock::now(), input);
    }

    fn timeout(&mut self) {
        if self.server.poll_timeout().is_some_and(|deadline| deadline <= clock::now()) {
            self.tell(Input::Timeout);
        }
    }

    fn look_at_wall_clock(&mut self) {
        let offset = clock::wall_offset();
        if offset.abs_diff(self.wall_offset) > WALL_CLOCK_STEP {
            self.wall_offset = offset;
            self.tell(Input::WallClock(offset));
        }
    }

    fn take(&mut self, message: Message) {
        // Who comes and goes finds everything handed out that was said before.
        if !matches!(message, Message::Request { .. } | Message::Provider { .. } | Message::Alive { .. }) {
            self.settle();
        }
        match message {
            Message::ClientConnected { client, peer, sink } => self.connected(client, peer, sink),
            Message::RightsOn { client, call, line, answer } => {
                let _ = answer.send(self.server.rights_on(client, call, line.as_ref()));
            }
            Message::Granted { client, line, rights } => self.tell(Input::Granted { client, line, rights }),
            Message::Revoked { client } => self.tell(Input::Revoked { client }),
            Message::Request { client, id, request, file } => self.request(client, id, request, file),
            Message::ClientGone { client, overrun } => {
                if self.clients.remove(&client).is_some() {
                    if overrun {
                        tracing::warn!(client = client.0, "{CUT_OFF}");
                    }
                    self.tell(Input::ClientGone { client, overrun });
                }
            }
            Message::ProviderStarted { provider, run, name, inbox, frames, restored } => {
                self.providers.insert(provider, Running { run, name: name.clone(), inbox, frames });
                if restored {
                    self.reconnect_frames(provider);
                } else {
                    self.tell(Input::ProviderStarted { provider, name });
                }
            }
            Message::Provider { provider, run, events } => {
                if self.providers.get(&provider).is_some_and(|running| running.run == run) {
                    events.into_iter().for_each(|event| self.provider_said(provider, event));
                }
            }
            Message::ProviderStopped { provider, run, reason } => {
                if self.providers.get(&provider).is_some_and(|running| running.run == run) {
                    self.provider_stopped(provider, reason);
                }
            }
            Message::Alive { provider } => self.pulse.heard(provider),
            // The phase is looked at after every message.
            Message::ProviderParked => {}
            Message::Inventory => self.inventory(),
            Message::Stop => self.stop(),
            Message::Park => self.park(),
        }
    }

    fn connected(&mut self, client: ClientId, peer: Peer, sink: Sink) {
        let (generation, seq) = self.server.position();
        sink.greet(generation, seq);
        self.clients.insert(client, sink);
        self.tell(Input::ClientConnected { client, peer });
    }

    fn request(&mut self, client: ClientId, id: RequestId, request: Request, file: Option<PassedFile>) {
        if !self.clients.contains_key(&client) {
            // It was cut off meanwhile. A file that was made for it is not left lying about.
            if let Some(created) = file.and_then(|passed| passed.created) {
                tokio::task::spawn_blocking(move || created.remove());
            }
            return;
        }
        let descriptor = file.map(|passed| {
            let descriptor = DescriptorId(self.next_descriptor);
            self.next_descriptor += 1;
            match request {
                Request::CallMake(_) => drop(self.through.insert(descriptor, passed.file)),
                _ => self.engine.give(descriptor, passed.file),
            }
            self.created.extend(passed.created.map(|created| (descriptor, created)));
            descriptor
        });
        self.tell(Input::Request { client, id, request, descriptor });
    }

    /// The file of a policy is open, or is not.
    fn opened(&mut self, call: tapi::CallId, file: Result<OwnedFd, String>) {
        let descriptor = file.map(|file| {
            let descriptor = DescriptorId(self.next_descriptor);
            self.next_descriptor += 1;
            self.engine.give(descriptor, file);
            descriptor
        });
        if let Err(error) = &descriptor {
            tracing::error!(call = call.0, error, "a call that nobody took is hung up: its file cannot be played");
        }
        self.tell(Input::MediaOpened { call, descriptor });
    }

    fn provider_said(&mut self, provider: ProviderId, event: tspi::Event) {
        if let tspi::Event::Reply { id, .. } = &event {
            self.outstanding.remove(&(provider, *id));
            if *id == ending::SHUTDOWN {
                return self.shut_down(provider);
            }
        }
        let name = self.providers.get(&provider).map_or("", |running| running.name.as_str());
        self.services.note(provider, name, &event);
        self.tell(Input::Provider { provider, event });
    }

    /// A provider is dead or stuck.
    fn provider_stopped(&mut self, provider: ProviderId, reason: String) {
        if let Some(running) = self.providers.remove(&provider) {
            tracing::error!(provider = running.name, reason, "provider stopped: its lines are out of service");
            self.outstanding.retain(|(of, _)| *of != provider);
            self.services.forget(provider);
            self.pulse.forget(provider);
            self.shut_down(provider);
            self.tell(Input::ProviderStopped { provider, reason });
        }
    }

    /// Hands out everything the server has to say, in its order: whoever turns out to be stuck is stopped after it.
    fn settle(&mut self) {
        loop {
            self.checkpoint();
            self.hand_out();
            let Some(provider) = self.stuck.pop() else { return };
            self.provider_stopped(provider, "it does not take commands".to_string());
        }
    }

    fn hand_out(&mut self) {
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Reply { client, id, result } => {
                    let Some(sink) = self.clients.get(&client) else { continue };
                    let said = sink.reply(id, result, |call| self.server.call_of(client, call));
                    self.written(client, said);
                }
                Output::Event { client, prev, event } => {
                    let Some(sink) = self.clients.get(&client) else { continue };
                    let said = sink.event(prev, &event);
                    self.written(client, said);
                }
                Output::Command { provider, command } => self.command(provider, command),
                Output::Media { provider, command } => self.media_command(provider, command),
                Output::Discard { descriptor } => self.discard(descriptor),
                Output::OpenMedia { call, file } => {
                    let directories = Arc::clone(&self.directories);
                    self.opening
                        .spawn_blocking(move || (call, directories.open_media(&file).map_err(|error| error.message)));
                }
                Output::Ended { record } => self.ledger.add(&record),
                Output::CloseClient { client, reason } => {
                    if let Some(outbox) = self.clients.remove(&client) {
                        tracing::info!(client = client.0, reason, "client connection closed");
                        outbox.end();
                        self.server.handle(clock::now(), Input::ClientGone { client, overrun: false });
                    }
                }
            }
        }
    }

    fn written(&mut self, client: ClientId, said: Result<(), Overrun>) {
        if said.is_err()
            && let Some(sink) = self.clients.remove(&client)
        {
            tracing::warn!(client = client.0, "{CUT_OFF}");
            sink.end();
            self.server.handle(clock::now(), Input::ClientGone { client, overrun: true });
        }
    }

    fn command(&mut self, provider: ProviderId, command: tspi::Command) {
        let id = command.id;
        if let Action::MakeCall { params, .. } = &command.action
            && let Some(socket) = params.descriptor.and_then(|descriptor| self.through.remove(&descriptor))
        {
            self.instruct(provider, ToProvider::Through(id, socket));
        }
        if self.instruct(provider, ToProvider::Command(command)) {
            self.outstanding.insert((provider, id));
        }
    }

    /// Puts something into a provider's inbox. A provider whose inbox is full is stuck; a new run of it begins.
    fn instruct(&mut self, provider: ProviderId, message: ToProvider) -> bool {
        let Some(running) = self.providers.get(&provider) else { return false };
        match running.inbox.try_send(message) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.stuck.push(provider);
                false
            }
            // It has put its state down, and a new process goes on; or its task died, which is told in a moment.
            Err(mpsc::error::TrySendError::Closed(message)) => {
                if !matches!(self.phase, Phase::Running) {
                    self.late.keep(provider, message);
                }
                true
            }
        }
    }

    fn media_command(&mut self, provider: ProviderId, command: media::Command) {
        match &command {
            media::Command::Open { local: LocalMedia::Rtp(local) } => {
                self.streams.insert(local.stream, Wire::Rtp(local.port));
            }
            media::Command::Open { local: LocalMedia::Frames { stream } } => {
                self.streams.insert(*stream, Wire::Frames(provider));
                self.connect_frames(provider, *stream);
            }
            media::Command::Close { stream } => {
                if let Some(Wire::Frames(provider)) = self.streams.remove(stream) {
                    self.instruct(provider, ToProvider::FramesEnd(*stream));
                }
            }
            media::Command::Play { descriptor, .. } | media::Command::Record { descriptor, .. } => {
                self.created.remove(descriptor);
            }
            _ => {}
        }
        self.engine.command(command);
    }

    /// Makes the rings between a provider and the media threads.
    fn connect_frames(&mut self, provider: ProviderId, stream: StreamId) {
        let Some(running) = self.providers.get(&provider) else { return };
        let notify = Arc::clone(&running.frames);
        let port = self.engine.frames(stream, Box::new(move || notify.notify_one()));
        self.instruct(provider, ToProvider::Frames(stream, port));
    }

    fn reconnect_frames(&mut self, provider: ProviderId) {
        let streams: Vec<StreamId> = self
            .streams
            .iter()
            .filter(|(_, wire)| **wire == Wire::Frames(provider))
            .map(|(stream, _)| *stream)
            .collect();
        for stream in streams {
            self.connect_frames(provider, stream);
        }
    }

    fn discard(&mut self, descriptor: DescriptorId) {
        if self.through.remove(&descriptor).is_some() {
            return;
        }
        self.engine.discard(descriptor);
        if let Some(created) = self.created.remove(&descriptor) {
            tokio::task::spawn_blocking(move || created.remove());
        }
    }
}
