use super::*;

fn ms(millis: u64) -> Time {
    Time::from_millis(millis)
}

/// All packets of an event of so many samples.
fn packets(code: u8, timestamp: u32, samples: u32) -> Vec<EventPacket> {
    let mut sender = EventSender::new(code, timestamp, Some(samples));
    std::iter::from_fn(|| sender.step()).collect()
}

/// What a receiver makes of packets that come every 20 ms, and then of silence.
fn receive(packets: &[EventPacket]) -> String {
    let mut receiver = EventReceiver::default();
    let mut all = String::new();
    let mut now = ms(1000);
    for packet in packets {
        all.extend(receiver.packet(now, packet.timestamp, packet.marker, &packet.payload));
        now += Duration::from_millis(20);
    }
    receiver.timeout(now + SILENCE);
    assert!(!receiver.is_open());
    all
}

#[test]
fn an_event_keeps_its_timestamp_grows_and_ends_three_times() {
    let sent = packets(5, 4711, 800);
    let expected: Vec<(bool, u8, u16)> = vec![
        (true, 10, 160),
        (false, 10, 320),
        (false, 10, 480),
        (false, 10, 640),
        (false, 0x8a, 800),
        (false, 0x8a, 800),
        (false, 0x8a, 800),
    ];
    let seen: Vec<_> = sent.iter().map(|packet| (packet.marker, packet.payload[1], packet.duration)).collect();
    assert_eq!(seen, expected);
    assert!(sent.iter().all(|packet| packet.timestamp == 4711 && packet.payload[0] == 5));
    assert_eq!(receive(&sent), "5");
}

#[test]
fn every_digit_goes_both_ways() {
    for digit in "0123456789*#ABCD".chars() {
        let code = code_of(digit).unwrap();
        assert_eq!(digit_of(code), Some(digit));
        assert_eq!(receive(&packets(code, 0, 800)), digit.to_string());
    }
    assert_eq!(code_of('a'), code_of('A'));
    assert_eq!((code_of('x'), digit_of(16)), (None, None));
}

#[test]
fn one_digit_whatever_is_lost_or_comes_again() {
    let sent = packets(1, 800, 1600);
    let last = sent.len() - 1;
    let rows: Vec<(&str, Vec<EventPacket>)> = vec![
        ("no first packet", sent[1..].to_vec()),
        ("no marker", sent.iter().map(|p| EventPacket { marker: false, ..*p }).collect()),
        ("no end packets", sent[..last - 2].to_vec()),
        ("one end packet", sent[..last - 1].to_vec()),
        ("only the last", sent[last..].to_vec()),
        ("only the first", sent[..1].to_vec()),
        ("every packet twice", sent.iter().flat_map(|p| [*p, *p]).collect()),
        ("backwards", sent.iter().rev().copied().collect()),
        ("marker on all", sent.iter().map(|p| EventPacket { marker: true, ..*p }).collect()),
    ];
    for (name, packets) in rows {
        assert_eq!(receive(&packets), "1", "{name}");
    }
}

#[test]
fn the_same_digit_twice_is_two_and_late_packets_of_the_first_are_none() {
    let (first, second) = (packets(7, 0, 800), packets(7, 1600, 800));
    assert_eq!(receive(&[&first[..], &second[..]].concat()), "77");
    // All end packets of the first are lost, or come after the second began.
    let without_end = [&first[..4], &second[..]].concat();
    assert_eq!(receive(&without_end), "77");
    let late = [&first[..6], &second[..2], &first[6..], &second[2..]].concat();
    assert_eq!(receive(&late), "77");
}

#[test]
fn a_long_event_is_sent_in_segments_and_is_one_digit() {
    // 20 s: two full segments and a part.
    let sent = packets(9, u32::MAX - 1000, 160_000);
    let mut timestamps: Vec<u32> = sent.iter().map(|packet| packet.timestamp).collect();
    timestamps.dedup();
    let start = u32::MAX - 1000;
    assert_eq!(timestamps, [start, start.wrapping_add(0xffff), start.wrapping_add(2 * 0xffff)]);
    assert_eq!(sent.iter().filter(|packet| packet.marker).count(), 1);
    assert_eq!(sent.iter().filter(|packet| packet.payload[1] & 0x80 != 0).count(), 3);
    assert_eq!(receive(&sent), "9");
}

#[test]
fn an_event_that_stalls_longer_than_the_limit_is_still_one() {
    let sent = packets(2, 0, 8000);
    let mut receiver = EventReceiver::default();
    assert_eq!(receiver.packet(ms(0), 0, true, &sent[0].payload), Some('2'));
    receiver.timeout(ms(159));
    assert!(receiver.is_open());
    receiver.timeout(ms(160));
    assert!(!receiver.is_open());
    for packet in &sent[20..] {
        assert_eq!(receiver.packet(ms(400), packet.timestamp, false, &packet.payload), None);
    }
}

#[test]
fn a_source_that_starts_over_is_heard_again() {
    let mut receiver = EventReceiver::default();
    let first = packets(3, 40_000, 800);
    for packet in &first {
        receiver.packet(ms(0), packet.timestamp, packet.marker, &packet.payload);
    }
    let again = packets(4, 160, 800);
    let heard: String =
        again.iter().filter_map(|p| receiver.packet(ms(3000), p.timestamp, p.marker, &p.payload)).collect();
    assert_eq!(heard, "4");
}

#[test]
fn what_is_no_digit_is_nothing() {
    let mut receiver = EventReceiver::default();
    for payload in [&[][..], &[1, 2, 3], &[16, 0x80, 0, 160], &[255, 0x80, 0, 160]] {
        assert_eq!(receiver.packet(ms(0), 0, true, payload), None);
    }
    assert!(!receiver.is_open());
}

#[test]
fn an_event_of_open_length_ends_when_it_is_finished() {
    let mut sender = EventSender::new(1, 0, None);
    for n in 1..=30u16 {
        assert_eq!(sender.step().unwrap().duration, n * 160);
    }
    sender.finish();
    let ends: Vec<_> = std::iter::from_fn(|| sender.step()).collect();
    assert_eq!(ends.len(), 3);
    assert!(ends.iter().all(|end| end.payload[1] & 0x80 != 0 && end.duration == 4800));
}

#[test]
fn a_digit_is_told_when_it_begins() {
    let mut receiver = EventReceiver::default();
    assert_eq!(receiver.packet(ms(0), 0, true, &packets(11, 0, 8000)[0].payload), Some('#'));
    assert!(receiver.is_open(), "and it goes on");
}

#[test]
fn beside_opus_durations_count_at_48_khz_and_a_long_event_is_still_one_digit() {
    let mut sender = EventSender::new(7, 1000, Some(800)).with_clock(6);
    let short: Vec<_> = std::iter::from_fn(|| sender.step()).collect();
    assert_eq!(
        short.iter().map(|packet| packet.duration).collect::<Vec<_>>(),
        [960, 1920, 2880, 3840, 4800, 4800, 4800]
    );
    // Three seconds are more than two full segments.
    let mut sender = EventSender::new(7, 1000, Some(24_000)).with_clock(6);
    let long: Vec<_> = std::iter::from_fn(|| sender.step()).collect();
    let mut begins: Vec<u32> = long.iter().map(|packet| packet.timestamp).collect();
    begins.dedup();
    assert_eq!(begins, [1000, 1000 + 0xffff, 1000 + 2 * 0xffff]);
    assert_eq!(receive(&long), "7");
}
