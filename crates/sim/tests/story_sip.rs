//! Calls over a SIP trunk, against a peer that writes its own text.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails shows why")]

use std::net::SocketAddr;
use std::time::Duration;
use tapi::request::{CallBridge, CallDrop, CallHold, CallMonitorDigits, CallSendDigits, CallUnhold};
use tapi::{CallState, ConnectedMode, DisconnectMode, LineId, Request};
use tapi_sim::exchange::meter;
use tapi_sim::net::Conditions;
use tapi_sim::world::{AppId, DialogState, Peer, Policy, SERVER, Setup, World};

fn peer_address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 9], 5060))
}

struct Trunk {
    world: World,
    app: AppId,
    line: LineId,
    peer: usize,
}

fn trunk(setup: Setup, policy: Policy) -> Trunk {
    let mut world = World::new(setup);
    world.start_sip(5060, "sip:trunk", peer_address());
    let peer = world.add_peer(Peer::new(peer_address(), SocketAddr::new(SERVER, 5060), policy));
    let app = world.open_app("app", 0);
    let line = world.open_line(app, "sip:trunk");
    Trunk { world, app, line, peer }
}

fn lossy(seed: u64) -> Setup {
    Setup { seed, net: Conditions::BAD, ..Setup::default() }
}

fn names(states: &[CallState]) -> Vec<&str> {
    states.iter().map(CallState::name).collect()
}

/// Frequency and level of the last second that a peer heard.
fn heard(world: &World, peer: usize, call: &str) -> meter::Reading {
    let frames = &world.peer(peer).dialog(call).unwrap().audio.heard;
    let last: Vec<i16> = frames.iter().rev().take(50).rev().flat_map(|(_, frame)| frame.0).collect();
    meter::read(&last)
}

#[test]
fn an_incoming_call_is_answered_and_the_peer_hangs_up() {
    let Trunk { mut world, app, peer, .. } = trunk(Setup::default(), Policy::Ring);
    let dialog = world.with_peer(peer, |now, peer| peer.invite(now, "office"));
    let call = world.await_offer(app);
    let info = world.snapshot(app).calls[0].info.clone();
    assert!(info.caller.address.as_deref().is_some_and(|caller| caller.contains("alice")), "{:?}", info.caller);
    assert_eq!(info.caller.name.as_deref(), Some("Alice"));
    assert_eq!(info.network_id.as_deref(), Some(dialog.as_str()));
    world.answer(app, call);
    world.await_state(app, call, "connected");
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.peer(peer).dialog(&dialog).unwrap().state, DialogState::Up);
    world.with_peer(peer, |now, peer| peer.hang_up(now, &dialog));
    assert_eq!(world.await_state(app, call, "disconnected"), CallState::Disconnected(DisconnectMode::Normal));
    world.drop_call(app, call);
    world.assert_nothing_left();
}

#[test]
fn an_outgoing_call_rings_is_answered_and_we_hang_up() {
    let Trunk { mut world, app, line, peer } = trunk(Setup::default(), Policy::Answer(Duration::from_secs(2)));
    let call = world.make_call(app, line, "sip:bob@192.0.2.9").unwrap();
    world.await_state(app, call, "connected");
    let states = world.app(app).states(call);
    assert!(names(&states).ends_with(&["ringback", "connected"]), "{states:?}");
    world.run_for(Duration::from_secs(1));
    let dialog = world.peer(peer).live()[0].clone();
    world.drop_call(app, call);
    world.await_state(app, call, "idle");
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.peer(peer).dialog(&dialog).unwrap().state, DialogState::Over("BYE".into()));
    world.assert_nothing_left();
}

#[test]
fn a_busy_peer_and_an_abandoned_call() {
    let busy = Policy::Refuse("486 Busy Here".into());
    let Trunk { mut world, app, line, peer } = trunk(Setup::default(), busy);
    let call = world.make_call(app, line, "sip:bob@192.0.2.9").unwrap();
    assert_eq!(world.await_state(app, call, "disconnected"), CallState::Disconnected(DisconnectMode::Busy));
    world.drop_call(app, call);
    world.with_peer(peer, |_, peer| peer.policy = Policy::Ring);
    let call = world.make_call(app, line, "sip:bob@192.0.2.9").unwrap();
    world.await_state(app, call, "ringback");
    let dialog = world.peer(peer).live()[0].clone();
    world.drop_call(app, call);
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.peer(peer).dialog(&dialog).unwrap().state, DialogState::Over("487".into()));
    // And the other way round: the peer gives up.
    let dialog = world.with_peer(peer, |now, peer| peer.invite(now, "office"));
    let call = world.await_offer(app);
    world.run_for(Duration::from_secs(1));
    world.with_peer(peer, |now, peer| peer.hang_up(now, &dialog));
    let last = world.await_state(app, call, "disconnected");
    assert!(matches!(last, CallState::Disconnected(DisconnectMode::Cancelled | DisconnectMode::Normal)), "{last:?}");
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.peer(peer).dialog(&dialog).unwrap().state, DialogState::Over("487".into()));
    world.drop_call(app, call);
    world.assert_nothing_left();
}

