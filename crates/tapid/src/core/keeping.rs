//! What is written before anything is handed out, and how the service manager knows that the daemon lives.

use super::{Core, ToProvider};
use crate::clock;
use crate::journal::Journal;
use crate::store;
use sd_notify::NotifyState;
use std::collections::BTreeSet;
use std::time::Duration;
use tapi::Time;
use tapi_core::{ProviderId, Server};

/// How often providers are asked whether they live, where no watchdog says otherwise.
const PROBE_EVERY: Duration = Duration::from_secs(5);

/// Whether providers answer, and so whether the daemon does.
#[derive(Debug, Default)]
pub struct Pulse {
    /// Those that were asked and have not answered.
    silent: BTreeSet<ProviderId>,
    /// When they were asked.
    asked: Option<Time>,
    /// What the service manager shows of us.
    status: String,
}

impl Pulse {
    /// How often it is taken: three times in the service manager's patience.
    pub fn interval() -> Duration {
        sd_notify::watchdog_enabled().map_or(PROBE_EVERY, |patience| (patience / 3).max(Duration::from_millis(10)))
    }

    /// A provider answered.
    pub fn heard(&mut self, provider: ProviderId) {
        self.silent.remove(&provider);
    }

    /// A provider is gone: nobody waits for it.
    pub fn forget(&mut self, provider: ProviderId) {
        self.silent.remove(&provider);
    }
}

impl Core {
    /// Writes down what the last inputs changed. Whoever sees what is handed out next sees nothing that a crash would undo.
    pub(super) fn checkpoint(&mut self) {
        let Some(journal) = &mut self.journal else { return };
        self.server.checkpoint(|key, value| journal.put((key.kind as u8, key.number), value));
        let written =
            journal.flush().and_then(|()| if journal.is_stale() { renew(journal, &mut self.server) } else { Ok(()) });
        if let Err(error) = written {
            tracing::error!(%error, "the journal cannot be written: a crash would lose calls");
            self.journal = None;
            self.server.end_checkpoints();
        }
    }

    /// Asks every provider whether it lives. The service manager is told that we do once all have answered that were
    /// asked the last time: a provider that hangs is found out as the daemon's own hanging would be.
    pub(super) fn take_pulse(&mut self) {
        if self.pulse.silent.is_empty() {
            store::tell(&[NotifyState::Watchdog]);
            let now = clock::now();
            self.pulse.asked = Some(now);
            self.pulse.silent = self.providers.keys().copied().collect();
            for provider in self.providers.keys().copied().collect::<Vec<_>>() {
                self.instruct(provider, ToProvider::Probe);
            }
        } else {
            let silent: Vec<&str> = self
                .pulse
                .silent
                .iter()
                .filter_map(|id| self.providers.get(id))
                .map(|running| running.name.as_str())
                .collect();
            let since_s = self.pulse.asked.map_or(0, |asked| clock::now().0.saturating_sub(asked.0) / 1_000_000);
            tracing::warn!(providers = silent.join(", "), since_s, "no sign of life");
        }
        self.show_status();
    }

    /// One line in the log: how much there is of everything that must not grow for ever.
    pub(super) fn inventory(&self) {
        let there = self.server.summary();
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let descriptors = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        tracing::info!(
            tasks,
            descriptors,
            clients = there.clients,
            sessions = there.sessions,
            providers = there.providers,
            lines = there.lines,
            calls = there.calls,
            live_calls = there.live_calls,
            streams = there.streams,
            rtp_ports = there.ports_in_use,
            operations = there.operations,
            pending = there.pending,
            timers = there.timers,
            events = there.kept_events,
            unexpected = there.unexpected,
            "inventory"
        );
    }

    /// One line for `systemctl status`: what is there, and what is not.
    pub(super) fn show_status(&mut self) {
        let status = status(&self.server);
        if status != self.pulse.status {
            store::tell(&[NotifyState::Status(&status)]);
            self.pulse.status = status;
        }
    }
}

/// All lines in one sentence, with the calls that there are.
fn status(server: &Server) -> String {
    let calls = server.summary().live_calls;
    let missing: Vec<&str> = server.lines().filter(|(_, service)| !service.is_in()).map(|(name, _)| name).collect();
    match (server.lines().count(), missing.len()) {
        (0, _) => "no lines: name trunks and modems in /etc/tapid/tapid.toml, see tapid.toml(5)".to_string(),
        (all, 0) => format!("{all} of {all} lines in service, {calls} calls"),
        (all, out) => {
            let named = missing.iter().take(3).copied().collect::<Vec<&str>>().join(", ");
            let more = if out > 3 { ", …" } else { "" };
            format!("{} of {all} lines in service, out: {named}{more}; {calls} calls", all - out)
        }
    }
}

fn renew(journal: &mut Journal, server: &mut Server) -> std::io::Result<()> {
    server.begin_checkpoints();
    journal.renew(|next| server.checkpoint(|key, value| next.put((key.kind as u8, key.number), value)))
}
