//! Kamailio as registrar and proxy: accounts with digest, bindings in memory, users that it forks.

use crate::daemon::free_port;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const MODULES: &str = "/usr/lib/x86_64-linux-gnu/kamailio/modules";

/// A running Kamailio.
pub struct Kamailio {
    child: Option<Child>,
    directory: PathBuf,
    /// Its port for UDP and TCP; the next one is for TLS, where it has it.
    pub port: u16,
}

/// What it is to be beside a registrar and proxy.
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    /// Calls of users of this name are sent to all of these at once.
    pub forks: &'a [(&'a str, &'a [String])],
    /// Takes TLS with `cert.pem` and `key.pem` of its directory's parent, and trusts `ca.pem`.
    pub tls: bool,
    /// Under TLS it takes nobody who shows no certificate.
    pub client_certificates: bool,
}

impl Kamailio {
    /// Starts one in a directory below this one. The password of every user is `of-` and the user.
    pub fn start(parent: &Path, options: Options<'_>) -> Kamailio {
        let directory = parent.join("kamailio");
        std::fs::create_dir_all(&directory).unwrap();
        let port = free_port();
        std::fs::write(directory.join("kamailio.cfg"), config(port, parent, options)).unwrap();
        let mut kamailio = Kamailio { child: None, directory, port };
        kamailio.start_again();
        kamailio
    }

    /// Starts the same again: it remembers nothing.
    pub fn start_again(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.directory.join("log")).unwrap();
        let before = self.log().matches(READY).count();
        let child = Command::new("kamailio")
            .args(["-m", "64", "-M", "8", "-DD", "-E", "-Y"])
            .arg(&self.directory)
            .arg("-f")
            .arg(self.directory.join("kamailio.cfg"))
            .env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("kamailio: {error}: run 'apt-get install kamailio kamailio-tls-modules'"));
        self.child = Some(child);
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.log().matches(READY).count() == before {
            let over = self.child.as_mut().and_then(|child| child.try_wait().unwrap());
            assert!(over.is_none() && Instant::now() < deadline, "kamailio does not come up: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills it and its workers without a word.
    pub fn kill(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // The workers are its children and take the datagrams.
        let workers = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id())).unwrap_or_default();
        let all = workers.split_whitespace().map(str::to_owned).chain([child.id().to_string()]);
        drop(Command::new("kill").arg("-KILL").args(all).stderr(Stdio::null()).status());
        drop(child.wait());
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// How often it logged this.
    pub fn saw(&self, what: &str) -> usize {
        self.log().lines().filter(|line| line.contains(what)).count()
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("kamailio: {}", self.log());
        }
    }
}

const READY: &str = "worker is ready";

fn config(port: u16, parent: &Path, options: Options<'_>) -> String {
    let mut text = format!("#!KAMAILIO\ndebug=1\nlog_stderror=yes\nchildren=1\nmpath=\"{MODULES}\"\nauto_aliases=no\n");
    write!(text, "listen=udp:127.0.0.1:{port}\nlisten=tcp:127.0.0.1:{port}\ntcp_children=1\n").unwrap();
    let mut modules =
        vec!["tm", "sl", "rr", "pv", "usrloc", "registrar", "textops", "siputils", "auth", "corex", "xlog"];
    if options.tls {
        write!(text, "enable_tls=yes\nlisten=tls:127.0.0.1:{}\n", port + 1).unwrap();
        modules.push("tls");
    }
    for module in modules {
        writeln!(text, "loadmodule \"{module}.so\"").unwrap();
    }
    text.push_str("modparam(\"usrloc\", \"db_mode\", 0)\nmodparam(\"registrar\", \"min_expires\", 10)\n");
    if options.tls {
        let at = parent.display();
        write!(
            text,
            "modparam(\"tls\", \"certificate\", \"{at}/cert.pem\")\nmodparam(\"tls\", \"private_key\", \"{at}/key.pem\")\n\
             modparam(\"tls\", \"ca_list\", \"{at}/ca.pem\")\nmodparam(\"tls\", \"verify_certificate\", 1)\n\
             modparam(\"tls\", \"tls_method\", \"TLSv1.2+\")\n"
        )
        .unwrap();
        if options.client_certificates {
            text.push_str("modparam(\"tls\", \"require_certificate\", 1)\n");
        }
    }
    let mut forks = String::new();
    for (user, contacts) in options.forks {
        let more: String = contacts[1..].iter().map(|contact| format!(" append_branch(\"{contact}\");")).collect();
        writeln!(forks, "  if ($rU == \"{user}\") {{ $ru = \"{}\";{more} t_relay(); exit; }}", contacts[0]).unwrap();
    }
    text.push_str(&ROUTES.replace("FORKS", &forks));
    text
}

/// Users whose names begin with `line` prove who they are for calls as well.
const ROUTES: &str = r#"
event_route[core:worker-one-init] { xlog("L_ERR", "worker is ready\n"); }
request_route {
  xlog("L_ERR", "saw $rm of $fU by $proto\n");
  if (is_method("CANCEL")) { if (t_check_trans()) t_relay(); exit; }
  if (has_totag()) {
    if (loose_route()) { t_relay(); exit; }
    if (is_method("ACK") && t_check_trans()) { t_relay(); exit; }
    sl_send_reply("404", "Not Here");
    exit;
  }
  t_check_trans();
  $var(password) = "of-" + $fU;
  if (is_method("REGISTER")) {
    if (!pv_www_authenticate("$fd", "$var(password)", "0")) { www_challenge("$fd", "1"); exit; }
    save("location");
    exit;
  }
  if (is_method("OPTIONS") && $rU == $null) { sl_send_reply("200", "OK"); exit; }
  if ($fU =~ "^line" && is_method("INVITE")) {
    if (!pv_proxy_authenticate("$fd", "$var(password)", "0")) { proxy_challenge("$fd", "1"); exit; }
    consume_credentials();
  }
  record_route();
FORKS
  if (!lookup("location")) { sl_send_reply("404", "Not Found"); exit; }
  t_relay();
}
"#;
