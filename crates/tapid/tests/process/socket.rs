//! The protocol as any program sees it.

use crate::daemon::{Daemon, Wire};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

#[test]
fn the_server_greets_first() {
    let daemon = Daemon::quiet("");
    let hello = daemon.connect().line();
    assert_eq!(hello["jsonrpc"], "2.0");
    assert_eq!(hello["method"], "hello");
    assert_eq!(hello["params"]["api"][0], 1);
    assert_eq!(hello["params"]["seq"], 0);
    assert_eq!(hello["params"]["max_line"], 1 << 20);
    assert_eq!(hello["params"]["tapid"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn what_is_no_request_is_answered_with_why_and_the_next_line_counts() {
    let daemon = Daemon::quiet("");
    let mut wire = daemon.connect();
    wire.line();
    wire.say("{not json");
    assert_eq!(wire.line()["error"]["code"], -32_700);
    wire.stream.write_all(b"\xff\xfe\n").unwrap();
    assert_eq!(wire.line()["error"]["code"], -32_700);
    wire.say(r#"{"jsonrpc":"2.0","id":1,"method":"no.such"}"#);
    let answer = wire.answer(1);
    assert_eq!(answer["error"]["code"], -32_601);
    wire.say(r#"{"jsonrpc":"2.0","id":2,"method":"line.open","params":{"line":[]}}"#);
    assert_eq!(wire.answer(2)["error"]["code"], -32_602);
    wire.say(r#"{"jsonrpc":"2.0","id":3,"method":"line.list"}"#);
    let answer = wire.answer(3);
    assert_eq!(answer["error"]["code"], -32_000, "no session yet");
    assert_eq!(answer["error"]["data"]["lineerr"], "INVALAPPHANDLE");
    wire.say(r#"{"jsonrpc":"2.0","id":4,"method":"client.open","params":{"app":"test"}}"#);
    assert!(wire.answer(4)["result"]["token"].is_string());
}

#[test]
fn a_line_that_is_too_long_is_refused_once_and_skipped() {
    let daemon = Daemon::quiet("");
    let mut wire = daemon.connect();
    wire.line();
    let long = vec![b'x'; (3 << 20) + 17];
    wire.stream.write_all(&long).unwrap();
    wire.say("");
    wire.say(r#"{"id":1,"method":"client.open","params":{"app":"test"}}"#);
    let refusal = wire.line();
    assert_eq!(refusal["error"]["code"], -32_600);
    assert!(refusal["error"]["message"].as_str().unwrap().contains("longer than 1048576 bytes"), "{refusal}");
    assert_eq!(wire.line()["id"], 1);
}

#[test]
fn a_client_that_says_all_at_once_and_closes_its_side_still_gets_every_answer() {
    let daemon = Daemon::quiet("");
    let mut wire = daemon.connect();
    wire.say(r#"{"id":1,"method":"client.open","params":{"app":"test"}}"#);
    for id in 2..200 {
        wire.say(&format!(r#"{{"id":{id},"method":"line.list"}}"#));
    }
    wire.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(wire.line()["method"], "hello");
    for id in 1..200 {
        assert_eq!(wire.line()["id"], id);
    }
    assert!(wire.next().is_none(), "then the connection ends");
}

#[test]
fn the_socket_has_its_permissions_and_a_second_server_does_not_take_it() {
    let daemon = Daemon::quiet("socket_mode = \"0600\"");
    let mode = std::fs::metadata(daemon.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_tapid"))
        .arg("--config")
        .arg(daemon.directory.path("tapid.toml"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("another server is listening there"), "{said}");
    assert_eq!(Wire::connect(&daemon.socket()).line()["method"], "hello");
}

#[test]
fn the_socket_of_the_command_line_wins() {
    let directory = crate::daemon::Directory::new();
    let socket = directory.path("other.sock");
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_tapid"))
        .arg("--socket")
        .arg(&socket)
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let deadline = std::time::Instant::now() + crate::daemon::PATIENCE;
    while std::os::unix::net::UnixStream::connect(&socket).is_err() {
        assert!(std::time::Instant::now() < deadline, "no socket");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(Wire::connect(&socket).line()["method"], "hello");
    child.kill().unwrap();
    child.wait().unwrap();
}
