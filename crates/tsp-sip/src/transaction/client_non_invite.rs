//! Client transaction of any other request (RFC 3261 section 17.1.2).
//!
//! ```text
//!  sent          1xx                  200-699
//!  ────► Trying ─────► Proceeding ───────────► Completed ──K──► Terminated
//!          │ E: resend    │ E: resend each T2
//!          └─────── F: timeout ───────────────────────────────► Terminated
//! ```

use super::{ClientAct, ClientEvent, Deadlines, Timer, Timing};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tapi::Time;

/// Where the transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// The request is out.
    Trying,
    /// A provisional response came.
    Proceeding,
    /// A final response came.
    Completed,
    /// Over.
    Terminated,
}

/// The machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientNonInvite {
    /// Where it is.
    pub state: State,
    /// Its deadlines.
    pub deadlines: Deadlines<Timer>,
    interval: Duration,
}

impl ClientNonInvite {
    /// The request was just sent.
    pub fn new(now: Time, timing: &Timing) -> ClientNonInvite {
        let mut deadlines = Deadlines::default();
        if !timing.reliable {
            deadlines.set(Timer::E, now + timing.t1);
        }
        deadlines.set(Timer::F, now + timing.life());
        ClientNonInvite { state: State::Trying, deadlines, interval: timing.t1 }
    }

    /// Takes one event.
    pub fn on(&mut self, now: Time, event: ClientEvent, timing: &Timing) -> Vec<ClientAct> {
        use ClientEvent as E;
        use State as S;
        match (self.state, event) {
            (S::Trying, E::Timer(Timer::E)) => {
                self.interval = timing.doubled(self.interval);
                self.deadlines.set(Timer::E, now + self.interval);
                vec![ClientAct::Resend]
            }
            (S::Proceeding, E::Timer(Timer::E)) => {
                self.deadlines.set(Timer::E, now + timing.t2);
                vec![ClientAct::Resend]
            }
            (S::Trying | S::Proceeding, E::Timer(Timer::F)) => self.end(ClientAct::Timeout),
            (S::Trying | S::Proceeding, E::TransportError) => self.end(ClientAct::Unsent),
            (S::Trying | S::Proceeding, E::Provisional) => {
                self.state = S::Proceeding;
                vec![ClientAct::Pass]
            }
            (S::Trying | S::Proceeding, E::Success | E::Failure) => {
                self.deadlines.clear_all();
                self.state = S::Completed;
                self.deadlines.set(Timer::K, now + timing.unless_reliable(timing.t4));
                vec![ClientAct::Pass]
            }
            (S::Completed, E::Timer(Timer::K)) => {
                self.state = S::Terminated;
                self.deadlines.clear_all();
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn end(&mut self, act: ClientAct) -> Vec<ClientAct> {
        self.state = State::Terminated;
        self.deadlines.clear_all();
        vec![act]
    }
}
