//! Messages to a client: answers, errors and signals.

use super::convert::{self, Value, text};
use super::path::{Object, ROOT};
use super::surface::events::{HEADER, KINDS};
use super::surface::objects::{LINE, SERVER, TERMINAL};
use super::tree::{Interfaces, interfaces_value};
use serde_json::Value as Json;
use tapi::ErrorCode;
use zbus::message::Message;
use zbus::{Array, Dict, Signature, Structure, Variant};

/// Properties of every object.
pub const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
/// The objects below the root.
pub const OBJECT_MANAGER: &str = "org.freedesktop.DBus.ObjectManager";

/// The D-Bus name of a code.
pub fn error_name(code: ErrorCode) -> String {
    format!("org.tapid.Telephony1.Error.{code:?}")
}

/// Values as a message's body.
pub fn body(values: Vec<Value>) -> Option<Structure<'static>> {
    let builder = values.into_iter().fold(Structure::builder(), zbus::wire::StructureBuilder::append_field);
    builder.build().ok()
}

/// The answer to a call.
pub fn answer(call: &Message, values: Vec<Value>) -> zbus::Result<Message> {
    let header = call.header();
    match body(values) {
        Some(body) => Message::method_return(&header).build(&body),
        None => Message::method_return(&header).build(&()),
    }
}

/// The refusal of a call.
pub fn refusal(call: &Message, error: &tapi::Error) -> zbus::Result<Message> {
    let words = format!("{} [0x{:08x}]", error.message, error.code.number());
    named_refusal(call, &error_name(error.code), &words)
}

/// A refusal by one of D-Bus's own names.
pub fn named_refusal(call: &Message, name: &str, words: &str) -> zbus::Result<Message> {
    Message::error(&call.header(), name).build(&(words.replace('\0', "\u{fffd}"),))
}

/// A signal to one client.
pub fn signal(to: &str, object: &Object, interface: &str, member: &str, values: Vec<Value>) -> zbus::Result<Message> {
    let builder = Message::signal(object.path(), interface, member).destination(to);
    match body(values) {
        Some(body) => builder.build(&body),
        None => builder.build(&()),
    }
}

/// Objects appeared.
pub fn added(to: &str, object: &Object, interfaces: Interfaces) -> zbus::Result<Message> {
    let values = vec![convert::path(object), interfaces_value(interfaces)];
    signal(to, &Object::Root, OBJECT_MANAGER, "InterfacesAdded", values)
}

/// An object is gone.
pub fn removed(to: &str, object: &Object) -> zbus::Result<Message> {
    let names = super::tree::interfaces(object).iter().map(|name| (*name).to_string());
    signal(to, &Object::Root, OBJECT_MANAGER, "InterfacesRemoved", vec![convert::path(object), texts(names)])
}

/// Properties changed.
pub fn changed(
    to: &str,
    object: &Object,
    interface: &str,
    (values, gone): (Dict<'static, 'static>, Vec<String>),
) -> zbus::Result<Message> {
    let values = vec![text(interface), Variant::Dict(values), texts(gone.into_iter())];
    signal(to, object, PROPERTIES, "PropertiesChanged", values)
}

/// The server has no more to say to this client.
pub fn cut_off(to: &str, reason: &str) -> zbus::Result<Message> {
    signal(to, &Object::Root, SERVER, "CutOff", vec![text(reason)])
}

fn texts(words: impl Iterator<Item = String>) -> Value {
    let mut array = Array::new(&Signature::Str);
    for word in words {
        array.append(text(&word)).expect("a text among texts");
    }
    Variant::Array(array)
}

/// The signal of an event, as it is delivered. `None`: its kind is not known here, which a test excludes.
pub fn event(to: &str, delivered: &Json) -> Option<zbus::Result<Message>> {
    let name = delivered.get("kind")?.as_str()?;
    let kind = KINDS.iter().find(|kind| kind.kind == name)?;
    let mut values = convert::arguments(HEADER, delivered, None)?;
    values.extend(convert::arguments(kind.fields, delivered, None)?);
    let object = object_of(kind.interface, delivered)?;
    Some(signal(to, &object, kind.interface, kind.member, values))
}

/// The object that an event is about.
fn object_of(interface: &str, delivered: &Json) -> Option<Object> {
    let of = |key: &str| delivered.get(key);
    let call = || of("call").and_then(|call| call.as_u64()).or_else(|| of("info")?.get("call")?.as_u64());
    Some(match interface {
        SERVER => Object::parse(ROOT)?,
        LINE => match of("line").and_then(Json::as_u64) {
            Some(line) => Object::Line(line),
            None => Object::Line(of("call")?.get("info")?.get("line")?.as_u64()?),
        },
        TERMINAL => Object::Terminal(call()?, of("operation")?.as_u64()?),
        _ => Object::Call(call()?),
    })
}
