//! Values from one front to the other: both have the same, written differently.

use super::path::Object;
use super::surface::objects::{self, CALL, LINE};
use super::surface::shape::{Field, Shape};
use serde_json::{Map, Value as Json};
use zbus::{Array, Dict, ObjectPath, Signature, Structure, Variant};

/// A D-Bus value that owns all it has.
pub type Value = Variant<'static>;

/// Why a value does not fit: words for its sender.
pub type Unfit = String;

/// Writes a value of the protocol. `call` is the call that operations belong to where the value does not say it. `None`:
/// it is not of this shape, which the tests of the tables exclude.
pub fn to_bus(shape: &Shape, json: &Json, call: Option<u64>) -> Option<Value> {
    Some(match shape {
        Shape::Bool => Variant::Bool(json.as_bool()?),
        Shape::U32 => Variant::U32(u32::try_from(json.as_u64()?).ok()?),
        Shape::I32 => Variant::I32(i32::try_from(json.as_i64()?).ok()?),
        Shape::U64 => Variant::U64(json.as_u64()?),
        Shape::Text => text(json.as_str()?),
        Shape::File | Shape::Descriptor => return None,
        Shape::Provider => path(&Object::Provider(json.as_str()?.to_string())),
        Shape::Line | Shape::LineRef => path(&Object::Line(json.as_u64()?)),
        Shape::Call => path(&Object::Call(json.as_u64()?)),
        Shape::Operation => path(&Object::Terminal(call?, json.as_u64()?)),
        Shape::List(of) => list(of, json.as_array()?.iter().map(|item| to_bus(of, item, call)))?,
        Shape::Map(of) => {
            let mut dict = Dict::new(&Signature::Str, &signature(of)?);
            for (key, value) in json.as_object()? {
                dict.append(text(key), to_bus(of, value, call)?).ok()?;
            }
            Variant::Dict(dict)
        }
        Shape::Dict(fields) => Variant::Dict(dict(fields, json.as_object()?, call)?),
        Shape::Tuple(fields) => {
            let values: Option<Vec<Value>> =
                fields.iter().map(|field| to_bus(&field.shape, json.get(field.key)?, call)).collect();
            structure(values?)?
        }
        Shape::LineView => {
            let line = json.get("line")?.as_u64()?;
            structure(vec![path(&Object::Line(line)), Variant::Dict(properties(LINE, json))])?
        }
        Shape::CallView => {
            let call = json.get("info")?.get("call")?.as_u64()?;
            structure(vec![path(&Object::Call(call)), Variant::Dict(properties(CALL, json))])?
        }
    })
}

/// Text. A NUL, which D-Bus does not have, is written as the mark of what is not known.
pub fn text(text: &str) -> Value {
    Variant::Str(text.replace('\0', "\u{fffd}").into())
}

/// An object's path.
pub fn path(object: &Object) -> Value {
    Variant::ObjectPath(ObjectPath::try_from(object.path()).expect("paths are made of letters, digits and _"))
}

fn signature(shape: &Shape) -> Option<Signature> {
    Signature::try_from(shape.signature().as_str()).ok()
}

/// An array of a shape.
pub fn list(of: &Shape, items: impl Iterator<Item = Option<Value>>) -> Option<Value> {
    let mut array = Array::new(&signature(of)?);
    for item in items {
        array.append(item?).ok()?;
    }
    Some(Variant::Array(array))
}

/// A structure.
pub fn structure(values: Vec<Value>) -> Option<Value> {
    let builder = values.into_iter().fold(Structure::builder(), zbus::wire::StructureBuilder::append_field);
    builder.build().ok().map(Variant::Structure)
}

/// An empty `a{sv}`.
pub fn options() -> Dict<'static, 'static> {
    Dict::new(&Signature::Str, &Signature::Variant)
}

/// Puts a value into an `a{sv}`.
pub fn put(dict: &mut Dict<'static, 'static>, key: &str, value: Value) {
    dict.append(text(key), Variant::Variant(Box::new(value))).expect("a text and a variant");
}

fn dict(fields: &[Field], object: &Map<String, Json>, call: Option<u64>) -> Option<Dict<'static, 'static>> {
    let call = object.get("call").and_then(Json::as_u64).or(call);
    let mut dict = options();
    for field in fields {
        if let Some(json) = object.get(field.key) {
            put(&mut dict, field.key, to_bus(&field.shape, json, call)?);
        }
    }
    Some(dict)
}

/// The properties of an object as they stand in what is known of it; those that it does not have are left out.
pub fn properties(interface: &str, known: &Json) -> Dict<'static, 'static> {
    let mut dict = options();
    for property in objects::interface(interface).into_iter().flat_map(objects::Interface::properties) {
        if let Some(value) = property_of(&property, known) {
            put(&mut dict, &property.name(), value);
        }
    }
    dict
}

