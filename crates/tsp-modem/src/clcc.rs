//! The call list (`+CLCC`, 27.007 7.18): the only portable truth about a dongle's calls. Lists are compared, and the
//! differences are the facts.

use crate::response::{after, fields};
use serde::{Deserialize, Serialize};

/// The longest number that is kept.
const LONGEST_NUMBER: usize = 80;
/// A call that is missing in so many good lists is over.
const MISSED: u8 = 2;

/// What the network does with a call (27.007 `<stat>`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Active,
    Held,
    Dialling,
    Alerting,
    Incoming,
    Waiting,
}

/// One entry of the list: a voice call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The call's number in the modem, from 1.
    pub(crate) index: u8,
    /// Whether it came to us.
    pub(crate) incoming: bool,
    pub(crate) status: Status,
    /// Whether it is one of a conference.
    pub(crate) multiparty: bool,
    /// The other party, as it is dialled.
    pub(crate) number: Option<String>,
}

/// Reads a line `+CLCC: 1,1,4,0,0,"123",129,…`; `None` for what is none, for data and fax calls, and for states that
/// only some vendors have (they mean that the call is over).
pub(crate) fn parse(line: &str) -> Option<Entry> {
    let fields = fields(after(line, "+CLCC:")?);
    let number = |at: usize| fields.get(at)?.parse::<u8>().ok();
    let status = match number(2)? {
        0 => Status::Active,
        1 => Status::Held,
        2 => Status::Dialling,
        3 => Status::Alerting,
        4 => Status::Incoming,
        5 => Status::Waiting,
        _ => return None,
    };
    let incoming = match number(1)? {
        0 => false,
        1 => true,
        _ => return None,
    };
    let index = number(0).filter(|index| *index > 0)?;
    (number(3)? == 0).then_some(())?;
    let digits = fields.get(5).map_or("", String::as_str);
    let multiparty = number(4) == Some(1);
    Some(Entry { index, incoming, status, multiparty, number: dialable(digits, number(6)) })
}

/// A number with the `+` that its type says (145: international); `None` where there is none, or it is no number.
pub(crate) fn dialable(digits: &str, kind: Option<u8>) -> Option<String> {
    if digits.is_empty() || digits.len() > LONGEST_NUMBER || digits.chars().any(char::is_control) {
        return None;
    }
    let plus = kind == Some(145) && !digits.starts_with('+');
    Some(if plus { format!("+{digits}") } else { digits.to_owned() })
}

/// A difference between two lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Difference {
    /// A call that was not there.
    Appeared(Entry),
    /// A call does something else.
    Changed(Entry),
    /// A call became known by number.
    Named(Entry),
    /// A call is over.
    Gone(u8),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    entry: Entry,
    missed: u8,
}

/// The calls as they were last seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Table {
    known: Vec<Known>,
}

impl Table {
    /// A call of ours that the modem named before any list had it: it must be in the lists from now on.
    pub(crate) fn expect(&mut self, index: u8) {
        if !self.known.iter().any(|known| known.entry.index == index) {
            let entry = Entry { index, incoming: false, status: Status::Dialling, multiparty: false, number: None };
            self.known.push(Known { entry, missed: 0 });
        }
    }

    /// Takes a good list. `ended`: the modem said that a call ended, so one list without it is enough.
    pub(crate) fn update(&mut self, list: Vec<Entry>, ended: bool) -> Vec<Difference> {
        let mut differences = Vec::new();
        let patience = if ended { 1 } else { MISSED };
        for known in &mut self.known {
            let index = known.entry.index;
            let same = list.iter().find(|entry| entry.index == index && is_same(&known.entry, entry));
            match same {
                Some(entry) => {
                    known.missed = 0;
                    if entry.status != known.entry.status || entry.multiparty != known.entry.multiparty {
                        differences.push(Difference::Changed(entry.clone()));
                    }
                    if entry.number.is_some() && entry.number != known.entry.number {
                        differences.push(Difference::Named(entry.clone()));
                    }
                    let number = entry.number.clone().or(known.entry.number.take());
                    known.entry = Entry { number, ..entry.clone() };
                }
                None if list.iter().any(|entry| entry.index == index) => known.missed = MISSED,
                None => known.missed = known.missed.saturating_add(1),
            }
        }
        self.known.retain(|known| {
            let gone = known.missed >= patience;
            if gone {
                differences.push(Difference::Gone(known.entry.index));
            }
            !gone
        });
        for entry in list {
            if !self.known.iter().any(|known| known.entry.index == entry.index) {
                differences.push(Difference::Appeared(entry.clone()));
                self.known.push(Known { entry, missed: 0 });
            }
        }
        differences
    }
}

