//! The AT engine: one command in flight, and no answer ever taken for another command's.
//!
//! ```text
//!           ask                 final result              dead time over
//!  Idle ─────────► Waiting ─────────────────► Pause ─────────────────► Idle
//!                     │ │ CONNECT of a stream ─► Held ── raw ─► Waiting
//!                     │ └ abort ─► Aborting ─┐
//!  Opening ── settled ──────┴ time-out ──────┴► Resync ── nothing is owed any more ─► Pause
//!                                                  └ no answer, three times ─► Dead
//! ```
//! A line that comes while a command waits is, in this order: its echo, one of its final results, an information
//! response with one of its prefixes, or unsolicited. After a time-out the answer may still be under way: nothing else is
//! asked before the place is found again ([`resync`]). The same where a port is opened, since nobody knows what it owes,
//! and where a final result comes that no command waits for, since then the last one may have got another's.

use crate::line::Assembler;
use crate::response::{Accepts, FinalResult, after, past_echo, unglue};
use resync::{Mark, Next, Owed, Resync};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::time::Duration;
use tapi::Time;

mod resync;
mod retime;
#[cfg(test)]
mod tests;

/// Commands that may wait behind the one in flight.
const LONGEST_QUEUE: usize = 64;
/// Information lines that are kept of one response.
const LONGEST_RESPONSE: usize = 256;
/// `AT` is tried so often before the modem counts as dead.
const PROBES: u32 = 3;

/// A command to be sent, and what its answer may look like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ask<P> {
    /// The command line without its CR.
    pub(crate) text: String,
    /// Whose it is.
    pub(crate) purpose: P,
    timeout: Duration,
    accepts: Accepts,
    prefixes: Vec<String>,
    kind: Kind,
    /// What follows once the modem asks for it with `>` (27.005 3.5.1).
    body: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    /// A command line.
    Line,
    /// A command line that has at least one information line: an `OK` without is another command's.
    Informing,
    /// A command line that has a body.
    Prompting,
    /// Shielded bytes inside a stream, or none; a time-out of it leads to no resynchronisation.
    Raw,
}

impl<P> Ask<P> {
    /// A command that answers `OK` or an error.
    pub(crate) fn new(text: impl Into<String>, purpose: P, timeout_ms: u32) -> Ask<P> {
        Ask {
            text: text.into(),
            purpose,
            timeout: Duration::from_millis(u64::from(timeout_ms)),
            accepts: Accepts::Plain,
            prefixes: Vec::new(),
            kind: Kind::Line,
            body: None,
        }
    }

    /// It has a body, which is written when the modem prompts for it, and ends with Ctrl-Z.
    pub(crate) fn with_body(mut self, body: String) -> Ask<P> {
        self.body = Some(body);
        self.kind = Kind::Prompting;
        self
    }

    /// Its final results are of this kind.
    pub(crate) fn accepts(mut self, accepts: Accepts) -> Ask<P> {
        self.accepts = accepts;
        self
    }

    /// Its information lines may begin so.
    pub(crate) fn expects(mut self, prefix: &str) -> Ask<P> {
        self.prefixes.push(prefix.to_owned());
        self
    }

    /// It always has an information line.
    pub(crate) fn informing(mut self) -> Ask<P> {
        self.kind = Kind::Informing;
        self
    }
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// With a final result.
    Final(FinalResult),
    /// Without one, in its time.
    TimedOut,
}

/// What the engine tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Said<P> {
    /// Bytes to write.
    Write(Vec<u8>),
    /// A command goes out now; the bytes follow.
    Sent {
        /// The line, or what the bytes are.
        text: String,
        /// Whose it is; `None` for the engine's own.
        purpose: Option<P>,
    },
    /// A line came in, whatever it is.
    Line(String),
    /// A line that belongs to no command.
    Unsolicited(String),
    /// A command ended.
    Done {
        /// Its text.
        text: String,
        /// Whose it was.
        purpose: P,
        /// Its information lines.
        lines: Vec<String>,
        /// How.
        outcome: Outcome,
    },
    /// The modem answers no `AT` any more.
    Dead,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum State<P> {
    /// The port is closed, or the modem is dead: nothing is sent.
    Off,
    /// The port was opened, and settles.
    Opening {
        until: Time,
    },
    Idle,
    Pause {
        until: Time,
    },
    Waiting {
        ask: Ask<P>,
        until: Time,
        lines: Vec<String>,
    },
    Aborting {
        ask: Ask<P>,
        until: Time,
        lines: Vec<String>,
    },
    Resync {
        resync: Resync,
        until: Time,
    },
    /// A stream runs over the port: only [`Chat::raw`] may be sent.
    Held,
}

