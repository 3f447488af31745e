//! Serial ports that are known by their paths: those that the configuration names, and the entries of a directory. Each is
//! there when its path leads to something; inotify tells when to look.

use super::Fact;
use super::tty::{Naming, Role, Tty};
use super::udev::{self, Roots};
use crate::sys;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::{Errno, read};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use tokio::io::unix::AsyncFd;

/// Entries of the directory that are looked at.
const MOST: usize = 512;

/// A port to wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Name of its modem.
    pub modem: String,
    /// What it is for.
    pub role: Role,
    /// Its path.
    pub path: PathBuf,
    /// By what ModemManager knows its device, where the configuration says it.
    pub device: Option<String>,
}

/// By what a device at a path is told from another one that came into its place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Print {
    node: PathBuf,
    device: u64,
    /// Of the path itself: a link that was made anew is another one.
    inode: u64,
    changed: Option<(i64, i64)>,
}

/// The paths that are watched.
#[derive(Debug)]
pub struct Paths {
    inotify: AsyncFd<OwnedFd>,
    wanted: Vec<Wanted>,
    directory: Option<PathBuf>,
    seen: BTreeMap<String, Print>,
}

impl Paths {
    /// Begins to watch, and tells what is there.
    pub fn new(wanted: Vec<Wanted>, directory: Option<PathBuf>) -> io::Result<(Paths, Vec<Fact>)> {
        let inotify = sys::watched(inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?)?;
        let mut paths = Paths { inotify, wanted, directory, seen: BTreeMap::new() };
        let facts = paths.look();
        Ok((paths, facts))
    }

    /// Waits for news. Nothing is lost when this is given up.
    pub async fn next(&mut self) -> Vec<Fact> {
        loop {
            let Ok(mut guard) = self.inotify.readable().await else { return std::future::pending().await };
            let mut events = [0; 4_096];
            let read = guard.try_io(|inotify| {
                loop {
                    match read(inotify.get_ref(), &mut events) {
                        Ok(_) => {}
                        Err(Errno::INTR) => {}
                        Err(error) => return Err::<(), _>(io::Error::from(error)),
                    }
                }
            });
            drop(read);
            let facts = self.look();
            if !facts.is_empty() {
                return facts;
            }
        }
    }

    /// What is there now, as far as it is news.
    fn look(&mut self) -> Vec<Fact> {
        // First the watches: what changes after that is looked at again.
        self.arm();
        let mut there = BTreeMap::new();
        for wanted in &self.wanted {
            if let Some(print) = print(&wanted.path) {
                let id = format!("config {} {:?}", wanted.modem, wanted.role);
                there.insert(id, (print, wanted.clone()));
            }
        }
        for wanted in self.entries() {
            if let Some(print) = print(&wanted.path) {
                there.insert(format!("directory {} {:?}", wanted.modem, wanted.role), (print, wanted));
            }
        }
        let same = |id: &String, print: &Print| there.get(id).is_some_and(|(now, _)| now == print);
        let gone: Vec<String> =
            self.seen.iter().filter(|(id, seen)| !same(id, seen)).map(|(id, _)| id.clone()).collect();
        let mut facts: Vec<Fact> = Vec::new();
        for id in gone {
            self.seen.remove(&id);
            facts.push(Fact::Removed(id));
        }
        for (id, (print, wanted)) in there {
            if let Entry::Vacant(place) = self.seen.entry(id) {
                facts.push(Fact::Added(tty(place.key().clone(), wanted, &print)));
                place.insert(print);
            }
        }
        facts
    }

    /// The entries of the directory.
    fn entries(&self) -> Vec<Wanted> {
        let Some(entries) = self.directory.as_ref().and_then(|directory| std::fs::read_dir(directory).ok()) else {
            return Vec::new();
        };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).take(MOST).collect();
        paths.sort();
        let wanted = |path: PathBuf| {
            let name = path.file_name()?.to_str()?;
            let (modem, role) = name.strip_suffix("-audio").map_or((name, Role::At), |name| (name, Role::Audio));
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            let good = (1..=48).contains(&modem.len()) && !modem.starts_with('.') && modem.bytes().all(plain);
            let named = self.wanted.iter().any(|wanted| wanted.path == path);
            (good && !named).then(|| Wanted { modem: modem.to_owned(), role, path: path.clone(), device: None })
        };
        paths.into_iter().filter_map(wanted).collect()
    }

    /// Watches where the paths are, or would be made.
    fn arm(&self) {
        let flags = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE_SELF
            | WatchFlags::ONLYDIR;
        let above = self.wanted.iter().filter_map(|wanted| wanted.path.parent());
        for directory in above.chain(self.directory.as_deref()) {
            // The nearest one that there is.
            for directory in directory.ancestors() {
                if inotify::add_watch(&self.inotify, directory, flags).is_ok() {
                    break;
                }
            }
        }
    }
}

fn print(path: &Path) -> Option<Print> {
    use std::os::unix::fs::FileTypeExt;
    let own = path.symlink_metadata().ok()?;
    let at = path.metadata().ok().filter(|at| at.file_type().is_char_device())?;
    let changed = own.file_type().is_symlink().then(|| (own.ctime(), own.ctime_nsec()));
    Some(Print { node: path.canonicalize().ok()?, device: at.rdev(), inode: own.ino(), changed })
}

fn tty(id: String, wanted: Wanted, print: &Print) -> Tty {
    let about = udev::about(&wanted.path, &Roots::default());
    Tty {
        group: id.rsplit_once(' ').map_or(id.as_str(), |(group, _)| group).to_owned(),
        id,
        links: vec![print.node.clone()],
        node: wanted.path,
        role: Some(wanted.role),
        interface: None,
        usb: about.usb,
        driver: about.driver,
        device: wanted.device.or(about.device),
        serial: about.serial,
        profile: None,
        switch: about.switch,
        naming: Naming::Given(wanted.modem),
    }
}
