//! One user agent against peers that write raw text, so that it cannot agree with its own mistakes.
#![allow(clippy::unwrap_used, clippy::too_many_lines, reason = "tests")]

mod net;

use net::*;
use tapi::{DisconnectMode, ErrorCode, PartyFlag, Service};
use tsp_sip::PORT;
use tspi::*;

const SDP: &str = "v=0\no=- 1 1 IN IP4 192.0.2.2\ns=-\nc=IN IP4 192.0.2.2\nt=0 0\nm=audio 7000 RTP/AVP 0 101\n\
                   a=rtpmap:101 telephone-event/8000\n";

fn alone() -> Net {
    let mut net = Net::empty(1);
    net.add(config(ALICE, "192.0.2.0/24", None));
    net
}

fn request(line: &str, branch: &str, to_tag: &str, cseq: u32, body: &str) -> String {
    let method = line.split(' ').next().unwrap();
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\n" };
    let to_tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
    format!(
        "{line} SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bK{branch};rport\nMax-Forwards: 70\n\
         From: \"Bob\" <sip:+15550100@example.com>;tag=b\nTo: <sip:100@example.org>{to_tag}\nCall-ID: raw\n\
         CSeq: {cseq} {method}\nContact: <sip:bob@192.0.2.2>\n{kind}Content-Length: {}\n\n{body}",
        body.replace('\n', "\r\n").len()
    )
}

fn invite(branch: &str) -> String {
    request("INVITE sip:100@example.org", branch, "", 1, SDP)
}

/// Whole texts that the agent sent, in order.
fn texts(net: &Net) -> Vec<String> {
    let events = net.agents[0].events.iter();
    events
        .filter_map(|event| match event {
            Event::Trace { entry, .. } if entry.sent => entry.text.clone(),
            _ => None,
        })
        .collect()
}

fn last(net: &Net) -> String {
    texts(net).pop().unwrap_or_default()
}

fn tag_of(text: &str) -> String {
    let to = text.lines().find(|line| line.starts_with("To:")).unwrap();
    to.split("tag=").nth(1).unwrap_or_default().to_owned()
}

/// A call from the raw peer that is up; our tag.
fn connected(net: &mut Net, body: &str) -> (CallRef, String) {
    net.inject(0, BOB, &request("INVITE sip:100@example.org", "i", "", 1, body));
    let call = net.offered(0);
    net.command(0, Action::Answer { call, media: rtp(1) }).unwrap();
    let tag = tag_of(&last(net));
    (call, tag)
}

#[test]
fn lines_are_told_first_and_go_out_of_service_with_the_port() {
    let mut net = alone();
    let Event::LineAdded { description, .. } = &net.agents[0].events[0] else { panic!() };
    assert_eq!((description.name.as_str(), &description.service), ("sip:trunk", &Service::In));
    assert_eq!(description.addresses, ["sip:100@example.org"]);
    net.feed(0, Input::Closed { port: PORT, reason: "gone" });
    let out = net.agents[0].events.last().cloned().unwrap();
    assert!(
        matches!(&out, Event::LineChanged { change: LineChange::Service(Service::Out { reason }), .. } if reason.contains("gone")),
        "{out:?}"
    );
    let refused = net.command(
        0,
        Action::MakeCall { line: LineRef(0), to: "200".into(), params: CallParams::default(), media: rtp(1) },
    );
    assert_eq!(refused.unwrap_err().code, ErrorCode::InvalLineState);
    let now = net.now + std::time::Duration::from_secs(5);
    assert_eq!(net.agents[0].sip.poll_timeout(), Some(now));
    net.agents[0].sip.handle(now, Input::Timeout);
    assert_eq!(net.agents[0].sip.poll_output(), Some(Output::Open { port: PORT }));
    net.feed(0, Input::Opened { port: PORT });
    let back = net.agents[0].events.last().cloned().unwrap();
    assert!(matches!(back, Event::LineChanged { change: LineChange::Service(Service::In), .. }));
}

