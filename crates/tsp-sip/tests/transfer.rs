//! Transfers between three user agents: Alice transfers Bob to Carol. In virtual time, restarted after every step.
#![allow(clippy::unwrap_used, clippy::too_many_lines, reason = "tests")]

mod net;

use net::*;
use std::time::Duration;
use tapi::{DisconnectMode, ErrorCode};
use tsp_sip::{CallPolicy, Refer, Transfers};
use tspi::*;

const CAROL: &str = "192.0.2.3:5060";
const TO_BOB: &str = "sip:100@192.0.2.2:5060";
const TO_CAROL: &str = "sip:100@192.0.2.3:5060";

/// Alice, Bob and Carol, with Bob's policy.
fn trio_with(alice: CallPolicy, bob: CallPolicy) -> Net {
    let mut net = Net::empty(1);
    for (here, calls) in [(ALICE, alice), (BOB, bob), (CAROL, CallPolicy::default())] {
        let mut config = config(here, "192.0.2.0/24", None);
        config.lines[0].calls = calls;
        net.add(config);
    }
    net
}

fn trio() -> Net {
    trio_with(CallPolicy::default(), CallPolicy::default())
}

/// A call that is up: its names at both ends.
fn up(net: &mut Net, (from, to): (usize, usize), uri: &str) -> (CallRef, CallRef) {
    let ours = net.call(from, uri);
    net.run(500);
    let theirs = net.offered(to);
    net.command(to, Action::Answer { call: theirs, media: rtp(20 + ours.0) }).unwrap();
    net.run(500);
    (ours, theirs)
}

fn asked(net: &Net, at: usize) -> Vec<TransferRequest> {
    let events = net.agents[at].events.iter();
    let asked = events.filter_map(|event| match event {
        Event::TransferRequested { request, .. } => Some((**request).clone()),
        _ => None,
    });
    asked.collect()
}

fn accept(net: &mut Net, at: usize, call: CallRef) -> CallRef {
    match net.command(at, Action::AcceptTransfer { call, media: rtp(9) }) {
        Ok(Taken::Call(call)) => call,
        other => panic!("{other:?}"),
    }
}

fn facts(net: &Net, at: usize, call: CallRef) -> CallFacts {
    let mut events = net.agents[at].events.iter();
    let facts = events.find_map(|event| match event {
        Event::NewCall { call: about, facts, .. } if *about == call => Some((**facts).clone()),
        _ => None,
    });
    facts.unwrap()
}

/// Whole texts of an agent's messages that begin so, in order.
fn texts(net: &Net, at: usize, begin: &str) -> Vec<String> {
    let from = net.agents[at].address;
    let all = net.raw.iter().filter(|(sender, text)| *sender == from && text.starts_with(begin));
    all.map(|(_, text)| text.clone()).collect()
}

fn header(text: &str, name: &str) -> Option<String> {
    let lines = text.split("\r\n").take_while(|line| !line.is_empty());
    lines.filter_map(|line| line.split_once(": ")).find(|(known, _)| *known == name).map(|(_, value)| value.to_owned())
}

/// The news that Bob gave: state of the subscription and first line of the fragment, repetitions left out.
fn news(net: &Net) -> Vec<(String, String)> {
    let mut seen = Vec::new();
    for text in texts(net, 1, "NOTIFY") {
        let state = header(&text, "Subscription-State").unwrap().split(';').next().unwrap().to_owned();
        let line = text.split("\r\n\r\n").nth(1).unwrap().trim().to_owned();
        if seen.last() != Some(&(state.clone(), line.clone())) {
            seen.push((state, line));
        }
    }
    seen
}

fn told(state: &str, line: &str) -> (String, String) {
    (state.to_owned(), line.to_owned())
}

fn progress(text: &str) -> Report {
    Report::TransferProgress { text: text.to_owned() }
}

fn outcomes(net: &Net, at: usize, call: CallRef) -> Vec<Report> {
    let all = net.reports(at, call).into_iter();
    all.filter(|report| {
        matches!(report, Report::TransferProgress { .. } | Report::Transferred | Report::TransferFailed { .. })
    })
    .collect()
}

fn failure(net: &Net, at: usize, call: CallRef) -> (DisconnectMode, Option<u16>, bool) {
    match outcomes(net, at, call).pop() {
        Some(Report::TransferFailed { cause, unsupported }) => (cause.mode, cause.sip, unsupported),
        other => panic!("{other:?}"),
    }
}

