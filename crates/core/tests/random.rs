//! Random applications and a random, but lawful, provider: invariants after every step, every request answered once,
//! nothing left at the end.

mod common;

use common::*;
use std::collections::{BTreeMap, BTreeSet};
use tapi::request::*;
use tapi::{
    AnswerEvidence, CallId, CallState, DisconnectMode, End, ErrorCode, EventBody, LineSelector, LineStateKind, Names,
    PlaySource, Privilege, RecordSink, Reply, RequestId,
};
use tapi_core::{ClientId, Input};
use tspi::media::{self};
use tspi::{Action, CallRef, CommandId, Direction, LineRef, MediaWire, Random, ReleasedBy, Report, Taken};

/// What the provider knows of a call of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Far {
    Alive,
    Released,
}

struct Story {
    world: World,
    random: Random,
    seen: usize,
    clients: Vec<ClientId>,
    asked: BTreeMap<(ClientId, RequestId), &'static str>,
    left: BTreeSet<ClientId>,
    waiting: Vec<(CommandId, Action)>,
    calls: BTreeMap<CallRef, Far>,
    dropped: BTreeSet<CallRef>,
    /// Calls that each client heard of.
    known: BTreeMap<ClientId, BTreeSet<CallId>>,
    next_call: u64,
    operations: Vec<(tapi::OperationId, tspi::StreamId)>,
}

impl Story {
    fn new(seed: u64) -> Story {
        let mut world = World::new();
        world.add_line(1, line("frames", MediaWire::Frames));
        Story {
            world,
            random: Random::from_number(seed),
            seen: 0,
            clients: Vec::new(),
            asked: BTreeMap::new(),
            left: BTreeSet::new(),
            waiting: Vec::new(),
            calls: BTreeMap::new(),
            dropped: BTreeSet::new(),
            known: BTreeMap::new(),
            next_call: 1,
            operations: Vec::new(),
        }
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        let index = self.random.below(from.len() as u64) as usize;
        from.get(index).copied()
    }

    /// Looks at what came out: commands for the provider, operations for the media provider.
    fn look(&mut self) {
        for said in &self.world.said[self.seen..] {
            match said {
                Said::Command(_, command) => match &command.action {
                    Action::CloseCall { call } => {
                        let known = self.calls.remove(call);
                        // One that we asked to end may be given up on.
                        let lives = known == Some(Far::Alive) && !self.dropped.contains(call);
                        assert!(!lives, "a living call was closed");
                    }
                    action => {
                        if let Action::Drop { call, .. } = action {
                            self.dropped.insert(*call);
                        }
                        self.waiting.push((command.id, action.clone()));
                    }
                },
                Said::Media(
                    media::Command::Play { operation, stream, .. }
                    | media::Command::Record { operation, stream, .. }
                    | media::Command::Tone { operation, stream, .. }
                    | media::Command::Digits { operation, stream, .. },
                ) => self.operations.push((*operation, *stream)),
                Said::Reply(client, _, Ok(Reply::Made(made))) => {
                    self.known.entry(*client).or_default().insert(made.call);
                }
                Said::Event(client, _, event) => {
                    if let EventBody::CallNew { call } = &event.body {
                        self.known.entry(*client).or_default().insert(call.info.call);
                    }
                }
                _ => {}
            }
        }
        self.seen = self.world.said.len();
    }

    fn ask(&mut self, client: ClientId, request: impl Method, file: Option<u64>) {
        let name = request.clone_name();
        let id = self.world.ask_with(client, request, file);
        self.asked.insert((client, id), name);
    }

