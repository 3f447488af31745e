//! The way out: datagrams and connections, and what a message says of us on each.

use super::{Endpoint, PORT};
use crate::locate::{Destination, Located, Walk, locate};
use crate::transport::{Dress, Peer, Target, Transport, dress};
use std::net::{IpAddr, SocketAddr};
use tspi::Output;

/// Longest request that goes out as a datagram where TCP would do as well (RFC 3261 section 18.1.1).
pub(super) const MAX_UDP_REQUEST: usize = 1_300;

impl Endpoint {
    /// Our address on a way, as Via has it.
    pub fn here_of(&self, transport: Transport) -> SocketAddr {
        let named = match transport {
            Transport::Udp => None,
            Transport::Tcp => self.config.transports.tcp,
            Transport::Tls => self.config.transports.tls.or(self.config.transports.tcp),
        };
        named.unwrap_or(self.config.listen)
    }

    /// What somebody is told of where we are: our address from outside, where they are there; else what the line's registrar
    /// sees; else our own.
    pub fn contact_of(&self, line: u32, transport: Transport, peer: IpAddr) -> SocketAddr {
        let here = self.here_of(transport);
        let seen = self.lines.get(line as usize).and_then(|line| line.reach.public);
        match (self.external_to(peer), seen.filter(|_| transport == Transport::Udp)) {
            (Some((ip, port)), _) => {
                let port = port.filter(|_| transport == Transport::Udp).unwrap_or(here.port());
                SocketAddr::new(ip, port)
            }
            (None, Some(seen)) => seen,
            (None, None) => here,
        }
    }

    /// Whether an address is one that our Contact may name, on any way.
    pub fn is_contact(&self, line: u32, ip: IpAddr, port: Option<u16>) -> bool {
        let own = |transport: Transport| self.contact_of(line, transport, ip);
        let outside = self.external.address(&self.config);
        [Transport::Udp, Transport::Tcp, Transport::Tls].into_iter().any(|transport| {
            let port = port.unwrap_or(transport.default_port());
            let here = self.here_of(transport);
            let external = outside.map(|(ip, mapped)| SocketAddr::new(ip, mapped.unwrap_or(here.port())));
            [own(transport), here].into_iter().chain(external).any(|own| own == SocketAddr::new(ip, port))
        })
    }

    /// Our address for somebody outside our networks, where it differs.
    pub fn external_to(&self, peer: IpAddr) -> Option<(IpAddr, Option<u16>)> {
        let outside = self.external.address(&self.config)?;
        if self.external.is_local(peer) || outside.0.is_ipv4() != peer.is_ipv4() { None } else { Some(outside) }
    }

    /// Brings a message of ours to the way that it takes; a request's Via gets the branch.
    pub(super) fn dressed(
        &self,
        line: u32,
        peer: &Peer,
        secure: bool,
        branch: Option<&str>,
        bytes: Vec<u8>,
    ) -> Vec<u8> {
        let external = self.external_to(peer.ip());
        let seen = self.lines.get(line as usize).is_some_and(|line| line.reach.public.is_some());
        if peer.transport == Transport::Udp && branch.is_none() && external.is_none() && !seen && !secure {
            return bytes;
        }
        let via = self.here_of(peer.transport).to_string();
        let contact = self.contact_of(line, peer.transport, peer.ip()).to_string();
        let how = Dress {
            transport: peer.transport,
            via: branch.map(|branch| (via.as_str(), branch)),
            here: &self.here,
            contact: &contact,
            secure,
            audio: external.map(|(ip, _)| ip),
        };
        dress(&bytes, &how)
    }

    /// Sends a message for a line, and for a call where there is one. What cannot be sent is lost as in the network.
    pub(super) fn transmit(&mut self, (line, call): (u32, Option<u64>), to: Peer, bytes: Vec<u8>) {
        let trace = self.traced(line, call, true, to.address, &bytes);
        self.put_out(to, bytes);
        self.emit(trace);
    }

    /// Sends bytes.
    pub(super) fn put_out(&mut self, to: Peer, bytes: Vec<u8>) {
        match to.connection {
            None if to.transport == Transport::Udp => {
                self.outputs.push_back(Output::Datagram { port: PORT, to: to.address, bytes });
            }
            None => self.counters.unsent += 1,
            Some(port) => {
                if !self.connections.write(self.now, port, bytes, &mut self.outputs) {
                    self.counters.unsent += 1;
                }
                self.watch(port);
            }
        }
    }

    /// A way to somebody: over a connection if there must be one, known or new.
    pub(super) fn way(&mut self, transport: Transport, address: SocketAddr, name: &str) -> Option<Peer> {
        if transport == Transport::Udp {
            return Some(Peer::udp(address));
        }
        let port = self.connections.reach(self.now, (transport, address), name, &mut self.outputs)?;
        self.watch(port);
        Some(Peer { transport, address, connection: Some(port) })
    }

    /// Whether messages to somebody can go out as they did before.
    pub(super) fn is_open(&self, peer: &Peer) -> bool {
        match peer.connection {
            None => peer.transport == Transport::Udp,
            Some(port) => self.connections.is_there(port),
        }
    }

    /// Looks for a destination in what is known of names.
    pub(super) fn locate(&mut self, to: &Destination) -> Located {
        let (udp, tcp, tls) =
            [Transport::Udp, Transport::Tcp, Transport::Tls].map(|way| self.here_of(way).is_ipv4()).into();
        let fits = |transport: Transport, ip: IpAddr| {
            let ours = match transport {
                Transport::Udp => udp,
                Transport::Tcp => tcp,
                Transport::Tls => tls,
            };
            ours == ip.is_ipv4()
        };
        let mut walk = Walk { now: self.now, cache: &self.cache, random: &mut self.random, fits: &fits };
        locate(&mut walk, to)
    }

    /// The way to a target without waiting for names.
    pub(super) fn at_once(&mut self, to: &Target) -> Option<Peer> {
        if let Some(known) = to.known.filter(|known| self.is_open(known)) {
            return Some(known);
        }
        let located = to.find.as_ref().map(|find| self.locate(find));
        if let Some(Located::Ready(candidates)) = located {
            let first = candidates.into_iter().next()?;
            return self.way(first.transport, first.address, &first.name);
        }
        let known = to.known?;
        self.way(known.transport, known.address, &known.ip().to_string())
    }
}
