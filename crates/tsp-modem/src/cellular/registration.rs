//! What the network and the SIM card say of themselves, as values: `+CPIN`, `+CREG`, `+CSQ`, `+CNUM`.

use crate::chat::Outcome;
use crate::clcc::dialable;
use crate::response::{FinalResult, after, fields};
use serde::{Deserialize, Serialize};

/// The SIM card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Sim {
    Ready,
    /// It wants its PIN.
    Pin,
    /// It is blocked: it wants its PUK.
    Puk,
    Absent,
    /// Not usable, and why.
    Failure(String),
}

impl Sim {
    /// As `DeviceEvent::Sim` names it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Sim::Ready => "ready",
            Sim::Pin => "pin_required",
            Sim::Puk => "puk_required",
            Sim::Absent => "absent",
            Sim::Failure(_) => "failure",
        }
    }

    /// Why the line is out of service.
    pub(super) fn reason(&self) -> Option<String> {
        Some(match self {
            Sim::Ready => return None,
            Sim::Pin => "the SIM wants SIM PIN".to_owned(),
            Sim::Puk => "the SIM is blocked and wants its PUK: unlock it in a telephone".to_owned(),
            Sim::Absent => "no SIM".to_owned(),
            Sim::Failure(reason) => reason.clone(),
        })
    }

    /// What follows `+CPIN:`.
    pub(super) fn of_words(words: &str) -> Sim {
        match words.trim() {
            "READY" => Sim::Ready,
            "SIM PIN" => Sim::Pin,
            "SIM PUK" | "SIM PUK2" => Sim::Puk,
            "NOT INSERTED" | "NOT READY" | "REMOVED" => Sim::Absent,
            wanted => Sim::Failure(format!("the SIM wants {wanted}")),
        }
    }

    /// The answer to `+CPIN?`. Some modems answer `READY` and no `OK`, some know no SIM; `None`: it is not awake yet.
    pub(super) fn of_answer(lines: &[String], outcome: &Outcome) -> Option<Sim> {
        if let Some(words) = lines.iter().find_map(|line| after(line, "+CPIN:")) {
            return Some(Sim::of_words(words));
        }
        match outcome {
            Outcome::Final(FinalResult::Error(text)) => match after(text, "+CME ERROR:").map(str::trim) {
                Some("14" | "515" | "SIM busy") => None,
                Some("11" | "SIM PIN required") => Some(Sim::Pin),
                Some("12" | "SIM PUK required") => Some(Sim::Puk),
                Some(_) => Some(Sim::Failure(format!("no usable SIM: {text}"))),
                None => Some(Sim::Ready),
            },
            Outcome::Final(_) => Some(Sim::Ready),
            Outcome::TimedOut => Some(Sim::Failure("no answer to AT+CPIN?".to_owned())),
        }
    }
}

/// `<stat>` of 27.007 7.2 in an answer `<n>,<stat>[,…]`; some modems leave out the first.
pub(super) fn answered(rest: &str) -> Option<u8> {
    let fields = fields(rest);
    fields.get(1).or(fields.first()).and_then(|stat| stat.parse().ok())
}

/// The same in news: `<stat>[,<lac>,<ci>…]`.
pub(super) fn told(rest: &str) -> Option<u8> {
    fields(rest).first().and_then(|stat| stat.parse().ok())
}

/// Why a registration does not put the line in service; `None`: it does.
pub(super) fn reason(stat: u8) -> Option<&'static str> {
    match stat {
        1 | 5 | 9 | 10 => None,
        2 => Some("not registered: searching for a network"),
        3 => Some("registration denied by the network"),
        6 | 7 => Some("registered for short messages only"),
        8 => Some("registered for emergency calls only"),
        _ => Some("not registered with a network"),
    }
}

/// Signal level in percent: 0 to 31 is −113 dBm to −51 dBm; 99 is not known.
pub(super) fn percent(rest: &str) -> Option<u8> {
    let level = fields(rest).first()?.parse::<u8>().ok().filter(|level| *level <= 31)?;
    Some((u32::from(level) * 100 / 31) as u8)
}

/// Our own number (`+CNUM: "<name>","<number>",<type>`).
pub(super) fn own_number(line: &str) -> Option<String> {
    let fields = fields(after(line, "+CNUM:")?);
    dialable(fields.get(1)?, fields.get(2).and_then(|kind| kind.parse().ok()))
}

/// The number of the card: 18 to 22 digits, wherever they stand in the line.
pub(super) fn iccid(line: &str) -> Option<String> {
    let digits = |word: &&str| (18..=22).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    line.split(|c: char| !c.is_ascii_alphanumeric()).find(digits).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_the_field() {
        assert_eq!(answered("2,1,\"1A2B\",\"00C3\",2"), Some(1));
        assert_eq!(answered("1,0,1"), Some(0));
        assert_eq!(answered("5"), Some(5));
        assert_eq!(told("5,\"1A2B\",\"00C3\""), Some(5));
        assert_eq!(
            (percent("31,99"), percent("99,99"), percent("0,0"), percent("x")),
            (Some(100), None, Some(0), None)
        );
        assert_eq!(own_number("+CNUM: \"\",\"491701234567\",145"), Some("+491701234567".to_owned()));
        assert_eq!(own_number("+CNUM: \"\",\"\",129"), None);
        for line in [
            "+CCID: 89490200001234567890",
            "+QCCID: 8949020000123456789F",
            "^ICCID: \"89490200001234567890\"",
            "89490200001234567890",
        ] {
            assert!(iccid(line).is_some(), "{line}");
        }
        assert_eq!(iccid("OK"), None);
        let error = |text: &str| Outcome::Final(FinalResult::Error(text.to_owned()));
        assert_eq!(Sim::of_answer(&[], &error("+CME ERROR: 14")), None);
        assert_eq!(Sim::of_answer(&[], &error("+CME ERROR: 12")), Some(Sim::Puk));
        assert_eq!(Sim::of_answer(&["+CPIN: READY".to_owned()], &Outcome::TimedOut), Some(Sim::Ready));
    }
}
