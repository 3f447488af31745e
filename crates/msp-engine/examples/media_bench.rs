//! CPU of the media threads, beside the floor: a bare epoll loop that sends every datagram back.
//!
//! `media_bench [calls] [seconds] [row]`, 100 and 5 where nothing is given, and all rows. Every far end sends 50 packets of 20 ms a second from
//! a thread of its own, and another takes what comes back with its time. What is told is the time that the kernel charged
//! to the threads that carry the audio, for a packet in and out and for a second of a call; the floor's figure for as many
//! packets is 1.0. Loss, jitter (RFC 3550 section 6.4.1) and the longest gap are what the far ends saw.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot be made has nothing to tell")]

use msp_engine::{Engine, EngineConfig, JITTER_MS, bind};
use msp_rtp::srtp::Protection;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use rtp_rs::{RtpPacketBuilder, RtpReader};
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tapi::OperationId;
use tspi::media::{
    Codec, Command, DescriptorId, Direction, Format, LocalMedia, LocalRtp, MixerId, Packet, RemoteMedia, RemoteRtp,
    Srtp, SrtpKey, SrtpSuite, StreamId,
};

const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const FRAME: Duration = Duration::from_millis(20);
const WARM_UP: Duration = Duration::from_millis(600);
/// What the issue asks for.
const RELAY_AIM: f64 = 1.3;
const RECORDING_AIM: f64 = 1.5;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = || arguments.next().map(|argument| argument.parse::<usize>().expect("a number"));
    let calls = number().unwrap_or(100).clamp(10, 1000) / 10 * 10;
    let seconds = number().unwrap_or(5).max(1) as u64;
    let wanted = arguments.next().unwrap_or_default();
    println!("50 packets/s from each far end, {seconds} s; one media thread");
    println!(
        "{:<36}{:>8}{:>10}{:>13}{:>9}{:>8}{:>11}{:>11}",
        "", "streams", "µs/packet", "ms/call-s", "x floor", "lost", "jitter ms", "gap ms"
    );
    let floors = [calls, 2 * calls, 6 * calls].map(|streams| (streams, floor(streams, seconds)));
    for (streams, run) in &floors {
        tell("floor: bare epoll echo", *streams, 1, run, run);
    }
    let rows = [
        ("bridge, relayed", Shape::Bridge, calls, Some(RELAY_AIM)),
        ("bridge, relayed", Shape::Bridge, 3 * calls, Some(RELAY_AIM)),
        ("bridge, relayed, five at once", Shape::Bursts, calls, None),
        ("bridge, relayed, SRTP", Shape::Srtp, calls, None),
        ("bridge, PCMU to PCMA", Shape::Laws, calls, None),
        ("bridge, PCMU to G722", Shape::Wide, calls, None),
        ("echo", Shape::Echo, calls, None),
        ("playback", Shape::Playback, calls, None),
        ("playback with recording", Shape::Recording, calls, Some(RECORDING_AIM)),
        ("mixers of ten", Shape::Mixer, calls, None),
    ];
    for (name, shape, calls, aim) in rows.into_iter().filter(|(name, ..)| name.starts_with(&wanted)) {
        let streams = calls * shape.legs();
        let (_, floor) = floors.iter().min_by_key(|(of, _)| of.abs_diff(streams)).unwrap();
        let run = engine(streams, seconds, shape);
        tell(name, streams, shape.legs(), &run, floor);
        if let Some(aim) = aim.filter(|aim| run.us / floor.us > *aim) {
            println!("    not reached: {aim} times the floor was aimed at");
        }
    }
}

fn tell(name: &str, streams: usize, legs: usize, run: &Run, floor: &Run) {
    let call_second = run.us * 50.0 * legs as f64 / 1000.0;
    println!(
        "{name:<36}{streams:>8}{:>10.2}{call_second:>13.3}{:>9.2}{:>8}{:>11.2}{:>11.1}",
        run.us,
        run.us / floor.us,
        run.seen.lost,
        run.seen.jitter_ms,
        run.seen.gap_ms,
    );
}

