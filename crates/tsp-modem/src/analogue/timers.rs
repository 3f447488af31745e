//! Deadlines of the line.

use super::tones::supervised_until;
use super::*;

impl Analogue {
    /// When it wants [`Analogue::timeout`].
    pub(crate) fn deadline(&self, profile: &Profile, office: &Office) -> Option<Time> {
        let gone = ring_gone(profile);
        let phase = match &self.phase {
            Phase::Ringing(ringing) => Some(ringing.last + gone),
            Phase::Ignoring { last } => Some(*last + gone),
            Phase::Supervising { talk } => supervised_until(profile, talk),
            Phase::Partial { until, .. } => Some(*until),
            Phase::Connected { talk } => silent_until(office, talk),
            _ => None,
        };
        let knock = self.knock_until(waiting_gone(office), gone);
        let stream = match (&self.duplex, &profile.audio) {
            (Duplex::Open(flow), Some(audio)) => {
                [flow.dead_at(audio), flow.quiet_at(audio)].into_iter().flatten().min()
            }
            _ => None,
        };
        [phase, stream, knock].into_iter().flatten().min()
    }

    /// A deadline may have passed.
    pub(crate) fn timeout(&mut self, context: &mut Context<'_>) {
        let gone = ring_gone(context.profile);
        match &self.phase {
            Phase::Ringing(ringing) if context.now >= ringing.last + gone => {
                let cause = Cause::new(DisconnectMode::Cancelled).with_text("ringing stopped");
                context.out.report(ringing.call, Report::Released { by: ReleasedBy::Remote, cause });
                self.phase = Phase::on_hook();
            }
            Phase::Ignoring { last } if context.now >= *last + gone => self.phase = Phase::on_hook(),
            Phase::Supervising { talk }
                if supervised_until(context.profile, talk).is_some_and(|until| context.now >= until) =>
            {
                self.conclude(context);
            }
            Phase::Partial { until, .. } if context.now >= *until => {
                let cause = Cause::new(DisconnectMode::BadAddress).with_text("the rest of the number did not come");
                self.released(context, cause);
            }
            Phase::Connected { talk } if silent_until(context.office, talk).is_some_and(|at| context.now >= at) => {
                let text = format!("silent for {} s", context.office.silence_ends_ms / 1_000);
                self.all_gone(context, Cause::new(DisconnectMode::Normal).with_text(text));
            }
            _ => {}
        }
        if self.knock_until(waiting_gone(context.office), gone).is_some_and(|at| context.now >= at) {
            self.knock_gone(context);
        }
        if let (Duplex::Open(flow), Some(audio)) = (&self.duplex, &context.profile.audio)
            && flow.dead_at(audio).is_some_and(|at| context.now >= at)
        {
            context.fail(format!("no audio from the modem for {} ms", audio.dead_ms));
        }
        self.quiet(context);
    }
}

/// When a connected call was silent for too long, where that counts.
fn silent_until(office: &Office, talk: &Talk) -> Option<Time> {
    let silence = Duration::from_millis(u64::from(office.silence_ends_ms));
    (!silence.is_zero()).then(|| talk.loud + silence)
}

fn waiting_gone(office: &Office) -> Duration {
    Duration::from_millis(u64::from(office.waiting_gone_ms))
}

pub(super) fn ring_gone(profile: &Profile) -> Duration {
    Duration::from_millis(u64::from(profile.timeouts_ms.ring_gone))
}
