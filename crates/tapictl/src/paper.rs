//! Completions and man pages, from the same definitions as the command line.

use crate::args::Args;
use crate::failure::{Code, Failure};
use clap::CommandFactory;
use std::path::Path;

/// Completions for a shell, on standard output.
pub fn completions(shell: clap_complete::Shell) -> Result<Code, Failure> {
    // Into memory first: a pipe that is closed early is no panic.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "tapictl", &mut script);
    match std::io::Write::write_all(&mut std::io::stdout(), &script) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(failed("standard output", &error)),
        _ => Ok(Code::Done),
    }
}

/// A page for the command and one for each subcommand, into `directory`.
pub fn manual(directory: &Path) -> Result<Code, Failure> {
    clap_mangen::generate_to(Args::command(), directory)
        .map_err(|error| failed(&directory.display().to_string(), &error))?;
    Ok(Code::Done)
}

fn failed(what: &str, error: &std::io::Error) -> Failure {
    Failure::new(Code::Failed, format!("{what}: {error}"))
}
