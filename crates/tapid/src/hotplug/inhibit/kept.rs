//! Inhibitions over a restart. ModemManager keeps off a device as long as the connection to the bus that asked for it lives:
//! that connection is handed to the next process, which never speaks D-Bus over it but to end an inhibition. What the bus
//! says on it is read and passed over, so nothing is lost with what the earlier process had read of it.

use super::{NAME, PATH};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Socket;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::UnixStream;
use zbus::message::{Flags, Message};

/// What one connection to the bus holds, for the state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inhibition {
    /// ModemManager's own name on the bus: another one knows nothing of it.
    pub owner: String,
    /// The devices that it keeps off.
    pub devices: BTreeSet<String>,
}

/// A connection of this process or an earlier one, as the next process is to have it.
#[derive(Debug)]
struct Holder {
    inhibition: Inhibition,
    socket: OwnedFd,
}

/// What all connections hold, by numbers of our own; the process that ends takes it from here.
#[derive(Clone, Debug, Default)]
pub struct Holders(Arc<Mutex<BTreeMap<u64, Holder>>>);

impl Holders {
    fn with<R>(&self, act: impl FnOnce(&mut BTreeMap<u64, Holder>) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A connection that holds nothing yet.
    pub fn add(&self, socket: OwnedFd) -> u64 {
        self.with(|all| {
            let id = all.keys().next_back().map_or(0, |last| last.saturating_add(1));
            all.insert(id, Holder { inhibition: Inhibition::default(), socket });
            id
        })
    }

    /// What it holds now.
    pub fn tell(&self, id: u64, inhibition: Inhibition) {
        self.with(|all| all.get_mut(&id).map(|holder| holder.inhibition = inhibition));
    }

    /// It ended.
    pub fn remove(&self, id: u64) {
        self.with(|all| all.remove(&id));
    }

    /// Everything that is held, for the next process.
    pub fn take(&self) -> Vec<(Inhibition, OwnedFd)> {
        let all = self.with(std::mem::take).into_values();
        all.filter(|holder| !holder.inhibition.devices.is_empty())
            .map(|holder| (holder.inhibition, holder.socket))
            .collect()
    }
}

/// A connection of an earlier process.
#[derive(Debug)]
struct Earlier {
    id: u64,
    inhibition: Inhibition,
    stream: UnixStream,
}

/// The connections of earlier processes.
#[derive(Debug)]
pub struct Kept {
    holders: Holders,
    all: Vec<Earlier>,
}

impl Kept {
    /// Takes them over; those that cannot be are closed.
    pub fn take_over(inherited: Vec<(Inhibition, OwnedFd)>, holders: Holders) -> Kept {
        let mut all = Vec::new();
        for (inhibition, socket) in inherited {
            let stream = Socket::from(socket);
            let ours = stream.set_nonblocking(true).and_then(|()| stream.try_clone());
            match ours.and_then(UnixStream::from_std) {
                Ok(ours) => {
                    let id = holders.add(stream.into());
                    holders.tell(id, inhibition.clone());
                    all.push(Earlier { id, inhibition, stream: ours });
                }
                Err(error) => tracing::warn!(%error, "ModemManager cannot be kept off over the restart"),
            }
        }
        Kept { holders, all }
    }

    /// Whether ModemManager keeps off a device for one of them.
    pub fn holds(&self, device: &str) -> bool {
        self.all.iter().any(|earlier| earlier.inhibition.devices.contains(device))
    }

    /// ModemManager is this one now: what another one was told is void.
    pub fn owned(&mut self, owner: Option<&str>) {
        self.retain(|earlier| Some(earlier.inhibition.owner.as_str()) == owner);
    }

    fn retain(&mut self, keep: impl Fn(&Earlier) -> bool) {
        let gone = self.all.extract_if(.., |earlier| !keep(earlier));
        gone.for_each(|earlier| self.holders.remove(earlier.id));
    }

    /// ModemManager may have the device again. `false`: none of them holds it.
    pub fn let_go(&mut self, device: &str) -> bool {
        let Some(at) = self.all.iter().position(|earlier| earlier.inhibition.devices.contains(device)) else {
            return false;
        };
        let Some(earlier) = self.all.get_mut(at) else { return false };
        earlier.inhibition.devices.remove(device);
        self.holders.tell(earlier.id, earlier.inhibition.clone());
        let said = release(&earlier.inhibition.owner, device).is_some_and(|bytes| {
            // It is a short message to a socket that nobody else writes to.
            earlier.stream.try_write(&bytes).is_ok_and(|count| count == bytes.len())
        });
        // With its last one a connection goes, and so does one that does not take a message: what else it held is asked for anew.
        if !said || earlier.inhibition.devices.is_empty() {
            let id = earlier.id;
            self.retain(|earlier| earlier.id != id);
        }
        true
    }

    /// Passes over what the bus says, and waits until one of them ended: its devices. Nothing is lost when this is given up.
    pub async fn lost(&mut self) -> BTreeSet<String> {
        let id = poll_fn(|context| {
            let mut bytes = [0; 4_096];
            for earlier in &mut self.all {
                loop {
                    let mut buffer = ReadBuf::new(&mut bytes);
                    match std::pin::Pin::new(&mut earlier.stream).poll_read(context, &mut buffer) {
                        Poll::Pending => break,
                        Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                        Poll::Ready(_) => return Poll::Ready(earlier.id),
                    }
                }
            }
            Poll::Pending
        })
        .await;
        let ended = self.all.iter().find(|earlier| earlier.id == id);
        let devices = ended.map(|earlier| earlier.inhibition.devices.clone()).unwrap_or_default();
        self.retain(|earlier| earlier.id != id);
        devices
    }
}

/// The call that ends an inhibition, which wants no answer.
fn release(owner: &str, device: &str) -> Option<Vec<u8>> {
    let call = Message::method_call(PATH, "InhibitDevice").interface(NAME).destination(owner.to_owned());
    let message = call.with_flags(Flags::NO_REPLY_EXPECTED).build(&(device, false)).ok()?;
    Some(message.data().bytes().to_vec())
}
