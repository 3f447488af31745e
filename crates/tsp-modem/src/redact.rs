//! What is nobody's business, out of a transcript: numbers, names, PINs and the texts of messages become others of the same
//! shape, so that what is left can still be replayed.

use crate::alphabet::{from_hex, to_hex};
use crate::transcript::Numbers;
use std::collections::BTreeMap;

/// Numbers that are told apart in one transcript.
const MOST_NUMBERS: usize = 999;
/// A run of digits so long is hidden wherever it stands: subscribers, IMSI, IMEI, ICCID.
const LONG_RUN: usize = 7;
/// A line of so many digits and nothing else is a caller's number. Product codes have five.
const BARE_NUMBER: usize = 6;
/// The shortest message in hexadecimal.
const SHORTEST_PDU: usize = 24;
/// A prefix before a number that is known: what withholds ours (`141`).
const LONGEST_PREFIX: usize = 3;
/// In the place of a name.
const NAME: &str = "SOMEBODY";

/// What begins with one of these holds somebody's number or a PIN: runs of digits this long are hidden there.
const PRIVATE: [(&str, usize); 19] = [
    ("ATD", 4),
    ("MAKE ", 3),
    ("HIDE ", 3),
    ("DIAL ", 4),
    ("NMBR", 2),
    ("NBR", 2),
    ("DDN_NMBR", 2),
    ("NDID", 2),
    ("ANID", 2),
    ("CALLER", 2),
    ("DIVERTING", 2),
    ("FM:", 2),
    ("RING;", 2),
    ("RING/", 2),
    ("RING:", 2),
    ("RING ", 2),
    ("AT+CPIN=", 4),
    ("AT+CPWD=", 4),
    ("AT+CLCK=", 4),
];
/// Of these, what is quoted is a number, however short, or a name.
const PARTIES: [&str; 13] = [
    "+CLIP", "+CLCC", "+CCWA", "+CNUM", "+COLP", "+CDIP", "+CNAP", "+CCFC", "AT+CCFC", "+CMT", "+CMGL", "*ECAV",
    "#ECAM",
];

/// Hides what is private, the same thing always behind the same other one.
#[derive(Clone, Debug)]
pub(crate) struct Private {
    numbers: Numbers,
    known: BTreeMap<String, String>,
}

impl Private {
    /// Nothing is known yet.
    pub(crate) fn new(numbers: Numbers) -> Private {
        Private { numbers, known: BTreeMap::new() }
    }

