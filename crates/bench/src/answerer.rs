//! A client that answers every call.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tapi::client::ClientError;
use tapi::client::blocking::Client;
use tapi::request::{CallAccept, CallAnswer, CallDeallocate, CallDrop, ClientOpen, LineOpen};
use tapi::{CallState, EventBody, LineSelector, Names, Privilege};

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

/// Opens the line and answers in a thread of its own.
pub fn start(socket: PathBuf, until: Until) -> Result<Answerer, ClientError> {
    let mut client = Client::connect(&socket)?;
    client.call(ClientOpen { app: "bench".into(), ..ClientOpen::default() })?;
    client.call(LineOpen {
        line: LineSelector::Name("sip:bench".into()),
        privileges: Names::from([Privilege::Owner]),
        media_modes: Names::new(),
    })?;
    let counts = Arc::new(Counts::default());
    let shared = Arc::clone(&counts);
    std::thread::spawn(move || while step(&mut client, until, &shared).is_ok() {});
    Ok(Answerer { counts })
}

fn step(client: &mut Client, until: Until, counts: &Counts) -> Result<(), ClientError> {
    let Some(delivered) = client.next_event(Some(Duration::from_secs(120)))? else { return Ok(()) };
    let EventBody::CallState { call, state, .. } = delivered.event.body else { return Ok(()) };
    // A call may end while a request about it is under way: that refusal is no fault.
    let tolerate = |result: Result<(), ClientError>| match result {
        Err(error) if error.refusal().is_some() => Ok(()),
        other => other,
    };
    match (state, until) {
        (CallState::Offering(_), Until::Ringing) => {
            tolerate(client.call(CallAccept { call, early_media: false }).map(drop))
        }
        (CallState::Offering(_), Until::Connected) => tolerate(client.call(CallAnswer { call }).map(drop)),
        (CallState::Accepted, Until::Ringing) => {
            counts.reached.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
        (CallState::Connected(_), _) => {
            counts.answered.fetch_add(1, Ordering::Relaxed);
            counts.reached.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
        (CallState::Disconnected(_), _) => tolerate(client.call(CallDrop { call, reason: None }).map(drop)),
        (CallState::Idle, _) => tolerate(client.call(CallDeallocate { call }).map(drop)),
        _ => Ok(()),
    }
}
