//! The daemon has one core, and the load another.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// Which cores there are for this run.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    measured: usize,
    load: usize,
}

impl Cores {
    /// The first two that this process may use, or one for both.
    pub fn take() -> nix::Result<Cores> {
        let allowed = sched_getaffinity(Pid::from_raw(0))?;
        let mut cores = (0..CpuSet::count()).filter(|core| allowed.is_set(*core).unwrap_or(false));
        let measured = cores.next().unwrap_or(0);
        let cores = Cores { measured, load: cores.next().unwrap_or(measured) };
        pin(cores.load)?;
        Ok(cores)
    }

    /// Whether the load has a core of its own.
    pub fn are_two(self) -> bool {
        self.measured != self.load
    }

    /// What is started in here has the core of what is measured; everything else has the other.
    pub fn measured<T>(self, start: impl FnOnce() -> T) -> nix::Result<T> {
        pin(self.measured)?;
        let started = start();
        pin(self.load)?;
        Ok(started)
    }
}

fn pin(core: usize) -> nix::Result<()> {
    let mut set = CpuSet::new();
    set.set(core)?;
    sched_setaffinity(Pid::from_raw(0), &set)
}
