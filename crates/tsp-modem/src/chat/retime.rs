//! Other times for an engine that runs.

use super::Chat;

impl<P: Clone> Chat<P> {
    /// Other times, from the next command on: those of [`Chat::new`].
    pub(crate) fn retime(&mut self, dead_time_ms: u32, probe_ms: u32, abort_ms: u32) {
        let Chat { dead_time, probe, abort, .. } = Chat::<P>::new(dead_time_ms, probe_ms, abort_ms);
        (self.dead_time, self.probe, self.abort) = (dead_time, probe, abort);
    }
}
