//! The call of an analogue line: one at a time, over a V.253 modem.
//!
//! ```text
//!  OnHook ── RING ──► Ringing ── Answer ──► Answering ── +VLS=1: OK ──► Connected
//!    │                   └─ Drop ─► Ignoring ─ rings end ─► OnHook         │
//!    └── MakeCall ─► Preparing ─ ATD…; written ─► Dialling ─ OK ─► Supervising ─┤  (ringback gone, voice, time)
//!                                                    └ without `;`: OK, VCON ───┤
//!  OnHook ◄── +FCLASS=0 ── ATH ── stream ended ── HangingUp ◄──────────────┴── Drop, tones, NO CARRIER
//! ```

use crate::Office;
use crate::calibrate::Suspect;
use crate::caller_id::{Cadence, CallerId, RingLine, Words, ring};
use crate::cause;
use crate::chat::{Ask, Outcome};
use crate::context::{Context, LINE, Purpose};
use crate::describe;
use crate::dial::{self, Dialled, More};
use crate::duplex::{Flow, Waiting, Way};
use crate::profile::{Audio, Method, Profile, Voice};
use crate::response::{Accepts, FinalResult};
use crate::voice::{self, Decoder, Heard, VoiceEvent};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tapi::{AnswerEvidence, BusyMode, CallOrigin, Cause, DisconnectMode, ErrorCode, Party, Service, SpecialInfo, Time};
use tspi::{
    CallFacts, CallParams, CallRef, CommandId, Direction, Event, Frame, LineChange, LocalMedia, ReleasedBy,
    RemoteMedia, Report, StreamId, Taken,
};

mod audible;
mod commands;
mod ending;
mod hook;
mod parts;
mod second;
mod stream;
mod timers;
mod tones;
mod waiting;

use commands::dial;
pub(crate) use commands::words;
use ending::Refused;
use hook::Reversal;
use second::{Errands, Other};
use timers::ring_gone;
use waiting::Knock;

/// The end of a stream is asked for so often before DTR is lowered.
const END_TRIES: u32 = 3;
/// A stream that the modem ends by itself is begun again so often in a call.
const RESTARTS: u32 = 3;

/// A call to be dialled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Order {
    id: CommandId,
    dialled: Dialled,
    stream: Option<StreamId>,
}

/// A call that rings here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Ringing {
    call: CallRef,
    rings: u32,
    by: RingForm,
    last: Time,
    caller: CallerId,
    cadence: Cadence,
    pattern: u32,
}

/// How a modem tells rings: one that tells them twice is counted once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum RingForm {
    Text,
    Shielded,
}

/// A call with a line to the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Talk {
    call: CallRef,
    stream: Option<StreamId>,
    /// Ringback was heard last at.
    ringback: Option<Time>,
    /// Busy or reorder was heard, which, and when last.
    busy: Option<(Time, BusyMode)>,
    /// We heard ringback in the audio: it is silence after it that tells that it went away.
    ringing: Option<Time>,
    /// Information tones were heard: what follows is an announcement, and no answer.
    announced: Option<Time>,
    since: Time,
    restarts: u32,
    /// Something loud was heard last.
    loud: Time,
    /// The exchange was asked for it by register recall at that time.
    recalled: Option<Time>,
    /// What the next reversal of polarity says.
    reversal: Reversal,
}

/// What is still to be dialled of a number, and whether more of it is to come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Rest {
    number: String,
    more: More,
}

impl Rest {
    /// What is left once this is dialled.
    fn after(dialled: &Dialled) -> Option<Rest> {
        (dialled.more == More::Follows).then(|| Rest { number: String::new(), more: More::Follows })
    }
}

/// What the line does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Phase {
    /// Nothing; a caller id may have come before its ring.
    OnHook { caller: CallerId, told: Time, cadence: Cadence },
    /// A call is offered.
    Ringing(Ringing),
    /// A call was refused, and still rings.
    Ignoring { last: Time },
    /// Voice mode is entered, nothing is dialled yet.
    Preparing { order: Order },
    /// `ATD` is written, its final result awaited.
    Dialling { talk: Talk, rest: Option<Rest> },
    /// A part of the number is dialled; more of it is awaited.
    Partial { talk: Talk, until: Time },
    /// The modem dialled and left the rest to us.
    Supervising { talk: Talk },
    /// On the way off hook.
    Answering { ringing: Ringing, id: CommandId, stream: Option<StreamId> },
    /// Off hook, in conversation.
    Connected { talk: Talk },
    /// Off hook with a held call alone.
    Parked,
    /// `ATD` is written for a second call that is over meanwhile: its result is awaited.
    Abandoned,
    /// On the way on hook; a call may wait to be dialled.
    HangingUp { next: Option<Order> },
}

