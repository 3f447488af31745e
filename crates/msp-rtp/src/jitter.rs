//! Playout: what came in at its own pace leaves in frames of 20 ms.
//!
//! Samples are kept by timestamp, so packets of any length are split and joined as the frames ask. Times are counted in
//! samples at 8 kHz, whatever the rate of the audio. The delay begins at 40 ms, since a network is not known yet, or at 20 ms
//! for a modem's frames. It grows where the buffer runs dry or packets come too late (a frame is put in), up to its most,
//! 200 ms. It shrinks down to its least, 20 ms, where it was not used up: where nothing was needed of it for two seconds it
//! falls half the way to its least, where some was by a frame in ten. Whenever more waits than the delay asks for, quiet
//! frames are left out, and after a second any frame, two a second: what is before fades into what is after. Where trouble
//! soon follows, it waits twice as long before it shrinks again.

use crate::plc::Plc;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::time::Duration;
use tapi::Time;
use tspi::media::{AudioFrame, FRAME_SAMPLES, Frame, Rate};

const FRAME: u32 = FRAME_SAMPLES as u32;
const TARGET_MIN: u32 = FRAME;
/// Where a network's delay begins, unless its least is more.
const TARGET_FIRST: u32 = 2 * FRAME;
const TARGET_MAX: u32 = 10 * FRAME;
/// Samples of a ring at 8 kHz.
const RING: usize = 4096;
/// No code of G.711 decodes to it, and frames are kept from it.
const MISSING: i16 = i16::MIN;
/// Frames of nothing after which the source is taken to have stopped.
const DRY_FRAMES: u32 = 10;
/// Frames over which the least level is taken: a second.
const WINDOW: u32 = 50;
/// Windows without trouble after which the target falls: where it was not needed, and where some of it was.
const CALM_WINDOWS: u32 = 2;
const USED_WINDOWS: u32 = 10;
/// Windows after a fall within which trouble tells that it was too early; the most that is waited then.
const EARLY_WINDOWS: u32 = 10;
const MOST_PATIENCE: u32 = 32;
/// Frames between two that are left out although they are not quiet.
const FORCED_APART: u32 = 25;

/// Samples below this are quiet: some -50 dBm0.
const QUIET: u16 = 70;

/// Least and most delay, and that at the beginning, in samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    least: u32,
    most: u32,
    first: u32,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { least: TARGET_MIN, most: TARGET_MAX, first: TARGET_FIRST }
    }
}

impl Bounds {
    /// From milliseconds: 20 to 200, whole frames.
    pub fn from_millis(least_ms: u32, most_ms: u32) -> Bounds {
        let samples = |millis: u32| (millis.clamp(20, 200) * 8).next_multiple_of(FRAME).min(TARGET_MAX);
        let (least, most) = (samples(least_ms), samples(most_ms.max(least_ms)));
        Bounds { least, most, first: TARGET_FIRST.clamp(least, most) }
    }

    /// For a source on this machine: no network is between, so one frame is enough to begin with.
    pub fn at_hand(self) -> Bounds {
        Bounds { least: FRAME.min(self.least), first: FRAME.min(self.least), ..self }
    }
}

/// What a playout buffer counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Playout {
    /// Packets that came after their time.
    pub late: u64,
    /// Frames in which something was made up.
    pub concealed: u64,
}

/// A playout buffer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Jitter {
    ring: Ring,
    state: State,
    /// Timestamp after the newest sample.
    end: u32,
    bounds: Bounds,
    target: u32,
    /// Frames to put in.
    stretch: u32,
    /// Frames to be left out, and how long the first has waited for a quiet one.
    spare: u32,
    overdue: u32,
    least: u32,
    frames: u32,
    /// Windows without trouble, since the last fall, and those to wait for before the next.
    calm: u32,
    since_fall: Option<u32>,
    patience: u32,
    plc: Plc,
    counts: Playout,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// Nothing comes.
    Idle,
    /// Samples from `start` on will be played at `at`.
    Waiting { start: u32, at: Time },
    /// The next sample to play; how many frames there was nothing.
    Playing { cursor: u32, dry: u32 },
}

impl Default for Jitter {
    fn default() -> Jitter {
        Jitter::new(Bounds::default(), Rate::Narrow)
    }
}

