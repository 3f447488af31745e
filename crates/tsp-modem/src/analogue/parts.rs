//! Numbers that are dialled in parts (lineDial, `;` at the end of a dialable address).

use super::*;

impl Analogue {
    /// Sends further digits of a number that was begun.
    pub(crate) fn dial_more(&mut self, context: &mut Context<'_>, id: CommandId, call: CallRef, to: &str) {
        let dialled = match dial::scan_more(to, context.profile) {
            Ok(dialled) => dialled,
            Err(refusal) => return context.out.reply(id, Err(refusal)),
        };
        match &mut self.phase {
            Phase::Partial { talk, .. } if talk.call == call => {
                let talk = talk.clone();
                context.out.done(id);
                self.dial_part(context, talk, &dialled);
            }
            Phase::Dialling { talk, rest: Some(rest) } if talk.call == call && rest.more == More::Follows => {
                if rest.number.len() + dialled.number.len() > dial::LONGEST {
                    return context.out.refuse(id, ErrorCode::InvalAddress, "too many digits wait to be dialled");
                }
                rest.number.push_str(&dialled.number);
                rest.more = dialled.more;
                context.out.done(id);
            }
            _ => context.out.refuse(id, ErrorCode::InvalCallState, "no more digits of this call are awaited"),
        }
    }

    /// Dials a part of a number while the line is off hook.
    pub(super) fn dial_part(&mut self, context: &mut Context<'_>, talk: Talk, part: &Dialled) {
        self.go_blind(context);
        let text = self.dial_text(context, part);
        dial(context, &text);
        self.phase = Phase::Dialling { talk, rest: Rest::after(part) };
    }

    /// The command that dials this.
    pub(super) fn dial_text(&self, context: &Context<'_>, dialled: &Dialled) -> String {
        let text = voice_of(context).dial.replace("{n}", &dialled.number);
        let plain = text.trim_end_matches(';');
        match (dialled.more, self.supervision) {
            (More::Follows, _) => format!("{plain};"),
            (More::None, Supervision::Profile) => text,
            (More::None, Supervision::Modem) => plain.to_owned(),
        }
    }

    /// From now on until it is on hook the modem dials without waiting for dial tone.
    pub(super) fn go_blind(&mut self, context: &mut Context<'_>) {
        let command = &voice_of(context).blind_on;
        if self.listens == Listens::ForDialTone && !command.is_empty() {
            self.listens = Listens::Blind;
            context.plain(command, Purpose::Aside);
        }
    }
}
