//! What becomes of a modem that is there: whose it is, what its line is called, and the provider that begins with it.

use super::groups::Modem;
use super::{Deferred, Hotplug, Line, MOST_FOUND, Plug};
use crate::config::{
    Found, Kind, ModemConfig, NetworkConfig, ProfileSource, ProviderConfig, TranscriptConfig, UsbReset, name,
};
use crate::provider::{First, Supervised, supervise};
use std::path::PathBuf;
use tapi_core::ProviderId;
use tokio::sync::{oneshot, watch as state};
use tsp_modem::{AT_PORT, AUDIO_PORT, Catalogue};

impl Hotplug {
    /// A modem is there, and not ours.
    pub(super) fn withheld(&mut self, modem: &Modem) {
        match self.lines.get(&modem.key) {
            Some(line) => {
                line.plug.send_if_modified(|plug| {
                    let news = *plug != Plug::InUse;
                    *plug = Plug::InUse;
                    news
                });
            }
            // What its line is called is not known yet.
            None if self.config.line_name.is_some() => {}
            None => drop(self.found(modem, Plug::InUse, None)),
        }
    }

    /// A provider of the configuration whose line cannot be named before its modem is there. `None`: it begins later.
    pub fn defer(&mut self, id: ProviderId, config: ProviderConfig, first: First) -> Option<(ProviderConfig, First)> {
        let Kind::Modem(modem) = &config.kind else { return Some((config, first)) };
        if !name::is_template(&modem.modem.line_name) || matches!(first, First::Parked(..)) {
            return Some((config, first));
        }
        self.deferred.insert(config.name.clone(), Deferred { id, config, first });
        None
    }

    /// What the name of a modem's line is to be made of, where the modem completes it.
    fn template(&self, modem: &Modem) -> Option<String> {
        let configured = |config: &ProviderConfig| match &config.kind {
            Kind::Modem(modem) => Some(modem.modem.line_name.clone()),
            Kind::Sip(_) | Kind::Loopback(_) => None,
        };
        match (self.deferred.get(&modem.key), self.lines.get(&modem.key)) {
            (Some(deferred), _) => configured(&deferred.config),
            (None, Some(line)) => line.name.as_ref().and_then(|_| self.names.template(&modem.key)),
            (None, None) => self.config.line_name.clone(),
        }
    }

    /// A modem is there and ours: first it is asked what its line's name needs.
    pub(super) fn plugged(&mut self, modem: Modem) {
        if self.going_on.remove(&modem.key) {
            return self.present(modem, None);
        }
        let Some(template) = self.template(&modem) else { return self.present(modem, None) };
        let imei = modem.key.strip_prefix("imei-").map(str::to_owned);
        // One that told none before is not waited for.
        let nameless = format!("modem:{}", modem.key);
        let known = self.lines.get(&modem.key).and_then(|line| line.name.as_ref());
        let insist = self.deferred.contains_key(&modem.key) || known.is_some_and(|name| *name != nameless);
        self.names.keep(&modem.key, &template);
        if name::needs_imei(&template) && imei.is_none() && self.names.ask(modem.clone(), insist) {
            return;
        }
        self.completed(modem, imei.as_deref());
    }

    /// What is known of it now is all that will be known.
    pub(super) fn completed(&mut self, modem: Modem, imei: Option<&str>) {
        let template = self.names.template(&modem.key).unwrap_or_default();
        let name = name::complete(&template, &modem.key, modem.serial.as_deref(), imei);
        let name = name.unwrap_or_else(|| format!("modem:{}", modem.key));
        self.present(modem, Some(name));
    }

