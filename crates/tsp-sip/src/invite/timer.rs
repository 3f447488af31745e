//! Session timers (RFC 4028).

use super::{Call, State, Timer};
use crate::endpoint::{Answer, Endpoint};
use crate::message::{Message, Name, Params};
use crate::policy::{CallPolicy, Refresher};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tapi::{Cause, DisconnectMode, Time};

/// Longest session timer that is read, in seconds.
const MAX_SECONDS: u32 = 1 << 24;
/// How often a request is sent again with a longer timer.
pub(super) const MAX_TOO_SHORT: u32 = 2;

/// Who keeps a session alive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SessionTimer {
    /// Nobody need.
    #[default]
    Off,
    /// We do, within so many seconds.
    Ours(u32),
    /// The far end does.
    Theirs(u32),
}

/// `Session-Expires`: seconds, and who refreshes.
struct Expires<'a> {
    seconds: u32,
    refresher: Option<&'a str>,
}

impl<'a> Expires<'a> {
    fn of(message: &'a Message<'_>) -> Option<Expires<'a>> {
        let value = message.first(Name::SessionExpires)?;
        let end = value.iter().position(|&byte| byte == b';').unwrap_or(value.len());
        let refresher = Params::of(value.get(end + 1..).unwrap_or_default()).text("refresher");
        Some(Expires { seconds: seconds(value.get(..end)?)?, refresher })
    }

    fn is(&self, who: &str) -> bool {
        self.refresher.is_some_and(|refresher| refresher.eq_ignore_ascii_case(who))
    }
}

fn seconds(text: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let digits = !text.is_empty() && text.len() <= 10 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .then(|| text.parse::<u64>().map_or(MAX_SECONDS, |n| u32::try_from(n).unwrap_or(MAX_SECONDS).min(MAX_SECONDS)))
}

/// The shortest timer that the far end takes.
pub(super) fn min_se(message: &Message<'_>) -> Option<u32> {
    let value = message.first(Name::MinSe)?;
    seconds(value.split(|&byte| byte == b';').next().unwrap_or_default())
}

fn is_able(message: &Message<'_>) -> bool {
    message.has_tag(Name::Supported, "timer") || message.has_tag(Name::Require, "timer")
}

/// A session timer that is shorter than the line takes is refused, where the far end understands that (section 9).
pub(super) fn too_short(policy: &CallPolicy, message: &Message<'_>) -> Result<(), Answer> {
    let least = policy.min_se_s.max(90);
    let asked = Expires::of(message).filter(|_| policy.session_expires_s.is_some() && is_able(message));
    match asked {
        Some(asked) if asked.seconds < least => Err(Answer::new(422).with("Min-SE", least.to_string())),
        _ => Ok(()),
    }
}

/// The header lines of a 2xx with this timer: a far end that is to refresh must know how.
pub(super) fn answer_lines(timer: Option<String>) -> Vec<(&'static str, String)> {
    let required = timer.as_ref().filter(|value| value.ends_with("=uac")).map(|_| ("Require", "timer".to_owned()));
    timer.map(|value| ("Session-Expires", value)).into_iter().chain(required).collect()
}

impl Call {
    /// What our INVITE or UPDATE says of the session timer.
    pub(super) fn timer_headers(&self, policy: &CallPolicy) -> Vec<(&'static str, String)> {
        let Some(asked) = policy.session_expires_s else {
            return Vec::new();
        };
        let least = policy.min_se_s.max(90).max(self.min_se_s);
        let seconds = match self.session_timer {
            SessionTimer::Off => asked.max(least),
            SessionTimer::Ours(seconds) | SessionTimer::Theirs(seconds) => seconds.max(least),
        };
        let refresher = match (self.session_timer, policy.refresher) {
            (SessionTimer::Ours(_), _) | (SessionTimer::Off, Refresher::Ours) => ";refresher=uac",
            (SessionTimer::Theirs(_), _) | (SessionTimer::Off, Refresher::Theirs) => ";refresher=uas",
            (SessionTimer::Off, Refresher::Either) => "",
        };
        vec![("Session-Expires", format!("{seconds}{refresher}")), ("Min-SE", least.to_string())]
    }

    /// A 2xx to our INVITE or UPDATE: without a timer there is none (section 7.2).
    pub(super) fn timer_agreed(&mut self, policy: &CallPolicy, now: Time, message: &Message<'_>) {
        let agreed = Expires::of(message).filter(|_| policy.session_expires_s.is_some());
        self.session_timer = match agreed {
            Some(expires) if expires.is("uas") => SessionTimer::Theirs(expires.seconds.max(90)),
            Some(expires) => SessionTimer::Ours(expires.seconds.max(90)),
            None => SessionTimer::Off,
        };
        self.wind_up(now);
    }

    /// What our 2xx to their INVITE or UPDATE says of the session timer; else the 422 (section 9).
    pub(super) fn timer_answer(
        &mut self,
        policy: &CallPolicy,
        message: &Message<'_>,
    ) -> Result<Option<String>, Answer> {
        let Some(ours) = policy.session_expires_s else {
            self.session_timer = SessionTimer::Off;
            return Ok(None);
        };
        too_short(policy, message)?;
        let able = is_able(message);
        let least = policy.min_se_s.max(90);
        let asked = Expires::of(message);
        let floor = least.max(min_se(message).unwrap_or(0));
        let seconds = match &asked {
            Some(asked) => ours.min(asked.seconds).max(floor),
            None => ours.max(floor),
        };
        let we = match &asked {
            _ if !able => true,
            Some(asked) if asked.is("uac") => false,
            Some(asked) if asked.is("uas") => true,
            _ => policy.refresher == Refresher::Ours,
        };
        self.session_timer = if we { SessionTimer::Ours(seconds) } else { SessionTimer::Theirs(seconds) };
        Ok(Some(format!("{seconds};refresher={}", if we { "uas" } else { "uac" })))
    }

    /// The time begins anew: half of it until a refresh of ours, a little less than all of it until the end (section 10).
    pub(super) fn wind_up(&mut self, now: Time) {
        self.deadlines.clear(Timer::Refresh);
        self.deadlines.clear(Timer::Expire);
        let (SessionTimer::Ours(seconds) | SessionTimer::Theirs(seconds)) = self.session_timer else {
            return;
        };
        if let SessionTimer::Ours(_) = self.session_timer {
            self.deadlines.set(Timer::Refresh, now + Duration::from_secs(u64::from(seconds / 2)));
        }
        let end = seconds - 32.min(seconds / 3);
        self.deadlines.set(Timer::Expire, now + Duration::from_secs(u64::from(end)));
    }

    /// Nobody refreshed.
    pub(super) fn on_expired(&mut self, ep: &mut Endpoint, now: Time) {
        if self.state == State::Confirmed {
            let text = "the session timer expired: nobody refreshed the call";
            self.break_off(ep, now, Cause::new(DisconnectMode::TempFailure).with_text(text));
        }
    }
}
