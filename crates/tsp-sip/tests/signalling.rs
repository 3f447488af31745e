//! What two user agents agree on beyond a plain call, in virtual time, restarted after every step.
#![allow(clippy::unwrap_used, clippy::too_many_lines, reason = "tests")]

mod net;

use net::*;
use std::time::Duration;
use tapi::{AnswerEvidence, DisconnectMode, OperationId, PartyFlag};
use tsp_sip::{CallPolicy, Digits, HoldBy, Identity, OfferWhen, Protection, Redirects, Refresher, Reliable};
use tspi::*;

/// Alice and Bob with these policies.
fn net(alice: CallPolicy, bob: CallPolicy) -> Net {
    let mut net = Net::empty(1);
    for (here, there, calls) in [(ALICE, BOB, alice), (BOB, ALICE, bob)] {
        let mut config = config(here, there.split(':').next().unwrap(), Some(there));
        config.lines[0].calls = calls;
        net.add(config);
    }
    net
}

fn usual() -> CallPolicy {
    CallPolicy::default()
}

fn reliable(reliable: Reliable) -> CallPolicy {
    CallPolicy { reliable, ..usual() }
}

/// Whole texts that an agent sent, in order.
fn texts(net: &Net, at: usize, begin: &str) -> Vec<String> {
    let events = net.agents[at].events.iter();
    let sent = events.filter_map(|event| match event {
        Event::Trace { entry, .. } if entry.sent => entry.text.clone(),
        _ => None,
    });
    sent.filter(|text| text.starts_with(begin)).collect()
}

fn ok_to(net: &Net, at: usize, method: &str) -> Vec<String> {
    texts(net, at, "SIP/2.0 200").into_iter().filter(|text| text.contains(&format!(" {method}\r\n"))).collect()
}

fn losing(begin: &'static str, count: u32) -> Fate {
    let mut lost = 0;
    Box::new(move |_, _, bytes| {
        let hit = bytes.starts_with(begin.as_bytes()) && lost < count;
        lost += u32::from(hit);
        if hit { None } else { Some(Duration::from_millis(10)) }
    })
}

fn hang_up(net: &mut Net, at: usize, call: CallRef) {
    net.command(at, Action::Drop { call, reason: None }).unwrap();
    net.run(1_000);
    net.assert_nothing_left();
}

#[test]
fn a_ring_is_acknowledged_where_both_sides_can() {
    use Reliable::{Off, Required, Supported};
    for (alice, bob, acknowledged) in [
        (Supported, Supported, 1),
        (Required, Supported, 1),
        (Supported, Required, 1),
        (Off, Supported, 0),
        (Supported, Off, 0),
    ] {
        let mut net = net(reliable(alice), reliable(bob));
        let (call, _) = net.connected();
        assert_eq!(net.sent(0, "PRACK").len(), acknowledged, "{alice:?} {bob:?}");
        assert_eq!(net.sent(1, "SIP/2.0 180").len(), 1);
        assert_eq!(
            net.reports(0, call),
            [Report::Dialing, Report::Proceeding, Report::PeerRings, Report::Answered(AnswerEvidence::Signalled)]
        );
        hang_up(&mut net, 0, call);
    }
    let mut none = net(reliable(Required), reliable(Off));
    let call = none.call(0, "200");
    none.run(1_000);
    assert_eq!(none.mode(0, call), Some((ReleasedBy::Remote, DisconnectMode::Incompatible)));
    assert!(texts(&none, 1, "SIP/2.0 420")[0].contains("Unsupported: 100rel\r\n"));
    let mut none = net(reliable(Off), reliable(Required));
    let call = none.call(0, "200");
    none.run(1_000);
    assert!(texts(&none, 1, "SIP/2.0 421")[0].contains("Require: 100rel\r\n"));
    assert!(none.end(0, call).is_some());
}

