//! The first commands, in order, with their alternatives and repetitions.

use crate::chat::{Ask, Outcome};
use crate::context::Purpose;
use crate::profile::Profile;
use serde::{Deserialize, Serialize};

/// Where in the first commands we are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    number: usize,
    alternative: usize,
    tries: u32,
    /// Which way to carry samples was taken.
    method: usize,
}

/// What follows a step.
pub(crate) enum Next {
    /// Another one.
    Go(Step),
    /// The modem is ready; it took this way to carry samples.
    Ready { method: usize },
    /// It cannot be used, and why.
    Failed(String),
}

/// A command with its alternatives, and whether it may be refused.
struct Command<'a> {
    alternatives: Vec<&'a str>,
    optional: bool,
}

impl Step {
    /// The first step.
    pub(crate) fn first() -> Step {
        Step { number: 0, alternative: 0, tries: 0, method: 0 }
    }

    /// What to send.
    pub(crate) fn ask(&self, profile: &Profile) -> Option<Ask<Purpose>> {
        let commands = commands(profile);
        let text = commands.get(self.number)?.alternatives.get(self.alternative)?;
        Some(Ask::new(*text, Purpose::Init, profile.timeouts_ms.default))
    }

    /// What follows when it ended so.
    pub(crate) fn after(&self, profile: &Profile, text: &str, outcome: &Outcome) -> Next {
        let commands = commands(profile);
        let Some(command) = commands.get(self.number) else { return Next::Ready { method: self.method } };
        let wait = profile.timeouts_ms.default;
        match outcome {
            Outcome::Final(result) if result.is_ok() => self.forward(profile, &commands),
            Outcome::Final(_) if self.alternative + 1 < command.alternatives.len() => {
                Next::Go(Step { alternative: self.alternative + 1, tries: 0, ..self.clone() })
            }
            Outcome::Final(_) if command.optional => self.forward(profile, &commands),
            Outcome::Final(result) => Next::Failed(format!("{text} was refused: {}", result.text())),
            Outcome::TimedOut if self.tries < profile.init.retry => {
                Next::Go(Step { tries: self.tries + 1, ..self.clone() })
            }
            Outcome::TimedOut if command.optional => self.forward(profile, &commands),
            Outcome::TimedOut => Next::Failed(format!("no answer to {text} within {} ms", wait)),
        }
    }

    fn forward(&self, profile: &Profile, commands: &[Command<'_>]) -> Next {
        // The way to carry samples is the step before the last of an analogue modem.
        let here = profile.audio.is_some() && self.number + 2 == commands.len();
        let method = if here { self.alternative } else { self.method };
        if self.number + 1 < commands.len() {
            Next::Go(Step { number: self.number + 1, alternative: 0, tries: 0, method })
        } else {
            Next::Ready { method }
        }
    }
}

/// All of them: the profile's own, and for an analogue modem once into voice mode and out of it.
fn commands(profile: &Profile) -> Vec<Command<'_>> {
    let optional = |at: usize| profile.init.optional.contains(&(at + 1));
    let own = profile.init.seq.iter().enumerate();
    let mut commands: Vec<Command<'_>> =
        own.map(|(at, step)| Command { alternatives: step.split('|').collect(), optional: optional(at) }).collect();
    if let (Some(voice), Some(audio)) = (&profile.voice, &profile.audio) {
        let must = |alternatives| Command { alternatives, optional: false };
        commands.push(must(vec![voice.enter.as_str()]));
        commands.push(must(audio.methods.iter().map(|method| method.vsm.as_str()).collect()));
        commands.push(must(vec![voice.leave.as_str()]));
    }
    commands
}
