//! What stands around the packets of a session: protection, reports, statistics, and when each is due.

use super::{Remote, RtpWire};
use crate::latch::Latch;
use crate::quality::mos_x100;
use crate::rtcp::Received;
use crate::srtp::{Protection, Refused};
use crate::stats::Counters;
use std::net::SocketAddr;
use std::time::Duration;
use tapi::{MediaStatistics, Time};
use tspi::Random;
use tspi::media::{Packet, Rate, RemoteRtp, Rtcp};

/// How often statistics are told.
const STATISTICS: Duration = Duration::from_secs(5);

/// A datagram to send, from the RTP port or from the RTCP port.
pub(crate) enum Datagram {
    Rtp(SocketAddr, Packet),
    Rtcp(SocketAddr, Packet),
}

/// What is due.
#[derive(Default)]
pub(crate) struct Due {
    pub datagrams: [Option<Datagram>; 2],
    pub statistics: bool,
}

impl RtpWire {
    /// Takes a description of the far end. Whom we listen to is learnt anew only if its address changed; what was
    /// protected stays protected.
    pub fn connect(&mut self, now: Time, remote: &RemoteRtp, random: &mut Random, counters: &mut Counters) {
        match self.remote.as_ref().is_some_and(|before| before.address == remote.address) {
            true => self.latch.renew(now),
            false => self.latch = Latch::new(now),
        }
        self.agree_on_protection(remote, counters);
        self.rtcp = remote.rtcp;
        match remote.rtcp {
            Rtcp::None => self.reports.end(),
            Rtcp::Mux | Rtcp::Apart(_) => self.reports.begin(now, random),
        }
        self.statistics_at.get_or_insert(Time((now + STATISTICS).0 / 20_000 * 20_000));
        let ptime_ms = remote.ptime_ms;
        let remote = Remote::new(remote);
        let scale = remote.send.map_or(1, |(audio, _)| audio.scale());
        self.sender.set_scale(scale);
        let rate = remote.send.map_or(Rate::Narrow, |(audio, _)| audio.rate());
        self.pace.set(remote.send.map_or(ptime_ms, |(audio, _)| audio.ptime_ms(ptime_ms)), rate, scale);
        self.remote = Some(remote);
        self.map = None;
    }

    fn agree_on_protection(&mut self, remote: &RemoteRtp, counters: &mut Counters) {
        match (&mut self.protection, &remote.srtp) {
            (Some(protection), Some(srtp)) => {
                if protection.rekey(srtp).is_none() {
                    counters.misdirected += 1;
                }
            }
            (None, Some(srtp)) => {
                self.protection = Protection::new(srtp).map(Box::new);
                if self.protection.is_none() {
                    // Rather nothing than in the clear.
                    self.locked_out = true;
                    counters.misdirected += 1;
                }
            }
            // Never back to none.
            (Some(_), None) => counters.misdirected += 1,
            (None, None) => {}
        }
        if self.protection.is_some() {
            self.locked_out = false;
        }
    }

    /// What goes out as a packet: protected where that was agreed. None where it cannot be.
    pub(super) fn seal(&mut self, now: Time, mut packet: Packet) -> Option<Packet> {
        if self.locked_out {
            return None;
        }
        let octets = packet.as_slice().len().saturating_sub(12);
        if let Some(protection) = &mut self.protection {
            protection.protect_rtp(&mut packet)?;
        }
        self.sender.note_sent(now, octets);
        self.stats.sent += 1;
        self.sent_at = Some(now);
        Some(packet)
    }

