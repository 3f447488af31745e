//! What outlives a crash: entries in a memory file that the service manager keeps.
//!
//! Entries are appended with one `write` for all that one input changed, and a changed entry stands again behind its
//! older value. When what is outdated outweighs the rest, whoever owns the journal begins a new file. The kernel keeps
//! the file's pages when the process dies, and a record that was cut short is told by its checksum.

use crate::store;
use rustix::fs::{MemfdFlags, SeekFrom, memfd_create, seek};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

/// What every journal begins with: magic and version. One more whenever an entry changes its form.
const MAGIC: [u8; 8] = *b"tapidjr\x02";

/// Length of a record's head: length, kind, number, checksum.
const HEAD: usize = 4 + 1 + 8 + 4;

/// Length that says that the entry is gone.
const GONE: u32 = u32::MAX;

/// A file below this size is not begun anew.
const SMALL: u64 = 4 << 20;

/// The entry that says when the process was recovered lately.
pub const RECOVERIES: Key = (u8::MAX, 0);

/// Name of an entry: its kind and its number.
pub type Key = (u8, u64);

/// What is read: number of the file, and its entries.
type Entries = (u64, BTreeMap<Key, Vec<u8>>);

/// A journal that is written.
#[derive(Debug)]
pub struct Journal {
    name: String,
    /// Number of the present file: two names in the store take turns, and the higher number is the newer.
    turn: u64,
    file: File,
    length: u64,
    /// Length of each entry's latest value.
    latest: BTreeMap<Key, u32>,
    needed: u64,
    buffer: Vec<u8>,
    recoveries: Vec<u8>,
}

impl Journal {
    /// An empty one, in the service manager's store under `name`, in place of an earlier one. `None` where there is no store.
    /// `recoveries` is when the process came back lately.
    pub fn begin(name: &str, recoveries: &[u64]) -> io::Result<Option<Journal>> {
        if !store::present() {
            return Ok(None);
        }
        let mut journal = Journal::new(name, 0)?;
        journal.recoveries = serde_json::to_vec(recoveries).map_err(io::Error::other)?;
        journal.note_recoveries();
        journal.flush()?;
        store::let_go_of_journal(name);
        journal.keep()?;
        Ok(Some(journal))
    }

    fn new(name: &str, turn: u64) -> io::Result<Journal> {
        Ok(Journal {
            name: name.to_string(),
            turn,
            file: file(turn)?,
            length: (MAGIC.len() + 8) as u64,
            latest: BTreeMap::new(),
            needed: 0,
            buffer: Vec::new(),
            recoveries: Vec::new(),
        })
    }

    fn stored(&self) -> String {
        format!("{}{}-{}", store::JOURNAL, if self.turn.is_multiple_of(2) { "a" } else { "b" }, self.name)
    }

    fn keep(&mut self) -> io::Result<()> {
        store::keep(&self.stored(), &[self.file.as_fd()])
    }

    fn note_recoveries(&mut self) {
        let recoveries = std::mem::take(&mut self.recoveries);
        self.put(RECOVERIES, Some(&recoveries));
        self.recoveries = recoveries;
    }

    /// Takes an entry, or that it is gone; [`Journal::flush`] writes.
    pub fn put(&mut self, key: Key, value: Option<&[u8]>) {
        let length = value.map_or(GONE, |value| u32::try_from(value.len()).unwrap_or(GONE));
        let before = match value {
            Some(_) => self.latest.insert(key, length),
            None => self.latest.remove(&key),
        };
        self.needed = self.needed.saturating_sub(before.map_or(0, u64::from)) + value.map_or(0, |_| u64::from(length));
        let value = value.unwrap_or_default();
        self.buffer.extend_from_slice(&length.to_le_bytes());
        self.buffer.push(key.0);
        self.buffer.extend_from_slice(&key.1.to_le_bytes());
        self.buffer.extend_from_slice(&checksum(length, key, value).to_le_bytes());
        self.buffer.extend_from_slice(value);
    }

    /// Writes what was put, in one piece.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.file.write_all(&self.buffer)?;
        self.length += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Whether most of it is outdated: time to [`Journal::renew`] it.
    pub fn is_stale(&self) -> bool {
        self.length > SMALL && self.length > 4 * (self.needed + (HEAD * self.latest.len()) as u64)
    }

    /// Begins a new file; `write` puts every entry into it. The old one is let go once the new one is kept.
    pub fn renew(&mut self, write: impl FnOnce(&mut Journal)) -> io::Result<()> {
        let mut next = Journal::new(&self.name, self.turn + 1)?;
        next.recoveries = std::mem::take(&mut self.recoveries);
        next.note_recoveries();
        write(&mut next);
        next.flush()?;
        next.keep()?;
        store::let_go(&self.stored());
        *self = next;
        Ok(())
    }
}

fn file(turn: u64) -> io::Result<File> {
    let mut file = File::from(memfd_create("tapid-journal", MemfdFlags::CLOEXEC)?);
    file.write_all(&MAGIC)?;
    file.write_all(&turn.to_le_bytes())?;
    Ok(file)
}