    /// The modem of a line is there, and what the line is called is known.
    fn present(&mut self, modem: Modem, name: Option<String>) {
        if let Some(Deferred { id, config, first }) = self.deferred.remove(&modem.key) {
            let (settled, _) = oneshot::channel();
            self.start(id, config, first, Plug::Absent, settled, name.clone());
        }
        let begins = || Plug::Present { turn: 1, ports: modem.ports.clone(), clues: modem.clues.clone() };
        if !self.lines.contains_key(&modem.key) && !self.found(&modem, begins(), name.clone()) {
            return;
        }
        let Some(line) = self.lines.get_mut(&modem.key) else { return };
        if let (Some(is), Some(was)) = (&name, &line.name)
            && is != was
        {
            tracing::error!(
                modem = modem.key,
                line = was,
                "another modem is in its place, {is}: the line waits for its own"
            );
            return;
        }
        if modem.switch.is_some() {
            line.switch.is_at(modem.switch);
        }
        let again = matches!(&*line.plug.borrow(), Plug::Present { .. });
        line.turn += u64::from(!again);
        tracing::info!(modem = modem.key, ports = ?modem.ports.values(), "plugged in");
        line.plug.send_replace(Plug::Present { turn: line.turn, ports: modem.ports, clues: modem.clues });
    }

    /// A modem that is seen for the first time. `false`: it cannot be a line.
    fn found(&mut self, modem: &Modem, plug: Plug, line: Option<String>) -> bool {
        let name = modem.key.clone();
        if self.taken.contains(&name) || self.lines.len() >= MOST_FOUND {
            tracing::error!(modem = name, "found, but the configuration uses the name, or there are too many");
            return false;
        }
        let config = self.describe(modem);
        let id = ProviderId(self.next);
        self.next = self.next.saturating_add(1);
        let (settled, _) = oneshot::channel();
        self.start(id, config, First::Fresh(None), plug, settled, line);
        true
    }

    fn describe(&self, modem: &Modem) -> ProviderConfig {
        let name = modem.key.clone();
        let directories = self.config.profiles.clone();
        let (catalogue, _) = Catalogue::load(&directories.iter().map(PathBuf::as_path).collect::<Vec<_>>());
        let named = modem.profile.as_ref().and_then(|id| catalogue.named(id));
        let profile = match named {
            Some(profile) => ProfileSource::Is(Box::new(profile.clone())),
            None => ProfileSource::Auto { directories },
        };
        let transcript = self.config.transcripts.as_ref().map(|all| TranscriptConfig::of(all, &name));
        let kind = Kind::Modem(Box::new(ModemConfig {
            modem: tsp_modem::Config {
                name: name.clone(),
                line_name: format!("modem:{name}"),
                address: None,
                audio: modem.ports.contains_key(&AUDIO_PORT),
                office: self.config.office.clone(),
                cellular: self.config.cellular.clone(),
            },
            profile,
            device: modem.ports.get(&AT_PORT).cloned().unwrap_or_default(),
            audio_device: modem.ports.get(&AUDIO_PORT).cloned(),
            baud: None,
            flow: None,
            transcript,
            physical_device: None,
            refused_pins: self.config.refused_pins.clone(),
            locks: self.config.locks.clone(),
            usb_reset: self.config.usb_reset.then_some(UsbReset::Found),
            found: Some(Found { key: name.clone(), group: modem.group.clone() }),
        }));
        ProviderConfig { name, kind, network: NetworkConfig::default() }
    }

    pub(super) fn start(
        &mut self,
        id: ProviderId,
        config: ProviderConfig,
        first: First,
        plug: Plug,
        settled: oneshot::Sender<()>,
        name: Option<String>,
    ) {
        let turn = u64::from(matches!(plug, Plug::Present { .. }));
        let switch = self.lines.remove(&config.name).map(|line| line.switch).unwrap_or_default();
        let line = Line { plug: state::Sender::new(plug), turn, name: name.clone(), switch };
        let reset = self.reset(&config);
        let plug = Some(line.plug.subscribe());
        self.lines.insert(config.name.clone(), line);
        let core = self.core.clone();
        self.providers.spawn(supervise(Supervised { id, config, first, core, settled, plug, line_name: name, reset }));
    }
}
