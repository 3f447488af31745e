//! Service provider for SIP accounts and trunks, as a pure machine.

#![forbid(unsafe_code)]

mod config;
pub mod message;
mod sip;

pub use config::{Config, LineConfig, Timers};
pub use sip::{PORT, Sip};
