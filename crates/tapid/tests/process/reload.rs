//! Modems that are added to the configuration, changed and taken out of it while calls are up; and a call in passthrough
//! over a restart.

use crate::daemon::{Directory, PATIENCE, Wire};
use crate::modem::{Exchange, ask, hears_440, line_of, until_in_service};
use crate::restart::Managed;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tapi::client::blocking::Client;
use tapi::request::{CallMake, ClientOpen, LineOpen};
use tapi::{AddressId, BearerMode, LineSelector, Names, Privilege};

/// Writes the configuration: modems by name, link and further keys.
fn configure(directory: &Path, modems: &[(&str, &str, &str)]) -> PathBuf {
    let socket = directory.join("api.sock");
    let mut config =
        format!("[daemon]\nsocket = {socket:?}\n[modems]\ndiscover = false\nprofiles = []\nsettle_ms = 20\n");
    for (name, link, more) in modems {
        let device = directory.join(link);
        config += &format!("[[modem]]\nname = {name:?}\ndevice = {device:?}\n{more}\n");
    }
    let file = directory.join("tapid.toml");
    std::fs::write(&file, config).unwrap();
    file
}

const ANALOGUE: &str = "profile = \"v253\"";
const CELLULAR: &str = "profile = \"27007\"";

/// An application with a session that outlives its connections.
struct App {
    wire: Wire,
    token: Value,
    seen: Value,
    asked: u64,
    /// Its calls: each to another subscriber.
    calls: u32,
}

impl App {
    fn open(socket: &Path) -> App {
        let mut wire = Wire::connect(socket);
        wire.line();
        let opened = ask(&mut wire, 1, "client.open", json!({"app": "test", "linger_ms": 20_000}));
        App { wire, token: opened["token"].clone(), seen: Value::Null, asked: 1, calls: 0 }
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        ask(&mut self.wire, self.asked, method, params)
    }

    /// The event that is so; those before it are passed over.
    fn until(&mut self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self.wire.line();
            if line["method"] == "event" {
                self.seen = line["params"]["seq"].clone();
                if is(&line["params"]) {
                    return line["params"].clone();
                }
            }
            assert!(Instant::now() < deadline, "no {what}");
        }
    }

    fn call(&mut self, line: &str) -> Value {
        until_in_service(&mut self.wire, line);
        self.ask("line.open", json!({"line": line, "privileges": ["owner"]}));
        let to = format!("493030{}", self.calls);
        self.calls += 1;
        let call = self.ask("call.make", json!({"line": line, "to": to}))["call"].clone();
        self.until("answer", |event| event["call"] == call && event["state"] == "connected");
        call
    }

    /// After a restart: its session goes on where it was.
    fn resume(&mut self, socket: &Path) {
        self.wire = Wire::connect(socket);
        self.wire.line();
        let (token, since) = (self.token.clone(), self.seen.clone());
        self.wire.say(
            &json!({"id": 9_000, "method": "client.resume", "params": {"token": token, "since": since}}).to_string(),
        );
    }
}

#[test]
fn a_reload_adds_modems_and_takes_them_away_and_leaves_the_others_calls_alone() {
    let directory = Directory::new();
    let (root, socket) = (directory.path(""), directory.path("api.sock"));
    let numbers = ["4930100", "4930101", "4930102", "4930103"];
    let words = numbers.iter().flat_map(|number| ["--analogue", number]);
    let mut words: Vec<String> = words.chain(["--cellular", "4930200"]).map(str::to_owned).collect();
    for at in 0..6 {
        words.extend(["--subscriber".to_owned(), format!("493030{at}=tone:440,answer:300ms")]);
    }
    let exchange = Exchange::with(&directory, &words);
    let config = configure(
        &root,
        &[
            ("same", "analogue0", ANALOGUE),
            ("changed", "analogue1", ANALOGUE),
            ("gone", "analogue2", ANALOGUE),
            ("dongle", "cellular0", CELLULAR),
        ],
    );
    let mut managed = Managed::start(directory, &config);
    let mut app = App::open(&socket);
    let [same, changed, gone, dongle] =
        ["modem:same", "modem:changed", "modem:gone", "modem:dongle"].map(|line| app.call(line));

    let changed_modem = format!("{ANALOGUE}\nbaud = 57600");
    configure(
        &root,
        &[("same", "analogue0", ANALOGUE), ("changed", "analogue1", &changed_modem), ("added", "analogue3", ANALOGUE)],
    );
    managed.reload();
    app.resume(&socket);
    // What ended says why, and what was taken away is no line any more.
    let mut left = vec![
        (&changed, "its configuration has changed"),
        (&gone, "it is not configured any more"),
        (&dongle, "it is not configured any more"),
    ];
    while !left.is_empty() {
        let event = app.until("end of the calls", |event| event["kind"] == "call.state");
        let found = left.iter().position(|(call, _)| event["call"] == **call);
        let (_, reason) = left.remove(found.unwrap_or_else(|| panic!("{event}")));
        assert_eq!((&event["state"], &event["mode"]), (&json!("disconnected"), &json!("unavail")), "{event}");
        assert!(event.to_string().contains(reason), "{event}");
    }
    exchange.each("hung_up", &["4930101", "4930102", "4930200"]);
    for (id, line) in [(91, "modem:gone"), (92, "modem:dongle")] {
        assert_eq!(line_of(&mut app.wire, id, line), None, "{line}");
    }
    // The one that stays has its audio; the others are lines that can call.
    app.ask("call.monitor_tones", json!({"call": same, "hz": [440]}));
    hears_440(&mut app.wire);
    for line in ["modem:added", "modem:changed"] {
        app.call(line);
    }
    let status = app.ask("call.get", json!({"call": same}));
    assert_eq!(status["status"]["state"], "connected", "{status}");
    drop(app);
    let log = managed.stop();
    assert!(!log.contains("ERROR"), "{log}");
}

