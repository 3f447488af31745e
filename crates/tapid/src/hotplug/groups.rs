//! From serial ports to modems: ports of one device are one modem, which is there once the device has been quiet for a
//! while, and gone as soon as a port that it uses is.
//!
//! ```text
//!   Settling ── quiet, named ───────────────────► Plugged ── a port of its own is removed ─► Settling, or gone
//!      │  ▲── quiet, a name must be asked for ─► Asking ── named ─► Plugged
//!      └── any port comes or goes: quiet again later
//! ```

use super::tty::{Naming, Role, Tty};
use super::{Fact, PortMap};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::time::Duration;
use tapi::Time;
use tsp_modem::profile::Kind;
use tsp_modem::{AT_PORT, AUDIO_PORT, Catalogue, Clues};

/// Devices that are known at one time.
const MOST: usize = 256;

/// How long a device must have been quiet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settle {
    /// One that comes with all that it has.
    plain: Duration,
    /// A dongle, whose ports come one after the other.
    siblings: Duration,
}

impl Settle {
    /// Any device: so long.
    pub fn after(quiet: Duration) -> Settle {
        Settle { plain: quiet, siblings: quiet }
    }
}

impl Default for Settle {
    fn default() -> Settle {
        Settle { plain: Duration::from_millis(300), siblings: Duration::from_millis(1_500) }
    }
}

/// How long the audio port of a device is waited for once its AT port is there.
const INCOMPLETE: Duration = Duration::from_secs(10);

/// A name that a modem did not tell is asked for again after this.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// A modem that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Modem {
    /// By what it is known again.
    pub key: String,
    /// The device that its ports are of.
    pub group: String,
    /// Its ports.
    pub ports: PortMap,
    /// What is known of it without asking.
    pub clues: Clues,
    /// The profile that udev's rules name.
    pub profile: Option<String>,
    /// By what ModemManager knows its device.
    pub device: Option<String>,
    /// Its serial number.
    pub serial: Option<String>,
    /// What switches its USB device off and on.
    pub switch: Option<PathBuf>,
}

/// What comes of the facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A modem is there, or has a further port.
    Plugged(Modem),
    /// It is gone.
    Unplugged {
        /// Which.
        key: String,
    },
    /// Its IMEI is to be asked for at this port, for its name: answered with [`Groups::told`].
    Ask {
        /// Which device.
        group: String,
        /// Its AT port.
        node: PathBuf,
        /// By what ModemManager knows it.
        device: Option<String>,
    },
}

#[derive(Debug)]
enum State {
    /// Ports may still come.
    Settling { until: Time },
    /// It is asked for its name.
    Asking,
    /// It is there, with these ports.
    Plugged { key: String, used: BTreeSet<String> },
}

#[derive(Debug)]
struct Group {
    first: Time,
    state: State,
    imei: Option<String>,
}

/// All devices.
#[derive(Debug)]
pub struct Groups {
    settle: Settle,
    catalogue: Catalogue,
    /// Paths of modems that the configuration names.
    configured: BTreeSet<PathBuf>,
    ttys: BTreeMap<String, Tty>,
    groups: BTreeMap<String, Group>,
    /// Where the device with a serial number was plugged in last: of two with the same one it is the first.
    claims: BTreeMap<String, String>,
    /// Names of devices whose earlier process knew them; for the first time that they are seen.
    known: BTreeMap<String, String>,
    said: VecDeque<Said>,
}

impl Groups {
    /// No devices. `configured`: ports that are modems of the configuration, whatever they are a part of.
    pub fn new(settle: Settle, catalogue: Catalogue, configured: BTreeSet<PathBuf>) -> Groups {
        Groups {
            settle,
            catalogue,
            configured,
            ttys: BTreeMap::new(),
            groups: BTreeMap::new(),
            claims: BTreeMap::new(),
            known: BTreeMap::new(),
            said: VecDeque::new(),
        }
    }

    /// The device there has this name, as an earlier process knows.
    pub fn remember(&mut self, group: &str, key: &str) {
        self.known.insert(group.to_owned(), key.to_owned());
    }

    /// Whether the modem is there.
    pub fn is_plugged(&self, modem: &str) -> bool {
        self.groups.values().any(|group| matches!(&group.state, State::Plugged { key, .. } if key == modem))
    }

    /// What ModemManager calls the devices that are modems, or are asked for their names.
    pub fn devices(&self) -> BTreeSet<String> {
        let ours = |tty: &&Tty| {
            let group = self.groups.get(&tty.group);
            group.is_some_and(|group| !matches!(group.state, State::Settling { .. }))
        };
        self.ttys.values().filter(ours).filter_map(|tty| tty.device.clone()).collect()
    }

    /// The next thing that came of it.
    pub fn poll(&mut self) -> Option<Said> {
        self.said.pop_front()
    }

