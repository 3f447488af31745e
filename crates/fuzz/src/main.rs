//! Mutates well-formed inputs and feeds them to everything that reads bytes from outside. Nothing may panic, and no
//! input may take long.

mod corpus;
mod mutate;
mod target;

use clap::Parser;
use mutate::Mutator;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use target::Target;

/// An input that takes longer than this is a fault: a handful of such packets a second would fill a core.
const SLOW: Duration = Duration::from_millis(500);

#[derive(Parser)]
#[command(about, version)]
struct Options {
    /// Seconds for each target.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Only this target.
    #[arg(long)]
    target: Option<String>,
    /// Seed of the first input; another run with the same one is the same run.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Feed this file once to the target instead, to repeat a finding.
    #[arg(long, requires = "target")]
    file: Option<std::path::PathBuf>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    std::panic::set_hook(Box::new(|info| eprintln!("{info}")));
    if let Some(name) = options.target.as_ref().filter(|name| target::ALL.iter().all(|target| target.name != **name)) {
        let known: Vec<&str> = target::ALL.iter().map(|target| target.name).collect();
        eprintln!("{name}: no such target; there are {}", known.join(", "));
        return ExitCode::FAILURE;
    }
    let mut faults = 0;
    let mut inputs = 0;
    for target in target::ALL {
        if options.target.as_ref().is_some_and(|name| name != target.name) {
            continue;
        }
        if let Some(path) = &options.file {
            match std::fs::read(path) {
                Ok(bytes) => (target.run)(&bytes),
                Err(error) => eprintln!("{}: {error}", path.display()),
            }
            continue;
        }
        let (count, fault) = run(target, &options);
        println!("fuzz: {:<14} {count:>9} inputs, {}", target.name, if fault { "FAULT" } else { "no fault" });
        inputs += count;
        faults += usize::from(fault);
    }
    println!("{} passed, {faults} failed", target::ALL.len() - faults);
    if faults == 0 && (inputs > 0 || options.file.is_some()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(target: &Target, options: &Options) -> (u64, bool) {
    let corpus = corpus::of(target.name);
    let mut mutator = Mutator::new(options.seed);
    let end = Instant::now() + Duration::from_secs(options.seconds);
    let mut count = 0;
    while Instant::now() < end {
        let input = mutator.next(&corpus);
        let began = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(&input)));
        count += 1;
        if outcome.is_err() || began.elapsed() > SLOW {
            keep(target, &input, if outcome.is_err() { "panicked" } else { "was slow" });
            return (count, true);
        }
    }
    (count, false)
}

fn keep(target: &Target, input: &[u8], what: &str) {
    let path = std::env::temp_dir().join(format!("tapi-fuzz-{}.bin", target.name));
    let written = std::fs::File::create(&path).and_then(|mut file| file.write_all(input));
    eprintln!("{}: an input of {} bytes {what}", target.name, input.len());
    match written {
        Ok(()) => eprintln!("repeat with: tapi-fuzz --target {} --file {}", target.name, path.display()),
        Err(error) => eprintln!("{}: {error}", path.display()),
    }
    eprintln!("{}", input.escape_ascii());
}
