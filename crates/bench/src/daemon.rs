//! The daemon under measurement.

use crate::cores::Cores;
use crate::process::{self, Written};
use std::io;
use std::net::UdpSocket;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The first port for call audio.
pub const FIRST_RTP: u16 = 20_000;

/// What a daemon is started with.
#[derive(Clone, Debug)]
pub struct Setup<'a> {
    /// The program.
    pub program: &'a Path,
    /// Where it runs.
    pub cores: Cores,
    /// Calls that it can hold.
    pub calls: u16,
    /// The bus, or `off`.
    pub bus: &'a str,
    /// Where calls are sent to, on 127.0.0.1.
    pub proxy: Option<u16>,
    /// Whether there is a service manager that keeps journals.
    pub journal: bool,
}

impl<'a> Setup<'a> {
    /// The usual.
    pub fn new(program: &'a Path, cores: Cores, calls: u16) -> Setup<'a> {
        Setup { program, cores, calls, bus: "off", proxy: None, journal: false }
    }
}

/// A running daemon with one SIP line that takes calls from 127.0.0.1.
pub struct Daemon {
    child: Child,
    directory: PathBuf,
    port: u16,
    /// Where the service manager would listen.
    _manager: Option<UnixDatagram>,
}

impl Daemon {
    /// The directory of its files, and of what belongs to it.
    pub fn directory() -> PathBuf {
        std::env::temp_dir().join(format!("tapi-bench-{}", std::process::id()))
    }

    /// Starts one.
    pub fn start(setup: &Setup<'_>) -> io::Result<Daemon> {
        let directory = Daemon::directory();
        std::fs::create_dir_all(&directory)?;
        let port = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
        let (socket, file) = (directory.join("api.sock"), directory.join("tapid.toml"));
        std::fs::write(&file, configuration(setup, &socket, port))?;
        drop(std::fs::remove_file(&socket));
        let mut command = Command::new(setup.program);
        command.arg("--config").arg(&file).env("TAPID_LOG", "error").env_remove("NOTIFY_SOCKET").stdin(Stdio::null());
        let manager = if setup.journal { Some(manager(&directory, &mut command)?) } else { None };
        let program = setup.program.display();
        let child = setup.cores.measured(|| command.spawn()).map_err(io::Error::from)?;
        let child = child.map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
        let mut daemon = Daemon { child, directory, port, _manager: manager };
        let deadline = Instant::now() + Duration::from_secs(20);
        while UnixStream::connect(&socket).is_err() {
            if Instant::now() > deadline || daemon.child.try_wait()?.is_some() {
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

    /// CPU time so far, user and system, of all its threads.
    pub fn cpu(&self) -> io::Result<Duration> {
        process::cpu(self.child.id())
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> io::Result<u64> {
        process::memory(self.child.id())
    }

    /// What it has written.
    pub fn written(&self) -> io::Result<Written> {
        process::written(self.child.id())
    }
}

fn configuration(setup: &Setup<'_>, socket: &Path, port: u16) -> String {
    let bus = setup.bus;
    let last = FIRST_RTP + setup.calls.saturating_mul(2).saturating_sub(1);
    let proxy = setup.proxy.map(|proxy| format!("proxy = \"127.0.0.1:{proxy}\"\n")).unwrap_or_default();
    format!(
        "[daemon]\nsocket = {socket:?}\nidle_grace_s = 1\nreplay_events = 1024\n\n[dbus]\nbus = {bus:?}\n\n\
         [rtp]\naddress = \"127.0.0.1\"\nports = \"{FIRST_RTP}-{last}\"\n\n\
         [[sip]]\nname = \"bench\"\nlisten = \"127.0.0.1:{port}\"\n\n[[sip.lines]]\nname = \"sip:bench\"\n\
         user = \"100\"\ndomain = \"127.0.0.1\"\npeers = [\"127.0.0.1\"]\nmax_calls = 100000\n{proxy}"
    )
}

/// Stands in for the service manager: what it is told is read, and descriptors that it is given are let go.
fn manager(directory: &Path, command: &mut Command) -> io::Result<UnixDatagram> {
    let path = directory.join("notify");
    drop(std::fs::remove_file(&path));
    let socket = UnixDatagram::bind(&path)?;
    command.env("NOTIFY_SOCKET", &path);
    let reads = socket.try_clone()?;
    std::thread::spawn(move || {
        let mut told = [0; 4_096];
        while reads.recv(&mut told).is_ok_and(|length| length > 0) {}
    });
    Ok(socket)
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if let Some(manager) = &self._manager {
            drop(manager.shutdown(std::net::Shutdown::Both));
        }
        drop(std::fs::remove_dir_all(&self.directory));
    }
}
