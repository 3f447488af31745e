//! The providers of the world.

use crate::conformance::{Rules, restored};
use crate::exchange::ModemId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use tapi::Time;
use tsp_loopback::Loopback;
use tsp_modem::Modem;
use tsp_sip::Sip;
use tspi::{Input, Output, PortId, Provider};

/// Any of the providers, so that it can be kept and restored.
#[derive(Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each variant is the provider it holds")]
pub enum AnyProvider {
    Loopback(Box<Loopback>),
    Sip(Box<Sip>),
    Modem(Box<Modem>),
}

macro_rules! each {
    ($any:expr, $provider:ident => $what:expr) => {
        match $any {
            AnyProvider::Loopback($provider) => $what,
            AnyProvider::Sip($provider) => $what,
            AnyProvider::Modem($provider) => $what,
        }
    };
}

impl Provider for AnyProvider {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        each!(self, provider => provider.handle(now, input));
    }

    fn poll_output(&mut self) -> Option<Output> {
        each!(self, provider => provider.poll_output())
    }

    fn poll_timeout(&self) -> Option<Time> {
        each!(self, provider => provider.poll_timeout())
    }
}

/// What a port of a provider is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plug {
    /// A UDP socket with this address.
    Socket(SocketAddr),
    /// A port of a simulated modem.
    Serial(ModemId, u32),
}

/// A provider that runs.
#[derive(Debug)]
pub struct Running {
    /// The provider itself.
    pub provider: AnyProvider,
    /// Its ports.
    pub plugs: BTreeMap<PortId, Plug>,
    /// Those that are open.
    pub open: BTreeSet<PortId>,
    /// Those whose device is gone.
    pub unplugged: BTreeSet<PortId>,
    /// What must hold at its border.
    pub rules: Rules,
}

impl Running {
    /// A provider with its ports, all closed.
    pub fn new(provider: AnyProvider, plugs: BTreeMap<PortId, Plug>) -> Running {
        let (open, unplugged) = (BTreeSet::new(), BTreeSet::new());
        Running { provider, plugs, open, unplugged, rules: Rules::default() }
    }

    /// Writes its state and goes on with what was read back.
    pub fn restore(&mut self) {
        self.provider = restored(&self.provider);
    }

    /// The port that is connected to this.
    pub fn port(&self, plug: Plug) -> Option<PortId> {
        self.plugs.iter().find(|(_, of)| **of == plug).map(|(port, _)| *port)
    }
}
