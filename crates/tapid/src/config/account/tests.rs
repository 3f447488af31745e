use crate::config::{Config, Kind, Problems, ProviderConfig};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tsp_sip::{Account, Mwi};

fn parse(account: &str) -> Result<Account, Problems> {
    let text = format!(
        "[[sip]]\nname = \"a\"\nlisten = \"127.0.0.1\"\n[[sip.lines]]\nname = \"sip:a\"\nuser = \"100\"\n\
         domain = \"example.org\"\n{account}\n"
    );
    let config = Config::parse(Path::new("/nonexistent/tapid.toml"), &text)?;
    let [ProviderConfig { kind: Kind::Sip(sip), .. }] = &config.providers[..] else { panic!() };
    Ok(sip.lines[0].account.clone())
}

#[test]
fn an_account_is_read_whole() {
    let account = parse(
        "register = { registrar = \"sip.example.org\", expires_s = 600, retry_s = 5 }\n\
         auth = { user = \"100\", realm = \"example.org\", password = \"hunter2\" }\n\
         qualify_s = 60\ncalls_per_s = 5\nallow_to = [\"+49\", \"!+49900\"]\nusers = [\"+4930*\"]\nmwi = \"subscribe\"\n\
         md5 = false\nrequire_auth = [{ user = \"desk\", password = \"x\" }]",
    )
    .unwrap();
    let register = account.register.unwrap();
    assert_eq!(
        (register.registrar.as_deref(), register.expires_s, register.retry_s),
        (Some("sip.example.org"), 600, 5)
    );
    assert_eq!(account.credentials[0].password.reveal(), "hunter2");
    assert_eq!(account.credentials[0].realm.as_deref(), Some("example.org"));
    assert_eq!((account.qualify_s, account.calls_per_s, account.md5), (Some(60), Some(5), false));
    assert_eq!((account.allow_to.len(), account.users.len(), account.require_auth.len()), (2, 1, 1));
    assert_eq!(account.mwi, Mwi::Subscribe { expires_s: 3_600 });
}

#[test]
fn mistakes_have_a_place_and_show_no_password() {
    for (account, place, what) in [
        ("register = { expires_s = 1 }", "8:26", "expires_s: expected 20 to 604800"),
        ("register = { expire_s = 60 }", "8:14", "did you mean `expires_s`?"),
        ("register = {}\nauth = { user = \"a\" }", "9:17", "exactly one of password, password_file and credential"),
        ("register = {}\nauth = { user = \"a\", password = \"hunter2\", credential = \"c\" }", "9:17", "exactly one"),
        ("register = {}\nauth = \"hunter2\"", "9:8", "expected a table"),
        ("register = {}\nauth = { user = \"a\", credential = \"../c\" }", "9:35", "not a path"),
        ("register = {}\nauth = { user = \"a\", password_file = \"none\" }", "9:38", "/nonexistent/none"),
        ("peers = [\"192.0.2.1\"]\nqualify_s = 60", "9:13", "needs a proxy or a registrar"),
        ("register = {}\nallow_to = [\"!\"]", "9:13", "the beginning of a number"),
    ] {
        let message = parse(account).unwrap_err().to_string();
        assert!(message.starts_with(&format!("/nonexistent/tapid.toml:{place}: ")), "{account}: {message}");
        assert!(message.contains(what) && !message.contains("hunter2"), "{message}");
    }
    assert!(parse("").unwrap_err().to_string().contains("no call could come or go"));
    assert!(parse("register = {}").is_ok(), "a registrar is enough");
}

#[test]
fn a_password_file_that_others_can_read_is_refused() {
    let file = std::env::temp_dir().join(format!("tapid-secret-{}", std::process::id()));
    std::fs::write(&file, "hunter2\n").unwrap();
    let account = format!("register = {{}}\nauth = {{ user = \"a\", password_file = {file:?} }}");
    for (mode, good) in [(0o600, true), (0o640, true), (0o644, false), (0o660, false)] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        match parse(&account) {
            Ok(account) => {
                assert!(good, "{mode:o}");
                assert_eq!(account.credentials[0].password.reveal(), "hunter2");
            }
            Err(problems) => assert!(!good && problems.to_string().contains("chmod 0600"), "{mode:o} {problems}"),
        }
    }
    std::fs::remove_file(file).unwrap();
}
