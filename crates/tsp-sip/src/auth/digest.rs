//! The computation (RFC 2617 section 3.2.2, RFC 7616 section 3.4, RFC 8760).

use md5::Md5;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256, Sha512_256};
use std::fmt::Write;

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Hash {
    Md5,
    Sha256,
    Sha512_256,
}

/// What a challenge or an answer calls its algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Algorithm {
    pub hash: Hash,
    /// `-sess`: the first part also depends on both nonces.
    pub session: bool,
}

impl Algorithm {
    pub const MD5: Algorithm = Algorithm { hash: Hash::Md5, session: false };

    /// By its name in any case.
    pub fn parse(name: &str) -> Option<Algorithm> {
        let upper = name.trim().to_ascii_uppercase();
        let (base, session) = match upper.strip_suffix("-SESS") {
            Some(base) => (base, true),
            None => (upper.as_str(), false),
        };
        let hash = match base {
            "MD5" => Hash::Md5,
            "SHA-256" => Hash::Sha256,
            "SHA-512-256" => Hash::Sha512_256,
            _ => return None,
        };
        Some(Algorithm { hash, session })
    }

    pub fn name(self) -> &'static str {
        match (self.hash, self.session) {
            (Hash::Md5, false) => "MD5",
            (Hash::Md5, true) => "MD5-sess",
            (Hash::Sha256, false) => "SHA-256",
            (Hash::Sha256, true) => "SHA-256-sess",
            (Hash::Sha512_256, false) => "SHA-512-256",
            (Hash::Sha512_256, true) => "SHA-512-256-sess",
        }
    }
}

impl Hash {
    /// The hash of the parts with colons between them, in lower-case hexadecimal digits.
    pub fn of(self, parts: &[&[u8]]) -> String {
        match self {
            Hash::Md5 => joined::<Md5>(parts),
            Hash::Sha256 => joined::<Sha256>(parts),
            Hash::Sha512_256 => joined::<Sha512_256>(parts),
        }
    }
}

fn joined<D: Digest>(parts: &[&[u8]]) -> String {
    let mut digest = D::new();
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            digest.update(b":");
        }
        digest.update(part);
    }
    let mut text = String::with_capacity(64);
    for byte in digest.finalize() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Quality of protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Qop {
    /// RFC 2069: no counter, no nonce of the client's.
    None,
    Auth,
    /// The body is protected too.
    AuthInt,
}

/// Everything that a response is computed from. Quoted texts are those between the quotes, escapes left in.
pub(crate) struct Input<'a> {
    pub algorithm: Algorithm,
    pub user: &'a str,
    pub realm: &'a str,
    pub password: &'a str,
    pub nonce: &'a str,
    pub cnonce: &'a str,
    pub nc: &'a str,
    pub qop: Qop,
    pub method: &'a str,
    pub uri: &'a str,
    pub body: &'a [u8],
}

/// The value of `response`.
pub(crate) fn response(input: &Input<'_>) -> String {
    let hash = input.algorithm.hash;
    let of = |parts: &[&str]| hash.of(&parts.iter().map(|part| part.as_bytes()).collect::<Vec<_>>());
    let mut secret = of(&[input.user, input.realm, input.password]);
    if input.algorithm.session {
        secret = of(&[&secret, input.nonce, input.cnonce]);
    }
    let request = match input.qop {
        Qop::AuthInt => of(&[input.method, input.uri, &hash.of(&[input.body])]),
        Qop::None | Qop::Auth => of(&[input.method, input.uri]),
    };
    match input.qop {
        Qop::None => of(&[&secret, input.nonce, &request]),
        Qop::Auth => of(&[&secret, input.nonce, input.nc, input.cnonce, "auth", &request]),
        Qop::AuthInt => of(&[&secret, input.nonce, input.nc, input.cnonce, "auth-int", &request]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mufasa<'a>(algorithm: &str, password: &'a str) -> Input<'a> {
        Input {
            algorithm: Algorithm::parse(algorithm).unwrap(),
            user: "Mufasa",
            realm: "http-auth@example.org",
            password,
            nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            nc: "00000001",
            qop: Qop::Auth,
            method: "GET",
            uri: "/dir/index.html",
            body: b"",
        }
    }

    #[test]
    fn the_examples_of_rfc_7616_section_3_9_1() {
        assert_eq!(response(&mufasa("MD5", "Circle of Life")), "8ca523f5e9506fed4657c9700eebdbec");
        assert_eq!(
            response(&mufasa("SHA-256", "Circle of Life")),
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
        );
    }

    #[test]
    fn the_example_of_rfc_2617_section_3_5() {
        let input = Input {
            realm: "testrealm@host.com",
            nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            cnonce: "0a4f113b",
            ..mufasa("md5", "Circle Of Life")
        };
        assert_eq!(response(&input), "6629fae49393a05397450978507c4ef1");
        let old = Input { qop: Qop::None, ..input };
        assert_eq!(response(&old), "670fd8c2df070c60b045671b8b24ff02");
    }

    /// The hash of the name is the one that the erratum to section 3.9.2 prints; the response was computed with another
    /// library: the section's own is SHA-512 cut short, which is something else.
    #[test]
    fn sha_512_256_is_not_sha_512_cut_short() {
        assert_eq!(Hash::Sha512_256.of(&[b"abc"]), "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23");
        let input = Input {
            user: "J\u{e4}s\u{f8}n Doe",
            realm: "api@example.org",
            nonce: "5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
            cnonce: "NTg6RKcb9boFIAS3KrFK9BGeh+niz/sm",
            uri: "/doe.json",
            ..mufasa("SHA-512-256", "Secret, or not?")
        };
        assert_eq!(
            Hash::Sha512_256.of(&[input.user.as_bytes(), b"api@example.org"]),
            "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"
        );
        assert_eq!(response(&input), "7a4e1192babbba02e91182d2895bfdbf7adafc6e48d4e517ca301974843d840c");
    }

    #[test]
    fn a_session_and_a_protected_body_change_the_response() {
        let plain = mufasa("MD5", "x");
        let sess = mufasa("MD5-sess", "x");
        // Computed by hand from the definitions: H(H(H(A1):nonce:cnonce):nonce:nc:cnonce:qop:H(A2)).
        let a1 = Hash::Md5.of(&[b"Mufasa:http-auth@example.org:x"]);
        let a1 = Hash::Md5.of(&[a1.as_bytes(), plain.nonce.as_bytes(), plain.cnonce.as_bytes()]);
        let a2 = Hash::Md5.of(&[b"GET:/dir/index.html"]);
        let by_hand = format!("{a1}:{}:00000001:{}:auth:{a2}", plain.nonce, plain.cnonce);
        assert_eq!(response(&sess), Hash::Md5.of(&[by_hand.as_bytes()]));
        let int = Input { qop: Qop::AuthInt, body: b"v=0", ..mufasa("MD5", "x") };
        let other = Input { qop: Qop::AuthInt, body: b"v=1", ..mufasa("MD5", "x") };
        assert_ne!(response(&int), response(&other));
        assert_ne!(response(&int), response(&plain));
    }

    #[test]
    fn algorithms_by_their_names() {
        for name in ["MD5", "MD5-sess", "SHA-256", "SHA-256-sess", "SHA-512-256", "SHA-512-256-sess"] {
            assert_eq!(Algorithm::parse(name).unwrap().name(), name);
            assert_eq!(Algorithm::parse(&name.to_lowercase()).unwrap().name(), name);
        }
        assert_eq!(Algorithm::parse("AKAv1-MD5"), None);
    }
}
