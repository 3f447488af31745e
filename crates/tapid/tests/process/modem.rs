//! Simulated modems on terminals of their own: an analogue one, and a dongle with an audio port.

use crate::daemon::{Directory, PATIENCE, Wire};
use crate::restart::Managed;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use tapi::client::blocking::Client;
use tapi::request::{CallMake, ClientOpen, LineOpen};
use tapi::{AddressId, BearerMode, EventBody, LineSelector, Names, Privilege};

/// The simulated exchange with its modems.
pub struct Exchange {
    child: Child,
    events: Receiver<Value>,
}

impl Exchange {
    /// A subscriber answers with 440 Hz.
    fn start(directory: &Directory) -> Exchange {
        let words = ["--analogue", "4930100", "--cellular", "4930200", "--subscriber", "4930300=tone:440,answer:300ms"];
        Exchange::with(directory, &words.map(str::to_owned))
    }

    /// With these modems and subscribers; the links to the modems are in the directory.
    pub fn with(directory: &Directory, words: &[String]) -> Exchange {
        let mut child = Command::new(program())
            .args(words)
            .arg("--link-dir")
            .arg(directory.path(""))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.next().unwrap().unwrap();
        assert!(ready.contains("ready"), "{ready}");
        // What it says is read to its end, so that it never waits for a reader.
        let (sender, events) = channel();
        std::thread::spawn(move || {
            let parsed = lines.map_while(Result::ok).filter_map(|line| serde_json::from_str(&line).ok());
            parsed.for_each(|event| drop(sender.send(event)));
        });
        Exchange { child, events }
    }

    /// Gives it an order on its standard input.
    pub fn order(&mut self, words: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{words}").unwrap();
    }

    /// Gives it an order, and waits until it is carried out, or refused: whether it is carried out.
    pub fn ordered(&mut self, words: &str) -> bool {
        self.order(words);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let wait = deadline.saturating_duration_since(Instant::now());
            let event = self.events.recv_timeout(wait).unwrap_or_else(|_| panic!("no answer to {words}"));
            if event["order"] == words {
                return event["event"] == "ordered";
            }
        }
    }

    /// The next event of this kind; others are passed over.
    pub fn told(&self, kind: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let wait = deadline.saturating_duration_since(Instant::now());
            let event = self.events.recv_timeout(wait).unwrap_or_else(|_| panic!("no {kind}"));
            if event["event"] == kind {
                return event;
            }
        }
    }

    /// Waits until a subscriber hears that frequency.
    pub fn heard(&self, subscriber: &str, hz: u64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let event = self.told("heard");
            if event["subscriber"] == subscriber && event["hz"].as_u64().is_some_and(|is| is.abs_diff(hz) < 10) {
                return;
            }
            assert!(Instant::now() < deadline, "{subscriber} does not hear {hz} Hz: {event}");
        }
    }

    /// Waits for an event of this kind of each of these subscribers, in any order.
    pub fn each(&self, kind: &str, subscribers: &[&str]) {
        let (mut left, deadline) = (subscribers.to_vec(), Instant::now() + PATIENCE);
        while !left.is_empty() {
            let wait = deadline.saturating_duration_since(Instant::now());
            let event = self.events.recv_timeout(wait).unwrap_or_else(|_| panic!("no {kind} of {left:?}"));
            left.retain(|subscriber| event["event"] != kind || event["subscriber"] != *subscriber);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// `tapi-exchange` beside the daemon, built if it is not there yet or older than its source.
fn program() -> PathBuf {
    let daemon = Path::new(env!("CARGO_BIN_EXE_tapid"));
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "-p", "tapi-sim", "--bin", "tapi-exchange"]);
    let target = daemon.parent().and_then(Path::parent).unwrap();
    build.arg("--target-dir").arg(target).current_dir(env!("CARGO_MANIFEST_DIR"));
    if daemon.parent().is_some_and(|profile| profile.ends_with("release")) {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success(), "tapi-exchange is built");
    daemon.with_file_name("tapi-exchange")
}

fn started(directory: Directory) -> Managed {
    let path = |name: &str| directory.path(name);
    let config = format!(
        "[daemon]\nsocket = {:?}\n\n[[modem]]\nname = \"analogue\"\ndevice = {:?}\nprofile = \"v253\"\ntranscript = {:?}\n\n[[modem]]\n\
         name = \"dongle\"\ndevice = {:?}\naudio_device = {:?}\nprofile = \"27007\"\n",
        path("api.sock"),
        path("analogue0"),
        path("transcript"),
        path("cellular0"),
        path("cellular0-audio")
    );
    let file = path("tapid.toml");
    std::fs::write(&file, config).unwrap();
    Managed::start(directory, &file)
}

pub fn ask(wire: &mut Wire, id: u64, method: &str, params: Value) -> Value {
    wire.say(&json!({"id": id, "method": method, "params": params}).to_string());
    let answer = wire.answer(id);
    assert_eq!(answer["error"], Value::Null, "{method}");
    answer["result"].clone()
}

/// What the list says of a line.
pub fn line_of(wire: &mut Wire, id: u64, line: &str) -> Option<Value> {
    let lines = ask(wire, id, "line.list", json!({}))["lines"].clone();
    lines.as_array().unwrap().iter().find(|found| found["name"] == line).cloned()
}

