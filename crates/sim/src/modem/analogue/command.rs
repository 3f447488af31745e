//! Commands.

use super::settings::{KEPT, Settings};
use super::stream::Way;
use super::{Analogue, Dialect, Final, Hook, Listing, Mode, Then};
use crate::exchange::tone::{Player, Segment};
use crate::modem::at::{self, Ask, Command, fields};
use crate::modem::{Act, Effect};
use std::time::Duration;
use tapi::Time;

/// What a command led to.
pub(super) enum Done {
    /// The next command may go.
    Next,
    /// The line ends here with a result, or the modem is at something else now.
    Stop,
    /// It is wrong.
    Error,
}

impl Analogue {
    pub(super) fn execute(&mut self, now: Time, line: &str) {
        match at::commands(line) {
            Some(commands) => {
                self.rest = commands.into();
                self.run(now);
            }
            None => self.finish(now, Final::Error),
        }
    }

    /// Runs what is left of the command line.
    pub(super) fn run(&mut self, now: Time) {
        self.mode = Mode::Command;
        while let Some(command) = self.rest.pop_front() {
            let done = match command {
                Command::Basic(name, value) => self.basic(now, &name, value),
                Command::Register(number, ask) => self.register(number, &ask),
                Command::Dial(number) => {
                    self.dial(now, &number);
                    Done::Stop
                }
                Command::Extended(name, ask) => self.extended(now, &name, &ask),
            };
            match done {
                Done::Next => {}
                Done::Stop => return,
                Done::Error => return self.finish(now, Final::Error),
            }
        }
        self.finish(now, Final::Ok);
    }

    /// A line of information text.
    pub(super) fn inform(&mut self, text: &str) -> Done {
        let lead = if self.settings.verbose == 0 { "" } else { self.persona.lead };
        self.info.extend(format!("{lead}{text}\r\n").bytes());
        Done::Next
    }

    fn set(value: u32, limit: u32, at: &mut u32) -> Done {
        if value > limit {
            return Done::Error;
        }
        *at = value;
        Done::Next
    }

    fn basic(&mut self, now: Time, name: &str, value: u32) -> Done {
        match name {
            "E" => Self::set(value, 1, &mut self.settings.echo),
            "V" => Self::set(value, 1, &mut self.settings.verbose),
            "Q" => Self::set(value, 1, &mut self.settings.quiet),
            "X" => Self::set(value, 4, &mut self.settings.progress),
            "I" => self.identify(value),
            "H" if value == 0 => {
                if self.settings.no_hang_up < 2 {
                    self.hang_up();
                }
                Done::Next
            }
            "H" if value == 1 => {
                self.seize();
                Done::Next
            }
            "A" => {
                self.answer(now);
                Done::Stop
            }
            "Z" => {
                self.hang_up();
                self.settings = Settings::new(&self.persona);
                Done::Next
            }
            "&F" => {
                let label = self.settings.label;
                self.settings = Settings::new(&self.persona);
                self.settings.label = label;
                Done::Next
            }
            "&V" => self.profile(),
            "B" | "L" | "M" | "N" | "P" | "T" | "W" | "Y" | "O" if value < 5 => Done::Next,
            name if name.starts_with(['&', '\\', '%']) && value < 20 => Done::Next,
            _ => Done::Error,
        }
    }

    fn identify(&mut self, value: u32) -> Done {
        match value {
            0 => self.inform(self.persona.product),
            1 | 2 => Done::Next,
            3 => self.inform(self.persona.revision),
            4 | 6 => self.inform(self.persona.model),
            5 | 7..=9 => self.inform("000"),
            _ => Done::Error,
        }
    }

    fn profile(&mut self) -> Done {
        let Settings { echo, verbose, quiet, progress, .. } = self.settings;
        self.inform(&format!("ACTIVE PROFILE:\r\nE{echo} Q{quiet} V{verbose} X{progress}"));
        let registers = [0, 3, 4, 5, 6, 7, 8, 10, 11];
        let values = registers.map(|number| format!("S{number:02}:{:03}", self.settings.register(number)));
        self.inform(&values.join(" "))
    }

