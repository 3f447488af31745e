//! What a clone of TAPI typically gets wrong, by number: the facts are those of TAPI's documentation.

mod common;

use common::*;
use tapi::request::*;
use tapi::{
    AnswerEvidence, CallState, ConnectedMode, DisconnectMode, ErrorCode, EventBody, Feature, LineSelector,
    LineStateKind, MediaMode, Names, OfferingMode, Party, Privilege, Reply, Service,
};
use tapi_core::Input;
use tspi::{Action, CallFacts, CallRef, Direction, LineChange, LineRef, MediaWire, ReleasedBy, Report, Taken};

fn trunk() -> LineSelector {
    LineSelector::Name("trunk".into())
}

/// The kinds of what was said to clients, in order, since `from`.
fn to_clients(world: &World, from: usize) -> Vec<&'static str> {
    let kind = |said: &Said| match said {
        Said::Reply(..) => Some("reply"),
        Said::Event(..) => Some("event"),
        _ => None,
    };
    world.said[from..].iter().filter_map(kind).collect()
}

#[test]
fn s01_reply_before_events() {
    let mut world = World::new();
    let maker = world.with_line("maker", &[Privilege::Owner, Privilege::Monitor]);
    let watcher = world.monitor("watcher");
    let (_, _) = (world.events(maker), world.events(watcher));
    let id = world.ask_make(maker);
    let command = world.command();
    // A provider that reports before it replies: nothing is told until the reply.
    world.report(7, Report::Proceeding);
    world.report(7, Report::PeerRings);
    assert!(world.events(maker).is_empty() && world.events(watcher).is_empty());
    let from = world.said.len();
    world.tell(tspi::Event::Reply { id: command.id, result: Ok(Taken::Call(CallRef(7))) });
    assert!(matches!(world.reply(maker, id), Some(Ok(Reply::Made(_)))));
    assert_eq!(to_clients(&world, from)[0], "reply");
    assert_eq!(world.told(maker), ["proceeding as owner", "ringback"]);
    assert_eq!(world.told(watcher), ["new unknown as monitor", "unknown as monitor", "proceeding", "ringback"]);
}

#[test]
fn s01_the_reply_to_any_request_precedes_its_events() {
    let mut world = World::new();
    let owner = world.owner("owner");
    let call = world.connected(owner, 1);
    world.released(1, ReleasedBy::Remote, DisconnectMode::Normal);
    let from = world.said.len();
    world.ok(owner, drop(call));
    assert_eq!(to_clients(&world, from), ["reply", "event"]);
}

#[test]
fn s02_failure_voids() {
    let mut world = World::new();
    let maker = world.owner("maker");
    let watcher = world.monitor("watcher");
    let id = world.ask_make(maker);
    let command = world.command();
    world.report(7, Report::Dialing);
    world.refuse(command.id, ErrorCode::InvalAddress);
    assert_eq!(world.reply(maker, id).unwrap().unwrap_err().code, ErrorCode::InvalAddress);
    assert!(world.events(maker).is_empty() && world.events(watcher).is_empty());
    assert!(world.commands().is_empty(), "a call that never was is not closed");
    assert!(world.server.is_empty_of_calls());
    // Its early events do not haunt a later call of the same name.
    world.made(maker, 7);
    assert!(world.told(maker).is_empty());
}

#[test]
fn s03_every_request_is_answered_once_when_the_provider_dies() {
    let mut world = World::new();
    let owner = world.owner("owner");
    let call = world.connected(owner, 1);
    let asked = [
        (owner, world.ask_make(owner)),
        (owner, world.ask(owner, CallHold { call })),
        (owner, world.ask(owner, drop(call))),
    ];
    world.input(Input::ProviderStopped { provider: PROVIDER, reason: "it died".into() });
    world.everything_answered_once(&asked);
    assert_eq!(world.reply(owner, asked[0].1).unwrap().unwrap_err().code, ErrorCode::Disconnected);
    world.pass(60_000);
    world.everything_answered_once(&asked);
    assert!(world.server.is_empty_of_calls());
}

