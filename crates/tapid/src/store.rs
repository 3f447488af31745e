//! The service manager: what it is told, and the descriptors it keeps while one process follows another.

use crate::sys;
use sd_notify::NotifyState;
use std::collections::BTreeMap;
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Name of the descriptor of the state.
pub const STATE: &str = "tapid-state";

/// Name of the listening socket that this daemon bound itself.
pub const OWN_LISTENER: &str = "tapid-listener";

/// Name of a listening socket that the service manager bound (`FileDescriptorName=` of the socket unit).
pub const GIVEN_LISTENER: &str = "api";

/// Name of all RTP sockets: they are known by their ports.
pub const RTP: &str = "tapid-rtp";

/// What the names of providers' ports begin with.
pub const PORT: &str = "port-";

/// Descriptors that the kernel takes in one message, less some.
const BATCH: usize = 250;

/// Whether there is a service manager that keeps descriptors.
pub fn present() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// Tells the service manager.
pub fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

/// Has descriptors kept, all under one name.
pub fn keep(name: &str, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    // Without the manager's own look at them: a socket with a pending error, or a terminal that hung up, is ours to judge.
    let states = [NotifyState::FdStore, NotifyState::FdName(name), NotifyState::Custom("FDPOLL=0")];
    for batch in descriptors.chunks(BATCH) {
        sd_notify::notify_with_fds(&states, batch)?;
    }
    Ok(())
}

/// What an earlier process, or the service manager, left to this one.
#[derive(Debug, Default)]
pub struct Inherited {
    /// The state.
    pub state: Option<OwnedFd>,
    /// The socket of the socket unit.
    pub given_listener: Option<OwnedFd>,
    /// The socket that the earlier process bound.
    pub own_listener: Option<OwnedFd>,
    /// RTP sockets by port.
    pub rtp: BTreeMap<u16, UdpSocket>,
    /// Providers' ports by name.
    pub ports: BTreeMap<String, OwnedFd>,
}

impl Inherited {
    /// Takes what was passed, and lets the service manager forget it. Strays are closed.
    pub fn take() -> Inherited {
        let passed = sys::passed_descriptors().unwrap_or_else(|error| {
            tracing::warn!(%error, "the descriptors of the service manager cannot be read");
            Vec::new()
        });
        let mut inherited = Inherited::default();
        let mut kept: Vec<String> = Vec::new();
        for (name, descriptor) in passed {
            if name != GIVEN_LISTENER && !kept.contains(&name) {
                kept.push(name.clone());
            }
            inherited.sort_in(name, descriptor);
        }
        for name in kept {
            tell(&[NotifyState::FdStoreRemove, NotifyState::FdName(&name)]);
        }
        inherited
    }

    /// Closes what nothing goes on with; listeners stay.
    pub fn close_strays(&mut self) {
        self.state = None;
        self.rtp.clear();
        self.ports.clear();
    }

    fn sort_in(&mut self, name: String, descriptor: OwnedFd) {
        match name.as_str() {
            STATE => self.state = Some(descriptor),
            GIVEN_LISTENER => self.given_listener = Some(descriptor),
            OWN_LISTENER => self.own_listener = Some(descriptor),
            RTP => {
                let socket = UdpSocket::from(descriptor);
                match socket.local_addr() {
                    Ok(address) => drop(self.rtp.insert(address.port(), socket)),
                    Err(error) => tracing::warn!(%error, "a kept RTP socket is none"),
                }
            }
            port if port.starts_with(PORT) => drop(self.ports.insert(name, descriptor)),
            _ => tracing::info!(name, "a descriptor of an unknown name was closed"),
        }
    }
}

/// Keeps every RTP socket that is given.
pub fn keep_rtp(sockets: &[&UdpSocket]) -> io::Result<()> {
    let descriptors: Vec<BorrowedFd<'_>> = sockets.iter().map(|socket| socket.as_fd()).collect();
    keep(RTP, &descriptors)
}
