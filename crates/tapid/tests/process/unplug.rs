//! Modems that are pulled out in every state of a call and plugged in again, and daemons that lose nothing by it.

use crate::daemon::{Daemon, Directory, PATIENCE, Wire};
use crate::modem::{Exchange, ask, line_of};
use serde_json::{Value, json};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Modems of each kind; each is pulled out [`ROUNDS`] times: a hundred in all.
const MODEMS: usize = 4;
const ROUNDS: usize = 13;

/// A line is out of service so soon after its modem is pulled out, on a loaded machine.
const AT_ONCE: Duration = Duration::from_secs(2);

/// What a call is in the middle of.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Idle,
    Offering,
    Connected,
    Dialling,
    Held,
}

struct Plant {
    exchange: Mutex<Exchange>,
}

impl Plant {
    fn order(&self, words: &str) {
        self.exchange.lock().unwrap().order(words);
    }
}

/// One modem, its line and its application.
struct Line<'a> {
    plant: &'a Plant,
    wire: Wire,
    modem: String,
    name: String,
    number: String,
    caller: String,
    id: u64,
    asked: u64,
}

impl<'a> Line<'a> {
    fn open(plant: &'a Plant, daemon: &Daemon, modem: String, number: &str) -> Line<'a> {
        let (name, caller) = (format!("modem:{modem}"), format!("8{number}"));
        let wire = Wire::open(&daemon.socket());
        let mut line = Line { plant, wire, modem, name, number: number.to_owned(), caller, id: 0, asked: 1 };
        let found = line.until_service("in", PATIENCE);
        line.id = found["line"].as_u64().unwrap();
        let name = line.name.clone();
        line.ask("line.open", json!({"line": name, "privileges": ["owner"]}));
        line
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        ask(&mut self.wire, self.asked, method, params)
    }

    /// Asks and does not wait: the number of the request.
    fn begin(&mut self, method: &str, params: Value) -> u64 {
        self.asked += 1;
        self.wire.say(&json!({"id": self.asked, "method": method, "params": params}).to_string());
        self.asked
    }

    fn until_state(&mut self, state: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self.wire.line();
            if line["params"]["kind"] == "call.state" && line["params"]["state"] == state {
                return line["params"].clone();
            }
            assert!(Instant::now() < deadline, "{}: no {state}", self.name);
        }
    }

    /// Brings a call into that stage.
    fn begin_call(&mut self, stage: Stage) -> Option<Value> {
        match stage {
            Stage::Idle => None,
            Stage::Dialling => {
                let made = self.ask("call.make", json!({"line": self.name, "to": "49399"}));
                Some(made["call"].clone())
            }
            Stage::Offering | Stage::Connected | Stage::Held => {
                self.plant.order(&format!("call {} {}", self.caller, self.number));
                let call = self.until_state("offering")["call"].clone();
                if stage != Stage::Offering {
                    self.ask("call.answer", json!({"call": call}));
                    self.until_state("connected");
                }
                if stage == Stage::Held {
                    self.ask("call.hold", json!({"call": call}));
                    self.until_state("on_hold");
                }
                Some(call)
            }
        }
    }

