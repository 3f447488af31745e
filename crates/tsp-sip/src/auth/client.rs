//! Answering challenges (RFC 3261 sections 22.2 and 22.3).

use super::challenge::{Challenge, challenges, unescaped};
use super::digest::{self, Hash, Qop};
use crate::account::{Account, Credentials};
use crate::message::Message;
use serde::{Deserialize, Serialize};
use tspi::Random;

/// How often one request is sent again for a challenge.
const MAX_ROUNDS: u8 = 2;
/// Nonces whose use is counted, of one line.
const MAX_NONCES: usize = 16;

/// What a request has been challenged for so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rounds {
    done: u8,
    answered: Vec<Challenge>,
}

/// How often nonces were used, of one line: a server may give the same one again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Nonces(Vec<(String, u32)>);

impl Nonces {
    fn count(&mut self, nonce: &str) -> u32 {
        if let Some((_, count)) = self.0.iter_mut().find(|(known, _)| known == nonce) {
            *count = count.saturating_add(1);
            return *count;
        }
        if self.0.len() >= MAX_NONCES {
            self.0.remove(0);
        }
        self.0.push((nonce.to_owned(), 1));
        1
    }
}

impl Rounds {
    /// Takes the challenges of a response. `false`: none of them can be answered, or they were answered already, which means
    /// that the credentials are wrong.
    pub fn take(&mut self, account: &Account, response: &Message<'_>) -> bool {
        if self.done >= MAX_ROUNDS {
            return false;
        }
        let mut fresh: Vec<Challenge> = Vec::new();
        for challenge in challenges(response) {
            let same = |other: &&Challenge| other.side == challenge.side && other.realm == challenge.realm;
            let weak = challenge.algorithm.hash == Hash::Md5 && !account.md5;
            if weak || fresh.iter().any(|other| same(&other)) || credentials(account, &challenge).is_none() {
                continue;
            }
            if self.answered.iter().any(|other| same(&other)) && !challenge.stale {
                return false;
            }
            fresh.push(challenge);
        }
        if fresh.is_empty() {
            return false;
        }
        for challenge in fresh {
            self.answered.retain(|other| other.side != challenge.side || other.realm != challenge.realm);
            self.answered.push(challenge);
        }
        self.done += 1;
        true
    }

    /// The headers that answer everything the request was challenged for.
    pub fn headers(
        &self,
        account: &Account,
        nonces: &mut Nonces,
        random: &mut Random,
        request: &Message<'_>,
    ) -> Vec<(&'static str, String)> {
        let answers = self.answered.iter().filter_map(|challenge| {
            let credentials = credentials(account, challenge)?;
            let nc = match challenge.qop {
                Qop::None => 0,
                Qop::Auth | Qop::AuthInt => nonces.count(&challenge.nonce),
            };
            Some((challenge.side.answer(), answer(challenge, credentials, nc, &random.token(16), request)))
        });
        answers.collect()
    }
}

fn credentials<'a>(account: &'a Account, challenge: &Challenge) -> Option<&'a Credentials> {
    let realm = unescaped(&challenge.realm);
    account.credentials.iter().find(|known| known.realm.as_ref().is_none_or(|wanted| *wanted == realm))
}

/// The value of the header.
fn answer(challenge: &Challenge, credentials: &Credentials, nc: u32, cnonce: &str, request: &Message<'_>) -> String {
    let method = request.method().map(|method| method.as_str().to_owned()).unwrap_or_default();
    let uri = request.uri().unwrap_or_default();
    let user = credentials.user.replace('\\', "\\\\").replace('"', "\\\"");
    let nc = format!("{nc:08x}");
    let response = digest::response(&digest::Input {
        algorithm: challenge.algorithm,
        user: &user,
        realm: &challenge.realm,
        password: credentials.password.reveal(),
        nonce: &challenge.nonce,
        cnonce,
        nc: &nc,
        qop: challenge.qop,
        method: &method,
        uri,
        body: request.body,
    });
    let Challenge { realm, nonce, .. } = challenge;
    let mut text = format!(
        "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\""
    );
    if challenge.named {
        text += &format!(", algorithm={}", challenge.algorithm.name());
    }
    match challenge.qop {
        Qop::None if challenge.algorithm.session => text += &format!(", cnonce=\"{cnonce}\""),
        Qop::None => {}
        Qop::Auth => text += &format!(", qop=auth, nc={nc}, cnonce=\"{cnonce}\""),
        Qop::AuthInt => text += &format!(", qop=auth-int, nc={nc}, cnonce=\"{cnonce}\""),
    }
    if let Some(opaque) = &challenge.opaque {
        text += &format!(", opaque=\"{opaque}\"");
    }
    text
}

/// Whether challenges of this realm may be answered to somebody whom only the realm tells.
pub(crate) fn names_realm(account: &Account) -> bool {
    account.credentials.iter().all(|known| known.realm.is_some())
}
