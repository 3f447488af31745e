use super::*;
use crate::{CallPolicy, Protection};
use std::net::IpAddr;
use tspi::media::Codec;
use tspi::media::{Rtcp, SrtpSuite};
use tspi::{Format, LocalRtp, Random, StreamId};

fn local() -> LocalRtp {
    let formats = [(Codec::Pcma, 8), (Codec::Pcmu, 0), (Codec::TelephoneEvent, 101)]
        .map(|(codec, payload_type)| Format { codec, payload_type });
    let address = IpAddr::from([192, 0, 2, 1]);
    LocalRtp { stream: StreamId(1), address, port: 4000, rtcp_port: None, formats: formats.into() }
}

fn fresh() -> Session {
    Session::new(5, local(), &CallPolicy::default())
}

fn chance() -> Random {
    Random::from_number(3)
}

fn sdp(lines: &str) -> Vec<u8> {
    format!("v=0\no=- 1 1 IN IP4 192.0.2.7\ns=-\nc=IN IP4 192.0.2.7\nt=0 0\n{lines}").replace('\n', "\r\n").into_bytes()
}

fn answer(lines: &str) -> (String, Agreed) {
    let (text, agreed) = fresh().answer(&sdp(lines), &mut chance()).unwrap();
    (String::from_utf8(text).unwrap(), agreed)
}

const AUDIO: &str = "m=audio 7000 RTP/AVP 0 8\n";

#[test]
fn sections_keep_their_number_and_order_and_what_is_not_audio_gets_port_0() {
    let (text, agreed) = answer(
        "m=video 9000 RTP/AVP 99\na=rtpmap:99 H264/90000\nm=audio 7000 RTP/AVP 9 0 96\na=rtpmap:96 telephone-event/8000\n\
         m=application 9 UDP/DTLS/SCTP webrtc-datachannel\nm=audio 7002 RTP/AVP 0\n",
    );
    let sections: Vec<&str> = text.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(
        sections,
        [
            "m=video 0 RTP/AVP 99",
            "m=audio 4000 RTP/AVP 0 96",
            "m=application 0 UDP/DTLS/SCTP webrtc-datachannel",
            "m=audio 0 RTP/AVP 0"
        ]
    );
    assert_eq!(agreed.remote.address, "192.0.2.7:7000".parse().unwrap());
    assert_eq!((agreed.remote.send.payload_type, agreed.remote.events), (0, Some(96)));
}

#[test]
fn directions_are_mirrored() {
    for (theirs, ours, held) in [
        ("sendrecv", Direction::SendRecv, false),
        ("sendonly", Direction::RecvOnly, true),
        ("recvonly", Direction::SendOnly, false),
        ("inactive", Direction::Inactive, true),
    ] {
        let (text, agreed) = answer(&format!("{AUDIO}a={theirs}\n"));
        assert_eq!((agreed.remote.direction, agreed.held_by_peer), (ours, held), "{theirs}");
        assert!(text.contains(&format!("a={}\r\n", ours.name())), "{text}");
        let (_, agreed) = answer(&format!("a={theirs}\n{AUDIO}"));
        assert_eq!(agreed.remote.direction, ours, "a direction of the session");
    }
    let (_, agreed) = answer("m=audio 7000 RTP/AVP 0\nc=IN IP4 0.0.0.0\n");
    assert_eq!((agreed.remote.direction, agreed.held_by_peer), (Direction::RecvOnly, true), "the hold of RFC 2543");
}

#[test]
fn each_direction_has_its_own_payload_types() {
    let mut session = fresh();
    session.offer(&mut chance());
    let agreed = session.accept(&sdp("m=audio 7000 RTP/AVP 8 96\na=rtpmap:96 telephone-event/8000\n")).unwrap();
    assert_eq!(agreed.remote.events, Some(96), "what we send is numbered as they do");
    assert!(agreed.remote.receive.iter().any(|format| format.payload_type == 101), "what we receive as we do");
    // A number that was given to a codec stays with it.
    let mut session = fresh();
    session.answer(&sdp("m=audio 7000 RTP/AVP 8 96\na=rtpmap:96 telephone-event/8000\n"), &mut chance()).unwrap();
    let offer = String::from_utf8(session.offer(&mut chance())).unwrap();
    assert!(offer.contains("m=audio 4000 RTP/AVP 8 0 96\r\n"), "{offer}");
}

