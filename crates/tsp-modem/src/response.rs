//! Final result codes (V.250 5.7.1, 27.007 9.1), in all the spellings of the field.

use serde::{Deserialize, Serialize};

/// What ends the answer to a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FinalResult {
    /// Done.
    Ok,
    /// A stream begins, or a data call is up.
    Connect,
    /// A voice connection is up.
    Vcon,
    /// The connection is gone, or did not come to be.
    NoCarrier,
    /// Nobody answered.
    NoAnswer,
    /// No dial tone.
    NoDialtone,
    /// Busy.
    Busy,
    /// The number may not be dialled for a while.
    Blacklisted,
    /// The number may be dialled again only later.
    Delayed,
    /// A fax answered (`FAX`, `+FCON`).
    Fax,
    /// A data modem answered.
    Data,
    /// It was refused, with the words of the modem.
    Error(String),
}

/// Which final results a command can have beside `OK` and errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Accepts {
    /// None, but `VCON`, which some modems say for `OK`.
    Plain,
    /// All that a call can come to.
    Call,
    /// The beginning of a stream, or the loss of the connection.
    Stream,
}

impl FinalResult {
    /// Reads a line; `None` where it is no final result.
    pub(crate) fn parse(line: &str) -> Option<FinalResult> {
        let upper = line.to_ascii_uppercase();
        Some(match upper.as_str() {
            "OK" => FinalResult::Ok,
            "VCON" | "+VCON" | "#VCON" | "VOICE" => FinalResult::Vcon,
            "NO CARRIER" => FinalResult::NoCarrier,
            "NO ANSWER" => FinalResult::NoAnswer,
            "NO DIALTONE" | "NO DIAL TONE" => FinalResult::NoDialtone,
            "BUSY" => FinalResult::Busy,
            "BLACKLISTED" => FinalResult::Blacklisted,
            "DELAYED" => FinalResult::Delayed,
            "FAX" | "+FCON" | "+FCO" => FinalResult::Fax,
            "DATA" => FinalResult::Data,
            "ERROR" | "COMMAND NOT SUPPORT" | "NA" | "+FCERROR" => FinalResult::Error(line.to_owned()),
            other if other == "CONNECT" || other.starts_with("CONNECT ") => FinalResult::Connect,
            other
                if other
                    .strip_prefix("^CONNECT")
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', ':'])) =>
            {
                FinalResult::Connect
            }
            other if ["+CME ERROR", "+CMS ERROR", "MODEM ERROR"].iter().any(|start| other.starts_with(start)) => {
                FinalResult::Error(line.to_owned())
            }
            _ => return None,
        })
    }

    /// Reads a result of a modem that was told to use numbers (`V0`, V.250 6.2.3 and table 1).
    pub(crate) fn numeric(line: &str) -> Option<FinalResult> {
        Some(match line {
            "0" => FinalResult::Ok,
            "1" => FinalResult::Connect,
            "3" => FinalResult::NoCarrier,
            "4" => FinalResult::Error("4 (ERROR)".to_owned()),
            "6" => FinalResult::NoDialtone,
            "7" => FinalResult::Busy,
            "8" => FinalResult::NoAnswer,
            _ => return None,
        })
    }

    /// Whether it can end a command of this kind; elsewhere the same line is unsolicited.
    pub(crate) fn ends(&self, accepts: Accepts) -> bool {
        match self {
            FinalResult::Ok | FinalResult::Vcon | FinalResult::Error(_) => true,
            FinalResult::Connect | FinalResult::NoCarrier => accepts != Accepts::Plain,
            FinalResult::NoAnswer
            | FinalResult::NoDialtone
            | FinalResult::Busy
            | FinalResult::Blacklisted
            | FinalResult::Delayed
            | FinalResult::Fax
            | FinalResult::Data => accepts == Accepts::Call,
        }
    }

    /// The result as profiles spell it.
    pub(crate) fn text(&self) -> &str {
        match self {
            FinalResult::Ok => "OK",
            FinalResult::Connect => "CONNECT",
            FinalResult::Vcon => "VCON",
            FinalResult::NoCarrier => "NO CARRIER",
            FinalResult::NoAnswer => "NO ANSWER",
            FinalResult::NoDialtone => "NO DIALTONE",
            FinalResult::Busy => "BUSY",
            FinalResult::Blacklisted => "BLACKLISTED",
            FinalResult::Delayed => "DELAYED",
            FinalResult::Fax => "FAX",
            FinalResult::Data => "DATA",
            FinalResult::Error(text) => text,
        }
    }

