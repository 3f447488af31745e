//! What subscribers that are no modems are told to do.

use super::OrderError;
use super::plant::{Exchange, Owner};
use super::tone::Segment;
use std::time::Duration;
use tapi::Time;
use tspi::Frame;

impl Exchange {
    /// A subscriber that is no modem calls a number.
    pub fn call(&mut self, now: Time, from: &str, to: &str) -> Result<(), OrderError> {
        self.timeout(now);
        let line = self.robot_of(from)?;
        if self.calls.values().any(|call| call.has(line)) {
            return Err(OrderError::Engaged(from.to_string()));
        }
        let withheld = matches!(&self.lines[line].owner, Owner::Robot { robot, .. } if robot.behaviour.withheld);
        self.place(now, line, None, to, withheld);
        self.settle(now);
        Ok(())
    }

    /// A subscriber that is no modem hangs up.
    pub fn hang_up(&mut self, now: Time, number: &str) -> Result<(), OrderError> {
        self.timeout(now);
        let line = self.robot_of(number)?;
        let call = self.call_of(line).ok_or_else(|| OrderError::Idle(number.to_string()))?;
        self.end(now, call, line, 16);
        self.settle(now);
        Ok(())
    }

    /// A subscriber that is no modem sends digits in its call, 100 ms each with gaps of 100 ms.
    pub fn dtmf(&mut self, now: Time, number: &str, digits: &str) -> Result<(), OrderError> {
        let segments = digits.chars().map(|digit| Segment::digit(digit, 100).ok_or(OrderError::BadDigit(digit)));
        let segments: Vec<Segment> = segments.collect::<Result<_, _>>()?;
        let tones = segments.into_iter().flat_map(|segment| [segment, Segment::silence(100)]);
        self.play(now, number, tones)
    }

    /// A subscriber that is no modem plays a tone at -16 dBm0 in its call, in place of what it says otherwise.
    pub fn tone(&mut self, now: Time, number: &str, hz: u32, duration: Duration) -> Result<(), OrderError> {
        let millis = u32::try_from(duration.as_millis()).unwrap_or(u32::MAX / 8).min(3_600_000);
        self.play(now, number, [Segment::new(f64::from(hz), 0.0, -160, millis)].into_iter())?;
        let line = self.robot_of(number)?;
        if let Owner::Robot { robot, .. } = &mut self.lines[line].owner {
            robot.listen_for(hz);
        }
        Ok(())
    }

    /// Keeps what a subscriber that is no modem hears in its calls from now on, 20 minutes at most, and gives what it heard since the last
    /// time this was asked.
    pub fn overhear(&mut self, number: &str) -> Result<Vec<Frame>, OrderError> {
        let line = self.robot_of(number)?;
        match &mut self.lines[line].owner {
            Owner::Robot { robot, .. } => Ok(robot.overhear()),
            _ => Ok(Vec::new()),
        }
    }

    fn play(&mut self, now: Time, number: &str, tones: impl Iterator<Item = Segment>) -> Result<(), OrderError> {
        self.timeout(now);
        let line = self.robot_of(number)?;
        self.call_of(line).ok_or_else(|| OrderError::Idle(number.to_string()))?;
        if let Owner::Robot { robot, .. } = &mut self.lines[line].owner {
            tones.for_each(|segment| robot.extra.push(segment));
        }
        Ok(())
    }

    fn robot_of(&self, number: &str) -> Result<usize, OrderError> {
        let line = self.line_of(number)?;
        match self.lines[line].owner {
            Owner::Robot { .. } => Ok(line),
            _ => Err(OrderError::NotScriptable(number.to_string())),
        }
    }
}
