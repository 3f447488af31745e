//! Connections and sessions: what outlives what, replay, restart, stop.

mod common;

use common::*;
use tapi::request::*;
use tapi::{CallState, ConnectedMode, DisconnectMode, ErrorCode, LineSelector, Names, Privilege, Reply};
use tapi_core::{ClientId, Config, Input};
use tspi::{Action, CallRef, MediaWire, ReleasedBy, Report, Taken};

/// The numbers of what a client was sent, each with its `prev`.
fn numbers(world: &World, client: ClientId) -> Vec<(u64, u64)> {
    let number = |said: &Said| match said {
        Said::Event(of, prev, event) if *of == client => Some((*prev, event.seq)),
        _ => None,
    };
    world.said.iter().filter_map(number).collect()
}

fn resume(token: &str, since: u64) -> ClientResume {
    ClientResume { token: token.into(), since }
}

#[test]
fn a_session_that_lingers_is_taken_up_with_its_handles_and_what_it_missed() {
    let mut world = World::new();
    let (before, token) = world.app_that_lingers("app", 5_000);
    world.open(before, "trunk", &[Privilege::Owner]);
    let call = world.made(before, 1);
    world.report(1, Report::Dialing);
    let seen = world.server.position().1;
    world.gone(before);
    world.report(1, Report::Proceeding);
    world.report(1, Report::PeerRings);
    world.pass(4_999);
    let after = world.connect();
    let Reply::Opened(opened) = world.ok(after, resume(&token, seen)) else { panic!() };
    assert_eq!(opened.seq, seen + 2);
    assert_eq!(world.told(after), ["proceeding", "ringback"]);
    assert_eq!(numbers(&world, after), [(seen, seen + 1), (seen + 1, seen + 2)]);
    world.pass(60_000);
    world.report(1, Report::Answered(tapi::AnswerEvidence::Signalled));
    assert_eq!(world.told(after), ["connected (active)"]);
    assert_eq!(world.state(after, call), CallState::Connected(ConnectedMode::Active));
    assert_eq!(numbers(&world, after).last(), Some(&(seen + 2, seen + 3)));
}

#[test]
fn a_session_that_nobody_takes_up_dies() {
    let mut world = World::new();
    let (app, token) = world.app_that_lingers("app", 5_000);
    world.open(app, "trunk", &[Privilege::Owner]);
    world.made(app, 1);
    world.gone(app);
    world.pass(4_999);
    assert!(world.commands().is_empty());
    world.pass(1);
    assert_eq!(world.commands(), [Action::Drop { call: CallRef(1), reason: None }]);
    let late = world.connect();
    assert_eq!(world.refused(late, resume(&token, 0)), ErrorCode::InvalAppHandle);
}

#[test]
fn who_is_cut_off_for_not_reading_lingers_unasked() {
    let mut world = World::new();
    let (app, token) = world.app_that_lingers("slow", 0);
    world.open(app, "trunk", &[Privilege::Owner]);
    let call = world.made(app, 1);
    world.input(Input::ClientGone { client: app, overrun: true });
    world.pass(9_999);
    let back = world.connect();
    world.ok(back, resume(&token, 0));
    world.call(back, call);
}

#[test]
fn what_is_no_longer_kept_is_an_error_and_a_snapshot_mends_it() {
    let mut world = World::empty(Config { replay_events: 3, ..config() });
    world.input(Input::ProviderStarted { provider: PROVIDER, name: "sip".into() });
    world.add_line(0, line("trunk", MediaWire::Rtp));
    let (app, token) = world.app_that_lingers("app", 5_000);
    world.open(app, "trunk", &[Privilege::Owner]);
    for call in 1..=4 {
        world.made(app, call);
        world.report(call, Report::Dialing);
    }
    world.gone(app);
    let back = world.connect();
    let id = world.ask(back, resume(&token, 0));
    let error = world.reply(back, id).unwrap().unwrap_err();
    assert_eq!(error.code, ErrorCode::ResourceUnavail);
    assert_eq!(error.message, "event 1 is no longer kept; take a snapshot (oldest: 2)");
    let Reply::Snapshot(snapshot) = world.ok(back, StateGet {}) else { panic!() };
    assert_eq!((snapshot.seq, snapshot.calls.len(), snapshot.lines.len()), (4, 4, 1));
    world.report(1, Report::Proceeding);
    assert_eq!(numbers(&world, back), [(4, 5)]);
    // With what is kept it works, and an event that is still to come is nonsense.
    world.gone(back);
    let again = world.connect();
    world.ok(again, resume(&token, 2));
    assert_eq!(numbers(&world, again), [(2, 3), (3, 4), (4, 5)]);
    assert_eq!(world.refused(again, resume(&token, 6)), ErrorCode::InvalParam);
}

