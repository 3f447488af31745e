//! How a modem that does not answer is brought back.

use serde::{Deserialize, Serialize};

/// What to do with a modem that does not answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recover {
    /// How long DTR is lowered.
    pub dtr_ms: u32,
    /// Sent after DTR from the second failure in a row on, before the port is opened anew too, whatever the answer
    /// (`AT+CFUN=1,1`).
    pub reset: Vec<String>,
    /// The least wait after it: the modem starts.
    pub reset_ms: u32,
    /// After so many failures in a row the port is closed and opened again.
    pub reopen_after: u32,
    /// The longest wait between two attempts.
    pub max_wait_ms: u32,
}

impl Default for Recover {
    fn default() -> Recover {
        Recover { dtr_ms: 600, reset: Vec::new(), reset_ms: 10_000, reopen_after: 3, max_wait_ms: 60_000 }
    }
}