fn hang_up_all(net: &mut Net) {
    for at in 0..net.agents.len() {
        let calls: Vec<CallRef> = net.agents[at]
            .events
            .iter()
            .filter_map(|event| match event {
                Event::NewCall { call, .. } => Some(*call),
                Event::Reply { result: Ok(Taken::Call(call)), .. } => Some(*call),
                _ => None,
            })
            .collect();
        for call in calls {
            if net.end(at, call).is_none() {
                net.command(at, Action::Drop { call, reason: None }).unwrap();
                net.run(1_000);
            }
        }
    }
    net.run(5_000);
    net.assert_nothing_left();
}

#[test]
fn a_blind_transfer_is_told_step_by_step_and_ends_the_call_once() {
    let mut net = trio();
    let (alice, bob) = up(&mut net, (0, 1), TO_BOB);
    net.command(0, Action::BlindTransfer { call: alice, to: TO_CAROL.into() }).unwrap();
    net.run(500);
    let wish = asked(&net, 1);
    assert_eq!(wish.len(), 1);
    assert_eq!((wish[0].to.as_str(), wish[0].attended), (TO_CAROL, false));
    assert_eq!(wish[0].by.as_ref().unwrap().address.as_deref(), Some("100"));
    assert_eq!(outcomes(&net, 0, alice), [progress("100 Trying")]);
    assert_eq!(texts(&net, 1, "SIP/2.0 202").len(), 1);
    let placed = accept(&mut net, 1, bob);
    net.run(500);
    let carol = net.offered(2);
    net.command(2, Action::Accept { call: carol }).unwrap();
    net.run(500);
    assert_eq!(outcomes(&net, 0, alice).last(), Some(&progress("180 Ringing")));
    assert_eq!(net.end(0, alice), None, "until it is answered the call is there");
    net.command(2, Action::Answer { call: carol, media: rtp(30) }).unwrap();
    net.run(1_000);
    assert_eq!(outcomes(&net, 0, alice).last(), Some(&Report::Transferred));
    assert_eq!(net.mode(0, alice), Some((ReleasedBy::Local, DisconnectMode::Normal)));
    assert_eq!(net.mode(1, bob), Some((ReleasedBy::Remote, DisconnectMode::Normal)));
    assert_eq!(net.end(1, placed), None);
    assert_eq!(net.sent(0, "BYE").len() + net.sent(1, "BYE").len(), 1);
    let expected = [
        told("active", "SIP/2.0 100 Trying"),
        told("active", "SIP/2.0 180 Ringing"),
        told("terminated", "SIP/2.0 200 OK"),
    ];
    assert_eq!(news(&net), expected);
    let notify = &texts(&net, 1, "NOTIFY")[2];
    assert_eq!(header(notify, "Event").as_deref(), Some("refer"));
    assert_eq!(header(notify, "Content-Type").as_deref(), Some("message/sipfrag;version=2.0"));
    assert_eq!(header(notify, "Subscription-State").as_deref(), Some("terminated;reason=noresource"));
    // What Alice said of herself, Carol is told.
    let refer = &texts(&net, 0, "REFER")[0];
    let invite = &texts(&net, 1, "INVITE")[0];
    assert_eq!(header(refer, "Refer-To").as_deref(), Some("<sip:100@192.0.2.3:5060>"));
    assert_eq!(header(refer, "Referred-By").as_deref(), Some("<sip:100@example.org>"));
    assert_eq!(header(invite, "Referred-By"), header(refer, "Referred-By"));
    assert!(header(refer, "Supported").unwrap().contains("norefersub"), "{refer}");
    hang_up_all(&mut net);
}

#[test]
fn the_one_that_is_transferred_may_hang_up_first() {
    let mut net = trio();
    let (alice, bob) = up(&mut net, (0, 1), TO_BOB);
    net.command(0, Action::BlindTransfer { call: alice, to: TO_CAROL.into() }).unwrap();
    net.run(100);
    accept(&mut net, 1, bob);
    net.run(100);
    // Bob leaves before Carol answers: the subscription stays until its end.
    net.command(1, Action::Drop { call: bob, reason: None }).unwrap();
    net.run(100);
    assert_eq!(net.mode(0, alice), Some((ReleasedBy::Remote, DisconnectMode::Normal)));
    let carol = net.offered(2);
    net.command(2, Action::Answer { call: carol, media: rtp(30) }).unwrap();
    net.run(1_000);
    assert_eq!(outcomes(&net, 0, alice).last(), Some(&Report::Transferred));
    assert_eq!(news(&net).last(), Some(&told("terminated", "SIP/2.0 200 OK")));
    assert_eq!(net.sent(0, "BYE").len(), 0);
    hang_up_all(&mut net);
}

