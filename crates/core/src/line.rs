//! Lines: they come and go, are in or out of service, and are open to sessions.

use crate::call::Call;
use crate::features;
use crate::table::Table;
use crate::{ProviderId, Server};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use tapi::{
    CallId, CallState, Cause, DisconnectMode, Error, ErrorCode, EventBody, ForwardRule, LineFeature, LineId,
    LineSelector, LineStateKind, LineStatus, MediaMode, Names, Privilege, Right, Ring, Service, SessionId, Time,
};
use tspi::{Action, CommandId, LineChange, LineDescription, LineRef};

/// Lines that are remembered after they are gone, to tell "gone" from "never was".
const MAX_REMOVED: usize = 4_096;

/// Rules of forwarding that are kept of a network.
const MAX_FORWARDING: usize = 64;

/// All lines, and those that were.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Lines {
    pub(crate) by_id: Table<LineId, Line>,
    pub(crate) by_name: BTreeMap<String, LineId>,
    pub(crate) removed: BTreeMap<LineId, Removed>,
    /// Counts `line.open`s: who was first.
    pub(crate) opens: u64,
}

/// A line that is gone.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Removed {
    pub(crate) name: String,
    pub(crate) provider: ProviderId,
}

/// A line.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) id: LineId,
    pub(crate) provider: ProviderId,
    pub(crate) reference: LineRef,
    /// With the media provider's share of the capabilities.
    pub(crate) description: LineDescription,
    pub(crate) signal: Option<u8>,
    pub(crate) operator: Option<String>,
    pub(crate) message_waiting: Option<bool>,
    /// As the network told.
    pub(crate) forwarding: Vec<ForwardRule>,
    /// What can be done with it now, where its provider said that not all can.
    #[serde(default)]
    pub(crate) able: Option<Names<LineFeature>>,
    pub(crate) opens: BTreeMap<SessionId, Open>,
    pub(crate) calls: BTreeSet<CallId>,
    pub(crate) counts: Counts,
}

/// How many calls a line has, by what they take of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// Asked for, and not taken by the provider yet.
    pub(crate) making: u32,
    pub(crate) active: u32,
    pub(crate) held: u32,
    pub(crate) disconnected: u32,
}

impl Counts {
    /// The count that a call in `state` belongs to.
    pub(crate) fn of(&mut self, state: &CallState) -> Option<&mut u32> {
        match state {
            CallState::Idle => None,
            CallState::OnHold | CallState::OnHoldPendConf | CallState::OnHoldPendTransfer => Some(&mut self.held),
            CallState::Disconnected(_) => Some(&mut self.disconnected),
            _ => Some(&mut self.active),
        }
    }

    /// Calls that the network still has.
    pub(crate) fn in_use(self) -> u32 {
        self.making.saturating_add(self.active).saturating_add(self.held)
    }
}

/// How a session opened a line.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Open {
    /// Its place among all `line.open`s.
    pub(crate) order: u64,
    pub(crate) privileges: Names<Privilege>,
    pub(crate) media_modes: Names<MediaMode>,
    /// The changes it wants to be told.
    pub(crate) states: Names<LineStateKind>,
}

impl Line {
    /// Whether a call can be placed now, as far as the server can tell.
    pub(crate) fn can_make(&self) -> bool {
        self.description.service.is_in() && self.counts.in_use() < self.description.caps.max_calls
    }

    /// What can be done with it now, as far as the server and the provider can tell.
    fn features(&self) -> Names<LineFeature> {
        let able = |feature: &LineFeature| self.able.as_ref().is_none_or(|able| able.contains(feature));
        self.can_make().then_some(LineFeature::MakeCall).into_iter().filter(able).collect()
    }

    fn status(&self) -> LineStatus {
        LineStatus {
            service: self.description.service.clone(),
            opens: u32::try_from(self.opens.len()).unwrap_or(u32::MAX),
            active_calls: self.counts.active.saturating_add(self.counts.disconnected),
            held_calls: self.counts.held,
            features: self.features(),
            signal: self.signal,
            operator: self.operator.clone(),
            message_waiting: self.message_waiting,
            forwarding: self.forwarding.clone(),
        }
    }
}

