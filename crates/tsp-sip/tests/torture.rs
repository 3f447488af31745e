//! The messages of RFC 4475 and RFC 5118, and what each gets, as the text of the RFC names it. Where that leaves a choice,
//! or speaks to a registrar or proxy, the remark says what a user agent with lines does.
//!
//! The messages are those of the RFCs, but for the certificate in `mpart01` (256 octets of every value) and the
//! Content-Length of three of RFC 5118, which is that of the description as printed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "torture/expand.rs"]
mod expand;
mod net;

use net::*;
use tsp_sip::PORT;
use tspi::*;

/// What a message gets.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Gets {
    /// A call is offered, and can be answered.
    Call,
    /// This status, at once and once.
    Status(u16),
    /// The same, with a header of this beginning.
    Header(u16, &'static str),
    /// Nothing: a response that nobody waits for.
    Stray,
    /// Nothing: it is no message.
    Unreadable,
}

use Gets::{Call, Header, Status, Stray, Unreadable};

struct Case {
    name: &'static str,
    section: &'static str,
    gets: Gets,
    remark: &'static str,
}

const fn case(name: &'static str, section: &'static str, gets: Gets, remark: &'static str) -> Case {
    Case { name, section, gets, remark }
}

const NO_REGISTRAR: &str = "well-formed; we are no registrar";

const RFC4475: &[Case] = &[
    case("wsinv", "3.1.1.1", Status(481), "read; To has the tag of a dialog that is not there"),
    case("intmeth", "3.1.1.2", Header(501, "Allow: "), "an endpoint lists the methods that it knows"),
    case("esc01", "3.1.1.3", Call, ""),
    case("escnull", "3.1.1.4", Header(405, "Allow: "), NO_REGISTRAR),
    case("esc02", "3.1.1.5", Header(501, "Allow: "), "it is not REGISTER"),
    case("lwsdisp", "3.1.1.6", Status(200), ""),
    case("longreq", "3.1.1.7", Call, ""),
    case("dblreq", "3.1.1.8", Status(405), "one request; the octets behind it are left alone"),
    case("semiuri", "3.1.1.9", Status(200), ""),
    case("transports", "3.1.1.10", Status(200), ""),
    case("mpart01", "3.1.1.11", Header(405, "Allow: "), "well-formed; we take no MESSAGE"),
    case("unreason", "3.1.1.12", Stray, "a response that can be read"),
    case("noreason", "3.1.1.13", Stray, "a response that can be read"),
    case("badinv01", "3.1.2.1", Status(400), ""),
    case("clerr", "3.1.2.2", Status(400), "by datagram"),
    case("ncl", "3.1.2.3", Status(400), ""),
    case("scalar02", "3.1.2.4", Status(400), ""),
    case("scalarlg", "3.1.2.5", Stray, "discarded"),
    case("quotbal", "3.1.2.6", Status(400), ""),
    case("ltgtruri", "3.1.2.7", Status(400), ""),
    case("lwsruri", "3.1.2.8", Status(400), ""),
    case("lwsstart", "3.1.2.9", Status(400), ""),
    case("trws", "3.1.2.10", Status(400), ""),
    case("escruri", "3.1.2.11", Status(400), ""),
    case("baddate", "3.1.2.12", Call, "nothing here needs the date, so it is not looked at"),
    case("regbadct", "3.1.2.13", Status(400), ""),
    case("badaspec", "3.1.2.14", Status(200), "it may be read with good will: the blanks mean nothing"),
    case(
        "baddn",
        "3.1.2.15",
        Status(400),
        "it may be read with good will or refused; a comma parts values, so it is refused",
    ),
    case("badvers", "3.1.2.16", Status(505), ""),
    case("mismatch01", "3.1.2.17", Status(400), ""),
    case("mismatch02", "3.1.2.18", Status(400), "400 or 501"),
    case("bigcode", "3.1.2.19", Unreadable, "discarded"),
    case("badbranch", "3.2.1", Status(200), "its branch is no name of a transaction"),
    case("insuf", "3.3.1", Status(400), ""),
    case("unkscm", "3.3.2", Status(416), ""),
    case("novelsc", "3.3.3", Status(416), ""),
    case("unksm2", "3.3.4", Status(405), NO_REGISTRAR),
    case(
        "bext01",
        "3.3.5",
        Header(420, "Unsupported: nothingSupportsThis, nothingSupportsThisEither"),
        "Proxy-Require is refused too: a request with it that reaches an endpoint came past no proxy that knew it",
    ),
    case("invut", "3.3.6", Header(415, "Accept: application/sdp"), ""),
    case("regaut01", "3.3.7", Status(405), NO_REGISTRAR),
    case("multi01", "3.3.8", Status(400), ""),
    case("mcl01", "3.3.9", Status(400), ""),
    case("bcast", "3.3.10", Stray, "discarded"),
    case("zeromf", "3.3.11", Status(200), "we are its destination"),
    case("cparam01", "3.3.12", Status(405), NO_REGISTRAR),
    case("cparam02", "3.3.13", Status(405), NO_REGISTRAR),
    case("regescrt", "3.3.14", Status(405), NO_REGISTRAR),
    case("sdp01", "3.3.15", Status(406), "406 or 400"),
    case("inv2543", "3.4.1", Call, "also without Contact: then From says where to"),
];

