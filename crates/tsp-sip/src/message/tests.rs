//! Cases after RFC 4475 and RFC 5118 in our own words, and `rsip` as a second reader.

use super::*;

/// A request with what every request has; `extra` are more headers, `body` its body.
fn request(line: &str, extra: &str, body: &str) -> String {
    let method = line.split(' ').next().unwrap();
    format!(
        "{line}\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa1\r\nMax-Forwards: 70\r\n\
         From: \"A. Bell\" <sip:bell@example.com>;tag=1\r\nTo: <sip:watson@example.org>\r\nCall-ID: torture@example.com\r\n\
         CSeq: 9 {method}\r\nContact: <sip:bell@192.0.2.1>\r\n{extra}\r\n{body}"
    )
}

fn replaced(from: &str, to: &str) -> String {
    let text = request("INVITE sip:watson@example.org SIP/2.0", "", "");
    assert!(text.contains(from), "{from}");
    text.replace(from, to)
}

fn verdict(text: &str) -> Result<(), (u16, String)> {
    verdict_of(text.as_bytes())
}

fn verdict_of(bytes: &[u8]) -> Result<(), (u16, String)> {
    let message = scan(bytes).unwrap();
    check(&message).map_err(|reject| (reject.status, reject.reason.unwrap_or_default()))
}

const INVITE: &str = "INVITE sip:watson@example.org SIP/2.0";
const OPTIONS: &str = "OPTIONS sip:watson@example.org SIP/2.0";

#[test]
fn legal_oddities_are_read() {
    let text = "INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0\r\nTO :\r\n sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n\r\n\
        from   : \"J Rosenberg \\\\\\\"\"       <sip:jdrosen@example.com>\r\n  ;\r\n  tag = 98asjd8\r\nMaX-fOrWaRdS: 0068\r\ni: wsinv.ndaksdj@192.0.2.1\r\n\
        l: 3\r\ncseq: 0009\r\n  INVITE\r\nv  : SIP  /   2.0\r\n /UDP\r\n    192.0.2.2;branch=390skdjuw\r\ns :\r\nNewFangledHeader:   newfangled value\r\n continued\r\n\
        Via  : SIP  / 2.0  /TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8  ,\r\n SIP  /    2.0   / UDP  192.168.255.111   ; branch=\r\n z9hG4bK30239\r\n\
        m:\"Quoted string \\\"\\\"\" <sip:jdrosen@example.com> ; newparam =\r\n newvalue ;\r\n  secondparam ; q = 0.33\r\n\r\nabcdef";
    let message = scan(text.as_bytes()).unwrap();
    assert_eq!(message.fault, None);
    assert_eq!(message.to_tag(), Some("1918181833n"));
    assert_eq!(message.from().unwrap().name().as_deref(), Some("J Rosenberg \\\""));
    assert_eq!(message.from_tag(), Some("98asjd8"));
    assert_eq!(message.cseq(), Some(CSeq { number: 9, method: Method::Invite }));
    let hosts: Vec<_> = message.values(Name::Via).map(|via| Via::parse(via).unwrap().host.to_owned()).collect();
    assert_eq!(hosts, ["192.0.2.2", "spindle.example.com", "192.168.255.111"]);
    assert_eq!(message.via().unwrap().unique_branch(), None, "a branch of RFC 2543");
    assert_eq!(message.contact().unwrap().params.text("q"), Some("0.33"));
    assert_eq!(message.body, b"abc", "the datagram's rest is not the body's");
    assert_eq!(message.text(Name::read(b"newfangledheader").unwrap()), Some("newfangled value continued"));
}

