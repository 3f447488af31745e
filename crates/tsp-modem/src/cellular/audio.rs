//! The audio port of a dongle: as many bytes are written as are read, since its clock is the master.

use super::*;
use crate::AUDIO_PORT;
use crate::context::Out;
use crate::pcm::{SampleFormat, Unpacker};
use std::collections::VecDeque;
use tspi::Output;
use tspi::media::FRAME_SAMPLES;

/// The most that waits to be sent: 300 ms.
const LONGEST_QUEUE: usize = 2_400;
/// The longest wait between two attempts to open the port.
const LONGEST_WAIT: u64 = 60_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    Closed,
    Opening,
    Open,
    /// To be opened again then.
    Waiting {
        until: Time,
    },
}

/// The audio port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AudioPort {
    state: State,
    failures: u32,
    format: SampleFormat,
    unpacker: Unpacker,
    /// Whose audio it is.
    stream: Option<StreamId>,
    partial: Vec<i16>,
    to_send: VecDeque<i16>,
    /// Bytes that a sample to be written is longer than what was read.
    owed: usize,
    bytes: u64,
}

impl AudioPort {
    pub(super) fn new(profile: &Profile) -> AudioPort {
        let format = profile.cell.as_ref().map_or(SampleFormat::S16le, |cell| cell.audio_fmt);
        AudioPort {
            state: State::Closed,
            failures: 0,
            format,
            unpacker: Unpacker::new(format),
            stream: None,
            partial: Vec::new(),
            to_send: VecDeque::new(),
            owed: 0,
            bytes: 0,
        }
    }

    /// Opens the port, where there is one and it is not open.
    pub(super) fn want(&mut self, context: &mut Context<'_>) {
        if context.audio && matches!(self.state, State::Closed | State::Waiting { .. }) {
            self.state = State::Opening;
            context.out.push(Output::Open { port: AUDIO_PORT });
        }
    }

    pub(super) fn opened(&mut self) {
        self.state = State::Open;
        self.failures = 0;
        self.unpacker = Unpacker::new(self.format);
        self.owed = 0;
    }

    pub(super) fn closed(&mut self, context: &mut Context<'_>, reason: &str) {
        self.failures = self.failures.saturating_add(1);
        let wait = (1_000u64 << self.failures.saturating_sub(1).min(16)).min(LONGEST_WAIT);
        self.state = State::Waiting { until: context.now + Duration::from_millis(wait) };
        context.out.trace(None, false, context.name, &format!("audio port closed: {reason}"));
    }

    pub(super) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Carries this stream from now on, or none.
    pub(super) fn carry(&mut self, context: &mut Context<'_>, call: Option<CallRef>, stream: Option<StreamId>) {
        if self.stream == stream {
            return;
        }
        if self.stream.is_some() {
            context.out.trace(call, false, context.name, &format!("stream ends, {} bytes", self.bytes));
        }
        if stream.is_some() {
            context.out.trace(call, false, context.name, "stream begins");
        }
        self.silence();
        self.stream = stream;
    }

    pub(super) fn silence(&mut self) {
        self.stream = None;
        self.bytes = 0;
        self.partial.clear();
        self.to_send.clear();
    }

    pub(super) fn hear(&mut self, out: &mut Out, bytes: &[u8]) {
        if self.state != State::Open {
            return;
        }
        for byte in bytes {
            let Some(sample) = self.unpacker.push(*byte) else { continue };
            let Some(stream) = self.stream else { continue };
            self.bytes += self.format.width() as u64;
            self.partial.push(sample);
            if self.partial.len() >= FRAME_SAMPLES {
                if let Ok(samples) = <[i16; FRAME_SAMPLES]>::try_from(self.partial.as_slice()) {
                    out.push(Output::Frame { stream, frame: Frame(samples) });
                }
                self.partial.clear();
            }
        }
        // Whole samples only; what is left over of the bytes read is owed.
        let width = self.format.width();
        self.owed += bytes.len();
        let samples = self.owed / width;
        self.owed %= width;
        let mut written = Vec::with_capacity(samples * width);
        for _ in 0..samples {
            self.format.encode(self.to_send.pop_front().unwrap_or(0), &mut written);
        }
        out.write(AUDIO_PORT, written);
    }

    pub(super) fn send(&mut self, stream: StreamId, frame: &Frame) {
        if self.stream == Some(stream) && self.state == State::Open {
            self.to_send.extend(frame.0);
            let excess = self.to_send.len().saturating_sub(LONGEST_QUEUE);
            self.to_send.drain(..excess);
        }
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        match self.state {
            State::Waiting { until } => Some(until),
            State::Closed | State::Opening | State::Open => None,
        }
    }

    pub(super) fn timeout(&mut self, context: &mut Context<'_>) {
        if matches!(self.state, State::Waiting { until } if context.now >= until) {
            self.want(context);
        }
    }
}
