//! Services of the exchange: a second call on two wires, transfer, forwarding, text messages, the radio network.

use super::call::{Call, Party, State};
use super::plant::{Exchange, Loop, Owner, Plug, Waiting};
use super::recall::{Recall, Recalled};
use super::switch::digits;
use super::tone::Segment;
use super::{Event, ModemId, OrderError};
use crate::modem::cellular::Part;
use crate::modem::{CallRef, Hold, Signal};
use std::time::Duration;
use tapi::Time;

/// A call may be sent elsewhere so often.
const DIVERSIONS: u32 = 5;
/// From the order to start anew until the modem is gone from its bus.
const RESTART_AFTER: Duration = Duration::from_millis(500);
/// Characters of a part of a long message: what fits in GSM's alphabet, and otherwise.
const PART: (usize, usize) = (150, 60);

impl Exchange {
    /// Lets a second call in on a line in use, as call waiting. On two wires its owner hears it knock, and flashes to answer.
    ///
    /// # Errors
    /// No such number.
    pub fn waiting(&mut self, number: &str, on: bool) -> Result<(), OrderError> {
        let line = self.line_of(number)?;
        self.lines[line].waits = on;
        if let Owner::Cellular { waiting, .. } = &mut self.lines[line].owner {
            *waiting = if on { Waiting::On } else { Waiting::Off };
        }
        Ok(())
    }

    /// Two-wire lines get dial tone no longer, or again.
    pub fn dead(&mut self, dead: bool) {
        self.config.dial_tone = !dead;
    }

    /// How two-wire lines are cleared from now on.
    pub fn clearing(&mut self, clearing: super::Clearing) {
        self.config.clearing = clearing;
    }

    /// A text message arrives at a cellular modem's number, in parts when it is long.
    ///
    /// # Errors
    /// No such number.
    pub fn message(&mut self, now: Time, from: &str, to: &str, text: &str) -> Result<(), OrderError> {
        self.timeout(now);
        let line = self.line_of(to)?;
        let letters: Vec<char> = text.chars().collect();
        let size = if text.is_ascii() { PART.0 } else { PART.1 };
        let pieces: Vec<String> = letters.chunks(size).map(|piece| piece.iter().collect()).collect();
        let of = u8::try_from(pieces.len()).unwrap_or(u8::MAX);
        for (piece, at) in pieces.into_iter().zip(1..=of) {
            let part = (of > 1).then_some((1, of, at));
            let signal = Signal::Message { from: from.to_string(), text: piece, part, date: self.date(now) };
            self.signal(now, line, signal);
        }
        self.settle(now);
        Ok(())
    }

    /// The network's relation to a cellular modem changes (`<stat>` of `+CREG`: 0 none, 1 home, 2 searching, 3 denied,
    /// 5 roaming). Without service its calls are lost.
    ///
    /// # Errors
    /// No such number.
    pub fn registration(&mut self, now: Time, number: &str, state: u8) -> Result<(), OrderError> {
        self.timeout(now);
        let line = self.line_of(number)?;
        self.network(now, line, state);
        self.settle(now);
        Ok(())
    }

    pub(super) fn network(&mut self, now: Time, line: usize, state: u8) {
        self.signal(now, line, Signal::Registration(state));
        if !matches!(state, 1 | 5) {
            self.lose_calls(now, line);
        }
    }

    /// What a network loses, or a card; a line on two wires has neither.
    fn lose_calls(&mut self, now: Time, line: usize) {
        if !matches!(self.lines[line].owner, Owner::Cellular { .. }) {
            return;
        }
        while let Some(call) = self.call_of(line) {
            self.end(now, call, line, 27);
        }
    }

    /// Calls of a cellular modem take so much longer, either way: it changes over to another network for each (circuit
    /// switched fallback, 3GPP TS 23.272).
    ///
    /// # Errors
    /// No such number.
    pub fn fallback(&mut self, number: &str, takes: Duration) -> Result<(), OrderError> {
        let line = self.line_of(number)?;
        self.lines[line].fallback = takes;
        Ok(())
    }

    /// Calls from now on sound and ring as in this country.
    pub fn country(&mut self, country: super::Country) {
        self.config.country = country;
    }

    /// How strong a cellular modem hears the network (`<rssi>` of `+CSQ`).
    ///
    /// # Errors
    /// No such number.
    pub fn level(&mut self, now: Time, number: &str, rssi: u8) -> Result<(), OrderError> {
        self.timeout(now);
        let line = self.line_of(number)?;
        self.signal(now, line, Signal::Level(rssi));
        Ok(())
    }

