//! Requests that hear and speak: gathered digits, progress, an application's audio, pauses.

use super::{Answer, Outcome};
use crate::Server;
use crate::call::Call;
use crate::gather::Gather;
use crate::media::{Kind, is_digit};
use tapi::request::{CallAudio, CallGatherDigits, CallMonitorMedia};
use tapi::{CallId, ErrorCode, Feature, GatherEnd, OperationId, Right, SessionId, Time};
use tspi::media::{Command, DescriptorId};

/// Digits of one gathering.
const MAX_GATHERED: u32 = 256;

impl Server {
    pub(super) fn call_gather_digits(&mut self, now: Time, session: SessionId, gather: &CallGatherDigits) -> Outcome {
        let line = self.controlled(session, gather.call, &Feature::GatherDigits)?.info.line;
        self.allow(session, line, &Right::Listen)?;
        if !(1..=MAX_GATHERED).contains(&gather.count) {
            return Err(ErrorCode::InvalParam.because(format!("count is not between 1 and {MAX_GATHERED}")));
        }
        let termination = gather.termination.to_ascii_uppercase();
        if termination.len() > 16 || !termination.chars().all(is_digit) {
            return Err(ErrorCode::InvalDigitList.because("termination has something else than digits, or too many"));
        }
        let fits = |millis: Option<u32>| millis.is_none_or(|millis| (250..=600_000).contains(&millis));
        if !fits(gather.first_ms) || !fits(gather.inter_ms) {
            return Err(ErrorCode::InvalTimeout.because("a time-out is not between 250 and 600000 ms"));
        }
        let before = self.gathering(gather.call);
        let operation = self.begin_gather(session, gather.call);
        let count = usize::try_from(gather.count).unwrap_or(1);
        let inter_ms = gather.inter_ms;
        let new = Gather { digits: String::new(), count, termination, inter_ms, deadline: None };
        self.gathers.insert(operation, new);
        self.gather_wait(now, operation, gather.first_ms);
        if let Some(before) = before {
            self.gather_ended(now, before, GatherEnd::Cancelled);
        }
        self.detect(gather.call);
        Self::started(operation)
    }

    pub(super) fn call_pause(&mut self, session: SessionId, id: CallId, operation: OperationId, on: bool) -> Outcome {
        let provider = self.owned(session, id)?.provider;
        let known = self.operations.get(&operation).filter(|operation| operation.call == id);
        match known.map(|operation| operation.kind) {
            Some(Kind::Play | Kind::Record) => {
                let command = if on { Command::Pause { operation } } else { Command::Resume { operation } };
                self.media(provider, command);
                Ok(Answer::DONE)
            }
            Some(_) => Err(ErrorCode::OperationUnavail.because("only playbacks and recordings stand still")),
            None => Err(ErrorCode::InvalParam.because(format!("operation {operation} does not run on call {id}"))),
        }
    }

    pub(super) fn call_monitor_media(&mut self, session: SessionId, monitor: &CallMonitorMedia) -> Outcome {
        let (call, _): (&Call, _) = self.handled(session, monitor.call)?;
        if monitor.on {
            self.can(call, &Feature::MonitorMedia)?;
            self.allow(session, call.info.line, &Right::Listen)?;
        }
        if let Some(handle) = self.calls.get_mut(&monitor.call).and_then(|call| call.handles.get_mut(&session)) {
            handle.progress = monitor.on;
        }
        self.detect(monitor.call);
        Ok(Answer::DONE)
    }

    pub(super) fn call_audio(
        &mut self,
        session: SessionId,
        audio: &CallAudio,
        file: &mut Option<DescriptorId>,
    ) -> Outcome {
        let (provider, stream) = self.stream_of(session, audio.call, &Feature::Audio)?;
        let line = self.calls.get(&audio.call).map(|call| call.info.line);
        if let Some(line) = line {
            self.allow(session, line, &Right::Listen)?;
        }
        let rate = audio.rate.unwrap_or(8_000);
        if ![8_000, 16_000].contains(&rate) {
            return Err(ErrorCode::InvalParam.because("rate is neither 8000 nor 16000"));
        }
        let no_socket = || ErrorCode::InvalParam.because("no descriptor came with the request");
        let descriptor = file.take().ok_or_else(no_socket)?;
        let operation = self.begin(session, audio.call, Kind::Application);
        self.media(provider, Command::Application { operation, stream, descriptor, rate });
        Self::started(operation)
    }
}
