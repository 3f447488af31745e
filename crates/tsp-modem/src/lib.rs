//! Service provider for voice modems and GSM dongles: a pure machine between a serial port and the telephony server.
//!
//! A [`Modem`] is one line. It is given bytes of its AT port ([`AT_PORT`]), for dongles also of their audio port
//! ([`AUDIO_PORT`]), and the server's commands; it gives bytes to write, audio frames and facts. What differs between
//! chip sets is data: a [`Profile`], read from TOML.
//!
//! | layer | what it knows |
//! |---|---|
//! | `line`, `response` | bytes to lines, lines to final results |
//! | `chat` | one command in flight, unsolicited lines, time-outs, resynchronising |
//! | [`voice`], `duplex` | the DLE machine of V.253, samples both ways over the AT port |
//! | `analogue`, `cellular` | the calls of either kind of line |
//! | `modem` | the life of the device |

#![forbid(unsafe_code)]

mod agc;
mod alphabet;
mod analogue;
mod calibrate;
mod caller_id;
mod cause;
mod cellular;
mod chat;
mod clcc;
mod coder;
mod config;
mod context;
mod describe;
mod dial;
mod duplex;
pub mod fuzz;
mod ima;
mod init;
mod line;
mod modem;
mod office;
mod pace;
mod pcm;
mod pdu;
pub mod profile;
mod redact;
mod resample;
mod response;
pub mod transcript;
pub mod voice;
mod vsm;

pub use config::{Cellular as CellularConfig, Config, Pin, RefusedPin};
pub use modem::{Modem, ProfileFrom};
pub use office::Office;
pub use pcm::SampleFormat;
pub use profile::{Catalogue, Clues, Profile, ProfileError};
pub use voice::VoiceEvent;

use tspi::PortId;

/// The port that takes AT commands; on an analogue modem the audio too.
pub const AT_PORT: PortId = PortId(0);

/// The audio port of a dongle that has one.
pub const AUDIO_PORT: PortId = PortId(1);
