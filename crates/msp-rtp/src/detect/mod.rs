//! What is listened for in audio: digits, tones of call progress, fax tones, voice and silence. Each takes frames of
//! 20 ms and tells what it found with what it measured.

mod dtmf;
mod progress;

pub use dtmf::Dtmf;
pub use progress::{Found, Progress};

use crate::tone::bits;
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// A correlation with one frequency over a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Complex {
    #[serde(with = "bits")]
    re: f64,
    #[serde(with = "bits")]
    im: f64,
}

impl Complex {
    fn power(self) -> f64 {
        self.re * self.re + self.im * self.im
    }

    /// Turned by an angle in radians.
    fn turned(self, angle: f64) -> Complex {
        let (sin, cos) = angle.sin_cos();
        Complex { re: self.re * cos - self.im * sin, im: self.re * sin + self.im * cos }
    }

    fn plus(self, other: Complex) -> Complex {
        Complex { re: self.re + other.re, im: self.im + other.im }
    }

    /// The angle from `other` to this one.
    fn angle_from(self, other: Complex) -> f64 {
        let re = self.re * other.re + self.im * other.im;
        let im = self.im * other.re - self.re * other.im;
        im.atan2(re)
    }
}

/// Goertzel's algorithm with the phase: what `samples` have of `hz`, referred to their first sample.
fn goertzel(samples: &[i16], hz: f64) -> Complex {
    let turn = 2.0 * PI * hz / 8000.0;
    let (sin, cos) = turn.sin_cos();
    let coefficient = 2.0 * cos;
    let (mut one, mut two) = (0.0, 0.0);
    for sample in samples {
        let next = f64::from(*sample) + coefficient * one - two;
        (two, one) = (one, next);
    }
    // The phase here is that at the last sample; turned back by the length of the block it is that at the first.
    let end = Complex { re: one - two * cos, im: two * sin };
    end.turned(-turn * (samples.len() as f64 - 1.0))
}

/// The sum of squares.
fn energy(samples: &[i16]) -> f64 {
    samples.iter().map(|sample| f64::from(*sample) * f64::from(*sample)).sum()
}
