//! The card, the network's services, codes, forwarding, audio and digits.

use super::command::Final;
use super::persona::{Audio, Codes, Gate, Lasts, Moment, When};
use super::{Cellular, calls::Leg, calls::Stat, pdu};
use crate::modem::at::{Ask, fields};
use crate::modem::{Act, Effect, Identity};
use std::time::Duration;
use tapi::Time;

/// Wrong PINs until the PUK is wanted.
const TRIES: u32 = 3;

/// The SIM card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sim {
    Absent,
    Ready,
    Locked(u32),
    Blocked,
}

impl Sim {
    pub(super) fn new(text: &str) -> Sim {
        match text {
            "" => Sim::Absent,
            "SIM PIN" => Sim::Locked(TRIES),
            "SIM PUK" => Sim::Blocked,
            _ => Sim::Ready,
        }
    }
}

/// A code of the network that waits for its answer.
#[derive(Clone, Debug)]
pub(super) struct Session {
    due: Time,
    code: String,
}

/// How long the network takes for a code.
const CODE_AFTER: Duration = Duration::from_millis(700);

impl Cellular {
    pub(super) fn is_registered(&self) -> bool {
        self.sim == Sim::Ready && matches!(self.registration, 1 | 5)
    }

    /// `<stat>` of `+CREG`.
    pub(super) fn network_state(&self) -> u8 {
        if self.sim == Sim::Ready { self.registration } else { 0 }
    }

    /// The network, or the card, changed what `+CREG` tells.
    pub(super) fn registers(&mut self, now: Time) {
        let state = self.network_state();
        let (n, place) = (self.settings.registration, ",\"00C3\",\"0000A1B2\"");
        let place = if n == 2 && matches!(state, 1 | 5) { place } else { "" };
        if n > 0 {
            self.unsolicited(now, &format!("+CREG: {state}{place}"));
        }
        for name in ["+CGREG", "+CEREG"] {
            if self.settings.kept.get(name).is_some_and(|n| n != "0") {
                self.unsolicited(now, &format!("{name}: {state}"));
            }
        }
    }

    /// `+CPIN=`.
    pub(super) fn enter_pin(&mut self, now: Time, value: &str) -> Result<(), Final> {
        let fields = fields(value);
        let first = fields.first().map_or("", String::as_str);
        match (self.sim, fields.get(1)) {
            (Sim::Absent, _) => Err(Final::Error(10)),
            (Sim::Locked(_), None) if first == self.persona.pin.0 => {
                self.sim = Sim::Ready;
                self.registers(now + Duration::from_secs(1));
                Ok(())
            }
            (Sim::Locked(left), None) => {
                self.sim = if left > 1 { Sim::Locked(left - 1) } else { Sim::Blocked };
                Err(Final::Error(16))
            }
            (Sim::Blocked, Some(_)) if first == self.persona.pin.1 => {
                self.sim = Sim::Ready;
                self.registers(now + Duration::from_secs(1));
                Ok(())
            }
            (Sim::Blocked, _) => Err(Final::Error(12)),
            (Sim::Ready | Sim::Locked(_), _) => Err(Final::Error(3)),
        }
    }

    pub(super) fn tell_sim(&mut self) -> Result<(), Final> {
        let state = match self.sim {
            Sim::Absent => return Err(Final::Error(10)),
            Sim::Ready => "READY",
            Sim::Locked(_) => "SIM PIN",
            Sim::Blocked => "SIM PUK",
        };
        self.tell(&format!("+CPIN: {state}"))?;
        if self.persona.pin_without_ok { Err(Final::Unsaid) } else { Ok(()) }
    }

    /// Commands of this module; `None` when it is none.
    pub(super) fn service_command(&mut self, now: Time, name: &str, ask: &Ask) -> Option<Result<(), Final>> {
        if let Audio::Ordered(order) = self.persona.audio
            && name == order.name
            && let Ask::Set(value) = ask
        {
            return Some(self.order_audio(value));
        }
        if name == self.persona.iccid.0 && matches!(ask, Ask::Do | Ask::Read) {
            let text = format!("{name}: {}", self.persona.iccid.1);
            return Some(if self.sim == Sim::Absent { Err(Final::Error(10)) } else { self.tell(&text) });
        }
        if !name.is_empty() && name == self.persona.digit_command {
            return Some(match ask {
                Ask::Set(value) => self.numbered_digit(value),
                _ => Err(Final::Error(4)),
            });
        }
        if !name.is_empty() && name == self.persona.release_command {
            return Some(match ask {
                Ask::Set(value) => self.release_with(now, value),
                _ => Err(Final::Error(4)),
            });
        }
        Some(match (name, ask) {
            ("+CUSD", Ask::Set(value)) => self.code(now, value),
            ("+CCFC", Ask::Set(value)) => self.forwarding(value),
            ("+CTFR", Ask::Set(value)) => self.deflect(value),
            ("+CLCK", Ask::Set(value)) => match fields(value).as_slice() {
                [_, mode, ..] if mode == "2" => {
                    let on = u8::from(self.persona.sim == "SIM PIN");
                    self.tell(&format!("+CLCK: {on}"))
                }
                _ => Err(Final::Error(3)),
            },
            _ => return None,
        })
    }

