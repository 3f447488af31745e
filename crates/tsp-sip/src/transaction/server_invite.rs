//! INVITE server transaction (RFC 3261 section 17.2.1, RFC 6026 section 7.1).
//!
//! ```text
//!  INVITE              2xx
//!  ──────► Proceeding ─────► Accepted ──L──► Terminated
//!            │ 1xx: send       │ INVITE: absorbed; 2xx: send
//!            │ INVITE: resend
//!            │ 3xx-6xx: send
//!            ▼            ACK
//!          Completed ──────────► Confirmed ──I──► Terminated
//!            │ G, INVITE: resend
//!            └ H: no ACK ───────────────────────► Terminated
//! ```

use super::{Deadlines, ServerAct, ServerEvent, Timer, Timing};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tapi::Time;

/// Where the transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// No final response yet.
    Proceeding,
    /// A failure is sent.
    Completed,
    /// ACK came.
    Confirmed,
    /// A success is sent.
    Accepted,
    /// Over.
    Terminated,
}

/// The machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerInvite {
    /// Where it is.
    pub state: State,
    /// Its deadlines.
    pub deadlines: Deadlines<Timer>,
    interval: Duration,
}

impl ServerInvite {
    /// The INVITE just came.
    pub fn new(timing: &Timing) -> ServerInvite {
        ServerInvite { state: State::Proceeding, deadlines: Deadlines::default(), interval: timing.t1 }
    }

    /// Takes one event.
    pub fn on(&mut self, now: Time, event: ServerEvent, timing: &Timing) -> Vec<ServerAct> {
        use ServerEvent as E;
        use State as S;
        match (self.state, event) {
            (S::Proceeding | S::Completed, E::Retransmit) => vec![ServerAct::Resend],
            (S::Proceeding, E::Provisional) => vec![ServerAct::Send],
            (S::Proceeding, E::Success) => {
                self.enter(S::Accepted);
                self.deadlines.set(Timer::L, now + timing.life());
                vec![ServerAct::Send]
            }
            (S::Accepted, E::Success) => vec![ServerAct::Send],
            (S::Proceeding, E::Failure) => {
                self.enter(S::Completed);
                if !timing.reliable {
                    self.deadlines.set(Timer::G, now + timing.t1);
                }
                self.deadlines.set(Timer::H, now + timing.life());
                vec![ServerAct::Send]
            }
            (S::Completed, E::Timer(Timer::G)) => {
                self.interval = timing.doubled(self.interval);
                self.deadlines.set(Timer::G, now + self.interval);
                vec![ServerAct::Resend]
            }
            (S::Completed, E::Timer(Timer::H)) => self.end(Some(ServerAct::NoAck)),
            (S::Completed, E::Ack) => {
                self.enter(S::Confirmed);
                self.deadlines.set(Timer::I, now + timing.unless_reliable(timing.t4));
                Vec::new()
            }
            (S::Proceeding | S::Completed | S::Accepted, E::TransportError) => vec![ServerAct::Unsent],
            (S::Confirmed, E::Timer(Timer::I)) | (S::Accepted, E::Timer(Timer::L)) => self.end(None),
            _ => Vec::new(),
        }
    }

    fn enter(&mut self, state: State) {
        self.deadlines.clear_all();
        self.state = state;
    }

    fn end(&mut self, act: Option<ServerAct>) -> Vec<ServerAct> {
        self.enter(State::Terminated);
        act.into_iter().collect()
    }
}
