//! Dialling (V.250 6.3.1, V.253: `+VRA`, `+VRN`).

use super::{Analogue, Final, Hook, Mode};
use crate::exchange::meter::Sound;
use crate::exchange::tone::{FRAME_MS, Player};
use crate::modem::{Act, Effect};
use std::collections::VecDeque;
use tapi::Time;
use tspi::Frame;

/// Milliseconds that dial tone may take to come, and for which it must last.
const DIAL_TONE_WAIT: u32 = 5_000;
const DIAL_TONE_LASTS: u32 = 400;
/// Milliseconds of silence that `@` waits for.
const QUIET_ANSWER: u32 = 5_000;

/// A step of a dial string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Dial tone must come within so long.
    Tone(u32),
    /// Nothing for so long.
    Pause(u32),
    /// A DTMF digit.
    Digit(char),
    /// A pulsed digit: so many pulses at ten a second, and a gap.
    Pulse(char),
    /// Silence must come, within S7.
    Quiet,
    /// Register recall.
    Flash,
}

/// What follows the digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// `;`: command state.
    Command,
    /// The far end's answer.
    Answer,
}

/// What the far end did, as far as the tones tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// No ringback yet.
    NoRingback,
    /// Ringback was heard last so many milliseconds ago.
    Ringback(u32),
}

/// A dial under way.
#[derive(Clone, Debug)]
pub(super) struct Dial {
    since: Time,
    steps: VecDeque<Step>,
    after: After,
    player: Player,
    /// Milliseconds in this step, or since the last digit.
    spent: u32,
    wait: Wait,
}

impl Dial {
    pub(super) fn since(&self) -> Time {
        self.since
    }
}

impl Analogue {
    pub(super) fn dial(&mut self, now: Time, text: &str) {
        let mut number = text.trim().to_string();
        if number.eq_ignore_ascii_case("l") {
            number.clone_from(&self.last_dialled);
        }
        self.last_dialled.clone_from(&number);
        let listens = matches!(self.settings.progress, 2 | 4);
        let seized = self.hook == Hook::Off;
        let mut steps = VecDeque::new();
        match (listens, seized) {
            (true, false) => steps.push_back(Step::Tone(DIAL_TONE_WAIT)),
            (false, false) => steps.push_back(Step::Pause(u32::from(self.settings.register(6)) * 1_000)),
            (_, true) => {}
        }
        let mut pulse = false;
        let after = if number.contains(';') { After::Command } else { After::Answer };
        for c in number.split(';').next().unwrap_or_default().chars() {
            match c.to_ascii_uppercase() {
                'T' => pulse = false,
                'P' => pulse = true,
                ',' => steps.push_back(Step::Pause(u32::from(self.settings.register(8)) * 1_000)),
                'W' => steps.push_back(Step::Tone(u32::from(self.settings.register(7)) * 1_000)),
                '@' => steps.push_back(Step::Quiet),
                '!' => steps.push_back(Step::Flash),
                digit @ '0'..='9' if pulse => steps.push_back(Step::Pulse(digit)),
                digit @ ('0'..='9' | 'A'..='D' | '*' | '#') => steps.push_back(Step::Digit(digit)),
                _ => {}
            }
        }
        self.seize();
        let (player, wait) = (Player::default(), Wait::NoRingback);
        self.mode = Mode::Dialling(Box::new(Dial { since: now, steps, after, player, spent: 0, wait }));
    }

    /// 20 ms of a dial.
    pub(super) fn dial_frame(&mut self, now: Time) -> Frame {
        let heard = self.watch.heard();
        let engaged = self.watch.engaged();
        let (tone_ms, wait_ms) = (u32::from(self.settings.register(11)), u32::from(self.settings.register(7)) * 1_000);
        let Mode::Dialling(dial) = &mut self.mode else { return Frame::SILENCE };
        if let Some(frame) = dial.player.frame() {
            return frame;
        }
        dial.spent += FRAME_MS;
        let lasted = heard.run * FRAME_MS;
        let result = match dial.steps.front().copied() {
            None => return self.progress(now, engaged),
            Some(Step::Tone(_)) if heard.sound == Sound::Dial && lasted >= DIAL_TONE_LASTS => None,
            Some(Step::Tone(limit)) if dial.spent >= limit => Some(Final::NoDialtone),
            Some(Step::Quiet) if heard.sound == Sound::Quiet && lasted >= QUIET_ANSWER => None,
            Some(Step::Quiet) if dial.spent >= wait_ms => Some(Final::NoAnswer),
            Some(Step::Pause(limit)) if dial.spent >= limit => None,
            Some(Step::Tone(_) | Step::Quiet | Step::Pause(_)) => return Frame::SILENCE,
            Some(Step::Digit(digit)) => {
                dial.player.digit(digit, tone_ms.clamp(50, 255), tone_ms.clamp(50, 255));
                None
            }
            Some(Step::Pulse(digit)) => {
                self.out.push_back(Effect::Act(Act::Pulse(digit)));
                let pulses = digit.to_digit(10).filter(|pulses| *pulses > 0).unwrap_or(10);
                dial.steps.insert(1, Step::Pause(pulses * 100 + 700));
                None
            }
            Some(Step::Flash) => {
                self.out.push_back(Effect::Act(Act::Flash));
                dial.steps.insert(1, Step::Pause(u32::from(self.settings.register(29)) * 10));
                None
            }
        };
        match result {
            None => {
                dial.steps.pop_front();
                dial.spent = 0;
                dial.player.frame().unwrap_or(Frame::SILENCE)
            }
            Some(result) => {
                self.hang_up();
                self.finish(now, result);
                Frame::SILENCE
            }
        }
    }

    /// All digits are out: what does the far end do?
    fn progress(&mut self, now: Time, engaged: Option<u8>) -> Frame {
        let heard = self.watch.heard();
        let (gone, never) = (self.settings.ringback_gone * 100, self.settings.ringback_never * 1_000);
        let limit = u32::from(self.settings.register(7)) * 1_000;
        let class = self.settings.class;
        let hears_busy = self.settings.progress >= 3;
        let Mode::Dialling(dial) = &mut self.mode else { return Frame::SILENCE };
        dial.wait = match dial.wait {
            _ if heard.sound == Sound::Ringback => Wait::Ringback(0),
            Wait::Ringback(since) => Wait::Ringback(since + FRAME_MS),
            Wait::NoRingback => Wait::NoRingback,
        };
        let answered = match dial.wait {
            Wait::Ringback(since) => since >= gone,
            Wait::NoRingback => dial.spent >= never && heard.sound != Sound::Busy && heard.sound != Sound::Dial,
        };
        let result = match dial.after {
            After::Command => Some(Final::Ok),
            After::Answer if engaged.is_some() && hears_busy => Some(Final::Busy),
            After::Answer if class == 8 && answered => Some(Final::Answered),
            After::Answer if dial.spent >= limit && class == 8 => Some(Final::NoAnswer),
            After::Answer if dial.spent >= limit => Some(Final::NoCarrier),
            After::Answer => None,
        };
        match result {
            None => {}
            Some(result @ (Final::Ok | Final::Answered)) => self.finish(now, result),
            Some(result) => {
                self.hang_up();
                self.finish(now, result);
            }
        }
        Frame::SILENCE
    }
}
