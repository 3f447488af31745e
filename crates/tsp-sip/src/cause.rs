//! Why calls end: SIP status and Q.850 cause to TAPI's modes, and back. Tables only.

use crate::message::{Message, Name, Params};
use tapi::{Cause, DisconnectMode};

/// The cause that a final response other than 2xx, a BYE or a CANCEL tells. `rang`: whether the far end had alerted.
///
/// A Q.850 cause in a Reason header is the better evidence, where it says more than "something else".
pub fn of(message: &Message<'_>, rang: bool) -> Cause {
    let reason = Reason::of(message);
    let status = message.status();
    let by_q850 = reason.q850.and_then(|cause| of_q850(cause, status.is_none()));
    let mode = match (by_q850, status) {
        (Some(mode), _) => mode,
        (None, Some(status)) => of_status(status, rang),
        (None, None) => DisconnectMode::Normal,
    };
    let words = match &message.start {
        crate::message::Start::Response { reason, .. } => {
            Some(String::from_utf8_lossy(reason).trim().to_owned()).filter(|text| !text.is_empty())
        }
        crate::message::Start::Request { .. } => None,
    };
    Cause { mode, sip: status.filter(|status| *status >= 300), q850: reason.q850, text: reason.text.or(words) }
}

/// The cause of a CANCEL: taken elsewhere when its Reason says so, else given up.
pub fn of_cancel(message: &Message<'_>) -> Cause {
    let reason = Reason::of(message);
    let mode = if reason.sip == Some(200) { DisconnectMode::Pickup } else { DisconnectMode::Cancelled };
    Cause { mode, sip: None, q850: reason.q850, text: reason.text }
}

/// What the Reason headers say (RFC 3326).
#[derive(Debug, Default)]
struct Reason {
    q850: Option<u8>,
    sip: Option<u16>,
    text: Option<String>,
}

impl Reason {
    fn of(message: &Message<'_>) -> Reason {
        let mut reason = Reason::default();
        for value in message.values(Name::Reason) {
            let end = value.iter().position(|&byte| byte == b';').unwrap_or(value.len());
            let (protocol, params) = value.split_at(end);
            let params = Params::of(params.get(1..).unwrap_or_default());
            let cause: Option<u16> = params.text("cause").and_then(|text| text.parse().ok());
            if protocol.trim_ascii().eq_ignore_ascii_case(b"Q.850") {
                reason.q850 = cause.and_then(|cause| u8::try_from(cause).ok()).filter(|cause| (1..128).contains(cause));
            } else if protocol.trim_ascii().eq_ignore_ascii_case(b"SIP") {
                reason.sip = cause;
            }
            let text = params.text("text").map(|text| text.trim_matches('"').to_owned());
            reason.text = reason.text.or(text.filter(|text| !text.is_empty()));
        }
        reason
    }
}

/// TAPI's mode of a final status.
pub fn of_status(status: u16, rang: bool) -> DisconnectMode {
    use DisconnectMode as M;
    match status {
        404 | 414 | 416 | 484 | 485 | 604 => M::BadAddress,
        301 | 410 => M::NumberChanged,
        300..=399 => M::Forwarded,
        486 | 600 => M::Busy,
        480 if rang => M::NoAnswer,
        480 => M::Unavail,
        408 if rang => M::NoAnswer,
        408 | 482 | 483 => M::Unreachable,
        433 | 607 | 608 => M::Blocked,
        401 | 402 | 403 | 407 | 428 | 429 | 436..=438 | 494 | 603 => M::Reject,
        487 => M::Normal,
        405 | 406 | 415 | 420 | 421 | 488 | 501 | 505 | 606 => M::Incompatible,
        500 | 504 | 513 | 481 => M::TempFailure,
        580 => M::QosUnavail,
        502 => M::OutOfOrder,
        503 => M::Congestion,
        600..=699 => M::Reject,
        500..=599 => M::TempFailure,
        _ => M::Unavail,
    }
}

/// TAPI's mode of a Q.850 cause; `None` where the status says it better. `ended`: it came with a BYE.
pub fn of_q850(cause: u8, ended: bool) -> Option<DisconnectMode> {
    use DisconnectMode as M;
    Some(match cause {
        1 | 28 => M::BadAddress,
        2 | 3 | 18 | 20 | 25 => M::Unreachable,
        16 | 31 if ended => M::Normal,
        17 => M::Busy,
        19 => M::NoAnswer,
        21 => M::Reject,
        22 | 23 => M::NumberChanged,
        27 | 38 => M::OutOfOrder,
        34 | 42 | 44 | 47 => M::Congestion,
        41 | 102 => M::TempFailure,
        49 => M::QosUnavail,
        55 | 57 | 87 => M::Blocked,
        29 | 58 | 63 | 65 | 69 | 70 | 79 | 88 => M::Incompatible,
        _ => return None,
    })
}

