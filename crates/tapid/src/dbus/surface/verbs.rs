//! Every method of the protocol, with its parameters and its reply: what both fronts take.

use super::shape::{Field, Shape, maybe, one};
use super::types::{DEVICE_REQUEST, FORWARD_RULE, HANDOFF, NAMES, POLICY, TRACE_ENTRY};
use Shape::{
    Bool, Call, CallView, Descriptor, Dict, I32, Line, LineRef, LineView, List, Map, Operation, Text, U32, U64,
};

/// A method.
#[derive(Debug)]
pub struct Verb {
    /// Its name on the socket.
    pub method: &'static str,
    /// Its parameters.
    pub params: &'static [Field],
    /// What is replied. A member without a name is the whole reply.
    pub reply: &'static [Field],
    /// What it does.
    pub doc: &'static str,
}

const fn verb(method: &'static str, params: &'static [Field], reply: &'static [Field], doc: &'static str) -> Verb {
    Verb { method, params, reply, doc }
}

const DONE: &[Field] = &[];
const OPENED: &[Field] = &[one("session", U64), one("token", Text), one("generation", U64), one("seq", U64)];
const MADE: &[Field] = &[one("call", Call)];
const STARTED: &[Field] = &[one("operation", Operation)];
const TRANSFERRING: &[Field] = &[one("how", Text), maybe("conference", Call)];
const LINE: &[Field] = &[one("line", LineRef)];
const CALL: &[Field] = &[one("call", Call)];

