//! What is listened for on a stream, and which of two ways a digit came is told.

use crate::detect::{Dtmf, Found, Progress};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tapi::Time;
use tspi::media::Frame;

/// A digit in the audio that was an event less than this before is the same one: it comes later by what the playout
/// buffer holds.
const AFTER_EVENT: Duration = Duration::from_millis(2000);
/// An event that was told from the audio less than this before is the same digit.
const AFTER_AUDIO: Duration = Duration::from_millis(250);

/// The detectors of a stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Listener {
    digits: Option<Dtmf>,
    progress: Option<Progress>,
    /// The last digit that was told, either way, and when.
    event: Option<(char, Time)>,
    audio: Option<(char, Time)>,
}

impl Listener {
    /// Listens for what is asked, going on with what it listens for already; `None`: for nothing.
    pub fn choose(
        before: Option<Box<Listener>>,
        digits: bool,
        progress: bool,
        country: Option<&str>,
    ) -> Option<Box<Listener>> {
        if !digits && !progress {
            return None;
        }
        let mut listener = before.unwrap_or_default();
        listener.digits = digits.then(|| listener.digits.take().unwrap_or_default());
        let before = listener.progress.take().filter(|before| before.country() == country);
        listener.progress = progress.then(|| before.unwrap_or_else(|| Progress::new(country)));
        Some(listener)
    }

    /// Whether a digit that came as an event is to be told.
    pub fn event(&mut self, now: Time, digit: char) -> bool {
        let told = self.audio.is_some_and(|(other, at)| other == digit && now < at + AFTER_AUDIO);
        self.event = Some((digit, now));
        !told
    }

    /// Takes what was heard in 20 ms.
    pub fn frame(&mut self, now: Time, frame: &Frame) -> (Option<char>, Option<Found>) {
        let digit = self.digits.as_mut().and_then(|digits| digits.frame(frame)).filter(|digit| {
            let told = self.event.is_some_and(|(other, at)| other == *digit && now < at + AFTER_EVENT);
            if !told {
                self.audio = Some((*digit, now));
            }
            !told
        });
        (digit, self.progress.as_mut().and_then(|progress| progress.frame(frame)))
    }
}
