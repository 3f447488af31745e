//! udev's rules and hardware database: written from the profiles, and tried on a table of real devices' properties by udev
//! itself, with a /sys that is made up (umockdev).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod devices;
mod hwdb;
mod judge;

use devices::{DEVICES, Device, Given};
use judge::{Judge, Verdict};
use std::path::Path;

/// A file of the directory `udev`.
fn shipped(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../udev").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_hardware_database_has_every_family_of_the_profiles() {
    let written = hwdb::from_profiles();
    if std::env::var_os("TAPID_WRITE_HWDB").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../udev/60-tapid.hwdb");
        std::fs::write(path, &written).unwrap();
    }
    assert_eq!(
        shipped("60-tapid.hwdb"),
        written,
        "the profiles have changed: TAPID_WRITE_HWDB=1 cargo test -p tapid --test udev"
    );
}

/// What the rules make of a device's port.
fn check(device: &Device, port: usize, verdict: &Verdict) {
    let of = format!("{} port {port}: {verdict:#?}", device.name);
    let (kind, family) = device.family.unzip();
    assert_eq!(verdict.property("ID_TAPID_KIND"), kind, "{of}");
    assert_eq!(verdict.property("ID_TAPID_FAMILY"), family, "{of}");
    let ours = matches!(device.given, Given::Ours);
    assert_eq!(verdict.property("ID_TAPID_MODEM") == Some("1"), ours, "{of}");
    // ModemManager keeps every other device.
    assert_eq!(verdict.property("ID_MM_DEVICE_IGNORE"), ours.then_some("1"), "{of}");
    assert_eq!(verdict.property("ID_MM_PORT_IGNORE"), ours.then_some("1"), "{of}");
    assert_eq!(verdict.group.as_deref(), ours.then_some(judge::GROUP), "{of}");
    assert_eq!(verdict.mode.as_deref(), ours.then_some("0660"), "{of}");
    assert_eq!(verdict.property("SYSTEMD_WANTS"), ours.then_some("tapid.service"), "{of}");
    let links: Vec<&str> = verdict.links().filter(|link| link.starts_with("/dev/tapid/")).collect();
    let by_path = links.iter().filter(|link| link.starts_with("/dev/tapid/by-path/")).count();
    let by_serial = links.iter().filter(|link| link.starts_with("/dev/tapid/by-serial/")).count();
    assert_eq!(
        (by_path, by_serial),
        (usize::from(ours && device.usb()), usize::from(ours && device.own_serial)),
        "{of}"
    );
}

#[test]
fn the_rules_give_the_daemon_what_is_meant_for_it_and_nothing_else() {
    let judge = Judge::new(DEVICES, "");
    let mut seen = std::collections::BTreeSet::new();
    for (at, device) in DEVICES.iter().enumerate() {
        for port in 0..device.ports() {
            let verdict = judge.of_port(at, port);
            check(device, port, &verdict);
            for link in verdict.links().filter(|link| link.starts_with("/dev/tapid/")) {
                assert!(seen.insert(link.to_owned()), "{link} leads to two ports");
            }
        }
    }
    assert!(!seen.is_empty());
}

#[test]
fn an_administrators_rule_gives_and_takes_away() {
    let rules = "SUBSYSTEMS==\"usb\", ATTRS{idVendor}==\"2c7c\", ATTRS{serial}==\"8A2F0031\", ENV{ID_TAPID_MODEM}=\"1\"\n\
                 SUBSYSTEM==\"tty\", KERNEL==\"ttyS0\", ENV{ID_TAPID_MODEM}=\"1\", ENV{ID_TAPID_PROFILE}=\"v253\"\n\
                 SUBSYSTEMS==\"usb\", ATTRS{idVendor}==\"0baf\", ENV{ID_TAPID_MODEM}=\"0\"\n";
    let judge = Judge::new(DEVICES, rules);
    let find = |name: &str| DEVICES.iter().position(|device| device.name == name).unwrap();
    let dongle = find("Quectel EC25");
    for port in 0..DEVICES[dongle].ports() {
        let verdict = judge.of_port(dongle, port);
        assert_eq!(verdict.property("ID_TAPID_MODEM"), Some("1"), "{verdict:#?}");
        assert_eq!(verdict.property("ID_MM_DEVICE_IGNORE"), Some("1"), "{verdict:#?}");
        assert_eq!(verdict.group.as_deref(), Some(judge::GROUP), "{verdict:#?}");
    }
    // Its network interface too: a dongle is one device.
    let network = judge.of_network(dongle);
    assert_eq!(network.property("ID_MM_DEVICE_IGNORE"), Some("1"), "{network:#?}");
    assert_eq!(network.property("SYSTEMD_WANTS"), None, "{network:#?}");
    let serial = judge.of_port(find("a serial port of the machine"), 0);
    assert_eq!(serial.property("ID_TAPID_PROFILE"), Some("v253"), "{serial:#?}");
    assert_eq!(serial.group.as_deref(), Some(judge::GROUP), "{serial:#?}");
    let kept = judge.of_port(find("U.S. Robotics 5637"), 0);
    assert_eq!((kept.property("ID_MM_DEVICE_IGNORE"), kept.group.as_deref()), (None, None), "{kept:#?}");
}
