//! One media provider and raw packets: what may be seen on the wire and what is told.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{EVENT_TYPE, Far, Node, Sent, address, format, peak, raw, remote};
use msp_rtp::g711::Law;
use msp_rtp::tone::{Meter, Tone};
use tapi::{End, OperationId};
use tspi::media::{
    Codec, Command, DescriptorId, Direction, Event, Frame, Input, LocalMedia, MediaProvider, Rate, RemoteMedia,
    RemoteRtp, StreamId,
};

/// Streams 1 and 2, far ends at addresses 11 and 12, joined.
fn bridge(one: &Codec, other: &Codec) -> Node {
    let mut node = Node::new(1);
    node.open(1, remote(11, one));
    node.open(2, remote(12, other));
    node.join(1, 2);
    node
}

/// The level of a frequency in the last 100 ms that were sent, in tenths of dBm0.
fn level(sent: &[&Sent], law: Law, hz: u32) -> i32 {
    let mut meter = Meter::new(&[hz]);
    let last = sent[sent.len() - 5..].iter();
    let frames = last.map(|sent| Frame(std::array::from_fn(|n| law.decode(sent.rtp().payload()[n]))));
    frames.filter_map(|frame| meter.frame(&frame)).next().unwrap().tones[0].level_ddbm0
}

#[test]
fn relayed_packets_keep_payload_and_spacing_and_get_our_numbers() {
    let mut node = bridge(&Codec::Pcma, &Codec::Pcma);
    let mut far = Far::new(&Codec::Pcma);
    node.run(7);
    let before = node.sent_by(2).last().unwrap().sequence();
    let ssrc = node.sent_by(2)[0].rtp().ssrc();
    node.sent.clear();
    let mut payloads = Vec::new();
    for n in 0..20u8 {
        let payload = [n; 160];
        // The tenth packet is lost on its way to us, and its place is kept.
        let packet = far.packet(&payload);
        if n != 10 {
            payloads.push(payload.to_vec());
            node.packet(1, address(11), &packet);
            assert_eq!(node.sent.last().unwrap().at, node.now, "relayed at once");
        }
        node.run(20);
    }
    let sent = node.sent_by(2);
    assert_eq!(sent.iter().map(|sent| sent.rtp().payload().to_vec()).collect::<Vec<_>>(), payloads);
    assert!(sent.iter().all(|sent| sent.rtp().ssrc() == ssrc && sent.to == address(12)));
    assert_eq!(sent[0].sequence(), before.wrapping_add(1));
    assert!(sent[0].rtp().mark() && !sent[1].rtp().mark());
    for (n, pair) in sent.windows(2).enumerate() {
        let step = if n == 9 { 2 } else { 1 };
        assert_eq!(pair[1].sequence().wrapping_sub(pair[0].sequence()), step);
        assert_eq!(pair[1].rtp().timestamp().wrapping_sub(pair[0].rtp().timestamp()), 160 * u32::from(step));
    }
    assert_eq!(node.msp.counters().relayed, 19);
}

#[test]
fn events_are_relayed_with_the_other_payload_type_and_told_once() {
    let mut node = Node::new(1);
    node.open(1, remote(11, &Codec::Pcma));
    node.open(2, RemoteRtp { events: Some(96), ..remote(12, &Codec::Pcma) });
    node.join(1, 2);
    node.run(5);
    node.sent.clear();
    for n in 1..=6u16 {
        let duration = (n.min(4) * 160).to_be_bytes();
        let payload = [3, if n >= 4 { 0x8a } else { 10 }, duration[0], duration[1]];
        node.packet(1, address(11), &raw(7, n, 1000, EVENT_TYPE, n == 1, &payload));
        node.run(20);
    }
    let sent = node.sent_by(2);
    assert_eq!(sent.len(), 6);
    assert!(sent.iter().all(|s| s.rtp().payload_type() == 96 && s.rtp().timestamp() == sent[0].rtp().timestamp()));
    assert!(sent[0].rtp().mark() && !sent[1].rtp().mark());
    assert_eq!(node.heard_digits(), "3");
}

