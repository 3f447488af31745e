//! Serial ports as udev knows them: its monitor (netlink, group 2: after the rules were run), and what is there already.

use super::Fact;
use super::tty::Tty;
use super::uevent;
use crate::sys;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvmsg,
    setsockopt, socket, sockopt,
};
use rustix::fs::{OFlags, fcntl_setfl};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use tokio::io::unix::AsyncFd;

/// The group that gets devices once udev's rules were run.
const GROUP: u32 = 2;

/// The longest message that udev sends.
const LONGEST: usize = 16 << 10;

/// Serial ports that are looked at in /sys.
const MOST_PORTS: usize = 4_096;

/// Where the kernel and udev keep what they know.
#[derive(Clone, Debug)]
pub struct Roots {
    /// `/sys`
    pub sys: PathBuf,
    /// `/run/udev/data`
    pub data: PathBuf,
}

impl Default for Roots {
    fn default() -> Roots {
        Roots { sys: PathBuf::from("/sys"), data: PathBuf::from("/run/udev/data") }
    }
}

/// udev's monitor.
#[derive(Debug)]
pub struct Udev {
    socket: AsyncFd<OwnedFd>,
    roots: Roots,
    /// What was told, by the path in /sys.
    known: BTreeMap<String, Tty>,
}

impl Udev {
    /// Begins to listen, at a socket of the group where one is `given`, and tells what is there.
    pub fn new(roots: Roots, given: Option<OwnedFd>) -> io::Result<(Udev, Vec<Fact>)> {
        let monitor = given.map_or_else(open, |given| {
            fcntl_setfl(&given, OFlags::NONBLOCK)?;
            setsockopt(&given, sockopt::PassCred, &true)?;
            Ok(given)
        })?;
        let mut udev = Udev { socket: sys::watched(monitor)?, roots, known: BTreeMap::new() };
        let facts = udev.all();
        Ok((udev, facts))
    }

    /// Waits for news. Nothing is lost when this is given up.
    pub async fn next(&mut self) -> Vec<Fact> {
        loop {
            let Ok(mut guard) = self.socket.readable().await else { return std::future::pending().await };
            match guard.try_io(|socket| receive(socket.get_ref())) {
                Ok(Ok(Some(properties))) => {
                    let facts = self.heard(&properties);
                    if !facts.is_empty() {
                        return facts;
                    }
                }
                Ok(Ok(None)) => {}
                // Messages were lost: what is there is looked at anew.
                Ok(Err(_)) => {
                    let facts = self.all();
                    if !facts.is_empty() {
                        return facts;
                    }
                }
                Err(_) => {}
            }
        }
    }

    fn heard(&mut self, properties: &BTreeMap<String, String>) -> Vec<Fact> {
        let path = properties.get("DEVPATH").cloned().unwrap_or_default();
        match properties.get("ACTION").map(String::as_str) {
            Some("remove") => self.known.remove(&path).map(|tty| Fact::Removed(tty.id)).into_iter().collect(),
            Some("add" | "change" | "move" | "bind") => match Tty::from_properties(properties) {
                Some(tty) => self.found(tty),
                None => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    fn found(&mut self, tty: Tty) -> Vec<Fact> {
        match self.known.insert(tty.id.clone(), tty.clone()) {
            Some(known) if known == tty => Vec::new(),
            Some(_) => vec![Fact::Removed(tty.id.clone()), Fact::Added(tty)],
            None => vec![Fact::Added(tty)],
        }
    }

    /// What is there now, as far as it is news.
    fn all(&mut self) -> Vec<Fact> {
        let there = enumerate(&self.roots);
        let ids: BTreeSet<&str> = there.iter().map(|tty| tty.id.as_str()).collect();
        let gone: Vec<String> = self.known.keys().filter(|id| !ids.contains(id.as_str())).cloned().collect();
        let mut facts = Vec::new();
        for id in gone {
            self.known.remove(&id);
            facts.push(Fact::Removed(id));
        }
        facts.extend(there.into_iter().flat_map(|tty| self.found(tty)));
        facts
    }
}

fn open() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let monitor = socket(AddressFamily::Netlink, SockType::Raw, flags, Some(SockProtocol::NetlinkKObjectUEvent))?;
    setsockopt(&monitor, sockopt::PassCred, &true)?;
    bind(monitor.as_raw_fd(), &NetlinkAddr::new(0, GROUP))?;
    Ok(monitor)
}

/// The next message, where it is one of udev: sent to the group, by root.
fn receive(socket: &OwnedFd) -> io::Result<Option<BTreeMap<String, String>>> {
    let mut bytes = vec![0; LONGEST];
    let mut control = nix::cmsg_space!(nix::sys::socket::UnixCredentials);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let received = recvmsg::<NetlinkAddr>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty())?;
    let of_root = received
        .cmsgs()?
        .any(|control| matches!(control, ControlMessageOwned::ScmCredentials(sender) if sender.uid() == 0));
    let to_all = received.address.is_some_and(|from| from.groups() != 0);
    let length = received.bytes;
    Ok(bytes.get(..length).filter(|_| of_root && to_all).and_then(uevent::parse))
}

/// The serial ports that are the daemon's.
fn enumerate(roots: &Roots) -> Vec<Tty> {
    let Ok(entries) = std::fs::read_dir(roots.sys.join("class/tty")) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).take(MOST_PORTS).collect();
    paths.sort();
    paths.iter().filter_map(|path| Tty::from_properties(&properties(roots, path)?)).collect()
}

