//! What of a modem's configuration may change while its calls go on, and what needs its port anew.

use super::{Kind, ModemConfig, ModemsConfig, ProfileSource, ProviderConfig, TranscriptConfig, UsbReset};
use serde_json::Value;
use std::collections::BTreeSet;

/// Keys that are taken up with the port open. Any other one, those that are yet to come too, needs the port anew: device,
/// speed and flow control are the port; the name of the line is what clients know it by; commands, formats and words of a
/// profile are what the modem was told, or is being told, in the call that is up.
const LIVE: [&str; 17] = [
    "modem.address",
    "modem.office",
    "modem.cellular",
    "transcript",
    "physical_device",
    "refused_pins",
    "locks",
    "usb_reset",
    "profile.auto.directories",
    "profile.is.confirmed",
    "profile.is.score",
    "profile.is.match",
    "profile.is.timeouts_ms",
    "profile.is.recover",
    "profile.is.voice.supervise",
    "profile.is.cell.poll_ms",
    "profile.is.cell.notes",
];

/// The keys that differ and that need the port anew, for people. None: the calls of the modem go on.
pub fn anew(before: &ProviderConfig, after: &ProviderConfig) -> Vec<String> {
    let (Kind::Modem(was), Kind::Modem(is)) = (&before.kind, &after.kind) else { return vec!["kind".to_owned()] };
    match (serde_json::to_value(was), serde_json::to_value(is)) {
        (Ok(was), Ok(is)) => {
            let mut differing = Vec::new();
            differences(&was, &is, "", &mut differing);
            differing.into_iter().filter(|key| !is_live(key)).map(|key| shown(&key)).collect()
        }
        // Who cannot be compared is not the same.
        _ => vec!["modem".to_owned()],
    }
}

fn is_live(key: &str) -> bool {
    LIVE.iter().any(|live| key.strip_prefix(live).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

/// As it stands in the file.
fn shown(key: &str) -> String {
    let key = key.strip_prefix("modem.").unwrap_or(key);
    key.strip_prefix("profile.").map_or(key, |_| "profile").to_owned()
}

fn differences(was: &Value, is: &Value, at: &str, differing: &mut Vec<String>) {
    match (was, is) {
        (Value::Object(before), Value::Object(after)) => {
            let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for key in keys {
                let below = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                let of = |object: &serde_json::Map<String, Value>| object.get(key).cloned().unwrap_or(Value::Null);
                differences(&of(before), &of(after), &below, differing);
            }
        }
        _ if was == is => {}
        _ => differing.push(at.to_owned()),
    }
}

impl ModemConfig {
    /// A modem that was found takes up what the file says of all such modems.
    pub fn take_up(&mut self, modems: &ModemsConfig) {
        self.modem.office = modems.office.clone();
        self.modem.cellular = modems.cellular.clone();
        self.refused_pins.clone_from(&modems.refused_pins);
        self.locks.clone_from(&modems.locks);
        self.usb_reset = modems.usb_reset.then_some(UsbReset::Found);
        self.transcript = modems.transcripts.as_ref().map(|of| TranscriptConfig::of(of, &self.modem.name));
        if let ProfileSource::Auto { directories } = &mut self.profile {
            directories.clone_from(&modems.profiles);
        }
    }
}

impl TranscriptConfig {
    /// That of one modem, in the directory that is given for all.
    pub fn of(all: &TranscriptConfig, name: &str) -> TranscriptConfig {
        TranscriptConfig { file: all.file.join(format!("{name}.transcript")), numbers: all.numbers }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;
    use std::path::Path;

    fn modem(keys: &str) -> ProviderConfig {
        let text = format!("[[modem]]\nname = \"desk\"\n{keys}");
        Config::parse(Path::new("test.toml"), &text).unwrap().providers.remove(0)
    }

    const DESK: &str = "device = \"/dev/ttyACM0\"\nprofile = \"v253\"\n";

    #[test]
    fn what_is_not_the_port_or_the_name_needs_nothing_anew() {
        let before = modem(DESK);
        for keys in [
            "",
            "address = \"+4930123456\"",
            "office = { inherits = \"pbx\", transfer = \"!7\" }",
            "cellular = { pin = \"1234\", allow_emergency = true, emergency_numbers = [\"112\"] }",
            "transcript = \"/var/log/desk\"",
            "physical_device = \"/sys/devices/platform/x\"",
        ] {
            assert_eq!(anew(&before, &modem(&format!("{DESK}{keys}"))), Vec::<String>::new(), "{keys}");
        }
    }

    #[test]
    fn what_is_the_port_or_the_name_needs_the_port_anew_and_is_told() {
        let before = modem(DESK);
        for (keys, expected) in [
            ("device = \"/dev/ttyACM1\"\nprofile = \"v253\"", "device"),
            ("device = \"/dev/ttyACM0\"\nprofile = \"usr5637\"", "profile"),
            ("device = \"/dev/ttyACM0\"", "profile"),
            (&format!("{DESK}baud = 9600"), "baud"),
            (&format!("{DESK}flow = \"none\""), "flow"),
            (&format!("{DESK}line_name = \"other\""), "line_name"),
            (&format!("{DESK}audio_device = \"/dev/ttyACM2\""), "audio_device"),
        ] {
            let differing = anew(&before, &modem(keys));
            assert!(differing.contains(&expected.to_owned()), "{keys}: {differing:?}");
        }
    }

    #[test]
    fn of_a_profile_times_and_limits_may_change_and_what_the_modem_is_told_may_not() {
        let profile = |change: &dyn Fn(&mut tsp_modem::Profile)| {
            let mut config = modem(DESK);
            let Kind::Modem(modem) = &mut config.kind else { panic!("no modem") };
            let ProfileSource::Is(profile) = &mut modem.profile else { panic!("no profile") };
            change(profile);
            config
        };
        let before = modem(DESK);
        let live: [&dyn Fn(&mut tsp_modem::Profile); 3] = [
            &|profile| profile.timeouts_ms.dial += 1,
            &|profile| profile.recover.reset.push("ATZ".to_owned()),
            &|profile| profile.voice.as_mut().unwrap().supervise.no_ringback_ms += 1,
        ];
        for change in live {
            assert_eq!(anew(&before, &profile(change)), Vec::<String>::new());
        }
        assert_eq!(anew(&before, &profile(&|profile| profile.init.seq.push("ATX4".to_owned()))), ["profile"]);
    }
}
