//! Text messages as a modem stores them (3GPP TS 23.040 9.2.2, TS 23.038 6.2.1), both ways.

use std::fmt::Write as _;

/// The GSM 7-bit default alphabet, by code.
const ALPHABET: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\u{1b}ÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// Characters behind ESC.
const EXTENDED: [(char, u8); 9] = [
    ('^', 0x14),
    ('{', 0x28),
    ('}', 0x29),
    ('\\', 0x2f),
    ('[', 0x3c),
    ('~', 0x3d),
    (']', 0x3e),
    ('|', 0x40),
    ('€', 0x65),
];

/// One of several parts: reference, how many, which.
pub type Part = Option<(u8, u8, u8)>;

/// What a host sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Submitted {
    pub(super) to: String,
    pub(super) text: String,
    pub(super) part: Part,
    /// Whether a report is wanted.
    pub(super) report: bool,
}

fn septets(text: &str) -> Option<Vec<u8>> {
    let mut codes = Vec::new();
    for c in text.chars() {
        if let Some(at) = ALPHABET.chars().position(|known| known == c && c != '\u{1b}') {
            codes.push(u8::try_from(at).ok()?);
        } else {
            let (_, code) = EXTENDED.iter().find(|(known, _)| *known == c)?;
            codes.extend([0x1b, *code]);
        }
    }
    Some(codes)
}

fn letters(codes: &[u8]) -> String {
    let mut text = String::new();
    let mut codes = codes.iter().copied();
    while let Some(code) = codes.next() {
        let c = if code == 0x1b {
            let code = codes.next();
            EXTENDED.iter().find(|(_, known)| Some(*known) == code).map(|(c, _)| *c)
        } else {
            ALPHABET.chars().nth(usize::from(code))
        };
        text.push(c.unwrap_or(' '));
    }
    text
}

/// Septets in octets, after so many bits of other things.
fn pack(codes: &[u8], skip: usize) -> Vec<u8> {
    let mut octets = vec![0u8; (skip + codes.len() * 7).div_ceil(8)];
    for (n, code) in codes.iter().enumerate() {
        for bit in 0..7 {
            if code >> bit & 1 == 1 {
                let at = skip + n * 7 + bit;
                octets[at / 8] |= 1 << (at % 8);
            }
        }
    }
    octets
}

fn unpack(octets: &[u8], skip: usize, count: usize) -> Vec<u8> {
    let bit = |at: usize| octets.get(at / 8).is_some_and(|octet| octet >> (at % 8) & 1 == 1);
    let code = |n: usize| (0..7).fold(0u8, |code, at| code | u8::from(bit(skip + n * 7 + at)) << at);
    (0..count).map(code).collect()
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        let _ = write!(text, "{octet:02X}");
        text
    })
}

fn octets(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.trim().chars().map(|c| c.to_digit(16)).collect();
    let digits = digits?;
    if digits.len() % 2 == 1 {
        return None;
    }
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok()).collect()
}

/// Text, packed, as hexadecimal digits: how some modems write `+CUSD`.
pub(super) fn packed(text: &str) -> String {
    hex(&pack(&septets(text).unwrap_or_default(), 0))
}

/// The other way round.
pub(super) fn unpacked(text: &str) -> Option<String> {
    let octets = octets(text)?;
    let mut codes = unpack(&octets, 0, octets.len() * 8 / 7);
    // Eight characters in seven octets: the last may be filling.
    while octets.len() % 7 == 0 && codes.last() == Some(&0) {
        codes.pop();
    }
    Some(letters(&codes))
}

fn address(number: &str) -> Vec<u8> {
    let digits: Vec<u8> = number.chars().filter_map(|c| c.to_digit(10)).map(|digit| digit as u8).collect();
    let mut coded = vec![digits.len() as u8, if number.starts_with('+') { 0x91 } else { 0x81 }];
    coded.extend(digits.chunks(2).map(|pair| pair[0] | pair.get(1).copied().unwrap_or(15) << 4));
    coded
}

/// A moment as a service centre writes it: month, day, hour, minute of the year 26.
fn stamp(date: (u8, u8, u8, u8)) -> [u8; 7] {
    let swapped = |value: u8| ((value % 10) << 4) | (value / 10);
    [swapped(26), swapped(date.0), swapped(date.1), swapped(date.2), swapped(date.3), 0, 0]
}

const CENTRE: [u8; 8] = [0x07, 0x91, 0x94, 0x71, 0x01, 0x67, 0x05, 0x00];

