//! What the core says to a session on the bus, on its way there.

use crate::outbox::Overrun;
use std::sync::Arc;
use tapi::{Call, CallId, Error, Event, Reply, RequestId};
use tokio::sync::mpsc;

/// What may wait for a client.
const MAX_SAID: usize = 4_096;

/// Something the core said.
#[derive(Debug)]
pub enum Said {
    /// An answer.
    Reply {
        /// To which request.
        id: RequestId,
        /// Taken or refused.
        result: Result<Reply, Error>,
        /// The calls that it brings, as the client sees them.
        calls: Vec<Call>,
    },
    /// An event.
    Event {
        /// The one before it.
        prev: u64,
        /// It.
        event: Arc<Event>,
    },
}

/// The end that the core has.
#[derive(Debug)]
pub struct Inbox(mpsc::Sender<Said>);

/// A new queue.
pub fn inbox() -> (Inbox, mpsc::Receiver<Said>) {
    let (sender, receiver) = mpsc::channel(MAX_SAID);
    (Inbox(sender), receiver)
}

impl Inbox {
    /// Answers a request.
    pub fn reply(
        &self,
        id: RequestId,
        result: Result<Reply, Error>,
        look: impl Fn(CallId) -> Option<Call>,
    ) -> Result<(), Overrun> {
        let brought: Vec<CallId> = match &result {
            Ok(Reply::Made(made)) => vec![made.call],
            Ok(Reply::ConferenceMade(made)) => {
                [Some(made.conference), made.consultation].into_iter().flatten().collect()
            }
            Ok(Reply::Transferring(transferring)) => transferring.conference.into_iter().collect(),
            _ => Vec::new(),
        };
        self.put(Said::Reply { id, result, calls: brought.into_iter().filter_map(look).collect() })
    }

    /// Tells an event.
    pub fn event(&self, prev: u64, event: &Arc<Event>) -> Result<(), Overrun> {
        self.put(Said::Event { prev, event: Arc::clone(event) })
    }

    fn put(&self, said: Said) -> Result<(), Overrun> {
        match self.0.try_send(said) {
            Err(mpsc::error::TrySendError::Full(_)) => Err(Overrun),
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
        }
    }
}
