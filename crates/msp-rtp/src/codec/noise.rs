//! Comfort noise (RFC 3389), received: white noise of the level that the far end told. The spectrum that may follow the
//! level is not used. None is sent.

use serde::{Deserialize, Serialize};
use tspi::media::{FRAME_SAMPLES, Frame};

/// Noise of one level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noise {
    /// In -dBov, 0 to 127.
    level: u8,
    /// The generator's state: noise needs no secrecy.
    state: u32,
}

impl Noise {
    /// Of a comfort noise payload; `None` for an empty one.
    pub fn of(payload: &[u8]) -> Option<Noise> {
        let level = payload.first()? & 0x7f;
        Some(Noise { level, state: 0x9e37_79b9 ^ u32::from(level) })
    }

    /// The next 20 ms.
    pub fn frame(&mut self) -> Frame {
        // A full-scale square wave is 0 dBov (RFC 6465 section 1), and even noise between -p and p has p/sqrt(3).
        let rms = 32_767.0 * 10f64.powf(-f64::from(self.level) / 20.0);
        let peak = (rms * 3f64.sqrt()).min(32_767.0);
        let mut frame = Frame([0; FRAME_SAMPLES]);
        for sample in &mut frame.0 {
            // xorshift.
            self.state ^= self.state << 13;
            self.state ^= self.state >> 17;
            self.state ^= self.state << 5;
            *sample = (peak * (f64::from(self.state) / 2_147_483_648.0 - 1.0)) as i16;
        }
        frame
    }
}
