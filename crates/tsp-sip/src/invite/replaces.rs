//! Replaces (RFC 3891): a dialog by name, whose place another one takes.

use super::{Call, Role, Standing, State};
use crate::endpoint::Answer;
use crate::message::{Message, Name, Params, Uri, unescape};
use crate::transport::is_private;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Longest value that is read, in bytes.
const MAX_VALUE: usize = 1_024;
/// Most dialogs whose end is remembered.
const MAX_ENDED: usize = 256;

/// The dialog that another one replaces, as its owner knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Replaces {
    pub call_id: String,
    /// The tag of whoever is asked.
    pub to_tag: String,
    /// The tag of its far end.
    pub from_tag: String,
    pub early_only: bool,
}

impl Replaces {
    /// Reads a value: Call-ID, then both tags, once each. A tag of `0` stands for none (RFC 3891 section 6.1).
    pub fn parse(value: &[u8]) -> Option<Replaces> {
        let text = std::str::from_utf8(value).ok().filter(|text| text.len() <= MAX_VALUE)?;
        let (call_id, params) = text.split_once(';')?;
        let params = Params::of(params.as_bytes());
        let once = |name: &str| {
            let mut all = params.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()));
            let tag = all.next().and_then(|(_, value)| std::str::from_utf8(value).ok());
            tag.filter(|tag| !tag.is_empty() && all.next().is_none()).map(str::to_owned)
        };
        let call_id = call_id.trim();
        let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b',' | b';');
        if call_id.is_empty() || !call_id.bytes().all(plain) {
            return None;
        }
        let (to_tag, from_tag) = (once("to-tag")?, once("from-tag")?);
        let early_only = params.first("early-only").is_some();
        Some(Replaces { call_id: call_id.to_owned(), to_tag, from_tag, early_only })
    }

    /// As a header's value.
    pub fn value(&self) -> String {
        let early = if self.early_only { ";early-only" } else { "" };
        format!("{};to-tag={};from-tag={}{early}", self.call_id, self.to_tag, self.from_tag)
    }

    fn is_tag(own: Option<&str>, named: &str) -> bool {
        own.map_or(named == "0", |own| own == named)
    }
}

/// The Replaces of a request; an answer where it has one that none may have (RFC 3891 section 3).
pub(crate) fn replaces(message: &Message<'_>) -> Result<Option<Replaces>, Answer> {
    let Some(value) = message.first(Name::Replaces) else { return Ok(None) };
    match Replaces::parse(value) {
        Some(replaces) => Ok(Some(replaces)),
        None => {
            let reason = Some("Bad Request - unreadable Replaces".to_owned());
            Err(Answer { reason, ..Answer::new(400) })
        }
    }
}

/// Remembers dialogs that ended: who would replace one is told so.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct EndedDialogs(VecDeque<String>);

impl EndedDialogs {
    pub fn add(&mut self, key: String) {
        if self.0.len() >= MAX_ENDED {
            self.0.pop_front();
        }
        self.0.push_back(key);
    }

    pub fn has(&self, key: &str) -> bool {
        self.0.iter().any(|known| known == key)
    }
}

impl Call {
    /// Whether another call may take its place; else the status that says why not (RFC 3891 section 3).
    pub fn replaceable(&self, by: &Replaces) -> Result<(), u16> {
        let early = match (&self.state, &self.dialog) {
            _ if self.standing != Standing::Live => return Err(603),
            (State::Confirmed | State::Answering, Some(dialog)) => {
                let far = dialog.remote_tag.as_deref();
                return match (Replaces::is_tag(far, &by.from_tag), by.early_only) {
                    (false, _) => Err(481),
                    (true, true) => Err(486),
                    (true, false) => Ok(()),
                };
            }
            (State::Ending | State::Lingering | State::Ended, _) => return Err(603),
            _ => &self.early,
        };
        // Of early dialogs only those that we began.
        let ours = matches!((&self.role, &self.state), (Role::Caller(_), State::Proceeding | State::Ringing));
        if ours && early.contains_key(&by.from_tag) { Ok(()) } else { Err(481) }
    }

    /// The value of Refer-To that has another take our place in this call (RFC 5589 section 7). `None`: its dialog is not
    /// there yet, or not any more.
    pub(super) fn replacement(&self) -> Option<String> {
        let dialog = self.dialog.as_ref().filter(|_| self.state == State::Confirmed)?;
        let to_tag = dialog.remote_tag.clone().unwrap_or_else(|| "0".to_owned());
        let (call_id, from_tag) = (dialog.call_id.clone(), dialog.local_tag.clone());
        let replaces = Replaces { call_id, to_tag, from_tag, early_only: false };
        let target = dialog.target();
        // A private address behind a route set is not one that others can reach: the address of record is.
        let hidden = Uri::parse(target).ok().and_then(|uri| uri.address()).is_some_and(is_private);
        let aor = dialog.remote_uri().filter(|_| hidden && dialog.is_routed());
        let target = aor.unwrap_or(target);
        Some(format!("<{target}?Replaces={}>", escape(&replaces.value())))
    }
}

/// Escapes a header's value for a place among the headers of a URI (RFC 3261 section 25.1, `hvalue`).
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()[]/?:+$".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// The value of a header among those of a URI; an error where it is there twice.
pub(super) fn header_of(uri: &Uri<'_>, name: &str) -> Result<Option<String>, ()> {
    let values = uri.headers.split('&').filter_map(|header| header.split_once('='));
    let mut values = values.filter(|(known, _)| unescape(known).eq_ignore_ascii_case(name));
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(()),
        (first, None) => Ok(first.map(|(_, value)| unescape(value))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_and_written() {
        let value = "98732@sip.example.com;from-tag=r33th4x0r;to-tag=ff87ff;early-only";
        let replaces = Replaces::parse(value.as_bytes()).unwrap();
        assert_eq!((replaces.to_tag.as_str(), replaces.from_tag.as_str()), ("ff87ff", "r33th4x0r"));
        assert_eq!(replaces.value(), "98732@sip.example.com;to-tag=ff87ff;from-tag=r33th4x0r;early-only");
        for bad in [
            "",
            "a",
            ";to-tag=1;from-tag=2",
            "a;to-tag=1",
            "a;from-tag=2",
            "a;to-tag=;from-tag=2",
            "a b;to-tag=1;from-tag=2",
            "a;to-tag=1;to-tag=3;from-tag=2",
        ] {
            assert_eq!(Replaces::parse(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(escape("a@b;to-tag=1"), "a%40b%3Bto-tag%3D1");
        let uri = Uri::parse("sip:b@h?replaces=a%40b%3Bto-tag%3D1&Require=replaces").unwrap();
        assert_eq!(header_of(&uri, "Replaces"), Ok(Some("a@b;to-tag=1".to_owned())));
        assert_eq!(header_of(&uri, "Subject"), Ok(None));
        assert_eq!(header_of(&Uri::parse("sip:b@h?Replaces=a&replaces=b").unwrap(), "Replaces"), Err(()));
    }
}
