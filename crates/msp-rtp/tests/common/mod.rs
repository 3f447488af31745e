//! A media provider in virtual time, with everything that came out of it.

#![allow(dead_code, clippy::unwrap_used, reason = "each test uses its part")]

use msp_rtp::Msp;
use rtp_rs::{RtpPacketBuilder, RtpReader};
use std::net::SocketAddr;
use std::time::Duration;
use tapi::{End, OperationId, Time};
use tspi::media::{
    Codec, Command, Direction, Event, Format, Frame, Input, LocalMedia, LocalRtp, MediaProvider, Output, RemoteMedia,
    RemoteRtp, StreamId,
};

pub const EVENT_TYPE: u8 = 101;

pub fn ms(millis: u64) -> Time {
    Time::from_millis(millis)
}

pub fn address(number: u64) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, number as u8], 4000))
}

pub fn format(codec: &Codec) -> Format {
    let payload_type = match codec {
        Codec::Pcmu => 0,
        Codec::Pcma => 8,
        Codec::G722 => 9,
        Codec::Opus => 111,
        _ => EVENT_TYPE,
    };
    Format { codec: codec.clone(), payload_type }
}

/// A far end at `address(number)`, with telephone events.
pub fn remote(number: u64, codec: &Codec) -> RemoteRtp {
    RemoteRtp {
        address: address(number),
        send: format(codec),
        receive: vec![format(codec), format(&Codec::TelephoneEvent)],
        events: Some(EVENT_TYPE),
        direction: Direction::SendRecv,
        ptime_ms: 20,
        rtcp: tspi::Rtcp::None,
        srtp: None,
        comfort_noise: None,
    }
}

/// The samples of a recording.
pub fn samples_of(octets: &[u8]) -> Vec<i16> {
    octets.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

/// A packet that was sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    pub at: Time,
    pub stream: StreamId,
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
}

impl Sent {
    pub fn rtp(&self) -> RtpReader<'_> {
        RtpReader::new(&self.bytes).unwrap()
    }

    pub fn sequence(&self) -> u16 {
        self.rtp().sequence_number().into()
    }
}

pub struct Node {
    pub msp: Msp,
    pub now: Time,
    /// Whether the provider is written out and read back before every input.
    pub snapshots: bool,
    pub events: Vec<Event>,
    pub sent: Vec<Sent>,
    /// What left from RTCP ports.
    pub reports: Vec<Sent>,
    pub frames: Vec<(Time, StreamId, Frame)>,
    pub recorded: Vec<(Time, Frame, Frame)>,
    /// Everything, in words.
    pub log: Vec<String>,
}

impl Node {
    pub fn new(seed: u8) -> Node {
        Node {
            msp: Msp::new([seed; 32]),
            now: ms(1000),
            snapshots: false,
            events: Vec::new(),
            sent: Vec::new(),
            reports: Vec::new(),
            frames: Vec::new(),
            recorded: Vec::new(),
            log: Vec::new(),
        }
    }

    pub fn feed(&mut self, input: Input<'_>) {
        if self.snapshots {
            self.msp = serde_json::from_slice(&serde_json::to_vec(&self.msp).unwrap()).unwrap();
        }
        self.msp.handle(self.now, input);
        self.drain();
    }

    pub fn drain(&mut self) {
        while let Some(output) = self.msp.poll_output() {
            match output {
                Output::Event(event) => {
                    self.log.push(format!("{:?} {event:?}", self.now));
                    self.events.push(event);
                }
                Output::Packet { stream, to, packet } => {
                    let sent = Sent { at: self.now, stream, to, bytes: packet.as_slice().to_vec() };
                    self.log.push(format!("{sent:?}"));
                    self.sent.push(sent);
                }
                Output::Control { stream, to, packet } => {
                    let sent = Sent { at: self.now, stream, to, bytes: packet.as_slice().to_vec() };
                    self.log.push(format!("{sent:?}"));
                    self.reports.push(sent);
                }
                Output::Frame { stream, frame } => {
                    self.log.push(format!("{:?} {stream:?} {:?}", self.now, frame.0));
                    self.frames.push((self.now, stream, frame));
                }
                Output::Recorded { octets, .. } => {
                    let samples = samples_of(&octets);
                    self.log.push(format!("{:?} {samples:?}", self.now));
                    let count = samples.len() / 320;
                    for (n, pairs) in samples.chunks_exact(320).enumerate() {
                        let at = Time(self.now.0 - (count - 1 - n) as u64 * 20_000);
                        let side = |side: usize| Frame(std::array::from_fn(|n| pairs[2 * n + side]));
                        self.recorded.push((at, side(0), side(1)));
                    }
                }
                other => self.log.push(format!("{:?} {other:?}", self.now)),
            }
        }
    }

