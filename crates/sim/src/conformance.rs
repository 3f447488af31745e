//! Whether a provider keeps the contract of [`tspi`]: [`Rules`] watches what crosses the border and names what is
//! broken, [`check`] drives a provider through a script with a snapshot and a restore at every step.

use serde::{Serialize, de::DeserializeOwned};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tapi::{OperationId, Time};
use tspi::{
    Action, CallRef, Command, CommandId, Event, Input, LineRef, Output, Provider, Refusal, ReleasedBy, Report, Taken,
};

/// The rules of the border between server and provider, as a watcher. It is told every command and every event in
/// their order, and answers what is wrong with it.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    commands: BTreeMap<CommandId, Action>,
    answered: BTreeSet<CommandId>,
    lines: BTreeSet<LineRef>,
    calls: BTreeMap<CallRef, Stage>,
    digits: BTreeMap<OperationId, CallRef>,
    /// Commands that were taken and whose report has not come.
    taken: Vec<Action>,
}

/// What may be said about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Found, and to be offered next.
    New,
    /// Anything.
    Live,
    /// The drop was taken: it must be released by us, next.
    Dropped,
    /// Nothing.
    Released,
}

impl Rules {
    /// A command goes to the provider.
    pub fn command(&mut self, command: &Command) {
        if let Action::SendDigits { call, operation, .. } = &command.action {
            self.digits.insert(*operation, *call);
        }
        self.commands.insert(command.id, command.action.clone());
    }

    /// An event comes from the provider.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn event(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::Reply { id, result } => self.reply(*id, result),
            Event::LineAdded { line, .. } => {
                if self.lines.insert(*line) {
                    Ok(())
                } else {
                    Err(format!("line {} was added twice", line.0))
                }
            }
            Event::LineRemoved { line, .. } => {
                if self.lines.remove(line) {
                    Ok(())
                } else {
                    Err(format!("line {} is removed and is none", line.0))
                }
            }
            Event::LineChanged { line, .. }
            | Event::Ringing { line, .. }
            | Event::Trace { line, .. }
            | Event::Device { line, .. } => self.line(*line),
            Event::NewCall { line, call, .. } => {
                self.line(*line)?;
                match self.calls.insert(*call, Stage::New) {
                    None => Ok(()),
                    Some(_) => Err(format!("call {} is new for the second time", call.0)),
                }
            }
            Event::Call { call, report } => self.report(*call, report),
            Event::TransferRequested { call, .. } => self.about(*call),
            Event::CallInfo { call, .. } | Event::Media { call, .. } | Event::Digit { call, .. } => self.about(*call),
            Event::Listen { call, .. } => self.about(*call),
            Event::DigitsSent { call, operation, .. } => {
                self.about(*call)?;
                match self.digits.remove(operation) {
                    Some(asked) if asked == *call => Ok(()),
                    _ => Err(format!("digits {} of call {} were not asked for, or ended before", operation.0, call.0)),
                }
            }
        }
    }

    /// All outputs of one input are seen.
    ///
    /// # Errors
    /// What should have come and did not.
    pub fn drained(&mut self) -> Result<(), String> {
        match self.calls.iter().find(|(_, stage)| matches!(stage, Stage::New | Stage::Dropped)) {
            Some((call, Stage::New)) => Err(format!("call {} is new and was not offered", call.0)),
            Some((call, _)) => Err(format!("the drop of call {} was taken and it was not released at once", call.0)),
            None => Ok(()),
        }
    }

    /// Nothing more will come.
    ///
    /// # Errors
    /// The commands that were not answered, the calls and runs of digits that did not end.
    pub fn settled(&self) -> Result<(), String> {
        if let Some((id, action)) = self.commands.first_key_value() {
            return Err(format!("command {} was not answered: {action:?}", id.0));
        }
        if let Some((call, _)) = self.calls.iter().find(|(_, stage)| **stage != Stage::Released) {
            return Err(format!("call {} was not released", call.0));
        }
        Ok(())
    }

    /// Calls that are not over.
    pub fn live_calls(&self) -> usize {
        self.calls.values().filter(|stage| **stage != Stage::Released).count()
    }

    fn line(&self, line: LineRef) -> Result<(), String> {
        if self.lines.contains(&line) { Ok(()) } else { Err(format!("there is no line {}", line.0)) }
    }

    fn about(&self, call: CallRef) -> Result<(), String> {
        match self.calls.get(&call) {
            Some(Stage::Live) => Ok(()),
            Some(Stage::New) => Err(format!("call {} was told of before it was offered", call.0)),
            Some(Stage::Dropped) => Err(format!("call {} was told of between its drop and its release", call.0)),
            Some(Stage::Released) => Err(format!("call {} was told of after its release", call.0)),
            None => Err(format!("call {} was told of before it was made or found", call.0)),
        }
    }

    fn reply(&mut self, id: CommandId, result: &Result<Taken, Refusal>) -> Result<(), String> {
        let Some(action) = self.commands.remove(&id) else {
            let why = if self.answered.contains(&id) { "twice" } else { "and was never sent" };
            return Err(format!("command {} is answered {why}", id.0));
        };
        self.answered.insert(id);
        if let (Action::Accept { .. } | Action::Answer { .. } | Action::Hold { .. } | Action::Unhold { .. }, Ok(_)) =
            (&action, result)
        {
            self.taken.push(action.clone());
        }
        match (action, result) {
            (Action::MakeCall { .. } | Action::AcceptTransfer { .. }, Ok(Taken::Call(call))) => {
                match self.calls.insert(*call, Stage::Live) {
                    None => Ok(()),
                    Some(_) => Err(format!("call {} was made under a name that was used before", call.0)),
                }
            }
            (Action::MakeCall { .. }, Ok(Taken::Done)) => Err(format!("command {} made a call without a name", id.0)),
            (_, Ok(Taken::Call(call))) => Err(format!("command {} made call {} and should not", id.0, call.0)),
            (Action::Drop { call, .. }, Ok(Taken::Done)) => {
                if let Some(stage @ Stage::Live) = self.calls.get_mut(&call) {
                    *stage = Stage::Dropped;
                }
                Ok(())
            }
            (Action::CloseCall { call }, Ok(Taken::Done)) => {
                self.calls.insert(call, Stage::Released);
                Ok(())
            }
            (Action::SendDigits { operation, .. }, Err(_)) => {
                self.digits.remove(&operation);
                Ok(())
            }
            (Action::Shutdown, Ok(Taken::Done)) if self.live_calls() > 0 => {
                Err("the shutdown is done while calls are up".into())
            }
            _ => Ok(()),
        }
    }

    fn report(&mut self, call: CallRef, report: &Report) -> Result<(), String> {
        let Some(stage) = self.calls.get(&call).copied() else {
            return self.about(call);
        };
        let next = match (stage, report) {
            (Stage::New, Report::Offered) => Stage::Live,
            (Stage::Live, Report::Offered) => return Err(format!("call {} is offered twice", call.0)),
            (Stage::Dropped, Report::Released { by: ReleasedBy::Local, .. }) => Stage::Released,
            (Stage::Live, Report::Released { .. }) => Stage::Released,
            (Stage::Live, _) => Stage::Live,
            _ => return self.about(call),
        };
        self.calls.insert(call, next);
        if stage != Stage::Dropped {
            self.reply_came_first(call, report)?;
        }
        if next == Stage::Released {
            self.digits.retain(|_, of| *of != call);
            self.taken.retain(|action| !is_about(action, call));
        }
        Ok(())
    }

    /// A report that a command causes does not come before the command's reply.
    fn reply_came_first(&mut self, call: CallRef, report: &Report) -> Result<(), String> {
        if let Some(at) = self.taken.iter().position(|action| causes(action, call, report)) {
            self.taken.remove(at);
            return Ok(());
        }
        match self.commands.iter().find(|(_, action)| causes(action, call, report)) {
            Some((id, _)) => Err(format!("{report:?} of call {} came before the reply to command {}", call.0, id.0)),
            None => Ok(()),
        }
    }
}

