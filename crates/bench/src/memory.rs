//! What a held call takes of memory.

use crate::Outcome;
use crate::answerer::{self, Answerer, Until};
use crate::daemon::{Daemon, FIRST_RTP, Setup};
use crate::figures::{Aim, Figures};
use crate::sipp::{Caller, Load};
use std::net::UdpSocket;
use std::path::Path;
use std::time::{Duration, Instant};

/// Calls that are up before the first look: they fill what does not grow with calls, as the ring of events for replay.
const FIRST: u16 = 500;

/// Packets that each call then gets.
const PACKETS: u16 = 100;

/// Calls that are held while memory is looked at, and how many a second come up.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// The caller's scenario.
    pub scenario: &'a Path,
    /// Calls between the two looks.
    pub calls: u16,
}

/// Memory of calls that ring, that are answered, and that have had audio.
pub fn memory(figures: &mut Figures, held: &Held<'_>, setup: &Setup<'_>) -> Outcome {
    println!("memory: what {} more calls add to the {FIRST} that are up", held.calls);
    let setup = Setup { calls: FIRST + held.calls, ..setup.clone() };
    for until in [Until::Ringing, Until::Connected] {
        let daemon = Daemon::start(&setup)?;
        let answerer = answerer::start(daemon.socket(), until)?;
        let _first = up(held, &daemon, &answerer, FIRST, usize::from(FIRST))?;
        let before = daemon.memory()?;
        let _more = up(held, &daemon, &answerer, held.calls, usize::from(setup.calls))?;
        let added = daemon.memory()?.saturating_sub(before) as f64 / 1e3 / f64::from(held.calls);
        let (what, aim) = match until {
            Until::Ringing => ("a ringing call", None),
            Until::Connected => ("a connected call before media", Some(Aim::AtMost(15.0))),
        };
        figures.tell(what, added, "kB", aim, "resident, of the whole daemon");
        if until == Until::Connected {
            let before = daemon.memory()?;
            packets(&setup)?;
            let with_media = added + daemon.memory()?.saturating_sub(before) as f64 / 1e3 / f64::from(setup.calls);
            let beside = format!("after {PACKETS} packets to each");
            figures.tell("a connected call with media", with_media, "kB", None, &beside);
        }
    }
    Ok(())
}

/// Has so many calls come up, until there are `all`.
fn up(
    held: &Held<'_>,
    daemon: &Daemon,
    answerer: &Answerer,
    calls: u16,
    all: usize,
) -> Result<Caller, Box<dyn std::error::Error>> {
    let port = daemon.sip_port();
    let load = Load { port, scenario: held.scenario, rate: 400, calls: calls.into(), hold_ms: 60_000 };
    let mut caller = Caller::start(&load, &Daemon::directory())?;
    let deadline = Instant::now() + Duration::from_secs(20);
    while answerer.reached() < all {
        if Instant::now() > deadline || caller.has_ended()? {
            return Err(format!("only {} of {all} calls came up", answerer.reached()).into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(300));
    Ok(caller)
}

/// Sends PCMU to every port, 20 ms apart.
fn packets(setup: &Setup<'_>) -> Outcome {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let began = Instant::now();
    for number in 0..PACKETS {
        for call in 0..setup.calls {
            let mut packet = [0xff; 172];
            packet[..2].copy_from_slice(&[0x80, 0]);
            packet[2..4].copy_from_slice(&number.to_be_bytes());
            packet[4..8].copy_from_slice(&(u32::from(number) * 160).to_be_bytes());
            packet[8..12].copy_from_slice(&(u32::from(call) + 1).to_be_bytes());
            drop(socket.send_to(&packet, ("127.0.0.1", FIRST_RTP + 2 * call)));
        }
        let due = Duration::from_millis(20) * u32::from(number);
        std::thread::sleep(due.saturating_sub(began.elapsed()));
    }
    Ok(())
}