impl Jitter {
    /// Empty, for audio of this rate.
    pub fn new(bounds: Bounds, rate: Rate) -> Jitter {
        Jitter {
            ring: Ring::new(rate),
            state: State::Idle,
            end: 0,
            bounds,
            target: bounds.first,
            stretch: 0,
            spare: 0,
            overdue: 0,
            least: u32::MAX,
            frames: 0,
            calm: 0,
            since_fall: None,
            patience: CALM_WINDOWS,
            plc: Plc::new(rate),
            counts: Playout::default(),
        }
    }

    /// The rate of what is in it.
    pub fn rate(&self) -> Rate {
        self.ring.rate
    }

    /// What was counted.
    pub fn counts(&self) -> Playout {
        self.counts
    }

    /// The delay that is aimed at, in milliseconds.
    pub fn target_ms(&self) -> u32 {
        self.target / 8
    }

    /// Forgets what is buffered: the source is another one now.
    pub fn reset(&mut self) {
        if self.is_idle() {
            return;
        }
        self.ring.clear();
        self.plc.reset();
        self.state = State::Idle;
        self.stretch = 0;
        self.spare = 0;
        self.least = u32::MAX;
        self.frames = 0;
    }

    /// Takes a packet's samples.
    pub fn packet(&mut self, now: Time, timestamp: u32, samples: &[i16]) {
        let factor = self.ring.rate.factor();
        if let Some(skip) = self.place(now, timestamp, samples.len() / factor) {
            self.ring.put(timestamp.wrapping_add(skip as u32), samples.get(skip * factor..).unwrap_or_default());
        }
    }

    /// Takes a frame of a source that has no timestamps; for audio at 8 kHz.
    pub fn frame(&mut self, now: Time, frame: &Frame) {
        // Too much waits already: the source's clock is faster than ours, or a burst came.
        if self.level() > TARGET_MAX {
            self.counts.late += 1;
            return;
        }
        let timestamp = match self.state {
            State::Idle => 0,
            State::Waiting { .. } | State::Playing { .. } => self.end,
        };
        self.packet(now, timestamp, &frame.0);
    }

    /// Makes room for samples from `timestamp` on; says how many of them are too late. `None`: all.
    fn place(&mut self, now: Time, timestamp: u32, samples: usize) -> Option<usize> {
        let samples = u32::try_from(samples).ok().filter(|samples| (1..=TARGET_MAX).contains(samples))?;
        let end = timestamp.wrapping_add(samples);
        match self.state {
            State::Idle => self.anchor(now, timestamp),
            State::Waiting { start, at } => {
                let ahead = timestamp.wrapping_sub(start) as i32;
                if ahead.unsigned_abs() > 2 * TARGET_MAX {
                    self.anchor(now, timestamp);
                } else if ahead < 0 {
                    self.state = State::Waiting { start: timestamp, at };
                }
            }
            State::Playing { cursor, .. } => {
                let ahead = end.wrapping_sub(cursor) as i32;
                if ahead.unsigned_abs() > 2 * TARGET_MAX {
                    self.anchor(now, timestamp);
                } else if ahead <= 0 {
                    self.counts.late += 1;
                    self.trouble();
                    self.stretch = 1;
                    return None;
                }
                if let State::Playing { cursor, dry } = self.state {
                    // It was late, not gone.
                    if dry > 0 {
                        self.trouble();
                        self.state = State::Playing { cursor, dry: 0 };
                    }
                    self.extend(end);
                    return Some((cursor.wrapping_sub(timestamp) as i32).max(0) as usize);
                }
            }
        }
        self.extend(end);
        Some(0)
    }

    fn extend(&mut self, end: u32) {
        if (end.wrapping_sub(self.end) as i32) > 0 {
            self.end = end;
        }
    }

    fn anchor(&mut self, now: Time, timestamp: u32) {
        self.reset();
        self.end = timestamp;
        self.state = State::Waiting { start: timestamp, at: now + Duration::from_micros(u64::from(self.target) * 125) };
    }

