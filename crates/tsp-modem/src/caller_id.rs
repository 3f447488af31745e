//! Who calls: the caller id of analogue modems, formatted (`+VCID=1`) and not (`+VCID=2`), and `+CLIP` of dongles (27.007
//! 7.6).

use crate::clcc::dialable;
use crate::response::{after, fields};
use serde::{Deserialize, Serialize};
use tapi::{Names, Party, PartyFlag};

mod ring;
mod unformatted;

pub(crate) use ring::{Cadence, RingLine, ring};

/// The longest name or number that is kept.
const LONGEST: usize = 80;
/// The shortest line of digits that is taken for a number: final results and registers have up to three.
const SHORTEST_BARE: usize = 5;

/// What was told of the caller so far: any subset, in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CallerId {
    number: Option<Told>,
    name: Option<Told>,
    /// The number that was called.
    called: Option<String>,
    /// Who sent the call on.
    diverting: Option<String>,
    /// When the exchange sent it: month and day, hour and minute, of four digits each.
    #[serde(default)]
    date: Option<String>,
    #[serde(default)]
    time: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Told {
    Text(String),
    Private,
    OutOfArea,
}

/// Words for a caller that withholds its identity, and for one that the network cannot name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words<'a> {
    pub(crate) private: &'a [String],
    pub(crate) outside: &'a [String],
}

impl CallerId {
    /// Takes a line; whether it belonged to a caller id at all.
    pub(crate) fn line(&mut self, line: &str, words: Words<'_>) -> bool {
        if let Some((from, to)) = from_to(line) {
            self.number = told(from, words);
            self.called = to.map(clean);
            return true;
        }
        let Some((key, value)) = split(line) else { return false };
        match key.to_ascii_uppercase().as_str() {
            "NMBR" | "NBR" | "CALLER NUMBER" | "CALLER'S NUMBER" | "CALLERID" | "ANID" => {
                self.number = told(value, words).or(self.number.take());
            }
            "NAME" | "CALLER NAME" => self.name = told(value, words).or(self.name.take()),
            "REASON FOR NO CALLER NUMBER" => self.number = self.number.take().or(told(value, words)),
            "REASON FOR NO CALLER NAME" => self.name = self.name.take().or(told(value, words)),
            "DDN_NMBR" | "NDID" => self.called = (!value.is_empty()).then(|| clean(value)),
            "DIVERTING NUMBER" => self.diverting = (!value.is_empty()).then(|| clean(value)),
            // A message whose sum is wrong tells nothing; one that is none is a text for people.
            "MESG" => drop(unformatted::read(self, value)),
            "DATE" => self.date = stamp(value, 4).or(self.date.take()),
            "TIME" => self.stamped(value),
            "ERRM" => {}
            _ => return false,
        }
        true
    }

    /// A line that holds a number and nothing else, which some modems send.
    pub(crate) fn bare(&mut self, line: &str) -> bool {
        let number =
            line.len() >= SHORTEST_BARE && line.len() <= LONGEST && line.bytes().all(|byte| byte.is_ascii_digit());
        if number {
            self.number = Some(Told::Text(line.to_owned()));
        }
        number
    }

    /// The number that was called, where it was told.
    pub(crate) fn called(&self) -> Option<&str> {
        self.called.as_deref()
    }

    /// Who sent the call on, where it was told.
    pub(crate) fn diverting(&self) -> Option<&str> {
        self.diverting.as_deref()
    }

    /// `1801`, or with month and day before it.
    fn stamped(&mut self, text: &str) {
        if let Some(whole) = stamp(text, 8) {
            let (date, time) = whole.split_at(4);
            (self.date, self.time) = (Some(date.to_owned()), Some(time.to_owned()));
        } else {
            self.time = stamp(text, 4).or(self.time.take());
        }
    }

