//! An application of the world: what it asked, what it was told, and what must hold of that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tapi::{
    Call, CallId, CallState, Delivered, Error, Event, EventBody, LineId, LineSelector, OperationId, Privilege, Reply,
    Request, RequestId, reply,
};
use tapi_core::ClientId;

/// An application.
#[derive(Debug)]
pub struct App {
    /// Its present connection.
    pub client: ClientId,
    /// Whether it is connected, and if not why.
    pub connection: Connection,
    /// Its session, once it has one.
    pub opened: Option<reply::Opened>,
    /// What it asked and was not answered.
    pub asked: BTreeMap<RequestId, Request>,
    /// What it was answered.
    pub replies: BTreeMap<RequestId, Result<Reply, Error>>,
    /// What it was told.
    pub events: Vec<Delivered>,
    /// The calls it has a handle on, as events and replies told it.
    pub calls: BTreeMap<CallId, View>,
    next_request: u64,
    /// The event that the next one must name as the one before it.
    last: u64,
    /// The highest event that was seen: after a resumption the server may send some again.
    seen: u64,
    /// A new call was told, and its state must be the next event.
    expects_state_of: Option<CallId>,
    /// What it began and was not told the end of.
    operations: BTreeSet<OperationId>,
    /// Calls whose handle it gave up or that are void.
    void: BTreeSet<CallId>,
}

/// Whether an application is connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    /// It is.
    Up,
    /// It went away.
    Left,
    /// The server closed it.
    Closed(String),
}

/// A call as an application sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The line it is on, once it is known.
    pub line: Option<LineId>,
    /// Its state, once it was told.
    pub state: Option<CallState>,
    /// What it may do.
    pub privilege: Privilege,
}

impl App {
    /// An application that just connected.
    pub fn new(client: ClientId) -> App {
        App {
            client,
            connection: Connection::Up,
            opened: None,
            asked: BTreeMap::new(),
            replies: BTreeMap::new(),
            events: Vec::new(),
            calls: BTreeMap::new(),
            next_request: 1,
            last: 0,
            seen: 0,
            expects_state_of: None,
            operations: BTreeSet::new(),
            void: BTreeSet::new(),
        }
    }

    /// Notes that it asks this, and names the request.
    pub fn ask(&mut self, request: Request) -> RequestId {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        self.asked.insert(id, request);
        id
    }

    /// The last event that it saw.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// It has a new connection; what it asked on the old one will not be answered.
    pub fn reconnected(&mut self, client: ClientId) {
        self.client = client;
        self.connection = Connection::Up;
        self.asked.clear();
        self.expects_state_of = None;
    }

    /// The state of a call, as it was told last.
    pub fn state(&self, call: CallId) -> Option<&CallState> {
        self.calls.get(&call).and_then(|view| view.state.as_ref())
    }

    /// The states that a call was told to be in, oldest first.
    pub fn states(&self, call: CallId) -> Vec<CallState> {
        let state = |delivered: &Delivered| match &delivered.event.body {
            EventBody::CallState { call: of, state, .. } if *of == call => Some(state.clone()),
            _ => None,
        };
        self.events.iter().filter_map(state).collect()
    }

