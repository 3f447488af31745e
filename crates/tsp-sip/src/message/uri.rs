//! URIs: `sip`, `sips`, `tel`, and the scheme of any other (RFC 3261 section 19.1, RFC 3966, RFC 5118).

use super::scan::is_token;
use super::value::Params;
use std::net::{IpAddr, Ipv6Addr};

/// The scheme of a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `sip`
    Sip,
    /// `sips`
    Sips,
    /// `tel`
    Tel,
    /// Another one.
    Other,
}

/// What is wrong with a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// There is no scheme.
    #[error("no scheme in the URI")]
    NoScheme,
    /// There is no host, or no number.
    #[error("no host in the URI")]
    NoHost,
    /// The port is not one.
    #[error("bad port in the URI")]
    BadPort,
    /// A percent sign without two hexadecimal digits.
    #[error("bad escape in the URI")]
    BadEscape,
    /// A character that no URI has.
    #[error("bad character in the URI")]
    BadCharacter,
}

/// A URI as spans of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uri<'a> {
    /// The scheme.
    pub scheme: Scheme,
    /// The user part as written, or the number of a `tel` URI.
    pub user: Option<&'a str>,
    /// The host; an IPv6 address without its brackets. Empty in a `tel` URI.
    pub host: &'a str,
    /// The port, where one is written.
    pub port: Option<u16>,
    /// Parameters behind the first semicolon.
    pub params: &'a str,
    /// Headers behind the question mark.
    pub headers: &'a str,
}

impl<'a> Uri<'a> {
    /// Reads a URI.
    pub fn parse(text: &'a str) -> Result<Uri<'a>, UriError> {
        if text.bytes().any(|byte| matches!(byte, 0..=b' ' | 0x7f | b'<' | b'>' | b'"')) {
            return Err(UriError::BadCharacter);
        }
        let (scheme, rest) = text.split_once(':').ok_or(UriError::NoScheme)?;
        if scheme.is_empty() || !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
            return Err(UriError::NoScheme);
        }
        if !escapes_are_whole(rest) {
            return Err(UriError::BadEscape);
        }
        if scheme.eq_ignore_ascii_case("sip") {
            Uri::sip(Scheme::Sip, rest)
        } else if scheme.eq_ignore_ascii_case("sips") {
            Uri::sip(Scheme::Sips, rest)
        } else if scheme.eq_ignore_ascii_case("tel") {
            let (number, params) = rest.split_once(';').unwrap_or((rest, ""));
            if number.is_empty() {
                return Err(UriError::NoHost);
            }
            Ok(Uri { scheme: Scheme::Tel, user: Some(number), host: "", port: None, params, headers: "" })
        } else {
            Ok(Uri { scheme: Scheme::Other, user: None, host: "", port: None, params: "", headers: "" })
        }
    }

    fn sip(scheme: Scheme, rest: &'a str) -> Result<Uri<'a>, UriError> {
        let (user, rest) = match rest.rfind('@') {
            // An at sign in the headers is not the one behind the user.
            Some(at) if !rest[..at].contains('?') || rest.find('@') == Some(at) => (Some(&rest[..at]), &rest[at + 1..]),
            Some(_) => rest.split_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest)),
            None => (None, rest),
        };
        let (rest, headers) = rest.split_once('?').unwrap_or((rest, ""));
        let (hostport, params) = rest.split_once(';').unwrap_or((rest, ""));
        let (host, port) = host_and_port(hostport).ok_or(UriError::NoHost)?;
        let port = match port {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| UriError::BadPort)?),
        };
        // A password is read as part of the user: nothing here uses it.
        Ok(Uri { scheme, user: user.filter(|user| !user.is_empty()), host, port, params, headers })
    }

    /// A parameter: `Some("")` when it has no value.
    pub fn param(&self, name: &str) -> Option<&'a str> {
        Params::of(self.params.as_bytes()).text(name)
    }

    /// The host as an address, where it is one.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok().or_else(|| ipv6(self.host).map(IpAddr::V6))
    }

    /// The user part with its escapes resolved.
    pub fn user_text(&self) -> Option<String> {
        self.user.map(unescape)
    }
}

/// An IPv6 address; the grammar of RFC 3261 makes some write a third colon (RFC 5118 section 4.10).
fn ipv6(text: &str) -> Option<Ipv6Addr> {
    text.parse().ok().or_else(|| text.replacen(":::", "::", 1).parse().ok())
}

/// A host (without brackets) and the text of its port. `None` for an empty or impossible host.
pub(super) fn host_and_port(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        ipv6(host)?;
        return match after.trim() {
            "" => Some((host, None)),
            port => Some((host, Some(port.strip_prefix(':')?.trim()))),
        };
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host.trim_end(), Some(port.trim())),
        None => (text.trim_end(), None),
    };
    let fits = |byte: u8| is_token(byte) && byte != b'`' || matches!(byte, b'$' | b'&' | b'(' | b')' | b'=');
    if host.is_empty() || !host.bytes().all(fits) { None } else { Some((host, port)) }
}

fn escapes_are_whole(text: &str) -> bool {
    let bytes = text.as_bytes();
    memchr::memchr_iter(b'%', bytes)
        .all(|at| bytes.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)))
}

/// Resolves percent escapes; what they make that is not UTF-8 becomes the replacement character.
pub fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = if byte == b'%' { after.get(..2).and_then(hex) } else { None };
        match escaped {
            Some(value) => {
                bytes.push(value);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}
