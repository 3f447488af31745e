//! What a modem is configured with beside its profile.

use serde::{Deserialize, Serialize};

/// One modem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Name of the modem, for people and in traces.
    pub name: String,
    /// Permanent name of its line.
    pub line_name: String,
    /// Its own number, where it is known.
    #[serde(default)]
    pub address: Option<String>,
    /// Whether an audio port exists (dongles).
    #[serde(default)]
    pub audio: bool,
}
