//! Codecs: a packet's payload to samples and back.
//!
//! Audio inside has the rate of its stream's codec:
//!
//! | codec | on the wire | inside |
//! |---|---|---|
//! | G.711 | 8 kHz | 8 kHz |
//! | G.722 | 16 kHz of audio, RTP clock 8 kHz | 16 kHz |
//! | Opus | up to 48 kHz, RTP clock 48 kHz | 16 kHz, resampled by the codec itself |
//!
//! A bridge of equal codecs relays packets as they are and keeps the whole band. Lengths and timestamps are counted in
//! samples at 8 kHz whatever the rate, as the RTP clocks of all but Opus do.
//!
//! States of G.711 are nothing. Those of G.722 and Opus are not part of a snapshot: both recover from any state within
//! some 20 ms, so they begin anew.

mod noise;
#[cfg(feature = "opus")]
mod opus;
mod receiver;

pub use noise::Noise;
pub use receiver::Receiver;

use crate::g711::Law;
use audio_codec::g722::{G722Decoder, G722Encoder};
use audio_codec::{Decoder as _, Encoder as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tspi::media::{Codec, Rate};

/// Samples that a packet holds at most, at 8 kHz: 120 ms, the longest packet of Opus.
pub const MAX_SAMPLES: usize = 960;
/// The same at 16 kHz.
pub const MAX_WIDE_SAMPLES: usize = 2 * MAX_SAMPLES;

/// A codec of audio that can be decoded and encoded here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audio {
    /// G.711.
    G711(Law),
    /// G.722 at 64 kbit/s.
    G722,
    /// Opus; made with the feature `opus` only.
    Opus,
}

impl Audio {
    /// The codec that SDP named; `None` for what is no audio, or cannot be decoded by this build.
    pub fn of(codec: &Codec) -> Option<Audio> {
        match codec {
            Codec::G722 => Some(Audio::G722),
            Codec::Opus if cfg!(feature = "opus") => Some(Audio::Opus),
            other => Law::of(other).map(Audio::G711),
        }
    }

    /// The rate of what is decoded and encoded.
    pub fn rate(self) -> Rate {
        match self {
            Audio::G711(_) => Rate::Narrow,
            Audio::G722 | Audio::Opus => Rate::Wide,
        }
    }

    /// RTP clock ticks in a sample at 8 kHz.
    pub fn scale(self) -> u32 {
        match self {
            Audio::G711(_) | Audio::G722 => 1,
            Audio::Opus => 6,
        }
    }

    /// Samples at 8 kHz that a payload stands for; `None` where it is broken.
    pub fn samples(self, payload: &[u8]) -> Option<usize> {
        let samples = match self {
            Audio::G711(_) | Audio::G722 => payload.len(),
            Audio::Opus => opus_samples(payload)?,
        };
        (1..=MAX_SAMPLES).contains(&samples).then_some(samples)
    }

    /// The packet time to use where `ptime_ms` was asked: what the codec can make, 10 to 60 ms.
    pub fn ptime_ms(self, ptime_ms: u32) -> u32 {
        let asked = ptime_ms.clamp(10, 60) / 10 * 10;
        match (self, asked) {
            (Audio::Opus, 30) => 20,
            (Audio::Opus, 50) => 40,
            _ => asked,
        }
    }
}

/// How long an Opus packet is, from its first two octets (RFC 6716 section 3.1).
fn opus_samples(payload: &[u8]) -> Option<usize> {
    let toc = *payload.first()?;
    // In samples at 8 kHz.
    let frame = match toc >> 3 {
        configuration @ 0..12 => [80, 160, 320, 480].get(usize::from(configuration) % 4),
        configuration @ 12..16 => [80, 160].get(usize::from(configuration) % 2),
        configuration => [20, 40, 80, 160].get(usize::from(configuration) % 4),
    }?;
    let count = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => usize::from(payload.get(1)? & 0x3f),
    };
    Some(frame * count)
}

/// Payloads to samples. Its state is not part of a snapshot: see the module.
pub struct Decoder {
    audio: Audio,
    state: Decoding,
}

