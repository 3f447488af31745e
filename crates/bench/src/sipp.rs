//! SIPp as the caller, and as the callee that the daemon is compared with.

use crate::cores::Cores;
use crate::process;
use std::io;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// What is called, and how.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    /// The port of the callee, on 127.0.0.1.
    pub port: u16,
    /// The scenario of a call that the caller ends.
    pub scenario: &'a Path,
    /// Calls a second.
    pub rate: u32,
    /// Calls in all.
    pub calls: u32,
    /// How long each is up, in milliseconds.
    pub hold_ms: u32,
}

/// What the caller saw.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Calls that went as they should.
    pub succeeded: u32,
    /// Calls that did not.
    pub failed: u32,
    /// Requests that it sent again.
    pub retransmitted: u32,
    /// Calls a second that it came to.
    pub rate: f64,
}

impl Seen {
    /// Whether all calls went well, at the first attempt and about as fast as was asked.
    pub fn is_clean(&self, load: &Load<'_>) -> bool {
        self.failed == 0 && self.retransmitted == 0 && self.succeeded == load.calls
    }
}

/// A caller that ends with this value.
pub struct Caller {
    child: Child,
    statistics: PathBuf,
}

impl Caller {
    /// Starts to call.
    pub fn start(load: &Load<'_>, directory: &Path) -> io::Result<Caller> {
        let statistics = directory.join("sipp.csv");
        drop(std::fs::remove_file(&statistics));
        let seconds = load.calls / load.rate.max(1) + load.hold_ms / 1_000 + 8;
        let child = Command::new("sipp")
            .arg(format!("127.0.0.1:{}", load.port))
            .args(["-sf".as_ref(), load.scenario.as_os_str()])
            .args(["-i", "127.0.0.1", "-nostdin", "-timeout", &seconds.to_string(), "-l", "100000"])
            .args(["-buff_size", "2000000", "-trace_stat", "-fd", "1", "-stf"])
            .arg(&statistics)
            .args(["-r", &load.rate.to_string(), "-m", &load.calls.to_string(), "-d", &load.hold_ms.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(missing)?;
        Ok(Caller { child, statistics })
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> io::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Waits until all calls are over.
    pub fn end(mut self) -> io::Result<Seen> {
        self.child.wait()?;
        let text = std::fs::read_to_string(&self.statistics)?;
        let (head, last) = (text.lines().next().unwrap_or_default(), text.lines().last().unwrap_or_default());
        let column = |name: &str| {
            let index = head.split(';').position(|column| column == name)?;
            last.split(';').nth(index)?.trim().parse::<f64>().ok()
        };
        let count = |name: &str| column(name).unwrap_or(0.0) as u32;
        Ok(Seen {
            succeeded: count("SuccessfulCall(C)"),
            failed: count("FailedCall(C)"),
            retransmitted: count("Retransmissions(C)"),
            rate: column("CallRate(C)").unwrap_or(0.0),
        })
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// SIPp's own callee: it answers each call and does nothing else.
pub struct Callee {
    child: Child,
    /// Its port on 127.0.0.1.
    pub port: u16,
}

impl Callee {
    /// Starts it.
    pub fn start(cores: Cores) -> io::Result<Callee> {
        let port = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new("sipp");
        command.args(["-sn", "uas", "-i", "127.0.0.1", "-p", &port.to_string(), "-nostdin"]);
        command.args(["-buff_size", "2000000"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = cores.measured(|| command.spawn()).map_err(io::Error::from)?.map_err(missing)?;
        std::thread::sleep(Duration::from_millis(300));
        Ok(Callee { child, port })
    }

    /// Its CPU time so far.
    pub fn cpu(&self) -> io::Result<Duration> {
        process::cpu(self.child.id())
    }
}

impl Drop for Callee {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn missing(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("sipp: {error}; apt-get install sip-tester"))
}
