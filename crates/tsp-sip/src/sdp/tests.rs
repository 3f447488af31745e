use super::*;
use std::net::IpAddr;
use tspi::media::Codec;
use tspi::{Format, LocalRtp, StreamId};

fn local() -> LocalRtp {
    let formats = [(Codec::Pcma, 8), (Codec::Pcmu, 0), (Codec::TelephoneEvent, 101)]
        .map(|(codec, payload_type)| Format { codec, payload_type });
    let address = IpAddr::from([192, 0, 2, 1]);
    LocalRtp { stream: StreamId(1), address, port: 4000, rtcp_port: None, formats: formats.into() }
}

fn sdp(lines: &str) -> Vec<u8> {
    format!("v=0\no=- 1 1 IN IP4 192.0.2.7\ns=-\nc=IN IP4 192.0.2.7\nt=0 0\n{lines}").replace('\n', "\r\n").into_bytes()
}

fn answer(lines: &str) -> (String, Agreed) {
    let (text, agreed) = Session::new(5, local()).answer(&sdp(lines)).unwrap();
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
    let mut session = Session::new(5, local());
    session.offer();
    let agreed = session.accept(&sdp("m=audio 7000 RTP/AVP 8 96\na=rtpmap:96 telephone-event/8000\n")).unwrap();
    assert_eq!(agreed.remote.events, Some(96), "what we send is numbered as they do");
    assert!(agreed.remote.receive.iter().any(|format| format.payload_type == 101), "what we receive as we do");
    // A number that was given to a codec stays with it.
    let mut session = Session::new(5, local());
    session.answer(&sdp("m=audio 7000 RTP/AVP 8 96\na=rtpmap:96 telephone-event/8000\n")).unwrap();
    let offer = String::from_utf8(session.offer()).unwrap();
    assert!(offer.contains("m=audio 4000 RTP/AVP 8 0 96\r\n"), "{offer}");
}

#[test]
fn the_version_rises_with_a_change_and_only_then() {
    let origin = |text: &[u8]| {
        let sdp = Sdp::parse(text).unwrap();
        (sdp.origin.0.to_owned(), sdp.origin.1.parse::<u64>().unwrap())
    };
    let mut session = Session::new(5, local());
    let (id, first) = origin(&session.answer(&sdp(AUDIO)).unwrap().0);
    assert_eq!(origin(&session.answer(&sdp(AUDIO)).unwrap().0), (id.clone(), first));
    assert_eq!(origin(&session.answer(&sdp(&format!("{AUDIO}a=sendonly\n"))).unwrap().0), (id.clone(), first + 1));
    session.set_hold(true);
    assert_eq!(origin(&session.offer()), (id, first + 2));
}

#[test]
fn what_does_not_fit_is_named_and_changes_nothing() {
    for (lines, misfit) in [
        ("", Misfit::NoAudio),
        ("m=audio 0 RTP/AVP 0\n", Misfit::NoAudio),
        ("m=audio 7000 RTP/SAVP 0\n", Misfit::NoAudio),
        ("m=audio 7000 RTP/AVP 18 101\na=rtpmap:101 telephone-event/8000\n", Misfit::NoCodec),
        ("m=audio 7000 RTP/AVP 97\na=rtpmap:97 PCMU/16000\n", Misfit::NoCodec),
        ("m=audio 7000 RTP/AVP 0\nc=IN IP4 media.example.org\n", Misfit::NoAddress),
        ("m=audio 7000 RTP/AVP 0\nc=IN IP4 224.2.1.1/127\n", Misfit::NoAddress),
    ] {
        let mut session = Session::new(5, local());
        session.answer(&sdp(AUDIO)).unwrap();
        let before = session.clone();
        assert_eq!(session.answer(&sdp(lines)).unwrap_err(), misfit, "{lines}");
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
    let mut session = Session::new(5, local());
    session.answer(&sdp(&format!("{AUDIO}a=sendonly\n"))).unwrap();
    session.set_hold(true);
    assert!(String::from_utf8(session.offer()).unwrap().contains("a=inactive\r\n"));
}

#[test]
fn a_packet_time_that_is_asked_for_hinders_nothing() {
    for ptime in ["10", "30", "40", "0", "-1", "99999999999", "x"] {
        let (text, agreed) = answer(&format!("{AUDIO}a=ptime:{ptime}\na=maxptime:150\n"));
        assert_eq!(agreed.remote.ptime_ms, 20, "what the media provider sends");
        assert!(text.contains("a=ptime:20\r\n"), "and what is announced: {text}");
    }
}
