//! The provider: the life of a modem from the opening of its port, and what becomes of it when it does not answer.
//!
//! ```text
//!  Unstarted ─► Opening ── Opened ──► Initialising ── all taken ──► Ready
//!                 ▲  ▲                     │ refused, no answer       │ no answer, fault
//!                 │  └── Waiting ◄─ Lowered (DTR) ◄───────────────────┘
//!                 └─ back-off ─┴─ Closed, in any state                     Shutdown ─► Leaving ─► Shut
//! ```

use crate::analogue::Analogue;
use crate::cellular::Cellular;
use crate::chat::{Chat, Outcome, Said};
use crate::context::{Context, LINE, Out, Purpose};
use crate::describe;
use crate::init::{self, Step};
use crate::profile::Kind;
use crate::{AT_PORT, AUDIO_PORT, Config, Profile, RefusedPin};
use identify::{Auto, Identifying};
pub use reconfigure::ProfileFrom;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::time::Duration;
use tapi::{BearerMode, Cause, DisconnectMode, ErrorCode, Service, Time};
use through::Through;
use tspi::{
    Action, CallParams, CallRef, Command, CommandId, Event, Frame, Input, Output, PortId, Provider, ReleasedBy,
    StreamId,
};

mod identify;
mod reconfigure;
mod recovery;
mod services;
mod through;

/// How long calls may take to end at a shutdown.
const LEAVE: Duration = Duration::from_secs(5);

/// What the modem as a whole does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Life {
    /// Nothing was said yet.
    Unstarted,
    /// The AT port is asked for.
    Opening,
    /// It is asked what it is.
    Identifying(Identifying),
    /// The first commands go out.
    Initialising(Step),
    /// The line can be used.
    Ready,
    /// A call in passthrough owns the port.
    Through(Through),
    /// DTR is low.
    Lowered { until: Time },
    /// The next attempt waits: with the port open still, or to be opened again.
    Waiting { until: Time, reopen: Reopen },
    /// The server wants us to stop; calls end.
    Leaving { id: CommandId, until: Time },
    /// Stopped.
    Shut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Reopen {
    Yes,
    /// It is closed only then, once the modem had time to reset itself.
    AfterReset,
    No,
}

/// The calls of a modem of either kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Calls {
    Analogue(Box<Analogue>),
    Cellular(Box<Cellular>),
}

/// A modem and its line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Modem {
    config: Config,
    profile: Profile,
    life: Life,
    /// Failures since the line was last ready.
    failures: u32,
    /// Since when it fails with its port open.
    failing_since: Option<Time>,
    chat: Chat<Purpose>,
    calls: Calls,
    out: Out,
    fault: Option<String>,
    /// Where its profile is to be found, where it was not named.
    auto: Option<Box<Auto>>,
    /// The last lines that crossed the port.
    tail: VecDeque<String>,
}

impl Modem {
    /// A modem that was not spoken to yet.
    pub fn new(config: Config, profile: Profile) -> Modem {
        let times = &profile.timeouts_ms;
        let calls = match profile.kind {
            Kind::Analogue => Calls::Analogue(Box::new(Analogue::new())),
            Kind::Cellular => Calls::Cellular(Box::new(Cellular::new(&profile))),
        };
        Modem {
            life: Life::Unstarted,
            failures: 0,
            failing_since: None,
            chat: Chat::new(times.inter_cmd, times.probe, times.abort),
            calls,
            out: Out::default(),
            fault: None,
            auto: None,
            tail: VecDeque::new(),
            config,
            profile,
        }
    }

    /// Its profile: the shell finds the serial port's settings there.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The permanent name of its line.
    pub fn line_name(&self) -> &str {
        &self.config.line_name
    }

    /// The next PIN that a card refused. The shell asks after every input, and keeps what it is told where a later process finds
    /// it, for [`crate::CellularConfig::refused`].
    pub fn pin_refused(&mut self) -> Option<RefusedPin> {
        self.out.poll_pin_refused()
    }

