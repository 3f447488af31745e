//! What a modem hears on its line, as the event codes of V.253.

use super::persona::Digits;
use crate::exchange::meter::{DtmfDetector, Ear, Key, Sound, mean_square};
use tspi::Frame;

/// What else a call's set-up waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    /// The last 40 ms.
    pub(super) sound: Sound,
    /// For how many frames it has been that.
    pub(super) run: u32,
}

/// Listens to a line.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    ear: Ear,
    dtmf: DtmfDetector,
    heard: Heard,
    /// Frames of the single tone of many countries.
    single: u32,
    /// Bursts of busy or reorder tone of like length, one after the other.
    bursts: (u8, u32),
    /// Frames since the last report of each kind that repeats.
    since_dial: u32,
    since_busy: u32,
    since_voice: u32,
    pressed: Option<(char, u32)>,
    quiet: u32,
    voiced: Voiced,
}

/// Whether anything was heard since a recording began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Voiced {
    NotYet,
    Heard,
}

/// Frames of four seconds, after which a lasting tone is told again.
const AGAIN: u32 = 200;

impl Watch {
    pub(super) fn new() -> Watch {
        Watch {
            ear: Ear::default(),
            dtmf: DtmfDetector::default(),
            heard: Heard { sound: Sound::Quiet, run: 0 },
            single: 0,
            bursts: (0, 0),
            since_dial: AGAIN,
            since_busy: AGAIN,
            since_voice: AGAIN,
            pressed: None,
            quiet: 0,
            voiced: Voiced::NotYet,
        }
    }

    /// A recording begins: its silence counts from now.
    pub(super) fn begin(&mut self) {
        self.quiet = 0;
        self.voiced = Voiced::NotYet;
    }

    /// What is heard now.
    pub(super) fn heard(&self) -> Heard {
        self.heard
    }

    /// Takes 20 ms; gives the event codes it led to. `silence` is +VSD's interval in frames, 0 for none;
    /// `quiet` the mean square below which what is no tone is no voice.
    pub(super) fn hear(&mut self, frame: &Frame, digits: Digits, silence: u32, quiet: f64) -> Vec<u8> {
        let sound = self.ear.hear(frame);
        let sound = match self.named(sound) {
            Sound::Voice if mean_square(&frame.0) < quiet => Sound::Quiet,
            sound => sound,
        };
        for since in [&mut self.since_dial, &mut self.since_busy, &mut self.since_voice] {
            *since = since.saturating_add(1);
        }
        let before = self.heard;
        let run = if before.sound == sound { before.run + 1 } else { 1 };
        self.heard = Heard { sound, run };
        let mut codes = Vec::new();
        if before.sound != sound && before.sound == Sound::Busy {
            self.burst(before.run);
        }
        self.tones(sound, run, &mut codes);
        self.keys(frame, digits, &mut codes);
        self.silence(sound, silence, &mut codes);
        codes
    }

    /// Where one frequency serves for every tone, its length tells which one it is: busy is short, ringback about a second,
    /// dial tone does not end.
    fn named(&mut self, sound: Sound) -> Sound {
        self.single = if sound == Sound::Single { self.single + 1 } else { 0 };
        match self.single {
            0 => sound,
            1..36 => Sound::Busy,
            36..65 => Sound::Ringback,
            _ => Sound::Dial,
        }
    }

    /// A burst of busy or reorder tone ended.
    fn burst(&mut self, frames: u32) {
        let code = match frames {
            8..=17 => b'K',
            18..=30 => b'b',
            _ => return self.bursts = (0, 0),
        };
        self.bursts = if self.bursts.0 == code { (code, self.bursts.1 + 1) } else { (code, 1) };
    }

    /// Busy (`b`) or reorder (`K`) tone, once its cadence is sure.
    pub(super) fn engaged(&self) -> Option<u8> {
        (self.bursts.1 >= 2).then_some(self.bursts.0)
    }

    fn tones(&mut self, sound: Sound, run: u32, codes: &mut Vec<u8>) {
        if !matches!(sound, Sound::Busy | Sound::Quiet) && run > 4 {
            self.bursts = (0, 0);
        }
        match (sound, run) {
            (Sound::Dial, 10..) if self.since_dial >= AGAIN => {
                self.since_dial = 0;
                codes.push(b'd');
            }
            (Sound::Ringback, 10) => codes.push(b'r'),
            (Sound::Answer, 25) => codes.push(b'a'),
            (Sound::BellAnswer, 25) => codes.push(b'f'),
            (Sound::FaxCalling, 20) => codes.push(b'c'),
            (Sound::DataCalling, 20) => codes.push(b'e'),
            (Sound::Voice, 5..) => {
                if self.since_voice > 100 {
                    codes.push(b'v');
                }
                self.since_voice = 0;
            }
            _ => {}
        }
        if let Some(code) = self.engaged()
            && self.since_busy >= AGAIN
        {
            self.since_busy = 0;
            codes.push(code);
        }
    }

    fn keys(&mut self, frame: &Frame, digits: Digits, codes: &mut Vec<u8>) {
        let key = self.dtmf.hear(frame);
        match (digits, key) {
            (Digits::Simple, Some(Key::Down(digit))) => codes.push(digit as u8),
            (Digits::Simple, _) => {}
            (Digits::Shielded, Some(Key::Down(digit))) => {
                self.pressed = Some((digit, 0));
                codes.extend([b'/', digit as u8]);
            }
            (Digits::Shielded, Some(Key::Up(..))) => {
                self.pressed = None;
                codes.push(b'~');
            }
            (Digits::Shielded, None) => {
                if let Some((digit, millis)) = &mut self.pressed {
                    let before = *millis / 70;
                    *millis += 20;
                    if *millis / 70 > before {
                        codes.push(*digit as u8);
                    }
                }
            }
        }
    }

    fn silence(&mut self, sound: Sound, interval: u32, codes: &mut Vec<u8>) {
        if sound != Sound::Quiet {
            self.quiet = 0;
            self.voiced = Voiced::Heard;
            return;
        }
        self.quiet += 1;
        if interval > 0 && self.quiet >= interval {
            self.quiet = 0;
            codes.push(if self.voiced == Voiced::Heard { b'q' } else { b's' });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::meter::QUIET;
    use crate::exchange::tone::{Player, Segment};

    #[test]
    fn a_voice_is_told_once_and_louder_than_the_sensitivity_says() {
        for (level, quiet, told) in [(-160, QUIET, 1), (-400, QUIET, 1), (-400, 10.0 * QUIET, 0), (-500, QUIET, 0)] {
            let mut watch = Watch::new();
            let mut player = Player::default();
            player.push(Segment::new(800.0, 0.0, level, 1_000));
            let mut codes = Vec::new();
            while let Some(frame) = player.frame() {
                codes.extend(watch.hear(&frame, Digits::Simple, 0, quiet));
            }
            assert_eq!(codes.iter().filter(|code| **code == b'v').count(), told, "{level}: {codes:?}");
        }
    }
}