    fn client_step(&mut self) {
        if self.clients.len() < 2 || self.random.below(40) == 0 {
            let client = self.world.app("app");
            self.clients.push(client);
            return;
        }
        let clients = self.clients.clone();
        let Some(client) = self.pick(&clients) else { return };
        let name = if self.random.below(2) == 0 { "trunk" } else { "frames" };
        let line = LineSelector::Name(name.into());
        // Mostly calls that it knows, the latest ones; now and then any number.
        let known = self.known.get(&client).cloned().unwrap_or_default();
        let latest: Vec<CallId> = known.iter().rev().take(4).copied().collect();
        let (any, other) = (CallId(100 + self.random.below(200)), CallId(100 + self.random.below(200)));
        let call = self.pick(&latest).filter(|call| *call != any).unwrap_or(any);
        let with = self.pick(&latest).unwrap_or(other);
        let file = Some(self.random.below(1_000));
        match self.random.below(60) {
            0 => self.leave(client),
            1 => self.ask(client, LineClose { line }, None),
            2..=8 => {
                let options = [Privilege::Owner, Privilege::Monitor, Privilege::None];
                let mut privileges = Names::new();
                let which = self.random.below(3) as usize;
                privileges.insert(options[which].clone());
                self.ask(client, LineOpen { line, privileges, media_modes: Names::new() }, None);
            }
            9 => {
                let states = LineStateKind::KNOWN.iter().cloned().collect();
                self.ask(client, LineSetStatusMessages { line, states }, None);
            }
            10..=17 => self.ask(client, CallMake { line, ..make("1") }, None),
            18..=24 => self.ask(client, CallAnswer { call }, None),
            25..=26 => self.ask(client, CallAccept { call, early_media: false }, None),
            27..=31 => self.ask(client, drop(call), None),
            32..=34 => self.ask(client, CallDeallocate { call }, None),
            35..=36 => self.ask(client, CallHold { call }, None),
            37..=38 => self.ask(client, CallUnhold { call }, None),
            39..=41 => self.ask(client, CallList { line: None }, None),
            42..=44 => {
                let privilege = if self.random.below(2) == 0 { Privilege::Owner } else { Privilege::Monitor };
                self.ask(client, CallSetPrivilege { call, privilege }, None);
            }
            45..=46 => self.ask(client, CallSendDigits { call, digits: "12".into(), duration_ms: None }, None),
            47 => self.ask(client, CallMonitorDigits { call, on: true }, None),
            48 => self.ask(client, CallMonitorTones { call, hz: vec![440] }, None),
            49..=50 => self.ask(client, CallPlay { call, source: PlaySource::Descriptor, repeat: false }, file),
            51..=52 => self.ask(client, CallRecord { call, sink: RecordSink::Descriptor, max_ms: None }, file),
            53..=56 => self.ask(client, CallBridge { call, with }, None),
            57 => self.ask(client, CallPart { call }, None),
            58 => self.ask(client, StateGet {}, None),
            _ => {
                self.ask(client, ClientClose {}, None);
                self.leave(client);
            }
        }
    }

    fn leave(&mut self, client: ClientId) {
        self.world.gone(client);
        self.clients.retain(|other| *other != client);
        self.left.insert(client);
    }

    fn answer_one(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let index = self.random.below(self.waiting.len() as u64) as usize;
        let (id, action) = self.waiting.remove(index);
        if self.random.below(20) == 0 {
            return; // It never answers: the deadline does.
        }
        let alive = |story: &Story, call: &CallRef| story.calls.get(call) == Some(&Far::Alive);
        match action {
            Action::MakeCall { .. } if self.random.below(5) == 0 => self.world.refuse(id, ErrorCode::CallUnavail),
            Action::MakeCall { .. } => {
                let call = CallRef(self.next_call);
                self.next_call += 1;
                self.calls.insert(call, Far::Alive);
                self.world.tell(tspi::Event::Reply { id, result: Ok(Taken::Call(call)) });
            }
            Action::Drop { call, .. } if alive(self, &call) => {
                self.world.done(id);
                self.release(call, ReleasedBy::Local);
            }
            Action::Accept { call } if alive(self, &call) => {
                self.world.done(id);
                self.world.report(call.0, Report::Accepted);
            }
            Action::Answer { call, .. } if alive(self, &call) => {
                self.world.done(id);
                self.look();
                self.world.media_flows(call.0, Direction::SendRecv);
                self.world.report(call.0, Report::Answered(AnswerEvidence::Local));
            }
            Action::Hold { call } if alive(self, &call) => {
                self.world.done(id);
                self.world.report(call.0, Report::Held);
            }
            Action::Unhold { call } if alive(self, &call) => {
                self.world.done(id);
                self.world.report(call.0, Report::Retrieved);
            }
            _ => self.world.refuse(id, ErrorCode::InvalCallState),
        }
    }

    fn release(&mut self, call: CallRef, by: ReleasedBy) {
        self.look();
        if let Some(far) = self.calls.get_mut(&call) {
            *far = Far::Released;
            self.world.released(call.0, by, DisconnectMode::Normal);
        }
    }

