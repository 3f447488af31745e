//! The protocol of the socket as a JSON schema, from the same tables.

use super::events::{HEADER, KINDS};
use super::shape::{Field, Shape};
use super::tests::shipped;
use super::types::{CALL_INFO, CALL_STATUS, LINE, LINE_CAPS, LINE_STATUS};
use super::verbs::VERBS;
use serde_json::{Map, Value as Json, json};

fn of(shape: &Shape) -> Json {
    match shape {
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::U32 => json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX }),
        Shape::I32 => json!({ "type": "integer", "minimum": i32::MIN, "maximum": i32::MAX }),
        Shape::U64 => json!({ "type": "integer", "minimum": 0 }),
        Shape::Line | Shape::Call | Shape::Operation => {
            json!({ "type": "integer", "minimum": 0, "maximum": 1_u64 << 53 })
        }
        Shape::LineRef => json!({ "type": ["integer", "string"] }),
        Shape::Text | Shape::Provider => json!({ "type": "string" }),
        Shape::File | Shape::Descriptor => json!({ "oneOf": [
            { "const": "descriptor" },
            { "type": "object", "properties": { "file": { "type": "string" } }, "required": ["file"] },
        ] }),
        Shape::List(item) => json!({ "type": "array", "items": of(item) }),
        Shape::Map(item) => json!({ "type": "object", "additionalProperties": of(item) }),
        Shape::Dict(fields) | Shape::Tuple(fields) => object(fields),
        Shape::LineView => json!({ "$ref": "#/$defs/line" }),
        Shape::CallView => json!({ "$ref": "#/$defs/call" }),
    }
}

fn object(fields: &[Field]) -> Json {
    if let [Field { key: "", shape, .. }] = fields {
        return of(shape);
    }
    let properties: Map<String, Json> = fields.iter().map(|field| (field.key.to_string(), of(&field.shape))).collect();
    let required: Vec<&str> = fields.iter().filter(|field| !field.optional).map(|field| field.key).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

fn line() -> Json {
    let mut line = object(LINE);
    line["properties"]["caps"] = object(LINE_CAPS);
    line["properties"]["status"] = object(LINE_STATUS);
    line
}

fn request(verb: &super::verbs::Verb) -> Json {
    json!({
        "description": verb.doc,
        "type": "object",
        "properties": {
            "jsonrpc": { "const": "2.0" },
            "id": { "type": "integer", "minimum": 0, "maximum": 1_u64 << 53 },
            "method": { "const": verb.method },
            "params": object(verb.params),
        },
        "required": ["id", "method"],
    })
}

fn event(kind: &super::events::Kind) -> Json {
    let mut event = object(kind.fields);
    for field in HEADER {
        event["properties"][field.key] = of(&field.shape);
    }
    event["properties"]["kind"] = json!({ "const": kind.kind });
    event["description"] = json!(kind.doc);
    let required = event["required"].as_array().cloned().unwrap_or_default();
    let header = HEADER.iter().map(|field| json!(field.key)).chain([json!("kind")]);
    event["required"] = header.chain(required).collect();
    event
}

#[allow(clippy::too_many_lines, reason = "one document")]
fn schema() -> Json {
    let named =
        |all: Vec<(&str, Json)>| all.into_iter().map(|(name, of)| (name.to_string(), of)).collect::<Map<_, _>>();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The socket protocol of tapid",
        "description": "One JSON-RPC 2.0 object a line. Members that are not named here are passed over.",
        "oneOf": [{ "$ref": "#/$defs/request" }, { "$ref": "#/$defs/answer" }, { "$ref": "#/$defs/notification" }],
        "$defs": {
            "request": { "oneOf": VERBS.iter().map(|verb| json!({ "$ref": format!("#/$defs/requests/{}", verb.method) })).collect::<Vec<_>>() },
            "requests": named(VERBS.iter().map(|verb| (verb.method, request(verb))).collect()),
            "replies": named(VERBS.iter().map(|verb| (verb.method, object(verb.reply))).collect()),
            "answer": {
                "type": "object",
                "properties": {
                    "id": { "type": ["integer", "null"] },
                    "result": { "description": "As replies say, by the method of the request.", "type": "object" },
                    "error": { "$ref": "#/$defs/error" },
                },
                "required": ["id"],
            },
            "error": {
                "type": "object",
                "properties": {
                    "code": { "type": "integer" },
                    "message": { "type": "string" },
                    "data": { "type": "object", "properties": {
                        "lineerr": { "enum": tapi::ErrorCode::ALL.iter().map(|code| code.name()).collect::<Vec<_>>() },
                        "hex": { "type": "string", "pattern": "^0x[0-9a-f]{8}$" },
                    } },
                },
                "required": ["code", "message"],
            },
            "notification": {
                "type": "object",
                "properties": {
                    "method": { "enum": ["hello", "event"] },
                    "params": { "anyOf": [{ "$ref": "#/$defs/hello" }, { "$ref": "#/$defs/event" }] },
                },
                "required": ["method", "params"],
            },
            "hello": {
                "type": "object",
                "properties": {
                    "tapid": { "type": "string" },
                    "api": { "type": "array", "items": { "type": "integer" } },
                    "generation": { "type": "integer" },
                    "seq": { "type": "integer" },
                    "max_line": { "type": "integer" },
                },
                "required": ["tapid", "api", "generation", "seq", "max_line"],
            },
            "event": { "oneOf": KINDS.iter().map(|kind| json!({ "$ref": format!("#/$defs/events/{}", kind.kind) })).collect::<Vec<_>>() },
            "events": named(KINDS.iter().map(|kind| (kind.kind, event(kind))).collect()),
            "line": line(),
            "call": {
                "type": "object",
                "properties": { "info": object(CALL_INFO), "status": object(CALL_STATUS) },
                "required": ["info", "status"],
            },
        },
    })
}

#[test]
fn the_shipped_schema_is_that_of_the_tables() {
    let text = serde_json::to_string_pretty(&schema()).unwrap();
    shipped("docs/protocol.schema.json", &(text + "\n"));
}