#[test]
fn the_version_rises_with_a_change_and_only_then() {
    let origin = |text: &[u8]| {
        let sdp = Sdp::parse(text).unwrap();
        (sdp.origin.0.to_owned(), sdp.origin.1.parse::<u64>().unwrap())
    };
    let mut session = fresh();
    let (id, first) = origin(&session.answer(&sdp(AUDIO), &mut chance()).unwrap().0);
    assert_eq!(origin(&session.answer(&sdp(AUDIO), &mut chance()).unwrap().0), (id.clone(), first));
    assert_eq!(
        origin(&session.answer(&sdp(&format!("{AUDIO}a=sendonly\n")), &mut chance()).unwrap().0),
        (id.clone(), first + 1)
    );
    session.set_hold(true);
    assert_eq!(origin(&session.offer(&mut chance())), (id, first + 2));
}

#[test]
fn what_does_not_fit_is_named_and_changes_nothing() {
    for (lines, misfit) in [
        ("", Misfit::NoAudio),
        ("m=audio 0 RTP/AVP 0\n", Misfit::NoAudio),
        ("m=audio 7000 RTP/SAVP 0\n", Misfit::Protected),
        ("m=audio 7000 RTP/AVP 18 101\na=rtpmap:101 telephone-event/8000\n", Misfit::NoCodec),
        ("m=audio 7000 RTP/AVP 97\na=rtpmap:97 PCMU/16000\n", Misfit::NoCodec),
        ("m=audio 7000 RTP/AVP 0\nc=IN IP4 media.example.org\n", Misfit::NoAddress),
        ("m=audio 7000 RTP/AVP 0\nc=IN IP4 224.2.1.1/127\n", Misfit::NoAddress),
    ] {
        let mut session = fresh();
        session.answer(&sdp(AUDIO), &mut chance()).unwrap();
        let before = session.clone();
        assert_eq!(session.answer(&sdp(lines), &mut chance()).unwrap_err(), misfit, "{lines}");
        assert_eq!(session, before);
    }
}

#[test]
fn the_reader_is_tolerant_and_bounded() {
    let text = b"v=0\no=- 1 1 IN IP6 ::1\ns=\xff\nc=IN IP6 2001:db8::1\nt=0 0\nx=?\njunk\nm=audio 7000/2 RTP/AVP 0\na=RTPMAP\n";
    let read = Sdp::parse(text).unwrap();
    assert_eq!(read.connection, Some(Connection::Address("2001:db8::1".parse().unwrap())));
    assert_eq!(read.media[0].port, 7000);
    assert_eq!(Sdp::parse(b"o=- 1 1 IN IP4 1.2.3.4\n"), Err(SdpError::NoVersion));
    assert_eq!(Sdp::parse(&sdp("m=audio x RTP/AVP 0\n")), Err(SdpError::Line('m')));
    assert_eq!(Sdp::parse(&sdp(&AUDIO.repeat(MAX_MEDIA + 1))), Err(SdpError::TooLarge));
    assert_eq!(Sdp::parse(&sdp(&format!("{AUDIO}{}", "a=x\n".repeat(300)))), Err(SdpError::TooLarge));
    assert_eq!(Sdp::parse(&vec![b'v'; MAX_BYTES + 1]), Err(SdpError::TooLarge));
}

#[test]
fn holding_a_session_that_is_held_makes_it_inactive() {
    let mut session = fresh();
    session.answer(&sdp(&format!("{AUDIO}a=sendonly\n")), &mut chance()).unwrap();
    session.set_hold(true);
    assert!(String::from_utf8(session.offer(&mut chance())).unwrap().contains("a=inactive\r\n"));
}

#[test]
fn the_packet_time_that_is_asked_for_is_sent_within_bounds() {
    for (lines, millis) in [
        ("a=ptime:10\n", 10),
        ("a=ptime:30\n", 30),
        ("a=ptime:40\na=maxptime:30\n", 30),
        ("a=ptime:25\n", 20),
        ("a=ptime:200\n", 60),
        ("a=maxptime:10\n", 10),
        ("a=ptime:0\n", 20),
        ("a=ptime:-1\n", 20),
        ("a=ptime:99999999999\n", 20),
        ("a=ptime:x\na=maxptime:0\n", 20),
    ] {
        let (text, agreed) = answer(&format!("{AUDIO}{lines}"));
        assert_eq!(agreed.remote.ptime_ms, millis, "{lines}");
        assert!(text.contains("a=ptime:20\r\n"), "what we want to receive: {text}");
    }
    let policy = CallPolicy { ptime_ms: 40, ..CallPolicy::default() };
    let mut session = Session::new(5, local(), &policy);
    assert!(String::from_utf8(session.offer(&mut chance())).unwrap().contains("a=ptime:40\r\n"));
}

