//! A network in virtual time between user agents, with loss, delay and reordering. Every agent is written out and read
//! back after every step, so that each test is also one of a restart at every moment.
#![allow(dead_code, missing_docs, clippy::unwrap_used, reason = "shared by tests, each of which uses a part")]

mod streams;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tapi::{Cause, DisconnectMode, Time};
use tsp_sip::{Config, LineConfig, PORT, Sip, Timers};
use tspi::media::Codec;
use tspi::*;

pub const ALICE: &str = "192.0.2.1:5060";
pub const BOB: &str = "192.0.2.2:5060";

pub struct Agent {
    pub address: SocketAddr,
    pub sip: Sip,
    pub events: Vec<Event>,
    /// What it asked the domain name system.
    pub asked: Vec<Query>,
    pub transports: tsp_sip::Transports,
}

/// What becomes of a datagram: `None` is lost, else how long it travels.
pub type Fate = Box<dyn FnMut(&mut Random, SocketAddr, &[u8]) -> Option<Duration>>;

pub struct Net {
    pub now: Time,
    pub agents: Vec<Agent>,
    pub fate: Fate,
    pub restarts: bool,
    /// How many of a hundred datagrams arrive twice.
    pub twice: u64,
    random: Random,
    travelling: BTreeMap<(Time, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    sent: u64,
    /// Everything that was sent: when, from, to, the first line.
    pub wire: Vec<(Time, SocketAddr, SocketAddr, String)>,
    /// The same, whole: from whom and what.
    pub raw: Vec<(SocketAddr, String)>,
    next_command: u64,
    pub streams: streams::Streams,
    /// Longest portion of a stream that arrives at once.
    pub portion: u64,
    /// What was written to connections: when, by whom, the first line.
    pub streamed: Vec<(Time, usize, String)>,
    /// Datagrams, whole: where to, and what.
    pub datagrams: Vec<(SocketAddr, Vec<u8>)>,
    /// The same as text.
    pub sent_texts: Vec<String>,
    /// Ports that were asked for.
    pub opened: Vec<(usize, PortId)>,
}

pub fn config(listen: &str, peers: &str, proxy: Option<&str>) -> Config {
    Config {
        name: "sip".into(),
        listen: listen.parse().unwrap(),
        user_agent: "tapid".into(),
        timers: Timers::default(),
        transports: Default::default(),
        lines: vec![LineConfig {
            name: "sip:trunk".into(),
            description: "a trunk".into(),
            user: "100".into(),
            domain: "example.org".into(),
            peers: vec![peers.into()],
            proxy: proxy.map(str::to_owned),
            max_calls: 3,
            ..LineConfig::default()
        }],
    }
}

pub fn rtp(stream: u64) -> LocalMedia {
    LocalMedia::Rtp(LocalRtp {
        stream: StreamId(stream),
        address: "192.0.2.9".parse().unwrap(),
        port: 4000 + stream as u16 * 2,
        rtcp_port: None,
        formats: [(Codec::Pcma, 8), (Codec::Pcmu, 0), (Codec::TelephoneEvent, 101)]
            .map(|(codec, payload_type)| Format { codec, payload_type })
            .into(),
    })
}

pub fn prompt() -> Fate {
    Box::new(|_, _, _| Some(Duration::from_millis(10)))
}

impl Net {
    pub fn new(seed: u64) -> Net {
        let mut net = Net::empty(seed);
        net.add(config(ALICE, "192.0.2.2", Some(BOB)));
        net.add(config(BOB, "192.0.2.1", Some(ALICE)));
        net
    }

    pub fn empty(seed: u64) -> Net {
        Net {
            now: Time::from_millis(1_000),
            agents: Vec::new(),
            fate: prompt(),
            restarts: true,
            twice: 0,
            random: Random::from_number(seed),
            travelling: BTreeMap::new(),
            sent: 0,
            wire: Vec::new(),
            raw: Vec::new(),
            next_command: 1,
            streams: streams::Streams::default(),
            portion: 1_460,
            streamed: Vec::new(),
            datagrams: Vec::new(),
            sent_texts: Vec::new(),
            opened: Vec::new(),
        }
    }

