//! The daemon as a whole: what is started, what is taken over, and how it ends.

mod resume;

use crate::config::{Config, Kind};
use crate::core::{Core, Ending, Message, ParkedCore, Start, tell_late};
use crate::files::Directories;
use crate::listen::{self, Accept, Gate};
use crate::provider::{Parked, Supervised, bind, supervise};
use crate::seed::{Ids, seed};
use crate::state::State;
use crate::store::{self, Inherited};
use crate::{clock, state};
use msp_engine::{Engine, EngineConfig};
use sd_notify::NotifyState;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use tapi::Generation;
use tapi_core::{Input, ProviderId, Server};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tspi::media;

/// Messages that may wait for the core. It takes them in microseconds; whoever is faster waits.
const MESSAGES: usize = 16_384;

/// The parts that a start, clean or not, gives.
struct Parts {
    server: Server,
    engine: Engine,
    media: mpsc::UnboundedReceiver<media::Event>,
    wall_offset: u64,
    first_descriptor: u64,
    inputs: Vec<Input>,
    kept: resume::Kept,
    supervised: Vec<(ProviderId, crate::config::ProviderConfig, crate::provider::First)>,
    rtp: (std::net::IpAddr, Vec<u16>),
}

/// Runs the daemon.
pub async fn run(config: Config, mut inherited: Inherited) -> io::Result<()> {
    let mut signals = Signals::new()?;
    let ids = Ids::start(config.state_directory.as_deref()).map_err(|error| named("state_directory", &error))?;
    let (listener, own_listener) = listener(&config, &mut inherited)?;
    let parts = match resume::resume(&config, &mut inherited) {
        Some(parts) => parts,
        None => {
            drop(inherited);
            clean(&config, &ids)?
        }
    };
    let (core_sender, messages) = mpsc::channel(MESSAGES);
    let mut providers = JoinSet::new();
    for (id, config, first) in parts.supervised {
        providers.spawn(supervise(Supervised { id, config, first, core: core_sender.clone() }));
    }
    tell_late(&parts.engine, &parts.kept.late.media);
    let rtp = parts.rtp;
    let core = Core::new(Start {
        server: parts.server,
        engine: parts.engine,
        media: parts.media,
        messages,
        streams: parts.kept.streams,
        outstanding: parts.kept.outstanding,
        first_descriptor: parts.first_descriptor,
        wall_offset: parts.wall_offset,
    });
    let core = tokio::spawn(core.run(parts.inputs));
    let accepting = tokio::spawn(listen::accept(Accept {
        listener: UnixListener::from_std(listener.try_clone()?)?,
        gate: Arc::new(Gate::new(&config)),
        directories: Arc::new(Directories {
            media: config.media_directories.clone(),
            record: config.record_directory.clone(),
        }),
        core: core_sender.clone(),
    }));
    let reserving = tokio::spawn(reserve(ids));
    let status = format!("{} providers", config.providers.len());
    store::tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
    tracing::info!(socket = %config.socket.display(), providers = config.providers.len(), "ready");
    let ending = signals.until(core, &core_sender, &accepting).await?;
    drop(core_sender);
    accepting.abort();
    reserving.abort();
    match ending {
        Ending::Parked(parked) => {
            let own = own_listener.then_some(&listener);
            put_away(*parked, gather(providers).await, own, rtp)
        }
        Ending::Stopped => {
            if own_listener {
                let _ = std::fs::remove_file(&config.socket);
            }
            tracing::info!("stopped");
            Ok(())
        }
    }
}

/// The listening socket, and whether it is our own.
fn listener(config: &Config, inherited: &mut Inherited) -> io::Result<(std::os::unix::net::UnixListener, bool)> {
    let (listener, own) = match (inherited.given_listener.take(), inherited.own_listener.take()) {
        (Some(given), _) => (listen::adopt(given)?, false),
        (None, Some(own)) => {
            let own = listen::adopt(own)?;
            let path = own.local_addr()?.as_pathname().map(std::path::Path::to_path_buf);
            if path.as_ref() == Some(&config.socket) && config.socket.exists() {
                (own, true)
            } else {
                drop(own);
                (listen::bind(config)?, true)
            }
        }
        (None, None) => (listen::bind(config)?, true),
    };
    listener.set_nonblocking(true)?;
    Ok((listener, own))
}

/// A start without anything to go on with.
fn clean(config: &Config, ids: &Ids) -> io::Result<Parts> {
    let mut supervised = Vec::new();
    for (index, provider) in config.providers.iter().enumerate() {
        let socket = bind(provider)
            .map_err(|(address, error)| named(&format!("sip {}: listen {address}", provider.name), &error))?;
        let id = ProviderId(u32::try_from(index).map_or(u32::MAX, |index| index + 1));
        supervised.push((id, provider.clone(), crate::provider::First::Fresh(socket)));
    }
    // Sockets for RTP are bound only where something will use them.
    let ports = if config.providers.iter().any(|provider| matches!(provider.kind, Kind::Sip(_))) {
        config.rtp_ports.clone()
    } else {
        Vec::new()
    };
    let sockets = msp_engine::bind(config.rtp_address, ports.iter().copied())
        .map_err(|error| named(&format!("rtp: {}", config.rtp_address), &error))?;
    let (engine, media) = engine(config.rtp_address, sockets, None)?;
    let wall_offset = clock::wall_offset();
    let server = Server::new(tapi_core::Config {
        node: config.node.clone(),
        generation: Generation(ids.first()),
        first_id: ids.first(),
        wall_offset,
        rtp_address: config.rtp_address,
        rtp_ports: ports.clone(),
        seed: seed(),
        replay_events: config.replay_events,
        idle_grace_ms: config.idle_grace_ms,
    });
    Ok(Parts {
        server,
        engine,
        media,
        wall_offset,
        first_descriptor: ids.first(),
        inputs: Vec::new(),
        kept: resume::Kept::default(),
        supervised,
        rtp: (config.rtp_address, ports),
    })
}

