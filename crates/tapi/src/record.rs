//! The record of a call that ended: one line of the ledger.

use crate::{AnswerEvidence, CallId, CallOrigin, CallReason, Cause, MediaStatistics, Party};
use serde::{Deserialize, Serialize};

/// What is kept of a call leg once it is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// The call.
    pub call: CallId,
    /// Its name, unique in the world.
    pub uid: String,
    /// The conversation it was part of: the same for all legs of it.
    pub conversation: String,
    /// Another call that it came from or belonged to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub related: Option<CallId>,
    /// The permanent name of its line.
    pub line: String,
    /// Where it came from.
    pub origin: CallOrigin,
    /// Why it existed.
    pub reason: CallReason,
    /// Who called.
    pub caller: Party,
    /// Who was called.
    pub called: Party,
    /// Who was reached.
    pub connected: Party,
    /// Where it was sent on to.
    pub redirection: Party,
    /// Who sent it on.
    pub redirecting: Party,
    /// The provider's own name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_id: Option<String>,
    /// The application that made it or owned it first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// The application's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// When it began: microseconds since 1970 UTC.
    pub began: u64,
    /// When it was answered, the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<u64>,
    /// How that was concluded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<AnswerEvidence>,
    /// When it ended, the same.
    pub ended: u64,
    /// Why it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The codec it spoke last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codec: Option<String>,
    /// The SRTP suite that protected it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security: Option<String>,
    /// How its audio fared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statistics: Option<MediaStatistics>,
}
