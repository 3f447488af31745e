//! The four transaction machines of RFC 3261 section 17, as corrected by RFC 6026, and what they share.
//!
//! A machine takes one event and answers with what is to be done. It holds no message and knows no address: its owner sends.

pub mod client_invite;
pub mod client_non_invite;
pub mod server_invite;
pub mod server_non_invite;

use crate::Timers;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tapi::Time;

/// Timers by the letters of RFC 3261 and RFC 6026.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Timer {
    /// INVITE is sent again.
    A,
    /// INVITE has no final response: give up.
    B,
    /// Wait for repeated final responses to INVITE.
    D,
    /// Another request is sent again.
    E,
    /// Another request has no final response: give up.
    F,
    /// A final response to INVITE is sent again.
    G,
    /// No ACK: give up.
    H,
    /// Wait for repeated ACKs.
    I,
    /// Wait for repeated requests.
    J,
    /// Wait for repeated final responses.
    K,
    /// Accepted INVITE: wait for repetitions of it.
    L,
    /// Accepted INVITE: wait for more 2xx.
    M,
}

/// The base values that the machines compute with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// T1.
    pub t1: Duration,
    /// T2.
    pub t2: Duration,
    /// T4.
    pub t4: Duration,
    /// Whether the transport repeats what is lost: nothing is sent twice then, and nothing waited for.
    pub reliable: bool,
}

impl Timing {
    /// Over UDP.
    pub fn udp(timers: Timers) -> Timing {
        Timing {
            t1: Duration::from_millis(timers.t1_ms.clamp(1, 60_000)),
            t2: Duration::from_millis(timers.t2_ms.clamp(1, 600_000)),
            t4: Duration::from_millis(timers.t4_ms.clamp(1, 600_000)),
            reliable: false,
        }
    }

    /// 64 times T1: how long a transaction lives without an answer.
    pub fn life(&self) -> Duration {
        self.t1 * 64
    }

    /// Twice the interval, up to T2.
    pub fn doubled(&self, interval: Duration) -> Duration {
        (interval * 2).min(self.t2)
    }

    /// `time`, or nothing over a reliable transport.
    fn unless_reliable(&self, time: Duration) -> Duration {
        if self.reliable { Duration::ZERO } else { time }
    }
}

/// A table of deadlines: each name at most once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadlines<T>(Vec<(T, Time)>);

impl<T> Default for Deadlines<T> {
    fn default() -> Self {
        Deadlines(Vec::new())
    }
}

impl<T: Copy + PartialEq> Deadlines<T> {
    /// Sets a deadline, or moves it.
    pub fn set(&mut self, name: T, at: Time) {
        self.clear(name);
        self.0.push((name, at));
    }

    /// Takes a deadline away.
    pub fn clear(&mut self, name: T) {
        self.0.retain(|(known, _)| *known != name);
    }

    /// Takes all away but these.
    pub fn keep_only(&mut self, names: &[T]) {
        self.0.retain(|(known, _)| names.contains(known));
    }

    /// Takes all away.
    pub fn clear_all(&mut self) {
        self.0.clear();
    }

    /// The earliest.
    pub fn next(&self) -> Option<Time> {
        self.0.iter().map(|(_, at)| *at).min()
    }

    /// Takes out the earliest one that has passed.
    pub fn expired(&mut self, now: Time) -> Option<T> {
        let (at, _) = self.0.iter().enumerate().filter(|(_, (_, at))| *at <= now).min_by_key(|(_, (_, at))| *at)?;
        Some(self.0.remove(at).0)
    }

    /// Whether a deadline is set.
    pub fn has(&self, name: T) -> bool {
        self.0.iter().any(|(known, _)| *known == name)
    }
}

/// What happens to a client transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// A 1xx came.
    Provisional,
    /// A 2xx came.
    Success,
    /// A 3xx to 6xx came.
    Failure,
    /// A timer fired.
    Timer(Timer),
    /// The request could not be sent.
    TransportError,
}

/// What a client transaction wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAct {
    /// Send the request again.
    Resend,
    /// Acknowledge the failure.
    Ack,
    /// Give the response to the user.
    Pass,
    /// Tell the user that no answer came.
    Timeout,
    /// Tell the user that the request could not be sent.
    Unsent,
}

/// What happens to a server transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerEvent {
    /// The request came again.
    Retransmit,
    /// ACK came.
    Ack,
    /// The user sends a 1xx.
    Provisional,
    /// The user sends a 2xx.
    Success,
    /// The user sends a 3xx to 6xx.
    Failure,
    /// A timer fired.
    Timer(Timer),
    /// A response could not be sent.
    TransportError,
}

/// What a server transaction wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerAct {
    /// Send the new response.
    Send,
    /// Send the last response again.
    Resend,
    /// Tell the user that no ACK came.
    NoAck,
    /// Tell the user that the response could not be sent.
    Unsent,
}

#[cfg(test)]
mod tests;
