//! An engine with its events, and far ends on loopback sockets.

#![allow(dead_code, unused_imports, clippy::unwrap_used, reason = "each test uses its part")]

use msp_engine::{Engine, EngineConfig, JITTER_MS, bind};
use msp_rtp::g711::Law;
use msp_rtp::tone::{Meter, Tone};
use rtp_rs::{RtpPacketBuilder, RtpReader};
use std::fs::File;
use std::io::{Read, Seek};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use tapi::{End, OperationId};
use tspi::media::{
    Codec, Command, DescriptorId, Direction, Event, Format, Frame, LocalMedia, LocalRtp, RemoteMedia, RemoteRtp,
    StreamId,
};

pub const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Bench {
    pub engine: Engine,
    pub ports: Vec<u16>,
    pub events: Receiver<Event>,
}

impl Bench {
    pub fn new(sockets: Vec<(u16, UdpSocket)>, state: Option<Vec<u8>>) -> Bench {
        let ports = sockets.iter().map(|(port, _)| *port).collect();
        let (tell, events) = channel();
        let threads = NonZeroUsize::new(2);
        let config = EngineConfig {
            address: HOST,
            sockets,
            dscp: 46,
            seed: [7; 32],
            state,
            threads,
            realtime: false,
            jitter_ms: JITTER_MS,
        };
        let engine = Engine::start(config, Arc::new(move |event| drop(tell.send(event)))).unwrap();
        Bench { engine, ports, events }
    }

    pub fn with_ports(count: usize) -> Bench {
        Bench::new(bind(HOST, std::iter::repeat_n(0, count)).unwrap(), None)
    }

    /// Opens stream `number` on port `number`, with `far` at its other end.
    pub fn open(&self, number: usize, codec: &Codec, far: &Far) {
        self.open_as(number as u64, number, codec, far);
    }

    /// Opens a stream on port `number`, with `far` at its other end.
    pub fn open_as(&self, stream: u64, number: usize, codec: &Codec, far: &Far) {
        let stream = StreamId(stream);
        let local = LocalRtp { stream, address: HOST, port: self.ports[number], rtcp_port: None, formats: Vec::new() };
        self.engine.command(Command::Open { local: LocalMedia::Rtp(local) });
        let format = Format { codec: codec.clone(), payload_type: payload_type(codec) };
        let event = Format { codec: Codec::TelephoneEvent, payload_type: 101 };
        let remote = RemoteRtp {
            address: far.socket.local_addr().unwrap(),
            send: format.clone(),
            receive: vec![format, event],
            events: Some(101),
            direction: Direction::SendRecv,
            ptime_ms: 20,
            rtcp: tspi::Rtcp::None,
            srtp: None,
            comfort_noise: None,
        };
        self.engine.command(Command::Connect { stream, remote: RemoteMedia::Rtp(remote) });
    }

    pub fn address(&self, number: usize) -> SocketAddr {
        (HOST, self.ports[number]).into()
    }

    pub fn ended(&self) -> (u64, End, u64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let event = self.events.recv_timeout(deadline - Instant::now()).expect("an operation ends");
            if let Event::Ended { operation, end, millis, .. } = event {
                return (operation.0, end, millis);
            }
        }
    }
}

pub fn payload_type(codec: &Codec) -> u8 {
    if *codec == Codec::Pcmu { 0 } else { 8 }
}

/// A far end: raw RTP on a socket.
pub struct Far {
    pub socket: UdpSocket,
    pub codec: Codec,
    pub sent: u16,
}

impl Far {
    pub fn new(codec: Codec) -> Far {
        let socket = UdpSocket::bind((HOST, 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Far { socket, codec, sent: 0 }
    }

    pub fn law(&self) -> Law {
        Law::of(&self.codec).unwrap()
    }

    pub fn send(&mut self, to: SocketAddr, frame: &Frame) {
        self.send_as(self.sent, to, frame);
        self.sent += 1;
    }

    /// The packet of this number.
    pub fn send_as(&self, number: u16, to: SocketAddr, frame: &Frame) {
        let payload = self.law().encode_frame(frame);
        let packet = RtpPacketBuilder::new()
            .payload_type(payload_type(&self.codec))
            .ssrc(99)
            .sequence(number.into())
            .timestamp(u32::from(number) * 160)
            .payload(&payload)
            .build()
            .unwrap();
        self.socket.send_to(&packet, to).unwrap();
    }

    /// SSRC, sequence number, timestamp and audio of the next packet.
    pub fn receive(&self) -> (u32, u16, u32, Frame) {
        let mut room = [0; 2048];
        loop {
            let (length, _) = self.socket.recv_from(&mut room).expect("a packet comes");
            let packet = RtpReader::new(&room[..length]).unwrap();
            if let Ok(octets) = <[u8; 160]>::try_from(packet.payload()) {
                let frame = Frame(octets.map(|octet| self.law().decode(octet)));
                return (packet.ssrc(), packet.sequence_number().into(), packet.timestamp(), frame);
            }
        }
    }

    /// Receives until a tone of this frequency has this level, in tenths of dBm0, within half a decibel.
    pub fn hear(&self, hz: u32, level_ddbm0: i32) {
        let deadline = Instant::now() + PATIENCE;
        let mut meter = Meter::new(&[hz]);
        let mut last = None;
        while Instant::now() < deadline {
            if let Some(measured) = meter.frame(&self.receive().3) {
                if (measured.tones[0].level_ddbm0 - level_ddbm0).abs() <= 5 {
                    return;
                }
                last = Some(measured);
            }
        }
        panic!("{hz} Hz at {level_ddbm0} was not heard, but {last:?}");
    }
}

pub fn memory_file() -> File {
    File::from(nix::sys::memfd::memfd_create(c"audio", nix::sys::memfd::MFdFlags::empty()).unwrap())
}

pub fn spec(channels: u16, sample_rate: u32) -> hound::WavSpec {
    hound::WavSpec { channels, sample_rate, bits_per_sample: 16, sample_format: hound::SampleFormat::Int }
}

pub fn prompt(hz: u32, millis: u32) -> OwnedFd {
    let file = memory_file();
    let mut writer = hound::WavWriter::new(file.try_clone().unwrap(), spec(1, 8000)).unwrap();
    let mut tone = Tone::new(&[(hz, -10.0)]).unwrap();
    for _ in 0..millis / 20 {
        tone.frame().0.iter().for_each(|sample| writer.write_sample(*sample).unwrap());
    }
    writer.finalize().unwrap();
    file.into()
}
