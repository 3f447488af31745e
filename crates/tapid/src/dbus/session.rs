//! One client of the bus: its calls in order, what the core says to it in order, and what it may see.
//!
//! It is one more client of the core. Reading its properties makes a session by itself; `Client.Open` makes one with a
//! name. The bus says nothing of a client that does not read, and drops its signals without a word when its queue is full:
//! so every so many signals the client is pinged, and only so many are sent that were not proven to be read. What waits
//! beyond that waits here, bounded, and then the client is cut off as on the socket.

mod ask;
mod tell;

use super::authority::{self, Question};
use super::inbox::{Said, inbox};
use super::path::Object;
use super::said;
use super::surface::objects::Member;
use super::tree::Terminals;
use crate::core::Message as ToCore;
use crate::files::Directories;
use crate::listen::{Gate, groups_of};
use crate::sink::Sink;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use tapi::{Names, Request, Right};
use tapi_core::{ClientId, Peer};
use tokio::sync::mpsc;
use tokio::time::Instant;
use zbus::message::Message;
use zbus::{Connection, OwnedVariant};

/// Signals that may be under way to a client without a proof that it read them.
const WINDOW: u64 = 256;

/// Signals after which it is pinged.
const PING_AFTER: u64 = 64;

/// How long it may take to answer.
const PONG: Duration = Duration::from_secs(300);

/// Messages that are sent with one write.
const TURN: usize = 64;

/// Requests that may be unanswered.
const MAX_REQUESTS: usize = 1_024;

/// When it is looked whether an idle call is still known: a little later than the server keeps it at least.
const LOOK_AGAIN: Duration = Duration::from_secs(61);

/// What a session works with.
pub struct Around {
    /// To the bus.
    pub connection: Connection,
    /// To the core.
    pub core: mpsc::Sender<ToCore>,
    /// Where files may be.
    pub directories: Arc<Directories>,
    /// Who may use the server without more ado.
    pub gate: Arc<Gate>,
    /// Its name for the core.
    pub client: ClientId,
    /// Where its end is told.
    pub ended: mpsc::UnboundedSender<(String, ClientId)>,
}

/// What is to be done with an answer of the core's.
#[derive(Debug)]
enum Then {
    /// It is the answer to this method, on this call; a descriptor goes with it.
    Answer(&'static Member, Option<u64>, Option<OwnedFd>),
    /// One property.
    Get(Object, String, String),
    /// All properties.
    GetAll(Object, String),
    /// All objects.
    Objects,
    /// What an object has.
    Introspect(Object),
    /// Nothing: it was asked on the client's behalf.
    Nothing,
    /// Whether the call is still known.
    Known(u64),
}

/// A request that the core has.
#[derive(Debug)]
struct Pending {
    call: Option<Message>,
    then: Then,
    request: Request,
}

/// A call that is read and ready.
#[derive(Debug)]
struct Ready {
    call: Option<Message>,
    then: Then,
    request: Request,
    passed: VecDeque<OwnedFd>,
}

/// What comes back of what was begun beside.
#[derive(Debug)]
enum Back {
    /// So many signals are proven to be read.
    Proof(u64),
    /// Nobody answered the ping, or there is no room for one.
    NoProof,
    /// The policy kit was asked.
    Asked(Box<Ready>),
}

/// Whether there is a session of the core's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// None.
    None,
    /// One that reading made.
    Reading,
    /// One that the client opened.
    Open,
}

struct Session {
    around: Around,
    name: String,
    peer: Peer,
    standing: Standing,
    pending: BTreeMap<u64, Pending>,
    next: u64,
    /// Calls that were shown as objects.
    shown: BTreeSet<u64>,
    /// Lines that the client opened.
    opened: BTreeSet<u64>,
    terminals: Terminals,
    /// Idle calls, and when it is looked whether they are still known.
    idle: VecDeque<(Instant, u64)>,
    /// Signals that are not proven to be read.
    unread: u64,
    pinged: bool,
    back: mpsc::UnboundedSender<Back>,
    out: Vec<Message>,
}

/// Starts the session of a unique name. It ends when `calls` does.
pub fn start(around: Around, name: String, calls: mpsc::Receiver<Message>) {
    tokio::spawn(async move {
        let (ended, client) = (around.ended.clone(), around.client);
        serve(around, &name, calls).await;
        let _ = ended.send((name, client));
    });
}

async fn serve(around: Around, name: &str, calls: mpsc::Receiver<Message>) {
    let Some(peer) = peer(&around.connection, name).await else {
        tracing::debug!(name, "a client of the bus was gone before it was known who it is");
        return;
    };
    let (inbox, said) = inbox();
    let (client, core) = (around.client, around.core.clone());
    tracing::debug!(client = client.0, name, uid = peer.uid, pid = peer.pid, "client on the bus");
    let connected = ToCore::ClientConnected { client, peer: peer.clone(), sink: Sink::Bus(inbox) };
    if core.send(connected).await.is_err() {
        return;
    }
    look_around(&around, name, &peer).await;
    let (back, returned) = mpsc::unbounded_channel();
    let session = Session {
        around,
        name: name.to_string(),
        peer,
        standing: Standing::None,
        pending: BTreeMap::new(),
        next: 1,
        shown: BTreeSet::new(),
        opened: BTreeSet::new(),
        terminals: Terminals::new(),
        idle: VecDeque::new(),
        unread: 0,
        pinged: false,
        back,
        out: Vec::new(),
    };
    session.run(calls, said, returned).await;
    let _ = core.send(ToCore::ClientGone { client, overrun: false }).await;
}