/// A PDU with its service centre, and its length without.
fn whole(body: &[u8]) -> (String, usize) {
    (format!("{}{}", hex(&CENTRE), hex(body)), body.len())
}

/// SMS-DELIVER.
pub(super) fn deliver(from: &str, text: &str, part: Part, date: (u8, u8, u8, u8)) -> (String, usize) {
    let header: Vec<u8> = part.map_or(Vec::new(), |(reference, of, at)| vec![5, 0, 3, reference, of, at]);
    let mut body = vec![0x04 | if header.is_empty() { 0 } else { 0x40 }];
    body.extend(address(from));
    match septets(text) {
        Some(codes) => {
            body.extend([0, 0]);
            body.extend(stamp(date));
            let skip = (header.len() * 8).div_ceil(7) * 7;
            let mut data = pack(&codes, skip);
            data[..header.len()].copy_from_slice(&header);
            body.push((skip / 7 + codes.len()) as u8);
            body.extend(data);
        }
        None => {
            body.extend([0, 8]);
            body.extend(stamp(date));
            let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
            body.push((header.len() + units.len()) as u8);
            body.extend(&header);
            body.extend(units);
        }
    }
    whole(&body)
}

/// SMS-STATUS-REPORT: it arrived.
pub(super) fn report(reference: u8, to: &str, date: (u8, u8, u8, u8)) -> (String, usize) {
    let mut body = vec![0x06, reference];
    body.extend(address(to));
    body.extend(stamp(date));
    body.extend(stamp(date));
    body.push(0);
    whole(&body)
}

/// SMS-SUBMIT, of so many octets without the service centre.
pub(super) fn submitted(pdu: &str, length: usize) -> Option<Submitted> {
    let all = octets(pdu)?;
    let body = all.get(1 + usize::from(*all.first()?)..)?;
    if body.len() != length || body.first()? & 3 != 1 {
        return None;
    }
    let flags = body[0];
    let digits = usize::from(*body.get(2)?);
    let kind = *body.get(3)?;
    let coded = body.get(4..4 + digits.div_ceil(2))?;
    let number: String = coded
        .iter()
        .flat_map(|octet| [octet & 15, octet >> 4])
        .take(digits)
        .filter_map(|digit| char::from_digit(u32::from(digit), 10))
        .collect();
    let rest = body.get(4 + coded.len()..)?;
    let coding = *rest.get(1)?;
    let validity = match flags >> 3 & 3 {
        0 => 0,
        2 => 1,
        _ => 7,
    };
    let count = usize::from(*rest.get(2 + validity)?);
    let data = rest.get(3 + validity..)?;
    let header = if flags & 0x40 == 0 { &[][..] } else { data.get(..1 + usize::from(*data.first()?))? };
    let part = match header {
        [5, 0, 3, reference, of, at] => Some((*reference, *of, *at)),
        _ => None,
    };
    let text = if coding & 0x0c == 8 {
        let units = data.get(header.len()..count)?.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
        String::from_utf16(&units.collect::<Vec<_>>()).ok()?
    } else {
        let skipped = (header.len() * 8).div_ceil(7);
        letters(&unpack(data, skipped * 7, count.checked_sub(skipped)?))
    };
    let to = if kind == 0x91 { format!("+{number}") } else { number };
    Some(Submitted { to, text, part, report: flags & 0x20 != 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_a_published_example_is_read() {
        // "hellohello" to +46708251358, without a service centre (developershome, Nokia's example).
        let pdu = "0011000B916407281553F80000AA0AE8329BFD4697D9EC37";
        let read = submitted(pdu, (pdu.len() - 2) / 2).unwrap();
        assert_eq!((read.to.as_str(), read.text.as_str(), read.part), ("+46708251358", "hellohello", None));
        assert_eq!(submitted("00", 0), None);
        assert_eq!(submitted("0011000B9164", 5), None);
    }

    #[test]
    fn texts_are_packed_and_unpacked() {
        assert_eq!(packed("hello"), "E8329BFD06");
        for text in ["hello", "sevens7", "eight888", "a[b]€", "@"] {
            assert_eq!(unpacked(&packed(text)).unwrap().trim_end_matches('@'), text.trim_end_matches('@'));
        }
        let (pdu, length) = deliver("+4930300", "Grüße", Some((7, 2, 1)), (11, 23, 9, 30));
        assert_eq!(pdu.len(), 2 * (length + CENTRE.len()));
        assert!(deliver("4930300", "кот", None, (1, 1, 0, 0)).0.ends_with("06043A043E0442"));
    }
}