#[test]
fn a_reload_that_changes_no_port_and_no_name_leaves_the_call_alone_and_is_taken_up() {
    let directory = Directory::new();
    let (root, socket) = (directory.path(""), directory.path("api.sock"));
    let words = ["--analogue", "4930100", "--cellular", "4930200", "--subscriber", "4930300=tone:440,answer:300ms"];
    let mut words: Vec<String> = words.map(str::to_owned).into();
    words.extend(["--subscriber".to_owned(), "4930301=tone:440,answer:300ms".to_owned()]);
    let exchange = Exchange::with(&directory, &words);
    let modems = [("desk", "analogue0", ANALOGUE), ("dongle", "cellular0", CELLULAR)];
    let config = configure(&root, &modems);
    let mut managed = Managed::start(directory, &config);
    let mut app = App::open(&socket);
    let calls = ["modem:desk", "modem:dongle"].map(|line| app.call(line));

    let transcript = root.join("desk.transcript");
    let analogue = format!("{ANALOGUE}\naddress = \"+4930100\"\noffice = \"etsi\"\ntranscript = {transcript:?}");
    let cellular = format!("{CELLULAR}\ncellular = {{ allow_emergency = true, pin = \"1234\" }}");
    configure(&root, &[("desk", "analogue0", &analogue), ("dongle", "cellular0", &cellular)]);
    managed.reload();
    app.resume(&socket);
    for call in &calls {
        let found = app.ask("call.get", json!({"call": call}));
        assert_eq!(found["status"]["state"], "connected", "{found}");
    }
    app.ask("call.monitor_tones", json!({"call": calls[0], "hz": [440]}));
    hears_440(&mut app.wire);
    // What was changed holds for the call that is up.
    let line = line_of(&mut app.wire, 91, "modem:desk").unwrap();
    assert!(line.to_string().contains("+4930100"), "{line}");
    let features = app.ask("call.get", json!({"call": calls[0]}))["status"]["features"].clone();
    assert!(features.as_array().unwrap().contains(&json!("hold")), "of the office: {features}");
    for call in &calls {
        app.ask("call.drop", json!({"call": call}));
    }
    exchange.each("hung_up", &["4930100", "4930200"]);
    let deadline = Instant::now() + PATIENCE;
    while !std::fs::read_to_string(&transcript).is_ok_and(|written| written.contains("> AT")) {
        assert!(Instant::now() < deadline, "there is no transcript");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    drop(app);
    let log = managed.stop();
    assert!(!log.contains("ERROR"), "{log}");
}

/// Reads until `end` was said.
fn heard(socket: &mut UnixStream, end: &str) {
    let (mut text, mut bytes) = (String::new(), [0; 256]);
    while !text.contains(end) {
        let count = socket.read(&mut bytes).unwrap_or_else(|error| panic!("no {end:?} but {text:?}: {error}"));
        assert!(count > 0, "the end, and no {end:?} but {text:?}");
        text.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
}

#[test]
fn a_call_in_passthrough_ends_with_a_restart_and_its_modem_is_put_on_hook() {
    let directory = Directory::new();
    let (root, socket) = (directory.path(""), directory.path("api.sock"));
    let words = ["--analogue", "4930100", "--subscriber", "4930300=tone:440"];
    let exchange = Exchange::with(&directory, &words.map(str::to_owned));
    let config = configure(&root, &[("desk", "analogue0", ANALOGUE)]);
    let mut managed = Managed::start(directory, &config);
    let mut app = App::open(&socket);
    until_in_service(&mut app.wire, "modem:desk");
    app.ask("line.open", json!({"line": "modem:desk", "privileges": ["monitor"]}));
    let mut client = Client::connect(&socket).unwrap();
    client.call(ClientOpen { app: "terminal".into(), ..ClientOpen::default() }).unwrap();
    let line = LineSelector::Name("modem:desk".into());
    let privileges = Names::from([Privilege::Owner]);
    client.call(LineOpen { line: line.clone(), privileges, media_modes: Names::new() }).unwrap();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(PATIENCE)).unwrap();
    let bearer = Some(BearerMode::Passthrough);
    let make = CallMake { line, to: String::new(), address: AddressId(0), block_id: false, comment: None, bearer };
    let call = client.call_with_descriptor(make, theirs.into()).unwrap().call;
    let call = json!(call.0);
    app.until("the call", |event| event["call"] == call && event["state"] == "connected");
    for (said, answer) in [("ATE0V1\r", "OK"), ("AT+FCLASS=8\r", "OK"), ("AT+VLS=1\r", "OK")] {
        ours.write_all(said.as_bytes()).unwrap();
        heard(&mut ours, answer);
    }
    exchange.each("off_hook", &["4930100"]);

    managed.restart();
    app.resume(&socket);
    let over = app.until("the end of the call", |event| event["call"] == call && event["state"] == "disconnected");
    assert_eq!(over["mode"], "unavail", "{over}");
    assert!(over.to_string().contains("passthrough ends with a restart"), "{over}");
    exchange.each("hung_up", &["4930100"]);
    until_in_service(&mut app.wire, "modem:desk");
    // The application's socket is at its end.
    let mut rest = [0; 256];
    while ours.read(&mut rest).unwrap_or_else(|error| panic!("the socket is open: {error}")) > 0 {}
    drop(app);
    managed.stop();
}
