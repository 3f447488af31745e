//! Files that clients name: opened below configured directories only, and never through a symbolic link.

use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, open, openat, unlinkat};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use tapi::{Error, ErrorCode};

/// Where clients' files may lie.
#[derive(Clone, Debug, Default)]
pub struct Directories {
    /// Files to play: the first directory that has it.
    pub media: Vec<PathBuf>,
    /// Recordings.
    pub record: Option<PathBuf>,
}

/// A file that was made for a recording, to be taken away again if it is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    directory: PathBuf,
    name: PathBuf,
}

impl Directories {
    /// Opens a file to play.
    pub fn open_media(&self, name: &str) -> Result<OwnedFd, Error> {
        let path = relative(name)?;
        if self.media.is_empty() {
            return Err(refused(name, "the server has no media_directories to play from"));
        }
        let mut last = Errno::NOENT;
        for directory in &self.media {
            match beneath(directory, path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()) {
                Ok(file) => return regular(file).map_err(|what| refused(name, what)),
                Err(Errno::NOENT) => {}
                Err(error) => last = error,
            }
        }
        Err(refused(name, &why(last)))
    }

    /// Makes a new file to record into.
    pub fn create_recording(&self, name: &str) -> Result<(OwnedFd, Created), Error> {
        let path = relative(name)?;
        let Some(directory) = &self.record else {
            return Err(refused(name, "the server has no record_directory"));
        };
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        match beneath(directory, path, flags, Mode::RUSR | Mode::WUSR | Mode::RGRP) {
            Ok(file) => Ok((file, Created { directory: directory.clone(), name: path.to_path_buf() })),
            Err(error) => Err(refused(name, &why(error))),
        }
    }
}

impl Created {
    /// Takes the file away again. It is the one that was made here, since it was made exclusively and cannot be a link.
    pub fn remove(&self) {
        let parent = self.name.parent().unwrap_or(Path::new(""));
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let removed = beneath(&self.directory, parent, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
            .and_then(|parent| unlinkat(parent, self.name.file_name().unwrap_or_default(), AtFlags::empty()));
        if let Err(error) = removed {
            tracing::warn!(%error, "an unused recording could not be removed");
        }
    }
}

/// A descriptor that a client passed: a regular file, or nothing.
pub fn passed(file: OwnedFd) -> Result<OwnedFd, Error> {
    regular(file).map_err(|what| refused("the passed descriptor", what))
}

/// A socket that a client passed: a Unix socket that keeps the borders of messages, or nothing.
pub fn passed_socket(socket: OwnedFd) -> Result<OwnedFd, Error> {
    use rustix::net::{AddressFamily, SocketType, sockopt};
    let unix = sockopt::socket_domain(&socket).is_ok_and(|domain| domain == AddressFamily::UNIX);
    let kind = sockopt::socket_type(&socket);
    let keeps = kind.is_ok_and(|kind| matches!(kind, SocketType::SEQPACKET | SocketType::DGRAM));
    if unix && keeps {
        return Ok(socket);
    }
    Err(refused("the passed descriptor", "not a Unix socket of kind seqpacket or datagram"))
}

/// A socket that a client passed: a connected Unix socket of kind stream, or nothing.
pub fn passed_stream(socket: OwnedFd) -> Result<OwnedFd, Error> {
    use rustix::net::{AddressFamily, SocketType, sockopt};
    let unix = sockopt::socket_domain(&socket).is_ok_and(|domain| domain == AddressFamily::UNIX);
    let stream = sockopt::socket_type(&socket).is_ok_and(|kind| kind == SocketType::STREAM);
    if unix && stream && rustix::net::getpeername(&socket).is_ok() {
        return Ok(socket);
    }
    Err(refused("the passed descriptor", "not a connected Unix socket of kind stream"))
}

/// A path that stays where it is: no root, no `..`.
fn relative(name: &str) -> Result<&Path, Error> {
    let path = Path::new(name);
    let plain = path.components().all(|component| matches!(component, Component::Normal(_)));
    if name.is_empty() || name.len() > 1_024 || name.contains('\0') || !plain {
        return Err(refused(name, "expected a path relative to the server's directory, without .."));
    }
    Ok(path)
}

/// One name after the other, none of them a link: `openat2`, which does it at once, is not there under `RestrictSUIDSGID=`.
fn beneath(directory: &Path, path: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    let place = OFlags::PATH | OFlags::CLOEXEC;
    let mut at = open(directory, place | OFlags::DIRECTORY, Mode::empty())?;
    let mut names = path.components().filter(|component| matches!(component, Component::Normal(_))).peekable();
    while let Some(name) = names.next() {
        if names.peek().is_none() {
            return openat(at.as_fd(), name.as_os_str(), flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, mode);
        }
        at = openat(at.as_fd(), name.as_os_str(), place | OFlags::NOFOLLOW, Mode::empty())?;
        match FileType::from_raw_mode(fstat(&at)?.st_mode) {
            FileType::Directory => {}
            FileType::Symlink => return Err(Errno::LOOP),
            _ => return Err(Errno::NOTDIR),
        }
    }
    openat(at.as_fd(), ".", flags | OFlags::CLOEXEC, mode)
}

fn regular(file: OwnedFd) -> Result<OwnedFd, &'static str> {
    match fstat(&file) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => Ok(file),
        _ => Err("not a regular file"),
    }
}

fn why(error: Errno) -> String {
    match error {
        Errno::LOOP => "a symbolic link is on the way".to_string(),
        error => error.to_string(),
    }
}

fn refused(name: &str, what: &str) -> Error {
    let shown: String = name.chars().take(200).collect();
    ErrorCode::InvalParam.because(format_args!("file {shown:?}: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directories(at: &Path) -> Directories {
        Directories { media: vec![at.to_path_buf()], record: Some(at.to_path_buf()) }
    }

    fn temporary(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("tapid-files-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn only_what_lies_below_is_opened() {
        let root = temporary("below");
        std::fs::write(root.join("prompt.wav"), b"x").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.join("link.wav")).unwrap();
        std::fs::create_dir_all(root.join("sub")).unwrap();
        std::os::unix::fs::symlink("sub", root.join("away")).unwrap();
        std::fs::write(root.join("sub/prompt.wav"), b"x").unwrap();
        let directories = directories(&root);
        assert!(directories.open_media("prompt.wav").is_ok());
        assert!(directories.open_media("sub/prompt.wav").is_ok());
        for (name, what) in [
            ("../prompt.wav", "without .."),
            ("sub/../prompt.wav", "without .."),
            ("/etc/passwd", "without .."),
            ("", "without .."),
            ("link.wav", "symbolic link"),
            ("away/prompt.wav", "symbolic link"),
            ("prompt.wav/prompt.wav", "Not a directory"),
            ("none.wav", "No such file"),
            ("sub", "not a regular file"),
        ] {
            let error = directories.open_media(name).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalParam);
            assert!(error.message.contains(what), "{name}: {}", error.message);
        }
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_recording_is_a_new_file_and_goes_when_unused() {
        let root = temporary("new");
        let directories = directories(&root);
        let (_file, created) = directories.create_recording("call.wav").unwrap();
        let error = directories.create_recording("call.wav").unwrap_err();
        assert!(error.message.contains("exists"), "{}", error.message);
        created.remove();
        assert!(!root.join("call.wav").exists());
        std::fs::create_dir(root.join("today")).unwrap();
        let (_file, created) = directories.create_recording("today/call.wav").unwrap();
        assert!(root.join("today/call.wav").exists());
        created.remove();
        assert!(!root.join("today/call.wav").exists());
        std::fs::remove_dir_all(root).unwrap();
    }
}
