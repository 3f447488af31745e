//! The domain name system.

use tspi::{LookupError, Query, Record, RecordKind, Records};

/// How long an answer of the system's resolver counts: it does not say.
const TTL_S: u32 = 60;

/// Asks the system's resolver, which knows addresses alone.
pub async fn look_up(query: &Query) -> Result<Records, LookupError> {
    let v4 = match query.kind {
        RecordKind::A => true,
        RecordKind::Aaaa => false,
        RecordKind::Naptr | RecordKind::Srv => return Err(LookupError::None { ttl_s: TTL_S }),
    };
    let found = tokio::net::lookup_host((query.name.as_str(), 0)).await;
    let found = found.map_err(|_| LookupError::None { ttl_s: TTL_S })?;
    let records: Vec<Record> =
        found.map(|address| address.ip()).filter(|ip| ip.is_ipv4() == v4).map(Record::Address).collect();
    if records.is_empty() { Err(LookupError::None { ttl_s: TTL_S }) } else { Ok(Records { records, ttl_s: TTL_S }) }
}
