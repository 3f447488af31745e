//! The voice stream of an analogue modem: samples over the AT port, both ways at once (`+VTR`) or one way at a time
//! (`+VRX`, `+VTX`).
//!
//! Both ways, the modem's clock is the master: what is written is counted against what was heard. Frames that come too
//! early (more than the profile's `max_queue_ms` ahead) are dropped, and where frames are late silence fills in, so that
//! the modem never runs dry. What waits in the modem for no need, because frames came after their silence, is taken back: a
//! frame is left out, a quiet one if there is one. One way at a time it listens, and turns round when there is something loud to be played; the
//! frames that come while it turns wait. When nothing loud came for `turn_ms` it plays out and listens again.

use crate::AT_PORT;
use crate::agc::Agc;
use crate::calibrate::Calibration;
use crate::coder::Coder;
use crate::context::{Context, Out};
use crate::pcm::SampleFormat;
use crate::profile::{Audio, Method};
use crate::voice;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::time::Duration;
use tapi::Time;
use tspi::media::FRAME_SAMPLES;
use tspi::{CallRef, Frame, Output, StreamId};

/// Frames of silence written at once when a stream begins.
const CUSHION: u64 = 2;
const FRAME: u64 = FRAME_SAMPLES as u64;
/// What may wait in the modem at the least: more of it throughout a window is delay for nothing.
const SPARE: u64 = 2 * FRAME;
/// Frames over which the least is taken, and how many of them may be awaited for a quiet one.
const WINDOW: u32 = 100;
const PATIENCE: u32 = 50;
/// An XON is taken for lost after so long.
const XON_LOST: Duration = Duration::from_secs(2);
/// The most frames that wait while the modem turns round.
const LONGEST_WAIT: usize = 50;

/// Which ways samples go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Way {
    /// Both at once.
    Both,
    /// From the line alone.
    Listen,
    /// To the line alone.
    Play,
}

/// Frames that wait for the modem to turn round.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Waiting(VecDeque<Vec<i16>>);

impl Waiting {
    /// Whether none waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One more; the oldest gives way.
    pub(crate) fn push(&mut self, frame: &Frame) {
        if self.0.len() >= LONGEST_WAIT {
            self.0.pop_front();
        }
        self.0.push_back(frame.0.to_vec());
    }
}

/// What waits in the modem, and whether that is more than is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Lead {
    /// The least of so many frames.
    Watched { least: u64, frames: u32 },
    /// A frame is left out: the next quiet one, or the last of so many.
    Surplus { frames: u32 },
}

impl Lead {
    const AFRESH: Lead = Lead::Watched { least: u64::MAX, frames: 0 };

    /// So much waits and a frame comes: whether it is left out.
    fn leaves_out(&mut self, waits: u64, loud: bool) -> bool {
        match self {
            Lead::Watched { least, frames } => {
                *least = waits.min(*least);
                *frames += 1;
                if *frames >= WINDOW {
                    *self = if *least > SPARE { Lead::Surplus { frames: 0 } } else { Lead::AFRESH };
                }
                false
            }
            // The surplus is gone.
            Lead::Surplus { .. } if waits <= SPARE => {
                *self = Lead::AFRESH;
                false
            }
            Lead::Surplus { frames } if loud && *frames < PATIENCE => {
                *frames += 1;
                false
            }
            Lead::Surplus { .. } => {
                *self = Lead::AFRESH;
                true
            }
        }
    }
}

/// A stream while samples flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Flow {
    stream: Option<StreamId>,
    way: Way,
    method: Method,
    coder: Coder,
    calibration: Calibration,
    /// The samples were found to be other ones than the method says.
    found: Option<SampleFormat>,
    agc: Option<Agc>,
    partial: Vec<i16>,
    /// Bytes heard, for the trace.
    bytes: u64,
    /// Samples heard and written, at 8 kHz.
    heard: u64,
    written: u64,
    begun: Time,
    last_heard: Time,
    /// Something loud was last to be played at.
    loud: Time,
    /// The modem can take no more since then (XOFF).
    full: Option<Time>,
    lead: Lead,
    /// Frames that came too early, frames of silence that filled in, and frames left out to be sooner.
    dropped: u64,
    filled: u64,
    left_out: u64,
    /// How often the modem had nothing to play, and how often we did not read in time.
    underruns: u64,
    overruns: u64,
}

