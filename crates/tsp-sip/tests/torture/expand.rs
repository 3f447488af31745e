//! The notation of RFC 4475 section 2.1: octets by their digits, repetitions, and lines put together; every line ends
//! with CR and LF.

/// The octets of a message that is written so.
pub fn expand(text: &str) -> Vec<u8> {
    let joined = each(text, "<allOneLine>\n", "\n</allOneLine>", |_, lines| lines.replace('\n', "").into_bytes());
    let joined = String::from_utf8(joined).expect("it was text");
    let repeated = each(&joined, "<repeat count=", "</repeat>", |_, body| {
        let (count, what) = body.split_once('>').expect("a repetition has a count");
        what.repeat(count.parse().expect("a count is a number")).into_bytes()
    });
    let text = String::from_utf8(repeated).expect("it was text").replace('\n', "\r\n");
    each(&text, "<hex>", "</hex>", |at, digits| {
        let octet = |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let octets: Option<Vec<u8>> = digits.as_bytes().chunks(2).map(octet).collect();
        octets.unwrap_or_else(|| panic!("digits at {at}"))
    })
}

/// Replaces what stands between two marks.
fn each(text: &str, begin: &str, end: &str, replace: impl Fn(usize, &str) -> Vec<u8>) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(begin) {
        let (inside, behind) = after.split_once(end).expect("a mark is closed");
        octets.extend_from_slice(before.as_bytes());
        octets.extend(replace(text.len() - rest.len(), inside));
        rest = behind;
    }
    octets.extend_from_slice(rest.as_bytes());
    octets
}
