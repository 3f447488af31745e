//! Running a world: one thing at a time, and time goes on when nothing waits.

use super::{MediaInput, Plug, ProviderInput, ToApp, Way, Work, World};
use crate::conformance::restored;
use crate::exchange;
use crate::net::Datagram;
use std::time::Duration;
use tapi::{EventBody, Reply, Time};
use tapi_core::{Input, Output, ProviderId};
use tspi::media::{self, MediaProvider};
use tspi::{PortId, Provider};

/// So many lines of the trail are shown when something is broken.
const TRAIL: usize = 120;
/// So many timeouts may come at one moment.
const IDLE_TURNS: u32 = 2_000;

/// Whose deadline it is.
#[derive(Clone, Copy, Debug)]
enum Due {
    Server,
    Provider(ProviderId),
    Media,
    Net,
    Exchange,
    Peer(usize),
}

impl World {
    /// The time.
    pub fn now(&self) -> Time {
        self.now
    }

    /// How many things were processed.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Stops with what is wrong and what came before it.
    pub fn broken(&self, what: &str) -> ! {
        let trail: Vec<&str> = self.trail.iter().map(String::as_str).collect();
        panic!("{}\nat {} ms, step {}: {what}\n", trail.join("\n"), self.now.as_millis(), self.steps);
    }

    pub(super) fn must(&self, result: Result<(), String>) {
        if let Err(what) = result {
            self.broken(&what);
        }
    }

    /// Adds a line to the trail.
    pub fn note(&mut self, what: String) {
        if self.trail.len() == TRAIL {
            self.trail.pop_front();
        }
        let what: String = what.chars().take(240).collect();
        self.trail.push_back(format!("{:>9} us  {what}", self.now.0));
    }

    /// Processes what waits, or lets time go on to the next deadline: one thing. `false` when that lies after `limit`.
    pub fn step(&mut self, limit: Time) -> bool {
        self.steps += 1;
        if let Some(work) = self.queues.pop() {
            self.process(work);
            return true;
        }
        let Some((time, due)) = self.next_deadline() else { return false };
        if time > limit {
            return false;
        }
        self.idle_turns = if time > self.now { 0 } else { self.idle_turns + 1 };
        if self.idle_turns > IDLE_TURNS {
            self.broken(&format!("{due:?} wants a timeout at {time:?} again and again"));
        }
        self.now = self.now.max(time);
        self.timeout(due);
        true
    }

    /// Runs until this time.
    pub fn run_until(&mut self, limit: Time) {
        while self.step(limit) {}
        self.now = self.now.max(limit);
    }

    /// Runs for so long.
    pub fn run_for(&mut self, duration: Duration) {
        self.run_until(self.now + duration);
    }

    /// The clock leaps ahead: all that would have been due meanwhile is due now.
    pub fn jump(&mut self, by: Duration) {
        self.now += by;
    }

    /// Does everything that waits, without letting time go on.
    pub fn settle(&mut self) {
        while !self.queues.is_empty() {
            self.step(self.now);
        }
    }

    /// Runs until something is so, and at most for so long. Whether it came to be so.
    pub fn run_to(&mut self, within: Duration, mut is_so: impl FnMut(&World) -> bool) -> bool {
        let limit = self.now + within;
        loop {
            if is_so(self) {
                return true;
            }
            if !self.step(limit) {
                self.now = self.now.max(limit);
                return is_so(self);
            }
        }
    }

    fn next_deadline(&self) -> Option<(Time, Due)> {
        let providers =
            self.providers.iter().map(|(id, running)| (running.provider.poll_timeout(), Due::Provider(*id)));
        let peers = self.peers.iter().enumerate().map(|(at, peer)| (peer.poll_timeout(), Due::Peer(at)));
        let others = [
            (self.net.poll_timeout(), Due::Net),
            (self.exchange.poll_timeout(), Due::Exchange),
            (self.media.msp.poll_timeout(), Due::Media),
            (self.server.poll_timeout(), Due::Server),
        ];
        let all = others.into_iter().chain(providers).chain(peers);
        all.filter_map(|(time, due)| Some((time?, due))).min_by_key(|(time, _)| *time)
    }

