//! The voice stream of an analogue modem (`+VTR`): samples both ways over the AT port.
//!
//! The modem's clock is the master: what is written is counted against what was heard. Frames that come too early (more
//! than the profile's `max_queue_ms` ahead) are dropped, and where frames are late silence fills in, so that the modem
//! never runs dry.

use crate::AT_PORT;
use crate::context::{Context, Out};
use crate::pcm::{SampleFormat, Unpacker};
use crate::profile::Audio;
use crate::voice;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tapi::Time;
use tspi::media::FRAME_SAMPLES;
use tspi::{CallRef, Frame, Output, StreamId};

/// Frames of silence written at once when a stream begins.
const CUSHION: u64 = 2;
const FRAME: u64 = FRAME_SAMPLES as u64;

/// A stream while samples flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Flow {
    stream: Option<StreamId>,
    format: SampleFormat,
    unpacker: Unpacker,
    partial: Vec<i16>,
    /// Bytes heard, for the trace.
    bytes: u64,
    /// Samples heard and written.
    heard: u64,
    written: u64,
    last_heard: Time,
    /// Frames that came too early, and frames of silence that filled in.
    pub(crate) dropped: u64,
    pub(crate) filled: u64,
}

impl Flow {
    /// The stream begins.
    pub(crate) fn begin(
        context: &mut Context<'_>,
        stream: Option<StreamId>,
        format: SampleFormat,
        call: CallRef,
    ) -> Flow {
        let mut flow = Flow {
            stream,
            format,
            unpacker: Unpacker::new(format),
            partial: Vec::with_capacity(FRAME_SAMPLES),
            bytes: 0,
            heard: 0,
            written: 0,
            last_heard: context.now,
            dropped: 0,
            filled: 0,
        };
        context.out.trace(Some(call), false, context.name, "stream begins");
        for _ in 0..CUSHION {
            flow.write(context.out, &Frame::SILENCE);
        }
        flow
    }

    /// The stream ended.
    pub(crate) fn end(&self, context: &mut Context<'_>, call: Option<CallRef>) {
        let summary = format!("stream ends, {} bytes", self.bytes);
        context.out.trace(call, false, context.name, &summary);
    }

    /// A byte of audio.
    pub(crate) fn hear(&mut self, now: Time, out: &mut Out, byte: u8) {
        self.last_heard = now;
        self.bytes += 1;
        // `CONNECT` ends with CR LF, and its line was complete at the CR.
        if self.bytes == 1 && byte == b'\n' {
            return;
        }
        let Some(sample) = self.unpacker.push(byte) else { return };
        self.partial.push(sample);
        self.heard += 1;
        if self.partial.len() < FRAME_SAMPLES {
            return;
        }
        if let (Some(stream), Ok(samples)) = (self.stream, <[i16; FRAME_SAMPLES]>::try_from(self.partial.as_slice())) {
            out.push(Output::Frame { stream, frame: Frame(samples) });
        }
        self.partial.clear();
        while self.written < self.heard + FRAME {
            self.filled += 1;
            self.write(out, &Frame::SILENCE);
        }
    }

    /// 20 ms to be sent.
    pub(crate) fn send(&mut self, out: &mut Out, audio: &Audio, stream: StreamId, frame: &Frame) {
        if self.stream != Some(stream) {
            return;
        }
        let ahead = (self.written + FRAME).saturating_sub(self.heard);
        if ahead > u64::from(audio.max_queue_ms) * 8 {
            self.dropped += 1;
        } else {
            self.write(out, frame);
        }
    }

    /// When the stream counts as dead unless something is heard.
    pub(crate) fn dead_at(&self, audio: &Audio) -> Option<Time> {
        (audio.dead_ms > 0).then(|| self.last_heard + Duration::from_millis(u64::from(audio.dead_ms)))
    }

    fn write(&mut self, out: &mut Out, frame: &Frame) {
        let mut plain = Vec::with_capacity(FRAME_SAMPLES * self.format.width());
        for sample in &frame.0 {
            self.format.encode(*sample, &mut plain);
        }
        let mut shielded = Vec::with_capacity(plain.len() + 8);
        voice::encode(&plain, &mut shielded);
        self.written += FRAME;
        out.write(AT_PORT, shielded);
    }
}