    fn register(&mut self, number: u8, ask: &Ask) -> Done {
        match ask {
            Ask::Read => {
                let value = self.settings.register(number);
                self.inform(&format!("{value:03}"))
            }
            Ask::Set(value) => match value.parse() {
                Ok(value) => {
                    self.settings.set_register(number, value);
                    Done::Next
                }
                Err(_) => Done::Error,
            },
            _ => Done::Error,
        }
    }

    /// ATA: in class 8 the line is seized and that is all; in class 0 a handshake begins that nobody answers.
    pub(super) fn answer(&mut self, now: Time) {
        self.seize();
        if self.settings.class == 8 {
            self.finish(now, Final::Answered);
        } else {
            self.train(now);
        }
    }

    pub(super) fn train(&mut self, now: Time) {
        let wait = Duration::from_secs(u64::from(self.settings.register(7)));
        self.mode = Mode::Training { since: now, until: now + wait };
    }

    fn extended(&mut self, now: Time, name: &str, ask: &Ask) -> Done {
        if self.persona.accepts.contains(&name) && matches!(ask, Ask::Set(_) | Ask::Do) {
            return Done::Next;
        }
        if self.persona.dialect == Dialect::Rockwell {
            return self.rockwell(now, name, ask);
        }
        match (name, ask) {
            ("+GMI" | "+FMI", Ask::Do | Ask::Read) => self.inform(self.persona.manufacturer),
            ("+GMM" | "+FMM", Ask::Do | Ask::Read) => self.inform(self.persona.model),
            ("+GMR" | "+FMR", Ask::Do | Ask::Read) => self.inform(self.persona.revision),
            ("+GSN", Ask::Do | Ask::Read) => self.inform("0"),
            ("+GCAP", Ask::Do) => self.inform("+GCAP: +FCLASS,+MS,+ES,+DS"),
            ("+FCLASS", ask) => self.class(ask),
            ("+VCID", ask) => {
                Self::number(ask, 2, "(0-2)", &mut self.settings.identity).map_or(Done::Error, |text| self.told(text))
            }
            ("+VDR" | "+IFC" | "+IPR" | "+FLO", ask) => self.keep(name, ask),
            (name, ask) if name.starts_with("+V") && self.settings.class == 8 => self.voice(now, name, ask),
            _ => Done::Error,
        }
    }

    pub(super) fn told(&mut self, text: Option<String>) -> Done {
        match text {
            Some(text) => self.inform(&text),
            None => Done::Next,
        }
    }

    /// A parameter of one number: `Err` when the question is wrong, text when there is something to tell.
    pub(super) fn number(ask: &Ask, limit: u32, range: &str, at: &mut u32) -> Result<Option<String>, ()> {
        match ask {
            Ask::Read => Ok(Some(at.to_string())),
            Ask::Test => Ok(Some(range.to_string())),
            Ask::Set(value) => {
                *at = value.trim().parse().ok().filter(|value| *value <= limit).ok_or(())?;
                Ok(None)
            }
            Ask::Do => Err(()),
        }
    }

    fn keep(&mut self, name: &str, ask: &Ask) -> Done {
        let Some((name, _, range)) = KEPT.iter().find(|(kept, ..)| *kept == name) else { return Done::Error };
        match ask {
            Ask::Read => {
                let value = self.settings.kept.get(name).cloned().unwrap_or_default();
                self.inform(&value)
            }
            Ask::Test => self.inform(range),
            Ask::Set(value) if value.chars().all(|c| c.is_ascii_digit() || c == ',') && value.len() < 32 => {
                self.settings.kept.insert(name, value.clone());
                Done::Next
            }
            _ => Done::Error,
        }
    }

