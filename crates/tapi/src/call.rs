//! What is known of a call: its information (LINECALLINFO) and its status (LINECALLSTATUS).

use crate::{AddressId, CallId, CallState, LineId, Names, Time, open_names};
use serde::{Deserialize, Serialize};

open_names! {
    /// What can be done with a call (LINECALLFEATURE). As a capability: ever; as a feature: now, by this session.
    pub enum Feature {
        /// Take responsibility for an offered call (it then alerts).
        Accept = "accept",
        /// Answer.
        Answer = "answer",
        /// Hang up, abandon or reject.
        Drop = "drop",
        /// Dial more digits.
        Dial = "dial",
        /// Hold.
        Hold = "hold",
        /// Retrieve from hold.
        Unhold = "unhold",
        /// Swap with a held call.
        SwapHold = "swap_hold",
        /// Send an offered call elsewhere.
        Redirect = "redirect",
        /// Transfer without asking.
        BlindTransfer = "blind_transfer",
        /// Begin a consultation call.
        SetupTransfer = "setup_transfer",
        /// Complete a transfer.
        CompleteTransfer = "complete_transfer",
        /// Send digits to the far end.
        GenerateDigits = "generate_digits",
        /// Make a tone.
        GenerateTone = "generate_tone",
        /// Report digits of the far end.
        MonitorDigits = "monitor_digits",
        /// Collect digits of the far end.
        GatherDigits = "gather_digits",
        /// Report tones.
        MonitorTones = "monitor_tones",
        /// Play a file or a stream.
        Play = "play",
        /// Record.
        Record = "record",
        /// Join with another call's audio.
        Bridge = "bridge",
        /// Take apart a bridge.
        Part = "part",
        /// Make a conference.
        SetupConference = "setup_conference",
        /// Place the call of a conference's next party.
        PrepareAddToConference = "prepare_add_to_conference",
        /// Take it into a conference, or calls into it.
        AddToConference = "add_to_conference",
        /// Take it out of its conference.
        RemoveFromConference = "remove_from_conference",
        /// Report tones of call progress, fax tones and voices.
        MonitorMedia = "monitor_media",
        /// Speak and hear through a socket of the application's.
        Audio = "audio",
        /// Do what the far end asked: talk to somebody else.
        AcceptTransfer = "accept_transfer",
        /// Decline it.
        RejectTransfer = "reject_transfer",
    }
}

open_names! {
    /// What a session may do with a call or asks for on a line (LINECALLPRIVILEGE).
    pub enum Privilege {
        /// Make calls only.
        None = "none",
        /// See and hear what happens.
        Monitor = "monitor",
        /// Control.
        Owner = "owner",
    }
}

open_names! {
    /// Where a call comes from (LINECALLORIGIN).
    pub enum CallOrigin {
        /// Made here.
        Outbound = "outbound",
        /// From inside the same switch.
        Internal = "internal",
        /// From the public network.
        External = "external",
        /// Incoming, from where is not known.
        Inbound = "inbound",
        /// Made here as a conference.
        Conference = "conference",
        /// Not known yet.
        Unknown = "unknown",
        /// Never known.
        Unavail = "unavail",
    }
}

open_names! {
    /// Why a call exists (LINECALLREASON).
    pub enum CallReason {
        /// It was dialled.
        Direct = "direct",
        /// Forwarded on busy.
        ForwardedBusy = "forwarded_busy",
        /// Forwarded on no answer.
        ForwardedNoAnswer = "forwarded_no_answer",
        /// Forwarded always.
        ForwardedUncond = "forwarded_uncond",
        /// Picked up from another station.
        Pickup = "pickup",
        /// Retrieved from park.
        Unpark = "unpark",
        /// Redirected.
        Redirect = "redirect",
        /// A completed call completion.
        CallCompletion = "call_completion",
        /// Transferred.
        Transfer = "transfer",
        /// Reminder of a parked or held call.
        Reminder = "reminder",
        /// Not known yet.
        Unknown = "unknown",
        /// Never known.
        Unavail = "unavail",
    }
}

open_names! {
    /// How much is known of a party (LINECALLPARTYID).
    pub enum PartyFlag {
        /// Withheld by the party.
        Blocked = "blocked",
        /// The network could not pass it on.
        OutOfArea = "out_of_area",
        /// A name is there.
        Name = "name",
        /// An address is there.
        Address = "address",
        /// The address is only a part.
        Partial = "partial",
        /// Not known now; it may come.
        Unknown = "unknown",
        /// Not known, and it will not come.
        Unavail = "unavail",
    }
}

