//! Media service provider: RTP, G.711, jitter buffer, telephone events and tones, as pure machines.
//!
//! [`Msp`] is the provider: commands, packets, frames and times in; events, packets, frames and samples to record out
//! ([`tspi::media`]). What it is made of can be used by itself: [`rtp`], [`g711`], [`jitter`], [`event`], [`tone`].
//!
//! # What goes where
//! A stream sends, in this order: digits or a tone, a playback, an application's audio, the stream that it is joined with
//! or its mixer, nothing. Nothing means
//! no packets but one of silence when the far end becomes known and one a second after that; a stream of frames gets a
//! frame of silence instead. A stream of frames that leads to nobody is, in a mixer, the mixer's own voice: what is played
//! on it is heard by all others, and it records what they say.
//!
//! Packets of a joined stream are relayed as they come, not decoded, where both far ends use the same codec and nothing
//! of ours is sent; a recording or a tone monitor decodes a copy. Else they pass through a playout buffer and leave with
//! the 20 ms tick.

#![forbid(unsafe_code)]

mod application;
pub mod codec;
pub mod detect;
pub mod event;
pub mod fuzz;
pub mod g711;
mod generate;
pub mod jitter;
pub mod latch;
mod listen;
mod mixer;
mod msp;
pub mod plc;
pub mod progress;
mod quality;
mod record;
pub mod resample;
pub mod rtcp;
pub mod rtp;
pub mod srtp;
mod stats;
mod stream;
pub mod tone;
mod wire;

pub use msp::{Carried, Msp, last_tick};
pub use stats::{Counters, Stats};
