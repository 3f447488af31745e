//! 20 ms of audio.

use serde::{Deserialize, Serialize};

/// Samples in a [`Frame`].
pub const FRAME_SAMPLES: usize = 160;
/// Samples in 20 ms at 16 kHz.
pub const WIDE_SAMPLES: usize = 2 * FRAME_SAMPLES;

/// 20 ms of audio: 160 samples of signed 16 bits at 8 kHz.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Frame(pub [i16; FRAME_SAMPLES]);

impl Frame {
    /// Nothing to be heard.
    pub const SILENCE: Frame = Frame([0; FRAME_SAMPLES]);
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Frame(peak {})", peak(&self.0))
    }
}

/// How many samples a second audio has inside the media provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rate {
    /// 8 kHz: audio below 4 kHz.
    #[default]
    Narrow,
    /// 16 kHz: audio below 8 kHz.
    Wide,
}

impl Rate {
    /// The rate of so many samples a second; `None` for one that is not used inside.
    pub fn of_hz(hz: u32) -> Option<Rate> {
        [Rate::Narrow, Rate::Wide].into_iter().find(|rate| rate.hz() == hz)
    }

    /// Samples a second.
    pub fn hz(self) -> u32 {
        8000 * self.factor() as u32
    }

    /// Samples for each one at 8 kHz.
    pub const fn factor(self) -> usize {
        match self {
            Rate::Narrow => 1,
            Rate::Wide => 2,
        }
    }

    /// Samples in 20 ms.
    pub const fn frame_samples(self) -> usize {
        FRAME_SAMPLES * self.factor()
    }
}

/// 20 ms of audio at either rate.
#[allow(clippy::large_enum_variant, reason = "copied from place to place, never allocated")]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum AudioFrame {
    /// At 8 kHz.
    Narrow(Frame),
    /// At 16 kHz.
    Wide([i16; WIDE_SAMPLES]),
}

impl AudioFrame {
    /// Nothing to be heard.
    pub const SILENCE: AudioFrame = AudioFrame::silence(Rate::Narrow);

    /// Nothing to be heard, at this rate.
    pub const fn silence(rate: Rate) -> AudioFrame {
        match rate {
            Rate::Narrow => AudioFrame::Narrow(Frame::SILENCE),
            Rate::Wide => AudioFrame::Wide([0; WIDE_SAMPLES]),
        }
    }

    /// Its rate.
    pub fn rate(&self) -> Rate {
        match self {
            AudioFrame::Narrow(_) => Rate::Narrow,
            AudioFrame::Wide(_) => Rate::Wide,
        }
    }

    /// Its samples.
    pub fn samples(&self) -> &[i16] {
        match self {
            AudioFrame::Narrow(frame) => &frame.0,
            AudioFrame::Wide(samples) => samples,
        }
    }

    /// Its samples, to write.
    pub fn samples_mut(&mut self) -> &mut [i16] {
        match self {
            AudioFrame::Narrow(frame) => &mut frame.0,
            AudioFrame::Wide(samples) => samples,
        }
    }
}

impl From<Frame> for AudioFrame {
    fn from(frame: Frame) -> AudioFrame {
        AudioFrame::Narrow(frame)
    }
}

impl std::fmt::Debug for AudioFrame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AudioFrame({} Hz, peak {})", self.rate().hz(), peak(self.samples()))
    }
}

fn peak(samples: &[i16]) -> u16 {
    samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0)
}
