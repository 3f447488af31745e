//! Passthrough: a call that dials nothing and owns the AT port (LINEBEARERMODE_PASSTHROUGH). Bytes cross as they are
//! between the port and the application; when the call is over nobody knows what the modem was told, so that it is reset
//! and its place found again.

use super::*;
use tapi::{AnswerEvidence, Cause, DisconnectMode};
use tspi::{ReleasedBy, Report, Taken};

/// The call that owns the port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Through {
    pub(super) call: CallRef,
    /// Bytes to the modem, and from it.
    written: u64,
    read: u64,
}

impl Modem {
    /// Gives the port away, where nothing else goes on.
    pub(super) fn begin_through(&mut self, now: Time, id: CommandId) {
        let idle = match &self.calls {
            Calls::Analogue(analogue) => analogue.is_idle(),
            Calls::Cellular(cellular) => cellular.is_idle(),
        };
        match self.life {
            Life::Ready if idle => {}
            Life::Ready | Life::Through(_) => return self.out.refuse(id, ErrorCode::CallUnavail, "the line is in use"),
            _ => return self.out.refuse(id, ErrorCode::InvalLineState, "the line is not ready"),
        }
        self.with(now, |calls, context| match calls {
            Calls::Analogue(analogue) => analogue.fail(context, "the port is in passthrough"),
            Calls::Cellular(cellular) => cellular.fail(context, "the port is in passthrough"),
        });
        self.chat.stop();
        let call = self.out.new_call();
        self.life = Life::Through(Through { call, written: 0, read: 0 });
        self.out.reply(id, Ok(Taken::Call(call)));
        self.out.trace(Some(call), true, &self.config.name, "passthrough begins");
        self.out.report(call, Report::Answered(AnswerEvidence::Local));
    }

    /// Bytes of the modem. `false`: they are not the application's.
    pub(super) fn through_read(&mut self, bytes: &[u8]) -> bool {
        let Life::Through(through) = &mut self.life else { return false };
        through.read += bytes.len() as u64;
        let call = through.call;
        self.out.push(Output::Raw { call, bytes: bytes.to_vec() });
        true
    }

    /// Bytes of the application.
    pub(super) fn through_write(&mut self, call: CallRef, bytes: &[u8]) {
        if let Life::Through(through) = &mut self.life
            && through.call == call
        {
            through.written += bytes.len() as u64;
            self.out.write(AT_PORT, bytes.to_vec());
        }
    }

    /// The application is done. `false`: the call is another one.
    pub(super) fn drop_through(&mut self, now: Time, call: CallRef) -> bool {
        if !matches!(&self.life, Life::Through(through) if through.call == call) {
            return false;
        }
        self.release_through(ReleasedBy::Local, Cause::new(DisconnectMode::Normal));
        self.out.set_service(Service::Out { reason: "the modem is reset after passthrough".to_owned() });
        self.out.push(Output::Dtr { port: AT_PORT, up: false });
        let low = Duration::from_millis(u64::from(self.profile.recover.dtr_ms));
        self.life = Life::Lowered { until: now + low };
        true
    }

    /// Ends the call, where there is one.
    pub(super) fn release_through(&mut self, by: ReleasedBy, cause: Cause) {
        if let Life::Through(Through { call, written, read }) = self.life {
            let summary = format!("passthrough ends, {written} bytes written, {read} read");
            self.out.trace(Some(call), false, &self.config.name, &summary);
            self.out.report(call, Report::Released { by, cause });
        }
    }
}
