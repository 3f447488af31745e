//! A modem's transcript in a file: what crosses its AT port and what it is told to do, as docs/adding-a-modem.md has it.
//! A disk that does not answer never holds the modem up: lines that it does not take in time are left out.

use crate::config::TranscriptConfig;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use tapi::Time;
use tokio::sync::mpsc;
use tsp_modem::transcript::{Numbers, Recorder};
use tspi::{Input, Output};

/// A file grows to this size, in bytes; then it is the old one (`.old`), in place of the one before, and another begins.
const LARGEST: u64 = 4 << 20;

/// Pieces that may wait for the disk.
const WAITING: usize = 1_024;

/// A transcript that is being written.
#[derive(Debug)]
pub struct Transcript {
    recorder: Recorder,
    pieces: mpsc::Sender<String>,
    /// Pieces that were left out since the last one that was not.
    lost: u64,
}

impl Transcript {
    /// Begins one, behind what its file has already.
    pub fn begin(config: &TranscriptConfig) -> Transcript {
        let numbers = if config.numbers { Numbers::Kept } else { Numbers::Hidden };
        let (pieces, taken) = mpsc::channel(WAITING);
        let file = config.file.clone();
        // It ends when the modem's task lets go of the other end.
        tokio::task::spawn_blocking(move || {
            if let Err(error) = write(&file, taken) {
                tracing::error!(file = %file.display(), %error, "a transcript cannot be written");
            }
        });
        Transcript { recorder: Recorder::new(numbers), pieces, lost: 0 }
    }

    /// Before the modem has an input.
    pub fn input(&mut self, now: Time, input: &Input<'_>) {
        let text = self.recorder.input(now, input);
        self.add(text);
    }

    /// An output of the modem.
    pub fn output(&mut self, now: Time, output: &Output) {
        let text = self.recorder.output(now, output);
        self.add(text);
    }

    fn add(&mut self, text: String) {
        if text.is_empty() {
            return;
        }
        let text = if self.lost > 0 { format!("# {} entries are missing here\n{text}", self.lost) } else { text };
        match self.pieces.try_send(text) {
            Ok(()) => self.lost = 0,
            Err(_) => self.lost = self.lost.saturating_add(1),
        }
    }
}

fn write(path: &Path, mut pieces: mpsc::Receiver<String>) -> io::Result<()> {
    let (mut file, mut size) = open(path)?;
    while let Some(piece) = pieces.blocking_recv() {
        if size >= LARGEST {
            std::fs::rename(path, old(path))?;
            (file, size) = open(path)?;
        }
        file.write_all(piece.as_bytes())?;
        size = size.saturating_add(piece.len() as u64);
    }
    Ok(())
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

fn old(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".old");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[tokio::test]
    async fn a_transcript_is_in_its_file_without_numbers_and_does_not_grow_for_ever() {
        let file = std::env::temp_dir().join(format!("tapid-transcript-{}", std::process::id()));
        std::fs::write(&file, vec![b'#'; usize::try_from(LARGEST).unwrap()]).unwrap();
        let mut transcript = Transcript::begin(&TranscriptConfig { file: file.clone(), numbers: false });
        let bytes = b"ATDT4930123456\r".to_vec();
        transcript.output(Time(1_000), &Output::Write { port: tsp_modem::AT_PORT, bytes });
        transcript.input(Time(2_000), &Input::Bytes { port: tsp_modem::AT_PORT, bytes: b"\r\nNO CARRIER\r\n" });
        let deadline = Instant::now() + Duration::from_secs(20);
        let text = loop {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            if text.contains("NO CARRIER") || Instant::now() > deadline {
                break text;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let before = std::fs::metadata(old(&file)).map(|about| about.len()).unwrap_or_default();
        drop((std::fs::remove_file(&file), std::fs::remove_file(old(&file))));
        assert!(text.contains("> ATDT") && text.contains("NO CARRIER") && !text.contains("4930123456"), "{text}");
        assert_eq!(before, LARGEST);
    }
}
