//! Clients of the socket: `blocking::Client` (feature `blocking`), `tokio::Client` (feature `tokio`), and the
//! [`Mirror`] that keeps lines and calls up to date from a snapshot and the events after it.
//!
//! Both clients give events in the order of the server, never an event before the reply to the request that caused it:
//! what arrives before a reply waits in a queue. Both notice a gap, and both can come back after a lost connection.

#[cfg(any(feature = "blocking", feature = "tokio"))]
mod error;
#[cfg(any(feature = "blocking", feature = "tokio"))]
mod link;
mod mirror;

#[cfg(feature = "blocking")]
pub mod blocking;
#[cfg(feature = "tokio")]
pub mod tokio;

#[cfg(any(feature = "blocking", feature = "tokio"))]
pub use error::ClientError;
#[cfg(any(feature = "blocking", feature = "tokio"))]
pub use link::MAX_WAITING_EVENTS;
pub use mirror::Mirror;

/// How a session was taken up again.
#[cfg(any(feature = "blocking", feature = "tokio"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumed {
    /// Every event since the last one follows: nothing was missed.
    Continued,
    /// The same session with the same handles, but the events in between are not kept any more: take a snapshot with
    /// `state.get`.
    SnapshotNeeded,
}
