//! Who is connected to whom: numbers, ringing, answering, clearing.

use super::call::{Call, Party, State};
use super::country::IdentitySent;
use super::identity::tell_by_tones;
use super::meter::DtmfDetector;
use super::plant::{ClearStep, Exchange, Loop, Owner, RingStep, Waiting};
use super::robot::Answering;
use super::tone::Cadence;
use super::{Clearing, Event};
use crate::modem::{Act, CallRef, Hold, Signal};
use std::time::Duration;
use tapi::Time;

/// From the last digit to the first ring, on a two-wire line.
const ROUTING: Duration = Duration::from_millis(200);
/// From the setup to the alert of a cellular call.
const CELLULAR_ROUTING: Duration = Duration::from_millis(800);
/// How long a call may ring (cause 19).
const NO_ANSWER: Duration = Duration::from_secs(180);
/// Between two digits of a number that could be complete, or is none (ITU-T Q.543: 10 to 20 s; shortened).
const INTERDIGIT: Duration = Duration::from_secs(5);
const IDENTITY_AFTER: Duration = Duration::from_millis(500);
const BREAK_AFTER: Duration = Duration::from_millis(200);
const BREAK: Duration = Duration::from_millis(500);

fn millis(millis: u32) -> Duration {
    Duration::from_millis(millis.into())
}

/// Digits of a number: what separates them, and a leading `+`, is left out.
pub(super) fn digits(number: &str) -> String {
    number.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '*' | '#')).collect()
}

impl Exchange {
    /// A modem did something to its line.
    pub(super) fn act(&mut self, now: Time, line: usize, act: Act) {
        match act {
            Act::OffHook => self.off_hook(now, line),
            Act::OnHook => self.on_hook(now, line),
            Act::Flash => self.flash(now, line),
            Act::Pulse(digit) => self.digit(now, line, digit),
            Act::Setup { call, to, withheld } => self.place(now, line, Some(call), &to, withheld),
            Act::CallWaiting(on) => {
                if let Owner::Cellular { waiting, .. } = &mut self.lines[line].owner {
                    *waiting = if on { Waiting::On } else { Waiting::Off };
                }
            }
            Act::Message { to, text, part } => self.send_message(now, line, &to, &text, part),
            Act::Deflect { call, to } => self.deflect(now, line, call, &to),
            Act::Forward { reason, to, after_s } => self.forward(line, reason, to, after_s),
            Act::Restart => self.restart_owner(now, line),
            Act::Transfer(one, other) => self.transfer(now, line, one, other),
            act => self.act_on_call(now, line, act),
        }
    }

    pub(super) fn wires(&mut self, line: usize) -> Option<&mut Loop> {
        match &mut self.lines[line].owner {
            Owner::TwoWire { wires, .. } => Some(wires),
            _ => None,
        }
    }

    pub(super) fn set_wires(&mut self, line: usize, state: Loop) {
        if let Some(wires) = self.wires(line) {
            *wires = state;
        }
    }

    pub(super) fn dial_tone(&self) -> Loop {
        let tone = self.config.dial_tone.then(|| Cadence::new(self.config.country.dial));
        Loop::Dialling { tone, digits: String::new(), detector: DtmfDetector::default(), due: None, withheld: false }
    }

    fn off_hook(&mut self, now: Time, line: usize) {
        let ringing = match self.wires(line) {
            Some(Loop::OnHook) => None,
            Some(Loop::Ringing { call, .. }) => Some(*call),
            _ => return,
        };
        self.tell(now, Event::OffHook { subscriber: self.lines[line].number.clone() });
        match ringing {
            Some(call) => {
                self.lines[line].beep.clear();
                self.answer(now, call);
            }
            None => {
                let state = self.dial_tone();
                self.set_wires(line, state);
            }
        }
    }

    fn on_hook(&mut self, now: Time, line: usize) {
        if self.leave(now, line) {
            return self.ring_back(now, line);
        }
        match self.wires(line) {
            None | Some(Loop::OnHook | Loop::Ringing { .. }) => {}
            Some(Loop::InCall(call)) => {
                let call = *call;
                self.end(now, call, line, 16);
            }
            Some(wires) => {
                *wires = Loop::OnHook;
                self.tell(now, Event::HungUp { subscriber: self.lines[line].number.clone() });
            }
        }
        self.ring_back(now, line);
    }

