//! How much of a source is looked at.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;
use tapi::Time;

/// Most sources that are remembered.
const MAX_SOURCES: usize = 4_096;

/// Buckets of tokens, one for each source: a second's worth of requests may come at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Buckets(BTreeMap<IpAddr, (u64, Time)>);

impl Buckets {
    /// Takes a token of a source; `rate` of them come back each second. False: it has none left.
    pub fn take(&mut self, now: Time, source: IpAddr, rate: u32) -> bool {
        // Thousandths of a token, so that none is lost between two requests of the same millisecond.
        let most = u64::from(rate).saturating_mul(1_000);
        if !self.0.contains_key(&source) && self.0.len() >= MAX_SOURCES {
            self.forget(now);
        }
        let (held, since) = self.0.entry(source).or_insert((most, now));
        let millis = u64::try_from(now.since(*since).as_millis()).unwrap_or(u64::MAX);
        *held = held.saturating_add(millis.saturating_mul(u64::from(rate))).min(most);
        *since = now;
        match held.checked_sub(1_000) {
            Some(left) => {
                *held = left;
                true
            }
            None => false,
        }
    }

    /// Those silent for a second are whole again. When all are loud, all begin anew.
    fn forget(&mut self, now: Time) {
        self.0.retain(|_, (_, since)| now.since(*since).as_millis() < 1_000);
        if self.0.len() >= MAX_SOURCES {
            self.0.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loud_source_is_cut_and_others_are_not() {
        let mut buckets = Buckets::default();
        let (loud, quiet): (IpAddr, IpAddr) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let heard = (0..1_000).filter(|at| buckets.take(Time::from_millis(*at), loud, 50)).count();
        assert!((99..=101).contains(&heard), "the store and a second's supply: {heard}");
        assert!(buckets.take(Time::from_millis(1_000), quiet, 50));
        for source in 0..2 * MAX_SOURCES as u32 {
            buckets.take(Time::from_millis(1_000), IpAddr::from(source.to_be_bytes()), 50);
        }
        assert!(buckets.0.len() <= MAX_SOURCES);
    }
}
