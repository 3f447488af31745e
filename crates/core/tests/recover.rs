//! After a crash: what a new process makes of the journal.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::*;
use tapi::request::*;
use tapi::{CallState, ConnectedMode, LineFeature, Names, Privilege, Reply};
use tapi_core::{EntryKind, Server};
use tspi::{Direction, MediaWire, media};

fn resume(token: &str, since: u64) -> ClientResume {
    ClientResume { token: token.into(), since }
}

#[test]
fn an_answered_call_goes_on_with_its_owner_its_stream_and_its_bridge() {
    let mut world = World::new();
    let (app, token) = world.app_that_lingers("app", 0);
    let line = world.open(app, "trunk", &[Privilege::Owner]);
    let (one, other) = (world.connected(app, 1), world.connected(app, 2));
    world.media_flows(1, Direction::SendRecv);
    world.media_flows(2, Direction::SendRecv);
    world.ok(app, CallBridge { call: one, with: other });
    let (seen, next_id) = (world.server.position().1, world.server.next_id());

    world.said.clear();
    world.crash(&[1, 2]);
    let told: Vec<String> = world.said.iter().map(|said| format!("{said:?}")).collect();
    let opened = told.iter().filter(|said| said.contains("Open")).count();
    let connected = told.iter().filter(|said| said.contains("Connect ")).count();
    let joined = told.iter().filter(|said| said.contains("Join")).count();
    assert_eq!((opened, connected, joined), (2, 2, 1), "{told:#?}");
    assert_eq!(world.server.position().1, seen, "nothing happened to the calls");
    assert!(world.server.next_id() >= next_id, "no id is given out again");

    world.add_line(0, common::line("trunk", MediaWire::Rtp));
    let back = world.connect();
    world.ok(back, resume(&token, seen));
    let Reply::Call(call) = world.ok(back, CallGet { call: one }) else { panic!("no call") };
    assert_eq!(call.status.state, CallState::Connected(ConnectedMode::Active));
    assert_eq!((call.status.privilege, call.info.bridged, call.info.line), (Privilege::Owner, Some(other), line));
    world.taken(back, drop(one));
    world.released(1, tspi::ReleasedBy::Local, tapi::DisconnectMode::Normal);
    assert_eq!(world.told(back).last().unwrap(), "idle");
}

#[test]
fn a_call_that_its_provider_lost_ends_with_a_reason_and_its_owner_hears_of_it() {
    let mut world = World::new();
    let (app, token) = world.app_that_lingers("app", 0);
    world.open(app, "trunk", &[Privilege::Owner]);
    world.connected(app, 1);
    world.made(app, 2);
    let seen = world.server.position().1;
    world.crash(&[1]);
    let back = world.connect();
    world.ok(back, resume(&token, seen));
    assert_eq!(world.told(back), ["disconnected (temp_failure) as owner"], "the one that was being set up");
    assert_eq!(world.server.summary().live_calls, 1);
    assert_eq!(world.server.summary().streams, 1);
}

#[test]
fn a_line_that_takes_no_call_takes_none_after_a_crash_until_its_provider_begins_anew() {
    let mut world = World::new();
    let (app, token) = world.app_that_lingers("app", 0);
    let line = world.open(app, "trunk", &[Privilege::Owner]);
    let takes_calls = |world: &mut World, client| {
        let Reply::Lines(lines) = world.ok(client, LineList {}) else { panic!("no lines") };
        let found = lines.lines.into_iter().find(|found| found.line == line).unwrap();
        found.status.features.contains(&LineFeature::MakeCall)
    };
    assert!(takes_calls(&mut world, app));
    let change = tspi::LineChange::Features(Names::new());
    world.tell(tspi::Event::LineChanged { line: tspi::LineRef(0), change });
    assert!(!takes_calls(&mut world, app));
    let seen = world.server.position().1;
    world.crash(&[]);
    let back = world.connect();
    world.ok(back, resume(&token, seen));
    assert!(!takes_calls(&mut world, back), "it was said before the crash");
    world.add_line(0, common::line("trunk", MediaWire::Rtp));
    assert!(takes_calls(&mut world, back), "the provider knows of nothing that stands against it");
}

