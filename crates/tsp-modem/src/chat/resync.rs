//! Finding the place again after an answer did not come in its time.
//!
//! AT numbers nothing, but a modem answers its commands in the order in which it took them. So the place is found by a
//! command whose answer looks like no other: the marker, which writes a number to a register and reads it back. What
//! comes before its answer is stale, however late it is; after it nothing is owed.
//!
//! ```text
//!  Asking ── AT ─► OK ──► Marking ── ATS10=nS10? ─► n, OK (or ERROR: no such register) ──► Over
//!    └ three times no answer ─► Dead     └ three times no answer ─► Dead
//! ```
//! The first `OK` may be the late answer or that to `AT`; both precede the marker's. An `ERROR` is the marker's, since an
//! `AT` has none and the late answer came before the `OK`.

use super::{FinalResult, PROBES, after};
use serde::{Deserialize, Serialize};

/// The register of the marker: the delay after the loss of a data carrier (V.250 6.3.11), which no voice call has.
const REGISTER: u8 = 10;
/// Numbers of the marker: `FIRST` and so many more.
const FIRST: u8 = 20;
const NUMBERS: u8 = 200;
const LAST_AND_ONE: u8 = FIRST + NUMBERS;
/// A marker without an answer is waited for so often again, while other answers come.
const LONGER: u32 = 8;
/// A number of one of so many last markers shows that the register can be written.
const RECENT: u32 = 16;

/// The marker, over all times that the place was lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Number of the last one.
    number: u8,
    /// How often the modem showed it.
    seen: u32,
}

/// Where we are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Resync {
    stage: Stage,
    /// Information lines of the command whose answer is late.
    prefixes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    /// `AT` was sent so often; so many final results came.
    Asking { owed: u32, sent: u32, answered: u32 },
    /// The marker was sent so often and so often answered; so many final results came at all; it was waited for longer
    /// so often.
    Marking { sent: u32, answered: u32, heard: u32, waits: u32, shown: Shown },
}

/// What number the modem showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Shown {
    None,
    /// Another one.
    Other,
    /// The last marker's.
    Mark,
}

/// What a line or a time-out leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing: it belongs to a call, not to a command.
    News,
    /// It was swallowed.
    Wait,
    /// The answer is waited for once more as long.
    Longer,
    /// This is to be sent.
    Send(String),
    /// Nothing is owed any more.
    Over,
    /// The modem does not answer.
    Dead,
}

/// Answers that are owed beside that to `AT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owed {
    /// So many.
    Of(u32),
    /// Nobody knows: the port was just opened.
    Unknown,
}

impl Resync {
    /// Begins; `AT` is to be sent.
    pub(super) fn new(owed: Owed, prefixes: Vec<String>) -> Resync {
        let owed = match owed {
            Owed::Of(late) => late,
            Owed::Unknown => u32::MAX / 2,
        };
        Resync { stage: Stage::Asking { owed, sent: 1, answered: 0 }, prefixes }
    }

    /// A line; `mark` is the last marker.
    pub(super) fn line(&mut self, line: &str, result: Option<&FinalResult>, mark: &mut Mark) -> Next {
        let ok = result.is_some_and(FinalResult::is_ok);
        let ends = ok || matches!(result, Some(FinalResult::Error(_)));
        // A modem that answers in numbers (V0) is told to use words.
        if let ("0", Stage::Asking { sent, .. }) = (line, &mut self.stage)
            && *sent <= PROBES
        {
            *sent += 1;
            return Next::Send("ATQ0V1".to_owned());
        }
        let last = ok && matches!(self.stage, Stage::Marking { shown: Shown::Mark, .. });
        match &mut self.stage {
            Stage::Asking { owed, sent, answered } if ends => {
                *answered += 1;
                if ok || *answered >= *owed + *sent { self.mark(0, 0, 0, mark) } else { Next::Wait }
            }
            Stage::Marking { sent, answered, heard, shown, .. } if ends => {
                *heard += 1;
                if std::mem::replace(shown, Shown::None) == Shown::None && ok {
                    return Next::Wait;
                }
                *answered += 1;
                // Where the number is known to be shown nothing else will do.
                if last || (*answered >= *sent && mark.seen == 0) { Next::Over } else { Next::Wait }
            }
            stage if line.bytes().all(|byte| byte.is_ascii_digit()) => {
                let number = mark.shown(line);
                if let Stage::Marking { shown, .. } = stage {
                    *shown = number;
                }
                Next::Wait
            }
            _ if self.prefixes.iter().any(|prefix| after(line, prefix).is_some()) => Next::Wait,
            _ => Next::News,
        }
    }

    /// Nothing came in time.
    pub(super) fn timeout(&mut self, mark: &mut Mark) -> Next {
        match &mut self.stage {
            Stage::Asking { sent: PROBES.., answered: 0, .. } => Next::Dead,
            Stage::Asking { sent: PROBES.., .. } => self.mark(0, 0, 0, mark),
            Stage::Asking { sent, .. } => {
                *sent += 1;
                Next::Send("AT".to_owned())
            }
            // Each answer that came, whosever it is, is a reason to wait for the next one.
            Stage::Marking { sent: PROBES.., heard, waits, .. } if *waits < (*heard).min(LONGER) => {
                *waits += 1;
                Next::Longer
            }
            // It answers, and never showed the number: what can be done is done.
            Stage::Marking { sent: PROBES.., heard: 1.., .. } if mark.seen == 0 => Next::Over,
            Stage::Marking { sent: PROBES.., .. } => Next::Dead,
            Stage::Marking { sent, answered, heard, .. } => {
                let (sent, answered, heard) = (*sent, *answered, *heard);
                self.mark(sent, answered, heard, mark)
            }
        }
    }

    fn mark(&mut self, sent: u32, answered: u32, heard: u32, mark: &mut Mark) -> Next {
        mark.number = FIRST + (mark.number.saturating_sub(FIRST) + 1) % NUMBERS;
        self.stage = Stage::Marking { sent: sent + 1, answered, heard, waits: 0, shown: Shown::None };
        Next::Send(format!("ATS{REGISTER}={}S{REGISTER}?", mark.number))
    }
}

impl Mark {
    /// What a number is that the modem shows.
    fn shown(&mut self, line: &str) -> Shown {
        let Ok(number @ FIRST..LAST_AND_ONE) = line.parse::<u8>() else { return Shown::Other };
        let before = (i32::from(self.number) - i32::from(number)).rem_euclid(i32::from(NUMBERS)).unsigned_abs();
        if before < RECENT {
            self.seen = self.seen.saturating_add(1);
        }
        if before == 0 { Shown::Mark } else { Shown::Other }
    }
}