    fn with<R>(&mut self, now: Time, act: impl FnOnce(&mut Calls, &mut Context<'_>) -> R) -> R {
        let mut context = Context {
            now,
            profile: &self.profile,
            name: &self.config.name,
            audio: self.config.audio,
            unnumbered: self.config.address.is_none(),
            office: &self.config.office,
            cellular: &self.config.cellular,
            chat: &mut self.chat,
            out: &mut self.out,
            fault: &mut self.fault,
        };
        act(&mut self.calls, &mut context)
    }

    fn start(&mut self) {
        let reason = "starting".to_owned();
        let description = describe::line(&self.config, &self.profile, Service::Out { reason: reason.clone() });
        self.out.event(Event::LineAdded { line: LINE, description: Box::new(description) });
        self.out.set_service(Service::Out { reason });
        self.open();
    }

    fn open(&mut self) {
        self.life = Life::Opening;
        self.out.push(Output::Open { port: AT_PORT });
    }

    fn opened(&mut self, now: Time, port: PortId) {
        match (port, &self.life) {
            (AUDIO_PORT, _) => self.with(now, |calls, context| {
                if let Calls::Cellular(cellular) = calls {
                    cellular.audio_opened(context);
                }
            }),
            (AT_PORT, Life::Leaving { .. } | Life::Shut) => {}
            (AT_PORT, life) => {
                if matches!(life, Life::Identifying(_) | Life::Initialising(_) | Life::Ready | Life::Through(_)) {
                    // Another process holds the same port now: what the modem was told before is lost.
                    self.fail_calls(now, "the port was opened anew");
                }
                self.begin(now);
            }
            _ => {}
        }
    }

    fn initialise(&mut self, now: Time) {
        let settle = Duration::from_millis(u64::from(self.profile.line.settle_ms));
        self.chat.start(now + settle);
        self.fault = None;
        let step = Step::first();
        if let Some(ask) = step.ask(&self.profile) {
            self.chat.ask(now, ask);
        }
        self.life = Life::Initialising(step);
    }

    fn init_done(&mut self, now: Time, text: &str, lines: &[String], outcome: &Outcome) {
        let Life::Initialising(step) = &self.life else { return };
        match step.after(&self.profile, text, lines, outcome) {
            init::Next::Go(next) => {
                if let Some(ask) = next.ask(&self.profile) {
                    self.chat.ask(now, ask);
                }
                self.life = Life::Initialising(next);
            }
            init::Next::Ready { method, refused } => {
                self.life = Life::Ready;
                self.failures = 0;
                self.failing_since = None;
                self.with(now, |calls, context| match calls {
                    Calls::Analogue(analogue) => analogue.ready(context, method),
                    Calls::Cellular(cellular) => cellular.ready(context, refused),
                });
            }
            init::Next::Failed(reason) => {
                self.fault.get_or_insert(reason);
            }
        }
    }

    /// Ends everything, and answers when the line is on hook.
    fn shut_down(&mut self, now: Time, id: CommandId) {
        self.out.refuse_all(Some(id), "the provider stops");
        match self.life {
            Life::Ready => {
                self.life = Life::Leaving { id, until: now + LEAVE };
                self.with(now, |calls, context| match calls {
                    Calls::Analogue(analogue) => analogue.shut_down(context),
                    Calls::Cellular(cellular) => cellular.shut_down(context),
                });
            }
            // The one that asked first is answered by the same end.
            Life::Leaving { .. } => self.out.done(id),
            Life::Shut => self.out.done(id),
            Life::Through(_) => {
                self.fail_calls(now, "the provider stops");
                self.shut(id);
            }
            _ => self.shut(id),
        }
    }

    fn shut(&mut self, id: CommandId) {
        self.life = Life::Shut;
        self.chat.stop();
        self.out.push(Output::Close { port: AT_PORT });
        if self.config.audio {
            self.out.push(Output::Close { port: AUDIO_PORT });
        }
        self.out.set_service(Service::Out { reason: "stopped".to_owned() });
        self.out.done(id);
    }

    fn command(&mut self, now: Time, command: Command) {
        let Command { id, action } = command;
        self.out.owe(id);
        match action {
            Action::Heard { call, tone } => self.with(now, |calls, context| match calls {
                Calls::Analogue(analogue) => analogue.heard(context, id, call, &tone),
                Calls::Cellular(_) => context.out.done(id),
            }),
            Action::Progress { .. }
            | Action::BlindTransfer { .. }
            | Action::AcceptTransfer { .. }
            | Action::RejectTransfer { .. } => {
                self.out.refuse(id, ErrorCode::OperationUnavail, "this line cannot do that");
            }
            action @ (Action::Redirect { .. }
            | Action::SwapHold { .. }
            | Action::CompleteTransfer { .. }
            | Action::Conference { .. }
            | Action::LeaveConference { .. }
            | Action::Forward { .. }
            | Action::SendDigits { .. }
            | Action::Dial { .. }
            | Action::Device { .. }) => self.service_command(now, id, &action),
            Action::MakeCall { params: CallParams { bearer: Some(BearerMode::Passthrough), .. }, .. } => {
                self.begin_through(now, id);
            }
            Action::Shutdown => self.shut_down(now, id),
            Action::MakeCall { to, params, media, .. } => {
                if self.usable(id) {
                    self.with(now, |calls, context| match calls {
                        Calls::Analogue(analogue) => analogue.make_call(context, id, &to, &params, &media),
                        Calls::Cellular(cellular) => cellular.make_call(context, id, &to, &params, &media),
                    });
                }
            }
            Action::Accept { call } => self.with(now, |calls, context| match calls {
                Calls::Analogue(analogue) => analogue.accept(context, id, call),
                Calls::Cellular(cellular) => cellular.accept(context, id, call),
            }),
            Action::Answer { call, media } => self.with(now, |calls, context| match calls {
                Calls::Analogue(analogue) => analogue.answer(context, id, call, &media),
                Calls::Cellular(cellular) => cellular.answer(context, id, call, &media),
            }),
            Action::Drop { call, .. } => self.drop_asked(now, id, call),
            Action::CloseCall { call } => {
                self.drop_call(now, call);
                self.out.done(id);
            }
            Action::Hold { call } => self.hold(now, id, call, true),
            Action::Unhold { call } => self.hold(now, id, call, false),
        }
    }

    fn drop_call(&mut self, now: Time, call: CallRef) {
        if self.drop_through(now, call) {
            return;
        }
        self.with(now, |calls, context| match calls {
            Calls::Analogue(analogue) => analogue.drop_call(context, call),
            Calls::Cellular(cellular) => cellular.drop_call(context, call),
        });
    }

    fn bytes(&mut self, now: Time, port: PortId, bytes: &[u8]) {
        match port {
            AT_PORT if self.through_read(bytes) => {}
            AT_PORT => {
                for byte in bytes {
                    self.with(now, |calls, context| match calls {
                        Calls::Analogue(analogue) => analogue.byte(context, *byte),
                        Calls::Cellular(_) => context.chat.byte(now, *byte),
                    });
                    // What a line means decides what the next byte is: a line or a sample.
                    self.pump(now);
                }
            }
            AUDIO_PORT => self.with(now, |calls, context| {
                if let Calls::Cellular(cellular) = calls {
                    cellular.audio_bytes(context, bytes);
                }
            }),
            _ => {}
        }
    }

    fn frame(&mut self, now: Time, stream: StreamId, frame: &Frame) {
        self.with(now, |calls, context| match calls {
            Calls::Analogue(analogue) => analogue.frame(context, stream, frame),
            Calls::Cellular(cellular) => cellular.frame(context, stream, frame),
        });
    }

    /// Carries on with what the AT engine tells, until it tells nothing more.
    fn pump(&mut self, now: Time) {
        while let Some(said) = self.chat.poll() {
            match said {
                Said::Write(bytes) => self.out.write(AT_PORT, bytes),
                Said::Sent { text, purpose } => {
                    if let Some(purpose) = &purpose {
                        self.with(now, |calls, context| match calls {
                            Calls::Analogue(analogue) => analogue.sent(context, purpose),
                            Calls::Cellular(cellular) => cellular.sent(context, purpose),
                        });
                    }
                    self.trace(true, purpose.as_ref(), &text);
                }
                Said::Line(line) => {
                    let purpose = self.chat.in_flight().cloned();
                    self.trace(false, purpose.as_ref(), &line);
                }
                Said::Unsolicited(line) if self.tells_start(&line) => self.started_anew(now),
                Said::Unsolicited(line) if matches!(self.life, Life::Ready | Life::Leaving { .. }) => {
                    self.with(now, |calls, context| match calls {
                        Calls::Analogue(analogue) => analogue.unsolicited(context, &line),
                        Calls::Cellular(cellular) => cellular.unsolicited(context, &line),
                    });
                }
                Said::Unsolicited(_) => {}
                Said::Done { purpose: Purpose::Identify, lines, outcome, .. } => {
                    self.identify_done(now, &lines, &outcome)
                }
                Said::Done { text, purpose: Purpose::Init, lines, outcome } => {
                    self.init_done(now, &text, &lines, &outcome)
                }
                Said::Done { text, purpose, lines, outcome } => {
                    self.with(now, |calls, context| match calls {
                        Calls::Analogue(analogue) => analogue.done(context, &purpose, &text, &outcome),
                        Calls::Cellular(cellular) => cellular.done(context, &purpose, &text, &lines, &outcome),
                    });
                }
                Said::Dead => {
                    self.fault.get_or_insert_with(|| "the modem does not answer AT".to_owned());
                }
            }
        }
        if let Some(reason) = self.fault.take() {
            self.recover(now, &reason);
        }
        self.tell_able();
        self.tell_raw();
        self.leave_when_idle();
    }

    fn leave_when_idle(&mut self) {
        if let Life::Leaving { id, .. } = self.life {
            let idle = match &self.calls {
                Calls::Analogue(analogue) => analogue.is_idle(),
                Calls::Cellular(cellular) => cellular.is_idle(),
            };
            if idle {
                self.shut(id);
            }
        }
    }

    fn trace(&mut self, sent: bool, purpose: Option<&Purpose>, line: &str) {
        let call = purpose.and_then(Purpose::call).or(match &self.calls {
            Calls::Analogue(analogue) => analogue.call(),
            Calls::Cellular(cellular) => cellular.only_call(),
        });
        self.remember(sent, line);
        self.out.trace(call, sent, &self.config.name, line);
    }
}

impl Provider for Modem {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::Command(command) => self.command(now, command),
            Input::Bytes { port, bytes } => self.bytes(now, port, bytes),
            Input::Frame { stream, frame } => self.frame(now, stream, frame),
            Input::Opened { port } => self.opened(now, port),
            Input::Closed { port, reason } => self.closed(now, port, reason),
            Input::Timeout => {
                self.life_timeout(now);
                self.chat.timeout(now);
                self.pump(now);
                self.with(now, |calls, context| match calls {
                    Calls::Analogue(analogue) => analogue.timeout(context),
                    Calls::Cellular(cellular) => cellular.timeout(context),
                });
            }
            Input::Raw { call, bytes } => self.through_write(call, bytes),
            Input::Datagram { .. }
            | Input::Connected { .. }
            | Input::Accepted { .. }
            | Input::Load { .. }
            | Input::Found { .. } => {}
        }
        self.pump(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.out.poll()
    }

    fn poll_timeout(&self) -> Option<Time> {
        let life = match &self.life {
            Life::Unstarted => Some(Time::ZERO),
            Life::Lowered { until } | Life::Waiting { until, .. } | Life::Leaving { until, .. } => Some(*until),
            Life::Opening
            | Life::Identifying(_)
            | Life::Initialising(_)
            | Life::Ready
            | Life::Through(_)
            | Life::Shut => None,
        };
        let calls = match &self.calls {
            Calls::Analogue(analogue) => analogue.deadline(&self.profile, &self.config.office),
            Calls::Cellular(cellular) => cellular.deadline(),
        };
        [life, self.chat.deadline(), calls].into_iter().flatten().min()
    }
}
