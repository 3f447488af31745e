//! What is concluded from tones: answers on lines that do not signal them, and the end of calls.

use super::*;
use crate::profile::Listen;

/// Two reports of busy within this time end a call; so does one that nothing else follows for as long before an answer.
const BUSY_WINDOW: Duration = Duration::from_secs(12);
/// Dial tone so soon after the last digit is what was heard before the first one.
const DIALTONE_LINGERS: Duration = Duration::from_secs(2);

impl Analogue {
    /// The modem heard something.
    pub(super) fn voice_event(&mut self, context: &mut Context<'_>, event: VoiceEvent) {
        match event {
            VoiceEvent::Ring => self.ring(context, RingForm::Shielded, &RingLine::plain()),
            VoiceEvent::Ringback => self.ringback(context),
            VoiceEvent::Busy => self.busy(context, BusyMode::Station),
            VoiceEvent::Reorder => self.busy(context, BusyMode::Trunk),
            VoiceEvent::DialTone | VoiceEvent::StutterDialTone if matches!(self.phase, Phase::Connected { .. }) => {
                // That of a recall of ours says nothing about the far end.
                if !context.office.tones_end_calls || !self.errands.is_empty() || self.just_recalled(context) {
                    return;
                }
                self.released(context, Cause::new(DisconnectMode::Normal).with_text("dial tone"));
            }
            VoiceEvent::DialTone | VoiceEvent::StutterDialTone => self.dial_tone_again(context),
            VoiceEvent::Polarity => self.polarity(context),
            VoiceEvent::HandsetOffHook | VoiceEvent::ExtOffHook => self.lifted(context),
            VoiceEvent::HandsetOnHook | VoiceEvent::ExtOnHook => self.replaced(context),
            VoiceEvent::LoopBreak if matches!(self.phase, Phase::Connected { .. } | Phase::Supervising { .. }) => {
                self.released(context, Cause::new(DisconnectMode::Normal).with_text("loop current interrupted"));
            }
            VoiceEvent::Voice => {
                if let Phase::Supervising { talk } = &self.phase
                    && talk.announced.is_none()
                {
                    self.answered(context, AnswerEvidence::VoiceDetected);
                }
            }
            VoiceEvent::Sit => {
                if let Phase::Dialling { talk, .. } | Phase::Supervising { talk } = &mut self.phase {
                    talk.announced = Some(context.now);
                    context.out.report(talk.call, Report::SpecialInfo(SpecialInfo::Unknown));
                }
            }
            VoiceEvent::CallWaiting => self.knock(context),
            VoiceEvent::AnswerTone | VoiceEvent::DataAnswer | VoiceEvent::FaxPreamble => self.machine(context, event),
            VoiceEvent::Underrun | VoiceEvent::Overrun | VoiceEvent::LostData => {
                if let Duplex::Open(flow) | Duplex::Ending { flow, .. } = &mut self.duplex {
                    flow.starved(event == VoiceEvent::Underrun);
                }
            }
            VoiceEvent::Xoff | VoiceEvent::Xon => {
                if let Duplex::Open(flow) = &mut self.duplex {
                    flow.hold_back(context.now, event == VoiceEvent::Xoff);
                }
            }
            _ => {}
        }
    }

    /// A fax or a data modem answered: there is nobody to talk to.
    fn machine(&mut self, context: &mut Context<'_>, event: VoiceEvent) {
        if !matches!(self.phase, Phase::Supervising { .. }) {
            return;
        }
        let text = match event {
            VoiceEvent::AnswerTone => "a fax or a modem answered (2100 Hz)",
            VoiceEvent::DataAnswer => "a modem answered (2225 Hz)",
            _ => "a fax answered",
        };
        self.released(context, Cause::new(DisconnectMode::Incompatible).with_text(text));
    }

    pub(super) fn just_recalled(&self, context: &Context<'_>) -> bool {
        let recalled = match &self.phase {
            Phase::Connected { talk } => talk.recalled,
            _ => None,
        };
        recalled.is_some_and(|at| context.now.since(at) < DIALTONE_LINGERS)
    }

    fn ringback(&mut self, context: &mut Context<'_>) {
        if let Phase::Dialling { talk, .. } | Phase::Supervising { talk } = &mut self.phase {
            talk.busy = None;
            if talk.ringback.replace(context.now).is_none() && talk.ringing.is_none() {
                context.out.report(talk.call, Report::PeerRings);
            }
        }
    }

