//! Writing recordings, on a thread of its own: WAV, received left and sent right.
//!
//! A second of audio is one write and a new header is another, so a daemon that is killed leaves a file that can be read.

use crate::index::Index;
use crate::shard::FileResult;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::sync::mpsc::Receiver;
use tapi::{End, OperationId};
use tspi::media::{FRAME_SAMPLES, Rate};

/// Channels of a recording.
const CHANNELS: u16 = 2;
/// Octets of a header.
const HEADER: u64 = 44;
/// A WAV file's length is a number of 32 bits.
const MAX_OCTETS: u32 = u32::MAX - 1024;

/// Something to do for a recording.
#[derive(Debug)]
pub(crate) enum Job {
    Begin {
        operation: OperationId,
        file: OwnedFd,
        rate: Rate,
    },
    /// Samples of both channels by turns, as they are written.
    Audio {
        operation: OperationId,
        octets: Vec<u8>,
    },
    /// Answered by [`FileResult::Written`].
    Finish {
        operation: OperationId,
    },
}

impl Job {
    /// Of which recording.
    pub(crate) fn operation(&self) -> OperationId {
        match self {
            Job::Begin { operation, .. } | Job::Audio { operation, .. } | Job::Finish { operation } => *operation,
        }
    }
}

/// Frames of 20 ms at 8 kHz in audio of both channels.
pub(crate) fn frames(octets: &[u8]) -> u64 {
    (octets.len() / (2 * usize::from(CHANNELS) * FRAME_SAMPLES)) as u64
}

/// Why a recording could not go on, and what of it can be read.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) end: End,
    /// Milliseconds, where that is known.
    pub(crate) kept: Option<u64>,
}

struct Recording {
    file: File,
    rate: Rate,
    /// Octets of audio so far.
    octets: u32,
}

/// Writes until the engine ends; what is open then is complete already.
pub(crate) fn run(jobs: &Receiver<Job>, index: &Index) {
    let mut open: BTreeMap<OperationId, Result<Recording, Failure>> = BTreeMap::new();
    for job in jobs {
        let (operation, failed) = match job {
            Job::Begin { operation, file, rate } => {
                let recording = Recording::new(File::from(file), rate)
                    .map_err(|error| Failure { end: end_of(operation, &error), kept: Some(0) });
                let failed = recording.as_ref().err().cloned();
                open.insert(operation, recording);
                (operation, failed)
            }
            Job::Audio { operation, octets } => {
                let Some(state) = open.get_mut(&operation) else { continue };
                let Ok(recording) = state else { continue };
                let failed = recording
                    .write(&octets)
                    .err()
                    .map(|error| Failure { end: end_of(operation, &error), kept: Some(recording.keep()) });
                if let Some(failure) = &failed {
                    *state = Err(failure.clone());
                }
                (operation, failed)
            }
            Job::Finish { operation } => {
                let failed = open.remove(&operation).and_then(Result::err);
                index.tell_all(&FileResult::Written(operation, failed));
                continue;
            }
        };
        if let Some(Failure { end, .. }) = failed {
            index.tell_all(&FileResult::WriteFailed(operation, end));
        }
    }
}

impl Recording {
    fn new(file: File, rate: Rate) -> io::Result<Recording> {
        let kind = file.metadata()?.file_type();
        if kind.is_fifo() || kind.is_socket() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if kind.is_file() {
            file.set_len(0)?;
        }
        let recording = Recording { file, rate, octets: 0 };
        recording.write_header()?;
        Ok(recording)
    }

