//! `tapictl`: the telephony daemon from the command line.

#![forbid(unsafe_code)]

mod act;
mod args;
mod control;
mod dial;
mod events;
mod failure;
mod ladder;
mod media;
mod out;
mod paper;
mod pcap;
mod pick;
mod session;
mod show;
mod signal;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = args::Args::parse();
    let mut out = out::Out::stdout(args.json);
    match act::run(&args, &mut out) {
        Ok(code) => code.into(),
        Err(failure) => {
            failure.tell(args.json);
            failure.code.into()
        }
    }
}
