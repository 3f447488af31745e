//! Modems come and go: sources tell of serial ports, and what comes of them is told to the modems' providers. Modems that
//! the configuration names wait for their devices; those that udev's rules give to the daemon, and the entries of a
//! directory, become lines by themselves and stay lines when they are pulled out.

mod groups;
mod imei;
mod inhibit;
mod lines;
mod naming;
pub mod power;
mod tty;
mod udev;
mod uevent;
mod watch;

use crate::clock;
use crate::config::{Config, Kind, ModemConfig, ProviderConfig, UsbReset, name};
use crate::core::Message;
use crate::provider::{First, Parked};
use groups::{Groups, Modem, Said, Settle};
pub use inhibit::Inhibition;
use inhibit::{Inhibitor, Standing};
use naming::Names;
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;
use tapi_core::ProviderId;
use tokio::sync::{mpsc, oneshot, watch as state};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tsp_modem::{Catalogue, Clues};
use tspi::PortId;
use tty::{Role, Tty};
use udev::{Roots, Udev};
use watch::{Paths, Wanted};

/// The first id of a modem that was found: far from those of the configuration.
const FIRST_FOUND: u32 = 1 << 20;

/// Modems that are found. Those that are pulled out count: their lines stay.
const MOST_FOUND: usize = 256;

/// The devices of a modem's ports.
pub type PortMap = BTreeMap<PortId, PathBuf>;

/// What a source says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "there are a few at a time")]
pub enum Fact {
    /// A port is there.
    Added(Tty),
    /// It is gone.
    Removed(String),
}

/// Whether a modem is plugged in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Plug {
    /// Nobody looks.
    #[default]
    Unknown,
    /// It is not.
    Absent,
    /// It is, and somebody else uses it.
    InUse,
    /// It is.
    Present {
        /// How often it was plugged in: another number, another device.
        turn: u64,
        /// Its ports.
        ports: PortMap,
        /// What is known of it.
        clues: Clues,
    },
}

/// One modem that is looked out for.
struct Line {
    plug: state::Sender<Plug>,
    turn: u64,
    /// What its line is called, where the modem completed the name.
    name: Option<String>,
    switch: power::Switch,
}

/// A provider of the configuration that begins when its modem completed the name of its line.
struct Deferred {
    id: ProviderId,
    config: ProviderConfig,
    first: First,
}

/// What waits until ModemManager keeps off.
struct Waiting {
    said: Said,
    /// No longer than until then.
    until: Instant,
}

/// Whether a modem may be used.
enum Clearance {
    Given,
    NotYet,
    InUse,
}

/// What it begins with beside the configuration.
#[derive(Debug, Default)]
pub struct Handed {
    /// udev's monitor, where the service manager opened it.
    pub monitor: Option<OwnedFd>,
    /// What an earlier process keeps ModemManager off, each with its connection to the bus.
    pub inhibitions: Vec<(Inhibition, OwnedFd)>,
}

/// What it leaves.
#[derive(Debug, Default)]
pub struct Left {
    /// The tasks of the modems that were found.
    pub providers: JoinSet<Option<Parked>>,
    /// What ModemManager keeps off, as long as these connections are open.
    pub inhibitions: Vec<(Inhibition, OwnedFd)>,
}

/// The task that looks out for modems.
pub struct Hotplug {
    groups: Groups,
    udev: Option<Udev>,
    paths: Option<Paths>,
    lines: BTreeMap<String, Line>,
    /// Names that the configuration uses.
    taken: BTreeSet<String>,
    config: crate::config::ModemsConfig,
    next: u32,
    core: mpsc::Sender<Message>,
    providers: JoinSet<Option<Parked>>,
    asking: JoinSet<(String, Option<String>)>,
    deferred: BTreeMap<String, Deferred>,
    names: Names,
    inhibitor: Inhibitor,
    /// What is to be told once providers may begin, and may have their modems.
    waiting: Vec<Waiting>,
    /// Modems that an earlier process used: they are not waited for.
    going_on: BTreeSet<String>,
    /// Modems whose devices are to be reset.
    resets: (mpsc::Sender<String>, mpsc::Receiver<String>),
}

