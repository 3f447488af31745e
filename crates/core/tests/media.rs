//! Streams, ports, bridges, digits, tones, files, traces.

mod common;

use common::*;
use tapi::request::*;
use tapi::{
    AnswerEvidence, CallId, DisconnectMode, End, ErrorCode, EventBody, OperationId, PlaySource, RecordSink, Reply,
    ToneLevel,
};
use tapi_core::Input;
use tspi::media::{Command, DescriptorId, Event};
use tspi::{
    Action, CallRef, DigitsBy, Direction, LineRef, LocalMedia, MediaWire, ReleasedBy, Report, StreamId, Traced,
};

fn play(call: CallId) -> CallPlay {
    CallPlay { call, source: PlaySource::Descriptor, repeat: false }
}

fn record(call: CallId) -> CallRecord {
    CallRecord { call, sink: RecordSink::Descriptor, max_ms: None }
}

fn digits(call: CallId, digits: &str) -> CallSendDigits {
    CallSendDigits { call, digits: digits.into(), duration_ms: None }
}

fn ended(world: &mut World, operation: OperationId, stream: StreamId, end: End) {
    world.input(Input::Media(Event::Ended { operation, stream, end, millis: 1_500 }));
}

fn opened(commands: &[Command]) -> Vec<StreamId> {
    let stream = |command: &Command| match command {
        Command::Open { local: LocalMedia::Rtp(rtp) } => Some(rtp.stream),
        Command::Open { local: LocalMedia::Frames { stream } } => Some(*stream),
        _ => None,
    };
    commands.iter().filter_map(stream).collect()
}

/// A connected call and its stream.
fn talking(world: &mut World, client: tapi_core::ClientId, reference: u64) -> (CallId, StreamId) {
    world.media();
    let call = world.connected(client, reference);
    (call, opened(&world.media())[0])
}

#[test]
fn the_stream_is_open_before_the_provider_hears_of_it() {
    let mut world = World::new();
    let owner = world.owner("owner");
    world.ask_make(owner);
    let open = world.said.iter().position(|said| matches!(said, Said::Media(Command::Open { .. }))).unwrap();
    let command = world.said.iter().position(|said| matches!(said, Said::Command(..))).unwrap();
    assert!(open < command);
    let Command::Open { local } = world.media().remove(0) else { panic!() };
    let LocalMedia::Rtp(rtp) = &local else { panic!("{local:?}") };
    let formats: Vec<(&str, u8)> = rtp.formats.iter().map(|is| (is.codec.as_str(), is.payload_type)).collect();
    assert_eq!(formats, [("PCMU", 0), ("PCMA", 8), ("G722", 9), ("CN", 13), ("telephone-event", 101)]);
    assert_eq!((rtp.address.to_string().as_str(), rtp.port), ("127.0.0.1", 4000));
    let Action::MakeCall { media, .. } = world.command().action else { panic!() };
    assert_eq!(media, local);
}

#[test]
fn an_incoming_call_gets_its_stream_when_it_is_answered_and_a_refusal_gives_it_back() {
    let mut world = World::new();
    let owner = world.owner("owner");
    world.incoming(1);
    assert!(world.media().is_empty());
    let call = world.new_call(owner);
    let id = world.ask(owner, CallAnswer { call });
    assert_eq!(world.refused(owner, CallAnswer { call }), ErrorCode::InvalCallState);
    let stream = opened(&world.media())[0];
    let command = world.command();
    world.refuse(command.id, ErrorCode::OperationFailed);
    assert_eq!(world.reply(owner, id).unwrap().unwrap_err().code, ErrorCode::OperationFailed);
    assert_eq!(world.media(), [Command::Close { stream }]);
    world.taken(owner, CallAnswer { call });
    world.media_flows(1, Direction::SendRecv);
    world.report(1, Report::Answered(AnswerEvidence::Local));
    assert_eq!(world.told(owner), ["info media", "connected (active)"]);
    let info = world.call(owner, call).info;
    let media = info.media.unwrap();
    let remote = media.remote.as_deref();
    assert_eq!((media.wire.as_str(), media.codec.as_str(), remote), ("rtp", "PCMA", Some("127.0.0.1:9000")));
    assert_eq!(info.answered_by, Some(AnswerEvidence::Local));
}

