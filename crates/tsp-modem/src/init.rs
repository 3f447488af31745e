//! The first commands, in order, with their alternatives and repetitions, and the choice of a way to carry samples.

use crate::chat::{Ask, Outcome};
use crate::context::Purpose;
use crate::profile::{Method, Profile};
use crate::response::after;
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
    /// What was refused, and may be taken later.
    refused: Vec<Refused>,
}

/// A command of the beginning that the modem did not take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refused {
    /// With its alternatives, as the profile has it.
    pub(crate) step: String,
    /// It said that the SIM card is not ready for it.
    pub(crate) for_sim: bool,
}

/// What follows a step.
pub(crate) enum Next {
    /// Another one.
    Go(Step),
    /// The modem is ready; it took this way to carry samples, or none, and refused these commands.
    Ready { method: Option<Method>, refused: Vec<Refused> },
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
        Step { number: 0, alternative: 0, tries: 0, listed: Vec::new(), method: None, refused: Vec::new() }
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
        let Some(command) = commands.get(self.number) else {
            return Next::Ready { method: self.method.clone(), refused: self.refused.clone() };
        };
        let wait = profile.timeouts_ms.default;
        match outcome {
            Outcome::Final(result) if result.is_ok() => self.forward(profile, &commands, Some(lines)),
            Outcome::Final(_) if self.alternative + 1 < command.alternatives.len() => {
                Next::Go(Step { alternative: self.alternative + 1, tries: 0, ..self.clone() })
            }
            Outcome::Final(result) if command.optional || waits_for_sim(profile, result.text()) => {
                self.later(profile, &commands, waits_for_sim(profile, result.text()))
            }
            Outcome::Final(result) => Next::Failed(format!("{text} was refused: {}", result.text())),
            Outcome::TimedOut if self.tries < profile.init.retry => {
                Next::Go(Step { tries: self.tries + 1, ..self.clone() })
            }
            Outcome::TimedOut if command.optional && command.kind != Kind::Method => {
                self.later(profile, &commands, false)
            }
            Outcome::TimedOut => Next::Failed(format!("no answer to {text} within {} ms", wait)),
        }
    }

    /// Goes on without it.
    fn later(&self, profile: &Profile, commands: &[Command<'_>], for_sim: bool) -> Next {
        let mut step = self.clone();
        if let Some(command) = commands.get(self.number).filter(|command| command.kind == Kind::Plain) {
            step.refused.push(Refused { step: command.alternatives.join("|"), for_sim });
        }
        step.forward(profile, commands, None)
    }

    /// The next one; `told` is what the modem said to this one, where it took it.
    fn forward(&self, profile: &Profile, commands: &[Command<'_>], told: Option<&[String]>) -> Next {
        let mut next = Step { number: self.number + 1, alternative: 0, tries: 0, ..self.clone() };
        match (commands.get(self.number).map(|command| command.kind), told) {
            (Some(Kind::List), Some(lines)) => next.listed = vsm::choose(lines),
            (Some(Kind::Method), Some(_)) => next.method = self.methods(profile).nth(self.alternative).cloned(),
            _ => {}
        }
        if next.number < commands.len() {
            Next::Go(next)
        } else {
            Next::Ready { method: next.method, refused: next.refused }
        }
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
            if !voice.distinctive.is_empty() {
                let alternatives = voice.distinctive.split('|').collect();
                commands.push(Command { alternatives, optional: true, kind: Kind::Plain });
            }
            if !audio.list.is_empty() {
                commands.push(must(vec![audio.list.as_str()], Kind::List));
            }
            commands.push(must(self.methods(profile).map(|method| method.vsm.as_str()).collect(), Kind::Method));
            commands.push(must(vec![voice.leave.as_str()], Kind::Plain));
        }
        commands
    }
}

/// Whether a mobile modem refused a command since its SIM card is not (yet) there (27.007 9.2).
fn waits_for_sim(profile: &Profile, text: &str) -> bool {
    let code = after(text, "+CME ERROR:").map(str::trim);
    profile.kind == crate::profile::Kind::Cellular
        && (sim_is_busy(text)
            || matches!(code, Some("5" | "10" | "11" | "12" | "13" | "17" | "18"))
            || code.is_some_and(|words| words.starts_with("SIM ")))
}

/// Whether it is only busy with its card, or starting.
pub(crate) fn sim_is_busy(text: &str) -> bool {
    matches!(after(text, "+CME ERROR:").map(str::trim), Some("14" | "515" | "SIM busy"))
}
