//! Text messages as they cross the modem in PDU mode: SMS-SUBMIT, SMS-DELIVER and SMS-STATUS-REPORT of 3GPP TS 23.040.

use crate::alphabet::{self, from_hex, to_hex};
use serde::{Deserialize, Serialize};

/// Parts that a message is cut into at most.
const MOST_PARTS: usize = 16;
/// The longest number (TS 23.040 9.1.2.5: 20 half-octets).
const LONGEST_NUMBER: usize = 20;
/// Septets of a whole message, and of a part beside its header.
const SEPTETS: (usize, usize) = (160, 153);
/// UCS-2 units of a whole message, and of a part beside its header.
const UNITS: (usize, usize) = (70, 67);
/// Octets of the longest user data.
const LONGEST_DATA: usize = 140;

/// A part to be given to `+CMGS`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Submit {
    /// The PDU in hexadecimal, with an empty service centre before it.
    pub(crate) hex: String,
    /// Octets without the service centre: what `+CMGS=` wants.
    pub(crate) length: usize,
}

impl std::fmt::Debug for Submit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Submit({} octets)", self.length)
    }
}

/// Which part of a message one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// The sender's number for the message.
    pub(crate) reference: u16,
    /// Parts of it.
    pub(crate) total: u8,
    /// This one, from 1.
    pub(crate) number: u8,
}

/// A message or a report that came in.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// A message, or a part of one.
    Message {
        from: String,
        text: String,
        /// When the network took it.
        sent: Option<String>,
        part: Option<Part>,
    },
    /// What became of one of ours.
    Report {
        /// The number that `+CMGS` gave it.
        reference: u8,
        to: String,
        /// TP-Status: below 0x20 delivered, below 0x40 still trying, else failed.
        status: u8,
    },
}

/// Cuts a text into parts to submit. `Err`: why it cannot be sent. `reference` marks the parts of one message.
pub(crate) fn submit(to: &str, text: &str, reference: u8, report: bool) -> Result<Vec<Submit>, String> {
    let address = address(to)?;
    let (coding, pieces) = match alphabet::encode(text) {
        Some(_) => (
            0x00,
            cut(text, SEPTETS, |character| if alphabet::septets(character)?.1.is_some() { Some(2) } else { Some(1) }),
        ),
        None => (0x08, cut(text, UNITS, |character| Some(character.len_utf16()))),
    };
    if pieces.len() > MOST_PARTS {
        return Err(format!("the text is longer than {MOST_PARTS} messages"));
    }
    let total = pieces.len() as u8;
    let part = |(at, piece): (usize, &String)| {
        let header: &[u8] = if total > 1 { &[5, 0, 3, reference, total, at as u8 + 1] } else { &[] };
        let mut octets = vec![0x11 | if header.is_empty() { 0 } else { 0x40 } | if report { 0x20 } else { 0 }, 0];
        octets.extend(&address);
        // No protocol above it; it may be delivered for a day (relative validity).
        octets.extend([0x00, coding, 0xA7]);
        octets.extend(user_data(piece, coding, header));
        Submit { hex: format!("00{}", to_hex(&octets)), length: octets.len() }
    };
    Ok(pieces.iter().enumerate().map(part).collect())
}

/// Cuts a text so that each piece weighs what a part can take, never inside a character.
fn cut(text: &str, (whole, part): (usize, usize), weight: impl Fn(char) -> Option<usize>) -> Vec<String> {
    let weigh = |character| weight(character).unwrap_or(1);
    if text.chars().map(weigh).sum::<usize>() <= whole {
        return vec![text.to_owned()];
    }
    let (mut pieces, mut piece, mut size) = (Vec::new(), String::new(), 0);
    for character in text.chars() {
        if size + weigh(character) > part {
            pieces.push(std::mem::take(&mut piece));
            size = 0;
        }
        piece.push(character);
        size += weigh(character);
    }
    pieces.push(piece);
    pieces
}

/// Length, header and text.
fn user_data(text: &str, coding: u8, header: &[u8]) -> Vec<u8> {
    if coding == 0 {
        let septets = alphabet::encode(text).unwrap_or_default();
        let fill = (7 - header.len() * 8 % 7) % 7;
        let length = (header.len() * 8).div_ceil(7) + septets.len();
        let packed = alphabet::pack(&septets, fill);
        // The filling stands in the first octet of the packed ones, which begins where the header ends.
        [&[length as u8], header, packed.as_slice()].concat()
    } else {
        let units = alphabet::to_ucs2(text);
        [&[(header.len() + units.len()) as u8], header, units.as_slice()].concat()
    }
}

