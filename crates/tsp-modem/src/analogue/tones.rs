//! What is concluded from tones: answers on lines that do not signal them, and the end of calls.

use super::*;

/// Two reports of busy within this time end a call.
const BUSY_WINDOW: Duration = Duration::from_secs(12);

impl Analogue {
    /// The modem heard something.
    pub(super) fn voice_event(&mut self, context: &mut Context<'_>, event: VoiceEvent) {
        match event {
            VoiceEvent::Ring => self.ring(context, RingForm::Shielded, 1, None),
            VoiceEvent::Ringback => self.ringback(context),
            VoiceEvent::Busy => self.busy(context, BusyMode::Station),
            VoiceEvent::Reorder => self.busy(context, BusyMode::Trunk),
            VoiceEvent::DialTone if matches!(self.phase, Phase::Connected { .. }) => {
                self.released(context, Cause::new(DisconnectMode::Normal).with_text("dial tone"));
            }
            VoiceEvent::LoopBreak if matches!(self.phase, Phase::Connected { .. } | Phase::Supervising { .. }) => {
                self.released(context, Cause::new(DisconnectMode::Normal).with_text("loop current interrupted"));
            }
            VoiceEvent::Voice if matches!(self.phase, Phase::Supervising { .. }) => {
                self.answered(context, AnswerEvidence::VoiceDetected);
            }
            VoiceEvent::Sit => {
                if let Phase::Dialling { talk } | Phase::Supervising { talk } = &self.phase {
                    context.out.report(talk.call, Report::SpecialInfo(SpecialInfo::Unknown));
                }
            }
            _ => {}
        }
    }

    fn ringback(&mut self, context: &mut Context<'_>) {
        if let Phase::Dialling { talk } | Phase::Supervising { talk } = &mut self.phase
            && talk.ringback.replace(context.now).is_none()
        {
            context.out.report(talk.call, Report::PeerRings);
        }
    }

    /// Busy once may be a mistake of the detector.
    fn busy(&mut self, context: &mut Context<'_>, mode: BusyMode) {
        let now = context.now;
        match &mut self.phase {
            Phase::Connected { talk } => {
                let again = talk.busy.replace(now).is_some_and(|last| now.since(last) <= BUSY_WINDOW);
                if again {
                    self.released(context, Cause::new(DisconnectMode::Normal).with_text("busy tone"));
                }
            }
            Phase::Supervising { talk } => match talk.busy.replace(now) {
                None => context.out.report(talk.call, Report::Busy(mode)),
                Some(_) => {
                    let (mode, text) = match mode {
                        BusyMode::Trunk => (DisconnectMode::Congestion, "reorder tone"),
                        _ => (DisconnectMode::Busy, "busy tone"),
                    };
                    self.released(context, Cause::new(mode).with_text(text));
                }
            },
            _ => {}
        }
    }

    /// The far end answered, by what we know.
    pub(super) fn answered(&mut self, context: &mut Context<'_>, evidence: AnswerEvidence) {
        match std::mem::replace(&mut self.phase, Phase::on_hook()) {
            Phase::Dialling { talk } | Phase::Supervising { talk } => {
                context.out.report(talk.call, Report::Answered(evidence));
                let talk = Talk { busy: None, ..talk };
                self.phase = Phase::Connected { talk };
                if matches!(self.duplex, Duplex::Closed) {
                    self.start_stream(context);
                }
            }
            phase => self.phase = phase,
        }
    }
}

/// When a call that the modem does not supervise is taken for answered.
pub(super) fn supervised_until(profile: &Profile, talk: &Talk) -> Option<Time> {
    let times = &profile.voice.as_ref()?.supervise;
    let millis = |ms: u32| Duration::from_millis(u64::from(ms));
    match (talk.busy, talk.ringback) {
        (Some(_), _) => None,
        (None, Some(last)) => Some(last + millis(times.ringback_gone_ms)),
        (None, None) => Some(talk.since + millis(times.no_ringback_ms)),
    }
}