    /// Samples that wait.
    fn level(&self) -> u32 {
        match self.state {
            State::Idle => 0,
            State::Waiting { start, .. } => self.end.wrapping_sub(start),
            State::Playing { cursor, .. } => (self.end.wrapping_sub(cursor) as i32).max(0) as u32,
        }
    }

    fn trouble(&mut self) {
        self.target = (self.target + FRAME).min(self.bounds.most);
        self.calm = 0;
        self.spare = 0;
        if self.since_fall.take().is_some_and(|windows| windows < EARLY_WINDOWS) {
            self.patience = (2 * self.patience).min(MOST_PATIENCE);
        }
    }

    /// Whether there is, or soon will be, something to play.
    pub fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// The next 20 ms; `None` while nothing comes.
    pub fn pop(&mut self, now: Time) -> Option<AudioFrame> {
        let (cursor, dry) = match self.state {
            State::Idle => return None,
            State::Waiting { at, .. } if now < at => return None,
            State::Waiting { start, .. } => (start, 0),
            State::Playing { cursor, dry } => (cursor, dry),
        };
        let level = (self.end.wrapping_sub(cursor) as i32).max(0) as u32;
        if level == 0 {
            return self.run_dry(cursor, dry + 1);
        }
        if self.stretch > 0 && level < TARGET_MAX {
            self.stretch -= 1;
            self.state = State::Playing { cursor, dry: 0 };
            return Some(self.made_up());
        }
        let surplus = self.surplus(cursor, level);
        let next = cursor.wrapping_add(surplus);
        self.state = State::Playing { cursor: next.wrapping_add(FRAME), dry: 0 };
        if surplus == 0 {
            return Some(self.read(cursor));
        }
        // What is left out must not be heard as a click.
        let mut frame = self.read(cursor);
        self.ring.forget(cursor.wrapping_add(FRAME), surplus - FRAME);
        let after = self.read(next);
        fade(frame.samples_mut(), after.samples());
        Some(frame)
    }

    /// Nothing to play: the source is late (then the delay has grown by what is put in here) or has stopped.
    fn run_dry(&mut self, cursor: u32, dry: u32) -> Option<AudioFrame> {
        if dry > DRY_FRAMES {
            self.reset();
            return None;
        }
        self.state = State::Playing { cursor, dry };
        Some(self.made_up())
    }

    /// How many samples to leave out since more wait than are needed.
    fn surplus(&mut self, cursor: u32, level: u32) -> u32 {
        if level > TARGET_MAX + 2 * FRAME {
            return (level - self.target).max(FRAME);
        }
        self.least = self.least.min(level);
        self.frames += 1;
        if self.frames >= WINDOW {
            self.judge();
        }
        if self.spare == 0 {
            return 0;
        }
        self.overdue += 1;
        if self.overdue < 2 * FORCED_APART && !self.ring.is_quiet(cursor) {
            return 0;
        }
        self.spare -= 1;
        self.overdue = FORCED_APART;
        FRAME
    }

    /// A window is over: how much of the delay was not needed in it.
    fn judge(&mut self) {
        self.calm += 1;
        self.since_fall = self.since_fall.map(|windows| windows.saturating_add(1));
        if self.calm > 2 * MOST_PATIENCE {
            self.patience = CALM_WINDOWS;
        }
        let unused = self.least.saturating_add(FRAME) > self.target;
        let patience = if unused { self.patience } else { self.patience.max(USED_WINDOWS) };
        if self.calm >= patience && self.least > FRAME && self.target > self.bounds.least {
            let step = if unused { ((self.target - self.bounds.least) / 2).next_multiple_of(FRAME) } else { FRAME };
            self.target = self.target.saturating_sub(step).max(self.bounds.least);
            (self.calm, self.since_fall) = (0, Some(0));
        }
        let spare = self.least.saturating_sub(self.target + 1) / FRAME;
        if self.spare == 0 {
            self.overdue = 0;
        }
        (self.spare, self.frames, self.least) = (spare, 0, u32::MAX);
    }