struct Run {
    /// Microseconds for a packet that was sent to the threads.
    us: f64,
    seen: Seen,
}

/// What the far ends saw: losses of all, and the worst jitter and gap.
#[derive(Default)]
struct Seen {
    lost: u64,
    jitter_ms: f64,
    gap_ms: f64,
}

#[derive(Clone, Copy, PartialEq)]
enum Shape {
    Echo,
    Bridge,
    /// Packets come five at once, every 100 ms.
    Bursts,
    Srtp,
    Laws,
    Wide,
    Playback,
    Recording,
    Mixer,
}

impl Shape {
    fn legs(self) -> usize {
        if matches!(self, Shape::Bridge | Shape::Bursts | Shape::Srtp | Shape::Laws | Shape::Wide) { 2 } else { 1 }
    }

    fn codec(self, number: usize) -> (Codec, u8) {
        match (self, number % 2) {
            (Shape::Laws | Shape::Wide, 0) => (Codec::Pcmu, 0),
            (Shape::Wide, _) => (Codec::G722, 9),
            _ => (Codec::Pcma, 8),
        }
    }
}

/// Nanoseconds of CPU charged to the threads of this process whose names begin so.
fn charged(name: &str) -> u64 {
    let mut all = None;
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let read = |file: &str| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
        if read("comm").starts_with(name) {
            let ns = read("schedstat").split(' ').next().and_then(|ns| ns.parse::<u64>().ok());
            *all.get_or_insert(0) += ns.expect("the kernel tells schedstat");
        }
    }
    all.expect("a thread of that name")
}

/// A far end: where it sends to, with which payload type, and how it protects that.
struct Far {
    socket: UdpSocket,
    to: SocketAddr,
    payload_type: u8,
    protection: Option<Protection>,
}

fn far_ends(streams: usize) -> Vec<Far> {
    let none = SocketAddr::from(([0, 0, 0, 0], 0));
    let sockets = bind(HOST, std::iter::repeat_n(0, streams)).unwrap();
    let far = |(_, socket)| Far { socket, to: none, payload_type: 8, protection: None };
    sockets.into_iter().map(far).collect()
}

/// Sends for so long, a packet a far end every 20 ms, or so many at once as often as they make, spread evenly; gives how many.
fn send(far: &mut [Far], (first, burst): (u64, u64), duration: Duration) -> u64 {
    let mut sent = 0;
    let begin = Instant::now();
    let gap = FRAME / far.len() as u32;
    let rounds = (duration.as_micros() / FRAME.as_micros()) as u64;
    for round in (first..first + rounds).step_by(burst as usize) {
        for (n, far) in far.iter_mut().enumerate() {
            let due = begin + FRAME * (round - first) as u32 + gap * n as u32;
            // Waking for every packet would leave no CPU to measure with.
            if due > Instant::now() + Duration::from_millis(1) {
                std::thread::sleep(due - Instant::now());
            }
            for round in round..round + burst {
                let mut packet = Packet::copy_of(&packet(round, far.payload_type)).unwrap();
                if let Some(protection) = &mut far.protection {
                    protection.protect_rtp(&mut packet).unwrap();
                }
                sent += u64::from(far.socket.send_to(packet.as_slice(), far.to).is_ok());
            }
        }
    }
    sent
}

fn packet(round: u64, payload_type: u8) -> Vec<u8> {
    // Noise: nothing that a detector or a codec could take the short way with.
    let payload: [u8; 160] = std::array::from_fn(|n| (n as u64 * 73 + round * 31) as u8);
    RtpPacketBuilder::new()
        .payload_type(payload_type)
        .ssrc(1)
        .sequence((round as u16).into())
        .timestamp((round * 160) as u32)
        .payload(&payload)
        .build()
        .unwrap()
}

