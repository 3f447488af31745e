//! Provisional responses to our INVITE: each branch of a fork has an early dialog and a session of its own.

use super::{Call, Role, State};
use crate::dialog::Dialog;
use crate::endpoint::Endpoint;
use crate::message::{Message, description};
use crate::policy::OfferWhen;
use crate::sdp::{Agreed, Misfit, Session};
use crate::transport::Peer;
use serde::{Deserialize, Serialize};
use tapi::{Cause, DisconnectMode, Time};
use tspi::{ReleasedBy, Report};

/// Most branches that are told apart.
const MAX_BRANCHES: usize = 16;

/// One branch of a fork.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Early {
    /// None where the response named no Contact.
    pub dialog: Option<Dialog>,
    pub session: Session,
    /// Number of the last reliable response.
    pub rseq: Option<u32>,
    /// Whether offer and answer went reliably: what a 2xx describes is not looked at.
    pub sealed: bool,
}

impl Call {
    /// A 1xx to our INVITE.
    pub(super) fn on_progress(&mut self, ep: &mut Endpoint, now: Time, message: &Message<'_>, from: Peer) {
        let status = message.status().unwrap_or_default();
        if self.state == State::Calling {
            self.state = State::Proceeding;
            self.report(ep, Report::Proceeding);
        }
        let tag = message.to_tag().unwrap_or_default().to_owned();
        if status == 100 {
            return;
        }
        if status == 199 {
            // This branch is over; others may still answer (RFC 6228).
            self.early.remove(&tag);
            return;
        }
        self.learn(ep, message);
        let Some(agreed) = self.on_early(ep, now, &tag, message, from) else {
            return;
        };
        if let Some(agreed) = &agreed {
            self.report_media(ep, agreed);
        }
        let rings = status == 180 || (status == 183 && agreed.is_some());
        if rings && self.state == State::Proceeding {
            self.state = State::Ringing;
            self.report(ep, Report::PeerRings);
        }
    }

    /// Keeps the branch in step. `None`: the response is one that is to be left alone; `Some(Some(..))`: it told of media.
    fn on_early(
        &mut self,
        ep: &mut Endpoint,
        now: Time,
        tag: &str,
        message: &Message<'_>,
        from: Peer,
    ) -> Option<Option<Agreed>> {
        let policy = ep.policy(self.line);
        let Role::Caller(outgoing) = &self.role else { return None };
        if !self.early.contains_key(tag) {
            if self.early.len() >= MAX_BRANCHES {
                return None;
            }
            let dialog = if tag.is_empty() { None } else { Dialog::of_response(message, &outgoing.tag, from) };
            let session = self.session.clone()?;
            self.early.insert(tag.to_owned(), Early { dialog, session, rseq: None, sealed: false });
        }
        let early = self.early.get_mut(tag)?;
        if early.dialog.is_none() && !tag.is_empty() {
            early.dialog = Dialog::of_response(message, &outgoing.tag, from);
        }
        let reliable = Call::is_next(policy.reliable, early, message)?;
        let theirs = description(message).filter(|_| !early.sealed);
        let taken = match (policy.offer, theirs) {
            (_, None) => Ok(None),
            // A description in an unreliable 18x is a preview of the answer (RFC 6337 section 2.2), never an offer.
            (OfferWhen::Early, Some(answer)) => early.session.accept(answer).map(|agreed| Some((None, agreed))),
            (OfferWhen::Late, Some(_)) if !reliable => Ok(None),
            (OfferWhen::Late, Some(offer)) => {
                early.session.answer(offer, &mut ep.random).map(|(body, agreed)| Some((Some(body), agreed)))
            }
        };
        early.sealed |= reliable && matches!(taken, Ok(Some(_)));
        let (body, agreed) = match taken {
            Ok(taken) => taken.map_or((None, None), |(body, agreed)| (body, Some(agreed))),
            Err(misfit) => {
                if reliable {
                    self.send_prack(ep, now, tag, message, None);
                    self.give_up(ep, now, misfit);
                }
                return Some(None);
            }
        };
        if reliable {
            self.send_prack(ep, now, tag, message, body);
        }
        Some(agreed)
    }

    /// What was agreed reliably is none that we can have.
    fn give_up(&mut self, ep: &mut Endpoint, now: Time, misfit: Misfit) {
        self.send_cancel(ep, now, None);
        self.release(ep, ReleasedBy::Remote, Cause::new(DisconnectMode::Incompatible).with_text(misfit.to_string()));
    }
}
