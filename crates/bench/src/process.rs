//! What a process has used so far, as the kernel counts it.

use std::io;
use std::time::Duration;

/// What a process has written so far with calls of the `write` family: what goes out of UDP sockets is not in it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written {
    /// Bytes.
    pub bytes: u64,
    /// Calls.
    pub calls: u64,
}

/// CPU time, user and system, of all threads that are there; in nanoseconds, where the ticks of `stat` are 10 ms.
pub fn cpu(process: u32) -> io::Result<Duration> {
    let mut all = 0;
    for thread in std::fs::read_dir(format!("/proc/{process}/task"))? {
        // A thread may end meanwhile.
        let Ok(times) = std::fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        all += times.split_whitespace().next().and_then(|time| time.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(all))
}

/// Resident memory in bytes.
pub fn memory(process: u32) -> io::Result<u64> {
    Ok(field(&format!("/proc/{process}/status"), "VmRSS:")? * 1024)
}

/// What it has written.
pub fn written(process: u32) -> io::Result<Written> {
    let path = format!("/proc/{process}/io");
    Ok(Written { bytes: field(&path, "wchar:")?, calls: field(&path, "syscw:")? })
}

fn field(path: &str, name: &str) -> io::Result<u64> {
    let text = std::fs::read_to_string(path)?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok());
    value.ok_or_else(|| io::Error::other(format!("{path} has no {name}")))
}
