//! The socket that clients connect to, and who may.

use crate::client::{self, Connection};
use crate::config::Config;
use crate::core::Message;
use crate::files::Directories;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tapi::wire::{self, RpcError};
use tapi::{Error, ErrorCode};
use tapi_core::{ClientId, Peer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};

/// Clients that may be connected at one time.
const MAX_CLIENTS: usize = 256;

/// Who may connect, beside root and the daemon's own user.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    users: Vec<u32>,
    groups: Vec<u32>,
}

impl Gate {
    /// As configured.
    pub fn new(config: &Config) -> Gate {
        let (mut users, mut groups) = (config.allow_users.clone(), config.allow_groups.clone());
        // Whoever has rights may connect to use them.
        if let tapi_core::Rights::Rules { rules, .. } = &config.options.rights {
            users.extend(rules.iter().flat_map(|rule| rule.users.clone()));
            groups.extend(rules.iter().flat_map(|rule| rule.groups.clone()));
        }
        Gate { users, groups }
    }

    /// Whether the peer may use the server.
    pub fn admits(&self, peer: &Peer) -> bool {
        let own = nix::unistd::geteuid().as_raw();
        if peer.uid == 0 || peer.uid == own || self.users.contains(&peer.uid) || self.groups.contains(&peer.gid) {
            return true;
        }
        peer.groups.iter().any(|group| self.groups.contains(group))
    }
}

/// The groups of a user, as its database has them; may block.
pub fn groups_of(uid: u32, gid: u32) -> Vec<u32> {
    let user = nix::unistd::User::from_uid(uid.into()).ok().flatten();
    let name = user.and_then(|user| std::ffi::CString::new(user.name).ok());
    let groups = name.and_then(|name| nix::unistd::getgrouplist(&name, gid.into()).ok());
    groups.unwrap_or_default().into_iter().map(nix::unistd::Gid::as_raw).collect()
}

/// Binds the socket; one that a dead server left is replaced.
pub fn bind(config: &Config) -> io::Result<std::os::unix::net::UnixListener> {
    let path = &config.socket;
    let named = |error: io::Error| io::Error::new(error.kind(), format!("socket {}: {error}", path.display()));
    remove_stale(path).map_err(named)?;
    let listener = std::os::unix::net::UnixListener::bind(path).map_err(named)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(config.socket_mode)).map_err(named)?;
    if let Some(group) = config.allow_groups.first()
        && let Err(error) = std::os::unix::fs::chown(path, None, Some(*group))
    {
        tracing::warn!(%error, group, "the socket cannot be given to the group: only its owner can reach it");
    }
    Ok(listener)
}

fn remove_stale(path: &Path) -> io::Result<()> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::new(ErrorKind::AlreadyExists, "there is a file of this name that is not a socket"));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(ErrorKind::AddrInUse, "another server is listening there")),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        Err(error) => Err(error),
    }
}

/// A listener from its descriptor.
pub fn adopt(listener: OwnedFd) -> io::Result<std::os::unix::net::UnixListener> {
    let listener = std::os::unix::net::UnixListener::from(listener);
    listener.local_addr()?;
    Ok(listener)
}

/// What accepting needs.
pub struct Accept {
    /// The listener.
    pub listener: UnixListener,
    /// Who may connect.
    pub gate: Arc<Gate>,
    /// Where files may be.
    pub directories: Arc<Directories>,
    /// To the core.
    pub core: mpsc::Sender<Message>,
}

/// Accepts clients for ever.
pub async fn accept(accept: Accept) {
    let room = Arc::new(Semaphore::new(MAX_CLIENTS));
    let next = AtomicU64::new(1);
    loop {
        let stream = match accept.listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, say: others may let go of some.
                tracing::error!(%error, "a client cannot be accepted");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
            let error = ErrorCode::NoMem.because(format_args!("{MAX_CLIENTS} clients are connected already"));
            turn_away(&stream, &error);
            continue;
        };
        let client = ClientId(next.fetch_add(1, Ordering::Relaxed));
        let (gate, directories) = (Arc::clone(&accept.gate), Arc::clone(&accept.directories));
        let core = accept.core.clone();
        tokio::spawn(async move {
            let _place = place;
            if let Some(peer) = admitted(&stream, gate).await {
                client::serve(Connection { client, peer, stream, core, directories }).await;
            }
        });
    }
}

async fn admitted(stream: &UnixStream, gate: Arc<Gate>) -> Option<Peer> {
    let credentials = stream.peer_cred().ok()?;
    let (uid, gid, pid) = (credentials.uid(), credentials.gid(), credentials.pid().unwrap_or_default());
    let groups = tokio::task::spawn_blocking(move || groups_of(uid, gid)).await.unwrap_or_default();
    let peer = Peer { uid, gid, groups, pid };
    if gate.admits(&peer) {
        return Some(peer);
    }
    tracing::warn!(uid = peer.uid, gid = peer.gid, pid = peer.pid, "client turned away: its user may not connect");
    turn_away(stream, &ErrorCode::NotRegistered.because(format_args!("user {} may not use this server", peer.uid)));
    None
}

/// Says why, if the peer's buffer takes it; it is empty, so it does.
fn turn_away(stream: &UnixStream, error: &Error) {
    let mut line = Vec::new();
    wire::encode_refusal(&mut line, None, &RpcError::from(error));
    let _ = stream.try_write(&line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_the_own_user_and_the_listed_are_admitted() {
        let own = nix::unistd::geteuid().as_raw();
        let gate = Gate { users: vec![4_242], groups: vec![4_343] };
        let peer = |uid, gid| Peer { uid, gid, groups: vec![gid], pid: 1 };
        assert!(gate.admits(&peer(0, 0)));
        assert!(gate.admits(&peer(own, 1)));
        assert!(gate.admits(&peer(4_242, 1)));
        assert!(gate.admits(&peer(60_001, 4_343)));
        assert!(!gate.admits(&peer(60_001, 60_001)));
    }
}
