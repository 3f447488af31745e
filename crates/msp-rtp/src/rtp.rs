//! An RTP session's two halves (RFC 3550): what is sent, and what is known of the source that is heard.

use rtp_rs::{RtpPacketBuilder, RtpReader};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tapi::Time;
use tspi::Random;
use tspi::media::Packet;

/// What a datagram at an RTP port is.
#[derive(Debug)]
pub enum Datagram<'a> {
    /// RTP, version 2.
    Rtp(RtpReader<'a>),
    /// RTCP on the same port (RFC 5761 section 4: second octet 192 to 223).
    Rtcp,
    /// Neither.
    Malformed,
}

impl Datagram<'_> {
    /// Whether it is RTCP.
    pub fn is_rtcp(bytes: &[u8]) -> bool {
        matches!(bytes.get(1), Some(192..=223))
    }

    /// Tells the two apart.
    pub fn parse(bytes: &[u8]) -> Datagram<'_> {
        match bytes.get(1) {
            Some(192..=223) => Datagram::Rtcp,
            _ => RtpReader::new(bytes).map_or(Datagram::Malformed, Datagram::Rtp),
        }
    }
}

/// The moment on the 8 kHz clock that timestamps count.
pub(crate) fn media_clock(now: Time) -> u32 {
    (now.0 / 125) as u32
}

/// The header of one packet to send.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing {
    /// Payload type.
    pub payload_type: u8,
    /// Marker bit.
    pub marker: bool,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp.
    pub timestamp: u32,
}

/// The sending half: one SSRC, sequence numbers without gaps, timestamps that follow the clock through silence.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sender {
    ssrc: u32,
    next_sequence: u16,
    /// What is added to the media clock.
    offset: u32,
    /// Ticks of the RTP clock in 125 µs.
    scale: u32,
    /// Timestamp after the samples that were sent last; `None` before the first packet.
    sent_to: Option<u32>,
    /// Packets and octets of payload so far, as sender reports tell them.
    sent: (u32, u32),
    sent_at: Option<Time>,
}

impl Sender {
    /// Random SSRC, first sequence number and first timestamp (RFC 3550 section 5.1).
    pub fn new(random: &mut Random) -> Sender {
        Sender {
            ssrc: random.next_u32(),
            // In the lower half: SRTP takes the roll-over counter to be 0 at the beginning (RFC 4568 section 6.4).
            next_sequence: random.next_u32() as u16 & 0x7fff,
            offset: random.next_u32(),
            scale: 1,
            sent_to: None,
            sent: (0, 0),
            sent_at: None,
        }
    }

    /// Sets the RTP clock to so many times 8 kHz: 6 for Opus (RFC 7587 section 4.1).
    pub fn set_scale(&mut self, scale: u32) {
        if self.scale != scale {
            self.scale = scale;
            self.sent_to = None;
        }
    }

    /// Our SSRC.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Takes another SSRC: ours is somebody else's too (RFC 3550 section 8.2).
    pub fn change_ssrc(&mut self, random: &mut Random) {
        self.ssrc = random.next_u32();
        self.next_sequence &= 0x7fff;
        self.sent = (0, 0);
    }

    /// Packets and octets of payload that were sent under this SSRC, modulo 2³².
    pub fn sent(&self) -> (u32, u32) {
        self.sent
    }

    /// A packet left.
    pub fn note_sent(&mut self, now: Time, octets: usize) {
        let (packets, all) = self.sent;
        self.sent = (packets.wrapping_add(1), all.wrapping_add(octets as u32));
        self.sent_at = Some(now);
    }

    /// Whether a packet left lately.
    pub fn sent_within(&self, now: Time, age: Duration) -> bool {
        self.sent_at.is_some_and(|at| now.since(at) <= age)
    }

    /// The timestamp of this moment.
    pub fn timestamp_at(&self, now: Time) -> u32 {
        media_clock(now).wrapping_mul(self.scale).wrapping_add(self.offset)
    }

    /// Ticks of the RTP clock in 125 µs.
    pub fn scale(&self) -> u32 {
        self.scale
    }

    /// The sequence number of the next packet.
    pub fn next_sequence(&self) -> u16 {
        self.next_sequence
    }

    /// The timestamp of audio sent now: never before the end of what was sent already.
    pub fn timestamp(&mut self, now: Time) -> u32 {
        let mut timestamp = media_clock(now).wrapping_mul(self.scale).wrapping_add(self.offset);
        if let Some(sent_to) = self.sent_to {
            let ahead = sent_to.wrapping_sub(timestamp) as i32;
            if ahead > 0 {
                self.offset = self.offset.wrapping_add(ahead as u32);
                timestamp = sent_to;
            }
        }
        timestamp
    }

    /// Audio sent now, in sequence. The marker stands on the first packet after a gap (RFC 3551 section 4.1).
    /// `samples` are ticks of the RTP clock.
    pub fn audio(&mut self, now: Time, payload_type: u8, payload: &[u8], samples: u32) -> Packet {
        let timestamp = self.timestamp(now);
        let marker = self.sent_to != Some(timestamp);
        self.event(Outgoing { payload_type, marker, sequence: 0, timestamp }, payload, samples)
    }