fn wide() -> LocalRtp {
    let formats = [
        (Codec::Opus, 96),
        (Codec::G722, 9),
        (Codec::Pcma, 8),
        (Codec::Pcmu, 0),
        (Codec::ComfortNoise, 13),
        (Codec::TelephoneEvent, 101),
        (Codec::TelephoneEvent48, 102),
    ];
    LocalRtp { formats: formats.map(|(codec, payload_type)| Format { codec, payload_type }).into(), ..local() }
}

#[test]
fn wide_codecs_noise_and_events_are_described_and_agreed() {
    let mut session = Session::new(5, wide(), &CallPolicy::default());
    let offer = String::from_utf8(session.offer(&mut chance())).unwrap();
    for line in [
        "m=audio 4000 RTP/AVP 96 9 8 0 13 101 102",
        "a=rtpmap:96 opus/48000/2",
        "a=fmtp:96 useinbandfec=1",
        "a=rtpmap:9 G722/8000",
        "a=rtpmap:13 CN/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=rtpmap:102 telephone-event/48000",
        "a=fmtp:102 0-15",
        "a=rtcp-mux",
    ] {
        assert!(offer.lines().any(|known| known == line), "{line} in {offer}");
    }
    let opus = "m=audio 7000 RTP/AVP 111 13 110 126\na=rtpmap:111 opus/48000/2\na=fmtp:111 stereo=1\n\
                a=rtpmap:110 telephone-event/48000\na=fmtp:110 0-16\na=rtpmap:126 telephone-event/8000\n";
    let agreed = session.accept(&sdp(opus)).unwrap().remote;
    assert_eq!((agreed.send.codec.clone(), agreed.send.payload_type), (Codec::Opus, 111));
    assert_eq!((agreed.events, agreed.comfort_noise), (Some(110), Some(13)));
    let g722 = "m=audio 7000 RTP/AVP 9 126\na=rtpmap:126 telephone-event/8000\na=fmtp:126 0-16\n";
    let agreed = session.accept(&sdp(g722)).unwrap().remote;
    assert_eq!((agreed.send.codec, agreed.events, agreed.comfort_noise), (Codec::G722, Some(126), None));
    let mono = "m=audio 7000 RTP/AVP 111\na=rtpmap:111 opus/48000\n";
    assert_eq!(session.accept(&sdp(mono)).unwrap_err(), Misfit::NoCodec, "Opus has two channels in SDP");
    let flash = "m=audio 7000 RTP/AVP 8 101\na=rtpmap:101 telephone-event/8000\na=fmtp:101 16\n";
    assert_eq!(session.accept(&sdp(flash)).unwrap().remote.events, None, "events that are no digits");
}

#[test]
fn a_line_has_its_codecs_in_its_order() {
    let policy = CallPolicy { codecs: vec![Codec::Pcmu, Codec::G722], ..CallPolicy::default() };
    let mut session = Session::new(5, wide(), &policy);
    let offer = String::from_utf8(session.offer(&mut chance())).unwrap();
    assert!(offer.contains("m=audio 4000 RTP/AVP 0 9 13 101 102\r\n"), "{offer}");
    assert_eq!(session.accept(&sdp("m=audio 7000 RTP/AVP 8\n")).unwrap_err(), Misfit::NoCodec);
    assert_eq!(Session::fits(&sdp("m=audio 7000 RTP/AVP 8\n"), &policy, true), Err(Misfit::NoCodec));
}

#[test]
fn a_payload_type_is_never_given_to_another_codec() {
    let mut session = Session::new(5, wide(), &CallPolicy::default());
    let theirs = "m=audio 7000 RTP/AVP 101 96\na=rtpmap:101 opus/48000/2\na=rtpmap:96 telephone-event/8000\n";
    session.answer(&sdp(theirs), &mut chance()).unwrap();
    let offer = String::from_utf8(session.offer(&mut chance())).unwrap();
    let numbers: Vec<&str> = offer.lines().find(|line| line.starts_with("m=")).unwrap().split(' ').skip(3).collect();
    let distinct: std::collections::BTreeSet<&&str> = numbers.iter().collect();
    assert_eq!(distinct.len(), 7, "{offer}");
    assert!(
        offer.contains("a=rtpmap:101 opus/48000/2") && offer.contains("a=rtpmap:96 telephone-event/8000"),
        "{offer}"
    );
}

