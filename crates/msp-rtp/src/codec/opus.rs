//! Opus at 16 kHz, mono: libopus makes and takes any bandwidth of the wire (RFC 7587).

use ::opus::{Application, Channels};

/// Samples a second.
const RATE: u32 = 16_000;
/// Bits a second of what we send: wide band at good quality (RFC 7587 section 3.1.1 names 16 to 20 kbit/s for it).
const BITRATE: i32 = 24_000;
/// Effort of the encoder, 0 to 10: beyond this speech gains little that is heard.
const COMPLEXITY: i32 = 5;
/// Loss that the encoder reckons with, in per cent: it decides whether a packet repeats the one before.
const EXPECTED_LOSS: i32 = 5;

pub(super) struct Decoder(::opus::Decoder);

impl Decoder {
    pub(super) fn new() -> Option<Decoder> {
        ::opus::Decoder::new(RATE, Channels::Mono).ok().map(Decoder)
    }

    pub(super) fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Option<usize> {
        self.0.decode(payload, out, false).ok()
    }

    pub(super) fn conceal(&mut self, out: &mut [i16]) -> Option<usize> {
        self.0.decode(&[], out, false).ok()
    }
}

pub(super) struct Encoder(::opus::Encoder);

impl Encoder {
    pub(super) fn new() -> Option<Encoder> {
        let mut encoder = ::opus::Encoder::new(RATE, Channels::Mono, Application::Voip).ok()?;
        encoder.set_bitrate(::opus::Bitrate::Bits(BITRATE)).ok()?;
        encoder.set_complexity(COMPLEXITY).ok()?;
        encoder.set_inband_fec(true).ok()?;
        encoder.set_packet_loss_perc(EXPECTED_LOSS).ok()?;
        Some(Encoder(encoder))
    }

    pub(super) fn encode(&mut self, samples: &[i16], out: &mut [u8]) -> Option<usize> {
        self.0.encode(samples, out).ok()
    }
}