#[test]
fn an_address_that_peers_cannot_reach_is_told_and_never_opened() {
    let mut net = Net::empty(1);
    net.add(config("0.0.0.0:5060", "192.0.2.2", None));
    let Event::LineAdded { description, .. } = &net.agents[0].events[0] else { panic!() };
    assert!(matches!(&description.service, Service::Out { reason } if reason.contains("0.0.0.0")));
}

#[test]
fn strangers_get_silence() {
    let mut net = alone();
    for text in [invite("s"), request("OPTIONS sip:100@example.org", "o", "", 1, ""), "junk\n\n".to_owned()] {
        net.inject(0, "203.0.113.9:5060", &text);
    }
    assert!(net.wire.is_empty());
    let counters = net.agents[0].sip.counters();
    assert_eq!((counters.strangers, counters.unreadable), (2, 1));
    net.inject(0, BOB, "\n\n");
    assert_eq!(net.agents[0].sip.counters().keep_alives, 1);
}

#[test]
fn an_offered_call_tells_who_calls_whom() {
    let mut net = alone();
    net.inject(0, BOB, &invite("1"));
    let facts = net.agents[0].events.iter().find_map(|event| match event {
        Event::NewCall { facts, .. } => Some(facts.clone()),
        _ => None,
    });
    let facts = facts.unwrap();
    let caller = facts.caller.unwrap();
    assert_eq!((caller.address.as_deref(), caller.name.as_deref()), (Some("+15550100"), Some("Bob")));
    assert_eq!(facts.called.unwrap().address.as_deref(), Some("100"));
    assert_eq!(facts.network_id.as_deref(), Some("raw"));
    let trying = last(&net);
    assert!(trying.starts_with("SIP/2.0 100 Trying\r\n") && tag_of(&trying).is_empty(), "{trying}");
    assert!(trying.contains(";received=192.0.2.2;rport=5060\r\n"), "{trying}");
    let mut net = alone();
    net.inject(
        0,
        BOB,
        &invite("1").replace("\"Bob\" <sip:+15550100@example.com>", "<sip:anonymous@anonymous.invalid>"),
    );
    let hidden = net.agents[0].events.iter().any(|event| {
        matches!(event, Event::NewCall { facts, .. } if facts.caller.as_ref().unwrap().flags.contains(&PartyFlag::Blocked))
    });
    assert!(hidden);
}

#[test]
fn a_retransmitted_invite_makes_no_second_call_and_a_merged_one_is_refused() {
    let mut net = alone();
    for _ in 0..3 {
        net.inject(0, BOB, &invite("1"));
    }
    net.inject(0, BOB, &invite("2"));
    let calls = net.agents[0].events.iter().filter(|event| matches!(event, Event::NewCall { .. })).count();
    assert_eq!(calls, 1);
    assert!(last(&net).starts_with("SIP/2.0 482"), "{}", last(&net));
    // A caller of RFC 2543 has no such branch.
    let mut net = alone();
    for _ in 0..2 {
        net.inject(0, BOB, &invite("1").replace("z9hG4bK1", "old"));
    }
    let calls = net.agents[0].events.iter().filter(|event| matches!(event, Event::NewCall { .. })).count();
    assert_eq!(calls, 1);
}

#[test]
fn requests_outside_of_calls_get_their_status() {
    for (line, tag, status) in [
        ("OPTIONS sip:100@example.org", "", "200 OK"),
        ("BYE sip:100@example.org", "nobody", "481"),
        ("CANCEL sip:100@example.org", "", "481"),
        ("INVITE sip:100@example.org", "nobody", "481"),
        ("REGISTER sip:example.org", "", "405"),
        ("INFO sip:100@example.org", "nobody", "481"),
        ("PUBLISH sip:100@example.org", "nobody", "405"),
        ("DANCE sip:100@example.org", "", "501"),
    ] {
        let mut net = alone();
        net.inject(0, BOB, &request(line, "x", tag, 1, ""));
        let answer = last(&net);
        assert!(answer.starts_with(&format!("SIP/2.0 {status}")), "{line}: {answer}");
        if ["200 OK", "405", "501"].contains(&status) {
            assert!(answer.contains("Allow: INVITE, ACK, CANCEL, BYE, OPTIONS"), "{answer}");
        }
    }
    let mut net = alone();
    net.inject(0, BOB, &request("ACK sip:100@example.org", "x", "nobody", 1, ""));
    assert!(net.wire.is_empty(), "ACK is never answered");
}

