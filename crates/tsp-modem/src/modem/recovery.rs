//! What becomes of a modem that does not answer: its calls end, the line goes out of service with the reason, and it is
//! brought back: DTR, then reset commands too, then the port opened anew, with longer and longer waits between.

use super::*;
use crate::profile::Catalogue;
use tspi::Traced;

/// Lines of the transcript that are kept for the day on which it fails.
const TAIL: usize = 20;

/// Ports are opened anew so often before that counts as in vain.
const REOPENED: u32 = 2;

impl Modem {
    pub(super) fn fail_calls(&mut self, now: Time, reason: &str) {
        let cause = Cause::new(DisconnectMode::Unavail).with_text(reason);
        self.release_through(ReleasedBy::Remote, cause);
        self.with(now, |calls, context| match calls {
            Calls::Analogue(analogue) => analogue.fail(context, reason),
            Calls::Cellular(cellular) => cellular.fail(context, reason),
        });
        let leaving = match self.life {
            Life::Leaving { id, .. } => Some(id),
            _ => None,
        };
        self.out.refuse_all(leaving, reason);
        self.chat.stop();
        self.out.set_service(Service::Out { reason: reason.to_owned() });
    }

    /// Whether a line says that a module started, with its port open all the time.
    pub(super) fn tells_start(&self, line: &str) -> bool {
        let listening =
            matches!(self.life, Life::Identifying(_) | Life::Initialising(_) | Life::Ready | Life::Leaving { .. });
        listening && self.profile.cell.as_ref().is_some_and(|cell| cell.boot.iter().any(|boot| boot == line.trim()))
    }

    /// It did: its calls are gone, and so is all that it was told.
    pub(super) fn started_anew(&mut self, now: Time) {
        self.fail_calls(now, "the module restarted");
        match self.life {
            Life::Leaving { id, .. } => self.shut(id),
            _ => self.begin(now),
        }
    }

    /// The modem must be brought back: calls end, DTR goes down.
    pub(super) fn recover(&mut self, now: Time, reason: &str) {
        self.fail_calls(now, reason);
        self.tell_tail(reason);
        if let Life::Leaving { id, .. } = self.life {
            return self.shut(id);
        }
        self.failures = self.failures.saturating_add(1);
        self.failing_since.get_or_insert(now);
        self.out.push(Output::Dtr { port: AT_PORT, up: false });
        let low = Duration::from_millis(u64::from(self.profile.recover.dtr_ms));
        self.life = Life::Lowered { until: now + low };
    }

    /// A modem that did not answer may be inside a stream, where it hears no command, or told not to answer (`Q1`). What
    /// ends streams means nothing elsewhere: V.250 has a modem pass over whatever precedes `AT`.
    pub(super) fn end_streams(&mut self) {
        if self.failures == 0 {
            return;
        }
        // One that nobody knows yet, or whose profile is guessed wrong, is spoken to as most are.
        let generic = || Catalogue::builtin().named("v253").and_then(|profile| profile.audio.as_ref());
        let audio = self.profile.audio.as_ref().or_else(|| self.auto.as_ref().and_then(|_| generic()));
        if let Some(audio) = audio {
            let ends = [&audio.end_duplex, &audio.end_record, &audio.abort_play, &audio.end_play];
            let mut bytes: Vec<u8> = ends.into_iter().flat_map(|end| end.0.iter().copied()).collect();
            bytes.extend(b"\rATQ0V1\r");
            self.out.write(AT_PORT, bytes);
        }
    }

