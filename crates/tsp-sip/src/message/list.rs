//! Lists of values in one header line.

use memchr::{memchr, memchr2, memchr3};

/// The values of a list, parted by commas that stand neither in quotes nor in angle brackets; empty ones are left out.
pub fn split_list(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        loop {
            let text = rest?;
            let end = find(text, b',');
            let (value, after) = match end {
                Some(at) => (text.get(..at)?, text.get(at + 1..)),
                None => (text, None),
            };
            rest = after;
            let value = value.trim_ascii();
            if !value.is_empty() {
                return Some(value);
            }
            rest?;
        }
    })
}

/// Where `wanted` first stands outside quotes and angle brackets.
pub(super) fn find(text: &[u8], wanted: u8) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memchr3(wanted, b'"', b'<', text.get(from..)?)?;
        let inside = text.get(at + 1..)?;
        from = at
            + 2
            + match text.get(at)? {
                b'"' => end_of_quotes(inside)?,
                b'<' => memchr(b'>', inside)?,
                _ => return Some(at),
            };
    }
}

/// Where the quotes end that began before `text`.
pub(super) fn end_of_quotes(text: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memchr2(b'"', b'\\', text.get(from..)?)?;
        match text.get(at)? {
            b'"' => return Some(at),
            _ => from = at + 2,
        }
    }
}
