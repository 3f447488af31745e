//! Transfers, conferences, consultation, handing over: what an application sees and what its provider is told.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::*;
use tapi::request::*;
use tapi::*;
use tspi::media::Command as Media;
use tspi::{Action, CallFacts, CallRef, LineRef, MediaWire, ReleasedBy, Report, Taken, TransferRequest};

fn all() -> Names<Feature> {
    let mut all = all_features();
    all.extend([Feature::Redirect, Feature::BlindTransfer, Feature::CompleteTransfer, Feature::Dial]);
    all
}

fn world() -> World {
    let mut description = line("trunk", MediaWire::Rtp);
    description.caps.call_features = all();
    World::with(description)
}

fn two(world: &mut World, owner: tapi_core::ClientId) -> (CallId, CallId) {
    let a = world.connected(owner, 1);
    let id = world.ask(owner, CallHold { call: a });
    let hold = world.command();
    world.done(hold.id);
    assert!(world.reply(owner, id).unwrap().is_ok());
    world.report(1, Report::Held);
    let b = world.connected(owner, 2);
    world.events(owner);
    (a, b)
}

#[test]
fn a_blind_transfer_is_the_networks_and_its_end_is_told() {
    let mut world = world();
    let owner = world.owner("owner");
    let call = world.connected(owner, 1);
    world.events(owner);
    let id = world.ask(owner, CallBlindTransfer { call, to: "300".into(), how: None });
    let command = world.command();
    assert_eq!(command.action, Action::BlindTransfer { call: CallRef(1), to: "300".into() });
    world.done(command.id);
    let Some(Ok(Reply::Transferring(reply))) = world.reply(owner, id) else { panic!() };
    assert_eq!(reply.how, TransferWay::Network);
    world.report(1, Report::TransferProgress { text: "180 Ringing".into() });
    world.report(1, Report::Transferred);
    world.released(1, ReleasedBy::Local, DisconnectMode::Normal);
    assert_eq!(world.told(owner), ["transfer progress network", "transfer done network", "idle"]);
}

#[test]
fn a_blind_transfer_that_the_network_refuses_is_bridged_and_ends_together() {
    let mut world = world();
    let owner = world.owner("owner");
    let call = world.connected(owner, 1);
    world.events(owner);
    let id = world.ask(owner, CallBlindTransfer { call, to: "300".into(), how: None });
    let command = world.command();
    world.refuse(command.id, ErrorCode::OperationUnavail);
    let make = world.command();
    assert!(matches!(&make.action, Action::MakeCall { to, .. } if to == "300"), "{make:?}");
    world.tell(tspi::Event::Reply { id: make.id, result: Ok(Taken::Call(CallRef(2))) });
    let Some(Ok(Reply::Transferring(reply))) = world.reply(owner, id) else { panic!() };
    assert_eq!(reply.how, TransferWay::Bridge);
    let leg = world.new_call(owner);
    assert_eq!(world.call(owner, leg).info.related, Some(call));
    assert_eq!(world.call(owner, leg).info.conversation, world.call(owner, call).info.conversation);
    world.media();
    world.media_flows(2, tspi::Direction::SendRecv);
    world.report(2, Report::Answered(AnswerEvidence::Signalled));
    assert!(world.media().iter().any(|command| matches!(command, Media::Join { .. })));
    assert!(world.told(owner).contains(&"transfer done bridge".to_owned()));
    // The application goes: the transferred call goes on, as it would in the network.
    world.gone(owner);
    assert!(world.commands().is_empty());
    world.released(2, ReleasedBy::Remote, DisconnectMode::Normal);
    let actions = world.commands();
    assert!(actions.contains(&Action::Drop { call: CallRef(1), reason: None }), "{actions:?}");
}

#[test]
fn a_transfer_that_fails_leaves_the_call_and_unsupported_tries_the_other_way() {
    let mut world = world();
    let owner = world.owner("owner");
    let call = world.connected(owner, 1);
    world.events(owner);
    for unsupported in [false, true] {
        world.ask(owner, CallBlindTransfer { call, to: "300".into(), how: None });
        let command = world.command();
        world.done(command.id);
        world.report(1, Report::TransferFailed { cause: Cause::new(DisconnectMode::Busy), unsupported });
        assert_eq!(world.commands().len(), usize::from(unsupported));
    }
    assert_eq!(world.told(owner), ["transfer failed network", "transfer progress bridge"]);
    assert!(matches!(world.state(owner, call), CallState::Connected(_)));
}

