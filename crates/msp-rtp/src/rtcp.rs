//! RTCP (RFC 3550 section 6): what is reported, when, and what the far end's reports tell.
//!
//! A session has two members, so the interval is always its least one: 5 s, the first half of that, each times a random
//! factor of 0.5 to 1.5 and divided by e − 3/2 (section 6.3.1). The time of sender reports is that of the node's monotonic
//! clock: round trips need no more.

use crate::rtp::{Sender, Source};
use rtcp_types::prelude::*;
use rtcp_types::{
    Bye, Compound, Packet as Report, ReceiverReport, ReportBlock, Sdes, SdesChunk, SdesItem, SenderReport,
};
use rtcp_types::{RtcpWriteError, SdesBuilder};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tapi::Time;
use tspi::Random;
use tspi::media::Packet;

/// The least interval, in microseconds.
const INTERVAL: u64 = 5_000_000;
/// e − 3/2, in millionths: compensates for the reconsideration of timers.
const COMPENSATION: u64 = 1_218_280;
/// Reports are at whole multiples of this: streams share wake-ups.
const GRID: u64 = 20_000;
/// Without packets for so long a source or sender is one no longer: two intervals.
const SENDER_AGE: Duration = Duration::from_secs(10);

/// What the far end said of what it hears.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FarEnd {
    /// Packets that it lost.
    pub lost: Option<u64>,
    /// Its jitter, in ticks of the RTP clock.
    pub jitter: Option<u32>,
    /// Time there and back in microseconds.
    pub round_trip_us: Option<u32>,
}

/// What came of a compound packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// It was read.
    Read,
    /// It was read, and the far end goes.
    Bye,
    /// The far end has our SSRC.
    Collision,
    /// It was not one.
    Malformed,
}

/// The reports of one session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reports {
    /// 96 random bits (RFC 7022 section 4.2).
    cname: String,
    /// None before the far end is known.
    next: Option<Time>,
    /// At the last report: what was expected, what had come.
    prior: (u64, u64),
    /// Middle of the NTP time of the last sender report, and when it came.
    last: Option<(u32, Time)>,
    /// Compound packets sent.
    sent: u64,
    far: FarEnd,
}

impl Reports {
    /// With a name of its own.
    pub fn new(random: &mut Random) -> Reports {
        Reports { cname: cname(random), next: None, prior: (0, 0), last: None, sent: 0, far: FarEnd::default() }
    }

    /// The far end is known: reports begin.
    pub fn begin(&mut self, now: Time, random: &mut Random) {
        if self.next.is_none() {
            self.next = Some(after(now, INTERVAL / 2, random));
        }
    }

    /// No reports any longer.
    pub fn end(&mut self) {
        self.next = None;
    }

    /// When the next report is due.
    pub fn due_at(&self) -> Option<Time> {
        self.next
    }

    /// What the far end told.
    pub fn far(&self) -> FarEnd {
        self.far
    }

    /// Another source is heard now.
    pub fn source_changed(&mut self) {
        self.prior = (0, 0);
        self.last = None;
    }

    /// The report that is due.
    pub fn report(&mut self, now: Time, sender: &Sender, source: &Source, random: &mut Random) -> Option<Packet> {
        self.next = Some(after(now, INTERVAL, random));
        self.build(now, sender, source, None)
    }

    /// The last report, with BYE. None where nothing was sent before (section 6.3.7).
    pub fn bye(&mut self, now: Time, sender: &Sender, source: &Source) -> Option<Packet> {
        if self.sent == 0 && sender.sent().0 == 0 {
            return None;
        }
        self.build(now, sender, source, Some("session ends"))
    }

    fn build(&mut self, now: Time, sender: &Sender, source: &Source, bye: Option<&str>) -> Option<Packet> {
        let ssrc = sender.ssrc();
        let block = self.block(now, source);
        let item = SdesItem::builder(SdesItem::CNAME, &self.cname);
        let sdes: SdesBuilder = Sdes::builder().add_chunk(SdesChunk::builder(ssrc).add_item(item));
        let mut compound = Compound::builder();
        compound = if sender.sent_within(now, SENDER_AGE) {
            let (packets, octets) = sender.sent();
            let mut report = SenderReport::builder(ssrc)
                .ntp_timestamp(ntp(now))
                .rtp_timestamp(sender.timestamp_at(now))
                .packet_count(packets)
                .octet_count(octets);
            if let Some(block) = block {
                report = report.add_report_block(block);
            }
            compound.add_packet(report)
        } else {
            let mut report = ReceiverReport::builder(ssrc);
            if let Some(block) = block {
                report = report.add_report_block(block);
            }
            compound.add_packet(report)
        };
        compound = compound.add_packet(sdes);
        if let Some(reason) = bye {
            compound = compound.add_packet(Bye::builder().add_source(ssrc).reason(reason));
        }
        let mut packet = Packet::new();
        let written: Result<usize, RtcpWriteError> = compound.write_into(packet.buffer());
        packet.set_len(written.ok()?);
        self.sent += 1;
        Some(packet)
    }

