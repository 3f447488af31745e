//! What becomes of an incoming call: to whom it is offered first, and what is done with it when nobody takes it.

use crate::Server;
use crate::call::{Flexible, Presence, Purpose, Unclaimed, Why};
use crate::consult::Plan;
use crate::media::{Kind, Operation};
use crate::pending::What;
use crate::rights::{Rights, matches};
use crate::server::{Life, Timer};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tapi::{
    AddressId, CallId, DisconnectMode, Error, ErrorCode, Feature, ForwardKind, ForwardRule, IncomingPolicy, LineId,
    MediaMode, Names, OperationId, Privilege, SessionId, Time, TransferWay,
};
use tspi::Action;
use tspi::media::{Command, DescriptorId};

/// How long monitors have to take a call that nobody owns.
const TAKE: Duration = Duration::from_secs(60);

/// Nobody: operations of the server itself belong to this session.
pub(crate) const NOBODY: SessionId = SessionId(0);

/// Who may do what, and what becomes of calls that nobody takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// Who may do what.
    pub rights: Rights,
    /// What becomes of an incoming call that no application takes: the first that fits its line. None: it is turned away.
    pub policies: Vec<LinePolicy>,
    /// Names of applications, the first to be offered a call first, unless `client.set_priority` says otherwise.
    pub priorities: Vec<String>,
    /// The country whose tones are played where none is named: two letters of ISO 3166. Empty: `us`.
    pub country: String,
    /// Whether the media provider has Opus.
    pub opus: bool,
}

/// What becomes of calls that nobody takes, for some lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinePolicy {
    /// Permanent names of lines; `*` stands for any text, `?` for any character.
    pub lines: Vec<String>,
    /// The policy.
    pub policy: IncomingPolicy,
}

/// What was set for a line while the server runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    pub(crate) policy: Option<IncomingPolicy>,
    /// Forwarding that the server does itself.
    pub(crate) rules: Vec<ForwardRule>,
}

impl Server {
    /// The administrator changed who may do what: it counts from the next request on.
    pub fn configure(&mut self, options: Options) {
        self.config.options = options;
    }

    /// What becomes of a call of a line that no application takes.
    pub(crate) fn policy_of(&self, line: &str) -> IncomingPolicy {
        let set = self.standing.get(line).and_then(|standing| standing.policy.clone());
        let configured = || {
            let fits = |policy: &&LinePolicy| policy.lines.iter().any(|glob| matches(glob, line));
            self.config.options.policies.iter().find(fits).map(|policy| policy.policy.clone())
        };
        set.or_else(configured).unwrap_or_default()
    }

    /// An application's place for calls of a medium; those that are not listed come last.
    fn place_of(&self, app: &str, mode: &MediaMode) -> usize {
        let list = self.priorities.get(mode).unwrap_or(&self.config.options.priorities);
        list.iter().position(|listed| listed == app).unwrap_or(usize::MAX)
    }

    /// The session that is offered a call on this line that carries one of these media: by medium, by priority, and by who
    /// opened the line first.
    pub(crate) fn first_owner(
        &self,
        line: LineId,
        modes: &Names<MediaMode>,
        but: Option<SessionId>,
    ) -> Option<SessionId> {
        let line = self.lines.by_id.get(&line)?;
        modes.iter().find_map(|mode| {
            let suits = line.opens.iter().filter(|(session, open)| {
                open.privileges.contains(&Privilege::Owner) && open.media_modes.contains(mode) && Some(**session) != but
            });
            let place = |session: &SessionId| {
                self.sessions.get(session).map_or(usize::MAX, |session| self.place_of(&session.app, mode))
            };
            suits.min_by_key(|(session, open)| (place(session), open.order)).map(|(session, _)| *session)
        })
    }