#[test]
fn ports_run_out_and_a_freed_one_waits_longest() {
    let mut description = line("trunk", MediaWire::Rtp);
    description.caps.max_calls = 10;
    let mut world = World::with(description);
    let owner = world.owner("owner");
    for call in 1..=4 {
        world.connected(owner, call);
    }
    assert_eq!(world.refused(owner, make("1")), ErrorCode::ResourceUnavail);
    world.incoming(5);
    let offered = world.new_call(owner);
    assert_eq!(world.refused(owner, CallAnswer { call: offered }), ErrorCode::ResourceUnavail);
    world.released(2, ReleasedBy::Remote, DisconnectMode::Normal);
    world.released(1, ReleasedBy::Remote, DisconnectMode::Normal);
    world.media();
    world.made(owner, 6);
    let Command::Open { local: LocalMedia::Rtp(rtp) } = world.media().remove(0) else { panic!() };
    assert_eq!(rtp.port, 4001, "the one that was freed first");
}

#[test]
fn frames_and_lines_without_audio() {
    let mut world = World::with(line("trunk", MediaWire::Frames));
    let owner = world.owner("owner");
    world.ask_make(owner);
    let Action::MakeCall { media: LocalMedia::Frames { .. }, .. } = world.command().action else { panic!() };
    let mut world = World::with(line("trunk", MediaWire::None));
    let owner = world.owner("owner");
    let call = world.connected(owner, 1);
    assert!(world.media().is_empty());
    assert_eq!(world.refused(owner, play(call)), ErrorCode::OperationUnavail);
}

#[test]
fn a_bridge_joins_two_calls_until_one_ends() {
    let mut world = World::new();
    let owner = world.owner("owner");
    let (a, stream_a) = talking(&mut world, owner, 1);
    let (b, stream_b) = talking(&mut world, owner, 2);
    world.events(owner);
    world.ok(owner, CallBridge { call: a, with: b });
    assert_eq!(world.media(), [Command::Join { a: stream_a, b: stream_b }]);
    assert_eq!(world.told(owner), ["info bridge", "info bridge"]);
    assert_eq!(world.call(owner, a).info.bridged, Some(b));
    world.ok(owner, CallBridge { call: a, with: b });
    assert!(world.media().is_empty(), "they are joined already");
    world.released(2, ReleasedBy::Remote, DisconnectMode::Normal);
    assert_eq!(world.media(), [Command::Close { stream: stream_b }]);
    assert_eq!(world.told(owner), ["info bridge", "info bridge", "disconnected (normal)"]);
    assert_eq!(world.call(owner, a).info.bridged, None);
    assert_eq!(world.refused(owner, CallPart { call: a }), ErrorCode::InvalCallState);
    assert_eq!(world.refused(owner, CallBridge { call: a, with: b }), ErrorCode::InvalCallState);
    // An echo, and then another partner.
    world.ok(owner, CallBridge { call: a, with: a });
    let (c, stream_c) = talking(&mut world, owner, 3);
    world.media();
    world.ok(owner, CallBridge { call: c, with: a });
    let expected = [Command::Part { stream: stream_a }, Command::Join { a: stream_c, b: stream_a }];
    assert_eq!(world.media(), expected);
    world.ok(owner, CallPart { call: a });
    assert_eq!(world.media(), [Command::Part { stream: stream_a }]);
    assert_eq!(world.call(owner, c).info.bridged, None);
}

#[test]
fn early_media_can_be_bridged_and_a_call_that_only_rings_cannot() {
    let mut world = World::new();
    let owner = world.owner("owner");
    let (talks, _) = talking(&mut world, owner, 1);
    let rings = world.made(owner, 2);
    world.report(2, Report::PeerRings);
    assert_eq!(world.refused(owner, CallBridge { call: talks, with: rings }), ErrorCode::InvalCallState);
    world.media_flows(2, Direction::RecvOnly);
    world.ok(owner, CallBridge { call: talks, with: rings });
}

#[test]
fn a_playback_ends_with_an_event_to_who_began_it_and_a_second_one_replaces_it() {
    let mut world = World::new();
    let owner = world.owner("owner");
    let watcher = world.monitor("watcher");
    let (call, stream) = talking(&mut world, owner, 1);
    let (_, _) = (world.events(owner), world.events(watcher));
    let first = world.started(owner, play(call), Some(1));
    let second = world.started(owner, play(call), Some(2));
    let start = |operation, descriptor| Command::Play { operation, stream, descriptor, repeat: false };
    let stop = Command::Stop { operation: first };
    assert_eq!(world.media(), [start(first, DescriptorId(1)), stop, start(second, DescriptorId(2))]);
    ended(&mut world, first, stream, End::Cancelled);
    ended(&mut world, second, stream, End::Done);
    ended(&mut world, second, stream, End::Done);
    assert_eq!(world.told(owner), ["played cancelled", "played done"]);
    assert!(world.told(watcher).is_empty());
}

