//! From the dialled number to the answer.

use super::{Call, Loopback, MAX_CALLS, Phase, State, Timer};
use std::collections::BTreeMap;
use std::time::Duration;
use tapi::{AnswerEvidence, BusyMode, CallOrigin, Cause, DisconnectMode, ErrorCode, Party, Time};
use tspi::{
    CallFacts, CallParams, CallRef, CommandId, Event, LineRef, LocalMedia, Refusal, ReleasedBy, Report, StreamId, Taken,
};

/// From one ring to the next.
const RING_INTERVAL: Duration = Duration::from_secs(5);
/// How long busy tone lasts until the network gives up.
const BUSY_TONE: Duration = Duration::from_secs(3);
/// How long a call may wait for its answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// What a dialled text leads to.
pub(super) enum Destination {
    Line(LineRef),
    Busy,
    NoAnswer,
    Reject,
    Nobody,
}

impl Loopback {
    pub(super) fn new_call(&mut self, line: LineRef, state: State, stream: Option<StreamId>) -> CallRef {
        let call = CallRef(self.next_call);
        self.next_call += 1;
        self.calls.insert(call, Call { line, state, peer: None, stream, digits: None, timers: BTreeMap::new() });
        call
    }

    pub(super) fn is_full(&self, line: LineRef) -> bool {
        let live = |call: &&Call| call.line == line && call.state != State::Released;
        self.calls.values().filter(live).count() >= MAX_CALLS as usize
    }