#[test]
fn events_of_others_are_not_replayed() {
    let mut world = World::new();
    let (app, token) = world.app_that_lingers("app", 5_000);
    let other = world.owner("other");
    world.gone(app);
    world.made(other, 1);
    world.report(1, Report::Dialing);
    world.add_line(1, line("second", MediaWire::Rtp));
    let back = world.connect();
    world.ok(back, resume(&token, 0));
    assert_eq!(world.told(back), ["added second"]);
    assert_eq!(numbers(&world, back), [(0, 2)]);
}

#[test]
fn a_second_connection_takes_the_session_over_from_a_dead_one() {
    let mut world = World::new();
    let (first, token) = world.app_that_lingers("app", 5_000);
    let second = world.connect();
    world.ok(second, resume(&token, 0));
    assert!(world.said.iter().any(|said| matches!(said, Said::Close(client) if *client == first)));
    world.gone(first);
    world.pass(60_000);
    world.ok(second, LineList {});
    assert_eq!(world.refused(second, ClientOpen::default()), ErrorCode::InUse);
}

#[test]
fn a_call_that_was_made_while_its_maker_was_away_is_told_on_return() {
    let mut world = World::new();
    let (app, token) = world.app_that_lingers("app", 5_000);
    world.open(app, "trunk", &[Privilege::Owner]);
    let id = world.ask_make(app);
    let command = world.command();
    world.gone(app);
    world.tell(tspi::Event::Reply { id: command.id, result: Ok(Taken::Call(CallRef(1))) });
    world.report(1, Report::Dialing);
    assert!(world.reply(app, id).is_none());
    let back = world.connect();
    world.ok(back, resume(&token, 0));
    assert_eq!(world.told(back), ["new unknown as owner", "unknown as owner", "dialing"]);
}

#[test]
fn after_a_restart_every_session_waits_to_be_taken_up() {
    let mut world = World::new();
    let (app, token) = world.app_that_lingers("app", 0);
    world.open(app, "trunk", &[Privilege::Owner]);
    let call = world.connected(app, 1);
    let seen = world.server.position().1;
    world.input(Input::Restored);
    world.input(Input::ProviderStarted { provider: PROVIDER, name: "sip".into() });
    world.add_line(0, line("trunk", MediaWire::Rtp));
    world.report(1, Report::PeerHeld);
    world.pass(9_999);
    let back = world.connect();
    world.ok(back, resume(&token, seen));
    assert_eq!(world.told(back), ["connected (active_held)"]);
    world.taken(back, drop(call));
    world.released(1, ReleasedBy::Local, DisconnectMode::Normal);
    assert_eq!(world.told(back), ["idle"]);
}

#[test]
fn an_answer_that_came_too_late_for_its_connection_is_not_given_to_the_next_one_of_that_number() {
    let mut world = World::new();
    let (app, token) = world.app_that_lingers("app", 0);
    world.open(app, "trunk", &[Privilege::Owner]);
    let making = world.ask_make(app);
    let under_way = world.command();
    let seen = world.server.position().1;
    world.restart();
    let back = world.connect();
    assert_eq!(back, app, "the number is the same, the connection is not");
    world.ok(back, resume(&token, seen));
    world.tell(tspi::Event::Reply { id: under_way.id, result: Ok(Taken::Call(CallRef(1))) });
    assert_eq!(world.answered.get(&(app, making)), None, "that request was never asked here");
    assert_eq!(world.told(back), ["new unknown as owner", "unknown as owner"]);
}

#[test]
fn after_a_restart_a_session_that_stays_away_is_dead() {
    let mut world = World::new();
    let owner = world.owner("owner");
    world.connected(owner, 1);
    world.input(Input::Restored);
    world.pass(10_000);
    assert_eq!(world.commands(), [Action::Drop { call: CallRef(1), reason: None }]);
    assert_eq!(world.server.summary().sessions, 0);
}

#[test]
fn stop_ends_every_call_and_refuses_requests() {
    let mut world = World::new();
    let owner = world.owner("owner");
    world.connected(owner, 1);
    world.made(owner, 2);
    let making = world.ask_make(owner);
    let under_way = world.command();
    world.events(owner);
    world.input(Input::Stop);
    assert_eq!(world.refused(owner, make("1")), ErrorCode::ServiceNotRunning);
    assert_eq!(world.refused(owner, LineList {}), ErrorCode::ServiceNotRunning);
    world.tell(tspi::Event::Reply { id: under_way.id, result: Ok(Taken::Call(CallRef(3))) });
    world.everything_answered_once(&[(owner, making)]);
    let drops: Vec<Action> = (1..=3).map(|call| Action::Drop { call: CallRef(call), reason: None }).collect();
    assert_eq!(world.commands(), drops);
    for call in 1..=3 {
        world.released(call, ReleasedBy::Local, DisconnectMode::Normal);
    }
    // A call that comes now is not for anybody.
    world.incoming(4);
    assert_eq!(world.commands(), [Action::Drop { call: CallRef(4), reason: None }]);
    assert_eq!(world.told(owner), ["idle", "idle as owner", "idle as owner"]);
}

