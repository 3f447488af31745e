//! Keys in session descriptions (RFC 4568).

use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use tspi::Random;
use tspi::media::{SrtpKey, SrtpSuite};

/// Suites that we offer, best known first.
const SUITES: [SrtpSuite; 5] = [
    SrtpSuite::AesCm128HmacSha1_80,
    SrtpSuite::AesCm128HmacSha1_32,
    SrtpSuite::AesCm256HmacSha1_80,
    SrtpSuite::AeadAes128Gcm,
    SrtpSuite::AeadAes256Gcm,
];
/// Most `a=crypto` lines that are read of a section.
pub(super) const MAX_CRYPTO: usize = 32;

/// One `a=crypto` line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Crypto {
    pub tag: u32,
    pub suite: SrtpSuite,
    pub key: SrtpKey,
}

impl Crypto {
    /// Reads the value of `a=crypto`. `None`: unreadable, of a suite that we have not, with a key of another length, with a
    /// master key index, with more than one key, or with session parameters that change how packets look.
    pub fn parse(value: &str) -> Option<Crypto> {
        let mut words = value.split_whitespace();
        let tag = words.next().filter(|tag| tag.len() <= 9 && tag.bytes().all(|byte| byte.is_ascii_digit()))?;
        let tag: u32 = tag.parse().ok().filter(|tag| *tag != 0)?;
        let suite = words.next()?;
        let suite = SUITES.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(suite))?;
        let (method, info) = words.next()?.split_once(':')?;
        if !method.eq_ignore_ascii_case("inline") || info.contains(';') {
            return None;
        }
        let mut parts = info.split('|');
        let key = decode(parts.next()?)?;
        // What holds a colon is a master key index: nothing here counts them.
        if parts.any(|part| part.contains(':')) || suite.key_and_salt().is_none_or(|(k, s)| k + s != key.len()) {
            return None;
        }
        let harmless = |word: &str| word.starts_with('-') || word.to_ascii_uppercase().starts_with("WSH=");
        words.all(harmless).then_some(Crypto { tag, suite, key: SrtpKey(key) })
    }

    /// A line with a key of its own.
    pub fn fresh(tag: u32, suite: SrtpSuite, random: &mut Random) -> Crypto {
        let (key, salt) = suite.key_and_salt().unwrap_or_default();
        let mut bytes = Vec::with_capacity(key + salt + 8);
        while bytes.len() < key + salt {
            bytes.extend_from_slice(&random.next_u64().to_le_bytes());
        }
        bytes.truncate(key + salt);
        Crypto { tag, suite, key: SrtpKey(bytes) }
    }

    /// One line of every suite.
    pub fn all(random: &mut Random) -> Vec<Crypto> {
        (1..).zip(SUITES).map(|(tag, suite)| Crypto::fresh(tag, suite, random)).collect()
    }

    pub fn write(&self, text: &mut String) {
        let _ = write!(text, "a=crypto:{} {} inline:{}\r\n", self.tag, self.suite, encode(&self.key.0));
    }
}

/// The lines that can be used, each tag once: of a tag that comes twice the first counts.
pub(super) fn usable(lines: &[&str]) -> Vec<Crypto> {
    let mut known: Vec<Crypto> = Vec::new();
    for crypto in lines.iter().filter_map(|line| Crypto::parse(line)) {
        if !known.iter().any(|other| other.tag == crypto.tag) {
            known.push(crypto);
        }
    }
    known
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base64 (RFC 4648 section 4), padded.
fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let letter = ALPHABET.get((bits >> (18 - 6 * at) & 63) as usize).copied().unwrap_or(b'=');
            text.push(if at <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

/// Strict but for the padding, which careless senders leave out.
fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=').as_bytes();
    if text.len() > 128 || text.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len());
    for chunk in text.chunks(4) {
        let mut bits = 0u32;
        for letter in chunk {
            bits = bits << 6 | u32::try_from(ALPHABET.iter().position(|known| known == letter)?).ok()?;
        }
        bits <<= 6 * (4 - chunk.len());
        bytes.extend(bits.to_be_bytes().iter().skip(1).take(chunk.len() - 1));
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_written_and_read_back_and_bad_ones_are_none() {
        let mut random = Random::from_number(1);
        for crypto in Crypto::all(&mut random) {
            let mut text = String::new();
            crypto.write(&mut text);
            assert_eq!(Crypto::parse(text.trim_end().strip_prefix("a=crypto:").unwrap()).unwrap(), crypto);
        }
        let key = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
        assert_eq!(decode(key).unwrap().len(), 30);
        let good = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{key}|2^20 WSH=64 -X");
        assert!(Crypto::parse(&good).is_some());
        for bad in [
            format!("0 AES_CM_128_HMAC_SHA1_80 inline:{key}"),
            format!("x AES_CM_128_HMAC_SHA1_80 inline:{key}"),
            format!("9999999999 AES_CM_128_HMAC_SHA1_80 inline:{key}"),
            format!("1 F8_128_HMAC_SHA1_80 inline:{key}"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{key}AAAA"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{}", &key[4..]),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{}!", &key[1..]),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{key}|2^20|1:4"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{key};inline:{key}"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{key} UNENCRYPTED_SRTP"),
            format!("1 AES_CM_128_HMAC_SHA1_80 uri:{key}"),
            "1 AES_CM_128_HMAC_SHA1_80".to_owned(),
            String::new(),
        ] {
            assert_eq!(Crypto::parse(&bad), None, "{bad}");
        }
        let twice = [good.as_str(), good.as_str()];
        assert_eq!(usable(&twice).len(), 1);
    }
}