#[test]
fn requests_that_are_accepted() {
    for text in [
        request(INVITE, "", ""),
        request("INVITE sip:user%41@example.org SIP/2.0", "", ""),
        request("INVITE sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1@example.com SIP/2.0", "", "")
            .replace("?,", ","),
        request("INVITE tel:+15551230002 SIP/2.0", "", ""),
        request("INVITE sips:watson@example.org;transport=tcp SIP/2.0", "", ""),
        request("INVITE sip:[2001:db8::10] SIP/2.0", "", ""),
        request("INVITE sip:watson@[2001:db8::10]:5070;x=y SIP/2.0", "", ""),
        replaced("192.0.2.1:5060;", "[2001:db8::9]:5060;received=[2001:db8::9];"),
        replaced("192.0.2.1:5060;", "2001:db8::9;received=2001:db8::9;"),
        replaced("192.0.2.1:5060;", "proxy.example.com : 5060 ; rport ; "),
        replaced("<sip:watson@example.org>", "\"Watson, Thomas\" <sip:watson@example.org;x=1>"),
        replaced("<sip:watson@example.org>", "isbn:2983792873"),
        replaced("From: \"A. Bell\" <sip:bell@example.com>", "From: sip:bell@example.com"),
        replaced("Max-Forwards: 70\r\n", ""),
        replaced("\r\n", "\n"),
        format!("\r\n\r\n{}", request(INVITE, "", "")),
        request(OPTIONS, "", "").replace("Max-Forwards: 70", "Max-Forwards: 0"),
        request(INVITE, "Content-Type: application/sdp;charset=utf-8\r\nContent-Length: 4\r\n", "v=0\n"),
        request(INVITE, "c: application / SDP\r\n", "v=0\n"),
        request(INVITE, "Content-Type: image/png\r\nContent-Disposition: render;handling=optional\r\n", "x"),
        request(INVITE, "Supported: 100rel, timer\r\nX-Unknown: \u{1}\u{2}\r\n", ""),
    ] {
        assert_eq!(verdict(&text), Ok(()), "{text}");
    }
}

#[test]
fn requests_that_are_refused_and_why() {
    for (text, status, why) in [
        (replaced("SIP/2.0\r\n", "SIP/7.0\r\n"), 505, ""),
        (replaced("INVITE sip:watson@example.org ", "INVITE  sip:watson@example.org "), 400, "white space"),
        (replaced("INVITE sip:watson@example.org ", "INVITE sip:watson@example.org; lr "), 400, "white space"),
        (replaced("SIP/2.0\r\n", "SIP/2.0  \r\n"), 400, "white space"),
        (replaced("INVITE sip:watson@example.org ", "INVITE <sip:watson@example.org> "), 400, "character"),
        (request("INVITE sip:watson@example.org?Route=%3Csip:example.com%3E SIP/2.0", "", ""), 400, "headers"),
        (request("INVITE sip:watson%4@example.org SIP/2.0", "", ""), 400, "escape"),
        (request("INVITE sip:watson@example.org:banana SIP/2.0", "", ""), 400, "port"),
        (request("INVITE sip:watson@ SIP/2.0", "", ""), 400, "host"),
        (request("INVITE nobodyknows:watson SIP/2.0", "", ""), 416, ""),
        (request("INVITE soap.beep://192.0.2.103:3002 SIP/2.0", "", ""), 416, ""),
        (request("NEWMETHOD sip:watson@example.org SIP/2.0", "", ""), 501, ""),
        (request("MESSAGE sip:watson@example.org SIP/2.0", "", ""), 405, ""),
        (request("PUBLISH sip:watson@example.org SIP/2.0", "", ""), 405, ""),
        (replaced("CSeq: 9 INVITE", "CSeq: 9 OPTIONS"), 400, "CSeq"),
        (replaced("CSeq: 9 INVITE", "CSeq: 36893488147419103232 INVITE"), 400, "CSeq"),
        (replaced("CSeq: 9 INVITE", "CSeq: 2147483648 INVITE"), 400, "CSeq"),
        (replaced("CSeq: 9 INVITE\r\n", ""), 400, "no CSeq"),
        (replaced("Call-ID: torture@example.com\r\n", ""), 400, "no Call-ID"),
        (replaced("To: <sip:watson@example.org>\r\n", ""), 400, "no To"),
        (replaced("To: <sip:watson@example.org>", "To: \"Watson <sip:watson@example.org>"), 400, "To"),
        (replaced("\"A. Bell\" <sip:bell@example.com>", "Bell, Alexander <sip:bell@example.com>"), 400, "From"),
        (replaced("Via: SIP/2.0/UDP 192.0.2.1:5060", "Via: SIP/2.0/UDP ,,192.0.2.1:5060"), 400, "Via"),
        (replaced("Contact: <sip:bell@192.0.2.1>\r\n", ""), 400, "Contact"),
        (replaced("Contact: <sip:bell@192.0.2.1>", "Contact: <sip:a@192.0.2.1>, <sip:b@192.0.2.1>"), 400, "Contact"),
        (replaced("Contact: <sip:bell@192.0.2.1>", "Contact: \"\"ExTexT <sip:bell@192.0.2.1>"), 400, "Contact"),
        (request(INVITE, "To: <sip:other@example.org>\r\n", ""), 400, "more than one To"),
        (request(INVITE, "Call-ID: other\r\n", ""), 400, "more than one Call-ID"),
        (request(INVITE, "Content-Length: 999\r\nContent-Type: application/sdp\r\n", "v=0\n"), 400, "shorter"),
        (request(INVITE, "Content-Length: -999\r\n", ""), 400, "Content-Length"),
        (request(INVITE, "Content-Length: 5\r\nContent-Length: 4\r\n", "v=0\nx"), 400, "several"),
        (request(INVITE, "\u{e9}: x\r\n", ""), 400, "header line"),
        (request(INVITE, "Require: nothingSupportsThis, 100rel\r\n", ""), 420, ""),
        (request(INVITE, "Proxy-Require: privacy\r\n", ""), 420, ""),
        (request(INVITE, "Content-Type: application/unknownformat\r\n", "<audio/>"), 415, ""),
        (request(INVITE, "Content-Type: application/sdp\r\nContent-Encoding: gzip\r\n", "x"), 415, ""),
        (request(INVITE, "", "v=0"), 400, "Content-Type"),
        (replaced("Max-Forwards: 70", "Max-Forwards: 0"), 483, ""),
        (replaced("Max-Forwards: 70", "Max-Forwards: 300"), 400, "Max-Forwards"),
        (request(INVITE, &"X: y\r\n".repeat(MAX_HEADERS), ""), 400, "too many headers"),
        (request(INVITE, &format!("Via: {}\r\n", "SIP/2.0/UDP h,".repeat(1_000)), ""), 400, "too many Via"),
        (request(INVITE, "", "").trim_end().to_owned(), 400, "empty line"),
    ] {
        let (is, reason) = verdict(&text).expect_err(&text);
        assert_eq!(is, status, "{reason}: {text}");
        assert!(reason.contains(why), "{reason:?} does not say {why:?}: {text}");
    }
    let reject = check(&scan(request(INVITE, "Require: a, b\r\n", "").as_bytes()).unwrap()).unwrap_err();
    assert_eq!(reject.headers, [("Unsupported", "a, b".to_owned())]);
}

