//! Challenging requests (RFC 3261 section 22, RFC 7616 section 3.3). Nonces carry their own time and a proof that we made
//! them, so that nothing is kept of those that are never used.

use super::challenge::Fields;
use super::digest::{self, Algorithm, Hash, Qop};
use crate::account::{Account, Credentials};
use crate::message::{Message, Name, Uri};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tapi::Time;
use tspi::Random;

/// How long a nonce holds, in milliseconds.
const LIFE_MS: u64 = 300_000;
/// Nonces whose counters are kept.
const MAX_USED: usize = 4_096;

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It may go on.
    Pass,
    /// It is challenged, with these values of `WWW-Authenticate`.
    Challenge(Vec<String>),
}

/// Makes nonces and remembers their counters.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Gate {
    key: String,
    /// The highest counter of a nonce, by its time in sixteen digits and its name.
    used: BTreeMap<String, u32>,
    /// Nonces of before are not taken: their counters were forgotten.
    floor_ms: u64,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("used", &self.used.len()).finish_non_exhaustive()
    }
}

impl Gate {
    pub fn new(random: &mut Random) -> Gate {
        Gate { key: random.token(52), used: BTreeMap::new(), floor_ms: 0 }
    }

    fn nonce(&self, ms: u64, salt: &str) -> String {
        let proof = Hash::Sha256.of(&[self.key.as_bytes(), ms.to_string().as_bytes(), salt.as_bytes()]);
        format!("{ms:x}.{salt}.{}", proof.get(..32).unwrap_or(&proof))
    }

    /// When the nonce was made, if it is ours and still holds.
    fn made(&self, now: Time, nonce: &str) -> Option<u64> {
        let mut parts = nonce.splitn(3, '.');
        let ms = u64::from_str_radix(parts.next()?, 16).ok()?;
        let own = same(&self.nonce(ms, parts.next()?), nonce);
        let age = now.as_millis().checked_sub(ms)?;
        if own && age <= LIFE_MS && ms >= self.floor_ms { Some(ms) } else { None }
    }

    /// Whether a counter is new for its nonce; notes it.
    fn count(&mut self, now: Time, ms: u64, nonce: &str, nc: u32) -> bool {
        let oldest = now.as_millis().saturating_sub(LIFE_MS);
        self.used = self.used.split_off(&format!("{oldest:016x}"));
        let last = self.used.entry(format!("{ms:016x} {nonce}")).or_insert(0);
        let fresh = nc > *last;
        *last = nc.max(*last);
        while self.used.len() > MAX_USED
            && let Some((name, _)) = self.used.pop_first()
        {
            let ms = name.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok());
            self.floor_ms = ms.map_or(self.floor_ms, |ms| ms + 1);
        }
        fresh
    }

    /// Judges a request. Whether its user exists makes no difference in the answer, nor in the work.
    pub fn judge(
        &mut self,
        now: Time,
        random: &mut Random,
        (account, realm): (&Account, &str),
        request: &Message<'_>,
    ) -> Verdict {
        let mut stale = false;
        for line in request.lines(Name::Authorization) {
            for fields in Fields::read(line).iter().filter(|fields| fields.first("realm") == Some(realm)) {
                match self.proves(now, account, realm, fields, request) {
                    Proof::Good => return Verdict::Pass,
                    Proof::Stale => stale = true,
                    Proof::Bad => {}
                }
            }
        }
        let nonce = self.nonce(now.as_millis(), &random.token(16));
        let stale = if stale { ", stale=true" } else { "" };
        let md5 = account.md5.then_some("MD5");
        let algorithms = ["SHA-256"].into_iter().chain(md5);
        let value = |algorithm| {
            format!("Digest realm=\"{realm}\", nonce=\"{nonce}\", algorithm={algorithm}, qop=\"auth\"{stale}")
        };
        Verdict::Challenge(algorithms.map(value).collect())
    }

    fn proves(&mut self, now: Time, account: &Account, realm: &str, fields: &Fields, request: &Message<'_>) -> Proof {
        let field = |name| fields.first(name).unwrap_or_default();
        let Some(algorithm) = Algorithm::parse(fields.first("algorithm").unwrap_or("MD5")) else {
            return Proof::Bad;
        };
        let user = field("username");
        let known = account.require_auth.iter().find(|known| known.user == user);
        let nobody = Credentials { realm: None, user: String::new(), password: crate::Secret::new("x") };
        let method = request.method().map(|method| method.as_str().to_owned()).unwrap_or_default();
        let expected = digest::response(&digest::Input {
            algorithm,
            user,
            realm,
            password: known.unwrap_or(&nobody).password.reveal(),
            nonce: field("nonce"),
            cnonce: field("cnonce"),
            nc: field("nc"),
            qop: Qop::Auth,
            method: &method,
            uri: field("uri"),
            body: &[],
        });
        let right = same(&expected, &field("response").to_ascii_lowercase())
            & known.is_some()
            & field("qop").eq_ignore_ascii_case("auth")
            & (account.md5 || algorithm.hash != Hash::Md5)
            & (!algorithm.session)
            & means(field("uri"), request.uri().unwrap_or_default());
        if !right {
            return Proof::Bad;
        }
        let nc = u32::from_str_radix(field("nc"), 16).unwrap_or(0);
        match self.made(now, field("nonce")) {
            Some(ms) if self.count(now, ms, field("nonce"), nc) => Proof::Good,
            _ => Proof::Stale,
        }
    }
}

enum Proof {
    Good,
    /// The password is right, the nonce is not any more.
    Stale,
    Bad,
}

/// Compares without telling by its time how far two texts agree.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

/// Whether the protected URI is the request's; a proxy may have changed parameters and port.
fn means(protected: &str, requested: &str) -> bool {
    if protected == requested {
        return true;
    }
    match (Uri::parse(protected), Uri::parse(requested)) {
        (Ok(a), Ok(b)) => a.user == b.user && a.scheme == b.scheme && a.host.eq_ignore_ascii_case(b.host),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
