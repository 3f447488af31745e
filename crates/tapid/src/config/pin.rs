//! PINs in the file.

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use tsp_modem::Pin;

/// A PIN in the file. What stands in its place is never repeated in a message.
#[derive(Clone)]
pub struct PinText(pub Pin);

impl fmt::Debug for PinText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for PinText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PinText, D::Error> {
        struct Digits;
        impl Visitor<'_> for Digits {
            type Value = PinText;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("4 to 8 digits in quotation marks")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<PinText, E> {
                Pin::try_from(text.to_owned()).map(PinText).map_err(|error| E::custom(format_args!("pin: {error}")))
            }
            fn visit_i64<E: Error>(self, _: i64) -> Result<PinText, E> {
                Err(E::custom("pin: expected 4 to 8 digits in quotation marks, so that a 0 at the beginning counts"))
            }
        }
        deserializer.deserialize_any(Digits)
    }
}