fn is_about(action: &Action, about: CallRef) -> bool {
    match action {
        Action::Accept { call }
        | Action::Progress { call, .. }
        | Action::Answer { call, .. }
        | Action::Drop { call, .. }
        | Action::Hold { call }
        | Action::Unhold { call }
        | Action::SendDigits { call, .. }
        | Action::CloseCall { call }
        | Action::Dial { call, .. }
        | Action::Heard { call, .. }
        | Action::Redirect { call, .. }
        | Action::BlindTransfer { call, .. }
        | Action::AcceptTransfer { call, .. }
        | Action::RejectTransfer { call }
        | Action::LeaveConference { call } => *call == about,
        Action::SwapHold { active, held } => *active == about || *held == about,
        Action::CompleteTransfer { call, consultation } => *call == about || *consultation == about,
        Action::Conference { calls } => calls.contains(&about),
        Action::MakeCall { .. } | Action::Forward { .. } | Action::Device { .. } | Action::Shutdown => false,
    }
}

/// Whether such a report about the call is what the command is for.
fn causes(action: &Action, call: CallRef, report: &Report) -> bool {
    match (action, report) {
        (Action::Accept { call: of }, Report::Accepted)
        | (Action::Answer { call: of, .. }, Report::Answered(_))
        | (Action::Hold { call: of }, Report::Held)
        | (Action::Unhold { call: of }, Report::Retrieved)
        | (Action::Drop { call: of, .. }, Report::Released { by: ReleasedBy::Local, .. }) => *of == call,
        _ => false,
    }
}

/// Drives a provider that `make` makes through `script`, twice: once as it is, once serialised and restored after every
/// input. The rules are watched, and the two runs must be the same, output for output.
///
/// # Panics
/// With what is wrong, for a test to show.
pub fn check<P>(make: impl Fn() -> P, script: impl Fn(&mut Bench<P>))
where
    P: Provider + Serialize + DeserializeOwned,
{
    let run = |restore: bool| {
        let mut bench = Bench::new(make(), restore);
        bench.input(Input::Timeout);
        script(&mut bench);
        bench.shut_down();
        bench.log
    };
    let kept = run(false);
    let restored = run(true);
    for (index, (kept, restored)) in kept.iter().zip(&restored).enumerate() {
        assert_eq!(kept, restored, "output {index} differs once the state is restored");
    }
    assert_eq!(kept.len(), restored.len(), "the runs differ in length once the state is restored");
}

