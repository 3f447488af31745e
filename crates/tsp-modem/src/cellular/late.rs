//! First commands that the modem refused while its SIM card was not ready: they are sent again once it is.

use super::*;
use crate::init::Refused;
use std::collections::VecDeque;

/// A modem that is busy with its card is asked again so soon.
const AGAIN: Duration = Duration::from_secs(1);
/// … and so often.
const TRIES: u32 = 30;

/// How the card became ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// It did not.
    No,
    /// It was, when it was first asked after.
    AtOnce,
    /// It was not ready before.
    Later,
}

/// Where the first of them is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    #[default]
    Waiting,
    /// On its way: which alternative, and how often the modem was too busy for it.
    Asked { alternative: usize, busy: u32 },
    /// It is sent again then.
    Again { alternative: usize, busy: u32, until: Time },
}

/// What is to be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Late {
    commands: VecDeque<Refused>,
    state: State,
}

impl Late {
    pub(super) fn new(refused: Vec<Refused>) -> Late {
        Late { commands: refused.into(), state: State::Waiting }
    }

    /// The card is ready. Where it always was, only what was refused for its sake is sent again.
    pub(super) fn begin(&mut self, context: &mut Context<'_>, woken: Woken) {
        if woken == Woken::AtOnce {
            self.commands.retain(|refused| refused.for_sim);
        }
        if woken != Woken::No && self.state == State::Waiting {
            self.send(context, 0, 0);
        }
    }

    fn send(&mut self, context: &mut Context<'_>, alternative: usize, busy: u32) {
        while let Some(first) = self.commands.front() {
            match first.step.split('|').nth(alternative) {
                Some(command) if context.plain(command, Purpose::Late) => {
                    return self.state = State::Asked { alternative, busy };
                }
                _ => drop(self.commands.pop_front()),
            }
        }
        self.state = State::Waiting;
    }

    pub(super) fn done(&mut self, context: &mut Context<'_>, outcome: &Outcome) {
        let State::Asked { alternative, busy } = self.state else { return };
        let refused = match outcome {
            Outcome::Final(FinalResult::Error(text)) => Some(text.as_str()),
            _ => None,
        };
        match refused {
            Some(text) if crate::init::sim_is_busy(text) && busy < TRIES => {
                self.state = State::Again { alternative, busy: busy + 1, until: context.now + AGAIN };
            }
            Some(_) if self.commands.front().is_some_and(|first| alternative + 1 < first.step.split('|').count()) => {
                self.send(context, alternative + 1, 0);
            }
            _ => {
                self.commands.pop_front();
                self.send(context, 0, 0);
            }
        }
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        match self.state {
            State::Again { until, .. } => Some(until),
            State::Waiting | State::Asked { .. } => None,
        }
    }

    pub(super) fn timeout(&mut self, context: &mut Context<'_>) {
        if let State::Again { alternative, busy, until } = self.state
            && context.now >= until
        {
            self.send(context, alternative, busy);
        }
    }
}
