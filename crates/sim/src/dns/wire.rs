//! Messages of the domain name system (RFC 1035 section 4), written octet by octet and without compression.

use super::Zone;
use tspi::{LookupError, Query, Record, RecordKind};

/// Longest datagram without EDNS (RFC 1035 section 2.3.4).
pub const MAX_DATAGRAM: usize = 512;

const CNAME: u16 = 5;
const SOA: u16 = 6;

const NOERROR: u8 = 0;
const SERVFAIL: u8 = 2;
const NXDOMAIN: u8 = 3;
const NOTIMP: u8 = 4;
const REFUSED: u8 = 5;

/// What was asked.
struct Question<'a> {
    id: [u8; 2],
    /// Whether recursion is desired: it is said back.
    desired: bool,
    name: String,
    kind: u16,
    /// The section as it came.
    section: &'a [u8],
}

/// The answer to a question in at most so many octets; none: silence.
pub fn answer(zone: &mut Zone, question: &[u8], most: usize) -> Option<Vec<u8>> {
    let question = read(question)?;
    let Some(kind) = kind_of(question.kind) else {
        return Some(message(&question, NOTIMP, false, &[], &[]));
    };
    let query = Query { name: question.name.clone(), kind };
    let cut = zone.cut.contains(&query) && most <= MAX_DATAGRAM;
    let (aliases, end) = zone.chain(&query.name);
    let mut answers: Vec<Vec<u8>> = Vec::new();
    let mut owner = question.name.clone();
    for (target, ttl_s) in aliases {
        answers.push(record(&owner, CNAME, ttl_s, &name(&target)));
        owner = target;
    }
    let exists = zone.exists(&end);
    let (code, authority) = match zone.answer(&query) {
        Ok(records) => {
            for it in &records.records {
                let (kind, data) = data(it);
                answers.push(record(&owner, kind, records.ttl_s, &data));
            }
            (NOERROR, Vec::new())
        }
        Err(LookupError::None { ttl_s }) => {
            (if exists { NOERROR } else { NXDOMAIN }, vec![record(&owner, SOA, ttl_s, &authority(ttl_s))])
        }
        Err(LookupError::ServerFailed) => (SERVFAIL, Vec::new()),
        Err(LookupError::Refused) => (REFUSED, Vec::new()),
        Err(LookupError::Timeout) => return None,
    };
    let whole = message(&question, code, false, &answers, &authority);
    if cut || whole.len() > most { Some(message(&question, code, true, &[], &[])) } else { Some(whole) }
}

fn read(bytes: &[u8]) -> Option<Question<'_>> {
    let (header, rest) = bytes.split_first_chunk::<12>()?;
    // A question of the usual kind, and one of them.
    if header[2] & 0xf8 != 0 || header[4..6] != [0, 1] {
        return None;
    }
    let mut labels = Vec::new();
    let mut at = 0;
    loop {
        let length = usize::from(*rest.get(at)?);
        at += 1;
        match length {
            0 => break,
            1..=63 => labels.push(String::from_utf8_lossy(rest.get(at..at + length)?).to_ascii_lowercase()),
            _ => return None,
        }
        at += length;
    }
    let kind = u16::from_be_bytes(rest.get(at..at + 2)?.try_into().ok()?);
    let section = rest.get(..at + 4)?;
    Some(Question { id: [header[0], header[1]], desired: header[2] & 1 == 1, name: labels.join("."), kind, section })
}

fn kind_of(number: u16) -> Option<RecordKind> {
    match number {
        1 => Some(RecordKind::A),
        28 => Some(RecordKind::Aaaa),
        33 => Some(RecordKind::Srv),
        35 => Some(RecordKind::Naptr),
        _ => None,
    }
}

fn message(question: &Question<'_>, code: u8, cut: bool, answers: &[Vec<u8>], authority: &[Vec<u8>]) -> Vec<u8> {
    // A response, authoritative, cut or not; recursion available.
    let flags = [0x84 | u8::from(cut) << 1 | u8::from(question.desired), 0x80 | code];
    let count = |records: &[Vec<u8>]| u16::try_from(records.len()).unwrap_or(u16::MAX).to_be_bytes();
    let header = [question.id, flags, [0, 1], count(answers), count(authority), [0, 0]];
    [&header.concat(), question.section, &answers.concat(), &authority.concat()].concat()
}

fn record(owner: &str, kind: u16, ttl_s: u32, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes();
    let [kind, class] = [kind.to_be_bytes(), [0, 1]];
    [&name(owner), &kind[..], &class, &ttl_s.to_be_bytes(), &length, data].concat()
}

fn data(record: &Record) -> (u16, Vec<u8>) {
    match record {
        Record::Address(std::net::IpAddr::V4(ip)) => (1, ip.octets().to_vec()),
        Record::Address(std::net::IpAddr::V6(ip)) => (28, ip.octets().to_vec()),
        Record::Srv { priority, weight, port, target } => {
            let numbers = [priority, weight, port].map(|number| number.to_be_bytes());
            (33, [numbers.concat(), name(target)].concat())
        }
        Record::Naptr { order, preference, flags, service, replacement } => {
            let numbers = [order, preference].map(|number| number.to_be_bytes());
            (35, [numbers.concat(), text(flags), text(service), text(""), name(replacement)].concat())
        }
    }
}

/// A name as labels behind their lengths.
fn name(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let mut bytes: Vec<u8> = labels.flat_map(text).collect();
    bytes.push(0);
    bytes
}

/// Up to 255 octets behind their number.
fn text(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let length = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
    [&[length], bytes.get(..usize::from(length)).unwrap_or(bytes)].concat()
}

/// The start of authority, whose last number is for how long "none" holds (RFC 2308 section 4).
fn authority(ttl_s: u32) -> Vec<u8> {
    let numbers = [1, 3_600, 600, 86_400, ttl_s].map(u32::to_be_bytes);
    [name("ns.test"), name("admin.test"), numbers.concat()].concat()
}
