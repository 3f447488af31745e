//! The compound values of the vocabulary.

use super::shape::{Field, Shape, maybe, one};
use Shape::{Bool, Call, Dict, I32, Line, List, Provider, Text, Tuple, U32, U64};

/// Many names.
pub const NAMES: Shape = List(&Text);

/// [`tapi::Party`].
pub const PARTY: &[Field] = &[one("flags", NAMES), maybe("address", Text), maybe("name", Text)];

/// [`tapi::Cause`].
pub const CAUSE: &[Field] = &[one("mode", Text), maybe("sip", U32), maybe("q850", U32), maybe("text", Text)];

/// [`tapi::MediaStatistics`].
pub const STATISTICS: &[Field] = &[
    one("received", U64),
    one("sent", U64),
    one("lost", U64),
    one("late", U64),
    one("duplicates", U64),
    one("dropped", U64),
    one("jitter_us", U32),
    one("buffer_ms", U32),
    one("concealed_ms", U64),
    maybe("round_trip_us", U32),
    maybe("far_lost", U64),
    maybe("far_jitter_us", U32),
    maybe("mos_x100", U32),
];

/// [`tapi::MediaInfo`].
pub const MEDIA: &[Field] = &[
    one("wire", Text),
    one("codec", Text),
    maybe("remote", Text),
    one("direction", Text),
    maybe("security", Text),
    maybe("statistics", Dict(STATISTICS)),
];

/// [`tapi::CallInfo`].
pub const CALL_INFO: &[Field] = &[
    one("call", Call),
    one("uid", Text),
    one("line", Line),
    one("line_name", Text),
    one("address", U32),
    one("origin", Text),
    one("reason", Text),
    one("bearer", Text),
    one("media_mode", NAMES),
    one("caller", Dict(PARTY)),
    one("called", Dict(PARTY)),
    one("connected", Dict(PARTY)),
    one("redirection", Dict(PARTY)),
    one("redirecting", Dict(PARTY)),
    maybe("network_id", Text),
    maybe("network_time", Text),
    maybe("related", Call),
    one("conversation", Text),
    maybe("conference", Call),
    maybe("bridged", Call),
    maybe("app", Text),
    maybe("comment", Text),
    maybe("app_data", Text),
    maybe("answered_by", Text),
    maybe("cause", Dict(CAUSE)),
    maybe("media", Dict(MEDIA)),
    one("owners", U32),
    one("monitors", U32),
];

/// [`tapi::CallStatus`].
pub const CALL_STATUS: &[Field] = &[
    one("state", Text),
    maybe("mode", Text),
    one("entered", U64),
    one("entered_wall", U64),
    one("privilege", Text),
    one("features", NAMES),
];

/// [`tapi::ForwardRule`].
pub const FORWARD_RULE: &[Field] = &[one("when", Text), one("to", Text), maybe("after_s", U32)];

/// [`tapi::LineCaps`].
pub const LINE_CAPS: &[Field] = &[
    one("bearer_modes", NAMES),
    one("media_modes", NAMES),
    one("call_features", NAMES),
    one("flags", NAMES),
    one("max_calls", U32),
    one("max_held_calls", U32),
];

/// [`tapi::LineStatus`].
pub const LINE_STATUS: &[Field] = &[
    one("service", Text),
    maybe("reason", Text),
    one("opens", U32),
    one("active_calls", U32),
    one("held_calls", U32),
    one("features", NAMES),
    maybe("signal", U32),
    maybe("operator", Text),
    maybe("message_waiting", Bool),
    maybe("forwarding", List(&Dict(FORWARD_RULE))),
];

/// [`tapi::Line`] without its capabilities and status.
pub const LINE: &[Field] = &[
    one("line", Line),
    one("name", Text),
    one("provider", Provider),
    one("description", Text),
    one("addresses", NAMES),
    maybe("rights", NAMES),
];

/// [`tapi::Ring`].
pub const RING: &[Field] = &[one("count", U32), one("pattern", U32)];

/// [`tapi::ToneLevel`].
pub const TONE_LEVEL: &[Field] = &[one("hz", U32), one("level_ddbm0", I32)];

/// Levels of tones.
pub const TONE_LEVELS: Shape = List(&Tuple(TONE_LEVEL));

/// [`tapi::TraceEntry`].
pub const TRACE_ENTRY: &[Field] = &[
    one("time", U64),
    one("wall", U64),
    one("sent", Bool),
    one("peer", Text),
    one("summary", Text),
    maybe("text", Text),
];

/// [`tapi::IncomingPolicy`].
pub const POLICY: &[Field] = &[
    one("action", Text),
    maybe("cause", Text),
    maybe("timeout_s", U32),
    maybe("file", Text),
    maybe("to", Text),
    maybe("line", Text),
    maybe("how", Text),
];

/// [`tapi::HandoffTarget`]: exactly one of the two.
pub const HANDOFF: &[Field] = &[maybe("app", Text), maybe("media_mode", Text)];

/// [`tapi::DeviceRequest`], of any kind.
pub const DEVICE_REQUEST: &[Field] = &[one("kind", Text), maybe("to", Text), maybe("text", Text), maybe("pin", Text)];

/// [`tapi::DeviceEvent`], of any kind.
pub const DEVICE_EVENT: &[Field] = &[
    one("kind", Text),
    maybe("to", Text),
    maybe("error", Text),
    maybe("from", Text),
    maybe("text", Text),
    maybe("sent", Text),
    maybe("more", Bool),
    maybe("reason", Text),
    maybe("state", Text),
];
