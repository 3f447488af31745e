//! Conferences: a call without a provider, whose members hear one another.
//!
//! ```text
//! setup from a:   c → OnHoldPendConf, a → Conferenced          add b: b → Conferenced, c → Connected
//! remove, or end: down to one member, it is Connected and c Idle          drop c: all members are dropped
//! ```
//! Where all members are of one line and its network can mix, it does; else the server does, and then the conference has a
//! stream of its own: what is played there all hear, what is recorded there is all that is said.

use crate::call::{Call, Held, Presence};
use crate::pending::{Asker, What};
use crate::provider::blank;
use crate::{ProviderId, Server};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use tapi::{
    CallId, CallOrigin, CallState, ConnectedMode, DisconnectMode, Error, ErrorCode, InfoKind, Names, SessionId, Time,
    TransferWay,
};
use tspi::media::{Command, MixerId};
use tspi::{Action, CallRef, MediaWire};

/// Members of one conference.
const MAX_MEMBERS: usize = 32;

/// What a conference is.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Conference {
    pub(crate) members: BTreeSet<CallId>,
    pub(crate) mixing: Mixing,
}

/// Whether a request is answered already.
pub(crate) enum Added {
    Now,
    Later,
}

/// Who mixes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Mixing {
    /// There is nothing to mix yet.
    #[default]
    Nobody,
    /// The network, or a modem.
    Network,
    /// The media provider, in this mixer.
    Here(MixerId),
}

impl Server {
    /// Makes a conference on the line of its first call.
    pub(crate) fn make_conference(&mut self, now: Time, first: CallId, maker: SessionId) -> Option<CallId> {
        let of = self.calls.get(&first)?;
        let (line, name) = (of.info.line, of.info.line_name.clone());
        let (media_mode, conversation) = (of.info.media_mode.clone(), of.info.conversation.clone());
        let id = CallId(self.fresh_id());
        let mut info = blank(line, name);
        (info.call, info.uid) = (id, self.uid(id));
        (info.origin, info.related, info.media_mode) = (CallOrigin::Conference, Some(first), media_mode);
        info.conversation = conversation;
        info.app = self.sessions.get(&maker).map(|session| session.app.clone());
        let mut call = Call::new(now, self.wall(now), info, (ProviderId::SERVER, CallRef(id.0)), Presence::Told);
        call.control.conference = Some(Conference::default());
        self.insert_call(call);
        Some(id)
    }

    /// A call is a member now. Its audio is seen to elsewhere.
    pub(crate) fn enroll(&mut self, now: Time, conference: CallId, id: CallId) {
        let Some(own) = self.conference(conference) else { return };
        own.members.insert(id);
        let conversation = self.calls.get(&conference).map(|call| call.info.conversation.clone()).unwrap_or_default();
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.info.conference = Some(conference);
        call.info.conversation = conversation;
        call.control.consults = None;
        let joins = matches!(call.state, CallState::Connected(_)) || crate::features::is_held(&call.state);
        self.emit_info(now, id, Names::from([InfoKind::Conference]), None);
        if joins {
            self.enter(now, id, CallState::Conferenced);
        }
        self.conference_goes_on(now, conference);
    }

    /// With two members it is connected; with one it waits for another.
    fn conference_goes_on(&mut self, now: Time, conference: CallId) {
        let Some(own) = self.conference(conference) else { return };
        let state =
            if own.members.len() > 1 { CallState::Connected(ConnectedMode::Active) } else { CallState::OnHoldPendConf };
        self.enter(now, conference, state);
    }

    pub(crate) fn conference(&mut self, id: CallId) -> Option<&mut Conference> {
        self.calls.get_mut(&id)?.control.conference.as_mut()
    }

    /// Takes a call into a conference: by the network where it can, else here.
    pub(crate) fn add_member(
        &mut self,
        now: Time,
        asker: Asker,
        conference: CallId,
        id: CallId,
    ) -> Result<Added, Error> {
        let own = self.calls.get(&conference).and_then(|call| call.control.conference.as_ref());
        let own =
            own.ok_or_else(|| ErrorCode::InvalConfCallHandle.because(format!("call {conference} is no conference")))?;
        if own.members.len() >= MAX_MEMBERS {
            return Err(ErrorCode::ConferenceFull.because(format!("a conference has {MAX_MEMBERS} members")));
        }
        let all: Vec<CallId> = own.members.iter().copied().chain([id]).collect();
        let mixing = own.mixing;
        match self.of_one_line(&all).filter(|_| !matches!(mixing, Mixing::Here(_))) {
            Some((provider, line, calls)) => {
                let what = What::Conference { conference, call: id };
                self.command(now, Some(asker), (provider, line), what, Action::Conference { calls });
                Ok(Added::Later)
            }
            None => self.mix_in(now, Some(asker), conference, id).map(|()| Added::Now),
        }
    }

