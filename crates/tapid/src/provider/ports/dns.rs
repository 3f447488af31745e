//! The domain name system.

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{RData, RecordType};
use std::net::SocketAddr;
use std::time::Duration;
use tspi::{LookupError, Query, Record, RecordKind, Records};

/// How long a name server may take, and how often it is asked.
const PATIENCE: (Duration, usize) = (Duration::from_secs(2), 2);
/// For how long "no such name" counts where the server does not say.
const NEGATIVE_TTL_S: u32 = 60;
/// Most records that are taken of one answer.
const MAX_RECORDS: usize = 64;

/// A resolver. It keeps nothing: providers keep answers for as long as these hold.
#[derive(Clone)]
pub struct Dns(Result<TokioResolver, String>);

impl Dns {
    /// One that asks these servers; none: those of the system.
    pub fn new(servers: &[SocketAddr]) -> Dns {
        Dns(build(servers).map_err(|error| error.to_string()))
    }

    /// Asks. TCP follows where an answer was cut, and aliases are followed.
    pub async fn look_up(&self, query: &Query) -> Result<Records, LookupError> {
        let resolver = match &self.0 {
            Ok(resolver) => resolver,
            Err(error) => {
                tracing::warn!(error, "no name server can be asked");
                return Err(LookupError::ServerFailed);
            }
        };
        let kind = match query.kind {
            RecordKind::Naptr => RecordType::NAPTR,
            RecordKind::Srv => RecordType::SRV,
            RecordKind::A => RecordType::A,
            RecordKind::Aaaa => RecordType::AAAA,
        };
        // With a dot at its end no search domain is tried.
        let lookup = resolver.lookup(format!("{}.", query.name.trim_end_matches('.')), kind).await;
        let lookup = lookup.map_err(|error| failure(&error))?;
        let answers = lookup.answers().iter().filter(|answer| answer.record_type() == kind).take(MAX_RECORDS);
        let ttl_s = lookup.answers().iter().map(|answer| answer.ttl).min().unwrap_or(NEGATIVE_TTL_S);
        let records: Vec<Record> = answers.filter_map(|answer| record(&answer.data)).collect();
        if records.is_empty() { Err(LookupError::None { ttl_s }) } else { Ok(Records { records, ttl_s }) }
    }
}

fn build(servers: &[SocketAddr]) -> Result<TokioResolver, NetError> {
    let mut builder = if servers.is_empty() {
        TokioResolver::builder_tokio()?
    } else {
        let servers = servers.iter().map(|server| {
            let on_port = |mut connection: ConnectionConfig| {
                connection.port = server.port();
                connection
            };
            let ways = vec![on_port(ConnectionConfig::udp()), on_port(ConnectionConfig::tcp())];
            NameServerConfig::new(server.ip(), true, ways)
        });
        let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let options: &mut ResolverOpts = builder.options_mut();
    options.cache_size = 0;
    (options.timeout, options.attempts) = PATIENCE;
    builder.build()
}

fn failure(error: &NetError) -> LookupError {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => {
                LookupError::None { ttl_s: none.negative_ttl.unwrap_or(NEGATIVE_TTL_S) }
            }
            ResponseCode::Refused => LookupError::Refused,
            _ => LookupError::ServerFailed,
        },
        NetError::Dns(DnsError::ResponseCode(ResponseCode::NXDomain)) => LookupError::None { ttl_s: NEGATIVE_TTL_S },
        NetError::Dns(DnsError::ResponseCode(ResponseCode::Refused)) => LookupError::Refused,
        NetError::Timeout => LookupError::Timeout,
        _ => LookupError::ServerFailed,
    }
}

fn record(data: &RData) -> Option<Record> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let name = |name: &hickory_resolver::proto::rr::Name| name.to_ascii().trim_end_matches('.').to_owned();
    Some(match data {
        RData::A(address) => Record::Address(address.0.into()),
        RData::AAAA(address) => Record::Address(address.0.into()),
        RData::SRV(srv) => {
            Record::Srv { priority: srv.priority, weight: srv.weight, port: srv.port, target: name(&srv.target) }
        }
        RData::NAPTR(naptr) => Record::Naptr {
            order: naptr.order,
            preference: naptr.preference,
            flags: text(&naptr.flags),
            service: text(&naptr.services),
            replacement: name(&naptr.replacement),
        },
        _ => return None,
    })
}
