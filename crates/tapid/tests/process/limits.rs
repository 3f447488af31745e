//! Clients that do not behave, and others beside them that must not notice.

use crate::daemon::{Daemon, Wire};
use std::io::Write;
use std::time::{Duration, Instant};

#[test]
fn a_client_that_does_not_read_is_cut_off_and_others_are_served() {
    let daemon = Daemon::quiet("");
    let mut slow = Wire::open(&daemon.socket());
    slow.stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut other = Wire::open(&daemon.socket());
    // Requests without end, and not one answer read.
    let mut id = 1;
    let began = Instant::now();
    let cut = loop {
        id += 1;
        let line = format!("{{\"id\":{id},\"method\":\"no.such.{}\"}}\n", "x".repeat(60));
        if slow.stream.write_all(line.as_bytes()).is_err() {
            break true;
        }
        if began.elapsed() > Duration::from_secs(30) {
            break false;
        }
    };
    assert!(cut, "the connection was not ended after {id} unread answers");
    let began = Instant::now();
    other.say(r#"{"id":2,"method":"line.list"}"#);
    assert!(other.answer(2)["result"]["lines"].is_array());
    assert!(began.elapsed() < Duration::from_secs(1), "an idle server answers at once");
    let deadline = Instant::now() + crate::daemon::PATIENCE;
    while !daemon.directory.read("log").contains("overrun: client does not read") {
        assert!(Instant::now() < deadline, "the log does not say why");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_257th_client_is_told_why_it_is_turned_away() {
    let daemon = Daemon::quiet("");
    let mut clients: Vec<Wire> = (0..256).map(|_| daemon.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.line()["method"], "hello");
    }
    let mut late = daemon.connect();
    let refusal = late.line();
    assert_eq!(refusal["error"]["data"]["lineerr"], "NOMEM", "{refusal}");
    assert!(late.next().is_none());
    clients.pop();
    let deadline = Instant::now() + crate::daemon::PATIENCE;
    while daemon.connect().line()["method"] != "hello" {
        assert!(Instant::now() < deadline, "the place of a client that left is not free");
        std::thread::sleep(Duration::from_millis(10));
    }
}