    fn far_step(&mut self) {
        let alive: Vec<CallRef> =
            self.calls.iter().filter(|(_, far)| **far == Far::Alive).map(|(call, _)| *call).collect();
        let line = LineRef(self.random.below(2) as u32);
        match (self.random.below(24), self.pick(&alive)) {
            (0..=2, _) => {
                let call = CallRef(self.next_call);
                self.next_call += 1;
                self.calls.insert(call, Far::Alive);
                self.world.tell(tspi::Event::NewCall { line, call, facts: Box::default() });
                self.look();
                if self.random.below(8) == 0 {
                    self.release(call, ReleasedBy::Remote);
                } else {
                    self.world.report(call.0, Report::Offered);
                }
            }
            (3, _) => self.world.tell(tspi::Event::Ringing { line, count: 0, pattern: 1 }),
            (4..=6, Some(call)) => self.world.report(call.0, Report::PeerRings),
            (7..=10, Some(call)) => {
                self.world.media_flows(call.0, Direction::SendRecv);
                self.world.report(call.0, Report::Answered(AnswerEvidence::Signalled));
            }
            (11..=12, Some(call)) => self.release(call, ReleasedBy::Remote),
            (13, Some(call)) => self.world.report(call.0, Report::PeerHeld),
            (14, Some(call)) => self.world.tell(tspi::Event::Digit { call, digit: '1', duration_ms: None }),
            (15, _) if self.random.below(12) == 0 => self.fail(line),
            (16..=20, _) => self.end_operation(),
            (21, _) if self.random.below(12) == 0 => {
                // A new process with the old state: nobody comes back.
                self.world.input(Input::Restored);
                self.left.extend(std::mem::take(&mut self.clients));
            }
            _ => {}
        }
    }

    fn end_operation(&mut self) {
        if let Some((operation, stream)) = self.operations.pop() {
            self.world.input(Input::Media(media::Event::Ended { operation, stream, end: End::Done, millis: 1 }));
        }
    }

    /// The line is unplugged, or the whole provider dies; it comes back at once.
    fn fail(&mut self, line: LineRef) {
        let names = ["trunk", "frames"];
        let wires = [MediaWire::Rtp, MediaWire::Frames];
        if self.random.below(2) == 0 {
            self.world.input(Input::ProviderStopped { provider: PROVIDER, reason: "it died".into() });
            self.look();
            self.waiting.clear();
            self.calls.clear();
            self.world.input(Input::ProviderStarted { provider: PROVIDER, name: "sip".into() });
            for (reference, (name, wire)) in (0..).zip(names.into_iter().zip(wires)) {
                self.world.add_line(reference, common::line(name, wire));
            }
        } else {
            // A lawful provider releases its calls first; it does not say here which line they were on.
            let calls: Vec<CallRef> = self.calls.keys().copied().collect();
            for call in calls {
                if self.calls.get(&call) == Some(&Far::Alive) {
                    self.release(call, ReleasedBy::Remote);
                }
            }
            self.world.tell(tspi::Event::LineRemoved { line, reason: "unplugged".into() });
            let index = line.0 as usize;
            self.world.add_line(line.0, common::line(names[index], wires[index]));
        }
    }

    fn end(&mut self) {
        for client in self.clients.clone() {
            if self.random.below(2) == 0 {
                self.ask(client, ClientClose {}, None);
            }
            self.leave(client);
        }
        for _ in 0..4 {
            self.look();
            while !self.waiting.is_empty() {
                self.answer_one();
                self.look();
            }
            self.world.pass(40_000);
        }
        let calls: Vec<CallRef> = self.calls.keys().copied().collect();
        for call in calls {
            self.release(call, ReleasedBy::Remote);
        }
        self.look();
        let left = self.world.server.summary();
        assert!(self.world.server.is_empty_of_calls(), "{left:?}");
        assert_eq!((left.sessions, left.timers, left.clients), (0, 0, 0));
        assert!(self.calls.is_empty(), "the provider still keeps {:?}", self.calls);
        for (asked, method) in &self.asked {
            let answers = self.world.answered.get(asked).copied().unwrap_or(0);
            let may_lack = self.left.contains(&asked.0);
            assert!(answers == 1 || (answers == 0 && may_lack), "{method} of {asked:?}: {answers} answers");
        }
    }

    /// What each client saw, in the order in which it saw it.
    fn check_streams(&self) {
        let mut last_seq: BTreeMap<ClientId, u64> = BTreeMap::new();
        let mut states: BTreeMap<(ClientId, CallId), CallState> = BTreeMap::new();
        let mut expecting: BTreeMap<ClientId, CallId> = BTreeMap::new();
        for said in &self.world.said {
            let Said::Event(client, prev, event) = said else { continue };
            let before = last_seq.insert(*client, event.seq).unwrap_or(0);
            assert_eq!(*prev, before);
            assert!(event.seq > before);
            if let Some(call) = expecting.remove(client) {
                let follows = matches!(&event.body, EventBody::CallState { call: of, .. } if *of == call);
                assert!(follows, "after call.new came {:?}", event.body);
            }
            match &event.body {
                EventBody::CallNew { call } => {
                    expecting.insert(*client, call.info.call);
                }
                EventBody::CallState { call, state, .. } => {
                    let before = states.insert((*client, *call), state.clone());
                    assert_ne!(before.as_ref(), Some(state), "told twice");
                    assert_ne!(before, Some(CallState::Idle), "something came after idle");
                }
                EventBody::CallInfo { info, .. } => {
                    assert_ne!(states.get(&(*client, info.call)), Some(&CallState::Idle), "news of an idle call");
                }
                _ => {}
            }
        }
    }
}

