//! TLS: whose certificate is taken, what is said of those that are not, ours asked for, and new ones while the daemon runs.

use crate::app::App;
use crate::daemon::{Daemon, Directory, free_port};
use crate::kamailio::{Kamailio, Options};
use crate::transport_tests::certificates;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tapi::Service;

/// Long enough for a loaded machine.
const SOON: Duration = Duration::from_secs(20);

/// A certificate and its key in `NAME.pem` and `NAME.key`: for this subject alternative name, signed by `CA.pem`, for so many days.
fn certificate(directory: &Path, name: &str, san: &str, ca: &str, days: i32) {
    let script = format!(
        "set -e; openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.req -subj /CN={name}; \
         printf 'subjectAltName={san}\\nbasicConstraints=CA:FALSE\\n' > {name}.ext; \
         openssl x509 -req -in {name}.req -CA {ca}.pem -CAkey {ca}.key -CAcreateserial -days {days} -extfile {name}.ext -out {name}.pem"
    );
    run(directory, &script);
}

fn run(directory: &Path, script: &str) {
    let made = Command::new("sh")
        .args(["-c", script])
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("openssl: {error}: run 'apt-get install openssl'"));
    assert!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
}

/// Somebody who takes TLS connections with a certificate, and says nothing.
struct Server(Child);