#[test]
fn s29_a_consultation_holds_asks_and_completes() {
    let mut world = world();
    let owner = world.owner("owner");
    let call = world.connected(owner, 1);
    world.events(owner);
    let setup = CallSetupTransfer { call, to: "300".into(), line: None, address: AddressId(0), comment: None };
    let id = world.ask(owner, setup);
    let hold = world.command();
    assert_eq!(hold.action, Action::Hold { call: CallRef(1) });
    world.done(hold.id);
    assert!(world.told(owner).is_empty());
    world.report(1, Report::Held);
    assert!(world.told(owner).is_empty(), "nothing is told before the answer");
    let make = world.command();
    world.tell(tspi::Event::Reply { id: make.id, result: Ok(Taken::Call(CallRef(2))) });
    let Some(Ok(Reply::Made(made))) = world.reply(owner, id) else { panic!() };
    assert_eq!(world.told(owner), ["on_hold_pend_transfer"]);
    assert_eq!(world.call(owner, made.call).info.related, Some(call));
    world.report(2, Report::PeerRings);
    let complete = CallCompleteTransfer { call, consultation: made.call, mode: TransferMode::Transfer, how: None };
    let id = world.ask(owner, complete);
    let command = world.command();
    assert_eq!(command.action, Action::CompleteTransfer { call: CallRef(1), consultation: CallRef(2) });
    world.refuse(command.id, ErrorCode::OperationUnavail);
    let Some(Ok(Reply::Transferring(reply))) = world.reply(owner, id) else { panic!() };
    assert_eq!(reply.how, TransferWay::Bridge);
    assert_eq!(world.commands(), [Action::Unhold { call: CallRef(1) }]);
    world.report(1, Report::Retrieved);
    world.media_flows(2, tspi::Direction::SendRecv);
    world.report(2, Report::Answered(AnswerEvidence::Signalled));
    assert!(world.told(owner).contains(&"transfer done bridge".to_owned()));
    assert_eq!(world.call(owner, call).info.bridged, Some(made.call));
}

#[test]
fn a_consultation_that_cannot_be_held_or_placed_leaves_the_call_as_it_was() {
    let mut world = world();
    let owner = world.owner("owner");
    let call = world.connected(owner, 1);
    world.events(owner);
    let setup = CallSetupTransfer { call, to: "300".into(), line: None, address: AddressId(0), comment: None };
    let id = world.ask(owner, setup.clone());
    let hold = world.command();
    world.done(hold.id);
    world.report(1, Report::Unchanged { reason: "488".into() });
    assert_eq!(world.reply(owner, id).unwrap().unwrap_err().code, ErrorCode::OperationFailed);
    let id = world.ask(owner, setup.clone());
    let hold = world.command();
    world.done(hold.id);
    world.report(1, Report::Held);
    let make = world.command();
    world.refuse(make.id, ErrorCode::InvalAddress);
    assert_eq!(world.reply(owner, id).unwrap().unwrap_err().code, ErrorCode::InvalAddress);
    assert_eq!(world.commands(), [Action::Unhold { call: CallRef(1) }]);
    world.report(1, Report::Retrieved);
    let id = world.ask(owner, setup);
    let hold = world.command();
    world.done(hold.id);
    world.released(1, ReleasedBy::Remote, DisconnectMode::Normal);
    assert_eq!(world.reply(owner, id).unwrap().unwrap_err().code, ErrorCode::Disconnected);
    assert_eq!(world.told(owner), ["disconnected (normal)"]);
    assert!(matches!(world.state(owner, call), CallState::Disconnected(_)));
}

