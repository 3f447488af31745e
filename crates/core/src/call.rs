//! A call: its facts, its state, who has a handle on it, and its trace.

use crate::features::{self, Audio};
use crate::media::Stream;
use crate::{ProviderId, Server};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tapi::{
    CallId, CallInfo, CallState, CallStatus, Feature, InfoKind, LineId, Names, OperationId, Party, PartyFlag,
    Privilege, SessionId, Time, TraceEntry,
};
use tspi::{CallFacts, CallRef, CommandId, DigitsBy};

/// A call that was asked for, until its provider took it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Draft {
    pub(crate) info: CallInfo,
    pub(crate) stream: Option<Stream>,
}

/// A call.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Call {
    pub(crate) info: CallInfo,
    pub(crate) provider: ProviderId,
    pub(crate) reference: CallRef,
    pub(crate) presence: Presence,
    pub(crate) state: CallState,
    pub(crate) entered: Time,
    pub(crate) entered_wall: u64,
    pub(crate) handles: BTreeMap<SessionId, Handle>,
    pub(crate) stream: Option<Stream>,
    /// The command that answers it, while its provider has not replied.
    pub(crate) answering: Option<CommandId>,
    /// What runs on it.
    pub(crate) operations: BTreeSet<OperationId>,
    pub(crate) trace: Trace,
    /// When its handles are taken back, once it is idle.
    pub(crate) idle_until: Option<Time>,
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
}

impl Handle {
    pub(crate) fn new(privilege: Privilege) -> Handle {
        Handle { privilege, told: false, digits: false, tones: Vec::new() }
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
            answering: None,
            operations: BTreeSet::new(),
            trace: Trace::default(),
            idle_until: None,
        }
    }

    /// Whether its audio can be used.
    pub(crate) fn audio(&self, digits: DigitsBy) -> Audio {
        let far_end_known = self.stream.as_ref().is_some_and(|stream| stream.remote.is_some());
        features::audio(&self.state, self.stream.is_some(), far_end_known, digits)
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

    /// Takes what became known. Tells what changed.
    pub(crate) fn learn(&mut self, facts: CallFacts) -> Names<InfoKind> {
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
        features::features(&call.state, audio, &line.description.caps.call_features, privilege)
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