impl Server {
    /// A line's status, with the forwarding that the server does itself.
    fn status_of(&self, line: &Line) -> LineStatus {
        let mut status = line.status();
        if let Some(standing) = self.standing.get(&line.description.name) {
            status.forwarding.extend(standing.rules.iter().cloned());
        }
        status
    }

    /// A line as clients see it.
    pub(crate) fn view_line(&self, line: &Line) -> tapi::Line {
        let provider = self.providers.get(&line.provider).map(|provider| provider.name.clone()).unwrap_or_default();
        tapi::Line {
            line: line.id,
            name: line.description.name.clone(),
            provider,
            description: line.description.description.clone(),
            addresses: line.description.addresses.clone(),
            caps: line.description.caps.clone(),
            status: self.status_of(line),
            rights: Names::new(),
        }
    }

    /// Every line's permanent name, and whether it can be used.
    pub fn lines(&self) -> impl Iterator<Item = (&str, &tapi::Service)> {
        self.lines.by_id.values().map(|line| (line.description.name.as_str(), &line.description.service))
    }

    /// Finds a line, or tells why it is not there.
    pub(crate) fn select_line(&self, selector: &LineSelector) -> Result<LineId, Error> {
        let removed = match selector {
            LineSelector::Id(id) if self.lines.by_id.contains_key(id) => return Ok(*id),
            LineSelector::Id(id) => self.lines.removed.get(id),
            LineSelector::Name(name) => match self.lines.by_name.get(name) {
                Some(id) => return Ok(*id),
                None => self.lines.removed.values().rfind(|removed| removed.name == *name),
            },
        };
        let named = match selector {
            LineSelector::Id(id) => format!("line {id}"),
            LineSelector::Name(name) => format!("line {name}"),
        };
        Err(match removed {
            None => ErrorCode::BadDeviceId.because(format!("there is no {named}")),
            Some(removed) if self.providers.contains_key(&removed.provider) => {
                ErrorCode::NoDevice.because(format!("{named} was removed"))
            }
            Some(_) => ErrorCode::NoDriver.because(format!("the provider of {named} is not running")),
        })
    }

    /// A provider has a line. When it told so before, what it tells now replaces it.
    pub(crate) fn line_added(
        &mut self,
        now: Time,
        provider: ProviderId,
        reference: LineRef,
        mut description: LineDescription,
    ) {
        features::add_media(&mut description.caps, description.media, description.digits);
        let Some(known) = self.providers.get(&provider) else { return };
        if let Some(id) = known.lines.get(&reference).copied() {
            return self.line_told_again(now, id, description);
        }
        let id = LineId(self.fresh_id());
        if let Some(provider) = self.providers.get_mut(&provider) {
            provider.lines.insert(reference, id);
        }
        self.lines.by_name.entry(description.name.clone()).or_insert(id);
        let line = Line {
            id,
            provider,
            reference,
            description,
            signal: None,
            operator: None,
            message_waiting: None,
            forwarding: Vec::new(),
            able: None,
            opens: BTreeMap::new(),
            calls: BTreeSet::new(),
            counts: Counts::default(),
        };
        let view = Box::new(self.view_line(&line));
        self.lines.by_id.insert(id, line);
        self.emit_line_added(now, view);
    }

    /// Tells of a line: each who may see it, with its rights there.
    fn emit_line_added(&mut self, now: Time, line: Box<tapi::Line>) {
        let mut groups: BTreeMap<Names<Right>, Vec<SessionId>> = BTreeMap::new();
        for session in self.who_see(line.line, &line.name) {
            let known = self.sessions.get(&session);
            let rights = known.map(|known| known.rights(&self.config.options.rights, line.line, &line.name));
            let rights = rights.unwrap_or_default();
            groups.entry(rights).or_default().push(session);
        }
        for (rights, audience) in groups {
            let line = Box::new(tapi::Line { rights, ..tapi::Line::clone(&line) });
            self.emit(now, EventBody::LineAdded { line }, audience);
        }
    }

