//! What a modem is configured with beside its profile.

use serde::{Deserialize, Serialize};

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
    /// Cards (by ICCID) whose PIN was tried and refused before: it is not tried again.
    pub refused: Vec<String>,
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
