//! Where objects are on the bus. A path says which object it is; whether there is one, the core knows.

use std::fmt::Write;

/// The root of all.
pub const ROOT: &str = "/org/tapid/Telephony1";

/// An object, or a place above some.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Object {
    /// A place above the root.
    Above(&'static str),
    /// The server and the session of whoever asks.
    Root,
    /// The place of `provider`, `line` or `call`.
    Place(&'static str),
    /// A provider, by its name.
    Provider(String),
    /// A line.
    Line(u64),
    /// The place of a line's addresses.
    Addresses(u64),
    /// An address of a line.
    Address(u64, u32),
    /// A call.
    Call(u64),
    /// The place of a call's terminals.
    Terminals(u64),
    /// A terminal of a call, by its operation.
    Terminal(u64, u64),
}

impl Object {
    /// Reads a path.
    pub fn parse(path: &str) -> Option<Object> {
        if let Some(above) = ["/", "/org", "/org/tapid"].into_iter().find(|above| *above == path) {
            return Some(Object::Above(above));
        }
        let rest = path.strip_prefix(ROOT)?;
        if rest.is_empty() {
            return Some(Object::Root);
        }
        let parts: Vec<&str> = rest.strip_prefix('/')?.split('/').collect();
        match parts.as_slice() {
            ["provider"] => Some(Object::Place("provider")),
            ["line"] => Some(Object::Place("line")),
            ["call"] => Some(Object::Place("call")),
            ["provider", name] => unescape(name).map(Object::Provider),
            ["line", line] => Some(Object::Line(number(line)?)),
            ["line", line, "address"] => Some(Object::Addresses(number(line)?)),
            ["line", line, "address", address] => {
                Some(Object::Address(number(line)?, u32::try_from(number(address)?).ok()?))
            }
            ["call", call] => Some(Object::Call(number(call)?)),
            ["call", call, "terminal"] => Some(Object::Terminals(number(call)?)),
            ["call", call, "terminal", operation] => Some(Object::Terminal(number(call)?, number(operation)?)),
            _ => None,
        }
    }

    /// The path.
    pub fn path(&self) -> String {
        match self {
            Object::Above(path) => (*path).to_string(),
            Object::Root => ROOT.to_string(),
            Object::Place(name) => format!("{ROOT}/{name}"),
            Object::Provider(name) => format!("{ROOT}/provider/{}", escape(name)),
            Object::Line(line) => format!("{ROOT}/line/{line}"),
            Object::Addresses(line) => format!("{ROOT}/line/{line}/address"),
            Object::Address(line, address) => format!("{ROOT}/line/{line}/address/{address}"),
            Object::Call(call) => format!("{ROOT}/call/{call}"),
            Object::Terminals(call) => format!("{ROOT}/call/{call}/terminal"),
            Object::Terminal(call, operation) => format!("{ROOT}/call/{call}/terminal/{operation}"),
        }
    }
}

/// One object has one path: no leading zeros, no signs.
fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text)
}

/// Other than letters and digits are written as `_` and two hexadecimal digits a byte; nothing as `_`.
fn escape(name: &str) -> String {
    if name.is_empty() {
        return "_".to_string();
    }
    let mut escaped = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "_{byte:02x}");
        }
    }
    escaped
}

fn unescape(escaped: &str) -> Option<String> {
    if escaped == "_" {
        return Some(String::new());
    }
    let mut bytes = Vec::with_capacity(escaped.len());
    let mut rest = escaped.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'_' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = after.get(2..)?;
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok().filter(|name| escape(name) == escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_as_the_object_that_wrote_it() {
        for object in [
            Object::Root,
            Object::Above("/"),
            Object::Above("/org/tapid"),
            Object::Place("line"),
            Object::Provider("sip/ö_1".to_string()),
            Object::Provider(String::new()),
            Object::Line(65_537),
            Object::Addresses(1),
            Object::Address(1, 2),
            Object::Call(u64::MAX),
            Object::Terminals(3),
            Object::Terminal(3, 4),
        ] {
            assert_eq!(Object::parse(&object.path()), Some(object));
        }
        for wrong in [
            "",
            "/org/tapid/Telephony1/",
            "/org/tapid/Telephony1/call/01",
            "/org/tapid/Telephony1/call/+1",
            "/org/tapid/Telephony1/provider/_zz",
            "/org/tapid/Telephony1/provider/_41",
            "/org/tapid/Telephony12/line/1",
        ] {
            assert_eq!(Object::parse(wrong), None, "{wrong}");
        }
    }
}
