//! The writer.

use super::{Message, Method, Name, vocabulary};

/// A message that is being written.
#[derive(Clone, Debug)]
pub struct Draft(Vec<u8>);

impl Draft {
    /// A request.
    pub fn request(method: &Method, uri: &str) -> Draft {
        let mut bytes = Vec::with_capacity(1024);
        for part in [method.as_str(), " ", uri, " SIP/2.0\r\n"] {
            bytes.extend_from_slice(part.as_bytes());
        }
        Draft(bytes)
    }

    /// A response; without words of its own it gets the standard's.
    pub fn response(status: u16, reason: Option<&str>) -> Draft {
        let mut bytes = Vec::with_capacity(1024);
        bytes.extend_from_slice(b"SIP/2.0 ");
        bytes.extend_from_slice(status.to_string().as_bytes());
        bytes.push(b' ');
        let reason = reason.map_or_else(|| vocabulary::reason(status), |words| words.to_owned().into());
        // Words may hold no line ends: they come from fixed texts, but a wrong one must not split the message.
        bytes.extend(reason.bytes().filter(|byte| !byte.is_ascii_control()));
        bytes.extend_from_slice(b"\r\n");
        Draft(bytes)
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Draft {
        self.push(name, value);
        self
    }

    /// Adds a header.
    pub fn push(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b": ");
        self.0.extend_from_slice(value.as_ref());
        self.0.extend_from_slice(b"\r\n");
    }

    /// Adds whole header lines that are written already.
    pub fn raw(mut self, lines: impl AsRef<[u8]>) -> Draft {
        self.0.extend_from_slice(lines.as_ref());
        self
    }

    /// Ends the message with its body, byte for byte.
    pub fn finish(mut self, content: Option<(&str, &[u8])>) -> Vec<u8> {
        let body = match content {
            Some((kind, body)) => {
                self.push("Content-Type", kind);
                body
            }
            None => &[],
        };
        self.push("Content-Length", body.len().to_string());
        self.0.extend_from_slice(b"\r\n");
        self.0.extend_from_slice(body);
        self.0
    }
}

/// Whether a Content-Type names this type, whatever its parameters.
pub fn content_type_is(value: &[u8], kind: &str) -> bool {
    let name = value.split(|&byte| byte == b';').next().unwrap_or_default();
    let mut parts = name.split(|&byte| byte == b'/').map(<[u8]>::trim_ascii);
    let mut wanted = kind.split('/');
    loop {
        match (parts.next(), wanted.next()) {
            (None, None) => return true,
            (Some(part), Some(wanted)) if part.eq_ignore_ascii_case(wanted.as_bytes()) => {}
            _ => return false,
        }
    }
}

/// The session description that a message carries.
pub fn description<'a>(message: &Message<'a>) -> Option<&'a [u8]> {
    let named = message.first(Name::ContentType).is_some_and(|kind| content_type_is(kind, "application/sdp"));
    if named && !message.body.is_empty() { Some(message.body) } else { None }
}
