//! Lock files of serial ports.

use crate::daemon::{Daemon, Directory, PATIENCE, Wire};
use crate::modem::{Exchange, line_of, until_in_service};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// A process that lives until the test ends.
struct Other(Child);

impl Drop for Other {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The lock file of the terminal that a link leads to.
fn lock_of(locks: &Path, link: &Path) -> PathBuf {
    let device = link.canonicalize().unwrap();
    let name = device.strip_prefix("/dev").unwrap().to_str().unwrap().replace('/', "_");
    locks.join(format!("LCK..{name}"))
}

#[test]
fn a_port_that_another_program_locked_is_left_alone_and_ours_is_locked() {
    let directory = Directory::new();
    let exchange = Exchange::with(&directory, &["--analogue", "4930100"].map(str::to_owned));
    let locks = directory.path("locks");
    std::fs::create_dir(&locks).unwrap();
    let (device, socket) = (directory.path("analogue0"), directory.path("api.sock"));
    let lock = lock_of(&locks, &device);
    let other = Other(Command::new("sleep").arg("600").spawn().unwrap());
    std::fs::write(&lock, format!("{:>10}\n", other.0.id())).unwrap();
    let config = format!(
        "[daemon]\nsocket = {socket:?}\n[modems]\ndiscover = false\nprofiles = []\nlock_directory = {locks:?}\n\
         [[modem]]\nname = \"desk\"\ndevice = {device:?}\nprofile = \"v253\"\n"
    );
    let file = directory.path("tapid.toml");
    std::fs::write(&file, config).unwrap();
    let mut daemon = Daemon::start(directory, &file);
    let mut wire = Wire::open(&socket);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let line = line_of(&mut wire, 10, "modem:desk").unwrap();
        let reason = line["status"]["reason"].as_str().unwrap_or_default().to_owned();
        if reason.contains(&format!("process {} has it", other.0.id())) {
            break;
        }
        assert!(Instant::now() < deadline && line["status"]["service"] == "out", "{line}");
        std::thread::sleep(Duration::from_millis(20));
    }
    // It ends without a word, as a killed program does: its file is still there, and nobody's.
    drop(other);
    until_in_service(&mut wire, "modem:desk");
    assert_eq!(std::fs::read_to_string(&lock).unwrap(), format!("{:>10}\n", daemon.process()));
    daemon.signal("TERM");
    assert!(daemon.ended().success());
    assert!(!lock.exists(), "the port is free, and locked");
    drop(exchange);
}
