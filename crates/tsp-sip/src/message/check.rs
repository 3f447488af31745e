//! Whether a request may be acted on (RFC 3261 section 8.2, the order of its tests).

use super::{Message, Method, Name, NameAddr, Params, Scheme, Start, Uri, Via, content_type_is};

/// Methods that are acted on.
pub const SUPPORTED_METHODS: &[Method] = &[
    Method::Invite,
    Method::Ack,
    Method::Cancel,
    Method::Bye,
    Method::Options,
    Method::Prack,
    Method::Update,
    Method::Info,
    Method::Notify,
    Method::Refer,
];

/// The same as the value of Allow.
pub const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, NOTIFY, REFER";

/// Extensions that may be required of us; a line's policy may still refuse one.
pub const EXTENSIONS: &[&str] = &["100rel", "timer", "replaces", "norefersub"];

/// What an INFO may carry: digits.
pub const INFO_CONTENT: [&str; 2] = ["application/dtmf-relay", "application/dtmf"];

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The status of the answer.
    pub status: u16,
    /// Its words, where they are not the standard's.
    pub reason: Option<String>,
    /// Headers that go with it.
    pub headers: Vec<(&'static str, String)>,
}

impl Reject {
    /// A plain refusal.
    pub fn new(status: u16) -> Reject {
        Reject { status, reason: None, headers: Vec::new() }
    }

    fn bad(reason: impl Into<String>) -> Reject {
        Reject { status: 400, reason: Some(format!("Bad Request - {}", reason.into())), headers: Vec::new() }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Reject {
        self.headers.push((name, value.into()));
        self
    }
}

/// Tests a request. What has passed has one readable From (with or without tag), To, Call-ID and CSeq, a top Via, a method
/// that is acted on, a Request-URI of a scheme that we know, no extension and no body that we do not.
pub fn check(message: &Message<'_>) -> Result<(), Reject> {
    let Start::Request { method, uri, version } = &message.start else {
        return Err(Reject::bad("not a request"));
    };
    if !version.eq_ignore_ascii_case("SIP/2.0") {
        return Err(Reject::new(505));
    }
    if let Some(fault) = message.fault {
        return Err(Reject::bad(fault));
    }
    let method = Method::from(*method);
    headers(message, &method)?;
    let uri = Uri::parse(uri).map_err(|error| Reject::bad(error.to_string()))?;
    replaces(message, &method)?;
    if !SUPPORTED_METHODS.contains(&method) {
        let status = if Method::KNOWN.contains(&method) { 405 } else { 501 };
        return Err(Reject::new(status).with("Allow", ALLOW));
    }
    request_uri(&uri)?;
    // CANCEL and ACK are never refused for extensions (RFC 3261 sections 8.2.2.3 and 9.2).
    if matches!(method, Method::Ack | Method::Cancel) {
        return Ok(());
    }
    hops(message, &method)?;
    extensions(message)?;
    content(message, &method)?;
    answerable(message, &method)
}

fn headers(message: &Message<'_>, method: &Method) -> Result<(), Reject> {
    for name in [Name::From, Name::To, Name::CallId, Name::CSeq, Name::MaxForwards, Name::ContentType] {
        let mut lines = message.lines(name);
        match (lines.next(), lines.next()) {
            (_, Some(_)) => return Err(Reject::bad(format!("more than one {}", name.as_str()))),
            (None, _) if !matches!(name, Name::MaxForwards | Name::ContentType) => {
                return Err(Reject::bad(format!("no {}", name.as_str())));
            }
            _ => {}
        }
    }
    let mut vias = message.values(Name::Via).map(Via::parse);
    let readable = |ok: bool, name: &str| if ok { Ok(()) } else { Err(Reject::bad(format!("unreadable {name}"))) };
    readable(vias.next().is_some_and(|via| via.is_some()) && vias.all(|via| via.is_some()), "Via")?;
    readable(message.from().is_some_and(|from| address_is_whole(from.uri)), "From")?;
    readable(message.to().is_some_and(|to| address_is_whole(to.uri)), "To")?;
    readable(message.call_id().is_some_and(|id| !id.is_empty() && !id.contains(' ')), "Call-ID")?;
    let Some(cseq) = message.cseq() else {
        return Err(Reject::bad("unreadable CSeq"));
    };
    if cseq.method != *method {
        return Err(Reject::bad("the method of CSeq is not the request's"));
    }
    // Where Contact means nothing it is not looked at.
    if matches!(method, Method::Ack | Method::Bye | Method::Cancel | Method::Info | Method::Prack) {
        return Ok(());
    }
    contacts(message, method)
}

/// An INVITE has one Contact; one of RFC 2543 may have none, and is answered to its From.
fn contacts(message: &Message<'_>, method: &Method) -> Result<(), Reject> {
    let whole = |value: &[u8]| NameAddr::parse(value).is_some_and(|contact| address_is_whole(contact.uri));
    let old = || message.via().is_some_and(|via| via.unique_branch().is_none());
    match message.values(Name::Contact).count() {
        0 if *method == Method::Invite && !old() => Err(Reject::bad("no Contact")),
        2.. if *method == Method::Invite => Err(Reject::bad("more than one Contact")),
        _ if message.values(Name::Contact).all(|value| value == b"*" || whole(value)) => Ok(()),
        _ => Err(Reject::bad("unreadable Contact")),
    }
}

/// A call takes the place of one call, and of nothing else (RFC 3891 section 3).
fn replaces(message: &Message<'_>, method: &Method) -> Result<(), Reject> {
    let join = || message.lines(Name::Other("Join")).next().is_some();
    match message.lines(Name::Replaces).count() {
        0 => Ok(()),
        1 if *method != Method::Invite => Err(Reject::bad("Replaces in a request that is no INVITE")),
        1 if join() => Err(Reject::bad("Replaces and Join")),
        1 => Ok(()),
        _ => Err(Reject::bad("more than one Replaces")),
    }
}

/// A URI of any scheme will do in From and To.
fn address_is_whole(uri: &str) -> bool {
    Uri::parse(uri).is_ok()
}

fn request_uri(uri: &Uri<'_>) -> Result<(), Reject> {
    match uri.scheme {
        Scheme::Other => Err(Reject::new(416)),
        Scheme::Sip | Scheme::Sips if !uri.headers.is_empty() => Err(Reject::bad("headers in the Request-URI")),
        _ => Ok(()),
    }
}

/// A request that may go no further has not reached us by a plan of ours; an OPTIONS may still ask who is there, and a
/// dialog is never ended by it.
fn hops(message: &Message<'_>, method: &Method) -> Result<(), Reject> {
    let Some(value) = message.first(Name::MaxForwards) else {
        return Ok(());
    };
    let number: Option<u8> = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    match number {
        None => Err(Reject::bad("unreadable Max-Forwards")),
        Some(0) if *method != Method::Options && message.to_tag().is_none() => Err(Reject::new(483)),
        Some(_) => Ok(()),
    }
}

fn extensions(message: &Message<'_>) -> Result<(), Reject> {
    let mut unknown = Vec::new();
    for name in [Name::Require, Name::ProxyRequire] {
        let tags = message.values(name).map(|tag| String::from_utf8_lossy(tag).into_owned());
        let ours =
            |tag: &String| name == Name::Require && EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(tag));
        unknown.extend(tags.filter(|tag| !ours(tag)));
    }
    if unknown.is_empty() { Ok(()) } else { Err(Reject::new(420).with("Unsupported", unknown.join(", "))) }
}