impl Server {
    fn start(directory: &Path, name: &str, port: u16) -> Server {
        let child = Command::new("openssl")
            .args(["s_server", "-quiet", "-accept", &format!("127.0.0.1:{port}")])
            .args(["-cert", &format!("{name}.pem"), "-key", &format!("{name}.key")])
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + SOON;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "openssl s_server does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Server(child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A line that registers at a port of 127.0.0.1 under TLS.
fn line(name: &str, port: u16) -> String {
    let registrar = format!("127.0.0.1:{port};transport=tls");
    format!(
        "\n[[sip.lines]]\nname = \"sip:{name}\"\nuser = \"{name}\"\ndomain = \"127.0.0.1\"\npeers = [\"127.0.0.1\"]\n\
         proxy = \"{registrar}\"\nregister = {{ registrar = \"{registrar}\", expires_s = 60, retry_s = 1 }}\n\
         auth = {{ user = \"{name}\", password = \"of-{name}\" }}\n"
    )
}

/// The reason of a line, once it says this.
fn reason(app: &mut App, line: &str, wanted: &str) -> String {
    let deadline = Instant::now() + SOON;
    loop {
        let service = app.service(line);
        match service {
            Service::Out { reason } if reason.contains(wanted) => return reason,
            other => assert!(Instant::now() < deadline, "{line} does not say {wanted:?}: {other:?}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_certificate_that_is_for_somebody_else_expired_or_of_a_stranger_is_refused_and_the_line_says_why() {
    let directory = Directory::new();
    certificates(&directory);
    let at = directory.path().to_path_buf();
    run(
        &at,
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout other.key -out other.pem -days 2 -subj /CN=other",
    );
    certificate(&at, "elsewhere", "DNS:sip.elsewhere.test", "ca", 2);
    certificate(&at, "expired", "IP:127.0.0.1", "ca", -1);
    certificate(&at, "stranger", "IP:127.0.0.1", "other", 2);
    let cases = [
        ("elsewhere", "its certificate is not for 127.0.0.1"),
        ("expired", "its certificate has expired"),
        ("stranger", "its certificate is signed by nobody whom we trust"),
    ];
    let (mut servers, mut lines) = (Vec::new(), String::new());
    for (name, _) in cases {
        let port = free_port();
        servers.push(Server::start(&at, name, port));
        lines += &line(name, port);
    }
    let sip = free_port();
    let sections =
        format!("[[sip]]\nname = \"pbx\"\nlisten = \"127.0.0.1:{sip}\"\ntls = {{ ca = \"ca.pem\" }}\n{lines}");
    let daemon = Daemon::start_lines(directory, sip, &sections);
    let mut app = App::of(&daemon.socket(), &[]);
    for (name, wanted) in cases {
        let reason = reason(&mut app, &format!("sip:{name}"), wanted);
        assert!(reason.starts_with("the registrar 127.0.0.1 is not reached: "), "{reason}");
    }
}

#[test]
fn a_registrar_that_asks_for_our_certificate_gets_it_and_without_one_the_line_says_so() {
    let directory = Directory::new();
    certificates(&directory);
    let options = Options { tls: true, client_certificates: true, ..Options::default() };
    let kamailio = Kamailio::start(directory.path(), options);
    let authority = std::fs::read(directory.path().join("ca.pem")).unwrap();
    let sip = free_port();
    let lines = line("line1", kamailio.port + 1);
    let with = |tls: &str, sip: u16| {
        format!("[[sip]]\nname = \"pbx\"\nlisten = \"127.0.0.1:{sip}\"\ntls = {{ {tls} }}\n{lines}")
    };
    let tls = "certificate = \"cert.pem\", key = \"key.pem\", ca = \"ca.pem\"";
    let daemon = Daemon::start_lines(directory, sip, &with(tls, sip));
    App::of(&daemon.socket(), &[]).wait_for_service("sip:line1", true, SOON);
    drop(daemon);

    let bare = Directory::new();
    std::fs::write(bare.path().join("ca.pem"), authority).unwrap();
    let sip = free_port();
    let daemon = Daemon::start_lines(bare, sip, &with("ca = \"ca.pem\"", sip));
    let mut app = App::of(&daemon.socket(), &[]);
    reason(&mut app, "sip:line1", "ertificate");
}

/// Connects to our port with these arguments and sends an OPTIONS; what came back, and whom we showed.
fn ask(directory: &Path, port: u16, arguments: &[&str]) -> String {
    let options = "OPTIONS sip:100@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1:1;branch=z9hG4bKa\r\nMax-Forwards: 70\r\n\
                   From: <sip:a@127.0.0.1>;tag=1\r\nTo: <sip:100@127.0.0.1>\r\nCall-ID: a\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
    let mut child = Command::new("openssl")
        .args(["s_client", "-connect", &format!("127.0.0.1:{port}"), "-CAfile", "ca.pem", "-ign_eof"])
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("openssl: {error}: run 'apt-get install openssl'"));
    let mut stdin = child.stdin.take().unwrap();
    // A connection that was refused takes nothing.
    drop(stdin.write_all(options.as_bytes()));
    let output = {
        std::thread::sleep(Duration::from_millis(1_500));
        drop(child.kill());
        child.wait_with_output().unwrap()
    };
    drop(stdin);
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A daemon that listens for TLS with `cert.pem` and `key.pem`.
fn listening(directory: Directory, further: &str) -> (Daemon, u16) {
    let port = free_port();
    let keys = format!(
        "listen_tls = \"127.0.0.1:{port}\"\n\
         tls = {{ certificate = \"cert.pem\", key = \"key.pem\", ca = \"ca.pem\"{further} }}\n"
    );
    (Daemon::start_at(directory, "127.0.0.1", free_port(), [&keys, ""]), port)
}

#[test]
fn who_connects_must_show_a_certificate_where_we_ask_for_one() {
    let directory = Directory::new();
    certificates(&directory);
    let at = directory.path().to_path_buf();
    certificate(&at, "peer", "IP:127.0.0.1", "ca", 2);
    run(
        &at,
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout other.key -out other.pem -days 2 -subj /CN=other",
    );
    let (daemon, port) = listening(directory, ", client_certificate_required = true");
    let answer = ask(&at, port, &["-cert", "peer.pem", "-key", "peer.key"]);
    assert!(answer.contains("SIP/2.0 200 OK"), "{answer}");
    for arguments in [&[][..], &["-cert", "other.pem", "-key", "other.key"]] {
        let answer = ask(&at, port, arguments);
        assert!(!answer.contains("SIP/2.0 200 OK"), "{answer}");
    }
    let log = daemon.log();
    assert!(log.contains("certificate"), "the log says what was wrong: {log}");
}

#[test]
fn new_certificates_are_used_without_a_restart_and_broken_ones_are_not() {
    let directory = Directory::new();
    certificates(&directory);
    let at = directory.path().to_path_buf();
    certificate(&at, "renewed", "IP:127.0.0.1", "ca", 2);
    let (daemon, port) = listening(directory, "");
    let shown = |name: &str| {
        let answer = ask(&at, port, &[]);
        assert!(answer.contains("SIP/2.0 200 OK"), "{answer}");
        assert!(answer.replace(' ', "").contains(&format!("CN={name}")), "{name}: {answer}");
    };
    shown("127.0.0.1");
    let replace = |from: &str, to: &str| {
        std::fs::copy(at.join(from), at.join("new")).unwrap();
        std::fs::rename(at.join("new"), at.join(to)).unwrap();
    };
    replace("renewed.key", "key.pem");
    replace("renewed.pem", "cert.pem");
    shown("renewed");
    assert!(daemon.log().contains("certificates have changed"), "{}", daemon.log());

    std::fs::write(at.join("cert.pem"), "not a certificate").unwrap();
    shown("renewed");
    assert!(daemon.log().contains("changed certificates cannot be used"), "{}", daemon.log());
}
