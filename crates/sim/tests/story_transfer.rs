//! Transfers over a SIP trunk, as an application sees and hears them, and as the ledger tells them afterwards.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails shows why")]

use std::net::SocketAddr;
use std::time::Duration;
use tapi::request::{
    CallAcceptTransfer, CallBlindTransfer, CallCompleteTransfer, CallRejectTransfer, CallSetupTransfer,
};
use tapi::{
    AddressId, CallId, CallReason, CallState, DisconnectMode, EventBody, LineId, Reply, Request, TransferMode,
    TransferPhase, TransferWay,
};
use tapi_sim::exchange::meter;
use tapi_sim::world::{AppId, DialogState, OnRefer, Peer, Policy, SERVER, Setup, World};

const CAROL: &str = "sip:carol@192.0.2.9:5060";

struct Trunk {
    world: World,
    app: AppId,
    line: LineId,
    peer: usize,
}

fn trunk(on_refer: OnRefer) -> Trunk {
    let mut world = World::new(Setup::default());
    let address = SocketAddr::from(([192, 0, 2, 9], 5060));
    world.start_sip(5060, "sip:trunk", address);
    let mut peer = Peer::new(address, SocketAddr::new(SERVER, 5060), Policy::Answer(Duration::ZERO));
    peer.on_refer = on_refer;
    let peer = world.add_peer(peer);
    let app = world.open_app("app", 0);
    let line = world.open_line(app, "sip:trunk");
    Trunk { world, app, line, peer }
}

fn refuses() -> OnRefer {
    OnRefer::Refuse("405 Method Not Allowed".into())
}

fn goes(outcome: &str) -> OnRefer {
    OnRefer::Go(outcome.into())
}

impl Trunk {
    /// A call that is up, and its dialog at the peer.
    fn up(&mut self, to: &str) -> (CallId, String) {
        let before = self.world.peer(self.peer).live();
        let call = self.world.make_call(self.app, self.line, to).unwrap();
        self.world.await_state(self.app, call, "connected");
        (call, self.new_dialog(&before))
    }

    fn new_dialog(&self, before: &[String]) -> String {
        self.world.peer(self.peer).live().into_iter().find(|dialog| !before.contains(dialog)).unwrap()
    }

    /// A consultation call for a call, answered.
    fn consult(&mut self, call: CallId) -> (CallId, String) {
        let before = self.world.peer(self.peer).live();
        let setup = CallSetupTransfer { call, to: CAROL.into(), line: None, address: AddressId(0), comment: None };
        let consultation = match self.world.expect(self.app, Request::CallSetupTransfer(setup)) {
            Reply::Made(made) => made.call,
            other => panic!("{other:?}"),
        };
        self.world.await_state(self.app, consultation, "connected");
        assert_eq!(self.world.app(self.app).state(call), Some(&CallState::OnHoldPendTransfer));
        (consultation, self.new_dialog(&before))
    }

    fn complete(&mut self, call: CallId, consultation: CallId) {
        let complete = CallCompleteTransfer { call, consultation, mode: TransferMode::Transfer, how: None };
        self.world.expect(self.app, Request::CallCompleteTransfer(complete));
    }

    fn blind(&mut self, call: CallId) {
        let blind = CallBlindTransfer { call, to: CAROL.into(), how: None };
        self.world.expect(self.app, Request::CallBlindTransfer(blind));
    }

    /// How a transfer ended: phase, way, status.
    fn outcome(&mut self, call: CallId) -> (TransferPhase, TransferWay, Option<u16>) {
        let over = |body: &EventBody| match body {
            EventBody::CallTransfer { call: about, phase, .. } => *about == call && *phase != TransferPhase::Progress,
            _ => false,
        };
        match self.world.await_event(self.app, "end of the transfer", over) {
            EventBody::CallTransfer { phase, how, cause, .. } => (phase, how, cause.and_then(|cause| cause.sip)),
            other => panic!("{other:?}"),
        }
    }

    /// Each of two far ends hears the tone of the other.
    fn hear_one_another(&mut self, one: &str, other: &str) {
        self.world.with_peer(self.peer, |now, peer| {
            peer.audio(one).unwrap().play(now, 800.0, -100, Duration::from_secs(5));
            peer.audio(other).unwrap().play(now, 1_200.0, -160, Duration::from_secs(5));
        });
        self.world.run_for(Duration::from_secs(3));
        for (ear, hz, level) in [(other, 800, -100), (one, 1_200, -160)] {
            let frames = &self.world.peer(self.peer).dialog(ear).unwrap().audio.heard;
            let last: Vec<i16> = frames.iter().rev().take(50).rev().flat_map(|(_, frame)| frame.0).collect();
            let heard = meter::read(&last);
            assert!(heard.hz.abs_diff(hz) <= 10 && (heard.level_ddbm0 - level).abs() <= 15, "{heard:?}");
        }
    }