/// One of them.
pub fn property_of(property: &objects::Property, known: &Json) -> Option<Value> {
    let object = if property.within.is_empty() { known } else { known.get(property.within)? };
    to_bus(&property.field.shape, object.get(property.field.key)?, None)
}

/// Positional values, and the optional ones by name behind them where there can be any.
pub fn arguments(fields: &[Field], object: &Json, call: Option<u64>) -> Option<Vec<Value>> {
    let call = object.get("call").and_then(Json::as_u64).or(call);
    let mut values = Vec::new();
    for field in fields.iter().filter(|field| !field.optional) {
        let json = if field.key.is_empty() { object } else { object.get(field.key)? };
        values.push(to_bus(&field.shape, json, call)?);
    }
    if fields.iter().any(|field| field.optional) {
        let mut dict = options();
        for field in fields.iter().filter(|field| field.optional) {
            if let Some(json) = object.get(field.key) {
                put(&mut dict, field.key, to_bus(&field.shape, json, call)?);
            }
        }
        values.push(Variant::Dict(dict));
    }
    Some(values)
}

/// Reads a value that a client sent. Whole numbers of any D-Bus type are taken where they fit.
pub fn to_json(shape: &Shape, value: &Variant<'_>) -> Result<Json, Unfit> {
    let value = bare(value);
    let unfit = || format!("expected {}, not {}", shape.signature(), value.value_signature());
    match shape {
        Shape::Bool => match value {
            Variant::Bool(value) => Ok(Json::from(*value)),
            _ => Err(unfit()),
        },
        Shape::U32 | Shape::U64 | Shape::I32 => whole(value).map(Json::Number).ok_or_else(unfit),
        Shape::Text => word(value).map(Json::from).ok_or_else(unfit),
        Shape::File => word(value).map(|name| serde_json::json!({ "file": name })).ok_or_else(unfit),
        Shape::Descriptor => match value {
            Variant::Fd(_) => Ok(Json::from("descriptor")),
            _ => Err(unfit()),
        },
        Shape::Provider | Shape::Line | Shape::LineRef | Shape::Call | Shape::Operation => object_id(shape, value),
        Shape::List(of) => match value {
            Variant::Array(array) => array.inner().iter().map(|item| to_json(of, item)).collect(),
            _ => Err(unfit()),
        },
        Shape::Dict(fields) => match value {
            Variant::Dict(dict) => named(fields.iter().map(|field| (field.key, &field.shape)), dict),
            _ => Err(unfit()),
        },
        Shape::Map(_) | Shape::Tuple(_) | Shape::LineView | Shape::CallView => Err(unfit()),
    }
}

/// Reads an `a{sv}`. Keys that are not known are passed over.
pub fn named<'a>(keys: impl Iterator<Item = (&'a str, &'a Shape)>, dict: &Dict<'_, '_>) -> Result<Json, Unfit> {
    let mut object = Map::new();
    let keys: Vec<(&str, &Shape)> = keys.collect();
    for (key, value) in dict.iter() {
        let known = word(key).and_then(|key| keys.iter().find(|(known, _)| *known == key));
        if let Some((key, shape)) = known {
            object.insert((*key).to_string(), to_json(shape, value).map_err(|unfit| format!("{key}: {unfit}"))?);
        }
    }
    Ok(Json::Object(object))
}

fn bare<'a, 'v>(value: &'a Variant<'v>) -> &'a Variant<'v> {
    let mut value = value;
    while let Variant::Variant(inner) = value {
        value = inner;
    }
    value
}

fn word<'a>(value: &'a Variant<'_>) -> Option<&'a str> {
    match value {
        Variant::Str(text) => Some(text.as_str()),
        _ => None,
    }
}

fn whole(value: &Variant<'_>) -> Option<serde_json::Number> {
    Some(match value {
        Variant::U8(number) => (*number).into(),
        Variant::I16(number) => (*number).into(),
        Variant::U16(number) => (*number).into(),
        Variant::I32(number) => (*number).into(),
        Variant::U32(number) => (*number).into(),
        Variant::I64(number) => (*number).into(),
        Variant::U64(number) => (*number).into(),
        _ => return None,
    })
}

/// The id in a path; a line also goes by its permanent name.
fn object_id(shape: &Shape, value: &Variant<'_>) -> Result<Json, Unfit> {
    if let (Shape::LineRef, Variant::Str(name)) = (shape, value) {
        return Ok(Json::from(name.as_str()));
    }
    let Variant::ObjectPath(path) = value else { return Err("expected an object's path".to_string()) };
    match (shape, Object::parse(path.as_str())) {
        (Shape::Line | Shape::LineRef, Some(Object::Line(id)))
        | (Shape::Call, Some(Object::Call(id)))
        | (Shape::Operation, Some(Object::Terminal(_, id))) => Ok(Json::from(id)),
        _ => Err(format!("{path} is not the path of such an object")),
    }
}
