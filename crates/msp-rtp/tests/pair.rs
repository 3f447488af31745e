//! Two media providers that send each other packets over a net that loses and reorders.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{Node, address, ms, peak, remote};
use tapi::{End, OperationId, Time};
use tspi::Random;
use tspi::media::{Codec, Command, DescriptorId, Event, Input, StreamId};

/// Two nodes with a stream 1 each; what one sends, the other gets, unless it is lost.
struct Pair {
    nodes: [Node; 2],
    /// When, for which node, from where, what.
    flying: Vec<(Time, usize, Vec<u8>)>,
    random: Random,
    loss_percent: u64,
    delay_us: u64,
    /// Added to some packets, by chance.
    spread_us: u64,
}

impl Pair {
    fn new(codec: &Codec, seed: u64) -> Pair {
        let mut nodes = [Node::new(1), Node::new(2)];
        nodes[0].open(1, remote(2, codec));
        nodes[1].open(1, remote(1, codec));
        Pair {
            nodes,
            flying: Vec::new(),
            random: Random::from_number(seed),
            loss_percent: 0,
            delay_us: 5_000,
            spread_us: 0,
        }
    }

    fn carry(&mut self) {
        for n in 0..2 {
            for sent in self.nodes[n].sent.drain(..) {
                if self.random.below(100) >= self.loss_percent {
                    let at = sent.at.0 + self.delay_us + self.random.below(self.spread_us + 1);
                    self.flying.push((Time(at), 1 - n, sent.bytes));
                }
            }
        }
    }

    fn run(&mut self, millis: u64) {
        let end = self.nodes[0].now.0 + millis * 1000;
        loop {
            self.carry();
            let packet = self.flying.iter().enumerate().min_by_key(|(_, (at, ..))| *at).map(|(n, (at, ..))| (n, *at));
            let timer = self.nodes.iter().filter_map(|node| tspi::media::MediaProvider::poll_timeout(&node.msp)).min();
            let Some(next) = packet.map(|(_, at)| at).into_iter().chain(timer).min().filter(|at| at.0 <= end) else {
                break;
            };
            for node in &mut self.nodes {
                node.now = node.now.max(next);
            }
            match packet.filter(|(_, at)| *at == next) {
                Some((n, _)) => {
                    let (_, to, bytes) = self.flying.remove(n);
                    self.nodes[to].packet(1, address(2 - to as u64), &bytes);
                }
                None => {
                    for node in &mut self.nodes {
                        node.feed(Input::Timeout);
                    }
                }
            }
        }
        for node in &mut self.nodes {
            node.now = Time(end);
        }
    }
}

#[test]
fn the_tone_that_is_sent_is_the_tone_that_arrives() {
    for codec in [Codec::Pcmu, Codec::Pcma] {
        let mut pair = Pair::new(&codec, 1);
        pair.run(100);
        pair.nodes[1].command(Command::MonitorTones { stream: StreamId(1), hz: vec![1000, 1600] });
        let (operation, stream, descriptor) = (OperationId(9), StreamId(1), DescriptorId(1));
        pair.nodes[1].command(Command::Record { operation, stream, descriptor, max_ms: None });
        let begun = pair.nodes[0].now;
        pair.nodes[0].tone(1, 1, &[1000], 3000, -13);
        pair.run(2000);
        pair.nodes[1].recorded();
        let heard = pair.nodes[1].recorded.iter().find(|(_, received, _)| peak(received) > 1000).unwrap().0;
        let delay = heard.since(begun).as_millis();
        assert!((40..=100).contains(&delay), "{delay} ms");
        let Some(Event::Tones { tones, level_ddbm0, .. }) = pair.nodes[1].events.last() else { panic!() };
        assert!((tones[0].level_ddbm0 + 130).abs() <= 5, "{tones:?}");
        assert!((level_ddbm0 + 130).abs() <= 5, "{level_ddbm0}");
        assert!(tones[1].level_ddbm0 < -500, "{tones:?}");
        pair.run(2000);
        assert_eq!(pair.nodes[0].ended(), [(1, End::Done, 3000)]);
        let measured = pair.nodes[1].events.iter().filter(|event| matches!(event, Event::Tones { .. })).count();
        assert_eq!(measured, 40);
        let stats = pair.nodes[1].msp.stats(StreamId(1)).unwrap();
        assert_eq!((stats.lost, stats.late, stats.duplicates), (0, 0, 0));
    }
}

