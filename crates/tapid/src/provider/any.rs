//! The providers that this daemon has.

use crate::clock;
use crate::config::{Kind, ProfileSource, ProviderConfig, anew};
use crate::journal::{Journal, Key};
use crate::provider::pins;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use tsp_modem::ProfileFrom;
use tspi::{CallRef, Provider};

/// The kind of a journal's entries that are calls.
const CALL: u8 = 0;

/// Any provider, as a value that a restart can carry over.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::large_enum_variant, reason = "there is one of them in a task, and it is not moved")]
pub enum AnyProvider {
    /// SIP.
    Sip(tsp_sip::Sip),
    /// A modem.
    Modem(tsp_modem::Modem),
    /// Lines that call one another.
    Loopback(tsp_loopback::Loopback),
    /// One that dies of any command.
    #[cfg(test)]
    Broken,
}

impl AnyProvider {
    /// A new one. `listen` is the address that its socket is bound to, where it has one.
    pub fn new(config: &ProviderConfig, listen: Option<SocketAddr>, seed: [u8; 32]) -> Result<AnyProvider, String> {
        match &config.kind {
            Kind::Sip(sip) => {
                let mut sip = (**sip).clone();
                sip.listen = listen.unwrap_or(sip.listen);
                Ok(AnyProvider::Sip(tsp_sip::Sip::new(sip, seed)))
            }
            Kind::Modem(modem) => {
                let told = pins::told(modem);
                Ok(AnyProvider::Modem(match &modem.profile {
                    ProfileSource::Is(profile) => tsp_modem::Modem::new(told, (**profile).clone()),
                    ProfileSource::Auto { directories } => {
                        tsp_modem::Modem::auto(told, catalogue(directories), tsp_modem::Clues::new())
                    }
                }))
            }
            Kind::Loopback(loopback) => Ok(AnyProvider::Loopback(tsp_loopback::Loopback::new(loopback.clone()))),
        }
    }

    /// One that goes on with the calls of which its journal tells, where its calls outlive a crash: those that are `known`
    /// to the server, and are told. It ends others.
    pub fn recover(
        config: &ProviderConfig,
        listen: Option<SocketAddr>,
        seed: [u8; 32],
        entries: BTreeMap<Key, Vec<u8>>,
        known: &BTreeSet<CallRef>,
    ) -> Result<Option<(AnyProvider, Vec<CallRef>)>, String> {
        let Kind::Sip(sip) = &config.kind else { return Ok(None) };
        let mut sip = (**sip).clone();
        sip.listen = listen.unwrap_or(sip.listen);
        let entries =
            entries.into_iter().filter(|((kind, _), _)| *kind == CALL).map(|((_, call), value)| (call, value));
        let (sip, calls) = tsp_sip::Sip::recover(sip, seed, clock::now(), entries, known);
        Ok(Some((AnyProvider::Sip(sip), calls)))
    }

    /// Takes up another configuration than `before` without letting go of calls. `Err`: it cannot, for that reason.
    pub fn reconfigure(&mut self, before: &ProviderConfig, config: &ProviderConfig) -> Result<(), String> {
        let changed = || "its configuration has changed".to_owned();
        match (self, &config.kind) {
            (AnyProvider::Sip(sip), Kind::Sip(new)) => {
                let goes_on = before == config || sip.reconfigure(clock::now(), (**new).clone());
                goes_on.then_some(()).ok_or_else(changed)
            }
            // Its profiles may have changed in their files, too.
            (AnyProvider::Modem(modem), Kind::Modem(new)) => {
                let keys = anew(before, config);
                if !keys.is_empty() {
                    return Err(format!("{}: {}", changed(), keys.join(", ")));
                }
                modem.reconfigure(clock::now(), pins::told(new), profile_from(&new.profile));
                Ok(())
            }
            _ => (before == config).then_some(()).ok_or_else(changed),
        }
    }

    /// The permanent name of a modem's line.
    pub fn line_name(&self) -> Option<&str> {
        match self {
            AnyProvider::Modem(modem) => Some(modem.line_name()),
            _ => None,
        }
    }

    /// Whether what it does outlives a crash.
    pub fn outlives_a_crash(&self) -> bool {
        matches!(self, AnyProvider::Sip(_))
    }

    /// Writes down what changed since the last time.
    pub fn checkpoint(&mut self, journal: &mut Journal) {
        if let AnyProvider::Sip(sip) = self {
            sip.checkpoint(|call, value| journal.put((CALL, call), value));
        }
    }

    /// Everything counts as changed.
    pub fn begin_checkpoints(&mut self) {
        if let AnyProvider::Sip(sip) = self {
            sip.begin_checkpoints();
        }
    }

    /// Nobody writes any more.
    pub fn end_checkpoints(&mut self) {
        if let AnyProvider::Sip(sip) = self {
            sip.end_checkpoints();
        }
    }

    /// The machine inside.
    pub fn machine(&mut self) -> &mut dyn Provider {
        match self {
            AnyProvider::Sip(sip) => sip,
            AnyProvider::Modem(modem) => modem,
            AnyProvider::Loopback(loopback) => loopback,
            #[cfg(test)]
            AnyProvider::Broken => panic!("broken on purpose"),
        }
    }
}

fn profile_from(source: &ProfileSource) -> ProfileFrom {
    match source {
        ProfileSource::Is(profile) => ProfileFrom::Named(profile.clone()),
        ProfileSource::Auto { directories } => ProfileFrom::Among(Box::new(catalogue(directories))),
    }
}

/// The profiles that there are. What was wrong with them was told when the configuration was read.
fn catalogue(directories: &[std::path::PathBuf]) -> tsp_modem::Catalogue {
    let directories: Vec<&std::path::Path> = directories.iter().map(std::path::PathBuf::as_path).collect();
    let (catalogue, wrong) = tsp_modem::Catalogue::load(&directories);
    for error in wrong {
        tracing::error!(%error, "a profile cannot be used");
    }
    catalogue
}
