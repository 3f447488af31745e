//! Serial ports of a device that is plugged in and pulled out.

use super::{Plugged, Port, Ports, Ready, Spec};
use std::collections::BTreeMap;
use std::path::PathBuf;
use tspi::PortId;

impl Ports {
    /// The device was pulled out, or somebody else has it: whatever of it was open is gone, for the second reason, and nothing
    /// can be opened, for the first one.
    pub fn unplugged(&mut self, is: &'static str, was: &'static str) {
        let before = std::mem::replace(&mut self.plugged, Plugged::No(is));
        self.cut_off(was);
        // Those that were refused for another reason are told this one.
        if matches!(before, Plugged::No(other) if other != is) {
            let refused = self.asked.iter().map(|port| Ready::Closed { port: *port, reason: is.to_string() });
            self.waiting.extend(refused);
        }
    }

    /// The device is there, with these ports: they are open as soon as they can be, without being asked for. A port that is
    /// open stays so, unless `turn` says that it is another device.
    pub fn plugged(&mut self, turn: u64, ports: &BTreeMap<PortId, PathBuf>) {
        if !matches!(self.plugged, Plugged::Unknown) && self.plugged != Plugged::Yes(turn) {
            self.cut_off("the device was unplugged");
        }
        self.plugged = Plugged::Yes(turn);
        for (port, path) in ports {
            let Some(Spec::Serial { device, .. }) = self.specs.get_mut(port) else { continue };
            device.clone_from(path);
            if self.asked.contains(port) && !self.open.contains_key(port) {
                self.open(*port);
            }
        }
    }

    /// Bytes that the serial ports have not taken yet.
    pub fn unwritten(&self) -> usize {
        let waiting = |port: &Port| if let Port::Serial(serial) = port { serial.waiting() } else { 0 };
        self.open.values().map(waiting).sum()
    }

    fn cut_off(&mut self, reason: &str) {
        let serial = self.specs.iter().filter(|(_, spec)| matches!(spec, Spec::Serial { .. }));
        for port in serial.map(|(port, _)| *port).collect::<Vec<_>>() {
            let opening = self.opening.remove(&port);
            if self.open.remove(&port).is_some() || opening {
                self.waiting.push_back(Ready::Closed { port, reason: reason.to_string() });
            }
        }
    }
}