    fn line_told_again(&mut self, now: Time, id: LineId, mut description: LineDescription) {
        let Some(line) = self.lines.by_id.get_mut(&id) else { return };
        // The permanent name stays what it was: clients and the index know the line by it.
        description.name.clone_from(&line.description.name);
        let service = std::mem::replace(&mut description.service, line.description.service.clone());
        let caps_changed = line.description.caps != description.caps;
        line.description = description;
        // Its provider began anew: what it said could not be done then is told again, or can.
        let features = line.features();
        line.able = None;
        let able_changed = line.features() != features;
        if caps_changed {
            self.emit_line_state(now, id, LineStateKind::CapsChange, None);
        }
        if able_changed {
            self.emit_line_state(now, id, LineStateKind::Features, None);
        }
        self.line_changed(now, id, LineChange::Service(service));
    }

    /// Something about a line changed.
    pub(crate) fn line_changed(&mut self, now: Time, id: LineId, change: LineChange) {
        let Some(line) = self.lines.by_id.get_mut(&id) else { return };
        let kind = match change {
            LineChange::Service(service) => {
                let kind = if service.is_in() { LineStateKind::InService } else { LineStateKind::OutOfService };
                let before = std::mem::replace(&mut line.description.service, service);
                (before != line.description.service).then_some(kind)
            }
            LineChange::Signal(percent) => {
                let percent = Some(percent.min(100));
                (std::mem::replace(&mut line.signal, percent) != percent).then_some(LineStateKind::Signal)
            }
            LineChange::Operator(operator) => {
                // TAPI has no kind for it; who watches the signal sees the operator too.
                let before = line.operator.replace(operator);
                (before != line.operator).then_some(LineStateKind::Signal)
            }
            LineChange::MessageWaiting(waits) => {
                (line.message_waiting.replace(waits) != Some(waits)).then_some(LineStateKind::MessageWaiting)
            }
            LineChange::Caps(mut caps) => {
                features::add_media(&mut caps, line.description.media, line.description.digits);
                let before = std::mem::replace(&mut line.description.caps, *caps);
                (before != line.description.caps).then_some(LineStateKind::CapsChange)
            }
            LineChange::Addresses(addresses) => {
                let before = std::mem::replace(&mut line.description.addresses, addresses);
                (before != line.description.addresses).then_some(LineStateKind::Addresses)
            }
            LineChange::Features(able) => {
                let before = line.features();
                line.able = Some(able);
                (line.features() != before).then_some(LineStateKind::Features)
            }
            LineChange::Forwarding(mut rules) => {
                rules.truncate(MAX_FORWARDING);
                (std::mem::replace(&mut line.forwarding, rules.clone()) != rules).then_some(LineStateKind::Forwarding)
            }
        };
        if let Some(kind) = kind {
            self.emit_line_state(now, id, kind, None);
        }
    }

    /// Tells a change of a line to those who asked for its kind.
    pub(crate) fn emit_line_state(&mut self, now: Time, id: LineId, change: LineStateKind, ring: Option<Ring>) {
        let Some(line) = self.lines.by_id.get(&id) else { return };
        let audience: Vec<SessionId> =
            line.opens.iter().filter(|(_, open)| open.states.contains(&change)).map(|(session, _)| *session).collect();
        if !audience.is_empty() {
            let status = self.status_of(line);
            self.emit(now, EventBody::LineState { line: id, change, ring, status }, audience);
        }
    }

