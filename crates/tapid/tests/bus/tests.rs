//! What a user of the bus sees.

use crate::bus::OnBus;
use crate::daemon::PATIENCE;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};
use tapi::client::blocking::Client;
use tapi::request::{CallMonitorDigits, CallSetPrivilege, ClientOpen, LineOpen};
use tapi::{CallId, Delivered, EventBody, LineSelector, Names, Privilege};

/// Somebody on the socket who watches both lines.
pub struct Watcher {
    pub client: Client,
    pub seen: Vec<Delivered>,
}

impl Watcher {
    pub fn open(socket: &Path) -> Watcher {
        let mut client = Client::connect_within(socket, PATIENCE).unwrap();
        client.call(ClientOpen { app: "watcher".into(), ..ClientOpen::default() }).unwrap();
        for line in ["loopback:0", "loopback:1"] {
            let (line, privileges) = (LineSelector::Name(line.into()), Names::from([Privilege::Monitor]));
            client.call(LineOpen { line, privileges, media_modes: Names::new() }).unwrap();
        }
        Watcher { client, seen: Vec::new() }
    }

    pub fn wait(&mut self, what: &str, pick: impl Fn(&Delivered) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !self.seen.iter().any(&pick) {
            assert!(Instant::now() < deadline, "no {what}; seen: {:#?}", self.seen);
            let event = self.client.next_event(Some(Duration::from_millis(100))).unwrap();
            self.seen.extend(event);
        }
    }

    pub fn until(&mut self, call: CallId, state: &str) {
        self.wait(state, |seen| match &seen.event.body {
            EventBody::CallState { call: of, state: now, .. } => *of == call && now.name() == state,
            _ => false,
        });
    }
}

pub fn id(path: &Value) -> CallId {
    CallId(path.as_str().unwrap().rsplit('/').next().unwrap().parse().unwrap())
}

#[test]
fn a_whole_call_on_the_bus_is_the_same_story_on_the_socket() {
    let on_bus = OnBus::start("");
    let mut watcher = Watcher::open(&on_bus.daemon.socket());
    let directory = on_bus.daemon.directory.path("");
    let mut python = on_bus.python(&["call", directory.to_str().unwrap()], None);
    let ringing = python.tells();
    let calls = [id(&ringing["caller"]), id(&ringing["called"])];
    for call in calls {
        watcher.wait(
            "new call",
            |seen| matches!(&seen.event.body, EventBody::CallNew { call: new } if new.info.call == call),
        );
        watcher.client.call(CallMonitorDigits { call, on: true }).unwrap();
        watcher.client.call(CallSetPrivilege { call, privilege: Privilege::Owner }).unwrap();
    }
    let done = python.tells();
    for call in calls {
        watcher.until(call, "idle");
    }
    // From where both own the calls and listen, they are told the same events: same numbers, same order.
    let mark = done["mark"].as_u64().unwrap();
    let on_socket: Vec<Value> = watcher
        .seen
        .iter()
        .filter(|seen| seen.event.seq > mark)
        .filter_map(|seen| match &seen.event.body {
            EventBody::CallState { call, state, .. } => {
                Some(json!([seen.event.seq, "StateChanged", call.to_string(), state.name()]))
            }
            EventBody::CallDigit { call, digit, .. } => {
                Some(json!([seen.event.seq, "Digit", call.to_string(), digit.to_string()]))
            }
            _ => None,
        })
        .collect();
    let story = done["story"].as_array().unwrap();
    let on_the_bus: Vec<Value> = story.iter().filter(|event| event[0].as_u64().unwrap() > mark).cloned().collect();
    assert_eq!(on_socket, on_the_bus);
    assert!(on_the_bus.len() >= 8, "{on_the_bus:?}");
}

#[test]
fn the_calls_of_a_client_that_dies_are_hung_up() {
    let on_bus = OnBus::start("");
    let mut watcher = Watcher::open(&on_bus.daemon.socket());
    let mut python = on_bus.python(&["hold_on"], None);
    let call = id(&python.tells()["call"]);
    watcher
        .wait("new call", |seen| matches!(&seen.event.body, EventBody::CallNew { call: new } if new.info.call == call));
    python.kill();
    watcher.until(call, "idle");
}

#[test]
fn the_tools_of_the_bus_introspect_and_call() {
    let on_bus = OnBus::start("");
    let root = "/org/tapid/Telephony1";
    let name = "org.tapid.Telephony1";
    let tree = on_bus.tool("systemd", "busctl", &["--user", "tree", name]);
    assert!(tree.contains(&format!("{root}/line/")) && tree.contains("/address/0"), "{tree}");
    let lines =
        on_bus.tool("systemd", "busctl", &["--user", "get-property", name, root, &format!("{name}.Server"), "Lines"]);
    let line = lines.split('"').nth(1).expect("a line").to_string();
    let seen = on_bus.tool("systemd", "busctl", &["--user", "introspect", name, &line]);
    for member in [".MakeCall", ".StatusChanged", ".Features", "loopback:0"] {
        assert!(seen.contains(member), "{member} is missing: {seen}");
    }
    let interface = format!("{name}.Line");
    on_bus.tool("systemd", "busctl", &["--user", "call", name, &line, &interface, "Open", "a{sv}", "0"]);
    let tool = ["introspect", "--session", "--recurse", "--dest", name, "--object-path", root];
    let seen = on_bus.tool("libglib2.0-bin", "gdbus", &tool);
    assert!(seen.contains("interface org.tapid.Telephony1.Address"), "{seen}");
    let get = format!("{name}.Server.GetState");
    let state = on_bus.tool(
        "libglib2.0-bin",
        "gdbus",
        &["call", "--session", "--dest", name, "--object-path", root, "--method", &get],
    );
    assert!(state.contains("loopback:1"), "{state}");
}

#[test]
fn a_user_without_rights_sees_nothing() {
    assert!(nix::unistd::geteuid().is_root(), "this test becomes another user: run it as root");
    let on_bus = OnBus::start("");
    let mut python = on_bus.python(&["limited"], Some(65_534));
    assert_eq!(python.tells(), json!({ "step": "sees", "lines": 0 }));
}

#[test]
fn a_rule_of_the_configuration_holds_on_the_bus() {
    assert!(nix::unistd::geteuid().is_root(), "this test becomes another user: run it as root");
    let rule = "[[rights]]\nlines = [\"*\"]\nusers = [65534]\nallow = [\"monitor\"]\n";
    let on_bus = OnBus::start(rule);
    let mut python = on_bus.python(&["limited"], Some(65_534));
    assert_eq!(python.tells(), json!({ "step": "sees", "lines": 2 }));
    assert_eq!(python.tells()["error"], "org.tapid.Telephony1.Error.NotRegistered");
}

#[test]
fn the_policy_kit_allows_what_the_configuration_does_not() {
    assert!(nix::unistd::geteuid().is_root(), "this test becomes another user: run it as root");
    let on_bus = OnBus::start("");
    let mut authority = on_bus.python(&["authority", "see", "monitor"], None);
    assert_eq!(authority.tells()["step"], "ready");
    let mut python = on_bus.python(&["limited"], Some(65_534));
    assert_eq!(python.tells(), json!({ "step": "sees", "lines": 2 }));
    assert_eq!(python.tells()["error"], "org.tapid.Telephony1.Error.NotRegistered");
    let asked: Vec<Value> =
        (0..3).map(|_| authority.tells()).map(|said| json!([said["right"], said["line"]])).collect();
    assert_eq!(asked, [json!(["see", null]), json!(["monitor", "loopback:0"]), json!(["originate", "loopback:0"])]);
}
