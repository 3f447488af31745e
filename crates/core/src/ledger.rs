//! What is kept of a call leg once it is over.

use crate::server::{Life, Timer};
use crate::{Output, Server};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tapi::{CallId, CallState, LedgerEntry, Time};
use tspi::StreamId;

/// How long the last figures of a stream may take.
const FIGURES: Duration = Duration::from_secs(1);

/// A call's times, and whether they are written down.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ledger {
    /// Microseconds since 1970 UTC.
    began: u64,
    answered: Option<u64>,
    ended: Option<u64>,
    /// Its stream that is over, whose last figures are still to come.
    pub(crate) stream: Option<StreamId>,
    entry: Entry,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Entry {
    /// The call goes on.
    Open,
    /// It is over, and its last figures may still come, until then.
    Due(Time),
    Written,
}

impl Ledger {
    /// The last figures will not come any more: it is written at its time.
    pub(crate) fn recovered(&mut self) -> Option<Time> {
        self.stream = None;
        match self.entry {
            Entry::Due(due) => Some(due),
            Entry::Open | Entry::Written => None,
        }
    }

    pub(crate) fn new(wall: u64) -> Ledger {
        Ledger { began: wall, answered: None, ended: None, stream: None, entry: Entry::Open }
    }
}

impl Server {
    /// A call entered a state.
    pub(crate) fn ledger_state(&mut self, now: Time, wall: u64, id: CallId) {
        let stopping = self.life == Life::Stopping;
        let Some(call) = self.calls.get_mut(&id) else { return };
        match call.state {
            CallState::Connected(_) | CallState::Conferenced => {
                call.ledger.answered.get_or_insert(wall);
            }
            CallState::Idle | CallState::Disconnected(_) if call.ledger.entry == Entry::Open => {
                call.ledger.ended = Some(wall);
                let waits = call.ledger.stream.is_some();
                let due = now + FIGURES;
                call.ledger.entry = Entry::Due(due);
                if stopping || !waits {
                    self.write_record(id);
                } else {
                    self.timers.insert((due, Timer::Ledger(id)));
                }
            }
            _ => {}
        }
    }

    pub(crate) fn ledger_due(&mut self, id: CallId) {
        self.write_record(id);
    }

    /// Writes a call down that is over, once.
    pub(crate) fn write_record(&mut self, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Entry::Due(due) = call.ledger.entry else { return };
        call.ledger.entry = Entry::Written;
        let stream = call.ledger.stream.take();
        self.timers.remove(&(due, Timer::Ledger(id)));
        if let Some(stream) = stream {
            self.ended_streams.remove(&stream);
        }
        let Some(call) = self.calls.get(&id) else { return };
        let (info, ledger) = (&call.info, &call.ledger);
        let record = LedgerEntry {
            call: id,
            uid: info.uid.clone(),
            conversation: info.conversation.clone(),
            related: info.related,
            line: info.line_name.clone(),
            origin: info.origin.clone(),
            reason: info.reason.clone(),
            caller: info.caller.clone(),
            called: info.called.clone(),
            connected: info.connected.clone(),
            redirection: info.redirection.clone(),
            redirecting: info.redirecting.clone(),
            network_id: info.network_id.clone(),
            app: info.app.clone(),
            comment: info.comment.clone(),
            began: ledger.began,
            answered: ledger.answered,
            answered_by: info.answered_by.clone(),
            ended: ledger.ended.unwrap_or(ledger.began),
            cause: info.cause.clone(),
            codec: info.media.as_ref().map(|media| media.codec.clone()),
            security: info.media.as_ref().and_then(|media| media.security.clone()),
            statistics: info.media.as_ref().and_then(|media| media.statistics.clone()),
        };
        self.output(Output::Ended { record: Box::new(record) });
    }
}
