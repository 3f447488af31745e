//! The shape of the configuration file.

use super::account::{Auth, Mwi, Register, Tables};
use super::modem::{Modem, Modems};
use serde::Deserialize;
use std::path::PathBuf;
use toml::Spanned;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    pub daemon: Daemon,
    pub rtp: Rtp,
    pub sip: Vec<Sip>,
    pub modem: Vec<Modem>,
    pub modems: Modems,
    pub loopback: Vec<Loopback>,
    pub rights: Vec<RightsRule>,
    pub dbus: Dbus,
    pub policy: Vec<LinePolicy>,
}

/// `[dbus]`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dbus {
    pub bus: Option<Spanned<String>>,
}

/// `[[rights]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RightsRule {
    pub lines: Vec<Spanned<String>>,
    #[serde(default)]
    pub users: Vec<Spanned<NameOrId>>,
    #[serde(default)]
    pub groups: Vec<Spanned<NameOrId>>,
    pub allow: Vec<Spanned<String>>,
}

/// `[[policy]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinePolicy {
    pub lines: Vec<Spanned<String>>,
    pub action: Spanned<String>,
    #[serde(default)]
    pub cause: Option<Spanned<String>>,
    #[serde(default)]
    pub timeout_s: Option<Spanned<u32>>,
    #[serde(default)]
    pub file: Option<Spanned<String>>,
    #[serde(default)]
    pub to: Option<Spanned<String>>,
    #[serde(default)]
    pub line: Option<Spanned<String>>,
    #[serde(default)]
    pub how: Option<Spanned<String>>,
}

/// `[daemon]`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Daemon {
    pub socket: Option<Spanned<PathBuf>>,
    pub socket_mode: Option<Spanned<String>>,
    pub node: Option<Spanned<String>>,
    pub allow_users: Vec<Spanned<NameOrId>>,
    pub allow_groups: Vec<Spanned<NameOrId>>,
    pub media_directories: Vec<Spanned<PathBuf>>,
    pub record_directory: Option<Spanned<PathBuf>>,
    pub state_directory: Option<Spanned<PathBuf>>,
    pub idle_grace_s: Option<Spanned<u64>>,
    pub ledger: Option<Spanned<PathBuf>>,
    pub priority: Vec<Spanned<String>>,
    pub country: Option<Spanned<String>>,
    pub replay_events: Option<Spanned<usize>>,
}

/// A user or a group, by name or by number.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum NameOrId {
    Id(u32),
    Name(String),
}

/// `[rtp]`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rtp {
    pub address: Option<Spanned<String>>,
    pub ports: Option<Spanned<String>>,
    pub threads: Option<Spanned<usize>>,
    pub realtime: Option<bool>,
    pub jitter_ms: Option<Spanned<[u32; 2]>>,
}

/// `[[sip]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sip {
    pub name: Spanned<String>,
    pub listen: Spanned<String>,
    #[serde(default)]
    pub user_agent: Option<String>,
    #[serde(default)]
    pub timers: Option<Spanned<Timers>>,
    #[serde(default)]
    pub listen_tcp: Option<Spanned<String>>,
    #[serde(default)]
    pub listen_tls: Option<Spanned<String>>,
    #[serde(default)]
    pub tls: Option<Spanned<TlsFiles>>,
    #[serde(default)]
    pub external_address: Option<Spanned<String>>,
    #[serde(default)]
    pub local_networks: Vec<Spanned<String>>,
    #[serde(default)]
    pub stun: Option<Spanned<String>>,
    #[serde(default)]
    pub keepalive_s: Option<Spanned<u32>>,
    #[serde(default)]
    pub requests_per_s: Option<Spanned<u32>>,
    #[serde(default)]
    pub nameservers: Vec<Spanned<String>>,
    pub lines: Vec<SipLine>,
}

/// `tls` of `[[sip]]`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsFiles {
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub ca: Option<PathBuf>,
    pub client_certificate_required: bool,
}

/// `timers` of `[[sip]]`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timers {
    pub t1_ms: Option<u64>,
    pub t2_ms: Option<u64>,
    pub t4_ms: Option<u64>,
}

/// One of `lines` of `[[sip]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SipLine {
    pub name: Spanned<String>,
    #[serde(default)]
    pub description: String,
    pub user: Spanned<String>,
    pub domain: Spanned<String>,
    #[serde(default)]
    pub peers: Vec<Spanned<String>>,
    #[serde(default)]
    pub proxy: Option<Spanned<String>>,
    #[serde(default)]
    pub max_calls: Option<Spanned<u32>>,
    // Its account: read in account.rs.
    #[serde(default)]
    pub register: Option<Spanned<Register>>,
    #[serde(default)]
    pub auth: Tables<Auth>,
    #[serde(default)]
    pub md5: Option<bool>,
    #[serde(default)]
    pub require_auth: Tables<Auth>,
    #[serde(default)]
    pub qualify_s: Option<Spanned<u32>>,
    #[serde(default)]
    pub calls_per_s: Option<Spanned<u32>>,
    #[serde(default)]
    pub allow_to: Vec<Spanned<String>>,
    #[serde(default)]
    pub users: Vec<String>,
    #[serde(default)]
    pub mwi: Mwi,
    // How its calls are made: read in calls.rs.
    #[serde(default)]
    pub reliable: tsp_sip::Reliable,
    #[serde(default)]
    pub session_expires_s: Option<Spanned<u32>>,
    #[serde(default)]
    pub min_se_s: Option<Spanned<u32>>,
    #[serde(default)]
    pub refresher: tsp_sip::Refresher,
    #[serde(default)]
    pub offer: tsp_sip::OfferWhen,
    #[serde(default)]
    pub hold_by: tsp_sip::HoldBy,
    #[serde(default)]
    pub codecs: Vec<Spanned<String>>,
    #[serde(default)]
    pub ptime_ms: Option<Spanned<u32>>,
    #[serde(default)]
    pub srtp: tsp_sip::Protection,
    #[serde(default)]
    pub trust_identity: bool,
    #[serde(default)]
    pub identity: tsp_sip::Identity,
    #[serde(default)]
    pub digits: tsp_sip::Digits,
    #[serde(default)]
    pub redirects: tsp_sip::Redirects,
    #[serde(default)]
    pub transfers: tsp_sip::Transfers,
    #[serde(default)]
    pub refer: tsp_sip::Refer,
}

/// `[[loopback]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loopback {
    pub name: Spanned<String>,
    #[serde(default)]
    pub lines: Option<Spanned<u32>>,
}
