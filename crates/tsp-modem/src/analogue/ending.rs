//! Ending one of two calls, where the exchange can, and saying so where it cannot: on hook both are over.

use super::second::{Beside, Other, Wish};
use super::*;

/// Who drops one of two calls that cannot end alone, and then the other one, wants both to end.
const BOTH_WITHIN: Duration = Duration::from_secs(10);

/// A call that could not be dropped alone, and when that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Refused {
    call: CallRef,
    at: Time,
}

impl Analogue {
    /// What swaps the active call and the held one.
    pub(super) fn swap_code<'a>(&self, office: &'a Office) -> &'a str {
        match &self.other {
            Other::Held(_, Beside::Waited) if !office.swap_waiting.is_empty() => &office.swap_waiting,
            _ => &office.swap,
        }
    }

    /// What ends the active call alone: the exchange's code, or that for the held one behind a swap.
    pub(super) fn end_active_code(&self, office: &Office) -> String {
        self.code_or_swapped(office, &office.end_active, &office.end_held)
    }

    fn code_or_swapped(&self, office: &Office, code: &str, of_the_other: &str) -> String {
        match self.swap_code(office) {
            _ if !code.is_empty() => code.to_owned(),
            swap if swap.is_empty() || of_the_other.is_empty() => String::new(),
            swap => format!("{swap},{of_the_other}"),
        }
    }

    /// How one of two calls is ended; `None`: not without the other one.
    pub(super) fn ends_alone(&self, office: &Office, call: CallRef) -> Option<Wish> {
        let active = self.call() == Some(call);
        let (wish, code) = match (&self.other, &self.phase) {
            (Other::Held(..), Phase::Connected { .. }) if active => (Wish::EndActive, self.end_active_code(office)),
            (Other::Held(..), Phase::Connected { .. }) => {
                let code = self.code_or_swapped(office, &office.end_held, &office.end_active);
                (Wish::EndHeld(code.clone()), code)
            }
            (Other::Held(..), Phase::Supervising { .. } | Phase::Dialling { .. } | Phase::Partial { .. }) if active => {
                (Wish::Back, office.back.clone())
            }
            _ => return None,
        };
        (!code.is_empty()).then_some(wish)
    }

    /// Why a call cannot be dropped now: it is one of two, and both would end. Dropping the other one too ends both.
    pub(crate) fn cannot_drop(&mut self, context: &Context<'_>, call: CallRef) -> Option<&'static str> {
        let Other::Held(held, _) = &self.other else { return None };
        let two = [Some(held.call), self.call()];
        if self.call().is_none() || !two.contains(&Some(call)) || self.ends_alone(context.office, call).is_some() {
            return None;
        }
        let both = self.refused.is_some_and(|refused| {
            refused.call != call && two.contains(&Some(refused.call)) && context.now.since(refused.at) < BOTH_WITHIN
        });
        if both {
            return None;
        }
        self.refused = Some(Refused { call, at: context.now });
        Some("the line's exchange cannot end one of two calls alone; dropping the other one too ends both")
    }

    /// On hook with two calls: both are over. An exchange may join the far ends then.
    pub(super) fn rest_goes_too(&mut self, context: &mut Context<'_>, dropped: CallRef) {
        if let Some(rest) = [self.call(), self.other.call()].into_iter().flatten().find(|call| *call != dropped) {
            let wanted = self.refused.is_some_and(|refused| refused.call == rest);
            let (by, mode) = match wanted {
                true => (ReleasedBy::Local, DisconnectMode::Normal),
                false => (ReleasedBy::Remote, DisconnectMode::Unavail),
            };
            let text = match (&self.other, context.office.transfer.as_str(), wanted) {
                (Other::Held(..), "hook", _) => Some("the far ends were joined: on hook the line's exchange does that"),
                (.., false) => Some("the line's exchange cannot end one of two calls alone"),
                (.., true) => None,
            };
            let cause = Cause::new(mode);
            let cause = text.map_or(cause.clone(), |text| cause.with_text(text));
            context.out.report(rest, Report::Released { by, cause });
        }
        self.refused = None;
        self.other = Other::None;
        self.hang_up(context);
    }
}