    /// The line as it may be shown.
    pub(crate) fn hide(&mut self, line: &str) -> String {
        if self.numbers == Numbers::Kept {
            return line.to_owned();
        }
        let upper = line.trim_start().to_ascii_uppercase();
        if let Some(named) = named(line, &upper) {
            return named;
        }
        if upper.starts_with("+CUSD") || upper.starts_with("AT+CUSD") {
            return quoted(line, shapeless);
        }
        if line.len() >= SHORTEST_PDU && line.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return self.pdu(line);
        }
        if PARTIES.iter().any(|start| upper.starts_with(start)) {
            return quoted(line, |text| if self.is_name(text) { NAME.to_owned() } else { self.runs(text, 2) });
        }
        let bare = line.len() >= BARE_NUMBER && line.bytes().all(|byte| byte.is_ascii_digit());
        let shortest = PRIVATE.iter().find(|(start, _)| upper.starts_with(start)).map_or(LONG_RUN, |(_, least)| *least);
        self.runs(line, if bare { BARE_NUMBER } else { shortest })
    }

    fn is_name(&self, text: &str) -> bool {
        text.contains(|c: char| !(c.is_ascii_digit() || "+*#".contains(c)))
    }

    /// Every run of so many digits, or more, another one.
    fn runs(&mut self, line: &str, shortest: usize) -> String {
        let dialled = line.starts_with("ATD");
        let (mut hidden, mut run) = (String::new(), String::new());
        for character in line.chars().chain(['\n']) {
            if character.is_ascii_digit() {
                run.push(character);
                continue;
            }
            // A short one is hidden where it is dialled, too. Parts of a number are no numbers: the modem dials them together.
            let private = run.len() >= shortest || (dialled && self.known.contains_key(&run));
            hidden.push_str(&if private { self.other(&run) } else { run.clone() });
            run.clear();
            hidden.push(character);
        }
        hidden.pop();
        hidden
    }

    fn other(&mut self, number: &str) -> String {
        // It is one of ours already, where a message is read in the midst of a line that was hidden.
        if let Some(other) = self.known.get(number) {
            return other.clone();
        }
        let behind_prefix = self.known.iter().find_map(|(known, other)| {
            let prefix = number.strip_suffix(known.as_str())?;
            (known.len() >= 4 && prefix.len() <= LONGEST_PREFIX).then(|| format!("{prefix}{other}"))
        });
        if let Some(other) = behind_prefix {
            return other;
        }
        if self.known.len() >= MOST_NUMBERS {
            return "0".repeat(number.len());
        }
        let next = self.known.len() + 1;
        let other = format!("{next:0>width$}", width = number.len());
        self.known.insert(number.to_owned(), other.clone());
        other
    }

    /// A message or a report (TS 23.040) with other numbers and no text; one that is not understood as zeros.
    fn pdu(&mut self, line: &str) -> String {
        let shown = from_hex(line).and_then(|mut octets| {
            self.hide_pdu(&mut octets)?;
            Some(to_hex(&octets))
        });
        shown.unwrap_or_else(|| "0".repeat(line.len()))
    }

    fn hide_pdu(&mut self, octets: &mut [u8]) -> Option<()> {
        let centre = usize::from(*octets.first()?);
        if centre > 1 {
            self.hide_address(octets.get_mut(2..=centre)?);
        }
        let rest = octets.get_mut(centre + 1..)?;
        let first = *rest.first()?;
        let at = match first & 0x03 {
            0 => 1,
            2 => 2,
            _ => return None,
        };
        let digits = usize::from(*rest.get(at)?);
        let end = at + 2 + digits.div_ceil(2);
        if rest.get(at + 1)? & 0x70 == 0x50 {
            rest.get_mut(at + 2..end)?.fill(0);
        } else {
            self.hide_address(rest.get_mut(at + 2..end)?);
        }
        if first & 0x03 == 2 {
            return Some(());
        }
        let wide = *rest.get(end + 1)? & 0x0C == 0x08;
        // Protocol, coding, seven octets of time, length.
        let data = rest.get_mut(end + 10..)?;
        let header = if first & 0x40 == 0 { 0 } else { usize::from(*data.first()?) + 1 };
        for (at, octet) in data.get_mut(header..)?.iter_mut().enumerate() {
            *octet = if wide && at % 2 == 1 { b'X' } else { 0 };
        }
        Some(())
    }

    /// Digits as half-octets, the lower one first; 15 fills up.
    fn hide_address(&mut self, octets: &mut [u8]) {
        let halves = octets.iter().flat_map(|octet| [octet & 0x0F, octet >> 4]);
        let number: String = halves.filter(|half| *half < 10).map(|half| char::from(b'0' + half)).collect();
        let other = self.other(&number);
        let mut digits = other.bytes().map(|digit| digit.wrapping_sub(b'0') & 0x0F);
        let mut next = |half: u8| if half < 10 { digits.next().unwrap_or(0) } else { half };
        for octet in octets {
            let low = next(*octet & 0x0F);
            *octet = low | next(*octet >> 4) << 4;
        }
    }
}

/// A line that is about a name, or holds a whole message of caller id.
fn named(line: &str, upper: &str) -> Option<String> {
    let at = line.find(['=', ':'])?;
    let (key, value) = (line.get(..at)?.trim(), line.get(at + 1..)?.trim());
    if upper.starts_with("MESG") {
        return Some(format!("{key}="));
    }
    if !["NAME", "CALLER NAME"].contains(&key.to_ascii_uppercase().as_str()) {
        return None;
    }
    // One letter is the reason of its absence.
    let shown = if value.len() <= 1 { value } else { NAME };
    Some(if line.get(at..=at) == Some(":") { format!("{key}: {shown}") } else { format!("{key}={shown}") })
}

/// The line with what is quoted in it changed.
fn quoted(line: &str, mut change: impl FnMut(&str) -> String) -> String {
    let parts: Vec<String> = line
        .split('"')
        .enumerate()
        .map(|(at, part)| if at % 2 == 1 { change(part) } else { part.to_owned() })
        .collect();
    parts.join("\"")
}

