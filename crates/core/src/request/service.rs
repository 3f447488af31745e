//! Requests about a line's services, and about who is offered its calls.

use super::{Answer, Outcome};
use crate::Server;
use crate::pending::{Asker, What};
use tapi::request::{ClientSetPriority, LineDevice, LineForward, LineGetPolicy, LineSetPolicy};
use tapi::{
    DeviceRequest, Error, ErrorCode, ForwardKind, ForwardRule, IncomingPolicy, LineId, LineStateKind, MediaMode, Reply,
    Right, SessionId, Time, TransferWay, reply,
};
use tspi::Action;

/// Rules of forwarding for one line.
const MAX_RULES: usize = 16;

/// Lines that something was set for.
const MAX_STANDING: usize = 4_096;

/// Applications that are listed for one medium, and media that are listed.
const MAX_LISTED: usize = 64;

impl Server {
    pub(super) fn line_forward(&mut self, now: Time, asker: Asker, forward: LineForward) -> Outcome {
        let line = self.opened_line(asker.session, &forward.line)?;
        self.allow(asker.session, line, &Right::Administer)?;
        check_rules(&forward.rules)?;
        let own = self.in_service(line)?;
        let (provider, reference) = (own.provider, own.reference);
        let action = Action::Forward { line: reference, rules: forward.rules.clone() };
        self.command(now, Some(asker), (provider, line), What::Rules { line, rules: forward.rules }, action);
        Ok(Answer::Later)
    }

    /// The network took the rules, or the server keeps them itself.
    pub(crate) fn rules_taken(
        &mut self,
        now: Time,
        asker: Option<Asker>,
        line: LineId,
        rules: Vec<ForwardRule>,
        result: Result<(), Error>,
    ) {
        let how = match result {
            Ok(()) => TransferWay::Network,
            Err(error) if error.code == ErrorCode::OperationUnavail => TransferWay::Bridge,
            Err(error) => return self.answer_done(asker, Some(error)),
        };
        let by_us = how == TransferWay::Bridge;
        if by_us && rules.iter().any(|rule| rule.when == ForwardKind::Unreachable) {
            let why = "only a network knows that a line is out of reach";
            return self.answer_done(asker, Some(ErrorCode::OperationUnavail.because(why)));
        }
        let Some(name) = self.lines.by_id.get(&line).map(|line| line.description.name.clone()) else {
            return self.answer_done(asker, Some(ErrorCode::NoDevice.because(format!("line {line} is gone"))));
        };
        if self.standing.len() >= MAX_STANDING && !self.standing.contains_key(&name) {
            let why = format!("something is set for {MAX_STANDING} lines already");
            return self.answer_done(asker, Some(ErrorCode::NoMem.because(why)));
        }
        if let Some(asker) = asker {
            self.answer(asker, Ok(Reply::Forwarding(reply::Forwarding { how })));
        }
        self.note_standing();
        let standing = self.standing.entry(name).or_default();
        let rules = if by_us { rules } else { Vec::new() };
        if std::mem::replace(&mut standing.rules, rules.clone()) != rules {
            self.emit_line_state(now, line, LineStateKind::Forwarding, None);
        }
    }

    pub(super) fn line_device(&mut self, now: Time, asker: Asker, device: LineDevice) -> Outcome {
        let line = self.opened_line(asker.session, &device.line)?;
        let right = match &device.request {
            DeviceRequest::EnterPin { .. } => Right::Administer,
            DeviceRequest::SendMessage { .. } | DeviceRequest::Ussd { .. } | DeviceRequest::UssdCancel => {
                Right::Originate
            }
        };
        self.allow(asker.session, line, &right)?;
        let too_long = match &device.request {
            DeviceRequest::SendMessage { to, text } => to.len() > super::transfer::MAX_TEXT || text.len() > 4_096,
            DeviceRequest::Ussd { text } => text.len() > 256,
            DeviceRequest::EnterPin { pin } => pin.len() > 16,
            DeviceRequest::UssdCancel => false,
        };
        if too_long {
            return Err(ErrorCode::InvalParam.because("a text of the request is too long"));
        }
        let own = self.lines.by_id.get(&line).map(|line| (line.provider, line.reference));
        let (provider, reference) = own.ok_or_else(|| ErrorCode::NoDevice.because(format!("line {line} is gone")))?;
        let action = Action::Device { line: reference, request: device.request };
        self.command(now, Some(asker), (provider, line), What::Plain, action);
        Ok(Answer::Later)
    }

