//! Names: a zone as data, for the virtual world and for a real name server.

use std::collections::BTreeMap;
use std::net::IpAddr;
use tspi::{LookupError, Query, Record, RecordKind, Records};

/// What a name server knows. What it does not know does not exist.
#[derive(Clone, Debug, Default)]
pub struct Zone {
    answers: BTreeMap<Query, Result<Records, LookupError>>,
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

    /// Answers a question.
    pub fn answer(&mut self, query: &Query) -> Result<Records, LookupError> {
        self.asked.push(query.clone());
        let query = Query { name: query.name.trim_end_matches('.').to_ascii_lowercase(), kind: query.kind };
        self.answers.get(&query).cloned().unwrap_or(Err(LookupError::None { ttl_s: 60 }))
    }
}
