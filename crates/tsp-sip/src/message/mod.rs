//! SIP messages (RFC 3261 sections 7, 8, 20 and 25): a tolerant scanner over a datagram, typed views of the headers that
//! decide something, and a writer.
//!
//! The scanner keeps spans into the datagram and copies only what was folded over several lines. It takes compact names,
//! folding, white space before the colon, bare line feeds, any order of headers and bytes that are not UTF-8. What is wrong
//! with a message is kept as its [`Message::fault`], so that a request can be answered with it.

mod check;
mod list;
mod method;
mod name;
mod octets;
mod scan;
mod uri;
mod value;
pub mod vocabulary;
mod write;

pub use check::{ALLOW, EXTENSIONS, Reject, SUPPORTED_METHODS, check};
pub use list::split_list;
pub use method::Method;
pub use name::Name;
pub use octets::Octets;
pub use scan::{MAX_DATAGRAM, MAX_HEADERS, MAX_VIAS, Unreadable, scan};
pub use uri::{Scheme, Uri, UriError, unescape};
pub use value::{CSeq, NameAddr, Params, Via, quote};
pub use write::{Draft, content_type_is, description};

use std::borrow::Cow;

/// A message, as spans into the datagram it came in.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// What it is.
    pub start: Start<'a>,
    /// Its headers in their order.
    pub headers: Vec<Header<'a>>,
    /// Its body, cut to the length that Content-Length names.
    pub body: &'a [u8],
    /// The first thing that is wrong with it.
    pub fault: Option<&'static str>,
}

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start<'a> {
    /// A request.
    Request {
        /// Its method, as written.
        method: &'a str,
        /// The Request-URI, as written.
        uri: &'a str,
        /// The version, as written.
        version: &'a str,
    },
    /// A response.
    Response {
        /// 100 to 699.
        status: u16,
        /// The words, as written.
        reason: &'a [u8],
    },
}

/// A header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Its name.
    pub name: Name<'a>,
    /// Its value, unfolded and trimmed.
    pub value: Cow<'a, [u8]>,
}

impl<'a> Message<'a> {
    /// The first value of a header, whole.
    pub fn first(&self, name: Name<'_>) -> Option<&[u8]> {
        self.headers.iter().find(|header| header.name == name).map(|header| &*header.value)
    }

    /// The first value of a header as text.
    pub fn text(&self, name: Name<'_>) -> Option<&str> {
        self.first(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Every line of a header, in order.
    pub fn lines<'s>(&'s self, name: Name<'s>) -> impl Iterator<Item = &'s [u8]> {
        self.headers.iter().filter(move |header| header.name == name).map(|header| &*header.value)
    }

    /// Every value of a header that holds a list, in order.
    pub fn values<'s>(&'s self, name: Name<'s>) -> impl Iterator<Item = &'s [u8]> {
        self.lines(name).flat_map(split_list)
    }

    /// The method of a request.
    pub fn method(&self) -> Option<Method> {
        match &self.start {
            Start::Request { method, .. } => Some(Method::from(*method)),
            Start::Response { .. } => None,
        }
    }

    /// The Request-URI of a request.
    pub fn uri(&self) -> Option<&'a str> {
        match &self.start {
            Start::Request { uri, .. } => Some(uri),
            Start::Response { .. } => None,
        }
    }

    /// The status of a response.
    pub fn status(&self) -> Option<u16> {
        match &self.start {
            Start::Request { .. } => None,
            Start::Response { status, .. } => Some(*status),
        }
    }

    /// The topmost Via.
    pub fn via(&self) -> Option<Via<'_>> {
        self.values(Name::Via).next().and_then(Via::parse)
    }

    /// From.
    pub fn from(&self) -> Option<NameAddr<'_>> {
        self.first(Name::From).and_then(NameAddr::parse)
    }

    /// To.
    pub fn to(&self) -> Option<NameAddr<'_>> {
        self.first(Name::To).and_then(NameAddr::parse)
    }

    /// The tag of From.
    pub fn from_tag(&self) -> Option<&str> {
        self.from().and_then(|from| from.tag())
    }

    /// The tag of To.
    pub fn to_tag(&self) -> Option<&str> {
        self.to().and_then(|to| to.tag())
    }

    /// Call-ID.
    pub fn call_id(&self) -> Option<&str> {
        self.text(Name::CallId)
    }

    /// Whether a header that holds a list of option tags has this one.
    pub fn has_tag(&self, name: Name<'_>, tag: &str) -> bool {
        self.values(name).any(|value| value.eq_ignore_ascii_case(tag.as_bytes()))
    }

    /// CSeq.
    pub fn cseq(&self) -> Option<CSeq> {
        self.first(Name::CSeq).and_then(CSeq::parse)
    }

    /// The first Contact; `*` is none.
    pub fn contact(&self) -> Option<NameAddr<'_>> {
        self.values(Name::Contact).next().and_then(NameAddr::parse)
    }

    /// One line for people: `INVITE sip:100@example.org`, `180 Ringing`.
    pub fn summary(&self) -> String {
        match &self.start {
            Start::Request { method, uri, .. } => format!("{method} {uri}"),
            Start::Response { status, reason } => {
                format!("{status} {}", String::from_utf8_lossy(reason)).trim_end().to_owned()
            }
        }
    }
}

#[cfg(test)]
mod tests;
