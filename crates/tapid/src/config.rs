//! Configuration: what the file says, and what the daemon makes of it.
//!
//! Every message names file, line and column. Reading has two halves: [`mod@file`] is the shape of the TOML, where unknown
//! keys are errors; [`check`] is what the shape cannot say, and tells all it finds.

mod account;
mod calls;
mod change;
mod check;
mod file;
mod modem;
pub mod name;
mod pin;
mod rights;
#[cfg(test)]
mod tests;

pub use change::anew;
pub use modem::{Found, ModemConfig, ModemsConfig, ProfileSource, TranscriptConfig, UsbReset};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// Where the configuration is looked for when nobody says otherwise.
pub const DEFAULT_PATH: &str = "/etc/tapid/tapid.toml";

/// Everything that can be configured, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The socket that clients connect to.
    pub socket: PathBuf,
    /// Its permissions.
    pub socket_mode: u32,
    /// Name of this node, in calls' uids.
    pub node: String,
    /// Users that may connect, beside root and the daemon's own.
    pub allow_users: Vec<u32>,
    /// Groups whose members may connect.
    pub allow_groups: Vec<u32>,
    /// Directories below which files are played.
    pub media_directories: Vec<PathBuf>,
    /// Directory below which recordings are written.
    pub record_directory: Option<PathBuf>,
    /// Directory for what must be remembered over restarts of the machine.
    pub state_directory: Option<PathBuf>,
    /// How long the information of idle calls is kept, in milliseconds.
    pub idle_grace_ms: u64,
    /// Events kept for clients that come back.
    pub replay_events: usize,
    /// Address of the RTP sockets.
    pub rtp_address: IpAddr,
    /// Their ports.
    pub rtp_ports: Vec<u16>,
    /// The media threads.
    pub media: MediaThreads,
    /// Who may do what, and what becomes of calls that nobody takes.
    pub options: tapi_core::Options,
    /// The bus on which the server is, too.
    pub bus: crate::dbus::Bus,
    /// The file that a line is added to for each call that ended.
    pub ledger: Option<PathBuf>,
    /// How modems are found.
    pub modems: ModemsConfig,
    /// The providers, in the file's order: SIP, then modems, then loopback.
    pub providers: Vec<ProviderConfig>,
}

/// How call audio is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaThreads {
    /// How many; none: as many as there are cores.
    pub threads: Option<NonZeroUsize>,
    /// Whether they ask for real-time priority.
    pub realtime: bool,
    /// Least and most delay of the playout buffers, in milliseconds.
    pub jitter_ms: (u32, u32),
}

impl Default for MediaThreads {
    fn default() -> MediaThreads {
        MediaThreads { threads: None, realtime: true, jitter_ms: msp_engine::JITTER_MS }
    }
}

/// One provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderConfig {
    /// Its name, unique.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// What the shell around it needs for connections and names.
    #[serde(default)]
    pub network: NetworkConfig,
}

/// What the shell around a provider needs for connections and names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkConfig {
    /// Files for TLS.
    pub tls: TlsConfig,
    /// Name servers; none: the system's.
    pub nameservers: Vec<SocketAddr>,
}

/// Files for TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsConfig {
    /// Our certificate, with those between it and its authority.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// Authorities that are trusted; none: the system's.
    pub ca: Option<PathBuf>,
    /// Whether only those are let in who show a certificate.
    pub client_certificate_required: bool,
}

/// What a provider is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// SIP over one UDP socket.
    Sip(Box<tsp_sip::Config>),
    /// A modem at a serial port.
    Modem(Box<ModemConfig>),
    /// Lines that call one another.
    Loopback(tsp_loopback::Config),
}

impl Config {
    /// Two lines that call one another, beside what is configured.
    pub fn add_demo(&mut self) {
        let name = "demo".to_string();
        let kind = Kind::Loopback(tsp_loopback::Config { name: name.clone(), lines: 2 });
        self.providers.push(ProviderConfig { name, kind, network: NetworkConfig::default() });
    }
}

impl Kind {
    /// How it was found, where the file does not name it.
    pub fn found(&self) -> Option<&Found> {
        match self {
            Kind::Modem(modem) => modem.found.as_ref(),
            Kind::Sip(_) | Kind::Loopback(_) => None,
        }
    }

    /// The address of its UDP socket, where it has one.
    pub fn udp(&self) -> Option<std::net::SocketAddr> {
        match self {
            Kind::Sip(sip) => Some(sip.listen),
            Kind::Modem(_) | Kind::Loopback(_) => None,
        }
    }

    /// Whether its lines' audio is RTP, so that the ports of `[rtp]` are needed.
    pub fn uses_rtp(&self) -> bool {
        match self {
            Kind::Sip(_) => true,
            Kind::Modem(_) | Kind::Loopback(_) => false,
        }
    }
}

impl Default for Config {
    /// A quiet daemon: a socket, and no lines.
    fn default() -> Config {
        Config {
            socket: PathBuf::from("/run/tapid/api.sock"),
            socket_mode: 0o660,
            node: host_name(),
            allow_users: Vec::new(),
            allow_groups: Vec::new(),
            media_directories: Vec::new(),
            record_directory: None,
            state_directory: None,
            idle_grace_ms: 60_000,
            replay_events: 8_192,
            rtp_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            rtp_ports: (20_000..=20_199).collect(),
            media: MediaThreads::default(),
            options: tapi_core::Options::default(),
            bus: crate::dbus::Bus::default(),
            ledger: None,
            modems: ModemsConfig::default(),
            providers: Vec::new(),
        }
    }
}

impl Config {
    /// Reads a file. `None` is the default path, which need not exist.
    pub fn load(path: Option<&Path>) -> Result<Config, Problems> {
        let (path, must_exist) = path.map_or((Path::new(DEFAULT_PATH), false), |path| (path, true));
        match std::fs::read_to_string(path) {
            Ok(text) => Config::parse(path, &text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => Config::parse(path, ""),
            Err(error) => Err(Problems(vec![format!("{}: {error}", path.display())])),
        }
    }

    /// Reads the text of a file.
    pub fn parse(path: &Path, text: &str) -> Result<Config, Problems> {
        let source = Source { path, text };
        match toml::from_str::<file::File>(text) {
            Ok(file) => check::check(&source, file),
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                Err(Problems(vec![source.say(at, &with_suggestion(error.message()))]))
            }
        }
    }
}

/// Everything that is wrong with a configuration: each with file, line and column.
#[derive(Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Problems {}

/// A text, and where it is from.
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    /// A message about the byte at `offset`. Lines and columns count from 1, columns in characters.
    fn say(&self, offset: usize, what: &str) -> String {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        format!("{}:{line}:{column}: {}", self.path.display(), what.trim_end().replace('\n', ": "))
    }
}

/// Adds "did you mean" where one of the expected names is near the unknown one.
fn with_suggestion(message: &str) -> String {
    let mut names = message.split('`').skip(1).step_by(2);
    let nearest = match names.next() {
        Some(unknown) if message.starts_with("unknown field") => {
            names.map(|name| (distance(unknown, name), name)).min().filter(|(distance, _)| *distance <= 2)
        }
        _ => None,
    };
    match nearest {
        Some((_, name)) => format!("{message}; did you mean `{name}`?"),
        None => message.to_string(),
    }
}

/// How many letters must be changed, added or taken away to make one name of the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let change = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".to_string() } else { name.to_string() }
}

/// An address that the file may give without a port.
fn socket_address(text: &str, port: u16) -> Option<SocketAddr> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, port)))
}
