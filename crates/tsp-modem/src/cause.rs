//! Why a call ended, as TAPI names it: from final results, from Q.850 causes, from the words of `+CEER`.

use crate::response::{FinalResult, after, fields};
use tapi::{Cause, DisconnectMode};

/// A final result that ends an outgoing call. `rang`: the far end alerted before.
pub(crate) fn of_result(result: &FinalResult, rang: bool) -> Cause {
    let mode = match result {
        FinalResult::Busy => DisconnectMode::Busy,
        FinalResult::NoAnswer => DisconnectMode::NoAnswer,
        FinalResult::NoDialtone => DisconnectMode::NoDialtone,
        FinalResult::Blacklisted => DisconnectMode::Blocked,
        FinalResult::Delayed => DisconnectMode::TempFailure,
        FinalResult::Fax | FinalResult::Data | FinalResult::Connect => {
            return Cause::new(DisconnectMode::Incompatible).with_text(format!("{}: no voice answered", result.text()));
        }
        FinalResult::NoCarrier if rang => DisconnectMode::NoAnswer,
        FinalResult::Error(text) => of_error(text),
        FinalResult::NoCarrier | FinalResult::Ok | FinalResult::Vcon => DisconnectMode::Unknown,
    };
    Cause::new(mode).with_text(result.text())
}

/// `+CME ERROR` of a dial command (27.007 9.2).
fn of_error(text: &str) -> DisconnectMode {
    let code = after(text, "+CME ERROR:").and_then(|code| code.trim().parse::<u16>().ok());
    match code {
        Some(30 | 31) => DisconnectMode::Unreachable,
        Some(3 | 32) => DisconnectMode::Blocked,
        Some(10..=18) => DisconnectMode::Unavail,
        _ => DisconnectMode::TempFailure,
    }
}

/// A Q.850 cause; `None` where it says nothing that TAPI has a name for.
pub(crate) fn of_q850(cause: u8) -> Option<DisconnectMode> {
    Some(match cause {
        1 | 28 => DisconnectMode::BadAddress,
        2 | 3 | 18 | 20 => DisconnectMode::Unreachable,
        16 | 31 => DisconnectMode::Normal,
        17 => DisconnectMode::Busy,
        19 => DisconnectMode::NoAnswer,
        21 => DisconnectMode::Reject,
        22 => DisconnectMode::NumberChanged,
        27 | 38 => DisconnectMode::OutOfOrder,
        34 | 42 | 44 | 47 => DisconnectMode::Congestion,
        41 | 102 => DisconnectMode::TempFailure,
        8 | 55 | 57 | 87 => DisconnectMode::Blocked,
        63 | 65 | 69 | 79 | 88 => DisconnectMode::Incompatible,
        _ => return None,
    })
}

/// Reads `+CEER: …` (27.007 6.10: free text that modems fill as they like) into the cause that is known so far. A lone
/// number among its fields is a Q.850 cause.
pub(crate) fn with_ceer(mut cause: Cause, line: &str) -> Cause {
    let Some(report) = after(line, "+CEER:") else { return cause };
    let fields = fields(report);
    let mut numbers = fields.iter().filter_map(|field| field.parse::<u8>().ok()).filter(|number| *number > 0);
    if let (Some(number), None) = (numbers.next(), numbers.next())
        && let Some(mode) = of_q850(number)
    {
        cause.mode = mode;
        cause.q850 = Some(number);
    }
    let words: Vec<&str> =
        fields.iter().map(String::as_str).filter(|field| field.chars().any(char::is_alphabetic)).collect();
    if !words.is_empty() {
        cause.text = Some(words.join(", ").chars().take(200).collect());
    }
    let lower = report.to_ascii_lowercase();
    if cause.q850.is_none() && cause.mode == DisconnectMode::Unknown {
        cause.mode = match () {
            () if lower.contains("busy") => DisconnectMode::Busy,
            () if lower.contains("normal") => DisconnectMode::Normal,
            () if lower.contains("reject") => DisconnectMode::Reject,
            () if lower.contains("no answer") || lower.contains("no user responding") => DisconnectMode::NoAnswer,
            () if lower.contains("unassigned") || lower.contains("invalid number") => DisconnectMode::BadAddress,
            () => DisconnectMode::Unknown,
        };
    }
    cause
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_become_modes() {
        let error = |text: &str| FinalResult::Error(text.to_owned());
        for (result, rang, mode) in [
            (FinalResult::Busy, false, DisconnectMode::Busy),
            (FinalResult::NoAnswer, true, DisconnectMode::NoAnswer),
            (FinalResult::NoDialtone, false, DisconnectMode::NoDialtone),
            (FinalResult::NoCarrier, false, DisconnectMode::Unknown),
            (FinalResult::NoCarrier, true, DisconnectMode::NoAnswer),
            (FinalResult::Blacklisted, false, DisconnectMode::Blocked),
            (FinalResult::Delayed, false, DisconnectMode::TempFailure),
            (error("ERROR"), false, DisconnectMode::TempFailure),
            (error("+CME ERROR: 30"), false, DisconnectMode::Unreachable),
            (error("+CME ERROR: 32"), false, DisconnectMode::Blocked),
            (error("+CME ERROR: 10"), false, DisconnectMode::Unavail),
        ] {
            assert_eq!(of_result(&result, rang).mode, mode, "{result:?}");
        }
    }

    #[test]
    fn reports_become_causes() {
        let unknown = Cause::new(DisconnectMode::Unknown);
        for (line, mode, q850, text) in [
            ("+CEER: 17,\"User busy\"", DisconnectMode::Busy, Some(17), Some("User busy")),
            ("+CEER: 16", DisconnectMode::Normal, Some(16), None),
            (
                "+CEER: \"Release\",\"Normal call clearing\"",
                DisconnectMode::Normal,
                None,
                Some("Release, Normal call clearing"),
            ),
            ("+CEER: \"CM user busy\"", DisconnectMode::Busy, None, Some("CM user busy")),
            ("+CEER: 5,16", DisconnectMode::Unknown, None, None),
            ("+CEER: ", DisconnectMode::Unknown, None, None),
        ] {
            let cause = with_ceer(unknown.clone(), line);
            assert_eq!((cause.mode, cause.q850, cause.text.as_deref()), (mode, q850, text), "{line}");
        }
    }
}
