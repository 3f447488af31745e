//! Calls in passthrough (LINEBEARERMODE_PASSTHROUGH): the application talks to the device itself.

use super::{Answer, Outcome};
use crate::Server;
use crate::call::{Draft, Purpose};
use crate::pending::{Asker, What};
use crate::provider::blank;
use tapi::request::CallMake;
use tapi::{BearerMode, CallId, CallOrigin, ErrorCode, LineId, MediaMode, Names, Party, Right, Time};
use tspi::media::DescriptorId;
use tspi::{Action, CallParams, LocalMedia};

impl Server {
    /// Gives a line's device to the application that passed a socket. Whoever has it can do what no rule foresees, dial
    /// anybody and change its SIM card's PIN: it takes the right to administer the line.
    pub(super) fn call_through(
        &mut self,
        now: Time,
        asker: Asker,
        id: LineId,
        make: CallMake,
        file: &mut Option<DescriptorId>,
    ) -> Outcome {
        self.allow(asker.session, id, &Right::Administer)?;
        super::transfer::check_comment(make.comment.as_deref())?;
        let line = self.in_service(id)?;
        let name = &line.description.name;
        if !line.description.caps.bearer_modes.contains(&BearerMode::Passthrough) {
            return Err(ErrorCode::BearerModeUnavail.because(format!("line {name} has no passthrough")));
        }
        if line.counts.in_use() > 0 {
            return Err(ErrorCode::CallUnavail.because(format!("line {name} has calls")));
        }
        let no_socket = || ErrorCode::InvalParam.because("no descriptor came with the request");
        let descriptor = Some(file.take().ok_or_else(no_socket)?);
        let (provider, reference) = (line.provider, line.reference);
        let mut info = blank(id, name.clone());
        info.call = CallId(self.fresh_id());
        info.uid = self.uid(info.call);
        info.conversation.clone_from(&info.uid);
        info.origin = CallOrigin::Outbound;
        info.bearer = BearerMode::Passthrough;
        info.media_mode = Names::from([MediaMode::Unknown]);
        info.caller = Party::unavailable();
        info.called = Party::unavailable();
        info.app = self.sessions.get(&asker.session).map(|session| session.app.clone());
        info.comment = make.comment;
        let params = CallParams { address: 0, block_id: false, bearer: Some(BearerMode::Passthrough), descriptor };
        let action = Action::MakeCall { line: reference, to: String::new(), params, media: LocalMedia::None };
        self.count_making(id, 1);
        let draft = Draft { info, stream: None, purpose: Purpose::Direct };
        self.command(now, Some(asker), (provider, id), What::Make(Box::new(draft)), action);
        Ok(Answer::Later)
    }
}
