//! What each command does.

use crate::args::{Args, Command};
use crate::failure::{Code, Failure};
use crate::out::{Out, wall_now};
use crate::session::{Moment, Session};
use crate::{control, dial, events, ladder, media, paper, pcap, pick, show};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};
use tapi::reply::{self, Trace};
use tapi::request::{
    CallAccept, CallAnswer, CallBridge, CallDrop, CallHold, CallPart, CallTrace, CallUnhold, LineTrace,
};
use tapi::{CallId, CallState, DisconnectMode, EventBody, LineSelector, Method};

/// How long a call may take to come into the state that was asked for.
const SETTLE: Duration = Duration::from_secs(10);

/// Does what the command line says.
pub fn run(args: &Args, out: &mut Out) -> Result<Code, Failure> {
    match &args.command {
        Command::Completions { shell } => paper::completions(*shell),
        Command::Manual { directory } => paper::manual(directory),
        Command::Status => status(args, out),
        Command::Lines => lines(args, out),
        Command::Calls => calls(args, out),
        Command::Call { id } => call(args, id, out),
        Command::Trace { id, full, pcap } => trace(args, id, *full, pcap.as_deref(), out),
        Command::Dial { line, number, play, hangup_after_answer, detach, timeout, trace } => {
            let after = match (hangup_after_answer, detach) {
                (true, _) => dial::Afterwards::HangUp,
                (_, true) => dial::Afterwards::Detach,
                _ => dial::Afterwards::Stay,
            };
            let wish = dial::Wish { line, number, play: play.as_deref(), after, timeout: *timeout, trace: *trace };
            dial::run(args, &wish, out)
        }
        Command::Answer { id } => change(
            args,
            id,
            "answer",
            |call| CallAnswer { call },
            |state| matches!(state, CallState::Connected(_)),
            out,
        ),
        Command::Accept { id, early_media } => {
            let taken = |state: &CallState| matches!(state, CallState::Accepted | CallState::Connected(_));
            change(args, id, "accept", |call| CallAccept { call, early_media: *early_media }, taken, out)
        }
        Command::Hangup { id, reason } => {
            let reason = reason.as_deref().map(DisconnectMode::from);
            known(reason.as_ref())?;
            change(args, id, "hangup", |call| CallDrop { call, reason }, CallState::is_over, out)
        }
        Command::Hold { id } => {
            change(args, id, "hold", |call| CallHold { call }, |state| *state == CallState::OnHold, out)
        }
        Command::Unhold { id } => change(
            args,
            id,
            "unhold",
            |call| CallUnhold { call },
            |state| matches!(state, CallState::Connected(_)),
            out,
        ),
        Command::Digits { id, digits } => media::digits(args, id, digits, out),
        Command::Play { id, file, repeat } => media::play(args, id, file, *repeat, out),
        Command::Record { id, file, seconds, force } => {
            media::record(args, id, &media::Target { file, seconds: *seconds, force: *force }, out)
        }
        Command::Bridge { id, with } => bridge(args, id, with, out),
        Command::Part { id } => part(args, id, out),
        Command::Control(command) => control::run(args, command, out),
        Command::Events { all } => events::run(args, *all, out),
    }
}

/// A misspelt reason must not go out as an unknown one.
pub fn known(reason: Option<&DisconnectMode>) -> Result<(), Failure> {
    match reason {
        Some(DisconnectMode::Other(name)) => {
            let names: Vec<&str> = DisconnectMode::KNOWN.iter().map(DisconnectMode::as_str).collect();
            Err(Failure::new(Code::Usage, format!("there is no reason {name:?}")).with_hint(names.join(", ")))
        }
        _ => Ok(()),
    }
}

fn status(args: &Args, out: &mut Out) -> Result<Code, Failure> {
    let mut session = Session::open(args)?;
    let calls = session.calls()?;
    let lines = session.lines()?;
    let hello = session.hello().clone();
    if out.json {
        let ready = lines.iter().filter(|line| line.status.service.is_in()).count();
        out.object(&json!({
            "socket": args.socket, "tapid": hello.tapid, "api": hello.api, "generation": hello.generation,
            "seq": hello.seq, "lines": lines.len(), "lines_in_service": ready, "calls": calls.len(),
        }))?;
    } else {
        let socket = args.socket.display().to_string();
        let text = show::status(&socket, &hello, &lines, &calls, wall_now(), out.paint);
        out.text(&text)?;
    }
    session.close()?;
    Ok(Code::Done)
}

fn lines(args: &Args, out: &mut Out) -> Result<Code, Failure> {
    let mut session = Session::open(args)?;
    let lines = session.lines()?;
    match out.json {
        true => lines.iter().try_for_each(|line| out.object(line))?,
        false => out.text(&show::lines(&lines, out.paint))?,
    }
    session.close()?;
    Ok(Code::Done)
}

fn calls(args: &Args, out: &mut Out) -> Result<Code, Failure> {
    let mut session = Session::open(args)?;
    let calls = session.calls()?;
    match out.json {
        true => calls.iter().try_for_each(|call| out.object(call))?,
        false => out.text(&show::calls(&calls, wall_now(), out.paint))?,
    }
    session.close()?;
    Ok(Code::Done)
}

