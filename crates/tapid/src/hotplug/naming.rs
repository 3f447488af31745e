//! Modems that complete the names of their lines: those that are asked for their IMEI, one after the other until it is told.

use super::groups::Modem;
use super::imei;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use tokio::task::{AbortHandle, JoinSet};
use tsp_modem::AT_PORT;

/// Attempts with a modem that may have none.
const ATTEMPTS: u32 = 3;

/// Waits between attempts: between the first ones, and then.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// Names that are being completed.
#[derive(Debug, Default)]
pub struct Names {
    /// What the line of each modem is to be called.
    templates: BTreeMap<String, String>,
    /// Modems that are asked.
    asked: BTreeMap<String, (u64, Modem, AbortHandle)>,
    next: u64,
    /// Where lock files of serial ports are.
    locks: Option<PathBuf>,
    tasks: JoinSet<(String, u64, Option<String>)>,
}

impl Names {
    /// None yet. `locks`: where lock files of serial ports are.
    pub fn new(locks: Option<PathBuf>) -> Names {
        Names { locks, ..Names::default() }
    }

    /// The line of a modem is to be called so.
    pub fn keep(&mut self, key: &str, template: &str) {
        self.templates.insert(key.to_owned(), template.to_owned());
    }

    /// What the line of a modem is to be called.
    pub fn template(&self, key: &str) -> Option<String> {
        self.templates.get(key).cloned()
    }

    /// Asks a modem for its IMEI; `insist`: until it tells it. `false`: it has no port to be asked at.
    pub fn ask(&mut self, modem: Modem, insist: bool) -> bool {
        let Some(node) = modem.ports.get(&AT_PORT).cloned() else { return false };
        self.forget(&modem.key);
        self.next = self.next.saturating_add(1);
        let (key, turn, locks) = (modem.key.clone(), self.next, self.locks.clone());
        let task = self.tasks.spawn(async move {
            let imei = learn(node, locks, insist).await;
            (key, turn, imei)
        });
        self.asked.insert(modem.key.clone(), (turn, modem, task));
        true
    }

    /// It was pulled out.
    pub fn forget(&mut self, key: &str) {
        if let Some((_, _, task)) = self.asked.remove(key) {
            task.abort();
        }
    }

    /// The next modem that told, or will not. Nothing is lost when this is given up.
    pub async fn answer(&mut self) -> (Modem, Option<String>) {
        loop {
            match self.tasks.join_next().await {
                Some(Ok((key, turn, imei))) => {
                    if self.asked.get(&key).is_some_and(|(of, ..)| *of == turn)
                        && let Some((_, modem, _)) = self.asked.remove(&key)
                    {
                        return (modem, imei);
                    }
                }
                // It was told to stop.
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }
}

async fn learn(node: PathBuf, locks: Option<PathBuf>, insist: bool) -> Option<String> {
    for attempt in 1.. {
        let imei = imei::ask(node.clone(), locks.clone()).await;
        if imei.is_some() || (!insist && attempt >= ATTEMPTS) {
            return imei;
        }
        if attempt == ATTEMPTS {
            tracing::warn!(node = %node.display(), "a modem does not tell its IMEI, of which its line has its name");
        }
        tokio::time::sleep(if attempt < ATTEMPTS { AGAIN.0 } else { AGAIN.1 }).await;
    }
    None
}
