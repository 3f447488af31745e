//! Starts the daemon with one SIP line on loopback, answers its calls over the socket, has SIPp call it, and prints what it
//! costs: CPU per call, memory per held call, a request's round trip. Times are CPU time of the daemon's process; compare
//! figures of one run only.

mod answerer;
mod bus;
mod daemon;
mod sipp;

use clap::Parser;
use daemon::Daemon;
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
    /// Calls for the CPU figure.
    #[arg(long, default_value_t = 3000)]
    calls: u32,
    /// Calls a second.
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// Calls held for the memory figure.
    #[arg(long, default_value_t = 500)]
    held: u32,
}

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let options = Options::parse();
    match measure(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tapi-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Outcome {
    round_trips(options)?;
    calls(options)?;
    memory(options, answerer::Until::Ringing)?;
    memory(options, answerer::Until::Connected)
}

/// Requests that are timed on each front.
const ROUND_TRIPS: u32 = 20_000;

fn round_trips(options: &Options) -> Outcome {
    let bus = bus::Bus::start(&Daemon::directory())?;
    let daemon = Daemon::start_on(&options.tapid, 16, &bus.address)?;
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
    let on_socket = say_round_trips("socket", "line.list", times, daemon.cpu()? - before);
    bus.round_trips(500)?;
    let before = daemon.cpu()?;
    let times = bus.round_trips(ROUND_TRIPS as usize)?;
    let on_bus = say_round_trips("D-Bus ", "Server.ListLines", times, daemon.cpu()? - before);
    println!("request on D-Bus       {:.1} times the socket's round trip, through dbus-daemon", on_bus / on_socket);
    Ok(())
}

/// Prints round trips, and answers with their median in microseconds.
fn say_round_trips(front: &str, what: &str, mut times: Vec<Duration>, cpu: Duration) -> f64 {
    times.sort_unstable();
    let last = times.len().saturating_sub(1) as f64;
    let micros = |share: f64| times.get((last * share) as usize).map_or(0.0, |time| time.as_secs_f64() * 1e6);
    println!(
        "request round trip     {front}: median {:.0} µs, 99 % {:.0} µs ({what}, one client, one at a time); {:.1} µs of the daemon's CPU",
        micros(0.5),
        micros(0.99),
        (cpu / ROUND_TRIPS).as_secs_f64() * 1e6
    );
    micros(0.5)
}

fn calls(options: &Options) -> Outcome {
    let daemon = Daemon::start(&options.tapid, 2000)?;
    let answerer = answerer::start(daemon.socket(), answerer::Until::Connected)?;
    let before = daemon.cpu()?;
    let began = Instant::now();
    sipp::call(&daemon, &options.scenario, options.rate, options.calls, 1000)?;
    let cpu = daemon.cpu()? - before;
    let answered = answerer.answered();
    println!(
        "INVITE to BYE          {:.0} µs of CPU a call ({} calls, {} answered over the socket, {}/s, {:.0} s)",
        cpu.as_secs_f64() * 1e6 / f64::from(options.calls),
        options.calls,
        answered,
        options.rate,
        began.elapsed().as_secs_f64()
    );
    if answered < options.calls as usize {
        return Err(format!("only {answered} of {} calls were answered", options.calls).into());
    }
    Ok(())
}

fn memory(options: &Options, until: answerer::Until) -> Outcome {
    let daemon = Daemon::start(&options.tapid, options.held + 100)?;
    let answerer = answerer::start(daemon.socket(), until)?;
    // A first wave warms allocator and buffers; what it leaves behind is not a call's.
    let before = daemon.memory()?;
    let mut caller = sipp::spawn(&daemon, &options.scenario, options.rate, options.held, 60_000)?;
    let deadline = Instant::now() + Duration::from_secs(30);
    while answerer.reached() < options.held as usize {
        if Instant::now() > deadline || caller.try_wait()?.is_some() {
            drop(caller.kill());
            return Err(format!("only {} of {} calls came up", answerer.reached(), options.held).into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let grown = daemon.memory()?.saturating_sub(before);
    caller.kill()?;
    caller.wait()?;
    let what = match until {
        answerer::Until::Ringing => "ringing call, no media",
        answerer::Until::Connected => "connected call, stream ",
    };
    println!(
        "memory a held call     {:.1} KiB ({what}; {} calls, resident memory of the whole daemon)",
        grown as f64 / 1024.0 / f64::from(options.held),
        options.held
    );
    Ok(())
}
