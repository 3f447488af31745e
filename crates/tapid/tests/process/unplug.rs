//! Modems that are pulled out in every state of a call and plugged in again, and daemons that lose nothing by it.

use crate::daemon::{Daemon, Directory, PATIENCE, Wire};
use crate::modem::{Exchange, ask, line_of};
use crate::sound;
use serde_json::{Value, json};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Modems of each kind.
const MODEMS: usize = 5;

/// Each is pulled out so often in each of [`BATCHES`], and once before them: a hundred times in all, and in all stages.
const ROUNDS: usize = 3;
const BATCHES: usize = 3;

/// A line is out of service so soon after its modem is pulled out, on a loaded machine.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Resident memory may grow by so much in one of the later batches, in kB. What grows once, such as the memory of one more
/// thread, grows in one of them; what is lost with each call grows in all.
const GROWTH: u64 = 2 << 10;

/// What a call is in the middle of.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Idle,
    Making,
    Dialling,
    Ringback,
    Offering,
    Accepted,
    Connected,
    Held,
    Playing,
    Recording,
    Bridged,
    Conference,
}

/// What an analogue line without a second call can be in the middle of, and what the device is then asked.
const ANALOGUE: [(Stage, &str); 11] = [
    (Stage::Connected, "call.drop"),
    (Stage::Offering, "call.answer"),
    (Stage::Playing, "call.drop"),
    (Stage::Ringback, "call.drop"),
    (Stage::Bridged, "call.drop"),
    (Stage::Dialling, "call.drop"),
    (Stage::Recording, "call.send_digits"),
    (Stage::Making, "call.make"),
    (Stage::Conference, "call.drop"),
    (Stage::Accepted, "call.answer"),
    (Stage::Idle, ""),
];

/// The same of a cellular one.
const CELLULAR: [(Stage, &str); 12] = [
    (Stage::Connected, "call.hold"),
    (Stage::Conference, "call.remove_from_conference"),
    (Stage::Offering, "call.answer"),
    (Stage::Held, "call.unhold"),
    (Stage::Making, "call.make"),
    (Stage::Playing, "call.send_digits"),
    (Stage::Ringback, "call.drop"),
    (Stage::Accepted, "call.answer"),
    (Stage::Recording, "call.hold"),
    (Stage::Dialling, "call.drop"),
    (Stage::Bridged, "call.drop"),
    (Stage::Idle, ""),
];

/// What the modem does while it is asked for the last thing.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Answers {
    /// It answers, or is pulled out before.
    Yes,
    /// Nothing comes of it any more: the request is under way when it is pulled out.
    No,
}

struct Plant {
    exchange: Mutex<Exchange>,
}

impl Plant {
    /// Whether it was carried out.
    fn order(&self, words: &str) -> bool {
        self.exchange.lock().unwrap().ordered(words)
    }

