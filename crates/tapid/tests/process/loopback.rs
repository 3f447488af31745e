//! Calls between loopback lines through the daemon: no device and no network, but everything an application does.

use crate::daemon::{Directory, PATIENCE, Wire};
use crate::restart::Managed;
use crate::sound;
use serde_json::json;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};
use tapi::client::Resumed;
use tapi::client::blocking::Client;
use tapi::request::{
    CallAccept, CallAnswer, CallBridge, CallDeallocate, CallDrop, CallGet, CallHold, CallList, CallMake,
    CallMonitorDigits, CallPlay, CallRecord, CallSendDigits, CallStop, CallUnhold, ClientOpen, LineOpen, PlaySource,
    RecordSink,
};
use tapi::{CallId, End, EventBody, LineSelector, Method, Names, Privilege};

/// An application that owns both lines.
struct App {
    client: Client,
    seen: Vec<EventBody>,
}

impl App {
    fn open(socket: &Path) -> App {
        let mut client = Client::connect_within(socket, PATIENCE).unwrap();
        client.call(ClientOpen { app: "test".into(), linger_ms: 20_000, ..ClientOpen::default() }).unwrap();
        for line in ["loopback:0", "loopback:1"] {
            let (line, privileges) = (LineSelector::Name(line.into()), Names::from([Privilege::Owner]));
            client.call(LineOpen { line, privileges, media_modes: Names::new() }).unwrap();
        }
        App { client, seen: Vec::new() }
    }

    fn ask<M: Method>(&mut self, request: M) -> M::Reply {
        self.client.call(request).unwrap_or_else(|error| panic!("{}: {error}; seen: {:#?}", M::NAME, self.seen))
    }

    fn ask_with<M: Method>(&mut self, request: M, file: File) -> M::Reply {
        self.client.call_with_descriptor(request, OwnedFd::from(file)).unwrap()
    }

    /// The first event, from the beginning on, that `pick` takes.
    fn wait<T>(&mut self, what: &str, mut pick: impl FnMut(&EventBody) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut next = 0;
        loop {
            if let Some(found) = self.seen[next..].iter().find_map(&mut pick) {
                return found;
            }
            next = self.seen.len();
            assert!(Instant::now() < deadline, "no {what} within {PATIENCE:?}; seen: {:#?}", self.seen);
            let event = self.client.next_event(Some(Duration::from_millis(200))).unwrap();
            self.seen.extend(event.map(|delivered| delivered.event.body));
        }
    }

    /// Waits until the call is in this state, and answers with all states that were told of it, in order.
    fn until(&mut self, of: CallId, last: &str) -> Vec<String> {
        let mut states = Vec::new();
        self.wait(last, |body| match body {
            EventBody::CallState { call, state, .. } if *call == of => {
                states.push(state.to_string());
                (state.to_string() == last).then_some(())
            }
            _ => None,
        });
        states
    }

    /// The call that is offered on a line with this as its caller.
    fn offered(&mut self, from: &str) -> CallId {
        self.wait("offered call", |body| match body {
            EventBody::CallNew { call } if call.info.caller.address.as_deref() == Some(from) => {
                (call.status.state.name() == "offering").then_some(call.info.call)
            }
            _ => None,
        })
    }

    /// Calls from one line to the other, and both ends are connected.
    fn connected(&mut self, from: &str, to: &str) -> (CallId, CallId) {
        let line = LineSelector::Name(from.into());
        let make =
            CallMake { line, to: to.into(), address: Default::default(), block_id: false, comment: None, bearer: None };
        let caller = self.ask(make).call;
        let called = self.offered(from);
        self.ask(CallAccept { call: called, early_media: false });
        self.until(caller, "ringback");
        self.ask(CallAnswer { call: called });
        self.until(caller, "connected (active)");
        self.until(called, "connected (active)");
        (caller, called)
    }

