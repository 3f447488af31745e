//! The connection to the bus: it is made and made again, each client's messages go to its session, and a name that
//! vanishes ends one.

use super::session::{self, Around};
use super::{Bus, NAME, authority, said};
use crate::core::Message as ToCore;
use crate::files::Directories;
use crate::listen::Gate;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tapi_core::ClientId;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use zbus::export::futures_core::Stream;
use zbus::message::{Message, Type};
use zbus::{Connection, MessageStream, connection};

/// Sessions on the bus at one time.
const MAX_SESSIONS: usize = 256;

/// Calls of one client that may wait for its session.
const MAX_CALLS: usize = 1_024;

/// How long connecting to the bus may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How long until it is tried again: at first, and at most.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What tells that a name has vanished.
const GONE: &str = "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',\
                    member='NameOwnerChanged',arg2=''";

/// The first client of the bus; those of the socket count from 1.
const FIRST_CLIENT: u64 = 1 << 32;

/// What the front needs.
#[derive(Debug)]
pub struct Front {
    /// On which bus.
    pub bus: Bus,
    /// To the core.
    pub core: mpsc::Sender<ToCore>,
    /// Where files may be.
    pub directories: Arc<Directories>,
    /// Who may use the server without more ado.
    pub gate: Arc<Gate>,
}

/// Serves the bus for ever: without it the daemon goes on.
pub async fn serve(front: Front) {
    let Some(how) = reach(&front.bus) else { return };
    let next = Arc::new(AtomicU64::new(FIRST_CLIENT));
    let mut wait = AGAIN.0;
    let mut said = String::new();
    loop {
        let (served, error) = match connect(&how).await {
            Ok((connection, stream)) => (true, until_closed(&front, &next, connection, stream).await),
            Err(error) => (false, error.to_string()),
        };
        wait = if served { AGAIN.0 } else { wait };
        // The same reason is told once.
        if said != error {
            tracing::warn!(error, "the bus is not there: the socket is");
            said = error;
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(AGAIN.1);
    }
}

/// The bus as an address. `None`: there shall be none.
fn reach(bus: &Bus) -> Option<Bus> {
    let system = std::env::var_os("DBUS_SYSTEM_BUS_ADDRESS").is_some()
        || ["/run/dbus/system_bus_socket", "/var/run/dbus/system_bus_socket"]
            .iter()
            .any(|path| std::path::Path::new(path).exists());
    match bus {
        Bus::Off => None,
        Bus::SystemIfAny if !system => {
            tracing::info!("there is no system bus: the socket alone is served");
            None
        }
        Bus::SystemIfAny | Bus::System => Some(Bus::System),
        other => Some(other.clone()),
    }
}

/// How a bus is connected to.
pub fn builder(bus: &Bus) -> connection::Builder<'_> {
    match bus {
        Bus::Session => connection::Builder::session(),
        Bus::Address(address) => connection::Builder::address(address.as_str()),
        Bus::SystemIfAny | Bus::System | Bus::Off => connection::Builder::system(),
    }
}

async fn connect(bus: &Bus) -> zbus::Result<(Connection, MessageStream)> {
    let work = async {
        let connection = builder(bus).build().await?;
        let stream = MessageStream::from(&connection);
        let bus = Some("org.freedesktop.DBus");
        for rule in [GONE, authority::CHANGED] {
            connection.call_method(bus, "/org/freedesktop/DBus", bus, "AddMatch", &(rule,)).await?;
        }
        Ok((connection, stream))
    };
    tokio::time::timeout(CONNECT, work).await.unwrap_or(Err(zbus::Error::Failure("no answer in time".into())))
}

/// The session of each unique name.
type Sessions = BTreeMap<String, (ClientId, mpsc::Sender<Message>)>;