#[test]
fn a_target_that_declines_leaves_the_call_as_it_was() {
    for (reason, mode, status) in
        [(Some(DisconnectMode::Busy), DisconnectMode::Busy, 486), (None, DisconnectMode::Reject, 603)]
    {
        let mut net = trio();
        let (alice, bob) = up(&mut net, (0, 1), TO_BOB);
        net.command(0, Action::BlindTransfer { call: alice, to: TO_CAROL.into() }).unwrap();
        net.run(100);
        accept(&mut net, 1, bob);
        net.run(100);
        let carol = net.offered(2);
        net.command(2, Action::Drop { call: carol, reason }).unwrap();
        net.run(1_000);
        assert_eq!(failure(&net, 0, alice), (mode, Some(status), false));
        assert_eq!((net.end(0, alice), net.end(1, bob)), (None, None));
        // It can be tried again, under a name of its own.
        net.command(0, Action::BlindTransfer { call: alice, to: TO_CAROL.into() }).unwrap();
        net.run(100);
        accept(&mut net, 1, bob);
        net.run(100);
        let carol = net.offered(2);
        net.command(2, Action::Answer { call: carol, media: rtp(30) }).unwrap();
        net.run(1_000);
        assert_eq!(outcomes(&net, 0, alice).last(), Some(&Report::Transferred));
        let cseq = header(&texts(&net, 0, "REFER")[1], "CSeq").unwrap();
        let id = format!("refer;id={}", cseq.split(' ').next().unwrap());
        assert_eq!(header(texts(&net, 1, "NOTIFY").last().unwrap(), "Event"), Some(id));
        hang_up_all(&mut net);
    }
}

#[test]
fn a_wish_that_is_rejected_is_told_with_603() {
    let mut net = trio();
    let (alice, bob) = up(&mut net, (0, 1), TO_BOB);
    net.command(0, Action::BlindTransfer { call: alice, to: TO_CAROL.into() }).unwrap();
    let again = net.command(0, Action::BlindTransfer { call: alice, to: TO_CAROL.into() });
    assert_eq!(again.unwrap_err().code, ErrorCode::ResourceUnavail);
    net.run(100);
    net.command(1, Action::RejectTransfer { call: bob }).unwrap();
    let late = net.command(1, Action::AcceptTransfer { call: bob, media: rtp(9) });
    assert_eq!(late.unwrap_err().code, ErrorCode::InvalCallState);
    net.run(1_000);
    assert_eq!(failure(&net, 0, alice), (DisconnectMode::Reject, Some(603), false));
    assert_eq!(news(&net), [told("active", "SIP/2.0 100 Trying"), told("terminated", "SIP/2.0 603 Decline")]);
    hang_up_all(&mut net);
}

#[test]
fn a_line_that_refuses_transfers_says_so_at_once_and_the_server_may_bridge() {
    let bob = CallPolicy { refer: Refer::Refuse, ..CallPolicy::default() };
    let mut net = trio_with(CallPolicy::default(), bob);
    let (alice, _) = up(&mut net, (0, 1), TO_BOB);
    net.command(0, Action::BlindTransfer { call: alice, to: TO_CAROL.into() }).unwrap();
    net.run(1_000);
    assert_eq!(failure(&net, 0, alice), (DisconnectMode::Reject, Some(603), true));
    assert_eq!(net.end(0, alice), None);
    assert!(asked(&net, 1).is_empty());
    hang_up_all(&mut net);
    let alice = CallPolicy { transfers: Transfers::Bridge, ..CallPolicy::default() };
    let mut net = trio_with(alice, CallPolicy::default());
    let (alice, _) = up(&mut net, (0, 1), TO_BOB);
    let refused = net.command(0, Action::BlindTransfer { call: alice, to: TO_CAROL.into() });
    assert_eq!(refused.unwrap_err().code, ErrorCode::OperationUnavail);
    hang_up_all(&mut net);
}