    pub fn add(&mut self, config: Config) -> usize {
        let seed = [self.agents.len() as u8 + 1; 32];
        let address = config.listen;
        let transports = config.transports.clone();
        self.agents.push(Agent {
            address,
            sip: Sip::new(config, seed),
            events: Vec::new(),
            asked: Vec::new(),
            transports,
        });
        let at = self.agents.len() - 1;
        self.feed(at, Input::Timeout);
        self.feed(at, Input::Opened { port: PORT });
        at
    }

    pub fn feed(&mut self, at: usize, input: Input<'_>) {
        let now = self.now;
        let mut streams = Vec::new();
        let agent = &mut self.agents[at];
        agent.sip.handle(now, input);
        while let Some(output) = agent.sip.poll_output() {
            match output {
                Output::Event(event) => agent.events.push(event),
                Output::Lookup { query } => agent.asked.push(query),
                Output::Datagram { to, bytes, .. } => {
                    let line = String::from_utf8_lossy(&bytes).lines().next().unwrap_or_default().to_owned();
                    self.wire.push((now, agent.address, to, line));
                    self.raw.push((agent.address, String::from_utf8_lossy(&bytes).into_owned()));
                    self.datagrams.push((to, bytes.clone()));
                    self.sent_texts.push(String::from_utf8_lossy(&bytes).into_owned());
                    if let Some(delay) = (self.fate)(&mut self.random, agent.address, &bytes) {
                        self.sent += 1;
                        if self.twice > 0 && self.random.below(100) < self.twice {
                            let later = now + delay + Duration::from_millis(self.random.below(300));
                            self.travelling.insert((later, self.sent), (agent.address, to, bytes.clone()));
                            self.sent += 1;
                        }
                        self.travelling.insert((now + delay, self.sent), (agent.address, to, bytes));
                    }
                }
                other => streams.push(other),
            }
        }
        if self.restarts {
            let json = serde_json::to_string(&agent.sip).unwrap();
            agent.sip = serde_json::from_str(&json).unwrap();
            assert_eq!(serde_json::to_string(&agent.sip).unwrap(), json, "what is read back is what was written");
        }
        for output in streams {
            match output {
                Output::Connect { port, to, security } => self.connect(at, port, to, security),
                Output::Write { port, bytes } => self.write(at, port, bytes),
                Output::Close { port } => self.close(at, port),
                Output::Open { port } => self.opened.push((at, port)),
                _ => {}
            }
        }
    }

    /// One step: the next datagram or deadline that lies before `until`.
    fn step(&mut self, until: Time) -> bool {
        let stream = self.streams.under_way.keys().next().copied();
        let arrival = self.travelling.keys().next().copied();
        let deadline =
            self.agents.iter().enumerate().filter_map(|(at, agent)| Some((agent.sip.poll_timeout()?, at))).min();
        if let Some(key) = stream.filter(|key| {
            key.0 <= until && arrival.is_none_or(|other| key.0 <= other.0) && deadline.is_none_or(|(at, _)| key.0 <= at)
        }) {
            let what = self.streams.under_way.remove(&key).unwrap();
            self.now = self.now.max(key.0);
            self.deliver(what);
            return true;
        }
        match (arrival, deadline) {
            (Some(key), deadline) if deadline.is_none_or(|(at, _)| key.0 <= at) && key.0 <= until => {
                let (from, to, bytes) = self.travelling.remove(&key).unwrap();
                self.now = self.now.max(key.0);
                if let Some(at) = self.agents.iter().position(|agent| agent.address == to) {
                    self.feed(at, Input::Datagram { port: PORT, from, bytes: &bytes });
                }
                true
            }
            (_, Some((time, at))) if time <= until => {
                self.now = self.now.max(time);
                self.feed(at, Input::Timeout);
                true
            }
            _ => false,
        }
    }

    pub fn run(&mut self, millis: u64) {
        let until = self.now + Duration::from_millis(millis);
        let mut steps = 0;
        while self.step(until) {
            steps += 1;
            assert!(steps < 20_000, "it does not come to rest");
        }
        self.now = until;
    }

