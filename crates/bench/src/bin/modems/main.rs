//! What bridged calls between modems and SIP cost the daemon, and how long audio takes through it.
//!
//! The modems are simulated V.253 modems on pseudo-terminals, at an exchange in this process; a SIP telephone in this process
//! is the other side. Delays are measured with marks (5 ms of a loud tone in silence): from the moment at which the modem
//! hands the marked frame to its port until the packet with it arrives, and from the moment at which the packet is sent until
//! the daemon has written the mark to the port, and until the modem plays it to its line. CPU is that of the daemon's process.

mod phone;
mod plant;
mod tap;

use clap::Parser;
use plant::{Outcome, Plant};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

#[derive(Parser)]
#[command(about, version)]
struct Options {
    /// The daemon to measure.
    #[arg(long, default_value = "target/release/tapid")]
    tapid: PathBuf,
    /// Calls in which the delay is measured: each has another phase of the clocks.
    #[arg(long, default_value_t = 6)]
    calls: u32,
    /// Marks in each call, each way.
    #[arg(long, default_value_t = 20)]
    marks: u32,
    /// Modems in calls at once for the CPU figures; again for more.
    #[arg(long, default_values_t = [1, 16, 48])]
    modems: Vec<usize>,
    /// How long CPU is measured.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let measured = delays(&options).and_then(|()| {
        options.modems.iter().try_for_each(|modems| load(&options.tapid, *modems, Duration::from_secs(options.seconds)))
    });
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tapi-bench-modems: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Frames between two marks: not a divisor of anything that beats.
const APART: u32 = 17;

fn delays(options: &Options) -> Outcome<()> {
    let mut plant = Plant::start(&options.tapid, 1)?;
    let (mut to_sip, mut to_port, mut to_line) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.calls {
        let calls = plant.bridged(1)?;
        arm(&plant, Some(0))?;
        plant.rest(Duration::from_secs(2))?;
        arm(&plant, Some(options.marks))?;
        plant.rest(Duration::from_millis(u64::from((options.marks + 3) * APART) * 20))?;
        {
            let modem = plant.marks.lock().map_err(|_| "a thread is gone")?;
            let phone = plant.phone.audio.marks.lock().map_err(|_| "a thread is gone")?;
            to_sip.extend(pairs(&modem.spoken, &phone.written));
            to_port.extend(pairs(&phone.spoken, &modem.written));
            to_line.extend(pairs(&phone.spoken, &modem.played));
        }
        arm(&plant, None)?;
        plant.drop_calls(&calls)?;
    }
    let sent = options.calls * options.marks;
    tell("modem's stream to RTP  ", sent, to_sip)?;
    tell("RTP to modem's stream  ", sent, to_port)?;
    tell("RTP to telephone line  ", sent, to_line)
}

/// Begins to look for marks, and to send so many each way; or ends it and forgets them.
fn arm(plant: &Plant, marks: Option<u32>) -> Outcome<()> {
    for side in [&*plant.marks, &plant.phone.audio.marks] {
        let mut side = side.lock().map_err(|_| "a thread is gone")?;
        *side = tap::Marks { armed: marks.is_some(), wanted: (marks.unwrap_or(0), APART), ..tap::Marks::default() };
    }
    Ok(())
}

/// The time from each mark to the first sight of it, within the time until the next one.
fn pairs(sent: &[Instant], seen: &[Instant]) -> Vec<Duration> {
    let within = Duration::from_millis(u64::from(APART) * 20);
    let find = |from: &Instant| seen.iter().find(|at| *at >= from).map(|at| *at - *from).filter(|time| *time < within);
    sent.iter().filter_map(find).collect()
}

fn tell(what: &str, sent: u32, mut times: Vec<Duration>) -> Outcome<()> {
    times.sort_unstable();
    let share = |share: f64| times.get((times.len().saturating_sub(1) as f64 * share).round() as usize);
    let (Some(median), Some(most)) = (share(0.5), share(0.99)) else { return Err("no mark arrived".into()) };
    let millis = |time: &Duration| time.as_secs_f64() * 1e3;
    println!("{what}median {:.1} ms, 99 % {:.1} ms ({} of {sent} marks)", millis(median), millis(most), times.len());
    Ok(())
}

/// So many bridged calls at once.
fn load(program: &Path, modems: usize, time: Duration) -> Outcome<()> {
    let mut plant = Plant::start(program, modems)?;
    plant.bridged(modems)?;
    plant.rest(Duration::from_secs(1))?;
    let packets = || plant.phone.audio.received.load(std::sync::atomic::Ordering::Relaxed);
    let (before, began, packets_before) = (plant.cpu()?, Instant::now(), packets());
    std::thread::sleep(time);
    let (cpu, elapsed, count) = (plant.cpu()? - before, began.elapsed(), packets() - packets_before);
    let share = cpu.as_secs_f64() / elapsed.as_secs_f64();
    let expected = modems as f64 * 50.0 * elapsed.as_secs_f64();
    println!(
        "{modems:>3} modems joined to SIP  {:.1} % of a core, {:.2} % each, so {:.0} on one core; {:.1} % of the packets arrived in time",
        share * 100.0,
        share * 100.0 / modems as f64,
        modems as f64 / share.max(1e-6),
        count as f64 / expected * 100.0,
    );
    Ok(())
}
