//! Modems: those that the file names, and how others are found.

use super::check::Checker;
use super::pin::PinText;
use super::{Config, Kind, NetworkConfig, ProviderConfig, name};
use crate::dbus::Bus;
use crate::provider::pins;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use toml::Spanned;
use tsp_modem::profile::Flow;
use tsp_modem::{Catalogue, CellularConfig, Office, Pin, Profile};

/// Where profiles are when nobody says otherwise: the package's, and above them the administrator's.
const PROFILES: [&str; 2] = ["/usr/share/tapid/modems.d", "/etc/tapid/modems.d"];

/// Where lock files of serial ports are when nobody says otherwise (FHS 3.0, 5.9: /var/lock is a link to it).
const LOCKS: &str = "/run/lock";

/// A modem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModemConfig {
    /// What the provider is told.
    pub modem: tsp_modem::Config,
    /// What kind of modem it is.
    pub profile: ProfileSource,
    /// Its AT port.
    pub device: PathBuf,
    /// Its audio port, where it has one of its own.
    pub audio_device: Option<PathBuf>,
    /// Speed of the port in bit/s; absent: the profile's.
    pub baud: Option<u32>,
    /// Flow control of the port; absent: the profile's.
    pub flow: Option<Flow>,
    /// Where what crosses its port is written.
    pub transcript: Option<TranscriptConfig>,
    /// By what ModemManager knows the device; absent: its path in /sys.
    #[serde(default)]
    pub physical_device: Option<String>,
    /// Where PINs are kept that its card refused.
    #[serde(default)]
    pub refused_pins: Option<PathBuf>,
    /// Where lock files of its ports are.
    #[serde(default)]
    pub locks: Option<PathBuf>,
    /// Whether its USB device may be switched off and on when nothing else brings it back.
    #[serde(default)]
    pub usb_reset: Option<UsbReset>,
    /// How it was found, where the file does not name it.
    pub found: Option<Found>,
}

/// A modem that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// By what it is known again.
    pub key: String,
    /// Where it was plugged in.
    pub group: String,
}

/// What switches a modem's USB device off and on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsbReset {
    /// What /sys has for it.
    Found,
    /// This file.
    At(PathBuf),
}

/// Where a modem's profile is from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProfileSource {
    /// This one.
    Is(Box<Profile>),
    /// It is found from the modem's answers, among the built-in ones and those of these directories.
    Auto {
        /// The last one is above the others.
        directories: Vec<PathBuf>,
    },
}

/// A transcript.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranscriptConfig {
    /// Its file.
    pub file: PathBuf,
    /// Whether numbers, names and PINs stand in it as they are.
    pub numbers: bool,
}

/// How modems are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModemsConfig {
    /// Whether serial ports that udev's rules give to the daemon become lines.
    pub discover: bool,
    /// A directory whose entries become lines: `NAME` is an AT port, `NAME-audio` its audio port.
    pub directory: Option<PathBuf>,
    /// Where profiles are, beside the built-in ones; the last one is above the others.
    pub profiles: Vec<PathBuf>,
    /// How long a device must have been quiet before it is opened; absent: as long as such devices need.
    pub settle_ms: Option<u64>,
    /// The services of the exchange that analogue modems which were found are at.
    pub office: Office,
    /// What a modem that was found is told, as a cellular one.
    pub cellular: CellularConfig,
    /// Where their transcripts are written.
    pub transcripts: Option<TranscriptConfig>,
    /// Names of their lines, with what each modem completes; absent: `modem:` and the modem's name.
    pub line_name: Option<String>,
    /// The bus with the ModemManager that is to keep off modems that are ours.
    pub modem_manager: Bus,
    /// Where PINs are kept that cards refused.
    pub refused_pins: Option<PathBuf>,
    /// Where lock files of serial ports are; none: there are none.
    pub locks: Option<PathBuf>,
    /// Whether their USB devices may be switched off and on when nothing else brings them back.
    pub usb_reset: bool,
}

impl Default for ModemsConfig {
    fn default() -> ModemsConfig {
        ModemsConfig {
            discover: true,
            directory: None,
            profiles: PROFILES.map(PathBuf::from).to_vec(),
            settle_ms: None,
            office: Office::default(),
            cellular: CellularConfig::default(),
            transcripts: None,
            line_name: None,
            modem_manager: Bus::default(),
            refused_pins: None,
            locks: Some(PathBuf::from(LOCKS)),
            usb_reset: false,
        }
    }
}

