//! Our address from outside is another than before: registrars and far ends of calls are told. In virtual time, restarted after
//! every step.
#![allow(clippy::unwrap_used, reason = "tests")]

mod net;

use net::*;
use tsp_sip::transport::stun;
use tsp_sip::{Account, Config, ExternalAddress, HoldBy, Register};
use tspi::*;

const INSIDE: &str = "10.0.0.1:5060";
const STUN: &str = "192.0.2.99:3478";

/// A user agent behind an address translation, that asks a STUN server.
fn behind(peer: &str) -> Config {
    let mut config = config(INSIDE, peer, Some(&format!("{peer}:5060")));
    config.transports.stun = Some(STUN.into());
    config.transports.external_address = ExternalAddress::Learned;
    config
}

/// The STUN server answers the last question.
fn seen_at(net: &mut Net, seen: &str) {
    let (to, bytes) = net.datagrams.iter().rev().find(|(_, bytes)| stun::is_stun(bytes)).expect("a question").clone();
    assert_eq!(to, STUN.parse().unwrap());
    let Some(stun::Stun::Request(id)) = stun::read(&bytes) else { panic!("{bytes:?}") };
    let bytes = stun::success(&id, seen.parse().unwrap());
    net.feed(0, Input::Datagram { port: tsp_sip::PORT, from: to, bytes: &bytes });
}

/// Texts of the agent's requests of a method, each once.
fn texts(net: &Net, method: &str) -> Vec<String> {
    let own = net.agents[0].address;
    let all = net.raw.iter().filter(|(from, text)| *from == own && text.starts_with(method));
    let mut texts: Vec<String> = all.map(|(_, text)| text.clone()).collect();
    texts.dedup();
    texts
}

fn values(text: &str, name: &str) -> Vec<String> {
    let begin = format!("{name}: ");
    text.split("\r\n").filter_map(|line| line.strip_prefix(&begin)).map(str::to_owned).collect()
}

/// A 200 to the last REGISTER, with its own Contact.
fn bound(net: &mut Net, via: &str) {
    let request = texts(net, "REGISTER").pop().unwrap();
    let one = |name: &str| values(&request, name)[0].clone();
    let via = if via.is_empty() { one("Via") } else { one("Via").replace(";rport", via) };
    let text = format!(
        "SIP/2.0 200 OK\nVia: {via}\nFrom: {}\nTo: {};tag=r\nCall-ID: {}\nCSeq: {}\nContact: {}\nContent-Length: 0\n\n",
        one("From"),
        one("To"),
        one("Call-ID"),
        one("CSeq"),
        one("Contact")
    );
    net.inject(0, BOB, &text);
}

fn registering(mut config: Config) -> Config {
    let register = Register { registrar: Some(BOB.into()), ..Register::default() };
    config.lines[0].account = Account { register: Some(register), ..Account::default() };
    config
}

#[test]
fn the_registrar_is_told_of_a_new_address_at_once_and_the_old_contact_goes() {
    let mut net = Net::empty(1);
    net.add(registering(behind("192.0.2.2")));
    assert_eq!(values(&texts(&net, "REGISTER")[0], "Contact"), ["<sip:100@10.0.0.1:5060>;expires=3600"]);
    seen_at(&mut net, "203.0.113.7:1234");
    bound(&mut net, "");
    let second = texts(&net, "REGISTER").pop().unwrap();
    let expected = ["<sip:100@203.0.113.7:1234>;expires=3600", "<sip:100@10.0.0.1:5060>;expires=0"];
    assert_eq!(values(&second, "Contact"), expected, "what was learned meanwhile is told");
    bound(&mut net, "");
    net.run(26_000);
    seen_at(&mut net, "203.0.113.7:1234");
    assert_eq!(texts(&net, "REGISTER").len(), 2, "no news, no request");

    net.run(26_000);
    seen_at(&mut net, "198.51.100.9:1234");
    let third = texts(&net, "REGISTER").pop().unwrap();
    let expected = ["<sip:100@198.51.100.9:1234>;expires=3600", "<sip:100@203.0.113.7:1234>;expires=0"];
    assert_eq!(values(&third, "Contact"), expected);
    bound(&mut net, "");
    net.run(26_000);
    seen_at(&mut net, "198.51.100.9:4321");
    assert_eq!(
        values(&texts(&net, "REGISTER").pop().unwrap(), "Contact")[0],
        "<sip:100@198.51.100.9:4321>;expires=3600"
    );
    assert_eq!(texts(&net, "REGISTER").len(), 4);
}

#[test]
fn what_a_registrar_sees_does_not_override_what_is_known_by_other_means() {
    let mut net = Net::empty(1);
    net.add(registering(behind("192.0.2.2")));
    seen_at(&mut net, "203.0.113.7:1234");
    bound(&mut net, ";received=203.0.113.7;rport=9999");
    // Behind this translation every far end sees another port: the server that is asked on purpose is believed.
    for _ in 0..3 {
        bound(&mut net, ";received=203.0.113.7;rport=9998");
    }
    let all = texts(&net, "REGISTER");
    assert_eq!(all.len(), 2, "{all:#?}");
    assert_eq!(values(&all[1], "Contact")[0], "<sip:100@203.0.113.7:1234>;expires=3600");
}

