//! The objects that a session may see, with their interfaces and properties.

use super::convert::{self, properties, put};
use super::path::Object;
use super::surface::objects::{ADDRESS, CALL, CLIENT, CONFERENCE, LINE, PROVIDER, SERVER, TERMINAL};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use tapi::CallId;
use tapi::wire::API_VERSION;
use zbus::{Dict, Signature, Variant};

/// Interfaces of an object, with their properties.
pub type Interfaces = Vec<(&'static str, Dict<'static, 'static>)>;

/// A source or sink of a call's audio that this session began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// `playback`, `recording`, `tone`, `digits`, `gathering` or `application`.
    pub kind: &'static str,
    /// The file of the server's that it plays or records.
    pub file: Option<String>,
}

/// Terminals by call and operation.
pub type Terminals = BTreeMap<(u64, u64), Terminal>;

/// The interfaces that an object's methods are looked for in.
pub fn interfaces(object: &Object) -> &'static [&'static str] {
    match object {
        Object::Root => &[SERVER, CLIENT],
        Object::Provider(_) => &[PROVIDER],
        Object::Line(_) => &[LINE],
        Object::Address(..) => &[ADDRESS],
        Object::Call(_) => &[CALL, CONFERENCE],
        Object::Terminal(..) => &[TERMINAL],
        Object::Above(_) | Object::Place(_) | Object::Addresses(_) | Object::Terminals(_) => &[],
    }
}

/// Every object of a snapshot.
pub fn tree(snapshot: &Json, terminals: &Terminals) -> BTreeMap<Object, Interfaces> {
    let none = Vec::new();
    let array = |key: &str| snapshot.get(key).and_then(Json::as_array).unwrap_or(&none);
    let mut tree = BTreeMap::new();
    tree.insert(Object::Root, root(snapshot, array("lines"), array("calls")));
    for line in array("lines") {
        tree.extend(of_line(line));
        if let Some(name) = line.get("provider").and_then(Json::as_str) {
            tree.entry(Object::Provider(name.to_string())).or_insert_with(|| of_provider(name, array("lines")));
        }
    }
    for call in array("calls") {
        if let Some(id) = call_id(call) {
            tree.insert(Object::Call(id), of_call(call, array("calls")));
        }
    }
    for ((call, operation), terminal) in terminals {
        tree.insert(Object::Terminal(*call, *operation), of_terminal(CallId(*call), terminal));
    }
    tree
}

fn root(snapshot: &Json, lines: &[Json], calls: &[Json]) -> Interfaces {
    let mut providers: Vec<&str> = lines.iter().filter_map(|line| line.get("provider")?.as_str()).collect();
    providers.sort_unstable();
    providers.dedup();
    let known = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "api_version": [API_VERSION.0, API_VERSION.1],
        "generation": snapshot.get("generation"),
        "seq": snapshot.get("seq"),
        "providers": providers,
        "lines": lines.iter().filter_map(|line| line.get("line")).collect::<Vec<_>>(),
        "calls": calls.iter().filter_map(call_id).collect::<Vec<_>>(),
    });
    vec![(SERVER, properties(SERVER, &known)), (CLIENT, convert::options())]
}

fn of_provider(name: &str, lines: &[Json]) -> Interfaces {
    let of_it = |line: &&Json| line.get("provider").and_then(Json::as_str) == Some(name);
    let lines: Vec<&Json> = lines.iter().filter(of_it).filter_map(|line| line.get("line")).collect();
    vec![(PROVIDER, properties(PROVIDER, &json!({ "name": name, "lines": lines })))]
}

/// A line and its addresses.
pub fn of_line(line: &Json) -> Vec<(Object, Interfaces)> {
    let Some(id) = line.get("line").and_then(Json::as_u64) else { return Vec::new() };
    let mut objects = vec![(Object::Line(id), vec![(LINE, properties(LINE, line))])];
    let addresses = line.get("addresses").and_then(Json::as_array).into_iter().flatten();
    for (number, address) in (0_u32..).zip(addresses) {
        let known = json!({ "line": id, "id": number, "address": address });
        objects.push((Object::Address(id, number), vec![(ADDRESS, properties(ADDRESS, &known))]));
    }
    objects
}

fn call_id(call: &Json) -> Option<u64> {
    call.get("info")?.get("call")?.as_u64()
}

/// A call; a conference among them has its members.
pub fn of_call(call: &Json, all: &[Json]) -> Interfaces {
    let mut interfaces = vec![(CALL, properties(CALL, call))];
    let info = call.get("info");
    if info.and_then(|info| info.get("origin")).and_then(Json::as_str) == Some("conference") {
        let id = call_id(call);
        let of_it =
            |other: &&Json| other.get("info").and_then(|info| info.get("conference")).and_then(Json::as_u64) == id;
        let members: Vec<u64> = all.iter().filter(of_it).filter_map(call_id).collect();
        interfaces.push((CONFERENCE, properties(CONFERENCE, &json!({ "members": members }))));
    }
    interfaces
}

/// A terminal.
pub fn of_terminal(call: CallId, terminal: &Terminal) -> Interfaces {
    let mut known = json!({ "call": call, "kind": terminal.kind });
    if let (Some(file), Some(known)) = (&terminal.file, known.as_object_mut()) {
        known.insert("file".to_string(), Json::from(file.as_str()));
    }
    vec![(TERMINAL, properties(TERMINAL, &known))]
}

/// `a{sa{sv}}`.
pub fn interfaces_value(interfaces: Interfaces) -> Variant<'static> {
    let properties = Signature::dict(Signature::Str, Signature::Variant);
    let mut dict = Dict::new(&Signature::Str, &properties);
    for (name, properties) in interfaces {
        dict.append(convert::text(name), Variant::Dict(properties)).expect("a text and an a{sv}");
    }
    Variant::Dict(dict)
}

/// `a{oa{sa{sv}}}`.
pub fn objects_value(tree: BTreeMap<Object, Interfaces>) -> Variant<'static> {
    let properties = Signature::dict(Signature::Str, Signature::Variant);
    let mut dict = Dict::new(&Signature::ObjectPath, &Signature::dict(Signature::Str, properties));
    for (object, interfaces) in tree {
        if object != Object::Root {
            dict.append(convert::path(&object), interfaces_value(interfaces)).expect("a path and an a{sa{sv}}");
        }
    }
    Variant::Dict(dict)
}

/// Names of the nodes below an object.
pub fn children(tree: &BTreeMap<Object, Interfaces>, object: &Object) -> Vec<String> {
    let above = format!("{}/", object.path().trim_end_matches('/'));
    let mut names: Vec<String> = tree
        .keys()
        .filter_map(|other| other.path().strip_prefix(&above)?.split('/').next().map(str::to_string))
        .collect();
    names.sort();
    names.dedup();
    names
}

/// The properties that changed, as an event says: of `known`, those of these places.
pub fn changed(interface: &str, places: &[&str], known: &Json) -> (Dict<'static, 'static>, Vec<String>) {
    let mut values = convert::options();
    let mut gone = Vec::new();
    let all = super::surface::objects::interface(interface);
    for property in all.into_iter().flat_map(super::surface::objects::Interface::properties) {
        if !places.contains(&property.within) {
            continue;
        }
        match convert::property_of(&property, known) {
            Some(value) => put(&mut values, &property.name(), value),
            None if property.field.optional => gone.push(property.name()),
            None => {}
        }
    }
    (values, gone)
}