    /// The daemon is restarted and keeps its state: connections are lost, playbacks and recordings end.
    pub fn restart(&mut self) {
        self.settle();
        for app in &mut self.apps {
            self.queues.forget(Way::ServerToApp(app.client));
            if app.connection == super::Connection::Up {
                app.connection = super::Connection::Left;
            }
        }
        self.server = restored(&self.server);
        self.media.msp = restored(&self.media.msp);
        self.media.msp.restored();
        self.drain_media();
        for running in self.providers.values_mut() {
            running.restore();
        }
        self.server_input(Input::Restored);
    }

    fn timeout(&mut self, due: Due) {
        match due {
            Due::Server => self.server_input(Input::Timeout),
            Due::Provider(id) => self.provider_input(id, &ProviderInput::Timeout),
            Due::Media => {
                self.media.msp.handle(self.now, media::Input::Timeout);
                self.drain_media();
            }
            Due::Net => {
                if let Some(datagram) = self.net.receive(self.now) {
                    self.arrived(datagram);
                }
            }
            Due::Exchange => {
                self.exchange.timeout(self.now);
                self.drain_exchange();
            }
            Due::Peer(at) => {
                if let Some(peer) = self.peers.get_mut(at) {
                    peer.timeout(self.now);
                }
                self.drain_peer(at);
            }
        }
    }

    fn process(&mut self, work: Work) {
        match &work {
            Work::Media(MediaInput::Packet { .. } | MediaInput::Control { .. } | MediaInput::Frame { .. })
            | Work::Provider(_, ProviderInput::Frame { .. })
            | Work::Datagram(_)
            | Work::Modem(..) => (),
            Work::Provider(_, ProviderInput::Datagram { bytes, .. }) => {
                self.note(format!("datagram {}", String::from_utf8_lossy(bytes).lines().next().unwrap_or_default()));
            }
            Work::Provider(_, ProviderInput::Bytes { bytes, .. }) if bytes.len() > 80 => (),
            other => self.note(format!("{other:?}")),
        }
        match work {
            Work::Server(input) => self.server_input(input),
            Work::Provider(id, input) => self.provider_input(id, &input),
            Work::Media(input) => {
                self.media.msp.handle(self.now, input.as_input());
                self.drain_media();
            }
            Work::App(client, message) => self.app_input(client, message),
            Work::Datagram(datagram) => self.arrived(datagram),
            Work::Modem(modem, port, bytes) => {
                self.exchange.bytes(self.now, modem, port, &bytes);
                self.drain_exchange();
            }
        }
    }

    fn server_input(&mut self, input: Input) {
        self.server.handle(self.now, input);
        while let Some(output) = self.server.poll_output() {
            self.server_output(output);
        }
        self.must(self.server.check().map_err(|what| format!("the server: {what}")));
        if self.setup.snapshots {
            self.server = restored(&self.server);
        }
    }

    fn server_output(&mut self, output: Output) {
        match output {
            Output::Reply { client, id, result } => {
                self.queues.push(Way::ServerToApp(client), Work::App(client, ToApp::Reply(id, Box::new(result))));
            }
            Output::Event { client, prev, event } => {
                self.queues.push(Way::ServerToApp(client), Work::App(client, ToApp::Event(prev, event)));
            }
            Output::CloseClient { client, reason } => {
                self.queues.push(Way::ServerToApp(client), Work::App(client, ToApp::Closed(reason)));
            }
            Output::Command { provider, command } => {
                let work = Work::Provider(provider, ProviderInput::Command(command));
                self.queues.push(Way::ServerToProvider(provider), work);
            }
            Output::Media { provider, command } => {
                let noted = self.media.command(provider, &command);
                self.must(noted.map_err(|what| format!("{what}, by {command:?}")));
                if let media::Command::Play { descriptor, .. } | media::Command::Record { descriptor, .. } = &command {
                    let given = self.media.given.remove(descriptor);
                    self.must(if given { Ok(()) } else { Err(format!("{descriptor:?} is used and was not given")) });
                }
                self.queues.push(Way::ServerToMedia, Work::Media(MediaInput::Command(command)));
            }
            // A world has no files that a policy could name.
            Output::OpenMedia { call, file } => {
                let descriptor = Err(format!("there is no file {file}"));
                self.server.handle(self.now, Input::MediaOpened { call, descriptor });
            }
            Output::Ended { record } => self.ledger.push(*record),
            Output::Discard { descriptor } => {
                let given = self.media.given.remove(&descriptor);
                self.must(if given { Ok(()) } else { Err(format!("{descriptor:?} is discarded and was used")) });
            }
        }
    }

