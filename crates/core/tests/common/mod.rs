//! A scripted world round a server: connections, a provider and a media provider that do what the test says.
//!
//! Beside the server runs a twin that is written down and read back after every single input: both must say the same.
//! After every input the server's own invariants are checked.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tapi::request::*;
use tapi::{
    AnswerEvidence, BearerMode, CallId, CallState, Cause, DisconnectMode, ErrorCode, Event, EventBody, Feature,
    Generation, LineCaps, LineId, LineSelector, MediaMode, Names, OperationId, Privilege, Reply, RequestId, Service,
    Time,
};
use tapi_core::{ClientId, Config, EntryKey, Input, Output, Peer, ProviderId, Server};
use tspi::media::{self, Codec, DescriptorId};
use tspi::{
    Action, CallFacts, CallRef, Command, CommandId, DigitsBy, Direction, Format, LineDescription, LineRef, MediaWire,
    Refusal, ReleasedBy, RemoteMedia, RemoteRtp, Report, Taken,
};

/// The provider that most tests have.
pub const PROVIDER: ProviderId = ProviderId(1);

/// What came out, in order.
#[derive(Clone, Debug)]
pub enum Said {
    Reply(ClientId, RequestId, Result<Reply, tapi::Error>),
    Event(ClientId, u64, Event),
    Command(ProviderId, Command),
    Media(media::Command),
    Discard(DescriptorId),
    OpenMedia(CallId, String),
    Ended(Box<tapi::LedgerEntry>),
    Close(ClientId),
}

pub struct World {
    pub now: Time,
    pub server: Server,
    twin: Server,
    /// What would be left after a crash.
    pub journal: BTreeMap<EntryKey, Vec<u8>>,
    pub said: Vec<Said>,
    unread: BTreeMap<ClientId, VecDeque<Event>>,
    /// Answers that were given, ever.
    pub answered: BTreeMap<(ClientId, RequestId), u32>,
    commands: VecDeque<(ProviderId, Command)>,
    next_request: u64,
    next_client: u64,
}

pub fn config() -> Config {
    Config {
        node: "here".into(),
        generation: Generation(10),
        first_id: 100,
        wall_offset: 1_000_000_000,
        rtp_address: "127.0.0.1".parse().unwrap(),
        rtp_ports: (4000..4004).collect(),
        seed: [7; 32],
        replay_events: 1_000,
        idle_grace_ms: 30_000,
        options: Default::default(),
    }
}

pub fn all_features() -> Names<Feature> {
    [Feature::Accept, Feature::Answer, Feature::Drop, Feature::Hold, Feature::Unhold, Feature::GenerateDigits].into()
}

pub fn line(name: &str, media: MediaWire) -> LineDescription {
    LineDescription {
        name: name.into(),
        description: "a line".into(),
        addresses: vec!["100".into()],
        caps: LineCaps {
            bearer_modes: [BearerMode::Voice].into(),
            media_modes: [MediaMode::InteractiveVoice, MediaMode::AutomatedVoice].into(),
            call_features: all_features(),
            flags: Names::new(),
            max_calls: 4,
            max_held_calls: 2,
        },
        service: Service::In,
        media,
        digits: DigitsBy::Media,
    }
}

impl World {
    /// A server without anything.
    pub fn empty(config: Config) -> World {
        let mut server = Server::new(config.clone());
        server.begin_checkpoints();
        World {
            now: Time::from_millis(5_000),
            server,
            twin: Server::new(config),
            journal: BTreeMap::new(),
            said: Vec::new(),
            unread: BTreeMap::new(),
            answered: BTreeMap::new(),
            commands: VecDeque::new(),
            next_request: 1,
            next_client: 1,
        }
    }

    /// A server with a provider that has one RTP line, `trunk`, its [`LineRef`] 0.
    pub fn new() -> World {
        World::with(line("trunk", MediaWire::Rtp))
    }

    pub fn with(description: LineDescription) -> World {
        let mut world = World::empty(config());
        world.input(Input::ProviderStarted { provider: PROVIDER, name: "sip".into() });
        world.add_line(0, description);
        world
    }

    /// A new process goes on with the state: connections are gone, and their numbers begin anew.
    pub fn restart(&mut self) {
        self.input(Input::Restored);
        self.next_client = 1;
    }

    /// The process dies, and a new one goes on with the journal; the provider still has these calls.
    pub fn crash(&mut self, calls: &[u64]) {
        self.crash_with(config(), calls);
    }