const RFC5118: &[Case] = &[
    case("ipv6-good", "4.1", Status(405), NO_REGISTRAR),
    case("ipv6-bad", "4.2", Status(400), ""),
    case("port-ambiguous", "4.3", Status(405), NO_REGISTRAR),
    case("port-unambiguous", "4.4", Status(405), NO_REGISTRAR),
    case("via-received-param-with-delim", "4.5", Status(481), "read; there is no such dialog"),
    case("via-received-param-no-delim", "4.5", Status(200), ""),
    case("ipv6-in-sdp", "4.6", Header(488, "Warning: "), "read; its only codec is none of ours"),
    case("mult-ip-in-header", "4.7", Status(481), "read; there is no such dialog"),
    case("mult-ip-in-sdp", "4.8", Header(488, "Warning: "), "read; its audio is at an IPv4 address, ours has none"),
    case("ipv4-mapped-ipv6", "4.9", Header(488, "Warning: "), "read; its only codec is none of ours"),
    case("ipv6-bug-abnf-3-colons", "4.10", Status(200), "the third colon is left out"),
    case("ipv6-correct-abnf-2-colons", "4.10", Status(200), ""),
];

fn octets(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/torture/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    expand::expand(&std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}")))
}

/// What an agent at `listen` does with these octets.
fn treatment(listen: &str, from: &str, bytes: &[u8]) -> (Gets, String) {
    let mut net = Net::empty(1);
    let at = net.add(config(listen, from.parse::<std::net::SocketAddr>().unwrap().ip().to_string().as_str(), None));
    net.feed(at, Input::Datagram { port: PORT, from: from.parse().unwrap(), bytes });
    net.run(300);
    let counters = net.agents[at].sip.counters();
    let calls = net.agents[at].events.iter().filter(|event| matches!(event, Event::NewCall { .. })).count();
    if calls > 0 {
        assert_eq!(calls, 1);
        let call = net.offered(at);
        let LocalMedia::Rtp(mut local) = rtp(1) else { unreachable!() };
        local.address = net.agents[at].address.ip();
        net.command(at, Action::Answer { call, media: LocalMedia::Rtp(local) }).unwrap();
        net.run(10);
        let last = net.sent_texts.last().cloned().unwrap_or_default();
        assert!(last.starts_with("SIP/2.0 200 "), "a call can be answered: {last}");
        return (Call, last);
    }
    assert!(net.sent_texts.len() <= 1, "one answer: {:#?}", net.sent_texts);
    let gets = match net.sent_texts.first().map(|text| text[8..11].parse().unwrap()) {
        Some(status) => Status(status),
        None if counters.stray_responses == 1 => Stray,
        None if counters.unreadable == 1 => Unreadable,
        None => panic!("neither answered nor counted: {counters:?}"),
    };
    (gets, net.sent_texts.pop().unwrap_or_default())
}

fn hold(cases: &[Case], listen: &str, from: &str) {
    let mut faults = Vec::new();
    for case in cases {
        let (gets, text) = treatment(listen, from, &octets(case.name));
        let right = match case.gets {
            Header(status, line) => gets == Status(status) && text.lines().any(|l| l.starts_with(line)),
            other => gets == other,
        };
        if !right {
            let remark = case.remark;
            faults.push(format!(
                "{} {}: {:?} expected ({remark}), got {gets:?}: {text}",
                case.section, case.name, case.gets
            ));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_messages_of_rfc_4475() {
    assert_eq!(RFC4475.len(), 49);
    hold(RFC4475, "192.0.2.1:5060", "192.0.2.200:5060");
}

#[test]
fn the_messages_of_rfc_5118() {
    assert_eq!(RFC5118.len(), 12);
    hold(RFC5118, "[2001:db8::10]:5060", "[2001:db8::9:1]:5060");
}

#[test]
fn descriptions_of_rfc_5118_with_a_codec_of_ours_are_calls() {
    // An IPv4 address in the form of IPv6 is one of IPv4.
    for (name, listen, from) in [
        ("ipv6-in-sdp", "[2001:db8::10]:5060", "[2001:db8::9:1]:5060"),
        ("ipv4-mapped-ipv6", "192.0.2.1:5060", "192.0.2.200:5060"),
    ] {
        let text = String::from_utf8(octets(name)).unwrap().replace("RTP/AVP 2\r\n", "RTP/AVP 0\r\n");
        let (gets, answer) = treatment(listen, from, text.as_bytes());
        assert_eq!(gets, Call, "{name}: {answer}");
    }
    let (gets, answer) = treatment("192.0.2.1:5060", "192.0.2.200:5060", &octets("mult-ip-in-sdp"));
    assert_eq!(gets, Call, "its audio is at an IPv4 address: {answer}");
    let sections: Vec<&str> = answer.lines().filter(|line| line.starts_with("m=")).collect();
    assert!(
        sections.len() == 2 && sections[1].starts_with("m=video 0 "),
        "the picture is refused in its place: {answer}"
    );
}

#[test]
fn long_values_come_back_whole() {
    let (_, answer) = treatment("192.0.2.1:5060", "192.0.2.200:5060", &octets("longreq"));
    assert_eq!(answer.lines().filter(|line| line.starts_with("Via: ")).count(), 34, "{answer}");
    assert!(answer.contains(&"really".repeat(20)) && answer.contains(&"982".repeat(50)), "{answer}");
}

#[test]
fn none_of_them_panics_wherever_it_is_cut_or_changed() {
    for case in RFC4475.iter().chain(RFC5118) {
        let bytes = octets(case.name);
        for end in (0..bytes.len()).step_by(11) {
            tsp_sip::fuzz::datagram(&bytes[..end]);
            let mut changed = bytes.clone();
            changed[end] = [0, 0xff, b'\n', b';', b'"', b':'][end % 6];
            tsp_sip::fuzz::datagram(&changed);
        }
        tsp_sip::fuzz::stream(&bytes);
    }
}
