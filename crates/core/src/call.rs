//! A call: its facts, its state, who has a handle on it, and its trace.

use crate::conference::Conference;
use crate::features::{self, Audio};
use crate::ledger::Ledger;
use crate::media::Stream;
use crate::server::Timer;
use crate::{ProviderId, Server};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tapi::{
    CallId, CallInfo, CallState, CallStatus, Feature, InfoKind, LineId, Names, OperationId, Party, PartyFlag,
    Privilege, SessionId, Time, TraceEntry,
};
use tspi::{CallFacts, CallRef, CommandId, DigitsBy, TransferRequest};

/// A call that was asked for, until its provider took it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Draft {
    pub(crate) info: CallInfo,
    pub(crate) stream: Option<Stream>,
    /// What it is made for.
    pub(crate) purpose: Purpose,
}

/// What a call is made for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Purpose {
    /// Somebody dialled.
    Direct,
    /// To ask somebody, while this call is held.
    Consultation { of: CallId, kind: Consultation },
    /// To be joined with this call once it is answered.
    Leg { of: CallId, why: Why },
    /// The far end of this call asked for it.
    Accepted { of: CallId },
}

/// What a consultation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Consultation {
    Transfer,
    /// A conference is to be made of the held call.
    Conference,
    /// The held call is a conference.
    Add,
}

/// Why two calls are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Why {
    Transfer,
    Forward,
}

/// Who holds a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Held {
    #[default]
    No,
    /// The network does, on our command.
    ByNetwork,
    /// The server alone: nobody speaks to it.
    Here,
}

/// What a call is in the middle of.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Control {
    pub(crate) held: Held,
    /// A consultation call is placed once this one is held.
    pub(crate) setup: Option<CommandId>,
    /// The call that this one is the consultation of.
    pub(crate) consults: Option<CallId>,
    /// The call to retrieve once this one is held.
    pub(crate) swap: Option<CallId>,
    /// The call to retrieve if this one cannot be.
    pub(crate) restore: Option<CallId>,
    /// A transfer by the network is under way.
    pub(crate) transfer: Option<Transferring>,
    /// The call to be joined with, once both are connected.
    pub(crate) joining: Option<(CallId, Why)>,
    /// The call that is to be joined with this one.
    pub(crate) awaits: Option<CallId>,
    /// The call that ends with this one.
    pub(crate) tied: Option<CallId>,
    /// The far end asked to be transferred; until when it waits.
    pub(crate) asked: Option<(Box<TransferRequest>, Time)>,
    /// The call whose place this one takes.
    pub(crate) replaces: Option<CallId>,
    /// It is a conference.
    pub(crate) conference: Option<Conference>,
    /// The conference that the network is taking it into.
    pub(crate) enters: Option<CallId>,
    /// More digits of its number are awaited.
    #[serde(default)]
    pub(crate) dials: Dials,
    /// Its provider wants to be told what is heard of call progress.
    #[serde(default)]
    pub(crate) listens: bool,
    /// Whether nobody took it yet.
    pub(crate) unclaimed: Unclaimed,
}

/// Whether more digits of a number are to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Dials {
    /// All are there.
    #[default]
    Whole,
    /// It is dialled in parts.
    InParts,
}

impl Dials {
    /// What a dialable address says: a semicolon at the end of the number, before a subaddress or a name.
    pub(crate) fn of(to: &str) -> Dials {
        let number = to.split(['|', '^']).next().unwrap_or_default();
        if number.trim_end().ends_with(';') { Dials::InParts } else { Dials::Whole }
    }
}

/// How far a call that nobody took has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Unclaimed {
    /// It was taken, or was never offered.
    #[default]
    No,
    /// It waits for somebody until then.
    Waiting(Time),
    /// Its line's policy is in effect.
    Policy,
    /// It is answered to hear a file, which is this operation once it plays.
    Playing(Option<OperationId>),
}

/// A transfer by the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Transferring {
    pub(crate) target: Target,
    /// Whether it may be done by bridging where the network cannot.
    pub(crate) or_bridge: Flexible,
}

/// To whom a call goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Target {
    Address(String),
    Consultation(CallId),
}

/// Whether bridging may take the network's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Flexible {
    NetworkOnly,
    OrBridge,
}

/// A call.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Call {
    /// Digits of the far end that only one of those who listen has told.
    pub(crate) pressed: crate::pressed::Pressed,
    pub(crate) info: CallInfo,
    pub(crate) provider: ProviderId,
    pub(crate) reference: CallRef,
    pub(crate) presence: Presence,
    pub(crate) state: CallState,
    pub(crate) entered: Time,
    pub(crate) entered_wall: u64,
    /// Mostly one, so the room for ten more is of boxes.
    pub(crate) handles: BTreeMap<SessionId, Box<Handle>>,
    pub(crate) stream: Option<Stream>,
    /// The command that answers it, while its provider has not replied.
    pub(crate) answering: Option<CommandId>,
    /// What runs on it.
    pub(crate) operations: BTreeSet<OperationId>,
    pub(crate) trace: Trace,
    /// When its handles are taken back, once it is idle.
    pub(crate) idle_until: Option<Time>,
    pub(crate) control: Control,
    pub(crate) ledger: Ledger,
}

