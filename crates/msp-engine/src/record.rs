//! Writing recordings, on a thread of its own: WAV, 8 kHz, received left and sent right.

use crate::index::Index;
use crate::shard::FileResult;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, ErrorKind, Seek};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::sync::mpsc::Receiver;
use tapi::{End, OperationId};
use tspi::media::{FRAME_SAMPLES, Frame};

/// Frames after which the header is made to fit what was written, so that a killed daemon leaves a readable file.
const FLUSH_FRAMES: u64 = 50;
/// A WAV file's length is a number of 32 bits.
const MAX_FRAMES: u64 = (u32::MAX as u64 - 1024) / 640;

/// Something to do for a recording.
#[allow(clippy::large_enum_variant, reason = "frames are moved once and never allocated")]
#[derive(Debug)]
pub(crate) enum Job {
    Begin {
        operation: OperationId,
        file: OwnedFd,
    },
    Frame {
        operation: OperationId,
        received: Frame,
        sent: Frame,
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
            Job::Begin { operation, .. } | Job::Frame { operation, .. } | Job::Finish { operation } => *operation,
        }
    }
}

struct Recording {
    writer: hound::WavWriter<BufWriter<File>>,
    frames: u64,
}

/// Writes until the engine ends; what is open then is completed.
pub(crate) fn run(jobs: &Receiver<Job>, index: &Index) {
    let mut open: BTreeMap<OperationId, Result<Recording, End>> = BTreeMap::new();
    for job in jobs {
        let (operation, failed) = match job {
            Job::Begin { operation, file } => {
                let recording = Recording::new(File::from(file)).map_err(|error| end_of(operation, &error));
                let failed = recording.as_ref().err().cloned();
                open.insert(operation, recording);
                (operation, failed)
            }
            Job::Frame { operation, received, sent } => {
                let Some(state) = open.get_mut(&operation) else { continue };
                let Ok(recording) = state else { continue };
                let failed = recording.write(&received, &sent).err().map(|error| end_of(operation, &error));
                if let Some(end) = &failed {
                    *state = Err(end.clone());
                }
                (operation, failed)
            }
            Job::Finish { operation } => {
                let failed = match open.remove(&operation) {
                    Some(Ok(recording)) => recording.writer.finalize().err().map(|error| end_of(operation, &error)),
                    Some(Err(end)) => Some(end),
                    None => None,
                };
                index.tell_all(&FileResult::Written(operation, failed));
                continue;
            }
        };
        if let Some(end) = failed {
            index.tell_all(&FileResult::WriteFailed(operation, end));
        }
    }
    for (operation, recording) in open {
        if let Ok(recording) = recording
            && let Err(error) = recording.writer.finalize()
        {
            end_of(operation, &error);
        }
    }
}

impl Recording {
    fn new(mut file: File) -> hound::Result<Recording> {
        let kind = file.metadata()?.file_type();
        if kind.is_fifo() || kind.is_socket() {
            return Err(std::io::Error::from(ErrorKind::InvalidInput).into());
        }
        file.rewind()?;
        if kind.is_file() {
            file.set_len(0)?;
        }
        let spec = hound::WavSpec {
            channels: 2,
            sample_rate: 8000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::new(BufWriter::with_capacity(1 << 16, file), spec)?;
        writer.flush()?;
        Ok(Recording { writer, frames: 0 })
    }

    fn write(&mut self, received: &Frame, sent: &Frame) -> hound::Result<()> {
        if self.frames >= MAX_FRAMES {
            return Err(hound::Error::TooWide);
        }
        // All at once: sample by sample the library looks at its format each time.
        let mut samples = self.writer.get_i16_writer(2 * FRAME_SAMPLES as u32);
        for (left, right) in received.0.iter().zip(sent.0) {
            samples.write_sample(*left);
            samples.write_sample(right);
        }
        samples.flush()?;
        self.frames += 1;
        if self.frames.is_multiple_of(FLUSH_FRAMES) {
            self.writer.flush()?;
        }
        Ok(())
    }
}

fn end_of(operation: OperationId, error: &hound::Error) -> End {
    tracing::warn!(operation = operation.0, %error, "recording cannot be written");
    match error {
        hound::Error::IoError(io)
            if matches!(io.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge) =>
        {
            End::DiskFull
        }
        _ => End::Failed,
    }
}
