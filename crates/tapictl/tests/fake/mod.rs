//! A daemon that answers by a script: a function from request to answer and events.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tapi::wire::{Hello, Lines, decode_request, encode_event, encode_hello, encode_reply};
use tapi::*;

/// What the daemon does with a request: its answer, and the events it causes. [`EventBody::Unrecognized`] is none: there
/// it cuts the connection, as a daemon does that is restarted.
pub type Answer = (Result<Reply, Error>, Vec<EventBody>);

type Script = Arc<Mutex<dyn FnMut(&Request) -> Option<Answer> + Send>>;

/// The daemon. What the script does not answer is answered as the one call and the one line that there are.
pub struct Daemon {
    directory: PathBuf,
    asked: Arc<Mutex<Vec<Request>>>,
}

impl Daemon {
    pub fn start(script: impl FnMut(&Request) -> Option<Answer> + Send + 'static) -> Daemon {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("tapictl-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let listener = UnixListener::bind(directory.join("api.sock")).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (script, log): (Script, _) = (Arc::new(Mutex::new(script)), Arc::clone(&asked));
        std::thread::spawn(move || {
            let mut last = 40;
            for stream in listener.incoming() {
                serve(stream.unwrap(), &script, &log, &mut last);
            }
        });
        Daemon { directory, asked }
    }

    /// A file of the test's own.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tapictl"));
        command.arg("--socket").arg(self.file("api.sock")).args(arguments.split(' ')).current_dir(&self.directory);
        command
    }

    pub fn run(&self, arguments: &str) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The methods that were asked, in order.
    pub fn asked(&self) -> Vec<&'static str> {
        self.asked.lock().unwrap().iter().map(Request::method).collect()
    }

    pub fn requests(&self) -> Vec<Request> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn serve(mut stream: UnixStream, script: &Script, log: &Mutex<Vec<Request>>, seq: &mut u64) {
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let (mut bytes, mut piece, mut lines) = (Vec::new(), [0; 4096], Lines::new());
    let (generation, max_line) = (Generation(1), tapi::wire::MAX_LINE);
    encode_hello(&mut bytes, &Hello { tapid: "0.1.0".into(), api: (1, 0), generation, seq: *seq, max_line });
    let mut prev = 0;
    loop {
        if stream.write_all(&bytes).is_err() {
            return;
        }
        bytes.clear();
        let count = stream.read(&mut piece).unwrap_or(0);
        if count == 0 {
            return;
        }
        lines.push(&piece[..count]);
        while let Some(line) = lines.next_line() {
            let (id, request) = decode_request(line.unwrap()).unwrap();
            log.lock().unwrap().push(request.clone());
            let scripted = (script.lock().unwrap())(&request);
            let (result, events) = scripted.unwrap_or_else(|| (Ok(usual(&request)), Vec::new()));
            encode_reply(&mut bytes, id, &result);
            for body in events {
                if body == EventBody::Unrecognized {
                    let _ = stream.write_all(&bytes);
                    return;
                }
                *seq += 1;
                let (time, wall) = (Time(*seq), 1_795_386_549_344_123);
                encode_event(&mut bytes, prev, &Event { seq: *seq, time, wall, body });
                prev = *seq;
            }
        }
    }
}

/// What a daemon with one line and one call answers.
fn usual(request: &Request) -> Reply {
    match request {
        Request::ClientOpen(_) | Request::ClientResume(_) => Reply::Opened(reply::Opened {
            session: SessionId(2),
            token: "secret".into(),
            generation: Generation(1),
            seq: 40,
        }),
        Request::LineList(_) => Reply::Lines(reply::Lines { lines: vec![line()] }),
        Request::LineOpen(_) => Reply::LineOpened(reply::LineOpened { line: LineId(3) }),
        Request::CallList(_) => Reply::Calls(reply::Calls { calls: vec![call()] }),
        Request::CallGet(_) => Reply::Call(Box::new(call())),
        Request::CallMake(_) => Reply::Made(reply::Made { call: CallId(1017) }),
        Request::CallPlay(_) | Request::CallRecord(_) | Request::CallSendDigits(_) => {
            Reply::Started(reply::Started { operation: OperationId(9) })
        }
        _ => Reply::Done(reply::Done {}),
    }
}

/// The events of a call that comes into these states.
pub fn states(states: impl IntoIterator<Item = CallState>) -> Vec<EventBody> {
    states.into_iter().map(|state| state_event(state, None)).collect()
}

pub fn state_event(state: CallState, cause: Option<Cause>) -> EventBody {
    let (call, line, features) = (CallId(1017), LineId(3), Names::new());
    EventBody::CallState { call, line, state, features, privilege: None, cause }
}

pub fn line() -> Line {
    let caps = LineCaps {
        bearer_modes: Names::from([BearerMode::Voice]),
        media_modes: Names::from([MediaMode::InteractiveVoice]),
        call_features: Names::from([Feature::Answer, Feature::Drop]),
        flags: Names::new(),
        max_calls: 4,
        max_held_calls: 4,
    };
    let status = LineStatus {
        service: Service::In,
        opens: 1,
        active_calls: 1,
        held_calls: 0,
        features: Names::from([LineFeature::MakeCall]),
        signal: None,
        operator: None,
        message_waiting: None,
        forwarding: Vec::new(),
    };
    Line {
        line: LineId(3),
        name: "sip:trunk".into(),
        provider: "sip".into(),
        description: "the trunk".into(),
        addresses: vec!["sip:trunk@example.org".into()],
        caps,
        status,
        rights: Names::new(),
    }
}

pub fn call() -> Call {
    let info = CallInfo {
        call: CallId(1017),
        uid: "node-1-1017".into(),
        line: LineId(3),
        line_name: "sip:trunk".into(),
        address: AddressId(0),
        origin: CallOrigin::External,
        reason: CallReason::Direct,
        bearer: BearerMode::Voice,
        media_mode: Names::from([MediaMode::InteractiveVoice]),
        caller: Party::new(Some("+49301234".into()), Some("Ann\u{1b}[2J".into())),
        called: Party::new(Some("100".into()), None),
        connected: Party::unknown(),
        redirection: Party::unavailable(),
        redirecting: Party::unavailable(),
        network_id: Some("a84b4c76e66710".into()),
        network_time: None,
        related: None,
        conversation: "node-1-1017".into(),
        conference: None,
        bridged: None,
        app: None,
        comment: None,
        app_data: None,
        answered_by: None,
        cause: None,
        media: None,
        owners: 1,
        monitors: 1,
    };
    let status = CallStatus {
        state: CallState::Offering(OfferingMode::Active),
        entered: Time(1),
        entered_wall: 1_795_386_549_344_123,
        privilege: Privilege::Monitor,
        features: Names::from([Feature::Answer, Feature::Drop]),
    };
    Call { info, status }
}
