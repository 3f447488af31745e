//! What a whole call costs: INVITE to BYE between two user agents in memory, their timers included.
#![allow(missing_docs)]

use criterion::{Criterion, criterion_group, criterion_main};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;
use tapi::Time;
use tsp_sip::{Config, LineConfig, PORT, Sip, Timers};
use tspi::media::Codec;
use tspi::*;

struct Pair {
    agents: [Sip; 2],
    addresses: [SocketAddr; 2],
    wire: VecDeque<(usize, Vec<u8>)>,
    now: Time,
    command: u64,
    calls: [Option<CallRef>; 2],
}

fn config(listen: SocketAddr, peer: SocketAddr) -> Config {
    let line = LineConfig {
        name: "sip:trunk".into(),
        description: String::new(),
        user: "100".into(),
        domain: "example.org".into(),
        peers: vec![peer.ip().to_string()],
        proxy: Some(peer.to_string()),
        max_calls: 100_000,
        ..LineConfig::default()
    };
    Config {
        name: "sip".into(),
        listen,
        user_agent: String::new(),
        timers: Timers::default(),
        transports: Default::default(),
        lines: vec![line],
    }
}

fn rtp() -> LocalMedia {
    let formats =
        [(Codec::Pcma, 8), (Codec::TelephoneEvent, 101)].map(|(codec, payload_type)| Format { codec, payload_type });
    LocalMedia::Rtp(LocalRtp {
        stream: StreamId(1),
        address: [192, 0, 2, 9].into(),
        port: 4000,
        rtcp_port: None,
        formats: formats.into(),
    })
}

impl Pair {
    fn new() -> Pair {
        let addresses = [SocketAddr::from(([192, 0, 2, 1], 5060)), SocketAddr::from(([192, 0, 2, 2], 5060))];
        let agents = [
            Sip::new(config(addresses[0], addresses[1]), [1; 32]),
            Sip::new(config(addresses[1], addresses[0]), [2; 32]),
        ];
        let now = Time::from_millis(1);
        let mut pair = Pair { agents, addresses, wire: VecDeque::new(), now, command: 0, calls: [None, None] };
        for at in 0..2 {
            pair.feed(at, Input::Timeout);
            pair.feed(at, Input::Opened { port: PORT });
        }
        pair
    }

    fn feed(&mut self, at: usize, input: Input<'_>) {
        self.agents[at].handle(self.now, input);
        while let Some(output) = self.agents[at].poll_output() {
            match output {
                Output::Datagram { bytes, .. } => self.wire.push_back((1 - at, bytes)),
                Output::Event(Event::NewCall { call, .. } | Event::Reply { result: Ok(Taken::Call(call)), .. }) => {
                    self.calls[at] = Some(call);
                }
                _ => {}
            }
        }
    }

    fn command(&mut self, at: usize, action: Action) {
        self.command += 1;
        self.feed(at, Input::Command(Command { id: CommandId(self.command), action }));
        while let Some((to, bytes)) = self.wire.pop_front() {
            let from = self.addresses[1 - to];
            self.feed(to, Input::Datagram { port: PORT, from, bytes: &bytes });
        }
    }

    /// One call, and ten milliseconds of every timer.
    fn call(&mut self) {
        let params = CallParams::default();
        self.command(0, Action::MakeCall { line: LineRef(0), to: "200".into(), params, media: rtp() });
        let (Some(alice), Some(bob)) = (self.calls[0].take(), self.calls[1].take()) else {
            panic!("no call");
        };
        self.command(1, Action::Accept { call: bob });
        self.command(1, Action::Answer { call: bob, media: rtp() });
        self.command(0, Action::Drop { call: alice, reason: None });
        self.command(0, Action::CloseCall { call: alice });
        self.command(1, Action::CloseCall { call: bob });
        self.now += Duration::from_millis(10);
        for at in 0..2 {
            if self.agents[at].poll_timeout().is_some_and(|time| time <= self.now) {
                self.feed(at, Input::Timeout);
            }
        }
    }
}

fn calls(criterion: &mut Criterion) {
    let mut pair = Pair::new();
    // A hundred calls a second for 40 s: as many waiting transactions as there will ever be.
    for _ in 0..4_000 {
        pair.call();
    }
    criterion.bench_function("invite to bye, both user agents", |bench| bench.iter(|| pair.call()));
}

criterion_group!(benches, calls);
criterion_main!(benches);
