//! More than can be served: what is refused, what is not looked at, and what goes on all the same. In virtual time.
#![allow(clippy::unwrap_used, reason = "tests")]

mod net;

use net::*;
use tspi::*;

fn request(method: &str, branch: &str, call_id: &str, to_tag: &str, cseq: u32) -> String {
    let tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
    let sdp = "v=0\r\no=- 1 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\nm=audio 7000 RTP/AVP 8\r\n";
    let body = if method == "INVITE" { sdp } else { "" };
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\n" };
    format!(
        "{method} sip:100@192.0.2.1 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bK{branch}\nMax-Forwards: 70\n\
         From: <sip:200@example.org>;tag=f\nTo: <sip:100@example.org>{tag}\nCall-ID: {call_id}\nCSeq: {cseq} {method}\n\
         Contact: <sip:200@192.0.2.2>\n{kind}Content-Length: {}\n\n{body}",
        body.len()
    )
}

fn alone() -> Net {
    let mut net = Net::empty(1);
    let mut config = config(ALICE, "192.0.2.2", None);
    config.lines[0].max_calls = 10_000;
    net.add(config);
    net
}

/// Answers so far, by their first line.
fn answers(net: &Net, begin: &str) -> Vec<String> {
    net.sent_texts.iter().filter(|text| text.starts_with(begin)).cloned().collect()
}

fn retry_after(text: &str) -> u64 {
    text.split("\r\n").find_map(|line| line.strip_prefix("Retry-After: ")).unwrap().parse().unwrap()
}

#[test]
fn a_busy_server_gets_no_new_calls_and_keeps_those_that_are_up() {
    let mut net = alone();
    net.inject(0, BOB, &request("INVITE", "a", "a", "", 1));
    let call = net.offered(0);
    net.command(0, Action::Answer { call, media: rtp(1) }).unwrap();
    let ok = answers(&net, "SIP/2.0 200").pop().unwrap();
    let to = ok.split("\r\n").find(|line| line.starts_with("To:")).unwrap();
    let tag = to.split_once("tag=").unwrap().1.to_owned();
    net.inject(0, BOB, &request("ACK", "a2", "a", &tag, 1));

    net.feed(0, Input::Load { busy: true });
    let before = net.agents[0].events.len();
    let mut waits = std::collections::BTreeSet::new();
    for number in 0..40 {
        net.inject(0, BOB, &request("INVITE", &format!("b{number}"), &format!("b{number}"), "", 1));
        waits.insert(retry_after(&answers(&net, "SIP/2.0 503").pop().unwrap()));
    }
    assert_eq!(answers(&net, "SIP/2.0 503").len(), 40);
    assert!(waits.len() > 3 && waits.iter().all(|wait| (1..=10).contains(wait)), "they come back spread: {waits:?}");
    assert_eq!(net.agents[0].events.len(), before, "the server hears nothing of them");
    assert_eq!(net.agents[0].sip.counters().overloads, 40);

    // Whoever asks whether we are there, and the call that is up, are served.
    net.inject(0, BOB, &request("OPTIONS", "o", "o", "", 1));
    assert_eq!(answers(&net, "SIP/2.0 200").len(), 2);
    net.inject(0, BOB, &request("BYE", "a3", "a", &tag, 2));
    assert!(net.end(0, call).is_some());
    net.feed(0, Input::Load { busy: false });
    net.inject(0, BOB, &request("INVITE", "c", "c", "", 1));
    assert_ne!(net.offered(0), call, "and then calls come in again");
}

#[test]
fn what_is_sent_again_is_answered_once_and_makes_no_second_call() {
    let mut net = alone();
    for _ in 0..50 {
        net.inject(0, BOB, &request("INVITE", "a", "a", "", 1));
    }
    let calls = net.agents[0].events.iter().filter(|event| matches!(event, Event::NewCall { .. })).count();
    assert_eq!((calls, net.wire.len()), (1, 50), "one answer for each that came, not more");

    net.feed(0, Input::Load { busy: true });
    let before = net.wire.len();
    for _ in 0..50 {
        net.inject(0, BOB, &request("INVITE", "b", "b", "", 1));
    }
    assert_eq!(net.wire.len() - before, 50);
    net.inject(0, BOB, &request("ACK", "b", "b", "", 1));
    let acknowledged = net.wire.len();
    net.run(60_000);
    let of_b =
        |net: &Net| net.sent_texts.iter().skip(acknowledged).filter(|text| text.contains("Call-ID: b\r\n")).count();
    assert_eq!(of_b(&net), 0, "a refusal that is acknowledged is not sent again");
}

#[test]
fn a_peer_that_talks_too_much_is_cut_to_its_rate_and_the_others_are_not() {
    let mut net = Net::empty(1);
    let mut config = config(ALICE, "192.0.2.0/24", None);
    config.transports.requests_per_s = 20;
    net.add(config);
    let ask = |net: &mut Net, from: &str, number: u64| {
        let before = net.wire.len();
        let text = request("OPTIONS", &format!("{from}{number}"), "o", "", 1).replace("192.0.2.2:5060", from);
        net.inject(0, from, &text);
        net.wire.len() > before
    };
    let mut heard = 0;
    for number in 0..1_000 {
        heard += u32::from(ask(&mut net, BOB, number));
        net.run(2);
    }
    // Two seconds: the store of one second, and the supply of two.
    assert!((55..=62).contains(&heard), "{heard}");
    assert!(net.agents[0].sip.counters().floods > 900);
    assert!(ask(&mut net, "192.0.2.77:5060", 1), "the others are heard");
}

#[test]
fn strangers_get_no_answer_however_much_they_send() {
    let mut net = alone();
    for number in 0..2_000 {
        net.inject(0, "203.0.113.9:5060", &request("INVITE", &format!("s{number}"), "s", "", 1));
    }
    assert_eq!(net.wire.len(), 0);
    assert!(net.agents[0].events.iter().all(|event| !matches!(event, Event::NewCall { .. } | Event::Trace { .. })));
}