/// FNV-1a over words of eight bytes in place of bytes, folded to 32 bits: against a record that was cut short, and cheap,
/// since every change of every call pays for it.
fn checksum(length: u32, key: Key, value: &[u8]) -> u32 {
    let step = |sum: u64, word: u64| (sum ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    let head = step(step(0xcbf2_9ce4_8422_2325, u64::from(length) << 8 | u64::from(key.0)), key.1);
    let (words, rest) = value.as_chunks::<8>();
    let sum = words.iter().fold(head, |sum, word| step(sum, u64::from_le_bytes(*word)));
    let sum = rest.iter().fold(sum, |sum, byte| step(sum, u64::from(*byte)));
    (sum ^ (sum >> 32)) as u32
}

/// The latest value of every entry of the newest of these journals, by kind and number.
pub fn read_newest(descriptors: Vec<OwnedFd>) -> io::Result<BTreeMap<Key, Vec<u8>>> {
    let mut newest = Err(io::Error::other("there is no journal"));
    for descriptor in descriptors {
        let read = read(descriptor);
        let turn = |read: &io::Result<Entries>| read.as_ref().map_or(None, |(turn, _)| Some(*turn));
        if turn(&read) >= turn(&newest) {
            newest = read;
        }
    }
    newest.map(|(_, entries)| entries)
}

fn read(descriptor: OwnedFd) -> io::Result<Entries> {
    seek(&descriptor, SeekFrom::Start(0))?;
    let mut bytes = Vec::new();
    File::from(descriptor).read_to_end(&mut bytes)?;
    let other = || io::Error::other("it is no journal of this version");
    let (turn, mut rest) = bytes.strip_prefix(&MAGIC).and_then(|rest| rest.split_first_chunk()).ok_or_else(other)?;
    let mut entries = BTreeMap::new();
    while let Some(((key, value), behind)) = record(rest) {
        match value {
            Some(value) => drop(entries.insert(key, value.to_vec())),
            None => drop(entries.remove(&key)),
        }
        rest = behind;
    }
    if !rest.is_empty() {
        tracing::warn!(bytes = rest.len(), "the last record of a journal was cut short");
    }
    Ok((u64::from_le_bytes(*turn), entries))
}

/// An entry's key, and its value unless it is gone.
type Record<'a> = (Key, Option<&'a [u8]>);

/// The first record, and what stands behind it; `None` when there is no whole one.
fn record(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    let length = u32::from_le_bytes(head.get(..4)?.try_into().ok()?);
    let key = (*head.get(4)?, u64::from_le_bytes(head.get(5..13)?.try_into().ok()?));
    let sum = u32::from_le_bytes(head.get(13..17)?.try_into().ok()?);
    let (value, rest) = if length == GONE { (&[][..], rest) } else { rest.split_at_checked(length as usize)? };
    (checksum(length, key, value) == sum).then_some(((key, (length != GONE).then_some(value)), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(journal: &Journal) -> BTreeMap<Key, Vec<u8>> {
        read(journal.file.as_fd().try_clone_to_owned().unwrap()).unwrap().1
    }

    #[test]
    fn the_latest_value_of_each_entry_is_read_and_what_is_gone_is_not() {
        let mut journal = Journal::new("test", 0).unwrap();
        journal.put((3, 1), Some(b"one"));
        journal.put((3, 2), Some(b"two"));
        journal.flush().unwrap();
        journal.put((3, 1), Some(b"another"));
        journal.put((3, 2), None);
        journal.put((0, 0), Some(b""));
        journal.flush().unwrap();
        assert_eq!(entries(&journal), BTreeMap::from([((3, 1), b"another".to_vec()), ((0, 0), Vec::new())]));
    }

    #[test]
    fn what_the_crash_cut_short_takes_nothing_else_with_it() {
        let mut journal = Journal::new("test", 0).unwrap();
        journal.put((1, 1), Some(b"whole"));
        journal.put((1, 2), Some(b"cut short"));
        let whole = journal.buffer.clone();
        for cut in 0..whole.len() {
            let mut file = file(0).unwrap();
            file.write_all(&whole[..cut]).unwrap();
            let (_, read) = read(file.into()).unwrap();
            assert!(read.len() <= 1 && !read.contains_key(&(1, 2)), "cut at {cut}");
            assert_eq!(read.contains_key(&(1, 1)), cut >= HEAD + 5, "cut at {cut}");
        }
        assert!(read(File::from(memfd_create("other", MemfdFlags::CLOEXEC).unwrap()).into()).is_err());
    }

    #[test]
    fn a_journal_of_outdated_entries_is_stale() {
        let mut journal = Journal::new("test", 0).unwrap();
        let value = vec![b'x'; 1 << 16];
        for _ in 0..80 {
            assert!(!journal.is_stale() || journal.length > SMALL);
            journal.put((1, 1), Some(&value));
            journal.flush().unwrap();
        }
        assert!(journal.is_stale());
        let mut all = Journal::new("test", 0).unwrap();
        for number in 0..80 {
            all.put((1, number), Some(&value));
        }
        all.flush().unwrap();
        assert!(!all.is_stale(), "all of it is needed");
    }
}