#[test]
fn without_a_stun_server_the_registrars_view_is_the_address_and_is_learned_once() {
    let mut config = registering(behind("192.0.2.2"));
    config.transports.stun = None;
    let mut net = Net::empty(1);
    net.add(config);
    bound(&mut net, ";received=203.0.113.7;rport=9999");
    bound(&mut net, ";received=203.0.113.7;rport=9999");
    let all = texts(&net, "REGISTER");
    assert_eq!(all.len(), 2, "{all:#?}");
    let expected = ["<sip:100@203.0.113.7:9999>;expires=3600", "<sip:100@10.0.0.1:5060>;expires=0"];
    assert_eq!(values(&all[1], "Contact"), expected);
}

/// A call of Alice's to Bob that is up, while the STUN server saw Alice at 203.0.113.7.
fn up(hold_by: HoldBy) -> (Net, CallRef) {
    let mut net = Net::empty(1);
    let mut alice = behind("192.0.2.2");
    alice.lines[0].calls.hold_by = hold_by;
    net.add(alice);
    net.add(config(BOB, "10.0.0.1", Some(INSIDE)));
    net.run(10);
    seen_at(&mut net, "203.0.113.7:5060");
    let (call, _) = net.connected();
    (net, call)
}

fn told_by(hold_by: HoldBy, method: &str) {
    let (mut net, call) = up(hold_by);
    let media = net.media(1, net.offered(1));
    assert_eq!(media.last().unwrap().address.ip().to_string(), "203.0.113.7");
    net.run(26_000);
    let before = net.reports(0, call).len();
    seen_at(&mut net, "198.51.100.9:5060");
    net.run(1_000);
    let change = texts(&net, method).pop().unwrap();
    assert_eq!(values(&change, "Contact"), ["<sip:100@198.51.100.9:5060>"]);
    assert!(change.contains("c=IN IP4 198.51.100.9\r\n"), "{change}");
    let version = |text: &str| {
        text.split("\r\n")
            .find(|line| line.starts_with("o="))
            .unwrap()
            .split(' ')
            .nth(2)
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    assert!(version(&change) > version(&texts(&net, "INVITE")[0]), "another description has another version");
    let media = net.media(1, net.offered(1));
    assert_eq!(media.last().unwrap().address.ip().to_string(), "198.51.100.9", "the far end sends there");
    assert_eq!(net.reports(0, call).len(), before, "the application hears nothing of it");
    net.run(26_000);
    seen_at(&mut net, "198.51.100.9:5060");
    net.run(1_000);
    assert_eq!(texts(&net, method).pop(), Some(change), "no news, no request");
    net.command(0, Action::Drop { call, reason: None }).unwrap();
    net.run(1_000);
}

#[test]
fn the_far_end_of_a_call_is_told_by_re_invite() {
    told_by(HoldBy::Invite, "INVITE");
}

#[test]
fn or_by_update_where_the_line_says_so() {
    told_by(HoldBy::Update, "UPDATE");
}

#[test]
fn a_held_call_stays_held_and_a_change_that_collides_is_made_up_for() {
    let (mut net, call) = up(HoldBy::Invite);
    net.command(0, Action::Hold { call }).unwrap();
    // The address changes while the re-INVITE of the hold is out.
    let request = net.datagrams.iter().rev().find(|(_, bytes)| stun::is_stun(bytes)).is_some();
    assert!(request);
    net.run(26_000);
    net.command(0, Action::Unhold { call }).unwrap();
    seen_at(&mut net, "198.51.100.9:5060");
    net.run(2_000);
    let last = texts(&net, "INVITE").pop().unwrap();
    assert_eq!(values(&last, "Contact"), ["<sip:100@198.51.100.9:5060>"], "after the unhold the address is told");
    assert_eq!(net.reports(0, call).last(), Some(&Report::Retrieved));
    net.command(0, Action::Drop { call, reason: None }).unwrap();
    net.run(1_000);
}

#[test]
fn who_is_on_our_side_is_told_nothing() {
    let mut net = Net::empty(1);
    net.add(behind("10.0.0.2"));
    net.add(config("10.0.0.2:5060", "10.0.0.1", Some(INSIDE)));
    net.run(10);
    seen_at(&mut net, "203.0.113.7:5060");
    let (call, _) = net.connected();
    net.run(26_000);
    seen_at(&mut net, "198.51.100.9:5060");
    net.run(1_000);
    let invites = texts(&net, "INVITE");
    assert_eq!(invites.len(), 1, "{invites:#?}");
    assert_eq!(values(&invites[0], "Contact"), ["<sip:100@10.0.0.1:5060>"]);
    net.command(0, Action::Drop { call, reason: None }).unwrap();
    net.run(1_000);
}
