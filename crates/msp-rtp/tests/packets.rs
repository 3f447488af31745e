//! Packet times across a bridge, bounds of playout, and the country whose tones are heard.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{Far, Node, address, remote};
use msp_rtp::g711::Law;
use msp_rtp::tone::Tone;
use tapi::ProgressTone;
use tspi::media::{Codec, Command, Event, Frame, StreamId};

/// The payload lengths that stream 2 sent while stream 1 got packets of `millis`, where its far end asked for `wished`.
fn bridged(millis: usize, wished: u32) -> (Vec<usize>, u64) {
    let mut node = Node::new(1);
    node.open(1, remote(11, &Codec::Pcma));
    let mut other = remote(12, &Codec::Pcma);
    other.ptime_ms = wished;
    node.open(2, other);
    node.join(1, 2);
    let mut far = Far::new(&Codec::Pcma);
    for n in 0..1200 / millis {
        let payload: Vec<u8> = (0..millis * 8).map(|octet| (octet * 7 + n) as u8).collect();
        node.packet(1, address(11), &far.packet(&payload));
        node.run(millis as u64);
    }
    // The first ones, before the length is known, and the packet of silence before all.
    let lengths = node.sent_by(2).iter().skip(2).map(|sent| sent.rtp().payload().len()).collect();
    (lengths, node.msp.counters().relayed)
}

#[test]
fn a_bridge_passes_packets_on_that_are_not_too_long_and_splits_others() {
    let (lengths, relayed) = bridged(20, 20);
    assert!(lengths.iter().all(|length| *length == 160) && relayed == 60, "{relayed}: {lengths:?}");
    let (lengths, relayed) = bridged(20, 60);
    assert!(lengths.iter().all(|length| *length == 160) && relayed == 60, "shorter ones are as good");
    for (wished, payload) in [(20, 160), (30, 240), (10, 80)] {
        let (lengths, relayed) = bridged(60, wished);
        assert_eq!(relayed, 0, "wished for {wished} ms");
        assert!(lengths.iter().all(|length| *length == payload), "wished for {wished} ms: {lengths:?}");
        let heard = lengths.len() * payload;
        assert!((8_000..=9_600).contains(&heard), "wished for {wished} ms: {heard} samples of 9600");
    }
}

#[test]
fn the_least_delay_of_playout_is_what_was_set() {
    for least in [20, 60, 100] {
        let mut node = Node::new(1);
        node.msp.set_playout(least, 200);
        node.open(1, remote(11, &Codec::Pcma));
        node.open(2, remote(12, &Codec::Pcmu));
        node.command(Command::Mix { stream: StreamId(1), mixer: tspi::media::MixerId(1) });
        node.command(Command::Mix { stream: StreamId(2), mixer: tspi::media::MixerId(1) });
        let mut far = Far::new(&Codec::Pcma);
        let begin = node.now;
        let loud = Law::A.encode_frame(&Frame([8000; 160]));
        let mut heard = None;
        while heard.is_none() {
            node.packet(1, address(11), &far.packet(&loud));
            node.run(20);
            assert!(node.now.since(begin).as_millis() < 1000);
            let spoken = |sent: &&common::Sent| Law::Mu.decode(sent.rtp().payload()[80]).unsigned_abs() > 1000;
            heard = node.sent_by(2).into_iter().find(spoken).map(|sent| sent.at);
        }
        let delay = heard.unwrap().since(begin).as_millis();
        assert!((u128::from(least)..=u128::from(least) + 20).contains(&delay), "{least} ms: {delay} ms");
    }
}

#[test]
fn tones_of_another_country_are_not_taken_for_ours() {
    let heard = |country: Option<&str>| {
        let mut node = Node::new(1);
        node.open(1, remote(11, &Codec::Pcma));
        let country = country.map(str::to_owned);
        node.command(Command::Detect { stream: StreamId(1), digits: false, progress: true, country });
        // Busy in Germany: 425 Hz, 480 ms on and off. In North America it is 480 and 620 Hz.
        let (mut far, mut tone) = (Far::new(&Codec::Pcma), Tone::new(&[(425, -10.0)]).unwrap());
        for n in 0..250 {
            let frame = if n / 24 % 2 == 0 { tone.frame() } else { Frame::SILENCE };
            node.packet(1, address(11), &far.packet(&Law::A.encode_frame(&frame)));
            node.run(20);
        }
        node.events.iter().any(|event| matches!(event, Event::Progress { tone: ProgressTone::Busy, .. }))
    };
    assert!(heard(Some("de")));
    assert!(!heard(Some("us")));
}
