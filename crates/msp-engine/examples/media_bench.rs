//! CPU of the media thread for a packet in and out, beside the floor: a bare epoll loop that sends every datagram back.
//!
//! `media_bench [streams] [seconds]`, 200 and 5 where nothing is given. Every stream gets 50 packets of 20 ms a second
//! from a thread of its own; what is told is the time that the kernel charged to the thread which carries the streams.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot be made has nothing to tell")]

use msp_engine::{Engine, EngineConfig, JITTER_MS, bind};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use rtp_rs::RtpPacketBuilder;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tspi::media::{Codec, Command, Direction, Format, LocalMedia, LocalRtp, RemoteMedia, RemoteRtp, StreamId};

const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const FRAME: Duration = Duration::from_millis(20);
const WARM_UP: Duration = Duration::from_millis(500);

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>().expect("a number"));
    let streams = arguments.next().unwrap_or(200).max(2) & !1;
    let seconds = arguments.next().unwrap_or(5).max(1) as u64;
    println!("{streams} streams, 50 packets/s each, {seconds} s");
    println!("{:<34}{:>10}{:>12}{:>10}{:>10}", "", "µs/packet", "x the floor", "packets", "lost");
    let floor = floor(streams, seconds);
    let tell = |name: &str, run: &Run| {
        println!("{name:<34}{:>10.2}{:>12.2}{:>10}{:>10}", run.us, run.us / floor.us, run.sent, run.lost());
    };
    tell("floor: bare epoll echo", &floor);
    tell("engine: echo", &engine(streams, seconds, Shape::Echo));
    tell("engine: bridge, relayed", &engine(streams, seconds, Shape::Bridge));
    tell("engine: bridge, PCMU to PCMA", &engine(streams, seconds, Shape::Transcode));
}

struct Run {
    us: f64,
    sent: u64,
    back: u64,
}

impl Run {
    fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.back)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Shape {
    Echo,
    Bridge,
    Transcode,
}

/// Nanoseconds of CPU charged to this process's thread of that name.
fn charged(name: &str) -> u64 {
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let read = |file: &str| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
        if read("comm").trim() == name {
            return read("schedstat")
                .split(' ')
                .next()
                .and_then(|ns| ns.parse().ok())
                .expect("the kernel tells schedstat");
        }
    }
    panic!("no thread {name}")
}

/// The far ends: a socket for each stream.
struct Load {
    far: Vec<(UdpSocket, SocketAddr, u8)>,
}

impl Load {
    fn new(streams: usize) -> Load {
        let none = SocketAddr::from(([0, 0, 0, 0], 0));
        let sockets = bind(HOST, std::iter::repeat_n(0, streams)).unwrap();
        Load { far: sockets.into_iter().map(|(_, socket)| (socket, none, 0)).collect() }
    }

    /// Sends and drains for so long, a packet a stream every 20 ms, spread evenly; tells both counts.
    fn run(&self, first: u64, duration: Duration) -> (u64, u64) {
        let (mut sent, mut back) = (0, 0);
        let begin = Instant::now();
        let gap = FRAME / self.far.len() as u32;
        let rounds = (duration.as_micros() / FRAME.as_micros()) as u64;
        for round in first..first + rounds {
            for (n, (socket, to, payload_type)) in self.far.iter().enumerate() {
                let due = begin + FRAME * (round - first) as u32 + gap * n as u32;
                // Waking for every packet would leave no CPU to measure with.
                if due > Instant::now() + Duration::from_millis(1) {
                    std::thread::sleep(due - Instant::now());
                }
                back += drain(socket);
                let packet = packet(round, *payload_type);
                sent += u64::from(socket.send_to(&packet, to).is_ok());
            }
        }
        std::thread::sleep(Duration::from_millis(300));
        back += self.far.iter().map(|(socket, ..)| drain(socket)).sum::<u64>();
        (sent, back)
    }

    /// Warms up, then measures the thread of this name.
    fn measure(&self, thread: &str, seconds: u64) -> Run {
        self.run(0, WARM_UP);
        let first = (WARM_UP.as_millis() / FRAME.as_millis()) as u64;
        let before = charged(thread);
        let (sent, back) = self.run(first, Duration::from_secs(seconds));
        let us = (charged(thread) - before) as f64 / 1000.0 / sent as f64;
        Run { us, sent, back }
    }
}