    /// Plays 440 Hz at one call, records what another receives, and finds it there: the tone, at its level, and for as
    /// long as it was played.
    fn is_heard(&mut self, directory: &Path, from: CallId, at: CallId) {
        let (tone, heard) = (directory.join("tone.wav"), directory.join("heard.wav"));
        sound::write_tone(&tone, 440.0, 1.0, -10.0);
        let into = File::create(&heard).unwrap();
        let record = CallRecord { call: at, sink: RecordSink::Descriptor, max_ms: None };
        let recording = self.ask_with(record, into).operation;
        let play = CallPlay { call: from, source: PlaySource::Descriptor, repeat: false };
        let playing = self.ask_with(play, File::open(&tone).unwrap()).operation;
        let played = self.wait("end of the playback", |body| match body {
            EventBody::CallPlayed { operation, end, played_ms, .. } if *operation == playing => {
                Some((end.clone(), *played_ms))
            }
            _ => None,
        });
        assert_eq!(played, (End::Done, 1_000));
        // What was played last is still on its way.
        std::thread::sleep(Duration::from_millis(300));
        self.ask(CallStop { call: at, operation: recording });
        let end = self.wait("end of the recording", |body| match body {
            EventBody::CallRecorded { operation, end, .. } if *operation == recording => Some(end.clone()),
            _ => None,
        });
        assert_eq!(end, End::Cancelled);
        // Left is what was received.
        let received: Vec<i16> = sound::read(&heard).into_iter().step_by(2).collect();
        let levels = sound::levels(&received, 440.0);
        let loud = levels.iter().filter(|level| (-11.0..-9.0).contains(*level)).count();
        assert!((44..=50).contains(&loud), "{loud} of 50 pieces of 20 ms are 440 Hz at -10 dBm0: {levels:.0?}");
        let other = sound::levels(&received, 1_000.0).into_iter().fold(f64::MIN, f64::max);
        assert!(other < -25.0, "1000 Hz at {other} dBm0 was not played");
    }
}

fn started() -> (Managed, std::path::PathBuf) {
    let directory = Directory::new();
    let (file, own) = (directory.path("tapid.toml"), directory.path(""));
    let config = format!(
        "[daemon]\nsocket = {:?}\n\n[[loopback]]\nname = \"loopback\"\nlines = 2\n",
        directory.path("api.sock")
    );
    std::fs::write(&file, config).unwrap();
    (Managed::start(directory, &file), own)
}

#[test]
fn a_call_from_line_to_line_has_all_that_a_call_has() {
    let (managed, directory) = started();
    let mut app = App::open(&directory.join("api.sock"));
    let (caller, called) = app.connected("loopback:0", "loopback:1");
    assert_eq!(app.until(caller, "connected (active)"), ["proceeding", "ringback", "connected (active)"]);
    assert_eq!(app.until(called, "connected (active)"), ["offering (active)", "accepted", "connected (active)"]);

    app.ask(CallMonitorDigits { call: called, on: true });
    let digits = app.ask(CallSendDigits { call: caller, digits: "12#".into(), duration_ms: None }).operation;
    let end = app.wait("end of the digits", |body| match body {
        EventBody::CallGenerated { operation, end, .. } if *operation == digits => Some(end.clone()),
        _ => None,
    });
    assert_eq!(end, End::Done);
    let heard: String = app
        .seen
        .iter()
        .filter_map(|body| match body {
            EventBody::CallDigit { call, digit, .. } if *call == called => Some(*digit),
            _ => None,
        })
        .collect();
    assert_eq!(heard, "12#");

    app.ask(CallHold { call: caller });
    app.until(caller, "on_hold");
    app.until(called, "connected (active_held)");
    app.seen.clear();
    app.ask(CallUnhold { call: caller });
    app.until(caller, "connected (active)");
    app.until(called, "connected (active)");
    app.is_heard(&directory, caller, called);

    // A third and a fourth end, joined with the first call: who was called hears who was called there.
    let (other, third) = app.connected("loopback:1", "0");
    app.ask(CallBridge { call: caller, with: other });
    app.is_heard(&directory, called, third);
    app.is_heard(&directory, third, called);

    app.ask(CallDrop { call: caller, reason: None });
    assert_eq!(app.until(caller, "idle").last().map(String::as_str), Some("idle"));
    app.until(called, "disconnected (normal)");
    app.ask(CallDrop { call: called, reason: None });
    app.until(called, "idle");
    for call in [caller, called] {
        app.ask(CallDeallocate { call });
    }
    assert_eq!(app.ask(CallGet { call: other }).status.state.name(), "connected", "the other call goes on");
    let log = managed.stop();
    assert!(!log.contains("ERROR"), "{log}");
}

