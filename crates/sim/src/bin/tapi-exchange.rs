//! `tapi-exchange`: a small telephone exchange with simulated modems on pseudo-terminals.

use clap::Parser;
use rustix::fd::AsFd;
use serde_json::json;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tapi_sim::exchange::{Behaviour, Clearing, Config, Exchange, ModemId};
use tapi_sim::modem::analogue::{self, Analogue};
use tapi_sim::modem::cellular::{self, Cellular};
use tapi_sim::pty::{Bench, Happened};

const AFTER: &str = "\
What a SUBSCRIBER does is a list of words after `=`:
  tone:HZ[@DDBM0]   says a tone (default -160: -16.0 dBm0)     echo[:TIME]    says what it hears
  silence           says nothing (default)                     answer:TIME    answers after TIME (default 500ms)
  never             rings and never answers                    busy           is always engaged
  reject[:TIME]     refuses the call                           hangup:TIME    hangs up TIME after the answer
  withheld          withholds its number when it calls         name:TEXT      sends a name when it calls
A TIME is like 500ms or 2s.

Orders, one a line on standard input; each is answered by {\"event\":\"ordered\"} or {\"event\":\"error\"}:
  call FROM TO          a subscriber calls a number            hangup NUMBER        a subscriber hangs up
  dtmf NUMBER DIGITS    a subscriber sends digits              tone NUMBER HZ MS    a subscriber plays a tone
  unplug NAME           pulls a modem out (analogue0, …)       plug NAME            plugs it in again
  quit                  ends; so does the end of the input, unless --no-orders is given

Events come as lines of JSON on standard output, `at_ms` is the time since the start:
  ready (with the ports), off_hook, called, rings, answered, failed (with a Q.850 cause), hung_up,
  digit (a subscriber heard it), heard (frequency and level that a subscriber heard, once a second),
  echoed (a tone that was ordered came back, and after how long), unplugged, plugged. Levels are in tenths of dBm0; 0 dBm0 is 3.17 dB below full scale of G.711 mu-law.

Example: a V.253 modem and a GSM modem, a telephone that answers with 440 Hz, one that is engaged, one that echoes:
  tapi-exchange --link-dir /run/user/1000/modems --analogue 4930100 --cellular 4930200 \\
      --subscriber 4930300=tone:440,answer:500ms --subscriber 4930301=busy --subscriber 4930302=echo
The modems are then /run/user/1000/modems/analogue0, cellular0 and cellular0-audio.";

/// A small telephone exchange with simulated modems on pseudo-terminals.
///
/// Programs open the modems as they would open /dev/ttyACM0; the exchange rings, plays its tones, joins the parties and
/// carries their audio in real time.
#[derive(Debug, Parser)]
#[command(name = "tapi-exchange", version, after_help = AFTER)]
struct Options {
    /// A V.253 voice modem on a two-wire line with this number; again for more.
    #[arg(long, value_name = "NUMBER")]
    analogue: Vec<String>,
    /// A GSM modem (3GPP TS 27.007) with this number; again for more.
    #[arg(long, value_name = "NUMBER")]
    cellular: Vec<String>,
    /// A telephone with this number, and what it does; again for more.
    #[arg(long, value_name = "NUMBER[=WORDS]")]
    subscriber: Vec<String>,
    /// Where the links to the modems' terminals are made.
    #[arg(long, value_name = "DIR", default_value = ".")]
    link_dir: PathBuf,
    /// Firmware of the analogue modems.
    #[arg(long, value_name = "NAME", default_value = "v253", value_parser = ["v253", "cx93001"])]
    persona: String,
    /// How a line is cleared whose far end hung up: a loop break and dial tone, or busy tone.
    #[arg(long, value_name = "HOW", default_value = "loop-break", value_parser = ["loop-break", "busy-tone"])]
    clearing: String,
    /// Two-wire lines without dial tone: nothing is connected at the other end.
    #[arg(long)]
    no_dial_tone: bool,
    /// Reads no orders from standard input: runs until it is ended by a signal.
    #[arg(long)]
    no_orders: bool,
    /// Chance of the exchange.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tapi-exchange: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> io::Result<()> {
    let clearing = if options.clearing == "busy-tone" { Clearing::BusyTone } else { Clearing::LoopBreak };
    let mut exchange =
        Exchange::new(Config { seed: options.seed, clearing, dial_tone: !options.no_dial_tone, ..Config::default() });
    let modems = populate(&mut exchange, options)?;
    let mut bench = Bench::new(exchange, &modems, &options.link_dir)?;
    let ports: Vec<_> = bench.links().iter().map(|(link, tty)| json!({ "link": link, "tty": tty })).collect();
    say(&json!({ "event": "ready", "at_ms": 0, "ports": ports }))?;
    let input = io::stdin();
    let mut orders = Orders::default();
    loop {
        let also = (!options.no_orders).then(|| input.as_fd());
        let happened = bench.step(also, Duration::from_secs(60))?;
        let readable = happened.iter().any(|what| matches!(what, Happened::Readable));
        tell(happened)?;
        if readable && orders.read(&input)? == Stream::Ended {
            return Ok(());
        }
        while let Some(line) = orders.next() {
            match order(&mut bench, &line) {
                Ok(Next::Quit) => return Ok(()),
                Ok(Next::Go) => say(&json!({ "event": "ordered", "order": line }))?,
                Err(reason) => say(&json!({ "event": "error", "order": line, "reason": reason }))?,
            }
            let happened = bench.carry()?;
            tell(happened)?;
        }
    }
}

fn populate(exchange: &mut Exchange, options: &Options) -> io::Result<Vec<(ModemId, u32)>> {
    let mut numbers: Vec<&str> = Vec::new();
    let mut modems = Vec::new();
    let fresh = |number: &str| {
        let good = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit() || matches!(c, '*' | '#'));
        good.then_some(()).ok_or_else(|| io::Error::other(format!("`{number}`: a number is digits, `*` and `#`")))
    };
    for (at, number) in options.analogue.iter().enumerate() {
        fresh(number)?;
        numbers.push(number);
        let persona = match options.persona.as_str() {
            "cx93001" => analogue::Persona::cx93001(),
            _ => analogue::Persona::v253(),
        };
        modems.push((exchange.attach(&format!("analogue{at}"), number, Box::new(Analogue::new(persona))), 1));
    }
    for (at, number) in options.cellular.iter().enumerate() {
        fresh(number)?;
        numbers.push(number);
        let generic = cellular::Persona::generic();
        let imei = with_check_digit(&format!("{}{at:02}", &generic.imei[..12]));
        let persona = cellular::Persona { number: Some(number.clone()), imei, ..generic };
        modems.push((exchange.attach(&format!("cellular{at}"), number, Box::new(Cellular::new(persona))), 2));
    }
    for subscriber in &options.subscriber {
        let (number, words) = subscriber.split_once('=').unwrap_or((subscriber, ""));
        fresh(number)?;
        numbers.push(number);
        let behaviour: Behaviour = words.parse().map_err(io::Error::other)?;
        exchange.subscribe(number, behaviour);
    }
    numbers.sort_unstable();
    match numbers.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(io::Error::other(format!("`{}` is given twice", pair[0]))),
        None => Ok(modems),
    }
}

