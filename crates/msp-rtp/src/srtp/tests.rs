use super::*;

const ALL: [SrtpSuite; 5] = [
    SrtpSuite::AesCm128HmacSha1_80,
    SrtpSuite::AesCm128HmacSha1_32,
    SrtpSuite::AesCm256HmacSha1_80,
    SrtpSuite::AeadAes128Gcm,
    SrtpSuite::AeadAes256Gcm,
];

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn key(suite: &SrtpSuite, first: u8) -> SrtpKey {
    let (key, salt) = suite.key_and_salt().unwrap();
    SrtpKey((0..(key + salt) as u8).map(|n| n.wrapping_mul(7).wrapping_add(first)).collect())
}

/// Two ends that agree.
fn pair(suite: &SrtpSuite) -> (Protection, Protection) {
    let srtp = Srtp { suite: suite.clone(), local: key(suite, 1), remote: key(suite, 99) };
    let other = Srtp { suite: suite.clone(), local: srtp.remote.clone(), remote: srtp.local.clone() };
    (Protection::new(&srtp).unwrap(), Protection::new(&other).unwrap())
}

fn rtp(sequence: u16) -> Packet {
    let mut bytes = vec![0x80, 8];
    bytes.extend(sequence.to_be_bytes());
    bytes.extend([0, 0, 0, 160, 0xca, 0xfe, 0xba, 0xbe]);
    bytes.extend([sequence as u8; 160]);
    Packet::copy_of(&bytes).unwrap()
}

fn sealed(from: &mut Protection, sequence: u16) -> Vec<u8> {
    let mut packet = rtp(sequence);
    from.protect_rtp(&mut packet).unwrap();
    packet.as_slice().to_vec()
}

fn open(to: &mut Protection, bytes: &[u8]) -> Result<Vec<u8>, Refused> {
    let mut room = bytes.to_vec();
    let length = to.unprotect_rtp(&mut room)?;
    room.truncate(length);
    Ok(room)
}

/// RFC 3711 B.3 and the packet that libsrtp's own validation uses with the same master key.
#[test]
fn aes_cm_as_others_make_it() {
    let master = hex("e1f97a0d3e018be0d64fa32c06de4139 0ec675ad498afeebb6960b3aabe6");
    let key = SrtpKey(master);
    let srtp = Srtp { suite: SrtpSuite::AesCm128HmacSha1_80, local: key.clone(), remote: key };
    let mut one = Protection::new(&srtp).unwrap();
    let plain = hex("800f1234decafbadcafebabe abababababababababababababababab");
    let mut packet = Packet::copy_of(&plain).unwrap();
    one.protect_rtp(&mut packet).unwrap();
    let expected = hex("800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb");
    assert_eq!(packet.as_slice(), expected);
    let mut other = Protection::new(&srtp).unwrap();
    assert_eq!(open(&mut other, &expected), Ok(plain));
}

#[test]
fn gcm_as_others_make_it() {
    let master = hex("000102030405060708090a0b0c0d0e0f a0a1a2a3a4a5a6a7a8a9aaab");
    let key = SrtpKey(master);
    let srtp = Srtp { suite: SrtpSuite::AeadAes128Gcm, local: key.clone(), remote: key };
    let mut one = Protection::new(&srtp).unwrap();
    let plain = hex("800f1234decafbadcafebabe abababababababababababababababab");
    let mut packet = Packet::copy_of(&plain).unwrap();
    one.protect_rtp(&mut packet).unwrap();
    let expected = hex("800f1234decafbadcafebabe c5002ede04cfdd2eb91159e0880aa06ed2976826f796b201df3131a127e8a392");
    assert_eq!(packet.as_slice(), expected);
}

#[test]
fn what_one_end_protects_the_other_opens_and_nobody_else() {
    for suite in ALL {
        let (mut one, mut other) = pair(&suite);
        for n in 0..200u16 {
            let bytes = sealed(&mut one, n);
            assert_ne!(bytes[12..172], rtp(n).as_slice()[12..], "{suite}");
            let mut broken = bytes.clone();
            broken[usize::from(n) % bytes.len()] ^= 1;
            assert!(open(&mut other, &broken).is_err(), "{suite} {n}");
            assert_eq!(open(&mut other, &bytes).unwrap(), rtp(n).as_slice(), "{suite} {n}");
            assert_eq!(open(&mut other, &bytes), Err(Refused::Replayed), "{suite} {n}");
        }
        assert_eq!(open(&mut other, rtp(900).as_slice()), Err(Refused::NotAuthentic), "{suite}");
    }
}

