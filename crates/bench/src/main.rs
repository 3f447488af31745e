//! Starts the daemon with one SIP line on loopback, answers its calls over the socket, has SIPp call it, and prints what it
//! costs: CPU per call beside SIPp's own callee, the highest clean rate, the journal's share, memory per held call,
//! delays and round trips, each with what is aimed at. The daemon has one core and the load another. Compare figures of one
//! run only.

mod answerer;
mod bus;
mod calls;
mod cores;
mod daemon;
mod figures;
mod latency;
mod memory;
mod process;
mod sipp;

use clap::Parser;
use cores::Cores;
use daemon::{Daemon, Setup};
use figures::Figures;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tapi::client::blocking::Client;
use tapi::request::{ClientOpen, LineList};

#[derive(Parser)]
#[command(about, version)]
struct Options {
    /// The daemon to measure.
    #[arg(long, default_value = "target/release/tapid")]
    tapid: PathBuf,
    /// SIPp scenario of a call that the caller ends.
    #[arg(long, default_value = "crates/tapid/tests/sipp/caller.xml")]
    scenario: PathBuf,
    /// Calls a second, one rate after the other.
    #[arg(long, value_delimiter = ',', default_values_t = [200, 500, 1_000, 2_000, 3_000, 4_000])]
    rates: Vec<u32>,
    /// How long each rate lasts.
    #[arg(long, default_value_t = 3)]
    seconds: u32,
    /// Calls held for the memory figures.
    #[arg(long, default_value_t = 1_000)]
    held: u16,
    /// What is measured.
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = What::ALL)]
    only: Vec<What>,
}

/// A group of figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// CPU of a call, and the highest clean rate.
    Calls,
    /// What the journal adds.
    Journal,
    /// Memory of held calls.
    Memory,
    /// Delays between the socket and the wire.
    Delays,
    /// Round trips of requests.
    RoundTrips,
}

impl What {
    const ALL: [What; 5] = [What::Calls, What::Journal, What::Memory, What::Delays, What::RoundTrips];
}

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let options = Options::parse();
    let mut figures = Figures::default();
    match measure(&options, &mut figures) {
        Ok(()) => {
            figures.end();
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("tapi-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options, figures: &mut Figures) -> Outcome {
    let cores = Cores::take()?;
    println!("one core for the daemon, {} for the load", if cores.are_two() { "another" } else { "and the SAME" });
    let many = Setup::new(&options.tapid, cores, 3_000);
    let few = Setup::new(&options.tapid, cores, 64);
    let plan = calls::Plan { scenario: &options.scenario, rates: &options.rates, seconds: options.seconds };
    let held = memory::Held { scenario: &options.scenario, calls: options.held };
    for what in &options.only {
        match what {
            What::Calls => calls::rates(figures, &plan, &many)?,
            What::Journal => calls::journal(figures, &plan, &many)?,
            What::Memory => memory::memory(figures, &held, &many)?,
            What::Delays => {
                println!("delays, one call at a time");
                latency::to_the_wire(figures, 500, &few)?;
                latency::from_a_digit(figures, 200, &few)?;
            }
            What::RoundTrips => round_trips(figures, &few)?,
        }
    }
    Ok(())
}

/// Requests that are timed on each front.
const ROUND_TRIPS: u32 = 20_000;

fn round_trips(figures: &mut Figures, setup: &Setup<'_>) -> Outcome {
    println!("round trips of a request, one client, one at a time: line.list, Server.ListLines");
    let bus = bus::Bus::start(&Daemon::directory())?;
    let daemon = Daemon::start(&Setup { bus: &bus.address, ..setup.clone() })?;
    let mut client = Client::connect(daemon.socket())?;
    client.call(ClientOpen { app: "bench".into(), ..ClientOpen::default() })?;
    for _ in 0..500 {
        client.call(LineList {})?;
    }
    let before = daemon.cpu()?;
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..ROUND_TRIPS {
        let began = Instant::now();
        client.call(LineList {})?;
        times.push(began.elapsed());
    }
    let on_socket = tell_round_trips(figures, "on the socket", times, daemon.cpu()? - before);
    bus.round_trips(500)?;
    let before = daemon.cpu()?;
    let times = bus.round_trips(ROUND_TRIPS as usize)?;
    let on_bus = tell_round_trips(figures, "on D-Bus", times, daemon.cpu()? - before);
    figures.tell("D-Bus to the socket, medians", on_bus / on_socket, "×", None, "through dbus-daemon");
    Ok(())
}

/// Tells round trips, and answers with their median in seconds.
fn tell_round_trips(figures: &mut Figures, front: &str, mut times: Vec<Duration>, cpu: Duration) -> f64 {
    times.sort_unstable();
    let median = times.get(times.len() / 2).map_or(f64::NAN, Duration::as_secs_f64);
    figures.tell_times(&format!("request {front}"), times, None);
    let each = (cpu / ROUND_TRIPS).as_secs_f64() * 1e6;
    figures.tell(&format!("the daemon's CPU of a request {front}"), each, "µs", None, "");
    median
}
