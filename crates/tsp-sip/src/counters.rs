//! What happened and concerns no call.

use serde::{Deserialize, Serialize};

/// Counts since the provider began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Datagrams received, keep-alives included.
    pub received: u64,
    /// Datagrams of line ends only.
    pub keep_alives: u64,
    /// Datagrams that are no SIP message, and messages too broken to be answered.
    pub unreadable: u64,
    /// Requests that were refused for what they say (400, 405, 415, 416, 420, 483, 501, 505).
    pub refused: u64,
    /// Requests from addresses that no line knows: they got no answer.
    pub strangers: u64,
    /// Responses that no request of ours waited for.
    pub stray_responses: u64,
    /// Messages sent again.
    pub retransmits: u64,
    /// Transactions that were forgotten early to make room.
    pub evicted: u64,
    /// Messages that could not be sent: no connection, or one that takes nothing.
    #[serde(default)]
    pub unsent: u64,
    /// Requests that went to another target after the first one failed.
    #[serde(default)]
    pub failovers: u64,
    /// Calls of an earlier process that could not be taken up after a crash.
    #[serde(default)]
    pub unrecovered: u64,
    /// What was not looked at, since its source sent too much.
    #[serde(default)]
    pub floods: u64,
    /// Calls that were refused since the server had too much to do.
    #[serde(default)]
    pub overloads: u64,
    /// Connections that were closed for what came over them, or did not come in time.
    #[serde(default)]
    pub closed: u64,
}
