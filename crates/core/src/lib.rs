//! The telephony server as a pure machine: lines that come and go, calls, sessions with their privileges, requests and
//! events. It is fed [`Input`]s with their time and gives [`Output`]s and a deadline; it knows no socket, task or clock.
//!
//! Where TAPI's documentation leaves a choice, this server chose:
//! - A found call goes to the first session by order of `line.open` that asked for OWNER and the call's media mode; all
//!   others that asked for MONITOR monitor it. A call that has monitors and no owner is left ringing, since any of them
//!   may take it; one that nobody wants is dropped with the provider's own reason.
//! - The last owner may deallocate a call that goes on: it is ownerless then. A session that closes the line or dies
//!   has the calls dropped that it alone owned.
//! - A call that the far end ended stays `disconnected` while somebody owns it. Without an owner it is `idle` at once.
//! - Sessions with different privileges see different features: they get events of their own numbers.
//! - A line that goes away disconnects its calls (`unavail`) before `line.closed`, which voids them; no `idle` follows.

#![forbid(unsafe_code)]

mod after;
mod call;
mod check;
mod checkpoint;
mod conference;
mod consult;
mod emit;
mod features;
mod gather;
mod io;
mod join;
mod ledger;
mod line;
mod media;
mod past;
mod pending;
mod policy;
mod pressed;
mod progress;
mod provider;
mod request;
mod rights;
mod server;
mod session;
mod stamp;
mod table;
mod transfer;

pub use after::after;
pub use check::Summary;
pub use checkpoint::{EntryKey, EntryKind, RecoverError};
pub use io::*;
pub use policy::{LinePolicy, Options};
pub use rights::{Rights, Rule, matches};
pub use server::Server;
