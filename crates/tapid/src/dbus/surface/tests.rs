//! The two surfaces are the same: the tables against the protocol's types, the shipped files against the tables.

use super::events::KINDS;
use super::objects::{CALL, INTERFACES, LINE, MEMBERS, Twist};
use super::shape::{Field, Shape};
use super::types::{CALL_INFO, CALL_STATUS, LINE as LINE_FIELDS, LINE_CAPS, LINE_STATUS};
use super::verbs::VERBS;
use super::xml;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tapi::{EventBody, Request};

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Compares a shipped file with what the tables say. With TAPID_WRITE_SURFACE=1 it is written instead.
pub fn shipped(path: &str, text: &str) {
    let file = top().join(path);
    if std::env::var_os("TAPID_WRITE_SURFACE").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
        return;
    }
    let there = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        there == text,
        "{path} is not what the tables say: run TAPID_WRITE_SURFACE=1 cargo test -p tapid surface, and look at the change"
    );
}

/// A value of every shape, for parameters.
fn sample(key: &str, shape: &Shape) -> Json {
    match (key, shape) {
        ("request", _) => json!({ "kind": "ussd", "text": "*100#" }),
        ("policy", _) => json!({ "action": "reject" }),
        ("mode", _) => json!("transfer"),
        ("to", Shape::Dict(_)) => json!({ "app": "desk" }),
        ("api", _) => json!([1, 0]),
        ("bearer", _) => json!("voice"),
        (_, Shape::Bool) => json!(true),
        (_, Shape::U32 | Shape::I32 | Shape::U64 | Shape::Line | Shape::LineRef | Shape::Call | Shape::Operation) => {
            json!(1)
        }
        (_, Shape::Text | Shape::Provider) => json!("busy"),
        (_, Shape::File) => json!({ "file": "a.wav" }),
        (_, Shape::Descriptor) => json!("descriptor"),
        (_, Shape::List(of)) => json!([sample("", of)]),
        (_, Shape::Map(of)) => json!({ "interactive_voice": sample("", of) }),
        (_, Shape::Dict(fields) | Shape::Tuple(fields)) => object(fields),
        (_, Shape::LineView | Shape::CallView) => json!({}),
    }
}

fn object(fields: &[Field]) -> Json {
    fields
        .iter()
        .map(|field| (field.key.to_string(), sample(field.key, &field.shape)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn keys(json: &Json) -> BTreeSet<String> {
    json.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect()
}

#[test]
fn every_method_is_in_the_tables_with_the_parameters_it_takes() {
    let known: BTreeSet<&str> = VERBS.iter().map(|verb| verb.method).collect();
    let methods: BTreeSet<&str> = Request::METHODS.iter().copied().collect();
    assert_eq!(known, methods, "VERBS and Request::METHODS differ");
    for verb in VERBS {
        let params = object(verb.params);
        let request: Request = serde_json::from_value(json!({ "method": verb.method, "params": params }))
            .unwrap_or_else(|error| panic!("{}: {error}: {params}", verb.method));
        let reply: BTreeSet<&str> = verb.reply.iter().map(|field| field.key).collect();
        if verb.method != "call.get" {
            let type_has: BTreeSet<&str> = Request::reply(verb.method).iter().copied().collect();
            assert_eq!(reply, type_has, "{}: the reply has other members than the table", verb.method);
        }
        let back = serde_json::to_value(&request).unwrap();
        // A parameter that the type does not have would be gone, and one that the table does not have is in its type.
        assert_eq!(keys(&back["params"]), keys(&params), "{}", verb.method);
        let fields: BTreeSet<String> = Request::params(verb.method).iter().map(|name| (*name).to_string()).collect();
        assert_eq!(fields, keys(&params), "{}: the type has other parameters than the table", verb.method);
    }
}

#[test]
fn every_method_can_be_called_on_the_bus() {
    let on_bus: BTreeSet<&str> = MEMBERS.iter().map(|member| member.method).collect();
    let methods: BTreeSet<&str> = Request::METHODS.iter().copied().collect();
    assert_eq!(on_bus, methods, "the bus and Request::METHODS differ");
    let mut names = BTreeSet::new();
    for member in MEMBERS {
        assert!(names.insert((member.interface, member.name)), "{} twice", member.name);
        if member.twist == Twist::None {
            let mut reached: BTreeSet<&str> = member.path().iter().copied().collect();
            reached.extend(member.arguments().iter().map(|argument| argument.key));
            reached.extend(member.options().iter().map(|option| option.key));
            let left: Vec<&str> =
                member.verb().params.iter().map(|field| field.key).filter(|key| !reached.contains(key)).collect();
            assert!(left.is_empty(), "{}.{} cannot say {left:?}", member.interface, member.name);
        }
    }
}

#[test]
fn every_device_request_can_be_called_on_the_bus() {
    for kind in ["send_message", "ussd", "ussd_cancel", "enter_pin"] {
        let member = MEMBERS.iter().find_map(|member| match member.twist {
            Twist::Device(of, keys) if of == kind => Some(keys),
            _ => None,
        });
        let mut request: serde_json::Map<String, Json> =
            member.expect(kind).iter().map(|key| ((*key).to_string(), json!("1"))).collect();
        request.insert("kind".to_string(), json!(kind));
        let params = json!({ "line": 1, "request": request });
        serde_json::from_value::<Request>(json!({ "method": "line.device", "params": params })).expect(kind);
    }
}

#[test]
fn every_event_has_its_signal() {
    let known: BTreeSet<&str> = KINDS.iter().map(|kind| kind.kind).collect();
    let kinds: BTreeSet<&str> = EventBody::KINDS.iter().copied().collect();
    assert_eq!(known, kinds, "KINDS and EventBody::KINDS differ");
    let mut names = BTreeSet::new();
    for kind in KINDS {
        assert!(names.insert((kind.interface, kind.member)), "{} twice", kind.member);
    }
}

#[test]
fn every_object_has_its_properties_once() {
    for interface in INTERFACES {
        let mut names = BTreeSet::new();
        for property in interface.properties() {
            assert!(names.insert(property.name()), "{}.{} twice", interface.name, property.name());
        }
    }
    let names = |name: &str| {
        let interface = INTERFACES.iter().find(|interface| interface.name == name).unwrap();
        interface.properties().map(|property| property.name()).collect::<Vec<_>>()
    };
    assert_eq!(names(CALL).len(), CALL_INFO.len() + CALL_STATUS.len() - 1);
    assert_eq!(names(LINE).len(), LINE_FIELDS.len() + LINE_CAPS.len() + LINE_STATUS.len() - 1);
}

#[test]
fn the_shipped_interfaces_are_those_of_the_tables() {
    for interface in INTERFACES {
        shipped(&format!("dbus/interfaces/{}.xml", interface.name), &xml::file(interface));
    }
}

#[test]
fn the_policy_kit_has_an_action_for_every_right() {
    let policy = std::fs::read_to_string(top().join("dbus/org.tapid.Telephony1.policy")).unwrap();
    for right in tapi::Right::KNOWN {
        assert!(policy.contains(&format!("\"org.tapid.telephony1.{right}\"")), "{right}");
    }
    let originate = policy.split("telephony1.originate").nth(1).unwrap().split("</action>").next().unwrap();
    assert_eq!(originate.matches(">no</allow").count(), 3, "nobody dials at the system's cost as shipped");
}
