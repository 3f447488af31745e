//! `tapictl dial`: a call from its first digit to its end.

use crate::args::Args;
use crate::failure::{self, Code, Failure};
use crate::media::{self, ended};
use crate::out::Out;
use crate::session::{Moment, Session};
use crate::{ladder, pick, show};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};
use tapi::request::{CallDrop, CallMake, CallTrace};
use tapi::{CallId, CallState, Cause, Delivered, DisconnectMode, EventBody, LineSelector, OperationId, Privilege};

/// How long hanging up may take.
const HANG_UP: Duration = Duration::from_secs(5);

/// What is to become of the call once it is answered, and the file played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// Stay until it ends.
    Stay,
    /// Hang up.
    HangUp,
    /// Leave it running without an owner.
    Detach,
}

/// The command line.
#[derive(Debug)]
pub struct Wish<'a> {
    pub line: &'a str,
    pub number: &'a str,
    pub play: Option<&'a Path>,
    pub after: Afterwards,
    pub timeout: Option<Duration>,
    pub trace: bool,
}

/// Where the call is, as far as this command is concerned.
#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// Not answered yet.
    SettingUp,
    /// Answered, and the file is being played.
    Playing(OperationId),
    /// Answered, and nothing more to do than to wait.
    Talking,
    /// We hang up, for this reason; whether it was answered before.
    HangingUp { answered: bool, code: Code },
    /// Over.
    Over(Result<(), Failure>),
}

struct Dial<'a> {
    session: Session,
    out: &'a mut Out,
    call: CallId,
    file: Option<std::fs::File>,
    after: Afterwards,
    trace: bool,
    began: Instant,
    deadline: Option<Instant>,
    stage: Stage,
}

/// Dials, and stays as long as it was asked to.
pub fn run(args: &Args, wish: &Wish<'_>, out: &mut Out) -> Result<Code, Failure> {
    let file = wish.play.map(media::open).transpose()?;
    let mut session = Session::open(args)?;
    let lines = session.lines()?;
    let line = pick::line(&lines, wish.line)?;
    if wish.after == Afterwards::Detach && line.status.opens == 0 {
        let message = format!("nobody else has {} open: the daemon would end a call that is left there", line.name);
        let hint = "once more while a program has it open that stays (tapictl events is one)";
        return Err(Failure::new(Code::Failed, message).with_hint(hint));
    }
    session.open_line(line.line, Privilege::None)?;
    session.hold_signals()?;
    let began = Instant::now();
    let made = session.call(CallMake {
        line: LineSelector::Id(line.line),
        to: wish.number.to_owned(),
        address: tapi::AddressId(0),
        block_id: false,
        comment: None,
        bearer: None,
    })?;
    let call = made.call;
    match out.json {
        true => out.object(&json!({"kind": "tapictl.call", "call": call, "line": line.line}))?,
        false => out.line(&format!("call {call} on {}, Ctrl-C hangs up", line.name))?,
    }
    let deadline = wish.timeout.map(|timeout| began + timeout);
    let stage = Stage::SettingUp;
    Dial { session, out, call, file, after: wish.after, trace: wish.trace, began, deadline, stage }.follow()
}

