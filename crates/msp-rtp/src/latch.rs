//! Whom we listen to: who was described, or who was heard first, and nobody else (RTP bleed).

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Duration;
use tapi::Time;

/// Packets in sequence that lock a source.
const RUN: u8 = 2;
/// Packets in sequence that take the place of a source that fell silent.
const LONG_RUN: u8 = 5;
/// A source is silent without RTP for so long, ...
const SILENCE: Duration = Duration::from_secs(5);
/// ... and without RTCP for so long: three of its longest intervals would be more than a call can wait.
const CONTROL_SILENCE: Duration = Duration::from_secs(15);

/// Who may become the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Candidate {
    address: SocketAddr,
    ssrc: u32,
    /// The sequence number that must follow.
    next: u16,
    run: u8,
}

impl Candidate {
    /// The candidate after a packet: its run went on, or it begins anew.
    fn after(before: Option<Candidate>, address: SocketAddr, ssrc: u32, sequence: u16) -> Candidate {
        let next = sequence.wrapping_add(1);
        match before {
            Some(known) if (known.address, known.ssrc, known.next) == (address, ssrc, sequence) => {
                Candidate { next, run: known.run.saturating_add(1), ..known }
            }
            _ => Candidate { address, ssrc, next, run: 1 },
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// Nobody was heard yet.
    Open { candidate: Option<Candidate> },
    /// The described address was heard, not yet twice in sequence: it is listened to, and others have no chance.
    Described { candidate: Candidate },
    /// From here.
    Locked { address: SocketAddr, candidate: Option<Candidate> },
}

/// Whose packets are taken. Two in sequence lock the source; from the described address the first is heard already. A
/// locked source is left only for a new description with another address, or once it was silent, RTCP included, while it
/// was listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latch {
    state: State,
    heard: Time,
    control: Time,
}

impl Latch {
    /// Nobody was heard yet.
    pub fn new(now: Time) -> Latch {
        Latch { state: State::Open { candidate: None }, heard: now, control: now }
    }

    /// The far end was described again with the same address: its silence so far (a hold) counts no longer.
    pub fn renew(&mut self, now: Time) {
        self.heard = now;
    }

    fn is_silent(&self, now: Time) -> bool {
        now.since(self.heard) >= SILENCE && now.since(self.control) >= CONTROL_SILENCE
    }

    /// Whether a packet from there may be the far end's at all: what may not is not worth being decrypted.
    pub fn may_be(&self, now: Time, from: SocketAddr, listening: bool) -> bool {
        match self.state {
            State::Locked { address, .. } => address == from || (listening && self.is_silent(now)),
            State::Open { .. } | State::Described { .. } => true,
        }
    }

    /// Whether an authentic packet is the far end's.
    pub fn admit(
        &mut self,
        now: Time,
        (expected, listening): (SocketAddr, bool),
        from: SocketAddr,
        (ssrc, sequence): (u32, u16),
    ) -> bool {
        let locked = State::Locked { address: from, candidate: None };
        let silent = listening && self.is_silent(now);
        let admitted = match &mut self.state {
            State::Open { .. } if from == expected => {
                self.state = State::Described { candidate: Candidate::after(None, from, ssrc, sequence) };
                true
            }
            State::Open { candidate } => {
                let after = Candidate::after(*candidate, from, ssrc, sequence);
                *candidate = Some(after);
                if after.run >= RUN {
                    self.state = locked;
                }
                after.run >= RUN
            }
            State::Described { .. } if from != expected => false,
            State::Described { candidate } => {
                *candidate = Candidate::after(Some(*candidate), from, ssrc, sequence);
                if candidate.run >= RUN {
                    self.state = locked;
                }
                true
            }
            State::Locked { address, candidate } if *address == from => {
                *candidate = None;
                true
            }
            State::Locked { .. } if !silent => false,
            State::Locked { candidate, .. } => {
                let after = Candidate::after(*candidate, from, ssrc, sequence);
                *candidate = Some(after);
                if after.run >= LONG_RUN {
                    self.state = locked;
                }
                after.run >= LONG_RUN
            }
        };
        if admitted {
            self.heard = now;
        }
        admitted
    }

    /// RTCP of the far end came.
    pub fn control(&mut self, now: Time) {
        self.control = now;
    }

    /// Where to send to.
    pub fn destination(&self, expected: SocketAddr) -> SocketAddr {
        match self.state {
            State::Locked { address, .. } => address,
            State::Open { .. } | State::Described { .. } => expected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here() -> SocketAddr {
        "192.0.2.1:4000".parse().unwrap()
    }

    fn there() -> SocketAddr {
        "198.51.100.7:9".parse().unwrap()
    }

    /// Feeds packets as (milliseconds, from the described address, sequence number); tells which were admitted.
    fn admitted(latch: &mut Latch, rows: &[(u64, bool, u16)]) -> Vec<bool> {
        let admit = |(at, described, sequence): &(u64, bool, u16)| {
            let from = if *described { here() } else { there() };
            let ssrc = u32::from(*described);
            latch.admit(Time::from_millis(*at), (here(), true), from, (ssrc, *sequence))
        };
        rows.iter().map(admit).collect()
    }

    #[test]
    fn the_described_address_is_heard_at_once_and_others_have_no_chance_then() {
        let mut latch = Latch::new(Time::ZERO);
        let rows = [(0, false, 10), (1, true, 1), (2, false, 11), (3, false, 12), (4, true, 2), (5, false, 13)];
        assert_eq!(admitted(&mut latch, &rows), [false, true, false, false, true, false]);
        assert_eq!(latch.destination(here()), here());
        assert!(!latch.may_be(Time::from_millis(6), there(), true));
    }

    #[test]
    fn behind_a_translator_two_in_sequence_lock() {
        let mut latch = Latch::new(Time::ZERO);
        let rows = [(0, false, 10), (1, false, 12), (2, false, 13), (3, true, 14), (4, true, 15)];
        assert_eq!(admitted(&mut latch, &rows), [false, false, true, false, false]);
        assert_eq!(latch.destination(here()), there());
    }

    #[test]
    fn only_silence_of_both_rtp_and_rtcp_lets_another_in() {
        let mut latch = Latch::new(Time::ZERO);
        admitted(&mut latch, &[(0, true, 1), (20, true, 2)]);
        latch.control(Time::from_millis(1000));
        let run = |at: u64| [0, 1, 2, 3, 4, 5].map(|n| (at + 20 * n, false, n as u16));
        assert_eq!(admitted(&mut latch, &run(4_000)), [false; 6]);
        assert_eq!(admitted(&mut latch, &run(10_000)), [false; 6], "RTCP still comes");
        assert_eq!(admitted(&mut latch, &run(17_000)), [false, false, false, false, true, true]);
        assert_eq!(latch.destination(here()), there());
        latch = Latch::new(Time::ZERO);
        admitted(&mut latch, &[(0, true, 1), (20, true, 2)]);
        // On hold, where silence is what was asked for.
        for n in 0..10 {
            assert!(!latch.admit(Time::from_millis(60_000 + n), (here(), false), there(), (7, n as u16)));
        }
        latch.renew(Time::from_millis(61_000));
        assert_eq!(admitted(&mut latch, &run(61_000)), [false; 6], "after a hold it has time to begin");
    }
}