    /// Presents a call that its provider found: one owner, every monitor. What nobody takes goes the way of its line's
    /// policy.
    pub(crate) fn present(&mut self, now: Time, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.presence = Presence::Told;
        let (line, modes) = (call.info.line, call.info.media_mode.clone());
        let owner = self.first_owner(line, &modes, None);
        let Some(line) = self.lines.by_id.get(&line) else { return };
        let monitors: Vec<SessionId> = line
            .opens
            .iter()
            .filter(|(session, open)| open.privileges.contains(&Privilege::Monitor) && Some(**session) != owner)
            .map(|(session, _)| *session)
            .collect();
        let (name, others) = (line.description.name.clone(), line.counts.active > 1);
        if self.life == Life::Stopping {
            return self.drop_call(now, id, None, None);
        }
        let rules = self.standing.get(&name).map(|standing| standing.rules.clone()).unwrap_or_default();
        let forward = rules.iter().find(|rule| match rule.when {
            ForwardKind::Unconditional => true,
            ForwardKind::Busy => others,
            _ => false,
        });
        let forward = forward.map(|rule| rule.to.clone());
        let owner = owner.filter(|_| forward.is_none());
        let app = owner.and_then(|owner| self.sessions.get(&owner)).map(|session| session.app.clone());
        if let Some(call) = self.calls.get_mut(&id) {
            call.info.app = app;
        }
        if let Some(owner) = owner {
            self.give_handle(owner, id, Privilege::Owner);
        }
        for monitor in &monitors {
            self.give_handle(*monitor, id, Privilege::Monitor);
        }
        let unwatched = owner.is_none() && monitors.is_empty();
        self.emit_new(now, id, Privilege::Owner, owner);
        self.emit_new(now, id, Privilege::Monitor, monitors);
        // The first state is told by who made it known, before anything that follows from it.
        let no_answer = rules.iter().find(|rule| rule.when == ForwardKind::NoAnswer);
        match (forward, no_answer) {
            (Some(to), _) => self.forward(now, id, &to, None, None),
            (None, Some(rule)) => {
                self.wait_for_somebody(now, id, Duration::from_secs(rule.after_s.unwrap_or(20).into()))
            }
            (None, None) if unwatched => self.unclaimed(now, id, &name),
            (None, None) if owner.is_none() => {
                let wait = match self.policy_of(&name) {
                    IncomingPolicy::Ring { timeout_s } => Duration::from_secs(timeout_s.into()),
                    _ => TAKE,
                };
                self.wait_for_somebody(now, id, wait);
            }
            (None, None) => {}
        }
    }

    fn wait_for_somebody(&mut self, now: Time, id: CallId, wait: Duration) {
        let until = now + wait;
        if let Some(call) = self.calls.get_mut(&id) {
            call.control.unclaimed = Unclaimed::Waiting(until);
            self.timers.insert((until, Timer::Unclaimed(id)));
        }
    }

    /// Somebody took the call, or it is over.
    pub(crate) fn claimed(&mut self, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if let Unclaimed::Waiting(until) = std::mem::take(&mut call.control.unclaimed) {
            self.timers.remove(&(until, Timer::Unclaimed(id)));
        }
    }

    /// Nobody answered in time.
    pub(crate) fn unclaimed_expired(&mut self, now: Time, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.control.unclaimed = Unclaimed::No;
        if !call.is_offered() {
            return;
        }
        let (name, owned) = (call.info.line_name.clone(), call.info.owners > 0);
        let rules = self.standing.get(&name).map(|standing| standing.rules.as_slice()).unwrap_or_default();
        let rule = rules.iter().find(|rule| rule.when == ForwardKind::NoAnswer).map(|rule| rule.to.clone());
        match rule {
            Some(to) => self.forward(now, id, &to, None, None),
            None if owned => {}
            None => match self.policy_of(&name) {
                IncomingPolicy::Ring { .. } => self.drop_call(now, id, None, Some(DisconnectMode::NoAnswer)),
                _ => self.unclaimed(now, id, &name),
            },
        }
    }

    /// Nobody takes the call: its line's policy says what becomes of it.
    fn unclaimed(&mut self, now: Time, id: CallId, line: &str) {
        let set = |server: &mut Server, unclaimed| {
            if let Some(call) = server.calls.get_mut(&id) {
                call.control.unclaimed = unclaimed;
            }
        };
        set(self, Unclaimed::Policy);
        match self.policy_of(line) {
            IncomingPolicy::Reject { cause } => self.drop_call(now, id, None, cause),
            IncomingPolicy::Ring { timeout_s } => {
                let call = self.calls.get(&id).map(|call| (call.provider, call.reference, call.info.line));
                if let Some((provider, call, line)) = call.filter(|(_, _, line)| self.line_can(*line, &Feature::Accept))
                {
                    self.command(now, None, (provider, line), What::Plain, Action::Accept { call });
                }
                self.wait_for_somebody(now, id, Duration::from_secs(timeout_s.into()));
            }
            IncomingPolicy::Play { .. } => {
                set(self, Unclaimed::Playing(None));
                if self.answer_call(now, id, None).is_err() {
                    self.drop_call(now, id, None, None);
                }
            }
            IncomingPolicy::Forward { to, line, how } => self.forward(now, id, &to, line, how),
        }
    }

