//! Transfers, conferences, handing over, and what a line can do beside calls.

use crate::args::{Args, Control, PolicyAction};
use crate::failure::{Code, Failure};
use crate::out::Out;
use crate::session::{Moment, Session};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tapi::request::{
    CallAcceptTransfer, CallAddToConference, CallBlindTransfer, CallCompleteTransfer, CallGatherDigits, CallHandoff,
    CallPause, CallRedirect, CallRejectTransfer, CallRemoveFromConference, CallResume, CallSetAppData,
    CallSetupConference, CallSetupTransfer, CallSwapHold, ClientGetPriority, ClientSetPriority, LineDevice,
    LineForward, LineGetPolicy, LineSetPolicy,
};
use tapi::{
    AddressId, CallId, DeviceEvent, DeviceRequest, EventBody, ForwardKind, ForwardRule, GatherEnd, HandoffTarget,
    IncomingPolicy, Line, LineSelector, MediaMode, Method, OperationId, Privilege, TransferMode, TransferPhase,
    TransferWay,
};

/// How long a transfer or a device may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Does what the command line says.
pub fn run(args: &Args, control: &Control, out: &mut Out) -> Result<Code, Failure> {
    match control {
        Control::Transfer { id, to, how } => transfer(args, id, to, how.as_deref(), out),
        Control::Consult { id, to, line } => consult(args, id, to, line.as_deref(), out),
        Control::Complete { id, with, conference } => complete(args, id, with, *conference, out),
        Control::Redirect { id, to } => {
            on_call(args, id, "redirect", |call| CallRedirect { call, to: to.clone() }, out)
        }
        Control::Swap { id, with } => on_calls(args, (id, with), "swap", |call, with| CallSwapHold { call, with }, out),
        Control::AcceptTransfer { id } => on_call(args, id, "accept-transfer", |call| CallAcceptTransfer { call }, out),
        Control::RejectTransfer { id } => on_call(args, id, "reject-transfer", |call| CallRejectTransfer { call }, out),
        Control::Conference { id, with } => conference(args, id, with, out),
        Control::Leave { id } => on_call(args, id, "leave", |call| CallRemoveFromConference { call }, out),
        Control::Gather { id, count, until, first, inter } => {
            let millis = |time: &Option<Duration>| time.map(|time| u32::try_from(time.as_millis()).unwrap_or(u32::MAX));
            let gather = |call| CallGatherDigits {
                call,
                count: *count,
                termination: until.clone().unwrap_or_default(),
                first_ms: millis(first),
                inter_ms: millis(inter),
            };
            gather_digits(args, id, gather, out)
        }
        Control::Pause { id, operation } => {
            let operation = OperationId(*operation);
            on_call(args, id, "pause", |call| CallPause { call, operation }, out)
        }
        Control::Resume { id, operation } => {
            let operation = OperationId(*operation);
            on_call(args, id, "resume", |call| CallResume { call, operation }, out)
        }
        Control::Handoff { id, app } => {
            let to = HandoffTarget::App(app.clone());
            on_call(args, id, "handoff", |call| CallHandoff { call, to }, out)
        }
        Control::Note { id, comment, data } => {
            let (comment, data) = (comment.clone(), data.clone());
            on_call(args, id, "note", |call| CallSetAppData { call, comment, data }, out)
        }
        Control::Sms { line, to, text } => {
            device(args, line, DeviceRequest::SendMessage { to: to.clone(), text: text.clone() }, out)
        }
        Control::Ussd { line, text } => device(args, line, DeviceRequest::Ussd { text: text.clone() }, out),
        Control::Forward { line, rules, off } => forward(args, line, rules, *off, out),
        Control::Policy { line, action } => policy(args, line, action.as_ref(), out),
        Control::Priority { app, place } => priority(args, app.as_deref(), *place, out),
    }
}

/// Tells what was done.
fn told(out: &mut Out, object: &Value, text: &str) -> Result<Code, Failure> {
    match out.json {
        true => out.object(object)?,
        false => out.line(text)?,
    }
    Ok(Code::Done)
}

/// Takes a call over, asks one thing, and leaves it as it is.
fn on_call<M: Method>(
    args: &Args,
    id: &str,
    action: &str,
    request: impl FnOnce(CallId) -> M,
    out: &mut Out,
) -> Result<Code, Failure> {
    let mut session = Session::open(args)?;
    let call = session.own(id)?.info.call;
    let done = session.call(request(call)).map(drop);
    session.leave(call)?;
    done?;
    told(out, &json!({"call": call, "action": action}), &format!("call {call}: {action} taken"))
}

