//! Operations that move calls: transfers, conferences, redirection, other applications, devices.

use super::{NUMBERS, Op, Stage, number};
use crate::world::OnRefer;
use tapi::request::{
    CallAcceptTransfer, CallAddToConference, CallBlindTransfer, CallCompleteTransfer, CallHandoff, CallPrepareAdd,
    CallRedirect, CallRejectTransfer, CallRemoveFromConference, CallSetupConference, CallSetupTransfer, CallSwapHold,
    LineDevice, LineSelector,
};
use tapi::{AddressId, CallId, DeviceRequest, HandoffTarget, Reply, Request, TransferMode, TransferWay};

impl Stage {
    /// A number that fits the line of a call, as far as the application knows it.
    fn number_for(&self, app: u8, call: CallId, to: u8) -> String {
        let line = self.world.app(super::AppId(app.into())).calls.get(&call).and_then(|view| view.line);
        let pick = (0..super::LINES.len() as u8).find(|pick| Some(self.line(*pick)) == line);
        pick.map_or(NUMBERS[9], |pick| number(pick, to)).to_owned()
    }

    pub(super) fn control(&mut self, op: Op) {
        let (app, request) = match op {
            Op::Blind { app, call, to, how } => {
                let call = self.call(app, call);
                let to = self.number_for(app, call, to);
                (app, Request::CallBlindTransfer(CallBlindTransfer { call, to, how: way(how) }))
            }
            Op::Consult { app, call, to } => {
                let call = self.call(app, call);
                let (to, address) = (self.number_for(app, call, to), AddressId(0));
                (app, Request::CallSetupTransfer(CallSetupTransfer { call, to, line: None, address, comment: None }))
            }
            Op::Complete { app, call, with, how } => {
                let (call, consultation) = (self.call(app, call), self.call(app, with));
                let mode = if how % 4 == 3 { TransferMode::Conference } else { TransferMode::Transfer };
                (app, Request::CallCompleteTransfer(CallCompleteTransfer { call, consultation, mode, how: way(how) }))
            }
            Op::Redirect { app, call, to } => {
                let call = self.offered(app, call);
                let to = self.number_for(app, call, to);
                (app, Request::CallRedirect(CallRedirect { call, to }))
            }
            Op::Swap { app, call, with } => {
                let (call, with) = (self.call(app, call), self.call(app, with));
                (app, Request::CallSwapHold(CallSwapHold { call, with }))
            }
            Op::Decide { app, call, accept: 1 } => {
                (app, Request::CallAcceptTransfer(CallAcceptTransfer { call: self.call(app, call) }))
            }
            Op::Decide { app, call, .. } => {
                (app, Request::CallRejectTransfer(CallRejectTransfer { call: self.call(app, call) }))
            }
            Op::Handoff { app, call, to } => {
                let (call, to) = (self.call(app, call), HandoffTarget::App(format!("app{to}")));
                (app, Request::CallHandoff(CallHandoff { call, to }))
            }
            Op::Device { app, line, what } => {
                let text = "*100#".to_owned();
                let request = match what % 3 {
                    0 => DeviceRequest::SendMessage { to: "4930300".into(), text: "hello".into() },
                    1 => DeviceRequest::Ussd { text },
                    _ => DeviceRequest::UssdCancel,
                };
                let line = LineSelector::Id(self.line(line));
                (app, Request::LineDevice(LineDevice { line, request }))
            }
            other => return self.confer(other),
        };
        self.send(app, request);
    }

    fn confer(&mut self, op: Op) {
        let (app, request) = match op {
            Op::Confer { app, call, to } => {
                let call = self.call(app, call);
                let to = (to % 2 == 0).then(|| self.number_for(app, call, to));
                (app, Request::CallSetupConference(CallSetupConference { call, to }))
            }
            Op::Prepare { app, call, to } => {
                let conference = self.conference(app, call);
                let to = NUMBERS[usize::from(to) % NUMBERS.len()].to_owned();
                let line = Some(LineSelector::Id(self.line(call)));
                (app, Request::CallPrepareAdd(CallPrepareAdd { conference, to, line }))
            }
            Op::AddTo { app, call, with } => {
                let (conference, call) = (self.conference(app, call), self.call(app, with));
                (app, Request::CallAddToConference(CallAddToConference { conference, call }))
            }
            Op::RemoveFrom { app, call } => {
                (app, Request::CallRemoveFromConference(CallRemoveFromConference { call: self.call(app, call) }))
            }
            other => return self.refers(other),
        };
        self.send(app, request);
    }

    fn refers(&mut self, op: Op) {
        let peer = self.peer;
        match op {
            Op::PeerRefers { call } => {
                let live = self.world.peer(peer).live();
                if let Some(dialog) = live.get(usize::from(call) % live.len().max(1)).cloned() {
                    self.world.with_peer(peer, |now, peer| peer.refer(now, &dialog, "sip:dora@192.0.2.9:5060"));
                }
            }
            Op::PeerOnRefer { policy } => {
                let policies = [
                    OnRefer::Refuse("405 Method Not Allowed".into()),
                    OnRefer::Refuse("603 Decline".into()),
                    OnRefer::Go("200 OK".into()),
                    OnRefer::Go("486 Busy Here".into()),
                ];
                let policy = policies[usize::from(policy % 4)].clone();
                self.world.with_peer(peer, |_, peer| peer.on_refer = policy);
            }
            _ => (),
        }
    }

    /// The application's latest conference, if it has one.
    fn conference(&self, app: u8, pick: u8) -> CallId {
        let app_of = self.world.app(super::AppId(app.into()));
        let made = app_of.replies.values().rev().find_map(|reply| match reply {
            Ok(Reply::ConferenceMade(made)) if app_of.calls.contains_key(&made.conference) => Some(made.conference),
            _ => None,
        });
        made.unwrap_or_else(|| self.call(app, pick))
    }
}

fn way(how: u8) -> Option<TransferWay> {
    [None, Some(TransferWay::Network), Some(TransferWay::Bridge)][usize::from(how % 3)].clone()
}