/// An answer to INVITE has a description: whoever takes none of its kind cannot be answered (RFC 4475 section 3.3.15).
fn answerable(message: &Message<'_>, method: &Method) -> Result<(), Reject> {
    let takes =
        |value: &[u8]| ["application/sdp", "application/*", "*/*"].iter().any(|kind| content_type_is(value, kind));
    let mut kinds = message.values(Name::Accept).filter(|value| !value.is_empty()).peekable();
    if *method != Method::Invite || kinds.peek().is_none() || kinds.any(takes) {
        return Ok(());
    }
    Err(Reject::new(406).with("Accept", "application/sdp"))
}

fn content(message: &Message<'_>, method: &Method) -> Result<(), Reject> {
    if message.body.is_empty() {
        return Ok(());
    }
    let identity = |value: &[u8]| value.eq_ignore_ascii_case(b"identity");
    if !message.values(Name::ContentEncoding).all(identity) {
        return Err(Reject::new(415).with("Accept-Encoding", "identity"));
    }
    let optional = message.first(Name::ContentDisposition).is_some_and(|value| {
        let params = value.iter().position(|&byte| byte == b';').and_then(|at| value.get(at + 1..));
        params.is_some_and(|params| Params::of(params).first("handling") == Some(b"optional"))
    });
    match message.first(Name::ContentType) {
        Some(kind) if content_type_is(kind, "application/sdp") => Ok(()),
        Some(kind) if *method == Method::Info && INFO_CONTENT.iter().any(|known| content_type_is(kind, known)) => {
            Ok(())
        }
        Some(_) if optional => Ok(()),
        Some(_) if *method == Method::Info => Err(Reject::new(415).with("Accept", INFO_CONTENT.join(", "))),
        // What it tells is read by its package.
        Some(_) if matches!(method, Method::Notify | Method::Refer) => Ok(()),
        Some(_) => Err(Reject::new(415).with("Accept", "application/sdp")),
        None => Err(Reject::bad("a body without Content-Type")),
    }
}
