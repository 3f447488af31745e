//! Transfers, handing over, and what is gathered: the small vocabularies of their requests and events.

use crate::{MediaMode, open_names};
use serde::{Deserialize, Serialize};

open_names! {
    /// By whom two far ends are joined.
    pub enum TransferWay {
        /// By the network: our calls are gone then.
        Network = "network",
        /// By this server: its calls go on, and end together.
        Bridge = "bridge",
    }
}

/// What a call and its consultation call become (LINETRANSFERMODE).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferMode {
    /// Their far ends are joined.
    #[default]
    Transfer,
    /// A conference of three.
    Conference,
}

open_names! {
    /// How a transfer stands.
    pub enum TransferPhase {
        /// It is under way.
        Progress = "progress",
        /// The far ends talk to one another.
        Done = "done",
        /// It failed; the call is as it was.
        Failed = "failed",
    }
}

/// To whom a call is given (lineHandoff).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandoffTarget {
    /// The application of this name, whatever media it takes.
    App(String),
    /// The first application, in the order of priority, that takes calls of this medium.
    MediaMode(MediaMode),
}

open_names! {
    /// Why the gathering of digits ended (LINEGATHERTERM).
    pub enum GatherEnd {
        /// As many digits as were asked for.
        Full = "full",
        /// A digit that ends it.
        Termination = "termination",
        /// No first digit in time.
        FirstTimeout = "first_timeout",
        /// No further digit in time.
        InterTimeout = "inter_timeout",
        /// It was stopped, or another took its place.
        Cancelled = "cancelled",
        /// The call ended.
        CallEnded = "call_ended",
    }
}
