//! The sixteen call states of TAPI with their modes (LINECALLSTATE and its companions).

use crate::open_names;
use serde::{Deserialize, Serialize};

/// What a call is doing: exactly one of sixteen, some with a mode that says more (LINECALLSTATE).
///
/// A state is a level, not an edge: states may be skipped, and the latest message is the truth. Nothing leaves
/// [`CallState::Idle`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "state", content = "mode", rename_all = "snake_case")]
pub enum CallState {
    /// The call is over. Its information stays readable until every handle on it is deallocated.
    Idle,
    /// An incoming call is presented (not the same as ringing, which is the line's).
    Offering(OfferingMode),
    /// An owner took responsibility for an incoming call; both sides alert.
    Accepted,
    /// The switch is ready for digits.
    Dialtone(DialtoneMode),
    /// Digits go out.
    Dialing,
    /// The far end is alerting.
    Ringback,
    /// Busy was heard or signalled; the call still exists.
    Busy(BusyMode),
    /// Special information tones precede an announcement.
    SpecialInfo(SpecialInfo),
    /// Information flows.
    Connected(ConnectedMode),
    /// Dialled, and travelling through the network.
    Proceeding,
    /// We hold the call.
    OnHold,
    /// Member of a conference.
    Conferenced,
    /// A conference parent that waits for a new party.
    OnHoldPendConf,
    /// Held until a transfer completes.
    OnHoldPendTransfer,
    /// The remote side or the network ended the call; its owner must still drop or deallocate it.
    Disconnected(DisconnectMode),
    /// The call exists; what it does is not known.
    Unknown,
}

impl CallState {
    /// The state's name on the wire, without its mode.
    pub fn name(&self) -> &'static str {
        match self {
            CallState::Idle => "idle",
            CallState::Offering(_) => "offering",
            CallState::Accepted => "accepted",
            CallState::Dialtone(_) => "dialtone",
            CallState::Dialing => "dialing",
            CallState::Ringback => "ringback",
            CallState::Busy(_) => "busy",
            CallState::SpecialInfo(_) => "special_info",
            CallState::Connected(_) => "connected",
            CallState::Proceeding => "proceeding",
            CallState::OnHold => "on_hold",
            CallState::Conferenced => "conferenced",
            CallState::OnHoldPendConf => "on_hold_pend_conf",
            CallState::OnHoldPendTransfer => "on_hold_pend_transfer",
            CallState::Disconnected(_) => "disconnected",
            CallState::Unknown => "unknown",
        }
    }

    /// The mode's name on the wire, where the state has one.
    pub fn mode(&self) -> Option<&str> {
        match self {
            CallState::Offering(mode) => Some(mode.as_str()),
            CallState::Dialtone(mode) => Some(mode.as_str()),
            CallState::Busy(mode) => Some(mode.as_str()),
            CallState::SpecialInfo(mode) => Some(mode.as_str()),
            CallState::Connected(mode) => Some(mode.as_str()),
            CallState::Disconnected(mode) => Some(mode.as_str()),
            _ => None,
        }
    }

    /// Whether the call is over for the network (`disconnected` or `idle`).
    pub fn is_over(&self) -> bool {
        matches!(self, CallState::Idle | CallState::Disconnected(_))
    }

    /// One value of each of the sixteen states, with its plainest mode: for tables and exhaustive tests.
    pub fn all() -> [CallState; 16] {
        [
            CallState::Idle,
            CallState::Offering(OfferingMode::Active),
            CallState::Accepted,
            CallState::Dialtone(DialtoneMode::Normal),
            CallState::Dialing,
            CallState::Ringback,
            CallState::Busy(BusyMode::Station),
            CallState::SpecialInfo(SpecialInfo::Unknown),
            CallState::Connected(ConnectedMode::Active),
            CallState::Proceeding,
            CallState::OnHold,
            CallState::Conferenced,
            CallState::OnHoldPendConf,
            CallState::OnHoldPendTransfer,
            CallState::Disconnected(DisconnectMode::Normal),
            CallState::Unknown,
        ]
    }
}

impl std::fmt::Display for CallState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.mode() {
            Some(mode) => write!(f, "{} ({mode})", self.name()),
            None => f.write_str(self.name()),
        }
    }
}

