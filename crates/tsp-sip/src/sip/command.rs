//! Commands of the server.

use super::{Course, MAX_CALLS, Port, STOP, Sip};
use crate::endpoint::Wake;
use crate::invite::{Call, Order, Standing, State, destination, rtp};
use crate::policy::Digits;
use tapi::{ErrorCode, OperationId, Time};
use tspi::{Action, CallParams, CallRef, Command, CommandId, LineRef, LocalMedia, Refusal, Taken};

impl Sip {
    pub(super) fn command(&mut self, now: Time, command: Command) {
        let id = command.id;
        match command.action {
            Action::MakeCall { line, to, params, media } => {
                if let Err(refusal) = self.make_call(now, id, line, &to, &params, media) {
                    self.endpoint.reply(id, Err(refusal));
                }
            }
            Action::Accept { call } => self.on_call(id, call, &[State::Offered], |call, ep| {
                ep.reply(id, Ok(Taken::Done));
                call.accept(ep, now);
            }),
            Action::Answer { call, media } => match rtp(media) {
                Some(local) => self.on_call(id, call, &[State::Offered, State::Alerting], |call, ep| {
                    call.answer(ep, now, local, id);
                }),
                None => self.endpoint.reply(id, Err(no_rtp())),
            },
            Action::Progress { call, media } => match rtp(media) {
                Some(local) => self.on_call(id, call, &[State::Offered, State::Alerting], |call, ep| {
                    call.progress(ep, now, local, id);
                }),
                None => self.endpoint.reply(id, Err(no_rtp())),
            },
            Action::Redirect { call, to } => self.redirect(now, id, call, &to),
            Action::Dial { .. } => {
                let text = "the whole number goes in the INVITE: a SIP line takes no further digits";
                self.endpoint.reply(id, Err(Refusal::new(ErrorCode::OperationUnavail, text)));
            }
            Action::Drop { call, reason } => self.on_call(id, call, &[], |call, ep| {
                ep.reply(id, Ok(Taken::Done));
                call.hang_up(ep, now, reason);
            }),
            Action::BlindTransfer { call, to } => self.blind_transfer(now, id, call, &to),
            Action::CompleteTransfer { call, consultation } => self.complete_transfer(now, id, call, consultation),
            Action::AcceptTransfer { call, media } => self.accept_transfer(now, id, call, media),
            Action::RejectTransfer { call } => self.reject_transfer(now, id, call),
            Action::Hold { call } => self.hold(now, id, call, true),
            Action::Unhold { call } => self.hold(now, id, call, false),
            Action::SendDigits { call, operation, digits, duration_ms } => {
                self.send_digits(now, id, call, (operation, &digits), duration_ms);
            }
            Action::CloseCall { call } => self.on_call(id, call, &[], |call, ep| {
                ep.reply(id, Ok(Taken::Done));
                call.close(ep, now);
            }),
            Action::Shutdown => self.shut_down(now, id),
            _ => {
                let refusal = Refusal::new(ErrorCode::OperationUnavail, "a SIP line cannot do that");
                self.endpoint.reply(id, Err(refusal));
            }
        }
    }

    /// Does something with a call that the server knows; `states` are those in which it makes sense, none: all.
    pub(super) fn on_call(
        &mut self,
        id: CommandId,
        call: CallRef,
        states: &[State],
        work: impl FnOnce(&mut Call, &mut crate::endpoint::Endpoint),
    ) {
        let refusal = match self.calls.get(&call.0).filter(|call| call.standing != Standing::Closed) {
            None => Refusal::new(ErrorCode::InvalCallHandle, format!("there is no call {}", call.0)),
            Some(known) if !states.is_empty() && !states.contains(&known.state) => {
                Refusal::new(ErrorCode::InvalCallState, format!("call {} cannot do this now", call.0))
            }
            Some(_) => return self.with_call(call.0, work),
        };
        self.endpoint.reply(id, Err(refusal));
    }

    fn hold(&mut self, now: Time, id: CommandId, call: CallRef, hold: bool) {
        self.on_call(id, call, &[], |call, ep| match call.may_hold(hold) {
            Err(refusal) => ep.reply(id, Err(refusal)),
            Ok(()) => {
                ep.reply(id, Ok(Taken::Done));
                call.hold(ep, now, hold);
            }
        });
    }