    /// A source says so.
    pub fn fact(&mut self, now: Time, fact: Fact) {
        match fact {
            Fact::Added(tty) => {
                let full = self.groups.len() >= MOST && !self.groups.contains_key(&tty.group);
                if full || self.ttys.len() >= MOST * 8 {
                    return;
                }
                let settle = self.settle_of(&tty);
                let fresh = || Group { first: now, state: State::Settling { until: now + settle }, imei: None };
                let group = self.groups.entry(tty.group.clone()).or_insert_with(fresh);
                if let State::Settling { until: quiet } = &mut group.state {
                    // Ports that come and come are not waited for for ever.
                    *quiet = (now + settle).min(group.first + INCOMPLETE).max(now);
                }
                let name = tty.group.clone();
                self.ttys.insert(tty.id.clone(), tty);
                // A further port of a modem that is there: its audio port, perhaps.
                if matches!(self.groups.get(&name), Some(Group { state: State::Plugged { .. }, .. })) {
                    self.resolve(now, &name);
                }
            }
            Fact::Removed(id) => {
                let Some(tty) = self.ttys.remove(&id) else { return };
                let settle = self.settle_of(&tty);
                let Some(group) = self.groups.get_mut(&tty.group) else { return };
                if let State::Plugged { key, used } = &group.state
                    && used.contains(&id)
                {
                    self.said.push_back(Said::Unplugged { key: key.clone() });
                    group.state = State::Settling { until: now + settle };
                    group.first = now;
                }
                if !self.ttys.values().any(|other| other.group == tty.group) {
                    self.known.remove(&tty.group);
                    self.groups.remove(&tty.group);
                }
            }
        }
    }

    /// How long the device of this port must have been quiet: longer where further ports are to be expected.
    fn settle_of(&self, tty: &Tty) -> Duration {
        let alone = tty.usb.is_none() || matches!(tty.naming, Naming::Given(_));
        if alone || !self.is_cellular(tty) { self.settle.plain } else { self.settle.siblings }
    }

    fn is_cellular(&self, tty: &Tty) -> bool {
        let named = tty.profile.as_deref().and_then(|id| self.catalogue.named(id));
        named.or_else(|| self.catalogue.pick(&clues(tty))).is_some_and(|profile| profile.kind == Kind::Cellular)
    }

    /// What is there now is complete: it is not waited for.
    pub fn settled(&mut self, now: Time) {
        for group in self.groups.values_mut() {
            if let State::Settling { until } = &mut group.state {
                *until = now;
            }
        }
        self.timeout(now);
        // Whoever comes to a place where nobody is now may be another one.
        let there = &self.groups;
        self.known.retain(|group, _| there.contains_key(group));
    }

    /// When it must look again.
    pub fn deadline(&self) -> Option<Time> {
        let deadlines = self.groups.values().filter_map(|group| match group.state {
            State::Settling { until } => Some(until),
            State::Asking | State::Plugged { .. } => None,
        });
        deadlines.min()
    }

    /// A deadline may have passed.
    pub fn timeout(&mut self, now: Time) {
        let due = |group: &Group| matches!(group.state, State::Settling { until } if until <= now);
        let due: Vec<String> =
            self.groups.iter().filter(|(_, group)| due(group)).map(|(name, _)| name.clone()).collect();
        for name in due {
            self.resolve(now, &name);
        }
    }

    /// A modem told its IMEI, or did not.
    pub fn told(&mut self, now: Time, name: &str, imei: Option<String>) {
        let Some(group) = self.groups.get_mut(name) else { return };
        if !matches!(group.state, State::Asking) {
            return;
        }
        let until = if imei.is_some() { now } else { now + ASK_AGAIN };
        group.imei = imei;
        group.state = State::Settling { until };
        self.timeout(now);
    }