/// The engine. `P` is what the user of it knows a command by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Chat<P> {
    state: State<P>,
    assembler: Assembler,
    queue: VecDeque<Ask<P>>,
    said: VecDeque<Said<P>>,
    /// The last command line, for its echo.
    last_sent: String,
    dead_time: Duration,
    probe: Duration,
    abort: Duration,
    mark: Mark,
    /// Commands that ended since the place was found last.
    ended: u32,
    /// Lines that were dropped since they answered nothing.
    pub(crate) stale: u64,
}

impl<P: Clone> Chat<P> {
    /// An engine for a closed port: time between commands, for the answer to `AT`, and for a command that is aborted.
    pub(crate) fn new(dead_time_ms: u32, probe_ms: u32, abort_ms: u32) -> Chat<P> {
        let millis = |ms: u32| Duration::from_millis(u64::from(ms));
        Chat {
            state: State::Off,
            assembler: Assembler::default(),
            queue: VecDeque::new(),
            said: VecDeque::new(),
            last_sent: String::new(),
            dead_time: millis(dead_time_ms),
            probe: millis(probe_ms),
            abort: millis(abort_ms),
            mark: Mark::default(),
            ended: 0,
            stale: 0,
        }
    }

    /// The port is open, and the modem may be spoken to from `at` on. Nothing is kept of before.
    pub(crate) fn start(&mut self, at: Time) {
        self.stop();
        self.state = State::Opening { until: at };
    }

    /// The port is closed. Commands that wait are forgotten without an outcome.
    pub(crate) fn stop(&mut self) {
        self.state = State::Off;
        self.queue.clear();
        self.said.clear();
        self.assembler.clear();
        self.last_sent.clear();
    }

    /// Sends a command as soon as its turn comes. `false`: too many wait, or nothing can be sent.
    pub(crate) fn ask(&mut self, now: Time, ask: Ask<P>) -> bool {
        if matches!(self.state, State::Off) || self.queue.len() >= LONGEST_QUEUE {
            return false;
        }
        self.queue.push_back(ask);
        self.next(now);
        true
    }

    /// Forgets the commands that were not sent yet.
    pub(crate) fn forget_queue(&mut self) {
        self.queue.clear();
    }

    /// Sends bytes inside a stream and waits for a final result of a call. No bytes: waits only.
    pub(crate) fn raw(&mut self, now: Time, shown: &str, bytes: &[u8], purpose: P, timeout_ms: u32) {
        let mut ask = Ask::new(shown, purpose.clone(), timeout_ms).accepts(Accepts::Call);
        ask.kind = Kind::Raw;
        self.last_sent.clear();
        if !bytes.is_empty() {
            self.said.push_back(Said::Sent { text: shown.to_owned(), purpose: Some(purpose) });
            self.said.push_back(Said::Write(bytes.to_vec()));
        }
        let until = now + ask.timeout;
        self.state = State::Waiting { ask, until, lines: Vec::new() };
    }

    /// Ends the command in flight where any character does so (V.250 6.3.1: dialling and answering). Its final result
    /// is still told when it comes in time.
    pub(crate) fn abort(&mut self, now: Time) {
        if let State::Waiting { ask, lines, .. } = self.state.clone() {
            self.said.push_back(Said::Sent { text: "<CR>".to_owned(), purpose: None });
            self.said.push_back(Said::Write(vec![b'\r']));
            self.state = State::Aborting { ask, until: now + self.abort, lines };
        }
    }

    /// The command in flight.
    pub(crate) fn in_flight(&self) -> Option<&P> {
        match &self.state {
            State::Waiting { ask, .. } | State::Aborting { ask, .. } => Some(&ask.purpose),
            _ => None,
        }
    }

