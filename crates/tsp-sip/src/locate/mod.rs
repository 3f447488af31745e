//! Where a request goes (RFC 3263): NAPTR, then SRV, then A and AAAA, as far as the URI leaves them open.
//!
//! `locate` computes the whole walk out of what the `Cache` holds, or says what is missing; whoever waits computes it
//! again when an answer came. So nothing is kept of a search but its destination.

mod cache;
mod dead;
mod destination;

pub(crate) use cache::Cache;
pub(crate) use dead::Dead;
pub use destination::Destination;

use crate::transport::Transport;
use std::net::{IpAddr, SocketAddr};
use tapi::Time;
use tspi::{LookupError, Query, Random, Record, RecordKind};

/// Most candidates that are kept of a destination.
const MAX_CANDIDATES: usize = 16;

/// Somewhere a request may be sent.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Candidate {
    /// The way.
    pub transport: Transport,
    /// The address.
    pub address: SocketAddr,
    /// The name that a certificate must be for.
    pub name: String,
}

/// What came out of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Located {
    /// Candidates, best first; at least one.
    Ready(Vec<Candidate>),
    /// These must be asked first.
    Wait(Vec<Query>),
    /// There is nobody, for this reason.
    Nowhere(String),
}

/// What the walk asks of its surroundings.
pub(crate) struct Walk<'a> {
    pub now: Time,
    pub cache: &'a Cache,
    pub random: &'a mut Random,
    /// Whether we have an address of this family for this way.
    pub fits: &'a dyn Fn(Transport, IpAddr) -> bool,
}

/// Where a service is said to be: way, host, port.
type Place = (Transport, String, u16);

/// Searches.
pub(crate) fn locate(walk: &mut Walk<'_>, to: &Destination) -> Located {
    let plain = if to.secure { Transport::Tls } else { Transport::Udp };
    let chosen = to.transport.map(|chosen| if to.secure { Transport::Tls } else { chosen });
    if let Some(ip) = to.address() {
        let transport = chosen.unwrap_or(plain);
        let address = SocketAddr::new(ip, to.port.unwrap_or(transport.default_port()));
        return if (walk.fits)(transport, ip) {
            Located::Ready(vec![Candidate { transport, address, name: to.host.clone() }])
        } else {
            Located::Nowhere(format!("{ip} is not of our family of addresses"))
        };
    }
    if let Some(port) = to.port {
        return addresses(walk, to, &[(chosen.unwrap_or(plain), to.host.clone(), port)]);
    }
    let services = match services(walk, to, chosen) {
        Ok(services) => services,
        Err(query) => return Located::Wait(vec![query]),
    };
    match places(walk, to, &services) {
        Err(missing) => Located::Wait(missing),
        Ok(Some(places)) if places.is_empty() => Located::Nowhere(format!("{} does not offer SIP", to.host)),
        Ok(Some(places)) => addresses(walk, to, &places),
        Ok(None) => {
            let transport = chosen.unwrap_or(plain);
            addresses(walk, to, &[(transport, to.host.clone(), transport.default_port())])
        }
    }
}

/// Names of SRV records with their ways, best first (RFC 3263 section 4.1).
fn services(walk: &Walk<'_>, to: &Destination, chosen: Option<Transport>) -> Result<Vec<(Transport, String)>, Query> {
    let usual = |transport: Transport| {
        let service = match transport {
            Transport::Udp => "_sip._udp",
            Transport::Tcp => "_sip._tcp",
            Transport::Tls => "_sips._tcp",
        };
        (transport, format!("{service}.{}", to.host))
    };
    if let Some(chosen) = chosen {
        return Ok(vec![usual(chosen)]);
    }
    let query = Query { name: to.host.clone(), kind: RecordKind::Naptr };
    let mut found = Vec::new();
    // A server that fails on a kind of record that few have is taken for one without it.
    if let Ok(records) = walk.cache.find(walk.now, &query).ok_or(query)? {
        for record in &records.records {
            let Record::Naptr { order, preference, flags, service, replacement } = record else {
                continue;
            };
            let transport = match service.to_ascii_uppercase().as_str() {
                "SIP+D2U" if !to.secure => Transport::Udp,
                "SIP+D2T" if !to.secure => Transport::Tcp,
                "SIPS+D2T" => Transport::Tls,
                _ => continue,
            };
            if flags.eq_ignore_ascii_case("s") {
                found.push((*order, *preference, transport, replacement.clone()));
            }
        }
    }
    found.sort();
    found.truncate(MAX_CANDIDATES);
    if !found.is_empty() {
        return Ok(found.into_iter().map(|(_, _, transport, name)| (transport, name)).collect());
    }
    let all: &[Transport] =
        if to.secure { &[Transport::Tls] } else { &[Transport::Udp, Transport::Tcp, Transport::Tls] };
    Ok(all.iter().copied().map(usual).collect())
}