impl Flow {
    /// The stream begins.
    pub(crate) fn begin(
        context: &mut Context<'_>,
        stream: Option<StreamId>,
        method: &Method,
        way: Way,
        call: CallRef,
    ) -> Flow {
        let audio = context.profile.audio.as_ref();
        let mut flow = Flow {
            stream,
            way,
            method: method.clone(),
            coder: Coder::new(method.fmt, method.rate),
            calibration: Calibration::of(method.fmt, audio.is_some_and(|audio| audio.calibrate)),
            found: None,
            agc: audio.filter(|audio| audio.agc).map(|_| Agc::new()),
            partial: Vec::with_capacity(FRAME_SAMPLES),
            bytes: 0,
            heard: 0,
            written: 0,
            begun: context.now,
            last_heard: context.now,
            loud: context.now,
            full: None,
            lead: Lead::AFRESH,
            dropped: 0,
            filled: 0,
            left_out: 0,
            underruns: 0,
            overruns: 0,
        };
        let begins = match way {
            Way::Both => "stream begins",
            Way::Listen => "stream from the line begins",
            Way::Play => "stream to the line begins",
        };
        context.out.trace(Some(call), false, context.name, begins);
        if way == Way::Both {
            for _ in 0..CUSHION {
                flow.write(context.out, &Frame::SILENCE.0);
            }
        }
        flow
    }

    /// The stream ended.
    pub(crate) fn end(&self, context: &mut Context<'_>, call: Option<CallRef>) {
        let mut summary = format!("stream ends, {} bytes", self.bytes);
        for (count, what) in [
            (self.underruns, "underruns"),
            (self.overruns, "overruns"),
            (self.dropped, "frames too early"),
            (self.filled, "frames late"),
            (self.left_out, "frames left out"),
        ] {
            if count > 0 {
                summary = format!("{summary}, {count} {what}");
            }
        }
        context.out.trace(call, false, context.name, &summary);
    }

    /// The modem had nothing to play, or else lost what we did not read.
    pub(crate) fn starved(&mut self, nothing_to_play: bool) {
        let count = if nothing_to_play { &mut self.underruns } else { &mut self.overruns };
        *count += 1;
    }

    /// The modem can take no more (XOFF), or it can again: what came meanwhile is left out.
    pub(crate) fn hold_back(&mut self, now: Time, full: bool) {
        self.full = full.then_some(now);
        self.written = self.written.max(self.heard);
    }

    /// Whether the modem takes what is written.
    fn takes(&mut self, now: Time) -> bool {
        if self.full.is_some_and(|since| now.since(since) >= XON_LOST) {
            self.hold_back(now, false);
        }
        self.full.is_none()
    }

    /// The format of its samples, once it was found to be another one than was said.
    pub(crate) fn found(&mut self) -> Option<SampleFormat> {
        self.found.take()
    }

    /// Which way it goes.
    pub(crate) fn way(&self) -> Way {
        self.way
    }

    /// A byte of audio. The 20 ms that it completes.
    pub(crate) fn hear(&mut self, now: Time, out: &mut Out, byte: u8) -> Option<Frame> {
        self.last_heard = now;
        self.bytes += 1;
        // `CONNECT` ends with CR LF, and its line was complete at the CR.
        if self.bytes == 1 && byte == b'\n' {
            return None;
        }
        if let Some(format) = self.calibration.push(self.method.fmt, byte) {
            self.method.fmt = format;
            self.coder = Coder::new(format, self.method.rate);
            self.found = Some(format);
        }
        self.coder.decode(byte, &mut self.partial);
        if self.partial.len() < FRAME_SAMPLES {
            return None;
        }
        let rest = self.partial.split_off(FRAME_SAMPLES);
        let mut samples = std::mem::replace(&mut self.partial, rest);
        if let Some(agc) = &mut self.agc {
            agc.lift(&mut samples);
        }
        self.heard += FRAME;
        let frame = Frame(<[i16; FRAME_SAMPLES]>::try_from(samples).ok()?);
        if let Some(stream) = self.stream {
            out.push(Output::Frame { stream, frame });
        }
        while self.way == Way::Both && self.written < self.heard + FRAME && self.takes(now) {
            self.filled += 1;
            self.write(out, &Frame::SILENCE.0);
        }
        Some(frame)
    }

