//! The rules of RFC 3515 and RFC 3891, against peers that write raw text.
#![allow(clippy::unwrap_used, clippy::too_many_lines, reason = "tests")]

mod net;

use net::*;
use tsp_sip::LineConfig;
use tspi::*;

const CAROL: &str = "192.0.2.3:5060";
const OTHER: &str = "203.0.113.5:5060";
const SDP: &str = "v=0\no=- 1 1 IN IP4 192.0.2.2\ns=-\nc=IN IP4 192.0.2.2\nt=0 0\nm=audio 7000 RTP/AVP 0 101\n\
                   a=rtpmap:101 telephone-event/8000\n";

/// One agent with two lines: peers of each are not the other's.
fn alone() -> Net {
    let mut net = Net::empty(1);
    let mut config = config(ALICE, "192.0.2.0/24", None);
    let other =
        LineConfig { name: "sip:other".into(), peers: vec!["203.0.113.0/24".into()], ..config.lines[0].clone() };
    config.lines.push(other);
    net.add(config);
    net
}

fn request(method: &str, from: &str, (call_id, to_tag): (&str, &str), cseq: u32, headers: &str, body: &str) -> String {
    let to_tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\n" };
    let ip = from.split(':').next().unwrap();
    format!(
        "{method} sip:100@example.org SIP/2.0\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{call_id}{cseq}{method};rport\n\
         Max-Forwards: 70\nFrom: <sip:+15550100@example.com>;tag=far\nTo: <sip:100@example.org>{to_tag}\n\
         Call-ID: {call_id}\nCSeq: {cseq} {method}\nContact: <sip:peer@{ip}>\n{headers}{kind}Content-Length: {}\n\n{body}",
        body.replace('\n', "\r\n").len()
    )
}

fn last(net: &Net, begin: &str) -> String {
    net.sent_texts.iter().rev().find(|text| text.starts_with(begin)).cloned().unwrap_or_default()
}

fn status(net: &Net) -> u16 {
    last(net, "SIP/2.0").split(' ').nth(1).unwrap().parse().unwrap()
}

fn tag_of(text: &str, header: &str) -> String {
    let line = text.lines().find(|line| line.starts_with(header)).unwrap();
    line.split("tag=").nth(1).unwrap_or_default().to_owned()
}

/// A call of Bob's that is up: our name for it, and our tag.
fn connected(net: &mut Net) -> (CallRef, String) {
    net.inject(0, BOB, &request("INVITE", BOB, ("old", ""), 1, "", SDP));
    let call = net.offered(0);
    net.command(0, Action::Answer { call, media: rtp(1) }).unwrap();
    let tag = tag_of(&last(net, "SIP/2.0 200"), "To:");
    net.inject(0, BOB, &request("ACK", BOB, ("old", &tag), 1, "", ""));
    (call, tag)
}

fn replacing(net: &mut Net, from: &str, call_id: &str, headers: &str) -> u16 {
    net.inject(0, from, &request("INVITE", from, (call_id, ""), 1, headers, SDP));
    status(net)
}

fn replaced(net: &Net) -> Option<CallRef> {
    net.agents[0].events.iter().rev().find_map(|event| match event {
        Event::NewCall { facts, .. } => Some(facts.replaces),
        _ => None,
    })?
}

#[test]
fn who_may_take_the_place_of_an_answered_call() {
    let mut net = alone();
    let (old, tag) = connected(&mut net);
    let good = format!("Replaces: old;to-tag={tag};from-tag=far\n");
    for (at, (from, headers, wanted)) in [
        (CAROL, format!("Replaces: other;to-tag={tag};from-tag=far\n"), 481),
        (CAROL, "Replaces: old;to-tag=wrong;from-tag=far\n".to_owned(), 481),
        (CAROL, format!("Replaces: old;to-tag={tag};from-tag=wrong\n"), 481),
        // The tags the wrong way round.
        (CAROL, format!("Replaces: old;to-tag=far;from-tag={tag}\n"), 481),
        (CAROL, format!("Replaces: old;to-tag={tag};from-tag=far;early-only\n"), 486),
        (CAROL, format!("{good}{good}"), 400),
        (CAROL, format!("{good}Join: old;to-tag={tag};from-tag=far\n"), 400),
        (CAROL, format!("Replaces: old;to-tag={tag}\n"), 400),
        (CAROL, "Replaces: ;;;\n".to_owned(), 400),
        // Another trunk's peer knows the names, and is not one that the call belongs to.
        (OTHER, good.clone(), 403),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(replacing(&mut net, from, &format!("n{at}"), &headers), wanted, "{headers}");
        assert_eq!(net.offered(0), old, "{headers}");
    }
    for method in ["OPTIONS", "BYE"] {
        net.inject(0, BOB, &request(method, BOB, ("else", ""), 1, &good, ""));
        assert_eq!(status(&net), 400, "{method}");
    }
    assert_eq!(replacing(&mut net, CAROL, "new", &format!("Require: replaces\n{good}")), 100);
    assert_eq!(replaced(&net), Some(old));
    let new = net.offered(0);
    net.command(0, Action::Answer { call: new, media: rtp(2) }).unwrap();
    net.command(0, Action::Drop { call: old, reason: None }).unwrap();
    assert!(last(&net, "BYE").contains("Call-ID: old\r\n"));
    // It ended: who comes too late is told so, before its end is done and after.
    assert_eq!(replacing(&mut net, CAROL, "late", &good), 603);
    net.run(40_000);
    net.command(0, Action::CloseCall { call: old }).unwrap();
    assert_eq!(replacing(&mut net, CAROL, "later", &good), 603);
}