/// The voice stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Duplex {
    /// None: bytes are lines.
    Closed,
    /// `+VTR` (or `+VRX`, `+VTX`) is sent.
    Starting,
    /// Bytes are samples.
    Open(Flow),
    /// Its end is asked for; samples still come.
    Ending { flow: Flow, tries: u32 },
    /// `DLE ETX` came: bytes are lines again, a final result is due.
    Closing,
}

/// Who concludes that the far end answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Supervision {
    /// As the profile says.
    Profile,
    /// The modem: it refused to leave it to us (`ATD…;`).
    Modem,
}

/// What the modem waits for before it dials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Listens {
    ForDialTone,
    Blind,
}

/// Whether calls have audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Sound {
    Duplex,
    /// The modem refused streams, or all ways to carry samples.
    None,
}

/// An analogue line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Analogue {
    phase: Phase,
    duplex: Duplex,
    decoder: Decoder,
    /// How the modem carries samples; `None`: it took none of the ways that are known, and calls have no audio.
    method: Option<Method>,
    suspect: Suspect,
    /// Which ways the stream goes, or will next.
    way: Way,
    /// What is to be played once the modem turned round.
    waiting: Waiting,
    /// It refused to play.
    deaf_to_play: bool,
    /// The call that was told of its audio.
    told_media: Option<CallRef>,
    supervision: Supervision,
    listens: Listens,
    sound: Sound,
    other: Other,
    errands: Errands,
    /// One of two calls was to be dropped, and could not be alone.
    refused: Option<Refused>,
}

impl Analogue {
    pub(crate) fn new() -> Analogue {
        Analogue {
            phase: Phase::on_hook(),
            duplex: Duplex::Closed,
            decoder: Decoder::new(),
            method: None,
            suspect: Suspect::None,
            way: Way::Both,
            waiting: Waiting::default(),
            deaf_to_play: false,
            told_media: None,
            supervision: Supervision::Profile,
            listens: Listens::ForDialTone,
            sound: Sound::Duplex,
            other: Other::None,
            errands: Errands::default(),
            refused: None,
        }
    }

    /// The first commands were taken; the modem took this way to carry samples.
    pub(crate) fn ready(&mut self, context: &mut Context<'_>, method: Option<Method>) {
        self.method = method;
        self.way = Way::Both;
        self.deaf_to_play = false;
        // It may be another modem than the one before.
        self.supervision = Supervision::Profile;
        self.set_sound(context, if self.method.is_some() { Sound::Duplex } else { Sound::None });
        context.out.set_service(Service::In);
    }

    /// What the line can do follows from what the modem can.
    fn set_sound(&mut self, context: &mut Context<'_>, sound: Sound) {
        if std::mem::replace(&mut self.sound, sound) != sound {
            let caps = describe::caps(context.profile, context.office, sound == Sound::Duplex);
            context.out.event(Event::LineChanged { line: LINE, change: LineChange::Caps(Box::new(caps)) });
        }
    }

    /// The active call.
    pub(crate) fn call(&self) -> Option<CallRef> {
        match &self.phase {
            Phase::Ringing(ringing) | Phase::Answering { ringing, .. } => Some(ringing.call),
            Phase::Dialling { talk, .. }
            | Phase::Partial { talk, .. }
            | Phase::Supervising { talk }
            | Phase::Connected { talk } => Some(talk.call),
            Phase::OnHook { .. }
            | Phase::Ignoring { .. }
            | Phase::Preparing { .. }
            | Phase::Parked
            | Phase::Abandoned
            | Phase::HangingUp { .. } => None,
        }
    }

    /// Whether a call can be placed now, where the server's count of calls would allow one.
    pub(crate) fn able(&self, office: &Office) -> bool {
        match &self.phase {
            Phase::OnHook { .. } => matches!(self.other, Other::None),
            // Dialling now would answer the call that still rings.
            Phase::Ignoring { .. } => false,
            Phase::Parked => true,
            Phase::HangingUp { next } => next.is_none(),
            _ => !office.has_second() || self.other.call().is_some(),
        }
    }