    fn until_service(&mut self, state: &str, patience: Duration) -> Value {
        let deadline = Instant::now() + patience;
        loop {
            self.asked += 1;
            let found = line_of(&mut self.wire, self.asked, &self.name);
            if found.as_ref().is_some_and(|found| found["status"]["service"] == state) {
                return found.unwrap();
            }
            assert!(Instant::now() < deadline, "{} is not {state}: {found:?}", self.name);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Pulled out and plugged in again, in the middle of that.
    fn round(&mut self, stage: Stage) {
        let call = self.begin_call(stage);
        // Something that is under way when it happens.
        let asked = call.as_ref().map(|call| match stage {
            Stage::Connected => self.begin("call.generate_digits", json!({"call": call, "digits": "1"})),
            Stage::Offering => self.begin("call.accept", json!({"call": call})),
            _ => self.begin("call.get", json!({"call": call})),
        });
        self.plant.order(&format!("unplug {}", self.modem));
        if let Some(asked) = asked {
            // It is answered, whichever way.
            self.wire.answer(asked);
        }
        let out = self.until_service("out", AT_ONCE);
        let reason = out["status"]["reason"].as_str().unwrap_or_default().to_owned();
        assert!(!reason.is_empty(), "{stage:?}: {out}");
        if let Some(call) = &call {
            self.asked += 1;
            let params = json!({"call": call});
            self.wire.say(&json!({"id": self.asked, "method": "call.get", "params": params}).to_string());
            let answer = self.wire.answer(self.asked);
            let status = &answer["result"]["status"];
            let over = status["state"] == "idle" || (status["state"] == "disconnected" && status["mode"] == "unavail");
            assert!(over, "{stage:?}: {answer}");
            self.begin("call.drop", json!({"call": call}));
            self.wire.answer(self.asked);
            self.begin("call.deallocate", json!({"call": call}));
            self.wire.answer(self.asked);
        }
        self.plant.order(&format!("hangup {}", self.caller));
        self.plant.order(&format!("plug {}", self.modem));
        let back = self.until_service("in", PATIENCE);
        assert_eq!(back["line"], self.id, "another line");
    }
}

impl Line<'_> {
    /// No call is left on it.
    fn has_no_calls(&mut self) {
        let calls = self.ask("call.list", json!({"line": self.name}))["calls"].clone();
        assert_eq!(calls, json!([]), "{}", self.name);
    }
}

/// Open descriptors, threads, and resident memory in kB.
fn footprint(process: u32) -> (usize, usize, u64) {
    let count = |what: &str| std::fs::read_dir(format!("/proc/{process}/{what}")).unwrap().count();
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    (count("fd"), count("task"), resident.trim().trim_end_matches("kB").trim().parse().unwrap())
}

/// The analogue ones are named, the dongles are found.
fn started(directory: Directory, analogue: usize) -> Daemon {
    let mut config = format!(
        "[daemon]\nsocket = {:?}\n[modems]\ndiscover = false\ndirectory = {:?}\nprofiles = []\nsettle_ms = 20\n",
        directory.path("api.sock"),
        directory.path("")
    );
    for at in 0..analogue {
        let device = directory.path(&format!("analogue{at}"));
        config += &format!("[[modem]]\nname = \"analogue{at}\"\ndevice = {device:?}\nprofile = \"v253\"\n");
    }
    let file = directory.path("tapid.toml");
    std::fs::write(&file, config).unwrap();
    Daemon::start(directory, &file)
}

#[test]
fn modems_are_pulled_out_a_hundred_times_and_come_back_as_the_same_lines() {
    let directory = Directory::new();
    let numbers = |kind: &str| -> Vec<String> { (0..MODEMS).map(|at| format!("{kind}{at}")).collect() };
    let (analogue, cellular) = (numbers("49301"), numbers("49302"));
    let mut words: Vec<String> = vec!["--subscriber".into(), "49399=never".into()];
    for (kind, numbers) in [("--analogue", &analogue), ("--cellular", &cellular)] {
        for number in numbers {
            words.extend([kind.to_owned(), number.clone(), "--subscriber".to_owned(), format!("8{number}=tone:440")]);
        }
    }
    let exchange = Exchange::with(&directory, &words);
    let daemon = started(directory, MODEMS);
    let plant = Plant { exchange: Mutex::new(exchange) };
    let mut lines: Vec<Line<'_>> = Vec::new();
    for (kind, numbers) in [("analogue", &analogue), ("cellular", &cellular)] {
        for (at, number) in numbers.iter().enumerate() {
            lines.push(Line::open(&plant, &daemon, format!("{kind}{at}"), number));
        }
    }
    lines.iter_mut().for_each(|line| line.round(Stage::Idle));
    let before = footprint(daemon.process());
    std::thread::scope(|scope| {
        for line in &mut lines {
            scope.spawn(|| {
                let analogue = line.modem.starts_with("analogue");
                let stages: &[Stage] = if analogue {
                    &[Stage::Connected, Stage::Offering, Stage::Dialling, Stage::Idle]
                } else {
                    &[Stage::Connected, Stage::Held, Stage::Offering, Stage::Dialling, Stage::Idle]
                };
                (1..ROUNDS).for_each(|round| line.round(stages[round % stages.len()]));
            });
        }
    });
    lines.iter_mut().for_each(Line::has_no_calls);
    let after = footprint(daemon.process());
    assert!(after.0 <= before.0, "descriptors: {before:?}, then {after:?}");
    // Files and terminals are opened by threads that idle for ten seconds before they end.
    assert!(after.1 <= before.1 + 16, "threads: {before:?}, then {after:?}");
    assert!(after.2 <= before.2 + (16 << 10), "memory: {before:?}, then {after:?}");
}

#[test]
fn a_modem_that_says_nothing_any_more_holds_up_no_other_line() {
    let directory = Directory::new();
    let words = ["--analogue", "4930100", "--analogue", "4930101", "--subscriber", "4930300=tone:440,answer:300ms"];
    let exchange = Exchange::with(&directory, &words.map(str::to_owned));
    let daemon = started(directory, 2);
    let plant = Plant { exchange: Mutex::new(exchange) };
    let mut wedged = Line::open(&plant, &daemon, "analogue0".into(), "4930100");
    let mut other = Line::open(&plant, &daemon, "analogue1".into(), "4930101");
    plant.order("faults analogue0 dead");
    wedged.begin("call.make", json!({"line": "modem:analogue0", "to": "4930300"}));
    let made = other.ask("call.make", json!({"line": "modem:analogue1", "to": "4930300"}));
    other.until_state("connected");
    other.ask("call.drop", json!({"call": made["call"]}));
    let out = wedged.until_service("out", PATIENCE * 3);
    assert!(!out["status"]["reason"].as_str().unwrap_or_default().is_empty(), "{out}");
    assert!(line_of(&mut other.wire, 900, "modem:analogue1").is_some_and(|line| line["status"]["service"] == "in"));
}
