//! The daemon in a directory of its own.

use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Long enough for a loaded machine; a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

static NUMBER: AtomicU32 = AtomicU32::new(0);
static RTP: AtomicU16 = AtomicU16::new(0);

/// A directory that goes when the test does.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new() -> Directory {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tapid-process-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The whole text of a file here.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// The first of `count` free ports for RTP.
pub fn rtp_ports(count: u16) -> u16 {
    let seed = u16::try_from(std::process::id() % 200).unwrap() * 100;
    for _ in 0..300 {
        let first = 40_000 + (seed + RTP.fetch_add(20, Ordering::Relaxed)) % 20_000;
        if (first..first + count).all(|port| UdpSocket::bind(("127.0.0.1", port)).is_ok()) {
            return first;
        }
    }
    panic!("no free ports on 127.0.0.1");
}

/// A configuration with one SIP line, `sip:trunk`, for callers on 127.0.0.1.
pub fn with_sip(directory: &Directory, sip: u16, more: &str) -> PathBuf {
    let rtp = rtp_ports(16);
    let config = format!(
        "[daemon]\nsocket = {:?}\n{more}\n[rtp]\naddress = \"127.0.0.1\"\nports = \"{rtp}-{}\"\n\n[[sip]]\n\
         name = \"trunk\"\nlisten = \"127.0.0.1:{sip}\"\n\n[[sip.lines]]\nname = \"sip:trunk\"\nuser = \"100\"\n\
         domain = \"127.0.0.1\"\npeers = [\"127.0.0.1\"]\n",
        directory.path("api.sock"),
        rtp + 15
    );
    let file = directory.path("tapid.toml");
    std::fs::write(&file, config).unwrap();
    file
}

/// A UDP port that was free a moment ago.
pub fn free_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A running daemon.
pub struct Daemon {
    child: Child,
    pub directory: Directory,
}

impl Daemon {
    /// One without lines; `daemon` are lines of its `[daemon]` section.
    pub fn quiet(daemon: &str) -> Daemon {
        let directory = Directory::new();
        let file = directory.path("tapid.toml");
        let config = format!("[daemon]\nsocket = {:?}\n{daemon}\n", directory.path("api.sock"));
        std::fs::write(&file, config).unwrap();
        Daemon::start(directory, &file)
    }

    pub fn start(directory: Directory, config: &Path) -> Daemon {
        Daemon::start_as(Path::new(env!("CARGO_BIN_EXE_tapid")), directory, config)
    }

    /// By a program that becomes the daemon.
    pub fn start_as(program: &Path, directory: Directory, config: &Path) -> Daemon {
        let log = std::fs::File::create(directory.path("log")).unwrap();
        let mut command = Command::new(program);
        command.arg("--config").arg(config).stdin(Stdio::null()).stderr(log).env_remove("NOTIFY_SOCKET");
        let mut daemon = Daemon { child: command.spawn().unwrap(), directory };
        let deadline = Instant::now() + PATIENCE;
        while !daemon.directory.read("log").contains("ready") {
            let alive = daemon.child.try_wait().unwrap().is_none();
            assert!(alive && Instant::now() < deadline, "{}", daemon.directory.read("log"));
            std::thread::sleep(Duration::from_millis(10));
        }
        daemon
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.path("api.sock")
    }

    pub fn connect(&self) -> Wire {
        Wire::connect(&self.socket())
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let process = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(process, format!("SIG{name}").parse::<nix::sys::signal::Signal>().unwrap()).unwrap();
    }

    /// How it ended, when it does within the patience.
    pub fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the daemon did not end:\n{}", self.directory.read("log"));
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("{}", self.directory.read("log"));
        }
    }
}

/// A connection as lines of text: what any program sees.
pub struct Wire {
    pub stream: UnixStream,
    lines: BufReader<UnixStream>,
}

impl Wire {
    /// Connects; the greeting is the next line.
    pub fn connect(socket: &Path) -> Wire {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap());
        Wire { stream, lines }
    }

    /// Connects and opens a session.
    pub fn open(socket: &Path) -> Wire {
        let mut wire = Wire::connect(socket);
        assert_eq!(wire.line()["method"], "hello");
        wire.say(r#"{"jsonrpc":"2.0","id":1,"method":"client.open","params":{"app":"test"}}"#);
        assert_eq!(wire.answer(1)["error"], Value::Null);
        wire
    }

    pub fn say(&mut self, line: &str) {
        self.stream.write_all(line.as_bytes()).unwrap();
        self.stream.write_all(b"\n").unwrap();
    }

    /// The next line; `None` at the end.
    pub fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.lines.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(serde_json::from_str(&line).unwrap()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("no line: {error}"),
        }
    }

    pub fn line(&mut self) -> Value {
        self.next().expect("a line, not the end of the connection")
    }

    /// The answer to a request; events are passed over.
    pub fn answer(&mut self, id: u64) -> Value {
        loop {
            let line = self.line();
            if line["id"] == id {
                return line;
            }
        }
    }
}