pub fn until_in_service(wire: &mut Wire, line: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = line_of(wire, 90, line);
        if found.as_ref().is_some_and(|found| found["status"]["service"] == "in") {
            return;
        }
        assert!(Instant::now() < deadline, "{line} is not in service: {found:?}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// Three measurements in a row are 440 Hz at a telephone's level and nothing else.
pub fn hears_440(wire: &mut Wire) {
    let (mut good, deadline) = (0, Instant::now() + PATIENCE);
    while good < 3 {
        let line = wire.line();
        if line["params"]["kind"] == "call.tone" {
            let tone = line["params"]["tones"][0]["level_ddbm0"].as_i64().unwrap();
            let all = line["params"]["level_ddbm0"].as_i64().unwrap();
            good = if tone > -250 && (all - tone).abs() < 10 { good + 1 } else { 0 };
            assert!(Instant::now() < deadline, "440 Hz is not heard: {line}");
        }
    }
}

fn a_call_is_heard_and_outlives_a_restart(line: &str) {
    let directory = Directory::new();
    let socket = directory.path("api.sock");
    let _exchange = Exchange::start(&directory);
    let mut managed = started(directory);
    let mut wire = Wire::connect(&socket);
    wire.line();
    let opened = ask(&mut wire, 1, "client.open", json!({"app": "test", "linger_ms": 20_000}));
    until_in_service(&mut wire, line);
    ask(&mut wire, 2, "line.open", json!({"line": line, "privileges": ["owner"]}));
    let call = ask(&mut wire, 3, "call.make", json!({"line": line, "to": "4930300"}))["call"].clone();
    let seen = loop {
        let event = wire.line();
        if event["params"]["state"] == "connected" {
            break event["params"]["seq"].clone();
        }
    };
    ask(&mut wire, 4, "call.monitor_tones", json!({"call": call, "hz": [440]}));
    hears_440(&mut wire);

    managed.restart();
    let mut wire = Wire::connect(&socket);
    wire.line();
    ask(&mut wire, 1, "client.resume", json!({"token": opened["token"], "since": seen}));
    hears_440(&mut wire);
    ask(&mut wire, 5, "call.drop", json!({"call": call}));
    drop(wire);
    managed.stop();
}

#[test]
fn an_analogue_modems_call_is_heard_and_outlives_a_restart() {
    a_call_is_heard_and_outlives_a_restart("modem:analogue");
}

#[test]
fn a_dongles_call_is_heard_and_outlives_a_restart() {
    a_call_is_heard_and_outlives_a_restart("modem:dongle");
}

/// Reads until `end` was said.
fn heard(socket: &mut UnixStream, end: &str) -> String {
    let (mut text, mut bytes) = (String::new(), [0; 256]);
    while !text.contains(end) {
        let count = socket.read(&mut bytes).unwrap_or_else(|error| panic!("no {end:?} but {text:?}: {error}"));
        assert!(count > 0, "the end, and no {end:?} but {text:?}");
        text.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    text
}

#[test]
fn an_application_talks_to_a_modem_itself_until_it_is_done() {
    let directory = Directory::new();
    let (socket, transcript) = (directory.path("api.sock"), directory.path("transcript"));
    let _exchange = Exchange::start(&directory);
    let managed = started(directory);
    let mut wire = Wire::open(&socket);
    until_in_service(&mut wire, "modem:analogue");
    let mut client = Client::connect(&socket).unwrap();
    client.call(ClientOpen { app: "terminal".into(), ..ClientOpen::default() }).unwrap();
    let line = LineSelector::Name("modem:analogue".into());
    let privileges = Names::from([Privilege::Owner]);
    client.call(LineOpen { line: line.clone(), privileges, media_modes: Names::new() }).unwrap();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(PATIENCE)).unwrap();
    let bearer = Some(BearerMode::Passthrough);
    let make = CallMake { line, to: String::new(), address: AddressId(0), block_id: false, comment: None, bearer };
    assert!(client.call(make.clone()).is_err(), "without a socket");
    let call = client.call_with_descriptor(make.clone(), theirs.into()).unwrap().call;
    ours.write_all(b"ATE0V1\r").unwrap();
    heard(&mut ours, "OK\r\n");
    ours.write_all(b"AT+FCLASS=?\r").unwrap();
    let answer = heard(&mut ours, "OK\r\n");
    assert!(answer.contains('8'), "{answer:?}");
    // Nobody else may have it meanwhile.
    let (_, second) = UnixStream::pair().unwrap();
    assert!(client.call_with_descriptor(make, second.into()).is_err());
    // It is done: the call is over, and the modem is a telephone line again.
    drop(ours);
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "the call goes on");
        let Some(delivered) = client.next_event(Some(Duration::from_millis(200))).unwrap() else { continue };
        match delivered.event.body {
            EventBody::CallState { call: of, state, .. } if of == call && state.is_over() => break,
            _ => {}
        }
    }
    until_in_service(&mut wire, "modem:analogue");
    let written = std::fs::read_to_string(transcript).unwrap();
    assert!(written.contains("= opened 0") && written.contains("> AT"), "{written}");
    drop(wire);
    managed.stop();
}
