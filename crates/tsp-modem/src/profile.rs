//! Profiles: what differs between chip sets.

use serde::{Deserialize, Serialize};

/// How a family of modems wants to be spoken to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its name.
    pub id: String,
}

/// A profile that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileError {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl std::fmt::Display for ProfileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for ProfileError {}

impl Profile {
    /// A profile that comes with the crate: `v253` or `27007`.
    pub fn builtin(id: &str) -> Option<Profile> {
        matches!(id, "v253" | "27007").then(|| Profile { id: id.to_owned() })
    }

    /// Reads a profile.
    pub fn parse(toml: &str) -> Result<Profile, ProfileError> {
        toml::from_str(toml).map_err(|error| ProfileError { line: 1, column: 1, message: error.message().to_owned() })
    }
}
