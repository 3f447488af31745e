//! Reading files to play, on a thread of its own: WAV of 16 bits, mono or stereo, to 8 kHz mono.

use crate::shard::{Message, Waker};
use std::f64::consts::PI;
use std::fs::File;
use std::io::BufReader;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use tapi::OperationId;

const RATE: u32 = 8000;
/// Seconds that are played at most.
const MAX_SECONDS: u32 = 30 * 60;
/// Highest rate, in multiples of ours.
const MAX_FACTOR: u32 = 6;
/// Coefficients of the low-pass on either side of its middle, for each multiple.
const HALF_TAPS: usize = 24;
/// Where the low-pass is halfway, in hertz.
const CUT_OFF: f64 = 3_700.0;

/// A file to read.
#[derive(Debug)]
pub(crate) struct Job {
    pub operation: OperationId,
    pub file: OwnedFd,
}

/// Why a file is not played.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error("not a regular file")]
    NotAFile,
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Wav(#[from] hound::Error),
    #[error(
        "{channels} channels of {bits} bits at {rate} Hz: 1 or 2 of 16 bits at a multiple of 8000 Hz up to 48000 are played"
    )]
    Format { channels: u16, bits: u16, rate: u32 },
    #[error("longer than 30 minutes")]
    TooLong,
}

/// Reads file after file until the engine ends.
pub(crate) fn run(jobs: &Receiver<Job>, results: &Sender<Message>, waker: &Waker) {
    for Job { operation, file } in jobs {
        let samples = samples(File::from(file));
        if let Err(error) = &samples {
            tracing::warn!(operation = operation.0, %error, "file cannot be played");
        }
        if results.send(Message::Loaded(operation, samples.ok())).is_err() {
            return;
        }
        waker.wake();
    }
}

/// The samples of a WAV file, at 8 kHz, mono.
pub(crate) fn samples(mut file: File) -> Result<Arc<[i16]>, LoadError> {
    use std::io::Seek;
    // A pipe could keep everybody else's files waiting.
    if !file.metadata()?.is_file() {
        return Err(LoadError::NotAFile);
    }
    file.rewind()?;
    let mut reader = hound::WavReader::new(BufReader::with_capacity(1 << 16, file))?;
    let hound::WavSpec { channels, sample_rate: rate, bits_per_sample: bits, sample_format } = reader.spec();
    let factor = rate / RATE;
    let known = sample_format == hound::SampleFormat::Int && bits == 16 && (1..=2).contains(&channels);
    if !known || rate % RATE != 0 || !(1..=MAX_FACTOR).contains(&factor) {
        return Err(LoadError::Format { channels, bits, rate });
    }
    if reader.duration() > rate * MAX_SECONDS {
        return Err(LoadError::TooLong);
    }
    let mut decimator = Decimator::new(factor as usize);
    let mut output = Vec::with_capacity((reader.duration() / factor) as usize + 1);
    let mut samples = reader.samples::<i16>();
    while let Some(first) = samples.next() {
        let mut sample = f64::from(first?);
        if channels == 2 {
            let Some(second) = samples.next() else { break };
            sample = (sample + f64::from(second?)) / 2.0;
        }
        output.extend(decimator.push(sample));
    }
    output.extend(decimator.rest());
    Ok(output.into())
}

/// A low-pass that gives one sample for every so many: a windowed sinc.
struct Decimator {
    factor: usize,
    taps: Vec<f64>,
    /// The last samples, twice, so that they lie in one piece wherever the oldest is.
    past: Vec<f64>,
    next: usize,
    phase: usize,
    /// Samples to swallow before the first that is given: the filter's own delay.
    delay: usize,
}

impl Decimator {
    fn new(factor: usize) -> Decimator {
        let half = if factor == 1 { 0 } else { HALF_TAPS * factor };
        let length = 2 * half + 1;
        let turn = 2.0 * CUT_OFF / (f64::from(RATE) * factor as f64);
        let mut taps: Vec<f64> = (0..length)
            .map(|n| {
                let x = n as f64 - half as f64;
                let sinc = if x == 0.0 { turn } else { (PI * turn * x).sin() / (PI * x) };
                // Blackman's window.
                let w = PI * (x / (half as f64 + 1.0) + 1.0);
                sinc * (0.42 - 0.5 * w.cos() + 0.08 * (2.0 * w).cos())
            })
            .collect();
        let gain: f64 = taps.iter().sum();
        taps.iter_mut().for_each(|tap| *tap /= gain);
        Decimator { factor, taps, past: vec![0.0; 2 * length], next: 0, phase: 0, delay: half }
    }