    pub fn crash_with(&mut self, config: Config, calls: &[u64]) {
        let providers = [(PROVIDER, "sip".to_owned())];
        let recover = || Server::recover(self.now, config.clone(), &providers, self.journal.clone()).unwrap();
        (self.server, self.twin) = (recover(), recover());
        (self.next_client, self.commands) = (1, VecDeque::new());
        self.unread.clear();
        self.input(Input::ProviderStarted { provider: PROVIDER, name: "sip".into() });
        let calls = calls.iter().map(|call| (PROVIDER, CallRef(*call))).collect();
        self.input(Input::Recovered { calls });
    }

    pub fn add_line(&mut self, reference: u32, description: LineDescription) {
        self.tell(tspi::Event::LineAdded { line: LineRef(reference), description: Box::new(description) });
    }

    pub fn input(&mut self, input: Input) {
        self.server.handle(self.now, input.clone());
        self.twin.handle(self.now, input);
        self.server.checkpoint(|key, value| match value {
            Some(value) => std::mem::drop(self.journal.insert(key, value.to_vec())),
            None => std::mem::drop(self.journal.remove(&key)),
        });
        while let Some(output) = self.server.poll_output() {
            let other = self.twin.poll_output().expect("the restored twin says less");
            assert_eq!(format!("{output:?}"), format!("{other:?}"), "the restored twin says something else");
            self.take(output);
        }
        assert!(self.twin.poll_output().is_none(), "the restored twin says more");
        self.server.check().unwrap();
        let written = serde_json::to_string(&self.twin).unwrap();
        self.twin = serde_json::from_str(&written).unwrap();
        assert_eq!(written, serde_json::to_string(&self.twin).unwrap());
        assert_eq!(self.twin.poll_timeout(), self.server.poll_timeout());
        assert_eq!(self.twin.summary(), self.server.summary());
    }

    fn take(&mut self, output: Output) {
        self.said.push(match output {
            Output::Reply { client, id, result } => {
                *self.answered.entry((client, id)).or_default() += 1;
                Said::Reply(client, id, result)
            }
            Output::Event { client, prev, event } => {
                self.unread.entry(client).or_default().push_back((*event).clone());
                Said::Event(client, prev, (*event).clone())
            }
            Output::Command { provider, command } => {
                self.commands.push_back((provider, command.clone()));
                Said::Command(provider, command)
            }
            Output::Media { command, .. } => Said::Media(command),
            Output::OpenMedia { call, file } => Said::OpenMedia(call, file),
            Output::Ended { record } => Said::Ended(record),
            Output::Discard { descriptor } => Said::Discard(descriptor),
            Output::CloseClient { client, .. } => Said::Close(client),
        });
    }

