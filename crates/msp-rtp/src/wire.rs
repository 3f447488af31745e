//! The RTP wire of a stream: what was agreed with the far end, and both halves of the session.

use crate::codec::{Audio, Encoder, Receiver};
use crate::event::EventReceiver;
use crate::generate::Sound;
use crate::latch::Latch;
use crate::rtcp::Reports;
use crate::rtp::{Arrival, Datagram as Kind, Outgoing, RelayMap, Sender, Source};
use crate::srtp::Protection;
use crate::stats::{Counters, Stats};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Duration;
use tapi::Time;
use tspi::Random;
use tspi::media::{AudioFrame, Codec, Direction, FRAME_SAMPLES, Packet, Rate, RemoteRtp, Rtcp};

mod pace;
mod session;

use pace::Pace;
pub(crate) use session::Datagram;

/// How long nothing may be sent while the direction sends: translators of addresses forget.
const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// The longest payload that is relayed.
pub(crate) const MAX_PAYLOAD: usize = 480;

/// What a payload type stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Payload {
    Audio(Audio),
    Events,
    ComfortNoise,
}

/// The far end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Remote {
    pub address: SocketAddr,
    pub direction: Direction,
    pub events: Option<u8>,
    /// The codec to send with its payload type; `None` where nothing that we can make was agreed.
    pub send: Option<(Audio, u8)>,
    /// Payload type of comfort noise, where agreed. We make none; that of a joined stream is passed on.
    comfort_noise: Option<u8>,
    receive: Vec<(u8, Payload)>,
}

impl Remote {
    fn new(remote: &RemoteRtp) -> Remote {
        let payload = |codec: &Codec| match codec {
            Codec::TelephoneEvent | Codec::TelephoneEvent48 => Some(Payload::Events),
            Codec::ComfortNoise => Some(Payload::ComfortNoise),
            other => Audio::of(other).map(Payload::Audio),
        };
        let noise = remote.comfort_noise.map(|number| (number, Payload::ComfortNoise));
        let receive = remote.receive.iter().filter_map(|f| Some((f.payload_type, payload(&f.codec)?)));
        Remote {
            address: remote.address,
            direction: remote.direction,
            events: remote.events,
            send: Audio::of(&remote.send.codec).map(|audio| (audio, remote.send.payload_type)),
            comfort_noise: remote.comfort_noise,
            receive: receive.chain(noise).collect(),
        }
    }

    pub fn payload(&self, payload_type: u8) -> Option<Payload> {
        self.receive.iter().find(|(number, _)| *number == payload_type).map(|(_, payload)| *payload)
    }

    fn hears(&self, wanted: Payload) -> bool {
        self.receive.iter().any(|(_, payload)| *payload == wanted)
    }
}

/// The wire.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RtpWire {
    pub port: u16,
    /// Where RTCP is received.
    pub control_port: Option<u16>,
    pub remote: Option<Remote>,
    pub latch: Latch,
    pub source: Source,
    pub digits: EventReceiver,
    pub stats: Stats,
    /// Turns what comes into samples.
    pub receiver: Receiver,
    encoder: Option<Encoder>,
    sender: Sender,
    map: Option<RelayMap>,
    sent_at: Option<Time>,
    pub reports: Reports,
    rtcp: Rtcp,
    /// Where the far end's RTCP came from.
    control_from: Option<SocketAddr>,
    protection: Option<Box<Protection>>,
    /// Protection was agreed that we cannot give: nothing is sent or heard.
    locked_out: bool,
    /// The far end had our SSRC; and when ours is to be changed.
    collided: bool,
    collision_at: Option<Time>,
    statistics_at: Option<Time>,
    pub pace: Pace,
    /// The longest packet of this run of the source, in milliseconds.
    packet_ms: u32,
    /// A second packet of the same moment.
    #[serde(skip)]
    pub second: Vec<(SocketAddr, Packet)>,
}

/// A packet to relay.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Relayed<'a> {
    /// Number of the stream it came from, and the run of its source.
    pub from: u64,
    pub run: u32,
    pub payload: Payload,
    pub marker: bool,
    pub sequence: u16,
    pub timestamp: u32,
    pub bytes: &'a [u8],
}

