//! The provider.

use crate::{Config, Profile};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use tapi::Time;
use tspi::{Input, Output, Provider};

/// A modem and its line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Modem {
    config: Config,
    profile: Profile,
    #[serde(skip)]
    outputs: VecDeque<Output>,
}

impl Modem {
    /// A modem that was not spoken to yet.
    pub fn new(config: Config, profile: Profile) -> Modem {
        Modem { config, profile, outputs: VecDeque::new() }
    }
}

impl Provider for Modem {
    fn handle(&mut self, _now: Time, _input: Input<'_>) {
        let _ = (&self.config, &self.profile);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Time> {
        None
    }
}
