//! What providers tell, and what becomes of what they have when they die.

use crate::call::{Call, Presence};
use crate::{ProviderId, Server};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use tapi::{
    AddressId, BearerMode, CallId, CallInfo, CallOrigin, CallReason, End, EventBody, LineId, LineStateKind, MediaMode,
    Names, Party, Ring, SessionId, Time, TraceEntry,
};
use tspi::{CallFacts, CallRef, Event, LineRef, Traced};

/// Events kept for calls that are not known yet.
const MAX_EARLY: usize = 256;

/// A running provider.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Provider {
    pub(crate) name: String,
    pub(crate) lines: BTreeMap<LineRef, LineId>,
    pub(crate) calls: BTreeMap<CallRef, CallId>,
    /// Calls asked for that it has not answered.
    pub(crate) making: u32,
    /// What it told of calls that are not known: kept until the reply that names the call.
    pub(crate) early: VecDeque<(CallRef, Event)>,
}

impl Server {
    /// A provider runs. One that the server knows already came back with its state: it keeps its lines.
    pub(crate) fn provider_started(&mut self, id: ProviderId, name: String) {
        let new = || Provider {
            name: String::new(),
            lines: BTreeMap::new(),
            calls: BTreeMap::new(),
            making: 0,
            early: VecDeque::new(),
        };
        self.providers.entry(id).or_insert_with(new).name = name;
    }

    pub(crate) fn provider_stopped(&mut self, now: Time, id: ProviderId, reason: &str) {
        let Some(provider) = self.providers.get(&id) else { return };
        let lines: Vec<LineId> = provider.lines.values().copied().collect();
        for line in lines {
            self.remove_line(now, line, reason);
        }
        self.providers.remove(&id);
        self.outputs.retain(|output| !is_command_for(output, id));
    }

    pub(crate) fn provider_event(&mut self, now: Time, id: ProviderId, event: Event) {
        let Some(provider) = self.providers.get(&id) else {
            self.unexpected += 1;
            return;
        };
        match event {
            Event::Reply { id: command, result } => self.completed(now, id, command, result),
            Event::LineAdded { line, description } => self.line_added(now, id, line, *description),
            Event::NewCall { line, call, facts } => self.new_call(now, id, line, call, *facts),
            Event::LineRemoved { line, .. }
            | Event::LineChanged { line, .. }
            | Event::Device { line, .. }
            | Event::Ringing { line, .. } => match provider.lines.get(&line).copied() {
                Some(line) => self.line_event(now, line, event),
                None => self.unexpected += 1,
            },
            Event::Trace { line, call: None, entry } => {
                if let Some(line) = provider.lines.get(&line).copied() {
                    let wall = self.wall(now);
                    self.past.add(line, traced(now, wall, *entry));
                }
            }
            Event::Trace { call: Some(call), .. }
            | Event::Call { call, .. }
            | Event::CallInfo { call, .. }
            | Event::Media { call, .. }
            | Event::TransferRequested { call, .. }
            | Event::Digit { call, .. }
            | Event::Listen { call, .. }
            | Event::DigitsSent { call, .. } => match provider.calls.get(&call).copied() {
                Some(known) => self.call_event(now, known, event),
                None => self.unknown_call_event(now, id, call, event),
            },
        }
    }

    fn line_event(&mut self, now: Time, line: LineId, event: Event) {
        match event {
            Event::LineRemoved { reason, .. } => self.remove_line(now, line, &reason),
            Event::LineChanged { change, .. } => self.line_changed(now, line, change),
            Event::Ringing { count, pattern, .. } => {
                self.emit_line_state(now, line, LineStateKind::Ringing, Some(Ring { count, pattern }));
            }
            Event::Device { event, .. } => {
                let opens = self.lines.by_id.get(&line).into_iter().flat_map(|line| &line.opens);
                let watch = opens.filter(|(_, open)| !open.privileges.is_empty());
                let audience: Vec<SessionId> = watch.map(|(session, _)| *session).collect();
                self.emit(now, EventBody::LineDevice { line, event: *event }, audience);
            }
            _ => {}
        }
    }

    fn call_event(&mut self, now: Time, id: CallId, event: Event) {
        match event {
            Event::Call { report, .. } => self.report(now, id, report),
            Event::CallInfo { facts, .. } => {
                let wall = self.wall(now);
                if let Some(changed) = self.calls.get_mut(&id).map(|call| call.learn(wall, *facts)) {
                    self.emit_info(now, id, changed, None);
                }
            }
            Event::TransferRequested { request, .. } => self.transfer_requested(now, id, *request),
            Event::Listen { on, .. } => {
                if let Some(call) = self.calls.get_mut(&id) {
                    call.control.listens = on;
                }
                self.detect(id);
            }
            Event::Media { remote, .. } => self.remote_media(now, id, remote),
            Event::Digit { digit, duration_ms, .. } => {
                self.digit_heard(now, id, crate::pressed::Listener::Provider, digit, duration_ms);
            }
            Event::DigitsSent { operation, complete, .. } => {
                let of_this_call = self.operations.get(&operation).is_some_and(|operation| operation.call == id);
                if of_this_call && self.is_provider_digits(operation) {
                    let end = if complete { End::Done } else { End::Failed };
                    self.operation_ended(now, operation, end, 0);
                }
            }
            Event::Trace { entry, .. } => {
                let wall = self.wall(now);
                if let Some(call) = self.calls.get_mut(&id) {
                    call.trace.add(traced(now, wall, *entry));
                }
            }
            _ => {}
        }
    }

