//! A command's session on the daemon.

use crate::args::Args;
use crate::failure::{Code, Failure};
use crate::pick;
use crate::signal::Signals;
use std::fs::File;
use std::time::{Duration, Instant};
use tapi::client::{ClientError, Resumed, blocking::Client};
use tapi::request::{CallDeallocate, CallGet, CallList, CallSetPrivilege, ClientClose, ClientOpen, LineList, LineOpen};
use tapi::wire::Hello;
use tapi::{Call, CallId, Delivered, Line, LineId, LineSelector, Method, Names, Privilege};

/// How long the daemon may take for an answer.
const ANSWER: Duration = Duration::from_secs(20);
/// How long a daemon that is being restarted is waited for.
const RESTART: Duration = Duration::from_secs(20);

/// A connection with a registered session.
#[derive(Debug)]
pub struct Session {
    client: Client,
    signals: Option<Signals>,
    /// What could not be opened, in words: it may be why a call is not found.
    closed: Vec<String>,
}

/// What ended a wait.
#[derive(Debug)]
pub enum Moment {
    /// An event.
    Event(Delivered),
    /// Events were missed: what is known must be asked for anew.
    Missed,
    /// Ctrl-C.
    Interrupted,
    /// The time is over.
    Late,
}

impl Session {
    /// Connects and registers.
    pub fn open(args: &Args) -> Result<Session, Failure> {
        let mut client = Client::connect_within(&args.socket, ANSWER)?;
        let api = Some(tapi::wire::API_VERSION);
        client.call(ClientOpen { app: "tapictl".into(), api, linger_ms: 0 })?;
        Ok(Session { client, signals: None, closed: Vec::new() })
    }

    /// From now on Ctrl-C is a [`Moment`], not the end of the program.
    pub fn hold_signals(&mut self) -> Result<(), Failure> {
        let held = Signals::hold().and_then(|signals| Ok((signals.descriptor()?, signals)));
        let (descriptor, signals) = held.map_err(|error| {
            Failure::new(Code::Failed, format!("cannot wait for signals: {error}")).with_hint("once more in a moment")
        })?;
        self.client.wake_on(descriptor);
        self.signals = Some(signals);
        Ok(())
    }

    /// The daemon's greeting.
    pub fn hello(&self) -> &Hello {
        self.client.hello()
    }

    /// Asks, and waits for the answer.
    pub fn call<M: Method>(&mut self, request: M) -> Result<M::Reply, Failure> {
        let result = self.client.call(request);
        self.noted(result)
    }

    /// Asks with a file, and waits for the answer.
    pub fn call_with_file<M: Method>(&mut self, request: M, file: File) -> Result<M::Reply, Failure> {
        let result = self.client.call_with_descriptor(request, file.into());
        self.noted(result)
    }

    /// Ctrl-C ends one wait, not those that put things in order after it.
    fn noted<T>(&mut self, result: Result<T, ClientError>) -> Result<T, Failure> {
        if let (Err(ClientError::Interrupted), Some(signals)) = (&result, &mut self.signals) {
            signals.take();
        }
        Ok(result?)
    }

    /// All lines.
    pub fn lines(&mut self) -> Result<Vec<Line>, Failure> {
        Ok(self.call(LineList {})?.lines)
    }

    /// The line that is meant: by id, by name, or by the beginning of its name.
    pub fn line(&mut self, wanted: &str) -> Result<Line, Failure> {
        let lines = self.lines()?;
        pick::line(&lines, wanted).cloned()
    }

    /// Opens a line to make calls on it, or to see its calls too.
    pub fn open_line(&mut self, line: LineId, privilege: Privilege) -> Result<(), Failure> {
        let (line, privileges) = (LineSelector::Id(line), Names::from([privilege]));
        self.call(LineOpen { line, privileges, media_modes: Names::new() })?;
        Ok(())
    }

    /// Opens every line that can be opened, to see its calls.
    pub fn open_lines(&mut self) -> Result<Vec<Line>, Failure> {
        let lines = self.lines()?;
        for line in &lines {
            match self.open_line(line.line, Privilege::Monitor) {
                Ok(()) => {}
                Err(failure) if failure.reason.is_some() => self.closed.push(failure.message),
                Err(failure) => return Err(failure),
            }
        }
        Ok(lines)
    }

    /// All calls that this user may see.
    pub fn calls(&mut self) -> Result<Vec<Call>, Failure> {
        self.open_lines()?;
        Ok(self.call(CallList { line: None })?.calls)
    }

    /// The call that is meant, with a handle on it.
    pub fn find(&mut self, wanted: &str) -> Result<Call, Failure> {
        let calls = self.calls()?;
        pick::call(&calls, wanted).cloned().map_err(|failure| match self.closed.as_slice() {
            [] => failure,
            closed => Failure { message: format!("{} ({})", failure.message, closed.join("; ")), ..failure },
        })
    }

    /// The call that is meant, as its owner. Its line stays open as a monitor's: an owner's would be offered new calls.
    /// From here on Ctrl-C is held back: a session that ends with its process takes the calls along that it owns.
    pub fn own(&mut self, wanted: &str) -> Result<Call, Failure> {
        if self.signals.is_none() {
            self.hold_signals()?;
        }
        let call = self.find(wanted)?;
        let owner = CallSetPrivilege { call: call.info.call, privilege: Privilege::Owner };
        self.call(owner)?;
        Ok(call)
    }

    /// The call as it is now.
    pub fn get(&mut self, call: CallId) -> Result<Call, Failure> {
        self.call(CallGet { call })
    }

    /// Gives up the handle and ends the session: the call goes on without us.
    pub fn leave(&mut self, call: CallId) -> Result<(), Failure> {
        match self.call(CallDeallocate { call }) {
            Err(failure) if failure.code != Code::NoSuchObject => Err(failure),
            _ => self.close(),
        }
    }

    /// Ends the session in order.
    pub fn close(&mut self) -> Result<(), Failure> {
        self.call(ClientClose {}).map(drop)
    }

    /// Waits for an event. A daemon that is restarted meanwhile is waited for.
    pub fn moment(&mut self, deadline: Option<Instant>) -> Result<Moment, Failure> {
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            match self.client.next_event(left) {
                Ok(Some(event)) => return Ok(Moment::Event(event)),
                Ok(None) => return Ok(Moment::Late),
                Err(ClientError::Gap { .. }) => return Ok(Moment::Missed),
                Err(error @ ClientError::Interrupted) => {
                    return self.noted(Err(error)).or(Ok(Moment::Interrupted));
                }
                Err(error) if error.is_disconnect() => match self.client.resume_within(RESTART)? {
                    Resumed::Continued => {}
                    Resumed::SnapshotNeeded => return Ok(Moment::Missed),
                },
                Err(error) => return Err(error.into()),
            }
        }
    }
}