open_names! {
    /// Where an offered call alerts (LINEOFFERINGMODE).
    pub enum OfferingMode {
        /// It alerts here; automatic answering is allowed.
        Active = "active",
        /// It was offered elsewhere, and may still be answered here.
        Inactive = "inactive",
    }
}

open_names! {
    /// Which dial tone is heard (LINEDIALTONEMODE).
    pub enum DialtoneMode {
        /// The usual one.
        Normal = "normal",
        /// A special one, such as the stutter tone of waiting messages.
        Special = "special",
        /// That of a PBX.
        Internal = "internal",
        /// That of the public network.
        External = "external",
        /// Not known yet, and may become known.
        Unknown = "unknown",
        /// Not known, and never will be.
        Unavail = "unavail",
    }
}

open_names! {
    /// What is busy (LINEBUSYMODE).
    pub enum BusyMode {
        /// The called station.
        Station = "station",
        /// The network (reorder, fast busy).
        Trunk = "trunk",
        /// Not known yet, and may become known.
        Unknown = "unknown",
        /// Not known, and never will be.
        Unavail = "unavail",
    }
}

open_names! {
    /// Which special information tone was heard (LINESPECIALINFO).
    pub enum SpecialInfo {
        /// No circuit.
        NoCircuit = "no_circuit",
        /// Customer irregularity: number not in service, changed, or vacant.
        CustIrreg = "cust_irreg",
        /// Reorder.
        Reorder = "reorder",
        /// Not known yet, and may become known.
        Unknown = "unknown",
        /// Not known, and never will be.
        Unavail = "unavail",
    }
}

open_names! {
    /// How a call is connected (LINECONNECTEDMODE).
    pub enum ConnectedMode {
        /// We take part in it.
        Active = "active",
        /// Others on the same bridged line talk.
        Inactive = "inactive",
        /// The remote side holds us.
        ActiveHeld = "active_held",
        /// The remote side holds the others.
        InactiveHeld = "inactive_held",
        /// Answer supervision was seen.
        Confirmed = "confirmed",
    }
}

open_names! {
    /// Why a call was disconnected (LINEDISCONNECTMODE).
    pub enum DisconnectMode {
        /// The remote party hung up.
        Normal = "normal",
        /// Not known yet, and may become known.
        Unknown = "unknown",
        /// The remote party refused the call.
        Reject = "reject",
        /// Answered elsewhere.
        Pickup = "pickup",
        /// Forwarded by the network.
        Forwarded = "forwarded",
        /// The called station is busy.
        Busy = "busy",
        /// The called station does not answer.
        NoAnswer = "no_answer",
        /// The address is not valid.
        BadAddress = "bad_address",
        /// The destination cannot be reached.
        Unreachable = "unreachable",
        /// The network is congested.
        Congestion = "congestion",
        /// The remote equipment does not fit the call.
        Incompatible = "incompatible",
        /// The reason is not available (also: our device was unplugged).
        Unavail = "unavail",
        /// No dial tone.
        NoDialtone = "no_dialtone",
        /// The number was changed.
        NumberChanged = "number_changed",
        /// The remote equipment is out of order.
        OutOfOrder = "out_of_order",
        /// A temporary failure (a modem's "delayed").
        TempFailure = "temp_failure",
        /// The asked quality of service is not available.
        QosUnavail = "qos_unavail",
        /// Blocked by the network (a modem's "blacklisted").
        Blocked = "blocked",
        /// The remote party does not want to be disturbed.
        DoNotDisturb = "do_not_disturb",
        /// The call was cancelled before it was answered.
        Cancelled = "cancelled",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_an_object_of_state_and_mode() {
        let json = serde_json::to_string(&CallState::Disconnected(DisconnectMode::NoAnswer)).unwrap();
        assert_eq!(json, r#"{"state":"disconnected","mode":"no_answer"}"#);
        assert_eq!(serde_json::to_string(&CallState::Proceeding).unwrap(), r#"{"state":"proceeding"}"#);
    }

    #[test]
    fn every_state_round_trips_and_names_itself() {
        for state in CallState::all() {
            let json = serde_json::to_value(&state).unwrap();
            assert_eq!(json["state"], state.name());
            assert_eq!(serde_json::from_value::<CallState>(json).unwrap(), state);
        }
    }
}
