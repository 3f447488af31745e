//! Playout: what came in at its own pace leaves in frames of 20 ms.
//!
//! Samples are kept by timestamp, so packets of any length are split and joined as the frames ask. The delay starts at
//! its least, 40 ms, or 20 ms for a modem's frames. It grows where the buffer runs dry or packets come too late (a frame is put in), up to its most,
//! 200 ms. It shrinks where there was more than enough for two seconds: then a quiet frame is left out, or any frame where
//! none is quiet for two more.

use crate::plc::Plc;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::time::Duration;
use tapi::Time;
use tspi::media::{FRAME_SAMPLES, Frame};

const FRAME: u32 = FRAME_SAMPLES as u32;
const TARGET_MIN: u32 = 2 * FRAME;
const TARGET_MAX: u32 = 10 * FRAME;
const RING: usize = 4096;
/// No code of G.711 decodes to it, and frames are kept from it.
const MISSING: i16 = i16::MIN;
/// Frames of nothing after which the source is taken to have stopped.
const DRY_FRAMES: u32 = 10;
/// Frames over which the least level is taken.
const WINDOW: u32 = 100;
/// Windows without trouble after which the target falls.
const CALM_WINDOWS: u32 = 5;

/// Samples below this are quiet: some -50 dBm0.
const QUIET: u16 = 70;

/// Least and most delay, in samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    least: u32,
    most: u32,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { least: TARGET_MIN, most: TARGET_MAX }
    }
}

impl Bounds {
    /// From milliseconds: 20 to 200, whole frames.
    pub fn from_millis(least_ms: u32, most_ms: u32) -> Bounds {
        let samples = |millis: u32| (millis.clamp(20, 200) * 8).next_multiple_of(FRAME).min(TARGET_MAX);
        Bounds { least: samples(least_ms), most: samples(most_ms.max(least_ms)) }
    }

    /// For a source on this machine: no network is between, so one frame is enough to begin with.
    pub fn at_hand(self) -> Bounds {
        Bounds { least: FRAME.min(self.least), ..self }
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
    /// Whether a frame is to be left out.
    spare: bool,
    least: u32,
    frames: u32,
    calm: u32,
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
        Jitter::new(Bounds::default())
    }
}

impl Jitter {
    /// Empty.
    pub fn new(bounds: Bounds) -> Jitter {
        Jitter {
            ring: Ring::new(),
            state: State::Idle,
            end: 0,
            bounds,
            target: bounds.least,
            stretch: 0,
            spare: false,
            least: u32::MAX,
            frames: 0,
            calm: 0,
            plc: Plc::new(),
            counts: Playout::default(),
        }
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
        self.spare = false;
        self.least = u32::MAX;
        self.frames = 0;
    }

    /// Takes a packet's samples.
    pub fn packet(&mut self, now: Time, timestamp: u32, samples: &[i16]) {
        if let Some(skip) = self.place(now, timestamp, samples.len()) {
            for (n, sample) in samples.iter().enumerate().skip(skip) {
                self.ring.put(timestamp.wrapping_add(n as u32), (*sample).max(-i16::MAX));
            }
        }
    }

    /// Takes a frame of a source that has no timestamps.
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
        if let Some(skip) = self.place(now, timestamp, FRAME_SAMPLES) {
            for (n, sample) in frame.0.iter().enumerate().skip(skip) {
                self.ring.put(timestamp.wrapping_add(n as u32), (*sample).max(-i16::MAX));
            }
        }
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
    }

    /// Whether there is, or soon will be, something to play.
    pub fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// The next 20 ms; `None` while nothing comes.
    pub fn pop(&mut self, now: Time) -> Option<Frame> {
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
        let cursor = cursor.wrapping_add(self.surplus(cursor, level));
        self.state = State::Playing { cursor: cursor.wrapping_add(FRAME), dry: 0 };
        Some(self.read(cursor))
    }

    /// Nothing to play: the source is late (then the delay has grown by what is put in here) or has stopped.
    fn run_dry(&mut self, cursor: u32, dry: u32) -> Option<Frame> {
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
            return level - self.target;
        }
        self.least = self.least.min(level);
        self.frames += 1;
        if self.frames < WINDOW {
            return self.leave_out(self.spare && self.ring.is_quiet(cursor));
        }
        let overdue = self.spare;
        self.spare = self.least > self.target + FRAME;
        self.frames = 0;
        self.least = u32::MAX;
        self.calm += 1;
        if self.calm >= CALM_WINDOWS {
            self.calm = 0;
            self.target = self.target.saturating_sub(FRAME).max(self.bounds.least);
        }
        self.leave_out(overdue && self.spare)
    }

    fn leave_out(&mut self, now: bool) -> u32 {
        if !now {
            return 0;
        }
        self.spare = false;
        FRAME
    }

    fn read(&mut self, cursor: u32) -> Frame {
        let mut frame = Frame::SILENCE;
        for (n, sample) in frame.0.iter_mut().enumerate() {
            *sample = self.ring.take(cursor.wrapping_add(n as u32));
        }
        self.counts.concealed += u64::from(frame.0.contains(&MISSING));
        for run in frame.0.chunk_by_mut(|one, other| (*one == MISSING) == (*other == MISSING)) {
            if run.first() == Some(&MISSING) {
                self.plc.conceal(run);
            } else {
                self.plc.good(run);
            }
        }
        frame
    }

    /// What was heard last goes on, and fades.
    fn made_up(&mut self) -> Frame {
        self.counts.concealed += 1;
        let mut frame = Frame::SILENCE;
        self.plc.conceal(&mut frame.0);
        frame
    }
}

/// Samples by the low bits of their timestamp.
#[derive(Clone, Debug)]
struct Ring(Box<[i16]>);

impl Ring {
    fn new() -> Ring {
        Ring(vec![MISSING; RING].into())
    }

    fn clear(&mut self) {
        self.0.fill(MISSING);
    }

    fn put(&mut self, timestamp: u32, sample: i16) {
        self.0[timestamp as usize % RING] = sample;
    }

    /// Whether nothing is to be heard in the frame from there on.
    fn is_quiet(&self, timestamp: u32) -> bool {
        let quiet = |sample: i16| sample == MISSING || sample.unsigned_abs() < QUIET;
        (0..FRAME).all(|n| quiet(self.0[timestamp.wrapping_add(n) as usize % RING]))
    }

    fn take(&mut self, timestamp: u32) -> i16 {
        std::mem::replace(&mut self.0[timestamp as usize % RING], MISSING)
    }
}

/// Most of a ring is missing: only its runs of samples are written.
impl Serialize for Ring {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut runs: Vec<(usize, Vec<i16>)> = Vec::new();
        for (n, sample) in self.0.iter().enumerate().filter(|(_, sample)| **sample != MISSING) {
            match runs.last_mut() {
                Some((start, run)) if *start + run.len() == n => run.push(*sample),
                _ => runs.push((n, vec![*sample])),
            }
        }
        runs.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Ring {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Ring, D::Error> {
        let runs: Vec<(usize, Vec<i16>)> = Deserialize::deserialize(deserializer)?;
        let mut ring = Ring::new();
        for (start, run) in runs {
            let end = start.saturating_add(run.len());
            let room =
                ring.0.get_mut(start..end).ok_or_else(|| serde::de::Error::custom("a run outside of the ring"))?;
            room.copy_from_slice(&run);
        }
        Ok(ring)
    }
}

#[cfg(test)]
mod tests;
