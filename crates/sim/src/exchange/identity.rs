//! Who calls, as the exchange tells it.

use super::plant::{Exchange, Owner};
use super::tone::Player;
use crate::modem::Identity;
use std::time::Duration;
use tapi::Time;

/// Milliseconds of each digit of an identity, and of the silence behind it.
const TONE_MS: u32 = 70;

/// Plays an identity as DTMF; how long it takes.
pub(super) fn tell_by_tones(player: &mut Player, identity: &Identity) -> Duration {
    let told = match identity {
        Identity::Known { number, .. } => format!("A{number}#"),
        Identity::Private => "D1#".to_string(),
        Identity::OutOfArea => "D2#".to_string(),
    };
    player.clear();
    told.chars().for_each(|digit| player.digit(digit, TONE_MS, TONE_MS));
    Duration::from_millis(2 * u64::from(TONE_MS) * told.len() as u64)
}

impl Exchange {
    /// Who the subscriber of a line is to whom it calls.
    pub(super) fn identity(&self, line: usize, withheld: bool) -> Identity {
        if withheld {
            return Identity::Private;
        }
        let name = match &self.lines[line].owner {
            Owner::Robot { robot, .. } => robot.behaviour.name.clone(),
            _ => None,
        };
        Identity::Known { number: self.lines[line].number.clone(), name }
    }

    /// Month, day, hour and minute now; within a month it stays the same month.
    pub(super) fn date(&self, now: Time) -> (u8, u8, u8, u8) {
        let (month, day, hour, minute) = self.config.date;
        let minutes = u64::from(hour) * 60 + u64::from(minute) + now.as_millis() / 60_000;
        let day = (u64::from(day) - 1 + minutes / 1_440) % 28 + 1;
        (month, day as u8, (minutes / 60 % 24) as u8, (minutes % 60) as u8)
    }
}
