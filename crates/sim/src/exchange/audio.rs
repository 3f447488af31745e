//! What lines hear and say, 20 ms at a time.

use super::Event;
use super::meter::Key;
use super::plant::{Exchange, Loop, Owner};
use super::robot::Noticed;
use super::tone::{Cadence, mix};
use crate::modem::Hold;
use tapi::Time;
use tspi::Frame;

impl Exchange {
    /// A line hears and says 20 ms.
    pub(super) fn audio(&mut self, now: Time, line: usize) {
        match &self.lines[line].owner {
            Owner::TwoWire { modem, .. } => self.two_wire_audio(now, line, *modem),
            Owner::Cellular { modem, .. } => self.cellular_audio(now, line, *modem),
            Owner::Robot { .. } => self.robot_audio(now, line),
        }
    }

    fn two_wire_audio(&mut self, now: Time, line: usize, modem: usize) {
        let joined = self.lines[line].aside.filter(|_| self.lines[line].joined);
        let calls = &mut self.calls;
        let third = joined.and_then(|id| calls.get_mut(&id)).map(|call| call.hear(line));
        let Owner::TwoWire { wires, .. } = &mut self.lines[line].owner else { return };
        let heard = match wires {
            Loop::InCall(id) => calls.get_mut(id).map(|call| call.hear(line)),
            Loop::Dialling { tone, .. } => tone.as_mut().map(Cadence::frame),
            Loop::Tone(tone) => Some(tone.frame()),
            Loop::OnHook | Loop::Ringing { .. } | Loop::Clearing { .. } => None,
        };
        let mut heard = heard.unwrap_or(Frame::SILENCE);
        let second = heard;
        if let Some(third) = &third {
            mix(&mut heard, third);
        }
        if let Some(beep) = self.lines[line].beep.frame() {
            mix(&mut heard, &beep);
        }
        let said = self.modems[modem].device.frame(now, &heard);
        let mut key = None;
        match self.wires(line) {
            Some(Loop::Dialling { detector, .. }) => key = detector.hear(&said),
            Some(Loop::InCall(id)) => {
                let id = *id;
                let (mut to_second, mut to_third) = (said, said);
                if let Some(third) = &third {
                    mix(&mut to_second, third);
                    mix(&mut to_third, &second);
                }
                if let Some(call) = self.calls.get_mut(&id) {
                    call.say(line, to_second);
                }
                if let Some(call) = joined.and_then(|id| self.calls.get_mut(&id)) {
                    call.say(line, to_third);
                }
            }
            _ => {}
        }
        if let Some(Key::Down(digit)) = key {
            self.digit(now, line, digit);
        }
        self.drain(now, modem);
    }

    /// All calls that the modem does not hold are one conference.
    fn cellular_audio(&mut self, now: Time, line: usize, modem: usize) {
        let mut heard: Vec<(u32, Frame)> = Vec::new();
        let mut sum = Frame::SILENCE;
        for (id, call) in self.calls.iter_mut().filter(|(_, call)| call.has(line) && call.sounds(line)) {
            let frame = call.hear(line);
            if call.party(line).is_some_and(|party| party.hold == Hold::Active) {
                mix(&mut sum, &frame);
                heard.push((*id, frame));
            }
        }
        let said = self.modems[modem].device.frame(now, &sum);
        for (id, _) in &heard {
            let mut mixed = said;
            heard.iter().filter(|(other, _)| other != id).for_each(|(_, frame)| mix(&mut mixed, frame));
            if let Some(call) = self.calls.get_mut(id) {
                call.say(line, mixed);
            }
        }
        self.drain(now, modem);
    }

    fn robot_audio(&mut self, now: Time, line: usize) {
        let Some(id) = self.call_of(line) else { return };
        let Some(call) = self.calls.get_mut(&id) else { return };
        let heard = call.hear(line);
        let Owner::Robot { robot, .. } = &mut self.lines[line].owner else { return };
        let (said, noticed) = robot.frame(&heard);
        call.say(line, said);
        let subscriber = self.lines[line].number.clone();
        for what in noticed {
            let subscriber = subscriber.clone();
            self.tell(
                now,
                match what {
                    Noticed::Digit(digit, duration_ms) => Event::Digit { subscriber, digit, duration_ms },
                    Noticed::Echoed(hz, after_ms) => Event::Echoed { subscriber, hz, after_ms },
                    Noticed::Heard(reading) => {
                        Event::Heard { subscriber, hz: reading.hz, level_ddbm0: reading.level_ddbm0 }
                    }
                },
            );
        }
    }
}
