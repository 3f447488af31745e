//! A serial port that a source tells of, and what its properties say.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// What a port is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// AT commands.
    At,
    /// Raw audio.
    Audio,
}

/// How the modem that a port belongs to is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Naming {
    /// So.
    Given(String),
    /// After its serial number, or after where it is plugged in.
    Device {
        /// Serial number of the USB device.
        serial: Option<String>,
        /// Where it is plugged in, the same after every start (`ID_PATH`, without the interface).
        place: String,
    },
}

/// A serial port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tty {
    /// Its source's name for it.
    pub id: String,
    /// Its device.
    pub node: PathBuf,
    /// Further paths that lead to it.
    pub links: Vec<PathBuf>,
    /// The device that it is a part of: ports with the same one are one modem.
    pub group: String,
    /// What it is for, where its source knows.
    pub role: Option<Role>,
    /// Number of the USB interface.
    pub interface: Option<u8>,
    /// Vendor and product of the USB device.
    pub usb: Option<(u16, u16)>,
    /// The kernel's driver.
    pub driver: Option<String>,
    /// By what ModemManager knows its device: the path in /sys of the USB device, or what udev's rules say.
    pub device: Option<String>,
    /// The profile that udev's rules name.
    pub profile: Option<String>,
    /// The serial number of its USB device, whatever it is worth.
    pub serial: Option<String>,
    /// What switches its USB device off and on (`authorized` in /sys).
    pub switch: Option<PathBuf>,
    /// How the modem is named.
    pub naming: Naming,
}

/// Serial numbers that whole production runs share.
const SHARED: [&str; 5] = ["24680246", "0123456789ABCDEF", "1234567890ABCDEF", "HUAWEI_TECHNOLOGY", "HUAWEI_MOBILE"];

impl Tty {
    /// The port that udev's properties describe; none where udev's rules do not give it to the daemon.
    pub fn from_properties(properties: &BTreeMap<String, String>) -> Option<Tty> {
        let get = |key: &str| properties.get(key).map(String::as_str).filter(|value| !value.is_empty());
        let is = |key: &str| get(key) == Some("1");
        if get("SUBSYSTEM") != Some("tty") || !is("ID_TAPID_MODEM") {
            return None;
        }
        let id = get("DEVPATH")?.to_owned();
        let role = match get("ID_TAPID_PORT") {
            Some("at") => Some(Role::At),
            Some("audio") => Some(Role::Audio),
            Some(_) => return None,
            None if is("ID_MM_PORT_TYPE_AT_PRIMARY") => Some(Role::At),
            None if is("ID_MM_PORT_TYPE_AUDIO") => Some(Role::Audio),
            None => None,
        };
        let hex = |key: &str| get(key).and_then(|text| u16::from_str_radix(text, 16).ok());
        let group = usb_device(&id).unwrap_or(&id).to_owned();
        let on_usb = || usb_device(&id).map(|device| format!("/sys{device}"));
        let place = get("ID_PATH").map_or_else(|| group.clone(), |path| without_interface(path).to_owned());
        Some(Tty {
            node: PathBuf::from(get("DEVNAME")?),
            links: get("DEVLINKS").unwrap_or("").split_whitespace().map(PathBuf::from).collect(),
            role,
            interface: get("ID_USB_INTERFACE_NUM").and_then(|text| u8::from_str_radix(text, 16).ok()),
            usb: hex("ID_VENDOR_ID").zip(hex("ID_MODEL_ID")),
            driver: get("ID_USB_DRIVER").map(str::to_owned),
            device: get("ID_MM_PHYSDEV_UID").map(str::to_owned).or_else(on_usb),
            profile: get("ID_TAPID_PROFILE").map(str::to_owned),
            serial: get("ID_SERIAL_SHORT").map(str::to_owned),
            switch: usb_device(&id).map(|device| PathBuf::from(format!("/sys{device}/authorized"))),
            naming: Naming::Device {
                serial: get("ID_SERIAL_SHORT").filter(|serial| tells(serial)).map(str::to_owned),
                place,
            },
            group,
            id,
        })
    }
}

/// Whether a serial number tells one device from another.
fn tells(serial: &str) -> bool {
    let same = |mut bytes: std::str::Bytes<'_>| bytes.next().is_none_or(|first| bytes.all(|byte| byte == first));
    serial.len() >= 4 && !same(serial.bytes()) && !SHARED.iter().any(|shared| serial.eq_ignore_ascii_case(shared))
}

/// The path of the USB device that a path in /sys lies below: what is before the interface (`1-2:1.0`).
pub fn usb_device(path: &str) -> Option<&str> {
    let mut end = 0;
    for part in path.split_inclusive('/') {
        let name = part.trim_end_matches('/');
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let is_interface = name.split_once(':').is_some_and(|(device, interface)| {
            digits(interface) && device.split_once('-').is_some_and(|(bus, ports)| digits(bus) && digits(ports))
        });
        if is_interface {
            return path.get(..end).map(|device| device.trim_end_matches('/'));
        }
        end += part.len();
    }
    None
}

/// `pci-0000:00:14.0-usb-0:2:1.0` without the interface: `pci-0000:00:14.0-usb-0:2`.
fn without_interface(path: &str) -> &str {
    match path.rsplit_once(':') {
        Some((device, interface)) if path.contains("usb") && interface.contains('.') => device,
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usb_device_is_what_is_before_its_interface() {
        let path = "/devices/pci0000:00/0000:00:14.0/usb1/1-2/1-2.4/1-2.4:1.2/ttyUSB2/tty/ttyUSB2";
        assert_eq!(usb_device(path), Some("/devices/pci0000:00/0000:00:14.0/usb1/1-2/1-2.4"));
        assert_eq!(usb_device("/devices/pnp0/00:05/tty/ttyS0"), None);
        assert_eq!(without_interface("pci-0000:00:14.0-usb-0:2:1.0"), "pci-0000:00:14.0-usb-0:2");
        assert_eq!(without_interface("pci-0000:00:05.0"), "pci-0000:00:05.0");
    }

    #[test]
    fn serial_numbers_of_whole_production_runs_tell_nothing() {
        for (serial, expected) in
            [("24680246", false), ("00000000", false), ("huawei_mobile", false), ("A1", false), ("8A2F0031", true)]
        {
            assert_eq!(tells(serial), expected, "{serial}");
        }
    }
}
