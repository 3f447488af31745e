//! The daemon on a bus of the test's own, driven by a client in another language and by the bus's own tools.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![allow(dead_code, reason = "the daemon of other tests is used in part")]

mod bus;
#[path = "../process/daemon.rs"]
mod daemon;
mod media;
mod sessions;
mod tests;