/// Takes the name last, and serves until the connection ends. Tells why it did.
async fn until_closed(
    front: &Front,
    next: &Arc<AtomicU64>,
    connection: Connection,
    mut stream: MessageStream,
) -> String {
    let (ended, mut endings) = mpsc::unbounded_channel::<(String, ClientId)>();
    let mut sessions = Sessions::new();
    let taking = take_name(&connection);
    let mut taking = std::pin::pin!(taking);
    let mut taken = false;
    loop {
        tokio::select! {
            result = &mut taking, if !taken => match result {
                Ok(()) => {
                    taken = true;
                    tracing::info!(name = NAME, "on the bus");
                }
                Err(error) => return format!("{NAME}: {error}"),
            },
            message = next_message(&mut stream) => match message {
                Some(Ok(message)) => {
                    let around = || Around {
                        connection: connection.clone(),
                        core: front.core.clone(),
                        directories: Arc::clone(&front.directories),
                        gate: Arc::clone(&front.gate),
                        client: ClientId(next.fetch_add(1, Ordering::Relaxed)),
                        ended: ended.clone(),
                    };
                    if let Some(why) = route(&connection, &mut sessions, message, around).await {
                        return why;
                    }
                }
                Some(Err(error)) => return error.to_string(),
                None => return "the connection to the bus ended".to_string(),
            },
            Some((name, client)) = endings.recv() => {
                // A new session may have its place already.
                if sessions.get(&name).is_some_and(|(of, _)| *of == client) {
                    sessions.remove(&name);
                }
            }
        }
    }
}

async fn take_name(connection: &Connection) -> zbus::Result<()> {
    let bus = Some("org.freedesktop.DBus");
    // Not in a queue behind somebody else.
    let reply = connection.call_method(bus, "/org/freedesktop/DBus", bus, "RequestName", &(NAME, 4_u32)).await?;
    match reply.body().deserialize::<u32>()? {
        1 | 4 => Ok(()),
        _ => Err(zbus::Error::NameTaken),
    }
}

async fn next_message(stream: &mut MessageStream) -> Option<zbus::Result<Message>> {
    std::future::poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}

/// Gives a message to whom it concerns. Tells why, if the connection must end.
async fn route(
    connection: &Connection,
    sessions: &mut Sessions,
    message: Message,
    around: impl FnOnce() -> Around,
) -> Option<String> {
    let header = message.header();
    match message.message_type() {
        Type::MethodCall => {
            let sender = header.sender().map(ToString::to_string)?;
            let session = match sessions.get(&sender) {
                Some((_, session)) if !session.is_closed() => session.clone(),
                _ if sessions.len() >= MAX_SESSIONS => {
                    let words = format!("{MAX_SESSIONS} clients of the bus are here already");
                    refuse(connection, &message, &words).await;
                    return None;
                }
                _ => {
                    let (calls, waiting) = mpsc::channel(MAX_CALLS);
                    let around = around();
                    sessions.insert(sender.clone(), (around.client, calls.clone()));
                    session::start(around, sender, waiting);
                    calls
                }
            };
            if session.try_send(message.clone()).is_err() {
                refuse(connection, &message, &format!("{MAX_CALLS} calls of this client wait")).await;
            }
            None
        }
        Type::Signal if authority::is_change(&message) => {
            // Each session hears of it behind the calls that came before; one that has too many of them hears later.
            for (_, session) in sessions.values() {
                if let Err(TrySendError::Full(message)) = session.try_send(message.clone()) {
                    let session = session.clone();
                    tokio::spawn(async move { session.send(message).await });
                }
            }
            None
        }
        Type::Signal if header.sender().is_some_and(|sender| sender.as_str() == "org.freedesktop.DBus") => {
            let member = header.member().map(ToString::to_string).unwrap_or_default();
            let body = message.body();
            match member.as_str() {
                "NameOwnerChanged" => {
                    if let Ok((name, _, new)) = body.deserialize::<(&str, &str, &str)>()
                        && new.is_empty()
                    {
                        // What it said before is still done; then its session ends.
                        sessions.remove(name);
                    }
                    None
                }
                "NameLost" => match body.deserialize::<&str>() {
                    Ok(NAME) => Some(format!("the name {NAME} was lost")),
                    _ => None,
                },
                _ => None,
            }
        }
        _ => None,
    }
}

async fn refuse(connection: &Connection, message: &Message, words: &str) {
    if let Ok(refusal) = said::named_refusal(message, "org.freedesktop.DBus.Error.LimitsExceeded", words) {
        let _ = connection.send(&refusal).await;
    }
}
