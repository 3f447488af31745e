//! SRTP and SRTCP (RFC 3711, 6188, 7714) with keys that signalling agreed on (RFC 4568): in place, without an allocation
//! for a packet, and with roll-over counters and replay windows that are plain values.

mod keys;

use keys::{Keys, MAX_TRAILER};
use serde::{Deserialize, Serialize};
use tspi::media::{Packet, Srtp, SrtpKey, SrtpSuite};

/// Sources of one session that are known at a time: another one takes the place of the oldest.
const MAX_SOURCES: usize = 4;
/// Bit of the SRTCP index word that says that the packet is encrypted.
const ENCRYPTED: u32 = 1 << 31;
/// Fixed part of an RTP header.
const RTP_HEADER: usize = 12;
/// What of an RTCP packet is never encrypted.
const RTCP_HEADER: usize = 8;

/// Indexes that were seen: replayed packets are told from fresh ones (RFC 3711 section 3.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Window {
    highest: u64,
    /// Bit n: the packet n before the highest came.
    seen: u64,
}

impl Window {
    fn new(index: u64) -> Window {
        Window { highest: index, seen: 1 }
    }

    /// The index of a sequence number near the highest one (RFC 3711 section 3.3.1).
    fn index_of(&self, sequence: u16) -> Option<u64> {
        let (roll_over, last) = (self.highest >> 16, self.highest as u16);
        let roll_over = if last < 0x8000 && sequence > last.saturating_add(0x8000) {
            roll_over.checked_sub(1)?
        } else if last >= 0x8000 && sequence < last - 0x8000 {
            (roll_over + 1) & 0xffff_ffff
        } else {
            roll_over
        };
        Some(roll_over << 16 | u64::from(sequence))
    }

    fn is_fresh(&self, index: u64) -> bool {
        match self.highest.checked_sub(index) {
            None => true,
            Some(behind) => behind < 64 && self.seen & 1 << behind == 0,
        }
    }

    fn note(&mut self, index: u64) {
        match index.checked_sub(self.highest) {
            Some(0) => {}
            Some(ahead) => {
                let shifted = u32::try_from(ahead).ok().and_then(|ahead| self.seen.checked_shl(ahead));
                self.seen = shifted.unwrap_or(0) | 1;
                self.highest = index;
            }
            None => self.seen |= 1_u64.checked_shl((self.highest - index) as u32).unwrap_or(0),
        }
    }
}

/// What is known of one SSRC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Track {
    ssrc: u32,
    rtp: Option<Window>,
    rtcp: Option<Window>,
}

/// One direction.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Half {
    key: SrtpKey,
    tracks: Vec<Track>,
    /// The roll-over counter that the key before this one had come to.
    carried: u64,
    /// Made of `key` when first needed.
    #[serde(skip)]
    keys: Option<Box<Keys>>,
}

impl Half {
    fn new(suite: &SrtpSuite, key: &SrtpKey, carried: u64) -> Option<Half> {
        let keys = Keys::new(suite, &key.0)?;
        Some(Half { key: key.clone(), tracks: Vec::with_capacity(MAX_SOURCES), carried, keys: Some(Box::new(keys)) })
    }

    fn keys(&mut self, suite: &SrtpSuite) -> Option<&Keys> {
        if self.keys.is_none() {
            self.keys = Keys::new(suite, &self.key.0).map(Box::new);
        }
        self.keys.as_deref()
    }

    fn track(&mut self, ssrc: u32) -> Option<&Track> {
        self.tracks.iter().find(|track| track.ssrc == ssrc)
    }

    /// The track of an SSRC whose packet was authentic, made where there is none.
    fn track_mut(&mut self, ssrc: u32) -> Option<&mut Track> {
        let found = self.tracks.iter().position(|track| track.ssrc == ssrc);
        let at = found.unwrap_or_else(|| {
            if self.tracks.len() >= MAX_SOURCES {
                self.tracks.remove(0);
            }
            self.tracks.push(Track { ssrc, rtp: None, rtcp: None });
            self.tracks.len() - 1
        });
        self.tracks.get_mut(at)
    }

