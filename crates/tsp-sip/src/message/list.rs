//! Lists of values in one header line.

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
    let mut place = Place::Plain;
    for (at, &byte) in text.iter().enumerate() {
        place = match (place, byte) {
            (Place::Plain, byte) if byte == wanted => return Some(at),
            (Place::Plain, b'"') => Place::Quoted,
            (Place::Plain, b'<') => Place::Bracketed,
            (Place::Quoted, b'\\') => Place::Escaped,
            (Place::Escaped, _) => Place::Quoted,
            (Place::Quoted, b'"') | (Place::Bracketed, b'>') => Place::Plain,
            (place, _) => place,
        };
    }
    None
}

#[derive(Clone, Copy)]
enum Place {
    Plain,
    Quoted,
    Escaped,
    Bracketed,
}
