//! Lines with accounts against a registrar that a test scripts answer by answer, in virtual time, restarted after every step.
#![allow(clippy::unwrap_used, clippy::too_many_lines, reason = "tests")]

mod net;

use net::*;
use tapi::{ErrorCode, Service};
use tsp_sip::{Account, Config, Credentials, Mwi, Register, Secret};
use tspi::*;

const REGISTRAR: &str = "192.0.2.2:5060";
const CHALLENGE: &str = "WWW-Authenticate: Digest realm=\"example.org\", nonce=\"n1\", qop=\"auth\", algorithm=MD5\n";

fn credentials(realm: Option<&str>) -> Vec<Credentials> {
    let realm = realm.map(str::to_owned);
    vec![Credentials { realm, user: "100".into(), password: Secret::new("hunter2") }]
}

fn registering() -> Account {
    let register = Register { registrar: Some(REGISTRAR.into()), ..Register::default() };
    Account { register: Some(register), credentials: credentials(None), ..Account::default() }
}

fn with(account: Account) -> Config {
    let mut config = config(ALICE, "198.51.100.1", None);
    config.lines[0].account = account;
    config
}

/// An agent with the account. Its first request has left when this returns.
fn start(account: Account) -> Net {
    let mut net = Net::empty(1);
    net.add(with(account));
    net
}

/// Whole texts that the agent sent.
fn texts(net: &Net) -> Vec<String> {
    let events = net.agents[0].events.iter();
    events
        .filter_map(|event| match event {
            Event::Trace { entry, .. } if entry.sent => entry.text.clone(),
            _ => None,
        })
        .collect()
}

/// The last datagram itself: credentials are cut out of traces.
fn last(net: &Net) -> String {
    net.raw.last().map(|(_, text)| text.clone()).unwrap_or_default()
}

fn value(text: &str, name: &str) -> String {
    let begin = format!("{name}: ");
    let line = text.lines().find(|line| line.starts_with(&begin)).unwrap_or_else(|| panic!("no {name} in {text}"));
    line[begin.len()..].to_owned()
}

/// The answer to the agent's last request, from the registrar.
fn answer(net: &mut Net, status: &str, headers: &str) {
    answer_from(net, REGISTRAR, status, headers);
}

fn answer_from(net: &mut Net, from: &str, status: &str, headers: &str) {
    answer_to(net, &last(net), from, status, headers);
}

fn answer_to(net: &mut Net, request: &str, from: &str, status: &str, headers: &str) {
    let text = format!(
        "SIP/2.0 {status}\nVia: {}\nFrom: {}\nTo: {};tag=r\nCall-ID: {}\nCSeq: {}\n{headers}Content-Length: 0\n\n",
        value(request, "Via"),
        value(request, "From"),
        value(request, "To").split(";tag").next().unwrap(),
        value(request, "Call-ID"),
        value(request, "CSeq"),
    );
    net.inject(0, from, &text);
}

fn bind(net: &mut Net, seconds: u32) {
    answer(net, "200 OK", &format!("Contact: <sip:100@192.0.2.1:5060>;expires={seconds}\n"));
}

fn service(net: &Net) -> Service {
    let told = net.agents[0].events.iter().rev().find_map(|event| match event {
        Event::LineChanged { change: LineChange::Service(service), .. } => Some(service.clone()),
        Event::LineAdded { description, .. } => Some(description.service.clone()),
        _ => None,
    });
    told.unwrap()
}

fn reason(net: &Net) -> String {
    match service(net) {
        Service::Out { reason } => reason,
        Service::In => panic!("the line is in service"),
    }
}

fn registers(net: &Net) -> Vec<u64> {
    net.sent(0, "REGISTER")
}