    fn order_audio(&mut self, value: &str) -> Result<(), Final> {
        let Audio::Ordered(order) = self.persona.audio else { return Err(Final::Error(4)) };
        if value == order.off {
            self.voice = false;
            return Ok(());
        }
        let fits = match order.when {
            When::Always => true,
            When::Call => !self.calls.legs.is_empty(),
            When::Active => self.calls.legs.iter().any(|leg| leg.stat == Stat::Active),
            When::BeforeActive => self.calls.legs.iter().all(|leg| leg.stat != Stat::Active),
        };
        if value != order.on || !fits {
            return Err(Final::Error(3));
        }
        if self.refusals > 0 {
            self.refusals -= 1;
            return Err(Final::Error(3));
        }
        self.voice = true;
        self.frames = 0;
        Ok(())
    }

    /// The last call is over.
    pub(super) fn audio_over(&mut self) {
        self.audio.clear();
        if let Audio::Ordered(order) = self.persona.audio
            && order.lasts == Lasts::TheCall
        {
            self.voice = false;
            self.refusals = order.refusals;
        }
    }

    /// Whether the audio port carries a call.
    pub(super) fn carries(&self) -> bool {
        match self.persona.audio {
            Audio::None => false,
            Audio::Always => self.has_call(),
            Audio::Ordered(_) => self.voice && self.has_call(),
        }
    }

    /// The caller's name, and the number that was called, where the host wants them told.
    pub(super) fn beside_the_ring(&mut self, now: Time) {
        let wanted = |cellular: &Cellular, name| cellular.settings.kept.get(name).is_some_and(|n| n.starts_with('1'));
        if let (true, Some(number)) = (wanted(self, "+CDIP"), &self.persona.number) {
            let text = format!("+CDIP: \"{number}\",129");
            self.unsolicited(now, &text);
        }
        let name = self.calls.incoming().and_then(|leg| match &leg.party {
            Identity::Known { name, .. } => name.clone(),
            Identity::Private | Identity::OutOfArea => None,
        });
        if let (true, Some(name)) = (wanted(self, "+CNAP"), name) {
            self.unsolicited(now, &format!("+CNAP: \"{name}\",0"));
        }
    }

    fn is_open(&self, gate: Gate) -> bool {
        gate.is_none_or(|(name, wanted)| self.settings.kept.get(name).is_some_and(|value| value.contains(wanted)))
    }

