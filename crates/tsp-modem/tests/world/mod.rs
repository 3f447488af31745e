//! Runs transcripts: small texts of what crosses the port of a modem, and of what the server is told.
//!
//! ```text
//! profile v253             which profile; `audio` after it: with an audio port, `pin=1234`: with this PIN (`refused` after it: once refused), `office=etsi`: with
//!                          these services of the exchange, `polarity=ends`: and reversals that say so, `without=end_held`: but for this one, `features`: what the line can do now is told too, `soft`: whether 0x11 and 0x13 are flow control too
//! ready                    from the beginning until the modem, which takes everything, is asked no more
//! include NAME             the steps of another transcript
//! > ATDT5551234            the modem must be sent this line (deadlines up to a second ahead may pass first)
//! > <DLE>^                 … or these bytes inside a stream
//! > mark                   … or the marker by which the engine finds its place
//! < mark                   the modem shows the marker's number
//! < OK                     the modem says this line
//! << 10 03                 the modem sends these bytes
//! << 80*160                … one of them so often
//! @ 500                    so many milliseconds go by
//! ~ 8000                   the same, and every AT+CLCC meanwhile is answered by OK
//! ! *                      whatever the server was told
//! ! 1 released remote busy the server must be told this (order matters, traces aside)
//! $ make 5551234           the server's command: make, hide (make with our number withheld), answer, accept, drop, hold, unhold, digits, close, shutdown,
//!                          dial 1 234 (more digits of call 1), heard 1 voice (in the audio), swap, conference, leave, transfer, redirect, forward, message, ussd, ussd-cancel, pin, pass
//! = opened 0               a port is open; `= closed 0 unplugged`: it is gone
//! = frame                  20 ms of audio are to be sent; `= quiet`: of next to nothing
//! = number +491701         the network told this number of ours, while the modem was made ready
//! = heard 2                so many frames were heard since the last time; `= silent 1`: the last one of them is silence; `= wrote 320`: audio bytes written
//! ```

use std::collections::VecDeque;
use tapi::{DeviceEvent, DeviceRequest, Feature, ForwardRule, OperationId, Party, PartyFlag, Service, Time};
use tsp_modem::{AT_PORT, Catalogue, Clues, Config, Modem, Office, Profile, RefusedPin};
use tspi::{
    Action, CallFacts, CallParams, CallRef, Command, CommandId, Event, Frame, Input, LineChange, LocalMedia, Output,
    PortId, Provider, ReleasedBy, Report, StreamId, Taken,
};

/// How a transcript is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "each test file uses some")]
pub enum Way<'a> {
    /// As it stands.
    Plain,
    /// Every byte of the modem alone.
    Bytewise,
    /// The modem's bytes cut after these many, again and again.
    Cut(&'a [usize]),
    /// The machine is written out and read in after every step.
    Kept,
    /// Before every line of the modem comes this one.
    Interrupted(&'a str),
    /// Lines without the leading CR LF, ended by CR CR LF.
    BadlyFramed,
}

pub struct World<'a> {
    modem: Modem,
    way: Way<'a>,
    now: Time,
    writes: VecDeque<String>,
    pub told: VecDeque<String>,
    pub traces: Vec<String>,
    pub heard: Vec<Frame>,
    last: Vec<Frame>,
    pub wrote: Vec<u8>,
    commands: u64,
    turn: usize,
    pub recorder: Option<(tsp_modem::transcript::Recorder, String)>,
    stream: StreamId,
    mark: String,
    step: String,
    features: bool,
    soft: bool,
    number: String,
}

pub fn profile(id: &str) -> Profile {
    let text = match id.split_once('+') {
        // Variants of a built-in profile: one whose modem concludes the answer by itself.
        Some(("v253", "prefix")) => {
            include_str!("../../profiles/v253.toml").replace("ATDT{n};\"", "ATDT{n}\"\nblock_prefix = \"*67,\"")
        }
        Some(("v253", "listen")) => {
            include_str!("../../profiles/v253.toml").replace("ringback_gone_ms", "listen = \"calls\", ringback_gone_ms")
        }
        Some(("huawei-e1550", "reports")) => {
            include_str!("../../profiles/huawei-e1550.toml").replace("[cell.sms]\n", "[cell.sms]\nreports = true\n")
        }
        Some(("27007", "host")) => {
            include_str!("../../profiles/27007.toml").replace("[cell]\n", "[cell]\naudio_pace = \"host\"\n")
        }
        Some(("v253", "result")) => include_str!("../../profiles/v253.toml").replace("ATDT{n};", "ATDT{n}"),
        Some((_, other)) => panic!("no variant {other}"),
        None => return Profile::builtin(id).unwrap_or_else(|| panic!("no profile {id}")),
    };
    Profile::parse(&text).unwrap()
}

