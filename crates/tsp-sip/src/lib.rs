//! Service provider for SIP trunks, as a pure machine.
//!
//! [`Sip`] is a user agent over UDP, TCP and TLS (RFC 3261) with lines that are trunks known by address. It is fed datagrams,
//! bytes of connections and commands with their time and drained of the same ([`tspi::Provider`]); its socket is [`PORT`],
//! [`TCP_PORT`] and [`TLS_PORT`] listen.
//!
//! | module | standard |
//! |---|---|
//! | [`message`] | RFC 3261 sections 7, 20, 25; RFC 3581; RFC 5118 |
//! | [`transaction`] | RFC 3261 section 17, RFC 6026 |
//! | `dialog`, `invite` | RFC 3261 sections 9, 12 to 15; RFC 5407; RFC 6141 |
//! | [`transport`] | RFC 3261 section 18, RFC 5626 section 3.5.1, RFC 8489 |
//! | [`locate`] | RFC 3263, RFC 2782 |
//! | [`sdp`] | RFC 8866, RFC 3264 |
//! | `invite` | RFC 3515, RFC 3891, RFC 3892, RFC 4488 |
//! | `auth` | RFC 3261 section 22, RFC 7616, RFC 8760 |
//! | `cause` | RFC 3326, RFC 3398 |

#![forbid(unsafe_code)]

mod account;
mod admission;
mod auth;
mod cause;
mod config;
mod counters;
mod dialog;
mod endpoint;
pub mod fuzz;
mod invite;
mod line;
pub mod locate;
pub mod message;
mod policy;
mod qualify;
mod registration;
pub mod sdp;
mod sip;
mod subscription;
pub mod transaction;
pub mod transport;

pub use account::{Account, Credentials, Mwi, Register, Secret};
pub use config::{Config, ExternalAddress, LineConfig, Timers, Transports};
pub use counters::Counters;
pub use endpoint::{PORT, TCP_PORT, TLS_PORT};
pub use policy::{
    CallPolicy, Digits, HoldBy, Identity, OfferWhen, Protection, Redirects, Refer, Refresher, Reliable, Transfers,
};
pub use sip::Sip;