#[test]
fn what_is_no_message_gets_no_answer() {
    for (bytes, why) in [
        (&b"\r\n\r\n"[..], Unreadable::KeepAlive),
        (b"", Unreadable::KeepAlive),
        (b"GET / HTTP/1.1\r\n\r\n", Unreadable::NotSip),
        (b"INVITE\r\n\r\n", Unreadable::NotSip),
        (b"\xff\xfe\x00", Unreadable::NotSip),
        (b"SIP/2.0 4294967301 better not\r\n\r\n", Unreadable::NotSip),
        (b"SIP/2.0 99 no\r\n\r\n", Unreadable::NotSip),
        (b"SIP/3.0 200 OK\r\n\r\n", Unreadable::NotSip),
    ] {
        assert_eq!(scan(bytes).unwrap_err(), why, "{}", String::from_utf8_lossy(bytes));
    }
    assert_eq!(scan(&vec![b'x'; MAX_DATAGRAM + 1]).unwrap_err(), Unreadable::TooLong);
}

#[test]
fn responses_without_words_or_with_strange_ones() {
    let message = scan("SIP/2.0 200 = 2**3 * 5**2 \u{43d}\u{43e}\r\n\r\n".as_bytes()).unwrap();
    assert_eq!(message.status(), Some(200));
    assert_eq!(scan(b"SIP/2.0 100 \r\n\r\n").unwrap().summary(), "100");
    assert_eq!(scan(b"SIP/2.0 100\r\n\r\n").unwrap().status(), Some(100));
}

#[test]
fn bytes_that_are_not_utf8_are_kept() {
    let mut text = request(INVITE, "", "").into_bytes();
    let at = text.windows(4).position(|four| four == b"Bell").unwrap();
    text[at] = 0xe9;
    assert_eq!(verdict_of(&text), Ok(()));
    let message = scan(&text).unwrap();
    assert!(message.first(Name::From).unwrap().contains(&0xe9));
    assert_eq!(message.from_tag(), Some("1"));
    let octets: Octets = message.first(Name::From).unwrap().into();
    let json = serde_json::to_string(&octets).unwrap();
    assert_eq!(serde_json::from_str::<Octets>(&json).unwrap(), octets);
}

