//! Another configuration for a modem that goes on: with its port open and its calls up.

use super::*;
use crate::profile::Catalogue;
use tspi::LineChange;

/// Where a modem's profile is from.
#[derive(Clone, Debug)]
pub enum ProfileFrom {
    /// The configuration names it.
    Named(Box<Profile>),
    /// It is found among these.
    Among(Box<Catalogue>),
}

impl Modem {
    /// Takes up what may change while the port is open: the address, the office, what is cellular, times and limits of the
    /// profile. The name of the line and whether there is an audio port stay as they are. A profile that is looked for stays,
    /// too, until the port is opened the next time. Whoever calls this knows that nothing else differs.
    pub fn reconfigure(&mut self, now: Time, config: Config, profile: ProfileFrom) {
        let Config { line_name, audio, .. } = std::mem::take(&mut self.config);
        self.config = Config { line_name, audio, ..config };
        match (profile, &mut self.auto) {
            (ProfileFrom::Named(profile), None) => {
                let times = &profile.timeouts_ms;
                self.chat.retime(times.inter_cmd, times.probe, times.abort);
                self.profile = *profile;
            }
            (ProfileFrom::Among(catalogue), Some(auto)) => auto.consult(*catalogue),
            (ProfileFrom::Named(_), Some(_)) | (ProfileFrom::Among(_), None) => {}
        }
        if matches!(self.life, Life::Unstarted) {
            return;
        }
        // Each is news only where it differs: the server compares.
        let addresses: Vec<String> = self.config.address.iter().cloned().collect();
        if !addresses.is_empty() || matches!(self.calls, Calls::Analogue(_)) {
            self.out.event(Event::LineChanged { line: LINE, change: LineChange::Addresses(addresses) });
        }
        let audible = match &self.calls {
            Calls::Analogue(analogue) => analogue.is_audible(),
            Calls::Cellular(_) => self.config.audio,
        };
        let caps = Box::new(describe::caps(&self.profile, &self.config.office, audible));
        self.out.event(Event::LineChanged { line: LINE, change: LineChange::Caps(caps) });
        self.pump(now);
    }
}