    fn line_can(&self, line: LineId, feature: &Feature) -> bool {
        self.lines.by_id.get(&line).is_some_and(|line| line.description.caps.call_features.contains(feature))
    }

    /// Sends an incoming call elsewhere: by the network where it can, else by a call of our own.
    pub(crate) fn forward(&mut self, now: Time, id: CallId, to: &str, line: Option<String>, how: Option<TransferWay>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.control.unclaimed = Unclaimed::Policy;
        let (provider, own, reference) = (call.provider, call.info.line, call.reference);
        let or_bridge = match how {
            Some(TransferWay::Network) => Flexible::NetworkOnly,
            _ => Flexible::OrBridge,
        };
        if how != Some(TransferWay::Bridge) && self.line_can(own, &Feature::Redirect) {
            let action = Action::Redirect { call: reference, to: to.to_owned() };
            let what = What::Forward { call: id, to: to.to_owned(), line, or_bridge };
            self.command(now, None, (provider, own), what, action);
        } else if or_bridge == Flexible::OrBridge {
            self.forward_by_bridge(now, id, to, line);
        } else {
            self.drop_call(now, id, None, Some(DisconnectMode::Unavail));
        }
    }

    pub(crate) fn forward_taken(
        &mut self,
        now: Time,
        (id, to, line): (CallId, String, Option<String>),
        or_bridge: Flexible,
        error: Option<Error>,
    ) {
        let Some(error) = error else { return };
        if !self.calls.get(&id).is_some_and(crate::call::Call::is_offered) {
            return;
        }
        if error.code == ErrorCode::OperationUnavail && or_bridge == Flexible::OrBridge {
            self.forward_by_bridge(now, id, &to, line);
        } else {
            self.drop_call(now, id, None, Some(DisconnectMode::Unavail));
        }
    }

    fn forward_by_bridge(&mut self, now: Time, id: CallId, to: &str, line: Option<String>) {
        let Some(own) = self.calls.get(&id).map(|call| call.info.line) else { return };
        let line = match line {
            Some(name) => self.lines.by_name.get(&name).copied(),
            None => Some(own),
        };
        let purpose = Purpose::Leg { of: id, why: Why::Forward };
        let placed = line.map(|line| {
            let to = to.to_owned();
            self.place(now, None, Plan { line, to, address: AddressId(0), block_id: false, comment: None, purpose })
        });
        if !matches!(placed, Some(Ok(()))) {
            self.drop_call(now, id, None, Some(DisconnectMode::Unavail));
        }
    }

    /// A call that nobody took was answered for it: its file is wanted.
    pub(crate) fn play_to_unclaimed(&mut self, _now: Time, id: CallId) {
        let Some(call) = self.calls.get(&id) else { return };
        match call.control.unclaimed {
            Unclaimed::Playing(None) => {
                if let IncomingPolicy::Play { file } = self.policy_of(&call.info.line_name) {
                    self.output(crate::Output::OpenMedia { call: id, file });
                }
            }
            Unclaimed::Waiting(_) => self.claimed(id),
            _ => {}
        }
    }

    /// The file of a policy is open, or is not.
    pub(crate) fn media_opened(&mut self, now: Time, id: CallId, descriptor: Result<DescriptorId, String>) {
        let wanted = self.calls.get(&id).filter(|call| call.control.unclaimed == Unclaimed::Playing(None));
        let stream = wanted.and_then(|call| Some((call.provider, call.stream.as_ref()?.id)));
        match (stream, descriptor) {
            (Some((provider, stream)), Ok(descriptor)) => {
                let operation = OperationId(self.fresh_id());
                self.operations.insert(operation, Operation { kind: Kind::Play, call: id, session: NOBODY });
                if let Some(call) = self.calls.get_mut(&id) {
                    call.operations.insert(operation);
                    call.control.unclaimed = Unclaimed::Playing(Some(operation));
                }
                self.media(provider, Command::Play { operation, stream, descriptor, repeat: false });
            }
            (None, Ok(descriptor)) => self.output(crate::Output::Discard { descriptor }),
            (Some(_), Err(_)) => self.hang_up(now, id),
            (None, Err(_)) => {}
        }
    }

    /// The file of a policy was heard: the call is hung up.
    pub(crate) fn played_to_unclaimed(&mut self, now: Time, id: CallId, operation: OperationId) {
        let playing = Unclaimed::Playing(Some(operation));
        if self.calls.get(&id).is_some_and(|call| call.control.unclaimed == playing && call.info.owners == 0) {
            self.hang_up(now, id);
        }
    }
}
