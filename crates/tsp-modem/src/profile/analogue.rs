//! What an analogue profile cannot be, beside what no profile can.

use super::{Audio, Profile, Voice};

type Fault = Option<(&'static str, String)>;

impl Voice {
    fn fault(&self) -> Fault {
        let dialable = |prefix: &String| prefix.chars().all(|c| c.is_ascii_digit() || "*#,W!".contains(c));
        if self.block_prefix.as_ref().is_some_and(|prefix| prefix.is_empty() || !dialable(prefix)) {
            return Some(("voice.block_prefix", "must be dialable: digits, *, #, comma, W, !".to_owned()));
        }
        if self.blind_on.is_empty() != self.blind_off.is_empty() {
            return Some(("voice.blind_off", "blind_on and blind_off need one another".to_owned()));
        }
        for (key, results) in [("voice.answer_ok", &self.answer_ok), ("voice.dial_ok", &self.dial_ok)] {
            if results.is_empty() {
                return Some((key, "no result would ever mean that it worked".to_owned()));
            }
        }
        if !self.dial.contains("{n}") {
            return Some(("voice.dial", format!("{:?} has no {{n}}", self.dial)));
        }
        for (key, command) in
            [("voice.enter", &self.enter), ("voice.leave", &self.leave), ("voice.answer", &self.answer)]
        {
            if command.is_empty() {
                return Some((key, "must not be empty".to_owned()));
            }
        }
        self.hangup.is_empty().then(|| ("voice.hangup", "no command hangs up".to_owned()))
    }
}

impl Audio {
    fn fault(&self) -> Fault {
        if self.methods.is_empty() {
            return Some(("audio.methods", "no way to carry samples".to_owned()));
        }
        const RATES: [u32; 5] = [7_200, 8_000, 9_600, 11_025, 16_000];
        if let Some(method) = self.methods.iter().find(|method| !RATES.contains(&method.rate)) {
            return Some(("audio.methods", format!("{} samples a second cannot be carried", method.rate)));
        }
        for (key, start, ends) in [
            ("audio.end_duplex", &self.duplex, &self.end_duplex),
            ("audio.end_record", &self.record, &self.end_record),
            ("audio.end_play", &self.play, &self.end_play),
        ] {
            if !start.is_empty() && ends.0.is_empty() {
                return Some((key, format!("nothing ends what {start:?} begins")));
            }
        }
        if self.duplex.is_empty() && self.record.is_empty() {
            return Some(("audio.duplex", "neither duplex nor record: nothing can be heard".to_owned()));
        }
        let bounds = [
            ("audio.max_queue_ms", self.max_queue_ms, 40..=1_000),
            ("audio.turn_ms", self.turn_ms, 100..=10_000),
            ("audio.dead_ms", self.dead_ms, 0..=600_000),
        ];
        let bad = bounds.into_iter().find(|(_, ms, range)| !range.contains(ms));
        bad.map(|(key, _, range)| (key, format!("must be between {} and {}", range.start(), range.end())))
    }
}

impl Profile {
    /// The first thing: the key, and why.
    pub(super) fn analogue_fault(&self) -> Fault {
        let (Some(voice), Some(audio)) = (&self.voice, &self.audio) else {
            return Some(("kind", "an analogue profile needs [voice] and [audio]".to_owned()));
        };
        voice.fault().or_else(|| audio.fault())
    }
}
