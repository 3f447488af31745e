//! A modem that nothing brings back that can be said to it.

use crate::daemon::{Daemon, Directory, PATIENCE, Wire};
use crate::modem::{Exchange, until_in_service};
use std::time::{Duration, Instant};

/// A modem that is given up soon.
const PROFILE: &str = "id = \"quick\"\ndescription = \"a modem in a hurry\"\ninherits = \"v253\"\n\
                       [timeouts_ms]\ndefault = 1000\nprobe = 500\n\
                       [recover]\ndtr_ms = 100\nreopen_after = 1\nmax_wait_ms = 1000\n";

#[test]
fn a_modem_that_nothing_brings_back_is_taken_from_the_usb_bus_and_given_back_where_that_is_allowed() {
    let directory = Directory::new();
    let words = ["--analogue", "4930100", "--analogue", "4930101"].map(str::to_owned);
    let mut exchange = Exchange::with(&directory, &words);
    let switches = ["allowed", "forbidden"].map(|name| directory.path(name));
    let mut config = format!(
        "[daemon]\nsocket = {:?}\n[modems]\ndiscover = false\nprofiles = []\nsettle_ms = 20\n",
        directory.path("api.sock")
    );
    std::fs::write(directory.path("quick.toml"), PROFILE).unwrap();
    for (at, switch) in switches.iter().enumerate() {
        std::fs::write(switch, "-\n").unwrap();
        let device = directory.path(&format!("analogue{at}"));
        config += &format!("[[modem]]\nname = \"modem{at}\"\ndevice = {device:?}\nprofile_file = \"quick.toml\"\n");
        if at == 0 {
            config += &format!("usb_reset = {switch:?}\n");
        }
    }
    let file = directory.path("tapid.toml");
    std::fs::write(&file, config).unwrap();
    let daemon = Daemon::start(directory, &file);
    let mut wire = Wire::open(&daemon.socket());
    for at in 0..2 {
        until_in_service(&mut wire, &format!("modem:modem{at}"));
    }
    for modem in ["analogue0", "analogue1"] {
        assert!(exchange.ordered(&format!("faults {modem} dead")));
    }
    // Nobody knows before they are asked something.
    for (id, line) in [(50, "modem:modem0"), (51, "modem:modem1")] {
        crate::modem::ask(&mut wire, id, "line.open", serde_json::json!({"line": line, "privileges": ["owner"]}));
        let make = serde_json::json!({"id": id + 10, "method": "call.make", "params": {"line": line, "to": "4930300"}});
        wire.say(&make.to_string());
    }
    let deadline = Instant::now() + PATIENCE * 2;
    for expected in ["0\n", "1\n"] {
        while std::fs::read_to_string(&switches[0]).unwrap() != expected {
            assert!(Instant::now() < deadline, "no {expected:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    for (at, modem) in ["analogue0", "analogue1"].iter().enumerate() {
        assert!(exchange.ordered(&format!("faults {modem} clean")));
        until_in_service(&mut wire, &format!("modem:modem{at}"));
    }
    assert_eq!(std::fs::read_to_string(&switches[1]).unwrap(), "-\n");
    let log = daemon.directory.read("log");
    assert_eq!(log.matches("taken from the USB bus").count(), 1, "{log}");
}