/// The number of a header, `CSeq: 3 REGISTER`.
fn cseq(text: &str) -> u32 {
    value(text, "CSeq").split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_line_is_out_of_service_until_it_is_bound_and_says_why() {
    let mut net = start(registering());
    assert_eq!(reason(&net), "not registered yet");
    let request = last(&net);
    assert!(request.starts_with("REGISTER sip:example.org SIP/2.0\r\n"), "{request}");
    assert_eq!(value(&request, "To"), "<sip:100@example.org>");
    assert_eq!(value(&request, "Contact"), "<sip:100@192.0.2.1:5060>;expires=3600");
    assert_eq!(value(&request, "Supported"), "path");
    let to = net.command(0, make_call("200"));
    assert_eq!(to.unwrap_err().code, ErrorCode::InvalLineState);
    bind(&mut net, 3_600);
    assert_eq!(service(&net), Service::In);
}

fn make_call(to: &str) -> Action {
    Action::MakeCall { line: LineRef(0), to: to.into(), params: CallParams::default(), media: rtp(1) }
}

#[test]
fn a_challenge_is_answered_and_the_password_is_in_no_trace() {
    let mut net = start(registering());
    let first = last(&net);
    answer(&mut net, "401 Unauthorized", CHALLENGE);
    let second = last(&net);
    assert_eq!(cseq(&second), cseq(&first) + 1);
    assert_eq!(value(&second, "Call-ID"), value(&first, "Call-ID"));
    assert_ne!(value(&second, "Via"), value(&first, "Via"));
    let proof = value(&second, "Authorization");
    for part in ["username=\"100\"", "realm=\"example.org\"", "uri=\"sip:example.org\"", "qop=auth", "nc=00000001"] {
        assert!(proof.contains(part), "{part} in {proof}");
    }
    bind(&mut net, 3_600);
    assert_eq!(service(&net), Service::In);
    let kept = texts(&net).concat();
    assert!(!kept.contains("response=") && kept.contains("Authorization: [cut]"), "{kept}");
    assert!(!format!("{:?}", net.agents[0].sip).contains("hunter2"));
    // The same nonce again is counted up.
    net.run(3_240_100);
    answer(&mut net, "401 Unauthorized", CHALLENGE);
    assert!(value(&last(&net), "Authorization").contains("nc=00000002"));
}

#[test]
fn a_wrong_password_stops_at_once_and_is_said() {
    let mut net = start(registering());
    answer(&mut net, "401 Unauthorized", CHALLENGE);
    answer(&mut net, "401 Unauthorized", &CHALLENGE.replace("n1", "n2"));
    assert_eq!(registers(&net).len(), 2, "no third attempt");
    assert!(reason(&net).contains("refuses our password: 401 Unauthorized"), "{}", reason(&net));
    net.run(100_000);
    assert_eq!(registers(&net).len(), 2, "what only a person can mend is not tried in a loop");
    net.run(150_000);
    assert!(registers(&net).len() > 2, "but it is tried again");
}

#[test]
fn a_stale_nonce_is_worth_one_more_round() {
    let mut net = start(registering());
    answer(&mut net, "401 Unauthorized", CHALLENGE);
    answer(&mut net, "401 Unauthorized", &CHALLENGE.replace("\"n1\"", "\"n2\", stale=true"));
    assert!(value(&last(&net), "Authorization").contains("nonce=\"n2\""));
    answer(&mut net, "401 Unauthorized", &CHALLENGE.replace("\"n1\"", "\"n3\", stale=true"));
    assert_eq!(registers(&net).len(), 3, "two rounds and no more");
    assert!(reason(&net).contains("401"));
}

#[test]
fn a_proxy_and_the_registrar_are_both_told() {
    let mut net = start(registering());
    let proxy = "Proxy-Authenticate: Digest realm=\"proxy\", nonce=\"p1\"\n";
    answer(&mut net, "407 Proxy Authentication Required", proxy);
    answer(&mut net, "401 Unauthorized", CHALLENGE);
    let request = last(&net);
    assert!(value(&request, "Proxy-Authorization").contains("realm=\"proxy\""));
    assert!(value(&request, "Authorization").contains("realm=\"example.org\""));
    assert_eq!(cseq(&request), 3);
}

#[test]
fn the_first_algorithm_that_we_know_is_taken() {
    let mut net = start(registering());
    let lines = CHALLENGE.replace("MD5", "SHA3-256") + &CHALLENGE.replace("MD5", "SHA-256") + CHALLENGE;
    answer(&mut net, "401 Unauthorized", &lines);
    let proof = value(&last(&net), "Authorization");
    assert!(proof.contains("algorithm=SHA-256"), "{proof}");
    let mut net = start(Account { md5: false, ..registering() });
    answer(&mut net, "401 Unauthorized", CHALLENGE);
    assert_eq!(registers(&net).len(), 1, "MD5 is not good enough here");
}

#[test]
fn strangers_and_other_realms_get_no_credentials() {
    let mut net = start(registering());
    answer_from(&mut net, "203.0.113.66:5060", "401 Unauthorized", CHALLENGE);
    assert_eq!(registers(&net).len(), 1, "a challenge from elsewhere");
    let mut net = start(Account { credentials: credentials(Some("example.org")), ..registering() });
    answer(&mut net, "401 Unauthorized", &CHALLENGE.replace("example.org", "evil.example"));
    assert_eq!(registers(&net).len(), 1, "a challenge of another realm");
    assert!(reason(&net).contains("refuses our password"));
    // A call to somebody whom only the caller named.
    let mut net = Net::empty(1);
    net.add(with(Account { credentials: credentials(None), ..Account::default() }));
    net.command(0, make_call("sip:x@203.0.113.66")).unwrap();
    answer_from(&mut net, "203.0.113.66:5060", "401 Unauthorized", CHALLENGE);
    assert_eq!(net.sent(0, "INVITE").len(), 1);
}

#[test]
fn refresh_comes_before_the_end_and_the_contact_goes_before_the_header() {
    let mut net = start(registering());
    let others =
        "Contact: <sip:100@192.0.2.77:5060>;expires=9000, \"x\" <sip:100@192.0.2.1>;expires=600\nExpires: 3600\n";
    answer(&mut net, "200 OK", others);
    let bound = net.now.as_millis();
    let call_id = value(&last(&net), "Call-ID");
    net.run(539_900);
    assert_eq!(registers(&net).len(), 1);
    net.run(200);
    assert_eq!(registers(&net)[1] - bound, 540_000);
    assert_eq!((cseq(&last(&net)), value(&last(&net), "Call-ID")), (2, call_id), "one Call-ID, a rising number");
    assert_eq!(service(&net), Service::In, "while it is renewed it holds");
    bind(&mut net, 60);
    net.run(30_100);
    assert_eq!(registers(&net).len(), 3, "half of a short time is left");
}

#[test]
fn a_contact_that_the_registrar_does_not_list_is_not_bound() {
    let mut net = start(registering());
    answer(&mut net, "200 OK", "Contact: <sip:100@192.0.2.77>;expires=3600\n");
    assert!(reason(&net).contains("does not list our Contact"), "{}", reason(&net));
    let mut net = start(registering());
    answer(&mut net, "200 OK", "Expires: 1800\n");
    assert_eq!(service(&net), Service::In, "one that lists nothing is believed");
    net.run(1_619_900);
    assert_eq!(registers(&net).len(), 1);
    net.run(200);
    assert_eq!(registers(&net).len(), 2);
}

#[test]
fn a_longer_time_is_asked_for_once_it_was_told() {
    let mut net = start(registering());
    answer(&mut net, "423 Interval Too Brief", "Min-Expires: 7200\n");
    assert_eq!(value(&last(&net), "Expires"), "7200");
    bind(&mut net, 7_200);
    assert_eq!(service(&net), Service::In);
    let mut net = start(registering());
    answer(&mut net, "423 Interval Too Brief", "Min-Expires: 100\n");
    assert!(reason(&net).contains("423"), "one that contradicts itself is a failure");
}

#[test]
fn a_redirection_is_followed_and_forgotten_after_a_failure() {
    let mut net = start(registering());
    answer(&mut net, "302 Moved Temporarily", "Contact: <sip:192.0.2.3:5070>\n");
    let (_, _, to, line) = net.wire.last().unwrap().clone();
    assert_eq!((to.to_string().as_str(), line.as_str()), ("192.0.2.3:5070", "REGISTER sip:192.0.2.3 SIP/2.0"));
    answer_from(&mut net, "192.0.2.3:5070", "401 Unauthorized", CHALLENGE);
    assert_eq!(registers(&net).len(), 2, "no credentials without a realm for one that was not configured");
    net.run(1_900_000);
    let back = net.wire.iter().filter(|(_, _, to, _)| to.to_string() == REGISTRAR).count();
    assert!(back > 1, "the configured registrar is asked again");
}

#[test]
fn a_redirection_in_circles_ends() {
    let mut net = start(registering());
    for _ in 0..10 {
        answer(&mut net, "301 Moved Permanently", &format!("Contact: <sip:{REGISTRAR}>\n"));
    }
    assert!(registers(&net).len() <= 6, "{}", registers(&net).len());
    assert!(reason(&net).contains("301"));
}

#[test]
fn forbidden_waits_long_and_retry_after_is_obeyed() {
    let mut net = start(registering());
    answer(&mut net, "403 Forbidden", "");
    assert!(reason(&net).contains("forbids it: 403 Forbidden"));
    net.run(119_000);
    assert_eq!(registers(&net).len(), 1);
    let mut net = start(registering());
    answer(&mut net, "503 Service Unavailable", "Retry-After: 77 (maintenance)\n");
    assert!(reason(&net).contains("503"));
    let from = net.now.as_millis();
    net.run(76_900);
    assert_eq!(registers(&net).len(), 1);
    net.run(200);
    assert_eq!(registers(&net)[1] - from, 77_000);
}

#[test]
fn silence_is_never_given_up_and_the_waits_grow_to_half_an_hour() {
    let mut net = start(registering());
    let day = 86_400_000;
    net.fate = Box::new(|_, _, _| None);
    net.run(32_100);
    assert!(reason(&net).contains("no answer from the registrar 192.0.2.2"), "{}", reason(&net));
    net.run(day);
    let mut begins: Vec<u64> = registers(&net);
    // Attempts, without their repetitions: each lasts 32 s.
    begins.dedup_by(|later, earlier| *later - *earlier <= 32_000);
    let waits: Vec<u64> = begins.windows(2).map(|pair| pair[1] - pair[0]).filter(|wait| *wait > 4_000).collect();
    assert!(waits.iter().all(|wait| *wait <= 1_800_000 + 33_000), "{waits:?}");
    assert!(waits.iter().rev().take(10).all(|wait| *wait >= 900_000 - 33_000), "{waits:?}");
    assert!(waits.len() > 40, "{}", waits.len());
    // It heals by itself.
    net.fate = prompt();
    let before = registers(&net).len();
    while registers(&net).len() == before {
        net.run(10_000);
    }
    bind(&mut net, 3_600);
    assert_eq!(service(&net), Service::In);
}

#[test]
fn a_failed_renewal_is_told_at_once() {
    let mut net = start(registering());
    bind(&mut net, 600);
    net.run(540_100);
    answer(&mut net, "500 Server Internal Error", "");
    assert!(reason(&net).contains("500"), "{}", reason(&net));
    net.run(31_000);
    bind(&mut net, 600);
    assert_eq!(service(&net), Service::In);
}

#[test]
fn another_public_address_becomes_the_contact_and_the_old_one_goes() {
    let mut net = start(registering());
    let request = last(&net);
    let seen = value(&request, "Via").replace(";rport", ";received=203.0.113.1;rport=40000");
    let respond = |net: &mut Net, contact: &str| {
        let request = last(net);
        let via = value(&request, "Via").replace(";rport", ";received=203.0.113.1;rport=40000");
        let text = format!(
            "SIP/2.0 200 OK\nVia: {via}\nFrom: {}\nTo: {};tag=r\nCall-ID: {}\nCSeq: {}\nContact: {contact};expires=600\n\
             Content-Length: 0\n\n",
            value(&request, "From"),
            value(&request, "To"),
            value(&request, "Call-ID"),
            value(&request, "CSeq"),
        );
        net.inject(0, REGISTRAR, &text);
    };
    assert!(seen.contains("203.0.113.1"));
    respond(&mut net, "<sip:100@192.0.2.1:5060>");
    let again = last(&net);
    let contacts: Vec<&str> = again.lines().filter(|line| line.starts_with("Contact:")).collect();
    assert_eq!(
        contacts,
        ["Contact: <sip:100@203.0.113.1:40000>;expires=3600", "Contact: <sip:100@192.0.2.1:5060>;expires=0"]
    );
    respond(&mut net, "<sip:100@203.0.113.1:40000>");
    assert_eq!((registers(&net).len(), service(&net)), (2, Service::In));
    net.command(0, make_call("200")).unwrap();
    assert_eq!(value(&last(&net), "Contact"), "<sip:100@203.0.113.1:40000>");
}

#[test]
fn calls_take_the_registrars_route_and_come_from_its_address() {
    let mut net = start(registering());
    let routes =
        "Contact: <sip:100@192.0.2.1>;expires=600\nService-Route: <sip:192.0.2.2;lr>, <sip:core.example.org;lr>\n";
    answer(&mut net, "200 OK", routes);
    net.command(0, make_call("+4930123")).unwrap();
    let invite = last(&net);
    let sent: Vec<&str> = invite.lines().filter(|line| line.starts_with("Route:")).collect();
    assert_eq!(sent, ["Route: <sip:192.0.2.2;lr>", "Route: <sip:core.example.org;lr>"]);
    assert_eq!(net.wire.last().unwrap().2.to_string(), REGISTRAR, "calls go where the line registers");
    net.inject(0, "192.0.2.2:5060", &invite_text("in", ""));
    net.offered(0);
}

fn invite_text(branch: &str, headers: &str) -> String {
    let sdp = "v=0\r\no=- 1 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\nm=audio 7000 RTP/AVP 0\r\n";
    format!(
        "INVITE sip:100@example.org SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bK{branch}\nMax-Forwards: 70\n\
         From: <sip:200@example.org>;tag={branch}\nTo: <sip:100@example.org>\nCall-ID: {branch}\nCSeq: 1 INVITE\n\
         Contact: <sip:200@192.0.2.2>\n{headers}Content-Type: application/sdp\nContent-Length: {}\n\n{sdp}",
        sdp.len()
    )
}

#[test]
fn a_stop_removes_the_binding() {
    let mut net = start(registering());
    bind(&mut net, 3_600);
    let id = CommandId(99);
    net.feed(0, Input::Command(Command { id, action: Action::Shutdown }));
    let request = last(&net);
    assert!(request.starts_with("REGISTER") && value(&request, "Expires") == "0", "{request}");
    let stopped =
        |net: &Net| net.agents[0].events.iter().any(|event| matches!(event, Event::Reply { id: it, .. } if *it == id));
    assert!(!stopped(&net), "the stop waits for the answer");
    answer(&mut net, "401 Unauthorized", CHALLENGE);
    assert!(last(&net).contains("Authorization: Digest"));
    answer(&mut net, "200 OK", "");
    assert!(stopped(&net));
    assert_eq!(reason(&net), "stopped");
}

#[test]
fn flows_and_whole_domains_are_asked_for_by_configuration() {
    let instance = Some("urn:uuid:00000000-0000-1000-8000-000a95a0e128".to_owned());
    let register = Register { registrar: Some(REGISTRAR.into()), instance, ..Register::default() };
    let mut net = start(Account { register: Some(register), ..Account::default() });
    let contact = value(&last(&net), "Contact");
    let flow = ";reg-id=1;+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000a95a0e128>\"";
    assert!(contact.contains(flow), "{contact}");
    answer(&mut net, "439 First Hop Lacks Outbound Support", "");
    assert!(!value(&last(&net), "Contact").contains("reg-id"));
    let register = Register { registrar: Some(REGISTRAR.into()), bulk: true, ..Register::default() };
    let mut net = start(Account { register: Some(register), ..Account::default() });
    let request = last(&net);
    assert_eq!(value(&request, "Contact"), "<sip:192.0.2.1:5060;bnc>;expires=3600");
    assert_eq!((value(&request, "Require"), value(&request, "Proxy-Require")), ("gin".into(), "gin".into()));
    answer(&mut net, "200 OK", "Contact: <sip:192.0.2.1:5060;bnc>;expires=7200\n");
    assert_eq!(service(&net), Service::In);
}

#[test]
fn a_call_is_challenged_and_its_bye_too() {
    let account = Account { credentials: credentials(None), ..Account::default() };
    let mut config = config(ALICE, "192.0.2.2", Some(BOB));
    config.lines[0].account = account;
    let mut net = Net::empty(1);
    net.add(config);
    let call = net.call(0, "200");
    answer(&mut net, "407 Proxy Authentication Required", &CHALLENGE.replace("WWW", "Proxy"));
    let [.., ack, again] = &net.raw[..] else { panic!() };
    assert!(ack.1.starts_with("ACK ") && again.1.starts_with("INVITE "), "{} {}", ack.1, again.1);
    let again = again.1.clone();
    assert_eq!(value(&again, "CSeq"), "2 INVITE");
    assert!(again.contains("m=audio") && again.contains("Proxy-Authorization: Digest"), "{again}");
    let sdp = "Contact: <sip:200@192.0.2.2>\nContent-Type: application/sdp\n";
    let body = "v=0\r\no=- 1 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\nm=audio 7000 RTP/AVP 8\r\n";
    let ok = format!(
        "SIP/2.0 200 OK\nVia: {}\nFrom: {}\nTo: <sip:200@example.org>;tag=r\nCall-ID: {}\nCSeq: 2 INVITE\n{sdp}\
         Content-Length: {}\n\n{body}",
        value(&again, "Via"),
        value(&again, "From"),
        value(&again, "Call-ID"),
        body.len()
    );
    net.inject(0, BOB, &ok);
    assert!(net.reports(0, call).iter().any(|report| matches!(report, Report::Answered(_))));
    let ack = last(&net);
    assert_eq!(value(&ack, "CSeq"), "2 ACK");
    assert_eq!(value(&ack, "Proxy-Authorization"), value(&again, "Proxy-Authorization"), "ACK repeats the credentials");
    net.command(0, Action::Drop { call, reason: None }).unwrap();
    assert_eq!(value(&last(&net), "CSeq"), "3 BYE");
    answer(&mut net, "407 Proxy Authentication Required", &CHALLENGE.replace("WWW", "Proxy"));
    let bye = last(&net);
    assert_eq!(value(&bye, "CSeq"), "4 BYE");
    assert!(value(&bye, "Proxy-Authorization").contains("nc=00000002"));
    answer(&mut net, "200 OK", "");
    net.assert_nothing_left();
}

#[test]
fn a_call_that_was_dropped_is_not_sent_again_for_a_challenge() {
    let mut config = config(ALICE, "192.0.2.2", Some(BOB));
    config.lines[0].account = Account { credentials: credentials(None), ..Account::default() };
    let mut net = Net::empty(1);
    net.add(config);
    let call = net.call(0, "200");
    net.command(0, Action::Drop { call, reason: None }).unwrap();
    answer(&mut net, "401 Unauthorized", CHALLENGE);
    assert_eq!(net.sent(0, "INVITE").len(), 1);
    net.assert_nothing_left();
}

#[test]
fn a_call_whose_password_is_wrong_ends_with_the_status() {
    let mut config = config(ALICE, "192.0.2.2", Some(BOB));
    config.lines[0].account = Account { credentials: credentials(None), ..Account::default() };
    let mut net = Net::empty(1);
    net.add(config);
    let call = net.call(0, "200");
    for nonce in 0..5 {
        if !last(&net).starts_with("INVITE") {
            break;
        }
        answer(&mut net, "401 Unauthorized", &CHALLENGE.replace("n1", &format!("n{nonce}")));
    }
    assert_eq!(net.sent(0, "INVITE").len(), 2, "no loop");
    assert_eq!(net.end(0, call).unwrap().1.sip, Some(401));
    net.assert_nothing_left();
}

#[test]
fn callers_prove_who_they_are_where_the_line_asks() {
    let mut net = Net::empty(1);
    let known = credentials(None);
    let mut bob = config(BOB, "192.0.2.1", None);
    bob.lines[0].account.require_auth = known.clone();
    let mut alice = config(ALICE, "192.0.2.2", Some(BOB));
    alice.lines[0].account.credentials = known;
    net.add(alice);
    net.add(bob);
    let (alice, _) = net.connected();
    assert_eq!(net.sent(1, "SIP/2.0 401").len(), 1);
    assert_eq!(net.sent(0, "INVITE").len(), 2);
    net.command(0, Action::Drop { call: alice, reason: None }).unwrap();
    net.run(1_000);
    net.assert_nothing_left();
    // Without the password nobody hears of the call.
    net.agents.clear();
    net.add(config(ALICE, "192.0.2.2", Some(BOB)));
    let mut bob = config(BOB, "192.0.2.1", None);
    bob.lines[0].account.require_auth = credentials(None);
    net.add(bob);
    let call = net.call(0, "200");
    net.run(1_000);
    assert_eq!(net.end(0, call).unwrap().1.sip, Some(401));
    assert!(!net.agents[1].events.iter().any(|event| matches!(event, Event::NewCall { .. })));
}

fn trunk(account: Account) -> Net {
    let mut config = config(ALICE, "192.0.2.2", Some(BOB));
    config.lines[0].account = account;
    let mut net = Net::empty(1);
    net.add(config);
    net
}

#[test]
fn a_peer_is_probed_and_its_state_is_told_within_one_probe() {
    let mut net = trunk(Account { qualify_s: Some(60), ..Account::default() });
    assert!(reason(&net).contains("OPTIONS"));
    assert!(last(&net).starts_with("OPTIONS sip:example.org"));
    answer(&mut net, "404 Not Found", "");
    assert_eq!(service(&net), Service::In, "who refuses is there");
    net.run(60_000);
    answer(&mut net, "503 Service Unavailable", "Retry-After: 90\n");
    assert!(reason(&net).contains("503"), "{}", reason(&net));
    let probes = net.sent(0, "OPTIONS").len();
    net.run(89_000);
    assert_eq!(net.sent(0, "OPTIONS").len(), probes);
    net.run(1_100);
    answer(&mut net, "200 OK", "");
    assert_eq!(service(&net), Service::In);
    net.run(64_100);
    assert_eq!(reason(&net), "the peer does not answer OPTIONS");
    net.run(60_000);
    answer(&mut net, "200 OK", "");
    assert_eq!(service(&net), Service::In, "it heals");
}

#[test]
fn a_registrar_that_was_gone_is_asked_for_the_binding_as_soon_as_it_is_back() {
    let last_of = |net: &Net, method: &str| {
        let mut sent = net.raw.iter().rev().map(|(_, text)| text.clone());
        sent.find(|text| text.starts_with(method)).unwrap()
    };
    let bound = |net: &mut Net| {
        let request = last_of(net, "REGISTER");
        answer_to(net, &request, REGISTRAR, "200 OK", "Contact: <sip:100@192.0.2.1:5060>;expires=3600\n");
    };
    let alive = |net: &mut Net| {
        let request = last_of(net, "OPTIONS");
        answer_to(net, &request, REGISTRAR, "200 OK", "");
    };
    let mut net = start(Account { qualify_s: Some(60), ..registering() });
    bound(&mut net);
    alive(&mut net);
    assert_eq!(service(&net), Service::In);
    net.run(64_100);
    assert_eq!(reason(&net), "the peer does not answer OPTIONS");
    let before = registers(&net).len();
    net.run(60_000);
    alive(&mut net);
    assert_eq!(registers(&net).len(), before + 1, "it may have forgotten us, and the hour is not over");
    assert!(reason(&net).contains("binding"), "{}", reason(&net));
    bound(&mut net);
    assert_eq!(service(&net), Service::In);
    net.run(60_000);
    alive(&mut net);
    assert_eq!(registers(&net).len(), before + 1, "while it answers it is left alone");
}

#[test]
fn a_peer_that_asks_to_wait_is_left_alone_for_so_long() {
    let mut net = trunk(Account::default());
    let call = net.call(0, "200");
    answer(&mut net, "503 Service Unavailable", "Retry-After: 20\n");
    assert_eq!(net.end(0, call).unwrap().1.sip, Some(503));
    assert!(reason(&net).contains("20 s"), "{}", reason(&net));
    assert_eq!(net.command(0, make_call("200")).unwrap_err().code, ErrorCode::InvalLineState);
    net.run(20_000);
    assert_eq!(service(&net), Service::In);
    net.command(0, make_call("200")).unwrap();
}

#[test]
fn calls_a_second_are_bounded_both_ways() {
    let mut net = trunk(Account { calls_per_s: Some(2), ..Account::default() });
    for _ in 0..2 {
        net.command(0, make_call("200")).unwrap();
    }
    assert_eq!(net.command(0, make_call("200")).unwrap_err().code, ErrorCode::ResourceUnavail);
    let mut net = trunk(Account { calls_per_s: Some(2), ..Account::default() });
    for number in 0..3 {
        net.inject(0, BOB, &invite_text(&format!("i{number}"), ""));
    }
    let refused = last(&net);
    assert!(refused.starts_with("SIP/2.0 503") && value(&refused, "Retry-After") == "1", "{refused}");
    let offered = net.agents[0].events.iter().filter(|event| matches!(event, Event::NewCall { .. })).count();
    assert_eq!(offered, 2);
}

#[test]
fn destinations_and_users_that_are_not_allowed_are_refused_before_anybody_is_asked() {
    let mut net = trunk(Account { allow_to: vec!["+49".into()], users: vec!["200".into()], ..Account::default() });
    let refusal = net.command(0, make_call("+1900123")).unwrap_err();
    assert_eq!(refusal.code, ErrorCode::InvalAddress);
    assert!(refusal.text.contains("+1900123"), "{}", refusal.text);
    assert!(net.wire.is_empty());
    net.command(0, make_call("+49 30".replace(' ', "-").as_str())).unwrap();
    net.inject(0, BOB, &invite_text("a", "").replacen("sip:100@", "sip:300@", 1));
    assert!(last(&net).starts_with("SIP/2.0 404"), "{}", last(&net));
    net.inject(0, BOB, &invite_text("b", "").replacen("sip:100@", "sip:200@", 1));
    net.offered(0);
    let sent = net.wire.len();
    net.inject(0, "203.0.113.9:5060", &invite_text("c", "").replacen("sip:100@", "sip:300@", 1));
    assert_eq!(net.wire.len(), sent, "strangers are told nothing");
}

fn notify(net: &Net, cseq: u32, state: &str, body: &str) -> String {
    let asked = net.raw.iter().rev().find(|(_, text)| text.starts_with("SUBSCRIBE")).map(|(_, text)| text.clone());
    let (call_id, to) = match asked {
        Some(text) => (value(&text, "Call-ID"), value(&text, "From")),
        None => ("unasked".to_owned(), "<sip:100@example.org>".to_owned()),
    };
    let body = body.replace('\n', "\r\n");
    format!(
        "NOTIFY sip:100@192.0.2.1 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKn{cseq}\nMax-Forwards: 70\n\
         From: <sip:100@example.org>;tag=r\nTo: {to}\nCall-ID: {call_id}\nCSeq: {cseq} NOTIFY\nEvent: message-summary\n\
         Subscription-State: {state}\nContact: <sip:vm@192.0.2.2>\nContent-Type: application/simple-message-summary\n\
         Content-Length: {}\n\n{body}",
        body.len()
    )
}

fn waiting(net: &Net) -> Vec<bool> {
    let events = net.agents[0].events.iter();
    events
        .filter_map(|event| match event {
            Event::LineChanged { change: LineChange::MessageWaiting(wait), .. } => Some(*wait),
            _ => None,
        })
        .collect()
}

#[test]
fn a_mailbox_is_subscribed_renewed_and_told() {
    let mut net = trunk(Account { mwi: Mwi::Subscribe { expires_s: 600 }, ..Account::default() });
    let request = last(&net);
    assert!(request.starts_with("SUBSCRIBE sip:100@example.org"), "{request}");
    assert_eq!(value(&request, "Event"), "message-summary");
    // NOTIFY may come first.
    let text = notify(&net, 1, "active;expires=600", "Messages-Waiting: yes\nVoice-Message: 2/8 (0/2)\n");
    let ok = format!(
        "SIP/2.0 200 OK\nVia: {}\nFrom: {}\nTo: <sip:100@example.org>;tag=r\nCall-ID: {}\nCSeq: 1 SUBSCRIBE\n\
         Contact: <sip:vm@192.0.2.2>\nExpires: 600\nContent-Length: 0\n\n",
        value(&request, "Via"),
        value(&request, "From"),
        value(&request, "Call-ID")
    );
    net.inject(0, BOB, &text);
    assert!(last(&net).starts_with("SIP/2.0 200"), "{}", last(&net));
    net.inject(0, BOB, &ok);
    assert_eq!(waiting(&net), [true]);
    let again = notify(&net, 2, "active;expires=600", "Messages-Waiting: no\n");
    net.inject(0, BOB, &again);
    net.inject(0, BOB, &notify(&net, 3, "active;expires=600", "Messages-Waiting: no\n"));
    assert_eq!(waiting(&net), [true, false], "only changes are told");
    net.run(541_000);
    let renewed = last(&net);
    assert!(renewed.starts_with("SUBSCRIBE sip:vm@192.0.2.2"), "{renewed}");
    assert!(value(&renewed, "To").contains("tag=r") && cseq(&renewed) == 2);
    answer(&mut net, "481 Subscription Does Not Exist", "");
    let new = last(&net);
    assert!(new.starts_with("SUBSCRIBE sip:100@example.org") && !value(&new, "To").contains("tag="), "{new}");
    assert_ne!(value(&new, "Call-ID"), value(&renewed, "Call-ID"));
    assert_eq!(service(&net), Service::In, "a mailbox is no reason to be out of service");
}

#[test]
fn news_that_nobody_asked_for_are_taken_where_the_line_wants_them() {
    for (mwi, status, told) in [(Mwi::Unsolicited, "200", vec![true]), (Mwi::Off, "481", vec![])] {
        let mut net = trunk(Account { mwi, ..Account::default() });
        let text = notify(&net, 1, "terminated", "Messages-Waiting: yes\n");
        net.inject(0, BOB, &text);
        assert!(last(&net).starts_with(&format!("SIP/2.0 {status}")), "{}", last(&net));
        assert_eq!(waiting(&net), told);
        net.inject(0, BOB, &text.replace("Event: message-summary", "Event: presence").replace("z9hG4bKn1", "z9hG4bKp"));
        assert!(last(&net).starts_with("SIP/2.0 489"), "{}", last(&net));
        assert_eq!(value(&last(&net), "Allow-Events"), "message-summary");
    }
}

#[test]
fn a_name_of_a_registrar_is_looked_up_anew_each_time() {
    let register = Register { registrar: Some("sip.example.org:5060".into()), ..Register::default() };
    let mut net = start(Account { register: Some(register), credentials: credentials(None), ..Account::default() });
    assert!(net.wire.is_empty());
    let query = Query { name: "sip.example.org".into(), kind: RecordKind::A };
    net.feed(0, Input::Found { query: &query, result: &Err(LookupError::None { ttl_s: 5 }) });
    assert!(reason(&net).contains("sip.example.org is not reached"), "{}", reason(&net));
    net.run(31_000);
    let address: std::net::SocketAddr = REGISTRAR.parse().unwrap();
    let records = Records { records: vec![Record::Address(address.ip())], ttl_s: 60 };
    net.feed(0, Input::Found { query: &query, result: &Ok(records) });
    answer(&mut net, "401 Unauthorized", CHALLENGE);
    assert!(last(&net).contains("Authorization"), "what the name leads to is the configured registrar");
    bind(&mut net, 600);
    assert_eq!(service(&net), Service::In);
}
