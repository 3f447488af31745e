//! Lock files for serial ports, `LCK..ttyUSB0` in `/run/lock` (FHS 3.0, 5.9): programs that look at nothing else, such as
//! mgetty, uucico and gammu, keep off while the port is ours, and we while it is theirs. A port's exclusive use (`TIOCEXCL`) does
//! not depend on it: where no file can be written, none is.

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Attempts at a file that others make and remove meanwhile.
const ATTEMPTS: u32 = 4;

/// A file without a process id may be one that is just being written, so long.
const BEING_WRITTEN: Duration = Duration::from_secs(5);

/// The most of a lock file that is read: it has 11 bytes.
const LONGEST: usize = 64;

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A lock file that is ours; it goes with this.
#[derive(Debug)]
pub struct Lock {
    file: PathBuf,
}

/// Who has a lock.
#[derive(Debug, PartialEq, Eq)]
enum Holder {
    Nobody,
    Dead,
    Ourselves,
    Alive(i32),
    /// Its file says nothing yet.
    Unknown,
}

impl Lock {
    /// Locks the port. `Ok(None)`: no lock can be written there, which hinders nobody.
    ///
    /// # Errors
    /// Another process that lives has it.
    pub fn take(directory: &Path, device: &Path) -> io::Result<Option<Lock>> {
        let Some(file) = path(directory, device) else { return Ok(None) };
        for _ in 0..ATTEMPTS {
            match make(directory, &file) {
                Ok(()) => return Ok(Some(Lock { file })),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    tracing::debug!(file = %file.display(), %error, "there is no lock file");
                    return Ok(None);
                }
            }
            match holder(&file) {
                Holder::Nobody => {}
                // Of a port that this process had before, or that an earlier process with our number had.
                Holder::Ourselves => return Ok(Some(Lock { file })),
                Holder::Alive(process) => {
                    let text = format!("process {process} has it: {}", file.display());
                    return Err(io::Error::new(io::ErrorKind::ResourceBusy, text));
                }
                Holder::Unknown => {
                    let text = format!("somebody is taking it: {}", file.display());
                    return Err(io::Error::new(io::ErrorKind::ResourceBusy, text));
                }
                Holder::Dead => {
                    if let Err(error) = std::fs::remove_file(&file) {
                        tracing::debug!(file = %file.display(), %error, "the lock file of a dead process stays");
                        return Ok(None);
                    }
                }
            }
        }
        Ok(None)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if holder(&self.file) == Holder::Ourselves {
            drop(std::fs::remove_file(&self.file));
        }
    }
}

/// The name of the device below `/dev`, without what would be a directory.
fn path(directory: &Path, device: &Path) -> Option<PathBuf> {
    let device = device.canonicalize().ok()?;
    let name = device.strip_prefix("/dev").unwrap_or(&device).to_str()?.trim_start_matches('/').replace('/', "_");
    (!name.is_empty()).then(|| directory.join(format!("LCK..{name}")))
}

/// Ten columns and a line feed, whole from the moment that it has its name.
fn make(directory: &Path, file: &Path) -> io::Result<()> {
    let process = std::process::id();
    let new = directory.join(format!("LTMP..{process}.{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
    let made = (|| {
        let mut new = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&new)?;
        // Whatever the mask says: others must be able to read whose it is.
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        new.set_permissions(readable)?;
        writeln!(new, "{process:>10}")
    })();
    let linked = made.and_then(|()| std::fs::hard_link(&new, file));
    drop(std::fs::remove_file(&new));
    linked
}

fn holder(file: &Path) -> Holder {
    let read = || {
        let mut text = String::new();
        io::Read::read_to_string(&mut io::Read::take(File::open(file)?, LONGEST as u64), &mut text)?;
        io::Result::Ok(text)
    };
    let process = match read() {
        Ok(text) => text.split_whitespace().next().and_then(|word| word.parse::<i32>().ok()).filter(|id| *id > 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Holder::Nobody,
        // Not ours to read, or not text.
        Err(_) => None,
    };
    match process {
        Some(process) if u32::try_from(process) == Ok(std::process::id()) => Holder::Ourselves,
        // Whom we may not signal lives.
        Some(process) => match kill(Pid::from_raw(process), None) {
            Err(Errno::ESRCH) => Holder::Dead,
            _ => Holder::Alive(process),
        },
        None => {
            let age = file.metadata().and_then(|about| about.modified()).ok().and_then(|at| at.elapsed().ok());
            if age.is_some_and(|age| age > BEING_WRITTEN) { Holder::Dead } else { Holder::Unknown }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("tapid-lock-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        directory
    }

    const DEVICE: &str = "/dev/null";

    #[test]
    fn a_lock_file_is_written_as_others_read_it_and_goes_with_the_port() {
        let directory = directory("written");
        let file = directory.join("LCK..null");
        let lock = Lock::take(&directory, Path::new(DEVICE)).unwrap().unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{:>10}\n", std::process::id()));
        drop(lock);
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_live_process_keeps_its_port_and_a_dead_one_loses_it() {
        let directory = directory("held");
        let file = directory.join("LCK..null");
        let mut other = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        std::fs::write(&file, format!("{:>10}\n", other.id())).unwrap();
        let error = Lock::take(&directory, Path::new(DEVICE)).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", other.id())) && error.contains("LCK..null"), "{error}");
        other.kill().unwrap();
        other.wait().unwrap();
        let lock = Lock::take(&directory, Path::new(DEVICE)).unwrap();
        assert!(lock.is_some() && holder(&file) == Holder::Ourselves);
        // What somebody else made of it is not ours to remove.
        std::fs::write(&file, "         1\n").unwrap();
        drop(lock);
        assert!(file.exists());
        // Nothing is in it yet: somebody writes it now.
        std::fs::write(&file, "").unwrap();
        assert!(Lock::take(&directory, Path::new(DEVICE)).is_err());
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn where_no_file_can_be_written_the_port_is_used_all_the_same() {
        for nowhere in ["/proc", "/nowhere"] {
            assert!(Lock::take(Path::new(nowhere), Path::new(DEVICE)).unwrap().is_none());
        }
    }

    #[test]
    fn a_port_is_named_by_its_device_and_not_by_a_link() {
        let directory = directory("links");
        let link = directory.join("modem");
        std::os::unix::fs::symlink(DEVICE, &link).unwrap();
        assert_eq!(path(Path::new("/run/lock"), &link), Some("/run/lock/LCK..null".into()));
        std::fs::remove_dir_all(directory).unwrap();
    }
}
