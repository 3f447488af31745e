//! What an INVITE–BYE call costs, at several rates, beside SIPp's own callee; and what the journal adds.

use crate::Outcome;
use crate::answerer::{self, Until};
use crate::daemon::{Daemon, Setup};
use crate::figures::{Aim, Figures};
use crate::process::Written;
use crate::sipp::{Callee, Caller, Load, Seen};
use std::path::Path;
use std::time::Duration;

/// How long a call is up, in milliseconds.
const HOLD_MS: u32 = 100;

/// The rate at which the cost of a call is judged, in calls a second.
const JUDGED: u32 = 1_000;

/// Attempts at a rate: another program may have had the core.
const ATTEMPTS: u32 = 2;

/// What is called.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// The caller's scenario.
    pub scenario: &'a Path,
    /// Rates in calls a second, in order.
    pub rates: &'a [u32],
    /// How long each rate lasts, in seconds.
    pub seconds: u32,
}

impl Plan<'_> {
    fn load(&self, port: u16, rate: u32) -> Load<'_> {
        Load { port, scenario: self.scenario, rate, calls: rate * self.seconds, hold_ms: HOLD_MS }
    }
}

/// What one load cost.
#[derive(Clone, Copy, Debug)]
struct Cost {
    seen: Seen,
    clean: bool,
    cpu: Duration,
    written: Written,
    answered: usize,
}

impl Cost {
    /// CPU of a call in milliseconds.
    fn each(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e3 / f64::from(self.seen.succeeded.max(1))
    }
}

/// The rates, one after the other until the daemon no longer keeps up.
pub fn rates(figures: &mut Figures, plan: &Plan<'_>, setup: &Setup<'_>) -> Outcome {
    println!(
        "calls: INVITE, 100, 180, 200, ACK, {HOLD_MS} ms, BYE, 200; a client on the socket answers each and lets it go"
    );
    let mut highest = 0;
    for rate in plan.rates {
        let callee = attempts(|| callee(plan, setup, *rate))?;
        let ours = attempts(|| daemon(plan, setup, *rate))?;
        let times = ours.each() / callee.each();
        let aim = (*rate == JUDGED).then_some(Aim::AtMost(0.12));
        let beside = format!(
            "{times:.1} × SIPp's UAS ({:.3} ms); sent again {} (UAS {}), failed {}, answered {}, {:.0}/s",
            callee.each(),
            ours.seen.retransmitted,
            callee.seen.retransmitted,
            ours.seen.failed,
            ours.answered,
            ours.seen.rate,
        );
        figures.tell(&format!("CPU of a call at {rate}/s"), ours.each(), "ms", aim, &beside);
        if !ours.clean {
            break;
        }
        highest = *rate;
    }
    let beside = "the highest of these rates, on one core";
    let aim = Some(Aim::AtLeast(3_000.0));
    figures.tell("calls/s without a retransmission", f64::from(highest), "/s", aim, beside);
    Ok(())
}

/// The same load with a journal and without.
pub fn journal(figures: &mut Figures, plan: &Plan<'_>, setup: &Setup<'_>) -> Outcome {
    println!("the journal: the same load with a service manager that keeps descriptors, and without");
    let rate = plan.rates.iter().copied().find(|rate| *rate == JUDGED).or(plan.rates.first().copied());
    let rate = rate.ok_or("there is no rate")?;
    let without = daemon(plan, setup, rate)?;
    let with = daemon(plan, &Setup { journal: true, ..setup.clone() }, rate)?;
    let calls = f64::from(with.seen.succeeded.max(1));
    let (bytes, writes) = (
        with.written.bytes.saturating_sub(without.written.bytes),
        with.written.calls as f64 - without.written.calls as f64,
    );
    figures.tell("CPU of a call with a journal", with.each(), "ms", None, &format!("at {rate}/s"));
    let ratio = with.each() / without.each();
    figures.tell("CPU with a journal to CPU without", ratio, "×", None, &format!("without: {:.3} ms", without.each()));
    figures.tell("bytes written to journals, a call", bytes as f64 / calls, "B", None, "");
    figures.tell(
        "calls of write for journals, a call",
        writes / calls,
        "",
        None,
        "the difference of all calls of write",
    );
    Ok(())
}

fn attempts(run: impl Fn() -> Result<Cost, Box<dyn std::error::Error>>) -> Result<Cost, Box<dyn std::error::Error>> {
    let mut cost = run()?;
    for _ in 1..ATTEMPTS {
        if cost.clean {
            break;
        }
        cost = run()?;
    }
    Ok(cost)
}

fn callee(plan: &Plan<'_>, setup: &Setup<'_>, rate: u32) -> Result<Cost, Box<dyn std::error::Error>> {
    let callee = Callee::start(setup.cores)?;
    let directory = Daemon::directory();
    std::fs::create_dir_all(&directory)?;
    let load = plan.load(callee.port, rate);
    let before = callee.cpu()?;
    let seen = Caller::start(&load, &directory)?.end()?;
    let cpu = callee.cpu()?.saturating_sub(before);
    Ok(Cost { seen, clean: seen.is_clean(&load), cpu, written: Written::default(), answered: 0 })
}

fn daemon(plan: &Plan<'_>, setup: &Setup<'_>, rate: u32) -> Result<Cost, Box<dyn std::error::Error>> {
    let daemon = Daemon::start(setup)?;
    let answerer = answerer::start(daemon.socket(), Until::Connected)?;
    let load = plan.load(daemon.sip_port(), rate);
    let (before, written_before) = (daemon.cpu()?, daemon.written()?);
    let seen = Caller::start(&load, &Daemon::directory())?.end()?;
    // What the last calls leave to do is theirs too.
    std::thread::sleep(Duration::from_millis(200));
    let (cpu, written) = (daemon.cpu()?.saturating_sub(before), daemon.written()?);
    let written = Written { bytes: written.bytes - written_before.bytes, calls: written.calls - written_before.calls };
    let answered = answerer.answered();
    let clean = seen.is_clean(&load) && answered == load.calls as usize;
    Ok(Cost { seen, clean, cpu, written, answered })
}