    /// A line's modem is gone: whatever it was in is over.
    pub(super) fn abandon(&mut self, now: Time, line: usize) {
        if let Some(aside) = self.lines[line].aside.take() {
            self.end_aside(now, aside, line);
        }
        self.on_hook(now, line);
        if let Owner::Cellular { .. } = self.lines[line].owner {
            while let Some(call) = self.call_of(line) {
                self.end(now, call, line, 27);
            }
        }
    }

    pub(super) fn digit(&mut self, now: Time, line: usize, digit: char) {
        if matches!(self.wires(line), Some(Loop::Dialling { .. })) && self.recall_digit(now, line, digit) {
            return;
        }
        let numbers: Vec<String> = self.lines.iter().map(|line| line.number.clone()).collect();
        let fresh = self.dial_tone();
        let Some(Loop::Dialling { tone, digits, due, withheld, .. }) = self.wires(line) else { return };
        *tone = None;
        digits.push(digit);
        // The caller's number is withheld in this call, or given after all: dial tone again.
        if let "*67" | "*82" = digits.as_str() {
            *withheld = digits == "*67";
            digits.clear();
            *due = None;
            if let Loop::Dialling { tone: again, .. } = fresh {
                *tone = again;
            }
            return;
        }
        let withheld = *withheld;
        let begun = numbers.iter().filter(|number| number.starts_with(digits.as_str())).count();
        let complete = begun == 1 && numbers.contains(digits);
        if complete || digits.len() > 32 {
            let to = std::mem::take(digits);
            self.place(now, line, None, &to, withheld);
        } else {
            *due = Some(now + INTERDIGIT);
        }
    }

    /// A call to a number begins.
    pub(super) fn place(&mut self, now: Time, line: usize, name: Option<CallRef>, to: &str, withheld: bool) {
        let id = self.next_call;
        self.next_call = (self.next_call + 1) & 0x7fff_ffff;
        let called = self.line_of(&digits(to)).map_or(Duration::ZERO, |called| self.lines[called].fallback);
        let fallback = self.lines[line].fallback + called;
        let due = now + fallback + if name.is_some() { CELLULAR_ROUTING } else { ROUTING };
        let state = State::Routing { due, to: digits(to), withheld };
        self.calls
            .insert(id, Call::new(Party::new(line, name.unwrap_or(CallRef(id))), state, self.config.country.ringback));
        self.set_wires(line, Loop::InCall(id));
        let from = self.lines[line].number.clone();
        self.tell(now, Event::Called { from, to: digits(to) });
        if let Some(name) = name {
            self.signal(now, line, Signal::Proceeding(name));
        }
    }

    /// What is due at lines and calls.
    pub(super) fn switch(&mut self, now: Time) {
        let due = |call: &Call| match &call.state {
            State::Routing { due, .. } | State::Alerting { due } => *due <= now,
            State::Talking => false,
        };
        let calls: Vec<u32> = self.calls.iter().filter(|(_, call)| due(call)).map(|(id, _)| *id).collect();
        for id in calls {
            match self.calls.get(&id).map(|call| call.state.clone()) {
                Some(State::Routing { to, withheld, .. }) => self.route(now, id, &to, withheld),
                Some(State::Alerting { .. }) => self.give_up(now, id),
                _ => {}
            }
        }
        for line in 0..self.lines.len() {
            match &self.lines[line].owner {
                Owner::TwoWire { wires: Loop::Ringing { due, .. }, .. } if *due <= now => self.ring(now, line),
                Owner::TwoWire { wires: Loop::Clearing { due, .. }, .. } if *due <= now => self.clear(now, line),
                Owner::TwoWire { wires: Loop::Dialling { due: Some(due), .. }, .. } if *due <= now => {
                    self.dialled(now, line);
                }
                Owner::Robot { due: Some(due), .. } if *due <= now => self.robot_due(now, line),
                _ => {}
            }
        }
    }