#[test]
fn reports_are_opened_once_and_only_when_authentic() {
    let plain = hex("81c90007cafebabe 0000000100000000000000000000000000000000 00000000");
    for suite in ALL {
        let (mut one, mut other) = pair(&suite);
        for n in 0..5 {
            let mut packet = Packet::copy_of(&plain).unwrap();
            one.protect_rtcp(&mut packet).unwrap();
            assert_ne!(packet.as_slice()[8..plain.len()], plain[8..]);
            let mut broken = packet.as_slice().to_vec();
            let last = broken.len() - 1 - n;
            broken[last] ^= 0x10;
            assert!(other.unprotect_rtcp(&mut broken).is_err());
            let mut room = packet.as_slice().to_vec();
            let length = other.unprotect_rtcp(&mut room).unwrap();
            assert_eq!(room[..length], plain, "{suite}");
            let mut again = packet.as_slice().to_vec();
            assert_eq!(other.unprotect_rtcp(&mut again), Err(Refused::Replayed));
        }
    }
}

#[test]
fn the_counter_rolls_over_with_loss_and_reordering_and_outlives_a_snapshot() {
    let (mut one, mut other) = pair(&SrtpSuite::AesCm128HmacSha1_80);
    let mut sequence = 65_000u16;
    let mut held = Vec::new();
    for n in 0..70_000u32 {
        let bytes = sealed(&mut one, sequence);
        sequence = sequence.wrapping_add(1);
        match n % 10 {
            3 => {}
            5 => held = bytes.clone(),
            7 => {
                assert!(open(&mut other, &bytes).is_ok(), "{n}");
                assert!(open(&mut other, &held).is_ok(), "{n}");
            }
            _ => assert!(open(&mut other, &bytes).is_ok(), "{n}"),
        }
        if n % 20_000 == 0 {
            one = serde_json::from_str(&serde_json::to_string(&one).unwrap()).unwrap();
            other = serde_json::from_str(&serde_json::to_string(&other).unwrap()).unwrap();
            assert_eq!(open(&mut other, &bytes), Err(Refused::Replayed));
        }
    }
    assert_eq!(other.remote.roll_over(), 2);
}

#[test]
fn an_index_is_used_once() {
    let (mut one, _) = pair(&SrtpSuite::AesCm128HmacSha1_80);
    assert!(one.protect_rtp(&mut rtp(5)).is_some());
    assert!(one.protect_rtp(&mut rtp(5)).is_none());
    assert!(one.protect_rtp(&mut rtp(4)).is_some());
}

#[test]
fn new_keys_take_over_and_an_unchanged_direction_goes_on() {
    let suite = SrtpSuite::AesCm128HmacSha1_80;
    let (mut one, mut other) = pair(&suite);
    let first = sealed(&mut one, 10);
    open(&mut other, &first).unwrap();
    let srtp = Srtp { suite: suite.clone(), local: key(&suite, 50), remote: key(&suite, 99) };
    one.rekey(&srtp).unwrap();
    let second = sealed(&mut one, 11);
    assert_eq!(open(&mut other, &second), Err(Refused::NotAuthentic));
    other.rekey(&Srtp { suite: suite.clone(), local: key(&suite, 99), remote: key(&suite, 50) }).unwrap();
    assert!(open(&mut other, &second).is_ok());
    assert_eq!(open(&mut other, &first), Err(Refused::NotAuthentic));
    // A key that does not fit changes nothing.
    assert!(other.rekey(&Srtp { suite, local: SrtpKey(vec![1; 3]), remote: SrtpKey(vec![]) }).is_none());
    assert!(open(&mut other, &sealed(&mut one, 12)).is_ok());
}

#[test]
fn keys_are_in_no_debug_output() {
    let (one, _) = pair(&SrtpSuite::AeadAes256Gcm);
    let text = format!("{one:?}");
    assert!(text.contains("SrtpKey(44 octets)") && text.contains("Keys") && !text.contains("[1, 8"), "{text}");
}
