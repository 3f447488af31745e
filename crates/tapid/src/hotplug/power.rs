//! The last thing that can be done for a modem that answers nothing any more: its USB device is taken from the bus and given
//! back (`authorized` in /sys), as if it were pulled out and plugged in. All that the device is goes with it, a data connection
//! or a disk too, so it is done only where the configuration allows it.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How long the device is off the bus.
const OFF: Duration = Duration::from_secs(1);

/// Not more often than this: a device that this does not help is left alone for a while.
const AGAIN: Duration = Duration::from_secs(600);

/// Attempts to give it back.
const ATTEMPTS: u32 = 5;

/// Requests that may wait.
const WAITING: usize = 64;

/// How a provider's task has its device reset.
#[derive(Clone, Debug)]
pub struct Reset {
    modem: String,
    to: mpsc::Sender<String>,
}

impl Reset {
    /// For the modem of this name.
    pub fn new(modem: &str, to: &mpsc::Sender<String>) -> Reset {
        Reset { modem: modem.to_owned(), to: to.clone() }
    }

    /// Its device is past help.
    pub fn request(&self) {
        // One that is asked for already is enough.
        drop(self.to.try_send(self.modem.clone()));
    }
}

/// Where requests come from and go to.
pub fn requests() -> (mpsc::Sender<String>, mpsc::Receiver<String>) {
    mpsc::channel(WAITING)
}

/// The switch of one device.
#[derive(Debug, Default)]
pub struct Switch {
    /// The attribute in /sys.
    path: Option<PathBuf>,
    last: Option<Instant>,
}

impl Switch {
    /// It is here, as long as nobody says otherwise.
    pub fn is_at(&mut self, path: Option<PathBuf>) {
        self.path = path;
    }

    /// Switches the device off and on, unless it was lately. What comes of it comes from the sources.
    pub fn cycle(&mut self, modem: &str) {
        let now = Instant::now();
        if self.last.is_some_and(|last| now.duration_since(last) < AGAIN) {
            return;
        }
        let Some(path) = self.path.clone() else {
            return tracing::warn!(modem, "nothing brings it back, and where it is on the USB bus is not known");
        };
        self.last = Some(now);
        let modem = modem.to_owned();
        tokio::task::spawn_blocking(move || {
            let switch = path.display();
            tracing::warn!(modem, %switch, "nothing brings it back: it is taken from the USB bus and given back");
            if let Err(error) = off_and_on(&path) {
                tracing::error!(modem, %switch, %error, "it cannot be switched");
            }
        });
    }
}

fn off_and_on(path: &Path) -> io::Result<()> {
    write(path, "0\n")?;
    let mut result = Ok(());
    for _ in 0..ATTEMPTS {
        std::thread::sleep(OFF);
        result = write(path, "1\n");
        if result.is_ok() {
            break;
        }
    }
    result
}

/// In one write, and never makes a file.
fn write(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes())
}
