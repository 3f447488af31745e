//! From packets to samples at 8 kHz timestamps: what stands between the wire and the playout buffer.

use super::{Audio, Decoder, MAX_WIDE_SAMPLES};
use serde::{Deserialize, Serialize};

/// A gap up to so many samples is concealed by the codec itself; a longer one is a pause.
const MAX_GAP: u32 = 960;
/// Beyond so many ticks of the RTP clock the timestamps have jumped: there is nothing to continue.
const JUMP: u32 = 48_000 * 2;

/// Decodes a stream's packets in the order they come.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Receiver {
    decoder: Option<Decoder>,
    /// Where the last packet ended: by the RTP clock, and in samples at 8 kHz.
    ended: Option<(u32, u32)>,
}

impl Receiver {
    /// Decodes a packet, and tells `put` its samples at the codec's rate, with the timestamp of the first at 8 kHz. What was lost before is put
    /// too, where the codec conceals losses itself. A packet that comes after a later one is decoded only where the codec
    /// has no state to upset.
    pub fn packet(&mut self, audio: Audio, timestamp: u32, payload: &[u8], mut put: impl FnMut(u32, &[i16])) {
        let mut room = [0; MAX_WIDE_SAMPLES];
        if self.decoder.as_ref().map(Decoder::audio) != Some(audio) {
            self.decoder = Some(Decoder::new(audio));
            self.ended = None;
        }
        let (Some(decoder), Some(samples)) = (&mut self.decoder, audio.samples(payload)) else { return };
        let at = match self.ended {
            Some((rtp, local)) if timestamp.wrapping_sub(rtp).cast_signed().unsigned_abs() < JUMP => {
                let gap = timestamp.wrapping_sub(rtp).cast_signed() / audio.scale().cast_signed();
                let lost = gap.max(0).unsigned_abs();
                if (1..=MAX_GAP).contains(&lost)
                    && let Some(room) = room.get_mut(..lost as usize * audio.rate().factor())
                    && let Some(made) = decoder.conceal(room)
                {
                    put(local, room.get(..made).unwrap_or_default());
                }
                if gap < 0 && !matches!(audio, Audio::G711(_)) {
                    return;
                }
                local.wrapping_add_signed(gap)
            }
            _ => timestamp,
        };
        let Some(decoded) = decoder.decode(payload, &mut room) else { return };
        put(at, room.get(..decoded).unwrap_or_default());
        let end = (timestamp.wrapping_add(samples as u32 * audio.scale()), at.wrapping_add(samples as u32));
        let newer = self.ended.is_none_or(|(rtp, _)| {
            let ahead = end.0.wrapping_sub(rtp).cast_signed();
            ahead > 0 || ahead.unsigned_abs() >= JUMP
        });
        if newer {
            self.ended = Some(end);
        }
    }

    /// What was decoded last.
    pub fn audio(&self) -> Option<Audio> {
        self.decoder.as_ref().map(Decoder::audio)
    }

    /// Another source: nothing is continued.
    pub fn reset(&mut self) {
        *self = Receiver::default();
    }
}