#[test]
fn a_tone_interrupts_a_relay_and_the_numbers_go_on() {
    let mut node = bridge(&Codec::Pcma, &Codec::Pcma);
    let mut far = Far::new(&Codec::Pcma);
    for n in 0..100 {
        node.packet(1, address(11), &far.packet(&[0xd5; 160]));
        if n == 30 {
            node.tone(1, 2, &[440], 500, -10);
        }
        node.run(20);
    }
    assert_eq!(node.ended(), [(1, End::Done, 500)]);
    let sent = node.sent_by(2);
    for pair in sent.windows(2) {
        assert_eq!(pair[1].sequence().wrapping_sub(pair[0].sequence()), 1);
        let step = pair[1].rtp().timestamp().wrapping_sub(pair[0].rtp().timestamp());
        assert!((160..=480).contains(&step), "{step}");
    }
    let toned = sent.iter().filter(|sent| sent.rtp().payload() != [0xd5; 160]).count();
    assert_eq!(toned, 25);
}

#[test]
fn other_codecs_are_transcoded_on_the_tick() {
    let mut node = bridge(&Codec::Pcmu, &Codec::Pcma);
    let (mut far, mut tone) = (Far::new(&Codec::Pcmu), Tone::new(&[(1004, -10.0)]).unwrap());
    node.sent.clear();
    for _ in 0..100 {
        node.packet(1, address(11), &far.packet(&Law::Mu.encode_frame(&tone.frame())));
        node.run(20);
    }
    let sent = node.sent_by(2);
    assert!(sent.iter().all(|sent| sent.rtp().payload_type() == 8 && sent.at.0 % 20_000 == 0));
    assert!(sent.len() >= 97);
    assert!((level(&sent, Law::A, 1004) + 100).abs() <= 5);
    assert_eq!(node.msp.counters().relayed, 0);
}

#[test]
fn an_echo_gives_back_what_came() {
    let mut node = Node::new(1);
    node.open(1, remote(11, &Codec::Pcmu));
    node.join(1, 1);
    node.sent.clear();
    let mut far = Far::new(&Codec::Pcmu);
    for n in 0..10u8 {
        node.packet(1, address(11), &far.packet(&[n; 160]));
        assert_eq!(node.sent.last().unwrap().rtp().payload(), [n; 160]);
        node.run(20);
    }
    assert_eq!(node.sent.len(), 10);
}

#[test]
fn frames_and_packets_are_bridged_both_ways_with_digits_as_tones() {
    let mut node = Node::new(1);
    node.open(1, remote(11, &Codec::Pcma));
    node.open_frames(2);
    node.join(1, 2);
    let (mut far, mut down) = (Far::new(&Codec::Pcma), Tone::new(&[(600, -10.0)]).unwrap());
    let mut up = Tone::new(&[(1800, -10.0)]).unwrap();
    for n in 0..100u16 {
        if n == 50 {
            let mut event = |duration: u16, flags: u8| {
                let [high, low] = duration.to_be_bytes();
                let bytes =
                    raw(far.ssrc, far.sequence, far.timestamp, EVENT_TYPE, duration == 160, &[8, flags, high, low]);
                far.sequence = far.sequence.wrapping_add(1);
                bytes
            };
            // All of it within a moment, as a gateway may do.
            let packets = [event(160, 10), event(800, 0x8a), event(800, 0x8a)];
            packets.iter().for_each(|bytes| node.packet(1, address(11), bytes));
        }
        node.packet(1, address(11), &far.packet(&Law::A.encode_frame(&down.frame())));
        let frame = up.frame();
        node.feed(Input::Frame { stream: StreamId(2), frame: &frame });
        node.run(20);
    }
    assert!((level(&node.sent_by(1), Law::A, 1800) + 100).abs() <= 5);
    // One frame a tick, whatever there is.
    assert!(node.frames.windows(2).all(|pair| pair[1].0.since(pair[0].0).as_millis() == 20));
    assert!((99..=101).contains(&node.frames.len()));
    assert_eq!(node.heard_digits(), "8");
    // 852 and 1336 Hz are heard for at least 40 ms.
    let toned = node.frames.iter().filter(|(_, _, frame)| {
        let mut meter = Meter::new(&[852, 1336]);
        // One frame of five: 14 dB less.
        let measured = (0..5).find_map(|n| meter.frame(if n == 0 { frame } else { &Frame::SILENCE })).unwrap();
        measured.tones.iter().all(|tone| tone.level_ddbm0 > -250)
    });
    let toned = toned.count();
    assert!((2..=6).contains(&toned), "{toned} frames");
}

