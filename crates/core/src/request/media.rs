//! Requests about a call's audio: digits, tones, files, bridges.

use super::{Answer, Outcome};
use crate::call::Call;
use crate::media::{Kind, Operation, is_digit};
use crate::pending::{Asker, What};
use crate::{ProviderId, Server};
use tapi::request::{
    CallBridge, CallMonitorDigits, CallMonitorTones, CallPlay, CallRecord, CallSendDigits, CallStop, CallTone,
};
use tapi::{
    CallId, Error, ErrorCode, Feature, GatherEnd, OperationId, ProgressTone, Reply, Right, SessionId, Time, reply,
};
use tspi::media::{Command, DescriptorId};
use tspi::{Action, DigitsBy, StreamId};

/// Most digits in one run.
const MAX_DIGITS: usize = 256;

/// Most frequencies that a stream is listened to for.
const MAX_TONES: usize = 8;

impl Server {
    /// The stream of a call that this session owns and that `feature` fits now.
    pub(super) fn stream_of(
        &self,
        session: SessionId,
        id: CallId,
        feature: &Feature,
    ) -> Result<(ProviderId, StreamId), Error> {
        let call = self.controlled(session, id, feature)?;
        let stream = call.stream.as_ref().map(|stream| (call.provider, stream.id));
        stream.ok_or_else(|| ErrorCode::InvalCallState.because(format!("call {id} has no audio")))
    }

    /// Begins an operation. Only one of a kind runs on a call, whoever owns it: another ends the one before.
    pub(super) fn begin(&mut self, session: SessionId, call: CallId, kind: Kind) -> OperationId {
        if kind != Kind::ProviderDigits {
            self.stop_operations(call, |operation| operation.kind == kind);
        }
        self.begun(session, call, kind)
    }

    /// Begins the gathering of digits; the one before is ended by who asked for this one.
    pub(super) fn begin_gather(&mut self, session: SessionId, call: CallId) -> OperationId {
        self.begun(session, call, Kind::Gather)
    }

    fn begun(&mut self, session: SessionId, call: CallId, kind: Kind) -> OperationId {
        let id = OperationId(self.fresh_id());
        self.operations.insert(id, Operation { kind, call, session });
        if let Some(call) = self.calls.get_mut(&call) {
            call.operations.insert(id);
        }
        if let Some(session) = self.sessions.get_mut(&session) {
            session.operations.insert(id);
        }
        id
    }

    pub(super) fn started(operation: OperationId) -> Outcome {
        Ok(Answer::Now(Reply::Started(reply::Started { operation })))
    }

    pub(super) fn call_send_digits(&mut self, now: Time, asker: Asker, send: &CallSendDigits) -> Outcome {
        let call = self.controlled(asker.session, send.call, &Feature::GenerateDigits)?;
        if send.duration_ms.is_some_and(|millis| !(40..=5_000).contains(&millis)) {
            return Err(ErrorCode::InvalParam.because("duration_ms is not between 40 and 5000"));
        }
        let digits: String =
            send.digits.chars().map(|digit| digit.to_ascii_uppercase()).filter(|digit| sends(*digit)).collect();
        if digits.is_empty() {
            return Err(ErrorCode::InvalDigitList.because("there is no digit among the digits"));
        }
        if digits.len() > MAX_DIGITS {
            return Err(ErrorCode::InvalParam.because(format!("there are more than {MAX_DIGITS} digits")));
        }
        let (provider, line, reference) = (call.provider, call.info.line, call.reference);
        let duration_ms = send.duration_ms;
        let by = self.lines.by_id.get(&line).map_or(DigitsBy::Media, |line| line.description.digits);
        if by == DigitsBy::Provider {
            let operation = self.begin(asker.session, send.call, Kind::ProviderDigits);
            let action = Action::SendDigits { call: reference, operation, digits, duration_ms };
            self.command(now, Some(asker), (provider, line), What::Digits(operation), action);
            return Ok(Answer::Later);
        }
        let (provider, stream) = self.stream_of(asker.session, send.call, &Feature::GenerateDigits)?;
        let operation = self.begin(asker.session, send.call, Kind::Generate);
        self.media(provider, Command::Digits { operation, stream, digits, duration_ms });
        Self::started(operation)
    }

