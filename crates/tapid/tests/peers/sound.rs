//! Tones in WAV files, made and measured. Levels are dBm0: a full-scale sine is +3.14.

use std::f64::consts::TAU;
use std::path::Path;

const RATE: f64 = 8000.0;

/// Level of a full-scale sine (G.711).
#[allow(clippy::approx_constant, reason = "it is a level, not pi")]
const FULL_SINE_DBM0: f64 = 3.14;

/// Writes a tone as a WAV file of 16 bits, mono, 8 kHz.
pub fn write_tone(path: &Path, hz: f64, seconds: f64, dbm0: f64) {
    write_tone_at(path, 8000, (hz, seconds, dbm0));
}

/// The same at another rate.
pub fn write_tone_at(path: &Path, rate: u32, (hz, seconds, dbm0): (f64, f64, f64)) {
    let peak = 32767.0 * 10f64.powf((dbm0 - FULL_SINE_DBM0) / 20.0);
    let samples: Vec<u8> = (0..(seconds * f64::from(rate)) as usize)
        .flat_map(|n| ((peak * (TAU * hz * n as f64 / f64::from(rate)).sin()) as i16).to_le_bytes())
        .collect();
    let mut file = Vec::new();
    file.extend(b"RIFF");
    file.extend((36 + samples.len() as u32).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend(rate.to_le_bytes());
    file.extend((rate * 2).to_le_bytes());
    file.extend(b"\x02\0\x10\0data");
    file.extend((samples.len() as u32).to_le_bytes());
    file.extend(samples);
    std::fs::write(path, file).unwrap();
}

/// Samples of a mono WAV file of 16 bits at 8 kHz, wherever its data chunk begins; of one at 16 kHz every pair is one.
pub fn read(path: &Path) -> Vec<i16> {
    let bytes = std::fs::read(path).unwrap();
    let at = bytes.windows(4).position(|word| word == b"data").map_or(bytes.len(), |at| at + 8);
    let samples: Vec<i16> =
        bytes[at.min(bytes.len())..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    match bytes.get(24..28) {
        Some([0x80, 0x3e, 0, 0]) => {
            samples.chunks_exact(2).map(|pair| ((i32::from(pair[0]) + i32::from(pair[1])) / 2) as i16).collect()
        }
        _ => samples,
    }
}

/// Level of a frequency in each 20 ms, by Goertzel.
pub fn levels(samples: &[i16], hz: f64) -> Vec<f64> {
    samples
        .chunks_exact(160)
        .map(|window| {
            let factor = 2.0 * (TAU * hz / RATE).cos();
            let (mut last, mut before) = (0.0, 0.0);
            for &sample in window {
                (last, before) = (f64::from(sample) + factor * last - before, last);
            }
            let power = last * last + before * before - factor * last * before;
            20.0 * (2.0 * power.max(1e-9).sqrt() / 160.0 / 32767.0).max(1e-6).log10() + FULL_SINE_DBM0
        })
        .collect()
}
