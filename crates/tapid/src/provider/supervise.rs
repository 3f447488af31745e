//! What starts a provider, and starts it anew when it dies.

use super::farewell::farewell;
use super::pins::Pins;
use super::ports::{Port, Ports, Serial, Spec};
use super::{AnyProvider, Driver, Finished, INBOX, Through, ToProvider, Transcript, port_name};
use crate::config::{Kind, ProfileSource, ProviderConfig};
use crate::core::Message;
use crate::hotplug::{Plug, power::Reset};
use crate::journal::Journal;
use crate::seed::seed;
use crate::store;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use tapi_core::ProviderId;
use tokio::net::UdpSocket;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;
use tspi::{Command, Input, PortId};

/// The first wait before a provider is started again; it doubles up to [`MAX_BACK_OFF`].
const BACK_OFF: Duration = Duration::from_secs(1);

/// The longest wait.
const MAX_BACK_OFF: Duration = Duration::from_secs(60);

/// A provider that is to run.
pub struct Supervised {
    /// Its id.
    pub id: ProviderId,
    /// Its configuration.
    pub config: ProviderConfig,
    /// What its first run begins with.
    pub first: First,
    /// To the core.
    pub core: mpsc::Sender<Message>,
    /// Told once the first run has said what it can say without waiting, or failed.
    pub settled: oneshot::Sender<()>,
    /// Whether its device is plugged in, where somebody looks.
    pub plug: Option<watch::Receiver<Plug>>,
    /// The name of its line, where its modem completed it.
    pub line_name: Option<String>,
    /// How its device is reset, where that is allowed.
    pub reset: Option<Reset>,
}

/// What a run begins with.
pub enum First {
    /// Nothing, but a socket that is bound already.
    Fresh(Option<std::net::UdpSocket>),
    /// A provider that came back from a crash with its calls, and its socket.
    Recovered(Box<AnyProvider>, Option<std::net::UdpSocket>),
    /// What an earlier process put down, with its descriptors by name.
    Parked(Box<Parked>, BTreeMap<String, OwnedFd>),
    /// Nothing, once what an earlier process put down has ended its calls.
    After(Box<Parked>, BTreeMap<String, OwnedFd>),
}

impl First {
    /// What the line of a modem is called that an earlier process put down.
    pub fn line_name(&self) -> Option<String> {
        match self {
            First::Parked(parked, _) => parked.provider.line_name().map(str::to_owned),
            First::Fresh(_) | First::Recovered(..) | First::After(..) => None,
        }
    }

    /// Whether the modem is the one that the earlier process had: its port came through, and was not hung up meanwhile.
    pub fn is_connected(&self) -> bool {
        let First::Parked(parked, descriptors) = self else { return false };
        let at = parked.ports.iter().find(|port| port.port == tsp_modem::AT_PORT);
        let descriptor = at.and_then(|port| descriptors.get(&port.descriptor));
        // A terminal that was hung up knows no requests any more.
        descriptor.is_some_and(|descriptor| rustix::termios::tcgetattr(descriptor).is_ok())
    }
}

/// What a provider's task leaves to a new process.
#[derive(Serialize, Deserialize)]
pub struct Parked {
    /// Its id.
    pub id: ProviderId,
    /// Its configuration.
    pub config: ProviderConfig,
    /// The provider.
    pub provider: AnyProvider,
    /// Its open ports.
    pub ports: Vec<ParkedPort>,
    /// Ports that it asked to be opened.
    pub opening: Vec<PortId>,
    /// Connections: they end with the process, and the provider is told so.
    #[serde(default)]
    pub connections: Vec<PortId>,
    /// Names that it asked to be looked up.
    pub resolving: Vec<tspi::Query>,
    /// Commands that it has not seen yet.
    pub commands: Vec<Command>,
    /// Whether an application had its port, through a socket that ended with the process.
    #[serde(default)]
    pub through: bool,
    /// The ports' descriptors, by their names in the store.
    #[serde(skip)]
    pub descriptors: Vec<(String, OwnedFd)>,
}

