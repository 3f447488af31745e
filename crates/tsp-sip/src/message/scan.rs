//! The scanner.

use super::{Header, Message, Name, Start, split_list};
use memchr::memchr;
use std::borrow::Cow;

/// Longest datagram that is read, in bytes.
pub const MAX_DATAGRAM: usize = 65_535;
/// Most headers a message may have.
pub const MAX_HEADERS: usize = 256;
/// Most Via values a message may have.
pub const MAX_VIAS: usize = 100;

/// Why a datagram is no message at all, and gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Nothing but line ends: it keeps a path through a NAT open (RFC 5626 section 3.5.1).
    KeepAlive,
    /// More than [`MAX_DATAGRAM`].
    TooLong,
    /// The first line is neither a request's nor a response's.
    NotSip,
}

/// Reads one message out of a datagram. What is wrong behind the first line is told by [`Message::fault`]; bytes behind
/// the body are left alone (RFC 3261 section 18.3).
pub fn scan(datagram: &[u8]) -> Result<Message<'_>, Unreadable> {
    if datagram.len() > MAX_DATAGRAM {
        return Err(Unreadable::TooLong);
    }
    let begin = datagram.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).ok_or(Unreadable::KeepAlive)?;
    let text = datagram.get(begin..).unwrap_or_default();
    let (line, mut rest) = cut_line(text).unwrap_or((text, &[]));
    let mut fault = None;
    let start = start_line(line, &mut fault).ok_or(Unreadable::NotSip)?;
    let mut headers = Vec::with_capacity(24);
    let mut vias = 0;
    let mut lengths = 0;
    loop {
        let Some((first, after)) = cut_line(rest) else {
            note(&mut fault, "no empty line behind the headers");
            rest = &[];
            break;
        };
        rest = after;
        if first.is_empty() {
            break;
        }
        if headers.len() >= MAX_HEADERS {
            note(&mut fault, "too many headers");
            rest = &[];
            break;
        }
        match header(first, &mut rest) {
            Some(header) => {
                match header.name {
                    Name::Via => vias += count_values(&header.value),
                    Name::ContentLength => lengths += 1,
                    _ => {}
                }
                headers.push(header);
            }
            None => note(&mut fault, "a header line has no name"),
        }
        if vias > MAX_VIAS {
            note(&mut fault, "too many Via values");
            rest = &[];
            break;
        }
    }
    let mut message = Message { start, headers, body: rest, fault };
    if lengths > 0 {
        trim_body(&mut message);
    }
    Ok(message)
}

fn note(fault: &mut Option<&'static str>, what: &'static str) {
    fault.get_or_insert(what);
}

/// The first line without its end, and what follows; `None` when no line ends.
fn cut_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr(b'\n', text)?;
    let line = text.get(..end)?;
    Some((line.strip_suffix(b"\r").unwrap_or(line), text.get(end + 1..)?))
}

/// How many values a list has; one that is out of all bounds is not counted to its end.
fn count_values(line: &[u8]) -> usize {
    if memchr(b',', line).is_none() { 1 } else { split_list(line).take(MAX_VIAS + 1).count() }
}

fn start_line<'a>(line: &'a [u8], fault: &mut Option<&'static str>) -> Option<Start<'a>> {
    if line.get(..4).is_some_and(|begin| begin.eq_ignore_ascii_case(b"SIP/")) {
        let mut parts = line.splitn(3, |&byte| byte == b' ');
        let version = parts.next()?;
        let status: u16 = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
        if !(100..700).contains(&status) || !version.eq_ignore_ascii_case(b"SIP/2.0") {
            return None;
        }
        return Some(Start::Response { status, reason: parts.next().unwrap_or_default() });
    }
    let line = std::str::from_utf8(line).ok()?;
    if let Some(start) = plain_request_line(line) {
        return Some(start);
    }
    let trimmed = line.trim_end_matches([' ', '\t']);
    let (front, version) = trimmed.rsplit_once([' ', '\t'])?;
    if !version.get(..4).is_some_and(|begin| begin.eq_ignore_ascii_case("SIP/")) {
        return None;
    }
    let (method, uri) = front.split_once([' ', '\t'])?;
    if method.is_empty() || !method.bytes().all(is_token) {
        return None;
    }
    let uri_trimmed = uri.trim_matches([' ', '\t']);
    if trimmed.len() != line.len() || uri_trimmed.len() != uri.len() || line.contains('\t') {
        note(fault, "stray white space in the request line");
    } else if uri.contains(' ') {
        note(fault, "white space in the Request-URI");
    }
    Some(Start::Request { method, uri: uri_trimmed, version })
}

