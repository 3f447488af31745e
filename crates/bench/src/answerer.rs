//! A client that answers every call.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tapi::client::ClientError;
use tapi::client::blocking::{Client, Pending};
use tapi::request::{CallAccept, CallAnswer, CallDeallocate, CallDrop, ClientOpen, LineOpen};
use tapi::{CallId, CallState, EventBody, LineSelector, Method, Names, Privilege};

/// The daemon's one line.
pub const LINE: &str = "sip:bench";

/// How far calls are taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// They ring and ring.
    Ringing,
    /// They are answered.
    Connected,
}

#[derive(Default)]
struct Counts {
    answered: AtomicUsize,
    reached: AtomicUsize,
}

/// A running answerer; it ends with its connection.
pub struct Answerer {
    counts: Arc<Counts>,
}

impl Answerer {
    /// Calls that were answered.
    pub fn answered(&self) -> usize {
        self.counts.answered.load(Ordering::Relaxed)
    }

    /// Calls that came as far as they are taken.
    pub fn reached(&self) -> usize {
        self.counts.reached.load(Ordering::Relaxed)
    }
}

/// A client that owns the calls of the line.
pub fn owner(socket: PathBuf) -> Result<Client, ClientError> {
    let mut client = Client::connect(&socket)?;
    client.call(ClientOpen { app: "bench".into(), ..ClientOpen::default() })?;
    let privileges = Names::from([Privilege::Owner]);
    client.call(LineOpen { line: LineSelector::Name(LINE.into()), privileges, media_modes: Names::new() })?;
    Ok(client)
}

/// Opens the line and answers in a thread of its own.
pub fn start(socket: PathBuf, until: Until) -> Result<Answerer, ClientError> {
    let mut answering = Answering { client: owner(socket)?, until, answers: VecDeque::new() };
    let counts = Arc::new(Counts::default());
    let shared = Arc::clone(&counts);
    std::thread::spawn(move || while answering.step(&shared).is_ok() {});
    Ok(Answerer { counts })
}

/// Requests whose answers are not taken yet.
const UNDER_WAY: usize = 256;

type Answer = Box<dyn FnOnce(&mut Client) -> Result<(), ClientError> + Send>;

struct Answering {
    client: Client,
    until: Until,
    answers: VecDeque<Answer>,
}

impl Answering {
    /// Asks without waiting, as an application must that has many calls. The oldest answers are there long since.
    fn ask<M: Method + 'static>(&mut self, request: M) -> Result<(), ClientError> {
        let pending: Pending<M> = self.client.submit(request)?;
        self.answers.push_back(Box::new(move |client| match client.reply(pending) {
            // A call may end while a request about it is under way: that refusal is no fault.
            Err(error) if error.refusal().is_none() => Err(error),
            _ => Ok(()),
        }));
        if self.answers.len() > UNDER_WAY
            && let Some(answer) = self.answers.pop_front()
        {
            answer(&mut self.client)?;
        }
        Ok(())
    }

    fn step(&mut self, counts: &Counts) -> Result<(), ClientError> {
        let Some(delivered) = self.client.next_event(Some(Duration::from_secs(120)))? else { return Ok(()) };
        let EventBody::CallState { call, state, .. } = delivered.event.body else { return Ok(()) };
        match (state, self.until) {
            (CallState::Offering(_), Until::Ringing) => self.ask(CallAccept { call, early_media: false }),
            (CallState::Offering(_), Until::Connected) => self.ask(CallAnswer { call }),
            (CallState::Accepted, Until::Ringing) => {
                counts.reached.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            (CallState::Connected(_), _) => {
                counts.answered.fetch_add(1, Ordering::Relaxed);
                counts.reached.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            (state, _) => self.over(call, &state),
        }
    }

    fn over(&mut self, call: CallId, state: &CallState) -> Result<(), ClientError> {
        match state {
            CallState::Disconnected(_) => self.ask(CallDrop { call, reason: None }),
            CallState::Idle => self.ask(CallDeallocate { call }),
            _ => Ok(()),
        }
    }
}
