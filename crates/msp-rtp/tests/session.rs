//! What stands around a stream's packets: reports, protection, who is listened to, packet times, statistics.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{EVENT_TYPE, Far, Node, address, raw, remote};
use msp_rtp::srtp::Protection;
use rtcp_types::prelude::*;
use rtcp_types::{
    Bye, Compound, Packet as Report, ReceiverReport, ReportBlock, Sdes, SdesChunk, SdesItem, SenderReport,
};
use rtp_rs::RtpReader;
use std::net::SocketAddr;
use std::time::Duration;
use tapi::MediaStatistics;
use tspi::media::{
    Codec, Command, Direction, Event, Input, Packet, RemoteMedia, RemoteRtp, Rtcp, Srtp, SrtpKey, SrtpSuite, StreamId,
};

fn control(number: u64) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, number as u8], 4001))
}

fn with_reports(number: u64) -> RemoteRtp {
    RemoteRtp { rtcp: Rtcp::Apart(control(number)), ..remote(number, &Codec::Pcma) }
}

fn statistics(node: &Node) -> Vec<MediaStatistics> {
    let told = |event: &Event| match event {
        Event::Statistics { statistics, .. } => Some((**statistics).clone()),
        _ => None,
    };
    node.events.iter().filter_map(told).collect()
}

fn kinds(bytes: &[u8]) -> Vec<u8> {
    Compound::parse(bytes).unwrap().map(|packet| packet.unwrap().type_()).collect()
}

/// A report of a far end about us, as it would be sent.
fn report_about(ssrc: u32, ours: u32, lost: u32, last: u32) -> Vec<u8> {
    let block = ReportBlock::builder(ours).cumulative_lost(lost).interarrival_jitter(80);
    let block = block.last_sender_report_timestamp(last).delay_since_last_sender_report_timestamp(0);
    let item = SdesItem::builder(SdesItem::CNAME, "abc");
    let mut room = vec![0; 400];
    let length = Compound::builder()
        .add_packet(ReceiverReport::builder(ssrc).add_report_block(block))
        .add_packet(Sdes::builder().add_chunk(SdesChunk::builder(ssrc).add_item(item)))
        .write_into(&mut room)
        .unwrap();
    room.truncate(length);
    room
}

#[test]
fn reports_go_on_through_hold_and_end_with_bye() {
    let mut node = Node::new(1);
    node.open(1, with_reports(11));
    let mut far = Far::new(&Codec::Pcma);
    for _ in 0..1000 {
        node.packet(1, address(11), &far.packet(&[0xd5; 160]));
        node.run(20);
    }
    let talking = node.reports.len();
    assert!((3..=9).contains(&talking), "{talking} in 20 s");
    assert!(node.reports.iter().all(|sent| sent.to == control(11) && kinds(&sent.bytes) == [200, 202]));
    let held = RemoteRtp { direction: Direction::Inactive, ..with_reports(11) };
    node.command(Command::Connect { stream: StreamId(1), remote: RemoteMedia::Rtp(held) });
    node.run(30_000);
    let on_hold = &node.reports[talking..];
    assert!((4..=14).contains(&on_hold.len()), "{} in 30 s", on_hold.len());
    assert_eq!(kinds(&on_hold.last().unwrap().bytes), [201, 202], "nothing is sent: a receiver report");
    node.command(Command::Close { stream: StreamId(1) });
    assert_eq!(kinds(&node.reports.last().unwrap().bytes).last(), Some(&203));
    assert!(matches!(node.events.last(), Some(Event::Statistics { .. })), "and once more how it fared");
}

#[test]
fn multiplexed_reports_use_the_rtp_port_and_none_are_sent_where_none_were_agreed() {
    let mut node = Node::new(1);
    node.open(1, RemoteRtp { rtcp: Rtcp::Mux, ..remote(11, &Codec::Pcma) });
    node.open(2, remote(12, &Codec::Pcma));
    node.run(20_000);
    assert!(node.reports.is_empty());
    let reports = |number| node.sent_by(number).into_iter().filter(|sent| (192..=223).contains(&sent.bytes[1])).count();
    assert!(reports(1) >= 3);
    assert_eq!(reports(2), 0);
    let ssrc = node.sent_by(1)[0].rtp().ssrc();
    node.packet(1, address(11), &report_about(5, ssrc, 7, 0));
    node.packet(2, address(12), &report_about(5, ssrc, 7, 0));
    node.run(5000);
    let told = statistics(&node);
    assert!(told.iter().any(|one| one.far_lost == Some(7) && one.far_jitter_us == Some(10_000)));
    assert_eq!(node.msp.counters().rtcp, 1, "to the stream that agreed on none");
}

