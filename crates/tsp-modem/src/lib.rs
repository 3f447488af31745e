//! Service provider for voice modems and GSM dongles: a pure machine between a serial port and the telephony server.
//!
//! A [`Modem`] is one line. It is given bytes of its AT port ([`AT_PORT`]), for dongles also of their audio port
//! ([`AUDIO_PORT`]), and the server's commands; it gives bytes to write, audio frames and facts. What differs between
//! chip sets is data: a [`Profile`], read from TOML.

#![forbid(unsafe_code)]

mod config;
mod modem;
mod profile;

pub use config::Config;
pub use modem::Modem;
pub use profile::{Profile, ProfileError};

use tspi::PortId;

/// The port that takes AT commands; on an analogue modem the audio too.
pub const AT_PORT: PortId = PortId(0);

/// The audio port of a dongle that has one.
pub const AUDIO_PORT: PortId = PortId(1);
