//! One task for each provider: the loop that drives it, and what starts it again when it dies.

mod any;
mod farewell;
pub mod pins;
pub mod ports;
pub mod pressure;
mod supervise;
mod through;
mod transcript;

use crate::clock::{self, Alarm};
use crate::core::Message;
use crate::hotplug::{Plug, power::Reset};
use crate::journal::Journal;
pub use any::AnyProvider;
pub use farewell::farewell;
use msp_engine::FramePort;
use pins::Pins;
use ports::{Inbound, Ports, Ready};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
pub use supervise::{First, Parked, Supervised, bind, supervise};
use tapi_core::ProviderId;
pub use through::Through;
use through::Whose;
use tokio::sync::{Notify, mpsc, oneshot, watch};
pub use transcript::Transcript;
use tspi::{CallRef, CommandId, Input, Output, PortId, StreamId};

/// Commands that may wait for a provider. A provider that leaves so many is stuck.
pub const INBOX: usize = 1_024;

/// Why a modem that is there is no line.
const IN_USE: &str = "ModemManager has a data connection over the device";

/// Messages that are taken in one turn: before what the provider says is done.
const TURN: usize = 64;

/// What the core tells a provider's task.
#[derive(Debug)]
pub enum ToProvider {
    /// A command for the provider.
    Command(tspi::Command),
    /// The rings of a stream.
    Frames(StreamId, FramePort),
    /// A stream is over.
    FramesEnd(StreamId),
    /// Say that you live.
    Probe,
    /// The application's end of a call in passthrough, which this command makes: it follows.
    Through(CommandId, OwnedFd),
    /// Put the state down.
    Park,
}

/// What a provider's task is between two inputs.
pub struct Driver {
    /// Which provider.
    pub id: ProviderId,
    /// Which run of it.
    pub run: u64,
    /// The provider.
    pub provider: AnyProvider,
    /// Its ports.
    pub ports: Ports,
    /// From the core.
    pub inbox: mpsc::Receiver<ToProvider>,
    /// To the core.
    pub core: mpsc::Sender<Message>,
    /// Called when there are frames to send.
    pub frames: Arc<Notify>,
    /// The rings of its streams.
    pub streams: BTreeMap<StreamId, FramePort>,
    /// Told once the provider has said what it can say without waiting: its lines, as a rule.
    pub settled: Option<oneshot::Sender<()>>,
    /// Whether its device is plugged in, where somebody looks.
    pub plug: Option<watch::Receiver<Plug>>,
    /// Where its calls are written down, where they outlive a crash.
    pub journal: Option<Journal>,
    /// Where what crosses its port is written.
    pub transcript: Option<Transcript>,
    /// The call in passthrough.
    pub through: Through,
    /// How busy the core is, as the provider knows it.
    pub pressure: pressure::Pressure,
    /// Where PINs are kept that its card refuses.
    pub pins: Pins,
    /// How its device is reset, where that is allowed.
    pub reset: Option<Reset>,
}

/// How a provider's task ended, other than by a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Finished {
    /// It was asked to put its state down.
    Park,
    /// The core does not know it any more.
    Abandoned,
}

impl Driver {
    /// The loop of every provider: drain what it says, then wait for a command, an input or its deadline.
    pub async fn run(&mut self) -> Finished {
        let mut inbound = Inbound::new();
        let (mut alarm, mut finished) = (Alarm::new(), None);
        loop {
            self.checkpoint();
            let mut events = Vec::new();
            while let Some(output) = self.provider.machine().poll_output() {
                self.perform(output, &mut events);
            }
            if let AnyProvider::Modem(modem) = &mut self.provider {
                std::iter::from_fn(|| modem.pin_refused()).for_each(|refused| self.pins.keep(refused));
            }
            self.ports.flush();
            if !events.is_empty() {
                let said = Message::Provider { provider: self.id, run: self.run, events };
                if self.core.send(said).await.is_err() {
                    return Finished::Abandoned;
                }
            }
            // Now there is nothing that it said and nobody heard.
            if let Some(finished) = finished {
                return finished;
            }
            if self.ports.is_quiet() {
                self.settled.take().map(|settled| settled.send(()));
            }
            if let Some(busy) = self.pressure.news(self.core.capacity(), self.core.max_capacity()) {
                self.tell(Input::Load { busy });
            }
            alarm.set(self.provider.machine().poll_timeout());
            let unwritten = self.ports.unwritten();
            tokio::select! {
                message = self.inbox.recv() => finished = self.take(message).await,
                ready = self.ports.next(&mut inbound) => self.arrived(ready, &inbound),
                () = self.frames.notified() => self.frames(),
                () = changed(&mut self.plug) => self.plugged(),
                heard = self.through.next(unwritten) => self.through_heard(heard),
                () = alarm.rings() => self.timeout(),
            }
            // What the core said at one time is one turn.
            for _ in 1..TURN {
                let None = finished else { break };
                let Ok(message) = self.inbox.try_recv() else { break };
                finished = self.take(Some(message)).await;
            }
        }
    }

    /// Takes what the core says; how the task ends, when it does.
    async fn take(&mut self, message: Option<ToProvider>) -> Option<Finished> {
        match message {
            Some(ToProvider::Command(command)) => self.tell(Input::Command(command)),
            Some(ToProvider::Frames(stream, port)) => drop(self.streams.insert(stream, port)),
            Some(ToProvider::Through(id, socket)) => self.through.expect(id, socket),
            Some(ToProvider::FramesEnd(stream)) => drop(self.streams.remove(&stream)),
            Some(ToProvider::Probe) => {
                let _ = self.core.send(Message::Alive { provider: self.id }).await;
            }
            Some(ToProvider::Park) => return Some(Finished::Park),
            None => return Some(Finished::Abandoned),
        }
        None
    }

