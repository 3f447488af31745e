//! A trace as a capture file (libpcap 2.4), so that other programs can draw and search it. Each message is one UDP datagram of
//! its own, whatever it went over: what is kept is what was said, not how.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tapi::TraceEntry;

/// Raw IP, version by its first bits.
const LINKTYPE_RAW: u32 = 101;
const MAX: u32 = 262_144;

/// The messages that are kept whole; how many are not.
pub fn write(entries: &[TraceEntry]) -> (Vec<u8>, usize) {
    let mut file = Vec::new();
    file.extend(0xa1b2_c3d4_u32.to_le_bytes());
    file.extend([2_u16, 4].map(u16::to_le_bytes).concat());
    file.extend([0, 0, MAX, LINKTYPE_RAW].map(u32::to_le_bytes).concat());
    let mut without = 0;
    for entry in entries {
        let (Some(text), Some(peer)) = (&entry.text, address(&entry.peer)) else {
            without += 1;
            continue;
        };
        let here = entries.iter().find_map(|other| ours(other, peer)).unwrap_or(SocketAddr::new(any(peer), 5060));
        let (from, to) = if entry.sent { (here, peer) } else { (peer, here) };
        let packet = datagram(from, to, text.as_bytes());
        let length = u32::try_from(packet.len()).unwrap_or(MAX);
        let seconds = u32::try_from(entry.wall / 1_000_000).unwrap_or(u32::MAX);
        let micros = u32::try_from(entry.wall % 1_000_000).unwrap_or(0);
        file.extend([seconds, micros, length, length].map(u32::to_le_bytes).concat());
        file.extend(packet);
    }
    (file, without)
}

fn address(peer: &str) -> Option<SocketAddr> {
    peer.parse().ok().or_else(|| peer.rsplit(' ').next()?.parse().ok())
}

fn any(like: SocketAddr) -> IpAddr {
    if like.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() }
}

/// Our own address, as a request of ours has it in its Via.
fn ours(entry: &TraceEntry, like: SocketAddr) -> Option<SocketAddr> {
    let text = entry.text.as_deref().filter(|text| entry.sent && !text.starts_with("SIP/2.0"))?;
    let via = text.lines().find_map(|line| line.strip_prefix("Via: SIP/2.0/"))?;
    let sent_by = via.split_whitespace().nth(1)?.split(';').next()?;
    sent_by.parse().ok().filter(|own: &SocketAddr| own.is_ipv4() == like.is_ipv4())
}

/// An IP packet with a UDP datagram. The checksum of UDP over IPv4 is left out, as it may be.
fn datagram(from: SocketAddr, to: SocketAddr, body: &[u8]) -> Vec<u8> {
    // What does not fit into a packet is cut.
    let body = body.get(..body.len().min(65_000)).unwrap_or_default();
    let udp_length = u16::try_from(body.len() + 8).unwrap_or(u16::MAX);
    let udp = |checksum: u16| [from.port(), to.port(), udp_length, checksum].map(u16::to_be_bytes).concat();
    match (from.ip(), to.ip()) {
        (IpAddr::V4(source), IpAddr::V4(target)) => {
            let length = (udp_length + 20).to_be_bytes();
            let mut header = vec![0x45, 0, length[0], length[1], 0, 0, 0x40, 0, 64, 17, 0, 0];
            header.extend(source.octets());
            header.extend(target.octets());
            let sum = checksum(&header).to_be_bytes();
            header.splice(10..12, sum);
            [header, udp(0), body.to_vec()].concat()
        }
        (source, target) => {
            let [source, target] = [source, target].map(|ip| match ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                IpAddr::V6(ip) => ip.octets(),
            });
            let length = udp_length.to_be_bytes();
            let header = [0x60, 0, 0, 0, length[0], length[1], 17, 64];
            let pseudo = [&source[..], &target, &u32::from(udp_length).to_be_bytes(), &[0, 0, 0, 17], &udp(0), body];
            // Zero would mean that there is none.
            let sum = match checksum(&pseudo.concat()) {
                0 => u16::MAX,
                sum => sum,
            };
            [&header[..], &source, &target, &udp(sum), body].concat()
        }
    }
}

/// The checksum of the Internet (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)));
    let mut sum: u32 = words.fold(0, |sum, word| {
        let sum = sum + word;
        (sum & 0xffff) + (sum >> 16)
    });
    sum = (sum & 0xffff) + (sum >> 16);
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tapi::Time;

    fn entry(sent: bool, peer: &str, text: Option<&str>) -> TraceEntry {
        let (peer, text) = (peer.to_owned(), text.map(str::to_owned));
        TraceEntry { time: Time::ZERO, wall: 1_700_000_000_250_000, sent, peer, summary: String::new(), text }
    }

    #[test]
    fn each_message_is_a_datagram_between_the_two_ends() {
        let invite = "INVITE sip:b SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bK1;rport\r\n\r\n";
        let entries = [
            entry(true, "192.0.2.7:5060", Some(invite)),
            entry(false, "192.0.2.7:5060", Some("SIP/2.0 200 OK\r\n\r\n")),
            entry(false, "192.0.2.7:5060", None),
        ];
        let (file, without) = write(&entries);
        assert_eq!(without, 1);
        assert_eq!(file[..4], [0xd4, 0xc3, 0xb2, 0xa1]);
        let first = &file[24..];
        assert_eq!(first[..8], [&1_700_000_000_u32.to_le_bytes()[..], &250_000_u32.to_le_bytes()].concat()[..]);
        let packet = &first[16..];
        assert_eq!(packet[12..20], [192, 0, 2, 1, 192, 0, 2, 7]);
        assert_eq!(packet[20..24], [5070_u16.to_be_bytes(), 5060_u16.to_be_bytes()].concat()[..]);
        assert_eq!(checksum(&packet[..20]), 0, "the header proves itself");
        assert_eq!(&packet[28..28 + invite.len()], invite.as_bytes());
        let second = &packet[28 + invite.len() + 16..];
        assert_eq!(second[12..20], [192, 0, 2, 7, 192, 0, 2, 1], "the other way round");
    }

    #[test]
    fn ipv6_has_its_checksum() {
        let (file, without) = write(&[entry(true, "[2001:db8::1]:5060", Some("OPTIONS sip:x SIP/2.0\r\n\r\n"))]);
        assert_eq!(without, 0);
        let packet = &file[24 + 16..];
        assert_eq!(packet[0] >> 4, 6);
        let length = u32::from(u16::from_be_bytes([packet[4], packet[5]]));
        let pseudo = [&packet[8..40], &length.to_be_bytes(), &[0, 0, 0, 17], &packet[40..]].concat();
        assert_eq!(checksum(&pseudo), 0);
    }
}
