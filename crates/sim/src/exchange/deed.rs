//! What happens to a modem once: at a command of the host, after so many bytes, or at a time.

use super::fault::{AudioFault, Shield};
use super::plant::{Exchange, Plug};
use super::{ModemId, OrderError};
use crate::modem::Kind;
use std::time::Duration;
use tapi::Time;

/// What happens, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// The next thing that the modem says is late by so much, and all that follows it.
    Late(Duration),
    /// The modem says nothing for so long, and then all at once.
    Hush(Duration),
    /// What it says in this time is lost.
    Mute(Duration),
    /// It takes nothing for so long (CTS is low); what the host wrote waits.
    Deaf(Duration),
    /// Its bus sleeps: nothing passes in either direction for so long, and then all at once.
    Suspend(Duration),
    /// Its audio stops for so long, and goes on with what is said then.
    Silent(Duration),
    /// It is pulled out, and plugged in again four seconds later.
    Unplug,
    /// It is pulled out between a DLE and its code, the next time that it tells one; plugged in again four seconds later.
    UnplugInCode,
    /// It starts anew: gone for four seconds.
    Restart,
    /// Another process writes this to its port.
    Types(&'static str),
    /// The far end of its call hangs up.
    HangUp,
    /// Its SIM card is pulled out.
    SimOut,
    /// Its network is as `<stat>` of `+CREG` says; without service its calls are lost.
    Network(u8),
}

/// What a deed waits for.
#[derive(Clone, Debug)]
enum Trigger {
    /// Part of a command line.
    Command(String),
    /// So many bytes of the host.
    Bytes(u64),
}

#[derive(Clone, Debug)]
struct Trap {
    trigger: Trigger,
    after: Duration,
    deed: Deed,
}

/// Whether a modem is pulled out between a DLE and its code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum InCode {
    #[default]
    No,
    Armed(Shield),
}

/// What waits to happen to a modem.
#[derive(Clone, Debug, Default)]
pub(super) struct Snares {
    traps: Vec<Trap>,
    /// The command line so far, and how many bytes the host wrote.
    typed: String,
    written: u64,
    due: Vec<(Time, Deed)>,
    code: InCode,
    /// Where its stream is, where its audio is spoilt.
    pub(super) shield: Shield,
}

/// Longest line that is watched for.
const LINE: usize = 256;

impl Snares {
    /// When the next one happens.
    pub(super) fn due(&self) -> Option<Time> {
        self.due.iter().map(|(at, _)| *at).min()
    }

    /// The host wrote bytes to the command port.
    fn watch(&mut self, now: Time, bytes: &[u8]) {
        self.written += bytes.len() as u64;
        let mut lines = Vec::new();
        for byte in bytes {
            if *byte == b'\r' {
                lines.push(std::mem::take(&mut self.typed));
            } else if self.typed.len() < LINE {
                self.typed.push(*byte as char);
            }
        }
        let written = self.written;
        for line in &lines {
            self.spring(now, |trigger| matches!(trigger, Trigger::Command(needle) if line.contains(needle)));
        }
        self.spring(now, |trigger| matches!(trigger, Trigger::Bytes(count) if *count <= written));
    }

    fn spring(&mut self, now: Time, meant: impl Fn(&Trigger) -> bool) {
        if let Some(found) = self.traps.iter().position(|trap| meant(&trap.trigger)) {
            let trap = self.traps.remove(found);
            self.due.push((now + trap.after, trap.deed));
        }
    }

    /// Cuts what the modem says at the first DLE of a code, where it is pulled out there. Whether it is.
    pub(super) fn cut(&mut self, port: usize, bytes: &mut Vec<u8>) -> bool {
        let InCode::Armed(mut shield) = self.code else { return false };
        if port != 0 {
            return false;
        }
        for at in 0..bytes.len() {
            let before = shield;
            if before == Shield::Escape && bytes[at] != 0x10 {
                bytes.truncate(at);
                self.code = InCode::No;
                return true;
            }
            shield.take(bytes[at]);
        }
        self.code = InCode::Armed(shield);
        false
    }
}

impl Exchange {
    /// When a modem reads a command line with this in it, so it happens, once. Deeds of one modem wait side by side.
    ///
    /// # Errors
    /// No such modem.
    pub fn at_command(&mut self, modem: ModemId, needle: &str, deed: Deed) -> Result<(), OrderError> {
        self.after_command(modem, needle, Duration::ZERO, deed)
    }