    /// The far end of one hangs up: both calls are over.
    fn ends_together(&mut self, calls: [CallId; 2], dialogs: [&str; 2]) {
        self.world.with_peer(self.peer, |now, peer| peer.hang_up(now, dialogs[0]));
        self.world.run_for(Duration::from_secs(1));
        for call in calls {
            let state = self.world.app(self.app).state(call).cloned().unwrap();
            assert!(state.is_over(), "call {call} is {state}");
            if state != CallState::Idle {
                self.world.drop_call(self.app, call);
            }
        }
        let over = DialogState::Over("BYE".into());
        assert_eq!(
            dialogs.map(|dialog| self.world.peer(self.peer).dialog(dialog).unwrap().state.clone()),
            [over.clone(), over]
        );
    }

    /// What the ledger has of a call: whether it was answered, for how long, why it ended.
    fn written(&self, call: CallId) -> tapi::LedgerEntry {
        let entries: Vec<_> = self.world.ledger.iter().filter(|entry| entry.call == call).collect();
        assert_eq!(entries.len(), 1, "one line for each call: {entries:?}");
        entries[0].clone()
    }
}

#[test]
fn a_blind_transfer_by_the_network_ends_the_call_and_both_are_told() {
    let mut trunk = trunk(goes("200 OK"));
    let (call, dialog) = trunk.up("sip:bob@192.0.2.9");
    trunk.blind(call);
    assert_eq!(trunk.outcome(call), (TransferPhase::Done, TransferWay::Network, None));
    trunk.world.await_state(trunk.app, call, "idle");
    trunk.world.run_for(Duration::from_secs(2));
    let far = trunk.world.peer(trunk.peer).dialog(&dialog).unwrap();
    assert_eq!((far.referred_to.as_deref(), &far.state), (Some(CAROL), &DialogState::Over("BYE".into())));
    let entry = trunk.written(call);
    assert!(entry.answered.is_some());
    assert_eq!(entry.cause.map(|cause| cause.mode), Some(DisconnectMode::Normal));
    trunk.world.assert_nothing_left();
}

#[test]
fn a_target_that_is_busy_leaves_the_call_as_it_was() {
    let mut trunk = trunk(goes("486 Busy Here"));
    let (call, dialog) = trunk.up("sip:bob@192.0.2.9");
    trunk.blind(call);
    assert_eq!(trunk.outcome(call), (TransferPhase::Failed, TransferWay::Network, Some(486)));
    assert!(matches!(trunk.world.app(trunk.app).state(call), Some(CallState::Connected(_))));
    assert_eq!(trunk.world.peer(trunk.peer).dialog(&dialog).unwrap().state, DialogState::Up);
    trunk.world.drop_call(trunk.app, call);
    trunk.world.assert_nothing_left();
}

#[test]
fn a_far_end_without_refer_is_bridged_and_the_two_hear_one_another() {
    let mut trunk = trunk(refuses());
    let (call, one) = trunk.up("sip:bob@192.0.2.9");
    let before = trunk.world.peer(trunk.peer).live();
    trunk.blind(call);
    assert_eq!(trunk.outcome(call), (TransferPhase::Done, TransferWay::Bridge, None));
    let other = trunk.new_dialog(&before);
    let leg = trunk.world.snapshot(trunk.app).calls.iter().find_map(|known| known.info.bridged).unwrap();
    let leg = if leg == call {
        trunk.world.snapshot(trunk.app).calls.iter().find(|known| known.info.bridged == Some(call)).unwrap().info.call
    } else {
        leg
    };
    trunk.hear_one_another(&one, &other);
    trunk.ends_together([call, leg], [&one, &other]);
    trunk.world.run_for(Duration::from_secs(2));
    let (first, second) = (trunk.written(call), trunk.written(leg));
    assert_eq!(first.conversation, second.conversation, "the ledger keeps the two halves together");
    assert!(first.codec.is_some() && second.answered.is_some());
    trunk.world.assert_nothing_left();
}

