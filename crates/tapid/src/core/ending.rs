//! How the core task ends: stopped, or parked so that a new process goes on.

use super::{Core, Wire};
use crate::clock;
use crate::provider::ToProvider;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::UdpSocket;
use std::time::Duration;
use tapi::Time;
use tapi_core::{Input, ProviderId, Server};
use tspi::{Action, Command, CommandId, StreamId, media};

/// The shell's own command: its reply never reaches the server, which counts from 1.
pub const SHUTDOWN: CommandId = CommandId(u64::MAX);

/// How long calls may take to be hung up.
const HANG_UP: Duration = Duration::from_secs(3);

/// How long providers may take to leave the network.
const LEAVE: Duration = Duration::from_secs(5);

/// How long providers may take to put down their state.
const PUT_DOWN: Duration = Duration::from_secs(2);

/// How long recordings may take to be finished.
const FINISH: Duration = Duration::from_secs(10);

/// Where the daemon is in its life.
#[derive(Debug)]
pub enum Phase {
    /// It works.
    Running,
    /// Calls are being hung up.
    HangingUp {
        /// Until when at the latest.
        until: Time,
    },
    /// Providers leave the network.
    Leaving {
        /// Until when at the latest.
        until: Time,
        /// Those that have not yet.
        waiting: BTreeSet<ProviderId>,
    },
    /// Providers put their state down.
    Parking {
        /// Until when at the latest.
        until: Time,
    },
    /// It ends now.
    Ended,
}

/// What a phase led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was hung up.
    Stopped,
    /// Everything was put down.
    Parked,
}

/// How the core task ended.
pub enum Ending {
    /// Everything is hung up.
    Stopped,
    /// Everything is put down.
    Parked(Box<ParkedCore>),
}

/// What the core leaves to a new process.
pub struct ParkedCore {
    /// The state.
    pub server: Server,
    /// The media's state.
    pub media: Vec<u8>,
    /// Its sockets.
    pub sockets: Vec<(u16, UdpSocket)>,
    /// Streams.
    pub streams: BTreeMap<StreamId, Wire>,
    /// Commands that are not yet answered.
    pub outstanding: BTreeSet<(ProviderId, CommandId)>,
    /// The first name for a descriptor that is free.
    pub next_descriptor: u64,
    /// What was said too late.
    pub late: Late,
}

/// What was said to providers that had put their state down already: they are told in the new process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Late {
    /// Commands, in order.
    pub commands: Vec<(ProviderId, Command)>,
    /// Commands to the media, in order.
    pub media: Vec<media::Command>,
}

impl Late {
    /// Keeps a command. Rings are made anew anyway.
    pub fn keep(&mut self, provider: ProviderId, message: ToProvider) {
        if let ToProvider::Command(command) = message {
            self.commands.push((provider, command));
        }
    }

    /// Takes one provider's commands out.
    pub fn take_commands(&mut self, provider: ProviderId) -> Vec<Command> {
        let (of, others) = std::mem::take(&mut self.commands).into_iter().partition(|(id, _)| *id == provider);
        self.commands = others;
        let of: Vec<(ProviderId, Command)> = of;
        of.into_iter().map(|(_, command)| command).collect()
    }
}

impl Core {
    /// When the core must look again.
    pub(super) fn deadline(&self) -> Option<Time> {
        let phase = match &self.phase {
            Phase::HangingUp { until } | Phase::Leaving { until, .. } | Phase::Parking { until } => Some(*until),
            Phase::Running | Phase::Ended => None,
        };
        [self.server.poll_timeout(), phase].into_iter().flatten().min()
    }

    /// The first time: calls are hung up. The second time: at once.
    pub(super) fn stop(&mut self) {
        match self.phase {
            Phase::Running => {
                tracing::info!(streams = self.streams.len(), "stopping: calls are hung up");
                self.phase = Phase::HangingUp { until: clock::now() + HANG_UP };
                self.tell(Input::Stop);
            }
            _ => self.phase = Phase::Ended,
        }
    }

    /// Asks everybody to put their state down.
    pub(super) fn park(&mut self) {
        if !matches!(self.phase, Phase::Running) {
            return;
        }
        tracing::info!(streams = self.streams.len(), "parking: calls go on in the next process");
        self.phase = Phase::Parking { until: clock::now() + PUT_DOWN };
        for outbox in std::mem::take(&mut self.clients).into_values() {
            outbox.end();
        }
        for provider in self.providers.keys().copied().collect::<Vec<_>>() {
            self.instruct(provider, ToProvider::Park);
        }
    }

    /// A provider has left the network, or is gone.
    pub(super) fn shut_down(&mut self, provider: ProviderId) {
        if let Phase::Leaving { waiting, .. } = &mut self.phase {
            waiting.remove(&provider);
        }
    }

    /// Goes on to the next phase when this one is over.
    pub(super) fn advance_phase(&mut self) -> Option<Outcome> {
        let now = clock::now();
        match &self.phase {
            Phase::Running => None,
            Phase::HangingUp { until } => {
                let quiet = self.streams.is_empty() && self.outstanding.is_empty();
                if quiet || *until <= now {
                    self.leave(now);
                    return self.advance_phase();
                }
                None
            }
            Phase::Leaving { until, waiting } => (waiting.is_empty() || *until <= now).then_some(Outcome::Stopped),
            Phase::Parking { until } => {
                let parked = self.providers.values().all(|running| running.inbox.is_closed());
                (parked || *until <= now).then_some(Outcome::Parked)
            }
            Phase::Ended => Some(Outcome::Stopped),
        }
    }

    fn leave(&mut self, now: Time) {
        let waiting: BTreeSet<ProviderId> = self.providers.keys().copied().collect();
        self.phase = Phase::Leaving { until: now + LEAVE, waiting: waiting.clone() };
        for provider in waiting {
            let command = Command { id: SHUTDOWN, action: Action::Shutdown };
            self.instruct(provider, ToProvider::Command(command));
        }
    }

    /// Takes what was still said, stops the media threads, and gives everything up.
    pub(super) async fn end(mut self, outcome: Outcome) -> Ending {
        self.phase = Phase::Ended;
        while let Ok(message) = self.messages.try_recv() {
            self.take(message);
        }
        self.settle();
        for outbox in std::mem::take(&mut self.clients).into_values() {
            outbox.end();
        }
        let Core { mut server, engine, mut media, streams, outstanding, next_descriptor, mut late, .. } = self;
        let stopped = tokio::time::timeout(FINISH, tokio::task::spawn_blocking(move || engine.stop())).await;
        let stopped = match (outcome, stopped) {
            (_, Err(_)) => {
                tracing::error!(after = ?FINISH, "recordings cannot be finished: the disk does not answer");
                return Ending::Stopped;
            }
            (Outcome::Parked, Ok(Ok(stopped))) => stopped,
            (Outcome::Parked, Ok(Err(_))) => {
                tracing::error!("the media threads died while they were stopped: the state cannot be kept");
                return Ending::Stopped;
            }
            (Outcome::Stopped, Ok(_)) => return Ending::Stopped,
        };
        while let Ok(event) = media.try_recv() {
            server.handle(clock::now(), Input::Media(event));
        }
        while let Some(output) = server.poll_output() {
            match output {
                tapi_core::Output::Command { provider, command } => late.commands.push((provider, command)),
                tapi_core::Output::Media { command, .. } => late.media.push(command),
                _ => {}
            }
        }
        let (media, sockets) = (stopped.state, stopped.sockets);
        Ending::Parked(Box::new(ParkedCore { server, media, sockets, streams, outstanding, next_descriptor, late }))
    }
}