/// One open port.
#[derive(Serialize, Deserialize)]
pub struct ParkedPort {
    /// Which.
    pub port: PortId,
    /// Whether it is a serial port.
    pub serial: bool,
    /// What was not yet written.
    pub unwritten: Vec<u8>,
    /// Name of its descriptor in the store.
    pub descriptor: String,
}

/// Runs a provider until the daemon ends. What is returned is for a new process.
pub async fn supervise(supervised: Supervised) -> Option<Parked> {
    let Supervised { id, config, first, core, settled, plug, line_name, reset } = supervised;
    let named = with_line(&config, line_name);
    let (mut first, mut settled) = (Some(first), Some(settled));
    let mut back_off = BACK_OFF;
    for run in 1.. {
        let began = Instant::now();
        let reason = match start(&named, first.take().unwrap_or(First::Fresh(None))).await {
            Ok((mut provider, ports, beginning)) => {
                let (sender, inbox) = mpsc::channel(INBOX);
                let journal = begin_journal(&config.name, &mut provider, &ports);
                let frames = Arc::new(Notify::new());
                let mut driver = Driver {
                    id,
                    run,
                    provider,
                    ports,
                    inbox,
                    core: core.clone(),
                    frames: Arc::clone(&frames),
                    streams: BTreeMap::new(),
                    settled: settled.take(),
                    plug: plug.clone(),
                    journal,
                    transcript: transcript(&config),
                    through: Through::default(),
                    pressure: Default::default(),
                    pins: Pins::of(&config),
                    reset: reset.clone(),
                };
                driver.plugged();
                let restored = matches!(beginning, Beginning::Parked(_) | Beginning::Recovered);
                let name = config.name.clone();
                let started = Message::ProviderStarted { provider: id, run, name, inbox: sender, frames, restored };
                core.send(started).await.ok()?;
                match one_run(driver, beginning).await {
                    Ok(finished) => {
                        let parked = put_down(finished?, config);
                        let _ = core.send(Message::ProviderParked).await;
                        return Some(parked);
                    }
                    Err(reason) => reason,
                }
            }
            Err(reason) => reason,
        };
        settled = None;
        tracing::error!(provider = config.name, reason, again_in_s = back_off.as_secs(), "provider is not running");
        core.send(Message::ProviderStopped { provider: id, run, reason }).await.ok()?;
        tokio::select! {
            () = tokio::time::sleep(back_off) => {}
            () = core.closed() => return None,
        }
        back_off = if began.elapsed() > MAX_BACK_OFF * 2 { BACK_OFF } else { (back_off * 2).min(MAX_BACK_OFF) };
    }
    None
}

/// The configuration with the name of the line in it.
fn with_line(config: &ProviderConfig, line_name: Option<String>) -> ProviderConfig {
    let mut named = config.clone();
    if let (Kind::Modem(modem), Some(line_name)) = (&mut named.kind, line_name) {
        modem.modem.line_name = line_name;
    }
    named
}

/// Where a provider whose calls outlive a crash writes them down; its sockets are kept from now on.
fn begin_journal(name: &str, provider: &mut AnyProvider, ports: &Ports) -> Option<Journal> {
    if !provider.outlives_a_crash() || !store::present() {
        provider.end_checkpoints();
        return None;
    }
    let mut kept = ports.iter().filter(|(_, open)| matches!(open, Port::Udp(_)));
    let kept = kept.try_for_each(|(port, open)| store::keep(&port_name(name, port), &[open.as_fd()]));
    match kept.and_then(|()| Journal::begin(name, &[])) {
        Ok(journal) => {
            provider.begin_checkpoints();
            journal
        }
        Err(error) => {
            tracing::error!(provider = name, %error, "there is no journal: a crash would lose calls");
            provider.end_checkpoints();
            None
        }
    }
}