    fn send_digits(
        &mut self,
        now: Time,
        id: CommandId,
        call: CallRef,
        run: (OperationId, &str),
        duration_ms: Option<u32>,
    ) {
        self.on_call(id, call, &[], |call, ep| {
            let result = match ep.policy(call.line).digits {
                Digits::Rtp => {
                    let text = "digits of this line are sent by the media provider";
                    Err(Refusal::new(ErrorCode::OperationUnavail, text))
                }
                Digits::Info => call.send_digits(now, run, duration_ms).map(|()| Taken::Done),
            };
            ep.reply(id, result);
        });
    }

    fn redirect(&mut self, now: Time, id: CommandId, call: CallRef, to: &str) {
        let line = self.calls.get(&call.0).and_then(|call| self.endpoint.lines.get(call.line as usize));
        match line.map(|line| destination(&line.config, to)) {
            Some(Err(refusal)) => self.endpoint.reply(id, Err(refusal)),
            Some(Ok((uri, _))) => self.on_call(id, call, &[State::Offered, State::Alerting], |call, ep| {
                ep.reply(id, Ok(Taken::Done));
                call.redirect(ep, now, &uri);
            }),
            None => self.on_call(id, call, &[], |_, _| {}),
        }
    }

    fn make_call(
        &mut self,
        now: Time,
        id: CommandId,
        line: LineRef,
        to: &str,
        params: &CallParams,
        media: LocalMedia,
    ) -> Result<(), Refusal> {
        if params.address != 0 {
            return Err(Refusal::new(ErrorCode::InvalAddressId, format!("line has no address {}", params.address)));
        }
        self.place(now, id, line, (to, params.block_id), media, None)
    }

    /// Places a call; `wish`: the call whose far end wants it, and how.
    pub(super) fn place(
        &mut self,
        now: Time,
        id: CommandId,
        line: LineRef,
        (to, private): (&str, bool),
        media: LocalMedia,
        wish: Option<(u64, &Order)>,
    ) -> Result<(), Refusal> {
        let at = line.0 as usize;
        let known = self.endpoint.lines.get(at);
        let known = known.ok_or_else(|| Refusal::new(ErrorCode::NoDevice, format!("there is no line {}", line.0)))?;
        if let tapi::Service::Out { reason } = self.service(at) {
            return Err(Refusal::new(ErrorCode::InvalLineState, format!("line is out of service: {reason}")));
        }
        if known.live >= known.config.max_calls || self.calls.len() >= MAX_CALLS {
            return Err(Refusal::new(ErrorCode::CallUnavail, format!("line has {} calls already", known.live)));
        }
        let (uri, target) = destination(&known.config, to)?;
        let local = rtp(media).ok_or_else(no_rtp)?;
        let rate = known.config.account.calls_per_s;
        if !self.upkeep.get_mut(at).is_none_or(|upkeep| upkeep.ours.admits(now, rate)) {
            let text = format!("line begins no more than {} calls a second", rate.unwrap_or_default());
            return Err(Refusal::new(ErrorCode::ResourceUnavail, text));
        }
        self.last_call += 1;
        let number = self.last_call;
        let mut call = Call::to_place(&mut self.endpoint, number, line.0, id, (uri, private), local);
        if let Some((of, order)) = wish {
            call.at_the_wish_of(of, order);
        }
        if let Some(line) = self.endpoint.lines.get_mut(at) {
            line.live += 1;
        }
        self.calls.insert(number, Box::new(call));
        self.with_call(number, |call, ep| {
            call.place(ep, now, target);
        });
        Ok(())
    }

    fn shut_down(&mut self, now: Time, id: CommandId) {
        match self.course {
            Course::Running => {}
            Course::Stopping { .. } | Course::Stopped => return self.endpoint.reply(id, Ok(Taken::Done)),
        }
        self.course = Course::Stopping { command: id };
        let calls: Vec<u64> = self.calls.keys().copied().collect();
        for call in calls {
            self.with_call(call, |call, ep| {
                call.stop_resolving(ep, ErrorCode::ServiceNotRunning, "the provider is stopping");
                if call.standing == Standing::Live {
                    call.hang_up(ep, now, None);
                }
            });
        }
        if !matches!(self.port, Port::Open | Port::Opening) {
            return self.finish_stop();
        }
        self.upkeep_leaves(now);
        self.endpoint.wakes.set(Wake::Stop, &mut self.stop_wake, Some(now + STOP));
    }
}

fn no_rtp() -> Refusal {
    Refusal::new(ErrorCode::InvalMediaMode, "a SIP line needs an RTP stream with formats")
}