    /// The provider, the line and the names there of calls that are all on one line.
    fn of_one_line(&self, all: &[CallId]) -> Option<(ProviderId, tapi::LineId, Vec<CallRef>)> {
        let first = self.calls.get(all.first()?)?;
        let same = |call: &&Call| (call.provider, call.info.line) == (first.provider, first.info.line);
        let calls: Vec<CallRef> =
            all.iter().filter_map(|id| self.calls.get(id)).filter(same).map(|call| call.reference).collect();
        (calls.len() == all.len()).then_some((first.provider, first.info.line, calls))
    }

    /// The network took the conference, or would not.
    pub(crate) fn conference_taken(
        &mut self,
        now: Time,
        asker: Option<Asker>,
        (conference, id): (CallId, CallId),
        result: Result<(), Error>,
    ) {
        match result {
            Ok(()) => {
                self.answer_done(asker, None);
                if let Some(own) = self.conference(conference) {
                    own.mixing = Mixing::Network;
                }
                if let Some(call) = self.calls.get_mut(&id) {
                    call.control.enters = Some(conference);
                }
            }
            Err(error) if error.code == ErrorCode::OperationUnavail => {
                if let Err(error) = self.mix_in(now, asker, conference, id) {
                    self.answer_done(asker, Some(error));
                }
            }
            Err(error) => self.answer_done(asker, Some(error)),
        }
    }

    /// Takes a call into a conference that is mixed here, with all that are in it already.
    fn mix_in(&mut self, now: Time, asker: Option<Asker>, conference: CallId, id: CallId) -> Result<(), Error> {
        let mut all: Vec<CallId> = match self.conference(conference) {
            Some(own) => own.members.iter().copied().collect(),
            None => return Err(ErrorCode::InvalConfCallHandle.because(format!("call {conference} is no conference"))),
        };
        all.push(id);
        for id in &all {
            let call = self.calls.get(id).filter(|call| !call.state.is_over());
            if call.and_then(|call| call.stream.as_ref()).is_none() {
                return Err(ErrorCode::OperationUnavail.because(format!("call {id} has no audio to mix")));
            }
        }
        self.answer_done(asker, None);
        let mixer = self.mixer_of(conference);
        for id in all {
            self.mix(now, mixer, id);
        }
        self.enroll(now, conference, id);
        Ok(())
    }

    /// The mixer of a conference, with a stream of the conference's own in it.
    fn mixer_of(&mut self, conference: CallId) -> MixerId {
        if let Some(Mixing::Here(mixer)) = self.conference(conference).map(|own| own.mixing) {
            return mixer;
        }
        let mixer = MixerId(self.fresh_id());
        if let Ok(Some(stream)) = self.open_stream(ProviderId::SERVER, MediaWire::Frames, conference) {
            self.media(ProviderId::SERVER, Command::Mix { stream: stream.id, mixer });
            if let Some(call) = self.calls.get_mut(&conference) {
                call.stream = Some(stream);
            }
        }
        if let Some(own) = self.conference(conference) {
            own.mixing = Mixing::Here(mixer);
        }
        mixer
    }

    fn mix(&mut self, now: Time, mixer: MixerId, id: CallId) {
        self.part(now, id);
        self.retrieve(now, id);
        let Some(call) = self.calls.get(&id) else { return };
        if let Some(stream) = call.stream.as_ref().map(|stream| stream.id) {
            let provider = call.provider;
            self.media(provider, Command::Mix { stream, mixer });
        }
    }

    /// Two calls become a conference (lineCompleteTransfer).
    pub(crate) fn conference_of(&mut self, now: Time, asker: Asker, a: CallId, b: CallId) -> Result<(), Error> {
        for id in [a, b] {
            let call = self.calls.get(&id).filter(|call| call.control.conference.is_none() && !call.state.is_over());
            if call.is_none_or(|call| call.info.conference.is_some()) {
                return Err(ErrorCode::InvalCallState.because(format!("call {id} cannot become a member")));
            }
        }
        match self.of_one_line(&[a, b]) {
            Some((provider, line, calls)) => {
                let what = What::ConferenceOf { a, b };
                self.command(now, Some(asker), (provider, line), what, Action::Conference { calls });
                Ok(())
            }
            None => self.conference_mixed(now, asker, a, b),
        }
    }

    pub(crate) fn conference_of_taken(
        &mut self,
        now: Time,
        asker: Option<Asker>,
        (a, b): (CallId, CallId),
        result: Result<(), Error>,
    ) {
        let Some(asker) = asker else { return };
        let outcome = match result {
            Ok(()) => match self.make_conference(now, a, asker.session) {
                Some(conference) => {
                    if let Some(own) = self.conference(conference) {
                        own.mixing = Mixing::Network;
                    }
                    for id in [a, b] {
                        if let Some(call) = self.calls.get_mut(&id) {
                            call.control.enters = Some(conference);
                        }
                    }
                    self.answer_transferring(Some(asker), TransferWay::Network, Some(conference));
                    self.tell_made(now, conference, asker.session, true);
                    self.enter(now, conference, CallState::OnHoldPendConf);
                    Ok(())
                }
                None => Err(ErrorCode::Disconnected.because(format!("call {a} is over"))),
            },
            Err(error) if error.code == ErrorCode::OperationUnavail => self.conference_mixed(now, asker, a, b),
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            self.answer(asker, Err(error));
        }
    }