    pub(super) fn call_tone(&mut self, session: SessionId, tone: CallTone) -> Outcome {
        let (provider, stream) = self.stream_of(session, tone.call, &Feature::GenerateTone)?;
        if let Some(named) = tone.named.clone() {
            return self.named_tone(session, (provider, stream), named, tone);
        }
        if tone.hz.is_empty() || tone.hz.len() > 4 || tone.hz.iter().any(|hz| !(100..=3_900).contains(hz)) {
            return Err(ErrorCode::InvalTone.because("a tone has one to four frequencies from 100 to 3900 Hz"));
        }
        if !(1..=600_000).contains(&tone.duration_ms) {
            return Err(ErrorCode::InvalParam.because("duration_ms is not between 1 and 600000"));
        }
        let level_dbm0 = tone.level_dbm0.unwrap_or(-10);
        if !(-60..=0).contains(&level_dbm0) {
            return Err(ErrorCode::InvalTone.because("level_dbm0 is not between -60 and 0"));
        }
        let operation = self.begin(session, tone.call, Kind::Generate);
        let (hz, duration_ms) = (tone.hz, tone.duration_ms);
        self.media(provider, Command::Tone { operation, stream, hz, duration_ms, level_dbm0 });
        Self::started(operation)
    }

    /// A tone of call progress, as the country has it.
    fn named_tone(
        &mut self,
        session: SessionId,
        (provider, stream): (ProviderId, StreamId),
        named: ProgressTone,
        tone: CallTone,
    ) -> Outcome {
        let made = ProgressTone::KNOWN.contains(&named);
        if !made || matches!(named, ProgressTone::Voice | ProgressTone::Silence) || !tone.hz.is_empty() {
            return Err(
                ErrorCode::InvalTone.because(format!("{named} is no tone that can be made, or has frequencies"))
            );
        }
        let ours = Some(self.config.options.country.as_str()).filter(|ours| !ours.is_empty()).unwrap_or("us");
        let country = tone.country.as_deref().unwrap_or(ours).to_ascii_lowercase();
        if country.len() != 2 || !country.bytes().all(|byte| byte.is_ascii_lowercase()) {
            return Err(ErrorCode::InvalTone.because("country is not two letters"));
        }
        if tone.duration_ms > 600_000 {
            return Err(ErrorCode::InvalParam.because("duration_ms is greater than 600000"));
        }
        let duration_ms = Some(tone.duration_ms).filter(|millis| *millis > 0);
        let operation = self.begin(session, tone.call, Kind::Generate);
        self.media(provider, Command::Progress { operation, stream, tone: named, country, duration_ms });
        Self::started(operation)
    }

    /// Refuses what needs a right on the line of a call.
    fn allow_on(&self, session: SessionId, id: CallId, right: &Right) -> Result<(), Error> {
        match self.calls.get(&id) {
            Some(call) => self.allow(session, call.info.line, right),
            None => Ok(()),
        }
    }

    pub(super) fn call_play(
        &mut self,
        session: SessionId,
        play: &CallPlay,
        file: &mut Option<DescriptorId>,
    ) -> Outcome {
        let (provider, stream) = self.stream_of(session, play.call, &Feature::Play)?;
        self.allow_on(session, play.call, &Right::Listen)?;
        let descriptor = file.take().ok_or_else(no_file)?;
        let operation = self.begin(session, play.call, Kind::Play);
        self.media(provider, Command::Play { operation, stream, descriptor, repeat: play.repeat });
        Self::started(operation)
    }

    pub(super) fn call_record(
        &mut self,
        session: SessionId,
        record: &CallRecord,
        file: &mut Option<DescriptorId>,
    ) -> Outcome {
        let (provider, stream) = self.stream_of(session, record.call, &Feature::Record)?;
        self.allow_on(session, record.call, &Right::Record)?;
        if record.max_ms == Some(0) {
            return Err(ErrorCode::InvalParam.because("max_ms is 0"));
        }
        let descriptor = file.take().ok_or_else(no_file)?;
        let operation = self.begin(session, record.call, Kind::Record);
        self.media(provider, Command::Record { operation, stream, descriptor, max_ms: record.max_ms });
        Self::started(operation)
    }

