//! A wrong PIN in the configuration, and daemons that are started again and again.

use crate::daemon::{Daemon, Directory, PATIENCE, Wire};
use crate::modem::{Exchange, line_of};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Where everything is that the daemons share.
struct Place {
    profile: &'static str,
    directory: Directory,
    _exchange: Exchange,
}

impl Place {
    fn new(family: &str, profile: &'static str) -> Place {
        let directory = Directory::new();
        let number = format!("{family}@4930200");
        let exchange = Exchange::with(&directory, &["--cellular", &number, "--pin", "4930200=4711"].map(str::to_owned));
        Place { profile, directory, _exchange: exchange }
    }

    /// A daemon that is told this PIN, until the line's reason has these words; none: until it is in service. It is killed.
    fn started(&self, pin: &str, words: Option<&str>) {
        let own = Directory::new();
        let config = format!(
            "[daemon]\nsocket = {:?}\nstate_directory = {:?}\n[modems]\ndiscover = false\nprofiles = []\n\
             [[modem]]\nname = \"dongle\"\ndevice = {:?}\nprofile = {:?}\ncellular = {{ pin = {pin:?} }}\n",
            own.path("api.sock"),
            self.directory.path(""),
            self.directory.path("cellular0"),
            self.profile,
        );
        let file = own.path("tapid.toml");
        std::fs::write(&file, config).unwrap();
        let daemon = Daemon::start(own, &file);
        let mut wire = Wire::open(&daemon.socket());
        let deadline = Instant::now() + PATIENCE;
        for id in 10.. {
            let status = line_of(&mut wire, id, "modem:dongle").map_or(Value::Null, |line| line["status"].clone());
            let is = match words {
                None => status["service"] == "in",
                Some(words) => status["reason"].as_str().is_some_and(|reason| reason.contains(words)),
            };
            if is {
                return;
            }
            assert!(Instant::now() < deadline, "{pin}: {status}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn a_wrong_pin_is_tried_once(place: &Place, card: &str) {
    // A card bears two wrong ones, and wants its PUK after the third.
    for _ in 0..4 {
        place.started("1234", Some("PIN"));
        place.started("1234", Some("the configured one was refused"));
    }
    let kept = place.directory.read("refused-pins.json");
    assert!(kept.contains(&format!("\"card\": \"{card}\"")) && !kept.contains("\"1234"), "{kept}");
    // Another one is tried.
    place.started("4711", None);
}

#[test]
fn a_wrong_pin_is_tried_once_whatever_becomes_of_the_daemon_and_another_one_is_tried_again() {
    a_wrong_pin_is_tried_once(&Place::new("ec25", "quectel-ec2x"), "89490200001234567881");
}

#[test]
fn a_wrong_pin_is_tried_once_where_the_cards_number_is_not_told() {
    a_wrong_pin_is_tried_once(&Place::new("generic", "27007"), "");
}