    /// The SIM card is pulled out of a cellular modem.
    ///
    /// # Errors
    /// No such number.
    pub fn remove_sim(&mut self, now: Time, number: &str) -> Result<(), OrderError> {
        self.timeout(now);
        let line = self.line_of(number)?;
        self.take_sim(now, line);
        self.settle(now);
        Ok(())
    }

    pub(super) fn take_sim(&mut self, now: Time, line: usize) {
        self.lose_calls(now, line);
        self.signal(now, line, Signal::SimRemoved);
    }

    /// The SIM card is put back.
    ///
    /// # Errors
    /// No such number.
    pub fn insert_sim(&mut self, now: Time, number: &str) -> Result<(), OrderError> {
        self.timeout(now);
        let line = self.line_of(number)?;
        self.signal(now, line, Signal::SimInserted);
        self.settle(now);
        Ok(())
    }

    /// A modem starts anew by itself: it is gone from its bus for four seconds.
    pub fn restart(&mut self, now: Time, modem: ModemId) {
        self.timeout(now);
        if let Some(modem) = self.modems.get_mut(modem.0 as usize) {
            modem.power = Some((now, Plug::Out));
        }
        self.timeout(now);
    }

    pub(super) fn restart_owner(&mut self, now: Time, line: usize) {
        if let Owner::TwoWire { modem, .. } | Owner::Cellular { modem, .. } = &self.lines[line].owner {
            let modem = *modem;
            self.modems[modem].power = Some((now + RESTART_AFTER, Plug::Out));
        }
    }

    pub(super) fn send_message(&mut self, now: Time, line: usize, to: &str, text: &str, part: Part) {
        let from = self.lines[line].number.clone();
        let to = digits(to);
        self.tell(now, Event::Message { from: from.clone(), to: to.clone(), text: text.to_string() });
        if let Ok(other) = self.line_of(&to) {
            let date = self.date(now);
            self.signal(now, other, Signal::Message { from, text: text.to_string(), part, date });
        }
    }

    pub(super) fn forward(&mut self, line: usize, reason: u8, to: Option<String>, after_s: u32) {
        let rules = &mut self.lines[line].forwards;
        match to {
            Some(to) => drop(rules.insert(reason, (to, after_s))),
            None => drop(rules.remove(&reason)),
        }
    }

    /// Where a call to a line goes instead, given why it is refused.
    pub(super) fn forwarded(&self, call: u32, line: usize, refused: Option<u8>) -> Option<String> {
        let rules = &self.lines[line].forwards;
        let reason = match refused {
            _ if rules.contains_key(&0) => 0,
            Some(17) => 1,
            Some(20) => 3,
            _ => return None,
        };
        let far = self.calls.get(&call).is_some_and(|call| call.diverted < DIVERSIONS);
        rules.get(&reason).filter(|_| far).map(|(to, _)| to.clone())
    }

