use super::*;
use crate::hotplug::tty::{Naming, Role};
use nix::sys::socket::getsockopt;
use std::os::unix::fs::symlink;

/// A tree like /sys with one dongle of two ports, one of them given to the daemon, and a console.
fn tree() -> (PathBuf, Roots) {
    let root = std::env::temp_dir().join(format!("tapid-udev-{}", std::process::id()));
    drop(std::fs::remove_dir_all(&root));
    let roots = Roots { sys: root.join("sys"), data: root.join("data") };
    std::fs::create_dir_all(roots.sys.join("class/tty")).unwrap();
    std::fs::create_dir_all(&roots.data).unwrap();
    for (port, number) in [("ttyUSB0", 0), ("ttyUSB1", 1)] {
        let device = roots.sys.join(format!("devices/pci0/usb1/1-2/1-2:1.{number}/{port}/tty/{port}"));
        std::fs::create_dir_all(&device).unwrap();
        std::fs::write(device.join("uevent"), format!("MAJOR=188\nMINOR={number}\nDEVNAME={port}\n")).unwrap();
        symlink(&device, roots.sys.join("class/tty").join(port)).unwrap();
    }
    let data = "S:serial/by-id/usb-x-if01\nE:ID_TAPID_MODEM=1\nE:ID_TAPID_PORT=at\nE:ID_VENDOR_ID=12d1\n\
                E:ID_MODEL_ID=1001\nE:ID_USB_INTERFACE_NUM=01\nE:ID_SERIAL_SHORT=AB12CD\nE:ID_PATH=pci-0-usb-0:2:1.1\n";
    std::fs::write(roots.data.join("c188:1"), data).unwrap();
    (root, roots)
}

#[test]
fn ports_that_are_there_are_found_with_what_udev_knows() {
    let (root, roots) = tree();
    let ttys = enumerate(&roots);
    std::fs::remove_dir_all(root).unwrap();
    let [tty] = &ttys[..] else { panic!("{ttys:?}") };
    assert_eq!(tty.node, Path::new("/dev/ttyUSB1"));
    assert_eq!(tty.links, [Path::new("/dev/serial/by-id/usb-x-if01")]);
    assert_eq!((tty.role, tty.interface, tty.usb), (Some(Role::At), Some(1), Some((0x12d1, 0x1001))));
    assert_eq!(tty.group, "/devices/pci0/usb1/1-2");
    let (serial, place) = (Some("AB12CD".to_owned()), "pci-0-usb-0:2".to_owned());
    assert_eq!(tty.naming, Naming::Device { serial, place });
}

#[tokio::test]
async fn the_monitor_tells_what_comes_and_goes() {
    let roots = Roots { sys: PathBuf::from("/nonexistent"), data: PathBuf::from("/nonexistent") };
    let (mut udev, there) =
        Udev::new(roots, None).expect("a netlink socket: tests must run where AF_NETLINK may be used");
    assert_eq!(there, []);
    let path = "/devices/pci0/usb1/1-2/1-2:1.0/tty/ttyACM0";
    let message = |action: &str, more: &[(&str, &str)]| {
        let mut all = vec![("ACTION", action), ("DEVPATH", path), ("SUBSYSTEM", "tty"), ("DEVNAME", "/dev/ttyACM0")];
        all.extend(more);
        uevent::parse(&uevent::tests::message(&all)).unwrap()
    };
    // Without the mark of our rules it is nobody's.
    assert_eq!(udev.heard(&message("add", &[])), []);
    let facts = udev.heard(&message("add", &[("ID_TAPID_MODEM", "1")]));
    assert!(matches!(&facts[..], [Fact::Added(tty)] if tty.group == "/devices/pci0/usb1/1-2"), "{facts:?}");
    assert_eq!(udev.heard(&message("change", &[("ID_TAPID_MODEM", "1")])), [], "nothing new");
    assert_eq!(udev.heard(&message("remove", &[])), [Fact::Removed(path.to_owned())]);
    assert_eq!(udev.heard(&message("remove", &[])), []);
}

#[tokio::test]
async fn a_monitor_that_the_service_manager_opened_is_listened_to() {
    use std::os::fd::AsRawFd;
    let root = std::env::temp_dir().join(format!("tapid-monitor-{}", std::process::id()));
    let roots = Roots { sys: root.join("sys"), data: root.join("data") };
    // As systemd opens it: blocking, and without the sender's credentials.
    let given =
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::empty(), Some(SockProtocol::NetlinkKObjectUEvent));
    let given = given.expect("a netlink socket: tests must run where AF_NETLINK may be used");
    bind(given.as_raw_fd(), &NetlinkAddr::new(0, GROUP)).unwrap();
    let number = given.as_raw_fd();
    let (mut udev, _) = Udev::new(roots, Some(given)).unwrap();
    assert_eq!(udev.socket.get_ref().as_raw_fd(), number, "it is this one");
    // Nobody has said anything: that it does not block is what lets this end.
    let quiet = tokio::time::timeout(std::time::Duration::from_millis(20), udev.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    assert!(getsockopt(udev.socket.get_ref(), sockopt::PassCred).unwrap(), "who sent it is known");
}
