//! The provider.

use crate::Config;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use tapi::Time;
use tspi::{Input, Output, PortId, Provider, Random};

/// The provider's UDP socket.
pub const PORT: PortId = PortId(0);

/// A SIP user agent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sip {
    config: Config,
    random: Random,
    #[serde(skip)]
    outputs: VecDeque<Output>,
}

impl Sip {
    /// A user agent with the configured lines; `seed` is chance from the operating system.
    pub fn new(config: Config, seed: [u8; 32]) -> Sip {
        Sip { config, random: Random::from_seed(seed), outputs: VecDeque::new() }
    }
}

impl Provider for Sip {
    fn handle(&mut self, _now: Time, _input: Input<'_>) {
        let _ = (&self.config, &mut self.random);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Time> {
        None
    }
}