#[test]
fn what_was_told_before_the_crash_is_told_again_and_nothing_twice() {
    let mut world = World::new();
    let (app, token) = world.app_that_lingers("app", 0);
    world.open(app, "trunk", &[Privilege::Owner]);
    let call = world.connected(app, 1);
    let before = world.server.position().1;
    world.report(1, tspi::Report::PeerHeld);
    world.report(1, tspi::Report::PeerRetrieved);
    world.crash(&[1]);
    let back = world.connect();
    world.ok(back, resume(&token, before));
    assert_eq!(world.told(back), ["connected (active_held)", "connected (active)"]);
    world.taken(back, drop(call));
}

#[test]
fn what_ran_on_a_call_ends_with_restarted() {
    let mut world = World::new();
    let (app, token) = world.app_that_lingers("app", 0);
    world.open(app, "trunk", &[Privilege::Owner]);
    let call = world.connected(app, 1);
    world.media_flows(1, Direction::SendRecv);
    let tone = CallTone { call, hz: vec![440], named: None, country: None, duration_ms: 60_000, level_dbm0: None };
    world.ok(app, tone);
    let seen = world.server.position().1;
    world.crash(&[1]);
    let back = world.connect();
    world.ok(back, resume(&token, seen));
    assert_eq!(world.told(back), ["generated restarted"]);
    assert_eq!(world.server.summary().operations, 0);
}

#[test]
fn a_call_whose_port_is_gone_from_the_configuration_keeps_no_other_calls_port_busy() {
    let mut world = World::new();
    let (app, _) = world.app_that_lingers("app", 0);
    world.open(app, "trunk", &[Privilege::Owner]);
    world.connected(app, 1);
    let in_use = world.server.summary().ports_in_use;
    world.crash(&[1]);
    assert_eq!(world.server.summary().ports_in_use, in_use);
    world.crash(&[]);
    assert_eq!(world.server.summary().ports_in_use, 0);
}

#[test]
fn a_checkpoint_writes_what_changed_and_nothing_else() {
    let mut world = World::new();
    let app = world.owner("app");
    world.connected(app, 1);
    let quiet = |server: &mut Server| {
        let mut entries = Vec::new();
        server.checkpoint(|key, _| entries.push(key.kind));
        entries
    };
    assert_eq!(quiet(&mut world.server), []);
    world.server.handle(
        world.now,
        tapi_core::Input::Media(media::Event::Tones { stream: tspi::StreamId(1), tones: Vec::new(), level_ddbm0: 0 }),
    );
    assert_eq!(quiet(&mut world.server), [], "audio is no change");
    world.server.handle(
        world.now,
        tapi_core::Input::Provider {
            provider: PROVIDER,
            event: tspi::Event::Call { call: tspi::CallRef(1), report: tspi::Report::PeerHeld },
        },
    );
    let written = quiet(&mut world.server);
    assert!(written.contains(&EntryKind::Call) && written.contains(&EntryKind::Event), "{written:?}");
    assert!(!written.contains(&EntryKind::Line), "a line is not written for each of its calls: {written:?}");
}

#[test]
fn events_that_are_no_longer_kept_leave_the_journal_too() {
    let mut world = World::empty(tapi_core::Config { replay_events: 4, ..config() });
    world.input(tapi_core::Input::ProviderStarted { provider: PROVIDER, name: "sip".into() });
    world.add_line(0, common::line("trunk", MediaWire::Rtp));
    let app = world.owner("app");
    world.connected(app, 1);
    for _ in 0..20 {
        world.report(1, tspi::Report::PeerHeld);
        world.report(1, tspi::Report::PeerRetrieved);
        let events = world.journal.keys().filter(|key| key.kind == EntryKind::Event).count();
        assert!(events <= 4, "{events} events in the journal");
    }
}
