//! The telephony vocabulary of `tapid`, its socket protocol, and clients for it.
//!
//! This page is the protocol's manual. The types are the vocabulary (TAPI's, by their names), [`wire`] has the frames,
//! [`client`] a blocking client, one for tokio, and a mirror of the daemon's lines and calls.
//!
//! # Connection
//! A Unix stream socket, `/run/tapid/api.sock` unless configured otherwise. Each message is one JSON-RPC 2.0 object on
//! one line of UTF-8, ended by LF (a CR before it is taken off, empty lines are passed over). A line is at most
//! [`wire::MAX_LINE`] bytes; batches are not served; `jsonrpc` may be left out by a client.
//!
//! The server speaks first: the notification `hello` ([`wire::Hello`]) with its version, the protocol's, the generation
//! of its state and the last event's number. A client need not wait for it. Then the client registers with
//! `client.open`; every other method but `client.resume` needs that.
//!
//! The kernel tells the server who connects (`SO_PEERCRED`); there is no password. Who is not welcome gets one error
//! with a null id, and the connection ends.
//!
//! # Requests and answers
//! A request has an `id` that the client chooses, a whole number from 0 to 2^53, unique among its unanswered requests;
//! a `method`; and `params`, an object (absent or null: empty). Every request is answered exactly once, with that id,
//! by `result` or `error`. **The answer says whether the operation was taken**, TAPI's LINE_REPLY; what becomes of it is
//! told by events. Answers come in milliseconds, at the latest after 20 s, and not always in the order of the requests.
//!
//! | method | params | reply | needs |
//! |---|---|---|---|
//! | `client.open` | [`request::ClientOpen`] | [`reply::Opened`] | no session yet |
//! | `client.resume` | [`request::ClientResume`] | [`reply::Opened`] | the session's token |
//! | `client.close` | [`request::ClientClose`] | [`reply::Done`] | session |
//! | `state.get` | [`request::StateGet`] | [`reply::Snapshot`] | session |
//! | `line.list` | [`request::LineList`] | [`reply::Lines`] | session |
//! | `line.open` | [`request::LineOpen`] | [`reply::LineOpened`] | session |
//! | `line.close` | [`request::LineClose`] | [`reply::Done`] | open line |
//! | `line.set_status_messages` | [`request::LineSetStatusMessages`] | [`reply::Done`] | open line |
//! | `call.make` | [`request::CallMake`] | [`reply::Made`] | open line; the maker is the owner |
//! | `call.accept` | [`request::CallAccept`] | [`reply::Done`] | owner |
//! | `call.answer` | [`request::CallAnswer`] | [`reply::Done`] | owner |
//! | `call.drop` | [`request::CallDrop`] | [`reply::Done`] | owner |
//! | `call.deallocate` | [`request::CallDeallocate`] | [`reply::Done`] | handle |
//! | `call.hold` | [`request::CallHold`] | [`reply::Done`] | owner |
//! | `call.unhold` | [`request::CallUnhold`] | [`reply::Done`] | owner |
//! | `call.get` | [`request::CallGet`] | [`Call`] | handle |
//! | `call.list` | [`request::CallList`] | [`reply::Calls`] | session; gives MONITOR handles on open lines |
//! | `call.set_privilege` | [`request::CallSetPrivilege`] | [`reply::Done`] | handle, open line |
//! | `call.send_digits` | [`request::CallSendDigits`] | [`reply::Started`] | owner |
//! | `call.monitor_digits` | [`request::CallMonitorDigits`] | [`reply::Done`] | handle |
//! | `call.tone` | [`request::CallTone`] | [`reply::Started`] | owner |
//! | `call.monitor_tones` | [`request::CallMonitorTones`] | [`reply::Done`] | handle |
//! | `call.play` | [`request::CallPlay`] | [`reply::Started`] | owner |
//! | `call.record` | [`request::CallRecord`] | [`reply::Started`] | owner |
//! | `call.stop` | [`request::CallStop`] | [`reply::Done`] | owner |
//! | `call.bridge` | [`request::CallBridge`] | [`reply::Done`] | owner of both |
//! | `call.part` | [`request::CallPart`] | [`reply::Done`] | owner |
//! | `call.trace` | [`request::CallTrace`] | [`reply::Trace`] | handle |
//! | `call.redirect` | [`request::CallRedirect`] | [`reply::Done`] | owner |
//! | `call.dial` | [`request::CallDial`] | [`reply::Done`] | owner |
//! | `call.swap_hold` | [`request::CallSwapHold`] | [`reply::Done`] | owner of both |
//! | `call.blind_transfer` | [`request::CallBlindTransfer`] | [`reply::Transferring`] | owner |
//! | `call.setup_transfer` | [`request::CallSetupTransfer`] | [`reply::Made`] | owner; the maker is the owner |
//! | `call.complete_transfer` | [`request::CallCompleteTransfer`] | [`reply::Transferring`] | owner of both |
//! | `call.accept_transfer` | [`request::CallAcceptTransfer`] | [`reply::Made`] | owner |
//! | `call.reject_transfer` | [`request::CallRejectTransfer`] | [`reply::Done`] | owner |
//! | `call.setup_conference` | [`request::CallSetupConference`] | [`reply::ConferenceMade`] | owner |
//! | `call.prepare_add_to_conference` | [`request::CallPrepareAdd`] | [`reply::Made`] | owner of the conference |
//! | `call.add_to_conference` | [`request::CallAddToConference`] | [`reply::Done`] | owner of both |
//! | `call.remove_from_conference` | [`request::CallRemoveFromConference`] | [`reply::Done`] | owner |
//! | `call.gather_digits` | [`request::CallGatherDigits`] | [`reply::Started`] | owner |
//! | `call.pause` | [`request::CallPause`] | [`reply::Done`] | owner |
//! | `call.resume` | [`request::CallResume`] | [`reply::Done`] | owner |
//! | `call.monitor_media` | [`request::CallMonitorMedia`] | [`reply::Done`] | handle |
//! | `call.audio` | [`request::CallAudio`] | [`reply::Started`] | owner |
//! | `call.handoff` | [`request::CallHandoff`] | [`reply::Done`] | owner |
//! | `call.set_app_data` | [`request::CallSetAppData`] | [`reply::Done`] | owner |
//! | `line.forward` | [`request::LineForward`] | [`reply::Forwarding`] | open line |
//! | `line.device` | [`request::LineDevice`] | [`reply::Done`] | open line |
//! | `line.trace` | [`request::LineTrace`] | [`reply::LineTrace`] | session, right `monitor` |
//! | `line.set_policy` | [`request::LineSetPolicy`] | [`reply::Done`] | session |
//! | `line.get_policy` | [`request::LineGetPolicy`] | [`reply::Policy`] | session |
//! | `client.set_priority` | [`request::ClientSetPriority`] | [`reply::Done`] | session |
//! | `client.get_priority` | [`request::ClientGetPriority`] | [`reply::Priorities`] | session |
//!
//! # Errors
//! A request that was read and refused has code [`wire::rpc::REFUSED`] (−32000), words in lower case, and
//! `data: {"lineerr": NAME, "hex": NUMBER}`: TAPI's LINEERR constant of that name ([`ErrorCode`]), stable for programs.
//! What is wrong before that has JSON-RPC's own codes ([`wire::rpc`]): −32700 not JSON, −32600 no request (the id is
//! null where it could not be read), −32601 no such method, −32602 parameters that do not fit. Reading goes on after
//! the next LF. A call that fails in the network is no error but a state with a mode and a [`Cause`].
//!
//! # Events
//! Notifications of the method `event`, whose params are a [`Delivered`]: `prev`, `seq`, `time`, `wall`, `kind`, and
//! what the kind says ([`EventBody`]).
//!
//! | kind | says | to whom |
//! |---|---|---|
//! | `line.added` | a line appeared | every session |
//! | `line.removed` | a line is gone | every session |
//! | `line.closed` | the server closed an open line; its calls are gone with it | who opened it |
//! | `line.state` | a line's status changed | who asked for this change |
//! | `call.new` | a handle that was not asked for | owner and monitors of a new call |
//! | `call.state` | the state, what can be done now, and why it ended | every handle |
//! | `call.info` | facts changed; all of them as they are now | every handle, but who caused it |
//! | `call.digit` | the far end sent a digit | who monitors digits |
//! | `call.tone` | levels of tones, ten times a second | who monitors tones |
//! | `call.generated` | a tone or a run of digits ended | who began it |
//! | `call.played` | a playback ended | who began it |
//! | `call.recorded` | a recording ended and the file is complete | who began it |
//! | `call.gathered` | the gathering of digits ended | who began it |
//! | `call.audio_ended` | an application's audio ended | who began it |
//! | `call.progress` | a tone of call progress, a fax tone or a voice was recognised | who monitors media |
//! | `call.transfer` | how a transfer stands, and by whom it is done | every handle |
//! | `call.transfer_requested` | the far end asks us to talk to somebody else | owners |
//! | `line.device` | something that only some devices have happened | who has the line open as owner or monitor |
//!
//! # Order
//! - The answer to a request precedes every event that the request causes.
//! - Events come in the order of `seq`. A state is a level, not an edge: states may be skipped, the last word counts.
//! - `call.new` precedes every other event of its call; `call.state` follows it at once.
//! - `line.closed` precedes `line.removed`. After it no event of the line's calls comes; nor do their idle states.
//! - Nothing follows `idle` but the end of the handle; a handle lives until `call.deallocate`.
//!
//! # Sequence numbers, snapshots, coming back
//! `seq` counts all events of the server, without gaps within one [`Generation`] of its state; a restart that kept the
//! state goes on counting. A session sees the events that concern it, so numbers are skipped; `prev` is the number of
//! the event that this session was sent before, so a client proves that nothing is missing: `prev` is the last `seq` it
//! saw, or lies before the point where its session or its snapshot began.
//!
//! `state.get` answers lines and calls as after event `seq`: take it, then apply the events with a greater `seq`
//! ([`client::Mirror`] does that).
//!
//! A connection that is lost ends the session, unless `client.open` asked for `linger_ms`, the server cut the
//! connection off since the client did not read, or the server was restarted with its state: then the session waits
//! (10 s at least in the last two cases). `client.resume` with the token and the last `seq` seen takes it up with all
//! its handles, and what was missed is sent again. INVALAPPHANDLE: the session is gone, open a new one.
//! RESOURCEUNAVAIL: the session is taken up, but those events are not kept any more; take a snapshot. (The clients here
//! then ask again with `since` of the greeting, which the server takes on the same connection.)
//!
//! # Descriptors
//! The server opens no path of a client's choosing with its own rights: a client opens the file and passes the
//! descriptor. `call.play` with `"source": "descriptor"` and `call.record` with `"sink": "descriptor"` carry exactly one
//! by `SCM_RIGHTS` on the first byte of their line; [`wire::names_descriptor`] has the rules. Without `SCM_RIGHTS`,
//! `{"file": "name.wav"}` names a file below the configured directories.
//!
//! # Limits
//! | what | limit | beyond it |
//! |---|---|---|
//! | a line | 1 MiB | −32600, skipped |
//! | nesting of values that are read | 128 | −32602 |
//! | requests without an answer, a connection | 1024 | REQUESTOVERRUN |
//! | connections | 256 | NOMEM, closed |
//! | sessions | 4096 | NOMEM |
//! | lines that wait for a client that does not read | 4096, or 4 MiB | cut off; the session waits to be resumed |
//! | events kept for a replay | 8192, as configured | RESOURCEUNAVAIL, snapshot |
//! | descriptors not claimed by a request | 8 | closed |
//! | `linger_ms` | 60 000 | shortened |
//!
//! # Versions
//! [`wire::API_VERSION`] is major and minor. A server takes every client of its major version. Within one, methods,
//! members, names and kinds are added and none changes its meaning: pass over members that are not known, keep names
//! that are not known ([`Names`] of open sets do), and take an event of an unknown kind as its number alone.
//!
//! # A session
//! `C:` is said by the client, `S:` by the server. A call comes in, is answered, hears a prompt, sends a digit, and ends.
//!
#![doc = "```text"]
#![doc = include_str!("../doc/session.txt")]
#![doc = "```"]
#![forbid(unsafe_code)]

mod call;
pub mod client;
mod device;
mod error;
mod event;
mod id;
mod line;
mod name;
mod policy;
mod record;
pub mod reply;
pub mod request;
mod state;
mod time;
mod transfer;
pub mod wire;

pub use call::*;
pub use device::*;
pub use error::{Error, ErrorCode};
pub use event::*;
pub use id::*;
pub use line::*;
pub use name::Names;
pub use policy::*;
pub use record::LedgerEntry;
pub use reply::Reply;
pub use request::{LineSelector, Method, PlaySource, RecordSink, Request};
pub use state::*;
pub use time::Time;
pub use transfer::*;