#[test]
fn a_ringing_call_is_taken_only_where_we_placed_it() {
    let mut net = alone();
    net.inject(0, BOB, &request("INVITE", BOB, ("old", ""), 1, "", SDP));
    let offered = net.offered(0);
    net.command(0, Action::Accept { call: offered }).unwrap();
    let tag = tag_of(&last(&net, "SIP/2.0 180"), "To:");
    assert_eq!(replacing(&mut net, CAROL, "n1", &format!("Replaces: old;to-tag={tag};from-tag=far\n")), 481);
    let ours = net.call(0, "sip:200@192.0.2.2");
    let invite = last(&net, "INVITE");
    let (call_id, tag) =
        (invite.lines().find_map(|line| line.strip_prefix("Call-ID: ")).unwrap().to_owned(), tag_of(&invite, "From:"));
    let echo = |name: &str| invite.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    let ringing = format!(
        "SIP/2.0 180 Ringing\n{}\n{}\n{};tag=callee\n{}\n{}\nContact: <sip:200@192.0.2.2>\nContent-Length: 0\n\n",
        echo("Via:"),
        echo("From:"),
        echo("To:"),
        echo("Call-ID:"),
        echo("CSeq:")
    );
    let wanted = format!("Replaces: {call_id};to-tag={tag};from-tag=callee;early-only\n");
    assert_eq!(replacing(&mut net, CAROL, "n2", &wanted), 481);
    net.inject(0, BOB, &ringing);
    assert_eq!(replacing(&mut net, CAROL, "n3", &wanted), 100);
    assert_eq!(replaced(&net), Some(ours));
    let new = net.offered(0);
    net.command(0, Action::Answer { call: new, media: rtp(3) }).unwrap();
    net.command(0, Action::Drop { call: ours, reason: None }).unwrap();
    assert!(last(&net, "CANCEL").contains(&call_id));
}

