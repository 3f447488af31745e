//! Building a world.

use super::{AnyProvider, Media, Order, Peer, Plug, ProviderInput, Queues, Running, Way, Work, World};
use crate::exchange::{self, BoxedDevice, Exchange, ModemId};
use crate::net::{Conditions, Net};
use msp_rtp::Msp;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tapi::{Generation, Time};
use tapi_core::{Input, ProviderId, Server};
use tsp_loopback::Loopback;
use tspi::PortId;

/// The address of the node.
pub const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));

/// What a world is like.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Chance, everywhere.
    pub seed: u64,
    /// The network.
    pub net: Conditions,
    /// In which order waiting work is done.
    pub order: Order,
    /// Whether everything is written, read back and replaced by the copy after each step.
    pub snapshots: bool,
    /// RTP ports of the node.
    pub rtp_ports: Vec<u16>,
    /// How long idle calls are kept when nobody deallocates them, in milliseconds.
    pub idle_grace_ms: u64,
    /// Events kept for clients that come back.
    pub replay_events: usize,
    /// The country of the exchange: tones, ringing, caller identities.
    pub country: exchange::Country,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            seed: 1,
            net: Conditions::LAN,
            order: Order::Arrival,
            snapshots: true,
            rtp_ports: (0..16).map(|number| 40_000 + 2 * number).collect(),
            idle_grace_ms: 30_000,
            replay_events: 1_000,
            country: exchange::Country::US,
        }
    }
}

impl World {
    /// A world with a server and nothing else.
    pub fn new(setup: Setup) -> World {
        let seed = |part: u8| {
            let mut bytes = [part; 32];
            bytes[..8].copy_from_slice(&setup.seed.to_le_bytes());
            bytes
        };
        let config = tapi_core::Config {
            node: "world".into(),
            generation: Generation(setup.seed),
            first_id: 1,
            wall_offset: 1_700_000_000_000_000,
            rtp_address: SERVER,
            rtp_ports: setup.rtp_ports.clone(),
            seed: seed(1),
            replay_events: setup.replay_events,
            idle_grace_ms: setup.idle_grace_ms,
            options: tapi_core::Options::default(),
        };
        World {
            now: Time::ZERO,
            server: Server::new(config),
            providers: BTreeMap::new(),
            media: Media::new(Msp::new(seed(2))),
            net: Net::new(setup.seed, setup.net),
            exchange: Exchange::new(exchange::Config {
                seed: setup.seed,
                country: setup.country,
                ..exchange::Config::default()
            }),
            exchange_log: Vec::new(),
            peers: Vec::new(),
            zone: crate::dns::Zone::new(),
            ledger: Vec::new(),
            apps: Vec::new(),
            lines: BTreeMap::new(),
            clients: BTreeMap::new(),
            next_client: 1,
            next_descriptor: 1,
            queues: Queues::new(setup.order.clone()),
            recorder: None,
            steps: 0,
            trail: VecDeque::new(),
            idle_turns: 0,
            setup,
        }
    }

    /// Starts a provider: the server hears of it, then it gets its first input.
    pub fn start(&mut self, name: &str, provider: AnyProvider, plugs: BTreeMap<PortId, Plug>) -> ProviderId {
        let next = self.providers.keys().next_back().map_or(0, |last| last.0 + 1);
        let id = ProviderId(next);
        self.start_as(id, name, provider, plugs);
        id
    }

    /// Starts a provider under an id: the one that it had before it died.
    pub fn start_as(&mut self, id: ProviderId, name: &str, provider: AnyProvider, plugs: BTreeMap<PortId, Plug>) {
        self.providers.insert(id, Running::new(provider, plugs));
        let started = Input::ProviderStarted { provider: id, name: name.into() };
        self.queues.push(Way::ProviderToServer(id), Work::Server(started));
        self.queues.push(Way::WireToProvider(id), Work::Provider(id, ProviderInput::Timeout));
    }

    /// Starts a loopback provider.
    pub fn start_loopback(&mut self, name: &str, lines: u32) -> ProviderId {
        let provider = Loopback::new(tsp_loopback::Config { name: name.into(), lines });
        self.start(name, AnyProvider::Loopback(Box::new(provider)), BTreeMap::new())
    }