/// A request line as nearly all are: three words, parted by one space each.
fn plain_request_line(line: &str) -> Option<Start<'_>> {
    let bytes = line.as_bytes();
    let (first, last) = (memchr(b' ', bytes)?, memchr::memrchr(b' ', bytes)?);
    let (method, uri, version) = (line.get(..first)?, line.get(first + 1..last)?, line.get(last + 1..)?);
    let words = !method.is_empty() && !uri.is_empty() && memchr::memchr2(b' ', b'\t', uri.as_bytes()).is_none();
    let fits = words && method.bytes().all(is_token) && version.eq_ignore_ascii_case("SIP/2.0");
    fits.then_some(Start::Request { method, uri, version })
}

/// A header out of its first line and the folded ones that follow.
fn header<'a>(first: &'a [u8], rest: &mut &'a [u8]) -> Option<Header<'a>> {
    let mut folded: Option<Vec<u8>> = None;
    while matches!(rest.first(), Some(b' ' | b'\t')) {
        let Some((more, after)) = cut_line(rest) else {
            break;
        };
        *rest = after;
        let whole = folded.get_or_insert_with(|| first.trim_ascii_end().to_vec());
        whole.push(b' ');
        whole.extend_from_slice(more.trim_ascii());
    }
    let colon = match (&folded, memchr(b':', first)) {
        (_, Some(at)) => at,
        // The colon itself stands on a folded line.
        (Some(whole), None) if whole.contains(&b':') => first.len().min(whole.len()),
        _ => return None,
    };
    let name = first.get(..colon)?.trim_ascii_end();
    let name = Name::read(name)?;
    let value = match folded {
        None => Cow::Borrowed(first.get(colon + 1..)?.trim_ascii()),
        Some(whole) => {
            let at = whole.iter().position(|&byte| byte == b':')?;
            Cow::Owned(whole.get(at + 1..)?.trim_ascii().to_vec())
        }
    };
    Some(Header { name, value })
}

/// Characters of a token (RFC 3261 section 25.1).
pub(super) fn is_token(byte: u8) -> bool {
    TOKEN[usize::from(byte)] != 0
}

/// The characters of a token in lower case; 0 for all others.
pub(super) const TOKEN: [u8; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let byte = at as u8;
        if byte.is_ascii_alphanumeric() {
            table[at] = byte.to_ascii_lowercase();
        }
        at += 1;
    }
    let others = b"-.!%*_+`'~";
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = others[at];
        at += 1;
    }
    table
};

/// Cuts the body to Content-Length (RFC 3261 section 18.3).
fn trim_body(message: &mut Message<'_>) {
    let mut length: Option<usize> = None;
    let mut fault = None;
    for line in message.headers.iter().filter(|header| header.name == Name::ContentLength) {
        let digits = !line.value.is_empty() && line.value.iter().all(u8::is_ascii_digit);
        let number = std::str::from_utf8(&line.value).ok().filter(|_| digits).and_then(|text| text.parse().ok());
        match (number, length) {
            (None, _) => note(&mut fault, "Content-Length is not a number"),
            (Some(number), Some(other)) if number != other => note(&mut fault, "several Content-Lengths"),
            (Some(number), _) => length = Some(number),
        }
    }
    match length.map(|length| message.body.get(..length)) {
        None => {}
        Some(Some(body)) => message.body = body,
        Some(None) => note(&mut fault, "the body is shorter than Content-Length"),
    }
    message.fault = message.fault.or(fault);
}
