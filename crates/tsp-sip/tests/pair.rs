//! Two user agents over a network that loses, delays and reorders, in virtual time, restarted after every step.
#![allow(clippy::unwrap_used, clippy::too_many_lines, reason = "tests")]

mod net;

use net::*;
use std::time::Duration;
use tapi::{AnswerEvidence, DisconnectMode};
use tspi::*;

fn begins(bytes: &[u8], text: &str) -> bool {
    bytes.starts_with(text.as_bytes())
}

fn says(bytes: &[u8], text: &str) -> bool {
    String::from_utf8_lossy(bytes).contains(text)
}

#[test]
fn a_call_rings_is_answered_and_hung_up() {
    let mut net = Net::new(1);
    let (alice, bob) = net.connected();
    assert_eq!(
        net.reports(0, alice),
        [Report::Dialing, Report::Proceeding, Report::PeerRings, Report::Answered(AnswerEvidence::Signalled)]
    );
    assert_eq!(net.reports(1, bob), [Report::Offered, Report::Accepted, Report::Answered(AnswerEvidence::Local)]);
    let heard = net.media(0, alice);
    assert_eq!(heard.len(), 1);
    assert_eq!(heard[0].address, "192.0.2.9:4004".parse().unwrap());
    assert_eq!((heard[0].send.payload_type, heard[0].events), (8, Some(101)));
    assert_eq!(net.media(1, bob)[0].address, "192.0.2.9:4002".parse().unwrap());
    net.command(0, Action::Drop { call: alice, reason: None }).unwrap();
    assert_eq!(net.mode(0, alice), Some((ReleasedBy::Local, DisconnectMode::Normal)));
    net.run(1_000);
    assert_eq!(net.mode(1, bob), Some((ReleasedBy::Remote, DisconnectMode::Normal)));
    net.assert_nothing_left();
}

#[test]
fn the_called_side_hangs_up_too() {
    let mut net = Net::new(2);
    let (alice, bob) = net.connected();
    net.command(1, Action::Drop { call: bob, reason: None }).unwrap();
    net.run(1_000);
    assert_eq!(net.mode(0, alice), Some((ReleasedBy::Remote, DisconnectMode::Normal)));
    net.assert_nothing_left();
}

#[test]
fn byes_that_cross_end_the_call_once_on_each_side() {
    let mut net = Net::new(3);
    let (alice, bob) = net.connected();
    net.command(0, Action::Drop { call: alice, reason: None }).unwrap();
    net.command(1, Action::Drop { call: bob, reason: None }).unwrap();
    net.run(5_000);
    assert_eq!(net.mode(0, alice).unwrap().0, ReleasedBy::Local);
    assert_eq!(net.mode(1, bob).unwrap().0, ReleasedBy::Local);
    assert_eq!((net.sent(0, "BYE").len(), net.sent(1, "BYE").len()), (1, 1));
    net.assert_nothing_left();
}

#[test]
fn hold_and_retrieve_both_ways() {
    let mut net = Net::new(4);
    let (alice, bob) = net.connected();
    net.command(0, Action::Hold { call: alice }).unwrap();
    net.run(1_000);
    assert_eq!(net.reports(0, alice).last(), Some(&Report::Held));
    assert_eq!(net.reports(1, bob).last(), Some(&Report::PeerHeld));
    assert_eq!(net.media(0, alice).last().unwrap().direction, Direction::SendOnly);
    assert_eq!(net.media(1, bob).last().unwrap().direction, Direction::RecvOnly);
    assert!(net.command(0, Action::Hold { call: alice }).is_err(), "it is held already");
    net.command(1, Action::Hold { call: bob }).unwrap();
    net.run(1_000);
    assert_eq!(net.media(1, bob).last().unwrap().direction, Direction::Inactive);
    assert_eq!(net.media(0, alice).last().unwrap().direction, Direction::Inactive);
    for (at, call) in [(0, alice), (1, bob)] {
        net.command(at, Action::Unhold { call }).unwrap();
        net.run(1_000);
    }
    assert_eq!(net.media(0, alice).last().unwrap().direction, Direction::SendRecv);
    assert_eq!(net.media(1, bob).last().unwrap().direction, Direction::SendRecv);
    let told = net.reports(1, bob);
    for report in [Report::PeerHeld, Report::Held, Report::PeerRetrieved, Report::Retrieved] {
        assert_eq!(told.iter().filter(|other| **other == report).count(), 1, "{report:?} in {told:?}");
    }
    net.command(0, Action::Drop { call: alice, reason: None }).unwrap();
    net.run(1_000);
    net.assert_nothing_left();
}