    fn dialled(&mut self, now: Time, line: usize) {
        if let Some(Loop::Dialling { digits, withheld, .. }) = self.wires(line) {
            let (to, withheld) = (std::mem::take(digits), *withheld);
            self.place(now, line, None, &to, withheld);
        }
    }

    fn route(&mut self, now: Time, id: u32, to: &str, withheld: bool) {
        let Some(caller) = self.calls.get(&id).map(|call| call.caller.line) else { return };
        let called = match self.line_of(to) {
            Ok(line) if line != caller => line,
            Ok(_) => return self.fail(now, id, to, 17),
            Err(_) => return self.fail(now, id, to, 1),
        };
        let refused = self.refuses(called);
        if let Some(to) = self.forwarded(id, called, refused) {
            return self.divert(now, id, called, &to);
        }
        if let Some(cause) = refused {
            return self.fail(now, id, to, cause);
        }
        let limit =
            self.lines[called].forwards.get(&2).map_or(NO_ANSWER, |(_, after)| Duration::from_secs((*after).into()));
        let Some(call) = self.calls.get_mut(&id) else { return };
        let name = call.caller.call;
        call.state = State::Alerting { due: now + limit };
        call.called = Some(Party::new(called, CallRef(id)));
        let from = self.lines[caller].number.clone();
        self.tell(now, Event::Rings { subscriber: self.lines[called].number.clone(), from });
        self.signal(now, caller, Signal::Alerting(name));
        self.alert(now, id, called, withheld);
    }

    /// Why a line cannot be called now, if it cannot.
    fn refuses(&self, line: usize) -> Option<u8> {
        let calls = self.calls.values().filter(|call| call.has(line)).count();
        match &self.lines[line].owner {
            Owner::TwoWire { wires: Loop::OnHook, .. } => None,
            Owner::TwoWire { wires: Loop::InCall(_), .. } if self.lines[line].waits && calls == 1 => None,
            Owner::TwoWire { .. } => Some(17),
            Owner::Cellular { modem, .. } if !self.is_plugged(*modem) => Some(20),
            Owner::Cellular { .. } if calls == 0 => None,
            Owner::Cellular { waiting: Waiting::On, .. } if calls == 1 => None,
            Owner::Cellular { .. } => Some(17),
            Owner::Robot { robot, .. } if robot.behaviour.answering == Answering::Busy => Some(17),
            Owner::Robot { .. } => (calls > 0).then_some(17),
        }
    }

    pub(super) fn alert(&mut self, now: Time, id: u32, called: usize, withheld: bool) {
        let Some(caller) = self.calls.get(&id).map(|call| call.caller.line) else { return };
        let from = self.identity(caller, withheld);
        let country = self.config.country;
        let date = self.date(now);
        if let Some(call) = self.calls.get_mut(&id) {
            call.withheld = withheld;
        }
        match &mut self.lines[called].owner {
            Owner::TwoWire { wires: Loop::InCall(_), .. } => self.knock(now, id, called),
            Owner::TwoWire { wires, .. } => match country.identity {
                IdentitySent::AfterFirstRing | IdentitySent::Never => {
                    let due = now + millis(country.ringing[0]);
                    *wires = Loop::Ringing { call: id, due, step: RingStep::First };
                    self.signal(now, called, Signal::RingBegins);
                }
                IdentitySent::BeforeRing => {
                    *wires = Loop::Ringing { call: id, due: now + IDENTITY_AFTER, step: RingStep::Before };
                    let message = country.message;
                    self.signal(now, called, Signal::CallerId { message, date, identity: from });
                }
                IdentitySent::AsTones => {
                    let takes = tell_by_tones(&mut self.lines[called].beep, &from);
                    let due = now + takes + IDENTITY_AFTER;
                    self.set_wires(called, Loop::Ringing { call: id, due, step: RingStep::Before });
                }
            },
            Owner::Cellular { .. } => self.signal(now, called, Signal::Incoming { call: CallRef(id), from }),
            Owner::Robot { robot, due } => {
                *due = match robot.behaviour.answering {
                    Answering::After(wait) | Answering::Rejects(wait) => Some(now + wait),
                    Answering::Never | Answering::Busy => None,
                };
            }
        }
    }

