//! The first commands, in order, with their alternatives and repetitions, and the choice of a way to carry samples.

use crate::chat::{Ask, Outcome};
use crate::context::Purpose;
use crate::profile::{Method, Profile};
use crate::vsm;
use serde::{Deserialize, Serialize};

/// Where in the first commands we are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    number: usize,
    alternative: usize,
    tries: u32,
    /// Ways to carry samples that the modem listed.
    listed: Vec<Method>,
    /// Which of all ways was taken.
    method: Option<Method>,
}

/// What follows a step.
pub(crate) enum Next {
    /// Another one.
    Go(Step),
    /// The modem is ready; it took this way to carry samples, or none.
    Ready { method: Option<Method> },
    /// It cannot be used, and why.
    Failed(String),
}

/// A command with its alternatives, and whether it may be refused.
struct Command<'a> {
    alternatives: Vec<&'a str>,
    optional: bool,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    /// Lists the ways to carry samples.
    List,
    /// Chooses one.
    Method,
}

impl Step {
    /// The first step.
    pub(crate) fn first() -> Step {
        Step { number: 0, alternative: 0, tries: 0, listed: Vec::new(), method: None }
    }

    /// What to send.
    pub(crate) fn ask(&self, profile: &Profile) -> Option<Ask<Purpose>> {
        let commands = self.commands(profile);
        let command = commands.get(self.number)?;
        let ask = Ask::new(*command.alternatives.get(self.alternative)?, Purpose::Init, profile.timeouts_ms.default);
        // The lines of a list have no prefix that could be relied on.
        Some(if command.kind == Kind::List { ask.expects("") } else { ask })
    }

    /// What follows when it ended so.
    pub(crate) fn after(&self, profile: &Profile, text: &str, lines: &[String], outcome: &Outcome) -> Next {
        let commands = self.commands(profile);
        let Some(command) = commands.get(self.number) else { return Next::Ready { method: self.method.clone() } };
        let wait = profile.timeouts_ms.default;
        match outcome {
            Outcome::Final(result) if result.is_ok() => self.forward(profile, &commands, Some(lines)),
            Outcome::Final(_) if self.alternative + 1 < command.alternatives.len() => {
                Next::Go(Step { alternative: self.alternative + 1, tries: 0, ..self.clone() })
            }
            Outcome::Final(_) if command.optional => self.forward(profile, &commands, None),
            Outcome::Final(result) => Next::Failed(format!("{text} was refused: {}", result.text())),
            Outcome::TimedOut if self.tries < profile.init.retry => {
                Next::Go(Step { tries: self.tries + 1, ..self.clone() })
            }
            Outcome::TimedOut if command.optional && command.kind != Kind::Method => {
                self.forward(profile, &commands, None)
            }
            Outcome::TimedOut => Next::Failed(format!("no answer to {text} within {} ms", wait)),
        }
    }

    /// The next one; `told` is what the modem said to this one, where it took it.
    fn forward(&self, profile: &Profile, commands: &[Command<'_>], told: Option<&[String]>) -> Next {
        let mut next = Step { number: self.number + 1, alternative: 0, tries: 0, ..self.clone() };
        match (commands.get(self.number).map(|command| command.kind), told) {
            (Some(Kind::List), Some(lines)) => next.listed = vsm::choose(lines),
            (Some(Kind::Method), Some(_)) => next.method = self.methods(profile).nth(self.alternative).cloned(),
            _ => {}
        }
        if next.number < commands.len() { Next::Go(next) } else { Next::Ready { method: next.method } }
    }

    /// The ways to carry samples, in the order in which they are tried.
    fn methods<'a>(&'a self, profile: &'a Profile) -> impl Iterator<Item = &'a Method> {
        self.listed.iter().chain(profile.audio.iter().flat_map(|audio| &audio.methods))
    }

    /// All of them: the profile's own, and for an analogue modem once into voice mode and out of it.
    fn commands<'a>(&'a self, profile: &'a Profile) -> Vec<Command<'a>> {
        let optional = |at: usize| profile.init.optional.contains(&(at + 1));
        let own = profile.init.seq.iter().enumerate().map(|(at, step)| Command {
            alternatives: step.split('|').collect(),
            optional: optional(at),
            kind: Kind::Plain,
        });
        let mut commands: Vec<Command<'_>> = own.collect();
        if let (Some(voice), Some(audio)) = (&profile.voice, &profile.audio) {
            // Without a way to carry samples calls have no audio, and can be had all the same.
            let must = |alternatives, kind| Command { alternatives, optional: kind != Kind::Plain, kind };
            commands.push(must(vec![voice.enter.as_str()], Kind::Plain));
            if !audio.list.is_empty() {
                commands.push(must(vec![audio.list.as_str()], Kind::List));
            }
            commands.push(must(self.methods(profile).map(|method| method.vsm.as_str()).collect(), Kind::Method));
            commands.push(must(vec![voice.leave.as_str()], Kind::Plain));
        }
        commands
    }
}
