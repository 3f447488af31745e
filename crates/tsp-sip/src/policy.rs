//! How a line's calls are made: what is asked of the far end, and what is believed of it.

use serde::{Deserialize, Serialize};
use tspi::media::Codec;

macro_rules! choices {
    ($($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident),* $(,)? })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vmeta])* $variant,)* }
    )*};
}

choices! {
    /// Reliable provisional responses (RFC 3262).
    Reliable {
        /// Never: who requires them gets 420.
        Off,
        /// Where the far end has them too.
        #[default]
        Supported,
        /// Always: who has them not gets 421.
        Required,
    }
    /// Who sends the refreshes of a session timer (RFC 4028).
    Refresher {
        /// Whoever the far end wants; where it does not say, the caller.
        #[default]
        Either,
        /// We do.
        Ours,
        /// The far end does, where it can.
        Theirs,
    }
    /// When a call of ours offers its media.
    OfferWhen {
        /// In the INVITE.
        #[default]
        Early,
        /// Never: the far end offers, and the ACK or PRACK has our answer.
        Late,
    }
    /// With which request a call is held.
    HoldBy {
        /// re-INVITE.
        #[default]
        Invite,
        /// UPDATE where the far end allows it, else re-INVITE.
        Update,
    }
    /// Protection of the audio (RFC 3711 with keys of RFC 4568).
    Protection {
        /// None: an offer of nothing else is refused.
        #[default]
        Off,
        /// Where the far end can.
        Optional,
        /// Always: what is not protected is refused, in the middle of a call too.
        Required,
    }
    /// The header that says who we are, beside From.
    Identity {
        /// None.
        #[default]
        None,
        /// P-Asserted-Identity (RFC 3325), to a network that trusts us.
        Asserted,
        /// P-Preferred-Identity (RFC 3325), to a network that asserts for us.
        Preferred,
        /// Remote-Party-ID, to elder networks.
        RemoteParty,
    }
    /// How digits go to the far end.
    Digits {
        /// As telephone events or tones in the audio.
        #[default]
        Rtp,
        /// As INFO requests with `application/dtmf-relay`.
        Info,
    }
    /// How a call of ours is transferred.
    Transfers {
        /// The far end is asked with REFER (RFC 3515), and tells what became of it.
        #[default]
        Refer,
        /// The same without news (RFC 4488): it is over when the far end takes it.
        ReferUnwatched,
        /// The far end is not asked: the server bridges.
        Bridge,
    }
    /// What becomes of a far end's wish to be transferred.
    Refer {
        /// The call's owner is asked.
        #[default]
        Ask,
        /// It is declined.
        Refuse,
    }
    /// What becomes of a 3xx to a call of ours.
    Redirects {
        /// The call ends as forwarded, and says to where.
        #[default]
        Relay,
        /// The call goes to where it says.
        Follow,
    }
}

/// How a line's calls are made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CallPolicy {
    /// Reliable provisional responses.
    pub reliable: Reliable,
    /// Session timer that we ask for, in seconds; none: no session timers.
    pub session_expires_s: Option<u32>,
    /// Shortest session timer that is taken, in seconds: at least 90.
    pub min_se_s: u32,
    /// Who refreshes.
    pub refresher: Refresher,
    /// When a call of ours offers its media.
    pub offer: OfferWhen,
    /// With which request a call is held.
    pub hold_by: HoldBy,
    /// Codecs that may be used, best first; empty: all that the media provider has, in its order. Telephone events and
    /// comfort noise need not stand here.
    pub codecs: Vec<Codec>,
    /// Packet time that we ask for, in milliseconds: 10 to 60.
    pub ptime_ms: u32,
    /// Protection of the audio.
    pub srtp: Protection,
    /// Whether the far end's P-Asserted-Identity and Remote-Party-ID are believed.
    pub trust_identity: bool,
    /// The header that says who we are.
    pub identity: Identity,
    /// How digits go to the far end.
    pub digits: Digits,
    /// What becomes of a 3xx.
    pub redirects: Redirects,
    /// How calls are transferred.
    pub transfers: Transfers,
    /// What becomes of a far end's wish to be transferred.
    pub refer: Refer,
}

impl Default for CallPolicy {
    fn default() -> CallPolicy {
        CallPolicy {
            reliable: Reliable::default(),
            session_expires_s: Some(1_800),
            min_se_s: 90,
            refresher: Refresher::default(),
            offer: OfferWhen::default(),
            hold_by: HoldBy::default(),
            codecs: Vec::new(),
            ptime_ms: 20,
            srtp: Protection::default(),
            trust_identity: false,
            identity: Identity::default(),
            digits: Digits::default(),
            redirects: Redirects::default(),
            transfers: Transfers::default(),
            refer: Refer::default(),
        }
    }
}
