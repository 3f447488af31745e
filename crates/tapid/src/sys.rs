//! The few places where descriptors and modem lines cross into the operating system without a safe face.
#![allow(unsafe_code, reason = "each use below says why it holds")]

use nix::libc;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use tokio::io::unix::AsyncFd;

/// The descriptors that the service manager passed to this process, with their names. To be called once, at the start
/// and before anything else is opened.
pub fn passed_descriptors() -> io::Result<Vec<(String, OwnedFd)>> {
    let passed = sd_notify::listen_fds_with_names()?;
    // SAFETY: the service manager gave these numbers to this process (LISTEN_PID was compared), they are open (their
    // close-on-exec flag was just set), and nobody else in this process owns them: this is called once, first of all.
    Ok(passed.map(|(number, name)| (name, unsafe { OwnedFd::from_raw_fd(number) })).collect())
}

/// The descriptor of something that gives its raw number up.
pub fn owned(port: impl IntoRawFd) -> OwnedFd {
    // SAFETY: `into_raw_fd` hands over the only ownership of an open descriptor.
    unsafe { OwnedFd::from_raw_fd(port.into_raw_fd()) }
}

/// Raises or lowers DTR.
pub fn set_dtr(port: impl AsFd, up: bool) -> io::Result<()> {
    let line: libc::c_int = libc::TIOCM_DTR;
    let request = if up { libc::TIOCMBIS } else { libc::TIOCMBIC };
    // SAFETY: both requests read one `int` from the pointer, which is alive for the call, and write nothing.
    match unsafe { libc::ioctl(port.as_fd().as_raw_fd(), request, &raw const line) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// A descriptor that the runtime watches.
pub fn watched(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open as long as it lives, always names the same descriptor, and the `AsyncFd` owns it.
    unsafe { AsyncFd::register(descriptor) }.map_err(io::Error::from)
}