#[test]
fn swapping_falls_back_on_two_steps_and_restores() {
    let mut world = world();
    let owner = world.owner("owner");
    let (a, b) = two(&mut world, owner);
    let id = world.ask(owner, CallSwapHold { call: b, with: a });
    let swap = world.command();
    assert_eq!(swap.action, Action::SwapHold { active: CallRef(2), held: CallRef(1) });
    world.refuse(swap.id, ErrorCode::OperationUnavail);
    let hold = world.command();
    assert_eq!(hold.action, Action::Hold { call: CallRef(2) });
    world.done(hold.id);
    assert!(world.reply(owner, id).unwrap().is_ok());
    world.report(2, Report::Held);
    let unhold = world.command();
    assert_eq!(unhold.action, Action::Unhold { call: CallRef(1) });
    world.done(unhold.id);
    world.report(1, Report::Unchanged { reason: "491".into() });
    let restore = world.command();
    assert_eq!(restore.action, Action::Unhold { call: CallRef(2) });
    world.done(restore.id);
    world.report(2, Report::Retrieved);
    assert_eq!(world.state(owner, a), CallState::OnHold);
    assert!(matches!(world.state(owner, b), CallState::Connected(_)));
}

#[test]
fn s30_a_conference_is_mixed_here_and_ends_with_its_last_two() {
    let mut world = world();
    let owner = world.owner("owner");
    let a = world.connected(owner, 1);
    let b = world.connected(owner, 2);
    let Reply::ConferenceMade(made) = world.ok(owner, CallSetupConference { call: a, to: None }) else { panic!() };
    let conference = made.conference;
    assert_eq!(world.state(owner, conference), CallState::OnHoldPendConf);
    assert_eq!(world.state(owner, a), CallState::Conferenced);
    world.media();
    let id = world.ask(owner, CallAddToConference { conference, call: b });
    let command = world.command();
    assert_eq!(command.action, Action::Conference { calls: vec![CallRef(1), CallRef(2)] });
    world.refuse(command.id, ErrorCode::OperationUnavail);
    assert!(world.reply(owner, id).unwrap().is_ok());
    let mixed = world.media().iter().filter(|command| matches!(command, Media::Mix { .. })).count();
    assert_eq!(mixed, 3, "both calls, and the conference itself");
    assert!(matches!(world.state(owner, conference), CallState::Connected(_)));
    assert_eq!(world.call(owner, b).info.conference, Some(conference));
    // What is recorded of the conference is recorded on its own stream.
    let record = CallRecord { call: conference, sink: RecordSink::Descriptor, max_ms: None };
    world.started(owner, record, Some(7));
    world.ok(owner, CallMonitorDigits { call: conference, on: true });
    world.events(owner);
    world.tell(tspi::Event::Digit { call: CallRef(2), digit: '5', duration_ms: None });
    assert_eq!(world.told(owner), ["digit 5"]);
    world.ok(owner, CallRemoveFromConference { call: b });
    assert!(matches!(world.state(owner, b), CallState::Connected(_)));
    assert!(matches!(world.state(owner, a), CallState::Connected(_)));
    assert_eq!(world.state(owner, conference), CallState::Idle);
}

#[test]
fn a_conference_of_the_network_counts_those_it_says() {
    let mut world = world();
    let owner = world.owner("owner");
    let (a, b) = two(&mut world, owner);
    let mode = TransferMode::Conference;
    let id = world.ask(owner, CallCompleteTransfer { call: a, consultation: b, mode, how: None });
    let command = world.command();
    world.done(command.id);
    let Some(Ok(Reply::Transferring(reply))) = world.reply(owner, id) else { panic!() };
    let conference = reply.conference.unwrap();
    assert_eq!(reply.how, TransferWay::Network);
    assert_eq!(world.call(owner, a).info.conference, None, "it is no member before the network says so");
    world.report(1, Report::Conferenced);
    world.report(2, Report::Conferenced);
    assert_eq!(world.state(owner, a), CallState::Conferenced);
    assert!(matches!(world.state(owner, conference), CallState::Connected(_)));
    world.ask(owner, drop(conference));
    assert_eq!(
        world.commands(),
        [Action::Drop { call: CallRef(1), reason: None }, Action::Drop { call: CallRef(2), reason: None }]
    );
}

