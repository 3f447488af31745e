//! TCP, TLS and IPv6 with programs that none of us wrote.

use crate::app::App;
use crate::baresip::Baresip;
use crate::daemon::{Daemon, Directory, free_port};
use crate::sipp::Sipp;
use crate::sipp_tests::make;
use crate::sound;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tapi::request::{CallAnswer, CallDrop, CallTrace};

/// Answers as many calls as come, and sees each to its end.
fn answer(app: &mut App, calls: usize) {
    for _ in 0..calls {
        let call = app.offered();
        app.ask(CallAnswer { call });
        app.states_to(call, "disconnected");
        app.ask(CallDrop { call, reason: None });
    }
}

/// Waits until somebody takes connections at a port of 127.0.0.1: nobody calls again who was refused.
fn until_listening(port: u16) {
    let wanted = format!(": 0100007F:{port:04X} ");
    let deadline = Instant::now() + Duration::from_secs(15);
    let listens = |line: &str| line.contains(&wanted) && line.contains(" 0A ");
    while !std::fs::read_to_string("/proc/net/tcp").unwrap().lines().any(listens) {
        assert!(Instant::now() < deadline, "nobody listens at port {port}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Texts of all messages of a call.
pub fn texts(app: &mut App, call: tapi::CallId) -> String {
    let entries = app.ask(CallTrace { call, full: true }).entries;
    entries.iter().filter_map(|entry| entry.text.clone()).collect::<Vec<String>>().join("\n")
}

#[test]
fn sipp_calls_over_tcp() {
    let port = free_port();
    let keys = format!("listen_tcp = \"127.0.0.1:{port}\"\n");
    let daemon = Daemon::start_at(Directory::new(), "127.0.0.1", port, [&keys, ""]);
    let mut app = App::new(&daemon.socket());
    for transport in ["t1", "tn"] {
        let arguments = ["-t", transport, "-max_socket", "100", "-m", "3", "-l", "1", "-d", "200"];
        let sipp = Sipp::caller(daemon.directory.path(), "caller", daemon.sip, &arguments);
        answer(&mut app, 3);
        sipp.finish();
    }
}

#[test]
fn sipp_is_called_over_tcp_and_hangs_up() {
    let port = free_port();
    let line = format!("proxy = \"127.0.0.1:{port};transport=tcp\"\n");
    let daemon = Daemon::start_at(Directory::new(), "127.0.0.1", free_port(), ["", &line]);
    let mut app = App::new(&daemon.socket());
    let sipp = Sipp::callee_by(daemon.directory.path(), "callee_hangs_up", port, &["-t", "t1"]);
    until_listening(port);
    let call = make(&mut app, "200");
    let states = app.states_to(call, "disconnected");
    assert!(states.iter().any(|state| state.starts_with("connected")), "{states:?}");
    let texts = texts(&mut app, call);
    assert!(texts.contains("Via: SIP/2.0/TCP 127.0.0.1:") && texts.contains(";transport=tcp>"), "{texts}");
    sipp.finish();
}

#[test]
fn sipp_calls_over_ipv6() {
    let port = free_port();
    let keys = format!("listen_tcp = \"[::1]:{port}\"\n");
    let daemon = Daemon::start_at(Directory::new(), "::1", port, [&keys, ""]);
    let mut app = App::new(&daemon.socket());
    let to = format!("[::1]:{port}");
    for transport in ["u1", "t1"] {
        let arguments = ["-t", transport, "-m", "2", "-l", "1", "-d", "200"];
        let sipp = Sipp::caller_of(daemon.directory.path(), "caller", ("::1", &to), &arguments);
        answer(&mut app, 2);
        sipp.finish();
    }
}

/// An authority and a certificate for 127.0.0.1, made here and now.
pub fn certificates(directory: &Directory) {
    let script = "set -e; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem \
        -days 2 -subj /CN=test-ca -addext basicConstraints=critical,CA:TRUE; \
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out req.pem -subj /CN=127.0.0.1; \
        printf 'subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' > ext; \
        openssl x509 -req -in req.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out cert.pem; \
        cat cert.pem key.pem > both.pem";
    let made = Command::new("sh")
        .args(["-c", script])
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("openssl: {error}: run 'apt-get install openssl'"));
    assert!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
}

#[test]
fn baresip_talks_to_us_under_tls_both_ways() {
    let directory = Directory::new();
    certificates(&directory);
    let at = directory.path().to_path_buf();
    let wav = at.join("tone.wav");
    sound::write_tone(&wav, 1000.0, 10.0, -12.0);
    let further = format!("sip_certificate {0}/both.pem\nsip_cafile {0}/ca.pem\nsip_verify_server yes\n", at.display());
    let mut baresip = Baresip::start_with(&at, &wav, &further, ";transport=tls");
    let port = free_port();
    let keys = format!(
        "listen_tls = \"127.0.0.1:{port}\"\ntls = {{ certificate = \"cert.pem\", key = \"key.pem\", ca = \"ca.pem\" }}\n"
    );
    let line = format!("proxy = \"127.0.0.1:{};transport=tls\"\n", baresip.sip + 1);
    let daemon = Daemon::start_at(directory, "127.0.0.1", free_port(), [&keys, &line]);
    let mut app = App::new(&daemon.socket());

    let call = make(&mut app, "100");
    app.states_to(call, "connected");
    let ours = texts(&mut app, call);
    assert!(ours.contains("Via: SIP/2.0/TLS 127.0.0.1:") && ours.contains(";transport=tls>"), "{ours}");
    app.hang_up(call);

    baresip.command("dial", &format!("sip:100@127.0.0.1:{port};transport=tls"));
    let call = app.offered();
    app.ask(CallAnswer { call });
    let theirs = texts(&mut app, call);
    assert!(theirs.contains("SIP/2.0/TLS"), "{theirs}");
    app.states_to(call, "connected");
    app.hang_up(call);
}
