//! What the engine counted, readable from any thread.

use std::sync::atomic::{AtomicU64, Ordering};

/// What an engine counted since it started. Counts only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams that arrived.
    pub received: u64,
    /// Datagrams that were sent.
    pub sent: u64,
    /// Packets that went from one stream to another without being decoded.
    pub relayed: u64,
    /// Datagrams that were dropped, for whatever reason.
    pub dropped: u64,
    /// Among the dropped: for ports that no stream has.
    pub unclaimed: u64,
    /// Among the dropped: not from the far end.
    pub wrong_source: u64,
    /// Among the dropped: too late to be played.
    pub late: u64,
    /// Datagrams that the system would not send.
    pub unsent: u64,
    /// Frames that a full ring or a full queue of recordings did not take.
    pub lost_frames: u64,
    /// Ticks of 20 ms that were left out since the thread came too late.
    pub skipped_ticks: u64,
}

const FIELDS: usize = 10;

impl Counters {
    fn values(self) -> [u64; FIELDS] {
        let Counters { received, sent, relayed, dropped, unclaimed, .. } = self;
        let Counters { wrong_source, late, unsent, lost_frames, skipped_ticks, .. } = self;
        [received, sent, relayed, dropped, unclaimed, wrong_source, late, unsent, lost_frames, skipped_ticks]
    }

    fn of(values: [u64; FIELDS]) -> Counters {
        let [received, sent, relayed, dropped, unclaimed, wrong_source, late, unsent, lost_frames, skipped_ticks] =
            values;
        Counters { received, sent, relayed, dropped, unclaimed, wrong_source, late, unsent, lost_frames, skipped_ticks }
    }

    /// What two threads counted together.
    pub(crate) fn plus(self, other: Counters) -> Counters {
        let (one, other) = (self.values(), other.values());
        Counters::of(std::array::from_fn(|n| one[n] + other[n]))
    }
}

/// A media thread's counts, published after each wake-up.
#[derive(Debug, Default)]
pub(crate) struct Shared([AtomicU64; FIELDS]);

impl Shared {
    pub(crate) fn publish(&self, counters: Counters) {
        for (cell, value) in self.0.iter().zip(counters.values()) {
            cell.store(value, Ordering::Relaxed);
        }
    }

    pub(crate) fn read(&self) -> Counters {
        Counters::of(std::array::from_fn(|n| self.0[n].load(Ordering::Relaxed)))
    }
}
