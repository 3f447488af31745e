//! Rings and their patterns: what a `RING` line carries beside itself, and cadences told as `DRON=` and `DROF=`.

use super::LONGEST;
use crate::response::after;
use serde::{Deserialize, Serialize};

/// Bursts of one ring that are told apart.
const LONGEST_CADENCE: usize = 8;
/// A burst shorter than so many tenths of a second is short.
const SHORT: u32 = 12;

/// What a line says of a ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RingLine {
    /// Pattern of a distinctive ring, from 1.
    pub(crate) pattern: u32,
    /// Number of the caller, where the ring's own line carries it.
    pub(crate) number: Option<String>,
    /// The number that was called, where it carries that too.
    pub(crate) called: Option<String>,
}

impl RingLine {
    /// A ring and nothing more.
    pub(crate) fn plain() -> RingLine {
        RingLine { pattern: 1, number: None, called: None }
    }
}

/// Reads `RING`, `RING 2`, `RING B`, `RING;7071;9999`, `RING/0666`, `RING: 3 DN9 8888`, `RING 090909`, `+CRING: VOICE`.
pub(crate) fn ring(line: &str) -> Option<RingLine> {
    let plain = RingLine::plain();
    if let Some(kind) = after(line, "+CRING:") {
        return kind.to_ascii_uppercase().starts_with("VOICE").then_some(plain);
    }
    let rest = after(line, "RING")?;
    let number = |text: &str| {
        let digits: String = text.chars().take_while(|c| c.is_ascii_digit() || *c == '+').take(LONGEST).collect();
        (!digits.is_empty()).then_some(digits)
    };
    Some(match rest.chars().next() {
        None => plain,
        Some(letter @ 'A'..='E') if rest.len() == 1 => RingLine { pattern: u32::from(letter) - 64, ..plain },
        Some(digit @ '1'..='9') if rest.len() == 1 => RingLine { pattern: u32::from(digit) - 48, ..plain },
        Some(digit) if digit.is_ascii_digit() => RingLine { number: number(rest), ..plain },
        Some(';') => {
            let (from, to) = rest.get(1..)?.split_once(';').unwrap_or((rest.get(1..)?, ""));
            RingLine { number: number(from), called: number(to), ..plain }
        }
        // Which of our numbers was called, and nothing of the caller.
        Some('/') => RingLine { called: number(rest.get(1..)?), ..plain },
        Some(':') => with_directory_number(rest.get(1..)?, number),
        Some(_) => return None,
    })
}

/// `3 DN9 8888`: which of our numbers (a pattern as any other), then the caller.
fn with_directory_number(rest: &str, number: impl Fn(&str) -> Option<String>) -> RingLine {
    let ours = |word: &str| word.strip_prefix("DN")?.parse::<u32>().ok().filter(|number| (1..=20).contains(number));
    let pattern = rest.split_whitespace().find_map(ours).unwrap_or(1);
    let caller = rest.split_whitespace().last().filter(|last| !last.starts_with("DN")).and_then(number);
    RingLine { pattern, number: caller, called: None }
}

/// The bursts of the ring that sounds, from `DROF=` and `DRON=` (tenths of a second, `+VDR=1,n`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cadence {
    bursts: Vec<u32>,
    /// Told in so many words (`DSC=2`).
    code: Option<u32>,
}

impl Cadence {
    /// Takes a line; whether it was about a cadence.
    pub(crate) fn line(&mut self, line: &str) -> bool {
        let Some((key, value)) = line.split_once('=') else { return false };
        let Ok(value) = value.trim().parse::<u32>() else { return false };
        match key.trim().to_ascii_uppercase().as_str() {
            "DRON" if self.bursts.len() < LONGEST_CADENCE => self.bursts.push(value),
            // The long pause before a ring begins a new one.
            "DROF" if value == 0 || value >= SHORT => self.bursts.clear(),
            "DRON" | "DROF" => {}
            "DSC" => self.code = Some(value),
            _ => return false,
        }
        true
    }

    /// The pattern, from 1, and whether anything was told: one long burst is 1; two, three and four bursts are 2, 3 and 4;
    /// one short burst is 5.
    pub(crate) fn take(&mut self) -> Option<u32> {
        let told = std::mem::take(self);
        told.code.filter(|code| (1..=20).contains(code)).or(match told.bursts.as_slice() {
            [] => None,
            [one] if *one < SHORT => Some(5),
            bursts => Some(bursts.len().min(4) as u32),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings() {
        let row =
            |pattern, number: Option<&str>| Some(RingLine { pattern, number: number.map(str::to_owned), called: None });
        for (line, expected) in [
            ("RING", row(1, None)),
            ("RING 2", row(2, None)),
            ("RING B", row(2, None)),
            ("RING/0666", Some(RingLine { called: Some("0666".into()), ..RingLine::plain() })),
            ("RING;707070", row(1, Some("707070"))),
            ("RING: 3 DN9 8888", row(9, Some("8888"))),
            ("RING: 3 DN2", row(2, None)),
            ("RING: 3", row(1, Some("3"))),
            ("RING 090909", row(1, Some("090909"))),
            ("+CRING: VOICE", row(1, None)),
            ("+CRING: REL ASYNC", None),
            ("RINGING", None),
            ("RIN", None),
        ] {
            assert_eq!(ring(line), expected, "{line}");
        }
        let both = ring("RING;717171;999999").unwrap();
        assert_eq!((both.number.as_deref(), both.called.as_deref()), (Some("717171"), Some("999999")));
    }

    #[test]
    fn cadences() {
        for (lines, pattern) in [
            (&["DROF=0", "DRON=20"][..], Some(1)),
            (&["DROF=0", "DRON=8", "DROF=4", "DRON=8"], Some(2)),
            (&["DROF=0", "DRON=4", "DROF=2", "DRON=4", "DROF=2", "DRON=8"], Some(3)),
            (&["DROF=40", "DRON=5"], Some(5)),
            (&["DRON = 8", "DROF = 40", "DRON = 20"], Some(1)),
            (&["DSC=3"], Some(3)),
            (&[], None),
        ] {
            let mut cadence = Cadence::default();
            assert!(lines.iter().all(|line| cadence.line(line)));
            assert_eq!(cadence.take(), pattern, "{lines:?}");
            assert_eq!(cadence.take(), None);
        }
        assert!(!Cadence::default().line("DATE=0801") && !Cadence::default().line("DRON"));
    }
}