    /// When the exchange says that the call came, by its own clock: `08-01T18:01`. It tells no year.
    pub(crate) fn when(&self) -> Option<String> {
        let (month, day) = self.date.as_deref()?.split_at_checked(2)?;
        let (hour, minute) = self.time.as_deref()?.split_at_checked(2)?;
        let within = |text: &str, low: u32, high: u32| text.parse().is_ok_and(|n: u32| (low..=high).contains(&n));
        let good = within(month, 1, 12) && within(day, 1, 31) && within(hour, 0, 23) && within(minute, 0, 59);
        good.then(|| format!("{month}-{day}T{hour}:{minute}"))
    }

    /// What came on the ring's own line.
    pub(crate) fn on_ring(&mut self, ring: &RingLine, words: Words<'_>) {
        if let Some(number) = &ring.number {
            self.number = told(number, words);
        }
        self.called = ring.called.clone().or(self.called.take());
    }

    /// The caller, where anything is known.
    pub(crate) fn party(&self) -> Option<Party> {
        let text = |told: &Option<Told>| match told {
            Some(Told::Text(text)) => Some(text.clone()),
            _ => None,
        };
        match (&self.number, &self.name) {
            (None, None) => None,
            (Some(Told::Private), _) => Some(flagged(PartyFlag::Blocked, text(&self.name))),
            (Some(Told::OutOfArea), _) => Some(flagged(PartyFlag::OutOfArea, text(&self.name))),
            (None, Some(Told::Private)) => Some(flagged(PartyFlag::Blocked, None)),
            (None, Some(Told::OutOfArea)) => Some(flagged(PartyFlag::OutOfArea, None)),
            (number, name) => Some(Party::new(text(number), text(name))),
        }
    }
}

fn flagged(flag: PartyFlag, name: Option<String>) -> Party {
    let mut flags = Names::from([flag]);
    if name.is_some() {
        flags.insert(PartyFlag::Name);
    }
    Party { flags, address: None, name }
}

/// `FM:1234 TO:5678`.
fn from_to(line: &str) -> Option<(&str, Option<&str>)> {
    let rest = after(line, "FM:")?;
    let (from, to) = rest.split_once("TO:").map_or((rest, None), |(from, to)| (from, Some(to.trim())));
    Some((from.trim(), to.filter(|to| !to.is_empty())))
}

/// The digits of a text, where there are so many.
fn stamp(text: &str, digits: usize) -> Option<String> {
    let found: String = text.chars().filter(char::is_ascii_digit).take(digits + 1).collect();
    (found.len() == digits).then_some(found)
}

/// Text of the network, bounded and without control characters.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST).collect()
}

/// `NMBR=1`, `NMBR = 1`, `CALLER NAME: X`.
fn split(line: &str) -> Option<(&str, &str)> {
    let at = line.find(['=', ':'])?;
    Some((line[..at].trim(), line[at + 1..].trim()))
}

fn told(value: &str, words: Words<'_>) -> Option<Told> {
    let is = |set: &[String]| set.iter().any(|word| word.eq_ignore_ascii_case(value));
    if value.is_empty() {
        None
    } else if is(words.private) {
        Some(Told::Private)
    } else if is(words.outside) {
        Some(Told::OutOfArea)
    } else {
        Some(Told::Text(clean(value)))
    }
}