#[test]
fn holds_that_collide_are_both_done_after_the_wait() {
    let mut net = Net::new(5);
    let (alice, bob) = net.connected();
    net.command(0, Action::Hold { call: alice }).unwrap();
    net.command(1, Action::Hold { call: bob }).unwrap();
    net.run(10_000);
    assert_eq!(net.sent(0, "SIP/2.0 491").len(), 1);
    assert!(net.reports(0, alice).contains(&Report::Held) && net.reports(1, bob).contains(&Report::Held));
    let again = net.sent(0, "INVITE");
    assert!((2_100..=4_100).contains(&(again[2] - again[1])), "the caller owns the Call-ID: {again:?}");
    let again = net.sent(1, "INVITE");
    assert!(again[1] - again[0] <= 2_100, "{again:?}");
    net.command(0, Action::Drop { call: alice, reason: None }).unwrap();
    net.run(1_000);
    net.assert_nothing_left();
}

#[test]
fn a_dropped_call_is_cancelled_once_the_far_end_was_heard() {
    let mut net = Net::new(6);
    let alice = net.call(0, "200");
    net.command(0, Action::Drop { call: alice, reason: None }).unwrap();
    assert_eq!(net.mode(0, alice), Some((ReleasedBy::Local, DisconnectMode::Normal)));
    assert!(net.sent(0, "CANCEL").is_empty(), "nothing provisional came yet");
    net.run(2_000);
    assert_eq!(net.sent(0, "CANCEL").len(), 1);
    let bob = net.offered(1);
    assert_eq!(net.mode(1, bob), Some((ReleasedBy::Remote, DisconnectMode::Cancelled)));
    assert_eq!(net.sent(1, "SIP/2.0 487").len(), 1);
    net.assert_nothing_left();
}

#[test]
fn cancel_and_200_crossing_end_with_ack_and_bye() {
    let mut net = Net::new(7);
    let alice = net.call(0, "200");
    net.run(1_000);
    let bob = net.offered(1);
    net.command(1, Action::Answer { call: bob, media: rtp(2) }).unwrap();
    net.command(0, Action::Drop { call: alice, reason: None }).unwrap();
    net.run(5_000);
    assert_eq!(net.mode(0, alice), Some((ReleasedBy::Local, DisconnectMode::Normal)));
    assert_eq!((net.sent(0, "ACK").len(), net.sent(0, "BYE").len()), (1, 1));
    assert_eq!(net.mode(1, bob), Some((ReleasedBy::Remote, DisconnectMode::Normal)));
    net.assert_nothing_left();
}

#[test]
fn a_lost_ack_is_sent_again_with_every_200() {
    let mut net = Net::new(8);
    let mut lost = 0;
    net.fate = Box::new(move |_, _, bytes| {
        lost += u32::from(begins(bytes, "ACK"));
        if begins(bytes, "ACK") && lost <= 3 { None } else { Some(Duration::from_millis(10)) }
    });
    let alice = net.call(0, "200");
    net.run(100);
    let bob = net.offered(1);
    net.command(1, Action::Answer { call: bob, media: rtp(2) }).unwrap();
    net.run(10_000);
    let oks = net.sent(1, "SIP/2.0 200");
    let gaps: Vec<u64> = oks.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(gaps, [500, 1_000, 2_000]);
    assert_eq!(net.reports(1, bob).last(), Some(&Report::Answered(AnswerEvidence::Local)));
    let answers = net.reports(0, alice).into_iter().filter(|report| matches!(report, Report::Answered(_))).count();
    assert_eq!(answers, 1);
    net.command(1, Action::Drop { call: bob, reason: None }).unwrap();
    net.run(1_000);
    net.assert_nothing_left();
}

