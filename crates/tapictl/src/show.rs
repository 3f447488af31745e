//! Lines, calls and events as text.

use crate::out::{Paint, Table, Tone, clean, clock, time_of_day};
use std::time::Duration;
use tapi::wire::Hello;
use tapi::{
    Call, CallOrigin, CallState, Cause, Delivered, DeviceEvent, End, EventBody, Line, Names, Party, Service,
    TransferPhase,
};

/// All lines.
pub fn lines(lines: &[Line], paint: Paint) -> String {
    if lines.is_empty() {
        return "no lines; the daemon's configuration names the trunks and modems that become lines\n".into();
    }
    let mut table = Table::new(["LINE", "NAME", "PROVIDER", "STATE", "CALLS", "ADDRESSES", "DESCRIPTION"]);
    for line in lines {
        let (tone, state) = match &line.status.service {
            Service::In => (Tone::Good, "in service".to_owned()),
            Service::Out { reason } => (Tone::Bad, format!("out: {reason}")),
        };
        let calls = line.status.active_calls + line.status.held_calls;
        table.row([
            (Tone::Plain, line.line.to_string()),
            (Tone::Strong, line.name.clone()),
            (Tone::Plain, line.provider.clone()),
            (tone, state),
            (Tone::Plain, format!("{calls}/{}", line.caps.max_calls)),
            (Tone::Plain, line.addresses.join(", ")),
            (Tone::Faint, line.description.clone()),
        ]);
    }
    table.render(paint)
}

/// All calls; `now` is microseconds since 1970.
pub fn calls(calls: &[Call], now: u64, paint: Paint) -> String {
    if calls.is_empty() {
        return "no calls\n".into();
    }
    let mut table = Table::new(["CALL", "LINE", "WAY", "PARTY", "STATE", "SINCE", "BRIDGED", "OWNERS"]);
    for call in calls {
        table.row([
            (Tone::Strong, call.info.call.to_string()),
            (Tone::Plain, call.info.line_name.clone()),
            (Tone::Plain, way(call).to_owned()),
            (Tone::Plain, party(far(call))),
            (tone(&call.status.state), call.status.state.to_string()),
            (Tone::Plain, clock(age(call, now))),
            (Tone::Plain, call.info.bridged.map_or("-".to_owned(), |other| other.to_string())),
            (Tone::Plain, call.info.owners.to_string()),
        ]);
    }
    table.render(paint)
}

/// One call with all that is known of it.
pub fn call(call: &Call, now: u64, paint: Paint) -> String {
    let info = &call.info;
    let state = format!("{} for {}", call.status.state, clock(age(call, now)));
    let mut rows = vec![
        ("call", Tone::Strong, format!("{}  {}", info.call, info.uid)),
        ("line", Tone::Plain, format!("{}  {}, address {}", info.line, info.line_name, info.address.0)),
        ("way", Tone::Plain, format!("{} ({}, {})", way(call), info.origin, info.reason)),
        ("state", tone(&call.status.state), state),
    ];
    for (what, who) in [
        ("caller", &info.caller),
        ("called", &info.called),
        ("connected", &info.connected),
        ("redirection", &info.redirection),
        ("redirecting", &info.redirecting),
    ] {
        if who.address.is_some() || who.name.is_some() || what.starts_with("call") {
            rows.push((what, Tone::Plain, party(who)));
        }
    }
    rows.push(("carries", Tone::Plain, format!("{} ({})", names(&info.media_mode), info.bearer)));
    if let Some(media) = &info.media {
        let remote = media.remote.as_ref().map(|remote| format!(" with {remote}")).unwrap_or_default();
        rows.push(("audio", Tone::Plain, format!("{} {} {}{remote}", media.wire, media.codec, media.direction)));
    }
    if let Some(other) = info.bridged {
        rows.push(("bridged", Tone::Plain, format!("with call {other}")));
    }
    if let Some(other) = info.related {
        rows.push(("related", Tone::Plain, format!("to call {other}")));
    }
    if let Some(evidence) = &info.answered_by {
        rows.push(("answered", Tone::Plain, evidence.to_string()));
    }
    if let Some(why) = &info.cause {
        rows.push(("cause", Tone::Notice, cause(why)));
    }
    for (what, text) in [
        ("network id", &info.network_id),
        ("came at", &info.network_time),
        ("application", &info.app),
        ("comment", &info.comment),
    ] {
        rows.extend(text.as_ref().map(|text| (what, Tone::Plain, text.clone())));
    }
    rows.push(("sessions", Tone::Plain, format!("{} own it, {} monitor it", info.owners, info.monitors)));
    rows.push(("can be done", Tone::Plain, names(&call.status.features)));
    let line = |(what, tone, text): (&str, Tone, String)| {
        format!("{}  {}\n", paint.tone(Tone::Faint, &format!("{what:<11}")), paint.tone(tone, &clean(&text)))
    };
    rows.into_iter().map(line).collect()
}

