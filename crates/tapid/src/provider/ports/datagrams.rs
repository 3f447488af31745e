//! Datagrams of a UDP socket, several with one call of the kernel.

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg};
use rustix::net::{SendFlags, sendto};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::task::{Context, Poll, ready};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Datagrams that are taken with one call.
const AT_ONCE: usize = 16;

/// Room for one: the longest there can be.
const LONGEST: usize = 64 << 10;

/// Datagrams that are sent with one call.
const SENT_AT_ONCE: usize = 64;

/// Room for what arrives. Its pages are the system's until something long arrives.
pub struct Inbound {
    room: Vec<u8>,
    /// Where each datagram came from, and its length.
    heard: Vec<(SocketAddr, usize)>,
}

impl Inbound {
    /// Room that nothing has arrived in.
    pub fn new() -> Inbound {
        Inbound { room: vec![0; AT_ONCE * LONGEST], heard: Vec::with_capacity(AT_ONCE) }
    }

    /// Room for bytes that are no datagrams.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.room
    }

    /// The first of those bytes.
    pub fn bytes(&self, length: usize) -> &[u8] {
        self.room.get(..length).unwrap_or_default()
    }

    /// The datagrams that arrived together, in their order.
    pub fn datagrams(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        let rooms = self.room.chunks_exact(LONGEST);
        self.heard.iter().zip(rooms).map(|((from, length), room)| (*from, room.get(..*length).unwrap_or_default()))
    }

    /// Takes what waits in a socket; ready once it was something.
    pub fn poll(&mut self, socket: &UdpSocket, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(socket.poll_recv_ready(context))?;
            self.heard.clear();
            let taken = socket.try_io(Interest::READABLE, || {
                self.receive(socket)?;
                // With fewer than there is room for the socket is empty: it need not be asked again to find that out.
                if self.heard.len() < AT_ONCE { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
            });
            match taken {
                _ if !self.heard.is_empty() => return Poll::Ready(Ok(())),
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // An earlier datagram met a closed port; the socket itself is well.
                Err(error) if is_about_a_peer(&error) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn receive(&mut self, socket: &UdpSocket) -> io::Result<()> {
        let mut rooms: Vec<[IoSliceMut<'_>; 1]> =
            self.room.chunks_exact_mut(LONGEST).map(|room| [IoSliceMut::new(room)]).collect();
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(AT_ONCE, None);
        let descriptor = socket.as_raw_fd();
        let received = recvmmsg(descriptor, &mut headers, rooms.iter_mut(), MsgFlags::MSG_DONTWAIT, None)?;
        // One without an address cannot be answered, and keeps its place so that the others keep theirs.
        let none = SocketAddr::from(([0, 0, 0, 0], 0));
        self.heard.extend(received.map(|one| (one.address.and_then(address).unwrap_or(none), one.bytes)));
        Ok(())
    }
}

fn address(storage: SockaddrStorage) -> Option<SocketAddr> {
    let v4 = storage.as_sockaddr_in().map(|address| SocketAddr::V4((*address).into()));
    v4.or_else(|| storage.as_sockaddr_in6().map(|address| SocketAddr::V6((*address).into())))
}

fn is_about_a_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted, NetworkUnreachable};
    matches!(error.kind(), ConnectionRefused | ConnectionReset | HostUnreachable | Interrupted | NetworkUnreachable)
}

/// Sends datagrams in their order. One that cannot be sent is lost like any other in the network: nobody waits for room.
pub fn send(socket: &UdpSocket, datagrams: &[(SocketAddr, Vec<u8>)]) {
    let mut rest = datagrams;
    while !rest.is_empty() {
        let sent = match rest {
            [(to, bytes)] => sendto(socket, bytes, SendFlags::DONTWAIT, to).map(|_| 1).map_err(io::Error::from),
            _ => send_some(socket, rest),
        };
        let done = sent.unwrap_or_else(|error| {
            tracing::debug!(%error, "datagram not sent");
            1
        });
        rest = rest.get(done.max(1)..).unwrap_or_default();
    }
}

/// How many were sent. An error is about the first.
fn send_some(socket: &UdpSocket, datagrams: &[(SocketAddr, Vec<u8>)]) -> io::Result<usize> {
    let some = datagrams.iter().take(SENT_AT_ONCE);
    let slices: Vec<[IoSlice<'_>; 1]> = some.clone().map(|(_, bytes)| [IoSlice::new(bytes)]).collect();
    let addresses: Vec<Option<SockaddrStorage>> = some.map(|(to, _)| Some((*to).into())).collect();
    let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(slices.len(), None);
    let flags = MsgFlags::MSG_DONTWAIT;
    let sent = sendmmsg(socket.as_raw_fd(), &mut headers, slices.iter(), addresses, [], flags);
    sent.map(Iterator::count).map_err(|error: Errno| error.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    async fn pair() -> (UdpSocket, UdpSocket) {
        (UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap())
    }

    #[tokio::test]
    async fn datagrams_come_in_their_order_however_many_there_are() {
        let (one, other) = pair().await;
        let to = other.local_addr().unwrap();
        let said: Vec<(SocketAddr, Vec<u8>)> =
            (0..100u8).map(|number| (to, vec![number; 1 + number as usize])).collect();
        send(&one, &said);
        let (mut inbound, mut heard) = (Inbound::new(), Vec::new());
        while heard.len() < said.len() {
            poll_fn(|context| inbound.poll(&other, context)).await.unwrap();
            for (from, bytes) in inbound.datagrams() {
                assert_eq!(from, one.local_addr().unwrap());
                heard.push((to, bytes.to_vec()));
            }
        }
        assert_eq!(heard, said);
        // The readiness that was given up comes back with the next datagram.
        send(&one, &said[..1]);
        poll_fn(|context| inbound.poll(&other, context)).await.unwrap();
        assert_eq!(inbound.datagrams().count(), 1);
    }

    #[tokio::test]
    async fn one_that_cannot_be_sent_takes_no_other_with_it() {
        let (one, other) = pair().await;
        let to = other.local_addr().unwrap();
        let too_long = vec![0; 70_000];
        send(&one, &[(to, b"a".to_vec()), (to, too_long), (to, b"b".to_vec())]);
        let (mut inbound, mut heard) = (Inbound::new(), Vec::new());
        while heard.len() < 2 {
            poll_fn(|context| inbound.poll(&other, context)).await.unwrap();
            heard.extend(inbound.datagrams().map(|(_, bytes)| bytes.to_vec()));
        }
        assert_eq!(heard, [b"a", b"b"]);
    }
}
