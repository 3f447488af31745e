//! Names: a zone as data, for the virtual world and for a real name server.

mod server;
mod wire;

pub use server::NameServer;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use tspi::{LookupError, Query, Record, RecordKind, Records};

/// Longest chain of names that is followed.
const MAX_ALIASES: usize = 8;

/// What a name server knows. What it does not know does not exist.
#[derive(Clone, Debug, Default)]
pub struct Zone {
    answers: BTreeMap<Query, Result<Records, LookupError>>,
    aliases: BTreeMap<String, (String, u32)>,
    /// Questions whose answers are too large for a datagram.
    pub cut: BTreeSet<Query>,
    /// Questions so far.
    pub asked: Vec<Query>,
}

impl Zone {
    /// An empty zone.
    pub fn new() -> Zone {
        Zone::default()
    }

    /// Sets an answer.
    pub fn set(&mut self, name: &str, kind: RecordKind, result: Result<Records, LookupError>) {
        self.answers.insert(Query { name: name.to_ascii_lowercase(), kind }, result);
    }

    /// Addresses of a host, each family by itself.
    pub fn host(&mut self, name: &str, ttl_s: u32, addresses: &[IpAddr]) {
        for (kind, v4) in [(RecordKind::A, true), (RecordKind::Aaaa, false)] {
            let of_kind = addresses.iter().filter(|address| address.is_ipv4() == v4);
            let records: Vec<Record> = of_kind.map(|address| Record::Address(*address)).collect();
            let result =
                if records.is_empty() { Err(LookupError::None { ttl_s }) } else { Ok(Records { records, ttl_s }) };
            self.set(name, kind, result);
        }
    }

    /// Servers of a service: priority, weight, port, target.
    pub fn srv(&mut self, name: &str, ttl_s: u32, servers: &[(u16, u16, u16, &str)]) {
        let record = |(priority, weight, port, target): &(u16, u16, u16, &str)| Record::Srv {
            priority: *priority,
            weight: *weight,
            port: *port,
            target: (*target).to_owned(),
        };
        self.set(name, RecordKind::Srv, Ok(Records { records: servers.iter().map(record).collect(), ttl_s }));
    }

    /// Services of a domain: order, preference, service, replacement; all with the flag `s`.
    pub fn naptr(&mut self, name: &str, ttl_s: u32, services: &[(u16, u16, &str, &str)]) {
        let record = |(order, preference, service, replacement): &(u16, u16, &str, &str)| Record::Naptr {
            order: *order,
            preference: *preference,
            flags: "s".to_owned(),
            service: (*service).to_owned(),
            replacement: (*replacement).to_owned(),
        };
        self.set(name, RecordKind::Naptr, Ok(Records { records: services.iter().map(record).collect(), ttl_s }));
    }

    /// Another name of a host or a service (CNAME).
    pub fn alias(&mut self, name: &str, ttl_s: u32, target: &str) {
        self.aliases.insert(name.to_ascii_lowercase(), (target.to_ascii_lowercase(), ttl_s));
    }

    /// Whether there is anything of this name or below it.
    fn exists(&self, name: &str) -> bool {
        let below = |known: &str| known.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        let mut known = self.answers.iter().filter(|(_, result)| result.is_ok()).map(|(query, _)| &query.name);
        known.any(|known| below(known)) || self.aliases.keys().any(|known| below(known))
    }

    /// The names that a name leads to, each with the time for which that holds, and the last of them.
    fn chain(&self, name: &str) -> (Vec<(String, u32)>, String) {
        let (mut chain, mut end) = (Vec::new(), name.to_owned());
        while let Some((target, ttl_s)) = self.aliases.get(&end).filter(|_| chain.len() < MAX_ALIASES) {
            chain.push((target.clone(), *ttl_s));
            end = target.clone();
        }
        (chain, end)
    }

    /// Answers a question. What was found by other names holds for as long as these.
    pub fn answer(&mut self, query: &Query) -> Result<Records, LookupError> {
        self.asked.push(query.clone());
        let (chain, end) = self.chain(&query.name.trim_end_matches('.').to_ascii_lowercase());
        let query = Query { name: end, kind: query.kind };
        let mut answer = self.answers.get(&query).cloned().unwrap_or(Err(LookupError::None { ttl_s: 60 }));
        if let Ok(records) = &mut answer {
            let least = chain.iter().map(|(_, ttl_s)| *ttl_s).min();
            records.ttl_s = least.map_or(records.ttl_s, |least| least.min(records.ttl_s));
        }
        answer
    }
}