#[test]
fn s03_a_silent_provider_is_answered_for_and_its_late_call_is_dropped() {
    let mut world = World::new();
    let owner = world.owner("owner");
    let id = world.ask_make(owner);
    let command = world.command();
    world.pass(19_999);
    assert!(world.reply(owner, id).is_none());
    world.pass(1);
    assert_eq!(world.reply(owner, id).unwrap().unwrap_err().code, ErrorCode::OperationFailed);
    world.tell(tspi::Event::Reply { id: command.id, result: Ok(Taken::Call(CallRef(7))) });
    world.everything_answered_once(&[(owner, id)]);
    let call = CallRef(7);
    assert_eq!(world.commands(), [Action::Drop { call, reason: None }, Action::CloseCall { call }]);
    assert!(world.server.is_empty_of_calls());
}

#[test]
fn s03_after_line_close_no_success_of_that_line_is_answered() {
    let mut world = World::new();
    world.add_line(1, line("other", MediaWire::Rtp));
    let owner = world.owner("owner");
    world.open(owner, "other", &[Privilege::Owner]);
    let on_trunk = world.ask_make(owner);
    let first = world.command();
    let on_other = world.ask(owner, CallMake { line: LineSelector::Name("other".into()), ..make("1") });
    let second = world.command();
    // LINE_REPLYs of a closed line are suppressed; who waits on a socket is answered all the same, and only once.
    let closing = world.ask(owner, LineClose { line: trunk() });
    world.everything_answered_once(&[(owner, closing), (owner, on_trunk)]);
    assert_eq!(world.reply(owner, on_trunk).unwrap().unwrap_err().code, ErrorCode::OperationFailed);
    world.tell(tspi::Event::Reply { id: first.id, result: Ok(Taken::Call(CallRef(1))) });
    world.tell(tspi::Event::Reply { id: second.id, result: Ok(Taken::Call(CallRef(2))) });
    world.everything_answered_once(&[(owner, on_trunk), (owner, on_other)]);
    assert!(matches!(world.reply(owner, on_other), Some(Ok(Reply::Made(_)))));
    assert_eq!(world.commands(), [Action::Drop { call: CallRef(1), reason: None }]);
}

#[test]
fn s03_client_close_answers_what_is_under_way() {
    let mut world = World::new();
    let owner = world.owner("owner");
    let making = world.ask_make(owner);
    let closing = world.ask(owner, ClientClose {});
    world.everything_answered_once(&[(owner, making), (owner, closing)]);
    assert_eq!(world.reply(owner, making).unwrap().unwrap_err().code, ErrorCode::OperationFailed);
    assert_eq!(world.refused(owner, LineList {}), ErrorCode::InvalAppHandle);
}

#[test]
fn s03_deallocate_does_not_swallow_answers() {
    let mut world = World::new();
    let owner = world.owner("owner");
    let call = world.connected(owner, 1);
    let holding = world.ask(owner, CallHold { call });
    let command = world.command();
    world.ok(owner, CallDeallocate { call });
    world.done(command.id);
    world.everything_answered_once(&[(owner, holding)]);
}

#[test]
fn s04_two_spaces_of_request_ids() {
    let mut world = World::new();
    let owner = world.owner("owner");
    let other = world.owner("other");
    let first = world.ask_make(owner);
    let second = world.ask_make(other);
    let commands = [world.command(), world.command()];
    assert_ne!(commands[0].id, commands[1].id);
    assert!(commands.iter().all(|command| command.id.0 > 0 && command.id.0 != first.0 && command.id.0 != second.0));
    // The same id of two clients are two requests; the same id of one, while it is not answered, is refused.
    let request = make("1").into_request();
    world.input(Input::Request { client: owner, id: first, request, descriptor: None });
    assert_eq!(world.reply(owner, first).unwrap().unwrap_err().code, ErrorCode::InvalParam);
}