#[test]
fn files_that_are_not_used_are_discarded() {
    let mut world = World::new();
    let owner = world.owner("owner");
    let call = world.made(owner, 1);
    let discarded = |world: &World, id| {
        world.said.iter().any(|said| matches!(said, Said::Discard(DescriptorId(descriptor)) if *descriptor == id))
    };
    world.ask_with(owner, play(call), Some(1));
    assert!(discarded(&world, 1), "the call does not talk yet");
    world.ask_with(owner, LineList {}, Some(2));
    assert!(discarded(&world, 2));
    let (call, _) = talking(&mut world, owner, 2);
    assert_eq!(world.refused(owner, play(call)), ErrorCode::InvalParam);
    world.started(owner, record(call), Some(3));
    assert!(!discarded(&world, 3));
}

#[test]
fn a_recording_ends_with_its_call_and_a_playback_when_asked() {
    let mut world = World::new();
    let owner = world.owner("owner");
    let (call, stream) = talking(&mut world, owner, 1);
    let recording = world.started(owner, record(call), Some(1));
    let playing = world.started(owner, play(call), Some(2));
    world.media();
    world.ok(owner, CallStop { call, operation: playing });
    assert_eq!(world.media(), [Command::Stop { operation: playing }]);
    ended(&mut world, playing, stream, End::Cancelled);
    assert_eq!(world.refused(owner, CallStop { call, operation: playing }), ErrorCode::InvalParam);
    world.events(owner);
    world.released(1, ReleasedBy::Remote, DisconnectMode::Normal);
    assert_eq!(world.media(), [Command::Close { stream }]);
    ended(&mut world, recording, stream, End::CallEnded);
    assert_eq!(world.told(owner), ["disconnected (normal)", "recorded call_ended"]);
}

#[test]
fn what_a_dead_application_began_is_stopped() {
    let mut world = World::new();
    let dies = world.owner("dies");
    let stays = world.monitor("stays");
    let (call, stream) = talking(&mut world, dies, 1);
    world.ok(stays, CallSetPrivilege { call, privilege: tapi::Privilege::Owner });
    let playing = world.started(dies, play(call), Some(1));
    world.ok(dies, CallMonitorTones { call, hz: vec![440] });
    world.ok(stays, CallMonitorTones { call, hz: vec![1_000, 440] });
    world.media();
    world.gone(dies);
    assert_eq!(world.media(), [Command::Stop { operation: playing }], "the tones are still listened for");
    ended(&mut world, playing, stream, End::Cancelled);
    world.ok(stays, CallMonitorTones { call, hz: vec![] });
    assert_eq!(world.media(), [Command::MonitorTones { stream, hz: vec![] }]);
}

#[test]
fn digits_go_by_the_media_provider_or_by_the_line() {
    let mut world = World::new();
    let owner = world.owner("owner");
    let (call, stream) = talking(&mut world, owner, 1);
    let operation = world.started(owner, digits(call, "1a-?,#"), None);
    let run = Command::Digits { operation, stream, digits: "1A,#".into(), duration_ms: None };
    assert_eq!(world.media().last(), Some(&run));
    assert_eq!(world.refused(owner, digits(call, "xyz")), ErrorCode::InvalDigitList);
    let short = CallSendDigits { call, digits: "1".into(), duration_ms: Some(39) };
    assert_eq!(world.refused(owner, short), ErrorCode::InvalParam);
    world.events(owner);
    ended(&mut world, operation, stream, End::Done);
    assert_eq!(world.told(owner), ["generated done"]);

    let mut description = line("trunk", MediaWire::Frames);
    description.digits = DigitsBy::Provider;
    let mut world = World::with(description);
    let owner = world.owner("owner");
    let call = world.connected(owner, 1);
    let Reply::Started(started) = world.taken(owner, digits(call, "12")) else { panic!() };
    let operation = started.operation;
    assert_eq!(world.refused(owner, CallStop { call, operation }), ErrorCode::OperationUnavail);
    world.events(owner);
    world.tell(tspi::Event::DigitsSent { call: CallRef(1), operation, complete: false });
    assert_eq!(world.told(owner), ["generated failed"]);
    world.taken(owner, digits(call, "12"));
    world.released(1, ReleasedBy::Remote, DisconnectMode::Normal);
    assert_eq!(world.told(owner), ["generated call_ended", "disconnected (normal)"]);
}

