//! Mutated datagrams and descriptions, some thousand: none may panic.

use proptest::prelude::*;

const SEEDS: [&str; 4] = [
    "INVITE sip:100@example.org SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa;rport\r\nMax-Forwards: 70\r\n\
     From: \"A\" <sip:a@x>;tag=1\r\nTo: <sip:100@example.org>\r\nCall-ID: c@x\r\nCSeq: 1 INVITE\r\nContact: <sip:a@192.0.2.1>\r\n\
     Record-Route: <sip:192.0.2.3;lr>\r\nContent-Type: application/sdp\r\n\r\n\
     v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 7000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n",
    "BYE sip:100@example.org SIP/2.0\r\nv: SIP/2.0/UDP [2001:db8::1]:5060 ; branch=z9hG4bKb\r\nf: sip:a@x;tag=1\r\nt: sip:b@y;tag=2\r\n\
     i: c\r\nCSeq: 2\r\n BYE\r\nl: 0\r\n\r\n",
    "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:5062;branch=z9hG4bKb\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:b@y>;tag=2\r\nCall-ID: c\r\n\
     CSeq: 1 INVITE\r\nContact: <sip:b@y>\r\n\r\n",
    "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 7000 RTP/AVP 0 8\r\na=sendonly\r\na=ptime:20\r\n",
];

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let change = (0u8..4, any::<prop::sample::Index>(), any::<u8>(), 1usize..40);
    (0..SEEDS.len(), prop::collection::vec(change, 0..6)).prop_map(|(seed, changes)| {
        let mut bytes = SEEDS[seed].as_bytes().to_vec();
        for (kind, index, byte, length) in changes {
            if bytes.is_empty() {
                break;
            }
            let at = index.index(bytes.len());
            let end = (at + length).min(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => drop(bytes.drain(at..end)),
                _ => {
                    let again = bytes[at..end].to_vec();
                    bytes.splice(at..at, again);
                }
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn datagrams(bytes in mutated()) {
        tsp_sip::fuzz::datagram(&bytes);
        tsp_sip::fuzz::sdp(&bytes);
    }

    #[test]
    fn noise(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        tsp_sip::fuzz::datagram(&bytes);
        tsp_sip::fuzz::sdp(&bytes);
    }
}