#[test]
fn s05_made_is_not_connected_and_can_be_cancelled_early() {
    let mut world = World::new();
    let owner = world.owner("owner");
    let call = world.made(owner, 1);
    assert_eq!(world.state(owner, call), CallState::Unknown);
    assert!(world.call(owner, call).status.features.contains(&Feature::Drop));
    world.taken(owner, drop(call));
    world.released(1, ReleasedBy::Local, DisconnectMode::Cancelled);
    assert_eq!(world.told(owner), ["idle as owner"]);
}

#[test]
fn s06_drop_is_not_deallocate() {
    let mut world = World::new();
    let owner = world.owner("owner");
    let call = world.connected(owner, 1);
    world.taken(owner, drop(call));
    world.released(1, ReleasedBy::Local, DisconnectMode::Normal);
    // The handle stays, and what is known can be read.
    assert_eq!(world.state(owner, call), CallState::Idle);
    assert_eq!(world.call(owner, call).info.called.address.as_deref(), Some("200"));
    assert!(world.commands().is_empty());
    world.ok(owner, CallDeallocate { call });
    assert_eq!(world.commands(), [Action::CloseCall { call: CallRef(1) }]);
    assert_eq!(world.refused(owner, CallGet { call }), ErrorCode::InvalCallHandle);
}

#[test]
fn s06_deallocate_does_not_touch_the_call() {
    let mut world = World::new();
    let owner = world.owner("owner");
    let watcher = world.monitor("watcher");
    let call = world.connected(owner, 1);
    world.ok(owner, CallDeallocate { call });
    assert!(world.commands().is_empty());
    assert_eq!(world.state(watcher, call), CallState::Connected(ConnectedMode::Active));
    // Without an owner the far end's release leaves it idle at once.
    world.events(watcher);
    world.released(1, ReleasedBy::Remote, DisconnectMode::Normal);
    assert_eq!(world.told(watcher), ["disconnected (normal)", "idle"]);
}

#[test]
fn s06_idle_handles_are_taken_back_after_a_grace() {
    let mut world = World::new();
    let owner = world.owner("owner");
    let call = world.connected(owner, 1);
    world.taken(owner, drop(call));
    world.released(1, ReleasedBy::Local, DisconnectMode::Normal);
    world.pass(29_999);
    assert_eq!(world.state(owner, call), CallState::Idle);
    world.pass(1);
    assert_eq!(world.commands(), [Action::CloseCall { call: CallRef(1) }]);
    assert_eq!(world.refused(owner, CallGet { call }), ErrorCode::InvalCallHandle);
    assert!(world.server.is_empty_of_calls());
}

#[test]
fn s08_the_sole_owner_of_a_live_call_cannot_step_down() {
    let mut world = World::new();
    let owner = world.owner("owner");
    let other = world.monitor("other");
    let call = world.connected(owner, 1);
    let (up, down) = (Privilege::Owner, Privilege::Monitor);
    let step_down = CallSetPrivilege { call, privilege: down };
    assert_eq!(world.refused(owner, step_down.clone()), ErrorCode::InvalCallState);
    world.ok(other, CallSetPrivilege { call, privilege: up });
    world.ok(owner, step_down);
    assert_eq!(world.refused(owner, CallHold { call }), ErrorCode::NotOwner);
    let nothing = CallSetPrivilege { call, privilege: Privilege::None };
    assert_eq!(world.refused(owner, nothing), ErrorCode::InvalCallPrivilege);
}

#[test]
fn s09_one_owner_and_every_monitor() {
    let mut world = World::new();
    let outside = world.with_line("outside", &[Privilege::None]);
    let first = world.owner("first");
    let both = world.with_line("both", &[Privilege::Owner, Privilege::Monitor]);
    let second = world.owner("second");
    let watcher = world.monitor("watcher");
    world.incoming(1);
    assert_eq!(world.told(first), ["new offering (active) as owner", "offering (active) as owner"]);
    let monitor = ["new offering (active) as monitor", "offering (active) as monitor"];
    assert_eq!(world.told(both), monitor);
    assert_eq!(world.told(watcher), monitor);
    assert!(world.told(outside).is_empty() && world.told(second).is_empty());
}

