//! Codecs as SDP writes them (RFC 3551 section 6, RFC 3389, RFC 4733, RFC 7587).

use tspi::media::Codec;

/// Encoding name, clock rate and channels of a codec.
pub(super) fn encoding(codec: &Codec) -> (&str, u32, u8) {
    match codec {
        Codec::Opus => ("opus", 48_000, 2),
        Codec::TelephoneEvent48 => ("telephone-event", 48_000, 1),
        other => (other.as_str(), 8_000, 1),
    }
}

/// Whether it is what people hear, and not something beside it.
pub(super) fn is_voice(codec: &Codec) -> bool {
    !matches!(codec, Codec::TelephoneEvent | Codec::TelephoneEvent48 | Codec::ComfortNoise)
}

/// Format parameters that we announce.
pub(super) fn parameters(codec: &Codec) -> Option<&'static str> {
    match codec {
        Codec::TelephoneEvent | Codec::TelephoneEvent48 => Some("0-15"),
        Codec::Opus => Some("useinbandfec=1"),
        _ => None,
    }
}

/// Whether the format parameters of telephone events name the digits 0 to 9, * and # (RFC 4733 section 2.4.1): without
/// any, events 0 to 15 are meant.
pub(super) fn has_digits(parameters: Option<&str>) -> bool {
    let Some(text) = parameters.map(|text| text.strip_prefix("events=").unwrap_or(text).trim()) else {
        return true;
    };
    let ranges: Vec<(u16, u16)> = text
        .split(',')
        .take(64)
        .filter_map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
        })
        .collect();
    (0..=11).all(|event| ranges.iter().any(|(first, last)| (*first..=*last).contains(&event)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_events_are_read() {
        for (text, digits) in [
            (None, true),
            (Some("0-15"), true),
            (Some("0-16"), true),
            (Some("events=0-15"), true),
            (Some("0-9,10,11"), true),
            (Some("0-11,66,70"), true),
            (Some("32-35"), false),
            (Some("0-9"), false),
            (Some("x"), false),
            (Some(""), false),
            (Some("99999-1"), false),
        ] {
            assert_eq!(has_digits(text), digits, "{text:?}");
        }
    }
}
