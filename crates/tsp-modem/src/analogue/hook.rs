//! What the line itself tells: its polarity, and other telephones on it.

use super::*;
use crate::office::Polarity;

/// What the next reversal of polarity says of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Reversal {
    /// The far end answered.
    Answer,
    /// The far end hung up.
    #[default]
    End,
}

impl Reversal {
    /// Of a call that we place.
    pub(super) fn of_placed(office: &Office) -> Reversal {
        if office.polarity == Polarity::Answers { Reversal::Answer } else { Reversal::End }
    }
}

impl Analogue {
    /// The exchange reversed the polarity of the line.
    pub(super) fn polarity(&mut self, context: &mut Context<'_>) {
        // A recall of ours may do that too.
        if context.office.polarity == Polarity::Ignored || !self.errands.is_empty() || self.just_recalled(context) {
            return;
        }
        let (Phase::Dialling { talk, .. } | Phase::Supervising { talk } | Phase::Connected { talk }) = &mut self.phase
        else {
            return;
        };
        match (std::mem::replace(&mut talk.reversal, Reversal::End), &self.phase) {
            (Reversal::Answer, Phase::Supervising { .. }) => self.answered(context, AnswerEvidence::Signalled),
            (Reversal::End, Phase::Connected { .. }) => {
                self.released(context, Cause::new(DisconnectMode::Normal).with_text("polarity reversed"));
            }
            // The modem concludes by itself, or something else told it before.
            _ => {}
        }
    }

    /// Another telephone on the same wires was lifted: a call that rings is its.
    pub(super) fn lifted(&mut self, context: &mut Context<'_>) {
        match &mut self.phase {
            Phase::Ringing(ringing) => {
                let cause = Cause::new(DisconnectMode::Pickup).with_text("a telephone on the same line was lifted");
                context.out.report(ringing.call, Report::Released { by: ReleasedBy::Remote, cause });
                self.phase = Phase::Ignoring { last: context.now };
            }
            Phase::Ignoring { last } => *last = context.now,
            _ => context.out.trace(self.call(), false, context.name, "a telephone on the same line was lifted"),
        }
    }

    /// It was put down again: the line is free.
    pub(super) fn replaced(&mut self, context: &mut Context<'_>) {
        match &self.phase {
            Phase::Ignoring { .. } => self.phase = Phase::on_hook(),
            _ => context.out.trace(self.call(), false, context.name, "a telephone on the same line was put down"),
        }
    }
}
