//! Media service provider: RTP, G.711, jitter buffer, telephone events and tones, as pure machines.

#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};
use tapi::Time;
use tspi::media::{Input, MediaProvider, Output};

/// The media provider: all streams of a node and what is joined to what.
#[derive(Debug, Serialize, Deserialize)]
pub struct Msp {
    random: tspi::Random,
}

impl Msp {
    /// Without streams. `seed` gives SSRCs, first sequence numbers and first timestamps.
    pub fn new(seed: [u8; 32]) -> Msp {
        Msp { random: tspi::Random::from_seed(seed) }
    }

    /// To be called once after deserialising: playbacks and recordings, whose files are gone, end with `restarted`.
    pub fn restored(&mut self) {}
}

impl MediaProvider for Msp {
    fn handle(&mut self, _now: Time, _input: Input<'_>) {}

    fn poll_output(&mut self) -> Option<Output> {
        None
    }

    fn poll_timeout(&self) -> Option<Time> {
        None
    }
}