fn on_calls<M: Method>(
    args: &Args,
    (id, with): (&str, &str),
    action: &str,
    request: impl FnOnce(CallId, CallId) -> M,
    out: &mut Out,
) -> Result<Code, Failure> {
    let mut session = Session::open(args)?;
    let call = session.own(id)?.info.call;
    let with = session.own(with)?.info.call;
    let done = session.call(request(call, with)).map(drop);
    free(&mut session, call)?;
    session.leave(with)?;
    done?;
    told(
        out,
        &json!({"call": call, "action": action, "with": with}),
        &format!("call {call}: {action} with {with} taken"),
    )
}

/// Gives a handle up; the call goes on.
fn free(session: &mut Session, call: CallId) -> Result<(), Failure> {
    session.call(tapi::request::CallDeallocate { call }).map(drop)
}

/// By whom, as it was asked.
fn way(how: Option<&str>) -> Result<Option<TransferWay>, Failure> {
    match how.map(TransferWay::from) {
        Some(TransferWay::Other(name)) => {
            Err(Failure::new(Code::Usage, format!("{name:?} is neither network nor bridge")))
        }
        way => Ok(way),
    }
}

fn transfer(args: &Args, id: &str, to: &str, how: Option<&str>, out: &mut Out) -> Result<Code, Failure> {
    let how = way(how)?;
    let mut session = Session::open(args)?;
    let call = session.own(id)?.info.call;
    let ended = match session.call(CallBlindTransfer { call, to: to.to_owned(), how }) {
        Ok(_) => transferred(&mut session, call),
        Err(failure) => Err(failure),
    };
    session.close()?;
    let how = ended?;
    told(out, &json!({"call": call, "action": "transfer", "how": how}), &format!("call {call}: transferred by {how}"))
}

/// Waits until a transfer is done or failed.
fn transferred(session: &mut Session, wanted: CallId) -> Result<TransferWay, Failure> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match session.moment(Some(deadline))? {
            Moment::Event(delivered) => match delivered.event.body {
                EventBody::CallTransfer { call, phase: TransferPhase::Done, how, .. } if call == wanted => {
                    return Ok(how);
                }
                EventBody::CallTransfer { call, phase: TransferPhase::Failed, cause, .. } if call == wanted => {
                    let why = cause.map(|cause| crate::show::cause(&cause)).unwrap_or_default();
                    return Err(Failure::new(Code::Failed, format!("call {wanted}: the transfer failed: {why}")));
                }
                EventBody::CallState { call, state, .. } if call == wanted && state.is_over() => {
                    return Err(Failure::new(Code::Failed, format!("call {wanted} ended before that: {state}")));
                }
                _ => {}
            },
            Moment::Missed => {}
            Moment::Interrupted => return Err(Failure::interrupted()),
            Moment::Late => {
                let message = format!("call {wanted}: not transferred within {} s", PATIENCE.as_secs());
                return Err(Failure::new(Code::Timeout, message));
            }
        }
    }
}

fn consult(args: &Args, id: &str, to: &str, line: Option<&str>, out: &mut Out) -> Result<Code, Failure> {
    let mut session = Session::open(args)?;
    let call = session.own(id)?.info.call;
    let line = match line {
        Some(line) => {
            let line = session.line(line)?;
            session.open_line(line.line, Privilege::Monitor)?;
            Some(LineSelector::Id(line.line))
        }
        None => None,
    };
    let made = session.call(CallSetupTransfer { call, to: to.to_owned(), line, address: AddressId(0), comment: None });
    match made {
        Ok(made) => {
            free(&mut session, call)?;
            session.leave(made.call)?;
            let object = json!({"call": call, "action": "consult", "consultation": made.call});
            told(out, &object, &format!("call {call}: held; call {} asks {to}", made.call))
        }
        Err(failure) => {
            session.leave(call)?;
            Err(failure)
        }
    }
}

