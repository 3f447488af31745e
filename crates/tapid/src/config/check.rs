//! From the file's shape to a configuration that can be run.

mod transports;

use super::file::{File, Loopback, NameOrId, Sip, SipLine, Timers};
use super::{Config, Kind, NetworkConfig, Problems, ProviderConfig, Source, socket_address};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// Longest path of a Unix socket that the kernel takes.
const SOCKET_PATH_MAX: usize = 107;

/// Most lines of one `[[loopback]]`.
const LOOPBACK_LINES: u32 = 100;

/// Checks everything, and tells everything that is wrong.
pub fn check(source: &Source<'_>, file: File) -> Result<Config, Problems> {
    let mut checker = Checker { source, problems: Vec::new(), names: BTreeMap::new(), listens: BTreeMap::new() };
    let mut config = Config::default();
    checker.daemon(&mut config, &file);
    checker.rtp(&mut config, &file);
    checker.options(&mut config, &file);
    for sip in file.sip {
        let provider = checker.sip(sip);
        config.providers.extend(provider);
    }
    let catalogue = checker.modems(&mut config, file.modems);
    for modem in file.modem {
        let provider = checker.modem(modem, &config, &catalogue);
        config.providers.extend(provider);
    }
    for loopback in file.loopback {
        config.providers.push(checker.loopback(loopback));
    }
    if checker.problems.is_empty() { Ok(config) } else { Err(Problems(checker.problems)) }
}

pub(super) struct Checker<'a> {
    source: &'a Source<'a>,
    problems: Vec<String>,
    /// Names that must differ (`provider NAME`, `line NAME`, `device PATH`), and the line where each stands.
    names: BTreeMap<String, usize>,
    listens: BTreeMap<SocketAddr, usize>,
}

