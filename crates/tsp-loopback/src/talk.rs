//! From the answer to the end: hold, digits, audio, release.

use super::{Call, Digits, Loopback, State, Timer};
use std::collections::BTreeMap;
use std::time::Duration;
use tapi::{Cause, DisconnectMode, ErrorCode, Time};
use tspi::{CallRef, CommandId, Direction, Event, Output, Refusal, ReleasedBy, RemoteMedia, Report, StreamId, Taken};

/// Length of a digit where none is asked.
pub(super) const DIGIT_MS: u32 = 100;
/// Length of the gap after a digit.
const DIGIT_GAP: Duration = Duration::from_millis(50);
/// What a comma in a run of digits is worth.
const DIGIT_PAUSE: Duration = Duration::from_secs(2);

impl Loopback {
    /// Which way audio flows at this end: who holds still sends, who is held still listens.
    pub(super) fn direction(&self, end: &Call) -> Direction {
        let peer_holds = end.peer.and_then(|peer| self.calls.get(&peer)).is_some_and(|peer| peer.state == State::Held);
        match (end.state == State::Held, peer_holds) {
            (false, false) => Direction::SendRecv,
            (true, false) => Direction::SendOnly,
            (false, true) => Direction::RecvOnly,
            (true, true) => Direction::Inactive,
        }
    }

    pub(super) fn tell_media(&mut self, call: CallRef) {
        let Some(end) = self.calls.get(&call) else { return };
        let remote = RemoteMedia::Frames { direction: self.direction(end) };
        if end.stream.is_some() {
            self.event(Event::Media { call, remote });
        }
    }

    /// Hold and unhold.
    pub(super) fn hold(&mut self, id: CommandId, call: CallRef, from: State, to: State) -> Result<(), Refusal> {
        let found = self.call(call, |state| *state == from)?;
        let peer = found.peer;
        let (ours, theirs) = match to {
            State::Held => (Report::Held, Report::PeerHeld),
            _ => (Report::Retrieved, Report::PeerRetrieved),
        };
        found.state = to;
        self.taken(id, Taken::Done);
        self.tell_media(call);
        self.report(call, ours);
        if let Some(peer) = peer {
            self.tell_media(peer);
            self.report(peer, theirs);
        }
        Ok(())
    }

    pub(super) fn send_digits(&mut self, now: Time, id: CommandId, call: CallRef, run: Digits) -> Result<(), Refusal> {
        if run.left.is_empty() || !run.left.iter().all(|digit| matches!(digit, '0'..='9' | 'A'..='D' | '*' | '#' | ','))
        {
            return Err(Refusal::new(ErrorCode::InvalDigitList, "digits are 0-9, A-D, *, # and the comma"));
        }
        let found = self.call(call, |state| *state == State::Active)?;
        // A second run takes the place of the first.
        let replaced = found.digits.replace(run).map(|run| run.operation);
        self.taken(id, Taken::Done);
        if let Some(operation) = replaced {
            self.event(Event::DigitsSent { call, operation, complete: false });
        }
        self.next_digit(now, call);
        Ok(())
    }

    /// Begins the next digit or pause of the run, or ends the run.
    pub(super) fn next_digit(&mut self, now: Time, call: CallRef) {
        let Some(end) = self.calls.get_mut(&call) else { return };
        let Some(run) = &end.digits else { return };
        let lasts = match run.left.front() {
            Some(',') => DIGIT_PAUSE,
            Some(_) => Duration::from_millis(run.duration_ms.into()) + DIGIT_GAP,
            None => {
                let operation = run.operation;
                end.digits = None;
                self.event(Event::DigitsSent { call, operation, complete: true });
                return;
            }
        };
        end.timers.insert(Timer::Digit, now + lasts);
    }

    /// A digit or a pause is over: the far end has heard it.
    pub(super) fn digit_over(&mut self, now: Time, call: CallRef) {
        let Some(Call { peer, digits: Some(run), .. }) = self.calls.get_mut(&call) else { return };
        let digit = run.left.pop_front().filter(|digit| *digit != ',');
        if let (Some(digit), Some(call)) = (digit, *peer) {
            let duration_ms = Some(run.duration_ms);
            self.event(Event::Digit { call, digit, duration_ms });
        }
        self.next_digit(now, call);
    }

    pub(super) fn drop_call(
        &mut self,
        id: CommandId,
        call: CallRef,
        reason: Option<DisconnectMode>,
    ) -> Result<(), Refusal> {
        self.call(call, |_| true)?;
        self.taken(id, Taken::Done);
        self.hang_up(call, reason);
        Ok(())
    }

    /// Ends the call from this end, and tells the other what its network would tell. Nothing when it is over already:
    /// the far end was faster, and that was reported.
    pub(super) fn hang_up(&mut self, call: CallRef, reason: Option<DisconnectMode>) {
        let Some(end) = self.calls.get(&call) else { return };
        let peer = end.peer;
        let (ours, theirs) = match end.state {
            State::Released => return,
            State::Calling(_) => (DisconnectMode::Cancelled, DisconnectMode::Cancelled),
            State::Offered | State::Accepted(_) => {
                let mode = reason.unwrap_or(DisconnectMode::Reject);
                (mode.clone(), mode)
            }
            State::Active | State::Held => {
                let rings = peer.and_then(|peer| self.calls.get(&peer));
                let rings = rings.is_some_and(|peer| matches!(peer.state, State::Offered | State::Accepted(_)));
                let theirs = if rings { DisconnectMode::Cancelled } else { DisconnectMode::Normal };
                (DisconnectMode::Normal, theirs)
            }
        };
        self.release(call, ReleasedBy::Local, Cause::new(ours));
        if let Some(peer) = peer {
            self.release(peer, ReleasedBy::Remote, Cause::new(theirs));
        }
    }

    pub(super) fn release(&mut self, call: CallRef, by: ReleasedBy, cause: Cause) {
        let Some(end) = self.calls.get_mut(&call).filter(|end| end.state != State::Released) else { return };
        // A run of digits ends with its call; that needs no word of its own.
        *end = Call { state: State::Released, peer: None, stream: None, digits: None, timers: BTreeMap::new(), ..*end };
        self.report(call, Report::Released { by, cause });
    }

    pub(super) fn close_call(&mut self, id: CommandId, call: CallRef) -> Result<(), Refusal> {
        self.call(call, |_| true)?;
        self.taken(id, Taken::Done);
        self.hang_up(call, None);
        self.calls.remove(&call);
        Ok(())
    }

    /// Carries 20 ms from the end whose stream it is to the other one.
    pub(super) fn frame(&mut self, stream: StreamId, frame: &tspi::Frame) {
        let Some(end) = self.calls.values().find(|end| end.stream == Some(stream)) else { return };
        let connected = matches!(end.state, State::Active | State::Held);
        if connected && self.direction(end).sends() {
            let heard = end.peer.and_then(|peer| self.calls.get(&peer)).and_then(|peer| peer.stream);
            self.outputs.extend(heard.map(|stream| Output::Frame { stream, frame: *frame }));
        }
    }
}
