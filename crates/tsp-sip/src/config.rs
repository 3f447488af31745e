//! What a provider starts with.

use crate::Account;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// A SIP user agent with its lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// The provider's name.
    pub name: String,
    /// The address its socket is bound to. It stands in Via and Contact, so it must be one that peers can reach: the
    /// unspecified address (`0.0.0.0`, `::`) makes every line go out of service with that reason.
    pub listen: SocketAddr,
    /// What stands in `User-Agent` and `Server`; empty: no such header.
    #[serde(default)]
    pub user_agent: String,
    /// The timers' base values.
    #[serde(default)]
    pub timers: Timers,
    /// Ways beside UDP, and what our address looks like from outside.
    #[serde(default)]
    pub transports: Transports,
    /// Its lines.
    pub lines: Vec<LineConfig>,
}

/// Ways beside UDP, and what our address looks like from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Transports {
    /// Where connections are accepted; none: connections are only made.
    pub tcp: Option<SocketAddr>,
    /// Where connections under TLS are accepted.
    pub tls: Option<SocketAddr>,
    /// What peers outside our networks are told instead of our address, in Contact and for audio.
    pub external_address: ExternalAddress,
    /// Networks on our side of an address translation: `10.0.0.0/8`. None: all private and loopback addresses.
    pub local_networks: Vec<String>,
    /// A server that says how we are seen (RFC 8489), `host` or `host:port`.
    pub stun: Option<String>,
    /// Seconds of silence after which a sign of life is sent (RFC 5626 section 3.5.1); 0: none.
    pub keepalive_s: u32,
    /// Requests a second that are looked at of one address; 0: any number.
    pub requests_per_s: u32,
}

/// What our address looks like from outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExternalAddress {
    /// As from inside.
    #[default]
    None,
    /// Like this, with the same ports.
    Fixed(std::net::IpAddr),
    /// As a STUN server or a far end sees it (`received` and `rport` of our Via).
    Learned,
}

/// Base values of the timers of RFC 3261 section 17, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timers {
    /// T1, the estimate of a round trip.
    pub t1_ms: u64,
    /// T2, the longest interval between retransmissions.
    pub t2_ms: u64,
    /// T4, the longest life of a message in the network.
    pub t4_ms: u64,
}

impl Default for Timers {
    /// The RFC's values.
    fn default() -> Timers {
        Timers { t1_ms: 500, t2_ms: 4_000, t4_ms: 5_000 }
    }
}

/// A trunk that is known by address, or an account at a registrar.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineConfig {
    /// Permanent name, `sip:trunk`.
    pub name: String,
    /// What it is, for people.
    #[serde(default)]
    pub description: String,
    /// Our user part.
    pub user: String,
    /// Our domain.
    pub domain: String,
    /// Addresses and networks that the trunk sends from: `192.0.2.1`, `2001:db8::/32`.
    pub peers: Vec<String>,
    /// Where outgoing calls are sent to, `host:port`; none: to the host of the called URI.
    #[serde(default)]
    pub proxy: Option<String>,
    /// Calls at one time.
    pub max_calls: u32,
    /// Registration, credentials and limits.
    #[serde(default)]
    pub account: Account,
    /// How its calls are made.
    #[serde(default)]
    pub calls: crate::CallPolicy,
}

impl LineConfig {
    /// Where its requests go: the proxy, else the registrar; none: to the host of the called URI.
    pub fn outbound(&self) -> Option<&str> {
        let register = self.account.register.as_ref();
        let registrar = register.map(|register| register.registrar.as_deref().unwrap_or(&self.domain));
        self.proxy.as_deref().or(registrar)
    }
}
