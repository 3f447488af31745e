//! Where what the core says to a client goes: a connection of the socket, or a session on the bus.

use crate::dbus::Inbox;
use crate::outbox::{Outbox, Overrun};
use std::sync::Arc;
use tapi::wire::{self, API_VERSION, Hello, MAX_LINE};
use tapi::{Call, Error, Event, Generation, Reply, RequestId};

/// Room that a line is given at first, in bytes: nearly all fit.
const LINE: usize = 1 << 10;

/// A client's end.
#[derive(Debug)]
pub enum Sink {
    /// Lines of JSON.
    Socket(Outbox),
    /// Messages of the bus.
    Bus(Inbox),
}

impl Sink {
    /// Greets a new client. On the bus the server's properties say the same.
    pub fn greet(&self, generation: Generation, seq: u64) {
        let Sink::Socket(outbox) = self else { return };
        let tapid = env!("CARGO_PKG_VERSION").to_string();
        let mut line = Vec::new();
        wire::encode_hello(&mut line, &Hello { tapid, api: API_VERSION, generation, seq, max_line: MAX_LINE });
        let _ = outbox.push(line);
        outbox.greeted();
    }

    /// Answers a request. `look` finds a call as the client sees it.
    pub fn reply(
        &self,
        id: RequestId,
        result: Result<Reply, Error>,
        look: impl Fn(tapi::CallId) -> Option<Call>,
    ) -> Result<(), Overrun> {
        match self {
            Sink::Socket(outbox) => {
                outbox.end_request();
                push(outbox, |buf| wire::encode_reply(buf, id, &result))
            }
            Sink::Bus(inbox) => inbox.reply(id, result, look),
        }
    }

    /// Tells an event.
    pub fn event(&self, prev: u64, event: &Arc<Event>) -> Result<(), Overrun> {
        match self {
            Sink::Socket(outbox) => push(outbox, |buf| wire::encode_event(buf, prev, event)),
            Sink::Bus(inbox) => inbox.event(prev, event),
        }
    }

    /// Ends the connection: what waits is written if the client takes it at once.
    pub fn end(&self) {
        match self {
            Sink::Socket(outbox) => outbox.end(),
            // Its end is let go next, which its session notices.
            Sink::Bus(_) => {}
        }
    }
}

fn push(outbox: &Outbox, encode: impl FnOnce(&mut Vec<u8>)) -> Result<(), Overrun> {
    let mut line = Vec::with_capacity(LINE);
    encode(&mut line);
    outbox.push(line)
}
