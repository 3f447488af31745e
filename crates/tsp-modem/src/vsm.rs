//! The ways to carry samples that a modem lists (`+VSM=?`, V.253 10.2.8), and the choice among them. What a number means is
//! the vendor's; the name beside it is all that can be gone by.

use crate::pcm::SampleFormat;
use crate::profile::Method;

/// Samples a second that can be carried, the best first.
const RATES: [u32; 5] = [8_000, 7_200, 9_600, 11_025, 16_000];
/// Ways that are kept of one list.
const LONGEST: usize = 8;

/// The ways of a list that can be used, the best first: G.711 as it goes into RTP, linear 8 bits, linear 16 bits, ADPCM.
pub(crate) fn choose(lines: &[String]) -> Vec<Method> {
    let mut found: Vec<(u8, Method)> = lines.iter().filter_map(|line| method(line)).collect();
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().take(LONGEST).map(|(_, method)| method).collect()
}

/// `131,"ULAW",8,0,(7200,8000),(0),(0)`, with `+VSM:` before it or without, with semicolons for commas.
fn method(line: &str) -> Option<(u8, Method)> {
    let body = line.trim().trim_start_matches("+VSM").trim_start_matches([':', '=', ' ']);
    let fields = split(body);
    let label = fields.first().and_then(|label| label.parse::<u8>().ok())?;
    let name = fields.get(1)?.to_ascii_uppercase();
    let bits = fields.get(2).and_then(|bits| bits.parse::<u8>().ok());
    let (rank, fmt) = match (name.as_str(), bits) {
        (name, _) if ["ULAW", "U-LAW", "MULAW", "G.711U", "G711U"].iter().any(|word| name.contains(word)) => {
            (0, SampleFormat::Ulaw)
        }
        (name, _) if ["ALAW", "A-LAW", "G.711A", "G711A"].iter().any(|word| name.contains(word)) => {
            (1, SampleFormat::Alaw)
        }
        ("UNSIGNED PCM" | "8-BIT LINEAR" | "UNSIGNED LINEAR", Some(8)) => (2, SampleFormat::U8),
        ("SIGNED PCM", Some(8)) => (3, SampleFormat::S8),
        ("LINEAR" | "SIGNED PCM" | "16-BIT LINEAR", Some(16)) => (4, SampleFormat::S16le),
        (name, Some(4)) if name.contains("IMA") => (5, SampleFormat::Ima4),
        _ => return None,
    };
    let rate = rate(fields.get(4)?)?;
    Some((rank, Method { vsm: format!("AT+VSM={label},{rate}"), fmt, rate }))
}

/// The best of `8000`, `(7200,8000)`, `(7200-11025)`.
fn rate(text: &str) -> Option<u32> {
    let inner = text.trim_matches(['(', ')']);
    let listed = |rate: u32| {
        inner.split([',', ';']).any(|part| match part.split_once('-') {
            None => part.trim().parse() == Ok(rate),
            Some((low, high)) => {
                let bound = |text: &str| text.trim().parse::<u32>().ok();
                bound(low).is_some_and(|low| low <= rate) && bound(high).is_some_and(|high| rate <= high)
            }
        })
    };
    RATES.into_iter().find(|rate| listed(*rate))
}

/// Fields at commas or semicolons outside quotes and brackets.
fn split(text: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let (mut quoted, mut depth) = (false, 0u32);
    for character in text.chars() {
        match character {
            '"' => {
                quoted = !quoted;
                continue;
            }
            '(' => depth = depth.saturating_add(1),
            ')' => depth = depth.saturating_sub(1),
            ',' | ';' if !quoted && depth == 0 => {
                fields.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = fields.last_mut() {
            last.push(character);
        }
    }
    fields.iter().map(|field| field.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(lines: &[&str]) -> Vec<(String, SampleFormat)> {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        choose(&lines).into_iter().map(|method| (method.vsm, method.fmt)).collect()
    }

    #[test]
    fn lists_of_the_field() {
        let usr = [
            "1,\"UNSIGNED PCM\",8,0,(7200,8000),(0),(0)",
            "128,\"8-BIT LINEAR\",8,0,(7200,8000),(0),(0)",
            "129,\"ADPCM\",4,0,(7200,8000),(0),(0)",
            "130,\"UNSIGNED PCM\",8,0,(7200,8000),(0),(0)",
            "131,\"ULAW\",8,0,(7200,8000),(0),(0)",
            "132,\"ALAW\",8,0,(7200,8000),(0),(0)",
            "133,\"LINEAR\",16,0,(7200,8000),(0),(0)",
        ];
        let read = chosen(&usr);
        assert_eq!(read[0], ("AT+VSM=131,8000".to_owned(), SampleFormat::Ulaw));
        assert_eq!(read[1], ("AT+VSM=132,8000".to_owned(), SampleFormat::Alaw));
        assert_eq!(read.last().unwrap().1, SampleFormat::S16le);
        assert_eq!(read.len(), 6, "ADPCM of no known kind is left out: {read:?}");
        let controller = [
            "1,\"UNSIGNED PCM\",8,0,8000,0,0",
            "129,\"IMA ADPCM\",4,0,8000,0,0",
            "130,\"UNSIGNED PCM\",8,0,8000,0,00",
            "140,\"2 Bit ADPCM\",2,0,8000,0,0",
        ];
        let read = chosen(&controller);
        assert_eq!(read[0], ("AT+VSM=1,8000".to_owned(), SampleFormat::U8));
        assert_eq!(read.last().unwrap(), &("AT+VSM=129,8000".to_owned(), SampleFormat::Ima4));
        for none in [
            "+VSM=0-1,8000-8000",
            "1;CELP;1;0;(9600)",
            "2;ADPCM;2;0;(9600)",
            "",
            "+VSM:",
            "x,y,z",
            "1,\"ULAW\",8,0,(5000)",
        ] {
            assert_eq!(chosen(&[none]), [], "{none}");
        }
        assert_eq!(chosen(&["+VSM: 4;\"G.711U\";8;0;(7200-11025)"])[0].0, "AT+VSM=4,8000");
    }
}