    fn orders(&self, words: &str) {
        assert!(self.order(words), "{words}");
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
    /// The first of two lines that call one another, for calls that it is bridged or in a conference with.
    beside: usize,
    id: u64,
    asked: u64,
}

impl<'a> Line<'a> {
    fn open(plant: &'a Plant, daemon: &Daemon, modem: String, number: &str, beside: usize) -> Line<'a> {
        let (name, caller) = (format!("modem:{modem}"), format!("8{number}"));
        let wire = Wire::open(&daemon.socket());
        let number = number.to_owned();
        let mut line = Line { plant, wire, modem, name, number, caller, beside, id: 0, asked: 1 };
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

    /// The next event of a call that gets into this state: of this one, where one is named.
    fn until_state(&mut self, call: Option<&Value>, state: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self.wire.line();
            let params = &line["params"];
            let is = params["kind"] == "call.state" && params["state"] == state;
            if is && call.is_none_or(|call| params["call"] == *call) {
                return params.clone();
            }
            assert!(Instant::now() < deadline, "{}: no {state}", self.name);
        }
    }

    /// Brings calls into that stage: that of the modem first.
    fn begin_calls(&mut self, stage: Stage) -> Vec<Value> {
        match stage {
            Stage::Idle | Stage::Making => Vec::new(),
            Stage::Dialling | Stage::Ringback => {
                let made = self.ask("call.make", json!({"line": self.name, "to": self.mute()}))["call"].clone();
                if stage == Stage::Ringback {
                    self.until_state(Some(&made), "ringback");
                }
                vec![made]
            }
            Stage::Offering | Stage::Accepted => {
                self.plant.orders(&format!("call {} {}", self.caller, self.number));
                let call = self.until_state(None, "offering")["call"].clone();
                if stage == Stage::Accepted {
                    self.ask("call.accept", json!({"call": call}));
                }
                vec![call]
            }
            _ => {
                let call = self.answered();
                self.go_on(stage, call)
            }
        }
    }

    fn answered(&mut self) -> Value {
        self.plant.orders(&format!("call {} {}", self.caller, self.number));
        let call = self.until_state(None, "offering")["call"].clone();
        self.ask("call.answer", json!({"call": call}));
        self.until_state(Some(&call), "connected");
        call
    }

    /// What is done with a call that was answered.
    fn go_on(&mut self, stage: Stage, call: Value) -> Vec<Value> {
        match stage {
            Stage::Held => {
                self.ask("call.hold", json!({"call": call}));
                self.until_state(Some(&call), "on_hold");
            }
            Stage::Playing => {
                self.ask("call.play", json!({"call": call, "source": {"file": "tone.wav"}, "repeat": true}));
            }
            Stage::Recording => {
                let file = format!("{}-{}.wav", self.modem, self.asked);
                self.ask("call.record", json!({"call": call, "sink": {"file": file}}));
            }
            Stage::Bridged => {
                let (near, far) = self.beside();
                self.ask("call.bridge", json!({"call": call, "with": near}));
                return vec![call, near, far];
            }
            Stage::Conference if self.is_analogue() => {
                // The server mixes.
                let conference = self.ask("call.setup_conference", json!({"call": call}))["conference"].clone();
                let (near, far) = self.beside();
                self.ask("call.add_to_conference", json!({"conference": conference, "call": near}));
                self.until_state(Some(&near), "conferenced");
                return vec![call, near, far, conference];
            }
            Stage::Conference => {
                let made = self.ask("call.setup_conference", json!({"call": call, "to": format!("7{}", self.number)}));
                let (conference, other) = (made["conference"].clone(), made["consultation"].clone());
                self.until_state(Some(&other), "connected");
                self.ask("call.add_to_conference", json!({"conference": conference, "call": other}));
                self.until_state(Some(&other), "conferenced");
                return vec![call, other, conference];
            }
            _ => {}
        }
        vec![call]
    }

    /// A call between two lines that call one another, answered.
    fn beside(&mut self) -> (Value, Value) {
        let [near, far] = [self.beside, self.beside + 1].map(|at| format!("loopback:{at}"));
        for line in [&near, &far] {
            self.ask("line.open", json!({"line": line, "privileges": ["owner"]}));
        }
        let made = self.ask("call.make", json!({"line": near, "to": (self.beside + 1).to_string()}))["call"].clone();
        let offered = self.until_state(None, "offering")["call"].clone();
        self.ask("call.answer", json!({"call": offered}));
        self.until_state(Some(&made), "connected");
        (made, offered)
    }

    /// Who rings and never answers.
    fn mute(&self) -> String {
        format!("9{}", self.number)
    }

    fn is_analogue(&self) -> bool {
        self.modem.starts_with("analogue")
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
    fn round(&mut self, (stage, method): (Stage, &str), answers: Answers) {
        let mut calls = self.begin_calls(stage);
        if answers == Answers::No {
            self.plant.orders(&format!("faults {} dead", self.modem));
        }
        let asked = (!method.is_empty()).then(|| {
            let params = match (method, calls.first()) {
                ("call.make", _) => json!({"line": self.name, "to": self.mute()}),
                ("call.send_digits", Some(call)) => json!({"call": call, "digits": "15"}),
                (_, Some(call)) => json!({"call": call}),
                (_, None) => panic!("{stage:?} has no call"),
            };
            self.begin(method, params)
        });
        self.plant.orders(&format!("unplug {}", self.modem));
        if let Some(asked) = asked {
            let answer = self.wire.answer(asked);
            let failed = answer["error"] != Value::Null;
            // A voice modem answers a call in steps, each of which it must have answered; all else is done once it is told.
            let must_fail = answers == Answers::No && method == "call.answer" && self.is_analogue();
            assert!(failed || !must_fail, "{stage:?}: {method} is done by a modem that is gone: {answer}");
            assert!(failed || answer["result"] != Value::Null, "{stage:?}: {answer}");
            calls.extend(Some(answer["result"]["call"].clone()).filter(Value::is_u64));
        }
        let out = self.until_service("out", AT_ONCE);
        let reason = out["status"]["reason"].as_str().unwrap_or_default();
        assert!(!reason.is_empty(), "{stage:?}: {out}");
        self.are_over(stage, &calls);
        self.plant.order(&format!("hangup {}", self.caller));
        self.plant.orders(&format!("faults {} clean", self.modem));
        self.plant.orders(&format!("plug {}", self.modem));
        let back = self.until_service("in", PATIENCE);
        assert_eq!(back["line"], self.id, "another line");
    }

    /// The calls of the modem are over, for that reason, and nothing is left of them nor of those beside them.
    fn are_over(&mut self, stage: Stage, calls: &[Value]) {
        for call in calls {
            let found = self.begin("call.get", json!({"call": call}));
            let answer = self.wire.answer(found);
            let (info, status) = (&answer["result"]["info"], &answer["result"]["status"]);
            let over = status["state"] == "idle" || (status["state"] == "disconnected" && status["mode"] == "unavail");
            assert!(over || info["line"] != self.id || info["origin"] == "conference", "{stage:?}: {answer}");
        }
        for (call, method) in calls.iter().flat_map(|call| [(call, "call.drop"), (call, "call.deallocate")]) {
            let asked = self.begin(method, json!({"call": call}));
            self.wire.answer(asked);
        }
    }
}

impl Line<'_> {
    /// No call is left on it, nor beside it.
    fn has_no_calls(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let calls = self.ask("call.list", json!({}))["calls"].clone();
            if calls == json!([]) {
                return;
            }
            assert!(Instant::now() < deadline, "{}: {calls}", self.name);
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// What a daemon has: descriptors, threads, tasks, and resident memory in kB.
#[derive(Clone, Copy, Debug)]
struct Footprint {
    descriptors: usize,
    threads: usize,
    tasks: usize,
    resident: u64,
}

impl Footprint {
    fn of(daemon: &Daemon) -> Footprint {
        let process = daemon.process();
        let count = |what: &str| std::fs::read_dir(format!("/proc/{process}/{what}")).unwrap().count();
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let resident = resident.trim().trim_end_matches("kB").trim().parse().unwrap();
        Footprint { descriptors: count("fd"), threads: count("task"), tasks: tasks(daemon), resident }
    }

    /// Once there are no more descriptors and tasks than that; what ends takes its time.
    fn once_within(daemon: &Daemon, bound: Footprint) -> Footprint {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = Footprint::of(daemon);
            if now.descriptors <= bound.descriptors && now.tasks <= bound.tasks {
                return now;
            }
            assert!(Instant::now() < deadline, "{bound:?}, then {now:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Tasks of the daemon that have not ended, which it tells when it is asked by a signal.
fn tasks(daemon: &Daemon) -> usize {
    let told = |log: &str| -> Vec<usize> {
        let lines = log.lines().filter(|line| line.contains("inventory"));
        lines.map(|line| line.split("tasks=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap()).collect()
    };
    let before = told(&daemon.directory.read("log")).len();
    daemon.signal("USR1");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = told(&daemon.directory.read("log"));
        if now.len() > before {
            return now[before];
        }
        assert!(Instant::now() < deadline, "no inventory");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The analogue ones are named, the dongles are found.
fn started(directory: Directory, analogue: usize) -> Daemon {
    for name in ["media", "records"] {
        std::fs::create_dir(directory.path(name)).unwrap();
    }
    sound::write_tone(&directory.path("media/tone.wav"), 440.0, 1.0, -10.0);
    let mut config = format!(
        "[daemon]\nsocket = {:?}\nreplay_events = 500\nmedia_directories = [{:?}]\nrecord_directory = {:?}\n\
         [modems]\ndiscover = false\ndirectory = {:?}\nprofiles = []\nsettle_ms = 20\n\
         [[loopback]]\nname = \"loopback\"\nlines = {}\n",
        directory.path("api.sock"),
        directory.path("media"),
        directory.path("records"),
        directory.path(""),
        MODEMS * 4
    );
    for at in 0..analogue {
        let device = directory.path(&format!("analogue{at}"));
        config += &format!("[[modem]]\nname = \"analogue{at}\"\ndevice = {device:?}\nprofile = \"v253\"\n");
    }
    let file = directory.path("tapid.toml");
    std::fs::write(&file, config).unwrap();
    Daemon::start(directory, &file)
}

/// The modems with their numbers, analogue ones first; for each one who calls it, one who never answers, and one who does.
fn planted(directory: &Directory) -> (Plant, Vec<(String, String)>) {
    let (mut words, mut modems) = (Vec::new(), Vec::new());
    for (kind, prefix) in [("analogue", "49301"), ("cellular", "49302")] {
        for at in 0..MODEMS {
            let number = format!("{prefix}{at}");
            words.extend([format!("--{kind}"), number.clone()]);
            for who in [format!("8{number}=tone:440"), format!("9{number}=never"), format!("7{number}=answer:100ms")] {
                words.extend(["--subscriber".into(), who]);
            }
            modems.push((format!("{kind}{at}"), number));
        }
    }
    (Plant { exchange: Mutex::new(Exchange::with(directory, &words)) }, modems)
}

/// One batch: each line goes on in the list of its stages where it was, and each begins elsewhere.
fn batch(lines: &mut [Line<'_>], first: usize) {
    std::thread::scope(|scope| {
        for (at, line) in lines.iter_mut().enumerate() {
            scope.spawn(move || {
                let stages: &[(Stage, &str)] = if line.is_analogue() { &ANALOGUE } else { &CELLULAR };
                for round in first..first + ROUNDS {
                    let answers = if (round + at) % 2 == 0 { Answers::No } else { Answers::Yes };
                    line.round(stages[(at % MODEMS * 3 + round) % stages.len()], answers);
                }
            });
        }
    });
    lines.iter_mut().for_each(Line::has_no_calls);
}

#[test]
fn modems_are_pulled_out_a_hundred_times_and_come_back_as_the_same_lines() {
    let directory = Directory::new();
    let (plant, modems) = planted(&directory);
    let daemon = started(directory, MODEMS);
    let mut lines: Vec<Line<'_>> = Vec::new();
    for (at, (modem, number)) in modems.into_iter().enumerate() {
        lines.push(Line::open(&plant, &daemon, modem, &number, at * 2));
    }
    std::thread::scope(|scope| {
        lines.iter_mut().for_each(|line| drop(scope.spawn(|| line.round((Stage::Idle, ""), Answers::Yes))));
    });
    let before = Footprint::of(&daemon);
    let mut after = Vec::new();
    for number in 0..BATCHES {
        batch(&mut lines, number * ROUNDS);
        after.push(Footprint::once_within(&daemon, before));
    }
    // Files and terminals are opened by threads that idle for ten seconds before they end.
    assert!(after.iter().all(|after| after.threads <= before.threads + 16), "threads: {before:?}, then {after:?}");
    let growth = after.windows(2).map(|pair| pair[1].resident.saturating_sub(pair[0].resident)).min();
    assert!(growth.is_some_and(|growth| growth <= GROWTH), "memory: {before:?}, then {after:?}");
}

#[test]
fn a_modem_that_says_nothing_any_more_holds_up_no_other_line() {
    let directory = Directory::new();
    let words = ["--analogue", "4930100", "--analogue", "4930101", "--subscriber", "4930300=tone:440,answer:300ms"];
    let exchange = Exchange::with(&directory, &words.map(str::to_owned));
    let daemon = started(directory, 2);
    let plant = Plant { exchange: Mutex::new(exchange) };
    let mut wedged = Line::open(&plant, &daemon, "analogue0".into(), "4930100", 0);
    let mut other = Line::open(&plant, &daemon, "analogue1".into(), "4930101", 2);
    plant.orders("faults analogue0 dead");
    wedged.begin("call.make", json!({"line": "modem:analogue0", "to": "4930300"}));
    let made = other.ask("call.make", json!({"line": "modem:analogue1", "to": "4930300"}));
    other.until_state(None, "connected");
    other.ask("call.drop", json!({"call": made["call"]}));
    let out = wedged.until_service("out", PATIENCE * 3);
    assert!(!out["status"]["reason"].as_str().unwrap_or_default().is_empty(), "{out}");
    assert!(line_of(&mut other.wire, 900, "modem:analogue1").is_some_and(|line| line["status"]["service"] == "in"));
}