#[test]
fn a_ring_that_is_never_acknowledged_is_repeated_and_refuses_the_call() {
    let mut net = net(usual(), usual());
    net.fate = losing("PRACK", 1_000);
    let alice = net.call(0, "200");
    net.run(100);
    let bob = net.offered(1);
    net.command(1, Action::Accept { call: bob }).unwrap();
    net.run(31_800);
    let rings = net.sent(1, "SIP/2.0 180");
    let at: Vec<u64> = rings.iter().map(|time| time - rings[0]).collect();
    assert_eq!(at, [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500], "T2 is no bound");
    assert_eq!(net.end(1, bob), None);
    net.run(2_000);
    let (by, cause) = net.end(1, bob).unwrap();
    assert_eq!((by, cause.mode), (ReleasedBy::Remote, DisconnectMode::TempFailure));
    assert!(cause.text.unwrap().contains("PRACK"));
    assert_eq!(net.sent(1, "SIP/2.0 504").len(), 1);
    assert_eq!(net.mode(0, alice).unwrap().1, DisconnectMode::TempFailure);
    let branches: std::collections::BTreeSet<String> = texts(&net, 0, "PRACK")
        .iter()
        .map(|text| text.split("branch=").nth(1).unwrap().split(';').next().unwrap().to_owned())
        .collect();
    assert_eq!(branches.len(), 1, "a repeated ring is not acknowledged anew");
    net.assert_nothing_left();
}

#[test]
fn early_media_holds_the_answer_back_until_it_is_acknowledged() {
    let mut net = net(usual(), usual());
    net.fate = losing("PRACK", 2);
    let alice = net.call(0, "200");
    net.run(100);
    let bob = net.offered(1);
    net.command(1, Action::Progress { call: bob, media: rtp(2) }).unwrap();
    net.command(1, Action::Answer { call: bob, media: rtp(2) }).unwrap();
    assert!(net.command(1, Action::Answer { call: bob, media: rtp(2) }).is_err(), "it is being answered");
    net.run(1_000);
    assert_eq!(net.media(0, alice).len(), 1, "heard before the answer");
    assert!(ok_to(&net, 1, "INVITE").is_empty(), "no PRACK came yet");
    net.run(3_000);
    let ok = ok_to(&net, 1, "INVITE");
    assert!(!ok.is_empty() && !ok[0].contains("m=audio"), "described already: {ok:?}");
    assert_eq!(net.media(0, alice).len(), 1, "and not again");
    assert_eq!(net.media(1, bob).len(), 1);
    assert_eq!(net.reports(0, alice).last(), Some(&Report::Answered(AnswerEvidence::Signalled)));
    hang_up(&mut net, 1, bob);
}

#[test]
fn rings_go_out_one_after_the_other() {
    let mut net = net(usual(), usual());
    net.fate = losing("PRACK", 1);
    let alice = net.call(0, "200");
    net.run(100);
    let bob = net.offered(1);
    net.command(1, Action::Accept { call: bob }).unwrap();
    net.command(1, Action::Progress { call: bob, media: rtp(2) }).unwrap();
    net.run(100);
    assert!(net.sent(1, "SIP/2.0 183").is_empty());
    net.run(2_000);
    assert_eq!(net.sent(1, "SIP/2.0 183").len(), 1);
    let number = |text: &str| text.split("RSeq: ").nth(1).unwrap().split('\r').next().unwrap().parse::<u32>().unwrap();
    let (first, second) = (texts(&net, 1, "SIP/2.0 180"), texts(&net, 1, "SIP/2.0 183"));
    assert_eq!(number(&second[0]), number(&first[0]) + 1);
    hang_up(&mut net, 0, alice);
}

#[test]
fn the_far_end_offers_when_we_do_not() {
    let late = || CallPolicy { offer: OfferWhen::Late, ..usual() };
    for early_media in [false, true] {
        let mut net = net(late(), usual());
        let alice = net.call(0, "200");
        net.run(100);
        let bob = net.offered(1);
        assert!(!texts(&net, 0, "INVITE")[0].contains("m=audio"));
        if early_media {
            net.command(1, Action::Progress { call: bob, media: rtp(2) }).unwrap();
            net.run(500);
            assert!(texts(&net, 1, "SIP/2.0 183")[0].contains("m=audio"), "the offer");
            assert!(texts(&net, 0, "PRACK")[0].contains("m=audio"), "its answer");
            assert_eq!(net.media(1, bob).len(), 1);
        } else {
            net.command(1, Action::Accept { call: bob }).unwrap();
        }
        net.command(1, Action::Answer { call: bob, media: rtp(2) }).unwrap();
        net.run(1_000);
        assert_eq!(texts(&net, 0, "ACK")[0].contains("m=audio"), !early_media);
        assert_eq!(net.media(0, alice)[0].address, "192.0.2.9:4004".parse().unwrap());
        assert_eq!(net.media(1, bob)[0].address, "192.0.2.9:4002".parse().unwrap());
        assert_eq!((net.media(0, alice).len(), net.media(1, bob).len()), (1, 1));
        net.command(0, Action::Hold { call: alice }).unwrap();
        net.run(500);
        assert_eq!(net.reports(0, alice).last(), Some(&Report::Held));
        hang_up(&mut net, 0, alice);
    }
}

