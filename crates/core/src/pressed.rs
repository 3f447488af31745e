//! Digits of the far end that are heard twice: by the device, which tells them, and in its audio. Each is one.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::time::Duration;
use tapi::Time;

/// How long after one listener the other may tell the same digit.
const WITHIN: Duration = Duration::from_millis(1_500);
/// Digits that wait for the other listener.
const MOST: usize = 32;

/// Who heard a digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Listener {
    /// The device, or the signalling.
    Provider,
    /// The media provider.
    Media,
}

/// Digits that one listener told and the other has not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pressed {
    waiting: VecDeque<(Listener, char, Time)>,
}

impl Pressed {
    /// Whether a digit is news: it is none when the other listener told it before.
    pub(crate) fn is_new(&mut self, now: Time, listener: Listener, digit: char) -> bool {
        self.waiting.retain(|(_, _, at)| now.since(*at) < WITHIN);
        let told = self.waiting.iter().position(|(by, known, _)| *by != listener && *known == digit);
        if let Some(told) = told {
            self.waiting.remove(told);
            return false;
        }
        if self.waiting.len() >= MOST {
            self.waiting.pop_front();
        }
        self.waiting.push_back((listener, digit, now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Listener::{Media, Provider};

    #[test]
    fn what_both_hear_is_told_once_and_what_one_hears_too() {
        let mut pressed = Pressed::default();
        let at = Time::from_millis;
        let heard = [
            (0, Provider, '7', true),
            (60, Media, '7', false),
            (200, Provider, '7', true),
            (210, Provider, '3', true),
            (260, Media, '7', false),
            (270, Media, '3', false),
            (400, Media, '5', true),
            (420, Provider, '5', false),
            (3_000, Media, '7', true),
            (6_000, Provider, '7', true),
        ];
        for (millis, listener, digit, expected) in heard {
            assert_eq!(pressed.is_new(at(millis), listener, digit), expected, "{digit} at {millis}");
        }
    }
}