/// An IMEI with its Luhn digit.
fn with_check_digit(digits: &str) -> String {
    let values = digits.chars().filter_map(|c| c.to_digit(10)).enumerate();
    let sum: u32 = values.map(|(at, value)| if at % 2 == 1 { value * 2 / 10 + value * 2 % 10 } else { value }).sum();
    format!("{digits}{}", (10 - sum % 10) % 10)
}

fn say(line: &serde_json::Value) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{line}")?;
    output.flush()
}

fn tell(happened: Vec<Happened>) -> io::Result<()> {
    for what in happened {
        if let Happened::Event(at, event) = what {
            let mut line = serde_json::to_value(&event)?;
            line["at_ms"] = json!(at.as_millis());
            say(&line)?;
        }
    }
    Ok(())
}

/// Whether the loop goes on.
enum Next {
    Go,
    Quit,
}

/// Whether more orders may come.
#[derive(PartialEq, Eq)]
enum Stream {
    Open,
    Ended,
}

/// Lines of the input.
#[derive(Default)]
struct Orders {
    bytes: Vec<u8>,
}

impl Orders {
    fn read(&mut self, input: &io::Stdin) -> io::Result<Stream> {
        let mut piece = [0; 4_096];
        let count = rustix::io::read(input, &mut piece)?;
        self.bytes.extend_from_slice(&piece[..count]);
        if self.bytes.len() > 65_536 {
            self.bytes.clear();
        }
        Ok(if count == 0 { Stream::Ended } else { Stream::Open })
    }

    fn next(&mut self) -> Option<String> {
        let end = self.bytes.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.bytes.drain(..=end).collect();
        Some(String::from_utf8_lossy(&line).trim().to_string())
    }
}

fn order(bench: &mut Bench, line: &str) -> Result<Next, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let now = bench.now();
    let exchange = &mut bench.exchange;
    let modem =
        |exchange: &Exchange, name: &str| exchange.modem(name).ok_or_else(|| format!("`{name}`: no such modem"));
    let done = match words.as_slice() {
        [] => return Ok(Next::Go),
        ["quit"] => return Ok(Next::Quit),
        ["call", from, to] => exchange.call(now, from, to),
        ["hangup", number] => exchange.hang_up(now, number),
        ["dtmf", number, digits] => exchange.dtmf(now, number, digits),
        ["tone", number, hz, millis] => {
            let hz: u32 = hz.parse().map_err(|_| format!("`{hz}`: a frequency in Hz is a whole number"))?;
            let millis: u64 = millis.parse().map_err(|_| format!("`{millis}`: milliseconds are a whole number"))?;
            exchange.tone(now, number, hz, Duration::from_millis(millis))
        }
        ["unplug", name] => {
            let modem = modem(exchange, name)?;
            exchange.unplug(now, modem);
            Ok(())
        }
        ["plug", name] => {
            let modem = modem(exchange, name)?;
            exchange.plug(now, modem);
            Ok(())
        }
        _ => return Err("orders are call, hangup, dtmf, tone, unplug, plug, quit; --help explains them".to_string()),
    };
    done.map(|()| Next::Go).map_err(|error| error.to_string())
}
