//! PINs that SIM cards refused, in a file of the state directory: no process tries one of them again, so that no number of
//! restarts blocks a card. The file holds numbers of cards and digests, never a PIN, and is the daemon's alone.

use crate::config::{Kind, ModemConfig, ProviderConfig};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use tsp_modem::RefusedPin;

/// Its name in the state directory.
pub const FILE: &str = "refused-pins.json";

/// Entries that are kept; the oldest makes room.
const MOST: usize = 256;

/// One modem's task writes at a time: each reads what is there first.
static WRITING: Mutex<()> = Mutex::new(());

/// What is in the file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    refused: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    card: String,
    digest: String,
    /// Whose card it was: counts where the card's number is not known.
    modem: String,
}

impl Entry {
    fn is_for(&self, modem: &str) -> bool {
        !self.card.is_empty() || self.modem == modem
    }
}

/// What the provider of a modem is told: its configuration, with what was refused. Where that cannot be read its PIN is left
/// out: rather no line than a blocked card.
pub fn told(config: &ModemConfig) -> tsp_modem::Config {
    let mut told = config.modem.clone();
    if told.cellular.pin.is_none() {
        return told;
    }
    let Some(file) = &config.refused_pins else { return told };
    match read(file) {
        Ok(Refused { refused }) => {
            let of_it = refused.into_iter().filter(|entry| entry.is_for(&told.name));
            told.cellular.refused = of_it.map(|Entry { card, digest, .. }| RefusedPin { card, digest }).collect();
        }
        Err(error) => {
            let file = file.display();
            tracing::error!(modem = told.name, %file, %error, "nobody knows which PINs were refused: none is tried");
            told.cellular.pin = None;
        }
    }
    told
}

/// Where the PIN of one modem is kept when its card refuses it.
#[derive(Debug)]
pub struct Pins {
    modem: String,
    file: Option<PathBuf>,
}

impl Pins {
    /// Of that provider.
    pub fn of(config: &ProviderConfig) -> Pins {
        let file = match &config.kind {
            Kind::Modem(modem) => modem.refused_pins.clone(),
            Kind::Sip(_) | Kind::Loopback(_) => None,
        };
        Pins { modem: config.name.clone(), file }
    }

    /// The card refused the PIN that is configured.
    pub fn keep(&self, refused: RefusedPin) {
        let modem = &self.modem;
        let Some(file) = &self.file else {
            tracing::warn!(
                modem,
                "the SIM refused the PIN, which only this process knows: there is no state_directory"
            );
            return;
        };
        let entry = Entry { card: refused.card, digest: refused.digest, modem: modem.clone() };
        let result = add(file, entry);
        let file = file.display();
        match result {
            Ok(()) => tracing::warn!(modem, %file, "the SIM refused the PIN: it is not tried again"),
            Err(error) => tracing::error!(modem, %file, %error, "the SIM refused the PIN, and that cannot be kept"),
        }
    }
}

fn read(file: &Path) -> io::Result<Refused> {
    match std::fs::read(file) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Refused::default()),
        Err(error) => Err(error),
    }
}

/// On the disk before anything else is done with the card.
fn add(file: &Path, entry: Entry) -> io::Result<()> {
    let _writing = WRITING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut all = read(file)?;
    all.refused.retain(|known| *known != entry);
    all.refused.push(entry);
    let surplus = all.refused.len().saturating_sub(MOST);
    all.refused.drain(..surplus);
    let new = file.with_extension("new");
    let mut written = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    written.write_all(&serde_json::to_vec_pretty(&all).map_err(io::Error::other)?)?;
    written.sync_all()?;
    std::fs::rename(&new, file)?;
    file.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn entry(card: &str, digest: &str, modem: &str) -> Entry {
        Entry { card: card.into(), digest: digest.into(), modem: modem.into() }
    }

    #[test]
    fn what_was_refused_is_read_back_and_is_the_daemons_alone() {
        let directory = std::env::temp_dir().join(format!("tapid-pins-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let file = directory.join(FILE);
        assert!(read(&file).unwrap().refused.is_empty());
        for number in 0..MOST + 3 {
            add(&file, entry(&number.to_string(), "d", "m")).unwrap();
        }
        add(&file, entry("9", "d", "m")).unwrap();
        let all = read(&file).unwrap().refused;
        assert_eq!((all.len(), all.first().unwrap().card.as_str()), (MOST, "3"));
        assert_eq!(all.iter().filter(|known| known.card == "9").count(), 1);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&file, "{").unwrap();
        assert!(read(&file).is_err() && add(&file, entry("1", "d", "m")).is_err());
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_card_without_a_number_is_the_card_of_its_modem() {
        assert!(entry("8949", "d", "one").is_for("other"));
        assert!(entry("", "d", "one").is_for("one") && !entry("", "d", "one").is_for("other"));
    }
}
