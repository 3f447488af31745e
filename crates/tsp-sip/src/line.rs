//! Lines: trunks that are known by address.

use crate::LineConfig;
use crate::auth::Nonces;
use crate::locate::Destination;
use crate::policy::{CallPolicy, Digits, Refer, Transfers};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use tapi::{BearerMode, Feature, LineCaps, LineFlag, MediaMode, Service};
use tspi::{DigitsBy, LineDescription, MediaWire};

/// A line with its peers read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    pub config: LineConfig,
    pub peers: Vec<Network>,
    /// Calls that the server still counts.
    pub live: u32,
    /// Addresses of the peers that are named.
    pub named: Vec<IpAddr>,
    /// Who answered last by datagram, to be sent signs of life.
    pub flow: Option<SocketAddr>,
    /// What was learnt of its way to others.
    pub reach: Reach,
}

/// What a line learnt of its way to others.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Reach {
    /// Addresses of its registrar and its proxy, as their names were last resolved.
    pub targets: Vec<IpAddr>,
    /// The way that the registrar wants requests to take (RFC 3608).
    pub service_route: Vec<String>,
    /// The address that the registrar sees us at, where it is not our own and nothing else says what it is.
    pub public: Option<SocketAddr>,
    /// The Contact that the registrar was told last, as it went out.
    pub told: Option<String>,
    /// How often nonces were used.
    pub nonces: Nonces,
}

/// Most addresses of targets that are kept.
const MAX_TARGETS: usize = 32;

/// Addresses that share their first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// `192.0.2.1`, `192.0.2.0/24`, `2001:db8::/32`, with or without brackets.
    pub fn parse(text: &str) -> Option<Network> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        if bits > most { None } else { Some(Network { address, bits }) }
    }

    /// Whether the address is one of these; an IPv4 address in IPv6 clothes counts as itself.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(address)) => {
                same(u128::from(u32::from(net)), u128::from(u32::from(address)), 32, self.bits)
            }
            (IpAddr::V6(net), IpAddr::V6(address)) => same(net.into(), address.into(), 128, self.bits),
            _ => false,
        }
    }
}

/// Whether a text may be a host name: letters somewhere, and nothing that no name has.
fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    text.bytes().all(fits) && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

fn same(a: u128, b: u128, width: u32, bits: u8) -> bool {
    (a ^ b).checked_shr(width - u32::from(bits)).is_none_or(|rest| rest == 0)
}

impl Line {
    /// A line out of its configuration. Peers that are no addresses match nobody: [`Line::trouble`] names them.
    pub fn new(config: LineConfig) -> Line {
        let peers = config.peers.iter().filter_map(|text| Network::parse(text)).collect();
        Line { config, peers, live: 0, named: Vec::new(), flow: None, reach: Reach::default() }
    }

    pub fn knows(&self, from: SocketAddr) -> bool {
        let ip = from.ip();
        let account = self.config.account.register.is_some();
        self.peers.iter().any(|peer| peer.contains(ip))
            || self.named.contains(&ip.to_canonical())
            || account && self.reach.targets.contains(&ip.to_canonical())
    }

    /// Whether an address is one that the configuration names, directly or by a name.
    pub fn is_target(&self, ip: IpAddr) -> bool {
        self.knows(SocketAddr::new(ip, 0)) || self.reach.targets.contains(&ip.to_canonical())
    }

    /// Whether a target is one of the configuration's own: registrar or proxy.
    pub fn aims_at(&self, to: &Destination) -> bool {
        let registrar =
            self.config.account.register.as_ref().map(|it| it.registrar.as_deref().unwrap_or(&self.config.domain));
        let own = [self.config.proxy.as_deref(), registrar].into_iter().flatten().filter_map(Destination::parse);
        own.into_iter().any(|own| own.host == to.host)
    }

    /// Notes an address of its registrar or its proxy.
    pub fn learn(&mut self, address: IpAddr) {
        let address = address.to_canonical();
        self.reach.targets.retain(|known| *known != address);
        self.reach.targets.push(address);
        let surplus = self.reach.targets.len().saturating_sub(MAX_TARGETS);
        self.reach.targets.drain(..surplus);
    }

    /// Peers that are names: they are looked up, and again when the answers no longer hold.
    pub fn names(&self) -> impl Iterator<Item = String> {
        let names = self.config.peers.iter().filter(|text| Network::parse(text).is_none());
        names.filter_map(|text| Destination::parse(text)).map(|to| to.host)
    }

    /// What is wrong with its configuration.
    pub fn trouble(&self) -> Option<String> {
        let bad = self.config.peers.iter().find(|text| Network::parse(text).is_none() && !is_name(text))?;
        Some(format!("peer {bad} is neither an address, a network nor a name"))
    }

    pub fn description(&self, service: Service) -> LineDescription {
        let LineConfig { name, description, user, domain, .. } = &self.config;
        LineDescription {
            name: name.clone(),
            description: description.clone(),
            addresses: vec![format!("sip:{user}@{domain}")],
            caps: self.caps(),
            service,
            media: MediaWire::Rtp,
            digits: match self.config.calls.digits {
                Digits::Rtp => DigitsBy::Media,
                Digits::Info => DigitsBy::Provider,
            },
        }
    }

    /// What the network does with calls, where it is asked to.
    fn transfers(&self) -> impl Iterator<Item = Feature> {
        use Feature as F;
        let CallPolicy { transfers, refer, .. } = &self.config.calls;
        let ours = [F::BlindTransfer, F::SetupTransfer, F::CompleteTransfer];
        let theirs = [F::AcceptTransfer, F::RejectTransfer];
        let ours = ours.into_iter().filter(|_| *transfers != Transfers::Bridge);
        ours.chain(theirs.into_iter().filter(|_| *refer == Refer::Ask))
    }

    fn caps(&self) -> LineCaps {
        use Feature as F;
        LineCaps {
            bearer_modes: [BearerMode::Voice, BearerMode::Speech].into(),
            media_modes: [MediaMode::InteractiveVoice, MediaMode::AutomatedVoice].into(),
            call_features: [
                F::Accept,
                F::Answer,
                F::Drop,
                F::Hold,
                F::Unhold,
                F::GenerateDigits,
                F::MonitorDigits,
                F::GenerateTone,
                F::MonitorTones,
                F::Play,
                F::Record,
                F::Bridge,
                F::Part,
                F::Redirect,
            ]
            .into_iter()
            .chain(self.transfers())
            .collect(),
            flags: [LineFlag::AcceptToAlert, LineFlag::EarlyMedia].into(),
            max_calls: self.config.max_calls,
            max_held_calls: self.config.max_calls,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        for (network, address, inside) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.0/24", "192.0.2.255", true),
            ("192.0.2.0/25", "192.0.2.128", false),
            ("0.0.0.0/0", "203.0.113.7", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
        ] {
            let network = Network::parse(network).unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), inside, "{network:?} {address}");
        }
        assert_eq!(Network::parse("192.0.2.0/33"), None);
        assert_eq!(Network::parse("pbx.example.org"), None);
    }
}
