//! Datagrams in: one of each socket that is readable, or all that wait at one that has several.

use super::sockets::{Carries, Claim};
use super::{Input, MediaProvider, Shard};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg};
use std::io::IoSliceMut;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;
use tapi::Time;

/// Longest datagram that is looked at; a longer one cannot be valid.
const DATAGRAM: usize = 2048;
/// Datagrams that are taken with one call at most.
const BATCH: usize = 16;
/// A socket that is readable again so soon has several waiting: packets of one source are 10 ms apart or more.
const SOON: Duration = Duration::from_millis(5);

/// Room for datagrams.
pub(super) struct Room {
    one: [u8; DATAGRAM],
    many: Box<[[u8; DATAGRAM]; BATCH]>,
    headers: MultiHeaders<SockaddrStorage>,
}

impl Room {
    pub(super) fn new() -> Room {
        let headers = MultiHeaders::preallocate(BATCH, None);
        Room { one: [0; DATAGRAM], many: Box::new([[0; DATAGRAM]; BATCH]), headers }
    }

    /// Takes what waits; gives each with its source.
    fn take_all(&mut self, udp: &UdpSocket, mut each: impl FnMut(SocketAddr, &[u8])) {
        let mut slices = self.many.each_mut().map(|room| [IoSliceMut::new(room)]);
        let taken = recvmmsg(udp.as_raw_fd(), &mut self.headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None);
        for message in taken.into_iter().flatten() {
            let from = message.address.and_then(source);
            if let (Some(from), Some(bytes)) = (from, message.iovs().next()) {
                each(from, bytes);
            }
        }
    }
}

fn source(address: SockaddrStorage) -> Option<SocketAddr> {
    let four = address.as_sockaddr_in().map(|address| SocketAddr::V4((*address).into()));
    four.or_else(|| address.as_sockaddr_in6().map(|address| SocketAddr::V6((*address).into())))
}

impl Shard {
    /// Takes datagrams of a socket that is readable: one, as nearly always only one waits, so that no call is spent on
    /// finding it empty; all with one call where it was readable a moment ago.
    pub(super) fn receive(&mut self, now: Time, number: usize, room: &mut Room) {
        let claim = self.claims.get(number).copied().unwrap_or(Claim::Elsewhere);
        let Some(udp) = self.sockets.udp(number).filter(|_| claim != Claim::Elsewhere) else { return };
        let before = self.read_at.get_mut(number).map(|at| std::mem::replace(at, now));
        if before.is_some_and(|before| now < before + SOON) {
            let sockets = self.sockets.clone();
            let Some(udp) = sockets.udp(number) else { return };
            room.take_all(udp, |from, bytes| self.datagram(now, claim, from, bytes));
        } else if let Ok((length, from)) = udp.recv_from(&mut room.one) {
            self.datagram(now, claim, from, room.one.get(..length).unwrap_or_default());
        }
    }

    fn datagram(&mut self, now: Time, claim: Claim, from: SocketAddr, bytes: &[u8]) {
        self.counters.received += 1;
        let input = match claim {
            Claim::Taken(stream, Carries::Rtp) => Input::Packet { stream, from, bytes },
            Claim::Taken(stream, Carries::Rtcp) => Input::Control { stream, from, bytes },
            Claim::Idle | Claim::Elsewhere => {
                self.counters.unclaimed += 1;
                return;
            }
        };
        self.msp.handle(now, input);
        self.drain(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_wait_are_taken_in_order_with_their_sources() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(ours) = UdpSocket::bind(host) else { continue };
            let theirs = UdpSocket::bind(host).unwrap();
            let count = BATCH as u8 + 4;
            (0..count).for_each(|n| drop(theirs.send_to(&[n; 30][..10 + usize::from(n)], ours.local_addr().unwrap())));
            let (mut room, mut taken) = (Room::new(), Vec::new());
            for expected in [BATCH, BATCH + 4, BATCH + 4] {
                room.take_all(&ours, |from, bytes| taken.push((from, bytes.to_vec())));
                assert_eq!(taken.len(), expected);
            }
            for (n, (from, bytes)) in (0..count).zip(taken) {
                assert_eq!((from, bytes), (theirs.local_addr().unwrap(), vec![n; 10 + usize::from(n)]));
            }
        }
    }
}