/// `[modems]`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Modems {
    pub discover: Option<bool>,
    pub directory: Option<Spanned<PathBuf>>,
    pub profiles: Option<Vec<Spanned<PathBuf>>>,
    pub settle_ms: Option<Spanned<u64>>,
    pub office: Option<Spanned<Services>>,
    pub cellular: Cellular,
    pub transcript: Option<Spanned<Transcript>>,
    pub transcript_numbers: bool,
    pub line_name: Option<Spanned<String>>,
    pub modem_manager: Option<Spanned<String>>,
    pub lock_directory: Option<Spanned<PathBuf>>,
    pub usb_reset: bool,
}

/// `[[modem]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Modem {
    pub name: Spanned<String>,
    pub device: Spanned<PathBuf>,
    #[serde(default)]
    pub audio_device: Option<Spanned<PathBuf>>,
    #[serde(default)]
    pub baud: Option<Spanned<u32>>,
    #[serde(default)]
    pub flow: Option<Flow>,
    #[serde(default)]
    pub profile: Option<Spanned<String>>,
    #[serde(default)]
    pub profile_file: Option<Spanned<PathBuf>>,
    #[serde(default)]
    pub line_name: Option<Spanned<String>>,
    #[serde(default)]
    pub address: Option<String>,
    #[serde(default)]
    pub office: Option<Spanned<Services>>,
    #[serde(default)]
    pub cellular: Cellular,
    #[serde(default)]
    pub transcript: Option<Spanned<Transcript>>,
    #[serde(default)]
    pub transcript_numbers: bool,
    #[serde(default)]
    pub physical_device: Option<String>,
    #[serde(default)]
    pub usb_reset: Option<Spanned<Switch>>,
}

/// `usb_reset`: where what switches the device is not where /sys has it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Switch {
    On(bool),
    At(PathBuf),
}

/// `cellular` of `[[modem]]` and `[modems]`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cellular {
    pub pin: Option<Spanned<PinText>>,
    pub pin_file: Option<Spanned<PathBuf>>,
    pub pin_credential: Option<Spanned<String>>,
    pub allow_emergency: bool,
    pub emergency_numbers: Option<Vec<Spanned<String>>>,
}

/// `office`: the services of an analogue line's exchange, by name, or a table of one's own.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Services {
    Named(String),
    Own(toml::Table),
}

/// `transcript`
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Transcript {
    On(bool),
    At(PathBuf),
}