#[test]
fn a_consultation_is_completed_by_the_network_with_replaces() {
    let mut trunk = trunk(goes("200 OK"));
    let (call, one) = trunk.up("sip:bob@192.0.2.9");
    let (consultation, other) = trunk.consult(call);
    trunk.complete(call, consultation);
    assert_eq!(trunk.outcome(call), (TransferPhase::Done, TransferWay::Network, None));
    trunk.world.await_state(trunk.app, call, "idle");
    trunk.world.run_for(Duration::from_secs(6));
    let far = trunk.world.peer(trunk.peer).dialog(&one).unwrap();
    assert!(far.referred_to.as_deref().is_some_and(|to| to.contains("Replaces=")), "{:?}", far.referred_to);
    assert_eq!(trunk.world.peer(trunk.peer).dialog(&other).unwrap().state, DialogState::Over("BYE".into()));
    let state = trunk.world.app(trunk.app).state(consultation).cloned().unwrap();
    assert!(state.is_over(), "{state}");
    if state != CallState::Idle {
        trunk.world.drop_call(trunk.app, consultation);
    }
    trunk.world.run_for(Duration::from_secs(2));
    assert_eq!(trunk.written(consultation).related, Some(call), "whom it was for is written down");
    trunk.written(call);
    trunk.world.assert_nothing_left();
}

#[test]
fn a_consultation_is_bridged_where_the_network_cannot() {
    let mut trunk = trunk(refuses());
    let (call, one) = trunk.up("sip:bob@192.0.2.9");
    let (consultation, other) = trunk.consult(call);
    assert_eq!(trunk.world.peer(trunk.peer).dialog(&one).unwrap().their_direction, "sendonly", "who waits is held");
    trunk.complete(call, consultation);
    assert_eq!(trunk.outcome(call), (TransferPhase::Done, TransferWay::Bridge, None));
    assert_eq!(trunk.world.peer(trunk.peer).dialog(&one).unwrap().their_direction, "sendrecv", "and taken back");
    trunk.hear_one_another(&one, &other);
    trunk.ends_together([call, consultation], [&one, &other]);
    trunk.world.run_for(Duration::from_secs(2));
    assert_eq!(trunk.written(call).conversation, trunk.written(consultation).conversation);
    trunk.world.assert_nothing_left();
}

/// The peer sends us on; the application is asked.
fn sent_on(trunk: &mut Trunk) -> (CallId, String) {
    let (call, dialog) = trunk.up("sip:bob@192.0.2.9");
    trunk.world.with_peer(trunk.peer, |now, peer| peer.refer(now, &dialog, CAROL));
    let asks =
        |body: &EventBody| matches!(body, EventBody::CallTransferRequested { call: about, .. } if *about == call);
    match trunk.world.await_event(trunk.app, "wish to be transferred", asks) {
        EventBody::CallTransferRequested { to, attended, .. } => {
            assert_eq!((to.as_str(), attended), (CAROL, false));
        }
        other => panic!("{other:?}"),
    }
    (call, dialog)
}

#[test]
fn a_wish_that_is_granted_is_a_new_call_and_the_old_one_ends() {
    let mut trunk = trunk(refuses());
    let (call, dialog) = sent_on(&mut trunk);
    trunk.world.expect(trunk.app, Request::CallAcceptTransfer(CallAcceptTransfer { call }));
    trunk.world.run_for(Duration::from_secs(1));
    trunk.world.await_state(trunk.app, call, "idle");
    assert_eq!(trunk.world.peer(trunk.peer).dialog(&dialog).unwrap().news, ["100 Trying", "180 Ringing", "200 OK"]);
    let calls = trunk.world.snapshot(trunk.app).calls;
    let new = calls.iter().find(|known| known.info.call != call && !known.status.state.is_over()).unwrap();
    assert_eq!(new.info.reason, CallReason::Transfer);
    let new = new.info.call;
    trunk.world.drop_call(trunk.app, new);
    trunk.world.run_for(Duration::from_secs(2));
    assert_eq!(trunk.written(new).reason, CallReason::Transfer);
    trunk.world.assert_nothing_left();
}

#[test]
fn a_wish_that_is_declined_changes_nothing() {
    let mut trunk = trunk(refuses());
    let (call, dialog) = sent_on(&mut trunk);
    trunk.world.expect(trunk.app, Request::CallRejectTransfer(CallRejectTransfer { call }));
    trunk.world.run_for(Duration::from_secs(1));
    let far = trunk.world.peer(trunk.peer).dialog(&dialog).unwrap();
    assert_eq!((far.news.last().map(String::as_str), &far.state), (Some("603 Decline"), &DialogState::Up));
    trunk.world.drop_call(trunk.app, call);
    trunk.world.assert_nothing_left();
}