    /// What is said of the source (section 6.4.1 and appendix A.3).
    fn block(&mut self, now: Time, source: &Source) -> Option<rtcp_types::ReportBlockBuilder> {
        let ssrc = source.ssrc().filter(|_| source.heard_within(now, SENDER_AGE))?;
        let (expected, received) = (source.expected(), source.received());
        let (expected_before, received_before) = std::mem::replace(&mut self.prior, (expected, received));
        let expected_now = expected.saturating_sub(expected_before);
        let lost_now = expected_now.saturating_sub(received.saturating_sub(received_before));
        let fraction = (lost_now * 256).checked_div(expected_now).unwrap_or(0).min(255);
        let lost = i64::try_from(expected).unwrap_or(0) - i64::try_from(received).unwrap_or(0);
        let lost = lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0xff_ffff;
        let (last, delay) = self.last.map_or((0, 0), |(middle, at)| {
            let delay = now.since(at).as_micros() * 65_536 / 1_000_000;
            (middle, u32::try_from(delay).unwrap_or(u32::MAX))
        });
        let block = ReportBlock::builder(ssrc)
            .fraction_lost(fraction as u8)
            .cumulative_lost(lost)
            .extended_sequence_number(source.extended())
            .interarrival_jitter(source.jitter())
            .last_sender_report_timestamp(last)
            .delay_since_last_sender_report_timestamp(delay);
        Some(block)
    }

    /// Takes a compound packet of the far end.
    pub fn take(&mut self, now: Time, ours: u32, heard: Option<u32>, bytes: &[u8]) -> Received {
        let Ok(compound) = Compound::parse(bytes) else { return Received::Malformed };
        let mut result = Received::Malformed;
        for packet in compound {
            let Ok(packet) = packet else { return Received::Malformed };
            let first = result == Received::Malformed;
            match packet {
                Report::Sr(report) => {
                    if report.ssrc() == ours {
                        return Received::Collision;
                    }
                    if heard.is_none_or(|heard| heard == report.ssrc()) {
                        self.last = Some(((report.ntp_timestamp() >> 16) as u32, now));
                    }
                    report.report_blocks().for_each(|block| self.heard_of_us(now, ours, &block));
                    result = Received::Read;
                }
                Report::Rr(report) => {
                    if report.ssrc() == ours {
                        return Received::Collision;
                    }
                    report.report_blocks().for_each(|block| self.heard_of_us(now, ours, &block));
                    result = Received::Read;
                }
                // Each compound begins with a report (section 6.1).
                _ if first => return Received::Malformed,
                Report::Bye(bye) if bye.ssrcs().any(|ssrc| heard.is_none_or(|heard| heard == ssrc)) => {
                    result = Received::Bye;
                }
                _ => {}
            }
        }
        result
    }

    fn heard_of_us(&mut self, now: Time, ours: u32, block: &ReportBlock<'_>) {
        if block.ssrc() != ours {
            return;
        }
        // 24 bits with a sign: duplicates can make it less than nothing.
        let lost = ((block.cumulative_lost() << 8) as i32) >> 8;
        self.far.lost = Some(u64::try_from(lost).unwrap_or(0));
        self.far.jitter = Some(block.interarrival_jitter());
        let last = block.last_sender_report_timestamp();
        if last != 0 {
            let middle = (ntp(now) >> 16) as u32;
            let round = middle.wrapping_sub(last).wrapping_sub(block.delay_since_last_sender_report_timestamp());
            // More than half a minute, or less than nothing, is another clock's.
            if round < 30 * 65_536 {
                self.far.round_trip_us = u32::try_from(u64::from(round) * 1_000_000 / 65_536).ok();
            }
        }
    }
}

/// The NTP format of a time, 32 bits of seconds and as many of their fraction.
fn ntp(now: Time) -> u64 {
    let (seconds, micros) = (now.0 / 1_000_000, now.0 % 1_000_000);
    (seconds << 32) | ((micros << 32) / 1_000_000)
}

fn after(now: Time, interval: u64, random: &mut Random) -> Time {
    let wait = interval / 2 + random.below(interval + 1);
    let at = now.0 + wait * 1_000_000 / COMPENSATION;
    Time(at.div_ceil(GRID) * GRID)
}

fn cname(random: &mut Random) -> String {
    // 20 characters of 5 bits each.
    random.token(20)
}

#[cfg(test)]
mod tests;