#[test]
fn an_incoming_transfer_is_the_owners_decision() {
    let mut world = world();
    let owner = world.owner("owner");
    let call = world.connected(owner, 1);
    world.events(owner);
    let request = TransferRequest { to: "300".into(), by: None, attended: false };
    let ask = |world: &mut World| {
        let request = Box::new(request.clone());
        world.tell(tspi::Event::TransferRequested { call: CallRef(1), request });
    };
    ask(&mut world);
    assert_eq!(world.told(owner), ["transfer requested 300"]);
    assert!(world.call(owner, call).status.features.contains(&Feature::AcceptTransfer));
    world.pass(30_000);
    assert_eq!(world.commands(), [Action::RejectTransfer { call: CallRef(1) }]);
    assert_eq!(world.refused(owner, CallAcceptTransfer { call }), ErrorCode::InvalCallState);
    ask(&mut world);
    let id = world.ask(owner, CallAcceptTransfer { call });
    let accept = world.command();
    assert!(matches!(accept.action, Action::AcceptTransfer { call: CallRef(1), .. }));
    world.tell(tspi::Event::Reply { id: accept.id, result: Ok(Taken::Call(CallRef(2))) });
    let Some(Ok(Reply::Made(made))) = world.reply(owner, id) else { panic!() };
    let info = world.call(owner, made.call).info;
    assert_eq!((info.related, info.reason), (Some(call), CallReason::Transfer));
    assert_eq!(info.conversation, world.call(owner, call).info.conversation);
}

#[test]
fn a_call_that_replaces_another_takes_its_place() {
    let mut world = world();
    let owner = world.owner("owner");
    let a = world.connected(owner, 1);
    let b = world.connected(owner, 2);
    world.ok(owner, CallBridge { call: a, with: b });
    world.events(owner);
    let facts = CallFacts { replaces: Some(CallRef(2)), ..CallFacts::default() };
    world.tell(tspi::Event::NewCall { line: LineRef(0), call: CallRef(3), facts: Box::new(facts) });
    world.report(3, Report::Offered);
    let c = world.new_call(owner);
    let answer = world.command();
    assert!(matches!(answer.action, Action::Answer { call: CallRef(3), .. }), "{answer:?}");
    world.done(answer.id);
    world.media_flows(3, tspi::Direction::SendRecv);
    world.report(3, Report::Answered(AnswerEvidence::Local));
    assert_eq!(world.commands(), [Action::Drop { call: CallRef(2), reason: None }]);
    let info = world.call(owner, c).info;
    assert_eq!((info.bridged, info.related, info.reason), (Some(a), Some(b), CallReason::Transfer));
}

#[test]
fn digits_are_gathered_until_one_of_four_ends() {
    let mut world = world();
    let owner = world.owner("owner");
    let call = world.connected(owner, 1);
    world.events(owner);
    let gather =
        CallGatherDigits { call, count: 3, termination: "#".into(), first_ms: Some(5_000), inter_ms: Some(1_000) };
    let digit = |world: &mut World, digit| {
        world.tell(tspi::Event::Digit { call: CallRef(1), digit, duration_ms: None });
    };
    world.started(owner, gather.clone(), None);
    "123".chars().for_each(|own| digit(&mut world, own));
    world.started(owner, gather.clone(), None);
    "1#".chars().for_each(|own| digit(&mut world, own));
    world.started(owner, gather.clone(), None);
    world.pass(5_000);
    world.started(owner, gather.clone(), None);
    digit(&mut world, '9');
    world.pass(1_000);
    world.started(owner, gather.clone(), None);
    digit(&mut world, '7');
    // S11: another one ends it, and its digits are given to who asked.
    let other = world.owner("other");
    world.ok(other, CallList { line: None });
    world.ok(other, CallSetPrivilege { call, privilege: Privilege::Owner });
    world.started(other, gather.clone(), None);
    world.released(1, ReleasedBy::Remote, DisconnectMode::Normal);
    let gathered: Vec<String> = world.told(owner).into_iter().filter(|text| text.starts_with("gath")).collect();
    let expected = [
        "gathered 123 full",
        "gathered 1# termination",
        "gathered  first_timeout",
        "gathered 9 inter_timeout",
        "gathered 7 cancelled",
    ];
    assert_eq!(gathered, expected);
    assert!(world.told(other).contains(&"gathered  call_ended".to_owned()));
    assert_eq!(world.refused(owner, CallGatherDigits { count: 0, ..gather }), ErrorCode::InvalCallState);
}

