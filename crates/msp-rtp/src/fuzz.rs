//! Entry points for mutation.

use crate::Msp;
use crate::rtcp::Reports;
use crate::srtp::Protection;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tapi::Time;
use tspi::Random;
use tspi::media::{
    Codec, Command, Direction, Format, Input, LocalMedia, LocalRtp, MediaProvider, Packet, RemoteMedia, RemoteRtp,
    Rtcp, Srtp, SrtpKey, SrtpSuite, StreamId,
};

/// Feeds a connected, measured and bridged stream with datagrams cut out of `bytes`: an octet of length, then so many.
/// Must not panic.
pub fn rtp(bytes: &[u8]) {
    let from = SocketAddr::from((Ipv4Addr::LOCALHOST, 4000));
    let mut msp = Msp::new([0; 32]);
    let mut now = Time::from_millis(20);
    for (number, law) in [(1, Codec::Pcmu), (2, Codec::Pcma)] {
        for command in opened(StreamId(number), law, from) {
            msp.handle(now, Input::Command(command));
        }
    }
    msp.handle(now, Input::Command(Command::Join { a: StreamId(1), b: StreamId(2) }));
    msp.handle(now, Input::Command(Command::MonitorTones { stream: StreamId(1), hz: vec![425] }));
    let mut rest = bytes;
    while let Some((length, after)) = rest.split_first() {
        let (datagram, after) = after.split_at(after.len().min(usize::from(*length)));
        rest = after;
        msp.handle(now, Input::Packet { stream: StreamId(1 + u64::from(length & 1)), from, bytes: datagram });
        now += Duration::from_millis(u64::from(length & 0x1f));
        msp.handle(now, Input::Timeout);
        while msp.poll_output().is_some() {}
    }
}

/// Feeds a stream's RTCP port, in the clear and protected, and what reads reports. Must not panic.
pub fn rtcp(bytes: &[u8]) {
    let mut random = Random::from_number(1);
    let mut reports = Reports::new(&mut random);
    let _ = reports.take(Time::from_millis(20), 0x0102_0304, None, bytes);
    let from = SocketAddr::from((Ipv4Addr::LOCALHOST, 4001));
    let mut msp = Msp::new([0; 32]);
    let mut now = Time::from_millis(20);
    for (number, srtp) in [(1, None), (2, Some(keys()))] {
        for mut command in opened(StreamId(number), Codec::Pcmu, from) {
            if let Command::Connect { remote: RemoteMedia::Rtp(remote), .. } = &mut command {
                remote.rtcp = Rtcp::Apart(from);
                remote.srtp = srtp.clone();
            }
            msp.handle(now, Input::Command(command));
        }
    }
    for stream in [StreamId(1), StreamId(2)] {
        msp.handle(now, Input::Control { stream, from, bytes });
        msp.handle(now, Input::Packet { stream, from, bytes });
    }
    for _ in 0..3 {
        now += Duration::from_secs(5);
        msp.handle(now, Input::Timeout);
        while msp.poll_output().is_some() {}
    }
}

/// Feeds what opens SRTP and SRTCP, as the octets come and as a packet that is authentic. Must not panic, and must give
/// back what was protected.
pub fn srtp(bytes: &[u8]) {
    let agreed = keys();
    let mirrored = Srtp { suite: agreed.suite.clone(), local: agreed.remote.clone(), remote: agreed.local.clone() };
    let (Some(mut one), Some(mut other)) = (Protection::new(&agreed), Protection::new(&mirrored)) else { return };
    let _ = other.unprotect_rtp(&mut bytes.to_vec());
    let _ = other.unprotect_rtcp(&mut bytes.to_vec());
    let plain = bytes.get(..bytes.len().min(480)).unwrap_or_default();
    if let Some(mut packet) = Packet::copy_of(plain)
        && one.protect_rtp(&mut packet).is_some()
    {
        let mut opened = packet.as_slice().to_vec();
        let length = other.unprotect_rtp(&mut opened);
        assert_eq!(length.ok().and_then(|length| opened.get(..length)), Some(plain));
    }
    if let Some(mut packet) = Packet::copy_of(plain)
        && one.protect_rtcp(&mut packet).is_some()
    {
        let mut opened = packet.as_slice().to_vec();
        let length = other.unprotect_rtcp(&mut opened);
        assert_eq!(length.ok().and_then(|length| opened.get(..length)), Some(plain));
    }
}

fn keys() -> Srtp {
    let suite = SrtpSuite::AesCm128HmacSha1_80;
    Srtp { local: SrtpKey(vec![1; 30]), remote: SrtpKey(vec![2; 30]), suite }
}

fn opened(stream: StreamId, codec: Codec, address: SocketAddr) -> [Command; 2] {
    let event = Format { codec: Codec::TelephoneEvent, payload_type: 101 };
    let formats =
        vec![Format { codec: Codec::Pcmu, payload_type: 0 }, Format { codec: Codec::Pcma, payload_type: 8 }, event];
    let local = LocalRtp { stream, address: address.ip(), port: 5000, rtcp_port: None, formats: formats.clone() };
    let remote = RemoteRtp {
        address,
        send: Format { payload_type: if codec == Codec::Pcmu { 0 } else { 8 }, codec },
        receive: formats,
        events: Some(101),
        direction: Direction::SendRecv,
        ptime_ms: 20,
        rtcp: tspi::Rtcp::None,
        srtp: None,
        comfort_noise: None,
    };
    [Command::Open { local: LocalMedia::Rtp(local) }, Command::Connect { stream, remote: RemoteMedia::Rtp(remote) }]
}
