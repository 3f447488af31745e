//! What may be dialled: the scan before anything goes out (dial modifiers of V.250 6.3.1, refusals of lineMakeCall).

use crate::profile::{Kind, Profile};
use tapi::ErrorCode;
use tspi::Refusal;

/// V.250 guarantees 40 characters of a command line; all modems seen take this many.
const LONGEST: usize = 60;

/// The number as it is dialled; refused where it holds what the line cannot do, so that nothing is dialled half.
pub(crate) fn scan(to: &str, profile: &Profile) -> Result<String, Refusal> {
    // What follows in a dialable address is a subaddress and a name, for people.
    let number = to.split(['|', '^']).next().unwrap_or_default().trim();
    let mut dialled = String::new();
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
    if !dialled.contains(|c: char| c.is_ascii_digit() || c == '*' || c == '#') {
        return Err(Refusal::new(ErrorCode::InvalAddress, "there is nothing to dial"));
    }
    if dialled.len() > LONGEST {
        return Err(Refusal::new(ErrorCode::InvalAddress, format!("more than {LONGEST} characters to dial")));
    }
    Ok(dialled)
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
        let code = |result: Result<String, Refusal>| result.map_err(|refusal| refusal.code);
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
            (&analogue, "555;", Err(ErrorCode::InvalAddress)),
            (&analogue, "555\rAT+CFUN=0", Err(ErrorCode::InvalAddress)),
            (&analogue, "", Err(ErrorCode::InvalAddress)),
            (&analogue, ",,", Err(ErrorCode::InvalAddress)),
            (&cellular, "+49 170 1234567", Ok("+491701234567")),
            (&cellular, "*100#", Ok("*100#")),
            (&cellular, "W555", Err(ErrorCode::DialDialtone)),
            (&cellular, "55+5", Err(ErrorCode::InvalAddress)),
            (&cellular, "555,1", Err(ErrorCode::InvalAddress)),
        ] {
            assert_eq!(code(scan(to, profile)), expected.map(str::to_owned), "{to:?}");
        }
        assert_eq!(code(scan(&"1".repeat(61), &analogue)), Err(ErrorCode::InvalAddress));
    }
}