    /// Starts a loopback provider again that died.
    pub fn restart_loopback(&mut self, id: ProviderId, name: &str, lines: u32) {
        let provider = Loopback::new(tsp_loopback::Config { name: name.into(), lines });
        self.start_as(id, name, AnyProvider::Loopback(Box::new(provider)), BTreeMap::new());
    }

    /// Starts a SIP provider at a port of the node, with one trunk that is known by its peer's address.
    pub fn start_sip(&mut self, port: u16, line: &str, peer: SocketAddr) -> ProviderId {
        let listen = SocketAddr::new(SERVER, port);
        let config = tsp_sip::Config {
            name: format!("sip-{port}"),
            listen,
            user_agent: "tapid".into(),
            timers: tsp_sip::Timers::default(),
            transports: tsp_sip::Transports::default(),
            lines: vec![tsp_sip::LineConfig {
                name: line.into(),
                description: "a trunk".into(),
                user: "office".into(),
                domain: SERVER.to_string(),
                peers: vec![peer.ip().to_string()],
                proxy: Some(peer.to_string()),
                max_calls: 4,
                ..tsp_sip::LineConfig::default()
            }],
        };
        let mut seed = [3; 32];
        seed[..8].copy_from_slice(&(self.setup.seed.wrapping_add(u64::from(port))).to_le_bytes());
        let provider = AnyProvider::Sip(Box::new(tsp_sip::Sip::new(config, seed)));
        self.start(&format!("sip-{port}"), provider, BTreeMap::from([(tsp_sip::PORT, Plug::Socket(listen))]))
    }

    /// Attaches a simulated modem with this number to the exchange and starts its provider with a built-in profile.
    ///
    /// # Panics
    /// If there is no such profile.
    pub fn start_modem(
        &mut self,
        name: &str,
        number: &str,
        profile: &str,
        device: BoxedDevice,
    ) -> (ProviderId, ModemId) {
        self.start_modem_at(name, number, profile, device, tsp_modem::Office::default())
    }

    /// The same at an exchange with these services.
    ///
    /// # Panics
    /// If there is no such profile.
    pub fn start_modem_at(
        &mut self,
        name: &str,
        number: &str,
        profile: &str,
        device: BoxedDevice,
        office: tsp_modem::Office,
    ) -> (ProviderId, ModemId) {
        let audio = device.ports() > 1;
        let modem = self.exchange.attach(name, number, device);
        let config = tsp_modem::Config {
            name: name.into(),
            line_name: format!("modem:{name}"),
            address: Some(number.into()),
            audio,
            office,
            ..tsp_modem::Config::default()
        };
        let Some(profile) = tsp_modem::Profile::builtin(profile) else { panic!("there is no profile {profile}") };
        let mut plugs = BTreeMap::from([(tsp_modem::AT_PORT, Plug::Serial(modem, crate::modem::AT_PORT))]);
        if audio {
            plugs.insert(tsp_modem::AUDIO_PORT, Plug::Serial(modem, crate::modem::AUDIO_PORT));
        }
        let provider = AnyProvider::Modem(Box::new(tsp_modem::Modem::new(config, profile)));
        (self.start(name, provider, plugs), modem)
    }

    /// Adds a SIP peer, and returns its number.
    pub fn add_peer(&mut self, peer: Peer) -> usize {
        self.peers.push(peer);
        self.peers.len() - 1
    }

    /// A provider dies: its state is gone, and the server hears of it.
    pub fn kill_provider(&mut self, id: ProviderId, reason: &str) {
        self.providers.remove(&id);
        for way in
            [Way::ServerToProvider(id), Way::MediaToProvider(id), Way::WireToProvider(id), Way::ProviderToMedia(id)]
        {
            self.queues.forget(way);
        }
        let stopped = Input::ProviderStopped { provider: id, reason: reason.into() };
        self.queues.push(Way::ProviderToServer(id), Work::Server(stopped));
    }
}