/// Every method.
pub const VERBS: &[Verb] = &[
    verb(
        "client.open",
        &[one("app", Text), maybe("api", List(&U32)), maybe("linger_ms", U64)],
        OPENED,
        "Register the application. A session that reads began by themselves is ended.",
    ),
    verb(
        "client.resume",
        &[one("token", Text), one("since", U64)],
        OPENED,
        "Take up a session that lost its connection: the same handles, and every event since.",
    ),
    verb("client.close", &[], DONE, "End the session: lines are closed, calls that it alone owns are hung up."),
    verb(
        "state.get",
        &[],
        &[one("generation", U64), one("seq", U64), one("lines", List(&LineView)), one("calls", List(&CallView))],
        "Everything that this session may see, as after event seq.",
    ),
    verb("line.list", &[], &[one("lines", List(&LineView))], "All lines that this session may see."),
    verb(
        "line.open",
        &[one("line", LineRef), maybe("privileges", NAMES), maybe("media_modes", NAMES)],
        &[one("line", Line)],
        "Open the line: privileges are any of monitor and owner; none, to make calls only.",
    ),
    verb("line.close", LINE, DONE, "Close the line: calls that this session alone owns are hung up."),
    verb(
        "line.set_status_messages",
        &[one("line", LineRef), one("states", NAMES)],
        DONE,
        "Choose which changes of the open line are told.",
    ),
    verb(
        "call.make",
        &[
            one("line", LineRef),
            one("to", Text),
            maybe("address", U32),
            maybe("block_id", Bool),
            maybe("comment", Text),
            maybe("bearer", Text),
        ],
        MADE,
        "Place a call. The answer says that it exists, not that it is answered.",
    ),
    verb(
        "call.accept",
        &[one("call", Call), maybe("early_media", Bool)],
        DONE,
        "Take responsibility for an offered call: it alerts; or the caller hears us already.",
    ),
    verb("call.answer", CALL, DONE, "Answer."),
    verb(
        "call.drop",
        &[one("call", Call), maybe("reason", Text)],
        DONE,
        "Hang up, abandon or turn away. The handle stays.",
    ),
    verb("call.deallocate", CALL, DONE, "Give up this session's handle. The call is not touched."),
    verb("call.hold", CALL, DONE, "Hold."),
    verb("call.unhold", CALL, DONE, "Take back."),
    verb("call.get", CALL, &[one("", CallView)], "All that is known of the call."),
    verb(
        "call.list",
        &[maybe("line", LineRef)],
        &[one("calls", List(&CallView))],
        "Calls on opened lines; a monitor's handle on each.",
    ),
    verb(
        "call.set_privilege",
        &[one("call", Call), one("privilege", Text)],
        DONE,
        "Become owner or monitor of the call.",
    ),
    verb(
        "call.send_digits",
        &[one("call", Call), one("digits", Text), maybe("duration_ms", U32)],
        STARTED,
        "Send digits to the far end; a comma is a pause of two seconds.",
    ),
    verb(
        "call.monitor_digits",
        &[one("call", Call), one("on", Bool)],
        DONE,
        "Tell the far end's digits, or no longer.",
    ),
    verb(
        "call.tone",
        &[
            one("call", Call),
            maybe("hz", List(&U32)),
            maybe("named", Text),
            maybe("country", Text),
            maybe("duration_ms", U32),
            maybe("level_dbm0", I32),
        ],
        STARTED,
        "Make a tone: of one to four frequencies, or a named one of a country.",
    ),
    verb(
        "call.monitor_tones",
        &[one("call", Call), one("hz", List(&U32))],
        DONE,
        "Measure tones ten times a second; none: no longer.",
    ),
    verb(
        "call.play",
        &[one("call", Call), one("source", Descriptor), maybe("repeat", Bool)],
        STARTED,
        "Play a WAV file into the call.",
    ),
    verb(
        "call.record",
        &[one("call", Call), one("sink", Descriptor), maybe("max_ms", U64)],
        STARTED,
        "Record the call into a WAV file.",
    ),
    verb("call.stop", &[one("call", Call), one("operation", Operation)], DONE, "End it before its time."),
    verb(
        "call.bridge",
        &[one("call", Call), one("with", Call)],
        DONE,
        "Join the audio of two calls; the same twice is an echo.",
    ),
    verb("call.part", CALL, DONE, "Take the bridge apart."),
    verb(
        "call.trace",
        &[one("call", Call), maybe("full", Bool)],
        &[one("entries", List(&Dict(TRACE_ENTRY))), one("forgotten", U64)],
        "What crossed the wire for the call: SIP messages or the AT dialogue.",
    ),
    verb("call.redirect", &[one("call", Call), one("to", Text)], DONE, "Send an offered call elsewhere."),
    verb("call.dial", &[one("call", Call), one("to", Text)], DONE, "More digits while the number is being dialled."),
    verb("call.swap_hold", &[one("call", Call), one("with", Call)], DONE, "Hold this call, and take back the other."),
    verb(
        "call.blind_transfer",
        &[one("call", Call), one("to", Text), maybe("how", Text)],
        TRANSFERRING,
        "Transfer without asking.",
    ),
    verb(
        "call.setup_transfer",
        &[one("call", Call), one("to", Text), maybe("line", LineRef), maybe("address", U32), maybe("comment", Text)],
        MADE,
        "Hold, and place a consultation call.",
    ),
    verb(
        "call.complete_transfer",
        &[one("call", Call), one("consultation", Call), maybe("mode", Text), maybe("how", Text)],
        TRANSFERRING,
        "Join the two far ends; mode conference: the three of you.",
    ),
    verb("call.accept_transfer", CALL, MADE, "Do what the far end asked: a new call, with the same owners."),
    verb("call.reject_transfer", CALL, DONE, "Decline it."),
    verb(
        "call.setup_conference",
        &[one("call", Call), maybe("to", Text)],
        &[one("conference", Call), maybe("consultation", Call)],
        "Make a conference of the call, and place the next party's call.",
    ),
    verb(
        "call.prepare_add_to_conference",
        &[one("conference", Call), one("to", Text), maybe("line", LineRef)],
        MADE,
        "Place the call of a further party.",
    ),
    verb("call.add_to_conference", &[one("conference", Call), one("call", Call)], DONE, "Take a call in."),
    verb("call.remove_from_conference", CALL, DONE, "Take the call out of its conference."),
    verb(
        "call.gather_digits",
        &[
            one("call", Call),
            one("count", U32),
            maybe("termination", Text),
            maybe("first_ms", U32),
            maybe("inter_ms", U32),
        ],
        STARTED,
        "Collect digits of the far end.",
    ),
    verb(
        "call.pause",
        &[one("call", Call), one("operation", Operation)],
        DONE,
        "Let a playback or a recording stand still.",
    ),
    verb("call.resume", &[one("call", Call), one("operation", Operation)], DONE, "Let it go on."),
    verb(
        "call.monitor_media",
        &[one("call", Call), one("on", Bool)],
        DONE,
        "Tell tones of call progress, fax tones and voices, or no longer.",
    ),
    verb(
        "call.audio",
        &[one("call", Call), maybe("rate", U32)],
        STARTED,
        "Speak and hear: frames of 20 ms, signed 16 bits in little endian, both ways on a seqpacket socket.",
    ),
    verb(
        "call.handoff",
        &[one("call", Call), one("to", Dict(HANDOFF))],
        DONE,
        "Another application owns the call too.",
    ),
    verb(
        "call.set_app_data",
        &[one("call", Call), maybe("comment", Text), maybe("data", Text)],
        DONE,
        "Words and data kept with the call; an empty text takes them away.",
    ),
    verb(
        "line.forward",
        &[one("line", LineRef), one("rules", List(&Dict(FORWARD_RULE)))],
        &[one("how", Text)],
        "All rules of forwarding, in place of those before.",
    ),
    verb(
        "line.device",
        &[one("line", LineRef), one("request", Dict(DEVICE_REQUEST))],
        DONE,
        "What only some devices have.",
    ),
    verb(
        "line.trace",
        &[one("line", LineRef), maybe("full", Bool)],
        &[one("entries", List(&Dict(TRACE_ENTRY))), one("forgotten", U64), one("ended", List(&U64))],
        "What crossed the wire for the line itself, and its calls that are over whose traces are kept.",
    ),
    verb(
        "line.set_policy",
        &[one("line", LineRef), maybe("policy", Dict(POLICY))],
        DONE,
        "What becomes of a call that nobody takes; empty: as configured.",
    ),
    verb("line.get_policy", LINE, &[one("policy", Dict(POLICY))], "What becomes of a call that nobody takes."),
    verb(
        "client.set_priority",
        &[one("place", U32), maybe("app", Text), maybe("media_mode", Text)],
        DONE,
        "An application's place among those that are offered new calls: 1 is the first, 0 takes it off.",
    ),
    verb("client.get_priority", &[], &[one("priorities", Map(&NAMES))], "Who is offered new calls first, by medium."),
];