#[test]
fn the_writer_keeps_a_binary_body_and_never_splits_a_line() {
    let body = [0xff, 0x00, 0xfe, 0x01];
    let bytes = Draft::response(200, None).header("To", "x").finish(Some(("application/x", &body)));
    assert_eq!(scan(&bytes).unwrap().body, body);
    let bytes = Draft::response(400, Some("a\r\nEvil: b")).finish(None);
    assert_eq!(scan(&bytes).unwrap().headers.len(), 1);
    assert!(Draft::response(486, None).finish(None).starts_with(b"SIP/2.0 486 Busy Here\r\n"));
    assert_eq!(quote("a\"b\\c\r\n"), r#""a\"b\\c""#);
}

#[test]
fn what_rsip_reads_too_it_reads_alike() {
    use rsip::prelude::*;
    let sdp = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\n";
    let extra = format!("Content-Type: application/sdp\r\nSubject: hello\r\nContent-Length: {}\r\n", sdp.len());
    for text in [
        request(INVITE, &extra, sdp),
        request(OPTIONS, "Supported: timer\r\n", ""),
        request("BYE sip:watson@192.0.2.4:5070 SIP/2.0", "Reason: Q.850;cause=16\r\n", ""),
    ] {
        let message = scan(text.as_bytes()).unwrap();
        let ours = vocabulary::request(&message).unwrap();
        let theirs = rsip::Request::try_from(text.as_bytes()).unwrap();
        assert_eq!(ours.method, theirs.method);
        assert_eq!(ours.uri.to_string(), theirs.uri.to_string());
        assert_eq!(ours.body, theirs.body);
        assert_eq!(ours.headers.iter().collect::<Vec<_>>(), theirs.headers.iter().collect::<Vec<_>>());
        assert_eq!(message.cseq().unwrap().number, theirs.cseq_header().unwrap().seq().unwrap());
        assert_eq!(message.call_id().unwrap(), theirs.call_id_header().unwrap().value());
        let tag = theirs.from_header().unwrap().tag().unwrap().unwrap();
        assert_eq!(message.from_tag().unwrap(), tag.value());
        let branch = theirs.via_header().unwrap().typed().unwrap().branch().unwrap().value().to_owned();
        assert_eq!(message.via().unwrap().branch().unwrap(), branch);
    }
}

#[test]
fn uris_that_rsip_cannot_hold_print_as_they_were() {
    for text in ["tel:+15551230002", "sip:a@[2001:db8::1]:5060", "sip:b@x;user=phone?Subject=y", "urn:service:sos"] {
        assert_eq!(vocabulary::uri(text).to_string(), text);
    }
    let uri = Uri::parse("sip:a%40b:secret@Example.org:5070;lr;x=1?h=v").unwrap();
    assert_eq!((uri.host, uri.port, uri.headers), ("Example.org", Some(5070), "h=v"));
    assert_eq!((uri.param("LR"), uri.param("x"), uri.param("y")), (Some(""), Some("1"), None));
    assert_eq!(unescape("a%40b%"), "a@b%");
}

#[test]
fn what_is_huge_is_read_in_one_pass_and_answered_once() {
    const SDP: &str = "Content-Type: application/sdp\r\n";
    let lines = |line: &str, times: usize| request(INVITE, &line.repeat(times), "");
    let room = |text: &str| text.repeat(60_000 / text.len());
    for (text, status) in [
        (lines("X: y\r\n", 10_000), 400),
        (lines("Via: SIP/2.0/UDP h;branch=z9hG4bKx\r\n", 1_000), 400),
        (lines(&format!("Via: {}x\r\n", "SIP/2.0/UDP h, ".repeat(1_000)), 1), 400),
        (lines(&format!("X: {}\r\n", room("a\r\n ")), 1), 0),
        (lines(&format!("Require: {}\r\n", room("a,")), 1), 420),
        (lines(&format!("Record-Route: {}\r\n", room("\"<,")), 1), 0),
        (lines(&format!("Reason: {}\r\n", room("\\\"")), 1), 0),
        (lines(&format!("Supported: {}\r\n", room(";=<")), 1), 0),
        (request(INVITE, SDP, &room("a=x\r\n")), 0),
        (request(INVITE, SDP, &room("m=audio 1 RTP/AVP 0\r\n")), 0),
        (request(INVITE, SDP, &format!("v=0\r\nm=audio 1 RTP/AVP {}\r\n", room("0 "))), 0),
        (request(&format!("INVITE sip:{}@h SIP/2.0", room("%41")), "", ""), 0),
        (request(&format!("INVITE sip:h;{} SIP/2.0", room("a;")), "", ""), 0),
        (format!("{}INVITE sip:a SIP/2.0\r\n\r\n", room("\r\n")), 400),
    ] {
        crate::fuzz::datagram(text.as_bytes());
        let verdict = verdict(&text).map_or_else(|(status, _)| status, |()| 0);
        assert_eq!(verdict, status, "{}", text.get(..200).unwrap_or(&text));
    }
}