/// The daemon on one screen.
pub fn status(socket: &str, hello: &Hello, all: &[Line], of: &[Call], now: u64, paint: Paint) -> String {
    let (major, minor) = hello.api;
    let head = format!("tapid {} at {socket}, protocol {major}.{minor}, event {}", hello.tapid, hello.seq);
    let ready = all.iter().filter(|line| line.status.service.is_in()).count();
    let count = format!("{ready} of {} lines in service, {} calls", all.len(), of.len());
    let head = paint.tone(Tone::Strong, &clean(&head));
    format!("{head}\n{count}\n\n{}\n{}", lines(all, paint), calls(of, now, paint))
}

/// One event as a line.
pub fn event(delivered: &Delivered, paint: Paint) -> String {
    let event = &delivered.event;
    let (tone, text) = body(&event.body);
    let head = paint.tone(Tone::Faint, &format!("{}Z {:>6}", time_of_day(event.wall), event.seq));
    format!("{head}  {}", paint.tone(tone, &clean(&text)))
}

fn body(body: &EventBody) -> (Tone, String) {
    match body {
        EventBody::LineAdded { line } => (Tone::Good, format!("line {} added: {}", line.line, line.name)),
        EventBody::LineRemoved { line, reason } => (Tone::Bad, format!("line {line} removed: {reason}")),
        EventBody::LineClosed { line, reason } => (Tone::Bad, format!("line {line} closed: {reason}")),
        EventBody::LineState { line, change, ring, status } => {
            let ring = ring.map(|ring| format!(" (ring {})", ring.count)).unwrap_or_default();
            let out = match &status.service {
                Service::In => String::new(),
                Service::Out { reason } => format!(", out of service: {reason}"),
            };
            (Tone::Plain, format!("line {line} {change}{ring}{out}"))
        }
        EventBody::CallNew { call } => {
            let text = format!("call {} new on {}: {}", call.info.call, call.info.line_name, party(far(call)));
            (Tone::Strong, text)
        }
        EventBody::CallState { call, state, cause: why, .. } => {
            (tone(state), format!("call {call} {state}{}", why.as_ref().map(details).unwrap_or_default()))
        }
        EventBody::CallInfo { changed, info } => {
            (Tone::Plain, format!("call {} info: {} changed", info.call, names(changed)))
        }
        EventBody::CallDigit { call, digit, .. } => (Tone::Notice, format!("call {call} digit {digit}")),
        EventBody::CallTone { call, tones, .. } => {
            let levels =
                tones.iter().map(|tone| format!("{} Hz {:.1} dBm0", tone.hz, f64::from(tone.level_ddbm0) / 10.0));
            (Tone::Plain, format!("call {call} tones: {}", levels.collect::<Vec<_>>().join(", ")))
        }
        EventBody::CallGenerated { call, end, .. } => (of_end(end), format!("call {call} digits or tone: {end}")),
        EventBody::CallPlayed { call, end, played_ms, .. } => {
            (of_end(end), format!("call {call} playback: {end} after {:.1} s", seconds(*played_ms)))
        }
        EventBody::CallRecorded { call, end, recorded_ms, .. } => {
            (of_end(end), format!("call {call} recording: {end} after {:.1} s", seconds(*recorded_ms)))
        }
        other => calls_event(other),
    }
}