    /// Time goes on; deadlines that fall into it are kept to the microsecond.
    pub fn pass(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while let Some(due) = self.server.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.input(Input::Timeout);
        }
        self.now = end;
    }

    // Clients.

    pub fn connect(&mut self) -> ClientId {
        let client = ClientId(self.next_client);
        self.next_client += 1;
        self.input(Input::ClientConnected { client, peer: Peer { uid: 1000, gid: 1000, groups: Vec::new(), pid: 42 } });
        client
    }

    pub fn gone(&mut self, client: ClientId) {
        self.input(Input::ClientGone { client, overrun: false });
    }

    /// A registered application.
    pub fn app(&mut self, name: &str) -> ClientId {
        self.app_that_lingers(name, 0).0
    }

    pub fn app_that_lingers(&mut self, name: &str, linger_ms: u64) -> (ClientId, String) {
        let client = self.connect();
        match self.ok(client, ClientOpen { app: name.into(), api: None, linger_ms }) {
            Reply::Opened(opened) => (client, opened.token),
            other => panic!("{other:?}"),
        }
    }

    /// An application that opened `trunk` with these privileges.
    pub fn with_line(&mut self, name: &str, privileges: &[Privilege]) -> ClientId {
        let client = self.app(name);
        self.open(client, "trunk", privileges);
        client
    }

    pub fn owner(&mut self, name: &str) -> ClientId {
        self.with_line(name, &[Privilege::Owner])
    }

    pub fn monitor(&mut self, name: &str) -> ClientId {
        self.with_line(name, &[Privilege::Monitor])
    }

    pub fn open(&mut self, client: ClientId, line: &str, privileges: &[Privilege]) -> LineId {
        let privileges = privileges.iter().cloned().collect();
        let open = LineOpen { line: LineSelector::Name(line.into()), privileges, media_modes: Names::new() };
        match self.ok(client, open) {
            Reply::LineOpened(opened) => opened.line,
            other => panic!("{other:?}"),
        }
    }

    pub fn ask(&mut self, client: ClientId, request: impl Method) -> RequestId {
        self.ask_with(client, request, None)
    }

    pub fn ask_with(&mut self, client: ClientId, request: impl Method, file: Option<u64>) -> RequestId {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        let descriptor = file.map(DescriptorId);
        self.input(Input::Request { client, id, request: request.into_request(), descriptor });
        id
    }

    pub fn reply(&self, client: ClientId, id: RequestId) -> Option<Result<Reply, tapi::Error>> {
        let own = |said: &Said| match said {
            Said::Reply(of, to, result) if (*of, *to) == (client, id) => Some(result.clone()),
            _ => None,
        };
        self.said.iter().find_map(own)
    }

    /// A request that is taken at once.
    #[track_caller]
    pub fn ok(&mut self, client: ClientId, request: impl Method) -> Reply {
        let id = self.ask(client, request);
        self.reply(client, id).expect("it is not answered at once").unwrap()
    }

    /// A request that is refused at once.
    #[track_caller]
    pub fn refused(&mut self, client: ClientId, request: impl Method) -> ErrorCode {
        let id = self.ask(client, request);
        self.reply(client, id).expect("it is not answered at once").unwrap_err().code
    }

    /// A request that the provider takes.
    #[track_caller]
    pub fn taken(&mut self, client: ClientId, request: impl Method) -> Reply {
        let id = self.ask(client, request);
        assert!(self.reply(client, id).is_none(), "it is answered before the provider spoke");
        let command = self.command();
        self.done(command.id);
        self.reply(client, id).expect("it is not answered").unwrap()
    }

    /// What a client was told since it was last asked.
    pub fn events(&mut self, client: ClientId) -> Vec<EventBody> {
        self.unread.remove(&client).unwrap_or_default().into_iter().map(|event| event.body).collect()
    }

    /// The same in short: kinds, with the states and privileges of calls.
    pub fn told(&mut self, client: ClientId) -> Vec<String> {
        self.events(client).iter().map(short).collect()
    }

    // The provider.

    pub fn tell(&mut self, event: tspi::Event) {
        self.input(Input::Provider { provider: PROVIDER, event });
    }

    /// The oldest command not yet looked at.
    #[track_caller]
    pub fn command(&mut self) -> Command {
        self.commands.pop_front().expect("there is no command").1
    }

    pub fn commands(&mut self) -> Vec<Action> {
        self.commands.drain(..).map(|(_, command)| command.action).collect()
    }

    pub fn done(&mut self, id: CommandId) {
        self.tell(tspi::Event::Reply { id, result: Ok(Taken::Done) });
    }

    pub fn refuse(&mut self, id: CommandId, code: ErrorCode) {
        self.tell(tspi::Event::Reply { id, result: Err(Refusal::new(code, "no")) });
    }

    pub fn report(&mut self, call: u64, report: Report) {
        self.tell(tspi::Event::Call { call: CallRef(call), report });
    }

    pub fn released(&mut self, call: u64, by: ReleasedBy, mode: DisconnectMode) {
        self.report(call, Report::Released { by, cause: Cause::new(mode) });
    }

    /// An incoming call, offered.
    pub fn incoming(&mut self, call: u64) {
        let facts = CallFacts {
            caller: Some(tapi::Party::new(Some("555".into()), None)),
            network_id: Some(format!("net-{call}")),
            ..CallFacts::default()
        };
        self.tell(tspi::Event::NewCall { line: LineRef(0), call: CallRef(call), facts: Box::new(facts) });
        self.report(call, Report::Offered);
    }

    pub fn media_flows(&mut self, call: u64, direction: Direction) {
        self.tell(tspi::Event::Media { call: CallRef(call), remote: remote(direction) });
    }

    // Calls.

    pub fn ask_make(&mut self, client: ClientId) -> RequestId {
        self.ask(client, make("200"))
    }

    /// A call made by `client`, taken by the provider under this name.
    #[track_caller]
    pub fn made(&mut self, client: ClientId, reference: u64) -> CallId {
        let id = self.ask_make(client);
        let command = self.command();
        assert!(matches!(command.action, Action::MakeCall { .. }), "{command:?}");
        let result = Ok(Taken::Call(CallRef(reference)));
        self.tell(tspi::Event::Reply { id: command.id, result });
        match self.reply(client, id) {
            Some(Ok(Reply::Made(made))) => made.call,
            other => panic!("{other:?}"),
        }
    }

    /// A call made by `client`, and answered.
    pub fn connected(&mut self, client: ClientId, reference: u64) -> CallId {
        let call = self.made(client, reference);
        self.report(reference, Report::Proceeding);
        self.media_flows(reference, Direction::SendRecv);
        self.report(reference, Report::Answered(AnswerEvidence::Signalled));
        call
    }

    pub fn state(&mut self, client: ClientId, call: CallId) -> CallState {
        self.call(client, call).status.state
    }

    #[track_caller]
    pub fn call(&mut self, client: ClientId, call: CallId) -> tapi::Call {
        match self.ok(client, CallGet { call }) {
            Reply::Call(call) => *call,
            other => panic!("{other:?}"),
        }
    }

    /// The call of the first `call.new` among a client's unread events.
    #[track_caller]
    pub fn new_call(&mut self, client: ClientId) -> CallId {
        let new = |body: EventBody| match body {
            EventBody::CallNew { call } => Some(call.info.call),
            _ => None,
        };
        self.events(client).into_iter().find_map(new).expect("no call was told")
    }

    /// An operation that is begun at once.
    #[track_caller]
    pub fn started(&mut self, client: ClientId, request: impl Method, file: Option<u64>) -> OperationId {
        let id = self.ask_with(client, request, file);
        match self.reply(client, id) {
            Some(Ok(Reply::Started(started))) => started.operation,
            other => panic!("{other:?}"),
        }
    }

    /// Commands to the media provider, and that they go by.
    pub fn media(&mut self) -> Vec<media::Command> {
        let (media, rest): (Vec<Said>, Vec<Said>) =
            std::mem::take(&mut self.said).into_iter().partition(|said| matches!(said, Said::Media(_)));
        self.said = rest;
        media
            .into_iter()
            .filter_map(|said| if let Said::Media(command) = said { Some(command) } else { None })
            .collect()
    }

    /// Every request was answered, exactly once.
    #[track_caller]
    pub fn everything_answered_once(&self, asked: &[(ClientId, RequestId)]) {
        for asked in asked {
            assert_eq!(self.answered.get(asked), Some(&1), "{asked:?}");
        }
    }
}

