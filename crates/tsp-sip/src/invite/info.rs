//! Digits in INFO requests: `application/dtmf-relay` and `application/dtmf`, both ways.

use super::request::Request;
use super::{Call, State, Timer};
use crate::endpoint::{Answer, Endpoint, Purpose};
use crate::message::{Message, Method, Name, content_type_is};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::time::Duration;
use tapi::{ErrorCode, OperationId, Time};
use tspi::{CallRef, Event, Refusal};

/// Length of a digit where nobody says, in milliseconds.
const DIGIT_MS: u32 = 100;
/// Longest digit that is believed, in milliseconds.
const MAX_DIGIT_MS: u32 = 10_000;
/// How long a comma pauses.
const PAUSE: Duration = Duration::from_secs(2);
/// Most digits of a run, and most runs that wait.
const MAX_DIGITS: usize = 256;
const MAX_RUNS: usize = 8;

/// A run of digits that is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    operation: OperationId,
    digits: VecDeque<char>,
    millis: u32,
    /// The INFO that is out.
    tx: Option<u64>,
}

/// The digit of a body, with its length: `Signal=5` and `Duration=160` in lines, or the digit alone.
fn digit(kind: &[u8], body: &[u8]) -> Option<(char, Option<u32>)> {
    let text = std::str::from_utf8(body).ok().filter(|text| text.len() <= 256)?;
    let field = |name: &str| {
        text.lines().filter_map(|line| line.split_once('=')).find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
    };
    let signal = match field("signal") {
        Some((_, value)) => value.trim(),
        None if content_type_is(kind, "application/dtmf") => text.trim(),
        None => return None,
    };
    let digit = match signal {
        "10" => '*',
        "11" => '#',
        "12" | "13" | "14" | "15" => char::from(b"ABCD"[usize::from(signal.as_bytes().get(1)? - b'2')]),
        other => {
            let mut letters = other.chars();
            letters.next().filter(|_| letters.next().is_none())?.to_ascii_uppercase()
        }
    };
    let millis = field("duration").and_then(|(_, value)| value.trim().parse().ok());
    let known = digit.is_ascii_digit() || ('A'..='D').contains(&digit) || matches!(digit, '*' | '#');
    known.then_some((digit, millis.map(|millis: u32| millis.min(MAX_DIGIT_MS))))
}

impl Call {
    /// Their INFO. One without digits only asks whether we are there.
    pub(super) fn on_info(&mut self, ep: &mut Endpoint, now: Time, tx: u64, message: &Message<'_>) {
        let kind = message.first(Name::ContentType).unwrap_or_default();
        let told = digit(kind, message.body);
        let status = if message.body.is_empty() || told.is_some() { 200 } else { 400 };
        ep.respond(now, tx, Answer::new(status));
        if let Some((digit, duration_ms)) = told.filter(|_| self.standing == super::Standing::Live) {
            ep.emit(Event::Digit { call: CallRef(self.id), digit, duration_ms });
        }
    }

    /// Begins to send a run of digits. The reply is given by the caller.
    pub fn send_digits(
        &mut self,
        now: Time,
        (operation, digits): (OperationId, &str),
        duration_ms: Option<u32>,
    ) -> Result<(), Refusal> {
        let known = |digit: char| digit.is_ascii_digit() || matches!(digit, 'A'..='D' | '*' | '#' | ',');
        let digits: VecDeque<char> =
            digits.chars().map(|digit| digit.to_ascii_uppercase()).take(MAX_DIGITS + 1).collect();
        if self.state != State::Confirmed {
            return Err(Refusal::new(ErrorCode::InvalCallState, format!("call {} is not connected", self.id)));
        }
        if digits.is_empty() || digits.len() > MAX_DIGITS || !digits.iter().all(|digit| known(*digit)) {
            return Err(Refusal::new(ErrorCode::InvalDigitList, "digits are 0-9, A-D, *, # and a comma for a pause"));
        }
        if self.runs.len() >= MAX_RUNS {
            return Err(Refusal::new(ErrorCode::ResourceUnavail, "digits are being sent already"));
        }
        let millis = duration_ms.unwrap_or(DIGIT_MS).clamp(40, MAX_DIGIT_MS);
        self.runs.push_back(Run { operation, digits, millis, tx: None });
        if self.runs.len() == 1 {
            // The reply goes before what the run does.
            self.deadlines.set(Timer::Digit, now);
        }
        Ok(())
    }

    /// The time for the next digit.
    pub(super) fn next_digit(&mut self, ep: &mut Endpoint, now: Time) {
        let Some(run) = self.runs.front_mut() else { return };
        let millis = run.millis;
        match run.digits.pop_front() {
            None => self.run_over(ep, now, true),
            Some(',') => self.deadlines.set(Timer::Digit, now + PAUSE),
            Some(digit) => {
                let body = format!("Signal={digit}\r\nDuration={millis}\r\n").into_bytes();
                let content = Some(("application/dtmf-relay", body));
                let request = Request { content, ..Request::new(Method::Info, Purpose::Info) };
                let tx = self.send(ep, now, request);
                if let Some(run) = self.runs.front_mut() {
                    run.tx = tx;
                }
            }
        }
    }

    /// The answer to an INFO of ours.
    pub(super) fn on_info_over(&mut self, ep: &mut Endpoint, now: Time, tx: u64, taken: bool) {
        let Some(run) = self.runs.front_mut().filter(|run| run.tx == Some(tx)) else { return };
        run.tx = None;
        if !taken {
            return self.run_over(ep, now, false);
        }
        let millis = u64::from(run.millis);
        self.deadlines.set(Timer::Digit, now + Duration::from_millis(millis));
    }

    /// No answer to an INFO of ours.
    pub(super) fn on_info_lost(&mut self, ep: &mut Endpoint) {
        self.end_runs(ep);
    }

    fn run_over(&mut self, ep: &mut Endpoint, now: Time, complete: bool) {
        if let Some(run) = self.runs.pop_front()
            && self.standing != super::Standing::Closed
        {
            ep.emit(Event::DigitsSent { call: CallRef(self.id), operation: run.operation, complete });
        }
        if !self.runs.is_empty() {
            self.deadlines.set(Timer::Digit, now);
        }
    }

    /// Nothing more is sent.
    pub(super) fn end_runs(&mut self, ep: &mut Endpoint) {
        self.deadlines.clear(Timer::Digit);
        for run in std::mem::take(&mut self.runs) {
            if self.standing == super::Standing::Closed {
                continue;
            }
            ep.emit(Event::DigitsSent { call: CallRef(self.id), operation: run.operation, complete: false });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_both_kinds() {
        let relay = |body: &str| digit(b"application/dtmf-relay", body.as_bytes());
        let plain = |body: &str| digit(b"application/dtmf", body.as_bytes());
        assert_eq!(relay("Signal=5\r\nDuration=160\r\n"), Some(('5', Some(160))));
        assert_eq!(relay("Signal= *\r\nDuration= 250"), Some(('*', Some(250))));
        assert_eq!(relay("signal=11"), Some(('#', None)));
        assert_eq!(relay("Signal=15"), Some(('D', None)));
        assert_eq!(relay("Signal=a\nDuration=99999999"), Some(('A', Some(10_000))));
        assert_eq!(plain("7"), Some(('7', None)));
        for bad in ["", "5", "Signal=", "Signal=55", "Signal=x", "Duration=100", "Signal=16"] {
            assert_eq!(relay(bad), None, "{bad}");
        }
        assert_eq!(digit(b"application/dtmf", &[0xff]), None);
    }
}
