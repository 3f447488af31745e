//! Offers, reliable responses and timers against a peer of raw text, which does what we never do.
#![allow(clippy::unwrap_used, clippy::too_many_lines, reason = "tests")]

mod net;

use net::*;
use tapi::{CallReason, DisconnectMode, PartyFlag};
use tsp_sip::{CallPolicy, Protection};
use tspi::*;

const SDP: &str = "v=0\no=- 1 1 IN IP4 192.0.2.2\ns=-\nc=IN IP4 192.0.2.2\nt=0 0\nm=audio 7000 RTP/AVP 0 101\n\
                   a=rtpmap:101 telephone-event/8000\n";

fn alone(calls: CallPolicy) -> Net {
    let mut net = Net::empty(1);
    let mut config = config(ALICE, "192.0.2.0/24", None);
    config.lines[0].calls = calls;
    net.add(config);
    net
}

fn request(line: &str, branch: &str, tag: &str, cseq: u32, headers: &str, body: &str) -> String {
    let method = line.split(' ').next().unwrap();
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\n" };
    let tag = if tag.is_empty() { String::new() } else { format!(";tag={tag}") };
    format!(
        "{line} SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bK{branch};rport\nMax-Forwards: 70\n\
         From: \"Bob\" <sip:+15550100@example.com>;tag=b\nTo: <sip:100@example.org>{tag}\nCall-ID: raw\n\
         CSeq: {cseq} {method}\nContact: <sip:bob@192.0.2.2>\n{headers}{kind}Content-Length: {}\n\n{body}",
        body.replace('\n', "\r\n").len()
    )
}

fn texts(net: &Net) -> Vec<String> {
    let events = net.agents[0].events.iter();
    let sent = events.filter_map(|event| match event {
        Event::Trace { entry, .. } if entry.sent => entry.text.clone(),
        _ => None,
    });
    sent.collect()
}

fn last(net: &Net) -> String {
    texts(net).pop().unwrap_or_default()
}

fn field(text: &str, name: &str) -> String {
    let line = text.lines().find(|line| line.starts_with(&format!("{name}:"))).unwrap_or_default();
    line.split_once(": ").map_or("", |(_, value)| value).to_owned()
}

fn tag_of(text: &str) -> String {
    field(text, "To").split("tag=").nth(1).unwrap_or_default().to_owned()
}

/// A response to our last request of this method.
fn reply(net: &mut Net, method: &str, status: &str, tag: &str, headers: &str, body: &str) {
    let sent = texts(net).into_iter().rfind(|text| text.starts_with(method)).unwrap();
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\n" };
    let to = field(&sent, "To");
    let to = if to.contains("tag=") { to } else { format!("{to};tag={tag}") };
    let text = format!(
        "SIP/2.0 {status}\nVia: {}\nFrom: {}\nTo: {to}\nCall-ID: {}\nCSeq: {}\nContact: <sip:{tag}@192.0.2.2>\n\
         {headers}{kind}Content-Length: {}\n\n{body}",
        field(&sent, "Via"),
        field(&sent, "From"),
        field(&sent, "Call-ID"),
        field(&sent, "CSeq"),
        body.replace('\n', "\r\n").len()
    );
    net.inject(0, BOB, &text);
}

/// A call from the raw peer that is up; our tag.
fn connected(net: &mut Net, headers: &str, body: &str) -> (CallRef, String) {
    net.inject(0, BOB, &request("INVITE sip:100@example.org", "i", "", 1, headers, body));
    let call = net.offered(0);
    net.command(0, Action::Answer { call, media: rtp(1) }).unwrap();
    let tag = tag_of(&last(net));
    net.inject(0, BOB, &request("ACK sip:100@192.0.2.1", "a", &tag, 1, "", ""));
    (call, tag)
}

fn placed(net: &mut Net) -> CallRef {
    net.call(0, "sip:200@192.0.2.2")
}

fn pracks(net: &Net) -> Vec<String> {
    texts(net).iter().filter(|text| text.starts_with("PRACK")).map(|text| field(text, "RAck")).collect()
}

