//! What is counted.

use serde::{Deserialize, Serialize};

/// What all streams together met. Counts only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Datagrams that arrived.
    pub received: u64,
    /// Packets that were sent, relayed ones among them.
    pub sent: u64,
    /// Packets that went from one stream to another without being decoded.
    pub relayed: u64,
    /// Dropped: RTCP where none was agreed.
    pub rtcp: u64,
    /// Dropped: SRTP or SRTCP that the agreed key did not make.
    pub not_authentic: u64,
    /// Dropped: SRTP or SRTCP that came before.
    pub replayed: u64,
    /// Dropped: not RTP of version 2, or broken.
    pub malformed: u64,
    /// Dropped: payload type that was not agreed.
    pub unknown_payload: u64,
    /// Dropped: not from the far end.
    pub wrong_source: u64,
    /// Dropped: for no stream, or one whose far end is not known.
    pub unknown_stream: u64,
    /// Dropped: came twice, or far outside of the sequence.
    pub out_of_sequence: u64,
    /// Dropped: the stream does not receive now.
    pub muted: u64,
    /// Dropped: longer than any packet that we send.
    pub oversize: u64,
    /// Packets and frames that came too late to be played.
    pub late: u64,
    /// Commands that named what does not exist.
    pub misdirected: u64,
    /// Ticks of 20 ms that were left out since the clock came too late.
    pub skipped_ticks: u64,
}

impl Counters {
    /// Everything that was dropped.
    pub fn dropped(&self) -> u64 {
        self.rtcp
            + self.not_authentic
            + self.replayed
            + self.malformed
            + self.unknown_payload
            + self.wrong_source
            + self.unknown_stream
            + self.out_of_sequence
            + self.muted
            + self.oversize
            + self.late
    }
}

/// What one stream met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Packets of the far end.
    pub received: u64,
    /// Packets that we sent.
    pub sent: u64,
    /// Packets of the far end that did not come.
    pub lost: u64,
    /// Packets and frames that came too late to be played.
    pub late: u64,
    /// Packets that came twice.
    pub duplicates: u64,
    /// Dropped: not from the far end, not authentic, not readable.
    pub dropped: u64,
    /// Frames of 20 ms in which something was made up.
    pub concealed: u64,
    /// Interarrival jitter in microseconds (RFC 3550 section 6.4.1).
    pub jitter_us: u64,
}