    /// The next step of a ringing line.
    fn ring(&mut self, now: Time, line: usize) {
        let country = self.config.country;
        let cadence = country.ringing;
        let Some(Loop::Ringing { call, due, step }) = self.wires(line) else { return };
        let id = *call;
        let signal = match *step {
            RingStep::Before => {
                (*step, *due) = (RingStep::First, now + millis(cadence[0]));
                Signal::RingBegins
            }
            RingStep::First if country.identity == IdentitySent::AfterFirstRing => {
                (*step, *due) = (RingStep::Identity, now + IDENTITY_AFTER.min(millis(cadence[1]) / 2));
                Signal::RingEnds
            }
            RingStep::First => {
                (*step, *due) = (RingStep::Pause(1), now + millis(cadence[1]));
                Signal::RingEnds
            }
            RingStep::Identity => {
                let sent = IDENTITY_AFTER.min(millis(cadence[1]) / 2);
                (*step, *due) = (RingStep::Pause(1), now + (millis(cadence[1]) - sent));
                let Some((caller, withheld)) = self.calls.get(&id).map(|call| (call.caller.line, call.withheld)) else {
                    return;
                };
                let (date, identity) = (self.date(now), self.identity(caller, withheld));
                Signal::CallerId { message: country.message, date, identity }
            }
            RingStep::Pause(at) => {
                let next = (at + 1) % cadence.len();
                (*step, *due) = (RingStep::Burst(next), now + millis(cadence[next]));
                Signal::RingBegins
            }
            RingStep::Burst(at) => {
                (*step, *due) = (RingStep::Pause(at + 1), now + millis(cadence[at + 1]));
                Signal::RingEnds
            }
        };
        self.signal(now, line, signal);
    }

