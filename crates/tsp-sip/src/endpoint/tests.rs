//! What is traced, and what happens when there are too many transactions.

use super::*;
use crate::{LineConfig, Sip, Timers};
use tspi::media::Codec;
use tspi::{Action, CallParams, Command, Format, Input, LocalMedia, LocalRtp, Provider, StreamId};

#[test]
fn credentials_are_cut_out_of_the_trace_even_when_folded() {
    let text = b"INVITE sip:a@b SIP/2.0\r\nAuthorization : Digest username=\"a\",\r\n  response=\"secret\"\r\nTo: x\r\n\r\nauthorization: body";
    let (summary, told_text) = told(text);
    assert_eq!(summary, "INVITE sip:a@b");
    let kept = |text: &str| {
        !text.contains("secret") && text.contains("Authorization : [cut]\r\nTo: x\r\n\r\nauthorization: body")
    };
    assert!(kept(&told_text));
    let (_, text) = told(&[b"\r\n\n", &text[..]].concat());
    assert!(kept(&text), "line ends before the message");
}

fn agent() -> Sip {
    let line = LineConfig {
        name: "sip:trunk".into(),
        description: String::new(),
        user: "100".into(),
        domain: "example.org".into(),
        peers: vec!["192.0.2.2".into()],
        proxy: Some("192.0.2.2:5060".into()),
        max_calls: 1_000,
        ..LineConfig::default()
    };
    let listen = "192.0.2.1:5060".parse().unwrap();
    let config = Config {
        name: "sip".into(),
        listen,
        user_agent: String::new(),
        timers: Timers::default(),
        transports: crate::Transports::default(),
        lines: vec![line],
    };
    let mut sip = Sip::new(config, [1; 32]);
    sip.handle(Time::ZERO, Input::Timeout);
    sip.handle(Time::ZERO, Input::Opened { port: PORT });
    sip
}

/// A request of a peer's with this branch; what is sent back, first lines only.
fn ask(sip: &mut Sip, now: Time, method: &str, branch: &str, call_id: &str) -> Vec<String> {
    let text = format!(
        "{method} sip:100@example.org SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK{branch}\r\n\
         From: <sip:b@x>;tag=b\r\nTo: <sip:100@example.org>\r\nCall-ID: {call_id}\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:b@192.0.2.2>\r\n\r\n"
    );
    let from = "192.0.2.2:5060".parse().unwrap();
    sip.handle(now, Input::Datagram { port: PORT, from, bytes: text.as_bytes() });
    sent(sip)
}

fn sent(sip: &mut Sip) -> Vec<String> {
    let outputs = std::iter::from_fn(|| sip.poll_output());
    let datagrams = outputs.filter_map(|output| match output {
        Output::Datagram { bytes, .. } => String::from_utf8(bytes).ok(),
        _ => None,
    });
    datagrams.map(|text| text.lines().next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_full_table_forgets_what_only_waits_for_repetitions() {
    let mut sip = agent();
    let now = Time::from_millis(1);
    ask(&mut sip, now, "INVITE", "call", "call");
    for number in 0..MAX_TRANSACTIONS * 4 {
        let answer = ask(&mut sip, now, "OPTIONS", &format!("o{number}"), &format!("o{number}"));
        assert_eq!(answer, ["SIP/2.0 200 OK"], "everybody is answered");
        assert!(sip.transactions() <= MAX_TRANSACTIONS);
    }
    let evicted = sip.counters().evicted;
    assert_eq!(evicted as usize, 1 + MAX_TRANSACTIONS * 3);
    assert_eq!(ask(&mut sip, now, "INVITE", "call", "call"), ["SIP/2.0 100 Trying"], "the call is still known");
    assert_eq!(ask(&mut sip, now, "CANCEL", "call", "call"), ["SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated"]);
    let last = MAX_TRANSACTIONS * 4 - 1;
    let again = ask(&mut sip, now, "OPTIONS", &format!("o{last}"), &format!("o{last}"));
    assert_eq!(
        (again.len(), sip.counters().evicted),
        (1, evicted + 1),
        "the latest is a repetition, the CANCEL was new"
    );
}

#[test]
fn what_is_kept_of_huge_requests_is_bounded() {
    let mut sip = agent();
    let now = Time::from_millis(1);
    for number in 0..60 {
        let branch = format!("{number};x={}", "y".repeat(60_000));
        assert_eq!(ask(&mut sip, now, "OPTIONS", &branch, &number.to_string()), ["SIP/2.0 200 OK"]);
    }
    assert!(sip.transactions() < 20 && sip.counters().evicted > 40, "{}", sip.transactions());
    let unreadable = sip.counters().unreadable;
    for (branch, call_id) in [("b".repeat(60_000), "c".to_owned()), ("b".to_owned(), "c".repeat(60_000))] {
        assert!(ask(&mut sip, now, "OPTIONS", &branch, &call_id).is_empty(), "a name that is kept has a bound");
    }
    assert_eq!(sip.counters().unreadable, unreadable + 2);
}

#[test]
fn a_table_full_of_calls_forgets_the_oldest() {
    let mut sip = agent();
    let now = Time::from_millis(1);
    for number in 0..=MAX_TRANSACTIONS {
        ask(&mut sip, now, "INVITE", &number.to_string(), &number.to_string());
    }
    assert_eq!((sip.transactions(), sip.counters().evicted), (MAX_TRANSACTIONS, 1));
    let call = |number: u64| Action::Drop { call: CallRef(number), reason: None };
    for (number, answers) in [(1, 0), (2, 1)] {
        sip.handle(now, Input::Command(Command { id: CommandId(number), action: call(number) }));
        assert_eq!(sent(&mut sip).len(), answers, "the forgotten one can be dropped too, in silence");
    }
}

#[test]
fn requests_of_ours_make_room_for_each_other_too() {
    let mut sip = agent();
    let now = Time::from_millis(1);
    let formats = vec![Format { codec: Codec::Pcma, payload_type: 8 }];
    let rtp = LocalRtp { stream: StreamId(1), address: [192, 0, 2, 1].into(), port: 4000, rtcp_port: None, formats };
    for number in 1..=MAX_TRANSACTIONS as u64 + 1 {
        let (media, params) = (LocalMedia::Rtp(rtp.clone()), CallParams::default());
        let action = Action::MakeCall { line: LineRef(0), to: "200".into(), params, media };
        sip.handle(now, Input::Command(Command { id: CommandId(number), action }));
        assert!(sent(&mut sip)[0].starts_with("INVITE"));
    }
    assert_eq!((sip.transactions(), sip.counters().evicted), (MAX_TRANSACTIONS, 1));
}
