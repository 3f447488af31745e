//! How it starts and ends.

use crate::caller::Caller;
use crate::daemon::{Daemon, Directory, Wire, free_port, with_sip};

#[test]
fn term_ends_it_with_0_and_its_socket_goes() {
    for signal in ["TERM", "INT"] {
        let mut daemon = Daemon::quiet("");
        let mut wire = Wire::open(&daemon.socket());
        daemon.signal("HUP");
        wire.say(r#"{"id":2,"method":"line.list"}"#);
        assert_eq!(wire.answer(2)["id"], 2, "HUP is ignored");
        daemon.signal(signal);
        assert_eq!(daemon.ended().code(), Some(0));
        assert!(!daemon.socket().exists());
        assert!(wire.next().is_none());
    }
}

#[test]
fn term_hangs_a_call_up_before_it_ends() {
    let directory = Directory::new();
    let sip = free_port();
    let config = with_sip(&directory, sip, "");
    let mut daemon = Daemon::start(directory, &config);
    let mut wire = Wire::open(&daemon.socket());
    let mut call = Caller::new(sip).answered(&mut wire);
    daemon.signal("TERM");
    call.is_hung_up();
    assert_eq!(daemon.ended().code(), Some(0));
}

#[test]
fn usr2_without_a_service_manager_is_a_stop_that_hangs_up() {
    let directory = Directory::new();
    let sip = free_port();
    let config = with_sip(&directory, sip, "");
    let mut daemon = Daemon::start(directory, &config);
    let mut wire = Wire::open(&daemon.socket());
    let mut call = Caller::new(sip).answered(&mut wire);
    daemon.signal("USR2");
    call.is_hung_up();
    assert_eq!(daemon.ended().code(), Some(0));
    assert!(!daemon.socket().exists());
    let log = daemon.directory.read("log");
    assert!(log.contains("no service manager to keep descriptors: calls are hung up"), "{log}");
}

#[test]
fn options_is_answered_on_the_sip_port() {
    let directory = Directory::new();
    let sip = free_port();
    let config = with_sip(&directory, sip, "");
    let _daemon = Daemon::start(directory, &config);
    let answer = Caller::new(sip).options();
    assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
}

#[test]
fn a_sip_port_that_is_taken_is_told_with_its_address() {
    let directory = Directory::new();
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let config = with_sip(&directory, port, "");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_tapid")).arg("--config").arg(&config).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&format!("sip trunk: listen 127.0.0.1:{port}: ")), "{said}");
}

#[test]
fn ids_of_one_start_are_above_those_of_the_start_before() {
    let directory = Directory::new();
    let state = directory.path("state");
    std::fs::create_dir(&state).unwrap();
    let file = directory.path("tapid.toml");
    let config = format!("[daemon]\nsocket = {:?}\nstate_directory = {state:?}\n", directory.path("api.sock"));
    std::fs::write(&file, config).unwrap();
    let mut daemon = Daemon::start(directory, &file);
    let first = daemon.connect().line()["params"]["generation"].as_u64().unwrap();
    daemon.signal("TERM");
    daemon.ended();
    let reserved: u64 = std::fs::read_to_string(state.join("ids")).unwrap().trim().parse().unwrap();
    assert!(reserved > first);
    let again = Daemon::start(Directory::new(), &file);
    let second = Wire::connect(&daemon.socket()).line()["params"]["generation"].as_u64().unwrap();
    assert!(second >= reserved, "{second} after {first}");
    drop(again);
}
