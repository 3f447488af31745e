//! Commands of 27.007.

use super::calls::Stat;
use super::service::Sim;
use super::{Cellular, Settings};
use crate::modem::at::{self, Ask, Command, fields};
use crate::modem::{Act, Effect};
use tapi::Time;

/// How a command line ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Final {
    Ok,
    NoCarrier,
    /// With the number of `+CME ERROR` (27.007 9.2).
    Error(u32),
    /// With the number of `+CMS ERROR` (27.005 3.2.5).
    Message(u32),
    /// It does not know the command.
    Unknown,
    /// What a dial ends with at its answer.
    Answered,
    /// The information alone: this firmware forgets the result.
    Unsaid,
    /// Nothing yet: a prompt was written.
    Silent,
}

/// Parameters that are kept and read back and have no effect: name, default, range.
pub(super) const KEPT: [(&str, &str, &str); 13] = [
    ("+CGREG", "0", "(0-2)"),
    ("+CEREG", "0", "(0-2)"),
    ("+CSCS", "\"IRA\"", "(\"IRA\",\"GSM\",\"UCS2\")"),
    ("+CLVL", "3", "(0-5)"),
    ("+CMUT", "0", "(0,1)"),
    ("+CLIR", "0,4", "(0-2)"),
    ("+CUSD", "0", "(0-2)"),
    ("+CNAP", "0,0", "(0,1)"),
    ("+CDIP", "0,0", "(0,1)"),
    ("+CTZU", "0", "(0,1)"),
    ("+CTZR", "0", "(0,1)"),
    ("+IFC", "2,2", "(0-2),(0-2)"),
    ("+IPR", "0", "(0,9600,19200,38400,57600,115200)"),
];

impl Cellular {
    pub(super) fn execute(&mut self, now: Time, line: &str) {
        let Some(commands) = at::commands(line) else { return self.finish(now, Final::Error(100)) };
        for command in commands {
            let result = match command {
                Command::Basic(name, value) => self.basic(now, &name, value),
                Command::Register(number, Ask::Set(value)) => self.set_register(number, &value),
                Command::Register(number, Ask::Read) => {
                    let value = self.settings.registers.get(&number).copied().unwrap_or(0);
                    self.tell(&format!("{value:03}"))
                }
                Command::Register(..) => Err(Final::Error(4)),
                Command::Dial(number) => match self.dial(now, &number) {
                    Ok(Some(result)) | Err(result) => return self.finish(now, result),
                    Ok(None) => return,
                },
                Command::Extended(name, ask) => self.extended(now, &name, &ask),
            };
            if let Err(result) = result {
                return self.finish(now, result);
            }
        }
        self.finish(now, Final::Ok);
    }

    fn set_register(&mut self, number: u8, value: &str) -> Result<(), Final> {
        let value = value.parse().map_err(|_| Final::Error(4))?;
        self.settings.registers.insert(number, value);
        Ok(())
    }

    pub(super) fn finish(&mut self, now: Time, result: Final) {
        if result == Final::Silent {
            return;
        }
        let info = std::mem::take(&mut self.info);
        if result == Final::Unsaid {
            return self.write(now + self.persona.latency, info.as_bytes());
        }
        let unknown = self.persona.unknown;
        let text = match (result, self.settings.errors) {
            (Final::Unknown, _) if !unknown.is_empty() => unknown.to_string(),
            (Final::Answered, _) => self.persona.dial_result.unwrap_or("OK").to_string(),
            (Final::Message(number), _) => format!("+CMS ERROR: {number}"),
            (Final::Unknown | Final::Silent | Final::Unsaid, 0) => "ERROR".to_string(),
            (Final::Unknown | Final::Silent | Final::Unsaid, 1) => "+CME ERROR: 4".to_string(),
            (Final::Unknown | Final::Silent | Final::Unsaid, _) => format!("+CME ERROR: {}", error_text(4)),
            (Final::Ok, _) => "OK".to_string(),
            (Final::NoCarrier, _) => "NO CARRIER".to_string(),
            (Final::Error(_), 0) => "ERROR".to_string(),
            (Final::Error(number), 1) => format!("+CME ERROR: {number}"),
            (Final::Error(number), _) => format!("+CME ERROR: {}", error_text(number)),
        };
        let number = match result {
            Final::Ok | Final::Answered => "0",
            Final::NoCarrier => "3",
            _ => "4",
        };
        let last = if self.settings.verbose == 0 { format!("{number}\r") } else { format!("\r\n{text}\r\n") };
        if self.settings.quiet == 0 {
            self.write(now + self.persona.latency, format!("{info}{last}").as_bytes());
        }
    }

