//! Calls over connections, in virtual time: framing, reuse, failover, names, keep-alives, addresses from outside.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod net;

use net::*;
use tapi::DisconnectMode;
use tsp_sip::transport::stun;
use tsp_sip::{ExternalAddress, TCP_PORT};
use tspi::*;

const ALICE_TCP: &str = "192.0.2.1:5060";
const BOB_TCP: &str = "192.0.2.2:5060";

/// Alice and Bob, who talk over this way.
fn pair(transport: &str) -> Net {
    let mut net = Net::empty(1);
    for (own, other) in [(ALICE, BOB), (BOB, ALICE)] {
        let port = if transport == "tls" { 5061 } else { 5060 };
        let host = other.split(':').next().unwrap();
        let mut config = config(own, host, Some(&format!("{host}:{port};transport={transport}")));
        let address = |text: &str, port: u16| format!("{}:{port}", text.split(':').next().unwrap()).parse().unwrap();
        config.transports.tcp = Some(address(own, 5060));
        config.transports.tls = Some(address(own, 5061));
        net.add(config);
    }
    net
}

fn hang_up(net: &mut Net, alice: CallRef) {
    net.command(0, Action::Drop { call: alice, reason: None }).unwrap();
    net.run(1_000);
}

/// Bytes as if they came from a connection that this agent accepted from here.
fn accepted(net: &mut Net, at: usize, from: &str, number: u32) -> PortId {
    let port = PortId(PortId::ACCEPTED.0 + 1_000 + number);
    let (local, from) = (net.agents[at].address, from.parse().unwrap());
    net.feed(at, Input::Accepted { listener: TCP_PORT, port, local, from, names: &[] });
    port
}

fn options(branch: &str, length: &str) -> String {
    format!(
        "OPTIONS sip:100@example.org SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.2:5060;branch=z9hG4bK{branch}\r\n\
         From: <sip:b@x>;tag=b\r\nTo: <sip:100@example.org>\r\nCall-ID: {branch}\r\nCSeq: 1 OPTIONS\r\n{length}\r\n"
    )
}

#[test]
fn a_call_over_one_connection_however_the_stream_is_cut() {
    for portion in [1, 7, 1_460] {
        for transport in ["tcp", "tls"] {
            let mut net = pair(transport);
            net.portion = portion;
            // Each step of so many would be written out and read back.
            net.restarts = portion > 1;
            let (alice, bob) = net.connected();
            assert!(net.wire.is_empty(), "no datagram: {:?}", net.wire);
            assert_eq!(net.wrote(0, "INVITE"), 1);
            assert_eq!(net.streams.connects.len(), 1, "answers and requests go over the same connection");
            net.command(1, Action::Hold { call: bob }).unwrap();
            net.run(2_000);
            assert_eq!(net.streams.connects.len(), 1, "its other end uses it too");
            assert!(net.reports(0, alice).contains(&Report::PeerHeld));
            hang_up(&mut net, alice);
            assert_eq!(net.mode(1, bob), Some((ReleasedBy::Remote, DisconnectMode::Normal)));
        }
    }
}

#[test]
fn the_name_that_a_certificate_must_be_for_is_that_of_the_configured_hop() {
    let mut net = pair("tls");
    net.call(0, "200");
    let name = "192.0.2.2".to_owned();
    assert_eq!(net.streams.connects, [("192.0.2.2:5061".parse().unwrap(), Security::Tls { name })]);
}

#[test]
fn over_a_connection_nothing_is_sent_twice() {
    let mut net = pair("tcp");
    net.portion = 10_000;
    let alice = net.call(0, "200");
    // Bob is deaf from now on.
    net.streams.under_way.clear();
    net.run(40_000);
    assert_eq!(net.wrote(0, "INVITE") + net.sent(0, "INVITE").len(), 0, "nothing was written: it did not come about");
    assert_eq!(net.mode(0, alice), Some((ReleasedBy::Remote, DisconnectMode::Unreachable)));
}

#[test]
fn a_refused_connection_ends_the_call_at_once() {
    let mut net = Net::empty(1);
    net.add(config(ALICE, "192.0.2.2", Some("192.0.2.2:5060;transport=tcp")));
    let alice = net.call(0, "200");
    net.run(100);
    assert_eq!(net.mode(0, alice), Some((ReleasedBy::Remote, DisconnectMode::Unreachable)));
    net.assert_nothing_left();
}