    /// Tells what happened to a call, in this firmware's words.
    pub(super) fn news(&mut self, now: Time, leg: &Leg, moment: Moment) {
        if !self.is_open(self.persona.news_gate) {
            return;
        }
        let (number, kind, _) = leg.identity();
        let stat = if moment == Moment::Ended { -1 } else { leg.stat as i32 };
        let seconds = leg.since.map_or(0, |since| now.since(since).as_secs());
        let clock = format!("{:02}{:02}{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
        let lines: Vec<String> = self
            .persona
            .news
            .iter()
            .filter(|(at, _)| *at == moment)
            .map(|(_, text)| {
                text.replace("{i}", &leg.index.to_string())
                    .replace("{d}", &(leg.way as u32).to_string())
                    .replace("{s}", &stat.to_string())
                    .replace("{n}", number)
                    .replace("{t}", &kind.to_string())
                    .replace("{c}", &self.calls.cause.to_string())
                    .replace("{l}", &seconds.to_string())
                    .replace("{h}", &clock)
            })
            .collect();
        lines.iter().for_each(|line| self.unsolicited(now, line));
    }

    /// The far end sent a digit.
    pub(super) fn digit_heard(&mut self, now: Time, digit: char) {
        if !self.persona.digit_news.is_empty() && self.is_open(self.persona.digit_gate) {
            let text = self.persona.digit_news.replace("{code}", &(digit as u32).to_string());
            self.unsolicited(now, &text.replace("{c}", &digit.to_string()));
        }
    }

    /// `<call>,<digit>` of a command of its own.
    fn numbered_digit(&mut self, value: &str) -> Result<(), Final> {
        let fields = fields(value);
        let index: Option<u32> = fields.first().and_then(|index| index.parse().ok());
        let leg = self.calls.legs.iter().find(|leg| Some(leg.index) == index && leg.stat == Stat::Active);
        let call = leg.map(|leg| leg.call).ok_or(Final::Error(3))?;
        let digit = fields.get(1).and_then(|digit| digit.chars().next()).ok_or(Final::Error(50))?;
        if !self.persona.digits.contains(digit) {
            return Err(Final::Error(50));
        }
        self.out.push_back(Effect::Act(Act::Digit { call, digit, duration_ms: 120 }));
        Ok(())
    }

    /// `+CUSD=`: the network's answers are of this exchange: `*100#` a balance, `*101#` a question, anything else a refusal.
    fn code(&mut self, now: Time, value: &str) -> Result<(), Final> {
        let fields = fields(value);
        match fields.first().map(String::as_str) {
            Some("0" | "1") => {}
            Some("2") => {
                self.session = None;
                self.asks = false;
                return Ok(());
            }
            _ => return Err(Final::Error(50)),
        }
        let Some(text) = fields.get(1) else {
            self.settings.kept.insert("+CUSD", fields.concat());
            return Ok(());
        };
        if !self.is_registered() {
            return Err(Final::Error(30));
        }
        let code = match self.persona.codes {
            Codes::Text => text.clone(),
            Codes::Packed => pdu::unpacked(text).ok_or(Final::Error(50))?,
        };
        self.session = Some(Session { due: now + CODE_AFTER, code });
        Ok(())
    }

    pub(super) fn session_due(&self) -> Option<Time> {
        self.session.as_ref().map(|session| session.due)
    }

    /// The network answers a code, when it is due.
    pub(super) fn answer_code(&mut self, now: Time) {
        if self.session_due().is_none_or(|due| due > now) {
            return;
        }
        let Some(session) = self.session.take() else { return };
        let answering = std::mem::take(&mut self.asks);
        let (state, text) = match (answering, session.code.as_str()) {
            (true, answer) => (0, format!("You said {answer}")),
            (false, "*100#") => (0, "Balance: 12.34".to_string()),
            (false, "*101#") => (1, "1 Yes 2 No".to_string()),
            (false, _) => return self.unsolicited(now, "+CUSD: 4"),
        };
        self.asks = state == 1;
        let text = if self.persona.codes == Codes::Packed { pdu::packed(&text) } else { text };
        self.unsolicited(now, &format!("+CUSD: {state},\"{text}\",15"));
    }

    /// `+CTFR`: the call that rings goes elsewhere.
    fn deflect(&mut self, value: &str) -> Result<(), Final> {
        let to = fields(value).first().cloned().unwrap_or_default();
        let ringing = self.calls.with(&[Stat::Incoming, Stat::Waiting]);
        let call = *ringing.first().ok_or(Final::Error(3))?;
        if to.is_empty() || !to.chars().all(|c| c.is_ascii_digit() || c == '+') {
            return Err(Final::Error(50));
        }
        self.out.push_back(Effect::Act(Act::Deflect { call, to }));
        Ok(())
    }

    /// `+CCFC=<reason>,<mode>[,<number>[,<type>[,<class>[,…,<time>]]]]`
    fn forwarding(&mut self, value: &str) -> Result<(), Final> {
        let fields = fields(value);
        let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u32>().ok());
        let (reason, mode) = (number(0).ok_or(Final::Error(50))?, number(1).ok_or(Final::Error(50))?);
        if !self.is_registered() {
            return Err(Final::Error(30));
        }
        let reasons: &[u8] = match reason {
            0 => &[0],
            1 => &[1],
            2 => &[2],
            3 => &[3],
            4 => &[0, 1, 2, 3],
            5 => &[1, 2, 3],
            _ => return Err(Final::Error(50)),
        };
        match mode {
            2 => {
                let lines: Vec<String> = match reasons {
                    [one] => match self.forwards.get(one) {
                        Some((true, to, after)) if *one == 2 => vec![format!("+CCFC: 1,1,\"{to}\",129,,,{after}")],
                        Some((true, to, _)) => vec![format!("+CCFC: 1,1,\"{to}\",129")],
                        _ => vec!["+CCFC: 0,255".to_string()],
                    },
                    _ => return Err(Final::Error(50)),
                };
                return lines.iter().try_for_each(|line| self.tell(line));
            }
            3 => {
                let to = fields.get(2).filter(|to| !to.is_empty()).ok_or(Final::Error(50))?.clone();
                let after = number(7).unwrap_or(20).clamp(5, 30);
                reasons.iter().for_each(|one| drop(self.forwards.insert(*one, (true, to.clone(), after))));
            }
            4 => reasons.iter().for_each(|one| drop(self.forwards.remove(one))),
            0 | 1 => {
                for one in reasons {
                    match self.forwards.get_mut(one) {
                        Some(rule) => rule.0 = mode == 1,
                        None if mode == 1 => return Err(Final::Error(3)),
                        None => {}
                    }
                }
            }
            _ => return Err(Final::Error(50)),
        }
        for one in reasons {
            let rule = self.forwards.get(one).filter(|rule| rule.0);
            let (to, after_s) = rule.map_or((None, 0), |(_, to, after)| (Some(to.clone()), *after));
            self.out.push_back(Effect::Act(Act::Forward { reason: *one, to, after_s }));
        }
        Ok(())
    }
}
