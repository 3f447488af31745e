use super::*;
use std::path::Path;

fn tty(device: &str, interface: u8, usb: (u16, u16), serial: Option<&str>) -> Tty {
    Tty {
        id: format!("{device}/{interface}"),
        node: Path::new("/dev").join(format!("tty{device}-{interface}")),
        links: vec![Path::new("/dev/serial/by-id").join(format!("{device}-{interface}"))],
        group: device.to_owned(),
        role: None,
        interface: Some(interface),
        usb: Some(usb),
        driver: Some("option".to_owned()),
        serial: serial.map(str::to_owned),
        device: Some(format!("/sys/devices/usb1/{device}")),
        profile: None,
        switch: None,
        naming: Naming::Device { serial: serial.map(str::to_owned), place: format!("pci-usb-{device}") },
    }
}

fn groups() -> Groups {
    Groups::new(Settle::after(Duration::from_millis(300)), Catalogue::builtin().clone(), BTreeSet::new())
}

const IMEI: &str = "867962041234567";

/// The next modem that is plugged in; one that is asked for its IMEI tells it.
fn plugged(groups: &mut Groups) -> Modem {
    let mut said = groups.poll();
    if let Some(Said::Ask { group, .. }) = &said {
        groups.told(Time(30_000_000), group, Some(IMEI.to_owned()));
        said = groups.poll();
    }
    match said {
        Some(Said::Plugged(modem)) => modem,
        other => panic!("{other:?}"),
    }
}

const MS: Duration = Duration::from_millis(1);
const QUECTEL: (u16, u16) = (0x2c7c, 0x0125);
const CONEXANT: (u16, u16) = (0x0572, 0x1329);

#[test]
fn a_device_of_many_ports_is_one_modem_once_it_is_quiet() {
    let mut groups = groups();
    let mut now = Time(1_000_000);
    for interface in [0, 3, 1, 2] {
        groups.fact(now, Fact::Added(tty("1-2", interface, QUECTEL, Some("8A2F0031"))));
        now += 200 * MS;
        groups.timeout(now);
        assert_eq!(groups.poll(), None, "a port may still come");
    }
    now = groups.deadline().unwrap();
    groups.timeout(now);
    let modem = plugged(&mut groups);
    assert_eq!(modem.key, "imei-867962041234567", "whatever its serial number is");
    assert_eq!(modem.ports[&AT_PORT], Path::new("/dev/tty1-2-2"));
    assert_eq!(modem.ports[&AUDIO_PORT], Path::new("/dev/tty1-2-1"));

    // A port that it does not use goes; then the one for audio: gone at once, and back under the same name elsewhere.
    groups.fact(now, Fact::Removed("1-2/0".to_owned()));
    assert_eq!(groups.poll(), None);
    groups.fact(now, Fact::Removed("1-2/1".to_owned()));
    assert_eq!(groups.poll(), Some(Said::Unplugged { key: modem.key.clone() }));
    for interface in [2, 3] {
        groups.fact(now, Fact::Removed(format!("1-2/{interface}")));
    }
    groups.timeout(now + 20_000 * MS);
    assert_eq!((groups.poll(), groups.deadline()), (None, None));
    for interface in [1, 2] {
        groups.fact(now, Fact::Added(tty("1-4", interface, QUECTEL, Some("8A2F0031"))));
    }
    groups.timeout(now + 300 * MS);
    let again = plugged(&mut groups);
    assert_eq!(again.key, modem.key);
    assert_eq!(again.ports[&AT_PORT], Path::new("/dev/tty1-4-2"));
}

#[test]
fn a_dongle_is_given_time_for_its_further_ports_and_a_voice_modem_is_not() {
    let mut groups = Groups::new(Settle::default(), Catalogue::builtin().clone(), BTreeSet::new());
    let huawei = (0x12d1, 0x1001);
    let now = Time(1_000_000);
    groups.fact(now, Fact::Added(tty("1-1", 0, CONEXANT, Some("77AA88BB"))));
    assert_eq!(groups.deadline(), Some(now + 300 * MS));
    groups.timeout(now + 300 * MS);
    plugged(&mut groups);
    // Its first port is that of the modem, and the others follow.
    groups.fact(now, Fact::Added(tty("1-2", 0, huawei, None)));
    assert_eq!(groups.deadline(), Some(now + 1_500 * MS));
    groups.fact(now + 1_400 * MS, Fact::Added(tty("1-2", 2, huawei, None)));
    assert_eq!(groups.deadline(), Some(now + 2_900 * MS));
    groups.fact(now + 2_800 * MS, Fact::Added(tty("1-2", 1, huawei, None)));
    groups.timeout(now + 4_300 * MS);
    assert_eq!(plugged(&mut groups).ports.len(), 2);
}

#[test]
fn ports_that_come_and_go_for_ever_are_not_waited_for_for_ever() {
    let mut groups = Groups::new(Settle::default(), Catalogue::builtin().clone(), BTreeSet::new());
    let now = Time(1_000_000);
    for at in 0..20u8 {
        groups.fact(now + u32::from(at) * 1_000 * MS, Fact::Added(tty("1-2", at, (0x12d1, 0x1001), None)));
        groups.timeout(now + u32::from(at) * 1_000 * MS);
    }
    assert!(groups.poll().is_some(), "after 10 s");
}