#[test]
fn reports_go_where_both_sides_say() {
    let apart = || LocalRtp { rtcp_port: Some(4001), ..local() };
    let agreed = |local: LocalRtp, lines: &str| {
        let mut session = Session::new(5, local, &CallPolicy::default());
        let (text, agreed) = session.answer(&sdp(&format!("{AUDIO}{lines}")), &mut chance()).unwrap();
        (String::from_utf8(text).unwrap().contains("a=rtcp-mux"), agreed.remote.rtcp)
    };
    let at = |text: &str| Rtcp::Apart(text.parse().unwrap());
    assert_eq!(agreed(apart(), ""), (false, at("192.0.2.7:7001")));
    assert_eq!(agreed(apart(), "a=rtcp:7777\n"), (false, at("192.0.2.7:7777")));
    assert_eq!(agreed(apart(), "a=rtcp:7777 IN IP4 192.0.2.8\n"), (false, at("192.0.2.8:7777")));
    assert_eq!(agreed(apart(), "a=rtcp:0\n"), (false, at("192.0.2.7:7001")));
    assert_eq!(agreed(apart(), "a=rtcp-mux\n"), (true, Rtcp::Mux));
    assert_eq!(agreed(local(), ""), (false, Rtcp::None));
    let mut session = Session::new(5, LocalRtp { rtcp_port: Some(4100), ..local() }, &CallPolicy::default());
    let offer = String::from_utf8(session.offer(&mut chance())).unwrap();
    assert!(offer.contains("a=rtcp:4100\r\na=rtcp-mux\r\n"), "{offer}");
    assert_eq!(session.accept(&sdp(AUDIO)).unwrap().remote.rtcp, at("192.0.2.7:7001"), "not in the answer");
    assert_eq!(session.accept(&sdp(&format!("{AUDIO}a=rtcp-mux\n"))).unwrap().remote.rtcp, Rtcp::Mux);
    let clash = "m=audio 7000 RTP/AVP 72 0\na=rtpmap:72 PCMA/8000\na=rtcp-mux\n";
    assert_eq!(session.accept(&sdp(clash)).unwrap().remote.send.payload_type, 0, "72 would be taken for a report");
}

const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

fn secured(policy: Protection) -> Session {
    Session::new(5, local(), &CallPolicy { srtp: policy, ..CallPolicy::default() })
}

#[test]
fn an_answer_echoes_the_tag_with_a_key_of_its_own_and_a_new_key_makes_a_new_one() {
    let offer = |key: &str| {
        sdp(&format!(
            "m=audio 7000 RTP/SAVP 0\na=crypto:0 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\n\
             a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:x\na=crypto:7 AES_CM_128_HMAC_SHA1_32 inline:{key}\n\
             a=crypto:8 AES_CM_128_HMAC_SHA1_80 inline:{key}\n"
        ))
    };
    let mut session = secured(Protection::Optional);
    let random = &mut chance();
    let (text, agreed) = session.answer(&offer(KEY), random).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(
        text.contains("m=audio 4000 RTP/SAVP 0\r\n") && text.contains("a=crypto:7 AES_CM_128_HMAC_SHA1_32 inline:")
    );
    assert!(!text.contains(KEY) && text.matches("a=crypto").count() == 1, "{text}");
    let first = agreed.remote.srtp.unwrap();
    assert_eq!(first.suite, SrtpSuite::AesCm128HmacSha1_32);
    assert_ne!(first.local, first.remote);
    let (again, agreed) = session.answer(&offer(KEY), random).unwrap();
    assert_eq!((String::from_utf8(again).unwrap(), agreed.remote.srtp.unwrap()), (text, first.clone()), "no change");
    let other = KEY.replace('W', "X");
    let second = session.answer(&offer(&other), random).unwrap().1.remote.srtp.unwrap();
    assert!(second.local != first.local && second.remote != first.remote, "a new key on each side");
    assert!(!format!("{second:?}").contains("inline"), "keys are not printed");
}