fn timed(seconds: u32, refresher: Refresher) -> CallPolicy {
    CallPolicy { session_expires_s: Some(seconds), refresher, ..usual() }
}

#[test]
fn thirty_minutes_with_the_refresher_on_either_side() {
    for (who, refresher) in [(0, Refresher::Ours), (1, Refresher::Theirs), (0, Refresher::Either)] {
        let mut net = net(timed(90, refresher), usual());
        net.restarts = false;
        let (alice, bob) = net.connected();
        for _ in 0..30 {
            net.run(60_000);
        }
        let refreshes = net.sent(who, "UPDATE").len();
        assert!((38..=41).contains(&refreshes), "{refreshes}");
        assert!(net.sent(1 - who, "UPDATE").is_empty() && net.sent(who, "INVITE").len() <= 1);
        assert_eq!((net.end(0, alice), net.end(1, bob)), (None, None));
        assert_eq!((net.media(0, alice).len(), net.media(1, bob).len()), (1, 1), "a refresh restarts nothing");
        // The refresher vanishes: the other side ends the call before the time is up.
        net.fate = Box::new(|_, _, _| None);
        net.run(95_000);
        for (at, call) in [(0, alice), (1, bob)] {
            assert_eq!(net.mode(at, call), Some((ReleasedBy::Remote, DisconnectMode::TempFailure)), "{at}");
        }
    }
}

#[test]
fn a_refresh_by_invite_describes_what_it_described_before() {
    let mut net = net(timed(90, Refresher::Theirs), usual());
    // Without UPDATE in Allow the refresh is a re-INVITE.
    let (alice, bob) = net.connected();
    let off = texts(&net, 1, "SIP/2.0 200").pop().unwrap();
    assert!(off.contains("Session-Expires: 90;refresher=uas\r\n") && !off.contains("Require: timer"), "{off}");
    net.fate = Box::new(|_, _, bytes| {
        // UPDATE is not understood on the way.
        if bytes.starts_with(b"UPDATE") { None } else { Some(Duration::from_millis(10)) }
    });
    net.run(44_000);
    let update = texts(&net, 1, "UPDATE").pop().unwrap();
    let copy = |name: &str| update.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    let refusal = format!(
        "SIP/2.0 405 No\n{}\n{}\n{}\n{}\n{}\nContent-Length: 0\n\n",
        copy("Via:"),
        copy("From:"),
        copy("To:"),
        copy("Call-ID:"),
        copy("CSeq:")
    );
    net.inject(1, ALICE, &refusal);
    net.run(1_000);
    let invite = texts(&net, 1, "INVITE").pop().unwrap();
    let origin = |text: &str| text.lines().find(|line| line.starts_with("o=")).unwrap().to_owned();
    assert_eq!(origin(&invite), origin(&off));
    assert_eq!((net.media(0, alice).len(), net.media(1, bob).len()), (1, 1));
    assert_eq!(net.end(0, alice), None);
    hang_up(&mut net, 0, alice);
}

#[test]
fn a_timer_that_is_too_short_is_asked_for_again() {
    let mut net = net(timed(90, Refresher::Either), CallPolicy { min_se_s: 300, ..usual() });
    let (alice, _) = net.connected();
    assert_eq!(net.sent(1, "SIP/2.0 422").len(), 1);
    let invites = texts(&net, 0, "INVITE");
    assert!(
        invites[1].contains("Session-Expires: 300\r\n") && invites[1].contains("CSeq: 2 INVITE\r\n"),
        "{}",
        invites[1]
    );
    let id = |text: &str| text.lines().find(|line| line.starts_with("Call-ID")).unwrap().to_owned();
    assert_eq!(id(&invites[0]), id(&invites[1]));
    hang_up(&mut net, 0, alice);
}

