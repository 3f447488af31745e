//! A name server for a [`Zone`] on 127.0.0.1, over UDP and TCP (RFC 1035), for programs that ask by themselves.

use super::{Zone, wire};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tspi::Query;

/// How often its threads look whether they are still wanted.
const LOOK: Duration = Duration::from_millis(20);
/// How long somebody may take to ask over TCP.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest question that is read.
const MAX_QUESTION: usize = 4_096;

/// A running name server. It ends when it is dropped.
pub struct NameServer {
    /// Its address, for UDP and TCP.
    pub address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    ends: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl NameServer {
    /// Starts one at a free port.
    ///
    /// # Errors
    /// None of a few ports was free for both UDP and TCP.
    pub fn start(zone: Zone) -> io::Result<NameServer> {
        let (udp, tcp) = sockets()?;
        let address = udp.local_addr()?;
        udp.set_read_timeout(Some(LOOK))?;
        tcp.set_nonblocking(true)?;
        let (zone, ends) = (Arc::new(Mutex::new(zone)), Arc::new(AtomicBool::new(false)));
        let (for_udp, for_tcp) = ((zone.clone(), ends.clone()), (zone.clone(), ends.clone()));
        let threads = vec![
            std::thread::spawn(move || datagrams(&udp, &for_udp.0, &for_udp.1)),
            std::thread::spawn(move || streams(&tcp, &for_tcp.0, &for_tcp.1)),
        ];
        Ok(NameServer { address, zone, ends, threads })
    }

    /// Looks at the zone, or changes it.
    pub fn zone<T>(&self, work: impl FnOnce(&mut Zone) -> T) -> T {
        work(&mut self.zone.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How often this was asked.
    pub fn asked(&self, query: &Query) -> usize {
        self.zone(|zone| zone.asked.iter().filter(|asked| *asked == query).count())
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

fn sockets() -> io::Result<(UdpSocket, TcpListener)> {
    let mut last = io::Error::from(ErrorKind::AddrInUse);
    for _ in 0..32 {
        let udp = UdpSocket::bind((IpAddr::V4(Ipv4Addr::LOCALHOST), 0))?;
        match TcpListener::bind(udp.local_addr()?) {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn answer(zone: &Mutex<Zone>, question: &[u8], most: usize) -> Option<Vec<u8>> {
    wire::answer(&mut zone.lock().unwrap_or_else(PoisonError::into_inner), question, most)
}

fn datagrams(socket: &UdpSocket, zone: &Mutex<Zone>, ends: &AtomicBool) {
    let mut question = [0; MAX_QUESTION];
    while !ends.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut question) else {
            continue;
        };
        let Some(question) = question.get(..length) else { continue };
        if let Some(answer) = answer(zone, question, wire::MAX_DATAGRAM) {
            drop(socket.send_to(&answer, from));
        }
    }
}

fn streams(listener: &TcpListener, zone: &Mutex<Zone>, ends: &AtomicBool) {
    while !ends.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((stream, _)) => drop(conversation(stream, zone)),
            Err(_) => std::thread::sleep(LOOK),
        }
    }
}

/// Questions over one connection, each behind its length, until the far end closes it or is silent.
fn conversation(mut stream: TcpStream, zone: &Mutex<Zone>) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut question = vec![0; usize::from(u16::from_be_bytes(length)).min(MAX_QUESTION)];
        stream.read_exact(&mut question)?;
        if let Some(answer) = answer(zone, &question, usize::from(u16::MAX)) {
            let length = u16::try_from(answer.len()).unwrap_or(u16::MAX);
            stream.write_all(&[&length.to_be_bytes(), answer.as_slice()].concat())?;
        }
    }
}
