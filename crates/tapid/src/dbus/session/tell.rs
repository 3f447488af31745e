//! From what the core says to messages on the bus.

use super::{LOOK_AGAIN, Pending, Session, Standing, Then};
use crate::dbus::convert::{self, Value};
use crate::dbus::inbox::Said;
use crate::dbus::path::Object;
use crate::dbus::said;
use crate::dbus::surface::objects::{CALL, LINE, Twist};
use crate::dbus::surface::xml;
use crate::dbus::tree::{self, Terminal, children, objects_value};
use serde_json::{Value as Json, json};
use std::os::fd::OwnedFd;
use tapi::request::LineSetStatusMessages;
use tapi::{
    Call, CallId, CallState, Error, ErrorCode, EventBody, LineId, LineSelector, LineStateKind, OperationId, PlaySource,
    RecordSink, Reply, Request,
};
use tokio::time::Instant;
use zbus::message::Message;
use zbus::{Fd, Variant};

const UNKNOWN_OBJECT: &str = "org.freedesktop.DBus.Error.UnknownObject";
const UNKNOWN_INTERFACE: &str = "org.freedesktop.DBus.Error.UnknownInterface";
const UNKNOWN_PROPERTY: &str = "org.freedesktop.DBus.Error.UnknownProperty";

impl Session {
    pub(super) async fn take_said(&mut self, what: Said) {
        match what {
            Said::Reply { id, result, calls } => {
                let Some(pending) = self.pending.remove(&id.0) else { return };
                match result {
                    Ok(reply) => self.taken(pending, &reply, &calls).await,
                    Err(error) => self.refused(pending, &error),
                }
            }
            Said::Event { prev, event } => {
                let mut delivered = serde_json::to_value(&*event).unwrap_or_default();
                if let Some(object) = delivered.as_object_mut() {
                    object.insert("prev".to_string(), Json::from(prev));
                }
                self.before(&event.body, &delivered);
                match said::event(&self.name, &delivered) {
                    Some(signal) => self.say(signal),
                    None => tracing::error!(seq = event.seq, "an event has no signal"),
                }
                self.after(&event.body);
            }
        }
    }

    fn refused(&mut self, pending: Pending, error: &Error) {
        match (&pending.request, &pending.then) {
            // A session whose events are gone is taken up all the same, and one that was open before stays.
            (Request::ClientOpen(_) | Request::ClientResume(_), _)
                if !matches!(error.code, ErrorCode::ResourceUnavail | ErrorCode::InUse) =>
            {
                self.standing = Standing::None;
            }
            (_, Then::Known(call)) => self.hide(*call),
            _ => {}
        }
        if let Some(call) = pending.call {
            self.reply(said::refusal(&call, error));
        }
    }

    async fn taken(&mut self, pending: Pending, reply: &Reply, brought: &[Call]) {
        for call in brought {
            self.show(call);
        }
        if let Reply::Calls(tapi::reply::Calls { calls }) | Reply::Snapshot(tapi::reply::Snapshot { calls, .. }) = reply
        {
            self.seen(calls, matches!(reply, Reply::Snapshot(_)));
        }
        if let Reply::Started(started) = reply {
            self.started(&pending.request, started.operation);
        }
        let known = serde_json::to_value(reply).unwrap_or_default();
        if let Some(call) = &pending.call {
            let answer = self.answer(call, pending.then, &known);
            self.reply(answer);
        }
        self.consequence(&pending.request, reply).await;
    }

    fn answer(&self, call: &Message, then: Then, known: &Json) -> zbus::Result<Message> {
        match then {
            Then::Answer(member, of, socket) => {
                let values = convert::arguments(member.verb().reply, known, of);
                let mut values = values.unwrap_or_default();
                if matches!(member.twist, Twist::Pair | Twist::Through) {
                    values.extend(socket.map(|socket: OwnedFd| Variant::Fd(Fd::Owned(socket))));
                }
                said::answer(call, values)
            }
            Then::Get(object, interface, name) => self.property(call, known, &object, &interface, &name),
            Then::GetAll(object, interface) => {
                let found = self.find(known, &object).map(|found| {
                    found.into_iter().find(|(name, _)| *name == interface).map(|(_, properties)| properties)
                });
                match found {
                    Some(Some(properties)) => said::answer(call, vec![Variant::Dict(properties)]),
                    // What every object has, has no properties.
                    Some(None) if interface.starts_with("org.freedesktop.DBus.") || interface.is_empty() => {
                        said::answer(call, vec![Variant::Dict(convert::options())])
                    }
                    Some(None) => said::named_refusal(call, UNKNOWN_INTERFACE, &format!("no interface {interface}")),
                    None => said::named_refusal(call, UNKNOWN_OBJECT, &format!("there is no {}", object.path())),
                }
            }
            Then::Objects => said::answer(call, vec![objects_value(tree::tree(known, &self.terminals))]),
            Then::Introspect(object) => self.introspect(call, known, &object),
            Then::Nothing | Then::Known(_) => said::answer(call, Vec::new()),
        }
    }

