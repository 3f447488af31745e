//! What a line lets pass: where calls may go, for whom they may come, and how many.

use crate::LineConfig;
use crate::message::{Scheme, Uri};
use serde::{Deserialize, Serialize};
use tapi::{ErrorCode, Time};
use tspi::Refusal;

/// Whether a call may go to a destination.
pub(crate) fn allows(line: &LineConfig, to: &Uri<'_>) -> Result<(), Refusal> {
    let patterns = &line.account.allow_to;
    if patterns.is_empty() {
        return Ok(());
    }
    let user = to.user_text().unwrap_or_default();
    let number: String = user.chars().filter(|character| !"-.()".contains(*character)).collect();
    let own = to.scheme == Scheme::Tel || to.host.eq_ignore_ascii_case(&line.domain);
    let fits = |pattern: &str| match pattern.strip_prefix('@') {
        Some(host) => to.host.eq_ignore_ascii_case(host),
        None => own && number.starts_with(pattern.trim_end_matches('*')),
    };
    let longest = patterns.iter().filter_map(|pattern| {
        let (pattern, allowed) = pattern.strip_prefix('!').map_or((pattern.as_str(), true), |rest| (rest, false));
        fits(pattern).then_some((pattern.len(), !allowed))
    });
    match longest.max() {
        Some((_, false)) => Ok(()),
        Some(_) | None => {
            let text = format!("calls to {} are not allowed on line {}", shown(&user, to.host), line.name);
            Err(Refusal::new(ErrorCode::InvalAddress, text))
        }
    }
}

fn shown(user: &str, host: &str) -> String {
    if user.is_empty() { host.to_owned() } else { user.to_owned() }
}

/// Whether a user of the line may be called.
pub(crate) fn serves(line: &LineConfig, user: Option<&str>) -> bool {
    let users = &line.account.users;
    let user = user.unwrap_or_default();
    users.is_empty()
        || user == line.user
        || users.iter().any(|known| match known.strip_suffix('*') {
            Some(begin) => user.starts_with(begin),
            None => user == known,
        })
}

/// Calls in a second, as a bucket that fills evenly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rate {
    /// Thousandths of calls that were taken out of the bucket and have not flowed back.
    taken: u64,
    at_ms: u64,
}

impl Rate {
    /// Whether one more call may begin now; counts it.
    pub fn admits(&mut self, now: Time, per_second: Option<u32>) -> bool {
        let Some(limit) = per_second.map(u64::from) else {
            return true;
        };
        let elapsed = now.as_millis().saturating_sub(self.at_ms);
        self.taken = self.taken.saturating_sub(elapsed.saturating_mul(limit));
        self.at_ms = now.as_millis();
        if self.taken + 1_000 > limit * 1_000 {
            return false;
        }
        self.taken += 1_000;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Account;

    fn line(allow_to: &[&str], users: &[&str]) -> LineConfig {
        let strings = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        let account = Account { allow_to: strings(allow_to), users: strings(users), ..Account::default() };
        LineConfig { user: "100".into(), domain: "example.org".into(), account, ..LineConfig::default() }
    }

    #[test]
    fn destinations_are_allowed_by_the_longest_pattern() {
        let line = line(&["+49", "!+49900", "+4990055", "@pbx.example.net"], &[]);
        for (to, allowed) in [
            ("sip:+4930123@example.org", true),
            ("tel:+49-30-123", true),
            ("sip:+49900123@example.org", false),
            ("sip:+49-900-123@example.org", false),
            ("sip:+4990055@EXAMPLE.org", true),
            ("sip:+1555@example.org", false),
            ("sip:+4930123@elsewhere.example", false),
            ("sip:anyone@pbx.example.net", true),
            ("sip:example.org", false),
        ] {
            assert_eq!(allows(&line, &Uri::parse(to).unwrap()).is_ok(), allowed, "{to}");
        }
        let refusal = allows(&line, &Uri::parse("sip:+1555@example.org").unwrap()).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::InvalAddress);
    }

    #[test]
    fn users_are_served_by_name_or_beginning() {
        let all = line(&[], &[]);
        let some = line(&[], &["+4930123*", "desk"]);
        for (user, served) in
            [("100", true), ("desk", true), ("+493012399", true), ("+4930124", false), ("desk2", false)]
        {
            assert!(serves(&all, Some(user)));
            assert_eq!(serves(&some, Some(user)), served, "{user}");
        }
        assert!(!serves(&some, None));
    }

    #[test]
    fn a_rate_lets_so_many_through_at_once_and_then_evenly() {
        let mut rate = Rate::default();
        let mut admits = |ms| rate.admits(Time::from_millis(ms), Some(4));
        assert_eq!([0, 0, 0, 0, 0].map(&mut admits), [true, true, true, true, false]);
        assert_eq!([249, 250, 260, 500].map(&mut admits), [false, true, false, true]);
        assert!(Rate::default().admits(Time::ZERO, None));
    }
}