#[test]
fn calls_are_held_with_update_and_collisions_sort_themselves_out() {
    let by_update = || CallPolicy { hold_by: HoldBy::Update, ..usual() };
    let mut net = net(by_update(), by_update());
    let (alice, bob) = net.connected();
    net.command(0, Action::Hold { call: alice }).unwrap();
    net.run(1_000);
    assert_eq!((net.sent(0, "UPDATE").len(), net.sent(0, "INVITE").len()), (1, 1));
    assert_eq!(net.reports(0, alice).last(), Some(&Report::Held));
    assert_eq!(net.reports(1, bob).last(), Some(&Report::PeerHeld));
    net.command(0, Action::Unhold { call: alice }).unwrap();
    net.run(1_000);
    net.command(0, Action::Hold { call: alice }).unwrap();
    net.command(1, Action::Hold { call: bob }).unwrap();
    net.run(10_000);
    assert!(!net.sent(0, "SIP/2.0 491").is_empty());
    assert!(net.reports(1, bob).contains(&Report::Held));
    assert_eq!(net.media(0, alice).last().unwrap().direction, Direction::Inactive);
    assert_eq!(net.media(1, bob).last().unwrap().direction, Direction::Inactive);
    hang_up(&mut net, 0, alice);
}

#[test]
fn digits_go_in_info() {
    let mut net = net(CallPolicy { digits: Digits::Info, ..usual() }, usual());
    let Event::LineAdded { description, .. } = &net.agents[0].events[0] else { panic!() };
    assert_eq!(description.digits, DigitsBy::Provider);
    let (alice, bob) = net.connected();
    let send = |net: &mut Net, operation, digits: &str| {
        let operation = OperationId(operation);
        net.command(0, Action::SendDigits { call: alice, operation, digits: digits.into(), duration_ms: Some(160) })
    };
    assert!(send(&mut net, 1, "1x").is_err());
    send(&mut net, 2, "1,#a").unwrap();
    send(&mut net, 3, "9").unwrap();
    net.run(5_000);
    let heard: Vec<(char, Option<u32>)> = net.agents[1]
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Digit { call, digit, duration_ms } if *call == bob => Some((*digit, *duration_ms)),
            _ => None,
        })
        .collect();
    assert_eq!(heard, [('1', Some(160)), ('#', Some(160)), ('A', Some(160)), ('9', Some(160))]);
    let info = net.sent(0, "INFO");
    assert!(info[1] - info[0] >= 2_160, "a comma is a pause: {info:?}");
    let done: Vec<(u64, bool)> = net.agents[0]
        .events
        .iter()
        .filter_map(|event| match event {
            Event::DigitsSent { operation, complete, .. } => Some((operation.0, *complete)),
            _ => None,
        })
        .collect();
    assert_eq!(done, [(2, true), (3, true)]);
    hang_up(&mut net, 0, alice);
}

#[test]
fn protected_calls_have_crossed_keys_and_show_them_to_nobody() {
    let with = |srtp| CallPolicy { srtp, ..usual() };
    use Protection::{Off, Optional, Required};
    for (alice, bob, protected) in
        [(Required, Required, true), (Optional, Required, true), (Required, Optional, true), (Optional, Off, false)]
    {
        let mut net = net(with(alice), with(bob));
        let (a, b) = net.connected();
        let (at_alice, at_bob) = (net.media(0, a).pop().unwrap().srtp, net.media(1, b).pop().unwrap().srtp);
        assert_eq!(at_alice.is_some(), protected, "{alice:?} {bob:?}");
        if let (Some(one), Some(other)) = (at_alice, at_bob) {
            assert!(one.local == other.remote && one.remote == other.local && one.suite == other.suite);
            assert!(texts(&net, 0, "INVITE")[0].contains("inline:[cut]"), "keys are in no trace");
        }
        net.command(0, Action::Hold { call: a }).unwrap();
        net.run(1_000);
        assert_eq!(net.media(1, b).last().unwrap().srtp.is_some(), protected);
        hang_up(&mut net, 0, a);
    }
    let mut net = net(with(Required), with(Off));
    let call = net.call(0, "200");
    net.run(1_000);
    assert_eq!(net.mode(0, call), Some((ReleasedBy::Remote, DisconnectMode::Incompatible)));
}