/// What a run's first inputs are.
pub(super) enum Beginning {
    /// The first of all.
    Fresh,
    /// The first of all, of a provider that has calls.
    Recovered,
    /// What was left over.
    Parked(Vec<Command>),
}

/// One run. `Err`: it died, and is to be started again. `Ok(None)`: the daemon ends.
async fn one_run(mut driver: Driver, beginning: Beginning) -> Result<Option<Driver>, String> {
    let core = driver.core.clone();
    let task = tokio::spawn(async move {
        match beginning {
            Beginning::Fresh | Beginning::Recovered => driver.tell(Input::Timeout),
            Beginning::Parked(commands) => {
                for command in commands {
                    driver.tell(Input::Command(command));
                }
            }
        }
        let finished = driver.run().await;
        (driver, finished)
    });
    match task.await {
        Ok((driver, Finished::Park)) => Ok(Some(driver)),
        Ok((_, Finished::Abandoned)) if core.is_closed() => Ok(None),
        Ok((_, Finished::Abandoned)) => Err("it did not take its commands".to_string()),
        Err(error) => Err(format!("it panicked: {}", panic_text(error))),
    }
}

fn panic_text(error: tokio::task::JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
            (Some(text), _) => text.clone(),
            (None, Some(text)) => (*text).to_string(),
            (None, None) => "without a message".to_string(),
        },
        Err(error) => error.to_string(),
    }
}

fn transcript(config: &ProviderConfig) -> Option<Transcript> {
    match &config.kind {
        Kind::Modem(modem) => modem.transcript.as_ref().map(Transcript::begin),
        Kind::Sip(_) | Kind::Loopback(_) => None,
    }
}

/// What a provider's ports are.
pub(super) fn specs(config: &ProviderConfig) -> BTreeMap<PortId, Spec> {
    match &config.kind {
        Kind::Sip(sip) => {
            let listens = |port, address: Option<SocketAddr>, secured| {
                address.map(|address| (port, Spec::Listen { address, secured }))
            };
            let tcp = listens(tsp_sip::TCP_PORT, sip.transports.tcp, false);
            let tls = listens(tsp_sip::TLS_PORT, sip.transports.tls, true);
            [Some((tsp_sip::PORT, Spec::Udp(sip.listen))), tcp, tls].into_iter().flatten().collect()
        }
        Kind::Modem(modem) => {
            let line = match &modem.profile {
                ProfileSource::Is(profile) => profile.line.clone(),
                ProfileSource::Auto { .. } => Default::default(),
            };
            let (baud, flow) = (modem.baud.unwrap_or(line.dte_speed), modem.flow.unwrap_or(line.flow));
            let locks = modem.locks.clone();
            let serial =
                |device: &std::path::PathBuf| Spec::Serial { device: device.clone(), baud, flow, locks: locks.clone() };
            let audio = modem.audio_device.as_ref().map(|device| (tsp_modem::AUDIO_PORT, serial(device)));
            BTreeMap::from_iter([Some((tsp_modem::AT_PORT, serial(&modem.device))), audio].into_iter().flatten())
        }
        Kind::Loopback(_) => BTreeMap::new(),
    }
}

/// Binds the socket that a provider needs, where it needs one: at the start, so that a conflict is told at once.
pub fn bind(config: &ProviderConfig) -> Result<Option<std::net::UdpSocket>, (SocketAddr, io::Error)> {
    match &config.kind {
        Kind::Sip(sip) => {
            let socket = std::net::UdpSocket::bind(sip.listen).map_err(|error| (sip.listen, error))?;
            Ok(Some(socket))
        }
        Kind::Modem(_) | Kind::Loopback(_) => Ok(None),
    }
}