#[test]
fn what_cannot_be_taken_is_refused_before_anybody_is_told() {
    for (offer, why) in [(SDP.replace(" 0 101", " 18 101"), "codec"), (SDP.replace("RTP/AVP", "RTP/SAVP"), "audio")] {
        let mut net = alone();
        net.inject(0, BOB, &request("INVITE sip:100@example.org", "x", "", 1, &offer));
        assert!(last(&net).starts_with("SIP/2.0 488") && last(&net).contains(why), "{}", last(&net));
        assert!(!net.agents[0].events.iter().any(|event| matches!(event, Event::NewCall { .. })));
    }
    let mut net = alone();
    for number in 0..4 {
        net.inject(0, BOB, &invite(&number.to_string()).replace("Call-ID: raw", &format!("Call-ID: {number}")));
    }
    assert!(
        last(&net).starts_with("SIP/2.0 503") && last(&net).contains("Retry-After:"),
        "over three calls: {}",
        last(&net)
    );
}

#[test]
fn an_invite_without_offer_gets_one_and_the_answer_comes_with_ack() {
    let mut net = alone();
    let (call, tag) = connected(&mut net, "");
    assert!(last(&net).contains("m=audio 4002 RTP/AVP 8 0 101\r\n"));
    assert!(net.media(0, call).is_empty());
    net.inject(0, BOB, &request("ACK sip:100@192.0.2.1", "a", &tag, 1, SDP));
    assert_eq!(net.media(0, call)[0].send.payload_type, 0);
    assert!(matches!(net.reports(0, call).last(), Some(Report::Answered(_))));
    let mut net = alone();
    let (call, tag) = connected(&mut net, "");
    net.inject(0, BOB, &request("ACK sip:100@192.0.2.1", "a", &tag, 1, ""));
    assert_eq!(net.mode(0, call), Some((ReleasedBy::Remote, DisconnectMode::Incompatible)));
    assert!(last(&net).starts_with("BYE sip:bob@192.0.2.2 SIP/2.0\r\n"), "{}", last(&net));
}

#[test]
fn changes_by_the_far_end() {
    let mut net = alone();
    let (call, tag) = connected(&mut net, SDP);
    net.inject(0, BOB, &request("INVITE sip:100@192.0.2.1", "r0", &tag, 2, SDP));
    assert!(last(&net).starts_with("SIP/2.0 491"), "before ACK: {}", last(&net));
    net.inject(0, BOB, &request("ACK sip:100@192.0.2.1", "a", &tag, 1, ""));
    let held = SDP.replace("192.0.2.2\nt", "0.0.0.0\nt");
    for (number, body, direction, report) in [
        (3, format!("{SDP}a=sendonly\n"), "recvonly", Report::PeerHeld),
        (4, SDP.to_owned(), "sendrecv", Report::PeerRetrieved),
        (5, held, "recvonly", Report::PeerHeld),
        (6, SDP.to_owned(), "sendrecv", Report::PeerRetrieved),
        (7, format!("{SDP}a=inactive\n"), "inactive", Report::PeerHeld),
    ] {
        let branch = format!("r{number}");
        net.inject(0, BOB, &request("INVITE sip:100@192.0.2.1", &branch, &tag, number, &body));
        assert!(last(&net).contains(&format!("a={direction}\r\n")), "{}", last(&net));
        assert_eq!(net.reports(0, call).last(), Some(&report));
        net.inject(0, BOB, &request("ACK sip:100@192.0.2.1", &format!("a{number}"), &tag, number, ""));
    }
    net.inject(0, BOB, &request("INVITE sip:100@192.0.2.1", "r8", &tag, 8, &SDP.replace(" 0 101", " 18")));
    assert!(last(&net).starts_with("SIP/2.0 488"), "{}", last(&net));
    net.inject(0, BOB, &request("BYE sip:100@192.0.2.1", "old", &tag, 4, ""));
    assert!(last(&net).starts_with("SIP/2.0 500"), "a number that is too low: {}", last(&net));
    assert_eq!(net.end(0, call), None);
    net.inject(0, BOB, &request("BYE sip:100@192.0.2.1", "bye", &tag, 20, ""));
    assert!(last(&net).starts_with("SIP/2.0 200") && net.end(0, call).is_some());
}

