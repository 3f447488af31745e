//! Has udev run its rules, with ours among them, for devices that there are not: `udevadm test` with the /sys that umockdev
//! makes up, and in a mount name space, since it writes links and its database.

use crate::devices::{Device, Place};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// The number that the group `tapid` has there.
pub const GROUP: &str = "64999";

/// What udev makes of a port.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    properties: BTreeMap<String, String>,
    pub group: Option<String>,
    pub mode: Option<String>,
}

impl Verdict {
    pub fn property(&self, key: &str) -> Option<&str> {
        self.properties.get(key).map(String::as_str)
    }

    pub fn links(&self) -> impl Iterator<Item = &str> {
        self.property("DEVLINKS").unwrap_or_default().split_whitespace()
    }
}

/// Every port of the devices, judged.
pub struct Judge(BTreeMap<String, Verdict>);

impl Judge {
    /// `rules`: an administrator's own, before ours.
    pub fn new(devices: &[Device], rules: &str) -> Judge {
        let root = Root::new(rules);
        let (mut text, mut paths) = (String::new(), Vec::new());
        text.push_str("P: /devices/pci0000:00/0000:00:14.0\nE: SUBSYSTEM=pci\n\n");
        text.push_str("P: /devices/pci0000:00/0000:00:14.0/usb1\nE: DEVTYPE=usb_device\nE: SUBSYSTEM=usb\n\n");
        for (at, device) in devices.iter().enumerate() {
            describe(&mut text, &mut paths, at, device);
        }
        std::fs::write(root.0.join("devices.umockdev"), text).unwrap();
        Judge(paths.iter().cloned().zip(root.judge(&paths)).collect())
    }

    pub fn of_port(&self, device: usize, port: usize) -> Verdict {
        let found = self.0.iter().find(|(path, _)| path.ends_with(&format!("/tty/{}", node(device, port))));
        let (_, verdict) = found.or_else(|| self.0.iter().find(|(path, _)| path.ends_with("/tty/ttyS0"))).unwrap();
        verdict.clone()
    }

    pub fn of_network(&self, device: usize) -> Verdict {
        self.0.iter().find(|(path, _)| path.ends_with(&format!("/net/wwan{device}"))).unwrap().1.clone()
    }
}

/// Names of ports are unique: the thousands are the device's.
fn node(device: usize, port: usize) -> String {
    format!("ttyACM{}", device * 100 + port)
}

fn describe(text: &mut String, paths: &mut Vec<String>, at: usize, device: &Device) {
    if device.place == Place::Machine {
        let path = "/devices/pnp0/00:05/tty/ttyS0".to_owned();
        text.push_str("P: /devices/pnp0/00:05\nE: SUBSYSTEM=pnp\n\n");
        write!(text, "P: {path}\nE: SUBSYSTEM=tty\nE: DEVNAME=/dev/ttyS0\nE: MAJOR=4\nE: MINOR=64\nA: dev=4:64\\n\n\n")
            .unwrap();
        return paths.push(path);
    }
    let usb = format!("/devices/pci0000:00/0000:00:14.0/usb1/1-{}", at + 1);
    write!(text, "P: {usb}\nE: DEVTYPE=usb_device\nE: SUBSYSTEM=usb\n").unwrap();
    writeln!(
        text,
        "A: idVendor={:04x}\\n\nA: idProduct={:04x}\\n\nA: bcdDevice=0100\\n",
        device.vendor, device.product
    )
    .unwrap();
    let serial = if device.serial.is_empty() { String::new() } else { format!("A: serial={}\\n\n", device.serial) };
    write!(text, "A: manufacturer=Maker\\n\nA: product={}\\n\n{serial}\n", device.name).unwrap();
    for (port, number) in device.interfaces.iter().enumerate() {
        let interface = format!("{usb}/1-{}:1.{number}", at + 1);
        write!(text, "P: {interface}\nE: DEVTYPE=usb_interface\nE: SUBSYSTEM=usb\n").unwrap();
        writeln!(text, "L: driver=../../../../../../bus/usb/drivers/{}", device.driver).unwrap();
        let class = if device.place == Place::Acm { "02" } else { "ff" };
        write!(text, "A: bInterfaceNumber={number:02x}\\n\nA: bInterfaceClass={class}\\n\n").unwrap();
        text.push_str("A: bInterfaceSubClass=00\\n\nA: bInterfaceProtocol=00\\n\n\n");
        // All are ttyACM here, whose names may have any number; those below a port are known by that.
        let name = node(at, port);
        let above = match device.place {
            Place::Serial => {
                write!(text, "P: {interface}/{name}\nE: SUBSYSTEM=usb-serial\nA: port_number=0\\n\n\n").unwrap();
                format!("{interface}/{name}/tty")
            }
            Place::Acm | Place::Machine => format!("{interface}/tty"),
        };
        let minor = at * 8 + port;
        let path = format!("{above}/{name}");
        write!(text, "P: {path}\nE: SUBSYSTEM=tty\nE: DEVNAME=/dev/{name}\nE: MAJOR=166\nE: MINOR={minor}\n").unwrap();
        write!(text, "A: dev=166:{minor}\\n\n\n").unwrap();
        paths.push(path);
    }
    if device.driver == "option" {
        let interface = format!("{usb}/1-{}:1.8", at + 1);
        write!(text, "P: {interface}\nE: DEVTYPE=usb_interface\nE: SUBSYSTEM=usb\nA: bInterfaceNumber=08\\n\n\n")
            .unwrap();
        let path = format!("{interface}/net/wwan{at}");
        write!(text, "P: {path}\nE: SUBSYSTEM=net\nE: INTERFACE=wwan{at}\nE: IFINDEX={}\n\n", 100 + at).unwrap();
        paths.push(path);
    }
}

