//! What only some devices have (lineDevSpecific, LINE_DEVSPECIFIC): text messages, supplementary service codes, a PIN; and
//! the rules by which a network forwards calls (LINEFORWARD).

use crate::open_names;
use serde::{Deserialize, Serialize};

open_names! {
    /// When a call is forwarded (LINEFORWARDMODE).
    pub enum ForwardKind {
        /// Always.
        Unconditional = "unconditional",
        /// When busy.
        Busy = "busy",
        /// When not answered.
        NoAnswer = "no_answer",
        /// When out of reach.
        Unreachable = "unreachable",
    }
}

/// One rule of forwarding (LINEFORWARD).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardRule {
    /// When.
    pub when: ForwardKind,
    /// To where.
    pub to: String,
    /// For `no_answer`: after so many seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_s: Option<u32>,
}

/// Something to ask of a device that only some have.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DeviceRequest {
    /// Send a text message (3GPP TS 23.040). [`DeviceEvent::MessageSent`] ends it.
    SendMessage {
        /// To where.
        to: String,
        /// Its text.
        text: String,
    },
    /// Send a supplementary service code or an answer in such a session (3GPP TS 22.090): `*100#`.
    /// [`DeviceEvent::Ussd`] carries what the network says.
    Ussd {
        /// The code or the answer.
        text: String,
    },
    /// End a session of supplementary service codes.
    UssdCancel,
    /// Enter the SIM's PIN. It is tried once.
    EnterPin {
        /// The PIN: in no log.
        pin: String,
    },
}

impl std::fmt::Debug for DeviceRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            DeviceRequest::SendMessage { .. } => "SendMessage",
            DeviceRequest::Ussd { .. } => "Ussd",
            DeviceRequest::UssdCancel => "UssdCancel",
            DeviceRequest::EnterPin { .. } => "EnterPin",
        })
    }
}

/// Something that only some devices tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DeviceEvent {
    /// A text message was given to the network, or was not.
    MessageSent {
        /// To where.
        to: String,
        /// Why not; absent: it was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// A text message reached the one that it was sent to, or never will.
    MessageDelivered {
        /// To where.
        to: String,
        /// Why not; absent: it did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// A text message came.
    MessageReceived {
        /// From whom.
        from: String,
        /// Its text.
        text: String,
        /// When the network took it, as it says: `2026-11-23T02:00:00+01:00`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sent: Option<String>,
    },
    /// The network said something in a session of supplementary service codes.
    Ussd {
        /// What.
        text: String,
        /// Whether it waits for an answer.
        more: bool,
    },
    /// A session of supplementary service codes failed or was ended by the network.
    UssdEnded {
        /// Why.
        reason: String,
    },
    /// The SIM's state changed.
    Sim {
        /// `ready`, `pin_required`, `puk_required`, `absent`, `failure`.
        state: String,
    },
}