    /// What it has to tell, oldest first.
    pub(crate) fn poll(&mut self) -> Option<Said<P>> {
        self.said.pop_front()
    }

    /// When it wants [`Chat::timeout`].
    pub(crate) fn deadline(&self) -> Option<Time> {
        match &self.state {
            State::Off | State::Idle | State::Held => None,
            State::Opening { until }
            | State::Pause { until }
            | State::Waiting { until, .. }
            | State::Aborting { until, .. }
            | State::Resync { until, .. } => Some(*until),
        }
    }

    /// A deadline may have passed.
    pub(crate) fn timeout(&mut self, now: Time) {
        if self.deadline().is_none_or(|until| now < until) {
            return;
        }
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Waiting { ask, lines, .. } if ask.kind == Kind::Raw => {
                self.state = State::Held;
                self.done(ask, lines, Outcome::TimedOut);
            }
            State::Waiting { ask, lines, .. } | State::Aborting { ask, lines, .. } => {
                let prefixes = ask.prefixes.clone();
                if ask.kind == Kind::Prompting {
                    // The modem may still wait for the body, and would take whatever comes for it.
                    self.said.push_back(Said::Write(vec![0x1B]));
                }
                self.done(ask, lines, Outcome::TimedOut);
                self.resync(now, Owed::Of(1), prefixes);
            }
            State::Resync { mut resync, .. } => {
                let next = resync.timeout(&mut self.mark);
                self.resynced(now, resync, now, next);
            }
            State::Opening { .. } => self.resync(now, Owed::Unknown, Vec::new()),
            State::Pause { .. } => self.next(now),
            state @ (State::Off | State::Idle | State::Held) => self.state = state,
        }
    }

    /// Takes a byte of the port.
    pub(crate) fn byte(&mut self, now: Time, byte: u8) {
        if matches!(self.state, State::Off) {
            return;
        }
        if byte == b'>' && self.prompted() {
            return;
        }
        if let Some(line) = self.assembler.push(byte) {
            let (first, rest) = unglue(&line);
            self.line(now, first);
            if let Some(rest) = rest {
                self.line(now, rest);
            }
        }
    }

    /// `>` at the beginning of a line asks for the body of the command that waits.
    fn prompted(&mut self) -> bool {
        if let State::Waiting { ask, .. } = &mut self.state
            && self.assembler.is_empty()
            && let Some(body) = ask.body.take()
        {
            self.said.push_back(Said::Sent { text: format!("{} octets, Ctrl-Z", body.len() / 2), purpose: None });
            self.said.push_back(Said::Write(format!("{body}\u{1a}").into_bytes()));
            self.last_sent = body;
            return true;
        }
        false
    }

    fn line(&mut self, now: Time, line: &str) {
        let Some(line) = past_echo(line, &self.last_sent) else { return };
        self.said.push_back(Said::Line(line.to_owned()));
        let result = FinalResult::parse(line);
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Waiting { ask, until, lines } => match self.answer(ask, lines, line, result) {
                Answer::Over => self.pause(now),
                Answer::Stream => self.state = State::Held,
                Answer::Waits(ask, lines) => self.state = State::Waiting { ask, until, lines },
            },
            State::Aborting { ask, until, lines } => match self.answer(ask, lines, line, result) {
                Answer::Over | Answer::Stream => self.resync(now, Owed::Of(0), Vec::new()),
                Answer::Waits(ask, lines) => self.state = State::Aborting { ask, until, lines },
            },
            state => {
                self.state = state;
                self.line_between(now, line, result);
            }
        }
    }

    /// A line while a command waits.
    fn answer(&mut self, ask: Ask<P>, mut lines: Vec<String>, line: &str, result: Option<FinalResult>) -> Answer<P> {
        // Numbers count where nothing else could be a number.
        let result = result.or_else(|| FinalResult::numeric(line).filter(|_| ask.prefixes.is_empty()));
        if let Some(result) = result.filter(|result| result.ends(ask.accepts)) {
            if ask.kind == Kind::Informing && lines.is_empty() && result.is_ok() {
                self.stale += 1;
                return Answer::Waits(ask, lines);
            }
            let stream = ask.accepts == Accepts::Stream && result == FinalResult::Connect;
            self.done(ask, lines, Outcome::Final(result));
            return if stream { Answer::Stream } else { Answer::Over };
        }
        let expected = ask.prefixes.iter().any(|prefix| after(line, prefix).is_some());
        if !expected {
            self.said.push_back(Said::Unsolicited(line.to_owned()));
        } else if lines.len() < LONGEST_RESPONSE {
            lines.push(line.to_owned());
        }
        Answer::Waits(ask, lines)
    }

    /// A line while no command waits.
    fn line_between(&mut self, now: Time, line: &str, result: Option<FinalResult>) {
        // What calls come to may also be news of a call; the layer above checks it.
        let plain = result.as_ref().is_some_and(|result| result.ends(Accepts::Plain));
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Resync { mut resync, until } => match resync.line(line, result.as_ref(), &mut self.mark) {
                Next::News => {
                    self.said.push_back(Said::Unsolicited(line.to_owned()));
                    self.state = State::Resync { resync, until };
                }
                next => {
                    self.stale += 1;
                    self.resynced(now, resync, until, next);
                }
            },
            state => {
                let lost = plain && self.ended > 0 && matches!(state, State::Idle | State::Pause { .. });
                self.state = state;
                if plain {
                    self.stale += 1;
                } else {
                    self.said.push_back(Said::Unsolicited(line.to_owned()));
                }
                if lost {
                    self.resync(now, Owed::Of(0), Vec::new());
                }
            }
        }
    }

    /// Goes on with finding the place.
    fn resynced(&mut self, now: Time, resync: Resync, until: Time, next: Next) {
        match next {
            Next::News | Next::Wait => self.state = State::Resync { resync, until },
            Next::Longer => self.state = State::Resync { resync, until: now + self.probe },
            Next::Send(text) => {
                self.state = State::Resync { resync, until: now + self.probe };
                self.write(&text, None);
            }
            Next::Over => {
                self.ended = 0;
                self.pause(now);
            }
            Next::Dead => {
                self.state = State::Off;
                self.queue.clear();
                self.said.push_back(Said::Dead);
            }
        }
    }

    fn done(&mut self, ask: Ask<P>, lines: Vec<String>, outcome: Outcome) {
        self.ended = self.ended.saturating_add(1);
        self.said.push_back(Said::Done { text: ask.text, purpose: ask.purpose, lines, outcome });
    }

    fn pause(&mut self, now: Time) {
        self.state = State::Pause { until: now + self.dead_time };
    }

    /// Begins to find the place again.
    fn resync(&mut self, now: Time, owed: Owed, prefixes: Vec<String>) {
        self.resynced(now, Resync::new(owed, prefixes), now, Next::Send("AT".to_owned()));
    }

    fn next(&mut self, now: Time) {
        let ready = match self.state {
            State::Idle => true,
            State::Pause { until } => now >= until,
            _ => false,
        };
        if !ready {
            return;
        }
        self.state = State::Idle;
        if let Some(ask) = self.queue.pop_front() {
            self.write(&ask.text.clone(), Some(ask.purpose.clone()));
            let until = now + ask.timeout;
            self.state = State::Waiting { ask, until, lines: Vec::new() };
        }
    }

    fn write(&mut self, text: &str, purpose: Option<P>) {
        self.last_sent.clear();
        self.last_sent.push_str(text);
        self.said.push_back(Said::Sent { text: text.to_owned(), purpose });
        self.said.push_back(Said::Write(format!("{text}\r").into_bytes()));
    }

    /// The stream that held the port is over. Where its final result did not come it is still owed.
    pub(crate) fn release(&mut self, now: Time, outcome: &Outcome) {
        match (&self.state, outcome) {
            (State::Held, Outcome::Final(_)) => self.pause(now),
            (State::Held, Outcome::TimedOut) => self.resync(now, Owed::Of(1), Vec::new()),
            _ => {}
        }
    }
}

/// What a line did to the command that waits.
enum Answer<P> {
    /// It ended it.
    Over,
    /// It ended it, and a stream runs over the port now.
    Stream,
    /// The command still waits.
    Waits(Ask<P>, Vec<String>),
}
