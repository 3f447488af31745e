//! An application on the socket, as a test drives it.

use std::path::Path;
use std::time::{Duration, Instant};
use tapi::client::blocking::Client;
use tapi::request::{CallDeallocate, CallDrop, CallMake, ClientOpen, LineList, LineOpen};
use tapi::{AddressId, CallId, CallState, EventBody, LineSelector, Method, Names, Privilege, Service};

/// Long enough for a loaded machine; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// An application that owns the calls of `sip:trunk`.
pub struct App {
    client: Client,
    /// Everything that happened so far, for the message of a failed test.
    seen: Vec<String>,
}

impl App {
    pub fn new(socket: &Path) -> App {
        App::of(socket, &["sip:trunk"])
    }

    /// One that owns the calls of these lines.
    pub fn of(socket: &Path, lines: &[&str]) -> App {
        let mut client = Client::connect(socket).unwrap();
        client.call(ClientOpen { app: "test".into(), ..ClientOpen::default() }).unwrap();
        for line in lines {
            client
                .call(LineOpen {
                    line: LineSelector::Name((*line).into()),
                    privileges: Names::from([Privilege::Owner, Privilege::Monitor]),
                    media_modes: Names::new(),
                })
                .unwrap();
        }
        App { client, seen: Vec::new() }
    }

    /// A call from a line.
    pub fn make(&mut self, line: &str, to: &str) -> CallId {
        let line = LineSelector::Name(line.into());
        self.ask(CallMake { line, to: to.into(), address: AddressId(0), block_id: false, comment: None, bearer: None })
            .call
    }

    /// Why no call can be made from a line.
    pub fn refused(&mut self, line: &str, to: &str) -> String {
        self.try_make(line, to).expect_err("a call could be made")
    }

    /// A call from a line, or why there is none.
    pub fn try_make(&mut self, line: &str, to: &str) -> Result<CallId, String> {
        let line = LineSelector::Name(line.into());
        let made = self.client.call(CallMake {
            line,
            to: to.into(),
            address: AddressId(0),
            block_id: false,
            comment: None,
            bearer: None,
        });
        made.map(|made| made.call).map_err(|error| error.to_string())
    }

    /// Whether a line can be used.
    pub fn service(&mut self, line: &str) -> Service {
        let lines = self.ask(LineList {}).lines;
        lines.iter().find(|known| known.name == line).map(|known| known.status.service.clone()).unwrap()
    }

    /// Waits until a line is in service, or out of it: then says why.
    pub fn wait_for_service(&mut self, line: &str, wanted: bool, patience: Duration) -> String {
        let deadline = Instant::now() + patience;
        loop {
            let service = self.service(line);
            if service.is_in() == wanted {
                return if let Service::Out { reason } = service { reason } else { String::new() };
            }
            assert!(Instant::now() < deadline, "{line} is {service:?} after {patience:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks, and is not refused.
    pub fn ask<M: Method>(&mut self, request: M) -> M::Reply {
        self.client.call(request).unwrap_or_else(|error| panic!("{}: {error}; seen: {:#?}", M::NAME, self.seen))
    }

    /// The first event that `pick` takes; others are passed over.
    pub fn wait<T>(&mut self, what: &str, mut pick: impl FnMut(&EventBody) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let Some(delivered) = self.client.next_event(Some(Duration::from_millis(200))).unwrap() else { continue };
            self.seen.push(format!("{:?}", delivered.event.body));
            if let Some(found) = pick(&delivered.event.body) {
                return found;
            }
        }
        panic!("no {what} within {PATIENCE:?}; seen: {:#?}", self.seen);
    }

    /// The next incoming call.
    pub fn offered(&mut self) -> CallId {
        self.wait("offered call", |body| match body {
            EventBody::CallState { call, state: CallState::Offering(_), .. } => Some(*call),
            _ => None,
        })
    }

    /// No call comes in for so long.
    pub fn nothing_is_offered(&mut self, patience: Duration, why: &str) {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            let next = self.client.next_event(Some(Duration::from_millis(100))).unwrap();
            let offers = |body: &EventBody| matches!(body, EventBody::CallState { state: CallState::Offering(_), .. });
            assert!(next.is_none_or(|delivered| !offers(&delivered.event.body)), "{why}");
        }
    }

    /// The next state of a call.
    pub fn state(&mut self, of: CallId) -> CallState {
        self.wait("state", |body| match body {
            EventBody::CallState { call, state, .. } if *call == of => Some(state.clone()),
            _ => None,
        })
    }

    /// The states of a call from now to `last`, that one included.
    pub fn states_to(&mut self, call: CallId, last: &str) -> Vec<String> {
        let mut states = Vec::new();
        loop {
            let state = self.state(call);
            states.push(state.to_string());
            if state.name() == last {
                return states;
            }
        }
    }

    /// Hangs up, sees the call idle, and lets go of it.
    pub fn hang_up(&mut self, call: CallId) {
        self.ask(CallDrop { call, reason: None });
        assert_eq!(self.states_to(call, "idle"), ["idle"], "a local hang-up goes straight to idle");
        self.ask(CallDeallocate { call });
    }

    /// Lets go of a call that is over.
    pub fn hang_up_quietly(&mut self, call: CallId) {
        self.ask(CallDrop { call, reason: None });
        assert_eq!(self.state(call), CallState::Idle);
        self.ask(CallDeallocate { call });
    }

    /// Waits for the far end's hang-up, and lets go of the call.
    pub fn wait_for_hang_up(&mut self, call: CallId) -> Vec<String> {
        let states = self.states_to(call, "disconnected");
        self.hang_up_quietly(call);
        states
    }
}
