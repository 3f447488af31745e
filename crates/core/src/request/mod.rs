//! Requests: one function a method, in one file a family. Each is answered at once, or when its provider took it.

mod call;
mod line;
mod listen;
mod media;
mod service;
mod through;
mod transfer;

use crate::call::Call;
use crate::pending::Asker;
use crate::{ClientId, Output, Server};
use tapi::{CallId, Error, ErrorCode, Feature, Privilege, Reply, Request, RequestId, SessionId, Time, reply};
use tspi::media::DescriptorId;

/// Requests of one connection that wait for providers.
const MAX_OUTSTANDING: usize = 1_024;

/// What a taken request leads to.
pub(crate) enum Answer {
    /// This reply, at once.
    Now(Reply),
    /// The reply comes with the provider's.
    Later,
    /// The reply is out, before the events that it causes.
    Told,
}

impl Answer {
    /// Done, at once.
    pub(crate) const DONE: Answer = Answer::Now(Reply::Done(reply::Done {}));
}

/// How a method ends.
pub(crate) type Outcome = Result<Answer, Error>;

impl Server {
    /// A client asks something. Its reply goes out before any event that the request causes.
    pub(crate) fn request(
        &mut self,
        now: Time,
        client: ClientId,
        id: RequestId,
        request: Request,
        descriptor: Option<DescriptorId>,
    ) {
        let mark = self.outputs.len();
        let mut file = descriptor;
        let result = match self.admit(client, id) {
            Ok(()) => self.perform(now, client, id, request, &mut file),
            Err(error) => Err(error),
        };
        let reply = match result {
            Ok(Answer::Now(reply)) => Some(Ok(reply)),
            Ok(Answer::Later | Answer::Told) => None,
            Err(error) => Some(Err(error)),
        };
        if let Some(result) = reply {
            self.outputs.insert(mark, Output::Reply { client, id, result });
        }
        if let Some(descriptor) = file {
            self.output(Output::Discard { descriptor });
        }
    }

    fn admit(&self, client: ClientId, id: RequestId) -> Result<(), Error> {
        let Some(client) = self.clients.get(&client) else {
            return Err(ErrorCode::InvalAppHandle.because("this connection is not known"));
        };
        if client.outstanding.contains(&id) {
            return Err(ErrorCode::InvalParam.because(format!("request {id} is not answered yet")));
        }
        if client.outstanding.len() >= MAX_OUTSTANDING {
            return Err(ErrorCode::RequestOverrun.because(format!("{MAX_OUTSTANDING} requests are not answered yet")));
        }
        Ok(())
    }

    fn perform(
        &mut self,
        now: Time,
        client: ClientId,
        id: RequestId,
        request: Request,
        file: &mut Option<DescriptorId>,
    ) -> Outcome {
        let request = match request {
            Request::ClientOpen(open) => {
                self.running()?;
                return self.client_open(client, open).map(Answer::Now);
            }
            Request::ClientResume(resume) => {
                self.running()?;
                return self.client_resume(client, resume).map(Answer::Now);
            }
            other => other,
        };
        let asker = Asker { client: Some(client), session: self.registered(client)?, id };
        match request {
            Request::CallMake(make) => self.call_make(now, asker, make, file),
            Request::CallAccept(accept) => self.call_accept(now, asker, &accept),
            Request::CallAnswer(answer) => self.call_answer(now, asker, answer.call),
            Request::CallDrop(drop) => self.call_drop(now, asker, drop),
            Request::CallDeallocate(free) => self.call_deallocate(now, asker.session, free.call),
            Request::CallHold(hold) => self.call_hold(now, asker, hold.call),
            Request::CallUnhold(unhold) => self.call_unhold(now, asker, unhold.call),
            Request::CallGet(get) => self.call_get(asker.session, get.call),
            Request::CallList(list) => self.call_list(now, asker.session, list),
            Request::CallSetPrivilege(set) => self.call_set_privilege(now, asker.session, set),
            Request::CallTrace(trace) => self.call_trace(asker.session, &trace),
            Request::CallSendDigits(send) => self.call_send_digits(now, asker, &send),
            Request::CallMonitorDigits(monitor) => self.call_monitor_digits(asker.session, &monitor),
            Request::CallTone(tone) => self.call_tone(asker.session, tone),
            Request::CallMonitorTones(monitor) => self.call_monitor_tones(asker.session, monitor),
            Request::CallPlay(play) => self.call_play(asker.session, &play, file),
            Request::CallRecord(record) => self.call_record(asker.session, &record, file),
            Request::CallStop(stop) => self.call_stop(now, asker.session, &stop),
            Request::CallBridge(bridge) => self.call_bridge(now, asker.session, &bridge),
            Request::CallPart(part) => self.call_part(now, asker.session, part.call),
            Request::ClientClose(_) => self.client_close(now, asker).map(Answer::Now),
            Request::StateGet(_) => Ok(self.state_get(asker.session)),
            Request::LineList(_) => Ok(self.line_list(asker.session)),
            Request::LineOpen(open) => self.line_open(now, asker.session, open),
            Request::LineClose(close) => self.line_close(now, asker.session, &close),
            Request::LineSetStatusMessages(set) => self.line_set_status_messages(asker.session, set),
            Request::ClientOpen(_) | Request::ClientResume(_) => Ok(Answer::DONE),
            other => self.perform_further(now, asker, other, file),
        }
    }

