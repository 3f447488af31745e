//! A start that goes on where an earlier process left off.

use super::{MediaEvents, Parts, ToSupervise, bind, engine};
use crate::clock;
use crate::config::{Config, Kind, ProviderConfig};
use crate::core::{Late, Wire};
use crate::hotplug::Inhibition;
use crate::provider::{First, Parked, farewell};
use crate::state::{self, State};
use crate::store::Inherited;
use msp_engine::Engine;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use tapi_core::{Input, ProviderId};
use tspi::{CommandId, StreamId};

/// What the core goes on with beside the server's state.
#[derive(Default)]
pub struct Kept {
    /// Streams.
    pub streams: BTreeMap<StreamId, Wire>,
    /// Commands that are not yet answered.
    pub outstanding: BTreeSet<(ProviderId, CommandId)>,
    /// What was said too late.
    pub late: Late,
    /// What ModemManager keeps off, with the connections that it does so for.
    pub inhibitions: Vec<(Inhibition, OwnedFd)>,
}

/// Takes over what was left. `None`: nothing was, or it cannot be used, and the start is a clean one.
pub fn resume(config: &Config, inherited: &mut Inherited) -> Option<Parts> {
    let memory = inherited.state.take()?;
    let attempt = state::read(memory).and_then(|(state, media)| take_over(config, inherited, state, media));
    match attempt {
        Ok(parts) => Some(parts),
        Err(error) => {
            tracing::error!(%error, "the state of the earlier process cannot be used: a clean start, calls are lost");
            None
        }
    }
}

fn take_over(config: &Config, inherited: &mut Inherited, state: State, media: Vec<u8>) -> io::Result<Parts> {
    if rtp_changed(config, &state) {
        if state.streams.is_empty() {
            return Err(io::Error::other("[rtp] or who needs it has changed, and there are no calls to keep"));
        }
        tracing::warn!("[rtp] has changed: it is used after the next stop and start, as calls use the old one");
    }
    let (engine, events) = media_threads(config, inherited, &state, media)?;
    let wall_offset = clock::wall_offset();
    let mut server = state.server;
    server.configure(config.options.clone());
    let mut inputs = vec![Input::Restored, Input::WallClock(wall_offset)];
    let mut late = state.late;
    let named = state.inhibitions.into_iter();
    let inhibitions =
        named.filter_map(|(name, inhibition)| Some((inhibition, inherited.inhibitions.remove(&name)?))).collect();
    let supervised = providers(config, inherited, state.providers, &mut inputs, &mut late)?;
    tracing::info!(written_by = state.written_by, streams = state.streams.len(), "going on after a restart");
    Ok(Parts {
        server,
        engine,
        media: events,
        wall_offset,
        first_descriptor: state.first_descriptor,
        inputs,
        kept: Kept { streams: state.streams, outstanding: state.outstanding, late, inhibitions },
        supervised,
        rtp_address: state.rtp_address,
        rtp_ports: state.rtp_ports,
        journal: None,
        recoveries: Vec::new(),
    })
}

/// Whether the configuration wants other sockets than there are.
fn rtp_changed(config: &Config, state: &State) -> bool {
    let needed = config.providers.iter().any(|provider| provider.kind.uses_rtp());
    let fewer = state.rtp_ports.iter().any(|port| !config.rtp_ports.contains(port));
    needed && (state.rtp_ports.is_empty() || state.rtp_address != config.rtp_address || fewer)
}

/// The media threads with the kept sockets; those of unused ports are bound anew.
fn media_threads(
    config: &Config,
    inherited: &mut Inherited,
    state: &State,
    media: Vec<u8>,
) -> io::Result<(Engine, MediaEvents)> {
    let mut sockets: Vec<(u16, UdpSocket)> = Vec::new();
    for port in state.rtp_ports.iter().copied() {
        if let Some(socket) = inherited.rtp.remove(&port) {
            socket.set_nonblocking(true)?;
            sockets.push((port, socket));
            continue;
        }
        match msp_engine::bind(state.rtp_address, std::iter::once(port)) {
            Ok(bound) => sockets.extend(bound),
            Err(error) => {
                tracing::warn!(port, %error, "an RTP port was taken by somebody else: calls on it are silent")
            }
        }
    }
    crate::store::keep_rtp_from_the_start(&sockets);
    engine(config.media, state.rtp_address, sockets, Some(media))
}

