//! What may be dialled: the scan before anything goes out (dial modifiers of V.250 6.3.1, refusals of lineMakeCall).

use crate::Office;
use crate::profile::{Kind, Profile};
use serde::{Deserialize, Serialize};
use tapi::ErrorCode;
use tspi::Refusal;

/// V.250 guarantees 40 characters of a command line; all modems seen take this many.
pub(crate) const LONGEST: usize = 60;

/// A number as it is dialled, and whether more digits of it are to come (`;` at the end of a dialable address).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dialled {
    pub(crate) number: String,
    pub(crate) more: More,
}

/// Whether more digits are to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum More {
    /// This is all.
    None,
    /// They are.
    Follows,
}

/// The number as it is dialled; refused where it holds what the line cannot do, so that nothing is dialled half, and where
/// the caller's own number is to be withheld and the line has no way to do so, so that nobody learns it by mistake.
pub(crate) fn scan(to: &str, profile: &Profile, office: &Office, block_id: bool) -> Result<Dialled, Refusal> {
    let prefix = if block_id { withheld_by(profile, office)? } else { "" };
    scanned(to, profile, prefix)
}

/// Further digits of a number that was begun.
pub(crate) fn scan_more(to: &str, profile: &Profile) -> Result<Dialled, Refusal> {
    scanned(to, profile, "")
}

fn scanned(to: &str, profile: &Profile, before: &str) -> Result<Dialled, Refusal> {
    // What follows in a dialable address is a subaddress and a name, for people.
    let number = to.split(['|', '^']).next().unwrap_or_default().trim();
    let (number, more) = match number.strip_suffix(';') {
        Some(number) if profile.kind == Kind::Analogue => (number, More::Follows),
        _ => (number, More::None),
    };
    let mut dialled = before.to_owned();
    let prefix = dialled.len();
    for (at, character) in number.chars().enumerate() {
        let character = match (profile.kind, character) {
            (_, ' ' | '-' | '.' | '(' | ')') => continue,
            (_, '?') => return Err(Refusal::new(ErrorCode::DialPrompt, "the number asks for a prompt (?)")),
            (_, 'w' | 'W' | '@' | '$') => modifier(character.to_ascii_uppercase(), profile)?,
            (_, '0'..='9' | '*' | '#') => character,
            (Kind::Analogue, ',' | '!') => character,
            (Kind::Analogue, 'A'..='D' | 'a'..='d' | 'T' | 't' | 'P' | 'p') => character.to_ascii_uppercase(),
            (Kind::Cellular, '+') if at == 0 => character,
            (Kind::Analogue, '+') => {
                let text = "an analogue line cannot dial +: give the number as it is dialled here";
                return Err(Refusal::new(ErrorCode::InvalAddress, text));
            }
            (_, other) => {
                let text = format!("the number cannot hold {other:?} on this line");
                return Err(Refusal::new(ErrorCode::InvalAddress, text));
            }
        };
        dialled.push(character);
    }
    if !dialled[prefix..].contains(|c: char| c.is_ascii_digit() || c == '*' || c == '#') {
        return Err(Refusal::new(ErrorCode::InvalAddress, "there is nothing to dial"));
    }
    if dialled.len() > LONGEST {
        return Err(Refusal::new(ErrorCode::InvalAddress, format!("more than {LONGEST} characters to dial")));
    }
    Ok(Dialled { number: dialled, more })
}

/// What is dialled before a number to withhold our own. A cellular line asks for it in the dial command instead.
fn withheld_by<'a>(profile: &'a Profile, office: &'a Office) -> Result<&'a str, Refusal> {
    let able = match (&profile.voice, &profile.cell) {
        (Some(_), _) if !office.block_prefix.is_empty() => Some(office.block_prefix.as_str()),
        (Some(voice), _) => voice.block_prefix.as_deref(),
        (None, Some(cell)) => cell.dial_withheld.as_ref().map(|_| ""),
        (None, None) => None,
    };
    able.ok_or_else(|| Refusal::new(ErrorCode::InvalCallParams, "this line cannot withhold its number"))
}

