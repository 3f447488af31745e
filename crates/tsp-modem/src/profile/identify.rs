//! Which profile a device wants: what it shows of itself, in the order in which it is looked at. USB ids and the kernel's
//! driver are known without a word to the device; then come its answers to identification commands (V.250 6.1, 27.007 5),
//! and last the list of its classes.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Lines that are kept of one answer.
const LONGEST_ANSWER: usize = 16;

/// A thing that a device can be asked for, in the order in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Question {
    /// `vvvv:pppp` of its USB device, in small letters. Not asked: the shell knows.
    Usb,
    /// The kernel's driver of its port. Not asked.
    Driver,
    /// `ATI`.
    Ati,
    /// `ATI0`, product code.
    Ati0,
    /// `ATI3`, firmware.
    Ati3,
    /// `ATI4`, identification.
    Ati4,
    /// `ATI6`, data pump.
    Ati6,
    /// `AT+GMI`, manufacturer.
    Gmi,
    /// `AT+GMM`, model.
    Gmm,
    /// `AT+GMR`, revision.
    Gmr,
    /// `AT+CGMI`, manufacturer of a mobile modem.
    Cgmi,
    /// `AT+CGMM`, its model.
    Cgmm,
    /// `AT+CGMR`, its revision.
    Cgmr,
    /// `AT+GCAP`, capabilities.
    Gcap,
    /// `AT+FCLASS=?`, its classes: 8 is voice (V.253).
    Fclass,
    /// `AT#CLS=?`, its classes in the Rockwell dialect.
    Cls,
}

impl Question {
    /// The command that asks it; none for what is known without.
    pub fn command(self) -> Option<&'static str> {
        Some(match self {
            Question::Usb | Question::Driver => return None,
            Question::Ati => "ATI",
            Question::Ati0 => "ATI0",
            Question::Ati3 => "ATI3",
            Question::Ati4 => "ATI4",
            Question::Ati6 => "ATI6",
            Question::Gmi => "AT+GMI",
            Question::Gmm => "AT+GMM",
            Question::Gmr => "AT+GMR",
            Question::Cgmi => "AT+CGMI",
            Question::Cgmm => "AT+CGMM",
            Question::Cgmr => "AT+CGMR",
            Question::Gcap => "AT+GCAP",
            Question::Fclass => "AT+FCLASS=?",
            Question::Cls => "AT#CLS=?",
        })
    }
}

/// What is known of a device. An answer without lines (or an error) is known too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clues(BTreeMap<Question, Vec<String>>);

impl Clues {
    /// A device that nothing is known of.
    pub fn new() -> Clues {
        Clues::default()
    }

    /// The device is this one on the USB bus.
    pub fn usb(mut self, vendor: u16, product: u16) -> Clues {
        self.0.insert(Question::Usb, vec![format!("{vendor:04x}:{product:04x}")]);
        self
    }

    /// The kernel's driver of its port.
    pub fn driver(mut self, name: &str) -> Clues {
        self.0.insert(Question::Driver, vec![name.to_owned()]);
        self
    }

    /// The device answered so. `+GMI: X` counts as `X`, and quotes do not count.
    pub fn answered(&mut self, question: Question, lines: &[String]) {
        let plain = |line: &String| {
            let name = question.command().and_then(|command| command.strip_prefix("AT")).unwrap_or_default();
            let value = line.strip_prefix(name).and_then(|rest| rest.strip_prefix(':')).unwrap_or(line);
            value.trim().trim_matches('"').to_owned()
        };
        self.0.insert(question, lines.iter().take(LONGEST_ANSWER).map(plain).collect());
    }

    /// Whether it is a USB device like this (`vvvv:pppp`, `*` for anything).
    pub fn is_usb(&self, like: &str) -> bool {
        self.get(Question::Usb).is_some_and(|known| fits(like, known))
    }

    fn get(&self, question: Question) -> Option<&[String]> {
        let found = self.0.get(&question).map(Vec::as_slice);
        // What is not asked is known, if only to be absent.
        if question.command().is_none() { found.or(Some(&[])) } else { found }
    }
}

/// What a device of a family shows: all of it must hold. In a value `*` stands for anything and `?` for one character;
/// the case of letters does not matter. A value holds where one line of the answer is like it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Match(pub BTreeMap<Question, String>);

impl Match {
    /// Whether all of it is known to hold.
    pub(super) fn holds(&self, clues: &Clues) -> bool {
        !self.0.is_empty()
            && self.0.iter().all(|(question, like)| clues.get(*question).is_some_and(|got| fits(like, got)))
    }

    /// The first thing that is not known yet, where nothing known speaks against it.
    pub(super) fn open(&self, clues: &Clues) -> Option<Question> {
        let against = |(question, like): (&Question, &String)| clues.get(*question).is_some_and(|got| !fits(like, got));
        if self.0.iter().any(against) {
            return None;
        }
        self.0.keys().copied().find(|question| clues.get(*question).is_none())
    }
}

fn fits(like: &str, lines: &[String]) -> bool {
    let like: Vec<char> = like.to_lowercase().chars().collect();
    lines.iter().any(|line| glob(&like, &line.to_lowercase().chars().collect::<Vec<_>>()))
}

/// `*` and `?`, in time bounded by the product of the lengths.
fn glob(like: &[char], text: &[char]) -> bool {
    let (mut at, mut seen, mut retry) = (0, 0, None);
    while seen < text.len() {
        match like.get(at) {
            Some('*') => {
                retry = Some((at, seen));
                at += 1;
            }
            Some(one) if *one == '?' || text.get(seen) == Some(one) => {
                at += 1;
                seen += 1;
            }
            _ => match retry {
                Some((star, from)) => {
                    retry = Some((star, from + 1));
                    at = star + 1;
                    seen = from + 1;
                }
                None => return false,
            },
        }
    }
    like.get(at..).is_some_and(|rest| rest.iter().all(|one| *one == '*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (like, text, expected) in [
            ("0572:13*", "0572:1329", true),
            ("0572:13*", "0572:2329", false),
            ("CX930*", "cx93001-EIS_V0.2002-V92", true),
            ("*8*", "0,1,1.0,2,8", true),
            ("*8*", "0,1,1.0", false),
            ("5600?", "56000", true),
            ("5600?", "5600", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "xxaxxbxx", false),
            ("", "", true),
            ("*", "", true),
        ] {
            assert_eq!(fits(like, &[text.to_owned()]), expected, "{like} {text}");
        }
    }
}
