//! The daemon as a whole: what is started, what is taken over, and how it ends.

mod crash;
mod park;
mod resume;
mod signals;

use crate::clock;
use crate::config::{Config, MediaThreads, ProviderConfig};
use crate::core::{Core, Ending, Message, Start};
use crate::dbus;
use crate::files::Directories;
use crate::hotplug::{Handed, Hotplug, Left};
use crate::journal::Journal;
use crate::listen::{self, Accept, Gate};
use crate::provider::{First, Parked, Supervised, bind, supervise};
use crate::seed::{Ids, seed};
use crate::store::{self, Inherited};
use msp_engine::{Engine, EngineConfig};
use sd_notify::NotifyState;
use signals::Signals;
use std::io;
use std::sync::Arc;
use tapi::Generation;
use tapi_core::{Input, ProviderId, Server};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tspi::media;

/// Messages that may wait for the core: requests, and turns of providers. It takes them in microseconds; whoever is faster
/// waits.
const MESSAGES: usize = 4_096;

/// The parts that a start, clean or not, gives.
struct Parts {
    server: Server,
    engine: Engine,
    media: mpsc::UnboundedReceiver<media::Event>,
    wall_offset: u64,
    first_descriptor: u64,
    inputs: Vec<Input>,
    kept: resume::Kept,
    supervised: Vec<ToSupervise>,
    rtp_address: std::net::IpAddr,
    rtp_ports: Vec<u16>,
    journal: Option<Journal>,
    /// When the daemon came back from a crash lately, in seconds since 1970.
    recoveries: Vec<u64>,
}

type ToSupervise = (ProviderId, ProviderConfig, First);

