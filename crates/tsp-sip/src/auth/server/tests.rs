use super::super::{Nonces, Rounds};
use super::*;
use crate::Secret;
use crate::message::scan;

fn account(password: &str) -> Account {
    let known = Credentials { realm: None, user: "alice".into(), password: Secret::new(password) };
    Account { credentials: vec![known.clone()], require_auth: vec![known], ..Account::default() }
}

fn text(authorization: &str) -> String {
    format!("INVITE sip:100@example.org SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n{authorization}\r\n")
}

struct Bench {
    gate: Gate,
    random: Random,
    nonces: Nonces,
    server: Account,
}

impl Bench {
    fn new() -> Bench {
        let mut random = Random::from_number(1);
        Bench { gate: Gate::new(&mut random), random, nonces: Nonces::default(), server: account("right") }
    }

    fn judge(&mut self, ms: u64, authorization: &str) -> Verdict {
        let text = text(authorization);
        let request = scan(text.as_bytes()).unwrap();
        self.gate.judge(Time::from_millis(ms), &mut self.random, (&self.server, "example.org"), &request)
    }

    fn challenge(&mut self, ms: u64) -> Vec<String> {
        match self.judge(ms, "") {
            Verdict::Challenge(lines) => lines,
            Verdict::Pass => panic!("passed without credentials"),
        }
    }

    /// The Authorization line that our own client makes of the challenge.
    fn answer(&mut self, challenge: &[String], client: &Account) -> String {
        let lines: String = challenge.iter().map(|line| format!("WWW-Authenticate: {line}\r\n")).collect();
        let response = format!("SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n{lines}\r\n");
        let mut rounds = Rounds::default();
        assert!(rounds.take(client, &scan(response.as_bytes()).unwrap()));
        let text = text("");
        let request = scan(text.as_bytes()).unwrap();
        let headers = rounds.headers(client, &mut self.nonces, &mut self.random, &request);
        assert_eq!(headers.len(), 1, "one answer for a realm");
        format!("{}: {}\r\n", headers[0].0, headers[0].1)
    }
}

fn is_stale(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Challenge(lines) if lines.iter().all(|line| line.contains("stale=true")))
}

#[test]
fn the_right_password_passes_once_for_each_counter() {
    let mut bench = Bench::new();
    let challenge = bench.challenge(1_000);
    assert!(challenge[0].contains("SHA-256") && challenge[1].contains("MD5"), "the better one first: {challenge:?}");
    let first = bench.answer(&challenge, &account("right"));
    assert!(first.contains("algorithm=SHA-256") && first.contains("nc=00000001"), "{first}");
    assert_eq!(bench.judge(1_100, &first), Verdict::Pass);
    assert!(is_stale(&bench.judge(1_200, &first)), "a counter that was used is refused");
    let second = bench.answer(&challenge, &account("right"));
    assert!(second.contains("nc=00000002"), "{second}");
    assert_eq!(bench.judge(1_300, &second), Verdict::Pass);
}

#[test]
fn a_wrong_password_and_an_unknown_user_get_the_same() {
    let mut bench = Bench::new();
    let challenge = bench.challenge(1_000);
    let wrong = bench.answer(&challenge, &account("wrong"));
    let mut unknown = account("right");
    unknown.credentials[0].user = "nobody".into();
    let unknown = bench.answer(&challenge, &unknown);
    for line in [wrong, unknown] {
        let verdict = bench.judge(1_100, &line);
        assert!(
            matches!(&verdict, Verdict::Challenge(lines) if lines.len() == 2) && !is_stale(&verdict),
            "{verdict:?}"
        );
    }
}

#[test]
fn a_nonce_expires_and_cannot_be_invented() {
    let mut bench = Bench::new();
    let challenge = bench.challenge(1_000);
    let good = bench.answer(&challenge, &account("right"));
    assert!(is_stale(&bench.judge(1_000 + LIFE_MS + 1, &good)));
    let forged =
        ["Digest realm=\"example.org\", nonce=\"3e8.abc.00000000000000000000000000000000\", qop=\"auth\"".into()];
    let forged = bench.answer(&forged, &account("right"));
    assert!(is_stale(&bench.judge(1_100, &forged)));
    let other = bench.challenge(1_000);
    assert_ne!(challenge, other, "two nonces of the same moment differ");
}

#[test]
fn md5_is_neither_offered_nor_taken_where_the_line_forbids_it() {
    let mut bench = Bench::new();
    let with = bench.challenge(1_000);
    bench.server.md5 = false;
    assert_eq!(bench.challenge(1_000).len(), 1);
    let weak = bench.answer(&with[1..], &account("right"));
    assert!(matches!(bench.judge(1_100, &weak), Verdict::Challenge(_)));
}

#[test]
fn an_answer_for_another_uri_is_none_for_this() {
    let mut bench = Bench::new();
    let challenge = bench.challenge(1_000);
    let good = bench.answer(&challenge, &account("right"));
    let text = text(&good).replace("INVITE sip:100@example.org", "INVITE sip:+49900@example.org");
    let request = scan(text.as_bytes()).unwrap();
    let now = Time::from_millis(1_100);
    let verdict = bench.gate.judge(now, &mut bench.random, (&bench.server, "example.org"), &request);
    assert!(matches!(verdict, Verdict::Challenge(_)));
}

#[test]
fn counters_are_bounded_and_what_was_forgotten_is_not_taken_again() {
    let mut bench = Bench::new();
    let challenge = bench.challenge(1_000);
    let first = bench.answer(&challenge, &account("right"));
    assert_eq!(bench.judge(1_001, &first), Verdict::Pass);
    for ms in 0..MAX_USED as u64 {
        assert!(bench.gate.count(Time::from_millis(10_000), 2_000 + ms, "x", 1));
    }
    assert!(bench.gate.used.len() <= MAX_USED);
    assert!(is_stale(&bench.judge(10_000, &first)));
}
