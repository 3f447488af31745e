//! The telephony vocabulary of `tapid`, and its socket protocol.
//!
//! (The manual is completed by the wire and client modules.)

#![forbid(unsafe_code)]

mod call;
pub mod client;
mod error;
mod event;
mod id;
mod line;
mod name;
pub mod reply;
pub mod request;
mod state;
mod time;
pub mod wire;

pub use call::*;
pub use error::{Error, ErrorCode};
pub use event::*;
pub use id::*;
pub use line::*;
pub use name::Names;
pub use reply::Reply;
pub use request::{LineSelector, Method, PlaySource, RecordSink, Request};
pub use state::*;
pub use time::Time;