/// A packet that was taken in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Admitted<'a> {
    /// The run of the source that it belongs to, and what it is in it.
    pub run: u32,
    pub arrival: Arrival,
    /// The digit that begins with it.
    pub digit: Option<char>,
    pub payload: Payload,
    pub marker: bool,
    pub sequence: u16,
    pub timestamp: u32,
    pub bytes: &'a [u8],
}

impl RtpWire {
    pub fn new(port: u16, random: &mut Random) -> RtpWire {
        RtpWire {
            port,
            control_port: None,
            remote: None,
            latch: Latch::new(Time::ZERO),
            source: Source::default(),
            digits: EventReceiver::default(),
            stats: Stats::default(),
            receiver: Receiver::default(),
            encoder: None,
            sender: Sender::new(random),
            map: None,
            sent_at: None,
            reports: Reports::new(random),
            rtcp: Rtcp::None,
            control_from: None,
            protection: None,
            locked_out: false,
            collided: false,
            collision_at: None,
            statistics_at: None,
            pace: Pace::new(),
            packet_ms: 0,
            second: Vec::new(),
        }
    }

    pub fn sends(&self) -> bool {
        !self.locked_out && self.remote.as_ref().is_some_and(|remote| remote.direction.sends() && remote.send.is_some())
    }

    /// The rate of what is sent; none where nothing is agreed.
    pub fn rate(&self) -> Option<Rate> {
        Some(self.remote.as_ref()?.send?.0.rate())
    }

    pub fn receives(&self) -> bool {
        self.remote.as_ref().is_some_and(|remote| remote.direction.receives())
    }

    /// Whether what comes from here can go to `other` as it is: in a codec and in packets that it takes. Shorter packets
    /// than it wished for are its to take (RFC 4566 section 6, ptime), longer ones are split.
    pub fn agrees_with(&self, other: &RtpWire) -> bool {
        let (Some(from), Some(to)) = (&self.remote, &other.remote) else { return false };
        let Some((audio, _)) = to.send else { return false };
        let events = !from.hears(Payload::Events) || to.events.is_some();
        let fits = self.packet_ms <= other.pace.ptime_ms();
        fits && from.direction.receives() && to.direction.sends() && from.hears(Payload::Audio(audio)) && events
    }

    /// The longest packet of this run of the source, in milliseconds.
    pub fn packet_ms(&self) -> u32 {
        self.packet_ms
    }

    /// When a packet must be sent lest the path be forgotten.
    pub fn keep_alive_at(&self) -> Option<Time> {
        if self.sends() { Some(self.sent_at.map_or(Time::ZERO, |at| at + KEEP_ALIVE)) } else { None }
    }

    /// Whether something was sent a moment ago.
    pub fn sent_lately(&self, now: Time) -> bool {
        self.sent_at.is_some_and(|at| now < at + Duration::from_millis(40))
    }

    /// The timestamp of what is sent now.
    pub fn timestamp(&mut self, now: Time) -> u32 {
        self.sender.timestamp(now)
    }

    /// A packet of our own, where the direction and the formats allow one.
    pub fn sound(&mut self, now: Time, sound: &Sound) -> Option<(SocketAddr, Packet)> {
        let remote = self.remote.as_ref().filter(|remote| remote.direction.sends())?;
        let to = self.latch.destination(remote.address);
        let packet = match sound {
            Sound::Audio(frame) if !self.pace.is_plain() => return self.paced(now, to, frame),
            Sound::Audio(frame) => return self.plain(now, to, frame),
            Sound::Event(event) => {
                let (marker, timestamp) = (event.marker, event.timestamp);
                let header = Outgoing { payload_type: remote.events?, marker, sequence: 0, timestamp };
                // What is held before it goes first.
                if let Some(rest) = self.packed(now, true) {
                    let packet = self.sender.event(header, &event.payload, u32::from(event.duration));
                    let event = self.seal(now, packet);
                    self.second.extend(event.map(|packet| (to, packet)));
                    return Some((to, rest));
                }
                self.sender.event(header, &event.payload, u32::from(event.duration))
            }
        };
        self.map = None;
        Some((to, self.seal(now, packet)?))
    }

