//! Digits, playing and recording: operations that an event ends.

use crate::args::Args;
use crate::failure::{Code, Failure};
use crate::out::Out;
use crate::session::{Moment, Session};
use crate::show::seconds;
use serde_json::json;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};
use tapi::request::{CallPlay, CallRecord, CallSendDigits, CallStop};
use tapi::{CallId, End, ErrorCode, EventBody, OperationId, PlaySource, RecordSink};

/// How long an operation may take to end once it was stopped.
const STOP: Duration = Duration::from_secs(5);

/// Where a recording goes, and for how long.
#[derive(Debug)]
pub struct Target<'a> {
    pub file: &'a Path,
    pub seconds: Option<Duration>,
    pub force: bool,
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub end: End,
    /// How much audio went by; 0 for digits and tones.
    pub millis: u64,
}

/// Sends digits, and waits until they are out.
pub fn digits(args: &Args, id: &str, digits: &str, out: &mut Out) -> Result<Code, Failure> {
    let digits = digits.to_owned();
    operation(args, id, "digits", out, |session, call| {
        Ok(session.call(CallSendDigits { call, digits, duration_ms: None })?.operation)
    })
}

/// Plays a file until its end.
pub fn play(args: &Args, id: &str, file: &Path, repeat: bool, out: &mut Out) -> Result<Code, Failure> {
    let file = open(file)?;
    operation(args, id, "play", out, |session, call| start_playing(session, call, file, repeat))
}

/// Records until Ctrl-C, the given time, or the end of the call.
pub fn record(args: &Args, id: &str, target: &Target<'_>, out: &mut Out) -> Result<Code, Failure> {
    let mut session = Session::open(args)?;
    let call = session.own(id)?.info.call;
    let max_ms = target.seconds.map(|seconds| u64::try_from(seconds.as_millis()).unwrap_or(u64::MAX));
    let (file, made) = match create(target) {
        Ok(file) => file,
        Err(failure) => return session.leave(call).and(Err(failure)),
    };
    let request = CallRecord { call, sink: RecordSink::Descriptor, max_ms };
    match session.call_with_file(request, file) {
        Ok(started) => finish(&mut session, call, "record", started.operation, out),
        Err(failure) => {
            // Nothing was written: an empty file is of no use, and would be in the way of the next try. One that was
            // there before is as it was.
            if made {
                let _ = std::fs::remove_file(target.file);
            }
            session.leave(call)?;
            Err(failure)
        }
    }
}

/// Opens a file to play, with the rights of the user.
pub fn open(file: &Path) -> Result<File, Failure> {
    File::open(file).map_err(|error| unusable(file, &error))
}

/// Starts a playback from an open file.
pub fn start_playing(session: &mut Session, call: CallId, file: File, repeat: bool) -> Result<OperationId, Failure> {
    let request = CallPlay { call, source: PlaySource::Descriptor, repeat };
    Ok(session.call_with_file(request, file)?.operation)
}

/// The end of an operation, if this event is it.
pub fn ended(body: &EventBody, wanted: OperationId) -> Option<Ended> {
    let (operation, end, millis) = match body {
        EventBody::CallGenerated { operation, end, .. } => (operation, end, 0),
        EventBody::CallPlayed { operation, end, played_ms, .. } => (operation, end, *played_ms),
        EventBody::CallRecorded { operation, end, recorded_ms, .. } => (operation, end, *recorded_ms),
        _ => return None,
    };
    (*operation == wanted).then(|| Ended { end: end.clone(), millis })
}

/// The file to record into, and whether it was made for that. One that was there is overwritten by the daemon, once it
/// records.
fn create(target: &Target<'_>) -> Result<(File, bool), Failure> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match options.clone().create_new(true).open(target.file) {
        Ok(file) => Ok((file, true)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists && target.force => {
            options.open(target.file).map(|file| (file, false)).map_err(|error| unusable(target.file, &error))
        }
        Err(error) => Err(unusable(target.file, &error)),
    }
}

