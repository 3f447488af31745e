//! SIPp as the caller.

use crate::daemon::Daemon;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Starts SIPp with so many calls, each held so long.
pub fn spawn(daemon: &Daemon, scenario: &Path, rate: u32, calls: u32, hold_ms: u32) -> io::Result<Child> {
    Command::new("sipp")
        .arg(format!("127.0.0.1:{}", daemon.sip_port()))
        .args(["-sf".as_ref(), scenario.as_os_str()])
        .args(["-i", "127.0.0.1", "-nostdin", "-timeout", "180", "-timeout_error", "-l", "100000"])
        .args(["-r", &rate.to_string(), "-m", &calls.to_string(), "-d", &hold_ms.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("sipp: {error}; apt-get install sip-tester")))
}

/// Runs SIPp to its end; every call must succeed.
pub fn call(daemon: &Daemon, scenario: &Path, rate: u32, calls: u32, hold_ms: u32) -> io::Result<()> {
    let status = spawn(daemon, scenario, rate, calls, hold_ms)?.wait()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("sipp saw failed calls ({status})"))) }
}
