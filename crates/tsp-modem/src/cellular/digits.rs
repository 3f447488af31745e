//! Runs of digits by `+VTS`, one command a digit.

use super::*;
use crate::context::Out;
use std::collections::VecDeque;
use tapi::OperationId;
use tspi::Event;

/// Runs that may wait.
const LONGEST_QUEUE: usize = 8;
/// Digits of a run.
pub(super) const LONGEST_RUN: usize = 256;
/// What a comma pauses.
const PAUSE: Duration = Duration::from_secs(2);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Run {
    call: CallRef,
    /// The call's number in the modem.
    index: u8,
    operation: OperationId,
    digits: VecDeque<char>,
    duration_ms: Option<u32>,
    /// The digit that went out last.
    last: Option<char>,
}

impl Run {
    pub(super) fn new(call: CallRef, index: u8, operation: OperationId, digits: &str, duration_ms: Option<u32>) -> Run {
        Run { call, index, operation, digits: digits.chars().collect(), duration_ms, last: None }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    /// No run.
    #[default]
    Idle,
    /// A digit is on its way.
    Asked,
    /// The next one goes out then.
    Gap { until: Time },
}

/// The runs; the first is under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Digits {
    state: State,
    runs: VecDeque<Run>,
}

impl Digits {
    pub(super) fn is_full(&self) -> bool {
        self.runs.len() >= LONGEST_QUEUE
    }

    pub(super) fn begin(&mut self, context: &mut Context<'_>, run: Run) {
        self.runs.push_back(run);
        if self.state == State::Idle {
            self.next_run(context);
        }
    }

    fn next_run(&mut self, context: &mut Context<'_>) {
        self.state = State::Idle;
        if let Some(run) = self.runs.front() {
            let template = &cell_of(context).dtmf_length;
            if let (Some(duration), false) = (run.duration_ms, template.is_empty()) {
                let tenths = duration.div_ceil(100).clamp(1, 255).to_string();
                context.plain(&template.replace("{d}", &tenths), Purpose::Aside);
            }
            self.next_digit(context);
        }
    }

    fn next_digit(&mut self, context: &mut Context<'_>) {
        let Some(run) = self.runs.front_mut() else { return self.state = State::Idle };
        match run.digits.pop_front() {
            None => self.end(context, true),
            Some(',') => self.state = State::Gap { until: context.now + PAUSE },
            Some(digit) => {
                let text = cell_of(context).dtmf.replace("{c}", &digit.to_string());
                let text = text.replace("{i}", &run.index.to_string());
                run.last = Some(digit);
                let wait = context.profile.timeouts_ms.default + run.duration_ms.unwrap_or(0).min(30_000);
                context.ask(Ask::new(text, Purpose::Digit, wait));
                self.state = State::Asked;
            }
        }
    }

    fn end(&mut self, context: &mut Context<'_>, complete: bool) {
        if let Some(run) = self.runs.pop_front() {
            context.out.event(Event::DigitsSent { call: run.call, operation: run.operation, complete });
        }
        self.next_run(context);
    }

    /// A digit went out, or was refused.
    pub(super) fn done(&mut self, context: &mut Context<'_>, outcome: &Outcome) {
        if self.state != State::Asked {
            return;
        }
        match outcome {
            Outcome::Final(result) if result.is_ok() => {
                let last = self.runs.front().is_none_or(|run| run.digits.is_empty());
                if last {
                    return self.end(context, true);
                }
                let cell = cell_of(context);
                let same =
                    self.runs.front().is_some_and(|run| run.last.is_some() && run.last.as_ref() == run.digits.front());
                let gap = if same { cell.dtmf_gap_ms.max(cell.dtmf_same_gap_ms) } else { cell.dtmf_gap_ms };
                self.state = State::Gap { until: context.now + millis(gap) };
            }
            _ => self.end(context, false),
        }
    }

    /// The call ends: its runs do too.
    pub(super) fn call_ends(&mut self, out: &mut Out, call: CallRef) {
        let under_way = self.runs.front().is_some_and(|run| run.call == call);
        self.runs.retain(|run| {
            let ends = run.call == call;
            if ends {
                out.event(Event::DigitsSent { call, operation: run.operation, complete: false });
            }
            !ends
        });
        if under_way {
            self.state = State::Idle;
        }
    }

    pub(super) fn fail_all(&mut self, out: &mut Out) {
        for run in self.runs.drain(..) {
            out.event(Event::DigitsSent { call: run.call, operation: run.operation, complete: false });
        }
        self.state = State::Idle;
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        match self.state {
            State::Gap { until } => Some(until),
            State::Idle | State::Asked => None,
        }
    }

    pub(super) fn timeout(&mut self, context: &mut Context<'_>) {
        match self.state {
            State::Gap { until } if context.now >= until => self.next_digit(context),
            State::Idle if !self.runs.is_empty() => self.next_run(context),
            _ => {}
        }
    }
}