#[test]
fn s26_a_call_is_handed_over_and_the_giver_keeps_what_it_has() {
    let mut world = world();
    let owner = world.owner("owner");
    let call = world.connected(owner, 1);
    let target = world.owner("target");
    world.events(owner);
    let to = |app: &str| CallHandoff { call, to: HandoffTarget::App(app.into()) };
    assert_eq!(world.refused(owner, to("nobody")), ErrorCode::TargetNotFound);
    world.ok(owner, to("owner"));
    world.ok(owner, to("target"));
    assert_eq!(world.told(target), ["new connected (active) as owner", "connected (active) as owner"]);
    assert_eq!(world.call(owner, call).info.owners, 2);
    let fax = CallHandoff { call, to: HandoffTarget::MediaMode(MediaMode::G3Fax) };
    assert_eq!(world.refused(owner, fax), ErrorCode::TargetNotFound);
}

#[test]
fn the_first_owner_is_who_comes_first_in_the_list() {
    let mut world = world();
    let early = world.owner("early");
    let late = world.owner("late");
    world.ok(late, ClientSetPriority { app: None, media_mode: None, place: 1 });
    world.incoming(1);
    assert!(world.told(early).is_empty());
    world.new_call(late);
}

#[test]
fn a_call_that_nobody_takes_goes_the_way_of_its_policy() {
    let policies = [
        IncomingPolicy::Reject { cause: Some(DisconnectMode::Busy) },
        IncomingPolicy::Ring { timeout_s: 10 },
        IncomingPolicy::Forward { to: "900".into(), line: None, how: None },
        IncomingPolicy::Play { file: "closed.wav".into() },
    ];
    for policy in policies {
        let mut world = world();
        let admin = world.app("admin");
        let line = LineSelector::Name("trunk".into());
        world.ok(admin, LineSetPolicy { line, policy: Some(policy.clone()) });
        world.incoming(1);
        match policy {
            IncomingPolicy::Reject { cause } => {
                assert_eq!(world.commands(), [Action::Drop { call: CallRef(1), reason: cause }]);
            }
            IncomingPolicy::Ring { .. } => {
                assert_eq!(world.commands(), [Action::Accept { call: CallRef(1) }]);
                world.pass(10_000);
                let reason = Some(DisconnectMode::NoAnswer);
                assert_eq!(world.commands(), [Action::Drop { call: CallRef(1), reason }]);
            }
            IncomingPolicy::Forward { .. } => {
                let redirect = world.command();
                assert_eq!(redirect.action, Action::Redirect { call: CallRef(1), to: "900".into() });
                world.refuse(redirect.id, ErrorCode::OperationUnavail);
                let make = world.command();
                world.tell(tspi::Event::Reply { id: make.id, result: Ok(Taken::Call(CallRef(2))) });
                world.media_flows(2, tspi::Direction::SendRecv);
                world.report(2, Report::Answered(AnswerEvidence::Signalled));
                let answer = world.command();
                world.done(answer.id);
                world.media();
                world.media_flows(1, tspi::Direction::SendRecv);
                world.report(1, Report::Answered(AnswerEvidence::Local));
                assert!(world.media().iter().any(|command| matches!(command, Media::Join { .. })));
            }
            IncomingPolicy::Play { .. } => {
                let answer = world.command();
                world.done(answer.id);
                world.media_flows(1, tspi::Direction::SendRecv);
                world.report(1, Report::Answered(AnswerEvidence::Local));
                let call = world.said.iter().find_map(|said| match said {
                    Said::OpenMedia(call, _) => Some(*call),
                    _ => None,
                });
                let descriptor = Ok(tspi::media::DescriptorId(9));
                world.input(tapi_core::Input::MediaOpened { call: call.unwrap(), descriptor });
                let play = world.media().into_iter().find_map(|command| match command {
                    Media::Play { operation, stream, .. } => Some((operation, stream)),
                    _ => None,
                });
                let (operation, stream) = play.unwrap();
                let ended = tspi::media::Event::Ended { operation, stream, end: End::Done, millis: 1 };
                world.input(tapi_core::Input::Media(ended));
                assert_eq!(world.commands(), [Action::Drop { call: CallRef(1), reason: None }]);
            }
        }
    }
}

