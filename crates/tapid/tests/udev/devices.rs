//! What udev sees of real devices: USB ids, interfaces, drivers, serial numbers, from vendors' manuals and the kernel's tables.

/// Whose a device is when no rule of an administrator's says anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// The daemon's.
    Ours,
    /// Anybody's.
    Others,
}

/// Where its ports are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `ttyACM` below an interface of these USB ids.
    Acm,
    /// `ttyUSB` below a port below an interface.
    Serial,
    /// A port of the machine.
    Machine,
}

/// A device.
#[derive(Clone, Copy, Debug)]
pub struct Device {
    pub name: &'static str,
    pub place: Place,
    pub vendor: u16,
    pub product: u16,
    pub driver: &'static str,
    pub serial: &'static str,
    /// Whether no other device has the serial number.
    pub own_serial: bool,
    /// Numbers of the interfaces with a port.
    pub interfaces: &'static [u8],
    /// Kind and family.
    pub family: Option<(&'static str, &'static str)>,
    pub given: Given,
}

impl Device {
    pub fn ports(&self) -> usize {
        self.interfaces.len()
    }

    pub fn usb(&self) -> bool {
        self.place != Place::Machine
    }
}

const NONE: Device = Device {
    name: "",
    place: Place::Acm,
    vendor: 0,
    product: 0,
    driver: "cdc_acm",
    serial: "",
    own_serial: false,
    interfaces: &[0],
    family: None,
    given: Given::Others,
};

const fn analogue(name: &'static str, vendor: u16, product: u16, family: &'static str) -> Device {
    Device { name, vendor, product, family: Some(("analogue", family)), given: Given::Ours, ..NONE }
}

const fn dongle(
    name: &'static str,
    vendor: u16,
    product: u16,
    family: &'static str,
    interfaces: &'static [u8],
) -> Device {
    let family = Some(("cellular", family));
    Device { name, place: Place::Serial, vendor, product, driver: "option", interfaces, family, ..NONE }
}

/// The table.
pub const DEVICES: &[Device] = &[
    Device { serial: "24680246", ..analogue("Conexant CX93010", 0x0572, 0x1321, "conexant-cx93001") },
    Device { serial: "24680246", ..analogue("Hummingbird huc56s", 0x0572, 0x1329, "conexant-cx93001") },
    analogue("Dell RD02-D400", 0x0572, 0x1324, "conexant-cx93001"),
    analogue("Shiro, Aztech", 0x0572, 0x1328, "conexant-cx93001"),
    analogue("Hiro H50228", 0x0572, 0x1349, "conexant-cx93001"),
    Device { serial: "1001A7", own_serial: true, ..analogue("U.S. Robotics 5637", 0x0baf, 0x0303, "usr5637") },
    Device { serial: "00000000", ..analogue("Zoom 3095F", 0x0803, 0x3095, "zoom-3095") },
    Device {
        place: Place::Serial,
        driver: "ti_usb_3410_5052",
        ..analogue("MultiTech MT9234MU", 0x06e0, 0xf114, "multitech")
    },
    Device {
        place: Place::Serial,
        driver: "ti_usb_3410_5052",
        ..analogue("MultiTech MT9234ZBA", 0x06e0, 0xf115, "multitech")
    },
    analogue("ZyXEL Omni 56K Plus", 0x0ace, 0x1611, "zyxel-omni"),
    Device { serial: "HUAWEI_MOBILE", ..dongle("Huawei E1550", 0x12d1, 0x1001, "huawei-e1550", &[0, 1, 2]) },
    dongle("Huawei E173", 0x12d1, 0x140c, "huawei-e1550", &[0, 1, 2, 3]),
    dongle("Huawei K3770", 0x12d1, 0x14ac, "huawei-e1550", &[0, 1, 2, 3, 4]),
    dongle("Huawei E173u-2", 0x12d1, 0x1436, "huawei-e1550", &[0, 1, 2, 3, 4]),
    dongle("Huawei E398", 0x12d1, 0x1506, "huawei-e1550", &[0, 1, 2, 3]),
    Device { serial: "8A2F0031", ..dongle("Quectel EC25", 0x2c7c, 0x0125, "quectel-ec2x", &[0, 1, 2, 3]) },
    dongle("Quectel EC21", 0x2c7c, 0x0121, "quectel-ec2x", &[0, 1, 2, 3]),
    dongle("Quectel EG91", 0x2c7c, 0x0191, "quectel-ec2x", &[0, 1, 2, 3]),
    dongle("Quectel EG06", 0x2c7c, 0x0306, "quectel-ec2x", &[0, 1, 2, 3]),
    Device {
        serial: "0123456789ABCDEF",
        ..dongle("SimCom SIM7600", 0x1e0e, 0x9001, "simcom-sim7600", &[0, 1, 2, 3, 4])
    },
    dongle("SimCom A7600", 0x1e0e, 0x9011, "simcom-sim7600", &[0, 1, 2]),
    dongle("Telit LE910", 0x1bc7, 0x1201, "telit-le910", &[0, 1, 2, 3]),
    Device {
        place: Place::Acm,
        driver: "cdc_acm",
        ..dongle("u-blox SARA-U270", 0x1546, 0x1104, "ublox-sara", &[0, 2, 4])
    },
    Device { driver: "sierra", ..dongle("Sierra MC8790", 0x1199, 0x683c, "sierra-mc", &[0, 1, 2, 3]) },
    Device {
        place: Place::Acm,
        driver: "cdc_acm",
        ..dongle("Cinterion PLS8", 0x1e2d, 0x0061, "cinterion", &[0, 2, 4])
    },
    dongle("Fibocom NL668", 0x1508, 0x1001, "fibocom", &[0, 1, 2, 3]),
    dongle("ZTE MF637", 0x19d2, 0x0117, "zte-connect", &[0, 1, 2]),
    // What is no modem, or may hide one, is nobody's business.
    Device { name: "Arduino Uno", vendor: 0x2341, product: 0x0043, serial: "55639303235351A0", ..NONE },
    Device { name: "FTDI adapter", place: Place::Serial, vendor: 0x0403, product: 0x6001, driver: "ftdi_sio", ..NONE },
    Device {
        name: "Prolific adapter",
        place: Place::Serial,
        vendor: 0x067b,
        product: 0x2303,
        driver: "pl2303",
        ..NONE
    },
    Device {
        name: "Conexant without its driver",
        place: Place::Serial,
        vendor: 0x0572,
        product: 0x1329,
        driver: "usbserial_generic",
        ..NONE
    },
    Device {
        name: "Qualcomm in its loader",
        place: Place::Serial,
        vendor: 0x05c6,
        product: 0x9008,
        driver: "qcserial",
        ..NONE
    },
    Device { name: "a serial port of the machine", place: Place::Machine, driver: "serial", ..NONE },
];
