//! Requests within a call that are challenged (RFC 3261 section 22): REFER, UPDATE, re-INVITE and BYE, by datagram and under TLS,
//! by the far end and by a proxy. The far end is written by hand; in virtual time, restarted after every step.
#![allow(clippy::unwrap_used, reason = "tests")]

mod net;

use net::*;
use tapi::DisconnectMode;
use tsp_sip::{Account, Credentials, HoldBy, Secret};
use tspi::*;

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\nm=audio 7000 RTP/AVP 8\r\n";
const ABILITIES: &str = "Contact: <sip:200@192.0.2.2CONTACT>\nAllow: INVITE, ACK, BYE, CANCEL, UPDATE, REFER, NOTIFY\n";

/// By whom a request is challenged.
#[derive(Clone, Copy, Debug)]
enum By {
    FarEnd,
    Proxy,
}

impl By {
    fn refusal(self) -> (&'static str, &'static str, &'static str) {
        match self {
            By::FarEnd => ("401 Unauthorized", "WWW-Authenticate", "Authorization"),
            By::Proxy => ("407 Proxy Authentication Required", "Proxy-Authenticate", "Proxy-Authorization"),
        }
    }
}

/// Alice's side of a call that is up, and the far end by hand.
struct Call {
    net: Net,
    call: CallRef,
    tls: bool,
}

fn value(text: &str, name: &str) -> String {
    let begin = format!("{name}: ");
    let mut lines = text.split("\r\n");
    lines.find_map(|line| line.strip_prefix(&begin)).unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
}

impl Call {
    fn up(tls: bool, hold_by: HoldBy) -> Call {
        let mut net = Net::empty(1);
        let proxy = if tls { "192.0.2.2:5061;transport=tls" } else { BOB };
        let mut config = config(ALICE, "192.0.2.2", Some(proxy));
        let password = Secret::new("hunter2");
        let credentials = vec![Credentials { realm: Some("example.org".into()), user: "100".into(), password }];
        config.lines[0].account = Account { credentials, ..Account::default() };
        config.lines[0].calls.hold_by = hold_by;
        net.streams.scripted = vec!["192.0.2.2:5061".parse().unwrap()];
        net.add(config);
        let call = net.call(0, "200");
        net.run(100);
        let mut call = Call { net, call, tls };
        call.answer("200 OK", "", SDP);
        assert!(call.has(&Report::Answered(tapi::AnswerEvidence::Signalled)));
        assert!(call.last().starts_with("ACK "));
        call
    }

    /// What left, oldest first.
    fn sent(&self) -> Vec<String> {
        if self.tls {
            assert!(self.net.wire.is_empty(), "nothing goes in the clear: {:?}", self.net.wire);
            let written = self.net.streams.written.iter();
            return written.map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned()).collect();
        }
        self.net.raw.iter().map(|(_, text)| text.clone()).collect()
    }

    fn last(&self) -> String {
        self.sent().pop().unwrap()
    }

    fn last_request(&self, method: &str) -> String {
        self.sent().into_iter().rfind(|text| text.starts_with(&format!("{method} "))).unwrap()
    }

    /// The far end says something.
    fn say(&mut self, text: &str) {
        if !self.tls {
            return self.net.inject(0, BOB, text);
        }
        let port = self.net.streams.written[0].0;
        let (head, body) = text.split_once("\n\n").unwrap();
        let bytes = format!("{}\r\n\r\n{body}", head.replace("\r\n", "\n").replace('\n', "\r\n"));
        self.net.feed(0, Input::Bytes { port, bytes: bytes.as_bytes() });
    }

    /// The far end answers the last request.
    fn answer(&mut self, status: &str, headers: &str, body: &str) {
        let request = self.last();
        let contact = if self.tls { ":5061;transport=tls" } else { "" };
        let headers = format!("{}{headers}", ABILITIES.replace("CONTACT", contact));
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\n" };
        let to = value(&request, "To");
        let to = if to.contains(";tag=") { to } else { format!("{to};tag=r") };
        let text = format!(
            "SIP/2.0 {status}\nVia: {}\nFrom: {}\nTo: {to}\nCall-ID: {}\nCSeq: {}\n{headers}{kind}Content-Length: {}\n\n{body}",
            value(&request, "Via"),
            value(&request, "From"),
            value(&request, "Call-ID"),
            value(&request, "CSeq"),
            body.len()
        );
        self.say(&text);
    }

    /// The last request is challenged: it comes again with credentials, under the next number.
    fn challenge(&mut self, by: By, method: &str, nonce: &str) -> String {
        let first = self.last_request(method);
        let (status, header, proof) = by.refusal();
        let text =
            format!("{header}: Digest realm=\"example.org\", nonce=\"{nonce}\", qop=\"auth\", algorithm=SHA-256\n");
        self.answer(status, &text, "");
        let again = self.last_request(method);
        let number = |text: &str| value(text, "CSeq").split(' ').next().unwrap().parse::<u32>().unwrap();
        assert_eq!(number(&again), number(&first) + 1, "{by:?} {method}");
        assert!(value(&again, proof).contains(&format!("nonce=\"{nonce}\"")), "{again}");
        assert_eq!(value(&again, "Call-ID"), value(&first, "Call-ID"));
        assert_eq!(again.split("\r\n\r\n").nth(1), first.split("\r\n\r\n").nth(1), "the same body");
        again
    }

    fn has(&self, report: &Report) -> bool {
        self.net.reports(0, self.call).contains(report)
    }

    fn command(&mut self, action: Action) {
        self.net.command(0, action).unwrap();
    }

    /// It is hung up, which is challenged, too.
    fn end(mut self, by: By) {
        let call = self.call;
        self.command(Action::Drop { call, reason: None });
        self.challenge(by, "BYE", "end");
        self.answer("200 OK", "", "");
        assert_eq!(self.net.mode(0, call), Some((ReleasedBy::Local, DisconnectMode::Normal)));
        self.net.command(0, Action::CloseCall { call }).unwrap();
        self.net.run(60_000);
        assert_eq!(self.net.agents[0].sip.transactions(), 0);
    }
}