    fn read(&mut self, cursor: u32) -> AudioFrame {
        let mut frame = AudioFrame::silence(self.ring.rate);
        let samples = frame.samples_mut();
        self.ring.take(cursor, samples);
        // Nearly always all are there.
        if samples.iter().filter(|sample| **sample == MISSING).count() == 0 {
            self.plc.good(samples);
            return frame;
        }
        self.counts.concealed += 1;
        for run in samples.chunk_by_mut(|one, other| (*one == MISSING) == (*other == MISSING)) {
            if run.first() == Some(&MISSING) {
                self.plc.conceal(run);
            } else {
                self.plc.good(run);
            }
        }
        frame
    }

    /// What was heard last goes on, and fades.
    fn made_up(&mut self) -> AudioFrame {
        self.counts.concealed += 1;
        let mut frame = AudioFrame::silence(self.ring.rate);
        self.plc.conceal(frame.samples_mut());
        frame
    }
}

/// From what is there to other samples, linearly.
fn fade(samples: &mut [i16], others: &[i16]) {
    let length = samples.len().max(1) as i32;
    for ((sample, other), n) in samples.iter_mut().zip(others).zip(0..) {
        let (before, after) = (i32::from(*sample), i32::from(*other));
        *sample = (before + (after - before) * n / length) as i16;
    }
}

/// Samples by the low bits of their timestamp.
#[derive(Clone, Debug)]
struct Ring {
    rate: Rate,
    samples: Box<[i16]>,
}

impl Ring {
    fn new(rate: Rate) -> Ring {
        Ring { rate, samples: vec![MISSING; RING * rate.factor()].into() }
    }

    fn clear(&mut self) {
        self.samples.fill(MISSING);
    }

    /// The places of so many samples from a timestamp on: up to the end of the ring, and from its beginning.
    fn places(&mut self, timestamp: u32, count: usize) -> [&mut [i16]; 2] {
        let start = timestamp as usize % RING * self.rate.factor();
        let (before, after) = self.samples.split_at_mut(start);
        let (first, second) = (count.min(after.len()), count.saturating_sub(after.len()).min(before.len()));
        [&mut after[..first], &mut before[..second]]
    }

    fn put(&mut self, timestamp: u32, samples: &[i16]) {
        let mut rest = samples;
        for places in self.places(timestamp, samples.len()) {
            let (part, others) = rest.split_at(places.len().min(rest.len()));
            places.iter_mut().zip(part).for_each(|(place, sample)| *place = (*sample).max(-i16::MAX));
            rest = others;
        }
    }

    /// Whether nothing is to be heard in the frame from there on.
    fn is_quiet(&mut self, timestamp: u32) -> bool {
        let quiet = |sample: &i16| *sample == MISSING || sample.unsigned_abs() < QUIET;
        self.places(timestamp, self.rate.frame_samples()).iter().all(|places| places.iter().all(quiet))
    }

    /// Takes samples out, unheard: at this place they would be taken for later ones.
    fn forget(&mut self, timestamp: u32, count: u32) {
        let count = count as usize * self.rate.factor();
        self.places(timestamp, count).into_iter().for_each(|places| places.fill(MISSING));
    }

    /// Takes samples out.
    fn take(&mut self, timestamp: u32, out: &mut [i16]) {
        let mut rest = out;
        for places in self.places(timestamp, rest.len()) {
            let (part, others) = rest.split_at_mut(places.len());
            part.copy_from_slice(places);
            places.fill(MISSING);
            rest = others;
        }
    }
}

/// Most of a ring is missing: only its runs of samples are written.
impl Serialize for Ring {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut runs: Vec<(usize, Vec<i16>)> = Vec::new();
        for (n, sample) in self.samples.iter().enumerate().filter(|(_, sample)| **sample != MISSING) {
            match runs.last_mut() {
                Some((start, run)) if *start + run.len() == n => run.push(*sample),
                _ => runs.push((n, vec![*sample])),
            }
        }
        (self.rate, runs).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Ring {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Ring, D::Error> {
        let (rate, runs): (Rate, Vec<(usize, Vec<i16>)>) = Deserialize::deserialize(deserializer)?;
        let mut ring = Ring::new(rate);
        for (start, run) in runs {
            let end = start.saturating_add(run.len());
            let room = ring
                .samples
                .get_mut(start..end)
                .ok_or_else(|| serde::de::Error::custom("a run outside of the ring"))?;
            room.copy_from_slice(&run);
        }
        Ok(ring)
    }
}

#[cfg(test)]
mod tests;
