//! What the telephony server and its service providers say to each other (TSPI and MSPI, as values).
//!
//! The server sends a provider [`Command`]s and gets [`Event`]s; every command is answered by exactly one
//! [`Event::Reply`], and a provider reports facts about calls that the server turns into states. A provider is a pure
//! machine behind [`Provider`]: it is fed [`Input`]s with their time and drained of [`Output`]s; sockets, serial ports
//! and the clock belong to the shell that drives it. Call audio is the media provider's ([`media`]).
//!
//! # Rules between the two
//! 1. A reply says whether the operation was *taken* (the INVITE is sent, the ATD is written), never what became of it.
//! 2. The reply to [`Action::MakeCall`] names the call and comes before any other event about it.
//! 3. [`Event::NewCall`] is the first event about a call that the provider found; [`Report::Offered`] is the next.
//! 4. After [`Report::Released`] nothing more is reported about the call. The provider forgets it at
//!    [`Action::CloseCall`].
//! 5. After [`Action::Drop`] was taken, `Released` by [`ReleasedBy::Local`] follows at once: it does not wait for the far end.
//! 6. A provider that cannot go on says [`Event::LineChanged`] with the reason, and releases its calls.

#![forbid(unsafe_code)]

mod command;
mod event;
pub mod media;
mod provider;
mod random;

pub use command::*;
pub use event::*;
pub use media::{
    Direction, Format, Frame, LocalMedia, LocalRtp, MediaWire, RemoteMedia, RemoteRtp, Rtcp, Srtp, SrtpKey, SrtpSuite,
    StreamId,
};
pub use provider::*;
pub use random::Random;
