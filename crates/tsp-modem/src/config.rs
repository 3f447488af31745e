//! What a modem is configured with beside its profile.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// One modem.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Name of the modem, for people and in traces.
    pub name: String,
    /// Permanent name of its line.
    pub line_name: String,
    /// Its own number, where it is known.
    #[serde(default)]
    pub address: Option<String>,
    /// Whether an audio port exists (dongles).
    #[serde(default)]
    pub audio: bool,
    /// The services of its exchange, which only an analogue line has.
    #[serde(default)]
    pub office: crate::Office,
    /// What only a cellular line has.
    #[serde(default)]
    pub cellular: Cellular,
}

/// A cellular line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cellular {
    /// The PIN of its SIM card. It is tried once for a card, and never again where it was wrong.
    pub pin: Option<Pin>,
    /// What cards refused before, in this process or an earlier one: it is not tried again. Another PIN is, once. The shell
    /// keeps what [`crate::Modem::pin_refused`] tells.
    pub refused: Vec<RefusedPin>,
    /// Whether emergency numbers may be dialled. They are refused otherwise: a program's mistake calls nobody out.
    pub allow_emergency: bool,
    /// Which numbers these are.
    pub emergency_numbers: Vec<String>,
}

impl Default for Cellular {
    fn default() -> Cellular {
        // TS 22.101 section 10: those that a telephone knows even without a SIM card.
        let numbers = ["112", "911", "000", "08", "110", "118", "119", "999"];
        Cellular {
            pin: None,
            refused: Vec::new(),
            allow_emergency: false,
            emergency_numbers: numbers.map(str::to_owned).to_vec(),
        }
    }
}

/// The PIN of a SIM card: 4 to 8 digits, shown nowhere.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pin(String);

impl Pin {
    /// The digits.
    pub(crate) fn digits(&self) -> &str {
        &self.0
    }
}

/// A PIN that a card refused.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefusedPin {
    /// Number of the card (ICCID, ITU-T E.118); empty where the modem does not tell it.
    pub card: String,
    /// Digest of that number and the PIN, in hexadecimal. It does not show the PIN; whoever has it can find a PIN of four
    /// digits by trying all, so it is no less private.
    pub digest: String,
}

impl RefusedPin {
    /// Of that card, that PIN.
    pub fn new(card: &str, pin: &Pin) -> RefusedPin {
        let digest = Sha256::new().chain_update(card).chain_update([0]).chain_update(pin.digits()).finalize();
        let digest = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        RefusedPin { card: card.to_owned(), digest }
    }
}

impl std::fmt::Debug for RefusedPin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RefusedPin(…)")
    }
}

impl TryFrom<String> for Pin {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Pin, &'static str> {
        let good = (4..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        if good { Ok(Pin(text)) } else { Err("a PIN has 4 to 8 digits") }
    }
}

impl From<Pin> for String {
    fn from(pin: Pin) -> String {
        pin.0
    }
}

impl std::fmt::Debug for Pin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pin(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_pin_is_known_again_on_its_card_and_shown_nowhere() {
        let pin = |digits: &str| Pin::try_from(digits.to_owned()).unwrap();
        let refused = RefusedPin::new("8949020000012345678", &pin("1234"));
        assert_eq!(refused, RefusedPin::new("8949020000012345678", &pin("1234")));
        for (card, digits) in [("8949020000012345678", "1235"), ("8949020000012345679", "1234"), ("", "1234")] {
            assert_ne!(refused.digest, RefusedPin::new(card, &pin(digits)).digest);
        }
        let shown = format!("{refused:?} {}", serde_json::to_string(&refused).unwrap());
        assert!(!shown.contains("1234\"") && !format!("{refused:?}").contains("8949"), "{shown}");
    }
}