/// A number as TS 23.040 9.1.2.5 writes it.
fn address(number: &str) -> Result<Vec<u8>, String> {
    let number: String = number.chars().filter(|character| !" -.()/".contains(*character)).collect();
    let (kind, digits) = match number.strip_prefix('+') {
        Some(digits) => (0x91, digits),
        None => (0x81, number.as_str()),
    };
    let codes: Option<Vec<u8>> =
        digits.chars().map(|digit| "0123456789*#".find(digit).map(|code| code as u8)).collect();
    match codes {
        Some(codes) if !codes.is_empty() && codes.len() <= LONGEST_NUMBER => {
            let pair = |pair: &[u8]| pair.first().copied().unwrap_or(0) | pair.get(1).copied().unwrap_or(0x0F) << 4;
            Ok([codes.len() as u8, kind].into_iter().chain(codes.chunks(2).map(pair)).collect())
        }
        _ => Err("a message goes to a number of 1 to 20 digits".to_owned()),
    }
}

/// Reads a PDU in hexadecimal, with its service centre before it. `None`: it is none, or none that is understood.
pub(crate) fn parse(hex: &str) -> Option<Incoming> {
    let octets = from_hex(hex.trim())?;
    let mut reader = Reader { octets: &octets };
    let centre = reader.octet()?;
    reader.take(usize::from(centre))?;
    let first = reader.octet()?;
    match first & 0x03 {
        0 => {
            let from = reader.address()?;
            let _protocol = reader.octet()?;
            let coding = reader.octet()?;
            let sent = stamp(reader.take(7)?);
            let length = usize::from(reader.octet()?);
            let data = reader.octets.get(..reader.octets.len().min(LONGEST_DATA))?;
            let (text, part) = text(data, length, coding, first & 0x40 != 0)?;
            Some(Incoming::Message { from, text, sent, part })
        }
        2 => {
            let reference = reader.octet()?;
            let to = reader.address()?;
            reader.take(14)?;
            Some(Incoming::Report { reference, to, status: reader.octet()? })
        }
        _ => None,
    }
}

/// Takes octets from the front.
struct Reader<'a> {
    octets: &'a [u8],
}

impl<'a> Reader<'a> {
    fn octet(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = (self.octets.get(..count)?, self.octets.get(count..)?);
        self.octets = rest;
        Some(taken)
    }

