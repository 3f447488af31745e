//! Typed values of headers.

use super::list::{end_of_quotes, find};
use super::scan::is_token;
use super::uri::host_and_port;
use super::{Method, Uri};
use memchr::memchr;

/// Parameters behind a value, read when asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params<'a>(&'a [u8]);

impl<'a> Params<'a> {
    /// Parameters out of their text, without the first semicolon.
    pub fn of(text: &'a [u8]) -> Params<'a> {
        Params(text)
    }

    /// Names with values, in order; a parameter without a value has an empty one.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut rest = Some(self.0);
        std::iter::from_fn(move || {
            let text = rest?;
            let (one, after) = match find(text, b';') {
                Some(at) => (text.get(..at)?, text.get(at + 1..)),
                None => (text, None),
            };
            rest = after;
            match memchr(b'=', one) {
                Some(at) => Some((one.get(..at)?.trim_ascii(), one.get(at + 1..)?.trim_ascii())),
                None => Some((one.trim_ascii(), &[][..])),
            }
        })
        .filter(|(name, _)| !name.is_empty())
    }

    /// A parameter, by its name in any case.
    pub fn first(&self, name: &str) -> Option<&'a [u8]> {
        self.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// A parameter as text.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.first(name).and_then(|value| std::str::from_utf8(value).ok())
    }
}

/// One hop (RFC 3261 section 20.42).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via<'a> {
    /// `UDP`, as written.
    pub transport: &'a str,
    /// The host of sent-by, without brackets.
    pub host: &'a str,
    /// Its port, where one is written.
    pub port: Option<u16>,
    /// Parameters.
    pub params: Params<'a>,
}

/// What every branch of RFC 3261 begins with.
pub const MAGIC_COOKIE: &str = "z9hG4bK";

impl<'a> Via<'a> {
    /// Reads one value.
    pub fn parse(value: &'a [u8]) -> Option<Via<'a>> {
        let (front, params) = match find(value, b';') {
            Some(at) => (value.get(..at)?, value.get(at + 1..)?),
            None => (value, &[][..]),
        };
        let front = std::str::from_utf8(front).ok()?.trim();
        // White space may stand around both slashes.
        let (name, rest) = front.split_once('/')?;
        let (version, rest) = rest.split_once('/')?;
        // One of another version is told so (505), and for that its way back must be known.
        let known = version.trim().bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        if !name.trim().eq_ignore_ascii_case("SIP") || !known {
            return None;
        }
        let (transport, sent_by) = rest.trim_start().split_once([' ', '\t'])?;
        let (host, port) = via_host(sent_by.trim())?;
        let port = match port {
            None => None,
            Some(text) => Some(text.parse().ok()?),
        };
        Some(Via { transport, host, port, params: Params::of(params) })
    }

    /// The branch.
    pub fn branch(&self) -> Option<&'a str> {
        self.params.text("branch").filter(|branch| !branch.is_empty())
    }

    /// The branch where it is one of RFC 3261: longer than the cookie.
    pub fn unique_branch(&self) -> Option<&'a str> {
        self.branch().filter(|branch| {
            branch.len() > MAGIC_COOKIE.len()
                && branch.get(..MAGIC_COOKIE.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(MAGIC_COOKIE))
        })
    }
}

/// An IPv6 address may come without brackets from careless senders; then it has no port.
fn via_host(text: &str) -> Option<(&str, Option<&str>)> {
    if text.parse::<std::net::Ipv6Addr>().is_ok() { Some((text, None)) } else { host_and_port(text) }
}

/// `"Alice" <sip:alice@example.org>;tag=1` (From, To, Contact, Route, Record-Route).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// The display name as written, without its quotes.
    pub display: &'a [u8],
    /// The URI as written.
    pub uri: &'a str,
    /// Parameters of the header, not of the URI.
    pub params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    /// Reads one value.
    pub fn parse(value: &'a [u8]) -> Option<NameAddr<'a>> {
        let value = value.trim_ascii();
        let (display, rest) = match value.first()? {
            b'"' => {
                let end = 1 + end_of_quotes(value.get(1..)?)?;
                let rest = value.get(end + 1..)?.trim_ascii_start();
                if rest.first() != Some(&b'<') {
                    return None;
                }
                (value.get(1..end)?, rest)
            }
            _ => match value.iter().position(|&byte| byte == b'<') {
                Some(at) => {
                    let display = value.get(..at)?.trim_ascii();
                    if display.iter().any(|byte| b"\",;:@".contains(byte)) {
                        return None;
                    }
                    (display, value.get(at..)?)
                }
                None => return NameAddr::bare(value),
            },
        };
        let close = rest.iter().position(|&byte| byte == b'>')?;
        let uri = std::str::from_utf8(rest.get(1..close)?).ok()?.trim();
        let after = rest.get(close + 1..)?.trim_ascii();
        let params = match after.split_first() {
            None => &[][..],
            Some((b';', params)) => params,
            Some(_) => return None,
        };
        if uri.is_empty() { None } else { Some(NameAddr { display, uri, params: Params::of(params) }) }
    }

    /// Without brackets every parameter is the header's (RFC 3261 section 20.10).
    fn bare(value: &'a [u8]) -> Option<NameAddr<'a>> {
        let (uri, params) = match value.iter().position(|&byte| byte == b';') {
            Some(at) => (value.get(..at)?, value.get(at + 1..)?),
            None => (value, &[][..]),
        };
        let uri = std::str::from_utf8(uri.trim_ascii()).ok()?;
        if !uri.contains(':') || uri.contains([',', '?', ' ', '"']) {
            return None;
        }
        Some(NameAddr { display: &[], uri, params: Params::of(params) })
    }

    /// The tag.
    pub fn tag(&self) -> Option<&'a str> {
        self.params.text("tag").filter(|tag| !tag.is_empty())
    }

    /// The URI, read.
    pub fn parsed(&self) -> Option<Uri<'a>> {
        Uri::parse(self.uri).ok()
    }

    /// The display name for people: unquoted, what is not UTF-8 replaced.
    pub fn name(&self) -> Option<String> {
        let mut bytes = Vec::with_capacity(self.display.len());
        let mut rest = self.display.iter();
        while let Some(&byte) = rest.next() {
            bytes.push(if byte == b'\\' { *rest.next()? } else { byte });
        }
        let text = String::from_utf8_lossy(&bytes).trim().to_owned();
        if text.is_empty() { None } else { Some(text) }
    }
}

/// Puts text in quotes, escaping what must be; control characters are left out.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars().filter(|character| !character.is_control()) {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

/// The sequence number with its method (RFC 3261 section 20.16).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CSeq {
    /// Below 2^31.
    pub number: u32,
    /// The method.
    pub method: Method,
}

impl CSeq {
    /// Reads one.
    pub fn parse(value: &[u8]) -> Option<CSeq> {
        let text = std::str::from_utf8(value).ok()?;
        let (number, method) = text.split_once([' ', '\t'])?;
        let method = method.trim();
        if !number.bytes().all(|byte| byte.is_ascii_digit()) || method.is_empty() || !method.bytes().all(is_token) {
            return None;
        }
        let number: u32 = number.parse().ok()?;
        if number > i32::MAX.unsigned_abs() { None } else { Some(CSeq { number, method: Method::from(method) }) }
    }
}