    /// The plain packet of what arrived; None where it is not authentic.
    pub(super) fn open<'a>(
        &mut self,
        bytes: &'a [u8],
        room: &'a mut Vec<u8>,
        control: bool,
        counters: &mut Counters,
    ) -> Option<&'a [u8]> {
        let Some(protection) = &mut self.protection else { return Some(bytes).filter(|_| !self.locked_out) };
        room.clear();
        room.extend_from_slice(bytes);
        let opened = if control { protection.unprotect_rtcp(room) } else { protection.unprotect_rtp(room) };
        match opened {
            Ok(length) => room.get(..length),
            Err(refused) => {
                match refused {
                    Refused::Malformed => counters.malformed += 1,
                    Refused::NotAuthentic => counters.not_authentic += 1,
                    Refused::Replayed => counters.replayed += 1,
                }
                self.stats.dropped += 1;
                None
            }
        }
    }

    /// The far end has our SSRC. Once that is chance, and ours changes; again, from a far end that sends back what it
    /// gets, it is left at that.
    pub(super) fn collided(&mut self, now: Time, ours: u32) {
        if self.sender.ssrc() == ours && !self.collided {
            self.collided = true;
            self.collision_at = Some(now);
        }
    }

    /// Whether our SSRC is to be changed.
    pub fn is_colliding(&self) -> bool {
        self.collision_at.is_some()
    }

    /// RTCP arrived: at the RTCP port, or at the RTP port (`muxed`).
    pub fn control(
        &mut self,
        now: Time,
        from: SocketAddr,
        (bytes, muxed): (&[u8], bool),
        room: &mut Vec<u8>,
        counters: &mut Counters,
    ) {
        let Some(remote) = &self.remote else {
            counters.unknown_stream += 1;
            return;
        };
        let heard = self.latch.destination(remote.address);
        let theirs = match self.rtcp {
            Rtcp::Mux => muxed && from == heard,
            // Behind a translator of addresses it comes from another port than was described.
            Rtcp::Apart(described) => !muxed && (from == described || from.ip() == heard.ip()),
            Rtcp::None => {
                counters.rtcp += 1;
                return;
            }
        };
        if !theirs {
            counters.wrong_source += 1;
            self.stats.dropped += 1;
            return;
        }
        let Some(bytes) = self.open(bytes, room, true, counters) else { return };
        let ours = self.sender.ssrc();
        match self.reports.take(now, ours, self.source.ssrc(), bytes) {
            Received::Read | Received::Bye => {
                self.latch.control(now);
                if matches!(self.rtcp, Rtcp::Apart(_)) {
                    self.control_from = Some(from);
                }
            }
            Received::Collision => self.collided(now, ours),
            Received::Malformed => counters.malformed += 1,
        }
    }

    /// Ticks of the RTP clock in a sample at 8 kHz, where telephone events may be sent.
    pub fn events(&self) -> Option<u32> {
        self.remote.as_ref()?.events.map(|_| self.sender.scale())
    }

    /// When something is due.
    pub fn due_at(&self) -> Option<Time> {
        let times = [self.keep_alive_at(), self.reports.due_at(), self.statistics_at, self.collision_at];
        times.into_iter().flatten().min()
    }

    /// What is due now.
    pub fn due(&mut self, now: Time, random: &mut Random) -> Due {
        let mut due = Due::default();
        let passed = |at: Option<Time>| at.is_some_and(|at| at <= now);
        if passed(self.collision_at) {
            self.collision_at = None;
            let bye = self.reports.bye(now, &self.sender, &self.source);
            due.datagrams[1] = self.rtcp_datagram(bye);
            self.sender.change_ssrc(random);
            self.map = None;
        }
        if passed(self.keep_alive_at()) {
            due.datagrams[0] = self.silence(now).map(|(to, packet)| Datagram::Rtp(to, packet));
            // Also where nothing could be made: it is tried again a second later.
            self.sent_at = Some(now);
        }
        if passed(self.reports.due_at()) {
            let report = self.reports.report(now, &self.sender, &self.source, random);
            let report = self.rtcp_datagram(report);
            due.datagrams[1] = due.datagrams[1].take().or(report);
        }
        if passed(self.statistics_at) {
            self.statistics_at = Some(Time((now + STATISTICS).0 / 20_000 * 20_000));
            due.statistics = true;
        }
        due
    }

    /// The last report, with BYE.
    pub fn bye(&mut self, now: Time) -> Option<Datagram> {
        self.reports.due_at()?;
        let bye = self.reports.bye(now, &self.sender, &self.source);
        self.rtcp_datagram(bye)
    }

    fn rtcp_datagram(&mut self, packet: Option<Packet>) -> Option<Datagram> {
        let mut packet = packet.filter(|_| !self.locked_out)?;
        if let Some(protection) = &mut self.protection {
            protection.protect_rtcp(&mut packet)?;
        }
        let address = self.remote.as_ref()?.address;
        match self.rtcp {
            Rtcp::None => None,
            Rtcp::Mux => Some(Datagram::Rtp(self.latch.destination(address), packet)),
            Rtcp::Apart(described) => Some(Datagram::Rtcp(self.control_from.unwrap_or(described), packet)),
        }
    }

    /// How the session fares; `late`, `concealed` and `buffer_ms` are the playout buffer's.
    pub fn statistics(&self, late: u64, concealed_frames: u64, buffer_ms: u32) -> MediaStatistics {
        let far = self.reports.far();
        let lost = self.source.lost();
        let frame_ms = u64::from(self.pace.ptime_ms()).max(1);
        let wanted = (self.stats.received + lost).max(1) as f64;
        let missed = (lost + late) as f64 / wanted;
        let delay = f64::from(far.round_trip_us.unwrap_or(0)) / 2000.0 + f64::from(buffer_ms) + frame_ms as f64;
        let heard = self.stats.received > 0;
        MediaStatistics {
            received: self.stats.received,
            sent: self.stats.sent,
            lost,
            late,
            duplicates: self.stats.duplicates,
            dropped: self.stats.dropped,
            jitter_us: u32::try_from(self.source.jitter_us()).unwrap_or(u32::MAX),
            buffer_ms,
            concealed_ms: concealed_frames * 20,
            round_trip_us: far.round_trip_us,
            far_lost: far.lost,
            far_jitter_us: far.jitter.map(|ticks| (u64::from(ticks) * 125 / u64::from(self.sender.scale())) as u32),
            mos_x100: heard.then(|| mos_x100(self.receiver.audio(), delay, missed)),
        }
    }
}