async fn start(config: &ProviderConfig, first: First) -> Result<(AnyProvider, Ports, Beginning), String> {
    let mut ports = Ports::new(specs(config), &config.network);
    let socket = match first {
        First::Parked(parked, descriptors) => return resume(*parked, descriptors, ports),
        First::After(parked, descriptors) => {
            farewell(*parked, descriptors).await;
            None
        }
        First::Recovered(provider, socket) => {
            if let (Some(port), Some(socket)) = (ports.udp(), socket) {
                ports.bind(port, udp(socket).map_err(|error| error.to_string())?);
            }
            return Ok((*provider, ports, Beginning::Recovered));
        }
        First::Fresh(Some(socket)) => Some(socket),
        First::Fresh(None) => bind(config).map_err(|(address, error)| format!("{address}: {error}"))?,
    };
    let mut listen = None;
    if let (Some(port), Some(socket)) = (ports.udp(), socket) {
        let socket = udp(socket).map_err(|error| error.to_string())?;
        listen = socket.local_addr().ok();
        ports.bind(port, socket);
    }
    let provider = AnyProvider::new(config, listen, seed())?;
    Ok((provider, ports, Beginning::Fresh))
}

/// Why a port is gone that did not come through a restart.
const LOST: &str = "lost in a restart of the server";

/// Goes on where an earlier process left off.
pub(super) fn resume(
    parked: Parked,
    mut descriptors: BTreeMap<String, OwnedFd>,
    mut ports: Ports,
) -> Result<(AnyProvider, Ports, Beginning), String> {
    for port in parked.ports {
        let open = descriptors.remove(&port.descriptor).and_then(|descriptor| {
            let open = if port.serial {
                Serial::restore(descriptor, port.unwritten, ports.locks(port.port)).map(Port::Serial)
            } else {
                udp(std::net::UdpSocket::from(descriptor)).map(Port::Udp)
            };
            open.ok()
        });
        match open {
            // Nobody knows what the modem was told: it begins anew, and DTR goes down with the port.
            Some(_) | None if parked.through => {
                ports.lost(port.port, "a call in passthrough ends with a restart of the server")
            }
            Some(open) => ports.restore(port.port, open),
            None => ports.lost(port.port, LOST),
        }
    }
    for port in parked.opening {
        ports.open(port);
    }
    for port in parked.connections {
        ports.lost(port, LOST);
    }
    for query in parked.resolving {
        ports.look_up(query);
    }
    Ok((parked.provider, ports, Beginning::Parked(parked.commands)))
}

/// Room for datagrams that wait, in bytes, as far as `net.core.rmem_max` allows it: what the system gives is full after some
/// ninety of them, thirty milliseconds of a busy trunk.
const ROOM: usize = 4 << 20;

fn udp(socket: std::net::UdpSocket) -> io::Result<UdpSocket> {
    socket.set_nonblocking(true)?;
    if let Err(error) = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, ROOM) {
        tracing::debug!(%error, "the socket keeps its room");
    }
    UdpSocket::from_std(socket)
}

fn put_down(mut driver: Driver, config: ProviderConfig) -> Parked {
    driver.inbox.close();
    let mut commands = Vec::new();
    while let Ok(message) = driver.inbox.try_recv() {
        if let ToProvider::Command(command) = message {
            commands.push(command);
        }
    }
    let through = driver.through.is_open();
    let (opening, resolving) = driver.ports.under_way();
    let connections = driver.ports.connections();
    let (mut ports, mut descriptors) = (Vec::new(), Vec::new());
    for (port, open) in driver.ports.iter() {
        let descriptor = port_name(&config.name, port);
        let unwritten = if let Port::Serial(serial) = open { serial.unwritten() } else { Vec::new() };
        match open.as_fd().try_clone_to_owned() {
            Ok(duplicate) => descriptors.push((descriptor.clone(), duplicate)),
            Err(error) => tracing::error!(provider = config.name, %error, "a port cannot be kept over the restart"),
        }
        ports.push(ParkedPort { port, serial: matches!(open, Port::Serial(_)), unwritten, descriptor });
    }
    Parked {
        id: driver.id,
        config,
        provider: driver.provider,
        ports,
        opening,
        connections,
        resolving,
        commands,
        through,
        descriptors,
    }
}

#[cfg(test)]
mod tests;
