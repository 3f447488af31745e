//! Keeps ModemManager off the modems that are ours (`InhibitDevice` of `org.freedesktop.ModemManager1`), while they are
//! ours: it lets go of a device at once, and takes it back when the inhibition or our connection to the bus ends. Where it
//! is not there, does not know the device or does not answer, the modem is used all the same.
//!
//! ```text
//!   Due ── asked ──► Asking ── it keeps off ──────────────────────────► Held
//!    ▲                 │                                                 │
//!    └─ later, again ──┴── unknown, refused, no answer, in use           │
//!    └─ it was started anew ─────────────────────────────────────────────┘
//! ```

mod kept;

use crate::dbus::{self, Bus};
pub use kept::Inhibition;
use kept::{Holders, Kept};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::poll_fn;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use zbus::address::Transport;
use zbus::address::transport::UnixSocket;
use zbus::export::futures_core::Stream;
use zbus::message::{Message, Type};
use zbus::{Address, Connection, MessageStream, OwnedObjectPath, OwnedVariant, connection};

const NAME: &str = "org.freedesktop.ModemManager1";
const PATH: &str = "/org/freedesktop/ModemManager1";
const MODEM: &str = "org.freedesktop.ModemManager1.Modem";

/// How long a modem that was plugged in waits for it at most.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// How long an answer may take. It closes the ports before it answers.
const ANSWER: Duration = Duration::from_secs(10);

/// How long until it is asked again: at first, and at most. It tells of a device some time after udev does, and begins to
/// talk to it 1.5 s later.
const AGAIN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(60));

/// When it is looked again whether a device that it uses is free.
const IN_USE: Duration = Duration::from_secs(5);

/// `Connecting` of its `Modem.State`: this and the one after it are data connections.
const CONNECTING: i32 = 10;

/// How a device stands with ModemManager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody keeps off: it is not there, does not know the device, or does not answer.
    Free,
    /// It keeps off.
    Inhibited,
    /// It has a data connection over it, which is not taken away.
    InUse,
}

type Standings = BTreeMap<String, Standing>;

/// Devices to keep it off, by what it calls their uid: the path of the device in /sys, as a rule.
#[derive(Debug)]
pub struct Inhibitor {
    bus: Bus,
    wanted: watch::Sender<BTreeSet<String>>,
    standing: watch::Receiver<Standings>,
    holders: Holders,
    task: Task,
}

#[derive(Debug)]
enum Task {
    /// There was no device yet, nor anything that an earlier process held.
    Waiting(watch::Sender<Standings>, Vec<(Inhibition, OwnedFd)>),
    Running(JoinHandle<()>),
}

impl Inhibitor {
    /// On that bus; it is connected to when there is a device. `inherited`: what an earlier process holds.
    pub fn new(bus: Bus, inherited: Vec<(Inhibition, OwnedFd)>) -> Inhibitor {
        let (told, standing) = watch::channel(Standings::new());
        let inherited = if bus == Bus::Off { Vec::new() } else { inherited };
        let task = Task::Waiting(told, inherited);
        Inhibitor { bus, wanted: watch::Sender::default(), standing, holders: Holders::default(), task }
    }

    /// What is held now, for the next process: its connections to the bus must not end before that one has them.
    pub fn put_down(&self) -> Vec<(Inhibition, OwnedFd)> {
        self.holders.take()
    }

    /// It is to be kept off these devices, and no others.
    pub fn want(&mut self, devices: BTreeSet<String>) {
        if self.bus == Bus::Off {
            return;
        }
        if let Task::Waiting(told, inherited) = &mut self.task
            && !(devices.is_empty() && inherited.is_empty())
        {
            let (bus, wanted, told) = (self.bus.clone(), self.wanted.subscribe(), told.clone());
            let (inherited, holders) = (std::mem::take(inherited), self.holders.clone());
            self.task = Task::Running(tokio::spawn(async move {
                let kept = Kept::take_over(inherited, holders.clone());
                keep(bus, wanted, told, kept, holders).await;
            }));
        }
        self.wanted.send_if_modified(|wanted| {
            let differs = *wanted != devices;
            *wanted = devices;
            differs
        });
    }

    /// How a device stands; none: that is not known yet.
    pub fn standing(&self, device: &str) -> Option<Standing> {
        if self.bus == Bus::Off {
            return Some(Standing::Free);
        }
        self.standing.borrow().get(device).copied()
    }