/// A text with its length and its kind alone.
fn shapeless(text: &str) -> String {
    if text.len() >= 4 && text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let unit = if text.len().is_multiple_of(4) { "0058" } else { "00" };
        return unit.repeat(text.len() / unit.len());
    }
    let letter = |c: char| match c {
        '0'..='9' => '0',
        c if c.is_alphabetic() => 'x',
        c => c,
    };
    text.chars().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pdu::{self, Incoming};

    #[test]
    fn numbers_are_hidden_and_stay_the_same_ones() {
        let mut private = Private::new(Numbers::Hidden);
        let mut hide = |line: &str| private.hide(line);
        assert_eq!(hide("make 8055554567"), "make 0000000001");
        assert_eq!(hide("ATDT8055554567;"), "ATDT0000000001;");
        assert_eq!(hide("+CLIP: \"49170123\",145"), "+CLIP: \"00000002\",145");
        assert_eq!(hide("262011234567890"), "000000000000003");
        assert_eq!(hide("NAME = SMITH JOHN"), "NAME=SOMEBODY");
        assert_eq!(hide("AT+CPIN=\"1234\""), "AT+CPIN=\"0004\"");
        assert_eq!(hide("CONNECT 115200"), "CONNECT 115200");
        assert_eq!(hide("ATDT1418055554567"), "ATDT1410000000001");
        assert_eq!(hide("RING 090909"), "RING 000005");
        assert_eq!(hide("090909"), "000005");
        assert_eq!(hide("hide 301"), "hide 006");
        assert_eq!(hide("ATD301;"), "ATD006;");
        assert_eq!(hide("+CLCC: 1,1,4,0,0,\"301\",129"), "+CLCC: 1,1,4,0,0,\"006\",129");
        let mut open = Private::new(Numbers::Kept);
        assert_eq!(open.hide("ATDT8055554567;"), "ATDT8055554567;");
    }

    #[test]
    fn what_is_no_number_stays() {
        let mut private = Private::new(Numbers::Hidden);
        for line in ["56000", "ATDT!2;", "RING 2", "NAME=P", "+CREG: 2,1,\"1A2B\",\"00C3\"", "DATE=0801", "AT+CMGS=23"]
        {
            assert_eq!(private.hide(line), line);
        }
    }

    #[test]
    fn names_and_texts_are_hidden() {
        let mut private = Private::new(Numbers::Hidden);
        for (line, shown) in [
            ("CALLER NAME: ANN SMITH", "CALLER NAME: SOMEBODY"),
            ("Caller Number: 4711", "Caller Number: 0001"),
            ("MESG=80200108303830313138303102023132", "MESG="),
            ("+CLIP: \"4711\",129,\"\",0,\"Alice\",0", "+CLIP: \"0001\",129,\"\",0,\"SOMEBODY\",0"),
            ("+CNAP: \"Alice\",0", "+CNAP: \"SOMEBODY\",0"),
            ("+CUSD: 0,\"Your balance is 12.30\",15", "+CUSD: 0,\"xxxx xxxxxxx xx 00.00\",15"),
            ("+CUSD: 0,\"0041006C\",72", "+CUSD: 0,\"00580058\",72"),
            ("AT+CUSD=1,\"*100*1234#\",15", "AT+CUSD=1,\"*000*0000#\",15"),
        ] {
            assert_eq!(private.hide(line), shown);
        }
    }

    #[test]
    fn a_message_can_be_read_and_says_nothing() {
        let mut private = Private::new(Numbers::Hidden);
        assert_eq!(private.hide("+CLIP: \"31641600986\",145"), "+CLIP: \"00000000001\",145");
        for (line, text) in [
            ("07911326040000F0040B911346610089F60000208062917314080CC8F71D14969741F977FD07", "@@@@@@@@@@@@"),
            ("07911326040000F0040B911346610089F6000820806291731408040041006C", "XX"),
        ] {
            let shown = private.hide(line);
            assert_eq!(shown.len(), line.len());
            let Some(Incoming::Message { from, text: told, sent, .. }) = pdu::parse(&shown) else { panic!("{shown}") };
            assert_eq!((from.as_str(), told.as_str()), ("+00000000001", text));
            assert!(sent.is_some());
        }
        assert_eq!(private.hide("FFFFFFFFFFFFFFFFFFFFFFFFFFFF"), "0".repeat(28));
    }
}
