//! A provider whose lines call one another: the smallest one that keeps the whole contract of [`tspi`], and the one to
//! begin from when writing another. It needs no device and no network, so it also serves to try an application:
//! `[[loopback]]` in the daemon's configuration.
//!
//! # What it does
//! A provider named `loopback` with two lines has `loopback:0` and `loopback:1`. A call to `loopback:1`, or to `1`, is
//! offered on that line; accepting it lets it ring, answering it connects both ends, and what one end says the other
//! hears, frame by frame. An offered call can be redirected and a connected one transferred to another line, and two can
//! be joined, as a network does it; conferences are the server's. `busy`, `noanswer` and `reject` are numbers that do what they say, and a line that does not
//! exist ends the call as a bad address would in any network.
//!
//! # Where the contract is kept
//! - [`Provider::handle`] with [`Action`]: each is answered by one [`Event::Reply`], before the first report it causes.
//! - `make_call`: what can be known before dialling is refused; what only the network knows becomes a report.
//! - `offer`: [`Event::NewCall`] first, [`Report::Offered`] next.
//! - `drop_call`: the reply, then `Released` by us at once, then the far end learns of it.
//! - `release`: the only way to the end of a call, after which nothing is reported about it.
//! - Timers are data: a table of deadlines in each call, and [`Provider::poll_timeout`] is the least of them.
//! - Everything but the queue of outputs, which is empty between two inputs, is a serde value.

mod setup;
mod talk;
mod transfer;

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use tapi::{
    BearerMode, Cause, DisconnectMode, ErrorCode, Feature, LineCaps, LineFlag, MediaMode, Names, OperationId, Party,
    Service, Time,
};
use tspi::{
    Action, CallRef, Command, CommandId, DigitsBy, Event, Input, LineChange, LineDescription, LineRef, MediaWire,
    Output, Provider, Refusal, ReleasedBy, Report, StreamId, Taken,
};

/// Calls that a line takes at one time.
const MAX_CALLS: u32 = 4;

/// What the provider starts with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// The provider's name, and the first part of its lines' permanent names.
    pub name: String,
    /// Number of lines.
    pub lines: u32,
}

/// The provider.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Loopback {
    config: Config,
    phase: Phase,
    next_call: u64,
    calls: BTreeMap<CallRef, Call>,
    #[serde(skip)]
    outputs: VecDeque<Output>,
}

/// Whether the lines are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Phase {
    /// The first input is still to come.
    New,
    Running,
    /// Shut down: the lines are out of service.
    Stopped,
}

/// One end of a call.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Call {
    line: LineRef,
    state: State,
    /// The other end; absent where a special number was called, and once the call is over.
    peer: Option<CallRef>,
    stream: Option<StreamId>,
    digits: Option<Digits>,
    timers: BTreeMap<Timer, Time>,
}

/// The machine of one end:
/// `Calling → Active ⇄ Held → Released` for the caller, `Offered → Accepted → Active ⇄ Held → Released` for the called
/// (`Accepted` may be skipped), and `Released` from everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    /// We called, and wait; the mode is what becomes of it when the wait is over.
    Calling(DisconnectMode),
    Offered,
    /// It rings: so many times up to now.
    Accepted(u32),
    Active,
    Held,
    /// Over, and remembered until [`Action::CloseCall`].
    Released,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Timer {
    /// The network gives up.
    GiveUp,
    /// The next ring.
    Ring,
    /// The end of the digit that is being sent, or of a pause.
    Digit,
}

/// A run of digits that is being sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Digits {
    operation: OperationId,
    /// Those not yet sent, the current one first.
    left: VecDeque<char>,
    duration_ms: u32,
}

impl Loopback {
    /// A provider with the configured lines. It tells them at its first input.
    pub fn new(config: Config) -> Loopback {
        Loopback { config, phase: Phase::New, next_call: 0, calls: BTreeMap::new(), outputs: VecDeque::new() }
    }

    fn line_name(&self, line: LineRef) -> String {
        format!("{}:{}", self.config.name, line.0)
    }

