//! INVITE client transaction (RFC 3261 section 17.1.1, RFC 6026 section 7.2).
//!
//! ```text
//!  INVITE sent                     1xx                     2xx
//!  ───────────► Calling ────────────────► Proceeding ───────────► Accepted ──M──► Terminated
//!               │ A: resend   └── 2xx ──────────────────────────►   │ 2xx: pass
//!               │ B: timeout        3xx-6xx: ACK, pass
//!               └─────────► Completed ◄───── Proceeding
//!                            │ 3xx-6xx: ACK   └──D──► Terminated
//! ```

use super::{ClientAct, ClientEvent, Deadlines, Timer, Timing};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tapi::Time;

/// Where the transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// The INVITE is out.
    Calling,
    /// A provisional response came.
    Proceeding,
    /// A failure came.
    Completed,
    /// A success came.
    Accepted,
    /// Over.
    Terminated,
}

/// The machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientInvite {
    /// Where it is.
    pub state: State,
    /// Its deadlines.
    pub deadlines: Deadlines<Timer>,
    interval: Duration,
}

impl ClientInvite {
    /// The INVITE was just sent.
    pub fn new(now: Time, timing: &Timing) -> ClientInvite {
        let mut deadlines = Deadlines::default();
        if !timing.reliable {
            deadlines.set(Timer::A, now + timing.t1);
        }
        deadlines.set(Timer::B, now + timing.life());
        ClientInvite { state: State::Calling, deadlines, interval: timing.t1 }
    }

    /// Takes one event.
    pub fn on(&mut self, now: Time, event: ClientEvent, timing: &Timing) -> Vec<ClientAct> {
        use ClientEvent as E;
        use State as S;
        match (self.state, event) {
            (S::Calling, E::Timer(Timer::A)) => {
                self.interval *= 2;
                self.deadlines.set(Timer::A, now + self.interval);
                vec![ClientAct::Resend]
            }
            (S::Calling, E::Timer(Timer::B)) => self.end(ClientAct::Timeout),
            (S::Calling, E::TransportError) => self.end(ClientAct::Unsent),
            (S::Calling | S::Proceeding, E::Provisional) => {
                self.enter(S::Proceeding);
                vec![ClientAct::Pass]
            }
            (S::Calling | S::Proceeding, E::Success) => {
                self.enter(S::Accepted);
                self.deadlines.set(Timer::M, now + timing.life());
                vec![ClientAct::Pass]
            }
            (S::Calling | S::Proceeding, E::Failure) => {
                self.enter(S::Completed);
                // "At least 32 s" over UDP, whatever T1 is; it follows T1 downwards so that tests need not wait.
                self.deadlines.set(Timer::D, now + timing.unless_reliable(timing.life()));
                vec![ClientAct::Ack, ClientAct::Pass]
            }
            (S::Completed, E::Failure) => vec![ClientAct::Ack],
            (S::Completed, E::TransportError) => self.end(ClientAct::Unsent),
            (S::Accepted, E::Success) => vec![ClientAct::Pass],
            (S::Completed, E::Timer(Timer::D)) | (S::Accepted, E::Timer(Timer::M)) => {
                self.enter(S::Terminated);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn enter(&mut self, state: State) {
        self.deadlines.clear_all();
        self.state = state;
    }

    fn end(&mut self, act: ClientAct) -> Vec<ClientAct> {
        self.enter(State::Terminated);
        vec![act]
    }
}