#[test]
fn without_a_subscription_the_transfer_is_over_when_it_is_taken() {
    let alice = CallPolicy { transfers: Transfers::ReferUnwatched, ..CallPolicy::default() };
    let mut net = trio_with(alice, CallPolicy::default());
    let (alice, bob) = up(&mut net, (0, 1), TO_BOB);
    net.command(0, Action::BlindTransfer { call: alice, to: TO_CAROL.into() }).unwrap();
    net.run(20);
    let placed = accept(&mut net, 1, bob);
    net.run(1_000);
    assert_eq!(outcomes(&net, 0, alice), [Report::Transferred]);
    assert!(net.end(0, alice).is_some());
    assert!(texts(&net, 1, "NOTIFY").is_empty());
    assert_eq!(header(&texts(&net, 0, "REFER")[0], "Refer-Sub").as_deref(), Some("false"));
    let of_refer = |text: &String| header(text, "CSeq").unwrap().ends_with(" REFER");
    let taken = texts(&net, 1, "SIP/2.0 200").into_iter().find(of_refer).unwrap();
    assert_eq!(header(&taken, "Refer-Sub").as_deref(), Some("false"));
    assert_eq!(net.end(1, placed), None);
    hang_up_all(&mut net);
}

/// Alice talks to Bob and consults Carol: her two calls, Bob's, Carol's.
fn consulting(net: &mut Net) -> (CallRef, CallRef, CallRef, CallRef) {
    let (alice, bob) = up(net, (0, 1), TO_BOB);
    net.command(0, Action::Hold { call: alice }).unwrap();
    net.run(500);
    let (consultation, carol) = up(net, (0, 2), TO_CAROL);
    (alice, consultation, bob, carol)
}

#[test]
fn a_consultation_transfer_joins_the_far_ends() {
    let mut net = trio();
    let (alice, consultation, bob, carol) = consulting(&mut net);
    net.command(0, Action::CompleteTransfer { call: alice, consultation }).unwrap();
    net.run(100);
    let wish = asked(&net, 1);
    assert_eq!((wish[0].to.as_str(), wish[0].attended), ("sip:100@192.0.2.3:5060", true));
    let placed = accept(&mut net, 1, bob);
    net.run(100);
    let new = net.offered(2);
    assert_eq!(facts(&net, 2, new).replaces, Some(carol));
    let replaces = header(&texts(&net, 1, "INVITE")[0], "Replaces").unwrap();
    let consulted =
        &texts(&net, 0, "INVITE").into_iter().find(|text| text.starts_with("INVITE sip:100@192.0.2.3")).unwrap();
    assert!(replaces.starts_with(&header(consulted, "Call-ID").unwrap()), "{replaces}");
    let refer = &texts(&net, 0, "REFER")[0];
    assert!(header(refer, "Refer-To").unwrap().contains("?Replaces=") && refer.contains("%3Bto-tag%3D"), "{refer}");
    // As the server does: the new one is answered, then the old one dropped.
    net.command(2, Action::Answer { call: new, media: rtp(31) }).unwrap();
    net.run(100);
    net.command(2, Action::Drop { call: carol, reason: None }).unwrap();
    net.run(1_000);
    assert_eq!(outcomes(&net, 0, alice).last(), Some(&Report::Transferred));
    assert_eq!(net.mode(0, alice).unwrap().0, ReleasedBy::Local);
    assert_eq!(net.mode(0, consultation), Some((ReleasedBy::Remote, DisconnectMode::Normal)));
    assert_eq!((net.end(1, placed), net.end(2, new)), (None, None));
    assert_eq!((net.sent(0, "BYE").len(), net.sent(2, "BYE").len()), (1, 1));
    net.run(10_000);
    assert_eq!(net.sent(0, "BYE").len(), 1);
    hang_up_all(&mut net);
}

#[test]
fn a_target_that_keeps_the_consultation_is_left() {
    let mut net = trio();
    let (alice, consultation, bob, _) = consulting(&mut net);
    net.command(0, Action::CompleteTransfer { call: alice, consultation }).unwrap();
    net.run(100);
    accept(&mut net, 1, bob);
    net.run(100);
    let new = net.offered(2);
    net.command(2, Action::Answer { call: new, media: rtp(31) }).unwrap();
    net.run(6_000);
    assert_eq!(net.mode(0, consultation), Some((ReleasedBy::Local, DisconnectMode::Normal)));
    hang_up_all(&mut net);
}