#[test]
fn only_the_next_reliable_response_is_acknowledged() {
    let mut net = alone(CallPolicy::default());
    let call = placed(&mut net);
    let ring = |net: &mut Net, number: u32, tag: &str| {
        let headers = format!("Require: 100rel\nRSeq: {number}\n");
        reply(net, "INVITE", "183 Progress", tag, &headers, SDP);
    };
    ring(&mut net, 7, "one");
    ring(&mut net, 7, "one");
    ring(&mut net, 9, "one");
    ring(&mut net, 6, "one");
    assert_eq!(pracks(&net), ["7 1 INVITE"]);
    ring(&mut net, 8, "one");
    ring(&mut net, 100, "two");
    assert_eq!(pracks(&net), ["7 1 INVITE", "8 1 INVITE", "100 1 INVITE"], "each branch counts for itself");
    reply(&mut net, "INVITE", "199 Gone", "two", "", "");
    reply(&mut net, "INVITE", "200 OK", "one", "", "");
    assert_eq!(net.media(0, call).len(), 1);
    assert_eq!(net.end(0, call), None, "the answer went reliably: none in the 200");
    assert!(field(&last(&net), "CSeq").ends_with("1 ACK"));
}

#[test]
fn a_prack_must_name_what_was_sent() {
    let mut net = alone(CallPolicy::default());
    let headers = "Supported: 100rel\nAllow: PRACK, UPDATE\n";
    net.inject(0, BOB, &request("INVITE sip:100@example.org", "i", "", 1, headers, SDP));
    let call = net.offered(0);
    net.command(0, Action::Accept { call }).unwrap();
    let ring = last(&net);
    let (tag, number) = (tag_of(&ring), field(&ring, "RSeq"));
    assert!(!number.is_empty() && field(&ring, "Require") == "100rel");
    let mut cseq = 1;
    for (rack, status) in [
        (format!("{number} 2 INVITE"), "481"),
        (format!("1{number} 1 INVITE"), "481"),
        (format!("{number} 1 BYE"), "481"),
        ("x".to_owned(), "481"),
        (format!("{number} 1 INVITE"), "200"),
        (format!("{number} 1 INVITE"), "481"),
    ] {
        cseq += 1;
        let headers = format!("RAck: {rack}\n");
        let prack = request("PRACK sip:100@192.0.2.1", &format!("p{cseq}"), &tag, cseq, &headers, "");
        net.inject(0, BOB, &prack);
        assert!(last(&net).starts_with(&format!("SIP/2.0 {status}")), "{rack}: {}", last(&net));
    }
    let update = request("UPDATE sip:100@192.0.2.1", "u", &tag, 20, "", SDP);
    net.inject(0, BOB, &update);
    assert!(last(&net).starts_with("SIP/2.0 500"), "the offer of the INVITE is not answered: {}", last(&net));
    assert!(field(&last(&net), "Retry-After").parse::<u32>().unwrap() <= 10);
    net.inject(0, BOB, &request("UPDATE sip:100@192.0.2.1", "v", &tag, 21, "", ""));
    assert!(last(&net).starts_with("SIP/2.0 200"), "one without an offer only refreshes");
    net.command(0, Action::Answer { call, media: rtp(1) }).unwrap();
    assert!(last(&net).contains("CSeq: 1 INVITE\r\n") && last(&net).contains("m=audio 4002"), "{}", last(&net));
    net.inject(0, BOB, &request("ACK sip:100@192.0.2.1", "a", &tag, 1, "", ""));
    assert!(net.reports(0, call).iter().any(|report| matches!(report, Report::Answered(_))));
}