#[test]
fn s09_the_media_mode_chooses() {
    let mut world = World::new();
    let machine = world.app("machine");
    let automated = Names::from([MediaMode::AutomatedVoice]);
    let privileges = Names::from([Privilege::Owner]);
    world.ok(machine, LineOpen { line: trunk(), privileges: privileges.clone(), media_modes: automated });
    let person = world.owner("person");
    world.incoming(1);
    assert!(world.told(machine).is_empty());
    assert_eq!(world.told(person).len(), 2);
    let fax = LineOpen { line: trunk(), privileges, media_modes: [MediaMode::G3Fax].into() };
    assert_eq!(world.refused(machine, fax), ErrorCode::InvalMediaMode);
}

#[test]
fn s10_latecomers_ask_and_may_take_over() {
    let mut world = World::new();
    let owner = world.owner("owner");
    let call = world.connected(owner, 1);
    world.events(owner);
    let late = world.owner("late");
    assert!(world.told(late).is_empty());
    let Reply::Calls(calls) = world.ok(late, CallList { line: None }) else { panic!() };
    assert_eq!(calls.calls[0].info.call, call);
    assert_eq!(calls.calls[0].status.privilege, Privilege::Monitor);
    assert_eq!(
        calls.calls[0].status.features,
        [Feature::MonitorDigits, Feature::MonitorTones, Feature::MonitorMedia].into()
    );
    world.ok(late, CallSetPrivilege { call, privilege: Privilege::Owner });
    world.taken(late, drop(call));
    assert_eq!(world.told(owner), ["info monitors", "info owners_increased monitors"]);
}

#[test]
fn s12_a_privilege_is_told_once() {
    let mut world = World::new();
    let owner = world.owner("owner");
    world.incoming(1);
    world.report(1, Report::Accepted);
    assert_eq!(world.told(owner), ["new offering (active) as owner", "offering (active) as owner", "accepted"]);
    world.made(owner, 2);
    world.report(2, Report::Dialing);
    world.report(2, Report::Proceeding);
    assert_eq!(world.told(owner), ["dialing as owner", "proceeding"]);
}

#[test]
fn s13_who_changes_owners_and_monitors_is_not_told_and_others_are() {
    let mut world = World::new();
    let owner = world.owner("owner");
    let watcher = world.monitor("watcher");
    let call = world.connected(owner, 1);
    let (_, _) = (world.events(owner), world.events(watcher));
    world.ok(watcher, CallSetPrivilege { call, privilege: Privilege::Owner });
    assert!(world.told(watcher).is_empty());
    assert_eq!(world.told(owner), ["info owners_increased monitors"]);
    world.ok(watcher, CallDeallocate { call });
    assert_eq!(world.told(owner), ["info owners_decreased"]);
    assert_eq!((world.call(owner, call).info.owners, world.call(owner, call).info.monitors), (1, 0));
    // Not for handles on an idle call.
    world.ok(watcher, CallList { line: None });
    world.events(owner);
    world.taken(owner, drop(call));
    world.released(1, ReleasedBy::Local, DisconnectMode::Normal);
    let (_, _) = (world.events(owner), world.events(watcher));
    world.ok(watcher, CallDeallocate { call });
    assert!(world.told(owner).is_empty());
}

#[test]
fn s14_monitors_learn_of_a_made_call_with_the_reply() {
    let mut world = World::new();
    let maker = world.owner("maker");
    let watcher = world.monitor("watcher");
    world.made(maker, 1);
    assert_eq!(world.told(watcher), ["new unknown as monitor", "unknown as monitor"]);
    world.report(1, Report::Dialing);
    assert_eq!(world.told(watcher), ["dialing"]);
    assert_eq!(world.told(maker), ["dialing as owner"]);
}

