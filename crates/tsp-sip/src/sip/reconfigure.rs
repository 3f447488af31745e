//! Another configuration for a user agent that has calls.

use super::Sip;
use super::upkeep::Upkeep;
use crate::Config;
use crate::line::Line;
use tapi::Time;
use tspi::{Event, LineRef};

impl Sip {
    /// Takes up another configuration, and keeps its calls: lines change, and new ones come behind those that there are.
    /// `false`: nothing was done, since the socket, the ways or the names of lines differ; a new user agent is needed.
    pub fn reconfigure(&mut self, now: Time, config: Config) -> bool {
        let before = &self.endpoint.config;
        let same_ways =
            (&before.name, before.listen, &before.transports) == (&config.name, config.listen, &config.transports);
        let names = |config: &Config| config.lines.iter().map(|line| line.name.clone()).collect::<Vec<String>>();
        if !same_ways || !names(&config).starts_with(&names(before)) {
            return false;
        }
        for (at, new) in config.lines.iter().enumerate() {
            let changed = match self.endpoint.lines.get_mut(at) {
                Some(line) if line.config == *new => continue,
                Some(line) => {
                    let changed = line.config.account != new.account || line.config.domain != new.domain;
                    *line = Line { live: line.live, ..Line::new(new.clone()) };
                    changed
                }
                None => {
                    self.endpoint.lines.push(Line::new(new.clone()));
                    self.upkeep.push(Upkeep::default());
                    true
                }
            };
            if changed {
                self.renew_upkeep(now, at);
            }
        }
        self.endpoint.config = config;
        for at in 0..self.endpoint.lines.len() {
            let service = self.service(at);
            self.note_told(at, &service);
            if let (Ok(line), Some(config)) = (u32::try_from(at), self.endpoint.lines.get(at)) {
                let description = Box::new(config.description(service));
                self.endpoint.emit(Event::LineAdded { line: LineRef(line), description });
            }
        }
        true
    }
}
