//! Deadlines of everything, in one order.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use tapi::Time;

/// Who wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Wake {
    Client(u64),
    Server(u64),
    Call(u64),
    /// What a line keeps up by itself.
    Upkeep(u32),
    /// The port is to be opened again.
    Port,
    /// The port did not come back in time.
    Lost,
    /// The stop has taken long enough.
    Stop,
    /// Ports that listen are asked for again.
    Listen,
    /// A connection is too slow, or silent.
    Connection(u32),
    /// Signs of life are due.
    KeepAlive,
    /// The STUN server is asked.
    Stun,
    /// The names of peers are looked up.
    Peers,
}

/// All deadlines, earliest first. Everyone has at most one, and keeps it beside its own state.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Wakes(BTreeSet<(Time, Wake)>);

impl Wakes {
    /// Moves the deadline of `who` from `held` to `at`.
    pub fn set(&mut self, who: Wake, held: &mut Option<Time>, at: Option<Time>) {
        if *held == at {
            return;
        }
        if let Some(old) = held.take() {
            self.0.remove(&(old, who));
        }
        if let Some(new) = at {
            self.0.insert((new, who));
        }
        *held = at;
    }

    /// The earliest.
    pub fn next(&self) -> Option<Time> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Takes out one that has passed. Its holder must forget it.
    pub fn expired(&mut self, now: Time) -> Option<Wake> {
        if self.0.first()?.0 > now {
            return None;
        }
        self.0.pop_first().map(|(_, who)| who)
    }
}
