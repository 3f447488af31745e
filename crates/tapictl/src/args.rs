//! The command line.

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

const AFTER: &str = "\
Calls are named by id, or by the beginning or end of it where only one call fits; lines by id, by name, or by the \
beginning of the name.

Exit codes: 0 done, 1 failed, 2 usage, 3 no such line or call, 4 not permitted, 5 daemon not reachable, 6 timeout, \
7 busy or no answer.";

/// Lines and calls of the telephony daemon.
#[derive(Debug, Parser)]
#[command(name = "tapictl", version, after_help = AFTER, max_term_width = 100)]
pub struct Args {
    /// JSON instead of text: one object a line.
    #[arg(long, global = true)]
    pub json: bool,
    /// The daemon's socket.
    #[arg(long, global = true, env = "TAPID_SOCKET", value_name = "PATH", default_value = tapi::wire::DEFAULT_SOCKET)]
    pub socket: PathBuf,
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The daemon, its lines and its calls on one screen.
    Status,
    /// All lines.
    Lines,
    /// All calls.
    Calls,
    /// One call with all that is known of it.
    Call {
        /// The call.
        id: String,
    },
    /// Place a call, and stay until it ends; Ctrl-C hangs up.
    Dial {
        /// The line.
        line: String,
        /// Digits, tel:… or sip:….
        number: String,
        /// Play this WAV file once the call is answered.
        #[arg(long, value_name = "FILE")]
        play: Option<PathBuf>,
        /// Hang up once the call is answered (and the file is played).
        #[arg(long, conflicts_with = "detach")]
        hangup_after_answer: bool,
        /// Leave the call running, without an owner, once it is answered (and the file is played). Another program must
        /// have the line open: a call ends with the last one that has.
        #[arg(long)]
        detach: bool,
        /// Give up when there is no answer in so many seconds.
        #[arg(long, value_name = "S", value_parser = seconds)]
        timeout: Option<Duration>,
        /// Show the SIP ladder or AT transcript once the call is over: nothing is kept of it then.
        #[arg(long)]
        trace: bool,
    },
    /// Answer a call, and leave it running.
    Answer {
        /// The call.
        id: String,
    },
    /// Take an offered call: it alerts at the far end.
    Accept {
        /// The call.
        id: String,
        /// Let the caller hear us before the call is answered.
        #[arg(long)]
        early_media: bool,
    },
    /// Hang up, or turn away an offered call.
    Hangup {
        /// The call.
        id: String,
        /// What to tell the caller of a call not yet answered: busy, reject, no_answer, do_not_disturb, …
        #[arg(long)]
        reason: Option<String>,
    },
    /// Put a call on hold.
    Hold {
        /// The call.
        id: String,
    },
    /// Take a call back from hold.
    Unhold {
        /// The call.
        id: String,
    },
    /// Send digits to the far end.
    Digits {
        /// The call.
        id: String,
        /// 0-9, A-D, * and #; a comma is a pause.
        digits: String,
    },
    /// Play a WAV file into a call; Ctrl-C stops it.
    Play {
        /// The call.
        id: String,
        /// The file; it is opened with your own rights.
        file: PathBuf,
        /// Again and again.
        #[arg(long)]
        repeat: bool,
    },
    /// Record a call into a WAV file, until Ctrl-C or the end of the call.
    Record {
        /// The call.
        id: String,
        /// The file; it is made with your own rights.
        file: PathBuf,
        /// Stop after so many seconds.
        #[arg(long, value_name = "S", value_parser = seconds)]
        seconds: Option<Duration>,
        /// Overwrite the file if it exists.
        #[arg(long)]
        force: bool,
    },
    /// Join the audio of two calls.
    Bridge {
        /// One call.
        id: String,
        /// The other.
        with: String,
    },
    /// Take a bridge apart.
    Part {
        /// One of its calls.
        id: String,
    },
    #[command(flatten)]
    Control(Control),
    /// Tell what happens, as it happens.
    Events {
        /// Also who opens and closes lines, and who monitors or owns calls (in JSON: always).
        #[arg(long)]
        all: bool,
    },
    /// The SIP ladder or AT transcript of a call, one that is over too, or of a line: its registrations and probes.
    Trace {
        /// The call or the line.
        id: String,
        /// Whole messages.
        #[arg(long)]
        full: bool,
        /// Write a capture file for other programs instead.
        #[arg(long, value_name = "FILE")]
        pcap: Option<PathBuf>,
    },
    /// What makes a shell complete this command line.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Man pages of this command and its subcommands, written into a directory.
    #[command(hide = true)]
    Manual {
        /// The directory.
        directory: PathBuf,
    },
}