fn call(args: &Args, id: &str, out: &mut Out) -> Result<Code, Failure> {
    let mut session = Session::open(args)?;
    let call = session.find(id)?;
    match out.json {
        true => out.object(&call)?,
        false => out.text(&show::call(&call, wall_now(), out.paint))?,
    }
    session.close()?;
    Ok(Code::Done)
}

fn trace(args: &Args, id: &str, full: bool, pcap: Option<&Path>, out: &mut Out) -> Result<Code, Failure> {
    let mut session = Session::open(args)?;
    let full = full || pcap.is_some();
    let (trace, ended) = traced(&mut session, id, full)?;
    match (pcap, out.json) {
        (Some(file), _) => capture(file, &trace, out)?,
        (None, true) => trace.entries.iter().try_for_each(|entry| out.object(entry))?,
        (None, false) => {
            out.text(&ladder::render(&trace, out.paint))?;
            if !ended.is_empty() {
                let ids: Vec<String> = ended.iter().map(ToString::to_string).collect();
                out.text(&format!("calls that are over: {}\n", ids.join(", ")))?;
            }
        }
    }
    session.close()?;
    Ok(Code::Done)
}

/// The trace of a call that is there, of one that is over, or of a line; then with its calls that are over.
fn traced(session: &mut Session, id: &str, full: bool) -> Result<(Trace, Vec<CallId>), Failure> {
    let none = match session.find(id) {
        Ok(call) => return Ok((session.call(CallTrace { call: call.info.call, full })?, Vec::new())),
        Err(failure) => failure,
    };
    if let Ok(call) = id.parse::<u64>()
        && let Ok(trace) = session.call(CallTrace { call: CallId(call), full })
    {
        return Ok((trace, Vec::new()));
    }
    let lines = session.lines()?;
    let line = pick::line(&lines, id).map_err(|_| none)?.line;
    let line = LineTrace { line: LineSelector::Id(line), full };
    let reply::LineTrace { entries, forgotten, ended } = session.call(line)?;
    Ok((Trace { entries, forgotten }, ended))
}

fn capture(file: &Path, trace: &Trace, out: &mut Out) -> Result<(), Failure> {
    let (bytes, without) = pcap::write(&trace.entries);
    std::fs::write(file, bytes).map_err(|error| Failure::new(Code::Failed, format!("{}: {error}", file.display())))?;
    if without > 0 {
        out.text(&format!("{without} entries have no text that was kept, and are left out\n"))?;
    }
    Ok(())
}

/// Takes a call over, changes its state, waits until it has changed, and leaves it as it is.
fn change<M: Method>(
    args: &Args,
    id: &str,
    action: &str,
    request: impl FnOnce(CallId) -> M,
    reached: impl Fn(&CallState) -> bool,
    out: &mut Out,
) -> Result<Code, Failure> {
    let mut session = Session::open(args)?;
    let call = session.own(id)?.info.call;
    let done = session.call(request(call)).map(drop).and_then(|()| settle(&mut session, call, &reached));
    session.leave(call)?;
    let state = done?;
    if out.json {
        out.object(&json!({"call": call, "action": action, "state": state.name(), "mode": state.mode()}))?;
    } else {
        let shown = out.paint.tone(show::tone(&state), &state.to_string());
        out.line(&format!("call {call}: {shown}"))?;
    }
    if reached(&state) {
        return Ok(Code::Done);
    }
    Err(Failure::new(Code::Failed, format!("call {call} ended before that: {state}")).with_hint("tapictl calls"))
}

/// Waits for the state, or the end of the call.
fn settle(session: &mut Session, wanted: CallId, reached: &impl Fn(&CallState) -> bool) -> Result<CallState, Failure> {
    let deadline = Instant::now() + SETTLE;
    loop {
        let state = match session.moment(Some(deadline))? {
            Moment::Event(delivered) => match delivered.event.body {
                EventBody::CallState { call, state, .. } if call == wanted => state,
                _ => continue,
            },
            Moment::Missed => session.get(wanted)?.status.state,
            Moment::Interrupted => return Err(Failure::interrupted()),
            Moment::Late => {
                let message = format!("call {wanted}: asked for and not done within {} s", SETTLE.as_secs());
                let hint = format!("tapictl trace {wanted}");
                return Err(Failure::new(Code::Timeout, message).with_hint(hint));
            }
        };
        if reached(&state) || state.is_over() {
            return Ok(state);
        }
    }
}

fn bridge(args: &Args, id: &str, with: &str, out: &mut Out) -> Result<Code, Failure> {
    let mut session = Session::open(args)?;
    let call = session.own(id)?.info.call;
    let with = session.own(with)?.info.call;
    let done = session.call(CallBridge { call, with });
    session.call(tapi::request::CallDeallocate { call })?;
    if with == call {
        session.close()?;
    } else {
        session.leave(with)?;
    }
    done?;
    match out.json {
        true => out.object(&json!({"call": call, "action": "bridge", "with": with}))?,
        false => out.line(&format!("call {call}: bridged with call {with}"))?,
    }
    Ok(Code::Done)
}

fn part(args: &Args, id: &str, out: &mut Out) -> Result<Code, Failure> {
    let mut session = Session::open(args)?;
    let call = session.own(id)?.info.call;
    let done = session.call(CallPart { call });
    session.leave(call)?;
    done?;
    match out.json {
        true => out.object(&json!({"call": call, "action": "part"}))?,
        false => out.line(&format!("call {call}: on its own"))?,
    }
    Ok(Code::Done)
}
