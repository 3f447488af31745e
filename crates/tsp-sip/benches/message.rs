//! What reading a message costs, beside `rsip`'s own reader.
#![allow(missing_docs)]

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use tsp_sip::message::{check, scan, vocabulary};

const INVITE: &str = "INVITE sip:+15551230002@pbx.example.com SIP/2.0\r\n\
Via: SIP/2.0/UDP 192.0.2.4:5060;branch=z9hG4bK74bf9\r\n\
Via: SIP/2.0/UDP 192.0.2.5:5060;branch=z9hG4bK4b43c2ff8.1;received=192.0.2.5\r\n\
Max-Forwards: 68\r\nFrom: \"Alice\" <sip:+15551230001@example.com>;tag=9fxced76sl\r\n\
To: <sip:+15551230002@pbx.example.com>\r\nCall-ID: 3848276298220188511@client.example.com\r\nCSeq: 1 INVITE\r\n\
Contact: <sip:+15551230001@192.0.2.5>\r\nRecord-Route: <sip:192.0.2.4;lr>\r\nAllow: INVITE, ACK, CANCEL, BYE, OPTIONS\r\n\
Supported: timer\r\nUser-Agent: bench\r\nContent-Type: application/sdp\r\n\r\n\
v=0\r\no=alice 2890844526 2890844526 IN IP4 client.example.com\r\ns=-\r\nc=IN IP4 192.0.2.101\r\nt=0 0\r\n\
m=audio 49172 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n";

fn reading(criterion: &mut Criterion) {
    let bytes = INVITE.as_bytes();
    assert!(check(&scan(bytes).expect("it is a message")).is_ok());
    let mut group = criterion.benchmark_group("invite");
    group.bench_function("scan", |bench| bench.iter(|| scan(black_box(bytes)).is_ok()));
    group.bench_function("scan and check", |bench| {
        bench.iter(|| scan(black_box(bytes)).is_ok_and(|message| check(&message).is_ok()));
    });
    group.bench_function("scan to rsip::Request", |bench| {
        bench.iter(|| scan(black_box(bytes)).ok().and_then(|message| vocabulary::request(&message)));
    });
    group.bench_function("rsip parse", |bench| bench.iter(|| rsip::Request::try_from(black_box(bytes)).is_ok()));
    group.finish();
}

criterion_group!(benches, reading);
criterion_main!(benches);