    /// The same so long after the command.
    ///
    /// # Errors
    /// No such modem.
    pub fn after_command(
        &mut self,
        modem: ModemId,
        needle: &str,
        after: Duration,
        deed: Deed,
    ) -> Result<(), OrderError> {
        let trap = Trap { trigger: Trigger::Command(needle.to_string()), after, deed };
        self.snares(modem)?.traps.push(trap);
        Ok(())
    }

    /// It happens once the host wrote so many more bytes to the command port.
    ///
    /// # Errors
    /// No such modem.
    pub fn at_byte(&mut self, modem: ModemId, count: u64, deed: Deed) -> Result<(), OrderError> {
        let snares = self.snares(modem)?;
        let trigger = Trigger::Bytes(snares.written + count);
        snares.traps.push(Trap { trigger, after: Duration::ZERO, deed });
        Ok(())
    }

    /// It happens at that time.
    ///
    /// # Errors
    /// No such modem.
    pub fn at_time(&mut self, modem: ModemId, at: Time, deed: Deed) -> Result<(), OrderError> {
        self.snares(modem)?.due.push((at, deed));
        Ok(())
    }

    /// No deed waits any more.
    pub fn disarm(&mut self, modem: ModemId) {
        if let Ok(snares) = self.snares(modem) {
            snares.traps.clear();
            snares.due.clear();
            snares.code = InCode::No;
        }
    }

    fn snares(&mut self, modem: ModemId) -> Result<&mut Snares, OrderError> {
        let at = self.modems.get_mut(modem.0 as usize);
        at.map(|at| &mut at.snares).ok_or_else(|| OrderError::Unknown(modem.0.to_string()))
    }

    /// The host wrote bytes to a command port: does a deed wait for them?
    pub(super) fn watch(&mut self, now: Time, modem: usize, bytes: &[u8]) {
        self.modems[modem].snares.watch(now, bytes);
        self.deeds(now);
    }

    /// What is due to happen happens.
    pub(super) fn deeds(&mut self, now: Time) {
        for modem in 0..self.modems.len() {
            let snares = &mut self.modems[modem].snares;
            let (due, later) = snares.due.drain(..).partition(|(at, _)| *at <= now);
            snares.due = later;
            let due: Vec<(Time, Deed)> = due;
            due.into_iter().for_each(|(_, deed)| self.perform(now, modem, deed));
        }
    }

    fn perform(&mut self, now: Time, modem: usize, deed: Deed) {
        let at = &mut self.modems[modem];
        match deed {
            Deed::Late(by) => at.to_host.iter_mut().for_each(|link| link.lag(by)),
            Deed::Hush(by) => at.to_host.iter_mut().for_each(|link| link.hush(now + by)),
            Deed::Mute(by) => at.to_host.iter_mut().for_each(|link| link.mute(now + by)),
            Deed::Deaf(by) => at.to_modem.iter_mut().for_each(|link| link.hush(now + by)),
            Deed::Suspend(by) => {
                at.to_host.iter_mut().chain(&mut at.to_modem).for_each(|link| link.hush(now + by));
            }
            Deed::Silent(by) => {
                let stops = AudioFault::Stops(now, now + by);
                at.to_host.iter_mut().for_each(|link| link.faults.spoil.audio = stops);
            }
            Deed::Unplug => at.power = Some((now, Plug::Out)),
            Deed::UnplugInCode => at.snares.code = InCode::Armed(Shield::default()),
            Deed::Restart => at.power = Some((now + Duration::from_millis(200), Plug::Out)),
            Deed::Types(text) => {
                if let Some(link) = at.to_modem.first_mut() {
                    link.push(now, Kind::Text, text.as_bytes(), &mut self.random);
                }
                self.feed(now, modem);
            }
            Deed::HangUp => {
                let line = at.line;
                let call = self.call_of(line);
                let far = call.and_then(|call| Some((call, self.calls.get(&call)?.other(line)?.line)));
                if let Some((call, far)) = far {
                    self.end(now, call, far, 16);
                }
            }
            Deed::SimOut => {
                let line = at.line;
                self.take_sim(now, line);
            }
            Deed::Network(state) => {
                let line = at.line;
                self.network(now, line, state);
            }
        }
    }
}
