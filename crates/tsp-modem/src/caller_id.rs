//! Who calls: the formatted caller id of analogue modems (`+VCID=1`), and `+CLIP` of dongles (27.007 7.6).

use crate::clcc::dialable;
use crate::response::{after, fields};
use serde::{Deserialize, Serialize};
use tapi::{Names, Party, PartyFlag};

/// The longest name or number that is kept.
const LONGEST: usize = 80;

/// What was told of the caller so far: any subset, in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CallerId {
    number: Option<Told>,
    name: Option<Told>,
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
    /// Takes a line; whether it belonged to a caller id at all (date and time do, and are not kept: the clock knows).
    pub(crate) fn line(&mut self, line: &str, words: Words<'_>) -> bool {
        let Some((key, value)) = split(line) else { return false };
        match key.to_ascii_uppercase().as_str() {
            "NMBR" | "NBR" | "CALLER NUMBER" | "CALLER'S NUMBER" | "CALLERID" => self.number = told(value, words),
            "NAME" | "CALLER NAME" => self.name = told(value, words),
            "REASON FOR NO CALLER NUMBER" => self.number = self.number.take().or(told(value, words)),
            "DATE" | "TIME" | "MESG" | "DDN_NMBR" | "NDID" | "ANID" => {}
            _ => return false,
        }
        true
    }

    /// A number that came on the ring's own line.
    pub(crate) fn number(&mut self, number: &str, words: Words<'_>) {
        self.number = told(number, words);
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
        Some(Told::Text(value.chars().filter(|c| !c.is_control()).take(LONGEST).collect()))
    }
}

/// What a line says of a ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RingLine {
    /// Pattern of a distinctive ring, from 1.
    pub(crate) pattern: u32,
    /// Number of the caller, where the ring's own line carries it.
    pub(crate) number: Option<String>,
}

/// Reads `RING`, `RING 2`, `RING B`, `RING;7071`, `RING/0666`, `RING: 3 DN9 8888`, `RING 090909`, `+CRING: VOICE`.
pub(crate) fn ring(line: &str) -> Option<RingLine> {
    if let Some(kind) = after(line, "+CRING:") {
        let voice = kind.to_ascii_uppercase().starts_with("VOICE");
        return voice.then_some(RingLine { pattern: 1, number: None });
    }
    let rest = after(line, "RING")?;
    let number = |text: &str| {
        let digits: String = text.chars().take_while(|c| c.is_ascii_digit() || *c == '+').take(LONGEST).collect();
        (!digits.is_empty()).then_some(digits)
    };
    Some(match rest.chars().next() {
        None => RingLine { pattern: 1, number: None },
        Some(letter @ 'A'..='E') if rest.len() == 1 => RingLine { pattern: u32::from(letter) - 64, number: None },
        Some(digit @ '1'..='9') if rest.len() == 1 => RingLine { pattern: u32::from(digit) - 48, number: None },
        Some(digit) if digit.is_ascii_digit() => RingLine { pattern: 1, number: number(rest) },
        Some(';' | '/') => RingLine { pattern: 1, number: number(rest.get(1..)?) },
        Some(':') => RingLine { pattern: 1, number: rest.split_whitespace().last().and_then(number) },
        Some(_) => return None,
    })
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
            (&["NMBR="], None),
        ] {
            assert_eq!(read(lines), party, "{lines:?}");
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
    fn rings() {
        let row = |pattern, number: Option<&str>| Some(RingLine { pattern, number: number.map(str::to_owned) });
        for (line, expected) in [
            ("RING", row(1, None)),
            ("RING 2", row(2, None)),
            ("RING B", row(2, None)),
            ("RING/0666", row(1, Some("0666"))),
            ("RING;707070", row(1, Some("707070"))),
            ("RING;717171;999999", row(1, Some("717171"))),
            ("RING: 3 DN9 8888", row(1, Some("8888"))),
            ("RING 090909", row(1, Some("090909"))),
            ("+CRING: VOICE", row(1, None)),
            ("+CRING: REL ASYNC", None),
            ("RINGING", None),
            ("RIN", None),
        ] {
            assert_eq!(ring(line), expected, "{line}");
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