/// The status that refuses a call for this reason. Do not disturb is 480: a 486 would be counted as busy and tried again.
pub fn status_of(reason: Option<&DisconnectMode>) -> u16 {
    use DisconnectMode as M;
    match reason {
        Some(M::Busy) => 486,
        Some(M::NoAnswer | M::DoNotDisturb | M::Unavail) => 480,
        Some(M::BadAddress) => 404,
        Some(M::NumberChanged) => 410,
        Some(M::Congestion) => 503,
        Some(M::Incompatible) => 488,
        Some(M::OutOfOrder) => 502,
        Some(M::TempFailure) => 500,
        Some(M::QosUnavail) => 580,
        Some(M::Unreachable) => 404,
        _ => 603,
    }
}

/// The Q.850 cause of a mode, for the Reason that we send; `None` where there is none that says it.
pub fn q850_of(mode: &DisconnectMode) -> Option<u8> {
    use DisconnectMode as M;
    Some(match mode {
        M::Normal | M::Cancelled => 16,
        M::Busy => 17,
        M::NoAnswer => 19,
        M::Unavail => 20,
        M::Reject => 21,
        M::NumberChanged => 22,
        M::OutOfOrder => 27,
        M::BadAddress => 1,
        M::Unreachable => 3,
        M::Congestion => 34,
        M::TempFailure => 41,
        M::QosUnavail => 49,
        M::Blocked => 55,
        M::Incompatible => 88,
        _ => return None,
    })
}

/// The value of the Reason (RFC 3326) that goes with a BYE, a CANCEL or a refusal of ours.
pub fn reason_of(mode: &DisconnectMode) -> Option<String> {
    if *mode == DisconnectMode::Pickup {
        return Some("SIP;cause=200;text=\"Call completed elsewhere\"".to_owned());
    }
    q850_of(mode).map(|cause| format!("Q.850;cause={cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::scan;

    fn cause(text: &str, rang: bool) -> Cause {
        of(&scan(text.as_bytes()).unwrap(), rang)
    }

    #[test]
    fn a_q850_cause_is_believed_before_the_status() {
        let told = cause("SIP/2.0 480 Sorry\r\nReason: Q.850;cause=17;text=\"User busy\"\r\n\r\n", false);
        assert_eq!((told.mode, told.sip, told.q850), (DisconnectMode::Busy, Some(480), Some(17)));
        assert_eq!(told.text.as_deref(), Some("User busy"));
        let vague = cause("SIP/2.0 486 Busy Here\r\nReason: Q.850;cause=127\r\n\r\n", false);
        assert_eq!((vague.mode, vague.q850), (DisconnectMode::Busy, Some(127)));
        assert_eq!(vague.text.as_deref(), Some("Busy Here"));
    }

    #[test]
    fn no_answer_is_only_what_had_rung() {
        assert_eq!(cause("SIP/2.0 480 x\r\n\r\n", true).mode, DisconnectMode::NoAnswer);
        assert_eq!(cause("SIP/2.0 480 x\r\n\r\n", false).mode, DisconnectMode::Unavail);
        assert_eq!(cause("SIP/2.0 408 x\r\n\r\n", false).mode, DisconnectMode::Unreachable);
    }

    #[test]
    fn a_plain_bye_is_normal_and_a_cancel_may_be_a_pickup() {
        assert_eq!(cause("BYE sip:a@b SIP/2.0\r\n\r\n", true).mode, DisconnectMode::Normal);
        let cancel = "CANCEL sip:a@b SIP/2.0\r\nReason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n\r\n";
        assert_eq!(of_cancel(&scan(cancel.as_bytes()).unwrap()).mode, DisconnectMode::Pickup);
        let cancel = "CANCEL sip:a@b SIP/2.0\r\n\r\n";
        assert_eq!(of_cancel(&scan(cancel.as_bytes()).unwrap()).mode, DisconnectMode::Cancelled);
    }

    #[test]
    fn every_refusal_comes_back_as_what_it_was_where_sip_can_say_it() {
        for mode in ["busy", "reject", "bad_address", "congestion", "incompatible", "out_of_order", "temp_failure"] {
            let mode = DisconnectMode::from(mode);
            assert_eq!(of_status(status_of(Some(&mode)), true), mode);
        }
        assert_eq!(status_of(None), 603);
    }
}