#[test]
fn an_update_in_an_early_dialog_is_answered_once_the_media_are_agreed() {
    let mut net = alone(CallPolicy::default());
    let call = placed(&mut net);
    let local = field(&last(&net), "From").split("tag=").nth(1).unwrap().to_owned();
    let id = field(&last(&net), "Call-ID");
    let update = |cseq: u32, body: &str| {
        request("UPDATE sip:100@192.0.2.1", &format!("u{cseq}"), &local, cseq, "", body)
            .replace("Call-ID: raw", &format!("Call-ID: {id}"))
            .replace(";tag=b", ";tag=one")
    };
    reply(&mut net, "INVITE", "183 Progress", "one", "", SDP);
    net.inject(0, BOB, &update(1, SDP));
    assert!(last(&net).starts_with("SIP/2.0 491"), "our offer is out: {}", last(&net));
    reply(&mut net, "INVITE", "183 Progress", "one", "Require: 100rel\nRSeq: 1\n", SDP);
    let moved = SDP.replace("7000", "7100").replace("- 1 1", "- 1 2");
    net.inject(0, BOB, &update(2, &moved));
    assert!(last(&net).starts_with("SIP/2.0 200") && last(&net).contains("m=audio"), "{}", last(&net));
    assert_eq!(net.media(0, call).last().unwrap().address.port(), 7100);
    reply(&mut net, "INVITE", "200 OK", "one", "", "");
    assert_eq!(net.end(0, call), None);
    net.inject(0, BOB, &update(2, "").replace("z9hG4bKu2", "z9hG4bKw"));
    assert!(last(&net).starts_with("SIP/2.0 500"), "numbers rise through the answer");
}

#[test]
fn the_timer_of_the_far_end_and_a_change_of_roles() {
    let mut net = alone(CallPolicy::default());
    net.restarts = false;
    let headers = "Supported: timer\nAllow: UPDATE\nSession-Expires: 90;refresher=uas\n";
    let (call, tag) = connected(&mut net, headers, SDP);
    let ok = texts(&net).into_iter().rfind(|text| text.starts_with("SIP/2.0 200")).unwrap();
    assert_eq!(field(&ok, "Session-Expires"), "90;refresher=uas");
    net.run(45_000);
    assert_eq!(net.sent(0, "UPDATE").len(), 1, "we refresh at half the time");
    reply(&mut net, "UPDATE", "200 OK", "b", "Session-Expires: 90;refresher=uac\n", "");
    let headers = "Supported: timer\nSession-Expires: 90;refresher=uac\n";
    net.inject(0, BOB, &request("UPDATE sip:100@192.0.2.1", "r", &tag, 5, headers, ""));
    assert_eq!(
        (field(&last(&net), "Session-Expires"), field(&last(&net), "Require")),
        ("90;refresher=uac".into(), "timer".into())
    );
    net.run(59_000);
    assert_eq!((net.sent(0, "UPDATE").len(), net.end(0, call)), (1, None), "now they do");
    net.run(1_100);
    assert_eq!(net.mode(0, call), Some((ReleasedBy::Remote, DisconnectMode::TempFailure)), "30 s before the end");
    assert!(last(&net).starts_with("BYE"));
}

#[test]
fn a_timer_that_is_too_short_is_refused_and_one_that_is_unknown_is_ours_alone() {
    let mut net = alone(CallPolicy::default());
    let headers = "Supported: timer\nSession-Expires: 60\n";
    net.inject(0, BOB, &request("INVITE sip:100@example.org", "i", "", 1, headers, SDP));
    assert!(last(&net).starts_with("SIP/2.0 422") && field(&last(&net), "Min-SE") == "90", "{}", last(&net));
    let mut net = alone(CallPolicy::default());
    let (call, _) = connected(&mut net, "", SDP);
    net.run(899_000);
    assert_eq!(net.sent(0, "INVITE").len(), 0);
    net.run(2_000);
    let refresh = texts(&net).into_iter().rfind(|text| text.starts_with("INVITE")).unwrap();
    assert!(refresh.contains("m=audio"), "no UPDATE in Allow");
    reply(&mut net, "INVITE", "481 Gone", "b", "", "");
    assert_eq!(net.mode(0, call), Some((ReleasedBy::Remote, DisconnectMode::TempFailure)));
    let mut off = alone(CallPolicy { session_expires_s: None, ..CallPolicy::default() });
    off.inject(0, BOB, &request("INVITE sip:100@example.org", "i", "", 1, "Require: timer\n", SDP));
    assert!(last(&off).starts_with("SIP/2.0 420") && field(&last(&off), "Unsupported") == "timer");
}