    pub(super) fn answer(&mut self, now: Time, id: u32) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(called) = call.called.as_ref().map(|party| (party.line, party.call)) else { return };
        if !matches!(call.state, State::Alerting { .. }) {
            return;
        }
        call.state = State::Talking;
        let caller = (call.caller.line, call.caller.call);
        self.set_wires(called.0, Loop::InCall(id));
        for line in [caller.0, called.0] {
            if let Owner::Robot { robot, due } = &mut self.lines[line].owner {
                robot.begin();
                *due = robot.behaviour.hang_up.map(|after| now + after);
            }
        }
        let (subscriber, from) = (self.lines[called.0].number.clone(), self.lines[caller.0].number.clone());
        self.tell(now, Event::Answered { subscriber, from });
        self.signal(now, caller.0, Signal::Connected(caller.1));
        self.signal(now, called.0, Signal::Connected(called.1));
    }

    fn robot_due(&mut self, now: Time, line: usize) {
        let Owner::Robot { robot, due } = &mut self.lines[line].owner else { return };
        *due = None;
        let rejects = matches!(robot.behaviour.answering, Answering::Rejects(_));
        let Some(id) = self.call_of(line) else { return };
        match self.calls.get(&id).map(|call| &call.state) {
            Some(State::Talking) => self.end(now, id, line, 16),
            Some(State::Alerting { .. }) if rejects => self.end(now, id, line, 21),
            Some(State::Alerting { .. }) => self.answer(now, id),
            _ => {}
        }
    }

    /// It rang too long.
    fn give_up(&mut self, now: Time, id: u32) {
        let called = self.calls.get(&id).and_then(|call| call.called.as_ref()).map(|party| (party.line, party.call));
        let Some((line, name)) = called else { return };
        if !self.drop_aside(id, line) {
            self.release(now, line, name, 102);
        }
        let far = self.calls.get(&id).is_some_and(|call| call.diverted < 5);
        if let Some((to, _)) = self.lines[line].forwards.get(&2).filter(|_| far).cloned() {
            return self.divert(now, id, line, &to);
        }
        self.fail(now, id, &self.lines[line].number.clone(), 19);
    }

    /// A call did not come about: its caller is told.
    pub(super) fn fail(&mut self, now: Time, id: u32, to: &str, cause: u8) {
        let Some(call) = self.calls.remove(&id) else { return };
        let line = call.caller.line;
        let from = self.lines[line].number.clone();
        self.tell(now, Event::Failed { from, to: to.to_string(), cause });
        let country = self.config.country;
        let tone = if cause == 17 { country.busy } else { country.reorder };
        self.set_wires(line, Loop::Tone(Cadence::new(tone)));
        self.signal(now, line, Signal::Released { call: call.caller.call, cause });
    }

    /// A party ends its call.
    pub(super) fn end(&mut self, now: Time, id: u32, by: usize, cause: u8) {
        let Some(call) = self.calls.get(&id) else { return };
        let other = call.other(by).map(|party| (party.line, party.call));
        let (state, name) = (call.state.clone(), call.caller.call);
        let by_called = call.caller.line != by;
        let own = if by_called { CallRef(id) } else { name };
        if by_called && state != State::Talking {
            self.signal(now, by, Signal::Released { call: own, cause });
            return self.fail(now, id, &self.lines[by].number.clone(), cause);
        }
        self.calls.remove(&id);
        self.tell(now, Event::HungUp { subscriber: self.lines[by].number.clone() });
        self.set_wires(by, Loop::OnHook);
        if let Owner::Robot { due, .. } = &mut self.lines[by].owner {
            *due = None;
        }
        self.signal(now, by, Signal::Released { call: own, cause });
        if let Some((line, name)) = other
            && !self.drop_aside(id, line)
        {
            self.release(now, line, name, cause);
        }
    }

    /// The other end of a party's call is gone.
    pub(super) fn release(&mut self, now: Time, line: usize, name: CallRef, cause: u8) {
        if self.goes_on_with_other(line) {
            return;
        }
        let (clearing, busy) = (self.config.clearing, self.config.country.busy);
        match &mut self.lines[line].owner {
            Owner::TwoWire { wires, .. } => match wires {
                Loop::Ringing { step, .. } => {
                    let burst = matches!(step, RingStep::First | RingStep::Burst(_));
                    *wires = Loop::OnHook;
                    self.lines[line].beep.clear();
                    if burst {
                        self.signal(now, line, Signal::RingEnds);
                    }
                }
                _ if clearing == Clearing::BusyTone => *wires = Loop::Tone(Cadence::new(busy)),
                _ => *wires = Loop::Clearing { due: now + BREAK_AFTER, step: ClearStep::Before },
            },
            Owner::Cellular { .. } => self.signal(now, line, Signal::Released { call: name, cause }),
            Owner::Robot { due, .. } => *due = None,
        }
    }

    fn clear(&mut self, now: Time, line: usize) {
        let Some(Loop::Clearing { due, step }) = self.wires(line) else { return };
        match step {
            ClearStep::Before => {
                (*step, *due) = (ClearStep::Broken, now + BREAK);
                self.signal(now, line, Signal::LoopBreak);
            }
            ClearStep::Broken => {
                let state = self.dial_tone();
                self.set_wires(line, state);
            }
        }
    }

    /// What a cellular modem does to one of its calls.
    fn act_on_call(&mut self, now: Time, line: usize, act: Act) {
        let name = match &act {
            Act::Answer(call) | Act::Release { call, .. } | Act::Hold { call, .. } | Act::Digit { call, .. } => *call,
            _ => return,
        };
        let Some(id) = self.call_named(line, name) else { return };
        match act {
            Act::Answer(_) => self.answer(now, id),
            Act::Release { cause, .. } => self.end(now, id, line, cause),
            Act::Hold { hold, .. } => self.hold(now, id, line, hold),
            Act::Digit { digit, duration_ms, .. } => {
                if let Some(party) = self.calls.get_mut(&id).and_then(|call| call.party(line)) {
                    party.digits.digit(digit, duration_ms, 80);
                }
            }
            _ => {}
        }
    }

    fn hold(&mut self, now: Time, id: u32, line: usize, hold: Hold) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if let Some(party) = call.party(line) {
            party.hold = hold;
        }
        if let Some((other, name)) = call.other(line).map(|other| (other.line, other.call)) {
            self.signal(now, other, Signal::RemoteHold { call: name, hold });
        }
    }
}