#[test]
fn a_key_in_an_answer_must_be_of_a_tag_that_we_offered() {
    let random = &mut chance();
    let mut session = secured(Protection::Required);
    let offer = String::from_utf8(session.offer(random)).unwrap();
    assert!(offer.contains("RTP/SAVP") && offer.contains("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:"), "{offer}");
    let answer =
        |tag: u32, suite: &str| sdp(&format!("m=audio 7000 RTP/SAVP 0\na=crypto:{tag} {suite} inline:{KEY}\n"));
    for (tag, suite) in [(9, "AES_CM_128_HMAC_SHA1_80"), (1, "AES_CM_128_HMAC_SHA1_32")] {
        assert_eq!(session.accept(&answer(tag, suite)).unwrap_err(), Misfit::NotProtected);
    }
    assert_eq!(session.accept(&sdp(AUDIO)).unwrap_err(), Misfit::NotProtected, "no way back to plain audio");
    let agreed = session.accept(&answer(2, "AES_CM_128_HMAC_SHA1_32")).unwrap().remote.srtp.unwrap();
    let offer = String::from_utf8(session.offer(random)).unwrap();
    assert_eq!(offer.matches("a=crypto").count(), 1, "the key in use stays: {offer}");
    assert!(offer.contains("a=crypto:2 "));
    assert_eq!(session.accept(&answer(2, "AES_CM_128_HMAC_SHA1_32")).unwrap().remote.srtp.unwrap(), agreed);
}

#[test]
fn protection_follows_the_lines_policy() {
    let plain = "m=audio 7002 RTP/AVP 0\n".to_owned();
    let safe = format!("m=audio 7000 RTP/SAVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\n");
    let best_effort = safe.replace("SAVP", "AVP");
    let broken = safe.replace("inline:", "inline:!");
    use Protection::{Off, Optional, Required};
    for (policy, offer, outcome) in [
        (Off, plain.clone(), Ok((7002, false))),
        (Off, safe.clone(), Err(Misfit::Protected)),
        (Off, best_effort.clone(), Ok((7000, false))),
        (Off, format!("{safe}{plain}"), Ok((7002, false))),
        (Optional, plain.clone(), Ok((7002, false))),
        (Optional, safe.clone(), Ok((7000, true))),
        (Optional, best_effort.clone(), Ok((7000, true))),
        (Optional, format!("{plain}{safe}"), Ok((7000, true))),
        (Optional, broken.clone(), Err(Misfit::NotProtected)),
        (Required, plain.clone(), Err(Misfit::NotProtected)),
        (Required, broken, Err(Misfit::NotProtected)),
        (Required, format!("{plain}{safe}"), Ok((7000, true))),
        (Required, best_effort, Ok((7000, true))),
    ] {
        let mut session = secured(policy);
        let outcome_seen = session
            .answer(&sdp(&offer), &mut chance())
            .map(|(_, agreed)| (agreed.remote.address.port(), agreed.remote.srtp.is_some()));
        assert_eq!(outcome_seen, outcome, "{policy:?} {offer}");
    }
    let mut session = secured(Required);
    session.answer(&sdp(&safe), &mut chance()).unwrap();
    let before = session.clone();
    assert_eq!(session.answer(&sdp(&plain), &mut chance()).unwrap_err(), Misfit::NotProtected);
    assert_eq!(session, before, "a downgrade changes nothing");
}

#[test]
fn families_do_not_mix() {
    let six = "m=audio 7000 RTP/AVP 0\nc=IN IP6 2001:db8::7\n";
    assert_eq!(fresh().answer(&sdp(six), &mut chance()).unwrap_err(), Misfit::NoAddress);
    let both = format!("{six}m=audio 7002 RTP/AVP 0\n");
    let (text, agreed) = answer(&both);
    assert_eq!(agreed.remote.address, "192.0.2.7:7002".parse().unwrap());
    assert!(text.contains("m=audio 0 RTP/AVP 0\r\nm=audio 4000 RTP/AVP 0\r\n"), "{text}");
    let address = "2001:db8::1".parse().unwrap();
    let mut session = Session::new(5, LocalRtp { address, ..local() }, &CallPolicy::default());
    let (text, agreed) = session.answer(&sdp(six), &mut chance()).unwrap();
    assert_eq!(agreed.remote.address, "[2001:db8::7]:7000".parse().unwrap());
    assert!(String::from_utf8(text).unwrap().contains("c=IN IP6 2001:db8::1\r\n"));
}

#[test]
fn a_refused_version_is_not_used_for_something_else() {
    let mut session = fresh();
    session.offer(&mut chance());
    session.accept(&sdp(AUDIO)).unwrap();
    let mut proposed = session.clone();
    proposed.set_hold(true);
    let version = |text: &[u8]| Sdp::parse(text).unwrap().origin.1.parse::<u64>().unwrap();
    assert_eq!(version(&proposed.offer(&mut chance())), 2);
    session.burn(&proposed);
    assert_eq!(version(&session.again()), 1, "what stands is described as before");
    session.answer(&sdp(AUDIO), &mut chance()).unwrap();
    assert_eq!(version(&session.again()), 3);
}