#[test]
fn a_refresh_of_theirs_restarts_nothing_and_a_switch_of_codec_is_told() {
    let mut net = alone(CallPolicy::default());
    let (call, tag) = connected(&mut net, "", SDP);
    let first = texts(&net).into_iter().rfind(|text| text.starts_with("SIP/2.0 200")).unwrap();
    let origin = |text: &str| text.lines().find(|line| line.starts_with("o=")).unwrap().to_owned();
    let change = |net: &mut Net, cseq: u32, body: &str| {
        net.inject(0, BOB, &request("INVITE sip:100@192.0.2.1", &format!("r{cseq}"), &tag, cseq, "", body));
        let answer = last(net);
        net.inject(0, BOB, &request("ACK sip:100@192.0.2.1", &format!("s{cseq}"), &tag, cseq, "", ""));
        answer
    };
    let again = change(&mut net, 2, SDP);
    assert_eq!((origin(&again), net.media(0, call).len()), (origin(&first), 1));
    let other = change(&mut net, 3, &SDP.replace("AVP 0 101", "AVP 8 101").replace("- 1 1", "- 1 2"));
    assert_ne!(origin(&other), origin(&first));
    assert_eq!(net.media(0, call).last().unwrap().send.payload_type, 8);
    let held = change(&mut net, 4, &SDP.replace("c=IN IP4 192.0.2.2", "c=IN IP4 0.0.0.0").replace("- 1 1", "- 1 3"));
    assert!(held.contains("a=recvonly\r\n"), "{held}");
    assert_eq!(net.reports(0, call).last(), Some(&Report::PeerHeld));
    let refused = change(&mut net, 5, &SDP.replace("AVP 0 101", "AVP 18").replace("- 1 1", "- 1 4"));
    assert!(refused.starts_with("SIP/2.0 488") && refused.contains("Warning: 304 "), "{refused}");
    assert_eq!(net.end(0, call), None);
}

#[test]
fn a_hold_waits_for_their_ack() {
    let mut net = alone(CallPolicy::default());
    let (call, tag) = connected(&mut net, "", SDP);
    net.inject(0, BOB, &request("INVITE sip:100@192.0.2.1", "r", &tag, 2, "", ""));
    assert!(last(&net).contains("m=audio"), "our offer");
    net.command(0, Action::Hold { call }).unwrap();
    assert!(net.command(0, Action::Hold { call }).is_err());
    net.inject(0, BOB, &request("INVITE sip:100@192.0.2.1", "t", &tag, 3, "", SDP));
    assert!(last(&net).starts_with("SIP/2.0 500"), "theirs is not answered yet");
    assert!(net.sent(0, "INVITE").is_empty());
    net.inject(0, BOB, &request("ACK sip:100@192.0.2.1", "s", &tag, 2, "", SDP));
    assert_eq!(net.sent(0, "INVITE").len(), 1);
    assert!(last(&net).contains("a=sendonly\r\n"), "{}", last(&net));
}

