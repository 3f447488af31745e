//! Names of lines that their modems complete: `{imei}` and `{serial}`, and `{name}` for the name of the modem.

/// What may stand in a name.
const WORDS: [&str; 3] = ["{imei}", "{serial}", "{name}"];

/// Whether a modem completes the name.
pub fn is_template(text: &str) -> bool {
    text.contains(['{', '}'])
}

/// Whether its IMEI must be known for that.
pub fn needs_imei(text: &str) -> bool {
    text.contains("{imei}")
}

/// Whether what stands in braces is known.
pub fn is_good(text: &str) -> bool {
    !is_template(&WORDS.iter().fold(text.to_owned(), |text, word| text.replace(word, "")))
}

/// The name of the line of one modem; none where the modem does not have what the name needs.
pub fn complete(text: &str, name: &str, serial: Option<&str>, imei: Option<&str>) -> Option<String> {
    let values = [imei, serial, Some(name)];
    WORDS.iter().zip(values).try_fold(text.to_owned(), |text, (word, value)| match value {
        Some(value) => Some(text.replace(word, value)),
        None => (!text.contains(word)).then_some(text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_completed_or_there_is_none() {
        for (text, serial, imei, expected) in [
            ("gsm:{imei}", None, Some("356938035643809"), Some("gsm:356938035643809")),
            ("{name}:{serial}", Some("A1B2"), None, Some("desk:A1B2")),
            ("gsm:{imei}", Some("A1B2"), None, None),
            ("plain", None, None, Some("plain")),
        ] {
            assert_eq!(complete(text, "desk", serial, imei).as_deref(), expected, "{text}");
        }
        for (text, good) in [("gsm:{imei}", true), ("gsm:{imie}", false), ("gsm:{", false), ("gsm", true)] {
            assert_eq!(is_good(text), good, "{text}");
        }
    }
}