#[test]
fn a_call_goes_on_over_a_new_connection_after_a_restart() {
    let mut net = pair("tcp");
    let (alice, bob) = net.connected();
    net.cut_all(0);
    net.run(1_000);
    assert_eq!(net.end(0, alice), None, "the call does not die with its connection");
    net.command(1, Action::Hold { call: bob }).unwrap();
    net.run(2_000);
    assert!(net.reports(0, alice).contains(&Report::PeerHeld));
    assert_eq!(net.streams.connects.len(), 2);
    hang_up(&mut net, alice);
    assert_eq!(net.mode(1, bob), Some((ReleasedBy::Remote, DisconnectMode::Normal)));
}

#[test]
fn large_requests_go_over_tcp_and_by_datagram_when_nobody_listens() {
    let long = format!("sip:{}@192.0.2.2", "x".repeat(200));
    for (listens, black_hole) in [(true, false), (false, false), (false, true)] {
        let mut net = Net::empty(1);
        let mut alice = config(ALICE, "192.0.2.2", Some("192.0.2.2:5060"));
        alice.lines[0].user = "u".repeat(700);
        net.add(alice);
        let mut bob = config(BOB, "192.0.2.1", None);
        bob.transports.tcp = listens.then(|| BOB_TCP.parse().unwrap());
        net.add(bob);
        if black_hole {
            net.streams.black_holes.push(BOB_TCP.parse().unwrap());
        }
        let call = net.call(0, &long);
        net.run(6_000);
        assert!(net.end(0, call).is_none());
        assert_eq!(net.offered(1), CallRef(1), "it arrives");
        assert_eq!((net.wrote(0, "INVITE") > 0, net.sent(0, "INVITE").is_empty()), (listens, listens));
    }
}

#[test]
fn a_request_without_length_is_told_so_and_its_connection_closed() {
    let mut net = pair("tcp");
    let port = accepted(&mut net, 0, "192.0.2.2:4000", 1);
    let text = [options("a", "Content-Length: 0\r\n"), options("b", "")].concat();
    net.feed(0, Input::Bytes { port, bytes: text.as_bytes() });
    let wrote: Vec<&str> = net.streamed.iter().map(|(_, _, line)| line.as_str()).collect();
    assert_eq!(wrote.len(), 2, "{wrote:?}");
    assert_eq!(wrote[0], "SIP/2.0 200 OK");
    assert!(wrote[1].starts_with("SIP/2.0 400 Bad Request") && wrote[1].contains("Content-Length"), "{wrote:?}");
    net.feed(0, Input::Bytes { port, bytes: options("c", "Content-Length: 0\r\n").as_bytes() });
    assert_eq!(net.streamed.len(), 2, "nothing more is read");
    assert_eq!(net.agents[0].sip.counters().closed, 1);
}

#[test]
fn a_slow_connection_is_cut_and_strangers_get_none() {
    let mut net = pair("tcp");
    let (slow, silent) = (accepted(&mut net, 0, "192.0.2.2:4000", 1), accepted(&mut net, 0, "192.0.2.2:4001", 2));
    for byte in b"OPTIONS sip:100@example.org" {
        net.feed(0, Input::Bytes { port: slow, bytes: &[*byte] });
        net.run(1_000);
    }
    net.feed(0, Input::Bytes { port: silent, bytes: options("a", "Content-Length: 0\r\n").as_bytes() });
    let stranger = accepted(&mut net, 0, "203.0.113.1:4000", 3);
    net.feed(0, Input::Bytes { port: stranger, bytes: options("a", "Content-Length: 0\r\n").as_bytes() });
    assert!(net.streamed.is_empty(), "{:?}", net.streamed);
    assert_eq!(net.agents[0].sip.counters().strangers, 1);
}

#[test]
fn pings_are_answered_and_sent_and_their_answers_awaited() {
    let mut net = pair("tcp");
    let port = accepted(&mut net, 0, "192.0.2.2:4000", 1);
    net.feed(0, Input::Bytes { port, bytes: b"\r\n\r\n" });
    assert_eq!(net.wrote(0, ""), 1, "a pong");
    let mut net = Net::empty(1);
    for (own, other) in [(ALICE, BOB), (BOB, ALICE)] {
        let host = other.split(':').next().unwrap();
        let mut config = config(own, host, Some(&format!("{other};transport=tcp")));
        config.transports.tcp = Some(own.parse().unwrap());
        config.transports.keepalive_s = 30;
        net.add(config);
    }
    let (alice, _) = net.connected();
    net.run(600_000);
    assert!(net.wrote(0, "") >= 10, "signs of life");
    assert_eq!(net.streams.connects.len(), 1, "the connection lives through all silence");
    hang_up(&mut net, alice);
}