#[test]
fn bye_before_ack_and_cancel_after_the_answer() {
    let mut net = alone();
    let (call, tag) = connected(&mut net, SDP);
    net.inject(0, BOB, &request("CANCEL sip:100@example.org", "i", "", 1, ""));
    assert!(last(&net).starts_with("SIP/2.0 200") && net.end(0, call).is_none(), "too late, and without effect");
    net.inject(0, BOB, &request("BYE sip:100@192.0.2.1", "b", &tag, 2, ""));
    assert_eq!(net.mode(0, call), Some((ReleasedBy::Remote, DisconnectMode::Normal)));
    let sent = net.wire.len();
    net.run(60_000);
    assert_eq!(net.wire.len(), sent, "the 200 is not sent again after BYE");
    net.assert_nothing_left();
}

/// What a peer says to the INVITE that was sent last.
fn reply(net: &mut Net, status: &str, tag: &str, body: &str) {
    let invite = texts(net).into_iter().rev().find(|text| text.starts_with("INVITE")).unwrap();
    let copy = |name: &str| invite.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\n" };
    let text = format!(
        "SIP/2.0 {status}\n{}\n{}\n{};tag={tag}\n{}\n{}\nContact: <sip:{tag}@192.0.2.2>\n{kind}\n{body}",
        copy("Via:"),
        copy("From:"),
        copy("To:").split(";tag").next().unwrap(),
        copy("Call-ID:"),
        copy("CSeq:")
    );
    net.inject(0, BOB, &text);
}

#[test]
fn of_a_fork_the_first_answer_wins_and_the_others_are_ended() {
    let mut net = alone();
    let call = net.call(0, "sip:200@192.0.2.2");
    reply(&mut net, "180 Ringing", "one", "");
    reply(&mut net, "183 Session Progress", "two", SDP);
    reply(&mut net, "180 Ringing", "two", "");
    let rings = net.reports(0, call).into_iter().filter(|report| *report == Report::PeerRings).count();
    assert_eq!((rings, net.media(0, call).len()), (1, 1), "it rings once; early media is heard");
    reply(&mut net, "200 OK", "two", SDP);
    reply(&mut net, "200 OK", "one", SDP);
    reply(&mut net, "200 OK", "one", SDP);
    let lines: Vec<String> = texts(&net).iter().map(|text| text.lines().next().unwrap().to_owned()).collect();
    assert_eq!(
        lines[1..],
        [
            "ACK sip:two@192.0.2.2 SIP/2.0",
            "ACK sip:one@192.0.2.2 SIP/2.0",
            "BYE sip:one@192.0.2.2 SIP/2.0",
            "ACK sip:one@192.0.2.2 SIP/2.0"
        ]
    );
    assert_eq!(net.end(0, call), None);
    assert_eq!(net.reports(0, call).iter().filter(|report| matches!(report, Report::Answered(_))).count(), 1);
}

#[test]
fn failures_of_a_call_and_of_a_hold() {
    for (status, mode) in [
        ("302 Moved", DisconnectMode::Forwarded),
        ("404 No", DisconnectMode::BadAddress),
        ("486 Busy", DisconnectMode::Busy),
        ("503 Full", DisconnectMode::Congestion),
        ("603 No", DisconnectMode::Reject),
    ] {
        let mut net = alone();
        let call = net.call(0, "sip:200@192.0.2.2");
        reply(&mut net, status, "x", "");
        assert_eq!(net.mode(0, call), Some((ReleasedBy::Remote, mode)));
        reply(&mut net, status, "x", "");
        assert_eq!(net.sent(0, "ACK").len(), 2, "each repetition is acknowledged");
        net.assert_nothing_left();
    }
    for (status, ends) in [("488", false), ("500", false), ("503", false), ("603", false), ("481", true), ("408", true)]
    {
        let mut net = alone();
        let call = net.call(0, "sip:200@192.0.2.2");
        reply(&mut net, "200 OK", "x", SDP);
        net.command(0, Action::Hold { call }).unwrap();
        reply(&mut net, &format!("{status} Word"), "x", "");
        assert_eq!(net.end(0, call).is_some(), ends, "{status}");
        assert_eq!(matches!(net.reports(0, call).last(), Some(Report::Unchanged { .. })), !ends, "{status}");
    }
}

