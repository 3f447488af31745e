//! Who calls, as the modem tells it.

use super::{Analogue, Hook, IdentityStyle, Mode, settings};
use crate::exchange::MessageFormat;
use crate::exchange::meter::Key;
use crate::modem::{Identity, Kind};
use tspi::Frame;

impl Analogue {
    /// Who calls, before or between bursts of ringing.
    pub(super) fn caller(&mut self, message: MessageFormat, date: (u8, u8, u8, u8), identity: &Identity) {
        if self.hook == Hook::Off || !matches!(self.mode, Mode::Command) {
            return;
        }
        let (number, name) = match identity {
            Identity::Known { number, name } => (number.as_str(), name.as_deref()),
            Identity::Private => ("P", None),
            Identity::OutOfArea => ("O", None),
        };
        let (month, day, hour, minute) = date;
        let (date, time) = (format!("{month:02}{day:02}"), format!("{hour:02}{minute:02}"));
        let lines = match self.settings.identity {
            1 => {
                let is = if self.persona.identity == IdentityStyle::Tight { "=" } else { " = " };
                let mut text = format!("\r\nDATE{is}{date}\r\nTIME{is}{time}\r\nNMBR{is}{number}\r\n");
                if let (Some(name), MessageFormat::Multiple) = (name, message) {
                    text += &format!("NAME{is}{name}\r\n");
                }
                text
            }
            2 => {
                let hex = match message {
                    MessageFormat::Multiple => settings::multiple_data_message(&date, &time, identity),
                    MessageFormat::Single => settings::single_data_message(&date, &time, identity),
                };
                format!("\r\nMESG = {hex}\r\n")
            }
            _ => return,
        };
        self.send(Kind::Text, lines.into_bytes());
    }

    /// 20 ms of a line on hook: an identity in tones has no date.
    pub(super) fn tone_caller(&mut self, heard: &Frame) {
        let Some(Key::Down(digit)) = self.on_hook.hear(heard) else { return };
        match digit {
            'A' | 'D' => self.told = digit.to_string(),
            '#' | 'C' => {
                let told = std::mem::take(&mut self.told);
                let number = match told.split_at_checked(1) {
                    Some(("A", number)) if !number.is_empty() => number,
                    Some(("D", "1")) => "P",
                    Some(("D", _)) => "O",
                    _ => return,
                };
                let is = if self.persona.identity == IdentityStyle::Tight { "=" } else { " = " };
                if self.settings.identity == 1 && matches!(self.mode, Mode::Command) {
                    self.send(Kind::Text, format!("\r\nNMBR{is}{number}\r\n").into_bytes());
                }
            }
            digit if !self.told.is_empty() && self.told.len() < 32 => self.told.push(digit),
            _ => {}
        }
    }

    /// Who knocks: lines in a complex report, where the modem hears type 2 identities.
    pub(super) fn waiting(&mut self, date: (u8, u8, u8, u8), identity: &Identity) {
        let number = match identity {
            Identity::Known { number, .. } => number.as_str(),
            Identity::Private => "P",
            Identity::OutOfArea => "O",
        };
        let (month, day, hour, minute) = date;
        let is = if self.persona.identity == IdentityStyle::Tight { "=" } else { " = " };
        let text = format!("DATE{is}{month:02}{day:02}\r\nTIME{is}{hour:02}{minute:02}\r\nNMBR{is}{number}\r\n");
        if let Mode::Streaming(stream) = &mut self.mode
            && self.persona.waiting_identity
            && self.settings.identity == 1
        {
            stream.report(&text);
        }
    }
}