fn told(net: &Net, at: usize, of: CallRef) -> Vec<CallFacts> {
    let events = net.agents[at].events.iter();
    events
        .filter_map(|event| match event {
            Event::CallInfo { call, facts } | Event::NewCall { call, facts, .. } if *call == of => {
                Some((**facts).clone())
            }
            _ => None,
        })
        .collect()
}

#[test]
fn calls_are_sent_elsewhere() {
    let mut relay = net(usual(), usual());
    let alice = relay.call(0, "200");
    relay.run(100);
    let bob = relay.offered(1);
    assert!(relay.command(1, Action::Redirect { call: bob, to: "mailto:x@y".into() }).is_err());
    relay.command(1, Action::Redirect { call: bob, to: "300".into() }).unwrap();
    assert_eq!(relay.mode(1, bob), Some((ReleasedBy::Local, DisconnectMode::Forwarded)));
    relay.run(1_000);
    let moved = texts(&relay, 1, "SIP/2.0 302").pop().unwrap();
    assert!(
        moved.contains("Contact: <sip:300@example.org>\r\n") && moved.contains("Diversion: <sip:100@example.org>;")
    );
    assert_eq!(relay.mode(0, alice), Some((ReleasedBy::Remote, DisconnectMode::Forwarded)));
    let to = told(&relay, 0, alice).into_iter().find_map(|facts| facts.redirection).unwrap();
    assert_eq!(to.address.as_deref(), Some("300"));
    relay.assert_nothing_left();

    let mut net = net(CallPolicy { redirects: Redirects::Follow, ..usual() }, usual());
    let alice = net.call(0, "200");
    for _ in 0..2 {
        net.run(100);
        let bob = net.offered(1);
        net.command(1, Action::Redirect { call: bob, to: "300".into() }).unwrap();
    }
    net.run(1_000);
    let invites = texts(&net, 0, "INVITE");
    assert!(
        invites[1].starts_with("INVITE sip:300@example.org ") && invites[1].contains("To: <sip:200@example.org>\r\n")
    );
    assert_eq!(invites.len(), 2, "it does not go where it was");
    assert_eq!(net.mode(0, alice).unwrap().1, DisconnectMode::Forwarded);
    net.assert_nothing_left();
}

#[test]
fn identities_are_asserted_believed_and_withheld() {
    let trusting = || CallPolicy { trust_identity: true, ..usual() };
    for (identity, header) in [
        (Identity::Asserted, "P-Asserted-Identity: <sip:100@example.org>\r\n"),
        (Identity::RemoteParty, "Remote-Party-ID: <sip:100@example.org>;party=calling;screen=yes;privacy=off\r\n"),
    ] {
        let mut net =
            net(CallPolicy { identity, trust_identity: true, ..usual() }, CallPolicy { identity, ..trusting() });
        let (alice, bob) = net.connected();
        assert!(texts(&net, 0, "INVITE")[0].contains(header));
        let caller = told(&net, 1, bob)[0].caller.clone().unwrap();
        assert_eq!(caller.address.as_deref(), Some("100"));
        let connected = told(&net, 0, alice).into_iter().find_map(|facts| facts.connected).unwrap();
        assert_eq!(connected.address.as_deref(), Some("100"), "who answered");
        hang_up(&mut net, 0, alice);
    }
    let mut net = net(CallPolicy { identity: Identity::Asserted, ..usual() }, trusting());
    let params = CallParams { block_id: true, ..CallParams::default() };
    net.command(0, Action::MakeCall { line: LineRef(0), to: "200".into(), params, media: rtp(1) }).unwrap();
    net.run(100);
    let invite = texts(&net, 0, "INVITE").remove(0);
    assert!(invite.contains("Privacy: id\r\n") && invite.contains("P-Asserted-Identity: "), "{invite}");
    let bob = net.offered(1);
    let caller = told(&net, 1, bob)[0].caller.clone().unwrap();
    assert!(caller.flags.contains(&PartyFlag::Blocked) && caller.address.is_none(), "{caller:?}");
}

