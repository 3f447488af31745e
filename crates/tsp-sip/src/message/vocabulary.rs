//! The one place that names `rsip`: its types as the vocabulary of the standard (methods, status codes, headers), filled
//! from what our own scanner read. `rsip` never reads bytes off the wire.

use super::{Header, Message, Method, Name, Start, Uri};
use rsip::headers::{UntypedHeader, untyped};
use std::borrow::Cow;

/// The standard's words for a status.
pub fn reason(status: u16) -> Cow<'static, str> {
    // Those of every call are at hand; 200 and 481 are also those that `rsip` words differently.
    match status {
        100 => return "Trying".into(),
        180 => return "Ringing".into(),
        200 => return "OK".into(),
        481 => return "Call/Transaction Does Not Exist".into(),
        _ => {}
    }
    match rsip::StatusCode::from(status) {
        rsip::StatusCode::Other(202, _) => "Accepted".into(),
        rsip::StatusCode::Other(489, _) => "Bad Event".into(),
        rsip::StatusCode::Other(..) => "Unknown".into(),
        known => {
            let text = known.to_string();
            words(text.split_once(' ').map_or(text.as_str(), |(_, name)| name)).into()
        }
    }
}

/// `BusyHere` as `Busy Here`.
fn words(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 4);
    for character in name.chars() {
        if character.is_ascii_uppercase() && !text.is_empty() {
            text.push(' ');
        }
        text.push(character);
    }
    text
}

/// The method, where `rsip` has it.
pub fn method(method: &Method) -> Option<rsip::Method> {
    Some(match method {
        Method::Invite => rsip::Method::Invite,
        Method::Ack => rsip::Method::Ack,
        Method::Bye => rsip::Method::Bye,
        Method::Cancel => rsip::Method::Cancel,
        Method::Options => rsip::Method::Options,
        Method::Register => rsip::Method::Register,
        Method::Info => rsip::Method::Info,
        Method::Message => rsip::Method::Message,
        Method::Notify => rsip::Method::Notify,
        Method::Prack => rsip::Method::PRack,
        Method::Publish => rsip::Method::Publish,
        Method::Refer => rsip::Method::Refer,
        Method::Subscribe => rsip::Method::Subscribe,
        Method::Update => rsip::Method::Update,
        Method::Other(_) => return None,
    })
}

/// A URI that prints as it was written. Where `rsip` cannot hold it (`tel:`, IPv6, headers), it stands whole in the place
/// of the host.
pub fn uri(text: &str) -> rsip::Uri {
    let plain = Uri::parse(text).ok().filter(|uri| {
        text.starts_with("sip:") && uri.params.is_empty() && uri.headers.is_empty() && !text.contains('[')
    });
    match plain {
        Some(uri) => rsip::Uri {
            scheme: Some(rsip::Scheme::Sip),
            auth: uri.user.map(|user| rsip::Auth { user: user.to_owned(), password: None }),
            host_with_port: rsip::HostWithPort {
                host: match uri.address() {
                    Some(address) => rsip::Host::IpAddr(address),
                    None => rsip::Host::Domain(uri.host.into()),
                },
                port: uri.port.map(rsip::Port::from),
            },
            params: Vec::new(),
            headers: Vec::new(),
        },
        None => rsip::Uri {
            scheme: None,
            auth: None,
            host_with_port: rsip::HostWithPort { host: rsip::Host::Domain(text.into()), port: None },
            params: Vec::new(),
            headers: Vec::new(),
        },
    }
}

/// A request as `rsip` models it; `None` for a response, for a method that `rsip` has not, and for headers that are not
/// UTF-8.
pub fn request(message: &Message<'_>) -> Option<rsip::Request> {
    let Start::Request { method: name, uri: target, .. } = &message.start else {
        return None;
    };
    Some(rsip::Request {
        method: method(&Method::from(*name))?,
        uri: uri(target),
        version: rsip::Version::V2,
        headers: headers(message)?,
        body: message.body.to_vec(),
    })
}

/// A response as `rsip` models it; `None` for a request, and for headers that are not UTF-8.
pub fn response(message: &Message<'_>) -> Option<rsip::Response> {
    Some(rsip::Response {
        status_code: rsip::StatusCode::from(message.status()?),
        version: rsip::Version::V2,
        headers: headers(message)?,
        body: message.body.to_vec(),
    })
}

fn headers(message: &Message<'_>) -> Option<rsip::Headers> {
    let headers: Option<Vec<rsip::Header>> = message.headers.iter().map(header).collect();
    Some(headers?.into())
}

fn header(header: &Header<'_>) -> Option<rsip::Header> {
    let value = std::str::from_utf8(&header.value).ok()?.to_owned();
    Some(match header.name {
        Name::Accept => untyped::Accept::new(value).into(),
        Name::Allow => untyped::Allow::new(value).into(),
        Name::Authorization => untyped::Authorization::new(value).into(),
        Name::CSeq => untyped::CSeq::new(value).into(),
        Name::CallId => untyped::CallId::new(value).into(),
        Name::Contact => untyped::Contact::new(value).into(),
        Name::ContentDisposition => untyped::ContentDisposition::new(value).into(),
        Name::ContentEncoding => untyped::ContentEncoding::new(value).into(),
        Name::ContentLength => untyped::ContentLength::new(value).into(),
        Name::ContentType => untyped::ContentType::new(value).into(),
        Name::From => untyped::From::new(value).into(),
        Name::MaxForwards => untyped::MaxForwards::new(value).into(),
        Name::ProxyAuthorization => untyped::ProxyAuthorization::new(value).into(),
        Name::ProxyRequire => untyped::ProxyRequire::new(value).into(),
        Name::RecordRoute => untyped::RecordRoute::new(value).into(),
        Name::Require => untyped::Require::new(value).into(),
        Name::RetryAfter => untyped::RetryAfter::new(value).into(),
        Name::Route => untyped::Route::new(value).into(),
        Name::Server => untyped::Server::new(value).into(),
        Name::Subject => untyped::Subject::new(value).into(),
        Name::Supported => untyped::Supported::new(value).into(),
        Name::To => untyped::To::new(value).into(),
        Name::Unsupported => untyped::Unsupported::new(value).into(),
        Name::UserAgent => untyped::UserAgent::new(value).into(),
        Name::Via => untyped::Via::new(value).into(),
        Name::Warning => untyped::Warning::new(value).into(),
        Name::Diversion
        | Name::HistoryInfo
        | Name::MinSe
        | Name::PAssertedIdentity
        | Name::RAck
        | Name::RSeq
        | Name::ReferSub
        | Name::ReferTo
        | Name::ReferredBy
        | Name::Replaces
        | Name::RemotePartyId
        | Name::SessionExpires
        | Name::Privacy
        | Name::Reason
        | Name::Other(_) => rsip::Header::Other(header.name.as_str().to_owned(), value),
    })
}
