//! The end of a provider that an earlier process put down and that nobody goes on with: it ends its calls, and puts its
//! device on hook, before the port is somebody else's or nobody's.

use super::pins::Pins;
use super::ports::Ports;
use super::supervise::{Parked, resume, specs};
use super::{Driver, INBOX, Through, ToProvider};
use crate::core::Message;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tspi::{Action, Command, CommandId, Event};

/// How long it may take: a little longer than a modem takes to give up.
const LEAVE: Duration = Duration::from_secs(6);

/// The one command that it is given.
const LAST: CommandId = CommandId(u64::MAX - 2);

/// Ends it. What it says is nobody's any more: the server has ended its calls already.
pub async fn farewell(parked: Parked, descriptors: BTreeMap<String, OwnedFd>) {
    let (id, name, pins) = (parked.id, parked.config.name.clone(), Pins::of(&parked.config));
    let ports = Ports::new(specs(&parked.config), &parked.config.network);
    let (provider, ports, _) = match resume(parked, descriptors, ports) {
        Ok(resumed) => resumed,
        Err(reason) => return tracing::error!(provider = name, reason, "its calls cannot be ended"),
    };
    let (core, mut said) = mpsc::channel(INBOX);
    let (orders, inbox) = mpsc::channel(1);
    let mut driver = Driver {
        id,
        run: 0,
        provider,
        ports,
        inbox,
        core,
        frames: Arc::new(Notify::new()),
        streams: BTreeMap::new(),
        settled: None,
        plug: None,
        journal: None,
        transcript: None,
        through: Through::default(),
        pressure: Default::default(),
        pins,
        reset: None,
    };
    let _ = orders.send(ToProvider::Command(Command { id: LAST, action: Action::Shutdown })).await;
    let answered = async {
        let last = |event: &Event| matches!(event, Event::Reply { id: LAST, .. });
        while let Some(message) = said.recv().await {
            if matches!(message, Message::Provider { events, .. } if events.iter().any(last)) {
                break;
            }
        }
    };
    tokio::select! {
        _ = driver.run() => {}
        () = answered => tracing::info!(provider = name, "left, its device on hook"),
        () = tokio::time::sleep(LEAVE) => tracing::warn!(provider = name, "left, and its device did not answer"),
    }
}
