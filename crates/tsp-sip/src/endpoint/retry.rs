//! Requests that are sent again with credentials (RFC 3261 section 22).

use super::{Endpoint, Owner};
use crate::auth::{Rounds, names_realm};
use crate::message::{Draft, Message, Method, Name, Octets, scan};
use crate::transport::Peer;
use tapi::Time;

/// A request that was answered with 401 or 407.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Challenged {
    pub owner: Owner,
    pub to: Peer,
    pub request: Octets,
    pub rounds: Rounds,
}

/// The same request with credentials.
pub(crate) struct Again {
    pub owner: Owner,
    pub method: Method,
    pub branch: String,
    pub to: Peer,
    pub bytes: Vec<u8>,
    pub rounds: Rounds,
    pub proofs: Octets,
}

impl Endpoint {
    /// Sends a challenged request again with credentials, under the same name; `number` gives its new number out of the old
    /// one. `false`: it cannot be, and the response is final.
    pub fn answer_challenge(
        &mut self,
        now: Time,
        (tx, challenged): (u64, &Challenged),
        (response, from): (&Message<'_>, Peer),
        number: impl FnOnce(u32) -> Option<u32>,
    ) -> bool {
        let again = self.proven(challenged, response, from, number);
        let Some(again) = again else {
            return false;
        };
        self.begin_again(now, tx, again);
        true
    }

    fn proven(
        &mut self,
        challenged: &Challenged,
        response: &Message<'_>,
        from: Peer,
        number: impl FnOnce(u32) -> Option<u32>,
    ) -> Option<Again> {
        let Challenged { owner, to, request, rounds } = challenged;
        let line = self.lines.get_mut(owner.line as usize)?;
        let account = &line.config.account;
        // Credentials are for those that the configuration names: others could have them guessed at leisure.
        if from.ip().to_canonical() != to.ip().to_canonical() || !line.is_target(to.ip()) && !names_realm(account) {
            return None;
        }
        let mut rounds = rounds.clone();
        if account.credentials.is_empty() || !rounds.take(account, response) {
            return None;
        }
        let message = scan(&request.0).ok()?;
        let cseq = message.cseq()?;
        let number = number(cseq.number)?;
        let headers = rounds.headers(account, &mut line.reach.nonces, &mut self.random, &message);
        let branch = ["z9hG4bK", &self.random.token(20)].concat();
        let via = String::from_utf8_lossy(message.first(Name::Via)?).replace(message.via()?.branch()?, &branch);
        let mut proofs = Vec::new();
        for (name, value) in &headers {
            proofs.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        let bytes = written(&message, &via, &format!("{number} {}", cseq.method), &proofs)?;
        let (owner, to, proofs) = (*owner, *to, proofs.into());
        Some(Again { owner, method: cseq.method, branch, to, bytes, rounds, proofs })
    }
}

/// The request with another Via, another number and these credentials in place of its own.
fn written(request: &Message<'_>, via: &str, cseq: &str, proofs: &[u8]) -> Option<Vec<u8>> {
    let mut draft = Draft::request(&request.method()?, request.uri()?).header("Via", via);
    for header in &request.headers {
        match header.name {
            Name::Via | Name::Authorization | Name::ProxyAuthorization | Name::ContentType | Name::ContentLength => {}
            Name::CSeq => draft = draft.header("CSeq", cseq).raw(proofs),
            _ => draft.push(header.name.as_str(), &header.value),
        }
    }
    let kind = request.text(Name::ContentType);
    Some(draft.finish(kind.map(|kind| (kind, request.body))))
}
