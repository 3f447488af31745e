//! What is heard in the audio of a call by others than the modem, whose masks do not have it: the media provider is asked to
//! listen, and what it recognises is joined to what the modem tells.

use super::*;
use crate::profile::Listen;
use tapi::ProgressTone;

impl Analogue {
    /// Whether its calls have audio.
    pub(crate) fn is_audible(&self) -> bool {
        self.sound == Sound::Duplex
    }

    /// Whether samples come over the AT port, or are about to.
    pub(crate) fn hears_samples(&self) -> bool {
        !matches!(self.duplex, Duplex::Closed) && self.way != Way::Play
    }

    /// Has the audio listened to, where the modem does not tell what is heard.
    pub(super) fn listen(&self, context: &mut Context<'_>, call: CallRef, on: bool) {
        if voice_of(context).supervise.listen != Listen::Never {
            context.out.event(Event::Listen { call, on });
        }
    }

    /// A call that came in was answered: what is left to hear is its end.
    pub(super) fn listen_for_its_end(&self, context: &mut Context<'_>, call: CallRef) {
        if voice_of(context).supervise.listen == Listen::Calls {
            self.listen(context, call, true);
        }
    }

    /// Something was heard. Cadences were compared with those of the country: once is enough.
    pub(crate) fn heard(&mut self, context: &mut Context<'_>, id: CommandId, call: CallRef, tone: &ProgressTone) {
        context.out.done(id);
        if self.call() != Some(call) || !self.errands.is_empty() {
            return;
        }
        context.out.trace(Some(call), false, context.name, &format!("heard in the audio: {tone}"));
        match tone {
            ProgressTone::Busy | ProgressTone::Congestion => self.busy_heard(context, tone),
            ProgressTone::Dial => self.voice_event(context, VoiceEvent::DialTone),
            ProgressTone::SpecialInfo => self.voice_event(context, VoiceEvent::Sit),
            ProgressTone::Waiting => self.voice_event(context, VoiceEvent::CallWaiting),
            ProgressTone::FaxAnswer => self.voice_event(context, VoiceEvent::AnswerTone),
            ProgressTone::Voice => self.voice_event(context, VoiceEvent::Voice),
            ProgressTone::Ringback => self.ringing_heard(context),
            ProgressTone::Silence => self.silence_heard(context),
            _ => {}
        }
    }

    fn busy_heard(&mut self, context: &mut Context<'_>, tone: &ProgressTone) {
        let mode = if *tone == ProgressTone::Busy { BusyMode::Station } else { BusyMode::Trunk };
        match self.phase {
            Phase::Supervising { .. } => self.engaged(context, mode),
            Phase::Connected { .. } if context.office.tones_end_calls => {
                self.released(context, Cause::new(DisconnectMode::Normal).with_text(format!("{tone} tone")));
            }
            _ => {}
        }
    }

    fn ringing_heard(&mut self, context: &mut Context<'_>) {
        if let Phase::Supervising { talk } = &mut self.phase
            && talk.ringing.replace(context.now).is_none()
            && talk.ringback.is_none()
        {
            context.out.report(talk.call, Report::PeerRings);
        }
    }

    /// Silence for longer than between two bursts of ringback.
    fn silence_heard(&mut self, context: &mut Context<'_>) {
        if let Phase::Supervising { talk } = &self.phase
            && talk.ringing.is_some()
            && talk.announced.is_none()
        {
            self.answered(context, AnswerEvidence::RingbackGone);
        }
    }
}