#[test]
fn an_audio_port_that_does_not_come_is_not_waited_for_for_ever() {
    let mut groups = groups();
    let now = Time(1_000_000);
    groups.fact(now, Fact::Added(tty("1-2", 2, QUECTEL, Some("8A2F0031"))));
    groups.timeout(now + 300 * MS);
    assert_eq!(groups.poll(), None);
    groups.timeout(groups.deadline().unwrap());
    assert_eq!(plugged(&mut groups).ports.len(), 1);
    // It comes after all.
    groups.fact(now + 20_000 * MS, Fact::Added(tty("1-2", 1, QUECTEL, Some("8A2F0031"))));
    assert_eq!(plugged(&mut groups).ports.len(), 2);
}

#[test]
fn twins_are_told_apart_by_where_they_are_and_the_first_keeps_its_name() {
    let mut groups = groups();
    let now = Time(1_000_000);
    groups.fact(now, Fact::Added(tty("1-1", 0, CONEXANT, Some("77AA88BB"))));
    groups.settled(now);
    assert_eq!(plugged(&mut groups).key, "0572-1329-77AA88BB");
    groups.fact(now, Fact::Added(tty("1-3", 0, CONEXANT, Some("77AA88BB"))));
    groups.settled(now);
    assert_eq!(plugged(&mut groups).key, "pci-usb-1-3");
    groups.fact(now, Fact::Removed("1-1/0".to_owned()));
    assert!(matches!(groups.poll(), Some(Said::Unplugged { .. })));
    groups.fact(now, Fact::Added(tty("1-1", 0, CONEXANT, Some("77AA88BB"))));
    groups.settled(now);
    assert_eq!(plugged(&mut groups).key, "0572-1329-77AA88BB");
    groups.fact(now, Fact::Added(tty("1-5", 0, CONEXANT, None)));
    groups.settled(now);
    assert_eq!(plugged(&mut groups).key, "pci-usb-1-5");
}

#[test]
fn a_dongle_without_a_serial_number_is_named_by_its_imei() {
    let mut groups = groups();
    let now = Time(1_000_000);
    let huawei = (0x12d1, 0x1001);
    for interface in [0, 1, 2] {
        groups.fact(now, Fact::Added(tty("1-2", interface, huawei, None)));
    }
    groups.settled(now);
    let ask = || Said::Ask {
        group: "1-2".to_owned(),
        node: PathBuf::from("/dev/tty1-2-2"),
        device: Some("/sys/devices/usb1/1-2".to_owned()),
    };
    assert_eq!(groups.poll(), Some(ask()));
    groups.told(now, "1-2", None);
    assert_eq!(groups.poll(), None, "it is asked again later");
    groups.timeout(groups.deadline().unwrap());
    assert_eq!(groups.poll(), Some(ask()));
    groups.told(now + 20_000 * MS, "1-2", Some("356938035643809".to_owned()));
    assert_eq!(plugged(&mut groups).key, "imei-356938035643809");
    assert_eq!(groups.devices(), BTreeSet::from(["/sys/devices/usb1/1-2".to_owned()]));
    groups.fact(now, Fact::Removed("1-2/2".to_owned()));
    assert_eq!(groups.devices(), BTreeSet::new(), "what is not used is not kept from others");
}

#[test]
fn a_dongle_keeps_the_name_that_an_earlier_process_knew_and_whoever_comes_in_its_place_does_not() {
    let mut groups = groups();
    let now = Time(1_000_000);
    for place in ["1-2", "1-3"] {
        groups.remember(place, &format!("imei-known-{place}"));
    }
    let add = |groups: &mut Groups, place: &str| {
        (0..3).for_each(|port| groups.fact(now, Fact::Added(tty(place, port, (0x12d1, 0x1001), None))));
    };
    add(&mut groups, "1-2");
    groups.settled(now);
    assert_eq!(plugged(&mut groups).key, "imei-known-1-2");
    (0..3).for_each(|port| groups.fact(now, Fact::Removed(format!("1-2/{port}"))));
    assert!(matches!(groups.poll(), Some(Said::Unplugged { .. })));
    // One that was not there at the start either.
    for place in ["1-2", "1-3"] {
        add(&mut groups, place);
        groups.settled(now);
        assert!(matches!(groups.poll(), Some(Said::Ask { group, .. }) if group == place), "{place}");
    }
}

#[test]
fn what_the_configuration_names_is_not_found_too() {
    let configured = BTreeSet::from([PathBuf::from("/dev/serial/by-id/1-2-2")]);
    let mut groups = Groups::new(Settle::after(Duration::from_millis(300)), Catalogue::builtin().clone(), configured);
    for interface in [1, 2, 3] {
        groups.fact(Time(1), Fact::Added(tty("1-2", interface, QUECTEL, None)));
    }
    groups.settled(Time(1));
    assert_eq!((groups.poll(), groups.deadline().map(|at| at.0)), (None, Some(u64::MAX)));
}