#[test]
fn digits_cross_a_transcoding_bridge_as_events() {
    let mut node = bridge(&Codec::Pcmu, &Codec::Pcma);
    node.run(5);
    node.sent.clear();
    for n in 1..=10u16 {
        let [high, low] = (n.min(8) * 160).to_be_bytes();
        let bytes = raw(7, n, 1000, EVENT_TYPE, n == 1, &[11, if n >= 8 { 0x8a } else { 10 }, high, low]);
        node.packet(1, address(11), &bytes);
        node.run(20);
    }
    node.run(200);
    let events: Vec<_> = node.sent_by(2).into_iter().filter(|s| s.rtp().payload_type() == EVENT_TYPE).collect();
    assert!(events.len() >= 8, "{}", events.len());
    assert!(events.iter().all(|sent| sent.rtp().payload()[0] == 11));
    assert!(events.iter().all(|sent| sent.rtp().timestamp() == events[0].rtp().timestamp()));
    assert_eq!(events.iter().filter(|sent| sent.rtp().payload()[1] & 0x80 != 0).count(), 3);
}

#[test]
fn what_is_not_the_far_ends_audio_is_dropped_and_counted() {
    let mut node = bridge(&Codec::Pcma, &Codec::Pcma);
    node.sent.clear();
    let good = raw(1, 1, 160, 8, false, &[0xd5; 160]);
    node.packet(1, address(11), &good);
    let mut version = good.clone();
    version[0] = 0x40;
    let mut sender_report = vec![0x80, 200, 0, 6];
    sender_report.extend([0; 24]);
    let long = raw(1, 3, 480, 8, false, &[0; 600]);
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", vec![]),
        ("one octet", vec![0x80]),
        ("cut header", good[..11].to_vec()),
        ("version 1", version),
        ("a sender report", sender_report),
        ("an unknown payload type", raw(1, 2, 320, 18, false, &[0; 20])),
        ("too long", long),
        ("again", good.clone()),
    ];
    for (name, bytes) in &rows {
        let dropped = node.msp.counters().dropped();
        node.packet(1, address(11), bytes);
        assert_eq!(node.msp.counters().dropped(), dropped + 1, "{name}");
    }
    node.packet(1, address(66), &raw(5, 9, 0, 8, false, &[0; 160]));
    node.packet(1, address(66), &raw(5, 10, 160, 8, false, &[0; 160]));
    node.packet(77, address(11), &good);
    let counters = node.msp.counters();
    assert_eq!((counters.wrong_source, counters.rtcp, counters.unknown_payload), (2, 1, 1));
    assert_eq!((counters.malformed, counters.oversize, counters.unknown_stream), (4, 1, 1));
    assert_eq!(node.sent.len(), 1, "only the good one was relayed");
    // CSRCs, an extension and padding are no reason to drop.
    let mut dressed = vec![0xb1, 8, 0, 5, 0, 0, 3, 32, 0, 0, 0, 1, 9, 9, 9, 9, 0xbe, 0xde, 0, 1, 1, 2, 3, 4];
    dressed.extend([0x55; 160]);
    dressed.extend([0, 0, 0, 4]);
    node.packet(1, address(11), &dressed);
    assert_eq!(node.sent.last().unwrap().rtp().payload(), [0x55; 160]);
}

