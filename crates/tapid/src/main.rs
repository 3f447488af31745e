//! `tapid`, the telephony server.
//!
//! This crate is the shell around the pure machines: the only one that waits. `run` puts everything together, `core`
//! owns all telephony state, `client` serves connections, `provider` drives service providers and their ports, `store`
//! and `state` carry calls over a restart.

mod attach;
mod client;
mod clock;
mod config;
mod core;
mod dbus;
mod files;
mod hotplug;
mod journal;
mod listen;
mod log;
mod outbox;
mod provider;
mod run;
mod seed;
mod sink;
mod state;
mod store;
mod sys;

use clap::Parser;
use config::Config;
use std::path::PathBuf;
use std::process::ExitCode;

/// A call is some hundred small pieces of memory that come and go: this one takes a tenth less of a call's CPU than the
/// C library's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The telephony server: lines, addresses and calls of modems and SIP trunks, for programs on its socket.
#[derive(Debug, Parser)]
#[command(name = "tapid", version, after_help = AFTER_HELP)]
struct Arguments {
    /// Configuration file [default: /etc/tapid/tapid.toml, which need not exist].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Check the configuration and end: 0 for a good one, 1 for a bad one, 2 for wrong arguments.
    #[arg(long)]
    check: bool,
    /// Two loopback lines, demo:0 and demo:1, beside what is configured: to try an application without a device.
    #[arg(long)]
    demo: bool,
    /// Socket for clients, in place of the configured one.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// How logs look; they go to standard error, TAPID_LOG chooses what (info, debug, tapid=debug).
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    log_format: log::Format,
}

const AFTER_HELP: &str = "\
Signals: TERM and INT hang every call up and end (a second one: at once). USR2 puts calls into the service manager's
descriptor store and ends, so that the next process goes on with them (RestartKillSignal=SIGUSR2). HUP does the\nsame once the configuration was read and is good; a bad one changes nothing. USR1 says in the log how much there is of
everything: tasks, descriptors, calls, streams.";

/// Each call needs a socket, and shells commonly start programs with a soft limit of 1,024: take what we may have.
fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open descriptors stays as it is");
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut config = match Config::load(arguments.config.as_deref()) {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::from(1);
        }
    };
    if arguments.check {
        println!("configuration is good: {} providers", config.providers.len());
        return ExitCode::SUCCESS;
    }
    if arguments.demo {
        config.add_demo();
    }
    if let Some(socket) = arguments.socket {
        config.socket = socket;
    }
    log::start(arguments.log_format);
    raise_descriptor_limit();
    // Before anything else is opened: these descriptors have fixed numbers.
    let inherited = store::Inherited::take();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("tapid: the runtime does not start: {error}");
            return ExitCode::from(1);
        }
    };
    let ended = runtime.block_on(run::run(config, arguments.config.as_deref(), inherited));
    // A provider that hangs, or a look-up that goes on, does not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_millis(100));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tapid: {error}");
            ExitCode::from(1)
        }
    }
}