    pub fn command(&mut self, at: usize, action: Action) -> Result<Taken, Refusal> {
        let id = CommandId(self.next_command);
        self.next_command += 1;
        let before = self.agents[at].events.len();
        self.feed(at, Input::Command(Command { id, action }));
        let mut replies = self.agents[at].events[before..].iter().filter_map(|event| match event {
            Event::Reply { id: answered, result } if *answered == id => Some(result.clone()),
            _ => None,
        });
        let reply = replies.next().expect("a command is answered");
        assert!(replies.next().is_none(), "a command is answered once");
        reply
    }

    pub fn call(&mut self, at: usize, to: &str) -> CallRef {
        let params = CallParams::default();
        let action = Action::MakeCall { line: LineRef(0), to: to.into(), params, media: rtp(1) };
        match self.command(at, action) {
            Ok(Taken::Call(call)) => call,
            other => panic!("{other:?}"),
        }
    }

    /// The call that was last offered.
    pub fn offered(&self, at: usize) -> CallRef {
        let calls = self.agents[at].events.iter().rev();
        calls
            .into_iter()
            .find_map(|event| if let Event::NewCall { call, .. } = event { Some(*call) } else { None })
            .unwrap()
    }

    pub fn reports(&self, at: usize, call: CallRef) -> Vec<Report> {
        let events = self.agents[at].events.iter();
        events
            .filter_map(|event| match event {
                Event::Call { call: about, report } if *about == call => Some(report.clone()),
                _ => None,
            })
            .collect()
    }

    pub fn media(&self, at: usize, call: CallRef) -> Vec<RemoteRtp> {
        let events = self.agents[at].events.iter();
        events
            .filter_map(|event| match event {
                Event::Media { call: about, remote: RemoteMedia::Rtp(remote) } if *about == call => {
                    Some(remote.clone())
                }
                _ => None,
            })
            .collect()
    }

    /// How the call ended: exactly once.
    pub fn end(&self, at: usize, call: CallRef) -> Option<(ReleasedBy, Cause)> {
        let mut ends = self.reports(at, call).into_iter().filter_map(|report| match report {
            Report::Released { by, cause } => Some((by, cause)),
            _ => None,
        });
        let end = ends.next();
        assert!(ends.next().is_none(), "a call is released once");
        end
    }

    pub fn mode(&self, at: usize, call: CallRef) -> Option<(ReleasedBy, DisconnectMode)> {
        self.end(at, call).map(|(by, cause)| (by, cause.mode))
    }

    /// A call that is up on both sides: Alice's and Bob's names for it.
    pub fn connected(&mut self) -> (CallRef, CallRef) {
        let alice = self.call(0, "200");
        self.run(1_000);
        let bob = self.offered(1);
        self.command(1, Action::Accept { call: bob }).unwrap();
        self.run(1_000);
        self.command(1, Action::Answer { call: bob, media: rtp(2) }).unwrap();
        self.run(3_000);
        (alice, bob)
    }

    /// After all has rung out nothing is left: no call, no transaction, no deadline.
    pub fn assert_nothing_left(&mut self) {
        for at in 0..self.agents.len() {
            let calls: Vec<CallRef> = self.agents[at]
                .events
                .iter()
                .filter_map(|event| match event {
                    Event::NewCall { call, .. } => Some(*call),
                    Event::Reply { result: Ok(Taken::Call(call)), .. } => Some(*call),
                    _ => None,
                })
                .collect();
            for call in calls {
                self.end(at, call).expect("every call ends");
                self.command(at, Action::CloseCall { call }).unwrap();
            }
        }
        self.run(120_000);
        for agent in &self.agents {
            assert!(agent.sip.is_idle(), "left: {:#?}", agent.sip);
        }
    }

    pub fn sent(&self, at: usize, begin: &str) -> Vec<u64> {
        let from = self.agents[at].address;
        let lines = self.wire.iter().filter(|(_, sender, _, line)| *sender == from && line.starts_with(begin));
        lines.map(|(time, ..)| time.as_millis()).collect()
    }

    /// Datagrams as raw text, from an address that is no agent's.
    pub fn inject(&mut self, at: usize, from: &str, text: &str) {
        let bytes = text.replace("\r\n", "\n").replace('\n', "\r\n");
        self.feed(at, Input::Datagram { port: PORT, from: from.parse().unwrap(), bytes: bytes.as_bytes() });
    }
}