#[test]
fn a_consultation_transfer_that_the_target_declines_changes_nothing() {
    let mut net = trio();
    let (alice, consultation, bob, carol) = consulting(&mut net);
    net.command(0, Action::CompleteTransfer { call: alice, consultation }).unwrap();
    net.run(100);
    accept(&mut net, 1, bob);
    net.run(100);
    let new = net.offered(2);
    net.command(2, Action::Drop { call: new, reason: None }).unwrap();
    net.run(1_000);
    assert_eq!(failure(&net, 0, alice), (DisconnectMode::Reject, Some(603), false));
    let alive = [net.end(0, alice), net.end(0, consultation), net.end(1, bob), net.end(2, carol)];
    assert_eq!(alive, [None, None, None, None]);
    hang_up_all(&mut net);
}

#[test]
fn a_consultation_that_ended_meanwhile_is_none_to_take() {
    let mut net = trio();
    let (alice, consultation, bob, carol) = consulting(&mut net);
    net.command(0, Action::CompleteTransfer { call: alice, consultation }).unwrap();
    net.run(100);
    net.command(2, Action::Drop { call: carol, reason: None }).unwrap();
    net.run(100);
    accept(&mut net, 1, bob);
    net.run(1_000);
    assert_eq!(failure(&net, 0, alice), (DisconnectMode::Reject, Some(603), false));
    assert_eq!(net.end(0, alice), None);
    hang_up_all(&mut net);
}

#[test]
fn a_consultation_that_rings_is_not_one_that_the_network_joins() {
    let mut net = trio();
    let (alice, _) = up(&mut net, (0, 1), TO_BOB);
    let consultation = net.call(0, TO_CAROL);
    net.run(100);
    let carol = net.offered(2);
    net.command(2, Action::Accept { call: carol }).unwrap();
    net.run(100);
    let refused = net.command(0, Action::CompleteTransfer { call: alice, consultation });
    assert_eq!(refused.unwrap_err().code, ErrorCode::OperationUnavail);
    let itself = net.command(0, Action::CompleteTransfer { call: alice, consultation: alice });
    assert_eq!(itself.unwrap_err().code, ErrorCode::TargetSelf);
    hang_up_all(&mut net);
}

#[test]
fn who_asks_to_be_sent_to_us_ourselves_is_refused() {
    let mut net = trio();
    let (alice, _) = up(&mut net, (0, 1), TO_BOB);
    net.command(0, Action::BlindTransfer { call: alice, to: TO_BOB.into() }).unwrap();
    net.run(1_000);
    assert_eq!(failure(&net, 0, alice), (DisconnectMode::Unreachable, Some(482), false));
    assert!(asked(&net, 1).is_empty());
    hang_up_all(&mut net);
}

/// Loses the first messages that begin so.
fn losing(begin: &'static str, count: u32) -> Fate {
    let mut lost = 0;
    Box::new(move |_, _, bytes| {
        let hit = bytes.starts_with(begin.as_bytes()) && lost < count;
        lost += u32::from(hit);
        if hit { None } else { Some(Duration::from_millis(10)) }
    })
}

#[test]
fn news_that_is_lost_or_early_is_heard_all_the_same() {
    // The 202 is lost, so that news comes first; news is lost, and told in order.
    for begin in ["SIP/2.0 202", "NOTIFY", "REFER", "SIP/2.0 200"] {
        let mut net = trio();
        let (alice, bob) = up(&mut net, (0, 1), TO_BOB);
        net.fate = losing(begin, 3);
        net.command(0, Action::BlindTransfer { call: alice, to: TO_CAROL.into() }).unwrap();
        net.run(6_000);
        accept(&mut net, 1, bob);
        net.run(100);
        let carol = net.offered(2);
        net.command(2, Action::Accept { call: carol }).unwrap();
        net.command(2, Action::Answer { call: carol, media: rtp(30) }).unwrap();
        net.run(10_000);
        assert_eq!(outcomes(&net, 0, alice).last(), Some(&Report::Transferred), "{begin}");
        assert!(net.end(0, alice).is_some(), "{begin}");
        hang_up_all(&mut net);
    }
}

