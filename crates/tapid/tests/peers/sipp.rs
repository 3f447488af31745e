//! SIPp, in its own directory, with a time limit.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running SIPp.
pub struct Sipp {
    child: Child,
    log: PathBuf,
}

impl Sipp {
    /// SIPp with one of our scenarios as caller of `port`.
    pub fn caller(directory: &Path, scenario: &str, port: u16, arguments: &[&str]) -> Sipp {
        Sipp::caller_of(directory, scenario, ("127.0.0.1", &format!("127.0.0.1:{port}")), arguments)
    }

    /// The same from this address to that one.
    pub fn caller_of(directory: &Path, scenario: &str, (from, to): (&str, &str), arguments: &[&str]) -> Sipp {
        let mut all = vec![to.to_owned(), "-i".into(), from.to_owned()];
        all.extend(arguments.iter().map(ToString::to_string));
        Sipp::start(directory, scenario, &all)
    }

    /// SIPp with one of our scenarios as callee at `port`.
    pub fn callee(directory: &Path, scenario: &str, port: u16) -> Sipp {
        Sipp::callee_by(directory, scenario, port, &[])
    }

    /// The same with further arguments.
    pub fn callee_by(directory: &Path, scenario: &str, port: u16, arguments: &[&str]) -> Sipp {
        let mut all = ["-i", "127.0.0.1", "-m", "1", "-p"].map(String::from).to_vec();
        all.push(port.to_string());
        all.extend(arguments.iter().map(ToString::to_string));
        Sipp::start(directory, scenario, &all)
    }

    fn start(directory: &Path, scenario: &str, arguments: &[String]) -> Sipp {
        let log = directory.join(format!("sipp-{scenario}.log"));
        let mut command = Command::new("sipp");
        match scenario {
            "uas" => command.args(["-sn", "uas"]),
            file => command
                .arg("-sf")
                .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sipp").join(format!("{file}.xml"))),
        };
        let child = command
            .args(["-nostdin", "-timeout", "40", "-timeout_error", "-trace_err", "-error_file"])
            .arg(&log)
            .args(arguments)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("sipp: {error}: run 'apt-get install sip-tester'"));
        Sipp { child, log }
    }

    /// Waits for its end; every call must have gone as the scenario says.
    pub fn finish(mut self) {
        let deadline = Instant::now() + Duration::from_secs(45);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                assert!(status.success(), "sipp saw something else than its scenario says ({status}): {log}");
                return;
            }
            assert!(Instant::now() < deadline, "sipp does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