/// Each way, by each.
fn each(work: impl Fn(bool, By)) {
    for tls in [false, true] {
        for by in [By::FarEnd, By::Proxy] {
            work(tls, by);
        }
    }
}

#[test]
fn a_hold_by_re_invite_and_a_hang_up_are_proven() {
    each(|tls, by| {
        let mut call = Call::up(tls, HoldBy::Invite);
        let id = call.call;
        call.command(Action::Hold { call: id });
        let again = call.challenge(by, "INVITE", "n1");
        assert!(again.contains("a=sendonly"), "{again}");
        assert!(!call.has(&Report::Held), "not yet");
        call.answer("200 OK", "", &SDP.replace("RTP/AVP 8\r\n", "RTP/AVP 8\r\na=recvonly\r\n"));
        assert!(call.has(&Report::Held));
        let ack = call.last();
        let (_, _, proof) = by.refusal();
        assert!(ack.starts_with("ACK ") && value(&ack, proof) == value(&again, proof), "ACK repeats the proof: {ack}");
        call.end(by);
    });
}

#[test]
fn a_hold_by_update_is_proven() {
    each(|tls, by| {
        let mut call = Call::up(tls, HoldBy::Update);
        let id = call.call;
        call.command(Action::Hold { call: id });
        call.challenge(by, "UPDATE", "n1");
        call.answer("200 OK", "", &SDP.replace("RTP/AVP 8\r\n", "RTP/AVP 8\r\na=recvonly\r\n"));
        assert!(call.has(&Report::Held));
        call.end(by);
    });
}

#[test]
fn a_transfer_is_proven_and_its_news_heard() {
    each(|tls, by| {
        let mut call = Call::up(tls, HoldBy::Invite);
        let id = call.call;
        call.command(Action::BlindTransfer { call: id, to: "sip:300@192.0.2.3".into() });
        let again = call.challenge(by, "REFER", "n1");
        assert!(value(&again, "Refer-To").contains("sip:300@192.0.2.3"));
        call.answer("202 Accepted", "", "");
        let invite = call.sent()[0].clone();
        let refer = value(&again, "CSeq").split(' ').next().unwrap().to_owned();
        let fragment = "SIP/2.0 603 Decline\r\n";
        let via = if tls { "TLS 192.0.2.2:5061" } else { "UDP 192.0.2.2:5060" };
        let notify = format!(
            "NOTIFY sip:100@192.0.2.1 SIP/2.0\nVia: SIP/2.0/{via};branch=z9hG4bKn\nMax-Forwards: 70\n\
             From: {};tag=r\nTo: {}\nCall-ID: {}\nCSeq: 1 NOTIFY\n\
             Contact: <sip:200@192.0.2.2>\nEvent: refer;id={refer}\n\
             Subscription-State: terminated;reason=noresource\nContent-Type: message/sipfrag\nContent-Length: {}\n\n{fragment}",
            value(&invite, "To"),
            value(&invite, "From"),
            value(&invite, "Call-ID"),
            fragment.len()
        );
        call.say(&notify);
        assert!(call.last().starts_with("SIP/2.0 200"), "{}", call.last());
        let failed = |report: &Report| matches!(report, Report::TransferFailed { cause, .. } if cause.sip == Some(603));
        assert!(call.net.reports(0, id).iter().any(failed), "{:#?}", call.net.reports(0, id));
        call.end(by);
    });
}

#[test]
fn a_proof_that_is_not_taken_fails_the_request_and_not_the_call() {
    each(|tls, by| {
        let mut call = Call::up(tls, HoldBy::Invite);
        let id = call.call;
        let (status, header, _) = by.refusal();
        let again = format!("{header}: Digest realm=\"example.org\", nonce=\"n2\", qop=\"auth\", algorithm=SHA-256\n");
        call.command(Action::Hold { call: id });
        call.challenge(by, "INVITE", "n1");
        call.answer(status, &again, "");
        let unchanged = |report: &Report| matches!(report, Report::Unchanged { .. });
        assert!(call.net.reports(0, id).iter().any(unchanged), "{:#?}", call.net.reports(0, id));
        assert_eq!(call.net.end(0, id), None, "the call goes on");
        call.command(Action::BlindTransfer { call: id, to: "sip:300@192.0.2.3".into() });
        call.challenge(by, "REFER", "n3");
        call.answer(status, &again, "");
        let failed = |report: &Report| matches!(report, Report::TransferFailed { unsupported: false, .. });
        assert!(call.net.reports(0, id).iter().any(failed), "{:#?}", call.net.reports(0, id));
        assert_eq!(call.net.end(0, id), None);
        call.end(by);
    });
}