    pub(super) fn closed(&mut self, now: Time, port: PortId, reason: &str) {
        match (port, &self.life) {
            (AUDIO_PORT, _) => self.with(now, |calls, context| {
                if let Calls::Cellular(cellular) = calls {
                    cellular.audio_closed(context, reason);
                }
            }),
            (AT_PORT, Life::Unstarted | Life::Shut) => {}
            (AT_PORT, life) => {
                let opening = matches!(life, Life::Opening);
                let reason =
                    if opening { format!("cannot open the port: {reason}") } else { format!("port closed: {reason}") };
                self.fail_calls(now, &reason);
                if let Life::Leaving { id, .. } = self.life {
                    return self.shut(id);
                }
                self.failures = self.failures.saturating_add(1);
                // What is there next has just been switched on, perhaps.
                self.failing_since = None;
                self.life = Life::Waiting { until: now + self.back_off(), reopen: Reopen::Yes };
            }
            _ => {}
        }
    }

    /// Whether nothing that can be said to it brought it back, nor its port opened anew twice: what is left is to be done to the
    /// device itself. The shell asks when the port is closed.
    pub fn is_past_help(&self) -> bool {
        let reopened = self.failures.saturating_sub(self.profile.recover.reopen_after);
        self.failing_since.is_some() && reopened >= REOPENED && self.life != Life::Shut
    }

    /// 1, 2, 4 … seconds, up to the profile's limit.
    pub(super) fn back_off(&self) -> Duration {
        let millis = 1_000u64 << self.failures.saturating_sub(1).min(16);
        Duration::from_millis(millis.min(u64::from(self.profile.recover.max_wait_ms)))
    }

    pub(super) fn life_timeout(&mut self, now: Time) {
        match self.life {
            Life::Unstarted => self.start(),
            Life::Lowered { until } if now >= until => {
                self.out.push(Output::Dtr { port: AT_PORT, up: true });
                self.next_attempt(now);
            }
            Life::Waiting { until, reopen: Reopen::Yes } if now >= until => self.open(),
            Life::Waiting { until, reopen: Reopen::AfterReset } if now >= until => {
                self.out.push(Output::Close { port: AT_PORT });
                self.open();
            }
            Life::Waiting { until, reopen: Reopen::No } if now >= until => self.begin(now),
            Life::Leaving { id, until } if now >= until => self.shut(id),
            _ => {}
        }
    }

    /// DTR did what it can. A modem that fails for longer than one takes to start is reset; after some failures its port is
    /// opened anew. What resets it must be out before the port is closed.
    fn next_attempt(&mut self, now: Time) {
        let recover = &self.profile.recover;
        let reopen = self.failures >= recover.reopen_after;
        let patience = Duration::from_millis(u64::from(recover.reset_after_ms));
        let long = self.failing_since.is_some_and(|since| now.since(since) >= patience);
        let (mut wait, resets) = (self.back_off(), long && !recover.reset.is_empty());
        let reopen = match (reopen, resets) {
            (false, _) => Reopen::No,
            (true, true) => Reopen::AfterReset,
            (true, false) => Reopen::Yes,
        };
        if resets {
            wait = wait.max(Duration::from_millis(u64::from(recover.reset_ms)));
            self.reset();
        } else if reopen == Reopen::Yes {
            self.out.push(Output::Close { port: AT_PORT });
        }
        self.life = Life::Waiting { until: now + wait, reopen };
    }

    /// Sends the profile's reset commands, whose answers nobody waits for.
    fn reset(&mut self) {
        for command in self.profile.recover.reset.clone() {
            self.out.trace(None, true, &self.config.name, &command);
            self.out.write(AT_PORT, format!("{command}\r").into_bytes());
        }
    }

    pub(super) fn remember(&mut self, sent: bool, line: &str) {
        if self.tail.len() >= TAIL {
            self.tail.pop_front();
        }
        let line = crate::context::redact(line);
        self.tail.push_back(format!("{} {line}", if sent { '>' } else { '<' }));
    }

    /// What crossed the port before it failed, as one entry of the trace.
    fn tell_tail(&mut self, reason: &str) {
        let text = self.tail.drain(..).collect::<Vec<_>>().join("\n");
        let summary = format!("out of service: {reason}");
        let entry = Traced { sent: false, peer: self.config.name.clone(), summary, text: Some(text) };
        self.out.event(Event::Trace { line: LINE, call: None, entry: Box::new(entry) });
    }
}
