//! Lines that are named after what their modems tell of themselves.

use crate::daemon::{Daemon, Directory, PATIENCE, Wire};
use crate::modem::{Exchange, ask};
use crate::restart::Managed;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The IMEI of the exchange's first and second dongle, without the last digit, which is a check of the others.
const IMEIS: [&str; 2] = ["49015420323700", "49015420323701"];

/// The line whose name begins so, once it is in that service.
fn until(wire: &mut Wire, begins: &str, service: &str) -> Value {
    let deadline = Instant::now() + PATIENCE;
    for id in 100.. {
        let lines = ask(wire, id, "line.list", json!({}))["lines"].clone();
        let mut lines = lines.as_array().unwrap().iter();
        let found = lines.find(|line| line["name"].as_str().is_some_and(|name| name.starts_with(begins)));
        if let Some(line) = found.filter(|line| line["status"]["service"] == service) {
            return line.clone();
        }
        assert!(Instant::now() < deadline, "{begins} is not {service}: {found:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    unreachable!("the numbers of requests do not end")
}

#[test]
fn after_a_restart_another_dongle_in_its_place_is_not_the_line_of_the_one_before() {
    let directory = Directory::new();
    let (socket, place) = (directory.path("api.sock"), directory.path("cellular0"));
    let words = ["--cellular", "4930200", "--cellular", "4930201"].map(str::to_owned);
    let other = Directory::new();
    let _second = Exchange::with(&other, &words);
    let mut exchange = Exchange::with(&directory, &words[..2]);
    let config = format!(
        "[daemon]\nsocket = {socket:?}\n[modems]\ndiscover = false\ndirectory = {:?}\nprofiles = []\nsettle_ms = 20\n\
         line_name = \"gsm:{{imei}}\"\n",
        directory.path("")
    );
    let file = directory.path("tapid.toml");
    std::fs::write(&file, config).unwrap();
    let mut managed = Managed::start(directory, &file);
    let name = until(&mut Wire::open(&socket), &format!("gsm:{}", IMEIS[0]), "in")["name"].as_str().unwrap().to_owned();
    managed.restart();
    let mut wire = Wire::open(&socket);
    until(&mut wire, &name, "in");
    // Pulled out, and another one plugged in.
    let exchanged = |exchange: &mut Exchange| {
        exchange.order("unplug cellular0");
        exchange.told("unplugged");
        let deadline = Instant::now() + PATIENCE;
        while place.symlink_metadata().is_ok() {
            assert!(Instant::now() < deadline, "the link is there still");
            std::thread::sleep(Duration::from_millis(5));
        }
        std::os::unix::fs::symlink(std::fs::read_link(other.path("cellular1")).unwrap(), &place).unwrap();
    };
    let noticed = |managed: &Managed, times: usize| {
        let deadline = Instant::now() + PATIENCE;
        while managed.log().matches("another modem is in its place").count() < times {
            assert!(Instant::now() < deadline, "nobody noticed:\n{}", managed.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    exchanged(&mut exchange);
    noticed(&managed, 1);
    until(&mut wire, &name, "out");
    std::fs::remove_file(&place).unwrap();
    assert!(exchange.ordered("plug cellular0"));
    until(&mut wire, &name, "in");
    // The same while nobody looks.
    managed.park();
    exchanged(&mut exchange);
    managed.go_on();
    noticed(&managed, 2);
    let mut wire = Wire::open(&socket);
    until(&mut wire, &name, "out");
    std::fs::remove_file(&place).unwrap();
    assert!(exchange.ordered("plug cellular0"));
    until(&mut wire, &name, "in");
    managed.stop();
}

#[test]
fn a_dongle_is_the_line_of_its_imei_wherever_it_is_plugged_in() {
    let directory = Directory::new();
    let words = ["--cellular", "4930200", "--cellular", "4930201", "--analogue", "4930100"];
    let mut exchange = Exchange::with(&directory, &words.map(str::to_owned));
    let config = format!(
        "[daemon]\nsocket = {:?}\n[modems]\ndiscover = false\ndirectory = {:?}\nprofiles = []\nsettle_ms = 20\n\
         line_name = \"gsm:{{imei}}\"\n[[modem]]\nname = \"desk\"\ndevice = {:?}\nprofile = \"27007\"\n\
         line_name = \"desk:{{imei}}\"\n",
        directory.path("api.sock"),
        directory.path(""),
        directory.path("cellular0"),
    );
    let file = directory.path("tapid.toml");
    std::fs::write(&file, config).unwrap();
    let daemon = Daemon::start(directory, &file);
    let mut wire = Wire::open(&daemon.socket());
    let named = until(&mut wire, &format!("desk:{}", IMEIS[0]), "in");
    let found = until(&mut wire, &format!("gsm:{}", IMEIS[1]), "in");
    // One without an IMEI has its usual name.
    until(&mut wire, "modem:analogue0", "in");
    for (modem, line) in [("cellular0", &named), ("cellular1", &found)] {
        let name = line["name"].as_str().unwrap();
        exchange.order(&format!("unplug {modem}"));
        until(&mut wire, name, "out");
        exchange.order(&format!("plug {modem}"));
        assert_eq!(until(&mut wire, name, "in")["line"], line["line"], "another line");
    }
    // Another dongle in its place: the line is not that one's.
    let other = Directory::new();
    let _second = Exchange::with(&other, &["--cellular", "4930200", "--cellular", "4930201"].map(str::to_owned));
    exchange.order("unplug cellular0");
    let name = named["name"].as_str().unwrap();
    until(&mut wire, name, "out");
    let place = daemon.directory.path("cellular0");
    std::os::unix::fs::symlink(std::fs::read_link(other.path("cellular1")).unwrap(), place).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !daemon.directory.read("log").contains("another modem is in its place") {
        assert!(Instant::now() < deadline, "nobody noticed:\n{}", daemon.directory.read("log"));
        std::thread::sleep(Duration::from_millis(10));
    }
    until(&mut wire, name, "out");
}