    fn push(&mut self, sample: f64) -> Option<i16> {
        let length = self.taps.len();
        self.past[self.next] = sample;
        self.past[self.next + length] = sample;
        self.next = (self.next + 1) % length;
        if self.delay > 0 {
            self.delay -= 1;
            return None;
        }
        let due = self.phase == 0;
        self.phase = (self.phase + 1) % self.factor;
        if !due {
            return None;
        }
        let window = &self.past[self.next..self.next + length];
        let sum: f64 = window.iter().zip(&self.taps).map(|(sample, tap)| sample * tap).sum();
        Some(sum.round().clamp(-32_767.0, 32_767.0) as i16)
    }

    /// What the filter still holds.
    fn rest(&mut self) -> Vec<i16> {
        let held = (self.taps.len() - 1) / 2;
        (0..held).filter_map(|_| self.push(0.0)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use msp_rtp::tone::Meter;
    use std::io::Write;
    use tspi::media::Frame;

    fn wav(channels: u16, rate: u32, hz: f64, seconds: u32) -> File {
        let mut bytes = std::io::Cursor::new(Vec::new());
        let spec = hound::WavSpec {
            channels,
            sample_rate: rate,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
        for n in 0..rate * seconds {
            let sample = 7218.0 * (2.0 * PI * hz * f64::from(n) / f64::from(rate)).sin();
            for _ in 0..channels {
                writer.write_sample(sample as i16).unwrap();
            }
        }
        writer.finalize().unwrap();
        file_of(&bytes.into_inner())
    }

    fn file_of(bytes: &[u8]) -> File {
        let memory = nix::sys::memfd::memfd_create(c"wav", nix::sys::memfd::MFdFlags::empty()).unwrap();
        let mut file = File::from(memory);
        file.write_all(bytes).unwrap();
        file
    }

    fn level(samples: &[i16], hz: u32) -> i32 {
        let mut meter = Meter::new(&[hz]);
        let frames = samples[1600..].chunks_exact(160).map(|chunk| Frame(chunk.try_into().unwrap()));
        frames.filter_map(|frame| meter.frame(&frame)).next().unwrap().tones[0].level_ddbm0
    }

    #[test]
    fn every_rate_keeps_length_and_level_and_what_would_fold_is_gone() {
        for rate in [8000, 16_000, 24_000, 32_000, 48_000] {
            for channels in [1, 2] {
                let heard = samples(wav(channels, rate, 1000.0, 1)).unwrap();
                assert_eq!(heard.len(), 8000, "{rate} Hz, {channels} channels");
                let level = level(&heard, 1000);
                assert!((level + 100).abs() <= 2, "{rate} Hz, {channels} channels: {level}");
            }
        }
        // 5 kHz would come out as 3 kHz.
        for rate in [16_000, 48_000] {
            let folded = level(&samples(wav(1, rate, 5000.0, 1)).unwrap(), 3000);
            assert!(folded < -600, "{rate} Hz: {folded}");
        }
    }

    #[test]
    fn what_cannot_be_played_is_refused() {
        assert!(matches!(samples(wav(1, 44_100, 440.0, 1)), Err(LoadError::Format { .. })));
        assert!(matches!(samples(wav(3, 8000, 440.0, 1)), Err(LoadError::Format { .. })));
        assert!(matches!(samples(file_of(b"RIFF is not all of it")), Err(LoadError::Wav(_))));
        assert!(matches!(samples(File::open("/dev/zero").unwrap()), Err(LoadError::NotAFile)));
        assert!(matches!(samples(wav(1, 8000, 440.0, MAX_SECONDS + 1)), Err(LoadError::TooLong)));
    }
}