    /// A frame as a packet.
    fn plain(&mut self, now: Time, to: SocketAddr, frame: &AudioFrame) -> Option<(SocketAddr, Packet)> {
        let (audio, payload_type) = self.remote.as_ref()?.send?;
        let mut room = [0; MAX_PAYLOAD];
        let length = self.encode(audio, frame.samples(), &mut room)?;
        let payload = room.get(..length)?;
        let packet = self.sender.audio(now, payload_type, payload, FRAME_SAMPLES as u32 * audio.scale());
        self.map = None;
        Some((to, self.seal(now, packet)?))
    }

    /// Audio in packets of another length than a frame's. Of two packets the later one waits in `second`.
    fn paced(&mut self, now: Time, to: SocketAddr, frame: &AudioFrame) -> Option<(SocketAddr, Packet)> {
        self.map = None;
        let timestamp = self.timestamp(now);
        // Where there was a gap, what was held before it ends in a shorter packet.
        let mut first = if self.pace.follows(timestamp) { None } else { self.packed(now, true) };
        let timestamp = self.timestamp(now);
        self.pace.push(timestamp, frame);
        while let Some(packet) = self.packed(now, false) {
            match &first {
                None => first = Some(packet),
                Some(_) => self.second.push((to, packet)),
            }
        }
        Some((to, first?))
    }

    /// A packet of what is held.
    fn packed(&mut self, now: Time, rest: bool) -> Option<Packet> {
        let (audio, payload_type) = self.remote.as_ref().filter(|remote| remote.direction.sends())?.send?;
        let mut samples = [0; pace::MAX_SAMPLES];
        let (timestamp, count) = self.pace.take(rest, &mut samples)?;
        let mut room = [0; MAX_PAYLOAD];
        let length = self.encode(audio, samples.get(..count)?, &mut room)?;
        let payload = room.get(..length)?;
        let ticks = (count / audio.rate().factor()) as u32 * audio.scale();
        let packet = self.sender.audio_at(timestamp, payload_type, payload, ticks);
        self.seal(now, packet)
    }

    /// Samples at the codec's rate as a payload, whose length it gives.
    fn encode(&mut self, audio: Audio, samples: &[i16], room: &mut [u8; MAX_PAYLOAD]) -> Option<usize> {
        let encoder = self.encoder.take().filter(|encoder| encoder.audio() == audio);
        let encoder = self.encoder.insert(encoder.unwrap_or_else(|| Encoder::new(audio)));
        encoder.encode(samples, room)
    }

    /// Sends what is held although its packet is not full: no more audio follows.
    pub fn flush(&mut self, now: Time) -> Option<(SocketAddr, Packet)> {
        let address = self.remote.as_ref()?.address;
        let packet = self.packed(now, true)?;
        Some((self.latch.destination(address), packet))
    }