#[test]
fn statistics_tell_loss_duplicates_round_trip_and_an_estimate() {
    let mut node = Node::new(1);
    node.open(1, with_reports(11));
    node.open(2, remote(12, &Codec::Pcmu));
    node.join(1, 2);
    let mut far = Far::new(&Codec::Pcma);
    let mut answered = 0;
    for n in 0..1500u64 {
        let packet = far.packet(&[0x55; 160]);
        if n % 10 != 9 {
            node.packet(1, address(11), &packet);
        }
        if n % 50 == 0 {
            node.packet(1, address(11), &packet);
        }
        node.run(20);
        if let Some(sent) = node.reports.get(answered).cloned() {
            answered += 1;
            let Some(Ok(Report::Sr(report))) = Compound::parse(&sent.bytes).unwrap().next() else { panic!() };
            let middle = (report.ntp_timestamp() >> 16) as u32;
            node.now += Duration::from_millis(60);
            let bytes = report_about(far.ssrc, report.ssrc(), 3, middle);
            node.feed(Input::Control { stream: StreamId(1), from: control(11), bytes: &bytes });
        }
    }
    let all = statistics(&node);
    assert!(all.len() >= 10, "every five seconds, of both");
    let last = all.iter().rfind(|one| one.round_trip_us.is_some()).unwrap();
    assert!((59_000..90_000).contains(&last.round_trip_us.unwrap()), "{last:?}");
    assert!((100..=150).contains(&last.lost) && last.duplicates >= 20 && last.far_lost == Some(3), "{last:?}");
    assert!((250..400).contains(&last.mos_x100.unwrap()), "a tenth is missing: {last:?}");
    assert!(last.buffer_ms >= 40 && last.concealed_ms > 1000, "{last:?}");
}

fn keys(suite: &SrtpSuite, first: u8) -> SrtpKey {
    let (key, salt) = suite.key_and_salt().unwrap();
    SrtpKey(vec![first; key + salt])
}

fn srtp(first: u8) -> Srtp {
    let suite = SrtpSuite::AesCm128HmacSha1_80;
    Srtp { local: keys(&suite, first), remote: keys(&suite, first + 100), suite }
}

fn mirrored(srtp: &Srtp) -> Srtp {
    Srtp { suite: srtp.suite.clone(), local: srtp.remote.clone(), remote: srtp.local.clone() }
}

fn protected(number: u64, srtp: Srtp) -> RemoteRtp {
    RemoteRtp { srtp: Some(srtp), ..with_reports(number) }
}

fn sealed(protection: &mut Protection, bytes: &[u8]) -> Vec<u8> {
    let mut packet = Packet::copy_of(bytes).unwrap();
    protection.protect_rtp(&mut packet).unwrap();
    packet.as_slice().to_vec()
}

#[test]
fn a_protected_bridge_relays_and_outlives_snapshots_before_every_input() {
    for snapshots in [false, true] {
        let mut node = Node::new(1);
        node.snapshots = snapshots;
        node.open(1, protected(11, srtp(1)));
        node.open(2, protected(12, srtp(2)));
        node.join(1, 2);
        let mut one = Protection::new(&mirrored(&srtp(1))).unwrap();
        let mut other = Protection::new(&mirrored(&srtp(2))).unwrap();
        let mut far = Far::new(&Codec::Pcma);
        for n in 0..300u32 {
            let packet = sealed(&mut one, &far.packet(&[n as u8; 160]));
            node.packet(1, address(11), &packet);
            node.run(20);
        }
        assert_eq!(node.msp.counters().relayed, 300);
        let mut payloads = Vec::new();
        for sent in node.sent_by(2) {
            let mut bytes = sent.bytes.clone();
            let length = other.unprotect_rtp(&mut bytes).unwrap();
            payloads.push(RtpReader::new(&bytes[..length]).unwrap().payload()[0]);
        }
        assert_eq!(payloads[payloads.len() - 300..], (0..300u32).map(|n| n as u8).collect::<Vec<_>>());
        for sent in node.reports.iter().filter(|sent| sent.stream == StreamId(2)) {
            let mut bytes = sent.bytes.clone();
            let length = other.unprotect_rtcp(&mut bytes).unwrap();
            assert_eq!(kinds(&bytes[..length]), [200, 202]);
        }
    }
}