#[test]
fn destinations() {
    for (to, uri) in [
        ("200", "sip:200@example.org"),
        ("+1 555 010", ""),
        ("+1-555-(010)", "sip:+1555010@example.org"),
        ("*21#", "sip:*21%23@example.org"),
        ("bob", "sip:bob@example.org"),
        ("bob@192.0.2.7", "sip:bob@192.0.2.7"),
        ("sip:bob@192.0.2.7:5070;x=1", "sip:bob@192.0.2.7:5070;x=1"),
        ("tel:+1555010", "tel:+1555010"),
        ("mailto:bob@192.0.2.7", ""),
        ("sip:bob@192.0.2.7\r\nX: y", ""),
        ("sip:bob@192.0.2.7?Subject=x", ""),
        ("<sip:bob@192.0.2.7>", ""),
        ("", ""),
    ] {
        let mut net = Net::empty(1);
        net.add(config(ALICE, "192.0.2.2", Some(BOB)));
        let action = Action::MakeCall { line: LineRef(0), to: to.into(), params: CallParams::default(), media: rtp(1) };
        match net.command(0, action) {
            Ok(_) => assert!(last(&net).starts_with(&format!("INVITE {uri} SIP/2.0\r\n")), "{to}: {}", last(&net)),
            Err(refusal) => assert_eq!((refusal.code, uri), (ErrorCode::InvalAddress, ""), "{to}: {}", refusal.text),
        }
    }
}

#[test]
fn names_are_resolved_before_the_call_is_taken() {
    let start = |net: &mut Net| {
        let media = rtp(1);
        let params = CallParams { block_id: true, ..CallParams::default() };
        let action = Action::MakeCall { line: LineRef(0), to: "200".into(), params, media };
        net.feed(0, Input::Command(Command { id: CommandId(9), action }));
    };
    let reply = |net: &Net| {
        net.agents[0].events.iter().find_map(|event| match event {
            Event::Reply { id: CommandId(9), result } => Some(result.clone()),
            _ => None,
        })
    };
    let named = || {
        let mut net = Net::empty(1);
        net.add(config(ALICE, "192.0.2.2", Some("sbc.example.org:5080")));
        net
    };
    let query = |kind| Query { name: "sbc.example.org".into(), kind };
    let mut net = named();
    start(&mut net);
    assert!(reply(&net).is_none() && net.wire.is_empty());
    assert_eq!(net.agents[0].asked, [query(RecordKind::A)], "a port is named: no SRV; our socket is of IPv4: no AAAA");
    let address = |ip: &str| Record::Address(ip.parse().unwrap());
    let found = Ok(Records { records: vec![address("192.0.2.2"), address("192.0.2.3")], ttl_s: 60 });
    net.feed(0, Input::Found { query: &query(RecordKind::A), result: &found });
    assert!(matches!(reply(&net), Some(Ok(Taken::Call(_)))));
    assert_eq!(net.wire[0].2, "192.0.2.2:5080".parse().unwrap());
    let invite = last(&net);
    assert!(
        invite.contains("Privacy: id\r\n") && invite.contains("From: \"Anonymous\" <sip:anonymous@anonymous.invalid>")
    );
    let mut net = named();
    start(&mut net);
    net.feed(0, Input::Found { query: &query(RecordKind::A), result: &Err(LookupError::None { ttl_s: 60 }) });
    assert!(reply(&net).unwrap().unwrap_err().text.contains("no such name"));
    let mut net = named();
    start(&mut net);
    net.run(14_900);
    assert!(reply(&net).is_none());
    net.run(200);
    assert!(reply(&net).unwrap().is_err());
    net.feed(0, Input::Found { query: &query(RecordKind::A), result: &found });
    assert!(net.wire.is_empty() && net.agents[0].sip.is_idle());
}