    fn conference_mixed(&mut self, now: Time, asker: Asker, a: CallId, b: CallId) -> Result<(), Error> {
        for id in [a, b] {
            let call = self.calls.get(&id).filter(|call| !call.state.is_over());
            if call.and_then(|call| call.stream.as_ref()).is_none() {
                return Err(ErrorCode::OperationUnavail.because(format!("call {id} has no audio to mix")));
            }
        }
        let made = self.make_conference(now, a, asker.session);
        let conference = made.ok_or_else(|| ErrorCode::Disconnected.because(format!("call {a} is over")))?;
        self.answer_transferring(Some(asker), TransferWay::Bridge, Some(conference));
        self.tell_made(now, conference, asker.session, true);
        self.enroll(now, conference, a);
        self.mix_in(now, None, conference, b)
    }

    /// The network says that a call is in its conference.
    pub(crate) fn conferenced(&mut self, now: Time, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.control.held = Held::No;
        if let Some(conference) = call.control.enters.take() {
            self.enroll(now, conference, id);
        }
    }

    /// A call is no member any more, since it is over or was taken out.
    pub(crate) fn leave_conference(&mut self, now: Time, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.control.enters = None;
        let Some(conference) = call.info.conference.take() else { return };
        let Some(own) = self.conference(conference) else { return };
        own.members.remove(&id);
        let (left, mixing) = (own.members.clone(), own.mixing);
        self.release_member(now, id, mixing);
        let waits = self.calls.get(&conference).is_none_or(|call| call.state == CallState::OnHoldPendConf);
        if left.is_empty() || (left.len() == 1 && !waits) {
            self.end(now, conference);
        }
    }

    /// A call hears its far end alone again.
    fn release_member(&mut self, now: Time, id: CallId, mixing: Mixing) {
        let Some(call) = self.calls.get(&id) else { return };
        let (provider, held) = (call.provider, call.control.held);
        let stream = call.stream.as_ref().map(|stream| stream.id);
        if let (Mixing::Here(_), Some(stream)) = (mixing, stream) {
            self.media(provider, Command::Unmix { stream });
        }
        self.emit_info(now, id, Names::from([InfoKind::Conference]), None);
        let conferenced = self.calls.get(&id).is_some_and(|call| call.state == CallState::Conferenced);
        if conferenced {
            let held = held == Held::ByNetwork;
            let state = if held { CallState::OnHold } else { CallState::Connected(ConnectedMode::Active) };
            self.enter(now, id, state);
        }
    }

    /// A conference is over: its members go on by themselves.
    pub(crate) fn end_conference(&mut self, now: Time, conference: CallId) {
        let Some(own) = self.conference(conference) else { return };
        let (members, mixing) = (std::mem::take(&mut own.members), own.mixing);
        for id in members {
            if let Some(call) = self.calls.get_mut(&id) {
                call.info.conference = None;
            }
            self.release_member(now, id, mixing);
        }
    }

    fn end(&mut self, now: Time, conference: CallId) {
        if let Some(call) = self.calls.get_mut(&conference) {
            call.info.cause.get_or_insert(tapi::Cause::new(DisconnectMode::Normal));
        }
        self.enter(now, conference, CallState::Idle);
    }

    /// Drops a conference, and its members with it.
    pub(crate) fn drop_conference(&mut self, now: Time, conference: CallId, asker: Option<Asker>) {
        let members = self.conference(conference).map(|own| own.members.clone()).unwrap_or_default();
        self.answer_done(asker, None);
        self.end(now, conference);
        for id in members {
            self.hang_up(now, id);
        }
    }

    /// A call takes a member's place.
    pub(crate) fn replace_member(&mut self, now: Time, old: CallId, new: CallId) {
        let Some(conference) = self.calls.get(&old).and_then(|call| call.info.conference) else { return };
        let Some(mixing) = self.conference(conference).map(|own| own.mixing) else { return };
        if let Mixing::Here(mixer) = mixing {
            self.mix(now, mixer, new);
            self.enroll(now, conference, new);
        }
    }

    /// A member that is mixed here was answered, or retrieved.
    pub(crate) fn member_connected(&mut self, now: Time, id: CallId) {
        let conference = self.calls.get(&id).and_then(|call| call.info.conference);
        let mixing = conference.and_then(|conference| self.conference(conference)).map(|own| own.mixing);
        if matches!(mixing, Some(Mixing::Here(_))) {
            self.enter(now, id, CallState::Conferenced);
        }
    }
}