    fn note_rtp(&mut self, ssrc: u32, index: u64) {
        if let Some(track) = self.track_mut(ssrc) {
            track.rtp.get_or_insert(Window::new(index)).note(index);
        }
    }

    fn note_rtcp(&mut self, ssrc: u32, index: u64) {
        if let Some(track) = self.track_mut(ssrc) {
            track.rtcp.get_or_insert(Window::new(index)).note(index);
        }
    }

    fn roll_over(&self) -> u64 {
        self.tracks
            .iter()
            .filter_map(|track| track.rtp)
            .map(|window| window.highest >> 16)
            .max()
            .unwrap_or(self.carried)
    }
}

/// What protects one session, both ways.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Protection {
    suite: SrtpSuite,
    local: Half,
    remote: Half,
}

/// Why a packet is not let through. It changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Too short, or no packet of this protocol.
    Malformed,
    /// Its tag is not what the key makes of it.
    NotAuthentic,
    /// It came before.
    Replayed,
}

impl Protection {
    /// `None` where the suite is not known, or a key has not the suite's length.
    pub fn new(srtp: &Srtp) -> Option<Protection> {
        let local = Half::new(&srtp.suite, &srtp.local, 0)?;
        let remote = Half::new(&srtp.suite, &srtp.remote, 0)?;
        Some(Protection { suite: srtp.suite.clone(), local, remote })
    }

    /// Takes what was agreed anew: a direction whose key stayed goes on with its counters, another begins with new ones.
    /// `None`, and nothing changes, where the keys cannot be used.
    pub fn rekey(&mut self, srtp: &Srtp) -> Option<()> {
        let same = self.suite == srtp.suite;
        let local = match same && self.local.key == srtp.local {
            true => None,
            false => Some(Half::new(&srtp.suite, &srtp.local, 0)?),
        };
        let remote = match same && self.remote.key == srtp.remote {
            true => None,
            false => Some(Half::new(&srtp.suite, &srtp.remote, self.remote.roll_over())?),
        };
        self.suite = srtp.suite.clone();
        self.local = local.unwrap_or_else(|| self.local.clone());
        self.remote = remote.unwrap_or_else(|| self.remote.clone());
        Some(())
    }

    /// Encrypts an RTP packet and adds the tag. `None` where there is no room, or where the packet's index was used
    /// already: one piece of the key stream never covers two packets.
    pub fn protect_rtp(&mut self, packet: &mut Packet) -> Option<()> {
        let length = packet.as_slice().len();
        let (ssrc, sequence) = rtp_fields(packet.as_slice())?;
        let header = rtp_header(packet.as_slice())?;
        let index = match self.local.track(ssrc).and_then(|track| track.rtp) {
            Some(window) => window.index_of(sequence).filter(|index| window.is_fresh(*index))?,
            None => u64::from(sequence),
        };
        let keys = self.local.keys(&self.suite)?;
        let room = packet.buffer().get_mut(..length + keys.rtp_trailer())?;
        keys.seal_rtp(room, header, length, ssrc, index);
        let total = room.len();
        packet.set_len(total);
        self.local.note_rtp(ssrc, index);
        Some(())
    }