#[test]
fn commands_that_make_no_sense_are_refused() {
    let mut net = alone();
    let call = CallRef(99);
    let code = |net: &mut Net, action| net.command(0, action).unwrap_err().code;
    assert_eq!(code(&mut net, Action::Accept { call }), ErrorCode::InvalCallHandle);
    net.inject(0, BOB, &invite("1"));
    let call = net.offered(0);
    assert_eq!(code(&mut net, Action::Hold { call }), ErrorCode::InvalCallState);
    assert_eq!(code(&mut net, Action::Answer { call, media: LocalMedia::None }), ErrorCode::InvalMediaMode);
    let operation = tapi::OperationId(1);
    let digits = Action::SendDigits { call, operation, digits: "1".into(), duration_ms: None };
    assert_eq!(code(&mut net, digits), ErrorCode::OperationUnavail);
    net.command(0, Action::Accept { call }).unwrap();
    assert_eq!(code(&mut net, Action::Accept { call }), ErrorCode::InvalCallState);
}

#[test]
fn a_cancelled_call_without_a_final_response_is_given_up() {
    let mut net = alone();
    let call = net.call(0, "sip:200@192.0.2.2");
    reply(&mut net, "180 Ringing", "x", "");
    net.command(0, Action::Drop { call, reason: None }).unwrap();
    assert_eq!(net.mode(0, call), Some((ReleasedBy::Local, DisconnectMode::Normal)), "the server need not wait");
    net.command(0, Action::CloseCall { call }).unwrap();
    let cancel = texts(&net).into_iter().find(|text| text.starts_with("CANCEL")).unwrap();
    let ok = cancel.replacen("CANCEL sip:200@192.0.2.2 SIP/2.0", "SIP/2.0 200 OK", 1);
    net.inject(0, BOB, &ok);
    net.run(31_900);
    assert_eq!(
        (net.agents[0].sip.calls(), net.agents[0].sip.transactions()),
        (1, 1),
        "a final response may still come"
    );
    net.run(200);
    assert!(net.agents[0].sip.is_idle(), "64 T1 after the CANCEL nothing is left");
    let (strays, sent) = (net.agents[0].sip.counters().stray_responses, net.wire.len());
    reply(&mut net, "200 OK", "x", SDP);
    assert_eq!((net.agents[0].sip.counters().stray_responses, net.wire.len()), (strays + 1, sent));
}

#[test]
fn calls_outlive_their_port_for_eight_seconds() {
    let mut net = alone();
    let (call, tag) = connected(&mut net, SDP);
    net.inject(0, BOB, &request("ACK sip:100@192.0.2.1", "a", &tag, 1, ""));
    net.feed(0, Input::Closed { port: PORT, reason: "gone" });
    net.run(6_000);
    net.feed(0, Input::Opened { port: PORT });
    net.run(60_000);
    assert_eq!(net.end(0, call), None, "the port was back in time");

    net.inject(0, BOB, &invite("offered").replace("Call-ID: raw", "Call-ID: other"));
    let offered = net.offered(0);
    let placed = net.call(0, "sip:200@192.0.2.2");
    net.feed(0, Input::Closed { port: PORT, reason: "gone" });
    net.run(4_000);
    net.feed(0, Input::Closed { port: PORT, reason: "still gone" });
    net.run(3_900);
    assert_eq!(net.end(0, call), None);
    net.run(200);
    for call in [call, offered, placed] {
        let (by, cause) = net.end(0, call).unwrap();
        assert_eq!((by, cause.mode), (ReleasedBy::Remote, DisconnectMode::Unavail));
        assert!(cause.text.unwrap().contains("gone"));
    }
    assert!(texts(&net).iter().any(|text| text.starts_with("BYE")), "the far end hears of it if the port comes back");
    net.feed(0, Input::Opened { port: PORT });
    net.assert_nothing_left();
}