    /// Adds audio, then tells of it in the header: in this order the file can be read at any time.
    fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        let all = u32::try_from(octets.len()).ok().and_then(|more| self.octets.checked_add(more));
        let all = all.filter(|all| *all <= MAX_OCTETS).ok_or(io::ErrorKind::FileTooLarge)?;
        self.file.write_all_at(octets, HEADER + u64::from(self.octets))?;
        self.octets = all;
        self.write_header()
    }

    /// Keeps what of the last block had room, where writing failed in its middle; milliseconds of all that is kept.
    fn keep(&mut self) -> u64 {
        let there = self.file.metadata().map_or(0, |metadata| metadata.len().saturating_sub(HEADER));
        let block = u32::from(CHANNELS) * 2;
        let whole = u32::try_from(there).unwrap_or(MAX_OCTETS).min(MAX_OCTETS) / block * block;
        let before = std::mem::replace(&mut self.octets, whole);
        if self.write_header().is_err() {
            self.octets = before;
        }
        u64::from(self.octets) * 1_000 / u64::from(self.rate.hz() * block)
    }

    fn write_header(&self) -> io::Result<()> {
        let (rate, block) = (self.rate.hz(), CHANNELS * 2);
        let words = [36 + self.octets, 16, rate, rate * u32::from(block), self.octets].map(u32::to_le_bytes);
        let [all, format, rate, speed, audio] = &words;
        // PCM, so many channels; so many octets for a sample of all, so many bits for one of each.
        let [pcm, channels, block, bits] = &[1, CHANNELS, block, 16].map(u16::to_le_bytes);
        let parts: [&[u8]; 13] =
            [b"RIFF", all, b"WAVE", b"fmt ", format, pcm, channels, rate, speed, block, bits, b"data", audio];
        self.file.write_all_at(&parts.concat(), 0)
    }
}

fn end_of(operation: OperationId, error: &io::Error) -> End {
    tracing::warn!(operation = operation.0, %error, "recording cannot be written");
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => End::DiskFull,
        _ => End::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_can_be_read_after_every_second() {
        let memory = || File::from(nix::sys::memfd::memfd_create(c"wav", nix::sys::memfd::MFdFlags::empty()).unwrap());
        for rate in [Rate::Narrow, Rate::Wide] {
            let file = memory();
            let mut recording = Recording::new(file.try_clone().unwrap(), rate).unwrap();
            let rate = rate.hz();
            for second in 0..4u32 {
                let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
                let mut reader = hound::WavReader::open(path).unwrap();
                assert_eq!((reader.spec().sample_rate, reader.spec().channels), (rate, 2));
                assert_eq!(reader.duration(), second * rate);
                assert!(reader.samples::<i16>().map(Result::unwrap).eq((0..second * rate * 2).map(|n| n as i16)));
                let sample = |n: u32| ((second * rate * 2 + n) as i16).to_le_bytes();
                recording.write(&(0..rate * 2).flat_map(sample).collect::<Vec<u8>>()).unwrap();
            }
        }
    }

    #[test]
    fn what_of_a_block_had_room_is_kept() {
        use nix::fcntl::{FcntlArg, SealFlag, fcntl};
        use nix::sys::memfd::{MFdFlags, memfd_create};
        let file = File::from(memfd_create(c"wav", MFdFlags::MFD_ALLOW_SEALING).unwrap());
        let mut recording = Recording::new(file.try_clone().unwrap(), Rate::Narrow).unwrap();
        recording.write(&[1; 3_200]).unwrap();
        // Half of the next block was written when there was no more room, and one octet of a sample.
        file.write_all_at(&[2; 1_601], HEADER + 3_200).unwrap();
        fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_GROW)).unwrap();
        assert!(recording.write(&[2; 3_200]).is_err());
        assert_eq!(recording.keep(), 150);
        let reader = hound::WavReader::open(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file)));
        assert_eq!(reader.unwrap().duration(), 1_200);
    }

    #[test]
    fn a_file_of_four_gigabytes_ends_a_recording() {
        let mut recording =
            Recording { file: File::open("/dev/null").unwrap(), rate: Rate::Narrow, octets: MAX_OCTETS - 2 };
        let error = recording.write(&[0; 4]).unwrap_err();
        assert_eq!(end_of(OperationId(1), &error), End::DiskFull);
    }
}