    pub(super) fn line_set_policy(&mut self, session: SessionId, set: LineSetPolicy) -> Outcome {
        let line = self.seen_line(session, &set.line)?;
        self.allow(session, line, &Right::Administer)?;
        if let Some(policy) = &set.policy {
            check_policy(policy)?;
        }
        let name = self.lines.by_id.get(&line).map(|line| line.description.name.clone()).unwrap_or_default();
        if self.standing.len() >= MAX_STANDING && !self.standing.contains_key(&name) {
            return Err(ErrorCode::NoMem.because(format!("something is set for {MAX_STANDING} lines already")));
        }
        self.standing.entry(name).or_default().policy = set.policy;
        self.note_standing();
        Ok(Answer::DONE)
    }

    pub(super) fn line_get_policy(&self, session: SessionId, get: &LineGetPolicy) -> Outcome {
        let line = self.seen_line(session, &get.line)?;
        let name = self.lines.by_id.get(&line).map_or("", |line| line.description.name.as_str());
        Ok(Answer::Now(Reply::Policy(reply::Policy { policy: self.policy_of(name) })))
    }

    /// Whoever administers some line may say who is asked first.
    pub(super) fn client_set_priority(&mut self, session: SessionId, set: ClientSetPriority) -> Outcome {
        let own = self.sessions.get(&session).map(|session| session.app.clone()).unwrap_or_default();
        let lines: Vec<LineId> = self.lines.by_id.keys().copied().collect();
        if !lines.iter().any(|line| self.permits(session, *line, &Right::Administer)) {
            return Err(ErrorCode::NotRegistered.because("this user administers no line"));
        }
        let mode = set.media_mode.unwrap_or(MediaMode::InteractiveVoice);
        let app = set.app.unwrap_or(own);
        if app.is_empty() || app.len() > 256 || mode.as_str().len() > MAX_LISTED {
            return Err(
                ErrorCode::InvalParam.because("the name of the application or of the medium is empty or too long")
            );
        }
        if self.priorities.len() >= MAX_LISTED && !self.priorities.contains_key(&mode) {
            return Err(ErrorCode::NoMem.because(format!("{MAX_LISTED} media are listed already")));
        }
        let configured = &self.config.options.priorities;
        let list = self.priorities.entry(mode).or_insert_with(|| configured.clone());
        list.retain(|listed| *listed != app);
        if let Some(before) = set.place.checked_sub(1) {
            let at = usize::try_from(before).map_or(list.len(), |before| before.min(list.len()));
            list.insert(at, app);
            list.truncate(MAX_LISTED);
        }
        self.note_standing();
        Ok(Answer::DONE)
    }

    /// What was set must outlive a crash: a number that is used up makes the next checkpoint write it.
    fn note_standing(&mut self) {
        self.fresh_id();
    }

    pub(super) fn client_get_priority(&self) -> Answer {
        let mut priorities = self.priorities.clone();
        let configured = &self.config.options.priorities;
        if !configured.is_empty() {
            priorities.entry(MediaMode::InteractiveVoice).or_insert_with(|| configured.clone());
        }
        Answer::Now(Reply::Priorities(reply::Priorities { priorities }))
    }
}

fn check_rules(rules: &[ForwardRule]) -> Result<(), Error> {
    if rules.len() > MAX_RULES {
        return Err(ErrorCode::InvalParam.because(format!("there are more than {MAX_RULES} rules")));
    }
    for rule in rules {
        super::transfer::check_address(&rule.to)?;
        if rule.to.is_empty() {
            return Err(ErrorCode::InvalAddress.because("a rule forwards to nowhere"));
        }
        if matches!(rule.when, ForwardKind::Other(_)) {
            return Err(ErrorCode::InvalParam.because(format!("there is no rule for {}", rule.when)));
        }
        if rule.after_s.is_some_and(|seconds| !(1..=600).contains(&seconds)) {
            return Err(ErrorCode::InvalTimeout.because("after_s is not between 1 and 600"));
        }
    }
    Ok(())
}

fn check_policy(policy: &IncomingPolicy) -> Result<(), Error> {
    match policy {
        IncomingPolicy::Ring { timeout_s } if !(1..=600).contains(timeout_s) => {
            Err(ErrorCode::InvalTimeout.because("timeout_s is not between 1 and 600"))
        }
        IncomingPolicy::Play { file } if file.is_empty() || file.len() > 1_024 => {
            Err(ErrorCode::InvalParam.because("the name of the file is empty or too long"))
        }
        IncomingPolicy::Forward { to, .. } if to.is_empty() => {
            Err(ErrorCode::InvalAddress.because("the policy forwards to nowhere"))
        }
        IncomingPolicy::Forward { to, .. } => super::transfer::check_address(to),
        _ => Ok(()),
    }
}