impl Checker<'_> {
    pub(super) fn wrong<T>(&mut self, at: &Spanned<T>, what: impl AsRef<str>) {
        self.problems.push(self.source.say(at.span().start, what.as_ref()));
    }

    fn line_of(&self, offset: usize) -> usize {
        self.source.text.get(..offset).unwrap_or("").matches('\n').count() + 1
    }

    fn daemon(&mut self, config: &mut Config, file: &File) {
        let daemon = &file.daemon;
        if let Some(socket) = &daemon.socket {
            self.absolute(socket, "socket");
            if socket.as_ref().as_os_str().len() > SOCKET_PATH_MAX {
                self.wrong(socket, format!("socket: longer than the {SOCKET_PATH_MAX} bytes that the system takes"));
            }
            config.socket = socket.as_ref().clone();
        }
        if let Some(mode) = &daemon.socket_mode {
            match u32::from_str_radix(mode.as_ref(), 8) {
                Ok(value) if value <= 0o777 => config.socket_mode = value,
                _ => self.wrong(mode, "socket_mode: expected permissions in octal such as \"0660\""),
            }
        }
        if let Some(node) = &daemon.node {
            if is_name(node.as_ref()) {
                config.node = node.as_ref().clone();
            } else {
                self.wrong(node, format!("node: {NAME_RULE}"));
            }
        }
        config.allow_users = daemon.allow_users.iter().filter_map(|user| self.account(user, "user", user_id)).collect();
        config.allow_groups =
            daemon.allow_groups.iter().filter_map(|group| self.account(group, "group", group_id)).collect();
        for directory in &daemon.media_directories {
            self.directory(directory, "media_directories");
            config.media_directories.push(directory.as_ref().clone());
        }
        config.record_directory = self.optional_directory(daemon.record_directory.as_ref(), "record_directory");
        config.state_directory = self.optional_directory(daemon.state_directory.as_ref(), "state_directory");
        if let Some(grace) = &daemon.idle_grace_s {
            self.within(grace, "idle_grace_s", 1..=86_400);
            config.idle_grace_ms = grace.as_ref().saturating_mul(1_000);
        }
        if let Some(events) = &daemon.replay_events {
            self.within(events, "replay_events", 0..=1_000_000);
            config.replay_events = *events.as_ref();
        }
    }

    fn rtp(&mut self, config: &mut Config, file: &File) {
        if let Some(address) = &file.rtp.address {
            match address.as_ref().parse::<IpAddr>() {
                Ok(value) if !value.is_unspecified() && !value.is_multicast() => config.rtp_address = value,
                Ok(value) => self.wrong(address, format!("address: {value} cannot be told to a peer to send to")),
                Err(_) => self.wrong(address, "address: expected an IP address"),
            }
        } else if let Some(listen) = file.sip.first().and_then(|sip| socket_address(sip.listen.as_ref(), 5060))
            && !listen.ip().is_unspecified()
        {
            // Who is called at an address is heard there, too.
            config.rtp_address = listen.ip();
        }
        if let Some(ports) = &file.rtp.ports {
            match port_range(ports.as_ref()) {
                Some(range) => config.rtp_ports = range,
                None => self.wrong(ports, "ports: expected a range such as \"20000-20199\", from 1024 on"),
            }
        }
        if let Some(threads) = &file.rtp.threads {
            match NonZeroUsize::new(*threads.as_ref()).filter(|threads| threads.get() <= 64) {
                Some(count) => config.media.threads = Some(count),
                None => self.wrong(threads, "threads: expected 1 to 64"),
            }
        }
        if let Some(realtime) = file.rtp.realtime {
            config.media.realtime = realtime;
        }
        if let Some(jitter) = &file.rtp.jitter_ms {
            match *jitter.as_ref() {
                [least, most] if 20 <= least && least <= most && most <= 200 => config.media.jitter_ms = (least, most),
                _ => self.wrong(jitter, "jitter_ms: expected the least and the most, from 20 to 200"),
            }
        }
    }

    fn sip(&mut self, sip: Sip) -> Option<ProviderConfig> {
        self.provider_name(&sip.name);
        let listen = socket_address(sip.listen.as_ref(), 5060);
        match listen {
            None => self.wrong(&sip.listen, "listen: expected an IP address, with a port if it is not 5060"),
            Some(address) if address.ip().is_unspecified() || address.ip().is_multicast() => {
                self.wrong(&sip.listen, "listen: name one address of this machine: peers are told to answer there");
            }
            Some(address) if address.port() != 0 => {
                let at = sip.listen.span().start;
                if let Some(other) = self.listens.insert(address, at) {
                    let line = self.line_of(other);
                    self.wrong(&sip.listen, format!("listen: {address} is taken in line {line}"));
                }
            }
            Some(_) => {}
        }
        let timers = self.timers(sip.timers.as_ref());
        let (transports, network) = self.transports(&sip);
        if sip.lines.is_empty() {
            self.wrong(&sip.name, format!("sip {}: no lines", sip.name.as_ref()));
        }
        let lines = sip.lines.into_iter().map(|line| self.sip_line(line)).collect();
        let name = sip.name.into_inner();
        let user_agent = sip.user_agent.unwrap_or_else(|| concat!("tapid/", env!("CARGO_PKG_VERSION")).to_string());
        let config = tsp_sip::Config { name: name.clone(), listen: listen?, user_agent, timers, transports, lines };
        Some(ProviderConfig { name, kind: Kind::Sip(Box::new(config)), network })
    }

    fn timers(&mut self, timers: Option<&Spanned<Timers>>) -> tsp_sip::Timers {
        let mut value = tsp_sip::Timers::default();
        let Some(timers) = timers else { return value };
        let asked = timers.as_ref();
        value.t1_ms = asked.t1_ms.unwrap_or(value.t1_ms);
        value.t2_ms = asked.t2_ms.unwrap_or(value.t2_ms);
        value.t4_ms = asked.t4_ms.unwrap_or(value.t4_ms);
        let ordered = (10..=60_000).contains(&value.t1_ms) && value.t1_ms <= value.t2_ms && value.t2_ms <= 60_000;
        if !ordered || value.t4_ms > 60_000 {
            self.wrong(timers, "timers: expected 10 <= t1_ms <= t2_ms <= 60000 and t4_ms <= 60000");
        }
        value
    }

    fn sip_line(&mut self, line: SipLine) -> tsp_sip::LineConfig {
        self.line_name(&line.name);
        for (what, text) in [("user", &line.user), ("domain", &line.domain)] {
            if text.as_ref().is_empty() || text.as_ref().chars().any(|c| c.is_whitespace() || "<>@\"".contains(c)) {
                self.wrong(text, format!("{what}: a word without spaces, quotes, <, > and @"));
            }
        }
        for peer in &line.peers {
            if !is_host(peer.as_ref())
                && let Err(what) = network(peer.as_ref())
            {
                self.wrong(peer, format!("peers: {what}"));
            }
        }
        if let Some(proxy) = &line.proxy
            && tsp_sip::locate::Destination::parse(proxy.as_ref()).is_none()
        {
            self.wrong(proxy, "proxy: expected host, host:port, or either with ;transport=tcp or ;transport=tls");
        }
        if line.peers.is_empty() && line.proxy.is_none() && line.register.is_none() {
            self.wrong(&line.name, "lines: neither peers nor proxy nor registrar: no call could come or go");
        }
        if let Some(max_calls) = &line.max_calls {
            self.within(max_calls, "max_calls", 1..=100_000);
        }
        let calls = self.calls(&line);
        let account = self.sip_account(&line);
        tsp_sip::LineConfig {
            name: line.name.into_inner(),
            description: line.description,
            user: line.user.into_inner(),
            domain: line.domain.into_inner(),
            peers: line.peers.into_iter().map(Spanned::into_inner).collect(),
            proxy: line.proxy.map(Spanned::into_inner),
            max_calls: line.max_calls.map_or(100, Spanned::into_inner),
            calls,
            account,
        }
    }

    /// A path of the file is one beside it.
    pub(super) fn beside(&self, path: &Path) -> PathBuf {
        self.source.path.parent().unwrap_or(Path::new("")).join(path)
    }

    fn loopback(&mut self, loopback: Loopback) -> ProviderConfig {
        self.provider_name(&loopback.name);
        let mut lines = 2;
        if let Some(asked) = &loopback.lines {
            self.within(asked, "lines", 1..=LOOPBACK_LINES);
            lines = *asked.as_ref().min(&LOOPBACK_LINES);
        }
        let name = loopback.name.as_ref().clone();
        for line in 0..lines {
            self.unique(&loopback.name, format!("line {name}:{line}"));
        }
        ProviderConfig {
            name: name.clone(),
            kind: Kind::Loopback(tsp_loopback::Config { name, lines }),
            network: NetworkConfig::default(),
        }
    }

    pub(super) fn provider_name(&mut self, name: &Spanned<String>) {
        if !is_name(name.as_ref()) {
            self.wrong(name, format!("name: {NAME_RULE}"));
        }
        self.unique(name, format!("provider {}", name.as_ref()));
    }

    pub(super) fn line_name(&mut self, name: &Spanned<String>) {
        let text = name.as_ref();
        if text.is_empty() || text.len() > 200 || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            self.wrong(name, "line name: expected 1 to 200 characters without spaces");
        } else if text.bytes().all(|byte| byte.is_ascii_digit()) {
            self.wrong(name, "line name: a number would be taken for a line's id");
        }
        self.unique(name, format!("line {text}"));
    }

    pub(super) fn unique<T>(&mut self, at: &Spanned<T>, key: String) {
        if let Some(other) = self.names.get(&key).copied() {
            let line = self.line_of(other);
            self.wrong(at, format!("{key} is there already, in line {line}"));
        } else {
            self.names.insert(key, at.span().start);
        }
    }

    pub(super) fn within<T>(&mut self, value: &Spanned<T>, what: &str, range: std::ops::RangeInclusive<T>)
    where
        T: PartialOrd + std::fmt::Display,
    {
        if !range.contains(value.as_ref()) {
            self.wrong(value, format!("{what}: expected {} to {}", range.start(), range.end()));
        }
    }

    pub(super) fn absolute(&mut self, path: &Spanned<PathBuf>, what: &str) {
        if !path.as_ref().is_absolute() {
            self.wrong(path, format!("{what}: expected a path from the root"));
        }
    }

    pub(super) fn directory(&mut self, path: &Spanned<PathBuf>, what: &str) {
        self.absolute(path, what);
        if !path.as_ref().is_dir() {
            self.wrong(path, format!("{what}: {}: not a directory", path.as_ref().display()));
        }
    }

    fn optional_directory(&mut self, path: Option<&Spanned<PathBuf>>, what: &str) -> Option<PathBuf> {
        let path = path?;
        self.directory(path, what);
        Some(path.as_ref().clone())
    }

    pub(super) fn account(&mut self, at: &Spanned<NameOrId>, what: &str, find: fn(&str) -> Option<u32>) -> Option<u32> {
        match at.as_ref() {
            NameOrId::Id(id) => Some(*id),
            NameOrId::Name(name) => {
                let id = find(name);
                if id.is_none() {
                    self.wrong(at, format!("there is no {what} `{name}`"));
                }
                id
            }
        }
    }
}

const NAME_RULE: &str = "expected 1 to 64 letters, digits, dots, hyphens and underscores";

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
}

pub(super) fn user_id(name: &str) -> Option<u32> {
    nix::unistd::User::from_name(name).ok().flatten().map(|user| user.uid.as_raw())
}

pub(super) fn group_id(name: &str) -> Option<u32> {
    nix::unistd::Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw())
}

fn port_range(text: &str) -> Option<Vec<u16>> {
    let (first, last) = text.split_once('-')?;
    let (first, last) = (first.trim().parse::<u16>().ok()?, last.trim().parse::<u16>().ok()?);
    (first >= 1_024 && first <= last).then(|| (first..=last).collect())
}

/// An address, or a network as `address/length`.
fn network(text: &str) -> Result<(), String> {
    let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    let address: IpAddr = address.parse().map_err(|_| format!("`{text}` is neither an address nor a network"))?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    match length.map(str::parse::<u8>) {
        None => Ok(()),
        Some(Ok(length)) if length <= bits => Ok(()),
        Some(_) => Err(format!("`{text}`: a network's length is 0 to {bits}")),
    }
}

/// A host name: letters somewhere, a dot somewhere, and nothing that no name has.
fn is_host(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    text.bytes().all(fits) && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}