#[test]
fn a_refusal_reaches_the_caller_as_its_reason() {
    let Trunk { mut world, app, peer, .. } = trunk(Setup::default(), Policy::Ring);
    let dialog = world.with_peer(peer, |now, peer| peer.invite(now, "office"));
    let call = world.await_offer(app);
    world.expect(app, Request::CallDrop(CallDrop { call, reason: Some(DisconnectMode::Busy) }));
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.peer(peer).dialog(&dialog).unwrap().state, DialogState::Over("486".into()));
    world.assert_nothing_left();
}

#[test]
fn hold_stops_what_the_peer_sends_and_the_peers_own_hold_is_told() {
    let Trunk { mut world, app, line, peer } = trunk(Setup::default(), Policy::Answer(Duration::ZERO));
    let call = world.make_call(app, line, "sip:bob@192.0.2.9").unwrap();
    world.await_state(app, call, "connected");
    world.run_for(Duration::from_secs(1));
    let dialog = world.peer(peer).live()[0].clone();
    world.expect(app, Request::CallHold(CallHold { call }));
    world.await_state(app, call, "on_hold");
    assert_eq!(world.peer(peer).dialog(&dialog).unwrap().their_direction, "sendonly");
    world.expect(app, Request::CallUnhold(CallUnhold { call }));
    world.await_state(app, call, "connected");
    assert_eq!(world.peer(peer).dialog(&dialog).unwrap().their_direction, "sendrecv");
    world.with_peer(peer, |now, peer| peer.hold(now, &dialog, true));
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.app(app).state(call), Some(&CallState::Connected(ConnectedMode::ActiveHeld)));
    world.with_peer(peer, |now, peer| peer.hold(now, &dialog, false));
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.app(app).state(call), Some(&CallState::Connected(ConnectedMode::Active)));
    world.drop_call(app, call);
    world.assert_nothing_left();
}

#[test]
fn digits_go_both_ways_as_telephone_events() {
    let Trunk { mut world, app, line, peer } = trunk(Setup::default(), Policy::Answer(Duration::ZERO));
    let call = world.make_call(app, line, "sip:bob@192.0.2.9").unwrap();
    world.await_state(app, call, "connected");
    world.expect(app, Request::CallMonitorDigits(CallMonitorDigits { call, on: true }));
    let dialog = world.peer(peer).live()[0].clone();
    world.with_peer(peer, |_, peer| "42#".chars().for_each(|digit| peer.audio(&dialog).unwrap().press(digit)));
    let request = CallSendDigits { call, digits: "0*9".into(), duration_ms: None };
    world.started(app, Request::CallSendDigits(request), None).unwrap();
    world.run_for(Duration::from_secs(2));
    assert_eq!(world.digits(app, call), "42#");
    assert_eq!(world.peer(peer).dialog(&dialog).unwrap().audio.heard_digits, "0*9");
    world.drop_call(app, call);
    world.assert_nothing_left();
}

#[test]
fn over_a_net_that_loses_every_tenth_datagram_calls_come_about_and_end() {
    for seed in 1..=12 {
        let setup = Setup { snapshots: seed <= 3, ..lossy(seed) };
        let Trunk { mut world, app, line, peer } = trunk(setup, Policy::Answer(Duration::from_secs(1)));
        let call = world.make_call(app, line, "sip:bob@192.0.2.9").unwrap();
        world.await_state(app, call, "connected");
        world.run_for(Duration::from_secs(3));
        world.expect(app, Request::CallHold(CallHold { call }));
        world.await_state(app, call, "on_hold");
        world.drop_call(app, call);
        world.with_peer(peer, |now, peer| peer.invite(now, "office"));
        let call = world.await_offer(app);
        world.answer(app, call);
        world.await_state(app, call, "connected");
        world.run_for(Duration::from_secs(3));
        let live = world.peer(peer).live();
        live.iter().for_each(|dialog| world.with_peer(peer, |now, peer| peer.hang_up(now, dialog)));
        world.await_state(app, call, "disconnected");
        world.drop_call(app, call);
        world.run_for(Duration::from_secs(40));
        assert!(world.peer(peer).live().is_empty(), "seed {seed}: the peer still has a call");
        world.assert_nothing_left();
    }
}