/// A directory that becomes /etc/udev, with a hardware database of its own.
struct Root(PathBuf);

impl Root {
    fn new(rules: &str) -> Root {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("tapid-udev-rules-{}-{number}", std::process::id()));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../udev");
        for directory in ["udev/rules.d", "udev/hwdb.d", "lib/rules.d", "lib/hwdb.d", "dev", "run"] {
            std::fs::create_dir_all(root.join(directory)).unwrap();
        }
        let copy = |from: &str, to: &str| std::fs::copy(source.join(from), root.join(to)).unwrap();
        copy("65-tapid.rules", "lib/rules.d/65-tapid.rules");
        copy("60-tapid.hwdb", "lib/hwdb.d/60-tapid.hwdb");
        // What ours build upon, and nothing else of the system's.
        let serial = ["/usr/lib/udev/rules.d", "/lib/udev/rules.d"].map(|at| Path::new(at).join("60-serial.rules"));
        let serial = serial.iter().find(|path| path.exists()).expect("udev is missing: apt-get install udev");
        std::fs::copy(serial, root.join("lib/rules.d/60-serial.rules")).unwrap();
        std::fs::write(root.join("udev/rules.d/60-tapid-local.rules"), rules).unwrap();
        let groups = std::fs::read_to_string("/etc/group").unwrap();
        let groups: String =
            groups.lines().filter(|line| !line.starts_with("tapid:")).map(|line| format!("{line}\n")).collect();
        std::fs::write(root.join("group"), format!("{groups}tapid:x:{GROUP}:\n")).unwrap();
        Root(root)
    }

    fn judge(&self, paths: &[String]) -> Vec<Verdict> {
        let list: String = paths.iter().map(|path| format!("/sys{path}\n")).collect();
        std::fs::write(self.0.join("paths"), list).unwrap();
        let script = "set -e
            root=$1
            mount --bind $root/udev /etc/udev
            mount --bind $root/lib $(readlink -f /lib/udev)
            mount --bind $root/group /etc/group
            systemd-hwdb update
            touch $root/dev/null $root/dev/urandom
            mount --bind /dev/null $root/dev/null
            mount --bind /dev/urandom $root/dev/urandom
            mount --rbind $root/dev /dev
            mount --bind $root/run /run
            exec umockdev-run -d $root/devices.umockdev -- sh -c '
              while read -r path; do
                echo \"@ $path\"
                udevadm test --action=add $path 2>&1
              done < $1' sh $root/paths";
        let privileged = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
        let mut command = Command::new("unshare");
        command
            .args([if privileged { "-m" } else { "-rm" }, "sh", "-c", script, "sh"])
            .arg(&self.0)
            .stdin(Stdio::null());
        for (tool, package) in
            [("umockdev-run", "umockdev"), ("udevadm", "udev"), ("systemd-hwdb", "udev"), ("unshare", "util-linux")]
        {
            let found = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"].iter().any(|at| Path::new(at).join(tool).exists());
            assert!(found, "{tool} is missing: apt-get install {package}");
        }
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        let judged: Vec<Verdict> = text.split("@ /sys").skip(1).map(read).collect();
        assert_eq!(judged.len(), paths.len(), "{text}");
        judged
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// What `udevadm test` says: what each rule does, then the properties.
fn read(text: &str) -> Verdict {
    assert!(text.contains("65-tapid.rules"), "our rules were not read: {text}");
    let mut verdict = Verdict::default();
    for line in text.lines() {
        if let Some((_, done)) = line.split_once("65-tapid.rules:") {
            let mut words = done.split_whitespace().skip(1);
            match (words.next(), words.next()) {
                (Some("GROUP"), Some(group)) => verdict.group = Some(group.to_owned()),
                (Some("MODE"), Some(mode)) => verdict.mode = Some(mode.to_owned()),
                _ => {}
            }
        } else if let Some((key, value)) = line.split_once('=')
            && key.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"_.".contains(&byte))
        {
            verdict.properties.insert(key.to_owned(), value.to_owned());
        }
    }
    verdict
}