    fn app_input(&mut self, client: tapi_core::ClientId, message: ToApp) {
        let Some(app) = self.clients.get(&client).and_then(|id| self.apps.get_mut(id.0)) else { return };
        if app.client != client || app.connection != super::Connection::Up {
            return;
        }
        match &message {
            ToApp::Event(_, event) => {
                if let EventBody::LineAdded { line } = &event.body {
                    self.lines.insert(line.name.clone(), line.line);
                }
            }
            ToApp::Reply(_, result) => {
                if let Ok(Reply::Snapshot(snapshot)) = result.as_ref() {
                    self.lines.extend(snapshot.lines.iter().map(|line| (line.name.clone(), line.line)));
                }
            }
            ToApp::Closed(_) => (),
        }
        let taken = match message {
            ToApp::Reply(id, result) => app.reply(id, *result),
            ToApp::Event(prev, event) => app.event(prev, &event),
            ToApp::Closed(reason) => {
                app.connection = super::Connection::Closed(reason);
                self.queues.push(Way::AppToServer(client), Work::Server(Input::ClientGone { client, overrun: false }));
                Ok(())
            }
        };
        self.must(taken.map_err(|what| format!("{client:?}: {what}")));
    }

    fn provider_input(&mut self, id: ProviderId, input: &ProviderInput) {
        let Some(running) = self.providers.get_mut(&id) else { return };
        if let ProviderInput::Command(command) = input {
            running.rules.command(command);
        }
        let mut recorder = self.recorder.as_mut().filter(|(of, ..)| *of == id);
        if let Some((_, recorder, text)) = &mut recorder {
            text.push_str(&recorder.input(self.now, &input.as_input()));
        }
        running.provider.handle(self.now, input.as_input());
        let mut outputs = Vec::new();
        while let Some(output) = running.provider.poll_output() {
            if let Some((_, recorder, text)) = &mut recorder {
                text.push_str(&recorder.output(self.now, &output));
            }
            outputs.push(output);
        }
        let mut broken = None;
        for output in &outputs {
            if let tspi::Output::Event(event) = output {
                broken = broken.or(running.rules.event(event).err().map(|what| format!("{what}, by {event:?}")));
            }
        }
        broken = broken.or(running.rules.drained().err());
        if self.setup.snapshots {
            running.restore();
        }
        for output in outputs {
            self.provider_output(id, output);
        }
        self.must(broken.map_or(Ok(()), |what| Err(format!("provider {}: {what}", id.0))));
    }

    fn provider_output(&mut self, id: ProviderId, output: tspi::Output) {
        match output {
            tspi::Output::Event(event) => {
                let input = Input::Provider { provider: id, event };
                self.queues.push(Way::ProviderToServer(id), Work::Server(input));
            }
            tspi::Output::Frame { stream, frame } => {
                let input = MediaInput::Frame { stream, frame: Box::new(frame) };
                self.queues.push(Way::ProviderToMedia(id), Work::Media(input));
            }
            tspi::Output::Datagram { port, to, bytes } => match self.plug(id, port) {
                Some(Plug::Socket(from)) => self.net.send(self.now, Datagram { from, to, bytes }),
                _ => self.broken(&format!("provider {} sends a datagram from {port:?}, which is no open socket", id.0)),
            },
            tspi::Output::Write { port, bytes } => {
                // What is written while the port was just unplugged is lost, as it would be.
                if let Some(Plug::Serial(modem, at)) = self.plug(id, port) {
                    self.queues.push(Way::WireToModem(modem, at), Work::Modem(modem, at, bytes));
                }
            }
            tspi::Output::Open { port } => self.open_port(id, port),
            tspi::Output::Close { port } => {
                if let Some(running) = self.providers.get_mut(&id) {
                    running.open.remove(&port);
                }
            }
            tspi::Output::Connect { .. } => {
                self.broken(&format!("provider {} wants what this world does not have", id.0));
            }
            // The simulated modems have no modem lines.
            tspi::Output::Dtr { .. } | tspi::Output::SoftFlow { .. } | tspi::Output::Raw { .. } => (),
            tspi::Output::Lookup { query } => {
                let result = self.zone.answer(&query);
                let input = ProviderInput::Found { query, result };
                self.queues.push(Way::WireToProvider(id), Work::Provider(id, input));
            }
        }
    }

