//! The telephony server as a pure machine.

#![forbid(unsafe_code)]

mod io;

pub use io::*;

use serde::{Deserialize, Serialize};
use tapi::{Generation, Time};

/// All telephony state, and what decides on it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Server {
    config: Config,
    seq: u64,
}

impl Server {
    /// A server without lines or clients.
    pub fn new(config: Config) -> Server {
        Server { config, seq: 0 }
    }

    /// Takes one input.
    pub fn handle(&mut self, _now: Time, _input: Input) {}

    /// Gives the next output, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        None
    }

    /// When it wants [`Input::Timeout`] at the latest.
    pub fn poll_timeout(&self) -> Option<Time> {
        None
    }

    /// The generation of the state and its last event, for a greeting.
    pub fn position(&self) -> (Generation, u64) {
        (self.config.generation, self.seq)
    }
}