    /// An event about a call that is not known: the last messages of one that is over, or news of one that is to come.
    fn unknown_call_event(&mut self, now: Time, id: ProviderId, call: CallRef, event: Event) {
        match event {
            Event::Trace { entry, .. } if self.past.expects(now, (id, call)) => {
                let wall = self.wall(now);
                self.past.add_late((id, call), traced(now, wall, *entry));
            }
            event => self.keep_early(id, call, event),
        }
    }

    /// An event about a call that is not known: it may be one whose reply is still to come, or the first message of
    /// one that is about to be told.
    fn keep_early(&mut self, id: ProviderId, call: CallRef, event: Event) {
        let Some(provider) = self.providers.get_mut(&id) else { return };
        if provider.making == 0 && !matches!(event, Event::Trace { .. }) {
            self.unexpected += 1;
            return;
        }
        if provider.early.len() >= MAX_EARLY {
            provider.early.pop_front();
            self.unexpected += 1;
        }
        provider.early.push_back((call, event));
    }

    /// A call became known: now what was told of it before counts.
    pub(crate) fn take_early(&mut self, now: Time, id: ProviderId, call: CallRef) {
        let Some(provider) = self.providers.get_mut(&id) else { return };
        let early = std::mem::take(&mut provider.early);
        let (own, others) = early.into_iter().partition(|(of, _)| *of == call);
        provider.early = others;
        let own: VecDeque<(CallRef, Event)> = own;
        for (_, event) in own {
            self.provider_event(now, id, event);
        }
        self.forget_early(id);
    }

    /// Without a call that is being made, nothing but traces can precede a call.
    pub(crate) fn forget_early(&mut self, id: ProviderId) {
        if let Some(provider) = self.providers.get_mut(&id).filter(|provider| provider.making == 0) {
            provider.early.retain(|(_, event)| matches!(event, Event::Trace { .. }));
        }
    }

    /// A provider found a call. It is presented with its first state.
    fn new_call(&mut self, now: Time, provider: ProviderId, line: LineRef, reference: CallRef, facts: CallFacts) {
        let known = self.providers.get(&provider);
        let line = known.and_then(|known| known.lines.get(&line)).and_then(|line| self.lines.by_id.get(line));
        let twice = known.is_some_and(|known| known.calls.contains_key(&reference));
        let Some(line) = line.filter(|_| !twice) else {
            self.unexpected += 1;
            return;
        };
        let mut info = blank(line.id, line.description.name.clone());
        info.media_mode = Names::from([media_mode(&line.description.caps.media_modes)]);
        info.origin = CallOrigin::Inbound;
        let replaces = facts.replaces.and_then(|old| known.and_then(|known| known.calls.get(&old)).copied());
        info.call = CallId(self.fresh_id());
        info.uid = self.uid(info.call);
        info.conversation.clone_from(&info.uid);
        let id = info.call;
        let mut call = Call::new(now, self.wall(now), info, (provider, reference), Presence::Found);
        call.learn(self.wall(now), facts);
        let line = call.info.line;
        self.insert_call(call);
        self.emit_line_state(now, line, LineStateKind::NumCalls, None);
        if let Some(old) = replaces.filter(|old| self.calls.get(old).is_some_and(|old| !old.state.is_over())) {
            self.replaces(now, old, id);
        }
        self.take_early(now, provider, reference);
    }
}

/// Information of a call of which nothing is known but its line.
pub(crate) fn blank(line: LineId, line_name: String) -> CallInfo {
    CallInfo {
        call: CallId(0),
        uid: String::new(),
        line,
        line_name,
        address: AddressId(0),
        origin: CallOrigin::Unknown,
        reason: CallReason::Direct,
        bearer: BearerMode::Voice,
        media_mode: Names::new(),
        caller: Party::unknown(),
        called: Party::unknown(),
        connected: Party::unknown(),
        redirection: Party::unavailable(),
        redirecting: Party::unavailable(),
        network_id: None,
        network_time: None,
        related: None,
        conversation: String::new(),
        conference: None,
        bridged: None,
        app: None,
        comment: None,
        app_data: None,
        answered_by: None,
        cause: None,
        media: None,
        owners: 0,
        monitors: 0,
    }
}

/// What a call on a line with these media modes carries, as long as nobody looked closer: voice where there is any.
pub(crate) fn media_mode(caps: &Names<MediaMode>) -> MediaMode {
    if caps.is_empty() || caps.contains(&MediaMode::InteractiveVoice) {
        return MediaMode::InteractiveVoice;
    }
    caps.first().cloned().unwrap_or(MediaMode::Unknown)
}

fn traced(now: Time, wall: u64, entry: Traced) -> TraceEntry {
    let Traced { sent, peer, summary, text } = entry;
    TraceEntry { time: now, wall, sent, peer, summary, text }
}

fn is_command_for(output: &crate::Output, id: ProviderId) -> bool {
    matches!(output, crate::Output::Command { provider, .. } if *provider == id)
}
