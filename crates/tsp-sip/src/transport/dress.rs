//! What stands in a message about ourselves, brought to the way that it takes: Via, Contact, and the address of audio.
//!
//! Messages are written as if they went out by datagram from the address that we listen at; what differs is put in when the
//! way is known.

use super::Transport;
use std::net::IpAddr;

/// What is put in.
#[derive(Clone, Debug)]
pub(crate) struct Dress<'a> {
    /// The way.
    pub transport: Transport,
    /// Our end of it, as Via has it; none: Via is left as it is.
    pub via: Option<(&'a str, &'a str)>,
    /// What stands in the Contact that was written.
    pub here: &'a str,
    /// What is to stand there.
    pub contact: &'a str,
    /// Whether Contact is a `sips` URI.
    pub secure: bool,
    /// Our own address of audio, and what the far end is told instead.
    pub audio: Option<IpAddr>,
}

/// Dresses a message of ours.
pub(crate) fn dress(message: &[u8], how: &Dress<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 64);
    let end = message.windows(4).position(|four| four == b"\r\n\r\n").map_or(message.len(), |at| at + 2);
    let (head, body) = (message.get(..end).unwrap_or_default(), message.get(end + 2..).unwrap_or_default());
    let body = match how.audio {
        Some(address) if body.starts_with(b"v=0") => Some(audio(body, address)),
        _ => None,
    };
    let (mut via, mut ours) = (how.via, true);
    for line in head.split_inclusive(|&byte| byte == b'\n') {
        if line.starts_with(b"Via: ")
            && let Some((host, branch)) = via.take()
        {
            let text = ["Via: SIP/2.0/", how.transport.token(), " ", host, ";branch=", branch, ";rport\r\n"].concat();
            out.extend_from_slice(text.as_bytes());
        } else if line.starts_with(b"Contact: ") && std::mem::take(&mut ours) {
            // A second one is a former one that is to be removed: it stays as it was.
            contact(line, how, &mut out);
        } else if line.starts_with(b"Content-Length: ")
            && let Some(body) = &body
        {
            out.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        } else {
            out.extend_from_slice(line);
        }
    }
    out.extend_from_slice(b"\r\n");
    match &body {
        Some(body) => out.extend_from_slice(body),
        None => out.extend_from_slice(message.get(end + 2..).unwrap_or_default()),
    }
    out
}

fn contact(line: &[u8], how: &Dress<'_>, out: &mut Vec<u8>) {
    let Ok(text) = std::str::from_utf8(line) else {
        return out.extend_from_slice(line);
    };
    let here = ["@", how.here].concat();
    let Some((before, after)) = text.split_once(&here).filter(|(_, after)| after.starts_with(['>', ';'])) else {
        return out.extend_from_slice(line);
    };
    let before = if how.secure { before.replacen("<sip:", "<sips:", 1) } else { before.to_owned() };
    out.extend_from_slice(before.as_bytes());
    out.push(b'@');
    out.extend_from_slice(how.contact.as_bytes());
    let param = match how.transport {
        Transport::Udp => "",
        // A sips URI is under TLS by its scheme: its transport is what TLS runs over (RFC 3261 section 26.2.2).
        Transport::Tls if how.secure => ";transport=tcp",
        Transport::Tcp => ";transport=tcp",
        Transport::Tls => ";transport=tls",
    };
    out.extend_from_slice(param.as_bytes());
    out.extend_from_slice(after.as_bytes());
}

/// A description of ours with another address.
fn audio(body: &[u8], address: IpAddr) -> Vec<u8> {
    let family = if address.is_ipv4() { "IP4" } else { "IP6" };
    let mut out = Vec::with_capacity(body.len() + 16);
    for line in body.split_inclusive(|&byte| byte == b'\n') {
        let text = std::str::from_utf8(line).unwrap_or_default();
        let ours = text.starts_with("c=IN IP") || text.starts_with("o=") || text.starts_with("a=rtcp:");
        match text.trim_end().rsplit_once(" IN IP").or_else(|| text.trim_end().split_once("IN IP")) {
            Some((before, old)) if ours && !old.ends_with("0.0.0.0") => {
                let space = if text.starts_with("c=") { "" } else { " " };
                out.extend_from_slice(format!("{before}{space}IN {family} {address}\r\n").as_bytes());
            }
            _ => out.extend_from_slice(line),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: &str = "INVITE sip:b@x SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKa;rport\r\n\
                          Contact: <sip:100@10.0.0.1:5060>\r\nContent-Type: application/sdp\r\nContent-Length: 86\r\n\r\n\
                          v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n";

    #[test]
    fn via_contact_and_audio_are_those_of_the_way() {
        let how = Dress {
            transport: Transport::Tls,
            via: Some(("10.0.0.1:5061", "z9hG4bKb")),
            here: "10.0.0.1:5060",
            contact: "203.0.113.5:5061",
            secure: false,
            audio: Some([203, 0, 113, 5].into()),
        };
        let text = String::from_utf8(dress(INVITE.as_bytes(), &how)).unwrap();
        assert!(text.contains("\r\nVia: SIP/2.0/TLS 10.0.0.1:5061;branch=z9hG4bKb;rport\r\n"), "{text}");
        assert!(text.contains("\r\nContact: <sip:100@203.0.113.5:5061;transport=tls>\r\n"), "{text}");
        assert!(text.contains("o=- 1 1 IN IP4 203.0.113.5\r\n") && text.contains("c=IN IP4 203.0.113.5\r\n"), "{text}");
        let message = crate::message::scan(text.as_bytes()).unwrap();
        assert_eq!((message.fault, message.body.ends_with(b"RTP/AVP 8\r\n")), (None, true), "{text}");
        let secure = String::from_utf8(dress(INVITE.as_bytes(), &Dress { secure: true, audio: None, ..how })).unwrap();
        assert!(secure.contains("Contact: <sips:100@203.0.113.5:5061;transport=tcp>\r\n"), "{secure}");
        assert!(secure.contains("c=IN IP4 10.0.0.1\r\n"));
    }
}
