//! The audio port of a dongle: as many bytes are written as are read, since its clock is the master; after a stall of ours
//! no more than it had time to play, since what is too much would wait in it for the rest of the call.

use super::*;
use crate::AUDIO_PORT;
use crate::context::Out;
use crate::pace::Pacer;
use crate::pcm::{SampleFormat, Unpacker};
use crate::profile::{Pace, ReadyWhen};
use tspi::Output;
use tspi::media::FRAME_SAMPLES;

/// A write at our own pace differs from a frame by one sample at most; it does so when as many as this are owed.
const OWED: i64 = 80;
/// The most samples that are written at once, whatever was read: 60 ms.
const AT_ONCE: u64 = 480;
/// What may be written grows by so many samples a second: beyond what any modem's clock does.
const ALLOWED: u64 = 8_080;
/// A sample, in parts of what grows in a microsecond.
const SAMPLE: u64 = 1_000_000;
/// The longest wait between two attempts to open the port.
const LONGEST_WAIT: u64 = 60_000;
/// Audio of a call that stays away for so long is dead.
const DEAD: Duration = Duration::from_secs(2);

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
    to_send: Pacer,
    pace: Pace,
    /// Samples read and not yet written, at our own pace.
    ahead: i64,
    /// Which command that begins the audio goes out, and how often it was refused.
    starting: Starting,
    /// Bytes that a sample to be written is longer than what was read.
    owed: usize,
    allowance: Allowance,
    bytes: u64,
    hearing: Hearing,
}

/// Whether anything comes in of what is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Hearing {
    /// When something did, or something was done about it.
    since: Time,
    /// How often something was done about it in a row.
    revived: u32,
}

/// What the modem had time to play since it was last written to, in parts of [`SAMPLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Allowance {
    at: Time,
    parts: u64,
}

impl Allowance {
    fn take(&mut self, now: Time, samples: usize) -> usize {
        let elapsed = u64::try_from(now.since(self.at).as_micros()).unwrap_or(u64::MAX);
        self.at = now;
        self.parts = elapsed.saturating_mul(ALLOWED).saturating_add(self.parts).min(AT_ONCE * SAMPLE);
        let taken = samples.min(usize::try_from(self.parts / SAMPLE).unwrap_or(samples));
        self.parts -= taken as u64 * SAMPLE;
        taken
    }
}

