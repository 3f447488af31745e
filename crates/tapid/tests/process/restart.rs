//! A restart under a stand-in for the service manager, with a call up.

use crate::caller::Caller;
use crate::daemon::{Directory, Wire, free_port, with_sip};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The daemon under the stand-in.
pub struct Managed {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    directory: Directory,
}

impl Managed {
    pub fn start(directory: Directory, config: &Path) -> Managed {
        let source = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut child = Command::new("python3")
            .arg(source.join("tests/process/manager.py"))
            .arg(source.join("../../demo"))
            .arg(directory.path(""))
            .arg(env!("CARGO_BIN_EXE_tapid"))
            .arg("--config")
            .arg(config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 runs the stand-in for the service manager: apt-get install python3");
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let mut managed = Managed { child, input, output, directory };
        managed.said("ready");
        managed
    }

    fn said(&mut self, what: &str) {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert!(line.starts_with(what), "{line:?} in place of {what}:\n{}", self.directory.read("log"));
    }

    pub fn restart(&mut self) {
        self.input.as_mut().unwrap().write_all(b"restart\n").unwrap();
        self.said("ready");
    }

    /// The first half of a restart.
    pub fn park(&mut self) {
        self.input.as_mut().unwrap().write_all(b"park\n").unwrap();
        self.said("parked");
    }

    /// The second one.
    pub fn go_on(&mut self) {
        self.input.as_mut().unwrap().write_all(b"start\n").unwrap();
        self.said("ready");
    }

    pub fn log(&self) -> String {
        self.directory.read("log")
    }

    pub fn reload(&mut self) {
        self.input.as_mut().unwrap().write_all(b"reload\n").unwrap();
        self.said("ready");
    }

    pub fn stop(mut self) -> String {
        drop(self.input.take());
        self.said("ended 0");
        self.directory.read("log")
    }
}

impl Drop for Managed {
    fn drop(&mut self) {
        drop(self.input.take());
        if std::thread::panicking() {
            eprintln!("{}", self.directory.read("log"));
        }
        drop(self.child.wait());
    }
}

/// An application whose connection is lost with the old process.
struct App {
    wire: Wire,
    token: String,
    generation: Value,
    seen: u64,
}

impl App {
    fn open(socket: &Path) -> App {
        let mut wire = Wire::connect(socket);
        wire.line();
        wire.say(r#"{"id":1,"method":"client.open","params":{"app":"test","linger_ms":10000}}"#);
        let opened = wire.answer(1)["result"].clone();
        let token = opened["token"].as_str().unwrap().to_string();
        App { wire, token, generation: opened["generation"].clone(), seen: 0 }
    }

    fn ask(&mut self, id: u64, method: &str, params: &Value) {
        self.wire.say(&json!({"id": id, "method": method, "params": params}).to_string());
        loop {
            let line = self.wire.line();
            self.note(&line);
            if line["id"] == id {
                assert_eq!(line["error"], Value::Null, "{method}");
                return;
            }
        }
    }

    /// Every event proves that none is missing before it.
    fn note(&mut self, line: &Value) {
        if line["method"] == "event" {
            assert!(self.seen == 0 || line["params"]["prev"] == self.seen, "{line} after {}", self.seen);
            self.seen = line["params"]["seq"].as_u64().unwrap();
        }
    }

    fn until(&mut self, kind: &str, state: &str) -> Value {
        loop {
            let line = self.wire.line();
            self.note(&line);
            if line["params"]["kind"] == kind && (state.is_empty() || line["params"]["state"] == state) {
                return line["params"].clone();
            }
        }
    }

    /// Takes the session up again: the same generation, and the events go on without a gap.
    fn resume(&mut self, socket: &Path) {
        assert!(std::iter::from_fn(|| self.wire.next()).count() < 100, "the old connection ends");
        self.wire = Wire::connect(socket);
        let hello = self.wire.line();
        assert_eq!(hello["params"]["generation"], self.generation, "the state is the same one");
        self.wire.say(
            &json!({"id": 2, "method": "client.resume", "params": {"token": self.token, "since": self.seen}})
                .to_string(),
        );
        loop {
            let line = self.wire.line();
            self.note(&line);
            if line["id"] == 2 {
                assert_eq!(line["error"], Value::Null);
                return;
            }
        }
    }
}

#[test]
fn a_call_outlives_restarts_with_its_audio_its_events_and_its_session() {
    let directory = Directory::new();
    let (sip, socket) = (free_port(), directory.path("api.sock"));
    let config = with_sip(&directory, sip, "");
    let mut managed = Managed::start(directory, &config);
    let mut app = App::open(&socket);
    let mut call = Caller::new(sip).answered(&mut app.wire);
    app.seen = call.seen;
    app.ask(10, "call.bridge", &json!({"call": call.id, "with": call.id}));
    call.is_echoed(0x31);

    for (round, audio) in [(0, 0x32), (1, 0x33)] {
        managed.restart();
        call.is_echoed(audio);
        app.resume(&socket);
        app.ask(20 + round, "call.get", &json!({"call": call.id}));
    }

    call.hang_up();
    let gone = app.until("call.state", "disconnected");
    assert_eq!(gone["call"], call.id);
    assert_eq!(gone["mode"], "normal");
    let log = managed.stop();
    assert!(log.contains("going on after a restart"), "{log}");
    assert!(!log.contains("ERROR"), "{log}");
}

#[test]
fn a_new_client_and_a_new_call_find_the_restarted_server_whole() {
    let directory = Directory::new();
    let (sip, socket) = (free_port(), directory.path("api.sock"));
    let config = with_sip(&directory, sip, "");
    let mut managed = Managed::start(directory, &config);
    managed.restart();
    let mut wire = Wire::open(&socket);
    let mut call = Caller::new(sip).answered(&mut wire);
    wire.say(&json!({"id": 9, "method": "call.bridge", "params": {"call": call.id, "with": call.id}}).to_string());
    assert_eq!(wire.answer(9)["error"], Value::Null);
    call.is_echoed(0x44);
    call.hang_up();
    managed.stop();
}

#[test]
fn a_provider_whose_configuration_changed_begins_anew() {
    let directory = Directory::new();
    let (sip, socket) = (free_port(), directory.path("api.sock"));
    let config = with_sip(&directory, sip, "");
    let mut managed = Managed::start(directory, &config);
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("user = \"100\"", "user = \"200\"")).unwrap();
    managed.restart();
    let mut wire = Wire::open(&socket);
    let answer = Caller::new(sip).options();
    assert!(answer.starts_with("SIP/2.0 "), "{answer}");
    wire.say(r#"{"id":2,"method":"line.list"}"#);
    let lines = wire.answer(2)["result"]["lines"].clone();
    assert_eq!(lines.as_array().map(Vec::len), Some(1), "{lines}");
    managed.stop();
}
