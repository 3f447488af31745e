//! What is known of a next hop before it is located.

use crate::message::{Scheme, Uri};
use crate::transport::Transport;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// A next hop as a URI or a configuration names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// A name or an address.
    pub host: String,
    /// The port, where one is named: then there is no SRV.
    pub port: Option<u16>,
    /// The way, where one is named: then there is no NAPTR.
    pub transport: Option<Transport>,
    /// A `sips` URI: nothing but TLS will do.
    pub secure: bool,
}

impl Destination {
    /// Out of a `sip` or `sips` URI (RFC 3261 section 19.1, RFC 3263 section 4).
    pub fn of_uri(uri: &Uri<'_>) -> Option<Destination> {
        if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) || uri.port == Some(0) {
            return None;
        }
        let secure = uri.scheme == Scheme::Sips;
        let transport = match uri.param("transport") {
            None => None,
            Some(text) => Some(Transport::parse(text)?),
        };
        let transport = transport.map(|named| if secure { Transport::Tls } else { named });
        let host = uri.param("maddr").filter(|host| !host.is_empty()).unwrap_or(uri.host);
        let host = host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
        if host.is_empty() { None } else { Some(Destination { host, port: uri.port, transport, secure }) }
    }

    /// Out of a configuration: `host`, `host:port`, `[2001:db8::1]:5060`, each perhaps with `;transport=tcp`; or a URI.
    pub fn parse(text: &str) -> Option<Destination> {
        let text = text.trim();
        let text = text.strip_prefix('<').and_then(|text| text.split('>').next()).unwrap_or(text);
        if let Ok(ip) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Some(Destination { host: ip.to_string(), port: None, transport: None, secure: false });
        }
        let scheme = text.split(':').next().unwrap_or_default().to_ascii_lowercase();
        let uri = if matches!(scheme.as_str(), "sip" | "sips") { text.to_owned() } else { format!("sip:{text}") };
        Uri::parse(&uri).ok().as_ref().and_then(Destination::of_uri)
    }

    /// The address, where it is one.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl From<SocketAddr> for Destination {
    fn from(address: SocketAddr) -> Destination {
        Destination {
            host: address.ip().to_string(),
            port: Some(address.port()),
            transport: Some(Transport::Udp),
            secure: false,
        }
    }
}