impl<'a> World<'a> {
    pub fn new(profile_id: &str, options: &str, way: Way<'a>) -> World<'a> {
        let mut config = Config {
            name: "modem".into(),
            line_name: "modem:test".into(),
            audio: options.contains("audio"),
            ..Config::default()
        };
        let option = |key: &str| options.split_whitespace().find_map(|word| word.strip_prefix(key));
        if let Some(office) = option("office=") {
            config.office = Office::named(office).unwrap_or_else(|| panic!("no services {office}"));
        }
        if let Some(polarity) = option("polarity=") {
            let own = format!("polarity = \"{polarity}\"\ninherits = \"{}\"", config.office.id);
            config.office = Office::parse(own.parse().unwrap()).unwrap();
        }
        match option("without=") {
            Some("end_held") => config.office.end_held.clear(),
            Some("end_active") => config.office.end_active.clear(),
            _ => {}
        }
        let pin = options.split_once("pin=").map(|(_, pin)| pin.to_owned());
        let pin = pin.map(|pin| pin.strip_suffix(" refused").map_or(pin.clone(), str::to_owned));
        config.cellular.pin = pin.map(|pin| pin.try_into().unwrap());
        if let (true, Some(pin)) = (options.ends_with(" refused"), &config.cellular.pin) {
            config.cellular.refused = vec![RefusedPin::new("", pin)];
        }
        World {
            modem: match profile_id {
                "auto" => Modem::auto(config, Catalogue::builtin().clone(), Clues::new()),
                id => Modem::new(config, profile(id)),
            },
            way,
            now: Time::from_millis(1_000),
            writes: VecDeque::new(),
            told: VecDeque::new(),
            traces: Vec::new(),
            heard: Vec::new(),
            last: Vec::new(),
            wrote: Vec::new(),
            commands: 0,
            turn: 0,
            recorder: None,
            stream: StreamId(7),
            mark: String::new(),
            step: String::new(),
            features: options.contains("features"),
            soft: options.contains("soft"),
            number: String::new(),
        }
    }

    pub fn give(&mut self, input: Input<'_>) {
        if let Some((recorder, text)) = &mut self.recorder {
            text.push_str(&recorder.input(self.now, &input));
        }
        self.modem.handle(self.now, input);
        self.drain();
        if self.way == Way::Kept {
            let text = serde_json::to_string(&self.modem).unwrap();
            self.modem = serde_json::from_str(&text).unwrap();
            assert_eq!(serde_json::to_string(&self.modem).unwrap(), text);
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.modem.poll_output() {
            if let Some((recorder, text)) = &mut self.recorder {
                text.push_str(&recorder.output(self.now, &output));
            }
            match output {
                Output::Event(Event::Trace { entry, .. }) => {
                    self.traces.push(format!("{} {}", if entry.sent { ">" } else { "<" }, entry.summary));
                }
                Output::Event(Event::LineChanged { change: LineChange::Features(_), .. }) if !self.features => {}
                Output::SoftFlow { .. } if !self.soft => {}
                Output::SoftFlow { on, .. } => {
                    self.told.push_back(if on { "xon/xoff".into() } else { "0x11 and 0x13 are data".into() })
                }
                Output::Event(event) => {
                    // What the news that come in between say by themselves.
                    let told = show(&event);
                    if !(matches!(self.way, Way::Interrupted(_)) && told == "ussd \"in between\"") {
                        self.told.push_back(told);
                    }
                }
                Output::Write { port: AT_PORT, bytes } => self.written(&bytes),
                Output::Write { bytes, .. } => self.wrote.extend(bytes),
                Output::Frame { frame, .. } => self.heard.push(frame),
                Output::Open { port } => self.told.push_back(format!("open {}", port.0)),
                Output::Close { port } => self.told.push_back(format!("close {}", port.0)),
                Output::Raw { call, bytes } => {
                    let (head, text) = (format!("{} raw ", call.0), String::from_utf8_lossy(&bytes).into_owned());
                    let text = text.escape_debug();
                    match self.told.back_mut().filter(|told| told.starts_with(&head)) {
                        Some(told) => told.push_str(&text.to_string()),
                        None => self.told.push_back(format!("{head}{text}")),
                    }
                }
                Output::Dtr { up, .. } => self.told.push_back(format!("dtr {}", if up { "up" } else { "down" })),
                other => panic!("{other:?}"),
            }
        }
    }

    fn written(&mut self, bytes: &[u8]) {
        match bytes {
            b"\r" => self.writes.push_back("<CR>".into()),
            [b'A', b'T', .., b'\r'] => {
                let line = String::from_utf8_lossy(&bytes[..bytes.len() - 1]).into_owned();
                let number = line.strip_prefix("ATS10=").and_then(|rest| rest.strip_suffix("S10?"));
                if let Some(number) = number {
                    self.mark = format!("{number:0>3}");
                }
                self.writes.push_back(if number.is_some() { "mark".into() } else { line });
            }
            [.., 0x1A] => {
                self.writes.push_back(format!("{}<SUB>", String::from_utf8_lossy(&bytes[..bytes.len() - 1])));
            }
            [0x10, code] if *code != 0x10 => self.writes.push_back(format!("<DLE>{}", shown(*code))),
            b"!" => self.writes.push_back("!".into()),
            [0x10, 0x18, 0x10, 0x03] => self.writes.push_back("<DLE><CAN><DLE><ETX>".into()),
            audio => self.wrote.extend(audio),
        }
    }

    /// Lets time go by, with every deadline on its way.
    pub fn pass(&mut self, millis: u64) {
        let end = self.now + std::time::Duration::from_millis(millis);
        for _ in 0..10_000 {
            match self.modem.poll_timeout().filter(|at| *at <= end) {
                Some(at) => {
                    self.now = self.now.max(at);
                    self.give(Input::Timeout);
                }
                None => {
                    self.now = end;
                    return;
                }
            }
        }
        panic!("{}: the machine asks for deadlines without end", self.step);
    }

    fn say(&mut self, port: PortId, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let size = match self.way {
                Way::Bytewise => 1,
                Way::Cut(sizes) => {
                    self.turn += 1;
                    sizes[self.turn % sizes.len()].clamp(1, rest.len())
                }
                _ => rest.len(),
            };
            let (chunk, after) = rest.split_at(size);
            self.give(Input::Bytes { port, bytes: chunk });
            rest = after;
        }
    }

    fn line(&mut self, line: &str) {
        if let Way::Interrupted(news) = self.way {
            self.say(AT_PORT, format!("\r\n{news}\r\n").as_bytes());
        }
        let framed = match self.way {
            Way::BadlyFramed => format!("{line}\r\r\n"),
            _ => format!("\r\n{line}\r\n"),
        };
        self.say(AT_PORT, framed.as_bytes());
    }

    fn pass_with_empty_lists(&mut self, millis: u64) {
        for _ in 0..millis / 50 {
            self.pass(50);
            if self.writes.front().is_some_and(|write| write == "AT+CLCC") {
                self.writes.pop_front();
                self.line("OK");
            }
        }
    }

    fn expect_write(&mut self, text: &str) {
        for _ in 0..20 {
            if !self.writes.is_empty() {
                break;
            }
            self.pass(50);
        }
        let written = self.writes.pop_front();
        assert_eq!(written.as_deref(), Some(text), "{}\n{}", self.step, self.traces.join("\n"));
    }

    fn expect_told(&mut self, text: &str) {
        let told = self.told.pop_front();
        assert_eq!(told.as_deref(), Some(text), "{}\n{}", self.step, self.traces.join("\n"));
    }

    pub fn command(&mut self, words: &str) {
        let (verb, rest) = words.split_once(' ').unwrap_or((words, ""));
        let (number, tail) = rest.split_once(' ').unwrap_or((rest, ""));
        let call = CallRef(number.parse().unwrap_or(0));
        self.commands += 1;
        let media = LocalMedia::Frames { stream: StreamId(self.commands) };
        match verb {
            "answer" => self.stream = StreamId(self.commands),
            "make" | "hide" => self.stream = StreamId(7),
            _ => {}
        }
        let action = match verb {
            "make" | "hide" => Action::MakeCall {
                line: tspi::LineRef(0),
                to: rest.into(),
                params: CallParams { block_id: verb == "hide", ..CallParams::default() },
                media: LocalMedia::Frames { stream: StreamId(7) },
            },
            "answer" => Action::Answer { call, media },
            "accept" => Action::Accept { call },
            "drop" => Action::Drop { call, reason: None },
            "hold" => Action::Hold { call },
            "unhold" => Action::Unhold { call },
            "digits" => Action::SendDigits { call, operation: OperationId(9), digits: tail.into(), duration_ms: None },
            "swap" | "conference" | "transfer" => {
                let other = CallRef(tail.parse().unwrap());
                match verb {
                    "swap" => Action::SwapHold { active: call, held: other },
                    "conference" => Action::Conference { calls: vec![call, other] },
                    _ => Action::CompleteTransfer { call, consultation: other },
                }
            }
            "dial" => Action::Dial { call, to: tail.into() },
            "heard" => Action::Heard { call, tone: tail.into() },
            "leave" => Action::LeaveConference { call },
            "redirect" => Action::Redirect { call, to: tail.into() },
            "forward" => Action::Forward { line: tspi::LineRef(0), rules: rules(rest) },
            "pass" => Action::MakeCall {
                line: tspi::LineRef(0),
                to: String::new(),
                params: CallParams { bearer: Some(tapi::BearerMode::Passthrough), ..CallParams::default() },
                media: LocalMedia::None,
            },
            "message" => device(DeviceRequest::SendMessage { to: number.into(), text: tail.replace("\\n", "\n") }),
            "ussd" => device(DeviceRequest::Ussd { text: rest.into() }),
            "ussd-cancel" => device(DeviceRequest::UssdCancel),
            "pin" => device(DeviceRequest::EnterPin { pin: rest.into() }),
            "close" => Action::CloseCall { call },
            "shutdown" => Action::Shutdown,
            other => panic!("no command {other}"),
        };
        self.give(Input::Command(Command { id: CommandId(self.commands), action }));
    }

    fn port(&mut self, words: &str) {
        let (verb, rest) = words.split_once(' ').unwrap_or((words, ""));
        let (number, tail) = rest.split_once(' ').unwrap_or((rest, ""));
        let count = || number.parse::<u32>().unwrap();
        match verb {
            "opened" => self.give(Input::Opened { port: PortId(count()) }),
            "closed" => self.give(Input::Closed { port: PortId(count()), reason: tail }),
            "frame" => self.give(Input::Frame { stream: self.stream, frame: &Frame([0x1000; 160]) }),
            "quiet" => self.give(Input::Frame { stream: self.stream, frame: &Frame([0x40; 160]) }),
            "number" => assert_eq!(self.number, rest, "{}", self.step),
            "heard" => {
                self.last = std::mem::take(&mut self.heard);
                assert_eq!(self.last.len() as u32, count(), "{}", self.step);
            }
            // Since the last time, so many of the frames that were heard last are silence.
            "silent" => {
                let silent = self.last.iter().rev().take_while(|frame| frame.0.iter().all(|sample| sample.abs() < 600));
                assert!(silent.count() as u32 >= count(), "{}: {:?}", self.step, self.last.last());
            }
            "wrote" => assert_eq!(std::mem::take(&mut self.wrote).len() as u32, count(), "{}", self.step),
            "audio" => self.say(tsp_modem::AUDIO_PORT, &vec![0; count() as usize]),
            "raw" => {
                let bytes = format!("{tail}\r");
                self.give(Input::Raw { call: CallRef(count().into()), bytes: bytes.as_bytes() });
            }
            "timeout" => self.give(Input::Timeout),
            other => panic!("no {other}"),
        }
    }

    /// One line of a transcript.
    pub fn step(&mut self, line: &str) {
        self.step = format!("{:?}: {line}", self.way);
        let line = line.split(" # ").next().unwrap_or_default().trim();
        let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
        match mark {
            "" => {}
            _ if mark.starts_with('#') => {}
            ">" => self.expect_write(rest),
            "<" if rest == "mark" => self.line(&self.mark.clone()),
            "<" => self.line(rest),
            "<<" => {
                let bytes = raw(rest);
                self.say(AT_PORT, &bytes);
            }
            "@" => self.pass(rest.parse().unwrap()),
            "~" => self.pass_with_empty_lists(rest.parse().unwrap()),
            "!" if rest == "*" => self.told.clear(),
            "!" => self.expect_told(rest),
            "$" => self.command(rest),
            "=" => self.port(rest),
            "ready" => self.ready(),
            "include" => self.include(rest),
            other => panic!("{other}: what is that?"),
        }
    }

    /// A modem that takes everything: from the first input until it asks for nothing more.
    fn ready(&mut self) {
        self.give(Input::Timeout);
        let mut quiet = 0;
        while quiet < 40 {
            self.pass(50);
            quiet += 1;
            while let Some(told) = self.told.pop_front() {
                if let Some(number) = told.strip_prefix("address ") {
                    self.number = number.to_owned();
                }
                if let Some(port) = told.strip_prefix("open ") {
                    self.give(Input::Opened { port: PortId(port.parse().unwrap()) });
                }
            }
            if let Some(write) = self.writes.pop_front() {
                quiet = 0;
                let told = match write.as_str() {
                    "mark" => self.mark.clone(),
                    "AT+CPIN?" => "+CPIN: READY".into(),
                    "AT+CREG?" => "+CREG: 2,1,\"1A2B\",\"00C3\"".into(),
                    "AT+CEREG?" => "+CEREG: 1,1".into(),
                    "AT+CNUM" => "+CNUM: \"\",\"491701\",145".into(),
                    "AT+CSQ" => "+CSQ: 24,99".into(),
                    _ => String::new(),
                };
                if !told.is_empty() {
                    self.line(&told);
                }
                self.line("OK");
            }
        }
    }

    fn include(&mut self, name: &str) {
        for line in read(name).lines() {
            self.step(line);
        }
    }

    /// Nothing may be left over.
    pub fn end(&mut self) {
        assert!(self.told.is_empty(), "{}: {:?}", self.step, self.told);
        assert!(self.writes.is_empty(), "{}: {:?}", self.step, self.writes);
    }
}

fn device(request: DeviceRequest) -> Action {
    Action::Device { line: tspi::LineRef(0), request }
}

/// `busy 5551 no_answer 5552 20`: kinds with their numbers, and where there is a third word the seconds.
fn rules(text: &str) -> Vec<ForwardRule> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let rule = |words: &[&str]| ForwardRule {
        when: words[0].into(),
        to: words[1].into(),
        after_s: words.get(2).map(|word| word.parse().unwrap()),
    };
    words.split(|word| *word == "and").filter(|words| !words.is_empty()).map(rule).collect()
}