    /// Whether the line is on hook and nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::OnHook { .. } | Phase::Ignoring { .. })
    }

    /// The port or the modem is gone: the call is over.
    pub(crate) fn fail(&mut self, context: &mut Context<'_>, reason: &str) {
        for call in [self.other.call(), self.call()].into_iter().flatten() {
            let cause = Cause::new(DisconnectMode::Unavail).with_text(reason);
            context.out.report(call, Report::Released { by: ReleasedBy::Remote, cause });
        }
        *self = Analogue { method: self.method.take(), sound: self.sound, ..Analogue::new() };
    }

    /// A byte of the port.
    pub(crate) fn byte(&mut self, context: &mut Context<'_>, byte: u8) {
        match self.decoder.push(byte) {
            None => {}
            Some(Heard::Data(byte)) => self.data(context, byte),
            Some(Heard::TwoEscapes) => {
                self.data(context, voice::DLE);
                self.data(context, voice::DLE);
            }
            Some(Heard::Report(byte)) => context.chat.byte(context.now, byte),
            Some(Heard::Digit(digit, duration_ms)) => {
                // Whatever the stream does: a caller presses keys while a prompt ends and the modem turns round.
                if let Phase::Connected { talk } = &self.phase {
                    context.out.event(Event::Digit { call: talk.call, digit, duration_ms });
                }
            }
            Some(Heard::Code(code)) => {
                // What the modem itself heard is what the answer is concluded from.
                if let Phase::Supervising { talk } = &self.phase {
                    let told = format!("<DLE>{}", char::from(code).escape_default());
                    context.out.trace(Some(talk.call), false, context.name, &told);
                }
                let told = context.profile.events.get(&char::from(code)).copied();
                self.voice_event(context, told.unwrap_or_else(|| VoiceEvent::of(code)));
            }
            Some(Heard::End) => self.stream_ended(context),
        }
    }

    fn data(&mut self, context: &mut Context<'_>, byte: u8) {
        match &mut self.duplex {
            Duplex::Open(flow) | Duplex::Ending { flow, .. } if flow.way() != Way::Play => {
                let heard = flow.hear(context.now, context.out, byte);
                let found = flow.found();
                self.format_found(context, found);
                if let (Some(frame), Phase::Connected { talk }) = (heard, &mut self.phase)
                    && context.office.silence_ends_ms > 0
                    && audio_of(context).loud(&frame)
                {
                    talk.loud = context.now;
                }
            }
            _ => context.chat.byte(context.now, byte),
        }
    }

    /// A line that belongs to no command.
    pub(crate) fn unsolicited(&mut self, context: &mut Context<'_>, line: &str) {
        let cid = &context.profile.cid;
        let words = Words { private: &cid.private, outside: &cid.outside };
        let bare = cid.bare_digits;
        if matches!(self.phase, Phase::Connected { .. }) && self.knocking_id(context, line) {
            return;
        }
        match &mut self.phase {
            Phase::OnHook { caller, told, cadence } => {
                if context.now.since(*told) > ring_gone(context.profile) {
                    *caller = CallerId::default();
                }
                if caller.line(line, words) || (bare && caller.bare(line)) {
                    *told = context.now;
                    return;
                }
                if cadence.line(line) {
                    return;
                }
            }
            // It may come late, when the call is being answered.
            Phase::Ringing(ringing) | Phase::Answering { ringing, .. } => {
                if ringing.cadence.line(line) {
                    return;
                }
                let before = facts_of(&ringing.caller);
                if ringing.caller.line(line, words) || (bare && ringing.caller.bare(line)) {
                    let after = facts_of(&ringing.caller);
                    if after != before {
                        context.out.facts(ringing.call, after);
                    }
                    return;
                }
            }
            _ => {}
        }
        if let Some(ring) = ring(line) {
            self.ring(context, RingForm::Text, &ring);
        } else if line.eq_ignore_ascii_case("RINGING") {
            self.voice_event(context, VoiceEvent::Ringback);
        } else if let Some(result) = FinalResult::parse(line) {
            self.news(context, &result);
        }
    }

    /// A result that nobody asked for: the connection is gone.
    fn news(&mut self, context: &mut Context<'_>, result: &FinalResult) {
        let mode = match (&self.phase, result) {
            (Phase::Connected { .. }, FinalResult::NoCarrier | FinalResult::Busy) => DisconnectMode::Normal,
            (Phase::Supervising { .. }, FinalResult::Busy) => DisconnectMode::Busy,
            (Phase::Supervising { .. }, FinalResult::NoAnswer) => DisconnectMode::NoAnswer,
            (Phase::Supervising { .. }, FinalResult::NoCarrier) => DisconnectMode::Unknown,
            _ => return,
        };
        self.all_gone(context, Cause::new(mode).with_text(result.text()));
    }

    fn ring(&mut self, context: &mut Context<'_>, by: RingForm, line: &RingLine) {
        let now = context.now;
        let cid = &context.profile.cid;
        let words = Words { private: &cid.private, outside: &cid.outside };
        match &mut self.phase {
            Phase::OnHook { .. } if matches!(self.other, Other::Waiting(_)) => {
                let Other::Waiting(Knock { call, caller, .. }) = std::mem::take(&mut self.other) else { return };
                context.out.event(Event::Ringing { line: LINE, count: 0, pattern: line.pattern });
                let (cadence, pattern) = (Cadence::default(), line.pattern);
                self.phase = Phase::Ringing(Ringing { call, rings: 1, by, last: now, caller, cadence, pattern });
            }
            Phase::OnHook { caller, cadence, .. } => {
                let (mut caller, mut cadence) = (std::mem::take(caller), std::mem::take(cadence));
                caller.on_ring(line, words);
                let call = context.out.new_call();
                let pattern = cadence.take().unwrap_or(line.pattern);
                context.out.event(Event::Ringing { line: LINE, count: 0, pattern });
                let facts = CallFacts { origin: Some(CallOrigin::Inbound), ..facts_of(&caller) };
                context.out.event(Event::NewCall { line: LINE, call, facts: Box::new(facts) });
                context.out.report(call, Report::Offered);
                self.phase = Phase::Ringing(Ringing { call, rings: 1, by, last: now, caller, cadence, pattern });
            }
            Phase::Ringing(ringing) if ringing.by == by => {
                ringing.last = now;
                if line.pattern != 1 {
                    ringing.pattern = line.pattern;
                }
                ringing.pattern = ringing.cadence.take().unwrap_or(ringing.pattern);
                let (count, pattern) = (ringing.rings, ringing.pattern);
                context.out.event(Event::Ringing { line: LINE, count, pattern });
                ringing.rings = ringing.rings.saturating_add(1);
            }
            Phase::Ringing(ringing) => ringing.last = now,
            Phase::Ignoring { last } => *last = now,
            _ => {}
        }
    }

    /// The modem says `DLE ETX`.
    fn stream_ended(&mut self, context: &mut Context<'_>) {
        let call = self.call();
        match std::mem::replace(&mut self.duplex, Duplex::Closing) {
            Duplex::Open(flow) => {
                flow.end(context, call);
                let wait = context.profile.timeouts_ms.abort;
                context.chat.raw(context.now, "", &[], Purpose::StreamOver, wait);
            }
            Duplex::Ending { flow, .. } => flow.end(context, call),
            before @ (Duplex::Closed | Duplex::Starting | Duplex::Closing) => self.duplex = before,
        }
    }

    /// Over by the far end, the network or the modem: told, and then on hook.
    fn released(&mut self, context: &mut Context<'_>, cause: Cause) {
        if matches!(self.other, Other::Joined(_)) {
            return self.all_gone(context, cause);
        }
        if let Some(call) = self.call() {
            context.out.report(call, Report::Released { by: ReleasedBy::Remote, cause });
        }
        self.leave_active(context);
    }
}

impl Phase {
    fn on_hook() -> Phase {
        Phase::OnHook { caller: CallerId::default(), told: Time::ZERO, cadence: Cadence::default() }
    }
}

/// What a caller id tells of a call.
fn facts_of(caller: &CallerId) -> CallFacts {
    let number = |number: &str| Party::new(Some(number.to_owned()), None);
    let party = caller.party();
    CallFacts {
        // Alone it is no news.
        network_time: party.as_ref().and_then(|_| caller.when()),
        caller: party,
        called: caller.called().map(number),
        redirecting: caller.diverting().map(number),
        ..CallFacts::default()
    }
}

/// The profile's voice commands: an analogue profile is checked to have them.
fn voice_of<'a>(context: &Context<'a>) -> &'a Voice {
    context.profile.voice.as_ref().expect("an analogue profile has [voice]")
}

fn audio_of<'a>(context: &Context<'a>) -> &'a Audio {
    context.profile.audio.as_ref().expect("an analogue profile has [audio]")
}

fn stream_of(media: &LocalMedia) -> Option<StreamId> {
    match media {
        LocalMedia::Frames { stream } => Some(*stream),
        LocalMedia::Rtp(_) | LocalMedia::None => None,
    }
}