/// Two servers of a domain by SRV, of which one may be dead.
fn records(query: &Query, ttl_s: u32) -> Result<Records, LookupError> {
    let srv = |priority, target: &str| Record::Srv { priority, weight: 0, port: 5060, target: target.into() };
    let records = match (query.name.as_str(), query.kind) {
        ("_sip._udp.example.net", RecordKind::Srv) => vec![srv(2, "b.example.net"), srv(1, "a.example.net")],
        ("a.example.net", RecordKind::A) => vec![Record::Address("192.0.2.66".parse().unwrap())],
        ("b.example.net", RecordKind::A) => vec![Record::Address("192.0.2.2".parse().unwrap())],
        _ => return Err(LookupError::None { ttl_s }),
    };
    Ok(Records { records, ttl_s })
}

fn by_srv() -> Net {
    let mut net = Net::empty(1);
    net.add(config(ALICE, "192.0.2.2", Some("example.net")));
    net.add(config(BOB, "192.0.2.1", Some(ALICE)));
    net
}

fn call_by_name(net: &mut Net) -> CallRef {
    let before = net.agents[0].events.len();
    let action = Action::MakeCall { line: LineRef(0), to: "200".into(), params: CallParams::default(), media: rtp(1) };
    net.feed(0, Input::Command(Command { id: CommandId(900), action }));
    net.answer_names(0, |query| records(query, 60));
    let taken = net.agents[0].events[before..].iter().find_map(|event| match event {
        Event::Reply { result: Ok(Taken::Call(call)), .. } => Some(*call),
        _ => None,
    });
    taken.expect("the call is taken once its way is known")
}

#[test]
fn the_next_server_is_tried_with_a_branch_of_its_own_and_the_dead_one_is_remembered() {
    let mut net = by_srv();
    let call = call_by_name(&mut net);
    net.run(8_100);
    let dead = "192.0.2.66:5060".parse().unwrap();
    let to: Vec<_> = net.wire.iter().filter(|(.., line)| line.starts_with("INVITE")).map(|(_, _, to, _)| *to).collect();
    assert_eq!(to.iter().filter(|to| **to == dead).count(), 5, "five attempts within 16 T1: {to:?}");
    assert_eq!(net.offered(1), CallRef(1));
    assert!(net.end(0, call).is_none());
    assert_eq!(net.agents[0].sip.counters().failovers, 1);
    let before = net.wire.len();
    call_by_name(&mut net);
    let first = net.wire[before..].iter().find(|(.., line)| line.starts_with("INVITE")).unwrap();
    assert_eq!(first.2, BOB.parse().unwrap(), "the dead one comes last now");
}

#[test]
fn a_503_sends_the_call_to_the_next_server_and_is_acknowledged() {
    let mut net = by_srv();
    let call = call_by_name(&mut net);
    let invite = net.sent_texts.iter().find(|text| text.starts_with("INVITE")).unwrap().clone();
    let field = |name: &str| invite.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    let response = format!(
        "SIP/2.0 503 Service Unavailable\n{}\n{}\n{};tag=x\n{}\n{}\nRetry-After: 120\nContent-Length: 0\n\n",
        field("Via:"),
        field("From:"),
        field("To:"),
        field("Call-ID:"),
        field("CSeq:")
    );
    net.inject(0, "192.0.2.66:5060", &response);
    net.run(500);
    assert_eq!(net.sent(0, "ACK").len(), 1);
    assert_eq!(net.offered(1), CallRef(1));
    let second = net.sent_texts.iter().filter(|text| text.starts_with("INVITE")).nth(1).unwrap();
    let of = |text: &str, name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert_eq!(of(second, "Call-ID:"), field("Call-ID:"));
    assert_ne!(of(second, "Via:"), field("Via:"));
    net.inject(0, "192.0.2.66:5060", &response);
    net.run(10);
    assert_eq!(net.sent(0, "ACK").len(), 2, "its repetition too");
    assert!(net.end(0, call).is_none());
}