    /// Takes a packet in; `None` when it is dropped.
    pub fn admit<'a>(
        &mut self,
        now: Time,
        from: SocketAddr,
        bytes: &'a [u8],
        room: &'a mut Vec<u8>,
        counters: &mut Counters,
    ) -> Option<Admitted<'a>> {
        let dropped = |count: &mut u64| {
            *count += 1;
            None
        };
        let Some(remote) = &self.remote else { return dropped(&mut counters.unknown_stream) };
        let (address, listening) = (remote.address, remote.direction.receives());
        if Kind::is_rtcp(bytes) {
            self.control(now, from, (bytes, true), room, counters);
            return None;
        }
        if !self.latch.may_be(now, from, listening) {
            self.stats.dropped += 1;
            return dropped(&mut counters.wrong_source);
        }
        let bytes = self.open(bytes, room, false, counters)?;
        let Kind::Rtp(packet) = Kind::parse(bytes) else {
            self.stats.dropped += 1;
            return dropped(&mut counters.malformed);
        };
        let remote = self.remote.as_ref()?;
        let Some(payload) = remote.payload(packet.payload_type()) else {
            return dropped(&mut counters.unknown_payload);
        };
        let (ssrc, sequence, timestamp) = (packet.ssrc(), packet.sequence_number().into(), packet.timestamp());
        if !self.latch.admit(now, (address, listening), from, (ssrc, sequence)) {
            self.stats.dropped += 1;
            return dropped(&mut counters.wrong_source);
        }
        let (marker, bytes) = (packet.mark(), packet.payload());
        if bytes.len() > MAX_PAYLOAD {
            return dropped(&mut counters.oversize);
        }
        self.stats.received += 1;
        if !remote.direction.receives() {
            return dropped(&mut counters.muted);
        }
        self.collided(now, ssrc);
        if let Payload::Audio(audio) = payload {
            self.source.set_scale(audio.scale());
        }
        let arrival = self.source.arrive(now, ssrc, sequence, timestamp);
        if matches!(arrival, Arrival::Duplicate | Arrival::Astray) {
            self.stats.duplicates += u64::from(arrival == Arrival::Duplicate);
            return dropped(&mut counters.out_of_sequence);
        }
        if arrival == Arrival::First {
            self.digits.flush();
            self.receiver.reset();
            self.packet_ms = 0;
            self.reports.source_changed();
        }
        if let Payload::Audio(audio) = payload {
            self.packet_ms = self.packet_ms.max(audio.samples(bytes).unwrap_or(0) as u32 / 8);
        }
        let digit = match payload {
            Payload::Events => self.digits.packet(now, timestamp, marker, bytes),
            Payload::Audio(_) | Payload::ComfortNoise => None,
        };
        let run = self.source.run();
        Some(Admitted { run, arrival, digit, payload, marker, sequence, timestamp, bytes })
    }

    /// A packet of silence, of 20 ms whatever was agreed: it stands alone.
    pub fn silence(&mut self, now: Time) -> Option<(SocketAddr, Packet)> {
        let remote = self.remote.as_ref().filter(|remote| remote.direction.sends() && self.pace.is_empty())?;
        let to = self.latch.destination(remote.address);
        self.plain(now, to, &AudioFrame::silence(self.rate()?))
    }

    /// Somebody else's packet, with our SSRC, numbers and payload types.
    pub fn relay(&mut self, now: Time, packet: Relayed<'_>) -> Option<(SocketAddr, Packet)> {
        let remote = self.remote.as_ref()?;
        let (audio, payload_type) = remote.send?;
        let (events, noise) = (remote.events, remote.comfort_noise);
        let to = self.latch.destination(remote.address);
        let fits = self.map.is_some_and(|map| map.fits(packet.from, packet.run));
        if !fits {
            let (sequence, timestamp) = (packet.sequence, packet.timestamp);
            let map = RelayMap::anchored(packet.from, packet.run, &mut self.sender, now, sequence, timestamp);
            self.map = Some(map);
        }
        let (sequence, timestamp) = self.map.as_mut()?.apply(packet.sequence, packet.timestamp)?;
        let built = match packet.payload {
            Payload::Audio(from) => {
                let marker = packet.marker || !fits;
                let header = Outgoing { payload_type, marker, sequence, timestamp };
                let samples = from.samples(packet.bytes)? as u32 * from.scale();
                let mut room = [0; MAX_PAYLOAD];
                let bytes = convert(from, audio, packet.bytes, &mut room)?;
                self.sender.relayed(header, bytes, samples)
            }
            Payload::ComfortNoise => {
                let header = Outgoing { payload_type: noise?, marker: packet.marker, sequence, timestamp };
                self.sender.relayed(header, packet.bytes, 0)
            }
            Payload::Events => {
                let header = Outgoing { payload_type: events?, marker: packet.marker, sequence, timestamp };
                let samples = match packet.bytes {
                    [_, _, high, low, ..] => u16::from_be_bytes([*high, *low]),
                    _ => 0,
                };
                self.sender.relayed(header, packet.bytes, u32::from(samples))
            }
        };
        Some((to, self.seal(now, built)?))
    }
}

/// The same octets in another law; `None` where they are too many, or another codec is asked for.
fn convert<'a>(from: Audio, to: Audio, bytes: &'a [u8], room: &'a mut [u8; MAX_PAYLOAD]) -> Option<&'a [u8]> {
    if from == to {
        return Some(bytes);
    }
    let (Audio::G711(from), Audio::G711(to)) = (from, to) else { return None };
    let room = room.get_mut(..bytes.len())?;
    for (octet, other) in room.iter_mut().zip(bytes) {
        *octet = from.convert(to, *other);
    }
    Some(room)
}
