//! Methods.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! methods {
    ($($variant:ident = $text:literal),* $(,)?) => {
        /// A request's method: those of the standards, and any other as it was written. Methods are case-sensitive.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Method {
            $(#[doc = $text] $variant,)*
            /// One that no standard we know names.
            Other(String),
        }

        impl Method {
            /// Every method that the standards name.
            pub const KNOWN: &'static [Method] = &[$(Method::$variant),*];

            /// As it stands on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Method::$variant => $text,)*
                    Method::Other(text) => text,
                }
            }
        }

        impl From<&str> for Method {
            fn from(text: &str) -> Method {
                match text {
                    $($text => Method::$variant,)*
                    other => Method::Other(other.to_owned()),
                }
            }
        }
    };
}

methods! {
    Invite = "INVITE",
    Ack = "ACK",
    Bye = "BYE",
    Cancel = "CANCEL",
    Options = "OPTIONS",
    Register = "REGISTER",
    Info = "INFO",
    Message = "MESSAGE",
    Notify = "NOTIFY",
    Prack = "PRACK",
    Publish = "PUBLISH",
    Refer = "REFER",
    Subscribe = "SUBSCRIBE",
    Update = "UPDATE",
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
