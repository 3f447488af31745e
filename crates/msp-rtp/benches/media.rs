//! What a packet and a tick cost.

#![allow(missing_docs, clippy::unwrap_used, reason = "a bench")]

#[path = "../tests/common/mod.rs"]
mod common;

use common::{Far, Node, address, remote};
use criterion::{Criterion, criterion_group, criterion_main};
use msp_rtp::rtp::{Datagram, Sender};
use std::hint::black_box;
use std::time::Duration;
use tspi::media::{Codec, Input, MediaProvider, StreamId};

const STREAMS: u64 = 200;

fn bridges(one: &Codec, other: &Codec) -> Node {
    let mut node = Node::new(1);
    for n in 0..STREAMS {
        node.open(n, remote(n, if n % 2 == 0 { one } else { other }));
    }
    (0..STREAMS).step_by(2).for_each(|n| node.join(n, n + 1));
    node
}

fn media(criterion: &mut Criterion) {
    criterion.bench_function("rtp: parse and build", |bench| {
        let mut sender = Sender::new(&mut tspi::Random::from_number(1));
        let packet = Far::new(&Codec::Pcma).packet(&[0x55; 160]);
        let mut now = common::ms(0);
        bench.iter(|| {
            now += Duration::from_millis(20);
            match Datagram::parse(black_box(&packet)) {
                Datagram::Rtp(packet) => Some(sender.audio(now, packet.payload_type(), packet.payload(), 160)),
                _ => None,
            }
        });
    });
    criterion.bench_function("relay of a packet, among 200 streams", |bench| {
        let mut node = bridges(&Codec::Pcma, &Codec::Pcma);
        let mut fars: Vec<Far> = (0..STREAMS).map(|_| Far::new(&Codec::Pcma)).collect();
        let mut n = 0;
        bench.iter_batched(
            || {
                n = (n + 1) % STREAMS;
                (n, fars[n as usize].packet(&[0x55; 160]))
            },
            |(n, bytes)| {
                node.msp.handle(node.now, Input::Packet { stream: StreamId(n), from: address(n), bytes: &bytes });
                while let Some(output) = node.msp.poll_output() {
                    black_box(&output);
                }
            },
            criterion::BatchSize::SmallInput,
        );
    });
    criterion.bench_function("20 ms of 200 streams, transcoded", |bench| {
        let mut node = bridges(&Codec::Pcma, &Codec::Pcmu);
        let mut fars: Vec<Far> =
            (0..STREAMS).map(|n| Far::new(if n % 2 == 0 { &Codec::Pcma } else { &Codec::Pcmu })).collect();
        bench.iter(|| {
            for (n, far) in (0..STREAMS).zip(&mut fars) {
                let bytes = far.packet(&[0x55; 160]);
                node.msp.handle(node.now, Input::Packet { stream: StreamId(n), from: address(n), bytes: &bytes });
            }
            node.now += Duration::from_millis(20);
            node.msp.handle(node.now, Input::Timeout);
            while let Some(output) = node.msp.poll_output() {
                black_box(&output);
            }
        });
    });
}

criterion_group!(benches, media);
criterion_main!(benches);