    fn dial_tone_again(&mut self, context: &mut Context<'_>) {
        if let Phase::Supervising { talk } = &self.phase
            && context.now.since(talk.since) >= DIALTONE_LINGERS
        {
            self.released(context, Cause::new(DisconnectMode::Unknown).with_text("dial tone came back"));
        }
    }

    /// Busy once may be a mistake of the detector.
    fn busy(&mut self, context: &mut Context<'_>, mode: BusyMode) {
        if matches!(self.phase, Phase::Connected { .. }) && !context.office.tones_end_calls {
            return;
        }
        let (Phase::Connected { talk } | Phase::Supervising { talk }) = &mut self.phase else { return };
        let before = talk.busy.replace((context.now, mode.clone()));
        if before.is_none_or(|(last, _)| context.now.since(last) > BUSY_WINDOW) {
            return;
        }
        match self.phase {
            Phase::Connected { .. } => {
                self.released(context, Cause::new(DisconnectMode::Normal).with_text("busy tone"));
            }
            _ => self.engaged(context, mode),
        }
    }

    /// The far end, or the network, is busy.
    pub(super) fn engaged(&mut self, context: &mut Context<'_>, mode: BusyMode) {
        let (disconnected, text) = match mode {
            BusyMode::Trunk => (DisconnectMode::Congestion, "reorder tone"),
            _ => (DisconnectMode::Busy, "busy tone"),
        };
        if let Some(call) = self.call() {
            context.out.report(call, Report::Busy(mode));
        }
        self.released(context, Cause::new(disconnected).with_text(text));
    }

    /// Nothing more was heard for long enough.
    pub(super) fn conclude(&mut self, context: &mut Context<'_>) {
        let Phase::Supervising { talk } = &self.phase else { return };
        let over = context.now >= talk.since + millis(context.profile.timeouts_ms.dial);
        match (&talk.busy, talk.ringback.or(talk.ringing), talk.announced) {
            (Some((_, mode)), ..) => {
                let mode = mode.clone();
                self.engaged(context, mode);
            }
            (None, _, Some(_)) => {
                let cause = Cause::new(DisconnectMode::Unreachable).with_text("information tones, and no answer");
                self.released(context, cause);
            }
            (None, Some(_), None) if over => {
                self.released(context, Cause::new(DisconnectMode::NoAnswer).with_text("it rang, and nobody answered"));
            }
            (None, Some(_), None) => self.answered(context, AnswerEvidence::RingbackGone),
            (None, None, None) => self.answered(context, AnswerEvidence::Timer),
        }
    }

    /// The far end answered, by what we know.
    pub(super) fn answered(&mut self, context: &mut Context<'_>, evidence: AnswerEvidence) {
        match std::mem::replace(&mut self.phase, Phase::on_hook()) {
            Phase::Dialling { talk, .. } | Phase::Supervising { talk } => {
                context.out.report(talk.call, Report::Answered(evidence));
                let talk = Talk { busy: None, announced: None, loud: context.now, ..talk };
                if voice_of(context).supervise.listen == Listen::SetUp {
                    self.listen(context, talk.call, false);
                }
                self.phase = Phase::Connected { talk };
                if matches!(self.duplex, Duplex::Closed) {
                    self.start_stream(context);
                }
            }
            phase => self.phase = phase,
        }
    }
}

/// When something is concluded about a call whose answer is ours to conclude.
pub(super) fn supervised_until(profile: &Profile, talk: &Talk) -> Option<Time> {
    let times = &profile.voice.as_ref()?.supervise;
    let over = talk.since + millis(profile.timeouts_ms.dial);
    let until = match (&talk.busy, talk.ringback, talk.announced) {
        (Some((last, _)), ..) => *last + BUSY_WINDOW,
        (None, _, Some(_)) => over,
        (None, Some(last), None) => last + millis(times.ringback_gone_ms),
        (None, None, None) if talk.ringing.is_some() => over,
        (None, None, None) => talk.since + millis(times.no_ringback_ms),
    };
    Some(until.min(over))
}

fn millis(ms: u32) -> Duration {
    Duration::from_millis(u64::from(ms))
}