#[test]
fn protection_that_is_required_is_not_given_up_in_the_middle_of_a_call() {
    let mut net = alone(CallPolicy { srtp: Protection::Required, ..CallPolicy::default() });
    let key = "a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\n";
    let safe = format!("{}{key}", SDP.replace("RTP/AVP", "RTP/SAVP"));
    let (call, tag) = connected(&mut net, "", &safe);
    let keys = net.media(0, call)[0].srtp.clone().unwrap();
    net.inject(0, BOB, &request("INVITE sip:100@192.0.2.1", "r", &tag, 2, "", &SDP.replace("- 1 1", "- 1 2")));
    assert!(last(&net).starts_with("SIP/2.0 488"), "{}", last(&net));
    net.inject(0, BOB, &request("ACK sip:100@192.0.2.1", "r", &tag, 2, "", ""));
    assert_eq!((net.end(0, call), net.media(0, call).len()), (None, 1));
    let other = safe.replace("WVNf", "AVNf").replace("- 1 1", "- 1 2");
    net.inject(0, BOB, &request("INVITE sip:100@192.0.2.1", "t", &tag, 3, "", &other));
    let fresh = net.media(0, call)[1].srtp.clone().unwrap();
    assert!(fresh.remote != keys.remote && fresh.local != keys.local);
    let trace: String = net.agents[0].events.iter().map(|event| format!("{event:?}")).collect();
    assert!(!trace.contains("VNfX19z"), "no key is told to anybody who looks");
}

#[test]
fn who_sent_a_call_on_and_who_calls_behind_it() {
    let facts = |trust_identity: bool, headers: &str| {
        let mut net = alone(CallPolicy { trust_identity, ..CallPolicy::default() });
        net.inject(0, BOB, &request("INVITE sip:100@example.org", "i", "", 1, headers, SDP));
        let facts = net.agents[0].events.iter().find_map(|event| match event {
            Event::NewCall { facts, .. } => Some((**facts).clone()),
            _ => None,
        });
        facts.unwrap()
    };
    let plain = facts(true, "");
    assert_eq!((plain.reason, plain.redirecting), (Some(CallReason::Direct), None));
    for (reason, told) in [
        ("user-busy", CallReason::ForwardedBusy),
        ("no-answer", CallReason::ForwardedNoAnswer),
        ("unconditional", CallReason::ForwardedUncond),
        ("\"time-of-day\"", CallReason::Redirect),
    ] {
        let facts = facts(
            false,
            &format!("Diversion: \"Desk\" <sip:+1555@x>;reason={reason};counter=1, <sip:9@x>;reason=unknown\n"),
        );
        let by = facts.redirecting.unwrap();
        assert_eq!(
            (by.address.as_deref(), by.name.as_deref(), facts.reason),
            (Some("+1555"), Some("Desk"), Some(told))
        );
        assert_eq!(facts.redirection.unwrap().address.as_deref(), Some("100"));
    }
    let hidden = facts(false, "Diversion: <sip:+1555@x>;reason=user-busy;privacy=full\n").redirecting.unwrap();
    assert!(hidden.flags.contains(&PartyFlag::Blocked));
    for (history, by, reason) in [
        ("<sip:555@x>;index=1, <sip:100@example.org;cause=486>;index=1.1", "555", CallReason::ForwardedBusy),
        ("<sip:555@x?Reason=SIP%3Bcause%3D408>;index=1, <sip:100@y>;index=1.1", "555", CallReason::ForwardedNoAnswer),
        (
            "<sip:1@x>;index=1, <sip:2@x;cause=302>;index=1.1, <sip:100@x;cause=302>;index=1.1.1",
            "2",
            CallReason::ForwardedUncond,
        ),
    ] {
        let facts = facts(false, &format!("History-Info: {history}\n"));
        assert_eq!((facts.redirecting.unwrap().address.as_deref(), facts.reason), (Some(by), Some(reason)));
    }
    let asserted = "P-Asserted-Identity: \"Real\" <sip:+4930@x>, <tel:+4930>\n";
    assert_eq!(facts(true, asserted).caller.unwrap().address.as_deref(), Some("+4930"));
    assert_eq!(facts(false, asserted).caller.unwrap().address.as_deref(), Some("+15550100"), "not believed");
    let private = facts(true, &format!("{asserted}Privacy: header; id\n")).caller.unwrap();
    assert!(private.flags.contains(&PartyFlag::Blocked) && private.address.is_none());
    let remote = facts(true, "Remote-Party-ID: <sip:777@x>;party=calling;privacy=full\n").caller.unwrap();
    assert!(remote.flags.contains(&PartyFlag::Blocked));
    assert!(facts(false, "Privacy: none\n").caller.unwrap().address.is_some());
}

