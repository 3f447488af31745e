//! Reading files to play, on a thread of its own: WAV of 16 bits, mono or stereo, to mono at 8 kHz or 16 kHz.

use crate::index::Index;
use crate::shard::FileResult;
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler};
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use tapi::OperationId;
use tspi::media::Rate;

/// Seconds that are played at most.
const MAX_SECONDS: u32 = 30 * 60;
/// Rates of files, in hertz.
const RATES: [u32; 8] = [8000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000];
/// Samples that are resampled at once: the longer, the steeper the filter.
const CHUNK: usize = 1024;
/// Octets that are read at once.
const PIECE: usize = 1 << 16;

/// A file to read.
#[derive(Debug)]
pub(crate) struct Job {
    pub operation: OperationId,
    pub file: OwnedFd,
    /// The highest rate that is of use.
    pub rate: Rate,
}

/// What a file holds.
pub(crate) type Loaded = (Arc<[i16]>, Rate);

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
        "{channels} channels of {bits} bits at {rate} Hz: 1 or 2 of 16 bits at 8, 11.025, 16, 22.05, 24, 32, 44.1 or 48 kHz are played"
    )]
    Format { channels: u16, bits: u16, rate: u32 },
    #[error("resampling: {0}")]
    Resample(String),
    #[error("longer than 30 minutes")]
    TooLong,
}

/// Reads file after file until the engine ends.
pub(crate) fn run(jobs: &Receiver<Job>, index: &Index) {
    for Job { operation, file, rate } in jobs {
        let samples = samples(File::from(file), rate);
        if let Err(error) = &samples {
            tracing::warn!(operation = operation.0, %error, "file cannot be played");
        }
        index.tell_all(&FileResult::Loaded(operation, samples.ok()));
    }
}

/// The samples of a WAV file, mono: at this rate where the file's is as high, else at 8 kHz.
pub(crate) fn samples(mut file: File, most: Rate) -> Result<Loaded, LoadError> {
    // A pipe could keep everybody else's files waiting.
    if !file.metadata()?.is_file() {
        return Err(LoadError::NotAFile);
    }
    file.rewind()?;
    let reader = hound::WavReader::new(BufReader::with_capacity(1 << 16, file))?;
    let hound::WavSpec { channels, sample_rate: rate, bits_per_sample: bits, sample_format } = reader.spec();
    let known = sample_format == hound::SampleFormat::Int && bits == 16 && (1..=2).contains(&channels);
    if !known || !RATES.contains(&rate) {
        return Err(LoadError::Format { channels, bits, rate });
    }
    if reader.duration() > rate * MAX_SECONDS {
        return Err(LoadError::TooLong);
    }
    let to = if rate > Rate::Narrow.hz() { most } else { Rate::Narrow };
    let length = u64::from(reader.duration()) * u64::from(to.hz()) / u64::from(rate);
    let mut output = Vec::with_capacity(usize::try_from(length).unwrap_or(0) + CHUNK);
    let mut resampler = if rate == to.hz() { None } else { Some(Resampled::new(rate, to)?) };
    let octets = usize::try_from(reader.duration()).unwrap_or(0) * usize::from(channels) * 2;
    let mut source = reader.into_inner().take(octets as u64);
    let mut room = Vec::with_capacity(PIECE);
    while source.by_ref().take(PIECE as u64).read_to_end(&mut room)? > 0 {
        let mut samples = room.chunks_exact(usize::from(channels) * 2).map(mono);
        match &mut resampler {
            Some(resampler) => samples.try_for_each(|sample| resampler.push(f32::from(sample), &mut output))?,
            None => output.extend(samples),
        }
        room.clear();
    }
    if let Some(resampler) = resampler {
        resampler.finish(&mut output)?;
    }
    Ok((output.into(), to))
}

/// Samples of any rate to one of ours: the beginning stays where it is, and the length in time.
struct Resampled {
    resampler: Fft<f32>,
    waiting: Vec<f32>,
    /// Samples to leave out first: the filter's own delay.
    delay: usize,
    taken: u64,
    from: u32,
    to: Rate,
}

impl Resampled {
    fn new(from: u32, to: Rate) -> Result<Resampled, LoadError> {
        let resampler = Fft::new(from as usize, to.hz() as usize, CHUNK, 1, FixedSync::Both)
            .map_err(|error| LoadError::Resample(error.to_string()))?;
        let delay = resampler.output_delay();
        Ok(Resampled { resampler, waiting: Vec::new(), delay, taken: 0, from, to })
    }

