//! The node's clock: `CLOCK_MONOTONIC` in microseconds, which a restart of the process does not disturb.

use nix::time::{ClockId, clock_gettime};
use std::time::Duration;
use tapi::Time;

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
pub fn instant(deadline: Option<Time>) -> tokio::time::Instant {
    const FAR: Duration = Duration::from_secs(3_600);
    let wait = deadline.map_or(FAR, |deadline| deadline.since(now()).min(FAR));
    tokio::time::Instant::now() + wait
}

fn micros(clock: ClockId) -> u64 {
    clock_gettime(clock).map_or(0, |time| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        let nanos = u64::try_from(time.tv_nsec()).unwrap_or(0);
        seconds.saturating_mul(1_000_000).saturating_add(nanos / 1_000)
    })
}
