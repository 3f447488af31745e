//! Our address from outside is another than the far end was told.

use super::modify::Want;
use super::{Call, State};
use crate::endpoint::Endpoint;
use tapi::Time;

impl Call {
    /// Our address from outside is another: a far end that is there is told, in a re-INVITE or an UPDATE (RFC 3261 section
    /// 12.2, RFC 6141). Whatever waits or is changed afterwards says it as well.
    pub fn readdress(&mut self, ep: &mut Endpoint, now: Time) {
        // What is offered to us and not answered yet will be answered with the new address.
        let later = matches!(self.state, State::Offered | State::Alerting);
        let over = matches!(self.state, State::Ending | State::Lingering | State::Ended);
        if !later && !over && self.queued.is_none() {
            self.queued = Some(Want::Address);
            self.start_queued(ep, now);
        }
    }

    /// Whether the far end is outside, where our address is another.
    pub(super) fn is_outside(&self, ep: &Endpoint) -> bool {
        self.dialog.as_ref().is_some_and(|dialog| ep.external_to(dialog.heard_from.ip()).is_some())
    }
}
