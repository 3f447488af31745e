//! The built daemon as a process: its socket, its limits, its signals, and a restart that keeps calls.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod audio;
#[path = "../bus/bus.rs"]
#[allow(dead_code, reason = "the bus of other tests is used in part")]
mod bus;
mod caller;
mod check;
mod daemon;
mod disk;
mod drift;
mod files;
mod lifecycle;
mod limits;
mod lock;
mod loopback;
mod modem;
mod modem_manager;
mod named;
mod pin;
mod reload;
mod restart;
mod socket;
#[path = "../peers/sound.rs"]
mod sound;
mod unclaimed;
mod unplug;
mod wedged;
