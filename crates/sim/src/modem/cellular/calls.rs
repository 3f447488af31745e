//! The calls of a GSM modem: what `+CLCC` lists, and what `+CHLD` does to them.

use super::Cellular;
use super::command::Final;
use super::persona::{EarlyRelease, Moment};
use super::service::Sim;
use crate::modem::{Act, CallRef, Effect, Hold, Identity, Signal};
use tapi::Time;

/// `<stat>` of `+CLCC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stat {
    Active = 0,
    Held = 1,
    Dialling = 2,
    Alerting = 3,
    Incoming = 4,
    Waiting = 5,
}

/// `<dir>` of `+CLCC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Out = 0,
    In = 1,
}

/// A call.
#[derive(Clone, Debug)]
pub(super) struct Leg {
    pub(super) index: u32,
    pub(super) call: CallRef,
    pub(super) way: Way,
    pub(super) stat: Stat,
    pub(super) party: Identity,
    pub(super) multiparty: bool,
    /// When it was answered.
    pub(super) since: Option<Time>,
}

impl Leg {
    /// Number, type of number, validity of the identity (`+CLIP`).
    pub(super) fn identity(&self) -> (&str, u32, u32) {
        match &self.party {
            Identity::Known { number, .. } => (number, if number.starts_with('+') { 145 } else { 129 }, 0),
            Identity::Private => ("", 128, 1),
            Identity::OutOfArea => ("", 128, 2),
        }
    }

    pub(super) fn listed(&self) -> String {
        let (number, kind, _) = self.identity();
        let (way, stat) = (self.way as u32, self.stat as u32);
        let party = if number.is_empty() { String::new() } else { format!(",\"{number}\",{kind}") };
        format!("+CLCC: {},{way},{stat},0,{}{party}", self.index, u32::from(self.multiparty))
    }
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls {
    pub(super) legs: Vec<Leg>,
    made: u32,
    /// The dial whose result waits for the answer (`+COLP=1`).
    pub(super) awaited: Option<CallRef>,
    /// Cause of the last call that ended.
    pub(super) cause: u8,
}

impl Calls {
    pub(super) fn with(&self, stats: &[Stat]) -> Vec<CallRef> {
        self.legs.iter().filter(|leg| stats.contains(&leg.stat)).map(|leg| leg.call).collect()
    }

    pub(super) fn incoming(&self) -> Option<&Leg> {
        self.legs.iter().find(|leg| leg.stat == Stat::Incoming)
    }

    pub(super) fn has_audio(&self) -> bool {
        self.legs.iter().any(|leg| matches!(leg.stat, Stat::Active | Stat::Held | Stat::Alerting))
    }

    fn leg(&mut self, call: CallRef) -> Option<&mut Leg> {
        self.legs.iter_mut().find(|leg| leg.call == call)
    }

    fn by_index(&self, index: u32) -> Option<CallRef> {
        self.legs.iter().find(|leg| leg.index == index).map(|leg| leg.call)
    }

    fn add(&mut self, call: CallRef, way: Way, stat: Stat, party: Identity) {
        let free = (1..8).find(|index| self.legs.iter().all(|leg| leg.index != *index)).unwrap_or(7);
        self.legs.push(Leg { index: free, call, way, stat, party, multiparty: false, since: None });
        self.legs.sort_by_key(|leg| leg.index);
    }
}

impl Cellular {
    /// Tells of a call that is in the list.
    fn news_of(&mut self, now: Time, call: CallRef, moment: Moment) {
        if let Some(leg) = self.calls.leg(call).cloned() {
            self.news(now, &leg, moment);
        }
    }

    fn act(&mut self, act: Act) {
        self.out.push_back(Effect::Act(act));
    }

    /// `ATD`: the result comes at once, or with `+COLP=1` at the answer.
    pub(super) fn make_call(&mut self, now: Time, to: &str, withheld: bool) -> Result<Option<Final>, Final> {
        if self.calls.legs.iter().any(|leg| !matches!(leg.stat, Stat::Active | Stat::Held)) {
            return Err(Final::Error(3));
        }
        let (active, held) = (self.calls.with(&[Stat::Active]), self.calls.with(&[Stat::Held]));
        if !active.is_empty() && !held.is_empty() {
            return Err(Final::Error(3));
        }
        active.into_iter().for_each(|call| self.hold(now, call, Hold::Held));
        self.calls.made += 1;
        let call = CallRef::of_device(self.calls.made);
        let party = Identity::Known { number: to.to_string(), name: None };
        self.calls.add(call, Way::Out, Stat::Dialling, party);
        self.act(Act::Setup { call, to: to.to_string(), withheld });
        self.news_of(now + self.persona.latency * 2, call, Moment::Dialling);
        if self.settings.connected_identity == 1 || self.persona.dial_result.is_some() {
            self.calls.awaited = Some(call);
            return Ok(None);
        }
        Ok(Some(Final::Ok))
    }