/// Who goes on, who begins anew since it was changed, and who is gone.
fn providers(
    config: &Config,
    inherited: &mut Inherited,
    parked: Vec<Parked>,
    inputs: &mut Vec<Input>,
    late: &mut Late,
) -> io::Result<Vec<ToSupervise>> {
    let mut supervised = Vec::new();
    let ours = parked.iter().filter(|parked| parked.config.kind.found().is_none());
    let mut next = ours.map(|parked| parked.id.0).max().unwrap_or(0).saturating_add(1);
    let mut parked: BTreeMap<String, Parked> =
        parked.into_iter().map(|parked| (parked.config.name.clone(), parked)).collect();
    for provider in &config.providers {
        let earlier = parked.get_mut(&provider.name);
        let goes_on = earlier.map_or(Ok(()), |it| it.provider.reconfigure(&it.config, provider));
        match (parked.remove(&provider.name), goes_on) {
            (Some(mut earlier), Ok(())) => {
                earlier.config = provider.clone();
                let id = earlier.id;
                earlier.commands.extend(late.take_commands(id));
                let kept = kept(inherited, &earlier);
                supervised.push((id, provider.clone(), First::Parked(Box::new(earlier), kept)));
            }
            (Some(earlier), Err(reason)) => {
                let (id, kept) = (earlier.id, kept(inherited, &earlier));
                inputs.push(stopped(id, &reason));
                let first = match &provider.kind {
                    Kind::Modem(_) => First::After(Box::new(earlier), kept),
                    Kind::Sip(_) | Kind::Loopback(_) => {
                        drop(kept);
                        fresh(provider)?
                    }
                };
                supervised.push((id, provider.clone(), first));
            }
            (None, _) => {
                supervised.push((ProviderId(next), provider.clone(), fresh(provider)?));
                next = next.saturating_add(1);
            }
        }
    }
    for mut gone in parked.into_values() {
        // A modem that was found is one still, or waits to be plugged in again.
        if gone.config.kind.found().is_some() && (config.modems.discover || config.modems.directory.is_some()) {
            take_up(&mut gone, config);
            gone.commands.extend(late.take_commands(gone.id));
            let kept = kept(inherited, &gone);
            supervised.push((gone.id, gone.config.clone(), First::Parked(Box::new(gone), kept)));
            continue;
        }
        inputs.push(stopped(gone.id, "it is not configured any more"));
        if matches!(gone.config.kind, Kind::Modem(_)) {
            let kept = kept(inherited, &gone);
            tokio::spawn(farewell(gone, kept));
        }
    }
    Ok(supervised)
}

/// What the file says of modems that are found, for one that was.
fn take_up(parked: &mut Parked, config: &Config) {
    let mut now = parked.config.clone();
    if let Kind::Modem(modem) = &mut now.kind {
        modem.take_up(&config.modems);
    }
    match parked.provider.reconfigure(&parked.config, &now) {
        Ok(()) => parked.config = now,
        Err(error) => tracing::error!(modem = parked.config.name, error, "it goes on as it was configured"),
    }
}

/// The descriptors of a provider's ports.
fn kept(inherited: &mut Inherited, parked: &Parked) -> BTreeMap<String, OwnedFd> {
    parked.ports.iter().filter_map(|port| inherited.ports.remove_entry(&port.descriptor)).collect()
}

fn fresh(provider: &ProviderConfig) -> io::Result<First> {
    let socket = bind(provider).map_err(|(address, error)| super::named(&format!("listen {address}"), &error))?;
    Ok(First::Fresh(socket))
}

fn stopped(provider: ProviderId, reason: &str) -> Input {
    Input::ProviderStopped { provider, reason: reason.to_string() }
}
