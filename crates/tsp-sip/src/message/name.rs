//! Names of headers.

use super::scan::{TOKEN, is_token};

macro_rules! names {
    ($($variant:ident = $text:literal $lower:literal $(| $compact:literal)?),* $(,)?) => {
        /// A header's name. Unknown names are kept as written, and are equal without regard to case.
        #[derive(Clone, Copy, Debug)]
        pub enum Name<'a> {
            $(#[doc = $text] $variant,)*
            /// Any other.
            Other(&'a str),
        }

        impl<'a> Name<'a> {
            /// The full name as it is usually written.
            pub fn as_str(&self) -> &'a str {
                match self {
                    $(Name::$variant => $text,)*
                    Name::Other(text) => text,
                }
            }

            fn known(lower: &[u8]) -> Option<Name<'static>> {
                match lower {
                    $($lower $(| $compact)? => Some(Name::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

names! {
    Accept = "Accept" b"accept",
    Allow = "Allow" b"allow",
    Authorization = "Authorization" b"authorization",
    CSeq = "CSeq" b"cseq",
    CallId = "Call-ID" b"call-id" | b"i",
    Contact = "Contact" b"contact" | b"m",
    ContentDisposition = "Content-Disposition" b"content-disposition",
    ContentEncoding = "Content-Encoding" b"content-encoding" | b"e",
    ContentLength = "Content-Length" b"content-length" | b"l",
    ContentType = "Content-Type" b"content-type" | b"c",
    Diversion = "Diversion" b"diversion",
    From = "From" b"from" | b"f",
    HistoryInfo = "History-Info" b"history-info",
    MaxForwards = "Max-Forwards" b"max-forwards",
    MinSe = "Min-SE" b"min-se",
    PAssertedIdentity = "P-Asserted-Identity" b"p-asserted-identity",
    Privacy = "Privacy" b"privacy",
    ProxyAuthorization = "Proxy-Authorization" b"proxy-authorization",
    ProxyRequire = "Proxy-Require" b"proxy-require",
    RAck = "RAck" b"rack",
    RSeq = "RSeq" b"rseq",
    Reason = "Reason" b"reason",
    RecordRoute = "Record-Route" b"record-route",
    ReferSub = "Refer-Sub" b"refer-sub",
    ReferTo = "Refer-To" b"refer-to" | b"r",
    ReferredBy = "Referred-By" b"referred-by" | b"b",
    RemotePartyId = "Remote-Party-ID" b"remote-party-id",
    Replaces = "Replaces" b"replaces",
    Require = "Require" b"require",
    RetryAfter = "Retry-After" b"retry-after",
    Route = "Route" b"route",
    Server = "Server" b"server",
    SessionExpires = "Session-Expires" b"session-expires" | b"x",
    Subject = "Subject" b"subject" | b"s",
    Supported = "Supported" b"supported" | b"k",
    To = "To" b"to" | b"t",
    Unsupported = "Unsupported" b"unsupported",
    UserAgent = "User-Agent" b"user-agent",
    Via = "Via" b"via" | b"v",
    Warning = "Warning" b"warning",
}

const LONGEST: usize = 20;

impl<'a> Name<'a> {
    /// The header that is called so, fully or compactly, in any case. `None`: it is no name.
    pub fn read(text: &'a [u8]) -> Option<Name<'a>> {
        let mut lower = [0u8; LONGEST];
        let Some(room) = lower.get_mut(..text.len()) else {
            let name = text.iter().copied().all(is_token);
            return std::str::from_utf8(text).ok().filter(|_| name).map(Name::Other);
        };
        let mut name = !text.is_empty();
        for (to, from) in room.iter_mut().zip(text) {
            *to = TOKEN[usize::from(*from)];
            name &= *to != 0;
        }
        match Name::known(room) {
            _ if !name => None,
            Some(known) => Some(known),
            None => std::str::from_utf8(text).ok().map(Name::Other),
        }
    }
}

impl PartialEq for Name<'_> {
    fn eq(&self, other: &Name<'_>) -> bool {
        match (self, other) {
            (Name::Other(a), Name::Other(b)) => a.eq_ignore_ascii_case(b),
            (Name::Other(_), _) | (_, Name::Other(_)) => false,
            (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
        }
    }
}

impl Eq for Name<'_> {}