/// Whether sessions can see a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Presence {
    /// Its provider found it, and has not told its state.
    Found,
    /// It was told to those whom it concerns.
    Told,
}

/// What a session has of a call.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Handle {
    pub(crate) privilege: Privilege,
    /// Whether an event already carried the privilege.
    pub(crate) told: bool,
    /// Whether digits are reported.
    pub(crate) digits: bool,
    /// Frequencies whose levels are reported.
    pub(crate) tones: Vec<u32>,
    /// Whether progress is reported.
    pub(crate) progress: bool,
}

impl Handle {
    pub(crate) fn new(privilege: Privilege) -> Handle {
        Handle { privilege, told: false, digits: false, tones: Vec::new(), progress: false }
    }
}

impl Call {
    pub(crate) fn new(
        now: Time,
        wall: u64,
        info: CallInfo,
        (provider, reference): (ProviderId, CallRef),
        presence: Presence,
    ) -> Call {
        Call {
            info,
            provider,
            reference,
            presence,
            state: CallState::Unknown,
            entered: now,
            entered_wall: wall,
            handles: BTreeMap::new(),
            stream: None,
            pressed: crate::pressed::Pressed::default(),
            answering: None,
            operations: BTreeSet::new(),
            trace: Trace::default(),
            idle_until: None,
            control: Control::default(),
            ledger: Ledger::new(wall),
        }
    }

    /// Whether its audio can be used.
    pub(crate) fn audio(&self, digits: DigitsBy) -> Audio {
        let far_end_known = self.stream.as_ref().is_some_and(|stream| stream.remote.is_some());
        features::audio(&self.state, self.stream.is_some(), far_end_known, digits)
    }

    /// Whether more of its number may be dialled.
    pub(crate) fn awaits_digits(&self) -> bool {
        self.state != CallState::Dialing || self.control.dials == Dials::InParts
    }

    /// Sessions with this privilege.
    pub(crate) fn with_privilege(&self, privilege: &Privilege) -> impl Iterator<Item = SessionId> {
        self.handles.iter().filter(move |(_, handle)| handle.privilege == *privilege).map(|(session, _)| *session)
    }

    /// Counts its owners and monitors anew.
    pub(crate) fn recount(&mut self) {
        let count = |privilege| u32::try_from(self.with_privilege(&privilege).count()).unwrap_or(u32::MAX);
        (self.info.owners, self.info.monitors) = (count(Privilege::Owner), count(Privilege::Monitor));
    }

    /// Takes what became known, at this wall clock time in microseconds. Tells what changed.
    pub(crate) fn learn(&mut self, wall: u64, facts: CallFacts) -> Names<InfoKind> {
        let mut changed = Names::new();
        let info = &mut self.info;
        let parties = [
            (facts.caller, &mut info.caller, InfoKind::CallerId),
            (facts.called, &mut info.called, InfoKind::CalledId),
            (facts.connected, &mut info.connected, InfoKind::ConnectedId),
            (facts.redirecting, &mut info.redirecting, InfoKind::RedirectingId),
            (facts.redirection, &mut info.redirection, InfoKind::RedirectionId),
        ];
        for (told, known, kind) in parties {
            if let Some(told) = told.map(tidy).filter(|told| told != known) {
                *known = told;
                changed.insert(kind);
            }
        }
        if facts.network_id.is_some() && facts.network_id != info.network_id {
            info.network_id = facts.network_id;
            changed.insert(InfoKind::NetworkId);
        }
        let told = facts.network_time.map(|time| crate::stamp::with_year(wall, &time));
        if told.is_some() && told != info.network_time {
            info.network_time = told;
            changed.insert(InfoKind::Rest);
        }
        if let Some(origin) = facts.origin.filter(|origin| *origin != info.origin) {
            info.origin = origin;
            changed.insert(InfoKind::Rest);
        }
        if let Some(address) = facts.address.filter(|address| *address != info.address.0) {
            info.address.0 = address;
            changed.insert(InfoKind::Rest);
        }
        if let Some(reason) = facts.reason.filter(|reason| *reason != info.reason) {
            info.reason = reason;
            changed.insert(InfoKind::Rest);
        }
        changed
    }
}