/// What moves calls about, and what lines can do beside calls.
#[derive(Debug, Subcommand)]
pub enum Control {
    /// Transfer a call without asking, and wait until that is done.
    Transfer {
        /// The call.
        id: String,
        /// To where.
        to: String,
        /// By whom alone: network or bridge. A bridged transfer goes on in the daemon.
        #[arg(long)]
        how: Option<String>,
    },
    /// Hold a call and place a consultation call; another program must have the line open.
    Consult {
        /// The call.
        id: String,
        /// Whom to ask.
        to: String,
        /// On which line.
        #[arg(long)]
        line: Option<String>,
    },
    /// Join a held call with its consultation call.
    Complete {
        /// The held call.
        id: String,
        /// The consultation call.
        with: String,
        /// Into a conference of three.
        #[arg(long)]
        conference: bool,
    },
    /// Send an offered call elsewhere.
    Redirect {
        /// The call.
        id: String,
        /// To where.
        to: String,
    },
    /// Hold one call and take back another.
    Swap {
        /// The active call.
        id: String,
        /// The held one.
        with: String,
    },
    /// Do what the far end asks: talk to somebody else.
    AcceptTransfer {
        /// The call.
        id: String,
    },
    /// Decline it.
    RejectTransfer {
        /// The call.
        id: String,
    },
    /// Make a conference of calls, or add calls to the first one's.
    Conference {
        /// The first call.
        id: String,
        /// The others.
        #[arg(required = true)]
        with: Vec<String>,
    },
    /// Take a call out of its conference.
    Leave {
        /// The call.
        id: String,
    },
    /// Collect digits of the far end. Exit code 6: they did not come in time.
    Gather {
        /// The call.
        id: String,
        /// How many at most.
        #[arg(long, default_value_t = 16)]
        count: u32,
        /// Digits that end it, such as #.
        #[arg(long, value_name = "DIGITS")]
        until: Option<String>,
        /// How long to wait for the first.
        #[arg(long, value_name = "S", value_parser = seconds)]
        first: Option<Duration>,
        /// How long to wait for each further one.
        #[arg(long, value_name = "S", value_parser = seconds)]
        inter: Option<Duration>,
    },
    /// Let a playback or a recording stand still.
    Pause {
        /// The call.
        id: String,
        /// Its number.
        operation: u64,
    },
    /// Let it go on.
    Resume {
        /// The call.
        id: String,
        /// Its number.
        operation: u64,
    },
    /// Give a call to another application.
    Handoff {
        /// The call.
        id: String,
        /// The application's name.
        app: String,
    },
    /// Set the words and the data kept with a call; an empty text takes them away.
    Note {
        /// The call.
        id: String,
        /// Words.
        #[arg(long)]
        comment: Option<String>,
        /// Data.
        #[arg(long)]
        data: Option<String>,
    },
    /// Send a text message.
    Sms {
        /// The line.
        line: String,
        /// To where.
        to: String,
        /// Its text.
        text: String,
    },
    /// Send a supplementary service code, such as *100#, and show the answer.
    Ussd {
        /// The line.
        line: String,
        /// The code.
        text: String,
    },
    /// How a line's calls are forwarded; with rules: set them, all at once.
    Forward {
        /// The line.
        line: String,
        /// WHEN:TO with WHEN one of unconditional, busy, no_answer, unreachable; no_answer/20:TO waits 20 s.
        rules: Vec<String>,
        /// No longer.
        #[arg(long, conflicts_with = "rules")]
        off: bool,
    },
    /// What becomes of a call that no application takes.
    Policy {
        /// The line.
        line: String,
        #[command(subcommand)]
        action: Option<PolicyAction>,
    },
    /// Who is offered new calls first.
    Priority {
        /// An application's name.
        #[arg(requires = "place")]
        app: Option<String>,
        /// Its place; 0 takes it off the list.
        place: Option<u32>,
    },
}

/// What becomes of a call that no application takes.
#[derive(Debug, Subcommand)]
pub enum PolicyAction {
    /// It is turned away.
    Reject {
        /// As busy, reject, no_answer, do_not_disturb, …
        cause: Option<String>,
    },
    /// It rings for so many seconds.
    Ring {
        /// Seconds.
        seconds: u32,
    },
    /// It hears a file of the daemon's directories, and is hung up.
    Play {
        /// The file.
        file: String,
    },
    /// It is sent elsewhere.
    Forward {
        /// To where.
        to: String,
        /// On which line.
        #[arg(long)]
        on: Option<String>,
        /// By whom alone: network or bridge.
        #[arg(long)]
        how: Option<String>,
    },
    /// As configured.
    Default,
}

/// Seconds, with a fraction if need be, up to a day.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text:?} is not a number of seconds"))?;
    if !(0.001..=86_400.0).contains(&seconds) {
        return Err("must be between 0.001 and 86400 seconds".into());
    }
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn options_stand_before_or_behind_the_command() {
        for line in ["tapictl --json --socket /s calls", "tapictl calls --json --socket /s"] {
            let args = parse(line).unwrap();
            assert!(args.json && args.socket.as_os_str() == "/s");
        }
    }

    #[test]
    fn times_are_seconds() {
        let Command::Dial { timeout, .. } = parse("tapictl dial trunk 100 --timeout 2.5").unwrap().command else {
            panic!("not dial");
        };
        assert_eq!(timeout, Some(Duration::from_millis(2_500)));
        for wrong in ["-1", "0", "1e99", "soon", "nan"] {
            let error = parse(&format!("tapictl dial trunk 100 --timeout={wrong}")).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{wrong}");
        }
    }

    #[test]
    fn a_call_is_either_hung_up_or_left_running() {
        assert_eq!(parse("tapictl dial t 1 --detach --hangup-after-answer").unwrap_err().exit_code(), 2);
        assert_eq!(parse("tapictl frobnicate").unwrap_err().exit_code(), 2);
    }
}