#[test]
fn an_ack_that_never_comes_ends_the_call_and_says_so() {
    let mut net = Net::new(9);
    net.fate = Box::new(|_, _, bytes| if begins(bytes, "ACK") { None } else { Some(Duration::from_millis(10)) });
    let alice = net.call(0, "200");
    net.run(100);
    let bob = net.offered(1);
    net.command(1, Action::Answer { call: bob, media: rtp(2) }).unwrap();
    net.run(40_000);
    let (by, cause) = net.end(1, bob).unwrap();
    assert_eq!(by, ReleasedBy::Remote);
    assert!(cause.text.unwrap().contains("ACK"));
    assert_eq!(net.mode(0, alice), Some((ReleasedBy::Remote, DisconnectMode::TempFailure)), "our BYE says why");
    net.assert_nothing_left();
}

#[test]
fn a_drop_before_the_ack_waits_for_it_with_its_bye() {
    let mut net = Net::new(10);
    let alice = net.call(0, "200");
    net.run(100);
    let bob = net.offered(1);
    net.command(1, Action::Answer { call: bob, media: rtp(2) }).unwrap();
    net.command(1, Action::Drop { call: bob, reason: None }).unwrap();
    assert_eq!(net.mode(1, bob).unwrap().0, ReleasedBy::Local);
    assert!(net.sent(1, "BYE").is_empty());
    net.run(1_000);
    assert_eq!(net.sent(1, "BYE").len(), 1);
    assert_eq!(net.mode(0, alice), Some((ReleasedBy::Remote, DisconnectMode::Normal)));
    net.assert_nothing_left();
}

#[test]
fn refusals_come_through_with_their_reason() {
    for (reason, told) in [
        ("busy", DisconnectMode::Busy),
        ("reject", DisconnectMode::Reject),
        ("no_answer", DisconnectMode::NoAnswer),
        ("bad_address", DisconnectMode::BadAddress),
        ("congestion", DisconnectMode::Congestion),
        ("incompatible", DisconnectMode::Incompatible),
        ("out_of_order", DisconnectMode::OutOfOrder),
    ] {
        let mut net = Net::new(11);
        let alice = net.call(0, "200");
        net.run(100);
        let bob = net.offered(1);
        net.command(1, Action::Accept { call: bob }).unwrap();
        net.run(100);
        net.command(1, Action::Drop { call: bob, reason: Some(reason.into()) }).unwrap();
        net.run(1_000);
        assert_eq!(net.mode(0, alice), Some((ReleasedBy::Remote, told)));
        net.assert_nothing_left();
    }
}

#[test]
fn nobody_there_is_unreachable_after_seven_invites_and_32_seconds() {
    let mut net = Net::new(12);
    net.fate = Box::new(|_, _, _| None);
    let alice = net.call(0, "200");
    net.run(31_900);
    assert_eq!(net.end(0, alice), None);
    net.run(200);
    assert_eq!(net.mode(0, alice), Some((ReleasedBy::Remote, DisconnectMode::Unreachable)));
    let begin = net.sent(0, "INVITE")[0];
    let at: Vec<u64> = net.sent(0, "INVITE").iter().map(|time| time - begin).collect();
    assert_eq!(at, [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500]);
    net.assert_nothing_left();
}

#[test]
fn a_bye_that_is_lost_is_sent_again_and_given_up() {
    let mut net = Net::new(13);
    let (alice, bob) = net.connected();
    net.fate = Box::new(|_, _, _| None);
    net.command(0, Action::Drop { call: alice, reason: None }).unwrap();
    net.run(40_000);
    assert_eq!(net.sent(0, "BYE").len(), 11);
    net.fate = prompt();
    assert_eq!(net.end(1, bob), None);
    net.command(1, Action::Drop { call: bob, reason: None }).unwrap();
    net.run(1_000);
    assert_eq!(net.sent(0, "SIP/2.0 481").len(), 1, "the call is long gone there");
    net.assert_nothing_left();
}