#[test]
fn two_calls_of_a_trunk_are_bridged_and_each_hears_the_other() {
    let Trunk { mut world, app, line, peer } = trunk(Setup::default(), Policy::Answer(Duration::ZERO));
    let first = world.make_call(app, line, "sip:bob@192.0.2.9").unwrap();
    world.await_state(app, first, "connected");
    let one = world.peer(peer).live()[0].clone();
    let second = world.make_call(app, line, "sip:carol@192.0.2.9").unwrap();
    world.await_state(app, second, "connected");
    let other = world.peer(peer).live().into_iter().find(|call| *call != one).unwrap();
    world.expect(app, Request::CallBridge(CallBridge { call: first, with: second }));
    world.with_peer(peer, |now, peer| {
        peer.audio(&one).unwrap().play(now, 800.0, -100, Duration::from_secs(5));
        peer.audio(&other).unwrap().play(now, 1_200.0, -160, Duration::from_secs(5));
    });
    world.run_for(Duration::from_secs(3));
    let (at_one, at_other) = (heard(&world, peer, &one), heard(&world, peer, &other));
    assert!(at_other.hz.abs_diff(800) <= 10 && (at_other.level_ddbm0 + 100).abs() <= 15, "{at_other:?}");
    assert!(at_one.hz.abs_diff(1_200) <= 10 && (at_one.level_ddbm0 + 160).abs() <= 15, "{at_one:?}");
    world.drop_call(app, first);
    world.drop_call(app, second);
    world.assert_nothing_left();
}

#[test]
fn two_trunks_of_the_node_call_each_other() {
    for setup in [Setup::default(), lossy(5)] {
        let mut world = World::new(setup);
        let (east, west) = (SocketAddr::new(SERVER, 5060), SocketAddr::new(SERVER, 5062));
        world.start_sip(5060, "sip:east", west);
        world.start_sip(5062, "sip:west", east);
        let app = world.open_app("app", 0);
        let line = world.open_line(app, "sip:east");
        world.open_line(app, "sip:west");
        let ours = world.make_call(app, line, &format!("sip:office@{west}")).unwrap();
        let theirs = world.await_offer(app);
        world.answer(app, theirs);
        world.await_state(app, ours, "connected");
        world.await_state(app, theirs, "connected");
        let tone: Vec<i16> = (0..8_000)
            .map(|at| ((f64::from(at) * 440.0 / 8_000.0 * std::f64::consts::TAU).sin() * 8_000.0) as i16)
            .collect();
        let (_, file) = world.record(app, theirs).unwrap();
        world.play(app, ours, &tone).unwrap();
        world.run_for(Duration::from_secs(3));
        world.expect(app, Request::CallHold(CallHold { call: theirs }));
        world.await_state(app, theirs, "on_hold");
        world.run_for(Duration::from_secs(1));
        assert_eq!(world.app(app).state(ours), Some(&CallState::Connected(ConnectedMode::ActiveHeld)));
        world.drop_call(app, ours);
        world.await_state(app, theirs, "disconnected");
        world.drop_call(app, theirs);
        let frames = &world.recording(file).unwrap().frames;
        let loud = frames.iter().filter(|(received, _)| meter::mean_square(&received.0) > 1e6).count();
        assert!(loud > 38, "of 50 frames of tone {loud} were heard");
        world.assert_nothing_left();
    }
}

#[test]
fn a_peer_that_vanishes_in_mid_call_is_found_out_when_we_hang_up() {
    let Trunk { mut world, app, line, .. } = trunk(Setup::default(), Policy::Answer(Duration::ZERO));
    let call = world.make_call(app, line, "sip:bob@192.0.2.9").unwrap();
    world.await_state(app, call, "connected");
    world.net().cut(peer_address());
    world.drop_call(app, call);
    world.await_state(app, call, "idle");
    // Nobody is there to be called either.
    let call = world.make_call(app, line, "sip:bob@192.0.2.9").unwrap();
    let last = world.await_state(app, call, "disconnected");
    assert!(
        matches!(last, CallState::Disconnected(DisconnectMode::Unreachable | DisconnectMode::NoAnswer)),
        "{last:?}"
    );
    world.drop_call(app, call);
    world.assert_nothing_left();
}
