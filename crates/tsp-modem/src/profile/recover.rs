//! How a modem that does not answer is brought back.

use serde::{Deserialize, Serialize};

/// What to do with a modem that does not answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recover {
    /// How long DTR is lowered.
    pub dtr_ms: u32,
    /// Sent after DTR to a modem that fails for longer than [`Recover::reset_after_ms`], before its port is opened anew,
    /// whatever the answer (`AT+CFUN=1,1`).
    pub reset: Vec<String>,
    /// Longer than a modem takes to start: a reset in the middle of that would have it start for ever.
    pub reset_after_ms: u32,
    /// The least wait after it: the modem starts.
    pub reset_ms: u32,
    /// After so many failures in a row the port is closed and opened again.
    pub reopen_after: u32,
    /// The longest wait between two attempts.
    pub max_wait_ms: u32,
}

impl Default for Recover {
    fn default() -> Recover {
        Recover {
            dtr_ms: 600,
            reset: Vec::new(),
            reset_after_ms: 20_000,
            reset_ms: 20_000,
            reopen_after: 3,
            max_wait_ms: 60_000,
        }
    }
}