fn complete(args: &Args, id: &str, with: &str, conference: bool, out: &mut Out) -> Result<Code, Failure> {
    let mut session = Session::open(args)?;
    let call = session.own(id)?.info.call;
    let consultation = session.own(with)?.info.call;
    let mode = if conference { TransferMode::Conference } else { TransferMode::Transfer };
    let done = session.call(CallCompleteTransfer { call, consultation, mode, how: None });
    let reply = match done {
        Ok(reply) => reply,
        Err(failure) => {
            free(&mut session, call)?;
            session.leave(consultation)?;
            return Err(failure);
        }
    };
    if let Some(made) = reply.conference {
        free(&mut session, call)?;
        free(&mut session, consultation)?;
        session.leave(made)?;
        let object = json!({"call": call, "action": "complete", "conference": made, "how": reply.how});
        return told(out, &object, &format!("call {made}: conference of calls {call} and {consultation}"));
    }
    let how = transferred(&mut session, call);
    session.close()?;
    let how = how?;
    let object = json!({"call": call, "action": "complete", "with": consultation, "how": how});
    told(out, &object, &format!("call {call}: joined with call {consultation} by {how}"))
}

fn conference(args: &Args, id: &str, with: &[String], out: &mut Out) -> Result<Code, Failure> {
    let mut session = Session::open(args)?;
    let first = session.own(id)?;
    let mut own = vec![first.info.call];
    for other in with {
        own.push(session.own(other)?.info.call);
    }
    let conference = match first.info.conference {
        Some(conference) => session.own(&conference.to_string())?.info.call,
        None => session.call(CallSetupConference { call: first.info.call, to: None })?.conference,
    };
    let added =
        own.iter().skip(1).try_for_each(|call| session.call(CallAddToConference { conference, call: *call }).map(drop));
    for call in &own {
        free(&mut session, *call)?;
    }
    session.leave(conference)?;
    added?;
    let object = json!({"call": conference, "action": "conference", "members": own});
    told(out, &object, &format!("call {conference}: conference of {} calls", own.len()))
}

fn gather_digits(
    args: &Args,
    id: &str,
    request: impl FnOnce(CallId) -> CallGatherDigits,
    out: &mut Out,
) -> Result<Code, Failure> {
    let mut session = Session::open(args)?;
    let call = session.own(id)?.info.call;
    let gathered = session.call(request(call)).and_then(|started| {
        loop {
            match session.moment(None)? {
                Moment::Event(delivered) => match delivered.event.body {
                    EventBody::CallGathered { operation, digits, end, .. } if operation == started.operation => {
                        return Ok((digits, end));
                    }
                    _ => {}
                },
                Moment::Interrupted => return Err(Failure::interrupted()),
                Moment::Missed | Moment::Late => {}
            }
        }
    });
    session.leave(call)?;
    let (digits, end) = gathered?;
    told(out, &json!({"call": call, "action": "gather", "digits": digits, "end": end}), &digits)?;
    Ok(match end {
        GatherEnd::Full | GatherEnd::Termination => Code::Done,
        GatherEnd::FirstTimeout | GatherEnd::InterTimeout => Code::Timeout,
        _ => Code::Failed,
    })
}

/// Opens a line to be told what becomes of a request.
fn line_of(session: &mut Session, line: &str) -> Result<Line, Failure> {
    let line = session.line(line)?;
    session.open_line(line.line, Privilege::Monitor)?;
    Ok(line)
}

fn device(args: &Args, line: &str, request: DeviceRequest, out: &mut Out) -> Result<Code, Failure> {
    let mut session = Session::open(args)?;
    let line = line_of(&mut session, line)?;
    session.call(LineDevice { line: LineSelector::Id(line.line), request })?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let event = match session.moment(Some(deadline))? {
            Moment::Event(delivered) => match delivered.event.body {
                EventBody::LineDevice { line: of, event } if of == line.line => event,
                _ => continue,
            },
            Moment::Missed => continue,
            Moment::Interrupted => return Err(Failure::interrupted()),
            Moment::Late => {
                return Err(Failure::new(Code::Timeout, format!("line {}: no answer of the network", line.name)));
            }
        };
        let (text, failed) = match &event {
            DeviceEvent::MessageSent { to, error: None } => (format!("message to {to} sent"), false),
            DeviceEvent::MessageSent { error: Some(error), .. } => (format!("not sent: {error}"), true),
            DeviceEvent::Ussd { text, .. } => (text.clone(), false),
            DeviceEvent::UssdEnded { reason } => (format!("ended: {reason}"), true),
            _ => continue,
        };
        session.close()?;
        if failed {
            return Err(Failure::new(Code::Failed, format!("line {}: {text}", line.name)));
        }
        return told(out, &json!({"line": line.line, "name": line.name, "event": event}), &text);
    }
}

