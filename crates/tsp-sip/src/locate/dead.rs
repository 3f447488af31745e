//! Targets that did not answer: others are tried before them for a while (RFC 3263 section 4.3).

use super::Candidate;
use crate::transport::Transport;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Duration;
use tapi::Time;

/// Most that are remembered.
const MAX_DEAD: usize = 1_024;
/// For how long at least.
pub(crate) const DEAD: Duration = Duration::from_secs(32);

/// Who did not answer, and until when that counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dead(Vec<(Transport, SocketAddr, Time)>);

impl Dead {
    /// Somebody did not answer, or asked to be left alone for so long.
    pub fn bury(&mut self, now: Time, transport: Transport, address: SocketAddr, rest: Option<Duration>) {
        self.0.retain(|(known, at, until)| *until > now && (*known, *at) != (transport, address));
        if self.0.len() < MAX_DEAD {
            self.0.push((transport, address, now + rest.unwrap_or(DEAD).max(DEAD).min(Duration::from_secs(3_600))));
        }
    }

    /// Somebody answered.
    pub fn raise(&mut self, transport: Transport, address: SocketAddr) {
        if !self.0.is_empty() {
            self.0.retain(|(known, at, _)| (*known, *at) != (transport, address));
        }
    }

    /// Whether somebody is left alone now.
    pub fn is_dead(&self, now: Time, transport: Transport, address: SocketAddr) -> bool {
        self.0.iter().any(|(known, at, until)| (*known, *at) == (transport, address) && *until > now)
    }

    /// Puts those last that are dead; their order among themselves stays.
    pub fn sort(&self, now: Time, candidates: &mut [Candidate]) {
        if !self.0.is_empty() {
            candidates.sort_by_key(|candidate| self.is_dead(now, candidate.transport, candidate.address));
        }
    }
}
