//! Challenges and answers as they stand in headers (RFC 3261 sections 20.7, 20.27, 20.28 and 20.44).

use super::digest::{Algorithm, Qop};
use crate::message::{Message, Name, split_list};
use serde::{Deserialize, Serialize};

/// Most challenges that are read of one response.
const MAX_CHALLENGES: usize = 16;
/// Longest value of a parameter that is read, in bytes.
const MAX_VALUE: usize = 1_024;

/// Who challenges: the far end (401) or a proxy on the way (407).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Side {
    Peer,
    Proxy,
}

impl Side {
    pub fn challenge(self) -> Name<'static> {
        match self {
            Side::Peer => Name::Other("WWW-Authenticate"),
            Side::Proxy => Name::Other("Proxy-Authenticate"),
        }
    }

    pub fn answer(self) -> &'static str {
        match self {
            Side::Peer => "Authorization",
            Side::Proxy => "Proxy-Authorization",
        }
    }
}

/// A challenge that we can answer. Texts are those between the quotes, escapes left in: they are hashed and sent back so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Challenge {
    pub side: Side,
    pub realm: String,
    pub nonce: String,
    pub opaque: Option<String>,
    pub algorithm: Algorithm,
    /// Whether the challenge named it: one that did not gets none back.
    pub named: bool,
    pub qop: Qop,
    pub stale: bool,
}

/// The parameters of one `Digest`, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// By the name in lower case.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The `Digest`s in one header line; other schemes are passed over. Some senders put several behind one another.
    pub fn read(line: &[u8]) -> Vec<Fields> {
        let mut found: Vec<Fields> = Vec::new();
        let mut inside = false;
        for part in split_list(line) {
            let Ok(part) = std::str::from_utf8(part) else {
                continue;
            };
            let part = part.trim();
            let (scheme, rest) = match part.split_once([' ', '\t']) {
                Some((scheme, rest)) if !scheme.contains('=') && !rest.trim_start().starts_with('=') => {
                    (Some(scheme), rest)
                }
                _ => (None, part),
            };
            if let Some(scheme) = scheme {
                inside = scheme.eq_ignore_ascii_case("Digest") && found.len() < MAX_CHALLENGES;
                if inside {
                    found.push(Fields::default());
                }
            }
            let Some((name, value)) = rest.split_once('=') else {
                continue;
            };
            let value = value.trim();
            let value = value.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(value);
            if inside
                && value.len() <= MAX_VALUE
                && let Some(fields) = found.last_mut().filter(|fields| fields.0.len() < 32)
            {
                fields.0.push((name.trim().to_ascii_lowercase(), value.to_owned()));
            }
        }
        found
    }
}

/// The challenges of a 401 or 407 that can be answered, in their order.
pub(crate) fn challenges(response: &Message<'_>) -> Vec<Challenge> {
    let mut found = Vec::new();
    for side in [Side::Peer, Side::Proxy] {
        for line in response.lines(side.challenge()) {
            found.extend(Fields::read(line).iter().filter_map(|fields| challenge(side, fields)));
        }
    }
    found.truncate(MAX_CHALLENGES);
    found
}

fn challenge(side: Side, fields: &Fields) -> Option<Challenge> {
    let (algorithm, named) = match fields.first("algorithm") {
        Some(name) => (Algorithm::parse(name)?, true),
        None => (Algorithm::MD5, false),
    };
    let qop = match fields.first("qop") {
        None => Qop::None,
        Some(list) => {
            let offers = |wanted: &str| list.split(',').any(|one| one.trim().eq_ignore_ascii_case(wanted));
            match (offers("auth"), offers("auth-int")) {
                (true, _) => Qop::Auth,
                (false, true) => Qop::AuthInt,
                (false, false) => return None,
            }
        }
    };
    Some(Challenge {
        side,
        realm: fields.first("realm")?.to_owned(),
        nonce: fields.first("nonce")?.to_owned(),
        opaque: fields.first("opaque").map(str::to_owned),
        algorithm,
        named,
        qop,
        stale: fields.first("stale").is_some_and(|value| value.eq_ignore_ascii_case("true")),
    })
}

/// A quoted text without its escapes, for comparing.
pub(crate) fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        plain.extend(if character == '\\' { rest.next() } else { Some(character) });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::scan;

    fn read(headers: &str) -> Vec<Challenge> {
        let text = format!("SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n{headers}\r\n\r\n");
        challenges(&scan(text.as_bytes()).unwrap())
    }

    #[test]
    fn challenges_are_read_in_their_order_and_unknown_ones_passed_over() {
        let found = read(
            "WWW-Authenticate: Basic realm=\"x\"\r\n\
             www-authenticate: Digest realm=\"a, \\\"b\\\"\", nonce=\"n=1\", algorithm=SHA3-256, qop=\"auth\"\r\n\
             WWW-Authenticate: Digest realm=\"a, \\\"b\\\"\",nonce=\"n=2\" , algorithm=sha-256,qop=\"auth-int,auth\",stale=TRUE\r\n\
             WWW-Authenticate: Digest realm=a, nonce=\"n3\", qop=\"token\"\r\n\
             Proxy-Authenticate: Digest realm=\"p\", nonce=\"n4\", opaque=\"\", Digest realm=\"q\", nonce=\"n5\", qop=auth-int",
        );
        let told: Vec<_> = found.iter().map(|c| (c.side, c.realm.as_str(), c.nonce.as_str(), c.qop, c.stale)).collect();
        assert_eq!(
            told,
            [
                (Side::Peer, "a, \\\"b\\\"", "n=2", Qop::Auth, true),
                (Side::Proxy, "p", "n4", Qop::None, false),
                (Side::Proxy, "q", "n5", Qop::AuthInt, false),
            ]
        );
        assert_eq!(unescaped(&found[0].realm), "a, \"b\"");
        assert_eq!((found[1].opaque.as_deref(), found[1].named), (Some(""), false));
    }
}
