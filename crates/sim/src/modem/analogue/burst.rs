//! Bursts of ringing, told in tenths of a second before `RING` (`+VDR=1,n`, V.253 10.1.7).

use super::Analogue;
use std::time::Duration;
use tapi::Time;

/// The longest pause that is told.
const LONGEST: u128 = 255;

/// What was heard of a ring that is not told yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Bursts {
    begun: Option<Time>,
    ended: Option<Time>,
    lines: Vec<String>,
    /// The ring is told then, unless it goes on.
    pub(super) due: Option<Time>,
}

impl Analogue {
    /// After how long a ring is told, when its bursts are told with it.
    fn told_after(&self) -> Option<Duration> {
        let value = self.settings.kept.get("+VDR").filter(|_| self.persona.distinctive)?;
        let (on, after) = value.split_once(',')?;
        let after: u64 = after.parse().ok().filter(|after| on == "1" && *after > 0)?;
        Some(Duration::from_millis(after * 100))
    }

    /// A burst begins. Whether its ring is told later.
    pub(super) fn burst_begins(&mut self, now: Time) -> bool {
        if self.told_after().is_none() {
            return false;
        }
        let pause = self.bursts.ended.map_or(0, |ended| now.since(ended).as_millis() / 100);
        self.bursts.lines.push(format!("DROF={}", if pause > LONGEST { 0 } else { pause }));
        (self.bursts.begun, self.bursts.due) = (Some(now), None);
        true
    }

    /// It ends.
    pub(super) fn burst_ends(&mut self, now: Time) {
        let Some(after) = self.told_after() else { return };
        let Some(begun) = self.bursts.begun.take() else { return };
        self.bursts.lines.push(format!("DRON={}", now.since(begun).as_millis() / 100));
        (self.bursts.ended, self.bursts.due) = (Some(now), Some(now + after));
    }

    /// Nothing more of it came.
    pub(super) fn burst_due(&mut self, now: Time) {
        if self.bursts.due.take_if(|due| *due <= now).is_some() {
            for line in std::mem::take(&mut self.bursts.lines) {
                self.unsolicited(&line, "");
            }
            self.ring(now);
        }
    }
}