/// Of one far end, what came.
#[derive(Default)]
struct Heard {
    last: Option<(Instant, u32)>,
    first_sequence: Option<u16>,
    latest: u16,
    count: u64,
    jitter: f64,
    gap: Duration,
}

impl Heard {
    fn packet(&mut self, at: Instant, sequence: u16, timestamp: u32) {
        self.count += 1;
        self.first_sequence.get_or_insert(sequence);
        self.latest = sequence;
        if let Some((before, earlier)) = self.last.replace((at, timestamp)) {
            let gap = at - before;
            self.gap = self.gap.max(gap);
            let due = f64::from(timestamp.wrapping_sub(earlier).cast_signed()) / 8.0;
            self.jitter += ((gap.as_secs_f64() * 1000.0 - due).abs() - self.jitter) / 16.0;
        }
    }

    fn lost(&self) -> u64 {
        let Some(first) = self.first_sequence else { return 0 };
        (u64::from(self.latest.wrapping_sub(first)) + 1).saturating_sub(self.count)
    }
}

/// Takes what comes until told to stop.
fn listen(sockets: &[UdpSocket], stop: &AtomicBool) -> Vec<Heard> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
    for (n, socket) in sockets.iter().enumerate() {
        epoll.add(socket, EpollEvent::new(EpollFlags::EPOLLIN, n as u64)).unwrap();
    }
    let mut heard: Vec<Heard> = sockets.iter().map(|_| Heard::default()).collect();
    let mut events = [EpollEvent::empty(); 256];
    let mut room = [0; 2048];
    while !stop.load(Ordering::Relaxed) {
        let ready = epoll.wait(&mut events, EpollTimeout::from(50u16)).unwrap_or(0);
        for event in &events[..ready] {
            let number = event.data() as usize;
            while let Ok(length) = sockets[number].recv(&mut room) {
                // The header is not protected.
                let Ok(packet) = RtpReader::new(&room[..length]) else { continue };
                heard[number].packet(Instant::now(), packet.sequence_number().into(), packet.timestamp());
            }
        }
    }
    heard
}

/// Warms up, then measures the threads of this name.
fn measure(mut far: Vec<Far>, thread: &str, seconds: u64, burst: u64) -> Run {
    let stop = Arc::new(AtomicBool::new(false));
    send(&mut far, (0, burst), WARM_UP);
    let mut room = [0; 2048];
    far.iter().for_each(|far| while far.socket.recv(&mut room).is_ok() {});
    let sockets: Vec<UdpSocket> = far.iter().map(|far| far.socket.try_clone().unwrap()).collect();
    let told = stop.clone();
    let listener = std::thread::spawn(move || listen(&sockets, &told));
    let before = charged(thread);
    let first = (WARM_UP.as_millis() / FRAME.as_millis()) as u64;
    let sent = send(&mut far, (first, burst), Duration::from_secs(seconds));
    let us = (charged(thread) - before) as f64 / 1000.0 / sent as f64;
    std::thread::sleep(Duration::from_millis(200));
    stop.store(true, Ordering::Relaxed);
    let heard = listener.join().unwrap();
    let worst = |of: fn(&Heard) -> f64| heard.iter().map(of).fold(0.0, f64::max);
    let seen = Seen {
        lost: heard.iter().map(Heard::lost).sum(),
        jitter_ms: worst(|heard| heard.jitter),
        gap_ms: worst(|heard| heard.gap.as_secs_f64() * 1000.0),
    };
    assert!(heard.iter().all(|heard| heard.count > 0), "a far end heard nothing");
    Run { us, seen }
}