    /// The application of a call in passthrough said something.
    fn through_heard(&mut self, heard: Option<(CallRef, Vec<u8>)>) {
        match heard {
            Some((call, bytes)) => self.tell(Input::Raw { call, bytes: &bytes }),
            None => {
                if let Some(command) = self.through.end() {
                    self.tell(Input::Command(command));
                }
            }
        }
    }

    /// Its device was plugged in or pulled out.
    pub fn plugged(&mut self) {
        let Some(plug) = &mut self.plug else { return };
        match plug.borrow_and_update().clone() {
            Plug::Unknown => {}
            Plug::Absent => self.ports.unplugged("the device is not plugged in", "the device was unplugged"),
            Plug::InUse => self.ports.unplugged(IN_USE, IN_USE),
            Plug::Present { turn, ports, clues } => {
                if let AnyProvider::Modem(modem) = &mut self.provider {
                    modem.know(clues);
                }
                self.ports.plugged(turn, &ports);
            }
        }
    }

    /// Writes down what changed, before anything that follows from it is done.
    fn checkpoint(&mut self) {
        let Some(journal) = &mut self.journal else { return };
        self.provider.checkpoint(journal);
        let mut written = journal.flush();
        if written.is_ok() && journal.is_stale() {
            self.provider.begin_checkpoints();
            written = journal.renew(|next| self.provider.checkpoint(next));
        }
        if let Err(error) = written {
            tracing::error!(%error, "the journal cannot be written: a crash would lose calls");
            self.journal = None;
            self.provider.end_checkpoints();
        }
    }

    fn tell(&mut self, input: Input<'_>) {
        let now = clock::now();
        if let Some(transcript) = &mut self.transcript {
            transcript.input(now, &input);
        }
        self.provider.machine().handle(now, input);
    }

    fn timeout(&mut self) {
        let now = clock::now();
        if self.provider.machine().poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.tell(Input::Timeout);
        }
    }

    fn arrived(&mut self, ready: Ready, inbound: &Inbound) {
        match ready {
            Ready::Datagrams { port } => {
                for (from, bytes) in inbound.datagrams() {
                    self.tell(Input::Datagram { port, from, bytes });
                }
            }
            Ready::Bytes { port, length } => self.tell(Input::Bytes { port, bytes: inbound.bytes(length) }),
            Ready::Opened { port } => self.tell(Input::Opened { port }),
            Ready::Closed { port, reason } => self.tell(Input::Closed { port, reason: &reason }),
            Ready::Connected { port, local } => self.tell(Input::Connected { port, local }),
            Ready::Accepted { listener, port, local, from, names } => {
                self.tell(Input::Accepted { listener, port, local, from, names: &names });
            }
            Ready::Heard { port, bytes } => self.tell(Input::Bytes { port, bytes: &bytes }),
            Ready::Found { query, result } => self.tell(Input::Found { query: &query, result: &result }),
        }
    }

    /// Gives the provider what waits in its rings, one frame of each stream after the other.
    fn frames(&mut self) {
        for (stream, port) in &mut self.streams {
            while let Ok(frame) = port.to_send.pop() {
                self.provider.machine().handle(clock::now(), Input::Frame { stream: *stream, frame: &frame });
            }
        }
    }

    /// Does what the provider says; what is for the server waits in `events`.
    fn perform(&mut self, output: Output, events: &mut Vec<tspi::Event>) {
        if let Some(transcript) = &mut self.transcript {
            transcript.output(clock::now(), &output);
        }
        match output {
            Output::Event(event) => {
                if self.through.event(&event) == Whose::Servers {
                    events.push(event);
                }
            }
            Output::Frame { stream, frame } => {
                // A full ring means that the media threads are late: this frame is too.
                if let Some(port) = self.streams.get_mut(&stream) {
                    let _ = port.heard.push(frame);
                }
            }
            Output::Datagram { port, to, bytes } => self.ports.send(port, to, bytes),
            Output::Write { port, bytes } => self.ports.write(port, bytes),
            Output::Open { port } => self.ports.open(port),
            Output::Close { port } => {
                self.ports.close(port);
                if let (AnyProvider::Modem(modem), Some(reset)) = (&self.provider, &self.reset)
                    && port == tsp_modem::AT_PORT
                    && modem.is_past_help()
                {
                    reset.request();
                }
            }
            Output::Connect { port, to, security } => self.ports.connect(port, to, security),
            Output::Lookup { query } => self.ports.look_up(query),
            Output::Raw { call, bytes } => self.through.write(call, &bytes),
            Output::Dtr { port, up } => self.ports.set_dtr(port, up),
            Output::SoftFlow { port, on } => self.ports.soft_flow(port, on),
        }
    }
}

/// Waits until a device is plugged in or pulled out.
async fn changed(plug: &mut Option<watch::Receiver<Plug>>) {
    let told = match plug {
        Some(state) => state.changed().await.is_ok(),
        None => false,
    };
    if !told {
        std::future::pending().await
    }
}

/// A port, for people.
pub fn port_name(provider: &str, port: PortId) -> String {
    format!("port-{provider}-{}", port.0)
}
