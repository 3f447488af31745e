//! One connection between two lines, and the audio between them.

use super::tone::{Cadence, Player, Segment};
use crate::modem::{CallRef, Hold};
use std::collections::VecDeque;
use tapi::Time;
use tspi::Frame;

/// Where a call is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The number is looked up until then.
    Routing { due: Time, to: String, withheld: bool },
    /// The called line rings; given up then.
    Alerting { due: Time },
    /// Both hear each other.
    Talking,
}

/// Frames on their way to one party. Two lines with clocks of their own slip: a frame is lost or missed now and then.
#[derive(Clone, Debug, Default)]
pub(super) struct Slip {
    frames: VecDeque<Frame>,
}

/// Frames that may wait: 60 ms.
const DEPTH: usize = 3;

impl Slip {
    fn push(&mut self, frame: Frame) {
        if self.frames.len() >= DEPTH {
            self.frames.pop_front();
        }
        self.frames.push_back(frame);
    }

    fn pop(&mut self) -> Frame {
        self.frames.pop_front().unwrap_or(Frame::SILENCE)
    }
}

/// One party of a call.
#[derive(Clone, Debug)]
pub(super) struct Party {
    pub(super) line: usize,
    pub(super) call: CallRef,
    pub(super) hold: Hold,
    /// Digits that the network sends for it.
    pub(super) digits: Player,
    toward: Slip,
}

impl Party {
    pub(super) fn new(line: usize, call: CallRef) -> Party {
        Party { line, call, hold: Hold::Active, digits: Player::default(), toward: Slip::default() }
    }
}

/// A call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) state: State,
    pub(super) caller: Party,
    pub(super) called: Option<Party>,
    /// Whether the caller's number is withheld.
    pub(super) withheld: bool,
    /// How often it was sent elsewhere.
    pub(super) diverted: u32,
    ringback: Cadence,
}

impl Call {
    pub(super) fn new(caller: Party, state: State, ringback: &'static [Segment]) -> Call {
        Call { state, caller, called: None, withheld: false, diverted: 0, ringback: Cadence::new(ringback) }
    }

    /// The party on a line.
    pub(super) fn party(&mut self, line: usize) -> Option<&mut Party> {
        if self.caller.line == line { Some(&mut self.caller) } else { self.called.as_mut().filter(|p| p.line == line) }
    }

    /// The party that is not on this line.
    pub(super) fn other(&self, line: usize) -> Option<&Party> {
        if self.caller.line == line { self.called.as_ref() } else { Some(&self.caller) }
    }

    pub(super) fn has(&self, line: usize) -> bool {
        self.caller.line == line || self.called.as_ref().is_some_and(|party| party.line == line)
    }

    /// Whether a line hears anything in this call.
    pub(super) fn sounds(&self, line: usize) -> bool {
        match self.state {
            State::Routing { .. } => false,
            State::Alerting { .. } => self.caller.line == line,
            State::Talking => true,
        }
    }

    /// What the party on a line hears.
    pub(super) fn hear(&mut self, line: usize) -> Frame {
        match self.state {
            State::Routing { .. } => Frame::SILENCE,
            State::Alerting { .. } if self.caller.line == line => self.ringback.frame(),
            State::Alerting { .. } => Frame::SILENCE,
            State::Talking => self.party(line).map_or(Frame::SILENCE, |party| party.toward.pop()),
        }
    }

    /// What the party on a line says.
    pub(super) fn say(&mut self, line: usize, frame: Frame) {
        if self.state != State::Talking {
            return;
        }
        let Some(frame) = self.party(line).map(|party| party.digits.frame().unwrap_or(frame)) else { return };
        let other = if self.caller.line == line { self.called.as_mut() } else { Some(&mut self.caller) };
        if let Some(other) = other {
            other.toward.push(frame);
        }
    }
}