#[test]
fn a_refer_is_one_that_can_be_asked_about_or_is_refused() {
    let mut net = alone();
    let (call, tag) = connected(&mut net);
    let good = "Refer-To: <sip:200@192.0.2.3>\n";
    let mut cseq = 1;
    for (headers, wanted) in [
        ("", 400),
        ("Refer-To: <sip:200@192.0.2.3>\nRefer-To: <sip:201@192.0.2.3>\n", 400),
        ("r: <sip:200@192.0.2.3>, <sip:201@192.0.2.3>\n", 400),
        ("Refer-To: 200\n", 400),
        ("Refer-To: <http://192.0.2.3/>\n", 416),
        ("Refer-To: <sip:200@192.0.2.3;method=BYE>\n", 403),
        ("Refer-To: <sip:200@192.0.2.3?Replaces=a>\n", 400),
        ("Refer-To: <sip:200@192.0.2.3?Replaces=a%3Bto-tag%3D1%3Bfrom-tag%3D2&Replaces=b>\n", 400),
        ("Refer-To: <sip:100@192.0.2.1:5060>\n", 482),
        ("Refer-To: <sip:200@192.0.2.3>\nReferred-By: <sip:a@b>\nReferred-By: <sip:c@d>\n", 400),
        ("Refer-To: <sip:200@192.0.2.3;method=INVITE>\nReferred-By: \"Bob\" <sip:+15550100@example.com>\n", 202),
        // One at a time.
        (good, 491),
    ] {
        cseq += 1;
        net.inject(0, BOB, &request("REFER", BOB, ("old", &tag), cseq, headers, ""));
        let answer = net.sent_texts.iter().rev().find(|text| text.contains(&format!("CSeq: {cseq} REFER"))).unwrap();
        assert!(answer.starts_with(&format!("SIP/2.0 {wanted} ")), "{headers} {answer}");
    }
    let wish = net.agents[0].events.iter().find_map(|event| match event {
        Event::TransferRequested { call: of, request } if *of == call => Some(request.clone()),
        _ => None,
    });
    let wish = wish.unwrap();
    assert_eq!((wish.to.as_str(), wish.attended), ("sip:200@192.0.2.3", false));
    let by = wish.by.unwrap();
    assert_eq!((by.address.as_deref(), by.name.as_deref()), (Some("+15550100"), Some("Bob")));
    let notify = last(&net, "NOTIFY");
    assert!(notify.ends_with("\r\n\r\nSIP/2.0 100 Trying\r\n"), "{notify}");
    assert!(notify.contains("Subscription-State: active;expires=300\r\n"), "{notify}");
    // Nobody subscribes: the call that is placed all the same goes on, and nothing more is told.
    let echo = |name: &str| notify.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    let gone = format!(
        "SIP/2.0 481 Gone\n{}\n{}\n{}\n{}\n{}\nContent-Length: 0\n\n",
        echo("Via:"),
        echo("From:"),
        echo("To:"),
        echo("Call-ID:"),
        echo("CSeq:")
    );
    net.inject(0, BOB, &gone);
    assert_eq!(net.end(0, call), None);
    net.command(0, Action::AcceptTransfer { call, media: rtp(4) }).unwrap();
    let invite = last(&net, "INVITE sip:200@192.0.2.3");
    assert!(invite.contains("Referred-By: \"Bob\" <sip:+15550100@example.com>\r\n"), "{invite}");
    let told = net.sent_texts.iter().filter(|text| text.starts_with("NOTIFY")).count();
    net.run(200_000);
    assert_eq!(net.sent_texts.iter().filter(|text| text.starts_with("NOTIFY")).count(), told);
    // Outside of calls nobody is sent anywhere.
    for (to_tag, wanted) in [("", 403), ("nobody", 481)] {
        net.inject(0, CAROL, &request("REFER", CAROL, (&format!("none{wanted}"), to_tag), 1, good, ""));
        assert_eq!(status(&net), wanted);
    }
}

#[test]
fn news_that_is_none_of_ours_is_refused_and_ends_nothing() {
    let mut net = alone();
    let (call, tag) = connected(&mut net);
    let event = "Event: refer\nSubscription-State: active\n";
    net.inject(0, BOB, &request("NOTIFY", BOB, ("old", &tag), 2, event, ""));
    assert_eq!(status(&net), 481);
    net.inject(0, BOB, &request("NOTIFY", BOB, ("old", &tag), 3, "Event: presence\nSubscription-State: active\n", ""));
    assert_eq!(status(&net), 489);
    net.command(0, Action::BlindTransfer { call, to: "sip:200@192.0.2.3".into() }).unwrap();
    for (cseq, headers, wanted) in [
        (4, "Event: refer\n", 400),
        (5, "Event: refer;id=77\nSubscription-State: active\n", 481),
        (6, "Event: refer;id=1\nSubscription-State: active;expires=60\n", 200),
    ] {
        net.inject(0, BOB, &request("NOTIFY", BOB, ("old", &tag), cseq, headers, ""));
        assert_eq!(status(&net), wanted, "{headers}");
    }
    net.inject(0, BOB, &request("NOTIFY", BOB, ("old", &tag), 7, event, SDP));
    assert_eq!(status(&net), 415);
    // A subscription that ends without an outcome leaves the call.
    net.inject(0, BOB, &request("NOTIFY", BOB, ("old", &tag), 8, "Event: refer\nSubscription-State: terminated\n", ""));
    assert_eq!(status(&net), 200);
    assert!(matches!(net.reports(0, call).last(), Some(Report::TransferFailed { unsupported: false, .. })));
    assert_eq!(net.end(0, call), None);
}

#[test]
fn a_far_end_without_refer_is_not_asked() {
    let mut net = alone();
    net.inject(0, BOB, &request("INVITE", BOB, ("old", ""), 1, "Allow: INVITE, ACK, BYE, CANCEL\n", SDP));
    let call = net.offered(0);
    net.command(0, Action::Answer { call, media: rtp(1) }).unwrap();
    let tag = tag_of(&last(&net, "SIP/2.0 200"), "To:");
    net.inject(0, BOB, &request("ACK", BOB, ("old", &tag), 1, "", ""));
    let refused = net.command(0, Action::BlindTransfer { call, to: "sip:200@192.0.2.3".into() });
    assert_eq!(refused.unwrap_err().code, tapi::ErrorCode::OperationUnavail);
    assert!(last(&net, "REFER").is_empty());
}