impl Hotplug {
    /// Looks at what is there. `begin`: what providers begin with; modems that an earlier process found go on.
    pub fn new(
        config: &Config,
        begin: &[(ProviderId, ProviderConfig, First)],
        core: &mpsc::Sender<Message>,
        handed: Handed,
    ) -> Hotplug {
        let named: Vec<(&str, &ModemConfig)> = config
            .providers
            .iter()
            .filter_map(|provider| match &provider.kind {
                Kind::Modem(modem) => Some((provider.name.as_str(), &**modem)),
                Kind::Sip(_) | Kind::Loopback(_) => None,
            })
            .collect();
        let wanted: Vec<Wanted> = named.iter().flat_map(|(name, modem)| wanted(name, modem)).collect();
        let configured = wanted.iter().map(|wanted| wanted.path.clone()).collect();
        let directories: Vec<&std::path::Path> = config.modems.profiles.iter().map(PathBuf::as_path).collect();
        let (catalogue, _) = Catalogue::load(&directories);
        let settle = config.modems.settle_ms.map(Duration::from_millis).map_or_else(Settle::default, Settle::after);
        let mut hotplug = Hotplug {
            groups: Groups::new(settle, catalogue, configured),
            udev: None,
            paths: None,
            lines: BTreeMap::new(),
            taken: config.providers.iter().map(|provider| provider.name.clone()).collect(),
            config: config.modems.clone(),
            next: FIRST_FOUND,
            core: core.clone(),
            providers: JoinSet::new(),
            asking: JoinSet::new(),
            deferred: BTreeMap::new(),
            names: Names::new(config.modems.locks.clone()),
            inhibitor: Inhibitor::new(config.modems.modem_manager.clone(), handed.inhibitions),
            waiting: Vec::new(),
            going_on: BTreeSet::new(),
            resets: power::requests(),
        };
        for (name, modem) in &named {
            let mut switch = power::Switch::default();
            if let Some(UsbReset::At(path)) = &modem.usb_reset {
                switch.is_at(Some(path.clone()));
            }
            let line = Line { plug: state::Sender::new(Plug::Unknown), turn: 0, name: None, switch };
            hotplug.lines.insert((*name).to_owned(), line);
        }
        begin.iter().for_each(|(_, provider, first)| hotplug.goes_on(provider, first));
        hotplug.begin(wanted, handed.monitor);
        let completes = |modem: &ModemConfig| name::is_template(&modem.modem.line_name);
        let completed =
            named.iter().filter(|(_, modem)| completes(modem)).map(|(name, _)| (*name).to_owned()).collect();
        hotplug.tell_configured(&completed);
        hotplug
    }

    /// What an earlier process knew of a modem holds as long as its port was open all the time. Another one may be in its
    /// place otherwise: it is looked at as if it were plugged in now.
    fn goes_on(&mut self, provider: &ProviderConfig, first: &First) {
        if let (Kind::Modem(modem), Some(name)) = (&provider.kind, first.line_name())
            && let Some(line) = self.lines.get_mut(&provider.name)
            && name::is_template(&modem.modem.line_name)
        {
            self.names.keep(&provider.name, &modem.modem.line_name);
            line.name = Some(name);
        }
        if first.is_connected() {
            self.going_on.insert(provider.name.clone());
            if let Some(found) = provider.kind.found() {
                self.groups.remember(&found.group, &found.key);
            }
        }
    }