    fn perform_further(
        &mut self,
        now: Time,
        asker: Asker,
        request: Request,
        file: &mut Option<DescriptorId>,
    ) -> Outcome {
        match request {
            Request::CallRedirect(redirect) => self.call_redirect(now, asker, redirect),
            Request::CallDial(dial) => self.call_dial(now, asker, dial),
            Request::CallSwapHold(swap) => self.call_swap_hold(now, asker, &swap),
            Request::CallBlindTransfer(blind) => self.call_blind_transfer(now, asker, blind),
            Request::CallSetupTransfer(setup) => self.call_setup_transfer(now, asker, setup),
            Request::CallCompleteTransfer(complete) => self.call_complete_transfer(now, asker, &complete),
            Request::CallAcceptTransfer(accept) => self.call_accept_transfer(now, asker, accept.call),
            Request::CallRejectTransfer(reject) => self.call_reject_transfer(now, asker, reject.call),
            Request::CallSetupConference(setup) => self.call_setup_conference(now, asker, setup),
            Request::CallPrepareAdd(prepare) => self.call_prepare_add(now, asker, prepare),
            Request::CallAddToConference(add) => self.call_add_to_conference(now, asker, &add),
            Request::CallRemoveFromConference(remove) => self.call_remove_from_conference(now, asker, remove.call),
            Request::CallGatherDigits(gather) => self.call_gather_digits(now, asker.session, &gather),
            Request::CallPause(pause) => self.call_pause(asker.session, pause.call, pause.operation, true),
            Request::CallResume(resume) => self.call_pause(asker.session, resume.call, resume.operation, false),
            Request::CallMonitorMedia(monitor) => self.call_monitor_media(asker.session, &monitor),
            Request::CallAudio(audio) => self.call_audio(asker.session, &audio, file),
            Request::CallHandoff(handoff) => self.call_handoff(now, asker, &handoff),
            Request::CallSetAppData(set) => self.call_set_app_data(now, asker.session, set),
            Request::LineTrace(trace) => self.line_trace(asker.session, &trace).map(Answer::Now),
            Request::LineForward(forward) => self.line_forward(now, asker, forward),
            Request::LineDevice(device) => self.line_device(now, asker, device),
            Request::LineSetPolicy(set) => self.line_set_policy(asker.session, set),
            Request::LineGetPolicy(get) => self.line_get_policy(asker.session, &get),
            Request::ClientSetPriority(set) => self.client_set_priority(asker.session, set),
            Request::ClientGetPriority(_) => Ok(self.client_get_priority()),
            other => Err(ErrorCode::InvalFeature.because(format!("{} is not served", other.method()))),
        }
    }

    /// A call that this session has a handle on, with its privilege there.
    fn handled(&self, session: SessionId, id: CallId) -> Result<(&Call, &Privilege), Error> {
        let call = self.calls.get(&id);
        let handle = call.and_then(|call| call.handles.get(&session).map(|handle| (call, &handle.privilege)));
        handle.ok_or_else(|| ErrorCode::InvalCallHandle.because(format!("this session has no handle on call {id}")))
    }

    /// A call that this session owns.
    fn owned(&self, session: SessionId, id: CallId) -> Result<&Call, Error> {
        match self.handled(session, id)? {
            (call, Privilege::Owner) => Ok(call),
            _ => Err(ErrorCode::NotOwner.because(format!("this session does not own call {id}"))),
        }
    }

    /// Whether a call's line can do this ever, and the call now.
    fn can(&self, call: &Call, feature: &Feature) -> Result<(), Error> {
        let line = self.lines.by_id.get(&call.info.line);
        let Some(line) = line else { return Err(ErrorCode::NoDevice.because("the call's line is gone")) };
        let id = call.info.call;
        let ever = match &call.control.conference {
            Some(_) => crate::features::of_conference().contains(feature),
            None => line.description.caps.call_features.contains(feature),
        };
        if !ever {
            let name = &line.description.name;
            return Err(ErrorCode::OperationUnavail.because(format!("line {name} cannot {feature}")));
        }
        if !crate::features::fits(&call.state, call.audio(line.description.digits), feature) {
            return Err(ErrorCode::InvalCallState.because(format!("call {id} is {}: no {feature}", call.state)));
        }
        if *feature == Feature::Dial && !call.awaits_digits() {
            return Err(ErrorCode::InvalCallState.because(format!("call {id}: all of its number is dialled")));
        }
        Ok(())
    }

    /// A call that this session owns, and that `feature` fits now.
    fn controlled(&self, session: SessionId, id: CallId, feature: &Feature) -> Result<&Call, Error> {
        let call = self.owned(session, id)?;
        self.can(call, feature)?;
        Ok(call)
    }
}