/// One of the five parties of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// What is known: never empty.
    pub flags: Names<PartyFlag>,
    /// A number or URI, as the network gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// A display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Party {
    /// A party of which nothing is known yet.
    pub fn unknown() -> Party {
        Party { flags: Names::from([PartyFlag::Unknown]), address: None, name: None }
    }

    /// A party of which nothing will be known.
    pub fn unavailable() -> Party {
        Party { flags: Names::from([PartyFlag::Unavail]), address: None, name: None }
    }

    /// A party that withholds its identity.
    pub fn blocked() -> Party {
        Party { flags: Names::from([PartyFlag::Blocked]), address: None, name: None }
    }

    /// A party with an address, and perhaps a name; empty texts count as absent.
    pub fn new(address: Option<String>, name: Option<String>) -> Party {
        let address = address.filter(|text| !text.is_empty());
        let name = name.filter(|text| !text.is_empty());
        let mut flags = Names::new();
        if address.is_some() {
            flags.insert(PartyFlag::Address);
        }
        if name.is_some() {
            flags.insert(PartyFlag::Name);
        }
        if flags.is_empty() {
            flags.insert(PartyFlag::Unknown);
        }
        Party { flags, address, name }
    }
}

impl Default for Party {
    fn default() -> Party {
        Party::unknown()
    }
}

open_names! {
    /// What a call carries (LINEMEDIAMODE).
    pub enum MediaMode {
        /// Voice between people.
        InteractiveVoice = "interactive_voice",
        /// Voice with a machine at our end.
        AutomatedVoice = "automated_voice",
        /// Modem data.
        DataModem = "data_modem",
        /// Group 3 fax.
        G3Fax = "g3_fax",
        /// Not known yet.
        Unknown = "unknown",
    }
}

open_names! {
    /// The kind of connection (LINEBEARERMODE).
    pub enum BearerMode {
        /// 3.1 kHz audio.
        Voice = "voice",
        /// G.711 speech.
        Speech = "speech",
        /// Raw access to the modem.
        Passthrough = "passthrough",
    }
}

open_names! {
    /// How "connected" was concluded: only a network that signals answers can be sure.
    pub enum AnswerEvidence {
        /// The network said so (a SIP 2xx, `+CLCC` active).
        Signalled = "signalled",
        /// The modem's final result said so.
        ResultCode = "result_code",
        /// Ringback went away.
        RingbackGone = "ringback_gone",
        /// A voice was detected.
        VoiceDetected = "voice_detected",
        /// A time ran out.
        Timer = "timer",
        /// We answered.
        Local = "local",
    }
}

/// Why a call ended, with whatever the network said: the mode is for programs, the rest for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The reason as TAPI names it.
    pub mode: crate::DisconnectMode,
    /// Final SIP status, 300 to 699.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sip: Option<u16>,
    /// Q.850 cause, 1 to 127.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q850: Option<u8>,
    /// The words of the network, the device or the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl Cause {
    /// A cause of which only the mode is known.
    pub fn new(mode: crate::DisconnectMode) -> Cause {
        Cause { mode, sip: None, q850: None, text: None }
    }

    /// The same cause with words.
    pub fn with_text(mut self, text: impl Into<String>) -> Cause {
        self.text = Some(text.into());
        self
    }
}

/// The audio of a call as it stands (our addition to LINECALLINFO).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaInfo {
    /// Wire: `rtp` or `frames` (a device's own audio path).
    pub wire: String,
    /// Codec that is sent, as SDP names it (`PCMU`, `PCMA`, `L16`).
    pub codec: String,
    /// Where it is sent to, for RTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// Direction as seen from us: `sendrecv`, `sendonly`, `recvonly`, `inactive`.
    pub direction: String,
    /// The SRTP suite that protects it; absent: none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security: Option<String>,
    /// How it fares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statistics: Option<MediaStatistics>,
}

/// How a stream fares, since it began (RFC 3550 section 6.4).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MediaStatistics {
    /// Packets received.
    pub received: u64,
    /// Packets sent.
    pub sent: u64,
    /// Packets that never came.
    pub lost: u64,
    /// Packets that came too late to be played.
    pub late: u64,
    /// Packets that came twice.
    pub duplicates: u64,
    /// Packets dropped: from elsewhere, not authentic, not readable.
    pub dropped: u64,
    /// Jitter of arrival in microseconds (RFC 3550 section 6.4.1).
    pub jitter_us: u32,
    /// Depth of the jitter buffer in milliseconds.
    pub buffer_ms: u32,
    /// Audio that was made up where none came, in milliseconds.
    pub concealed_ms: u64,
    /// Time there and back in microseconds, where the far end's reports tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_trip_us: Option<u32>,
    /// Packets the far end says that it lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub far_lost: Option<u64>,
    /// Jitter the far end says that it sees, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub far_jitter_us: Option<u32>,
    /// Estimate of how well it is heard, 100 to 450: hundredths of a mean opinion score (ITU-T G.107).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mos_x100: Option<u16>,
}

