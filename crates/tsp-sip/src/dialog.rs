//! Dialogs (RFC 3261 section 12).

use crate::locate::Destination;
use crate::message::{Draft, Message, Method, Name, NameAddr, Octets, Scheme, Uri};
use crate::transport::{Peer, Target, Transport, is_private};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Most routes that are kept of a route set.
const MAX_ROUTES: usize = 32;

/// What both ends know of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialog {
    /// Call-ID.
    pub call_id: String,
    /// Our own tag.
    pub local_tag: String,
    /// The far end's tag; a peer of RFC 2543 has none.
    pub remote_tag: Option<String>,
    /// Our From, with tag.
    local: Octets,
    /// Our To, with tag where there is one.
    remote: Octets,
    /// Where requests are aimed at.
    target: String,
    /// Through where, nearest first.
    routes: Vec<String>,
    /// Number of our last request.
    pub local_cseq: u32,
    /// Number of the last request of the far end.
    pub remote_cseq: Option<u32>,
    /// Where the far end's messages came from: requests go there when the next hop is a name and not an address.
    pub heard_from: Peer,
}

impl Dialog {
    /// The caller's dialog, out of a response to its INVITE. `local` is the From that was sent.
    pub fn of_response(response: &Message<'_>, local_tag: &str, heard_from: Peer) -> Option<Dialog> {
        let mut routes = routes(response);
        routes.reverse();
        Some(Dialog {
            call_id: response.call_id()?.to_owned(),
            local_tag: local_tag.to_owned(),
            remote_tag: response.to_tag().map(str::to_owned),
            local: response.first(Name::From)?.into(),
            remote: response.first(Name::To)?.into(),
            target: target(response)?,
            routes,
            local_cseq: response.cseq()?.number,
            remote_cseq: None,
            heard_from,
        })
    }

    /// The called side's dialog, out of an INVITE that [`check`](crate::message::check) let pass.
    pub fn of_request(request: &Message<'_>, local_tag: &str, heard_from: Peer) -> Option<Dialog> {
        let mut local = request.first(Name::To)?.to_vec();
        local.extend_from_slice(b";tag=");
        local.extend_from_slice(local_tag.as_bytes());
        Some(Dialog {
            call_id: request.call_id()?.to_owned(),
            local_tag: local_tag.to_owned(),
            remote_tag: request.from_tag().map(str::to_owned),
            local: local.into(),
            remote: request.first(Name::From)?.into(),
            target: target(request).or_else(|| old_target(request))?,
            routes: routes(request),
            local_cseq: 0,
            remote_cseq: Some(request.cseq()?.number),
            heard_from,
        })
    }

    /// The far end moved (section 12.2.1.2): its Contact is the new target. The route set stays.
    pub fn refresh(&mut self, message: &Message<'_>) {
        if let Some(new) = target(message) {
            self.target = new;
        }
    }

    /// Begins a request within the dialog: everything but Via, Contact, Content and what is special to the method.
    pub fn request(&self, method: &Method, cseq: u32, via: &str) -> Draft {
        let strict = self.routes.first().filter(|route| !is_loose(route));
        let (uri, routes): (&str, Vec<&str>) = match strict {
            // A hop of RFC 2543 takes its own URI out of the first line (section 12.2.1.1).
            Some(first) => {
                let rest = self.routes.iter().skip(1).map(String::as_str);
                (inner(first), rest.chain([self.target.as_str()]).collect())
            }
            None => (&self.target, self.routes.iter().map(String::as_str).collect()),
        };
        let mut draft = Draft::request(method, uri).header("Via", via).header("Max-Forwards", "70");
        for route in routes {
            if route.starts_with('<') || route.contains('<') {
                draft.push("Route", route);
            } else {
                draft.push("Route", format!("<{route}>"));
            }
        }
        draft
            .header("From", &self.local)
            .header("To", &self.remote)
            .header("Call-ID", &self.call_id)
            .header("CSeq", format!("{cseq} {method}"))
    }

    /// Where the next request is sent to: an address that is named is gone to, a name is taken for whoever was heard. A
    /// connection over which the far end was heard is used again when it may lead there.
    pub fn next_hop(&self) -> Target {
        let find = self.hop();
        let heard = self.heard_from;
        let known = match find.as_ref().and_then(Destination::address) {
            None => Some(heard),
            Some(ip) => {
                let wanted = find.as_ref().and_then(|find| find.transport).unwrap_or(heard.transport);
                let same = ip == heard.ip() || is_private(ip) && !is_private(heard.ip());
                Some(heard).filter(|_| heard.transport.is_reliable() && wanted.is_reliable() && same)
            }
        };
        Target { known, find }
    }

    /// The address of the next hop, where it is named by one.
    pub fn hop_ip(&self) -> Option<IpAddr> {
        self.hop().as_ref().and_then(Destination::address)
    }

    fn hop(&self) -> Option<Destination> {
        let uri = self.routes.first().map_or(self.target.as_str(), |route| inner(route));
        let mut find = Uri::parse(uri).ok().as_ref().and_then(Destination::of_uri)?;
        if find.secure || self.heard_from.transport == Transport::Tls && find.transport == Some(Transport::Tcp) {
            find.transport = Some(Transport::Tls);
        }
        Some(find)
    }

