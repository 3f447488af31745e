//! The whole of it in virtual time: the server, its providers, the media provider, a network, an exchange with modems,
//! SIP peers and applications. Nothing waits and nothing is left to chance but by seed: the same seed and the same
//! story give the same run.
//!
//! [`World::step`] processes exactly one thing. After it, what was touched is serialised, read back, and goes on as the
//! copy, so that every story also proves that the state can be carried over a restart at any moment; and what must
//! always hold is checked ([`App::event`], [`crate::conformance::Rules`], [`Media::command`]).

mod app;
mod ask;
mod media;
pub mod ops;
mod peer;
mod provider;
mod run;
mod setup;
mod sound;
mod work;

pub use app::{App, Connection, View};
pub use ask::AppId;
pub use media::{Kind, Media, Recording};
pub use peer::{Audio, Dialog, DialogState, OnRefer, Peer, Policy};
pub use provider::{AnyProvider, Plug, Running};
pub use setup::{SERVER, Setup};
pub use work::{MediaInput, Order, ProviderInput, Queues, ToApp, Way, Work};

use crate::exchange::{self, Exchange};
use crate::net::Net;
use std::collections::{BTreeMap, VecDeque};
use tapi::{LineId, Time};
use tapi_core::{ClientId, ProviderId, Server};
use tsp_modem::transcript::Recorder;

/// The world.
pub struct World {
    now: Time,
    setup: Setup,
    server: Server,
    providers: BTreeMap<ProviderId, Running>,
    media: Media,
    net: Net,
    exchange: Exchange,
    /// What happened in the exchange: the truth to compare with what applications were told.
    pub exchange_log: Vec<(Time, exchange::Event)>,
    peers: Vec<Peer>,
    zone: crate::dns::Zone,
    /// What was written down of each call that is over.
    pub ledger: Vec<tapi::LedgerEntry>,
    apps: Vec<App>,
    /// Lines by name, as any application was told of them last.
    lines: BTreeMap<String, LineId>,
    clients: BTreeMap<ClientId, AppId>,
    next_client: u64,
    next_descriptor: u64,
    queues: Queues,
    /// Whose ports are written down, and what came of it.
    recorder: Option<(ProviderId, Recorder, String)>,
    steps: u64,
    /// The latest things that were processed, audio aside: shown when something is broken.
    trail: VecDeque<String>,
    /// Timeouts at the present moment, without time going on.
    idle_turns: u32,
}
