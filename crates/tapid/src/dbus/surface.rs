//! What is on the bus: tables of methods, events, objects and their types, the same for dispatch, introspection and tests.

pub mod events;
pub mod objects;
#[cfg(test)]
mod schema;
pub mod shape;
#[cfg(test)]
mod tests;
pub mod types;
pub mod verbs;
pub mod xml;

use objects::{ADDRESS, CALL, CONFERENCE, LINE, PROVIDER, Property, SERVER, TERMINAL};

/// What is promised of a property: that every change is told, that there is none, or nothing.
pub fn emits(interface: &str, property: &Property) -> &'static str {
    match (interface, property.within, property.field.key) {
        (LINE, "status" | "caps", _) | (SERVER, _, "seq") => "false",
        (LINE, ..) | (ADDRESS | TERMINAL | PROVIDER, ..) => "const",
        (SERVER, _, "version" | "api_version" | "generation") => "const",
        (CALL, "info", "uid" | "line" | "line_name" | "address" | "origin") => "const",
        (CALL, ..) => "true",
        (SERVER | CONFERENCE, ..) => "false",
        _ => "false",
    }
}
