//! Binding requests (RFC 8489): what our address looks like from outside.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const XOR_MAPPED: u16 = 0x0020;
const MAPPED: u16 = 0x0001;
/// Most attributes that are looked at.
const MAX_ATTRIBUTES: usize = 32;

/// Names a request and its response.
pub type TransactionId = [u8; 12];

/// A message that is one of ours to understand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stun {
    /// Somebody asks.
    Request(TransactionId),
    /// Somebody answers: how we are seen.
    Success(TransactionId, SocketAddr),
    /// Somebody refuses.
    Failure(TransactionId),
}

/// A request.
pub fn request(id: &TransactionId) -> Vec<u8> {
    [&[0, 1, 0, 0][..], &COOKIE, id].concat()
}

/// The answer to a request: where it came from.
pub fn success(id: &TransactionId, from: SocketAddr) -> Vec<u8> {
    let mask = mask(id);
    let port = from.port() ^ 0x2112;
    let (family, address) = match from.ip() {
        IpAddr::V4(address) => (1, xor(&address.octets(), &mask)),
        IpAddr::V6(address) => (2, xor(&address.octets(), &mask)),
    };
    let length = u8::try_from(4 + address.len()).unwrap_or_default();
    let attribute = [&[0, 0x20, 0, length, 0, family][..], &port.to_be_bytes(), &address].concat();
    [&[1, 1, 0, length + 4][..], &COOKIE, id, &attribute].concat()
}

/// Whether a datagram is of this kind and not SIP: no SIP message begins with such bytes.
pub fn is_stun(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| first & 0xc0 == 0) && bytes.get(4..8) == Some(&COOKIE)
}

/// Reads a message; `None` for one that is cut short, of another method, or without an address.
pub fn read(bytes: &[u8]) -> Option<Stun> {
    if !is_stun(bytes) {
        return None;
    }
    let kind = u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]);
    let length = usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]));
    let id: TransactionId = bytes.get(8..20)?.try_into().ok()?;
    let mut rest = bytes.get(20..20usize.checked_add(length)?)?;
    match kind {
        0x0001 => return Some(Stun::Request(id)),
        0x0111 => return Some(Stun::Failure(id)),
        0x0101 => {}
        _ => return None,
    }
    let mut plain = None;
    for _ in 0..MAX_ATTRIBUTES {
        let Some(name) = rest.get(..2) else { break };
        let name = u16::from_be_bytes([*name.first()?, *name.get(1)?]);
        let size = usize::from(u16::from_be_bytes([*rest.get(2)?, *rest.get(3)?]));
        let value = rest.get(4..4 + size)?;
        match name {
            XOR_MAPPED => return address(value, &mask(&id), 0x2112).map(|seen| Stun::Success(id, seen)),
            MAPPED => plain = address(value, &[0; 16], 0),
            _ => {}
        }
        rest = rest.get(4 + size.next_multiple_of(4)..).unwrap_or_default();
    }
    plain.map(|seen| Stun::Success(id, seen))
}

fn mask(id: &TransactionId) -> [u8; 16] {
    let mut mask = [0; 16];
    let (cookie, rest) = mask.split_at_mut(4);
    cookie.copy_from_slice(&COOKIE);
    rest.copy_from_slice(id);
    mask
}

fn xor(bytes: &[u8], mask: &[u8; 16]) -> Vec<u8> {
    bytes.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect()
}

fn address(value: &[u8], mask: &[u8; 16], port_mask: u16) -> Option<SocketAddr> {
    let port = u16::from_be_bytes([*value.get(2)?, *value.get(3)?]) ^ port_mask;
    let bytes = xor(value.get(4..)?, mask);
    let ip: IpAddr = match value.get(1)? {
        1 => Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into(),
        2 => Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answers_of_rfc_5769_are_read() {
        let id = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];
        // Section 2.2, cut to its mapped address: 192.0.2.1 port 32853.
        let head = [&[1, 1, 0, 12][..], &COOKIE, &id].concat();
        let v4 = [&head[..], &[0, 0x20, 0, 8, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43]].concat();
        assert_eq!(read(&v4), Some(Stun::Success(id, "192.0.2.1:32853".parse().unwrap())));
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let id = [9; 12];
        assert_eq!(read(&request(&id)), Some(Stun::Request(id)));
        for from in ["203.0.113.9:1024", "[2001:db8::7]:65535"] {
            let from = from.parse().unwrap();
            let bytes = success(&id, from);
            assert_eq!(read(&bytes), Some(Stun::Success(id, from)));
            for cut in 0..bytes.len() {
                assert_eq!(read(&bytes[..cut]), None);
            }
        }
        assert_eq!(read(b"OPTIONS sip:a SIP/2.0\r\n\r\n"), None);
    }
}
