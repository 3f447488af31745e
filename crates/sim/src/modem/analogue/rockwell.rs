//! Rockwell's own voice commands (`#V`, RC288 and RCV56 designer's guides).

use super::command::Done;
use super::stream::Way;
use super::{Analogue, Final};
use crate::modem::at::{Ask, fields};
use tapi::Time;

impl Analogue {
    pub(super) fn rockwell(&mut self, now: Time, name: &str, ask: &Ask) -> Done {
        match (name, ask) {
            ("#CLS", Ask::Test) => self.inform(self.persona.classes),
            ("#CLS", Ask::Read) => self.inform(&self.settings.class.to_string()),
            ("#CLS", Ask::Set(value)) => self.rockwell_class(value),
            ("#CID", ask) => {
                let asked = Self::number(ask, 2, "0,1,2", &mut self.settings.identity);
                asked.map_or(Done::Error, |text| self.told(text))
            }
            ("#MFR" | "#MDL" | "#REV", Ask::Read) => {
                let text = match name {
                    "#MFR" => "Rockwell",
                    "#MDL" => self.persona.model,
                    _ => self.persona.revision,
                };
                self.inform(text)
            }
            ("#BDR", Ask::Set(value)) => Self::within(value, 0..=48),
            (name, ask) if name.starts_with("#V") && self.settings.class == 8 => self.rockwell_voice(now, name, ask),
            _ => Done::Error,
        }
    }

    fn within(value: &str, range: std::ops::RangeInclusive<u32>) -> Done {
        match value.parse::<u32>() {
            Ok(value) if range.contains(&value) => Done::Next,
            _ => Done::Error,
        }
    }

    fn rockwell_class(&mut self, value: &str) -> Done {
        match value {
            "8" => self.settings.class = 8,
            "0" => {
                self.hang_up();
                self.settings.class = 0;
            }
            _ => return Done::Error,
        }
        Done::Next
    }

    fn rockwell_voice(&mut self, now: Time, name: &str, ask: &Ask) -> Done {
        match (name, ask) {
            ("#VTX", Ask::Do) => self.stream(now, Way::Transmit),
            ("#VRX", Ask::Do) => self.stream(now, Way::Receive),
            ("#VTS", ask) => self.tones(ask),
            ("#VLS", Ask::Read) => self.inform("0"),
            // 0 is the telephone line, which a dial or an answer seizes; 4 takes the loudspeaker too.
            ("#VLS", Ask::Set(value)) => match value.to_ascii_uppercase().as_str() {
                "0" | "1" | "2" | "3" | "4" => Done::Next,
                "0A" | "4A" => {
                    self.seize();
                    self.finish(now, Final::Answered);
                    Done::Stop
                }
                _ => Done::Error,
            },
            ("#VBS", Ask::Test) => self.inform("2,4,8"),
            ("#VBS", Ask::Set(value)) if value == "8" => Done::Next,
            ("#VSR", Ask::Test) => self.inform("7200"),
            ("#VSR", Ask::Set(value)) if value == "7200" => Done::Next,
            ("#VTD", Ask::Set(value)) => {
                let masks = fields(value);
                let good = masks.len() <= 3 && masks.iter().all(|mask| u8::from_str_radix(mask, 16).is_ok());
                if good { Done::Next } else { Done::Error }
            }
            ("#VSS", Ask::Set(value)) => Self::within(value, 0..=3),
            ("#VSP", Ask::Set(value)) => match value.parse() {
                Ok(interval) if interval <= 255 => {
                    self.settings.silence = (u32::from(interval > 0), interval);
                    Done::Next
                }
                _ => Done::Error,
            },
            ("#VRN", Ask::Set(value)) => Self::keep_number(value, &mut self.settings.ringback_never),
            ("#VRA", Ask::Set(value)) => Self::keep_number(value, &mut self.settings.ringback_gone),
            ("#VBT", Ask::Set(value)) => Self::within(value, 0..=40),
            _ => Done::Error,
        }
    }

    fn keep_number(value: &str, at: &mut u32) -> Done {
        match value.parse() {
            Ok(number) if number <= 255 => {
                *at = number;
                Done::Next
            }
            _ => Done::Error,
        }
    }
}