#[test]
fn without_news_the_call_is_as_it_was_after_32_seconds() {
    let mut net = trio();
    let (alice, bob) = up(&mut net, (0, 1), TO_BOB);
    net.fate = losing("NOTIFY", u32::MAX);
    net.command(0, Action::BlindTransfer { call: alice, to: TO_CAROL.into() }).unwrap();
    net.run(31_500);
    assert!(outcomes(&net, 0, alice).is_empty());
    net.run(1_500);
    assert_eq!(failure(&net, 0, alice), (DisconnectMode::TempFailure, None, false));
    assert_eq!((net.end(0, alice), net.end(1, bob)), (None, None));
    net.fate = prompt();
    hang_up_all(&mut net);
}

#[test]
fn a_refer_without_an_answer_changes_nothing() {
    let mut net = trio();
    let (alice, _) = up(&mut net, (0, 1), TO_BOB);
    net.fate = losing("REFER", u32::MAX);
    net.command(0, Action::BlindTransfer { call: alice, to: TO_CAROL.into() }).unwrap();
    net.run(33_000);
    assert_eq!(failure(&net, 0, alice), (DisconnectMode::TempFailure, None, false));
    assert_eq!(net.end(0, alice), None);
    net.fate = prompt();
    hang_up_all(&mut net);
}

#[test]
fn a_refer_that_crosses_a_bye_ends_with_the_call() {
    let mut net = trio();
    let (alice, bob) = up(&mut net, (0, 1), TO_BOB);
    net.command(0, Action::BlindTransfer { call: alice, to: TO_CAROL.into() }).unwrap();
    net.command(1, Action::Drop { call: bob, reason: None }).unwrap();
    net.run(2_000);
    assert_eq!(net.mode(0, alice), Some((ReleasedBy::Remote, DisconnectMode::Normal)));
    assert_eq!(failure(&net, 0, alice).1, Some(481));
    assert!(asked(&net, 1).is_empty());
    net.assert_nothing_left();
}

#[test]
fn a_transfer_whose_call_is_dropped_by_the_transferor_goes_on() {
    let mut net = trio();
    let (alice, bob) = up(&mut net, (0, 1), TO_BOB);
    net.command(0, Action::BlindTransfer { call: alice, to: TO_CAROL.into() }).unwrap();
    net.run(100);
    accept(&mut net, 1, bob);
    net.command(0, Action::Drop { call: alice, reason: None }).unwrap();
    net.run(500);
    assert_eq!(net.mode(1, bob), Some((ReleasedBy::Remote, DisconnectMode::Normal)));
    let carol = net.offered(2);
    net.command(2, Action::Answer { call: carol, media: rtp(30) }).unwrap();
    net.run(1_000);
    assert_eq!(outcomes(&net, 0, alice).last(), Some(&Report::Transferred));
    assert_eq!(net.sent(0, "BYE").len(), 1);
    hang_up_all(&mut net);
}

#[test]
fn a_wish_that_nobody_decided_ends_with_the_call() {
    for by in [0, 1] {
        let mut net = trio();
        let (alice, bob) = up(&mut net, (0, 1), TO_BOB);
        net.command(0, Action::BlindTransfer { call: alice, to: TO_CAROL.into() }).unwrap();
        net.run(100);
        let call = [alice, bob][by];
        net.command(by, Action::Drop { call, reason: None }).unwrap();
        net.run(1_000);
        assert_eq!(news(&net).last(), Some(&told("terminated", "SIP/2.0 603 Decline")));
        assert_eq!(failure(&net, 0, alice).1, Some(603));
        net.assert_nothing_left();
    }
}

#[test]
fn transfers_survive_loss_and_disorder() {
    for seed in 0..20 {
        let mut net = trio();
        net.twice = 20;
        let (alice, bob) = up(&mut net, (0, 1), TO_BOB);
        let mut lost = Random::from_number(seed);
        net.fate = Box::new(move |_, _, _| (lost.below(100) >= 20).then(|| Duration::from_millis(5 + lost.below(400))));
        net.command(0, Action::BlindTransfer { call: alice, to: TO_CAROL.into() }).unwrap();
        net.run(10_000);
        if asked(&net, 1).is_empty() {
            continue;
        }
        accept(&mut net, 1, bob);
        net.run(10_000);
        let carol = net.offered(2);
        net.command(2, Action::Answer { call: carol, media: rtp(30) }).unwrap();
        net.run(40_000);
        assert_eq!(outcomes(&net, 0, alice).last(), Some(&Report::Transferred), "seed {seed}");
        net.fate = prompt();
        hang_up_all(&mut net);
    }
}