#[test]
fn the_connected_party_is_told_when_it_changes() {
    let mut net = alone(CallPolicy { trust_identity: true, ..CallPolicy::default() });
    let call = placed(&mut net);
    reply(&mut net, "INVITE", "181 Forwarded", "one", "", "");
    assert_eq!(net.reports(0, call).last(), Some(&Report::Proceeding));
    reply(&mut net, "INVITE", "200 OK", "one", "P-Asserted-Identity: <sip:201@x>\n", SDP);
    reply(&mut net, "INVITE", "200 OK", "one", "P-Asserted-Identity: <sip:201@x>\n", SDP);
    let ack = last(&net);
    let (local, id) = (field(&ack, "From").split("tag=").nth(1).unwrap().to_owned(), field(&ack, "Call-ID"));
    let update = request("UPDATE sip:100@192.0.2.1", "u", &local, 1, "P-Asserted-Identity: <sip:202@x>\n", "")
        .replace("Call-ID: raw", &format!("Call-ID: {id}"))
        .replace(";tag=b", ";tag=one");
    net.inject(0, BOB, &update);
    let connected: Vec<String> = net.agents[0]
        .events
        .iter()
        .filter_map(|event| match event {
            Event::CallInfo { facts, .. } => facts.connected.clone()?.address,
            _ => None,
        })
        .collect();
    assert_eq!(connected, ["201", "202"]);
}

#[test]
fn unfit_answers_and_missing_ones_end_the_call() {
    let late = CallPolicy { offer: tsp_sip::OfferWhen::Late, ..CallPolicy::default() };
    for (policy, body) in
        [(late.clone(), ""), (late, "v=0\no=- 1 1 IN IP4 192.0.2.2\ns=-\nt=0 0\n"), (CallPolicy::default(), "")]
    {
        let mut net = alone(policy);
        let call = placed(&mut net);
        reply(&mut net, "INVITE", "200 OK", "one", "", body);
        assert_eq!(net.mode(0, call), Some((ReleasedBy::Remote, DisconnectMode::Incompatible)));
        assert_eq!((net.sent(0, "ACK").len(), net.sent(0, "BYE").len()), (1, 1));
        assert!(last(&net).contains("Reason: Q.850;cause=88\r\n"), "{}", last(&net));
    }
    let mut net = alone(CallPolicy::default());
    let call = placed(&mut net);
    reply(&mut net, "INVITE", "200 OK", "one", "", SDP);
    net.command(0, Action::Hold { call }).unwrap();
    reply(&mut net, "INVITE", "200 OK", "one", "", "");
    assert_eq!(net.mode(0, call), Some((ReleasedBy::Remote, DisconnectMode::Incompatible)), "a hold without an answer");
}

#[test]
fn info_is_answered_whatever_it_carries() {
    let mut net = alone(CallPolicy::default());
    let (call, tag) = connected(&mut net, "", SDP);
    let mut cseq = 1;
    for (kind, body, status) in [
        ("application/dtmf-relay", "Signal=5\nDuration=160\n", "200"),
        ("application/dtmf", "#", "200"),
        ("application/dtmf-relay", "nothing", "400"),
        ("application/json", "{}", "415"),
    ] {
        cseq += 1;
        let text = request("INFO sip:100@192.0.2.1", &format!("n{cseq}"), &tag, cseq, "", body)
            .replace("application/sdp", kind);
        net.inject(0, BOB, &text);
        assert!(last(&net).starts_with(&format!("SIP/2.0 {status}")), "{kind} {body}: {}", last(&net));
    }
    net.inject(0, BOB, &request("INFO sip:100@192.0.2.1", "empty", &tag, 30, "", ""));
    assert!(last(&net).starts_with("SIP/2.0 200"));
    let digits =
        net.agents[0].events.iter().filter(|event| matches!(event, Event::Digit { call: of, .. } if *of == call));
    assert_eq!(digits.count(), 2);
}
