//! Dongles whose audio must be ordered, each family in its own way, with the daemon as it is.

use crate::daemon::{Daemon, Directory, PATIENCE, Wire};
use crate::modem::{Exchange, ask, hears_440, until_in_service};
use serde_json::json;
use std::time::Instant;

/// Families by the first digits of their numbers, and the profiles that fit them.
const FAMILIES: [(&str, &str); 3] =
    [("e1550", "huawei-e1550"), ("ec25", "quectel-ec2x"), ("sim7600", "simcom-sim7600")];

#[test]
fn each_familys_audio_is_ordered_and_heard_both_ways_in_one_call_after_the_other() {
    let directory = Directory::new();
    let mut words = Vec::new();
    let mut config =
        format!("[daemon]\nsocket = {:?}\n[modems]\ndiscover = false\nprofiles = []\n", directory.path("api.sock"));
    for (at, (family, profile)) in FAMILIES.iter().enumerate() {
        words.extend(["--cellular".to_owned(), format!("{family}@493020{at}")]);
        words.extend(["--subscriber".to_owned(), format!("493030{at}=tone:440,answer:300ms")]);
        let (device, audio) =
            (directory.path(&format!("cellular{at}")), directory.path(&format!("cellular{at}-audio")));
        config += &format!(
            "[[modem]]\nname = {family:?}\ndevice = {device:?}\naudio_device = {audio:?}\nprofile = {profile:?}\n"
        );
    }
    let exchange = Exchange::with(&directory, &words);
    let file = directory.path("tapid.toml");
    std::fs::write(&file, config).unwrap();
    let daemon = Daemon::start(directory, &file);
    for (at, (family, _)) in FAMILIES.iter().enumerate() {
        let line = format!("modem:{family}");
        let mut wire = Wire::open(&daemon.socket());
        until_in_service(&mut wire, &line);
        ask(&mut wire, 2, "line.open", json!({"line": line, "privileges": ["owner"]}));
        // From the second call on some refuse the order at first.
        for id in [10, 20] {
            let to = format!("493030{at}");
            let call = ask(&mut wire, id, "call.make", json!({"line": line, "to": to}))["call"].clone();
            let deadline = Instant::now() + PATIENCE;
            while wire.line()["params"]["state"] != "connected" {
                assert!(Instant::now() < deadline, "{family}: no answer");
            }
            ask(&mut wire, id + 1, "call.monitor_tones", json!({"call": call, "hz": [440]}));
            hears_440(&mut wire);
            // And the far end hears its tone come back.
            ask(&mut wire, id + 2, "call.bridge", json!({"call": call, "with": call}));
            exchange.heard(&to, 440);
            ask(&mut wire, id + 3, "call.drop", json!({"call": call}));
            exchange.each("hung_up", &[&format!("493020{at}")]);
            ask(&mut wire, id + 4, "call.deallocate", json!({"call": call}));
        }
    }
}
