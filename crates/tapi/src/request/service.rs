//! Parameters of a line's services: forwarding, what only some devices have, what becomes of a call that nobody takes.

use crate::{DeviceRequest, ForwardRule, IncomingPolicy, LineSelector};
use serde::{Deserialize, Serialize};

/// Parameters of `line.forward`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineForward {
    /// Which line; it must be open.
    pub line: LineSelector,
    /// All rules, at most 16. None: no longer.
    pub rules: Vec<ForwardRule>,
}

/// Parameters of `line.device`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineDevice {
    /// Which line; it must be open.
    pub line: LineSelector,
    /// What.
    pub request: DeviceRequest,
}

/// Parameters of `line.trace`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineTrace {
    /// Which line.
    pub line: LineSelector,
    /// Whole messages, and not their first lines only.
    #[serde(default)]
    pub full: bool,
}

/// Parameters of `line.set_policy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineSetPolicy {
    /// Which line.
    pub line: LineSelector,
    /// The policy. Absent: as configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<IncomingPolicy>,
}

/// Parameters of `line.get_policy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineGetPolicy {
    /// Which line.
    pub line: LineSelector,
}