/// The name of a request, for messages.
trait Named {
    fn clone_name(&self) -> &'static str;
}

impl<M: Method> Named for M {
    fn clone_name(&self) -> &'static str {
        M::NAME
    }
}

/// Plays one story. Gives what clients saw in it, in short.
fn run(seed: u64, steps: u64) -> BTreeSet<String> {
    let mut story = Story::new(seed);
    for _ in 0..steps {
        story.look();
        match story.random.below(10) {
            0..=4 => story.client_step(),
            5..=6 => story.answer_one(),
            7..=8 => story.far_step(),
            _ => {
                let millis = story.random.below(3_000);
                story.world.pass(millis);
            }
        }
    }
    story.end();
    story.check_streams();
    let told = story.world.said.iter().filter_map(|said| match said {
        Said::Event(_, _, event) => Some(short(&event.body)),
        _ => None,
    });
    told.collect()
}

#[test]
fn random_stories() {
    let mut seen = BTreeSet::new();
    for seed in 0..30 {
        match std::panic::catch_unwind(|| run(seed, 250)) {
            Ok(told) => seen.extend(told),
            Err(why) => {
                eprintln!("seed {seed}");
                std::panic::resume_unwind(why);
            }
        }
    }
    // The stories are about something.
    let expected = [
        "new offering (active) as owner",
        "accepted",
        "connected (active)",
        "connected (active_held)",
        "on_hold",
        "disconnected (normal)",
        "disconnected (unavail)",
        "idle",
        "info bridge",
        "info owners_increased monitors",
        "played done",
        "recorded done",
        "digit 1",
        "line ringing",
        "closed",
        "removed",
    ];
    let missing: Vec<&&str> = expected.iter().filter(|kind| !seen.contains(**kind)).collect();
    assert!(missing.is_empty(), "never seen: {missing:?}");
}

/// Anything at all, about a few lines and calls.
fn nonsense(random: &mut Random) -> tspi::Event {
    let line = LineRef(random.below(3) as u32);
    let call = CallRef(random.below(6));
    let cause = tapi::Cause::new(DisconnectMode::Normal);
    let reports = [
        Report::Offered,
        Report::Accepted,
        Report::Dialing,
        Report::Answered(AnswerEvidence::Timer),
        Report::Held,
        Report::Retrieved,
        Report::PeerHeld,
        Report::Released { by: ReleasedBy::Remote, cause: cause.clone() },
        Report::Released { by: ReleasedBy::Local, cause },
    ];
    let report = reports[random.below(reports.len() as u64) as usize].clone();
    match random.below(16) {
        0 => tspi::Event::LineAdded { line, description: Box::new(common::line("trunk", MediaWire::Rtp)) },
        1 => tspi::Event::LineRemoved { line, reason: "gone".into() },
        2..=4 => tspi::Event::NewCall { line, call, facts: Box::default() },
        5 => {
            let operation = tapi::OperationId(100 + random.below(100));
            tspi::Event::DigitsSent { call, operation, complete: true }
        }
        6 => tspi::Event::Media { call, remote: common::remote(Direction::SendRecv) },
        7..=9 => {
            let id = CommandId(100 + random.below(120));
            let result = if random.below(2) == 0 { Ok(Taken::Call(call)) } else { Ok(Taken::Done) };
            tspi::Event::Reply { id, result }
        }
        _ => tspi::Event::Call { call, report },
    }
}

#[test]
fn a_lawless_provider_breaks_nothing() {
    for seed in 0..15 {
        let mut story = Story::new(seed);
        for _ in 0..200 {
            if story.random.below(2) == 0 {
                story.client_step();
            } else {
                let event = nonsense(&mut story.random);
                story.world.tell(event);
            }
            let millis = story.random.below(500);
            story.world.pass(millis);
        }
        for client in story.clients.clone() {
            story.leave(client);
        }
        story.world.input(Input::ProviderStopped { provider: PROVIDER, reason: "thrown out".into() });
        assert!(story.world.server.is_empty_of_calls(), "seed {seed}: {:?}", story.world.server.summary());
    }
}
