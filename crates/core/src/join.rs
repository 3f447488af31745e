//! Calls whose audio is joined: bridges, the two halves of a transfer or a forwarding, and a call that takes another's place.

use crate::Server;
use crate::call::{Call, Held, Why};
use crate::features::is_held;
use tapi::{
    CallId, CallReason, CallState, Cause, ConnectedMode, DisconnectMode, EventBody, InfoKind, Names, SessionId, Time,
    TransferPhase, TransferWay,
};
use tspi::Action;
use tspi::media::Command;

impl Server {
    /// Joins the audio of two calls that have some.
    pub(crate) fn bridge(&mut self, now: Time, a: CallId, b: CallId) {
        let stream = |id: &CallId| self.calls.get(id).and_then(|call| Some((call.provider, call.stream.as_ref()?.id)));
        let (Some((provider, one)), Some((_, other))) = (stream(&a), stream(&b)) else { return };
        for id in [a, b] {
            self.part(now, id);
        }
        let conversation = self.calls.get(&a).map(|call| call.info.conversation.clone()).unwrap_or_default();
        for (id, with) in [(a, b), (b, a)] {
            if let Some(call) = self.calls.get_mut(&id) {
                call.info.bridged = Some(with);
                call.info.conversation.clone_from(&conversation);
            }
        }
        self.media(provider, Command::Join { a: one, b: other });
        self.emit_info(now, a, Names::from([InfoKind::Bridge]), None);
        if a != b {
            self.emit_info(now, b, Names::from([InfoKind::Bridge]), None);
        }
    }

    /// Takes a call's bridge apart.
    pub(crate) fn part(&mut self, now: Time, id: CallId) {
        let Some(call) = self.calls.get(&id).filter(|call| call.info.bridged.is_some()) else { return };
        let provider = call.provider;
        if let Some(stream) = call.stream.as_ref().map(|stream| stream.id) {
            self.media(provider, Command::Part { stream });
        }
        self.untie(id);
        self.unbridge(now, id);
    }

    /// Calls that were to end together do not any more.
    pub(crate) fn untie(&mut self, id: CallId) {
        let tied = self.calls.get_mut(&id).and_then(|call| call.control.tied.take());
        if let Some(other) = tied.and_then(|other| self.calls.get_mut(&other)) {
            other.control.tied = None;
        }
    }

    /// `leg` is to be joined with `call` once both are connected.
    pub(crate) fn await_join(&mut self, now: Time, call: CallId, leg: CallId, why: Why) {
        if let Some(leg) = self.calls.get_mut(&leg) {
            leg.control.joining = Some((call, why));
        }
        if let Some(call) = self.calls.get_mut(&call) {
            call.control.awaits = Some(leg);
        }
        for id in [call, leg] {
            self.retrieve(now, id);
        }
        self.try_join(now, leg);
    }

    /// Takes a held call back.
    pub(crate) fn retrieve(&mut self, now: Time, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        match call.control.held {
            Held::ByNetwork => {
                let (provider, line, reference) = (call.provider, call.info.line, call.reference);
                let what = crate::pending::What::Plain;
                self.command(now, None, (provider, line), what, Action::Unhold { call: reference });
            }
            Held::Here | Held::No if is_held(&call.state) => {
                call.control.held = Held::No;
                self.enter(now, id, CallState::Connected(ConnectedMode::Active));
            }
            Held::Here | Held::No => {}
        }
    }

    /// Joins a leg with the call it is for, if both are ready; answers that call first if need be.
    pub(crate) fn try_join(&mut self, now: Time, leg: CallId) {
        let Some((with, why)) = self.calls.get(&leg).and_then(|call| call.control.joining) else { return };
        let connected = |id: &CallId| {
            self.calls
                .get(id)
                .is_some_and(|call| matches!(call.state, CallState::Connected(_)) && call.stream.is_some())
        };
        if !connected(&leg) {
            return;
        }
        if !connected(&with) {
            let offered = self.calls.get(&with).is_some_and(Call::is_offered);
            if offered && self.calls.get(&with).is_some_and(|call| call.answering.is_none()) {
                // What goes wrong with it is told by its state.
                let _ = self.answer_call(now, with, None);
            }
            return;
        }
        self.unjoin(leg);
        self.bridge(now, with, leg);
        for (id, other) in [(with, leg), (leg, with)] {
            if let Some(call) = self.calls.get_mut(&id) {
                call.control.tied = Some(other);
            }
        }
        if why == Why::Transfer {
            self.emit_transfer(now, with, TransferPhase::Done, TransferWay::Bridge, Some(leg), None);
        }
    }

    /// A leg waits no longer to be joined.
    fn unjoin(&mut self, leg: CallId) -> Option<(CallId, Why)> {
        let joining = self.calls.get_mut(&leg)?.control.joining.take()?;
        if let Some(call) = self.calls.get_mut(&joining.0).filter(|call| call.control.awaits == Some(leg)) {
            call.control.awaits = None;
        }
        Some(joining)
    }