    /// Takes a reply.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn reply(&mut self, id: RequestId, result: Result<Reply, Error>) -> Result<(), String> {
        let Some(request) = self.asked.remove(&id) else {
            return Err(format!("request {id} is answered again, or was never asked: {result:?}"));
        };
        if let Some(call) = self.expects_state_of {
            return Err(format!("between the notice of call {call} and its state came the reply {result:?}"));
        }
        if let Ok(reply) = &result {
            self.taken(&request, reply)?;
        }
        self.replies.insert(id, result);
        Ok(())
    }

    fn taken(&mut self, request: &Request, reply: &Reply) -> Result<(), String> {
        match (request, reply) {
            (Request::ClientOpen(_), Reply::Opened(opened)) => {
                self.opened = Some(opened.clone());
                (self.last, self.seen) = (0, 0);
                self.operations.clear();
                self.calls.clear();
            }
            (Request::ClientResume(params), Reply::Opened(opened)) => {
                self.opened = Some(opened.clone());
                self.last = params.since;
            }
            (Request::ClientClose(_), Reply::Done(_)) => {
                self.opened = None;
                self.void_calls(|_| true);
            }
            (_, Reply::Made(made)) => self.made(made.call)?,
            (_, Reply::ConferenceMade(made)) => {
                self.made(made.conference)?;
                if let Some(consultation) = made.consultation {
                    self.made(consultation)?;
                }
            }
            (Request::CallCompleteTransfer(_), Reply::Transferring(done)) => {
                done.conference.map_or(Ok(()), |conference| self.made(conference))?;
            }
            (_, Reply::Started(started)) => {
                self.operations.insert(started.operation);
            }
            (Request::CallDeallocate(params), Reply::Done(_)) => {
                self.calls.remove(&params.call);
                self.void.insert(params.call);
            }
            (Request::CallSetPrivilege(params), Reply::Done(_)) => {
                self.void.remove(&params.call);
                let view = View { line: None, state: None, privilege: Privilege::Monitor };
                self.calls.entry(params.call).or_insert(view).privilege = params.privilege.clone();
            }
            (Request::CallList(_), Reply::Calls(calls)) => calls.calls.iter().for_each(|call| self.see(call)),
            (Request::StateGet(_), Reply::Snapshot(snapshot)) => return self.compare(snapshot),
            (Request::LineClose(params), Reply::Done(_)) => {
                if let LineSelector::Id(line) = params.line {
                    self.closed_line(line);
                }
            }
            _ => (),
        }
        Ok(())
    }

    /// A reply makes a call.
    fn made(&mut self, call: CallId) -> Result<(), String> {
        let view = View { line: None, state: None, privilege: Privilege::Owner };
        if self.void.contains(&call) || self.calls.insert(call, view).is_some() {
            return Err(format!("call {call} was told of before the reply that made it"));
        }
        Ok(())
    }

    /// A list gives handles, and says what is.
    fn see(&mut self, call: &Call) {
        self.void.remove(&call.info.call);
        let line = Some(call.info.line);
        let view = View { line, state: Some(call.status.state.clone()), privilege: call.status.privilege.clone() };
        self.calls.insert(call.info.call, view);
    }

    /// What events told must be what the server says that is.
    fn compare(&self, snapshot: &reply::Snapshot) -> Result<(), String> {
        if snapshot.seq < self.seen {
            return Err(format!("a snapshot of {} came after event {}", snapshot.seq, self.seen));
        }
        let theirs: BTreeMap<CallId, &Call> = snapshot.calls.iter().map(|call| (call.info.call, call)).collect();
        for (call, view) in &self.calls {
            match (theirs.get(call), &view.state) {
                (Some(known), Some(state)) if known.status.state != *state => {
                    return Err(format!("call {call} was told to be {state} and is {}", known.status.state));
                }
                (Some(_), _) | (None, Some(CallState::Idle)) => (),
                (None, _) => return Err(format!("call {call} was told of, is not idle, and is not in the snapshot")),
            }
        }
        match theirs.keys().find(|call| !self.calls.contains_key(call)) {
            Some(call) => Err(format!("call {call} is in the snapshot and was never told of")),
            None => Ok(()),
        }
    }

    fn void_calls(&mut self, which: impl Fn(&View) -> bool) {
        let gone: Vec<CallId> = self.calls.iter().filter(|(_, view)| which(view)).map(|(call, _)| *call).collect();
        for call in gone {
            self.calls.remove(&call);
            self.void.insert(call);
        }
    }

    /// A line was closed by this application: its calls are void.
    pub fn closed_line(&mut self, line: LineId) {
        self.void_calls(|view| view.line == Some(line));
    }

    /// Takes an event.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn event(&mut self, prev: u64, event: &Arc<Event>) -> Result<(), String> {
        if prev != self.last || event.seq <= self.last {
            return Err(format!("event {} follows {prev}, and the last one seen was {}", event.seq, self.last));
        }
        self.last = event.seq;
        if event.seq <= self.seen {
            return Ok(());
        }
        self.seen = event.seq;
        self.events.push(Delivered { prev, event: Event::clone(event) });
        let expected = self.expects_state_of.take();
        if let Some(call) = expected
            && !matches!(&event.body, EventBody::CallState { call: of, .. } if *of == call)
        {
            return Err(format!("between the notice of call {call} and its state came {:?}", event.body));
        }
        match &event.body {
            EventBody::CallNew { call } => self.new_call(call),
            EventBody::CallState { call, line, state, privilege, .. } => {
                self.call_state(*call, *line, state, privilege.as_ref(), expected.is_some())
            }
            EventBody::LineClosed { line, .. } => {
                self.closed_line(*line);
                Ok(())
            }
            EventBody::CallInfo { info, .. } => self.handle(info.call).map(|_| ()),
            // Whoever began it is told of its end, even when the call is over or its handle given up.
            EventBody::CallPlayed { operation, .. }
            | EventBody::CallRecorded { operation, .. }
            | EventBody::CallGenerated { operation, .. } => {
                let began = self.operations.remove(operation);
                if began { Ok(()) } else { Err(format!("operation {operation} ended, and did not run")) }
            }
            body => match body.call() {
                Some(call) => self.still_on(call, body),
                None => Ok(()),
            },
        }
    }

    fn new_call(&mut self, call: &Call) -> Result<(), String> {
        let id = call.info.call;
        if self.calls.contains_key(&id) {
            return Err(format!("call {id} is new, and was known"));
        }
        self.see(call);
        self.expects_state_of = Some(id);
        Ok(())
    }

    fn handle(&mut self, call: CallId) -> Result<&mut View, String> {
        if self.void.contains(&call) {
            return Err(format!("call {call} was told of after its handle was given up"));
        }
        self.calls.get_mut(&call).ok_or_else(|| format!("call {call} was told of before its notice or its reply"))
    }

    fn still_on(&mut self, call: CallId, body: &EventBody) -> Result<(), String> {
        match self.handle(call)?.state {
            Some(CallState::Idle) => Err(format!("after call {call} was idle came {body:?}")),
            _ => Ok(()),
        }
    }

    fn call_state(
        &mut self,
        call: CallId,
        line: LineId,
        state: &CallState,
        privilege: Option<&Privilege>,
        first: bool,
    ) -> Result<(), String> {
        let view = self.handle(call)?;
        if view.state == Some(CallState::Idle) && !first {
            return Err(format!("call {call} was idle and is told to be {state}"));
        }
        if view.state.as_ref() == Some(state) && privilege.is_none() && !first {
            return Err(format!("call {call} is told to be {state} for the second time"));
        }
        view.line = Some(line);
        view.state = Some(state.clone());
        if let Some(privilege) = privilege {
            view.privilege = privilege.clone();
        }
        Ok(())
    }

    /// What stays open at the end.
    ///
    /// # Errors
    /// Requests that were not answered.
    pub fn settled(&self) -> Result<(), String> {
        match self.asked.first_key_value() {
            Some((id, request)) if self.connection == Connection::Up => {
                Err(format!("request {id} was not answered: {request:?}"))
            }
            _ => Ok(()),
        }
    }
}
