//! Entry points for mutation.

use crate::Msp;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tapi::Time;
use tspi::media::{
    Codec, Command, Direction, Format, Input, LocalMedia, LocalRtp, MediaProvider, RemoteMedia, RemoteRtp, StreamId,
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