/// `when:to` or `no_answer/20:to`.
fn rule(text: &str) -> Result<ForwardRule, Failure> {
    let wrong = || Failure::new(Code::Usage, format!("{text:?}: expected WHEN:TO")).with_hint("no_answer/20:+49301234");
    let (when, to) = text.split_once(':').ok_or_else(wrong)?;
    let (when, after) = when.split_once('/').map_or((when, None), |(when, after)| (when, Some(after)));
    let when = ForwardKind::from(when);
    if matches!(when, ForwardKind::Other(_)) || to.is_empty() {
        return Err(wrong());
    }
    let after_s = after.map(|after| after.parse().map_err(|_| wrong())).transpose()?;
    Ok(ForwardRule { when, to: to.to_owned(), after_s })
}

fn forward(args: &Args, line: &str, rules: &[String], off: bool, out: &mut Out) -> Result<Code, Failure> {
    let rules = rules.iter().map(|text| rule(text)).collect::<Result<Vec<_>, _>>()?;
    let mut session = Session::open(args)?;
    let line = line_of(&mut session, line)?;
    if rules.is_empty() && !off {
        session.close()?;
        let object = json!({"line": line.line, "name": line.name, "forwarding": line.status.forwarding});
        let shown = line.status.forwarding.iter().map(|rule| format!("{} to {}", rule.when, rule.to));
        let shown: Vec<String> = shown.collect();
        let shown = if shown.is_empty() { "not forwarded".to_owned() } else { shown.join(", ") };
        return told(out, &object, &format!("line {}: {shown}", line.name));
    }
    let count = rules.len();
    let reply = session.call(LineForward { line: LineSelector::Id(line.line), rules })?;
    session.close()?;
    let object = json!({"line": line.line, "name": line.name, "action": "forward", "how": reply.how});
    told(out, &object, &format!("line {}: {count} rules, kept by {}", line.name, reply.how))
}

fn policy(args: &Args, line: &str, action: Option<&PolicyAction>, out: &mut Out) -> Result<Code, Failure> {
    let mut session = Session::open(args)?;
    let line = session.line(line)?;
    let selector = LineSelector::Id(line.line);
    if let Some(action) = action {
        let policy = match action {
            PolicyAction::Reject { cause } => {
                let cause = cause.as_deref().map(tapi::DisconnectMode::from);
                crate::act::known(cause.as_ref())?;
                Some(IncomingPolicy::Reject { cause })
            }
            PolicyAction::Ring { seconds } => Some(IncomingPolicy::Ring { timeout_s: *seconds }),
            PolicyAction::Play { file } => Some(IncomingPolicy::Play { file: file.clone() }),
            PolicyAction::Forward { to, on, how } => {
                let (line, how) = (on.clone(), way(how.as_deref())?);
                Some(IncomingPolicy::Forward { to: to.clone(), line, how })
            }
            PolicyAction::Default => None,
        };
        session.call(LineSetPolicy { line: selector.clone(), policy })?;
    }
    let reply = session.call(LineGetPolicy { line: selector })?;
    session.close()?;
    let object = json!({"line": line.line, "name": line.name, "policy": reply.policy});
    let shown = match &reply.policy {
        IncomingPolicy::Reject { cause: None } => "turned away".to_owned(),
        IncomingPolicy::Reject { cause: Some(cause) } => format!("turned away as {cause}"),
        IncomingPolicy::Ring { timeout_s } => format!("rings for {timeout_s} s"),
        IncomingPolicy::Play { file } => format!("hears {file}"),
        IncomingPolicy::Forward { to, .. } => format!("is sent to {to}"),
    };
    told(out, &object, &format!("line {}: a call that nobody takes {shown}", line.name))
}

fn priority(args: &Args, app: Option<&str>, place: Option<u32>, out: &mut Out) -> Result<Code, Failure> {
    let mut session = Session::open(args)?;
    if let (Some(app), Some(place)) = (app, place) {
        session.call(ClientSetPriority { app: Some(app.to_owned()), media_mode: None, place })?;
    }
    let reply = session.call(ClientGetPriority {})?;
    session.close()?;
    if out.json {
        out.object(&reply)?;
        return Ok(Code::Done);
    }
    let voice = reply.priorities.get(&MediaMode::InteractiveVoice).cloned().unwrap_or_default();
    for (place, app) in voice.iter().enumerate() {
        out.line(&format!("{:>3}  {app}", place + 1))?;
    }
    Ok(Code::Done)
}