    /// Audio of an earlier moment, in sequence.
    pub fn audio_at(&mut self, timestamp: u32, payload_type: u8, payload: &[u8], samples: u32) -> Packet {
        let marker = self.sent_to != Some(timestamp);
        self.event(Outgoing { payload_type, marker, sequence: 0, timestamp }, payload, samples)
    }

    /// A packet in sequence with a timestamp of its own, which covers time up to `samples` after it.
    pub fn event(&mut self, mut header: Outgoing, payload: &[u8], samples: u32) -> Packet {
        header.sequence = self.next_sequence;
        self.relayed(header, payload, samples)
    }

    /// A packet whose sequence number and timestamp were mapped from those of another session.
    pub fn relayed(&mut self, header: Outgoing, payload: &[u8], samples: u32) -> Packet {
        if (header.sequence.wrapping_sub(self.next_sequence) as i16) >= 0 {
            self.next_sequence = header.sequence.wrapping_add(1);
        }
        let end = header.timestamp.wrapping_add(samples);
        self.sent_to = match self.sent_to {
            Some(sent_to) if (end.wrapping_sub(sent_to) as i32) < 0 => Some(sent_to),
            _ => Some(end),
        };
        self.build(header, payload)
    }

    fn build(&self, header: Outgoing, payload: &[u8]) -> Packet {
        let mut packet = Packet::new();
        let built = RtpPacketBuilder::new()
            .payload_type(header.payload_type & 0x7f)
            .marked(header.marker)
            .sequence(header.sequence.into())
            .timestamp(header.timestamp)
            .ssrc(self.ssrc)
            .payload(payload)
            .build_into(packet.buffer());
        packet.set_len(built.unwrap_or(0));
        packet
    }
}

/// What a packet is to the source's run of sequence numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The first of a source, or of a run that began anew: whatever was derived from earlier packets is void.
    First,
    /// Later than all before.
    Next,
    /// Earlier than the latest, not seen before.
    Reordered,
    /// Seen before.
    Duplicate,
    /// Far off: it counts once its successor came too (RFC 3550 A.1).
    Astray,
}

/// How far sequence numbers may jump ahead (RFC 3550 A.1).
const MAX_DROPOUT: u16 = 3000;
/// How far they may lie behind; as many are remembered.
const MAX_MISORDER: u16 = 64;

/// The source that is heard (RFC 3550 appendix A).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    ssrc: Option<u32>,
    latest: u16,
    /// Bit n: the packet n before the latest came.
    seen: u64,
    astray: Option<u16>,
    /// Counts runs: changes with every [`Arrival::First`].
    run: u32,
    first: u64,
    extended: u64,
    lost_before: u64,
    received_in_run: u64,
    transit: Option<u32>,
    heard: Option<Time>,
    /// Ticks of the RTP clock in 125 µs; 0 stands for 1.
    scale: u32,
    /// RFC 3550 A.8: sixteen times the estimate.
    jitter: u32,
}

impl Source {
    /// Sets the RTP clock to so many times 8 kHz.
    pub fn set_scale(&mut self, scale: u32) {
        if self.scale.max(1) != scale {
            self.scale = scale;
            self.transit = None;
            self.jitter = 0;
        }
    }

    /// Takes a packet's header.
    pub fn arrive(&mut self, now: Time, ssrc: u32, sequence: u16, timestamp: u32) -> Arrival {
        let arrival = self.place(ssrc, sequence);
        match arrival {
            Arrival::Duplicate | Arrival::Astray => {}
            Arrival::First | Arrival::Next | Arrival::Reordered => {
                self.received_in_run += 1;
                self.heard = Some(now);
                self.estimate(now, timestamp);
            }
        }
        arrival
    }

    fn place(&mut self, ssrc: u32, sequence: u16) -> Arrival {
        if self.ssrc != Some(ssrc) {
            self.begin(ssrc, sequence);
            return Arrival::First;
        }
        let ahead = sequence.wrapping_sub(self.latest);
        let behind = self.latest.wrapping_sub(sequence);
        if ahead == 0 {
            Arrival::Duplicate
        } else if ahead < MAX_DROPOUT {
            self.seen = self.seen.checked_shl(u32::from(ahead)).unwrap_or(0) | 1;
            self.latest = sequence;
            self.extended += u64::from(ahead);
            self.astray = None;
            Arrival::Next
        } else if behind < MAX_MISORDER {
            let bit = 1 << behind;
            let seen = self.seen & bit != 0;
            self.seen |= bit;
            if seen { Arrival::Duplicate } else { Arrival::Reordered }
        } else if self.astray == Some(sequence) {
            self.begin(ssrc, sequence);
            Arrival::First
        } else {
            self.astray = Some(sequence.wrapping_add(1));
            Arrival::Astray
        }
    }