    pub(super) fn tell(&mut self, text: &str) -> Result<(), Final> {
        self.info.push_str(&format!("\r\n{text}{}", self.persona.line_end));
        Ok(())
    }

    fn basic(&mut self, now: Time, name: &str, value: u32) -> Result<(), Final> {
        match (name, value) {
            ("E", 0 | 1) => self.settings.echo = value,
            ("V", 0 | 1) => self.settings.verbose = value,
            ("Q", 0 | 1) => self.settings.quiet = value,
            ("I", 0..=9) => {
                let text = format!("{}\r\n{}", self.persona.manufacturer, self.persona.model);
                return self.tell(&text);
            }
            ("A", 0) => match self.calls.incoming().map(|leg| leg.call) {
                Some(call) => self.accept(now, call),
                None => return Err(Final::NoCarrier),
            },
            ("H", 0) if self.settings.hang_up_by_ath != 1 => self.hang_up(now),
            ("H", 0) => {}
            ("Z", 0) | ("&F", 0) => {
                self.settings = Settings::new(&self.persona);
            }
            ("X" | "L" | "M" | "T" | "P", _) => {}
            (name, _) if name.starts_with(['&', '\\', '%']) => {}
            _ => return Err(Final::Error(4)),
        }
        Ok(())
    }

    /// All calls but waiting ones.
    fn hang_up(&mut self, now: Time) {
        let stats = [Stat::Active, Stat::Held, Stat::Dialling, Stat::Alerting, Stat::Incoming];
        let all = self.calls.with(&stats);
        let refused = self.calls.incoming().map(|leg| leg.call);
        all.into_iter().for_each(|call| self.release(now, call, if refused == Some(call) { 21 } else { 16 }));
    }

    /// `D<number>[I|i][G|g];`
    fn dial(&mut self, now: Time, text: &str) -> Result<Option<Final>, Final> {
        let Some(number) = text.trim().strip_suffix(';') else { return Err(Final::NoCarrier) };
        if !self.is_registered() {
            return Err(Final::Error(30));
        }
        let withheld = number.contains('I') || self.settings.kept.get("+CLIR").is_some_and(|n| n.starts_with('1'));
        let number: String = number.chars().filter(|c| c.is_ascii_digit() || "+*#ABC".contains(*c)).collect();
        let plus = number.starts_with('+');
        let bare = number.trim_start_matches('+');
        if bare.is_empty() || bare.contains('+') || bare.len() > 40 {
            return Err(Final::Error(27));
        }
        self.make_call(now, &format!("{}{bare}", if plus { "+" } else { "" }), withheld)
    }

    fn extended(&mut self, now: Time, name: &str, ask: &Ask) -> Result<(), Final> {
        self.card_lets(now, name, ask)?;
        let own = self.message_command(now, name, ask);
        if let Some(result) = own.or_else(|| self.service_command(now, name, ask)) {
            return result;
        }
        match (name, ask) {
            (_, Ask::Test) => self.test(name),
            ("+CGMI" | "+GMI", Ask::Do) => self.tell(self.persona.manufacturer),
            ("+CGMM" | "+GMM", Ask::Do) => self.tell(self.persona.model),
            ("+CGMR" | "+GMR", Ask::Do) => self.tell(self.persona.revision),
            ("+CGSN" | "+GSN", Ask::Do) => self.tell(&self.persona.imei.clone()),
            ("+GCAP", Ask::Do) => self.tell("+GCAP: +CGSM"),
            ("+CIMI", Ask::Do) => self.subscriber(),
            ("+CPIN", Ask::Read) => self.tell_sim(),
            ("+CPIN", Ask::Set(value)) => self.enter_pin(now, value),
            ("+CNUM", Ask::Do) => {
                let number = self.persona.number.clone();
                number.map_or(Ok(()), |number| self.tell(&format!("+CNUM: ,\"{number}\",129")))
            }
            ("+CFUN", Ask::Read) => self.tell("+CFUN: 1"),
            ("+CFUN", Ask::Set(value)) if value == "1,1" => {
                self.out.push_back(Effect::Act(Act::Restart));
                Ok(())
            }
            ("+CFUN", Ask::Set(value)) => {
                if value.starts_with('1') {
                    Ok(())
                } else {
                    Err(Final::Error(3))
                }
            }
            ("+CREG", Ask::Read) => self.registration(),
            ("+COPS", Ask::Read) if !self.is_registered() => self.tell("+COPS: 0"),
            ("+COPS", Ask::Read) => self.tell(&format!("+COPS: 0,0,\"{}\"", self.persona.operator)),
            ("+COPS", Ask::Set(_)) => Ok(()),
            ("+CSQ", Ask::Do) => self.tell(&format!("+CSQ: {},99", self.level)),
            ("+CPAS", Ask::Do) => self.activity(),
            ("+CLCC", Ask::Do) => {
                let lines: Vec<String> = self.calls.legs.iter().map(super::calls::Leg::listed).collect();
                lines.iter().try_for_each(|line| self.tell(line))
            }
            ("+CEER", Ask::Do) => {
                let cause = self.calls.cause;
                self.tell(&format!("+CEER: {cause},\"{}\"", cause_text(cause)))
            }
            ("+CHUP", Ask::Do) => {
                self.hang_up(now);
                Ok(())
            }
            ("+CHLD", Ask::Set(value)) => self.supplementary(now, value),
            ("+VTS", Ask::Set(value)) => self.digits(value),
            ("+CCWA", ask) => self.call_waiting(ask),
            (name, ask) => self.parameter(name, ask),
        }
    }

