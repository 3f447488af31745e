//! `[[policy]]`, the ledger and `[[rights]]`: what is configured is what happens to real calls and to other users.

use crate::daemon::{Daemon, Directory, PATIENCE, Wire};
use crate::sound;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Loopback lines, an application on `l:0` alone, and these further sections.
fn started(lines: u32, daemon: &str, sections: &str) -> (Daemon, Wire) {
    let directory = Directory::new();
    let (file, own) = (directory.path("tapid.toml"), directory.path(""));
    let config = format!(
        "[daemon]\nsocket = {:?}\nledger = {:?}\nmedia_directories = [{own:?}]\n{daemon}\n[[loopback]]\nname = \"l\"\n\
         lines = {lines}\n\n{sections}",
        directory.path("api.sock"),
        directory.path("calls.jsonl")
    );
    std::fs::write(&file, config).unwrap();
    sound::write_tone(&directory.path("closed.wav"), 440.0, 0.6, -10.0);
    let daemon = Daemon::start(directory, &file);
    let mut wire = Wire::open(&daemon.socket());
    ask(&mut wire, "line.open", json!({"line": "l:0", "privileges": ["owner"]})).unwrap();
    (daemon, wire)
}

fn ask(wire: &mut Wire, method: &str, params: Value) -> Result<Value, String> {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(100);
    let id = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    wire.say(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string());
    let answer = wire.answer(id);
    match &answer["error"] {
        Value::Null => Ok(answer["result"].clone()),
        error => Err(error.to_string()),
    }
}

/// Calls a number from `l:0`; the states of the call until it is over, each with its mode, and the call.
fn call(wire: &mut Wire, to: &str) -> (u64, Vec<String>) {
    let made = ask(wire, "call.make", json!({"line": "l:0", "to": to})).unwrap();
    let call = made["call"].as_u64().unwrap();
    let mut states = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let event = wire.line();
        let body = &event["params"];
        if body["kind"] != "call.state" || body["call"] != call {
            continue;
        }
        let name = body["state"].as_str().unwrap_or_default().to_owned();
        let mode = body["mode"].as_str().map(|mode| format!(" {mode}")).unwrap_or_default();
        states.push(format!("{name}{mode}"));
        if name == "disconnected" || name == "idle" {
            break;
        }
    }
    (call, states)
}

/// The ledger, by line, once it has so many.
fn ledger(daemon: &Daemon, entries: usize) -> BTreeMap<String, Vec<Value>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = daemon.directory.read("calls.jsonl");
        let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        if lines.len() >= entries {
            let mut by_line = BTreeMap::<String, Vec<Value>>::new();
            for line in lines {
                by_line.entry(line["line"].as_str().unwrap().to_owned()).or_default().push(line);
            }
            return by_line;
        }
        assert!(Instant::now() < deadline, "the ledger has {} of {entries} lines: {text}", lines.len());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

const POLICIES: &str = "[[policy]]\nlines = [\"l:1\"]\naction = \"reject\"\ncause = \"do_not_disturb\"\n\n\
    [[policy]]\nlines = [\"l:2\"]\naction = \"ring\"\ntimeout_s = 1\n\n\
    [[policy]]\nlines = [\"l:3\"]\naction = \"play\"\nfile = \"closed.wav\"\n\n\
    [[policy]]\nlines = [\"l:4\"]\naction = \"forward\"\nto = \"l:1\"\nhow = \"bridge\"\n\n";

#[test]
fn calls_that_nobody_takes_go_the_way_of_their_lines_policy_and_are_written_down() {
    let (daemon, mut wire) = started(6, "", POLICIES);
    // The last line has no policy.
    let cases = [("l:1", "do_not_disturb"), ("l:2", "no_answer"), ("l:4", "do_not_disturb")];
    for (to, mode) in cases {
        let begun = Instant::now();
        let (_, states) = call(&mut wire, to);
        assert_eq!(
            states.last().map(String::as_str),
            Some(format!("disconnected {mode}").as_str()),
            "{to}: {states:?}"
        );
        if to == "l:2" {
            assert!(states.iter().any(|state| state.starts_with("ringback")), "it rang: {states:?}");
            assert!(begun.elapsed().as_millis() >= 950, "for a second: {:?}", begun.elapsed());
        }
    }
    let (_, states) = call(&mut wire, "l:5");
    assert!(states.last().unwrap().starts_with("disconnected"), "without a policy it is turned away: {states:?}");

    let begun = Instant::now();
    let (played, states) = call(&mut wire, "l:3");
    assert!(states.iter().any(|state| state.starts_with("connected")), "it is answered: {states:?}");
    assert_eq!(states.last().map(String::as_str), Some("disconnected normal"));
    assert!(begun.elapsed().as_millis() >= 580, "it hears the whole file: {:?}", begun.elapsed());

    drop(wire);
    let ledger = ledger(&daemon, 12);
    let of = |line: &str| &ledger[line];
    assert_eq!(of("l:0").len(), 5, "a line for each leg: {ledger:#?}");
    let own = of("l:0").iter().find(|entry| entry["call"] == played).unwrap();
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    assert_eq!((text(own, "origin"), text(own, "app")), ("outbound".into(), "test".into()));
    assert_eq!(own["called"]["address"], "l:3");
    let (began, answered, ended) = (&own["began"], &own["answered"], &own["ended"]);
    assert!(began.as_u64() <= answered.as_u64() && answered.as_u64() < ended.as_u64(), "{own}");
    let at_policy = &of("l:3")[0];
    assert!(at_policy["answered"].is_u64() && at_policy["app"].is_null(), "the server answered it itself: {at_policy}");
    assert!(of("l:2")[0]["answered"].is_null());
    assert_eq!(of("l:1")[0]["cause"]["mode"], "do_not_disturb");
    let uids: std::collections::BTreeSet<String> = ledger.values().flatten().map(|entry| text(entry, "uid")).collect();
    assert_eq!(uids.len(), ledger.values().map(Vec::len).sum::<usize>(), "each has a name of its own");
}