fn floor(streams: usize, seconds: u64) -> Run {
    let sockets = bind(HOST, std::iter::repeat_n(0, streams)).unwrap();
    let mut far = far_ends(streams);
    for (far, (port, _)) in far.iter_mut().zip(&sockets) {
        far.to = (HOST, *port).into();
    }
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    let thread = std::thread::Builder::new().name("floor".into());
    let thread = thread.spawn(move || echo(&sockets, &told)).unwrap();
    let run = measure(far, "floor", seconds, 1);
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
            // Level-triggered, one at a time: no call is spent on finding a socket empty.
            if let Ok((length, from)) = socket.recv_from(&mut room) {
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
    let mut far = far_ends(streams);
    for (n, (port, far)) in ports.iter().zip(&mut far).enumerate() {
        far.to = (HOST, *port).into();
        open(&engine, n, *port, far, shape);
    }
    for n in 0..streams as u64 {
        set_up(&engine, n, shape);
    }
    // Commands and datagrams come by different ways.
    std::thread::sleep(Duration::from_millis(300));
    measure(far, "media-", seconds, if shape == Shape::Bursts { 5 } else { 1 })
}

fn open(engine: &Engine, number: usize, port: u16, far: &mut Far, shape: Shape) {
    let stream = StreamId(number as u64);
    let (codec, payload_type) = shape.codec(number);
    far.payload_type = payload_type;
    let format = Format { codec, payload_type };
    let key = |octet| SrtpKey(vec![octet; 30]);
    let suite = SrtpSuite::AesCm128HmacSha1_80;
    let srtp = (shape == Shape::Srtp).then(|| Srtp { suite: suite.clone(), local: key(1), remote: key(2) });
    far.protection = srtp
        .as_ref()
        .map(|srtp| Srtp { suite, local: srtp.remote.clone(), remote: srtp.local.clone() })
        .and_then(|theirs| Protection::new(&theirs));
    let local = LocalRtp { stream, address: HOST, port, rtcp_port: None, formats: vec![format.clone()] };
    engine.command(Command::Open { local: LocalMedia::Rtp(local) });
    let remote = RemoteRtp {
        address: far.socket.local_addr().unwrap(),
        send: format.clone(),
        receive: vec![format],
        events: None,
        direction: Direction::SendRecv,
        ptime_ms: 20,
        rtcp: tspi::Rtcp::None,
        srtp,
        comfort_noise: None,
    };
    engine.command(Command::Connect { stream, remote: RemoteMedia::Rtp(remote) });
}

fn set_up(engine: &Engine, number: u64, shape: Shape) {
    let stream = StreamId(number);
    match shape {
        Shape::Echo => engine.command(Command::Join { a: stream, b: stream }),
        Shape::Mixer => engine.command(Command::Mix { stream, mixer: MixerId(number / 10) }),
        Shape::Bridge | Shape::Bursts | Shape::Srtp | Shape::Laws | Shape::Wide if number.is_multiple_of(2) => {
            engine.command(Command::Join { a: stream, b: StreamId(number + 1) });
        }
        Shape::Bridge | Shape::Bursts | Shape::Srtp | Shape::Laws | Shape::Wide => {}
        Shape::Playback | Shape::Recording => {
            let (operation, descriptor) = (OperationId(2 * number), DescriptorId(2 * number));
            engine.give(descriptor, prompt().into());
            engine.command(Command::Play { operation, stream, descriptor, repeat: true });
            if shape == Shape::Recording {
                let (operation, descriptor) = (OperationId(2 * number + 1), DescriptorId(2 * number + 1));
                engine.give(descriptor, memory_file().into());
                engine.command(Command::Record { operation, stream, descriptor, max_ms: None });
            }
        }
    }
}

fn memory_file() -> File {
    File::from(nix::sys::memfd::memfd_create(c"audio", nix::sys::memfd::MFdFlags::empty()).unwrap())
}

/// Ten seconds of noise.
fn prompt() -> File {
    let file = memory_file();
    let format = hound::SampleFormat::Int;
    let spec = hound::WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 16, sample_format: format };
    let mut writer = hound::WavWriter::new(std::io::BufWriter::new(file.try_clone().unwrap()), spec).unwrap();
    (0..80_000i32).for_each(|n| writer.write_sample((n * 7919 % 8001 - 4000) as i16).unwrap());
    writer.finalize().unwrap();
    file
}
