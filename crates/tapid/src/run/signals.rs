//! What the operating system tells the daemon to do.

use crate::config::Config;
use crate::core::{Ending, Message};
use crate::store;
use sd_notify::NotifyState;
use std::io;
use std::path::Path;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// The signals that mean something.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    park: Signal,
    inventory: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Begins to listen to them.
    pub fn new() -> io::Result<Signals> {
        // Caught in place of the death that is its default: a write beyond the limit of file sizes then fails as one to a
        // full disk does. Tokio keeps the handler.
        drop(signal(SignalKind::from_raw(nix::sys::signal::Signal::SIGXFSZ as i32))?);
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            park: signal(SignalKind::user_defined2())?,
            inventory: signal(SignalKind::user_defined1())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Passes them on until the core task has ended.
    pub async fn until(
        &mut self,
        mut core: tokio::task::JoinHandle<Ending>,
        messages: &mpsc::Sender<Message>,
        accepting: &tokio::task::JoinHandle<()>,
        config: Option<&Path>,
    ) -> io::Result<Ending> {
        loop {
            let message = tokio::select! {
                ended = &mut core => return ended.map_err(|error| io::Error::other(format!("core: {error}"))),
                _ = self.terminate.recv() => Message::Stop,
                _ = self.interrupt.recv() => Message::Stop,
                _ = self.inventory.recv() => Message::Inventory,
                _ = self.park.recv() => self.park(accepting),
                _ = self.hang_up.recv() => match self.reload(config, accepting) {
                    Some(message) => message,
                    None => continue,
                },
            };
            if matches!(message, Message::Stop) {
                store::tell(&[NotifyState::Stopping]);
            }
            // The core takes messages until it ends, and then the wait above is over.
            let _ = messages.send(message).await;
        }
    }

    /// A new configuration is taken up by a new process, which goes on with every call. A bad one changes nothing.
    fn reload(&self, config: Option<&Path>, accepting: &tokio::task::JoinHandle<()>) -> Option<Message> {
        match Config::load(config) {
            Err(problems) => {
                tracing::error!("HUP: the configuration in use stays, since the new one is bad: {problems}");
                None
            }
            Ok(_) if !store::present() => {
                tracing::warn!("HUP is ignored: there is no service manager to begin anew with calls kept");
                None
            }
            Ok(_) => Some(self.park(accepting)),
        }
    }

    fn park(&self, accepting: &tokio::task::JoinHandle<()>) -> Message {
        if store::present() {
            // Who connects from now on waits for the next process.
            accepting.abort();
            return Message::Park;
        }
        tracing::warn!("USR2: there is no service manager to keep descriptors: calls are hung up");
        Message::Stop
    }
}