    /// Waits until one stands otherwise. Nothing is lost when this is given up.
    pub async fn changed(&mut self) {
        if self.standing.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

impl Drop for Inhibitor {
    fn drop(&mut self) {
        if let Task::Running(task) = &self.task {
            task.abort();
        }
    }
}

/// Connects, and connects again.
async fn keep(
    bus: Bus,
    mut wanted: watch::Receiver<BTreeSet<String>>,
    told: watch::Sender<Standings>,
    mut kept: Kept,
    holders: Holders,
) {
    let mut wait = AGAIN.0;
    loop {
        match connect(&bus).await {
            Ok((connection, stream, socket)) => {
                wait = AGAIN.0;
                let own = socket.map(|socket| holders.add(socket));
                let keeper = Keeper {
                    connection,
                    owner: None,
                    devices: BTreeMap::new(),
                    calls: JoinSet::new(),
                    wanted: &mut wanted,
                    told: &told,
                    kept: &mut kept,
                    holders: &holders,
                    own,
                };
                keeper.run(stream).await;
                if let Some(own) = own {
                    holders.remove(own);
                }
            }
            Err(error) => tracing::debug!(%error, "ModemManager cannot be reached"),
        }
        let again = Instant::now() + wait;
        wait = (wait * 2).min(AGAIN.1);
        loop {
            let standing = |device: &str| if kept.holds(device) { Standing::Inhibited } else { Standing::Free };
            let all = wanted.borrow_and_update().iter().map(|device| (device.clone(), standing(device))).collect();
            tell(&told, all);
            tokio::select! {
                () = sleep_until(again) => break,
                _ = kept.lost() => {}
                changed = wanted.changed() => if changed.is_err() { return },
            }
        }
    }
}

fn tell(told: &watch::Sender<Standings>, now: Standings) {
    told.send_if_modified(|before| {
        let differs = *before != now;
        *before = now;
        differs
    });
}

/// With a second descriptor of the connection, where it is one that can be handed over.
async fn connect(bus: &Bus) -> zbus::Result<(Connection, MessageStream, Option<OwnedFd>)> {
    let work = async {
        let (builder, socket) = match local(bus)? {
            Some(stream) => {
                let socket = stream.try_clone().map(OwnedFd::from).ok();
                (connection::Builder::unix_stream(stream), socket)
            }
            None => (dbus::builder(bus), None),
        };
        let connection = builder.build().await?;
        let stream = MessageStream::from(&connection);
        let rules = [
            format!("type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='{NAME}'"),
            format!("type='signal',sender='{NAME}',member='InterfacesAdded',path='{PATH}'"),
        ];
        let bus = Some("org.freedesktop.DBus");
        for rule in &rules {
            connection.call_method(bus, "/org/freedesktop/DBus", bus, "AddMatch", &(rule,)).await?;
        }
        Ok((connection, stream, socket))
    };
    timeout(ANSWER, work).await.unwrap_or(Err(zbus::Error::Failure("no answer in time".into())))
}

/// The socket of a bus of this machine; none: it is another kind of bus.
fn local(bus: &Bus) -> zbus::Result<Option<UnixStream>> {
    let address = match bus {
        Bus::Session => Address::session()?,
        Bus::Address(address) => address.parse()?,
        Bus::SystemIfAny | Bus::System | Bus::Off => Address::system()?,
    };
    let Transport::Unix(unix) = address.transport() else { return Ok(None) };
    let stream = match unix.path() {
        UnixSocket::File(path) => UnixStream::connect(path),
        UnixSocket::Abstract(name) => {
            SocketAddr::from_abstract_name(name.as_bytes()).and_then(|at| UnixStream::connect_addr(&at))
        }
        _ => return Ok(None),
    };
    stream.map(Some).map_err(|error| zbus::Error::Failure(error.to_string()))
}

/// One device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is to be asked at that time, and with twice that wait the next time.
    Due { at: Instant, wait: Duration },
    /// It was asked.
    Asking { wait: Duration },
    /// It keeps off.
    Held,
}

/// What came of a question.
#[derive(Debug)]
enum Answer {
    Inhibited,
    InUse,
    Failed(zbus::Error),
}

/// One connection to the bus.
struct Keeper<'a> {
    connection: Connection,
    /// ModemManager's own name on the bus, which nobody is started for and which another one never has.
    owner: Option<String>,
    devices: BTreeMap<String, (State, Standing)>,
    /// Whom was asked, and for which device.
    calls: JoinSet<(String, String, Answer)>,
    wanted: &'a mut watch::Receiver<BTreeSet<String>>,
    told: &'a watch::Sender<Standings>,
    /// What earlier processes' connections hold.
    kept: &'a mut Kept,
    holders: &'a Holders,
    /// This connection among those that hold something.
    own: Option<u64>,
}