#[test]
fn audio_is_sent_to_where_it_comes_from_and_no_stranger_moves_it() {
    let mut node = Node::new(1);
    node.open(1, remote(11, &Codec::Pcma));
    node.tone(1, 1, &[440], 60_000, -10);
    let send = |node: &mut Node, from: u64, sequence: u16| {
        node.packet(1, address(from), &raw(1, sequence, 0, 8, false, &[0; 160]));
        node.run(20);
        node.sent.last().unwrap().to
    };
    // A translator of addresses: the second in sequence settles it.
    assert_eq!(send(&mut node, 50, 1), address(11));
    assert_eq!(send(&mut node, 50, 2), address(50));
    // From now on nobody else is followed.
    for n in 3..20 {
        assert_eq!(send(&mut node, 66, n), address(50));
    }
    // The same description again changes nothing; another one does.
    let stream = StreamId(1);
    node.command(Command::Connect { stream, remote: RemoteMedia::Rtp(remote(11, &Codec::Pcma)) });
    assert_eq!(send(&mut node, 66, 30), address(50));
    node.command(Command::Connect { stream, remote: RemoteMedia::Rtp(remote(12, &Codec::Pcma)) });
    assert_eq!(send(&mut node, 12, 31), address(12));
}

#[test]
fn another_source_at_the_same_address_is_heard_at_once() {
    let mut node = bridge(&Codec::Pcma, &Codec::Pcma);
    node.command(Command::MonitorTones { stream: StreamId(1), hz: vec![440] });
    let (mut far, mut tone) = (Far::new(&Codec::Pcma), Tone::new(&[(440, -10.0)]).unwrap());
    for n in 0..100 {
        if n == 50 {
            far = Far { ssrc: 77, sequence: 3, timestamp: 12, payload_type: 8 };
        }
        node.packet(1, address(11), &far.packet(&Law::A.encode_frame(&tone.frame())));
        node.run(20);
    }
    let sent = node.sent_by(2);
    assert!(sent.windows(2).all(|pair| pair[1].sequence() == pair[0].sequence().wrapping_add(1)));
    assert!(sent.windows(2).all(|pair| (pair[1].rtp().timestamp().wrapping_sub(pair[0].rtp().timestamp()) as i32) > 0));
    let Some(Event::Tones { tones, .. }) = node.events.last() else { panic!("no measurement") };
    assert!((tones[0].level_ddbm0 + 100).abs() <= 5);
    assert_eq!(node.msp.stats(StreamId(1)).unwrap().lost, 0);
}

#[test]
fn an_idle_stream_says_so_once_a_second_and_its_clock_runs() {
    let mut node = Node::new(1);
    node.open(1, remote(11, &Codec::Pcmu));
    node.run(10_000);
    let times: Vec<u64> = node.sent.iter().map(|sent| sent.at.as_millis()).collect();
    assert_eq!(times, (1..=11).map(|n| n * 1000).collect::<Vec<_>>());
    assert!(node.sent.iter().all(|sent| sent.rtp().payload() == [0xff; 160] && sent.rtp().mark()));
    assert!(node.sent.windows(2).all(|p| p[1].rtp().timestamp().wrapping_sub(p[0].rtp().timestamp()) == 8000));
    node.command(Command::Close { stream: StreamId(1) });
    node.run(2000);
    assert_eq!(node.msp.poll_timeout(), None);
    assert_eq!(node.sent.len(), 11);
}

#[test]
fn the_direction_is_kept() {
    let rows = [
        (Direction::SendRecv, true, true),
        (Direction::SendOnly, true, false),
        (Direction::RecvOnly, false, true),
        (Direction::Inactive, false, false),
    ];
    for (direction, sends, receives) in rows {
        let mut node = Node::new(1);
        node.open(1, RemoteRtp { direction, ..remote(11, &Codec::Pcma) });
        node.open(2, remote(12, &Codec::Pcma));
        node.join(1, 2);
        node.sent.clear();
        let (mut one, mut two) = (Far::new(&Codec::Pcma), Far::new(&Codec::Pcma));
        for _ in 0..50 {
            node.packet(1, address(11), &one.packet(&[1; 160]));
            node.packet(2, address(12), &two.packet(&[2; 160]));
            node.run(20);
        }
        assert_eq!(node.sent_by(1).iter().any(|sent| sent.rtp().payload() == [2; 160]), sends, "{direction:?}");
        assert_eq!(node.sent_by(1).is_empty(), !sends, "{direction:?}");
        assert_eq!(node.sent_by(2).iter().any(|sent| sent.rtp().payload() == [1; 160]), receives, "{direction:?}");
    }
}

