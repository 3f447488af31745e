//! Messages of udev's monitor: a header of 40 bytes, then `KEY=VALUE`, each with a zero byte behind it.

use std::collections::BTreeMap;

/// What every message begins with.
const PREFIX: &[u8] = b"libudev\0";

/// Its second mark, in network byte order.
const MAGIC: u32 = 0xfeed_cafe;

/// Properties that are read of one message.
const MOST: usize = 256;

/// The properties of a message; none for what is no message of udev.
pub fn parse(message: &[u8]) -> Option<BTreeMap<String, String>> {
    let word = |at: usize| -> Option<[u8; 4]> { message.get(at..at + 4)?.try_into().ok() };
    if !message.starts_with(PREFIX) || u32::from_be_bytes(word(8)?) != MAGIC {
        return None;
    }
    let begin = usize::try_from(u32::from_ne_bytes(word(16)?)).ok()?;
    let length = usize::try_from(u32::from_ne_bytes(word(20)?)).ok()?;
    let properties = message.get(begin..begin.checked_add(length)?)?;
    Some(pairs(properties.split(|byte| *byte == 0)))
}

/// `KEY=VALUE`s; what is none is passed over.
pub fn pairs<'a>(lines: impl Iterator<Item = &'a [u8]>) -> BTreeMap<String, String> {
    let pair = |line: &[u8]| {
        let (key, value) = std::str::from_utf8(line).ok()?.split_once('=')?;
        Some((key.to_owned(), value.to_owned()))
    };
    lines.take(MOST).filter_map(pair).collect()
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A message as udev sends it.
    pub fn message(properties: &[(&str, &str)]) -> Vec<u8> {
        let body: Vec<u8> =
            properties.iter().flat_map(|(key, value)| format!("{key}={value}\0").into_bytes()).collect();
        let mut message = PREFIX.to_vec();
        message.extend(MAGIC.to_be_bytes());
        for word in [40u32, 40, u32::try_from(body.len()).unwrap(), 0, 0, 0, 0] {
            message.extend(word.to_ne_bytes());
        }
        message.extend(body);
        message
    }

    #[test]
    fn properties_are_read_and_anything_else_is_no_message() {
        let good = message(&[("ACTION", "add"), ("DEVNAME", "/dev/ttyACM0"), ("ID_MODEL", "a=b")]);
        let properties = parse(&good).unwrap();
        assert_eq!(properties["DEVNAME"], "/dev/ttyACM0");
        assert_eq!(properties["ID_MODEL"], "a=b");
        // The kernel's own form.
        assert_eq!(parse(b"add@/devices/x\0ACTION=add\0"), None);
        for cut in 0..40 {
            assert_eq!(parse(&good[..cut]), None, "{cut}");
        }
        let mut wrong = good.clone();
        wrong[20] = 0xff;
        wrong[21] = 0xff;
        assert_eq!(parse(&wrong), None, "longer than it is");
    }
}