impl Keeper<'_> {
    /// Until the connection ends.
    async fn run(mut self, mut stream: MessageStream) {
        let owner = owner(&self.connection).await;
        self.owned(owner);
        loop {
            self.look();
            let due = self.devices.values().filter_map(|(state, _)| match state {
                State::Due { at, .. } if self.owner.is_some() => Some(*at),
                _ => None,
            });
            let due = due.min().unwrap_or_else(|| Instant::now() + AGAIN.1);
            tokio::select! {
                message = poll_fn(|context| std::pin::Pin::new(&mut stream).poll_next(context)) => match message {
                    Some(Ok(message)) => self.heard(&message),
                    Some(Err(_)) | None => return,
                },
                changed = self.wanted.changed() => if changed.is_err() { return },
                Some(Ok((owner, device, answer))) = self.calls.join_next() => self.answered(&owner, device, answer),
                lost = self.kept.lost() => self.lost(&lost),
                () = sleep_until(due) => {}
            }
        }
    }

    /// Takes up what is wanted, asks for what is due, and tells how all stand.
    fn look(&mut self) {
        let wanted = self.wanted.borrow_and_update().clone();
        let now = Instant::now();
        let gone: Vec<String> = self.devices.keys().filter(|device| !wanted.contains(*device)).cloned().collect();
        for device in gone {
            if let Some((State::Held, _)) = self.devices.remove(&device) {
                self.let_go(device);
            }
        }
        for device in wanted {
            let begin = match self.kept.holds(&device) {
                true => (State::Held, Standing::Inhibited),
                false => (State::Due { at: now, wait: AGAIN.0 }, Standing::Free),
            };
            self.devices.entry(device).or_insert(begin);
        }
        self.remember();
        if let Some(owner) = &self.owner {
            for (device, (state, _)) in &mut self.devices {
                if let State::Due { at, wait } = *state
                    && at <= now
                {
                    *state = State::Asking { wait };
                    let (connection, owner, device) = (self.connection.clone(), owner.clone(), device.clone());
                    self.calls.spawn(async move {
                        let answer = timeout(ANSWER, ask(&connection, &owner, &device)).await;
                        let late = |_| Answer::Failed(zbus::Error::Failure("no answer in time".into()));
                        let answer = answer.unwrap_or_else(late);
                        (owner, device, answer)
                    });
                }
            }
        }
        // What was not answered once is not known yet.
        let known =
            self.devices.iter().filter(|(_, (state, _))| !matches!(state, State::Asking { wait } if *wait == AGAIN.0));
        tell(self.told, known.map(|(device, (_, standing))| (device.clone(), *standing)).collect());
    }

    /// What this connection holds, for the next process.
    fn remember(&self) {
        let (Some(own), Some(owner)) = (self.own, &self.owner) else { return };
        let held = self.devices.iter().filter(|(device, (state, _))| *state == State::Held && !self.kept.holds(device));
        let devices = held.map(|(device, _)| device.clone()).collect();
        self.holders.tell(own, Inhibition { owner: owner.clone(), devices });
    }

    /// A connection of an earlier process ended: nobody keeps off what it held.
    fn lost(&mut self, devices: &BTreeSet<String>) {
        for (_, (state, standing)) in self.devices.iter_mut().filter(|(device, _)| devices.contains(*device)) {
            *state = State::Due { at: Instant::now(), wait: AGAIN.0 };
            *standing = Standing::Free;
        }
    }

    fn heard(&mut self, message: &Message) {
        if message.message_type() != Type::Signal {
            return;
        }
        let header = message.header();
        match header.member().map(zbus::names::MemberName::as_str) {
            Some("NameOwnerChanged") => {
                if let Ok((NAME, _, new)) = message.body().deserialize::<(&str, &str, &str)>() {
                    let new = Some(new.to_owned()).filter(|new| !new.is_empty());
                    self.owned(new);
                }
            }
            Some("InterfacesAdded") => self.ask_all(),
            _ => {}
        }
    }

    /// It was started or ended: what the one before kept off, nobody does now.
    fn owned(&mut self, owner: Option<String>) {
        self.kept.owned(owner.as_deref());
        if owner == self.owner {
            return;
        }
        tracing::info!(running = owner.is_some(), "ModemManager");
        self.owner = owner;
        for (state, standing) in self.devices.values_mut() {
            *state = State::Due { at: Instant::now(), wait: AGAIN.0 };
            *standing = Standing::Free;
        }
    }

    fn ask_all(&mut self) {
        for (state, _) in self.devices.values_mut() {
            if let State::Due { at, .. } = state {
                *at = Instant::now();
            }
        }
    }

    fn answered(&mut self, owner: &str, device: String, answer: Answer) {
        if self.owner.as_deref() != Some(owner) {
            return;
        }
        let Some((state, standing)) = self.devices.get_mut(&device) else {
            if matches!(answer, Answer::Inhibited) {
                self.let_go(device);
            }
            return;
        };
        let State::Asking { wait } = *state else { return };
        let now = Instant::now();
        let longer = (wait * 2).min(AGAIN.1);
        let before = *standing;
        (*state, *standing) = match &answer {
            Answer::Inhibited => (State::Held, Standing::Inhibited),
            Answer::InUse => (State::Due { at: now + IN_USE, wait: longer }, Standing::InUse),
            Answer::Failed(_) => (State::Due { at: now + wait, wait: longer }, Standing::Free),
        };
        match answer {
            Answer::Inhibited => tracing::info!(device, "ModemManager keeps off"),
            Answer::InUse if before != Standing::InUse => {
                tracing::warn!(device, "ModemManager has a data connection over the device: it is left alone");
            }
            Answer::InUse => {}
            Answer::Failed(error) if is_unknown(&error) => tracing::debug!(device, "ModemManager does not know it"),
            // The first time it may be news to somebody.
            Answer::Failed(error) if wait == AGAIN.0 => {
                tracing::warn!(device, %error, "ModemManager does not keep off: it is asked again");
            }
            Answer::Failed(error) => tracing::debug!(device, %error, "ModemManager does not keep off"),
        }
    }

    /// It may have the device again.
    fn let_go(&mut self, device: String) {
        if self.kept.let_go(&device) {
            return tracing::info!(device, "ModemManager may have it");
        }
        let Some(owner) = self.owner.clone() else { return };
        let connection = self.connection.clone();
        tokio::spawn(async move {
            let body = (device.as_str(), false);
            let asked = connection.call_method(Some(owner), PATH, Some(NAME), "InhibitDevice", &body);
            match timeout(ANSWER, asked).await {
                Ok(Ok(_)) => tracing::info!(device, "ModemManager may have it"),
                Ok(Err(error)) => tracing::debug!(device, %error, "ModemManager does not take it back"),
                Err(_) => tracing::debug!(device, "ModemManager does not answer"),
            }
        });
    }
}

