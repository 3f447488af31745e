//! The providers that this daemon has.

use crate::config::{Kind, ProfileSource, ProviderConfig};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use tspi::Provider;

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
                let mut sip = sip.clone();
                sip.listen = listen.unwrap_or(sip.listen);
                Ok(AnyProvider::Sip(tsp_sip::Sip::new(sip, seed)))
            }
            Kind::Modem(modem) => {
                let profile = match &modem.profile {
                    ProfileSource::Builtin(id) => {
                        tsp_modem::Profile::builtin(id).ok_or_else(|| format!("no profile {id}"))?
                    }
                    ProfileSource::Text(text) => {
                        tsp_modem::Profile::parse(text).map_err(|error| format!("profile: {error}"))?
                    }
                };
                Ok(AnyProvider::Modem(tsp_modem::Modem::new(modem.modem.clone(), profile)))
            }
            Kind::Loopback(loopback) => Ok(AnyProvider::Loopback(tsp_loopback::Loopback::new(loopback.clone()))),
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