    fn class(&mut self, ask: &Ask) -> Done {
        match ask {
            Ask::Read => {
                let class = self.settings.class.to_string();
                self.inform(&class)
            }
            Ask::Test => self.inform(self.persona.classes),
            Ask::Set(value) if matches!(value.as_str(), "8" | "8.0") => {
                self.settings.class = 8;
                Done::Next
            }
            Ask::Set(value) if value == "0" => {
                if self.settings.no_hang_up == 0 {
                    self.hang_up();
                }
                self.settings.class = 0;
                Done::Next
            }
            _ => Done::Error,
        }
    }

    fn voice(&mut self, now: Time, name: &str, ask: &Ask) -> Done {
        let settings = &mut self.settings;
        let told = match name {
            "+VTD" => Self::number(ask, 255, "(5-255)", &mut settings.tone),
            "+VIT" => Self::number(ask, 255, "(0-255)", &mut settings.inactivity),
            "+VNH" => Self::number(ask, 2, "(0-2)", &mut settings.no_hang_up),
            "+VRA" => Self::number(ask, 255, "(0-255)", &mut settings.ringback_gone),
            "+VRN" => Self::number(ask, 255, "(0-255)", &mut settings.ringback_never),
            "+VLS" => return self.line_select(ask),
            "+VSM" => return self.compression(ask),
            "+VSD" => return self.silence(ask),
            "+VEM" => return self.mask(ask),
            "+VTS" => return self.tones(ask),
            "+VIP" if *ask == Ask::Do => {
                settings.voice_defaults(&self.persona);
                Ok(None)
            }
            "+VTX" if *ask == Ask::Do => return self.stream(now, Way::Transmit),
            "+VRX" if *ask == Ask::Do => return self.stream(now, Way::Receive),
            "+VTR" if *ask == Ask::Do && self.persona.duplex => return self.stream(now, Way::Duplex),
            name => return self.keep(name, ask),
        };
        match told {
            Ok(text) => self.told(text),
            Err(()) => Done::Error,
        }
    }

    fn line_select(&mut self, ask: &Ask) -> Done {
        match ask {
            Ask::Read => {
                let label = self.settings.label.to_string();
                self.inform(&label)
            }
            Ask::Test => {
                self.inform("0,\"\",B0804100,B0804100,B0804100");
                let line = format!("{},\"T\",0B8433C1,0FE431C1,0B8431C1", self.persona.line_label);
                self.inform(&line)
            }
            Ask::Set(value) if value == "0" => {
                self.hang_up();
                Done::Next
            }
            Ask::Set(value) if value.parse() == Ok(self.persona.line_label) => {
                self.seize();
                Done::Next
            }
            _ => Done::Error,
        }
    }

    fn compression(&mut self, ask: &Ask) -> Done {
        let methods = self.persona.methods;
        match ask {
            Ask::Read => {
                let text = format!("{},8000,0,0", self.settings.method.label);
                self.inform(&text)
            }
            Ask::Test => {
                if let Listing::Ranges(text) = self.persona.listing {
                    return self.inform(text);
                }
                for method in methods {
                    let (label, name, bits) = (method.label, method.name, method.coding.bytes() * 8);
                    self.inform(&format!("{label},\"{name}\",{bits},0,8000,0,0"));
                }
                Done::Next
            }
            Ask::Set(value) => {
                let fields = fields(value);
                let label: Option<u32> = fields.first().and_then(|field| field.parse().ok());
                let rate = fields.get(1).map_or("8000", String::as_str);
                match methods.iter().find(|method| Some(method.label) == label) {
                    Some(method) if matches!(rate, "8000" | "") && fields.len() <= 4 => {
                        self.settings.method = *method;
                        Done::Next
                    }
                    _ => Done::Error,
                }
            }
            Ask::Do => Done::Error,
        }
    }

