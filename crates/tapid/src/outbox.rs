//! The bounded queue of lines between the core and one client.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::sync::{Notify, mpsc};

/// Lines that may wait for a client.
const MAX_LINES: usize = 4_096;

/// Bytes that may wait for a client.
const MAX_BYTES: usize = 4 << 20;

/// Lines that are written with one call.
const COALESCED: usize = 64;

/// The end that lines are put into.
#[derive(Clone, Debug)]
pub struct Outbox {
    lines: mpsc::Sender<Vec<u8>>,
    shared: Arc<Shared>,
}

/// The end that lines are taken from.
#[derive(Debug)]
pub struct Outgoing {
    lines: mpsc::Receiver<Vec<u8>>,
    shared: Arc<Shared>,
    written: usize,
}

#[derive(Debug, Default)]
struct Shared {
    bytes: AtomicUsize,
    unanswered: AtomicUsize,
    answered: Notify,
    overrun: AtomicBool,
    end: Notify,
    greeted: Notify,
}

/// The client does not read: its queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overrun;

/// A new queue.
pub fn outbox() -> (Outbox, Outgoing) {
    let (sender, receiver) = mpsc::channel(MAX_LINES);
    let shared = Arc::new(Shared::default());
    let outgoing = Outgoing { lines: receiver, shared: Arc::clone(&shared), written: 0 };
    (Outbox { lines: sender, shared }, outgoing)
}

impl Outbox {
    /// Puts a line in, without waiting.
    pub fn push(&self, line: Vec<u8>) -> Result<(), Overrun> {
        let pushed = self.try_push(line);
        if pushed.is_err() {
            self.shared.overrun.store(true, Ordering::Release);
        }
        pushed
    }

    /// Whether a line found the queue full.
    pub fn is_overrun(&self) -> bool {
        self.shared.overrun.load(Ordering::Acquire)
    }

    fn try_push(&self, line: Vec<u8>) -> Result<(), Overrun> {
        let length = line.len();
        let waiting = self.shared.bytes.fetch_add(length, Ordering::AcqRel);
        // One line longer than the bound is taken when nothing else waits: a snapshot may be that big.
        if waiting > 0 && waiting.saturating_add(length) > MAX_BYTES {
            return Err(Overrun);
        }
        match self.lines.try_send(line) {
            Err(mpsc::error::TrySendError::Full(_)) => Err(Overrun),
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
        }
    }

    /// The greeting is in: other lines may follow.
    pub fn greeted(&self) {
        self.shared.greeted.notify_one();
    }

    /// Returns when the greeting is in.
    pub async fn until_greeted(&self) {
        self.shared.greeted.notified().await;
    }

    /// Ends the connection: what waits is written if the client takes it at once.
    pub fn end(&self) {
        self.shared.end.notify_one();
    }

    /// Returns when the connection is to end.
    pub async fn until_ended(&self) {
        self.shared.end.notified().await;
    }

    /// A request goes to the core. `false` when so many are unanswered already.
    pub fn begin_request(&self, limit: usize) -> bool {
        let room = self.shared.unanswered.load(Ordering::Acquire) < limit;
        if room {
            self.shared.unanswered.fetch_add(1, Ordering::AcqRel);
        }
        room
    }

    /// A request was answered.
    pub fn end_request(&self) {
        self.shared.unanswered.fetch_sub(1, Ordering::AcqRel);
        self.shared.answered.notify_one();
    }

    /// Returns when every request is answered.
    pub async fn until_answered(&self) {
        while self.shared.unanswered.load(Ordering::Acquire) > 0 {
            self.shared.answered.notified().await;
        }
    }
}

impl Outgoing {
    /// Waits for lines and appends as many as are there. `false` when there will be none any more.
    pub async fn take(&mut self, batch: &mut Vec<u8>) -> bool {
        self.shared.bytes.fetch_sub(std::mem::take(&mut self.written), Ordering::AcqRel);
        let Some(first) = self.lines.recv().await else { return false };
        batch.extend_from_slice(&first);
        for _ in 1..COALESCED {
            match self.lines.try_recv() {
                Ok(line) => batch.extend_from_slice(&line),
                Err(_) => break,
            }
        }
        // They count as waiting until they are written: until the next call.
        self.written = batch.len();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_bounded_in_lines_and_in_bytes() {
        let (outbox, _outgoing) = outbox();
        for _ in 0..MAX_LINES {
            assert_eq!(outbox.push(vec![b'x']), Ok(()));
        }
        assert_eq!(outbox.push(vec![b'x']), Err(Overrun));

        let (outbox, _outgoing) = super::outbox();
        assert_eq!(outbox.push(vec![b'x'; MAX_BYTES + 1]), Ok(()), "one big line alone is taken");
        assert_eq!(outbox.push(vec![b'x']), Err(Overrun));
    }

    #[tokio::test]
    async fn what_was_written_makes_room_and_lines_are_joined() {
        let (outbox, mut outgoing) = outbox();
        outbox.push(b"one\n".to_vec()).unwrap();
        outbox.push(b"two\n".to_vec()).unwrap();
        let mut batch = Vec::new();
        assert!(outgoing.take(&mut batch).await);
        assert_eq!(batch, b"one\ntwo\n");
        drop(outbox);
        assert!(!outgoing.take(&mut batch).await);
    }
}