/// A client that becomes another user: says its requests, and prints the answers.
const CLIENT: &str = r#"
import json, os, socket, sys
s = socket.socket(socket.AF_UNIX)
try:
    s.connect(sys.argv[1])
except PermissionError as error:
    print(json.dumps({"error": {"message": str(error)}})); sys.exit()
f = s.makefile("rw")
hello = f.readline()
requests = [["client.open", {"app": "other"}]] + json.loads(sys.argv[2])
for n, (method, params) in enumerate(requests):
    f.write(json.dumps({"jsonrpc": "2.0", "id": n, "method": method, "params": params}) + "\n"); f.flush()
    while True:
        line = f.readline()
        if not line:
            print(json.dumps({"closed": True})); sys.exit()
        line = json.loads(line)
        if line.get("id") == n:
            break
    if n:
        print(json.dumps(line), flush=True)
"#;

/// What `nobody` gets for these requests.
fn as_nobody(daemon: &Daemon, requests: &Value) -> Vec<Value> {
    use std::os::unix::process::CommandExt;
    let mut child = Command::new("python3")
        .args(["-c", CLIENT])
        .arg(daemon.socket())
        .arg(requests.to_string())
        .uid(65_534)
        .gid(65_534)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap_or_else(|error| panic!("python3: {error}: run 'apt-get install python3'"));
    let output = child.wait_with_output_within();
    output.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

trait Within {
    fn wait_with_output_within(&mut self) -> String;
}

impl Within for std::process::Child {
    fn wait_with_output_within(&mut self) -> String {
        let deadline = Instant::now() + PATIENCE;
        while self.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                drop(self.kill());
                panic!("the client does not end");
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let mut text = String::new();
        std::io::Read::read_to_string(&mut self.stdout.take().unwrap(), &mut text).unwrap();
        text
    }
}

#[test]
fn what_no_rule_allows_another_user_does_not_get() {
    assert!(nix::unistd::geteuid().is_root(), "this test becomes another user: run it as root");
    let rules = "[[rights]]\nlines = [\"l:1\"]\nusers = [65534]\nallow = [\"originate\", \"own\"]\n\n\
                 [[rights]]\nlines = [\"l:2\"]\nusers = [65534]\nallow = [\"monitor\"]\n";
    let (daemon, mut wire) = started(4, "socket_mode = \"0666\"\nallow_users = [65534]\n", rules);
    std::fs::set_permissions(daemon.directory.path(""), std::fs::Permissions::from_mode(0o755)).unwrap();
    let open = |line: &str, privilege: &str| json!(["line.open", {"line": line, "privileges": [privilege]}]);
    let make = |line: &str| json!(["call.make", {"line": line, "to": "busy"}]);
    let requests = json!([
        ["line.list", {}],
        open("l:1", "owner"),
        make("l:1"),
        open("l:1", "monitor"),
        open("l:2", "monitor"),
        open("l:2", "owner"),
        make("l:2"),
        open("l:3", "none"),
        ["line.trace", {"line": "l:1"}],
        ["line.set_policy", {"line": "l:1", "policy": null}],
    ]);
    let answers = as_nobody(&daemon, &requests);
    assert_eq!(answers.len(), 10, "{answers:#?}");
    let names: Vec<&str> =
        answers[0]["result"]["lines"].as_array().unwrap().iter().map(|line| line["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["l:1", "l:2"], "other lines are not there at all");
    let outcome: Vec<String> = answers[1..]
        .iter()
        .map(|answer| {
            answer["error"]["data"]["lineerr"]
                .as_str()
                .or(answer["error"]["message"].as_str())
                .unwrap_or("ok")
                .to_owned()
        })
        .collect();
    let refused = |at: usize, why: &str| assert!(outcome[at].contains(why), "{at}: {outcome:#?}");
    for allowed in [0, 1, 3] {
        refused(allowed, "ok");
    }
    for forbidden in [2, 4, 5, 7, 8] {
        assert_ne!(outcome[forbidden], "ok", "{forbidden}: {outcome:#?}");
    }
    assert_ne!(outcome[6], "ok");
    // Root may do everything still.
    assert!(ask(&mut wire, "line.open", json!({"line": "l:3", "privileges": ["owner"]})).is_ok());
}
