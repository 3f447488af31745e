//! The state as bytes: what one process writes into a sealed memory file, and the next one reads.

use crate::core::{Late, Wire};
use crate::hotplug::Inhibition;
use crate::provider::Parked;
use rustix::fs::{MemfdFlags, SealFlags, SeekFrom, fcntl_add_seals, memfd_create, seek};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use tapi_core::{ProviderId, Server};
use tspi::{CommandId, StreamId};

/// What every state begins with.
const MAGIC: [u8; 8] = *b"tapidst\n";

/// Version of the state: one more whenever anything in it changes its form.
const VERSION: u32 = 1;

/// Magic, version, length of the state, length of the media's state, checksum of both.
const HEADER: usize = 8 + 4 + 8 + 8 + 8;

/// Everything that goes on in the next process, beside descriptors and the media's own state.
#[derive(Serialize, Deserialize)]
pub struct State {
    /// Version of the daemon that wrote it, for people.
    pub written_by: String,
    /// All telephony state.
    pub server: Server,
    /// The providers.
    pub providers: Vec<Parked>,
    /// The first id that is free.
    pub first_descriptor: u64,
    /// Address of the RTP sockets.
    pub rtp_address: IpAddr,
    /// Their ports.
    pub rtp_ports: Vec<u16>,
    /// Streams.
    pub streams: BTreeMap<StreamId, Wire>,
    /// Commands that are not yet answered.
    pub outstanding: BTreeSet<(ProviderId, CommandId)>,
    /// What was said too late.
    pub late: Late,
    /// What ModemManager keeps off, by the names of the connections that it does so for.
    #[serde(default)]
    pub inhibitions: BTreeMap<String, Inhibition>,
}

/// Writes a state, and the media's, into a sealed memory file.
pub fn write(state: &State, media: &[u8]) -> io::Result<OwnedFd> {
    let text = serde_json::to_vec(state).map_err(io::Error::other)?;
    let mut header = Vec::with_capacity(HEADER);
    header.extend_from_slice(&MAGIC);
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&(text.len() as u64).to_le_bytes());
    header.extend_from_slice(&(media.len() as u64).to_le_bytes());
    header.extend_from_slice(&checksum(&[&text, media]).to_le_bytes());
    let mut file = File::from(memfd_create("tapid-state", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    for part in [&header[..], &text, media] {
        file.write_all(part)?;
    }
    fcntl_add_seals(&file, SealFlags::GROW | SealFlags::SHRINK | SealFlags::WRITE | SealFlags::SEAL)?;
    Ok(file.into())
}

/// Reads a state and the media's.
pub fn read(descriptor: OwnedFd) -> io::Result<(State, Vec<u8>)> {
    seek(&descriptor, SeekFrom::Start(0))?;
    let mut bytes = Vec::new();
    File::from(descriptor).read_to_end(&mut bytes)?;
    let (text, media) = take_apart(&bytes).map_err(io::Error::other)?;
    let state = serde_json::from_slice(text).map_err(io::Error::other)?;
    Ok((state, media.to_vec()))
}

/// The two parts, when they are whole and of this version.
fn take_apart(bytes: &[u8]) -> Result<(&[u8], &[u8]), String> {
    let short = || "it is cut short".to_string();
    let header = bytes.get(..HEADER).ok_or_else(short)?;
    let number = |at: usize, length: usize| {
        header.iter().skip(at).take(length).rev().fold(0u64, |number, byte| (number << 8) | u64::from(*byte))
    };
    if header.get(..8) != Some(&MAGIC) {
        return Err("it is no state of this daemon".to_string());
    }
    let version = number(8, 4);
    if version != u64::from(VERSION) {
        return Err(format!("it is of version {version}, and this daemon reads {VERSION}"));
    }
    let length = usize::try_from(number(12, 8)).map_err(|_| short())?;
    let media_length = usize::try_from(number(20, 8)).map_err(|_| short())?;
    let rest = bytes.get(HEADER..).unwrap_or_default();
    if length.checked_add(media_length) != Some(rest.len()) {
        return Err(short());
    }
    let (text, media) = rest.split_at(length);
    if checksum(&[text, media]) != number(28, 8) {
        return Err("its checksum is wrong".to_string());
    }
    Ok((text, media))
}

/// FNV-1a, 64 bits: against accidents, not against an adversary, who cannot reach the store.
fn checksum(parts: &[&[u8]]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.iter());
    bytes.fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &[u8], media: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&(media.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&checksum(&[text, media]).to_le_bytes());
        bytes.extend_from_slice(text);
        bytes.extend_from_slice(media);
        bytes
    }

    #[test]
    fn a_whole_state_is_taken_apart_and_any_other_refused() {
        let bytes = written(b"{}", b"media");
        assert_eq!(take_apart(&bytes), Ok((&b"{}"[..], &b"media"[..])));
        for cut in 0..bytes.len() {
            assert!(take_apart(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert!(take_apart(&other).is_err(), "byte {at} changed");
        }
        let mut newer = bytes.clone();
        newer[8] = 2;
        assert!(take_apart(&newer).unwrap_err().contains("version 2"));
    }
}