fn unusable(file: &Path, error: &std::io::Error) -> Failure {
    let hint = match error.kind() {
        ErrorKind::AlreadyExists => "--force, or another name",
        ErrorKind::PermissionDenied => "ls -l on it, or a file of your own",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "another file system",
        _ => "the path of a WAV file that exists, or can be made there",
    };
    Failure::new(Code::Failed, format!("{}: {error}", file.display())).with_hint(hint)
}

/// Takes a call over, begins an operation on it, waits for its end, and leaves the call.
fn operation(
    args: &Args,
    id: &str,
    action: &str,
    out: &mut Out,
    begin: impl FnOnce(&mut Session, CallId) -> Result<OperationId, Failure>,
) -> Result<Code, Failure> {
    let mut session = Session::open(args)?;
    let call = session.own(id)?.info.call;
    match begin(&mut session, call) {
        Ok(operation) => finish(&mut session, call, action, operation, out),
        Err(failure) => session.leave(call).and(Err(failure)),
    }
}

/// Waits for the end, leaves the call, and says how it went.
fn finish(
    session: &mut Session,
    call: CallId,
    action: &str,
    operation: OperationId,
    out: &mut Out,
) -> Result<Code, Failure> {
    if !out.json && action != "digits" {
        out.line(&format!("call {call}: {action} since now; Ctrl-C stops it"))?;
    }
    let ended = wait(session, call, operation);
    session.leave(call)?;
    let Ended { end, millis } = ended?;
    if out.json {
        out.object(&json!({"call": call, "action": action, "operation": operation, "end": end, "ms": millis}))?;
    } else {
        let length = if millis > 0 { format!(" after {:.1} s", seconds(millis)) } else { String::new() };
        out.line(&format!("call {call}: {action} {end}{length}"))?;
    }
    verdict(action, &end)
}

/// Whether an end is what was wanted, and what to do where it is not.
pub fn verdict(action: &str, end: &End) -> Result<Code, Failure> {
    let hint = match (end, action) {
        (End::Done | End::Cancelled, _) | (End::CallEnded, "record") => return Ok(Code::Done),
        (End::DiskFull, _) => "another file system",
        (End::CallEnded, _) => "tapictl calls",
        (End::Restarted, _) => "once more: the daemon was restarted, and the call went on",
        (_, "play") => "a WAV file of 16-bit PCM, one or two channels, 8000 to 48000 Hz in steps of 8000",
        (_, "record") => "journalctl -u tapid, which says why, or another file",
        _ => "tapictl call ID, which shows whether the call still carries audio",
    };
    let message = match end {
        End::DiskFull => "the disk is full".into(),
        End::Failed => format!("{action} failed"),
        other => format!("{action} ended: {other}"),
    };
    Err(Failure::new(Code::Failed, message).with_hint(hint))
}

/// Ctrl-C stops the operation; its end is waited for all the same.
fn wait(session: &mut Session, call: CallId, operation: OperationId) -> Result<Ended, Failure> {
    let mut deadline = None;
    loop {
        match session.moment(deadline)? {
            Moment::Event(delivered) => {
                if let Some(ended) = ended(&delivered.event.body, operation) {
                    return Ok(ended);
                }
            }
            Moment::Interrupted if deadline.is_none() => {
                stop(session, call, operation)?;
                deadline = Some(Instant::now() + STOP);
            }
            Moment::Interrupted => return Err(Failure::interrupted()),
            Moment::Missed => {}
            Moment::Late => {
                let failure = Failure::new(Code::Timeout, "it was stopped, and no end was told");
                return Err(failure.with_hint(format!("tapictl call {call}")));
            }
        }
    }
}

/// Stopping what ended by itself a moment ago is no error.
pub fn stop(session: &mut Session, call: CallId, operation: OperationId) -> Result<(), Failure> {
    match session.call(CallStop { call, operation }) {
        Err(failure) if failure.reason.is_none() => Err(failure),
        Err(failure) if failure.reason == Some(ErrorCode::NotOwner) => Err(failure),
        _ => Ok(()),
    }
}