    fn find(&self, snapshot: &Json, object: &Object) -> Option<tree::Interfaces> {
        tree::tree(snapshot, &self.terminals).remove(object)
    }

    fn property(
        &self,
        call: &Message,
        known: &Json,
        object: &Object,
        interface: &str,
        name: &str,
    ) -> zbus::Result<Message> {
        let Some(found) = self.find(known, object) else {
            return said::named_refusal(call, UNKNOWN_OBJECT, &format!("there is no {}", object.path()));
        };
        let of = found.iter().filter(|(of, _)| interface.is_empty() || *of == interface);
        let value = of.flat_map(|(_, properties)| properties.iter()).find_map(|(key, value)| match (key, value) {
            (Variant::Str(key), Variant::Variant(value)) if key.as_str() == name => value.try_to_owned().ok(),
            _ => None,
        });
        match value {
            Some(value) => said::answer(call, vec![Variant::Variant(Box::new(Value::from(value)))]),
            None => said::named_refusal(call, UNKNOWN_PROPERTY, &format!("{interface} has no {name} now")),
        }
    }

    fn introspect(&self, call: &Message, known: &Json, object: &Object) -> zbus::Result<Message> {
        let tree = tree::tree(known, &self.terminals);
        let place = matches!(object, Object::Above(_) | Object::Place(_) | Object::Addresses(_) | Object::Terminals(_));
        let mut children = children(&tree, object);
        if *object == Object::Root {
            children = ["call", "line", "provider"].map(str::to_string).to_vec();
        }
        let there: Vec<&str> = match tree.get(object) {
            Some(interfaces) => interfaces.iter().map(|(name, _)| *name).collect(),
            None if place => Vec::new(),
            None => return said::named_refusal(call, UNKNOWN_OBJECT, &format!("there is no {}", object.path())),
        };
        said::answer(call, vec![convert::text(&xml::object(&there, *object == Object::Root, &children))])
    }

    /// What a taken request leads to, beside its answer.
    async fn consequence(&mut self, request: &Request, reply: &Reply) {
        match (request, reply) {
            (Request::LineOpen(_), Reply::LineOpened(opened)) if self.opened.insert(opened.line.0) => {
                // Properties of an open line are kept true: all its changes are asked for until the client narrows them.
                let states = LineStateKind::KNOWN.iter().cloned().collect();
                let set = LineSetStatusMessages { line: LineSelector::Id(opened.line), states };
                self.on_behalf(Request::LineSetStatusMessages(set), Then::Nothing).await;
            }
            (Request::LineClose(close), _) => {
                if let LineSelector::Id(line) = close.line {
                    self.opened.remove(&line.0);
                }
            }
            (Request::CallDeallocate(free), _) => self.hide(free.call.0),
            (Request::ClientClose(_), _) => {
                for call in std::mem::take(&mut self.shown) {
                    self.say(said::removed(&self.name, &Object::Call(call)));
                }
                self.opened.clear();
                self.terminals.clear();
                // The one that reading made was closed for one that is open by now.
                if !self
                    .pending
                    .values()
                    .any(|pending| matches!(pending.request, Request::ClientOpen(_) | Request::ClientResume(_)))
                {
                    self.standing = Standing::None;
                }
            }
            _ => {}
        }
    }

    /// A media operation began.
    fn started(&mut self, request: &Request, operation: OperationId) {
        let (call, kind, file) = match request {
            Request::CallPlay(play) => {
                let file = match &play.source {
                    PlaySource::File(name) => Some(name.clone()),
                    PlaySource::Descriptor => None,
                };
                (play.call, "playback", file)
            }
            Request::CallRecord(record) => {
                let file = match &record.sink {
                    RecordSink::File(name) => Some(name.clone()),
                    RecordSink::Descriptor => None,
                };
                (record.call, "recording", file)
            }
            Request::CallTone(tone) => (tone.call, "tone", None),
            Request::CallSendDigits(send) => (send.call, "digits", None),
            Request::CallGatherDigits(gather) => (gather.call, "gathering", None),
            Request::CallAudio(audio) => (audio.call, "application", None),
            _ => return,
        };
        let terminal = Terminal { kind, file };
        let object = Object::Terminal(call.0, operation.0);
        self.say(said::added(&self.name, &object, tree::of_terminal(call, &terminal)));
        self.terminals.insert((call.0, operation.0), terminal);
    }