#[test]
fn what_is_not_authentic_or_comes_again_has_no_effect() {
    let mut node = Node::new(1);
    node.open(1, protected(11, srtp(1)));
    let mut one = Protection::new(&mirrored(&srtp(1))).unwrap();
    let mut far = Far::new(&Codec::Pcma);
    // A stranger and the far end's own address, in the clear and with another key: nobody is latched to.
    let mut wrong = Protection::new(&mirrored(&srtp(9))).unwrap();
    for n in 0..5u16 {
        node.packet(1, address(66), &raw(9, n, 0, 8, false, &[1; 160]));
        node.packet(1, address(11), &raw(9, n, 0, EVENT_TYPE, false, &[5, 0x8a, 3, 32]));
        node.packet(1, address(66), &sealed(&mut wrong, &raw(9, n, 0, 8, false, &[1; 160])));
        node.feed(Input::Control { stream: StreamId(1), from: control(11), bytes: &report_about(7, 7, 9, 9) });
    }
    assert_eq!((node.msp.counters().not_authentic, node.msp.counters().malformed), (15, 5));
    assert_eq!(node.msp.stats(StreamId(1)).unwrap().received, 0);
    assert_eq!(node.heard_digits(), "");
    let packet = sealed(&mut one, &far.packet(&[1; 160]));
    node.packet(1, address(11), &packet);
    node.packet(1, address(11), &packet);
    assert_eq!(node.msp.stats(StreamId(1)).unwrap().received, 1);
    assert_eq!(node.msp.counters().replayed, 1);
}

#[test]
fn keys_change_with_a_new_description_and_protection_is_never_given_up() {
    let mut node = Node::new(1);
    node.open(1, protected(11, srtp(1)));
    let mut far = Far::new(&Codec::Pcma);
    let mut one = Protection::new(&mirrored(&srtp(1))).unwrap();
    node.packet(1, address(11), &sealed(&mut one, &far.packet(&[1; 160])));
    let connect = |remote| Command::Connect { stream: StreamId(1), remote: RemoteMedia::Rtp(remote) };
    node.command(connect(protected(11, srtp(30))));
    node.packet(1, address(11), &sealed(&mut one, &far.packet(&[2; 160])));
    assert_eq!(node.msp.stats(StreamId(1)).unwrap().received, 1, "the old key is void");
    let mut new = Protection::new(&mirrored(&srtp(30))).unwrap();
    node.packet(1, address(11), &sealed(&mut new, &far.packet(&[3; 160])));
    assert_eq!(node.msp.stats(StreamId(1)).unwrap().received, 2);
    node.command(connect(with_reports(11)));
    node.packet(1, address(11), &far.packet(&[4; 160]));
    node.sent.clear();
    node.run(3000);
    assert_eq!(node.msp.stats(StreamId(1)).unwrap().received, 2, "in the clear nothing is heard");
    assert!(!node.sent.is_empty());
    for sent in &node.sent {
        let mut bytes = sent.bytes.clone();
        new.unprotect_rtp(&mut bytes).expect("and nothing is sent");
    }
}

#[test]
fn keys_that_fit_no_suite_silence_the_stream() {
    let mut node = Node::new(1);
    node.open(1, protected(11, Srtp { local: SrtpKey(vec![1; 5]), ..srtp(1) }));
    node.packet(1, address(11), &raw(9, 1, 0, 8, false, &[1; 160]));
    node.run(10_000);
    assert!(node.sent.is_empty() && node.reports.is_empty());
    assert_eq!(node.msp.stats(StreamId(1)).unwrap().received, 0);
}

#[test]
fn nobody_takes_a_stream_over_while_it_is_heard() {
    let mut node = Node::new(1);
    node.open(1, remote(11, &Codec::Pcma));
    node.open(2, remote(12, &Codec::Pcma));
    node.join(1, 2);
    let mut far = Far::new(&Codec::Pcma);
    for n in 0..500u16 {
        if n < 250 {
            node.packet(1, address(11), &far.packet(&[1; 160]));
        }
        node.packet(1, address(66), &raw(66, n, u32::from(n) * 160, 8, false, &[66; 160]));
        node.run(20);
    }
    let wrong = node.sent_by(2).into_iter().filter(|sent| sent.rtp().payload()[0] == 66).count();
    assert_eq!(wrong, 0);
    assert!(node.sent_by(1).iter().all(|sent| sent.to == address(11)));
    assert_eq!(node.msp.counters().wrong_source, 500);
    node.command(Command::Close { stream: StreamId(1) });
    assert_eq!(statistics(&node).last().unwrap().dropped, 500);
}