type MediaEvents = mpsc::UnboundedReceiver<media::Event>;

/// The media threads. What they say waits in a queue without a bound: they must never wait for the core, and they say
/// no more than some ten events a second and stream.
fn engine(
    address: std::net::IpAddr,
    sockets: Vec<(u16, std::net::UdpSocket)>,
    state: Option<Vec<u8>>,
) -> io::Result<(Engine, MediaEvents)> {
    let (sender, events) = mpsc::unbounded_channel();
    let on_event = Box::new(move |event| {
        let _ = sender.send(event);
    });
    let engine = Engine::start(EngineConfig { address, sockets, seed: seed(), state }, on_event)
        .map_err(|error| io::Error::other(error.to_string()))?;
    Ok((engine, events))
}

async fn reserve(ids: Ids) {
    let mut every = tokio::time::interval(Ids::RESERVE_EVERY);
    loop {
        every.tick().await;
        if let Err(error) = ids.reserve() {
            tracing::warn!(%error, "the ids' file cannot be written: ids are unique as long as the clock is right");
        }
    }
}

/// What the providers' tasks left.
async fn gather(mut providers: JoinSet<Option<Parked>>) -> Vec<Parked> {
    let mut parked = Vec::new();
    let all = async {
        while let Some(one) = providers.join_next().await {
            parked.extend(one.ok().flatten());
        }
    };
    if tokio::time::timeout(std::time::Duration::from_secs(2), all).await.is_err() {
        tracing::error!("a provider did not put its state down: its lines begin anew");
    }
    parked.sort_by_key(|parked| parked.id);
    parked
}

/// Has the service manager keep everything, and ends.
fn put_away(
    core: ParkedCore,
    mut providers: Vec<Parked>,
    own_listener: Option<&std::os::unix::net::UnixListener>,
    (rtp_address, rtp_ports): (std::net::IpAddr, Vec<u16>),
) -> io::Result<()> {
    use std::os::fd::AsFd;
    let descriptors: Vec<_> =
        providers.iter_mut().flat_map(|provider| std::mem::take(&mut provider.descriptors)).collect();
    let state = State {
        written_by: env!("CARGO_PKG_VERSION").to_string(),
        server: core.server,
        providers,
        first_descriptor: core.next_descriptor,
        rtp_address,
        rtp_ports,
        streams: core.streams,
        outstanding: core.outstanding,
        late: core.late,
    };
    let used: BTreeSet<u16> = state.streams.values().filter_map(|wire| wire.rtp_port()).collect();
    let sockets: Vec<_> =
        core.sockets.iter().filter(|(port, _)| used.contains(port)).map(|(_, socket)| socket).collect();
    let memory = state::write(&state, &core.media)?;
    store::keep_rtp(&sockets)?;
    for (name, descriptor) in &descriptors {
        store::keep(name, &[descriptor.as_fd()])?;
    }
    if let Some(listener) = own_listener {
        store::keep(store::OWN_LISTENER, &[listener.as_fd()])?;
    }
    store::keep(store::STATE, &[memory.as_fd()])?;
    tracing::info!(streams = state.streams.len(), descriptors = descriptors.len() + sockets.len(), "parked");
    Ok(())
}

fn named(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

/// What the operating system tells the daemon to do.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    park: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            park: signal(SignalKind::user_defined2())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Passes them on until the core task has ended.
    async fn until(
        &mut self,
        mut core: tokio::task::JoinHandle<Ending>,
        messages: &mpsc::Sender<Message>,
        accepting: &tokio::task::JoinHandle<()>,
    ) -> io::Result<Ending> {
        loop {
            let message = tokio::select! {
                ended = &mut core => return ended.map_err(|error| io::Error::other(format!("core: {error}"))),
                _ = self.terminate.recv() => Message::Stop,
                _ = self.interrupt.recv() => Message::Stop,
                _ = self.park.recv() => self.park(accepting),
                _ = self.hang_up.recv() => {
                    tracing::info!("HUP is ignored: the configuration is read at a start");
                    continue;
                }
            };
            if matches!(message, Message::Stop) {
                store::tell(&[NotifyState::Stopping]);
            }
            // The core takes messages until it ends, and then the wait above is over.
            let _ = messages.send(message).await;
        }
    }

    fn park(&self, accepting: &tokio::task::JoinHandle<()>) -> Message {
        if store::present() {
            // Who connects from now on waits for the next process.
            accepting.abort();
            return Message::Park;
        }
        tracing::warn!("USR2: there is no service manager to keep descriptors: calls are hung up");
        Message::Stop
    }
}

/// Maps by name are what descriptors are found with.
type Named = BTreeMap<String, std::os::fd::OwnedFd>;
