use super::*;

fn ms(millis: u64) -> Time {
    Time::from_millis(millis)
}

/// An end of a session that sends 50 packets a second.
struct End {
    reports: Reports,
    sender: Sender,
    source: Source,
    random: Random,
    sequence: u16,
}

impl End {
    fn new(number: u64) -> End {
        let mut random = Random::from_number(number);
        let reports = Reports::new(&mut random);
        let sender = Sender::new(&mut random);
        End { reports, sender, source: Source::default(), random, sequence: 65_000 }
    }

    fn report(&mut self, now: Time) -> Packet {
        self.reports.report(now, &self.sender, &self.source, &mut self.random).unwrap()
    }

    fn take(&mut self, now: Time, packet: &Packet) -> Received {
        self.reports.take(now, self.sender.ssrc(), self.source.ssrc(), packet.as_slice())
    }
}

/// The first report block of the first packet: fraction, cumulative, extended, jitter.
fn block(packet: &Packet) -> (u8, u32, u32, u32) {
    let mut compound = Compound::parse(packet.as_slice()).unwrap();
    let Report::Sr(report) = compound.next().unwrap().unwrap() else { panic!("no sender report") };
    let block = report.report_blocks().next().unwrap();
    (block.fraction_lost(), block.cumulative_lost(), block.extended_sequence_number(), block.interarrival_jitter())
}

#[test]
fn loss_sequence_and_jitter_are_told_as_they_are() {
    let (mut one, mut other) = (End::new(1), End::new(2));
    let mut now = ms(0);
    for n in 0..1000u32 {
        one.sender.note_sent(now, 160);
        other.sender.note_sent(now, 160);
        // One of twenty is lost, two change places, and the numbers wrap.
        let swapped = match n % 20 {
            4 => n + 1,
            5 => n - 1,
            _ => n,
        };
        if n % 20 != 7 {
            let sequence = one.sequence.wrapping_add(swapped as u16);
            other.source.arrive(now, one.sender.ssrc(), sequence, swapped * 160);
        }
        now += Duration::from_millis(20);
    }
    let (fraction, lost, extended, jitter) = block(&other.report(now));
    assert_eq!((fraction, lost), (12, 50), "5 % of 256");
    assert_eq!(extended, 65_999, "one cycle: 463 above 65536");
    assert!(jitter < 60, "{jitter}");
    // Nothing was lost since.
    for n in 1000..1100u32 {
        other.source.arrive(now, one.sender.ssrc(), one.sequence.wrapping_add(n as u16), n * 160);
        now += Duration::from_millis(20);
    }
    assert_eq!(block(&other.report(now)).0, 0);
}

#[test]
fn a_round_trip_and_the_far_ends_view_are_learnt() {
    let (mut one, mut other) = (End::new(1), End::new(2));
    one.sender.note_sent(ms(100_000), 160);
    other.sender.note_sent(ms(100_000), 160);
    for n in [0, 1, 2, 5] {
        other.source.arrive(ms(100_000), one.sender.ssrc(), n, u32::from(n) * 160);
    }
    one.source.arrive(ms(100_000), other.sender.ssrc(), 1, 0);
    let report = one.report(ms(100_000));
    assert_eq!(other.take(ms(100_030), &report), Received::Read);
    let answer = other.report(ms(102_000));
    assert_eq!(one.take(ms(102_050), &answer), Received::Read);
    let far = one.reports.far();
    assert_eq!(far.lost, Some(2));
    let round = far.round_trip_us.unwrap();
    assert!((79_900..=80_100).contains(&round), "{round}");
}

#[test]
fn the_first_report_comes_after_half_an_interval_and_none_at_a_fixed_pace() {
    let mut gaps = Vec::new();
    for seed in 0..200 {
        let mut end = End::new(seed);
        end.reports.begin(ms(1000), &mut end.random);
        let first = end.reports.due_at().unwrap();
        let wait = first.since(ms(1000)).as_millis();
        assert!((1026..=3100).contains(&wait), "{wait}");
        end.report(first);
        let gap = end.reports.due_at().unwrap().since(first).as_millis();
        assert!((2052..=6180).contains(&gap), "{gap}");
        gaps.push(gap);
    }
    gaps.sort_unstable();
    gaps.dedup();
    assert!(gaps.len() > 80, "only {} different ones", gaps.len());
}

#[test]
fn a_compound_has_report_name_and_at_the_end_bye() {
    let mut end = End::new(3);
    assert!(end.reports.bye(ms(0), &end.sender, &end.source).is_none(), "nobody knows us");
    // Without packets of ours: a receiver report.
    let packet = end.report(ms(0));
    assert_eq!(packet.as_slice()[1], 201);
    let name = |packet: &Packet| {
        let mut compound = Compound::parse(packet.as_slice()).unwrap();
        match compound.nth(1).unwrap().unwrap() {
            Report::Sdes(sdes) => {
                let name = sdes.chunks().next().unwrap().items().next().unwrap().get_value_string();
                name.unwrap()
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(name(&packet).len(), 20);
    assert!(!name(&packet).contains('@'));
    assert_ne!(name(&packet), name(&End::new(4).report(ms(0))));
    end.sender.note_sent(ms(10), 160);
    let bye = end.reports.bye(ms(20), &end.sender, &end.source).unwrap();
    assert_eq!(bye.as_slice()[1], 200);
    let mut other = End::new(5);
    assert_eq!(other.take(ms(30), &bye), Received::Bye);
}

#[test]
fn what_is_no_compound_changes_nothing() {
    let (mut one, mut other) = (End::new(1), End::new(2));
    other.sender.note_sent(ms(0), 1);
    let good = other.report(ms(0));
    for length in 0..good.as_slice().len() {
        let cut = Packet::copy_of(&good.as_slice()[..length]).unwrap();
        let taken = one.take(ms(1), &cut);
        assert!(taken == Received::Malformed || length == 28, "{length}: {taken:?}");
    }
    // SDES first, and our own SSRC.
    let sdes = Packet::copy_of(&good.as_slice()[28..]).unwrap();
    assert_eq!(one.take(ms(1), &sdes), Received::Malformed);
    assert_eq!(other.take(ms(1), &good), Received::Collision);
}