#[test]
#[allow(clippy::too_many_lines, reason = "one story and its table")]
fn every_operation_ends_once() {
    let mut node = Node::new(1);
    node.open(1, remote(11, &Codec::Pcma));
    let play = |operation: u64, stream: u64| Command::Play {
        operation: OperationId(operation),
        stream: StreamId(stream),
        descriptor: DescriptorId(operation),
        repeat: false,
    };
    let record = |operation: u64| Command::Record {
        operation: OperationId(operation),
        stream: StreamId(1),
        descriptor: DescriptorId(operation),
        max_ms: Some(200),
    };
    let loaded = |operation: u64| Input::Loaded {
        operation: OperationId(operation),
        samples: vec![900; 1600].into(),
        rate: Rate::Narrow,
    };
    node.command(play(1, 99));
    node.command(play(2, 1));
    node.command(play(3, 1));
    node.feed(loaded(2));
    node.feed(loaded(3));
    node.command(record(4));
    node.run(300);
    node.command(play(5, 1));
    node.feed(Input::Failed { operation: OperationId(5), end: End::Failed });
    node.command(record(6));
    node.feed(Input::Failed { operation: OperationId(6), end: End::DiskFull });
    node.digits(7, 1, "12x");
    node.tone(8, 1, &[440; 5], 100, 0);
    node.tone(9, 1, &[440], 10_000, -10);
    node.run(100);
    node.tone(10, 1, &[440], 10_000, -10);
    node.command(Command::Stop { operation: OperationId(10) });
    node.command(Command::Stop { operation: OperationId(10) });
    node.digits(11, 1, "");
    node.run(40);
    node.command(record(12));
    node.command(record(13));
    node.digits(14, 1, "123");
    node.command(play(15, 1));
    node.run(60);
    node.command(Command::Close { stream: StreamId(1) });
    node.digits(16, 1, "1");
    let expected = [
        (1, End::Failed, 0),
        (2, End::Cancelled, 0),
        (3, End::Done, 200),
        (4, End::Done, 200),
        (5, End::Failed, 0),
        (6, End::DiskFull, 0),
        (7, End::Failed, 0),
        (8, End::Failed, 0),
        (9, End::Cancelled, 100),
        (10, End::Cancelled, 0),
        (11, End::Done, 0),
        (12, End::Cancelled, 0),
        (13, End::CallEnded, 60),
        (14, End::CallEnded, 60),
        (15, End::CallEnded, 0),
        (16, End::Failed, 0),
    ];
    let mut ended = node.ended();
    ended.sort();
    assert_eq!(ended, expected);
}

#[test]
fn digits_go_before_a_playback_and_a_playback_before_the_bridge() {
    let mut node = bridge(&Codec::Pcma, &Codec::Pcma);
    node.open(2, remote(12, &Codec::Pcma));
    let mut far = Far::new(&Codec::Pcma);
    let (operation, stream, descriptor) = (OperationId(1), StreamId(2), DescriptorId(1));
    node.command(Command::Play { operation, stream, descriptor, repeat: true });
    for n in 0..60u64 {
        if n == 10 {
            node.feed(Input::Loaded { operation, samples: vec![8000; 800].into(), rate: Rate::Narrow });
        }
        if n == 20 {
            node.digits(2, 2, "1");
        }
        if n == 50 {
            node.command(Command::Stop { operation });
        }
        node.packet(1, address(11), &far.packet(&[0x2a; 160]));
        node.run(20);
    }
    let sent = node.sent_by(2);
    let kind = |sent: &&Sent| match (sent.rtp().payload_type(), sent.rtp().payload()[0]) {
        (EVENT_TYPE, _) => 'd',
        (_, 0x2a) => 'b',
        (_, octet) if octet == Law::A.encode(8000) => 'p',
        _ => '.',
    };
    let kinds: String = sent.iter().map(kind).collect();
    let mut runs = kinds.chars().collect::<Vec<_>>();
    runs.dedup();
    assert_eq!(runs.iter().collect::<String>(), ".bpd.pb", "{kinds}");
    assert_eq!(node.ended()[1].1, End::Cancelled);
}

