//! The daemon under measurement.

use std::io;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running daemon with one SIP line that takes calls from 127.0.0.1.
pub struct Daemon {
    child: Child,
    directory: PathBuf,
    port: u16,
}

impl Daemon {
    /// Starts one that can hold so many calls.
    pub fn start(program: &Path, calls: u32) -> io::Result<Daemon> {
        Daemon::start_on(program, calls, "off")
    }

    /// The directory of its files, and of what belongs to it.
    pub fn directory() -> PathBuf {
        std::env::temp_dir().join(format!("tapi-bench-{}", std::process::id()))
    }

    /// The same, on a bus.
    pub fn start_on(program: &Path, calls: u32, bus: &str) -> io::Result<Daemon> {
        let directory = Daemon::directory();
        std::fs::create_dir_all(&directory)?;
        let port = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
        let socket = directory.join("api.sock");
        let config = format!(
            "[daemon]\nsocket = {socket:?}\nidle_grace_s = 1\n\n[dbus]\nbus = {bus:?}\n\n[rtp]\naddress = \"127.0.0.1\"\nports = \"20000-{}\"\n\n\
             [[sip]]\nname = \"bench\"\nlisten = \"127.0.0.1:{port}\"\n\n[[sip.lines]]\nname = \"sip:bench\"\n\
             user = \"100\"\ndomain = \"127.0.0.1\"\npeers = [\"127.0.0.1\"]\nmax_calls = 100000\n",
            20_000 + calls
        );
        let file = directory.join("tapid.toml");
        std::fs::write(&file, config)?;
        drop(std::fs::remove_file(&socket));
        let child = Command::new(program)
            .arg("--config")
            .arg(&file)
            .env("TAPID_LOG", "warn")
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", program.display())))?;
        let daemon = Daemon { child, directory, port };
        let deadline = Instant::now() + Duration::from_secs(10);
        while !socket.exists() {
            if Instant::now() > deadline {
                return Err(io::Error::other("the daemon did not come up"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(daemon)
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.join("api.sock")
    }

    /// Its SIP port on 127.0.0.1.
    pub fn sip_port(&self) -> u16 {
        self.port
    }

    /// CPU time so far, user and system, of all its threads; in steps of 10 ms.
    pub fn cpu(&self) -> io::Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let ticks: u64 =
            after_name.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap_or(0)).sum();
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> io::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let kib =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<u64>().ok());
        Ok(kib.unwrap_or(0) * 1024)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_dir_all(&self.directory));
    }
}
