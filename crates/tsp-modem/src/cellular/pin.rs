//! The PIN of the SIM card: the configured one is entered once for a card, and never again where it was refused.
//!
//! ```text
//!  No ─ the card wants it, untried ─► Configured ─ OK ─► No, the card may be tried again
//!   │                                    ├ error ─► No, refused
//!   │                                    └ no answer ─► Unsure ─ what the card wants then decides
//!   └ an application enters one ─► Asked ─► No
//! ```

use super::network::PIN_WAIT_MS;
use super::*;
use crate::analogue::words;
use crate::config::{Pin, RefusedPin};
use std::collections::BTreeSet;
use tapi::ErrorCode;

/// Whose PIN is on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Entering {
    #[default]
    No,
    /// The configured one.
    Configured,
    /// The configured one, and no answer came.
    Unsure,
    /// An application's.
    Asked(CommandId),
}

/// What became of configured PINs, each on its card. A card goes by its number; where that cannot be read, by the empty name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PinEntry {
    entering: Entering,
    /// What is not entered (again) here.
    tried: BTreeSet<RefusedPin>,
    /// What was refused here.
    refused: BTreeSet<RefusedPin>,
}

impl PinEntry {
    /// After a failure of the modem: what was entered and not answered stays tried.
    pub(super) fn after_failure(self) -> PinEntry {
        PinEntry { entering: Entering::No, ..self }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.entering == Entering::No
    }

    /// Whether the card's number must be known before this PIN is entered.
    pub(super) fn wants_name(&self, pin: &Pin) -> bool {
        !self.tried.contains(&RefusedPin::new("", pin))
    }

    /// Why the configured PIN does not help this card.
    pub(super) fn reason(&self, cellular: &crate::config::Cellular, card: &str) -> Option<&'static str> {
        let attempt = RefusedPin::new(card, cellular.pin.as_ref().filter(|_| self.is_idle())?);
        if self.refused.contains(&attempt) || cellular.refused.contains(&attempt) {
            return Some("the configured one was refused");
        }
        self.tried.contains(&attempt).then_some("the configured one was entered, and is not entered twice")
    }

    /// Enters the configured PIN, unless it was.
    pub(super) fn enter_configured(&mut self, context: &mut Context<'_>, pin: &Pin, card: &str) {
        let attempt = RefusedPin::new(card, pin);
        if !context.cellular.refused.contains(&attempt) && self.tried.insert(attempt) {
            self.entering = Entering::Configured;
            enter(context, pin);
        }
    }

    /// An application enters a PIN; `wanted`: the card wants one.
    pub(super) fn enter_asked(&mut self, context: &mut Context<'_>, id: CommandId, digits: &str, wanted: bool) {
        match Pin::try_from(digits.to_owned()) {
            Err(reason) => context.out.refuse(id, ErrorCode::InvalParam, reason),
            Ok(_) if !wanted || !self.is_idle() => {
                context.out.refuse(id, ErrorCode::OperationUnavail, "the SIM wants no PIN now");
            }
            Ok(pin) => {
                self.entering = Entering::Asked(id);
                enter(context, &pin);
            }
        }
    }

    /// The modem answered the PIN, or did not.
    pub(super) fn entered(&mut self, context: &mut Context<'_>, outcome: &Outcome, card: &str) {
        let good = matches!(outcome, Outcome::Final(result) if result.is_ok());
        match std::mem::take(&mut self.entering) {
            Entering::Asked(id) if good => context.out.done(id),
            Entering::Asked(id) => {
                let text = format!("the SIM refused the PIN: {}", words(outcome));
                context.out.refuse(id, ErrorCode::OperationFailed, text);
            }
            // Good for this card: whenever it wants a PIN again, after a reset or a replug, it gets this one.
            Entering::Configured if good => self.accepted(context, card),
            Entering::Configured if is_busy(outcome) => {
                context.out.trace(None, false, context.name, "the SIM did not look at the configured PIN");
            }
            Entering::Configured if *outcome == Outcome::TimedOut => self.entering = Entering::Unsure,
            Entering::Configured => self.refuse(context, card),
            Entering::Unsure | Entering::No => {}
        }
    }

    /// What the card wants, after a PIN that nothing was said to.
    pub(super) fn settle(&mut self, context: &mut Context<'_>, card: &str, unlocked: bool) {
        if self.entering == Entering::Unsure {
            self.entering = Entering::No;
            if unlocked {
                self.accepted(context, card);
            } else {
                self.refuse(context, card);
            }
        }
    }

    fn accepted(&mut self, context: &Context<'_>, card: &str) {
        if let Some(pin) = &context.cellular.pin {
            self.tried.remove(&RefusedPin::new(card, pin));
        }
    }

    fn refuse(&mut self, context: &mut Context<'_>, card: &str) {
        if let Some(pin) = &context.cellular.pin {
            let refused = RefusedPin::new(card, pin);
            self.refused.insert(refused.clone());
            context.out.pin_refused(refused);
        }
        context.out.trace(None, false, context.name, "the SIM refused the configured PIN: it is not tried again");
    }
}

/// A card that is busy counted no attempt.
fn is_busy(outcome: &Outcome) -> bool {
    let Outcome::Final(FinalResult::Error(text)) = outcome else { return false };
    crate::init::sim_is_busy(text)
}

fn enter(context: &mut Context<'_>, pin: &Pin) {
    let text = format!("AT+CPIN=\"{}\"", pin.digits());
    context.ask(Ask::new(text, Purpose::PinEnter, PIN_WAIT_MS));
}