impl Checker<'_> {
    /// `[modems]`, and the profiles that there are.
    pub(super) fn modems(&mut self, config: &mut Config, modems: Modems) -> Catalogue {
        let of = &mut config.modems;
        of.discover = modems.discover.unwrap_or(of.discover);
        if let Some(directory) = &modems.directory {
            self.directory(directory, "directory");
            of.directory = Some(directory.as_ref().clone());
        }
        let mut at = None;
        if let Some(directories) = &modems.profiles {
            directories.iter().for_each(|directory| self.directory(directory, "profiles"));
            of.profiles = directories.iter().map(|directory| directory.as_ref().clone()).collect();
            at = directories.first().map(|directory| Spanned::new(directory.span(), ()));
        }
        if let Some(settle) = &modems.settle_ms {
            self.within(settle, "settle_ms", 1..=60_000);
            of.settle_ms = Some(*settle.as_ref());
        }
        if let Some(office) = &modems.office {
            of.office = self.office(office);
        }
        of.cellular = self.cellular(modems.cellular);
        of.refused_pins = config.state_directory.as_ref().map(|directory| directory.join(pins::FILE));
        let state = config.state_directory.clone();
        let numbers = modems.transcript_numbers;
        config.modems.transcripts = modems.transcript.and_then(|transcript| {
            let file = match transcript.as_ref() {
                Transcript::On(false) => None,
                Transcript::On(true) => self.transcripts(&transcript, state.as_deref()),
                Transcript::At(path) => {
                    self.directory(&Spanned::new(transcript.span(), path.clone()), "transcript");
                    Some(path.clone())
                }
            };
            Some(TranscriptConfig { file: file?, numbers })
        });
        if let Some(line_name) = &modems.line_name {
            self.modem_line_name(line_name);
            if !name::is_template(line_name.as_ref()) {
                self.wrong(line_name, "line_name: every modem needs a name of its own: {imei}, {serial} or {name}");
            }
            config.modems.line_name = Some(line_name.as_ref().clone());
        }
        if let Some(bus) = &modems.modem_manager {
            config.modems.modem_manager = self.bus(bus, "modem_manager").unwrap_or_default();
        }
        config.modems.usb_reset = modems.usb_reset;
        if let Some(locks) = &modems.lock_directory {
            config.modems.locks = Some(locks.as_ref().clone()).filter(|path| path != Path::new("off"));
            if config.modems.locks.is_some() {
                self.absolute(locks, "lock_directory");
            }
        }
        let directories: Vec<&Path> = config.modems.profiles.iter().map(PathBuf::as_path).collect();
        let (catalogue, wrong) = Catalogue::load(&directories);
        let at = at.unwrap_or(Spanned::new(0..0, ()));
        for error in wrong {
            self.wrong(&at, format!("profiles: {error}"));
        }
        catalogue
    }

    /// `[[modem]]`
    pub(super) fn modem(&mut self, modem: Modem, config: &Config, catalogue: &Catalogue) -> Option<ProviderConfig> {
        self.provider_name(&modem.name);
        for device in [Some(&modem.device), modem.audio_device.as_ref()].into_iter().flatten() {
            self.absolute(device, "device");
            self.unique(device, format!("device {}", device.as_ref().display()));
        }
        if let Some(baud) = &modem.baud {
            self.within(baud, "baud", 300..=4_000_000);
        }
        let name = modem.name.as_ref().clone();
        let line_name = match &modem.line_name {
            Some(line_name) => {
                self.modem_line_name(line_name);
                line_name.as_ref().clone()
            }
            None => {
                let line_name = format!("modem:{name}");
                self.unique(&modem.name, format!("line {line_name}"));
                line_name
            }
        };
        let profile = self.profile(&modem, config, catalogue);
        let office = modem.office.as_ref().map_or_else(Office::default, |office| self.office(office));
        let transcript = modem.transcript.as_ref().and_then(|transcript| {
            let file = self.transcript(transcript, config.state_directory.as_deref(), &name)?;
            Some(TranscriptConfig { file, numbers: modem.transcript_numbers })
        });
        let kind = Kind::Modem(Box::new(ModemConfig {
            modem: tsp_modem::Config {
                name: name.clone(),
                line_name,
                address: modem.address,
                audio: modem.audio_device.is_some(),
                office,
                cellular: self.cellular(modem.cellular),
            },
            profile: profile?,
            device: modem.device.into_inner(),
            audio_device: modem.audio_device.map(Spanned::into_inner),
            baud: modem.baud.map(Spanned::into_inner),
            flow: modem.flow,
            transcript,
            physical_device: modem.physical_device,
            refused_pins: config.modems.refused_pins.clone(),
            locks: config.modems.locks.clone(),
            usb_reset: modem.usb_reset.and_then(|switch| self.usb_reset(switch)),
            found: None,
        }));
        Some(ProviderConfig { name, kind, network: NetworkConfig::default() })
    }

    /// A name that the modem may complete.
    fn modem_line_name(&mut self, line_name: &Spanned<String>) {
        let text = line_name.as_ref();
        if !name::is_template(text) {
            return self.line_name(line_name);
        }
        if !name::is_good(text) {
            self.wrong(line_name, "line_name: in braces stand {imei}, {serial} or {name}");
        }
        if text.len() > 100 || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            self.wrong(line_name, "line name: expected 1 to 100 characters without spaces");
        }
    }

    fn cellular(&mut self, cellular: Cellular) -> CellularConfig {
        let pin = match (cellular.pin, cellular.pin_file, cellular.pin_credential) {
            (None, None, None) => None,
            (Some(pin), None, None) => Some(pin.into_inner().0),
            (None, Some(file), None) => {
                let path = self.beside(file.as_ref());
                self.secret(&file, "pin_file", &path).and_then(|text| self.pin(&file, "pin_file", text.reveal()))
            }
            (None, None, Some(name)) => {
                self.credential(&name).and_then(|text| self.pin(&name, "pin_credential", text.reveal()))
            }
            (pin, file, name) => {
                let spans = [pin.map(|pin| pin.span()), file.map(|file| file.span()), name.map(|name| name.span())];
                let at = spans.into_iter().flatten().next_back().unwrap_or(0..0);
                self.wrong(&Spanned::new(at, ()), "at most one of pin, pin_file and pin_credential");
                None
            }
        };
        let mut config = CellularConfig { pin, allow_emergency: cellular.allow_emergency, ..CellularConfig::default() };
        if let Some(numbers) = cellular.emergency_numbers {
            for number in &numbers {
                if number.as_ref().is_empty() || !number.as_ref().bytes().all(|byte| byte.is_ascii_digit()) {
                    self.wrong(number, "emergency_numbers: expected digits");
                }
            }
            config.emergency_numbers = numbers.into_iter().map(Spanned::into_inner).collect();
        }
        config
    }

    fn office(&mut self, at: &Spanned<Services>) -> Office {
        let mut table = toml::Table::new();
        let read = match at.as_ref() {
            Services::Named(id) => {
                table.insert("inherits".to_owned(), toml::Value::String(id.clone()));
                Office::parse(table)
            }
            Services::Own(table) => Office::parse(table.clone()),
        };
        read.unwrap_or_else(|error| {
            self.wrong(at, format!("office: {error}"));
            Office::default()
        })
    }

    fn usb_reset(&mut self, switch: Spanned<Switch>) -> Option<UsbReset> {
        let span = switch.span();
        match switch.into_inner() {
            Switch::On(on) => on.then_some(UsbReset::Found),
            Switch::At(path) => {
                self.absolute(&Spanned::new(span, path.clone()), "usb_reset");
                Some(UsbReset::At(path))
            }
        }
    }

    fn pin<T>(&mut self, at: &Spanned<T>, what: &str, text: &str) -> Option<Pin> {
        match Pin::try_from(text.trim_end().to_owned()) {
            Ok(pin) => Some(pin),
            Err(error) => {
                self.wrong(at, format!("{what}: {error}"));
                None
            }
        }
    }

    fn transcript(&mut self, at: &Spanned<Transcript>, state: Option<&Path>, name: &str) -> Option<PathBuf> {
        match at.as_ref() {
            Transcript::On(false) => None,
            Transcript::On(true) => self.transcripts(at, state).map(|dir| dir.join(format!("{name}.transcript"))),
            Transcript::At(path) => {
                self.absolute(&Spanned::new(at.span(), path.clone()), "transcript");
                Some(path.clone())
            }
        }
    }

    /// Where transcripts are when the file does not say it.
    fn transcripts<T>(&mut self, at: &Spanned<T>, state: Option<&Path>) -> Option<PathBuf> {
        if state.is_none() {
            self.wrong(at, "transcript: name a path, or a state_directory in [daemon]");
        }
        state.map(Path::to_path_buf)
    }

    fn profile(&mut self, modem: &Modem, config: &Config, catalogue: &Catalogue) -> Option<ProfileSource> {
        let auto = || ProfileSource::Auto { directories: config.modems.profiles.clone() };
        match (&modem.profile, &modem.profile_file) {
            (Some(_), Some(file)) => {
                self.wrong(file, "profile_file: there is a profile already; name one of the two");
                None
            }
            (None, None) => Some(auto()),
            (Some(id), None) if id.as_ref() == "auto" => Some(auto()),
            (Some(id), None) => {
                let found = catalogue.named(id.as_ref());
                if found.is_none() {
                    let ids: Vec<&str> = catalogue.profiles().map(|profile| profile.id.as_str()).collect();
                    let text = format!("profile: there is no `{}`; there are auto, {}", id.as_ref(), ids.join(", "));
                    self.wrong(id, text);
                }
                found.cloned().map(|profile| ProfileSource::Is(Box::new(profile)))
            }
            (None, Some(file)) => self.profile_file(file, catalogue),
        }
    }

    fn profile_file(&mut self, file: &Spanned<PathBuf>, catalogue: &Catalogue) -> Option<ProfileSource> {
        let beside = self.beside(file.as_ref());
        let read = std::fs::read_to_string(&beside).map_err(|error| format!(": {error}"));
        let parse = |text: String| {
            let place = |error: tsp_modem::ProfileError| format!(":{}:{}: {}", error.line, error.column, error.message);
            catalogue.parse(&text).map_err(place)
        };
        match read.and_then(parse) {
            Ok(profile) => Some(ProfileSource::Is(Box::new(profile))),
            Err(error) => {
                self.wrong(file, format!("profile_file: {}{error}", beside.display()));
                None
            }
        }
    }
}
