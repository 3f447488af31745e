//! The test world: virtual time, a net, a small exchange, modems, applications, and what must hold after every step.

pub mod conformance;
pub mod dns;
pub mod exchange;
pub mod modem;
pub mod net;
pub mod pty;
pub mod replay;
mod socket;
pub mod world;

pub use socket::Address;