    fn hold(&mut self, now: Time, call: CallRef, hold: Hold) {
        let stat = if hold == Hold::Held { Stat::Held } else { Stat::Active };
        if let Some(leg) = self.calls.leg(call) {
            leg.stat = stat;
            self.act(Act::Hold { call, hold });
            self.news_of(now, call, if hold == Hold::Held { Moment::Held } else { Moment::Active });
        }
    }

    pub(super) fn release(&mut self, now: Time, call: CallRef, cause: u8) {
        let leg = self.calls.leg(call).cloned();
        self.calls.legs.retain(|leg| leg.call != call);
        self.calls.cause = cause;
        self.calls.awaited = self.calls.awaited.filter(|awaited| *awaited != call);
        if self.calls.incoming().is_none() {
            self.ring = None;
        }
        if self.calls.legs.is_empty() {
            self.audio_over();
        }
        self.act(Act::Release { call, cause });
        if let Some(leg) = leg {
            self.news(now + self.persona.latency * 2, &leg, Moment::Ended);
        }
    }

    pub(super) fn accept(&mut self, now: Time, call: CallRef) {
        if let Some(leg) = self.calls.leg(call) {
            leg.stat = Stat::Active;
            leg.since = Some(now);
            self.ring = None;
            self.act(Act::Answer(call));
            self.news_of(now + self.persona.latency * 2, call, Moment::Active);
        }
    }

    /// `+CHLD` (27.007 7.13, 22.030 6.5.5).
    pub(super) fn supplementary(&mut self, now: Time, value: &str) -> Result<(), Final> {
        let (verb, index) = value.split_at_checked(1).ok_or(Final::Error(4))?;
        let chosen = match index {
            "" => None,
            index => {
                let call = index.parse().ok().and_then(|index| self.calls.by_index(index));
                Some(call.ok_or(Final::Error(3))?)
            }
        };
        let (active, held) = (self.calls.with(&[Stat::Active]), self.calls.with(&[Stat::Held]));
        let waiting = self.calls.with(&[Stat::Waiting, Stat::Incoming]);
        match (verb, chosen) {
            ("0", None) if !waiting.is_empty() => waiting.into_iter().for_each(|call| self.release(now, call, 17)),
            ("0", None) if !held.is_empty() => held.into_iter().for_each(|call| self.release(now, call, 16)),
            ("1", None) if !(active.is_empty() && waiting.is_empty() && held.is_empty()) => {
                active.into_iter().for_each(|call| self.release(now, call, 16));
                self.take_next(now, &waiting, &held);
            }
            ("1", Some(call)) if self.dies_of_release(call) => {
                self.wedged = true;
                return Err(Final::Silent);
            }
            ("1", Some(call)) => self.release(now, call, 16),
            ("2", None) if held.is_empty() || waiting.is_empty() => {
                if active.is_empty() && held.is_empty() && waiting.is_empty() {
                    return Err(Final::Error(3));
                }
                active.into_iter().for_each(|call| self.hold(now, call, Hold::Held));
                self.take_next(now, &waiting, &held);
            }
            ("2", Some(call)) if active.contains(&call) => {
                active.into_iter().filter(|other| *other != call).for_each(|other| self.hold(now, other, Hold::Held));
            }
            ("3", None) if !active.is_empty() && !held.is_empty() => {
                held.into_iter().for_each(|call| self.hold(now, call, Hold::Active));
                self.calls.legs.iter_mut().for_each(|leg| leg.multiparty |= leg.stat == Stat::Active);
            }
            ("4", None) => match (active.as_slice(), held.as_slice()) {
                ([active], [held]) => self.act(Act::Transfer(*active, *held)),
                _ => return Err(Final::Error(3)),
            },
            _ => return Err(Final::Error(3)),
        }
        Ok(())
    }

    fn dies_of_release(&self, call: CallRef) -> bool {
        self.persona.early_release == EarlyRelease::Wedges && self.calls.with(&[Stat::Dialling]).contains(&call)
    }

    /// `<cause>[,<call>]` of a command of its own.
    pub(super) fn release_with(&mut self, now: Time, value: &str) -> Result<(), Final> {
        let mut numbers = value.split(',').map(|field| field.trim().parse::<u32>());
        let cause = numbers.next().and_then(|n| u8::try_from(n.ok()?).ok()).ok_or(Final::Error(50))?;
        let chosen = match numbers.next() {
            None => self.calls.legs.iter().map(|leg| leg.call).collect(),
            Some(index) => {
                vec![index.ok().and_then(|index| self.calls.by_index(index)).ok_or(Final::Error(3))?]
            }
        };
        chosen.into_iter().for_each(|call| self.release(now, call, cause));
        Ok(())
    }