#[test]
fn digits_and_tones_are_told_to_who_asked() {
    let mut world = World::new();
    let owner = world.owner("owner");
    let watcher = world.monitor("watcher");
    let (call, stream) = talking(&mut world, owner, 1);
    world.ok(watcher, CallMonitorDigits { call, on: true });
    let (_, _) = (world.events(owner), world.events(watcher));
    world.input(Input::Media(Event::Digit { stream, digit: '5', duration_ms: Some(100) }));
    world.tell(tspi::Event::Digit { call: CallRef(1), digit: '#', duration_ms: None });
    world.tell(tspi::Event::Digit { call: CallRef(1), digit: 'z', duration_ms: None });
    assert_eq!(world.told(watcher), ["digit 5", "digit #"]);
    assert!(world.told(owner).is_empty());
    world.ok(watcher, CallMonitorTones { call, hz: vec![440, 1_000] });
    world.ok(owner, CallMonitorTones { call, hz: vec![440] });
    let tones = [(440, -100), (1_000, -600)].map(|(hz, level_ddbm0)| ToneLevel { hz, level_ddbm0 }).to_vec();
    world.input(Input::Media(Event::Tones { stream, tones, level_ddbm0: -95 }));
    assert_eq!(world.told(watcher), ["tones 2"]);
    assert_eq!(world.told(owner), ["tones 1"]);
    let many = CallMonitorTones { call, hz: (1..=9).map(|tone| tone * 100).collect() };
    assert_eq!(world.refused(owner, many), ErrorCode::InvalParam);
    let others = CallMonitorTones { call, hz: (1..=8).map(|tone| tone * 101).collect() };
    assert_eq!(world.refused(owner, others), ErrorCode::ResourceUnavail);
    assert_eq!(world.refused(owner, CallMonitorTones { call, hz: vec![50] }), ErrorCode::InvalTone);
}

#[test]
fn tones_are_checked() {
    let mut world = World::new();
    let owner = world.owner("owner");
    let (call, stream) = talking(&mut world, owner, 1);
    let tone = CallTone { call, hz: vec![440], named: None, country: None, duration_ms: 500, level_dbm0: None };
    let operation = world.started(owner, tone.clone(), None);
    let begun = Command::Tone { operation, stream, hz: vec![440], duration_ms: 500, level_dbm0: -10 };
    assert_eq!(world.media().last(), Some(&begun));
    assert_eq!(world.refused(owner, CallTone { hz: vec![], ..tone.clone() }), ErrorCode::InvalTone);
    assert_eq!(world.refused(owner, CallTone { hz: vec![4_000], ..tone.clone() }), ErrorCode::InvalTone);
    assert_eq!(world.refused(owner, CallTone { duration_ms: 0, ..tone.clone() }), ErrorCode::InvalParam);
    assert_eq!(world.refused(owner, CallTone { level_dbm0: Some(1), ..tone }), ErrorCode::InvalTone);
}

#[test]
fn hold_and_what_the_line_can_hold() {
    let mut description = line("trunk", MediaWire::Rtp);
    description.caps.max_held_calls = 1;
    let mut world = World::with(description);
    let owner = world.owner("owner");
    let (first, _) = talking(&mut world, owner, 1);
    let (second, _) = talking(&mut world, owner, 2);
    world.events(owner);
    world.taken(owner, CallHold { call: first });
    assert!(world.told(owner).is_empty(), "taken is not held");
    world.report(1, Report::Held);
    assert_eq!(world.told(owner), ["on_hold"]);
    assert_eq!(world.refused(owner, play(first)), ErrorCode::InvalCallState);
    assert_eq!(world.refused(owner, CallHold { call: second }), ErrorCode::ResourceUnavail);
    world.taken(owner, CallUnhold { call: first });
    world.report(1, Report::Unchanged { reason: "refused".into() });
    assert!(world.told(owner).is_empty());
    world.report(1, Report::Retrieved);
    world.report(1, Report::PeerHeld);
    assert_eq!(world.told(owner), ["connected (active)", "connected (active_held)"]);
}