/// Whether an entry under the same index is the same call: an index is used again at once, and no call goes back to its
/// beginning.
fn is_same(before: &Entry, now: &Entry) -> bool {
    let begins = |status| matches!(status, Status::Dialling | Status::Incoming | Status::Waiting);
    before.incoming == now.incoming && (begins(before.status) || !begins(now.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: u8, incoming: bool, status: Status) -> Entry {
        Entry { index, incoming, status, multiparty: false, number: None }
    }

    #[test]
    fn lines_of_the_field() {
        let number = |text: &str| Some(text.to_owned());
        for (line, expected) in [
            ("+CLCC: 1,1,4,0,0,\"123456789\",129,\"\",,0", Some((1, true, Status::Incoming, number("123456789")))),
            ("+CLCC: 1,1,0,0,1", Some((1, true, Status::Active, None))),
            ("+CLCC: 1,0,2,0,0,\"12345\",129", Some((1, false, Status::Dialling, number("12345")))),
            ("+CLCC: 2,0,3,0,0,\"491701234567\",145", Some((2, false, Status::Alerting, number("+491701234567")))),
            ("+CLCC: 2,0,3,0,0,\"+491701234567\",145", Some((2, false, Status::Alerting, number("+491701234567")))),
            ("+CLCC:1,1,5,0,0,\"\",128,\"\",,1", Some((1, true, Status::Waiting, None))),
            ("+CLCC: 1,1,6,0,0,\"\",129", None),
            ("+CLCC: 1,1,0,1,0,\"\",129", None),
            ("+CLCC: 0,1,0,0,0", None),
            ("+CLCC: ", None),
            ("+CLCC: 999,1,0,0,0", None),
            ("OK", None),
        ] {
            let parsed = parse(line).map(|entry| (entry.index, entry.incoming, entry.status, entry.number));
            assert_eq!(parsed, expected, "{line}");
        }
    }

    #[test]
    fn lists_become_facts() {
        let mut table = Table::default();
        let dialling = entry(1, false, Status::Dialling);
        assert_eq!(table.update(vec![dialling.clone()], false), [Difference::Appeared(dialling.clone())]);
        assert_eq!(table.update(vec![dialling.clone()], false), []);
        let active = entry(1, false, Status::Active);
        assert_eq!(table.update(vec![active.clone()], false), [Difference::Changed(active.clone())]);
        assert_eq!(table.update(vec![], false), [], "one list without it may be a mistake");
        assert_eq!(table.update(vec![active], false), []);
        assert_eq!(table.update(vec![], false), []);
        assert_eq!(table.update(vec![], false), [Difference::Gone(1)]);
    }

    #[test]
    fn a_call_that_was_said_to_end_ends_with_the_first_list_without_it() {
        let mut table = Table::default();
        table.update(vec![entry(1, false, Status::Active), entry(2, true, Status::Held)], false);
        assert_eq!(table.update(vec![entry(2, true, Status::Held)], true), [Difference::Gone(1)]);
    }

    #[test]
    fn a_call_that_was_named_and_never_listed_is_over() {
        let mut table = Table::default();
        table.expect(1);
        assert_eq!(table.update(vec![], false), []);
        assert_eq!(table.update(vec![], false), [Difference::Gone(1)]);
        table.expect(1);
        let active = entry(1, false, Status::Active);
        assert_eq!(table.update(vec![active.clone()], false), [Difference::Changed(active)]);
    }

    #[test]
    fn an_index_that_is_used_again_is_another_call() {
        let mut table = Table::default();
        table.update(vec![entry(1, false, Status::Active)], false);
        let other = entry(1, true, Status::Incoming);
        assert_eq!(table.update(vec![other.clone()], false), [Difference::Gone(1), Difference::Appeared(other)]);
    }

    use proptest::prelude::*;

    proptest! {
        /// Whatever lists come: a call is told once, changes while it is there, and goes once; when the network has none
        /// left, two lists later none is known.
        #[test]
        fn random_sequences_leave_no_ghosts(
            lists in prop::collection::vec((prop::collection::btree_map(1u8..5, (any::<bool>(), 0usize..6, any::<bool>()), 0..5), any::<bool>()), 0..40),
        ) {
            const ALL: [Status; 6] =
                [Status::Active, Status::Held, Status::Dialling, Status::Alerting, Status::Incoming, Status::Waiting];
            let mut table = Table::default();
            let mut alive = std::collections::BTreeSet::new();
            let empty = (std::collections::BTreeMap::new(), false);
            for (list, ended) in lists.into_iter().chain([empty.clone(), empty]) {
                let list: Vec<Entry> = list
                    .into_iter()
                    .map(|(index, (incoming, status, multiparty))| {
                        Entry { multiparty, ..entry(index, incoming, ALL[status]) }
                    })
                    .collect();
                for difference in table.update(list.clone(), ended) {
                    match difference {
                        Difference::Appeared(entry) => prop_assert!(alive.insert(entry.index), "told twice"),
                        Difference::Changed(entry) | Difference::Named(entry) => prop_assert!(alive.contains(&entry.index)),
                        Difference::Gone(index) => prop_assert!(alive.remove(&index), "gone twice"),
                    }
                }
                for entry in &list {
                    prop_assert!(alive.contains(&entry.index), "a listed call is known");
                }
            }
            prop_assert!(alive.is_empty(), "ghosts: {:?}", alive);
        }
    }
}