    /// What follows for other calls from the state that a call entered.
    pub(crate) fn follow(&mut self, now: Time, id: CallId) {
        let Some(call) = self.calls.get(&id) else { return };
        if call.state.is_over() {
            return self.follow_end(now, id);
        }
        if !matches!(call.state, CallState::Connected(_)) {
            return;
        }
        let (awaits, replaces) = (call.control.awaits, call.control.replaces);
        if let Some(old) = replaces {
            self.take_place(now, old, id);
        }
        self.member_connected(now, id);
        self.try_join(now, id);
        if let Some(leg) = awaits {
            self.try_join(now, leg);
        }
        self.play_to_unclaimed(now, id);
    }

    /// A call is over: what depended on it.
    fn follow_end(&mut self, now: Time, id: CallId) {
        if let Some((with, why)) = self.unjoin(id) {
            self.leg_failed(now, id, with, why);
        }
        let control = self.calls.get_mut(&id).map(|call| {
            (
                call.control.awaits.take(),
                call.control.tied.take(),
                call.control.consults.take(),
                call.control.asked.take(),
            )
        });
        let Some((awaits, tied, consults, asked)) = control else { return };
        if let Some((_, until)) = asked {
            self.timers.remove(&(until, crate::server::Timer::Asked(id)));
        }
        self.claimed(id);
        if let Some(leg) = awaits {
            self.unjoin(leg);
            self.hang_up(now, leg);
        }
        if let Some(other) = tied {
            if let Some(other) = self.calls.get_mut(&other) {
                other.control.tied = None;
            }
            self.hang_up(now, other);
        }
        if let Some(of) = consults {
            self.consultation_over(now, of);
        }
        self.leave_conference(now, id);
        self.end_conference(now, id);
    }

    /// The server ends a call of its own accord, if it is not over already.
    pub(crate) fn hang_up(&mut self, now: Time, id: CallId) {
        if self.calls.get(&id).is_some_and(|call| !call.state.is_over()) {
            self.drop_call(now, id, None, None);
        }
    }

    fn leg_failed(&mut self, now: Time, leg: CallId, with: CallId, why: Why) {
        let cause = self.calls.get(&leg).and_then(|call| call.info.cause.clone());
        match why {
            Why::Transfer => {
                self.emit_transfer(now, with, TransferPhase::Failed, TransferWay::Bridge, Some(leg), cause);
            }
            Why::Forward => {
                let reason = cause.map(|cause| cause.mode).filter(|mode| *mode != DisconnectMode::Normal);
                if self.calls.get(&with).is_some_and(|call| !call.state.is_over()) {
                    self.drop_call(now, with, None, reason);
                }
            }
        }
    }

    /// Tells how a transfer stands.
    pub(crate) fn emit_transfer(
        &mut self,
        now: Time,
        id: CallId,
        phase: TransferPhase,
        how: TransferWay,
        with: Option<CallId>,
        cause: Option<Cause>,
    ) {
        self.emit_transfer_text(now, (id, with), phase, how, (None, cause));
    }

    pub(crate) fn emit_transfer_text(
        &mut self,
        now: Time,
        (id, with): (CallId, Option<CallId>),
        phase: TransferPhase,
        how: TransferWay,
        (text, cause): (Option<String>, Option<Cause>),
    ) {
        let Some(call) = self.calls.get(&id).filter(|call| call.state != CallState::Idle) else { return };
        let audience: Vec<SessionId> = call.handles.keys().copied().collect();
        self.emit(now, EventBody::CallTransfer { call: id, phase, how, with, text, cause }, audience);
    }

    /// A call that took another's place is connected: it has that one's joins, and that one is released.
    fn take_place(&mut self, now: Time, old: CallId, new: CallId) {
        if let Some(call) = self.calls.get_mut(&new) {
            call.control.replaces = None;
        }
        let Some(gone) = self.calls.get_mut(&old).filter(|call| !call.state.is_over()) else { return };
        let (bridged, tied) = (gone.info.bridged, gone.control.tied.take());
        let (awaits, joining) = (gone.control.awaits.take(), gone.control.joining.take());
        gone.info.cause = Some(Cause::new(DisconnectMode::Normal).with_text(format!("call {new} took its place")));
        if let Some(other) = tied.and_then(|other| self.calls.get_mut(&other)) {
            other.control.tied = None;
        }
        if let Some(partner) = bridged.filter(|partner| *partner != old) {
            self.bridge(now, partner, new);
            if tied == Some(partner) {
                for (id, other) in [(partner, new), (new, partner)] {
                    if let Some(call) = self.calls.get_mut(&id) {
                        call.control.tied = Some(other);
                    }
                }
            }
        }
        if let Some(leg) = awaits {
            self.await_join(now, new, leg, Why::Transfer);
        }
        if let Some((with, why)) = joining {
            self.await_join(now, with, new, why);
        }
        self.replace_member(now, old, new);
        self.hang_up(now, old);
    }

    /// The reason of a call that takes another's place.
    pub(crate) fn reason_of_replacement(told: Option<CallReason>, old: &CallState) -> CallReason {
        let found = if matches!(old, CallState::Offering(_) | CallState::Accepted) {
            CallReason::Pickup
        } else {
            CallReason::Transfer
        };
        told.unwrap_or(found)
    }
}

impl Call {
    /// Whether it came in and is not answered.
    pub(crate) fn is_offered(&self) -> bool {
        matches!(self.state, CallState::Offering(_) | CallState::Accepted)
    }
}