    /// Opens the sources and takes what they know.
    fn begin(&mut self, wanted: Vec<Wanted>, monitor: Option<OwnedFd>) {
        let now = clock::now();
        match Paths::new(wanted, self.config.directory.clone()) {
            Ok((paths, facts)) => {
                self.paths = Some(paths);
                self.facts(facts);
                // Those that are not there are waited for.
                self.lines.values().for_each(|line| drop(line.plug.send_replace(Plug::Absent)));
            }
            Err(error) => tracing::error!(%error, "nobody tells when devices come: ports are tried from time to time"),
        }
        if self.config.discover {
            match Udev::new(Roots::default(), monitor) {
                Ok((udev, facts)) => {
                    self.udev = Some(udev);
                    self.facts(facts);
                }
                Err(error) => tracing::info!(%error, "there is no udev: modems are those of the configuration"),
            }
        }
        self.groups.settled(now);
    }

    /// The configuration's modems that are there: their providers are not begun yet, and know it from the start, but for
    /// those that ModemManager must let go of first, or that complete the names of their lines.
    fn tell_configured(&mut self, completed: &BTreeSet<String>) {
        self.inhibitor.want(self.groups.devices());
        let until = Instant::now() + inhibit::PATIENCE;
        while let Some(said) = self.groups.poll() {
            match said {
                Said::Plugged(modem)
                    if self.lines.contains_key(&modem.key)
                        && (self.going_on.contains(&modem.key)
                            || modem.device.is_none() && !completed.contains(&modem.key)) =>
                {
                    self.plugged(modem);
                }
                said => self.waiting.push(Waiting { said, until }),
            }
        }
    }

    fn facts(&mut self, facts: Vec<Fact>) {
        let now = clock::now();
        for fact in facts {
            tracing::debug!(?fact, "serial port");
            self.groups.fact(now, fact);
        }
    }

    /// Whether a modem of the configuration is plugged in, now and later.
    pub fn plug(&self, provider: &str) -> Option<state::Receiver<Plug>> {
        self.lines.get(provider).map(|line| line.plug.subscribe())
    }

    /// How a modem's provider has its device reset, where the configuration allows it.
    pub fn reset(&self, config: &ProviderConfig) -> Option<power::Reset> {
        let Kind::Modem(modem) = &config.kind else { return None };
        modem.usb_reset.as_ref().map(|_| power::Reset::new(&config.name, &self.resets.0))
    }

    /// A modem that was found by an earlier process goes on.
    pub fn adopt(&mut self, id: ProviderId, config: ProviderConfig, first: First, settled: oneshot::Sender<()>) {
        self.next = self.next.max(id.0.saturating_add(1));
        let here = self.going_on.contains(&config.name) && self.groups.is_plugged(&config.name);
        let plug = if here { Plug::Unknown } else { Plug::Absent };
        let name = first.line_name().filter(|_| self.config.line_name.is_some());
        if let Some(template) = self.config.line_name.as_ref().filter(|_| name.is_some()) {
            self.names.keep(&config.name, template);
        }
        self.start(id, config, first, plug, settled, name);
    }

    /// Tells the providers what is known by now; begins those of modems that were found.
    pub fn tell(&mut self) {
        let until = Instant::now() + inhibit::PATIENCE;
        self.waiting.extend(std::iter::from_fn(|| self.groups.poll()).map(|said| Waiting { said, until }));
        self.inhibitor.want(self.groups.devices());
        for one in std::mem::take(&mut self.waiting) {
            match self.clearance(&one) {
                Clearance::Given => self.act(one.said),
                Clearance::NotYet => self.waiting.push(one),
                Clearance::InUse => {
                    if let Said::Plugged(modem) = &one.said {
                        self.withheld(modem);
                    }
                    self.waiting.push(one);
                }
            }
        }
    }