    /// What an open port is connected to.
    fn plug(&self, id: ProviderId, port: PortId) -> Option<Plug> {
        let running = self.providers.get(&id)?;
        running.plugs.get(&port).filter(|_| running.open.contains(&port)).copied()
    }

    fn open_port(&mut self, id: ProviderId, port: PortId) {
        let Some(running) = self.providers.get_mut(&id) else { return };
        let input = if !running.plugs.contains_key(&port) {
            ProviderInput::Closed { port, reason: "there is no such port".into() }
        } else if running.unplugged.contains(&port) {
            ProviderInput::Closed { port, reason: "no such device".into() }
        } else {
            running.open.insert(port);
            ProviderInput::Opened { port }
        };
        self.queues.push(Way::WireToProvider(id), Work::Provider(id, input));
    }

    /// A datagram is at its address: somebody's RTP port, a provider's socket, a peer, or nobody.
    fn arrived(&mut self, Datagram { from, to, bytes }: Datagram) {
        if let Some(stream) = self.media.stream_at(to) {
            let input = MediaInput::Packet { stream, from, bytes };
            self.queues.push(Way::Net, Work::Media(input));
            return;
        }
        if let Some(stream) = self.media.control_at(to) {
            self.queues.push(Way::Net, Work::Media(MediaInput::Control { stream, from, bytes }));
            return;
        }
        let socket = |(id, running): (&ProviderId, &super::Running)| {
            let port = running.port(Plug::Socket(to)).filter(|port| running.open.contains(port))?;
            Some((*id, port))
        };
        if let Some((id, port)) = self.providers.iter().find_map(socket) {
            let input = ProviderInput::Datagram { port, from, bytes };
            self.queues.push(Way::WireToProvider(id), Work::Provider(id, input));
            return;
        }
        if let Some(at) = self.peers.iter().position(|peer| peer.has(to)) {
            self.peers[at].datagram(self.now, from, to, &bytes);
            self.drain_peer(at);
        }
    }

    pub(super) fn drain_peer(&mut self, at: usize) {
        while let Some(datagram) = self.peers.get_mut(at).and_then(super::Peer::transmit) {
            self.net.send(self.now, datagram);
        }
    }

    pub(super) fn drain_exchange(&mut self) {
        while let Some(output) = self.exchange.poll_output() {
            match output {
                exchange::Output::Bytes { modem, port, bytes } => {
                    let plug = Plug::Serial(modem, port);
                    let at = |(id, running): (&ProviderId, &super::Running)| Some((*id, running.port(plug)?));
                    let Some((id, port)) = self.providers.iter().find_map(at) else { continue };
                    if self.plug(id, port).is_some() {
                        let input = ProviderInput::Bytes { port, bytes };
                        self.queues.push(Way::WireToProvider(id), Work::Provider(id, input));
                    }
                }
                exchange::Output::Unplugged(modem) => self.unplugged(modem),
                exchange::Output::Plugged(modem) => {
                    for running in self.providers.values_mut() {
                        let plugs = &running.plugs;
                        running.unplugged.retain(|port| !is_of(plugs.get(port), modem));
                    }
                }
                exchange::Output::Event { at, event } => {
                    self.note(format!("exchange: {event:?}"));
                    self.exchange_log.push((at, event));
                }
            }
        }
    }

    fn unplugged(&mut self, modem: exchange::ModemId) {
        for (id, running) in &mut self.providers {
            let ports: Vec<PortId> =
                running.plugs.iter().filter(|(_, plug)| is_of(Some(plug), modem)).map(|(port, _)| *port).collect();
            for port in ports {
                running.unplugged.insert(port);
                if running.open.remove(&port) {
                    let input = ProviderInput::Closed { port, reason: "unplugged".into() };
                    self.queues.push(Way::WireToProvider(*id), Work::Provider(*id, input));
                }
            }
        }
    }
}

fn is_of(plug: Option<&Plug>, modem: exchange::ModemId) -> bool {
    matches!(plug, Some(Plug::Serial(of, _)) if *of == modem)
}