    fn push(&mut self, sample: f32, output: &mut Vec<i16>) -> Result<(), LoadError> {
        self.taken += 1;
        self.waiting.push(sample);
        if self.waiting.len() == self.resampler.input_frames_next() { self.convert(output) } else { Ok(()) }
    }

    fn convert(&mut self, output: &mut Vec<i16>) -> Result<(), LoadError> {
        let failed = |error: &dyn std::fmt::Display| LoadError::Resample(error.to_string());
        let count = self.waiting.len();
        let input = InterleavedSlice::new(&self.waiting, 1, count).map_err(|error| failed(&error))?;
        let made = self.resampler.process(&input, None).map_err(|error| failed(&error))?.take_data();
        let skipped = self.delay.min(made.len());
        self.delay -= skipped;
        output.extend(made.iter().skip(skipped).map(|sample| rounded(*sample)));
        self.waiting.clear();
        Ok(())
    }

    /// What the filter still holds.
    fn finish(mut self, output: &mut Vec<i16>) -> Result<(), LoadError> {
        let wanted = usize::try_from(self.taken * u64::from(self.to.hz()) / u64::from(self.from)).unwrap_or(usize::MAX);
        while output.len() < wanted {
            self.waiting.resize(self.resampler.input_frames_next(), 0.0);
            self.convert(output)?;
        }
        output.truncate(wanted);
        Ok(())
    }
}

/// One sample of all channels.
fn mono(octets: &[u8]) -> i16 {
    let sample = match *octets {
        [low, high, other_low, other_high] => {
            let both = [[low, high], [other_low, other_high]].map(|pair| i32::from(i16::from_le_bytes(pair)));
            ((both[0] + both[1]) / 2) as i16
        }
        [low, high] => i16::from_le_bytes([low, high]),
        _ => 0,
    };
    sample.max(-i16::MAX)
}

/// To the nearest whole number; `round` is a call of a library here.
fn rounded(sample: f32) -> i16 {
    (sample + 0.5f32.copysign(sample)).clamp(-32_767.0, 32_767.0) as i16
}

#[cfg(test)]
mod tests {
    use super::*;
    use msp_rtp::tone::Meter;
    use std::f64::consts::PI;
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
        for rate in RATES {
            for channels in [1, 2] {
                let heard = samples(wav(channels, rate, 1000.0, 1), Rate::Narrow).unwrap().0;
                assert_eq!(heard.len(), 8000, "{rate} Hz, {channels} channels");
                let level = level(&heard, 1000);
                assert!((level + 100).abs() <= 2, "{rate} Hz, {channels} channels: {level}");
            }
        }
        // 5 kHz would come out as 3 kHz.
        for rate in [16_000, 44_100, 48_000] {
            let folded = level(&samples(wav(1, rate, 5000.0, 1), Rate::Narrow).unwrap().0, 3000);
            assert!(folded < -600, "{rate} Hz: {folded}");
        }
    }

    #[test]
    fn wide_audio_stays_wide_where_that_is_of_use() {
        for (rate, kept) in [(8000, Rate::Narrow), (11_025, Rate::Wide), (16_000, Rate::Wide), (48_000, Rate::Wide)] {
            let (heard, to) = samples(wav(1, rate, 3000.0, 1), Rate::Wide).unwrap();
            assert_eq!((to, heard.len()), (kept, kept.hz() as usize), "{rate} Hz");
            // Measured as if it were 8 kHz.
            let level = level(&heard, 3000 / kept.factor() as u32);
            assert!((level + 100).abs() <= 2, "{rate} Hz: {level}");
        }
        // 6 kHz at 16 kHz, as 3 kHz at 8 kHz.
        let (heard, _) = samples(wav(2, 48_000, 6000.0, 1), Rate::Wide).unwrap();
        assert!((level(&heard, 3000) + 100).abs() <= 2);
    }

    #[test]
    fn what_cannot_be_played_is_refused() {
        assert!(matches!(samples(wav(1, 96_000, 440.0, 1), Rate::Wide), Err(LoadError::Format { .. })));
        assert!(matches!(samples(wav(3, 8000, 440.0, 1), Rate::Wide), Err(LoadError::Format { .. })));
        assert!(matches!(samples(file_of(b"RIFF is not all of it"), Rate::Wide), Err(LoadError::Wav(_))));
        assert!(matches!(samples(File::open("/dev/zero").unwrap(), Rate::Wide), Err(LoadError::NotAFile)));
        assert!(matches!(samples(wav(1, 8000, 440.0, MAX_SECONDS + 1), Rate::Wide), Err(LoadError::TooLong)));
    }
}