    pub(super) fn call_stop(&mut self, now: Time, session: SessionId, stop: &CallStop) -> Outcome {
        let provider = self.owned(session, stop.call)?.provider;
        let known = self.operations.get(&stop.operation).filter(|operation| operation.call == stop.call);
        match known.map(|operation| operation.kind) {
            None => {
                let why = format!("operation {} does not run on call {}", stop.operation, stop.call);
                Err(ErrorCode::InvalParam.because(why))
            }
            Some(Kind::ProviderDigits) => {
                Err(ErrorCode::OperationUnavail.because("the line cannot take back digits that it was given"))
            }
            Some(Kind::Gather) => {
                self.gather_ended(now, stop.operation, GatherEnd::Cancelled);
                Ok(Answer::DONE)
            }
            Some(_) => {
                self.media(provider, Command::Stop { operation: stop.operation });
                Ok(Answer::DONE)
            }
        }
    }

    pub(super) fn call_monitor_digits(&mut self, session: SessionId, monitor: &CallMonitorDigits) -> Outcome {
        let (call, _): (&Call, _) = self.handled(session, monitor.call)?;
        if monitor.on {
            self.can(call, &Feature::MonitorDigits)?;
            self.allow(session, call.info.line, &Right::Listen)?;
        }
        if let Some(handle) = self.calls.get_mut(&monitor.call).and_then(|call| call.handles.get_mut(&session)) {
            handle.digits = monitor.on;
        }
        self.detect(monitor.call);
        Ok(Answer::DONE)
    }

    pub(super) fn call_monitor_tones(&mut self, session: SessionId, mut monitor: CallMonitorTones) -> Outcome {
        let (call, _): (&Call, _) = self.handled(session, monitor.call)?;
        if !monitor.hz.is_empty() {
            self.can(call, &Feature::MonitorTones)?;
            self.allow(session, call.info.line, &Right::Listen)?;
        }
        if monitor.hz.iter().any(|hz| !(100..=3_900).contains(hz)) {
            return Err(ErrorCode::InvalTone.because("tones from 100 to 3900 Hz can be measured"));
        }
        monitor.hz.sort_unstable();
        monitor.hz.dedup();
        if monitor.hz.len() > MAX_TONES {
            return Err(ErrorCode::InvalParam.because(format!("there are more than {MAX_TONES} frequencies")));
        }
        let before = call.monitored_tones();
        let others = call.handles.iter().filter(|(other, _)| **other != session);
        let mut all: Vec<u32> = others.flat_map(|(_, handle)| handle.tones.clone()).chain(monitor.hz.clone()).collect();
        all.sort_unstable();
        all.dedup();
        if all.len() > MAX_TONES {
            let why = format!("sessions measure more than {MAX_TONES} frequencies on call {} then", monitor.call);
            return Err(ErrorCode::ResourceUnavail.because(why));
        }
        if let Some(handle) = self.calls.get_mut(&monitor.call).and_then(|call| call.handles.get_mut(&session)) {
            handle.tones = monitor.hz;
        }
        self.retune(monitor.call, &before);
        Ok(Answer::DONE)
    }

    pub(super) fn call_bridge(&mut self, now: Time, session: SessionId, bridge: &CallBridge) -> Outcome {
        self.stream_of(session, bridge.call, &Feature::Bridge)?;
        self.stream_of(session, bridge.with, &Feature::Bridge)?;
        for id in [bridge.call, bridge.with] {
            if self
                .calls
                .get(&id)
                .is_some_and(|call| call.info.conference.is_some() || call.control.conference.is_some())
            {
                return Err(ErrorCode::InvalCallState.because(format!("call {id} is in a conference")));
            }
        }
        if self.calls.get(&bridge.call).and_then(|call| call.info.bridged) != Some(bridge.with) {
            self.bridge(now, bridge.call, bridge.with);
        }
        Ok(Answer::DONE)
    }

    /// A bridge belongs to both its calls: an owner of either may take it apart.
    pub(super) fn call_part(&mut self, now: Time, session: SessionId, id: CallId) -> Outcome {
        let call = self.owned(session, id)?;
        if call.info.bridged.is_none() {
            return Err(ErrorCode::InvalCallState.because(format!("call {id} is not bridged")));
        }
        self.part(now, id);
        Ok(Answer::DONE)
    }
}

/// What goes out: digits of DTMF, and the comma for a pause.
fn sends(digit: char) -> bool {
    is_digit(digit) || digit == ','
}

fn no_file() -> Error {
    ErrorCode::InvalParam.because("no file came with the request")
}