/// What udev would say of a port in /sys.
fn properties(roots: &Roots, path: &Path) -> Option<BTreeMap<String, String>> {
    let (real, sys) = (path.canonicalize().ok()?, roots.sys.canonicalize().ok()?);
    let below = real.strip_prefix(&sys).ok()?.to_str()?;
    if below.starts_with("devices/virtual/") {
        return None;
    }
    let lines = |path: &Path| std::fs::read(path).unwrap_or_default();
    let mut properties = uevent::pairs(lines(&real.join("uevent")).split(|byte| *byte == b'\n'));
    let data = roots.data.join(format!("c{}:{}", properties.get("MAJOR")?, properties.get("MINOR")?));
    let data = lines(&data);
    let tagged =
        |mark: &'static [u8]| data.split(|byte| *byte == b'\n').filter_map(move |line| line.strip_prefix(mark));
    properties.extend(uevent::pairs(tagged(b"E:")));
    let links = tagged(b"S:").map(|link| format!("/dev/{}", String::from_utf8_lossy(link)));
    properties.insert("DEVLINKS".to_owned(), links.collect::<Vec<_>>().join(" "));
    let node = properties.get("DEVNAME").map(|name| format!("/dev/{}", name.trim_start_matches("/dev/")))?;
    properties.insert("DEVNAME".to_owned(), node);
    properties.insert("SUBSYSTEM".to_owned(), "tty".to_owned());
    properties.insert("DEVPATH".to_owned(), format!("/{below}"));
    Some(properties)
}

/// What /sys says of the device behind a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Vendor and product on the USB bus.
    pub usb: Option<(u16, u16)>,
    /// The driver of its port.
    pub driver: Option<String>,
    /// By what ModemManager knows it: see [`Tty::device`].
    pub device: Option<String>,
    /// Its serial number.
    pub serial: Option<String>,
    /// What switches its USB device off and on.
    pub switch: Option<PathBuf>,
}

/// Looks at the device behind a path.
pub fn about(node: &Path, roots: &Roots) -> About {
    let name = node.canonicalize().ok().and_then(|real| real.file_name().map(|name| name.to_owned()));
    let Some(tty) = name.map(|name| roots.sys.join("class/tty").join(name)) else { return About::default() };
    let Ok(device) = tty.join("device").canonicalize() else { return About::default() };
    let driver = device.join("driver").canonicalize().ok();
    let driver = driver.and_then(|driver| Some(driver.file_name()?.to_str()?.to_owned()));
    let number = |path: PathBuf| u16::from_str_radix(std::fs::read_to_string(path).ok()?.trim(), 16).ok();
    let usb = device.ancestors().find(|above| above.join("idVendor").exists());
    let ruled = properties(roots, &tty).and_then(|mut properties| properties.remove("ID_MM_PHYSDEV_UID"));
    let path = |usb: &Path| {
        let below = usb.strip_prefix(roots.sys.canonicalize().ok()?).ok()?;
        Some(format!("/sys/{}", below.to_str()?))
    };
    About {
        usb: usb.and_then(|usb| number(usb.join("idVendor")).zip(number(usb.join("idProduct")))),
        driver,
        device: ruled.or_else(|| usb.and_then(path)),
        switch: usb.map(|usb| usb.join("authorized")),
        serial: usb.and_then(|usb| Some(std::fs::read_to_string(usb.join("serial")).ok()?.trim().to_owned())),
    }
}

#[cfg(test)]
mod tests;
