//! Ctrl-C as something that can be waited for, without a handler.

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::os::fd::{AsFd, OwnedFd};

/// SIGINT, SIGTERM and SIGHUP, held back and told by a descriptor.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// Holds them back from now on. A program of one thread: there is no other that could take them.
    ///
    /// # Errors
    /// The operating system's.
    pub fn hold() -> std::io::Result<Signals> {
        let mut set = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            set.add(signal);
        }
        set.thread_block()?;
        Ok(Signals(SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?))
    }

    /// A descriptor that is readable while one of them waits.
    pub fn descriptor(&self) -> std::io::Result<OwnedFd> {
        self.0.as_fd().try_clone_to_owned()
    }

    /// Takes what waits. The next one is told anew.
    pub fn take(&mut self) {
        while matches!(self.0.read_signal(), Ok(Some(_))) {}
    }
}