#[test]
fn a_far_end_that_moves_is_found_again_once_it_was_silent() {
    let mut node = Node::new(1);
    node.open(1, remote(11, &Codec::Pcma));
    let mut far = Far::new(&Codec::Pcma);
    for _ in 0..50 {
        node.packet(1, address(11), &far.packet(&[1; 160]));
        node.run(20);
    }
    node.run(16_000);
    for _ in 0..10 {
        node.packet(1, address(13), &far.packet(&[1; 160]));
        node.run(20);
    }
    node.tone(1, 1, &[440], 100, -10);
    node.run(200);
    assert_eq!(node.sent.last().unwrap().to, address(13));
}

#[test]
fn packets_of_every_length_leave_with_even_timestamps_and_nothing_is_lost_at_the_end() {
    for ptime in [10u32, 20, 30, 40, 50, 60] {
        let mut node = Node::new(1);
        node.open(1, RemoteRtp { ptime_ms: ptime, ..remote(11, &Codec::Pcma) });
        node.run(500);
        node.sent.clear();
        node.tone(1, 1, &[440], 700, -10);
        node.run(760);
        let sent = node.sent_by(1);
        let lengths: Vec<usize> = sent.iter().map(|sent| sent.rtp().payload().len()).collect();
        assert_eq!(lengths.iter().sum::<usize>(), 5600, "{ptime}: {lengths:?}");
        let (last, full) = lengths.split_last().unwrap();
        assert!(full.iter().all(|length| *length == ptime as usize * 8), "{ptime}: {lengths:?}");
        assert!(*last <= ptime as usize * 8);
        for pair in sent.windows(2) {
            assert_eq!(pair[1].sequence().wrapping_sub(pair[0].sequence()), 1);
            let step = pair[1].rtp().timestamp().wrapping_sub(pair[0].rtp().timestamp());
            assert_eq!(step, ptime * 8, "{ptime}");
        }
        let marked: Vec<bool> = sent.iter().map(|sent| sent.rtp().mark()).collect();
        assert!(marked[0] && !marked[1..].contains(&true), "{ptime}: {marked:?}");
    }
}

#[test]
fn an_ssrc_of_ours_elsewhere_makes_us_take_another_and_an_echo_does_not_go_on_forever() {
    let mut node = Node::new(1);
    node.open(1, with_reports(11));
    node.tone(1, 1, &[440], 4000, -10);
    let mut ssrcs = Vec::new();
    for _ in 0..100 {
        node.run(20);
        // The far end sends back what it gets.
        let last = node.sent.last().unwrap().clone();
        ssrcs.push(last.rtp().ssrc());
        node.packet(1, address(11), &last.bytes);
    }
    ssrcs.dedup();
    assert_eq!(ssrcs.len(), 2, "once");
    let byes = node.reports.iter().filter(|sent| kinds(&sent.bytes).contains(&203)).count();
    assert_eq!(byes, 1, "the first says good-bye");
    assert!(node.msp.stats(StreamId(1)).unwrap().received > 90, "and it is heard");
}

#[test]
fn a_far_end_that_says_bye_in_rtcp_is_not_hung_up_on() {
    let mut node = Node::new(1);
    node.open(1, with_reports(11));
    let mut far = Far::new(&Codec::Pcma);
    node.packet(1, address(11), &far.packet(&[1; 160]));
    let mut room = vec![0; 200];
    let length = Compound::builder()
        .add_packet(SenderReport::builder(far.ssrc))
        .add_packet(Bye::builder().add_source(far.ssrc))
        .write_into(&mut room)
        .unwrap();
    node.feed(Input::Control { stream: StreamId(1), from: control(11), bytes: &room[..length] });
    node.packet(1, address(11), &far.packet(&[1; 160]));
    assert_eq!(node.msp.stats(StreamId(1)).unwrap().received, 2);
}

#[test]
fn extensions_sources_and_padding_are_read_over() {
    let mut node = Node::new(1);
    node.open(1, remote(11, &Codec::Pcma));
    node.open(2, remote(12, &Codec::Pcma));
    node.join(1, 2);
    node.sent.clear();
    let mut bytes = vec![0xb2, 8, 0, 1, 0, 0, 0, 160, 0, 0, 0, 9];
    bytes.extend([0; 8]);
    bytes.extend([0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0]);
    bytes.extend([7; 160]);
    bytes.extend([0, 0, 0, 4]);
    node.packet(1, address(11), &bytes);
    assert_eq!(node.sent_by(2)[0].rtp().payload(), [7; 160]);
    for other in [raw(9, 2, 320, 77, false, &[1; 160]), vec![0x40; 172], vec![0x80, 8], Vec::new()] {
        node.packet(1, address(11), &other);
    }
    assert_eq!(node.sent_by(2).len(), 1);
    assert_eq!((node.msp.counters().unknown_payload, node.msp.counters().malformed), (1, 3));
}
