//! Transfers: commands of the server, calls that take another's place, and what calls tell one another.

use super::Sip;
use crate::endpoint::Answer;
use crate::invite::{destination, dialog_key, replaces};
use crate::message::Message;
use tapi::{ErrorCode, Time};
use tspi::{CallRef, CommandId, LineRef, LocalMedia, Refusal, Taken};

impl Sip {
    /// What one call has to tell another. Whether there was anything.
    pub(super) fn relay(&mut self, now: Time) -> bool {
        let Some((call, relay)) = self.endpoint.relays.pop_front() else { return false };
        self.with_call(call, |call, ep| call.on_relay(ep, now, &relay));
        true
    }

    pub(super) fn blind_transfer(&mut self, now: Time, id: CommandId, call: CallRef, to: &str) {
        let line = self.calls.get(&call.0).and_then(|call| self.endpoint.lines.get(call.line as usize));
        let to = line.map(|line| destination(&line.config, to));
        self.on_call(id, call, &[], |call, ep| {
            let may = call.may_refer(ep.policy(call.line).transfers);
            match may.and_then(|()| to.unwrap_or_else(|| Err(no_line()))) {
                Ok((uri, _)) => {
                    ep.reply(id, Ok(Taken::Done));
                    call.refer(ep, now, format!("<{uri}>"), None);
                }
                Err(refusal) => ep.reply(id, Err(refusal)),
            }
        });
    }

    pub(super) fn complete_transfer(&mut self, now: Time, id: CommandId, call: CallRef, consultation: CallRef) {
        let to = match self.calls.get(&consultation.0) {
            _ if call == consultation => {
                Err(Refusal::new(ErrorCode::TargetSelf, "a call is no consultation of itself"))
            }
            Some(other) => other.consulted(),
            None => {
                let text = format!("there is no call {}", consultation.0);
                Err(Refusal::new(ErrorCode::InvalConsultCallHandle, text))
            }
        };
        self.on_call(id, call, &[], |call, ep| match call.may_refer(ep.policy(call.line).transfers).and(to) {
            Ok(to) => {
                ep.reply(id, Ok(Taken::Done));
                call.refer(ep, now, to, Some(consultation.0));
            }
            Err(refusal) => ep.reply(id, Err(refusal)),
        });
    }

    pub(super) fn accept_transfer(&mut self, now: Time, id: CommandId, call: CallRef, media: LocalMedia) {
        let asked = self.calls.get(&call.0).and_then(|known| Some((known.line, known.order()?.clone())));
        let Some((line, order)) = asked else { return self.refuse_undecided(id, call) };
        match self.place(now, id, LineRef(line), (&order.to, false), media, Some((call.0, &order))) {
            Ok(()) => self.with_call(call.0, |call, _| call.placing()),
            Err(refusal) => {
                self.endpoint.reply(id, Err(refusal));
                self.with_call(call.0, |call, ep| call.decline(ep, now));
            }
        }
    }

    pub(super) fn reject_transfer(&mut self, now: Time, id: CommandId, call: CallRef) {
        if self.calls.get(&call.0).is_none_or(|call| call.order().is_none()) {
            return self.refuse_undecided(id, call);
        }
        self.on_call(id, call, &[], |call, ep| {
            ep.reply(id, Ok(Taken::Done));
            call.decline(ep, now);
        });
    }

    fn refuse_undecided(&mut self, id: CommandId, call: CallRef) {
        self.on_call(id, call, &[], |call, ep| {
            let text = format!("the far end of call {} asks for no transfer", call.id);
            ep.reply(id, Err(Refusal::new(ErrorCode::InvalCallState, text)));
        });
    }

    /// The call whose place an INVITE is to take (RFC 3891 section 3): one of the same line, or of a line of ours where the
    /// sender proved who it is.
    pub(super) fn replaced(&self, message: &Message<'_>, line: u32) -> Result<Option<u64>, Answer> {
        let Some(by) = replaces(message)? else { return Ok(None) };
        let key = dialog_key(&by.call_id, &by.to_tag);
        let Some((id, call)) = self.endpoint.dialogs.get(&key).and_then(|id| Some((*id, self.calls.get(id)?))) else {
            return Err(Answer::new(if self.endpoint.ended.has(&key) { 603 } else { 481 }));
        };
        call.replaceable(&by).map_err(Answer::new)?;
        let proven = self.endpoint.lines.get(line as usize).is_some_and(|l| !l.config.account.require_auth.is_empty());
        if call.line == line || proven { Ok(Some(id)) } else { Err(Answer::new(403)) }
    }
}

fn no_line() -> Refusal {
    Refusal::new(ErrorCode::NoDevice, "the line of the call is gone")
}