    fn clearance(&self, waiting: &Waiting) -> Clearance {
        let device = match &waiting.said {
            Said::Plugged(modem) if self.going_on.contains(&modem.key) => None,
            Said::Plugged(Modem { device, .. }) | Said::Ask { device, .. } => device.as_deref(),
            Said::Unplugged { .. } => None,
        };
        match device.map(|device| self.inhibitor.standing(device)) {
            None | Some(Some(Standing::Free | Standing::Inhibited)) => Clearance::Given,
            Some(Some(Standing::InUse)) => Clearance::InUse,
            Some(None) if Instant::now() >= waiting.until => Clearance::Given,
            Some(None) => Clearance::NotYet,
        }
    }

    fn act(&mut self, said: Said) {
        match said {
            Said::Plugged(modem) => self.plugged(modem),
            Said::Unplugged { key } => {
                tracing::info!(modem = key, "unplugged");
                self.waiting.retain(|one| !matches!(&one.said, Said::Plugged(modem) if modem.key == key));
                self.names.forget(&key);
                self.going_on.remove(&key);
                if let Some(line) = self.lines.get(&key) {
                    line.plug.send_replace(Plug::Absent);
                }
            }
            Said::Ask { group, node, .. } => {
                let locks = self.config.locks.clone();
                self.asking.spawn(async move {
                    let imei = imei::ask(node, locks).await;
                    (group, imei)
                });
            }
        }
    }

    /// When nobody waits for ModemManager any longer.
    fn patience(&self) -> Option<Instant> {
        let unknown = |one: &&Waiting| match &one.said {
            Said::Plugged(Modem { device: Some(device), .. }) | Said::Ask { device: Some(device), .. } => {
                self.inhibitor.standing(device).is_none()
            }
            _ => false,
        };
        self.waiting.iter().filter(unknown).map(|one| one.until).min()
    }

    /// Looks out until the daemon ends.
    pub async fn run(mut self, mut stop: oneshot::Receiver<()>) -> Left {
        loop {
            self.tell();
            let patience = self.patience();
            let deadline = patience.map_or(deadline(&self.groups), |patience| patience.min(deadline(&self.groups)));
            let facts = tokio::select! {
                _ = &mut stop => {
                    let inhibitions = self.inhibitor.put_down();
                    return Left { providers: self.providers, inhibitions };
                }
                facts = news(self.udev.as_mut(), self.paths.as_mut()) => facts,
                Some(Ok((group, imei))) = self.asking.join_next() => {
                    if imei.is_none() {
                        tracing::warn!(device = group, "a modem does not tell its IMEI: it is asked again");
                    }
                    self.groups.told(clock::now(), &group, imei);
                    continue;
                }
                () = self.inhibitor.changed() => continue,
                Some(modem) = self.resets.1.recv() => {
                    if let Some(line) = self.lines.get_mut(&modem) {
                        line.switch.cycle(&modem);
                    }
                    continue;
                }
                (modem, imei) = self.names.answer() => {
                    self.completed(modem, imei.as_deref());
                    continue;
                }
                () = tokio::time::sleep_until(deadline) => {
                    self.groups.timeout(clock::now());
                    continue;
                }
            };
            self.facts(facts);
        }
    }
}

fn deadline(groups: &Groups) -> Instant {
    clock::instant(groups.deadline())
}

/// Waits for one of the sources.
async fn news(udev: Option<&mut Udev>, paths: Option<&mut Paths>) -> Vec<Fact> {
    let udev = async {
        match udev {
            Some(udev) => udev.next().await,
            None => std::future::pending().await,
        }
    };
    let paths = async {
        match paths {
            Some(paths) => paths.next().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        facts = udev => facts,
        facts = paths => facts,
    }
}

/// The ports of a modem that the configuration names.
fn wanted(name: &str, modem: &ModemConfig) -> Vec<Wanted> {
    let device = &modem.physical_device;
    let port = |role: Role, path: &PathBuf| Wanted {
        modem: name.to_owned(),
        role,
        path: path.clone(),
        device: device.clone(),
    };
    let audio = modem.audio_device.as_ref().map(|path| port(Role::Audio, path));
    [Some(port(Role::At, &modem.device)), audio].into_iter().flatten().collect()
}
