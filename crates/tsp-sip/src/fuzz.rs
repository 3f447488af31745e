//! Entry points for a fuzzer: whatever the bytes are, none of these panics.

use crate::message::{Uri, check, scan, vocabulary};
use crate::sdp::{Sdp, Session};
use crate::{Config, LineConfig, PORT, Sip, Timers, Transports};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tapi::Time;
use tspi::media::Codec;
use tspi::{Format, Input, LocalRtp, Provider, StreamId};

/// Reads a datagram every way there is, and feeds it to a provider that takes everybody for a peer.
pub fn datagram(bytes: &[u8]) {
    if let Ok(message) = scan(bytes) {
        let _ = check(&message);
        let _ = (message.summary(), message.via(), message.contact(), message.to_tag(), message.from_tag());
        let _ = (vocabulary::request(&message), vocabulary::response(&message));
        for header in &message.headers {
            let _ = std::str::from_utf8(&header.value).map(Uri::parse);
        }
    }
    let from = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5060);
    let mut sip = Sip::new(config(), [7; 32]);
    let mut now = Time::ZERO;
    sip.handle(now, Input::Timeout);
    sip.handle(now, Input::Datagram { port: PORT, from, bytes });
    for _ in 0..64 {
        while sip.poll_output().is_some() {}
        let Some(at) = sip.poll_timeout() else {
            break;
        };
        now = now.max(at);
        sip.handle(now, Input::Timeout);
    }
}

/// Reads a stream in portions, and a datagram of the name and address machines.
pub fn stream(bytes: &[u8]) {
    let _ = crate::transport::stun::read(bytes);
    let from = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 40_000);
    let local = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5062);
    for size in [1, 61, 4_096] {
        let mut sip = Sip::new(config(), [7; 32]);
        let port = tspi::PortId::ACCEPTED;
        sip.handle(Time::ZERO, Input::Timeout);
        sip.handle(Time::ZERO, Input::Accepted { listener: crate::TCP_PORT, port, local, from, names: &[] });
        for portion in bytes.chunks(size).take(if size == 1 { 8_192 } else { usize::MAX }) {
            sip.handle(Time::ZERO, Input::Bytes { port, bytes: portion });
            while sip.poll_output().is_some() {}
        }
        sip.handle(Time::ZERO, Input::Closed { port, reason: "over" });
        while sip.poll_output().is_some() {}
    }
}

/// Reads a session description, as offer and as answer.
pub fn sdp(bytes: &[u8]) {
    let _ = Sdp::parse(bytes);
    let policy = crate::CallPolicy { srtp: crate::Protection::Optional, ..crate::CallPolicy::default() };
    let _ = Session::fits(bytes, &policy, true);
    let random = &mut tspi::Random::from_number(1);
    let formats = [(Codec::Pcmu, 0), (Codec::Pcma, 8), (Codec::TelephoneEvent, 101)]
        .map(|(codec, payload_type)| Format { codec, payload_type });
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let local = LocalRtp { stream: StreamId(1), address, port: 4000, rtcp_port: None, formats: formats.into() };
    let mut session = Session::new(1, local, &policy);
    let _ = session.offer(random);
    let _ = session.accept(bytes);
    if let Ok((answer, _)) = session.answer(bytes, random) {
        let _ = Sdp::parse(&answer);
    }
}

fn config() -> Config {
    let line = LineConfig {
        name: "sip:fuzz".into(),
        description: String::new(),
        user: "100".into(),
        domain: "127.0.0.1".into(),
        peers: vec!["0.0.0.0/0".into(), "::/0".into()],
        proxy: None,
        max_calls: 4,
        ..LineConfig::default()
    };
    let listen = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5062);
    Config {
        name: "fuzz".into(),
        listen,
        user_agent: "tapid".into(),
        timers: Timers::default(),
        transports: Transports::default(),
        lines: vec![line],
    }
}