#[test]
fn reasons_travel() {
    let mut net = net(usual(), usual());
    let alice = net.call(0, "200");
    net.run(100);
    let bob = net.offered(1);
    net.command(1, Action::Accept { call: bob }).unwrap();
    net.run(100);
    net.command(0, Action::Drop { call: alice, reason: Some(DisconnectMode::Pickup) }).unwrap();
    net.run(1_000);
    assert_eq!(net.mode(1, bob), Some((ReleasedBy::Remote, DisconnectMode::Pickup)));
    let (alice, bob) = net.connected();
    net.command(1, Action::Drop { call: bob, reason: None }).unwrap();
    net.run(1_000);
    assert_eq!(net.end(0, alice).unwrap().1.q850, Some(16));
    let alice = net.call(0, "200");
    net.run(100);
    let bob = net.offered(1);
    net.command(1, Action::Drop { call: bob, reason: Some(DisconnectMode::Congestion) }).unwrap();
    net.run(1_000);
    let cause = net.end(0, alice).unwrap().1;
    assert_eq!((cause.mode, cause.sip, cause.q850), (DisconnectMode::Congestion, Some(503), Some(34)));
    let refused = net.command(0, Action::Dial { call: alice, to: "1".into() }).unwrap_err();
    assert!(refused.text.contains("whole number"));
    net.assert_nothing_left();
}

#[test]
fn whatever_the_network_does_to_all_of_this_every_call_ends_once() {
    for seed in 0..60 {
        let mut chance = Random::from_number(seed + 5_000);
        let mut policy = || CallPolicy {
            reliable: [Reliable::Off, Reliable::Supported, Reliable::Supported][chance.below(3) as usize],
            offer: [OfferWhen::Early, OfferWhen::Late][chance.below(2) as usize],
            hold_by: [HoldBy::Invite, HoldBy::Update][chance.below(2) as usize],
            srtp: [Protection::Off, Protection::Optional][chance.below(2) as usize],
            session_expires_s: [None, Some(90)][chance.below(2) as usize],
            digits: Digits::Info,
            ..usual()
        };
        let mut net = net(policy(), policy());
        net.restarts = seed % 4 == 0;
        net.twice = 20;
        net.fate = Box::new(|random, _, _| {
            let lost = random.below(100) < 20;
            if lost { None } else { Some(Duration::from_millis(1 + random.below(800))) }
        });
        let alice = net.call(0, "200");
        for _ in 0..14 {
            net.run(chance.below(4_000));
            let bob = net.agents[1].events.iter().any(|event| matches!(event, Event::NewCall { .. }));
            let bob = bob.then(|| net.offered(1));
            let (at, call) = match bob {
                Some(bob) if chance.below(2) == 0 => (1, bob),
                _ => (0, alice),
            };
            let operation = OperationId(chance.next_u64());
            let action = match chance.below(9) {
                0 => Action::Accept { call },
                1 | 2 => Action::Progress { call, media: rtp(2) },
                3 | 4 => Action::Answer { call, media: rtp(2) },
                5 => Action::Hold { call },
                6 => Action::Unhold { call },
                7 => Action::SendDigits { call, operation, digits: "12".into(), duration_ms: None },
                _ if chance.below(5) == 0 => Action::Drop { call, reason: None },
                _ => continue,
            };
            let _ = net.command(at, action);
        }
        let _ = net.command(0, Action::Drop { call: alice, reason: None });
        net.run(100_000);
        let calls: Vec<CallRef> = net.agents[1]
            .events
            .iter()
            .filter_map(|event| if let Event::NewCall { call, .. } = event { Some(*call) } else { None })
            .collect();
        for call in calls {
            if net.end(1, call).is_none() {
                net.command(1, Action::Drop { call, reason: None }).unwrap();
            }
        }
        net.run(100_000);
        net.assert_nothing_left();
    }
}