    /// Checks and decrypts an RTP packet; tells its length without the tag.
    pub fn unprotect_rtp(&mut self, bytes: &mut [u8]) -> Result<usize, Refused> {
        let (ssrc, sequence) = rtp_fields(bytes).ok_or(Refused::Malformed)?;
        let header = rtp_header(bytes).ok_or(Refused::Malformed)?;
        let known = self.remote.track(ssrc).and_then(|track| track.rtp);
        let carried = self.remote.carried;
        let candidates = match known {
            Some(window) => {
                let index = window.index_of(sequence).ok_or(Refused::NotAuthentic)?;
                if !window.is_fresh(index) {
                    return Err(Refused::Replayed);
                }
                [Some(index), None, None]
            }
            // Where a source that is new to us stands is tried: at its beginning, where the old key left it, just after
            // its first roll-over.
            None => [Some(0), Some(carried).filter(|at| *at > 0), Some(1).filter(|at| *at != carried)]
                .map(|roll_over| Some(roll_over? << 16 | u64::from(sequence))),
        };
        let keys = self.remote.keys(&self.suite).ok_or(Refused::NotAuthentic)?;
        if bytes.len() < header + keys.rtp_trailer() {
            return Err(Refused::Malformed);
        }
        for index in candidates.into_iter().flatten() {
            if let Some(length) = keys.open_rtp(bytes, header, ssrc, index) {
                self.remote.note_rtp(ssrc, index);
                return Ok(length);
            }
        }
        Err(Refused::NotAuthentic)
    }

    /// Encrypts a compound RTCP packet and adds index and tag.
    pub fn protect_rtcp(&mut self, packet: &mut Packet) -> Option<()> {
        let length = packet.as_slice().len();
        let ssrc = rtcp_ssrc(packet.as_slice())?;
        let last = self.local.track(ssrc).and_then(|track| track.rtcp).map(|window| window.highest);
        let index = last.map_or(0, |last| last + 1);
        let word = u32::try_from(index).ok().filter(|index| *index < ENCRYPTED)? | ENCRYPTED;
        let keys = self.local.keys(&self.suite)?;
        let room = packet.buffer().get_mut(..length + keys.rtcp_trailer())?;
        keys.seal_rtcp(room, length, ssrc, word);
        let total = room.len();
        packet.set_len(total);
        self.local.note_rtcp(ssrc, index);
        Some(())
    }

    /// Checks and decrypts a compound RTCP packet; tells its length without index and tag.
    pub fn unprotect_rtcp(&mut self, bytes: &mut [u8]) -> Result<usize, Refused> {
        let ssrc = rtcp_ssrc(bytes).ok_or(Refused::Malformed)?;
        let window = self.remote.track(ssrc).and_then(|track| track.rtcp);
        let keys = self.remote.keys(&self.suite).ok_or(Refused::NotAuthentic)?;
        let word = keys.rtcp_word(bytes).ok_or(Refused::Malformed)?;
        let index = u64::from(word & !ENCRYPTED);
        if window.is_some_and(|window| !window.is_fresh(index)) {
            return Err(Refused::Replayed);
        }
        let length = keys.open_rtcp(bytes, ssrc, word).ok_or(Refused::NotAuthentic)?;
        self.remote.note_rtcp(ssrc, index);
        Ok(length)
    }
}

/// SSRC and sequence number.
fn rtp_fields(bytes: &[u8]) -> Option<(u32, u16)> {
    let &[first, _, high, low, _, _, _, _, a, b, c, d, ..] = bytes else { return None };
    if first >> 6 != 2 {
        return None;
    }
    Some((u32::from_be_bytes([a, b, c, d]), u16::from_be_bytes([high, low])))
}

/// Length of an RTP header with its CSRCs and its extension.
fn rtp_header(bytes: &[u8]) -> Option<usize> {
    let first = *bytes.first()?;
    let mut length = RTP_HEADER + 4 * usize::from(first & 0x0f);
    if first & 0x10 != 0 {
        let words = bytes.get(length + 2..length + 4)?;
        length += 4 + 4 * usize::from(u16::from_be_bytes(words.try_into().ok()?));
    }
    if length <= bytes.len() { Some(length) } else { None }
}

/// SSRC of the first packet of a compound.
fn rtcp_ssrc(bytes: &[u8]) -> Option<u32> {
    let &[first, _, _, _, a, b, c, d, ..] = bytes else { return None };
    if first >> 6 != 2 {
        return None;
    }
    Some(u32::from_be_bytes([a, b, c, d]))
}

/// Octets that protection adds to a packet at most.
pub const MAX_GROWTH: usize = MAX_TRAILER;

#[cfg(test)]
mod tests;