#[test]
fn everything_needs_a_session_of_a_version_we_speak() {
    let mut world = World::new();
    let client = world.connect();
    assert_eq!(world.refused(client, LineList {}), ErrorCode::InvalAppHandle);
    let newer = ClientOpen { app: "new".into(), api: Some((2, 0)), linger_ms: 0 };
    assert_eq!(world.refused(client, newer), ErrorCode::IncompatibleApiVersion);
    let long = ClientOpen { app: "a".repeat(300), api: None, linger_ms: 0 };
    assert_eq!(world.refused(client, long), ErrorCode::InvalParam);
    world.ok(client, ClientOpen { app: "app".into(), api: Some((1, 3)), linger_ms: u64::MAX });
    world.gone(client);
    world.pass(60_000);
    assert_eq!(world.server.summary().sessions, 0, "nobody lingers for longer than a minute");
}

#[test]
fn a_flood_of_unanswered_requests_is_refused() {
    let mut description = line("trunk", MediaWire::None);
    description.caps.max_calls = 10_000;
    let mut world = World::with(description);
    let owner = world.owner("owner");
    // The twin is written down at every step: keep the flood as short as the limit allows.
    for _ in 0..1_024 {
        let id = tapi::RequestId(world.answered.len() as u64 + 1_000_000);
        world.answered.insert((ClientId(999), id), 0);
        let request = make("1").into_request();
        world.server.handle(world.now, Input::Request { client: owner, id, request, descriptor: None });
    }
    while world.server.poll_output().is_some() {}
    let id = tapi::RequestId(5);
    let request = make("1").into_request();
    world.server.handle(world.now, Input::Request { client: owner, id, request, descriptor: None });
    let output = world.server.poll_output();
    let Some(tapi_core::Output::Reply { result: Err(error), .. }) = output else { panic!("{output:?}") };
    assert_eq!(error.code, ErrorCode::RequestOverrun);
    world.server.check().unwrap();
}

#[test]
fn opening_a_line_again_replaces_what_was_asked() {
    let mut world = World::new();
    let app = world.owner("app");
    let other = world.owner("other");
    let none =
        LineOpen { line: LineSelector::Name("trunk".into()), privileges: Names::new(), media_modes: Names::new() };
    world.ok(app, none.clone());
    world.incoming(1);
    assert!(world.told(app).is_empty());
    assert_eq!(world.told(other).len(), 2);
    let mixed = LineOpen { privileges: [Privilege::None, Privilege::Owner].into(), ..none.clone() };
    assert_eq!(world.refused(app, mixed), ErrorCode::InvalCallPrivilege);
    let odd = LineOpen { privileges: [Privilege::from("emperor")].into(), ..none };
    assert_eq!(world.refused(app, odd), ErrorCode::InvalCallPrivilege);
}

#[test]
fn a_call_that_nobody_wants_is_dropped_and_one_with_monitors_rings_on() {
    let mut world = World::new();
    world.with_line("calls only", &[]);
    world.incoming(1);
    assert_eq!(world.commands(), [Action::Drop { call: CallRef(1), reason: None }]);
    world.released(1, ReleasedBy::Local, DisconnectMode::Normal);
    assert_eq!(world.commands(), [Action::CloseCall { call: CallRef(1) }]);
    let watcher = world.monitor("watcher");
    world.incoming(2);
    assert!(world.commands().is_empty());
    let call = world.new_call(watcher);
    world.ok(watcher, CallSetPrivilege { call, privilege: Privilege::Owner });
    world.taken(watcher, CallAnswer { call });
}

#[test]
fn a_found_call_that_ends_before_it_is_offered_is_never_told() {
    let mut world = World::new();
    let owner = world.owner("owner");
    world.tell(tspi::Event::NewCall { line: tspi::LineRef(0), call: CallRef(1), facts: Box::default() });
    world.released(1, ReleasedBy::Remote, DisconnectMode::Cancelled);
    assert!(world.told(owner).is_empty());
    assert_eq!(world.commands(), [Action::CloseCall { call: CallRef(1) }]);
}
