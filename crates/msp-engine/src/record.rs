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
use tspi::media::FRAME_SAMPLES;

/// Channels of a recording.
const CHANNELS: u16 = 2;
/// Octets of a header.
const HEADER: usize = 44;
/// A WAV file's length is a number of 32 bits.
const MAX_OCTETS: u32 = u32::MAX - 1024;

/// Something to do for a recording.
#[derive(Debug)]
pub(crate) enum Job {
    Begin {
        operation: OperationId,
        file: OwnedFd,
    },
    /// Samples of both channels by turns.
    Samples {
        operation: OperationId,
        samples: Vec<i16>,
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
            Job::Begin { operation, .. } | Job::Samples { operation, .. } | Job::Finish { operation } => *operation,
        }
    }
}

/// Frames of 20 ms in samples of both channels.
pub(crate) fn frames(samples: &[i16]) -> u64 {
    (samples.len() / (usize::from(CHANNELS) * FRAME_SAMPLES)) as u64
}

struct Recording {
    file: File,
    rate: u32,
    /// Octets of audio so far.
    octets: u32,
}

/// Writes until the engine ends; what is open then is complete already.
pub(crate) fn run(jobs: &Receiver<Job>, index: &Index) {
    let mut open: BTreeMap<OperationId, Result<Recording, End>> = BTreeMap::new();
    let mut room = Vec::new();
    for job in jobs {
        let (operation, failed) = match job {
            Job::Begin { operation, file } => {
                let recording = Recording::new(File::from(file), 8000).map_err(|error| end_of(operation, &error));
                let failed = recording.as_ref().err().cloned();
                open.insert(operation, recording);
                (operation, failed)
            }
            Job::Samples { operation, samples } => {
                let Some(state) = open.get_mut(&operation) else { continue };
                let Ok(recording) = state else { continue };
                let failed = recording.write(&samples, &mut room).err().map(|error| end_of(operation, &error));
                if let Some(end) = &failed {
                    *state = Err(end.clone());
                }
                (operation, failed)
            }
            Job::Finish { operation } => {
                let failed = open.remove(&operation).and_then(Result::err);
                index.tell_all(&FileResult::Written(operation, failed));
                continue;
            }
        };
        if let Some(end) = failed {
            index.tell_all(&FileResult::WriteFailed(operation, end));
        }
    }
}

impl Recording {
    fn new(file: File, rate: u32) -> io::Result<Recording> {
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
    fn write(&mut self, samples: &[i16], room: &mut Vec<u8>) -> io::Result<()> {
        room.clear();
        room.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        let octets = u32::try_from(room.len()).ok().and_then(|more| self.octets.checked_add(more));
        let octets = octets.filter(|octets| *octets <= MAX_OCTETS).ok_or(io::ErrorKind::FileTooLarge)?;
        self.file.write_all_at(room, HEADER as u64 + u64::from(self.octets))?;
        self.octets = octets;
        self.write_header()
    }

    fn write_header(&self) -> io::Result<()> {
        let block = CHANNELS * 2;
        let words = [36 + self.octets, 16, self.rate, self.rate * u32::from(block), self.octets].map(u32::to_le_bytes);
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
        for rate in [8000, 16_000] {
            let file = memory();
            let mut recording = Recording::new(file.try_clone().unwrap(), rate).unwrap();
            for second in 0..4u32 {
                let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
                let mut reader = hound::WavReader::open(path).unwrap();
                assert_eq!((reader.spec().sample_rate, reader.spec().channels), (rate, 2));
                assert_eq!(reader.duration(), second * rate);
                assert!(reader.samples::<i16>().map(Result::unwrap).eq((0..second * rate * 2).map(|n| n as i16)));
                let samples: Vec<i16> = (0..rate * 2).map(|n| (second * rate * 2 + n) as i16).collect();
                recording.write(&samples, &mut Vec::new()).unwrap();
            }
        }
    }

    #[test]
    fn a_file_of_four_gigabytes_ends_a_recording() {
        let mut recording = Recording { file: File::open("/dev/null").unwrap(), rate: 8000, octets: MAX_OCTETS - 2 };
        let error = recording.write(&[0, 0], &mut Vec::new()).unwrap_err();
        assert_eq!(end_of(OperationId(1), &error), End::DiskFull);
    }
}