    /// A call is sent elsewhere by a line.
    pub(super) fn divert(&mut self, now: Time, id: u32, by: usize, to: &str) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.called = None;
        call.diverted += 1;
        let due = now + Duration::from_millis(200);
        call.state = State::Routing { due, to: digits(to), withheld: call.withheld };
        self.tell(now, Event::Diverted { subscriber: self.lines[by].number.clone(), to: digits(to) });
    }

    pub(super) fn deflect(&mut self, now: Time, line: usize, name: CallRef, to: &str) {
        let Some(id) = self.call_named(line, name) else { return };
        let rings = self.calls.get(&id).is_some_and(|call| {
            matches!(call.state, State::Alerting { .. }) && call.called.as_ref().is_some_and(|party| party.line == line)
        });
        if rings {
            self.signal(now, line, Signal::Released { call: name, cause: 16 });
            self.divert(now, id, line, to);
        }
    }

    pub(super) fn set_hold(&mut self, now: Time, id: u32, line: usize, hold: Hold) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if let Some(party) = call.party(line) {
            party.hold = hold;
        }
        if let Some((other, name)) = call.other(line).map(|other| (other.line, other.call)) {
            self.signal(now, other, Signal::RemoteHold { call: name, hold });
        }
    }

    /// A second call knocks at two wires in use.
    pub(super) fn knock(&mut self, now: Time, id: u32, line: usize) {
        self.lines[line].knocking = Some(id);
        self.lines[line].beep.push(Segment::new(440.0, 0.0, -130, 300));
        self.signal(now, line, Signal::Knock);
        self.tell_knocker(now, id, line);
    }

    /// Register recall: holds the call and gives dial tone, swaps, goes back, or answers the call that knocks.
    pub(super) fn flash(&mut self, now: Time, line: usize) {
        let (aside, knocking) = (self.lines[line].aside, self.lines[line].knocking);
        let current = match self.wires(line) {
            Some(Loop::InCall(id)) => Some(*id),
            Some(Loop::OnHook | Loop::Ringing { .. }) | None => return,
            Some(_) => None,
        };
        if self.begins_recall(line, current) {
            return;
        }
        let talks = current.filter(|id| self.calls.get(id).is_some_and(|call| matches!(call.state, State::Talking)));
        match (current, talks, aside) {
            (_, Some(id), None) if knocking.is_some() => {
                self.lines[line].knocking = None;
                self.lines[line].aside = Some(id);
                self.set_hold(now, id, line, Hold::Held);
                if let Some(second) = knocking {
                    self.answer(now, second);
                }
            }
            (_, Some(id), None) => {
                self.lines[line].aside = Some(id);
                self.set_hold(now, id, line, Hold::Held);
                let state = self.dial_tone();
                self.set_wires(line, state);
            }
            (_, Some(id), Some(other)) => {
                self.lines[line].aside = Some(id);
                self.set_hold(now, id, line, Hold::Held);
                self.set_hold(now, other, line, Hold::Active);
                self.set_wires(line, Loop::InCall(other));
            }
            (current, None, Some(other)) => {
                if let Some(id) = current {
                    self.end(now, id, line, 16);
                }
                self.lines[line].aside = None;
                self.set_hold(now, other, line, Hold::Active);
                self.set_wires(line, Loop::InCall(other));
            }
            (_, None, None) => {}
        }
    }

    /// A line with a call put aside goes on hook: its two calls are left to each other, or the one aside ends. Whether
    /// that was all.
    pub(super) fn leave(&mut self, now: Time, line: usize) -> bool {
        self.lines[line].recalled = Recalled::No;
        let joined = std::mem::take(&mut self.lines[line].joined);
        let Some(aside) = self.lines[line].aside.take() else { return false };
        if joined || self.config.recall == Recall::Digits {
            self.end_aside(now, aside, line);
            return false;
        }
        let current = match self.wires(line) {
            Some(Loop::InCall(id)) => Some(*id),
            _ => None,
        };
        let Some(current) = current else {
            self.end_aside(now, aside, line);
            return false;
        };
        let far = self.calls.get(&aside).and_then(|call| call.other(line)).map(|far| (far.line, far.call));
        let Some((far, name)) = far else { return false };
        self.calls.remove(&aside);
        if let Some(party) = self.calls.get_mut(&current).and_then(|call| call.party(line)) {
            *party = Party::new(far, name);
        }
        self.set_wires(far, Loop::InCall(current));
        self.set_wires(line, Loop::OnHook);
        self.tell(now, Event::Transferred { subscriber: self.lines[line].number.clone() });
        self.tell(now, Event::HungUp { subscriber: self.lines[line].number.clone() });
        true
    }

    /// The call that a line put aside ends with the line.
    pub(super) fn end_aside(&mut self, now: Time, id: u32, line: usize) {
        let Some(call) = self.calls.remove(&id) else { return };
        if let Some((other, name)) = call.other(line).map(|party| (party.line, party.call)) {
            self.release(now, other, name, 16);
        }
    }

    /// Whether the call that is over was not the one that a line is in, but put aside or knocking.
    pub(super) fn drop_aside(&mut self, id: u32, line: usize) -> bool {
        let line = &mut self.lines[line];
        if line.aside == Some(id) {
            (line.aside, line.joined) = (None, false);
            return true;
        }
        if line.knocking == Some(id) {
            line.knocking = None;
            line.beep.clear();
            return true;
        }
        false
    }

    /// Two calls of a cellular modem are left to each other.
    pub(super) fn transfer(&mut self, now: Time, line: usize, one: CallRef, other: CallRef) {
        let (Some(one_id), Some(other_id)) = (self.call_named(line, one), self.call_named(line, other)) else { return };
        let far = |id: u32| self.calls.get(&id).and_then(|call| call.other(line)).map(|far| (far.line, far.call));
        let (Some((first, first_name)), Some((second, second_name))) = (far(one_id), far(other_id)) else { return };
        self.calls.remove(&one_id);
        self.calls.remove(&other_id);
        let mut call = Call::new(Party::new(first, first_name), State::Talking, self.config.country.ringback);
        call.called = Some(Party::new(second, second_name));
        self.calls.insert(one_id, call);
        self.set_wires(first, Loop::InCall(one_id));
        self.set_wires(second, Loop::InCall(one_id));
        self.tell(now, Event::Transferred { subscriber: self.lines[line].number.clone() });
        for name in [one, other] {
            self.signal(now, line, Signal::Released { call: name, cause: 16 });
        }
    }
}