/// A provider on the bench: it takes commands and inputs at virtual times, and its outputs are kept.
#[derive(Debug)]
pub struct Bench<P> {
    provider: P,
    restore: bool,
    now: Time,
    next_command: u64,
    rules: Rules,
    log: Vec<(Time, Output)>,
    /// Outputs before this one were taken by the script.
    taken: usize,
}

impl<P: Provider + Serialize + DeserializeOwned> Bench<P> {
    fn new(provider: P, restore: bool) -> Bench<P> {
        Bench {
            provider,
            restore,
            now: Time::ZERO,
            next_command: 1,
            rules: Rules::default(),
            log: Vec::new(),
            taken: 0,
        }
    }

    /// The time on the bench.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Gives the provider one input and keeps what comes out.
    pub fn input(&mut self, input: Input<'_>) {
        self.provider.handle(self.now, input);
        while let Some(output) = self.provider.poll_output() {
            if let Output::Event(event) = &output
                && let Err(broken) = self.rules.event(event)
            {
                panic!("at {} ms: {broken}\n{event:?}\nbefore it: {:#?}", self.now.as_millis(), self.log);
            }
            self.log.push((self.now, output));
        }
        if let Err(broken) = self.rules.drained() {
            panic!("at {} ms: {broken}\nbefore it: {:#?}", self.now.as_millis(), self.log);
        }
        if self.restore {
            self.provider = restored(&self.provider);
        }
    }

    /// Sends a command, and returns its id.
    pub fn command(&mut self, action: Action) -> CommandId {
        let id = CommandId(self.next_command);
        self.next_command += 1;
        let command = Command { id, action };
        self.rules.command(&command);
        self.input(Input::Command(command));
        id
    }

    /// Lets time pass: every deadline on the way is kept.
    pub fn wait(&mut self, duration: Duration) {
        let until = self.now + duration;
        let mut at_once = 0;
        while let Some(deadline) = self.provider.poll_timeout().filter(|deadline| *deadline <= until) {
            at_once = if deadline > self.now { 0 } else { at_once + 1 };
            assert!(at_once < 100, "the deadline {deadline:?} stays after the timeout at {:?}", self.now);
            self.now = self.now.max(deadline);
            self.input(Input::Timeout);
        }
        self.now = until;
    }

    /// The outputs since the last time this was asked.
    pub fn outputs(&mut self) -> Vec<Output> {
        let outputs = self.log[self.taken..].iter().map(|(_, output)| output.clone()).collect();
        self.taken = self.log.len();
        outputs
    }

    /// The events among [`Bench::outputs`].
    pub fn events(&mut self) -> Vec<Event> {
        let event = |output| if let Output::Event(event) = output { Some(event) } else { None };
        self.outputs().into_iter().filter_map(event).collect()
    }

    /// The answer to a command, if there is one yet.
    pub fn reply(&self, id: CommandId) -> Option<Result<Taken, Refusal>> {
        self.log.iter().find_map(|(_, output)| match output {
            Output::Event(Event::Reply { id: of, result }) if *of == id => Some(result.clone()),
            _ => None,
        })
    }

    /// The calls that the provider found, oldest first.
    pub fn found_calls(&self) -> Vec<CallRef> {
        let found = |(_, output): &(Time, Output)| match output {
            Output::Event(Event::NewCall { call, .. }) => Some(*call),
            _ => None,
        };
        self.log.iter().filter_map(found).collect()
    }

    /// The reports about a call, oldest first.
    pub fn reports(&self, call: CallRef) -> Vec<Report> {
        let about = |(_, output): &(Time, Output)| match output {
            Output::Event(Event::Call { call: of, report }) if *of == call => Some(report.clone()),
            _ => None,
        };
        self.log.iter().filter_map(about).collect()
    }

    fn shut_down(&mut self) {
        self.command(Action::Shutdown);
        self.wait(Duration::from_secs(60));
        if let Err(broken) = self.rules.settled() {
            panic!("after the shutdown: {broken}\n{:#?}", self.log);
        }
    }
}

/// The copy of a machine that a restart would make: written as JSON, read back, and equal when written again.
///
/// # Panics
/// If a part of the state does not survive.
pub fn restored<T: Serialize + DeserializeOwned>(machine: &T) -> T {
    let written = serde_json::to_string(machine).expect("the state can be written");
    let copy: T = match serde_json::from_str(&written) {
        Ok(copy) => copy,
        Err(error) => panic!("the state cannot be read back: {error}\n{written}"),
    };
    let again = serde_json::to_string(&copy).expect("the state can be written");
    assert_eq!(written, again, "the state is not the same once it is read back");
    copy
}