#[test]
fn a_refused_hold_leaves_the_call_as_it_was() {
    let mut net = Net::new(14);
    let (alice, bob) = net.connected();
    // The far end cannot be made to refuse by command: its re-INVITE is answered by a peer of raw text.
    net.fate = Box::new(|_, _, bytes| {
        let refused = begins(bytes, "SIP/2.0 200") && says(bytes, "CSeq: 2 INVITE");
        if refused { None } else { Some(Duration::from_millis(10)) }
    });
    net.command(0, Action::Hold { call: alice }).unwrap();
    net.run(5);
    let invite = net.agents[0].events.iter().rev().find_map(|event| match event {
        Event::Trace { entry, .. } if entry.sent && entry.summary.starts_with("INVITE") => entry.text.clone(),
        _ => None,
    });
    let invite = invite.unwrap();
    let copy = |name: &str| invite.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    let refusal = format!(
        "SIP/2.0 488 Not Here\n{}\n{}\n{}\n{}\n{}\nContent-Length: 0\n\n",
        copy("Via:"),
        copy("From:"),
        copy("To:"),
        copy("Call-ID:"),
        copy("CSeq:")
    );
    net.inject(0, BOB, &refusal);
    let last = net.reports(0, alice).pop().unwrap();
    assert!(matches!(&last, Report::Unchanged { reason } if reason.contains("488")), "{last:?}");
    assert_eq!(net.end(0, alice), None);
    net.fate = prompt();
    net.command(1, Action::Drop { call: bob, reason: None }).unwrap();
    net.run(1_000);
    assert_eq!(net.mode(0, alice).unwrap().0, ReleasedBy::Remote);
    net.assert_nothing_left();
}

#[test]
fn a_stop_ends_everything_and_answers_when_it_is_done() {
    let mut net = Net::new(15);
    let (_, bob) = net.connected();
    net.call(0, "200");
    net.run(1_000);
    let ringing = net.offered(1);
    let id = CommandId(77);
    net.feed(1, Input::Command(Command { id, action: Action::Shutdown }));
    let replied = |net: &Net| {
        net.agents[1].events.iter().any(|event| matches!(event, Event::Reply { id: CommandId(77), result: Ok(_) }))
    };
    assert!(!replied(&net), "a BYE is not answered yet");
    net.run(1_000);
    assert!(replied(&net));
    assert!(net.end(1, bob).is_some() && net.end(1, ringing).is_some());
    let out = net.agents[1].events.iter().any(|event| {
        matches!(event, Event::LineChanged { change: LineChange::Service(tapi::Service::Out { .. }), .. })
    });
    assert!(out, "the lines are out of service");
}

#[test]
fn whatever_the_network_does_every_call_ends_once_and_nothing_is_left() {
    for seed in 0..60 {
        let mut net = Net::new(seed);
        net.restarts = seed % 4 == 0;
        net.fate = Box::new(|random, _, _| {
            let lost = random.below(100) < 25;
            if lost { None } else { Some(Duration::from_millis(1 + random.below(800))) }
        });
        let mut chance = Random::from_number(seed + 1_000);
        let alice = net.call(0, "200");
        for _ in 0..12 {
            net.run(chance.below(3_000));
            let bob = net.agents[1].events.iter().any(|event| matches!(event, Event::NewCall { .. }));
            let bob = bob.then(|| net.offered(1));
            let (at, call) = match bob {
                Some(bob) if chance.below(2) == 0 => (1, bob),
                _ => (0, alice),
            };
            let action = match chance.below(7) {
                0 | 1 => Action::Accept { call },
                2 | 3 => Action::Answer { call, media: rtp(2) },
                4 => Action::Hold { call },
                5 => Action::Unhold { call },
                _ if chance.below(4) == 0 => Action::Drop { call, reason: None },
                _ => continue,
            };
            let _ = net.command(at, action);
        }
        let _ = net.command(0, Action::Drop { call: alice, reason: None });
        net.run(80_000);
        for at in 0..2 {
            let calls: Vec<CallRef> = net.agents[at]
                .events
                .iter()
                .filter_map(|event| match event {
                    Event::NewCall { call, .. } => Some(*call),
                    _ => None,
                })
                .collect();
            for call in calls {
                if net.end(at, call).is_none() {
                    net.command(at, Action::Drop { call, reason: None }).unwrap();
                }
            }
        }
        net.run(80_000);
        net.assert_nothing_left();
    }
}
