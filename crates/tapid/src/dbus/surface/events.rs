//! Every kind of event, and the signal that tells it.

use super::objects::{CALL, LINE, SERVER, TERMINAL};
use super::shape::{Field, Shape, maybe, one};
use super::types::{CALL_INFO, CAUSE, DEVICE_EVENT, LINE_STATUS, NAMES, PARTY, RING, TONE_LEVELS};
use Shape::{Bool, Call, CallView, Dict, I32, Line, LineView, Operation, Text, U32, U64};

/// A kind of event.
#[derive(Debug)]
pub struct Kind {
    /// Its name on the socket.
    pub kind: &'static str,
    /// The interface of its signal; its object is the one that the event is about.
    pub interface: &'static str,
    /// The signal.
    pub member: &'static str,
    /// What it says, beside its numbers and times.
    pub fields: &'static [Field],
    /// What happened.
    pub doc: &'static str,
}

/// What every signal begins with.
pub const HEADER: &[Field] = &[one("prev", U64), one("seq", U64), one("time", U64), one("wall", U64)];

const fn kind(
    kind: &'static str,
    interface: &'static str,
    member: &'static str,
    fields: &'static [Field],
    doc: &'static str,
) -> Kind {
    Kind { kind, interface, member, fields, doc }
}

/// Every kind.
pub const KINDS: &[Kind] = &[
    kind("line.added", SERVER, "LineAdded", &[one("line", LineView)], "A line appeared."),
    kind("line.removed", SERVER, "LineRemoved", &[one("line", Line), one("reason", Text)], "A line is gone."),
    kind(
        "line.closed",
        LINE,
        "Closed",
        &[one("line", Line), one("reason", Text)],
        "The server closed the line; its calls are gone with it.",
    ),
    kind(
        "line.state",
        LINE,
        "StatusChanged",
        &[one("line", Line), one("change", Text), one("status", Dict(LINE_STATUS)), maybe("ring", Dict(RING))],
        "The line's status changed.",
    ),
    kind("call.new", LINE, "CallAdded", &[one("call", CallView)], "A handle that was not asked for."),
    kind(
        "call.state",
        CALL,
        "StateChanged",
        &[
            one("call", Call),
            one("line", Line),
            one("state", Text),
            one("features", NAMES),
            maybe("mode", Text),
            maybe("privilege", Text),
            maybe("cause", Dict(CAUSE)),
        ],
        "The state, and what can be done now.",
    ),
    kind(
        "call.info",
        CALL,
        "InfoChanged",
        &[one("changed", NAMES), one("info", Dict(CALL_INFO))],
        "Facts changed; all of them as they are now.",
    ),
    kind(
        "call.digit",
        CALL,
        "Digit",
        &[one("call", Call), one("digit", Text), maybe("duration_ms", U32)],
        "The far end pressed a key.",
    ),
    kind(
        "call.tone",
        CALL,
        "Tone",
        &[one("call", Call), one("tones", TONE_LEVELS), one("level_ddbm0", I32)],
        "Levels of the asked tones and of the whole, in tenths of dBm0.",
    ),
    kind(
        "call.generated",
        TERMINAL,
        "Generated",
        &[one("call", Call), one("operation", Operation), one("end", Text)],
        "Digits or a tone ended.",
    ),
    kind(
        "call.played",
        TERMINAL,
        "Played",
        &[one("call", Call), one("operation", Operation), one("end", Text), one("played_ms", U64)],
        "The playback ended.",
    ),
    kind(
        "call.recorded",
        TERMINAL,
        "Recorded",
        &[one("call", Call), one("operation", Operation), one("end", Text), one("recorded_ms", U64)],
        "The recording ended; the file is complete.",
    ),
    kind(
        "call.gathered",
        TERMINAL,
        "Gathered",
        &[one("call", Call), one("operation", Operation), one("digits", Text), one("end", Text)],
        "The gathering of digits ended.",
    ),
    kind(
        "call.audio_ended",
        TERMINAL,
        "AudioEnded",
        &[one("call", Call), one("operation", Operation), one("end", Text), one("audio_ms", U64)],
        "The application's audio ended.",
    ),
    kind(
        "call.progress",
        CALL,
        "Progress",
        &[one("call", Call), one("tone", Text), one("measured", TONE_LEVELS)],
        "A tone of call progress, a fax tone or a voice was recognised.",
    ),
    kind(
        "call.transfer",
        CALL,
        "Transfer",
        &[
            one("call", Call),
            one("phase", Text),
            one("how", Text),
            maybe("with", Call),
            maybe("text", Text),
            maybe("cause", Dict(CAUSE)),
        ],
        "How a transfer stands.",
    ),
    kind(
        "call.transfer_requested",
        CALL,
        "TransferRequested",
        &[one("call", Call), one("to", Text), one("attended", Bool), maybe("by", Dict(PARTY))],
        "The far end asks to be transferred: accept or reject within 30 s.",
    ),
    kind(
        "line.device",
        LINE,
        "Device",
        &[one("line", Line), one("event", Dict(DEVICE_EVENT))],
        "What only some devices tell.",
    ),
];
