//! The built daemon with one SIP line, in a directory of its own.

use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A directory that goes when the test does.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new() -> Directory {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tapid-peers-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            drop(std::fs::remove_dir_all(&self.0));
        } else {
            eprintln!("kept for a look: {}", self.0.display());
        }
    }
}

/// A port that is free for UDP and TCP, and the next one too (baresip takes both).
pub fn free_port() -> u16 {
    for _ in 0..200 {
        let Ok(first) = UdpSocket::bind("127.0.0.1:0") else { continue };
        let port = first.local_addr().unwrap().port();
        let free = port < 65_000
            && TcpListener::bind(("127.0.0.1", port)).is_ok()
            && TcpListener::bind(("127.0.0.1", port + 1)).is_ok()
            && UdpSocket::bind(("127.0.0.1", port + 1)).is_ok();
        if free {
            return port;
        }
    }
    panic!("no free ports on 127.0.0.1");
}

/// First of a hundred ports for audio.
fn rtp_ports() -> u16 {
    30_000 + (NUMBER.fetch_add(1, Ordering::Relaxed) % 60) as u16 * 100 + (std::process::id() % 7) as u16 * 4000
}

/// A running daemon.
pub struct Daemon {
    child: Child,
    pub directory: Directory,
    pub sip: u16,
}

impl Daemon {
    /// Starts one whose line `sip:trunk` takes calls from 127.0.0.1 and sends its own to `proxy`.
    pub fn start(proxy: Option<u16>) -> Daemon {
        Daemon::start_with(proxy, "")
    }

    /// The same with more keys for its line.
    pub fn start_with(proxy: Option<u16>, keys: &str) -> Daemon {
        let proxy = proxy.map(|port| format!("proxy = \"127.0.0.1:{port}\"\n")).unwrap_or_default();
        Daemon::start_at(Directory::new(), "127.0.0.1", free_port(), ["", &format!("{proxy}{keys}")])
    }

    /// Starts one at a port of this address, with these further keys of `[[sip]]` and of its line.
    pub fn start_at(directory: Directory, ip: &str, sip: u16, [keys, line]: [&str; 2]) -> Daemon {
        let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
        let rtp = rtp_ports();
        let config = format!(
            "[daemon]\nsocket = {:?}\n\n[rtp]\naddress = \"{ip}\"\nports = \"{rtp}-{}\"\n\n[[sip]]\nname = \"trunk\"\n\
             listen = \"{host}:{sip}\"\n{keys}\n[[sip.lines]]\nname = \"sip:trunk\"\nuser = \"100\"\ndomain = \"{host}\"\n\
             peers = [\"{ip}\"]\n{line}",
            directory.path().join("api.sock"),
            rtp + 60
        );
        Daemon::run(directory, sip, &config)
    }

    /// Starts one with these sections behind those of the daemon and of RTP.
    pub fn start_lines(directory: Directory, sip: u16, sections: &str) -> Daemon {
        let rtp = rtp_ports();
        Daemon::start_ports(directory, sip, (rtp, rtp + 98), sections)
    }

    /// The same with these ports for audio.
    pub fn start_ports(directory: Directory, sip: u16, (rtp, end): (u16, u16), sections: &str) -> Daemon {
        let socket = directory.path().join("api.sock");
        let config = format!(
            "[daemon]\nsocket = {socket:?}\n\n[rtp]\naddress = \"127.0.0.1\"\nports = \"{rtp}-{end}\"\n\n{sections}"
        );
        Daemon::run(directory, sip, &config)
    }

    fn run(directory: Directory, sip: u16, config: &str) -> Daemon {
        let file = directory.path().join("tapid.toml");
        std::fs::write(&file, config).unwrap();
        let log = std::fs::File::create(directory.path().join("tapid.log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_tapid"))
            .arg("--config")
            .arg(&file)
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut daemon = Daemon { child, directory, sip };
        let deadline = Instant::now() + Duration::from_secs(20);
        while !daemon.log().contains("ready") {
            assert!(Instant::now() < deadline && daemon.child.try_wait().unwrap().is_none(), "{}", daemon.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        daemon
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("api.sock")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("tapid.log")).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}