    /// A device is quiet: which of its ports are what, and how it is named.
    fn resolve(&mut self, now: Time, name: &str) {
        let ttys: Vec<&Tty> = self.ttys.values().filter(|tty| tty.group == name).collect();
        let Some(group) = self.groups.get(name) else { return };
        let Some(first) = ttys.first() else { return };
        let taken = |tty: &&Tty| {
            self.configured.contains(&tty.node) || tty.links.iter().any(|link| self.configured.contains(link))
        };
        let device = matches!(first.naming, Naming::Device { .. });
        if device && ttys.iter().any(taken) {
            return self.wait(name, None);
        }
        let clues = clues(first);
        let roles = self.roles(&ttys, &clues);
        let complete = !roles.audio_expected || roles.audio.is_some() || now.since(group.first) >= INCOMPLETE;
        let Some(at) = roles.at.filter(|_| complete || !device) else {
            let until = group.first + INCOMPLETE;
            return self.wait(name, Some(until).filter(|until| *until > now));
        };
        let key = match (&group.state, &first.naming) {
            (State::Plugged { key, .. }, _) => Some(key.clone()),
            (_, Naming::Given(key)) => Some(key.clone()),
            (_, Naming::Device { .. }) if self.known.contains_key(name) => self.known.get(name).cloned(),
            (_, Naming::Device { serial, place }) => {
                let imei = group.imei.as_deref().map(|imei| format!("imei-{imei}"));
                imei.or_else(|| self.name(first, serial.as_deref(), place, roles.cellular))
            }
        };
        let Some(key) = key else {
            let (group, device) = (name.to_owned(), at.device.clone());
            self.said.push_back(Said::Ask { group, node: at.node.clone(), device });
            return self.enter(name, State::Asking);
        };
        let mut ports = PortMap::from([(AT_PORT, at.node.clone())]);
        ports.extend(roles.audio.map(|audio| (AUDIO_PORT, audio.node.clone())));
        let used = [Some(at), roles.audio].into_iter().flatten().map(|tty| tty.id.clone()).collect();
        let profile = ttys.iter().find_map(|tty| tty.profile.clone());
        if let Naming::Device { serial: Some(serial), place } = &first.naming
            && key.ends_with(&plain(serial))
        {
            self.claims.insert(serial.clone(), place.clone());
        }
        self.known.remove(name);
        let (group, device, serial) = (name.to_owned(), at.device.clone(), at.serial.clone());
        let switch = at.switch.clone();
        let modem = Modem { key: key.clone(), group, ports, clues, profile, device, serial, switch };
        self.said.push_back(Said::Plugged(modem));
        self.enter(name, State::Plugged { key, used });
    }

    fn enter(&mut self, name: &str, state: State) {
        if let Some(group) = self.groups.get_mut(name) {
            group.state = state;
        }
    }

    /// Nothing can be said until then, or until another port comes.
    fn wait(&mut self, name: &str, until: Option<Time>) {
        self.enter(name, State::Settling { until: until.unwrap_or(Time(u64::MAX)) });
    }

    /// A cellular modem by its IMEI (none: to be asked for); another by its serial number where it has one of its own; else
    /// by where it is plugged in.
    fn name(&self, tty: &Tty, serial: Option<&str>, place: &str, cellular: bool) -> Option<String> {
        if cellular {
            return None;
        }
        let (vendor, product) = tty.usb.unwrap_or_default();
        if let Some(serial) = serial {
            let same = |other: &&Tty| {
                other.group != tty.group
                    && other.usb == tty.usb
                    && matches!(&other.naming, Naming::Device { serial: Some(other), .. } if other == serial)
            };
            let alone = !self.ttys.values().any(|other| same(&other));
            if alone || self.claims.get(serial).is_some_and(|claimed| claimed == place) {
                return Some(format!("{vendor:04x}-{product:04x}-{}", plain(serial)));
            }
        }
        Some(plain(place))
    }

    fn roles<'a>(&self, ttys: &[&'a Tty], clues: &Clues) -> Roles<'a> {
        let named = ttys.iter().find_map(|tty| self.catalogue.named(tty.profile.as_deref()?));
        let profile = named.or_else(|| self.catalogue.pick(clues));
        let ports = profile.and_then(|profile| profile.ports(clues));
        let with = |role: Role| ttys.iter().copied().find(|tty| tty.role == Some(role));
        let numbered = |number: u8| ttys.iter().copied().find(|tty| tty.interface == Some(number));
        let lowest = || {
            let plain = ttys.iter().copied().filter(|tty| tty.role.is_none());
            plain.min_by_key(|tty| (tty.interface, &tty.node))
        };
        let at = match (with(Role::At), &ports) {
            (Some(at), _) => Some(at),
            (None, Some(ports)) if ttys.iter().any(|tty| tty.interface.is_some()) => numbered(ports.at),
            (None, _) => lowest(),
        };
        let by_number = ports.as_ref().and_then(|ports| ports.audio);
        let audio = with(Role::Audio).or_else(|| by_number.and_then(numbered));
        Roles {
            at,
            audio,
            audio_expected: by_number.is_some(),
            cellular: profile.is_some_and(|profile| profile.kind == Kind::Cellular),
        }
    }
}

/// What may stand in a name of it.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '_' }).take(48).collect()
}

/// Which port is what.
struct Roles<'a> {
    at: Option<&'a Tty>,
    audio: Option<&'a Tty>,
    /// Such a device has an audio port.
    audio_expected: bool,
    cellular: bool,
}

fn clues(tty: &Tty) -> Clues {
    let mut clues = Clues::new();
    if let Some((vendor, product)) = tty.usb {
        clues = clues.usb(vendor, product);
    }
    match &tty.driver {
        Some(driver) => clues.driver(driver),
        None => clues,
    }
}

#[cfg(test)]
mod tests;