/// Events of transfers, of what is gathered and recognised, and of devices.
fn calls_event(body: &EventBody) -> (Tone, String) {
    match body {
        EventBody::CallGathered { call, digits, end, .. } => {
            (Tone::Notice, format!("call {call} gathered {digits:?}: {end}"))
        }
        EventBody::CallAudioEnded { call, end, audio_ms, .. } => {
            (of_end(end), format!("call {call} application audio: {end} after {:.1} s", seconds(*audio_ms)))
        }
        EventBody::CallProgress { call, tone, .. } => (Tone::Notice, format!("call {call} hears: {tone}")),
        EventBody::CallTransfer { call, phase, how, with, text, cause: why } => {
            let with = with.map(|with| format!(" with call {with}")).unwrap_or_default();
            let text = text.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
            let why = why.as_ref().map(|why| format!(": {}", cause(why))).unwrap_or_default();
            let tone = if *phase == TransferPhase::Failed { Tone::Bad } else { Tone::Notice };
            (tone, format!("call {call} transfer by {how} {phase}{with}{text}{why}"))
        }
        EventBody::CallTransferRequested { call, to, by, .. } => {
            let by = by.as_ref().map(|by| format!(" by {}", party(by))).unwrap_or_default();
            (Tone::Notice, format!("call {call} is asked to be transferred to {to}{by}"))
        }
        EventBody::LineDevice { line, event } => (Tone::Notice, format!("line {line} {}", device(event))),
        _ => (Tone::Faint, "an event of a newer daemon".into()),
    }
}

/// What a device told.
fn device(event: &DeviceEvent) -> String {
    match event {
        DeviceEvent::MessageSent { to, error: None } => format!("message to {to} sent"),
        DeviceEvent::MessageSent { to, error: Some(error) } => format!("message to {to} not sent: {error}"),
        DeviceEvent::MessageReceived { from, text, .. } => format!("message from {from}: {text}"),
        DeviceEvent::MessageDelivered { to, error: None } => format!("message to {to} delivered"),
        DeviceEvent::MessageDelivered { to, error: Some(error) } => format!("message to {to} not delivered: {error}"),
        DeviceEvent::Ussd { text, more } => format!("network says: {text}{}", if *more { " (answer it)" } else { "" }),
        DeviceEvent::UssdEnded { reason } => format!("service code ended: {reason}"),
        DeviceEvent::Sim { state } => format!("SIM {state}"),
    }
}

/// A state's tone.
pub fn tone(state: &CallState) -> Tone {
    match state {
        CallState::Connected(_) | CallState::Conferenced => Tone::Good,
        CallState::Offering(_) | CallState::Accepted | CallState::Ringback => Tone::Notice,
        CallState::Busy(_) | CallState::SpecialInfo(_) | CallState::Disconnected(_) => Tone::Bad,
        CallState::Idle => Tone::Faint,
        _ => Tone::Plain,
    }
}

fn of_end(end: &End) -> Tone {
    match end {
        End::DiskFull | End::Failed | End::Restarted => Tone::Bad,
        _ => Tone::Plain,
    }
}

/// Milliseconds as seconds, for people.
#[allow(clippy::cast_precision_loss, reason = "shown with one decimal")]
pub fn seconds(millis: u64) -> f64 {
    millis as f64 / 1_000.0
}

/// A number and a name, or what is known instead.
pub fn party(party: &Party) -> String {
    match (&party.name, &party.address) {
        (Some(name), Some(address)) => format!("{name} <{address}>"),
        (Some(text), None) | (None, Some(text)) => text.clone(),
        (None, None) => names(&party.flags),
    }
}

/// Why a call ended, with the words of the network.
pub fn cause(cause: &Cause) -> String {
    format!("{}{}", cause.mode, details(cause))
}

/// What is known beyond the mode.
pub fn details(cause: &Cause) -> String {
    let sip = cause.sip.map(|status| format!("SIP {status}"));
    let q850 = cause.q850.map(|value| format!("Q.850 {value}"));
    let known: Vec<String> = [sip, q850, cause.text.clone()].into_iter().flatten().collect();
    if known.is_empty() { String::new() } else { format!(": {}", known.join(", ")) }
}

fn names<T: std::fmt::Display>(set: &Names<T>) -> String {
    if set.is_empty() {
        return "nothing".into();
    }
    set.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

fn is_outgoing(call: &Call) -> bool {
    matches!(call.info.origin, CallOrigin::Outbound | CallOrigin::Conference)
}

fn way(call: &Call) -> &'static str {
    if is_outgoing(call) { "out" } else { "in" }
}

fn far(call: &Call) -> &Party {
    if is_outgoing(call) { &call.info.called } else { &call.info.caller }
}

fn age(call: &Call, now: u64) -> Duration {
    Duration::from_micros(now.saturating_sub(call.status.entered_wall))
}