    /// Some commands want the card.
    fn card_lets(&mut self, now: Time, name: &str, ask: &Ask) -> Result<(), Final> {
        let awake = *self.awake.get_or_insert(now);
        let busy = now.since(awake) < self.persona.card_after;
        let wants = matches!(ask, Ask::Set(_)) && self.persona.needs_card.contains(&name);
        match self.sim {
            _ if busy && (wants || name == "+CPIN") => Err(Final::Error(14)),
            Sim::Locked(_) if wants => Err(Final::Error(11)),
            Sim::Blocked if wants => Err(Final::Error(12)),
            Sim::Absent if wants => Err(Final::Error(10)),
            _ => Ok(()),
        }
    }

    fn subscriber(&mut self) -> Result<(), Final> {
        match self.sim {
            Sim::Ready => self.tell(&self.persona.imsi.clone()),
            Sim::Absent => Err(Final::Error(10)),
            Sim::Locked(_) => Err(Final::Error(11)),
            Sim::Blocked => Err(Final::Error(12)),
        }
    }

    fn activity(&mut self) -> Result<(), Final> {
        let state = match (self.calls.incoming(), self.calls.legs.is_empty()) {
            (Some(_), _) => 3,
            (None, false) => 4,
            (None, true) => 0,
        };
        self.tell(&format!("+CPAS: {state}"))
    }

    fn registration(&mut self) -> Result<(), Final> {
        let (n, stat) = (self.settings.registration, self.network_state());
        let place = if n == 2 && matches!(stat, 1 | 5) { ",\"00C3\",\"0000A1B2\"" } else { "" };
        self.tell(&format!("+CREG: {n},{stat}{place}"))
    }

    fn parameter(&mut self, name: &str, ask: &Ask) -> Result<(), Final> {
        let registration = self.network_state();
        let settings = &mut self.settings;
        let (at, limit, tail) = match name {
            "+CMEE" => (&mut settings.errors, 2, ""),
            "+CREG" => (&mut settings.registration, 2, ""),
            "+CLIP" => (&mut settings.line_identity, 1, ",1"),
            "+CRC" => (&mut settings.ring_kind, 1, ""),
            "+COLP" => (&mut settings.connected_identity, 1, ",1"),
            "+CVHU" => (&mut settings.hang_up_by_ath, 2, ""),
            "+VTD" => (&mut settings.digit_tenths, 255, ""),
            "+CSSN" => (&mut settings.services_told, 1, ",1"),
            name => {
                let common = KEPT.iter().map(|(kept, ..)| kept);
                let own = self.persona.keeps.iter().map(|(kept, _)| kept);
                let Some(name) = common.chain(own).find(|kept| **kept == name) else {
                    return Err(Final::Unknown);
                };
                return match ask {
                    Ask::Read if matches!(*name, "+CGREG" | "+CEREG") => {
                        let n = settings.kept.get(name).cloned().unwrap_or_default();
                        self.tell(&format!("{name}: {n},{registration}"))
                    }
                    Ask::Read => {
                        let value = settings.kept.get(name).cloned().unwrap_or_default();
                        self.tell(&format!("{name}: {value}"))
                    }
                    Ask::Set(value) if value.len() < 64 => {
                        settings.kept.insert(name, value.clone());
                        Ok(())
                    }
                    _ => Err(Final::Error(4)),
                };
            }
        };
        match ask {
            Ask::Read => {
                let text = format!("{name}: {at}{tail}");
                self.tell(&text)
            }
            Ask::Set(value) => {
                // Of `+CSSN=n,m` the second is what is heard of the far end.
                let values = fields(value);
                let value = if name == "+CSSN" { values.get(1) } else { values.first() };
                let value = value.and_then(|value| value.parse().ok()).filter(|value| *value <= limit);
                *at = value.ok_or(Final::Error(50))?;
                Ok(())
            }
            _ => Err(Final::Error(4)),
        }
    }