#[test]
fn a_trace_is_bounded_and_begins_before_the_call_is_known() {
    let mut world = World::new();
    let owner = world.owner("owner");
    let entry = |summary: &str, text: usize| {
        let text = (text > 0).then(|| "x".repeat(text));
        Box::new(Traced { sent: false, peer: "far".into(), summary: summary.into(), text })
    };
    let crossed = |entry| tspi::Event::Trace { line: LineRef(0), call: Some(CallRef(1)), entry };
    world.tell(crossed(entry("INVITE", 100)));
    world.incoming(1);
    let call = world.new_call(owner);
    let trace = |world: &mut World, full| match world.ok(owner, CallTrace { call, full }) {
        Reply::Trace(trace) => trace,
        other => panic!("{other:?}"),
    };
    assert_eq!(trace(&mut world, false).entries[0].summary, "INVITE");
    assert_eq!(trace(&mut world, false).entries[0].text, None);
    assert_eq!(trace(&mut world, true).entries[0].text.as_ref().unwrap().len(), 100);
    for number in 0..70 {
        world.tell(crossed(entry(&number.to_string(), 0)));
    }
    let short = trace(&mut world, true);
    assert_eq!((short.entries.len(), short.forgotten), (64, 7));
    world.tell(crossed(entry("long", 20_000)));
    world.tell(crossed(entry("longer", 20_000)));
    world.tell(crossed(entry("too long", 40_000)));
    let bounded = trace(&mut world, true);
    let names: Vec<&str> = bounded.entries.iter().map(|entry| entry.summary.as_str()).collect();
    assert_eq!(names, ["longer", "too long"]);
    assert_eq!(bounded.forgotten, 72);
}

#[test]
fn the_traces_of_lines_and_of_calls_that_are_forgotten_are_there_for_those_who_may_watch() {
    let mut world = World::new();
    let owner = world.owner("owner");
    let entry = |summary: &str, text: &str| {
        let text = (!text.is_empty()).then(|| text.to_owned());
        Box::new(Traced { sent: true, peer: "far".into(), summary: summary.into(), text })
    };
    let of_line = |entry| tspi::Event::Trace { line: LineRef(0), call: None, entry };
    world.tell(of_line(entry("REGISTER sip:example.org", "REGISTER\r\nCSeq: 1 REGISTER\r\n\r\n")));
    for _ in 0..200 {
        world.tell(of_line(entry("OPTIONS sip:example.org", "")));
        world.tell(of_line(entry("200 OK", "SIP/2.0 200 OK\r\nCSeq: 9 OPTIONS\r\n\r\n")));
    }
    let mut ended = Vec::new();
    for number in 1..=66 {
        world.tell(tspi::Event::Trace { line: LineRef(0), call: Some(CallRef(number)), entry: entry("INVITE", "") });
        world.incoming(number);
        let call = world.new_call(owner);
        world.released(number, ReleasedBy::Remote, DisconnectMode::Cancelled);
        world.ok(owner, CallDrop { call, reason: None });
        world.ok(owner, CallDeallocate { call });
        ended.push(call);
    }
    let line = || tapi::LineSelector::Name("trunk".into());
    let trace = match world.ok(owner, LineTrace { line: line(), full: true }) {
        Reply::LineTrace(trace) => trace,
        other => panic!("{other:?}"),
    };
    assert_eq!(trace.entries[0].summary, "REGISTER sip:example.org", "probes push nothing else out");
    assert!(trace.entries[0].text.is_some() && trace.entries.len() <= 65);
    assert_eq!(trace.ended, ended[2..], "of the last 64 calls");
    match world.ok(owner, CallTrace { call: ended[65], full: false }) {
        Reply::Trace(trace) => assert_eq!(trace.entries[0].summary, "INVITE"),
        other => panic!("{other:?}"),
    }
    assert_eq!(world.refused(owner, CallTrace { call: ended[0], full: false }), ErrorCode::InvalCallHandle);
}

#[test]
fn facts_that_come_late_are_told_once() {
    let mut world = World::new();
    let owner = world.owner("owner");
    world.incoming(1);
    world.events(owner);
    let facts = tspi::CallFacts {
        caller: Some(tapi::Party::new(Some("555".into()), Some("Alice".into()))),
        network_id: Some("net-1".into()),
        ..Default::default()
    };
    let late = tspi::Event::CallInfo { call: CallRef(1), facts: Box::new(facts) };
    world.tell(late.clone());
    world.tell(late);
    let events = world.events(owner);
    let [EventBody::CallInfo { info, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(info.caller.name.as_deref(), Some("Alice"));
}