impl Call {
    /// After a crash: what was in the middle of something is not any more, and what leads to a call that is gone leads
    /// nowhere.
    pub(crate) fn recover_control(&mut self, present: &BTreeSet<CallId>) {
        let there = |id: &CallId| present.contains(id);
        let control = &mut self.control;
        (control.setup, control.swap, control.restore) = (None, None, None);
        (control.transfer, control.asked, control.enters) = (None, None, None);
        control.consults = control.consults.filter(there);
        control.joining = control.joining.filter(|(with, _)| there(with));
        control.awaits = control.awaits.filter(there);
        control.tied = control.tied.filter(there);
        control.replaces = control.replaces.filter(there);
        if let Some(conference) = &mut control.conference {
            conference.members.retain(there);
        }
        if let Unclaimed::Playing(_) = control.unclaimed {
            control.unclaimed = Unclaimed::Policy;
        }
        self.info.conference = self.info.conference.filter(there);
    }

    /// Its deadlines, as they stand in it.
    pub(crate) fn timers(&mut self, id: CallId) -> Vec<(Time, Timer)> {
        let ledger = self.ledger.recovered().map(|due| (due, Timer::Ledger(id)));
        let unclaimed = match self.control.unclaimed {
            Unclaimed::Waiting(until) => Some((until, Timer::Unclaimed(id))),
            _ => None,
        };
        ledger.into_iter().chain(unclaimed).collect()
    }
}

/// A party always says how much is known of it.
fn tidy(mut party: Party) -> Party {
    if party.flags.is_empty() {
        party.flags.insert(PartyFlag::Unknown);
    }
    party
}

/// The last that crossed the wire for a call, bounded.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Trace {
    pub(crate) entries: VecDeque<TraceEntry>,
    /// Bytes of text in the entries.
    pub(crate) bytes: usize,
    pub(crate) forgotten: u64,
}

impl Trace {
    /// Most entries.
    const ENTRIES: usize = 64;
    /// Most text, in bytes.
    const BYTES: usize = 24 * 1024;

    pub(crate) fn add(&mut self, mut entry: TraceEntry) {
        // One entry that is larger than all the room keeps its line only.
        if Self::size(&entry) > Self::BYTES {
            entry.text = None;
        }
        if Self::size(&entry) > Self::BYTES {
            self.forgotten += 1;
            return;
        }
        self.bytes += Self::size(&entry);
        self.entries.push_back(entry);
        while self.entries.len() > Self::ENTRIES || self.bytes > Self::BYTES {
            if let Some(oldest) = self.entries.pop_front() {
                self.bytes -= Self::size(&oldest);
                self.forgotten += 1;
            }
        }
    }

    fn size(entry: &TraceEntry) -> usize {
        entry.summary.len() + entry.peer.len() + entry.text.as_ref().map_or(0, String::len)
    }
}

impl Server {
    /// What `session` can do with a call now.
    pub(crate) fn features_of(&self, call: &Call, privilege: &Privilege) -> Names<Feature> {
        let Some(line) = self.lines.by_id.get(&call.info.line) else { return Names::new() };
        let audio = call.audio(line.description.digits);
        match &call.control.conference {
            Some(_) => features::features(&call.state, audio, &features::of_conference(), privilege),
            None => {
                let caps = &line.description.caps.call_features;
                let mut now = features::features(&call.state, audio, caps, privilege);
                now.remove(&Feature::PrepareAddToConference);
                if !call.awaits_digits() {
                    now.remove(&Feature::Dial);
                }
                if call.control.asked.is_none() {
                    now.remove(&Feature::AcceptTransfer);
                    now.remove(&Feature::RejectTransfer);
                }
                now
            }
        }
    }

    /// A call as a session with `privilege` sees it.
    pub(crate) fn view_call(&self, call: &Call, privilege: &Privilege) -> tapi::Call {
        let status = CallStatus {
            state: call.state.clone(),
            entered: call.entered,
            entered_wall: call.entered_wall,
            privilege: privilege.clone(),
            features: self.features_of(call, privilege),
        };
        tapi::Call { info: call.info.clone(), status }
    }

    /// A call's name that is unique in the world.
    pub(crate) fn uid(&self, call: CallId) -> String {
        format!("{}-{:x}-{:x}", self.config.node, self.config.generation.0, call.0)
    }

    /// The line's own number of calls in a state changes by one.
    pub(crate) fn count_call(&mut self, line: LineId, before: Option<&CallState>, after: Option<&CallState>) {
        let Some(line) = self.lines.by_id.get_mut(&line) else { return };
        if let Some(count) = before.and_then(|state| line.counts.of(state)) {
            *count = count.saturating_sub(1);
        }
        if let Some(count) = after.and_then(|state| line.counts.of(state)) {
            *count = count.saturating_add(1);
        }
    }
}
