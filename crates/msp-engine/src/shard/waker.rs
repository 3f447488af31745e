//! How a media thread is woken.

use nix::sys::eventfd::{EfdFlags, EventFd};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Wakes a media thread.
#[derive(Clone, Debug)]
pub(crate) struct Waker(Arc<Bell>);

#[derive(Debug)]
struct Bell {
    event: EventFd,
    /// Whether it was rung and nobody has looked: then it need not be rung again.
    rung: AtomicBool,
}

impl Waker {
    pub(crate) fn new() -> io::Result<Waker> {
        let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Waker(Arc::new(Bell { event, rung: AtomicBool::new(false) })))
    }

    /// What is to be watched.
    pub(super) fn event(&self) -> &EventFd {
        &self.0.event
    }

    /// Called after a message is sent.
    pub(crate) fn wake(&self) {
        if !self.0.rung.swap(true, Ordering::AcqRel) {
            // It fails only when it is about to overflow: then the thread is being woken anyhow.
            let _ = self.0.event.write(1);
        }
    }

    /// Called before messages are taken: what is sent after this wakes again.
    pub(super) fn heard(&self) -> bool {
        let heard = self.0.event.read().is_ok();
        self.0.rung.swap(false, Ordering::AcqRel);
        heard
    }
}