pub fn make(to: &str) -> CallMake {
    CallMake {
        line: LineSelector::Name("trunk".into()),
        to: to.into(),
        address: Default::default(),
        block_id: false,
        comment: None,
        bearer: None,
    }
}

pub fn drop(call: CallId) -> CallDrop {
    CallDrop { call, reason: None }
}

pub fn remote(direction: Direction) -> RemoteMedia {
    RemoteMedia::Rtp(RemoteRtp {
        address: "127.0.0.1:9000".parse().unwrap(),
        send: Format { codec: Codec::Pcma, payload_type: 8 },
        receive: vec![Format { codec: Codec::Pcma, payload_type: 8 }],
        events: Some(101),
        direction,
        ptime_ms: 20,
        rtcp: tspi::Rtcp::None,
        srtp: None,
        comfort_noise: None,
    })
}

/// An event in short.
pub fn short(body: &EventBody) -> String {
    let of = |privilege: &Option<Privilege>| privilege.as_ref().map(|own| format!(" as {own}")).unwrap_or_default();
    match body {
        EventBody::CallNew { call } => format!("new {} as {}", call.status.state, call.status.privilege),
        EventBody::CallState { state, privilege, .. } => format!("{state}{}", of(privilege)),
        EventBody::CallInfo { changed, .. } => {
            let kinds: Vec<&str> = changed.iter().map(|kind| kind.as_str()).collect();
            format!("info {}", kinds.join(" "))
        }
        EventBody::LineState { change, .. } => format!("line {change}"),
        EventBody::LineAdded { line } => format!("added {}", line.name),
        EventBody::LineRemoved { .. } => "removed".into(),
        EventBody::LineClosed { .. } => "closed".into(),
        EventBody::CallDigit { digit, .. } => format!("digit {digit}"),
        EventBody::CallTone { tones, .. } => format!("tones {}", tones.len()),
        EventBody::CallGenerated { end, .. } => format!("generated {end}"),
        EventBody::CallPlayed { end, .. } => format!("played {end}"),
        EventBody::CallRecorded { end, .. } => format!("recorded {end}"),
        EventBody::CallGathered { digits, end, .. } => format!("gathered {digits} {end}"),
        EventBody::CallAudioEnded { end, .. } => format!("audio {end}"),
        EventBody::CallProgress { tone, .. } => format!("progress {tone}"),
        EventBody::CallTransfer { phase, how, .. } => format!("transfer {phase} {how}"),
        EventBody::CallTransferRequested { to, .. } => format!("transfer requested {to}"),
        EventBody::LineDevice { .. } => "device".into(),
        EventBody::Unrecognized => "unrecognized".into(),
    }
}
