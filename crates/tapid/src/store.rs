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

/// Name of udev's monitor that the service manager opened (`FileDescriptorName=` of `tapid-udev.socket`).
pub const MONITOR: &str = "udev";

/// Name of all RTP sockets: they are known by their ports.
pub const RTP: &str = "tapid-rtp";

/// What the names of connections begin with that keep ModemManager off devices.
pub const INHIBITION: &str = "tapid-inhibition-";

/// What the names of journals begin with.
pub const JOURNAL: &str = "tapid-journal-";

/// Name of the core's journal.
pub const CORE: &str = "core";

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

/// Has every descriptor of a name forgotten.
pub fn let_go(name: &str) {
    tell(&[NotifyState::FdStoreRemove, NotifyState::FdName(name)]);
}

/// What an earlier process, or the service manager, left to this one.
#[derive(Debug, Default)]
pub struct Inherited {
    /// The state.
    pub state: Option<OwnedFd>,
    /// The socket of the socket unit.
    pub given_listener: Option<OwnedFd>,
    /// udev's monitor: the unit lets the daemon itself open no netlink socket.
    pub monitor: Option<OwnedFd>,
    /// The socket that the earlier process bound.
    pub own_listener: Option<OwnedFd>,
    /// RTP sockets by port.
    pub rtp: BTreeMap<u16, UdpSocket>,
    /// Providers' ports by name.
    pub ports: BTreeMap<String, OwnedFd>,
    /// Connections that keep ModemManager off devices, by name.
    pub inhibitions: BTreeMap<String, OwnedFd>,
    /// Journals by the name of who wrote them, the newest last.
    pub journals: BTreeMap<String, Vec<OwnedFd>>,
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
            // Journals stay kept until new ones are.
            let of_a_unit = [GIVEN_LISTENER, MONITOR].contains(&name.as_str());
            if !of_a_unit && !name.starts_with(JOURNAL) && !kept.contains(&name) {
                kept.push(name.clone());
            }
            inherited.sort_in(name, descriptor);
        }
        for name in kept {
            let_go(&name);
        }
        inherited
    }

    /// Closes what nothing goes on with; listeners stay.
    pub fn close_strays(&mut self) {
        self.state = None;
        self.rtp.clear();
        self.ports.clear();
        self.inhibitions.clear();
        for journal in std::mem::take(&mut self.journals).into_keys() {
            let_go_of_journal(&journal);
        }
    }

    fn sort_in(&mut self, name: String, descriptor: OwnedFd) {
        match name.as_str() {
            STATE => self.state = Some(descriptor),
            GIVEN_LISTENER => self.given_listener = Some(descriptor),
            MONITOR => self.monitor = Some(descriptor),
            OWN_LISTENER => self.own_listener = Some(descriptor),
            RTP => {
                let socket = UdpSocket::from(descriptor);
                match socket.local_addr() {
                    Ok(address) => drop(self.rtp.insert(address.port(), socket)),
                    Err(error) => tracing::warn!(%error, "a kept RTP socket is none"),
                }
            }
            journal if journal.starts_with(JOURNAL) => {
                // "a-" or "b-", then whose it is. The store gives the older one first.
                let of = journal.get(JOURNAL.len() + 2..).unwrap_or_default().to_string();
                self.journals.entry(of).or_default().push(descriptor);
            }
            inhibition if inhibition.starts_with(INHIBITION) => drop(self.inhibitions.insert(name, descriptor)),
            port if port.starts_with(PORT) => drop(self.ports.insert(name, descriptor)),
            _ => tracing::info!(name, "a descriptor of an unknown name was closed"),
        }
    }
}

/// Most sockets of call audio that are kept from the start, for a crash; beyond it they are bound anew after one.
const RTP_FROM_THE_START: usize = 3_000;

/// Keeps the sockets of call audio while the daemon runs, so that a crash leaves them as they are.
pub fn keep_rtp_from_the_start(sockets: &[(u16, UdpSocket)]) {
    if !present() || sockets.len() > RTP_FROM_THE_START {
        return;
    }
    let sockets: Vec<&UdpSocket> = sockets.iter().map(|(_, socket)| socket).collect();
    if let Err(error) = keep_rtp(&sockets) {
        tracing::warn!(%error, "sockets of call audio cannot be kept: a crash would cut audio for longer");
    }
}

/// Lets a journal go, in both of its names.
pub fn let_go_of_journal(of: &str) {
    for turn in ["a", "b"] {
        let_go(&format!("{JOURNAL}{turn}-{of}"));
    }
}

/// Keeps every RTP socket that is given.
pub fn keep_rtp(sockets: &[&UdpSocket]) -> io::Result<()> {
    let descriptors: Vec<BorrowedFd<'_>> = sockets.iter().map(|socket| socket.as_fd()).collect();
    keep(RTP, &descriptors)
}
