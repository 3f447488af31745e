//! A start after a process that ended without a word: from its journals.

use super::{MediaEvents, Parts, core_config, engine, resume, rtp_sockets};
use crate::clock;
use crate::config::{Config, ProviderConfig};
use crate::journal::{self, Key};
use crate::provider::{AnyProvider, First, bind, port_name};
use crate::seed::{Ids, seed};
use crate::store::{self, Inherited};
use msp_engine::Engine;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use tapi_core::{EntryKey, EntryKind, Input, ProviderId, Server};
use tspi::CallRef;

/// So many recoveries within [`WITHIN_S`] seconds mean that what was kept is what kills the process.
const MOST: usize = 3;

/// How far back recoveries count, in seconds.
const WITHIN_S: u64 = 30;

/// Takes up what the journals say. `None`: there are none, or they cannot be used, and the start is a clean one.
pub fn recover(config: &Config, ids: &Ids, inherited: &mut Inherited) -> Option<Parts> {
    let mut journals = std::mem::take(&mut inherited.journals);
    let core = journals.remove(store::CORE)?;
    match take_up(config, ids, inherited, core, journals) {
        Ok(parts) => Some(parts),
        Err(error) => {
            tracing::error!(%error, "what was kept for a crash cannot be used: a clean start, calls are lost");
            None
        }
    }
}

fn take_up(
    config: &Config,
    ids: &Ids,
    inherited: &mut Inherited,
    core: Vec<OwnedFd>,
    mut journals: BTreeMap<String, Vec<OwnedFd>>,
) -> io::Result<Parts> {
    let mut entries = journal::read_newest(core)?;
    let recoveries = recoveries(&mut entries, clock::wall_micros() / 1_000_000);
    if recoveries.len() > MOST {
        save(config, &entries);
        let why = format!("{} recoveries within {WITHIN_S} s: what was kept kills the process", recoveries.len() - 1);
        return Err(io::Error::other(why));
    }
    let providers: Vec<(ProviderId, String)> =
        super::numbered(config).map(|(id, provider)| (id, provider.name.clone())).collect();
    let (rtp_ports, engine, media) = media_threads(config, inherited)?;
    let wall_offset = clock::wall_offset();
    let core_config = core_config(config, ids, wall_offset, super::stream_ports(&rtp_ports));
    let server = Server::recover(clock::now(), core_config, &providers, entries.into_iter().filter_map(keyed))
        .map_err(io::Error::other)?;
    let (mut supervised, mut calls) = (Vec::new(), Vec::new());
    for (id, provider) in super::numbered(config) {
        let known = server.established(id);
        let kept = journals.remove(&provider.name).map(journal::read_newest).transpose()?.unwrap_or_default();
        let (first, kept) = provider_with(provider, inherited, kept, &known)?;
        calls.extend(kept.into_iter().map(|call| (id, call)));
        supervised.push((id, provider.clone(), first));
    }
    for gone in journals.keys() {
        store::let_go_of_journal(gone);
    }
    tracing::warn!(calls = calls.len(), "going on after a crash");
    Ok(Parts {
        server,
        engine,
        media,
        wall_offset,
        first_descriptor: ids.first(),
        inputs: vec![Input::Recovered { calls }],
        kept: resume::Kept::default(),
        supervised,
        rtp_address: config.rtp_address,
        rtp_ports,
        journal: None,
        recoveries,
    })
}

/// When the process was recovered lately, this time included.
fn recoveries(entries: &mut BTreeMap<Key, Vec<u8>>, now_s: u64) -> Vec<u64> {
    let before = entries.remove(&journal::RECOVERIES).and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let mut all: Vec<u64> = before.unwrap_or_default();
    all.retain(|at| now_s.saturating_sub(*at) <= WITHIN_S);
    all.push(now_s);
    all
}

fn keyed(((kind, number), value): (Key, Vec<u8>)) -> Option<(EntryKey, Vec<u8>)> {
    EntryKind::from_number(kind).map(|kind| (EntryKey { kind, number }, value))
}

/// What kills the process is kept for whoever looks into it.
fn save(config: &Config, entries: &BTreeMap<Key, Vec<u8>>) {
    let Some(directory) = &config.state_directory else { return };
    let path = directory.join("crash.json");
    let text: Vec<(u8, u64, String)> = entries
        .iter()
        .map(|((kind, number), value)| (*kind, *number, String::from_utf8_lossy(value).into_owned()))
        .collect();
    match serde_json::to_vec(&text).map_err(io::Error::other).and_then(|text| std::fs::write(&path, text)) {
        Ok(()) => tracing::error!(path = %path.display(), "what was kept is there, for a bug report"),
        Err(error) => tracing::warn!(%error, "what was kept cannot be saved"),
    }
}

/// The media threads begin anew, on the sockets that were kept.
fn media_threads(config: &Config, inherited: &mut Inherited) -> io::Result<(Vec<u16>, Engine, MediaEvents)> {
    let sockets: Vec<(u16, UdpSocket)> = rtp_sockets(config, inherited)?;
    let ports = sockets.iter().map(|(port, _)| *port).collect();
    let (engine, media) = engine(config.media, config.rtp_address, sockets, None)?;
    Ok((ports, engine, media))
}

/// A provider with the calls that it still has.
fn provider_with(
    config: &ProviderConfig,
    inherited: &mut Inherited,
    kept: BTreeMap<Key, Vec<u8>>,
    known: &BTreeSet<CallRef>,
) -> io::Result<(First, Vec<CallRef>)> {
    let name = port_name(&config.name, tsp_sip::PORT);
    let wanted = config.kind.udp();
    let socket = match inherited.ports.remove(&name).map(UdpSocket::from) {
        Some(socket) if wanted.is_some() && socket.local_addr().ok() == wanted => Some(socket),
        _ => bind(config).map_err(|(address, error)| super::named(&format!("listen {address}"), &error))?,
    };
    let listen = socket.as_ref().and_then(|socket| socket.local_addr().ok());
    match AnyProvider::recover(config, listen, seed(), kept, known).map_err(io::Error::other)? {
        Some((provider, calls)) => Ok((First::Recovered(Box::new(provider), socket), calls)),
        None => Ok((First::Fresh(socket), Vec::new())),
    }
}
