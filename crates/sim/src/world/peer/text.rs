//! SIP as text, cut with string functions only: nothing of the provider's own parser or writer is used.

use std::net::{IpAddr, SocketAddr};

/// The value of a header, by its name or its compact form.
pub fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    headers(message, name).next()
}

/// All values of a header, in order.
pub fn headers<'a>(message: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let compact = match name {
        "Via" => "v",
        "From" => "f",
        "To" => "t",
        "Call-ID" => "i",
        "Contact" => "m",
        _ => name,
    };
    let head = message.split("\r\n\r\n").next().unwrap_or(message);
    head.split("\r\n").skip(1).filter_map(move |line| {
        let (key, value) = line.split_once(':')?;
        let key = key.trim();
        (key.eq_ignore_ascii_case(name) || key.eq_ignore_ascii_case(compact)).then_some(value.trim())
    })
}

/// The method of a request, or of the CSeq of a response.
pub fn method(message: &str) -> &str {
    header(message, "CSeq").and_then(|cseq| cseq.split_whitespace().nth(1)).unwrap_or("")
}

/// The status of a response.
pub fn status(message: &str) -> Option<u16> {
    message.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
}

/// The URI of a Contact, From or To.
pub fn uri(value: &str) -> &str {
    match value.split_once('<') {
        Some((_, rest)) => rest.split('>').next().unwrap_or(rest),
        None => value.split(';').next().unwrap_or(value),
    }
}

/// The branch of the topmost Via.
pub fn branch(message: &str) -> &str {
    let via = header(message, "Via").unwrap_or("");
    via.split_once("branch=").map_or("", |(_, rest)| rest.split([';', ',', ' ']).next().unwrap_or(rest))
}

/// What a session description says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Where it receives.
    pub address: SocketAddr,
    /// Payload type of its telephone events.
    pub events: Option<u8>,
    /// `sendrecv`, `sendonly`, `recvonly` or `inactive`.
    pub direction: String,
}

/// Reads the description in a message's body.
pub fn description(message: &str) -> Option<Description> {
    let (_, body) = message.split_once("\r\n\r\n")?;
    let line = |start: &str| body.lines().find_map(|line| line.strip_prefix(start));
    let ip: IpAddr = line("c=IN IP4 ")?.trim().parse().ok()?;
    let port: u16 = line("m=audio ")?.split(' ').next()?.parse().ok()?;
    let map = body.lines().find(|line| line.starts_with("a=rtpmap:") && line.contains("telephone-event"));
    let events = map.and_then(|map| map["a=rtpmap:".len()..].split(' ').next()?.parse().ok());
    let known = ["sendrecv", "sendonly", "recvonly", "inactive"];
    let direction = known.into_iter().find(|name| body.lines().any(|line| line.strip_prefix("a=") == Some(name)));
    let direction = direction.unwrap_or("sendrecv").to_owned();
    Some(Description { address: SocketAddr::new(ip, port), events, direction })
}

/// A description with µ-law and telephone events.
pub fn describe(address: SocketAddr, events: u8, version: u32, direction: &str) -> String {
    let (ip, port) = (address.ip(), address.port());
    format!(
        "v=0\r\no=peer 1 {version} IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 {events}\r\n\
         a=rtpmap:0 PCMU/8000\r\na=rtpmap:{events} telephone-event/8000\r\na=fmtp:{events} 0-15\r\na=ptime:20\r\na={direction}\r\n"
    )
}

/// A response to a request: its Via, From, To, Call-ID and CSeq copied, a tag added to To where it has none.
pub fn response(request: &str, status: &str, tag: &str, contact: &str, body: &str) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for via in headers(request, "Via") {
        text += &format!("Via: {via}\r\n");
    }
    for name in ["From", "Call-ID", "CSeq"] {
        text += &format!("{name}: {}\r\n", header(request, name).unwrap_or(""));
    }
    let to = header(request, "To").unwrap_or("");
    let tag = if to.contains("tag=") || status.starts_with("100") { String::new() } else { format!(";tag={tag}") };
    text += &format!("To: {to}{tag}\r\nContact: <{contact}>\r\nSupported: replaces\r\n");
    finish(text, body)
}

/// Adds the length and the body.
pub fn finish(mut text: String, body: &str) -> String {
    if !body.is_empty() {
        text += "Content-Type: application/sdp\r\n";
    }
    text + &format!("Content-Length: {}\r\n\r\n{body}", body.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_cut_into_its_parts() {
        let invite = "INVITE sip:b@192.0.2.2 SIP/2.0\r\nv: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx;rport\r\n\
                      From: \"A\" <sip:a@192.0.2.1>;tag=1\r\nTo: sip:b@192.0.2.2\r\nCall-ID: c\r\nCSeq: 3 INVITE\r\n\r\n";
        assert_eq!((method(invite), branch(invite), status(invite)), ("INVITE", "z9hG4bKx", None));
        assert_eq!(uri(header(invite, "From").unwrap()), "sip:a@192.0.2.1");
        let answer = response(invite, "200 OK", "9", "sip:b@192.0.2.2", "");
        assert_eq!(status(&answer), Some(200));
        assert_eq!(header(&answer, "To"), Some("sip:b@192.0.2.2;tag=9"));
        let at = SocketAddr::from(([192, 0, 2, 2], 5000));
        let body = finish("SIP/2.0 200 OK\r\n".into(), &describe(at, 101, 1, "sendonly"));
        let expected = Description { address: at, events: Some(101), direction: "sendonly".into() };
        assert_eq!(description(&body), Some(expected));
    }
}