fn shown(code: u8) -> String {
    match code {
        0x03 => "<ETX>".into(),
        0x18 => "<CAN>".into(),
        0x1B => "<ESC>".into(),
        code => char::from(code).to_string(),
    }
}

fn raw(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in text.split_whitespace() {
        let (byte, times) = word.split_once('*').unwrap_or((word, "1"));
        let byte = u8::from_str_radix(byte, 16).unwrap();
        bytes.extend(std::iter::repeat_n(byte, times.parse().unwrap()));
    }
    bytes
}

pub fn read(name: &str) -> String {
    let path = format!("{}/tests/transcripts/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Runs a whole transcript.
pub fn run(name: &str, way: Way<'_>) -> Vec<String> {
    let text = read(name);
    let first = text.lines().find_map(|line| line.strip_prefix("profile ")).expect("a profile");
    let (id, audio) = first.split_once(' ').unwrap_or((first, ""));
    let mut world = World::new(id, audio, way);
    for line in text.lines().filter(|line| !line.starts_with("profile ")) {
        world.step(line);
    }
    world.end();
    world.traces
}

fn party(party: &Party) -> String {
    let flag = |flag| party.flags.contains(&flag);
    let mut text = match &party.address {
        Some(address) => address.clone(),
        None if flag(PartyFlag::Blocked) => "blocked".into(),
        None if flag(PartyFlag::OutOfArea) => "out-of-area".into(),
        None => "unknown".into(),
    };
    if let Some(name) = &party.name {
        text = format!("{text} {name:?}");
    }
    text
}

fn show(event: &Event) -> String {
    match event {
        Event::Reply { result: Ok(Taken::Done), .. } => "ok".into(),
        Event::Reply { result: Ok(Taken::Call(call)), .. } => format!("taken {}", call.0),
        Event::Reply { result: Err(refusal), .. } => format!("refused {}: {}", refusal.code.name(), refusal.text),
        Event::LineAdded { description, .. } => format!("line {}: {}", description.name, service(&description.service)),
        Event::LineChanged { change, .. } => match change {
            LineChange::Service(state) => service(state),
            LineChange::Signal(percent) => format!("signal {percent}"),
            LineChange::Operator(name) => format!("operator {name}"),
            LineChange::Caps(caps) if caps.call_features.contains(&Feature::Play) => "caps audible".into(),
            LineChange::Caps(_) => "caps silent".into(),
            LineChange::Addresses(addresses) => format!("address {}", addresses.join(" ")),
            LineChange::Features(features) if features.is_empty() => "takes no call".into(),
            LineChange::Features(_) => "takes calls".into(),
            other => format!("{other:?}"),
        },
        Event::Listen { call, on } => format!("{} {}", call.0, if *on { "listen" } else { "listen no more" }),
        Event::Ringing { count, pattern, .. } => format!("ringing {count} pattern {pattern}"),
        Event::NewCall { call, facts, .. } => {
            let caller = facts.caller.as_ref().map_or("nobody known".into(), party);
            let called = facts.called.as_ref().map_or(String::new(), |called| format!(" to {}", party(called)));
            let reason = facts.reason.as_ref().map_or(String::new(), |reason| format!(" because {reason}"));
            format!("{} new from {caller}{called}{reason}{}", call.0, at(facts))
        }
        Event::CallInfo { call, facts } => match (&facts.called, &facts.connected, &facts.redirection) {
            (Some(called), ..) => format!("{} called {}", call.0, party(called)),
            (_, Some(connected), _) => format!("{} connected {}", call.0, party(connected)),
            (.., Some(_)) => format!("{} redirected", call.0),
            _ => format!("{} from {}{}", call.0, facts.caller.as_ref().map_or("nobody known".into(), party), at(facts)),
        },
        Event::Call { call, report } => format!("{} {}", call.0, show_report(report)),
        Event::Media { call, remote } => format!("{} media {}", call.0, remote.direction().name()),
        Event::Digit { call, digit, duration_ms } => match duration_ms {
            Some(ms) => format!("{} digit {digit} {ms}", call.0),
            None => format!("{} digit {digit}", call.0),
        },
        Event::DigitsSent { call, operation, complete } => {
            format!("{} digits {} {}", call.0, operation.0, if *complete { "complete" } else { "incomplete" })
        }
        Event::Device { event, .. } => match &**event {
            DeviceEvent::Sim { state } => format!("sim {state}"),
            DeviceEvent::Ussd { text, more } => format!("ussd {}{text:?}", if *more { "asks " } else { "" }),
            DeviceEvent::UssdEnded { reason } => format!("ussd ended: {reason}"),
            DeviceEvent::MessageSent { to, error: None } => format!("sent to {to}"),
            DeviceEvent::MessageSent { to, error: Some(error) } => format!("not sent to {to}: {error}"),
            DeviceEvent::MessageDelivered { to, error: None } => format!("delivered to {to}"),
            DeviceEvent::MessageReceived { from, text, sent } => {
                format!("message from {from} at {}: {text:?}", sent.as_deref().unwrap_or("no time"))
            }
            other => format!("{other:?}"),
        },
        other => format!("{other:?}"),
    }
}

fn at(facts: &CallFacts) -> String {
    facts.network_time.as_ref().map_or(String::new(), |time| format!(" at {time}"))
}

fn service(service: &Service) -> String {
    match service {
        Service::In => "in service".into(),
        Service::Out { reason } => format!("out: {reason}"),
    }
}

fn show_report(report: &Report) -> String {
    match report {
        Report::Offered => "offered".into(),
        Report::Accepted => "accepted".into(),
        Report::Dialing => "dialing".into(),
        Report::Proceeding => "proceeding".into(),
        Report::PeerRings => "peer rings".into(),
        Report::Busy(mode) => format!("busy {mode}"),
        Report::SpecialInfo(kind) => format!("special info {kind}"),
        Report::Answered(evidence) => format!("answered {evidence}"),
        Report::Held => "held".into(),
        Report::Conferenced => "conferenced".into(),
        Report::Retrieved => "retrieved".into(),
        Report::Unchanged { reason } => format!("unchanged: {reason}"),
        Report::Released { by, cause } => {
            let by = if *by == ReleasedBy::Local { "local" } else { "remote" };
            let text = cause.text.as_ref().map_or(String::new(), |text| format!(" ({text})"));
            let q850 = cause.q850.map_or(String::new(), |code| format!(" {code}"));
            format!("released {by} {}{q850}{text}", cause.mode)
        }
        other => format!("{other:?}"),
    }
}