fn packet(round: u64, payload_type: u8) -> Vec<u8> {
    RtpPacketBuilder::new()
        .payload_type(payload_type)
        .ssrc(1)
        .sequence((round as u16).into())
        .timestamp((round * 160) as u32)
        .payload(&[0xd5; 160])
        .build()
        .unwrap()
}

fn drain(socket: &UdpSocket) -> u64 {
    let mut room = [0; 2048];
    let mut count = 0;
    while socket.recv_from(&mut room).is_ok() {
        count += 1;
    }
    count
}

fn floor(streams: usize, seconds: u64) -> Run {
    let sockets = bind(HOST, std::iter::repeat_n(0, streams)).unwrap();
    let mut load = Load::new(streams);
    for (far, (port, _)) in load.far.iter_mut().zip(&sockets) {
        far.1 = (HOST, *port).into();
    }
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    let thread = std::thread::Builder::new().name("floor".into());
    let thread = thread.spawn(move || echo(&sockets, &told)).unwrap();
    let run = load.measure("floor", seconds);
    stop.store(true, Ordering::Relaxed);
    thread.join().unwrap();
    run
}

fn echo(sockets: &[(u16, UdpSocket)], stop: &AtomicBool) {
    // As the media thread does: what is compared runs at one priority.
    let _ = rustix::process::setpriority_process(None, -11);
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
    for (n, (_, socket)) in sockets.iter().enumerate() {
        epoll.add(socket, EpollEvent::new(EpollFlags::EPOLLIN, n as u64)).unwrap();
    }
    let mut events = [EpollEvent::empty(); 256];
    let mut room = [0; 2048];
    while !stop.load(Ordering::Relaxed) {
        let ready = epoll.wait(&mut events, EpollTimeout::from(100u16)).unwrap_or(0);
        for event in &events[..ready] {
            let socket = &sockets[event.data() as usize].1;
            while let Ok((length, from)) = socket.recv_from(&mut room) {
                let _ = socket.send_to(&room[..length], from);
            }
        }
    }
}

fn engine(streams: usize, seconds: u64, shape: Shape) -> Run {
    let sockets = bind(HOST, std::iter::repeat_n(0, streams)).unwrap();
    let ports: Vec<u16> = sockets.iter().map(|(port, _)| *port).collect();
    let threads = NonZeroUsize::new(1);
    let config = EngineConfig {
        address: HOST,
        sockets,
        dscp: 46,
        seed: [1; 32],
        state: None,
        threads,
        realtime: false,
        jitter_ms: JITTER_MS,
    };
    let engine = Engine::start(config, Arc::new(|_| {})).unwrap();
    let mut load = Load::new(streams);
    for (n, (port, far)) in ports.iter().zip(&mut load.far).enumerate() {
        let pcmu = shape == Shape::Transcode && n % 2 == 0;
        *far = (far.0.try_clone().unwrap(), (HOST, *port).into(), if pcmu { 0 } else { 8 });
        open(&engine, StreamId(n as u64), *port, &far.0, pcmu);
    }
    for n in (0..streams as u64).step_by(if shape == Shape::Echo { 1 } else { 2 }) {
        let other = if shape == Shape::Echo { n } else { n + 1 };
        engine.command(Command::Join { a: StreamId(n), b: StreamId(other) });
    }
    // Commands and datagrams come by different ways.
    std::thread::sleep(Duration::from_millis(200));
    for (socket, ..) in &load.far {
        drain(socket);
    }
    load.measure("media-0", seconds)
}

fn open(engine: &Engine, stream: StreamId, port: u16, far: &UdpSocket, pcmu: bool) {
    let (codec, payload_type) = if pcmu { (Codec::Pcmu, 0) } else { (Codec::Pcma, 8) };
    let format = Format { codec, payload_type };
    let local = LocalRtp { stream, address: HOST, port, rtcp_port: None, formats: vec![format.clone()] };
    engine.command(Command::Open { local: LocalMedia::Rtp(local) });
    let remote = RemoteRtp {
        address: far.local_addr().unwrap(),
        send: format.clone(),
        receive: vec![format],
        events: None,
        direction: Direction::SendRecv,
        ptime_ms: 20,
        rtcp: tspi::Rtcp::None,
        srtp: None,
        comfort_noise: None,
    };
    engine.command(Command::Connect { stream, remote: RemoteMedia::Rtp(remote) });
}