fn modifier(character: char, profile: &Profile) -> Result<char, Refusal> {
    let (able, code, what) = match character {
        '@' => (profile.line.quiet, ErrorCode::DialQuiet, "a quiet answer (@)"),
        '$' => (profile.line.billing, ErrorCode::DialBilling, "billing tone ($)"),
        _ => (profile.line.dialtone, ErrorCode::DialDialtone, "dial tone (W)"),
    };
    if able { Ok(character) } else { Err(Refusal::new(code, format!("the line cannot detect {what}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_modifiers() {
        let analogue = Profile::builtin("v253").unwrap();
        let cellular = Profile::builtin("27007").unwrap();
        let none = Office::default();
        let code = |result: Result<Dialled, Refusal>| match result {
            Ok(Dialled { number, more: More::None }) => Ok(number),
            Ok(Dialled { number, more: More::Follows }) => Ok(format!("{number} …")),
            Err(refusal) => Err(refusal.code),
        };
        for (profile, to, expected) in [
            (&analogue, "5551234", Ok("5551234")),
            (&analogue, "(555) 12-34", Ok("5551234")),
            (&analogue, "0W555,,#12", Ok("0W555,,#12")),
            (&analogue, "t555", Ok("T555")),
            (&analogue, "555|12^Bob", Ok("555")),
            (&analogue, "555?1", Err(ErrorCode::DialPrompt)),
            (&analogue, "555@1", Err(ErrorCode::DialQuiet)),
            (&analogue, "555$1", Err(ErrorCode::DialBilling)),
            (&analogue, "+49555", Err(ErrorCode::InvalAddress)),
            (&analogue, "555;", Ok("555 …")),
            (&analogue, "5;55", Err(ErrorCode::InvalAddress)),
            (&cellular, "555;", Err(ErrorCode::InvalAddress)),
            (&analogue, "555\rAT+CFUN=0", Err(ErrorCode::InvalAddress)),
            (&analogue, "", Err(ErrorCode::InvalAddress)),
            (&analogue, ",,", Err(ErrorCode::InvalAddress)),
            (&cellular, "+49 170 1234567", Ok("+491701234567")),
            (&cellular, "*100#", Ok("*100#")),
            (&cellular, "W555", Err(ErrorCode::DialDialtone)),
            (&cellular, "55+5", Err(ErrorCode::InvalAddress)),
            (&cellular, "555,1", Err(ErrorCode::InvalAddress)),
        ] {
            assert_eq!(code(scan(to, profile, &none, false)), expected.map(str::to_owned), "{to:?}");
        }
        assert_eq!(code(scan(&"1".repeat(61), &analogue, &none, false)), Err(ErrorCode::InvalAddress));
    }

    #[test]
    fn a_number_is_withheld_or_the_call_refused() {
        let mut analogue = Profile::builtin("v253").unwrap();
        let cellular = Profile::builtin("27007").unwrap();
        let none = Office::default();
        let refusal = scan("555", &analogue, &none, true).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::InvalCallParams);
        assert_eq!(refusal.text, "this line cannot withhold its number");
        analogue.voice.as_mut().unwrap().block_prefix = Some("*67,".into());
        assert_eq!(scan("555", &analogue, &none, true).unwrap().number, "*67,555");
        assert_eq!(scan("555", &analogue, &none, false).unwrap().number, "555");
        assert!(scan(",", &analogue, &none, true).is_err(), "the prefix alone is no number");
        assert_eq!(scan("555", &cellular, &none, true).unwrap().number, "555");
        let gb = Office::named("gb").unwrap();
        assert_eq!(
            scan("555", &analogue, &gb, true).unwrap().number,
            "141555",
            "the exchange's prefix before the profile's"
        );
        let mut unable = cellular.clone();
        unable.cell.as_mut().unwrap().dial_withheld = None;
        assert_eq!(scan("555", &unable, &none, true).unwrap_err().code, ErrorCode::InvalCallParams);
    }
}