/// Hosts and ports of services; `None`: there are no such records, and the host itself is meant.
fn places(
    walk: &mut Walk<'_>,
    to: &Destination,
    services: &[(Transport, String)],
) -> Result<Option<Vec<Place>>, Vec<Query>> {
    let query = |name: &String| Query { name: name.clone(), kind: RecordKind::Srv };
    let missing: Vec<Query> = services.iter().map(|(_, name)| query(name)).collect();
    let missing: Vec<Query> = missing.into_iter().filter(|query| walk.cache.find(walk.now, query).is_none()).collect();
    if !missing.is_empty() {
        return Err(missing);
    }
    let (mut places, mut any) = (Vec::new(), false);
    for (transport, name) in services {
        let Some(Ok(records)) = walk.cache.find(walk.now, &query(name)) else {
            continue;
        };
        let mut servers: Vec<(u16, u16, u16, String)> = Vec::new();
        for record in &records.records {
            if let Record::Srv { priority, weight, port, target } = record {
                any = true;
                servers.push((*priority, *weight, *port, target.trim_end_matches('.').to_owned()));
            }
        }
        for (_, _, port, target) in by_weight(servers, walk.random) {
            // A root target says: not here (RFC 2782).
            if !target.is_empty() && places.len() < MAX_CANDIDATES {
                places.push((*transport, target, port));
            }
        }
    }
    let _ = to;
    Ok(any.then_some(places))
}

/// The order of RFC 2782: by priority; within one, by chance in proportion to the weights. Those without weight stand first
/// in the draw, so that they have a small chance.
fn by_weight(mut servers: Vec<(u16, u16, u16, String)>, random: &mut Random) -> Vec<(u16, u16, u16, String)> {
    servers.sort();
    let mut ordered = Vec::with_capacity(servers.len());
    while let Some((priority, ..)) = servers.first().cloned() {
        let of_one = servers.iter().take_while(|server| server.0 == priority).count();
        let sum: u64 = servers.iter().take(of_one).map(|server| u64::from(server.1)).sum();
        let drawn = random.below(sum + 1);
        let mut passed = 0;
        let at = servers.iter().take(of_one).position(|server| {
            passed += u64::from(server.1);
            passed >= drawn
        });
        ordered.push(servers.remove(at.unwrap_or(0)));
    }
    ordered
}

/// Addresses of places.
fn addresses(walk: &mut Walk<'_>, to: &Destination, places: &[Place]) -> Located {
    let (mut candidates, mut missing, mut why) = (Vec::new(), Vec::new(), None);
    for (transport, host, port) in places {
        if let Ok(ip) = host.parse::<IpAddr>() {
            candidates.push(Candidate {
                transport: *transport,
                address: SocketAddr::new(ip, *port),
                name: to.host.clone(),
            });
            continue;
        }
        for kind in kinds(walk, *transport) {
            let query = Query { name: host.clone(), kind };
            match walk.cache.find(walk.now, &query) {
                None => missing.push(query),
                Some(Err(error)) => why = Some((host, *error)),
                Some(Ok(records)) => {
                    for record in &records.records {
                        if let Record::Address(ip) = record {
                            let address = SocketAddr::new(*ip, *port);
                            candidates.push(Candidate { transport: *transport, address, name: to.host.clone() });
                        }
                    }
                }
            }
        }
    }
    if !missing.is_empty() {
        missing.dedup();
        return Located::Wait(missing);
    }
    candidates.truncate(MAX_CANDIDATES);
    match (candidates.is_empty(), why) {
        (false, _) => Located::Ready(candidates),
        (true, Some((host, error))) => Located::Nowhere(format!("{host}: {}", words(error))),
        (true, None) => Located::Nowhere(format!("{} has no address of our family", to.host)),
    }
}

/// Kinds of addresses that we can reach by a way.
fn kinds(walk: &Walk<'_>, transport: Transport) -> Vec<RecordKind> {
    let v4 = (walk.fits)(transport, IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));
    let v6 = (walk.fits)(transport, IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED));
    [v6.then_some(RecordKind::Aaaa), v4.then_some(RecordKind::A)].into_iter().flatten().collect()
}

/// An error for people.
pub(crate) fn words(error: LookupError) -> &'static str {
    match error {
        LookupError::None { .. } => "no such name",
        LookupError::ServerFailed => "the name server failed",
        LookupError::Refused => "the name server refused",
        LookupError::Timeout => "no name server answered",
    }
}

#[cfg(test)]
mod tests;
