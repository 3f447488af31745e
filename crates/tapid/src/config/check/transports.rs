//! Ways beside UDP, names, and what our address looks like from outside.

use super::{Checker, network};
use crate::config::file::{Sip, TlsFiles};
use crate::config::{NetworkConfig, TlsConfig, socket_address};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use toml::Spanned;

impl Checker<'_> {
    /// What a `[[sip]]` says of its ways, for the provider and for the shell around it.
    pub(super) fn transports(&mut self, sip: &Sip) -> (tsp_sip::Transports, NetworkConfig) {
        let tcp = self.listener(sip.listen_tcp.as_ref(), "listen_tcp", 5060);
        let tls = self.listener(sip.listen_tls.as_ref(), "listen_tls", 5061);
        let files = sip.tls.as_ref().map(|files| self.tls(files)).unwrap_or_default();
        if let Some(at) = sip.listen_tls.as_ref().filter(|_| files.certificate.is_none()) {
            self.wrong(at, "listen_tls: there is no certificate: tls = { certificate = ..., key = ... }");
        }
        for text in &sip.local_networks {
            if let Err(what) = network(text.as_ref()) {
                self.wrong(text, format!("local_networks: {what}"));
            }
        }
        if let Some(stun) = &sip.stun
            && tsp_sip::locate::Destination::parse(stun.as_ref()).is_none()
        {
            self.wrong(stun, "stun: expected host or host:port");
        }
        for (value, what, most) in
            [(&sip.keepalive_s, "keepalive_s", 3_600), (&sip.requests_per_s, "requests_per_s", 1_000_000)]
        {
            if let Some(value) = value {
                self.within(value, what, 0..=most);
            }
        }
        let number = |value: &Option<Spanned<u32>>| value.as_ref().map_or(0, |value| *value.as_ref());
        let transports = tsp_sip::Transports {
            tcp,
            tls,
            external_address: self.external_address(sip),
            local_networks: sip.local_networks.iter().map(|text| text.as_ref().clone()).collect(),
            stun: sip.stun.as_ref().map(|stun| stun.as_ref().clone()),
            keepalive_s: number(&sip.keepalive_s),
            requests_per_s: number(&sip.requests_per_s),
        };
        (transports, NetworkConfig { tls: files, nameservers: self.nameservers(sip) })
    }

    fn listener(&mut self, text: Option<&Spanned<String>>, what: &str, port: u16) -> Option<SocketAddr> {
        let text = text?;
        match socket_address(text.as_ref(), port) {
            Some(address) if !address.ip().is_unspecified() && !address.ip().is_multicast() && address.port() != 0 => {
                self.unique(text, format!("{what} {address}"));
                Some(address)
            }
            _ => {
                self.wrong(text, format!("{what}: name one address of this machine, with a port if it is not {port}"));
                None
            }
        }
    }

    fn external_address(&mut self, sip: &Sip) -> tsp_sip::ExternalAddress {
        let learned = || if sip.stun.is_some() { tsp_sip::ExternalAddress::Learned } else { Default::default() };
        let Some(text) = &sip.external_address else {
            return learned();
        };
        match (text.as_ref().as_str(), text.as_ref().parse::<IpAddr>()) {
            ("learn", _) => tsp_sip::ExternalAddress::Learned,
            (_, Ok(ip)) if !ip.is_unspecified() && !ip.is_multicast() => tsp_sip::ExternalAddress::Fixed(ip),
            _ => {
                self.wrong(text, "external_address: expected an IP address, or \"learn\"");
                learned()
            }
        }
    }

    fn nameservers(&mut self, sip: &Sip) -> Vec<SocketAddr> {
        let mut servers = Vec::new();
        for text in &sip.nameservers {
            match socket_address(text.as_ref(), 53) {
                Some(server) => servers.push(server),
                None => self.wrong(text, "nameservers: expected an IP address, with a port if it is not 53"),
            }
        }
        servers
    }

    fn tls(&mut self, files: &Spanned<TlsFiles>) -> TlsConfig {
        let named = files.as_ref();
        if named.certificate.is_some() != named.key.is_some() {
            self.wrong(files, "tls: certificate and key go together");
        }
        if named.client_certificate_required && named.ca.is_none() {
            self.wrong(files, "tls: client_certificate_required needs ca: whose certificates are taken");
        }
        let folder = self.source.path.parent().unwrap_or(Path::new("")).to_path_buf();
        let beside = |file: &Option<PathBuf>| file.as_ref().map(|file| folder.join(file));
        let config = TlsConfig {
            certificate: beside(&named.certificate),
            key: beside(&named.key),
            ca: beside(&named.ca),
            client_certificate_required: named.client_certificate_required,
        };
        if let Err(error) = crate::provider::ports::check_tls(&config) {
            self.wrong(files, format!("tls: {error}"));
        }
        config
    }
}