#[test]
fn every_digit_arrives_once_though_packets_are_lost_and_reordered() {
    const ALL: &str = "0123456789*#ABCD";
    for seed in 0..40 {
        let mut pair = Pair::new(&Codec::Pcma, seed);
        (pair.loss_percent, pair.spread_us) = (5, 45_000);
        pair.nodes[0].digits(1, 1, ALL);
        pair.nodes[1].digits(2, 1, "11223,344");
        pair.run(12_000);
        assert_eq!(pair.nodes[1].heard_digits(), ALL, "seed {seed}");
        assert_eq!(pair.nodes[0].heard_digits(), "11223344", "seed {seed}");
        assert_eq!(pair.nodes[0].ended().len(), 1);
        assert_eq!(pair.nodes[1].ended().len(), 1);
    }
}

#[test]
fn losses_are_counted_as_they_are() {
    let mut pair = Pair::new(&Codec::Pcma, 3);
    pair.loss_percent = 5;
    pair.nodes[1].command(Command::MonitorTones { stream: StreamId(1), hz: vec![1000] });
    pair.nodes[0].tone(1, 1, &[1000], 20_000, -10);
    pair.run(20_100);
    let sent = pair.nodes[0].msp.stats(StreamId(1)).unwrap().sent;
    let stats = pair.nodes[1].msp.stats(StreamId(1)).unwrap();
    assert!(stats.received + stats.lost <= sent && stats.received + stats.lost + 3 >= sent, "{sent} {stats:?}");
    assert!((20..=90).contains(&stats.lost), "{stats:?}");
    assert!(stats.concealed >= stats.lost - 3 && stats.concealed <= stats.lost + 20, "{stats:?}");
}

#[test]
fn a_long_digit_is_one_digit() {
    let mut pair = Pair::new(&Codec::Pcma, 0);
    pair.loss_percent = 5;
    let (operation, stream) = (OperationId(1), StreamId(1));
    let command = Command::Digits { operation, stream, digits: "5".into(), duration_ms: Some(20_000) };
    pair.nodes[0].command(command);
    pair.run(21_000);
    assert_eq!(pair.nodes[1].heard_digits(), "5");
    assert!(pair.nodes[1].events.contains(&Event::Digit { stream, digit: '5', duration_ms: None }));
}

#[test]
fn the_same_seed_gives_the_same_packets_and_snapshots_change_nothing() {
    let story = |snapshots: bool| {
        let mut pair = Pair::new(&Codec::Pcmu, 8);
        (pair.loss_percent, pair.spread_us) = (5, 30_000);
        pair.nodes.iter_mut().for_each(|node| node.snapshots = snapshots);
        pair.nodes[1].command(Command::MonitorTones { stream: StreamId(1), hz: vec![697, 1004] });
        pair.nodes[0].tone(1, 1, &[697, 1004], 700, -13);
        pair.nodes[1].join(1, 1);
        pair.run(1000);
        pair.nodes[0].digits(2, 1, "1*2");
        pair.run(1500);
        pair.nodes[1].command(Command::Part { stream: StreamId(1) });
        let (operation, stream, descriptor) = (OperationId(3), StreamId(1), DescriptorId(1));
        pair.nodes[1].command(Command::Record { operation, stream, descriptor, max_ms: Some(300) });
        pair.nodes[1].digits(4, 1, "99");
        pair.run(1000);
        pair.nodes.map(|node| node.log)
    };
    let plain = story(false);
    assert!(plain.iter().all(|log| log.len() > 40));
    assert_eq!(plain, story(true));
}

#[test]
fn a_provider_that_sleeps_through_ticks_does_not_flood() {
    let mut node = Node::new(1);
    node.open(1, remote(2, &Codec::Pcma));
    node.tone(1, 1, &[1000], 60_000, -10);
    node.run(100);
    let before = node.sent.len();
    node.now = ms(11_100);
    node.feed(Input::Timeout);
    // The ticks that are made up for, and a keep-alive.
    assert!(node.sent.len() - before <= 6);
    assert!(node.msp.counters().skipped_ticks > 400);
    let next = tspi::media::MediaProvider::poll_timeout(&node.msp).unwrap();
    assert!(next > node.now && next <= ms(11_120));
}
