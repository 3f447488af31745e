//! The hardware database as the profiles have it.

use std::fmt::Write;
use tsp_modem::Catalogue;
use tsp_modem::profile::{Kind, Match, Question};

const HEAD: &str = "\
# USB modems that can carry calls, as the profiles of crates/tsp-modem/profiles know them. Written from these: do not edit, but
# run `TAPID_WRITE_HWDB=1 cargo test -p tapid --test udev` when they have changed.
#
# 65-tapid.rules looks up tapid:usb:v<vendor>p<product>:<driver>, in small letters. A device that is missing here, or that is to be
# tapid's by itself, has a place in a file of /etc/udev/hwdb.d (then `systemd-hwdb update`):
#   tapid:usb:v2c7cp0125:*
#    ID_TAPID_MODEM=1
";

/// The text of `60-tapid.hwdb`.
pub fn from_profiles() -> String {
    let mut text = HEAD.to_owned();
    for profile in Catalogue::builtin().profiles() {
        let keys: Vec<String> = profile.matches.iter().filter_map(key).collect();
        if keys.is_empty() {
            continue;
        }
        let kind = match profile.kind {
            Kind::Analogue => "analogue",
            Kind::Cellular => "cellular",
        };
        write!(text, "\n# {}\n{}\n", profile.description, keys.join("\n")).unwrap();
        write!(text, " ID_TAPID_FAMILY={}\n ID_TAPID_KIND={kind}\n", profile.id).unwrap();
    }
    text
}

/// What is looked up for a device that shows this; none where its USB ids do not tell.
fn key(shows: &Match) -> Option<String> {
    let told = |question: &Question| matches!(question, Question::Usb | Question::Driver);
    if !shows.0.keys().all(told) {
        return None;
    }
    let (vendor, product) = shows.0.get(&Question::Usb)?.split_once(':')?;
    let driver = shows.0.get(&Question::Driver).map_or("*", String::as_str);
    Some(format!("tapid:usb:v{vendor}p{product}:{driver}"))
}