/// Whoever the configuration does not let in sees lines if the policy kit says so.
async fn look_around(around: &Around, name: &str, peer: &Peer) {
    if around.gate.admits(peer) {
        return;
    }
    let question = Question { sender: name.to_string(), right: Right::See, line: None, interactive: false };
    if authority::allows(&around.connection, &question).await {
        let granted = ToCore::Granted { client: around.client, line: None, rights: Names::from([Right::See]) };
        let _ = around.core.send(granted).await;
    }
}

/// Who a unique name is, as the bus says.
async fn peer(connection: &Connection, name: &str) -> Option<Peer> {
    let bus = Some("org.freedesktop.DBus");
    let asked = connection.call_method(bus, "/org/freedesktop/DBus", bus, "GetConnectionCredentials", &(name,)).await;
    let reply = asked.ok()?;
    let body = reply.body();
    let credentials: HashMap<String, OwnedVariant> = body.deserialize().ok()?;
    let number = |key: &str| u32::try_from(credentials.get(key)?).ok();
    let uid = number("UnixUserID")?;
    let pid = number("ProcessID").and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
    let gid = nix::unistd::User::from_uid(uid.into()).ok().flatten().map_or(u32::MAX, |user| user.gid.as_raw());
    let said = credentials.get("UnixGroupIDs").and_then(|groups| groups.try_clone().ok());
    let groups = match said.and_then(|groups| <Vec<u32>>::try_from(groups).ok()) {
        Some(groups) => groups,
        None => tokio::task::spawn_blocking(move || groups_of(uid, gid)).await.unwrap_or_default(),
    };
    Some(Peer { uid, gid, groups, pid })
}

impl Session {
    async fn run(
        mut self,
        mut calls: mpsc::Receiver<Message>,
        mut said: mpsc::Receiver<Said>,
        mut returned: mpsc::UnboundedReceiver<Back>,
    ) {
        loop {
            let look = self.idle.front().map_or_else(|| Instant::now() + LOOK_AGAIN, |(due, _)| *due);
            tokio::select! {
                call = calls.recv() => match call {
                    Some(change) if authority::is_change(&change) => self.ask_anew().await,
                    Some(call) => {
                        // Whoever calls is alive, and has what was sent before in its own queue.
                        self.unread = 0;
                        self.take_call(call).await;
                    }
                    None => return,
                },
                what = said.recv(), if self.unread < WINDOW => match what {
                    Some(what) => {
                        self.take_said(what).await;
                        for _ in 1..TURN {
                            let Ok(what) = said.try_recv() else { break };
                            self.take_said(what).await;
                        }
                    }
                    None => {
                        let cut = said::cut_off(&self.name, "the server ended the session's connection");
                        self.out.extend(cut.ok());
                        self.flush().await;
                        return;
                    }
                },
                Some(back) = returned.recv() => match back {
                    Back::Proof(read) => {
                        self.unread = self.unread.saturating_sub(read);
                        self.pinged = false;
                    }
                    Back::NoProof => self.pinged = false,
                    Back::Asked(ready) => self.send(*ready).await,
                },
                () = tokio::time::sleep_until(look) => self.look_again().await,
            }
            self.flush().await;
        }
    }

    /// The policy kit may think otherwise now: what it allowed is asked for again when it is needed.
    async fn ask_anew(&mut self) {
        let _ = self.around.core.send(ToCore::Revoked { client: self.around.client }).await;
        look_around(&self.around, &self.name, &self.peer).await;
    }

    /// Sends what is to be said, and pings when much was.
    async fn flush(&mut self) {
        let out = std::mem::take(&mut self.out);
        if let Err(error) = self.around.connection.send_all(&out).await {
            tracing::debug!(client = self.around.client.0, %error, "the bus does not take what is said to a client");
        }
        if self.unread < PING_AFTER || self.pinged {
            return;
        }
        self.pinged = true;
        let (connection, name) = (self.around.connection.clone(), self.name.clone());
        let (back, read) = (self.back.clone(), self.unread);
        tokio::spawn(async move {
            let peer = Some("org.freedesktop.DBus.Peer");
            let ping = connection.call_method(Some(name.as_str()), "/", peer, "Ping", &());
            let proof = match tokio::time::timeout(PONG, ping).await {
                Ok(Ok(_)) => Back::Proof(read),
                // Whoever refuses has read it, too; the bus refuses when too many answers are awaited.
                Ok(Err(zbus::Error::MethodError(name, _, _))) if !name.as_str().ends_with("LimitsExceeded") => {
                    Back::Proof(read)
                }
                Ok(Err(zbus::Error::FDO(error))) if !matches!(*error, zbus::fdo::Error::LimitsExceeded(_)) => {
                    Back::Proof(read)
                }
                _ => {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    Back::NoProof
                }
            };
            let _ = back.send(proof);
        });
    }

    /// Signals were added to what is to be said.
    fn say(&mut self, message: zbus::Result<Message>) {
        match message {
            Ok(message) => {
                self.unread += 1;
                self.out.push(message);
            }
            Err(error) => tracing::error!(%error, "a signal cannot be written"),
        }
    }

    /// An answer was.
    fn reply(&mut self, message: zbus::Result<Message>) {
        match message {
            Ok(message) => self.out.push(message),
            Err(error) => tracing::error!(%error, "an answer cannot be written"),
        }
    }

    async fn look_again(&mut self) {
        let now = Instant::now();
        while let Some((due, call)) = self.idle.front().copied() {
            if due > now {
                return;
            }
            self.idle.pop_front();
            if self.shown.contains(&call) {
                let request = Request::CallGet(tapi::request::CallGet { call: tapi::CallId(call) });
                self.on_behalf(request, Then::Known(call)).await;
            }
        }
    }
}