impl Dial<'_> {
    fn follow(mut self) -> Result<Code, Failure> {
        loop {
            match self.session.moment(self.deadline)? {
                Moment::Event(delivered) => self.event(&delivered)?,
                Moment::Missed => {
                    let call = self.session.get(self.call)?;
                    self.state(&call.status.state, call.info.cause.as_ref())?;
                }
                Moment::Interrupted => self.interrupted()?,
                Moment::Late => self.late()?,
            }
            if let Stage::Over(result) = self.stage {
                result?;
                return Ok(Code::Done);
            }
        }
    }

    fn event(&mut self, delivered: &Delivered) -> Result<(), Failure> {
        let body = &delivered.event.body;
        if body.call() != Some(self.call) {
            return Ok(());
        }
        if self.out.json {
            self.out.object(delivered)?;
        }
        match (body, &self.stage) {
            (EventBody::CallState { state, cause, .. }, _) => self.state(state, cause.as_ref()),
            (_, Stage::Playing(operation)) => match ended(body, *operation) {
                Some(ended) => {
                    self.say(&format!("playback {}", ended.end))?;
                    self.afterwards()
                }
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn state(&mut self, state: &CallState, cause: Option<&Cause>) -> Result<(), Failure> {
        let shown = self.out.paint.tone(show::tone(state), &state.to_string());
        self.say(&format!("{shown}{}", cause.map(show::details).unwrap_or_default()))?;
        match (state, &self.stage) {
            (CallState::Connected(_), Stage::SettingUp) => self.answered(),
            (CallState::Busy(_), Stage::SettingUp) => self.hang_up(false, Code::NoAnswer),
            (CallState::Disconnected(mode), _) => self.ended(mode),
            (CallState::Idle, _) => {
                let mode = cause.map_or(DisconnectMode::Unknown, |cause| cause.mode.clone());
                self.ended(&mode)
            }
            _ => Ok(()),
        }
    }

    fn answered(&mut self) -> Result<(), Failure> {
        self.deadline = None;
        let Some(file) = self.file.take() else { return self.afterwards() };
        match media::start_playing(&mut self.session, self.call, file, false) {
            Ok(operation) => {
                self.stage = Stage::Playing(operation);
                Ok(())
            }
            Err(failure) => {
                self.hang_up(true, Code::Failed)?;
                Err(failure)
            }
        }
    }

    fn afterwards(&mut self) -> Result<(), Failure> {
        match self.after {
            Afterwards::Stay => self.stage = Stage::Talking,
            Afterwards::HangUp => return self.hang_up(true, Code::Done),
            Afterwards::Detach => {
                self.session.leave(self.call)?;
                self.say(&format!("left running; tapictl hangup {} ends it", self.call))?;
                self.over(true, None, Ok(()))?;
            }
        }
        Ok(())
    }

    /// The far end, the network, or we ended it.
    fn ended(&mut self, mode: &DisconnectMode) -> Result<(), Failure> {
        let (answered, code) = match self.stage {
            Stage::SettingUp => (false, failure::of_disconnect(mode)),
            Stage::Playing(_) | Stage::Talking => (true, Code::Done),
            Stage::HangingUp { answered, code } => (answered, code),
            Stage::Over(_) => return Ok(()),
        };
        // A disconnected call still holds the line until its owner drops it; an idle one has nothing to drop.
        if let Err(failure) = self.session.call(CallDrop { call: self.call, reason: None })
            && failure.reason.is_none()
        {
            return Err(failure);
        }
        if self.trace {
            self.show_trace()?;
        }
        self.session.leave(self.call)?;
        let hint = if self.trace { "tapictl lines" } else { "once more with --trace, which shows what was said" };
        let failure = |message: String| Failure::new(code, message).with_hint(hint);
        let result = match code {
            Code::Done => Ok(()),
            Code::Timeout => Err(failure("no answer in time".into())),
            _ => Err(failure(format!("the call was not answered: {mode}"))),
        };
        self.over(answered, Some(mode), result)
    }

    fn show_trace(&mut self) -> Result<(), Failure> {
        let trace = self.session.call(CallTrace { call: self.call, full: false })?;
        match self.out.json {
            true => self.out.object(&json!({"kind": "tapictl.trace", "call": self.call, "entries": trace.entries})),
            false => self.out.text(&ladder::render(&trace, self.out.paint)),
        }
    }

    fn over(
        &mut self,
        answered: bool,
        mode: Option<&DisconnectMode>,
        result: Result<(), Failure>,
    ) -> Result<(), Failure> {
        if self.out.json {
            let exit = result.as_ref().map_or_else(|failure| failure.code as u8, |()| 0);
            let (call, kind) = (self.call, "tapictl.result");
            self.out.object(&json!({"kind": kind, "call": call, "answered": answered, "mode": mode, "exit": exit}))?;
        }
        self.stage = Stage::Over(result);
        Ok(())
    }

    fn hang_up(&mut self, answered: bool, code: Code) -> Result<(), Failure> {
        self.stage = Stage::HangingUp { answered, code };
        self.deadline = Some(Instant::now() + HANG_UP);
        match self.session.call(CallDrop { call: self.call, reason: None }) {
            Err(failure) if failure.reason.is_none() => Err(failure),
            _ => Ok(()),
        }
    }

    fn interrupted(&mut self) -> Result<(), Failure> {
        match self.stage {
            Stage::SettingUp => {
                self.say("hanging up")?;
                self.hang_up(false, Code::Failed)
            }
            Stage::Playing(_) | Stage::Talking => {
                self.say("hanging up")?;
                self.hang_up(true, Code::Done)
            }
            Stage::HangingUp { .. } | Stage::Over(_) => Err(Failure::interrupted()),
        }
    }

    fn late(&mut self) -> Result<(), Failure> {
        match self.stage {
            Stage::SettingUp => {
                self.say("no answer in time, hanging up")?;
                self.hang_up(false, Code::Timeout)
            }
            _ => Err(Failure::new(Code::Timeout, format!("call {} does not end", self.call))
                .with_hint(format!("tapictl trace {}", self.call))),
        }
    }

    /// One line of progress with the time since the call was made.
    fn say(&mut self, text: &str) -> Result<(), Failure> {
        if self.out.json {
            return Ok(());
        }
        let seconds = self.began.elapsed().as_secs_f64();
        self.out.line(&format!("{seconds:>7.2} s  {text}"))
    }
}
