//! The sockets, and which thread reads which: all threads see all, each watches its own.

use super::{Shard, watch};
use nix::sys::socket::sockopt;
use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use tspi::media::StreamId;

/// All sockets with their ports.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    bound: Vec<(u16, UdpSocket)>,
    numbers: BTreeMap<u16, usize>,
}

impl Sockets {
    /// Takes sockets; what they send is marked.
    pub(crate) fn new(bound: Vec<(u16, UdpSocket)>, dscp: u8) -> io::Result<Sockets> {
        for (_, udp) in &bound {
            udp.set_nonblocking(true)?;
            mark(udp, dscp);
        }
        let numbers = bound.iter().enumerate().map(|(number, (port, _))| (*port, number)).collect();
        Ok(Sockets { bound, numbers })
    }

    pub(crate) fn len(&self) -> usize {
        self.bound.len()
    }

    pub(crate) fn udp(&self, number: usize) -> Option<&UdpSocket> {
        self.bound.get(number).map(|(_, udp)| udp)
    }

    pub(crate) fn number(&self, port: u16) -> Option<usize> {
        self.numbers.get(&port).copied()
    }

    pub(crate) fn ports(&self) -> impl Iterator<Item = u16> + '_ {
        self.bound.iter().map(|(port, _)| *port)
    }

    /// The thread, of `count`, that drains a socket without a stream.
    pub(crate) fn home(&self, port: u16, count: usize) -> usize {
        self.number(port).map_or(0, |number| number / 2 % count.max(1))
    }

    pub(crate) fn into_bound(self) -> Vec<(u16, UdpSocket)> {
        self.bound
    }
}

/// Who has a socket, as one thread sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// Another thread watches it.
    Elsewhere,
    /// No stream: what comes is drained.
    Idle,
    Taken(StreamId, Carries),
}

/// What a socket is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carries {
    Rtp,
    Rtcp,
}

impl Shard {
    pub(super) fn claim(&mut self, stream: StreamId, port: u16) {
        match self.sockets.number(port) {
            Some(number) => {
                self.set_claim(number, Claim::Taken(stream, Carries::Rtp));
                self.streams.insert(stream, number);
            }
            None => tracing::error!(stream = stream.0, port, "stream on a port that is not bound"),
        }
    }

    /// Takes the port of a stream's RTCP; one that is not bound is done without.
    pub(super) fn claim_control(&mut self, stream: StreamId, port: u16) {
        let Some(number) = self.sockets.number(port) else { return };
        self.set_claim(number, Claim::Taken(stream, Carries::Rtcp));
        self.controls.insert(stream, number);
    }

    /// Gives a stream's sockets back.
    pub(super) fn release(&mut self, stream: StreamId) {
        for number in self.streams.remove(&stream).into_iter().chain(self.controls.remove(&stream)) {
            let ours = matches!(self.claims.get(number), Some(Claim::Taken(other, _)) if *other == stream);
            let home = number / 2 % self.count.max(1);
            if ours {
                self.set_claim(number, if home == self.number { Claim::Idle } else { Claim::Elsewhere });
            }
        }
    }

    pub(super) fn watch_idle(&mut self, port: u16) {
        if let Some(number) = self.sockets.number(port)
            && self.claims.get(number) == Some(&Claim::Elsewhere)
        {
            self.set_claim(number, Claim::Idle);
        }
    }

    pub(super) fn unwatch_idle(&mut self, port: u16) {
        if let Some(number) = self.sockets.number(port)
            && self.claims.get(number) == Some(&Claim::Idle)
        {
            self.set_claim(number, Claim::Elsewhere);
        }
    }

    pub(super) fn set_claim(&mut self, number: usize, claim: Claim) {
        let (Some(before), Some(udp)) = (self.claims.get_mut(number), self.sockets.udp(number)) else { return };
        let changed = match (*before, claim) {
            (Claim::Elsewhere, Claim::Elsewhere) => Ok(()),
            (Claim::Elsewhere, _) => watch(&self.epoll, udp, number as u64),
            (_, Claim::Elsewhere) => self.epoll.delete(udp).map_err(io::Error::from),
            _ => Ok(()),
        };
        if let Err(error) = changed {
            tracing::error!(number, %error, "a socket cannot be watched");
        }
        *before = claim;
    }
}

/// Marks what a socket sends (RFC 2474); a system that does not let us sends it unmarked.
fn mark(udp: &UdpSocket, dscp: u8) {
    let class = i32::from(dscp & 0x3f) << 2;
    let marked = match udp.local_addr() {
        Ok(SocketAddr::V6(_)) => nix::sys::socket::setsockopt(udp, sockopt::Ipv6TClass, &class),
        _ => nix::sys::socket::setsockopt(udp, sockopt::Ipv4Tos, &class),
    };
    if let Err(error) = marked {
        tracing::debug!(dscp, %error, "a socket is not marked");
    }
}
