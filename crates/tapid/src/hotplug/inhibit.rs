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

use crate::dbus::{self, Bus};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::poll_fn;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use zbus::export::futures_core::Stream;
use zbus::message::{Message, Type};
use zbus::{Connection, MessageStream, OwnedObjectPath, OwnedVariant};

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
    task: Task,
}

#[derive(Debug)]
enum Task {
    /// There was no device yet.
    Waiting(watch::Sender<Standings>),
    Running(JoinHandle<()>),
}

impl Inhibitor {
    /// On that bus; it is connected to when there is a device.
    pub fn new(bus: Bus) -> Inhibitor {
        let (told, standing) = watch::channel(Standings::new());
        Inhibitor { bus, wanted: watch::Sender::default(), standing, task: Task::Waiting(told) }
    }

    /// It is to be kept off these devices, and no others.
    pub fn want(&mut self, devices: BTreeSet<String>) {
        if self.bus == Bus::Off {
            return;
        }
        if let Task::Waiting(told) = &self.task
            && !devices.is_empty()
        {
            let (bus, wanted, told) = (self.bus.clone(), self.wanted.subscribe(), told.clone());
            self.task = Task::Running(tokio::spawn(keep(bus, wanted, told)));
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
async fn keep(bus: Bus, mut wanted: watch::Receiver<BTreeSet<String>>, told: watch::Sender<Standings>) {
    let mut wait = AGAIN.0;
    loop {
        match connect(&bus).await {
            Ok((connection, stream)) => {
                wait = AGAIN.0;
                let keeper = Keeper {
                    connection,
                    owner: None,
                    devices: BTreeMap::new(),
                    calls: JoinSet::new(),
                    wanted: &mut wanted,
                    told: &told,
                };
                keeper.run(stream).await;
            }
            Err(error) => tracing::debug!(%error, "ModemManager cannot be reached"),
        }
        let again = Instant::now() + wait;
        wait = (wait * 2).min(AGAIN.1);
        loop {
            let free = wanted.borrow_and_update().iter().map(|device| (device.clone(), Standing::Free)).collect();
            tell(&told, free);
            tokio::select! {
                () = sleep_until(again) => break,
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

async fn connect(bus: &Bus) -> zbus::Result<(Connection, MessageStream)> {
    let work = async {
        let connection = dbus::builder(bus).build().await?;
        let stream = MessageStream::from(&connection);
        let rules = [
            format!("type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='{NAME}'"),
            format!("type='signal',sender='{NAME}',member='InterfacesAdded',path='{PATH}'"),
        ];
        let bus = Some("org.freedesktop.DBus");
        for rule in &rules {
            connection.call_method(bus, "/org/freedesktop/DBus", bus, "AddMatch", &(rule,)).await?;
        }
        Ok((connection, stream))
    };
    timeout(ANSWER, work).await.unwrap_or(Err(zbus::Error::Failure("no answer in time".into())))
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
            self.devices.entry(device).or_insert((State::Due { at: now, wait: AGAIN.0 }, Standing::Free));
        }
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
