//! What a packet and a tick cost.

#![allow(missing_docs, clippy::unwrap_used, reason = "a bench")]

#[path = "../tests/common/mod.rs"]
mod common;

use common::{Far, Node, address, remote};
use criterion::{Criterion, criterion_group, criterion_main};
use msp_rtp::codec::{Audio, Decoder, Encoder};
use msp_rtp::detect::{Dtmf, Progress};
use msp_rtp::g711::Law;
use msp_rtp::plc::Plc;
use msp_rtp::resample::Converter;
use msp_rtp::rtp::{Datagram, Sender};
use msp_rtp::tone::Tone;
use std::hint::black_box;
use std::time::Duration;
use tspi::media::{Codec, Frame, Input, MediaProvider, Rate, StreamId};

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

fn speech() -> Vec<Frame> {
    let mut tone = Tone::new(&[(440, -20.0), (1770, -24.0)]).unwrap();
    (0..50).map(|_| tone.frame()).collect()
}

/// 20 ms of each codec, both ways.
fn codecs(criterion: &mut Criterion) {
    let narrow = speech();
    for audio in [Audio::G711(Law::A), Audio::G711(Law::Mu), Audio::G722] {
        let mut converter = Converter::default();
        let frames: Vec<_> = narrow.iter().map(|frame| converter.convert(&(*frame).into(), audio.rate())).collect();
        let (mut encoder, mut decoder) = (Encoder::new(audio), Decoder::new(audio));
        let mut payload = [0; 480];
        criterion.bench_function(&format!("encode 20 ms: {audio:?}"), |bench| {
            let mut frames = frames.iter().cycle();
            bench.iter(|| encoder.encode(black_box(frames.next().unwrap().samples()), &mut payload));
        });
        let length = encoder.encode(frames[7].samples(), &mut payload).unwrap();
        let mut samples = [0; 1920];
        criterion.bench_function(&format!("decode 20 ms: {audio:?}"), |bench| {
            bench.iter(|| decoder.decode(black_box(&payload[..length]), &mut samples));
        });
    }
    for (name, rate) in [("8 to 16 kHz", Rate::Wide), ("16 to 8 kHz", Rate::Narrow)] {
        criterion.bench_function(&format!("convert 20 ms: {name}"), |bench| {
            let frame = Converter::default()
                .convert(&narrow[3].into(), if rate == Rate::Wide { Rate::Narrow } else { Rate::Wide });
            let mut converter = Converter::default();
            bench.iter(|| converter.convert(black_box(&frame), rate));
        });
    }
    criterion.bench_function("conceal 20 ms", |bench| {
        let mut plc = Plc::default();
        bench.iter(|| {
            let mut frame = narrow[3];
            plc.good(&mut frame.0);
            plc.conceal(black_box(&mut frame.0));
        });
    });
}

/// 20 ms of each detector.
fn detectors(criterion: &mut Criterion) {
    let frames = speech();
    criterion.bench_function("listen 20 ms: digits", |bench| {
        let (mut dtmf, mut frames) = (Dtmf::new(), frames.iter().cycle());
        bench.iter(|| dtmf.frame(black_box(frames.next().unwrap())));
    });
    for country in [None, Some("de")] {
        criterion.bench_function(
            &format!("listen 20 ms: progress of {}", country.unwrap_or("all countries")),
            |bench| {
                let (mut progress, mut frames) = (Progress::new(country), frames.iter().cycle());
                bench.iter(|| progress.frame(black_box(frames.next().unwrap())));
            },
        );
    }
}

criterion_group!(benches, media, codecs, detectors);
criterion_main!(benches);