    fn party(&self, line: LineRef) -> Party {
        Party::new(Some(self.line_name(line)), None)
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn report(&mut self, call: CallRef, report: Report) {
        self.event(Event::Call { call, report });
    }

    fn start(&mut self) {
        self.phase = Phase::Running;
        for line in (0..self.config.lines).map(LineRef) {
            let name = self.line_name(line);
            let description = LineDescription {
                description: "calls between the lines of this provider".into(),
                addresses: vec![name.clone()],
                name,
                caps: caps(),
                service: Service::In,
                media: MediaWire::Frames,
                digits: DigitsBy::Provider,
            };
            self.event(Event::LineAdded { line, description: Box::new(description) });
        }
    }

    fn command(&mut self, now: Time, Command { id, action }: Command) {
        // Every arm answers with `id`, by `taken` or by the refusal that it returns.
        let result = match action {
            Action::MakeCall { line, to, params, media } => self.make_call(now, id, line, &to, &params, &media),
            Action::Accept { call } => self.accept(now, id, call),
            Action::Answer { call, media } => self.answer(id, call, &media),
            Action::Drop { call, reason } => self.drop_call(id, call, reason),
            Action::Hold { call } => self.hold(id, call, State::Active, State::Held),
            Action::Unhold { call } => self.hold(id, call, State::Held, State::Active),
            Action::SendDigits { call, operation, digits, duration_ms } => {
                let duration_ms = duration_ms.unwrap_or(talk::DIGIT_MS);
                self.send_digits(now, id, call, Digits { operation, left: digits.chars().collect(), duration_ms })
            }
            Action::Redirect { call, to } => self.redirect(now, id, call, &to),
            Action::BlindTransfer { call, to } => self.blind_transfer(now, id, call, &to),
            Action::CompleteTransfer { call, consultation } => self.complete_transfer(id, call, consultation),
            Action::CloseCall { call } => self.close_call(id, call),
            Action::Shutdown => self.shutdown(id),
            _ => Err(Refusal::new(ErrorCode::OperationUnavail, "a loopback line cannot do that")),
        };
        if let Err(refusal) = result {
            self.event(Event::Reply { id, result: Err(refusal) });
        }
    }

    fn taken(&mut self, id: CommandId, taken: Taken) {
        self.event(Event::Reply { id, result: Ok(taken) });
    }

    /// The call, if it is in one of the states that `wanted` names.
    fn call(&mut self, call: CallRef, wanted: impl Fn(&State) -> bool) -> Result<&mut Call, Refusal> {
        let Some(found) = self.calls.get_mut(&call) else {
            return Err(Refusal::new(ErrorCode::InvalCallHandle, format_args!("there is no call {}", call.0)));
        };
        if !wanted(&found.state) {
            let text = format!("call {} is {:?}", call.0, found.state).to_lowercase();
            return Err(Refusal::new(ErrorCode::InvalCallState, text));
        }
        Ok(found)
    }

    /// The one command whose reply comes last: it says that the end is reached.
    fn shutdown(&mut self, id: CommandId) -> Result<(), Refusal> {
        let calls: Vec<CallRef> = self.calls.keys().copied().collect();
        for call in calls {
            self.release(call, ReleasedBy::Local, Cause::new(DisconnectMode::Normal));
        }
        for line in (0..self.config.lines).map(LineRef) {
            let service = Service::Out { reason: "shut down".into() };
            self.event(Event::LineChanged { line, change: LineChange::Service(service) });
        }
        self.phase = Phase::Stopped;
        self.taken(id, Taken::Done);
        Ok(())
    }

    fn timeout(&mut self, now: Time) {
        if self.phase == Phase::New {
            self.start();
        }
        while let Some((call, timer)) = self.take_due(now) {
            match timer {
                Timer::Ring => self.ring(now, call),
                Timer::Digit => self.digit_over(now, call),
                Timer::GiveUp => self.give_up(call),
            }
        }
    }

    fn take_due(&mut self, now: Time) -> Option<(CallRef, Timer)> {
        let due = |(timer, time): (&Timer, &Time)| (*time <= now).then_some(*timer);
        let (call, timer) =
            self.calls.iter().find_map(|(call, end)| Some((*call, end.timers.iter().find_map(due)?)))?;
        self.calls.get_mut(&call)?.timers.remove(&timer);
        Some((call, timer))
    }
}

impl Provider for Loopback {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::Command(command) => self.command(now, command),
            Input::Frame { stream, frame } => self.frame(stream, frame),
            Input::Timeout => self.timeout(now),
            // It asks for no port and no name, so nothing is told of one.
            Input::Datagram { .. }
            | Input::Bytes { .. }
            | Input::Opened { .. }
            | Input::Closed { .. }
            | Input::Connected { .. }
            | Input::Raw { .. }
            | Input::Accepted { .. }
            | Input::Load { .. }
            | Input::Found { .. } => (),
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Time> {
        match self.phase {
            Phase::New => Some(Time::ZERO),
            Phase::Running | Phase::Stopped => self.calls.values().flat_map(|call| call.timers.values()).min().copied(),
        }
    }
}

fn caps() -> LineCaps {
    LineCaps {
        bearer_modes: Names::from([BearerMode::Voice]),
        media_modes: Names::from([MediaMode::InteractiveVoice, MediaMode::AutomatedVoice]),
        call_features: Names::from([
            Feature::Accept,
            Feature::Answer,
            Feature::Drop,
            Feature::Hold,
            Feature::Unhold,
            Feature::GenerateDigits,
            Feature::MonitorDigits,
            Feature::GenerateTone,
            Feature::MonitorTones,
            Feature::Play,
            Feature::Record,
            Feature::Bridge,
            Feature::Part,
            Feature::Redirect,
            Feature::BlindTransfer,
            Feature::SetupTransfer,
            Feature::CompleteTransfer,
        ]),
        flags: Names::from([LineFlag::AcceptToAlert]),
        max_calls: MAX_CALLS,
        max_held_calls: MAX_CALLS,
    }
}
