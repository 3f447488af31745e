//! What a media thread asks of the scheduler.

use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

/// The nice value that is asked for.
const NICE: i32 = -11;
/// Of 1 to 99: above whatever else is real-time by default, below what drives hardware.
const PRIORITY: u8 = 10;

/// Asks for `SCHED_RR` where that is wanted, and else, or without the right to it, for a better nice value. Without the
/// right to that the thread goes on as it is.
pub(crate) fn raise(number: usize, realtime: bool) {
    if realtime {
        match round_robin() {
            Ok(()) => return,
            Err(error) if number == 0 => {
                tracing::warn!(%error, "media threads have no real-time priority: LimitRTPRIO= of the unit allows it");
            }
            Err(_) => {}
        }
    }
    if let Err(error) = rustix::process::setpriority_process(None, NICE)
        && number == 0
    {
        tracing::debug!(%error, "media threads have no better nice value: LimitNICE= of the unit allows it");
    }
}

fn round_robin() -> Result<(), String> {
    let priority = ThreadPriorityValue::try_from(PRIORITY)?;
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::RoundRobin);
    set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Crossplatform(priority), policy)
        .map_err(|error| format!("{error:?}"))
}