    /// A number, or the name of a sender that has none.
    fn address(&mut self) -> Option<String> {
        let digits = usize::from(self.octet()?);
        let kind = self.octet()?;
        let octets = self.take(digits.div_ceil(2))?;
        if kind & 0x70 == 0x50 {
            return Some(alphabet::decode(&alphabet::unpack(octets, digits * 4 / 7, 0)));
        }
        let codes = octets.iter().flat_map(|octet| [octet & 0x0F, octet >> 4]).take(digits);
        let number: String = codes.filter_map(|code| "0123456789*#abc".chars().nth(usize::from(code))).collect();
        Some(if kind & 0x70 == 0x10 { format!("+{number}") } else { number })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Coding {
    Gsm,
    Octets,
    Ucs2,
}

/// What TS 23.038 section 4 says of the data; `None`: compressed.
fn coding(octet: u8) -> Option<Coding> {
    match octet >> 4 {
        0..=7 if octet & 0x20 != 0 => None,
        0..=7 => Some(match octet & 0x0C {
            0x04 => Coding::Octets,
            0x08 => Coding::Ucs2,
            _ => Coding::Gsm,
        }),
        0x0E => Some(Coding::Ucs2),
        0x0F if octet & 0x04 != 0 => Some(Coding::Octets),
        _ => Some(Coding::Gsm),
    }
}

/// The text, and which part it is. Data that is no text is shown in hexadecimal.
fn text(data: &[u8], length: usize, octet: u8, headed: bool) -> Option<(String, Option<Part>)> {
    let coding = coding(octet)?;
    let header = if headed { data.get(..usize::from(*data.first()?) + 1)? } else { &[] };
    let rest = data.get(header.len()..)?;
    let part = part(header.get(1..).unwrap_or_default());
    let text = match coding {
        Coding::Gsm => {
            let before = (header.len() * 8).div_ceil(7);
            let fill = (7 - header.len() * 8 % 7) % 7;
            alphabet::decode(&alphabet::unpack(rest, length.checked_sub(before)?, fill))
        }
        Coding::Ucs2 => alphabet::from_ucs2(rest.get(..length.checked_sub(header.len())?.min(rest.len()))?),
        Coding::Octets => to_hex(rest.get(..length.checked_sub(header.len())?.min(rest.len()))?),
    };
    Some((text, part))
}

/// The element of the header that tells the part (TS 23.040 9.2.3.24.1 and .8).
fn part(mut header: &[u8]) -> Option<Part> {
    while let [kind, length, rest @ ..] = header {
        let (value, after) = (rest.get(..usize::from(*length))?, rest.get(usize::from(*length)..)?);
        let part = match (kind, value) {
            (0, [reference, total, number]) => {
                Part { reference: u16::from(*reference), total: *total, number: *number }
            }
            (8, [high, low, total, number]) => {
                Part { reference: u16::from_be_bytes([*high, *low]), total: *total, number: *number }
            }
            _ => {
                header = after;
                continue;
            }
        };
        return (part.total > 1 && (1..=part.total).contains(&part.number)).then_some(part);
    }
    None
}

/// TP-SCTS: swapped digits, and the zone in quarters of an hour with its sign.
fn stamp(octets: &[u8]) -> Option<String> {
    let digits = |octet: u8| (octet & 0x0F < 10 && octet >> 4 < 10).then(|| (octet & 0x0F) * 10 + (octet >> 4));
    let [year, month, day, hour, minute, second, zone] = octets else { return None };
    let (sign, quarters) = (if zone & 0x08 == 0 { '+' } else { '-' }, digits(zone & !0x08)?);
    let (month, day) = (digits(*month)?, digits(*day)?);
    let (hour, minute, second) = (digits(*hour)?, digits(*minute)?, digits(*second)?);
    let real = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 60;
    real.then_some(())?;
    Some(format!(
        "20{:02}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{sign}{:02}:{:02}",
        digits(*year)?,
        quarters / 4,
        quarters % 4 * 15
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(hex: &str) -> (String, String, Option<String>, Option<Part>) {
        match parse(hex) {
            Some(Incoming::Message { from, text, sent, part }) => (from, text, sent, part),
            _ => panic!("{hex}"),
        }
    }

    /// Turns what is submitted into what is delivered: the far end's side of it.
    fn delivered(submit: &Submit) -> String {
        let octets = from_hex(&submit.hex).unwrap();
        let digits = usize::from(octets[3]).div_ceil(2);
        let address = &octets[3..5 + digits];
        let after = &octets[5 + digits..];
        let stamp = [0x62, 0x11, 0x32, 0x20, 0x00, 0x00, 0x40];
        to_hex(&[&[0, octets[1] & 0x40], address, &after[..2], &stamp, &after[3..]].concat())
    }

    #[test]
    fn a_message_of_the_field() {
        let (from, text, sent, part) =
            message("07917283010010F5040BC87238880900F10000993092516195800AE8329BFD4697D9EC37");
        assert_eq!((from.as_str(), text.as_str()), ("27838890001", "hellohello"));
        assert_eq!((sent.as_deref(), part), (Some("2099-03-29T15:16:59+02:00"), None));
    }

    #[test]
    fn a_short_message_to_submit() {
        let parts = submit("+46708251358", "hellohello", 0, false).unwrap();
        assert_eq!(parts.len(), 1);
        assert_eq!(parts[0].hex, "0011000B916407281553F80000A70AE8329BFD4697D9EC37");
        assert_eq!(parts[0].length, 23);
    }

    #[test]
    fn names_ucs2_and_bad_stamps() {
        // A sender with a name: `Google`, seven septets' room in eleven half-octets.
        let (from, ..) = message("00000BD0C7F7FBCC2E0300006211322000004002E834");
        assert_eq!(from, "Google");
        let (_, text, sent, _) = message("00000481214300080000113220000004041F0440");
        assert_eq!((text.as_str(), sent), ("Пр", None));
        assert_eq!(submit("12x", "a", 0, false), Err("a message goes to a number of 1 to 20 digits".to_owned()));
        assert!(submit("1", &"x".repeat(3_000), 0, false).is_err());
    }

    #[test]
    fn a_report() {
        let report = parse("0006420B916407281553F8621132200000406211322000004000");
        assert!(matches!(report, Some(Incoming::Report { reference: 0x42, status: 0, to }) if to == "+46708251358"));
    }

    #[test]
    fn limits_of_one_message() {
        for (text, parts) in [("x".repeat(160), 1), ("x".repeat(161), 2), ("€".repeat(80), 1), ("€".repeat(81), 2)]
        {
            assert_eq!(submit("1", &text, 7, false).unwrap().len(), parts);
        }
        for (text, parts) in [("ж".repeat(70), 1), ("ж".repeat(71), 2), ("😀".repeat(35), 1), ("😀".repeat(36), 2)]
        {
            assert_eq!(submit("1", &text, 7, false).unwrap().len(), parts);
        }
    }

    proptest! {
        #[test]
        fn what_is_submitted_is_delivered(text in "[ -_a-~€äñ\n]{1,600}|[жя😀a]{1,300}", reference: u8, number in "\\+?[0-9]{1,20}") {
            let parts = submit(&number, &text, reference, false).unwrap();
            let mut back = String::new();
            for (at, part) in parts.iter().enumerate() {
                prop_assert!(part.hex.len() <= 2 * (1 + 164) + 24);
                prop_assert_eq!(part.length * 2 + 2, part.hex.len());
                let (from, piece, _, which) = message(&delivered(part));
                prop_assert_eq!(&from, &number);
                let expected = Part { reference: u16::from(reference), total: parts.len() as u8, number: at as u8 + 1 };
                prop_assert_eq!(which, (parts.len() > 1).then_some(expected));
                back.push_str(&piece);
            }
            prop_assert_eq!(back, text);
        }

        #[test]
        fn anything_else_is_refused_or_read(octets in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&to_hex(&octets));
        }
    }
}