#[test]
fn a_dropped_call_is_not_tried_elsewhere() {
    let mut net = by_srv();
    let call = call_by_name(&mut net);
    net.run(1_000);
    net.command(0, Action::Drop { call, reason: None }).unwrap();
    net.run(60_000);
    assert!(net.sent(1, "SIP/2.0").is_empty(), "the other server never hears of it");
    net.assert_nothing_left();
}

#[test]
fn peers_that_are_names_are_known_while_their_names_say_so() {
    let mut net = Net::empty(1);
    net.add(config(ALICE, "pbx.example.net", None));
    let answer = |ip: &'static str| {
        move |query: &Query| match (query.name.as_str(), query.kind) {
            ("pbx.example.net", RecordKind::A) => {
                Ok(Records { records: vec![Record::Address(ip.parse().unwrap())], ttl_s: 60 })
            }
            _ => Err(LookupError::None { ttl_s: 600 }),
        }
    };
    net.answer_names(0, answer("192.0.2.2"));
    let ask = |net: &mut Net, branch: &str| {
        let before = net.wire.len();
        net.inject(0, BOB, &options(branch, "").replace("/TCP", "/UDP"));
        net.wire.len() > before
    };
    assert!(ask(&mut net, "1"));
    net.run(61_000);
    net.answer_names(0, answer("192.0.2.3"));
    assert!(!ask(&mut net, "2"), "the name moved, and its old address is a stranger's");
    net.run(61_000);
    net.answer_names(0, |_| Err(LookupError::ServerFailed));
    net.inject(0, "192.0.2.3:5060", &options("3", "").replace("/TCP", "/UDP"));
    assert_eq!(net.sent(0, "SIP/2.0 200").len(), 2, "what was known stays while the name servers fail");
}

#[test]
fn the_address_from_outside_is_learned_by_stun_and_told_to_those_outside() {
    let mut net = Net::empty(1);
    let mut alice = config("10.0.0.1:5060", "192.0.2.2", Some(BOB));
    alice.transports.stun = Some("192.0.2.99".into());
    alice.transports.external_address = ExternalAddress::Learned;
    net.add(alice);
    net.run(10);
    let request = net.datagrams.iter().rev().find(|(_, bytes)| stun::is_stun(bytes)).expect("a STUN request").clone();
    assert_eq!(request.0, "192.0.2.99:3478".parse().unwrap());
    let Some(stun::Stun::Request(id)) = stun::read(&request.1) else { panic!("{request:?}") };
    let seen = "203.0.113.7:1234".parse().unwrap();
    let bytes = stun::success(&id, seen);
    net.feed(0, Input::Datagram { port: tsp_sip::PORT, from: request.0, bytes: &bytes });
    net.call(0, "200");
    let outside = net.sent_texts.last().unwrap().clone();
    assert!(outside.contains("Contact: <sip:100@203.0.113.7:1234>\r\n"), "{outside}");
    assert!(outside.contains("c=IN IP4 203.0.113.7\r\n"), "{outside}");
    assert!(outside.contains("Via: SIP/2.0/UDP 10.0.0.1:5060;"), "rport sees to the answers: {outside}");
}

#[test]
fn loss_reordering_and_duplication_leave_no_transaction_behind() {
    for seed in 0..12 {
        let mut net = Net::new(seed);
        net.fate = Box::new(move |random: &mut Random, _, _| {
            let late = std::time::Duration::from_millis(5 + random.below(300));
            (random.below(100) >= 15).then_some(late)
        });
        net.twice = 10;
        let call = net.call(0, "200");
        net.run(5_000);
        if net.agents[1].events.iter().any(|event| matches!(event, Event::NewCall { .. })) {
            let bob = net.offered(1);
            let _ = net.command(1, Action::Accept { call: bob });
            net.run(2_000);
            let _ = net.command(1, Action::Answer { call: bob, media: rtp(2) });
            net.run(20_000);
        }
        let _ = net.command(0, Action::Drop { call, reason: None });
        net.run(200_000);
        net.assert_nothing_left();
    }
}

#[test]
fn alice_listens_where_she_says() {
    let mut net = pair("tcp");
    let opened = net.opened.clone();
    assert!(opened.contains(&(0, TCP_PORT)) && opened.contains(&(0, tsp_sip::TLS_PORT)), "{opened:?}");
    net.feed(0, Input::Closed { port: TCP_PORT, reason: "in use" });
    net.opened.clear();
    net.run(5_001);
    assert_eq!(net.opened, [(0, TCP_PORT)], "it is asked for again: {ALICE_TCP}");
}
