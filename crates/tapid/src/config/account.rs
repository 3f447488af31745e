//! Accounts of SIP lines: registration, credentials, limits. Passwords stand in the file, in files of their own, or come
//! from the service manager.

use super::check::Checker;
use super::file::SipLine;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::marker::PhantomData;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use toml::Spanned;
use tsp_sip::Secret;

/// Longest password that is read of a file, in bytes.
const MAX_SECRET: u64 = 4_096;

/// `register` of a line
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Register {
    pub registrar: Option<Spanned<String>>,
    pub expires_s: Option<Spanned<u32>>,
    pub retry_s: Option<Spanned<u32>>,
    pub instance: Option<Spanned<String>>,
    pub bulk: bool,
    pub rewrite_contact: Option<bool>,
}

/// One of `auth` or `require_auth` of a line
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    pub user: Spanned<String>,
    #[serde(default)]
    pub realm: Option<Spanned<String>>,
    #[serde(default)]
    pub password: Option<Spanned<Secret>>,
    #[serde(default)]
    pub password_file: Option<Spanned<PathBuf>>,
    #[serde(default)]
    pub credential: Option<Spanned<String>>,
}

/// `mwi` of a line
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mwi {
    #[default]
    Off,
    Subscribe,
    Unsolicited,
}

/// A table, or a list of tables.
#[derive(Debug)]
pub struct Tables<T>(pub Vec<T>);

impl<T> Default for Tables<T> {
    fn default() -> Tables<T> {
        Tables(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Tables<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tables<T>, D::Error> {
        struct Either<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = Tables<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table or a list of tables")
            }
            /// Whatever was written in place of a table may be the password: it is not repeated.
            fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Tables<T>, E> {
                Err(E::custom("expected a table such as { user = \"…\", password_file = \"…\" }"))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Tables<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(|one| Tables(vec![one]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Tables<T>, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(Tables)
            }
        }
        deserializer.deserialize_any(Either(PhantomData))
    }
}

impl Checker<'_> {
    /// The account of a line.
    pub(super) fn sip_account(&mut self, line: &SipLine) -> tsp_sip::Account {
        let register = line.register.as_ref().map(|register| self.register(register.as_ref()));
        if let Some(seconds) = &line.qualify_s {
            self.within(seconds, "qualify_s", 5..=86_400);
            if line.proxy.is_none() && register.is_none() {
                self.wrong(seconds, "qualify_s: needs a proxy or a registrar to ask");
            }
        }
        if let Some(calls) = &line.calls_per_s {
            self.within(calls, "calls_per_s", 1..=100_000);
        }
        for pattern in &line.allow_to {
            let rest = pattern.as_ref().trim_start_matches('!');
            if rest.is_empty() || rest.contains(char::is_whitespace) {
                self.wrong(pattern, "allow_to: expected the beginning of a number, or @host; ! before it forbids");
            }
        }
        tsp_sip::Account {
            register,
            credentials: line.auth.0.iter().filter_map(|auth| self.credentials(auth)).collect(),
            md5: line.md5.unwrap_or(true),
            require_auth: line.require_auth.0.iter().filter_map(|auth| self.credentials(auth)).collect(),
            qualify_s: line.qualify_s.as_ref().map(|seconds| *seconds.as_ref()),
            calls_per_s: line.calls_per_s.as_ref().map(|calls| *calls.as_ref()),
            allow_to: line.allow_to.iter().map(|pattern| pattern.as_ref().clone()).collect(),
            users: line.users.clone(),
            mwi: match line.mwi {
                Mwi::Off => tsp_sip::Mwi::Off,
                Mwi::Subscribe => tsp_sip::Mwi::Subscribe { expires_s: 3_600 },
                Mwi::Unsolicited => tsp_sip::Mwi::Unsolicited,
            },
        }
    }

    fn register(&mut self, register: &Register) -> tsp_sip::Register {
        let default = tsp_sip::Register::default();
        if let Some(registrar) = &register.registrar
            && (registrar.as_ref().is_empty() || registrar.as_ref().contains(char::is_whitespace))
        {
            self.wrong(registrar, "registrar: expected a host, host:port or an address");
        }
        if let Some(seconds) = &register.expires_s {
            self.within(seconds, "expires_s", 20..=604_800);
        }
        if let Some(seconds) = &register.retry_s {
            self.within(seconds, "retry_s", 1..=1_800);
        }
        if let Some(instance) = &register.instance {
            let uuid = instance.as_ref().strip_prefix("urn:uuid:").unwrap_or_default();
            if uuid.len() != 36 || !uuid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
                self.wrong(instance, "instance: expected \"urn:uuid:\" and a UUID that stays the same for ever");
            }
        }
        tsp_sip::Register {
            registrar: register.registrar.as_ref().map(|registrar| registrar.as_ref().clone()),
            expires_s: register.expires_s.as_ref().map_or(default.expires_s, |seconds| *seconds.as_ref()),
            retry_s: register.retry_s.as_ref().map_or(default.retry_s, |seconds| *seconds.as_ref()),
            instance: register.instance.as_ref().map(|instance| instance.as_ref().clone()),
            bulk: register.bulk,
            rewrite_contact: register.rewrite_contact.unwrap_or(default.rewrite_contact),
        }
    }

