//! What a line needs beside its addresses: an account at a registrar, credentials, and limits.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Text that nobody may read: a password. Its `Debug` does not show it; it is serialised in clear, so whatever holds it may
/// only be written where nobody else reads.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Text to keep to oneself.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text, for those that must have it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Account, credentials and limits of a line. The default is a trunk without any of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Account {
    /// Where it registers (RFC 3261 section 10).
    pub register: Option<Register>,
    /// What challenges are answered with, the first whose realm fits.
    pub credentials: Vec<Credentials>,
    /// Whether MD5 is good enough, as a client and as a server (RFC 8760).
    pub md5: bool,
    /// Who may call: every request outside a dialog is challenged for one of these (RFC 3261 section 22). Empty: nobody is
    /// challenged.
    pub require_auth: Vec<Credentials>,
    /// How often the peer is probed with OPTIONS, in seconds; none: never.
    pub qualify_s: Option<u32>,
    /// New calls a second, each way for itself; none: as many as come.
    pub calls_per_s: Option<u32>,
    /// Where calls may go: beginnings of numbers (`+49`), hosts (`@example.org`), and exceptions (`!+49900`), of which the
    /// longest that fits decides. Empty: anywhere.
    pub allow_to: Vec<String>,
    /// Users that are served beside the line's own; others are told 404. A `*` at the end stands for any rest. Empty: every
    /// user is served.
    pub users: Vec<String>,
    /// Where news of waiting messages comes from (RFC 3842).
    pub mwi: Mwi,
}

impl Default for Account {
    fn default() -> Account {
        Account {
            register: None,
            credentials: Vec::new(),
            md5: true,
            require_auth: Vec::new(),
            qualify_s: None,
            calls_per_s: None,
            allow_to: Vec::new(),
            users: Vec::new(),
            mwi: Mwi::Off,
        }
    }
}

/// A binding that is kept at a registrar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    /// The registrar as `host`, `host:port` or an address; none: the line's domain.
    pub registrar: Option<String>,
    /// How long a binding is asked for, in seconds.
    pub expires_s: u32,
    /// The wait after a first failure, in seconds; each further failure doubles it up to half an hour (RFC 5626 section 4.5).
    pub retry_s: u32,
    /// `urn:uuid:…` that names this machine for ever; with it the binding is one of RFC 5626.
    pub instance: Option<String>,
    /// Whether all numbers of the domain are registered at once (RFC 6140).
    pub bulk: bool,
    /// Whether the Contact follows the address that the registrar sees.
    pub rewrite_contact: bool,
}

impl Default for Register {
    fn default() -> Register {
        Register { registrar: None, expires_s: 3_600, retry_s: 30, instance: None, bulk: false, rewrite_contact: true }
    }
}

/// A name with its password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The realm it is for; none: any realm of the line's own target.
    pub realm: Option<String>,
    /// The name.
    pub user: String,
    /// The password.
    pub password: Secret,
}

/// Where news of waiting messages comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mwi {
    /// From nowhere: such a NOTIFY is refused.
    #[default]
    Off,
    /// From a subscription that we keep (RFC 6665).
    Subscribe {
        /// How long a subscription is asked for, in seconds.
        expires_s: u32,
    },
    /// From NOTIFYs that come unasked.
    Unsolicited,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_in_no_debug_text() {
        let password = Secret::new("hunter2");
        let account = Account {
            credentials: vec![Credentials { realm: None, user: "alice".into(), password }],
            ..Account::default()
        };
        let text = format!("{account:?} {account:#?}");
        assert!(!text.contains("hunter2") && text.contains("[secret]"), "{text}");
        let kept: Account = serde_json::from_str(&serde_json::to_string(&account).unwrap()).unwrap();
        assert_eq!(kept.credentials[0].password.reveal(), "hunter2");
    }
}