#[test]
fn a_line_that_forwards_by_itself_says_so() {
    let mut world = world();
    let owner = world.owner("owner");
    let line = LineSelector::Name("trunk".into());
    let states = Names::from([LineStateKind::Forwarding]);
    world.ok(owner, LineSetStatusMessages { line: line.clone(), states });
    let rules = vec![ForwardRule { when: ForwardKind::NoAnswer, to: "900".into(), after_s: Some(5) }];
    let id = world.ask(owner, LineForward { line, rules });
    let command = world.command();
    world.refuse(command.id, ErrorCode::OperationUnavail);
    let Some(Ok(Reply::Forwarding(reply))) = world.reply(owner, id) else { panic!() };
    assert_eq!(reply.how, TransferWay::Bridge);
    assert_eq!(world.told(owner), ["line forwarding"]);
    world.incoming(1);
    world.pass(5_000);
    assert_eq!(world.commands(), [Action::Redirect { call: CallRef(1), to: "900".into() }]);
}

#[test]
fn a_call_that_ended_is_written_down_once_with_its_figures() {
    let mut world = world();
    let owner = world.owner("owner");
    let call = world.connected(owner, 1);
    world.pass(2_000);
    let stream = world.media().into_iter().find_map(|command| match command {
        Media::Connect { stream, .. } => Some(stream),
        _ => None,
    });
    world.released(1, ReleasedBy::Remote, DisconnectMode::Normal);
    let statistics = Box::new(MediaStatistics { received: 100, ..MediaStatistics::default() });
    let last = tspi::media::Event::Statistics { stream: stream.unwrap(), statistics };
    world.input(tapi_core::Input::Media(last));
    world.ok(owner, drop(call));
    assert_eq!(world.call(owner, call).info.media.unwrap().statistics.unwrap().received, 100);
    world.ok(owner, CallDeallocate { call });
    let records = world.said.iter().filter_map(|said| match said {
        Said::Ended(record) => Some(record.clone()),
        _ => None,
    });
    let records: Vec<_> = records.collect();
    assert_eq!(records.len(), 1);
    let record = &records[0];
    assert_eq!(record.statistics.as_ref().unwrap().received, 100);
    assert_eq!(record.ended - record.answered.unwrap(), 2_000_000);
    assert_eq!(record.cause.as_ref().unwrap().mode, DisconnectMode::Normal);
}

#[test]
fn what_may_not_be_seen_is_not_there_and_what_may_not_be_done_is_refused() {
    use tapi_core::{Options, Rights, Rule};
    let rule = |lines: &str, allow: &[Right]| Rule {
        lines: vec![lines.into()],
        users: vec![1000],
        groups: vec![],
        allow: allow.iter().cloned().collect(),
    };
    let rules = vec![rule("tru*", &[Right::Monitor, Right::Own])];
    let rights = Rights::Rules { everything: vec![0], users: vec![1000], groups: vec![], rules };
    let mut world = World::empty(tapi_core::Config { options: Options { rights, ..Options::default() }, ..config() });
    world.input(tapi_core::Input::ProviderStarted { provider: PROVIDER, name: "sip".into() });
    world.add_line(0, line("trunk", MediaWire::Rtp));
    world.add_line(1, line("secret", MediaWire::Rtp));
    let app = world.owner("app");
    let Reply::Lines(lines) = world.ok(app, LineList {}) else { panic!() };
    assert_eq!(lines.lines.iter().map(|line| line.name.as_str()).collect::<Vec<_>>(), ["trunk"]);
    assert_eq!(lines.lines[0].rights, Names::from([Right::See, Right::Monitor, Right::Own]));
    let secret =
        LineOpen { line: LineSelector::Name("secret".into()), privileges: Names::new(), media_modes: Names::new() };
    assert_eq!(world.refused(app, secret), ErrorCode::BadDeviceId);
    assert_eq!(world.refused(app, make("200")), ErrorCode::NotRegistered);
    world.incoming(1);
    let call = world.new_call(app);
    assert_eq!(world.refused(app, CallMonitorDigits { call, on: true }), ErrorCode::NotRegistered);
    let line = LineSelector::Name("trunk".into());
    assert_eq!(world.refused(app, LineSetPolicy { line, policy: None }), ErrorCode::NotRegistered);
    world.add_line(2, common::line("hidden", MediaWire::Rtp));
    assert!(world.told(app).is_empty());
}

