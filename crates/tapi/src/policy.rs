//! Rights on a line, and what becomes of a call that nobody takes.

use crate::{DisconnectMode, TransferWay, open_names};
use serde::{Deserialize, Serialize};

open_names! {
    /// What a user may do with a line.
    pub enum Right {
        /// Know that it exists, and how it stands.
        See = "see",
        /// Know of its calls.
        Monitor = "monitor",
        /// Place calls, at the cost of who pays for the line.
        Originate = "originate",
        /// Be offered its calls, and control them.
        Own = "own",
        /// Hear what is said, and say something.
        Listen = "listen",
        /// Record what is said.
        Record = "record",
        /// Change how it forwards and what becomes of its calls; enter a PIN.
        Administer = "administer",
    }
}

/// What becomes of an incoming call that no application takes.
///
/// It is put into effect at once where nobody has the line open as owner or monitor. Where monitors have, one of them may
/// take the call: it is put into effect 60 s after the offer, or after the time of [`IncomingPolicy::Ring`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum IncomingPolicy {
    /// It is turned away.
    Reject {
        /// Why. Absent: the provider's own way of saying that nobody is there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<DisconnectMode>,
    },
    /// It rings, so that somebody may still come, and is turned away as not answered.
    Ring {
        /// For how long, in seconds, 1 to 600.
        timeout_s: u32,
    },
    /// It is answered, hears a file, and is hung up.
    Play {
        /// A WAV file below one of the configured directories, by its relative path.
        file: String,
    },
    /// It is sent elsewhere.
    Forward {
        /// To where.
        to: String,
        /// On which line a call of ours goes out, by its permanent name. Absent: its own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        line: Option<String>,
        /// By whom alone. Absent: by the network where it can, else by bridging.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        how: Option<TransferWay>,
    },
}

impl Default for IncomingPolicy {
    fn default() -> IncomingPolicy {
        IncomingPolicy::Reject { cause: None }
    }
}
