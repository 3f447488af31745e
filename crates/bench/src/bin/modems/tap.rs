//! A modem whose line and whose port are listened in on: marks are put on the line, and looked for in what the host writes.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tapi::Time;
use tapi_sim::modem::analogue::{Analogue, Persona};
use tapi_sim::modem::{Access, Device, Effect, Signal};
use tspi::Frame;

/// Samples of a mark, and its amplitude.
const MARK: usize = 40;
const LOUD: i16 = 12_000;
/// What is as loud as a mark is one.
const THRESHOLD: i16 = 4_000;
/// How far a mark's bytes are from those of silence, in either coding.
const FAR: u8 = THRESHOLD.to_be_bytes()[0];

/// Where the marks of one modem were seen, and when.
#[derive(Debug, Default)]
pub struct Marks {
    /// Put on the line, where the modem hands them to the host at once.
    pub spoken: Vec<Instant>,
    /// Written by the host to the modem's port.
    pub written: Vec<Instant>,
    /// Played to the line, behind the modem's own buffer.
    pub played: Vec<Instant>,
    /// How many are to be put on the line, and the pause between them in frames.
    pub wanted: (u32, u32),
    /// Whether marks are looked for.
    pub armed: bool,
    /// Frames that passed.
    pub frames: u32,
}

/// Adds a moment, unless it is still the mark before.
pub fn note(moments: &mut Vec<Instant>, now: Instant) {
    if moments.last().is_none_or(|last| now - *last > Duration::from_millis(100)) {
        moments.push(now);
    }
}

/// A mark: 5 ms of a loud 1000 Hz tone at the beginning of a frame of silence.
pub fn mark() -> Frame {
    let mut frame = Frame::SILENCE;
    for (at, sample) in frame.0.iter_mut().take(MARK).enumerate() {
        *sample = if at / 4 % 2 == 0 { LOUD } else { -LOUD };
    }
    frame
}

/// Whether a mark is in these samples.
pub fn is_marked(samples: impl IntoIterator<Item = i16>) -> bool {
    samples.into_iter().any(|sample| sample.saturating_abs() > THRESHOLD)
}

/// Whether a byte of the stream is as loud as a mark, where `silence` is one that is not. The host has chosen between 8-bit
/// linear samples (silence is 0x80) and µ-law (0xff or 0x7f): the lower seven bits are far apart in a circle in both.
fn is_loud(byte: u8, silence: u8) -> bool {
    let apart = (byte & 0x7f).abs_diff(silence & 0x7f);
    apart.min(128 - apart) > FAR
}

/// The modem.
pub struct Tapped {
    modem: Analogue,
    marks: Arc<Mutex<Marks>>,
    /// The last byte of the host: a mark is at the beginning of a frame, so a frame ends with silence.
    silence: u8,
}

impl Tapped {
    /// A V.253 modem.
    pub fn new(marks: Arc<Mutex<Marks>>) -> Tapped {
        Tapped { modem: Analogue::new(Persona::v253()), marks, silence: 0 }
    }

    fn look<T>(&self, with: impl FnOnce(&mut Marks) -> T) -> Option<T> {
        self.marks.lock().ok().filter(|marks| marks.armed).map(|mut marks| with(&mut marks))
    }
}

impl Device for Tapped {
    fn access(&self) -> Access {
        self.modem.access()
    }

    fn ports(&self) -> u32 {
        self.modem.ports()
    }

    fn bytes(&mut self, now: Time, port: u32, bytes: &[u8]) {
        let last = bytes.last().copied().unwrap_or(self.silence);
        let silence = std::mem::replace(&mut self.silence, last);
        if bytes.iter().any(|byte| is_loud(*byte, silence)) {
            self.look(|marks| note(&mut marks.written, Instant::now()));
        }
        self.modem.bytes(now, port, bytes);
    }

    fn room(&self, port: u32) -> usize {
        self.modem.room(port)
    }

    fn host_reads(&mut self, port: u32, reads: bool) {
        self.modem.host_reads(port, reads);
    }

    fn signal(&mut self, now: Time, signal: Signal) {
        self.modem.signal(now, signal);
    }

    fn frame(&mut self, now: Time, heard: &Frame) -> Frame {
        let due = self.look(|marks| {
            marks.frames += 1;
            let due = marks.wanted.0 > 0 && marks.frames.is_multiple_of(marks.wanted.1.max(1));
            if due {
                marks.wanted.0 -= 1;
                marks.spoken.push(Instant::now());
            }
            due
        });
        let silence = if due == Some(true) { mark() } else { Frame::SILENCE };
        let said = self.modem.frame(now, if due.is_some() { &silence } else { heard });
        if is_marked(said.0) {
            self.look(|marks| note(&mut marks.played, Instant::now()));
        }
        said
    }

    fn timeout(&mut self, now: Time) {
        self.modem.timeout(now);
    }

    fn reset(&mut self) {
        self.modem.reset();
    }

    fn powered(&mut self, now: Time) {
        self.modem.powered(now);
    }

    fn poll_output(&mut self) -> Option<Effect> {
        self.modem.poll_output()
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.modem.poll_timeout()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_seen_in_either_coding_and_silence_in_none() {
        let samples = mark().0;
        let coded = |code: fn(i16) -> u8| samples.map(code);
        let linear = coded(|sample| ((sample >> 8) as u8).wrapping_add(0x80));
        let law = coded(|sample| (0..=255).min_by_key(|code| crate::phone::linear(*code).abs_diff(sample)).unwrap());
        for (stream, silent) in [(linear, [0x80, 0x7f, 0x81, 0x80]), (law, [0xff, 0x7f, 0xfe, 0x7e])] {
            let silence = stream[159];
            assert!(stream[..MARK].iter().all(|byte| is_loud(*byte, silence)), "{stream:x?}");
            assert!(!silent.iter().chain(&stream[MARK..]).any(|byte| is_loud(*byte, silence)), "{stream:x?}");
        }
    }
}
