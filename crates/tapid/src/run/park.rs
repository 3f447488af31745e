//! Everything into the service manager's store.

use crate::core::ParkedCore;
use crate::hotplug::Inhibition;
use crate::provider::Parked;
use crate::state::{self, State};
use crate::store;
use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use tokio::task::JoinSet;

/// What the providers' tasks left.
pub async fn gather(mut providers: JoinSet<Option<Parked>>, mut found: JoinSet<Option<Parked>>) -> Vec<Parked> {
    let mut parked = Vec::new();
    let all = async {
        while let Some(one) = providers.join_next().await {
            parked.extend(one.ok().flatten());
        }
        while let Some(one) = found.join_next().await {
            parked.extend(one.ok().flatten());
        }
    };
    if tokio::time::timeout(std::time::Duration::from_secs(2), all).await.is_err() {
        tracing::error!("a provider did not put its state down: its lines begin anew");
    }
    parked.sort_by_key(|parked| parked.id);
    parked
}

/// Has the service manager keep everything, and ends.
pub fn put_away(
    core: ParkedCore,
    mut providers: Vec<Parked>,
    inhibitions: Vec<(Inhibition, OwnedFd)>,
    own_listener: Option<&UnixListener>,
    (rtp_address, rtp_ports): (IpAddr, Vec<u16>),
) -> io::Result<()> {
    let descriptors: Vec<_> =
        providers.iter_mut().flat_map(|provider| std::mem::take(&mut provider.descriptors)).collect();
    let name = |at: usize| format!("{}{at}", store::INHIBITION);
    let kept = inhibitions.iter().enumerate().map(|(at, (inhibition, _))| (name(at), inhibition.clone())).collect();
    let state = State {
        written_by: env!("CARGO_PKG_VERSION").to_string(),
        server: core.server,
        providers,
        first_descriptor: core.next_descriptor,
        rtp_address,
        rtp_ports,
        streams: core.streams,
        outstanding: core.outstanding,
        late: core.late,
        inhibitions: kept,
    };
    let used: BTreeSet<u16> = state
        .streams
        .values()
        .filter_map(|wire| wire.rtp_port())
        // With the port of its RTCP.
        .flat_map(|port| [port, port | 1])
        .collect();
    let sockets: Vec<_> =
        core.sockets.iter().filter(|(port, _)| used.contains(port)).map(|(_, socket)| socket).collect();
    let memory = state::write(&state, &core.media)?;
    store::keep_rtp(&sockets)?;
    for (name, descriptor) in &descriptors {
        store::keep(name, &[descriptor.as_fd()])?;
    }
    for (at, (_, connection)) in inhibitions.iter().enumerate() {
        store::keep(&name(at), &[connection.as_fd()])?;
    }
    if let Some(listener) = own_listener {
        store::keep(store::OWN_LISTENER, &[listener.as_fd()])?;
    }
    store::keep(store::STATE, &[memory.as_fd()])?;
    // Whoever goes on does so from the state; what was kept for a crash is older than that.
    store::let_go_of_journal(store::CORE);
    for provider in &state.providers {
        store::let_go_of_journal(&provider.config.name);
    }
    tracing::info!(streams = state.streams.len(), descriptors = descriptors.len() + sockets.len(), "parked");
    Ok(())
}