/// A device that it never saw, or leaves alone by a rule of udev's.
fn is_unknown(error: &zbus::Error) -> bool {
    matches!(error, zbus::Error::MethodError(name, _, _) if name.as_str().ends_with(".NotFound"))
}

async fn owner(connection: &Connection) -> Option<String> {
    let bus = Some("org.freedesktop.DBus");
    let asked = connection.call_method(bus, "/org/freedesktop/DBus", bus, "GetNameOwner", &(NAME,));
    let reply = timeout(ANSWER, asked).await.ok()?.ok()?;
    reply.body().deserialize().ok()
}

async fn ask(connection: &Connection, owner: &str, device: &str) -> Answer {
    if in_use(connection, owner, device).await.unwrap_or(false) {
        return Answer::InUse;
    }
    let body = (device, true);
    match connection.call_method(Some(owner), PATH, Some(NAME), "InhibitDevice", &body).await {
        Ok(_) => Answer::Inhibited,
        Err(error) => Answer::Failed(error),
    }
}

type Objects = HashMap<OwnedObjectPath, BTreeMap<String, BTreeMap<String, OwnedVariant>>>;

/// Whether it has a data connection over the device.
async fn in_use(connection: &Connection, owner: &str, device: &str) -> zbus::Result<bool> {
    let interface = Some("org.freedesktop.DBus.ObjectManager");
    let reply = connection.call_method(Some(owner), PATH, interface, "GetManagedObjects", &()).await?;
    let objects: Objects = reply.body().deserialize()?;
    Ok(objects.values().filter_map(|object| object.get(MODEM)).any(|modem| {
        let uid = modem.get("Device").and_then(|value| value.downcast_ref::<&str>().ok());
        let state = modem.get("State").and_then(|value| value.downcast_ref::<i32>().ok());
        uid == Some(device) && state.is_some_and(|state| state >= CONNECTING)
    }))
}
