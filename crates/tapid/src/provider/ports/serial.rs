//! A serial port: raw, 8N1, ours alone.

use super::lock::Lock;
use crate::sys;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::{Errno, read, write};
use rustix::termios::{Action, ControlModes, InputModes, OptionalActions, tcflow, tcgetattr, tcsetattr, ttyname};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::task::{Context, Poll, ready};
use tokio::io::unix::AsyncFd;
use tokio_serial::FlowControl;
use tsp_modem::profile::Flow;

/// Bytes that may wait to be written. A modem at 115200 bit/s takes them in six seconds.
const MAX_UNWRITTEN: usize = 64 << 10;

/// An open serial port.
#[derive(Debug)]
pub struct Serial {
    port: AsyncFd<OwnedFd>,
    unwritten: VecDeque<u8>,
    /// Goes after the port is closed.
    _lock: Option<Lock>,
}

impl AsFd for Serial {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.port.as_fd()
    }
}

impl Serial {
    /// Opens a device: without making it the controlling terminal, and so that nobody else can have it too. `locks`: where
    /// lock files are. Its line hangs up when it is closed.
    pub async fn open(device: PathBuf, baud: u32, flow: Flow, locks: Option<PathBuf>) -> io::Result<Serial> {
        let flow = match flow {
            Flow::Rtscts => FlowControl::Hardware,
            Flow::Xonxoff => FlowControl::Software,
            Flow::None => FlowControl::None,
        };
        let opened = tokio::task::spawn_blocking(move || {
            let path = device.to_string_lossy();
            let named = |error: io::Error| io::Error::new(error.kind(), format!("{path}: {error}"));
            let lock = locks.map_or(Ok(None), |locks| Lock::take(&locks, &device)).map_err(named)?;
            let open = || tokio_serial::new(path.as_ref(), baud).flow_control(flow).open_native();
            let port = open().map_err(|error| io::Error::other(format!("{path}: {error}"))).map(sys::owned)?;
            hang_up_on_close(&port)?;
            Ok::<_, io::Error>((port, lock))
        });
        let (port, lock) = opened.await.map_err(io::Error::other)??;
        Serial::with(port, Vec::new(), lock)
    }

    /// Goes on with a port that is open, and with what was not yet written. It is ours, whatever lock files say.
    pub fn restore(port: OwnedFd, unwritten: Vec<u8>, locks: Option<&Path>) -> io::Result<Serial> {
        let device = ttyname(&port, Vec::new()).ok().map(|name| PathBuf::from(OsString::from_vec(name.into_bytes())));
        let lock = locks.zip(device.as_deref()).and_then(|(locks, device)| {
            Lock::take(locks, device).unwrap_or_else(|error| {
                tracing::warn!(device = %device.display(), %error, "the port is open here all the same");
                None
            })
        });
        Serial::with(port, unwritten, lock)
    }

    fn with(port: OwnedFd, unwritten: Vec<u8>, lock: Option<Lock>) -> io::Result<Serial> {
        fcntl_setfl(&port, fcntl_getfl(&port)? | OFlags::NONBLOCK)?;
        Ok(Serial { port: sys::watched(port)?, unwritten: unwritten.into(), _lock: lock })
    }

    /// Takes 0x11 and 0x13 for XON and XOFF, both ways, or lets them pass as any other byte.
    pub fn soft_flow(&self, on: bool) -> io::Result<()> {
        let mut modes = tcgetattr(&self.port)?;
        modes.input_modes.set(InputModes::IXON | InputModes::IXOFF, on);
        tcsetattr(&self.port, OptionalActions::Now, &modes)?;
        // What an XOFF stopped before would wait for an XON that is data now.
        if on { Ok(()) } else { Ok(tcflow(&self.port, Action::OOn)?) }
    }

    /// How much is not yet written, in bytes.
    pub fn waiting(&self) -> usize {
        self.unwritten.len()
    }

    /// What is not yet written.
    pub fn unwritten(&self) -> Vec<u8> {
        self.unwritten.iter().copied().collect()
    }

    /// Writes what can be written now, and keeps the rest.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.unwritten.len().saturating_add(bytes.len()) > MAX_UNWRITTEN {
            return Err(io::Error::other("the device does not take what is written"));
        }
        self.unwritten.extend(bytes);
        self.write_now()
    }

    fn write_now(&mut self) -> io::Result<()> {
        while !self.unwritten.is_empty() {
            let (first, _) = self.unwritten.as_slices();
            match write(&self.port, first) {
                Ok(count) => drop(self.unwritten.drain(..count)),
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Writes on, and reads. End of file, `EIO`, `ENXIO` and `ENODEV` are all the same: the device is unplugged.
    pub fn poll(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        while !self.unwritten.is_empty() {
            let Poll::Ready(guard) = self.port.poll_write_ready(context) else { break };
            guard?.clear_ready();
            self.write_now()?;
        }
        loop {
            let mut guard = ready!(self.port.poll_read_ready(context))?;
            match read(&self.port, &mut *buffer) {
                Ok(0) => return Poll::Ready(Err(io::Error::other("the device is gone"))),
                Ok(count) => return Poll::Ready(Ok(count)),
                Err(Errno::AGAIN) => guard.clear_ready(),
                Err(Errno::INTR) => {}
                Err(Errno::IO | Errno::NXIO | Errno::NODEV) => {
                    return Poll::Ready(Err(io::Error::other("the device is gone")));
                }
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }
}

/// The last close lowers DTR: a modem whose server died hangs up.
fn hang_up_on_close(port: &OwnedFd) -> io::Result<()> {
    let mut modes = tcgetattr(port)?;
    modes.control_modes |= ControlModes::HUPCL;
    Ok(tcsetattr(port, OptionalActions::Now, &modes)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may")]

    use super::*;
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use std::time::Duration;

    async fn heard(serial: &mut Serial, count: usize) -> Vec<u8> {
        let (mut heard, mut buffer) = (Vec::new(), [0; 64]);
        while heard.len() < count {
            let read = std::future::poll_fn(|context| serial.poll(context, &mut buffer));
            let Ok(read) = tokio::time::timeout(Duration::from_millis(500), read).await else { break };
            heard.extend(&buffer[..read.unwrap()]);
        }
        heard
    }

    #[tokio::test]
    async fn samples_that_look_like_xon_and_xoff_pass_while_a_stream_runs() {
        let modem = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&modem).unwrap();
        unlockpt(&modem).unwrap();
        let device = PathBuf::from(ptsname(&modem, Vec::new()).unwrap().into_string().unwrap());
        let mut serial = Serial::open(device, 115_200, Flow::Xonxoff, None).await.unwrap();
        let said = [1, 0x11, 2, 0x13, 3, 0x11, 4];
        write(&modem, &said).unwrap();
        assert_eq!(heard(&mut serial, 4).await, [1, 2, 3, 4], "between commands they are flow control");
        write(&modem, &[0x13]).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        serial.soft_flow(false).unwrap();
        write(&modem, &said).unwrap();
        assert_eq!(heard(&mut serial, said.len()).await, said);
        // 0x13 among samples stops nothing that we say.
        serial.write(b"data").unwrap();
        let mut taken = [0; 8];
        fcntl_setfl(&modem, fcntl_getfl(&modem).unwrap() | OFlags::NONBLOCK).unwrap();
        assert_eq!(read(&modem, &mut taken), Ok(4));
        serial.soft_flow(true).unwrap();
        write(&modem, &said).unwrap();
        assert_eq!(heard(&mut serial, 4).await, [1, 2, 3, 4]);
    }
}