/// Runs the daemon.
pub async fn run(config: Config, path: Option<&std::path::Path>, mut inherited: Inherited) -> io::Result<()> {
    let mut signals = Signals::new()?;
    let ids = Ids::start(config.state_directory.as_deref()).map_err(|error| named("state_directory", &error))?;
    let mut parts = begin(&config, &ids, &mut inherited)?;
    let (listener, own_listener) = listener(&config, &mut inherited)?;
    let handed = Handed { monitor: inherited.monitor.take(), inhibitions: std::mem::take(&mut parts.kept.inhibitions) };
    drop(inherited);
    parts.begin_journal();
    let (core_sender, messages) = mpsc::channel(MESSAGES);
    let supervised = std::mem::take(&mut parts.supervised);
    let mut hotplug = Hotplug::new(&config, &supervised, &core_sender, handed);
    let providers = start_providers(supervised, &mut hotplug, &core_sender);
    hotplug.tell();
    let (stop_hotplug, stop) = oneshot::channel();
    let hotplug = tokio::spawn(hotplug.run(stop));
    let rtp = std::mem::take(&mut parts.rtp_ports);
    let rtp = (parts.rtp_address, rtp);
    let directories =
        Arc::new(Directories { media: config.media_directories.clone(), record: config.record_directory.clone() });
    let core = tokio::spawn(start_core(parts, messages, Arc::clone(&directories), config.ledger.clone()));
    let providers = providers.settled().await;
    let accepting = tokio::spawn(listen::accept(Accept {
        listener: UnixListener::from_std(listener.try_clone()?)?,
        gate: Arc::new(Gate::new(&config)),
        directories: Arc::clone(&directories),
        core: core_sender.clone(),
    }));
    let reserving = tokio::spawn(reserve(ids));
    store::tell(&[NotifyState::Ready]);
    tracing::info!(socket = %config.socket.display(), providers = config.providers.len(), "ready");
    // The name on the bus is the last that is taken: whoever waits for it finds everything.
    let (bus, gate) = (config.bus.clone(), Arc::new(Gate::new(&config)));
    let front = dbus::Front { bus, core: core_sender.clone(), directories, gate };
    let on_bus = tokio::spawn(dbus::serve(front));
    let ending = signals.until(core, &core_sender, &accepting, path).await?;
    drop(core_sender);
    accepting.abort();
    on_bus.abort();
    reserving.abort();
    let _ = stop_hotplug.send(());
    let Left { providers: found, inhibitions } = hotplug.await.unwrap_or_default();
    match ending {
        Ending::Parked(parked) => {
            let own = own_listener.then_some(&listener);
            park::put_away(*parked, park::gather(providers, found).await, inhibitions, own, rtp)
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

impl Parts {
    /// From now on a crash loses no call: the sockets of call audio are kept, and what changes is written down.
    fn begin_journal(&mut self) {
        self.journal = Journal::begin(store::CORE, &self.recoveries).unwrap_or_else(|error| {
            tracing::error!(%error, "there is no journal: a crash would lose calls");
            None
        });
        match self.journal {
            Some(_) => self.server.begin_checkpoints(),
            None => self.server.end_checkpoints(),
        }
    }
}

/// The core task with everything it goes on with.
fn start_core(
    parts: Parts,
    messages: mpsc::Receiver<Message>,
    directories: Arc<Directories>,
    ledger: Option<std::path::PathBuf>,
) -> impl Future<Output = Ending> {
    for command in &parts.kept.late.media {
        parts.engine.command(command.clone());
    }
    let core = Core::new(Start {
        server: parts.server,
        engine: parts.engine,
        media: parts.media,
        messages,
        streams: parts.kept.streams,
        outstanding: parts.kept.outstanding,
        first_descriptor: parts.first_descriptor,
        wall_offset: parts.wall_offset,
        directories,
        ledger,
        journal: parts.journal,
    });
    core.run(parts.inputs)
}

/// Providers that were started.
struct Providers {
    tasks: JoinSet<Option<Parked>>,
    settling: Vec<oneshot::Receiver<()>>,
}

fn start_providers(supervised: Vec<ToSupervise>, hotplug: &mut Hotplug, core: &mpsc::Sender<Message>) -> Providers {
    let mut providers = Providers { tasks: JoinSet::new(), settling: Vec::new() };
    for (id, config, first) in supervised {
        let (settled, settling) = oneshot::channel();
        providers.settling.push(settling);
        if config.kind.found().is_some() {
            hotplug.adopt(id, config, first, settled);
            continue;
        }
        let Some((config, first)) = hotplug.defer(id, config, first) else { continue };
        let (core, plug, reset) = (core.clone(), hotplug.plug(&config.name), hotplug.reset(&config));
        providers.tasks.spawn(supervise(Supervised { id, config, first, core, settled, plug, line_name: None, reset }));
    }
    providers
}

impl Providers {
    /// Waits until they have told their lines, so that the first client finds them: not for those that must wait for a
    /// device.
    async fn settled(self) -> JoinSet<Option<Parked>> {
        let all = async {
            for settled in self.settling {
                let _ = settled.await;
            }
        };
        let _ = tokio::time::timeout(std::time::Duration::from_secs(1), all).await;
        self.tasks
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

/// What the process begins with: what the one before put away, what its journals tell, or nothing.
fn begin(config: &Config, ids: &Ids, inherited: &mut Inherited) -> io::Result<Parts> {
    if let Some(parts) = resume::resume(config, inherited) {
        return Ok(parts);
    }
    if let Some(parts) = crash::recover(config, ids, inherited) {
        return Ok(parts);
    }
    inherited.close_strays();
    clean(config, ids, inherited)
}

/// A start without anything to go on with.
fn clean(config: &Config, ids: &Ids, inherited: &mut Inherited) -> io::Result<Parts> {
    let mut supervised = Vec::new();
    for (id, provider) in numbered(config) {
        let socket = bind(provider)
            .map_err(|(address, error)| named(&format!("sip {}: listen {address}", provider.name), &error))?;
        supervised.push((id, provider.clone(), First::Fresh(socket)));
    }
    let sockets = rtp_sockets(config, inherited)?;
    let ports: Vec<u16> = sockets.iter().map(|(port, _)| *port).collect();
    let (engine, media) = engine(config.media, config.rtp_address, sockets, None)?;
    let wall_offset = clock::wall_offset();
    let server = Server::new(core_config(config, ids, wall_offset, stream_ports(&ports)));
    Ok(Parts {
        server,
        engine,
        media,
        wall_offset,
        first_descriptor: ids.first(),
        inputs: Vec::new(),
        kept: resume::Kept::default(),
        supervised,
        rtp_address: config.rtp_address,
        rtp_ports: ports,
        journal: None,
        recoveries: Vec::new(),
    })
}

/// The providers with the ids that a start gives them.
fn numbered(config: &Config) -> impl Iterator<Item = (ProviderId, &ProviderConfig)> {
    (1..).map(ProviderId).zip(&config.providers)
}

fn core_config(config: &Config, ids: &Ids, wall_offset: u64, rtp_ports: Vec<u16>) -> tapi_core::Config {
    tapi_core::Config {
        node: config.node.clone(),
        generation: Generation(ids.first()),
        first_id: ids.first(),
        wall_offset,
        rtp_address: config.rtp_address,
        rtp_ports,
        seed: seed(),
        replay_events: config.replay_events,
        idle_grace_ms: config.idle_grace_ms,
        options: config.options.clone(),
    }
}

/// The sockets of call audio, where something will use them. A port that somebody else has is left out.
fn rtp_sockets(config: &Config, inherited: &mut Inherited) -> io::Result<Vec<(u16, std::net::UdpSocket)>> {
    if !config.providers.iter().any(|provider| provider.kind.uses_rtp()) {
        return Ok(Vec::new());
    }
    let (mut sockets, mut refused) = (Vec::new(), None);
    for port in config.rtp_ports.iter().copied() {
        if let Some(kept) =
            inherited.rtp.remove(&port).filter(|kept| kept.local_addr().is_ok_and(|at| at.ip() == config.rtp_address))
        {
            kept.set_nonblocking(true)?;
            sockets.push((port, kept));
            continue;
        }
        match msp_engine::bind(config.rtp_address, std::iter::once(port)) {
            Ok(bound) => sockets.extend(bound),
            Err(error) => {
                tracing::warn!(address = %config.rtp_address, port, %error, "an RTP port cannot be used");
                refused = Some((port, error));
            }
        }
    }
    match refused {
        Some((port, error)) if sockets.is_empty() => {
            Err(named(&format!("rtp: {}:{port}, as all others of the range", config.rtp_address), &error))
        }
        _ => {
            store::keep_rtp_from_the_start(&sockets);
            Ok(sockets)
        }
    }
}

/// One port for each stream: of an even port and its successor the latter is for RTCP.
fn stream_ports(bound: &[u16]) -> Vec<u16> {
    let is_control = |port: u16| port % 2 == 1 && bound.contains(&(port - 1));
    bound.iter().copied().filter(|port| !is_control(*port)).collect()
}

/// Call audio is marked for expedited forwarding (RFC 3246).
const DSCP: u8 = 46;

type MediaEvents = mpsc::UnboundedReceiver<media::Event>;

/// The media threads. What they say waits in a queue without a bound: they must never wait for the core, and they say
/// no more than some ten events a second and stream.
fn engine(
    media: MediaThreads,
    address: std::net::IpAddr,
    sockets: Vec<(u16, std::net::UdpSocket)>,
    state: Option<Vec<u8>>,
) -> io::Result<(Engine, MediaEvents)> {
    let (sender, events) = mpsc::unbounded_channel();
    let on_event = Arc::new(move |event| {
        let _ = sender.send(event);
    });
    let MediaThreads { threads, realtime, jitter_ms } = media;
    let config = EngineConfig { address, sockets, dscp: DSCP, seed: seed(), state, threads, realtime, jitter_ms };
    let engine = Engine::start(config, on_event).map_err(|error| io::Error::other(error.to_string()))?;
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

fn named(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}