#[test]
fn a_bridged_call_outlives_a_restart_and_is_heard() {
    let (mut managed, directory) = started();
    let mut app = App::open(&directory.join("api.sock"));
    let (caller, called) = app.connected("loopback:0", "loopback:1");
    let (other, third) = app.connected("loopback:1", "loopback:0");
    app.ask(CallBridge { call: caller, with: other });

    managed.restart();
    assert_eq!(app.client.resume_within(PATIENCE).unwrap(), Resumed::Continued);
    assert_eq!(app.ask(CallList { line: None }).calls.len(), 4);
    app.is_heard(&directory, called, third);
    app.is_heard(&directory, third, called);
    app.ask(CallMonitorDigits { call: called, on: true });
    app.ask(CallSendDigits { call: caller, digits: "7".into(), duration_ms: None });
    app.wait("digit", |body| {
        matches!(body, EventBody::CallDigit { call, digit: '7', .. } if *call == called).then_some(())
    });
    app.ask(CallDrop { call: called, reason: None });
    app.until(called, "idle");
    app.until(caller, "disconnected (normal)");
    let log = managed.stop();
    assert!(log.contains("going on after a restart"), "{log}");
    assert!(!log.contains("ERROR"), "{log}");
}

/// The events up to the end of the connection or the number `last`, each proving that none is missing before it.
fn replayed(wire: &mut Wire, seen: &mut u64, last: u64) -> usize {
    let mut count = 0;
    while *seen < last {
        let Some(line) = wire.next() else { break };
        if line["method"] == "event" {
            assert_eq!(line["params"]["prev"], *seen, "{line}");
            *seen = line["params"]["seq"].as_u64().unwrap();
            count += 1;
        }
    }
    count
}

#[test]
fn a_client_that_missed_more_than_its_queue_holds_is_replayed_all_of_it() {
    let (managed, directory) = started();
    let socket = directory.join("api.sock");
    let mut away = Wire::connect(&socket);
    away.line();
    away.say(r#"{"id":1,"method":"client.open","params":{"app":"away","linger_ms":60000}}"#);
    let opened = away.answer(1)["result"].clone();
    for line in ["loopback:0", "loopback:1"] {
        let params = json!({"line": line, "privileges": ["monitor"]});
        away.say(&json!({"id": 2, "method": "line.open", "params": params}).to_string());
        assert!(away.answer(2)["result"]["line"].is_u64());
    }
    drop(away);

    let mut app = App::open(&socket);
    let mut last = 0;
    while last < 8_000 {
        let (caller, called) = app.connected("loopback:0", "loopback:1");
        app.ask(CallDrop { call: caller, reason: None });
        app.until(called, "disconnected (normal)");
        app.ask(CallDrop { call: called, reason: None });
        app.until(called, "idle");
        for call in [caller, called] {
            app.ask(CallDeallocate { call });
        }
        app.seen.clear();
        last = app.client.seen();
    }
    // More lines than may wait for a client: it is cut off on the way, and comes back for the rest.
    let (mut seen, mut count, mut connections) = (0, 0, 0);
    while seen < last {
        connections += 1;
        assert!(connections < 20, "{count} events in {connections} connections");
        let mut wire = Wire::connect(&socket);
        wire.line();
        let params = json!({"token": opened["token"], "since": seen});
        wire.say(&json!({"id": 3, "method": "client.resume", "params": params}).to_string());
        count += replayed(&mut wire, &mut seen, last);
    }
    assert!(count > 4_096, "{count} events");
    drop(managed.stop());
}
