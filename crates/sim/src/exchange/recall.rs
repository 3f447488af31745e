//! Register recall with digits: what many exchanges of Europe take (`R0` to `R3`), and three parties on one line.

use super::plant::{Exchange, Loop, Owner};
use crate::modem::{Hold, Signal};
use tapi::Time;

/// What an exchange does at a register recall where there are two calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recall {
    /// It changes over, or answers the one that knocks; on hook leaves the two to each other.
    #[default]
    Swaps,
    /// It waits for a digit: 0 refuses or ends the other one, 1 ends this one and goes on with the other, 2 changes over or
    /// answers, 3 joins all. On hook ends both.
    Digits,
}

/// Where a line is in a recall with a digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recalled {
    No,
    /// The digit is awaited; the call that was active.
    From(Option<u32>),
}

impl Exchange {
    /// What two-wire lines' recalls do from now on.
    pub fn recall(&mut self, recall: Recall) {
        self.config.recall = recall;
    }

    /// Two-wire lines ring so from now on: bursts and pauses in milliseconds, by turns.
    pub fn ringing(&mut self, cadence: &'static [u32]) {
        self.config.country.ringing = cadence;
    }

    /// A recall where a digit is to follow. Whether it is one.
    pub(super) fn begins_recall(&mut self, line: usize, current: Option<u32>) -> bool {
        let other = self.lines[line].aside.or(self.lines[line].knocking);
        if self.config.recall != Recall::Digits || other.is_none() {
            return false;
        }
        self.lines[line].recalled = Recalled::From(current);
        let state = self.dial_tone();
        self.set_wires(line, state);
        true
    }

    /// The digit of a recall. Whether it was one.
    pub(super) fn recall_digit(&mut self, now: Time, line: usize, digit: char) -> bool {
        let Recalled::From(current) = self.lines[line].recalled else { return false };
        self.lines[line].recalled = Recalled::No;
        let (aside, knocking) = (self.lines[line].aside, self.lines[line].knocking);
        let back = current.map_or_else(|| self.dial_tone(), Loop::InCall);
        self.set_wires(line, back);
        match (digit, knocking, aside) {
            ('0', Some(knock), _) => {
                self.lines[line].knocking = None;
                self.lines[line].beep.clear();
                let number = self.lines[line].number.clone();
                self.fail(now, knock, &number, 17);
            }
            ('0', None, Some(other)) => {
                self.lines[line].aside = None;
                self.end_aside(now, other, line);
            }
            ('1', _, Some(other)) => {
                self.lines[line].aside = None;
                if let Some(current) = current {
                    self.end(now, current, line, 16);
                }
                self.set_hold(now, other, line, Hold::Active);
                self.set_wires(line, Loop::InCall(other));
            }
            ('2', Some(knock), _) => {
                self.lines[line].knocking = None;
                self.put_aside(now, line, current);
                self.answer(now, knock);
            }
            ('2', None, Some(other)) => {
                self.put_aside(now, line, current);
                self.set_hold(now, other, line, Hold::Active);
                self.set_wires(line, Loop::InCall(other));
            }
            ('3', None, Some(other)) => {
                self.lines[line].joined = true;
                self.set_hold(now, other, line, Hold::Active);
            }
            _ => {}
        }
        true
    }

    fn put_aside(&mut self, now: Time, line: usize, current: Option<u32>) {
        self.lines[line].aside = current;
        if let Some(id) = current {
            self.set_hold(now, id, line, Hold::Held);
        }
    }

    /// Who knocks, as data between two tones (type 2 caller identity).
    pub(super) fn tell_knocker(&mut self, now: Time, id: u32, line: usize) {
        let Some((caller, withheld)) = self.calls.get(&id).map(|call| (call.caller.line, call.withheld)) else {
            return;
        };
        let identity = self.identity(caller, withheld);
        let date = self.date(now);
        self.signal(now, line, Signal::WaitingId { date, identity });
    }

    /// A line went on hook while a call knocked: it rings.
    pub(super) fn ring_back(&mut self, now: Time, line: usize) {
        let on_hook = matches!(&self.lines[line].owner, Owner::TwoWire { wires: Loop::OnHook, .. });
        if let Some(id) = self.lines[line].knocking.take_if(|_| on_hook) {
            self.lines[line].beep.clear();
            let withheld = self.calls.get(&id).is_some_and(|call| call.withheld);
            self.alert(now, id, line, withheld);
        }
    }

    /// The far end of a line's active call is gone, and the other party of three is still there.
    pub(super) fn goes_on_with_other(&mut self, line: usize) -> bool {
        if !std::mem::take(&mut self.lines[line].joined) {
            return false;
        }
        let Some(other) = self.lines[line].aside.take() else { return false };
        self.set_wires(line, Loop::InCall(other));
        true
    }
}
