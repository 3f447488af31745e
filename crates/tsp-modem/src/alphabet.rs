//! The GSM 7-bit default alphabet (3GPP TS 23.038 section 6.2.1) and its packing into octets.

/// The basic table: the character of every septet. `ESC` (0x1B) leads to [`EXTENSION`].
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\u{1b}ÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";

/// The extension table: septet after the escape, and its character.
const EXTENSION: [(u8, char); 10] = [
    (0x0A, '\u{c}'),
    (0x14, '^'),
    (0x28, '{'),
    (0x29, '}'),
    (0x2F, '\\'),
    (0x3C, '['),
    (0x3D, '~'),
    (0x3E, ']'),
    (0x40, '|'),
    (0x65, '€'),
];

/// The escape to the extension table.
const ESCAPE: u8 = 0x1B;

/// The septets of a character, one or two; `None` where the alphabet lacks it.
pub(crate) fn septets(character: char) -> Option<(u8, Option<u8>)> {
    if character == '\u{1b}' {
        return None;
    }
    if let Some(at) = BASIC.chars().position(|basic| basic == character) {
        return u8::try_from(at).ok().map(|septet| (septet, None));
    }
    EXTENSION.iter().find(|(_, extended)| *extended == character).map(|(septet, _)| (ESCAPE, Some(*septet)))
}

/// A whole text; `None` where a character of it is not in the alphabet.
pub(crate) fn encode(text: &str) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    for character in text.chars() {
        let (first, second) = septets(character)?;
        all.push(first);
        all.extend(second);
    }
    Some(all)
}

/// The text of septets. An extension that is not known shows the basic character, as the standard wants; an escape at the
/// end is dropped.
pub(crate) fn decode(septets: &[u8]) -> String {
    let basic: Vec<char> = BASIC.chars().collect();
    let mut text = String::new();
    let mut escaped = false;
    for septet in septets {
        let septet = septet & 0x7F;
        if escaped {
            escaped = false;
            let extended = EXTENSION.iter().find(|(code, _)| *code == septet).map(|(_, character)| *character);
            text.extend(
                extended.or(basic.get(usize::from(septet)).copied().filter(|character| *character != '\u{1b}')),
            );
        } else if septet == ESCAPE {
            escaped = true;
        } else {
            text.extend(basic.get(usize::from(septet)));
        }
    }
    text
}

/// Packs septets into octets, after so many bits of filling.
pub(crate) fn pack(septets: &[u8], fill: usize) -> Vec<u8> {
    let bits = fill + septets.len() * 7;
    let mut octets = vec![0u8; bits.div_ceil(8)];
    for (number, septet) in septets.iter().enumerate() {
        let wide = u16::from(septet & 0x7F) << ((fill + number * 7) % 8);
        let at = (fill + number * 7) / 8;
        if let Some(octet) = octets.get_mut(at) {
            *octet |= (wide & 0xFF) as u8;
        }
        if let Some(octet) = octets.get_mut(at + 1) {
            *octet |= (wide >> 8) as u8;
        }
    }
    octets
}

/// Takes `count` septets out of octets, or as many as are there, after so many bits of filling.
pub(crate) fn unpack(octets: &[u8], count: usize, fill: usize) -> Vec<u8> {
    let have = (octets.len() * 8).saturating_sub(fill) / 7;
    (0..count.min(have))
        .map(|number| {
            let bit = fill + number * 7;
            let octet = |at: usize| u16::from(octets.get(at).copied().unwrap_or(0));
            (((octet(bit / 8) | (octet(bit / 8 + 1) << 8)) >> (bit % 8)) & 0x7F) as u8
        })
        .collect()
}

/// UCS-2, high octet first; what is no character becomes U+FFFD, an odd octet at the end is dropped.
pub(crate) fn from_ucs2(octets: &[u8]) -> String {
    let units: Vec<u16> = octets
        .chunks_exact(2)
        .map(|pair| u16::from(pair.first().copied().unwrap_or(0)) << 8 | u16::from(pair.last().copied().unwrap_or(0)))
        .collect();
    String::from_utf16_lossy(&units)
}

/// To UCS-2, high octet first.
pub(crate) fn to_ucs2(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

/// Octets written in hexadecimal; `None` where it is anything else.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

/// In hexadecimal, capital letters.
pub(crate) fn to_hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_table_is_whole() {
        assert_eq!(BASIC.chars().count(), 128);
        for (code, character) in
            [(0, '@'), (0x20, ' '), (0x41, 'A'), (0x61, 'a'), (0x5B, 'Ä'), (0x7F, 'à'), (0x10, 'Δ')]
        {
            assert_eq!(septets(character), Some((code, None)), "{character}");
        }
        assert_eq!(septets('€'), Some((0x1B, Some(0x65))));
        assert_eq!(septets('ş'), None);
    }

    #[test]
    fn words_of_the_field() {
        assert_eq!(to_hex(&pack(&encode("hellohello").unwrap(), 0)), "E8329BFD4697D9EC37");
        assert_eq!(decode(&unpack(&from_hex("E8329BFD4697D9EC37").unwrap(), 10, 0)), "hellohello");
        assert_eq!(to_hex(&pack(&encode("*100#").unwrap(), 0)), "AA180C3602");
        assert_eq!(decode(&[0x1B, 0x1B, 0x41]), "A", "an escape after an escape has no character");
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(septets in prop::collection::vec(0u8..128, 0..200), fill in 0usize..7) {
            prop_assert_eq!(unpack(&pack(&septets, fill), septets.len(), fill), septets);
        }

        #[test]
        fn what_is_encoded_is_decoded(text in "[ -~€äöüß\n]{0,200}") {
            prop_assume!(!text.contains('`'));
            prop_assert_eq!(decode(&encode(&text).unwrap()), text);
        }
    }
}
