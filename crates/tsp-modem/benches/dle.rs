//! How fast the DLE machine takes a voice stream: one second of 8-bit audio is 8,000 bytes.

#![allow(missing_docs, reason = "the macros of criterion make items")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tsp_modem::voice::{Decoder, Heard, encode};

fn second(noise: impl Fn(u32) -> u8) -> Vec<u8> {
    let plain: Vec<u8> = (0..8_000).map(noise).collect();
    let mut stream = Vec::new();
    encode(&plain, &mut stream);
    stream
}

fn decoder(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("dle_decoder");
    for (name, stream) in
        [("speech", second(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)), ("all_escapes", second(|_| 0x10))]
    {
        group.throughput(Throughput::Bytes(stream.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut decoder = Decoder::new();
                let heard = stream.iter().filter_map(|byte| decoder.push(*byte));
                heard.filter(|heard| matches!(heard, Heard::Data(_))).count()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decoder);
criterion_main!(benches);
