//! Finding the profile of a modem that was not told which it has: from what is known of the device, and from its answers to
//! identification commands, each time that its port is opened.

use super::*;
use crate::chat::Ask;
use crate::profile::{Catalogue, Clues, Question};

/// Where profiles are found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Auto {
    catalogue: Catalogue,
    /// What is known without asking.
    clues: Clues,
}

impl Auto {
    /// Profiles are found among these from now on.
    pub(super) fn consult(&mut self, catalogue: Catalogue) {
        self.catalogue = catalogue;
    }
}

/// What was asked last, and what is known by now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identifying {
    asked: Option<Question>,
    clues: Clues,
}

impl Modem {
    /// A modem whose profile is found when its port is opened (`profile = "auto"`). Until then the line is described by the
    /// best guess from what is known of the device; [`Event::LineAdded`] comes again where it turns out to be another one.
    pub fn auto(config: Config, catalogue: Catalogue, clues: Clues) -> Modem {
        let guess = catalogue.pick(&clues).or_else(|| catalogue.named("v253")).or(Catalogue::builtin().named("v253"));
        let mut modem = Modem::new(config, guess.expect("v253 is built in").clone());
        modem.auto = Some(Box::new(Auto { catalogue, clues }));
        modem
    }

    /// What is known of the device that is plugged in now, from the next time on that its port is opened.
    pub fn know(&mut self, clues: Clues) {
        if let Some(auto) = &mut self.auto {
            auto.clues = clues;
        }
    }

    /// The port is open: what is it, where that is not known, and then the first commands.
    pub(super) fn begin(&mut self, now: Time) {
        self.end_streams();
        let Some(auto) = &self.auto else { return self.initialise(now) };
        let clues = auto.clues.clone();
        let settle = Duration::from_millis(u64::from(self.profile.line.settle_ms));
        self.chat.start(now + settle);
        self.fault = None;
        self.chat.ask(now, Ask::new("ATE0V1", Purpose::Identify, self.profile.timeouts_ms.default));
        self.life = Life::Identifying(Identifying { asked: None, clues });
    }

    pub(super) fn identify_done(&mut self, now: Time, lines: &[String], outcome: &Outcome) {
        let (Life::Identifying(known), Some(auto)) = (&mut self.life, &self.auto) else { return };
        if let Some(asked) = known.asked {
            let taken = matches!(outcome, Outcome::Final(result) if result.is_ok());
            known.clues.answered(asked, if taken { lines } else { &[] });
        }
        known.asked = auto.catalogue.question(&known.clues);
        if let Some(command) = known.asked.and_then(Question::command) {
            let ask = Ask::new(command, Purpose::Identify, self.profile.timeouts_ms.default);
            // Its lines have no prefix that could be relied on.
            self.chat.ask(now, ask.expects(""));
            return;
        }
        match auto.catalogue.pick(&known.clues).cloned() {
            Some(profile) => {
                self.take(profile);
                self.initialise(now);
            }
            None => drop(self.fault.get_or_insert_with(|| "no profile fits what the modem says of itself".to_owned())),
        }
    }

    fn take(&mut self, profile: Profile) {
        self.out.trace(None, false, &self.config.name, &format!("profile {}: {}", profile.id, profile.description));
        if profile == self.profile {
            return;
        }
        let Modem { chat, calls, .. } = Modem::new(self.config.clone(), profile.clone());
        (self.chat, self.calls, self.profile) = (chat, calls, profile);
        let service = self.out.service().cloned().unwrap_or(Service::Out { reason: "starting".to_owned() });
        let description = describe::line(&self.config, &self.profile, service);
        self.out.event(Event::LineAdded { line: LINE, description: Box::new(description) });
    }
}