/// Where the commands are that begin the audio.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Starting {
    /// It was not begun.
    #[default]
    No,
    /// This one is on its way.
    Asked { at: usize, refused: u32 },
    /// It is sent again then.
    Again { at: usize, refused: u32, until: Time },
    /// All were taken, or given up.
    Done,
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
            to_send: Pacer::default(),
            pace: profile.cell.as_ref().map_or(Pace::Modem, |cell| cell.audio_pace),
            ahead: 0,
            starting: Starting::No,
            owed: 0,
            allowance: Allowance { at: Time::ZERO, parts: AT_ONCE * SAMPLE },
            bytes: 0,
            hearing: Hearing { since: Time::ZERO, revived: 0 },
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
        self.ahead = 0;
    }

    /// A call is about to be dialled or answered, or rings: what must be there before that.
    pub(super) fn prepare_ahead(&mut self, context: &mut Context<'_>) {
        if cell_of(context).audio_ready_when == ReadyWhen::Before && self.starting == Starting::No {
            self.make_ready(context);
        }
    }

    /// A call is dialled or answered: what must be there before it is connected.
    pub(super) fn prepare(&mut self, context: &mut Context<'_>) {
        if cell_of(context).audio_ready_when == ReadyWhen::Behind {
            self.make_ready(context);
        }
    }

    fn make_ready(&mut self, context: &mut Context<'_>) {
        if context.audio && !cell_of(context).audio_ready.is_empty() {
            if self.starting == Starting::No {
                self.starting = Starting::Done;
            }
            for command in &cell_of(context).audio_ready {
                context.plain(command, Purpose::Aside);
            }
        }
    }

    /// A call is connected: its audio begins, unless another one's did.
    pub(super) fn start(&mut self, context: &mut Context<'_>) {
        if context.audio && matches!(self.starting, Starting::No | Starting::Done) {
            self.start_with(context, 0, 0);
        }
    }

    fn start_with(&mut self, context: &mut Context<'_>, at: usize, refused: u32) {
        match cell_of(context).audio_start.get(at) {
            Some(command) if context.plain(command, Purpose::AudioStart) => {
                self.starting = Starting::Asked { at, refused };
            }
            _ => self.starting = Starting::Done,
        }
    }

    /// A command that begins the audio ended.
    pub(super) fn begun(&mut self, context: &mut Context<'_>, outcome: &Outcome) {
        let Starting::Asked { at, refused } = self.starting else { return };
        let cell = cell_of(context);
        if matches!(outcome, Outcome::Final(result) if result.is_ok()) {
            self.start_with(context, at + 1, 0);
        } else if refused < cell.audio_retries {
            let until = context.now + millis(cell.audio_retry_ms);
            self.starting = Starting::Again { at, refused: refused + 1, until };
        } else {
            context.out.trace(None, false, context.name, "the modem does not begin the audio of the call");
            self.starting = Starting::Done;
        }
    }

    /// The last call ended.
    pub(super) fn stop(&mut self, context: &mut Context<'_>) {
        self.hearing.revived = 0;
        if std::mem::take(&mut self.starting) != Starting::No {
            for command in &cell_of(context).audio_stop {
                context.plain(command, Purpose::Aside);
            }
        }
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
        self.hearing.since = context.now;
    }

    /// When the audio that is carried counts as dead: 2 s after the last of it, later and later where nothing helps.
    fn dead_at(&self) -> Option<Time> {
        let wait = (DEAD * (1 << self.hearing.revived.min(5))).min(Duration::from_millis(LONGEST_WAIT));
        (self.state == State::Open && self.stream.is_some()).then(|| self.hearing.since + wait)
    }

    /// Nothing is heard: the commands that begin the audio are sent again, and where that does not help the port is opened
    /// anew. Whether it was closed.
    fn revive(&mut self, context: &mut Context<'_>) -> bool {
        let cell = cell_of(context);
        let nothing_to_send = cell.audio_ready.is_empty() && cell.audio_start.is_empty();
        let reopen = self.hearing.revived > 0 || nothing_to_send;
        let remedy = if reopen { "its port is opened anew" } else { "it is begun again" };
        let silent = context.now.since(self.hearing.since).as_secs();
        context.out.trace(None, false, context.name, &format!("no audio from the modem for {silent} s: {remedy}"));
        self.hearing = Hearing { since: context.now, revived: self.hearing.revived.saturating_add(1) };
        if reopen {
            context.out.push(Output::Close { port: AUDIO_PORT });
            self.state = State::Closed;
            self.want(context);
        }
        self.make_ready(context);
        if matches!(self.starting, Starting::No | Starting::Done) {
            self.start_with(context, 0, 0);
        }
        reopen
    }

    /// The modem forgot what it was told.
    pub(super) fn reset(&mut self) {
        self.starting = Starting::No;
        self.silence();
    }

    pub(super) fn silence(&mut self) {
        self.stream = None;
        self.bytes = 0;
        self.partial.clear();
        self.to_send.clear();
    }

    pub(super) fn hear(&mut self, now: Time, out: &mut Out, bytes: &[u8]) {
        if self.state != State::Open {
            return;
        }
        self.hearing = Hearing { since: now, revived: 0 };
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
        let ours = self.pace == Pace::Host && self.stream.is_some();
        // Whole samples only; what is left over of the bytes read is owed.
        let width = self.format.width();
        self.owed += bytes.len();
        let samples = self.owed / width;
        self.owed %= width;
        if ours {
            self.ahead += samples as i64;
        } else {
            let samples = self.allowance.take(now, samples);
            self.write(out, samples);
        }
    }

    fn write(&mut self, out: &mut Out, samples: usize) {
        let format = self.format;
        let mut written = Vec::with_capacity(samples * format.width());
        self.to_send.pull(samples, |sample| format.encode(sample, &mut written));
        out.write(AUDIO_PORT, written);
    }

    pub(super) fn send(&mut self, out: &mut Out, stream: StreamId, frame: &Frame) {
        if self.stream != Some(stream) || self.state != State::Open {
            return;
        }
        self.to_send.push(&frame.0);
        if self.pace == Pace::Host {
            // A frame for a frame, but as much is written as was read: the modem's buffer neither fills nor empties.
            let samples = match self.ahead - FRAME_SAMPLES as i64 {
                owed if owed > OWED => FRAME_SAMPLES + 1,
                owed if owed < -OWED - FRAME_SAMPLES as i64 => FRAME_SAMPLES - 1,
                _ => FRAME_SAMPLES,
            };
            self.ahead = (self.ahead - samples as i64).clamp(-8_000, 8_000);
            self.write(out, samples);
        }
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        match self.state {
            State::Waiting { until } => Some(until),
            State::Closed | State::Opening | State::Open => None,
        }
        .into_iter()
        .chain(match self.starting {
            Starting::Again { until, .. } => Some(until),
            _ => None,
        })
        .chain(self.dead_at())
        .min()
    }

    /// A deadline may have passed. Whether the port was closed, to be opened anew.
    pub(super) fn timeout(&mut self, context: &mut Context<'_>) -> bool {
        if matches!(self.state, State::Waiting { until } if context.now >= until) {
            self.want(context);
        }
        if let Starting::Again { at, refused, until } = self.starting
            && context.now >= until
        {
            self.start_with(context, at, refused);
        }
        self.dead_at().is_some_and(|at| context.now >= at) && self.revive(context)
    }
}
