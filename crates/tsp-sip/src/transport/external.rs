//! What our address looks like from outside, and who is outside.

use crate::line::Network;
use crate::{Config, ExternalAddress};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// What is known of our address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct External {
    local: Vec<Network>,
    /// Learned from STUN or from how a far end saw us.
    learned: Option<SocketAddr>,
    /// What was learned is news that nobody acted on.
    #[serde(default)]
    news: bool,
}

impl External {
    pub fn new(config: &Config) -> External {
        let networks = config.transports.local_networks.iter();
        External { local: networks.filter_map(|text| Network::parse(text)).collect(), learned: None, news: false }
    }

    /// Whether somebody is on our side of the address translation.
    pub fn is_local(&self, ip: IpAddr) -> bool {
        if self.local.is_empty() { is_private(ip) } else { self.local.iter().any(|network| network.contains(ip)) }
    }

    /// Learns how we are seen. Far ends behind different translations see different ports: only of a server that is asked
    /// on purpose another port is news.
    pub fn learn(&mut self, seen: SocketAddr, asked: bool) {
        let before = self.learned.replace(seen);
        self.news |= before.is_none_or(|before| before.ip() != seen.ip() || asked && before != seen);
    }

    /// Whether our address from outside is another than it was when this was asked last.
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    /// The address that somebody outside is told, and its port where that is known to differ.
    pub fn address(&self, config: &Config) -> Option<(IpAddr, Option<u16>)> {
        match config.transports.external_address {
            ExternalAddress::None => None,
            ExternalAddress::Fixed(ip) => Some((ip, None)),
            ExternalAddress::Learned => self.learned.map(|seen| (seen.ip(), Some(seen.port()))),
        }
    }
}

/// Whether an address is of a network that is not routed in the Internet.
pub(crate) fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || (ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64)
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}
