//! Caller id as the exchange sends it (`+VCID=2`: `MESG=` and hexadecimal): single and multiple data message format
//! (Telcordia GR-30, ETSI EN 300 659-3).

use super::{CallerId, Told, clean};

const SDMF: u8 = 0x04;
const MDMF: u8 = 0x80;
/// Month, day, hour and minute before the number of a single data message.
const DATE: usize = 8;
/// The longest message: type, length, 255 bytes, checksum; in hexadecimal.
const LONGEST: usize = 2 * 258;

/// What a message told, or why it is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Not hexadecimal, or cut off.
    Form,
    /// Its sum is wrong: nothing of it can be trusted.
    Checksum,
}

/// Reads a message into the caller id: all of it, or nothing.
pub(super) fn read(id: &mut CallerId, text: &str) -> Result<(), Fault> {
    let mut read = id.clone();
    message(&mut read, text)?;
    *id = read;
    Ok(())
}

fn message(id: &mut CallerId, text: &str) -> Result<(), Fault> {
    let bytes = hex(text).ok_or(Fault::Form)?;
    let (Some(kind), Some(length)) = (bytes.first(), bytes.get(1)) else { return Err(Fault::Form) };
    let length = usize::from(*length);
    if !matches!(*kind, SDMF | MDMF) {
        // One parameter alone, as some modems cut it out (`0307` and a number).
        return parameters(id, &bytes);
    }
    let body = bytes.get(2..2 + length).ok_or(Fault::Form)?;
    if bytes.len() > 2 + length && sum(bytes.get(..3 + length).ok_or(Fault::Form)?) != 0 {
        return Err(Fault::Checksum);
    }
    match *kind {
        SDMF => {
            id.stamped(&body.iter().take(DATE).copied().map(char::from).collect::<String>());
            id.number = value(body.get(DATE..).unwrap_or_default()).or(id.number.take());
            Ok(())
        }
        _ => parameters(id, body),
    }
}

fn parameters(id: &mut CallerId, mut rest: &[u8]) -> Result<(), Fault> {
    let (mut dialled, mut caller) = (None, None);
    while let [tag, length, tail @ ..] = rest {
        let (data, after) = tail.split_at_checked(usize::from(*length)).ok_or(Fault::Form)?;
        match tag {
            0x01 => id.stamped(&data.iter().copied().map(char::from).collect::<String>()),
            0x02 => caller = value(data).or(caller),
            0x03 => dialled = value(data),
            0x04 => caller = caller.or(reason(data)),
            0x07 => id.name = value(data).or(id.name.take()),
            0x08 => id.name = id.name.take().or(reason(data)),
            _ => {}
        }
        rest = after;
    }
    match (caller, dialled) {
        // A dialable number alone is the caller's: there is nothing else that it could be.
        (None, Some(number)) if id.number.is_none() => id.number = Some(number),
        (caller, dialled) => {
            id.number = caller.or(id.number.take());
            if let Some(Told::Text(number)) = dialled {
                id.called = Some(number);
            }
        }
    }
    if rest.is_empty() { Ok(()) } else { Err(Fault::Form) }
}

/// A number or name; one letter in its place is the reason of its absence.
fn value(data: &[u8]) -> Option<Told> {
    match data {
        [] => None,
        [b'P' | b'O'] => reason(data),
        data => {
            let text: String = data.iter().copied().map(char::from).collect();
            let text = clean(text.trim());
            (!text.is_empty()).then_some(Told::Text(text))
        }
    }
}

fn reason(data: &[u8]) -> Option<Told> {
    match data.first()? {
        b'P' => Some(Told::Private),
        b'O' => Some(Told::OutOfArea),
        _ => None,
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
    if !digits.len().is_multiple_of(2) || digits.len() < 4 || digits.len() > LONGEST {
        return None;
    }
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tapi::{Party, PartyFlag};

    fn framed(kind: u8, body: &[u8]) -> String {
        let mut bytes = vec![kind, body.len() as u8];
        bytes.extend_from_slice(body);
        bytes.push(sum(&bytes).wrapping_neg());
        bytes.iter().map(|byte| format!("{byte:02X}")).collect()
    }

    fn parameter(tag: u8, data: &str) -> Vec<u8> {
        [&[tag, data.len() as u8], data.as_bytes()].concat()
    }

    fn party(text: &str) -> Option<Party> {
        let mut id = CallerId::default();
        read(&mut id, text).unwrap();
        id.party()
    }

    #[test]
    fn messages() {
        let known = |number: &str, name: &str| Some(Party::new(Some(number.into()), Some(name.into())));
        let date = parameter(1, "08011801");
        let full = [date.clone(), parameter(2, "8055554567"), parameter(7, "SMITH JOHN")].concat();
        assert_eq!(party(&framed(MDMF, &full)), known("8055554567", "SMITH JOHN"));
        assert_eq!(party(&framed(SDMF, b"080118018055554567")), known("8055554567", ""));
        assert_eq!(party(&framed(SDMF, b"08011801P")), Some(Party::blocked()));
        let nobody = [date.clone(), parameter(4, "P"), parameter(8, "P")].concat();
        assert_eq!(party(&framed(MDMF, &nobody)), Some(Party::blocked()));
        let named = [date.clone(), parameter(4, "O"), parameter(7, "ACME")].concat();
        let far = party(&framed(MDMF, &named)).unwrap();
        assert_eq!((far.flags.contains(&PartyFlag::OutOfArea), far.name.as_deref()), (true, Some("ACME")));
        assert_eq!(party("030735353531323132"), known("5551212", ""));
        // The checksum may be missing, and blanks may come between the bytes.
        assert_eq!(party("80 03 02 01 37"), known("7", ""));
    }

    #[test]
    fn the_number_that_was_called() {
        let mut id = CallerId::default();
        let both = [parameter(2, "1234"), parameter(3, "5678")].concat();
        read(&mut id, &framed(MDMF, &both)).unwrap();
        assert_eq!((id.party(), id.called()), (Some(Party::new(Some("1234".into()), None)), Some("5678")));
    }

    #[test]
    fn nothing_of_a_message_with_a_wrong_sum_is_believed() {
        let good = framed(MDMF, &parameter(2, "8055554567"));
        for at in 0..good.len() / 2 {
            let mut bytes = hex(&good).unwrap();
            bytes[at] ^= 0x01;
            let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let mut id = CallerId::default();
            let result = read(&mut id, &text);
            assert!(result.is_err() || id.number == Some(Told::Text("8055554567".into())) && at == 0, "{text} {id:?}");
        }
        let mut id = CallerId::default();
        assert_eq!(read(&mut id, &good[..8]), Err(Fault::Form));
        assert_eq!(read(&mut id, "800402013799"), Err(Fault::Form));
        assert_eq!(read(&mut id, "HELLO"), Err(Fault::Form));
        assert_eq!(id, CallerId::default());
    }
}