    fn credentials(&mut self, auth: &Auth) -> Option<tsp_sip::Credentials> {
        if auth.user.as_ref().is_empty() || auth.user.as_ref().chars().any(char::is_control) {
            self.wrong(&auth.user, "user: expected a name");
        }
        let password = match (&auth.password, &auth.password_file, &auth.credential) {
            (Some(password), None, None) => Some(password.as_ref().clone()),
            (None, Some(file), None) => {
                let path = self.beside(file.as_ref());
                self.secret(file, "password_file", &path)
            }
            (None, None, Some(name)) => self.credential(name),
            _ => {
                let text = "auth: exactly one of password, password_file and credential";
                self.wrong(&auth.user, text);
                None
            }
        };
        Some(tsp_sip::Credentials {
            realm: auth.realm.as_ref().map(|realm| realm.as_ref().clone()),
            user: auth.user.as_ref().clone(),
            password: password?,
        })
    }

    /// A credential that the service manager gives (`LoadCredential=`).
    pub(super) fn credential(&mut self, name: &Spanned<String>) -> Option<Secret> {
        let text = name.as_ref();
        if text.is_empty() || text.contains('/') || text.starts_with('.') {
            self.wrong(name, "credential: expected the name of a credential, not a path");
            return None;
        }
        match std::env::var_os("CREDENTIALS_DIRECTORY") {
            Some(directory) => self.secret(name, "credential", &Path::new(&directory).join(text)),
            None => {
                let text = "credential: $CREDENTIALS_DIRECTORY is not set: the service manager sets it for the daemon";
                self.wrong(name, text);
                None
            }
        }
    }

    /// The first line of a file that nobody else may read, and only we and our group.
    pub(super) fn secret<T>(&mut self, at: &Spanned<T>, what: &str, path: &Path) -> Option<Secret> {
        match read(path) {
            Ok(secret) => Some(secret),
            Err(error) => {
                self.wrong(at, format!("{what}: {}: {error}", path.display()));
                None
            }
        }
    }
}

fn read(path: &Path) -> Result<Secret, String> {
    let about = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !about.is_file() || about.len() > MAX_SECRET {
        return Err(format!("expected a file of at most {MAX_SECRET} bytes"));
    }
    if about.mode() & 0o027 != 0 {
        let mode = about.mode() & 0o777;
        return Err(format!("its permissions are {mode:04o}: run 'chmod 0600', or 0640 for a group of its own"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    match text.lines().next().filter(|line| !line.is_empty()) {
        Some(line) => Ok(Secret::new(line)),
        None => Err("there is nothing in its first line".to_owned()),
    }
}

#[cfg(test)]
mod tests;