#[test]
fn a_recording_has_both_sides_of_a_relayed_call() {
    let mut node = bridge(&Codec::Pcma, &Codec::Pcma);
    let (operation, stream, descriptor) = (OperationId(1), StreamId(1), DescriptorId(1));
    node.command(Command::Record { operation, stream, descriptor, max_ms: None });
    let (mut one, mut two) = (Far::new(&Codec::Pcma), Far::new(&Codec::Pcma));
    for _ in 0..50 {
        node.packet(1, address(11), &one.packet(&[Law::A.encode(1000); 160]));
        node.packet(2, address(12), &two.packet(&[Law::A.encode(-4000); 160]));
        node.run(20);
    }
    assert_eq!(node.msp.counters().relayed, 100);
    node.recorded();
    let (_, received, sent) = node.recorded.last().unwrap();
    assert!((900..1100).contains(&peak(received)) && received.0[0] > 0);
    assert!((3800..4200).contains(&peak(sent)) && sent.0[0] < 0);
}

#[test]
fn a_restart_ends_what_had_files_and_keeps_the_rest() {
    let mut node = bridge(&Codec::Pcma, &Codec::Pcma);
    let (stream, descriptor) = (StreamId(1), DescriptorId(1));
    node.command(Command::Play { operation: OperationId(1), stream, descriptor, repeat: true });
    node.feed(Input::Loaded { operation: OperationId(1), samples: vec![1; 8000].into(), rate: Rate::Narrow });
    node.command(Command::Record { operation: OperationId(2), stream, descriptor, max_ms: None });
    node.tone(3, 2, &[440], 1000, -10);
    node.run(200);
    node.msp = serde_json::from_slice(&serde_json::to_vec(&node.msp).unwrap()).unwrap();
    node.msp.restored();
    node.drain();
    assert_eq!(node.ended(), [(1, End::Restarted, 200), (2, End::Restarted, 200)]);
    node.run(2000);
    assert_eq!(node.ended()[2..], [(3, End::Done, 1000)]);
    let mut far = Far::new(&Codec::Pcma);
    node.packet(1, address(11), &far.packet(&[9; 160]));
    assert_eq!(node.sent.last().unwrap().rtp().payload(), [9; 160]);
}

#[test]
fn commands_for_what_does_not_exist_do_nothing() {
    let mut node = Node::new(1);
    node.join(1, 2);
    node.command(Command::Close { stream: StreamId(1) });
    node.command(Command::Part { stream: StreamId(1) });
    node.command(Command::Stop { operation: OperationId(1) });
    node.command(Command::MonitorTones { stream: StreamId(1), hz: vec![1] });
    node.command(Command::Connect {
        stream: StreamId(1),
        remote: RemoteMedia::Frames { direction: Direction::SendRecv },
    });
    node.command(Command::Open { local: LocalMedia::None });
    node.open(1, remote(11, &Codec::Pcma));
    node.command(Command::Connect {
        stream: StreamId(1),
        remote: RemoteMedia::Frames { direction: Direction::SendRecv },
    });
    node.join(1, 2);
    node.run(100);
    assert_eq!(node.events, []);
    assert_eq!(format(&Codec::Pcma).payload_type, node.sent[0].rtp().payload_type());
}

#[test]
fn garbage_does_not_stop_a_stream() {
    let mut random = tspi::Random::from_number(5);
    for _ in 0..2000 {
        let length = random.below(700) as usize;
        let mut bytes: Vec<u8> = (0..length).map(|_| random.next_u32() as u8).collect();
        // Likely headers, so that some of it gets further.
        for n in (0..length.saturating_sub(3)).step_by(60) {
            bytes[n] = 40 + (random.below(20) as u8);
            bytes[n + 1] = 0x80;
            bytes[n + 2] = [0, 8, 101, 13, 200][random.below(5) as usize];
        }
        msp_rtp::fuzz::rtp(&bytes);
    }
}