    /// A line is gone for good. Its requests are answered; its calls are disconnected, then void with the line.
    pub(crate) fn remove_line(&mut self, now: Time, id: LineId, reason: &str) {
        let Some(line) = self.lines.by_id.get(&id) else { return };
        let (provider, calls) = (line.provider, line.calls.clone());
        let commands: Vec<CommandId> =
            self.pending.iter().filter(|(_, pending)| pending.line == id).map(|(command, _)| *command).collect();
        for command in commands {
            let error = ErrorCode::Disconnected.because(format!("line {id} went away: {reason}"));
            self.fail_command(now, command, error);
        }
        for call in calls {
            self.void_call(now, call, reason);
        }
        let Some(line) = self.lines.by_id.remove(&id) else { return };
        self.past.forget(id);
        let opens: Vec<SessionId> = line.opens.keys().copied().collect();
        for session in &opens {
            if let Some(session) = self.sessions.get_mut(session) {
                session.lines.remove(&id);
            }
        }
        if let Some(provider) = self.providers.get_mut(&provider) {
            provider.lines.remove(&line.reference);
        }
        let see = self.who_see(id, &line.description.name);
        self.forget_name(id, line.description.name, provider);
        self.emit(now, EventBody::LineClosed { line: id, reason: reason.to_owned() }, opens);
        self.emit(now, EventBody::LineRemoved { line: id, reason: reason.to_owned() }, see);
    }

    fn forget_name(&mut self, id: LineId, name: String, provider: ProviderId) {
        if self.lines.by_name.get(&name) == Some(&id) {
            self.lines.by_name.remove(&name);
            // Another provider may have a line of the same name: it is found by it from now on.
            let same = self.lines.by_id.values().find(|line| line.description.name == name);
            if let Some(same) = same.map(|line| line.id) {
                self.lines.by_name.insert(name.clone(), same);
            }
        }
        self.lines.removed.insert(id, Removed { name, provider });
        if self.lines.removed.len() > MAX_REMOVED {
            self.lines.removed.pop_first();
        }
    }

    /// A call of a line that goes away.
    fn void_call(&mut self, now: Time, id: CallId, reason: &str) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if !call.state.is_over() {
            call.info.cause = Some(Cause::new(DisconnectMode::Unavail).with_text(reason));
            self.change_state(now, id, CallState::Disconnected(DisconnectMode::Unavail));
        }
        let Some(call) = self.calls.get(&id) else { return };
        let (provider, reference) = (call.provider, call.reference);
        self.remove_call(id);
        self.notify(provider, Action::CloseCall { call: reference });
    }

    /// A session closes a line: its handles there end, and calls that it alone owned are dropped.
    pub(crate) fn close_line_of(&mut self, now: Time, session: SessionId, id: LineId) {
        let Some(own) = self.sessions.get_mut(&session) else { return };
        own.lines.remove(&id);
        let calls: Vec<CallId> = own.calls.iter().copied().collect();
        let ownerless = self.ownerless_on(id);
        for call in calls {
            if self.calls.get(&call).is_some_and(|call| call.info.line == id) {
                self.abandon(now, session, call);
            }
        }
        let Some(line) = self.lines.by_id.get_mut(&id) else { return };
        let closed = line.opens.remove(&session).is_some();
        let last = closed && line.opens.is_empty();
        if closed {
            self.emit_line_state(now, id, LineStateKind::Close, None);
        }
        if last {
            // Nobody is left who could end them.
            for call in ownerless {
                self.drop_call(now, call, None, None);
            }
        }
    }

    /// The calls of a line that go on without an owner.
    fn ownerless_on(&self, id: LineId) -> Vec<CallId> {
        let on_line = self.lines.by_id.get(&id).into_iter().flat_map(|line| &line.calls).copied();
        // A transfer or a forwarding by bridging goes on by itself, as one by the network would.
        let by_itself = |call: &Call| {
            let control = &call.control;
            control.tied.is_some() || control.joining.is_some() || control.awaits.is_some()
        };
        let goes_on = |call: &Call| call.info.owners == 0 && !call.state.is_over() && !by_itself(call);
        on_line.filter(|call| self.calls.get(call).is_some_and(goes_on)).collect()
    }

    /// Places that a service state leaves for a call: an error when the line cannot be used.
    pub(crate) fn in_service(&self, id: LineId) -> Result<&Line, Error> {
        let line =
            self.lines.by_id.get(&id).ok_or_else(|| ErrorCode::NoDevice.because(format!("line {id} is gone")))?;
        match &line.description.service {
            Service::In => Ok(line),
            Service::Out { reason } => {
                let name = &line.description.name;
                Err(ErrorCode::InvalLineState.because(format!("line {name} is out of service: {reason}")))
            }
        }
    }
}