    /// 20 ms to be sent.
    pub(crate) fn send(&mut self, now: Time, out: &mut Out, audio: &Audio, stream: StreamId, frame: &Frame) {
        if self.stream != Some(stream) {
            return;
        }
        let loud = audio.loud(frame);
        if loud {
            self.loud = now;
        }
        if self.way == Way::Both && self.lead.leaves_out(self.written.saturating_sub(self.heard), loud) {
            self.left_out += 1;
            return;
        }
        // Where nothing is heard the modem's clock cannot be seen: ours has to do.
        let clock = match self.way {
            Way::Play => now.since(self.begun).as_millis() as u64 * 8,
            Way::Both | Way::Listen => self.heard,
        };
        if !self.takes(now) {
            self.dropped += 1;
            return;
        }
        let ahead = (self.written + FRAME).saturating_sub(clock);
        let kept = if self.way == Way::Play { LONGEST_WAIT as u64 * FRAME } else { 0 };
        if ahead > u64::from(audio.max_queue_ms) * 8 + kept {
            self.dropped += 1;
        } else {
            self.write(out, &frame.0);
        }
    }

    /// Plays what waited.
    pub(crate) fn play_waiting(&mut self, out: &mut Out, waiting: &mut Waiting) {
        for samples in std::mem::take(&mut waiting.0) {
            self.write(out, &samples);
        }
    }

    /// When the stream counts as dead unless something is heard.
    pub(crate) fn dead_at(&self, audio: &Audio) -> Option<Time> {
        let watched = audio.dead_ms > 0 && self.way != Way::Play;
        watched.then(|| self.last_heard + Duration::from_millis(u64::from(audio.dead_ms)))
    }

    /// When nothing loud was to be played for so long that the modem turns round, unless something comes.
    pub(crate) fn quiet_at(&self, audio: &Audio) -> Option<Time> {
        (self.way == Way::Play).then(|| self.loud + Duration::from_millis(u64::from(audio.turn_ms)))
    }

    fn write(&mut self, out: &mut Out, samples: &[i16]) {
        let mut plain = Vec::with_capacity(FRAME_SAMPLES * 2);
        self.coder.encode(samples, &mut plain);
        let mut shielded = Vec::with_capacity(plain.len() + 8);
        voice::encode(&plain, &mut shielded);
        self.written += FRAME;
        out.write(AT_PORT, shielded);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames of a surplus that was there, over some seconds of frames: how many were left out of them, and which.
    fn run(mut waits: u64, loud: impl Fn(u32) -> bool, frames: u32) -> Vec<u32> {
        let mut lead = Lead::AFRESH;
        let mut left_out = Vec::new();
        for at in 0..frames {
            if lead.leaves_out(waits, loud(at)) {
                left_out.push(at);
                waits -= FRAME;
            }
        }
        left_out
    }

    #[test]
    fn what_waits_for_nothing_is_taken_back_where_it_is_quiet() {
        let left_out = run(6 * FRAME, |at| at % 40 != 7, 1_500);
        assert_eq!(left_out.len(), 4, "{left_out:?}");
        assert!(left_out.iter().all(|at| at % 40 == 7), "{left_out:?}");
        // A tone without end is shortened too, but not at once.
        assert_eq!(run(4 * FRAME, |_| true, 1_500).len(), 2);
        assert_eq!(run(2 * FRAME, |_| false, 1_500), Vec::<u32>::new());
    }

    #[test]
    fn what_is_needed_now_and_then_stays() {
        let mut lead = Lead::AFRESH;
        let late = |at: u64| if at.is_multiple_of(90) { FRAME } else { 8 * FRAME };
        assert!((0..2_000).all(|at| !lead.leaves_out(late(at), false)));
    }
}