#[test]
fn s15_a_new_call_is_followed_by_its_state_at_once() {
    let mut world = World::new();
    let owner = world.with_line("owner", &[Privilege::Owner, Privilege::Monitor]);
    let states = LineStateKind::KNOWN.iter().cloned().collect();
    world.ok(owner, LineSetStatusMessages { line: trunk(), states });
    world.monitor("watcher");
    world.events(owner);
    world.tell(tspi::Event::NewCall { line: LineRef(0), call: CallRef(1), facts: Box::default() });
    let facts = CallFacts { caller: Some(Party::new(Some("555".into()), None)), ..CallFacts::default() };
    world.tell(tspi::Event::CallInfo { call: CallRef(1), facts: Box::new(facts) });
    world.report(1, Report::Offered);
    let told = world.told(owner);
    let new = told.iter().position(|told| told.starts_with("new")).unwrap();
    assert_eq!(told[new + 1], "offering (active) as owner");
    assert!(!told.iter().any(|told| told.starts_with("info")), "{told:?}");
}

#[test]
fn s16_states_are_levels_in_one_ordered_stream() {
    let mut world = World::new();
    let owner = world.owner("owner");
    world.made(owner, 1);
    for report in [Report::Dialing, Report::Dialing, Report::PeerRings, Report::PeerRings, Report::Proceeding] {
        world.report(1, report);
    }
    world.report(1, Report::Answered(AnswerEvidence::Signalled));
    world.report(1, Report::PeerRings);
    assert_eq!(world.told(owner), ["dialing as owner", "ringback", "proceeding", "connected (active)"]);
    // Every event names the one that this client got before it, and numbers have no gaps.
    let stream: Vec<(u64, u64)> = world
        .said
        .iter()
        .filter_map(|said| match said {
            Said::Event(client, prev, event) if *client == owner => Some((*prev, event.seq)),
            _ => None,
        })
        .collect();
    assert_eq!(stream, [(0, 1), (1, 2), (2, 3), (3, 4)]);
    assert_eq!(world.server.position().1, 4);
}

#[test]
fn s17_nothing_follows_idle() {
    let mut world = World::new();
    let owner = world.owner("owner");
    let call = world.connected(owner, 1);
    world.taken(owner, drop(call));
    world.released(1, ReleasedBy::Local, DisconnectMode::Normal);
    world.events(owner);
    for report in [Report::Answered(AnswerEvidence::Signalled), Report::Held, Report::Offered] {
        world.report(1, report);
    }
    world.released(1, ReleasedBy::Remote, DisconnectMode::Busy);
    world.media_flows(1, Direction::SendRecv);
    let facts = CallFacts { network_id: Some("new".into()), ..CallFacts::default() };
    world.tell(tspi::Event::CallInfo { call: CallRef(1), facts: Box::new(facts) });
    assert!(world.told(owner).is_empty());
    assert_eq!(world.state(owner, call), CallState::Idle);
    assert_eq!(world.refused(owner, drop(call)), ErrorCode::InvalCallState);
}