    /// Whether it means success to a plain command.
    pub(crate) fn is_ok(&self) -> bool {
        matches!(self, FinalResult::Ok | FinalResult::Vcon)
    }
}

/// A line without the echo of what was sent: nothing where it is that alone, what follows where it is a part of it that the
/// result ran into (`AT+FCOK`).
pub(crate) fn past_echo<'a>(line: &'a str, sent: &str) -> Option<&'a str> {
    if sent.is_empty() || line != sent {
        let same = line.bytes().zip(sent.bytes()).take_while(|(one, other)| one == other).count();
        let rest = line.get(same..).filter(|rest| same >= 2 && FinalResult::parse(rest).is_some());
        return Some(rest.unwrap_or(line));
    }
    None
}

/// Takes apart a line into which a modem ran an error and the next thing it said (`ERROR+CNUM: …`).
pub(crate) fn unglue(line: &str) -> (&str, Option<&str>) {
    match line.strip_prefix("ERROR") {
        Some(rest) if rest.starts_with(['+', '^']) => ("ERROR", Some(rest)),
        _ => (line, None),
    }
}

/// The fields of an answer such as `+CREG: 0,1,"1A2B"`: cut at commas outside quotes, without the quotes.
pub(crate) fn fields(text: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for character in text.trim().chars() {
        match character {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            _ => {
                if let Some(last) = fields.last_mut() {
                    last.push(character);
                }
            }
        }
    }
    fields.iter().map(|field| field.trim().to_owned()).collect()
}

/// What follows `prefix` in a line, whatever its case.
pub(crate) fn after<'a>(line: &'a str, prefix: &str) -> Option<&'a str> {
    let head = line.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| line[prefix.len()..].trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn final_results_of_the_field() {
        let error = |text: &str| Some(FinalResult::Error(text.to_owned()));
        for (line, result) in [
            ("OK", Some(FinalResult::Ok)),
            ("NO DIALTONE", Some(FinalResult::NoDialtone)),
            ("NO DIAL TONE", Some(FinalResult::NoDialtone)),
            ("VCON", Some(FinalResult::Vcon)),
            ("#VCON", Some(FinalResult::Vcon)),
            ("CONNECT 115200", Some(FinalResult::Connect)),
            ("^CONNECT", Some(FinalResult::Connect)),
            ("^CONNECT: 1", Some(FinalResult::Connect)),
            ("^CONNECTED", None),
            ("+CME ERROR: 515", error("+CME ERROR: 515")),
            ("+CME ERROR: SIM not inserted", error("+CME ERROR: SIM not inserted")),
            ("COMMAND NOT SUPPORT", error("COMMAND NOT SUPPORT")),
            ("MODEM ERROR: 3", error("MODEM ERROR: 3")),
            ("NA", error("NA")),
            ("RING", None),
            ("CONNECTED", None),
            ("NAME = OK", None),
        ] {
            assert_eq!(FinalResult::parse(line), result, "{line}");
        }
    }

    #[test]
    fn a_result_that_follows_a_part_of_the_echo_is_one() {
        assert_eq!(past_echo("AT+FCLASS=8", "AT+FCLASS=8"), None);
        assert_eq!(past_echo("AT+FCOK", "AT+FCLASS=8"), Some("OK"));
        assert_eq!(past_echo("AT+VTNO CARRIER", "AT+VTR"), Some("NO CARRIER"));
        assert_eq!(past_echo("OK", "AT+FCLASS=8"), Some("OK"));
        assert_eq!(past_echo("OK", ""), Some("OK"));
        assert_eq!(past_echo("AT+FC", "AT+FCLASS=8"), Some("AT+FC"));
    }

    #[test]
    fn an_error_that_ran_into_the_next_line_is_taken_apart() {
        assert_eq!(unglue("ERROR+CNUM: \"\",\"1\",129"), ("ERROR", Some("+CNUM: \"\",\"1\",129")));
        assert_eq!(unglue("ERROR"), ("ERROR", None));
    }

    #[test]
    fn fields_keep_commas_inside_quotes() {
        assert_eq!(fields(r#"1,"a,b",,"""#), ["1", "a,b", "", ""]);
    }
}
