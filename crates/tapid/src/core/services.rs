//! Which lines are in service, for the log: what somebody looks for first when a line is silent.

use std::collections::BTreeMap;
use tapi::Service;
use tapi_core::ProviderId;
use tspi::{Event, LineChange, LineRef};

/// What was logged last of every line.
#[derive(Debug, Default)]
pub struct Services(BTreeMap<(ProviderId, LineRef), Known>);

#[derive(Debug)]
struct Known {
    /// The line's permanent name; its provider's where the line came with an earlier process.
    name: String,
    service: Option<Service>,
}

impl Services {
    /// Logs what a provider says of its lines, where it is news.
    pub fn note(&mut self, provider: ProviderId, provider_name: &str, event: &Event) {
        match event {
            Event::LineAdded { line, description } => {
                let service = self.known(provider, provider_name, *line);
                service.name.clone_from(&description.name);
                service.note(&description.service);
            }
            Event::LineChanged { line, change: LineChange::Service(service) } => {
                self.known(provider, provider_name, *line).note(service);
            }
            Event::LineRemoved { line, reason } => {
                if let Some(known) = self.0.remove(&(provider, *line)) {
                    tracing::warn!(line = known.name, reason, "line removed");
                }
            }
            _ => {}
        }
    }

    /// A provider is gone, and its lines with it.
    pub fn forget(&mut self, provider: ProviderId) {
        self.0.retain(|(of, _), _| *of != provider);
    }

    fn known(&mut self, provider: ProviderId, name: &str, line: LineRef) -> &mut Known {
        self.0.entry((provider, line)).or_insert_with(|| Known { name: name.to_string(), service: None })
    }
}

impl Known {
    fn note(&mut self, service: &Service) {
        if self.service.as_ref() == Some(service) {
            return;
        }
        match service {
            Service::In => tracing::info!(line = self.name, "line in service"),
            Service::Out { reason } => tracing::warn!(line = self.name, reason, "line out of service"),
        }
        self.service = Some(service.clone());
    }
}