    fn take_next(&mut self, now: Time, waiting: &[CallRef], held: &[CallRef]) {
        match (waiting.first(), held) {
            (Some(call), _) => self.accept(now, *call),
            (None, held) => held.iter().for_each(|call| self.hold(now, *call, Hold::Active)),
        }
    }

    /// The network said something.
    pub(super) fn network(&mut self, now: Time, signal: Signal) {
        match signal {
            Signal::Alerting(call) => {
                if let Some(leg) = self.calls.leg(call) {
                    leg.stat = Stat::Alerting;
                }
                self.news_of(now, call, Moment::Alerting);
            }
            Signal::Registration(state) => {
                self.registration = state;
                self.registers(now);
            }
            Signal::Level(level) => self.level = level,
            Signal::SimRemoved => {
                self.sim = Sim::Absent;
                self.unsolicited(now, "+CPIN: NOT INSERTED");
                self.registers(now);
            }
            Signal::SimInserted => {
                self.sim = Sim::new(self.persona.sim);
                self.unsolicited(now, &format!("+CPIN: {}", self.persona.sim));
                self.registers(now);
            }
            Signal::Message { from, text, part, date } => self.received(now, &from, &text, part, date),
            Signal::Connected(call) => self.connected(now, call),
            Signal::Incoming { call, from } => self.offered(now, call, from),
            Signal::Released { call, cause } => self.released(now, call, cause),
            Signal::RemoteHold { call, hold } if self.settings.services_told == 1 && self.calls.leg(call).is_some() => {
                let code = if hold == Hold::Held { 2 } else { 3 };
                self.unsolicited(now, &format!("+CSSU: {code}"));
            }
            _ => {}
        }
    }

    fn offered(&mut self, now: Time, call: CallRef, from: Identity) {
        let first = self.calls.legs.is_empty();
        self.calls.add(call, Way::In, if first { Stat::Incoming } else { Stat::Waiting }, from);
        self.news_of(now, call, Moment::Offered);
        if first {
            self.ring(now);
        } else if self.settings.waiting_told == 1
            && let Some(leg) = self.calls.leg(call)
        {
            let (number, kind, validity) = leg.identity();
            let text = format!("+CCWA: \"{number}\",{kind},1,,{validity}");
            self.unsolicited(now, &text);
        }
    }

    fn connected(&mut self, now: Time, call: CallRef) {
        let Some(leg) = self.calls.leg(call) else { return };
        leg.stat = Stat::Active;
        leg.since = Some(now);
        let (number, kind, _) = leg.identity();
        let text = format!("+COLP: \"{number}\",{kind}");
        if self.calls.awaited == Some(call) {
            self.calls.awaited = None;
            if self.settings.connected_identity == 1 {
                let _ = self.tell(&text);
            }
            self.finish(now, Final::Answered);
        }
        self.news_of(now + self.persona.latency * 2, call, Moment::Active);
    }

    fn released(&mut self, now: Time, call: CallRef, cause: u8) {
        let Some(leg) = self.calls.leg(call) else { return };
        let over = leg.clone();
        let (setting_up, way) = (matches!(leg.stat, Stat::Dialling | Stat::Alerting), leg.way);
        self.calls.legs.retain(|leg| leg.call != call);
        if self.calls.legs.iter().filter(|leg| leg.multiparty).count() < 2 {
            self.calls.legs.iter_mut().for_each(|leg| leg.multiparty = false);
        }
        self.calls.cause = cause;
        if self.calls.incoming().is_none() {
            self.ring = None;
        }
        if self.calls.legs.is_empty() {
            self.audio_over();
        }
        let text = match cause {
            17 if setting_up && way == Way::Out => "BUSY",
            19 if setting_up && way == Way::Out => "NO ANSWER",
            _ => "NO CARRIER",
        };
        if self.calls.awaited == Some(call) {
            self.calls.awaited = None;
        }
        self.news(now, &over, Moment::Ended);
        self.unsolicited(now, text);
        self.wait_on(now);
    }

    /// A waiting call rings once nothing else is left.
    fn wait_on(&mut self, now: Time) {
        if let [leg] = self.calls.legs.as_mut_slice()
            && leg.stat == Stat::Waiting
        {
            leg.stat = Stat::Incoming;
            self.ring(now);
        }
    }
}
