//! A bus of the test's own, and who talks on it.

use crate::daemon::{Daemon, Directory, PATIENCE};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// A bus.
pub struct Bus {
    child: Child,
    pub address: String,
}

impl Bus {
    /// Starts one whose socket lies in the directory.
    pub fn start(directory: &Directory) -> Bus {
        let socket = directory.path("bus");
        let config = directory.path("bus.conf");
        let text = format!(
            "<busconfig><type>session</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>\
             <policy context=\"default\"><allow user=\"*\"/><allow send_destination=\"*\" eavesdrop=\"true\"/>\
             <allow eavesdrop=\"true\"/><allow own=\"*\"/></policy>\
             </busconfig>",
            socket.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new("dbus-daemon");
        command.arg("--config-file").arg(&config).args(["--nofork", "--print-address=1"]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = child.expect("dbus-daemon is missing: apt-get install dbus-daemon");
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        assert!(address.starts_with("unix:"), "the bus did not start: {address}");
        Bus { child, address: address.trim().to_string() }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A daemon with two loopback lines, on a bus.
pub struct OnBus {
    pub daemon: Daemon,
    pub bus: Bus,
}

impl OnBus {
    /// `more` is added to the configuration.
    pub fn start(more: &str) -> OnBus {
        OnBus::start_in(Directory::new(), more)
    }

    /// In a directory that has something already.
    pub fn start_in(directory: Directory, more: &str) -> OnBus {
        let bus = Bus::start(&directory);
        let file = directory.path("tapid.toml");
        let config = format!(
            "[daemon]\nsocket = {:?}\n\n[dbus]\nbus = {:?}\n\n[[loopback]]\nname = \"loopback\"\nlines = 2\n{more}",
            directory.path("api.sock"),
            bus.address
        );
        std::fs::write(&file, config).unwrap();
        let daemon = Daemon::start(directory, &file);
        let deadline = Instant::now() + PATIENCE;
        while !daemon.directory.read("log").contains("on the bus") {
            assert!(Instant::now() < deadline, "{}", daemon.directory.read("log"));
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        OnBus { daemon, bus }
    }

    /// Runs a tool of the bus, and answers with what it prints.
    pub fn tool(&self, package: &str, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(program);
        command.args(arguments).env("DBUS_SESSION_BUS_ADDRESS", &self.bus.address).stdin(Stdio::null());
        let output = command.output().unwrap_or_else(|_| panic!("{program} is missing: apt-get install {package}"));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{program} {arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
        said
    }

    /// Starts the client in Python.
    pub fn python(&self, arguments: &[&str], uid: Option<u32>) -> Python {
        self.script("client.py", arguments, uid)
    }

    /// Starts the one that does further things.
    pub fn acts(&self, arguments: &[&str], uid: Option<u32>) -> Python {
        self.script("acts.py", arguments, uid)
    }

    fn script(&self, name: &str, arguments: &[&str], uid: Option<u32>) -> Python {
        let mut command = Command::new(interpreter());
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bus").join(name)).args(arguments);
        command.env("TAPID_TEST_BUS", &self.bus.address).env("PYTHONDONTWRITEBYTECODE", "1");
        if let Some(uid) = uid {
            command.uid(uid);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Python { child, lines }
    }
}

/// A Python that has GLib: the system's own where another one comes first.
fn interpreter() -> PathBuf {
    for python in ["python3", "/usr/bin/python3"] {
        let has = Command::new(python).args(["-c", "import gi"]).stderr(Stdio::null()).status();
        if has.is_ok_and(|status| status.success()) {
            return PathBuf::from(python);
        }
    }
    panic!("Python has no GLib: apt-get install python3-gi");
}

/// The client in Python.
pub struct Python {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Python {
    /// What it tells next.
    pub fn tells(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "the client in Python ended: {:?}", self.child.wait());
        serde_json::from_str(&line).unwrap()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