enum Decoding {
    G711(Law),
    G722(Box<G722Decoder>),
    #[cfg(feature = "opus")]
    Opus(Box<opus::Decoder>),
    /// Of a codec that this build has not.
    Nothing,
}

impl Decoder {
    /// In its first state.
    pub fn new(audio: Audio) -> Decoder {
        let state = match audio {
            Audio::G711(law) => Decoding::G711(law),
            Audio::G722 => Decoding::G722(Box::new(G722Decoder::new())),
            #[cfg(feature = "opus")]
            Audio::Opus => opus::Decoder::new().map_or(Decoding::Nothing, |decoder| Decoding::Opus(Box::new(decoder))),
            #[cfg(not(feature = "opus"))]
            Audio::Opus => Decoding::Nothing,
        };
        Decoder { audio, state }
    }

    /// Which codec.
    pub fn audio(&self) -> Audio {
        self.audio
    }

    /// Decodes a payload; gives how many samples at [`Audio::rate`], or `None` where it is broken or `out` too short.
    pub fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Option<usize> {
        let samples = self.audio.samples(payload)? * self.audio.rate().factor();
        let out = out.get_mut(..samples)?;
        match &mut self.state {
            Decoding::G711(law) => {
                law.decode_all(payload, out);
                Some(samples)
            }
            Decoding::G722(decoder) => decoder.decode_into(payload, out).ok(),
            #[cfg(feature = "opus")]
            Decoding::Opus(decoder) => decoder.decode(payload, out),
            Decoding::Nothing => None,
        }
    }

    /// The codec's own concealment of so many samples that were lost, where it has one.
    pub fn conceal(&mut self, out: &mut [i16]) -> Option<usize> {
        match &mut self.state {
            Decoding::G711(_) | Decoding::G722(_) | Decoding::Nothing => {
                let _ = out;
                None
            }
            #[cfg(feature = "opus")]
            Decoding::Opus(decoder) => decoder.conceal(out),
        }
    }
}

/// Samples to payloads. Its state is not part of a snapshot: see the module.
pub struct Encoder {
    audio: Audio,
    state: Encoding,
}

enum Encoding {
    G711(Law),
    G722(Box<G722Encoder>),
    #[cfg(feature = "opus")]
    Opus(Box<opus::Encoder>),
    /// Of a codec that this build has not.
    Nothing,
}

impl Encoder {
    /// In its first state.
    pub fn new(audio: Audio) -> Encoder {
        let state = match audio {
            Audio::G711(law) => Encoding::G711(law),
            Audio::G722 => Encoding::G722(Box::new(G722Encoder::new())),
            #[cfg(feature = "opus")]
            Audio::Opus => opus::Encoder::new().map_or(Encoding::Nothing, |encoder| Encoding::Opus(Box::new(encoder))),
            #[cfg(not(feature = "opus"))]
            Audio::Opus => Encoding::Nothing,
        };
        Encoder { audio, state }
    }

    /// Which codec.
    pub fn audio(&self) -> Audio {
        self.audio
    }

    /// Encodes samples at [`Audio::rate`] into one payload, whose length it gives; `None` where `out` is too short, or there are so
    /// many samples that the codec has no frame for them (see [`Audio::ptime_ms`]).
    pub fn encode(&mut self, samples: &[i16], out: &mut [u8]) -> Option<usize> {
        match &mut self.state {
            Encoding::G711(law) => {
                let out = out.get_mut(..samples.len())?;
                law.encode_all(samples, out);
                Some(samples.len())
            }
            Encoding::G722(encoder) => encoder.encode_into(samples, out).ok(),
            #[cfg(feature = "opus")]
            Encoding::Opus(encoder) => encoder.encode(samples, out),
            Encoding::Nothing => None,
        }
    }
}

/// A codec with state: written as its name, read and cloned as a new one.
macro_rules! begins_anew {
    ($name:ident) => {
        impl Clone for $name {
            fn clone(&self) -> $name {
                $name::new(self.audio)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.audio).finish()
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.audio.serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                Audio::deserialize(deserializer).map($name::new)
            }
        }
    };
}

begins_anew!(Decoder);
begins_anew!(Encoder);

#[cfg(test)]
mod tests;
