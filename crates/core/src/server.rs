//! The whole state, and which part of it takes an input.

use crate::call::Call;
use crate::checkpoint::Written;
use crate::gather::Gather;
use crate::line::Lines;
use crate::media::{Operation, Ports};
use crate::past::Past;
use crate::pending::Pending;
use crate::policy::Standing;
use crate::provider::Provider;
use crate::session::{Client, Kept, Session};
use crate::table::Table;
use crate::{ClientId, Config, Input, Output, ProviderId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tapi::{CallId, Generation, MediaMode, OperationId, SessionId, Time};
use tspi::{CommandId, Random, StreamId};

/// All telephony state, and what decides on it: lines, calls, sessions and their rights, requests under way.
///
/// It is fed [`Input`]s with their time and drained of [`Output`]s after each. It is a plain value: serialised when no
/// output is left in it, it goes on in another process as if nothing had happened.
#[derive(Debug, Serialize, Deserialize)]
pub struct Server {
    pub(crate) config: Config,
    pub(crate) life: Life,
    pub(crate) random: Random,
    /// The next id of any kind to give out.
    pub(crate) next_id: u64,
    /// The last event.
    pub(crate) seq: u64,
    /// The latest events, oldest first.
    pub(crate) kept: VecDeque<Kept>,
    pub(crate) clients: BTreeMap<ClientId, Client>,
    pub(crate) sessions: Table<SessionId, Session>,
    pub(crate) tokens: BTreeMap<String, SessionId>,
    pub(crate) providers: BTreeMap<ProviderId, Provider>,
    pub(crate) lines: Lines,
    pub(crate) calls: Table<CallId, Call>,
    pub(crate) pending: BTreeMap<CommandId, Pending>,
    pub(crate) streams: BTreeMap<StreamId, CallId>,
    pub(crate) operations: Table<OperationId, Operation>,
    pub(crate) gathers: BTreeMap<OperationId, Gather>,
    /// Streams that are over, whose last figures are still to come.
    pub(crate) ended_streams: BTreeMap<StreamId, CallId>,
    /// What was set for lines while the server runs, by their permanent names.
    pub(crate) standing: BTreeMap<String, Standing>,
    /// Names of applications by medium, the first to be offered a call first.
    pub(crate) priorities: BTreeMap<MediaMode, Vec<String>>,
    pub(crate) ports: Ports,
    pub(crate) timers: BTreeSet<(Time, Timer)>,
    /// Events of providers that fit nothing.
    pub(crate) unexpected: u64,
    /// What crossed the wire for calls that are forgotten, and for lines themselves.
    #[serde(default)]
    pub(crate) past: Past,
    /// What the last checkpoint wrote.
    #[serde(skip)]
    pub(crate) written: Written,
    #[serde(skip)]
    pub(crate) outputs: VecDeque<Output>,
}

/// Whether the server takes requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Life {
    /// It does.
    Running,
    /// It was told to stop.
    Stopping,
}

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Timer {
    /// A provider has not answered.
    Command(CommandId),
    /// Nobody took up the session again.
    Linger(SessionId),
    /// Nobody deallocated the idle call.
    Idle(CallId),
    /// The gathering of digits waits no longer.
    Gather(OperationId),
    /// A transfer that the far end asked for is not answered.
    Asked(CallId),
    /// Nobody took the call.
    Unclaimed(CallId),
    /// The call is over, and its last figures did not come.
    Ledger(CallId),
}

impl Server {
    /// A server without lines or clients.
    pub fn new(mut config: Config) -> Server {
        let random = Random::from_seed(std::mem::take(&mut config.seed));
        Server {
            life: Life::Running,
            random,
            next_id: config.first_id.max(1),
            seq: 0,
            kept: VecDeque::new(),
            clients: BTreeMap::new(),
            sessions: Table::new(),
            tokens: BTreeMap::new(),
            providers: BTreeMap::new(),
            lines: Lines::default(),
            calls: Table::new(),
            pending: BTreeMap::new(),
            streams: BTreeMap::new(),
            operations: Table::new(),
            gathers: BTreeMap::new(),
            ended_streams: BTreeMap::new(),
            standing: BTreeMap::new(),
            priorities: BTreeMap::new(),
            ports: Ports::new(&config.rtp_ports),
            timers: BTreeSet::new(),
            unexpected: 0,
            past: Past::default(),
            written: Written::default(),
            outputs: VecDeque::new(),
            config,
        }
    }

    /// Takes one input.
    pub fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::ClientConnected { client, peer } => self.client_connected(client, peer),
            Input::Request { client, id, request, descriptor } => self.request(now, client, id, request, descriptor),
            Input::Granted { client, line, rights } => self.grant(client, line, &rights),
            Input::Revoked { client } => self.revoke(client),
            Input::ClientGone { client, overrun } => self.client_gone(now, client, overrun),
            Input::ProviderStarted { provider, name } => self.provider_started(provider, name),
            Input::Provider { provider, event } => self.provider_event(now, provider, event),
            Input::ProviderStopped { provider, reason } => self.provider_stopped(now, provider, &reason),
            Input::Media(event) => self.media_event(now, event),
            Input::MediaOpened { call, descriptor } => self.media_opened(now, call, descriptor),
            Input::WallClock(offset) => self.config.wall_offset = offset,
            Input::Restored => self.restored(now),
            Input::Recovered { calls } => self.recovered(now, &calls),
            Input::Stop => self.stop(now),
            Input::Timeout => self.timeout(now),
        }
    }

    /// Gives the next output, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When it wants [`Input::Timeout`] at the latest.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// The generation of the state and its last event, for a greeting.
    pub fn position(&self) -> (Generation, u64) {
        (self.config.generation, self.seq)
    }

    /// The next id that will be given out: what [`Config::first_id`] of this node's next generation must not be below.
    pub fn next_id(&self) -> u64 {
        self.next_id
    }

    pub(crate) fn fresh_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    pub(crate) fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    /// Microseconds since 1970 at `now`.
    pub(crate) fn wall(&self, now: Time) -> u64 {
        now.0.saturating_add(self.config.wall_offset)
    }

    fn timeout(&mut self, now: Time) {
        while let Some((due, timer)) = self.timers.first().copied() {
            if due > now {
                return;
            }
            self.timers.pop_first();
            match timer {
                Timer::Command(id) => self.command_expired(now, id),
                Timer::Linger(session) => self.linger_over(now, session),
                Timer::Idle(call) => self.idle_grace_over(now, call),
                Timer::Gather(operation) => self.gather_expired(now, operation),
                Timer::Asked(call) => self.asked_expired(now, call),
                Timer::Unclaimed(call) => self.unclaimed_expired(now, call),
                Timer::Ledger(call) => self.ledger_due(call),
            }
        }
    }

    /// Ends every call; new requests are refused from now on.
    fn stop(&mut self, now: Time) {
        self.life = Life::Stopping;
        let live: Vec<CallId> =
            self.calls.values().filter(|call| !call.state.is_over()).map(|call| call.info.call).collect();
        for call in live {
            self.drop_call(now, call, None, None);
        }
    }
}
