//! The node's clock: `CLOCK_MONOTONIC` in microseconds, which a restart of the process does not disturb.

use nix::time::{ClockId, clock_gettime};
use std::pin::Pin;
use std::time::Duration;
use tapi::Time;
use tokio::time::{Instant, Sleep, sleep_until};

/// Now.
pub fn now() -> Time {
    Time(micros(ClockId::CLOCK_MONOTONIC))
}

/// Microseconds to add to [`now`] to get microseconds since 1970 UTC.
pub fn wall_offset() -> u64 {
    micros(ClockId::CLOCK_REALTIME).saturating_sub(micros(ClockId::CLOCK_MONOTONIC))
}

/// Microseconds since 1970 UTC.
pub fn wall_micros() -> u64 {
    micros(ClockId::CLOCK_REALTIME)
}

/// The same moment as the runtime's timers name it; a far one when there is none.
pub fn instant(deadline: Option<Time>) -> Instant {
    const FAR: Duration = Duration::from_secs(3_600);
    let wait = deadline.map_or(FAR, |deadline| deadline.since(now()).min(FAR));
    Instant::now() + wait
}

/// Rings once its deadline has passed, and may ring before it: whoever hears it looks at the clock.
///
/// A deadline that moves to later, as that of a provider does with every message, leaves the runtime's timer as it is.
pub struct Alarm {
    sleep: Pin<Box<Sleep>>,
    /// What the timer is set to; none: it has rung, or was never set.
    armed: Option<Time>,
}

impl Alarm {
    /// One that is not set.
    pub fn new() -> Alarm {
        Alarm { sleep: Box::pin(sleep_until(instant(None))), armed: None }
    }

    /// Sets it; without a deadline it rings some time.
    pub fn set(&mut self, deadline: Option<Time>) {
        if deadline.is_some_and(|deadline| self.armed.is_none_or(|armed| deadline < armed)) {
            self.armed = deadline;
            self.sleep.as_mut().reset(instant(deadline));
        }
    }

    /// Waits until it rings. Nothing is lost when this is given up half-way.
    pub async fn rings(&mut self) {
        self.sleep.as_mut().await;
        self.armed = None;
        self.sleep.as_mut().reset(instant(None));
    }
}

fn micros(clock: ClockId) -> u64 {
    clock_gettime(clock).map_or(0, |time| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        let nanos = u64::try_from(time.tv_nsec()).unwrap_or(0);
        seconds.saturating_mul(1_000_000).saturating_add(nanos / 1_000)
    })
}
