//! Digest authentication, as a client and as a server.

mod challenge;
mod client;
mod digest;
mod server;

pub(crate) use client::{Nonces, Rounds, names_realm};
pub(crate) use server::{Gate, Verdict};
