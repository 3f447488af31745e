//! How datagrams are marked.

use nix::sys::socket::sockopt;
use std::net::{SocketAddr, UdpSocket};

/// Marks what a socket sends (RFC 2474); a system that does not let us sends it unmarked.
pub(super) fn mark(udp: &UdpSocket, dscp: u8) {
    let class = i32::from(dscp & 0x3f) << 2;
    let marked = match udp.local_addr() {
        Ok(SocketAddr::V6(_)) => nix::sys::socket::setsockopt(udp, sockopt::Ipv6TClass, &class),
        _ => nix::sys::socket::setsockopt(udp, sockopt::Ipv4Tos, &class),
    };
    if let Err(error) = marked {
        tracing::debug!(dscp, %error, "a socket is not marked");
    }
}