    fn silence(&mut self, ask: &Ask) -> Done {
        let limit = self.persona.silence_limit;
        match ask {
            Ask::Read => {
                let (sensitivity, interval) = self.settings.silence;
                self.inform(&format!("{sensitivity},{interval}"))
            }
            Ask::Test => self.inform(&format!("(0-{limit}),(0-255)")),
            Ask::Set(value) => {
                let fields = fields(value);
                let sensitivity = fields.first().and_then(|field| field.parse().ok());
                let interval = fields.get(1).map_or(Some(self.settings.silence.1), |field| field.parse().ok());
                match (sensitivity, interval) {
                    (Some(sensitivity), Some(interval)) if sensitivity <= limit && interval <= 255 => {
                        self.settings.silence = (sensitivity, interval);
                        Done::Next
                    }
                    _ => Done::Error,
                }
            }
            Ask::Do => Done::Error,
        }
    }

    fn mask(&mut self, ask: &Ask) -> Done {
        match ask {
            Ask::Read => {
                let mask = self.settings.mask();
                self.inform(&mask)
            }
            Ask::Test => self.inform("(1FFFFFFFF)"),
            Ask::Set(value) => self.settings.set_mask(value).map_or(Done::Error, |()| Done::Next),
            Ask::Do => Done::Error,
        }
    }

    pub(super) fn stream(&mut self, now: Time, way: Way) -> Done {
        if self.hook == Hook::On {
            return Done::Error;
        }
        self.finish_then(now, Final::Connect, Then::Stream(way));
        Done::Stop
    }

    /// `+VTS`: the result comes after the tones were sent.
    pub(super) fn tones(&mut self, ask: &Ask) -> Done {
        let list = match ask {
            Ask::Test => return self.inform("(200-3000),(200-3000),(0-255)"),
            Ask::Set(list) => list,
            _ => return Done::Error,
        };
        if self.hook == Hook::On {
            return Done::Error;
        }
        let Some(tones) = tone_list(list, self.settings.tone) else { return Done::Error };
        let mut player = Player::default();
        for tone in tones {
            match tone {
                Tone::Play(segment) => player.push(segment),
                Tone::Flash(millis) => {
                    self.out.push_back(Effect::Act(Act::Flash));
                    player.push(Segment::silence(millis));
                }
            }
        }
        self.mode = Mode::Toning(player);
        Done::Stop
    }
}

enum Tone {
    Play(Segment),
    Flash(u32),
}

/// The list of `+VTS`: digits, `!`, `[f1,f2,duration]`, `{digit,duration}`; durations in 0.01 s.
fn tone_list(list: &str, default: u32) -> Option<Vec<Tone>> {
    let mut tones = Vec::new();
    let mut rest = list.trim();
    while let Some(first) = rest.chars().next() {
        let (close, opens) = match first {
            '[' => (']', true),
            '{' => ('}', true),
            _ => (' ', false),
        };
        if opens {
            let end = rest.find(close)?;
            let inner = fields(&rest[1..end]);
            rest = &rest[end + 1..];
            let number = |at: usize, other: u32| match inner.get(at).map(String::as_str) {
                None | Some("") => Some(other),
                Some(text) => text.parse::<u32>().ok(),
            };
            if first == '[' {
                let (one, two, duration) = (number(0, 0)?, number(1, 0)?, number(2, default)?);
                let sane = |hz: u32| hz == 0 || (200..=3_000).contains(&hz);
                (sane(one) && sane(two) && duration <= 1_000).then_some(())?;
                tones.push(Tone::Play(Segment::new(f64::from(one), f64::from(two), -100, duration * 10)));
            } else {
                let digit = inner.first()?.chars().next()?;
                tones.extend(key(digit, number(1, default)?.min(1_000) * 10)?);
            }
        } else {
            rest = &rest[first.len_utf8()..];
            if first != ',' && first != ' ' {
                tones.extend(key(first, default * 10)?);
            }
        }
    }
    Some(tones)
}

fn key(digit: char, millis: u32) -> Option<Vec<Tone>> {
    if digit == '!' {
        return Some(vec![Tone::Flash(millis)]);
    }
    Some(vec![Tone::Play(Segment::digit(digit, millis)?), Tone::Play(Segment::silence(70))])
}