    /// Shows calls that were not shown; of a snapshot, hides those that are not in it.
    fn seen(&mut self, calls: &[Call], all: bool) {
        for call in calls {
            self.show(call);
        }
        if all {
            let there = |id: &u64| calls.iter().any(|call| call.info.call.0 == *id);
            let gone: Vec<u64> = self.shown.iter().copied().filter(|id| !there(id)).collect();
            for call in gone {
                self.hide(call);
            }
        }
    }

    fn show(&mut self, call: &Call) {
        if self.shown.insert(call.info.call.0) {
            let known = serde_json::to_value(call).unwrap_or_default();
            let interfaces = tree::of_call(&known, &[]);
            self.say(said::added(&self.name, &Object::Call(call.info.call.0), interfaces));
        }
    }

    fn hide(&mut self, call: u64) {
        if self.shown.remove(&call) {
            self.say(said::removed(&self.name, &Object::Call(call)));
        }
    }

    /// What a bus tells of objects before the event that led to it.
    fn before(&mut self, body: &EventBody, delivered: &Json) {
        match body {
            EventBody::LineAdded { line } => {
                let known = serde_json::to_value(&**line).unwrap_or_default();
                for (object, interfaces) in tree::of_line(&known) {
                    self.say(said::added(&self.name, &object, interfaces));
                }
            }
            EventBody::LineState { line, .. } => {
                let changed = tree::changed(LINE, &["status"], delivered);
                self.say(said::changed(&self.name, &Object::Line(line.0), LINE, changed));
            }
            EventBody::CallNew { call } => self.show(call),
            EventBody::CallInfo { info, .. } => {
                let changed = tree::changed(CALL, &["info"], delivered);
                self.say(said::changed(&self.name, &Object::Call(info.call.0), CALL, changed));
            }
            EventBody::CallState { call, cause, .. } => {
                let known = json!({ "status": delivered });
                let (mut values, mut gone) = tree::changed(CALL, &["status"], &known);
                // The event tells the privilege when it changed; the time of the state is its own.
                gone.retain(|name| name == "StateMode");
                for (name, key) in [("Entered", "time"), ("EnteredWall", "wall")] {
                    if let Some(time) = delivered.get(key).and_then(Json::as_u64) {
                        convert::put(&mut values, name, Variant::U64(time));
                    }
                }
                if cause.is_some() {
                    let (of_info, _) = tree::changed(CALL, &["info"], &json!({ "info": delivered }));
                    for (key, value) in of_info.iter() {
                        if let (Variant::Str(key), Variant::Variant(value)) = (key, value)
                            && key.as_str() == "Cause"
                            && let Ok(value) = value.try_to_owned()
                        {
                            convert::put(&mut values, "Cause", Value::from(value));
                        }
                    }
                }
                self.say(said::changed(&self.name, &Object::Call(call.0), CALL, (values, gone)));
            }
            _ => {}
        }
    }

    /// What it tells of them after it.
    fn after(&mut self, body: &EventBody) {
        match body {
            EventBody::LineRemoved { line, .. } => {
                self.opened.remove(&line.0);
                self.say(said::removed(&self.name, &Object::Line(line.0)));
            }
            EventBody::CallState { call, state: CallState::Idle, .. } => {
                self.idle.push_back((Instant::now() + LOOK_AGAIN, call.0));
            }
            EventBody::CallGenerated { call, operation, .. }
            | EventBody::CallPlayed { call, operation, .. }
            | EventBody::CallRecorded { call, operation, .. }
            | EventBody::CallGathered { call, operation, .. }
            | EventBody::CallAudioEnded { call, operation, .. } => self.terminal_ended(*call, *operation),
            EventBody::LineClosed { line, .. } => self.line_closed(*line),
            _ => {}
        }
    }

    fn terminal_ended(&mut self, call: CallId, operation: OperationId) {
        if self.terminals.remove(&(call.0, operation.0)).is_some() {
            self.say(said::removed(&self.name, &Object::Terminal(call.0, operation.0)));
        }
    }

    /// Its calls are gone with it: which they are, the next snapshot tells.
    fn line_closed(&mut self, line: LineId) {
        self.opened.remove(&line.0);
        let due = Instant::now();
        for call in self.shown.iter().copied().collect::<Vec<_>>() {
            self.idle.push_front((due, call));
        }
    }
}