#[test]
fn s18_the_far_end_disconnects_and_the_owner_ends_it() {
    let mut world = World::new();
    let owner = world.owner("owner");
    let call = world.connected(owner, 1);
    world.events(owner);
    world.released(1, ReleasedBy::Remote, DisconnectMode::Normal);
    world.pass(3_600_000);
    let events = world.events(owner);
    let [EventBody::CallState { state, cause: Some(cause), features, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(*state, CallState::Disconnected(DisconnectMode::Normal));
    assert_eq!(cause.mode, DisconnectMode::Normal);
    assert_eq!(*features, Names::from([Feature::Drop]));
    world.ok(owner, drop(call));
    assert_eq!(world.told(owner), ["idle"]);
    assert!(world.commands().is_empty(), "the provider has nothing to drop any more");
    world.ok(owner, CallDeallocate { call });
    assert_eq!(world.commands(), [Action::CloseCall { call: CallRef(1) }]);
}

#[test]
fn s18_deallocating_ends_it_too_and_a_cancelled_offer_is_the_same() {
    let mut world = World::new();
    let owner = world.owner("owner");
    let watcher = world.monitor("watcher");
    world.incoming(1);
    let call = world.new_call(owner);
    world.released(1, ReleasedBy::Remote, DisconnectMode::Cancelled);
    assert_eq!(world.told(owner), ["disconnected (cancelled)"]);
    world.events(watcher);
    world.ok(owner, CallDeallocate { call });
    assert_eq!(world.told(watcher), ["info owners_decreased", "idle"]);
    assert!(world.commands().is_empty(), "the monitor still has its handle");
    world.ok(watcher, CallDeallocate { call });
    assert_eq!(world.commands(), [Action::CloseCall { call: CallRef(1) }]);
}

#[test]
fn s18_a_drop_that_crosses_the_far_ends_release() {
    let mut world = World::new();
    let owner = world.owner("owner");
    let call = world.connected(owner, 1);
    let dropping = world.ask(owner, drop(call));
    let command = world.command();
    world.events(owner);
    world.released(1, ReleasedBy::Remote, DisconnectMode::Normal);
    world.refuse(command.id, ErrorCode::InvalCallState);
    assert!(matches!(world.reply(owner, dropping), Some(Ok(Reply::Done(_)))));
    assert_eq!(world.told(owner), ["disconnected (normal)", "idle"]);
}

#[test]
fn s19_after_a_death_the_monitors_still_get_idle() {
    let mut world = World::new();
    let owner = world.owner("owner");
    let watcher = world.monitor("watcher");
    world.connected(owner, 1);
    world.events(watcher);
    world.gone(owner);
    let command = world.command();
    assert_eq!(command.action, Action::Drop { call: CallRef(1), reason: None });
    world.done(command.id);
    world.released(1, ReleasedBy::Local, DisconnectMode::Normal);
    assert_eq!(world.told(watcher), ["info owners_decreased", "idle"]);
}

#[test]
fn s19_a_call_without_handles_is_closed_once_it_is_idle_even_if_the_provider_will_not_let_go() {
    let mut world = World::new();
    let owner = world.owner("owner");
    world.connected(owner, 1);
    world.gone(owner);
    world.command();
    world.pass(20_000);
    assert_eq!(world.commands(), [Action::CloseCall { call: CallRef(1) }]);
    assert!(world.server.is_empty_of_calls());
}

#[test]
fn s20_death_drops_what_was_owned_alone_and_leaves_what_is_shared() {
    let mut world = World::new();
    let dies = world.owner("dies");
    let stays = world.monitor("stays");
    let alone = world.connected(dies, 1);
    let shared = world.connected(dies, 2);
    world.ok(stays, CallSetPrivilege { call: shared, privilege: Privilege::Owner });
    world.ok(dies, CallMonitorDigits { call: shared, on: true });
    world.gone(dies);
    assert_eq!(world.commands(), [Action::Drop { call: CallRef(1), reason: None }]);
    assert_eq!(world.call(stays, shared).info.owners, 1);
    assert_eq!(world.call(stays, alone).info.owners, 0);
    assert_eq!(world.state(stays, shared), CallState::Connected(ConnectedMode::Active));
}

#[test]
fn s20_the_last_close_drops_what_nobody_owns() {
    let mut world = World::new();
    let leaves = world.owner("leaves");
    let watches = world.monitor("watches");
    let call = world.connected(leaves, 1);
    world.ok(leaves, CallDeallocate { call });
    world.ok(watches, LineClose { line: trunk() });
    assert!(world.commands().is_empty(), "somebody is left who could take it over");
    world.ok(leaves, LineClose { line: trunk() });
    assert_eq!(world.commands(), [Action::Drop { call: CallRef(1), reason: None }]);
    world.released(1, ReleasedBy::Local, DisconnectMode::Normal);
    assert_eq!(world.commands(), [Action::CloseCall { call: CallRef(1) }]);
    // A death is a close.
    world.open(leaves, "trunk", &[Privilege::Owner]);
    let call = world.connected(leaves, 2);
    world.ok(leaves, CallDeallocate { call });
    world.gone(leaves);
    assert_eq!(world.commands(), [Action::Drop { call: CallRef(2), reason: None }]);
}

#[test]
fn s21_operations_need_owner_and_looking_needs_a_handle() {
    let mut world = World::new();
    let owner = world.owner("owner");
    let watcher = world.monitor("watcher");
    let stranger = world.with_line("stranger", &[]);
    let call = world.connected(owner, 1);
    assert_eq!(world.refused(watcher, drop(call)), ErrorCode::NotOwner);
    assert_eq!(world.refused(watcher, CallHold { call }), ErrorCode::NotOwner);
    let digits = CallSendDigits { call, digits: "1".into(), duration_ms: None };
    assert_eq!(world.refused(watcher, digits), ErrorCode::NotOwner);
    assert_eq!(world.refused(watcher, CallBridge { call, with: call }), ErrorCode::NotOwner);
    world.ok(watcher, CallGet { call });
    world.ok(watcher, CallMonitorDigits { call, on: true });
    world.ok(watcher, CallTrace { call, full: false });
    assert_eq!(world.refused(stranger, drop(call)), ErrorCode::InvalCallHandle);
    // Who opened the line with NONE may make calls.
    world.made(stranger, 2);
    let not_open = world.app("not open");
    assert_eq!(world.refused(not_open, make("1")), ErrorCode::InvalLineHandle);
}

#[test]
fn s23_a_handle_is_ones_own_and_the_call_has_a_name_for_all() {
    let mut world = World::new();
    let owner = world.owner("owner");
    let watcher = world.monitor("watcher");
    world.incoming(1);
    let call = world.new_call(owner);
    let (mine, theirs) = (world.call(owner, call), world.call(watcher, call));
    assert_eq!(mine.info.network_id.as_deref(), Some("net-1"));
    assert_eq!(mine.info.network_id, theirs.info.network_id);
    assert_eq!(mine.info.uid, format!("here-a-{:x}", call.0));
    world.ok(watcher, CallDeallocate { call });
    assert_eq!(world.refused(watcher, CallGet { call }), ErrorCode::InvalCallHandle);
    world.call(owner, call);
}

#[test]
fn s24_a_removed_line_answers_nodevice_and_comes_back_under_its_name_with_a_new_id() {
    let mut world = World::new();
    let owner = world.app("owner");
    let before = world.open(owner, "trunk", &[Privilege::Owner]);
    world.tell(tspi::Event::LineRemoved { line: LineRef(0), reason: "unplugged".into() });
    assert_eq!(world.told(owner), ["closed", "removed"]);
    let open = |line| LineOpen { line, privileges: Names::new(), media_modes: Names::new() };
    assert_eq!(world.refused(owner, open(LineSelector::Id(before))), ErrorCode::NoDevice);
    assert_eq!(world.refused(owner, open(trunk())), ErrorCode::NoDevice);
    world.add_line(0, line("trunk", MediaWire::Rtp));
    assert_eq!(world.told(owner), ["added trunk"]);
    let after = world.open(owner, "trunk", &[Privilege::Owner]);
    assert_ne!(before, after);
    assert_eq!(world.refused(owner, open(LineSelector::Id(before))), ErrorCode::NoDevice);
    assert_eq!(world.refused(owner, open(LineSelector::Id(tapi::LineId(5)))), ErrorCode::BadDeviceId);
}

#[test]
fn s35_status_messages_are_off_until_asked_for() {
    let mut world = World::new();
    let quiet = world.owner("quiet");
    let watcher = world.monitor("watcher");
    let states = [LineStateKind::Ringing, LineStateKind::OutOfService].into();
    world.ok(watcher, LineSetStatusMessages { line: trunk(), states });
    world.tell(tspi::Event::Ringing { line: LineRef(0), count: 0, pattern: 1 });
    world.tell(tspi::Event::LineChanged { line: LineRef(0), change: LineChange::Signal(40) });
    let out = || LineChange::Service(Service::Out { reason: "no network".into() });
    world.tell(tspi::Event::LineChanged { line: LineRef(0), change: out() });
    world.tell(tspi::Event::LineChanged { line: LineRef(0), change: out() });
    world.tell(tspi::Event::LineChanged { line: LineRef(0), change: LineChange::Service(Service::In) });
    assert_eq!(world.told(watcher), ["line ringing", "line out_of_service"]);
    assert!(world.told(quiet).is_empty());
}

#[test]
fn s36_times_are_64_bits_of_one_clock_with_the_wall_beside() {
    let mut world = World::new();
    let owner = world.owner("owner");
    world.now = tapi::Time::from_millis(60 * 24 * 3_600_000);
    world.incoming(1);
    let call = world.new_call(owner);
    let status = world.call(owner, call).status;
    assert_eq!(status.entered, world.now, "sixty days do not wrap");
    assert_eq!(status.entered_wall, world.now.0 + 1_000_000_000);
    world.input(Input::WallClock(2_000_000_000));
    world.report(1, Report::Accepted);
    let last = world.said.iter().rev().find_map(|said| match said {
        Said::Event(_, _, event) => Some((event.time, event.wall)),
        _ => None,
    });
    assert_eq!(last, Some((world.now, world.now.0 + 2_000_000_000)));
}

#[test]
fn s37_a_closed_line_voids_its_calls_and_no_idle_follows() {
    let mut world = World::new();
    let owner = world.owner("owner");
    let call = world.connected(owner, 1);
    world.events(owner);
    world.tell(tspi::Event::LineRemoved { line: LineRef(0), reason: "unplugged".into() });
    assert_eq!(world.told(owner), ["disconnected (unavail)", "closed", "removed"]);
    assert_eq!(world.refused(owner, CallGet { call }), ErrorCode::InvalCallHandle);
    assert!(world.server.is_empty_of_calls());
}

#[test]
fn s45_each_reason_has_its_own_error() {
    let mut description = line("trunk", MediaWire::Rtp);
    description.caps.call_features.remove(&Feature::Hold);
    description.caps.max_calls = 2;
    let mut world = World::with(description);
    let owner = world.owner("owner");
    let call = world.made(owner, 1);
    assert_eq!(world.refused(owner, CallAnswer { call }), ErrorCode::InvalCallState);
    assert_eq!(world.refused(owner, CallUnhold { call }), ErrorCode::InvalCallState);
    assert_eq!(world.refused(owner, CallHold { call }), ErrorCode::OperationUnavail);
    let address = CallMake { address: tapi::AddressId(1), ..make("1") };
    assert_eq!(world.refused(owner, address), ErrorCode::InvalAddressId);
    world.made(owner, 2);
    assert_eq!(world.refused(owner, make("1")), ErrorCode::CallUnavail);
    let out = LineChange::Service(Service::Out { reason: "no network".into() });
    world.tell(tspi::Event::LineChanged { line: LineRef(0), change: out });
    assert_eq!(world.refused(owner, make("1")), ErrorCode::InvalLineState);
    let open = LineOpen { line: trunk(), privileges: Names::new(), media_modes: Names::new() };
    world.input(Input::ProviderStopped { provider: PROVIDER, reason: "it died".into() });
    assert_eq!(world.refused(owner, open), ErrorCode::NoDriver);
    assert_eq!(world.refused(owner, LineClose { line: LineSelector::Name("never".into()) }), ErrorCode::BadDeviceId);
}

#[test]
fn s45_a_state_of_offering_has_its_features() {
    let mut world = World::new();
    let owner = world.owner("owner");
    world.incoming(1);
    let call = world.new_call(owner);
    let status = world.call(owner, call).status;
    assert_eq!(status.state, CallState::Offering(OfferingMode::Active));
    let features = [
        Feature::Accept,
        Feature::Answer,
        Feature::Drop,
        Feature::MonitorDigits,
        Feature::GatherDigits,
        Feature::MonitorTones,
        Feature::MonitorMedia,
    ];
    assert_eq!(status.features, features.into());
}