#[test]
fn what_an_authority_allows_holds_until_it_is_taken_back_and_the_call_goes_on() {
    use tapi_core::{Input, Options, Rights};
    let rights = Rights::Rules { everything: vec![0], users: vec![], groups: vec![], rules: vec![] };
    let mut world = World::empty(tapi_core::Config { options: Options { rights, ..Options::default() }, ..config() });
    world.input(Input::ProviderStarted { provider: PROVIDER, name: "sip".into() });
    world.add_line(0, line("trunk", MediaWire::Rtp));
    let app = world.app("app");
    let open =
        || LineOpen { line: LineSelector::Name("trunk".into()), privileges: Names::new(), media_modes: Names::new() };
    assert_eq!(world.refused(app, open()), ErrorCode::BadDeviceId);
    let rights = Names::from([Right::See, Right::Originate]);
    world.input(Input::Granted { client: app, line: None, rights });
    world.ok(app, open());
    let call = world.connected(app, 1);
    world.input(Input::Revoked { client: app });
    assert_eq!(world.refused(app, make("200")), ErrorCode::BadDeviceId, "what may not be seen is not there");
    let Reply::Lines(lines) = world.ok(app, LineList {}) else { panic!() };
    assert!(lines.lines.is_empty());
    assert!(matches!(world.state(app, call), CallState::Connected(_)), "what was begun goes on");
    world.taken(app, drop(call));
}

#[test]
fn further_digits_are_offered_while_a_number_is_dialled_in_parts_and_no_longer() {
    let mut world = world();
    let owner = world.owner("owner");
    let dials = |world: &mut World, call: CallId| world.call(owner, call).status.features.contains(&Feature::Dial);
    for (number, (to, parts)) in [("555", false), ("55;|12^Bob", true)].into_iter().enumerate() {
        let reference = number as u64 + 1;
        let make = CallMake {
            line: LineSelector::Name("trunk".into()),
            to: to.into(),
            address: AddressId(0),
            block_id: false,
            comment: None,
            bearer: None,
        };
        let id = world.ask(owner, make);
        let command = world.command();
        world.tell(tspi::Event::Reply { id: command.id, result: Ok(Taken::Call(CallRef(reference))) });
        let Some(Ok(Reply::Made(made))) = world.reply(owner, id) else { panic!() };
        world.report(reference, Report::Dialing);
        assert_eq!(dials(&mut world, made.call), parts, "{to}");
    }
    let id = world.ask(
        owner,
        CallMake {
            line: LineSelector::Name("trunk".into()),
            to: "55;".into(),
            address: AddressId(0),
            block_id: false,
            comment: None,
            bearer: None,
        },
    );
    let command = world.command();
    world.tell(tspi::Event::Reply { id: command.id, result: Ok(Taken::Call(CallRef(3))) });
    let Some(Ok(Reply::Made(made))) = world.reply(owner, id) else { panic!() };
    world.report(3, Report::Dialing);
    world.events(owner);
    // What is refused changes nothing; then a part, and the last one.
    for (to, refused, goes_on, called) in
        [("x", true, true, "55;"), ("12;", false, true, "5512;"), ("3", false, false, "55123")]
    {
        let id = world.ask(owner, CallDial { call: made.call, to: to.into() });
        let command = world.command();
        assert_eq!(command.action, Action::Dial { call: CallRef(3), to: to.into() });
        if refused {
            world.refuse(command.id, ErrorCode::InvalAddress);
        } else {
            world.done(command.id);
        }
        assert_eq!(world.reply(owner, id).unwrap().is_err(), refused, "{to}");
        assert_eq!(dials(&mut world, made.call), goes_on, "{to}");
        assert_eq!(world.call(owner, made.call).info.called.address.as_deref(), Some(called));
    }
    assert!(!world.told(owner).iter().any(|told| told == "dialing"), "no state is told twice");
    world.ask(owner, CallDial { call: made.call, to: "4".into() });
    assert!(world.commands().is_empty(), "it is not even asked");
}
