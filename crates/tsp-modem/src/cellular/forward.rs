//! Forwarding by the network (`+CCFC`, 27.007 7.11): set, then read back, so that what is told is what the network does.

use super::*;
use crate::analogue::words;
use crate::clcc::dialable;
use crate::dial;
use crate::response::fields;
use std::collections::VecDeque;
use tapi::{ErrorCode, ForwardKind, ForwardRule};
use tspi::LineChange;

/// An operation of the network: up to a minute.
const WAIT_MS: u32 = 60_000;
/// Reasons of `+CCFC` that are read: unconditional, busy, no reply, not reachable.
const REASONS: u8 = 4;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    #[default]
    Idle,
    /// Commands go out one by one; the first fault ends it.
    Setting { id: CommandId, left: VecDeque<String>, fault: Option<String> },
    /// The reasons are read one by one.
    Reading { reason: u8, rules: Vec<ForwardRule> },
}

/// Forwarding.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Forwarding {
    state: State,
}

impl Forwarding {
    pub(super) fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// Sets these rules and no others.
    pub(super) fn set(&mut self, context: &mut Context<'_>, id: CommandId, rules: &[ForwardRule]) {
        let Some(command) = cell_of(context).forward.clone() else {
            return context.out.refuse(id, ErrorCode::OperationUnavail, "the network forwards no calls of this line");
        };
        if !self.is_idle() {
            return context.out.refuse(id, ErrorCode::ResourceUnavail, "forwarding is being set");
        }
        // Whatever stood before is erased: all forwarding at once (reason 4).
        let mut left = VecDeque::from([format!("{command}=4,4")]);
        for rule in rules {
            match step(context, &command, rule) {
                Ok(step) => left.push_back(step),
                Err(refusal) => return context.out.reply(id, Err(refusal)),
            }
        }
        self.state = State::Setting { id, left, fault: None };
        self.next(context);
    }

    fn next(&mut self, context: &mut Context<'_>) {
        match &mut self.state {
            State::Idle => {}
            State::Setting { id, left, fault } => {
                if let (Some(step), None) = (left.pop_front(), &fault) {
                    context.ask(Ask::new(step, Purpose::Forward, WAIT_MS));
                    return;
                }
                match fault.take() {
                    None => context.out.done(*id),
                    Some(fault) => context.out.refuse(*id, ErrorCode::OperationFailed, fault),
                }
                self.state = State::Reading { reason: 0, rules: Vec::new() };
                self.next(context);
            }
            State::Reading { reason, rules } if *reason >= REASONS => {
                let change = LineChange::Forwarding(std::mem::take(rules));
                context.out.event(Event::LineChanged { line: LINE, change });
                self.state = State::Idle;
            }
            State::Reading { reason, .. } => {
                let command = cell_of(context).forward.clone().unwrap_or_default();
                let text = format!("{command}={reason},2");
                context.ask(Ask::new(text, Purpose::ForwardRead, WAIT_MS).expects("+CCFC:"));
            }
        }
    }

    pub(super) fn done(&mut self, context: &mut Context<'_>, text: &str, lines: &[String], outcome: &Outcome) {
        let good = matches!(outcome, Outcome::Final(result) if result.is_ok());
        match &mut self.state {
            State::Idle => return,
            State::Setting { left, fault, .. } => {
                // Some networks refuse to erase what is not there: what is set afterwards decides.
                let erasing = text.ends_with("=4,4") && !left.is_empty();
                if !good && !erasing {
                    *fault = Some(format!("{text}: {}", words(outcome)));
                }
            }
            State::Reading { reason, rules } => {
                rules.extend(lines.iter().filter_map(|line| rule(*reason, line)));
                *reason += 1;
            }
        }
        self.next(context);
    }

    pub(super) fn fail(&mut self) {
        self.state = State::Idle;
    }
}

/// Registers a rule, which also activates it (mode 3), for voice (class 1).
fn step(context: &Context<'_>, command: &str, rule: &ForwardRule) -> Result<String, tspi::Refusal> {
    let number = dial::scan(&rule.to, context.profile, context.office, false)?.number;
    let kind = if number.starts_with('+') { 145 } else { 129 };
    let reason = match rule.when {
        ForwardKind::Unconditional => 0,
        ForwardKind::Busy => 1,
        ForwardKind::NoAnswer => 2,
        ForwardKind::Unreachable => 3,
        ForwardKind::Other(_) => {
            let text = format!("the network knows no forwarding {}", rule.when);
            return Err(tspi::Refusal::new(ErrorCode::InvalParam, text));
        }
    };
    // The network counts in steps of 5 s, 5 to 30 (TS 22.082).
    let after = rule.after_s.filter(|_| reason == 2).map(|after| after.div_ceil(5).clamp(1, 6) * 5);
    let after = after.map_or(String::new(), |after| format!(",,,{after}"));
    Ok(format!("{command}={reason},3,\"{number}\",{kind},1{after}"))
}

/// `+CCFC: <status>,<class>[,<number>,<type>[,<subaddr>,<satype>[,<time>]]]`: an active rule for voice.
fn rule(reason: u8, line: &str) -> Option<ForwardRule> {
    let fields = fields(after(line, "+CCFC:")?);
    let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u32>().ok());
    let voice = number(1).is_none_or(|class| class & 1 == 1);
    (number(0) == Some(1) && voice).then_some(())?;
    let to = dialable(fields.get(2)?, number(3).and_then(|kind| u8::try_from(kind).ok()))?;
    let when = match reason {
        0 => ForwardKind::Unconditional,
        1 => ForwardKind::Busy,
        2 => ForwardKind::NoAnswer,
        _ => ForwardKind::Unreachable,
    };
    Some(ForwardRule { when, to, after_s: number(6).filter(|_| reason == 2) })
}