    pub(super) fn destination(&self, to: &str) -> Result<Destination, Refusal> {
        let number = to.strip_prefix(&format!("{}:", self.config.name)).unwrap_or(to);
        match number {
            "busy" => return Ok(Destination::Busy),
            "noanswer" => return Ok(Destination::NoAnswer),
            "reject" => return Ok(Destination::Reject),
            _ => (),
        }
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            let text = format_args!("{to:?} is neither a line of {} nor one of its numbers", self.config.name);
            return Err(Refusal::new(ErrorCode::InvalAddress, text));
        }
        // A number too long to be one is a number that nobody has.
        let line = number.parse().ok().filter(|line| *line < self.config.lines);
        Ok(line.map_or(Destination::Nobody, |line| Destination::Line(LineRef(line))))
    }

    pub(super) fn make_call(
        &mut self,
        now: Time,
        id: CommandId,
        line: LineRef,
        to: &str,
        params: &CallParams,
        media: &LocalMedia,
    ) -> Result<(), Refusal> {
        if self.phase != Phase::Running || line.0 >= self.config.lines {
            let text = format_args!("line {} is out of service", self.line_name(line));
            return Err(Refusal::new(ErrorCode::InvalLineState, text));
        }
        if params.address != 0 {
            return Err(Refusal::new(ErrorCode::InvalAddressId, "a loopback line has one address"));
        }
        if self.is_full(line) {
            let text = format_args!("line {} has {MAX_CALLS} calls", self.line_name(line));
            return Err(Refusal::new(ErrorCode::CallUnavail, text));
        }
        let stream = stream_of(media)?;
        let destination = self.destination(to)?;

        let call = self.new_call(line, State::Calling(DisconnectMode::NoAnswer), stream);
        self.taken(id, Taken::Call(call));
        let caller = if params.block_id { Party::blocked() } else { self.party(line) };
        let facts = CallFacts {
            address: Some(0),
            origin: Some(CallOrigin::Outbound),
            caller: Some(self.party(line)),
            called: Some(Party::new(Some(to.to_owned()), None)),
            network_id: Some(self.network_id(call)),
            ..CallFacts::default()
        };
        self.event(Event::CallInfo { call, facts: Box::new(facts) });
        self.report(call, Report::Proceeding);
        match destination {
            Destination::Line(called) if !self.is_full(called) => {
                self.wait(call, now + ANSWER_LIMIT, DisconnectMode::NoAnswer);
                self.offer(call, called, caller);
            }
            Destination::Line(_) | Destination::Busy => {
                self.wait(call, now + BUSY_TONE, DisconnectMode::Busy);
                self.report(call, Report::Busy(BusyMode::Station));
            }
            Destination::NoAnswer => {
                self.wait(call, now + ANSWER_LIMIT, DisconnectMode::NoAnswer);
                self.report(call, Report::PeerRings);
            }
            Destination::Reject => self.release(call, ReleasedBy::Remote, Cause::new(DisconnectMode::Reject)),
            Destination::Nobody => self.release(call, ReleasedBy::Remote, Cause::new(DisconnectMode::BadAddress)),
        }
        Ok(())
    }

    pub(super) fn wait(&mut self, call: CallRef, until: Time, otherwise: DisconnectMode) {
        if let Some(waiting) = self.calls.get_mut(&call) {
            waiting.state = State::Calling(otherwise);
            waiting.timers.insert(Timer::GiveUp, until);
        }
    }

    pub(super) fn network_id(&self, first: CallRef) -> String {
        format!("{}-{}", self.config.name, first.0)
    }

    /// Presents the call of `from` on `line`.
    pub(super) fn offer(&mut self, from: CallRef, line: LineRef, caller: Party) {
        self.offer_from(from, line, caller, CallFacts::default());
    }

    /// The same with what is known of how it came there.
    pub(super) fn offer_from(&mut self, from: CallRef, line: LineRef, caller: Party, how: CallFacts) {
        let call = self.new_call(line, State::Offered, None);
        self.pair(from, call);
        let facts = CallFacts {
            address: Some(0),
            origin: Some(CallOrigin::Internal),
            caller: Some(caller),
            called: Some(self.party(line)),
            network_id: Some(self.network_id(from)),
            ..how
        };
        self.event(Event::NewCall { line, call, facts: Box::new(facts) });
        self.report(call, Report::Offered);
    }

    pub(super) fn pair(&mut self, one: CallRef, other: CallRef) {
        for (call, peer) in [(one, other), (other, one)] {
            if let Some(end) = self.calls.get_mut(&call) {
                end.peer = Some(peer);
            }
        }
    }

    pub(super) fn accept(&mut self, now: Time, id: CommandId, call: CallRef) -> Result<(), Refusal> {
        let found = self.call(call, |state| *state == State::Offered)?;
        found.state = State::Accepted(0);
        found.timers.insert(Timer::Ring, now);
        let peer = found.peer;
        self.taken(id, Taken::Done);
        self.report(call, Report::Accepted);
        self.ring(now, call);
        if let Some(peer) =
            peer.filter(|peer| self.calls.get(peer).is_some_and(|end| matches!(end.state, State::Calling(_))))
        {
            self.report(peer, Report::PeerRings);
        }
        Ok(())
    }

    pub(super) fn ring(&mut self, now: Time, call: CallRef) {
        let Some(Call { line, state: State::Accepted(rings), timers, .. }) = self.calls.get_mut(&call) else { return };
        let ringing = Event::Ringing { line: *line, count: *rings, pattern: 1 };
        *rings += 1;
        timers.insert(Timer::Ring, now + RING_INTERVAL);
        self.event(ringing);
    }

    pub(super) fn answer(&mut self, id: CommandId, call: CallRef, media: &LocalMedia) -> Result<(), Refusal> {
        let stream = stream_of(media)?;
        let found = self.call(call, |state| matches!(state, State::Offered | State::Accepted(_)))?;
        found.stream = stream;
        let (line, peer) = (found.line, found.peer);
        self.taken(id, Taken::Done);
        self.connect(call, AnswerEvidence::Local);
        if let Some(peer) = peer {
            let facts = CallFacts { connected: Some(self.party(line)), ..CallFacts::default() };
            self.event(Event::CallInfo { call: peer, facts: Box::new(facts) });
            // Whoever was transferred here is connected already.
            let talks = self.calls.get(&peer).is_some_and(|peer| matches!(peer.state, State::Active | State::Held));
            if talks {
                if let Some(peer) = self.calls.get_mut(&peer) {
                    peer.timers.remove(&Timer::GiveUp);
                }
                self.tell_media(peer);
            } else {
                self.connect(peer, AnswerEvidence::Signalled);
            }
        }
        Ok(())
    }

    pub(super) fn connect(&mut self, call: CallRef, evidence: AnswerEvidence) {
        if let Some(end) = self.calls.get_mut(&call) {
            end.state = State::Active;
            end.timers.clear();
        }
        self.tell_media(call);
        self.report(call, Report::Answered(evidence));
    }

    pub(super) fn give_up(&mut self, call: CallRef) {
        let Some(Call { state, peer, .. }) = self.calls.get(&call) else { return };
        let (mode, peer) = match state {
            State::Calling(mode) => (mode.clone(), *peer),
            // Whoever was transferred waited in vain.
            State::Active | State::Held => (DisconnectMode::NoAnswer, *peer),
            State::Offered | State::Accepted(_) | State::Released => return,
        };
        self.release(call, ReleasedBy::Remote, Cause::new(mode));
        if let Some(peer) = peer {
            self.release(peer, ReleasedBy::Remote, Cause::new(DisconnectMode::Cancelled));
        }
    }
}

fn stream_of(media: &LocalMedia) -> Result<Option<StreamId>, Refusal> {
    match media {
        LocalMedia::Frames { stream } => Ok(Some(*stream)),
        LocalMedia::None => Ok(None),
        LocalMedia::Rtp(_) => Err(Refusal::new(ErrorCode::InvalMediaMode, "a loopback line carries frames, not rtp")),
    }
}
