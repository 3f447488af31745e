//! Extensions that a line's policy lets both sides use.

use super::timer;
use crate::endpoint::Answer;
use crate::message::{Message, Name};
use crate::policy::{CallPolicy, Reliable};

/// Whether the line's policy lets a call begin with this INVITE.
pub(crate) fn admissible(policy: &CallPolicy, message: &Message<'_>) -> Result<(), Answer> {
    extensions(policy, message)?;
    let able = message.has_tag(Name::Supported, "100rel") || message.has_tag(Name::Require, "100rel");
    if policy.reliable == Reliable::Required && !able {
        return Err(Answer::new(421).with("Require", "100rel"));
    }
    timer::too_short(policy, message)
}

/// Whether the line's policy lets the far end require what it requires (RFC 3261 section 8.2.2.3).
pub(crate) fn extensions(policy: &CallPolicy, message: &Message<'_>) -> Result<(), Answer> {
    let reliable = policy.reliable != Reliable::Off;
    let refused: Vec<&str> = [("100rel", reliable), ("timer", policy.session_expires_s.is_some())]
        .into_iter()
        .filter(|(tag, able)| !able && message.has_tag(Name::Require, tag))
        .map(|(tag, _)| tag)
        .collect();
    if refused.is_empty() { Ok(()) } else { Err(Answer::new(420).with("Unsupported", refused.join(", "))) }
}

/// The extensions that a line supports, as the value of Supported.
pub(crate) fn supported(policy: &CallPolicy) -> String {
    let all = [
        ("100rel", policy.reliable != Reliable::Off),
        ("timer", policy.session_expires_s.is_some()),
        ("199", true),
        ("replaces", true),
        ("norefersub", true),
    ];
    all.into_iter().filter(|(_, able)| *able).map(|(tag, _)| tag).collect::<Vec<&str>>().join(", ")
}