open_names! {
    /// Tones of call progress, and what else is told from them.
    pub enum ProgressTone {
        /// Dial tone.
        Dial = "dial",
        /// Ringing tone.
        Ringback = "ringback",
        /// Busy tone.
        Busy = "busy",
        /// Congestion, reorder.
        Congestion = "congestion",
        /// Special information tones.
        SpecialInfo = "special_info",
        /// Call waiting.
        Waiting = "waiting",
        /// A calling fax, 1 100 Hz (ITU-T T.30).
        FaxCalling = "fax_calling",
        /// An answering fax or modem, 2 100 Hz (ITU-T V.25).
        FaxAnswer = "fax_answer",
        /// A voice began.
        Voice = "voice",
        /// It is silent.
        Silence = "silence",
    }
}

/// The mostly static facts of a call (LINECALLINFO).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallInfo {
    /// The call.
    pub call: CallId,
    /// A name for the call that is unique in the world: node, generation of the state, number.
    pub uid: String,
    /// The line it is on.
    pub line: LineId,
    /// The line's permanent name.
    pub line_name: String,
    /// The address it is on.
    pub address: AddressId,
    /// Where it comes from.
    pub origin: CallOrigin,
    /// Why it exists.
    pub reason: CallReason,
    /// What carries it.
    pub bearer: BearerMode,
    /// What it carries.
    pub media_mode: Names<MediaMode>,
    /// Who calls.
    pub caller: Party,
    /// Who was called.
    pub called: Party,
    /// Who was reached.
    pub connected: Party,
    /// Where it was sent on to.
    pub redirection: Party,
    /// Who sent it on.
    pub redirecting: Party,
    /// The provider's own name for the call, the same for everyone (a SIP Call-ID; LINECALLINFO.dwCallID).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_id: Option<String>,
    /// When the network says that the call came, by its own clock and without a zone: `2026-08-01T18:01` (date and time of
    /// caller id, whose year is the one that brings it nearest to our clock).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_time: Option<String>,
    /// Another call that this one came from or belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub related: Option<CallId>,
    /// A name for the conversation, the same for all calls that a transfer, a bridge or a replacement made one of.
    #[serde(default)]
    pub conversation: String,
    /// The conference that it is a member of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conference: Option<CallId>,
    /// The call whose audio is joined with this one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridged: Option<CallId>,
    /// Name of the application that made it, or owns it first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// The application's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// The application's own data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_data: Option<String>,
    /// How "connected" was concluded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<AnswerEvidence>,
    /// Why it ended, once it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The audio as it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<MediaInfo>,
    /// How many sessions own it.
    pub owners: u32,
    /// How many sessions monitor it.
    pub monitors: u32,
}

/// What a call does now, as one session sees it (LINECALLSTATUS).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallStatus {
    /// Its state.
    #[serde(flatten)]
    pub state: CallState,
    /// When it entered that state, on the monotonic clock.
    pub entered: Time,
    /// The same moment on the wall clock: microseconds since 1970 UTC.
    pub entered_wall: u64,
    /// What this session may do with it.
    pub privilege: Privilege,
    /// What can be done with it now, by this session.
    pub features: Names<Feature>,
}

/// A call whole: what a snapshot, a call list and a notice of a new call carry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Its facts.
    pub info: CallInfo,
    /// Its status.
    pub status: CallStatus,
}

/// One entry of a call's trace: a SIP message of the ladder, a line of the AT transcript.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceEntry {
    /// When, on the monotonic clock.
    pub time: Time,
    /// The same on the wall clock: microseconds since 1970 UTC.
    pub wall: u64,
    /// `true` for what we sent.
    pub sent: bool,
    /// The other end (an address, a port's name).
    pub peer: String,
    /// One line: `INVITE sip:100@example.org`, `200 OK`, `ATD…;`.
    pub summary: String,
    /// Everything that crossed the wire, where the provider keeps it. Credentials are already cut out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}