    /// What was recorded until now.
    pub fn recorded(&mut self) -> usize {
        self.msp.hand_on_recordings();
        self.drain();
        self.recorded.len()
    }

    /// Lets the clock run, with timeouts when they are due.
    pub fn run_to(&mut self, end: Time) {
        while let Some(at) = self.msp.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.feed(Input::Timeout);
        }
        self.now = end;
    }

    pub fn run(&mut self, millis: u64) {
        self.run_to(self.now + Duration::from_millis(millis));
    }

    pub fn command(&mut self, command: Command) {
        self.feed(Input::Command(command));
    }

    pub fn open(&mut self, number: u64, remote: RemoteRtp) {
        let stream = StreamId(number);
        let local = LocalRtp {
            stream,
            address: [127, 0, 0, 1].into(),
            port: 5000 + number as u16,
            rtcp_port: None,
            formats: vec![],
        };
        self.command(Command::Open { local: LocalMedia::Rtp(local) });
        self.command(Command::Connect { stream, remote: RemoteMedia::Rtp(remote) });
    }

    pub fn open_frames(&mut self, number: u64) {
        let stream = StreamId(number);
        self.command(Command::Open { local: LocalMedia::Frames { stream } });
        let remote = RemoteMedia::Frames { direction: Direction::SendRecv };
        self.command(Command::Connect { stream, remote });
    }

    pub fn join(&mut self, a: u64, b: u64) {
        self.command(Command::Join { a: StreamId(a), b: StreamId(b) });
    }

    pub fn packet(&mut self, number: u64, from: SocketAddr, bytes: &[u8]) {
        self.feed(Input::Packet { stream: StreamId(number), from, bytes });
    }

    pub fn tone(&mut self, operation: u64, number: u64, hz: &[u32], duration_ms: u32, level_dbm0: i32) {
        let (operation, stream) = (OperationId(operation), StreamId(number));
        self.command(Command::Tone { operation, stream, hz: hz.to_vec(), duration_ms, level_dbm0 });
    }

    pub fn digits(&mut self, operation: u64, number: u64, digits: &str) {
        let (operation, stream) = (OperationId(operation), StreamId(number));
        self.command(Command::Digits { operation, stream, digits: digits.into(), duration_ms: None });
    }

    pub fn ended(&self) -> Vec<(u64, End, u64)> {
        let ended = |event: &Event| match event {
            Event::Ended { operation, end, millis, .. } => Some((operation.0, end.clone(), *millis)),
            _ => None,
        };
        self.events.iter().filter_map(ended).collect()
    }

    pub fn heard_digits(&self) -> String {
        let digit = |event: &Event| match event {
            Event::Digit { digit, .. } => Some(*digit),
            _ => None,
        };
        self.events.iter().filter_map(digit).collect()
    }

    pub fn sent_by(&self, number: u64) -> Vec<&Sent> {
        self.sent.iter().filter(|sent| sent.stream == StreamId(number)).collect()
    }
}

/// A source of raw packets.
pub struct Far {
    pub ssrc: u32,
    pub sequence: u16,
    pub timestamp: u32,
    pub payload_type: u8,
}

impl Far {
    pub fn new(codec: &Codec) -> Far {
        Far { ssrc: 0x1234, sequence: 65_530, timestamp: u32::MAX - 800, payload_type: format(codec).payload_type }
    }

    pub fn packet(&mut self, payload: &[u8]) -> Vec<u8> {
        let packet = raw(self.ssrc, self.sequence, self.timestamp, self.payload_type, false, payload);
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(payload.len() as u32);
        packet
    }
}

pub fn raw(ssrc: u32, sequence: u16, timestamp: u32, payload_type: u8, marker: bool, payload: &[u8]) -> Vec<u8> {
    RtpPacketBuilder::new()
        .ssrc(ssrc)
        .sequence(sequence.into())
        .timestamp(timestamp)
        .payload_type(payload_type)
        .marked(marker)
        .payload(payload)
        .build()
        .unwrap()
}

pub fn peak(frame: &Frame) -> u16 {
    frame.0.iter().map(|sample| sample.unsigned_abs()).max().unwrap()
}
