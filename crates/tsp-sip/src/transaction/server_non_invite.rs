//! Server transaction of any other request (RFC 3261 section 17.2.2).
//!
//! ```text
//!  request         1xx                  200-699
//!  ───────► Trying ─────► Proceeding ──────────► Completed ──J──► Terminated
//!                           │ request: resend      │ request: resend
//! ```

use super::{Deadlines, ServerAct, ServerEvent, Timer, Timing};
use serde::{Deserialize, Serialize};
use tapi::Time;

/// Where the transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// No response yet.
    Trying,
    /// A provisional response is sent.
    Proceeding,
    /// The final response is sent.
    Completed,
    /// Over.
    Terminated,
}

/// The machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerNonInvite {
    /// Where it is.
    pub state: State,
    /// Its deadlines.
    pub deadlines: Deadlines<Timer>,
}

impl Default for ServerNonInvite {
    fn default() -> Self {
        Self::new()
    }
}

impl ServerNonInvite {
    /// The request just came.
    pub fn new() -> ServerNonInvite {
        ServerNonInvite { state: State::Trying, deadlines: Deadlines::default() }
    }

    /// Takes one event.
    pub fn on(&mut self, now: Time, event: ServerEvent, timing: &Timing) -> Vec<ServerAct> {
        use ServerEvent as E;
        use State as S;
        match (self.state, event) {
            (S::Proceeding | S::Completed, E::Retransmit) => vec![ServerAct::Resend],
            (S::Trying | S::Proceeding, E::Provisional) => {
                self.state = S::Proceeding;
                vec![ServerAct::Send]
            }
            (S::Trying | S::Proceeding, E::Success | E::Failure) => {
                self.state = S::Completed;
                self.deadlines.set(Timer::J, now + timing.unless_reliable(timing.life()));
                vec![ServerAct::Send]
            }
            (S::Proceeding | S::Completed, E::TransportError) => {
                self.state = S::Terminated;
                self.deadlines.clear_all();
                vec![ServerAct::Unsent]
            }
            (S::Completed, E::Timer(Timer::J)) => {
                self.state = S::Terminated;
                self.deadlines.clear_all();
                Vec::new()
            }
            _ => Vec::new(),
        }
    }
}