    fn begin(&mut self, ssrc: u32, sequence: u16) {
        *self = Source {
            ssrc: Some(ssrc),
            latest: sequence,
            seen: 1,
            run: self.run.wrapping_add(1),
            first: u64::from(sequence),
            extended: u64::from(sequence),
            lost_before: self.lost(),
            scale: self.scale,
            ..Source::default()
        };
    }

    fn estimate(&mut self, now: Time, timestamp: u32) {
        let transit = media_clock(now).wrapping_mul(self.scale.max(1)).wrapping_sub(timestamp);
        if let Some(before) = self.transit {
            let difference = (transit.wrapping_sub(before) as i32).unsigned_abs().min(1 << 20);
            self.jitter = self.jitter.saturating_add(difference).saturating_sub((self.jitter + 8) >> 4);
        }
        self.transit = Some(transit);
    }

    /// Counts runs: a map made in one run is not good for another.
    pub fn run(&self) -> u32 {
        self.run
    }

    /// Packets that were expected and did not come.
    pub fn lost(&self) -> u64 {
        self.lost_before + self.expected().saturating_sub(self.received_in_run)
    }

    /// Its SSRC.
    pub fn ssrc(&self) -> Option<u32> {
        self.ssrc
    }

    /// Packets that were expected in this run.
    pub fn expected(&self) -> u64 {
        if self.ssrc.is_some() { self.extended - self.first + 1 } else { 0 }
    }

    /// Packets that came in this run.
    pub fn received(&self) -> u64 {
        self.received_in_run
    }

    /// The highest sequence number, with its cycles above it.
    pub fn extended(&self) -> u32 {
        self.extended as u32
    }

    /// Interarrival jitter in ticks of the RTP clock.
    pub fn jitter(&self) -> u32 {
        self.jitter >> 4
    }

    /// Whether a packet came lately.
    pub fn heard_within(&self, now: Time, age: Duration) -> bool {
        self.heard.is_some_and(|at| now.since(at) <= age)
    }

    /// Interarrival jitter in microseconds (RFC 3550 section 6.4.1).
    pub fn jitter_us(&self) -> u64 {
        u64::from(self.jitter >> 4) * 125 / u64::from(self.scale.max(1))
    }
}

/// How sequence numbers and timestamps of one session become those of another, while packets are relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayMap {
    from: u64,
    run: u32,
    sequence: u16,
    timestamp: u32,
    /// The packet at which the map was made; an earlier one that is late would collide with what was sent before.
    anchor: Option<u16>,
}

impl RelayMap {
    /// A map that continues `sender` with this packet.
    pub fn anchored(from: u64, run: u32, sender: &mut Sender, now: Time, sequence: u16, timestamp: u32) -> RelayMap {
        RelayMap {
            from,
            run,
            sequence: sender.next_sequence().wrapping_sub(sequence),
            timestamp: sender.timestamp(now).wrapping_sub(timestamp),
            anchor: Some(sequence),
        }
    }

    /// Whether the map was made for this run of this stream.
    pub fn fits(&self, from: u64, run: u32) -> bool {
        self.from == from && self.run == run
    }

    /// The mapped sequence number and timestamp; `None` for what lies before the map's beginning.
    pub fn apply(&mut self, sequence: u16, timestamp: u32) -> Option<(u16, u32)> {
        if let Some(anchor) = self.anchor {
            let past = sequence.wrapping_sub(anchor) as i16;
            if past < 0 {
                return None;
            }
            if past > MAX_MISORDER as i16 {
                self.anchor = None;
            }
        }
        Some((sequence.wrapping_add(self.sequence), timestamp.wrapping_add(self.timestamp)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_are_told_apart() {
        let mut source = Source::default();
        let rows = [
            (1, 65534, Arrival::First),
            (1, 65535, Arrival::Next),
            (1, 1, Arrival::Next),
            (1, 0, Arrival::Reordered),
            (1, 0, Arrival::Duplicate),
            (1, 1, Arrival::Duplicate),
            (1, 30000, Arrival::Astray),
            (1, 30001, Arrival::First),
            (2, 7, Arrival::First),
            (2, 10, Arrival::Next),
        ];
        for (ssrc, sequence, expected) in rows {
            assert_eq!(source.arrive(Time::ZERO, ssrc, sequence, 0), expected, "{ssrc} {sequence}");
        }
        assert_eq!(source.lost(), 2);
    }

    #[test]
    fn jitter_of_an_even_stream_is_none_and_of_an_uneven_one_is_seen() {
        let mut source = Source::default();
        for n in 0..200u32 {
            source.arrive(Time::from_millis(20 * u64::from(n)), 1, n as u16, n * 160);
        }
        assert_eq!(source.jitter_us(), 0);
        for n in 200..600u32 {
            source.arrive(Time::from_millis(20 * u64::from(n) + 10 * u64::from(n & 1)), 1, n as u16, n * 160);
        }
        assert!((9_000..=11_000).contains(&source.jitter_us()), "{}", source.jitter_us());
    }
}