    fn call_waiting(&mut self, ask: &Ask) -> Result<(), Final> {
        match ask {
            Ask::Read => {
                let text = format!("+CCWA: {}", self.settings.waiting_told);
                self.tell(&text)
            }
            Ask::Set(value) => {
                let fields = fields(value);
                let told: u32 =
                    fields.first().and_then(|n| n.parse().ok()).filter(|n| *n < 2).ok_or(Final::Error(50))?;
                self.settings.waiting_told = told;
                match fields.get(1).map(String::as_str) {
                    None => Ok(()),
                    Some("2") => self.tell("+CCWA: 1,1"),
                    Some(mode @ ("0" | "1")) => {
                        self.out.push_back(Effect::Act(Act::CallWaiting(mode == "1")));
                        Ok(())
                    }
                    Some(_) => Err(Final::Error(50)),
                }
            }
            _ => Err(Final::Error(4)),
        }
    }

    /// `+VTS=<digit>`, also quoted, with a duration in 0.1 s.
    fn digits(&mut self, value: &str) -> Result<(), Final> {
        let call = *self.calls.with(&[Stat::Active]).first().ok_or(Final::Error(3))?;
        let fields = fields(value);
        let tenths = fields.get(1).map_or(Some(self.settings.digit_tenths), |field| field.parse().ok());
        let duration_ms = tenths.ok_or(Final::Error(50))?.clamp(1, 255) * 100;
        let digits = fields.first().map(|field| field.to_ascii_uppercase()).unwrap_or_default();
        let known = self.persona.digits;
        let good = |c: char| known.contains(c);
        if digits.is_empty() || digits.len() > 32 || !digits.chars().all(good) {
            return Err(Final::Error(50));
        }
        digits.chars().for_each(|digit| self.out.push_back(Effect::Act(Act::Digit { call, digit, duration_ms })));
        Ok(())
    }

    fn test(&mut self, name: &str) -> Result<(), Final> {
        let range = match name {
            "+CLCC" | "+CHUP" | "+CEER" | "+CGMI" | "+CGMM" | "+CGMR" | "+CGSN" | "+CIMI" | "+CPIN" => return Ok(()),
            "+CMEE" | "+CREG" | "+CVHU" => "(0-2)",
            "+CLIP" | "+CRC" | "+COLP" | "+CCWA" => "(0,1)",
            "+CSSN" => "(0,1),(0,1)",
            "+CHLD" => "(0,1,1x,2,2x,3,4)",
            "+VTS" => "(0-9,A-D,*,#)",
            "+VTD" => "(1-255)",
            "+CFUN" => "(0,1,4),(0,1)",
            "+CSQ" => "(0-31,99),(99)",
            "+COPS" => {
                let operator = self.persona.operator;
                return self.tell(&format!("+COPS: (2,\"{operator}\",\"{operator}\",\"26201\",2),,(0-4),(0-2)"));
            }
            name => KEPT.iter().find(|(kept, ..)| *kept == name).map(|(.., range)| *range).ok_or(Final::Unknown)?,
        };
        self.tell(&format!("{name}: {range}"))
    }
}

fn error_text(number: u32) -> &'static str {
    match number {
        3 => "operation not allowed",
        4 => "operation not supported",
        14 => "SIM busy",
        11 => "SIM PIN required",
        12 => "SIM PUK required",
        16 => "incorrect password",
        10 => "SIM not inserted",
        27 => "invalid characters in dial string",
        30 => "no network service",
        50 => "incorrect parameters",
        _ => "unknown",
    }
}

fn cause_text(cause: u8) -> &'static str {
    match cause {
        0 => "No information",
        1 => "Unassigned number",
        16 => "Normal call clearing",
        17 => "User busy",
        19 => "User alerting, no answer",
        20 => "Subscriber absent",
        21 => "Call rejected",
        27 => "Destination out of order",
        102 => "Recovery on timer expiry",
        _ => "Interworking, unspecified",
    }
}