/// Reads `+CLIP: "<number>",<type>[,…[,…[,"<name>"[,<validity>]]]]`. Without a number the validity says why: 1 withheld,
/// 2 not available.
pub(crate) fn clip(line: &str) -> Option<Party> {
    let fields = fields(after(line, "+CLIP:")?);
    let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u8>().ok());
    let digits = dialable(fields.first()?, number(1));
    let name = fields.get(4).filter(|name| !name.is_empty() && name.len() <= LONGEST).cloned();
    Some(match (digits, number(5)) {
        (None, Some(1)) => flagged(PartyFlag::Blocked, name),
        (None, Some(2)) => flagged(PartyFlag::OutOfArea, name),
        (digits, _) => Party::new(digits, name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Option<Party> {
        let private = ["P", "PRIVATE", "ANONYMOUS"].map(str::to_owned);
        let outside = ["O", "OUT OF AREA", "UNAVAILABLE"].map(str::to_owned);
        let mut id = CallerId::default();
        for line in lines {
            assert!(id.line(line, Words { private: &private, outside: &outside }), "{line}");
        }
        id.party()
    }

    #[test]
    fn formatted_caller_ids() {
        let number = |text: &str, name: &str| Some(Party::new(Some(text.into()), Some(name.into())));
        for (lines, party) in [
            (&["DATE=0801", "TIME=1801", "NMBR=8055554567", "NAME=SMITH JOHN"][..], number("8055554567", "SMITH JOHN")),
            (&["DATE = 0802", "NMBR = 0555"], number("0555", "")),
            (&["DATE=1203", "TIME=1452", "NMBR=07"], number("07", "")),
            (&["CALLER NAME: A", "CALLER NUMBER: 12"], number("12", "A")),
            (&["NMBR=P"], Some(Party::blocked())),
            (&["NMBR = PRIVATE", "NAME = P"], Some(Party::blocked())),
            (&["NMBR=O", "NAME=O"], Some(flagged(PartyFlag::OutOfArea, None))),
            (&["NMBR=OUT OF AREA", "NAME=X"], Some(flagged(PartyFlag::OutOfArea, Some("X".into())))),
            (&["DATE=0801", "TIME=1801"], None),
            (&["FM:040404"], number("040404", "")),
            (&["FM:1234 TO:35655023"], number("1234", "")),
            (&["CallerID: 777"], number("777", "")),
            (&["REASON FOR NO CALLER NUMBER: PRIVATE"], Some(Party::blocked())),
            (&["MESG=800302013708", "NAME=A"], Some(Party::new(None, Some("A".into())))),
            (&["MESG=8003020137", "NAME=A"], number("7", "A")),
            (&["MESG=CALL ME", "NMBR=7"], number("7", "")),
            (&["ERRM", "NMBR=7"][1..], number("7", "")),
            (&["NMBR="], None),
        ] {
            assert_eq!(read(lines), party, "{lines:?}");
        }
    }

    #[test]
    fn the_time_of_the_exchange() {
        let words = Words { private: &[], outside: &[] };
        for (lines, when) in [
            (&["DATE=0801", "TIME=1801"][..], Some("08-01T18:01")),
            (&["DATE = 1203", "TIME = 0000"], Some("12-03T00:00")),
            (&["DATE=08/01", "TIME=18:01"], Some("08-01T18:01")),
            (&["TIME: 08011801"], Some("08-01T18:01")),
            (&["MESG=800A01083038303131383031"], Some("08-01T18:01")),
            (&["MESG=040A30383031313830313132"], Some("08-01T18:01")),
            (&["DATE=1301", "TIME=1801"], None),
            (&["DATE=0801", "TIME=2401"], None),
            (&["DATE=0801"], None),
            (&["TIME=1801"], None),
        ] {
            let mut id = CallerId::default();
            lines.iter().for_each(|line| assert!(id.line(line, words), "{line}"));
            assert_eq!(id.when().as_deref(), when, "{lines:?}");
        }
    }

    #[test]
    fn other_lines_are_none() {
        let mut id = CallerId::default();
        let words = Words { private: &[], outside: &[] };
        for line in ["OK", "RING", "+CLIP: \"1\",129", "=", ":", "SOMETHING=1"] {
            assert!(!id.line(line, words), "{line}");
        }
    }

    #[test]
    fn clips() {
        let number = |text: &str, name: &str| Some(Party::new(Some(text.into()), Some(name.into())));
        for (line, expected) in [
            ("+CLIP: \"1234567\",129,,,,0", number("1234567", "")),
            ("+CLIP: \"491701234567\",145", number("+491701234567", "")),
            ("+CLIP: \"1\",129,\"\",0,\"Alice\",0", number("1", "Alice")),
            ("+CLIP: \"\",128,,,,1", Some(Party::blocked())),
            ("+CLIP: \"\",128,,,,2", Some(flagged(PartyFlag::OutOfArea, None))),
            ("+CLIP: \"\",128", Some(Party::unknown())),
            ("+CLIP: ", Some(Party::unknown())),
            ("+CLCC: 1", None),
        ] {
            assert_eq!(clip(line), expected, "{line}");
        }
    }
}