    /// Where requests are aimed at: the far end's Contact.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The far end's address of record.
    pub fn remote_uri(&self) -> Option<&str> {
        NameAddr::parse(&self.remote.0).map(|remote| remote.uri)
    }

    /// Whether others stand between.
    pub fn is_routed(&self) -> bool {
        !self.routes.is_empty()
    }

    /// Whether a request belongs to it.
    pub fn owns(&self, request: &Message<'_>) -> bool {
        request.from_tag() == self.remote_tag.as_deref()
    }
}

fn routes(message: &Message<'_>) -> Vec<String> {
    let values = message.values(Name::RecordRoute).take(MAX_ROUTES);
    values.filter(|value| NameAddr::parse(value).is_some()).filter_map(text).collect()
}

fn text(value: &[u8]) -> Option<String> {
    std::str::from_utf8(value).ok().map(str::to_owned)
}

fn target(message: &Message<'_>) -> Option<String> {
    let contact = message.contact()?;
    let uri = contact.parsed().filter(|uri| matches!(uri.scheme, Scheme::Sip | Scheme::Sips))?;
    let headers = if uri.headers.is_empty() { 0 } else { uri.headers.len() + 1 };
    contact.uri.get(..contact.uri.len() - headers).map(str::to_owned)
}

/// A request of RFC 2543 without Contact is answered to its From.
fn old_target(request: &Message<'_>) -> Option<String> {
    let from = request.from().filter(|_| request.values(Name::Contact).next().is_none())?;
    from.parsed().filter(|uri| matches!(uri.scheme, Scheme::Sip | Scheme::Sips))?;
    Some(from.uri.to_owned())
}

/// The URI of a route.
fn inner(route: &str) -> &str {
    NameAddr::parse(route.as_bytes()).map_or(route, |route| route.uri)
}

fn is_loose(route: &str) -> bool {
    Uri::parse(inner(route)).is_ok_and(|uri| uri.param("lr").is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::scan;

    const FROM: &str = "192.0.2.9:5060";

    fn dialog(record_routes: &str, contact: &str) -> Dialog {
        let text = format!(
            "SIP/2.0 200 OK\r\nFrom: <sip:a@x>;tag=1\r\nTo: \"B, C\" <sip:b@y>;tag=2\r\nCall-ID: c\r\nCSeq: 7 INVITE\r\n\
             {record_routes}Contact: {contact}\r\n\r\n"
        );
        Dialog::of_response(&scan(text.as_bytes()).unwrap(), "1", Peer::udp(FROM.parse().unwrap())).unwrap()
    }

    fn request(dialog: &Dialog) -> String {
        let draft = dialog.request(&Method::Bye, 8, "SIP/2.0/UDP h;branch=z9hG4bK1");
        String::from_utf8(draft.finish(None)).unwrap()
    }

    fn hop(dialog: &Dialog) -> String {
        let Target { known: None, find: Some(find) } = dialog.next_hop() else { panic!("a name, or nothing") };
        find.port.map_or(find.host.clone(), |port| format!("{}:{port}", find.host))
    }

    #[test]
    fn the_callers_route_set_is_record_route_reversed() {
        let dialog =
            dialog("Record-Route: <sip:192.0.2.1;lr>, <sip:192.0.2.2:5070;lr=true>\r\n", "<sip:b@10.0.0.1?Subject=x>");
        assert_eq!(hop(&dialog), "192.0.2.2:5070");
        let text = request(&dialog);
        assert!(text.starts_with("BYE sip:b@10.0.0.1 SIP/2.0\r\n"), "{text}");
        assert!(text.contains("Route: <sip:192.0.2.2:5070;lr=true>\r\nRoute: <sip:192.0.2.1;lr>\r\n"), "{text}");
        assert!(text.contains("To: \"B, C\" <sip:b@y>;tag=2\r\n") && text.contains("CSeq: 8 BYE\r\n"), "{text}");
    }

    #[test]
    fn a_strict_router_gets_its_own_uri_in_the_first_line() {
        let dialog = dialog("Record-Route: <sip:192.0.2.1;lr>, <sip:192.0.2.2>\r\n", "<sip:b@10.0.0.1>");
        assert_eq!(hop(&dialog), "192.0.2.2");
        let text = request(&dialog);
        assert!(text.starts_with("BYE sip:192.0.2.2 SIP/2.0\r\n"), "{text}");
        assert!(text.contains("Route: <sip:192.0.2.1;lr>\r\nRoute: <sip:b@10.0.0.1>\r\n"), "{text}");
    }

    #[test]
    fn a_target_that_is_a_name_is_reached_where_its_messages_came_from() {
        assert_eq!(dialog("", "<sip:b@pbx.example.org>").next_hop().known, Some(Peer::udp(FROM.parse().unwrap())));
        assert_eq!(hop(&dialog("", "<sip:b@[2001:db8::1]:5062>")), "2001:db8::1:5062");
    }
}
